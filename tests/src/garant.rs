//! The program `garant`, as a person or a script runs it.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// Runs it and waits.
pub fn garant(arguments: &[&str]) -> Output {
    let run = command(arguments).output();
    run.unwrap_or_else(|e| panic!("{}: {e}; run `cargo build --workspace` first", program().display()))
}

/// The command, for whoever wants to run it differently.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    command
}

/// Beside the tests: `cargo test --workspace` builds it, `cargo test --package garant-tests` takes what is there (to build
/// it from here would build its dependencies a second time, with other features).
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    own.ancestors().nth(2).expect("it lies in a profile's deps folder").join("garant")
}
