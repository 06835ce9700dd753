//! What is known now: the last verdict on each known machine, and for how long it has been silent. In memory only, so
//! after a restart nothing is known until a machine answers again.

use crate::clock::Moment;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The last verdict on a machine.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When the challenge was sent that it answers.
    pub at: Moment,
    /// Seconds since 1970 at which the verdict ends.
    pub expires: u64,
    /// From `at` until the verdict ends, whatever becomes of the calendar.
    pub life: Duration,
    /// The answer of its boot part, for lists.
    pub boot: String,
    /// The signed result.
    pub ear: Vec<u8>,
}

/// All verdicts. There are never more than known machines.
#[derive(Debug, Default)]
pub struct Board {
    heard: Mutex<HashMap<[u8; 32], Heard>>,
}

/// How it stands with a machine.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It answered lately.
    Heard(Heard),
    /// It did not, and why its last verdict does not count.
    Unknown(String),
}

impl Board {
    /// Puts up a verdict, unless one of a later challenge is there: two answers may be verified in inverse order.
    pub fn put(&self, node: [u8; 32], heard: Heard) {
        let mut all = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_later = all.get(&node).is_some_and(|known| known.at.since(&heard.at).is_some_and(|by| !by.is_zero()));
        if !is_later {
            all.insert(node, heard);
        }
    }

    /// How it stands with a machine at this moment. `silence` is measured on the clock that nobody can set, `calendar`
    /// (seconds since 1970) ends a verdict.
    pub fn standing(&self, node: &[u8; 32], now: &Moment, silence: Duration, calendar: u64) -> Standing {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned();
        let Some(heard) = heard else {
            return Standing::Unknown("the node has not answered since this verifier started".to_owned());
        };
        match now.since(&heard.at) {
            Some(age) if age <= silence.min(heard.life) && calendar < heard.expires => Standing::Heard(heard),
            Some(age) if age <= silence => Standing::Unknown("the last verdict has ended".to_owned()),
            Some(age) => Standing::Unknown(format!("the node has been silent for {} s", age.as_secs())),
            None => Standing::Unknown("the node's last answer has no age".to_owned()),
        }
    }

    /// Machines that were heard at all.
    pub fn len(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none was heard.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const NODE: [u8; 32] = [1; 32];
    const SILENCE: Duration = Duration::from_secs(3600);

    fn heard(at: Moment, boot: &str, expires: u64) -> Heard {
        Heard { at, expires, life: SILENCE, boot: boot.into(), ear: Vec::new() }
    }

    fn is_unknown(board: &Board, now: &Moment, silence: Duration, calendar: u64) -> bool {
        matches!(board.standing(&NODE, now, silence, calendar), Standing::Unknown(_))
    }

    #[test]
    fn a_node_that_never_answered_or_fell_silent_or_whose_verdict_ended_is_unknown() {
        let clock = Clock::of_this_boot().unwrap();
        let board = Board::default();
        assert!(is_unknown(&board, &clock.now().unwrap(), SILENCE, 0), "never answered");
        board.put(NODE, heard(clock.now().unwrap(), "yes", 100));
        let now = clock.now().unwrap();
        assert!(!is_unknown(&board, &now, SILENCE, 99));
        assert!(is_unknown(&board, &now, SILENCE, 100), "ended");
        assert!(is_unknown(&board, &now, Duration::ZERO, 99), "silent");
    }

    #[test]
    fn a_calendar_that_is_set_back_keeps_no_silent_node_alive() {
        let clock = Clock::of_this_boot().unwrap();
        let board = Board::default();
        board.put(NODE, heard(clock.now().unwrap(), "yes", u64::MAX));
        assert!(is_unknown(&board, &clock.now().unwrap(), Duration::ZERO, 0));
    }

    #[test]
    fn a_calendar_that_is_set_back_prolongs_no_verdict() {
        let clock = Clock::of_this_boot().unwrap();
        let board = Board::default();
        board.put(NODE, Heard { life: Duration::ZERO, ..heard(clock.now().unwrap(), "yes", u64::MAX) });
        assert!(is_unknown(&board, &clock.now().unwrap(), SILENCE, 0));
    }

    #[test]
    fn a_verdict_of_an_earlier_challenge_does_not_replace_a_later_one() {
        let clock = Clock::of_this_boot().unwrap();
        let (earlier, later) = (clock.now().unwrap(), clock.now().unwrap());
        let board = Board::default();
        board.put(NODE, heard(later.clone(), "no", 100));
        board.put(NODE, heard(earlier, "yes", 100));
        let Standing::Heard(shown) = board.standing(&NODE, &clock.now().unwrap(), SILENCE, 1) else {
            return assert!(board.is_empty(), "a verdict was lost");
        };
        assert_eq!(shown.boot, "no");
    }
}
