//! Replay of a boot event log in all banks at once: what each PCR must hold if the log is true.
//!
//! Only digests are replayed. Event data is looked at in one bank, and counts only as far as the digest covers it.

use crate::engine::{Digest, Engine};
use garant_hw::{
    eventdata::{Rule, coverable, startup_locality},
    eventlog::{Event, EventLog, EventType, LogError},
    hash::Hash,
};

/// PCR values that a log leads to. Holding one proves nothing about a machine before they are compared with a quote.
#[derive(Debug, Clone)]
pub struct ReplayedLog {
    banks: [ReplayedBank; 4],
    fault: Option<LogError>,
    events: u32,
    start_locality: Option<u8>,
}

/// The 24 PCRs of one bank.
#[derive(Debug, Clone, Copy)]
pub struct ReplayedBank {
    bank: Hash,
    pcrs: [ReplayedPcr; 24],
}

/// One PCR after the log.
#[derive(Debug, Clone, Copy)]
pub struct ReplayedPcr {
    value: Digest,
    events: u32,
    uncovered: Option<u32>,
}

impl ReplayedPcr {
    /// The value; it means something only while no event lacks this bank's digest.
    pub fn value(&self) -> Digest {
        self.value
    }

    /// Extensions.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// The first event without a digest for this bank.
    pub fn uncovered(&self) -> Option<u32> {
        self.uncovered
    }
}

impl ReplayedLog {
    /// One bank.
    pub fn bank(&self, bank: Hash) -> &ReplayedBank {
        let [sha1, sha256, sha384, sha512] = &self.banks;
        match bank {
            Hash::Sha1 => sha1,
            Hash::Sha256 => sha256,
            Hash::Sha384 => sha384,
            Hash::Sha512 => sha512,
        }
    }

    /// Where reading stopped before the log's end; what follows is unknown.
    pub fn fault(&self) -> Option<LogError> {
        self.fault
    }

    /// Events read.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// What PCR 0 starts at where an event says so: 4 after an H-CRTM event, else the locality of the start.
    pub fn start_locality(&self) -> Option<u8> {
        self.start_locality
    }
}

impl ReplayedBank {
    /// Which bank.
    pub fn bank(&self) -> Hash {
        self.bank
    }

    /// One PCR; `None` beyond 23.
    pub fn pcr(&self, pcr: usize) -> Option<&ReplayedPcr> {
        self.pcrs.get(pcr)
    }
}

/// Event data that was measured. Holding one proves that the event's digest in the carrying bank is over exactly these
/// bytes; it does not prove the event's type, nor, before the PCR is compared with a quote, that it was extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoveredData<'a> {
    rule: Rule,
    bytes: &'a [u8],
}

impl<'a> CoveredData<'a> {
    /// The data, or the part of it that the digest covers, as the rule says. Never empty.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Which part that is.
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

/// The part of an event's data that its digest in `bank` covers.
pub fn covered<'a>(engine: &dyn Engine, event: &Event<'a>, bank: Hash) -> Option<CoveredData<'a>> {
    let digest = event.digest(bank)?;
    let is_covered = |part: &[u8]| engine.digest(bank, &[part]).as_bytes() == digest;
    let (rule, bytes) = coverable(event).find(|(_, part)| is_covered(part))?;
    Some(CoveredData { rule, bytes })
}

/// Replays the log in every bank that it has; `each` gets every event, with what the digest of the `carrying` bank
/// covers of its data.
pub fn replay<'a>(
    engine: &dyn Engine,
    log: &EventLog<'a>,
    carrying: Hash,
    mut each: impl FnMut(&Event<'a>, Option<CoveredData<'a>>),
) -> ReplayedLog {
    let mut replayed = ReplayedLog { banks: Hash::ALL.map(empty_bank), fault: None, events: 0, start_locality: None };
    let has = Hash::ALL.map(|bank| log.has_bank(bank));
    for event in log.events() {
        let event = match event {
            Ok(event) => event,
            Err(fault) => {
                replayed.fault = Some(fault);
                break;
            }
        };
        replayed.events = replayed.events.saturating_add(1);
        start(&mut replayed, &event);
        if event.is_measured() {
            let banks = replayed.banks.iter_mut().zip(has).filter_map(|(bank, has)| has.then_some(bank));
            banks.for_each(|bank| extend(engine, bank, &event));
        }
        each(&event, covered(engine, &event, carrying));
    }
    replayed
}

fn extend(engine: &dyn Engine, bank: &mut ReplayedBank, event: &Event<'_>) {
    let hash = bank.bank;
    let Some(pcr) = usize::try_from(event.pcr).ok().and_then(|pcr| bank.pcrs.get_mut(pcr)) else { return };
    pcr.events = pcr.events.saturating_add(1);
    match event.digest(hash) {
        Some(digest) => {
            pcr.value = engine.digest(hash, &[pcr.value.as_bytes(), digest]);
        }
        None => pcr.uncovered = pcr.uncovered.or(Some(event.number)),
    }
}

/// Where PCR 0 starts, which only an event before its first extension can say: an H-CRTM event at 4 (TPM 2.0 Part 1,
/// 34.3), else the first StartupLocality (PFP 1.06, §10.4.5.3). The latter has no digest: whether it is true shows in
/// the comparison with a quote alone.
fn start(replayed: &mut ReplayedLog, event: &Event<'_>) {
    let locality = match event.event_type {
        EventType::EFI_HCRTM_EVENT => Some(HCRTM),
        EventType::NO_ACTION if replayed.start_locality.is_none() => startup_locality(event.untrusted_data),
        _ => None,
    };
    let is_extended = |bank: &ReplayedBank| bank.pcrs.first().is_some_and(|pcr| pcr.events > 0);
    if event.pcr != 0 || locality.is_none() || replayed.banks.iter().any(is_extended) {
        return;
    }
    replayed.start_locality = locality;
    for bank in &mut replayed.banks {
        if let (Some(pcr), Some(locality)) = (bank.pcrs.first_mut(), locality) {
            pcr.value = indicator(bank.bank, locality);
        }
    }
}

/// All zero but the last byte.
fn indicator(hash: Hash, last: u8) -> Digest {
    let mut bytes = [0u8; 64];
    let bytes = bytes.split_at_mut_checked(hash.size_bytes()).map(|(bytes, _)| bytes).unwrap_or_default();
    if let Some(byte) = bytes.last_mut() {
        *byte = last;
    }
    Digest::new(hash, bytes).unwrap_or(Digest::zero(hash))
}

fn empty_bank(bank: Hash) -> ReplayedBank {
    let pcr = |i| ReplayedPcr {
        value: if DRTM.contains(&i) { Digest::ones(bank) } else { Digest::zero(bank) },
        events: 0,
        uncovered: None,
    };
    ReplayedBank { bank, pcrs: core::array::from_fn(pcr) }
}

const HCRTM: u8 = 4;
/// PCRs that start with all bits set (PTP 1.06, table 8).
const DRTM: core::ops::RangeInclusive<usize> = 17..=22;
