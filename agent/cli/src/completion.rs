//! `garant completion`: what a shell needs to complete the command line.

use crate::{
    Cli,
    failure::Failure,
    output::{Answer, Output},
};
use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;
use std::fmt;

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which shell.
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "garant", &mut script);
    output.show(&Script { script: String::from_utf8_lossy(&script).into_owned() })?;
    Ok(Answer::Yes)
}

#[derive(Serialize)]
struct Script {
    script: String,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.script)
    }
}

const EXAMPLES: &str = "\
Examples:
  garant completion bash > /etc/bash_completion.d/garant
  garant completion zsh > ~/.zfunc/_garant
  garant completion fish > ~/.config/fish/completions/garant.fish";
