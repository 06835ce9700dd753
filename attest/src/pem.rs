//! PEM (RFC 7468): what people and web sites hand over. Text between the blocks is skipped.

use alloc::{string::String, vec::Vec};
use core::fmt;

/// The DER of every block with this label, such as `CERTIFICATE`.
pub fn blocks(text: &str, label: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let (begin, end) = (alloc::format!("-----BEGIN {label}-----"), alloc::format!("-----END {label}-----"));
    let mut found = Vec::new();
    for (number, rest) in text.split(begin.as_str()).skip(1).enumerate() {
        let body = rest.split_once(end.as_str()).map(|(body, _)| body).ok_or(PemError { number })?;
        let lines: String = body.lines().flat_map(|line| [line.trim(), "\n"]).collect();
        let block = alloc::format!("{begin}\n{}\n{end}\n", lines.trim());
        let (_, der) = der::pem::decode_vec(block.as_bytes()).map_err(|_| PemError { number })?;
        found.push(der);
    }
    Ok(found)
}

/// A block that does not end, or is not base64; who wrote the file is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PemError {
    /// Which block, from 0 on.
    pub number: usize,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PEM block {} does not end, or is no base64", self.number)
    }
}

impl core::error::Error for PemError {}
