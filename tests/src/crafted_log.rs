//! Event logs with one thing wrong, or one thing rare.

use garant_attest::engine::Engine;
use garant_channel::engine::FastEngine;
use garant_hw::{eventlog::EventType, hash::Hash};

/// A log under construction.
#[derive(Debug, Clone)]
pub struct CraftedLog {
    banks: Vec<(u16, u16)>,
    bytes: Vec<u8>,
}

/// SM3-256, which is not replayed here.
pub const SM3: (u16, u16) = (0x12, 32);

impl CraftedLog {
    /// A crypto-agile log of these banks.
    pub fn of(banks: &[Hash]) -> CraftedLog {
        let sizes: Vec<_> = banks.iter().map(|bank| (bank.algorithm_id(), bank.size_bytes() as u16)).collect();
        CraftedLog::with_header(&sizes, 0, b"\0")
    }

    /// A crypto-agile log whose header has these banks and PCR, and ends in this vendor information.
    pub fn with_header(banks: &[(u16, u16)], pcr: u32, vendor: &[u8]) -> CraftedLog {
        let mut spec = b"Spec ID Event03\0\0\0\0\0\0\x02\0\x02".to_vec();
        spec.extend((banks.len() as u32).to_le_bytes());
        banks.iter().for_each(|(id, size)| spec.extend([id.to_le_bytes(), size.to_le_bytes()].concat()));
        spec.extend(vendor);
        let mut log = CraftedLog { banks: banks.to_vec(), bytes: Vec::new() };
        log.legacy(pcr, EventType::NO_ACTION, &[0; 20], &spec);
        log
    }

    /// No header: the old format, once `legacy` added an event.
    pub fn without_header() -> CraftedLog {
        CraftedLog { banks: Vec::new(), bytes: Vec::new() }
    }

    /// Adds an event in the old format.
    pub fn legacy(&mut self, pcr: u32, event_type: EventType, sha1: &[u8; 20], data: &[u8]) -> &mut CraftedLog {
        self.bytes.extend([&pcr.to_le_bytes()[..], &event_type.0.to_le_bytes(), sha1].concat());
        self.sized(data)
    }

    /// Adds an event whose digests, in the order of the header, are over its data.
    pub fn event(&mut self, pcr: u32, event_type: EventType, data: &[u8]) -> &mut CraftedLog {
        self.measuring(pcr, event_type, data, data)
    }

    /// Adds an event whose digests are over `measured`; those of unknown banks are zero.
    pub fn measuring(&mut self, pcr: u32, event_type: EventType, measured: &[u8], data: &[u8]) -> &mut CraftedLog {
        let digest = |(id, size): &(u16, u16)| match Hash::from_algorithm_id(*id) {
            Some(bank) => (*id, FastEngine.digest(bank, &[measured]).as_bytes().to_vec()),
            None => (*id, vec![0; usize::from(*size)]),
        };
        let digests: Vec<_> = self.banks.iter().map(digest).collect();
        self.digests(pcr, event_type, &digests, data)
    }

    /// Adds an event with these digests.
    pub fn digests(
        &mut self,
        pcr: u32,
        event_type: EventType,
        digests: &[(u16, Vec<u8>)],
        data: &[u8],
    ) -> &mut CraftedLog {
        let fields = [pcr, event_type.0, digests.len() as u32].map(u32::to_le_bytes);
        self.bytes.extend(fields.concat());
        digests.iter().for_each(|(id, digest)| self.bytes.extend([&id.to_le_bytes()[..], digest].concat()));
        self.sized(data)
    }

    /// Adds bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut CraftedLog {
        self.bytes.extend(bytes);
        self
    }

    /// The log.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    fn sized(&mut self, data: &[u8]) -> &mut CraftedLog {
        self.bytes.extend((data.len() as u32).to_le_bytes());
        self.bytes.extend(data);
        self
    }
}

/// UEFI_VARIABLE_DATA.
pub fn variable(vendor: [u8; 16], name: &str, content: &[u8]) -> Vec<u8> {
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let lengths = [(units.len() / 2) as u64, content.len() as u64].map(u64::to_le_bytes);
    [&vendor[..], &lengths.concat(), &units, content].concat()
}

/// EFI_SIGNATURE_LIST; `entries` follow a header of `header_bytes` zeros.
pub fn signature_list(kind: [u8; 16], header_bytes: u32, entry_bytes: u32, entries: &[u8]) -> Vec<u8> {
    let list_bytes = 28 + header_bytes + entries.len() as u32;
    let sizes = [list_bytes, header_bytes, entry_bytes].map(u32::to_le_bytes);
    [&kind[..], &sizes.concat(), &vec![0; header_bytes as usize], entries].concat()
}
