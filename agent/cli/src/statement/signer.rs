//! Who signs: a key file, or a command that asks a token, smart card or HSM.

use crate::{failure::Failure, place::failure, public_key};
use clap::ArgGroup;
use garant_attest::engine::PublicKey;
use garant_channel::key::SigningKey;
use garant_verifier::seal::read_key;
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

/// Options of every subcommand that signs a statement.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("who").args(["key", "signer"]))]
pub(crate) struct SignerArgs {
    /// Your private key (`garant keygen`).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A shell command that signs: it gets the bytes on standard input and writes the bare signature to standard output,
    /// over SHA-256 for P-256 and SHA-384 for P-384, as r and s of 32 or 48 bytes each; 64 bytes for Ed25519.
    #[arg(long, value_name = "COMMAND", requires = "signer_key")]
    signer: Option<String>,
    /// The public key with which that command signs: 64 hexadecimal digits (Ed25519), PEM, or a certificate.
    #[arg(long, value_name = "KEY", requires = "signer")]
    signer_key: Option<String>,
}

/// Somebody who can sign.
pub(crate) enum Signer {
    /// With a key of ours.
    Key(SigningKey),
    /// With a command.
    Command(String, PublicKey),
}

impl SignerArgs {
    /// Reads the key, or the public half of what the command signs with.
    pub(crate) fn signer(&self) -> Result<Signer, Failure> {
        match (&self.key, &self.signer, &self.signer_key) {
            (Some(key), _, _) => Ok(Signer::Key(read_key(key).map_err(failure)?)),
            (_, Some(command), Some(key)) => Ok(Signer::Command(command.clone(), public_key::read(key)?.key)),
            _ => Err(Failure::new(
                "nobody signs",
                "the command line",
                "name a key with --key, or a command with --signer",
            )),
        }
    }
}

impl Signer {
    /// The public half.
    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Signer::Key(key) => PublicKey::Ed25519(key.public()),
            Signer::Command(_, key) => key.clone(),
        }
    }

    /// The signature over these bytes. Whoever calls checks it: a command may answer anything.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Signer::Key(key) => Ok(key.sign(message).to_vec()),
            Signer::Command(command, _) => ask(command, message),
        }
    }
}

fn ask(command: &str, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let fault = |what: String| Failure::new(what, command, "try the command by itself: bytes in, signature out");
    let lost = |error| fault(format!("the signer cannot be asked: {error}"));
    let mut signer =
        Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(lost)?;
    let (stdin, stdout) = (signer.stdin.take(), signer.stdout.take());
    // Written beside the reading, so that a signer that answers early cannot wait for us while we wait for it. One that
    // does not read to the end may be right: what it answers is checked.
    let message = message.to_vec();
    let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&message)));
    let mut signature = Vec::new();
    stdout.map_or(Ok(0), |stdout| stdout.take(SIGNATURE_BYTES).read_to_end(&mut signature)).map_err(lost)?;
    let ended = signer.wait().map_err(lost)?;
    // The writer's own failure says less than the signer's.
    let _ = writer.join();
    if !ended.success() {
        return Err(fault(format!("the signer failed: {ended}")));
    }
    if signature.is_empty() {
        return Err(fault("the signer wrote nothing".to_owned()));
    }
    Ok(signature)
}

/// More than any signature that is taken: r and s of P-384 are 96 bytes.
const SIGNATURE_BYTES: u64 = 1024;
