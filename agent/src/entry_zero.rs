//! Entry 0: the ledger PCR's first extension since the machine started. It names this boot's key B and the configuration,
//! and goes in before the network is up, so that no later software can be the one who speaks for this boot.

use crate::tpm_chip::extend_all;
use garant_attest::{cbor::CborError, engine::Engine, ledger::EntryZero};
use garant_channel::engine::FastEngine;
use garant_hw::{
    hash::Hash,
    tpm::{PcrMask, Started, Tpm, TpmError, Transport},
};
use std::{fmt, str::FromStr};

/// A PCR that may hold the ledger: 8 to 15 are the operating system's and start at zero; 16 and 23 can be reset by
/// software, 17 to 22 belong to dynamic launch (PC Client Platform TPM Profile 1.05, 4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerPcr(u8);

impl LedgerPcr {
    /// In the node image, where nothing else writes it.
    pub const USUAL: LedgerPcr = LedgerPcr(15);

    /// The PCR's number.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for LedgerPcr {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<LedgerPcr, EntryError> {
        match text.parse() {
            Ok(number @ 8..=15) => Ok(LedgerPcr(number)),
            _ => Err(EntryError::Pcr { found: text.to_owned() }),
        }
    }
}

/// Why this boot has no entry 0. Without one nothing may answer: the keeper ends.
#[derive(Debug)]
pub enum EntryError {
    /// Not a PCR for a ledger; the caller is at fault.
    Pcr {
        /// What was given.
        found: String,
    },
    /// Somebody extended the PCR before us.
    NotFirst {
        /// The PCR.
        pcr: u8,
        /// The bank that shows it.
        bank: &'static str,
    },
    /// No bank of a hash that we know is allocated.
    NoBank,
    /// The TPM.
    Tpm(TpmError),
    /// Our own encoding; a fault of ours.
    Encode(CborError),
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryError::Pcr { found } => {
                write!(f, "PCR {found} cannot hold the ledger: choose 8 to 15 (16 and 23 can be reset by software)")
            }
            EntryError::NotFirst { pcr, bank } => write!(
                f,
                "PCR {pcr} is not zero in bank {bank}: something extended it before garantd, or garantd was started \
                 before in this boot; choose a free PCR with --ledger-pcr, or reboot"
            ),
            EntryError::NoBank => f.write_str("the TPM has no PCR bank of SHA-1, SHA-256, SHA-384 or SHA-512"),
            EntryError::Tpm(_) => f.write_str("the TPM did not take entry 0"),
            EntryError::Encode(_) => f.write_str("entry 0 cannot be encoded"),
        }
    }
}

impl std::error::Error for EntryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EntryError::Tpm(source) => Some(source),
            EntryError::Encode(source) => Some(source),
            _ => None,
        }
    }
}

impl From<TpmError> for EntryError {
    fn from(error: TpmError) -> EntryError {
        EntryError::Tpm(error)
    }
}

/// Extends the entry as H_bank(entry 0) in every allocated bank and returns its bytes. The PCR must be zero before, and
/// afterwards what one extension makes of zero: nobody came between.
pub fn extend<T: Transport>(tpm: &mut Tpm<T>, pcr: LedgerPcr, entry: &EntryZero) -> Result<Vec<u8>, EntryError> {
    let bytes = entry.encode().map_err(EntryError::Encode)?;
    if tpm.startup()? == Started::Now {
        log::warn!("TPM started by garantd: no firmware measured this boot");
    }
    let banks = tpm.allocated_banks()?;
    if !banks.unknown.is_empty() {
        log::warn!("TPM banks of unknown hashes {:x?} are not extended; no quote shows them", banks.unknown);
    }
    if banks.known.is_empty() {
        return Err(EntryError::NoBank);
    }
    for bank in &banks.known {
        expect_value(tpm, pcr, *bank, &[0; 64])?;
    }
    extend_all(tpm, pcr.number(), &banks.known, &bytes)?;
    for bank in &banks.known {
        let entry = FastEngine.digest(*bank, &[&bytes]);
        let zero = [0; 64];
        let zero = zero.get(..bank.size_bytes()).unwrap_or_default();
        expect_value(tpm, pcr, *bank, FastEngine.digest(*bank, &[zero, entry.as_bytes()]).as_bytes())?;
    }
    Ok(bytes)
}

/// The PCR's value in the bank must be the start of `expected`.
fn expect_value<T: Transport>(tpm: &mut Tpm<T>, pcr: LedgerPcr, bank: Hash, expected: &[u8]) -> Result<(), EntryError> {
    let mask = PcrMask::from_bits(1u32.checked_shl(u32::from(pcr.number())).unwrap_or_default());
    let read = tpm.pcr_read(bank, mask)?;
    match read.value(pcr.number()) {
        Some(value) if Some(value) == expected.get(..bank.size_bytes()) => Ok(()),
        _ => Err(EntryError::NotFirst { pcr: pcr.number(), bank: bank.name() }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_pcr_8_to_15_can_hold_the_ledger() {
        for allowed in 8..=15u8 {
            assert_eq!(allowed.to_string().parse::<LedgerPcr>().unwrap().number(), allowed);
        }
        for refused in ["0", "7", "16", "17", "23", "24", "-1", "fifteen", ""] {
            assert!(refused.parse::<LedgerPcr>().is_err(), "{refused}");
        }
    }
}
