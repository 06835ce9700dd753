//! The timed question and its answer: datagrams of one size between a landmark and a node, and what a round is worth.
//!
//! Both ends know a [`TimingSecret`] from their TLS connection, so that a node signs for nobody else and a landmark
//! measures no address that did not send its cookie back. What F signs starts with a label of its own
//! ([`wire::time_statement`]): whatever a landmark sends as a nonce, the signature is no other statement.
//!
//! The order is hello (node), cookie (landmark), the cookie returned (node), and then questions and answers, a round
//! each. Every datagram is as long as the one that provoked it. Left out: sockets, clocks and limits of either end.

use crate::{
    engine::{BadSignature, Engine, PublicKey, SignatureScheme, hmac_sha256},
    wire,
};
use core::fmt;

/// Bytes of every datagram: IPv4's and IPv6's least packets carry it whole.
pub const DATAGRAM_BYTES: usize = 160;
/// Bytes that both ends take from the exporter of their TLS connection: a name and a MAC key.
pub const EXPORTED_BYTES: usize = NAME_BYTES + 32;

/// A datagram.
pub type Datagram = [u8; DATAGRAM_BYTES];
/// Names one conversation. It is no secret.
pub type SessionName = [u8; NAME_BYTES];

/// What node and landmark share. Whoever holds it can be measured or ask, and learns nothing about F.
#[derive(Clone, PartialEq, Eq)]
pub struct TimingSecret {
    name: SessionName,
    mac_key: [u8; 32],
}

/// What a datagram says, once its MAC holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The node is here.
    Hello,
    /// The landmark asks whether it is.
    Cookie([u8; 32]),
    /// The node was there: the cookie came back.
    Returned([u8; 32]),
    /// The landmark asks.
    Question {
        /// From 1; it rises, so that no datagram is answered twice.
        round: u32,
        /// Fresh random bytes.
        nonce: [u8; 32],
    },
    /// The node answers.
    Answer {
        /// The question's.
        round: u32,
        /// F's over [`wire::time_statement`].
        signature: [u8; 64],
    },
}

/// Why a datagram is dropped; whoever sent it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramError {
    /// Another length.
    Length {
        /// Bytes found.
        found_bytes: usize,
    },
    /// Whoever made it does not share the secret, or it was changed on its way.
    Mac,
    /// The MAC holds over what is no message.
    Form,
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatagramError::Length { found_bytes } => {
                write!(f, "a datagram of {found_bytes} bytes where each has {DATAGRAM_BYTES}")
            }
            DatagramError::Mac => f.write_str("a datagram of somebody else"),
            DatagramError::Form => f.write_str("a datagram that says nothing known"),
        }
    }
}

impl core::error::Error for DatagramError {}

/// The conversation that a datagram names; `None` where it has another length. Nothing of it is proven yet.
pub fn claimed_name(bytes: &[u8]) -> Option<SessionName> {
    let datagram: &Datagram = bytes.try_into().ok()?;
    let (_, rest) = datagram.split_at_checked(HEAD_BYTES)?;
    rest.first_chunk().copied()
}

impl TimingSecret {
    /// From the exporter of a TLS connection (RFC 8446 §7.5).
    pub fn new(exported: &[u8; EXPORTED_BYTES]) -> TimingSecret {
        let mut bytes = exported.iter().copied();
        let mut next = || bytes.next().unwrap_or_default();
        TimingSecret { name: core::array::from_fn(|_| next()), mac_key: core::array::from_fn(|_| next()) }
    }

    /// The name under which datagrams of this conversation come.
    pub fn name(&self) -> SessionName {
        self.name
    }

    /// The datagram of a message. Nothing is allocated.
    pub fn seal(&self, engine: &dyn Engine, message: &Message) -> Datagram {
        let said = self.said(message);
        let mac = hmac_sha256(engine, &self.mac_key, &said);
        joined(&[&said, &mac])
    }

    /// The message in a datagram that somebody with this secret made. Nothing is allocated.
    pub fn open(&self, engine: &dyn Engine, bytes: &[u8]) -> Result<Message, DatagramError> {
        let datagram: &Datagram = bytes.try_into().map_err(|_| DatagramError::Length { found_bytes: bytes.len() })?;
        let (said, mac) = datagram.split_last_chunk::<32>().ok_or(DatagramError::Mac)?;
        if !is_same(&hmac_sha256(engine, &self.mac_key, said), mac) {
            return Err(DatagramError::Mac);
        }
        let message = read(said).ok_or(DatagramError::Form)?;
        // A message has one encoding: nothing is said in its unused bytes.
        if self.said(&message) == *said { Ok(message) } else { Err(DatagramError::Form) }
    }

    /// Everything before the MAC.
    fn said(&self, message: &Message) -> [u8; SAID_BYTES] {
        let (kind, round, body): (u8, u32, &[u8]) = match message {
            Message::Hello => (HELLO, 0, &[]),
            Message::Cookie(cookie) => (COOKIE, 0, cookie),
            Message::Returned(cookie) => (RETURNED, 0, cookie),
            Message::Question { round, nonce } => (QUESTION, *round, nonce),
            Message::Answer { round, signature } => (ANSWER, *round, signature),
        };
        joined(&[MAGIC, &[kind], &self.name, &round.to_be_bytes(), body])
    }
}

impl fmt::Debug for TimingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimingSecret")
    }
}

fn read(said: &[u8]) -> Option<Message> {
    let (kind, rest) = said.strip_prefix(MAGIC)?.split_first()?;
    let (_, rest) = rest.split_at_checked(NAME_BYTES)?;
    let (round, body) = rest.split_first_chunk()?;
    let round = u32::from_be_bytes(*round);
    Some(match *kind {
        HELLO => Message::Hello,
        COOKIE => Message::Cookie(*body.first_chunk()?),
        RETURNED => Message::Returned(*body.first_chunk()?),
        QUESTION => Message::Question { round, nonce: *body.first_chunk()? },
        ANSWER => Message::Answer { round, signature: *body.first_chunk()? },
        _ => return None,
    })
}

/// The parts, one after another, and zeros behind them.
fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    let mut rest = &mut bytes[..];
    for part in parts {
        if let Some((place, behind)) = core::mem::take(&mut rest).split_at_mut_checked(part.len()) {
            place.copy_from_slice(part);
            rest = behind;
        }
    }
    bytes
}

/// Compares without telling by its time where the first difference is.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

/// Whether the holder of `session_key` answered this landmark's nonce.
pub fn verify_answer(
    engine: &dyn Engine,
    landmark: &[u8; 32],
    nonce: &[u8; 32],
    session_key: &[u8; 32],
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    let statement = wire::time_statement(landmark, nonce, session_key);
    engine.verify_signature(&PublicKey::Ed25519(*session_key), SignatureScheme::Ed25519, &statement, signature)
}

/// What two clocks of a landmark say at one moment. Neither is set by the calendar (clock_gettime(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_MONOTONIC_RAW, which nothing slews.
    pub monotonic_raw_ns: u64,
    /// CLOCK_BOOTTIME, which counts while the machine sleeps.
    pub boottime_ns: u64,
}

/// A round's time in nanoseconds: the larger of two differences, read before sending and after receiving. `None`, and
/// the round does not count, where a clock went back or stood still, or where they differ by more than
/// [`CLOCKS_APART_NS`]: too short a time would be a false proof.
pub fn round_trip_ns(sent: Reading, received: Reading) -> Option<u64> {
    let raw = received.monotonic_raw_ns.checked_sub(sent.monotonic_raw_ns)?;
    let boot = received.boottime_ns.checked_sub(sent.boottime_ns)?;
    let is_sound = raw > 0 && boot > 0 && raw.abs_diff(boot) <= CLOCKS_APART_NS;
    is_sound.then_some(raw.max(boot))
}

/// How far the two clocks may differ over one round: a slew of 500 ppm (adjtimex(2)) over a second is half of it.
pub const CLOCKS_APART_NS: u64 = 1_000_000;

const NAME_BYTES: usize = 16;
const MAGIC: &[u8; 7] = b"garant\x01";
/// Magic and kind.
const HEAD_BYTES: usize = MAGIC.len() + 1;
const SAID_BYTES: usize = DATAGRAM_BYTES - 32;
const HELLO: u8 = 1;
const COOKIE: u8 = 2;
const RETURNED: u8 = 3;
const QUESTION: u8 = 4;
const ANSWER: u8 = 5;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests;
