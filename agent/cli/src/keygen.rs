//! `garant keygen`: a key for a verifier.

use crate::{
    event_words::hex,
    failure::Failure,
    output::{Answer, Output},
};
use garant_attest::engine::PublicKey;
use garant_channel::engine::FastEngine;
use garant_verifier::seal::generate_key;
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// Make an Ed25519 key that signs enrolment records and attestation results.
///
/// The public half is printed: nodes that answer only listed verifiers, nodes that push, and relying parties need it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// File for the private key (PKCS#8 in PEM); an existing one is never touched.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Makes and prints the key.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let key = generate_key(&args.out)
        .map_err(|error| Failure::new(error, args.out.display(), "name a new file in a folder that you may write"))?;
    let id = PublicKey::Ed25519(key.public()).id(&FastEngine).unwrap_or_default();
    output.show(&NewKey { file: args.out.display().to_string(), public_key: hex(&key.public()), key_id: hex(&id) })?;
    Ok(Answer::Yes)
}

#[derive(Serialize)]
struct NewKey {
    file: String,
    public_key: String,
    key_id: String,
}

impl fmt::Display for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "private key  {} (keep it secret)", self.file)?;
        writeln!(f, "public key   {}", self.public_key)?;
        writeln!(f, "key id       {}", self.key_id)
    }
}

const EXAMPLES: &str = "\
Examples:
  garant keygen --out verifier.key
  openssl pkey -in verifier.key -text -noout      the same key, read by another tool";
