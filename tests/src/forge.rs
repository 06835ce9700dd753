//! A node made of software keys, to forge answers: a sound one, and one for each thing that can be wrong with it.
//!
//! It signs what a TPM would sign. What `verify` must refuse is made here by changing one field before or after signing.

use ed25519_dalek::Signer as _;
use garant_attest::{
    cbor::{self, Bytes, Bytes32},
    engine::{Digest, Engine, sha256},
    evidence::{self, Evidence, ImaPart, LedgerPart, NodeClaims, QuotePart, Record, SessionKeys, VouchedKey},
    ledger::{self, Commit, Entry, EntryZero},
    merkle::Tree,
    verify::Challenge,
    wire::{self, Answer, CachedState, Kind, Tie},
};
use garant_channel::engine::FastEngine;
use garant_hw::hash::Hash;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

/// A node, with every choice open.
#[derive(Clone)]
pub struct Node {
    /// The attestation key.
    pub ak: SigningKey,
    /// TPMT_PUBLIC that the evidence carries.
    pub ak_public: Vec<u8>,
    /// B.
    pub boot_key: ed25519_dalek::SigningKey,
    /// F.
    pub session_key: ed25519_dalek::SigningKey,
    /// Who vouches for F; B, unless a test forges it.
    pub vouches: ed25519_dalek::SigningKey,
    /// Other session keys that B vouches for.
    pub older_keys: Vec<ed25519_dalek::SigningKey>,
    /// Entry 0.
    pub entry_zero: Vec<u8>,
    /// Commits.
    pub commits: Vec<u8>,
    /// PCR of the ledger, as claimed.
    pub ledger_pcr: u64,
    /// The boot log, where there is one.
    pub log: Option<Vec<u8>>,
    /// The IMA list.
    pub ima: Option<Vec<u8>>,
    /// Banks of the selection with their PCR values; an unallocated one has none.
    pub banks: Vec<(Hash, Vec<Digest>)>,
    /// TPM_ST in the attestation.
    pub attest_type: u16,
    /// Magic in the attestation.
    pub magic: u32,
    /// Hierarchy of which the attestation key is a primary.
    pub hierarchy: u32,
    /// resetCount, restartCount, clock, safe.
    pub counters: (u32, u32, u64, u8),
    /// Bytes after the attestation, signed along.
    pub trailing: Vec<u8>,
    /// Other leaves of the batch, before this one's.
    pub others: Vec<[u8; 32]>,
}

impl Node {
    /// A sound node that booted this log.
    pub fn new(log: Vec<u8>) -> Node {
        let ak = SigningKey::from_slice(&[11; 32]).expect("a scalar");
        let boot_key = ed25519_dalek::SigningKey::from_bytes(&[12; 32]);
        let entry_zero = EntryZero::new([1; 32], boot_key.verifying_key().to_bytes(), [3; 32], None);
        let mut node = Node {
            ak_public: ak_public(&ak),
            ak,
            vouches: boot_key.clone(),
            boot_key,
            session_key: ed25519_dalek::SigningKey::from_bytes(&[13; 32]),
            older_keys: Vec::new(),
            entry_zero: entry_zero.encode().expect("encodable"),
            commits: Vec::new(),
            ledger_pcr: 15,
            log: Some(log),
            ima: None,
            banks: Vec::new(),
            attest_type: 0x8018,
            magic: 0xff54_4347,
            hierarchy: 0x4000_000b,
            counters: (5, 0, 1000, 1),
            trailing: Vec::new(),
            others: vec![[9; 32], [8; 32]],
        };
        node.boot();
        node
    }

    /// Sets the PCRs of a SHA-256 bank to what log and ledger lead to; the other banks are off.
    pub fn boot(&mut self) {
        let log = garant_hw::eventlog::EventLog::parse(self.log.as_deref().expect("a log")).expect("a log");
        let replayed = garant_attest::replay::replay(&FastEngine, &log, Hash::Sha256, |_, _| ());
        let value = |pcr| replayed.bank(Hash::Sha256).pcr(pcr).expect("24 PCRs").value();
        let mut values: Vec<Digest> = (0..24).map(value).collect();
        let commits = Commit::list(&self.commits).expect("whole commits");
        let (head, _) = ledger::replay(&FastEngine, Hash::Sha256, &self.entry_zero, commits).expect("encodable");
        values[15] = head;
        self.banks = vec![(Hash::Sha1, vec![]), (Hash::Sha256, values), (Hash::Sha384, vec![]), (Hash::Sha512, vec![])];
    }

    /// Commits to all of these entries, as many at a time, and boots anew with them.
    pub fn commit(&mut self, entries: &[Entry], at_a_time: usize) {
        let mut first = 1u64;
        self.commits.clear();
        for group in entries.chunks(at_a_time) {
            let next = first + group.len() as u64;
            let digests: Vec<[u8; 32]> =
                group.iter().map(|entry| entry.digest(&FastEngine).expect("encodable")).collect();
            self.commits.extend(first.to_be_bytes());
            self.commits.extend((next - 1).to_be_bytes());
            self.commits.extend(sha256(&FastEngine, &[digests.as_flattened()]));
            first = next;
        }
        self.boot();
    }

    /// A challenge as this crate's tests send it.
    pub fn challenge(kind: Kind) -> Challenge {
        Challenge { kind, nonce: [21; 32], binder: if kind == Kind::None { [0; 32] } else { [22; 32] } }
    }

    /// The public half of F.
    pub fn session_public(&self) -> [u8; 32] {
        self.session_key.verifying_key().to_bytes()
    }

    /// A fresh answer to the challenge.
    pub fn fresh(&self, challenge: &Challenge) -> Vec<u8> {
        let leaf = wire::leaf(&FastEngine, challenge.kind, &challenge.nonce, &challenge.binder).expect("encodable");
        self.fresh_with_leaf(challenge.kind, leaf)
    }

    /// An answer whose batch holds this leaf.
    pub fn fresh_with_leaf(&self, kind: Kind, leaf: [u8; 32]) -> Vec<u8> {
        let leaves = [&self.others[..], &[leaf]].concat();
        let index = self.others.len();
        let tree = Tree::new(&FastEngine, leaves).expect("leaves");
        let path = tree.path(index).expect("the leaf").into_iter().map(Bytes32::new).collect();
        let tie = Tie::Fresh(index as u64, tree.size() as u64, path);
        encode(&Answer::new(kind, tie, &self.evidence(tree.root())))
    }

    /// A cached answer: the quote is over another batch, F signs this challenge.
    pub fn cached(&self, challenge: &Challenge) -> Vec<u8> {
        self.cached_at(challenge, (self.commits.len() / Commit::BYTES) as u64)
    }

    /// The same, where the ledger is at this commit by now.
    pub fn cached_at(&self, challenge: &Challenge, commit: u64) -> Vec<u8> {
        let root = [77; 32];
        let (attest, signature) = self.quote(root);
        let quote_digest = sha256(&FastEngine, &[&attest, &signature]);
        let state = CachedState { quote_digest, commit, head: [0; 32], ima_count: 0 };
        let message = wire::answer_statement(challenge.kind, &challenge.nonce, &challenge.binder, &state);
        let signature = self.session_key.sign(&message.expect("encodable")).to_bytes();
        let tie = Tie::Cached(commit, Bytes32::new([0; 32]), 0, serde_bytes::ByteArray::new(signature));
        encode(&Answer::new(challenge.kind, tie, &self.evidence(root)))
    }

    /// The collection around a quote of this batch root.
    pub fn evidence(&self, root: [u8; 32]) -> Vec<u8> {
        let (attest, signature) = self.quote(root);
        let quote = encode(&QuotePart(Bytes::new(&attest), Bytes::new(&signature), Bytes32::new(root)));
        let vouched = |key: &ed25519_dalek::SigningKey| {
            let public = key.verifying_key().to_bytes();
            let signature = self.vouches.sign(&wire::key_statement(&public)).to_bytes();
            VouchedKey(Bytes32::new(public), serde_bytes::ByteArray::new(signature))
        };
        let keys: SessionKeys = core::iter::once(&self.session_key).chain(&self.older_keys).map(vouched).collect();
        let keys = encode(&keys);
        let values: Vec<Vec<u8>> = self.banks.iter().map(|(_, values)| concatenated(values)).collect();
        let pcrs: evidence::PcrPart<'_> =
            values.iter().filter(|bank| !bank.is_empty()).map(|bank| Bytes::new(bank)).collect();
        let pcrs = encode(&pcrs);
        let ledger = encode(&LedgerPart(Bytes::new(&self.entry_zero), Bytes::new(&self.commits)));
        let ima = self.ima.as_ref().map(|list| encode(&ImaPart(0, Bytes::new(list))));
        let claims = self.claims();
        encode(&Evidence {
            ak: Record::whole(evidence::AK_TYPE, &self.ak_public),
            eat: Record::whole(evidence::EAT_TYPE, &claims),
            ima: ima.as_ref().map(|ima| Record::whole(evidence::IMA_TYPE, ima)),
            key: Record::whole(evidence::KEY_TYPE, &keys),
            log: self.log.as_ref().map(|log| Record::whole(evidence::LOG_TYPE, log)),
            pcrs: Record::whole(evidence::PCRS_TYPE, &pcrs),
            quote: Record::whole(evidence::QUOTE_TYPE, &quote),
            ledger: Record::whole(evidence::LEDGER_TYPE, &ledger),
            profile: evidence::PROFILE,
        })
    }

    /// TPMS_ATTEST over this batch root, and its TPMT_SIGNATURE.
    pub fn quote(&self, root: [u8; 32]) -> (Vec<u8>, Vec<u8>) {
        let claims_digest = sha256(&FastEngine, &[&self.claims()]);
        let extra = wire::extra_data(&FastEngine, &root, &self.session_public(), &claims_digest).expect("encodable");
        let attest = self.attest(&extra);
        let signature = self.sign(&attest);
        (attest, signature)
    }

    /// TPMT_SIGNATURE of the attestation key.
    pub fn sign(&self, attest: &[u8]) -> Vec<u8> {
        let signature: Signature = self.ak.sign(attest);
        let (r, s) = signature.split_bytes();
        let mut tpmt = vec![0x00, 0x18, 0x00, 0x0b];
        for half in [&r[..], &s[..]] {
            tpmt.extend((half.len() as u16).to_be_bytes());
            tpmt.extend(half);
        }
        tpmt
    }

    /// TPMS_ATTEST with this qualifying data (TPM 2.0 Part 2, 10.12.8).
    pub fn attest(&self, extra: &[u8]) -> Vec<u8> {
        let (reset, restart, clock, safe) = self.counters;
        let mut bytes = self.magic.to_be_bytes().to_vec();
        bytes.extend(self.attest_type.to_be_bytes());
        let name = [&SHA256[..], &sha256(&FastEngine, &[&self.ak_public])].concat();
        bytes.extend([0, 34]);
        bytes.extend(SHA256);
        bytes.extend(sha256(&FastEngine, &[&self.hierarchy.to_be_bytes(), &name]));
        bytes.extend((extra.len() as u16).to_be_bytes());
        bytes.extend(extra);
        bytes.extend(clock.to_be_bytes());
        bytes.extend(reset.to_be_bytes());
        bytes.extend(restart.to_be_bytes());
        bytes.push(safe);
        bytes.extend(0x0001_0002_0003_0004u64.to_be_bytes());
        bytes.extend((self.banks.len() as u32).to_be_bytes());
        let mut values = Vec::new();
        for (hash, bank) in &self.banks {
            bytes.extend(hash.algorithm_id().to_be_bytes());
            let selected = (1u32 << bank.len()) - 1;
            bytes.extend([3, selected as u8, (selected >> 8) as u8, (selected >> 16) as u8]);
            values.extend(concatenated(bank));
        }
        bytes.extend([0, 32]);
        bytes.extend(FastEngine.digest(Hash::Sha256, &[&values]).as_bytes());
        bytes.extend(&self.trailing);
        bytes
    }

    /// The EAT claims.
    pub fn claims(&self) -> Vec<u8> {
        encode(&NodeClaims {
            untrusted_location: None,
            profile: evidence::PROFILE,
            ledger_pcr: self.ledger_pcr,
            untrusted_version: "0",
            untrusted_manufacturer: None,
            untrusted_product: None,
            untrusted_serial: None,
            untrusted_chassis_serial: None,
            untrusted_missing: None,
        })
    }
}

/// A crypto-agile log with a SHA-256 bank: for each event PCR, type and data, digest = SHA-256(data).
pub fn log(events: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut log = vec![0; 28];
    log[4] = 3;
    let spec = [b"Spec ID Event03\0", &[0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 0x0b, 0, 32, 0, 0][..]].concat();
    log.extend((spec.len() as u32).to_le_bytes());
    log.extend(spec);
    for (pcr, kind, data) in events {
        log.extend(pcr.to_le_bytes());
        log.extend(kind.to_le_bytes());
        log.extend([1, 0, 0, 0, 0x0b, 0]);
        log.extend(sha256(&FastEngine, &[data]));
        log.extend((data.len() as u32).to_le_bytes());
        log.extend(*data);
    }
    log
}

/// TPMT_PUBLIC of a restricted P-256 signing key with this point (TPM 2.0 Part 2, 12.2.4).
pub fn ak_public(key: &SigningKey) -> Vec<u8> {
    ak_public_with(key, AK_ATTRIBUTES)
}

/// The same with other attributes.
pub fn ak_public_with(key: &SigningKey, attributes: u32) -> Vec<u8> {
    let point = key.verifying_key().to_sec1_point(false);
    let mut bytes = vec![0x00, 0x23, 0x00, 0x0b];
    bytes.extend(attributes.to_be_bytes());
    bytes.extend([0, 0, 0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10]);
    for half in point.as_bytes()[1..].chunks(32) {
        bytes.extend([0, 32]);
        bytes.extend(half);
    }
    bytes
}

/// TPM_ALG_SHA256, before a Name by it.
const SHA256: [u8; 2] = [0x00, 0x0b];

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign.
pub const AK_ATTRIBUTES: u32 = 0x0005_0472;

fn concatenated(values: &[Digest]) -> Vec<u8> {
    values.iter().flat_map(|value| value.as_bytes().to_vec()).collect()
}

fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    cbor::encode(value).expect("encodable")
}
