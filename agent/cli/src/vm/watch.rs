//! `garant vm watch`: what happens to VMs, as it happens.

use super::{
    client::Client,
    shown::{Gap, Happened, Line},
};
use crate::{
    failure::Failure,
    output::{NotShown, Output},
};
use std::{convert::Infallible, time::Duration};
use tokio::time::sleep;

/// Print all VMs, then one line for each change, until you end it.
///
/// With --json each line is one object: a VM, an event, or a gap, after which all VMs are printed anew.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Begin after the event with this number instead of with all VMs.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
}

/// Prints until it is ended, the reader has seen enough, or the node is away.
pub(super) async fn run(args: &Args, client: &mut Client, output: &Output) -> Result<(), Failure> {
    match follow(args.after, client, output).await {
        Err(NotShown::Failed(failure)) => Err(failure),
        Ok(_) | Err(NotShown::ReaderLeft) => Ok(()),
    }
}

async fn follow(after: Option<u64>, client: &mut Client, output: &Output) -> Result<Infallible, NotShown> {
    let mut after = match after {
        Some(after) => after,
        None => list(client, output).await?,
    };
    loop {
        let found = client.events(after).await;
        let found = found.map_err(|no_answer| client.failure(&format!("events after {after}"), &no_answer))?;
        if found.has_gap(after) {
            output.show_line(&Gap { after, first_kept: found.first_kept })?;
            after = list(client, output).await?;
            continue;
        }
        if found.events.is_empty() {
            sleep(PAUSE).await;
        }
        for event in found.events {
            after = after.max(event.sequence);
            output.show_line(&Happened(event))?;
        }
    }
}

/// Prints all VMs, and says after which event they are as they are.
async fn list(client: &mut Client, output: &Output) -> Result<u64, NotShown> {
    let list = client.list().await.map_err(|no_answer| client.failure(&"the list of VMs", &no_answer))?;
    list.vms.into_iter().try_for_each(|vm| output.show_line(&Line(vm)))?;
    Ok(list.sequence)
}

const EXAMPLES: &str = "\
Examples:
  garant vm watch
  garant vm watch --json | jq --unbuffered -r 'select(.state == \"failed\") | .id'";
/// Before the next question where the node answers at once that nothing happened.
const PAUSE: Duration = Duration::from_millis(200);
