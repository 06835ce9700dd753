//! What the firmware says of system and chassis, for the eyes of people: nobody checked it, and the claims say so.

use garant_hw::{budget::SMBIOS_BYTES, smbios};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Texts from SMBIOS, cut to what is printed of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Who built the system.
    pub untrusted_manufacturer: Option<String>,
    /// The model.
    pub untrusted_product: Option<String>,
    /// The system's serial number.
    pub untrusted_serial: Option<String>,
    /// The chassis' serial number.
    pub untrusted_chassis_serial: Option<String>,
}

impl Machine {
    /// Reads the table, and the entry point that lies beside it (Linux, /sys/firmware/dmi/tables).
    pub fn read(table: &Path) -> io::Result<Machine> {
        let entry_point = read_file(&table.with_file_name("smbios_entry_point"))?;
        let table = read_file(table)?;
        let machine = smbios::machine(&entry_point, &table).map_err(io::Error::other)?;
        let system = |text: fn(&smbios::System<'_>) -> Option<String>| machine.system.as_ref().and_then(text);
        Ok(Machine {
            untrusted_manufacturer: system(|system| system.untrusted_manufacturer.map(printable)),
            untrusted_product: system(|system| system.untrusted_product.map(printable)),
            untrusted_serial: system(|system| system.untrusted_serial.map(printable)),
            untrusted_chassis_serial: machine.chassis.and_then(|chassis| chassis.untrusted_serial.map(printable)),
        })
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(SMBIOS_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // One byte more, so that a table beyond the limit is refused and not cut.
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Printable ASCII, other bytes as question marks.
fn printable(text: &[u8]) -> String {
    let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' };
    text.iter().take(TEXT_BYTES).map(shown).collect()
}

/// Bytes of one text: DSP0134 before 3.0 allowed 64, and boards keep to it.
const TEXT_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;

    /// An entry point of version 3.0 whose bytes sum up to zero.
    fn entry_point() -> Vec<u8> {
        let mut bytes = [&b"_SM3_"[..], &[0, 24, 3, 0, 0, 1], &[0; 13]].concat();
        bytes[5] = 0u8.wrapping_sub(bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte)));
        bytes
    }

    fn system(serial: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 27];
        bytes[..8].copy_from_slice(&[1, 27, 0, 1, 1, 2, 0, 3]);
        [&bytes, &b"Maker\0Model\0"[..], serial, b"\0\0", &[127, 4, 0, 9, 0, 0]].concat()
    }

    fn read(entry_point: &[u8], table: &[u8]) -> io::Result<Machine> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("smbios_entry_point"), entry_point).unwrap();
        std::fs::write(folder.path().join("DMI"), table).unwrap();
        Machine::read(&folder.path().join("DMI"))
    }

    #[test]
    fn texts_are_printable_and_short() {
        let machine = read(&entry_point(), &system(b"S\x1b[2J1")).unwrap();
        assert_eq!(machine.untrusted_manufacturer.as_deref(), Some("Maker"));
        assert_eq!(machine.untrusted_product.as_deref(), Some("Model"));
        assert_eq!(machine.untrusted_serial.as_deref(), Some("S?[2J1"));
        assert_eq!(machine.untrusted_chassis_serial, None);
        let long = read(&entry_point(), &system(&[b'x'; 200])).unwrap();
        assert_eq!(long.untrusted_serial.unwrap().len(), TEXT_BYTES);
    }

    #[test]
    fn a_table_beyond_its_limit_or_without_an_entry_point_is_an_error() {
        let long = [system(b"1"), vec![0; SMBIOS_BYTES]].concat();
        assert!(read(&entry_point(), &long).is_err());
        assert!(read(b"_SM3_", &system(b"1")).is_err());
    }
}
