//! `garant statement mandate sign`: the owner's word that a node is his machine.

use super::{Written, key_id, node, seal, signer::SignerArgs, unsigned, write};
use crate::{
    failure::Failure,
    input,
    output::{Answer, Output},
    time,
};
use garant_attest::{
    budget,
    cbor::{Bytes, Bytes32},
    cose::StatementError,
    owner::{mandate::Mandate, voucher::ClaimedVoucher},
};
use garant_channel::engine::FastEngine;
use std::path::PathBuf;

/// Sign a mandate: this node, with this attestation key, is the machine at the end of this voucher.
///
/// It lasts at most 7 days, so that nobody can show it long after a sale; sign the next one in time. The node carries it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The machine's voucher, whose last owner you are.
    voucher: PathBuf,
    /// The node: its enrolment record (`garant enroll`), or its node id.
    #[arg(long, value_name = "RECORD|ID")]
    node: String,
    /// Name of its attestation key in hexadecimal digits, where --node is no record.
    #[arg(long, value_name = "HEX")]
    ak_name: Option<String>,
    /// Days that it lasts.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=7))]
    days: u64,
    #[command(flatten)]
    signer: SignerArgs,
    /// File for the mandate; an existing one is never touched.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// Signs and writes it.
pub(super) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let node = node(&args.node)?;
    let given = args.ak_name.as_deref().map(bytes_of).transpose()?;
    let ak_name = given.or(node.ak_name).ok_or_else(|| {
        Failure::new("the attestation key is not named", &args.node, "give the node's record, or --ak-name")
    })?;
    let signer = args.signer.signer()?;
    let voucher = input::read(&args.voucher, budget::CARRIED_STATEMENT_BYTES)?;
    let place = || args.voucher.display();
    let held = ClaimedVoucher::decode(&voucher).and_then(|voucher| voucher.follow(&FastEngine));
    let held = held.map_err(|error| Failure::new(error, place(), "give a voucher"))?;
    if let Some(fault) = held.fault() {
        return Err(Failure::new(fault, place(), "ask its last owner for the whole voucher"));
    }
    if held.owner().key != signer.public() {
        let what = format!("the machine's present owner is {}", crate::event_words::hex(&held.owner().id));
        return Err(Failure::new(what, place(), "only the present owner's key can sign its mandate"));
    }
    if held.machine().node_id != node.id {
        return Err(Failure::new("the voucher is for another node", place(), "give the voucher of this node"));
    }
    let issued = time::now();
    let mandate = Mandate {
        expires: issued.saturating_add(args.days.saturating_mul(DAY_S)),
        issued,
        node_id: Bytes32::new(node.id),
        ak_name: Bytes::new(&ak_name),
        head: Bytes32::new(held.head()),
    };
    write(&args.out, &seal(&mandate, &signer)?)?;
    output.show(&Written {
        kind: "mandate",
        file: args.out.clone(),
        signed_by: key_id(&signer.public()),
        expires: Some(time::print(mandate.expires)),
    })?;
    Ok(Answer::Yes)
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, Failure> {
    let digits: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().filter(|_| pair.len() == 2))
        .map(|pair| u8::from_str_radix(pair?, 16).ok())
        .collect();
    digits.ok_or_else(|| unsigned(&StatementError::Claim { what: "AK Name" }))
}

const DAY_S: u64 = 86_400;
const EXAMPLES: &str = "\
Examples:
  garant statement mandate sign node.voucher --node node.record --key owner.key --out node.mandate
  garant statement mandate sign node.voucher --node node.record --days 2 --out node.mandate \\
      --signer 'openssl dgst -sha256 -binary | pkcs11-tool --module M --sign --mechanism ECDSA --id 01' \\
      --signer-key owner.pem";
