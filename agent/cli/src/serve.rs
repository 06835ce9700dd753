//! `garant serve`: a verifier that stays.

use crate::{
    failure::Failure,
    lines::{line, start_logging},
    output::{Answer, Output, Text},
    place::{block_on, failure},
};
use clap::ArgGroup;
use garant_verifier::{config, serve::Service};
use std::path::PathBuf;

/// Accept nodes that push, ask those that are listed, and answer relying parties.
///
/// Only machines of the asset list are kept or shown. A node that falls silent is unknown, and so is everything after a
/// start until it has answered.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").args(["configuration", "example"]).required(true))]
pub(crate) struct Args {
    /// The configuration, TOML.
    configuration: Option<PathBuf>,
    /// Read the configuration and every file that it names, and end.
    #[arg(long, requires = "configuration")]
    check: bool,
    /// Print an example configuration with every option explained.
    #[arg(long)]
    example: bool,
}

/// Serves until it is ended.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let Some(path) = &args.configuration else {
        output.show(&Text { text: config::EXAMPLE })?;
        return Ok(Answer::Yes);
    };
    start_logging();
    let service = Service::open(path).map_err(failure)?;
    if args.check {
        output.show(&Text { text: "the configuration is sound" })?;
        return Ok(Answer::Yes);
    }
    let served = service.run(|listening| {
        line(format_args!("relying parties: {}", listening.relying_parties));
        if let Some(nodes) = listening.nodes {
            line(format_args!("nodes: {nodes}"));
        }
    });
    block_on(served)?.map_err(failure)?;
    Ok(Answer::Yes)
}

const EXAMPLES: &str = "\
Examples:
  garant serve --example > serve.toml
  garant serve serve.toml --check
  garant serve serve.toml
  curl https://verifier.example:8462/v1/nodes";
