//! What certificates, revocation lists and attribute certificates share: a part that is signed as it came, an
//! algorithm, a signature (SIGNED of RFC 5912 §4).

use crate::{
    certificate::{CertificateError, Sha1},
    engine::{BadSignature, Engine, PublicKey, SignatureScheme},
};
use alloc::vec::Vec;
use der::{
    Decode, Header, Reader, Sequence, SliceReader,
    asn1::{AnyRef, ObjectIdentifier, UintRef},
};
use garant_hw::hash::Hash;
use x509_cert::spki::AlgorithmIdentifierRef;

/// One signed object.
pub(crate) struct Signed<'a> {
    /// All of it.
    pub(crate) der: &'a [u8],
    /// As it stands beside the signature.
    pub(crate) algorithm: AlgorithmIdentifierRef<'a>,
    /// The BIT STRING's bytes; `None` where it is not of whole bytes.
    pub(crate) signature: Option<&'a [u8]>,
}

impl Signed<'_> {
    /// Whether the key of `issuer` signed these very bytes. `sha1` says whether RSA with SHA-1 counts.
    pub(crate) fn verify(&self, engine: &dyn Engine, issuer: &PublicKey, sha1: Sha1) -> Result<(), CertificateError> {
        let scheme = self.scheme()?;
        if scheme == SignatureScheme::RsaPkcs1Sha1OfNamedAuthority && sha1 == Sha1::Refused {
            return Err(CertificateError::Sha1);
        }
        let signed = signed_part(self.der).map_err(|_| CertificateError::Malformed { what: "signed part" })?;
        let signature = self.signature.and_then(|signature| fixed_width(issuer, scheme, signature));
        let signature = signature.ok_or(CertificateError::Signature)?;
        engine.verify_signature(issuer, scheme, signed, &signature).map_err(|BadSignature| CertificateError::Signature)
    }

    /// How it was signed; an error names an algorithm that no engine has.
    pub(crate) fn scheme(&self) -> Result<SignatureScheme, CertificateError> {
        scheme(&self.algorithm).ok_or(CertificateError::UnknownSignature { algorithm: self.algorithm.oid })
    }
}

/// The first element of the outer SEQUENCE, with its header.
fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    Header::decode(&mut reader)?;
    reader.tlv_bytes()
}

/// The scheme; `None` for what no engine has, such as ML-DSA, and for parameters that do not belong to the algorithm.
fn scheme(algorithm: &AlgorithmIdentifierRef<'_>) -> Option<SignatureScheme> {
    let has_null = algorithm.parameters.is_none() || algorithm.parameters == Some(AnyRef::NULL);
    let has_none = algorithm.parameters.is_none();
    match algorithm.oid {
        RSA_SHA1 if has_null => Some(SignatureScheme::RsaPkcs1Sha1OfNamedAuthority),
        RSA_SHA256 if has_null => Some(SignatureScheme::RsaPkcs1(Hash::Sha256)),
        RSA_SHA384 if has_null => Some(SignatureScheme::RsaPkcs1(Hash::Sha384)),
        RSA_SHA512 if has_null => Some(SignatureScheme::RsaPkcs1(Hash::Sha512)),
        RSA_PSS => pss_scheme(algorithm.parameters?),
        ECDSA_SHA256 if has_none => Some(SignatureScheme::Ecdsa(Hash::Sha256)),
        ECDSA_SHA384 if has_none => Some(SignatureScheme::Ecdsa(Hash::Sha384)),
        ECDSA_SHA512 if has_none => Some(SignatureScheme::Ecdsa(Hash::Sha512)),
        ED25519 if has_none => Some(SignatureScheme::Ed25519),
        _ => None,
    }
}

/// The signature as the engines take it: ECDSA's SEQUENCE of r and s (RFC 3279 §2.2.3) becomes r ‖ s.
fn fixed_width(key: &PublicKey, scheme: SignatureScheme, signature: &[u8]) -> Option<Vec<u8>> {
    let width: usize = match (key, scheme) {
        (PublicKey::P256(_), SignatureScheme::Ecdsa(_)) => 32,
        (PublicKey::P384(_), SignatureScheme::Ecdsa(_)) => 48,
        (PublicKey::P521(_), SignatureScheme::Ecdsa(_)) => 66,
        (_, SignatureScheme::Ecdsa(_)) => return None,
        _ => return Some(signature.to_vec()),
    };
    let both = EcdsaSignature::from_der(signature).ok()?;
    let mut fixed = Vec::new();
    for scalar in [both.r.as_bytes(), both.s.as_bytes()] {
        fixed.extend(core::iter::repeat_n(0, width.checked_sub(scalar.len())?));
        fixed.extend_from_slice(scalar);
    }
    Some(fixed)
}

/// RSASSA-PSS-params (RFC 4055 §3.1); the defaults mean SHA-1 and are left out, so such a signature is unknown.
fn pss_scheme(parameters: AnyRef<'_>) -> Option<SignatureScheme> {
    let parameters: PssParameters<'_> = parameters.decode_as().ok()?;
    let hash = hash(parameters.hash.oid)?;
    let mask_hash: AlgorithmIdentifierRef<'_> = parameters.mask.parameters?.decode_as().ok()?;
    let is_usual = parameters.mask.oid == MGF1 && mask_hash.oid == parameters.hash.oid;
    let is_salted = usize::from(parameters.salt_bytes) == hash.size_bytes();
    (is_usual && is_salted && parameters.trailer.is_none_or(|trailer| trailer == 1))
        .then_some(SignatureScheme::RsaPss(hash))
}

fn hash(oid: ObjectIdentifier) -> Option<Hash> {
    match oid {
        SHA256 => Some(Hash::Sha256),
        SHA384 => Some(Hash::Sha384),
        SHA512 => Some(Hash::Sha512),
        _ => None,
    }
}

#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    hash: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT")]
    mask: AlgorithmIdentifierRef<'a>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    salt_bytes: u8,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u8>,
}

const RSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"); // RFC 8017 C
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8"); // RFC 8017 C
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"); // RFC 8017 C
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"); // RFC 8017 C
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"); // RFC 8017 C
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"); // RFC 8017 C
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"); // RFC 5758 3.2
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"); // RFC 5758 3.2
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"); // RFC 5758 3.2
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112"); // RFC 8410 3
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"); // RFC 4055 2.1
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"); // RFC 4055 2.1
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"); // RFC 4055 2.1
