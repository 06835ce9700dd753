//! Platform certificates: who signed them, and of which machine they speak.

use super::{crafted::*, *};
use der::Encode;
use garant_attest::{budget::CERTIFICATE_BYTES, platform_certificate::PlatformCertificate};

/// One of the authority's, field by field (RFC 5755 4.1; Platform Certificate Profile 1.1).
struct Platform {
    version: u8,
    algorithm: &'static [u8],
    names: Vec<Vec<u8>>,
    more_names_of_issuer: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl Platform {
    fn sound() -> Platform {
        let names = [(1, "maker"), (4, "model"), (5, "version"), (6, "serial")].map(|(last, text)| name(last, text));
        Platform {
            version: 1,
            algorithm: ECDSA_SHA256,
            names: names.to_vec(),
            more_names_of_issuer: vec![],
            extensions: vec![],
        }
    }

    fn body(&self, world: &World) -> Vec<u8> {
        let issuer = tlv(0xa4, &[&world.authority_certificate().subject().to_der().unwrap()]);
        let holder = tlv(0x30, &[&tlv(0xa0, &[&tlv(0x30, &[&issuer]), &[0x02, 0x01, 0x07]])]);
        let issuer = tlv(0xa0, &[&tlv(0x30, &[&issuer, &self.more_names_of_issuer])]);
        let time = |text: &[u8]| tlv(0x18, &[text]);
        let validity = tlv(0x30, &[&time(b"20250101000000Z"), &time(b"20350101000000Z")]);
        let machine = tlv(0x30, &[&tlv(0xa4, &[&tlv(0x30, &[&self.names.concat()])])]);
        let extensions = tlv(0x30, &[&harmless(ALTERNATIVE_NAME, &machine), &self.extensions.concat()]);
        let version = [0x02, 0x01, self.version];
        let serial = [0x02, 0x01, 0x09];
        tlv(0x30, &[&version, &holder, &issuer, self.algorithm, &serial, &validity, &[0x30, 0x00], &extensions])
    }

    fn der(&self, world: &World) -> Vec<u8> {
        let body = self.body(world);
        signed(&body, ECDSA_SHA256, &sign(&world.keys[1], &body))
    }
}

/// An attribute of the machine, 2.23.133.5.1.n.
fn name(last: u8, text: &str) -> Vec<u8> {
    tlv(0x31, &[&tlv(0x30, &[&[0x06, 0x06, 0x67, 0x81, 0x05, 0x05, 0x01, last], &tlv(0x0c, &[text.as_bytes()])])])
}

#[test]
fn a_platform_certificate_counts_by_the_signature_of_its_issuer_alone() {
    let world = World::sound();
    let der = Platform::sound().der(&world);
    let certificate = PlatformCertificate::from_der(&der).unwrap();
    assert_eq!(certificate.platform.to_string(), "maker model version, serial number serial");
    let [root, issuer] =
        [world.root_certificate(), world.authority_certificate()].map(|authority| authority.public_key().unwrap());
    assert_eq!(certificate.verify_signature(&FastEngine, &issuer), Ok(()));
    assert_eq!(certificate.verify_signature(&FastEngine, &root), Err(CertificateError::Signature));
    for at in 0..der.len() {
        let mut forged = der.clone();
        forged[at] ^= 1;
        let verified =
            PlatformCertificate::from_der(&forged).and_then(|read| read.verify_signature(&FastEngine, &issuer));
        assert!(verified.is_err(), "byte {at}");
    }
}

#[test]
fn a_platform_certificate_signed_with_sha1_never_counts() {
    let mut world = World::sound();
    world.keys[1] = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let issuer = world.authority_certificate().public_key().unwrap();
    let verified = |algorithm, sign: fn(&KeyPair, &[u8]) -> Vec<u8>| {
        let body = Platform { algorithm, ..Platform::sound() }.body(&world);
        let read = PlatformCertificate::from_der(&signed(&body, algorithm, &sign(&world.keys[1], &body))).unwrap();
        read.verify_signature(&FastEngine, &issuer)
    };
    assert_eq!(verified(RSA_SHA256, sign), Ok(()));
    assert_eq!(verified(RSA_SHA1, sign_by_sha1), Err(CertificateError::Sha1));
}

#[test]
fn a_platform_certificate_of_two_minds_is_refused() {
    let world = World::sound();
    let twice = |last| [Platform::sound().names, vec![name(last, "other")]].concat();
    let without = |at| {
        let mut names = Platform::sound().names;
        names.remove(at);
        names
    };
    let other_machine = tlv(0x30, &[&tlv(0xa4, &[&tlv(0x30, &[&twice(1).concat()])])]);
    let mail = tlv(0x81, &[b"a@b"]);
    for (fault, platform) in [
        ("version 1", Platform { version: 0, ..Platform::sound() }),
        ("another algorithm inside", Platform { algorithm: ECDSA_SHA384, ..Platform::sound() }),
        ("two makers", Platform { names: twice(1), ..Platform::sound() }),
        ("two serial numbers", Platform { names: twice(6), ..Platform::sound() }),
        (
            "a control character",
            Platform { names: [without(0), vec![name(1, "ma\x1bker")]].concat(), ..Platform::sound() },
        ),
        ("no maker", Platform { names: without(0), ..Platform::sound() }),
        ("no model", Platform { names: without(1), ..Platform::sound() }),
        ("no version", Platform { names: without(2), ..Platform::sound() }),
        ("two issuers", Platform { more_names_of_issuer: mail, ..Platform::sound() }),
        (
            "two machines",
            Platform { extensions: vec![harmless(ALTERNATIVE_NAME, &other_machine)], ..Platform::sound() },
        ),
    ] {
        let found = PlatformCertificate::from_der(&platform.der(&world));
        assert!(matches!(found, Err(CertificateError::Malformed { .. })), "{fault}: {found:?}");
    }
    let unnamed = Platform { names: without(3), ..Platform::sound() }.der(&world);
    assert_eq!(PlatformCertificate::from_der(&unnamed).unwrap().platform.serial_number, None);
    let long = harmless(&[0x2a, 0x03], &[0; CERTIFICATE_BYTES]);
    let long = Platform { extensions: vec![long], ..Platform::sound() }.der(&world);
    let found_bytes = long.len();
    assert_eq!(PlatformCertificate::from_der(&long).err(), Some(CertificateError::TooLong { found_bytes }));
}

/// subjectAltName (RFC 5280 4.2.1.6).
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 17];
