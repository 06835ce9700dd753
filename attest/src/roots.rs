//! Whom to believe about TPMs: roots as data, each of a kind, each vouching for the names of its own maker only.
//!
//! The built-in list is `attest/data/roots.toml`; a user may replace it or add to it. A root is matched by name and key.

use crate::{
    budget,
    certificate::{Certificate, CertificateError},
    engine::{Engine, sha256},
    pem::{self, PemError},
    tcg_names::Maker,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use serde::Deserialize;

/// What a root's word is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootKind {
    /// A chip of its own.
    Discrete,
    /// Code in the processor's or chipset's firmware.
    Firmware,
    /// A cloud's software: the testimony of its operator.
    Virtual,
    /// swtpm and the demo: nobody vouches for anything.
    Test,
}

impl fmt::Display for RootKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RootKind::Discrete => "discrete",
            RootKind::Firmware => "firmware",
            RootKind::Virtual => "virtual",
            RootKind::Test => "test",
        })
    }
}

/// A root that somebody decided to believe.
#[derive(Debug, Clone)]
pub struct Root {
    name: String,
    kind: RootKind,
    makers: Vec<Maker>,
    certificate: Certificate,
}

impl Root {
    /// A root of that kind for the TPMs of those makers.
    pub fn new(name: String, kind: RootKind, makers: Vec<Maker>, certificate: Certificate) -> Root {
        Root { name, kind, makers, certificate }
    }

    /// For people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its word is worth.
    pub fn kind(&self) -> RootKind {
        self.kind
    }

    /// Whether it may vouch for TPMs of that maker.
    pub fn vouches_for(&self, maker: Maker) -> bool {
        self.makers.contains(&maker)
    }

    /// Its certificate: name, key and limits count, not who signed it.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// The roots of one verifier.
#[derive(Debug, Clone)]
pub struct Roots {
    version: String,
    roots: Vec<Root>,
}

impl Roots {
    /// No root at all.
    pub fn none() -> Roots {
        Roots { version: String::new(), roots: Vec::new() }
    }

    /// The makers' roots that come with this release.
    pub fn of_makers(engine: &dyn Engine) -> Result<Roots, RootsError> {
        Roots::parse(engine, OF_MAKERS)
    }

    /// Reads a list in the form of the built-in one.
    pub fn parse(engine: &dyn Engine, text: &str) -> Result<Roots, RootsError> {
        if text.len() > budget::ROOTS_BYTES {
            return Err(RootsError::TooLong { found_bytes: text.len() });
        }
        let list: List = toml::from_str(text).map_err(|error| RootsError::Toml { message: error.to_string() })?;
        let roots = list.root.into_iter().map(|entry| entry.read(engine)).collect::<Result<_, _>>()?;
        Ok(Roots { version: list.version, roots })
    }

    /// These roots and one more.
    pub fn with(mut self, root: Root) -> Roots {
        self.roots.push(root);
        self
    }

    /// Version of the list, for verdicts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All roots.
    pub fn iter(&self) -> impl Iterator<Item = &Root> {
        self.roots.iter()
    }
}

/// The list as a file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    version: String,
    #[serde(default)]
    root: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: RootKind,
    makers: Vec<String>,
    sha256: String,
    certificate: String,
}

impl Entry {
    fn read(self, engine: &dyn Engine) -> Result<Root, RootsError> {
        let makers = self.makers.iter().map(|maker| maker.parse()).collect::<Result<_, _>>();
        let makers = makers.map_err(|_| RootsError::Maker { name: self.name.clone() })?;
        let blocks = pem::blocks(&self.certificate, "CERTIFICATE");
        let blocks = blocks.map_err(|error| RootsError::Pem { name: self.name.clone(), error })?;
        let [der] = blocks.as_slice() else {
            return Err(RootsError::Pem { name: self.name, error: PemError { number: blocks.len() } });
        };
        let found: String = sha256(engine, &[der]).iter().map(|byte| alloc::format!("{byte:02x}")).collect();
        if found != self.sha256 {
            return Err(RootsError::Digest { name: self.name, found });
        }
        let certificate = Certificate::from_der(der);
        let certificate = certificate.map_err(|error| RootsError::Certificate { name: self.name.clone(), error })?;
        Ok(Root { name: self.name, kind: self.kind, makers, certificate })
    }
}

/// Why a list of roots cannot be used; who wrote it is at fault. `name` is the root's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootsError {
    /// Longer than any list.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// Not TOML of this form.
    Toml {
        /// What the parser says, with the line.
        message: String,
    },
    /// A maker is no TCG vendor id.
    Maker {
        /// Whose.
        name: String,
    },
    /// Not exactly one PEM certificate.
    Pem {
        /// Whose.
        name: String,
        /// Which block.
        error: PemError,
    },
    /// The certificate is not the one that `sha256` names.
    Digest {
        /// Whose.
        name: String,
        /// The certificate's own.
        found: String,
    },
    /// The certificate cannot be read.
    Certificate {
        /// Whose.
        name: String,
        /// What is wrong.
        error: CertificateError,
    },
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RootsError::TooLong { found_bytes } => {
                write!(f, "a list of roots of {found_bytes} bytes, at most {} are read", budget::ROOTS_BYTES)
            }
            RootsError::Toml { message } => write!(f, "the list of roots: {message}"),
            RootsError::Maker { name } => write!(f, "root '{name}': a maker is four letters or id: and 8 digits"),
            RootsError::Pem { name, error } => write!(f, "root '{name}' is not one certificate: {error}"),
            RootsError::Digest { name, found } => write!(f, "root '{name}': sha256 is not {found}, the certificate's"),
            RootsError::Certificate { name, error } => write!(f, "root '{name}': {error}"),
        }
    }
}

impl core::error::Error for RootsError {}

const OF_MAKERS: &str = include_str!("../data/roots.toml");

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::rust_engine::RustEngine;

    /// The list with the first of these words replaced.
    fn changed(from: &str, to: &str) -> Result<Roots, RootsError> {
        assert!(OF_MAKERS.contains(from));
        Roots::parse(&RustEngine, &OF_MAKERS.replacen(from, to, 1))
    }

    #[test]
    fn a_list_that_is_not_what_it_says_is_refused() {
        let first = Roots::of_makers(&RustEngine).unwrap().iter().next().unwrap().clone();
        let digest: String =
            sha256(&RustEngine, &[first.certificate().der()]).iter().map(|byte| alloc::format!("{byte:02x}")).collect();
        let other = "00".repeat(32);
        assert!(matches!(changed(&digest, &other), Err(RootsError::Digest { found, .. }) if found == digest));
        let end = "-----END CERTIFICATE-----";
        let (before, _) = OF_MAKERS.split_once(end).unwrap();
        let block = before.rsplit_once("-----BEGIN").unwrap().1;
        let twice = alloc::format!("{end}\n-----BEGIN{block}{end}");
        assert!(matches!(changed(end, &twice), Err(RootsError::Pem { .. })));
        assert!(matches!(changed("makers = [", "makers = [\"Nuvoton\", "), Err(RootsError::Maker { .. })));
        assert!(matches!(changed("[[root]]", "[[root]]\nword = 1"), Err(RootsError::Toml { .. })));
        let long = alloc::format!("{OF_MAKERS}\n{}", "#".repeat(budget::ROOTS_BYTES));
        assert!(matches!(Roots::parse(&RustEngine, &long), Err(RootsError::TooLong { .. })));
    }
}
