//! Cryptography as a trait: this crate decides what is checked, an engine does the arithmetic.

use alloc::vec::Vec;
use core::fmt;
use garant_hw::hash::Hash;

/// Digests and signature checks; implemented by `rust_engine` here and by the fast engine of `garant-channel`.
pub trait Engine {
    /// The digest of the parts, one after another.
    fn digest(&self, hash: Hash, parts: &[&[u8]]) -> Digest;

    /// Whether `key` signed `message` by `scheme`. ECDSA signatures are r ‖ s, each as long as the curve's order;
    /// RSA ones as long as the modulus. A key or scheme that the engine does not know is a bad signature.
    fn verify_signature(
        &self,
        key: &PublicKey,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature>;
}

/// SHA-256 of the parts, one after another.
pub fn sha256(engine: &dyn Engine, parts: &[&[u8]]) -> [u8; 32] {
    let digest = engine.digest(Hash::Sha256, parts);
    digest.bytes.first_chunk().copied().unwrap_or_default()
}

/// HMAC-SHA256 (RFC 2104) of a message under a key of 32 bytes. Nothing is allocated.
pub fn hmac_sha256(engine: &dyn Engine, key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; HMAC_BLOCK_BYTES];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = sha256(engine, &[&padded(0x36), message]);
    sha256(engine, &[&padded(0x5c), &inner])
}

/// Block of SHA-256 (FIPS 180-4 §1).
const HMAC_BLOCK_BYTES: usize = 64;

/// A digest with its algorithm.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    hash: Hash,
    bytes: [u8; 64],
}

impl Digest {
    /// The digest in `bytes`; `None` where their number is not the algorithm's.
    pub fn new(hash: Hash, bytes: &[u8]) -> Option<Digest> {
        if bytes.len() != hash.size_bytes() {
            return None;
        }
        let mut digest = Digest::zero(hash);
        digest.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(digest)
    }

    /// All bytes zero: where a PCR starts.
    pub const fn zero(hash: Hash) -> Digest {
        Digest { hash, bytes: [0; 64] }
    }

    /// All bits set: where the PCRs of a dynamic launch start, and what an IMA violation extends.
    pub fn ones(hash: Hash) -> Digest {
        let mut digest = Digest::zero(hash);
        digest.bytes.iter_mut().take(hash.size_bytes()).for_each(|byte| *byte = 0xff);
        digest
    }

    /// The algorithm.
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The digest's bytes, as many as the algorithm's.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at_checked(self.hash.size_bytes()).map_or(&[], |(bytes, _)| bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.hash.name())
    }
}

/// A public key; holding one proves nothing about who has the other half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// 0x04 ‖ x ‖ y.
    P256([u8; 65]),
    /// 0x04 ‖ x ‖ y.
    P384([u8; 97]),
    /// 0x04 ‖ x ‖ y.
    P521([u8; 133]),
    /// Modulus without leading zeros, big endian, and public exponent.
    Rsa {
        /// Big endian.
        modulus: Vec<u8>,
        /// Usually 65537.
        exponent: u32,
    },
    /// RFC 8032.
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// Whether an engine may try this at all: the scheme is the key's, the signature has its length, the digest is
    /// neither SHA-1 nor shorter than half of the curve, and the key is none that anybody could sign for. Both engines
    /// ask this first, so they refuse the same things.
    pub fn admits(&self, scheme: SignatureScheme, signature: &[u8]) -> bool {
        match (self, scheme) {
            (PublicKey::P256(_), SignatureScheme::Ecdsa(hash)) => hash != Hash::Sha1 && signature.len() == 64,
            (PublicKey::P384(_), SignatureScheme::Ecdsa(hash)) => hash != Hash::Sha1 && signature.len() == 96,
            (PublicKey::P521(_), SignatureScheme::Ecdsa(hash)) => hash.size_bytes() > 33 && signature.len() == 132,
            (PublicKey::Rsa { modulus, exponent }, SignatureScheme::RsaPkcs1(hash) | SignatureScheme::RsaPss(hash)) => {
                hash != Hash::Sha1 && is_sound_rsa(modulus, *exponent) && signature.len() == modulus.len()
            }
            (PublicKey::Rsa { modulus, exponent }, SignatureScheme::RsaPkcs1Sha1OfNamedAuthority) => {
                is_sound_rsa(modulus, *exponent) && signature.len() == modulus.len()
            }
            (PublicKey::Ed25519(key), SignatureScheme::Ed25519) => !is_small_order(key) && signature.len() == 64,
            _ => false,
        }
    }
}

/// 2048 to 4096 bits, odd modulus, odd exponent from 65537 on (FIPS 186-5 §5.4 a and e).
fn is_sound_rsa(modulus: &[u8], exponent: u32) -> bool {
    let is_long = modulus.len() > 256 || (modulus.len() == 256 && modulus.first().is_some_and(|byte| *byte >= 0x80));
    let is_odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
    is_long && modulus.len() <= 512 && is_odd && exponent >= 65537 && exponent & 1 == 1
}

/// Points of order 1, 2, 4 and 8, for which some signature of anybody verifies; the sign bit is left out.
fn is_small_order(key: &[u8; 32]) -> bool {
    let mut y = *key;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&y)
}

/// How a signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// FIPS 186-5 §6, r ‖ s.
    Ecdsa(Hash),
    /// RFC 8017 §8.2.
    RsaPkcs1(Hash),
    /// RFC 8017 §8.1, salt as long as the digest or as the key allows (TPM 2.0 Part 1, B.7).
    RsaPss(Hash),
    /// RFC 8032.
    Ed25519,
    /// RFC 8017 §8.2 with SHA-1: certificates of old TPM makers' authorities, and only where a policy names the
    /// authority. No key of a TPM yields this scheme, so no quote can be checked by it.
    RsaPkcs1Sha1OfNamedAuthority,
}

/// The signature does not verify: the signer, or whoever carried it, is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not verify")
    }
}

impl core::error::Error for BadSignature {}

/// Encodings of y with small order: 0, 1, two of order 8, -1, and the non-canonical 0 and 1 (RFC 8032 §5.1; the table
/// is computed from the curve equation, the test computes it again).
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    y(0x01, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    y(0xec, 0xff, 0x7f),
    y(0xed, 0xff, 0x7f),
    y(0xee, 0xff, 0x7f),
];

const fn y(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    if let Some(byte) = bytes.first_mut() {
        *byte = first;
    }
    if let Some(byte) = bytes.last_mut() {
        *byte = last;
    }
    bytes
}
