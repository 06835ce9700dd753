//! Event logs: header, events, replay, covered data and its typed views.
#![no_main]

use garant_attest::{replay::replay, rust_engine::RustEngine};
use garant_hw::{
    eventdata::{EventData, Rule},
    eventlog::EventLog,
    hash::Hash,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(log) = EventLog::parse(bytes) else { return };
    for bank in [Hash::Sha1, Hash::Sha256] {
        let mut seen = 0u32;
        let replayed = replay(&RustEngine, &log, bank, |event, covered| {
            assert_eq!(event.number, seen);
            seen += 1;
            let _ = EventData::read(event.event_type, Rule::Whole, event.untrusted_data);
            if let Some(covered) = covered {
                assert!(event.is_measured() && !covered.bytes().is_empty());
                let _ = EventData::read(event.event_type, covered.rule(), covered.bytes());
            }
        });
        assert_eq!(replayed.events(), seen);
        assert_eq!(replayed.fault(), log.events().find_map(Result::err));
    }
});
