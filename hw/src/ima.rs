//! The kernel's IMA list, `binary_runtime_measurements` (Linux, security/integrity/ima/ima_fs.c).
//!
//! Templates `ima`, `ima-ng`, `ima-sig` and any other of the same framing. Borrowed, without allocation; ends after
//! the first error. A list can be read from any entry on: entries do not refer to each other.

use crate::budget;
use core::fmt;

/// One entry.
#[derive(Debug, Clone, Copy)]
pub struct ImaEntry<'a> {
    /// Position, counted from the number that the reader was given.
    pub number: u64,
    /// The PCR; IMA is configured for 10.
    pub pcr: u32,
    /// SHA-1 of the template data as the kernel wrote it; all zero for a violation.
    pub template_digest: [u8; 20],
    /// What the template digest is over.
    pub template: Template<'a>,
}

/// Template data, as it is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template<'a> {
    /// `ima`: SHA-1 of the file and its name, hashed with the name filled up to 256 bytes.
    Legacy {
        /// SHA-1 of the file.
        file_digest: &'a [u8],
        /// Without NUL.
        name: &'a [u8],
    },
    /// `ima-ng`, `ima-sig` and relatives: fields with their lengths, hashed as they stand.
    Fields {
        /// `ima-ng`, `ima-sig`, …
        template: &'a [u8],
        /// All fields.
        data: &'a [u8],
    },
}

/// Why the list is not read on; the kernel, or whoever carried the list, is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImaError {
    /// An entry ends beyond the list.
    Truncated {
        /// Its number.
        entry: u64,
    },
    /// A template name or a field is longer than the kernel writes.
    TooLong {
        /// The entry's number.
        entry: u64,
    },
}

impl fmt::Display for ImaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImaError::Truncated { entry } => write!(f, "IMA entry {entry} ends beyond the list"),
            ImaError::TooLong { entry } => write!(f, "IMA entry {entry} is longer than a kernel writes"),
        }
    }
}

impl core::error::Error for ImaError {}

impl<'a> ImaEntry<'a> {
    /// Whether the kernel could not tell what was read: the file was open for writing. The PCR got all ones.
    pub fn is_violation(&self) -> bool {
        self.template_digest == [0; 20]
    }

    /// Algorithm name and digest of the file; for `ima-ng` and `ima-sig` the first field, "name:\0digest".
    pub fn file_digest(&self) -> Option<(&'a [u8], &'a [u8])> {
        match self.template {
            Template::Legacy { file_digest, .. } => Some((b"sha1", file_digest)),
            Template::Fields { data, .. } => {
                let (field, _) = field(data)?;
                let colon = field.windows(2).position(|pair| pair == b":\0")?;
                Some((field.get(..colon)?, field.get(colon.checked_add(2)?..)?))
            }
        }
    }

    /// Path of the file, as the kernel saw it, without NUL.
    pub fn path(&self) -> Option<&'a [u8]> {
        match self.template {
            Template::Legacy { name, .. } => Some(name),
            Template::Fields { data, .. } => {
                let (path, _) = field(field(data)?.1)?;
                path.strip_suffix(b"\0")
            }
        }
    }
}

/// Iterator over a list's entries.
#[derive(Debug, Clone)]
pub struct ImaList<'a> {
    bytes: &'a [u8],
    number: u64,
}

impl<'a> ImaList<'a> {
    /// Reads entries; the first has this number.
    pub fn from(number: u64, bytes: &'a [u8]) -> ImaList<'a> {
        ImaList { bytes, number }
    }

    fn read(&mut self) -> Result<ImaEntry<'a>, ImaError> {
        let entry = self.number;
        let too_long = ImaError::TooLong { entry };
        let mut cursor = Cursor { bytes: self.bytes, truncated: ImaError::Truncated { entry } };
        let pcr = u32::from_le_bytes(cursor.array()?);
        let template_digest = cursor.array()?;
        let name = cursor.sized(budget::IMA_TEMPLATE_NAME_BYTES, too_long)?;
        let template = if name == b"ima" {
            let file_digest = cursor.take(20)?;
            Template::Legacy { file_digest, name: cursor.sized(budget::IMA_LEGACY_NAME_BYTES, too_long)? }
        } else {
            Template::Fields { template: name, data: cursor.sized(budget::IMA_DATA_BYTES, too_long)? }
        };
        self.bytes = cursor.bytes;
        self.number = entry.saturating_add(1);
        Ok(ImaEntry { number: entry, pcr, template_digest, template })
    }
}

impl<'a> Iterator for ImaList<'a> {
    type Item = Result<ImaEntry<'a>, ImaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.bytes = &[];
        }
        Some(entry)
    }
}

/// The first field of template data, and what follows it.
fn field(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    truncated: ImaError,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, size_bytes: usize) -> Result<&'a [u8], ImaError> {
        let (taken, rest) = self.bytes.split_at_checked(size_bytes).ok_or(self.truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImaError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(self.truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// A u32 length and as many bytes.
    fn sized(&mut self, limit_bytes: usize, too_long: ImaError) -> Result<&'a [u8], ImaError> {
        let size = usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| too_long)?;
        if size > limit_bytes { Err(too_long) } else { self.take(size) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
    }

    fn entry(digest: u8, template: &[u8], data: &[u8]) -> Vec<u8> {
        [&10u32.to_le_bytes()[..], &[digest; 20], &sized(template), data].concat()
    }

    fn ng(digest: u8) -> Vec<u8> {
        let fields = [sized(b"sha256:\0\x01\x02"), sized(b"/bin/true\0")].concat();
        entry(digest, b"ima-ng", &sized(&fields))
    }

    #[test]
    fn entries_give_digest_path_and_number_from_the_resume_point_on() {
        let legacy = entry(5, b"ima", &[&[3u8; 20][..], &sized(b"/init")].concat());
        let list = [ng(1), legacy, ng(0)].concat();
        let entries: Vec<_> = ImaList::from(7, &list).map(Result::unwrap).collect();
        assert_eq!(entries.iter().map(|e| e.number).collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(entries[0].file_digest(), Some((&b"sha256"[..], &[1, 2][..])));
        assert_eq!(entries[0].path(), Some(&b"/bin/true"[..]));
        assert_eq!(entries[1].path(), Some(&b"/init"[..]));
        let violations: Vec<_> = entries.iter().map(ImaEntry::is_violation).collect();
        assert_eq!(violations, [false, false, true]);
    }

    #[test]
    fn a_cut_list_gives_an_error_once_and_ends() {
        let list = [ng(1), ng(2)].concat();
        for cut in 1..list.len() {
            let read: Vec<_> = ImaList::from(0, &list[..cut]).collect();
            let is_whole = cut == list.len() / 2;
            assert_eq!(read.last().unwrap().is_ok(), is_whole, "cut at {cut}");
            assert!(read.iter().filter(|entry| entry.is_err()).count() <= 1);
        }
    }

    #[test]
    fn a_claimed_length_beyond_what_a_kernel_writes_is_refused() {
        let mut list = entry(1, b"ima-ng", &u32::MAX.to_le_bytes());
        list.extend(vec![0; 64]);
        assert_eq!(ImaList::from(3, &list).next().unwrap().unwrap_err(), ImaError::TooLong { entry: 3 });
    }
}
