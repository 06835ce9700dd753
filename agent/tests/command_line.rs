//! The command line of `garantd`, as far as it needs no TPM.
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command};

/// Exit code, standard output and standard error.
fn garantd(words: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_garantd")).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

fn example() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/garantd.example.toml").display().to_string()
}

#[test]
fn a_good_configuration_is_told_with_the_digest_that_entry_0_will_have() {
    let (code, out, _) = garantd(&["check-config", &example()]);
    let digest = garantd::keeper::configuration_digest(&std::fs::read(example()).unwrap());
    assert_eq!((code, out), (0, format!("ok sha256:{digest}\n")));
}

#[test]
fn a_bad_configuration_is_told_with_its_line() {
    let (code, out, _) = garantd(&["check-config", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert_eq!(code, 1);
    assert!(out.contains(": line ") && out.contains("unknown field `dependencies`"), "{out}");
}

#[test]
fn a_configuration_that_is_not_there_is_an_error_and_not_a_bad_one() {
    let (code, _, err) = garantd(&["check-config", "/nowhere/garantd.toml"]);
    assert_eq!(code, 3);
    assert!(err.contains("cannot read /nowhere/garantd.toml"), "{err}");
}

#[test]
fn no_server_starts_without_a_keeper_and_no_keeper_with_a_pcr_that_software_resets() {
    for (words, expected) in [
        (&["--ledger-pcr", "16"][..], "PCR 16 cannot hold the ledger"),
        (&["--ledger-pcr", "23"], "PCR 23 cannot hold the ledger"),
        (&["--tpm", "unix:/nowhere/sock"], "no TPM at unix:/nowhere/sock"),
        (&["--nonsense"], "nonsense"),
        (&["server"], "garantd"),
    ] {
        let (code, _, err) = garantd(words);
        assert_eq!(code, 3, "{words:?}");
        assert!(err.contains(expected), "{err}");
    }
}
