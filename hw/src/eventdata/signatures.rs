//! EFI_SIGNATURE_LIST: what PK, KEK, db and dbx hold.

use super::{DataError, Guid};
use crate::reader::Reader;

/// The lists in a variable's content; ends after the first that is malformed.
#[derive(Debug, Clone)]
pub struct SignatureLists<'a> {
    rest: &'a [u8],
}

/// EFI_SIGNATURE_LIST (UEFI 2.10, §32.4.1): its entries fill it exactly and it has no header, so no byte of it is unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureList<'a> {
    /// What its entries are: see `Guid::CERT_X509` and `Guid::CERT_SHA256`.
    pub kind: Guid,
    entry_bytes: usize,
    entries: &'a [u8],
}

/// EFI_SIGNATURE_DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Who put it there; nothing checks that.
    pub untrusted_owner: Guid,
    /// A certificate, or a digest.
    pub data: &'a [u8],
}

impl<'a> SignatureLists<'a> {
    /// The lists in the content of PK, KEK, db or dbx.
    pub fn new(content: &'a [u8]) -> SignatureLists<'a> {
        SignatureLists { rest: content }
    }
}

impl<'a> Iterator for SignatureLists<'a> {
    type Item = Result<SignatureList<'a>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut reader = Reader { bytes: core::mem::take(&mut self.rest) };
        let list = list(&mut reader);
        if list.is_ok() {
            self.rest = reader.bytes;
        }
        Some(list)
    }
}

impl<'a> SignatureList<'a> {
    /// Its entries.
    pub fn signatures(&self) -> impl Iterator<Item = Signature<'a>> + use<'a> {
        self.entries.chunks_exact(self.entry_bytes.max(1)).filter_map(Signature::parse)
    }
}

impl<'a> Signature<'a> {
    /// One entry; the content of an EV_EFI_VARIABLE_AUTHORITY event of firmware is one.
    pub fn parse(entry: &'a [u8]) -> Option<Signature<'a>> {
        let (owner, data) = entry.split_first_chunk()?;
        Some(Signature { untrusted_owner: Guid(*owner), data })
    }
}

fn list<'a>(reader: &mut Reader<'a>) -> Result<SignatureList<'a>, DataError> {
    let header = (|| Some((Guid(reader.array()?), reader.u32()?, reader.u32()?, reader.u32()?)))();
    let (kind, list_bytes, header_bytes, entry_bytes) = header.ok_or(DataError::Length)?;
    if header_bytes != 0 {
        return Err(DataError::SignatureHeader);
    }
    let size = |bytes: u32| usize::try_from(bytes).map_err(|_| DataError::Length);
    let entries_bytes = size(list_bytes)?.checked_sub(LIST_HEADER_BYTES).ok_or(DataError::Length)?;
    let entries = reader.take(entries_bytes).ok_or(DataError::Length)?;
    let entry_bytes = size(entry_bytes)?;
    let divides = entries.len().checked_rem(entry_bytes) == Some(0);
    if entry_bytes <= OWNER_BYTES || !divides || !fits(kind, entry_bytes) {
        return Err(DataError::SignatureSize);
    }
    Ok(SignatureList { kind, entry_bytes, entries })
}

/// Whether a digest has the size of its algorithm; certificates have any.
fn fits(kind: Guid, entry_bytes: usize) -> bool {
    kind != Guid::CERT_SHA256 || entry_bytes == OWNER_BYTES.saturating_add(32)
}

/// SignatureType and three sizes.
const LIST_HEADER_BYTES: usize = 28;
const OWNER_BYTES: usize = 16;
