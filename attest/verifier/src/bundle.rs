//! A bundle: what was asked, what came, what others said, under which policy, and the result that was signed then. Whoever
//! has one can compute the verdict of then again, years later.
//!
//! It says nothing about now: the challenge in it is not the reader's. Nor does its evidence say when it was made; its only
//! time is that of a signed result in it, where the reader knows the signer.

use crate::{
    assess::{Judgement, Rulebook, Said, StandingRecord, Witness, judge},
    budget::STATEMENTS,
    error::VerifierError,
    known::Memory,
    ledger::Ledger,
    report::utc,
    session::Answered,
    statements::Collected,
};
use garant_attest::{
    budget::{ANSWER_BYTES, ENTRY_MESSAGES, LEDGER_ENTRIES_BYTES, POLICY_BYTES, STATEMENT_BYTES, STATEMENTS_BYTES},
    cbor::{self, Bytes, Bytes32, CborError, Tag},
    ear::{self, Ear},
    engine::sha256,
    verdict::{Answer, Basis, Link, PartVerdict, Verdict},
    verify::{self, Challenge, Known, Refusal},
    wire::Kind,
};
use garant_channel::engine::FastEngine;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A bundle as it was read, claimed all of it; in the order of its encoded labels.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle<'a> {
    /// The boot log, where the asker held it and the answer has only its digest.
    #[serde(borrow)]
    pub log: Option<&'a Bytes>,
    #[doc(hidden)]
    pub tag: Tag<BundleTag>,
    /// How it was asked.
    pub kind: Kind,
    /// The nonce.
    pub nonce: Bytes32,
    /// The answer.
    #[serde(borrow)]
    pub answer: &'a Bytes,
    /// The binder.
    pub binder: Bytes32,
    /// The policy under which the result was signed.
    #[serde(borrow)]
    pub policy: Option<&'a Bytes>,
    /// The enrolment record.
    #[serde(borrow)]
    pub record: Option<&'a Bytes>,
    /// The signed result.
    #[serde(borrow)]
    pub result: Option<&'a Bytes>,
    /// The entries of its ledger, message by message.
    #[serde(borrow, default, skip_serializing_if = "heapless::Vec::is_empty")]
    pub entries: heapless::Vec<&'a Bytes, ENTRY_MESSAGES>,
    /// What others said of the node.
    #[serde(borrow)]
    pub statements: heapless::Vec<&'a Bytes, STATEMENTS>,
}

/// Why a bundle does not show what was so at a time.
#[derive(Debug)]
pub enum BundleFault {
    /// No result in it was signed by anybody whom the reader knows: it has no time.
    NoTime,
    /// The reader asks about a time for which its result does not count.
    OtherTime {
        /// When it was signed, seconds since 1970.
        from: u64,
        /// The first second at which it no longer counted.
        to: u64,
    },
    /// No enrolment record is in it.
    NoRecord,
    /// Its enrolment record does not hold.
    Record(VerifierError),
    /// The answer fails a check.
    Refused(Refusal),
    /// The signed result speaks of another node, boot or session key.
    OtherResult,
}

impl fmt::Display for BundleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleFault::NoTime => f.write_str("its time is not known: nobody you know signed a result in it"),
            BundleFault::OtherTime { from, to } => {
                write!(f, "its result counts from {} to {}, and not then", utc(*from), utc(*to))
            }
            BundleFault::NoRecord => f.write_str("no enrolment record is in it"),
            BundleFault::Record(error) => error.fmt(f),
            BundleFault::Refused(refusal) => write!(f, "check {}: {refusal}", refusal.check()),
            BundleFault::OtherResult => {
                f.write_str("the signed result in it speaks of another node, boot or session key")
            }
        }
    }
}

impl<'a> Bundle<'a> {
    /// Reads a bundle.
    pub fn decode(bytes: &'a [u8]) -> Result<Bundle<'a>, CborError> {
        cbor::decode(bytes, BUNDLE_BYTES)
    }

    /// The bytes to save.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }

    /// What the answer showed whoever asked then, if that was its challenge. Says nothing about now: whoever made the
    /// file chose the nonce.
    pub fn recheck(
        &self,
        rules: &Rulebook,
        record: Option<&StandingRecord<'_>>,
        now: u64,
    ) -> Result<Judgement, Refusal> {
        let memory = Memory { log: self.held_log(), ..Memory::default() };
        let held: Vec<_> = memory.held().into_iter().collect();
        let ak_name = record.map(|record| record.node().record().ak_name.to_vec());
        let known = Known { ak_name: ak_name.as_deref(), peer_key: None, counters: None, ima: None, held: &held };
        let challenge = Challenge { kind: self.kind, nonce: *self.nonce, binder: *self.binder };
        let verified = verify::verify(&FastEngine, self.answer, challenge, &known)?;
        let carried = Collected::of(self.statements.iter().map(|statement| statement.to_vec()));
        let ledger = Ledger::of(self.entries.iter().map(|message| &message[..]));
        let (carried, entries) = (carried.carried(), ledger.entries());
        let said = Said { carried: &carried, fault: None, ledger: ledger.sent(&entries), now };
        Ok(judge(rules, &Answered { verified, age: Duration::ZERO, sighting: None }, record, said))
    }

    /// The signed result in it, where one of `witnesses` signed it, and under what name.
    pub fn result(&self, witnesses: &[Witness]) -> Option<(Ear, Option<String>)> {
        let bytes = self.result?;
        witnesses.iter().find_map(|witness| {
            let opened = ear::open(&FastEngine, bytes, &witness.key).ok()?;
            Some((opened, witness.name.clone()))
        })
    }

    /// The verdict at a time, in seconds since 1970, computed anew: everything counts or not as of the moment at which
    /// the result in it was signed. That the challenge was a fresh one then is the word of who signed, who also knew of the
    /// TPM what no bundle holds (its counters): what that result did not say of boot, or denied, is no yes here.
    pub fn judge_then(
        &self,
        rules: &Rulebook,
        witnesses: &[Witness],
        at: u64,
    ) -> Result<(Judgement, Ear), BundleFault> {
        let (ear, who) = self.result(witnesses).ok_or(BundleFault::NoTime)?;
        let counts_until = |to: u64| match ear.issued <= at && at < to {
            true => Ok(()),
            false => Err(BundleFault::OtherTime { from: ear.issued, to }),
        };
        counts_until(ear.expires)?;
        let record = rules.open_at(self.record.ok_or(BundleFault::NoRecord)?, witnesses, ear.issued);
        let record = record.map_err(BundleFault::Record)?;
        let mut judgement = self.recheck(rules, Some(&record), ear.issued).map_err(BundleFault::Refused)?;
        let same = judgement.ear(ear.issued, None, Duration::ZERO);
        let is_same = same.node_id == ear.node_id
            && same.ak_name == ear.ak_name
            && same.boot_id == ear.boot_id
            && same.session_key == ear.session_key;
        if !is_same {
            return Err(BundleFault::OtherResult);
        }
        judgement.verdict.expires.map_or(Ok(()), counts_until)?;
        hold_to(&ear, &mut judgement.verdict);
        if let Some(who) = who {
            let link =
                Link { what: format!("the challenge was fresh on {}", utc(ear.issued)), basis: Basis::Testimony(who) };
            let Verdict { boot, place, owner, workload, .. } = &mut judgement.verdict;
            let known = [boot, place, owner, workload].into_iter().filter(|part| part.answer != Answer::Unknown);
            known.for_each(|part| part.links.push(link.clone()));
        }
        Ok((judgement, ear))
    }

    /// SHA-256 of a policy's bytes, as verdicts name it.
    pub fn policy_digest(policy: &[u8]) -> [u8; 32] {
        sha256(&FastEngine, &[policy])
    }

    fn held_log(&self) -> Option<([u8; 32], Vec<u8>)> {
        let log = self.log?;
        Some((sha256(&FastEngine, &[log]), log.to_vec()))
    }
}

/// Takes back what the signed result does not bear.
fn hold_to(signed: &Ear, verdict: &mut Verdict) {
    let said = &signed.parts.boot.answer;
    if *said != Answer::Yes.to_string() {
        verdict.withdraw(format!("the verifier that signed the result in it said boot: {said}"));
    }
    let (Verdict { place, owner, workload, .. }, parts) = (verdict, &signed.parts);
    for (part, signed) in [(place, &parts.place), (owner, &parts.owner), (workload, &parts.workload)] {
        if part.answer == Answer::Yes && signed.answer == Answer::No.to_string() {
            *part = PartVerdict::unknown("the verifier that signed the result in it said no");
        }
    }
}

/// A bundle: all of its parts at their limits, and their heads.
pub const BUNDLE_BYTES: usize = ANSWER_BYTES
    + ANSWER_BYTES / 8
    + 2 * STATEMENT_BYTES
    + 2 * STATEMENTS_BYTES
    + POLICY_BYTES
    + 2 * LEDGER_ENTRIES_BYTES;

garant_attest::tags! {
    /// A bundle.
    BundleTag => "garant/bundle/1",
}
