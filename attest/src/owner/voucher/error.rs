//! What can be wrong with a voucher, in words; whoever wrote or brought it is at fault.

use super::key::KeyError;
use crate::{budget, cbor::CborError, cose::StatementError};
use alloc::string::String;
use core::fmt;

/// Why a voucher does not hold. Entries count from 0, as a list does; the print counts from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VoucherError {
    /// Not a voucher of the accepted shape.
    Shape(CborError),
    /// The header names no machine as we name them, or has parts that only FDO's onboarding needs.
    Machine,
    /// More entries than any machine had owners.
    TooMany {
        /// Entries found.
        found: usize,
    },
    /// The key in the header is not taken.
    MakerKey(KeyError),
    /// An entry is signed by another key than the owner's before: entries are missing between, or somebody else wrote it.
    Cut {
        /// Which entry.
        number: usize,
        /// Key id of the owner before.
        expected: [u8; 32],
        /// Key id of the signer.
        found: [u8; 32],
    },
    /// An entry is the right owner's, and names another entry before it than the one before it.
    WrongLink {
        /// Which entry.
        number: usize,
    },
    /// An entry was written for another machine.
    OtherMachine {
        /// Which entry.
        number: usize,
    },
    /// An entry hands over a machine before its owner had it.
    Backwards {
        /// Which entry.
        number: usize,
    },
    /// Digests of an algorithm that is not taken.
    Hash {
        /// Which entry.
        number: usize,
        /// Its COSE number.
        algorithm: i64,
    },
    /// The next owner's key is not taken.
    Key {
        /// Which entry.
        number: usize,
        /// Why.
        error: KeyError,
    },
    /// An entry is no statement, or its signature does not verify.
    Entry {
        /// Which entry.
        number: usize,
        /// Why.
        error: StatementError,
    },
}

impl fmt::Display for VoucherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nth = |number: &usize| number.saturating_add(1);
        match self {
            VoucherError::Shape(error) => write!(f, "no ownership voucher: {error}"),
            VoucherError::Machine => f.write_str("the voucher's header names no machine by node id and chassis"),
            VoucherError::TooMany { found } => {
                write!(f, "a voucher of {found} entries, at most {} are read", budget::VOUCHER_ENTRIES)
            }
            VoucherError::MakerKey(error) => write!(f, "the voucher's header has {error}"),
            VoucherError::Cut { number, expected, found } => write!(
                f,
                "the chain of custody is cut before entry {}: key {} signed it, and the owner before is {}",
                nth(number),
                short(found),
                short(expected)
            ),
            VoucherError::WrongLink { number } => {
                write!(f, "entry {} of the voucher does not continue the entry before it", nth(number))
            }
            VoucherError::OtherMachine { number } => {
                write!(f, "entry {} of the voucher was written for another machine", nth(number))
            }
            VoucherError::Backwards { number } => {
                write!(f, "entry {} of the voucher is older than the entry before it", nth(number))
            }
            VoucherError::Hash { number, algorithm } => {
                write!(f, "entry {} of the voucher has digests of algorithm {algorithm}, not SHA-256", nth(number))
            }
            VoucherError::Key { number, error } => write!(f, "entry {} of the voucher names {error}", nth(number)),
            VoucherError::Entry { number, error } => write!(f, "entry {} of the voucher: {error}", nth(number)),
        }
    }
}

impl core::error::Error for VoucherError {}

/// The first bytes of a key id, enough for people to tell keys apart.
pub(crate) fn short(key_id: &[u8; 32]) -> String {
    key_id.iter().take(8).map(|byte| alloc::format!("{byte:02x}")).collect()
}
