//! What goes to stdout, and what the exit code says.

use crate::failure::{ERROR, Failure};
use serde::Serialize;
use std::{
    fmt::{self, Display},
    io::{self, Write},
    process::ExitCode,
};

/// The answer of a subcommand that did its work; what it could not do is a `Failure`, exit code 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit code 0: yes, or done.
    Yes,
    /// Exit code 1.
    No,
    /// Exit code 2.
    Unknown,
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> ExitCode {
        ExitCode::from(match answer {
            Answer::Yes => 0,
            Answer::No => 1,
            Answer::Unknown => 2,
        })
    }
}

/// Where results go: text for people, or one JSON object.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// `json` is the global flag.
    pub(crate) fn new(json: bool) -> Output {
        Output { json }
    }

    /// Prints a result: its `Display` for people, its `Serialize` as JSON.
    pub(crate) fn show(&self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        let text = match self.json {
            true => serde_json::to_string_pretty(result).map_err(not_json)?,
            false => printable(&result.to_string()),
        };
        match write_line(text.trim_end()) {
            // The reader has seen enough (`garant log boot.bin | head`).
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|e| not_written(&e)),
        }
    }

    /// Prints one of many results, each one line, also as JSON.
    pub(crate) fn show_line(&self, result: &(impl Display + Serialize)) -> Result<(), NotShown> {
        let text = match self.json {
            true => serde_json::to_string(result).map_err(not_json)?,
            false => printable(&result.to_string()).replace('\n', " "),
        };
        write_line(text.trim_end()).map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => NotShown::ReaderLeft,
            _ => NotShown::Failed(not_written(&e)),
        })
    }
}

/// Why there are no more lines.
#[derive(Debug)]
pub(crate) enum NotShown {
    /// The reader has seen enough.
    ReaderLeft,
    /// Something failed.
    Failed(Failure),
}

impl From<Failure> for NotShown {
    fn from(failure: Failure) -> NotShown {
        NotShown::Failed(failure)
    }
}

fn write_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush())
}

fn not_json(error: serde_json::Error) -> Failure {
    Failure::new("the result cannot be written as JSON", error, "this is an error in garant: please report it")
}

fn not_written(error: &io::Error) -> Failure {
    Failure::new("the result cannot be written", error, "check where stdout goes")
}

/// A sentence, or a file's whole text.
#[derive(Debug, Serialize)]
pub(crate) struct Text {
    pub(crate) text: &'static str,
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Text without what a terminal would obey: names in certificates and other words from outside may hold it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Prints help, the version, or what is wrong with the command line.
pub(crate) fn usage(usage: &clap::Error) -> ExitCode {
    // Nothing is left to say where even this cannot be printed.
    let _ = usage.print();
    if usage.use_stderr() { ExitCode::from(ERROR) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_to_a_terminal_is_printed() {
        assert_eq!(printable("CN=\u{1b}[2J\u{9b}31m\u{7f}a\r\n\tb"), "CN=[2J31ma\n\tb");
    }
}
