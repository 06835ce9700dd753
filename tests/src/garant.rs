//! The program `garant`, as a person or a script runs it.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// Runs it and waits.
pub fn garant(arguments: &[&str]) -> Output {
    let program = program();
    let run = Command::new(&program).args(arguments).output();
    run.unwrap_or_else(|e| panic!("{}: {e}; run `cargo build --workspace` first", program.display()))
}

/// Beside the tests: `cargo test --workspace` builds it, `cargo test --package garant-tests` takes what is there (to build
/// it from here would build its dependencies a second time, with other features).
fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    own.ancestors().nth(2).expect("it lies in a profile's deps folder").join("garant")
}
