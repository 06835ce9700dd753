//! `garant statement`: what owners and auditors sign, and what such a statement says.

mod mandate;
mod shares;
mod show;
mod signer;
mod site;
mod transfer;

pub(crate) use show::{explain, voucher};

use crate::{
    failure::Failure,
    input,
    output::{Answer, Output},
};
use clap::Subcommand;
use garant_attest::{budget, cbor, cose::StatementError, engine::PublicKey, enrolment, node_id::NodeId, statement};
use garant_channel::engine::FastEngine;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

/// Sign what only you can say of a machine (that you hand it on, that you hold it, where it stands, who owns its owner), or
/// read what others signed.
///
/// A statement is testimony of the key that signed it: `garant verify` names that key beside every answer that rests on
/// it. Keys come from `garant keygen`; for a key in a token or HSM, see --signer.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Hand a machine to its next owner: a voucher with one entry more.
    #[command(subcommand)]
    Transfer(Transfer),
    /// Say, as its present owner, that a node is your machine, for at most 7 days.
    #[command(subcommand)]
    Mandate(Mandate),
    /// Say, as an auditor, that a machine or a landmark stands in a building, and what you inspected.
    #[command(subcommand)]
    Site(Site),
    /// Say who holds what in whom: shares, votes, rights.
    #[command(subcommand)]
    Shares(Shares),
    Show(show::Args),
}

#[derive(Debug, Subcommand)]
enum Transfer {
    Sign(transfer::Args),
    Show(show::Args),
}

#[derive(Debug, Subcommand)]
enum Mandate {
    Sign(mandate::Args),
    Show(show::Args),
}

#[derive(Debug, Subcommand)]
enum Site {
    Sign(site::Args),
    Show(show::Args),
}

#[derive(Debug, Subcommand)]
enum Shares {
    Sign(shares::Args),
    Show(show::Args),
}

/// Signs or shows.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    match &args.kind {
        Kind::Transfer(Transfer::Sign(args)) => transfer::run(args, output),
        Kind::Mandate(Mandate::Sign(args)) => mandate::run(args, output),
        Kind::Site(Site::Sign(args)) => site::run(args, output),
        Kind::Shares(Shares::Sign(args)) => shares::run(args, output),
        Kind::Show(args)
        | Kind::Transfer(Transfer::Show(args))
        | Kind::Mandate(Mandate::Show(args))
        | Kind::Site(Site::Show(args))
        | Kind::Shares(Shares::Show(args)) => show::run(args, output),
    }
}

/// A node as a person names it.
struct Node {
    id: [u8; 32],
    /// From a record.
    ak_name: Option<Vec<u8>>,
}

/// Reads a node id, or the file of an enrolment record. The record's signature is not checked: who signs a statement of
/// this node says so himself.
fn node(text: &str) -> Result<Node, Failure> {
    if let Ok(id) = text.parse::<NodeId>() {
        return Ok(Node { id: *id.as_bytes(), ak_name: None });
    }
    let fault = || Failure::new("is no enrolment record and no node id", text, "`garant enroll` writes a record");
    let bytes = input::read(Path::new(text), budget::STATEMENT_BYTES)?;
    let claimed = garant_attest::cose::ClaimedStatement::decode(&bytes).map_err(|_| fault())?;
    if claimed.content_type() != enrolment::CONTENT_TYPE {
        return Err(fault());
    }
    let record: enrolment::Enrolment<'_> =
        cbor::decode(claimed.untrusted_payload(), budget::STATEMENT_BYTES).map_err(|_| fault())?;
    Ok(Node { id: *record.node_id, ak_name: Some(record.ak_name.to_vec()) })
}

/// Reads what is to be signed from a TOML file like the one that `--example` prints.
fn of_example<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let bytes = input::read(path, budget::CARRIED_STATEMENT_BYTES)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| unlike_example(error, path))?;
    toml::from_str(text).map_err(|error| unlike_example(error.to_string().trim_end(), path))
}

fn unlike_example(what: impl fmt::Display, path: &Path) -> Failure {
    Failure::new(what, path.display(), "`--example` explains every line")
}

/// Signs claims.
fn seal<'a, C: statement::Claims<'a>>(claims: &C, signer: &signer::Signer) -> Result<Vec<u8>, Failure> {
    let mut asked = None;
    let sealed = statement::seal(&FastEngine, claims, &signer.public(), |message| {
        signer.sign(message).map_err(|failure| {
            asked = Some(failure);
            StatementError::Signature
        })
    });
    sealed.map_err(|error| asked.unwrap_or_else(|| unsigned(&error)))
}

/// What a person is told of claims or signatures that do not hold.
fn unsigned(error: &StatementError) -> Failure {
    let next = match error {
        StatementError::Signature => "check that the signer uses the key of --signer-key, and answers ECDSA as r and s",
        StatementError::OtherKey => "sign with an Ed25519, P-256 or P-384 key",
        _ => "change what is to be signed",
    };
    Failure::new(error, "the statement", next)
}

/// Writes a new file; an existing one is never touched.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::new(error, path.display(), "name a new file in a folder that you may write"))
}

/// Key id of a key.
fn key_id(key: &PublicKey) -> String {
    crate::event_words::hex(&key.id(&FastEngine).unwrap_or_default())
}

/// Says what was written.
#[derive(Serialize)]
struct Written {
    kind: &'static str,
    file: PathBuf,
    signed_by: String,
    expires: Option<String>,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10} {}", self.kind, self.file.display())?;
        writeln!(f, "signed by  {}", self.signed_by)?;
        self.expires.as_ref().map_or(Ok(()), |expires| writeln!(f, "expires    {expires}"))
    }
}

const EXAMPLES: &str = "\
Examples:
  garant statement transfer sign --node node.record --chassis S4711 --to owner.pub --key maker.key --out node.voucher
  garant statement mandate sign node.voucher --node node.record --key owner.key --out node.mandate
  garant statement site sign --example > site.toml
  garant statement site sign site.toml --key auditor.key --out site.statement
  garant statement shares sign shares.toml --key auditor.key --out operator.shares
  garant statement show site.statement --by auditor.pub";
