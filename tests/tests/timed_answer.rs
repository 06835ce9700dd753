//! What a timed answer allocates. A process of its own, since everything in it is counted.

use garant_attest::place::timing::{Datagram, EXPORTED_BYTES, Message, TimingSecret};
use garant_channel::{engine::FastEngine, key::SigningKey};
use garantd::timing::{Party, Responder, bind};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{alloc::System, hint::black_box, net::SocketAddr, sync::Arc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The least number of allocations, and of bytes, that some runs of this took; other threads of the test may allocate too.
fn least(mut run: impl FnMut()) -> (usize, usize) {
    let counted = (0..32).map(|_| {
        let region = Region::new(COUNTING);
        run();
        let change = region.change();
        (change.allocations + change.reallocations, change.bytes_allocated)
    });
    counted.min().unwrap()
}

#[test]
fn a_timed_answer_allocates_nothing_beside_the_signature_of_the_library() {
    let key = SigningKey::generate().unwrap();
    let responder = Arc::new(Responder::new(bind(Some("127.0.0.1:0".parse().unwrap())).unwrap()));
    let address: SocketAddr = "192.0.2.1:8463".parse().unwrap();
    let secret = TimingSecret::new(&[1; EXPORTED_BYTES]);
    let party = Party { secret: secret.clone(), landmark: [3; 32], address, key: key.clone() };
    let _open = responder.open(party).unwrap();
    let sealed = |message: &Message| secret.seal(&FastEngine, message);
    let mut questions =
        (1..=64).map(|round| sealed(&Message::Question { round, nonce: [7; 32] })).collect::<Vec<_>>().into_iter();
    let answer = |datagram: Datagram| black_box(responder.answer(&datagram, address)).is_some();
    let signature = least(|| {
        black_box(key.sign(&[7; 110]));
    });
    assert_eq!(signature, (1, 64), "aws-lc-rs returns a signature in a box");
    assert_eq!(least(|| assert!(answer(questions.next().unwrap()))), signature);
    let cookie = sealed(&Message::Cookie([9; 32]));
    assert_eq!(least(|| assert!(answer(cookie))), (0, 0));
    let mut forged = cookie;
    forged[159] ^= 1;
    assert_eq!(least(|| assert!(!answer(forged))), (0, 0), "what is dropped");
}
