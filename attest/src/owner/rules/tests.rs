#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::{
    cose::StatementError,
    engine::PublicKey,
    owner::{
        holdings::{Exception, Exclusion, Holdings, Interest, InterestKind, List, Opinion, Parent, Way},
        party::{
            Party, PartyKind,
            tests::{country, entity, party, person},
        },
        rule_set::BUILT_IN,
    },
    rust_engine::RustEngine,
    statement::{self, Signed},
};
use alloc::{vec, vec::Vec};
use ed25519_dalek::{Signer, SigningKey};

const NOW: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// A French company `s` that two French persons hold, with all that SecNumCloud asks for.
fn good() -> Holdings {
    let rights =
        [InterestKind::Veto, InterestKind::AppointmentOfBoard, InterestKind::Shareholding, InterestKind::VotingRights];
    Holdings {
        expires: NOW + 90 * DAY,
        issued: NOW - DAY,
        as_of: NOW - DAY,
        parties: list(vec![entity("s", "FR"), person("a", "FR", "FR"), person("b", "DE", "FR")]),
        interests: list([held("a", "60"), held("b", "40")].concat()),
        exclusions: list(rights.map(|kind| Exclusion { subject: "s".into(), kind }).to_vec()),
        parents: list(vec![]),
        opinions: list(vec![]),
    }
}

fn list<T, const N: usize>(items: Vec<T>) -> List<T, N> {
    List::new(items).unwrap()
}

fn holding(subject: &str, holder: &str, kind: InterestKind, percent: &str) -> Interest {
    let exact = Share::from_percent(percent);
    let (minimum, maximum, exclusive_minimum, exclusive_maximum, start, end) = (None, None, None, None, None, None);
    let (subject, holder, way) = (subject.into(), holder.into(), Way::Direct);
    Interest { subject, holder, kind, way, exact, minimum, maximum, exclusive_minimum, exclusive_maximum, start, end }
}

/// As many shares as votes of `s`.
fn held(holder: &str, percent: &str) -> Vec<Interest> {
    [InterestKind::Shareholding, InterestKind::VotingRights].map(|kind| holding("s", holder, kind, percent)).to_vec()
}

/// The good company with a third holder of 30 % and what is stated of that holder.
fn with_holder(holder: Party) -> Holdings {
    let id = holder.id.clone();
    let parties = [good().parties.to_vec(), vec![holder]].concat();
    let interests = [held("a", "40"), held("b", "30"), held(&id, "30")].concat();
    Holdings { parties: list(parties), interests: list(interests), ..good() }
}

fn signed(claims: &Holdings) -> Signed<Holdings> {
    let secret = SigningKey::from_bytes(&[1; 32]);
    let key = PublicKey::Ed25519(secret.verifying_key().to_bytes());
    let sign = |bytes: &[u8]| Ok::<_, StatementError>(secret.sign(bytes).to_bytes().to_vec());
    let bytes = statement::seal(&RustEngine, claims, &key, sign).unwrap();
    statement::open(&RustEngine, &bytes, &[key]).unwrap()
}

fn verdict_of(set: &str, claims: &[Holdings]) -> RuleSetVerdict {
    let set = RuleSet::built_in(set).unwrap().unwrap();
    let statements: Vec<Signed<Holdings>> = claims.iter().map(signed).collect();
    let testimony: Vec<Testimony<'_>> =
        statements.iter().map(|holdings| Testimony { holdings, who: "the register" }).collect();
    evaluate(&set, &testimony, "s", &Facts::default(), NOW).unwrap()
}

fn rule(set: &str, id: &str, claims: &[Holdings]) -> RuleVerdict {
    verdict_of(set, claims).rules.into_iter().find(|rule| rule.id == id).unwrap()
}

fn shares(claims: &Holdings) -> Answer {
    rule("secnumcloud-3.2", "19.6.b.shares", core::slice::from_ref(claims)).answer
}

#[test]
fn every_built_in_set_is_sound() {
    for (id, text) in BUILT_IN {
        assert_eq!(RuleSet::parse(text).unwrap().id, id);
    }
}

#[test]
fn a_company_of_citizens_keeps_the_rules_that_can_be_computed() {
    let verdict = verdict_of("secnumcloud-3.2", &[good()]);
    assert_eq!(verdict.answer_to(&["19.6.a", "19.6.b.shares", "19.6.b.rights"]), Answer::Yes, "{verdict:#?}");
    assert_eq!(verdict.answer, Answer::Unknown);
    assert_eq!(verdict.expires, Some(NOW - DAY + 31 * DAY));
    let silent: Vec<&str> =
        verdict.rules.iter().filter(|rule| !rule.is_computed).map(|rule| rule.id.as_str()).collect();
    assert_eq!(silent, ["19.6.d", "19.6.e", "19.6.f"]);
}

#[test]
fn a_holder_outside_with_25_percent_is_a_no_with_its_path() {
    let mut claims = with_holder(entity("x", "US"));
    claims.interests = list([held("a", "40"), held("b", "35"), held("x", "25")].concat());
    let found = rule("secnumcloud-3.2", "19.6.b.shares", &[claims.clone()]);
    assert_eq!(found.answer, Answer::No);
    assert_eq!(found.reasons[0], "X (x) holds 25 % of the capital along the path: X (x) holds 25 % of S (s)");
    claims.interests = list([held("a", "40"), held("b", "36"), held("x", "24")].concat());
    assert_eq!(shares(&claims), Answer::Yes);
}

#[test]
fn an_indirect_holder_is_found_by_product_and_by_control() {
    let mut claims = with_holder(entity("i", "FR"));
    claims.parties = list([claims.parties.to_vec(), vec![entity("x", "US")]].concat());
    let kinds = [InterestKind::Shareholding, InterestKind::VotingRights];
    let above = kinds.map(|kind| holding("i", "x", kind, "51")).to_vec();
    claims.interests = list([claims.interests.to_vec(), above].concat());
    let found = rule("secnumcloud-3.2", "19.6.b.shares", &[claims]);
    assert_eq!(found.answer, Answer::No);
    assert!(found.reasons[0].contains("with what it controls: X (x) holds 51 % of I (i), I (i) holds 30 % of S (s)"));
}

#[test]
fn a_gleif_exception_without_an_auditors_statement_is_unknown() {
    for exception in [Exception::NaturalPersons, Exception::NonPublic, Exception::NoLei, Exception::NonConsolidating] {
        let parents = list(vec![Parent { subject: "s".into(), parent: None, exception: Some(exception) }]);
        let mut claims = Holdings { parents, ..good() };
        assert_eq!(rule("gaia-x-l3", "P5.1.5", &[claims.clone()]).answer, Answer::Unknown);
        let [subject, rule_set, id] = ["s", "gaia-x-l3", "P5.1.5"].map(String::from);
        claims.opinions = list(vec![Opinion { subject, rule_set, rule: id, answer: OpinionAnswer::Yes }]);
        assert_eq!(rule("gaia-x-l3", "P5.1.5", &[claims]).answer, Answer::Yes);
    }
}

#[test]
fn an_ultimate_parent_outside_is_a_no_under_control() {
    let parents = list(vec![Parent { subject: "s".into(), parent: Some("x".into()), exception: None }]);
    let parties = list([good().parties.to_vec(), vec![entity("x", "US")]].concat());
    let found = rule("gaia-x-l3", "P5.1.5", &[Holdings { parents, parties, ..good() }]);
    assert_eq!(found.answer, Answer::No);
    assert!(!found.residuals.is_empty(), "its number is not checked");
}

#[test]
fn an_interval_that_straddles_24_or_39_percent_is_unknown() {
    let straddling = |lo: &str, hi: &str| {
        let mut claims = with_holder(entity("x", "US"));
        let mut own = held("x", "0");
        for one in &mut own {
            (one.exact, one.minimum, one.maximum) = (None, Share::from_percent(lo), Share::from_percent(hi));
        }
        claims.interests = list([held("a", "70"), own].concat());
        claims
    };
    assert_eq!(shares(&straddling("20", "24")), Answer::Unknown, "70 + 24 is not the whole");
    let mut open = straddling("20", "30");
    open.exclusions = list(vec![]);
    assert_eq!(shares(&open), Answer::Unknown);
    assert_eq!(shares(&straddling("20", "30")), Answer::No, "nobody else can hold the rest");
    let mut two = good();
    two.parties =
        list([two.parties.to_vec(), vec![entity("x", "US"), entity("y", "US"), person("o", "US", "US")]].concat());
    two.interests = list([held("a", "61"), held("x", "20"), held("y", "19")].concat());
    assert_eq!(shares(&two), Answer::Unknown, "one may stand behind both");
}

#[test]
fn undeclared_shares_without_a_threshold_are_unknown() {
    let mut claims = good();
    claims.exclusions = list(vec![]);
    claims.interests = list(held("a", "60"));
    assert_eq!(shares(&claims), Answer::Unknown);
    let mut listed = entity("s", "FR");
    listed.declaration_threshold = Share::from_percent("5");
    claims.parties = list(vec![listed, person("a", "FR", "FR")]);
    let found = rule("secnumcloud-3.2", "19.6.b.shares", &[claims]);
    assert_eq!(found.answer, Answer::Unknown);
    assert_eq!(found.readings.iter().map(|(_, answer)| *answer).collect::<Vec<_>>(), [Answer::Yes, Answer::Unknown]);
}

#[test]
fn a_trust_foundation_fund_or_state_without_classification_is_unknown() {
    for kind in [PartyKind::Trust, PartyKind::Foundation, PartyKind::Fund, PartyKind::State] {
        assert_eq!(shares(&with_holder(party("x", kind))), Answer::Unknown, "{kind:?}");
        let classified = |code| Party { classification: Some(country(code)), ..party("x", kind) };
        assert_eq!(shares(&with_holder(classified("FR"))), Answer::Yes, "{kind:?}");
        assert_eq!(shares(&with_holder(classified("US"))), Answer::No, "{kind:?}");
    }
}

#[test]
fn a_holder_in_northern_cyprus_an_oct_or_the_eea_alone_is_unknown() {
    for code in ["CY-NORTH", "PF", "BL", "NO"] {
        assert_eq!(shares(&with_holder(entity("x", code))), Answer::Unknown, "{code}");
    }
    assert_eq!(shares(&with_holder(entity("x", "US"))), Answer::No);
}

#[test]
fn a_nominee_an_unknown_interest_and_an_unstated_party_are_unknown() {
    assert_eq!(shares(&with_holder(party("x", PartyKind::Nominee))), Answer::Unknown);
    assert_eq!(shares(&with_holder(party("x", PartyKind::Unknown))), Answer::Unknown);
    assert_eq!(shares(&with_holder(entity("x", "FR"))), Answer::Unknown, "who holds x is not stated");
    for kind in [InterestKind::UnknownInterest, InterestKind::UnpublishedInterest, InterestKind::Nominee] {
        let mut claims = good();
        let own = Interest { exact: None, ..holding("s", "b", kind, "1") };
        claims.interests = list([held("a", "60"), vec![own]].concat());
        assert_eq!(shares(&claims), Answer::Unknown, "{kind:?}");
    }
    let mut claims = good();
    claims.parties = list(claims.parties[..2].to_vec());
    assert_eq!(shares(&claims), Answer::Unknown);
}

#[test]
fn veto_or_board_clauses_that_are_not_asserted_are_unknown() {
    let rights = |claims: &Holdings| rule("secnumcloud-3.2", "19.6.b.rights", core::slice::from_ref(claims)).answer;
    assert_eq!(rights(&good()), Answer::Yes);
    for kind in [InterestKind::Veto, InterestKind::AppointmentOfBoard] {
        let mut claims = good();
        claims.exclusions = list(claims.exclusions.iter().filter(|one| one.kind != kind).cloned().collect());
        assert_eq!(rights(&claims), Answer::Unknown, "{kind:?}");
        let right = |who: &str| Interest { exact: None, ..holding("s", who, kind, "1") };
        let mut claims = with_holder(entity("x", "US"));
        claims.interests = list([claims.interests.to_vec(), vec![right("x")]].concat());
        assert_eq!(rights(&claims), Answer::No, "{kind:?}");
        let mut claims = good();
        claims.interests = list([claims.interests.to_vec(), vec![right("a")]].concat());
        assert_eq!(rights(&claims), Answer::Yes, "{kind:?}");
        let mut claims = with_holder(entity("x", "FR"));
        claims.interests = list([claims.interests.to_vec(), vec![right("x")]].concat());
        assert_eq!(rights(&claims), Answer::Unknown, "{kind:?}");
    }
}

#[test]
fn what_is_older_than_31_days_or_has_ended_does_not_count() {
    let stale = Holdings { as_of: NOW - 31 * DAY, ..good() };
    assert_eq!(shares(&stale), Answer::Unknown);
    assert_eq!(shares(&Holdings { as_of: NOW - 31 * DAY + 1, ..good() }), Answer::Yes);
    assert_eq!(shares(&Holdings { expires: NOW, ..good() }), Answer::Unknown);
    assert_eq!(shares(&Holdings { issued: NOW + 1, ..good() }), Answer::Unknown);
    let mut ended = good();
    let mut interests = ended.interests.to_vec();
    interests.iter_mut().filter(|one| one.holder == "b").for_each(|one| one.end = Some(NOW));
    ended.interests = list(interests);
    assert_eq!(shares(&ended), Answer::Unknown);
}

#[test]
fn shares_that_add_up_to_more_than_the_whole_or_statements_that_differ_are_unknown() {
    let mut over = good();
    over.interests = list([held("a", "60"), held("b", "41")].concat());
    assert_eq!(shares(&over), Answer::Unknown);
    let other = with_holder(entity("a", "US"));
    let other = Holdings { parties: list(vec![entity("a", "US")]), interests: list(vec![]), ..other };
    assert_eq!(rule("secnumcloud-3.2", "19.6.b.shares", &[good(), other]).answer, Answer::Unknown);
}

#[test]
fn companies_that_hold_each_other_end_and_count_once() {
    let mut claims = good();
    claims.parties = list([claims.parties.to_vec(), vec![entity("i", "FR")]].concat());
    let circle = |kind| [holding("i", "s", kind, "100"), holding("s", "i", kind, "50"), holding("s", "a", kind, "50")];
    let all = [InterestKind::Shareholding, InterestKind::VotingRights].map(circle).concat();
    claims.interests = list(all);
    assert_eq!(shares(&claims), Answer::Yes);
    claims.parties = list(vec![entity("s", "FR"), entity("i", "FR"), entity("a", "US")]);
    assert_eq!(shares(&claims), Answer::No);
}

#[test]
fn a_rule_set_with_an_unknown_key_a_double_rule_or_levels_that_do_not_fit_is_refused() {
    let (_, text) = BUILT_IN[2];
    let refused = |from: &str, to: &str| RuleSet::parse(&text.replacen(from, to, 1)).unwrap_err();
    refused("minimum = 3", "minimum = 5");
    refused("[1, 1, 3, 4]", "[1, 1, 3]");
    refused("[1, 1, 3, 4]", "[1, 4, 3, 4]");
    refused("SOV-2.1", "SOV-1.1");
    refused("version = \"1\"", "version = \"1\"\nextra = 1");
    refused("\"AT\", ", "\"NO\", ");
    refused("checked = \"primary\"", "checked = \"yes\"");
    let (_, text) = BUILT_IN[0];
    assert!(RuleSet::parse(&text.replace("percent = \"24\"", "percent = \"101\"")).is_err());
    assert!(RuleSet::parse(&"#".repeat(65 * 1024)).is_err());
}
