//! `garant vm start`, `pause`, `resume`, `stop` and `delete`.

use super::{client::Client, shown::Line, wait::WaitArgs};
use crate::{failure::Failure, output::Output};
use garant_api::{
    budget,
    spec::VmId,
    vm::{Act, GraceS, Verb},
};

/// Which VM, and whether to wait for it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the VM.
    id: VmId,
    /// Generation that you mean; a past one is refused.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    generation: u64,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Ask the guest to shut down, and end it where it does not in time.
#[derive(Debug, clap::Args)]
#[command(after_help = STOP)]
pub(super) struct StopArgs {
    #[command(flatten)]
    act: Args,
    /// Seconds that the guest may take, at most 600; 0 ends it at once. The node's own choice where left out.
    #[arg(long, value_name = "SECONDS", value_parser = grace)]
    grace: Option<GraceS>,
}

/// Asks for it, and prints what the VM is doing then.
pub(super) async fn run(verb: Verb, args: &Args, client: &mut Client, output: &Output) -> Result<(), Failure> {
    act(verb, args, None, client, output).await
}

/// Asks the guest to stop.
pub(super) async fn stop(args: &StopArgs, client: &mut Client, output: &Output) -> Result<(), Failure> {
    act(Verb::Stop, &args.act, args.grace, client, output).await
}

async fn act(
    verb: Verb,
    args: &Args,
    grace_s: Option<GraceS>,
    client: &mut Client,
    output: &Output,
) -> Result<(), Failure> {
    let act = Act { generation: args.generation, grace_s };
    let vm = client.act(&args.id, verb, &act).await.map_err(|no_answer| client.failure(&args.id, &no_answer))?;
    output.show(&Line(args.wait.until(verb, vm, client).await?))
}

fn grace(text: &str) -> Result<GraceS, String> {
    let expected = || format!("a whole number from 0 to {} is expected", budget::GRACE_S);
    let seconds: u64 = text.parse().map_err(|_| expected())?;
    GraceS::try_from(seconds).map_err(|invalid| invalid.to_string())
}

pub(super) const START: &str = "\
Examples:
  garant vm start web-1
  garant vm start web-1 --generation 2 --wait --timeout 10 --json";
pub(super) const PAUSE: &str = "\
Examples:
  garant vm pause web-1 --wait";
pub(super) const RESUME: &str = "\
Examples:
  garant vm resume web-1 --wait";
const STOP: &str = "\
Examples:
  garant vm stop web-1 --grace 30 --wait
  garant vm stop web-1 --grace 0                        at once, without asking the guest";
pub(super) const DELETE: &str = "\
Examples:
  garant vm delete web-1 --wait                         until nothing is left of it";
