//! Every event log among the vectors replays to what the manifest expects.

use garant_attest::replay::{ReplayedLog, replay};
use garant_channel::engine::FastEngine;
use garant_hw::{
    eventlog::{EventLog, Format, LogError},
    hash::Hash,
};
use garant_tests::vectors;
use serde_json::Value;

fn replayed(bytes: &[u8]) -> Result<ReplayedLog, LogError> {
    Ok(replay(&FastEngine, &EventLog::parse(bytes)?, Hash::Sha256, |_, _| ()))
}

#[test]
fn every_log_replays_to_the_values_that_are_expected_of_it() {
    for vector in vectors::under("eventlogs/").iter().filter(|vector| vector.file.ends_with(".bin")) {
        let stem = vector.file.trim_start_matches("eventlogs/").trim_end_matches(".bin");
        let Some(expected) = vectors::read(&format!("eventlogs/expected/{stem}.json")) else { continue };
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let log = EventLog::parse(&vector.bytes).unwrap_or_else(|e| panic!("{stem}: {e}"));
        let found = replayed(&vector.bytes).unwrap();
        let format = match log.format() {
            Format::CryptoAgile { .. } => "crypto-agile",
            Format::LegacySha1 => "legacy-sha1",
        };
        assert_eq!(expected["info"]["format"], format, "{stem}");
        let header = u64::from(format == "crypto-agile");
        assert_eq!(expected["events"], u64::from(found.events()) - header, "{stem}");
        assert_eq!(found.fault(), None, "{stem}");
        for (bank, pcrs) in expected["pcrs"].as_object().unwrap() {
            let Some(hash) = Hash::ALL.into_iter().find(|hash| hash.name() == bank) else { continue };
            for (pcr, value) in pcrs.as_object().unwrap() {
                let found = found.bank(hash).pcr(pcr.parse().unwrap()).unwrap();
                assert_eq!(found.value().to_string(), value.as_str().unwrap(), "{stem}: {bank} PCR {pcr}");
            }
        }
    }
}

#[test]
fn no_prefix_and_no_flipped_byte_of_a_log_makes_the_parser_panic_or_loop() {
    for vector in vectors::under("eventlogs/").iter().filter(|vector| vector.file.ends_with(".bin")) {
        for cut in (0..vector.bytes.len()).step_by(97) {
            let _ = replayed(&vector.bytes[..cut]);
        }
        for at in (0..vector.bytes.len().min(4096)).step_by(7) {
            let mut other = vector.bytes.clone();
            other[at] ^= 0xff;
            let _ = replayed(&other);
        }
    }
}

#[test]
fn a_log_of_a_confidential_vm_is_not_taken_for_a_tpms() {
    for vector in vectors::under("eventlogs/").iter().filter(|vector| vector.file.contains("CCEL")) {
        assert_eq!(replayed(&vector.bytes).map(|_| ()), Err(LogError::NotATpmLog), "{}", vector.file);
    }
}
