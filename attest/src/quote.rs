//! One TPM2_Quote: from bytes to a signed statement about PCRs (TPM 2.0 Part 2, 10.12; Part 3, 18.4).
//!
//! Steps in the order of the design: signature, magic and type, exact length, then extraData, selection and pcrDigest.
//! What the PCR values mean is left to the replay and the policy.

use crate::{
    budget,
    engine::{Digest, Engine, PublicKey, SignatureScheme},
};
use core::fmt;
use garant_hw::hash::Hash;
use tpm2_rs::{
    TpmUnmarshal,
    data::{TpmlPcrSelection, TpmsAttest, TpmuAttest},
};

/// PCRs of a server's TPM (TCG PC Client PTP 1.06, 4.6).
pub const PCRS: usize = 24;

/// Why a quote proves nothing about a machine; the node, or whoever carried the bytes, is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteError {
    /// More bytes than a TPM can sign.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// The key did not sign these bytes by its own scheme.
    Signature,
    /// Does not start with TPM_GENERATED: made outside of a TPM.
    Magic,
    /// Signed by the TPM, but no quote.
    Type {
        /// The TPM_ST found.
        found: u16,
    },
    /// Ends early, has trailing bytes, or a field of impossible length.
    Length,
    /// The qualifying data is not what was asked for.
    ExtraData,
    /// No PCR is selected at all.
    SelectionEmpty,
    /// A bank stands twice, is no bank that can be replayed, or has PCRs beyond 23.
    Selection {
        /// The TPM_ALG_ID of the bank.
        bank: u16,
    },
    /// The PCR values sent are too few, too many or of another length than the signed selection asks for.
    Values,
    /// The PCR values sent do not hash to the signed pcrDigest.
    PcrDigest,
}

impl QuoteError {
    /// The check's name, as it is printed.
    pub fn check(&self) -> &'static str {
        match self {
            QuoteError::TooLong { .. } => "limits",
            QuoteError::Signature => "signature",
            QuoteError::Magic => "magic",
            QuoteError::Type { .. } => "type",
            QuoteError::Length => "length",
            QuoteError::ExtraData => "extraData",
            QuoteError::SelectionEmpty | QuoteError::Selection { .. } => "selection",
            QuoteError::Values | QuoteError::PcrDigest => "pcrDigest",
        }
    }
}

impl fmt::Display for QuoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuoteError::TooLong { found_bytes } => {
                write!(f, "{found_bytes} bytes of TPMS_ATTEST, at most {} are accepted", budget::ATTEST_BYTES)
            }
            QuoteError::Signature => f.write_str("the attestation key did not sign this quote"),
            QuoteError::Magic => f.write_str("TPMS_ATTEST without TPM_GENERATED: not made by a TPM"),
            QuoteError::Type { found } => write!(f, "a TPM's attestation of type {found:#06x}, which is no quote"),
            QuoteError::Length => f.write_str("TPMS_ATTEST does not end where its fields end"),
            QuoteError::ExtraData => f.write_str("extraData is not the one of this challenge"),
            QuoteError::SelectionEmpty => f.write_str("the quote selects no PCR, so it says nothing"),
            QuoteError::Selection { bank } => {
                write!(f, "bank {bank:#06x} is selected twice, cannot be replayed, or has PCRs beyond 23")
            }
            QuoteError::Values => f.write_str("the PCR values sent are not those of the signed selection"),
            QuoteError::PcrDigest => f.write_str("the PCR values sent do not hash to the signed pcrDigest"),
        }
    }
}

impl core::error::Error for QuoteError {}

/// A quote that the given key signed. Holding one proves: a TPM (or whoever has the key) signed a statement of type
/// quote, and these are all its bytes. It proves nothing about the key.
#[derive(Debug, Clone)]
pub struct SignedQuote {
    attest: TpmsAttest,
    pcr_digest: Digest,
    selection: Selection,
}

/// Clock and counters of a quote (TPM 2.0 Part 2, 10.11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds that the TPM was powered.
    pub clock_ms: u64,
    /// TPM Resets.
    pub reset_count: u32,
    /// TPM Restarts and Resumes since the last reset.
    pub restart_count: u32,
    /// Whether `clock_ms` is known not to repeat.
    pub safe: bool,
}

/// Checks signature, magic, type, length and the form of the selection, in this order. `scheme` is the scheme of the
/// key itself; `signature` is by that scheme, fixed width.
pub fn check(
    engine: &dyn Engine,
    key: &PublicKey,
    scheme: SignatureScheme,
    attest: &[u8],
    signature: &[u8],
) -> Result<SignedQuote, QuoteError> {
    if attest.len() > budget::ATTEST_BYTES {
        return Err(QuoteError::TooLong { found_bytes: attest.len() });
    }
    engine.verify_signature(key, scheme, attest, signature).map_err(|_| QuoteError::Signature)?;
    if !attest.starts_with(&TPM_GENERATED) {
        return Err(QuoteError::Magic);
    }
    let found = type_code(attest);
    if found != ATTEST_QUOTE {
        return Err(QuoteError::Type { found });
    }
    let (parsed, rest) = TpmsAttest::unmarshal(attest).map_err(|_| QuoteError::Length)?;
    let TpmuAttest::Quote(quoted) = &parsed.attested else {
        return Err(QuoteError::Type { found });
    };
    if !rest.is_empty() {
        return Err(QuoteError::Length);
    }
    let selection = Selection::new(&quoted.pcr_select)?;
    let hash = scheme_hash(scheme).ok_or(QuoteError::Signature)?;
    let pcr_digest = Digest::new(hash, &quoted.pcr_digest).ok_or(QuoteError::PcrDigest)?;
    Ok(SignedQuote { attest: parsed, pcr_digest, selection })
}

impl SignedQuote {
    /// Qualifying data, whole.
    pub fn extra_data(&self) -> &[u8] {
        &self.attest.extra_data
    }

    /// The qualified Name of the signing key.
    pub fn qualified_signer(&self) -> &[u8] {
        &self.attest.qualified_signer
    }

    /// Clock and counters. They mean something only where the key lives in the endorsement hierarchy.
    pub fn clock_info(&self) -> ClockInfo {
        let info = &self.attest.clock_info;
        ClockInfo {
            clock_ms: info.clock.value(),
            reset_count: info.reset_count.value(),
            restart_count: info.restart_count.value(),
            safe: bool::from(info.safe),
        }
    }

    /// The TPM's firmware version, as its maker writes it.
    pub fn firmware_version(&self) -> u64 {
        self.attest.firmware_version.value()
    }

    /// Which PCRs of which banks the TPM signed.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Whether the qualifying data is exactly `expected`.
    pub fn expect_extra_data(&self, expected: &[u8]) -> Result<(), QuoteError> {
        if self.extra_data() == expected { Ok(()) } else { Err(QuoteError::ExtraData) }
    }

    /// The PCR values, where they hash to the signed pcrDigest. `values` holds one slice for each selected bank in the
    /// signed order, in it the PCRs ascending; which value is whose comes from the signed selection alone.
    pub fn pcrs<'a>(&self, engine: &dyn Engine, values: &[&'a [u8]]) -> Result<QuotedPcrs<'a>, QuoteError> {
        if values.len() != self.selection.banks.len() {
            return Err(QuoteError::Values);
        }
        let mut quoted = QuotedPcrs { banks: heapless::Vec::new(), unallocated: self.selection.unallocated.clone() };
        for (bank, bytes) in self.selection.banks.iter().zip(values) {
            if bytes.len() != bank.count().saturating_mul(bank.hash.size_bytes()) {
                return Err(QuoteError::Values);
            }
            quoted.banks.push(QuotedBank { bank: *bank, bytes }).map_err(|_| QuoteError::Values)?;
        }
        if engine.digest(self.pcr_digest.hash(), values) != self.pcr_digest {
            return Err(QuoteError::PcrDigest);
        }
        Ok(quoted)
    }
}

/// The signed selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    banks: heapless::Vec<SelectedBank, 4>,
    unallocated: heapless::Vec<Hash, 4>,
}

/// PCRs selected in one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectedBank {
    /// The bank.
    pub hash: Hash,
    /// Bit n is PCR n.
    pub mask: u32,
}

impl SelectedBank {
    fn count(&self) -> usize {
        usize::try_from(self.mask.count_ones()).unwrap_or(0)
    }
}

impl Selection {
    fn new(list: &TpmlPcrSelection) -> Result<Selection, QuoteError> {
        let mut selection = Selection { banks: heapless::Vec::new(), unallocated: heapless::Vec::new() };
        for entry in list.iter() {
            let bank = entry.hash.value();
            let fault = QuoteError::Selection { bank };
            let mask = mask(&entry.pcr_select).ok_or(fault)?;
            match Hash::from_algorithm_id(bank) {
                Some(hash) if selection.lists(hash) => return Err(fault),
                Some(hash) if mask == 0 => selection.unallocated.push(hash).map_err(|_| fault)?,
                Some(hash) => selection.banks.push(SelectedBank { hash, mask }).map_err(|_| fault)?,
                None if mask == 0 => {}
                None => return Err(fault),
            }
        }
        if selection.banks.is_empty() { Err(QuoteError::SelectionEmpty) } else { Ok(selection) }
    }

    /// Banks with at least one PCR, in the signed order.
    pub fn banks(&self) -> &[SelectedBank] {
        &self.banks
    }

    /// Whether the bank is named, allocated or not.
    pub fn lists(&self, hash: Hash) -> bool {
        self.unallocated.contains(&hash) || self.banks.iter().any(|bank| bank.hash == hash)
    }

    /// Whether all four banks are named, and PCR 0–23 of each that is allocated: only then nothing is left out.
    pub fn is_whole(&self) -> bool {
        Hash::ALL.into_iter().all(|hash| self.lists(hash)) && self.banks.iter().all(|bank| bank.mask == ALL_PCRS)
    }
}

/// PCR values that hash to a signed pcrDigest, labelled by the signed selection.
#[derive(Debug, Clone)]
pub struct QuotedPcrs<'a> {
    banks: heapless::Vec<QuotedBank<'a>, 4>,
    unallocated: heapless::Vec<Hash, 4>,
}

/// Values of one bank.
#[derive(Debug, Clone, Copy)]
pub struct QuotedBank<'a> {
    bank: SelectedBank,
    bytes: &'a [u8],
}

impl<'a> QuotedPcrs<'a> {
    /// The banks, in the signed order.
    pub fn banks(&self) -> &[QuotedBank<'a>] {
        &self.banks
    }

    /// The values of one bank.
    pub fn bank(&self, hash: Hash) -> Option<&QuotedBank<'a>> {
        self.banks.iter().find(|bank| bank.bank.hash == hash)
    }

    /// Banks that the TPM says, in the signed selection, are not allocated.
    pub fn unallocated(&self) -> &[Hash] {
        &self.unallocated
    }
}

impl<'a> QuotedBank<'a> {
    /// The bank.
    pub fn hash(&self) -> Hash {
        self.bank.hash
    }

    /// Bit n is PCR n.
    pub fn mask(&self) -> u32 {
        self.bank.mask
    }

    /// The value of a PCR; `None` where it is not selected.
    pub fn pcr(&self, pcr: usize) -> Option<&'a [u8]> {
        let bit = 1u32.checked_shl(u32::try_from(pcr).ok()?)?;
        if self.bank.mask & bit == 0 {
            return None;
        }
        let below = self.bank.mask & bit.checked_sub(1)?;
        let size = self.bank.hash.size_bytes();
        let start = usize::try_from(below.count_ones()).ok()?.checked_mul(size)?;
        self.bytes.get(start..start.checked_add(size)?)
    }
}

/// The PCRs of a TPMS_PCR_SELECT; `None` with one beyond PCR 23.
fn mask(select: &[u8]) -> Option<u32> {
    let mut mask = 0u32;
    for (i, byte) in select.iter().enumerate() {
        let shift = u32::try_from(i).ok()?.checked_mul(8)?;
        mask |= u32::from(*byte).checked_shl(shift).filter(|_| shift < 24 || *byte == 0)?;
    }
    Some(mask)
}

/// The hash of a scheme, which is also pcrDigest's (TPM 2.0 Part 3, 18.4.1).
fn scheme_hash(scheme: SignatureScheme) -> Option<Hash> {
    match scheme {
        SignatureScheme::Ecdsa(hash) | SignatureScheme::RsaPkcs1(hash) | SignatureScheme::RsaPss(hash) => Some(hash),
        SignatureScheme::Ed25519 | SignatureScheme::RsaPkcs1Sha1OfNamedAuthority => None,
    }
}

/// The TPM_ST after the magic.
fn type_code(attest: &[u8]) -> u16 {
    attest.get(4..).and_then(|rest| rest.first_chunk()).map_or(0, |code| u16::from_be_bytes(*code))
}

const TPM_GENERATED: [u8; 4] = [0xff, 0x54, 0x43, 0x47]; // TPM 2.0 Part 2, 6.2
const ATTEST_QUOTE: u16 = 0x8018; // TPM_ST_ATTEST_QUOTE, TPM 2.0 Part 2, 6.9
/// PCR 0–23.
const ALL_PCRS: u32 = 0x00ff_ffff;
