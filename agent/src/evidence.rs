//! Evidence: built once for each quote and shared by everybody who waited for it. Left out: who asks, and how a
//! challenge is tied to the quote (`batch`, `quoting`).

use crate::{sources::Ima, tpm_chip::QuoteWithValues};
use bytes::Bytes as Shared;
use garant_attest::{
    cbor::{self, Bytes, Bytes32, CborError},
    engine::sha256,
    evidence::{
        AK_TYPE, EAT_TYPE, Evidence, IMA_TYPE, ImaPart, KEY_TYPE, LEDGER_TYPE, LOG_TYPE, LedgerPart, NodeClaims,
        PCRS_TYPE, PROFILE, PcrPart, QUOTE_TYPE, QuotePart, Record, SessionKeys,
    },
    merkle::Node,
    wire::{Answer, Kind, Tie},
};
use garant_channel::engine::FastEngine;
use std::sync::{Mutex, PoisonError};

/// The parts that stay the same while the server runs.
pub struct Fixed {
    ak: Vec<u8>,
    claims: Vec<u8>,
    claims_digest: [u8; 32],
    entry_zero: Vec<u8>,
    log: Option<(Vec<u8>, [u8; 32])>,
}

impl Fixed {
    /// From the AK's TPMT_PUBLIC, the node's claims, entry 0 and the boot log as the firmware left it.
    pub fn new(
        ak: &[u8],
        claims: &NodeClaims<'_>,
        entry_zero: &[u8],
        log: Option<Vec<u8>>,
    ) -> Result<Fixed, CborError> {
        let claims = cbor::encode(claims)?;
        Ok(Fixed {
            ak: ak.to_vec(),
            claims_digest: digest(&claims),
            claims,
            entry_zero: entry_zero.to_vec(),
            log: log.map(|log| (digest(&log), log)).map(|(digest, log)| (log, digest)),
        })
    }

    /// What the quote's extraData covers of the claims.
    pub fn claims_digest(&self) -> &[u8; 32] {
        &self.claims_digest
    }

    /// Whether the asker holds the boot log.
    pub fn is_log_held(&self, held: &[Bytes32]) -> bool {
        self.log.as_ref().is_some_and(|(_, digest)| held.iter().any(|part| **part == *digest))
    }
}

/// What one asker wants of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The boot log comes as its digest.
    pub is_log_held: bool,
    /// First IMA entry wanted, from 0.
    pub ima_from: u64,
}

/// The evidence of one quote, encoded once for each different wish.
pub struct Collection {
    quote: Vec<u8>,
    quote_digest: [u8; 32],
    keys: Vec<u8>,
    pcrs: Vec<u8>,
    /// The commits that the quoted PCR holds.
    commits: Vec<u8>,
    /// Bytes of the IMA list that was there after the quote.
    ima_bytes: usize,
    encoded: Mutex<Vec<(Wish, Shared)>>,
}

impl Collection {
    /// From a quote over this root, with the keys that were listed and the commits that were extended when it began.
    pub fn new(
        quote: &QuoteWithValues,
        root: &Node,
        keys: &SessionKeys,
        commits: Vec<u8>,
        ima_bytes: usize,
    ) -> Result<Collection, CborError> {
        let part = QuotePart(Bytes::new(&quote.attest), Bytes::new(&quote.signature), Bytes32::new(*root));
        let pcrs: PcrPart<'_> = quote.values.iter().map(|bank| Bytes::new(bank)).collect();
        Ok(Collection {
            quote: cbor::encode(&part)?,
            quote_digest: sha256(&FastEngine, &[&quote.attest, &quote.signature]),
            keys: cbor::encode(keys)?,
            pcrs: cbor::encode(&pcrs)?,
            commits,
            ima_bytes,
            encoded: Mutex::new(Vec::new()),
        })
    }

    /// SHA-256(TPMS_ATTEST ‖ TPMT_SIGNATURE).
    pub fn quote_digest(&self) -> [u8; 32] {
        self.quote_digest
    }

    /// The collection's bytes for this wish, encoded once for all who have it. Who comes with one wish too many gets the
    /// IMA list from its start: else every stranger could have a copy of megabytes made for himself alone.
    pub fn bytes(&self, fixed: &Fixed, ima: Option<&Mutex<Ima>>, wish: Wish) -> Result<Shared, CborError> {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = Wish { ima_from: 0, ..wish };
        let wishes = if encoded.len() < WISHES_KEPT && ima.is_some() { [wish, wish] } else { [wish, whole] };
        if let Some((_, bytes)) = wishes.iter().find_map(|wish| encoded.iter().find(|(known, _)| known == wish)) {
            return Ok(bytes.clone());
        }
        let [_, granted] = wishes;
        let bytes = Shared::from(self.encode(fixed, ima, granted)?);
        encoded.push((granted, bytes.clone()));
        Ok(bytes)
    }

    fn encode(&self, fixed: &Fixed, ima: Option<&Mutex<Ima>>, wish: Wish) -> Result<Vec<u8>, CborError> {
        let ima = ima.map(|ima| {
            let ima = ima.lock().unwrap_or_else(PoisonError::into_inner);
            let (first, entries) = ima.from_entry(wish.ima_from, self.ima_bytes);
            cbor::encode(&ImaPart(first, Bytes::new(entries)))
        });
        let ima = ima.transpose()?;
        let ledger = cbor::encode(&LedgerPart(Bytes::new(&fixed.entry_zero), Bytes::new(&self.commits)))?;
        let log = fixed
            .log
            .as_ref()
            .map(|(log, digest)| if wish.is_log_held { Record::held(digest) } else { Record::whole(LOG_TYPE, log) });
        cbor::encode(&Evidence {
            ak: Record::whole(AK_TYPE, &fixed.ak),
            eat: Record::whole(EAT_TYPE, &fixed.claims),
            ima: ima.as_ref().map(|ima| Record::whole(IMA_TYPE, ima)),
            key: Record::whole(KEY_TYPE, &self.keys),
            log,
            pcrs: Record::whole(PCRS_TYPE, &self.pcrs),
            quote: Record::whole(QUOTE_TYPE, &self.quote),
            ledger: Record::whole(LEDGER_TYPE, &ledger),
            profile: PROFILE,
        })
    }
}

/// An answer's bytes before the evidence, which is its last element and shared.
pub fn answer_head(kind: Kind, tie: Tie, evidence_bytes: usize) -> Result<Vec<u8>, CborError> {
    let mut head = cbor::encode(&Answer::new(kind, tie, &[]))?;
    // The empty byte string at the end gives way to the head of one of that length (RFC 8949 §3, §4.2.1).
    head.pop();
    let length = u32::try_from(evidence_bytes).map_err(|_| CborError::Unencodable)?;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..24), _) => head.push(BYTE_STRING | short),
        (Ok(byte), _) => head.extend([BYTE_STRING | 24, byte]),
        (_, Ok(word)) => {
            head.push(BYTE_STRING | 25);
            head.extend(word.to_be_bytes());
        }
        _ => {
            head.push(BYTE_STRING | 26);
            head.extend(length.to_be_bytes());
        }
    }
    Ok(head)
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    sha256(&FastEngine, &[bytes])
}

/// Major type 2 (RFC 8949 §3.1).
const BYTE_STRING: u8 = 2 << 5;
/// Different wishes of one quote that are granted: with and without the log, and a few starts in the IMA list.
const WISHES_KEPT: usize = 8;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_s_head_and_the_shared_evidence_are_the_answer() {
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 70_000] {
            let evidence = vec![7; length];
            let tie = || Tie::Fresh(3, 9, std::iter::repeat_n(Bytes32::new([5; 32]), 4).collect());
            let whole = cbor::encode(&Answer::new(Kind::TlsServer, tie(), &evidence)).unwrap();
            let head = answer_head(Kind::TlsServer, tie(), length).unwrap();
            assert!([head, evidence].concat() == whole, "{length} bytes");
        }
    }

    fn collection() -> (Fixed, Collection) {
        let claims = NodeClaims {
            untrusted_location: None,
            profile: PROFILE,
            ledger_pcr: 15,
            untrusted_version: "",
            untrusted_manufacturer: None,
            untrusted_product: None,
            untrusted_serial: None,
            untrusted_chassis_serial: None,
            untrusted_missing: None,
        };
        let fixed = Fixed::new(&[1], &claims, b"entry 0", Some(vec![2; 1000])).unwrap();
        let quote = QuoteWithValues { attest: vec![3], signature: vec![4], values: std::sync::Arc::default() };
        (fixed, Collection::new(&quote, &[5; 32], &SessionKeys::new(), Vec::new(), 100 * IMA_ENTRY_BYTES).unwrap())
    }

    /// How many different copies of the evidence a thousand askers get, each with a wish of its own.
    fn copies(ima: Option<&Mutex<Ima>>) -> usize {
        let (fixed, collection) = collection();
        let wishes = (0..1000).map(|number| Wish { is_log_held: number % 2 == 0, ima_from: number / 2 });
        let given: Vec<Shared> = wishes.map(|wish| collection.bytes(&fixed, ima, wish).unwrap()).collect();
        given.iter().map(|bytes| bytes.as_ptr()).collect::<std::collections::HashSet<_>>().len()
    }

    #[test]
    fn a_thousand_wishes_do_not_make_a_thousand_copies() {
        let folder = tempfile::tempdir().unwrap();
        let ima_list = folder.path().join("list");
        let entry = [&10u32.to_le_bytes()[..], &[1; 20], &6u32.to_le_bytes(), b"ima-ng", &4u32.to_le_bytes(), b"data"];
        assert_eq!(entry.concat().len(), IMA_ENTRY_BYTES);
        std::fs::write(&ima_list, entry.concat().repeat(100)).unwrap();
        let configuration = crate::config::Configuration { ima_list, ..Default::default() };
        let mut ima = crate::sources::Sources::open(&configuration).ima.unwrap();
        assert_eq!(ima.refresh(), 100 * IMA_ENTRY_BYTES);
        assert!(copies(Some(&Mutex::new(ima))) <= WISHES_KEPT + 2);
        assert_eq!(copies(None), 2, "without an IMA list, the log alone can be wished away");
    }

    const IMA_ENTRY_BYTES: usize = 4 + 20 + 4 + 6 + 4 + 4;
}
