//! What a VM is called, by its client.

use crate::error::{Invalid, VM_ID};
use crate::{budget::VM_ID_BYTES, text::text};
use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

text! {
    /// The name that a client chose for a VM: 1 to 63 of `a-z 0-9 -`, the first a letter or a digit, so that it can be a
    /// file's name, a host's and a part of a path without any escape.
    VmId(String), VM_ID
}

impl VmId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VmId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<VmId, Invalid> {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_id = text.len() <= VM_ID_BYTES && text.bytes().all(is_inner) && !text.starts_with('-');
        if is_id && !text.is_empty() { Ok(VmId(text.to_owned())) } else { Err(Invalid::vm_id(text)) }
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
