//! What boot events carry beside their digests, as typed views of borrowed bytes.
//!
//! A digest says nothing about an event's type, and about its data only where it was made from it. Which part of the
//! data that may be is stated here (`coverable`); whether the digest agrees is computed in `attest`. A view of other
//! bytes than those is what the log's carrier says. Windows' nested events are left out.

mod signatures;
mod text;
mod variable;

pub use signatures::{Signature, SignatureList, SignatureLists};
pub use text::{Guid, Utf16};
pub use variable::Variable;

use crate::{
    eventlog::{Event, EventType},
    reader::Reader,
};
use core::fmt;

/// Which part of an event's data its digest is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// All of it: the rule of the specification (PFP 1.06, §10.4.1) for most types.
    Whole,
    /// EV_EFI_VARIABLE_BOOT of most firmware: the variable's content alone (measured: 219 of 284 events).
    VariableContent,
    /// EV_EFI_VARIABLE_AUTHORITY of some versions of shim: all but a last byte that they log beyond the variable
    /// (measured: 5 of 43 events).
    VariableOfShim,
    /// EV_IPL of GRUB: the text after the prefix and a space, up to its NUL ("grub_cmd: …", commands/tpm.c) or with it
    /// ("grub_cmd …", Red Hat's of 2018). The prefix is not measured, so one command can be passed off as another.
    GrubText,
}

/// The parts of an event's data that its digest may be over, the likelier first. None for images, blobs and tables:
/// they are measured themselves, never what the log says of them.
pub fn coverable<'a>(event: &Event<'a>) -> impl Iterator<Item = (Rule, &'a [u8])> + use<'a> {
    let data = event.untrusted_data;
    let whole = Some((Rule::Whole, data));
    let parts = match event.event_type {
        EventType::NO_ACTION
        | EventType::EFI_BOOT_SERVICES_APPLICATION
        | EventType::EFI_BOOT_SERVICES_DRIVER
        | EventType::EFI_RUNTIME_SERVICES_DRIVER
        | EventType::EFI_PLATFORM_FIRMWARE_BLOB
        | EventType::EFI_PLATFORM_FIRMWARE_BLOB2
        | EventType::EFI_HANDOFF_TABLES
        | EventType::EFI_HANDOFF_TABLES2 => [None, None, None],
        EventType::EFI_VARIABLE_BOOT => {
            let variable = Variable::parse(data).ok();
            [variable.map(|variable| (Rule::VariableContent, variable.content())), whole, None]
        }
        EventType::EFI_VARIABLE_AUTHORITY => {
            [whole, data.split_last().map(|(_, logged)| (Rule::VariableOfShim, logged)), None]
        }
        EventType::IPL => {
            let text = after_prefix(data);
            let until_nul = text.and_then(|text| text.strip_suffix(&[0]));
            [until_nul.map(|text| (Rule::GrubText, text)), whole, text.map(|text| (Rule::GrubText, text))]
        }
        _ => [whole, None, None],
    };
    parts.into_iter().flatten().filter(|(_, part)| !part.is_empty())
}

/// A typed view of an event's data, or of the part that is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventData<'a> {
    /// EV_SEPARATOR: 0 ends what the firmware measured into a PCR of 0–7, another value there tells of an error.
    Separator(u32),
    /// UEFI_VARIABLE_DATA, whole.
    Variable(Variable<'a>),
    /// The content of a boot variable whose name is not covered.
    VariableContent(&'a [u8]),
    /// What GRUB measured of one command, command line or module, without NUL.
    GrubText(&'a [u8]),
    /// TCG_PCClientTaggedEvent.
    Tagged(Tagged<'a>),
    /// UEFI_IMAGE_LOAD_EVENT: never covered.
    UntrustedImage(UntrustedImage<'a>),
    /// UEFI_PLATFORM_FIRMWARE_BLOB2's description: never covered.
    UntrustedBlob(&'a [u8]),
    /// EV_NO_ACTION that says from which locality the TPM was started: never covered.
    UntrustedStartup(u8),
    /// Anything else; often text.
    Other(&'a [u8]),
}

impl<'a> EventData<'a> {
    /// Reads `bytes` as what an event of this type carries; what does not fit its form is `Other`.
    pub fn read(event_type: EventType, rule: Rule, bytes: &'a [u8]) -> EventData<'a> {
        let typed = match (rule, event_type) {
            (Rule::VariableContent, _) => Some(EventData::VariableContent(bytes)),
            (Rule::GrubText, _) => Some(EventData::GrubText(bytes.strip_suffix(&[0]).unwrap_or(bytes))),
            (_, EventType::NO_ACTION) => startup_locality(bytes).map(EventData::UntrustedStartup),
            (_, EventType::SEPARATOR) => separator(bytes).map(EventData::Separator),
            (_, EventType::EVENT_TAG) => Tagged::parse(bytes).ok().map(EventData::Tagged),
            (_, EventType::EFI_PLATFORM_FIRMWARE_BLOB2) => blob_description(bytes).map(EventData::UntrustedBlob),
            (_, kind) if kind.is_variable() => Variable::parse(bytes).ok().map(EventData::Variable),
            (_, kind) if kind.is_image() => UntrustedImage::parse(bytes).map(EventData::UntrustedImage),
            _ => None,
        };
        typed.unwrap_or(EventData::Other(bytes))
    }
}

/// Event data that is not of the form of its type; the firmware, or whoever carried the log, is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataError {
    /// Its lengths do not fill it exactly.
    Length,
    /// An EFI_SIGNATURE_LIST with header bytes, which no type has and no reader would see.
    SignatureHeader,
    /// The entries of an EFI_SIGNATURE_LIST are too small, or do not divide it.
    SignatureSize,
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataError::Length => "the lengths in the event's data do not fill it",
            DataError::SignatureHeader => "a signature list with a header, which no type of signature has",
            DataError::SignatureSize => "the entries of a signature list do not fill it",
        })
    }
}

impl core::error::Error for DataError {}

/// The locality of a StartupLocality event (PFP 1.06, §10.4.5.3); `None` for any other, and for values that the
/// specification does not have.
pub fn startup_locality(data: &[u8]) -> Option<u8> {
    match data.strip_prefix(STARTUP_LOCALITY) {
        Some(&[locality @ (0 | 3 | 4)]) => Some(locality),
        _ => None,
    }
}

/// GRUB's text, with its NUL where it has one.
fn after_prefix(data: &[u8]) -> Option<&[u8]> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    data.get(space.checked_add(1)?..)
}

fn separator(data: &[u8]) -> Option<u32> {
    data.try_into().ok().map(u32::from_le_bytes)
}

/// TCG_PCClientTaggedEvent (PFP 1.06, §10.4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// taggedEventID.
    pub tag: u32,
    /// taggedEventData.
    pub data: &'a [u8],
}

impl<'a> Tagged<'a> {
    /// Reads all of the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Tagged<'a>, DataError> {
        let mut reader = Reader { bytes };
        let tagged = (|| Some(Tagged { tag: reader.u32()?, data: reader.sized()? }))();
        tagged.and_then(|tagged| reader.finish(tagged)).ok_or(DataError::Length)
    }
}

/// UEFI_IMAGE_LOAD_EVENT (PFP 1.06, §10.2.3). The event's digest is the image's; where it came from nobody measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntrustedImage<'a> {
    device_path: &'a [u8],
}

impl<'a> UntrustedImage<'a> {
    /// Some versions of shim log another length than that of the device path, so its own end counts.
    fn parse(bytes: &'a [u8]) -> Option<UntrustedImage<'a>> {
        let device_path = bytes.get(IMAGE_HEADER_BYTES..)?;
        Some(UntrustedImage { device_path })
    }

    /// The file names in the device path, one after another (UEFI 2.10, §10.3.4.4); empty for images from flash or
    /// option ROMs.
    pub fn file_names(&self) -> impl Iterator<Item = Utf16<'a>> + use<'a> {
        DevicePath { reader: Reader { bytes: self.device_path } }
            .filter(|node| node.kind == FILE_PATH)
            .filter_map(|node| Utf16::until_nul(node.data))
    }
}

/// Nodes of a device path; ends at its end node and at the first that does not fit.
struct DevicePath<'a> {
    reader: Reader<'a>,
}

struct DevicePathNode<'a> {
    kind: [u8; 2],
    data: &'a [u8],
}

impl<'a> Iterator for DevicePath<'a> {
    type Item = DevicePathNode<'a>;

    fn next(&mut self) -> Option<DevicePathNode<'a>> {
        let kind = self.reader.array()?;
        let size = usize::from(self.reader.u16()?).checked_sub(DEVICE_PATH_HEADER_BYTES)?;
        let data = self.reader.take(size)?;
        (kind != DEVICE_PATH_END).then_some(DevicePathNode { kind, data })
    }
}

/// BlobDescription of a UEFI_PLATFORM_FIRMWARE_BLOB2 (PFP 1.06, §10.2.5).
fn blob_description(bytes: &[u8]) -> Option<&[u8]> {
    let (size, rest) = bytes.split_first()?;
    rest.get(..usize::from(*size))
}

const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";
/// Location in memory, length, link-time address and length of the device path.
const IMAGE_HEADER_BYTES: usize = 32;
/// Type, subtype and length of a node (UEFI 2.10, §10.3.1).
const DEVICE_PATH_HEADER_BYTES: usize = 4;
/// UEFI 2.10, §10.3.4.4.
const FILE_PATH: [u8; 2] = [4, 4];
/// UEFI 2.10, §10.3.1.
const DEVICE_PATH_END: [u8; 2] = [0x7f, 0xff];
