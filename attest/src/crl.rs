//! Certificate revocation lists (RFC 5280 §5), as arguments: nothing here fetches one.

use crate::{
    budget,
    certificate::Sha1,
    engine::{Engine, PublicKey},
    signed::Signed,
};
use alloc::vec::Vec;
use core::fmt;
use der::{Decode, referenced::OwnedToRef};
use x509_cert::{crl::CertificateList, name::Name};

/// A list that nobody checked yet.
#[derive(Debug, Clone)]
pub struct Crl {
    der: Vec<u8>,
    parsed: CertificateList,
}

impl Crl {
    /// Reads the DER of one list that fills the bytes. Delta and indirect lists are refused, as is every other critical
    /// extension.
    pub fn from_der(der: &[u8]) -> Result<Crl, CrlError> {
        if der.len() > budget::CRL_BYTES {
            return Err(CrlError::TooLong { found_bytes: der.len() });
        }
        let parsed = CertificateList::from_der(der).map_err(|_| CrlError::Malformed)?;
        let tbs = &parsed.tbs_cert_list;
        let entries = tbs.revoked_certificates.iter().flatten().filter_map(|entry| entry.crl_entry_extensions.as_ref());
        let is_critical = tbs.crl_extensions.iter().chain(entries).flatten().any(|extension| extension.critical);
        if is_critical || tbs.signature != parsed.signature_algorithm || tbs.next_update.is_none() {
            return Err(CrlError::Malformed);
        }
        Ok(Crl { der: der.to_vec(), parsed })
    }

    /// Who says that they signed it.
    pub fn issuer(&self) -> &Name {
        &self.parsed.tbs_cert_list.issuer
    }

    /// Whether `issuer` signed it, it is of now, and does not list the serial number; gives its nextUpdate in seconds
    /// since 1970.
    pub fn check(&self, engine: &dyn Engine, issuer: &PublicKey, serial: &[u8], at: u64) -> Result<u64, CrlError> {
        let tbs = &self.parsed.tbs_cert_list;
        self.check_signature(engine, issuer)?;
        let next_update = tbs.next_update.map_or(0, |time| time.to_unix_duration().as_secs());
        let this_update = tbs.this_update.to_unix_duration().as_secs();
        if at < this_update || at > next_update {
            return Err(CrlError::NotOfNow { this_update, next_update });
        }
        let mut revoked = tbs.revoked_certificates.iter().flatten();
        match revoked.find(|entry| entry.serial_number.as_bytes() == serial) {
            Some(entry) => Err(CrlError::Revoked { since: entry.revocation_date.to_unix_duration().as_secs() }),
            None => Ok(next_update),
        }
    }

    fn check_signature(&self, engine: &dyn Engine, issuer: &PublicKey) -> Result<(), CrlError> {
        let signed = Signed {
            der: &self.der,
            algorithm: self.parsed.signature_algorithm.owned_to_ref(),
            signature: self.parsed.signature.as_bytes(),
        };
        signed.verify(engine, issuer, Sha1::Refused).map_err(|_| CrlError::Signature)
    }
}

/// Why a list does not count, or what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrlError {
    /// More bytes than are read.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// No whole list, one without an end, or one for something else (delta, indirect).
    Malformed,
    /// The issuer did not sign it, may not sign lists, or signed by an unknown algorithm or SHA-1.
    Signature,
    /// From the future, or outdated.
    NotOfNow {
        /// Seconds since 1970.
        this_update: u64,
        /// Seconds since 1970.
        next_update: u64,
    },
    /// The list names the certificate.
    Revoked {
        /// Seconds since 1970.
        since: u64,
    },
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CrlError::TooLong { found_bytes } => {
                write!(f, "a revocation list of {found_bytes} bytes, at most {} are read", budget::CRL_BYTES)
            }
            CrlError::Malformed => f.write_str("the revocation list is no whole one with an end"),
            CrlError::Signature => f.write_str("its issuer did not sign the revocation list, or may not"),
            CrlError::NotOfNow { this_update, next_update } => {
                write!(f, "the revocation list is for {this_update} to {next_update} (seconds since 1970)")
            }
            CrlError::Revoked { since } => write!(f, "revoked since {since} (seconds since 1970)"),
        }
    }
}

impl core::error::Error for CrlError {}
