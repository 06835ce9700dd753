//! What can go wrong between a command and its answer, and whose fault it is.

use core::{error::Error, fmt};
use tpm2_rs::data::{TpmCc, TpmRc, TpmRcBase, TpmRcIndex};

/// Why a command has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TpmError {
    /// The way to the TPM failed.
    Transport {
        /// The command that was sent.
        command: Command,
        /// What the transport says.
        source: TransportError,
    },
    /// The TPM answered with an error of the specification.
    Refused {
        /// The command that was sent.
        command: Command,
        /// The TPM's return code.
        code: ReturnCode,
    },
    /// The TPM asked for the command again, more often than we resend.
    Busy {
        /// The command that was sent.
        command: Command,
    },
    /// The TPM's answer is not what the specification says.
    Malformed {
        /// The command that was sent.
        command: Command,
    },
    /// We were asked to send, or to take, more than the specification or a buffer allows.
    TooLong {
        /// The command that was not sent, or whose answer has no room.
        command: Command,
    },
}

impl TpmError {
    /// Whether the TPM refused with this code, whatever parameter, handle or session it blames.
    pub fn is_refused_with(&self, wanted: ReturnCode) -> bool {
        matches!(self, TpmError::Refused { code, .. } if code.base() == wanted)
    }
}

impl fmt::Display for TpmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TpmError::Transport { command, .. } => {
                write!(f, "{command} did not reach the TPM or its answer us")
            }
            TpmError::Refused { command, code } => write!(f, "the TPM refused {command}: {code}"),
            TpmError::Busy { command } => {
                write!(f, "the TPM asked again and again to resend {command}")
            }
            TpmError::Malformed { command } => {
                write!(f, "the TPM's answer to {command} is malformed")
            }
            TpmError::TooLong { command } => {
                write!(f, "{command} or its answer is longer than its buffer")
            }
        }
    }
}

impl Error for TpmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TpmError::Transport { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What a transport says of a failed exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportError {
    /// The other end closed.
    Closed,
    /// No answer in time.
    TimedOut,
    /// The answer's size field is beyond any response.
    TooLong,
    /// The system call failed with this errno.
    System(i32),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportError::Closed => f.write_str("the TPM's end was closed"),
            TransportError::TimedOut => f.write_str("no answer in time"),
            TransportError::TooLong => f.write_str("the answer claims more bytes than a response has"),
            TransportError::System(errno) => write!(f, "the system call failed with errno {errno}"),
        }
    }
}

impl Error for TransportError {}

/// A command, by its name in Part 3 of the specification.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Command(pub(super) TpmCc);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A TPM_RC (Part 2, 6.6).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReturnCode(pub u32);

impl ReturnCode {
    /// TPM_RC_SUCCESS.
    pub const SUCCESS: ReturnCode = ReturnCode(0);
    /// TPM_RC_BAD_TAG.
    pub const BAD_TAG: ReturnCode = ReturnCode(0x01e);
    /// TPM_RC_INITIALIZE: not started, or started already.
    pub const INITIALIZE: ReturnCode = ReturnCode(0x100);
    /// TPM_RC_HASH: a hash algorithm that the TPM has not.
    pub const HASH: ReturnCode = ReturnCode(0x083);
    /// TPM_RC_VALUE.
    pub const VALUE: ReturnCode = ReturnCode(0x084);
    /// TPM_RC_HANDLE: nothing under that handle.
    pub const HANDLE: ReturnCode = ReturnCode(0x08b);
    /// TPM_RC_SIZE: also a list with more banks than the TPM implements.
    pub const SIZE: ReturnCode = ReturnCode(0x095);
    const YIELDED: ReturnCode = ReturnCode(0x908);
    const TESTING: ReturnCode = ReturnCode(0x90a);
    const RETRY: ReturnCode = ReturnCode(0x922);

    /// Whether the same command may succeed when sent again (Part 1, 36.3): libtpms answers so to the first TPM2_Quote
    /// after an ECC key was made (measured).
    pub fn asks_to_resend(self) -> bool {
        matches!(self, ReturnCode::YIELDED | ReturnCode::TESTING | ReturnCode::RETRY)
    }

    /// Without the number of the parameter, handle or session.
    pub fn base(self) -> ReturnCode {
        match TpmRc::try_from(self.0) {
            Ok(TpmRc::Fmt1(code)) => ReturnCode(TpmRcBase::value(code.base)),
            _ => self,
        }
    }

    /// The number of the parameter that the TPM blames, from 1.
    pub fn parameter(self) -> Option<u8> {
        match TpmRc::try_from(self.0) {
            Ok(TpmRc::Fmt1(code)) => match code.index {
                Some(TpmRcIndex::Parameter(number)) => Some(number),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TpmRc::try_from(self.0) {
            Ok(code) => write!(f, "{code} ({:#05x})", self.0),
            Err(_) => write!(f, "code {:#05x}", self.0),
        }
    }
}

impl fmt::Debug for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
