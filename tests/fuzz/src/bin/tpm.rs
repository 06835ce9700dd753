//! A TPM that answers what it likes: two bytes of length, then the response, for each command.
#![no_main]

use garant_hw::{
    hash::Hash,
    tpm::{PcrMask, Tpm, Transport, TransportError, templates},
};
use libfuzzer_sys::fuzz_target;

struct Hostile<'a>(&'a [u8]);

impl Transport for Hostile<'_> {
    fn exchange(&mut self, _: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let Some((length, rest)) = self.0.split_first_chunk() else { return Ok(0) };
        let length = usize::from(u16::from_le_bytes(*length));
        let copied = length.min(rest.len()).min(response.len());
        response[..copied].copy_from_slice(&rest[..copied]);
        self.0 = &rest[copied..];
        // What a driver says need not be what it did.
        Ok(length)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, answers)) = bytes.split_first() else { return };
    let mut tpm = Tpm::new(Hostile(answers));
    match which % 8 {
        0 => drop(tpm.startup().is_ok() && tpm.self_test().is_ok()),
        1 => drop(tpm.properties()),
        2 => drop(tpm.handles(0x8000_0000)),
        3 => drop(tpm.allocated_banks()),
        4 => drop(tpm.pcr_read(Hash::Sha256, PcrMask::ALL)),
        5 => drop(tpm.nv_read_public(0x01c0_000a)),
        6 => drop(tpm.flush_leftovers()),
        _ => {
            let Some(template) = templates::ak_template(templates::AkGeneration(0)) else { return };
            let Ok(primary) = tpm.create_primary(&template) else { return };
            drop(tpm.quote(&primary.handle, &[0; 32], &Hash::ALL, PcrMask::ALL));
            drop(tpm.read_public(&primary.handle));
        }
    }
});
