//! COSE_Sign1 (RFC 9052 §4.2), always tagged: the form of every signed statement. One signer, EdDSA or ECDSA.
//! Key ids, times and kinds of payload that statements share are in `statement`.
//!
//! The protected bucket holds exactly algorithm, content type and key id; the unprotected one is empty, so that no
//! label can stand in both and nothing unsigned is carried along.

use crate::{
    budget,
    cbor::{self, Bytes, Bytes32, CborError},
    engine::{Engine, PublicKey, SignatureScheme},
};
use alloc::{string::String, vec::Vec};
use core::fmt;
use garant_hw::hash::Hash;
use serde::{Deserialize, Serialize};

crate::int_map! {
    /// The protected header (RFC 9052 §3.1).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Protected<'a> {
        /// alg: -8 EdDSA, -7 ES256, -35 ES384 (RFC 9053 §2).
        1 => algorithm: i64,
        /// content type: what the payload is.
        3 => content_type: &'a str,
        /// kid: SHA-256 of the signer's SubjectPublicKeyInfo.
        4 => key_id: Bytes32,
    }
}

/// A statement as it came: shape is proven, the signature is not.
#[derive(Debug, Clone, Copy)]
pub struct ClaimedStatement<'a> {
    protected_bytes: &'a [u8],
    protected: Protected<'a>,
    payload: &'a [u8],
    signature: &'a [u8],
}

/// Why a statement is refused; whoever brought it is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementError {
    /// Not a tagged COSE_Sign1 of the accepted shape.
    Shape(CborError),
    /// Another kind of statement.
    ContentType {
        /// The content type asked for.
        expected: &'static str,
        /// The one found.
        found: String,
    },
    /// The key does not fit the algorithm, or the key id is another key's.
    OtherKey,
    /// The signature does not verify.
    Signature,
    /// A claim that cannot be meant.
    Claim {
        /// Which.
        what: &'static str,
    },
    /// It ends before it begins.
    Lifetime,
    /// It lives longer than any of its kind.
    TooLong {
        /// Seconds between its issue and its end.
        life_s: u64,
        /// Seconds that are accepted.
        limit_s: u64,
    },
    /// It counts only later.
    NotYet {
        /// From when on, seconds since 1970.
        from: u64,
    },
    /// It has ended.
    Expired {
        /// When, seconds since 1970.
        at: u64,
    },
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatementError::Shape(e) => write!(f, "no COSE_Sign1 statement: {e}"),
            StatementError::ContentType { expected, found } => {
                write!(f, "a statement of type {found:?} where {expected} is asked for")
            }
            StatementError::OtherKey => write!(f, "the statement names another signer"),
            StatementError::Signature => write!(f, "the statement's signature does not verify"),
            StatementError::Claim { what } => write!(f, "the statement's {what} cannot be meant"),
            StatementError::Lifetime => write!(f, "the statement ends before it begins"),
            StatementError::TooLong { life_s, limit_s } => {
                write!(f, "the statement lives {life_s} s, at most {limit_s} s are accepted")
            }
            StatementError::NotYet { from } => {
                write!(f, "the statement counts only from {from} (seconds since 1970) on")
            }
            StatementError::Expired { at } => write!(f, "the statement ended at {at} (seconds since 1970)"),
        }
    }
}

impl core::error::Error for StatementError {}

impl From<CborError> for StatementError {
    fn from(e: CborError) -> Self {
        StatementError::Shape(e)
    }
}

impl<'a> ClaimedStatement<'a> {
    /// Reads a tagged COSE_Sign1 of at most [`budget::STATEMENT_BYTES`].
    pub fn decode(bytes: &'a [u8]) -> Result<ClaimedStatement<'a>, StatementError> {
        let untagged = bytes.strip_prefix(&[TAG_SIGN1]).ok_or(CborError::Malformed { offset: 0 })?;
        let array: Sign1<'a> = cbor::decode(untagged, budget::STATEMENT_BYTES)?;
        let protected_bytes: &'a [u8] = array.0;
        let protected = cbor::decode(protected_bytes, HEADER_BYTES)?;
        Ok(ClaimedStatement { protected_bytes, protected, payload: array.2, signature: array.3 })
    }

    /// The content type, as claimed.
    pub fn content_type(&self) -> &'a str {
        self.protected.content_type
    }

    /// SHA-256 of the SubjectPublicKeyInfo that is said to have signed.
    pub fn key_id(&self) -> [u8; 32] {
        *self.protected.key_id
    }

    /// The payload, as claimed: for printing only.
    pub fn untrusted_payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload, where `key` signed it as a statement of `content_type`.
    pub fn verify(
        &self,
        engine: &dyn Engine,
        key: &PublicKey,
        content_type: &'static str,
    ) -> Result<&'a [u8], StatementError> {
        if self.protected.content_type != content_type {
            let found = String::from(self.protected.content_type);
            return Err(StatementError::ContentType { expected: content_type, found });
        }
        let scheme = scheme(key, self.protected.algorithm).ok_or(StatementError::OtherKey)?;
        if key.id(engine) != Some(self.key_id()) {
            return Err(StatementError::OtherKey);
        }
        let message = to_be_signed(self.protected_bytes, self.payload)?;
        engine.verify_signature(key, scheme, &message, self.signature).map_err(|_| StatementError::Signature)?;
        Ok(self.payload)
    }
}

/// A statement by an Ed25519 key; `sign` makes the signature over the bytes it is given.
pub fn sign_ed25519<E: From<CborError>>(
    key_id: [u8; 32],
    content_type: &str,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<Vec<u8>, E> {
    let protected = Protected { algorithm: EDDSA, content_type, key_id: Bytes32::new(key_id) };
    assemble(&protected, payload, sign, E::from)
}

/// A statement by whoever holds the other half of `key`: Ed25519, P-256 or P-384. `sign` makes the signature over the
/// bytes it is given, ECDSA's as r ‖ s; it may ask a device, so what it answers is checked before it is believed.
pub fn sign<E: From<StatementError>>(
    engine: &dyn Engine,
    key: &PublicKey,
    content_type: &str,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let algorithm = [EDDSA, ES256, ES384].into_iter().find_map(|id| Some((id, scheme(key, id)?)));
    let (algorithm, scheme) = algorithm.ok_or(StatementError::OtherKey)?;
    let key_id = Bytes32::new(key.id(engine).ok_or(StatementError::OtherKey)?);
    let checked = |message: &[u8]| {
        let signature = sign(message)?;
        let checked = engine.verify_signature(key, scheme, message, &signature);
        checked.map_err(|_| StatementError::Signature)?;
        Ok(signature)
    };
    let protected = Protected { algorithm, content_type, key_id };
    assemble(&protected, payload, checked, |fault| StatementError::Shape(fault).into())
}

fn assemble<S: AsRef<[u8]>, E>(
    protected: &Protected<'_>,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<S, E>,
    unencodable: impl Fn(CborError) -> E,
) -> Result<Vec<u8>, E> {
    let protected = cbor::encode(protected).map_err(&unencodable)?;
    let message = to_be_signed(&protected, payload).map_err(&unencodable)?;
    let signature = sign(&message)?;
    let array = Sign1(Bytes::new(&protected), Empty {}, Bytes::new(payload), Bytes::new(signature.as_ref()));
    let mut out = Vec::from([TAG_SIGN1]);
    out.extend_from_slice(&cbor::encode(&array).map_err(&unencodable)?);
    Ok(out)
}

/// COSE_Sign1: protected, unprotected, payload, signature.
#[derive(Serialize, Deserialize)]
struct Sign1<'a>(#[serde(borrow)] &'a Bytes, Empty, #[serde(borrow)] &'a Bytes, #[serde(borrow)] &'a Bytes);

/// The unprotected bucket.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// Sig_structure (RFC 9052 §4.4) without external data.
fn to_be_signed(protected: &[u8], payload: &[u8]) -> Result<Vec<u8>, CborError> {
    cbor::encode(&("Signature1", Bytes::new(protected), Bytes::new(b""), Bytes::new(payload)))
}

fn scheme(key: &PublicKey, algorithm: i64) -> Option<SignatureScheme> {
    match (key, algorithm) {
        (PublicKey::Ed25519(_), EDDSA) => Some(SignatureScheme::Ed25519),
        (PublicKey::P256(_), ES256) => Some(SignatureScheme::Ecdsa(Hash::Sha256)),
        (PublicKey::P384(_), ES384) => Some(SignatureScheme::Ecdsa(Hash::Sha384)),
        _ => None,
    }
}

const TAG_SIGN1: u8 = 0xd2; // tag 18, RFC 9052 §2
const EDDSA: i64 = -8; // RFC 9053 §2.2
const ES256: i64 = -7; // RFC 9053 §2.1
const ES384: i64 = -35; // RFC 9053 §2.1
const HEADER_BYTES: usize = 256;
