//! Engines that say yes, so that fuzzing reaches what stands behind a signature or a digest.

use garant_attest::{
    engine::{BadSignature, Digest, Engine, PublicKey, SignatureScheme},
    rust_engine::RustEngine,
};
use garant_hw::hash::Hash;

/// Digests are true, every signature is good: the node is the attacker.
#[derive(Debug)]
pub struct AnySignature;

impl Engine for AnySignature {
    fn digest(&self, hash: Hash, parts: &[&[u8]]) -> Digest {
        RustEngine.digest(hash, parts)
    }

    fn verify_signature(
        &self,
        key: &PublicKey,
        scheme: SignatureScheme,
        _: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if key.admits(scheme, signature) { Ok(()) } else { Err(BadSignature) }
    }
}

/// Every digest is zero as well: an input need not find what hashes to what it says.
#[derive(Debug)]
pub struct AnyDigest;

impl Engine for AnyDigest {
    fn digest(&self, hash: Hash, _: &[&[u8]]) -> Digest {
        Digest::zero(hash)
    }

    fn verify_signature(
        &self,
        key: &PublicKey,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        AnySignature.verify_signature(key, scheme, message, signature)
    }
}

/// A key that engines take: one of small order would never pass.
pub const KEY_BYTES: [u8; 32] = [9; 32];
/// The same, as the targets verify by it.
pub const KEY: PublicKey = PublicKey::Ed25519(KEY_BYTES);
