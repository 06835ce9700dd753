//! B, the key of this boot, and how often it vouches.

use crate::budget::{VOUCH_INTERVAL, VOUCHES_SAVED};
use garant_attest::wire;
use garant_channel::key::SigningKey;
use std::time::Instant;

/// B. It signs session keys and nothing else.
pub(super) struct BootKey(SigningKey);

impl BootKey {
    pub(super) fn generate() -> Option<BootKey> {
        SigningKey::generate().ok().map(BootKey)
    }

    pub(super) fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    pub(super) fn vouch(&self, session_key: &[u8; 32]) -> [u8; 64] {
        self.0.sign(&wire::key_statement(session_key))
    }
}

/// How many session keys may still be vouched for: a server that was taken over gets no more than it needs.
pub(super) struct Vouches {
    saved: u32,
    since: Instant,
}

impl Vouches {
    pub(super) fn new(now: Instant) -> Vouches {
        Vouches { saved: VOUCHES_SAVED, since: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        while let Some(next) = self.since.checked_add(VOUCH_INTERVAL).filter(|next| *next <= now) {
            self.since = next;
            self.saved = self.saved.saturating_add(1).min(VOUCHES_SAVED);
        }
        let left = self.saved.checked_sub(1);
        self.saved = left.unwrap_or_default();
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;

    #[test]
    fn a_server_gets_no_more_session_keys_than_it_needs() {
        let start = Instant::now();
        let mut vouches = Vouches::new(start);
        let granted = (0..1000).filter(|_| vouches.take(start)).count();
        assert_eq!(granted, usize::try_from(VOUCHES_SAVED).unwrap());
        assert!(!vouches.take(start + VOUCH_INTERVAL / 2));
        assert!(vouches.take(start + VOUCH_INTERVAL));
        assert!(!vouches.take(start + VOUCH_INTERVAL));
    }

    #[test]
    fn b_signs_a_labelled_session_key_and_nothing_bare() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let key = BootKey::generate().unwrap();
        let signature = key.vouch(&[5; 32]);
        let public = UnparsedPublicKey::new(&ED25519, key.public());
        assert!(public.verify(&wire::key_statement(&[5; 32]), &signature).is_ok());
        assert!(public.verify(&[5; 32], &signature).is_err());
    }
}
