//! VMMs that wait, configured and paused, for a start of their shape: who waits, who is taken, what is missing. Decides and
//! acts on nothing; `fill` starts members, `claim` makes one a VM's.
//!
//! A member may run once its shape's `ready` entry is in the TPM: what runs is said before it can.

mod fill;

pub use fill::{fill, make_room};

use crate::{
    budget::{POOL_RETRY_LONGEST, POOL_RETRY_SHORTEST},
    vm::{run::Run, shape::Shape},
};
use garant_api::spec::{Accelerator, Spec};
use garant_attest::ledger::Program;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// The pool of a node.
#[derive(Debug)]
pub struct Pool {
    inner: Mutex<Inner>,
    changed: Notify,
    /// What runs vCPUs where neither spec nor shape says.
    first: OnceLock<Accelerator>,
    /// The `ready` entries of this boot, servers before this one included, by their numbers.
    told: Mutex<Vec<(u64, Program)>>,
}

#[derive(Debug, Default)]
struct Inner {
    places: Vec<Place>,
    /// Starts that clients wait for.
    starts: usize,
}

/// A shape, and who waits of it.
#[derive(Debug)]
struct Place {
    shape: Arc<Shape>,
    waiting: VecDeque<Member>,
    /// Members that are being started: one at most.
    coming: usize,
    failures: u32,
    not_before: Option<Instant>,
}

/// A VMM that waits.
#[derive(Debug)]
pub struct Member {
    /// Its process and control.
    pub run: Run,
    /// What it is.
    pub shape: Arc<Shape>,
    /// Number of the `ready` entry that covers it.
    pub ready: u64,
}

/// What the pool is to do next.
#[derive(Debug, Clone)]
enum Due {
    /// Start a member of this shape.
    Start(usize, Arc<Shape>),
    /// Nothing before that time, unless something changes.
    After(Duration),
}

/// Holds the filling up while it lives: a client waits for a start.
#[derive(Debug)]
pub struct Starting<'a>(&'a Pool);

impl Pool {
    /// With these shapes, on a node that uses `first` where no accelerator is named, or what [`fill`] finds to work. `told`
    /// are the `ready` entries of this boot.
    pub fn new(shapes: Vec<Shape>, first: Option<Accelerator>, told: Vec<(u64, Program)>) -> Pool {
        let place = |shape| Place {
            shape: Arc::new(shape),
            waiting: VecDeque::new(),
            coming: 0,
            failures: 0,
            not_before: None,
        };
        let inner = Inner { places: shapes.into_iter().map(place).collect(), starts: 0 };
        let first = first.map_or(OnceLock::new(), OnceLock::from);
        Pool { inner: Mutex::new(inner), changed: Notify::new(), first, told: Mutex::new(told) }
    }

    /// Says that a client waits for a start.
    pub fn begin_start(&self) -> Starting<'_> {
        let mut inner = self.inner();
        inner.starts = inner.starts.saturating_add(1);
        Starting(self)
    }

    /// A member for this spec, with its accelerator, which lives; whoever died meanwhile is forgotten.
    pub fn take(&self, spec: &Spec) -> Option<Member> {
        let first = self.first();
        let mut inner = self.inner();
        let place = inner.places.iter_mut().find(|place| place.shape.fits(spec, first))?;
        while let Some(member) = place.waiting.pop_front() {
            if !member.run.has_ended() {
                place.failures = 0;
                return Some(member);
            }
            place.put_off(Instant::now());
        }
        None
    }

    /// What runs vCPUs where neither spec nor shape says, once that is known.
    fn first(&self) -> Option<Accelerator> {
        self.first.get().copied()
    }

    /// Memory of those that wait or come.
    pub fn memory_mib(&self) -> u64 {
        self.inner().memory_mib()
    }

    /// One that has to go: where so much memory is left for the pool, and so many VMMs.
    fn surplus(&self, memory_mib: u64, count: usize) -> Option<Member> {
        let mut inner = self.inner();
        let is_within = inner.memory_mib() <= memory_mib && inner.count() <= count;
        if is_within {
            return None;
        }
        let most = inner.places.iter_mut().max_by_key(|place| place.waiting.len())?;
        most.waiting.pop_back()
    }

    /// What is due at this time, where so much memory is left for the pool, and so many VMMs.
    fn due(&self, now: Instant, memory_mib: u64, count: usize) -> Due {
        let mut inner = self.inner();
        inner.bury(now);
        let (taken, members) = (inner.memory_mib(), inner.count());
        if inner.starts > 0 || members >= count {
            return Due::After(LOOK_AGAIN);
        }
        let mut wait = LOOK_AGAIN;
        for (at, place) in inner.places.iter_mut().enumerate() {
            if place.waiting.len().saturating_add(place.coming) >= place.shape.ready {
                continue;
            }
            let left = place.not_before.map_or(Duration::ZERO, |time| time.saturating_duration_since(now));
            if !left.is_zero() {
                wait = wait.min(left);
            } else if taken.saturating_add(place.memory_mib()) <= memory_mib {
                place.coming = place.coming.saturating_add(1);
                return Due::Start(at, place.shape.clone());
            }
        }
        Due::After(wait)
    }

    /// What came of starting a member.
    fn came(&self, now: Instant, at: usize, member: Option<Member>) {
        let mut inner = self.inner();
        let Some(place) = inner.places.get_mut(at) else { return };
        place.coming = place.coming.saturating_sub(1);
        match member {
            Some(member) => place.waiting.push_back(member),
            None => place.put_off(now),
        }
    }

    /// Number of the `ready` entry that says this.
    fn told(&self, program: &Program) -> Option<u64> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().find(|(_, known)| known == program).map(|(number, _)| *number)
    }

    fn tell(&self, number: u64, program: Program) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push((number, program));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn memory_mib(&self) -> u64 {
        let of = |place: &Place| {
            let members = u64::try_from(place.waiting.len().saturating_add(place.coming)).unwrap_or(u64::MAX);
            members.saturating_mul(place.memory_mib())
        };
        self.places.iter().map(of).fold(0, u64::saturating_add)
    }

    fn count(&self) -> usize {
        self.places.iter().fold(0, |sum, place| sum.saturating_add(place.waiting.len()).saturating_add(place.coming))
    }

    /// Forgets those that died.
    fn bury(&mut self, now: Instant) {
        for place in &mut self.places {
            let before = place.waiting.len();
            place.waiting.retain(|member| !member.run.has_ended());
            if place.waiting.len() < before {
                log::warn!("pool: {} VMMs died waiting", before.saturating_sub(place.waiting.len()));
                place.put_off(now);
            }
        }
    }
}

impl Place {
    fn memory_mib(&self) -> u64 {
        self.shape.memory_mib.get().into()
    }

    /// What fails again and again is tried more and more rarely.
    fn put_off(&mut self, now: Instant) {
        let pause = POOL_RETRY_SHORTEST.saturating_mul(1 << self.failures.min(16)).min(POOL_RETRY_LONGEST);
        self.not_before = now.checked_add(pause);
        self.failures = self.failures.saturating_add(1);
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        inner.starts = inner.starts.saturating_sub(1);
        drop(inner);
        self.0.changed.notify_one();
    }
}

/// How often it is looked whether there is room again, which nobody tells.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    fn pool(ready: usize) -> Pool {
        let kernel = format!("kernel = {{ image = 'sha256:{}', command_line = '' }}", "01".repeat(32));
        let shape = |memory: u64| format!("ready = {ready}\nvcpus = 1\nmemory_mib = {memory}\n{kernel}");
        let shapes = [64, 128].map(|memory| toml::from_str(&shape(memory)).unwrap());
        Pool::new(shapes.to_vec(), Some(Accelerator::Tcg), Vec::new())
    }

    fn started(due: &Due) -> Option<usize> {
        match due {
            Due::Start(at, _) => Some(*at),
            Due::After(_) => None,
        }
    }

    #[test]
    fn the_pool_takes_no_more_than_what_is_left_and_waits_while_a_client_does() {
        let (pool, now) = (pool(2), Instant::now());
        let starting = pool.begin_start();
        assert_eq!(started(&pool.due(now, 1024, 8)), None, "a client waits");
        drop(starting);
        assert_eq!(started(&pool.due(now, 63, 8)), None, "no memory");
        assert_eq!(started(&pool.due(now, 1024, 0)), None, "no VMMs");
        let order: Vec<_> = std::iter::from_fn(|| started(&pool.due(now, 1024, 8))).collect();
        assert_eq!((order, pool.memory_mib()), (vec![0, 0, 1, 1], 384));
    }

    #[test]
    fn a_shape_that_fails_is_tried_more_and_more_rarely_and_holds_no_other_up() {
        let pool = pool(1);
        let mut now = Instant::now();
        assert_eq!(started(&pool.due(now, 1024, 8)), Some(0));
        let mut pauses = Vec::new();
        for _ in 0..3 {
            pool.came(now, 0, None);
            let before = now;
            assert_eq!(started(&pool.due(now, 64, 8)), None, "it rests");
            while started(&pool.due(now, 64, 8)).is_none() {
                now += Duration::from_millis(100);
            }
            pauses.push(now - before);
        }
        assert!(pauses == [1, 2, 4].map(|times| POOL_RETRY_SHORTEST * times), "{pauses:?}");
        pool.came(now, 0, None);
        assert_eq!(started(&pool.due(now, 1024, 8)), Some(1), "another shape does not wait for it");
    }
}
