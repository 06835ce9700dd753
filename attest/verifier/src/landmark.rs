//! A landmark: measures how soon a holder of F answers it, and signs what it measured. It runs anywhere, knows nobody, and
//! says nothing of its own place: where it stands, and who runs it, is for whoever believes it to know.
//!
//! A node dials it with F and learns the UDP port; hello, cookie and rounds follow there ([`garant_attest::place::timing`]),
//! and the statement comes back over TLS. Only the address of the TLS connection is ever measured, and only after a cookie
//! came back from it; who has no connection gets no datagram at all.

mod clocks;
mod measure;
mod post;

pub use clocks::{Clocks, SystemClocks};

use crate::{
    budget::{MEASURED_AT_A_TIME, MEASURED_OF_ONE_ADDRESS, MEASURING, REQUEST_BYTES},
    error::VerifierError,
    report::hex,
    serve::next,
};
use garant_attest::{
    cbor::{self, CborError},
    engine::PublicKey,
    place::landmark::{self, Claims},
    wire::{Fault, Refused, TimingOffer},
};
use garant_channel::{
    binder::timing_secret,
    engine::FastEngine,
    error::ChannelError,
    gate::Gate,
    http::{self, Answer, CBOR, Request, Then},
    key::SigningKey,
    tls::{self, Accept},
};
use measure::measure;
use post::{Letterbox, Post};
use rustls::ServerConfig;
use std::{
    net::{SocketAddr, TcpListener as BoundTcp, UdpSocket},
    sync::Arc,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    time::timeout,
};

/// A landmark that has its ports.
pub struct Landmark {
    listener: BoundTcp,
    tls: Arc<ServerConfig>,
    station: Arc<Station>,
}

/// What all its connections share.
struct Station {
    key: SigningKey,
    key_id: [u8; 32],
    post: Arc<Post>,
    udp_port: u16,
}

/// Where a landmark listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// For connections of nodes.
    pub tls: SocketAddr,
    /// For their datagrams.
    pub udp: SocketAddr,
}

impl Landmark {
    /// Binds its two ports, which must be at one IP address: nodes send to the one that they dialled.
    pub fn bind(
        key: SigningKey,
        tls: SocketAddr,
        udp: SocketAddr,
        clocks: impl Clocks,
    ) -> Result<Landmark, VerifierError> {
        let listener = BoundTcp::bind(tls).map_err(at(tls))?;
        listener.set_nonblocking(true).map_err(at(tls))?;
        let post = UdpSocket::bind(udp).and_then(|socket| Post::open(socket, Arc::new(clocks))).map_err(at(udp))?;
        let config = tls::server(&key, Accept::AnyKey).map_err(|source| channel("landmark", source))?;
        let key_id = PublicKey::Ed25519(key.public()).id(&FastEngine).unwrap_or_default();
        let udp_port = post.address().map_err(at(udp))?.port();
        Ok(Landmark { listener, tls: config, station: Arc::new(Station { key, key_id, post, udp_port }) })
    }

    /// Where it listens.
    pub fn listening(&self) -> Result<Listening, VerifierError> {
        let both = || Ok(Listening { tls: self.listener.local_addr()?, udp: self.station.post.address()? });
        both().map_err(|source: std::io::Error| channel("landmark", source.into()))
    }

    /// Measures whoever comes, until the task is dropped.
    pub async fn run(self) -> Result<(), VerifierError> {
        let listener = TcpListener::from_std(self.listener).map_err(|source| channel("landmark", source.into()))?;
        let gate = Gate::new(MEASURED_AT_A_TIME, MEASURED_OF_ONE_ADDRESS);
        loop {
            let Some((stream, peer)) = next(&listener).await else { continue };
            let Some(place) = gate.enter(peer.ip()) else { continue };
            let (station, tls) = (Arc::clone(&self.station), Arc::clone(&self.tls));
            tokio::spawn(async move {
                let _place = place;
                match timeout(MEASURING, station.serve(stream, tls, peer)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => log::debug!("connection ended peer={peer} error={error}"),
                    Err(_) => log::debug!("connection ended peer={peer} error=slower than {} s", MEASURING.as_secs()),
                }
            });
        }
    }
}

impl Station {
    /// One connection, one conversation, one statement.
    async fn serve(&self, stream: TcpStream, tls: Arc<ServerConfig>, peer: SocketAddr) -> Result<(), ChannelError> {
        let stream = tls::accept(tls, stream).await?;
        let connection = stream.get_ref().1;
        // The handshake demands a key.
        let Some(session_key) = tls::peer_key(connection) else { return Ok(()) };
        let secret = timing_secret(connection, &session_key)?;
        let letters = Mutex::new(self.post.converse(secret, peer.ip()));
        http::serve(stream, REQUEST_BYTES, async |request: Request| {
            match (request.method.as_str(), request.path.as_str()) {
                ("GET", "/v1/timing") => self.offer(),
                ("GET", "/v1/statement") => match letters.lock().await.take() {
                    Some(letters) => self.statement(letters, session_key, peer).await,
                    None => refusal(409, Fault::Caller, "one statement for each connection"),
                },
                _ => refusal(404, Fault::Caller, "the paths are /v1/timing and /v1/statement, both read by GET"),
            }
        })
        .await
    }

    fn offer(&self) -> Answer {
        match cbor::encode(&TimingOffer::new(self.udp_port)) {
            Ok(offer) => Answer::new(200, CBOR, offer),
            Err(_) => refusal(500, Fault::Node, "an answer of ours cannot be encoded"),
        }
    }

    async fn statement(&self, mut letters: Letterbox, session_key: [u8; 32], peer: SocketAddr) -> Answer {
        let claims = match measure(&mut letters, self.key.public(), session_key).await {
            Ok(claims) => claims,
            Err(reason) => {
                log::warn!("not measured peer={peer} reason={reason}");
                return refusal(422, Fault::Caller, &reason.to_string());
            }
        };
        match self.seal(&claims) {
            Ok(statement) => {
                log::info!(
                    "measured peer={peer} session_key={} round_trip_us={} rounds={}",
                    hex(&session_key),
                    claims.round_trip_ns / 1000,
                    claims.rounds
                );
                Answer { then: Then::Close, ..Answer::new(200, CBOR, statement) }
            }
            Err(_) => refusal(500, Fault::Node, "an answer of ours cannot be encoded"),
        }
    }

    fn seal(&self, claims: &Claims) -> Result<Vec<u8>, CborError> {
        landmark::seal(claims, self.key_id, |message| Ok(self.key.sign(message)))
    }
}

fn refusal(status: u16, fault: Fault, what: &str) -> Answer {
    let body = cbor::encode(&Refused::new(fault, what)).unwrap_or_default();
    Answer { then: Then::Close, ..Answer::new(status, CBOR, body) }
}

fn at(address: SocketAddr) -> impl Fn(std::io::Error) -> VerifierError {
    move |source| channel(&address.to_string(), source.into())
}

fn channel(what: &str, source: ChannelError) -> VerifierError {
    VerifierError::Channel { peer: what.to_owned(), source }
}
