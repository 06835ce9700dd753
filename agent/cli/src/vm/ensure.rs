//! `garant vm ensure`: what a VM is.

use super::{client::Client, shown::Line, spec_file, wait::WaitArgs};
use crate::{failure::Failure, output::Output};
use clap::ArgGroup;
use garant_api::{
    spec::{Ensure, VmId},
    vm::{Act, Verb},
};
use std::path::PathBuf;

/// Say what a VM is; the node then knows it, and runs it with --start.
///
/// The same name, generation and spec again: the same answer. The same generation with another spec is refused, and so is
/// a past one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").args(["file", "example"]).required(true))]
#[command(mut_arg("wait", |wait| wait.requires("start")))]
pub(super) struct Args {
    /// Name of the VM: 1 to 63 of the characters a-z, 0-9 and -.
    #[arg(required_unless_present = "example")]
    id: Option<VmId>,
    /// The spec, TOML or JSON; --example explains every line.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print an example spec with every line explained.
    #[arg(long)]
    pub(super) example: bool,
    /// Counted by you: one more for each new spec.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    generation: u64,
    /// Start it too.
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Sends the spec, and prints what the VM is doing then.
pub(super) async fn run(args: &Args, client: &mut Client, output: &Output) -> Result<(), Failure> {
    let (Some(id), Some(file)) = (&args.id, &args.file) else {
        return Err(Failure::new("no VM is named", "the command line", "garant vm ensure NAME -f FILE"));
    };
    let ensure = Ensure { generation: args.generation, spec: spec_file::read(file)? };
    let ensured = client.ensure(id, &ensure).await.map_err(|no_answer| client.failure(id, &no_answer))?;
    let vm = if args.start { start(id, args, client).await? } else { ensured };
    output.show(&Line(vm))
}

async fn start(id: &VmId, args: &Args, client: &mut Client) -> Result<garant_api::vm::Vm, Failure> {
    let act = Act { generation: args.generation, grace_s: None };
    let vm = client.act(id, Verb::Start, &act).await.map_err(|no_answer| client.failure(id, &no_answer))?;
    args.wait.until(Verb::Start, vm, client).await
}

const EXAMPLES: &str = "\
Examples:
  garant vm ensure --example > web-1.toml
  garant vm ensure web-1 -f web-1.toml
  garant vm ensure web-1 -f web-1.toml --start --wait
  garant vm ensure web-1 -f changed.toml --generation 2 --start
  jq .spec vm.json | garant vm ensure web-2 -f -";
