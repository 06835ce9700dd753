//! One measurement: is the node at the address that it sends from, and how soon does a holder of F answer there.

use crate::{
    budget::{COOKIE_TIME, ROUND_TIME, ROUNDS_MOST, ROUNDS_TIME, ROUNDS_WANTED},
    clock::unix_time,
    landmark::post::{Letterbox, Received},
};
use garant_attest::{
    cbor::Bytes32,
    engine::hmac_sha256,
    place::{
        landmark::{Claims, ROUNDS_LEAST},
        timing::{Message, Reading, round_trip_ns, verify_answer},
    },
};
use garant_channel::engine::FastEngine;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// Why a node was not measured.
#[derive(Debug)]
pub(super) enum NotMeasured {
    /// The node's, or the network's: no cookie came back.
    NoCookie,
    /// The node's, or the network's: too few answers came in time, or by clocks that agree.
    TooFew {
        /// Rounds that counted.
        counted: u64,
    },
    /// The node's: an answer that F did not sign over the question.
    OtherAnswer,
    /// Ours: no random bytes.
    Random,
}

impl fmt::Display for NotMeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotMeasured::NoCookie => f.write_str("no cookie came back from the address of the connection"),
            NotMeasured::TooFew { counted } => write!(f, "{counted} rounds counted, {ROUNDS_LEAST} are needed"),
            NotMeasured::OtherAnswer => f.write_str("an answer that the session key did not give to this question"),
            NotMeasured::Random => f.write_str("the landmark has no random bytes"),
        }
    }
}

/// Measures the node of this letterbox, which showed F in its handshake, for the landmark of this key.
pub(super) async fn measure(
    letters: &mut Letterbox,
    landmark: [u8; 32],
    session_key: [u8; 32],
) -> Result<Claims, NotMeasured> {
    let found = timeout(COOKIE_TIME, find(letters)).await;
    let address = found.map_err(|_| NotMeasured::NoCookie)??;
    // Before the first question, so that no statement is younger than what it says.
    let time = unix_time();
    let mut times = Vec::new();
    let began = Instant::now();
    for round in 1..=ROUNDS_MOST {
        times.extend(ask(letters, address, round, &landmark, &session_key).await?);
        if times.len() >= ROUNDS_WANTED || began.elapsed() > ROUNDS_TIME {
            break;
        }
        sleep(BETWEEN_ROUNDS).await;
    }
    let rounds = u64::try_from(times.len()).unwrap_or_default();
    let shortest = times.into_iter().min().filter(|_| rounds >= ROUNDS_LEAST);
    let round_trip_ns = shortest.ok_or(NotMeasured::TooFew { counted: rounds })?;
    Ok(Claims { time, session_key: Bytes32::new(session_key), round_trip_ns, rounds, landmark: Bytes32::new(landmark) })
}

/// The address from which the node's cookie comes back; nothing but cookies is sent before.
async fn find(letters: &mut Letterbox) -> Result<SocketAddr, NotMeasured> {
    let key = random()?;
    loop {
        let Some(Received { message, from, .. }) = letters.next().await else { return Err(NotMeasured::NoCookie) };
        match message {
            Message::Hello => {
                // What the network does not carry is asked for again.
                let _ = letters.send(&Message::Cookie(cookie(&key, from)), from);
            }
            Message::Returned(returned) if returned == cookie(&key, from) => return Ok(from),
            _ => {}
        }
    }
}

/// What only whoever receives at this address knows.
fn cookie(key: &[u8; 32], address: SocketAddr) -> [u8; 32] {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    hmac_sha256(&FastEngine, key, &[&ip.octets()[..], &address.port().to_be_bytes()].concat())
}

/// One round's time in nanoseconds; `None` where it does not count.
async fn ask(
    letters: &mut Letterbox,
    address: SocketAddr,
    round: u32,
    landmark: &[u8; 32],
    session_key: &[u8; 32],
) -> Result<Option<u64>, NotMeasured> {
    let nonce = random()?;
    let Ok(sent) = letters.send(&Message::Question { round, nonce }, address) else { return Ok(None) };
    let Ok(Some((at, signature))) = timeout(ROUND_TIME, answer(letters, address, round)).await else { return Ok(None) };
    let verified = verify_answer(&FastEngine, landmark, &nonce, session_key, &signature);
    verified.map_err(|_| NotMeasured::OtherAnswer)?;
    Ok(round_trip_ns(sent, at))
}

/// The answer to this round's question, from where it was sent to, and what the clocks said when it came.
async fn answer(letters: &mut Letterbox, address: SocketAddr, round: u32) -> Option<(Reading, [u8; 64])> {
    loop {
        let received = letters.next().await?;
        match received.message {
            Message::Answer { round: answered, signature } if answered == round && received.from == address => {
                return Some((received.at, signature));
            }
            _ => {}
        }
    }
}

fn random() -> Result<[u8; 32], NotMeasured> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| NotMeasured::Random)?;
    Ok(bytes)
}

/// So that rounds do not all fall into one busy moment of either end.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(3);
