//! `garant log` over every event log among the vectors, and beside tpm2-tools' `tpm2_eventlog`.

use garant_attest::replay::replay;
use garant_channel::engine::FastEngine;
use garant_hw::{
    eventlog::{Event, EventLog, EventType},
    hash::Hash,
};
use garant_tests::{
    crafted_log::CraftedLog,
    garant::garant,
    vectors::{self, Vector},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Output},
};

/// Values of PCRs: bank, then number, then hexadecimal digits.
type Pcrs = BTreeMap<String, BTreeMap<String, String>>;

fn logs() -> Vec<Vector> {
    let is_log = |vector: &Vector| vector.file.ends_with("/eventlog.bin") || vector.file.starts_with("eventlogs/");
    let all = vectors::under("eventlogs/").into_iter().chain(vectors::under("quotes/"));
    all.filter(|vector| vector.file.ends_with(".bin") && is_log(vector)).collect()
}

fn expectation(vector: &Vector) -> Option<Value> {
    let stem = vector.file.strip_prefix("eventlogs/")?.strip_suffix(".bin")?;
    serde_json::from_slice(&vectors::read(&format!("eventlogs/expected/{stem}.json"))?).ok()
}

fn scratch(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn log_command(bytes: &[u8], format: &[&str]) -> Output {
    let file = scratch(bytes);
    garant(&[&["log", file.path().to_str().unwrap()], format].concat())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn pcrs(value: &Value) -> Pcrs {
    serde_json::from_value(value.clone()).expect("banks, PCRs, values")
}

#[test]
fn every_log_prints_what_is_expected_of_it_as_json() {
    for vector in logs() {
        let Some(expected) = expectation(&vector) else { continue };
        let output = log_command(&vector.bytes, &["--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", vector.file);
        let found = json(&output);
        assert_eq!(found["events"], expected["events"], "{}", vector.file);
        for (bank, values) in pcrs(&expected["pcrs"]) {
            assert_eq!(pcrs(&found["pcrs"])[&bank], values, "{}: {bank}", vector.file);
        }
        for key in ["banks", "format", "spec", "uintn", "trailing"] {
            assert_eq!(found["info"][key], expected["info"][key], "{}: {key}", vector.file);
        }
        for (bank, digests) in expected["efi_app_digests"].as_object().into_iter().flatten() {
            assert_eq!(&found["efi_app_digests"][bank], digests, "{}: {bank}", vector.file);
        }
    }
}

#[test]
fn every_log_prints_its_pcr_values_as_text_or_says_why_not_with_exit_code_3() {
    for vector in logs() {
        let output = log_command(&vector.bytes, &[]);
        let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        match output.status.code() {
            Some(0) => {
                let values = expectation(&vector).map(|expected| pcrs(&expected["pcrs"])).unwrap_or_default();
                let missing = |value: &&String| !text.contains(value.as_str());
                assert_eq!(values.values().flat_map(BTreeMap::values).find(missing), None, "{}", vector.file);
                assert_eq!(error, "", "{}", vector.file);
            }
            Some(3) => {
                assert!(expectation(&vector).is_none(), "{}: {error}", vector.file);
                assert!(error.starts_with("error: ") && error.contains("next: "), "{}: {error}", vector.file);
            }
            other => panic!("{}: {other:?}", vector.file),
        }
    }
}

#[test]
fn a_cut_log_prints_what_is_left_and_ends_with_exit_code_3() {
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    log.event(0, EventType::S_CRTM_VERSION, b"v").raw(&[9, 9]);
    let output = log_command(&log.bytes(), &["--json"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(json(&output)["entries"].as_array().unwrap().len(), 2);
    assert!(String::from_utf8(output.stderr).unwrap().contains("event 2 at byte"));
}

#[test]
fn a_wrong_command_line_ends_with_exit_code_3_and_help_with_0() {
    for wrong in [&["log"][..], &["log", "a", "b"], &["log", "--verbose", "a"], &["frob"], &[], &["log", "/nowhere"]] {
        assert_eq!(garant(wrong).status.code(), Some(3), "{wrong:?}");
    }
    for help in [&["--help"][..], &["--version"], &["log", "--help"], &["help", "log"]] {
        let output = garant(help);
        assert_eq!(output.status.code(), Some(0), "{help:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{help:?}");
    }
}

#[test]
fn a_confidential_vms_log_is_named_as_such() {
    let log = CraftedLog::with_header(&[(0x0c, 48)], 1, b"\0");
    let output = log_command(&log.bytes(), &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("confidential"));
}

#[test]
fn data_that_no_digest_covers_is_marked_and_cannot_command_the_terminal() {
    let mut log = CraftedLog::of(&[Hash::Sha256]);
    log.event(5, EventType::EFI_ACTION, b"covered");
    log.measuring(5, EventType::EFI_ACTION, b"something else", b"\x1b[2Jlie");
    let output = log_command(&log.bytes(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |number: usize| text.lines().find(|line| line.trim_start().starts_with(&number.to_string())).unwrap();
    assert!(line(1).contains("\"covered\"") && !line(1).contains("untrusted"));
    assert!(line(2).contains("untrusted") && !text.contains('\x1b'));
    let entries = json(&log_command(&log.bytes(), &["--json"]))["entries"].clone();
    assert_eq!(entries[1]["says"], "\"covered\"");
    assert!(entries[2].get("says").is_none() && entries[2].get("untrusted_says").is_some());
}

#[test]
fn the_list_of_boot_applications_is_complete_only_where_the_end_of_boot_services_is_covered() {
    let is_complete = |log: &CraftedLog| json(&log_command(&log.bytes(), &["--json"]))["efi_apps_complete"] == true;
    let exit = b"Exit Boot Services Invocation";
    let mut whole = CraftedLog::of(&[Hash::Sha256]);
    whole.measuring(4, EventType::EFI_BOOT_SERVICES_APPLICATION, b"image", b"path");
    assert!(!is_complete(&whole), "no such event");
    assert!(!is_complete(whole.clone().measuring(5, EventType::EFI_ACTION, b"x", exit)), "not covered");
    assert!(!is_complete(whole.clone().event(4, EventType::EFI_ACTION, exit)), "another PCR");
    assert!(is_complete(whole.event(5, EventType::EFI_ACTION, exit)));
}

/// What `tpm2_eventlog` prints under "pcrs:"; `None` where it refuses the log, or dies of it.
fn peer_pcrs(bytes: &[u8]) -> Option<Pcrs> {
    let file = scratch(bytes);
    let output =
        Command::new("tpm2_eventlog").arg(file.path()).output().ok().filter(|output| output.status.success())?;
    Some(yaml_pcrs(&String::from_utf8_lossy(&output.stdout)))
}

fn yaml_pcrs(yaml: &str) -> Pcrs {
    let mut found = Pcrs::new();
    let mut bank = String::new();
    for line in yaml.lines().skip_while(|line| *line != "pcrs:").skip(1) {
        match line.trim().split_once(':') {
            Some((name, "")) => bank = name.to_owned(),
            Some((pcr, value)) => {
                let value = value.trim().trim_start_matches("0x").to_owned();
                found.entry(bank.clone()).or_default().insert(pcr.trim().to_owned(), value);
            }
            None => break,
        }
    }
    found
}

/// The same values by our replay. Bank names and PCRs as the peer has them.
fn same_pcrs(bytes: &[u8], peer: &Pcrs) -> Pcrs {
    let log = EventLog::parse(bytes).unwrap();
    let replayed = replay(&FastEngine, &log, Hash::Sha256, |_, _| ());
    let value = |bank: &str, pcr: &String| {
        let bank = Hash::ALL.into_iter().find(|hash| hash.name() == bank)?;
        Some((pcr.clone(), replayed.bank(bank).pcr(pcr.parse().ok()?)?.value().to_string()))
    };
    let bank = |(bank, pcrs): (&String, &BTreeMap<String, String>)| {
        (bank.clone(), pcrs.keys().filter_map(|pcr| value(bank, pcr)).collect())
    };
    peer.iter().map(bank).collect()
}

/// tpm2-tools 5.4 starts PCR 0 at zero although the first event is of the H-CRTM, and extends EV_NO_ACTION events.
fn misleads_peer(event: &Event<'_>) -> bool {
    matches!(event.event_type, EventType::EFI_HCRTM_EVENT | EventType::NO_ACTION)
}

#[test]
fn tpm2_eventlog_computes_the_same_pcr_values() {
    if Command::new("tpm2_eventlog").arg("--version").output().is_err() {
        eprintln!("SKIPPED: tpm2_eventlog is not installed");
        return;
    }
    let mut compared = 0;
    for vector in logs() {
        let Some(mut peer) = peer_pcrs(&vector.bytes) else { continue };
        let log = EventLog::parse(&vector.bytes).unwrap();
        peer.retain(|bank, _| Hash::ALL.into_iter().any(|hash| hash.name() == bank));
        if log.events().flatten().skip(1).any(|event| misleads_peer(&event)) {
            peer.values_mut().for_each(|pcrs| drop(pcrs.remove("0")));
        }
        assert_eq!(same_pcrs(&vector.bytes, &peer), peer, "{}", vector.file);
        compared += peer.values().map(BTreeMap::len).sum::<usize>();
    }
    eprintln!("{compared} PCR values compared");
}

#[test]
fn what_peers_wrote_beside_a_log_are_the_same_pcr_values() {
    for vector in logs() {
        let named = vector.expected.split([' ', ';', ',']).filter(|word| word.starts_with("json/"));
        for text in named.filter_map(vectors::read).filter_map(|bytes| String::from_utf8(bytes).ok()) {
            let lines: Vec<&str> = text.lines().collect();
            let is_list = lines.len() == 24 && lines.iter().all(|line| line.len() == 64);
            let listed =
                || (0..24).map(|pcr| pcr.to_string()).zip(lines.iter().map(|line| (*line).to_owned())).collect();
            let peer = if is_list { Pcrs::from([("sha256".to_owned(), listed())]) } else { yaml_pcrs(&text) };
            assert_eq!(
                if peer.is_empty() { peer.clone() } else { same_pcrs(&vector.bytes, &peer) },
                peer,
                "{}",
                vector.file
            );
        }
    }
}
