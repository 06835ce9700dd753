//! A machine for tests: it extends what its events say, writes the log, and its TPM quotes what was extended.

use crate::{
    engine::{Digest, Engine, PublicKey, SignatureScheme},
    measured::{MeasuredBoot, Sent, SentIma, measure},
    quote::{self, PCRS},
    rust_engine::RustEngine,
};
use alloc::{format, string::String, vec, vec::Vec};
use garant_hw::{eventdata::Guid, eventlog::EventType, hash::Hash};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

/// One measurement: what the log says, and what was hashed.
#[derive(Clone)]
pub(crate) struct Measurement {
    pub(crate) pcr: u32,
    pub(crate) event_type: EventType,
    pub(crate) data: Vec<u8>,
    pub(crate) measured: Vec<u8>,
    /// What one bank got instead, in TPM and log alike; `None`: nothing.
    pub(crate) otherwise: Option<(Hash, Option<Vec<u8>>)>,
}

impl Measurement {
    /// What this bank got.
    fn digest(&self, hash: Hash) -> Option<Digest> {
        let bytes = match &self.otherwise {
            Some((bank, instead)) if *bank == hash => instead.as_ref()?,
            _ => &self.measured,
        };
        Some(RustEngine.digest(hash, &[bytes]))
    }
}

/// A boot: what its TPM measured, and what its log and its quote say of it.
#[derive(Clone)]
pub(crate) struct Boot {
    /// Allocated banks.
    pub(crate) banks: Vec<Hash>,
    /// What was extended.
    pub(crate) measured: Vec<Measurement>,
    /// What the log says.
    pub(crate) logged: Vec<Measurement>,
    /// PCRs of the selection, bit n is PCR n.
    pub(crate) selection: u32,
    /// Banks that the selection names without being allocated.
    pub(crate) unallocated: Vec<Hash>,
    /// The PCR to which entry 0 and commits were shown to lead.
    pub(crate) ledger_pcr: Option<usize>,
    /// A bank that the OS closed.
    pub(crate) capped: Option<Hash>,
}

pub(crate) fn plain(pcr: u32, event_type: EventType, data: &[u8]) -> Measurement {
    Measurement { pcr, event_type, data: data.to_vec(), measured: data.to_vec(), otherwise: None }
}

pub(crate) fn thing(pcr: u32, event_type: EventType, measured: &[u8]) -> Measurement {
    Measurement { data: b"described".to_vec(), ..plain(pcr, event_type, measured) }
}

pub(crate) fn variable(event_type: EventType, name: &str, content: &[u8]) -> Measurement {
    let vendor = if name.starts_with("db") { Guid::SECURITY_DATABASE } else { Guid::GLOBAL_VARIABLE };
    let mut data = vendor.0.to_vec();
    data.extend((name.len() as u64).to_le_bytes());
    data.extend((content.len() as u64).to_le_bytes());
    data.extend(utf16(name));
    data.extend(content);
    plain(7, event_type, &data)
}

pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl Boot {
    /// A unified kernel image under secure boot.
    pub(crate) fn good() -> Boot {
        let config = EventType::EFI_VARIABLE_DRIVER_CONFIG;
        let mut events = vec![plain(0, EventType::S_CRTM_VERSION, b"v\0"), thing(0, EventType::POST_CODE, b"firmware")];
        events.push(variable(config, "SecureBoot", &[1]));
        events.extend(["PK", "KEK", "db", "dbx"].map(|name| variable(config, name, name.as_bytes())));
        events.push(plain(7, EventType::SEPARATOR, &[0; 4]));
        events.push(plain(4, EventType::EFI_ACTION, b"Calling EFI Application from Boot Option"));
        events.extend((0..7).map(|pcr| plain(pcr, EventType::SEPARATOR, &[0; 4])));
        events.push(variable(EventType::EFI_VARIABLE_AUTHORITY, "db", b"signer"));
        events.push(thing(4, EventType::EFI_BOOT_SERVICES_APPLICATION, b"uki"));
        events.extend([&b".cmdline\0"[..], b"ro"].map(|measured| thing(11, EventType::IPL, measured)));
        events.push(thing(9, EventType::EVENT_TAG, b"initrd"));
        let unallocated = vec![Hash::Sha384, Hash::Sha512];
        Boot {
            banks: vec![Hash::Sha1, Hash::Sha256],
            logged: events.clone(),
            measured: events,
            selection: 0xff_ffff,
            unallocated,
            ledger_pcr: None,
            capped: None,
        }
    }

    /// One measurement more, in machine and log.
    pub(crate) fn and(mut self, more: Measurement) -> Boot {
        self.measured.push(more.clone());
        self.logged.push(more);
        self
    }

    /// Another list of measurements, in machine and log.
    pub(crate) fn changed(mut self, change: impl Fn(&mut Vec<Measurement>)) -> Boot {
        change(&mut self.measured);
        self.logged = self.measured.clone();
        self
    }

    /// Digests extended into a PCR, as a line of a policy.
    pub(crate) fn extends(&self, hash: Hash, pcr: u32) -> String {
        let own = self.measured.iter().filter(|measurement| measurement.pcr == pcr);
        let digests: Vec<String> = own.filter_map(|m| Some(format!("\"{}\"", m.digest(hash)?))).collect();
        format!("{pcr} = [{}]\n", digests.join(", "))
    }

    /// Value of a PCR.
    pub(crate) fn value(&self, hash: Hash, pcr: u32) -> Digest {
        let own = self.measured.iter().filter(|measurement| measurement.pcr == pcr);
        let cap = (self.capped == Some(hash)).then_some(Digest::zero(hash));
        own.filter_map(|m| m.digest(hash))
            .chain(cap)
            .fold(Digest::zero(hash), |value, digest| RustEngine.digest(hash, &[value.as_bytes(), digest.as_bytes()]))
    }

    /// The crypto-agile log.
    pub(crate) fn log(&self) -> Vec<u8> {
        let mut spec = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
        spec.extend((self.banks.len() as u32).to_le_bytes());
        for bank in &self.banks {
            spec.extend(bank.algorithm_id().to_le_bytes());
            spec.extend((bank.size_bytes() as u16).to_le_bytes());
        }
        spec.push(0);
        let mut log = vec![0, 0, 0, 0, 3, 0, 0, 0];
        log.extend([0; 20]);
        log.extend((spec.len() as u32).to_le_bytes());
        log.extend(spec);
        for event in &self.logged {
            log.extend(event.pcr.to_le_bytes());
            log.extend(event.event_type.0.to_le_bytes());
            let digests: Vec<Digest> = self.banks.iter().filter_map(|bank| event.digest(*bank)).collect();
            log.extend((digests.len() as u32).to_le_bytes());
            for digest in digests {
                log.extend(digest.hash().algorithm_id().to_le_bytes());
                log.extend(digest.as_bytes());
            }
            log.extend((event.data.len() as u32).to_le_bytes());
            log.extend(&event.data);
        }
        log
    }

    /// Quotes, and hands what was measured to `judge`; the log is sent where `log` is given.
    pub(crate) fn measured<T>(&self, log: Option<&[u8]>, judge: impl FnOnce(&MeasuredBoot<'_>) -> T) -> T {
        self.measured_with(log, None, judge)
    }

    /// The same, with an IMA list.
    pub(crate) fn measured_with<T>(
        &self,
        log: Option<&[u8]>,
        ima: Option<&[u8]>,
        judge: impl FnOnce(&MeasuredBoot<'_>) -> T,
    ) -> T {
        let selected = || (0..PCRS as u32).filter(|pcr| self.selection & (1 << pcr) != 0);
        let values: Vec<Vec<u8>> = self
            .banks
            .iter()
            .map(|bank| selected().flat_map(|pcr| self.value(*bank, pcr).as_bytes().to_vec()).collect())
            .collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let attest = self.attest(RustEngine.digest(Hash::Sha256, &values));
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let signature: Signature = key.sign(&attest);
        let public = PublicKey::P256(key.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap());
        let scheme = SignatureScheme::Ecdsa(Hash::Sha256);
        let quote = quote::check(&RustEngine, &public, scheme, &attest, &signature.to_bytes()).unwrap();
        let pcrs = quote.pcrs(&RustEngine, &values).unwrap();
        let ima = ima.map(|list| SentIma { first: 0, list });
        judge(&measure(&RustEngine, pcrs, Sent { log, ima, proven_ledger_pcr: self.ledger_pcr }, None))
    }

    fn attest(&self, pcr_digest: Digest) -> Vec<u8> {
        let mut bytes = vec![0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 0, 0, 0];
        bytes.extend([0; 25]);
        bytes.extend(((self.banks.len() + self.unallocated.len()) as u32).to_be_bytes());
        let masks =
            self.banks.iter().map(|bank| (bank, self.selection)).chain(self.unallocated.iter().map(|bank| (bank, 0)));
        for (bank, mask) in masks {
            bytes.extend(bank.algorithm_id().to_be_bytes());
            bytes.push(3);
            bytes.extend(&mask.to_le_bytes()[..3]);
        }
        bytes.extend([0, 32]);
        bytes.extend(pcr_digest.as_bytes());
        bytes
    }
}
