#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    ledger::{Asker, VmName},
    rust_engine::RustEngine,
};
use sha2::{Digest as _, Sha256};

fn act(id: &str) -> Act {
    Act::Stop(VmName::new(id, 1).unwrap(), Asker::Local)
}

fn digest(act: &Act, time: u64, salt: [u8; 16]) -> [u8; 32] {
    Entry::new(act, time, salt).unwrap().digest(&RustEngine).unwrap()
}

#[test]
fn an_entry_is_the_digest_of_kind_time_and_the_digest_of_salt_and_body() {
    let body = b"\xa3\x62by\x65local\x62id\x61a\x63gen\x01";
    let hidden = Sha256::new().chain_update([9; 16]).chain_update(body).finalize();
    let whole = Sha256::new().chain_update(b"\x83\x64stop\x18\x64\x58\x20").chain_update(hidden).finalize();
    assert_eq!(digest(&act("a"), 100, [9; 16])[..], whole[..]);
}

#[test]
fn the_digest_moves_with_kind_time_salt_and_body_and_not_with_who_may_read_it() {
    let entry = Entry::new(&act("a"), 100, [9; 16]).unwrap();
    let whole = entry.digest(&RustEngine).unwrap();
    assert_eq!(entry.open().digest(&RustEngine), Ok(whole));
    assert_eq!(entry.hidden(&RustEngine).digest(&RustEngine), Ok(whole));
    let resume = Act::Resume(VmName::new("a", 1).unwrap(), Asker::Local);
    for other in [
        digest(&resume, 100, [9; 16]),
        digest(&act("a"), 101, [9; 16]),
        digest(&act("a"), 100, [8; 16]),
        digest(&act("b"), 100, [9; 16]),
    ] {
        assert_ne!(other, whole);
    }
}
