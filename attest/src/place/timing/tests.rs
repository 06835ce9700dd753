//! Datagrams, answers and clocks.

use super::*;
use crate::{
    cbor::{self, Bytes, Bytes32},
    engine::sha256,
    rust_engine::RustEngine,
    wire::{CachedState, Kind},
};
use alloc::{vec, vec::Vec};
use ed25519_dalek::{Signer, SigningKey};

fn secret() -> TimingSecret {
    let mut exported = [0; EXPORTED_BYTES];
    exported.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
    TimingSecret::new(&exported)
}

fn messages() -> [Message; 5] {
    [
        Message::Hello,
        Message::Cookie([1; 32]),
        Message::Returned([2; 32]),
        Message::Question { round: 7, nonce: [3; 32] },
        Message::Answer { round: u32::MAX, signature: [4; 64] },
    ]
}

#[test]
fn hmac_is_that_of_rfc_4231() {
    let mut key = [0; 32];
    key[..4].copy_from_slice(b"Jefe");
    let mac = hmac_sha256(&RustEngine, &key, b"what do ya want for nothing?");
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let digits: alloc::string::String = mac.iter().map(|byte| alloc::format!("{byte:02x}")).collect();
    assert_eq!(digits, expected);
}

#[test]
fn every_message_survives_its_datagram_and_all_are_of_one_size() {
    for message in messages() {
        let datagram = secret().seal(&RustEngine, &message);
        assert_eq!(secret().open(&RustEngine, &datagram), Ok(message));
        assert_eq!(claimed_name(&datagram), Some(secret().name()));
        assert_eq!(datagram.len(), 160);
    }
}

#[test]
fn no_byte_of_a_datagram_can_change_and_no_other_length_is_read() {
    for message in messages() {
        let datagram = secret().seal(&RustEngine, &message);
        for at in 0..DATAGRAM_BYTES {
            let mut changed = datagram;
            changed[at] ^= 1;
            assert_eq!(secret().open(&RustEngine, &changed), Err(DatagramError::Mac), "byte {at}");
        }
        for found_bytes in [0, 32, 159] {
            assert_eq!(
                secret().open(&RustEngine, &datagram[..found_bytes]),
                Err(DatagramError::Length { found_bytes })
            );
            assert_eq!(claimed_name(&datagram[..found_bytes]), None);
        }
        let longer = [&datagram[..], &[0]].concat();
        assert_eq!(secret().open(&RustEngine, &longer), Err(DatagramError::Length { found_bytes: 161 }));
    }
}

#[test]
fn a_datagram_of_another_conversation_is_somebody_elses() {
    let mut other = [9; EXPORTED_BYTES];
    other[..NAME_BYTES].copy_from_slice(&secret().name());
    let other = TimingSecret::new(&other);
    assert_eq!(other.name(), secret().name());
    let datagram = other.seal(&RustEngine, &Message::Hello);
    assert_eq!(secret().open(&RustEngine, &datagram), Err(DatagramError::Mac));
}

#[test]
fn a_datagram_that_says_more_than_its_message_or_nothing_known_is_refused() {
    let sealed = |change: &dyn Fn(&mut [u8])| {
        let mut said = secret().said(&Message::Cookie([1; 32]));
        change(&mut said);
        let mac = hmac_sha256(&RustEngine, &secret().mac_key, &said);
        secret().open(&RustEngine, &[&said[..], &mac].concat())
    };
    assert_eq!(sealed(&|_| ()), Ok(Message::Cookie([1; 32])));
    assert_eq!(sealed(&|said| said[0] ^= 1), Err(DatagramError::Form), "another magic");
    assert_eq!(sealed(&|said| said[7] = 0), Err(DatagramError::Form), "no kind");
    assert_eq!(sealed(&|said| said[7] = 6), Err(DatagramError::Form), "a later kind");
    assert_eq!(sealed(&|said| said[8] ^= 1), Err(DatagramError::Form), "another name");
    assert_eq!(sealed(&|said| said[27] = 1), Err(DatagramError::Form), "a cookie with a round");
    assert_eq!(sealed(&|said| said[60] = 1), Err(DatagramError::Form), "behind the body");
    assert_eq!(sealed(&|said| said[127] = 1), Err(DatagramError::Form), "last byte of the padding");
}

#[test]
fn an_answer_to_another_nonce_landmark_or_by_another_key_is_none() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let f = key.verifying_key().to_bytes();
    let signature = key.sign(&wire::time_statement(&[1; 32], &[2; 32], &f)).to_bytes();
    let holds = |landmark, nonce, f: &[u8; 32]| verify_answer(&RustEngine, landmark, nonce, f, &signature).is_ok();
    assert!(holds(&[1; 32], &[2; 32], &f));
    assert!(!holds(&[9; 32], &[2; 32], &f), "a landmark relays another's question");
    assert!(!holds(&[1; 32], &[9; 32], &f), "an answer of an earlier round");
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
    assert!(!holds(&[1; 32], &[2; 32], &other));
    let signed_for_other = SigningKey::from_bytes(&[8; 32]).sign(&wire::time_statement(&[1; 32], &[2; 32], &f));
    assert!(verify_answer(&RustEngine, &[1; 32], &[2; 32], &other, &signed_for_other.to_bytes()).is_err(), "F unnamed");
}

/// Everything else that F or B signs, or that is signed beside them.
fn other_statements(f: &[u8; 32]) -> Vec<Vec<u8>> {
    let state = CachedState { quote_digest: [1; 32], commit: 2, head: [3; 32], ima_count: 4 };
    let vm = [&b"garant/vm/1\0"[..], &[5; 64]].concat();
    let cose = cbor::encode(&("Signature1", Bytes::new(b"\xa0"), Bytes::new(b""), Bytes::new(b"payload"))).unwrap();
    let quote =
        cbor::encode(&("garant/quote/1", Bytes32::new([6; 32]), Bytes32::new(*f), Bytes32::new([7; 32]))).unwrap();
    vec![
        wire::key_statement(f),
        wire::answer_statement(Kind::TlsServer, &[1; 32], &[2; 32], &state).unwrap(),
        wire::activation_statement(Kind::None, &[1; 32], &[2; 32]),
        vm,
        cose,
        quote,
    ]
}

#[test]
fn c1_whatever_a_landmark_sends_as_a_nonce_the_signature_is_no_other_statement() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let f = key.verifying_key().to_bytes();
    let verifies = |message: &[u8], signature: &[u8; 64]| {
        RustEngine.verify_signature(&PublicKey::Ed25519(f), SignatureScheme::Ed25519, message, signature).is_ok()
    };
    let statements = other_statements(&f);
    let digests = statements.iter().map(|statement| sha256(&RustEngine, &[statement]));
    let heads = statements.iter().filter_map(|statement| statement.first_chunk().copied());
    for nonce in digests.chain(heads) {
        let asked = wire::time_statement(&[1; 32], &nonce, &f);
        let signature = key.sign(&asked).to_bytes();
        assert!(verifies(&asked, &signature));
        assert!(!verifies(&nonce, &signature), "the bare nonce");
        for statement in &statements {
            assert!(!verifies(statement, &signature));
            assert!(!verifies(&sha256(&RustEngine, &[statement]), &signature), "its digest");
        }
    }
}

#[test]
fn a_time_statement_is_its_label_landmark_nonce_and_f() {
    let expected = [&b"garant/time/1\0"[..], &[1; 32], &[2; 32], &[3; 32]].concat();
    assert_eq!(wire::time_statement(&[1; 32], &[2; 32], &[3; 32])[..], expected);
}

fn at(monotonic_raw_ns: u64, boottime_ns: u64) -> Reading {
    Reading { monotonic_raw_ns, boottime_ns }
}

#[test]
fn h9_a_clock_that_steps_back_or_stands_still_makes_no_short_round() {
    let sent = at(50_000_000, 90_000_000);
    assert_eq!(round_trip_ns(sent, at(60_000_000, 100_000_000)), Some(10_000_000));
    assert_eq!(round_trip_ns(sent, at(60_000_000, 100_900_000)), Some(10_900_000), "the larger");
    assert_eq!(round_trip_ns(sent, at(60_900_000, 100_000_000)), Some(10_900_000), "the larger");
    for (raw, boot, what) in [
        (60_000_000, 80_000_000, "boottime went back"),
        (40_000_000, 100_000_000, "monotonic raw went back"),
        (60_000_000, 90_100_000, "boottime was set back by less than the round"),
        (50_100_000, 100_000_000, "monotonic raw was set back by less than the round"),
        (60_000_000, 101_000_001, "the machine slept"),
        (50_000_000, 90_000_000, "both stand still"),
        (50_000_000, 90_000_001, "one stands still"),
        (40_000_000, 80_000_000, "both went back"),
    ] {
        assert_eq!(round_trip_ns(sent, at(raw, boot)), None, "{what}");
    }
    assert_eq!(round_trip_ns(at(0, 0), at(u64::MAX, u64::MAX)), Some(u64::MAX));
}
