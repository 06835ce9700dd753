#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::{
    cbor,
    cose::StatementError,
    engine::PublicKey,
    owner::party::tests::{country, entity, person},
    rust_engine::RustEngine,
    statement::{self, Signed},
};
use alloc::vec;
use ed25519_dalek::{Signer, SigningKey};

fn share(percent: &str) -> Option<Share> {
    Some(Share::from_percent(percent).unwrap())
}

fn interest(exact: &str) -> Interest {
    Interest {
        subject: "s".into(),
        holder: "h".into(),
        kind: InterestKind::Shareholding,
        way: Way::Direct,
        exact: share(exact),
        minimum: None,
        maximum: None,
        exclusive_minimum: None,
        exclusive_maximum: None,
        start: None,
        end: None,
    }
}

fn holdings() -> Holdings {
    let opinion =
        Opinion { subject: "s".into(), rule_set: "set".into(), rule: "rule".into(), answer: OpinionAnswer::Yes };
    Holdings {
        expires: 200,
        issued: 100,
        as_of: 90,
        parties: List(vec![entity("s", "FR"), person("h", "FR", "FR")]),
        interests: List(vec![interest("24")]),
        exclusions: List(vec![Exclusion { subject: "s".into(), kind: InterestKind::Veto }]),
        parents: List(vec![Parent { subject: "s".into(), parent: None, exception: Some(Exception::NoLei) }]),
        opinions: List(vec![opinion]),
    }
}

fn sealed(claims: &Holdings) -> Result<Vec<u8>, StatementError> {
    let secret = SigningKey::from_bytes(&[1; 32]);
    statement::seal(&RustEngine, claims, &key(1), |bytes| Ok(secret.sign(bytes).to_bytes().to_vec()))
}

fn key(seed: u8) -> PublicKey {
    PublicKey::Ed25519(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes())
}

fn open(bytes: &[u8], seed: u8) -> Result<Signed<Holdings>, StatementError> {
    statement::open(&RustEngine, bytes, &[key(seed)])
}

#[test]
fn a_statement_survives_a_round_trip_and_opens_only_under_its_signers_key() {
    let bytes = sealed(&holdings()).unwrap();
    assert_eq!(open(&bytes, 1).unwrap().claims(), &holdings());
    assert_eq!(open(&bytes, 2).unwrap_err(), StatementError::OtherKey);
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert!(open(&other, 1).is_err(), "byte {at}");
    }
}

fn refused(change: impl Fn(&mut Holdings)) -> StatementError {
    let mut claims = holdings();
    change(&mut claims);
    sealed(&claims).unwrap_err()
}

fn claim(change: impl Fn(&mut Holdings)) -> &'static str {
    match refused(change) {
        StatementError::Claim { what } => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_field_that_cannot_be_meant_is_refused_by_name() {
    assert_eq!(refused(|h| h.expires = 100), StatementError::Lifetime);
    assert!(claim(|h| h.as_of = 101).contains("as-of"));
    assert_eq!(claim(|h| h.parties.0[0].id = "a b".into()), "party's id");
    assert_eq!(claim(|h| h.parties.0[0].id = "é".into()), "party's id");
    assert_eq!(claim(|h| h.parties.0[0].name = "a\u{1b}[2J".into()), "party's name");
    for id in ["", "a b", "a\n"] {
        assert_eq!(claim(|h| h.interests.0[0].subject = id.into()), "id");
        assert_eq!(claim(|h| h.interests.0[0].holder = id.into()), "id");
        assert_eq!(claim(|h| h.exclusions.0[0].subject = id.into()), "id");
        assert_eq!(claim(|h| h.parents.0[0].subject = id.into()), "id");
        assert_eq!(claim(|h| h.opinions.0[0].subject = id.into()), "id");
        assert_eq!(claim(|h| h.opinions.0[0].rule_set = id.into()), "id");
        assert_eq!(claim(|h| h.opinions.0[0].rule = id.into()), "id");
        let parent = Parent { subject: "s".into(), parent: Some(id.into()), exception: None };
        assert_eq!(claim(|h| h.parents.0[0] = parent.clone()), "id");
    }
    assert!(claim(|h| h.parents.0[0].parent = Some("p".into())).contains("or an exception"));
    assert!(claim(|h| h.parents.0[0].exception = None).contains("or an exception"));
}

#[test]
fn facts_of_another_kind_of_party_are_refused() {
    let other = |change: fn(&mut Party)| assert!(claim(|h| change(&mut h.parties.0[1])).contains("another kind"));
    other(|p| p.seat = Some(country("FR")));
    other(|p| p.central_administration = Some(country("FR")));
    other(|p| p.principal_establishment = Some(country("FR")));
    other(|p| p.declaration_threshold = share("5"));
    other(|p| p.classification = Some(country("FR")));
    let entity = |change: fn(&mut Party)| assert!(claim(|h| change(&mut h.parties.0[0])).contains("another kind"));
    entity(|p| p.nationalities = Some(core::iter::once(country("FR")).collect()));
    entity(|p| p.residence = Some(country("FR")));
}

#[test]
fn a_share_is_bounded_once_on_each_side_and_is_not_empty() {
    let fault = |change: fn(&mut Interest)| claim(|h| change(&mut h.interests.0[0]));
    assert!(fault(|i| i.minimum = share("1")).contains("twice"));
    assert!(fault(|i| i.maximum = share("30")).contains("twice"));
    assert!(fault(|i| i.exclusive_minimum = share("1")).contains("twice"));
    assert!(fault(|i| i.exclusive_maximum = share("30")).contains("twice"));
    let interval = |change: fn(&mut Interest)| {
        claim(|h| {
            h.interests.0[0].exact = None;
            change(&mut h.interests.0[0]);
        })
    };
    assert!(interval(|i| (i.minimum, i.maximum) = (share("2"), share("1"))).contains("above its maximum"));
    assert!(interval(|i| (i.exclusive_minimum, i.maximum) = (share("1"), share("1"))).contains("above its maximum"));
    assert!(interval(|i| (i.minimum, i.exclusive_maximum) = (share("1"), share("1"))).contains("above its maximum"));
    assert!(fault(|i| (i.start, i.end) = (Some(2), Some(2))).contains("ends before"));
    assert!(fault(|i| (i.holder, i.way) = ("s".into(), Way::Indirect)).contains("itself"));
}

#[test]
fn an_entry_that_stands_twice_is_refused() {
    assert!(claim(|h| h.parties.0[1].id = "s".into()).contains("twice"));
    assert!(claim(|h| h.interests.0.push(interest("1"))).contains("twice"));
    assert!(claim(|h| h.exclusions.0.push(h.exclusions.0[0].clone())).contains("twice"));
    assert!(claim(|h| h.parents.0.push(h.parents.0[0].clone())).contains("twice"));
    assert!(claim(|h| h.opinions.0.push(h.opinions.0[0].clone())).contains("twice"));
}

#[test]
fn bounds_say_what_is_stated_and_no_more() {
    let mut one = interest("24");
    assert_eq!((one.lower(), Some(one.upper())), (AtLeast::met(share("24").unwrap()), share("24")));
    one.exact = None;
    assert_eq!((one.lower(), one.upper()), (AtLeast::NOTHING, Share::WHOLE));
    (one.exclusive_minimum, one.exclusive_maximum) = (share("25"), share("50"));
    assert_eq!((one.lower(), Some(one.upper())), (AtLeast::exceeded(share("25").unwrap()), share("50")));
    (one.start, one.end) = (Some(5), Some(7));
    assert_eq!([4, 5, 6, 7].map(|time| one.holds_at(time)), [false, true, true, false]);
}

#[test]
fn a_list_that_is_too_long_or_a_share_above_the_whole_is_refused() {
    assert!(cbor::decode::<List<u64, 2>>(b"\x83\x01\x02\x03", 64).is_err());
    assert!(cbor::decode::<List<u64, 2>>(b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", 64).is_err());
    assert!(cbor::decode::<Share>(b"\x1a\x3b\x9a\xca\x01", 64).is_err());
    assert!(cbor::decode::<Share>(b"\x1a\x3b\x9a\xca\x00", 64).is_ok());
}

#[test]
fn each_part_of_a_statement_is_there_once_and_of_its_type() {
    let mut claims = holdings();
    claims.interests.0[0].exact = None;
    (claims.interests.0[0].minimum, claims.interests.0[0].maximum) = (share("1"), share("2"));
    (claims.interests.0[0].start, claims.interests.0[0].end) = (Some(1), Some(2));
    let above = Interest { holder: "i".into(), minimum: None, maximum: None, ..claims.interests.0[0].clone() };
    let above = Interest { exclusive_minimum: share("1"), exclusive_maximum: share("2"), ..above };
    claims.interests.0.extend([above, Interest { holder: "e".into(), ..interest("24") }]);
    claims.parties.0[0].declaration_threshold = share("5");
    let fund = Party { kind: PartyKind::Fund, nationalities: None, residence: None, ..person("f", "FR", "FR") };
    claims.parties.0.push(Party { classification: Some(country("FR")), ..fund });
    claims.parents.0.push(Parent { subject: "h".into(), parent: Some("p".into()), exception: None });
    let payload = cbor::encode(&claims).unwrap();
    let mut optional = Vec::new();
    for (way, payload) in statement::tests::distorted(&payload) {
        let read = cbor::decode::<Holdings>(&payload, 4096);
        match way.strip_suffix(" left out") {
            Some(way) if read.is_ok() => optional.push(way.rsplit_once('/').unwrap().1.parse::<u8>().unwrap()),
            _ => assert!(read.is_err(), "{way}"),
        }
    }
    optional.sort_unstable();
    // What is optional of parties: 4, 5, 6, 7, 8, 9, 10; of interests: 5 to 11; of parents: 2, 3.
    optional.dedup();
    assert_eq!(optional, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}
