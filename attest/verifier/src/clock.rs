//! The verifier's clocks: one that nobody can set, for ages and silence, and the calendar, for certificates and EARs.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// CLOCK_BOOTTIME of this machine: rises while it sleeps, and no calendar moves it.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: String,
}

/// A reading of [`Clock`]. It can be stored; after a reboot of this machine it is no longer comparable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    boot: String,
    ns: u64,
}

impl Clock {
    /// The clock of this boot (`/proc/sys/kernel/random/boot_id`, random(4)).
    pub fn of_this_boot() -> io::Result<Clock> {
        Ok(Clock { boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned() })
    }

    /// Now.
    pub fn now(&self) -> io::Result<Moment> {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        Ok(Moment { boot: self.boot.clone(), ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX) })
    }
}

impl Moment {
    /// The time since `earlier`; `None` where that was in another boot, or is not earlier.
    pub fn since(&self, earlier: &Moment) -> Option<Duration> {
        if self.boot != earlier.boot {
            return None;
        }
        self.ns.checked_sub(earlier.ns).map(Duration::from_nanos)
    }
}

/// Seconds since 1970 on the calendar; 0 on a clock before that, on which nothing is valid yet.
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_another_boot_or_of_the_future_has_no_age() {
        let clock = Clock::of_this_boot().unwrap();
        let (first, second) = (clock.now().unwrap(), clock.now().unwrap());
        assert!(second.since(&first).is_some());
        let of_another_boot = Moment { boot: String::from("another"), ..first.clone() };
        assert_eq!(second.since(&of_another_boot), None);
        let of_the_future = Moment { ns: u64::MAX, ..first };
        assert_eq!(second.since(&of_the_future), None);
    }
}
