//! `garant enroll`: shows once that a node's attestation key lives in a TPM that its maker certified.

use crate::{
    failure::Failure,
    output::{Answer, Output},
    place::{Trust, block_on, failure, progress},
};
use garant_verifier::{
    assess::Rulebook,
    clock::Clock,
    dial::{Address, Link},
    enrol::{CertifiedNode, certify},
    error::VerifierError,
    report::hex,
    seal::Sealer,
    serve::witnesses,
    session::Session,
    store::Store,
};
use serde::Serialize;
use std::{fmt, fs, path::PathBuf};

/// Prove once that a node's keys live in one certified TPM, and write that down.
///
/// Checks the TPM's endorsement key certificate up to its maker's root, then sends a secret that only that TPM can read.
/// The result is a record signed by your key: to you it is as good as the chip, to others it is your testimony. A known
/// machine whose TPM was cleared or replaced is enrolled anew only by a key that the policy names in reenrolment_keys.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// host:port, or unix:PATH on the machine itself.
    address: Address,
    /// Where to write the record; default: records/<node id>.record in the state folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Policy whose reenrolment_keys may replace an enrolment.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

/// Enrols the node.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let rules = args.trust.sources(args.policy.as_deref()).read().map_err(failure)?;
    let sealer = Sealer::new(args.trust.key_or_new()?, Vec::new());
    let (statement, node) = block_on(activate(args, &rules, &sealer))?.map_err(failure)?;
    let store = Store::open(&args.trust.store_file()?).map_err(|error| failure(error.into()))?;
    let witnesses = witnesses(sealer.key(), &rules);
    let kept = rules.open(&statement, &witnesses).and_then(|record| {
        record.keep(&rules, &store, &statement, None)?;
        Ok(store.record(*record.id().as_bytes())?.unwrap_or_else(|| statement.clone()))
    });
    let kept = kept.map_err(failure)?;
    let file = match &args.out {
        Some(file) => file.clone(),
        None => args.trust.folder()?.join("records").join(format!("{}.record", node.id())),
    };
    write(&file, &kept)?;
    output.show(&Enrolled::new(&node, file))?;
    Ok(Answer::Yes)
}

async fn activate(args: &Args, rules: &Rulebook, sealer: &Sealer) -> Result<(Vec<u8>, CertifiedNode), VerifierError> {
    progress(&format!("dialling {}", args.address));
    let link = Link::dial(&args.address, Some(sealer.key())).await?;
    let mut session = Session::new(link, Clock::of_this_boot().map_err(VerifierError::Clock)?);
    progress("checking the endorsement key's certificates");
    let node = certify(rules, &session.identity().await?)?;
    progress("waiting for the TPM to activate the credentials");
    let statement = node.clone().activate(&mut session).await?.sign(sealer)?;
    Ok((statement, node))
}

fn write(file: &PathBuf, bytes: &[u8]) -> Result<(), Failure> {
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, bytes));
    written.map_err(|source| failure(VerifierError::File { path: file.clone(), source }))
}

#[derive(Debug, Serialize)]
struct Enrolled {
    node: String,
    ak_name: String,
    endorsement_keys: Vec<EndorsementKey>,
    record: PathBuf,
}

#[derive(Debug, Serialize)]
struct EndorsementKey {
    tpm: Option<String>,
    root: String,
    root_kind: String,
}

impl Enrolled {
    fn new(node: &CertifiedNode, record: PathBuf) -> Enrolled {
        let keys = node.eks().map(|ek| EndorsementKey {
            tpm: ek.names().map(ToString::to_string),
            root: ek.root().to_owned(),
            root_kind: ek.kind().to_string(),
        });
        let ak_name = hex(node.ak().name().as_bytes());
        Enrolled { node: node.id().to_string(), ak_name, endorsement_keys: keys.collect(), record }
    }
}

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "node      {}", self.node)?;
        writeln!(f, "ak name   {}", self.ak_name)?;
        for key in &self.endorsement_keys {
            let tpm = key.tpm.as_deref().unwrap_or("a virtual TPM without names");
            writeln!(f, "tpm       {tpm}\nroot      {} ({})", key.root, key.root_kind)?;
        }
        writeln!(f, "record    {}", self.record.display())
    }
}

const EXAMPLES: &str = "\
Examples:
  garant enroll node.example:8460 --key verifier.key --out node.record
  garant enroll unix:/run/garantd/garantd.sock --ca swtpm-root.pem --ca swtpm-intermediate.pem
  garant enroll node.example:8460 --policy policy.toml --key reenrol.key   after the TPM was cleared";
