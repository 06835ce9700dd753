//! Entries of the ledger: how they are hashed, and how they are sent. Left out: what their bodies say (`act`), and what they
//! add up to (`workload`).
//!
//! A body goes to its tenant and to verifiers that the operator lists; others see kind, time and a digest. The salt keeps
//! those from guessing it: public images are few.

use super::act::{Act, EntryKind};
use crate::{
    budget,
    cbor::{self, Bytes, Bytes32, CborError},
    engine::{Engine, sha256},
};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeTuple};

/// An entry, as the node that wrote it has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    kind: EntryKind,
    time: u64,
    salt: [u8; 16],
    body: Vec<u8>,
}

impl Entry {
    /// An entry about this act. `time` is in seconds since 1970, `salt` comes from the kernel's random source.
    pub fn new(act: &Act, time: u64, salt: [u8; 16]) -> Result<Entry, CborError> {
        Ok(Entry { kind: act.kind(), time, salt, body: act.encode()? })
    }

    /// An entry of ours as it was written down open, and its act; `None` where these bytes are none.
    pub fn read(bytes: &[u8]) -> Option<(Entry, Act)> {
        let sent: SentEntry<'_> = cbor::decode(bytes, budget::ENTRY_BODY_BYTES.saturating_add(64)).ok()?;
        let Content::Open { salt, body } = sent.content else { return None };
        let act = Act::decode(sent.kind, body).ok()?;
        Some((Entry { kind: sent.kind, time: sent.time, salt, body: body.to_vec() }, act))
    }

    /// For who may read it.
    pub fn open(&self) -> SentEntry<'_> {
        SentEntry { kind: self.kind, time: self.time, content: Content::Open { salt: self.salt, body: &self.body } }
    }

    /// For everybody.
    pub fn hidden(&self, engine: &dyn Engine) -> SentEntry<'static> {
        SentEntry { kind: self.kind, time: self.time, content: Content::Hidden(self.open().content.hidden(engine)) }
    }

    /// What a commit covers.
    pub fn digest(&self, engine: &dyn Engine) -> Result<[u8; 32], CborError> {
        self.open().digest(engine)
    }
}

/// An entry as it is sent: `[kind, time, salt, body]`, or `[kind, time, digest]` where the body is hidden. Holding one
/// proves nothing until its digest is found in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentEntry<'a> {
    /// Its kind.
    pub kind: EntryKind,
    /// When, in seconds since 1970, by the node's clock.
    pub time: u64,
    /// What it says.
    pub content: Content<'a>,
}

/// What a sent entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// SHA-256(salt ‖ body).
    Hidden([u8; 32]),
    /// The body, see [`Act::decode`].
    Open {
        /// 16 random bytes.
        salt: [u8; 16],
        /// A dCBOR map.
        body: &'a [u8],
    },
}

impl Content<'_> {
    fn hidden(&self, engine: &dyn Engine) -> [u8; 32] {
        match self {
            Content::Hidden(digest) => *digest,
            Content::Open { salt, body } => sha256(engine, &[salt, body]),
        }
    }
}

impl SentEntry<'_> {
    /// SHA-256(dCBOR([kind, time, SHA-256(salt ‖ body)])): what a commit covers, the same open and hidden.
    pub fn digest(&self, engine: &dyn Engine) -> Result<[u8; 32], CborError> {
        let hidden = Bytes32::new(self.content.hidden(engine));
        Ok(sha256(engine, &[&cbor::encode(&(self.kind, self.time, hidden))?]))
    }
}

impl Serialize for SentEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.content {
            Content::Hidden(digest) => (self.kind, self.time, Bytes::new(digest)).serialize(serializer),
            Content::Open { salt, body } => {
                let mut entry = serializer.serialize_tuple(4)?;
                entry.serialize_element(&self.kind)?;
                entry.serialize_element(&self.time)?;
                entry.serialize_element(Bytes::new(salt))?;
                entry.serialize_element(Bytes::new(body))?;
                entry.end()
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for SentEntry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = SentEntry<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("kind, time and digest, or kind, time, salt and body")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut fields: A) -> Result<SentEntry<'de>, A::Error> {
                let fault = || A::Error::custom("not an entry");
                let kind = fields.next_element()?.ok_or_else(fault)?;
                let time = fields.next_element()?.ok_or_else(fault)?;
                let third: &'de [u8] = fields.next_element::<&'de Bytes>()?.ok_or_else(fault)?;
                if let Ok(digest) = third.try_into() {
                    return Ok(SentEntry { kind, time, content: Content::Hidden(digest) });
                }
                let salt = third.try_into().map_err(|_| fault())?;
                let body: &'de [u8] = fields.next_element::<&'de Bytes>()?.ok_or_else(fault)?;
                if body.len() > budget::ENTRY_BODY_BYTES {
                    return Err(A::Error::custom("a body beyond its limit"));
                }
                Ok(SentEntry { kind, time, content: Content::Open { salt, body } })
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

#[cfg(test)]
mod tests;
