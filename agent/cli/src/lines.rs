//! What a subcommand that stays says on stderr while it runs.

use std::{
    fmt,
    io::{self, Write},
};

/// One line on stderr for each thing that an operator would ask about.
struct Lines;

impl ::log::Log for Lines {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.level() <= ::log::Level::Info
    }

    fn log(&self, record: &::log::Record<'_>) {
        if self.enabled(record.metadata()) {
            line(format_args!("{} {}", record.level().as_str().to_lowercase(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Writes one line. A full disk or a closed pipe behind stderr ends no server: `eprintln!` would.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Writes what is logged, from `info` on.
pub(crate) fn start_logging() {
    // A logger that is there already stays.
    let _ = ::log::set_logger(&Lines);
    ::log::set_max_level(::log::LevelFilter::Info);
}
