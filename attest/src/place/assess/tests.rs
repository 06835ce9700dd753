//! The lines of the facts' list "must be unknown, never yes" that speak of places, the attacks on landmarks, and what may
//! raise an unknown.

extern crate std;

mod site;

use super::*;
use crate::{
    cbor::{self, Bytes32, CborError},
    cose::{self, StatementError},
    place::{
        landmark::{Claims as Round, seal},
        site::Site,
    },
    policy::Policy,
    rust_engine::RustEngine,
    statement::Claims,
};
use alloc::vec;
use ed25519_dalek::{Signer, SigningKey};
use std::{collections::BTreeMap, sync::Mutex};

const NOW: u64 = 1_795_000_000;
const F: [u8; 32] = [0xf0; 32];
const NODE: [u8; 32] = [0x0d; 32];
const AUDITOR: u8 = 90;
/// A landmark that no policy names.
const IN_THE_BUILDING: u8 = 91;

/// Seed of the key, operator, latitude, longitude.
const LANDMARKS: [(u8, &str, f64, f64); 6] = [
    (1, "North", 51.05, 13.74),
    (2, "South", 51.34, 12.37),
    (3, "West", 50.08, 14.43),
    (4, "North", 39.04, -77.49),
    (5, "South", 37.54, -77.44),
    (6, "West", 39.29, -76.61),
];

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> [u8; 32] {
    key(seed).verifying_key().to_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn landmark((seed, operator, latitude, longitude): (u8, &str, f64, f64)) -> String {
    format!(
        "[[place.landmark]]\nname = \"lm{seed}\"\noperator = \"{operator}\"\nkey = \"{}\"\nlatitude = {latitude:?}\n\
         longitude = {longitude:?}\nuncertainty_m = 50\n",
        hex(&public(seed))
    )
}

fn policy(head: &str, landmarks: &[(u8, &str, f64, f64)]) -> String {
    let landmarks: String = landmarks.iter().map(|one| landmark(*one)).collect();
    let auditor = hex(&public(AUDITOR));
    format!(
        "roots = [\"silicon\"]\nmax_age_s = 300\n[place]\n{head}\n[[place.auditor]]\nname = \"Auditor\"\nkey = \
         \"{auditor}\"\n{landmarks}"
    )
}

/// A statement of the landmark with this seed about F, with changes.
fn round(seed: u8, round_trip_us: u64, change: impl Fn(&mut Round)) -> Vec<u8> {
    let mut claims = Round {
        time: NOW - 10,
        session_key: Bytes32::new(F),
        round_trip_ns: round_trip_us * 1000,
        rounds: 32,
        landmark: Bytes32::new(public(seed)),
    };
    change(&mut claims);
    let id = PublicKey::Ed25519(public(seed)).id(&RustEngine).unwrap();
    seal(&claims, id, |message| Ok::<_, CborError>(key(seed).sign(message).to_bytes())).unwrap()
}

fn site(seed: u8, change: impl Fn(&mut Site)) -> Vec<u8> {
    let anchor = PublicKey::Ed25519(public(IN_THE_BUILDING)).id(&RustEngine).unwrap();
    let mut site = Site {
        expires: NOW + 300,
        not_before: NOW - 100,
        issued: NOW - 100,
        node_id: None,
        name: "STR 1".into(),
        address: "Example Street 1, Strasbourg".into(),
        country: "FR".into(),
        latitude_udeg: 48_573_400,
        longitude_udeg: 7_752_100,
        radius_m: 200,
        operator: "Example Colocation".into(),
        anchor: Some(Bytes32::new(anchor)),
        inspected: "The hall".into(),
        rack: None,
        chassis: None,
    };
    change(&mut site);
    let sign = |message: &[u8]| Ok::<_, StatementError>(key(seed).sign(message).to_bytes().to_vec());
    let key = PublicKey::Ed25519(public(seed));
    cose::sign(&RustEngine, &key, Site::CONTENT_TYPE, &cbor::encode(&site).unwrap(), sign).unwrap()
}

/// A policy and what was brought.
struct Case {
    policy: String,
    statements: Vec<Vec<u8>>,
}

impl Case {
    /// All six landmarks answered, the first three as far as `europe_us`, the others as far as `america_us`.
    fn measured(europe_us: u64, america_us: u64) -> Case {
        let trip = |seed: u8| if seed <= 3 { europe_us } else { america_us };
        Case {
            policy: policy("territory = \"EU\"\nmay_lie = 1", &LANDMARKS),
            statements: LANDMARKS.iter().map(|(seed, ..)| round(*seed, trip(*seed), |_| ())).collect(),
        }
    }

    /// A place that round trips leave open: Strasbourg, from landmarks in the middle of the EU and one in the building.
    fn in_strasbourg(anchor_us: u64) -> Case {
        let mut case = Case::measured(9_000, 90_000);
        case.statements.push(round(IN_THE_BUILDING, anchor_us, |_| ()));
        case.statements.push(site(AUDITOR, |_| ()));
        case
    }

    fn with(mut self, statement: Vec<u8>) -> Case {
        self.statements.push(statement);
        self
    }

    fn without(mut self, at: usize) -> Case {
        self.statements.remove(at);
        self
    }

    fn under(mut self, head: &str, landmarks: &[(u8, &str, f64, f64)]) -> Case {
        self.policy = policy(head, landmarks);
        self
    }

    fn assessed(&self) -> Assessed {
        static ATLASES: Mutex<BTreeMap<String, Atlas>> = Mutex::new(BTreeMap::new());
        let policy = Policy::parse(self.policy.as_bytes(), &RustEngine).unwrap();
        let place = policy.place().unwrap();
        let name = format!("{} {:?}", place.target(), place.map);
        let mut atlases = ATLASES.lock().unwrap();
        let atlas = atlases.entry(name).or_insert_with(|| Atlas::new(place).unwrap()).clone();
        drop(atlases);
        let carried = Carried::sort(self.statements.iter().map(Vec::as_slice));
        let evidence = Evidence { engine: &RustEngine, session_key: F, node_ids: &[NODE], carried: &carried, now: NOW };
        let link = Link { what: "boot".into(), basis: Basis::Silicon };
        assess(place, &atlas, &evidence, &[link])
    }

    fn answer(&self) -> Answer {
        self.assessed().part.answer
    }

    /// The answer with its basis, and all reasons.
    fn said(&self) -> (String, String) {
        let part = self.assessed().part;
        (part.to_string(), part.reasons.join("\n"))
    }
}

#[test]
fn near_three_operators_in_the_middle_of_the_eu_is_yes_by_silicon_at_best() {
    let assessed = Case::measured(600, 90_000).assessed();
    assert_eq!(assessed.part.to_string(), "yes (silicon)");
    assert_eq!(assessed.part.reasons, ["EU: all land it can be on is inside (CZ, DE, PL)"]);
    assert_eq!(assessed.part.links.last().map(|link| &link.basis), Some(&Basis::Physics));
    assert_eq!(assessed.expires, Some(NOW - 10 + landmark::LIFE_S));
    let trusted =
        ["no more than 1 of 3 lie", "the map, version", "nobody else has the session key", "on land", "storage"];
    for what in trusted {
        assert!(assessed.residual_trust.iter().any(|one| one.contains(what)), "{what}");
    }
    let geographic = assessed.geographic.unwrap();
    assert_eq!((geographic.country, geographic.touched.to_vec()), (None, vec!["CZ".into(), "DE".into(), "PL".into()]));
}

#[test]
fn near_three_operators_around_ashburn_is_no() {
    assert_eq!(Case::measured(90_000, 600).said().0, "no (silicon)");
}

#[test]
fn unknown_where_the_region_touches_land_outside() {
    let (answer, reasons) = Case::measured(9_000, 90_000).said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("it can be on land inside and outside"), "{reasons}");
}

#[test]
fn unknown_where_only_far_landmarks_answered() {
    let mut case = Case::measured(600, 90_000);
    case.statements.drain(..3);
    assert_eq!(case.answer(), Answer::Unknown);
}

#[test]
fn unknown_where_too_few_operators_answered() {
    let near = Case::measured(600, 90_000);
    assert_eq!(near.statements.len(), 6);
    let two = Case { statements: near.statements[..2].to_vec(), ..Case::measured(600, 90_000) };
    assert_eq!(two.answer(), Answer::Yes, "two of three agree, and one may lie");
    let one = Case { statements: near.statements[..1].to_vec(), ..Case::measured(600, 90_000) };
    assert_eq!(one.answer(), Answer::Unknown);
}

#[test]
fn unknown_where_landmarks_are_of_the_provers_own_group() {
    let head = "territory = \"EU\"\nmay_lie = 1\nown_group = [\"North\"]";
    let case = Case::measured(600, 90_000).under(head, &LANDMARKS).without(1);
    let (answer, reasons) = case.said();
    assert_eq!(answer, "unknown", "of the two that count one is silent");
    assert!(reasons.contains("of the prover's own group"), "{reasons}");
}

/// H10: n and f count operators, whatever number of landmarks each has.
#[test]
fn many_landmarks_of_one_operator_are_one_word() {
    let of_one = [(1, "North", 51.05, 13.74), (2, "North", 51.34, 12.37), (3, "North", 50.08, 14.43)];
    let others = [(4, "South", 39.04, -77.49), (5, "West", 37.54, -77.44)];
    let case = Case::measured(600, 90_000).under("territory = \"EU\"\nmay_lie = 1", &[&of_one[..], &others].concat());
    let far = Case { statements: case.statements[..5].to_vec(), ..case };
    assert_eq!(far.answer(), Answer::Unknown, "North alone puts it there");
}

#[test]
fn an_operator_that_the_policy_trusts_alone_is_enough_and_is_named() {
    let case = Case::measured(600, 90_000).under("territory = \"EU\"\nalone = \"North\"", &LANDMARKS);
    let assessed = Case { statements: case.statements[..1].to_vec(), ..case }.assessed();
    assert_eq!(assessed.part.answer, Answer::Yes);
    assert!(assessed.residual_trust[0].contains("North, whom the policy trusts alone"));
}

/// H10: a landmark that lies can take a proof away, and give none.
#[test]
fn one_lying_operator_of_three_makes_no_false_answer() {
    for lie_us in [1, 600, 5_000, 90_000] {
        let abroad = Case::measured(90_000, 600).with(round(1, lie_us, |_| ()));
        assert_ne!(abroad.answer(), Answer::Yes, "{lie_us} µs");
        let at_home = Case::measured(600, 90_000).with(round(4, lie_us, |_| ()));
        assert_ne!(at_home.answer(), Answer::No, "{lie_us} µs");
    }
}

#[test]
fn unknown_and_an_alarm_where_landmarks_contradict_each_other_or_leave_no_land() {
    let (answer, reasons) = Case::measured(600, 600).said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("alarm: the landmarks' answers contradict each other"), "{reasons}");
    let at_sea = [(1, "North", 45.0, -35.0), (2, "South", 45.0, -35.1), (3, "West", 45.0, -34.9)];
    let case = Case::measured(600, 90_000).under("territory = \"EU\"\nmay_lie = 1", &at_sea);
    let (answer, reasons) = Case { statements: case.statements[..3].to_vec(), ..case }.said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("alarm") && reasons.contains("no land"), "{reasons}");
}

#[test]
fn unknown_without_a_landmarks_word_whatever_the_node_says_of_itself() {
    let case = Case { statements: Vec::new(), ..Case::measured(600, 90_000) };
    let (answer, reasons) = case.said();
    assert_eq!(
        (answer.as_str(), reasons.as_str()),
        ("unknown", "no landmark of the policy measured this boot's session key")
    );
}

/// A reset of the machine makes a new F: with the TPM's clock unsafe and no new round trip, old ones say nothing.
#[test]
fn unknown_where_the_round_trips_are_those_of_another_session_key() {
    let mut case = Case::measured(600, 90_000);
    case.statements = (1..=3).map(|seed| round(seed, 600, |one| one.session_key = Bytes32::new([1; 32]))).collect();
    assert_eq!(case.answer(), Answer::Unknown);
}

#[test]
fn unknown_where_round_trips_are_old_or_from_the_future() {
    for (time, expected) in [
        (NOW - landmark::LIFE_S + 1, Answer::Yes),
        (NOW - landmark::LIFE_S, Answer::Unknown),
        (NOW + landmark::AHEAD_S, Answer::Yes),
        (NOW + landmark::AHEAD_S + 1, Answer::Unknown),
    ] {
        let mut case = Case::measured(600, 90_000);
        case.statements = (1..=3).map(|seed| round(seed, 600, |one| one.time = time)).collect();
        assert_eq!(case.answer(), expected, "{time}");
    }
}

#[test]
fn a_landmark_of_another_key_or_a_changed_byte_does_not_count() {
    let mut case = Case::measured(600, 90_000);
    case.statements = (1..=3).map(|seed| round(seed + 20, 600, |_| ())).collect();
    assert_eq!(case.answer(), Answer::Unknown, "landmarks that the policy does not have");
    case.statements =
        (1..=3).map(|seed| round(seed + 20, 600, |one| one.landmark = Bytes32::new(public(seed)))).collect();
    let (answer, reasons) = case.said();
    assert_eq!(answer, "unknown", "who signs for another");
    assert!(reasons.contains("a landmark's statement does not count"), "{reasons}");
    case.statements = Case::measured(600, 90_000).statements;
    case.statements.iter_mut().for_each(|one| *one.last_mut().unwrap() ^= 1);
    assert_eq!(case.answer(), Answer::Unknown);
}

#[test]
fn unknown_where_the_policy_wants_another_version_of_the_map() {
    let head = "territory = \"EU\"\nmay_lie = 1\nmap = \"of 1999\"";
    let (answer, reasons) = Case::measured(600, 90_000).under(head, &LANDMARKS).said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("asks for another map than version Natural Earth"), "{reasons}");
}

#[test]
fn an_area_of_the_policys_own_is_asked_like_a_set() {
    let square = |west: f64, east: f64| {
        let ring = format!("[[{west},46],[{east},46],[{east},54],[{west},54],[{west},46]]");
        format!("geojson = '{{\"type\":\"Polygon\",\"coordinates\":[{ring}]}}'\nmay_lie = 1")
    };
    for (head, expected) in
        [(square(5.0, 20.0), Answer::Yes), (square(13.0, 20.0), Answer::Unknown), (square(25.0, 30.0), Answer::No)]
    {
        let policy = Policy::parse(policy(&head, &LANDMARKS).as_bytes(), &RustEngine).unwrap();
        let place = policy.place().unwrap();
        let statements = Case::measured(600, 90_000).statements;
        let carried = Carried::sort(statements.iter().map(Vec::as_slice));
        let evidence = Evidence { engine: &RustEngine, session_key: F, node_ids: &[NODE], carried: &carried, now: NOW };
        let assessed = assess(place, &Atlas::new(place).unwrap(), &evidence, &[]);
        assert_eq!(assessed.part.answer, expected, "{head}");
        assert_eq!(assessed.geographic.unwrap().territory, "the policy's own area");
    }
}

#[test]
fn a_place_ends_with_the_first_of_its_inputs() {
    let older = |seed: u8| round(seed, 600, |one| one.time = NOW - 500);
    let case = Case::measured(600, 90_000).with(older(2));
    assert_eq!(case.assessed().expires, Some(NOW - 500 + landmark::LIFE_S));
    let mut case = Case::in_strasbourg(99);
    case.statements.remove(6);
    let case = case.with(round(IN_THE_BUILDING, 99, |one| one.time = NOW - 450));
    assert_eq!(case.assessed().expires, Some(NOW - 450 + landmark::LIFE_S), "the anchor's end");
    let case = Case::in_strasbourg(99).with(round(1, 9_000, |one| one.time = NOW - 500));
    assert_eq!(case.assessed().expires, Some(NOW - 500 + landmark::LIFE_S), "a landmark's end");
}

/// What an EAR shows is the region that was judged.
#[test]
fn the_geographic_result_gives_the_region_back() {
    let geographic = Case::measured(600, 90_000).assessed().geographic.unwrap();
    let bytes = cbor::encode(&geographic).unwrap();
    let read: Geographic = cbor::decode(&bytes, bytes.len()).unwrap();
    let region = read.region().unwrap();
    assert_eq!((region.quorum(), region.discs().len()), ((2, 3), 6));
    let policy = Policy::parse(Case::measured(1, 1).policy.as_bytes(), &RustEngine).unwrap();
    let atlas = Atlas::new(policy.place().unwrap()).unwrap();
    assert_eq!(atlas.contain(&region).unwrap().answer, Answer::Yes);
}

#[test]
fn a_policy_that_could_prove_nothing_or_anything_is_refused() {
    let refused = |head: &str, landmarks: &[(u8, &str, f64, f64)]| {
        Policy::parse(policy(head, landmarks).as_bytes(), &RustEngine).unwrap_err().to_string()
    };
    let eu = "territory = \"EU\"";
    for (head, expected) in [
        ("may_lie = 1", "name a `territory`"),
        (
            "territory = \"EU\"\ngeojson = '{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[1,0],[1,1],[0,0]]]}'\nmay_lie = 1",
            "name a `territory`",
        ),
        ("geojson = '{}'\nmay_lie = 1", "has no \"type\""),
        (eu, "say how many operators `may_lie`"),
        ("territory = \"EU\"\nmay_lie = 0", "may_lie"),
        ("territory = \"EU\"\nmay_lie = 1\nalone = \"North\"", "say how many"),
        ("territory = \"EU\"\nmay_lie = 3", "nothing could ever be proven"),
        ("territory = \"EU\"\nmay_lie = 2\nown_group = [\"West\"]", "nothing could ever be proven"),
        ("territory = \"EU\"\nalone = \"East\"", "has no landmark here"),
        ("territory = \"EU\"\nalone = \"West\"\nown_group = [\"West\"]", "of the own group"),
        ("territory = \"EU\"\nmay_lie = 1\nanywhere = true", "unknown field"),
        ("territory = \"EU\"\nmay_lie = 1\nown_group = [\"north\"]", "who has no landmark here"),
    ] {
        let found = refused(head, &LANDMARKS);
        assert!(found.contains(expected), "{head}: {found}");
    }
    let one = format!("{eu}\nmay_lie = 1");
    let twice = [LANDMARKS[0], (1, "East", 50.0, 10.0), LANDMARKS[1]];
    assert!(refused(&one, &twice).contains("has the key of another one"));
    let respelled = [LANDMARKS[0], LANDMARKS[1], (9, "NORTH", 50.0, 10.0)];
    assert!(refused(&one, &respelled).contains("operator \"NORTH\" is also written \"North\""));
    for wrong in [(9, "East", 91.0, 0.0), (9, "East", 0.0, 181.0), (9, "", 0.0, 0.0), (9, " East", 0.0, 0.0)] {
        refused(&one, &[&LANDMARKS[..], &[wrong]].concat());
    }
    let unknown = policy("territory = \"Atlantis\"\nmay_lie = 1", &LANDMARKS);
    let unknown = Policy::parse(unknown.as_bytes(), &RustEngine).unwrap();
    assert!(matches!(Atlas::new(unknown.place().unwrap()), Err(AtlasError::Territory(_))));
}
