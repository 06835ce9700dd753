//! Ed25519 keys that sign: a node's B and F, a verifier's key. Each is also a TLS 1.3 raw public key (RFC 7250).

use aws_lc_rs::{
    error::{KeyRejected, Unspecified},
    signature::{Ed25519KeyPair, KeyPair},
};
use rustls::{
    Error, SignatureAlgorithm, SignatureScheme,
    pki_types::SubjectPublicKeyInfoDer,
    sign::{CertifiedKey, Signer, SigningKey as TlsSigningKey},
};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// A private key. What it signs, but for TLS's own CertificateVerify, starts with a label of its own kind
/// ([`garant_attest::wire`]); whoever calls [`SigningKey::sign`] keeps to that.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
    public: [u8; 32],
}

impl SigningKey {
    /// A new key from the kernel's random source. aws-lc's own generator first listens to the CPU's jitter, 23 ms in each
    /// new process (measured on x86-64), for which a starting node has no time.
    pub fn generate() -> Result<SigningKey, Unspecified> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| Unspecified)?;
        SigningKey::from_seed(&seed).map_err(|_| Unspecified)
    }

    /// The key of a seed (RFC 8032 §5.1.5), as it lies in a file.
    pub fn from_seed(seed: &[u8; 32]) -> Result<SigningKey, KeyRejected> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)?;
        SigningKey::new(pair).ok_or_else(|| Unspecified.into())
    }

    fn new(pair: Ed25519KeyPair) -> Option<SigningKey> {
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(SigningKey { pair: Arc::new(pair), public })
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// Signs a labelled statement.
    pub fn sign(&self, statement: &[u8]) -> [u8; 64] {
        // An Ed25519 signature is 64 bytes; zeros verify under no key.
        self.pair.sign(statement).as_ref().try_into().unwrap_or([0; 64])
    }

    /// The key as TLS takes it.
    pub(crate) fn raw_public_key(&self) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(vec![spki(&self.public).into()], Arc::new(self.clone())))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(Ed25519)")
    }
}

impl TlsSigningKey for SigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        if !offered.contains(&SignatureScheme::ED25519) {
            return None;
        }
        Some(Box::new(self.clone()))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(spki(&self.public).into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(SigningKey::sign(self, message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The one encoding of an Ed25519 SubjectPublicKeyInfo (RFC 8410 §4).
fn spki(public: &[u8; 32]) -> Vec<u8> {
    [SPKI_HEAD, public].concat()
}

/// The key in such an encoding; `None` for any other bytes.
pub(crate) fn ed25519_of_spki(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(SPKI_HEAD)?.try_into().ok()
}

const SPKI_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[cfg(test)]
impl SigningKey {
    /// A key that shows another's public half.
    pub(crate) fn posing_as(&self, public: [u8; 32]) -> SigningKey {
        SigningKey { pair: self.pair.clone(), public }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;

    #[test]
    fn a_key_of_a_seed_signs_as_rfc_8032_says() {
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = SigningKey::from_seed(seed.first_chunk().unwrap()).unwrap();
        assert_eq!(key.public()[..], hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
        let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
                         d25bf5f0595bbe24655141438e7a100b";
        assert_eq!(key.sign(b"")[..], hex(signature));
    }

    #[test]
    fn only_the_one_encoding_of_a_raw_key_is_read() {
        let good = spki(&[7; 32]);
        assert_eq!(ed25519_of_spki(&good), Some([7; 32]));
        assert_eq!(ed25519_of_spki(&good[..43]), None);
        assert_eq!(ed25519_of_spki(&[&good[..], &[0]].concat()), None);
        let mut x25519 = good;
        x25519[8] = 0x6e;
        assert_eq!(ed25519_of_spki(&x25519), None);
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }
}
