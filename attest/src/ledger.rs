//! The ledger in one PCR: entry 0 names the boot, commits follow. Here: its bytes and their replay; entries, each of which a
//! commit covers by its digest, are in `act` and `entry`.

mod act;
mod entry;

pub use act::{Act, Asker, BodyError, EntryKind, Program, VmName};
pub use entry::{Content, Entry, SentEntry};

use crate::{
    cbor::{self, Bytes32, CborError, Tag},
    engine::{Digest, Engine, sha256},
};
use alloc::vec::Vec;
use garant_hw::hash::Hash;
use serde::{Deserialize, Serialize};

/// dCBOR(["garant/boot/1", 32 random bytes, B, SHA-256 of the configuration, head of the last boot's ledger or null]):
/// the PCR's first extension from zero, before the network is up. Holding one proves nothing until it is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryZero(Tag<BootTag>, Bytes32, Bytes32, Bytes32, Option<Bytes32>);

impl EntryZero {
    /// Entry 0 of a new boot. `random` comes from the kernel, `boot_key` is B (Ed25519), `configuration_digest` is
    /// over the whole file, `last_head` is copied from the state disk and stands for nothing by itself.
    pub fn new(
        random: [u8; 32],
        boot_key: [u8; 32],
        configuration_digest: [u8; 32],
        last_head: Option<[u8; 32]>,
    ) -> EntryZero {
        EntryZero(
            Tag::new(),
            Bytes32::new(random),
            Bytes32::new(boot_key),
            Bytes32::new(configuration_digest),
            last_head.map(Bytes32::new),
        )
    }

    /// Reads the exact bytes that were extended.
    pub fn decode(bytes: &[u8]) -> Result<EntryZero, CborError> {
        cbor::decode(bytes, ENTRY_ZERO_BYTES)
    }

    /// The bytes to extend, as H_bank of them, and to send.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        cbor::encode(self)
    }

    /// B, the boot key (Ed25519): what this boot's session keys are signed with.
    pub fn boot_key(&self) -> [u8; 32] {
        *self.2
    }

    /// SHA-256 of the whole configuration.
    pub fn configuration_digest(&self) -> [u8; 32] {
        *self.3
    }

    /// Head of the last boot's ledger, as the state disk gave it.
    pub fn untrusted_last_head(&self) -> Option<[u8; 32]> {
        self.4.as_deref().copied()
    }
}

/// *boot id* = SHA-256(entry 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub [u8; 32]);

impl BootId {
    /// The id of the boot that extended these bytes.
    pub fn of(engine: &dyn Engine, entry_zero: &[u8]) -> BootId {
        BootId(sha256(engine, &[entry_zero]))
    }
}

/// One commit: entries `first..=last` of the boot, `entries_digest` = SHA-256 of their digests, concatenated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// First entry, from 1.
    pub first: u64,
    /// Last entry, inclusive.
    pub last: u64,
    /// SHA-256 of the entry digests from `first` to `last`.
    pub entries_digest: [u8; 32],
}

impl Commit {
    /// Bytes of one commit in evidence: `first`, `last` (big endian) and the digest.
    pub const BYTES: usize = 48;

    /// The commits in `bytes`; `None` where they are no whole number.
    pub fn list(bytes: &[u8]) -> Option<impl Iterator<Item = Commit>> {
        let (commits, rest) = bytes.as_chunks::<{ Commit::BYTES }>();
        rest.is_empty().then(|| commits.iter().filter_map(Commit::from_bytes))
    }

    /// The commit as it stands in evidence.
    pub fn to_bytes(&self) -> [u8; Commit::BYTES] {
        let mut fields = self.first.to_be_bytes().into_iter().chain(self.last.to_be_bytes()).chain(self.entries_digest);
        let mut bytes = [0; Commit::BYTES];
        bytes.fill_with(|| fields.next().unwrap_or_default());
        bytes
    }

    fn from_bytes(bytes: &[u8; Commit::BYTES]) -> Option<Commit> {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let (last, entries_digest) = rest.split_first_chunk::<8>()?;
        Some(Commit {
            first: u64::from_be_bytes(*first),
            last: u64::from_be_bytes(*last),
            entries_digest: entries_digest.try_into().ok()?,
        })
    }

    /// What commit number `i` (from 1) extends, as H_bank of it: dCBOR(["garant/ledger/1", i, first, last, digest]).
    pub fn statement(&self, i: u64) -> Result<Vec<u8>, CborError> {
        let digest = Bytes32::new(self.entries_digest);
        cbor::encode(&(Tag::<LedgerTag>::new(), i, self.first, self.last, digest))
    }
}

/// The ledger PCR in one bank after entry 0 and the commits, and how many commits there were.
pub fn replay(
    engine: &dyn Engine,
    bank: Hash,
    entry_zero: &[u8],
    commits: impl Iterator<Item = Commit>,
) -> Result<(Digest, u64), CborError> {
    let zero = Digest::zero(bank);
    let entry = engine.digest(bank, &[entry_zero]);
    let mut head = engine.digest(bank, &[zero.as_bytes(), entry.as_bytes()]);
    let mut count = 0u64;
    for commit in commits {
        count = count.saturating_add(1);
        let entry = engine.digest(bank, &[&commit.statement(count)?]);
        head = engine.digest(bank, &[head.as_bytes(), entry.as_bytes()]);
    }
    Ok((head, count))
}

/// Two digests, a key, a random string and a tag of 15 bytes are 151 bytes; 256 leave no room for more.
const ENTRY_ZERO_BYTES: usize = 256;

crate::tags! {
    /// Entry 0.
    BootTag => "garant/boot/1",
    /// A commit.
    LedgerTag => "garant/ledger/1",
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::rust_engine::RustEngine;

    #[test]
    fn entry_zero_round_trips_and_another_tag_or_shape_is_refused() {
        let entry = EntryZero::new([1; 32], [2; 32], [3; 32], Some([4; 32]));
        let bytes = entry.encode().unwrap();
        assert_eq!(EntryZero::decode(&bytes).unwrap(), entry);
        assert_eq!((entry.boot_key(), entry.configuration_digest()), ([2; 32], [3; 32]));
        let first = EntryZero::new([1; 32], [2; 32], [3; 32], None);
        assert_eq!(EntryZero::decode(&first.encode().unwrap()).unwrap().untrusted_last_head(), None);
        let mut other_tag = bytes.clone();
        other_tag[14] = b'2';
        assert!(EntryZero::decode(&other_tag).is_err());
        for cut in 0..bytes.len() {
            assert!(EntryZero::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn the_head_moves_with_each_commit_and_with_their_numbers() {
        let commit = |first, last| Commit { first, last, entries_digest: [7; 32] };
        let head = |list: &[Commit]| replay(&RustEngine, Hash::Sha256, b"entry", list.iter().copied()).unwrap();
        let (one, two) = (head(&[commit(1, 1)]), head(&[commit(1, 1), commit(2, 2)]));
        assert_eq!((one.1, two.1), (1, 2));
        assert_ne!(one.0, two.0);
        assert_ne!(one.0, head(&[commit(1, 2)]).0);
        assert_ne!(head(&[commit(1, 1), commit(1, 1)]).0, two.0);
    }

    #[test]
    fn commits_of_a_broken_length_are_refused() {
        assert!(Commit::list(&[0; 47]).is_none());
        assert_eq!(Commit::list(&[0; 96]).unwrap().count(), 2);
    }
}
