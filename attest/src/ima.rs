//! The IMA list against PCR 10: how much of it the quote covers, and what it begins with.
//!
//! The list grows while the node answers, so the quote covers a prefix of what was sent: the one that leads to the
//! quoted value. Kernels since 5.8 extend each bank with its own digest of the template data, older ones with the
//! SHA-1 digest filled up with zeros; both are tried in one pass.

use crate::engine::{Digest, Engine};
use garant_hw::{
    hash::Hash,
    ima::{ImaEntry, ImaList, Template},
};

/// The prefix of a list that leads to a quoted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoveredList {
    /// Entries up to the quoted value, counted from the list's beginning.
    pub entries: u64,
    /// Violations among those that were sent.
    pub violations: u64,
}

/// How many entries lead from `start` to `quoted` in this bank; `None` where no prefix does.
///
/// Entry data is proven by the result: an entry whose template digest is not the SHA-1 of its data ends the list, as
/// does one of another PCR.
pub fn covered(
    engine: &dyn Engine,
    bank: Hash,
    start: Digest,
    list: ImaList<'_>,
    first: u64,
    quoted: &[u8],
) -> Option<CoveredList> {
    let (mut own, mut padded) = (start, start);
    let mut covered = CoveredList { entries: first, violations: 0 };
    if start.as_bytes() == quoted {
        return Some(covered);
    }
    for entry in list {
        let entry = entry.ok().filter(|entry| entry.pcr == IMA_PCR && is_sound(engine, entry))?;
        own = extended(engine, own, template_digest(engine, bank, &entry));
        padded = extended(engine, padded, padded_digest(bank, &entry));
        covered.entries = entry.number.saturating_add(1);
        covered.violations = covered.violations.saturating_add(u64::from(entry.is_violation()));
        if own.as_bytes() == quoted || padded.as_bytes() == quoted {
            return Some(covered);
        }
    }
    None
}

/// Whether a list's first entry is the boot aggregate of these PCRs: H(PCR 0–7) or, since Linux 5.8, H(PCR 0–9), in a
/// bank of the same algorithm. A digest of zeros says that IMA saw no TPM.
pub fn is_boot_aggregate<'p>(
    engine: &dyn Engine,
    entry: &ImaEntry<'_>,
    pcr: impl Fn(Hash, usize) -> Option<&'p [u8]>,
) -> bool {
    let Some((algorithm, digest)) = entry.file_digest() else { return false };
    let Some(bank) = Hash::ALL.into_iter().find(|hash| hash.name().as_bytes() == algorithm) else { return false };
    let aggregate = |last: usize| {
        let values: Option<heapless::Vec<&[u8], 10>> = (0..=last).map(|i| pcr(bank, i)).collect();
        values.is_some_and(|values| engine.digest(bank, &values).as_bytes() == digest)
    };
    entry.path() == Some(b"boot_aggregate") && digest.iter().any(|byte| *byte != 0) && (aggregate(7) || aggregate(9))
}

fn extended(engine: &dyn Engine, value: Digest, entry: Digest) -> Digest {
    engine.digest(value.hash(), &[value.as_bytes(), entry.as_bytes()])
}

/// A violation carries zeros and is extended as ones; any other entry carries the SHA-1 of its template data.
fn is_sound(engine: &dyn Engine, entry: &ImaEntry<'_>) -> bool {
    entry.is_violation() || template_hash(engine, Hash::Sha1, &entry.template).as_bytes() == entry.template_digest
}

fn template_digest(engine: &dyn Engine, bank: Hash, entry: &ImaEntry<'_>) -> Digest {
    if entry.is_violation() { Digest::ones(bank) } else { template_hash(engine, bank, &entry.template) }
}

fn template_hash(engine: &dyn Engine, bank: Hash, template: &Template<'_>) -> Digest {
    match template {
        Template::Fields { data, .. } => engine.digest(bank, &[data]),
        Template::Legacy { file_digest, name } => {
            let filler = LEGACY_NAME_FIELD.get(name.len()..).unwrap_or(&[]);
            engine.digest(bank, &[file_digest, name, filler])
        }
    }
}

/// What kernels before 5.8 extended (ima_queue.c, ima_pcr_extend): SHA-1, or as many ones for a violation, filled up with
/// zeros.
fn padded_digest(bank: Hash, entry: &ImaEntry<'_>) -> Digest {
    let mut bytes = [0u8; 64];
    if let Some(head) = bytes.first_chunk_mut() {
        *head = if entry.is_violation() { [0xff; 20] } else { entry.template_digest };
    }
    bytes.get(..bank.size_bytes()).and_then(|bytes| Digest::new(bank, bytes)).unwrap_or(Digest::zero(bank))
}

/// The PCR of IMA (Linux' CONFIG_IMA_MEASURE_PCR_IDX).
pub const IMA_PCR: u32 = 10;
/// Linux' IMA_EVENT_NAME_LEN_MAX + 1 zeros.
const LEGACY_NAME_FIELD: &[u8] = &[0; 256];
