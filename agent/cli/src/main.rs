//! Is what a person types: `garant`, one file for each subcommand.
//!
//! Every subcommand answers with an exit code (0 yes, 1 no, 2 unknown, 3 error), prints one JSON object instead of text
//! with `--json`, and says on stderr what is wrong, where, and what to do next.

mod bundle;
mod check;
mod check_report;
mod completion;
mod draft;
mod enroll;
mod event_words;
mod explain;
mod explained;
mod failure;
mod image;
mod input;
mod kept_counters;
mod keygen;
mod landmark;
mod lines;
mod log;
mod node;
mod output;
mod place;
mod policy;
mod public_key;
mod quote_files;
mod saved;
mod serve;
mod statement;
mod time;
mod tpm_endorsement;
mod verify;
mod vm;

use crate::{
    failure::Failure,
    output::{Answer, Output},
};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Find out what a machine booted, where it is and whose it is; run VMs on it.
#[derive(Debug, Parser)]
#[command(name = "garant", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bundle(bundle::Args),
    Check(Box<check::Args>),
    Enroll(enroll::Args),
    Serve(serve::Args),
    Verify(Box<verify::Args>),
    Completion(completion::Args),
    Explain(explain::Args),
    Image(image::Args),
    Keygen(keygen::Args),
    Landmark(landmark::Args),
    Log(log::Args),
    Node(node::Args),
    Policy(policy::Args),
    Statement(statement::Args),
    Vm(Box<vm::Args>),
}

fn run(cli: Cli) -> Result<Answer, Failure> {
    let output = Output::new(cli.json);
    match cli.command {
        Command::Bundle(args) => bundle::run(args, &output),
        Command::Check(args) => check::run(&args, &output),
        Command::Enroll(args) => enroll::run(&args, &output),
        Command::Serve(args) => serve::run(&args, &output),
        Command::Verify(args) => verify::run(&args, &output),
        Command::Completion(args) => completion::run(&args, &output),
        Command::Explain(args) => explain::run(&args, &output),
        Command::Image(args) => image::run(&args, &output),
        Command::Keygen(args) => keygen::run(&args, &output),
        Command::Landmark(args) => landmark::run(&args),
        Command::Log(args) => log::run(&args, &output),
        Command::Node(args) => node::run(&args, &output),
        Command::Policy(args) => policy::run(&args, &output),
        Command::Statement(args) => statement::run(&args, &output),
        Command::Vm(args) => vm::run(&args, &output),
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return output::usage(&usage),
    };
    match run(cli) {
        Ok(answer) => answer.into(),
        Err(failure) => failure.report(),
    }
}

const EXAMPLES: &str = "\
Examples:
  garant enroll node.example:8460 --out node.record
  garant verify node.example:8460 --policy policy.toml --record node.record
  garant statement site sign site.toml --key auditor.key --out site.statement
  garant vm ensure web-1 -f web-1.toml --start --wait
  garant log boot.bin              what a boot event log says, and how much of it was measured
  garant log --json - < boot.bin   the same as JSON, from standard input

Exit codes: 0 yes, 1 no, 2 unknown, 3 error (bad input or usage).";
