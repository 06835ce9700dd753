//! What no authority's software makes: bytes that are signed all the same, so that one check alone stands in the way.

use super::*;
use aws_lc_rs::{rand::SystemRandom, signature as aws};
use der::{Decode, Header, Reader, SliceReader};
use rcgen::SigningKey;

/// AlgorithmIdentifiers (RFC 5758 3.2, RFC 8017 C).
pub const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
pub const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
pub const RSA_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
pub const RSA_SHA1: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";

/// SIGNED (RFC 5912 4): what is signed, the algorithm beside it, the signature.
pub fn signed(body: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    tlv(0x30, &[body, algorithm, &tlv(0x03, &[&[0], signature])])
}

/// The signature that rcgen makes: ECDSA with SHA-256, or RSA PKCS #1 with it.
pub fn sign(key: &KeyPair, body: &[u8]) -> Vec<u8> {
    SigningKey::sign(key, body).unwrap()
}

/// RSA PKCS #1 with SHA-1.
pub fn sign_by_sha1(key: &KeyPair, body: &[u8]) -> Vec<u8> {
    use rsa::{
        pkcs8::DecodePrivateKey,
        signature::{SignatureEncoding, Signer},
    };
    let key = rsa::PrivateKey::from_pkcs8_der(&key.serialize_der()).unwrap();
    rsa::pkcs1v15::SigningKey::<sha1::Sha1>::new(key).sign(body).to_vec()
}

/// An extension (RFC 5280 4.1) that must be understood.
pub fn critical(id: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x06, &[id]), &[0x01, 0x01, 0xff], &tlv(0x04, &[value])])
}

/// One that need not.
pub fn harmless(id: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x06, &[id]), &tlv(0x04, &[value])])
}

/// A root with a key of this algorithm, and an authority below it.
fn world_of(algorithm: &'static rcgen::SignatureAlgorithm) -> World {
    let mut world = World::sound();
    world.keys[0] = KeyPair::generate_for(algorithm).unwrap();
    world
}

/// The signed part of the authority's certificate with another algorithm in it.
fn with_algorithm(world: &World, own: &[u8], other: &[u8]) -> Vec<u8> {
    let certificate = world.authority_certificate();
    let mut outer = SliceReader::new(certificate.der()).unwrap();
    Header::decode(&mut outer).unwrap();
    let mut inner = SliceReader::new(outer.tlv_bytes().unwrap()).unwrap();
    let length = usize::try_from(Header::decode(&mut inner).unwrap().length()).unwrap();
    let content = inner.read_slice(length.try_into().unwrap()).unwrap();
    let at = content.windows(own.len()).position(|window| window == own).unwrap();
    tlv(0x30, &[&content[..at], other, &content[at + own.len()..]])
}

fn verified(world: &World, der: &[u8]) -> Result<(), CertificateError> {
    let root = world.root_certificate().public_key().unwrap();
    Certificate::from_der(der)?.verify_signature(&FastEngine, &root, Sha1::Refused)
}

fn unknown(found: Result<(), CertificateError>) -> bool {
    matches!(found, Err(CertificateError::UnknownSignature { .. }))
}

#[test]
fn algorithms_that_differ_inside_and_beside_the_signed_part_are_refused() {
    let world = World::sound();
    let certificate = |inside| {
        let body = with_algorithm(&world, ECDSA_SHA256, inside);
        verified(&world, &signed(&body, ECDSA_SHA256, &sign(&world.keys[0], &body)))
    };
    assert_eq!(certificate(ECDSA_SHA256), Ok(()));
    assert!(matches!(certificate(ECDSA_SHA384), Err(CertificateError::Malformed { .. })));
}

#[test]
fn parameters_that_an_algorithm_does_not_have_make_it_unknown() {
    let with_parameters = |algorithm: &[u8], parameters: &[u8]| tlv(0x30, &[&algorithm[2..], parameters]);
    let ecdsa = (world_of(&rcgen::PKCS_ECDSA_P256_SHA256), ECDSA_SHA256, ECDSA_SHA256);
    let rsa = (world_of(&rcgen::PKCS_RSA_SHA256), RSA_SHA256, &tlv(0x30, &[&RSA_SHA256[2..13]])[..]);
    for (world, own, bare) in [ecdsa, rsa] {
        let certificate = |algorithm: &[u8]| {
            let body = with_algorithm(&world, own, algorithm);
            verified(&world, &signed(&body, algorithm, &sign(&world.keys[0], &body)))
        };
        assert_eq!((certificate(own), certificate(bare)), (Ok(()), Ok(())));
        assert!(unknown(certificate(&with_parameters(bare, &[0x04, 0x00]))));
    }
    let world = World::sound();
    let null = with_parameters(ECDSA_SHA256, &[0x05, 0x00]);
    let body = with_algorithm(&world, ECDSA_SHA256, &null);
    assert!(unknown(verified(&world, &signed(&body, &null, &sign(&world.keys[0], &body)))));
}

#[test]
fn an_authority_that_signs_with_sha1_counts_only_where_its_key_is_named() {
    let world = world_of(&rcgen::PKCS_RSA_SHA256);
    let body = with_algorithm(&world, RSA_SHA256, RSA_SHA1);
    let authority = read(&signed(&body, RSA_SHA1, &sign_by_sha1(&world.keys[0], &body)));
    let [root, other] = [world.root_certificate(), world.authority_certificate()]
        .map(|certificate| certificate.public_key().unwrap().id(&FastEngine).unwrap());
    let validated = |named: &[[u8; 32]]| {
        let chain = chain::Rules { allow_sha1: named, ..rules(NOW).chain };
        let rules = ek::Rules { chain, denied: &[] };
        ek::validate(&FastEngine, &world.ek_der(), std::slice::from_ref(&authority), &world.roots(), rules)
    };
    assert!(validated(&[other, root]).is_ok());
    for named in [&[][..], &[other]] {
        let found = validated(named);
        let expected =
            matches!(found, Err(EkError::Chain(ChainError::Certificate { error: CertificateError::Sha1, .. })));
        assert!(expected, "{found:?}");
    }
}

/// RSASSA-PSS-params (RFC 4055 3.1), with what stands in each field.
struct Pss {
    hash: u8,
    mask: u8,
    mask_hash: u8,
    salt_bytes: u8,
    trailer: Option<u8>,
}

/// With SHA-256 throughout, as it is signed below.
const USUAL: Pss = Pss { hash: 1, mask: 8, mask_hash: 1, salt_bytes: 32, trailer: None };

impl Pss {
    fn algorithm(&self) -> Vec<u8> {
        let digest = |last: u8| tlv(0x30, &[b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02", &[last], b"\x05\x00"]);
        let mask = [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01", &[self.mask][..]].concat();
        let mask = tlv(0x30, &[&mask, &digest(self.mask_hash)]);
        let trailer = self.trailer.map(|trailer| tlv(0xa3, &[&[0x02, 0x01, trailer]])).unwrap_or_default();
        let salt = tlv(0xa2, &[&[0x02, 0x01, self.salt_bytes]]);
        let parameters = tlv(0x30, &[&tlv(0xa0, &[&digest(self.hash)]), &tlv(0xa1, &[&mask]), &salt, &trailer]);
        tlv(0x30, &[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", &parameters])
    }
}

#[test]
fn a_pss_signature_counts_with_the_usual_parameters_only() {
    let world = world_of(&rcgen::PKCS_RSA_SHA256);
    let key = aws::RsaKeyPair::from_pkcs8(&world.keys[0].serialize_der()).unwrap();
    let certificate = |pss: Pss| {
        let algorithm = pss.algorithm();
        let body = with_algorithm(&world, RSA_SHA256, &algorithm);
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&aws::RSA_PSS_SHA256, &SystemRandom::new(), &body, &mut signature).unwrap();
        verified(&world, &signed(&body, &algorithm, &signature))
    };
    assert_eq!(certificate(USUAL), Ok(()));
    assert_eq!(certificate(Pss { trailer: Some(1), ..USUAL }), Ok(()));
    let another_hash = certificate(Pss { hash: 2, mask_hash: 2, salt_bytes: 48, ..USUAL });
    assert_eq!(another_hash, Err(CertificateError::Signature));
    for (name, pss) in [
        ("no mask generation function", Pss { mask: 7, ..USUAL }),
        ("another hash in the mask", Pss { mask_hash: 2, ..USUAL }),
        ("a shorter salt", Pss { salt_bytes: 20, ..USUAL }),
        ("another trailer", Pss { trailer: Some(2), ..USUAL }),
    ] {
        assert!(unknown(certificate(pss)), "{name}");
    }
}

/// As openssl writes them.
#[test]
fn a_pss_signature_without_a_length_of_its_salt_is_unknown() {
    let verifies = |pem| {
        let der = garant_attest::pem::blocks(pem, "CERTIFICATE").unwrap().remove(0);
        let own = read(&der);
        own.verify_signature(&FastEngine, &own.public_key().unwrap(), Sha1::OfNamedAuthority)
    };
    assert_eq!(verifies(include_str!("../pss_root.pem")), Ok(()));
    assert!(unknown(verifies(include_str!("../pss_root_other_salt.pem"))));
}
