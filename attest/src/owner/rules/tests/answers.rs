//! Yes and no, and what decided it.

use super::*;

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
fn an_ultimate_parent_outside_is_a_no_under_control() {
    let parents = list(vec![Parent { subject: "s".into(), parent: Some("x".into()), exception: None }]);
    let parties = list([good().parties.to_vec(), vec![entity("x", "US")]].concat());
    let found = rule("gaia-x-l3", "P5.1.5", &[Holdings { parents, parties, ..good() }]);
    assert_eq!(found.answer, Answer::No);
    assert!(!found.residuals.is_empty(), "its number is not checked");
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
fn all_outside_together_may_hold_39_percent_and_no_more() {
    let of = |y: &str, a: &str| {
        let mut claims = with_holder(entity("x", "US"));
        let person_behind = |subject: &str, who: &str| {
            [InterestKind::Shareholding, InterestKind::VotingRights].map(|kind| holding(subject, who, kind, "100"))
        };
        let behind = [entity("y", "US"), person("p", "US", "US"), person("q", "US", "US")];
        claims.parties = list([claims.parties.to_vec(), behind.to_vec()].concat());
        let own = [held("a", a), held("x", "20"), held("y", y)].concat();
        claims.interests = list([own, person_behind("x", "p").to_vec(), person_behind("y", "q").to_vec()].concat());
        shares(&claims)
    };
    assert_eq!(of("19", "61"), Answer::Yes);
    assert_eq!(of("19.0000001", "60.9999999"), Answer::No);
}

#[test]
fn more_than_24_percent_breaks_the_rule_and_at_least_24_does_not() {
    let of = |change: fn(&mut Interest)| {
        let mut claims = with_holder(entity("x", "US"));
        let mut own = held("x", "24");
        own.iter_mut().for_each(change);
        claims.interests = list(own);
        claims.exclusions = list(vec![]);
        shares(&claims)
    };
    assert_eq!(of(|_| ()), Answer::Unknown);
    assert_eq!(of(|one| (one.exact, one.minimum) = (None, one.exact)), Answer::Unknown);
    assert_eq!(of(|one| (one.exact, one.exclusive_minimum) = (None, one.exact)), Answer::No);
}

#[test]
fn either_of_capital_and_votes_breaks_the_rule() {
    for kind in [InterestKind::Shareholding, InterestKind::VotingRights] {
        let mut claims = with_holder(entity("x", "US"));
        let other =
            if kind == InterestKind::Shareholding { InterestKind::VotingRights } else { InterestKind::Shareholding };
        let own = vec![holding("s", "a", kind, "70"), holding("s", "x", kind, "30"), holding("s", "a", other, "100")];
        claims.interests = list(own);
        assert_eq!(shares(&claims), Answer::No, "{kind:?}");
    }
}

#[test]
fn whoever_appoints_the_board_of_a_holder_may_hold_what_it_holds() {
    let of = |nationality: &str| {
        let mut claims = with_holder(entity("i", "FR"));
        let kinds = [InterestKind::Shareholding, InterestKind::VotingRights];
        let above = kinds.map(|kind| holding("i", "b", kind, "100")).to_vec();
        let board = Interest { exact: None, ..holding("i", "x", InterestKind::AppointmentOfBoard, "1") };
        claims.parties = list([claims.parties.to_vec(), vec![entity("x", nationality)]].concat());
        claims.interests = list([claims.interests.to_vec(), above, vec![board]].concat());
        claims
    };
    assert_eq!(shares(&of("US")), Answer::Unknown);
    let mut known = of("FR");
    let kinds = [InterestKind::Shareholding, InterestKind::VotingRights];
    let above = kinds.map(|kind| holding("x", "b", kind, "100")).to_vec();
    known.interests = list([known.interests.to_vec(), above].concat());
    assert_eq!(shares(&known), Answer::Yes);
}

#[test]
fn a_right_of_a_company_that_is_held_from_outside_is_a_no() {
    for kind in [InterestKind::Veto, InterestKind::AppointmentOfBoard] {
        let mut claims = with_holder(entity("i", "FR"));
        let above =
            |percent| [InterestKind::Shareholding, InterestKind::VotingRights].map(|k| holding("i", "x", k, percent));
        let right = Interest { exact: None, ..holding("s", "i", kind, "1") };
        claims.parties = list([claims.parties.to_vec(), vec![entity("x", "US")]].concat());
        let own = claims.interests.to_vec();
        let of = |percent| {
            let interests = list([own.clone(), above(percent).to_vec(), vec![right.clone()]].concat());
            rule("secnumcloud-3.2", "19.6.b.rights", &[Holdings { interests, ..claims.clone() }]).answer
        };
        assert_eq!((of("51"), of("50")), (Answer::No, Answer::Unknown), "{kind:?}");
    }
}

#[test]
fn more_than_half_of_the_votes_is_control_and_half_of_them_is_not() {
    let of = |percent: &str, rest: &str| {
        let claims = with_holder(entity("x", "US"));
        let interests = list([held("a", rest), held("x", percent)].concat());
        rule("gaia-x-l3", "P5.1.5", &[Holdings { interests, ..claims }])
    };
    let found = of("50.0000001", "49.9999999");
    assert_eq!(found.answer, Answer::No);
    assert!(found.reasons[0].starts_with("X (x) holds 50.0000001 % of the votes"), "{found:?}");
    assert_eq!(of("50", "50").answer, Answer::Unknown);
    assert_eq!(of("0", "100").answer, Answer::Unknown, "influence has no number");
}

#[test]
fn an_opinion_answers_only_what_is_unknown_its_own_rule_and_where_the_rule_takes_one() {
    let opinion = |subject: &str, set: &str, id: &str, answer| {
        let [subject, rule_set, rule] = [subject, set, id].map(String::from);
        Opinion { subject, rule_set, rule, answer }
    };
    let (yes, no) = (OpinionAnswer::Yes, OpinionAnswer::No);
    let with = |opinions: Vec<Opinion>| Holdings { opinions: list(opinions), ..good() };
    let control = |claims: &[Holdings]| rule("gaia-x-l3", "P5.1.5", claims).answer;
    let own = |answer| opinion("s", "gaia-x-l3", "P5.1.5", answer);
    assert_eq!(control(&[with(vec![own(yes)])]), Answer::Yes);
    assert_eq!(control(&[with(vec![own(no)])]), Answer::No);
    assert_eq!(control(&[with(vec![own(yes)]), with(vec![own(no)])]), Answer::Unknown);
    assert_eq!(control(&[with(vec![own(yes)]), with(vec![own(yes)])]), Answer::Yes);
    for other in [
        opinion("a", "gaia-x-l3", "P5.1.5", yes),
        opinion("s", "secnumcloud-3.2", "P5.1.5", yes),
        opinion("s", "gaia-x-l3", "P5.1.6", yes),
    ] {
        assert_eq!(control(&[with(vec![other])]), Answer::Unknown);
    }
    let old = Holdings { as_of: NOW - 31 * DAY, ..with(vec![own(yes)]) };
    assert_eq!(control(&[good(), old]), Answer::Unknown);
    let parents = list(vec![Parent { subject: "s".into(), parent: Some("x".into()), exception: None }]);
    let parties = list([good().parties.to_vec(), vec![entity("x", "US")]].concat());
    assert_eq!(control(&[Holdings { parents, parties, ..with(vec![own(yes)]) }]), Answer::No, "what is computed stays");
    let on_shares = opinion("s", "secnumcloud-3.2", "19.6.b.shares", yes);
    let open = Holdings { interests: list(held("a", "60")), exclusions: list(vec![]), ..with(vec![on_shares]) };
    assert_eq!(shares(&open), Answer::Unknown, "a number is computed or unknown");
}

fn with_facts(set: &str, id: &str, facts: &Facts<'_>) -> Answer {
    let set = RuleSet::built_in(set).unwrap().unwrap();
    let holdings = signed(&good());
    let statements = [Testimony { holdings: &holdings, who: "the register" }];
    let verdict = evaluate(&set, &statements, "s", facts, NOW).unwrap();
    verdict.rules.into_iter().find(|rule| rule.id == id).unwrap().answer
}

#[test]
fn place_is_what_the_part_place_found_and_boot_authority_never_a_yes() {
    for answer in [Answer::Yes, Answer::No, Answer::Unknown] {
        let facts = Facts { place: Some((answer, "why")), boot_authority: Some((answer, "why")) };
        assert_eq!(with_facts("secnumcloud-3.2", "19.2.b", &facts), answer);
        let authority = if answer == Answer::No { Answer::No } else { Answer::Unknown };
        assert_eq!(with_facts("secnumcloud-3.2", "19.6.c", &facts), authority);
        assert_eq!(with_facts("csf-2026-06", "SOV-3.4", &facts), authority, "one machine is not all of a service");
    }
    for id in ["19.2.b", "19.6.c"] {
        assert_eq!(with_facts("secnumcloud-3.2", id, &Facts::default()), Answer::Unknown);
    }
}

#[test]
fn a_seal_is_reached_by_the_worst_rung_and_missed_by_the_best() {
    let control = |claims: &Holdings| rule("csf-2026-06", "SOV-1.1", core::slice::from_ref(claims)).answer;
    let of = |lo: &str, hi: &str| {
        let bound =
            |one| Interest { exact: None, minimum: Share::from_percent(lo), maximum: Share::from_percent(hi), ..one };
        let own = held("x", "0").into_iter().map(bound).collect();
        let rest = ["a", "b"].map(|id| {
            let open = |one| Interest { exact: None, ..one };
            held(id, "0").into_iter().map(open).collect::<Vec<_>>()
        });
        let interests = list([own, rest.concat()].concat());
        Holdings { interests, ..with_holder(entity("x", "US")) }
    };
    assert_eq!(control(&good()), Answer::Yes);
    assert_eq!(control(&of("0", "50")), Answer::Yes, "mostly within");
    assert_eq!(control(&of("0", "50.0000001")), Answer::Unknown);
    assert_eq!(control(&of("50", "60")), Answer::Unknown);
    assert_eq!(control(&of("50.0000001", "60")), Answer::No, "mostly outside");
    let (_, text) = BUILT_IN[2];
    let highest = RuleSet::parse(&text.replacen("minimum = 3", "minimum = 4", 1)).unwrap();
    let entirely = |claims: &[Holdings]| verdict_under(&highest, claims).answer_to(&["SOV-1.1"]);
    assert_eq!(entirely(&[good()]), Answer::Yes, "entirely within");
    assert_eq!(entirely(&[of("0", "1")]), Answer::Unknown);
    assert_eq!(entirely(&[of("0.0000001", "1")]), Answer::No);
    let own = held("x", "60").into_iter().map(|one| Interest { way: Way::Indirect, ..one }).collect();
    let mut torn = with_holder(entity("x", "US"));
    torn.interests = list([held("a", "60"), held("b", "40"), own].concat());
    assert_eq!(entirely(&[torn]), Answer::Unknown, "two persons hold all, and x holds 60 % through others");
    let listed = Party { declaration_threshold: Share::from_percent("5"), ..entity("s", "FR") };
    let parties = list(vec![listed, person("a", "FR", "FR")]);
    let float = Holdings { parties, interests: list(held("a", "40")), exclusions: list(vec![]), ..good() };
    assert_eq!(control(&float), Answer::Unknown, "60 % may be anybody's");
    let jurisdiction = |code: &str| {
        let parties = list(vec![entity("s", code)]);
        rule("csf-2026-06", "SOV-2.1", &[Holdings { parties, ..good() }]).answer
    };
    assert_eq!(["FR", "US", "NO"].map(jurisdiction), [Answer::Yes, Answer::No, Answer::Unknown]);
    let rungs = |minimum, answer: (usize, usize), rungs: &[u8]| {
        let levels = Levels { rungs: rungs.to_vec(), checked: Checked::Primary };
        seal(minimum, &levels, answer, "why").answer
    };
    assert_eq!(rungs(3, (0, usize::MAX), &[3, 4]), Answer::Yes, "any rung reaches it");
    assert_eq!(rungs(3, (0, usize::MAX), &[1, 2]), Answer::No, "no rung reaches it");
    assert_eq!(rungs(3, (0, usize::MAX), &[2, 3]), Answer::Unknown);
}

#[test]
fn shares_that_contradict_each_other_are_unknown_and_no_rung() {
    let mut claims = good();
    let own = held("x", "60").into_iter().map(|one| Interest { way: Way::Indirect, ..one }).collect();
    claims.parties = list([claims.parties.to_vec(), vec![entity("x", "US")]].concat());
    claims.interests = list([claims.interests.to_vec(), own].concat());
    assert_eq!(shares(&claims), Answer::Unknown, "nobody else holds any, and x holds 60 % through others");
    assert_eq!(rule("gaia-x-l3", "P5.1.5", &[claims]).answer, Answer::Unknown);
}

#[test]
fn an_answer_names_each_number_that_nobody_checked() {
    let control = rule("gaia-x-l3", "P5.1.5", &[good()]);
    assert_eq!(control.residuals, ["the number 50 %: not checked in the primary text"]);
    let days = "that facts count for 31 days: not checked in the primary text";
    assert!(verdict_of("gaia-x-l3", &[good()]).residuals.iter().any(|text| text == days));
    assert!(!verdict_of("secnumcloud-3.2", &[good()]).residuals.iter().any(|text| text == days));
    assert!(rule("secnumcloud-3.2", "19.6.b.shares", &[good()]).residuals.is_empty());
    let logs = rule("csf-2026-06", "SOV-7.4", &[good()]);
    assert_eq!(logs.residuals, ["the levels [0, 3, 4]: not checked in the primary text"]);
    let text = "percent = \"24\", checked = \"primary\"";
    let set = RuleSet::parse(&BUILT_IN[0].1.replace(text, &text.replace("primary", "not"))).unwrap();
    assert_eq!(set.rule[1].test.unchecked(), ["the number 24 %: not checked in the primary text"]);
}

#[test]
fn the_answer_to_some_rules_is_no_where_one_is_broken_and_yes_where_all_are_there_and_kept() {
    let verdict = verdict_of("secnumcloud-3.2", &[good()]);
    assert_eq!(verdict.answer_to(&["19.6.a"]), Answer::Yes);
    assert_eq!(verdict.answer_to(&["19.6.a", "19.6.d"]), Answer::Unknown);
    assert_eq!(verdict.answer_to(&["19.6.a", "no such rule"]), Answer::Unknown);
    assert_eq!(verdict.answer_to(&[]), Answer::Unknown);
    let parties = list(vec![entity("s", "US"), person("a", "FR", "FR"), person("b", "DE", "FR")]);
    let abroad = verdict_of("secnumcloud-3.2", &[Holdings { parties, ..good() }]);
    assert_eq!(abroad.answer_to(&["19.6.d", "19.6.a"]), Answer::No);
    assert_eq!(abroad.answer, Answer::No);
}
