//! X.509 certificates of TPM makers: parsed once, signatures checked over the bytes as they came.
//!
//! x509-cert sorts an unsorted SET OF while it decodes, so what it would encode again is not what Nuvoton signed; the
//! signed bytes are therefore a slice of the input. Paths, names of TPMs and revocation are elsewhere.

use crate::{
    budget,
    engine::{Engine, PublicKey, SignatureScheme},
    signed::Signed,
    tcg_names,
};
use alloc::{string::String, string::ToString, vec::Vec};
use core::fmt;
use der::{Decode, asn1::ObjectIdentifier, referenced::OwnedToRef};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

pub use x509_cert::name::Name;

/// A certificate, whoever signed it. Holding one proves only that the bytes are one X.509 certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    extensions: Extensions,
}

/// What the known extensions say (RFC 5280 §4.2.1).
#[derive(Debug, Clone, Default)]
struct Extensions {
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    purposes: Option<ExtendedKeyUsage>,
    alternative_names: Option<SubjectAltName>,
    has_name_constraints: bool,
    unknown_critical: Option<ObjectIdentifier>,
}

impl Certificate {
    /// Reads the DER of one certificate that fills the bytes.
    pub fn from_der(der: &[u8]) -> Result<Certificate, CertificateError> {
        if der.len() > budget::CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong { found_bytes: der.len() });
        }
        let parsed = x509_cert::Certificate::from_der(der).map_err(malformed("certificate"))?;
        if parsed.signature_algorithm() != parsed.tbs_certificate().signature() {
            return Err(CertificateError::Malformed { what: "signature algorithms that differ" });
        }
        let extensions = Extensions::read(&parsed)?;
        Ok(Certificate { der: der.to_vec(), parsed, extensions })
    }

    /// The DER, as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whom it is about; empty in certificates of endorsement keys.
    pub fn subject(&self) -> &Name {
        self.parsed.tbs_certificate().subject()
    }

    /// Who says that they signed it.
    pub fn issuer(&self) -> &Name {
        self.parsed.tbs_certificate().issuer()
    }

    /// Serial number, big endian, as encoded.
    pub fn serial_number(&self) -> &[u8] {
        self.parsed.tbs_certificate().serial_number().as_bytes()
    }

    /// Seconds since 1970 from which on it is valid.
    pub fn not_before(&self) -> u64 {
        self.parsed.tbs_certificate().validity().not_before.to_unix_duration().as_secs()
    }

    /// Seconds since 1970 after which it is no more valid.
    pub fn not_after(&self) -> u64 {
        self.parsed.tbs_certificate().validity().not_after.to_unix_duration().as_secs()
    }

    /// The certified key; an error names the algorithm where no engine has it (ML-DSA).
    pub fn public_key(&self) -> Result<PublicKey, CertificateError> {
        let info = self.parsed.tbs_certificate().subject_public_key_info().owned_to_ref();
        PublicKey::from_spki(&info).ok_or(CertificateError::UnknownKey { algorithm: info.algorithm.oid })
    }

    /// Whether the key of `issuer` signed these very bytes. `sha1` says whether RSA with SHA-1 counts.
    pub fn verify_signature(
        &self,
        engine: &dyn Engine,
        issuer: &PublicKey,
        sha1: Sha1,
    ) -> Result<(), CertificateError> {
        self.signed().verify(engine, issuer, sha1)
    }

    /// How it was signed; an error names an algorithm that no engine has.
    pub fn signature_scheme(&self) -> Result<SignatureScheme, CertificateError> {
        self.signed().scheme()
    }

    fn signed(&self) -> Signed<'_> {
        Signed {
            der: &self.der,
            algorithm: self.parsed.signature_algorithm().owned_to_ref(),
            signature: self.parsed.signature().as_bytes(),
        }
    }

    /// Whether basicConstraints says that it may issue.
    pub fn is_authority(&self) -> bool {
        self.extensions.basic_constraints.as_ref().is_some_and(|constraints| constraints.ca)
    }

    /// Authorities that may stand below this one on a path.
    pub fn path_length(&self) -> Option<usize> {
        self.extensions
            .basic_constraints
            .as_ref()
            .and_then(|constraints| constraints.path_len_constraint)
            .map(usize::from)
    }

    /// keyUsage, where it is there: an absent one permits every use (RFC 5280 §4.2.1.3).
    pub fn key_usage(&self) -> Option<&KeyUsage> {
        self.extensions.key_usage.as_ref()
    }

    /// extKeyUsage, where it is there.
    pub fn purposes(&self) -> Option<&[ObjectIdentifier]> {
        self.extensions.purposes.as_ref().map(|purposes| purposes.0.as_slice())
    }

    /// subjectAltName, where it is there.
    pub fn alternative_names(&self) -> Option<&SubjectAltName> {
        self.extensions.alternative_names.as_ref()
    }

    /// The extension for which nobody may use this certificate: critical and unknown, or nameConstraints, which no TPM
    /// maker uses and which is not evaluated here.
    pub fn refused_extension(&self) -> Option<ObjectIdentifier> {
        self.extensions.unknown_critical.or(self.extensions.has_name_constraints.then_some(NAME_CONSTRAINTS))
    }

    /// Value of an extension that is none of the above, DER; `None` where it is absent.
    pub fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let mut extensions = self.parsed.tbs_certificate().extensions().into_iter().flatten();
        extensions.find(|extension| extension.extn_id == id).map(|extension| extension.extn_value.as_bytes())
    }

    /// Who, whom, key, validity and names, a line each, for people.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let key = match self.public_key() {
            Ok(PublicKey::Rsa { modulus, exponent }) => {
                alloc::format!("RSA-{}, exponent {exponent}", modulus.len().saturating_mul(8))
            }
            Ok(PublicKey::P256(_)) => "ECC P-256".to_string(),
            Ok(PublicKey::P384(_)) => "ECC P-384".to_string(),
            Ok(PublicKey::P521(_)) => "ECC P-521".to_string(),
            Ok(PublicKey::Ed25519(_)) => "Ed25519".to_string(),
            Err(unknown) => unknown.to_string(),
        };
        let validity = self.parsed.tbs_certificate().validity();
        let mut lines = Vec::from([
            ("subject", self.subject().to_string()),
            ("issuer", self.issuer().to_string()),
            ("serial number", hex(self.serial_number())),
            ("key", key),
            (
                "signed by",
                self.signature_scheme()
                    .map_or_else(|unknown| unknown.to_string(), |scheme| alloc::format!("{scheme:?}")),
            ),
            ("valid from", validity.not_before.to_string()),
            ("valid until", validity.not_after.to_string()),
            ("authority", if self.is_authority() { "yes" } else { "no" }.to_string()),
        ]);
        if let Ok(Some(names)) = tcg_names::read(self) {
            lines.push(("TPM", names.to_string()));
        }
        if let Some(module) = tcg_names::hardware_module(self) {
            lines.push(("hardware module", module.to_string()));
        }
        if let Some(refused) = self.refused_extension() {
            lines.push(("refused for", alloc::format!("extension {refused}")));
        }
        lines
    }
}

/// Whether RSA with SHA-1 counts as a signature: only where a policy names the authority's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sha1 {
    /// The usual case.
    Refused,
    /// This authority is named.
    OfNamedAuthority,
}

/// Whether two names are one: the same attributes with the same text, in whatever string type (RFC 5280 §7.1; an
/// unsorted SET OF is sorted before).
pub fn is_same_name(one: &Name, other: &Name) -> bool {
    one.iter_rdn().map(|rdn| rdn.len()).eq(other.iter_rdn().map(|rdn| rdn.len()))
        && one.iter().zip(other.iter()).all(|(a, b)| a.oid == b.oid && a.value.value() == b.value.value())
}

impl Extensions {
    fn read(parsed: &x509_cert::Certificate) -> Result<Extensions, CertificateError> {
        let mut extensions = Extensions::default();
        let mut seen: Vec<ObjectIdentifier> = Vec::new();
        for extension in parsed.tbs_certificate().extensions().into_iter().flatten() {
            if seen.contains(&extension.extn_id) || seen.len() >= budget::CERTIFICATE_EXTENSIONS {
                return Err(CertificateError::Malformed { what: "extension that stands twice, or too many" });
            }
            seen.push(extension.extn_id);
            let value = extension.extn_value.as_bytes();
            match extension.extn_id {
                BASIC_CONSTRAINTS => extensions.basic_constraints = Some(decode("basicConstraints", value)?),
                KEY_USAGE => extensions.key_usage = Some(decode("keyUsage", value)?),
                EXTENDED_KEY_USAGE => extensions.purposes = Some(decode("extKeyUsage", value)?),
                SUBJECT_ALT_NAME => extensions.alternative_names = Some(decode("subjectAltName", value)?),
                NAME_CONSTRAINTS => extensions.has_name_constraints = true,
                // Infineon, ST and Intel mark it critical. Policies qualify a purpose; a TPM's is the EKU.
                CERTIFICATE_POLICIES => {}
                other if extension.critical => extensions.unknown_critical = Some(other),
                _ => {}
            }
        }
        Ok(extensions)
    }
}

fn decode<'a, T: Decode<'a, Error = der::Error>>(what: &'static str, value: &'a [u8]) -> Result<T, CertificateError> {
    T::from_der(value).map_err(malformed(what))
}

fn malformed(what: &'static str) -> impl Fn(der::Error) -> CertificateError {
    move |_| CertificateError::Malformed { what }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

/// Why a certificate or its signature does not count; who sent or signed it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// More bytes than any has.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// Not one X.509 certificate.
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// A key that no engine has.
    UnknownKey {
        /// Its algorithm.
        algorithm: ObjectIdentifier,
    },
    /// A signature that no engine has.
    UnknownSignature {
        /// Its algorithm.
        algorithm: ObjectIdentifier,
    },
    /// Signed with SHA-1 by an authority that the policy does not name.
    Sha1,
    /// The issuer's key did not sign it.
    Signature,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateError::TooLong { found_bytes } => {
                write!(f, "a certificate of {found_bytes} bytes, at most {} are accepted", budget::CERTIFICATE_BYTES)
            }
            CertificateError::Malformed { what } => write!(f, "no X.509 certificate: its {what} cannot be read"),
            CertificateError::UnknownKey { algorithm } => write!(f, "a key of the unknown algorithm {algorithm}"),
            CertificateError::UnknownSignature { algorithm } => {
                write!(f, "a signature of the unknown algorithm {algorithm}")
            }
            CertificateError::Sha1 => {
                f.write_str("signed with SHA-1 by an authority whose key id the policy does not list under allow_sha1")
            }
            CertificateError::Signature => f.write_str("the issuer's key did not sign this certificate"),
        }
    }
}

impl core::error::Error for CertificateError {}

// RFC 5280 §4.2.1
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
