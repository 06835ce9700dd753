//! The quoted PCRs beside what log, IMA list and ledger lead to: for each bank and PCR one state.
//!
//! A fact, not a judgement: which PCRs must be covered, and which values may be pinned, is the policy's.

use crate::{
    engine::{Digest, Engine},
    quote::{PCRS, QuotedPcrs},
    replay::{ReplayedLog, replay},
};
use garant_hw::{
    eventlog::{EventLog, LogError},
    hash::Hash,
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
    /// An event has no digest for this bank, or there is no log: nothing is known.
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
    states: [[PcrState; PCRS]; 4],
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

    /// The state of one PCR in one bank.
    pub fn state(&self, bank: Hash, pcr: usize) -> PcrState {
        let states = Hash::ALL.into_iter().zip(&self.states).find(|(hash, _)| *hash == bank);
        states.and_then(|(_, states)| states.get(pcr)).copied().unwrap_or(PcrState::NotQuoted)
    }
}

/// PCRs that something else than the boot log proves: entry 0 and the commits of the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Proven {
    /// The ledger's PCR, where entry 0 was proven.
    pub ledger_pcr: Option<usize>,
}

/// Compares the quoted values with the replay.
pub fn measure<'a>(
    engine: &dyn Engine,
    pcrs: QuotedPcrs<'a>,
    log: Option<&'a [u8]>,
    proven: Proven,
) -> MeasuredBoot<'a> {
    let log = match log.map(EventLog::parse) {
        None => SentLog::Absent,
        Some(Err(fault)) => SentLog::Unreadable(fault),
        Some(Ok(log)) => SentLog::Read { replayed: replay(engine, &log, Hash::Sha256, |_, _| ()), log },
    };
    let states = Hash::ALL.map(|bank| core::array::from_fn(|pcr| state(engine, &pcrs, &log, proven, bank, pcr)));
    MeasuredBoot { pcrs, log, states }
}

fn state(
    engine: &dyn Engine,
    pcrs: &QuotedPcrs<'_>,
    log: &SentLog<'_>,
    proven: Proven,
    bank: Hash,
    pcr: usize,
) -> PcrState {
    let Some(quoted) = pcrs.bank(bank).and_then(|values| values.pcr(pcr)) else { return PcrState::NotQuoted };
    let SentLog::Read { log, replayed } = log else {
        let is_proven = proven.ledger_pcr == Some(pcr);
        return if is_proven { PcrState::Replayed } else { PcrState::NotCovered };
    };
    let Some(replayed) = replayed.bank(bank).pcr(pcr) else { return PcrState::NotCovered };
    if proven.ledger_pcr == Some(pcr) && replayed.events() == 0 {
        return PcrState::Replayed;
    }
    let value = replayed.value();
    let is_whole = replayed.uncovered().is_none() && (log.has_bank(bank) || replayed.events() > 0);
    let cap = || engine.digest(bank, &[value.as_bytes(), Digest::zero(bank).as_bytes()]);
    match (is_whole, value.as_bytes() == quoted) {
        (true, true) => PcrState::Replayed,
        _ if cap().as_bytes() == quoted => PcrState::Capped,
        (true, false) => PcrState::Mismatch { replayed: value },
        (false, _) => PcrState::NotCovered,
    }
}
