//! Whether what clients saw of one object can have happened one request after the other, each at some moment between its
//! question and its answer (Herlihy and Wing, Linearizability, 1990; searched as Lowe does, Testing for Linearizability,
//! 2017: by moments, over all sets of requests that may have taken effect so far).

use std::{collections::HashSet, hash::Hash};

/// What an object does, if it does one thing after the other.
pub trait Model: Clone + Eq + Hash {
    /// What is asked, and what was answered.
    type Request;

    /// The states after this request where it can have this answer.
    fn after(&self, request: &Self::Request) -> Vec<Self>;

    /// Whether this request with this answer changes nothing in any state.
    fn is_idle(request: &Self::Request) -> bool;
}

/// A request as its client saw it.
pub struct Call<R> {
    /// When it was sent.
    pub asked_ns: u64,
    /// When its answer was there.
    pub answered_ns: u64,
    /// What it was, with its answer.
    pub request: R,
}

/// The first request, by its answer, that fits no order; `None` where all fit.
pub fn first_contradiction<M: Model>(initial: M, calls: &[Call<M::Request>]) -> Option<usize> {
    let mut possible: HashSet<(M, Vec<usize>)> = HashSet::from([(initial, Vec::new())]);
    let mut open: Vec<usize> = Vec::new();
    for moment in moments(calls) {
        match moment {
            Moment::Asked(call) => open.push(call),
            Moment::Answered(call) => {
                possible = with_effect_of(call, possible, &open, calls);
                if possible.is_empty() {
                    return Some(call);
                }
                open.retain(|one| *one != call);
            }
        }
    }
    None
}

enum Moment {
    Asked(usize),
    Answered(usize),
}

/// Of two at one moment, the question comes first: they may have overlapped.
fn moments<R>(calls: &[Call<R>]) -> impl Iterator<Item = Moment> {
    let mut moments: Vec<(u64, u8, usize)> = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        moments.extend([(call.asked_ns, 0, number), (call.answered_ns, 1, number)]);
    }
    moments.sort_unstable();
    moments
        .into_iter()
        .map(|(_, kind, number)| if kind == 0 { Moment::Asked(number) } else { Moment::Answered(number) })
}

/// All that may be so once `call` has taken effect: before it, any open ones may have, in any order. Those that took effect
/// and are still open are listed with the state.
fn with_effect_of<M: Model>(
    call: usize,
    possible: HashSet<(M, Vec<usize>)>,
    open: &[usize],
    calls: &[Call<M::Request>],
) -> HashSet<(M, Vec<usize>)> {
    let mut to_look: Vec<(M, Vec<usize>)> = possible.into_iter().map(|one| without_effect(one, open, calls)).collect();
    let mut seen: HashSet<(M, Vec<usize>)> = to_look.iter().cloned().collect();
    let mut found = HashSet::new();
    while let Some((state, done)) = to_look.pop() {
        if done.contains(&call) {
            found.insert((state, done.into_iter().filter(|one| *one != call).collect()));
            continue;
        }
        for next in open.iter().filter(|next| !done.contains(next)) {
            for after in state.after(&calls[*next].request) {
                let reached = without_effect((after, with(&done, *next)), open, calls);
                if seen.insert(reached.clone()) {
                    to_look.push(reached);
                }
            }
        }
    }
    found
}

/// Every open request that changes nothing anywhere and can have its answer here had it here: later it could not do more.
fn without_effect<M: Model>(
    (state, mut done): (M, Vec<usize>),
    open: &[usize],
    calls: &[Call<M::Request>],
) -> (M, Vec<usize>) {
    for next in open {
        let request = &calls[*next].request;
        if M::is_idle(request) && !done.contains(next) && !state.after(request).is_empty() {
            done = with(&done, *next);
        }
    }
    (state, done)
}

/// In the order of their numbers.
fn with(done: &[usize], next: usize) -> Vec<usize> {
    let (before, behind) = done.split_at(done.partition_point(|one| *one < next));
    [before, &[next], behind].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    struct Register(u8);

    enum Request {
        Write(u8),
        Read(u8),
    }

    impl Model for Register {
        type Request = Request;

        fn after(&self, request: &Request) -> Vec<Register> {
            match request {
                Request::Write(value) => vec![Register(*value)],
                Request::Read(value) if *value == self.0 => vec![*self],
                Request::Read(_) => vec![],
            }
        }

        fn is_idle(request: &Request) -> bool {
            matches!(request, Request::Read(_))
        }
    }

    fn contradiction(calls: Vec<(u64, u64, Request)>) -> Option<usize> {
        let call = |(asked_ns, answered_ns, request)| Call { asked_ns, answered_ns, request };
        first_contradiction(Register(0), &calls.into_iter().map(call).collect::<Vec<_>>())
    }

    #[test]
    fn requests_that_overlap_may_take_effect_in_any_order_and_others_may_not() {
        use Request::{Read, Write};
        assert_eq!(contradiction(vec![(0, 9, Write(1)), (1, 2, Read(0)), (3, 4, Read(1)), (5, 6, Read(1))]), None);
        assert_eq!(contradiction(vec![(0, 9, Write(1)), (1, 2, Read(1)), (3, 4, Read(0))]), Some(2));
        assert_eq!(contradiction(vec![(0, 1, Write(1)), (2, 3, Read(0))]), Some(1), "a lost write");
        assert_eq!(contradiction(vec![(0, 9, Write(1)), (0, 9, Write(2)), (1, 2, Read(2)), (3, 4, Read(1))]), None);
        assert_eq!(contradiction(vec![(0, 1, Read(7))]), Some(0), "a value that nobody wrote");
        let twice = |between| vec![(0, 9, Write(1)), (0, 9, Write(1)), (2, 3, Write(2)), (4, 5, Read(between))];
        assert_eq!(contradiction(twice(1)), None, "a write that changed nothing early may have come later");
        assert_eq!(contradiction(twice(3)), Some(3));
    }
}
