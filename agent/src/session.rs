//! Session keys: F of now, and those before it under which connections still live.
//!
//! A connection keeps the key of its handshake, and with it its binder. Evidence lists that key as long as the
//! connection lives, so a renewal drops no request.

use crate::inherited::{KeeperLink, LinkError};
use garant_attest::{
    budget::SESSION_KEYS,
    cbor::Bytes32,
    evidence::{SessionKeys, VouchedKey},
};
use garant_channel::{
    error::ChannelError,
    key::SigningKey,
    tls::{self, Accept},
};
use rustls::ServerConfig;
use std::{
    fmt,
    sync::{Arc, Weak},
};

/// One F. Dropping it forgets its private half; its public half lives on with its connections.
pub struct Session {
    key: SigningKey,
    vouched: Arc<VouchedKey>,
    tls: Arc<ServerConfig>,
}

/// Why there is no new session key.
#[derive(Debug)]
pub enum SessionError {
    /// The system gave no random bytes.
    Random,
    /// The keeper did not sign it.
    Keeper(LinkError),
    /// It cannot be used for TLS.
    Tls(ChannelError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Random => f.write_str("the system gives no random bytes"),
            SessionError::Keeper(_) => f.write_str("the keeper did not vouch for a session key"),
            SessionError::Tls(_) => f.write_str("TLS cannot use the session key"),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SessionError::Random => None,
            SessionError::Keeper(source) => Some(source),
            SessionError::Tls(source) => Some(source),
        }
    }
}

impl Session {
    /// A new key that B vouches for.
    pub fn new(keeper: &KeeperLink) -> Result<Session, SessionError> {
        let key = SigningKey::generate().map_err(|_| SessionError::Random)?;
        let signature = keeper.vouch(&key.public()).map_err(SessionError::Keeper)?;
        let vouched = VouchedKey(Bytes32::new(key.public()), serde_bytes::ByteArray::new(signature));
        let tls = tls::server(&key, Accept::Anyone).map_err(SessionError::Tls)?;
        Ok(Session { key, vouched: Arc::new(vouched), tls })
    }

    /// The private half, to sign labelled statements and to dial.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// What a connection under this key holds while it lives.
    pub fn vouched(&self) -> &Arc<VouchedKey> {
        &self.vouched
    }

    /// For askers who dial us.
    pub fn tls(&self) -> &Arc<ServerConfig> {
        &self.tls
    }
}

/// F of now and its predecessors.
pub struct Sessions {
    current: Session,
    /// The youngest first.
    before: Vec<Weak<VouchedKey>>,
}

/// How a connection's key stands to F of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is F, or the one before it.
    Young,
    /// Older: the connection is closed after its answer.
    Old,
}

impl Sessions {
    /// The first F of a server.
    pub fn new(first: Session) -> Sessions {
        Sessions { current: first, before: Vec::new() }
    }

    /// F of now.
    pub fn current(&self) -> &Session {
        &self.current
    }

    /// Puts a new F in place.
    pub fn renew(&mut self, next: Session) {
        let last = std::mem::replace(&mut self.current, next);
        self.before.insert(0, Arc::downgrade(&last.vouched));
        self.before.retain(|key| key.strong_count() > 0);
    }

    /// What evidence lists: F first, then those that connections live under.
    pub fn listed(&self) -> SessionKeys {
        let living = self.before.iter().filter_map(Weak::upgrade).map(|key| *key);
        std::iter::once(*self.current.vouched).chain(living).take(SESSION_KEYS).collect()
    }

    /// How old a connection's key is.
    pub fn age(&self, key: &Arc<VouchedKey>) -> Age {
        let is_last = self.before.first().is_some_and(|last| std::ptr::eq(last.as_ptr(), Arc::as_ptr(key)));
        if Arc::ptr_eq(&self.current.vouched, key) || is_last { Age::Young } else { Age::Old }
    }
}
