//! One conversation with a node: a challenge is issued, answered and spent here, and dies with its connection.
//!
//! There is no store of nonces: a challenge is a value, it is moved when it is spent, and it knows what was known of the
//! TPM when it was sent.

use crate::{
    budget::{CHALLENGE_LIFE, IDENTITY_TIME, STATEMENTS_TIME},
    clock::{Clock, Moment},
    dial::Link,
    error::VerifierError,
    known::{Memory, Sighting},
};
use bytes::Bytes;
use garant_attest::{
    budget,
    cbor::{self, Bytes32},
    counters,
    engine::Engine,
    quote::ClockInfo,
    verify::{self, Challenge, Held, Known, Refusal, Verified},
    wire::{Ask, Kind, LedgerAsk, Mode},
};
use garant_channel::http::Budget;
use std::{fmt, time::Duration};

/// A connection on which we ask.
#[derive(Debug)]
pub struct Session {
    link: Link,
    clock: Clock,
}

/// A challenge that is out, with what was known when it was sent.
#[derive(Debug)]
pub struct Sent {
    challenge: Challenge,
    mode: Mode,
    at: Moment,
    peer_key: Option<[u8; 32]>,
    counters: Option<ClockInfo>,
}

/// An answer that holds, and how old its quote is at most, by our own clock.
#[derive(Debug)]
pub struct Answered<'a> {
    /// What the answer proves.
    pub verified: Verified<'a>,
    /// From the moment we sent a challenge that this quote, or an earlier one of the same boot and session key, answers.
    pub age: Duration,
    /// What to remember of it, where it is a fresh one of a proven boot.
    pub sighting: Option<Sighting>,
}

/// Why an answer counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// A check of the answer itself; the node, or who carried it, is at fault.
    Refused(Refusal),
    /// The challenge was spent later than it lives.
    Late,
    /// A cached answer to a challenge that asked for a fresh one.
    NotFresh,
    /// A cached answer of a boot and session key of which we remember no moment: its age is the node's word.
    NoMoment,
}

impl Rejection {
    /// The check's name, as it is printed.
    pub fn check(&self) -> &'static str {
        match self {
            Rejection::Refused(refusal) => refusal.check(),
            Rejection::Late | Rejection::NotFresh | Rejection::NoMoment => "age",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Refused(refusal) => refusal.fmt(f),
            Rejection::Late => write!(f, "the challenge is older than {} s", CHALLENGE_LIFE.as_secs()),
            Rejection::NotFresh => f.write_str("a fresh answer was asked for, a cached one came"),
            Rejection::NoMoment => {
                f.write_str("a cached answer of a boot and session key that we never saw fresh: its age is not known")
            }
        }
    }
}

impl std::error::Error for Rejection {}

impl Session {
    /// Talks over this connection.
    pub fn new(link: Link, clock: Clock) -> Session {
        Session { link, clock }
    }

    /// The connection.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Who the node says it is, not yet decoded.
    pub async fn identity(&mut self) -> Result<Bytes, VerifierError> {
        self.link.get("/v1/identity", Budget { bytes: budget::IDENTITY_BYTES, time: IDENTITY_TIME }).await
    }

    /// What others say of the node, as it carries it: [`garant_attest::wire::Statements`], not yet decoded.
    pub async fn statements(&mut self) -> Result<Bytes, VerifierError> {
        self.link.get("/v1/statements", Budget { bytes: budget::STATEMENTS_BYTES, time: STATEMENTS_TIME }).await
    }

    /// Entries of the node's ledger from this number on: [`garant_attest::wire::Entries`], not yet decoded.
    pub async fn entries(&mut self, first: u64, time: Duration) -> Result<Bytes, VerifierError> {
        let ask = cbor::encode(&LedgerAsk::new(first)).map_err(VerifierError::Encoding)?;
        self.link.post("/v1/ledger", ask, Budget { bytes: budget::ENTRIES_BYTES, time }).await
    }

    /// Sends a new challenge and waits for its answer.
    pub async fn ask(&mut self, mode: Mode, memory: &Memory) -> Result<(Sent, Bytes), VerifierError> {
        let nonce = nonce()?;
        let held = memory.held().map(|held| Bytes32::new(held.digest)).into_iter().collect();
        let ask = cbor::encode(&Ask::new(nonce, mode, held, 0)).map_err(VerifierError::Encoding)?;
        let challenge = Challenge { kind: self.link.kind(), nonce, binder: self.link.binder() };
        let at = self.clock.now().map_err(VerifierError::Clock)?;
        let sent = Sent { challenge, mode, at, peer_key: self.link.peer_key(), counters: memory.counters };
        let answer =
            self.link.post("/v1/evidence", ask, Budget { bytes: budget::ANSWER_BYTES, time: CHALLENGE_LIFE }).await?;
        Ok((sent, answer))
    }

    /// Now, on the clock by which ages are measured.
    pub fn now(&self) -> Result<Moment, VerifierError> {
        self.clock.now().map_err(VerifierError::Clock)
    }
}

impl Sent {
    /// When it was sent.
    pub fn at(&self) -> &Moment {
        &self.at
    }

    /// The challenge in words of the wire, for whoever saves the answer: kind, nonce, binder.
    pub fn words(&self) -> (Kind, [u8; 32], [u8; 32]) {
        (self.challenge.kind, self.challenge.nonce, self.challenge.binder)
    }

    /// Spends the challenge on an answer. `memory` is what the node was asked with; its counters of *then* count.
    pub fn spend<'a>(
        self,
        engine: &dyn Engine,
        answer: &'a [u8],
        memory: &'a Memory,
        held: &'a [Held<'a>],
        now: &Moment,
    ) -> Result<Answered<'a>, Rejection> {
        let since_sent = now.since(&self.at).filter(|age| *age <= CHALLENGE_LIFE).ok_or(Rejection::Late)?;
        let known = Known {
            ak_name: memory.ak_name.as_deref(),
            peer_key: self.peer_key,
            counters: self.counters,
            ima: None,
            held,
        };
        let verified = verify::verify(engine, answer, self.challenge, &known).map_err(Rejection::Refused)?;
        if verified.cached().is_none() {
            let sighting = Sighting::of(&verified, self.at);
            return Ok(Answered { verified, age: since_sent, sighting });
        }
        if self.mode == Mode::Fresh {
            return Err(Rejection::NotFresh);
        }
        let age = youngest(&memory.sightings, &verified, now).ok_or(Rejection::NoMoment)?;
        Ok(Answered { verified, age, sighting: None })
    }
}

/// The age of the youngest moment that bounds this quote's: same boot, same session key, a quote not later than this.
fn youngest(sightings: &[Sighting], verified: &Verified<'_>, now: &Moment) -> Option<Duration> {
    let identity = verified.identity().ok()?;
    let clock = verified.quote().clock_info();
    let bounds = |seen: &&Sighting| {
        seen.boot_id == identity.boot_id.0
            && seen.session_key == identity.session_key
            && counters::later(seen.clock.into(), clock) == clock
    };
    sightings.iter().filter(bounds).filter_map(|seen| now.since(&seen.at)).min()
}

fn nonce() -> Result<[u8; 32], VerifierError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|_| VerifierError::Random)?;
    Ok(nonce)
}
