//! Seal certificates: by which name a key goes, and when that name is worth something.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use garant_attest::{
    cbor::Bytes,
    certificate::Certificate,
    engine::PublicKey,
    owner::{
        seal_certificate::{Seal, SealError, Standing, read},
        voucher::Certificates,
    },
    roots::{RootKind, Roots},
};
use garant_channel::engine::FastEngine;
use garant_tests::chain_world::{World, params, tlv};
use rcgen::{BasicConstraints, CustomExtension, DistinguishedName, DnType, IsCa, KeyUsagePurpose, date_time_ymd};

/// 2027-01-15.
const AT: u64 = 1_800_000_000;
const COMPLIANCE: &[u8] = &[0x06, 0x06, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x01];
const DEVICE: &[u8] = &[0x06, 0x06, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x04];
const TYPE: &[u8] = &[0x06, 0x06, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x06];
const LEGISLATION: &[u8] = &[0x06, 0x06, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x07];
const SIGNATURE_TYPE: &[u8] = &[0x06, 0x07, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x06, 0x01];
const SEAL_TYPE: &[u8] = &[0x06, 0x07, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x06, 0x02];

fn statements(parts: &[&[u8]]) -> Vec<u8> {
    let statements: Vec<Vec<u8>> = parts.iter().map(|part| tlv(0x30, &[part])).collect();
    tlv(0x30, &statements.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn typed(kind: &[u8]) -> Vec<u8> {
    [TYPE, &tlv(0x30, &[kind])].concat()
}

/// A seal below root and authority, as all should be until a test changes one thing.
struct Case {
    world: World,
    extension: Vec<u8>,
    names: Vec<(DnType, String)>,
    roots: Option<Roots>,
    key: Option<PublicKey>,
    with_authority: bool,
    /// Applied to the seal's DER after it was signed.
    forge: fn(&mut Vec<u8>),
    at: u64,
}

impl Case {
    fn sound() -> Case {
        let mut world = World::sound();
        world.ek = params("");
        world.ek.is_ca = IsCa::ExplicitNoCa;
        world.ek.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let names = vec![
            (DnType::CountryName, "FR".to_owned()),
            (DnType::OrganizationName, "Example Cloud SAS".to_owned()),
            (DnType::CustomDnType(vec![2, 5, 4, 97]), "NTRFR-123456789".to_owned()),
        ];
        let extension = statements(&[COMPLIANCE, DEVICE, &typed(SEAL_TYPE)]);
        Case { world, extension, names, roots: None, key: None, with_authority: true, forge: |_| (), at: AT }
    }

    fn read(mut self) -> Result<Seal, SealError> {
        self.world.ek.distinguished_name = DistinguishedName::new();
        self.names.iter().for_each(|(kind, text)| self.world.ek.distinguished_name.push(kind.clone(), text.as_str()));
        if !self.extension.is_empty() {
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 3];
            self.world.ek.custom_extensions.push(CustomExtension::from_oid_content(&oid, self.extension));
        }
        let (mut leaf, authority) = (self.world.ek_der(), self.world.authority_certificate().der().to_vec());
        (self.forge)(&mut leaf);
        let own = Certificate::from_der(&leaf).unwrap().public_key().unwrap();
        let mut list = Certificates::new();
        list.push(Bytes::new(&leaf)).unwrap();
        if self.with_authority {
            list.push(Bytes::new(&authority)).unwrap();
        }
        let roots = self.roots.unwrap_or_else(|| self.world.roots());
        read(&FastEngine, &list, &self.key.unwrap_or(own), &roots, self.at)
    }

    fn naming(kind: DnType, text: &str) -> Case {
        let mut case = Case::sound();
        case.names.retain(|(known, _)| *known != kind);
        if !text.is_empty() {
            case.names.push((kind, text.to_owned()));
        }
        case
    }
}

#[test]
fn a_seal_below_a_root_of_the_policy_is_qualified_and_names_its_person() {
    let seal = Case::sound().read().unwrap();
    assert_eq!((seal.organization.as_str(), seal.country.as_str()), ("Example Cloud SAS", "FR"));
    assert_eq!(seal.identifier, "NTRFR-123456789");
    assert_eq!(seal.standing, Standing::Qualified { root: "the root".into(), kind: RootKind::Discrete });
    assert!(seal.to_string().contains("qualified seal below the root"));
}

#[test]
fn a_seal_of_which_the_policy_has_no_root_only_claims_to_be_qualified() {
    let without_root = Case { roots: Some(Roots::none()), ..Case::sound() };
    let of_another = Case { roots: Some(World::sound().roots()), ..Case::sound() };
    let without_authority = Case { with_authority: false, ..Case::sound() };
    let forged = Case { forge: |der| *der.last_mut().unwrap() ^= 1, ..Case::sound() };
    for case in [without_root, of_another, without_authority, forged] {
        let seal = case.read().unwrap();
        assert!(matches!(seal.standing, Standing::ClaimedQualified { .. }), "{seal:?}");
        assert!(seal.to_string().contains("seal claimed qualified"));
    }
}

#[test]
fn a_seal_whose_key_no_qualified_device_holds_says_so() {
    let seal = Case::sound().read().unwrap();
    assert!(seal.in_device);
    let extension = statements(&[COMPLIANCE, &typed(SEAL_TYPE)]);
    let seal = Case { extension, ..Case::sound() }.read().unwrap();
    assert!(!seal.in_device && matches!(seal.standing, Standing::Qualified { .. }));
    assert!(seal.to_string().ends_with("qualified certificate below the root for a key outside a qualified device"));
}

#[test]
fn a_seal_below_a_root_for_tests_is_a_test() {
    let mut case = Case::sound();
    case.world.kind = RootKind::Test;
    let standing = case.read().unwrap().standing;
    assert_eq!(standing, Standing::Qualified { root: "the root".into(), kind: RootKind::Test });
}

#[test]
fn an_authority_that_may_not_sign_or_is_over_qualifies_nobody() {
    let mut no_authority = Case::sound();
    no_authority.world.authority.is_ca = IsCa::ExplicitNoCa;
    let mut over = Case::sound();
    over.world.authority.not_after = date_time_ymd(2026, 1, 1);
    for case in [no_authority, over] {
        assert!(matches!(case.read().unwrap().standing, Standing::ClaimedQualified { .. }));
    }
}

#[test]
fn what_does_not_say_that_it_is_a_qualified_seal_in_the_eu_is_unqualified() {
    let foreign = [LEGISLATION, &tlv(0x30, &[&tlv(0x13, &[b"CH"])])].concat();
    for extension in [
        Vec::new(),
        statements(&[COMPLIANCE]),
        statements(&[&typed(SEAL_TYPE)]),
        statements(&[COMPLIANCE, &typed(SIGNATURE_TYPE)]),
        statements(&[COMPLIANCE, TYPE]),
        statements(&[COMPLIANCE, &[DEVICE, &tlv(0x30, &[SEAL_TYPE])].concat(), &typed(SIGNATURE_TYPE)]),
        statements(&[COMPLIANCE, &typed(SEAL_TYPE), &foreign]),
    ] {
        let seal = Case { extension: extension.clone(), ..Case::sound() }.read().unwrap();
        assert_eq!(seal.standing, Standing::Unqualified, "{extension:02x?}");
    }
    for extension in [vec![0x30, 0x05], b"text".to_vec(), statements(&[&[TYPE, &tlv(0x0c, &[b"text"])].concat()])] {
        let fault = Case { extension, ..Case::sound() }.read();
        assert_eq!(fault, Err(SealError::Missing { what: "readable QcStatements" }));
    }
}

#[test]
fn each_name_must_be_there_and_be_plain() {
    let identifier = DnType::CustomDnType(vec![2, 5, 4, 97]);
    for (kind, text, what) in [
        (DnType::CountryName, "", "country"),
        (DnType::CountryName, "fr", "country"),
        (DnType::CountryName, "FRA", "country"),
        (DnType::OrganizationName, "", "organization"),
        (DnType::OrganizationName, "a\nb", "organization"),
        (DnType::OrganizationName, " a", "organization"),
        (identifier.clone(), "", "organizationIdentifier"),
        (identifier, "NTRFR-1\u{7}", "organizationIdentifier"),
        (DnType::OrganizationName, "Example \u{202e}SAS", "organization"),
    ] {
        assert_eq!(Case::naming(kind, text).read(), Err(SealError::Missing { what }), "{text:?}");
    }
}

#[test]
fn a_name_that_stands_twice_or_in_another_alphabet_is_no_name() {
    let missing = Err(SealError::Missing { what: "organization" });
    let mut twice = Case::sound();
    twice.names.push((DnType::OrganizationalUnitName, "Another SAS".to_owned()));
    assert!(twice.read().is_ok());
    let mut twice = Case::sound();
    twice.names.push((DnType::OrganizationalUnitName, "Another SAS".to_owned()));
    twice.forge = |der| forge(der, &[0x06, 0x03, 0x55, 0x04, 0x0b], &[0x06, 0x03, 0x55, 0x04, 0x0a]);
    assert_eq!(twice.read(), missing);
    let teletex = |der: &mut Vec<u8>| forge(der, b"\x0c\x11Example Cloud SAS", b"\x14\x11Example Cloud SAS");
    assert_eq!(Case { forge: teletex, ..Case::sound() }.read(), missing);
    let printable = |der: &mut Vec<u8>| forge(der, b"\x0c\x11Example Cloud SAS", b"\x13\x11Example Cloud SAS");
    assert!(Case { forge: printable, ..Case::sound() }.read().is_ok());
    let no_printable = |der: &mut Vec<u8>| forge(der, b"\x0c\x11Example Cloud SAS", b"\x13\x11Example@Cloud SAS");
    assert_eq!(Case { forge: no_printable, ..Case::sound() }.read(), missing);
}

/// Writes other bytes where these stand.
fn forge(der: &mut [u8], from: &[u8], to: &[u8]) {
    let at = der.windows(from.len()).position(|window| window == from).unwrap();
    der[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn a_seal_of_another_key_or_time_or_use_counts_for_nothing() {
    assert_eq!(Case { key: Some(PublicKey::Ed25519([1; 32])), ..Case::sound() }.read(), Err(SealError::OtherKey));
    let (from, to) = (1_577_836_800, 2_208_988_800);
    assert!(Case { at: from, ..Case::sound() }.read().is_ok());
    assert_eq!(Case { at: from - 1, ..Case::sound() }.read(), Err(SealError::NotYet { from }));
    assert!(Case { at: to, ..Case::sound() }.read().is_ok());
    assert_eq!(Case { at: to + 1, ..Case::sound() }.read(), Err(SealError::Expired { at: to }));
    let mut authority = Case::sound();
    authority.world.ek.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.world.ek.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    let mut encrypts = Case::sound();
    encrypts.world.ek.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    for case in [authority, encrypts] {
        assert_eq!(case.read(), Err(SealError::Use));
    }
    let mut repudiates_not = Case::sound();
    repudiates_not.world.ek.key_usages = vec![KeyUsagePurpose::ContentCommitment];
    assert!(repudiates_not.read().is_ok());
}

#[test]
fn a_seal_ends_with_the_first_of_its_chain() {
    let mut case = Case::sound();
    case.world.authority.not_after = date_time_ymd(2030, 1, 1);
    assert_eq!(case.read().unwrap().not_after, 1_893_456_000);
    let nothing = read(&FastEngine, &Certificates::new(), &PublicKey::Ed25519([1; 32]), &Roots::none(), AT);
    assert_eq!(nothing, Err(SealError::Missing { what: "certificate" }));
    let mut list = Certificates::new();
    list.push(Bytes::new(b"text")).unwrap();
    let text = read(&FastEngine, &list, &PublicKey::Ed25519([1; 32]), &Roots::none(), AT);
    assert!(matches!(text, Err(SealError::Certificate(_))));
}
