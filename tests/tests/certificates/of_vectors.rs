//! The real ones, through the manifest.
use super::*;
use garant_attest::{pem, platform_certificate::PlatformCertificate};
use garant_tests::vectors::{self, Vector};

fn certificates(vector: &Vector) -> Vec<Certificate> {
    let text = std::str::from_utf8(&vector.bytes).unwrap_or_default();
    let blocks = pem::blocks(text, "CERTIFICATE").unwrap();
    let ders = if blocks.is_empty() {
        ek::certificates_in_nv(&vector.bytes).iter().map(|der| der.to_vec()).collect()
    } else {
        blocks
    };
    ders.iter().map(|der| read(der)).collect()
}

fn authorities() -> Vec<Certificate> {
    vectors::under("certs/ca/").iter().flat_map(certificates).collect()
}

fn roots() -> Roots {
    Roots::of_makers(&FastEngine).unwrap()
}

fn is_no_anchor(certificate: &Certificate) -> bool {
    roots().iter().all(|root| root.certificate().der() != certificate.der())
}

#[test]
fn every_certificate_is_read_and_described() {
    let mut seen = 0;
    for vector in vectors::under("certs/").iter().filter(|vector| !vector.file.contains("platform")) {
        for certificate in certificates(vector) {
            seen += 1;
            assert!(certificate.describe().len() >= 8, "{}", vector.file);
        }
    }
    eprintln!("{seen} certificates");
}

/// Beside the certificate stands what a peer reads from it.
#[test]
fn platform_certificates_say_what_the_peer_reads() {
    let vectors = vectors::under("certs/platform/");
    for vector in vectors.iter().filter(|vector| !vector.file.ends_with(".json")) {
        let text = std::str::from_utf8(&vector.bytes).unwrap_or_default();
        let der = pem::blocks(text, "ATTRIBUTE CERTIFICATE").unwrap().pop().unwrap_or(vector.bytes.clone());
        let read = PlatformCertificate::from_der(&der).unwrap();
        eprintln!("{}: {}", vector.file, read.platform);
        let named = |first| PlatformCertificate::from_der(&renamed(&der, &read.platform.model, first));
        assert!(named(b'x').is_ok() && named(b'\x1b').is_err(), "{}", vector.file);
        for end in (0..der.len()).step_by(7) {
            assert!(PlatformCertificate::from_der(&der[..end]).is_err());
        }
        let Some(expected) = vectors.iter().find(|json| json.file == format!("{}.json", vector.file)) else {
            continue;
        };
        let expected: serde_json::Value = serde_json::from_slice(&expected.bytes).unwrap();
        assert_eq!(expected["PlatformManufacturer"], read.platform.manufacturer);
        assert_eq!(expected["PlatformModel"], read.platform.model);
        assert_eq!(expected["PlatformVersion"], read.platform.version);
        assert_eq!(expected["PlatformSerial"], read.platform.serial_number.unwrap());
        let serial = read.holder_serial_number.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        assert_eq!(expected["Holder"]["Serial"], serial);
        let issuer = expected["Holder"]["Issuer"]["CommonName"].as_str().unwrap();
        assert!(read.holder_issuer.to_string().contains(issuer));
        assert_eq!(seconds(expected["NotBefore"].as_str().unwrap()), read.not_before);
        assert_eq!(seconds(expected["NotAfter"].as_str().unwrap()), read.not_after);
    }
}

/// With another first letter wherever the text stands.
fn renamed(der: &[u8], text: &str, first: u8) -> Vec<u8> {
    let mut der = der.to_vec();
    while let Some(at) = der.windows(text.len()).position(|window| window == text.as_bytes()) {
        der[at] = first;
    }
    der
}

fn seconds(rfc3339: &str) -> u64 {
    rfc3339.parse::<der::DateTime>().unwrap().unix_duration().as_secs()
}

#[test]
fn a_device_identity_names_its_hardware_module() {
    for vector in vectors::under("certs/devid/") {
        let read: Vec<_> = certificates(&vector).iter().filter_map(tcg_names::hardware_module).collect();
        assert!(read.len() == 1 || !vector.expected.contains("HardwareModuleName"), "{}", vector.file);
        eprintln!("{}: {read:?}", vector.file);
    }
}

#[test]
fn an_unknown_signature_algorithm_is_reported_and_not_accepted() {
    let unknown = vectors::under("certs/").into_iter();
    for vector in unknown.filter(|vector| vector.expected.contains("unknown signature algorithm")) {
        let certificate = certificates(&vector).remove(0);
        let reported = certificate.signature_scheme().unwrap_err();
        assert!(matches!(reported, CertificateError::UnknownSignature { .. }), "{}", vector.file);
        let own = certificate.public_key();
        let key = own.unwrap_or(PublicKey::P256([4; 65]));
        assert_eq!(certificate.verify_signature(&FastEngine, &key, Sha1::OfNamedAuthority), Err(reported));
    }
}

#[test]
fn every_authority_of_a_known_maker_reaches_its_root_and_no_other() {
    let (authorities, roots) = (authorities(), roots());
    let mut refused = HashSet::new();
    for authority in authorities.iter().filter(|authority| is_no_anchor(authority)) {
        let found = chain::build(&FastEngine, authority, &authorities, &roots, rules(NOW).chain);
        if let Err(error) = found {
            refused.insert(format!("{}: {error}", authority.subject()));
        }
    }
    let unexpected: Vec<_> = refused
        .iter()
        .filter(|error| !error.contains("unknown algorithm") && !error.contains("no root and no authority"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert!(refused.len() < 8, "{refused:#?}");
}

/// The certificates of endorsement keys: which chain, why another does not, says the manifest.
#[test]
fn endorsement_keys_are_certified_by_their_makers_root_alone() {
    let (authorities, roots) = (authorities(), roots());
    let mut certified = 0;
    for vector in vectors::under("certs/ek/") {
        let in_nv = certificates(&vector).first().map(|first| first.der().to_vec()).unwrap();
        let at = read(&in_nv).not_before() + 1;
        for (n, engine) in [&RustEngine as &dyn Engine, &FastEngine].into_iter().enumerate() {
            let found = ek::validate(engine, &in_nv, &authorities, &roots, rules(at));
            match &found {
                Ok(ek) => {
                    certified += 1 - n;
                    assert!(ek::validate(engine, &in_nv, &authorities, &Roots::none(), rules(at)).is_err());
                    assert!(ek::validate(engine, &in_nv, &authorities, &roots, rules(ek.expires() + 1)).is_err());
                    assert!(ek::validate(engine, &in_nv, &authorities, &without(ek.root()), rules(at)).is_err());
                    eprintln!(
                        "{}: {:?} {} until {}",
                        vector.file,
                        ek.names().map(|n| n.to_string()),
                        ek.root(),
                        ek.expires()
                    );
                }
                Err(error) => eprintln!("{}: {error}", vector.file),
            }
        }
    }
    eprintln!("{certified} endorsement keys certified");
}

/// Each authority as the only root: it certifies what it signed, whatever its name.
#[test]
fn an_endorsement_key_is_certified_by_the_key_that_signed_it_and_no_other() {
    let (mut accepted, mut refused) = (0, 0);
    for (ek, ca) in vectors::under("certs/ek/").iter().flat_map(|ek| authorities().into_iter().map(move |ca| (ek, ca)))
    {
        let certificate = certificates(ek).remove(0);
        let Ok(key) = ca.public_key() else { continue };
        let signed = certificate.verify_signature(&FastEngine, &key, Sha1::Refused).is_ok();
        let root = Root::new("only".into(), RootKind::Discrete, vec!["NTC".parse().unwrap()], ca);
        let rules = rules(certificate.not_before() + 1);
        let found = ek::validate(&FastEngine, &ek.bytes, &[], &Roots::none().with(root), rules).is_ok();
        assert!(!found || signed, "{}", ek.file);
        accepted += usize::from(found);
        refused += usize::from(!found);
    }
    eprintln!("{accepted} pairs accepted, {refused} refused");
}

fn without(name: &str) -> Roots {
    roots().iter().filter(|root| root.name() != name).fold(Roots::none(), |roots, root| roots.with(root.clone()))
}

#[test]
fn no_byte_of_a_real_certificate_can_change() {
    let (authorities, roots) = (authorities(), roots());
    for vector in vectors::under("certs/ek/") {
        let der = certificates(&vector).first().map(|first| first.der().to_vec()).unwrap();
        let rules = rules(read(&der).not_before() + 1);
        if ek::validate(&FastEngine, &der, &authorities, &roots, rules).is_err() {
            continue;
        }
        for at in 0..der.len() {
            let mut forged = der.clone();
            forged[at] ^= 1 << (at % 8);
            assert!(
                ek::validate(&FastEngine, &forged, &authorities, &roots, rules).is_err(),
                "{}: byte {at}",
                vector.file
            );
        }
    }
}

#[test]
fn sha1_counts_only_where_the_authority_is_named() {
    let (authorities, roots) = (authorities(), roots());
    for vector in vectors::under("certs/ek/") {
        let der = certificates(&vector).first().map(|first| first.der().to_vec()).unwrap();
        let certificate = read(&der);
        let issuer = authorities.iter().find(|authority| {
            authority
                .public_key()
                .is_ok_and(|key| certificate.verify_signature(&FastEngine, &key, Sha1::OfNamedAuthority).is_ok())
        });
        let Some(key) = issuer.and_then(|issuer| issuer.public_key().ok()) else { continue };
        if certificate.verify_signature(&FastEngine, &key, Sha1::Refused) != Err(CertificateError::Sha1) {
            continue;
        }
        let at = certificate.not_before() + 1;
        let named = [key.id(&FastEngine).unwrap()];
        let refused = ek::validate(&FastEngine, &der, &authorities, &roots, rules(at));
        assert!(matches!(refused, Err(EkError::Chain(ChainError::Certificate { error: CertificateError::Sha1, .. }))));
        let allowing = ek::Rules { chain: chain::Rules { at, allow_sha1: &named, revocations: &[] }, denied: &[] };
        let found = ek::validate(&FastEngine, &der, &authorities, &roots, allowing);
        assert!(found.is_ok(), "{}: {found:?}", vector.file);
        eprintln!("{} counts with its authority named", vector.file);
    }
}
