//! PE/COFF images and unified kernel images.
#![no_main]

use garant_attest::{pe::PeImage, rust_engine::RustEngine, uki::Uki};
use garant_hw::hash::Hash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(image) = PeImage::parse(bytes) else { return };
    let _ = image.authenticode(&RustEngine, Hash::Sha256);
    for section in image.sections() {
        let _ = (section.name(), section.offset());
        assert!(section.loaded().map_or(0, <[u8]>::len) <= bytes.len());
    }
    let Ok(uki) = Uki::parse(bytes) else { return };
    let _ = (uki.command_line(), uki.initrd(), uki.measured_sections().count(), uki.measured_by_kernel());
});
