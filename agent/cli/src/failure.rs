//! What a person is told when a subcommand could not do its work.

use crate::output::printable;
use std::{fmt::Display, process::ExitCode};

/// Exit code of every failure, of the command line too.
pub(crate) const ERROR: u8 = 3;

/// Why there is no answer: what is wrong, where, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    place: String,
    next: String,
}

impl Failure {
    /// `place` is a file, an address, a line or the error below; `next` is something that the reader can do.
    pub(crate) fn new(what: impl Display, place: impl Display, next: impl Display) -> Failure {
        let [what, place, next] = [what.to_string(), place.to_string(), next.to_string()].map(|text| printable(&text));
        Failure { what, place, next }
    }

    /// Tells it on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("error: {}\nwhere: {}\n next: {}", self.what, self.place, self.next);
        ExitCode::from(ERROR)
    }
}
