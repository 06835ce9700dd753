//! Both engines refuse and accept the same signatures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use aws_lc_rs::{rand::SystemRandom, rsa::KeySize, signature as aws, signature::KeyPair};
use garant_attest::{
    engine::{Engine, PublicKey, SignatureScheme},
    rust_engine::RustEngine,
};
use garant_channel::engine::FastEngine;
use garant_hw::hash::Hash;
use getrandom::SysRng;
use p256::ecdsa::signature::hazmat::PrehashSigner;

const MESSAGE: &[u8] = b"what booted, where it is, whose it is";
const SHA2: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

/// What both say; a test fails where they differ.
fn verifies(key: &PublicKey, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> bool {
    let rust = RustEngine.verify_signature(key, scheme, message, signature).is_ok();
    let fast = FastEngine.verify_signature(key, scheme, message, signature).is_ok();
    assert_eq!(rust, fast, "the engines differ on {scheme:?} with {} bytes of signature", signature.len());
    rust
}

/// A key and its signature over [`MESSAGE`] for each curve, with `hash`.
fn ecdsa(hash: Hash) -> [(PublicKey, Vec<u8>); 3] {
    let digest = RustEngine.digest(hash, &[MESSAGE]);
    let prehash = digest.as_bytes();
    let p256 = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let p384 = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
    let mut scalar = [7; 66];
    scalar[0] = 0;
    let p521 = p521::ecdsa::SigningKey::from_slice(&scalar).unwrap();
    let s256: p256::ecdsa::Signature = p256.sign_prehash(prehash).unwrap();
    let s384: p384::ecdsa::Signature = p384.sign_prehash(prehash).unwrap();
    // a digest shorter than half of the curve is refused by the signer as well
    let s521 =
        p521.sign_prehash(prehash).map(|s: p521::ecdsa::Signature| s.to_bytes().to_vec()).unwrap_or(vec![1; 132]);
    [
        (
            PublicKey::P256(p256.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap()),
            s256.to_bytes().to_vec(),
        ),
        (
            PublicKey::P384(p384.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap()),
            s384.to_bytes().to_vec(),
        ),
        (PublicKey::P521(p521.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap()), s521),
    ]
}

fn rsa_key() -> (aws::RsaKeyPair, PublicKey) {
    let pair = aws::RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let modulus = pair.public_key().as_ref()[9..265].to_vec(); // RSAPublicKey: two headers and a zero byte before it
    (pair, PublicKey::Rsa { modulus, exponent: 65537 })
}

fn rsa_sign(pair: &aws::RsaKeyPair, encoding: &'static dyn aws::RsaEncoding) -> Vec<u8> {
    let mut signature = vec![0; 256];
    pair.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
    signature
}

#[test]
fn digests_are_those_of_fips_180() {
    for engine in [&RustEngine as &dyn Engine, &FastEngine] {
        let abc = |hash| engine.digest(hash, &[b"a", b"", b"bc"]).to_string();
        assert_eq!(abc(Hash::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(abc(Hash::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(abc(Hash::Sha384).starts_with("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"));
        assert!(abc(Hash::Sha512).starts_with("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
    }
}

#[test]
fn each_curve_verifies_with_each_digest_from_half_its_size_on() {
    for hash in SHA2 {
        for (key, signature) in ecdsa(hash) {
            let is_short = matches!(key, PublicKey::P521(_)) && hash == Hash::Sha256;
            assert_eq!(verifies(&key, SignatureScheme::Ecdsa(hash), MESSAGE, &signature), !is_short);
            assert!(!verifies(&key, SignatureScheme::Ecdsa(hash), b"another message", &signature));
            for other in Hash::ALL.into_iter().filter(|other| *other != hash) {
                assert!(!verifies(&key, SignatureScheme::Ecdsa(other), MESSAGE, &signature), "digests are mixed up");
            }
        }
    }
}

#[test]
fn ecdsa_refuses_zero_overlong_and_out_of_range_scalars() {
    for (key, signature) in ecdsa(Hash::Sha512) {
        let scheme = SignatureScheme::Ecdsa(Hash::Sha512);
        let half = signature.len() / 2;
        assert!(verifies(&key, scheme, MESSAGE, &signature));
        for range in [0..half, half..half * 2] {
            for filler in [0x00, 0xff] {
                let mut forged = signature.clone();
                forged[range.clone()].fill(filler);
                assert!(!verifies(&key, scheme, MESSAGE, &forged));
            }
        }
        assert!(!verifies(&key, scheme, MESSAGE, &vec![0; signature.len()]));
        assert!(!verifies(&key, scheme, MESSAGE, &signature[1..]));
        assert!(!verifies(&key, scheme, MESSAGE, &[&signature[..], &[0]].concat()));
        assert!(!verifies(&key, scheme, MESSAGE, &[]));
    }
}

#[test]
fn ecdsa_refuses_a_point_off_the_curve() {
    for (key, signature) in ecdsa(Hash::Sha512) {
        let off = match key {
            PublicKey::P256(mut point) => {
                point[64] ^= 1;
                PublicKey::P256(point)
            }
            PublicKey::P384(mut point) => {
                point[96] ^= 1;
                PublicKey::P384(point)
            }
            PublicKey::P521(mut point) => {
                point[132] ^= 1;
                PublicKey::P521(point)
            }
            other => panic!("no curve: {other:?}"),
        };
        assert!(!verifies(&off, SignatureScheme::Ecdsa(Hash::Sha512), MESSAGE, &signature));
    }
    for first in [0x00, 0x02, 0x06, 0x04] {
        let mut point = [0; 65];
        point[0] = first;
        assert!(!verifies(&PublicKey::P256(point), SignatureScheme::Ecdsa(Hash::Sha256), MESSAGE, &[1; 64]));
    }
}

#[test]
fn rsa_verifies_with_its_own_padding_and_digest_only() {
    let (pair, key) = rsa_key();
    let signed: [(SignatureScheme, &'static dyn aws::RsaEncoding); 6] = [
        (SignatureScheme::RsaPkcs1(Hash::Sha256), &aws::RSA_PKCS1_SHA256),
        (SignatureScheme::RsaPkcs1(Hash::Sha384), &aws::RSA_PKCS1_SHA384),
        (SignatureScheme::RsaPkcs1(Hash::Sha512), &aws::RSA_PKCS1_SHA512),
        (SignatureScheme::RsaPss(Hash::Sha256), &aws::RSA_PSS_SHA256),
        (SignatureScheme::RsaPss(Hash::Sha384), &aws::RSA_PSS_SHA384),
        (SignatureScheme::RsaPss(Hash::Sha512), &aws::RSA_PSS_SHA512),
    ];
    for (scheme, encoding) in signed {
        let signature = rsa_sign(&pair, encoding);
        for (other, _) in signed {
            assert_eq!(verifies(&key, other, MESSAGE, &signature), other == scheme);
        }
        for scheme in
            [SignatureScheme::Ed25519, SignatureScheme::Ecdsa(Hash::Sha256), SignatureScheme::RsaPkcs1(Hash::Sha1)]
        {
            assert!(!verifies(&key, scheme, MESSAGE, &signature));
        }
        assert!(!verifies(&key, scheme, b"another message", &signature));
        assert!(!verifies(&key, scheme, MESSAGE, &[&[0], &signature[..]].concat()));
        assert!(!verifies(&key, scheme, MESSAGE, &vec![0; 256]));
        assert!(!verifies(&key, scheme, MESSAGE, &vec![0xff; 256]));
    }
}

#[test]
fn a_pss_salt_as_long_as_the_key_allows_verifies() {
    static LONGEST: aws::RsaSignatureEncoding = aws::RSA_PSS_SHA256.with_pss_salt_length(aws::RsaPssSaltLength::Max);
    static ODD: aws::RsaSignatureEncoding = aws::RSA_PSS_SHA256.with_pss_salt_length(aws::RsaPssSaltLength::Custom(7));
    let (pair, key) = rsa_key();
    assert!(verifies(&key, SignatureScheme::RsaPss(Hash::Sha256), MESSAGE, &rsa_sign(&pair, &LONGEST)));
    assert!(!verifies(&key, SignatureScheme::RsaPss(Hash::Sha256), MESSAGE, &rsa_sign(&pair, &ODD)));
}

/// PKCS#1 v1.5 padding of SHA-256 of the message, as a "signature" for exponent 1: it is its own e-th power.
#[test]
fn rsa_refuses_exponents_that_anybody_can_invert_and_short_keys() {
    let (_, key) = rsa_key();
    let PublicKey::Rsa { modulus, .. } = key else { panic!("no RSA") };
    let prefix = [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
    let digest = RustEngine.digest(Hash::Sha256, &[MESSAGE]);
    let mut padded = vec![0xff; 256];
    padded[..2].copy_from_slice(&[0, 1]);
    padded[204] = 0;
    padded[205..224].copy_from_slice(&prefix);
    padded[224..].copy_from_slice(digest.as_bytes());
    let scheme = SignatureScheme::RsaPkcs1(Hash::Sha256);
    for exponent in [0, 1, 2, 3, 17, 65535, 65536, 65538] {
        assert!(!verifies(&PublicKey::Rsa { modulus: modulus.clone(), exponent }, scheme, MESSAGE, &padded));
    }
    let short = PublicKey::Rsa { modulus: modulus[..128].to_vec(), exponent: 65537 };
    assert!(!verifies(&short, scheme, MESSAGE, &[1; 128]));
    let mut low = modulus.clone();
    low[0] &= 0x7f; // 2047 bits
    assert!(!verifies(&PublicKey::Rsa { modulus: low, exponent: 65537 }, scheme, MESSAGE, &padded));
    let long = PublicKey::Rsa { modulus: [&modulus[..], &modulus, &modulus].concat(), exponent: 65537 };
    assert!(!verifies(&long, scheme, MESSAGE, &[1; 768]));
}

#[test]
fn a_short_rsa_key_of_whole_strength_elsewhere_is_refused() {
    let key = rsa::PrivateKey::new(&mut SysRng, 1024).unwrap();
    let public = {
        use rsa::traits::PublicKeyParts;
        PublicKey::Rsa { modulus: key.n_bytes().to_vec(), exponent: 65537 }
    };
    use rsa::signature::{SignatureEncoding, Signer};
    let signature = rsa::pkcs1v15::SigningKey::<sha2::Sha256>::new(key).sign(MESSAGE).to_vec();
    assert!(!verifies(&public, SignatureScheme::RsaPkcs1(Hash::Sha256), MESSAGE, &signature));
}

#[test]
fn sha1_verifies_only_by_the_scheme_for_a_named_authority() {
    use rsa::signature::{SignatureEncoding, Signer};
    let key = rsa::PrivateKey::new(&mut SysRng, 2048).unwrap();
    let public = {
        use rsa::traits::PublicKeyParts;
        PublicKey::Rsa { modulus: key.n_bytes().to_vec(), exponent: 65537 }
    };
    let signature = rsa::pkcs1v15::SigningKey::<sha1::Sha1>::new(key).sign(MESSAGE).to_vec();
    assert!(verifies(&public, SignatureScheme::RsaPkcs1Sha1OfNamedAuthority, MESSAGE, &signature));
    assert!(!verifies(&public, SignatureScheme::RsaPkcs1(Hash::Sha1), MESSAGE, &signature));
}

#[test]
fn ed25519_verifies_and_refuses_keys_of_small_order() {
    use ed25519_dalek::Signer;
    let pair = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let key = PublicKey::Ed25519(pair.verifying_key().to_bytes());
    let signature = pair.sign(MESSAGE).to_bytes();
    assert!(verifies(&key, SignatureScheme::Ed25519, MESSAGE, &signature));
    assert!(!verifies(&key, SignatureScheme::Ed25519, b"another message", &signature));
    assert!(!verifies(&key, SignatureScheme::Ed25519, MESSAGE, &signature[..63]));
    let mut malleable = signature;
    malleable[63] |= 0xe0; // S beyond the group order
    assert!(!verifies(&key, SignatureScheme::Ed25519, MESSAGE, &malleable));
    // R = the identity and S = 0 verify any message for the identity as key, if small order were let through.
    let mut identity = [0; 32];
    identity[0] = 1;
    let forged = [&identity[..], &[0; 32]].concat();
    assert!(!verifies(&PublicKey::Ed25519(identity), SignatureScheme::Ed25519, MESSAGE, &forged));
}

#[test]
fn every_point_that_dalek_calls_weak_is_refused() {
    for y in curve25519_dalek::constants::EIGHT_TORSION {
        let key = y.compress().to_bytes();
        assert!(ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap().is_weak());
        assert!(!PublicKey::Ed25519(key).admits(SignatureScheme::Ed25519, &[0; 64]));
    }
}
