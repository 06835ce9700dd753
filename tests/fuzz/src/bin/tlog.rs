//! Proofs of transparency logs and the keys that check them.
#![no_main]

use garant_attest::tlog::{ClaimedProof, LogKey, LogTrust, Role};
use garant_fuzz::AnyDigest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let _ = LogKey::parse(&AnyDigest, text);
    let key = |name, role, byte| LogKey::new(&AnyDigest, name, role, [byte; 32]);
    let logs = vec![key("log.example", Role::Log, 1)];
    let trust = LogTrust::new(logs, vec![key("witness.example", Role::Witness, 2)], 1);
    if let (Ok(claimed), Ok(trust)) = (ClaimedProof::parse(text), trust) {
        let _ = claimed.verify(&AnyDigest, b"leaf", &trust);
    }
});
