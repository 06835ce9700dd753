//! The quoted PCRs beside what log, IMA list and ledger lead to: for each bank and PCR one state.
//!
//! A fact, not a judgement: which PCRs must be covered, and which values may be pinned, is the policy's.

use crate::{
    engine::{Digest, Engine},
    ima::{self, CoveredList},
    quote::{PCRS, QuotedPcrs},
    replay::{ReplayedLog, replay},
};
use garant_hw::{
    eventlog::{EventLog, LogError},
    hash::Hash,
    ima::ImaList,
};

/// How a quoted PCR stands to the replay. The policy may pin a value whatever its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PcrState {
    /// The quote did not select it, or its bank is not allocated.
    NotQuoted,
    /// Log, IMA list or ledger lead to the quoted value.
    Replayed,
    /// The quoted value is the replay followed by one extension of zeros that no log holds: the OS closed this bank.
    Capped,
    /// An event has no digest for this bank, no event is of this PCR beyond 7, or there is no log: nothing is known.
    NotCovered,
    /// The log leads elsewhere.
    Mismatch {
        /// Where it leads.
        replayed: Digest,
    },
}

/// What a log is, where one was sent.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one per verification, on the stack: no allocation")]
pub enum SentLog<'a> {
    /// None was sent.
    Absent,
    /// Its header cannot be read.
    Unreadable(LogError),
    /// Read, at least up to its fault.
    Read {
        /// The log.
        log: EventLog<'a>,
        /// Where it leads.
        replayed: ReplayedLog,
    },
}

/// Quoted PCRs with their states. Holding one proves that the TPM quoted these values, and that each state was
/// computed from the log that is in it.
#[derive(Debug, Clone)]
pub struct MeasuredBoot<'a> {
    pcrs: QuotedPcrs<'a>,
    log: SentLog<'a>,
    ima: Option<CoveredIma<'a>>,
    states: [[PcrState; PCRS]; 4],
}

/// An IMA list of which a prefix leads to the quoted PCR 10 in every bank.
#[derive(Debug, Clone, Copy)]
pub struct CoveredIma<'a> {
    sent: SentIma<'a>,
    covered: CoveredList,
}

impl<'a> CoveredIma<'a> {
    /// The proven entries.
    pub fn entries(&self) -> impl Iterator<Item = garant_hw::ima::ImaEntry<'a>> {
        let end = self.covered.entries;
        ImaList::from(self.sent.first, self.sent.list).map_while(Result::ok).take_while(move |entry| entry.number < end)
    }

    /// How much of the list the quote covers.
    pub fn covered(&self) -> CoveredList {
        self.covered
    }
}

/// An IMA list as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct SentIma<'a> {
    /// Number of the first entry sent.
    pub first: u64,
    /// The binary list from there on.
    pub list: &'a [u8],
}

/// PCR 10 after the first entries of a list, as an earlier quote of the same boot proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaResume {
    /// Entries until then.
    pub entries: u64,
    /// PCR 10, for each bank.
    pub values: heapless::Vec<Digest, 4>,
}

impl<'a> MeasuredBoot<'a> {
    /// The quoted values.
    pub fn pcrs(&self) -> &QuotedPcrs<'a> {
        &self.pcrs
    }

    /// The log.
    pub fn log(&self) -> &SentLog<'a> {
        &self.log
    }

    /// The IMA list, where a prefix of it leads to PCR 10 in every quoted bank.
    pub fn ima(&self) -> Option<&CoveredIma<'a>> {
        self.ima.as_ref()
    }

    /// Where the next answer may resume the IMA list.
    pub fn ima_resume(&self) -> Option<ImaResume> {
        let entries = self.ima?.covered.entries;
        let value = |bank: &crate::quote::QuotedBank<'_>| Digest::new(bank.hash(), bank.pcr(IMA_PCR)?);
        let values: Option<heapless::Vec<Digest, 4>> = self.pcrs.banks().iter().map(value).collect();
        Some(ImaResume { entries, values: values? })
    }

    /// The state of one PCR in one bank.
    pub fn state(&self, bank: Hash, pcr: usize) -> PcrState {
        let states = Hash::ALL.into_iter().zip(&self.states).find(|(hash, _)| *hash == bank);
        states.and_then(|(_, states)| states.get(pcr)).copied().unwrap_or(PcrState::NotQuoted)
    }
}

/// What was sent beside the quote, and what was already proven of it.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The boot log.
    pub log: Option<&'a [u8]>,
    /// The IMA list.
    pub ima: Option<SentIma<'a>>,
    /// The ledger's PCR, where entry 0 and the commits were shown to lead to it.
    pub proven_ledger_pcr: Option<usize>,
}

/// Compares the quoted values with the replay.
pub fn measure<'a>(
    engine: &dyn Engine,
    pcrs: QuotedPcrs<'a>,
    sent: Sent<'a>,
    resume: Option<&ImaResume>,
) -> MeasuredBoot<'a> {
    let log = match sent.log.map(EventLog::parse) {
        None => SentLog::Absent,
        Some(Err(fault)) => SentLog::Unreadable(fault),
        Some(Ok(log)) => SentLog::Read { replayed: replay(engine, &log, Hash::Sha256, |_, _| ()), log },
    };
    let ima = sent.ima.and_then(|ima| covered_ima(engine, &pcrs, &log, ima, resume));
    let state = |bank, pcr| {
        let is_proven = sent.proven_ledger_pcr == Some(pcr) || (ima.is_some() && pcr == IMA_PCR);
        state(engine, &pcrs, &log, is_proven, bank, pcr)
    };
    let states = Hash::ALL.map(|bank| core::array::from_fn(|pcr| state(bank, pcr)));
    MeasuredBoot { pcrs, log, ima, states }
}

/// The list, where it leads to PCR 10 in every quoted bank, and to the same entry in each.
fn covered_ima<'a>(
    engine: &dyn Engine,
    pcrs: &QuotedPcrs<'a>,
    log: &SentLog<'a>,
    sent: SentIma<'a>,
    resume: Option<&ImaResume>,
) -> Option<CoveredIma<'a>> {
    let mut found: Option<CoveredList> = None;
    for bank in pcrs.banks() {
        let start = match resume.filter(|resume| resume.entries == sent.first) {
            Some(resume) => *resume.values.iter().find(|value| value.hash() == bank.hash())?,
            None if sent.first == 0 => log_value(log, bank.hash(), IMA_PCR)?,
            None => return None,
        };
        let list = ImaList::from(sent.first, sent.list);
        let covered = ima::covered(engine, bank.hash(), start, list, sent.first, bank.pcr(IMA_PCR)?)?;
        if found.is_some_and(|found| found != covered) {
            return None;
        }
        found = Some(covered);
    }
    Some(CoveredIma { sent, covered: found? })
}

/// Where the log leads; without a log nothing was extended before the kernel.
fn log_value(log: &SentLog<'_>, bank: Hash, pcr: usize) -> Option<Digest> {
    match log {
        SentLog::Read { replayed, .. } => Some(replayed.bank(bank).pcr(pcr)?.value()),
        SentLog::Absent | SentLog::Unreadable(_) => Some(Digest::zero(bank)),
    }
}

fn state(
    engine: &dyn Engine,
    pcrs: &QuotedPcrs<'_>,
    log: &SentLog<'_>,
    is_proven: bool,
    bank: Hash,
    pcr: usize,
) -> PcrState {
    let Some(quoted) = pcrs.bank(bank).and_then(|values| values.pcr(pcr)) else { return PcrState::NotQuoted };
    if is_proven {
        return PcrState::Replayed;
    }
    let SentLog::Read { log, replayed } = log else { return PcrState::NotCovered };
    let Some(replayed) = replayed.bank(bank).pcr(pcr) else { return PcrState::NotCovered };
    let value = replayed.value();
    let is_whole = replayed.uncovered().is_none() && log.has_bank(bank);
    let cap = || engine.digest(bank, &[value.as_bytes(), Digest::zero(bank).as_bytes()]);
    match (is_whole, value.as_bytes() == quoted) {
        (true, true) => PcrState::Replayed,
        _ if cap().as_bytes() == quoted => PcrState::Capped,
        // No event of this boot's log: written later, by an OS that keeps another log or none.
        (true, false) if pcr > LAST_FIRMWARE_PCR && replayed.events() == 0 => PcrState::NotCovered,
        (true, false) => PcrState::Mismatch { replayed: value },
        (false, _) => PcrState::NotCovered,
    }
}

/// Firmware writes PCR 0 to 7 and logs all of it; the OS may write the others (PFP 1.06, 3.3.4).
const LAST_FIRMWARE_PCR: usize = 7;
/// PCR 10.
const IMA_PCR: usize = 10;
