//! PCR banks: which are allocated, reading and extending.

use super::{Command, Tpm, TpmError, Transport, password, wrong_capability};
use crate::hash::Hash;
use tpm2_rs::{
    basic::{TpmBuffer, TpmHandle},
    data::{
        Tpm2bDigest, TpmAlgId, TpmCap, TpmlDigestValues, TpmlPcrSelection, TpmsPcrSelect, TpmsPcrSelection, TpmtHa,
        TpmuCapabilities, TpmuHa,
    },
    frame::{TpmHeader, TpmPcrExtendCommand, TpmPcrExtendResponse, TpmPcrReadCommand, TpmPcrReadResponse},
};

/// A set of PCR 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PcrMask(u32);

impl PcrMask {
    /// PCR 0 to 23, all that a PC client TPM has (PC Client Platform TPM Profile 1.05, 4.6).
    pub const ALL: PcrMask = PcrMask(0x00ff_ffff);
    /// None of them.
    pub const NONE: PcrMask = PcrMask(0);

    /// Bit n stands for PCR n; bits above 23 are dropped.
    pub const fn from_bits(bits: u32) -> PcrMask {
        PcrMask(bits & PcrMask::ALL.0)
    }

    /// Bit n stands for PCR n.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the PCR is in the set.
    pub fn contains(self, pcr: u8) -> bool {
        self.0.checked_shr(u32::from(pcr)).is_some_and(|bits| bits & 1 == 1)
    }

    /// The PCRs in the set, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..PCRS).filter(move |pcr| self.contains(*pcr))
    }

    /// Without those of the other set.
    pub const fn without(self, other: PcrMask) -> PcrMask {
        PcrMask(self.0 & !other.0)
    }

    fn from_octets(octets: &[u8]) -> PcrMask {
        let mut bits = [0; 4];
        bits.iter_mut().zip(octets).for_each(|(bit, octet)| *bit = *octet);
        PcrMask::from_bits(u32::from_le_bytes(bits))
    }
}

/// The banks that the TPM says are allocated. Unsigned: a quote over all four tells the same with a signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Banks {
    /// Those whose hash this crate knows.
    pub known: heapless::Vec<Hash, 4>,
    /// Algorithm ids of the others (SM3, SHA-3).
    pub unknown: heapless::Vec<u16, 8>,
}

/// Values of one bank, as the TPM answered, unsigned.
#[derive(Clone, PartialEq, Eq)]
pub struct PcrBank {
    hash: Hash,
    read: PcrMask,
    values: [[u8; 64]; 24],
}

impl PcrBank {
    /// A bank of which nothing was read.
    pub const fn new(hash: Hash) -> PcrBank {
        PcrBank { hash, read: PcrMask::NONE, values: [[0; 64]; 24] }
    }

    /// The bank's algorithm.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Which PCRs were read.
    pub fn read(&self) -> PcrMask {
        self.read
    }

    /// The value of a PCR that was read.
    pub fn value(&self, pcr: u8) -> Option<&[u8]> {
        if !self.read.contains(pcr) {
            return None;
        }
        self.values.get(usize::from(pcr))?.get(..self.hash.size_bytes())
    }

    fn set(&mut self, pcr: u8, value: &[u8]) -> Option<()> {
        if value.len() != self.hash.size_bytes() {
            return None;
        }
        self.values.get_mut(usize::from(pcr))?.get_mut(..value.len())?.copy_from_slice(value);
        self.read = PcrMask(self.read.0 | 1u32.checked_shl(u32::from(pcr))?);
        Some(())
    }
}

impl<T: Transport> Tpm<T> {
    /// TPM2_GetCapability(TPM_CAP_PCRS).
    pub fn allocated_banks(&mut self) -> Result<Banks, TpmError> {
        let TpmuCapabilities::Pcrs(list) = self.capability(TpmCap::Pcrs, 0, 1)? else {
            return Err(wrong_capability());
        };
        let mut banks = Banks::default();
        let allocated = list.iter().filter(|bank| PcrMask::from_octets(&bank.pcr_select) != PcrMask::NONE);
        for id in allocated.map(|bank| bank.hash.value()) {
            let kept = match Hash::from_algorithm_id(id) {
                Some(hash) => banks.known.push(hash).is_ok(),
                None => banks.unknown.push(id).is_ok(),
            };
            if !kept {
                return Err(wrong_capability());
            }
        }
        Ok(banks)
    }

    /// TPM2_PCR_Read until all PCRs of the mask have come; a bank that is not allocated gives none. Between two commands
    /// somebody may extend: only a quote's pcrDigest says whether the values belong together.
    pub fn pcr_read(&mut self, hash: Hash, mask: PcrMask) -> Result<PcrBank, TpmError> {
        let malformed = TpmError::Malformed { command: Command(TpmPcrReadCommand::CC) };
        let mut bank = PcrBank::new(hash);
        let mut missing = mask;
        while missing != PcrMask::NONE {
            let command = TpmPcrReadCommand { handles: [], pcr_selection_in: selection(&[hash], missing)? };
            let answer: TpmPcrReadResponse = self.call(&command, &[])?;
            let came = answered(&answer, hash);
            if came == PcrMask::NONE {
                break;
            }
            if came.without(missing) != PcrMask::NONE || came.iter().count() != answer.pcr_values.len() {
                return Err(malformed);
            }
            for (pcr, value) in came.iter().zip(answer.pcr_values.iter()) {
                bank.set(pcr, value).ok_or(malformed)?;
            }
            missing = missing.without(came);
        }
        Ok(bank)
    }

    /// TPM2_PCR_Extend of several banks in one command, so that no quote can fall between them. A digest of another length
    /// than its bank's is not sent.
    pub fn pcr_extend(&mut self, pcr: u8, digests: &[(Hash, &[u8])]) -> Result<(), TpmError> {
        let too_long = TpmError::TooLong { command: Command(TpmPcrExtendCommand::CC) };
        let mut list = TpmlDigestValues::new();
        for (hash, digest) in digests {
            let hash_alg = TpmAlgId::try_from(hash.algorithm_id()).map_err(|_| too_long)?;
            let digest = TpmuHa::Digest(TpmBuffer::try_from(*digest).map_err(|_| too_long)?);
            list.try_push(TpmtHa { hash_alg, digest }).map_err(|_| too_long)?;
        }
        let command = TpmPcrExtendCommand { handles: [TpmHandle::new(u32::from(pcr))], digests: list };
        self.call::<_, TpmPcrExtendResponse>(&command, &[password()]).map(|_| ())
    }
}

fn answered(answer: &TpmPcrReadResponse, hash: Hash) -> PcrMask {
    let mut masks = answer
        .pcr_selection_out
        .iter()
        .filter(|bank| bank.hash.value() == hash.algorithm_id())
        .map(|bank| PcrMask::from_octets(&bank.pcr_select));
    masks.next().unwrap_or_default()
}

/// TPML_PCR_SELECTION of the same PCRs in each bank.
pub(super) fn selection(banks: &[Hash], mask: PcrMask) -> Result<TpmlPcrSelection, TpmError> {
    let too_long = TpmError::TooLong { command: Command(TpmPcrReadCommand::CC) };
    let [low, middle, high, _] = mask.0.to_le_bytes();
    let mut list = TpmlPcrSelection::new();
    for bank in banks {
        let hash = TpmAlgId::try_from(bank.algorithm_id()).map_err(|_| too_long)?;
        let pcr_select = TpmsPcrSelect::try_from([low, middle, high].as_slice()).map_err(|_| too_long)?;
        list.try_push(TpmsPcrSelection { hash, pcr_select }).map_err(|_| too_long)?;
    }
    Ok(list)
}

/// A selection as the TPM signed it: unknown banks are dropped.
pub(super) fn known_selection(list: &TpmlPcrSelection) -> heapless::Vec<(Hash, PcrMask), 8> {
    let known = |bank: &TpmsPcrSelection| Hash::from_algorithm_id(bank.hash.value());
    list.iter().filter_map(|bank| Some((known(bank)?, PcrMask::from_octets(&bank.pcr_select)))).collect()
}

/// A digest as the codec has it, in our buffer.
pub(super) fn digest_bytes(digest: &Tpm2bDigest) -> heapless::Vec<u8, 64> {
    heapless::Vec::from_slice(digest).unwrap_or_default()
}

const PCRS: u8 = 24;
