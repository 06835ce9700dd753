#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

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
        rule_set::{BUILT_IN, Levels},
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
    verdict_under(&RuleSet::built_in(set).unwrap().unwrap(), claims)
}

fn verdict_under(set: &RuleSet, claims: &[Holdings]) -> RuleSetVerdict {
    let statements: Vec<Signed<Holdings>> = claims.iter().map(signed).collect();
    let testimony: Vec<Testimony<'_>> =
        statements.iter().map(|holdings| Testimony { holdings, who: "the register" }).collect();
    evaluate(set, &testimony, "s", &Facts::default(), NOW).unwrap()
}

fn rule(set: &str, id: &str, claims: &[Holdings]) -> RuleVerdict {
    verdict_of(set, claims).rules.into_iter().find(|rule| rule.id == id).unwrap()
}

fn shares(claims: &Holdings) -> Answer {
    rule("secnumcloud-3.2", "19.6.b.shares", core::slice::from_ref(claims)).answer
}

mod answers;
mod chains;
mod fields;
mod sets;
mod several;
mod unknown;
