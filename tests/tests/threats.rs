//! The table of attacks names tests that exist.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn every_test_that_the_table_of_attacks_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names = BTreeSet::new();
    for folder in ["hw", "attest", "agent", "tests"] {
        collect(&root.join(folder), &mut names);
    }
    let table = fs::read_to_string(root.join("docs/threats.md")).expect("the table");
    let named: Vec<&str> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.matches('_').count() > 3 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    assert!(named.len() > 80, "only {} tests are named", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !names.contains(**name)).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}

/// Names of all functions that stand below a test attribute.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            collect(&entry, names);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&entry).expect("a source");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let name = line.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
                match name {
                    Some(name) if is_test => {
                        names.insert(name.to_owned());
                        is_test = false;
                    }
                    _ => is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
}
