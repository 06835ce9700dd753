//! The path from a certificate to a root (RFC 5280 §6), for what TPM makers really issue.
//!
//! Strict: signature over the bytes as they came, validity at a given time, names, CA flag, path length, keyCertSign,
//! no unknown critical extension, no name constraints, no RSA key with the ROCA fingerprint. Allowed, because real
//! chains need it: critical certificatePolicies; a certificate that outlives its root (the chain ends with the root);
//! notAfter 9999-12-31; a root that is not self-signed (it is matched by name and key, and nothing above it counts);
//! absent keyUsage and absent extKeyUsage in an authority; SHA-1 of authorities that the policy names. Left out:
//! policies, name constraints, AKI and SKI (a signature says more), OCSP.

use crate::{
    budget,
    certificate::{self, Certificate, CertificateError, Sha1},
    crl::{Crl, CrlError},
    engine::{Engine, PublicKey},
    roca,
    roots::{Root, Roots},
};
use alloc::{string::String, string::ToString, vec::Vec};
use core::fmt;
use der::asn1::ObjectIdentifier;

/// What the verifier knows and decides.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The verifier's time, in seconds since 1970.
    pub at: u64,
    /// Key ids (SHA-256 of the SubjectPublicKeyInfo) of authorities whose SHA-1 signatures count.
    pub allow_sha1: &'a [[u8; 32]],
    /// Revocation lists at hand. An authority without one is not asked for one.
    pub revocations: &'a [Crl],
}

/// A path in which everything holds. Holding one proves: at the given time each certificate was valid and signed by
/// the next, and the last by a key of the list of roots.
#[derive(Debug, Clone)]
pub struct Chain<'a> {
    certificates: Vec<&'a Certificate>,
    root: &'a Root,
    expires: u64,
}

impl<'a> Chain<'a> {
    /// The certificates, the one in question first; the root is not among them.
    pub fn certificates(&self) -> &[&'a Certificate] {
        &self.certificates
    }

    /// The root.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// The earliest end of a certificate, of the root, or of a revocation list that was used; seconds since 1970.
    pub fn expires(&self) -> u64 {
        self.expires
    }
}

/// Finds a path from `leaf` over `intermediates` to one of `roots`. Where several authorities have the issuer's name,
/// each is tried; at most [`budget::CHAIN_SIGNATURES`] signatures are checked.
pub fn build<'a>(
    engine: &dyn Engine,
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    roots: &'a Roots,
    rules: Rules<'_>,
) -> Result<Chain<'a>, ChainError> {
    if intermediates.len() > budget::INTERMEDIATES {
        return Err(ChainError::TooMany { found: intermediates.len() });
    }
    let mut search = Search { engine, intermediates, roots, rules, signatures: 0, path: Vec::new() };
    search.climb(leaf, u64::MAX)
}

struct Search<'a, 'r> {
    engine: &'r dyn Engine,
    intermediates: &'a [Certificate],
    roots: &'a Roots,
    rules: Rules<'r>,
    signatures: usize,
    path: Vec<&'a Certificate>,
}

impl<'a> Search<'a, '_> {
    /// Puts `certificate` on top of the path and looks for its issuer, roots first.
    fn climb(&mut self, certificate: &'a Certificate, expires: u64) -> Result<Chain<'a>, ChainError> {
        if self.path.len() > budget::CHAIN_DEPTH {
            return Err(ChainError::TooDeep);
        }
        self.check_usable(certificate)?;
        self.path.push(certificate);
        let expires = expires.min(certificate.not_after());
        let found = self.reach_root(certificate, expires);
        let found = found.or_else(|fault| self.reach_authority(certificate, expires, fault));
        self.path.pop();
        found
    }

    fn reach_root(&mut self, certificate: &'a Certificate, expires: u64) -> Result<Chain<'a>, ChainError> {
        let mut fault = ChainError::Unanchored { issuer: certificate.issuer().to_string() };
        for root in self.roots.iter() {
            if !certificate::is_same_name(root.certificate().subject(), certificate.issuer()) {
                continue;
            }
            let found = self.check_issuer(certificate, root.certificate());
            match found.and_then(|crl| self.finish(root, expires.min(crl))) {
                Ok(chain) => return Ok(chain),
                Err(found) => fault = found,
            }
        }
        Err(fault)
    }

    fn finish(&self, root: &'a Root, expires: u64) -> Result<Chain<'a>, ChainError> {
        self.check_usable(root.certificate())?;
        let expires = expires.min(root.certificate().not_after());
        Ok(Chain { certificates: self.path.clone(), root, expires })
    }

    /// `fault` is what the roots said; it stays where no authority has the issuer's name.
    fn reach_authority(
        &mut self,
        certificate: &'a Certificate,
        expires: u64,
        mut fault: ChainError,
    ) -> Result<Chain<'a>, ChainError> {
        for issuer in self.intermediates {
            let is_new = self.path.iter().all(|above| above.der() != issuer.der());
            if !is_new || !certificate::is_same_name(issuer.subject(), certificate.issuer()) {
                continue;
            }
            let found = self.check_issuer(certificate, issuer).and_then(|crl| self.climb(issuer, expires.min(crl)));
            match found {
                Ok(chain) => return Ok(chain),
                Err(found) => fault = found,
            }
        }
        Err(fault)
    }

    /// Whether `issuer` may issue, issued `certificate` and has not revoked it; gives the end of what says so.
    fn check_issuer(&mut self, certificate: &Certificate, issuer: &Certificate) -> Result<u64, ChainError> {
        self.signatures = self.signatures.saturating_add(1);
        if self.signatures > budget::CHAIN_SIGNATURES {
            return Err(ChainError::TooManySignatures);
        }
        let key = issuer.public_key().map_err(|error| ChainError::certificate(issuer, error))?;
        certificate
            .verify_signature(self.engine, &key, self.sha1_of(&key))
            .map_err(|error| ChainError::certificate(certificate, error))?;
        check_authority(issuer, self.path.len().saturating_sub(1))?;
        if roca::has_fingerprint(&key) {
            return Err(ChainError::Roca { subject: named(issuer) });
        }
        self.check_revocation(certificate, issuer, &key)
    }

    fn sha1_of(&self, issuer: &PublicKey) -> Sha1 {
        match issuer.id(self.engine) {
            Some(id) if self.rules.allow_sha1.contains(&id) => Sha1::OfNamedAuthority,
            _ => Sha1::Refused,
        }
    }

    fn check_revocation(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        key: &PublicKey,
    ) -> Result<u64, ChainError> {
        let mut expires = u64::MAX;
        for crl in self.rules.revocations.iter().filter(|crl| certificate::is_same_name(crl.issuer(), issuer.subject()))
        {
            let fault = |error| ChainError::Revocation { subject: named(certificate), error };
            let may_sign = issuer.key_usage().is_none_or(|usage| usage.crl_sign());
            if !may_sign {
                return Err(fault(CrlError::Signature));
            }
            expires =
                expires.min(crl.check(self.engine, key, certificate.serial_number(), self.rules.at).map_err(fault)?);
        }
        Ok(expires)
    }

    fn check_usable(&self, certificate: &Certificate) -> Result<(), ChainError> {
        let subject = || named(certificate);
        if self.rules.at < certificate.not_before() {
            return Err(ChainError::NotYetValid { subject: subject(), not_before: certificate.not_before() });
        }
        if self.rules.at > certificate.not_after() {
            return Err(ChainError::Expired { subject: subject(), not_after: certificate.not_after() });
        }
        match certificate.refused_extension() {
            Some(extension) => Err(ChainError::Extension { subject: subject(), extension }),
            None => Ok(()),
        }
    }
}

/// Whether basicConstraints, keyUsage and extKeyUsage let it issue for a path with `below` authorities under it.
fn check_authority(issuer: &Certificate, below: usize) -> Result<(), ChainError> {
    let subject = || named(issuer);
    if !issuer.is_authority() || issuer.subject().is_empty() {
        return Err(ChainError::NoAuthority { subject: subject() });
    }
    if issuer.path_length().is_some_and(|limit| below > limit) {
        return Err(ChainError::PathLength { subject: subject() });
    }
    if issuer.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(ChainError::KeyUsage { subject: subject() });
    }
    let is_for_eks =
        |purposes: &[ObjectIdentifier]| purposes.contains(&EK_CERTIFICATE) || purposes.contains(&ANY_PURPOSE);
    if issuer.purposes().is_some_and(|purposes| !is_for_eks(purposes)) {
        return Err(ChainError::Purpose { subject: subject() });
    }
    Ok(())
}

/// For people; certificates of endorsement keys have an empty subject.
fn named(certificate: &Certificate) -> String {
    if certificate.subject().is_empty() { "an endorsement key".to_string() } else { certificate.subject().to_string() }
}

/// Why there is no path. `subject` is that of the certificate at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainError {
    /// More authorities are offered than any search reads; the caller is at fault.
    TooMany {
        /// Certificates offered.
        found: usize,
    },
    /// The path is longer than any maker's.
    TooDeep,
    /// So many authorities have the same names that the search stopped.
    TooManySignatures,
    /// No root and no authority at hand has the issuer's name.
    Unanchored {
        /// The name that is missing.
        issuer: String,
    },
    /// Not valid yet.
    NotYetValid {
        /// Whose.
        subject: String,
        /// Seconds since 1970.
        not_before: u64,
    },
    /// No more valid.
    Expired {
        /// Whose.
        subject: String,
        /// Seconds since 1970.
        not_after: u64,
    },
    /// A critical extension that is unknown here, or nameConstraints.
    Extension {
        /// Whose.
        subject: String,
        /// Which.
        extension: ObjectIdentifier,
    },
    /// It issued without being an authority.
    NoAuthority {
        /// Whose.
        subject: String,
    },
    /// Too many authorities stand below it.
    PathLength {
        /// Whose.
        subject: String,
    },
    /// Its key may not sign certificates.
    KeyUsage {
        /// Whose.
        subject: String,
    },
    /// It is an authority for something else.
    Purpose {
        /// Whose.
        subject: String,
    },
    /// Its RSA key can be factored (CVE-2017-15361).
    Roca {
        /// Whose.
        subject: String,
    },
    /// Revoked, or a list that says nothing.
    Revocation {
        /// Whose.
        subject: String,
        /// What is wrong.
        error: CrlError,
    },
    /// A key or signature.
    Certificate {
        /// Whose.
        subject: String,
        /// What is wrong.
        error: CertificateError,
    },
}

impl ChainError {
    fn certificate(certificate: &Certificate, error: CertificateError) -> ChainError {
        ChainError::Certificate { subject: named(certificate), error }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainError::TooMany { found } => {
                write!(f, "{found} authorities are offered, at most {} are searched", budget::INTERMEDIATES)
            }
            ChainError::TooDeep => {
                write!(f, "more than {} authorities stand above the certificate", budget::CHAIN_DEPTH)
            }
            ChainError::TooManySignatures => {
                write!(f, "no chain within {} signatures: too many authorities of one name", budget::CHAIN_SIGNATURES)
            }
            ChainError::Unanchored { issuer } => write!(f, "no root and no authority at hand is named '{issuer}'"),
            ChainError::NotYetValid { subject, not_before } => {
                write!(f, "the certificate of '{subject}' is valid only from {not_before} (seconds since 1970) on")
            }
            ChainError::Expired { subject, not_after } => {
                write!(f, "the certificate of '{subject}' ended at {not_after} (seconds since 1970)")
            }
            ChainError::Extension { subject, extension } => {
                write!(f, "the certificate of '{subject}' has the extension {extension}, which is not known here")
            }
            ChainError::NoAuthority { subject } => write!(f, "'{subject}' issued a certificate and is no authority"),
            ChainError::PathLength { subject } => write!(f, "too many authorities stand below '{subject}'"),
            ChainError::KeyUsage { subject } => write!(f, "the key of '{subject}' may not sign certificates"),
            ChainError::Purpose { subject } => write!(f, "'{subject}' is no authority for endorsement keys"),
            ChainError::Roca { subject } => {
                write!(f, "the RSA key of '{subject}' has the ROCA fingerprint and can be factored (CVE-2017-15361)")
            }
            ChainError::Revocation { subject, error } => write!(f, "the certificate of '{subject}': {error}"),
            ChainError::Certificate { subject, error } => write!(f, "the certificate of '{subject}': {error}"),
        }
    }
}

impl core::error::Error for ChainError {}

/// tcg-kp-EKCertificate (TCG EK Credential Profile 2.6, 3.2.16).
pub(crate) const EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
/// anyExtendedKeyUsage (RFC 5280 §4.2.1.12).
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
