//! `garant keygen`: a key for whoever signs: verifier, owner, auditor, landmark, operator.

use crate::{
    event_words::hex,
    failure::Failure,
    output::{Answer, Output},
};
use garant_attest::engine::PublicKey;
use garant_channel::engine::FastEngine;
use garant_verifier::seal::generate_key;
use serde::Serialize;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Make an Ed25519 key: for a verifier (records and results), an owner (transfers and mandates), an auditor (sites), a
/// landmark or an operator.
///
/// All are the same kind of file; what a key may say is decided by the policies that name it, so use one for each role.
/// The public half is printed: policies name it by its key id, nodes and configurations by the key itself.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// File for the private key (PKCS#8 in PEM); an existing one is never touched.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File for the public key (PEM), to hand out.
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

/// Makes and prints the key.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let key = generate_key(&args.out)
        .map_err(|error| Failure::new(error, args.out.display(), "name a new file in a folder that you may write"))?;
    let public = PublicKey::Ed25519(key.public());
    if let Some(path) = &args.public {
        write_public(path, &public)?;
    }
    let id = public.id(&FastEngine).unwrap_or_default();
    output.show(&NewKey { file: args.out.display().to_string(), public_key: hex(&key.public()), key_id: hex(&id) })?;
    Ok(Answer::Yes)
}

fn write_public(path: &Path, key: &PublicKey) -> Result<(), Failure> {
    let pem = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &key.spki().unwrap_or_default());
    let written = pem.map_err(io::Error::other).and_then(|pem| fs::write(path, pem));
    written.map_err(|error| Failure::new(error, path.display(), "name a file in a folder that you may write"))
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
  garant keygen --out owner.key --public owner.pub
  openssl pkey -in verifier.key -text -noout      the same key, read by another tool";
