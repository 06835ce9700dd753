//! The engine in pure Rust, for bare metal and WebAssembly, and for what the fast engine cannot do.

use crate::engine::{BadSignature, Digest, Engine, PublicKey, SignatureScheme};
use garant_hw::hash::Hash;
use rsa::{BoxedUint, pkcs1v15, pss, signature::hazmat::PrehashVerifier, traits::PublicKeyParts};

/// Holds nothing.
#[derive(Debug, Clone, Copy)]
pub struct RustEngine;

impl Engine for RustEngine {
    fn digest(&self, hash: Hash, parts: &[&[u8]]) -> Digest {
        match hash {
            Hash::Sha1 => digest::<sha1::Sha1>(hash, parts),
            Hash::Sha256 => digest::<sha2::Sha256>(hash, parts),
            Hash::Sha384 => digest::<sha2::Sha384>(hash, parts),
            Hash::Sha512 => digest::<sha2::Sha512>(hash, parts),
        }
    }

    fn verify_signature(
        &self,
        key: &PublicKey,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if !key.admits(scheme, signature) {
            return Err(BadSignature);
        }
        let prehash = |hash| self.digest(hash, &[message]);
        match scheme {
            SignatureScheme::Ecdsa(hash) => verify_ecdsa(key, prehash(hash).as_bytes(), signature),
            SignatureScheme::RsaPkcs1(hash) => verify_pkcs1(key, prehash(hash), signature),
            SignatureScheme::RsaPkcs1Sha1OfNamedAuthority => verify_pkcs1(key, prehash(Hash::Sha1), signature),
            SignatureScheme::RsaPss(hash) => verify_pss(key, prehash(hash), signature),
            SignatureScheme::Ed25519 => verify_ed25519(key, message, signature),
        }
    }
}

fn digest<D: sha2::Digest>(hash: Hash, parts: &[&[u8]]) -> Digest {
    let mut hasher = D::new();
    parts.iter().for_each(|part| hasher.update(part));
    Digest::new(hash, &hasher.finalize()).unwrap_or(Digest::zero(hash))
}

fn verify_ecdsa(key: &PublicKey, prehash: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    match key {
        PublicKey::P256(point) => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BadSignature)?;
            let signature = p256::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
            key.verify_prehash(prehash, &signature).map_err(|_| BadSignature)
        }
        PublicKey::P384(point) => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BadSignature)?;
            let signature = p384::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
            key.verify_prehash(prehash, &signature).map_err(|_| BadSignature)
        }
        PublicKey::P521(point) => {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| BadSignature)?;
            let signature = p521::ecdsa::Signature::from_slice(signature).map_err(|_| BadSignature)?;
            key.verify_prehash(prehash, &signature).map_err(|_| BadSignature)
        }
        PublicKey::Rsa { .. } | PublicKey::Ed25519(_) => Err(BadSignature),
    }
}

fn rsa_key(key: &PublicKey) -> Result<rsa::PublicKey, BadSignature> {
    let PublicKey::Rsa { modulus, exponent } = key else {
        return Err(BadSignature);
    };
    let bits = u32::try_from(modulus.len()).map_err(|_| BadSignature)?.saturating_mul(8);
    let modulus = BoxedUint::from_be_slice(modulus, bits).map_err(|_| BadSignature)?;
    rsa::PublicKey::new(modulus, BoxedUint::from(*exponent)).map_err(|_| BadSignature)
}

fn verify_pkcs1(key: &PublicKey, prehash: Digest, signature: &[u8]) -> Result<(), BadSignature> {
    let key = rsa_key(key)?;
    let signature = pkcs1v15::Signature::try_from(signature).map_err(|_| BadSignature)?;
    let bytes = prehash.as_bytes();
    let checked = match prehash.hash() {
        Hash::Sha1 => pkcs1v15::VerifyingKey::<sha1::Sha1>::new(key).verify_prehash(bytes, &signature),
        Hash::Sha256 => pkcs1v15::VerifyingKey::<sha2::Sha256>::new(key).verify_prehash(bytes, &signature),
        Hash::Sha384 => pkcs1v15::VerifyingKey::<sha2::Sha384>::new(key).verify_prehash(bytes, &signature),
        Hash::Sha512 => pkcs1v15::VerifyingKey::<sha2::Sha512>::new(key).verify_prehash(bytes, &signature),
    };
    checked.map_err(|_| BadSignature)
}

/// The salt is as long as the digest, or as long as the key allows: what old TPMs do (TPM 2.0 Part 1, B.7).
fn verify_pss(key: &PublicKey, prehash: Digest, signature: &[u8]) -> Result<(), BadSignature> {
    let key = rsa_key(key)?;
    match prehash.hash() {
        Hash::Sha1 => Err(BadSignature),
        Hash::Sha256 => verify_salted::<sha2::Sha256>(&key, prehash, signature),
        Hash::Sha384 => verify_salted::<sha2::Sha384>(&key, prehash, signature),
        Hash::Sha512 => verify_salted::<sha2::Sha512>(&key, prehash, signature),
    }
}

fn verify_salted<D: sha2::Digest + sha2::digest::FixedOutputReset>(
    key: &rsa::PublicKey,
    prehash: Digest,
    signature: &[u8],
) -> Result<(), BadSignature> {
    let digest_bytes = prehash.hash().size_bytes();
    let encoded_bytes = usize::try_from(key.n().bit_width()).map_err(|_| BadSignature)?.saturating_add(6) / 8;
    let longest_bytes =
        encoded_bytes.checked_sub(digest_bytes).and_then(|rest| rest.checked_sub(2)).ok_or(BadSignature)?;
    let signature = pss::Signature::try_from(signature).map_err(|_| BadSignature)?;
    let verifies = |salt_bytes| {
        let key = pss::VerifyingKey::<D>::new_with_salt_len(key.clone(), salt_bytes);
        key.verify_prehash(prehash.as_bytes(), &signature).is_ok()
    };
    if [digest_bytes, longest_bytes].into_iter().any(verifies) { Ok(()) } else { Err(BadSignature) }
}

fn verify_ed25519(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    let PublicKey::Ed25519(key) = key else {
        return Err(BadSignature);
    };
    let key = VerifyingKey::from_bytes(key).map_err(|_| BadSignature)?;
    let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
    key.verify(message, &signature).map_err(|_| BadSignature)
}
