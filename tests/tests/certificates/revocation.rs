//! Revocation lists: whose word counts, for how long, and which lists say nothing.

use super::{crafted::*, *};
use der::Encode;

fn validated(world: &World, lists: &[Vec<u8>]) -> Result<CertifiedEk, EkError> {
    let revocations: Vec<Crl> = lists.iter().map(|list| Crl::from_der(list).unwrap()).collect();
    let rules = ek::Rules { chain: chain::Rules { at: NOW, allow_sha1: &[], revocations: &revocations }, denied: &[] };
    ek::validate(&FastEngine, &world.ek_der(), &[world.authority_certificate()], &world.roots(), rules)
}

fn fault(found: Result<CertifiedEk, EkError>) -> CrlError {
    match found {
        Err(EkError::Chain(ChainError::Revocation { error, .. })) => error,
        other => panic!("{other:?}"),
    }
}

fn end_of(year: i32) -> u64 {
    u64::try_from(date_time_ymd(year, 12, 31).unix_timestamp()).unwrap()
}

#[test]
fn a_revoked_key_an_outdated_list_and_a_list_of_another_signer_are_refused() {
    let mut world = World::sound();
    world.ek.serial_number = Some(SerialNumber::from(7));
    let check = |serial, until_year, signer: &KeyPair| {
        validated(&world, &[revocation_list(&world.authority, serial, until_year, signer)])
    };
    assert_eq!(check(8, 2027, &world.keys[1]).unwrap().expires(), end_of(2027), "nextUpdate ends what it says");
    assert!(matches!(fault(check(7, 2027, &world.keys[1])), CrlError::Revoked { .. }));
    assert!(matches!(fault(check(8, 2025, &world.keys[1])), CrlError::NotOfNow { .. }));
    assert_eq!(fault(check(8, 2027, &world.keys[2])), CrlError::Signature);
}

#[test]
fn an_authority_is_revoked_by_its_root_and_every_list_is_asked() {
    let mut world = World::sound();
    world.authority.serial_number = Some(SerialNumber::from(7));
    world.ek.serial_number = Some(SerialNumber::from(8));
    let by_root = |serial, year| revocation_list(&world.root, serial, year, &world.keys[0]);
    let by_authority = |serial, year| revocation_list(&world.authority, serial, year, &world.keys[1]);
    assert!(matches!(fault(validated(&world, &[by_root(7, 2030)])), CrlError::Revoked { .. }));
    let lists = [by_authority(9, 2030), by_authority(8, 2030)];
    assert!(matches!(fault(validated(&world, &lists)), CrlError::Revoked { .. }));
    for (lists, end) in [
        ([by_root(8, 2029), by_authority(7, 2030)], 2029),
        ([by_root(8, 2030), by_authority(7, 2029)], 2029),
        ([by_authority(9, 2028), by_authority(9, 2031)], 2028),
        ([by_authority(9, 2031), by_authority(9, 2028)], 2028),
        ([by_root(8, 2028), by_root(8, 2031)], 2028),
    ] {
        assert_eq!(validated(&world, &lists).unwrap().expires(), end_of(end), "the earliest end");
    }
}

#[test]
fn an_authority_that_may_not_sign_lists_revokes_nothing_and_ends_the_path() {
    let mut world = World::sound();
    let list = [revocation_list(&world.authority, 8, 2030, &world.keys[1])];
    for usage in [vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign], vec![]] {
        world.authority.key_usages = usage;
        assert!(validated(&world, &list).is_ok());
    }
    world.authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    assert_eq!(fault(validated(&world, &list)), CrlError::Signature);
}

/// A list of the authority, field by field (RFC 5280 5.1).
struct List {
    algorithm: &'static [u8],
    this_update: &'static [u8],
    next_update: Option<&'static [u8]>,
    of_entry: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl List {
    fn sound() -> List {
        List {
            algorithm: ECDSA_SHA256,
            this_update: b"250101000000Z",
            next_update: Some(b"300101000000Z"),
            of_entry: harmless(REASON, &[0x0a, 0x01, 0x01]),
            extensions: vec![harmless(NUMBER, &[0x02, 0x01, 0x01])],
        }
    }

    fn body(&self, world: &World) -> Vec<u8> {
        let time = |text| tlv(0x17, &[text]);
        let issuer = world.authority_certificate().subject().to_der().unwrap();
        let next_update = self.next_update.map(time).unwrap_or_default();
        let entry = [&[0x02, 0x01, 0x09][..], &time(b"250101000000Z"), &tlv(0x30, &[&self.of_entry])].concat();
        let entries = tlv(0x30, &[&tlv(0x30, &[&entry])]);
        let extensions = tlv(0xa0, &[&tlv(0x30, &[&self.extensions.concat()])]);
        let fields = [&issuer[..], &time(self.this_update), &next_update, &entries, &extensions].concat();
        tlv(0x30, &[&[0x02, 0x01, 0x01], self.algorithm, &fields])
    }

    fn der(&self, world: &World) -> Vec<u8> {
        let body = self.body(world);
        signed(&body, ECDSA_SHA256, &sign(&world.keys[1], &body))
    }
}

#[test]
fn a_list_that_says_less_than_it_seems_to_is_refused() {
    let world = World::sound();
    assert!(validated(&world, &[List::sound().der(&world)]).is_ok());
    for (name, list) in [
        ("a delta list", List { extensions: vec![critical(DELTA, &[0x02, 0x01, 0x01])], ..List::sound() }),
        ("an indirect list", List { extensions: vec![critical(POINT, INDIRECT)], ..List::sound() }),
        ("an entry of another issuer", List { of_entry: critical(ISSUER, &[0x30, 0x00]), ..List::sound() }),
        ("a list without an end", List { next_update: None, ..List::sound() }),
        ("another algorithm inside", List { algorithm: ECDSA_SHA384, ..List::sound() }),
    ] {
        assert_eq!(Crl::from_der(&list.der(&world)).err(), Some(CrlError::Malformed), "{name}");
    }
}

#[test]
fn a_list_of_tomorrow_and_a_list_beyond_the_budget_are_refused() {
    let world = World::sound();
    let tomorrow = List { this_update: b"280101000000Z", ..List::sound() };
    assert!(matches!(fault(validated(&world, &[tomorrow.der(&world)])), CrlError::NotOfNow { .. }));
    let of_bytes = |bytes| List { extensions: vec![harmless(NUMBER, &vec![0; bytes])], ..List::sound() }.der(&world);
    assert!(Crl::from_der(&of_bytes(CRL_BYTES - 1024)).is_ok());
    let long = of_bytes(CRL_BYTES);
    assert_eq!(Crl::from_der(&long).err(), Some(CrlError::TooLong { found_bytes: long.len() }));
}

#[test]
fn a_list_signed_with_sha1_never_counts() {
    let mut world = World::sound();
    world.keys[1] = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let key = world.authority_certificate().public_key().unwrap();
    let checked = |algorithm, sign: fn(&KeyPair, &[u8]) -> Vec<u8>| {
        let body = List { algorithm, ..List::sound() }.body(&world);
        let list = Crl::from_der(&signed(&body, algorithm, &sign(&world.keys[1], &body))).unwrap();
        list.check(&FastEngine, &key, &[8], NOW)
    };
    assert!(checked(RSA_SHA256, sign).is_ok());
    assert_eq!(checked(RSA_SHA1, sign_by_sha1), Err(CrlError::Signature));
}

// RFC 5280 5.2, 5.3
const NUMBER: &[u8] = &[0x55, 0x1d, 20];
const REASON: &[u8] = &[0x55, 0x1d, 21];
const DELTA: &[u8] = &[0x55, 0x1d, 27];
const POINT: &[u8] = &[0x55, 0x1d, 28];
const ISSUER: &[u8] = &[0x55, 0x1d, 29];
/// issuingDistributionPoint with indirectCRL.
const INDIRECT: &[u8] = &[0x30, 0x03, 0x84, 0x01, 0xff];
