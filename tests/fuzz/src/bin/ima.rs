//! IMA lists.
#![no_main]

use garant_attest::{engine::Digest, ima, rust_engine::RustEngine};
use garant_hw::{hash::Hash, ima::ImaList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for entry in ImaList::from(u64::MAX - 1, bytes).map_while(Result::ok) {
        let _ = (entry.is_violation(), entry.file_digest(), entry.path());
        let _ = ima::is_boot_aggregate(&RustEngine, &entry, |hash, _| bytes.get(..hash.size_bytes()));
    }
    let covered = ima::covered(&RustEngine, Hash::Sha256, Digest::zero(Hash::Sha256), ImaList::from(0, bytes), 0, &[]);
    assert_eq!(covered, None);
});
