//! Bounds through chains and circles of companies, and by groups under one holder.

use super::*;

const KINDS: [InterestKind; 2] = [InterestKind::Shareholding, InterestKind::VotingRights];

/// As many shares as votes of `subject`.
fn exactly(subject: &str, holder: &str, percent: &str) -> Vec<Interest> {
    KINDS.map(|kind| holding(subject, holder, kind, percent)).to_vec()
}

fn between(subject: &str, holder: &str, lo: &str, hi: &str) -> Vec<Interest> {
    let bounded =
        |one| Interest { exact: None, minimum: Share::from_percent(lo), maximum: Share::from_percent(hi), ..one };
    exactly(subject, holder, "0").into_iter().map(bounded).collect()
}

/// Holders of all of these are listed; `a` and `b` are French persons.
fn world(parties: &[Party], complete: &[&str], interests: &[Vec<Interest>]) -> Holdings {
    let of = |subject: &&str| KINDS.map(|kind| Exclusion { subject: (*subject).into(), kind });
    Holdings {
        parties: list([&good().parties[..], parties].concat()),
        interests: list(interests.concat()),
        exclusions: list(complete.iter().flat_map(of).collect()),
        ..good()
    }
}

fn company(id: &str) -> Party {
    entity(id, "FR")
}

fn foreign(id: &str) -> Party {
    entity(id, "US")
}

/// `s` in another country.
fn abroad(mut claims: Holdings) -> Holdings {
    let mut parties = claims.parties.to_vec();
    parties[0] = foreign("s");
    claims.parties = list(parties);
    claims
}

#[test]
fn who_may_hold_more_than_half_of_a_company_may_hold_what_it_holds() {
    let of = |hi: &str| {
        let above = [between("i", "x", "0", hi), between("i", "a", "0", "100")].concat();
        let own = [exactly("s", "a", "70"), exactly("s", "i", "30")].concat();
        shares(&world(&[company("i"), foreign("x")], &["s", "i"], &[own, above]))
    };
    assert_eq!((of("50"), of("50.0000001")), (Answer::Yes, Answer::Unknown));
}

#[test]
fn the_free_shares_go_where_they_break_the_rule() {
    let above = [exactly("i", "x", "40"), exactly("i", "a", "60")].concat();
    let of = |x: &str| {
        let own = [between("s", "i", "0", "100"), between("s", "x", "0", x), exactly("s", "a", "60")].concat();
        shares(&world(&[company("i"), foreign("x")], &["s", "i"], &[own, above.clone()]))
    };
    // 20 % of x, and 40 % of the other 20 %.
    assert_eq!((of("20"), of("13"), of("13.4")), (Answer::Unknown, Answer::Yes, Answer::Unknown));
}

#[test]
fn nobody_may_hold_more_than_the_others_leave() {
    let own = |a: &str| [exactly("s", "a", a), between("s", "x", "0", "30"), between("s", "b", "0", "30")].concat();
    let of = |a: &str| shares(&world(&[foreign("x")], &["s"], &[own(a)]));
    assert_eq!((of("76"), of("75")), (Answer::Yes, Answer::Unknown));
}

#[test]
fn one_may_stand_behind_all_of_whom_nothing_is_known() {
    let own = [exactly("s", "a", "62"), exactly("s", "u", "19"), exactly("s", "v", "19")].concat();
    let trust = |id| party(id, PartyKind::Trust);
    assert_eq!(shares(&world(&[], &["s"], core::slice::from_ref(&own))), Answer::Unknown, "never described");
    assert_eq!(shares(&world(&[trust("u"), trust("v")], &["s"], core::slice::from_ref(&own))), Answer::Unknown);
    let state = |id| party(id, PartyKind::State);
    assert_eq!(shares(&world(&[state("u"), state("v")], &["s"], &[own])), Answer::Yes, "two states are two");
}

#[test]
fn a_person_or_fund_that_somebody_holds_is_not_what_it_is_called() {
    let fund = Party { classification: Some(country("FR")), ..party("f", PartyKind::Fund) };
    let own = [exactly("s", "a", "70"), exactly("s", "f", "30")].concat();
    let of = |subject: &str| {
        shares(&world(&[fund.clone(), foreign("x")], &["s"], &[own.clone(), exactly(subject, "x", "1")]))
    };
    assert_eq!((of("a"), of("f")), (Answer::Unknown, Answer::Unknown));
    assert_eq!(shares(&world(core::slice::from_ref(&fund), &["s"], core::slice::from_ref(&own))), Answer::Yes);
}

#[test]
fn what_may_flow_into_a_circle_may_be_all_that_is_in_it() {
    let of = |hi: &str| {
        let circle = [exactly("j", "i", "100"), exactly("i", "j", "40")].concat();
        let inflow = [between("i", "x", "0", hi), between("i", "a", "0", "60")].concat();
        let own = [exactly("s", "a", "70"), exactly("s", "i", "30")].concat();
        shares(&world(&[company("i"), company("j"), foreign("x")], &["s", "i", "j"], &[own, circle, inflow]))
    };
    assert_eq!((of("0"), of("60")), (Answer::Yes, Answer::Unknown));
}

#[test]
fn a_circle_counts_what_each_of_it_holds_once() {
    let circle = [exactly("j", "i", "100"), exactly("i", "j", "100")].concat();
    let own = [exactly("s", "a", "80"), exactly("s", "i", "10"), exactly("s", "j", "10")].concat();
    let claims = world(&[foreign("i"), foreign("j")], &["s", "i", "j"], &[own, circle]);
    assert_eq!(shares(&claims), Answer::Yes, "20 % in one hand");
}

#[test]
fn a_group_under_one_holder_counts_in_full_where_it_is_controlled() {
    let parties = [company("i"), foreign("x"), foreign("y")];
    let of = |control: &str, rest: &str| {
        let above = [exactly("i", "x", control), exactly("i", "a", rest)].concat();
        let own = [exactly("s", "a", "60"), exactly("s", "i", "20"), exactly("s", "y", "20")].concat();
        shares(&world(&parties, &["s", "i"], &[own, above]))
    };
    assert_eq!(of("51", "49"), Answer::No, "20 % by control and 20 %");
    assert_eq!(of("50", "50"), Answer::Unknown, "30 %, and one may stand behind both");
}

#[test]
fn shares_that_a_company_has_in_itself_are_no_third_partys() {
    let circle = [exactly("i", "s", "100"), exactly("s", "i", "50"), exactly("s", "a", "50")].concat();
    let claims = abroad(world(&[company("i")], &["s", "i"], &[circle]));
    assert_eq!(shares(&claims), Answer::Unknown);
}

#[test]
fn what_somebody_inside_holds_through_others_breaks_nothing() {
    let through = exactly("s", "a", "60").into_iter().map(|one| Interest { way: Way::Indirect, ..one }).collect();
    let own = [exactly("s", "i", "60"), exactly("s", "b", "40"), exactly("i", "a", "100")].concat();
    assert_eq!(shares(&world(&[company("i")], &["s", "i"], &[own, through])), Answer::Yes);
}

#[test]
fn what_is_stated_to_be_held_of_a_company_between_through_others_counts() {
    let through = |who: &str, percent: &str| {
        let own = exactly("i", who, percent).into_iter();
        own.map(|one| Interest { way: Way::Indirect, ..one }).collect::<Vec<_>>()
    };
    let of = |who: &str, percent: &str| {
        let own = [exactly("s", "b", "70"), exactly("s", "i", "30"), exactly("i", "a", "100")].concat();
        shares(&world(&[company("i"), foreign("x")], &["s", "i"], &[own, through(who, percent)]))
    };
    assert_eq!((of("x", "51"), of("x", "50"), of("b", "51")), (Answer::Unknown, Answer::Yes, Answer::Yes));
}

#[test]
fn a_parent_outside_consolidates_whatever_is_stated_of_the_shares() {
    let own = [exactly("s", "b", "70"), exactly("s", "i", "30"), exactly("i", "a", "100"), exactly("y", "a", "100")];
    let claims = world(&[company("i"), company("y"), foreign("x")], &["s", "i", "y"], &own);
    let with = |subject: &str, parent: &str| {
        let parent = Parent { subject: subject.into(), parent: Some(parent.into()), exception: None };
        rule("secnumcloud-3.2", "19.6.b.shares", &[Holdings { parents: list(vec![parent]), ..claims.clone() }])
    };
    for subject in ["s", "i"] {
        assert_eq!(with(subject, "x").answer, Answer::Unknown, "{subject}");
        assert_eq!(with(subject, "y").answer, Answer::Yes, "{subject}");
    }
    assert!(with("s", "x").reasons.contains(&"X (x) consolidates it in the end".into()));
}
