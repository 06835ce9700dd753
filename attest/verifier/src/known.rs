//! What a verifier remembers of a TPM: counters that only rise, moments of fresh answers, parts that it holds, and one
//! enrolment record that only an operator's key can replace. Decisions only; [`crate::store`] keeps them.

use crate::{budget::SIGHTINGS, clock::Moment, report::hex};
use garant_attest::{
    budget::LOG_BYTES,
    engine::{Engine, PublicKey, sha256},
    enrolment::{EnrolledNode, Enrolment},
    evidence::{Evidence, LOG_TYPE},
    policy::Policy,
    quote::ClockInfo,
    verify::{Held, Verified},
    wire::Answer,
};
use garant_channel::engine::FastEngine;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is known of one TPM when it is asked.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Name of its attestation key; `None`: it is not enrolled.
    pub ak_name: Option<Vec<u8>>,
    /// The highest counters seen.
    pub counters: Option<ClockInfo>,
    /// Moments of fresh answers.
    pub sightings: Vec<Sighting>,
    /// The boot log of the last answer, under the SHA-256 that we took of it.
    pub log: Option<([u8; 32], Vec<u8>)>,
}

impl Memory {
    /// The part that the node need not send again.
    pub fn held(&self) -> Option<Held<'_>> {
        self.log.as_ref().map(|(digest, bytes)| Held { digest: *digest, bytes })
    }
}

/// A moment at which we sent a challenge, and the fresh quote that answered it: the bound of every later cached answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// SHA-256 of entry 0.
    pub boot_id: [u8; 32],
    /// F.
    pub session_key: [u8; 32],
    /// Clock of the quote.
    pub clock: Counters,
    /// When the challenge was sent.
    pub at: Moment,
}

impl Sighting {
    /// The moment of a fresh answer; `None` where no boot was proven.
    pub fn of(verified: &Verified<'_>, at: Moment) -> Option<Sighting> {
        let identity = verified.identity().ok()?;
        let clock = verified.quote().clock_info().into();
        Some(Sighting { boot_id: identity.boot_id.0, session_key: identity.session_key, clock, at })
    }

    /// The list with this moment first; of one boot and session key the youngest stays.
    pub fn put(self, list: Vec<Sighting>) -> Vec<Sighting> {
        let is_other = |seen: &Sighting| (seen.boot_id, seen.session_key) != (self.boot_id, self.session_key);
        let others: Vec<Sighting> = list.into_iter().filter(is_other).collect();
        std::iter::once(self).chain(others).take(SIGHTINGS).collect()
    }
}

/// [`ClockInfo`] as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Milliseconds.
    pub clock_ms: u64,
    /// TPM Resets.
    pub reset_count: u32,
    /// TPM Restarts and Resumes.
    pub restart_count: u32,
    /// Whether the clock cannot repeat.
    pub safe: bool,
}

impl From<ClockInfo> for Counters {
    fn from(info: ClockInfo) -> Counters {
        let ClockInfo { clock_ms, reset_count, restart_count, safe } = info;
        Counters { clock_ms, reset_count, restart_count, safe }
    }
}

impl From<Counters> for ClockInfo {
    fn from(info: Counters) -> ClockInfo {
        let Counters { clock_ms, reset_count, restart_count, safe } = info;
        ClockInfo { clock_ms, reset_count, restart_count, safe }
    }
}

/// A name by which a TPM can be found again. All of one TPM lead to one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alias {
    /// SHA-256 of the SubjectPublicKeyInfo of one of its EKs.
    Ek([u8; 32]),
    /// Name of its attestation key.
    Ak(Vec<u8>),
    /// SHA-256 of one of its EK certificates, as an asset list may name it.
    Certificate([u8; 32]),
    /// The chassis in which the operator says it sits; never what the node says.
    Chassis(String),
}

impl Alias {
    /// Every name of an enrolled node; `ek_ids` are those of the certificates in its record.
    pub fn all(record: &Enrolment<'_>, ek_ids: &[[u8; 32]], chassis: Option<&str>) -> Vec<Alias> {
        let eks = ek_ids.iter().copied().map(Alias::Ek);
        let ak = std::iter::once(Alias::Ak(record.ak_name.to_vec()));
        let digests = record.ek_certificates.iter().map(|der| Alias::Certificate(sha256(&FastEngine, &[der])));
        eks.chain(ak).chain(digests).chain(chassis.map(|text| Alias::Chassis(text.to_owned()))).collect()
    }

    /// As a key of the store: a letter for the kind, then the name.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Alias::Ek(id) => [b"e", &id[..]].concat(),
            Alias::Ak(name) => [b"a", name.as_slice()].concat(),
            Alias::Certificate(digest) => [b"d", &digest[..]].concat(),
            Alias::Chassis(text) => [b"c", text.as_bytes()].concat(),
        }
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alias::Ek(id) => write!(f, "endorsement key {}", hex(id)),
            Alias::Ak(name) => write!(f, "attestation key {}", hex(name)),
            Alias::Certificate(digest) => write!(f, "endorsement key certificate {}", hex(digest)),
            Alias::Chassis(text) => write!(f, "chassis {text:?}"),
        }
    }
}

/// Leave to replace a record and to forget counters. Only [`Reenrolment::permitted`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Reenrolment(());

impl Reenrolment {
    /// Leave for a record that was signed by a key which the policy names for this; `None` for any other.
    pub fn permitted(engine: &dyn Engine, policy: &Policy, node: &EnrolledNode<'_>) -> Option<Reenrolment> {
        let mut ids = policy.reenrolment_keys().filter_map(|key| PublicKey::Ed25519(key).id(engine));
        ids.any(|id| id == node.witness()).then_some(Reenrolment(()))
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Reenrolment {
        Reenrolment(())
    }
}

/// The whole boot log in an answer that was verified, to hold for the next one; `None` where the node left it out.
pub fn sent_log(answer: &[u8]) -> Option<&[u8]> {
    let evidence = Evidence::decode(Answer::decode(answer).ok()?.3).ok()?;
    evidence.log?.bytes(LOG_TYPE, LOG_BYTES).ok()
}
