//! Typed views of event data: first 4 bytes are the event type, then the data.
#![no_main]

use garant_hw::{
    eventdata::{EventData, Rule, Signature, SignatureLists},
    eventlog::EventType,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((event_type, data)) = bytes.split_first_chunk() else { return };
    for rule in [Rule::Whole, Rule::VariableContent, Rule::VariableOfShim, Rule::GrubText] {
        match EventData::read(EventType(u32::from_le_bytes(*event_type)), rule, data) {
            EventData::Variable(variable) => {
                let name_bytes: usize = variable.name().chars().map(|char| char.len_utf16() * 2).sum();
                assert_eq!(32 + name_bytes + variable.content().len(), data.len(), "a byte is unseen");
                let _ = (variable.vendor().to_string(), variable.name().to_string());
                lists(variable.content());
            }
            EventData::UntrustedImage(image) => image.file_names().for_each(|name| drop(name.to_string())),
            _ => (),
        }
    }
    lists(data);
    let _ = Signature::parse(data);
});

fn lists(content: &[u8]) {
    let mut seen_bytes = 0;
    for list in SignatureLists::new(content) {
        let Ok(list) = list else { return };
        seen_bytes += 28;
        seen_bytes += list.signatures().map(|signature| 16 + signature.data.len()).sum::<usize>();
    }
    assert_eq!(seen_bytes, content.len(), "a byte is unseen");
}
