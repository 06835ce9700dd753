//! Who is next at the TPM: a plain object that decides; `tpm_task` acts.
//!
//! Extends go first, since a VM start waits for them. While another command waits, no two quotes follow each other; when
//! none waits, quotes are not held back. Strangers' credential challenges have one token in ten seconds, together.

use crate::budget::{STRANGER_CREDENTIAL_INTERVAL, TPM_CREDENTIALS_WAITING, TPM_EXTENDS_WAITING, TPM_QUOTES_WAITING};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What kind of command a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A PCR extend.
    Extend,
    /// A quote, which serves every challenge that waits when it starts.
    Quote,
    /// Anything else of ours, or of a verifier that the configuration names.
    Other,
    /// A credential challenge of somebody that the configuration does not name.
    Stranger,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<J> {
    /// This job.
    Run(J),
    /// Nothing before that time has passed; a new job may come earlier.
    After(Duration),
    /// Nothing waits.
    Idle,
}

/// The jobs that wait for the TPM, each class with its own size.
#[derive(Debug)]
pub struct TpmQueue<J> {
    extends: VecDeque<J>,
    quotes: VecDeque<J>,
    others: VecDeque<J>,
    strangers: VecDeque<J>,
    turn: Turn,
    stranger_not_before: Option<Instant>,
}

/// Whose turn it is where a quote and another command wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Quote,
    Other,
}

impl<J> Default for TpmQueue<J> {
    fn default() -> Self {
        TpmQueue {
            extends: VecDeque::new(),
            quotes: VecDeque::new(),
            others: VecDeque::new(),
            strangers: VecDeque::new(),
            turn: Turn::Quote,
            stranger_not_before: None,
        }
    }
}

impl<J> TpmQueue<J> {
    /// Puts a job at the end of its class; gives it back where the class is full.
    pub fn push(&mut self, class: Class, job: J) -> Result<(), J> {
        let (waiting, limit) = match class {
            Class::Extend => (&mut self.extends, TPM_EXTENDS_WAITING),
            Class::Quote => (&mut self.quotes, TPM_QUOTES_WAITING),
            Class::Other => (&mut self.others, TPM_CREDENTIALS_WAITING),
            Class::Stranger => (&mut self.strangers, TPM_CREDENTIALS_WAITING),
        };
        if waiting.len() >= limit {
            return Err(job);
        }
        waiting.push_back(job);
        Ok(())
    }

    /// Puts the rest of a job that has begun before all others of its kind; there is one at most.
    pub fn push_rest(&mut self, job: J) {
        self.others.push_front(job);
    }

    /// The next job at this time.
    pub fn next(&mut self, now: Instant) -> Next<J> {
        if let Some(job) = self.extends.pop_front() {
            return Next::Run(job);
        }
        let other_is_ready = !self.others.is_empty() || self.stranger_may_go(now);
        if (self.turn == Turn::Quote || !other_is_ready)
            && let Some(job) = self.quotes.pop_front()
        {
            self.turn = Turn::Other;
            return Next::Run(job);
        }
        self.turn = Turn::Quote;
        if let Some(job) = self.others.pop_front() {
            return Next::Run(job);
        }
        self.next_stranger(now)
    }

    /// Takes out every job, because there is no TPM any more.
    pub fn drain(&mut self) -> impl Iterator<Item = J> {
        let classes = [&mut self.extends, &mut self.quotes, &mut self.others, &mut self.strangers];
        classes.into_iter().flat_map(|class| class.drain(..))
    }

    fn stranger_may_go(&self, now: Instant) -> bool {
        !self.strangers.is_empty() && self.stranger_wait(now).is_zero()
    }

    fn stranger_wait(&self, now: Instant) -> Duration {
        self.stranger_not_before.map_or(Duration::ZERO, |time| time.saturating_duration_since(now))
    }

    fn next_stranger(&mut self, now: Instant) -> Next<J> {
        let wait = self.stranger_wait(now);
        if !wait.is_zero() && !self.strangers.is_empty() {
            return Next::After(wait);
        }
        let Some(job) = self.strangers.pop_front() else { return Next::Idle };
        self.stranger_not_before = now.checked_add(STRANGER_CREDENTIAL_INTERVAL);
        Next::Run(job)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use std::collections::VecDeque;

    /// Runs everything that may run at this time, in order.
    fn run_all(queue: &mut TpmQueue<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| match queue.next(now) {
            Next::Run(job) => Some(job),
            _ => None,
        })
        .collect()
    }

    fn queue(jobs: &[(Class, &'static str)]) -> TpmQueue<&'static str> {
        let mut queue = TpmQueue::default();
        jobs.iter().for_each(|(class, job)| queue.push(*class, *job).unwrap());
        queue
    }

    #[test]
    fn a_waiting_extend_goes_before_everything_that_came_earlier() {
        let mut queue = queue(&[
            (Class::Quote, "quote"),
            (Class::Other, "known"),
            (Class::Stranger, "stranger"),
            (Class::Extend, "extend"),
        ]);
        assert_eq!(run_all(&mut queue, Instant::now()).first(), Some(&"extend"));
    }

    #[test]
    fn no_two_quotes_follow_each_other_while_another_command_waits() {
        let quotes = [(Class::Quote, "quote"); 3];
        let mut queue = queue(&[&quotes[..], &[(Class::Other, "known"), (Class::Stranger, "stranger")]].concat());
        let order = run_all(&mut queue, Instant::now());
        assert_eq!(order, ["quote", "known", "quote", "stranger", "quote"]);
    }

    #[test]
    fn an_extend_between_two_quotes_does_not_put_the_waiting_command_off() {
        let mut queue = queue(&[(Class::Quote, "quote"), (Class::Quote, "quote"), (Class::Other, "known")]);
        let now = Instant::now();
        assert_eq!(queue.next(now), Next::Run("quote"));
        queue.push(Class::Extend, "extend").unwrap();
        assert_eq!(run_all(&mut queue, now), ["extend", "known", "quote"]);
    }

    #[test]
    fn quotes_are_not_held_back_when_nothing_else_waits() {
        let mut queue = queue(&[(Class::Quote, "quote"); 5]);
        assert_eq!(run_all(&mut queue, Instant::now()).len(), 5);
    }

    #[test]
    fn all_strangers_together_get_one_credential_in_ten_seconds() {
        let mut queue = queue(&[(Class::Stranger, "first"), (Class::Stranger, "second")]);
        let start = Instant::now();
        assert_eq!(run_all(&mut queue, start), ["first"]);
        assert_eq!(queue.next(start + Duration::from_secs(4)), Next::After(Duration::from_secs(6)));
        assert_eq!(queue.next(start + Duration::from_secs(10)), Next::Run("second"));
    }

    #[test]
    fn time_that_nobody_used_gives_no_second_token() {
        let mut queue = queue(&[(Class::Stranger, "first")]);
        let start = Instant::now();
        run_all(&mut queue, start);
        let later = start + Duration::from_secs(1000);
        queue.push(Class::Stranger, "second").unwrap();
        queue.push(Class::Stranger, "third").unwrap();
        assert_eq!(run_all(&mut queue, later), ["second"]);
    }

    #[test]
    fn a_stranger_without_a_token_holds_no_quote_back() {
        let mut queue = queue(&[(Class::Stranger, "first"), (Class::Stranger, "second")]);
        let now = Instant::now();
        run_all(&mut queue, now);
        (0..3).for_each(|_| queue.push(Class::Quote, "quote").unwrap());
        assert_eq!(run_all(&mut queue, now), ["quote"; 3]);
    }

    #[test]
    fn a_verifier_that_the_configuration_names_needs_no_token() {
        let mut queue = queue(&[(Class::Other, "known"), (Class::Other, "known"), (Class::Other, "known")]);
        assert_eq!(run_all(&mut queue, Instant::now()).len(), 3);
    }

    #[test]
    fn a_full_class_gives_the_job_back_and_the_others_still_take() {
        let mut queue = TpmQueue::default();
        while queue.push(Class::Stranger, "stranger").is_ok() {}
        assert_eq!(queue.strangers.len(), TPM_CREDENTIALS_WAITING);
        assert_eq!(queue.push(Class::Stranger, "one more"), Err("one more"));
        assert_eq!(queue.push(Class::Extend, "extend"), Ok(()));
    }

    #[test]
    fn under_any_load_a_ready_command_waits_for_one_quote_at_most() {
        let mut queue: TpmQueue<Class> = TpmQueue::default();
        let now = Instant::now();
        let mut ran = VecDeque::new();
        for step in 0..1000u32 {
            let class = [Class::Quote, Class::Quote, Class::Quote, Class::Other, Class::Extend]
                [usize::try_from(step.wrapping_mul(2_654_435_761) >> 29).unwrap() % 5];
            let _ = queue.push(class, class);
            let known_waits = !queue.others.is_empty();
            if let Next::Run(job) = queue.next(now) {
                let two_quotes = job == Class::Quote && ran.back() == Some(&Class::Quote);
                assert!(!(two_quotes && known_waits), "step {step}");
                if job != Class::Extend {
                    ran.push_back(job);
                }
            }
        }
        assert!(ran.contains(&Class::Other) && ran.contains(&Class::Quote));
    }
}
