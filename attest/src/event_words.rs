//! A boot event in one phrase, for people. A text of the event is quoted only where the digest covers it; what no
//! digest covers is named by its digest.

use crate::{
    engine::{Digest, Engine},
    replay::covered,
    uki,
};
use alloc::{
    format,
    string::{String, ToString},
};
use garant_hw::{
    eventdata::{EventData, Utf16, Variable},
    eventlog::{Event, EventType},
    hash::Hash,
};

/// The event in words. `before` is the event before it in the same PCR, whose digest may name what this one measures.
pub fn describe(engine: &dyn Engine, hash: Hash, event: &Event<'_>, before: Option<&Event<'_>>) -> String {
    covered_words(engine, hash, event)
        .or_else(|| section_words(engine, hash, event, before))
        .unwrap_or_else(|| digest_words(event, hash))
}

/// The kernel command line that the event measures, where its digest covers it: as systemd's stub does (UTF-16 with a
/// NUL), or as GRUB does (the text after its prefix). The prefix itself is not covered, so the text alone counts.
pub fn command_line(engine: &dyn Engine, hash: Hash, event: &Event<'_>) -> Option<String> {
    match covered_data(engine, hash, event)? {
        EventData::Other(data) if event.event_type == EventType::IPL && event.pcr == LOAD_OPTIONS => {
            Some(Utf16::new(data.strip_suffix(&[0, 0])?)?.chars().collect())
        }
        EventData::GrubText(text) if event.untrusted_data.starts_with(GRUB_COMMAND_LINE) => {
            core::str::from_utf8(text).ok().map(ToString::to_string)
        }
        _ => None,
    }
}

/// The event's data as far as its digest covers it.
pub fn covered_data<'a>(engine: &dyn Engine, hash: Hash, event: &Event<'a>) -> Option<EventData<'a>> {
    let data = covered(engine, event, hash)?;
    Some(EventData::read(event.event_type, data.rule(), data.bytes()))
}

/// A text from outside, quoted, without control characters and not longer than a line.
pub fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(QUOTED_CHARACTERS).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_debug())
}

fn covered_words(engine: &dyn Engine, hash: Hash, event: &Event<'_>) -> Option<String> {
    if let Some(text) = command_line(engine, hash, event) {
        return Some(format!("kernel command line {}", quoted(&text)));
    }
    match covered_data(engine, hash, event)? {
        EventData::Separator(value) => Some(format!("separator {value:#x}")),
        EventData::Variable(variable) => Some(variable_words(engine, &variable)),
        EventData::GrubText(text) => Some(format!("boot loader command {}", quoted(core::str::from_utf8(text).ok()?))),
        EventData::Other(text) if event.event_type == EventType::EFI_ACTION => {
            Some(format!("action {}", quoted(core::str::from_utf8(text).ok()?)))
        }
        _ => None,
    }
}

fn variable_words(engine: &dyn Engine, variable: &Variable<'_>) -> String {
    let content = match variable.content() {
        [] => "empty".to_string(),
        [byte] => byte.to_string(),
        content => format!("sha256:{}", engine.digest(Hash::Sha256, &[content])),
    };
    let name: String = variable.name().chars().collect();
    format!("variable {} ({content})", quoted(&name))
}

/// A section of a unified kernel image: its name's digest is known, its content's follows it.
fn section_words(engine: &dyn Engine, hash: Hash, event: &Event<'_>, before: Option<&Event<'_>>) -> Option<String> {
    let is_name = |event: &Event<'_>, name: &str| {
        event.digest(hash) == Some(engine.digest(hash, &[&uki::measured_name(name)]).as_bytes())
    };
    let named = |event: &Event<'_>| uki::SECTIONS.into_iter().find(|name| is_name(event, name));
    if event.pcr != SECTIONS {
        return None;
    }
    match (named(event), before.and_then(named)) {
        (Some(name), _) => Some(format!("section {name}")),
        (None, Some(name)) => Some(format!("the content of section {name} ({})", digest_text(event, hash))),
        (None, None) => None,
    }
}

fn digest_words(event: &Event<'_>, hash: Hash) -> String {
    let digest = digest_text(event, hash);
    match event.event_type {
        EventType::EFI_BOOT_SERVICES_APPLICATION => format!("boot application {digest}"),
        EventType::SEPARATOR => format!("separator with another digest than its value's, {digest}"),
        EventType::EVENT_TAG => format!("what the kernel or an application measured, {digest}"),
        other => format!("{}, {digest}", other.name().unwrap_or("event of unknown type")),
    }
}

fn digest_text(event: &Event<'_>, hash: Hash) -> String {
    match event.digest(hash).and_then(|bytes| Digest::new(hash, bytes)) {
        Some(digest) => format!("{digest:?}"),
        None => format!("without a {} digest", hash.name()),
    }
}

/// What GRUB writes before a kernel's command line (GRUB 2.12, grub-core/lib/cmdline.c).
const GRUB_COMMAND_LINE: &[u8] = b"kernel_cmdline: ";
/// PCR of systemd's stub for load options (systemd 252, src/fundamental/tpm-pcr.h).
const LOAD_OPTIONS: u32 = 12;
/// PCR of systemd's stub for sections (same file).
const SECTIONS: u32 = 11;
/// A command line of the kernel has at most 2,048 characters; a line for people far fewer.
const QUOTED_CHARACTERS: usize = 240;
