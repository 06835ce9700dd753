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
