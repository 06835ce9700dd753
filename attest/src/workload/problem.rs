//! What keeps a workload from being known whole, in words.

use crate::ledger::{BodyError, EntryKind};
use core::fmt;

/// What keeps a workload from being known whole; the node is at fault, or who carried its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// A commit does not go on where the one before it ended: what follows has no numbers.
    Order {
        /// From 1.
        commit: u64,
    },
    /// Committed entries did not come.
    Missing {
        /// First entry of the commit.
        first: u64,
        /// Its last.
        last: u64,
    },
    /// Entries came that are not the committed ones.
    Changed {
        /// First entry of the commit.
        first: u64,
        /// Its last.
        last: u64,
    },
    /// An entry came without its body.
    Hidden {
        /// Its number.
        entry: u64,
    },
    /// A body that cannot be read.
    Body {
        /// Number of the entry.
        entry: u64,
        /// Its kind.
        kind: EntryKind,
        /// Why.
        error: BodyError,
    },
    /// A result of something that is no open intent for this VM.
    Foreign {
        /// Number of the result.
        entry: u64,
        /// The intent that it names.
        of: u64,
    },
    /// A VM starts that has not ended.
    Twice {
        /// Number of the second start.
        entry: u64,
    },
    /// A start from the pool of what no entry of an earlier commit said to be ready.
    NotReady {
        /// Number of the start.
        entry: u64,
        /// The entry that it names.
        of: u64,
    },
    /// A void.
    Void {
        /// Its number.
        entry: u64,
    },
    /// A gap that the node wrote down itself.
    Gap {
        /// Its number.
        entry: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Order { commit } => write!(f, "commit {commit} of the ledger does not go on where the last ended"),
            Problem::Missing { first, last } => write!(f, "entries {first} to {last} of the ledger are missing"),
            Problem::Changed { first, last } => {
                write!(f, "entries {first} to {last} of the ledger are not those that were committed")
            }
            Problem::Hidden { entry } => write!(f, "the body of entry {entry} is hidden"),
            Problem::Body { entry, kind, error } => write!(f, "entry {entry} ({kind}) cannot be read: {error}"),
            Problem::Foreign { entry, of } => {
                write!(f, "entry {entry} is a result of entry {of}, which is no open intent for the same VM")
            }
            Problem::Twice { entry } => write!(f, "entry {entry} starts a VM that has not ended"),
            Problem::NotReady { entry, of } => {
                write!(f, "entry {entry} starts from the pool what entry {of}, extended before it, does not cover")
            }
            Problem::Void { entry } => {
                write!(f, "entry {entry} voids another: whether that act took place is not known")
            }
            Problem::Gap { entry } => write!(f, "entry {entry} is a gap in the node's own journal"),
        }
    }
}

impl core::error::Error for Problem {}
