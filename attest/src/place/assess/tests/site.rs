//! What a landmark in the building and an auditor raise, and what they do not.

use super::*;

#[test]
fn a_landmark_in_the_building_and_its_auditor_raise_what_is_open_to_the_auditors_word() {
    let assessed = Case::in_strasbourg(99).assessed();
    assert_eq!(assessed.part.to_string(), "yes (testimony: Auditor)");
    assert!(assessed.part.links.last().unwrap().what.contains("Example Street 1, Strasbourg"));
    assert!(assessed.part.reasons[0].contains("STR 1 in FR: Auditor looked at it") && assessed.part.reasons.len() == 2);
    assert!(assessed.residual_trust.iter().any(|one| one.contains("landmark of site \"STR 1\": that it still stands")));
    assert_eq!(assessed.expires, Some(NOW + 300), "the site's end");
    let mut alone = Case::in_strasbourg(99);
    alone.statements.drain(..6);
    assert_eq!(alone.said().0, "yes (testimony: Auditor)", "no other landmark is needed");
    assert_eq!(Case::in_strasbourg(100).answer(), Answer::Unknown, "100 µs are not under 100 µs");
}

#[test]
fn unknown_where_a_site_statement_is_old_or_not_an_auditors_or_not_of_this_machine_or_not_there() {
    let udeg = |site: &mut Site, lat: i64, lon: i64| (site.latitude_udeg, site.longitude_udeg) = (lat, lon);
    type Change = fn(&mut Site);
    let changes: [(u8, Change, &str); 9] = [
        (AUDITOR, |site| site.expires = NOW, "ended at"),
        (AUDITOR, |site| (site.issued, site.not_before) = (NOW + 1, NOW + 1), "counts only from"),
        (AUDITOR + 5, |_| (), "site statement does not count"),
        (AUDITOR, |site| site.anchor = Some(Bytes32::new([3; 32])), "not shown to be in this building"),
        (AUDITOR, |site| site.node_id = Some(Bytes32::new([3; 32])), "for another node"),
        (AUDITOR, |site| (site.anchor, site.node_id) = (None, Some(Bytes32::new(NODE))), "names no landmark"),
        (AUDITOR, |site| site.country = "CH".into(), "country and its coordinates"),
        (AUDITOR, |site| (site.latitude_udeg, site.longitude_udeg) = (47_376_900, 8_541_700), "country and its"),
        (AUDITOR, |site| site.chassis = Some("S1".into()), "chassis"),
    ];
    for (seed, change, expected) in changes {
        let mut case = Case::in_strasbourg(99);
        case.statements.pop();
        let (answer, reasons) = case.with(site(seed, change)).said();
        assert_eq!(answer, "unknown", "{expected}");
        assert!(reasons.contains(expected), "{expected}: {reasons}");
    }
    let mut case = Case::in_strasbourg(99);
    case.statements.pop();
    let lisbon = site(AUDITOR, |site| {
        site.country = "PT".into();
        udeg(site, 38_722_300, -9_139_300);
    });
    let (answer, reasons) = case.with(lisbon).said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("the machine is not there"), "{reasons}");
}

/// Light goes 15 km and back in 100 µs, and a machine in Basel answers a landmark in Saint-Louis.
#[test]
fn a_landmark_in_the_building_says_nothing_of_a_machine_over_the_border_that_is_as_near_to_it() {
    let around = [(1, "North", 48.0, 7.85), (2, "South", 48.57, 7.75), (3, "West", 47.75, 7.34)];
    let case = Case::measured(1_500, 90_000).under("territory = \"EU\"\nmay_lie = 1", &around);
    let at = |lat: i64, lon: i64, radius_m: u64, node: Option<[u8; 32]>, anchor_us: u64| {
        let mut statements = case.statements[..3].to_vec();
        statements.push(round(IN_THE_BUILDING, anchor_us, |_| ()));
        statements.push(site(AUDITOR, move |site| {
            (site.latitude_udeg, site.longitude_udeg, site.radius_m) = (lat, lon, radius_m);
            site.node_id = node.map(Bytes32::new);
        }));
        Case { statements, policy: case.policy.clone() }
    };
    let (answer, reasons) = at(47_590_000, 7_560_000, 200, None, 40).said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("there is other land, and the auditor does not name this node"), "{reasons}");
    assert_eq!(at(47_590_000, 7_560_000, 200, Some(NODE), 99).answer(), Answer::Yes, "the auditor saw this one");
    assert_eq!(at(47_750_000, 7_340_000, 200, None, 40).answer(), Answer::Yes, "Mulhouse, 6 km around it");
    assert_eq!(at(47_750_000, 7_340_000, 18_000, None, 40).answer(), Answer::Unknown, "a site of 18 km");
    let far = || at(47_750_000, 7_340_000, 10_000, None, 99);
    assert_eq!(far().answer(), Answer::Unknown, "the same as far as light goes in 99 µs");
    assert_eq!(far().with(round(IN_THE_BUILDING, 40, |_| ())).answer(), Answer::Yes, "its shortest word counts");
    assert_eq!(far().with(round(IN_THE_BUILDING + 1, 40, |_| ())).answer(), Answer::Unknown, "not another landmark's");
    let area =
        "geojson = '{\"type\":\"Polygon\",\"coordinates\":[[[7.2,47.6],[7.5,47.6],[7.5,47.9],[7.2,47.9],[7.2,47.6]]]}'";
    for (anchor_us, expected) in [(10, Answer::Yes), (99, Answer::Unknown)] {
        let case = at(47_750_000, 7_350_000, 200, None, anchor_us).under(&format!("{area}\nmay_lie = 1"), &around);
        assert_eq!(case.answer(), expected, "{anchor_us} µs");
    }
    let edge = at(47_750_000, 7_480_000, 200, Some(NODE), 10).under(&format!("{area}\nmay_lie = 1"), &around);
    assert_eq!(edge.answer(), Answer::Unknown, "nobody's word says on which side of a line of the policy's own");
}

#[test]
fn a_landmark_in_the_building_counts_only_with_its_own_fresh_word_on_this_session_key() {
    type Change = fn(&mut Round);
    let changes: [Change; 4] = [
        |one| one.session_key = Bytes32::new([1; 32]),
        |one| one.time = NOW - landmark::LIFE_S,
        |one| one.time = NOW + landmark::AHEAD_S + 1,
        |one| one.rounds = landmark::ROUNDS_LEAST - 1,
    ];
    for change in changes {
        let case = Case::in_strasbourg(99).without(6).with(round(IN_THE_BUILDING, 99, change));
        assert_eq!(case.answer(), Answer::Unknown);
    }
    let forged = round(AUDITOR + 5, 99, |one| one.landmark = Bytes32::new(public(IN_THE_BUILDING)));
    assert_eq!(Case::in_strasbourg(99).without(6).with(forged).answer(), Answer::Unknown, "who signs for another");
    assert_eq!(Case::in_strasbourg(99).without(6).answer(), Answer::Unknown, "no word at all");
    let twice = Case::in_strasbourg(99).with(round(IN_THE_BUILDING, 500, |_| ()));
    assert_eq!(twice.answer(), Answer::Yes, "a slower answer takes nothing away");
}

/// The prover's own landmark says what the prover likes, wherever its auditor saw it.
#[test]
fn a_landmark_of_the_provers_own_group_raises_nothing() {
    let own = [&LANDMARKS[..], &[(IN_THE_BUILDING, "East", 48.57, 7.75)]].concat();
    let head = "territory = \"EU\"\nmay_lie = 1";
    assert_eq!(Case::in_strasbourg(99).under(head, &own).answer(), Answer::Yes, "one that the policy knows");
    let head = format!("{head}\nown_group = [\"East\"]");
    let (answer, reasons) = Case::in_strasbourg(99).under(&head, &own).said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("of the prover's own group"), "{reasons}");
}

#[test]
fn more_site_statements_than_are_weighed_raise_nothing() {
    let sites = |count: u64| {
        let mut case = Case::in_strasbourg(99);
        case.statements.extend((1..count).map(|number| site(AUDITOR, |site| site.expires = NOW + 300 + number)));
        case
    };
    assert_eq!(sites(16).answer(), Answer::Yes);
    let (answer, reasons) = sites(17).said();
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("17 site statements"), "{reasons}");
}

#[test]
fn a_site_beside_the_policys_own_area_raises_nothing() {
    let square = |west: f64, east: f64| {
        let ring = format!("[[{west},46],[{east},46],[{east},54],[{west},54],[{west},46]]");
        format!("geojson = '{{\"type\":\"Polygon\",\"coordinates\":[{ring}]}}'\nmay_lie = 1")
    };
    for (head, expected) in [(square(5.0, 9.0), Answer::Yes), (square(8.0, 15.0), Answer::Unknown)] {
        let case = Case::in_strasbourg(99);
        let policy = Policy::parse(policy(&head, &LANDMARKS).as_bytes(), &RustEngine).unwrap();
        let place = policy.place().unwrap();
        let carried = Carried::sort(case.statements.iter().map(Vec::as_slice));
        let evidence = Evidence { engine: &RustEngine, session_key: F, node_ids: &[NODE], carried: &carried, now: NOW };
        assert_eq!(assess(place, &Atlas::new(place).unwrap(), &evidence, &[]).part.answer, expected, "{head}");
    }
}

/// Holders of northern Cyprus' places say CY, and the map says neither inside nor outside.
#[test]
fn unknown_for_a_site_in_northern_cyprus() {
    let around = [(1, "North", 35.2, 33.4), (2, "South", 35.1, 33.3), (3, "West", 34.9, 33.6)];
    let case = Case::measured(2_000, 90_000).under("territory = \"EU\"\nmay_lie = 1", &around);
    let mut case = Case { statements: case.statements[..3].to_vec(), ..case };
    case.statements.push(round(IN_THE_BUILDING, 99, |_| ()));
    let at = |lat: i64, lon: i64| {
        site(AUDITOR, move |site| {
            (site.country, site.latitude_udeg, site.longitude_udeg) = ("CY".into(), lat, lon);
        })
    };
    case.statements.push(at(35_340_000, 33_320_000));
    assert_eq!(case.answer(), Answer::Unknown, "Kyrenia");
    case.statements.pop();
    case.statements.push(at(34_775_000, 32_420_000));
    assert_eq!(case.answer(), Answer::Yes, "Paphos");
}

/// A site that lies in France by its auditor's word, and partly by the map; the machine is in Lucerne.
#[test]
fn an_auditor_raises_no_no() {
    let around = [(1, "North", 47.05, 8.31), (2, "South", 47.06, 8.30), (3, "West", 47.04, 8.32)];
    let case = Case::measured(100, 90_000).under("territory = \"EU\"\nmay_lie = 1", &around);
    let mut case = Case { statements: case.statements[..3].to_vec(), ..case };
    assert_eq!(case.answer(), Answer::No);
    case.statements.push(round(IN_THE_BUILDING, 99, |_| ()));
    case.statements.push(site(AUDITOR, |site| {
        (site.latitude_udeg, site.longitude_udeg, site.radius_m) = (47_200_000, 7_900_000, 50_000);
        site.node_id = Some(Bytes32::new(NODE));
    }));
    assert_eq!(case.answer(), Answer::No);
}

/// Three landmarks, each with a machine of its own close by; the site lies between two of them.
#[test]
fn an_auditor_raises_no_alarm() {
    let mut case = Case::measured(100, 90_000);
    assert!(case.said().1.contains("alarm: the landmarks' answers contradict"));
    case.statements.push(round(IN_THE_BUILDING, 99, |_| ()));
    case.statements.push(site(AUDITOR, |site| {
        site.country = "DE".into();
        (site.latitude_udeg, site.longitude_udeg, site.radius_m) = (51_200_000, 13_050_000, 50_000);
    }));
    assert_eq!(case.answer(), Answer::Unknown);
}
