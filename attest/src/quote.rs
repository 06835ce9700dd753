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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]
mod tests {
    use super::*;
    use crate::rust_engine::RustEngine;
    use alloc::{vec, vec::Vec};
    use p256::ecdsa::{Signature, SigningKey, signature::Signer};

    const SCHEME: SignatureScheme = SignatureScheme::Ecdsa(Hash::Sha256);

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    fn public() -> PublicKey {
        PublicKey::P256(key().verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap())
    }

    fn signed(attest: &[u8]) -> Vec<u8> {
        let signature: Signature = key().sign(attest);
        signature.to_bytes().to_vec()
    }

    /// TPMS_ATTEST with these selections (bank, PCR bytes) and this pcrDigest.
    fn attest(selections: &[(u16, &[u8])], pcr_digest: &[u8]) -> Vec<u8> {
        let mut b = vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 4, 0, 0x0b, 1, 2, 0, 2, b'n', b'c'];
        b.extend([0u8, 0, 0, 0, 0, 0, 0, 9]);
        b.extend([0u8, 0, 0, 5, 0, 0, 0, 0, 1]);
        b.extend([0u8; 8]);
        b.extend((selections.len() as u32).to_be_bytes());
        for (bank, pcrs) in selections {
            b.extend(bank.to_be_bytes());
            b.push(pcrs.len() as u8);
            b.extend(*pcrs);
        }
        b.extend((pcr_digest.len() as u16).to_be_bytes());
        b.extend(pcr_digest);
        b
    }

    fn sha256(parts: &[&[u8]]) -> Vec<u8> {
        RustEngine.digest(Hash::Sha256, parts).as_bytes().to_vec()
    }

    fn checked(attest: &[u8]) -> Result<SignedQuote, QuoteError> {
        check(&RustEngine, &public(), SCHEME, attest, &signed(attest))
    }

    #[test]
    fn a_sound_quote_gives_its_fields_and_labels_values_by_the_signed_selection() {
        let (seven, nine) = ([7u8; 32], [9u8; 32]);
        let bytes = attest(&[(4, &[0, 0, 0]), (0xb, &[0x80, 0x02, 0])], &sha256(&[&seven, &nine]));
        let quote = checked(&bytes).unwrap();
        assert_eq!(quote.expect_extra_data(b"nc"), Ok(()));
        assert_eq!(quote.clock_info(), ClockInfo { clock_ms: 9, reset_count: 5, restart_count: 0, safe: true });
        let values = [seven, nine].concat();
        let pcrs = quote.pcrs(&RustEngine, &[&values]).unwrap();
        assert_eq!(pcrs.unallocated(), [Hash::Sha1]);
        let bank = pcrs.bank(Hash::Sha256).unwrap();
        assert_eq!((bank.pcr(7), bank.pcr(9)), (Some(&seven[..]), Some(&nine[..])));
        assert_eq!((bank.pcr(0), bank.pcr(8), bank.pcr(24), bank.pcr(40)), (None, None, None, None));
    }

    #[test]
    fn values_relabelled_left_out_added_or_changed_are_refused() {
        let (a, b) = ([1u8; 32], [2u8; 32]);
        let quote = checked(&attest(&[(0xb, &[3, 0, 0])], &sha256(&[&a, &b]))).unwrap();
        let pcrs = |values: &[&[u8]]| quote.pcrs(&RustEngine, values).map(|_| ());
        assert_eq!(pcrs(&[&[a, b].concat()]), Ok(()));
        assert_eq!(pcrs(&[&[b, a].concat()]), Err(QuoteError::PcrDigest));
        assert_eq!(pcrs(&[&a]), Err(QuoteError::Values));
        assert_eq!(pcrs(&[&[a, b, a].concat()]), Err(QuoteError::Values));
        assert_eq!(pcrs(&[&a, &b]), Err(QuoteError::Values));
        assert_eq!(pcrs(&[]), Err(QuoteError::Values));
    }

    #[test]
    fn a_quote_over_an_empty_selection_is_refused() {
        let empty = sha256(&[]);
        assert_eq!(checked(&attest(&[], &empty)).unwrap_err(), QuoteError::SelectionEmpty);
        assert_eq!(checked(&attest(&[(0xb, &[0, 0, 0])], &empty)).unwrap_err(), QuoteError::SelectionEmpty);
    }

    #[test]
    fn a_bank_twice_a_bank_that_cannot_be_replayed_and_pcr_24_are_refused() {
        let any = [0u8; 32];
        let refused = |list: &[(u16, &[u8])], bank| {
            assert_eq!(checked(&attest(list, &any)).unwrap_err(), QuoteError::Selection { bank });
        };
        refused(&[(0xb, &[1]), (0xb, &[2])], 0xb);
        refused(&[(0xb, &[0]), (0xb, &[2])], 0xb);
        refused(&[(0xb, &[1]), (0x12, &[1])], 0x12);
        refused(&[(0xb, &[0, 0, 0, 1])], 0xb);
        assert!(checked(&attest(&[(0xb, &[1]), (0x12, &[0])], &any)).is_ok());
    }

    #[test]
    fn bytes_made_outside_of_a_tpm_are_refused_although_the_key_signed_them() {
        let mut bytes = attest(&[(0xb, &[1])], &[0; 32]);
        bytes[0] = 0xfe;
        assert_eq!(checked(&bytes).unwrap_err(), QuoteError::Magic);
    }

    #[test]
    fn an_attestation_that_is_no_quote_is_refused() {
        let mut bytes = attest(&[(0xb, &[1])], &[0; 32]);
        for found in [0x8014u16, 0x8016, 0x8017, 0x8019, 0x801a, 0x0000] {
            bytes[4..6].copy_from_slice(&found.to_be_bytes());
            assert_eq!(checked(&bytes).unwrap_err(), QuoteError::Type { found });
        }
    }

    #[test]
    fn a_trailing_byte_and_every_prefix_are_refused_although_signed() {
        let bytes = attest(&[(0xb, &[1])], &[0; 32]);
        assert!(checked(&bytes).is_ok());
        for cut in 6..bytes.len() {
            assert_eq!(checked(&bytes[..cut]).unwrap_err(), QuoteError::Length, "cut at {cut}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(checked(&longer).unwrap_err(), QuoteError::Length);
    }

    #[test]
    fn each_flipped_bit_of_quote_or_signature_is_refused() {
        let bytes = attest(&[(0xb, &[1])], &[0; 32]);
        let signature = signed(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let refused = check(&RustEngine, &public(), SCHEME, &other, &signature).unwrap_err();
            assert_eq!(refused, QuoteError::Signature, "bit {bit} of the quote");
        }
        for bit in 0..signature.len() * 8 {
            let mut other = signature.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&RustEngine, &public(), SCHEME, &bytes, &other).is_err(), "bit {bit} of the signature");
        }
    }

    #[test]
    fn extra_data_is_compared_whole() {
        let quote = checked(&attest(&[(0xb, &[1])], &[0; 32])).unwrap();
        for other in [&b""[..], b"n", b"nc\0", b"nC"] {
            assert_eq!(quote.expect_extra_data(other), Err(QuoteError::ExtraData));
        }
    }

    #[test]
    fn only_all_four_banks_with_all_pcrs_are_whole() {
        let all: &[u8] = &[0xff, 0xff, 0xff];
        let none: &[u8] = &[0, 0, 0];
        let is_whole = |list: &[(u16, &[u8])]| checked(&attest(list, &[0; 32])).unwrap().selection().is_whole();
        assert!(is_whole(&[(4, none), (0xb, all), (0xc, none), (0xd, none)]));
        assert!(!is_whole(&[(4, none), (0xb, all), (0xc, none)]));
        assert!(!is_whole(&[(4, none), (0xb, &[0xff, 0xff, 0x7f]), (0xc, none), (0xd, none)]));
        assert!(!is_whole(&[(0xb, all)]));
    }
}
