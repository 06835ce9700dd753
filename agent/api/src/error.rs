//! What is wrong with a request: the caller's fault, always.

use crate::{budget, clip::clip};
use alloc::string::{String, ToString};
use core::fmt;

/// A request that is not one, or a value of it that cannot be; who sent it is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalid {
    /// The body is longer than what is read of it.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
        /// Bytes read at most.
        limit_bytes: usize,
    },
    /// The body is not JSON, or not of this request; the message names the field.
    Json {
        /// Field, what is expected, what was found.
        message: String,
        /// Line, from 1 on.
        line: usize,
        /// Column, from 1 on.
        column: usize,
    },
    /// A number outside its range.
    Number {
        /// What was sent.
        found: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// No id of a VM.
    VmId {
        /// What was sent, cut.
        found: String,
    },
    /// No name of a client.
    ClientName {
        /// What was sent, cut.
        found: String,
    },
    /// No digest of an image.
    ImageDigest {
        /// What was sent, cut.
        found: String,
    },
    /// A command line that the kernel would cut.
    CommandLineLength {
        /// Bytes sent.
        found_bytes: usize,
    },
    /// A command line with a byte that is no printable ASCII.
    CommandLineByte {
        /// Where, in bytes.
        offset: usize,
        /// Which.
        found: u8,
    },
    /// More disks than a VM may have.
    Disks,
    /// More network interfaces than a VM may have.
    Nics,
    /// No name of a network.
    NetworkName {
        /// What was sent, cut.
        found: String,
    },
    /// No address on the wire, or not one to choose.
    Mac {
        /// What was sent, cut.
        found: String,
    },
    /// No address of one host.
    Address {
        /// What was sent, cut.
        found: String,
    },
    /// A grace period where nothing is stopped.
    Grace {
        /// What was asked.
        verb: &'static str,
    },
}

impl Invalid {
    pub(crate) fn vm_id(found: &str) -> Invalid {
        Invalid::VmId { found: clip(found, budget::REPEATED_BYTES) }
    }

    pub(crate) fn client_name(found: &str) -> Invalid {
        Invalid::ClientName { found: clip(found, budget::REPEATED_BYTES) }
    }

    pub(crate) fn image_digest(found: &str) -> Invalid {
        Invalid::ImageDigest { found: clip(found, budget::REPEATED_BYTES) }
    }

    pub(crate) fn json(error: &serde_json::Error) -> Invalid {
        let text = error.to_string();
        // Line and column are said apart, so that a cut cannot take them away.
        let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
        Invalid::Json { message: clip(message, budget::DETAIL_BYTES / 2), line: error.line(), column: error.column() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::TooLong { found_bytes, limit_bytes } => {
                write!(f, "body: expected at most {limit_bytes} bytes, found {found_bytes}")
            }
            Invalid::Json { message, line, column } => write!(f, "line {line}, column {column}: {message}"),
            Invalid::Number { found, min, max } => {
                write!(f, "expected a whole number from {min} to {max}, found {found}")
            }
            Invalid::VmId { found } => write!(f, "expected {VM_ID}, found {found:?}"),
            Invalid::ClientName { found } => write!(f, "expected {CLIENT_NAME}, found {found:?}"),
            Invalid::ImageDigest { found } => write!(f, "expected {IMAGE_DIGEST}, found {found:?}"),
            Invalid::CommandLineLength { found_bytes } => {
                write!(f, "expected at most {} bytes, found {found_bytes}", budget::COMMAND_LINE_BYTES)
            }
            Invalid::CommandLineByte { offset, found } => {
                write!(f, "expected printable ASCII, found byte 0x{found:02x} at {offset}")
            }
            Invalid::Disks => write!(f, "expected at most {} disks, found more", budget::DISKS),
            Invalid::Nics => write!(f, "expected at most {} network interfaces, found more", budget::NICS),
            Invalid::NetworkName { found } => write!(f, "expected {NETWORK}, found {found:?}"),
            Invalid::Mac { found } => write!(f, "expected {MAC}, found {found:?}"),
            Invalid::Address { found } => write!(f, "expected {ADDRESS}, found {found:?}"),
            Invalid::Grace { verb } => write!(f, "grace_s: expected none, since only stop waits; found one for {verb}"),
        }
    }
}

impl core::error::Error for Invalid {}

/// What a VM's id looks like.
pub(crate) const VM_ID: &str = "1 to 63 of the characters a-z, 0-9 and -, the first a letter or a digit";
/// What a client's name looks like.
pub(crate) const CLIENT_NAME: &str = VM_ID;
/// What a network's name looks like.
pub(crate) const NETWORK: &str = "1 to 15 of the characters a-z, 0-9 and -, the first a letter or a digit";
/// What an address on the wire looks like.
pub(crate) const MAC: &str = "a unicast, locally administered address such as 02:00:00:00:00:01, in lower case";
/// What an address of a host looks like.
pub(crate) const ADDRESS: &str = "an IPv4 address of one host such as 10.0.0.5";
/// What an image's digest looks like.
pub(crate) const IMAGE_DIGEST: &str = "sha256: and 64 lower-case hexadecimal digits";
