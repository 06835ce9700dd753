//! Entry 0 and commits: the input's first byte says where one ends and the others start.
#![no_main]

use garant_attest::{
    ledger::{self, BootId, Commit, EntryZero},
    rust_engine::RustEngine,
};
use garant_hw::hash::Hash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((at, rest)) = bytes.split_first() else { return };
    let Some((entry, commits)) = rest.split_at_checked(usize::from(*at)) else { return };
    if let Ok(read) = EntryZero::decode(entry) {
        assert_eq!(read.encode().as_deref(), Ok(entry));
        let _ = (read.boot_key(), read.configuration_digest(), read.untrusted_last_head());
    }
    let _ = BootId::of(&RustEngine, entry);
    let Some(list) = Commit::list(commits) else { return };
    let replayed = ledger::replay(&RustEngine, Hash::Sha256, entry, list);
    assert_eq!(replayed.map(|(_, count)| count), Ok((commits.len() / Commit::BYTES) as u64));
});
