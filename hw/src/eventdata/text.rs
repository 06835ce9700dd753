//! Texts and names of UEFI.

use core::fmt;

/// UTF-16, little endian, of any content: `Display` shows U+FFFD for what is no character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utf16<'a> {
    units: &'a [[u8; 2]],
}

impl<'a> Utf16<'a> {
    /// All of the bytes; `None` where their number is odd.
    pub fn new(bytes: &'a [u8]) -> Option<Utf16<'a>> {
        match bytes.as_chunks() {
            (units, []) => Some(Utf16 { units }),
            _ => None,
        }
    }

    /// The text before the first NUL, which must be there.
    pub fn until_nul(bytes: &'a [u8]) -> Option<Utf16<'a>> {
        let (units, _) = bytes.as_chunks();
        let end = units.iter().position(|unit| *unit == [0, 0])?;
        units.get(..end).map(|units| Utf16 { units })
    }

    /// Its characters.
    pub fn chars(&self) -> impl Iterator<Item = char> + Clone + use<'a> {
        let units = self.units.iter().map(|unit| u16::from_le_bytes(*unit));
        char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

impl PartialEq<str> for Utf16<'_> {
    fn eq(&self, text: &str) -> bool {
        self.units.iter().map(|unit| u16::from_le_bytes(*unit)).eq(text.encode_utf16())
    }
}

impl fmt::Display for Utf16<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.chars().try_for_each(|char| f.write_char(char))
    }
}

/// An EFI_GUID as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// EFI_GLOBAL_VARIABLE (UEFI 2.10, §3.3): SecureBoot, PK, KEK, Boot####.
    pub const GLOBAL_VARIABLE: Guid = Guid(guid(0x8be4_df61, 0x93ca, 0x11d2, 0xaa0d_00e0_9803_2b8c));
    /// EFI_IMAGE_SECURITY_DATABASE_GUID (UEFI 2.10, §32.4.1): db, dbx, dbt, dbr.
    pub const SECURITY_DATABASE: Guid = Guid(guid(0xd719_b2cb, 0x3d3a, 0x4596, 0xa3bc_dad0_0e67_656f));
    /// EFI_CERT_SHA256_GUID (UEFI 2.10, §32.4.1).
    pub const CERT_SHA256: Guid = Guid(guid(0xc1c4_1626, 0x504c, 0x4092, 0xaca9_41f9_3693_4328));
    /// EFI_CERT_X509_GUID (UEFI 2.10, §32.4.1).
    pub const CERT_X509: Guid = Guid(guid(0xa5c0_59a1, 0x94e4, 0x4aa7, 0x87b5_ab15_5c2b_f072));
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q] = self.0;
        let (first, second, third) =
            (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, g]), u16::from_le_bytes([h, i]));
        write!(f, "{first:08x}-{second:04x}-{third:04x}-{j:02x}{k:02x}-{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}{q:02x}")
    }
}

/// The bytes of a GUID from its parts as they are written.
const fn guid(first: u32, second: u16, third: u16, rest: u64) -> [u8; 16] {
    let ([a, b, c, d], [e, f], [g, h]) = (first.to_le_bytes(), second.to_le_bytes(), third.to_le_bytes());
    let [i, j, k, l, m, n, o, p] = rest.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}
