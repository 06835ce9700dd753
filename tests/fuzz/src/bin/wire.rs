//! Messages between asker and node, and the evidence in them: what is accepted is the one encoding of what it says.
#![no_main]

use garant_attest::{
    cbor::{self, CborError},
    evidence::{self, Evidence, ImaPart, LedgerPart, NodeClaims, PcrPart, QuotePart, SessionKeys},
    wire::{Answer, Ask, CredentialAnswer, CredentialChallenge, Identity},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    same(bytes, Identity::decode(bytes));
    same(bytes, CredentialChallenge::decode(bytes));
    same(bytes, CredentialAnswer::decode(bytes));
    same(bytes, Ask::decode(bytes));
    same(bytes, Answer::decode(bytes));
    same(bytes, cbor::decode::<QuotePart<'_>>(bytes, LIMIT_BYTES));
    same(bytes, cbor::decode::<SessionKeys>(bytes, LIMIT_BYTES));
    same(bytes, cbor::decode::<PcrPart<'_>>(bytes, LIMIT_BYTES));
    same(bytes, cbor::decode::<ImaPart<'_>>(bytes, LIMIT_BYTES));
    same(bytes, cbor::decode::<LedgerPart<'_>>(bytes, LIMIT_BYTES));
    same(bytes, cbor::decode::<NodeClaims<'_>>(bytes, LIMIT_BYTES));
    if let Ok(evidence) = Evidence::decode(bytes) {
        let _ = evidence.ak.part(evidence::AK_TYPE, LIMIT_BYTES);
        same(bytes, Ok(evidence));
    }
});

fn same<T: serde::Serialize>(bytes: &[u8], decoded: Result<T, CborError>) {
    let Ok(decoded) = decoded else { return };
    assert_eq!(cbor::encode(&decoded).as_deref(), Ok(bytes));
}

const LIMIT_BYTES: usize = 64 * 1024;
