//! A boot event's data in words for people. Texts of a log are quoted, escaped and cut: they come from outside.

use garant_attest::replay::CoveredData;
use garant_hw::{
    eventdata::{EventData, Guid, Rule, SignatureLists, UntrustedImage, Utf16, Variable},
    eventlog::{Event, EventType},
};

/// What the covered part says; a name beside it that no digest covers is marked.
pub(crate) fn covered_words(event: &Event<'_>, covered: CoveredData<'_>) -> String {
    let words = words(event, EventData::read(event.event_type, covered.rule(), covered.bytes()));
    match covered.rule() {
        Rule::Whole | Rule::VariableOfShim => words,
        Rule::VariableContent => match Variable::parse(event.untrusted_data) {
            Ok(variable) => format!("{words} (untrusted name: {})", quoted(variable.name().chars())),
            Err(_) => words,
        },
        Rule::GrubText => {
            let prefix = event.untrusted_data.split(|byte| *byte == b' ').next().unwrap_or_default();
            format!("{words} (untrusted prefix: {})", text(prefix))
        }
    }
}

/// What all of the data says, which nothing proves.
pub(crate) fn untrusted_words(event: &Event<'_>) -> String {
    let data = EventData::read(event.event_type, Rule::Whole, event.untrusted_data);
    match (data, event.untrusted_data.split_at_checked(SIGNATURE_BYTES)) {
        (EventData::Other(_), Some((signature, _))) if !event.is_measured() => text(until_nul(signature)),
        _ => words(event, data),
    }
}

fn words(event: &Event<'_>, data: EventData<'_>) -> String {
    match data {
        EventData::Separator(0) => "separator".to_owned(),
        EventData::Separator(value) => format!("separator of value {value:#010x}"),
        EventData::Variable(variable) => variable_words(event.event_type, &variable),
        EventData::VariableContent(content) => format!("content {}", text(content)),
        EventData::GrubText(bytes) | EventData::UntrustedBlob(bytes) | EventData::Other(bytes) => text(bytes),
        EventData::Tagged(tagged) => format!("tag {:#010x} {}", tagged.tag, text(tagged.data)),
        EventData::UntrustedImage(image) => image_words(&image),
        EventData::UntrustedStartup(locality) => format!("the TPM was started from locality {locality}"),
    }
}

fn variable_words(event_type: EventType, variable: &Variable<'_>) -> String {
    let name = match variable.vendor() {
        Guid::GLOBAL_VARIABLE | Guid::SECURITY_DATABASE => quoted(variable.name().chars()),
        vendor => format!("{} of {vendor}", quoted(variable.name().chars())),
    };
    let content = variable.content();
    // The authority that let an image start is one entry of a list.
    let is_list = event_type != EventType::EFI_VARIABLE_AUTHORITY;
    let is_key_list = is_list && ["PK", "KEK", "db", "dbx"].into_iter().any(|key| variable.is_named(key));
    match content {
        [] => format!("variable {name} is absent or empty"),
        _ if is_key_list => format!("variable {name}: {}", signature_words(content)),
        _ => format!("variable {name} = {}", text(content)),
    }
}

fn signature_words(content: &[u8]) -> String {
    let mut lists = SignatureLists::new(content);
    let (mut certificates, mut others) = (0usize, 0usize);
    let fault = lists.find_map(|list| match list {
        Ok(list) if list.kind == Guid::CERT_X509 => {
            certificates = certificates.saturating_add(list.signatures().count());
            None
        }
        Ok(list) => {
            others = others.saturating_add(list.signatures().count());
            None
        }
        Err(fault) => Some(fault),
    });
    let counted = format!("{certificates} certificates and {others} digests");
    fault.map_or(counted.clone(), |fault| format!("{counted}, then {fault}"))
}

fn image_words(image: &UntrustedImage<'_>) -> String {
    let path: String = image.file_names().flat_map(|name| name.chars()).collect();
    if path.is_empty() { "image without a file name".to_owned() } else { format!("image {}", quoted(path.chars())) }
}

/// Bytes as text where they are text in ASCII or UTF-16, else as hexadecimal digits.
fn text(bytes: &[u8]) -> String {
    let ascii = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let is_text =
        |char: char| (!char.is_control() || matches!(char, '\n' | '\t')) && char != char::REPLACEMENT_CHARACTER;
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    if let Some(text) = std::str::from_utf8(ascii).ok().filter(|text| !text.is_empty() && text.chars().all(is_text)) {
        return quoted(text.chars());
    }
    let wide = bytes.strip_suffix(&[0, 0]).unwrap_or(bytes);
    match Utf16::new(wide)
        .filter(|wide| wide.chars().count() > 1 && wide.chars().all(|char| char.is_ascii() && is_text(char)))
    {
        Some(text) => quoted(text.chars()),
        None => shortened_hex(bytes),
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

fn quoted(mut chars: impl Iterator<Item = char>) -> String {
    let shown: String = chars.by_ref().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("\"{shown}\"{more}")
}

/// Lowercase hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shortened_hex(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_BYTES) {
        Some(head) if head.len() < bytes.len() => format!("{}… ({} bytes)", hex(head), bytes.len()),
        _ => hex(bytes),
    }
}

/// Signature of an EV_NO_ACTION event (PFP 1.06, §10.4.5).
const SIGNATURE_BYTES: usize = 16;
/// A kernel's command line is the longest text that one wants to read whole.
const SHOWN_CHARACTERS: usize = 512;
/// Shows a digest whole.
const SHOWN_BYTES: usize = 64;
