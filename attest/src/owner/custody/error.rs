//! Why custody is not shown, in words.

use crate::{
    cose::StatementError,
    owner::{
        seal_certificate::SealError,
        voucher::{VoucherError, short},
    },
};
use alloc::string::String;
use core::fmt;

/// Why nobody is shown to hold the machine; whoever brought the statements is at fault, in the alarm an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustodyError {
    /// No voucher at all.
    NoVoucher,
    /// A voucher whose maker has handed the machine to nobody: its header is nobody's word.
    NoEntry,
    /// More vouchers or mandates than are weighed for one machine.
    TooMany {
        /// Brought.
        found: usize,
        /// Weighed at most.
        limit: usize,
    },
    /// Its header is another machine's: the chip is another.
    OtherNode {
        /// The node id that it names.
        found: [u8; 32],
    },
    /// Its header is another machine's: the chassis is another.
    OtherChassis {
        /// The voucher's.
        expected: String,
        /// What the machine says.
        found: String,
    },
    /// It begins with a key that the policy does not name.
    UnknownMaker {
        /// Which.
        key_id: [u8; 32],
    },
    /// It does not hold.
    Voucher(VoucherError),
    /// Two vouchers of this machine lead to two owners: an alarm.
    TwoHeads {
        /// Head of one.
        one: [u8; 32],
        /// Head of the other.
        other: [u8; 32],
    },
    /// A key of the chain is revoked by the policy.
    Revoked {
        /// Which.
        key_id: [u8; 32],
    },
    /// An entry counts only later.
    EntryNotYet {
        /// Which, from 0 on.
        number: usize,
        /// From when on, seconds since 1970.
        from: u64,
    },
    /// What an entry gave has ended.
    EntryExpired {
        /// Which, from 0 on.
        number: usize,
        /// When, seconds since 1970.
        at: u64,
    },
    /// The certificates of an entry do not count.
    Seal {
        /// Which entry, from 0 on.
        number: usize,
        /// Why.
        error: SealError,
    },
    /// Nobody mandates.
    NoMandate,
    /// Not a mandate that counts now.
    Mandate(StatementError),
    /// The mandate is signed by somebody who has handed the machine on.
    FormerOwner {
        /// Whom.
        key_id: [u8; 32],
    },
    /// The mandate is signed by nobody in the chain.
    Stranger {
        /// Whom.
        key_id: [u8; 32],
    },
    /// The mandate is for another node.
    MandateOtherNode {
        /// Which.
        found: [u8; 32],
    },
    /// The mandate is for another attestation key.
    MandateOtherKey,
    /// The mandate is for another head: entries are missing from the voucher, or the mandate is older than its last.
    MandateOtherHead {
        /// Which.
        found: [u8; 32],
    },
}

impl fmt::Display for CustodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nth = |number: &usize| number.saturating_add(1);
        match self {
            CustodyError::NoVoucher => f.write_str("no ownership voucher is at hand"),
            CustodyError::NoEntry => f.write_str("the voucher has no entry: its header is nobody's word"),
            CustodyError::TooMany { found, limit } => {
                write!(f, "{found} vouchers or mandates for one machine, at most {limit} are weighed")
            }
            CustodyError::OtherNode { found } => write!(f, "the voucher is for another machine: node {}", short(found)),
            CustodyError::OtherChassis { expected, found } => {
                write!(f, "the voucher is for the chassis '{expected}', and this machine says it is '{found}'")
            }
            CustodyError::UnknownMaker { key_id } => {
                write!(f, "the voucher begins with key {}, which the policy does not name as a maker", short(key_id))
            }
            CustodyError::Voucher(error) => write!(f, "{error}"),
            CustodyError::TwoHeads { one, other } => {
                write!(f, "ALARM: this machine was given to two owners: heads {} and {}", short(one), short(other))
            }
            CustodyError::Revoked { key_id } => {
                write!(f, "key {} in the chain of custody is revoked by the policy", short(key_id))
            }
            CustodyError::EntryNotYet { number, from } => {
                write!(f, "entry {} of the voucher counts only from {from} (seconds since 1970) on", nth(number))
            }
            CustodyError::EntryExpired { number, at } => {
                write!(f, "what entry {} of the voucher gave ended at {at} (seconds since 1970)", nth(number))
            }
            CustodyError::Seal { number, error } => write!(f, "entry {} of the voucher: {error}", nth(number)),
            CustodyError::NoMandate => f.write_str("the owner has given no mandate for this node"),
            CustodyError::Mandate(error) => write!(f, "the mandate does not count: {error}"),
            CustodyError::FormerOwner { key_id } => {
                write!(f, "the mandate is by key {}, which has handed the machine on", short(key_id))
            }
            CustodyError::Stranger { key_id } => {
                write!(f, "the mandate is by key {}, which is not in the chain of custody", short(key_id))
            }
            CustodyError::MandateOtherNode { found } => {
                write!(f, "the mandate is for another machine: node {}", short(found))
            }
            CustodyError::MandateOtherKey => f.write_str("the mandate is for another attestation key"),
            CustodyError::MandateOtherHead { found } => write!(
                f,
                "the mandate is for the voucher's head {}: entries are missing here, or the machine was handed on since",
                short(found)
            ),
        }
    }
}

impl core::error::Error for CustodyError {}
