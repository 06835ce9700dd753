//! What is wrong with a text that is not a policy.

use crate::budget;
use alloc::string::String;
use core::fmt;

/// A text that is not a policy; its author is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// Longer than [`budget::POLICY_BYTES`].
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// Not UTF-8 from this byte on.
    NotText {
        /// In bytes.
        offset: usize,
    },
    /// Not TOML, or not a policy's; the message names line and column.
    Toml {
        /// From the TOML reader.
        message: String,
    },
    /// A value that contradicts the rest.
    Wrong {
        /// Where it stands.
        at: String,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::TooLong { found_bytes } => {
                write!(f, "a policy of {found_bytes} bytes where at most {} are read", budget::POLICY_BYTES)
            }
            PolicyError::NotText { offset } => write!(f, "no UTF-8 from byte {offset} on"),
            PolicyError::Toml { message } => write!(f, "{}", message.trim_end()),
            PolicyError::Wrong { at, what } => write!(f, "{at}: {what}"),
        }
    }
}

impl core::error::Error for PolicyError {}
