//! Ownership vouchers in FDO's structure (FIDO Device Onboard 1.1 §3.4): who handed a machine to whom, from its maker on.
//!
//! [ 101, header, HMAC, null, entries ]: the header names the machine and the maker's key, each entry is a COSE_Sign1 by
//! the owner before, names the next owner's key, and holds the digests of what came before and of the machine. What FDO
//! has for onboarding is left out and must be empty: rendezvous, device certificates, and the HMAC, which only a device
//! could check. The machine is a TPM: GUID is the first half of its node id, DeviceInfo the node id and the chassis.
//! FDO's entries have no time; ours stands in OVEExtra. All digests are SHA-256.

use crate::{
    budget,
    cbor::{self, Bytes, CborError},
    cose::{self, ClaimedStatement, StatementError},
    engine::{Engine, PublicKey, sha256},
    statement,
};
use alloc::{format, string::String, vec::Vec};
use key::{ClaimedKey, KeyError, NamedKey};
use serde::{Deserialize, Serialize};

mod error;
pub mod key;

pub use error::VoucherError;
pub(crate) use error::short;

/// Content type of a voucher.
pub const CONTENT_TYPE: &str = "application/vnd.garant.voucher+cbor";
/// Content type of one entry, in its protected header.
pub const ENTRY_TYPE: &str = "application/vnd.garant.voucher-entry+cbor";

/// Certificates of an entry, DER, the new owner's first.
pub type Certificates<'a> = heapless::Vec<&'a Bytes, { budget::SEAL_CERTIFICATES }>;

/// A voucher as it came: its shape is proven, nothing else.
#[derive(Debug, Clone)]
pub struct ClaimedVoucher<'a> {
    header_bytes: &'a [u8],
    header: Header<'a>,
    machine: Machine<'a>,
    entries: Vec<&'a [u8]>,
}

/// The machine that a voucher speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine<'a> {
    /// Node id: SHA-256 of the certified EK's SubjectPublicKeyInfo.
    pub node_id: [u8; 32],
    /// The chassis' serial number; empty where the voucher speaks of the chip alone.
    pub chassis: &'a str,
}

crate::int_map! {
    /// What an entry says beside the key; under one private key of OVEExtra.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Terms<'a> {
        /// exp: when the new owner's right ends, as that of a lessee; seconds since 1970.
        4 => expires: Option<u64>,
        /// iat: when the machine was handed over, seconds since 1970.
        6 => issued: u64,
        /// Certificates of the new owner's key, DER: a seal, and the authorities above it.
        -75083 => certificates: Option<Certificates<'a>>,
    }
}

/// An entry that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link<'a> {
    /// To whom the machine was handed.
    pub owner: NamedKey,
    /// From when, until when, and by what right to a name.
    pub terms: Terms<'a>,
}

/// A voucher's entries as far as they hold. Holding one proves: each of these keys was named by the one before, for this
/// machine, the first by the key of the header. Whether anybody believes that key, and whether there is another
/// voucher, are the caller's to find out.
#[derive(Debug, Clone)]
pub struct Voucher<'a> {
    machine: Machine<'a>,
    maker: NamedKey,
    links: Vec<Link<'a>>,
    signed: Vec<[u8; 32]>,
    head: [u8; 32],
    fault: Option<VoucherError>,
}

impl<'a> ClaimedVoucher<'a> {
    /// Reads a voucher of at most [`budget::CARRIED_STATEMENT_BYTES`].
    pub fn decode(bytes: &'a [u8]) -> Result<ClaimedVoucher<'a>, VoucherError> {
        let (limit_bytes, found_bytes) = (budget::CARRIED_STATEMENT_BYTES, bytes.len());
        if found_bytes > limit_bytes {
            return Err(VoucherError::Shape(CborError::TooLong { found_bytes, limit_bytes }));
        }
        let (header_bytes, entries) = split(bytes).ok_or(MALFORMED)?;
        if entries.len() > budget::VOUCHER_ENTRIES {
            return Err(VoucherError::TooMany { found: entries.len() });
        }
        let header: Header<'a> = cbor::decode(header_bytes, limit_bytes).map_err(VoucherError::Shape)?;
        let machine = Machine::read(header.3).ok_or(VoucherError::Machine)?;
        if header.0 != VERSION || header.5.is_some() || Some(&header.1[..]) != machine.node_id.get(..GUID_BYTES) {
            return Err(VoucherError::Machine);
        }
        Ok(ClaimedVoucher { header_bytes, header, machine, entries })
    }

    /// The machine that it speaks of, as claimed.
    pub fn machine(&self) -> Machine<'a> {
        self.machine
    }

    /// The maker's key in the header; the header is signed by nobody, its digest by the first entry.
    pub fn maker(&self, engine: &dyn Engine) -> Result<NamedKey, KeyError> {
        NamedKey::take(engine, &self.header.4)
    }

    /// Follows the entries from the header on, as far as they hold.
    pub fn follow(&self, engine: &dyn Engine) -> Result<Voucher<'a>, VoucherError> {
        let maker = self.maker(engine).map_err(VoucherError::MakerKey)?;
        let mut voucher = Voucher {
            machine: self.machine,
            links: Vec::new(),
            signed: Vec::new(),
            head: sha256(engine, &[self.header_bytes, HMAC]),
            fault: None,
            maker,
        };
        let machine = sha256(engine, &[self.header.1, self.header.3.as_bytes()]);
        for (number, entry) in self.entries.iter().copied().enumerate() {
            if let Err(fault) = voucher.step(engine, &machine, number, entry) {
                voucher.fault = Some(fault);
                break;
            }
        }
        Ok(voucher)
    }
}

impl<'a> Voucher<'a> {
    /// The machine.
    pub fn machine(&self) -> Machine<'a> {
        self.machine
    }

    /// The key with which the chain begins.
    pub fn maker(&self) -> &NamedKey {
        &self.maker
    }

    /// Who came after it.
    pub fn links(&self) -> &[Link<'a>] {
        &self.links
    }

    /// SHA-256 of the last entry that holds, or of header and HMAC where none does: what the next would name as before.
    pub fn head(&self) -> [u8; 32] {
        self.head
    }

    /// What the first entry that does not hold suffers from.
    pub fn fault(&self) -> Option<&VoucherError> {
        self.fault.as_ref()
    }

    /// The present owner; the maker where there is no entry.
    pub fn owner(&self) -> &NamedKey {
        self.links.last().map_or(&self.maker, |link| &link.owner)
    }

    /// Digest of what each owner signed, in order, without the signatures: an ECDSA signature can be turned into another
    /// one by anybody, and that makes no second owner. An entry whose owner could not be read counts too.
    pub fn signed(&self) -> &[[u8; 32]] {
        &self.signed
    }

    fn step(
        &mut self,
        engine: &dyn Engine,
        machine: &[u8; 32],
        number: usize,
        entry: &'a [u8],
    ) -> Result<(), VoucherError> {
        let statement = |error| VoucherError::Entry { number, error };
        let claimed = ClaimedStatement::decode(entry).map_err(statement)?;
        let owner = self.owner();
        if claimed.key_id() != owner.id {
            return Err(VoucherError::Cut { number, expected: owner.id, found: claimed.key_id() });
        }
        let payload = claimed.verify(engine, &owner.key, ENTRY_TYPE).map_err(statement)?;
        let shape = |fault| statement(StatementError::Shape(fault));
        let read = cbor::decode::<EntryPayload<'a>>(payload, budget::CARRIED_STATEMENT_BYTES);
        match &read {
            Ok(entry) if entry.0.is_of_other(&self.head) => return Err(VoucherError::WrongLink { number }),
            Ok(entry) if entry.1.is_of_other(machine) => return Err(VoucherError::OtherMachine { number }),
            // From here on the owner has given the machine away, whether or not we can read to whom.
            _ => self.signed.push(sha256(engine, &[payload])),
        }
        let EntryPayload(before, of_machine, extra, next) = read.map_err(shape)?;
        if let Some(FdoHash(algorithm, _)) = [before, of_machine].into_iter().find(|hash| hash.0 != SHA256) {
            return Err(VoucherError::Hash { number, algorithm });
        }
        let terms = terms(extra.ok_or_else(|| shape(CborError::Malformed { offset: 0 }))?).map_err(shape)?;
        if self.links.last().is_some_and(|last| terms.issued < last.terms.issued) {
            return Err(VoucherError::Backwards { number });
        }
        let owner = NamedKey::take(engine, &next).map_err(|error| VoucherError::Key { number, error })?;
        self.head = sha256(engine, &[entry]);
        self.links.push(Link { owner, terms });
        Ok(())
    }
}

/// A new voucher, without entries: a header that nobody has signed yet.
pub fn begin(machine: &Machine<'_>, maker: &PublicKey) -> Result<Vec<u8>, VoucherError> {
    let is_known = machine.chassis.is_empty() || is_chassis(machine.chassis);
    let maker = key::encode(maker).ok_or(VoucherError::MakerKey(KeyError::Malformed))?;
    let info = machine.info();
    let guid = machine.node_id.get(..GUID_BYTES).filter(|_| is_known).ok_or(VoucherError::Machine)?;
    let header: (_, _, [u8; 0], _, _, Option<()>) = (VERSION, Bytes::new(guid), [], info, maker, None);
    let header = cbor::encode(&header).map_err(VoucherError::Shape)?;
    join(&header, &[]).map_err(VoucherError::Shape)
}

/// The voucher with one entry more, by which its present owner hands the machine to `to`. `sign` is that owner's key, see
/// [`cose::sign`]; a voucher that does not hold to its end, or another owner's key, is refused.
pub fn hand_over<E: From<VoucherError> + From<StatementError>>(
    engine: &dyn Engine,
    voucher: &[u8],
    to: &PublicKey,
    terms: &Terms<'_>,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let claimed = ClaimedVoucher::decode(voucher)?;
    let present = claimed.follow(engine)?;
    if let Some(fault) = present.fault {
        return Err(fault.into());
    }
    if claimed.entries.len() >= budget::VOUCHER_ENTRIES {
        return Err(VoucherError::TooMany { found: claimed.entries.len().saturating_add(1) }.into());
    }
    let encoded = || -> Result<Vec<u8>, CborError> {
        let extra = cbor::encode(&Extra { terms: Bytes::new(&cbor::encode(terms)?) })?;
        let machine = sha256(engine, &[claimed.header.1, claimed.header.3.as_bytes()]);
        let digest = |bytes| (SHA256, serde_bytes::ByteArray::<32>::new(bytes));
        let owner = key::encode(to).ok_or(CborError::Unencodable)?;
        cbor::encode(&(digest(present.head), digest(machine), Bytes::new(&extra), owner))
    };
    let payload = encoded().map_err(VoucherError::Shape)?;
    let entry = cose::sign(engine, &present.owner().key, ENTRY_TYPE, &payload, sign)?;
    let joined =
        join(claimed.header_bytes, &[&claimed.entries[..], &[&entry]].concat()).map_err(VoucherError::Shape)?;
    // What we would not read is not written: too large, or a time that runs back.
    let fault = ClaimedVoucher::decode(&joined)?.follow(engine)?.fault;
    fault.map_or(Ok(joined), |fault| Err(fault.into()))
}

impl<'a> Machine<'a> {
    /// DeviceInfo.
    fn info(&self) -> String {
        let node_id: String = self.node_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let space = if self.chassis.is_empty() { "" } else { " " };
        format!("{INFO}{node_id}{space}{}", self.chassis)
    }

    fn read(info: &'a str) -> Option<Machine<'a>> {
        let (node_id, rest) = info.strip_prefix(INFO)?.split_at_checked(64)?;
        let chassis = if rest.is_empty() { rest } else { rest.strip_prefix(' ').filter(|text| is_chassis(text))? };
        let node_id = *node_id.parse::<crate::node_id::NodeId>().ok()?.as_bytes();
        let machine = Machine { node_id, chassis };
        (machine.info() == info).then_some(machine)
    }
}

/// Whether a chassis can be called so: printable ASCII, without space around it.
pub fn is_chassis(text: &str) -> bool {
    text.is_ascii() && statement::is_plain(text, budget::CHASSIS_BYTES)
}

fn terms<'a>(extra: &'a Bytes) -> Result<Terms<'a>, CborError> {
    let extra: Extra<'a> = cbor::decode(extra, budget::CARRIED_STATEMENT_BYTES)?;
    let terms: Terms<'a> = cbor::decode(extra.terms, budget::CARRIED_STATEMENT_BYTES)?;
    if terms.certificates.as_ref().is_some_and(|list| list.is_empty()) {
        return Err(CborError::Malformed { offset: 0 });
    }
    Ok(terms)
}

/// OVHeader: version, GUID, rendezvous (none), DeviceInfo, the maker's key, digest of device certificates (none).
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header<'a>(
    u64,
    #[serde(borrow)] &'a Bytes,
    [u8; 0],
    &'a str,
    #[serde(borrow)] ClaimedKey<'a>,
    #[serde(borrow)] Option<FdoHash<'a>>,
);

/// OVEntryPayload: digest of what came before, digest of the machine, OVEExtra, the next owner's key.
#[derive(Serialize, Deserialize)]
struct EntryPayload<'a>(
    #[serde(borrow)] FdoHash<'a>,
    #[serde(borrow)] FdoHash<'a>,
    #[serde(borrow)] Option<&'a Bytes>,
    #[serde(borrow)] ClaimedKey<'a>,
);

/// Hash of FDO: algorithm (COSE) and digest.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct FdoHash<'a>(i64, #[serde(borrow)] &'a Bytes);

impl FdoHash<'_> {
    /// Whether it is surely another digest; one of another algorithm may be of the same.
    fn is_of_other(&self, digest: &[u8; 32]) -> bool {
        self.0 == SHA256 && self.1[..] != digest[..]
    }
}

crate::int_map! {
    /// OVEExtra: integers to byte strings.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Extra<'a> {
        /// Encoded [`Terms`].
        -75082 => terms: &'a Bytes,
    }
}

/// Header and entries. Entries are tagged, so serde does not read them; their forms are checked when each is decoded.
fn split(bytes: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let (header, rest) = byte_string(bytes.strip_prefix(BEFORE_HEADER)?)?;
    let rest = rest.strip_prefix(HMAC)?.strip_prefix(&[NULL])?;
    let (count, mut rest) = head(rest, ARRAY)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let from = rest;
        let (_, after) = byte_string(rest.strip_prefix(BEFORE_PROTECTED)?)?;
        let (_, after) = byte_string(after.strip_prefix(&[EMPTY_MAP])?)?;
        (_, rest) = byte_string(after)?;
        entries.push(from.get(..from.len().checked_sub(rest.len())?)?);
    }
    rest.is_empty().then_some((header, entries))
}

fn join(header: &[u8], entries: &[&[u8]]) -> Result<Vec<u8>, CborError> {
    // An array's head is that of a list of as many nulls, without the nulls.
    let nulls = cbor::encode(&entries.iter().map(|_| None).collect::<Vec<Option<()>>>())?;
    let head = nulls.get(..nulls.len().saturating_sub(entries.len())).unwrap_or_default();
    let header = cbor::encode(Bytes::new(header))?;
    Ok([BEFORE_HEADER, &header, HMAC, &[NULL], head, &entries.concat()].concat())
}

fn byte_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = head(bytes, BYTE_STRING)?;
    rest.split_at_checked(length)
}

/// Length in the shortest form (RFC 8949 §4.2.1), and what follows.
fn head(bytes: &[u8], major: u8) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match (first.checked_sub(major)?, rest) {
        (short @ 0..24, _) => Some((usize::from(short), rest)),
        (24, [length, rest @ ..]) if *length >= 24 => Some((usize::from(*length), rest)),
        (25, [high, low, rest @ ..]) if *high > 0 => Some((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        _ => None,
    }
}

const MALFORMED: VoucherError = VoucherError::Shape(CborError::Malformed { offset: 0 });
/// OVProtVer and OVHProtVer: FDO 1.1.
const VERSION: u64 = 101;
/// FDO's GUID; here the first half of the node id.
const GUID_BYTES: usize = 16;
/// How DeviceInfo begins.
const INFO: &str = "garant/1 ";
const SHA256: i64 = -16; // RFC 9054 §2.1
/// An array of five, and OVProtVer.
const BEFORE_HEADER: &[u8] = &[0x85, 0x18, 0x65];
/// [5, 32 zeros]: HMAC-SHA256 (RFC 9053 §3.1) of no secret.
const HMAC: &[u8] = &[
    0x82, 0x05, 0x58, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0,
];
/// Tag 18, an array of four.
const BEFORE_PROTECTED: &[u8] = &[0xd2, 0x84];
// RFC 8949 §3
const BYTE_STRING: u8 = 0x40;
const ARRAY: u8 = 0x80;
const EMPTY_MAP: u8 = 0xa0;
const NULL: u8 = 0xf6;
