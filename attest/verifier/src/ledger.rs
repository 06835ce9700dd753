//! The entries of a node's ledger, asked for after its answer, whose commits cover them.
//!
//! A node that sends none, or others, has an answer all the same: what it ran is then unknown.

use crate::{
    budget::{HELD_LEDGERS_BYTES, LEDGER_TIME},
    error::VerifierError,
    session::Session,
};
use bytes::Bytes;
use garant_attest::{
    budget::{ENTRY_MESSAGES, LEDGER_ENTRIES, LEDGER_ENTRIES_BYTES},
    ledger::SentEntry,
    verify::Verified,
    wire::Entries,
    workload::SentLedger,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Messages with entries, claimed all of them.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    messages: Vec<Bytes>,
    fault: Option<String>,
}

impl Ledger {
    /// Asks for all entries that the answer's commits cover. Nothing is asked where there are none.
    pub async fn ask(session: &mut Session, verified: &Verified<'_>) -> Ledger {
        Ledger::default().go_on(session, verified).await
    }

    /// Asks for those that came since these messages of the same boot.
    pub async fn go_on(mut self, session: &mut Session, verified: &Verified<'_>) -> Ledger {
        let Some(last) = verified.commits().last().map(|commit| commit.last) else { return self };
        self.fault = self.fetch(session, last).await.err();
        self
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

    fn weight_bytes(&self) -> usize {
        self.messages.iter().fold(0, |sum, message| sum.saturating_add(message.len()))
    }

    /// Goes on until all are there. The error says why they are not.
    async fn fetch(&mut self, session: &mut Session, last: u64) -> Result<(), String> {
        let begun = Instant::now();
        let mut next = u64::try_from(self.entries().len()).unwrap_or(u64::MAX).saturating_add(1);
        let mut weight = self.weight_bytes();
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

/// Ledgers of nodes that are asked again and again: what came once is not asked for again in the same boot. In memory
/// only, and only as much of it as fits.
#[derive(Debug, Default)]
pub struct HeldLedgers {
    held: Mutex<ByNode>,
}

/// By node id, with the boot id.
type ByNode = BTreeMap<[u8; 32], ([u8; 32], Ledger)>;

impl HeldLedgers {
    /// What is held of a node's ledger of this boot; whoever takes it may put it back.
    pub fn take(&self, node: &[u8; 32], boot: &[u8; 32]) -> Ledger {
        let held = self.held().remove(node).filter(|(of, _)| of == boot);
        held.map(|(_, ledger)| ledger).unwrap_or_default()
    }

    /// Holds a whole ledger. One of many small messages is asked for anew next time, in a few large ones.
    pub fn put(&self, node: [u8; 32], boot: [u8; 32], ledger: Ledger) {
        let mut held = self.held();
        let weight = held.values().fold(ledger.weight_bytes(), |sum, (_, one)| sum.saturating_add(one.weight_bytes()));
        if ledger.fault.is_none() && ledger.messages.len() < ENTRY_MESSAGES / 2 && weight <= HELD_LEDGERS_BYTES {
            held.insert(node, (boot, ledger));
        }
    }

    fn held(&self) -> MutexGuard<'_, ByNode> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(messages: usize, length: usize) -> Ledger {
        Ledger { messages: vec![Bytes::from(vec![0; length]); messages], fault: None }
    }

    #[test]
    fn a_ledger_is_held_for_its_boot_where_it_is_whole_and_there_is_room() {
        let held = HeldLedgers::default();
        held.put([1; 32], [7; 32], ledger(3, 9));
        assert_eq!(held.take(&[1; 32], &[7; 32]).messages.len(), 3);
        assert_eq!(held.take(&[1; 32], &[7; 32]).messages.len(), 0, "whoever takes it has it");
        for (boot, wrong) in [
            ([8; 32], ledger(3, 9)),
            ([7; 32], Ledger { fault: Some("silent".into()), ..ledger(3, 9) }),
            ([7; 32], ledger(ENTRY_MESSAGES / 2, 1)),
            ([7; 32], ledger(1, HELD_LEDGERS_BYTES + 1)),
        ] {
            held.put([1; 32], boot, wrong);
            assert_eq!(held.take(&[1; 32], &[7; 32]).messages.len(), 0);
        }
        held.put([1; 32], [7; 32], ledger(1, HELD_LEDGERS_BYTES));
        held.put([2; 32], [7; 32], ledger(1, 1));
        assert_eq!(held.take(&[2; 32], &[7; 32]).messages.len(), 0, "no room beside another's");
    }
}
