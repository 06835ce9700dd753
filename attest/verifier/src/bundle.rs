//! A saved answer: what was asked, what came, and the result that was signed then.
//!
//! Whoever reads one later learns what the answer showed, and nothing about now: the challenge in it is not the reader's.
//! Its only time is that of a signed result in it.

use crate::{
    assess::{Judgement, Rulebook, StandingRecord, judge},
    known::Memory,
    session::Answered,
};
use garant_attest::{
    budget::{ANSWER_BYTES, STATEMENT_BYTES},
    cbor::{self, Bytes, Bytes32, CborError, Tag},
    verify::{self, Challenge, Known, Refusal},
    wire::Kind,
};
use garant_channel::engine::FastEngine;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A saved answer as it was read: claimed, all of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bundle<'a>(
    Tag<BundleTag>,
    /// How it was asked.
    pub Kind,
    /// The nonce.
    pub Bytes32,
    /// The binder.
    pub Bytes32,
    /// The answer.
    #[serde(borrow)]
    pub &'a Bytes,
    /// The boot log, where the asker held it and the answer has only its digest.
    #[serde(borrow)]
    pub Option<&'a Bytes>,
    /// The signed result.
    #[serde(borrow)]
    pub Option<&'a Bytes>,
);

impl<'a> Bundle<'a> {
    /// What is saved.
    pub fn new(
        kind: Kind,
        nonce: [u8; 32],
        binder: [u8; 32],
        answer: &'a [u8],
        log: Option<&'a [u8]>,
        ear: Option<&'a [u8]>,
    ) -> Bundle<'a> {
        let (nonce, binder) = (Bytes32::new(nonce), Bytes32::new(binder));
        Bundle(Tag::new(), kind, nonce, binder, Bytes::new(answer), log.map(Bytes::new), ear.map(Bytes::new))
    }

    /// Reads a saved answer.
    pub fn decode(bytes: &'a [u8]) -> Result<Bundle<'a>, CborError> {
        cbor::decode(bytes, BUNDLE_BYTES)
    }

    /// The bytes to save.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }

    /// What the answer showed whoever asked then, if that was its challenge. Says nothing about now: whoever made the
    /// file chose the nonce.
    pub fn recheck(&self, rules: &Rulebook, record: Option<&StandingRecord<'_>>) -> Result<Judgement, Refusal> {
        let memory = Memory { log: self.held_log(), ..Memory::default() };
        let held: Vec<_> = memory.held().into_iter().collect();
        let ak_name = record.map(|record| record.node().record().ak_name.to_vec());
        let known = Known { ak_name: ak_name.as_deref(), peer_key: None, counters: None, ima: None, held: &held };
        let challenge = Challenge { kind: self.1, nonce: *self.2, binder: *self.3 };
        let verified = verify::verify(&FastEngine, self.4, challenge, &known)?;
        Ok(judge(rules, &Answered { verified, age: Duration::ZERO, sighting: None }, record))
    }

    fn held_log(&self) -> Option<([u8; 32], Vec<u8>)> {
        let log = self.5?;
        Some((garant_attest::engine::sha256(&FastEngine, &[log]), log.to_vec()))
    }
}

/// A saved answer: answer, log and result at their limits, and their heads.
pub const BUNDLE_BYTES: usize = ANSWER_BYTES + ANSWER_BYTES / 8 + STATEMENT_BYTES;

garant_attest::tags! {
    /// A saved answer.
    BundleTag => "garant/bundle/1",
}
