//! What several statements say together.

use super::*;

#[test]
fn shares_that_add_up_to_more_than_the_whole_or_statements_that_differ_are_unknown() {
    let mut over = good();
    over.interests = list([held("a", "60"), held("b", "41")].concat());
    assert_eq!(shares(&over), Answer::Unknown);
    let other = with_holder(entity("a", "US"));
    let other = Holdings { parties: list(vec![entity("a", "US")]), interests: list(vec![]), ..other };
    assert_eq!(rule("secnumcloud-3.2", "19.6.b.shares", &[good(), other]).answer, Answer::Unknown);
}

/// `s` is held by these, and by nobody else where `kinds` are excluded.
fn stating(parties: Vec<Party>, interests: Vec<Interest>, kinds: &[InterestKind]) -> Holdings {
    let exclusions = kinds.iter().map(|kind| Exclusion { subject: "s".into(), kind: *kind }).collect();
    Holdings { parties: list(parties), interests: list(interests), exclusions: list(exclusions), ..good() }
}

fn together(claims: &[Holdings]) -> Answer {
    rule("secnumcloud-3.2", "19.6.b.shares", claims).answer
}

fn between(holder: &str, lo: &str, hi: &str) -> Vec<Interest> {
    let bounded =
        |one| Interest { exact: None, minimum: Share::from_percent(lo), maximum: Share::from_percent(hi), ..one };
    held(holder, "0").into_iter().map(bounded).collect()
}

const SHARES: &[InterestKind] = &[InterestKind::Shareholding, InterestKind::VotingRights];

#[test]
fn what_two_say_alike_is_proven_and_one_may_say_less() {
    assert_eq!(together(&[good(), good()]), Answer::Yes);
    assert_eq!(together(&[good(), stating(vec![], held("a", "60"), &[])]), Answer::Yes);
    assert_eq!(together(&[good(), stating(vec![], between("a", "50", "70"), &[])]), Answer::Yes);
}

#[test]
fn two_lists_of_all_holders_that_differ_prove_nothing() {
    let other = stating(vec![person("c", "FR", "FR")], [held("a", "60"), held("c", "40")].concat(), SHARES);
    assert_eq!(together(core::slice::from_ref(&other)), Answer::Unknown, "who a is");
    for pair in [[good(), other.clone()], [other, good()]] {
        assert_eq!(together(&pair), Answer::Unknown);
    }
}

#[test]
fn a_holder_whom_a_list_of_all_leaves_out_is_neither_proven_nor_excluded() {
    let any = [between("a", "0", "100"), between("b", "0", "100")].concat();
    let listing = Holdings { interests: list(any), ..good() };
    assert_eq!(together(core::slice::from_ref(&listing)), Answer::Yes);
    for percent in ["20", "30"] {
        let one_more = stating(vec![entity("x", "US")], held("x", percent), &[]);
        for pair in [[listing.clone(), one_more.clone()], [one_more, listing.clone()]] {
            assert_eq!(together(&pair), Answer::Unknown, "{percent}");
        }
    }
}

#[test]
fn the_hull_of_two_intervals_counts_and_not_what_both_allow() {
    let of = |lo, hi| stating(vec![entity("x", "US")], [between("x", lo, hi), held("a", "60")].concat(), &[]);
    assert_eq!(together(&[of("25", "30")]), Answer::No);
    assert_eq!(together(&[of("25", "30"), of("20", "26")]), Answer::Unknown);
    let own = |lo, hi| {
        let interests = [between("x", lo, hi), between("a", "0", "100"), between("b", "0", "100")].concat();
        Holdings { parties: with_holder(entity("x", "US")).parties, interests: list(interests), ..good() }
    };
    assert_eq!(together(&[own("0", "24")]), Answer::Yes);
    assert_eq!(together(&[own("0", "24"), own("20", "25")]), Answer::Unknown);
}

#[test]
fn the_least_that_is_stated_of_an_indirect_holding_counts() {
    let through = |percent: &str| {
        let own = held("x", percent).into_iter().map(|one| Interest { way: Way::Indirect, ..one }).collect();
        stating(vec![entity("x", "US")], own, &[])
    };
    assert_eq!(together(&[through("30")]), Answer::No);
    for pair in [[through("30"), through("10")], [through("10"), through("30")]] {
        assert_eq!(together(&pair), Answer::Unknown);
    }
    assert_eq!(together(&[good(), through("30")]), Answer::Unknown, "the list of all holders denies it");
}

#[test]
fn a_right_that_one_states_and_another_excludes_is_unknown() {
    for kind in [InterestKind::Veto, InterestKind::AppointmentOfBoard] {
        let right = |who: &str| vec![Interest { exact: None, ..holding("s", who, kind, "1") }];
        let rights = |claims: &[Holdings]| rule("secnumcloud-3.2", "19.6.b.rights", claims).answer;
        let control = |claims: &[Holdings]| rule("gaia-x-l3", "P5.1.5", claims).answer;
        let outside = || vec![entity("x", "US")];
        let (said, listed) = (stating(outside(), right("x"), &[]), stating(outside(), right("x"), &[kind]));
        assert_eq!(rights(core::slice::from_ref(&said)), Answer::No);
        assert_eq!(rights(core::slice::from_ref(&listed)), Answer::No);
        assert_eq!(rights(&[good(), said.clone()]), Answer::Unknown);
        assert_eq!(rights(&[good(), listed.clone()]), Answer::Unknown);
        assert_eq!(rights(&[said.clone(), listed]), Answer::No);
        assert_eq!(rights(&[good(), stating(vec![], right("a"), &[])]), Answer::Unknown, "who else, then?");
        let is_board = kind == InterestKind::AppointmentOfBoard;
        assert_eq!(control(core::slice::from_ref(&said)), if is_board { Answer::No } else { Answer::Unknown });
        assert_eq!(control(&[good(), said]), Answer::Unknown);
    }
}

#[test]
fn parents_on_which_statements_differ_are_unknown() {
    let parent = |parent: Option<&str>| {
        let exception = parent.is_none().then_some(Exception::NaturalPersons);
        let parents = list(vec![Parent { subject: "s".into(), parent: parent.map(String::from), exception }]);
        Holdings { parents, ..stating(vec![entity("x", "US"), entity("y", "FR")], vec![], &[]) }
    };
    let control = |claims: &[Holdings]| rule("gaia-x-l3", "P5.1.5", claims).answer;
    assert_eq!(control(&[parent(Some("x"))]), Answer::No);
    assert_eq!(control(&[parent(Some("x")), parent(Some("x"))]), Answer::No);
    assert_eq!(control(&[parent(Some("x")), parent(Some("y"))]), Answer::Unknown);
    assert_eq!(control(&[parent(Some("y")), parent(Some("x"))]), Answer::Unknown);
    assert_eq!(control(&[parent(Some("x")), parent(None)]), Answer::Unknown);
}

#[test]
fn a_list_of_declared_holders_that_misses_one_excludes_nobody() {
    let listed = || Party { declaration_threshold: Share::from_percent("5"), ..entity("s", "FR") };
    let register = stating(vec![listed(), person("a", "FR", "FR")], held("a", "60"), &[]);
    let readings = |claims: &[Holdings]| {
        let found = rule("secnumcloud-3.2", "19.6.b.shares", claims);
        found.readings.iter().map(|(_, answer)| *answer).collect::<Vec<_>>()
    };
    let more = |percent: &str| stating(vec![entity("x", "US")], held("x", percent), &[]);
    assert_eq!(readings(core::slice::from_ref(&register)), [Answer::Yes, Answer::Unknown]);
    assert_eq!(readings(&[register.clone(), more("4.9999999")]), [Answer::Yes, Answer::Unknown]);
    assert_eq!(readings(&[register.clone(), more("5")]), [Answer::Unknown, Answer::Unknown]);
    let both = stating(vec![listed(), person("a", "FR", "FR")], [held("a", "60"), held("x", "5")].concat(), &[]);
    assert_eq!(readings(&[both.clone(), more("5")]), [Answer::Yes, Answer::Unknown]);
    assert_eq!(readings(&[both, register]), [Answer::Unknown, Answer::Unknown]);
}

#[test]
fn what_a_party_is_and_where_must_be_said_alike() {
    let establishment = |claims: &[Holdings]| rule("secnumcloud-3.2", "19.6.a", claims).answer;
    let at = |code| stating(vec![entity("s", code)], vec![], &[]);
    assert_eq!(establishment(&[good()]), Answer::Yes);
    assert_eq!(establishment(&[at("US")]), Answer::No);
    for pair in [[good(), at("US")], [at("US"), good()], [good(), at("NO")]] {
        assert_eq!(establishment(&pair), Answer::Unknown);
    }
    let silent = Party { seat: None, ..entity("s", "FR") };
    assert_eq!(establishment(&[good(), stating(vec![silent], vec![], &[])]), Answer::Yes);
    let fund = Party { classification: Some(country("FR")), ..party("a", PartyKind::Fund) };
    assert_eq!(together(&[good(), stating(vec![fund], vec![], &[])]), Answer::Unknown, "a person or a fund");
}

#[test]
fn answers_end_with_the_first_of_what_they_rest_on() {
    let expires = |claims: &[Holdings]| verdict_of("secnumcloud-3.2", claims).expires;
    assert_eq!(expires(&[good(), Holdings { as_of: NOW - 3 * DAY, ..good() }]), Some(NOW + 28 * DAY));
    assert_eq!(expires(&[good(), Holdings { expires: NOW + 1, ..good() }]), Some(NOW + 1));
    assert_eq!(expires(&[good(), Holdings { expires: NOW, ..good() }]), Some(NOW + 30 * DAY), "left out");
    for change in [|one: &mut Interest| one.end = Some(NOW + 5), |one: &mut Interest| one.start = Some(NOW + 5)] {
        let mut claims = good();
        let mut interests = claims.interests.to_vec();
        interests.iter_mut().take(1).for_each(change);
        claims.interests = list(interests);
        assert_eq!(expires(&[claims]), Some(NOW + 5));
    }
    assert_eq!(expires(&[]), None);
}

#[test]
fn only_a_few_companies_whose_shares_do_not_add_up_are_named() {
    let ids: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    let twice = |id: &String| ["a", "b"].map(|holder| holding(id, holder, InterestKind::Shareholding, "60"));
    let claims = stating(ids.iter().map(|id| entity(id, "FR")).collect(), ids.iter().flat_map(twice).collect(), &[]);
    let residuals = verdict_of("secnumcloud-3.2", &[claims]).residuals;
    let named = residuals.iter().filter(|text| text.contains("add up to more or less")).count();
    assert_eq!(named, crate::budget::GRAPH_FINDINGS);
    assert!(residuals.contains(&"84 more do not add up".into()), "{residuals:?}");
}

#[test]
fn of_two_thresholds_the_higher_counts() {
    let at = |percent| {
        let listed = Party { declaration_threshold: Share::from_percent(percent), ..entity("s", "FR") };
        stating(vec![listed, person("a", "FR", "FR")], held("a", "60"), &[])
    };
    let by_rule = |claims: &[Holdings]| rule("secnumcloud-3.2", "19.6.b.shares", claims).readings[0].1;
    assert_eq!(by_rule(&[at("3"), at("5")]), Answer::Yes);
    for pair in [[at("3"), at("6")], [at("6"), at("3")]] {
        assert_eq!(by_rule(&pair), Answer::Unknown);
    }
}
