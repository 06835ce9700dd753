//! Each attack on one answer: a forged node answers, and exactly the check that is there for it refuses.

use garant_attest::{
    counters::CounterState,
    engine::{Digest, Engine, sha256},
    identity::IdentityFault,
    measured::PcrState,
    public_area::PublicAreaError,
    quote::QuoteError,
    verify::{Challenge, Known, Refusal, Verified, verify},
    wire::{self, Kind},
};
use garant_channel::engine::FastEngine;
use garant_hw::hash::Hash;
use garant_tests::forge::{self, Node};

const NOTHING: Known<'static> = Known { ak_name: None, peer_key: None, counters: None, ima: None, held: &[] };

fn node() -> Node {
    Node::new(forge::log(&[(0, 4, b"\0\0\0\0"), (4, 5, b"boot"), (7, 4, b"\0\0\0\0")]))
}

fn asked(kind: Kind) -> Challenge {
    Node::challenge(kind)
}

/// Verifies the node's fresh answer over TLS.
fn fresh(node: &Node) -> Result<(), Refusal> {
    verify(&FastEngine, &node.fresh(&asked(Kind::TlsServer)), asked(Kind::TlsServer), &NOTHING).map(|_| ())
}

fn quote(error: QuoteError) -> Result<(), Refusal> {
    Err(Refusal::Quote(error))
}

fn with_verified<T>(node: &Node, known: &Known<'_>, look: impl FnOnce(&Verified<'_>) -> T) -> T {
    let answer = node.fresh(&asked(Kind::TlsServer));
    look(&verify(&FastEngine, &answer, asked(Kind::TlsServer), known).expect("verifies"))
}

#[test]
fn a_sound_answer_proves_boot_counters_and_every_pcr() {
    let node = node();
    with_verified(&node, &NOTHING, |verified| {
        let identity = verified.identity().expect("a boot");
        assert_eq!(identity.session_key, node.session_public());
        assert_eq!(identity.configuration_digest, [3; 32]);
        assert_eq!(identity.boot_id.0, sha256(&FastEngine, &[&node.entry_zero]));
        assert_eq!(verified.counters(), CounterState::First);
        for pcr in 0..24 {
            assert_eq!(verified.boot().state(Hash::Sha256, pcr), PcrState::Replayed, "PCR {pcr}");
        }
        assert_eq!(verified.boot().state(Hash::Sha1, 0), PcrState::NotQuoted);
        assert_eq!(verified.boot().pcrs().unallocated(), [Hash::Sha1, Hash::Sha384, Hash::Sha512]);
    });
}

#[test]
fn q1_bytes_signed_by_the_key_but_not_made_by_a_tpm_are_refused() {
    let mut node = node();
    node.magic = 0xff54_4346;
    assert_eq!(fresh(&node), quote(QuoteError::Magic));
}

#[test]
fn q2_another_attestation_of_the_same_key_is_no_quote() {
    for found in [0x8014, 0x8015, 0x8016, 0x8017, 0x8019, 0x801a, 0x801c] {
        let mut node = node();
        node.attest_type = found;
        assert_eq!(fresh(&node), quote(QuoteError::Type { found }));
    }
}

#[test]
fn q7_a_key_of_another_hierarchy_than_endorsement_is_refused() {
    for hierarchy in [0x4000_0001, 0x4000_000c, 0x4000_0007] {
        let mut node = node();
        node.hierarchy = hierarchy;
        assert_eq!(fresh(&node), Err(Refusal::Hierarchy));
    }
}

#[test]
fn q4_an_empty_selection_says_nothing() {
    let mut node = node();
    node.banks = Hash::ALL.map(|hash| (hash, vec![])).to_vec();
    assert_eq!(fresh(&node), quote(QuoteError::SelectionEmpty));
    node.banks.clear();
    assert_eq!(fresh(&node), quote(QuoteError::SelectionEmpty));
}

#[test]
fn h4_a_bank_that_the_selection_leaves_out_is_refused() {
    for left_out in 0..4 {
        let mut node = node();
        node.banks.remove(left_out);
        assert!(matches!(fresh(&node), Err(Refusal::Quote(QuoteError::Selection { .. } | QuoteError::SelectionEmpty))));
    }
    let mut fewer = node();
    fewer.banks[1].1.pop();
    assert_eq!(fresh(&fewer), quote(QuoteError::Selection { bank: 0x000b }));
}

#[test]
fn l8_a_bank_that_firmware_left_empty_does_not_replay() {
    let mut node = node();
    node.banks[2].1 = vec![Digest::zero(Hash::Sha384); 24];
    node.banks[2].1[7] = Digest::ones(Hash::Sha384);
    with_verified(&node, &NOTHING, |verified| {
        assert_eq!(verified.boot().state(Hash::Sha384, 7), PcrState::NotCovered);
        assert_eq!(verified.boot().state(Hash::Sha384, 0), PcrState::NotCovered);
    });
}

#[test]
fn q5_an_old_answer_does_not_answer_a_new_challenge() {
    let node = node();
    let answer = node.fresh(&asked(Kind::TlsServer));
    let other = Challenge { nonce: [23; 32], ..asked(Kind::TlsServer) };
    assert_eq!(verify(&FastEngine, &answer, other, &NOTHING).unwrap_err(), Refusal::Challenge);
}

#[test]
fn c1_an_answer_relayed_from_another_channel_is_refused() {
    let answer = node().fresh(&asked(Kind::TlsServer));
    let elsewhere = Challenge { binder: [24; 32], ..asked(Kind::TlsServer) };
    assert_eq!(verify(&FastEngine, &answer, elsewhere, &NOTHING).unwrap_err(), Refusal::Challenge);
    let cached = node().cached(&asked(Kind::TlsServer));
    let elsewhere = Challenge { binder: [24; 32], ..asked(Kind::TlsServer) };
    assert_eq!(verify(&FastEngine, &cached, elsewhere, &NOTHING).unwrap_err(), Refusal::CachedAnswer);
}

#[test]
fn c2_no_kind_answers_for_another() {
    let kinds = [Kind::None, Kind::TlsServer, Kind::TlsClient, Kind::Vm];
    for answered in kinds {
        for expected in kinds.into_iter().filter(|kind| *kind != answered) {
            let same_bytes = |kind| Challenge { kind, nonce: [21; 32], binder: [22; 32] };
            let answer = node().fresh(&same_bytes(answered));
            let refused = verify(&FastEngine, &answer, same_bytes(expected), &NOTHING).unwrap_err();
            assert_eq!(refused, Refusal::Kind { expected, found: answered });
            let leaf = wire::leaf(&FastEngine, answered, &[21; 32], &[22; 32]).unwrap();
            let relabelled = node().fresh_with_leaf(expected, leaf);
            let refused = verify(&FastEngine, &relabelled, same_bytes(expected), &NOTHING).unwrap_err();
            assert_eq!(refused, Refusal::Challenge);
        }
    }
}

#[test]
fn c2_a_leaf_over_bare_concatenation_is_no_leaf() {
    let ambiguous = sha256(&FastEngine, &[&[0], &[21; 32], &[22; 32]]);
    let answer = node().fresh_with_leaf(Kind::TlsServer, ambiguous);
    assert_eq!(verify(&FastEngine, &answer, asked(Kind::TlsServer), &NOTHING).unwrap_err(), Refusal::Challenge);
}

#[test]
fn c2_a_claim_that_was_changed_beside_the_quote_is_refused() {
    let mut node = node();
    let (answer, claims) = (node.fresh(&asked(Kind::TlsServer)), node.claims());
    node.ledger_pcr = 14;
    let at = answer.windows(claims.len()).position(|window| window == claims).unwrap();
    let changed = [&answer[..at], &node.claims(), &answer[at + claims.len()..]].concat();
    let refused = verify(&FastEngine, &changed, asked(Kind::TlsServer), &NOTHING).map(|_| ());
    assert_eq!(refused, quote(QuoteError::ExtraData));
}

#[test]
fn q6_a_key_that_signs_what_it_is_given_is_no_attestation_key() {
    let (restricted, decrypt, fixed_tpm, origin) = (0x0001_0000, 0x0002_0000, 0x2, 0x20);
    let forbidden = [
        forge::AK_ATTRIBUTES & !restricted,
        forge::AK_ATTRIBUTES | decrypt,
        forge::AK_ATTRIBUTES & !fixed_tpm,
        forge::AK_ATTRIBUTES & !origin,
    ];
    for attributes in forbidden {
        let mut node = node();
        node.ak_public = forge::ak_public_with(&node.ak, attributes);
        assert!(
            matches!(fresh(&node), Err(Refusal::AttestationKey(PublicAreaError::Attributes { .. }))),
            "{attributes:#x}"
        );
    }
}

#[test]
fn q7_another_key_than_the_enrolled_one_is_refused() {
    let node = node();
    let answer = node.fresh(&asked(Kind::TlsServer));
    let known = Known { ak_name: Some(&[0x00, 0x0b, 1, 2, 3]), ..NOTHING };
    assert_eq!(verify(&FastEngine, &answer, asked(Kind::TlsServer), &known).unwrap_err(), Refusal::OtherKey);
    let mut other = node;
    other.ak = p256::ecdsa::SigningKey::from_slice(&[99; 32]).unwrap();
    assert_eq!(fresh(&other), quote(QuoteError::Signature));
}

#[test]
fn q11_a_signed_attestation_with_trailing_bytes_is_refused() {
    let mut node = node();
    node.trailing = vec![0];
    assert_eq!(fresh(&node), quote(QuoteError::Length));
}

#[test]
fn q9_no_flipped_byte_of_an_answer_is_accepted_as_more_than_it_was() {
    let node = node();
    let answer = node.fresh(&asked(Kind::TlsServer));
    let sound = with_verified(&node, &NOTHING, |verified| verified.identity().ok().copied());
    for at in 0..answer.len() {
        let mut other = answer.clone();
        other[at] ^= 0x01;
        let Ok(verified) = verify(&FastEngine, &other, asked(Kind::TlsServer), &NOTHING) else { continue };
        let same_facts = (0..24).all(|pcr| verified.boot().state(Hash::Sha256, pcr) == PcrState::Replayed);
        let weaker = verified.identity().is_err() || !same_facts;
        let log_text_only = verified.identity().ok().copied() == sound;
        assert!(weaker || log_text_only, "byte {at} made another identity pass");
    }
}

#[test]
fn q11_no_prefix_of_an_answer_is_accepted() {
    let answer = node().fresh(&asked(Kind::TlsServer));
    for cut in 0..answer.len() {
        assert!(verify(&FastEngine, &answer[..cut], asked(Kind::TlsServer), &NOTHING).is_err(), "cut at {cut}");
    }
}

#[test]
fn c3_a_session_key_that_the_boot_key_did_not_sign_names_no_boot() {
    let mut node = node();
    node.session_key = ed25519_dalek::SigningKey::from_bytes(&[66; 32]);
    node.vouches = ed25519_dalek::SigningKey::from_bytes(&[67; 32]);
    let fault = with_verified(&node, &NOTHING, |verified| verified.identity().err().copied());
    assert_eq!(fault, Some(IdentityFault::SessionKey));
}

#[test]
fn c3_an_entry_zero_that_came_later_than_the_first_extension_names_no_boot() {
    let mut node = node();
    let late = FastEngine.digest(Hash::Sha256, &[node.banks[1].1[15].as_bytes(), &[0; 32]]);
    node.banks[1].1[15] = late;
    let fault = with_verified(&node, &NOTHING, |verified| verified.identity().err().copied());
    assert_eq!(fault, Some(IdentityFault::Replay { bank: Hash::Sha256 }));
}

#[test]
fn m3_entry_zero_must_stand_in_every_allocated_bank() {
    let mut node = node();
    node.banks[3].1 = vec![Digest::zero(Hash::Sha512); 24];
    let fault = with_verified(&node, &NOTHING, |verified| verified.identity().err().copied());
    assert_eq!(fault, Some(IdentityFault::Replay { bank: Hash::Sha512 }));
}

#[test]
fn m3_a_resettable_pcr_holds_no_ledger() {
    for pcr in [0, 7, 16, 23, 24, u64::MAX] {
        let mut node = node();
        node.ledger_pcr = pcr;
        let fault = with_verified(&node, &NOTHING, |verified| verified.identity().err().copied());
        assert!(matches!(fault, Some(IdentityFault::LedgerPcr { .. })), "PCR {pcr}");
    }
}

#[test]
fn c1_a_channel_that_ends_at_another_key_is_seen() {
    let node = node();
    let peer = |key| Known { peer_key: Some(key), ..NOTHING };
    assert!(with_verified(&node, &peer(node.session_public()), |verified| verified.identity().is_ok()));
    let fault = with_verified(&node, &peer([1; 32]), |verified| verified.identity().err().copied());
    assert_eq!(fault, Some(IdentityFault::PeerKey));
}

#[test]
fn m2_a_connection_under_an_older_session_key_of_the_same_boot_is_accepted() {
    let mut node = node();
    let older = ed25519_dalek::SigningKey::from_bytes(&[14; 32]);
    let peer_key = Some(older.verifying_key().to_bytes());
    node.older_keys.push(older);
    assert!(with_verified(&node, &Known { peer_key, ..NOTHING }, |verified| verified.identity().is_ok()));
}

#[test]
fn c1_a_cached_answer_needs_the_quoted_session_keys_signature_over_this_challenge() {
    let node = node();
    let answer = node.cached(&asked(Kind::TlsServer));
    let verified = verify(&FastEngine, &answer, asked(Kind::TlsServer), &NOTHING).expect("verifies");
    assert_eq!(verified.cached().map(|state| state.quote_digest), Some(verified.quote_digest()));
    let other = Challenge { nonce: [23; 32], ..asked(Kind::TlsServer) };
    assert_eq!(verify(&FastEngine, &answer, other, &NOTHING).unwrap_err(), Refusal::CachedAnswer);
    let mut forged = node.clone();
    forged.session_key = ed25519_dalek::SigningKey::from_bytes(&[68; 32]);
    let challenge = asked(Kind::TlsServer);
    let root_of_other = forged.cached(&challenge);
    let verified = verify(&FastEngine, &root_of_other, challenge, &NOTHING).expect("its own quote");
    assert_ne!(verified.identity().map(|identity| identity.session_key), Ok(node.session_public()));
}

#[test]
fn h3_counters_that_fell_or_a_restart_are_facts_of_this_machine() {
    let known = garant_attest::quote::ClockInfo { reset_count: 6, restart_count: 0, clock_ms: 1, safe: true };
    let state = with_verified(&node(), &Known { counters: Some(known), ..NOTHING }, |verified| verified.counters());
    assert!(matches!(state, CounterState::Fell { .. }));
    let mut restarted = node();
    restarted.counters = (5, 1, 1000, 1);
    let state = with_verified(&restarted, &NOTHING, |verified| verified.counters());
    assert_eq!(state, CounterState::Restarted { restart_count: 1 });
}

#[test]
fn l9_a_pcr_that_the_log_does_not_lead_to_is_a_mismatch_and_names_both_values() {
    let mut node = node();
    let replayed = node.banks[1].1[0];
    node.banks[1].1[0] = Digest::ones(Hash::Sha256);
    with_verified(&node, &NOTHING, |verified| {
        assert_eq!(verified.boot().state(Hash::Sha256, 0), PcrState::Mismatch { replayed });
        assert_eq!(verified.boot().state(Hash::Sha256, 1), PcrState::Replayed);
    });
}

#[test]
fn l14_a_bank_that_the_os_closed_is_capped_and_never_replayed() {
    let mut node = node();
    let value = node.banks[1].1[7];
    node.banks[1].1[7] = FastEngine.digest(Hash::Sha256, &[value.as_bytes(), &[0; 32]]);
    let state = with_verified(&node, &NOTHING, |verified| verified.boot().state(Hash::Sha256, 7));
    assert_eq!(state, PcrState::Capped);
}

#[test]
fn a_missing_or_unreadable_log_covers_nothing_but_the_ledger() {
    for log in [None, Some(vec![1, 2, 3])] {
        let mut node = node();
        node.log = log;
        with_verified(&node, &NOTHING, |verified| {
            assert_eq!(verified.boot().state(Hash::Sha256, 0), PcrState::NotCovered);
            assert_eq!(verified.boot().state(Hash::Sha256, 15), PcrState::Replayed);
        });
    }
}

#[test]
fn q5_a_nonce_is_compared_whole_and_zero_nonces_do_not_match() {
    let answer = node().fresh(&asked(Kind::TlsServer));
    for at in [0, 31] {
        let mut nonce = [21; 32];
        nonce[at] ^= 0x80;
        let other = Challenge { nonce, ..asked(Kind::TlsServer) };
        assert_eq!(verify(&FastEngine, &answer, other, &NOTHING).unwrap_err(), Refusal::Challenge);
    }
}
