//! Each field of a holdings statement: what changes where it says something else.

use super::*;

/// Another value of one field, and the answers to 19.6.a, 19.6.b.shares and 19.6.b.rights that it gives.
type Change = (&'static str, fn(&mut Holdings), [Answer; 3]);

const YES: Answer = Answer::Yes;
const NO: Answer = Answer::No;
const UNKNOWN: Answer = Answer::Unknown;

/// The good company, of which `a` holds what is left of four, and `b` holds through `i` too.
fn sample() -> Holdings {
    let kinds = [InterestKind::Shareholding, InterestKind::VotingRights];
    let mut claims = with_holder(entity("i", "FR"));
    let above = kinds.map(|kind| holding("i", "b", kind, "100")).to_vec();
    let of_i = kinds.map(|kind| Exclusion { subject: "i".into(), kind }).to_vec();
    let fund = Party { classification: Some(country("FR")), ..party("f", PartyKind::Fund) };
    claims.parties = list([claims.parties.to_vec(), vec![fund]].concat());
    let open = held("a", "0").into_iter().map(|one| Interest { exact: None, ..one }).collect();
    let own = [open, held("b", "10"), held("i", "30"), held("f", "30")].concat();
    claims.interests = list([own, above].concat());
    claims.exclusions = list([claims.exclusions.to_vec(), of_i].concat());
    claims
}

fn parties(claims: &mut Holdings, at: usize, change: impl Fn(&mut Party)) {
    let mut parties = claims.parties.to_vec();
    change(&mut parties[at]);
    claims.parties = list(parties);
}

/// Of capital and votes of `s`: 0 is a's, 1 b's, 2 i's, 3 f's.
fn interests(claims: &mut Holdings, at: usize, change: impl Fn(&mut Interest)) {
    let mut interests = claims.interests.to_vec();
    interests[2 * at..2 * at + 2].iter_mut().for_each(change);
    claims.interests = list(interests);
}

fn capital(claims: &mut Holdings, at: usize, change: impl Fn(&mut Interest)) {
    let mut interests = claims.interests.to_vec();
    change(&mut interests[2 * at]);
    claims.interests = list(interests);
}

fn percent(text: &str) -> Option<Share> {
    Share::from_percent(text)
}

const CHANGES: &[Change] = &[
    ("nothing", |_| (), [YES, YES, YES]),
    ("expires", |c| c.expires = NOW, [UNKNOWN; 3]),
    ("expires", |c| c.expires = NOW + 1, [YES; 3]),
    ("issued", |c| c.issued = NOW + 1, [UNKNOWN; 3]),
    ("issued", |c| c.issued = NOW, [YES; 3]),
    ("as_of", |c| c.as_of = NOW - 31 * DAY, [UNKNOWN; 3]),
    ("party.id", |c| parties(c, 0, |p| p.id = "t".into()), [UNKNOWN, YES, YES]),
    ("party.id", |c| parties(c, 1, |p| p.id = "t".into()), [YES, UNKNOWN, YES]),
    ("party.name", |c| parties(c, 1, |p| p.name = "T".into()), [YES; 3]),
    ("party.kind", |c| parties(c, 3, |p| *p = party("i", PartyKind::Nominee)), [YES, UNKNOWN, YES]),
    ("party.kind", |c| parties(c, 4, |p| p.kind = PartyKind::Trust), [YES; 3]),
    ("party.seat", |c| parties(c, 0, |p| p.seat = Some(country("US"))), [NO, YES, YES]),
    ("party.seat", |c| parties(c, 3, |p| p.seat = Some(country("US"))), [YES, NO, YES]),
    ("party.seat", |c| parties(c, 3, |p| p.seat = None), [YES, UNKNOWN, YES]),
    ("party.centre", |c| parties(c, 0, |p| p.central_administration = None), [UNKNOWN, YES, YES]),
    ("party.centre", |c| parties(c, 3, |p| p.central_administration = Some(country("US"))), [YES, NO, YES]),
    ("party.principal", |c| parties(c, 0, |p| p.principal_establishment = None), [UNKNOWN, YES, YES]),
    ("party.principal", |c| parties(c, 3, |p| p.principal_establishment = Some(country("US"))), [YES, NO, YES]),
    ("party.nationalities", |c| parties(c, 1, |p| p.nationalities = None), [YES, UNKNOWN, YES]),
    ("party.residence", |c| parties(c, 1, |p| p.residence = Some(country("US"))), [YES, UNKNOWN, YES]),
    ("party.classification", |c| parties(c, 4, |p| p.classification = None), [YES, UNKNOWN, YES]),
    ("party.classification", |c| parties(c, 4, |p| p.classification = Some(country("US"))), [YES, NO, YES]),
    ("party.threshold", |c| parties(c, 0, |p| p.declaration_threshold = percent("5")), [YES; 3]),
    ("interest.subject", |c| interests(c, 0, |i| i.subject = "i".into()), [YES, UNKNOWN, YES]),
    ("interest.holder", |c| interests(c, 0, |i| i.holder = "t".into()), [YES, UNKNOWN, YES]),
    ("interest.kind", |c| capital(c, 0, |i| i.kind = InterestKind::Veto), [YES, UNKNOWN, YES]),
    ("interest.kind", |c| capital(c, 2, |i| i.kind = InterestKind::UnknownInterest), [YES, UNKNOWN, UNKNOWN]),
    ("interest.way", |c| interests(c, 0, |i| i.way = Way::Indirect), [YES, UNKNOWN, YES]),
    ("interest.way", |c| interests(c, 0, |i| i.way = Way::Unknown), [YES, UNKNOWN, UNKNOWN]),
    ("interest.exact", |c| interests(c, 0, |i| i.exact = percent("31")), [YES, UNKNOWN, YES]),
    ("interest.exact", |c| interests(c, 0, |i| i.exact = percent("30")), [YES; 3]),
    ("interest.minimum", |c| interests(c, 0, |i| (i.exact, i.minimum) = (None, percent("31"))), [YES, UNKNOWN, YES]),
    ("interest.maximum", |c| interests(c, 0, |i| (i.exact, i.maximum) = (None, percent("29"))), [YES, UNKNOWN, YES]),
    (
        "interest.exclusive_minimum",
        |c| interests(c, 0, |i| (i.exact, i.exclusive_minimum) = (None, percent("30"))),
        [YES, UNKNOWN, YES],
    ),
    (
        "interest.exclusive_maximum",
        |c| interests(c, 0, |i| (i.exact, i.exclusive_maximum) = (None, percent("29"))),
        [YES, UNKNOWN, YES],
    ),
    ("interest.start", |c| interests(c, 0, |i| i.start = Some(NOW + 1)), [YES, UNKNOWN, YES]),
    ("interest.start", |c| interests(c, 0, |i| i.start = Some(NOW)), [YES; 3]),
    ("interest.end", |c| interests(c, 0, |i| i.end = Some(NOW)), [YES, UNKNOWN, UNKNOWN]),
    ("interest.end", |c| interests(c, 0, |i| i.end = Some(NOW + 1)), [YES; 3]),
    ("exclusions", |c| c.exclusions = list(vec![]), [YES, UNKNOWN, UNKNOWN]),
    ("exclusion.subject", |c| exclusion(c, 0, |e| e.subject = "t".into()), [YES, YES, UNKNOWN]),
    ("exclusion.subject", |c| exclusion(c, 2, |e| e.subject = "t".into()), [YES, UNKNOWN, YES]),
    ("exclusion.kind", |c| exclusion(c, 1, |e| e.kind = InterestKind::Nominee), [YES, YES, UNKNOWN]),
    ("exclusion.kind", |c| exclusion(c, 3, |e| e.kind = InterestKind::Nominee), [YES, UNKNOWN, YES]),
];

#[test]
fn each_field_decides() {
    for (field, change, expected) in CHANGES {
        let mut claims = sample();
        change(&mut claims);
        let verdict = verdict_of("secnumcloud-3.2", &[claims]);
        let found = ["19.6.a", "19.6.b.shares", "19.6.b.rights"].map(|id| verdict.answer_to(&[id]));
        assert_eq!(found, *expected, "{field}: {verdict:#?}");
    }
}

/// Of `s`: 0 vetoes, 1 boards, 2 capital, 3 votes.
fn exclusion(claims: &mut Holdings, at: usize, change: impl Fn(&mut Exclusion)) {
    let mut exclusions = claims.exclusions.to_vec();
    change(&mut exclusions[at]);
    claims.exclusions = list(exclusions);
}

/// `i` has 30 % of the company, and its direct shares are all inside; who consolidates it, or holds it through others, may
/// still have them.
#[test]
fn a_company_between_is_its_parents_and_theirs_who_hold_it_through_others() {
    let shares = |change: fn(&mut Holdings)| {
        let mut claims = sample();
        claims.parties = list([claims.parties.to_vec(), vec![entity("u", "US")]].concat());
        change(&mut claims);
        verdict_of("secnumcloud-3.2", &[claims]).answer_to(&["19.6.b.shares"])
    };
    assert_eq!(shares(|_| ()), YES);
    let consolidated = |claims: &mut Holdings| {
        claims.parents = list(vec![Parent { subject: "i".into(), parent: Some("u".into()), exception: None }]);
    };
    assert_ne!(shares(consolidated), YES);
    let through_others = |claims: &mut Holdings| {
        let indirect = Interest { way: Way::Indirect, ..holding("i", "u", InterestKind::Shareholding, "60") };
        claims.interests = list([claims.interests.to_vec(), vec![indirect]].concat());
    };
    assert_ne!(shares(through_others), YES);
}
