//! The parts of a verdict that rest on a proven boot: where the machine is, and whose.
//!
//! Both need boot and closed to be yes. Otherwise software of the owner's choice may hold the session key, and lend it to
//! whoever stands where the owner likes.

use crate::{
    carried::Carried,
    engine::Engine,
    owner,
    place::{self, assess::Atlas},
    policy::Policy,
    verdict::{Answer, Assessed, PartVerdict, Verdict},
    verify::Verified,
};
use alloc::{format, string::String};

/// What is known of the node beside its answer.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Checks signatures.
    pub engine: &'a dyn Engine,
    /// The answer.
    pub verified: &'a Verified<'a>,
    /// Key ids of all certified EKs of the chip, the node id first.
    pub node_ids: &'a [[u8; 32]],
    /// What others say of it.
    pub carried: &'a Carried<'a>,
    /// Why what it carries itself is missing.
    pub fault: Option<&'a str>,
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
