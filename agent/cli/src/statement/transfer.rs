//! `garant statement transfer sign`: one owner hands a machine to the next.

use super::{Written, key_id, node, signer::SignerArgs, unsigned, write};
use crate::{
    event_words::hex,
    failure::Failure,
    input,
    output::{Answer, Output},
    public_key, time,
};
use clap::ArgGroup;
use garant_attest::{
    budget,
    cbor::Bytes,
    cose::StatementError,
    engine::PublicKey,
    owner::voucher::{self, ClaimedVoucher, Machine, Terms, VoucherError},
};
use garant_channel::engine::FastEngine;
use std::path::PathBuf;

/// Sign a voucher's next entry, by which you hand the machine to a new owner.
///
/// The first owner (the machine's maker, or whoever adopts it) names the machine by --node and --chassis and begins a new
/// voucher; every later one gives the voucher that he got. The file is for the new owner; keep a copy. Never hand one
/// machine to two owners: both vouchers together are an alarm.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("from").args(["voucher", "node"]).required(true))]
pub(crate) struct Args {
    /// The voucher whose last owner you are.
    voucher: Option<PathBuf>,
    /// Begin a new voucher for this node: its enrolment record (`garant enroll`), or its node id.
    #[arg(long, value_name = "RECORD|ID", conflicts_with = "voucher")]
    node: Option<String>,
    /// The chassis' serial number, as SMBIOS says it; left out, the voucher speaks of the TPM alone.
    #[arg(long, value_name = "TEXT", conflicts_with = "voucher")]
    chassis: Option<String>,
    /// The new owner's public key: 64 hexadecimal digits (Ed25519), PEM, or a certificate. Certificates stay in the
    /// voucher, the owner's seal first, so that the owner has a name.
    #[arg(long, value_name = "KEY")]
    to: String,
    /// When the new owner's right ends, as a lessee's: 2027-01-31; left out, it does not end.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    signer: SignerArgs,
    /// File for the voucher with the new entry; an existing one is never touched.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// Signs and writes it.
pub(super) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let signer = args.signer.signer()?;
    let to = public_key::read(&args.to)?;
    let before = match (&args.voucher, &args.node) {
        (Some(path), _) => input::read(path, budget::CARRIED_STATEMENT_BYTES)?,
        (None, node) => begin(args, node.as_deref().unwrap_or_default(), &signer.public())?,
    };
    check_owner(&before, &signer.public(), args)?;
    let expires = args.until.as_deref().map(time::parse).transpose()?;
    let issued = time::now();
    if expires.is_some_and(|expires| expires <= issued) {
        return Err(Failure::new("the new owner's right would end before it begins", "--until", "name a later time"));
    }
    let certificates = to.certificates.iter().map(|der| Bytes::new(der.as_slice())).collect();
    let certificates = Some(certificates).filter(|_| !to.certificates.is_empty());
    let terms = Terms { expires, issued, certificates };
    let signed = voucher::hand_over(&FastEngine, &before, &to.key, &terms, |message| {
        signer.sign(message).map_err(Unsigned::Signer)
    });
    write(&args.out, &signed.map_err(|unsigned| unsigned.failure(args))?)?;
    output.show(&Written {
        kind: "voucher",
        file: args.out.clone(),
        signed_by: key_id(&signer.public()),
        expires: expires.map(time::print),
    })?;
    Ok(Answer::Yes)
}

fn begin(args: &Args, node_text: &str, maker: &PublicKey) -> Result<Vec<u8>, Failure> {
    let chassis = args.chassis.as_deref().unwrap_or_default();
    let machine = Machine { node_id: node(node_text)?.id, chassis };
    voucher::begin(&machine, maker).map_err(|error| {
        Failure::new(
            error,
            chassis,
            "a chassis is called by at most 64 printable ASCII letters; keys are Ed25519, P-256 or P-384",
        )
    })
}

/// A token is not asked for a signature that could not count.
fn check_owner(before: &[u8], signer: &PublicKey, args: &Args) -> Result<(), Failure> {
    let held = ClaimedVoucher::decode(before).and_then(|voucher| voucher.follow(&FastEngine));
    let held = held.map_err(|error| Unsigned::Voucher(error).failure(args))?;
    if held.owner().key == *signer {
        return Ok(());
    }
    let what = format!("the machine's present owner is {}", hex(&held.owner().id));
    Err(Failure::new(what, place(args), "only the present owner can hand the machine on"))
}

fn place(args: &Args) -> String {
    args.voucher.as_ref().map_or_else(|| "the new voucher".to_owned(), |path| path.display().to_string())
}

/// Why there is no new entry.
enum Unsigned {
    Voucher(VoucherError),
    Statement(StatementError),
    Signer(Failure),
}

impl From<VoucherError> for Unsigned {
    fn from(error: VoucherError) -> Unsigned {
        Unsigned::Voucher(error)
    }
}

impl From<StatementError> for Unsigned {
    fn from(error: StatementError) -> Unsigned {
        Unsigned::Statement(error)
    }
}

impl Unsigned {
    fn failure(self, args: &Args) -> Failure {
        match self {
            Unsigned::Voucher(error) => {
                Failure::new(error, place(args), "give the whole voucher; keys are Ed25519, P-256 or P-384")
            }
            Unsigned::Statement(error) => unsigned(&error),
            Unsigned::Signer(failure) => failure,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  garant statement transfer sign --node node.record --chassis S4711 --to integrator.pub --key maker.key --out a.voucher
  garant statement transfer sign a.voucher --to owner-seal.pem --key integrator.key --out b.voucher
  garant statement transfer sign b.voucher --to lessee.pub --until 2027-12-31 --key owner.key --out c.voucher
  garant statement transfer show c.voucher";
