//! The part `owner` of a verdict: who holds the machine by the vouchers and mandates at hand, who that is to the policy, and
//! what its rules say of that person.
//!
//! All of it is testimony, and tied to this machine by the chip's id and the quote's attestation key. What testimony does
//! not show is in the residual trust: sales that nobody wrote down, and influence without a share.

use super::{
    boot_authority::{self, Authorities},
    custody::{self, Chassis, Custody, Held},
    graph::Testimony,
    holdings::Holdings,
    party,
    policy::OwnerPolicy,
    rule_set::RuleSet,
    rules::{self, RuleVerdict},
    seal_certificate::Standing as SealStanding,
};
use crate::{
    carried::{Carried, Kind},
    cbor::{self, Bytes32, Tag},
    certificate::hex,
    engine::{Engine, PublicKey},
    measured::MeasuredBoot,
    place::policy::NamedKey,
    roots::RootKind,
    statement::{self, Signed},
    tlog::{ClaimedProof, Logged},
    verdict::{Answer, Assessed, Basis, Link, PartVerdict},
};
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use garant_hw::hash::Hash;

/// Of which machine and what was brought.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Checks signatures.
    pub engine: &'a dyn Engine,
    /// The quoted boot, for the keys that authorised it.
    pub boot: &'a MeasuredBoot<'a>,
    /// Key ids of all certified EKs of the chip.
    pub node_ids: &'a [[u8; 32]],
    /// Name of the attestation key that quoted.
    pub ak_name: &'a [u8],
    /// The chassis' serial number, as SMBIOS says.
    pub untrusted_chassis: Option<&'a str>,
    /// Vouchers, mandates, holdings and proofs of logs are taken from here.
    pub carried: &'a Carried<'a>,
    /// Lands on which the machine can be, where its place was assessed and is more than unknown.
    pub touched: Option<&'a [String]>,
    /// Seconds since 1970.
    pub now: u64,
}

/// The part `owner`, with the links that led to the chip before its own.
pub fn assess(policy: &OwnerPolicy, evidence: &Evidence<'_>, links: &[Link]) -> Assessed {
    let mut case = Case::new(policy, evidence, links);
    let custody = case.custody();
    let (answer, alarm) = (custody.answer(), if custody.is_alarm() { "alarm: " } else { "" });
    match custody {
        Custody::NotHeld(fault) => {
            case.find(answer, format!("custody: {alarm}{fault}"));
            if answer == Answer::No {
                case.link(
                    "custody is refused".to_owned(),
                    Basis::Testimony("those who signed its vouchers".to_owned()),
                );
            }
        }
        Custody::Held(held) => {
            case.held(&held);
            case.logged(&held);
            if let Some(party) = case.person(&held) {
                policy.rules().iter().for_each(|(set, asked)| case.rules(set, asked.as_deref(), &party));
            }
        }
    }
    case.authorities();
    case.assessed
}

struct Case<'c> {
    policy: &'c OwnerPolicy,
    evidence: &'c Evidence<'c>,
    authorities: Option<Authorities>,
    assessed: Assessed,
}

impl<'c> Case<'c> {
    fn new(policy: &'c OwnerPolicy, evidence: &'c Evidence<'c>, links: &[Link]) -> Case<'c> {
        let part = PartVerdict { answer: Answer::Yes, reasons: Vec::new(), links: links.to_vec() };
        let residual_trust = RESIDUAL_TRUST.map(ToOwned::to_owned).to_vec();
        let banks = evidence.boot.pcrs().banks().iter().map(|bank| bank.hash()).filter(|hash| *hash != Hash::Sha1);
        let mut listed = banks.filter_map(|hash| boot_authority::list(evidence.engine, evidence.boot, hash));
        let authorities = listed.next();
        let assessed = Assessed { part, expires: None, residual_trust, geographic: None, touched: Vec::new() };
        Case { policy, evidence, authorities, assessed }
    }

    /// No beats unknown, and unknown yes; reasons of a no come first.
    fn find(&mut self, answer: Answer, reason: String) {
        let part = &mut self.assessed.part;
        match answer {
            Answer::No if part.answer != Answer::No => part.reasons.insert(0, reason),
            _ => part.reasons.push(reason),
        }
        part.answer = match (part.answer, answer) {
            (Answer::No, _) | (_, Answer::No) => Answer::No,
            (Answer::Yes, Answer::Yes) => Answer::Yes,
            _ => Answer::Unknown,
        };
    }

    fn link(&mut self, what: String, basis: Basis) {
        self.assessed.part.links.push(Link { what, basis });
    }

    fn limit(&mut self, time: u64) {
        self.assessed.expires = Some(self.assessed.expires.map_or(time, |expires| expires.min(time)));
    }

    fn trust(&mut self, what: String) {
        if !self.assessed.residual_trust.contains(&what) {
            self.assessed.residual_trust.push(what);
        }
    }

    fn custody(&self) -> Custody {
        let (policy, evidence) = (self.policy, self.evidence);
        let makers: Vec<PublicKey> = policy.makers().iter().map(|maker| maker.key.0.clone()).collect();
        let revoked = policy.revoked();
        let trust = custody::Trust { makers: &makers, revoked: &revoked, seal_roots: policy.seal_roots() };
        let subject = custody::Subject {
            node_ids: evidence.node_ids,
            ak_name: evidence.ak_name,
            chassis: evidence.untrusted_chassis.map_or(Chassis::Silent, Chassis::Untrusted),
        };
        let of = |kind| evidence.carried.of(kind);
        custody::judge(evidence.engine, &of(Kind::Voucher), &of(Kind::Mandate), &subject, &trust, evidence.now)
    }

    fn held(&mut self, held: &Held) {
        let maker = name_of(self.evidence.engine, self.policy.makers(), held.maker);
        let owners = held.links.len();
        self.link(
            match owners {
                1 => format!("custody: {maker} handed it to the owner"),
                _ => format!("custody: from {maker} by {owners} transfers to the owner"),
            },
            Basis::Testimony(maker),
        );
        let owner = match &held.seal {
            Some(seal) => seal.to_string(),
            None => format!("key {}", hex(&held.owner.id)),
        };
        self.find(Answer::Yes, format!("custody: held by {owner}"));
        let is_test = held
            .seal
            .as_ref()
            .is_some_and(|seal| matches!(seal.standing, SealStanding::Qualified { kind: RootKind::Test, .. }));
        if held.seal.is_some() {
            self.trust("that no issuer revoked a seal certificate: no revocation list is asked".to_owned());
        }
        let basis = if is_test { Basis::Test } else { Basis::Testimony(owner) };
        self.link("the owner's mandate for this node and attestation key".to_owned(), basis);
        self.limit(held.expires);
    }

    /// Whether the head of custody stands in a log that witnesses saw, where the policy asks for that.
    fn logged(&mut self, held: &Held) {
        let Some(trust) = self.policy.log() else {
            return self
                .trust("former owners: one who hides a newer voucher is not found out without a log".to_owned());
        };
        // The log names the machine by the id of one of its endorsement keys, as the voucher does.
        let leaves: Vec<Vec<u8>> =
            self.evidence.node_ids.iter().filter_map(|node_id| custody_leaf(*node_id, held.head).ok()).collect();
        let texts = self.evidence.carried.of(Kind::LogProof);
        let texts = texts.into_iter().filter_map(|bytes| core::str::from_utf8(bytes).ok());
        let mut fault = "no proof of a log was brought".to_owned();
        let mut logged: Option<Logged> = None;
        let proofs: Vec<ClaimedProof<'_>> = texts.filter_map(|text| ClaimedProof::parse(text).ok()).collect();
        for (proof, leaf) in proofs.iter().flat_map(|proof| leaves.iter().map(move |leaf| (proof, leaf))) {
            match proof.verify(self.evidence.engine, leaf, trust) {
                Ok(found) if found.time > self.evidence.now => {
                    fault = format!("its witnesses signed at {} (seconds since 1970), which is to come", found.time);
                }
                Ok(found) => logged = Some(found),
                Err(error) => fault = error.to_string(),
            }
        }
        match logged {
            Some(logged) => {
                let who = logged.witnesses.join(", ");
                let what = format!("head of custody is entry {} of log {}", logged.index, logged.origin);
                self.link(what, Basis::Testimony(format!("witnesses {who}")));
                self.trust(format!(
                    "whoever watches log {} for a newer voucher of this machine: an entry does not show that none follows",
                    logged.origin
                ));
            }
            None => self.find(Answer::Unknown, format!("custody: its head is not shown to stand in a log: {fault}")),
        }
    }

    /// Who the owner is to the policy.
    fn person(&mut self, held: &Held) -> Option<String> {
        let identifier = held.seal.as_ref().and_then(|seal| match seal.standing {
            SealStanding::Qualified { .. } => Some(seal.identifier.as_str()),
            _ => None,
        });
        let is_owner = |person: &&super::policy::Person| {
            person.key.as_ref().is_some_and(|key| key.0 == held.owner.key)
                || (person.organization.is_some() && person.organization.as_deref() == identifier)
        };
        let party = self.policy.persons().iter().find(is_owner).map(|person| person.party.clone());
        if party.is_none() {
            self.find(Answer::Unknown, "the policy does not know the owner's key: it names no such person".to_owned());
        }
        party
    }

    fn rules(&mut self, set: &RuleSet, asked: Option<&[String]>, party: &str) {
        let opened = self.holdings();
        let statements: Vec<Testimony<'_>> = opened.iter().map(|(holdings, who)| Testimony { holdings, who }).collect();
        let place = self.place(&set.territory);
        let known = self.policy.authorities();
        let authority = self.authorities.as_ref().map(|list| list.judge(&known, &set.territory));
        let facts = rules::Facts {
            place: place.as_ref().map(|(answer, why)| (*answer, *why)),
            boot_authority: authority.as_ref().map(|(answer, why)| (*answer, why.as_str())),
        };
        let found = match rules::evaluate(set, &statements, party, &facts, self.evidence.now) {
            Ok(found) => found,
            Err(error) => return self.find(Answer::Unknown, format!("{}: {error}", set.id)),
        };
        let is_asked = |rule: &&RuleVerdict| asked.is_none_or(|asked| asked.contains(&rule.id));
        let rules: Vec<&RuleVerdict> = found.rules.iter().filter(is_asked).collect();
        let order =
            |rule: &&RuleVerdict| [Answer::No, Answer::Unknown, Answer::Yes].iter().position(|a| *a == rule.answer);
        let mut sorted = rules.clone();
        sorted.sort_by_key(order);
        for rule in sorted {
            self.find(rule.answer, words(&found.id, rule));
            rule.residuals.iter().for_each(|residual| self.trust(format!("{} {}: {residual}", found.id, rule.id)));
        }
        found.residuals.iter().for_each(|residual| self.trust(residual.clone()));
        self.trust(format!("rule set {}, version {}", found.id, found.version));
        for who in &found.testimony {
            self.link(format!("holdings, for {}", found.id), Basis::Testimony(who.clone()));
        }
        found.expires.into_iter().for_each(|time| self.limit(time));
    }

    /// Statements about holdings that a witness of the policy signed, with the witness' name.
    fn holdings(&mut self) -> Vec<(Signed<Holdings>, String)> {
        let keys: Vec<PublicKey> = self.policy.witnesses().iter().map(|witness| witness.key.0.clone()).collect();
        let mut opened = Vec::new();
        for bytes in self.evidence.carried.of(Kind::Holdings) {
            match statement::open::<Holdings>(self.evidence.engine, bytes, &keys) {
                Ok(signed) => {
                    let who = name_of(self.evidence.engine, self.policy.witnesses(), signed.signer());
                    opened.push((signed, who));
                }
                Err(error) => self.trust(format!("a holdings statement is left out: {error}")),
            }
        }
        opened
    }

    /// The place as a rule's own territory sees it: by all lands on which the machine can be.
    fn place(&self, territory: &party::Territory) -> Option<(Answer, &'static str)> {
        let touched = self.evidence.touched?;
        let standings: Vec<party::Standing> = touched
            .iter()
            .map(|code| code.parse().map_or(party::Standing::Unstated, |c| territory.standing(&c)))
            .collect();
        let all = |standing| !standings.is_empty() && standings.iter().all(|found| *found == standing);
        Some(match () {
            () if all(party::Standing::Inside) => (Answer::Yes, "all land on which the machine can be is inside"),
            () if all(party::Standing::Outside) => (Answer::No, "all land on which the machine can be is outside"),
            () => (Answer::Unknown, "the machine can be on land inside and outside"),
        })
    }

    /// Who can say what boots is control over the machine, and is said whatever the answer is.
    fn authorities(&mut self) {
        let known = self.policy.authorities();
        let Some(found) = &self.authorities else {
            return self.trust("who holds the keys that authorise what boots: the log does not show it".to_owned());
        };
        let country =
            |sha256: &[u8; 32]| known.iter().find(|(own, _)| own == sha256).map(|(_, country)| country.code());
        let mut lines: Vec<String> = found
            .list
            .iter()
            .map(|one| {
                format!("boot authority: {one}, {}", country(&one.sha256).unwrap_or("country not known to the policy"))
            })
            .collect();
        lines.dedup();
        if !found.is_enforced {
            lines.push("boot authority: secure boot is off, so that no key is asked".to_owned());
        }
        self.assessed.part.reasons.extend(lines);
    }
}

/// What a log holds of a machine's custody: dCBOR(["garant/custody/1", node id, head of the voucher]).
pub fn custody_leaf(node_id: [u8; 32], head: [u8; 32]) -> Result<Vec<u8>, cbor::CborError> {
    cbor::encode(&(Tag::<CustodyTag>::new(), Bytes32::new(node_id), Bytes32::new(head)))
}

fn words(set: &str, rule: &RuleVerdict) -> String {
    let readings = match rule.readings.as_slice() {
        [(_, one), (_, other)] if one == other => String::new(),
        readings => readings.iter().map(|(name, answer)| format!(" [{name}: {answer}]")).collect(),
    };
    format!("{set} {}: {}{readings}: {}", rule.id, rule.answer, rule.reasons.join("; "))
}

fn name_of(engine: &dyn Engine, keys: &[NamedKey], id: [u8; 32]) -> String {
    let found = keys.iter().find(|key| key.key.0.id(engine) == Some(id));
    found.map_or_else(|| hex(&id), |key| key.name.clone())
}

crate::tags! {
    /// A leaf about custody.
    CustodyTag => "garant/custody/1",
}

/// What custody leaves to be trusted.
const RESIDUAL_TRUST: [&str; 2] = [
    "everyone in the chain of custody, and sales that no voucher shows",
    "that the chassis in the voucher is this machine's: SMBIOS is the firmware's word",
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests;
