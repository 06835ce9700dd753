//! Evidence: a CMW collection (RFC 9999) in deterministic CBOR, shared by all askers of one quote.
//!
//! Each part is a record `[media type, bytes, 4]` (4: evidence). A part whose digest the asker already holds comes
//! as that digest. The quote covers `eat` by extraData; log, IMA list and ledger prove themselves by replay.

use crate::{
    budget,
    cbor::{self, Bytes, Bytes32, CborError, MapField},
    num,
};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The collection, in the order of its encoded labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence<'a> {
    /// TPMT_PUBLIC of the attestation key.
    #[serde(borrow)]
    pub ak: Record<'a>,
    /// [`NodeClaims`].
    #[serde(borrow)]
    pub eat: Record<'a>,
    /// [`ImaPart`]; absent where the kernel keeps no list.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub ima: Option<Record<'a>>,
    /// [`SessionKeys`].
    #[serde(borrow)]
    pub key: Record<'a>,
    /// The boot event log; absent where the node cannot read it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Record<'a>>,
    /// [`PcrPart`].
    #[serde(borrow)]
    pub pcrs: Record<'a>,
    /// [`QuotePart`].
    #[serde(borrow)]
    pub quote: Record<'a>,
    /// [`LedgerPart`].
    #[serde(borrow)]
    pub ledger: Record<'a>,
    /// [`PROFILE`].
    #[serde(rename = "__cmwc_t")]
    pub profile: &'a str,
}

impl<'a> Evidence<'a> {
    /// Reads a claimed collection.
    pub fn decode(bytes: &'a [u8]) -> Result<Evidence<'a>, CborError> {
        let evidence: Evidence<'a> = cbor::decode(bytes, budget::ANSWER_BYTES)?;
        if evidence.profile == PROFILE { Ok(evidence) } else { Err(CborError::Malformed { offset: 0 }) }
    }
}

/// A CMW record (RFC 9999 §3.1): media type, value, indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a>(&'a str, #[serde(borrow)] &'a Bytes, u8);

/// A part as it came: whole, or the digest of one that the asker said it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// The bytes.
    Whole(&'a [u8]),
    /// SHA-256 of the bytes.
    Held([u8; 32]),
}

impl<'a> Record<'a> {
    /// A whole part.
    pub fn whole(media_type: &'a str, bytes: &'a [u8]) -> Record<'a> {
        Record(media_type, Bytes::new(bytes), EVIDENCE)
    }

    /// A part that the asker holds, as its SHA-256.
    pub fn held(digest: &'a [u8; 32]) -> Record<'a> {
        Record(HELD_TYPE, Bytes::new(digest), EVIDENCE)
    }

    /// The part, where it is of `media_type` and at most `limit_bytes` long.
    pub fn part(&self, media_type: &str, limit_bytes: usize) -> Result<Part<'a>, CborError> {
        let bytes: &'a [u8] = self.1;
        if self.2 != EVIDENCE {
            return Err(CborError::Malformed { offset: 0 });
        }
        if bytes.len() > limit_bytes {
            return Err(CborError::TooLong { found_bytes: bytes.len(), limit_bytes });
        }
        match (self.0, <[u8; 32]>::try_from(bytes)) {
            (found, _) if found == media_type => Ok(Part::Whole(bytes)),
            (HELD_TYPE, Ok(digest)) => Ok(Part::Held(digest)),
            _ => Err(CborError::Malformed { offset: 0 }),
        }
    }

    /// The bytes of a part that is never left out.
    pub fn bytes(&self, media_type: &str, limit_bytes: usize) -> Result<&'a [u8], CborError> {
        match self.part(media_type, limit_bytes)? {
            Part::Whole(bytes) => Ok(bytes),
            Part::Held(_) => Err(CborError::Malformed { offset: 0 }),
        }
    }
}

/// TPMS_ATTEST, TPMT_SIGNATURE and the batch root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotePart<'a>(#[serde(borrow)] pub &'a Bytes, #[serde(borrow)] pub &'a Bytes, pub Bytes32);

/// Session keys that B of this boot vouches for; the quoted F first.
pub type SessionKeys = heapless::Vec<VouchedKey, { budget::SESSION_KEYS }>;

/// F and B's signature over `wire::key_statement(F)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VouchedKey(pub Bytes32, pub serde_bytes::ByteArray<64>);

/// PCR values for each bank that the *signed* selection names, in its order; in a bank ascending by PCR. Which value
/// is whose only the signed selection says.
pub type PcrPart<'a> = heapless::Vec<&'a Bytes, 4>;

/// Number of the first entry sent, and the binary list from there on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImaPart<'a>(pub u64, #[serde(borrow)] pub &'a Bytes);

/// Entry 0 as extended, and the commits since ([`crate::ledger::Commit`], 48 bytes each).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPart<'a>(#[serde(borrow)] pub &'a Bytes, #[serde(borrow)] pub &'a Bytes);

crate::int_map! {
    /// EAT claims of the node (RFC 9711), covered by extraData through their SHA-256. Texts from SMBIOS are what the
    /// firmware says and nobody checked.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NodeClaims<'a> {
        /// location: where the node's configuration says that it is. Its own word: it raises no answer.
        264 => untrusted_location: Option<Location>,
        /// eat_profile (265): [`PROFILE`].
        265 => profile: &'a str,
        /// PCR of the ledger.
        -75001 => ledger_pcr: u64,
        /// Version of garantd, as it says.
        -75002 => untrusted_version: &'a str,
        /// SMBIOS system manufacturer.
        -75003 => untrusted_manufacturer: Option<&'a str>,
        /// SMBIOS product name.
        -75004 => untrusted_product: Option<&'a str>,
        /// SMBIOS system serial number.
        -75005 => untrusted_serial: Option<&'a str>,
        /// SMBIOS chassis serial number.
        -75006 => untrusted_chassis_serial: Option<&'a str>,
        /// What the node cannot tell and why, in words, such as an unreadable log.
        -75007 => untrusted_missing: Option<&'a str>,
    }
}

crate::int_map! {
    /// location (RFC 9711 §4.2.10), as far as a configuration has it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Location {
        /// latitude, WGS 84.
        1 => latitude: Degrees,
        /// longitude, WGS 84.
        2 => longitude: Degrees,
        /// accuracy, metres.
        4 => accuracy_m: Option<u64>,
    }
}

/// Degrees, a floating-point number in EAT: only those that are whole millionths, from -180 to 180.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Degrees(i32);

impl Degrees {
    /// From millionths of a degree.
    pub fn from_millionths(millionths: i32) -> Option<Degrees> {
        (-180_000_000..=180_000_000).contains(&millionths).then_some(Degrees(millionths))
    }
}

impl fmt::Display for Degrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", f64::from(self.0) / MILLION)
    }
}

impl Serialize for Degrees {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / MILLION)
    }
}

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Degrees, D::Error> {
        let degrees = f64::deserialize(deserializer)?;
        Degrees::from_millionths(num::nearest_i32(degrees * MILLION)).ok_or_else(|| D::Error::custom("no degrees"))
    }
}

impl MapField for Degrees {
    fn is_present(&self) -> bool {
        true
    }
    fn or_absent(read: Option<Self>) -> Option<Self> {
        read
    }
}

const MILLION: f64 = 1e6;

/// Encodes a part's value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CborError> {
    cbor::encode(value)
}

/// Profile of the collection and of the claims.
pub const PROFILE: &str = "tag:garant.eu,2026:evidence#1";
/// Media type of a TPMT_PUBLIC.
pub const AK_TYPE: &str = "application/vnd.garant.tpmt-public";
/// Media type of [`NodeClaims`] (RFC 9782).
pub const EAT_TYPE: &str = "application/eat-ucs+cbor";
/// Media type of an [`ImaPart`].
pub const IMA_TYPE: &str = "application/vnd.garant.ima+cbor";
/// Media type of [`SessionKeys`].
pub const KEY_TYPE: &str = "application/vnd.garant.session-keys+cbor";
/// Media type of a TCG event log.
pub const LOG_TYPE: &str = "application/vnd.garant.tcg-event-log";
/// Media type of a [`PcrPart`].
pub const PCRS_TYPE: &str = "application/vnd.garant.pcrs+cbor";
/// Media type of a [`QuotePart`].
pub const QUOTE_TYPE: &str = "application/vnd.garant.quote+cbor";
/// Media type of a [`LedgerPart`].
pub const LEDGER_TYPE: &str = "application/vnd.garant.ledger+cbor";
/// Media type of a part that the asker holds.
const HELD_TYPE: &str = "application/vnd.garant.sha-256";
/// CMW indicator: evidence (RFC 9999 §3.1, bit 2).
const EVIDENCE: u8 = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn collection<'a>(log: Option<Record<'a>>, profile: &'a str) -> Vec<u8> {
        let any = Record::whole(AK_TYPE, b"x");
        let (ak, eat, key, pcrs, quote, ledger) = (any, any, any, any, any, any);
        encode(&Evidence { ak, eat, ima: None, key, log, pcrs, quote, ledger, profile }).unwrap()
    }

    #[test]
    fn a_location_is_a_map_of_floats_as_eat_has_it_and_of_no_others() {
        let at = |latitude, longitude| Location {
            latitude: Degrees::from_millionths(latitude).unwrap(),
            longitude: Degrees::from_millionths(longitude).unwrap(),
            accuracy_m: None,
        };
        let bytes = encode(&at(50_110_900, -8_500_000)).unwrap();
        // RFC 8949 4.2.1: 50.1109 needs 64 bits, -8.5 is as good in 16.
        assert_eq!(bytes, [&[0xa2, 1, 0xfb][..], &50.1109f64.to_be_bytes(), &[2, 0xf9, 0xc8, 0x40]].concat());
        assert_eq!(cbor::decode::<Location>(&bytes, 100), Ok(at(50_110_900, -8_500_000)));
        assert_eq!(alloc::format!("{}", at(50_110_900, 0).latitude), "50.110900");
        for wrong in [f64::NAN, f64::INFINITY, 181.0, 50.110_900_04] {
            let bytes = [&[0xa2, 1, 0xfb][..], &wrong.to_be_bytes(), &[2, 0xf9, 0xc8, 0x40]].concat();
            assert!(cbor::decode::<Location>(&bytes, 100).is_err(), "{wrong}");
        }
        assert_eq!(Degrees::from_millionths(180_000_001), None);
    }

    #[test]
    fn the_collection_is_deterministic_and_absent_parts_stay_absent() {
        let bytes = collection(Some(Record::whole(LOG_TYPE, b"log")), PROFILE);
        let read = Evidence::decode(&bytes).unwrap();
        assert_eq!(read.log.unwrap().bytes(LOG_TYPE, 3).unwrap(), b"log");
        assert_eq!(read.ima, None);
        assert!(Evidence::decode(&collection(None, PROFILE)).unwrap().log.is_none());
    }

    #[test]
    fn another_profile_is_refused() {
        assert!(Evidence::decode(&collection(None, "tag:garant.eu,2026:evidence#2")).is_err());
    }

    #[test]
    fn a_part_of_another_type_size_or_indicator_is_refused() {
        let log = Record::whole(LOG_TYPE, b"four");
        assert!(log.bytes(LOG_TYPE, 3).is_err());
        assert!(log.bytes(AK_TYPE, 4).is_err());
        let endorsement = Record(LOG_TYPE, Bytes::new(b"four"), 2);
        assert!(endorsement.bytes(LOG_TYPE, 4).is_err());
    }

    #[test]
    fn a_held_part_is_a_digest_and_never_the_part() {
        let held = Record::held(&[9; 32]);
        assert_eq!(held.part(LOG_TYPE, 64).unwrap(), Part::Held([9; 32]));
        assert!(held.bytes(LOG_TYPE, 64).is_err());
        let short = Record(HELD_TYPE, Bytes::new(b"short"), EVIDENCE);
        assert!(short.part(LOG_TYPE, 64).is_err());
    }
}
