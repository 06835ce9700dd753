//! Transparency logs (C2SP tlog-proof, tlog-checkpoint, tlog-cosignature, signed-note 1.0): that a text stands in a log
//! which the reader knows, and that witnesses saw that log only ever grow.
//!
//! A log makes no statement true. It takes away the second version that nobody else sees. ML-DSA cosignatures are not
//! read: such a witness counts as one that did not sign.

use crate::{
    budget,
    engine::{Engine, PublicKey, SignatureScheme, sha256},
    merkle::{self, Node},
};
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use base64ct::{Base64, Encoding};
use core::fmt;

/// A verifier key (signed-note, "Verifier keys"): `name+hex(key id)+base64(type ‖ key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    id: [u8; 4],
    role: Role,
    key: [u8; 32],
}

/// What a key of a log signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Checkpoints of its own log (signature type 0x01).
    Log,
    /// That it saw a log grow to a checkpoint (signature type 0x04).
    Witness,
}

impl LogKey {
    /// Reads a verifier key and checks that its id is its own.
    pub fn parse(engine: &dyn Engine, text: &str) -> Result<LogKey, LogFault> {
        let fault = || LogFault::Key { text: text.to_owned() };
        let mut parts = text.splitn(3, '+');
        let (name, id) = (parts.next().filter(|name| is_name(name)), parts.next());
        let (name, id, key) = (name.ok_or_else(fault)?, id.ok_or_else(fault)?, parts.next().ok_or_else(fault)?);
        let key = Base64::decode_vec(key).map_err(|_| fault())?;
        let (role, key) = match key.split_first() {
            Some((&LOG, key)) => (Role::Log, key),
            Some((&WITNESS, key)) => (Role::Witness, key),
            _ => return Err(fault()),
        };
        let key: [u8; 32] = key.try_into().map_err(|_| fault())?;
        let key = LogKey::new(engine, name, role, key);
        let hex: String = key.id.iter().map(|byte| format!("{byte:02x}")).collect();
        if hex == id { Ok(key) } else { Err(fault()) }
    }

    /// The key of this name and role.
    pub fn new(engine: &dyn Engine, name: &str, role: Role, key: [u8; 32]) -> LogKey {
        let kind = match role {
            Role::Log => LOG,
            Role::Witness => WITNESS,
        };
        let digest = sha256(engine, &[name.as_bytes(), b"\n", &[kind], &key]);
        LogKey { name: name.to_owned(), id: digest.first_chunk().copied().unwrap_or_default(), role, key }
    }

    /// Its id, which stands in its signatures.
    #[cfg(test)]
    pub(crate) fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Its name; a log's is its origin.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The logs that a reader believes, their witnesses, and how many of these must have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTrust {
    logs: Vec<LogKey>,
    witnesses: Vec<LogKey>,
    quorum: usize,
}

impl LogTrust {
    /// Logs, witnesses and quorum. One key under two names would count twice, so it is refused; so is a quorum that
    /// nobody could reach, or of no witness.
    pub fn new(logs: Vec<LogKey>, witnesses: Vec<LogKey>, quorum: usize) -> Result<LogTrust, LogFault> {
        let keys: Vec<[u8; 32]> = logs.iter().chain(&witnesses).map(|key| key.key).collect();
        let repeated =
            keys.iter().enumerate().any(|(at, key)| keys.iter().skip(at.saturating_add(1)).any(|k| k == key));
        let misplaced = logs.iter().any(|key| key.role != Role::Log)
            || witnesses.iter().any(|key| key.role != Role::Witness)
            || logs.is_empty();
        if repeated || misplaced || quorum == 0 || quorum > witnesses.len() {
            return Err(LogFault::Trust { witnesses: witnesses.len(), quorum });
        }
        Ok(LogTrust { logs, witnesses, quorum })
    }
}

/// A proof as it came: shape is proven, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedProof<'a> {
    index: u64,
    path: Vec<Node>,
    /// The checkpoint's text, which the signatures are over, with its last newline.
    body: &'a str,
    origin: &'a str,
    size: u64,
    root: Node,
    signatures: Vec<(&'a str, [u8; 4], Vec<u8>)>,
}

/// A leaf that stands in a known log, as enough witnesses saw it. Holding one proves that whoever reads that log finds
/// the leaf, and that it was there at [`Logged::time`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Name of the log.
    pub origin: String,
    /// Position of the leaf.
    pub index: u64,
    /// When a quorum of witnesses had signed, seconds since 1970.
    pub time: u64,
    /// Names of the witnesses that signed.
    pub witnesses: Vec<String>,
}

impl<'a> ClaimedProof<'a> {
    /// Reads the text of a tlog-proof. Its `extra` line is not authenticated and left out.
    pub fn parse(text: &'a str) -> Result<ClaimedProof<'a>, LogFault> {
        let shape = |what| LogFault::Shape { what };
        if text.len() > budget::LOG_PROOF_BYTES {
            return Err(shape("is too long"));
        }
        if text.chars().any(|letter| letter < ' ' && letter != '\n') {
            return Err(shape("has control characters"));
        }
        let (head, note) = text.split_once("\n\n").ok_or(shape("has no checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(shape("does not begin with c2sp.org/tlog-proof@v1"));
        }
        let mut line = lines.next();
        if line.is_some_and(|line| line.starts_with("extra ")) {
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(decimal).ok_or(shape("has no index"))?;
        let path = lines.map(node).collect::<Option<Vec<Node>>>().ok_or(shape("has a node that is no hash"))?;
        if path.len() > budget::LOG_PROOF_NODES {
            return Err(shape("has more nodes than any log is deep"));
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(shape("has no signature"))?;
        let body = note.get(..text.len().saturating_add(1)).ok_or(shape("has no checkpoint"))?;
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty()).ok_or(shape("names no log"))?;
        let size = lines.next().and_then(decimal).ok_or(shape("has no tree size"))?;
        let root = lines.next().and_then(node).ok_or(shape("has no root"))?;
        if lines.any(str::is_empty) {
            return Err(shape("has an empty line in its checkpoint"));
        }
        let signatures = signatures.strip_suffix('\n').ok_or(shape("does not end with a newline"))?;
        let signatures = signatures.split('\n').map(signature).collect::<Option<Vec<_>>>();
        let signatures = signatures.ok_or(shape("has a line that is no signature"))?;
        if signatures.len() > budget::LOG_SIGNATURES {
            return Err(shape("has too many signatures"));
        }
        Ok(ClaimedProof { index, path, body, origin, size, root, signatures })
    }

    /// Checks the proof for this leaf. A signature of a known key that does not verify refuses the whole.
    pub fn verify(&self, engine: &dyn Engine, leaf: &[u8], trust: &LogTrust) -> Result<Logged, LogFault> {
        let of_origin = |key: &&LogKey| key.name == self.origin;
        let unknown = || LogFault::UnknownLog { origin: self.origin.to_owned() };
        let mut is_signed = false;
        for log in trust.logs.iter().filter(of_origin) {
            is_signed |= self.signed_by(engine, log)?.is_some();
        }
        if !is_signed {
            return Err(unknown());
        }
        let mut seen: Vec<(u64, &LogKey)> = Vec::new();
        for witness in &trust.witnesses {
            seen.extend(self.signed_by(engine, witness)?.map(|time| (time, witness)));
        }
        seen.sort_by_key(|(time, _)| *time);
        let last = trust.quorum.checked_sub(1).and_then(|last| seen.get(last));
        let time = last.ok_or(LogFault::Witnesses { found: seen.len(), needed: trust.quorum })?.0;
        let leaf = sha256(engine, &[&[LEAF_PREFIX], leaf]);
        match merkle::head_from_path(engine, leaf, self.index, self.size, &self.path) {
            Some(head) if head == self.root => {}
            _ => return Err(LogFault::NotIncluded { origin: self.origin.to_owned() }),
        }
        let witnesses = seen.iter().map(|(_, key)| key.name.clone()).collect();
        Ok(Logged { origin: self.origin.to_owned(), index: self.index, time, witnesses })
    }

    /// The earliest time of this key's signatures; a log's own have none and give 0. `None` where it did not sign.
    fn signed_by(&self, engine: &dyn Engine, key: &LogKey) -> Result<Option<u64>, LogFault> {
        let of_key = self.signatures.iter().filter(|(name, id, _)| *name == key.name && *id == key.id);
        let mut earliest = None;
        for (_, _, bytes) in of_key {
            let bad = LogFault::Signature { name: key.name.clone() };
            let (time, message, signature) = match (key.role, bytes.split_first_chunk::<8>()) {
                (Role::Log, _) => (0, self.body.to_string(), &bytes[..]),
                (Role::Witness, Some((time, signature))) => {
                    let time = u64::from_be_bytes(*time);
                    (time, format!("cosignature/v1\ntime {time}\n{}", self.body), signature)
                }
                (Role::Witness, None) => return Err(bad),
            };
            let (public, scheme) = (PublicKey::Ed25519(key.key), SignatureScheme::Ed25519);
            engine.verify_signature(&public, scheme, message.as_bytes(), signature).map_err(|_| bad)?;
            earliest = Some(earliest.map_or(time, |known: u64| known.min(time)));
        }
        Ok(earliest)
    }
}

/// Why a log proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFault {
    /// A verifier key that is none; who wrote it down is at fault.
    Key {
        /// As it stands.
        text: String,
    },
    /// Logs and witnesses that cannot be used together; who wrote the policy is at fault.
    Trust {
        /// Witnesses named.
        witnesses: usize,
        /// Signatures asked for.
        quorum: usize,
    },
    /// Not a tlog-proof; who brought it is at fault.
    Shape {
        /// What is wrong.
        what: &'static str,
    },
    /// A log that the reader does not know, or that did not sign.
    UnknownLog {
        /// Its name.
        origin: String,
    },
    /// A signature in the name of a known key that does not verify.
    Signature {
        /// The key's name.
        name: String,
    },
    /// Too few of the known witnesses signed.
    Witnesses {
        /// Signatures that hold.
        found: usize,
        /// Asked for.
        needed: usize,
    },
    /// The leaf does not lead to the signed root.
    NotIncluded {
        /// Name of the log.
        origin: String,
    },
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogFault::Key { text } => write!(f, "{text:?} is no Ed25519 verifier key of a log or a witness"),
            LogFault::Trust { witnesses, quorum } => write!(
                f,
                "a log's trust needs a log, each key once and in its role, and a quorum of 1 to all witnesses: {quorum} \
                 of {witnesses}"
            ),
            LogFault::Shape { what } => write!(f, "the log proof {what}"),
            LogFault::UnknownLog { origin } => write!(f, "no known log {origin:?} signed the checkpoint"),
            LogFault::Signature { name } => write!(f, "the signature of {name:?} does not verify"),
            LogFault::Witnesses { found, needed } => write!(f, "{found} known witnesses signed, {needed} are needed"),
            LogFault::NotIncluded { origin } => write!(f, "it is not what stands in log {origin:?}"),
        }
    }
}

impl core::error::Error for LogFault {}

/// `— name base64(id ‖ signature)`.
fn signature(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, bytes) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = Base64::decode_vec(bytes).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    is_name(name).then(|| (name, *id, signature.to_vec()))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|letter| letter.is_whitespace() || letter == '+')
}

/// ASCII decimal without leading zeroes.
fn decimal(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_decimal { text.parse().ok() } else { None }
}

fn node(line: &str) -> Option<Node> {
    Base64::decode_vec(line).ok()?.try_into().ok()
}

/// First line of a proof (C2SP tlog-proof, "Format").
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Domain of a leaf (RFC 6962 §2.1).
const LEAF_PREFIX: u8 = 0x00;
/// Signature type of a log (C2SP signed-note, "Signature types").
const LOG: u8 = 0x01;
/// Signature type of a witness (C2SP tlog-cosignature).
const WITNESS: u8 = 0x04;

#[cfg(test)]
mod tests;
