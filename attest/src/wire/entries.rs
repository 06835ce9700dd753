//! `POST /v1/ledger`: the entries behind the commits of the evidence, from a number on.

use super::{EntriesTag, LedgerAskTag};
use crate::{
    budget,
    cbor::{self, CborError, Tag},
    ledger::SentEntry,
    owner::holdings::List,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Asks for entries from this number on; the first of a boot is 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAsk(Tag<LedgerAskTag>, pub u64);

impl LedgerAsk {
    /// A demand.
    pub fn new(first: u64) -> LedgerAsk {
        LedgerAsk(Tag::new(), first)
    }

    /// Reads a stranger's demand.
    pub fn decode(bytes: &[u8]) -> Result<LedgerAsk, CborError> {
        cbor::decode(bytes, budget::LEDGER_ASK_BYTES)
    }
}

/// The answer: as many entries from there on as one message takes, none where there are no more. Decoding proves their
/// number and sizes; they count only where commits cover them ([`crate::workload`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries<'a>(
    Tag<EntriesTag>,
    /// Number of the first.
    pub u64,
    /// In their order.
    #[serde(borrow)]
    pub List<SentEntry<'a>, { budget::ENTRIES }>,
);

impl<'a> Entries<'a> {
    /// A node's answer; `None` where these are more than one message takes.
    pub fn new(first: u64, entries: Vec<SentEntry<'a>>) -> Option<Entries<'a>> {
        List::new(entries).map(|entries| Entries(Tag::new(), first, entries))
    }

    /// Reads what a node sends.
    pub fn decode(bytes: &'a [u8]) -> Result<Entries<'a>, CborError> {
        cbor::decode(bytes, budget::ENTRIES_BYTES)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ledger::{Content, EntryKind};
    use alloc::vec;

    fn open(body: &[u8]) -> SentEntry<'_> {
        SentEntry { kind: EntryKind::Start, time: 7, content: Content::Open { salt: [1; 16], body } }
    }

    #[test]
    fn entries_open_and_hidden_come_back_as_they_were_sent() {
        let hidden = SentEntry { kind: EntryKind::Ended, time: 8, content: Content::Hidden([2; 32]) };
        for entries in [vec![], vec![hidden], vec![open(b""), hidden, open(&[0xa0; 40])]] {
            let sent = Entries::new(3, entries.clone()).unwrap();
            let bytes = cbor::encode(&sent).unwrap();
            assert_eq!(Entries::decode(&bytes).unwrap(), sent);
            assert!((0..bytes.len()).all(|cut| Entries::decode(bytes.get(..cut).unwrap()).is_err()));
        }
        let ask = cbor::encode(&LedgerAsk::new(5)).unwrap();
        assert_eq!(LedgerAsk::decode(&ask), Ok(LedgerAsk::new(5)));
        assert!(Entries::decode(&ask).is_err());
    }

    #[test]
    fn an_entry_of_another_shape_is_refused() {
        let message = |entry: &[u8]| {
            let head = cbor::encode(&(Tag::<EntriesTag>::new(), 1u64)).unwrap();
            [&[0x83][..], head.get(1..).unwrap(), &[0x81], entry].concat()
        };
        let good: &[u8] = b"\x84\x64stop\x07\x500123456789abcdef\x41x";
        assert!(Entries::decode(&message(good)).is_ok());
        for (what, entry) in [
            ("a salt of 15 bytes", &b"\x84\x64stop\x07\x4f0123456789abcde\x41x"[..]),
            ("a salt without a body", b"\x83\x64stop\x07\x500123456789abcdef"),
            ("a digest of 31 bytes", b"\x83\x64stop\x07\x58\x1f0123456789abcdef0123456789abcde"),
            ("a digest and a body", b"\x84\x64stop\x07\x58\x200123456789abcdef0123456789abcdef\x41x"),
            ("a field more", b"\x85\x64stop\x07\x500123456789abcdef\x41x\x00"),
            ("another kind", b"\x84\x64stay\x07\x500123456789abcdef\x41x"),
            ("no time", b"\x84\x64stop\x20\x500123456789abcdef\x41x"),
        ] {
            assert!(Entries::decode(&message(entry)).is_err(), "{what}");
        }
    }

    #[test]
    fn entries_beyond_their_number_or_size_are_refused() {
        let body = vec![0; budget::ENTRY_BODY_BYTES + 1];
        let most = Entries::new(1, vec![open(body.get(1..).unwrap()); budget::ENTRIES]).unwrap();
        assert!(Entries::decode(&cbor::encode(&most).unwrap()).is_ok());
        assert_eq!(Entries::new(1, vec![open(b""); budget::ENTRIES + 1]), None);
        let head = |items: usize| {
            let tag = cbor::encode(&(Tag::<EntriesTag>::new(), 1u64)).unwrap();
            [&[0x83][..], tag.get(1..).unwrap(), &[0x99], &u16::try_from(items).unwrap().to_be_bytes()].concat()
        };
        let one = cbor::encode(&open(b"")).unwrap();
        assert!(Entries::decode(&[head(budget::ENTRIES), one.repeat(budget::ENTRIES)].concat()).is_ok());
        assert!(Entries::decode(&[head(budget::ENTRIES + 1), one.repeat(budget::ENTRIES + 1)].concat()).is_err());
        let long = Entries::new(1, vec![open(&body)]).unwrap();
        assert!(Entries::decode(&cbor::encode(&long).unwrap()).is_err());
        assert!(Entries::decode(&[head(0xffff), one].concat()).is_err());
    }
}
