//! Which boot answers: entry 0 in the ledger PCR, B in entry 0, F signed by B.
//!
//! A quote vouches for whoever asks the TPM. Entry 0 was extended before the network was up, as the PCR's first
//! extension from zero, so software that comes later can ask for quotes and cannot replace B without a reboot.

use crate::{
    engine::{Engine, PublicKey, SignatureScheme},
    evidence::{LedgerPart, SessionKeys},
    ledger::{self, BootId, Commit, EntryZero},
    quote::QuotedPcrs,
    wire,
};
use core::fmt;
use garant_hw::hash::Hash;

/// A boot and its session key. Holding one proves: entry 0 is the first extension of the quoted ledger PCR in every
/// allocated bank, B stands in it, and B signed F (and the peer's key, where one was shown).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootIdentity {
    /// SHA-256(entry 0).
    pub boot_id: BootId,
    /// B.
    pub boot_key: [u8; 32],
    /// F of the quote.
    pub session_key: [u8; 32],
    /// SHA-256 of the node's whole configuration.
    pub configuration_digest: [u8; 32],
    /// Commits in the ledger.
    pub commits: u64,
    /// The PCR of the ledger.
    pub ledger_pcr: usize,
}

/// Why no boot is named; the node is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFault {
    /// The claimed ledger PCR may not hold a ledger.
    LedgerPcr {
        /// The PCR claimed.
        pcr: usize,
    },
    /// Entry 0 or the commits are not of their form.
    Form,
    /// Entry 0 and the commits do not replay to the quoted PCR.
    Replay {
        /// The bank.
        bank: Hash,
    },
    /// B of entry 0 did not sign a session key that the evidence lists.
    SessionKey,
    /// The peer's TLS key is none that B of this boot signed: the channel ends elsewhere.
    PeerKey,
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityFault::LedgerPcr { pcr } => write!(f, "PCR {pcr} cannot hold a ledger"),
            IdentityFault::Form => f.write_str("entry 0 or the ledger's commits are malformed"),
            IdentityFault::Replay { bank } => {
                write!(f, "entry 0 and the ledger do not replay to the quoted PCR in bank {}", bank.name())
            }
            IdentityFault::SessionKey => f.write_str("the boot key of entry 0 did not sign the session key"),
            IdentityFault::PeerKey => f.write_str("the channel's key is none that this boot's key signed"),
        }
    }
}

impl core::error::Error for IdentityFault {}

/// Proves the boot, or says why not.
pub fn prove(
    engine: &dyn Engine,
    pcrs: &QuotedPcrs<'_>,
    ledger_pcr: usize,
    ledger: &LedgerPart<'_>,
    keys: &SessionKeys,
    peer_key: Option<[u8; 32]>,
) -> Result<BootIdentity, IdentityFault> {
    if !LEDGER_PCRS.contains(&ledger_pcr) {
        return Err(IdentityFault::LedgerPcr { pcr: ledger_pcr });
    }
    let entry = EntryZero::decode(ledger.0).map_err(|_| IdentityFault::Form)?;
    let mut commits = 0;
    for bank in pcrs.banks() {
        let list = Commit::list(ledger.1).ok_or(IdentityFault::Form)?;
        let (head, count) = ledger::replay(engine, bank.hash(), ledger.0, list).map_err(|_| IdentityFault::Form)?;
        if bank.pcr(ledger_pcr) != Some(head.as_bytes()) {
            return Err(IdentityFault::Replay { bank: bank.hash() });
        }
        commits = count;
    }
    let boot_key = PublicKey::Ed25519(entry.boot_key());
    for key in keys {
        let message = wire::key_statement(&key.0);
        engine
            .verify_signature(&boot_key, SignatureScheme::Ed25519, &message, &key.1[..])
            .map_err(|_| IdentityFault::SessionKey)?;
    }
    let session_key: [u8; 32] = *keys.first().ok_or(IdentityFault::SessionKey)?.0;
    if peer_key.is_some_and(|peer| keys.iter().all(|key| *key.0 != peer)) {
        return Err(IdentityFault::PeerKey);
    }
    Ok(BootIdentity {
        boot_id: BootId::of(engine, ledger.0),
        boot_key: entry.boot_key(),
        session_key,
        configuration_digest: entry.configuration_digest(),
        commits,
        ledger_pcr,
    })
}

/// PCRs that a ledger may take: those an OS may extend, without 16 (debug) and 23 (application, resettable).
const LEDGER_PCRS: core::ops::RangeInclusive<usize> = 8..=15;
