//! Boot event logs: real ones replay to what is expected of them, crafted ones give one clear error or one clear state
//! (facts L3, L5, L8, L12, L13, L14).

use garant_attest::{
    engine::{Digest, Engine},
    replay::{ReplayedLog, covered, replay},
};
use garant_channel::engine::FastEngine;
use garant_hw::{
    budget,
    eventlog::{BankSize, Event, EventLog, EventType, Format, LogError},
    hash::Hash,
};
use garant_tests::{
    crafted_log::{CraftedLog, SM3},
    vectors::{self, Vector},
};
use serde_json::Value;
use std::time::{Duration, Instant};

fn replayed(bytes: &[u8]) -> Result<ReplayedLog, LogError> {
    Ok(replay(&FastEngine, &EventLog::parse(bytes)?, Hash::Sha256, |_, _| ()))
}

fn value(log: &ReplayedLog, bank: Hash, pcr: usize) -> Digest {
    log.bank(bank).pcr(pcr).unwrap().value()
}

/// The error that ends the log, in its header or later.
fn fault(log: &CraftedLog) -> Option<LogError> {
    replayed(&log.bytes()).map_or_else(Some, |log| log.fault())
}

/// Extends a value of PCR 0 that starts at this locality's.
fn from_locality(locality: u8, measured: &[&[u8]]) -> Digest {
    let mut start = [0; 32];
    start[31] = locality;
    let extend = |value: Digest, data: &&[u8]| {
        FastEngine.digest(Hash::Sha256, &[value.as_bytes(), FastEngine.digest(Hash::Sha256, &[data]).as_bytes()])
    };
    measured.iter().fold(Digest::new(Hash::Sha256, &start).unwrap(), extend)
}

/// Logs of TPMs and the expectations beside them.
fn logs_with_expectations() -> Vec<(Vector, Value)> {
    let expected = |vector: &Vector| {
        let stem = vector.file.strip_prefix("eventlogs/")?.strip_suffix(".bin")?;
        serde_json::from_slice(&vectors::read(&format!("eventlogs/expected/{stem}.json"))?).ok()
    };
    vectors::under("eventlogs/").into_iter().filter_map(|vector| Some((vector.clone(), expected(&vector)?))).collect()
}

/// Every log among the vectors, also those that come with a quote.
fn logs() -> Vec<Vector> {
    let beside_quotes = vectors::under("quotes/").into_iter().filter(|vector| vector.file.ends_with("/eventlog.bin"));
    let alone = vectors::under("eventlogs/").into_iter().filter(|vector| vector.file.ends_with(".bin"));
    alone.chain(beside_quotes).collect()
}

#[test]
fn every_log_replays_to_the_values_that_are_expected_of_it() {
    for (vector, expected) in logs_with_expectations() {
        let file = &vector.file;
        let log = EventLog::parse(&vector.bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
        let found = replayed(&vector.bytes).unwrap();
        let format = match log.format() {
            Format::CryptoAgile { .. } => "crypto-agile",
            Format::LegacySha1 => "legacy-sha1",
        };
        assert_eq!(expected["info"]["format"], format, "{file}");
        let banks: Vec<Value> = log.banks().iter().map(|bank: &BankSize| bank.to_string().into()).collect();
        assert_eq!(expected["info"]["banks"], Value::from(banks), "{file}");
        let header = u64::from(format == "crypto-agile");
        assert_eq!(expected["events"], u64::from(found.events()) - header, "{file}");
        assert_eq!(found.fault(), None, "{file}");
        for (bank, pcrs) in expected["pcrs"].as_object().unwrap() {
            let Some(hash) = Hash::ALL.into_iter().find(|hash| hash.name() == bank) else { continue };
            for (pcr, expected) in pcrs.as_object().unwrap() {
                let found = value(&found, hash, pcr.parse().unwrap());
                assert_eq!(found.to_string(), expected.as_str().unwrap(), "{file}: {bank} PCR {pcr}");
            }
        }
    }
}

#[test]
fn every_log_beside_a_quote_leads_to_the_quoted_values_where_its_expectation_says_so() {
    for folder in vectors::folders_with("eventlog.bin") {
        let json = |name: &str| serde_json::from_slice::<Value>(&vectors::read(&format!("{folder}/{name}")).unwrap());
        let (meta, quoted) = (json("meta.json").unwrap(), json("pcrs.json").unwrap());
        let found = replayed(&vectors::read(&format!("{folder}/eventlog.bin")).unwrap()).unwrap();
        for (bank, pcrs) in meta["event_log_vs_quoted_pcrs"].as_object().unwrap() {
            let hash = Hash::ALL.into_iter().find(|hash| hash.name() == bank).unwrap();
            for (pcr, state) in pcrs.as_object().unwrap() {
                let at = format!("{folder}: {bank} PCR {pcr}");
                let replayed = found.bank(hash).pcr(pcr.parse().unwrap()).unwrap();
                let is_equal = quoted[bank][pcr] == replayed.value().to_string();
                match state.as_str().unwrap() {
                    "match" => assert!(is_equal && replayed.uncovered().is_none(), "{at}"),
                    "MISMATCH" => assert!(!is_equal && replayed.uncovered().is_none(), "{at}"),
                    _ => assert!(replayed.uncovered().is_some(), "{at}"),
                }
            }
        }
    }
}

#[test]
fn no_prefix_and_no_flipped_byte_of_a_log_makes_the_parser_panic_or_loop() {
    let read = |bytes: &[u8]| {
        EventLog::parse(bytes).map_or(0, |log| {
            let read: Vec<_> = log.events().map(|event| event.is_err()).collect();
            assert!(read.iter().rev().skip(1).all(|is_fault| !is_fault), "an event after an error");
            read.len()
        })
    };
    for vector in logs() {
        for cut in 0..vector.bytes.len() {
            read(&vector.bytes[..cut]);
        }
        for at in 0..vector.bytes.len().min(4096) {
            let mut other = vector.bytes.clone();
            other[at] ^= 0xff;
            read(&other);
        }
    }
}

#[test]
fn every_log_without_an_expectation_gives_a_clean_error_or_reads_to_its_end() {
    let expected: Vec<String> = logs_with_expectations().into_iter().map(|(vector, _)| vector.file).collect();
    for vector in logs().into_iter().filter(|vector| !expected.contains(&vector.file)) {
        match replayed(&vector.bytes) {
            Ok(log) => assert!(log.events() > 0, "{}", vector.file),
            Err(fault) => assert!(!fault.to_string().is_empty(), "{}", vector.file),
        }
    }
}

#[test]
fn every_separator_of_every_log_is_covered_in_every_bank() {
    for vector in logs() {
        let Ok(log) = EventLog::parse(&vector.bytes) else { continue };
        for event in log.events().map_while(Result::ok) {
            let is_separator = event.event_type == EventType::SEPARATOR;
            for bank in Hash::ALL.into_iter().filter(|bank| is_separator && event.digest(*bank).is_some()) {
                assert!(covered(&FastEngine, &event, bank).is_some(), "{} event {}", vector.file, event.number);
            }
        }
    }
}

#[test]
fn a_log_of_a_confidential_vm_is_not_taken_for_a_tpms() {
    for vector in vectors::under("eventlogs/").iter().filter(|vector| vector.file.contains("CCEL")) {
        assert_eq!(replayed(&vector.bytes).map(|_| ()), Err(LogError::NotATpmLog), "{}", vector.file);
    }
    let mut crafted = CraftedLog::with_header(&[(0x0c, 48)], 1, b"\0");
    crafted.event(1, EventType::EFI_HANDOFF_TABLES2, b"\x09TdxTable");
    assert_eq!(fault(&crafted), Some(LogError::NotATpmLog));
}

#[test]
fn digests_are_found_by_algorithm_whatever_their_order() {
    let digest = |bank: Hash| (bank.algorithm_id(), FastEngine.digest(bank, &[b"thing"]).as_bytes().to_vec());
    let mut orderly = CraftedLog::of(&[Hash::Sha1, Hash::Sha256]);
    orderly.event(4, EventType::ACTION, b"thing");
    let mut reversed = CraftedLog::of(&[Hash::Sha1, Hash::Sha256]);
    reversed.digests(4, EventType::ACTION, &[digest(Hash::Sha256), digest(Hash::Sha1)], b"thing");
    let (orderly, reversed) = (replayed(&orderly.bytes()).unwrap(), replayed(&reversed.bytes()).unwrap());
    for bank in [Hash::Sha1, Hash::Sha256] {
        assert_eq!(value(&orderly, bank, 4), value(&reversed, bank, 4));
        assert_ne!(value(&reversed, bank, 4), Digest::zero(bank));
    }
}

#[test]
fn a_pcr_with_an_event_that_lacks_the_banks_digest_is_not_covered_in_that_bank_alone() {
    let sha256 = (0x0b, FastEngine.digest(Hash::Sha256, &[b"os"]).as_bytes().to_vec());
    let mut log = CraftedLog::of(&[Hash::Sha1, Hash::Sha256]);
    log.event(4, EventType::ACTION, b"firmware").digests(4, EventType::EVENT_TAG, &[sha256], b"os");
    log.event(5, EventType::ACTION, b"firmware");
    let log = replayed(&log.bytes()).unwrap();
    assert_eq!(log.bank(Hash::Sha1).pcr(4).unwrap().uncovered(), Some(2));
    assert_eq!(log.bank(Hash::Sha256).pcr(4).unwrap().uncovered(), None);
    assert_eq!(log.bank(Hash::Sha1).pcr(5).unwrap().uncovered(), None);
}

#[test]
fn an_unknown_bank_is_skipped_by_the_size_in_the_header() {
    for size_bytes in [1, 32, 77] {
        let mut log = CraftedLog::with_header(&[(0x0b, 32), (SM3.0, size_bytes)], 0, b"\0");
        log.event(2, EventType::ACTION, b"a").event(2, EventType::ACTION, b"b");
        let log = replayed(&log.bytes()).unwrap();
        assert_eq!((log.events(), log.fault()), (3, None));
        assert_eq!(value(&log, Hash::Sha256, 2), from_locality(0, &[b"a", b"b"]));
    }
}

#[test]
fn a_bank_is_not_replayed_where_the_log_has_none() {
    let mut legacy = CraftedLog::without_header();
    legacy.legacy(0, EventType::S_CRTM_VERSION, &[7; 20], b"v1");
    let bytes = legacy.bytes();
    let log = EventLog::parse(&bytes).unwrap();
    assert_eq!(log.format(), Format::LegacySha1);
    assert!(log.has_bank(Hash::Sha1) && !log.has_bank(Hash::Sha256));
    let replayed = replayed(&bytes).unwrap();
    assert_eq!(replayed.bank(Hash::Sha1).pcr(0).unwrap().events(), 1);
    assert_eq!(replayed.bank(Hash::Sha256).pcr(0).unwrap().events(), 0);
}

#[test]
fn a_header_is_refused_whose_banks_cannot_be_told_apart() {
    let header = |banks: &[(u16, u16)]| fault(&CraftedLog::with_header(banks, 0, b"\0"));
    assert_eq!(header(&[(0x0b, 32)]), None);
    assert_eq!(header(&[]), Some(LogError::Header));
    assert_eq!(header(&[(0x0b, 32), (0x0b, 32)]), Some(LogError::Header));
    assert_eq!(header(&[(0x0b, 20)]), Some(LogError::Header));
    assert_eq!(header(&[(0x99, 0)]), Some(LogError::Header));
    let many: Vec<_> = (0..=budget::LOG_BANKS as u16).map(|id| (0x100 + id, 8)).collect();
    assert_eq!(header(&many), Some(LogError::Header));
    assert_eq!(header(&many[1..]), None);
}

#[test]
fn an_event_is_refused_whose_digests_the_header_does_not_announce() {
    let sha1 = || (0x04u16, vec![1; 20]);
    let sha256 = || (0x0bu16, vec![1; 32]);
    let with = |digests: &[(u16, Vec<u8>)]| {
        let mut log = CraftedLog::of(&[Hash::Sha256, Hash::Sha384]);
        fault(log.digests(0, EventType::ACTION, digests, b""))
    };
    assert_eq!(with(&[sha256()]), None);
    assert_eq!(with(&[sha1()]), Some(LogError::Digests { event: 1 }));
    assert_eq!(with(&[sha256(), sha256()]), Some(LogError::Digests { event: 1 }));
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    let many = fault(log.raw(&[[0; 4], [5, 0, 0, 0], [0xff; 4]].concat()));
    assert_eq!(many, Some(LogError::Digests { event: 1 }));
}

#[test]
fn a_log_ends_at_its_padding_and_not_before() {
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    log.event(1, EventType::ACTION, b"a");
    let end_of_log = [&[0xff; 4][..], &[4, 0, 0, 0], &[0; 8]].concat();
    let endings: [&[u8]; 8] = [b"", &[0], &[0xff; 3], &[0; 15], &[0; 4096], &[0xff; 4], &[0xff; 4096], &end_of_log];
    for ending in endings {
        let found = replayed(&log.clone().raw(ending).bytes()).unwrap();
        assert_eq!((found.events(), found.fault()), (2, None), "{} bytes", ending.len());
    }
    let offset = log.bytes().len();
    assert_eq!(fault(log.clone().raw(&[1])), Some(LogError::Truncated { event: 2, offset }));
    assert_eq!(fault(log.raw(&[0, 0, 0, 0, 5])), Some(LogError::Truncated { event: 2, offset }));
}

#[test]
fn only_padding_is_no_log() {
    for padding in [&[][..], &[0; 4096], &[0xff; 4096], &[0; 3]] {
        assert_eq!(replayed(padding).map(|_| ()), Err(LogError::Empty));
    }
}

#[test]
fn a_first_event_without_action_that_is_no_spec_id_is_refused() {
    let mut log = CraftedLog::without_header();
    log.legacy(0, EventType::NO_ACTION, &[0; 20], b"StartupLocality\0\x03");
    assert_eq!(fault(&log), Some(LogError::Header));
}

#[test]
fn vendor_information_is_skipped_inside_the_header_and_beyond_its_size() {
    for vendor in [&b"\x04\xde\xad\xbe\xef"[..], b"\0", b""] {
        let mut inside = CraftedLog::with_header(&[(0x0b, 32)], 0, vendor);
        assert_eq!(fault(inside.event(3, EventType::ACTION, b"a")), None);
    }
    let mut beyond = CraftedLog::with_header(&[(0x0b, 32)], 0, b"\x04");
    let log = replayed(&beyond.raw(b"\xde\xad\xbe\xef").event(3, EventType::ACTION, b"a").bytes()).unwrap();
    assert_eq!((log.events(), log.fault()), (2, None));
    let mut missing = CraftedLog::with_header(&[(0x0b, 32)], 0, b"\x04");
    assert_eq!(fault(missing.raw(b"\xde")), Some(LogError::Header));
}

#[test]
fn a_startup_locality_counts_once_in_pcr_0_before_its_first_extension() {
    let locality = |value: u8| [b"StartupLocality\0", &[value][..]].concat();
    let log = || CraftedLog::of(&[Hash::Sha256]);
    let pcr_0 = |log: &CraftedLog| {
        let log = replayed(&log.bytes()).unwrap();
        (log.start_locality(), value(&log, Hash::Sha256, 0))
    };
    let no_action = EventType::NO_ACTION;
    for value in [0, 3, 4] {
        let mut log = log();
        log.event(0, no_action, &locality(value)).event(0, EventType::S_CRTM_VERSION, b"v");
        assert_eq!(pcr_0(&log), (Some(value), from_locality(value, &[b"v"])));
    }
    let plain = (None, from_locality(0, &[b"v"]));
    let mut unknown = log();
    unknown.event(0, no_action, &locality(1)).event(0, EventType::S_CRTM_VERSION, b"v");
    assert_eq!(pcr_0(&unknown), plain, "a value that the specification does not have");
    let mut elsewhere = log();
    elsewhere.event(1, no_action, &locality(3)).event(0, EventType::S_CRTM_VERSION, b"v");
    assert_eq!(pcr_0(&elsewhere), plain, "another PCR");
    let mut late = log();
    late.event(0, EventType::S_CRTM_VERSION, b"v").event(0, no_action, &locality(3));
    assert_eq!(pcr_0(&late), plain, "after an extension");
    let mut longer = log();
    longer.event(0, no_action, &[locality(3), vec![0]].concat()).event(0, EventType::S_CRTM_VERSION, b"v");
    assert_eq!(pcr_0(&longer), plain, "trailing bytes");
    for second in [3, 4] {
        let mut twice = log();
        twice.event(0, no_action, &locality(0)).event(0, no_action, &locality(second));
        assert_eq!(pcr_0(&twice), (Some(0), from_locality(0, &[])), "a second one");
    }
}

#[test]
fn an_h_crtm_event_starts_pcr_0_at_four_only_as_its_first() {
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    log.event(0, EventType::EFI_HCRTM_EVENT, b"HCRTM");
    assert_eq!(value(&replayed(&log.bytes()).unwrap(), Hash::Sha256, 0), from_locality(4, &[b"HCRTM"]));
    let mut late = CraftedLog::of(&[Hash::Sha256]);
    late.event(0, EventType::S_CRTM_VERSION, b"v").event(0, EventType::EFI_HCRTM_EVENT, b"HCRTM");
    assert_eq!(value(&replayed(&late.bytes()).unwrap(), Hash::Sha256, 0), from_locality(0, &[b"v", b"HCRTM"]));
}

#[test]
fn events_without_action_extend_nothing_wherever_they_stand() {
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    log.event(0, EventType::NO_ACTION, b"SP800-155 Event\0");
    log.event(u32::MAX - 1, EventType::NO_ACTION, b"anything").event(0, EventType::S_CRTM_VERSION, b"v");
    log.event(0, EventType::NO_ACTION, b"Spec ID Event03\0");
    let log = replayed(&log.bytes()).unwrap();
    assert_eq!((log.events(), log.fault()), (5, None));
    assert_eq!(value(&log, Hash::Sha256, 0), from_locality(0, &[b"v"]));
}

#[test]
fn a_measured_event_beyond_pcr_23_is_refused() {
    for (pcr, expected) in [(23, None), (24, Some(LogError::Pcr { event: 1, pcr: 24 }))] {
        let mut log = CraftedLog::of(&[Hash::Sha256]);
        assert_eq!(fault(log.event(pcr, EventType::ACTION, b"a")), expected);
        let mut legacy = CraftedLog::without_header();
        let first = LogError::Pcr { event: 0, pcr };
        assert_eq!(fault(legacy.legacy(pcr, EventType::ACTION, &[1; 20], b"a")), expected.map(|_| first));
    }
}

#[test]
fn a_log_beyond_its_budget_is_refused_before_it_is_read() {
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    log.raw(&vec![0; budget::LOG_BYTES]);
    assert_eq!(fault(&log), Some(LogError::TooLong { found_bytes: log.bytes().len() }));
    let mut many = CraftedLog::of(&[Hash::Sha256]);
    let event = [[1, 0, 0, 0], [5, 0, 0, 0], [0; 4], [0; 4]].concat();
    for _ in 0..budget::LOG_EVENTS {
        many.raw(&event);
    }
    assert_eq!(fault(&many), None);
    assert_eq!(fault(many.raw(&event)), Some(LogError::TooMany));
}

#[test]
fn a_claimed_size_beyond_the_log_is_refused() {
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    let offset = log.bytes().len();
    log.raw(&[[1, 0, 0, 0], [5, 0, 0, 0], [0; 4], [0xff; 4]].concat());
    assert_eq!(fault(&log), Some(LogError::Truncated { event: 1, offset }));
}

#[test]
fn no_log_within_its_budget_takes_a_second() {
    let mut zeros = CraftedLog::of(&[Hash::Sha256]);
    let event = [[0; 4], [0, 0, 0, 0x80], [0; 4], [0; 4]].concat();
    for _ in 0..budget::LOG_EVENTS - 1 {
        zeros.raw(&event);
    }
    let rest = budget::LOG_BYTES - zeros.bytes().len() - 1;
    zeros.raw(&vec![0; rest]).raw(&[1]);
    let started = Instant::now();
    assert_eq!(fault(&zeros), None);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn an_event_says_in_which_banks_it_has_a_digest() {
    let mut log = CraftedLog::of(&[Hash::Sha384, Hash::Sha512]);
    let bytes = log.event(9, EventType::IPL, b"x").bytes();
    let log = EventLog::parse(&bytes).unwrap();
    let event: Event<'_> = log.events().nth(1).unwrap().unwrap();
    assert_eq!(Hash::ALL.map(|bank| event.digest(bank).map(<[u8]>::len)), [None, None, Some(48), Some(64)]);
    assert_eq!((event.number, event.pcr, event.untrusted_data), (1, 9, &b"x"[..]));
}
