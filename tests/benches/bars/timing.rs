//! `place.answer` and `place.answer.rate`: a landmark's question, from the datagram that waits in the node's socket to the
//! answer that is handed to the kernel: two system calls, two MACs and one signature, on one core.

use garant_attest::place::timing::{DATAGRAM_BYTES, EXPORTED_BYTES, Message, TimingSecret};
use garant_channel::{engine::FastEngine, key::SigningKey};
use garant_tests::agent_bench::Figure;
use garantd::{
    budget::TIMED_ROUNDS,
    timing::{Party, Responder, bind},
};
use std::{
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

/// Median time of one answer, and answers a second and core.
pub fn answer() -> Vec<Figure> {
    let loopback = || bind(Some("127.0.0.1:0".parse().unwrap())).unwrap();
    let (landmark, node) = (loopback(), loopback());
    let address = node.local_addr().unwrap();
    let responder = Arc::new(Responder::new(node));
    let key = SigningKey::generate().unwrap();
    let mut times: Vec<Duration> = Vec::new();
    for number in 0..CONVERSATIONS {
        let mut exported = [0; EXPORTED_BYTES];
        exported[..8].copy_from_slice(&number.to_be_bytes());
        let secret = TimingSecret::new(&exported);
        let party = Party {
            secret: secret.clone(),
            landmark: [3; 32],
            address: landmark.local_addr().unwrap(),
            key: key.clone(),
        };
        let _open = responder.open(party).unwrap();
        for round in 1..=TIMED_ROUNDS {
            let question = secret.seal(&FastEngine, &Message::Question { round, nonce: [7; 32] });
            landmark.send_to(&question, address).unwrap();
        }
        for _ in 1..=TIMED_ROUNDS {
            let began = Instant::now();
            responder.serve_one().unwrap();
            times.push(began.elapsed());
        }
        read_all(&landmark, &secret);
    }
    let all: Duration = times.iter().sum();
    let rate = times.len() as f64 / all.as_secs_f64();
    times.sort();
    let median_us = times[times.len() / 2].as_secs_f64() * 1e6;
    vec![
        Figure { name: "place.answer", value: median_us, unit: "µs", reference: 40.0 },
        Figure { name: "place.answer.rate", value: rate, unit: "per_s", reference: 20_000.0 },
    ]
}

/// Every question was answered.
fn read_all(landmark: &UdpSocket, secret: &TimingSecret) {
    let mut buffer = [0; DATAGRAM_BYTES + 1];
    for expected in 1..=TIMED_ROUNDS {
        let length = landmark.recv(&mut buffer).unwrap();
        let answer = secret.open(&FastEngine, &buffer[..length]).unwrap();
        assert!(matches!(answer, Message::Answer { round, .. } if round == expected), "{answer:?}");
    }
}

const CONVERSATIONS: u64 = 500;
