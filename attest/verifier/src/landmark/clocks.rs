//! A landmark's clocks, as an argument, so that a test can set them back.

use garant_attest::place::timing::Reading;
use nix::time::{ClockId, clock_gettime};
use std::{io, time::Duration};

/// What a landmark measures by.
pub trait Clocks: Send + Sync + 'static {
    /// Both clocks now.
    fn read(&self) -> io::Result<Reading>;
}

/// The clocks of this machine. In a virtual machine both stand still while it is paused: a landmark runs on a machine of
/// its operator's own, or its hypervisor is believed too.
#[derive(Debug, Clone, Copy)]
pub struct SystemClocks;

impl Clocks for SystemClocks {
    fn read(&self) -> io::Result<Reading> {
        let now = |clock| -> io::Result<u64> {
            let time = Duration::from(clock_gettime(clock)?);
            u64::try_from(time.as_nanos()).map_err(io::Error::other)
        };
        Ok(Reading { monotonic_raw_ns: now(ClockId::CLOCK_MONOTONIC_RAW)?, boottime_ns: now(ClockId::CLOCK_BOOTTIME)? })
    }
}
