//! Signed statements: COSE_Sign1, EAR and enrolment records.
#![no_main]

use garant_attest::{
    cose::ClaimedStatement,
    ear::{self, Ear},
    enrolment::EnrolledNode,
};
use garant_fuzz::{AnyDigest, KEY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = (ear::open(&AnyDigest, bytes, &KEY), EnrolledNode::open(&AnyDigest, bytes, &KEY));
    let payload = ClaimedStatement::decode(bytes).map_or(bytes, |statement| statement.untrusted_payload());
    let _ = Ear::decode_untrusted(payload);
});
