//! The ledger of this boot: acts are written into the journal, committed together, and extended into the TPM. Left out: what
//! acts mean (`vm`), and how commits are shown (`evidence`).
//!
//! Whoever writes gets a number at once, and may wait until the TPM has it. While one extension runs, entries gather for
//! the next commit, so that a slow chip serialises nothing.

mod journal;

use self::journal::{Journal, Record, RecordKind};
use crate::{
    budget::LEDGER_COMMITS,
    tpm_task::{TaskError, TpmClient},
};
use garant_attest::{
    cbor::{self, CborError},
    engine::sha256,
    ledger::{self, Act, Commit, Entry},
};
use garant_channel::engine::FastEngine;
use garant_hw::hash::Hash;
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Notify, watch};

/// Why an act is not written, or the ledger cannot go on.
#[derive(Debug)]
pub enum LedgerError {
    /// As many commits as evidence carries.
    Full,
    /// The journal cannot be written.
    Journal(io::Error),
    /// The journal of this boot is not what a server writes.
    Torn,
    /// The PCR holds what no commit of this boot leads to.
    Foreign,
    /// The TPM did not extend.
    Tpm(TaskError),
    /// The ledger has ended; the server will.
    Ended,
    /// Ours: an act that cannot be encoded, or no random numbers.
    Encoding,
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerError::Full => f.write_str("the ledger of this boot is full: reboot the node"),
            LedgerError::Journal(_) => f.write_str("the journal cannot be written"),
            LedgerError::Torn => f.write_str("the journal of this boot is not one"),
            LedgerError::Foreign => f.write_str("something else than garantd extended the ledger's PCR"),
            LedgerError::Tpm(_) => f.write_str("the TPM did not take an entry of the ledger"),
            LedgerError::Ended => f.write_str("the ledger has ended with the TPM"),
            LedgerError::Encoding => f.write_str("an entry of ours cannot be written"),
        }
    }
}

impl std::error::Error for LedgerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LedgerError::Journal(source) => Some(source),
            LedgerError::Tpm(source) => Some(source),
            _ => None,
        }
    }
}

impl From<CborError> for LedgerError {
    fn from(_: CborError) -> LedgerError {
        LedgerError::Encoding
    }
}

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> LedgerError {
        LedgerError::Journal(error)
    }
}

/// The ledger. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Entries wait for a commit.
    waiting: Notify,
    /// Number of the last entry that the TPM has.
    extended: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    journal: Journal,
    entries: Vec<Entry>,
    commits: Vec<Commit>,
    /// So many commits are in the PCR.
    extended: usize,
    /// The PCR in SHA-256 after them, allocated or not.
    head: [u8; 32],
    /// The PCR holds what no commit leads to: evidence shows that, and nothing more is written.
    is_foreign: bool,
}

/// What a predecessor of this server, in the same boot, wrote down.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Definitions and what became of them, in order.
    pub definitions: Vec<Definition>,
    /// Acts, in order; the first has number 1.
    pub acts: Vec<Act>,
    /// The VMMs of the pool that starts got, by the starts' numbers.
    pub claims: BTreeMap<u64, u64>,
}

/// A change of what the node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// This VM is to be, JSON.
    Defined(Vec<u8>),
    /// The VM of this id is forgotten, JSON.
    Forgotten(Vec<u8>),
}

/// What the TPM holds of the ledger at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extended {
    /// The commits, as evidence has them.
    pub commits: Vec<u8>,
    /// How many.
    pub count: u64,
    /// The PCR in SHA-256 after them.
    pub head: [u8; 32],
}

impl Ledger {
    /// Goes on where the last server of this boot ended. `value` is the ledger's PCR in one bank: what it does not hold yet is
    /// extended first.
    pub fn open(journal: File, entry_zero: &[u8], value: &(Hash, Vec<u8>)) -> Result<(Ledger, Recovered), LedgerError> {
        let (journal, records) = Journal::open(journal)?;
        let (mut entries, mut commits, mut recovered) = (Vec::new(), Vec::new(), Recovered::default());
        for Record { kind, bytes } in records {
            match kind {
                RecordKind::Defined => recovered.definitions.push(Definition::Defined(bytes)),
                RecordKind::Forgotten => recovered.definitions.push(Definition::Forgotten(bytes)),
                RecordKind::Entry => {
                    let (entry, act) = Entry::read(&bytes).ok_or(LedgerError::Torn)?;
                    entries.push(entry);
                    recovered.acts.push(act);
                }
                RecordKind::Claim => {
                    let (number, run) = claim(&bytes).ok_or(LedgerError::Torn)?;
                    recovered.claims.insert(number, run);
                }
                RecordKind::Commit => commits.extend(Commit::list(&bytes).ok_or(LedgerError::Torn)?),
            }
        }
        let (bank, value) = value;
        let lead = |count: &usize| {
            let prefix = commits.iter().take(*count).copied();
            ledger::replay(&FastEngine, *bank, entry_zero, prefix).is_ok_and(|(head, _)| head.as_bytes() == value)
        };
        let led = (0..=commits.len()).rev().find(lead);
        let extended = led.unwrap_or(commits.len());
        let prefix = commits.iter().take(extended).copied();
        let (head, _) = ledger::replay(&FastEngine, Hash::Sha256, entry_zero, prefix)?;
        let head = head.as_bytes().try_into().map_err(|_| LedgerError::Encoding)?;
        let state = State { journal, entries, commits, extended, head, is_foreign: led.is_none() };
        let shared =
            Shared { extended: watch::Sender::new(state.last()), state: Mutex::new(state), waiting: Notify::new() };
        Ok((Ledger { shared: Arc::new(shared) }, recovered))
    }

    /// Writes an act down; its number. What is not extended yet is shown by nothing.
    pub fn write(&self, act: &Act) -> Result<u64, LedgerError> {
        self.append(act, |_, _| Ok(()))
    }

    /// The same for a start that got this VMM of the pool.
    pub fn claim(&self, start: &Act, run: u64) -> Result<u64, LedgerError> {
        self.append(start, |journal, number| {
            let bytes = [number.to_be_bytes(), run.to_be_bytes()].concat();
            journal.append(RecordKind::Claim, &bytes)
        })
    }

    fn append(&self, act: &Act, beside: impl FnOnce(&mut Journal, u64) -> io::Result<()>) -> Result<u64, LedgerError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| LedgerError::Encoding)?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let entry = Entry::new(act, time, salt)?;
        let bytes = cbor::encode(&entry.open())?;
        let mut state = self.state();
        if state.is_foreign {
            return Err(LedgerError::Foreign);
        }
        if state.commits.len() >= LEDGER_COMMITS {
            return Err(LedgerError::Full);
        }
        state.journal.append(RecordKind::Entry, &bytes)?;
        state.entries.push(entry);
        let number = count(state.entries.len());
        let noted = beside(&mut state.journal, number);
        drop(state);
        self.shared.waiting.notify_one();
        noted?;
        Ok(number)
    }

    /// Writes an act down and waits until the TPM has it.
    pub async fn extend(&self, act: &Act) -> Result<u64, LedgerError> {
        let number = self.write(act)?;
        self.reach(number).await?;
        Ok(number)
    }

    /// Waits until the TPM has the entry of this number.
    pub async fn reach(&self, number: u64) -> Result<(), LedgerError> {
        let mut extended = self.shared.extended.subscribe();
        extended.wait_for(|last| *last >= number).await.map(drop).map_err(|_| LedgerError::Ended)
    }

    /// Writes down what no entry says.
    pub fn define(&self, definition: &Definition) -> Result<(), LedgerError> {
        let (kind, bytes) = match definition {
            Definition::Defined(bytes) => (RecordKind::Defined, bytes),
            Definition::Forgotten(bytes) => (RecordKind::Forgotten, bytes),
        };
        Ok(self.state().journal.append(kind, bytes)?)
    }

    /// What the TPM holds now. In the TPM's task it stays so until the next command.
    pub fn extended(&self) -> Extended {
        let state = self.state();
        let commits: Vec<u8> = state.commits.iter().take(state.extended).flat_map(Commit::to_bytes).collect();
        Extended { commits, count: count(state.extended), head: state.head }
    }

    /// Entries from number `first` on that the TPM has, at most so many, through `send`.
    pub fn entries<T>(&self, first: u64, limit: usize, send: impl Fn(&Entry) -> T) -> Vec<T> {
        let state = self.state();
        let skipped = usize::try_from(first.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = usize::try_from(state.last()).unwrap_or(usize::MAX);
        state.entries.iter().take(last).skip(skipped).take(limit).map(send).collect()
    }

    /// Commits and extends what is written, until the TPM does not.
    pub async fn run(&self, tpm: &TpmClient) -> LedgerError {
        loop {
            match self.next_commit() {
                Ok(Some(statement)) => {
                    let ledger = self.clone();
                    if let Err(error) = tpm.extend(statement, move || ledger.note_extended()).await {
                        return LedgerError::Tpm(error);
                    }
                    let last = self.state().last();
                    self.shared.extended.send_replace(last);
                }
                Ok(None) => self.shared.waiting.notified().await,
                Err(error) => return error,
            }
        }
    }

    /// What is to be extended next: a commit that a predecessor left, or all entries that no commit has.
    fn next_commit(&self) -> Result<Option<Vec<u8>>, LedgerError> {
        let mut state = self.state();
        if state.extended == state.commits.len() {
            let committed = state.commits.last().map_or(0, |commit| commit.last);
            let last = count(state.entries.len());
            if committed == last {
                return Ok(None);
            }
            let first = committed.saturating_add(1);
            let new = state.entries.iter().skip(usize::try_from(committed).unwrap_or(usize::MAX));
            let digests: Vec<[u8; 32]> = new.map(|entry| entry.digest(&FastEngine)).collect::<Result<_, _>>()?;
            let commit = Commit { first, last, entries_digest: sha256(&FastEngine, &[&digests.concat()]) };
            state.journal.append(RecordKind::Commit, &commit.to_bytes())?;
            state.commits.push(commit);
        }
        let next = state.commits.get(state.extended).ok_or(LedgerError::Encoding)?;
        Ok(Some(next.statement(count(state.extended.saturating_add(1)))?))
    }

    /// In the TPM's task, right after the command.
    fn note_extended(&self) {
        let mut state = self.state();
        let number = count(state.extended.saturating_add(1));
        let statement = state.commits.get(state.extended).and_then(|commit| commit.statement(number).ok());
        if let Some(statement) = statement {
            let extension = sha256(&FastEngine, &[&statement]);
            state.head = sha256(&FastEngine, &[&state.head, &extension]);
            state.extended = state.extended.saturating_add(1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Number of the last entry that the TPM has.
    fn last(&self) -> u64 {
        self.extended.checked_sub(1).and_then(|at| self.commits.get(at)).map_or(0, |commit| commit.last)
    }
}

fn claim(bytes: &[u8]) -> Option<(u64, u64)> {
    let (number, run) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), u64::from_be_bytes(run.try_into().ok()?)))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use garant_attest::ledger::{Asker, VmName};
    use garant_hw::hash::Hash;

    const ZERO: &[u8] = b"entry 0";

    fn pause(generation: u64) -> Act {
        Act::Pause(VmName::new("web", generation).unwrap(), Asker::Local)
    }

    /// The PCR after these commits, as a TPM would have it.
    fn pcr(commits: &[u8]) -> (Hash, Vec<u8>) {
        let (head, _) = ledger::replay(&FastEngine, Hash::Sha384, ZERO, Commit::list(commits).unwrap()).unwrap();
        (Hash::Sha384, head.as_bytes().to_vec())
    }

    fn open(file: &File, value: &(Hash, Vec<u8>)) -> (Ledger, Recovered) {
        Ledger::open(file.try_clone().unwrap(), ZERO, value).unwrap()
    }

    #[test]
    fn a_server_goes_on_where_the_one_before_ended_and_extends_first_what_the_tpm_does_not_have() {
        let file = tempfile::tempfile().unwrap();
        let (first, nothing) = open(&file, &pcr(&[]));
        assert!(nothing.acts.is_empty() && first.next_commit().unwrap().is_none());
        assert_eq!((first.write(&pause(1)).unwrap(), first.write(&pause(2)).unwrap()), (1, 2));
        first.next_commit().unwrap().unwrap();
        first.note_extended();
        let after_one = first.extended();
        first.write(&pause(3)).unwrap();
        let due = first.next_commit().unwrap().unwrap();
        first.write(&pause(4)).unwrap();
        // Killed between writing the commit down and extending it.
        let (second, known) = open(&file, &pcr(&after_one.commits));
        assert_eq!(known.acts, [pause(1), pause(2), pause(3), pause(4)]);
        assert_eq!((second.extended(), second.entries(1, 9, |_| ()).len()), (after_one.clone(), 2));
        assert_eq!(second.next_commit().unwrap().unwrap(), due, "the commit that was due, number and all");
        second.note_extended();
        second.next_commit().unwrap().unwrap();
        second.note_extended();
        let all = second.extended();
        assert_eq!((all.count, all.commits.len()), (3, 3 * Commit::BYTES));
        assert_eq!(second.entries(2, 2, |entry| entry.open().time).len(), 2);
        // Killed between extending a commit and noting it.
        let (third, _) = open(&file, &pcr(&all.commits));
        assert_eq!(third.extended(), all);
        assert!(third.next_commit().unwrap().is_none());
    }

    #[test]
    fn nothing_more_is_written_where_something_else_extended_the_pcr() {
        let file = tempfile::tempfile().unwrap();
        let (ledger, _) = open(&file, &(Hash::Sha384, vec![7; 48]));
        assert!(matches!(ledger.write(&pause(1)), Err(LedgerError::Foreign)));
    }

    #[test]
    fn a_journal_with_an_entry_that_is_none_is_not_gone_on_with() {
        let file = tempfile::tempfile().unwrap();
        let (mut journal, _) = Journal::open(file.try_clone().unwrap()).unwrap();
        journal.append(RecordKind::Entry, b"none").unwrap();
        assert!(matches!(Ledger::open(file, ZERO, &pcr(&[])), Err(LedgerError::Torn)));
    }
}
