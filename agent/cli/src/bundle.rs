//! `garant bundle`: all that a verdict was computed from, in one file, for whoever wants to compute it again years later.

use crate::{
    failure::Failure,
    input,
    output::{Answer, Output},
    verify::{self, Asking},
};
use clap::Subcommand;
use garant_attest::carried::Kind;
use garant_verifier::{
    bundle::{BUNDLE_BYTES, Bundle},
    dial::Address,
};
use serde::Serialize;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Keep all that a verdict was computed from: pack it, or take a bundle apart. `garant verify --bundle` checks one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Pack(Box<Pack>),
    Unpack(Unpack),
}

/// Ask a node, print the verdict, and pack evidence, statements, record, policy and the signed result into one file.
///
/// The signed result is what gives a bundle its time, so a key and a policy are needed. Exit codes as of `garant verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Pack {
    /// host:port, or unix:PATH on the machine itself.
    address: Address,
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

/// Write the parts of a bundle into a folder. All of it is claimed; nothing is checked here.
#[derive(Debug, clap::Args)]
struct Unpack {
    /// The bundle; `-` for standard input.
    file: PathBuf,
    /// The folder; it is made where it is missing.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

/// Packs or unpacks.
pub(crate) fn run(args: Args, output: &Output) -> Result<Answer, Failure> {
    match args.what {
        What::Pack(pack) => pack.run(output),
        What::Unpack(unpack) => unpack.run(output),
    }
}

impl Pack {
    fn run(self, output: &Output) -> Result<Answer, Failure> {
        if self.asking.policy.is_none() || self.asking.trust.existing_key()?.is_none() {
            let next = "name --policy and --key: a bundle's time is that of the signed result in it";
            return Err(Failure::new("the result could not be signed", self.out.display(), next));
        }
        let args = verify::Args {
            address: Some(self.address),
            asking: self.asking,
            max_age: None,
            ear: None,
            save: Some(self.out),
            boot_log: None,
            bundle: None,
            at: None,
        };
        verify::run(&args, output)
    }
}

impl Unpack {
    fn run(&self, output: &Output) -> Result<Answer, Failure> {
        let bytes = input::read(&self.file, BUNDLE_BYTES)?;
        let next = "`garant bundle pack ADDRESS --out FILE` writes such a file";
        let bundle = Bundle::decode(&bytes).map_err(|error| Failure::new(error, self.file.display(), next))?;
        let mut parts: Vec<(String, &[u8])> = vec![("answer".to_owned(), bundle.answer)];
        let named = [
            ("boot.log", bundle.log),
            ("node.record", bundle.record),
            ("policy.toml", bundle.policy),
            ("result.ear", bundle.result),
        ];
        parts.extend(named.into_iter().filter_map(|(name, part)| Some((name.to_owned(), &part?[..]))));
        for (number, entries) in bundle.entries.iter().enumerate() {
            parts.push((format!("ledger/{number:03}.entries"), entries));
        }
        for (number, statement) in bundle.statements.iter().enumerate() {
            parts.push((format!("statements/{number:03}.{}", extension(statement)), statement));
        }
        write_all(&self.into, &parts).map_err(|error| {
            Failure::new(format!("cannot be written: {error}"), self.into.display(), "name a folder of yours")
        })?;
        output.show(&Unpacked { files: parts.into_iter().map(|(name, _)| name).collect() })?;
        Ok(Answer::Yes)
    }
}

fn write_all(folder: &Path, parts: &[(String, &[u8])]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    parts
        .iter()
        .filter_map(|(name, _)| Path::new(name).parent())
        .try_for_each(|inner| fs::create_dir_all(folder.join(inner)))?;
    parts.iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}

fn extension(statement: &[u8]) -> &'static str {
    match Kind::of(statement) {
        Some(Kind::Landmark) => "landmark",
        Some(Kind::Site) => "site",
        Some(Kind::Voucher) => "voucher",
        Some(Kind::Mandate) => "mandate",
        Some(Kind::Holdings) => "shares",
        Some(Kind::LogProof) => "tlog-proof",
        None => "unknown",
    }
}

/// What was written.
#[derive(Serialize)]
struct Unpacked {
    files: Vec<String>,
}

impl fmt::Display for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.iter().try_for_each(|file| writeln!(f, "{file}"))
    }
}

const EXAMPLES: &str = "\
Examples:
  garant bundle pack node.example:8460 --out node.bundle --policy policy.toml --key verifier.key
  garant bundle unpack node.bundle --into node/ && garant explain node/result.ear
  garant verify --bundle node.bundle --at 2027-01-31T12:00:00Z --policy policy.toml --key verifier.key";
