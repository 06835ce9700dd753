//! Why a message did not get through.

use std::{fmt, io};

/// A failed exchange; each variant says who is at fault.
#[derive(Debug)]
pub enum ChannelError {
    /// The network, or whoever owns it.
    Io(io::Error),
    /// The peer's handshake or records do not verify; or our own key cannot be used.
    Tls(rustls::Error),
    /// The peer speaks no HTTP/1.1, or a message beyond its budget.
    Http(hyper::Error),
    /// The peer sent a body longer than its budget.
    TooLong {
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// The peer, or the network, was too slow.
    TimedOut {
        /// What did not come in time.
        awaited: &'static str,
    },
    /// Ours: a request that HTTP cannot carry.
    Request,
    /// Ours: the handshake is not over, so there is no binder yet.
    NoBinder,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::Io(_) => f.write_str("the connection failed"),
            ChannelError::Tls(_) => f.write_str("TLS with the peer failed"),
            ChannelError::Http(_) => f.write_str("HTTP with the peer failed"),
            ChannelError::TooLong { limit_bytes } => {
                write!(f, "the peer sent a body of more than {limit_bytes} bytes")
            }
            ChannelError::TimedOut { awaited } => {
                write!(f, "the peer's {awaited} did not come in time")
            }
            ChannelError::Request => f.write_str("a request that HTTP cannot carry"),
            ChannelError::NoBinder => f.write_str("no binder before the handshake is over"),
        }
    }
}

impl std::error::Error for ChannelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ChannelError::Io(source) => Some(source),
            ChannelError::Tls(source) => Some(source),
            ChannelError::Http(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for ChannelError {
    fn from(source: io::Error) -> Self {
        ChannelError::Io(source)
    }
}

impl From<rustls::Error> for ChannelError {
    fn from(source: rustls::Error) -> Self {
        ChannelError::Tls(source)
    }
}

impl From<hyper::Error> for ChannelError {
    fn from(source: hyper::Error) -> Self {
        ChannelError::Http(source)
    }
}
