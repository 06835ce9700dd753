//! `garant check` on every quote among the vectors: through the library's checks and through the command line.

use garant_tests::vectors;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What the program printed and how it ended.
struct Checked {
    code: i32,
    report: Value,
}

impl Checked {
    fn evidence(&self) -> &str {
        self.report["evidence"].as_str().unwrap()
    }

    fn reason(&self) -> &str {
        self.report["reason"].as_str().unwrap_or_default()
    }

    fn outcome(&self, check: &str) -> &str {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().find(|entry| entry["check"] == check);
        found.map_or("absent", |entry| entry["outcome"].as_str().unwrap())
    }

    fn state(&self, bank: &str, pcr: usize) -> &str {
        self.report["pcrs"][bank][pcr.to_string()]["state"].as_str().unwrap_or("absent")
    }
}

fn check(arguments: &[&str]) -> Checked {
    let done = Command::new(garant()).args(["check", "--json"]).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    let report =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|fault| panic!("{arguments:?}: {fault}: {stderr}"));
    Checked { code: done.status.code().unwrap(), report }
}

/// The program, built with this test.
fn garant() -> &'static Path {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .current_dir(root)
            .args(["build", "--quiet", "--locked", "--package", "garant"])
            .status();
        assert!(built.unwrap().success(), "garant does not build");
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("garant")
    })
}

/// The folders of quotes, and one quote with what stands beside it.
fn folders() -> Vec<String> {
    let with_quote = vectors::folders_with("quote.bin");
    with_quote.into_iter().filter(|folder| folder.starts_with("quotes/")).collect()
}

fn on(folder: &str, more: &[&str]) -> Checked {
    let at = |name: &str| {
        let file = vectors::path(&format!("{folder}/{name}"));
        file.exists().then(|| file.to_str().unwrap().to_owned())
    };
    let key = ["ak_pub.tpmt", "ak_pub.pem", "akpub.pem"].iter().find_map(|name| at(name)).unwrap();
    let quote = at("quote.bin").unwrap();
    let log = at("eventlog.bin");
    let mut arguments = vec!["--quote", &quote, "--ak", &key];
    arguments.extend(log.iter().flat_map(|log| ["--log", log]));
    arguments.extend(more);
    check(&arguments)
}

fn meta(folder: &str) -> Option<Value> {
    vectors::read(&format!("{folder}/meta.json")).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

fn expectation(folder: &str) -> String {
    let vectors = vectors::under(&format!("{folder}/quote.bin"));
    vectors.first().map(|vector| vector.expected.clone()).unwrap_or_default()
}

#[test]
fn every_quote_is_answered_as_the_manifest_expects_and_never_with_yes() {
    for folder in folders() {
        let found = on(&folder, &[]);
        assert_eq!(found.code, 2, "{folder}: without an enrolment record nothing is known");
        assert_eq!(found.report["verdict"]["boot"]["answer"], "unknown", "{folder}");
        let expected = expectation(&folder);
        let is_bad_alone = expected.contains("reject") && !expected.contains("shown after it");
        assert_eq!(
            found.evidence(),
            if is_bad_alone { "rejected" } else { "accepted" },
            "{folder}: {}",
            found.reason()
        );
        if expected.contains("signature verifies") {
            assert_eq!(found.outcome("signature"), "passed", "{folder}");
        }
        if expected.contains("pcrDigest") {
            assert_eq!(found.outcome("pcrDigest"), "passed", "{folder}");
        }
    }
}

#[test]
fn every_pcr_stands_to_its_log_as_its_description_says() {
    for folder in folders() {
        let Some(meta) = meta(&folder) else { continue };
        let found = on(&folder, &[]);
        for (bank, pcrs) in meta["event_log_vs_quoted_pcrs"].as_object().unwrap() {
            for (pcr, stated) in pcrs.as_object().unwrap() {
                let state = found.state(bank, pcr.parse().unwrap());
                match stated.as_str().unwrap() {
                    "match" => assert_eq!(state, "replayed", "{folder}: {bank} PCR {pcr}"),
                    "MISMATCH" => {
                        assert!(["mismatch", "capped"].contains(&state), "{folder}: {bank} PCR {pcr}: {state}")
                    }
                    _ => assert!(["not covered", "capped"].contains(&state), "{folder}: {bank} PCR {pcr}: {state}"),
                }
            }
        }
    }
}

#[test]
fn the_described_nonce_is_accepted_and_any_other_one_is_not() {
    for folder in folders() {
        let Some(meta) = meta(&folder) else { continue };
        if meta["tpms_attest"]["pcrSelect"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        let nonce = meta["tpms_attest"]["extraData"].as_str().unwrap().to_owned();
        let found = on(&folder, &["--nonce", &nonce]);
        assert_eq!(found.outcome("extraData"), "passed", "{folder}");
        for other in [
            &nonce[..nonce.len() - 2],
            &nonce.replacen(&nonce[..1], if nonce.starts_with('0') { "1" } else { "0" }, 1),
            "",
        ] {
            let found = on(&folder, &["--nonce", other]);
            assert_eq!((found.evidence(), found.outcome("extraData")), ("rejected", "failed"), "{folder}: {other:?}");
        }
    }
}

#[test]
fn a_quote_over_nothing_is_rejected_by_its_selection() {
    for folder in folders().iter().filter(|folder| expectation(folder).contains("reject") && folder.contains("empty")) {
        assert!(on(folder, &[]).reason().starts_with("selection: "), "{folder}");
    }
}

#[test]
fn a_pcr_to_which_the_log_does_not_lead_is_named_with_both_values() {
    for folder in folders().iter().filter(|folder| expectation(folder).contains("naming PCR")) {
        let expected = expectation(folder);
        let pcr = expected.rsplit(' ').next().unwrap();
        let found = on(folder, &[]);
        assert!(
            found.reason().starts_with(&format!("PCR {pcr} of sha256: the log replays to ")),
            "{folder}: {}",
            found.reason()
        );
        assert!(found.reason().contains("the quote says "), "{folder}");
    }
}

#[test]
fn counters_that_fall_between_two_checks_are_rejected() {
    let scratch = tempfile::tempdir().unwrap();
    for older in folders().iter().filter(|folder| expectation(folder).contains("shown after it")) {
        let state = scratch.path().join("seen.json");
        let newer = older.trim_end_matches("-older");
        let state = ["--state", state.to_str().unwrap()];
        assert_eq!(on(older, &state).evidence(), "accepted", "{older} alone");
        assert_eq!(on(newer, &state).evidence(), "accepted", "{newer} after {older}");
        let again = on(older, &state);
        assert_eq!(again.evidence(), "rejected", "{older} after {newer}");
        assert!(again.reason().starts_with("counters fell: resetCount "), "{}", again.reason());
        assert_eq!(on(newer, &state).evidence(), "accepted", "what is remembered has not fallen");
    }
}

#[test]
fn a_key_of_another_machine_fails_the_signature_and_nothing_after_it_is_said() {
    let folders = folders();
    let key = vectors::path("quotes/nico/ak_pub.tpmt");
    for folder in folders.iter().filter(|folder| !folder.contains("nico") && key.exists()) {
        let quote = vectors::path(&format!("{folder}/quote.bin"));
        let found = check(&["--quote", quote.to_str().unwrap(), "--ak", key.to_str().unwrap()]);
        assert_eq!((found.evidence(), found.outcome("signature")), ("rejected", "failed"), "{folder}");
        assert_eq!(found.outcome("pcrDigest"), "absent", "{folder}");
    }
}

#[test]
fn an_endorsement_key_counts_under_its_makers_root_and_under_no_other() {
    let file = |name: &str| vectors::path(name).to_str().unwrap().to_owned();
    if vectors::under("quotes/nico/quote.bin").is_empty() {
        return;
    }
    let certificate = file("certs/ek/nico-nuvoton-ek1.der");
    let under = |root: &str| on("quotes/nico", &["--ek-cert", &certificate, "--ca", &file(root)]);
    let right = under("certs/ca/nico-ca1.der");
    assert_eq!((right.evidence(), right.outcome("endorsement key")), ("accepted", "passed"));
    assert_eq!(right.outcome("qualifiedSigner"), "passed");
    let wrong = under("certs/ca/nico-ca2.der");
    assert_eq!((wrong.evidence(), wrong.outcome("endorsement key")), ("rejected", "failed"));
}

#[test]
fn evidence_of_confidential_containers_is_read_as_it_is() {
    for vector in vectors::under("quotes/json/").iter().filter(|vector| vector.file.contains("tpm_evidence")) {
        let file = vectors::path(&vector.file);
        let found = check(&["--quote", file.to_str().unwrap()]);
        assert_eq!((found.evidence(), found.outcome("signature"), found.code), ("accepted", "passed", 2));
        assert_eq!(found.report["pcrs"]["sha256"].as_object().unwrap().len(), 24);
    }
}

#[test]
fn a_tpm2b_attest_is_the_same_quote() {
    let scratch = tempfile::tempdir().unwrap();
    for vector in vectors::under("quotes/gentoo-pc-good/quote.bin") {
        let sized = [&u16::try_from(vector.bytes.len()).unwrap().to_be_bytes()[..], &vector.bytes].concat();
        let quote = scratch.path().join("quote.bin");
        std::fs::write(&quote, sized).unwrap();
        let beside = |name: &str| vectors::path(&format!("quotes/gentoo-pc-good/{name}")).to_str().unwrap().to_owned();
        let (signature, pcrs, key) = (beside("sig.bin"), beside("pcrs.json"), beside("ak_pub.pem"));
        let quote = quote.to_str().unwrap();
        let found = check(&["--quote", quote, "--signature", &signature, "--pcrs", &pcrs, "--ak", &key]);
        assert_eq!((found.evidence(), found.outcome("pcrDigest")), ("accepted", "passed"));
    }
}

#[test]
fn values_of_another_pcr_or_bank_are_not_taken_for_the_quoted_ones() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(values) = vectors::read("quotes/gentoo-pc-good/pcrs.json") else { return };
    let values: Value = serde_json::from_slice(&values).unwrap();
    let mut swapped = values.clone();
    (swapped["sha256"]["0"], swapped["sha256"]["1"]) = (values["sha256"]["1"].clone(), values["sha256"]["0"].clone());
    let relabelled = serde_json::json!({ "sha1": values["sha256"] });
    for wrong in [swapped, relabelled] {
        let file = scratch.path().join("pcrs.json");
        std::fs::write(&file, wrong.to_string()).unwrap();
        let found = on("quotes/gentoo-pc-good", &["--pcrs", file.to_str().unwrap()]);
        assert_eq!((found.evidence(), found.outcome("pcrDigest")), ("rejected", "failed"));
    }
}
