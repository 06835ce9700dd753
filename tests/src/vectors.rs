//! Real logs, quotes and certificates, found through their manifest; further sets in the same form can stand beside it.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// A file that the manifest lists.
#[derive(Debug, Clone)]
pub struct Vector {
    /// Path below the vectors' folder.
    pub file: String,
    /// What a verifier must answer, in words.
    pub expected: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The vectors whose path starts with `prefix`; says so loudly where there are none.
pub fn under(prefix: &str) -> Vec<Vector> {
    let found: Vec<Vector> = manifest().into_iter().filter(|vector| vector.file.starts_with(prefix)).collect();
    if found.is_empty() {
        eprintln!("SKIPPED: no vectors under {prefix}");
    }
    found
}

/// The folders in which the manifest lists a file of this name; says so loudly where there are none.
pub fn folders_with(name: &str) -> BTreeSet<String> {
    let folder = |vector: Vector| vector.file.strip_suffix(name)?.strip_suffix('/').map(str::to_owned);
    let found: BTreeSet<String> = manifest().into_iter().filter_map(folder).collect();
    if found.is_empty() {
        eprintln!("SKIPPED: no vectors named {name}");
    }
    found
}

/// The bytes of one vector, where it is there.
pub fn read(file: &str) -> Option<Vec<u8>> {
    fs::read(root().join(file)).ok()
}

/// Where a vector lies, whether it is there or not.
pub fn path(file: &str) -> PathBuf {
    root().join(file)
}

fn manifest() -> Vec<Vector> {
    let listed = read("manifest.json").and_then(|bytes| serde_json::from_slice::<Vec<serde_json::Value>>(&bytes).ok());
    let entry = |entry: serde_json::Value| {
        let file = entry.get("file")?.as_str()?.to_owned();
        let expected = entry.get("expected").and_then(|text| text.as_str()).unwrap_or_default().to_owned();
        Some(Vector { bytes: read(&file)?, file, expected })
    };
    listed.unwrap_or_default().into_iter().filter_map(entry).collect()
}

/// `GARANT_VECTORS`, or the folder beside the workspace.
fn root() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    std::env::var_os("GARANT_VECTORS").map_or(beside.into(), PathBuf::from)
}
