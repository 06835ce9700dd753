//! Certificates of endorsement keys: one fault each, and what only that check refuses (facts I1, I2, I9; H1, H2, H12).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod crafted;
mod of_vectors;
mod platform;
mod revocation;

use garant_attest::{
    budget::{CERTIFICATE_BYTES, CERTIFICATE_EXTENSIONS, CHAIN_DEPTH, CRL_BYTES, EK_CHAIN},
    certificate::{Certificate, CertificateError, Name, Sha1, is_same_name},
    chain::{self, ChainError},
    crl::{Crl, CrlError},
    ek::{self, CertifiedEk, EkError},
    engine::{Engine, PublicKey},
    node_id::NodeId,
    roots::{Root, RootKind, Roots},
    rust_engine::RustEngine,
    tcg_names::{self, NamesError},
    verdict::Basis,
};
use garant_channel::engine::FastEngine;
use garant_tests::chain_world::{
    World, alternative_name, attribute, authority, purpose, read, revocation_list, tcg_names, tlv,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SerialNumber, date_time_ymd,
};
use std::collections::HashSet;

const YEAR: u64 = 31_557_600;
/// The end of 2026.
const NOW: u64 = 57 * YEAR - 86_400;

/// TeletexString (X.690 8.23.3).
const TELETEX: u8 = 0x14;

/// What the verifier says of that world.
trait Validate {
    fn validate(&self) -> Result<CertifiedEk, EkError>;
    fn validate_at(&self, at: u64) -> Result<CertifiedEk, EkError>;
}

impl Validate for World {
    fn validate(&self) -> Result<CertifiedEk, EkError> {
        self.validate_at(NOW)
    }

    fn validate_at(&self, at: u64) -> Result<CertifiedEk, EkError> {
        ek::validate(&FastEngine, &self.ek_der(), &[self.authority_certificate()], &self.roots(), rules(at))
    }
}

fn rules<'a>(at: u64) -> ek::Rules<'a> {
    ek::Rules { chain: chain::Rules { at, allow_sha1: &[], revocations: &[] }, denied: &[] }
}

#[test]
fn a_sound_chain_gives_the_key_its_names_its_links_and_the_earliest_end() {
    let mut world = World::sound();
    world.authority.not_after = date_time_ymd(2030, 1, 1);
    let der = world.ek_der();
    let ek = ek::validate(&FastEngine, &der, &[world.authority_certificate()], &world.roots(), rules(NOW)).unwrap();
    assert!(matches!(ek.public_key(), PublicKey::P256(_)));
    assert_eq!(ek.names().unwrap().to_string(), "NTC NPCT75x id:00070002");
    assert_eq!(ek.expires(), u64::try_from(date_time_ymd(2030, 1, 1).unix_timestamp()).unwrap());
    assert_eq!(ek.links().len(), 3);
    assert!(ek.links().iter().all(|link| link.basis == Basis::Silicon));
    assert_eq!(ek.certificate(), der);
}

#[test]
fn the_basis_is_what_the_kind_of_root_is_worth() {
    for (kind, basis) in [
        (RootKind::Firmware, Basis::Silicon),
        (RootKind::Virtual, Basis::Testimony("the root".into())),
        (RootKind::Test, Basis::Test),
    ] {
        let world = World { kind, ..World::sound() };
        assert!(world.validate().unwrap().links().iter().all(|link| link.basis == basis), "{kind}");
    }
}

/// Name of the fault, how it is made, and whether the error is the one that only this check gives.
type Fault = (&'static str, fn(&mut World), fn(&EkError) -> bool);

#[test]
fn each_fault_is_refused_by_its_own_check() {
    for (name, make, is_expected) in FAULTS {
        let mut world = World::sound();
        make(&mut world);
        let error = world.validate().expect_err(name);
        assert!(is_expected(&error), "{name}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
}

const FAULTS: &[Fault] = &[
    (
        "EK not yet valid",
        |w| w.ek.not_before = date_time_ymd(2039, 1, 1),
        |e| matches!(e, EkError::Chain(ChainError::NotYetValid { .. })),
    ),
    (
        "EK expired",
        |w| w.ek.not_after = date_time_ymd(2021, 1, 1),
        |e| matches!(e, EkError::Chain(ChainError::Expired { .. })),
    ),
    (
        "authority expired",
        |w| w.authority.not_after = date_time_ymd(2021, 1, 1),
        |e| matches!(e, EkError::Chain(ChainError::Expired { .. })),
    ),
    (
        "root expired",
        |w| w.root.not_after = date_time_ymd(2021, 1, 1),
        |e| matches!(e, EkError::Chain(ChainError::Expired { .. })),
    ),
    (
        "authority without CA flag",
        |w| w.authority.is_ca = IsCa::ExplicitNoCa,
        |e| matches!(e, EkError::Chain(ChainError::NoAuthority { .. })),
    ),
    (
        "authority without basicConstraints",
        |w| w.authority.is_ca = IsCa::NoCa,
        |e| matches!(e, EkError::Chain(ChainError::NoAuthority { .. })),
    ),
    (
        "root of path length 0",
        |w| w.root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        |e| matches!(e, EkError::Chain(ChainError::PathLength { .. })),
    ),
    (
        "authority without keyCertSign",
        |w| w.authority.key_usages = vec![KeyUsagePurpose::CrlSign],
        |e| matches!(e, EkError::Chain(ChainError::KeyUsage { .. })),
    ),
    (
        "authority for servers",
        |w| w.authority.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        |e| matches!(e, EkError::Chain(ChainError::Purpose { .. })),
    ),
    (
        "authority without a name",
        |w| w.authority.distinguished_name = DistinguishedName::new(),
        |e| matches!(e, EkError::Chain(ChainError::NoAuthority { .. })),
    ),
    (
        "authority with name constraints",
        |w| {
            w.authority.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
                excluded_subtrees: vec![],
            })
        },
        |e| matches!(e, EkError::Chain(ChainError::Extension { .. })),
    ),
    (
        "EK with an unknown critical extension",
        |w| w.ek.custom_extensions.push(critical_unknown()),
        |e| matches!(e, EkError::Chain(ChainError::Extension { .. })),
    ),
    (
        "authority with an unknown critical extension",
        |w| w.authority.custom_extensions.push(critical_unknown()),
        |e| matches!(e, EkError::Chain(ChainError::Extension { .. })),
    ),
    (
        "EK with CA flag",
        |w| w.ek.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        |e| matches!(e, EkError::Authority),
    ),
    (
        "EK for signatures",
        |w| w.ek.key_usages = vec![KeyUsagePurpose::DigitalSignature],
        |e| matches!(e, EkError::KeyUsage),
    ),
    (
        "ECC EK for key encipherment",
        |w| w.ek.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
        |e| matches!(e, EkError::KeyUsage),
    ),
    ("RSA EK for key agreement", rsa_key, |e| matches!(e, EkError::KeyUsage)),
    (
        "certificate for servers",
        |w| w.ek.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        |e| matches!(e, EkError::Purpose),
    ),
    (
        "certificate of an AK",
        |w| w.ek.extended_key_usages = vec![purpose(&[2, 23, 133, 8, 3])],
        |e| matches!(e, EkError::Purpose),
    ),
    ("no purpose", |w| w.ek.extended_key_usages = vec![], |e| matches!(e, EkError::Purpose)),
    ("no names", |w| w.ek.custom_extensions = vec![], |e| matches!(e, EkError::Nameless)),
    ("maker of another root", |w| w.makers = vec!["IFX", "STM"], |e| matches!(e, EkError::Maker { .. })),
    ("a root that vouches for nobody", |w| w.makers = vec![], |e| matches!(e, EkError::Maker { .. })),
    (
        "no vendor id",
        |w| w.ek.custom_extensions = vec![alternative_name(&tcg_names("Nuvoton", "NPCT75x", "1"))],
        |e| matches!(e, EkError::Names(NamesError::Maker)),
    ),
    (
        "a vendor id of ten digits",
        |w| w.ek.custom_extensions = vec![alternative_name(&tcg_names("id:004E544300", "m", "1"))],
        |e| matches!(e, EkError::Names(NamesError::Maker)),
    ),
    (
        "a vendor id with a sign",
        |w| w.ek.custom_extensions = vec![alternative_name(&tcg_names("id:+E544300", "m", "1"))],
        |e| matches!(e, EkError::Names(NamesError::Maker)),
    ),
    (
        "a vendor id with a space",
        |w| w.ek.custom_extensions = vec![alternative_name(&tcg_names("N C", "m", "1"))],
        |e| matches!(e, EkError::Names(NamesError::Maker)),
    ),
    (
        "a model longer than a name",
        |w| w.ek.custom_extensions = vec![alternative_name(&tcg_names("id:4E544300", &"m".repeat(129), "1"))],
        |e| matches!(e, EkError::Names(NamesError::Text)),
    ),
    (
        "a model in a string type of no text",
        |w| {
            let names = tcg_names("id:4E544300", "NPCT75x", "1");
            let at = names.windows(7).position(|window| window == b"NPCT75x").unwrap() - 2;
            let (before, after) = names.split_at(at);
            w.ek.custom_extensions = vec![alternative_name(&[before, &[TELETEX], &after[1..]].concat())];
        },
        |e| matches!(e, EkError::Names(NamesError::Text)),
    ),
    (
        "maker alone",
        |w| w.ek.custom_extensions = vec![alternative_name(&tlv(0x30, &[&tlv(0x31, &[&attribute(1, "id:4E544300")])]))],
        |e| matches!(e, EkError::Names(NamesError::Incomplete)),
    ),
    ("two makers", |w| w.ek.custom_extensions = vec![two_makers()], |e| matches!(e, EkError::Names(NamesError::Twice))),
    (
        "a control character in the model",
        |w| w.ek.custom_extensions = vec![alternative_name(&tcg_names("id:4E544300", "N\nok", "1"))],
        |e| matches!(e, EkError::Names(NamesError::Text)),
    ),
    (
        "an extension twice",
        |w| {
            let again = w.ek.custom_extensions[0].clone();
            w.ek.custom_extensions.push(again);
        },
        |e| matches!(e, EkError::Certificate(CertificateError::Malformed { .. })),
    ),
    (
        "more extensions than any certificate has",
        |w| w.ek.custom_extensions.extend(harmless_extensions(CERTIFICATE_EXTENSIONS)),
        |e| matches!(e, EkError::Certificate(CertificateError::Malformed { .. })),
    ),
    (
        "more bytes than any certificate has",
        |w| w.ek.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3], vec![0; CERTIFICATE_BYTES])),
        |e| matches!(e, EkError::Certificate(CertificateError::TooLong { .. })),
    ),
    (
        "an Ed25519 key",
        |w| w.keys[2] = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
        |e| matches!(e, EkError::Key),
    ),
];

#[test]
fn a_key_or_an_authority_with_the_roca_fingerprint_is_refused() {
    let weak = || KeyPair::from_pem(include_str!("../roca_key.pem")).unwrap();
    let mut world = World::sound();
    world.keys[2] = weak();
    world.ek.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    assert_eq!(world.validate(), Err(EkError::Roca));
    for which in 0..2 {
        let mut world = World::sound();
        world.keys[which] = weak();
        assert!(matches!(world.validate(), Err(EkError::Chain(ChainError::Roca { .. }))));
    }
}

fn critical_unknown() -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

fn harmless_extensions(count: usize) -> impl Iterator<Item = CustomExtension> {
    (0..count).map(|number| CustomExtension::from_oid_content(&[1, 2, 3, number as u64], vec![5, 0]))
}

fn rsa_key(world: &mut World) {
    world.keys[2] = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
}

fn two_makers() -> CustomExtension {
    let [one, other] = ["id:4E544300", "id:49465800"].map(|maker| tlv(0x31, &[&attribute(1, maker)]));
    let (model, version) = (tlv(0x31, &[&attribute(2, "m")]), tlv(0x31, &[&attribute(3, "v")]));
    alternative_name(&tlv(0x30, &[&one, &other, &model, &version]))
}

/// What real chains have and strict validators refuse.
#[test]
fn each_allowance_is_needed_and_goes_no_further() {
    let mut world = World::sound();
    world.authority.custom_extensions.push({
        let mut policies =
            CustomExtension::from_oid_content(&[2, 5, 29, 32], tlv(0x30, &[&tlv(0x30, &[&[6, 3, 0x2a, 3, 4]])]));
        policies.set_criticality(true);
        policies
    });
    world.ek.not_after = date_time_ymd(2060, 1, 1); // outlives its root
    world.ek.key_usages = vec![];
    world.authority.key_usages = vec![];
    world.root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let multi_valued = ["id:4E544300", "m", "v"];
    let set: Vec<Vec<u8>> =
        multi_valued.iter().enumerate().rev().map(|(n, text)| attribute(n as u8 + 1, text)).collect();
    let unsorted: Vec<&[u8]> = set.iter().map(|attribute| attribute.as_slice()).collect();
    world.ek.custom_extensions = vec![alternative_name(&tlv(0x30, &[&tlv(0x31, &unsorted)]))];
    let ek = world.validate().unwrap();
    assert_eq!(ek.expires(), u64::try_from(date_time_ymd(2040, 1, 1).unix_timestamp()).unwrap(), "ends with the root");
    assert!(matches!(world.validate_at(71 * YEAR), Err(EkError::Chain(ChainError::Expired { .. }))), "not beyond it");

    for purpose in [vec![ExtendedKeyUsagePurpose::Any], vec![purpose(&[2, 23, 133, 8, 1])]] {
        let mut world = World::sound();
        world.authority.extended_key_usages = purpose;
        assert!(world.validate().is_ok(), "an authority for endorsement keys, or for everything");
    }
    let mut world = World::sound();
    world.ek.custom_extensions.extend(harmless_extensions(CERTIFICATE_EXTENSIONS - 8));
    assert!(world.validate().is_ok(), "extensions that nobody need understand");

    let mut cloud = World { kind: RootKind::Virtual, ..World::sound() };
    cloud.ek.extended_key_usages = vec![];
    cloud.ek.custom_extensions = vec![];
    assert_eq!(cloud.validate().unwrap().names(), None);
}

#[test]
fn a_path_ends_with_whichever_of_its_certificates_ends_first() {
    for which in 0..3 {
        let mut world = World::sound();
        *[&mut world.root, &mut world.authority, &mut world.ek].map(|params| &mut params.not_after)[which] =
            date_time_ymd(2030, 1, 1);
        let end = u64::try_from(date_time_ymd(2030, 1, 1).unix_timestamp()).unwrap();
        assert_eq!(world.validate().unwrap().expires(), end, "certificate {which}");
    }
}

/// So many authorities above the key, and a root above them.
fn below(authorities: usize) -> Result<CertifiedEk, EkError> {
    let mut world = World::sound();
    world.root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let mut above = Issuer::from_params(&world.root, &world.keys[0]);
    let params: Vec<CertificateParams> = (0..authorities)
        .map(|number| authority(&format!("authority {number}"), BasicConstraints::Unconstrained))
        .collect();
    let mut certificates = Vec::new();
    for params in &params {
        certificates.push(read(params.signed_by(&key, &above).unwrap().der()));
        above = Issuer::from_params(params, &key);
    }
    let ek = world.ek.signed_by(&world.keys[2], &above).unwrap();
    ek::validate(&FastEngine, ek.der(), &certificates, &world.roots(), rules(NOW))
}

#[test]
fn a_path_is_as_deep_as_any_makers_and_no_deeper() {
    assert!(below(CHAIN_DEPTH).is_ok());
    assert_eq!(below(CHAIN_DEPTH + 1), Err(EkError::Chain(ChainError::TooDeep)));
}

#[test]
fn an_authority_that_certifies_itself_is_no_way_up() {
    let world = World::sound();
    let authorities = [world.authority_certificate(), world.root_certificate()];
    let found = ek::validate(&FastEngine, &world.ek_der(), &authorities, &Roots::none(), rules(NOW));
    assert_eq!(found, Err(EkError::Chain(ChainError::Unanchored { issuer: "CN=root".into() })));
}

#[test]
fn a_name_is_another_with_other_attributes_texts_or_groups_of_them() {
    let name = |text: &str| text.parse::<Name>().unwrap();
    assert!(is_same_name(&name("CN=a,O=b"), &name("CN=a,O=b")));
    for (one, other) in [
        ("CN=a", "CN=b"),
        ("CN=a", "O=a"),
        ("CN=a,O=b", "O=b"),
        ("CN=a,O=b", "CN=a"),
        ("CN=a+O=b", "O=b,CN=a"),
        ("CN=a+O=b", "CN=a,O=b"),
    ] {
        assert!(!is_same_name(&name(one), &name(other)) && !is_same_name(&name(other), &name(one)), "{one} {other}");
    }
}

#[test]
fn the_end_of_all_time_is_an_end() {
    let mut world = World::sound();
    for params in [&mut world.root, &mut world.authority, &mut world.ek] {
        params.not_after = date_time_ymd(9999, 12, 31);
    }
    assert!(world.validate().unwrap().expires() > 8000 * YEAR);
}

#[test]
fn a_self_made_authority_of_the_same_name_vouches_for_nothing() {
    let (real, forged) = (World::sound(), World::sound());
    let refused = |intermediates: &[Certificate]| {
        let found = ek::validate(&FastEngine, &forged.ek_der(), intermediates, &real.roots(), rules(NOW));
        matches!(found, Err(EkError::Chain(ChainError::Certificate { error: CertificateError::Signature, .. })))
    };
    assert!(refused(&[forged.authority_certificate()]));
    assert!(refused(&[real.authority_certificate()]));
    assert!(refused(&[forged.authority_certificate(), real.authority_certificate(), forged.root_certificate()]));
    let both = [forged.authority_certificate(), real.authority_certificate()];
    assert!(
        ek::validate(&FastEngine, &real.ek_der(), &both, &real.roots(), rules(NOW)).is_ok(),
        "each of one name is tried"
    );
}

#[test]
fn a_chain_without_its_authority_names_whom_it_lacks() {
    let world = World::sound();
    let found = ek::validate(&FastEngine, &world.ek_der(), &[], &world.roots(), rules(NOW));
    assert_eq!(found, Err(EkError::Chain(ChainError::Unanchored { issuer: "CN=authority".into() })));
    let found =
        ek::validate(&FastEngine, &world.ek_der(), &[world.authority_certificate()], &Roots::none(), rules(NOW));
    assert_eq!(found, Err(EkError::Chain(ChainError::Unanchored { issuer: "CN=root".into() })));
}

#[test]
fn a_root_that_is_not_self_signed_anchors_by_name_and_key() {
    let world = World::sound();
    let makers = vec!["NTC".parse().unwrap()];
    let roots =
        Roots::none().with(Root::new("global".into(), RootKind::Discrete, makers, world.authority_certificate()));
    let ek = ek::validate(&FastEngine, &world.ek_der(), &[], &roots, rules(NOW)).unwrap();
    assert_eq!((ek.root(), ek.links().len()), ("global", 2));
}

#[test]
fn authorities_of_one_name_do_not_make_the_search_grow() {
    let mut world = World::sound();
    world.root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    world.authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // all named "authority" and signed by the same key: every order of them is a path
    world.authority.distinguished_name = world.root.distinguished_name.clone();
    world.keys[1] = KeyPair::try_from(world.keys[0].serialized_der()).unwrap();
    let many: Vec<Certificate> = (0..5)
        .map(|n| {
            let mut params = world.authority.clone();
            params.serial_number = Some(SerialNumber::from(n + 1));
            read(params.signed_by(&world.keys[1], &world.root()).unwrap().der())
        })
        .collect();
    let found = ek::validate(&FastEngine, &world.ek_der(), &many, &Roots::none(), rules(NOW));
    assert_eq!(found, Err(EkError::Chain(ChainError::TooManySignatures)));
    let too_many = vec![many[0].clone(); 2000];
    let found = ek::validate(&FastEngine, &world.ek_der(), &too_many, &Roots::none(), rules(NOW));
    assert_eq!(found, Err(EkError::Chain(ChainError::TooMany { found: 2000 })));
}

#[test]
fn an_rsa_key_that_is_too_short_is_none() {
    use rsa::pkcs1::EncodeRsaPublicKey;
    for (bits, fault) in [(1024, Some(EkError::Key)), (2048, None)] {
        let mut world = World::sound();
        world.ek.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        let key = rsa::PrivateKey::new(&mut getrandom::SysRng, bits).unwrap();
        let key = RsaKey(rsa::PublicKey::from(&key).to_pkcs1_der().unwrap().as_bytes().to_vec());
        let ek = world.ek.signed_by(&key, &world.authority()).unwrap();
        let found = ek::validate(&FastEngine, ek.der(), &[world.authority_certificate()], &world.roots(), rules(NOW));
        assert_eq!(found.err(), fault, "{bits} bits");
    }
}

/// RSAPublicKey (RFC 8017 A.1.1) of a key that rcgen does not make.
struct RsaKey(Vec<u8>);

impl PublicKeyData for RsaKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

#[test]
fn a_denied_key_does_not_count_whoever_certified_it() {
    let world = World::sound();
    let ek = world.validate().unwrap();
    let denied = [[0; 32], ek.public_key().id(&RustEngine).unwrap()];
    let rules = ek::Rules { denied: &denied, ..rules(NOW) };
    let found = ek::validate(&FastEngine, &world.ek_der(), &[world.authority_certificate()], &world.roots(), rules);
    assert_eq!(found, Err(EkError::Denied));
}

#[test]
fn framing_in_nv_is_removed_and_what_follows_is_ignored() {
    let world = World::sound();
    let der = world.ek_der();
    let header = [&[0x10, 0x01, 0x00][..], &(der.len() as u16 + 2).to_be_bytes(), &[0x10, 0x02]].concat();
    let authority = world.authority_certificate();
    let framed: [Vec<u8>; 6] = [
        [&der[..], &[0x00; 64]].concat(),
        [&der[..], &[0xff; 64]].concat(),
        [&der[..], &[0x11; 64]].concat(),
        [&header[..], &der, &[0xff; 9]].concat(),
        [&der[..], authority.der()].concat(),
        [&der[..], authority.der(), &[0xff; 64]].concat(),
    ];
    for bytes in framed {
        let found =
            ek::validate(&FastEngine, &bytes, std::slice::from_ref(&authority), &world.roots(), rules(NOW)).unwrap();
        assert_eq!(found.certificate(), der);
    }
    let both = [&header[..], &der, authority.der(), &[0xff; 64]].concat();
    assert_eq!(ek::certificates_in_nv(&both), [&der[..], authority.der()]);
    assert!(ek::certificates_in_nv(&[0xff; 64]).is_empty());
    let nothing = tlv(0x30, &[&[0x05, 0x00]]);
    assert_eq!(ek::certificates_in_nv(&[&der[..], &nothing, &der].concat()), [&der[..]], "ends at what is none");
    assert_eq!(ek::certificates_in_nv(&der.repeat(EK_CHAIN + 1)).len(), EK_CHAIN);
    for broken in [&[][..], &[0xff; 32], &der[..der.len() - 1], &der[1..], &header] {
        assert_eq!(ek::validate(&FastEngine, broken, &[], &world.roots(), rules(NOW)).err(), Some(EkError::Framing));
    }
}

#[test]
fn no_byte_of_a_certificate_can_change() {
    let world = World::sound();
    let (der, authorities, roots) = (world.ek_der(), [world.authority_certificate()], world.roots());
    assert!(ek::validate(&FastEngine, &der, &authorities, &roots, rules(NOW)).is_ok());
    for at in 0..der.len() {
        for mask in [0x01, 0x80] {
            let mut forged = der.clone();
            forged[at] ^= mask;
            let found = ek::validate(&FastEngine, &forged, &authorities, &roots, rules(NOW));
            assert!(found.is_err(), "byte {at} of {}, mask {mask:#x}", der.len());
        }
    }
}

#[test]
fn a_signature_by_rsa_p384_and_p521_authorities_counts() {
    for algorithm in [
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_RSA_SHA384,
        &rcgen::PKCS_RSA_SHA512,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
    ] {
        let mut world = World::sound();
        world.keys[1] = KeyPair::generate_for(algorithm).unwrap();
        assert!(world.validate().is_ok(), "{algorithm:?}");
    }
}

#[test]
fn the_node_is_named_after_its_ecc_key_in_whatever_order_its_keys_come() {
    let ecc = World::sound();
    let mut rsa = World::sound();
    rsa.keys[2] = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    rsa.ek.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    let (ecc, rsa) = (ecc.validate().unwrap(), rsa.validate().unwrap());
    let id = NodeId::of(&RustEngine, &[rsa.clone(), ecc.clone()]).unwrap();
    assert_eq!(id.as_bytes(), &ecc.public_key().id(&RustEngine).unwrap());
    assert_eq!(NodeId::of(&RustEngine, &[ecc, rsa.clone()]), Some(id));
    assert_ne!(NodeId::of(&RustEngine, &[rsa]), Some(id));
    assert_eq!(NodeId::of(&RustEngine, &[]), None);
    assert_eq!(id.to_string().parse(), Ok(id));
    for text in ["", "00", &format!("{id}0"), &id.to_string().replace(|c: char| c.is_ascii_digit(), "g")] {
        assert!(text.parse::<NodeId>().is_err());
    }
}

/// The certificates that swtpm_setup's own authority makes, as they lie in NV.
#[test]
fn the_keys_of_a_test_authority_are_certified_and_rest_on_a_test() {
    use garant_hw::tpm::Tpm;
    use garant_tests::swtpm::{PROVISIONED_CERTIFICATE_INDICES, Swtpm};
    use garantd::tpm_device::{TpmAddress, TpmDevice};
    let Some(swtpm) = Swtpm::provisioned("sha256") else { return };
    let address: TpmAddress = swtpm.address().parse().unwrap();
    let mut tpm = Tpm::new(TpmDevice::new(address.open().unwrap()).unwrap());
    let of = |pem: &str| read(&garant_attest::pem::blocks(pem, "CERTIFICATE").unwrap()[0]);
    let authority = swtpm.authority();
    let makers = vec!["id:00001014".parse().unwrap()];
    let roots = Roots::none().with(Root::new("swtpm".into(), RootKind::Test, makers, of(&authority.root_pem)));
    let authorities = [of(&authority.intermediate_pem)];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut eks = Vec::new();
    for index in PROVISIONED_CERTIFICATE_INDICES {
        let mut buffer = [0; 4096];
        let nv = tpm.nv_read_public(index).unwrap().unwrap();
        let in_nv = tpm.nv_read(&nv, 512, &mut buffer).unwrap();
        let ek = ek::validate(&FastEngine, in_nv, &authorities, &roots, rules(now)).unwrap();
        assert!(ek.links().iter().all(|link| link.basis == Basis::Test));
        let world = World::sound();
        assert!(ek::validate(&FastEngine, in_nv, &authorities, &world.roots(), rules(now)).is_err());
        eks.push(ek);
    }
    let ecc = eks.iter().find(|ek| matches!(ek.public_key(), PublicKey::P384(_))).unwrap();
    assert_eq!(NodeId::of(&RustEngine, &eks).unwrap().as_bytes(), &ecc.public_key().id(&RustEngine).unwrap());
}
