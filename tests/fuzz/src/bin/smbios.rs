//! SMBIOS: the entry point, of either size, then the structure table.
#![no_main]

use garant_hw::smbios::machine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for entry_point_bytes in [24, 31] {
        if let Some((entry_point, table)) = bytes.split_at_checked(entry_point_bytes) {
            let _ = machine(entry_point, table);
        }
    }
});
