//! What a verifier keeps on disk: one file, in which everything that was acknowledged survives a kill at any instant.
//!
//! Every change is one durable transaction, and decides in it: two enrolments that race, or two answers verified in
//! inverse order, meet here one after the other.

use crate::{
    budget::{SIGHTINGS_BYTES, STORE_WAIT},
    known::{Alias, Counters, Memory, Reenrolment, Sighting},
};
use garant_attest::{cbor, counters, engine::sha256, quote::ClockInfo};
use garant_channel::engine::FastEngine;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

/// An open store; clones share it.
#[derive(Clone)]
pub struct Store {
    file: Arc<File>,
}

struct File {
    path: PathBuf,
    /// `None` after a failure of the disk, until it can be opened anew.
    database: RwLock<Option<Database>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// Node id: SHA-256 of the certified EK's SubjectPublicKeyInfo.
pub type Id = [u8; 32];

/// A record to be kept, with the names that lead to it.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Node id of the record.
    pub id: Id,
    /// When activation succeeded, seconds since 1970.
    pub time: u64,
    /// Name of the AK.
    pub ak_name: &'a [u8],
    /// Every name of the TPM.
    pub aliases: &'a [Alias],
    /// The signed record.
    pub statement: &'a [u8],
}

impl Store {
    /// Opens or makes the store in this file; waits for another process that has it, a while.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let fault = |what: String| StoreError::Open { path: path.to_owned(), what };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| fault(error.to_string()))?;
        }
        let started = Instant::now();
        let database = loop {
            match Database::create(path) {
                Ok(database) => break database,
                Err(DatabaseError::DatabaseAlreadyOpen) if started.elapsed() < STORE_WAIT => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(fault(error.to_string())),
            }
        };
        let file = File { path: path.to_owned(), database: RwLock::new(Some(database)) };
        let store = Store { file: Arc::new(file) };
        store.change(|change| {
            change.open_table(RECORDS)?;
            change.open_table(ALIASES)?;
            change.open_table(COUNTERS)?;
            change.open_table(SIGHTINGS)?;
            change.open_table(LOGS)?;
            change.open_table(EARS)?;
            Ok(())
        })?;
        Ok(store)
    }

    /// Keeps a record. One that is there is never replaced: the same node with the same keys gets it back, any other
    /// key under a known name is a conflict, unless an operator's key permits it.
    pub fn enrol(&self, new: NewRecord<'_>, leave: Option<Reenrolment>) -> Result<Vec<u8>, StoreError> {
        self.decide(|change| {
            let mut conflict = None;
            let mut known = None;
            for alias in new.aliases {
                match holder(change, alias)? {
                    Some(id) if id == new.id => known = Some(id),
                    Some(id) => conflict = Some(Conflict { alias: alias.clone(), known: id }),
                    None => {}
                }
            }
            if let (Some(id), None) = (known, &conflict)
                && let Some(kept) = record(change, id)?
            {
                if kept.ak_name != new.ak_name {
                    conflict = Some(Conflict { alias: Alias::Ak(kept.ak_name), known: id });
                } else if leave.is_none() {
                    return Ok(Ok(kept.statement));
                }
            }
            match (conflict, leave) {
                (Some(conflict), None) => return Ok(Err(StoreError::Conflict(conflict))),
                (_, Some(_)) if !forget(change, &new)? => return Ok(Err(StoreError::OldRecord)),
                _ => {}
            }
            insert(change, &new)?;
            Ok(Ok(new.statement.to_vec()))
        })
    }

    /// The signed record of a node.
    pub fn record(&self, id: Id) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|read| {
            let row = read.open_table(RECORDS)?.get(&id)?;
            Ok(row.map(|row| row.value().2.to_vec()))
        })
    }

    /// How many nodes have a record.
    pub fn records(&self) -> Result<u64, StoreError> {
        self.read(|read| Ok(read.open_table(RECORDS)?.len()?))
    }

    /// The node that one of these names leads to.
    pub fn find(&self, alias: &Alias) -> Result<Option<Id>, StoreError> {
        self.read(|read| {
            let row = read.open_table(ALIASES)?.get(alias.key().as_slice())?;
            Ok(row.map(|row| row.value()))
        })
    }

    /// What is known of a node now; of a stranger nothing.
    pub fn memory(&self, id: Id) -> Result<Memory, StoreError> {
        self.read(|read| {
            let ak_name = read.open_table(RECORDS)?.get(&id)?;
            let counters = read.open_table(COUNTERS)?.get(&id)?;
            let sightings = read.open_table(SIGHTINGS)?.get(&id)?;
            let log = read.open_table(LOGS)?.get(&id)?;
            Ok(Memory {
                ak_name: ak_name.map(|row| row.value().1.to_vec()),
                counters: counters.map(|row| clock_info(row.value())),
                sightings: sightings.map(|row| decode_sightings(row.value())).unwrap_or_default(),
                log: log.map(|row| row.value().to_vec()).map(|log| (sha256(&FastEngine, &[&log]), log)),
            })
        })
    }

    /// Remembers what a verified answer of an enrolled node showed. Counters are raised to the later of two; who was
    /// verified first does not matter.
    pub fn learn(
        &self,
        id: Id,
        seen: ClockInfo,
        sighting: Option<Sighting>,
        log: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        self.change(|change| {
            if change.open_table(RECORDS)?.get(&id)?.is_none() {
                return Ok(());
            }
            let mut counters = change.open_table(COUNTERS)?;
            let known = counters.get(&id)?.map(|row| clock_info(row.value()));
            let highest = known.map_or(seen, |known| counters::later(known, seen));
            let Counters { clock_ms, reset_count, restart_count, safe } = highest.into();
            counters.insert(&id, (clock_ms, reset_count, restart_count, safe))?;
            if let Some(sighting) = sighting {
                let mut table = change.open_table(SIGHTINGS)?;
                let before = table.get(&id)?.map(|row| decode_sightings(row.value())).unwrap_or_default();
                if let Ok(bytes) = cbor::encode(&sighting.put(before)) {
                    table.insert(&id, bytes.as_slice())?;
                }
            }
            if let Some(log) = log {
                change.open_table(LOGS)?.insert(&id, log)?;
            }
            Ok(())
        })
    }

    /// Keeps the latest signed result of a node. Once this returns, it survives.
    pub fn keep_ear(&self, id: Id, ear: &[u8]) -> Result<(), StoreError> {
        self.change(|change| change.open_table(EARS)?.insert(&id, ear).map(|_| ()).map_err(Into::into))
    }

    /// The latest signed result of a node, however old.
    pub fn last_ear(&self, id: Id) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|read| {
            let row = read.open_table(EARS)?.get(&id)?;
            Ok(row.map(|row| row.value().to_vec()))
        })
    }

    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        self.with(|database| work(&database.begin_read()?))
    }

    fn change<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        self.decide(|change| work(change).map(Ok))
    }

    /// One durable transaction; nothing of it stays where the work ends in a refusal.
    fn decide<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<Result<T, StoreError>, redb::Error>,
    ) -> Result<T, StoreError> {
        self.with(|database| {
            let change = database.begin_write()?;
            match work(&change) {
                Ok(Ok(done)) => Ok(change.commit().map(|()| Ok(done))?),
                Ok(Err(refusal)) => Ok(change.abort().map(|()| Err(refusal))?),
                Err(error) => Err(change.abort().map_or_else(Into::into, |()| error)),
            }
        })?
    }

    /// Works on the open file. Once its disk has failed, redb refuses all, so it is opened anew for whoever comes next.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let worked = match &*self.file.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            None => Err(redb::Error::PreviousIo),
        };
        if matches!(worked, Err(redb::Error::Io(_) | redb::Error::PreviousIo)) {
            let mut database = self.file.database.write().unwrap_or_else(PoisonError::into_inner);
            // Closed first: one process opens it once.
            *database = None;
            *database = Database::create(&self.file.path).ok();
        }
        worked.map_err(StoreError::Storage)
    }
}

fn holder(change: &WriteTransaction, alias: &Alias) -> Result<Option<Id>, redb::Error> {
    Ok(change.open_table(ALIASES)?.get(alias.key().as_slice())?.map(|row| row.value()))
}

/// A record as it stands in the store.
struct Kept {
    time: u64,
    ak_name: Vec<u8>,
    statement: Vec<u8>,
}

fn record(change: &WriteTransaction, id: Id) -> Result<Option<Kept>, redb::Error> {
    let table = change.open_table(RECORDS)?;
    let row = table.get(&id)?;
    Ok(row.map(|row| {
        let (time, ak_name, statement) = row.value();
        Kept { time, ak_name: ak_name.to_vec(), statement: statement.to_vec() }
    }))
}

/// Forgets every TPM that one of the new record's names leads to; `false` where one has a record that is not older, so
/// that an old permission, shown again, opens nothing.
fn forget(change: &WriteTransaction, new: &NewRecord<'_>) -> Result<bool, redb::Error> {
    let mut known = vec![new.id];
    for alias in new.aliases {
        known.extend(holder(change, alias)?);
    }
    for id in known {
        if record(change, id)?.is_some_and(|kept| kept.time >= new.time) {
            return Ok(false);
        }
        change.open_table(ALIASES)?.retain(|_, holder| holder != id)?;
        change.open_table(RECORDS)?.remove(&id)?;
        change.open_table(COUNTERS)?.remove(&id)?;
        change.open_table(SIGHTINGS)?.remove(&id)?;
        change.open_table(LOGS)?.remove(&id)?;
        change.open_table(EARS)?.remove(&id)?;
    }
    Ok(true)
}

fn insert(change: &WriteTransaction, new: &NewRecord<'_>) -> Result<(), redb::Error> {
    let mut aliases = change.open_table(ALIASES)?;
    for alias in new.aliases {
        aliases.insert(alias.key().as_slice(), new.id)?;
    }
    change.open_table(RECORDS)?.insert(&new.id, (new.time, new.ak_name, new.statement))?;
    Ok(())
}

fn clock_info((clock_ms, reset_count, restart_count, safe): (u64, u32, u32, bool)) -> ClockInfo {
    ClockInfo { clock_ms, reset_count, restart_count, safe }
}

/// Moments as they were stored; other bytes are no moments, and then a fresh answer is asked for.
fn decode_sightings(bytes: &[u8]) -> Vec<Sighting> {
    cbor::decode(bytes, SIGHTINGS_BYTES).unwrap_or_default()
}

/// A known name that leads to other keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The name.
    pub alias: Alias,
    /// The node that has it.
    pub known: Id,
}

/// Why something was not kept.
#[derive(Debug)]
pub enum StoreError {
    /// Ours: the file cannot be opened or made.
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Ours: the disk, or the file's content.
    Storage(redb::Error),
    /// The node's: another TPM, or another key, under a known name.
    Conflict(Conflict),
    /// The operator's: a re-enrolment that is not younger than what is known.
    OldRecord,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Open { path, what } => write!(f, "the store {} cannot be opened: {what}", path.display()),
            StoreError::Storage(error) => write!(f, "the store failed: {error}"),
            StoreError::Conflict(conflict) => write!(
                f,
                "the {} belongs to another enrolment; a key that the policy names in reenrolment_keys must enrol anew",
                conflict.alias
            ),
            StoreError::OldRecord => f.write_str("this re-enrolment is not younger than the record that is known"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Time, AK Name and signed record, by node id.
const RECORDS: TableDefinition<'_, &Id, (u64, &[u8], &[u8])> = TableDefinition::new("records");
/// Node id, by every name of its TPM.
const ALIASES: TableDefinition<'_, &[u8], Id> = TableDefinition::new("aliases");
/// Clock in ms, resetCount, restartCount, safe, by node id.
const COUNTERS: TableDefinition<'_, &Id, (u64, u32, u32, bool)> = TableDefinition::new("counters");
/// Moments in CBOR, by node id.
const SIGHTINGS: TableDefinition<'_, &Id, &[u8]> = TableDefinition::new("moments");
/// The boot log held, by node id.
const LOGS: TableDefinition<'_, &Id, &[u8]> = TableDefinition::new("logs");
/// The latest signed result, by node id.
const EARS: TableDefinition<'_, &Id, &[u8]> = TableDefinition::new("ears");

#[cfg(test)]
mod tests;
