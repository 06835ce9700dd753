//! Policies.
#![no_main]

use garant_attest::{policy::Policy, rust_engine::RustEngine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Policy::parse(bytes, &RustEngine);
});
