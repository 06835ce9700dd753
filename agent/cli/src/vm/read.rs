//! `garant vm get`, `list` and `console`.

use super::{
    client::Client,
    shown::{Console, Table, Whole},
};
use crate::{failure::Failure, output::Output};
use garant_api::spec::VmId;

/// Show a VM: what it is, what it is doing, and when it got there.
#[derive(Debug, clap::Args)]
#[command(after_help = GET)]
pub(super) struct GetArgs {
    /// Name of the VM.
    id: VmId,
}

/// Print the last 64 KiB of what a VM's console said.
#[derive(Debug, clap::Args)]
#[command(after_help = CONSOLE)]
pub(super) struct ConsoleArgs {
    /// Name of the VM.
    id: VmId,
}

/// Shows one.
pub(super) async fn get(args: &GetArgs, client: &mut Client, output: &Output) -> Result<(), Failure> {
    let vm = client.get(&args.id).await.map_err(|no_answer| client.failure(&args.id, &no_answer))?;
    output.show(&Whole(vm))
}

/// Shows all.
pub(super) async fn list(client: &mut Client, output: &Output) -> Result<(), Failure> {
    let list = client.list().await.map_err(|no_answer| client.failure(&"the list of VMs", &no_answer))?;
    output.show(&Table(list))
}

/// Shows what the guest said. Text of guests may hold anything: nothing of it commands the terminal.
pub(super) async fn console(args: &ConsoleArgs, client: &mut Client, output: &Output) -> Result<(), Failure> {
    let said = client.console(&args.id).await.map_err(|no_answer| client.failure(&args.id, &no_answer))?;
    output.show(&Console { console: String::from_utf8_lossy(&said).into_owned() })
}

const GET: &str = "\
Examples:
  garant vm get web-1
  garant vm get web-1 --json | jq .times";
pub(super) const LIST: &str = "\
Examples:
  garant vm list
  garant vm list --json | jq -r '.vms[] | select(.state == \"failed\") | .id'";
const CONSOLE: &str = "\
Examples:
  garant vm console web-1 | tail -n 20";
