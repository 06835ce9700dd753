//! Seeds of what others say: statements, bundles of them, vouchers, regions and landmarks' messages.

use garant_attest::{
    cbor::{self, Bytes, Bytes32, CborError, Tag},
    ear::{Ear, Issue, Subject},
    engine::PublicKey,
    enrolment::{self, Enrolment},
    owner::{
        mandate::Mandate,
        voucher::{self, Machine, Terms},
    },
    place::{
        geographic::Geographic,
        landmark,
        site::Site,
        timing::{EXPORTED_BYTES, Message, TimingSecret},
    },
    verdict::{Answer, Basis, Link, PartVerdict, TrustVector, Verdict},
    wire::{Kind, Statements, TimingOffer},
};
use garant_channel::engine::FastEngine;
use garant_tests::forge::Node;
use garant_verifier::bundle::Bundle;

/// What somebody said: an enrolment record and a result.
pub(crate) struct Spoken {
    record: Vec<u8>,
    result: Vec<u8>,
}

/// Statements of a key whose id is zero, as engines see it whose digests are all zero.
pub(crate) fn statements(node: &Node, put: &mut impl FnMut(&str, &[u8])) -> Spoken {
    let sign = |_: &[u8]| Ok::<_, CborError>([0; 64]);
    let name = [&[0x00, 0x0b][..], &[0; 32]].concat();
    let enrolment = Enrolment {
        time: 7,
        node_id: Bytes32::new([1; 32]),
        ek_certificates: core::iter::once(Bytes::new(b"certificate")).collect(),
        ek_names: core::iter::once(Bytes::new(b"name")).collect(),
        intermediates: enrolment::List::new(),
        ak_public: Bytes::new(&node.ak_public),
        ak_name: Bytes::new(&name),
    };
    let record = enrolment::seal(&enrolment, [0; 32], sign).unwrap();
    put("statement", &record);
    let part = || PartVerdict {
        answer: Answer::Yes,
        reasons: vec!["reason".into()],
        links: vec![Link { what: "quote".into(), basis: Basis::Silicon }],
    };
    let verdict = Verdict {
        boot: part(),
        place: part(),
        owner: part(),
        workload: part(),
        closed: Answer::Unknown,
        channel: Kind::TlsServer,
        residual_trust: vec!["hands in the case".into()],
        expires: Some(150),
        policy_digest: Some([9; 32]),
        geographic: None,
        vector: TrustVector { executables: 3, ..TrustVector::default() },
    };
    let subject = Subject { node_id: [1; 32], ak_name: b"name", boot_id: Some([2; 32]), session_key: Some([3; 32]) };
    let issue = Issue { issued: 100, lifetime_s: 600, audience: Some("me"), nonce: None, build: "0" };
    let result = Ear::new(&verdict, &subject, &issue).seal([0; 32], sign).unwrap();
    put("statement", &result);
    Spoken { record, result }
}

/// An answer whole, and one whose log the asker held, each with and without what others said.
pub(crate) fn bundles(node: &Node, said: &Spoken, policy: &str, put: &mut impl FnMut(&str, &[u8])) {
    let challenge = Node::challenge(Kind::TlsServer);
    let (fresh, log) = (node.fresh(&challenge), node.log.as_deref().unwrap());
    let bare = Bundle {
        log: None,
        tag: Tag::default(),
        kind: challenge.kind,
        nonce: Bytes32::new(challenge.nonce),
        answer: Bytes::new(&fresh),
        binder: Bytes32::new(challenge.binder),
        policy: None,
        record: None,
        result: None,
        entries: heapless::Vec::new(),
        statements: heapless::Vec::new(),
    };
    let full = Bundle {
        log: Some(Bytes::new(log)),
        policy: Some(Bytes::new(policy.as_bytes())),
        record: Some(Bytes::new(&said.record)),
        result: Some(Bytes::new(&said.result)),
        entries: core::iter::once(Bytes::new(b"entries")).collect(),
        statements: core::iter::once(Bytes::new(&said.result)).collect(),
        ..bare.clone()
    };
    [bare, full].iter().for_each(|bundle| put("bundle", &bundle.encode().unwrap()));
}

/// Words of owners and auditors: payloads, and a voucher without entries.
pub(crate) fn custody(put: &mut impl FnMut(&str, &[u8])) {
    let mandate = Mandate {
        expires: 1_800_000_100,
        issued: 1_799_999_900,
        node_id: Bytes32::new([0; 32]),
        ak_name: Bytes::new(&[0, 11, 7]),
        head: Bytes32::new([0; 32]),
    };
    put("custody", &cbor::encode(&mandate).unwrap());
    let site = Site {
        expires: 1_800_000_100,
        not_before: 1_799_999_900,
        issued: 1_799_999_900,
        node_id: Some(Bytes32::new([0; 32])),
        name: "FRA 1".into(),
        address: "Example Street 1".into(),
        country: "DE".into(),
        latitude_udeg: 50_110_900,
        longitude_udeg: 8_682_100,
        radius_m: 200,
        operator: "Example".into(),
        anchor: Some(Bytes32::new([0; 32])),
        inspected: "The hall".into(),
        rack: None,
        chassis: Some("S1".into()),
    };
    put("custody", &cbor::encode(&site).unwrap());
    let machine = Machine { node_id: [7; 32], chassis: "S1" };
    let key = PublicKey::Ed25519(SEED_KEY);
    let begun = voucher::begin(&machine, &key).unwrap();
    put("custody", &begun);
    let terms = Terms { expires: None, issued: 1_799_999_900, certificates: None };
    let sign = |_: &[u8]| Ok::<_, Box<dyn std::error::Error>>(vec![0; 64]);
    if let Ok(handed) = voucher::hand_over(&FastEngine, &begun, &key, &terms, sign) {
        put("custody", &handed);
    }
}

/// A region around Dresden.
pub(crate) fn geographic(put: &mut impl FnMut(&str, &[u8])) {
    let claims = (
        (0, "DE"),
        [(1, "EU"), (2, "a map")],
        ["North", "South"],
        [(0u64, 51_050_000i32, 13_740_000i32, 90_000u64), (1, 51_340_000, 12_370_000, 120_000)],
    );
    let mut bytes = vec![0xa7];
    let mut field = |key: u8, value: Vec<u8>| bytes.extend([&[key][..], &value].concat());
    field(0, cbor::encode(claims.0.1).unwrap());
    field(1, cbor::encode(claims.1[0].1).unwrap());
    field(2, cbor::encode(claims.1[1].1).unwrap());
    field(3, cbor::encode(&["DE"]).unwrap());
    field(4, cbor::encode(&claims.2).unwrap());
    field(5, cbor::encode(&1u64).unwrap());
    field(7, cbor::encode(&claims.3).unwrap());
    cbor::decode::<Geographic>(&bytes, bytes.len()).unwrap();
    put("geographic", &bytes);
}

/// Datagrams whose MAC is zero, and a landmark's statement by a key whose id is.
pub(crate) fn timing(put: &mut impl FnMut(&str, &[u8])) {
    let secret = TimingSecret::new(&[0; EXPORTED_BYTES]);
    for message in [
        Message::Hello,
        Message::Cookie([1; 32]),
        Message::Returned([1; 32]),
        Message::Question { round: 1, nonce: [2; 32] },
        Message::Answer { round: 1, signature: [3; 64] },
    ] {
        let datagram = secret.seal(&FastEngine, &message);
        put("timing", &[&datagram[..128], &[0; 32]].concat());
    }
    let claims = landmark::Claims {
        time: 1_700_000_000,
        session_key: Bytes32::new([4; 32]),
        round_trip_ns: 1_000_000,
        rounds: 16,
        landmark: Bytes32::new([9; 32]),
    };
    let statement = landmark::seal(&claims, [0; 32], |_| Ok::<_, CborError>([0; 64])).unwrap();
    put("timing", &statement);
    put("timing", &cbor::encode(&Statements::new(core::iter::once(Bytes::new(&statement)).collect())).unwrap());
    put("timing", &cbor::encode(&TimingOffer::new(8463)).unwrap());
}

/// Of the fuzz targets' one key.
const SEED_KEY: [u8; 32] = [9; 32];
