//! A connection to a node, whoever opened it: over TLS with the binder of our own end, or over a Unix socket without.
//!
//! Left out: what is asked ([`crate::session`]) and who may be dialled ([`crate::serve`]).

use crate::{budget::ADDRESSES, error::VerifierError};
use bytes::Bytes;
use garant_attest::wire::Kind;
use garant_channel::{
    binder::{NO_BINDER, binder},
    error::ChannelError,
    http::{self, Budget},
    key::SigningKey,
    tls::{self, Accept},
};
use std::{fmt, io, path::PathBuf, str::FromStr};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::server::TlsStream;

/// Where a node is: `host:port`, or `unix:PATH` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp(String),
    /// A socket of this machine; what comes over it is bound to no channel.
    Unix(PathBuf),
}

/// The text is no address; who wrote it is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnAddress(String);

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no address: host:port or unix:PATH is expected", self.0)
    }
}

impl std::error::Error for NotAnAddress {}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Address, NotAnAddress> {
        let fault = || NotAnAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(fault()) } else { Ok(Address::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if host.is_empty() || !is_port { Err(fault()) } else { Ok(Address::Tcp(text.to_owned())) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An open connection on which the node answers and we ask. Holding one proves nothing about the node: the binder is
/// our own end's, and the peer's key is judged by the evidence that comes over it.
#[derive(Debug)]
pub struct Link {
    connection: http::Connection,
    peer: String,
    kind: Kind,
    binder: [u8; 32],
    peer_key: Option<[u8; 32]>,
}

impl Link {
    /// Dials a node. With a key we show it, for nodes that list whom they answer.
    pub async fn dial(address: &Address, key: Option<&SigningKey>) -> Result<Link, VerifierError> {
        let peer = address.to_string();
        let dialled = match address {
            Address::Unix(path) => Link::over_unix(path, &peer).await,
            Address::Tcp(name) => Link::over_tls(name, key, &peer).await,
        };
        dialled.map_err(|source| VerifierError::Channel { peer, source })
    }

    /// Takes over a connection that a node opened to us (push): we ask on it all the same.
    pub async fn adopt(stream: TlsStream<TcpStream>, peer: String) -> Result<Link, VerifierError> {
        let adopted = async {
            let connection = stream.get_ref().1;
            let (binder, peer_key) = (binder(connection, Kind::TlsClient)?, tls::peer_key(connection));
            let connection = http::Connection::open(stream).await?;
            Ok(Link { connection, peer: peer.clone(), kind: Kind::TlsClient, binder, peer_key })
        };
        adopted.await.map_err(|source| VerifierError::Channel { peer: peer.clone(), source })
    }

    async fn over_unix(path: &PathBuf, peer: &str) -> Result<Link, ChannelError> {
        let connection = http::Connection::open(UnixStream::connect(path).await?).await?;
        Ok(Link { connection, peer: peer.to_owned(), kind: Kind::None, binder: NO_BINDER, peer_key: None })
    }

    async fn over_tls(name: &str, key: Option<&SigningKey>, peer: &str) -> Result<Link, ChannelError> {
        let config = tls::client(key, Accept::AnyKey)?;
        let mut last = ChannelError::Io(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for address in lookup_host(name).await?.take(ADDRESSES) {
            match tls::dial(config.clone(), address).await {
                Ok(stream) => {
                    let connection = stream.get_ref().1;
                    let (binder, peer_key) = (binder(connection, Kind::TlsServer)?, tls::peer_key(connection));
                    let connection = http::Connection::open(stream).await?;
                    return Ok(Link { connection, peer: peer.to_owned(), kind: Kind::TlsServer, binder, peer_key });
                }
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// Whom we talk to, for the print.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// How we came.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The binder of our own end.
    pub fn binder(&self) -> [u8; 32] {
        self.binder
    }

    /// The key that the peer proved in the handshake.
    pub fn peer_key(&self) -> Option<[u8; 32]> {
        self.peer_key
    }

    /// GET, where the node answers 200.
    pub async fn get(&mut self, path: &str, budget: Budget) -> Result<Bytes, VerifierError> {
        let answer = self.connection.get(path, budget).await;
        self.accepted(path, answer)
    }

    /// POST, where the node answers 200.
    pub async fn post(&mut self, path: &str, body: Vec<u8>, budget: Budget) -> Result<Bytes, VerifierError> {
        let answer = self.connection.post(path, body, budget).await;
        self.accepted(path, answer)
    }

    /// JSON by whatever method, whatever the node answers: status and body.
    pub async fn json(
        &mut self,
        method: http::Method,
        path: &str,
        body: Vec<u8>,
        budget: Budget,
    ) -> Result<(u16, Bytes), ChannelError> {
        self.connection.json(method, path, body, budget).await
    }

    /// Whether the peer has closed the connection, as far as is known.
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    fn accepted(&self, path: &str, answer: Result<(u16, Bytes), ChannelError>) -> Result<Bytes, VerifierError> {
        let peer = self.peer.clone();
        match answer {
            Ok((200, body)) => Ok(body),
            Ok((status, body)) => {
                let said = String::from_utf8_lossy(body.get(..body.len().min(SAID_BYTES)).unwrap_or_default());
                let said = said.chars().filter(|c| !c.is_control()).collect();
                Err(VerifierError::Status { peer, path: path.to_owned(), status, said })
            }
            Err(source) => Err(VerifierError::Channel { peer, source }),
        }
    }
}

/// Bytes of a refusal's text that are printed.
const SAID_BYTES: usize = 200;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_host_or_port_is_refused() {
        for bad in ["", "host", "host:", ":7443", "host:0", "host:65536", "unix:"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
        for good in ["host:7443", "[::1]:7443", "10.0.0.1:1", "unix:/run/garantd.sock"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
    }
}
