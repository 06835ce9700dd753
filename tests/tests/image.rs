//! The recipe of the node image gives the same bytes anywhere and says truly whether an image is closed.
#![allow(clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use garant_attest::uki::Uki;

const CLOSED_WORDS: [&str; 5] = [
    "lockdown=confidentiality",
    "module.sig_enforce=1",
    "sysctl.kernel.kexec_load_disabled=1",
    "intel_iommu=on",
    "iommu=force",
];

#[test]
fn the_same_inputs_give_the_same_bytes_in_two_folders() {
    let (first, second) = (scratch(), scratch());
    let image = build(first.path(), &CLOSED_WORDS.join(" "));
    // The PE format and cpio have room for times of day; a second build in the same second would not show one.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let again = build(second.path(), &CLOSED_WORDS.join(" "));
    for name in ["node.efi", "manifest.toml"] {
        assert!(read(&image, name) == read(&again, name), "{name} differs between two builds");
    }
}

#[test]
fn the_image_holds_the_given_command_line_and_nothing_runs_but_init() {
    let folder = scratch();
    let image = read(&build(folder.path(), "# a comment\nquiet\n  one   two\n"), "node.efi");
    let uki = Uki::parse(&image).expect("a unified kernel image");
    assert_eq!(uki.command_line().as_deref(), Some("quiet one two"));
    let initrd = uki.initrd().expect("an initrd");
    assert_eq!(executables(initrd), ["init"]);
}

#[test]
fn an_image_that_lacks_one_word_of_a_closed_one_says_so() {
    let folder = scratch();
    assert_eq!(conditions_not_met(&build(folder.path(), &CLOSED_WORDS.join(" "))), Vec::<String>::new());
    for (missing, condition) in [
        ("lockdown=confidentiality", "lockdown_confidentiality"),
        ("module.sig_enforce=1", "no_modules_after_start"),
        ("sysctl.kernel.kexec_load_disabled=1", "no_kexec"),
        ("intel_iommu=on", "iommu_forced"),
        ("iommu=force", "iommu_forced"),
    ] {
        let words: Vec<&str> = CLOSED_WORDS.iter().copied().filter(|word| *word != missing).collect();
        assert_eq!(conditions_not_met(&build(folder.path(), &words.join(" "))), [condition], "without {missing}");
    }
}

/// Runs the recipe; a file of this crate stands for garantd, whose content does not matter here.
fn build(folder: &Path, command_line: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace");
    let some_file = root.join("tests/Cargo.toml");
    let words = folder.join("cmdline");
    fs::write(&words, command_line).expect("a scratch file");
    let out = folder.join("image");
    let done = Command::new(root.join("images/node/build"))
        .args([&out, &some_file, &some_file, &words])
        .output()
        .expect("the recipe runs");
    assert!(done.status.success(), "the recipe failed: {}", String::from_utf8_lossy(&done.stderr));
    out
}

/// Conditions of a closed image that the manifest calls false.
fn conditions_not_met(image: &Path) -> Vec<String> {
    let manifest = String::from_utf8(read(image, "manifest.toml")).expect("text");
    let closed = manifest.split("[closed]\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a section");
    let value = |line: &str| line.split(" #").next().unwrap_or_default().to_owned();
    closed.lines().map(value).filter_map(|line| line.strip_suffix(" = false").map(str::to_owned)).collect()
}

/// Names of the files in a newc archive that have an executable bit (cpio(5): header of 6 + 13 × 8 characters).
fn executables(archive: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = archive;
    while let Some(header) = rest.get(..110).filter(|header| header.starts_with(b"070701")) {
        let field = |index: usize| {
            let digits = header.get(6 + 8 * index..14 + 8 * index).and_then(|digits| std::str::from_utf8(digits).ok());
            usize::from_str_radix(digits.expect("a field"), 16).expect("hexadecimal digits")
        };
        let (mode, file_bytes, name_bytes) = (field(1), field(6), field(11));
        let name = rest.get(110..109 + name_bytes).map(String::from_utf8_lossy).expect("a name");
        if name == "TRAILER!!!" {
            return found;
        }
        if mode & 0o170_000 == 0o100_000 && mode & 0o111 != 0 {
            found.push(name.into_owned());
        }
        let data = (110 + name_bytes).next_multiple_of(4);
        rest = rest.get((data + file_bytes).next_multiple_of(4)..).expect("an archive that ends with its trailer");
    }
    panic!("an archive without its trailer");
}

fn read(image: &Path, name: &str) -> Vec<u8> {
    fs::read(image.join(name)).expect("the recipe writes it")
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch folder")
}
