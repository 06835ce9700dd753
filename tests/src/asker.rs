//! Asks a node as a verifier does, one question at a time, and keeps what it needs to check the answer.

use bytes::Bytes;
use garant_attest::{
    cbor::{self, Bytes32},
    evidence::{Evidence, LOG_TYPE},
    verify::{Challenge, Held, Known, Refusal, Verified, verify},
    wire::{Answer, Ask, Kind, Mode},
};
use garant_channel::{
    binder::{NO_BINDER, binder},
    engine::FastEngine,
    error::ChannelError,
    http::{Budget, Connection},
    key::SigningKey,
    tls::{self, Accept},
};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::net::{TcpStream, UnixStream};

/// A connection to a node.
pub struct Asker {
    /// For questions that are not challenges.
    pub connection: Connection,
    /// How we came.
    pub kind: Kind,
    /// Of our end.
    pub binder: [u8; 32],
    /// The key that the node showed.
    pub peer_key: Option<[u8; 32]>,
    held: Vec<Bytes32>,
}

/// An answer and the challenge that was sent.
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// As it came.
    pub body: Bytes,
    /// What we sent.
    pub nonce: [u8; 32],
    kind: Kind,
    binder: [u8; 32],
    peer_key: Option<[u8; 32]>,
}

impl Asker {
    /// Dials over TLS as a stranger.
    pub async fn dial(address: SocketAddr) -> Result<Asker, ChannelError> {
        Asker::dial_with(address, None).await
    }

    /// Dials over TLS and shows a key.
    pub async fn dial_with(address: SocketAddr, key: Option<&SigningKey>) -> Result<Asker, ChannelError> {
        let stream = tls::dial(tls::client(key, Accept::AnyKey)?, address).await?;
        let connection = stream.get_ref().1;
        let (binder, peer_key) = (binder(connection, Kind::TlsServer)?, tls::peer_key(connection));
        Ok(Asker::over(Connection::open(stream).await?, Kind::TlsServer, binder, peer_key))
    }

    /// Connects to the node's Unix socket.
    pub async fn local(socket: &Path) -> Result<Asker, ChannelError> {
        let connection = Connection::open(UnixStream::connect(socket).await?).await?;
        Ok(Asker::over(connection, Kind::None, NO_BINDER, None))
    }

    /// Takes over a connection that the node opened.
    pub async fn adopt(stream: tokio_rustls::server::TlsStream<TcpStream>) -> Result<Asker, ChannelError> {
        let connection = stream.get_ref().1;
        let (binder, peer_key) = (binder(connection, Kind::TlsClient)?, tls::peer_key(connection));
        Ok(Asker::over(Connection::open(stream).await?, Kind::TlsClient, binder, peer_key))
    }

    fn over(connection: Connection, kind: Kind, binder: [u8; 32], peer_key: Option<[u8; 32]>) -> Asker {
        Asker { connection, kind, binder, peer_key, held: Vec::new() }
    }

    /// Says from now on that it holds the log of this answer.
    pub fn hold_log(&mut self, answered: &Answered) -> Vec<u8> {
        let log = log_of(&answered.body);
        self.held = vec![Bytes32::new(digest(&log))];
        log
    }

    /// Sends a new challenge.
    pub async fn ask(&mut self, mode: Mode) -> Result<Answered, ChannelError> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).expect("the system has randomness");
        let ask = cbor::encode(&Ask::new(nonce, mode, self.held.iter().copied().collect(), 0)).expect("an ask");
        let (status, body) = self.connection.post("/v1/evidence", ask, BUDGET).await?;
        let Asker { kind, binder, peer_key, .. } = *self;
        Ok(Answered { status, body, nonce, kind, binder, peer_key })
    }
}

impl Answered {
    /// Checks the answer against the challenge that was sent.
    pub fn verify(&self) -> Result<Verified<'_>, Refusal> {
        self.verify_as(self.kind, self.binder, &[])
    }

    /// The same, where the log stayed here.
    pub fn verify_holding<'a>(&'a self, held: &'a [Held<'a>]) -> Result<Verified<'a>, Refusal> {
        self.verify_as(self.kind, self.binder, held)
    }

    /// The same, as if the challenge had been sent by another way.
    pub fn verify_as<'a>(
        &'a self,
        kind: Kind,
        binder: [u8; 32],
        held: &'a [Held<'a>],
    ) -> Result<Verified<'a>, Refusal> {
        let challenge = Challenge { kind, nonce: self.nonce, binder };
        let known = Known { ak_name: None, peer_key: self.peer_key, counters: None, ima: None, held };
        verify(&FastEngine, &self.body, challenge, &known)
    }
}

/// SHA-256.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    garant_attest::engine::sha256(&FastEngine, &[bytes])
}

fn log_of(answer: &[u8]) -> Vec<u8> {
    let answer = Answer::decode(answer).expect("an answer");
    let evidence = Evidence::decode(answer.3).expect("a collection");
    let log = evidence.log.expect("a log").bytes(LOG_TYPE, 1 << 20);
    log.expect("the log itself").to_vec()
}

/// What a question may cost here.
pub const BUDGET: Budget = Budget { bytes: 32 << 20, time: Duration::from_secs(40) };
