//! UEFI variables as boot events carry them.

use super::{DataError, Guid, Utf16};
use crate::reader::Reader;

/// UEFI_VARIABLE_DATA (PFP 1.06, §10.2.6), whose lengths fill it exactly: no byte of it is unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    vendor: Guid,
    name: Utf16<'a>,
    content: &'a [u8],
}

impl<'a> Variable<'a> {
    /// Reads all of the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Variable<'a>, DataError> {
        fields(bytes).ok_or(DataError::Length)
    }

    /// Who defines the name.
    pub fn vendor(&self) -> Guid {
        self.vendor
    }

    /// The name. Beware: without the vendor it says nothing.
    pub fn name(&self) -> Utf16<'a> {
        self.name
    }

    /// What the variable holds; empty where it is absent, which is not the same as off.
    pub fn content(&self) -> &'a [u8] {
        self.content
    }

    /// Whether this is the variable that the UEFI specification calls so, and no other vendor's of the same name.
    pub fn is_named(&self, name: &str) -> bool {
        let vendor = match name {
            "db" | "dbx" | "dbt" | "dbr" => Guid::SECURITY_DATABASE,
            _ => Guid::GLOBAL_VARIABLE,
        };
        self.vendor == vendor && self.name == *name
    }
}

fn fields(bytes: &[u8]) -> Option<Variable<'_>> {
    let mut reader = Reader { bytes };
    let vendor = Guid(reader.array()?);
    let (name_units, content_bytes) = (reader.size64()?, reader.size64()?);
    let name = Utf16::new(reader.take(name_units.checked_mul(2)?)?)?;
    let content = reader.take(content_bytes)?;
    reader.finish(Variable { vendor, name, content })
}
