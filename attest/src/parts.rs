//! The parts of a verdict that rest on a proven boot: where the machine is, whose, and what it runs.
//!
//! All need boot and closed to be yes. Otherwise software of the owner's choice may hold the session key, and lend it to
//! whoever stands where the owner likes; and what it writes into the ledger is its own affair.

use crate::{
    carried::Carried,
    engine::Engine,
    owner,
    place::{self, assess::Atlas},
    policy::Policy,
    verdict::{Answer, Assessed, PartVerdict, Verdict},
    verify::Verified,
    workload::{self, SentLedger, Workload, policy::WorkloadPolicy},
};
use alloc::{format, string::String, vec::Vec};

/// What is known of the node beside its answer.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Checks signatures.
    pub engine: &'a dyn Engine,
    /// The answer.
    pub verified: &'a Verified<'a>,
    /// Key ids of all certified EKs of the chip.
    pub node_ids: &'a [[u8; 32]],
    /// What others say of it.
    pub carried: &'a Carried<'a>,
    /// Why what it carries itself is missing.
    pub fault: Option<&'a str>,
    /// The entries of its ledger, as it sent them.
    pub ledger: SentLedger<'a>,
    /// Seconds since 1970.
    pub now: u64,
}

/// Adds the parts for which the policy asks to a verdict on the boot.
pub fn add(verdict: &mut Verdict, policy: &Policy, atlas: Option<&Atlas>, evidence: &Evidence<'_>) {
    let premise = premise(verdict);
    let links = verdict.boot.links.clone();
    let mut touched = None;
    if let Some(asked) = policy.place() {
        let session_key = evidence.verified.identity().map(|identity| identity.session_key);
        let mut found = match (&premise, atlas, session_key) {
            (Err(why), _, _) => Assessed::unknown(why.clone()),
            (Ok(()), Some(atlas), Ok(session_key)) => {
                let Evidence { engine, node_ids, carried, now, .. } = *evidence;
                place::assess::assess(
                    asked,
                    atlas,
                    &place::assess::Evidence { engine, session_key, node_ids, carried, now },
                    &links,
                )
            }
            (Ok(()), None, _) => Assessed::unknown("no map was read"),
            (Ok(()), _, Err(fault)) => Assessed::unknown(format!("check boot identity: {fault}")),
        };
        found.part.reasons.extend(evidence.verified.claims().untrusted_location.map(|at| {
            format!(
                "the node says that it is at {}, {}: its own word, on which nothing rests",
                at.latitude, at.longitude
            )
        }));
        touched = (found.part.answer != Answer::Unknown).then(|| found.touched.clone());
        verdict.place = merge(verdict, found, evidence.fault);
    }
    if let Some(asked) = policy.owner() {
        let found = match &premise {
            Err(why) => Assessed::unknown(why.clone()),
            Ok(()) => {
                let Evidence { engine, verified, node_ids, carried, now, .. } = *evidence;
                let evidence = owner::assess::Evidence {
                    engine,
                    boot: verified.boot(),
                    node_ids,
                    ak_name: verified.ak().name().as_bytes(),
                    untrusted_chassis: verified.claims().untrusted_chassis_serial,
                    carried,
                    touched: touched.as_deref(),
                    now,
                };
                owner::assess::assess(asked, &evidence, &links)
            }
        };
        verdict.owner = merge(verdict, found, evidence.fault);
    }
}

/// Adds what the machine ran and runs. Without a policy that part is unknown, and shown all the same.
pub fn add_workload(verdict: &mut Verdict, asked: Option<&WorkloadPolicy>, evidence: &Evidence<'_>) {
    let Evidence { engine, verified, ledger, .. } = evidence;
    let identity = match verified.identity() {
        Ok(identity) => identity,
        Err(fault) => return verdict.workload = PartVerdict::unknown(format!("check boot identity: {fault}")),
    };
    let workload = Workload::replay(*engine, verified.commits(), ledger.entries);
    let later = verified.cached().map(|now| now.commit).filter(|now| *now != identity.commits);
    let later =
        later.map(|now| format!("the ledger is at commit {now} by now: a fresh quote would show what that says"));
    let fault = ledger.fault.map(|fault| format!("what the node sends of its ledger is missing: {fault}"));
    let missing: Vec<String> = fault.into_iter().chain(later).collect();
    let premise = premise(verdict);
    let premise = premise.as_ref().map(|()| verdict.boot.links.as_slice()).map_err(String::as_str);
    let found = workload::assess(asked, &workload::Evidence { workload: &workload, premise, missing: &missing });
    verdict.workload = merge(verdict, found, None);
}

fn premise(verdict: &Verdict) -> Result<(), String> {
    match (verdict.boot.answer, verdict.closed) {
        (Answer::Yes, Answer::Yes) => Ok(()),
        (Answer::Yes, _) => {
            Err("the image is not shown to be closed: software of its owner's choice may hold its keys".into())
        }
        (answer, _) => Err(format!("boot is {answer}: nothing is known of who holds its keys")),
    }
}

/// What the whole verdict has of a part; where that is unknown, its inputs end nothing.
fn merge(verdict: &mut Verdict, mut found: Assessed, fault: Option<&str>) -> PartVerdict {
    if found.part.answer == Answer::Unknown {
        found.part.reasons.extend(fault.map(|fault| format!("what the node carries is missing: {fault}")));
    }
    if found.part.answer != Answer::Unknown
        && let Some(expires) = found.expires
    {
        verdict.expires = Some(verdict.expires.map_or(expires, |known| known.min(expires)));
    }
    for what in found.residual_trust {
        if !verdict.residual_trust.contains(&what) {
            verdict.residual_trust.push(what);
        }
    }
    if found.geographic.is_some() {
        verdict.geographic = found.geographic;
    }
    found.part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        verdict::{Basis, Link, TrustVector},
        wire::Kind,
    };
    use alloc::{borrow::ToOwned, vec};

    fn part(answer: Answer) -> PartVerdict {
        let links = vec![Link { what: "here".to_owned(), basis: Basis::Silicon }];
        PartVerdict { answer, reasons: vec!["so".to_owned()], links }
    }

    fn verdict(boot: Answer, closed: Answer) -> Verdict {
        Verdict {
            boot: part(boot),
            place: PartVerdict::unknown(""),
            owner: PartVerdict::unknown(""),
            workload: PartVerdict::unknown(""),
            closed,
            channel: Kind::None,
            residual_trust: vec!["maker".to_owned()],
            expires: Some(100),
            policy_digest: None,
            geographic: None,
            vector: TrustVector::default(),
        }
    }

    fn found(answer: Answer, expires: Option<u64>) -> Assessed {
        let residual_trust = vec!["maker".to_owned(), "map".to_owned()];
        Assessed { part: part(answer), expires, residual_trust, geographic: None, touched: Vec::new() }
    }

    #[test]
    fn a_part_is_assessed_only_where_boot_and_closed_are_yes() {
        let answers = [Answer::Yes, Answer::No, Answer::Unknown];
        let all = answers.into_iter().flat_map(|boot| answers.map(|closed| (boot, closed)));
        let held: Vec<_> = all.filter(|(boot, closed)| premise(&verdict(*boot, *closed)).is_ok()).collect();
        assert_eq!(held, [(Answer::Yes, Answer::Yes)]);
    }

    #[test]
    fn a_verdict_ends_with_the_first_of_the_parts_that_are_known_and_names_what_is_trusted_once() {
        for (answer, expires, end) in [
            (Answer::Yes, Some(50), Some(50)),
            (Answer::No, Some(50), Some(50)),
            (Answer::Yes, Some(150), Some(100)),
            (Answer::Yes, None, Some(100)),
            (Answer::Unknown, Some(50), Some(100)),
        ] {
            let mut whole = verdict(Answer::Yes, Answer::Yes);
            let merged = merge(&mut whole, found(answer, expires), None);
            assert_eq!((merged.answer, whole.expires), (answer, end));
            assert_eq!(whole.residual_trust, ["maker", "map"]);
        }
        let mut endless = Verdict { expires: None, ..verdict(Answer::Yes, Answer::Yes) };
        merge(&mut endless, found(Answer::Yes, Some(50)), None);
        assert_eq!(endless.expires, Some(50));
    }

    #[test]
    fn an_unknown_part_says_that_what_the_node_carries_is_missing() {
        for (answer, reasons) in [(Answer::Unknown, 2), (Answer::Yes, 1)] {
            let merged = merge(&mut verdict(Answer::Yes, Answer::Yes), found(answer, None), Some("too long"));
            assert_eq!(merged.reasons.len(), reasons, "{merged:?}");
        }
    }
}
