//! From an answer to facts: one pure function, in a fixed order, that fails at the first check that does not hold.
//!
//! Order: limits, signature, magic and type, exact length, qualifiedSigner, extraData, selection and banks, pcrDigest;
//! then counters, log replay and entry 0. What fails before the counters proves nothing about a machine ([`Refusal`]);
//! what the later steps find is a fact of this machine and stands in [`Verified`], for the policy to judge.

use crate::{
    budget,
    cbor::{self, CborError},
    counters::{self, CounterState},
    engine::{Engine, PublicKey, SignatureScheme, sha256},
    evidence::{self, Evidence, ImaPart, LedgerPart, NodeClaims, Part, PcrPart, QuotePart, SessionKeys, VouchedKey},
    identity::{self, BootIdentity, IdentityFault},
    ledger::Commit,
    measured::{self, ImaResume, MeasuredBoot, Sent, SentIma},
    merkle,
    public_area::{AttestationKey, PublicAreaError},
    quote::{self, ClockInfo, QuoteError, SignedQuote},
    wire::{self, Answer, CachedState, Kind, Tie},
};
use core::fmt;

/// A challenge that was sent. It is moved into [`verify`], so that it can be spent once.
#[derive(Debug)]
pub struct Challenge {
    /// How it was sent.
    pub kind: Kind,
    /// 32 bytes of the asker's random source.
    pub nonce: [u8; 32],
    /// From the asker's own end of the channel; zero for [`Kind::None`].
    pub binder: [u8; 32],
}

/// What the asker knew when it sent the challenge.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Name of the AK that an enrolment record holds; `None`: any key is taken, and the verdict is unknown.
    pub ak_name: Option<&'a [u8]>,
    /// Key that the peer proved in the TLS handshake.
    pub peer_key: Option<[u8; 32]>,
    /// Counters of this TPM.
    pub counters: Option<ClockInfo>,
    /// Where an earlier answer of the same boot left the IMA list.
    pub ima: Option<&'a ImaResume>,
    /// Parts that the asker said it holds.
    pub held: &'a [Held<'a>],
}

/// Why an answer proves nothing about a machine. The node, or whoever carried the answer, is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not an answer of the accepted size and form; the part is named.
    Form {
        /// The part of the answer.
        part: &'static str,
        /// What is wrong with it.
        fault: CborError,
    },
    /// The key in the evidence is no attestation key that could be trusted.
    AttestationKey(PublicAreaError),
    /// Another key than the enrolled one.
    OtherKey,
    /// The key is no primary of the endorsement hierarchy: elsewhere a TPM disguises its counters.
    Hierarchy,
    /// A check of the quote.
    Quote(QuoteError),
    /// Answered for another kind of channel than the asker's.
    Kind {
        /// Kind of the challenge.
        expected: Kind,
        /// Kind of the answer.
        found: Kind,
    },
    /// Nonce, binder or kind of this challenge are not in the quoted batch: a replayed or relayed answer.
    Challenge,
    /// The session key did not sign this challenge over this quote.
    CachedAnswer,
    /// A part that the node says the asker holds is not held.
    NotHeld {
        /// The part.
        part: &'static str,
    },
}

impl Refusal {
    /// The check's name, as it is printed.
    pub fn check(&self) -> &'static str {
        match self {
            Refusal::Form { .. } | Refusal::NotHeld { .. } => "limits",
            Refusal::AttestationKey(_) | Refusal::OtherKey => "attestation key",
            Refusal::Hierarchy => "qualifiedSigner",
            Refusal::Quote(error) => error.check(),
            Refusal::Kind { .. } => "kind",
            Refusal::Challenge => "nonce and binder",
            Refusal::CachedAnswer => "cached answer",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Form { part, fault } => write!(f, "the answer's {part} is not acceptable: {fault}"),
            Refusal::AttestationKey(error) => write!(f, "no attestation key: {error}"),
            Refusal::OtherKey => f.write_str("signed by another key than the enrolled one"),
            Refusal::Hierarchy => f.write_str("signed by a key that is no primary of the endorsement hierarchy"),
            Refusal::Quote(error) => error.fmt(f),
            Refusal::Kind { expected, found } => {
                write!(f, "an answer for kind {} where {} was asked", found.text(), expected.text())
            }
            Refusal::Challenge => {
                f.write_str("this challenge is not in the quoted batch: an old answer, or one relayed from elsewhere")
            }
            Refusal::CachedAnswer => f.write_str("the session key did not sign this challenge over this quote"),
            Refusal::NotHeld { part } => write!(f, "the {part} came as a digest of something not held"),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<QuoteError> for Refusal {
    fn from(error: QuoteError) -> Self {
        Refusal::Quote(error)
    }
}

/// What an answer proves. Only [`verify`] builds one.
#[derive(Debug, Clone)]
pub struct Verified<'a> {
    ak: AttestationKey,
    quote: SignedQuote,
    quote_digest: [u8; 32],
    kind: Kind,
    cached: Option<CachedState>,
    counters: CounterState,
    boot: MeasuredBoot<'a>,
    identity: Result<BootIdentity, IdentityFault>,
    /// As they came; they are facts only where `identity` is.
    commits: &'a [u8],
    claims: NodeClaims<'a>,
}

impl<'a> Verified<'a> {
    /// The key that signed, with its Name.
    pub fn ak(&self) -> &AttestationKey {
        &self.ak
    }
    /// The quote.
    pub fn quote(&self) -> &SignedQuote {
        &self.quote
    }
    /// SHA-256(TPMS_ATTEST ‖ TPMT_SIGNATURE): names this quote among the moments that an asker remembers.
    pub fn quote_digest(&self) -> [u8; 32] {
        self.quote_digest
    }
    /// How the challenge was sent.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// For a cached answer, what F signed. Its quote is as old as the asker's own memory of it says.
    pub fn cached(&self) -> Option<&CachedState> {
        self.cached.as_ref()
    }
    /// The counters beside those remembered.
    pub fn counters(&self) -> CounterState {
        self.counters
    }
    /// Quoted PCRs, log, IMA list, and what their replay gives.
    pub fn boot(&self) -> &MeasuredBoot<'a> {
        &self.boot
    }
    /// Boot id, boot key and session key, where entry 0 proves them.
    pub fn identity(&self) -> Result<&BootIdentity, &IdentityFault> {
        self.identity.as_ref()
    }
    /// The ledger's commits, in their order, which lead to the quoted PCR; none where no boot is proven.
    pub fn commits(&self) -> impl Iterator<Item = Commit> {
        let proven = if self.identity.is_ok() { self.commits } else { &[] };
        Commit::list(proven).into_iter().flatten()
    }
    /// The node's claims, which the quote covers; what is `untrusted_` in them stays so.
    pub fn claims(&self) -> &NodeClaims<'a> {
        &self.claims
    }
}

/// Checks an answer against the challenge that it answers. Total: never panics, allocates a small multiple of the
/// answer's size.
pub fn verify<'a>(
    engine: &dyn Engine,
    answer: &'a [u8],
    challenge: Challenge,
    known: &Known<'a>,
) -> Result<Verified<'a>, Refusal> {
    let answer = Answer::decode(answer).map_err(form("frame"))?;
    let parts = Parts::decode(answer.3, known.held)?;

    let ak = AttestationKey::from_public_area(engine, parts.ak).map_err(Refusal::AttestationKey)?;
    if known.ak_name.is_some_and(|name| name != ak.name().as_bytes()) {
        return Err(Refusal::OtherKey);
    }
    let signature = ak.signature(parts.quote.1).map_err(|_| QuoteError::Signature)?;
    let quote = quote::check(engine, ak.public_key(), ak.scheme(), parts.quote.0, &signature)?;
    if quote.qualified_signer() != ak.name().qualified_in_endorsement(engine).as_bytes() {
        return Err(Refusal::Hierarchy);
    }

    let first: &VouchedKey = parts.keys.first().ok_or(Refusal::Challenge)?;
    let claims_digest = sha256(engine, &[parts.claims_bytes]);
    let root: [u8; 32] = *parts.quote.2;
    quote.expect_extra_data(&wire::extra_data(engine, &root, &first.0, &claims_digest).map_err(form("quote"))?)?;
    let quote_digest = sha256(engine, &[parts.quote.0, parts.quote.1]);
    let kind = challenge.kind;
    let cached = tie(engine, &answer, challenge, &root, &first.0, quote_digest)?;

    if !quote.selection().is_whole() {
        let bank = quote.selection().banks().first().map_or(0, |bank| bank.hash.algorithm_id());
        return Err(Refusal::Quote(QuoteError::Selection { bank }));
    }
    let values: heapless::Vec<&'a [u8], 4> = parts.pcrs.iter().map(|bytes| -> &'a [u8] { bytes }).collect();
    let pcrs = quote.pcrs(engine, &values)?;

    let counters = counters::compare(known.counters, quote.clock_info());
    let ledger_pcr = usize::try_from(parts.claims.ledger_pcr).unwrap_or(usize::MAX);
    let identity = identity::prove(engine, &pcrs, ledger_pcr, &parts.ledger, &parts.keys, known.peer_key);
    let ima = parts.ima.as_ref().map(|ima| SentIma { first: ima.0, list: ima.1 });
    let proven_ledger_pcr = identity.is_ok().then_some(ledger_pcr);
    let sent = Sent { log: parts.log, ima, proven_ledger_pcr };
    let boot = measured::measure(engine, pcrs, sent, known.ima);
    let Parts { claims, ledger: LedgerPart(_, commits), .. } = parts;
    Ok(Verified { ak, quote, quote_digest, kind, cached, counters, boot, identity, commits, claims })
}

/// Ties the challenge to the quoted batch, or to F's signature over it.
fn tie(
    engine: &dyn Engine,
    answer: &Answer<'_>,
    challenge: Challenge,
    root: &[u8; 32],
    session_key: &[u8; 32],
    quote_digest: [u8; 32],
) -> Result<Option<CachedState>, Refusal> {
    if answer.1 != challenge.kind {
        return Err(Refusal::Kind { expected: challenge.kind, found: answer.1 });
    }
    match &answer.2 {
        Tie::Fresh(index, size, path) => {
            let leaf = wire::leaf(engine, challenge.kind, &challenge.nonce, &challenge.binder).map_err(form("leaf"))?;
            let path: heapless::Vec<merkle::Node, { budget::BATCH_DEPTH }> = path.iter().map(|node| **node).collect();
            let head = merkle::head_from_path(engine, leaf, *index, *size, &path);
            if head == Some(*root) { Ok(None) } else { Err(Refusal::Challenge) }
        }
        Tie::Cached(commit, head, ima_count, signature) => {
            let state = CachedState { quote_digest, commit: *commit, head: **head, ima_count: *ima_count };
            let message = wire::answer_statement(challenge.kind, &challenge.nonce, &challenge.binder, &state)
                .map_err(form("cached answer"))?;
            let key = PublicKey::Ed25519(*session_key);
            engine
                .verify_signature(&key, SignatureScheme::Ed25519, &message, &signature[..])
                .map_err(|_| Refusal::CachedAnswer)?;
            Ok(Some(state))
        }
    }
}

/// The evidence, taken apart under the budget.
struct Parts<'a> {
    ak: &'a [u8],
    claims_bytes: &'a [u8],
    claims: NodeClaims<'a>,
    quote: QuotePart<'a>,
    keys: SessionKeys,
    pcrs: PcrPart<'a>,
    ledger: LedgerPart<'a>,
    log: Option<&'a [u8]>,
    ima: Option<ImaPart<'a>>,
}

impl<'a> Parts<'a> {
    fn decode(bytes: &'a [u8], held: &[Held<'a>]) -> Result<Parts<'a>, Refusal> {
        let evidence = Evidence::decode(bytes).map_err(form("collection"))?;
        let part = |name, record: &evidence::Record<'a>, kind, limit| record.bytes(kind, limit).map_err(form(name));
        let ak = part("ak", &evidence.ak, evidence::AK_TYPE, budget::PUBLIC_AREA_BYTES)?;
        let claims_bytes = part("eat", &evidence.eat, evidence::EAT_TYPE, budget::CLAIMS_BYTES)?;
        let quote = part("quote", &evidence.quote, evidence::QUOTE_TYPE, budget::QUOTE_PART_BYTES)?;
        let keys = part("key", &evidence.key, evidence::KEY_TYPE, budget::SESSION_KEYS_BYTES)?;
        let pcrs = part("pcrs", &evidence.pcrs, evidence::PCRS_TYPE, budget::PCRS_BYTES)?;
        let ledger = part("ledger", &evidence.ledger, evidence::LEDGER_TYPE, budget::LEDGER_BYTES)?;
        let log =
            evidence.log.map(|log| whole("log", &log, evidence::LOG_TYPE, budget::LOG_BYTES, held)).transpose()?;
        let ima = evidence.ima.map(|ima| part("ima", &ima, evidence::IMA_TYPE, budget::IMA_BYTES)).transpose()?;
        let claims: NodeClaims<'a> = cbor::decode(claims_bytes, budget::CLAIMS_BYTES).map_err(form("eat"))?;
        if claims.profile != evidence::PROFILE {
            return Err(form("eat")(CborError::Malformed { offset: 0 }));
        }
        Ok(Parts {
            ak,
            claims_bytes,
            claims,
            quote: cbor::decode(quote, budget::QUOTE_PART_BYTES).map_err(form("quote"))?,
            keys: cbor::decode(keys, budget::SESSION_KEYS_BYTES).map_err(form("key"))?,
            pcrs: cbor::decode(pcrs, budget::PCRS_BYTES).map_err(form("pcrs"))?,
            ledger: cbor::decode(ledger, budget::LEDGER_BYTES).map_err(form("ledger"))?,
            log,
            ima: ima.map(|ima| cbor::decode(ima, budget::IMA_BYTES)).transpose().map_err(form("ima"))?,
        })
    }
}

/// A part, from the answer or from what the asker holds.
fn whole<'a>(
    name: &'static str,
    record: &evidence::Record<'a>,
    media_type: &str,
    limit_bytes: usize,
    held: &[Held<'a>],
) -> Result<&'a [u8], Refusal> {
    match record.part(media_type, limit_bytes).map_err(form(name))? {
        Part::Whole(bytes) => Ok(bytes),
        Part::Held(digest) => {
            held.iter().find(|part| part.digest == digest).map(|part| part.bytes).ok_or(Refusal::NotHeld { part: name })
        }
    }
}

/// A part that the asker holds, under the SHA-256 that the asker itself took of it.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// SHA-256 of `bytes`.
    pub digest: [u8; 32],
    /// The part.
    pub bytes: &'a [u8],
}

fn form(part: &'static str) -> impl Fn(CborError) -> Refusal {
    move |fault| Refusal::Form { part, fault }
}
