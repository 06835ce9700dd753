//! Every message between an asker and a node, and every string that the node's keys sign. All are *claimed*:
//! decoding proves shape, nothing else. [`crate::verify`] makes facts of them.

mod entries;

pub use entries::{Entries, LedgerAsk};

use crate::{
    budget,
    cbor::{self, Bytes, Bytes32, CborError, Tag},
    engine::{Engine, sha256},
    merkle,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How the asker came; it is part of the leaf, and an asker accepts only the kind by which it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A Unix socket, or offline: the binder is zero and the verdict says `channel: none`.
    None,
    /// The asker dialled the node: TLS with the node as server.
    TlsServer,
    /// The node dialled the asker (push): TLS with the node as client.
    TlsClient,
    /// Through the node, from a VM's channel.
    Vm,
}

impl Kind {
    /// The text in CBOR, which is also the context of the TLS exporter.
    pub fn text(self) -> &'static str {
        match self {
            Kind::None => "none",
            Kind::TlsServer => "tls-server",
            Kind::TlsClient => "tls-client",
            Kind::Vm => "vm",
        }
    }
}

/// `GET /v1/identity`: who the node says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity<'a>(
    Tag<IdentityTag>,
    /// The AK's TPMT_PUBLIC.
    #[serde(borrow)]
    pub &'a Bytes,
    /// The certified EKs of the chip.
    #[serde(borrow)]
    pub heapless::Vec<EkClaim<'a>, { budget::EKS }>,
    /// Authority certificates from NV, DER.
    #[serde(borrow)]
    pub heapless::Vec<&'a Bytes, { budget::EK_CHAIN }>,
);

/// One EK certificate as it lies in NV or in a file, the NV index it came from (`None`: a file), and the EK template
/// in NV where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EkClaim<'a>(#[serde(borrow)] pub &'a Bytes, pub Option<u32>, #[serde(borrow)] pub Option<&'a Bytes>);

impl<'a> Identity<'a> {
    /// A node's own identity.
    pub fn new(
        ak_public: &'a [u8],
        eks: heapless::Vec<EkClaim<'a>, { budget::EKS }>,
        chain: heapless::Vec<&'a Bytes, { budget::EK_CHAIN }>,
    ) -> Identity<'a> {
        Identity(Tag::new(), Bytes::new(ak_public), eks, chain)
    }

    /// Reads a claimed identity.
    pub fn decode(bytes: &'a [u8]) -> Result<Identity<'a>, CborError> {
        cbor::decode(bytes, budget::IDENTITY_BYTES)
    }
}

/// `POST /v1/credential`: proves that AK and EK live in one TPM, to whoever made the secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialChallenge<'a>(
    Tag<CredentialTag>,
    /// The asker's nonce.
    pub Bytes32,
    /// One for each EK that is to be activated.
    #[serde(borrow)]
    pub heapless::Vec<Credential<'a>, { budget::EKS }>,
);

/// Position of the EK in [`Identity`], TPM2B_ID_OBJECT's and TPM2B_ENCRYPTED_SECRET's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential<'a>(pub u8, #[serde(borrow)] pub &'a Bytes, #[serde(borrow)] pub &'a Bytes);

impl<'a> CredentialChallenge<'a> {
    /// A challenge with this nonce.
    pub fn new(nonce: [u8; 32], credentials: heapless::Vec<Credential<'a>, { budget::EKS }>) -> Self {
        CredentialChallenge(Tag::new(), Bytes32::new(nonce), credentials)
    }

    /// Reads a stranger's challenge.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, budget::CREDENTIAL_BYTES)
    }
}

/// The answer to a [`CredentialChallenge`]: for each credential HMAC-SHA256(secret, [`activation_statement`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialAnswer(Tag<ActivatedTag>, pub heapless::Vec<Bytes32, { budget::EKS }>);

impl CredentialAnswer {
    /// The proofs, in the order of the challenge.
    pub fn new(proofs: heapless::Vec<Bytes32, { budget::EKS }>) -> CredentialAnswer {
        CredentialAnswer(Tag::new(), proofs)
    }

    /// Reads a node's answer.
    pub fn decode(bytes: &[u8]) -> Result<CredentialAnswer, CborError> {
        cbor::decode(bytes, budget::CREDENTIAL_BYTES)
    }
}

/// `POST /v1/evidence`: a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask(
    Tag<AskTag>,
    /// The asker's nonce.
    pub Bytes32,
    /// Whether a fresh signature of the session key over the last quote will do.
    pub Mode,
    /// SHA-256 of the parts that the asker holds; such a part comes as its digest.
    pub heapless::Vec<Bytes32, { budget::HELD_PARTS }>,
    /// First IMA entry wanted, from 0.
    pub u64,
);

/// What the asker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A quote made after this challenge came.
    Fresh,
    /// The last quote, with F's signature over this challenge.
    Cached,
}

impl Ask {
    /// A challenge with this nonce.
    pub fn new(
        nonce: [u8; 32],
        mode: Mode,
        held: heapless::Vec<Bytes32, { budget::HELD_PARTS }>,
        ima_from: u64,
    ) -> Ask {
        Ask(Tag::new(), Bytes32::new(nonce), mode, held, ima_from)
    }

    /// Reads a stranger's challenge.
    pub fn decode(bytes: &[u8]) -> Result<Ask, CborError> {
        cbor::decode(bytes, budget::ASK_BYTES)
    }
}

/// The answer to an [`Ask`]: what ties this challenge to the quote, and the evidence that a whole batch shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer<'a>(
    Tag<AnswerTag>,
    /// How the node says the asker came.
    pub Kind,
    /// What ties the challenge to the quote.
    pub Tie,
    /// The collection, see [`crate::evidence::Evidence`].
    #[serde(borrow)]
    pub &'a Bytes,
);

/// What ties a challenge to a quote.
#[expect(clippy::large_enum_variant, reason = "one per answer, on the stack: no allocation")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tie {
    /// Index of the leaf, number of leaves, path from the bottom up.
    Fresh(u64, u64, heapless::Vec<Bytes32, { budget::BATCH_DEPTH }>),
    /// Ledger commit and head now, IMA count now, F's signature over [`answer_statement`].
    Cached(u64, Bytes32, u64, serde_bytes::ByteArray<64>),
}

impl<'a> Answer<'a> {
    /// A node's answer.
    pub fn new(kind: Kind, tie: Tie, evidence: &'a [u8]) -> Answer<'a> {
        Answer(Tag::new(), kind, tie, Bytes::new(evidence))
    }

    /// Reads a claimed answer.
    pub fn decode(bytes: &'a [u8]) -> Result<Answer<'a>, CborError> {
        cbor::decode(bytes, budget::ANSWER_BYTES)
    }
}

/// `GET /v1/statements`: what others say of the node, each a COSE_Sign1, as the node carries it. Decoding proves their
/// number and sizes; [`crate::cose`] checks each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statements<'a>(
    Tag<StatementsTag>,
    /// In no order that means anything.
    #[serde(borrow)]
    pub heapless::Vec<&'a Bytes, { budget::CARRIED_STATEMENTS }>,
);

impl<'a> Statements<'a> {
    /// The statements of a node.
    pub fn new(statements: heapless::Vec<&'a Bytes, { budget::CARRIED_STATEMENTS }>) -> Statements<'a> {
        Statements(Tag::new(), statements)
    }

    /// Reads what a node carries: so many, each so long, and all together so long, as [`budget`] says.
    pub fn decode(bytes: &'a [u8]) -> Result<Statements<'a>, CborError> {
        let read: Statements<'a> = cbor::decode(bytes, budget::STATEMENTS_BYTES)?;
        for statement in &read.1 {
            expect_bytes(statement.len(), budget::CARRIED_STATEMENT_BYTES)?;
        }
        let all = read.1.iter().fold(0usize, |all, statement| all.saturating_add(statement.len()));
        expect_bytes(all, budget::CARRIED_BYTES)?;
        Ok(read)
    }
}

fn expect_bytes(found_bytes: usize, limit_bytes: usize) -> Result<(), CborError> {
    if found_bytes > limit_bytes { Err(CborError::TooLong { found_bytes, limit_bytes }) } else { Ok(()) }
}

/// `GET /v1/timing` at a landmark: the UDP port at which it takes the node's datagrams, at the address of this
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimingOffer(Tag<TimingTag>, pub u16);

impl TimingOffer {
    /// A landmark's offer.
    pub fn new(udp_port: u16) -> TimingOffer {
        TimingOffer(Tag::new(), udp_port)
    }

    /// Reads a claimed offer.
    pub fn decode(bytes: &[u8]) -> Result<TimingOffer, CborError> {
        cbor::decode(bytes, budget::TIMING_OFFER_BYTES)
    }
}

/// The body of every answer that is none: who is at fault, and what is wrong, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused<'a>(Tag<RefusedTag>, pub Fault, #[serde(borrow)] pub &'a str);

/// Who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Whoever asks; the same question will be refused again.
    Caller,
    /// Nobody: too many ask, or the TPM has no time. The same question may be answered later.
    Busy,
    /// The node or its TPM.
    Node,
}

impl<'a> Refused<'a> {
    /// A node's refusal.
    pub fn new(fault: Fault, what: &'a str) -> Refused<'a> {
        Refused(Tag::new(), fault, what)
    }

    /// Reads a refusal; its words are the node's and prove nothing.
    pub fn decode(bytes: &'a [u8]) -> Result<Refused<'a>, CborError> {
        cbor::decode(bytes, budget::REFUSED_BYTES)
    }
}

/// The leaf of one challenge: SHA-256(0x00 ‖ dCBOR([kind, nonce, binder])).
pub fn leaf(engine: &dyn Engine, kind: Kind, nonce: &[u8; 32], binder: &[u8; 32]) -> Result<merkle::Node, CborError> {
    let challenge = cbor::encode(&(kind, Bytes32::new(*nonce), Bytes32::new(*binder)))?;
    Ok(sha256(engine, &[&[LEAF_PREFIX], &challenge]))
}

/// extraData = SHA-256(dCBOR(["garant/quote/1", batch_root, F, claims_digest])).
pub fn extra_data(
    engine: &dyn Engine,
    batch_root: &[u8; 32],
    session_key: &[u8; 32],
    claims_digest: &[u8; 32],
) -> Result<[u8; 32], CborError> {
    let bytes = cbor::encode(&(
        Tag::<QuoteTag>::new(),
        Bytes32::new(*batch_root),
        Bytes32::new(*session_key),
        Bytes32::new(*claims_digest),
    ))?;
    Ok(sha256(engine, &[&bytes]))
}

/// What B signs: `"garant/key/1\0" ‖ F`.
pub fn key_statement(session_key: &[u8; 32]) -> Vec<u8> {
    [KEY_LABEL, session_key].concat()
}

/// State that a cached answer is signed over, beside the challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedState {
    /// SHA-256(TPMS_ATTEST ‖ TPMT_SIGNATURE) of the quote.
    pub quote_digest: [u8; 32],
    /// Number of the last ledger commit.
    pub commit: u64,
    /// The ledger's head, in SHA-256.
    pub head: [u8; 32],
    /// Entries in the IMA list now.
    pub ima_count: u64,
}

/// What F signs for a cached answer: `"garant/answer/1\0" ‖ dCBOR([kind, nonce, binder, quote digest, commit, head,
/// IMA count])`.
pub fn answer_statement(
    kind: Kind,
    nonce: &[u8; 32],
    binder: &[u8; 32],
    state: &CachedState,
) -> Result<Vec<u8>, CborError> {
    let body = cbor::encode(&(
        kind,
        Bytes32::new(*nonce),
        Bytes32::new(*binder),
        Bytes32::new(state.quote_digest),
        state.commit,
        Bytes32::new(state.head),
        state.ima_count,
    ))?;
    Ok([ANSWER_LABEL, &body].concat())
}

/// What F signs for a landmark: `"garant/time/1\0" ‖ landmark key ‖ nonce ‖ F`. Nothing is allocated.
pub fn time_statement(landmark: &[u8; 32], nonce: &[u8; 32], session_key: &[u8; 32]) -> [u8; TIME_STATEMENT_BYTES] {
    let mut fields = TIME_LABEL.iter().chain(landmark).chain(nonce).chain(session_key);
    core::array::from_fn(|_| fields.next().copied().unwrap_or_default())
}

/// What the activated secret authenticates: `"garant/enrol/1\0" ‖ kind ‖ nonce ‖ binder`, never the secret itself.
pub fn activation_statement(kind: Kind, nonce: &[u8; 32], binder: &[u8; 32]) -> Vec<u8> {
    [ENROL_LABEL, kind.text().as_bytes(), nonce, binder].concat()
}

const LEAF_PREFIX: u8 = 0x00;
const KEY_LABEL: &[u8] = b"garant/key/1\0";
const ANSWER_LABEL: &[u8] = b"garant/answer/1\0";
const ENROL_LABEL: &[u8] = b"garant/enrol/1\0";
const TIME_LABEL: &[u8; 14] = b"garant/time/1\0";
const TIME_STATEMENT_BYTES: usize = TIME_LABEL.len() + 3 * 32;

crate::tags! {
    /// An identity.
    IdentityTag => "garant/identity/1",
    /// A credential challenge.
    CredentialTag => "garant/credential/1",
    /// The answer to a credential challenge.
    ActivatedTag => "garant/activated/1",
    /// A refusal.
    RefusedTag => "garant/refused/1",
    /// A challenge.
    AskTag => "garant/ask/1",
    /// The answer to a challenge.
    AnswerTag => "garant/answer/1",
    /// Statements that a node carries.
    StatementsTag => "garant/statements/1",
    /// A demand for entries of the ledger.
    LedgerAskTag => "garant/ledger-ask/1",
    /// Entries of the ledger.
    EntriesTag => "garant/entries/1",
    /// A landmark's offer.
    TimingTag => "garant/timing/1",
    /// What a quote's extraData is the digest of.
    QuoteTag => "garant/quote/1",
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use alloc::vec;

    fn ask() -> Vec<u8> {
        cbor::encode(&Ask::new([7; 32], Mode::Fresh, heapless::Vec::new(), 0)).unwrap()
    }

    #[test]
    fn a_nonce_of_31_33_or_64_bytes_is_refused() {
        assert!(Ask::decode(&ask()).is_ok());
        for length in [0usize, 31, 33, 64] {
            let nonce = vec![7u8; length];
            let other = cbor::encode(&(
                Tag::<AskTag>::new(),
                Bytes::new(&nonce),
                Mode::Fresh,
                heapless::Vec::<Bytes32, 8>::new(),
                0u64,
            ));
            assert!(Ask::decode(&other.unwrap()).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_message_of_another_tag_or_with_one_byte_more_is_refused() {
        let bytes = ask();
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Ask::decode(&longer).is_err());
        let at = bytes.windows(4).position(|w| w == b"ask/").unwrap();
        let mut other = bytes;
        other[at] = b'A';
        assert!(Ask::decode(&other).is_err());
    }

    #[test]
    fn each_kind_has_its_own_text() {
        let texts = [Kind::None, Kind::TlsServer, Kind::TlsClient, Kind::Vm].map(Kind::text);
        assert_eq!(texts, ["none", "tls-server", "tls-client", "vm"]);
        for kind in [Kind::None, Kind::TlsServer, Kind::TlsClient, Kind::Vm] {
            assert_eq!(cbor::encode(&kind).unwrap()[1..], *kind.text().as_bytes());
        }
    }

    #[test]
    fn no_statement_of_one_label_is_a_statement_of_another() {
        let state = CachedState { quote_digest: [0; 32], commit: 0, head: [0; 32], ima_count: 0 };
        let statements = [
            key_statement(&[0; 32]),
            answer_statement(Kind::None, &[0; 32], &[0; 32], &state).unwrap(),
            activation_statement(Kind::None, &[0; 32], &[0; 32]),
            time_statement(&[0; 32], &[0; 32], &[0; 32]).to_vec(),
        ];
        for (i, a) in statements.iter().enumerate() {
            let label = |s: &[u8]| s.iter().position(|b| *b == 0).unwrap();
            assert!(a.starts_with(b"garant/"));
            for b in statements.iter().skip(i + 1) {
                assert_ne!(a[..=label(a)], b[..=label(b)]);
            }
        }
    }

    #[test]
    fn an_answer_with_a_path_of_17_nodes_is_refused() {
        let node = Bytes32::new([0; 32]);
        let long: heapless::Vec<Bytes32, 17> = (0..17).map(|_| node).collect();
        let mut map = vec![0xa1, 0x65];
        map.extend_from_slice(b"fresh");
        map.extend_from_slice(&cbor::encode(&(0u64, 1u64, long)).unwrap());
        assert!(cbor::decode::<Tie>(&map, 1024).is_err());
        let short = Tie::Fresh(0, 1, heapless::Vec::new());
        assert_eq!(cbor::decode::<Tie>(&cbor::encode(&short).unwrap(), 1024).unwrap(), short);
    }

    #[test]
    fn statements_beyond_their_number_or_size_are_refused() {
        let carried = |sizes: &[usize]| {
            let all: Vec<Vec<u8>> = sizes.iter().map(|size| vec![0xd2; *size]).collect();
            let all: Vec<&Bytes> = all.iter().map(|bytes| Bytes::new(bytes)).collect();
            Statements::decode(&cbor::encode(&(Tag::<StatementsTag>::new(), all)).unwrap()).map(|read| read.1.len())
        };
        assert_eq!(carried(&[0; budget::CARRIED_STATEMENTS]), Ok(64));
        assert!(matches!(carried(&[0; budget::CARRIED_STATEMENTS + 1]), Err(CborError::Malformed { .. })));
        assert_eq!(carried(&[budget::CARRIED_STATEMENT_BYTES; 16]), Ok(16));
        let one_more = budget::CARRIED_STATEMENT_BYTES + 1;
        let too_long = |found_bytes, limit_bytes| Err(CborError::TooLong { found_bytes, limit_bytes });
        assert_eq!(carried(&[one_more]), too_long(one_more, budget::CARRIED_STATEMENT_BYTES));
        let mut sixteen = [budget::CARRIED_STATEMENT_BYTES; 17];
        sixteen[16] = 1;
        assert_eq!(carried(&sixteen), too_long(budget::CARRIED_BYTES + 1, budget::CARRIED_BYTES));
    }
}
