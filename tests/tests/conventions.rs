//! What a reader of the sources may rely on, as far as neither the compiler nor clippy checks it (`make check`).
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};

/// The only files that may say `unsafe`.
const UNSAFE_FILES: &[&str] = &["images/boot/src/bare.rs", "agent/src/sys.rs"];
/// Lines of one file, without its tests.
const FILE_LINES_MAX: usize = 400;
/// Names that say nothing about what a module is for.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];
/// Notes to self do not land. Written apart so that this file does not contain them.
const NOTES_TO_SELF: &[[&str; 2]] = &[["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["HA", "CK:"]];

#[test]
fn only_two_files_say_unsafe() {
    let allowed = |file: &Source| UNSAFE_FILES.contains(&file.name.as_str());
    let found = lines_where(sources("rs").iter().filter(|file| !allowed(file)), says_unsafe);
    assert_eq!(found, Vec::<String>::new());
}

/// Whether code (not a comment or a text) has the keyword.
fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default().split('"').next().unwrap_or_default();
    code.split(|character: char| !character.is_alphanumeric() && character != '_').any(|word| word == "unsafe")
}

#[test]
fn no_file_is_longer_than_400_lines_without_its_tests() {
    let long: Vec<String> = sources("rs")
        .iter()
        .filter(|file| !is_test(&file.name))
        .map(|file| (file, file.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines", file.name))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = sources("rs")
        .into_iter()
        .filter(|file| !file.text.starts_with("//! ") && !is_test(&file.name))
        .map(|file| file.name)
        .collect();
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn every_file_name_says_something() {
    let stem = |file: &Source| Path::new(&file.name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let empty: Vec<String> = sources("rs")
        .into_iter()
        .filter(|file| stem(file).is_some_and(|stem| EMPTY_NAMES.contains(&stem.as_str())))
        .map(|file| file.name)
        .collect();
    assert_eq!(empty, Vec::<String>::new());
}

#[test]
fn every_link_to_a_file_of_ours_leads_to_one() {
    let links = |file: &Source| -> Vec<String> {
        let folder = root().join(&file.name).parent().expect("a file has a folder").to_path_buf();
        let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let ours = targets.filter(|target| !target.is_empty() && !target.contains("://"));
        ours.filter(|target| !folder.join(target).exists()).map(|target| format!("{}: {target}", file.name)).collect()
    };
    let broken: Vec<String> = sources("md").iter().flat_map(links).collect();
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn no_note_to_self_is_left() {
    let words: Vec<String> = NOTES_TO_SELF.iter().map(|parts| parts.concat()).collect();
    let found = lines_where(sources("").iter(), |line| words.iter().any(|word| line.contains(word)));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_dependency_says_why_it_is_worth_its_lines() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    let dependencies =
        manifest.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a section");
    let silent: Vec<&str> = dependencies
        .lines()
        .filter(|line| {
            line.contains(" = ") && !line.contains("path = ") && !line.starts_with('#') && !line.contains(" # ")
        })
        .collect();
    assert_eq!(silent, Vec::<&str>::new());
}

#[test]
fn every_crate_takes_its_dependencies_from_the_workspace() {
    let own: Vec<String> = sources("toml")
        .iter()
        .filter(|file| file.name.ends_with("/Cargo.toml"))
        .flat_map(|file| own_dependencies(&file.text).map(move |line| format!("{}: {line}", file.name)))
        .collect();
    assert_eq!(own, Vec::<String>::new());
}

/// Lines of dependency sections that state a version instead of taking the workspace's.
fn own_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter(move |line| {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && *line != "[workspace.dependencies]";
        }
        let is_own_feature = line.contains("path = \".\""); // for the crate's own tests
        inside && line.contains('=') && !line.contains("workspace = true") && !is_own_feature
    })
}

/// A file of the project, named relative to its root.
struct Source {
    name: String,
    text: String,
}

/// Every text file of the project with this ending, hidden files and build output left out.
fn sources(ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project can be listed") {
            let path = entry.expect("an entry can be read").path();
            let name = path.strip_prefix(root()).expect("it lies in the project").to_string_lossy().into_owned();
            if name.starts_with(['.']) || name == "target" {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(ending)
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                found.push(Source { name, text });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn lines_where<'a>(files: impl Iterator<Item = &'a Source>, matches: impl Fn(&str) -> bool) -> Vec<String> {
    let numbered = |file: &'a Source| file.text.lines().zip(1..).map(move |(line, number)| (file, line, number));
    files
        .flat_map(numbered)
        .filter(|(_, line, _)| matches(line))
        .map(|(file, line, number): (&Source, &str, u32)| format!("{}:{number}: {line}", file.name))
        .collect()
}

fn is_test(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/") || name.starts_with("tests/tests/")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_owned()
}
