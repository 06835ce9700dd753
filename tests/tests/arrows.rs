//! The arrows between our crates are those of the design and no others (`make arrows`).
//!
//! Dependencies for tests and builds count too: an arrow that only a test needs is still an arrow. The tests crate itself may use
//! everything and is used by nothing.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may use; "may use" includes what its target may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("garant-hw", &[]),
    ("garant-boot", &["garant-hw"]),
    ("garant-attest", &["garant-hw"]),
    ("garant-channel", &["garant-attest"]),
    ("garant-verifier", &["garant-channel"]),
    ("garant-api", &[]),
    ("garantd", &["garant-hw", "garant-channel", "garant-api"]),
    ("garant", &["garant-verifier", "garant-api"]),
];
const TESTS: &str = "garant-tests";

#[test]
fn every_arrow_between_our_crates_is_one_of_the_design() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"])
        .output()
        .expect("cargo runs");
    let metadata = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    assert_eq!(forbidden_arrows(&metadata), Vec::<String>::new());
}

#[test]
fn an_arrow_that_the_design_lacks_is_refused() {
    for (from, to) in [
        ("garant-hw", "garant-attest"),
        ("garant-verifier", "garantd"),
        ("garantd", "garant-verifier"),
        ("garant-hw", "garant-tests"),
        ("garant-new", "garant-hw"),
        ("garant-api", "garant-hw"),
        ("garant-verifier", "garant-api"),
    ] {
        assert_eq!(forbidden_arrows(&workspace(from, to)), [format!("{from} -> {to}")]);
    }
    for (from, to) in [("garant", "garant-hw"), ("garant", "garant-api"), ("garantd", "garant-api")] {
        assert!(forbidden_arrows(&workspace(from, to)).is_empty(), "{from} -> {to}");
    }
}

/// Metadata of two crates of ours of which the first uses the second, and a crate of others.
fn workspace(from: &str, to: &str) -> Value {
    serde_json::json!({ "packages": [
        { "name": from, "dependencies": [{ "name": to }, { "name": "serde" }] },
        { "name": to, "dependencies": [] },
    ]})
}

fn forbidden_arrows(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("packages are a list");
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    let mut forbidden = Vec::new();
    for package in packages.iter().filter(|package| name(package) != TESTS) {
        let mut allowed = reachable(name(package));
        allowed.insert(name(package)); // a crate's own tests may ask for its features
        let used = package["dependencies"].as_array().expect("dependencies are a list").iter().map(name);
        for target in used.filter(|target| ours.contains(target) && !allowed.contains(target)) {
            forbidden.push(format!("{} -> {target}", name(package)));
        }
    }
    forbidden
}

/// All crates that the arrows lead to from `start`.
fn reachable(start: &str) -> BTreeSet<&str> {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = arrows.get(start).copied().unwrap_or_default().to_vec();
    while let Some(next) = open.pop() {
        if let Some((&known, targets)) = arrows.get_key_value(next)
            && found.insert(known)
        {
            open.extend_from_slice(targets);
        }
    }
    found
}

fn name(value: &Value) -> &str {
    value["name"].as_str().expect("a name is text")
}
