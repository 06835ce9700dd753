//! Where `garant` keeps what it must remember, and what a person names instead.

use crate::failure::Failure;
use garant_channel::key::SigningKey;
use garant_verifier::{
    error::VerifierError,
    seal::{generate_key, read_key},
    sources::Sources,
    store::StoreError,
};
use std::{
    env,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

/// Options of every subcommand that verifies.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Trust {
    /// Your verifier's private key (`garant keygen`); default: verifier.key in the state folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Folder for what must be remembered (counters, records); default: $XDG_STATE_HOME/garant.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// List of TPM makers' roots (TOML) instead of the one that comes with garant.
    #[arg(long, global = true, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Certificates in PEM: a self-signed one becomes a root of kind `test`, others are authorities below a root.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Revocation list of a TPM maker.
    #[arg(long, global = true, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// What is known against chips (TOML) instead of the table that comes with garant.
    #[arg(long, global = true, value_name = "FILE")]
    endorsement: Option<PathBuf>,
}

impl Trust {
    /// What is believed, under this policy.
    pub(crate) fn sources(&self, policy: Option<&Path>) -> Sources {
        Sources {
            roots: self.roots.clone(),
            authorities: self.ca.clone(),
            revocations: self.crl.clone(),
            endorsement: self.endorsement.clone(),
            policy: policy.map(Path::to_owned),
        }
    }

    /// The state folder.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.state {
            return Ok(folder.clone());
        }
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let base =
            base.ok_or_else(|| Failure::new("no state folder", "HOME is not set", "name one with --state DIR"))?;
        Ok(base.join("garant"))
    }

    /// The store's file in the state folder.
    pub(crate) fn store_file(&self) -> Result<PathBuf, Failure> {
        Ok(self.folder()?.join("state.redb"))
    }

    /// The key that was named, or the state folder's where there is one.
    pub(crate) fn existing_key(&self) -> Result<Option<SigningKey>, Failure> {
        let default = self.folder()?.join(KEY);
        match &self.key {
            Some(path) => read_key(path).map(Some).map_err(failure),
            None if default.exists() => read_key(&default).map(Some).map_err(failure),
            None => Ok(None),
        }
    }

    /// The key that was named, or the state folder's, which is made at first use.
    pub(crate) fn key_or_new(&self) -> Result<SigningKey, Failure> {
        match self.existing_key()? {
            Some(key) => Ok(key),
            None => {
                let path = self.folder()?.join(KEY);
                eprintln!("new verifier key: {}", path.display());
                generate_key(&path).map_err(failure)
            }
        }
    }
}

/// What a failure of the verifier's work means to a person.
pub(crate) fn failure(error: VerifierError) -> Failure {
    let next = match &error {
        VerifierError::Channel { .. } => "check the address, that garantd runs there, and the network between",
        VerifierError::Status { .. } => "busy nodes answer later; others say in their words what they miss",
        VerifierError::Rejected(_) => "ask again; an answer that keeps failing comes from elsewhere",
        VerifierError::Enrolment(_) => "name the maker's roots with --roots, or test roots with --ca",
        VerifierError::Record(_) | VerifierError::RecordKey(_) => {
            "enrol the node (`garant enroll`), or name the record's signer with --witness"
        }
        VerifierError::Store(StoreError::Conflict(_)) => {
            "if the TPM was replaced on purpose: `garant enroll --policy P --key K`, with K in P's reenrolment_keys"
        }
        VerifierError::Store(_) => "check the state folder, or name another with --state",
        VerifierError::File { .. } => "check the path and who may read it",
        VerifierError::KeyFile { .. } => "make a key with `garant keygen --out FILE`",
        VerifierError::Certificate { .. } => "certificates are PEM or DER",
        VerifierError::Policy { .. } => "docs/auditor.md explains policies",
        VerifierError::Configuration { .. } => "`garant serve --example` explains every option",
        VerifierError::ForeignPolicy { .. } => "name the policy with --policy",
        _ => "if it stays so, please report it",
    };
    Failure::new(&error, "garant's verifier", next)
}

/// A line about what is done now, where a person watches.
pub(crate) fn progress(what: &str) {
    if io::stderr().is_terminal() {
        eprintln!("{what} ...");
    }
}

/// Runs the asynchronous part of a subcommand.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let fault = |error| Failure::new("no runtime", error, "the system has no more threads or descriptors");
    Ok(runtime.map_err(fault)?.block_on(work))
}

/// Name of the verifier's key in the state folder.
const KEY: &str = "verifier.key";
