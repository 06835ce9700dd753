//! The TPM's counters against what was known of this TPM when the challenge was sent.
//!
//! They are compared as the pair (resetCount, restartCount), then by clock within one pair; field by field a reboot
//! after a hibernate would look like a rollback. Freshness comes from the nonce alone.

use crate::quote::ClockInfo;
use core::fmt;

/// What the counters of a quote say beside those remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterState {
    /// Nothing was known of this TPM.
    First,
    /// The same power cycle as before, later or at the same time.
    SameBoot,
    /// A later boot than the one before.
    LaterBoot,
    /// A TPM Restart or Resume since the last reset: PCRs may have been emptied while resetCount stood still. A
    /// server has no reason for one.
    Restarted {
        /// restartCount found.
        restart_count: u32,
    },
    /// Pair or clock fell: TPM2_Clear, or an older quote.
    Fell {
        /// What was known.
        known: ClockInfo,
        /// What the quote says.
        found: ClockInfo,
    },
}

/// Compares a quote's counters with what was known when the challenge was sent.
pub fn compare(known: Option<ClockInfo>, found: ClockInfo) -> CounterState {
    if found.restart_count > 0 {
        return CounterState::Restarted { restart_count: found.restart_count };
    }
    let Some(known) = known else { return CounterState::First };
    let (before, now) = (pair(&known), pair(&found));
    if now < before || (now == before && found.clock_ms < known.clock_ms) {
        CounterState::Fell { known, found }
    } else if now == before {
        CounterState::SameBoot
    } else {
        CounterState::LaterBoot
    }
}

/// The later of two sets of counters of one TPM: what is remembered only rises.
pub fn later(a: ClockInfo, b: ClockInfo) -> ClockInfo {
    if (pair(&a), a.clock_ms) < (pair(&b), b.clock_ms) { b } else { a }
}

fn pair(info: &ClockInfo) -> (u32, u32) {
    (info.reset_count, info.restart_count)
}

impl fmt::Display for CounterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CounterState::First => f.write_str("nothing was known of this TPM's counters"),
            CounterState::SameBoot => f.write_str("the same boot as before"),
            CounterState::LaterBoot => f.write_str("a later boot than before"),
            CounterState::Restarted { restart_count } => {
                write!(f, "restartCount is {restart_count}: the TPM was restarted without a reset, which empties PCRs")
            }
            CounterState::Fell { known, found } => write!(
                f,
                "counters fell: resetCount {}, restartCount {}, clock {} ms were known, the quote says {}, {}, {} ms",
                known.reset_count,
                known.restart_count,
                known.clock_ms,
                found.reset_count,
                found.restart_count,
                found.clock_ms
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(reset_count: u32, restart_count: u32, clock_ms: u64) -> ClockInfo {
        ClockInfo { clock_ms, reset_count, restart_count, safe: true }
    }

    #[test]
    fn a_power_cut_that_sets_the_clock_back_is_a_later_boot() {
        assert_eq!(compare(Some(info(3, 0, 1868)), info(4, 0, 1865)), CounterState::LaterBoot);
    }

    #[test]
    fn a_tpm_restart_is_seen_although_reset_count_stands_still() {
        let state = compare(Some(info(3, 0, 10)), info(3, 1, 20));
        assert_eq!(state, CounterState::Restarted { restart_count: 1 });
        assert_eq!(compare(None, info(3, 1, 20)), CounterState::Restarted { restart_count: 1 });
    }

    #[test]
    fn a_pair_or_a_clock_that_falls_is_a_rollback() {
        let (known, cleared) = (info(14, 0, 100), info(13, 0, 900));
        assert_eq!(compare(Some(known), cleared), CounterState::Fell { known, found: cleared });
        let earlier = info(14, 0, 99);
        assert_eq!(compare(Some(known), earlier), CounterState::Fell { known, found: earlier });
        assert_eq!(compare(Some(known), known), CounterState::SameBoot);
    }

    #[test]
    fn a_reboot_after_a_hibernate_is_no_rollback() {
        assert_eq!(compare(Some(info(7, 3, 50)), info(8, 0, 60)), CounterState::LaterBoot);
    }

    #[test]
    fn what_is_remembered_only_rises() {
        assert_eq!(later(info(2, 0, 5), info(1, 9, 99)), info(2, 0, 5));
        assert_eq!(later(info(2, 0, 5), info(2, 0, 6)), info(2, 0, 6));
    }
}
