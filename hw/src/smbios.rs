//! What SMBIOS says of system and chassis (DMTF DSP0134 3.7.0): `smbios_entry_point` and `DMI` below
//! /sys/firmware/dmi/tables.
//!
//! Nobody measures these texts as such, and whoever has root on some boards can write them: every one is `untrusted_`.
//! Other structures are skipped; where a type stands twice, the first counts.

use crate::{budget, reader::Reader};
use core::fmt;

/// System and chassis as the firmware describes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine<'a> {
    /// System Information (type 1); there always, in a table that follows the specification.
    pub system: Option<System<'a>>,
    /// System Enclosure (type 3).
    pub chassis: Option<Chassis<'a>>,
}

/// System Information (§7.2). A text is `None` where the firmware gives none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct System<'a> {
    /// Who built it.
    pub untrusted_manufacturer: Option<&'a [u8]>,
    /// The model.
    pub untrusted_product: Option<&'a [u8]>,
    /// Version of the model.
    pub untrusted_version: Option<&'a [u8]>,
    /// Serial number.
    pub untrusted_serial: Option<&'a [u8]>,
    /// UUID in the order in which it is written; `None` where absent or not set (§7.2.1).
    pub untrusted_uuid: Option<[u8; 16]>,
    /// Stock keeping unit.
    pub untrusted_sku: Option<&'a [u8]>,
}

/// System Enclosure (§7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chassis<'a> {
    /// Who built it.
    pub untrusted_manufacturer: Option<&'a [u8]>,
    /// Type as in §7.4.1: 0x11 main server chassis, 0x17 rack mount, 0x1c blade, 0x1d blade enclosure.
    pub untrusted_kind: u8,
    /// Version.
    pub untrusted_version: Option<&'a [u8]>,
    /// Serial number.
    pub untrusted_serial: Option<&'a [u8]>,
    /// The owner's label.
    pub untrusted_asset_tag: Option<&'a [u8]>,
}

/// Why the tables are not read; the firmware, or whoever carried them, is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmbiosError {
    /// Neither `_SM_` nor `_SM3_` with a sum of zero.
    EntryPoint,
    /// The table is larger than the budget.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// A structure ends beyond the table.
    Truncated {
        /// Where it starts, in bytes.
        offset: usize,
    },
}

impl fmt::Display for SmbiosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SmbiosError::EntryPoint => f.write_str("not an SMBIOS entry point"),
            SmbiosError::TooLong { found_bytes } => {
                write!(f, "the SMBIOS table has {found_bytes} bytes, at most {} are read", budget::SMBIOS_BYTES)
            }
            SmbiosError::Truncated { offset } => {
                write!(f, "the SMBIOS structure at byte {offset} ends beyond the table")
            }
        }
    }
}

impl core::error::Error for SmbiosError {}

/// Reads system and chassis.
pub fn machine<'a>(entry_point: &[u8], table: &'a [u8]) -> Result<Machine<'a>, SmbiosError> {
    let version = version(entry_point).ok_or(SmbiosError::EntryPoint)?;
    if table.len() > budget::SMBIOS_BYTES {
        return Err(SmbiosError::TooLong { found_bytes: table.len() });
    }
    let mut machine = Machine { system: None, chassis: None };
    let mut reader = Reader { bytes: table };
    while !reader.bytes.is_empty() {
        let offset = table.len().saturating_sub(reader.bytes.len());
        let structure = Structure::read(&mut reader).ok_or(SmbiosError::Truncated { offset })?;
        match structure.kind {
            SYSTEM => machine.system = machine.system.or(Some(structure.system(version))),
            CHASSIS => machine.chassis = machine.chassis.or(Some(structure.chassis())),
            END_OF_TABLE => break,
            _ => {}
        }
    }
    Ok(machine)
}

/// Major and minor version of an entry point (§5.2.1, §5.2.2).
fn version(entry_point: &[u8]) -> Option<(u8, u8)> {
    let (length_at, version_at) = if entry_point.starts_with(b"_SM3_") {
        (6, 7)
    } else if entry_point.starts_with(b"_SM_") {
        (5, 6)
    } else {
        return None;
    };
    let length = usize::from(*entry_point.get(length_at)?);
    let summed = entry_point.get(..length)?;
    let sum = summed.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    match summed.get(version_at..)? {
        [major, minor, ..] if sum == 0 => Some((*major, *minor)),
        _ => None,
    }
}

/// One structure (§6.1.2): a formatted area, and the texts that it counts from 1.
struct Structure<'a> {
    kind: u8,
    formatted: &'a [u8],
    texts: &'a [u8],
}

impl<'a> Structure<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Structure<'a>> {
        let [kind, length, ..]: [u8; 2] = *reader.bytes.first_chunk()?;
        let formatted = reader.take(usize::from(length)).filter(|area| area.len() >= HEADER_BYTES)?;
        let end = reader.bytes.windows(2).position(|pair| pair == [0, 0])?;
        let texts = reader.take(end)?;
        reader.take(2)?;
        Some(Structure { kind, formatted, texts })
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.formatted.get(at).copied()
    }

    fn text(&self, at: usize) -> Option<&'a [u8]> {
        let before = usize::from(self.byte(at)?).checked_sub(1)?;
        self.texts.split(|byte| *byte == 0).nth(before).filter(|text| !text.is_empty())
    }

    fn system(&self, version: (u8, u8)) -> System<'a> {
        System {
            untrusted_manufacturer: self.text(0x04),
            untrusted_product: self.text(0x05),
            untrusted_version: self.text(0x06),
            untrusted_serial: self.text(0x07),
            untrusted_uuid: self.uuid(version),
            untrusted_sku: self.text(0x19),
        }
    }

    /// Since version 2.6 the first three fields are little-endian (§7.2.1).
    fn uuid(&self, version: (u8, u8)) -> Option<[u8; 16]> {
        let bytes: [u8; 16] = *self.formatted.get(0x08..)?.first_chunk()?;
        let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
        let [i, j, k, l, m, n, o, p] = rest;
        let is_set = bytes != [0; 16] && bytes != [0xff; 16];
        let written = [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p];
        is_set.then_some(if version >= (2, 6) { written } else { bytes })
    }

    fn chassis(&self) -> Chassis<'a> {
        Chassis {
            untrusted_manufacturer: self.text(0x04),
            untrusted_kind: self.byte(0x05).unwrap_or(UNKNOWN_KIND) & KIND_BITS,
            untrusted_version: self.text(0x06),
            untrusted_serial: self.text(0x07),
            untrusted_asset_tag: self.text(0x08),
        }
    }
}

/// Type, length and handle.
const HEADER_BYTES: usize = 4;
/// §7.2.
const SYSTEM: u8 = 1;
/// §7.4.
const CHASSIS: u8 = 3;
/// §7.45.
const END_OF_TABLE: u8 = 127;
/// §7.4.1.
const UNKNOWN_KIND: u8 = 2;
/// Bit 7 of the kind is the chassis lock.
const KIND_BITS: u8 = 0x7f;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    /// The entry point of a version, with its sum.
    fn entry_point(anchor: &[u8], version: (u8, u8)) -> Vec<u8> {
        let mut bytes = [anchor, &[0, 24, version.0, version.1], &[0; 24]].concat();
        bytes.truncate(24);
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[anchor.len()] = sum.wrapping_neg();
        bytes
    }

    fn structure(kind: u8, body: &[u8], texts: &[&str]) -> Vec<u8> {
        let mut bytes = [&[kind, u8::try_from(body.len() + 4).unwrap(), 7, 0], body].concat();
        texts.iter().for_each(|text| bytes.extend([text.as_bytes(), &[0]].concat()));
        bytes.extend(if texts.is_empty() { &[0, 0][..] } else { &[0] });
        bytes
    }

    const UUID: [u8; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

    fn table() -> Vec<u8> {
        let system = [&[1, 2, 0, 3][..], &UUID, &[6, 4, 0]].concat();
        [
            structure(0, &[0; 20], &["BIOS"]),
            structure(1, &system, &["Maker", "Model", "S/N 1", "SKU"]),
            structure(2, &[0; 4], &[]),
            structure(3, &[1, 0x97, 0, 2, 3, 0, 0, 0, 0], &["Case", "C-17", "rack 4"]),
            structure(3, &[1, 0x1d, 0, 0, 0, 0, 0, 0, 0], &["Second"]),
            structure(127, &[], &[]),
        ]
        .concat()
    }

    #[test]
    fn system_and_chassis_are_found_among_other_structures() {
        for anchor in [&b"_SM3_"[..], b"_SM_"] {
            let table = table();
            let machine = machine(&entry_point(anchor, (3, 2)), &table).unwrap();
            let (system, chassis) = (machine.system.unwrap(), machine.chassis.unwrap());
            assert_eq!(system.untrusted_manufacturer, Some(&b"Maker"[..]));
            assert_eq!(system.untrusted_product, Some(&b"Model"[..]));
            assert_eq!(system.untrusted_version, None);
            assert_eq!(system.untrusted_serial, Some(&b"S/N 1"[..]));
            assert_eq!(system.untrusted_sku, Some(&b"SKU"[..]));
            assert_eq!(system.untrusted_uuid, Some([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));
            assert_eq!((chassis.untrusted_kind, chassis.untrusted_serial), (0x17, Some(&b"C-17"[..])));
            assert_eq!(chassis.untrusted_asset_tag, Some(&b"rack 4"[..]));
        }
    }

    #[test]
    fn a_uuid_before_version_2_6_stands_as_it_is_written() {
        let table = table();
        let machine = machine(&entry_point(b"_SM_", (2, 5)), &table).unwrap();
        assert_eq!(machine.system.unwrap().untrusted_uuid, Some(UUID));
    }

    #[test]
    fn a_uuid_that_is_not_set_is_none() {
        for byte in [0, 0xff] {
            let table = structure(1, &[&[0; 4][..], &[byte; 16], &[0; 3]].concat(), &[]);
            assert_eq!(machine(&entry_point(b"_SM3_", (3, 0)), &table).unwrap().system.unwrap().untrusted_uuid, None);
        }
    }

    #[test]
    fn an_entry_point_is_refused_by_its_anchor_length_and_sum() {
        let good = entry_point(b"_SM3_", (3, 0));
        let refused = |bytes: &[u8]| machine(bytes, &[]) == Err(SmbiosError::EntryPoint);
        assert!(!refused(&good));
        for at in 0..24 {
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            assert!(refused(&flipped), "byte {at}");
        }
        assert!((0..24).all(|cut| refused(&good[..cut])));
    }

    #[test]
    fn a_cut_table_is_refused_where_its_structure_starts() {
        let (entry_point, whole) = (entry_point(b"_SM3_", (3, 0)), structure(1, &[0; 23], &["a"]));
        for cut in 1..whole.len() {
            assert_eq!(machine(&entry_point, &whole[..cut]), Err(SmbiosError::Truncated { offset: 0 }), "cut at {cut}");
        }
        let shorter_than_its_header = [1, 3, 0, 0, 0];
        assert_eq!(machine(&entry_point, &shorter_than_its_header), Err(SmbiosError::Truncated { offset: 0 }));
    }

    #[test]
    fn a_text_that_is_not_there_is_none() {
        let table = structure(1, &[&[9, 200, 255, 1][..], &UUID, &[0; 3]].concat(), &["only"]);
        let system = machine(&entry_point(b"_SM3_", (3, 0)), &table).unwrap().system.unwrap();
        assert_eq!((system.untrusted_manufacturer, system.untrusted_version), (None, None));
        assert_eq!(system.untrusted_serial, Some(&b"only"[..]));
    }

    #[test]
    fn nothing_is_read_beyond_the_end_of_the_table_or_the_budget() {
        let entry_point = entry_point(b"_SM3_", (3, 0));
        let ended = [structure(127, &[], &[]), structure(1, &[0; 23], &[])].concat();
        assert_eq!(machine(&entry_point, &ended).unwrap().system, None);
        let found_bytes = budget::SMBIOS_BYTES + 1;
        assert_eq!(machine(&entry_point, &vec![0; found_bytes]), Err(SmbiosError::TooLong { found_bytes }));
    }
}
