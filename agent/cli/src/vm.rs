//! `garant vm`: what a person or a script has a node do with VMs, over the node's Unix socket, or from elsewhere.

mod act;
pub(crate) mod client;
mod ensure;
mod read;
mod shown;
mod spec_file;
mod wait;
mod watch;

use crate::{
    failure::Failure,
    output::{Answer, Output},
    place::block_on,
    verify::Asking,
};
use clap::Subcommand;
use garant_api::vm::Verb;
use garant_verifier::dial::Address;
use std::path::PathBuf;

/// Run VMs on this node, or one elsewhere: say what a VM is (`ensure`), then start, pause, resume, stop and delete it.
///
/// A VM has a name and a generation that you choose. The same request twice does the same once, so that a script whose
/// answer got lost asks again. To change a VM, ensure it with the next generation.
///
/// A node elsewhere (--node) is asked over TLS with your --key, which its configuration has to list as a client. Before
/// anything is asked of it, it has to prove itself on the same connection: its evidence must be yes under --policy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Unix socket of garantd.
    #[arg(long, global = true, value_name = "PATH", default_value = "/run/garantd/garantd.sock")]
    socket: PathBuf,
    /// A node elsewhere, host:port, instead of the socket of this one.
    #[arg(long, global = true, value_name = "ADDRESS", conflicts_with = "socket")]
    node: Option<Address>,
    #[command(flatten)]
    asking: Asking,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ensure(ensure::Args),
    /// Run a VM from the beginning.
    #[command(after_help = act::START)]
    Start(act::Args),
    /// Halt a VM's CPUs; its memory stays.
    #[command(after_help = act::PAUSE)]
    Pause(act::Args),
    /// Let a paused VM go on.
    #[command(after_help = act::RESUME)]
    Resume(act::Args),
    Stop(act::StopArgs),
    /// End a VM at once, and forget it and what it wrote.
    #[command(after_help = act::DELETE)]
    Delete(act::Args),
    Get(read::GetArgs),
    /// List all VMs.
    #[command(after_help = read::LIST)]
    List,
    Console(read::ConsoleArgs),
    Watch(watch::Args),
}

/// Does it.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    if let Command::Ensure(ensure) = &args.command
        && ensure.example
    {
        return spec_file::show_example(output);
    }
    block_on(ask(args, output))??;
    Ok(Answer::Yes)
}

async fn ask(args: &Args, output: &Output) -> Result<(), Failure> {
    let node = match &args.node {
        Some(address) => client::Node::Far(address.clone(), Box::new(args.asking.clone())),
        None => client::Node::Near(args.socket.clone()),
    };
    let mut client = client::Client::new(node);
    match &args.command {
        Command::Ensure(args) => ensure::run(args, &mut client, output).await,
        Command::Start(args) => act::run(Verb::Start, args, &mut client, output).await,
        Command::Pause(args) => act::run(Verb::Pause, args, &mut client, output).await,
        Command::Resume(args) => act::run(Verb::Resume, args, &mut client, output).await,
        Command::Stop(args) => act::stop(args, &mut client, output).await,
        Command::Delete(args) => act::run(Verb::Delete, args, &mut client, output).await,
        Command::Get(args) => read::get(args, &mut client, output).await,
        Command::List => read::list(&mut client, output).await,
        Command::Console(args) => read::console(args, &mut client, output).await,
        Command::Watch(args) => watch::run(args, &mut client, output).await,
    }
}

const EXAMPLES: &str = "\
Examples:
  garant image add vmlinuz                              prints the digest by which a spec names it
  garant vm ensure --example > web-1.toml
  garant vm ensure web-1 -f web-1.toml --start --wait   until the VMM says that it runs
  garant vm get web-1 --json | jq -r .state
  garant vm stop web-1 --grace 30 --wait
  garant vm delete web-1
  garant vm list --node node.example:8460 --key shop.key --policy policy.toml --record node.record

Exit codes: 0 done, 3 error (refused, failed, or not in time).";
