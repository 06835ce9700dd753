//! What must be unknown and never yes: the lines about owners.

use super::*;

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
    assert_eq!(shares(&straddling("20", "24")), Answer::Unknown, "70 % and 24 % are not the whole");
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
fn an_interval_of_all_together_that_straddles_39_percent_is_unknown() {
    let of = |hi: &str| {
        let mut claims = with_holder(entity("x", "US"));
        let behind = [entity("y", "US"), person("p", "US", "US"), person("q", "US", "US")];
        claims.parties = list([claims.parties.to_vec(), behind.to_vec()].concat());
        let bound =
            |one| Interest { exact: None, minimum: Share::from_percent("15"), maximum: Share::from_percent(hi), ..one };
        let own = [held("x", "0"), held("y", "0")].concat().into_iter().map(bound).collect::<Vec<_>>();
        let rest = held("a", "0").into_iter().map(|one| Interest { exact: None, ..one }).collect();
        let kinds = [InterestKind::Shareholding, InterestKind::VotingRights];
        let above = kinds.map(|kind| [holding("x", "p", kind, "100"), holding("y", "q", kind, "100")]).concat();
        claims.interests = list([own, rest, above].concat());
        shares(&claims)
    };
    assert_eq!(of("19.5"), Answer::Yes);
    assert_eq!(of("19.6"), Answer::Unknown);
}

#[test]
fn free_float_is_unknown_unless_the_union_s_first_threshold_or_a_lower_one_applies() {
    let readings = |percent: Option<&str>| {
        let threshold = percent.and_then(Share::from_percent);
        let listed = Party { declaration_threshold: threshold, ..entity("s", "FR") };
        let parties = list(vec![listed, person("a", "FR", "FR")]);
        let claims = Holdings { parties, interests: list(held("a", "61")), exclusions: list(vec![]), ..good() };
        let found = rule("secnumcloud-3.2", "19.6.b.shares", &[claims]);
        found.readings.iter().map(|(_, answer)| *answer).collect::<Vec<_>>()
    };
    let (yes, unknown) = (Answer::Yes, Answer::Unknown);
    assert_eq!(readings(None), [unknown, unknown]);
    assert_eq!(readings(Some("5")), [yes, yes], "39 % in the hands of many");
    assert_eq!(readings(Some("3")), [yes, yes]);
    assert_eq!(readings(Some("5.0000001")), [yes, yes]);
    assert_eq!(readings(Some("30")), [unknown, unknown]);
}

#[test]
fn every_overseas_territory_and_state_of_the_eea_alone_is_undecided_under_the_union() {
    let overseas = ["BL", "PM", "NC", "PF", "WF", "TF", "GL", "AW", "CW", "SX", "BQ"];
    for (set, eea) in [
        ("secnumcloud-3.2", Standing::Undecided),
        ("gaia-x-l3", Standing::Inside),
        ("csf-2026-06", Standing::Undecided),
    ] {
        let territory = RuleSet::built_in(set).unwrap().unwrap().territory;
        let standing = |code: &str| territory.standing(&country(code));
        for code in overseas.into_iter().chain([crate::owner::party::Country::NORTHERN_CYPRUS]) {
            assert_eq!(standing(code), Standing::Undecided, "{set} {code}");
        }
        for code in ["IS", "LI", "NO"] {
            assert_eq!(standing(code), eea, "{set} {code}");
        }
        for code in ["US", "CH", "GB", "RU", "FO", "SJ", "GI", "MC", "VA", "SM", "IM", "JE", "GG", "TR"] {
            assert_eq!(standing(code), Standing::Outside, "{set} {code}");
        }
        for code in ["DE", "FR", "CY", "AX", "RE", "GF", "MF", "IC", "EA", "PT-20", "PT-30"] {
            assert_eq!(standing(code), Standing::Inside, "{set} {code}");
        }
        for code in ["ES-CN", "FR-20R", "CP"] {
            assert_eq!(standing(code), Standing::Undecided, "{set} {code}");
        }
    }
}

#[test]
fn what_ended_after_the_statement_was_true_went_to_somebody() {
    let since = |start: Option<u64>, end: u64| {
        let mut claims = good();
        let any = held("a", "0").into_iter().map(|one| Interest { exact: None, ..one });
        let over = held("b", "40").into_iter().map(|one| Interest { start, end: Some(end), ..one });
        claims.interests = list(any.chain(over).collect());
        shares(&claims)
    };
    assert_eq!(since(None, NOW), Answer::Unknown);
    assert_eq!(since(Some(NOW - DAY + 1), NOW), Answer::Unknown, "begun after it, and over");
    assert_eq!(since(None, NOW - DAY), Answer::Yes, "over when it was said that a is all");
}

#[test]
fn a_machine_of_which_no_statement_that_counts_speaks_is_unknown() {
    for claims in [vec![], vec![Holdings { as_of: NOW - 31 * DAY, ..good() }]] {
        let verdict = verdict_of("secnumcloud-3.2", &claims);
        assert!(verdict.rules.iter().all(|rule| rule.answer == Answer::Unknown), "{verdict:#?}");
    }
    let set = RuleSet::built_in("secnumcloud-3.2").unwrap().unwrap();
    let holdings = signed(&good());
    let statements = [Testimony { holdings: &holdings, who: "the register" }];
    let stranger = evaluate(&set, &statements, "t", &Facts::default(), NOW).unwrap();
    assert!(stranger.rules.iter().all(|rule| rule.answer == Answer::Unknown));
}

#[test]
fn a_rule_set_that_does_not_come_with_this_release_has_no_name() {
    assert!(RuleSet::built_in("secnumcloud-3.3").is_none());
}

#[test]
fn a_natural_person_outside_is_unknown_where_the_text_speaks_of_entities() {
    let claims = with_holder(person("x", "US", "US"));
    let found = rule("secnumcloud-3.2", "19.6.b.shares", core::slice::from_ref(&claims));
    assert_eq!(found.answer, Answer::Unknown);
    let majority = list([held("a", "49"), held("x", "51")].concat());
    assert_eq!(rule("gaia-x-l3", "P5.1.5", &[Holdings { interests: majority, ..claims }]).answer, Answer::No);
}

#[test]
fn shares_of_a_listed_company_that_do_not_add_up_or_are_anybodys_are_unknown_in_both_readings() {
    let listed = Party { declaration_threshold: Share::from_percent("5"), ..entity("s", "FR") };
    let unknown = Interest { exact: None, ..holding("s", "u", InterestKind::UnknownInterest, "1") };
    for interests in [[held("a", "60"), held("b", "41")].concat(), [held("a", "60"), vec![unknown]].concat()] {
        let parties = list(vec![listed.clone(), person("a", "FR", "FR"), person("b", "DE", "FR")]);
        let claims = Holdings { parties, interests: list(interests), exclusions: list(vec![]), ..good() };
        let found = rule("secnumcloud-3.2", "19.6.b.shares", &[claims]);
        assert!(found.readings.iter().all(|(_, answer)| *answer == Answer::Unknown), "{found:?}");
    }
}
