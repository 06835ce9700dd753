//! Goes to the landmarks of the configuration with F, again and again, and keeps what they sign.
//!
//! A statement speaks of one F and ends after 600 s, so each landmark is asked anew well before, and at once when a new F
//! is coming: it becomes the node's only when its statements are there, or when they take too long.

use crate::{
    budget::{HELLO_PAUSE, MEASURE_INTERVAL, MEASURED_WITHIN, RESOLVED_ADDRESSES},
    config::Landmark,
    push::{Pauses, jittered},
    statements::{Carried, LandmarkWord},
    timing::{Full, Party, Responder},
};
use bytes::Bytes;
use garant_attest::{
    budget::CARRIED_STATEMENT_BYTES, cbor::CborError, cose::StatementError, place::landmark, wire::TimingOffer,
};
use garant_channel::{
    binder::timing_secret,
    engine::FastEngine,
    error::ChannelError,
    http::{Budget, Connection},
    key::SigningKey,
    tls::{self, Accept},
};
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::lookup_host,
    sync::watch,
    time::{sleep, timeout},
};

/// What goes to one landmark.
pub struct Surveyor {
    /// Answers its questions.
    pub responder: Arc<Responder>,
    /// Keeps its statements.
    pub carried: Arc<Carried>,
    /// F that is to be measured: of now, or the next.
    pub keys: watch::Receiver<SigningKey>,
}

/// Why a landmark said nothing.
#[derive(Debug)]
enum NoStatement {
    /// The network's, or the landmark's.
    Channel(ChannelError),
    /// The landmark's: it did not measure us, and says why.
    Refused { status: u16, said: String },
    /// The landmark's: no offer.
    Offer(CborError),
    /// Ours.
    Full(Full),
    /// The landmark's: a statement that does not verify.
    Statement(StatementError),
    /// The landmark's: a statement about another key.
    OtherKey,
}

impl fmt::Display for NoStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoStatement::Channel(error) => {
                write!(f, "{error}")?;
                let source = std::error::Error::source(error);
                source.map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            NoStatement::Refused { status, said } => write!(f, "status {status}: {said:?}"),
            NoStatement::Offer(error) => write!(f, "its offer: {error}"),
            NoStatement::Full(error) => error.fmt(f),
            NoStatement::Statement(error) => error.fmt(f),
            NoStatement::OtherKey => f.write_str("it speaks of another key than ours"),
        }
    }
}

impl From<ChannelError> for NoStatement {
    fn from(error: ChannelError) -> NoStatement {
        NoStatement::Channel(error)
    }
}

impl From<io::Error> for NoStatement {
    fn from(error: io::Error) -> NoStatement {
        NoStatement::Channel(error.into())
    }
}

impl Surveyor {
    /// Has the node measured for ever. A landmark that is lost or found again is a line in the log, not each try.
    pub async fn survey(mut self, landmark: Landmark) {
        let mut pauses = Pauses::new(MEASURE_INTERVAL);
        let mut is_reached = None;
        loop {
            let key = self.keys.borrow_and_update().clone();
            let measured = timeout(MEASURED_WITHIN, self.measured(&landmark, &key)).await;
            let measured = measured.unwrap_or(Err(ChannelError::TimedOut { awaited: "statement" }.into()));
            let address = landmark.address.as_str();
            let pause = match measured {
                Ok(round_trip_ns) => {
                    if is_reached.replace(true) != Some(true) {
                        log::info!("measured landmark={address} round_trip_us={}", round_trip_ns / 1000);
                    }
                    pauses.after_success()
                }
                Err(error) => {
                    if is_reached.replace(false) != Some(false) {
                        log::warn!("not measured landmark={address} error={error}");
                    }
                    pauses.after_failure()
                }
            };
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                changed = self.keys.changed() => if changed.is_err() { return },
            }
        }
    }

    /// The round trip of a statement that is kept, nanoseconds.
    async fn measured(&self, landmark: &Landmark, key: &SigningKey) -> Result<u64, NoStatement> {
        let config = tls::client(Some(key), Accept::Only(landmark.key.0))?;
        let mut last = NoStatement::Channel(io::Error::from(io::ErrorKind::AddrNotAvailable).into());
        for address in lookup_host(landmark.address.as_str()).await?.take(RESOLVED_ADDRESSES) {
            let stream = match tls::dial(config.clone(), address).await {
                Ok(stream) => stream,
                Err(error) => {
                    last = error.into();
                    continue;
                }
            };
            let secret = timing_secret(stream.get_ref().1, &key.public())?;
            let mut connection = Connection::open(stream).await?;
            let offer = accepted(connection.get("/v1/timing", OFFER).await?)?;
            let port = TimingOffer::decode(&offer).map_err(NoStatement::Offer)?.1;
            let address = SocketAddr::new(address.ip(), port);
            let party = Party { secret, landmark: landmark.key.0, address, key: key.clone() };
            return self.converse(connection, party).await;
        }
        Err(last)
    }

    /// Says hello until the statement is there; questions are answered meanwhile, on another thread.
    async fn converse(&self, mut connection: Connection, party: Party) -> Result<u64, NoStatement> {
        let (landmark, session_key) = (party.landmark, party.key.public());
        let open = self.responder.open(party).map_err(NoStatement::Full)?;
        let hellos = async {
            loop {
                // What the network does not carry now it may carry later.
                let _ = open.hello();
                sleep(HELLO_PAUSE).await;
            }
        };
        let statement = tokio::select! {
            answer = connection.get("/v1/statement", STATEMENT) => accepted(answer?)?,
            never = hellos => never,
        };
        let read = landmark::open(&FastEngine, &statement, &landmark).map_err(NoStatement::Statement)?;
        if read.session_key() != session_key {
            return Err(NoStatement::OtherKey);
        }
        self.carried.keep(LandmarkWord { landmark, session_key, statement });
        Ok(read.round_trip_ns())
    }
}

/// The body of an answer that is one.
fn accepted((status, body): (u16, Bytes)) -> Result<Bytes, NoStatement> {
    match status {
        200 => Ok(body),
        _ => {
            let said =
                garant_attest::wire::Refused::decode(&body).map_or(String::new(), |refused| refused.2.to_owned());
            Err(NoStatement::Refused { status, said })
        }
    }
}

const OFFER: Budget = Budget { bytes: garant_attest::budget::REFUSED_BYTES, time: Duration::from_secs(5) };
const STATEMENT: Budget = Budget { bytes: CARRIED_STATEMENT_BYTES, time: MEASURED_WITHIN };
