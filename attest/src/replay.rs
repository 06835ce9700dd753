//! Replay of a boot event log in all banks at once: what each PCR must hold if the log is true.
//!
//! Only digests are replayed. Event data is looked at in one bank, and counts only as far as the digest covers it.

use crate::engine::{Digest, Engine};
use garant_hw::{
    eventlog::{Event, EventLog, EventType, LogError},
    hash::Hash,
};

/// PCR values that a log leads to. Holding one proves nothing about a machine before they are compared with a quote.
#[derive(Debug, Clone)]
pub struct ReplayedLog {
    banks: [ReplayedBank; 4],
    fault: Option<LogError>,
    events: u32,
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

/// Replays the log in every bank that it has; for each event `each` gets the part of its data that the digest of the
/// `carrying` bank covers (empty: none).
pub fn replay<'a>(
    engine: &dyn Engine,
    log: &EventLog<'a>,
    carrying: Hash,
    mut each: impl FnMut(&Event<'a>, &'a [u8]),
) -> ReplayedLog {
    let has = Hash::ALL.map(|bank| log.has_bank(bank));
    let mut replayed = ReplayedLog { banks: Hash::ALL.map(empty_bank), fault: None, events: 0 };
    for event in log.events() {
        let event = match event {
            Ok(event) => event,
            Err(fault) => {
                replayed.fault = Some(fault);
                break;
            }
        };
        replayed.events = replayed.events.saturating_add(1);
        if event.is_measured() {
            for (bank, _) in replayed.banks.iter_mut().zip(has).filter(|(_, has)| *has) {
                extend(engine, bank, &event);
            }
            each(&event, covered(engine, &event, carrying));
        } else {
            start_locality(&mut replayed.banks, &event);
            each(&event, &[]);
        }
    }
    replayed
}

/// The part of an event's data that its digest in `bank` covers; empty where it covers none.
///
/// Most types measure the whole data; EV_EFI_VARIABLE_BOOT of older firmware the variable's value alone; GRUB's EV_IPL
/// the text after its prefix, without the NUL. Images, blobs and tables are measured themselves, never their data.
pub fn covered<'a>(engine: &dyn Engine, event: &Event<'a>, bank: Hash) -> &'a [u8] {
    let (Some(digest), data) = (event.digest(bank), event.data) else { return &[] };
    let is = |part: &[u8]| !part.is_empty() && engine.digest(bank, &[part]).as_bytes() == digest;
    match event.event_type {
        EventType::EFI_BOOT_SERVICES_APPLICATION
        | EventType::EFI_BOOT_SERVICES_DRIVER
        | EventType::EFI_RUNTIME_SERVICES_DRIVER
        | EventType::EFI_PLATFORM_FIRMWARE_BLOB
        | EventType::EFI_PLATFORM_FIRMWARE_BLOB2
        | EventType::EFI_HANDOFF_TABLES
        | EventType::EFI_HANDOFF_TABLES2 => &[],
        EventType::EFI_VARIABLE_BOOT if !is(data) => variable_value(data).filter(|value| is(value)).unwrap_or(&[]),
        EventType::IPL if !is(data) => grub_text(data).filter(|text| is(text)).unwrap_or(&[]),
        EventType::EFI_VARIABLE_BOOT | EventType::IPL => data,
        _ if is(data) => data,
        _ => &[],
    }
}

/// VariableData of a UEFI_VARIABLE_DATA (PFP 1.06, §10.2.6) whose lengths fill it exactly.
fn variable_value(data: &[u8]) -> Option<&[u8]> {
    let (_guid, rest) = data.split_first_chunk::<16>()?;
    let (name_length, rest) = rest.split_first_chunk::<8>()?;
    let (value_length, rest) = rest.split_first_chunk::<8>()?;
    let name_bytes = usize::try_from(u64::from_le_bytes(*name_length)).ok()?.checked_mul(2)?;
    let (_name, value) = rest.split_at_checked(name_bytes)?;
    (u64::try_from(value.len()).ok()? == u64::from_le_bytes(*value_length)).then_some(value)
}

/// What GRUB hashed of "prefix: text\0".
fn grub_text(data: &[u8]) -> Option<&[u8]> {
    let data = data.strip_suffix(b"\0").unwrap_or(data);
    let colon = data.windows(2).position(|pair| pair == b": ")?;
    data.get(colon.checked_add(2)?..)
}

fn extend(engine: &dyn Engine, bank: &mut ReplayedBank, event: &Event<'_>) {
    let hash = bank.bank;
    let Some(pcr) = usize::try_from(event.pcr).ok().and_then(|pcr| bank.pcrs.get_mut(pcr)) else { return };
    pcr.events = pcr.events.saturating_add(1);
    match event.digest(hash) {
        Some(digest) => {
            // An H-CRTM event starts PCR 0 at the indicator 4 (TPM 2.0 Part 1, 34.3).
            if event.event_type == EventType::EFI_HCRTM_EVENT && event.pcr == 0 && pcr.events == 1 {
                pcr.value = indicator(hash, HCRTM);
            }
            pcr.value = engine.digest(hash, &[pcr.value.as_bytes(), digest]);
        }
        None => pcr.uncovered = pcr.uncovered.or(Some(event.number)),
    }
}

/// StartupLocality (PFP 1.06, §10.4.5.3) before the first extension of PCR 0 sets where that PCR starts.
fn start_locality(banks: &mut [ReplayedBank; 4], event: &Event<'_>) {
    let Some(&[locality @ (0 | 3 | 4)]) = event.data.strip_prefix(STARTUP_LOCALITY) else { return };
    for bank in banks {
        let hash = bank.bank;
        let Some(pcr) = bank.pcrs.first_mut() else { continue };
        let untouched = pcr.events == 0 && pcr.value == Digest::zero(hash);
        if event.pcr == 0 && untouched {
            pcr.value = indicator(hash, locality);
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

const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";
const HCRTM: u8 = 4;
/// PCRs that start with all bits set (PTP 1.06, table 8).
const DRTM: core::ops::RangeInclusive<usize> = 17..=22;
