//! What an image is called: by what it contains.

use crate::error::{IMAGE_DIGEST, Invalid};
use crate::text::text;
use alloc::{format, string::String};
use core::{fmt, str::FromStr};

text! {
    /// SHA-256 of an image's bytes, written `sha256:<64 lower-case hexadecimal digits>`. Holding one does not prove that
    /// there is such an image.
    #[derive(Copy)]
    ImageDigest([u8; 32]), IMAGE_DIGEST
}

impl ImageDigest {
    /// The digest of an image whose bytes somebody hashed.
    pub const fn from_bytes(bytes: [u8; 32]) -> ImageDigest {
        ImageDigest(bytes)
    }

    /// The digest's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name of its file in a store: the hexadecimal digits.
    pub fn file_name(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for ImageDigest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<ImageDigest, Invalid> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == DIGITS);
        digits.and_then(bytes).map(ImageDigest).ok_or_else(|| Invalid::image_digest(text))
    }
}

fn bytes(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut nibbles = digits.bytes().map(nibble);
    for byte in &mut bytes {
        *byte = nibbles.next()?? << 4 | nibbles.next()??;
    }
    Some(bytes)
}

/// One spelling only: an image has one name.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

const PREFIX: &str = "sha256:";
/// Hexadecimal digits of SHA-256.
const DIGITS: usize = 64;
