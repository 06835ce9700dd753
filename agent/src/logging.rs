//! One line on standard error for each thing that an operator would ask about, with the level as `<N>` in front, which
//! journald and the kernel's console understand (sd-daemon(3)).

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write;

/// Sends what `log` records to standard error, from `info` on.
pub fn start() {
    // A second start leaves the first in place.
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("<{}>garantd: {}\n", priority(record.level()), record.args());
            // Nobody could be told that standard error is gone.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// syslog's priority (RFC 5424, table 2).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
