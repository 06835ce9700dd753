//! Counters of attestation keys, remembered in a JSON file from one check to the next.

use crate::{failure::Failure, input};
use garant_attest::{counters::later, quote::ClockInfo};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// The highest counters seen of each key. Holding it proves nothing: it is a file of whoever checks.
pub(crate) struct KeptCounters {
    file: PathBuf,
    known: BTreeMap<String, Kept>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    reset_count: u32,
    restart_count: u32,
    clock_ms: u64,
    safe: bool,
}

impl KeptCounters {
    /// Reads the file; one that does not exist is empty.
    pub(crate) fn read(file: PathBuf) -> Result<KeptCounters, Failure> {
        if !file.exists() {
            return Ok(KeptCounters { file, known: BTreeMap::new() });
        }
        let bytes = input::read(&file, FILE_BYTES)?;
        let known = serde_json::from_slice(&bytes).map_err(|fault| {
            Failure::new(fault, file.display(), "name a file that an earlier `garant check --state` wrote")
        })?;
        Ok(KeptCounters { file, known })
    }

    /// What is known of the key with this id.
    pub(crate) fn of(&self, id: &[u8; 32]) -> Option<ClockInfo> {
        let Kept { reset_count, restart_count, clock_ms, safe } = *self.known.get(&hex(id))?;
        Some(ClockInfo { clock_ms, reset_count, restart_count, safe })
    }

    /// Writes the file with the higher of the known and the found counters.
    pub(crate) fn remember(&self, id: &[u8; 32], found: ClockInfo) -> Result<(), String> {
        let ClockInfo { clock_ms, reset_count, restart_count, safe } =
            self.of(id).map_or(found, |known| later(known, found));
        let mut known = self.known.clone();
        known.insert(hex(id), Kept { reset_count, restart_count, clock_ms, safe });
        let text = serde_json::to_string_pretty(&known).map_err(|fault| fault.to_string())?;
        let beside = self.file.with_extension("new");
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.file));
        written.map_err(|fault| format!("cannot be kept in {}: {fault}", self.file.display()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 20,000 keys of 200 bytes.
const FILE_BYTES: usize = 4 * 1024 * 1024;
