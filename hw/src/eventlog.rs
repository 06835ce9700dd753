//! The TCG boot event log (PC Client Platform Firmware Profile 1.06, §10), crypto-agile and in the old SHA-1 format.
//!
//! An iterator over borrowed bytes: it never allocates, never panics and ends after the first error. Digests are
//! found by algorithm id, whatever their order; banks that are not known here are skipped by their size in the
//! header. Event types and data are what the log says: only digests are measured.

pub use crate::event_type::EventType;
use crate::{budget, hash::Hash, reader::Reader};
use core::fmt;

/// A log whose header was read; its events are not.
#[derive(Debug, Clone)]
pub struct EventLog<'a> {
    format: Format,
    banks: heapless::Vec<BankSize, { budget::LOG_BANKS }>,
    first: Event<'a>,
    rest: &'a [u8],
    rest_offset: usize,
}

/// Which of the two formats a log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TCG_PCR_EVENT2 after a Spec ID event (§10.2.1, §10.4.5.1).
    CryptoAgile {
        /// specVersionMajor.
        major: u8,
        /// specVersionMinor.
        minor: u8,
        /// specErrata.
        errata: u8,
        /// Size of UINTN: 1 is 32 bits, 2 is 64 bits.
        uintn: u8,
    },
    /// TCG_PCR_EVENT throughout: SHA-1 only.
    LegacySha1,
}

impl Format {
    /// Bytes of an event without digests (in the new format) and data.
    fn least_bytes(self) -> usize {
        match self {
            Format::CryptoAgile { .. } => 16,
            Format::LegacySha1 => LEGACY_BYTES,
        }
    }
}

/// A bank that the header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BankSize {
    /// TPM_ALG_ID.
    pub algorithm_id: u16,
    /// Bytes of one digest.
    pub size_bytes: u16,
}

/// The name of the bank's algorithm, also of those that are not replayed here (TCG Algorithm Registry 1.34, table 3).
impl fmt::Display for BankSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (Hash::from_algorithm_id(self.algorithm_id), self.algorithm_id) {
            (Some(hash), _) => f.write_str(hash.name()),
            (None, 0x12) => f.write_str("sm3_256"),
            (None, 0x27) => f.write_str("sha3_256"),
            (None, 0x28) => f.write_str("sha3_384"),
            (None, 0x29) => f.write_str("sha3_512"),
            (None, id) => write!(f, "{id:#06x}"),
        }
    }
}

/// One event. Only its digests were measured; `event_type` and `data` are what the log says of them.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// From 0, in the order of the log.
    pub number: u32,
    /// The PCR; at most 23 unless the event is EV_NO_ACTION.
    pub pcr: u32,
    /// What the log says this is.
    pub event_type: EventType,
    /// The data that the log carries along. Measured only as far as the digest is over it: see `eventdata`.
    pub untrusted_data: &'a [u8],
    digests: [Option<&'a [u8]>; 4],
}

impl<'a> Event<'a> {
    /// The digest for a bank; `None` where the event has none.
    pub fn digest(&self, bank: Hash) -> Option<&'a [u8]> {
        let [sha1, sha256, sha384, sha512] = self.digests;
        match bank {
            Hash::Sha1 => sha1,
            Hash::Sha256 => sha256,
            Hash::Sha384 => sha384,
            Hash::Sha512 => sha512,
        }
    }

    /// Whether the event extended its PCR; EV_NO_ACTION never does.
    pub fn is_measured(&self) -> bool {
        self.event_type != EventType::NO_ACTION
    }
}

/// Why a log, or what is left of it, is not read; firmware, or whoever carried the log, is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogError {
    /// Larger than the budget.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// No event at all.
    Empty,
    /// The header event ends early, or its fields contradict each other.
    Header,
    /// A confidential-computing log (CCEL: registers of TDX), not a TPM's.
    NotATpmLog,
    /// An event ends beyond the log.
    Truncated {
        /// Its number.
        event: u32,
        /// Where it starts, in bytes.
        offset: usize,
    },
    /// An event has a bank that the header does not name, a bank twice, or more banks than the header.
    Digests {
        /// Its number.
        event: u32,
    },
    /// An event of a PCR beyond 23.
    Pcr {
        /// Its number.
        event: u32,
        /// The index found.
        pcr: u32,
    },
    /// More events than the budget.
    TooMany,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::TooLong { found_bytes } => {
                write!(f, "the event log has {found_bytes} bytes, at most {} are read", budget::LOG_BYTES)
            }
            LogError::Empty => f.write_str("the event log holds no event"),
            LogError::Header => f.write_str("the event log's Spec ID event is malformed"),
            LogError::NotATpmLog => f.write_str("a confidential-computing event log (CCEL), not a TPM's"),
            LogError::Truncated { event, offset } => {
                write!(f, "event {event} at byte {offset} ends beyond the event log")
            }
            LogError::Digests { event } => {
                write!(f, "event {event} has digests that the log's header does not announce")
            }
            LogError::Pcr { event, pcr } => write!(f, "event {event} names PCR {pcr}; a TPM has PCR 0 to 23"),
            LogError::TooMany => write!(f, "more than {} events", budget::LOG_EVENTS),
        }
    }
}

impl core::error::Error for LogError {}

impl<'a> EventLog<'a> {
    /// Reads the header, which in the old format is simply the first event.
    pub fn parse(bytes: &'a [u8]) -> Result<EventLog<'a>, LogError> {
        if bytes.len() > budget::LOG_BYTES {
            return Err(LogError::TooLong { found_bytes: bytes.len() });
        }
        let mut reader = Reader { bytes };
        if ends(bytes, LEGACY_BYTES) {
            return Err(LogError::Empty);
        }
        let first = legacy_event(&mut reader, 0).ok_or(LogError::Header)?;
        let spec = (!first.is_measured()).then(|| first.untrusted_data.strip_prefix(SPEC_ID_03)).flatten();
        let (format, banks) = match spec {
            Some(_) if first.pcr != 0 => return Err(LogError::NotATpmLog),
            Some(spec) => spec_id(spec, &mut reader).ok_or(LogError::Header)?,
            None if !first.is_measured() && !first.untrusted_data.starts_with(SPEC_ID) => return Err(LogError::Header),
            None => (Format::LegacySha1, sha1_only()),
        };
        if first.pcr > LAST_PCR {
            return Err(LogError::Pcr { event: 0, pcr: first.pcr });
        }
        let rest_offset = bytes.len().saturating_sub(reader.bytes.len());
        Ok(EventLog { format, banks, first, rest: reader.bytes, rest_offset })
    }

    /// Which format the log has.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The banks that the header names, in its order.
    pub fn banks(&self) -> &[BankSize] {
        &self.banks
    }

    /// Whether the log carries digests for a bank.
    pub fn has_bank(&self, bank: Hash) -> bool {
        self.banks.iter().any(|size| size.algorithm_id == bank.algorithm_id())
    }

    /// All events, the header's first.
    pub fn events(&self) -> Events<'a, '_> {
        Events { log: self, reader: Reader { bytes: self.rest }, number: 0, ended: false }
    }
}

/// Iterator over a log's events; ends at the log's end, at its padding, or after the first error.
#[derive(Debug, Clone)]
pub struct Events<'a, 'l> {
    log: &'l EventLog<'a>,
    reader: Reader<'a>,
    number: u32,
    ended: bool,
}

impl<'a> Iterator for Events<'a, '_> {
    type Item = Result<Event<'a>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let number = self.number;
        self.number = number.saturating_add(1);
        if number == 0 {
            return Some(Ok(self.log.first));
        }
        if ends(self.reader.bytes, self.log.format.least_bytes()) {
            self.ended = true;
            return None;
        }
        let event = self.read(number);
        self.ended = event.is_err();
        Some(event)
    }
}

impl<'a> Events<'a, '_> {
    /// Bytes that were not read: padding, or what follows a fault.
    pub fn unread_bytes(&self) -> usize {
        self.reader.bytes.len()
    }

    fn read(&mut self, number: u32) -> Result<Event<'a>, LogError> {
        if number > budget::LOG_EVENTS {
            return Err(LogError::TooMany);
        }
        let consumed = self.log.rest.len().saturating_sub(self.reader.bytes.len());
        let offset = self.log.rest_offset.saturating_add(consumed);
        let truncated = LogError::Truncated { event: number, offset };
        let event = match self.log.format {
            Format::LegacySha1 => legacy_event(&mut self.reader, number).ok_or(truncated)?,
            Format::CryptoAgile { .. } => self.agile_event(number, truncated)?,
        };
        if event.is_measured() && event.pcr > LAST_PCR {
            return Err(LogError::Pcr { event: number, pcr: event.pcr });
        }
        Ok(event)
    }

    /// TCG_PCR_EVENT2 (§10.2.2).
    fn agile_event(&mut self, number: u32, truncated: LogError) -> Result<Event<'a>, LogError> {
        let reader = &mut self.reader;
        let pcr = reader.u32().ok_or(truncated)?;
        let event_type = EventType(reader.u32().ok_or(truncated)?);
        let count = reader.u32().ok_or(truncated)?;
        let fault = LogError::Digests { event: number };
        if usize::try_from(count).map_or(true, |count| count > self.log.banks.len()) {
            return Err(fault);
        }
        let mut digests = [None; 4];
        for _ in 0..count {
            let id = reader.u16().ok_or(truncated)?;
            let bank = self.log.banks.iter().find(|bank| bank.algorithm_id == id).ok_or(fault)?;
            let digest = reader.take(usize::from(bank.size_bytes)).ok_or(truncated)?;
            let slot = slot(id).and_then(|slot| digests.get_mut(slot));
            if slot.is_some_and(|slot| slot.replace(digest).is_some()) {
                return Err(fault);
            }
        }
        let untrusted_data = reader.sized().ok_or(truncated)?;
        Ok(Event { number, pcr, event_type, untrusted_data, digests })
    }
}

/// TCG_PCR_EVENT (§10.2.1).
fn legacy_event<'a>(reader: &mut Reader<'a>, number: u32) -> Option<Event<'a>> {
    let pcr = reader.u32()?;
    let event_type = EventType(reader.u32()?);
    let digest = reader.take(Hash::Sha1.size_bytes())?;
    let untrusted_data = reader.sized()?;
    Some(Event { number, pcr, event_type, untrusted_data, digests: [Some(digest), None, None, None] })
}

/// TCG_EfiSpecIdEvent after its signature (§10.4.5.1). Firmware is known to leave the vendor's information out of the
/// event's size; then it stands in the `rest` of the log and is skipped there.
fn spec_id(bytes: &[u8], rest: &mut Reader<'_>) -> Option<(Format, heapless::Vec<BankSize, { budget::LOG_BANKS }>)> {
    let mut reader = Reader { bytes };
    reader.u32()?; // platformClass
    let [minor, major, errata, uintn] = reader.array()?;
    let count = reader.u32()?;
    let mut banks = heapless::Vec::new();
    for _ in 0..count {
        let (algorithm_id, size_bytes) = (reader.u16()?, reader.u16()?);
        let expected = Hash::from_algorithm_id(algorithm_id).map(Hash::size_bytes);
        let named_twice = banks.iter().any(|bank: &BankSize| bank.algorithm_id == algorithm_id);
        if named_twice || size_bytes == 0 || expected.is_some_and(|size| size != usize::from(size_bytes)) {
            return None;
        }
        banks.push(BankSize { algorithm_id, size_bytes }).ok()?;
    }
    let [vendor_bytes] = reader.array().unwrap_or([0]);
    rest.take(usize::from(vendor_bytes).saturating_sub(reader.bytes.len()))?;
    (!banks.is_empty()).then_some((Format::CryptoAgile { major, minor, errata, uintn }, banks))
}

fn sha1_only() -> heapless::Vec<BankSize, { budget::LOG_BANKS }> {
    core::iter::once(BankSize { algorithm_id: Hash::Sha1.algorithm_id(), size_bytes: 20 }).collect()
}

fn slot(algorithm_id: u16) -> Option<usize> {
    Hash::ALL.into_iter().position(|hash| hash.algorithm_id() == algorithm_id)
}

/// Whether a log ends here: at the end of bytes, at an index of 0xFFFFFFFF (which ends a log, or starts 0xFF padding), or
/// at an event of zeros only (which starts zero padding). What follows such an end is not read.
fn ends(bytes: &[u8], least_bytes: usize) -> bool {
    let header = bytes.get(..least_bytes).unwrap_or(bytes);
    let is_filled_with = |fill: u8| header.iter().all(|byte| *byte == fill);
    bytes.starts_with(&[0xff; 4]) || is_filled_with(0) || is_filled_with(0xff)
}

/// Signature of a TCG_EfiSpecIdEvent (§10.4.5.1).
const SPEC_ID_03: &[u8] = b"Spec ID Event03\0";
/// Start of the older signatures, of logs in the SHA-1 format (PC Client Implementation 1.21, §11.3.4.1).
const SPEC_ID: &[u8] = b"Spec ID Event0";
/// TCG_PCR_EVENT without data (§10.2.1).
const LEGACY_BYTES: usize = 32;
/// PTP 1.06, 4.6.
const LAST_PCR: u32 = 23;
