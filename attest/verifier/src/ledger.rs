//! The entries of a node's ledger, asked for after its answer, whose commits cover them.
//!
//! A node that sends none, or others, has an answer all the same: what it ran is then unknown.

use crate::{budget::LEDGER_TIME, error::VerifierError, session::Session};
use bytes::Bytes;
use garant_attest::{
    budget::{ENTRY_MESSAGES, LEDGER_ENTRIES, LEDGER_ENTRIES_BYTES},
    ledger::SentEntry,
    verify::Verified,
    wire::Entries,
    workload::SentLedger,
};
use std::time::Instant;

/// Messages with entries, claimed all of them.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    messages: Vec<Bytes>,
    fault: Option<String>,
}

impl Ledger {
    /// Asks for all entries that the answer's commits cover. Nothing is asked where there are none.
    pub async fn ask(session: &mut Session, verified: &Verified<'_>) -> Ledger {
        let mut ledger = Ledger::default();
        let Some(last) = verified.commits().last().map(|commit| commit.last) else { return ledger };
        ledger.fault = ledger.fetch(session, last).await.err();
        ledger
    }

    /// Messages that were kept.
    pub fn of<'m>(messages: impl Iterator<Item = &'m [u8]>) -> Ledger {
        Ledger { messages: messages.take(ENTRY_MESSAGES).map(Bytes::copy_from_slice).collect(), fault: None }
    }

    /// All messages, as they came.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.messages.iter().map(|message| &message[..])
    }

    /// Their entries, from the first of the boot on, as far as the messages go on from each other.
    pub fn entries(&self) -> Vec<SentEntry<'_>> {
        let mut entries = Vec::new();
        for message in &self.messages {
            let Ok(read) = Entries::decode(message) else { break };
            if usize::try_from(read.1).ok().and_then(|first| first.checked_sub(1)) != Some(entries.len()) {
                break;
            }
            entries.extend_from_slice(&read.2);
        }
        entries
    }

    /// What is weighed: these are its own entries.
    pub fn sent<'a>(&'a self, entries: &'a [SentEntry<'a>]) -> SentLedger<'a> {
        SentLedger { entries, fault: self.fault.as_deref() }
    }

    /// Goes on until all are there. The error says why they are not.
    async fn fetch(&mut self, session: &mut Session, last: u64) -> Result<(), String> {
        let begun = Instant::now();
        let (mut next, mut weight) = (1u64, 0usize);
        while next <= last {
            let left = LEDGER_TIME.checked_sub(begun.elapsed()).ok_or("the node takes too long")?;
            let message = session.entries(next, left).await.map_err(|error| error.to_string())?;
            let read = Entries::decode(&message).map_err(|error| VerifierError::Entries(error).to_string())?;
            if read.1 != next {
                return Err(format!("asked for entries from {next} on, it sends some from {} on", read.1));
            }
            let count = read.2.len();
            if count == 0 {
                return Err(format!("it has none from {next} on"));
            }
            next = next.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            weight = weight.saturating_add(message.len());
            self.messages.push(message);
            let is_too_much = weight > LEDGER_ENTRIES_BYTES
                || self.messages.len() >= ENTRY_MESSAGES
                || next > u64::try_from(LEDGER_ENTRIES).unwrap_or(u64::MAX);
            if is_too_much && next <= last {
                return Err(format!("{last} entries are more than are weighed"));
            }
        }
        Ok(())
    }
}
