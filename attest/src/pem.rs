//! PEM (RFC 7468): what people and web sites hand over. Text between the blocks is skipped, lines may be of any length.

use alloc::{string::String, vec::Vec};
use core::fmt;

/// The DER of every block with this label, such as `CERTIFICATE`.
pub fn blocks(text: &str, label: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let (begin, end) = (alloc::format!("-----BEGIN {label}-----"), alloc::format!("-----END {label}-----"));
    let mut found = Vec::new();
    for (number, rest) in text.split(begin.as_str()).skip(1).enumerate() {
        let body = rest.split_once(end.as_str()).map(|(body, _)| body).ok_or(PemError { number })?;
        let base64: Vec<char> = body.chars().filter(|letter| !letter.is_whitespace()).collect();
        let lines: String = base64.chunks(64).flat_map(|line| line.iter().chain(&['\n'])).collect();
        let block = alloc::format!("{begin}\n{lines}{end}\n");
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn blocks_of_one_label_are_read_whatever_stands_between_and_how_lines_break() {
        let text = "text\n-----BEGIN X-----\nAQ\r\nID\n-----END X-----\nmore\n-----BEGIN Y-----\nBBBB\n-----END Y-----\n-----BEGIN X-----\n\
                    BAUG\n-----END X-----";
        assert_eq!(blocks(text, "X").unwrap(), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(blocks(text, "Z").unwrap(), [[0; 0]; 0]);
        let long = alloc::format!("-----BEGIN X-----\n{}\n-----END X-----", "AAAA".repeat(100));
        assert_eq!(blocks(&long, "X").unwrap(), [[0; 300]]);
    }

    #[test]
    fn a_block_that_is_no_base64_or_does_not_end_is_an_error_with_its_number() {
        let good = "-----BEGIN X-----\nAQID\n-----END X-----\n";
        for bad in [
            "-----BEGIN X-----\nAQID\n",
            "-----BEGIN X-----\nAQ!D\n-----END X-----",
            "-----BEGIN X-----\nAQI\n-----END X-----",
        ] {
            assert_eq!(blocks(&alloc::format!("{good}{bad}"), "X"), Err(PemError { number: 1 }), "{bad}");
        }
    }
}
