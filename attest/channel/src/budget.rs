//! Every limit on what a peer may send and how long it may take, with its unit and source.

use std::time::Duration;

/// A TLS handshake, both ways: three round trips around the Earth and the slowest peer's arithmetic.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a peer may take for the head of a request, and may stay silent between two: one minute, so that a verifier
/// that asks again and again keeps its connection, and far less than the life of a session key.
pub const HEAD: Duration = Duration::from_secs(60);

/// How long a peer may take for the body of a request once its head is there.
pub const BODY: Duration = Duration::from_secs(10);

/// How long a peer may take over what is sent to it: as long as a challenge lives, after which an answer is worth
/// nothing (design, Wire).
pub const STALL: Duration = Duration::from_secs(30);

/// Bytes of a request's or an answer's head; ours are below 200. The least that hyper takes.
pub const HEAD_BYTES: usize = 8 * 1024;

/// Header fields of one head; ours are three.
pub const HEADERS: usize = 16;
