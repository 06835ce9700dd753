//! Names of a TPM in its certificate: maker, model and version (TCG EK Credential Profile 2.6, 3.2.9), and the hardware
//! module name of an IDevID (TPM 2.0 Keys for Device Identity and Attestation 1.0, 8.1).

use crate::certificate::Certificate;
use alloc::{string::String, string::ToString, vec::Vec};
use core::{fmt, str::FromStr};
use der::{Tag, Tagged, asn1::ObjectIdentifier};
use x509_cert::{
    attr::AttributeTypeAndValue,
    ext::pkix::name::{GeneralName, HardwareModuleName},
};

/// Maker, model and version, as the maker's authority wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmNames {
    /// TCG vendor id.
    pub maker: Maker,
    /// The maker's word for the chip.
    pub model: String,
    /// The maker's word for the firmware that was certified; the running one stands in the quote.
    pub version: String,
}

impl fmt::Display for TpmNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.maker, self.model, self.version)
    }
}

/// A TCG vendor id (TCG TPM Vendor ID Registry): four bytes, mostly letters, filled up with spaces or NULs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Maker([u8; 4]);

impl Maker {
    /// The id of a TPM_PT_MANUFACTURER or of a certificate; a space at the end counts as NUL.
    pub fn new(id: u32) -> Maker {
        let mut bytes = id.to_be_bytes();
        bytes.iter_mut().rev().take_while(|byte| matches!(byte, 0 | b' ')).for_each(|byte| *byte = 0);
        Maker(bytes)
    }
}

impl FromStr for Maker {
    type Err = NamesError;

    /// `id:4E544300`, as in certificates, or the letters, as people write them.
    fn from_str(text: &str) -> Result<Maker, NamesError> {
        if let Some(digits) = text.strip_prefix("id:") {
            let is_whole = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let id = u32::from_str_radix(digits, 16).ok().filter(|_| is_whole);
            return id.map(Maker::new).ok_or(NamesError::Maker);
        }
        let mut bytes = [0; 4];
        let letters = bytes.get_mut(..text.len()).filter(|_| !text.is_empty()).ok_or(NamesError::Maker)?;
        letters.copy_from_slice(text.as_bytes());
        if text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Maker(bytes)) } else { Err(NamesError::Maker) }
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: Vec<u8> = self.0.iter().copied().take_while(|byte| byte.is_ascii_graphic()).collect();
        match core::str::from_utf8(&letters) {
            Ok(text) if !text.is_empty() => f.write_str(text),
            _ => write!(f, "id:{:08X}", u32::from_be_bytes(self.0)),
        }
    }
}

/// The names in the directory names of subjectAltName: one RDN each, or all in one; `None` where there are none at all.
pub fn read(certificate: &Certificate) -> Result<Option<TpmNames>, NamesError> {
    let names = certificate.alternative_names().into_iter().flat_map(|names| names.0.iter());
    let attributes: Vec<&AttributeTypeAndValue> = names
        .filter_map(|name| if let GeneralName::DirectoryName(name) = name { Some(name) } else { None })
        .flat_map(|name| name.iter())
        .collect();
    let [maker, model, version] = [MANUFACTURER, MODEL, VERSION].map(|oid| only(&attributes, oid));
    match (maker?, model?, version?) {
        (None, None, None) => Ok(None),
        (Some(maker), Some(model), Some(version)) => Ok(Some(TpmNames { maker: maker.parse()?, model, version })),
        _ => Err(NamesError::Incomplete),
    }
}

/// Kind and serial number of the device that an IDevID or IAK certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardwareModule {
    /// hwType: for TPMs below 2.23.133.1.
    pub kind: ObjectIdentifier,
    /// hwSerialNum.
    pub serial_number: Vec<u8>,
}

impl fmt::Display for HardwareModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(&self.serial_number) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
                write!(f, "{} {text}", self.kind)
            }
            _ => {
                write!(f, "{} ", self.kind)?;
                self.serial_number.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// The HardwareModuleName in subjectAltName (RFC 4108 §5), where there is one.
pub fn hardware_module(certificate: &Certificate) -> Option<HardwareModule> {
    let mut names = certificate.alternative_names()?.0.iter();
    names.find_map(|name| {
        let GeneralName::OtherName(other) = name else {
            return None;
        };
        let module = HardwareModuleName::from_other_name(other).ok()??;
        Some(HardwareModule { kind: module.hw_type, serial_number: module.hw_serial_num.as_bytes().to_vec() })
    })
}

/// Why the names of a TPM cannot be told; its maker is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesError {
    /// An attribute stands twice.
    Twice,
    /// Some of maker, model and version are there, and some not.
    Incomplete,
    /// An attribute is no text, or longer than a name.
    Text,
    /// No TCG vendor id.
    Maker,
}

impl fmt::Display for NamesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NamesError::Twice => "maker, model or version of the TPM stands twice",
            NamesError::Incomplete => "only some of maker, model and version of the TPM are there",
            NamesError::Text => "maker, model or version of the TPM is no short text",
            NamesError::Maker => "the TPM's maker is no TCG vendor id",
        })
    }
}

impl core::error::Error for NamesError {}

fn only(attributes: &[&AttributeTypeAndValue], oid: ObjectIdentifier) -> Result<Option<String>, NamesError> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let text = found.next().map(|attribute| text(attribute)).transpose()?;
    if found.next().is_some() { Err(NamesError::Twice) } else { Ok(text) }
}

fn text(attribute: &AttributeTypeAndValue) -> Result<String, NamesError> {
    let bytes = attribute.value.value();
    let is_text = matches!(attribute.value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
    let text = core::str::from_utf8(bytes).ok().filter(|text| is_text && text.len() <= MAX_TEXT_BYTES);
    text.filter(|text| text.chars().all(|letter| !letter.is_control()))
        .map(|text| text.to_string())
        .ok_or(NamesError::Text)
}

/// Ours; the longest model seen has 12 bytes.
const MAX_TEXT_BYTES: usize = 128;
const MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.1"); // EK Credential Profile 2.6, 3.1.2
const MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.2"); // EK Credential Profile 2.6, 3.1.2
const VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.3"); // EK Credential Profile 2.6, 3.1.2
