//! Enrolment records: to which key they lend standing, and what is known against its chip; in `garant check` from files
//! and at a verifier.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use garant_attest::{
    carried::Carried,
    cbor::{Bytes, Bytes32, CborError},
    crl::Crl,
    endorsement::EndorsementStatus,
    engine::{Digest, PublicKey},
    enrolment::{self, Enrolment},
    policy::Policy,
    public_area::AttestationKey,
    verdict::Answer,
    verify::{Known, verify},
    wire::Kind,
    workload::SentLedger,
};
use garant_channel::engine::FastEngine;
use garant_hw::hash::Hash;
use garant_tests::{
    chain_world::{World, read, revocation_list},
    forge::{self, Node},
    garant::garant,
};
use garant_verifier::{
    assess::{Judgement, Rulebook, Said, Witness, judge},
    session::Answered,
};
use rcgen::SerialNumber;
use serde_json::Value;
use std::{fs, time::Duration};
use tempfile::TempDir;

/// A machine, its TPM's maker, and a verifier that enrolled it.
struct Enrolled {
    node: Node,
    maker: World,
    witness: ed25519_dalek::SigningKey,
    /// TPMT_PUBLIC of the key that the record binds to the TPM.
    recorded: Vec<u8>,
    /// Lines of the policy before its pins.
    policy: String,
    revocations: Vec<Vec<u8>>,
    status: String,
}

impl Enrolled {
    fn soundly() -> Enrolled {
        let node = Node::new(forge::log(&[(0, 4, b"\0\0\0\0"), (4, 5, b"boot"), (7, 4, b"\0\0\0\0")]));
        let mut maker = World { kind: garant_attest::roots::RootKind::Test, ..World::sound() };
        maker.ek.serial_number = Some(SerialNumber::from(EK_SERIAL));
        Enrolled {
            recorded: node.ak_public.clone(),
            node,
            maker,
            witness: signer(31),
            policy: String::new(),
            revocations: Vec::new(),
            status: status("IFX", "9.0", "refused"),
        }
    }

    /// SHA-256 of the endorsement key's SubjectPublicKeyInfo.
    fn ek_id(&self) -> [u8; 32] {
        read(&self.maker.ek_der()).public_key().unwrap().id(&FastEngine).unwrap()
    }

    fn record(&self) -> Vec<u8> {
        let ak = AttestationKey::from_public_area(&FastEngine, &self.recorded).unwrap();
        let (ek, authority) = (self.maker.ek_der(), self.maker.authority_certificate());
        let record = Enrolment {
            time: 1_780_000_000,
            node_id: Bytes32::new(self.ek_id()),
            ek_certificates: [Bytes::new(&ek)].into_iter().collect(),
            ek_names: [Bytes::new(&[0; 34])].into_iter().collect(),
            intermediates: [Bytes::new(authority.der())].into_iter().collect(),
            ak_public: Bytes::new(&self.recorded),
            ak_name: Bytes::new(ak.name().as_bytes()),
        };
        let id = public(&self.witness).id(&FastEngine).unwrap();
        let sign = |message: &[u8]| Ok::<_, CborError>(ed25519_dalek::Signer::sign(&self.witness, message).to_bytes());
        enrolment::seal(&record, id, sign).unwrap()
    }

    fn values(&self) -> &[Digest] {
        &self.node.banks.iter().find(|(hash, _)| *hash == Hash::Sha256).unwrap().1
    }

    /// Accepts what this machine booted, on test roots.
    fn policy(&self) -> String {
        let pin = |pcr: usize| format!("{pcr} = [\"{}\"]\n", self.values()[pcr]);
        let pins: String = (0..15).filter(|pcr| *pcr != 10).map(pin).collect();
        format!("{}\nroots = [\"test\"]\nmax_age_s = 60\n[pins.sha256]\n{pins}", self.policy)
    }

    /// What `garant check` says of it, all in files.
    fn checked(&self) -> Checked {
        self.checked_but(&[], &[])
    }

    /// The same without a record, with the endorsement key's certificate alone.
    fn checked_without_record(&self) -> Checked {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let ek = write("ek", &self.maker.ek_der());
        let authority = write("authority", self.maker.authority_certificate().der());
        self.checked_but(&["--record", "--witness"], &["--ek-cert", &ek, "--intermediates", &authority])
    }

    /// The same without these options and with others.
    fn checked_but(&self, without: &[&str], with: &[&str]) -> Checked {
        let folder = tempfile::tempdir().unwrap();
        let mut files = self.in_files(&folder);
        files.retain(|(option, _)| !without.contains(&option.as_str()));
        let mut arguments = vec!["check", "--json", "--nonce", NONCE_HEX];
        arguments.extend(files.iter().flat_map(|(option, path)| [option.as_str(), path.as_str()]));
        arguments.extend(with);
        let done = garant(&arguments);
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Checked {
            code: done.status.code().unwrap(),
            report: serde_json::from_slice(&done.stdout).unwrap_or_default(),
            stderr,
        }
    }

    fn in_files(&self, folder: &TempDir) -> Vec<(String, String)> {
        let attest = self.node.attest(&NONCE);
        let values = self.values().iter().enumerate().map(|(pcr, value)| (pcr.to_string(), value.to_string().into()));
        let values = serde_json::json!({ "sha256": values.collect::<serde_json::Map<String, Value>>() });
        let witness = public(&self.witness).spki().unwrap();
        let witness = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &witness).unwrap();
        let files = [
            ("quote", attest.clone()),
            ("signature", self.node.sign(&attest)),
            ("pcrs", values.to_string().into_bytes()),
            ("ak", self.node.ak_public.clone()),
            ("log", self.node.log.clone().unwrap()),
            ("ca", self.maker.root_certificate().der().to_vec()),
            ("record", self.record()),
            ("witness", witness.into_bytes()),
            ("policy", self.policy().into_bytes()),
            ("endorsement", self.status.clone().into_bytes()),
        ];
        let lists = self.revocations.iter().map(|list| ("crl", list.clone()));
        let write = |(number, (option, bytes)): (usize, (&str, Vec<u8>))| {
            let path = folder.path().join(number.to_string());
            fs::write(&path, bytes).unwrap();
            (format!("--{option}"), path.to_str().unwrap().to_owned())
        };
        files.into_iter().chain(lists).enumerate().map(write).collect()
    }

    /// What a verifier says of its fresh answer.
    fn judged(&self) -> Judgement {
        let rules = Rulebook::new(
            self.maker.roots(),
            Vec::new(),
            self.revocations.iter().map(|list| Crl::from_der(list).unwrap()).collect(),
            EndorsementStatus::parse(&self.status).unwrap(),
            Some(Policy::parse(self.policy().as_bytes(), &FastEngine).unwrap()),
        )
        .unwrap();
        let statement = self.record();
        let witnesses = [Witness { key: public(&self.witness), name: None }];
        let record = rules.open(&statement, &witnesses).unwrap();
        let known = Known { ak_name: None, peer_key: None, counters: None, ima: None, held: &[] };
        let answer = self.node.fresh(&Node::challenge(Kind::TlsServer));
        let verified = verify(&FastEngine, &answer, Node::challenge(Kind::TlsServer), &known).unwrap();
        let ledger = SentLedger { entries: &[], fault: None };
        let said = Said { carried: &Carried::default(), fault: None, ledger, now: 0 };
        judge(&rules, &Answered { verified, age: Duration::from_secs(1), sighting: None }, Some(&record), said)
    }
}

/// What the program printed and how it ended.
struct Checked {
    code: i32,
    report: Value,
    stderr: String,
}

impl Checked {
    fn boot(&self) -> &str {
        self.report["verdict"]["boot"]["answer"].as_str().unwrap()
    }

    fn reason(&self) -> &str {
        self.report["verdict"]["boot"]["reasons"][0].as_str().unwrap_or_default()
    }

    fn outcome(&self, check: &str) -> (&str, &str) {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().find(|entry| entry["check"] == check).unwrap();
        (found["outcome"].as_str().unwrap(), found["detail"].as_str().unwrap())
    }

    /// Unknown, since the record does not stand for these words.
    fn lacks_standing(&self, why: &str) {
        let (outcome, detail) = self.outcome("enrolment");
        assert!(outcome == "failed" && detail.contains(why), "{outcome}: {detail}");
        assert_eq!((self.code, self.boot()), (2, "unknown"));
        assert!(self.reason().contains("no enrolment record"), "{}", self.reason());
    }
}

/// A table with one finding: of this maker, from version 1.0 up to this one.
fn status(maker: &str, to: &str, weight: &str) -> String {
    format!(
        "version = \"1\"\n[[finding]]\nmaker = \"{maker}\"\nfrom = \"1.0\"\nto = \"{to}\"\nstatus = \"{weight}\"\n\
         id = \"CVE-1\"\nnote = \"leaks\"\n"
    )
}

fn signer(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

fn public(key: &ed25519_dalek::SigningKey) -> PublicKey {
    PublicKey::Ed25519(key.verifying_key().to_bytes())
}

#[test]
fn a_record_of_this_key_lends_it_standing() {
    let enrolled = Enrolled::soundly();
    let checked = enrolled.checked();
    assert_eq!((checked.code, checked.boot(), checked.reason()), (0, "yes (test)", ""), "{}", checked.report);
    assert_eq!(checked.outcome("enrolment").0, "passed");
    let basis = checked.report["verdict"]["boot"]["basis"].to_string();
    assert!(basis.contains("the verifier that signed the enrolment record"), "its word is a link: {basis}");
    let judgement = enrolled.judged();
    assert_eq!(judgement.verdict.boot.answer, Answer::Yes, "{:?}", judgement.verdict.boot.reasons);
    assert_eq!(judgement.node_id(), Some(enrolled.ek_id()));
}

#[test]
fn a_record_of_another_attestation_key_lends_none() {
    let other = p256::ecdsa::SigningKey::from_slice(&[32; 32]).unwrap();
    let enrolled = Enrolled { recorded: forge::ak_public(&other), ..Enrolled::soundly() };
    enrolled.checked().lacks_standing("of another attestation key");
    let judgement = enrolled.judged();
    let boot = &judgement.verdict.boot;
    assert_eq!((boot.answer, judgement.node_id()), (Answer::Unknown, None));
    assert!(boot.reasons[0].contains("no enrolment record"), "{:?}", boot.reasons);
    assert_eq!(judgement.verdict.expires, None, "its certificates say nothing of this key");
}

#[test]
fn a_record_lends_none_without_its_witness_or_its_maker() {
    let enrolled = Enrolled::soundly();
    let folder = tempfile::tempdir().unwrap();
    let other = Enrolled { witness: signer(33), ..Enrolled::soundly() };
    let files = other.in_files(&folder);
    let file = |option: &str| files.iter().find(|(name, _)| name == option).unwrap().1.as_str();
    enrolled.checked_but(&["--witness"], &["--witness", file("--witness")]).lacks_standing("names another signer");
    let foreign = enrolled.checked_but(&["--ca"], &["--ca", file("--ca")]);
    foreign.lacks_standing("did not sign");
    let mut gone = Enrolled::soundly();
    gone.maker.ek.not_after = rcgen::date_time_ymd(2021, 1, 1);
    gone.checked().lacks_standing("ended at");
}

#[test]
fn a_revoked_endorsement_key_lends_none() {
    let list = |serial, until_year| {
        let mut enrolled = Enrolled::soundly();
        enrolled.revocations =
            vec![revocation_list(&enrolled.maker.authority, serial, until_year, &enrolled.maker.keys[1])];
        enrolled
    };
    assert_eq!(list(EK_SERIAL + 1, 2039).checked().boot(), "yes (test)");
    list(EK_SERIAL, 2039).checked().lacks_standing("revoked since");
    list(EK_SERIAL + 1, 2025).checked().lacks_standing("the revocation list is for");
    let revoked = list(EK_SERIAL, 2039).checked_without_record();
    let (outcome, detail) = revoked.outcome("endorsement key");
    assert!(outcome == "failed" && detail.contains("revoked since"), "{outcome}: {detail}");
    assert_eq!((revoked.code, &revoked.report["evidence"]), (2, &"rejected".into()));
}

#[test]
fn evidence_that_fails_a_check_is_never_a_yes_whatever_its_record_says() {
    let other = Enrolled { maker: World::sound(), ..Enrolled::soundly() };
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("ek");
    fs::write(&foreign, other.maker.ek_der()).unwrap();
    let checked = Enrolled::soundly().checked_but(&[], &["--ek-cert", foreign.to_str().unwrap()]);
    assert_eq!((checked.code, checked.boot(), checked.outcome("enrolment").0), (2, "unknown", "passed"));
    assert!(checked.reason().starts_with("endorsement key: "), "{}", checked.reason());
}

#[test]
fn a_file_without_a_revocation_list_is_no_empty_one() {
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for nothing in [certificate, "", "none"] {
        let enrolled = Enrolled { revocations: vec![nothing.as_bytes().to_vec()], ..Enrolled::soundly() };
        let checked = enrolled.checked();
        assert_eq!(checked.code, 3, "{nothing:?}: {}", checked.stderr);
    }
}

#[test]
fn what_is_known_against_the_chip_takes_a_yes_back() {
    let known = |maker, to, weight| Enrolled { status: status(maker, to, weight), ..Enrolled::soundly() };
    for (maker, to, weight, outcome, answer) in [
        ("NTC", "1.2", "refused", "failed", Answer::Unknown),
        ("NTC", "1.1", "refused", "passed", Answer::Yes),
        ("IFX", "9.0", "refused", "passed", Answer::Yes),
        ("NTC", "9.0", "warned", "passed", Answer::Yes),
    ] {
        let enrolled = known(maker, to, weight);
        let (checked, verdict) = (enrolled.checked(), enrolled.judged().verdict);
        let name = format!("{maker} up to {to} {weight}");
        let is_yes = answer == Answer::Yes;
        assert_eq!(verdict.boot.answer, answer, "{name}");
        assert_eq!(checked.code, if is_yes { 0 } else { 2 }, "{name}: {}", checked.report);
        assert_eq!(checked.boot(), if is_yes { "yes (test)" } else { "unknown" }, "{name}");
        let (found, detail) = checked.outcome("endorsement status");
        assert_eq!(found, outcome, "{name}");
        let is_named = maker == "NTC" && to != "1.1";
        assert_eq!(detail.contains("CVE-1: leaks"), is_named, "{name}: {detail}");
        assert_eq!(verdict.residual_trust.contains(&"chip: CVE-1: leaks".to_owned()), is_named, "{name}");
        if !is_yes {
            assert_eq!(checked.reason(), "endorsement status: CVE-1: leaks");
            assert_eq!(verdict.boot.reasons[0], "endorsement status: CVE-1: leaks");
            assert_eq!(verdict.vector.hardware, 96);
        }
    }
    let unrecorded = known("NTC", "1.2", "refused").checked_without_record();
    assert_eq!(unrecorded.outcome("endorsement key").0, "passed");
    assert_eq!(unrecorded.outcome("endorsement status").0, "failed", "also of a certificate alone");
}

#[test]
fn a_verifier_takes_its_table_of_chips_from_the_file_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("table"), status("NTC", "9.0", "warned")).unwrap();
    fs::write(path("none"), status("NTC", "0.9", "warned")).unwrap();
    let (state, nobody) = (path("state"), format!("unix:{}", path("nobody")));
    for (table, code) in [("table", 2), ("none", 3), ("absent", 3)] {
        let asked = garant(&["verify", &nobody, "--state", &state, "--endorsement", &path(table)]);
        assert_eq!(asked.status.code(), Some(code), "{table}: {asked:?}");
    }
}

#[test]
fn a_denied_endorsement_key_is_a_no() {
    let enrolled = Enrolled::soundly();
    let id: String = enrolled.ek_id().iter().map(|byte| format!("{byte:02x}")).collect();
    let enrolled = Enrolled { policy: format!("deny_ek = [\"{id}\"]"), ..enrolled };
    let checked = enrolled.checked();
    assert_eq!((checked.code, checked.boot()), (1, "no (test)"), "{}", checked.report);
    assert_eq!(enrolled.judged().verdict.boot.answer, Answer::No);
    let alone = enrolled.checked_without_record();
    let (outcome, detail) = alone.outcome("endorsement key");
    assert!(outcome == "failed" && detail.contains("deny"), "{outcome}: {detail}");
}

const EK_SERIAL: u64 = 7;
const NONCE: [u8; 2] = [0xab, 0xcd];
const NONCE_HEX: &str = "abcd";
