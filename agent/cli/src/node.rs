//! `garant node`: what works on this node, asked of garantd over its Unix socket.

use crate::{
    failure::Failure,
    output::{Answer, Output},
    place::block_on,
    vm::client::{self, Client},
};
use clap::Subcommand;
use garant_api::node::{Node, State};
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// Find out what this node can do, and why not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Unix socket of garantd.
    #[arg(long, global = true, value_name = "PATH", default_value = "/run/garantd/garantd.sock")]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what works for VMs and what is missing, each with what to do.
    ///
    /// KVM works if a guest that turns on paging said so: that /dev/kvm opens proves nothing.
    #[command(after_help = CHECK)]
    Check,
}

/// Does it.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let Command::Check = args.command;
    let mut client = Client::new(client::Node::Near(args.socket.clone()));
    let asked = block_on(client.node())?;
    let node = asked.map_err(|no_answer| client.failure(&"the node", &no_answer))?;
    let answer = answer(&node);
    output.show(&Shown(node))?;
    Ok(answer)
}

/// What is missing is a no; what is still being tried is unknown.
fn answer(node: &Node) -> Answer {
    let has = |state| node.checks.iter().any(|check| check.state == state);
    match (has(State::Missing), has(State::Trying)) {
        (true, _) => Answer::No,
        (false, true) => Answer::Unknown,
        (false, false) => Answer::Yes,
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Node);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.0.checks {
            writeln!(f, "{:<11} {:<8} {}", check.name, check.state.to_string(), check.detail)?;
            if let Some(next) = &check.next {
                writeln!(f, "{:20} -> {next}", "")?;
            }
        }
        Ok(())
    }
}

const CHECK: &str = "\
Examples:
  garant node check
  garant node check --json | jq -r '.checks[] | select(.state == \"missing\") | .name'

Exit codes: 0 all that the configuration asks for works, 1 something is missing, 2 something is still being tried, 3 error.";

#[cfg(test)]
mod tests {
    use super::*;
    use garant_api::node::Check;

    #[test]
    fn one_thing_that_is_missing_is_a_no_and_what_nobody_wants_is_none() {
        let node = |states: &[State]| Node {
            checks: states.iter().map(|state| Check { state: *state, ..Check::works("x", "") }).collect(),
        };
        assert_eq!(answer(&node(&[State::Works, State::Off])), Answer::Yes);
        assert_eq!(answer(&node(&[State::Works, State::Trying])), Answer::Unknown);
        assert_eq!(answer(&node(&[State::Trying, State::Missing])), Answer::No);
    }
}
