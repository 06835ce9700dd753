#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
use super::*;
use crate::rust_engine::RustEngine;
use alloc::vec;
use ed25519_dalek::{Signer, SigningKey};

const ORIGIN: &str = "log.example/custody";

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn key(name: &str, role: Role, seed: u8) -> LogKey {
    LogKey::new(&RustEngine, name, role, secret(seed).verifying_key().to_bytes())
}

/// A log of five leaves, its key, and three witnesses; what a proof says of leaf 3.
struct Case {
    leaves: Vec<Vec<u8>>,
    index: usize,
    origin: &'static str,
    extension: &'static str,
    /// Name under which the log's key signs.
    signer: &'static str,
    log_seed: u8,
    /// Name, seed, time.
    witnesses: Vec<(&'static str, u8, u64)>,
}

impl Case {
    fn good() -> Case {
        let leaves = (0..5u8).map(|n| vec![n; 4]).collect();
        let witnesses = vec![("w1.example", 11, 300), ("w2.example", 12, 100), ("w3.example", 13, 200)];
        Case { leaves, index: 3, origin: ORIGIN, extension: "", signer: ORIGIN, log_seed: 1, witnesses }
    }

    fn text(&self) -> String {
        let nodes = self.leaves.iter().map(|leaf| sha256(&RustEngine, &[&[LEAF_PREFIX], leaf])).collect();
        let tree = merkle::Tree::new(&RustEngine, nodes).unwrap();
        let root = Base64::encode_string(&tree.root());
        let body = format!("{}\n{}\n{root}\n{}", self.origin, self.leaves.len(), self.extension);
        let mut text = format!("{HEADER}\nindex {}\n", self.index);
        tree.path(self.index).unwrap().iter().for_each(|node| text += &format!("{}\n", Base64::encode_string(node)));
        text += &format!("\n{body}\n");
        text +=
            &line(&key(self.signer, Role::Log, self.log_seed), &secret(self.log_seed).sign(body.as_bytes()).to_bytes());
        for (name, seed, time) in &self.witnesses {
            let message = format!("cosignature/v1\ntime {time}\n{body}");
            let signature = secret(*seed).sign(message.as_bytes()).to_bytes();
            text += &line(&key(name, Role::Witness, *seed), &[&time.to_be_bytes()[..], &signature].concat());
        }
        text
    }

    fn verdict(&self) -> Result<Logged, LogFault> {
        verdict(&self.text())
    }
}

fn line(key: &LogKey, signature: &[u8]) -> String {
    format!("\u{2014} {} {}\n", key.name, Base64::encode_string(&[&key.id[..], signature].concat()))
}

fn trust(quorum: usize) -> LogTrust {
    let witnesses = [("w1.example", 11), ("w2.example", 12), ("w3.example", 13)];
    let witnesses = witnesses.map(|(name, seed)| key(name, Role::Witness, seed)).to_vec();
    LogTrust::new(vec![key(ORIGIN, Role::Log, 1)], witnesses, quorum).unwrap()
}

fn verdict(text: &str) -> Result<Logged, LogFault> {
    ClaimedProof::parse(text)?.verify(&RustEngine, &[3; 4], &trust(2))
}

#[test]
fn a_leaf_of_a_known_log_was_there_when_the_quorum_had_signed() {
    let logged = Case::good().verdict().unwrap();
    assert_eq!((logged.index, logged.time, logged.origin.as_str()), (3, 200, ORIGIN));
    assert_eq!(logged.witnesses, ["w2.example", "w3.example", "w1.example"]);
}

#[test]
fn extra_data_and_extension_lines_change_nothing() {
    let text = Case { extension: "more\n", ..Case::good() }.text();
    verdict(&text.replacen("\nindex", "\nextra AAAA\nindex", 1)).unwrap();
}

#[test]
fn the_examples_of_the_specifications_are_read() {
    let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let foo = LogKey::parse(&RustEngine, vkey).unwrap();
    let text = b"This is an example message.\n";
    let (_, id, bytes) = signature(
        "\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=",
    )
    .unwrap();
    assert_eq!(id, foo.id);
    let public = PublicKey::Ed25519(foo.key);
    RustEngine.verify_signature(&public, SignatureScheme::Ed25519, text, &bytes).unwrap();
}

#[test]
fn a_verifier_key_with_another_id_type_or_length_is_refused() {
    for bad in [
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+BukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a",
    ] {
        assert!(matches!(LogKey::parse(&RustEngine, bad), Err(LogFault::Key { .. })), "{bad}");
    }
}

#[test]
fn another_leaf_index_or_node_is_not_included() {
    let text = Case::good().text();
    let claimed = ClaimedProof::parse(&text).unwrap();
    let not_included = Err(LogFault::NotIncluded { origin: ORIGIN.to_owned() });
    assert_eq!(claimed.verify(&RustEngine, &[4; 4], &trust(2)), not_included);
    assert_eq!(verdict(&text.replacen("index 3", "index 2", 1)), not_included);
    let (first, _) = text.split_once("\n\n").unwrap();
    let last = first.rsplit_once('\n').unwrap().1;
    assert_eq!(verdict(&text.replacen(&format!("{last}\n"), "", 1)), not_included);
}

#[test]
fn a_log_that_is_not_known_or_did_not_sign_proves_nothing() {
    let unknown = |origin: &str| Err(LogFault::UnknownLog { origin: origin.to_owned() });
    assert_eq!(Case { origin: "other.example", ..Case::good() }.verdict(), unknown("other.example"));
    assert_eq!(
        Case { origin: "other.example", signer: "other.example", ..Case::good() }.verdict(),
        unknown("other.example")
    );
    assert_eq!(Case { log_seed: 2, ..Case::good() }.verdict(), unknown(ORIGIN));
}

#[test]
fn one_witness_too_few_proves_nothing() {
    let mut case = Case::good();
    case.witnesses = vec![("w1.example", 11, 300), ("stranger.example", 40, 1), ("w2.example", 41, 1)];
    assert_eq!(case.verdict(), Err(LogFault::Witnesses { found: 1, needed: 2 }));
}

#[test]
fn one_witness_that_signs_twice_counts_once() {
    let mut case = Case::good();
    case.witnesses = vec![("w1.example", 11, 300), ("w1.example", 11, 301)];
    assert_eq!(case.verdict(), Err(LogFault::Witnesses { found: 1, needed: 2 }));
}

#[test]
fn the_time_is_that_at_which_the_last_of_the_quorum_had_signed() {
    let text = Case::good().text();
    let claimed = ClaimedProof::parse(&text).unwrap();
    let time = |quorum| claimed.verify(&RustEngine, &[3; 4], &trust(quorum)).unwrap().time;
    assert_eq!([1, 2, 3].map(time), [100, 200, 300]);
    let witnesses = vec![("w1.example", 11, 50), ("w1.example", 11, 300), ("w2.example", 12, 100)];
    assert_eq!(Case { witnesses, ..Case::good() }.verdict().unwrap().time, 100, "the earliest of one witness");
    let witnesses = vec![("w1.example", 11, u64::MAX), ("w2.example", 12, 0)];
    assert_eq!(Case { witnesses, ..Case::good() }.verdict().unwrap().time, u64::MAX);
}

#[test]
fn a_time_that_the_witness_did_not_sign_refuses_the_whole_proof() {
    let text = Case::good().text();
    let lines: Vec<&str> = text.trim_end().rsplitn(4, '\n').take(3).collect();
    let bytes = |line: &str| Base64::decode_vec(line.rsplit_once(' ').unwrap().1).unwrap();
    let with = |line: &str, bytes: &[u8]| {
        let (head, _) = line.rsplit_once(' ').unwrap();
        verdict(&text.replace(line, &format!("{head} {}", Base64::encode_string(bytes))))
    };
    for (line, name) in lines.iter().zip(["w3.example", "w2.example", "w1.example"]) {
        let bad = Err(LogFault::Signature { name: name.to_owned() });
        for at in 4..12 {
            for bit in 0..8 {
                let mut forged = bytes(line);
                forged[at] ^= 1 << bit;
                assert_eq!(with(line, &forged), bad, "{name}, byte {at}, bit {bit}");
            }
        }
        let (key, signature) = (&bytes(line)[..4], &bytes(line)[12..]);
        for time in [100u64, 200, 300].into_iter().filter(|time| bytes(line)[4..12] != time.to_be_bytes()) {
            assert_eq!(with(line, &[key, &time.to_be_bytes(), signature].concat()), bad, "{name} at {time}");
        }
        for short in [&bytes(line)[..4], &bytes(line)[..11], &bytes(line)[..12], &bytes(line)[..75]] {
            assert_eq!(with(line, short), bad);
        }
        assert_eq!(with(line, &[key, signature].concat()), bad, "a signature without a time");
    }
}

#[test]
fn a_forged_signature_of_a_known_key_refuses_the_whole_proof() {
    let mut case = Case::good();
    let text = case.text();
    let last = text.trim_end().rsplit_once('\n').unwrap().1;
    let (head, base64) = last.rsplit_once(' ').unwrap();
    let mut bytes = Base64::decode_vec(base64).unwrap();
    for at in [11, 12, 75] {
        bytes[at] ^= 1;
        let forged = format!("{head} {}", Base64::encode_string(&bytes));
        let bad = Err(LogFault::Signature { name: "w3.example".to_owned() });
        assert_eq!(verdict(&text.replace(last, &forged)), bad, "byte {at}");
        bytes[at] ^= 1;
    }
    case.extension = "signed\n";
    let other = case.text().replace("signed\n", "forged\n");
    assert_eq!(verdict(&other), Err(LogFault::Signature { name: ORIGIN.to_owned() }));
}

#[test]
fn a_log_s_signature_is_no_witness_s_and_the_reverse() {
    let log = key(ORIGIN, Role::Log, 1);
    let witness = key("w1.example", Role::Witness, 11);
    assert!(LogTrust::new(vec![log.clone()], vec![log.clone()], 1).is_err());
    assert!(LogTrust::new(vec![witness.clone()], vec![witness.clone()], 1).is_err());
    assert_ne!(key("a", Role::Log, 1).id, key("a", Role::Witness, 1).id);
}

#[test]
fn a_quorum_of_nobody_of_too_many_or_of_one_key_under_two_names_is_refused() {
    let log = || vec![key(ORIGIN, Role::Log, 1)];
    let (a, b) = (key("a", Role::Witness, 11), key("b", Role::Witness, 11));
    let new = |witnesses: &[&LogKey], quorum| {
        LogTrust::new(log(), witnesses.iter().copied().cloned().collect(), quorum).is_err()
    };
    assert!(!new(&[&a], 1));
    assert!(new(&[&a], 0) && new(&[&a], 2) && new(&[], 0) && new(&[&a, &b], 2));
    assert!(new(&[&key("log too", Role::Witness, 1)], 1));
    assert!(LogTrust::new(vec![], vec![a], 1).is_err());
}

#[test]
fn what_is_no_proof_is_refused_with_what_is_wrong() {
    let text = Case::good().text();
    let long = "A".repeat(budget::LOG_PROOF_BYTES);
    let nodes = format!("{}\n", Base64::encode_string(&[0; 32])).repeat(64);
    let signatures = "\u{2014} a AAAAAA==\n".repeat(40);
    for (from, to, says) in [
        ("@v1", "@v2", "begin"),
        ("index 3", "index 03", "index"),
        ("index 3", "index -3", "index"),
        ("index 3", "index ", "index"),
        ("index 3\n", "index 3\nAAAA\n", "node"),
        ("index 3\n", &format!("index 3\n{nodes}"), "deep"),
        ("\n5\n", "\n05\n", "tree size"),
        ("\n5\n", "\n18446744073709551616\n", "tree size"),
        (ORIGIN, "", "log"),
        ("\u{2014} w1", "- w1", "signature"),
        ("\u{2014} w1.example", "\u{2014} w1 example", "signature"),
        ("\u{2014} w1", &format!("{signatures}\u{2014} w1"), "too many"),
        ("\n\n", "\n", "no"),
        ("index", "\tindex", "control"),
        ("index", &format!("{long}index"), "long"),
    ] {
        let error = ClaimedProof::parse(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{from:?} -> {to:?}: {error}");
    }
    assert!(ClaimedProof::parse(text.trim_end()).is_err());
}
