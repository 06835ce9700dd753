//! Between those who ask and the one task that owns the TPM: collects challenges, has one quote made for all of them,
//! and hands it out. The decisions are in `batch`; here they are acted upon.

use crate::{
    batch::{self, Batch, Quote, Waiting},
    budget::CHALLENGE_LIFE,
    evidence::{Collection, Fixed, Wish, answer_head},
    ledger::{Extended, Ledger},
    session::{Session, Sessions},
    sources::Ima,
    tpm_chip::QuoteWithValues,
    tpm_task::{TaskError, TpmClient},
};
use bytes::Bytes;
use garant_attest::{
    cbor::{Bytes32, CborError},
    evidence::SessionKeys,
    merkle::Tree,
    wire::{self, CachedState, Kind, Tie},
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::oneshot, time::timeout};

/// Makes quotes for all who wait. One lives as long as the server.
pub struct Quoting {
    tpm: TpmClient,
    fixed: Fixed,
    ledger: Ledger,
    ima: Option<Mutex<Ima>>,
    shared: Mutex<Shared>,
}

struct Shared {
    waiting: Waiting<Reply>,
    sessions: Sessions,
    /// The last quote under F of now, and F to sign over it.
    last: Option<(SigningKey, Arc<Quoted>)>,
}

type Reply = oneshot::Sender<Result<Ticket, NoQuote>>;

/// A quote with its batch and evidence.
struct Quoted {
    tree: Tree,
    collection: Collection,
}

/// One asker's place in a quoted batch.
struct Ticket {
    index: usize,
    quoted: Arc<Quoted>,
}

/// What was decided when the quote command started.
struct Begun {
    batch: Batch<Reply>,
    keys: SessionKeys,
    session: SigningKey,
    ledger: Extended,
}

/// Why an asker gets no evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoQuote {
    /// Too many ask, or the TPM is not done in time; to be tried later.
    Busy,
    /// The TPM is gone, or does not do it.
    Tpm(TaskError),
    /// Ours.
    Encoding(CborError),
}

impl fmt::Display for NoQuote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoQuote::Busy => f.write_str("too many ask at once, try again"),
            NoQuote::Tpm(_) => f.write_str("the TPM made no quote"),
            NoQuote::Encoding(_) => f.write_str("evidence could not be encoded"),
        }
    }
}

impl std::error::Error for NoQuote {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NoQuote::Busy => None,
            NoQuote::Tpm(source) => Some(source),
            NoQuote::Encoding(source) => Some(source),
        }
    }
}

impl From<TaskError> for NoQuote {
    fn from(error: TaskError) -> NoQuote {
        match error {
            TaskError::Busy => NoQuote::Busy,
            other => NoQuote::Tpm(other),
        }
    }
}

impl From<CborError> for NoQuote {
    fn from(error: CborError) -> NoQuote {
        NoQuote::Encoding(error)
    }
}

/// A challenge as its channel brings it: kind and binder are the channel's own, only the nonce is the asker's.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// How the asker came.
    pub kind: Kind,
    /// The asker's 32 bytes.
    pub nonce: &'a [u8; 32],
    /// From our end of the connection.
    pub binder: &'a [u8; 32],
}

impl Quoting {
    /// Nothing is quoted yet.
    pub fn new(tpm: TpmClient, fixed: Fixed, ledger: Ledger, ima: Option<Ima>, first: Session) -> Arc<Quoting> {
        let shared = Shared { waiting: Waiting::default(), sessions: Sessions::new(first), last: None };
        Arc::new(Quoting { tpm, fixed, ledger, ima: ima.map(Mutex::new), shared: Mutex::new(shared) })
    }

    /// Puts a new F in place. The last quote is forgotten, since only the F that it names may sign over it.
    pub fn renew(&self, next: Session) {
        let mut shared = self.shared();
        shared.sessions.renew(next);
        shared.last = None;
    }

    /// Reads from F of now and its predecessors.
    pub fn with_sessions<T>(&self, read: impl FnOnce(&Sessions) -> T) -> T {
        read(&self.shared().sessions)
    }

    /// An answer by a quote that starts after the challenge came.
    pub async fn fresh(self: &Arc<Self>, challenge: Challenge<'_>, wish: Wish) -> Result<(Vec<u8>, Bytes), NoQuote> {
        let leaf = wire::leaf(&FastEngine, challenge.kind, challenge.nonce, challenge.binder)?;
        let (reply, ticket) = oneshot::channel();
        if self.shared().waiting.push(leaf, reply).map_err(|_| NoQuote::Busy)? == Quote::Wanted {
            tokio::spawn(self.clone().quote());
        }
        let ticket = timeout(CHALLENGE_LIFE, ticket).await.map_err(|_| NoQuote::Busy)?;
        let Ticket { index, quoted } = ticket.map_err(|_| NoQuote::Busy)??;
        let tie = batch::tie(&quoted.tree, index).ok_or(CborError::Unencodable)?;
        self.answer(challenge.kind, tie, &quoted, wish)
    }

    /// An answer by the last quote and F's signature over this challenge; `None` where F of now has no quote yet.
    pub fn cached(&self, challenge: Challenge<'_>, wish: Wish) -> Option<Result<(Vec<u8>, Bytes), NoQuote>> {
        let (key, quoted) = self.shared().last.clone()?;
        let Extended { count: commit, head, .. } = self.ledger.extended();
        let ima_count = self.ima.as_ref().map_or(0, |ima| lock(ima).count_now());
        let state = CachedState { quote_digest: quoted.collection.quote_digest(), commit, head, ima_count };
        let statement = wire::answer_statement(challenge.kind, challenge.nonce, challenge.binder, &state);
        Some(statement.map_err(NoQuote::from).and_then(|statement| {
            let signature = serde_bytes::ByteArray::new(key.sign(&statement));
            let tie = Tie::Cached(commit, Bytes32::new(head), ima_count, signature);
            self.answer(challenge.kind, tie, &quoted, wish)
        }))
    }

    /// What this boot did.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether the asker of these digests holds the boot log.
    pub fn is_log_held(&self, held: &[Bytes32]) -> bool {
        self.fixed.is_log_held(held)
    }

    fn answer(&self, kind: Kind, tie: Tie, quoted: &Quoted, wish: Wish) -> Result<(Vec<u8>, Bytes), NoQuote> {
        let evidence = quoted.collection.bytes(&self.fixed, self.ima.as_ref(), wish)?;
        Ok((answer_head(kind, tie, evidence.len())?, evidence))
    }

    /// Has one quote made, for all who wait when it starts.
    async fn quote(self: Arc<Self>) {
        let begun = Arc::new(Mutex::new(None));
        let begin = {
            let (quoting, begun) = (self.clone(), begun.clone());
            move || match quoting.begin() {
                Ok((extra_data, now)) => {
                    *lock(&begun) = Some(now);
                    extra_data
                }
                Err(_) => [0; 32],
            }
        };
        let quote = self.tpm.quote(begin).await.map_err(NoQuote::from);
        let begun = lock(&begun).take();
        match (quote, begun) {
            (Ok(quote), Some(begun)) => self.hand_out(&quote, begun),
            (Err(error), Some(begun)) => refuse(begun.batch.into_parts().1, &error),
            (quote, None) => {
                let error = quote.err().unwrap_or(NoQuote::Encoding(CborError::Unencodable));
                refuse(self.shared().waiting.give_up(), &error);
            }
        }
    }

    /// Closes the batch: from here on challenges wait for the next quote.
    fn begin(&self) -> Result<([u8; 32], Begun), CborError> {
        let mut shared = self.shared();
        let batch = shared.waiting.close(&FastEngine).ok_or(CborError::Unencodable)?;
        let session = shared.sessions.current().key().clone();
        let keys = shared.sessions.listed();
        let extra_data = wire::extra_data(&FastEngine, &batch.root(), &session.public(), self.fixed.claims_digest())?;
        Ok((extra_data, Begun { batch, keys, session, ledger: self.ledger.extended() }))
    }

    fn hand_out(&self, quote: &QuoteWithValues, begun: Begun) {
        let ima_bytes = self.ima.as_ref().map_or(0, |ima| lock(ima).refresh());
        let root = begun.batch.root();
        let (tree, replies) = begun.batch.into_parts();
        let collection = match Collection::new(quote, &root, &begun.keys, begun.ledger.commits, ima_bytes) {
            Ok(collection) => collection,
            Err(error) => return refuse(replies, &NoQuote::Encoding(error)),
        };
        let quoted = Arc::new(Quoted { tree, collection });
        self.remember(begun.session, &quoted);
        for (index, reply) in replies.into_iter().enumerate() {
            // Who has gone away needs no answer.
            let _ = reply.send(Ok(Ticket { index, quoted: quoted.clone() }));
        }
    }

    fn remember(&self, session: SigningKey, quoted: &Arc<Quoted>) {
        let mut shared = self.shared();
        if shared.sessions.current().key().public() == session.public() {
            shared.last = Some((session, quoted.clone()));
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

fn refuse(replies: Vec<Reply>, error: &NoQuote) {
    for reply in replies {
        let _ = reply.send(Err(error.clone()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
