//! A landmark's statement: how soon a holder of F answered it.
//!
//! Holding one proves: that landmark says that a holder of F answered fresh questions of its own within the round-trip
//! time. Where the landmark stands, how exactly, and who runs it, are the policy's to say; that F sits in the machine in
//! question, the quote's.

use crate::{
    budget,
    cbor::{self, Bytes32, CborError},
    cose::{self, ClaimedStatement, StatementError},
    engine::{Engine, PublicKey},
};
use alloc::vec::Vec;

/// Content type of a statement.
pub const CONTENT_TYPE: &str = "application/vnd.garant.landmark+cbor";

/// Rounds that a statement rests on at least. One would be a proof; so many find a quiet moment of the network.
pub const ROUNDS_LEAST: u64 = 16;

/// Seconds after its time at which a statement ends: F lives no longer (design, Keys).
pub const LIFE_S: u64 = 600;

/// Seconds that a landmark's calendar may be ahead of the reader's; a later statement is refused.
pub const AHEAD_S: u64 = 60;

crate::int_map! {
    /// What a landmark says.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Claims {
        /// iat: when its first question left, seconds since 1970.
        6 => time: u64,
        /// F, which answered.
        -75041 => session_key: Bytes32,
        /// The shortest round trip, nanoseconds; by the larger of two clocks, nothing subtracted.
        -75042 => round_trip_ns: u64,
        /// Rounds that counted.
        -75043 => rounds: u64,
        /// The landmark's key, which F's answers name.
        -75044 => landmark: Bytes32,
    }
}

/// A statement whose signature was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LandmarkStatement {
    claims: Claims,
}

/// Reads a statement that the landmark with this Ed25519 key signed. Whether it counts now, [`LandmarkStatement::counts_at`]
/// says.
pub fn open(
    engine: &dyn Engine,
    statement: &[u8],
    landmark_key: &[u8; 32],
) -> Result<LandmarkStatement, StatementError> {
    let claimed = ClaimedStatement::decode(statement)?;
    let payload = claimed.verify(engine, &PublicKey::Ed25519(*landmark_key), CONTENT_TYPE)?;
    let claims: Claims = cbor::decode(payload, budget::STATEMENT_BYTES)?;
    if *claims.landmark != *landmark_key {
        return Err(StatementError::OtherKey);
    }
    if claims.round_trip_ns == 0 {
        return Err(StatementError::Claim { what: "round trip of no time" });
    }
    if claims.rounds < ROUNDS_LEAST {
        return Err(StatementError::Claim { what: "small number of rounds" });
    }
    Ok(LandmarkStatement { claims })
}

/// Reads a statement that the landmark signed which it names, whoever that is.
pub fn open_own(engine: &dyn Engine, statement: &[u8]) -> Result<LandmarkStatement, StatementError> {
    let claimed = ClaimedStatement::decode(statement)?;
    let untrusted: Claims = cbor::decode(claimed.untrusted_payload(), budget::STATEMENT_BYTES)?;
    open(engine, statement, &untrusted.landmark)
}

/// Signs a statement; `sign` is the landmark's Ed25519 key, `key_id` its id.
pub fn seal<E: From<CborError>>(
    claims: &Claims,
    key_id: [u8; 32],
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<Vec<u8>, E> {
    cose::sign_ed25519(key_id, CONTENT_TYPE, &cbor::encode(claims)?, sign)
}

impl LandmarkStatement {
    /// The landmark's key.
    pub fn landmark(&self) -> [u8; 32] {
        *self.claims.landmark
    }

    /// F, which answered. A statement counts only with a quote over the same F.
    pub fn session_key(&self) -> [u8; 32] {
        *self.claims.session_key
    }

    /// The shortest round trip, nanoseconds.
    pub fn round_trip_ns(&self) -> u64 {
        self.claims.round_trip_ns
    }

    /// Rounds that counted.
    pub fn rounds(&self) -> u64 {
        self.claims.rounds
    }

    /// When the first question left, seconds since 1970 on the landmark's calendar.
    pub fn time(&self) -> u64 {
        self.claims.time
    }

    /// The first second at which it no longer counts, since 1970.
    pub fn expires(&self) -> u64 {
        self.claims.time.saturating_add(LIFE_S)
    }

    /// Whether it counts at `now`, seconds since 1970: not ended, and not more than [`AHEAD_S`] from the future.
    pub fn counts_at(&self, now: u64) -> bool {
        now < self.expires() && self.claims.time <= now.saturating_add(AHEAD_S)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::rust_engine::RustEngine;
    use alloc::vec;
    use ed25519_dalek::{Signer, SigningKey};

    const NOW: u64 = 1_700_000_000;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn public() -> [u8; 32] {
        key().verifying_key().to_bytes()
    }

    fn claims() -> Claims {
        Claims {
            time: NOW,
            session_key: Bytes32::new([5; 32]),
            round_trip_ns: 1_234_567,
            rounds: 16,
            landmark: Bytes32::new(public()),
        }
    }

    fn sealed_as(content_type: &str, payload: &[u8], key_id: [u8; 32]) -> Vec<u8> {
        cose::sign_ed25519(key_id, content_type, payload, |m| Ok::<_, CborError>(key().sign(m).to_bytes())).unwrap()
    }

    fn key_id() -> [u8; 32] {
        PublicKey::Ed25519(public()).id(&RustEngine).unwrap()
    }

    fn sealed(claims: &Claims) -> Vec<u8> {
        seal(claims, key_id(), |m| Ok::<_, CborError>(key().sign(m).to_bytes())).unwrap()
    }

    #[test]
    fn a_statement_says_what_its_landmark_said() {
        let read = open(&RustEngine, &sealed(&claims()), &public()).unwrap();
        assert_eq!((read.landmark(), read.session_key()), (public(), [5; 32]));
        assert_eq!((read.round_trip_ns(), read.rounds(), read.time()), (1_234_567, 16, NOW));
    }

    #[test]
    fn a_statement_of_another_key_or_kind_or_of_impossible_values_is_refused() {
        let refused = |statement: &[u8]| open(&RustEngine, statement, &public()).unwrap_err();
        let claim = |what| StatementError::Claim { what };
        let payload = cbor::encode(&claims()).unwrap();
        let other_kind = sealed_as("application/vnd.garant.mandate+cbor", &payload, key_id());
        assert!(matches!(refused(&other_kind), StatementError::ContentType { .. }));
        assert_eq!(refused(&sealed_as(CONTENT_TYPE, &payload, [1; 32])), StatementError::OtherKey);
        assert_eq!(
            refused(&sealed(&Claims { landmark: Bytes32::new([8; 32]), ..claims() })),
            StatementError::OtherKey,
            "signed by one landmark, measured by another"
        );
        assert_eq!(refused(&sealed(&Claims { round_trip_ns: 0, ..claims() })), claim("round trip of no time"));
        assert_eq!(refused(&sealed(&Claims { rounds: 15, ..claims() })), claim("small number of rounds"));
        let mut signature = sealed(&claims());
        *signature.last_mut().unwrap() ^= 1;
        assert_eq!(refused(&signature), StatementError::Signature);
        let other = SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes();
        assert_eq!(open(&RustEngine, &sealed(&claims()), &other).unwrap_err(), StatementError::OtherKey);
    }

    #[test]
    fn no_byte_of_a_statement_can_change_or_be_missing() {
        let good = sealed(&claims());
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(open(&RustEngine, &changed, &public()).is_err(), "byte {at}");
            assert!(open(&RustEngine, &good[..at], &public()).is_err(), "{at} bytes");
        }
        assert!(open(&RustEngine, &[&good[..], &[0]].concat(), &public()).is_err());
        let unknown: Vec<(i64, u64)> = vec![(6, NOW)];
        assert!(
            open(&RustEngine, &sealed_as(CONTENT_TYPE, &cbor::encode(&unknown).unwrap(), key_id()), &public()).is_err()
        );
    }

    #[test]
    fn a_statement_counts_from_its_time_for_600_s_and_never_from_the_future() {
        let read = open(&RustEngine, &sealed(&claims()), &public()).unwrap();
        for (now, counts) in [
            (NOW - AHEAD_S - 1, false),
            (NOW - AHEAD_S, true),
            (NOW, true),
            (NOW + LIFE_S - 1, true),
            (NOW + LIFE_S, false),
            (u64::MAX, false),
            (0, false),
        ] {
            assert_eq!(read.counts_at(now), counts, "{now}");
        }
        let last = open(&RustEngine, &sealed(&Claims { time: u64::MAX, ..claims() }), &public()).unwrap();
        assert!(!last.counts_at(NOW) && !last.counts_at(u64::MAX));
    }
}
