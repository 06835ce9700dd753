//! Public areas and signatures of a TPM.
#![no_main]

use garant_attest::{
    engine::PublicKey,
    public_area::{AttestationKey, Name, ek_public_area, signature},
    rust_engine::RustEngine,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ak) = AttestationKey::from_public_area(&RustEngine, bytes) {
        assert_eq!(ak.public_area(), bytes);
        let _ = (ak.name().qualified_in_endorsement(&RustEngine), ak.signature(bytes));
    }
    let _ = (AttestationKey::from_sized_public_area(&RustEngine, bytes), Name::of(&RustEngine, bytes));
    let keys = [PublicKey::P256([4; 65]), PublicKey::P384([4; 97]), PublicKey::P521([4; 133]), rsa(256), rsa(384)];
    for key in keys {
        if let Ok((scheme, signature)) = signature(bytes, &key) {
            assert!(key.admits(scheme, &signature));
        }
        let _ = ek_public_area(bytes, &key);
    }
});

fn rsa(modulus_bytes: usize) -> PublicKey {
    PublicKey::Rsa { modulus: vec![0xff; modulus_bytes], exponent: 65537 }
}
