//! Attestation keys, their Names, their signatures (facts Q6, Q7, Q10, Q11, I3).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use garant_attest::{
    engine::{Engine, PublicKey, SignatureScheme},
    public_area::{self, AttestationKey, EncryptionKey, Name, PublicAreaError},
    quote,
    rust_engine::RustEngine,
};
use garant_channel::engine::FastEngine;
use garant_hw::{
    hash::Hash,
    tpm::templates::{AkGeneration, EK_TEMPLATES, ak_template},
};
use garant_tests::vectors;
use proptest::prelude::*;

/// A public area of an attestation key: our own template, with a point.
fn ak_public_area() -> Vec<u8> {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let template = ak_template(AkGeneration::CURRENT).unwrap();
    let mut area = template[..template.len() - 68].to_vec();
    for coordinate in point.as_bytes()[1..].chunks(32) {
        area.extend([0, 32]);
        area.extend(coordinate);
    }
    area
}

fn read(area: &[u8]) -> Result<AttestationKey, PublicAreaError> {
    AttestationKey::from_public_area(&RustEngine, area)
}

#[test]
fn every_quote_vector_with_a_public_area_verifies_by_its_own_scheme_only() {
    for folder in vectors::folders_with("ak_pub.tpmt") {
        let file = |name: &str| vectors::read(&format!("{folder}/{name}"));
        let (attest, signature) = (file("quote.bin").unwrap(), file("sig.bin").unwrap());
        let ak = read(&file("ak_pub.tpmt").unwrap()).unwrap();
        let fixed = ak.signature(&signature).unwrap();
        for engine in [&RustEngine as &dyn Engine, &FastEngine] {
            assert!(engine.verify_signature(ak.public_key(), ak.scheme(), &attest, &fixed).is_ok(), "{folder}");
            for scheme in schemes().into_iter().filter(|scheme| *scheme != ak.scheme()) {
                assert!(
                    engine.verify_signature(ak.public_key(), scheme, &attest, &fixed).is_err(),
                    "{folder}: {scheme:?}"
                );
            }
        }
        if let Some(ek) = file("ek_pub.tpmt") {
            let parent = Name::of(&RustEngine, &ek).unwrap().qualified_in_endorsement(&RustEngine);
            let signer = ak.name().qualified_under(&RustEngine, &parent);
            assert_eq!(signer.as_bytes(), qualified_signer(&attest), "{folder}");
            let other = Name::of(&RustEngine, &ak_public_area()).unwrap();
            assert_ne!(other.qualified_under(&RustEngine, &parent).as_bytes(), qualified_signer(&attest));
        }
    }
}

/// TPMS_ATTEST: magic, type, then TPM2B_NAME.
fn qualified_signer(attest: &[u8]) -> &[u8] {
    &attest[8..8 + usize::from(u16::from_be_bytes([attest[6], attest[7]]))]
}

fn schemes() -> Vec<SignatureScheme> {
    let hashed = [SignatureScheme::Ecdsa, SignatureScheme::RsaPkcs1, SignatureScheme::RsaPss];
    let mut all: Vec<_> = Hash::ALL.into_iter().flat_map(|hash| hashed.map(|scheme| scheme(hash))).collect();
    all.extend([SignatureScheme::Ed25519, SignatureScheme::RsaPkcs1Sha1OfNamedAuthority]);
    all
}

#[test]
fn no_byte_of_a_quote_or_its_signature_can_change() {
    for folder in vectors::folders_with("ak_pub.tpmt") {
        let file = |name: &str| vectors::read(&format!("{folder}/{name}")).unwrap();
        let ak = read(&file("ak_pub.tpmt")).unwrap();
        let accepts = |attest: &[u8], signature: &[u8]| {
            let fixed = ak.signature(signature).ok();
            fixed.is_some_and(|fixed| quote::check(&FastEngine, ak.public_key(), ak.scheme(), attest, &fixed).is_ok())
        };
        for (which, bytes) in ["quote.bin", "sig.bin"].into_iter().enumerate() {
            let original = file(bytes);
            for at in 0..original.len() {
                let mut forged = original.clone();
                forged[at] ^= 0x01;
                let (attest, signature) =
                    if which == 0 { (forged, file("sig.bin")) } else { (file("quote.bin"), forged) };
                assert!(!accepts(&attest, &signature), "{folder}/{bytes}: byte {at}");
            }
        }
    }
}

#[test]
fn our_own_template_makes_an_attestation_key() {
    let ak = read(&ak_public_area()).unwrap();
    assert_eq!(ak.scheme(), SignatureScheme::Ecdsa(Hash::Sha256));
    assert!(matches!(ak.public_key(), PublicKey::P256(_)));
    assert_eq!(ak.name().as_bytes()[..2], [0, 0x0b]);
    let sized = [&(ak.public_area().len() as u16).to_be_bytes()[..], ak.public_area()].concat();
    assert_eq!(AttestationKey::from_sized_public_area(&RustEngine, &sized).as_ref(), Ok(&ak));
    assert_eq!(AttestationKey::from_sized_public_area(&RustEngine, ak.public_area()), Err(PublicAreaError::Shape));
}

/// Each attribute that must be set, cleared; and each that must not be, set.
#[test]
fn a_key_with_any_wrong_attribute_may_not_attest() {
    let area = ak_public_area();
    for bit in [1, 4, 5, 16, 18] {
        let mut wrong = area.clone();
        flip(&mut wrong, bit);
        assert_eq!(read(&wrong), Err(PublicAreaError::Attributes { missing: 1 << bit, forbidden: 0 }));
    }
    let mut decrypting = area.clone();
    flip(&mut decrypting, 17);
    assert_eq!(read(&decrypting), Err(PublicAreaError::Attributes { missing: 0, forbidden: 1 << 17 }));
    for bit in [6, 10] {
        let mut harmless = area.clone();
        flip(&mut harmless, bit);
        assert!(read(&harmless).is_ok(), "userWithAuth and noDA say nothing about where the key is");
    }
}

fn flip(area: &mut [u8], bit: usize) {
    area[7 - bit / 8] ^= 1 << (bit % 8);
}

/// Offsets in the AK's template: scheme at 12, its hash at 14, curve at 16.
#[test]
fn a_key_of_another_scheme_hash_or_curve_may_not_attest() {
    let with = |at: usize, value: u16| {
        let mut area = ak_public_area();
        area[at..at + 2].copy_from_slice(&value.to_be_bytes());
        read(&area)
    };
    for scheme in [0x001a, 0x001b, 0x001c] {
        assert!(with(12, scheme).is_err(), "ECDAA, SM2, Schnorr");
    }
    for hash in [0x0004, 0x0012] {
        assert_eq!(with(14, hash), Err(PublicAreaError::Scheme), "SHA-1, SM3");
    }
    for curve in [0x0001, 0x0002, 0x0010, 0x0020] {
        assert_eq!(with(16, curve), Err(PublicAreaError::Key), "P-192, P-224, BN-256, SM2");
    }
    assert_eq!(with(2, 0x0004).map(|_| ()), Err(PublicAreaError::NameAlg), "a Name by SHA-1 can be made twice");
    assert_eq!(with(10, 0x0006).map(|_| ()), Err(PublicAreaError::Shape), "a symmetric algorithm without its details");
}

#[test]
fn a_public_area_ends_where_its_bytes_end() {
    let area = ak_public_area();
    for end in 0..area.len() {
        assert!(read(&area[..end]).is_err());
    }
    assert_eq!(read(&[&area[..], &[0]].concat()), Err(PublicAreaError::Shape));
    assert_eq!(read(&[0; 4096]), Err(PublicAreaError::TooLong { found_bytes: 4096 }));
}

#[test]
fn the_name_changes_with_every_byte_of_the_public_area() {
    let area = ak_public_area();
    let name = Name::of(&RustEngine, &area).unwrap();
    for at in (0..2).chain(4..area.len()) {
        let mut other = area.clone();
        other[at] ^= 1;
        assert_ne!(Name::of(&RustEngine, &other).ok(), Some(name.clone()));
    }
}

/// An RSA key: sign attributes, RSASSA with SHA-256.
fn rsa_public_area(bits: u16, exponent: u32, modulus: &[u8]) -> Vec<u8> {
    let mut area = vec![0, 1, 0, 0x0b, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x14, 0, 0x0b];
    area.extend(bits.to_be_bytes());
    area.extend(exponent.to_be_bytes());
    area.extend((modulus.len() as u16).to_be_bytes());
    area.extend(modulus);
    area
}

#[test]
fn rsa_keys_are_whole_long_and_of_a_sound_exponent() {
    let modulus = [0xff; 256];
    let ak = read(&rsa_public_area(2048, 0, &modulus)).unwrap();
    assert_eq!(ak.public_key(), &PublicKey::Rsa { modulus: modulus.to_vec(), exponent: 65537 });
    assert_eq!(ak.scheme(), SignatureScheme::RsaPkcs1(Hash::Sha256));
    for exponent in [1, 3, 65536] {
        assert_eq!(read(&rsa_public_area(2048, exponent, &modulus)), Err(PublicAreaError::Key));
    }
    assert_eq!(read(&rsa_public_area(1024, 0, &modulus[..128])), Err(PublicAreaError::Key));
    assert_eq!(read(&rsa_public_area(2048, 0, &modulus[..128])), Err(PublicAreaError::Key), "shorter than it says");
    let mut low = modulus;
    low[0] = 0x7f;
    assert_eq!(read(&rsa_public_area(2048, 0, &low)), Err(PublicAreaError::Key));
}

/// TPMT_SIGNATURE of ECDSA with SHA-256.
fn ecdsa_signature(scheme: u16, hash: u16, r: &[u8], s: &[u8]) -> Vec<u8> {
    let mut bytes = [scheme.to_be_bytes(), hash.to_be_bytes()].concat();
    for scalar in [r, s] {
        bytes.extend((scalar.len() as u16).to_be_bytes());
        bytes.extend(scalar);
    }
    bytes
}

#[test]
fn a_signature_by_another_scheme_than_the_keys_own_is_refused() {
    let ak = read(&ak_public_area()).unwrap();
    assert_eq!(ak.signature(&ecdsa_signature(0x18, 0x0b, &[1; 32], &[2; 32])), Ok([[1; 32], [2; 32]].concat()));
    for hash in [0x0c, 0x0d, 0x04, 0x10] {
        assert!(ak.signature(&ecdsa_signature(0x18, hash, &[1; 32], &[2; 32])).is_err(), "hash {hash:#x}");
    }
    for scheme in [0x1a, 0x1b, 0x1c, 0x14, 0x16, 0x10, 0x05] {
        assert!(ak.signature(&ecdsa_signature(scheme, 0x0b, &[1; 32], &[2; 32])).is_err(), "scheme {scheme:#x}");
    }
    let rsa = [0, 0x14, 0, 0x0b, 1, 0].into_iter().chain([1; 256]).collect::<Vec<u8>>();
    assert_eq!(ak.signature(&rsa), Err(PublicAreaError::Scheme));
}

#[test]
fn a_signature_is_padded_to_the_curve_and_ends_where_its_bytes_end() {
    let ak = read(&ak_public_area()).unwrap();
    let short = ak.signature(&ecdsa_signature(0x18, 0x0b, &[1; 31], &[2; 32])).unwrap();
    assert_eq!((short.len(), &short[..2]), (64, &[0, 1][..]));
    assert_eq!(ak.signature(&ecdsa_signature(0x18, 0x0b, &[1; 33], &[2; 32])), Err(PublicAreaError::Shape));
    let whole = ecdsa_signature(0x18, 0x0b, &[1; 32], &[2; 32]);
    for end in 0..whole.len() {
        assert_eq!(ak.signature(&whole[..end]), Err(PublicAreaError::Shape));
    }
    assert_eq!(ak.signature(&[&whole[..], &[0]].concat()), Err(PublicAreaError::Shape));
    assert_eq!(ak.signature(&[0; 2000]), Err(PublicAreaError::TooLong { found_bytes: 2000 }));
}

#[test]
fn the_public_area_of_an_ek_is_its_template_around_the_certified_key() {
    for folder in vectors::folders_with("ek_pub.tpmt") {
        let ek = vectors::read(&format!("{folder}/ek_pub.tpmt")).unwrap();
        let key = EncryptionKey::from_public_area(&ek).unwrap().public_key().clone();
        let built = EK_TEMPLATES
            .iter()
            .filter_map(|template| public_area::ek_public_area(&template.public_area().unwrap(), &key).ok());
        assert!(built.into_iter().any(|area| area == ek), "{folder}: no template of the profile gives this EK");
    }
}

#[test]
fn a_template_takes_no_key_of_another_kind_or_size() {
    let p256 = read(&ak_public_area()).unwrap().public_key().clone();
    let rsa = |bytes, exponent| PublicKey::Rsa { modulus: vec![0xff; bytes], exponent };
    for template in EK_TEMPLATES {
        let area = template.public_area().unwrap();
        let takes = |key: &PublicKey| public_area::ek_public_area(&area, key).is_ok();
        assert_eq!(takes(&p256), template.name.ends_with('2'), "{}", template.name);
        assert_eq!(takes(&rsa(256, 65537)), template.name.ends_with('1'), "{}", template.name);
        assert!(!takes(&rsa(256, 3)) && !takes(&rsa(257, 65537)) && !takes(&PublicKey::Ed25519([0; 32])));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..700), at in 0usize..90) {
        let _ = read(&bytes);
        let mut area = ak_public_area();
        area.splice(at.min(area.len()).., bytes.iter().copied());
        let _ = read(&area);
        let _ = public_area::signature(&bytes, read(&ak_public_area()).unwrap().public_key());
        let _ = public_area::ek_public_area(&area, &PublicKey::P256([4; 65]));
    }
}
