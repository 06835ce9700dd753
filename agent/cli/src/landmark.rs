//! `garant landmark`: measures how soon nodes answer.

use crate::{
    event_words::hex,
    failure::Failure,
    lines::{line, start_logging},
    output::Answer,
    place::{block_on, failure},
};
use garant_verifier::{
    landmark::{Landmark, SystemClocks},
    seal::read_key,
};
use std::{net::SocketAddr, path::PathBuf};

/// Be a landmark: measure how soon nodes that dial answer, and sign it.
///
/// A signed round trip bounds how far from here the holder of a node's session key is: 150 km for each millisecond. Where
/// this landmark stands, how exactly, and who runs it, stands in the policies of those who believe it. Run it on a machine
/// of your own: in a virtual machine, whoever can pause it can shorten what it measures.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The landmark's private key (`garant keygen`).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// TCP address at which nodes dial.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8463")]
    listen: SocketAddr,
    /// UDP address at which they answer; of the same IP address, and reachable under the same port number from outside.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8463")]
    udp: SocketAddr,
}

/// Measures until it is ended.
pub(crate) fn run(args: &Args) -> Result<Answer, Failure> {
    start_logging();
    let key = read_key(&args.key).map_err(failure)?;
    let public = key.public();
    let served = async {
        let landmark = Landmark::bind(key, args.listen, args.udp, SystemClocks)?;
        let listening = landmark.listening()?;
        line(format_args!("landmark key: {}", hex(&public)));
        line(format_args!("tls: {}", listening.tls));
        line(format_args!("udp: {}", listening.udp));
        landmark.run().await
    };
    block_on(served)?.map_err(failure)?;
    Ok(Answer::Yes)
}

const EXAMPLES: &str = "\
Examples:
  garant keygen --out landmark.key
  garant landmark --key landmark.key
  garant landmark --key landmark.key --listen 192.0.2.1:8463 --udp 192.0.2.1:8463";
