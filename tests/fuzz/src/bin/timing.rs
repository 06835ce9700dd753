//! Datagrams of a timed answer, statements of landmarks, and what a node carries: what is accepted has one encoding.
#![no_main]

use garant_attest::{
    cbor,
    place::{
        landmark,
        timing::{EXPORTED_BYTES, TimingSecret, claimed_name},
    },
    wire::{Statements, TimingOffer},
};
use garant_fuzz::{AnyDigest, KEY_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let secret = TimingSecret::new(&[0; EXPORTED_BYTES]);
    let name = claimed_name(bytes);
    if let Ok(message) = secret.open(&AnyDigest, bytes) {
        assert_eq!(name, Some(secret.name()));
        assert_eq!(secret.seal(&AnyDigest, &message), bytes);
    }
    if let Ok(statement) = landmark::open(&AnyDigest, bytes, &KEY_BYTES) {
        assert!(statement.round_trip_ns() > 0 && statement.rounds() >= landmark::ROUNDS_LEAST);
        assert!(!statement.counts_at(statement.expires()));
    }
    if let Ok(statements) = Statements::decode(bytes) {
        assert_eq!(cbor::encode(&statements).as_deref(), Ok(bytes));
    }
    if let Ok(offer) = TimingOffer::decode(bytes) {
        assert_eq!(cbor::encode(&offer).as_deref(), Ok(bytes));
    }
});
