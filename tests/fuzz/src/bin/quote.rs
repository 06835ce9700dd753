//! TPMS_ATTEST behind its signature.
#![no_main]

use garant_attest::{
    engine::{PublicKey, SignatureScheme},
    quote,
};
use garant_fuzz::AnyDigest;
use garant_hw::hash::Hash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (key, scheme) = (PublicKey::P256([4; 65]), SignatureScheme::Ecdsa(Hash::Sha256));
    let Ok(quote) = quote::check(&AnyDigest, &key, scheme, bytes, &[1; 64]) else { return };
    let _ = (quote.clock_info(), quote.firmware_version(), quote.qualified_signer(), quote.extra_data());
    let values = [0; 24 * 64];
    let sizes = quote.selection().banks().iter().map(|bank| bank.mask.count_ones() as usize * bank.hash.size_bytes());
    let values: Vec<&[u8]> = sizes.map(|bytes| &values[..bytes]).collect();
    if let Ok(pcrs) = quote.pcrs(&AnyDigest, &values) {
        for bank in pcrs.banks() {
            assert_eq!((0..24).filter(|pcr| bank.pcr(*pcr).is_some()).count(), bank.mask().count_ones() as usize);
        }
    }
});
