//! What a connection may ask and what it gets: five paths, CBOR in and out. Left out: TLS and framing (`server`), and how
//! quotes are made (`quoting`).

use crate::{
    config::Configuration,
    evidence::Wish,
    quoting::{Challenge, NoQuote, Quoting},
    session::Age,
    statements::Carried,
    tpm_chip::{Credential, Endorsements},
    tpm_task::{Asker, TaskError, TpmClient},
    vm::{answers::Vms, clients::Caller, paths::Path},
};
use bytes::{Buf, Bytes};
use garant_attest::{
    budget,
    cbor::{self, Bytes32},
    ek::certificates_in_nv,
    evidence::VouchedKey,
    ledger::Entry,
    wire::{
        Ask, CredentialAnswer, CredentialChallenge, EkClaim, Entries, Fault, Identity, Kind, LedgerAsk, Mode, Refused,
        activation_statement,
    },
};
use garant_channel::{
    engine::FastEngine,
    http::{Answer, CBOR, Request, Then},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::OnceCell;

/// What all connections share.
pub struct Node {
    /// The configuration that entry 0 covers.
    pub configuration: Configuration,
    /// Asks the TPM's task.
    pub tpm: TpmClient,
    /// Has quotes made.
    pub quoting: Arc<Quoting>,
    /// The AK's TPMT_PUBLIC.
    pub ak_public: Vec<u8>,
    /// What this node cannot read, in words.
    pub missing: Option<String>,
    /// What others say of this node.
    pub carried: Arc<Carried>,
    /// The VMs, where it runs any.
    pub vms: Option<Vms>,
    endorsements: OnceCell<Arc<Endorsements>>,
    identity: OnceCell<Bytes>,
}

/// One connection, as our own end of it knows it.
pub struct Channel {
    kind: Kind,
    binder: [u8; 32],
    peer: Option<[u8; 32]>,
    session: Option<Arc<VouchedKey>>,
    gave_evidence: AtomicBool,
}

impl Channel {
    /// How the asker came, the binder of our end, the key that the asker proved to have, and the session key of the
    /// handshake; without TLS a binder of zeros and no keys.
    pub fn new(kind: Kind, binder: [u8; 32], peer: Option<[u8; 32]>, session: Option<Arc<VouchedKey>>) -> Channel {
        Channel { kind, binder, peer, session, gave_evidence: AtomicBool::new(false) }
    }

    /// Whether anybody got evidence here.
    pub fn gave_evidence(&self) -> bool {
        self.gave_evidence.load(Ordering::Relaxed)
    }
}

impl Node {
    /// Nothing is asked of the TPM yet.
    pub fn new(
        configuration: Configuration,
        tpm: TpmClient,
        quoting: Arc<Quoting>,
        ak_public: Vec<u8>,
        missing: Option<String>,
        carried: Arc<Carried>,
        vms: Option<Vms>,
    ) -> Node {
        Node {
            configuration,
            tpm,
            quoting,
            ak_public,
            missing,
            carried,
            vms,
            endorsements: OnceCell::new(),
            identity: OnceCell::new(),
        }
    }

    /// How long a request's body may be here: only clients say what VMs are.
    pub fn body_bytes(&self, channel: &Channel) -> usize {
        match self.caller(channel) {
            Some(_) => garant_api::budget::BODY_BYTES.max(budget::CREDENTIAL_BYTES),
            None => budget::CREDENTIAL_BYTES,
        }
    }

    /// Answers one request of this connection.
    pub async fn answer(&self, channel: &Channel, request: Request) -> Answer {
        let mut answer = match self.vms.as_ref().filter(|_| Path::is_about_vms(&request.path)) {
            Some(vms) => vms.answer(self.caller(channel).as_ref(), &request).await,
            None => self.route(channel, &request).await.unwrap_or_else(Answer::from),
        };
        let age = |key| self.quoting.with_sessions(|sessions| sessions.age(key));
        if channel.session.as_ref().map(age) == Some(Age::Old) {
            answer.then = Then::Close;
        }
        answer
    }

    async fn route(&self, channel: &Channel, request: &Request) -> Result<Answer, Refusal> {
        if !self.is_answered(channel) {
            return Err(Refusal::caller(403, "this node answers only verifiers that its configuration lists"));
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/identity") => Ok(Answer::new(200, CBOR, self.identity().await?)),
            ("POST", "/v1/credential") => self.credential(channel, &request.body).await,
            ("POST", "/v1/evidence") => self.evidence(channel, &request.body).await,
            ("GET", "/v1/statements") => self.statements(),
            ("POST", "/v1/ledger") => self.entries(channel, &request.body),
            ("GET", "/v1/health") => Ok(self.health()),
            (_, "/v1/credential" | "/v1/evidence" | "/v1/ledger") => {
                Err(Refusal::caller(405, "challenges and demands are sent by POST"))
            }
            (_, "/v1/identity" | "/v1/statements" | "/v1/health") => {
                Err(Refusal::caller(405, "identity, statements and health are read by GET"))
            }
            _ => Err(Refusal::caller(
                404,
                "the paths are /v1/identity, /v1/credential, /v1/evidence, /v1/ledger, /v1/statements and /v1/health",
            )),
        }
    }

    /// Who asks for VMs here, where somebody may. A verifier that the node itself dialled may not.
    fn caller(&self, channel: &Channel) -> Option<Caller> {
        match (channel.kind, channel.peer) {
            (Kind::None, _) => Some(Caller::LOCAL),
            (Kind::TlsServer, Some(key)) => self.vms.as_ref()?.caller(&key),
            _ => None,
        }
    }

    /// Who reaches the Unix socket was let in by its folder's permissions.
    fn is_answered(&self, channel: &Channel) -> bool {
        match (channel.kind, channel.peer) {
            (Kind::None, _) => true,
            (_, Some(key)) => self.configuration.answers(&key) || self.configuration.names(&key),
            (_, None) => self.configuration.allow.is_none(),
        }
    }

    /// EK certificates come from NV once. Then the TPM is not asked again, and strangers who name an EK stand in no queue
    /// but their own.
    async fn endorsements(&self) -> Result<&Endorsements, TaskError> {
        self.endorsements.get_or_try_init(|| self.tpm.endorsements()).await.map(|read| &**read)
    }

    async fn identity(&self) -> Result<Bytes, Refusal> {
        let read = || async {
            let endorsements = self.endorsements().await?;
            encode_identity(&self.ak_public, endorsements).map(Bytes::from)
        };
        self.identity.get_or_try_init(read).await.cloned()
    }

    async fn credential(&self, channel: &Channel, body: &[u8]) -> Result<Answer, Refusal> {
        let challenge = CredentialChallenge::decode(body).map_err(|error| Refusal::form(&error))?;
        let endorsements = self.endorsements().await?;
        let credentials = challenge.2.iter().map(|credential| {
            let key = endorsements.keys.get(usize::from(credential.0))?;
            let (blob, secret) = (credential.1.to_vec(), credential.2.to_vec());
            Some(Credential { certificate_index: key.certificate_index, blob, secret })
        });
        let unknown = Refusal::caller(400, "a credential for an endorsement key that the identity does not list");
        let credentials: Vec<Credential> = credentials.collect::<Option<_>>().ok_or(unknown)?;
        let statement = activation_statement(channel.kind, &challenge.1, &channel.binder);
        let proofs = self.tpm.activate(self.asker(channel), credentials, statement).await?;
        let proofs = CredentialAnswer::new(proofs.into_iter().map(Bytes32::new).collect());
        Ok(Answer::new(200, CBOR, cbor::encode(&proofs).map_err(|_| Refusal::ours())?))
    }

    fn asker(&self, channel: &Channel) -> Asker {
        let is_named = channel.peer.is_some_and(|key| self.configuration.names(&key));
        if is_named || channel.kind == Kind::None { Asker::Known } else { Asker::Stranger }
    }

    async fn evidence(&self, channel: &Channel, body: &[u8]) -> Result<Answer, Refusal> {
        let ask = Ask::decode(body).map_err(|error| Refusal::form(&error))?;
        let challenge = Challenge { kind: channel.kind, nonce: &ask.1, binder: &channel.binder };
        let wish = Wish { is_log_held: self.quoting.is_log_held(&ask.3), ima_from: ask.4 };
        let cached = match ask.2 {
            Mode::Cached => self.quoting.cached(challenge, wish),
            Mode::Fresh => None,
        };
        let (head, evidence) = match cached {
            Some(answered) => answered?,
            None => self.quoting.fresh(challenge, wish).await?,
        };
        channel.gave_evidence.store(true, Ordering::Relaxed);
        Ok(Answer { body: Bytes::from(head).chain(evidence), ..Answer::new(200, CBOR, Bytes::new()) })
    }

    fn statements(&self) -> Result<Answer, Refusal> {
        let session_key = self.quoting.with_sessions(|sessions| sessions.current().key().public());
        let carried = self.carried.encode(&session_key).map_err(|_| Refusal::ours())?;
        Ok(Answer::new(200, CBOR, carried))
    }

    /// Bodies are for who asks on this machine and for verifiers that the configuration names; others see that something was
    /// done, and when.
    fn entries(&self, channel: &Channel, body: &[u8]) -> Result<Answer, Refusal> {
        let first = LedgerAsk::decode(body).map_err(|error| Refusal::form(&error))?.1;
        let asker = self.asker(channel);
        let encode = |entry: &Entry| match asker {
            Asker::Known => cbor::encode(&entry.open()),
            Asker::Stranger => cbor::encode(&entry.hidden(&FastEngine)),
        };
        let sent = self.quoting.ledger().entries(first, budget::ENTRIES, encode);
        let sent: Vec<Vec<u8>> = sent.into_iter().collect::<Result<_, _>>().map_err(|_| Refusal::ours())?;
        let entries = sent.iter().map(|bytes| cbor::decode(bytes, budget::ENTRIES_BYTES)).collect::<Result<_, _>>();
        let message = entries.ok().and_then(|entries| Entries::new(first, entries)).ok_or_else(Refusal::ours)?;
        Ok(Answer::new(200, CBOR, cbor::encode(&message).map_err(|_| Refusal::ours())?))
    }

    fn health(&self) -> Answer {
        let missing = self.missing.as_ref().map_or(String::new(), |what| format!("missing: {what}\n"));
        Answer::new(200, "text/plain; charset=utf-8", format!("ok\n{missing}"))
    }
}

fn encode_identity(ak_public: &[u8], endorsements: &Endorsements) -> Result<Vec<u8>, Refusal> {
    let eks = endorsements.keys.iter().take(budget::EKS).map(|key| {
        EkClaim(
            cbor::Bytes::new(&key.certificate),
            Some(key.certificate_index),
            key.template.as_deref().map(cbor::Bytes::new),
        )
    });
    let chain = certificates_in_nv(&endorsements.chain).into_iter().take(budget::EK_CHAIN).map(cbor::Bytes::new);
    cbor::encode(&Identity::new(ak_public, eks.collect(), chain.collect())).map_err(|_| Refusal::ours())
}

/// Why a request has no answer.
struct Refusal {
    status: u16,
    fault: Fault,
    what: String,
}

impl Refusal {
    fn caller(status: u16, what: &str) -> Refusal {
        Refusal { status, fault: Fault::Caller, what: what.to_owned() }
    }

    fn form(error: &cbor::CborError) -> Refusal {
        Refusal { status: 400, fault: Fault::Caller, what: format!("not the message of this path: {error}") }
    }

    fn ours() -> Refusal {
        Refusal { status: 500, fault: Fault::Node, what: "an answer of ours cannot be encoded".to_owned() }
    }

    fn busy(error: &impl fmt::Display) -> Refusal {
        Refusal { status: 503, fault: Fault::Busy, what: error.to_string() }
    }

    fn node(error: &impl fmt::Display) -> Refusal {
        Refusal { status: 503, fault: Fault::Node, what: error.to_string() }
    }
}

impl From<TaskError> for Refusal {
    fn from(error: TaskError) -> Refusal {
        match error {
            TaskError::Busy => Refusal::busy(&error),
            TaskError::Gone => Refusal::node(&error),
            // What the TPM refuses here is somebody's credential: made for another AK or EK, or broken.
            TaskError::Chip(source) => Refusal { status: 422, fault: Fault::Caller, what: source.to_string() },
        }
    }
}

impl From<NoQuote> for Refusal {
    fn from(error: NoQuote) -> Refusal {
        match error {
            NoQuote::Busy => Refusal::busy(&error),
            NoQuote::Tpm(source) => Refusal::node(&source),
            NoQuote::Encoding(_) => Refusal::ours(),
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        let body = cbor::encode(&Refused::new(refusal.fault, &refusal.what)).unwrap_or_default();
        Answer::new(refusal.status, CBOR, body)
    }
}
