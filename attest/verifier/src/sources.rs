//! What a verifier believes, read from files: roots, authorities, revocation lists, policy.
//!
//! A root that comes as a bare certificate is of kind `test`: whoever hands one over has not said what its word is worth.
//! A list in TOML (as `attest/data/roots.toml`) says it for each.

use crate::{
    assess::Rulebook,
    budget::{FOLDER_FILES, ROOTS_FILE_BYTES},
    error::VerifierError,
};
use garant_attest::{
    budget,
    certificate::{Certificate, is_same_name},
    crl::Crl,
    endorsement::{EndorsementStatus, StatusError},
    pem,
    policy::Policy,
    roots::{Root, RootKind, Roots},
    tcg_names::Maker,
};
use garant_channel::engine::FastEngine;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The files of one verifier.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A list of roots instead of the makers' that come with this release.
    pub roots: Option<PathBuf>,
    /// Certificates in PEM or DER: self-signed ones are test roots, others authorities below a root.
    pub authorities: Vec<PathBuf>,
    /// Revocation lists, DER or PEM.
    pub revocations: Vec<PathBuf>,
    /// What is known against chips, instead of the table that comes with this release.
    pub endorsement: Option<PathBuf>,
    /// The policy; without one every answer is unknown.
    pub policy: Option<PathBuf>,
}

impl Sources {
    /// Reads them all.
    pub fn read(&self) -> Result<Rulebook, VerifierError> {
        let mut roots = match &self.roots {
            None => Roots::of_makers(&FastEngine).map_err(VerifierError::Roots)?,
            Some(path) => {
                Roots::parse(&FastEngine, &read_text(path, ROOTS_FILE_BYTES)?).map_err(VerifierError::Roots)?
            }
        };
        let mut intermediates = Vec::new();
        for path in &self.authorities {
            for certificate in read_certificates(path)? {
                if is_same_name(certificate.subject(), certificate.issuer()) {
                    let name = certificate.subject().to_string();
                    roots = roots.with(Root::new(name, RootKind::Test, vec![Maker::new(SWTPM)], certificate));
                } else {
                    intermediates.push(certificate);
                }
            }
        }
        let revocations: Vec<Crl> =
            self.revocations.iter().map(|path| read_revocations(path)).collect::<Result<Vec<_>, _>>()?.concat();
        let status = read_endorsement(self.endorsement.as_deref())?;
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        Rulebook::new(roots, intermediates, revocations, status, policy).map_err(|error| VerifierError::Configuration {
            path: self.policy.clone().unwrap_or_default(),
            what: error.to_string(),
        })
    }
}

/// A file, or the files of a folder in the order of their names; hidden ones are left out.
pub fn files_in(path: &Path) -> Result<Vec<PathBuf>, VerifierError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|source| file_fault(path, source))?.take(FOLDER_FILES);
    let entries = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<PathBuf>, _>>();
    let mut files = entries.map_err(|source| file_fault(path, source))?;
    let is_hidden = |file: &PathBuf| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    files.retain(|file| file.is_file() && !is_hidden(file));
    files.sort();
    Ok(files)
}

/// Reads a policy.
pub fn read_policy(path: &Path) -> Result<Policy, VerifierError> {
    let bytes = read_file(path, budget::POLICY_BYTES)?;
    Policy::parse(&bytes, &FastEngine).map_err(|source| VerifierError::Policy { path: path.to_owned(), source })
}

/// Reads every certificate of a PEM or DER file.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate>, VerifierError> {
    let fault = |what: String| VerifierError::Certificate { path: path.to_owned(), what };
    let ders = read_blocks(path, "CERTIFICATE")?;
    let read = ders.iter().map(|der| Certificate::from_der(der).map_err(|error| fault(error.to_string())));
    let certificates: Vec<Certificate> = read.collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(fault("holds no certificate".to_owned())) } else { Ok(certificates) }
}

/// Reads what is known against chips; the table of this release where no file is named.
pub fn read_endorsement(path: Option<&Path>) -> Result<EndorsementStatus, VerifierError> {
    let fault = |path: &Path, error: StatusError| VerifierError::Configuration {
        path: path.to_owned(),
        what: error.to_string(),
    };
    let Some(path) = path else {
        return EndorsementStatus::of_release().map_err(|error| fault(Path::new("endorsement status"), error));
    };
    EndorsementStatus::parse(&read_text(path, budget::ROOTS_BYTES)?).map_err(|error| fault(path, error))
}

/// Reads every revocation list of a PEM or DER file.
pub fn read_revocations(path: &Path) -> Result<Vec<Crl>, VerifierError> {
    let fault = |what: String| VerifierError::Certificate { path: path.to_owned(), what };
    let ders = read_blocks(path, "X509 CRL")?;
    let read = ders.iter().map(|der| Crl::from_der(der).map_err(|error| fault(error.to_string())));
    let lists: Vec<Crl> = read.collect::<Result<_, _>>()?;
    if lists.is_empty() { Err(fault("holds no revocation list".to_owned())) } else { Ok(lists) }
}

/// The DER of every block with this label, or the whole file where it is no PEM.
fn read_blocks(path: &Path, label: &str) -> Result<Vec<Vec<u8>>, VerifierError> {
    let bytes = read_file(path, ROOTS_FILE_BYTES)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN ") => pem::blocks(text, label)
            .map_err(|error| VerifierError::Certificate { path: path.to_owned(), what: error.to_string() }),
        _ => Ok(vec![bytes]),
    }
}

fn read_text(path: &Path, limit_bytes: usize) -> Result<String, VerifierError> {
    let bytes = read_file(path, limit_bytes)?;
    String::from_utf8(bytes).map_err(|_| file_fault(path, io::Error::other("is not UTF-8 text")))
}

/// Reads a file of at most so many bytes.
pub fn read_file(path: &Path, limit_bytes: usize) -> Result<Vec<u8>, VerifierError> {
    let one_more = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(one_more).read_to_end(&mut bytes));
    read.map_err(|source| file_fault(path, source))?;
    if bytes.len() > limit_bytes {
        return Err(file_fault(path, io::Error::other(format!("is larger than {limit_bytes} bytes"))));
    }
    Ok(bytes)
}

fn file_fault(path: &Path, source: io::Error) -> VerifierError {
    VerifierError::File { path: path.to_owned(), source }
}

/// Who makes swtpm, by its own EK certificates: id:00001014 (IBM).
const SWTPM: u32 = 0x0000_1014;
