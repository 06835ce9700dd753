//! Signed statements: COSE_Sign1 beside an independent implementation, enrolment records and EARs.

use coset::{CborSerializable, TaggedCborSerializable};
use ed25519_dalek::{Signer, SigningKey};
use garant_attest::{
    cbor::{Bytes, Bytes32, CborError},
    cose::{ClaimedStatement, StatementError, sign_ed25519},
    ear::{self, Ear, Issue, Subject},
    engine::PublicKey,
    enrolment::{self, EnrolledNode, Enrolment},
    verdict::{Answer, Basis, Link, PartVerdict, TrustVector, Verdict},
    wire::Kind,
};
use garant_channel::engine::FastEngine;
use garant_tests::forge;

const TYPE: &str = "application/vnd.garant.test";

fn key(seed: u8) -> (SigningKey, PublicKey, [u8; 32]) {
    let secret = SigningKey::from_bytes(&[seed; 32]);
    let public = PublicKey::Ed25519(secret.verifying_key().to_bytes());
    let id = public.id(&FastEngine).unwrap();
    (secret, public, id)
}

fn signed(seed: u8, payload: &[u8]) -> Vec<u8> {
    let (secret, _, id) = key(seed);
    sign_ed25519(id, TYPE, payload, |bytes| Ok::<_, CborError>(secret.sign(bytes).to_bytes())).unwrap()
}

fn open(statement: &[u8], seed: u8) -> Result<Vec<u8>, StatementError> {
    let claimed = ClaimedStatement::decode(statement)?;
    claimed.verify(&FastEngine, &key(seed).1, TYPE).map(<[u8]>::to_vec)
}

#[test]
fn an_independent_reader_agrees_on_every_field_and_on_the_signature() {
    let statement = signed(1, b"payload");
    assert_eq!(open(&statement, 1).unwrap(), b"payload");
    let other = coset::CoseSign1::from_tagged_slice(&statement).unwrap();
    assert_eq!(other.payload.as_deref(), Some(&b"payload"[..]));
    assert_eq!(other.protected.header.key_id, key(1).2);
    assert!(other.unprotected.is_empty());
    let (secret, ..) = key(1);
    let verified = other.verify_signature(b"", |signature, bytes| {
        secret.verify(bytes, &ed25519_dalek::Signature::from_slice(signature).unwrap())
    });
    assert!(verified.is_ok());
}

#[test]
fn a_statement_of_another_key_type_or_byte_is_refused() {
    let statement = signed(1, b"payload");
    assert_eq!(open(&statement, 2).unwrap_err(), StatementError::OtherKey);
    for at in 0..statement.len() {
        let mut other = statement.clone();
        other[at] ^= 1;
        assert!(open(&other, 1).is_err(), "byte {at}");
    }
    for cut in 0..statement.len() {
        assert!(open(&statement[..cut], 1).is_err(), "cut at {cut}");
    }
    let claimed = ClaimedStatement::decode(&statement).unwrap();
    let other_type = claimed.verify(&FastEngine, &key(1).1, "application/other");
    assert!(matches!(other_type, Err(StatementError::ContentType { .. })));
}

#[test]
fn a_label_in_the_unprotected_bucket_is_refused() {
    let mut other = coset::CoseSign1::from_tagged_slice(&signed(1, b"payload")).unwrap();
    other.unprotected.key_id = vec![1];
    assert!(open(&other.to_tagged_vec().unwrap(), 1).is_err());
    let untagged = coset::CoseSign1::from_tagged_slice(&signed(1, b"payload")).unwrap().to_vec().unwrap();
    assert!(open(&untagged, 1).is_err());
}

#[test]
fn a_record_opens_only_under_its_witness_and_with_its_aks_own_name() {
    let ak = forge::ak_public(&p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap());
    let name = garant_attest::public_area::Name::of(&FastEngine, &ak).unwrap();
    let record = |ak_name: &[u8]| {
        let one = |bytes| core::iter::once(Bytes::new(bytes)).collect();
        let enrolment = Enrolment {
            time: 7,
            node_id: Bytes32::new([1; 32]),
            ek_certificates: one(b"certificate"),
            ek_names: core::iter::once(Bytes::new(b"name")).collect(),
            intermediates: garant_attest::enrolment::List::new(),
            ak_public: Bytes::new(&ak),
            ak_name: Bytes::new(ak_name),
        };
        let (secret, _, id) = key(3);
        enrolment::seal(&enrolment, id, |bytes| Ok::<_, CborError>(secret.sign(bytes).to_bytes())).unwrap()
    };
    let sealed = record(name.as_bytes());
    let opened = EnrolledNode::open(&FastEngine, &sealed, &key(3).1).unwrap();
    assert_eq!((opened.record().time, opened.witness()), (7, key(3).2));
    assert!(EnrolledNode::open(&FastEngine, &sealed, &key(4).1).is_err());
    let mut other_name = name.as_bytes().to_vec();
    other_name[5] ^= 1;
    assert!(EnrolledNode::open(&FastEngine, &record(&other_name), &key(3).1).is_err());
    assert!(EnrolledNode::open(&FastEngine, &record(&name.as_bytes()[1..]), &key(3).1).is_err());
}

fn verdict(answer: Answer, basis: Basis) -> Verdict {
    let links = vec![Link { what: "quote".into(), basis }];
    Verdict {
        boot: PartVerdict { answer, reasons: vec!["reason".into()], links },
        place: PartVerdict::unknown("nobody asked"),
        owner: PartVerdict::unknown("nobody asked"),
        workload: PartVerdict::unknown("nobody asked"),
        closed: Answer::Unknown,
        channel: Kind::TlsServer,
        residual_trust: vec!["hands in the case".into()],
        expires: Some(150),
        geographic: None,
        policy_digest: Some([9; 32]),
        vector: TrustVector { executables: 3, ..TrustVector::default() },
    }
}

fn ear(verdict: &Verdict) -> Ear {
    let subject = Subject { node_id: [1; 32], ak_name: b"name", boot_id: None, session_key: None };
    let issue = Issue { issued: 100, lifetime_s: 600, audience: Some("me"), nonce: None, build: "0" };
    Ear::new(verdict, &subject, &issue)
}

#[test]
fn an_ear_carries_every_part_its_tier_and_the_earliest_expiry() {
    let (secret, public, id) = key(6);
    let claims = ear(&verdict(Answer::Yes, Basis::Silicon));
    let sealed = claims.seal(id, |bytes| Ok::<_, CborError>(secret.sign(bytes).to_bytes())).unwrap();
    let opened = ear::open(&FastEngine, &sealed, &public).unwrap();
    assert_eq!(opened, claims);
    assert_eq!((opened.expires, opened.issued), (150, 100));
    assert_eq!(opened.parts.boot.status, 2);
    assert_eq!((opened.parts.place.status, opened.parts.place.answer.as_str()), (0, "unknown"));
    assert_eq!(ear(&verdict(Answer::Yes, Basis::Test)).parts.boot.status, 32);
    assert_eq!(ear(&verdict(Answer::No, Basis::Silicon)).parts.boot.status, 96);
    assert!(ear::open(&FastEngine, &sealed, &key(7).1).is_err());
}

#[test]
fn claims_of_another_profile_are_no_ear() {
    let (secret, public, id) = key(6);
    for profile in ["", "tag:ietf.org,2026:rats/ear#02", "tag:github.com,2023:veraison/ear"] {
        let claims = Ear { profile: profile.into(), ..ear(&verdict(Answer::Yes, Basis::Silicon)) };
        let sealed = claims.seal(id, |bytes| Ok::<_, CborError>(secret.sign(bytes).to_bytes())).unwrap();
        let opened = ear::open(&FastEngine, &sealed, &public);
        assert_eq!(opened, Err(StatementError::Claim { what: "eat_profile" }), "{profile:?}");
    }
}
