//! PE/COFF images: sections and the Authenticode digest that firmware measures when it loads one.
//!
//! Reads what the measurement needs and no more: no relocation, no imports, no signatures. Which certificates stand in
//! the file does not matter here; a signature is a matter of PCR 7.

use crate::{
    budget,
    engine::{Digest, Engine},
};
use alloc::vec::Vec;
use core::fmt;
use garant_hw::hash::Hash;

/// A parsed PE/COFF image: its headers are sound, each section lies in the file. It says nothing of who made it.
#[derive(Debug, Clone)]
pub struct PeImage<'a> {
    bytes: &'a [u8],
    checksum_at: usize,
    certificate_entry_at: Option<usize>,
    certificate_table_bytes: usize,
    headers_bytes: usize,
    sections: Vec<Section<'a>>,
}

/// A section of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    name: [u8; NAME_BYTES],
    raw: &'a [u8],
    raw_at: usize,
    virtual_bytes: usize,
}

impl<'a> PeImage<'a> {
    /// Reads the headers and sections of a whole file.
    pub fn parse(bytes: &'a [u8]) -> Result<PeImage<'a>, PeError> {
        if bytes.len() > budget::IMAGE_BYTES {
            return Err(PeError::TooLong { found_bytes: bytes.len() });
        }
        let file = File(bytes);
        if file.array(0)? != *b"MZ" {
            return Err(PeError::NotPe { offset: 0 });
        }
        let pe_at = file.u32(DOS_PE_OFFSET)?;
        if file.array(pe_at)? != *b"PE\0\0" {
            return Err(PeError::NotPe { offset: pe_at });
        }
        let coff_at = add(pe_at, 4)?;
        let optional_at = add(coff_at, COFF_HEADER_BYTES)?;
        let optional_bytes = file.u16(add(coff_at, 16)?)?;
        let directories_at = add(optional_at, directories_offset(file.u16(optional_at)?, optional_at)?)?;
        let headers_bytes = file.u32(add(optional_at, 60)?)?;
        file.slice(0, headers_bytes)?;
        let (certificate_entry_at, certificate_table_bytes) =
            certificate_entry(file, directories_at, add(optional_at, optional_bytes)?)?;
        let count = file.u16(add(coff_at, 2)?)?;
        let sections = sections(file, add(optional_at, optional_bytes)?, count)?;
        let checksum_at = add(optional_at, 64)?;
        Ok(PeImage { bytes, checksum_at, certificate_entry_at, certificate_table_bytes, headers_bytes, sections })
    }

    /// The sections, in the order of the section table.
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The digest that firmware extends when it loads this image ("Windows Authenticode Portable Executable Signature
    /// Format", "Calculating the PE Image Hash"): all but the checksum, the certificate table and its entry.
    pub fn authenticode(&self, engine: &dyn Engine, hash: Hash) -> Result<Digest, PeError> {
        Ok(engine.digest(hash, &self.authenticode_parts()?))
    }

    fn authenticode_parts(&self) -> Result<Vec<&'a [u8]>, PeError> {
        let file = File(self.bytes);
        let after_checksum = add(self.checksum_at, 4)?;
        let mut parts = Vec::with_capacity(self.sections.len().saturating_add(4));
        parts.push(file.range(0, self.checksum_at)?);
        match self.certificate_entry_at {
            Some(entry_at) => {
                parts.push(file.range(after_checksum, entry_at)?);
                parts.push(file.range(add(entry_at, DIRECTORY_ENTRY_BYTES)?, self.headers_bytes)?);
            }
            None => parts.push(file.range(after_checksum, self.headers_bytes)?),
        }
        let mut by_position: Vec<&Section<'a>> = self.sections.iter().filter(|s| !s.raw.is_empty()).collect();
        by_position.sort_by_key(|s| s.raw_at);
        parts.extend(by_position.iter().map(|s| s.raw));
        let hashed = by_position.iter().try_fold(self.headers_bytes, |sum, s| add(sum, s.raw.len()))?;
        let end = self.bytes.len().checked_sub(self.certificate_table_bytes);
        let end = end.ok_or(PeError::OutOfFile { offset: self.bytes.len() })?;
        if end > hashed {
            parts.push(file.range(hashed, end)?);
        }
        Ok(parts)
    }
}

impl<'a> Section<'a> {
    /// The name without its padding of NULs.
    pub fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES);
        self.name.get(..end).unwrap_or_default()
    }

    /// Where the section's content stands in the file, in bytes.
    pub fn offset(&self) -> usize {
        self.raw_at
    }

    /// The content as it stands in memory once loaded: `VirtualSize` bytes. A section that memory makes longer than the
    /// file is refused, since no tool that makes unified kernel images writes one.
    pub fn loaded(&self) -> Result<&'a [u8], PeError> {
        self.raw.get(..self.virtual_bytes).ok_or(PeError::LongerInMemory { offset: self.raw_at })
    }
}

/// Bytes that are not a PE/COFF image; whoever gave the file is at fault. Offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeError {
    /// The file is longer than [`budget::IMAGE_BYTES`].
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// No PE signature or optional header magic where one must be.
    NotPe {
        /// Where it was looked for.
        offset: usize,
    },
    /// A header, section or table reaches beyond the file.
    OutOfFile {
        /// Where it starts.
        offset: usize,
    },
    /// More sections than [`budget::IMAGE_SECTIONS`].
    TooManySections {
        /// Sections claimed.
        found: usize,
    },
    /// A section is longer in memory than in the file.
    LongerInMemory {
        /// Where its content starts.
        offset: usize,
    },
}

impl fmt::Display for PeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeError::TooLong { found_bytes } => {
                write!(f, "an image of {found_bytes} bytes where at most {} are read", budget::IMAGE_BYTES)
            }
            PeError::NotPe { offset } => write!(f, "no PE/COFF header at byte {offset}"),
            PeError::OutOfFile { offset } => write!(f, "what starts at byte {offset} reaches beyond the file"),
            PeError::TooManySections { found } => {
                write!(f, "{found} sections where at most {} are read", budget::IMAGE_SECTIONS)
            }
            PeError::LongerInMemory { offset } => {
                write!(f, "the section at byte {offset} is longer in memory than in the file")
            }
        }
    }
}

impl core::error::Error for PeError {}

/// Offset of the data directories in an optional header of this magic.
fn directories_offset(magic: usize, optional_at: usize) -> Result<usize, PeError> {
    match magic {
        PE32_MAGIC => Ok(96),
        PE32_PLUS_MAGIC => Ok(112),
        _ => Err(PeError::NotPe { offset: optional_at }),
    }
}

/// Where the certificate table's directory entry stands, if there is one, and the table's length.
fn certificate_entry(file: File<'_>, directories_at: usize, end: usize) -> Result<(Option<usize>, usize), PeError> {
    let count = file.u32(directories_at.saturating_sub(4))?;
    let entry_at = add(directories_at, CERTIFICATE_DIRECTORY * DIRECTORY_ENTRY_BYTES)?;
    if count <= CERTIFICATE_DIRECTORY || add(entry_at, DIRECTORY_ENTRY_BYTES)? > end {
        return Ok((None, 0));
    }
    Ok((Some(entry_at), file.u32(add(entry_at, 4)?)?))
}

fn sections<'a>(file: File<'a>, table_at: usize, count: usize) -> Result<Vec<Section<'a>>, PeError> {
    if count > budget::IMAGE_SECTIONS {
        return Err(PeError::TooManySections { found: count });
    }
    let table_bytes = count.saturating_mul(SECTION_HEADER_BYTES);
    let table = file.slice(table_at, table_bytes)?;
    table.chunks_exact(SECTION_HEADER_BYTES).map(|header| section(file, File(header))).collect()
}

fn section<'a>(file: File<'a>, header: File<'_>) -> Result<Section<'a>, PeError> {
    let raw_bytes = header.u32(16)?;
    let raw_at = header.u32(20)?;
    let raw = if raw_bytes == 0 { &[][..] } else { file.slice(raw_at, raw_bytes)? };
    Ok(Section { name: header.array(0)?, raw, raw_at, virtual_bytes: header.u32(8)? })
}

#[derive(Clone, Copy)]
struct File<'a>(&'a [u8]);

impl<'a> File<'a> {
    fn range(self, start: usize, end: usize) -> Result<&'a [u8], PeError> {
        self.0.get(start..end).ok_or(PeError::OutOfFile { offset: start })
    }

    fn slice(self, start: usize, length: usize) -> Result<&'a [u8], PeError> {
        self.range(start, add(start, length)?)
    }

    fn array<const N: usize>(self, start: usize) -> Result<[u8; N], PeError> {
        self.slice(start, N)?.try_into().map_err(|_| PeError::OutOfFile { offset: start })
    }

    fn u16(self, start: usize) -> Result<usize, PeError> {
        Ok(usize::from(u16::from_le_bytes(self.array(start)?)))
    }

    fn u32(self, start: usize) -> Result<usize, PeError> {
        usize::try_from(u32::from_le_bytes(self.array(start)?)).map_err(|_| PeError::OutOfFile { offset: start })
    }
}

fn add(a: usize, b: usize) -> Result<usize, PeError> {
    a.checked_add(b).ok_or(PeError::OutOfFile { offset: a })
}

// "PE Format", Microsoft, revision of 2024: MS-DOS stub, COFF file header, optional header, section table.
const DOS_PE_OFFSET: usize = 0x3c;
const COFF_HEADER_BYTES: usize = 20;
const PE32_MAGIC: usize = 0x10b;
const PE32_PLUS_MAGIC: usize = 0x20b;
const CERTIFICATE_DIRECTORY: usize = 4;
const DIRECTORY_ENTRY_BYTES: usize = 8;
const SECTION_HEADER_BYTES: usize = 40;
const NAME_BYTES: usize = 8;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
pub(crate) mod tests {
    use super::*;

    /// A PE32+ file with these sections, raw data aligned to 512 bytes as linkers do.
    pub(crate) fn pe(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut file = Vec::from([0; 64]);
        file[..2].copy_from_slice(b"MZ");
        file[DOS_PE_OFFSET] = 64;
        file.extend(b"PE\0\0");
        file.extend([0x64, 0x86]);
        file.extend(u16::try_from(sections.len()).unwrap().to_le_bytes());
        file.extend([0; 12]);
        file.extend(240u16.to_le_bytes());
        file.extend([0; 2]);
        let optional_at = file.len();
        file.extend([0; 240]);
        let headers_bytes = (file.len() + sections.len() * SECTION_HEADER_BYTES).next_multiple_of(512);
        put_u32(&mut file, optional_at, u32::try_from(PE32_PLUS_MAGIC).unwrap());
        put_u32(&mut file, optional_at + 60, u32::try_from(headers_bytes).unwrap());
        put_u32(&mut file, optional_at + 108, 16);
        let mut raw_at = headers_bytes;
        for (name, content) in sections {
            let mut header = [0; SECTION_HEADER_BYTES];
            header[..name.len()].copy_from_slice(name.as_bytes());
            put_u32(&mut header, 8, u32::try_from(content.len()).unwrap());
            put_u32(&mut header, 16, u32::try_from(content.len().next_multiple_of(512)).unwrap());
            put_u32(&mut header, 20, u32::try_from(raw_at).unwrap());
            file.extend(header);
            raw_at += content.len().next_multiple_of(512);
        }
        file.resize(headers_bytes, 0);
        for (_, content) in sections {
            file.extend(*content);
            file.resize(file.len().next_multiple_of(512), 0);
        }
        file
    }

    pub(crate) fn put_u32(file: &mut [u8], at: usize, value: u32) {
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    const OPTIONAL_AT: usize = 64 + 4 + COFF_HEADER_BYTES;
    const CERTIFICATE_ENTRY_AT: usize = OPTIONAL_AT + 112 + CERTIFICATE_DIRECTORY * DIRECTORY_ENTRY_BYTES;

    fn hashed(file: &[u8]) -> Vec<u8> {
        PeImage::parse(file).unwrap().authenticode_parts().unwrap().concat()
    }

    #[test]
    fn checksum_certificates_and_their_entry_do_not_change_the_digest() {
        let plain = pe(&[(".text", b"code"), (".data", b"data")]);
        let mut signed = plain.clone();
        put_u32(&mut signed, OPTIONAL_AT + 64, 0xdead_beef);
        put_u32(&mut signed, CERTIFICATE_ENTRY_AT, u32::try_from(plain.len()).unwrap());
        put_u32(&mut signed, CERTIFICATE_ENTRY_AT + 4, 24);
        signed.extend([0xaa; 24]);
        assert_eq!(hashed(&signed), hashed(&plain));
        assert_eq!(hashed(&plain).len(), plain.len() - 4 - 8);
    }

    #[test]
    fn every_other_byte_changes_the_digest() {
        let plain = pe(&[(".text", b"code")]);
        let before = hashed(&plain);
        let is_left_out = |at: usize| {
            (OPTIONAL_AT + 64..OPTIONAL_AT + 68).contains(&at)
                || (CERTIFICATE_ENTRY_AT..CERTIFICATE_ENTRY_AT + 8).contains(&at)
        };
        for at in (0..plain.len()).filter(|at| !is_left_out(*at)) {
            let mut changed = plain.clone();
            changed[at] ^= 1;
            let after =
                PeImage::parse(&changed).and_then(|image| image.authenticode_parts()).map(|parts| parts.concat());
            assert_ne!(after.as_deref(), Ok(before.as_slice()), "byte {at}");
        }
    }

    #[test]
    fn bytes_behind_the_last_section_are_hashed() {
        let mut longer = pe(&[(".text", b"code")]);
        let before = hashed(&longer);
        longer.extend(b"more");
        assert_eq!(hashed(&longer), [before.as_slice(), b"more"].concat());
    }

    #[test]
    fn sections_are_hashed_in_the_order_of_the_file() {
        let file = pe(&[(".a", b"first"), (".b", b"second")]);
        let mut swapped = file.clone();
        let table_at = OPTIONAL_AT + 240;
        let (a, b) = (table_at..table_at + SECTION_HEADER_BYTES, table_at + SECTION_HEADER_BYTES);
        let first = file[a.clone()].to_vec();
        swapped.copy_within(b..b + SECTION_HEADER_BYTES, a.start);
        swapped[b..b + SECTION_HEADER_BYTES].copy_from_slice(&first);
        assert_eq!(hashed(&swapped)[hashed(&file).len() - 1024..], hashed(&file)[hashed(&file).len() - 1024..]);
    }

    #[test]
    fn no_prefix_of_an_image_parses_to_another_digest_or_panics() {
        let file = pe(&[(".text", b"code"), (".data", b"data")]);
        for length in 0..file.len() {
            if let Ok(image) = PeImage::parse(&file[..length]) {
                assert_ne!(image.authenticode_parts().unwrap().concat(), hashed(&file), "{length} bytes");
            }
        }
    }

    #[test]
    fn a_section_beyond_the_file_or_longer_in_memory_is_refused() {
        let file = pe(&[(".text", b"code")]);
        let header_at = OPTIONAL_AT + 240;
        let mut beyond = file.clone();
        put_u32(&mut beyond, header_at + 16, u32::MAX);
        assert!(matches!(PeImage::parse(&beyond), Err(PeError::OutOfFile { .. })));
        let mut longer = file.clone();
        put_u32(&mut longer, header_at + 8, 4096);
        let image = PeImage::parse(&longer).unwrap();
        assert!(matches!(image.sections()[0].loaded(), Err(PeError::LongerInMemory { .. })));
    }

    #[test]
    fn more_sections_than_the_budget_are_refused_before_the_table_is_read() {
        let mut file = pe(&[(".text", b"code")]);
        file[70..72].copy_from_slice(&u16::MAX.to_le_bytes());
        assert_eq!(PeImage::parse(&file).unwrap_err(), PeError::TooManySections { found: 65535 });
    }

    #[test]
    fn a_file_that_is_no_image_is_named_so() {
        assert_eq!(PeImage::parse(b"MZ").unwrap_err(), PeError::OutOfFile { offset: DOS_PE_OFFSET });
        assert_eq!(PeImage::parse(&[0; 512]).unwrap_err(), PeError::NotPe { offset: 0 });
    }
}
