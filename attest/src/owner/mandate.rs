//! Mandates: the present owner of a machine says that this node, with this attestation key, stands at the end of this
//! voucher now. The node carries it; the live part is the node's own quote, so the owner's key answers no stranger, and a
//! mandate that is carried to another machine names the wrong one.

use crate::{
    cbor::{Bytes, Bytes32},
    statement::{Claims, Lifetime},
};

/// Seconds that a mandate lives at most (design, Owner): so long may a former owner's last one outlive a sale.
pub const LIFE_S: u64 = 7 * 86_400;

crate::int_map! {
    /// What a mandate says.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Mandate<'a> {
        /// exp: the first second at which it no longer counts, since 1970; at most [`LIFE_S`] after `issued`.
        4 => expires: u64,
        /// iat: when it was signed, seconds since 1970.
        6 => issued: u64,
        /// Node id: SHA-256 of the certified EK's SubjectPublicKeyInfo.
        -75011 => node_id: Bytes32,
        /// Name of the attestation key.
        -75016 => ak_name: &'a Bytes,
        /// Head of the voucher: SHA-256 of its last entry.
        -75051 => head: Bytes32,
    }
}

impl<'a> Claims<'a> for Mandate<'a> {
    const CONTENT_TYPE: &'static str = "application/vnd.garant.mandate+cbor";
    const LONGEST_S: u64 = LIFE_S;

    fn lifetime(&self) -> Lifetime {
        Lifetime { issued: self.issued, not_before: None, expires: self.expires }
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.ak_name.len() < 3 || self.ak_name.len() > NAME_BYTES { Err("AK Name") } else { Ok(()) }
    }
}

/// A Name with a digest of SHA-512 (TPM 2.0 Part 1, 16).
const NAME_BYTES: usize = 66;
