//! Rule sets.
#![no_main]

use garant_attest::owner::rule_set::RuleSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = core::str::from_utf8(bytes) {
        let _ = RuleSet::parse(text);
    }
});
