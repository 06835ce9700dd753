//! Writes seeds for the fuzz targets below a folder: parts of the vectors and of forged answers, for each target a folder.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::as_conversions, reason = "tests")]

#[path = "fuzz_seeds/image.rs"]
mod image;
#[path = "fuzz_seeds/ledger.rs"]
mod ledger;
#[path = "fuzz_seeds/said.rs"]
mod said;

use garant_api::spec::{Ensure, Spec};
use garant_attest::{
    cbor::{self, Bytes, Bytes32},
    engine::sha256,
    merkle::Tree,
    verify::Challenge,
    wire::{self, Ask, Credential, CredentialAnswer, CredentialChallenge, EkClaim, Identity, Kind, Mode},
};
use garant_channel::engine::FastEngine;
use garant_hw::eventlog::EventLog;
use garant_tests::{
    forge::{self, Node},
    share_oracle, vectors,
};
use std::{fs, path::PathBuf};

fn main() {
    let root = PathBuf::from(std::env::args_os().nth(1).expect("usage: fuzz_seeds FOLDER"));
    let mut number = 0;
    let mut put = |target: &str, bytes: &[u8]| {
        number += 1;
        fs::create_dir_all(root.join(target)).unwrap();
        fs::write(root.join(target).join(number.to_string()), bytes).unwrap();
    };
    from_vectors(&mut put);
    areas(&mut put);
    forged(&mut put);
    said::custody(&mut put);
    said::geographic(&mut put);
    ledger::entries(&mut put);
    put("tlog", TLOG_PROOF.as_bytes());
    let spec: Spec = toml::from_str(include_str!("../../agent/cli/src/vm/spec.example.toml")).unwrap();
    put("vm_request", &spec.canonical());
    put("vm_request", &serde_json::to_vec(&Ensure { generation: 1, spec }).unwrap());
}

/// A proof's shape: one leaf, its log, one witness.
const TLOG_PROOF: &str = "c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\nlog.example\n1\n\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} log.example AAAAAAAAAAA=\n\u{2014} witness.example AAAAAA==\n";

fn from_vectors(put: &mut impl FnMut(&str, &[u8])) {
    for vector in vectors::under("") {
        let bytes = &vector.bytes[..];
        match vector.file.rsplit('.').next() {
            Some("ima") => put("ima", &bytes[..bytes.len().min(8192)]),
            Some("der" | "crt" | "pem" | "cer") => put("certificate", bytes),
            _ if vector.file.starts_with("eventlogs/") && vector.file.ends_with(".bin") => {
                put("eventlog", bytes);
                event_data(bytes, put);
            }
            _ if vector.file.starts_with("quotes/") => {
                put("quote", bytes);
                put("public_area", bytes);
                put("certificate", bytes);
            }
            _ => (),
        }
    }
    // An endorsement key with all authorities behind it, as some chips hold them.
    let authorities: Vec<u8> = vectors::under("certs/ca/").into_iter().flat_map(|vector| vector.bytes).collect();
    vectors::under("certs/ek/").iter().for_each(|ek| put("certificate", &[&ek.bytes[..], &authorities].concat()));
}

/// Type and data of the first event of each type.
fn event_data(log: &[u8], put: &mut impl FnMut(&str, &[u8])) {
    let Ok(log) = EventLog::parse(log) else { return };
    let mut seen = std::collections::BTreeSet::new();
    for event in log.events().map_while(Result::ok).filter(|event| event.untrusted_data.len() < 8192) {
        if seen.insert(event.event_type.0) {
            put("eventdata", &[&event.event_type.0.to_le_bytes(), event.untrusted_data].concat());
        }
    }
}

/// A small map, and an area as a user may write it. The built-in map is longer than what is fuzzed.
fn areas(put: &mut impl FnMut(&str, &[u8])) {
    let map =
        b"garant/territory/1\0\x01v\x05\x06\x01\x02AA\x01\x01\x03\x02\x02\x02\xa0\x1f\x00\x02\x01\x03SET\x01\x00\x00";
    put("territory", map);
    let rings = "[[8,50],[9,50],[9,51],[8,50]],[[8.5,50.1],[8.9,50.1],[8.9,50.4],[8.5,50.1]]";
    for geometry in [
        format!(r#"{{"type":"Polygon","coordinates":[{rings}]}}"#),
        format!(r#"{{"type":"MultiPolygon","coordinates":[[{rings}],[{rings}]]}}"#),
    ] {
        put("territory", geometry.as_bytes());
        let feature = format!(r#"{{"type":"Feature","properties":null,"geometry":{geometry}}}"#);
        put("territory", format!(r#"{{"type":"FeatureCollection","features":[{feature}]}}"#).as_bytes());
    }
}

fn forged(put: &mut impl FnMut(&str, &[u8])) {
    let mut node = Node::new(forge::log(&[(0, 4, b"\0\0\0\0"), (4, 5, b"boot"), (7, 4, b"\0\0\0\0")]));
    node.ima = Some(vectors::read("ima/h12ssl.ima").unwrap_or_default().into_iter().take(400).collect());
    node.commits = vec![1; 96];
    node.boot();
    let challenge = Node::challenge(Kind::TlsServer);
    let evidence = node.evidence([0; 32]);
    let (attest, signature) = node.quote([0; 32]);
    put("public_area", &node.ak_public);
    put("public_area", &signature);
    put("quote", &attest);
    put("ledger", &[&[u8::try_from(node.entry_zero.len()).unwrap()][..], &node.entry_zero, &node.commits].concat());
    put("wire", &evidence);
    parts(&evidence, put);
    for answer in [node.fresh(&challenge), node.cached(&challenge)] {
        put("wire", &answer);
        put("verify", &answer);
        put("verify", &agreeing(&node, &challenge, answer));
    }
    messages(put);
    let spoken = said::statements(&node, put);
    said::bundles(&node, &spoken, POLICY, put);
    said::timing(put);
    put("policy", POLICY.as_bytes());
    garant_attest::owner::rule_set::BUILT_IN.iter().for_each(|(_, text)| put("rule_set", text.as_bytes()));
    let mut source = share_oracle::Random(3);
    for world in (0..20).map(|_| share_oracle::random(&mut source)) {
        put("holdings", &cbor::encode(world.statement().claims()).unwrap());
    }
    put("image", &image::unified());
    put("smbios", &smbios());
    put("tpm", &tpm_answers());
}

/// The same answer for an engine whose digests are all zero.
fn agreeing(node: &Node, challenge: &Challenge, mut answer: Vec<u8>) -> Vec<u8> {
    let leaf = wire::leaf(&FastEngine, challenge.kind, &challenge.nonce, &challenge.binder).unwrap();
    let root = Tree::new(&FastEngine, [&node.others[..], &[leaf]].concat()).unwrap().root();
    let pcrs: Vec<u8> =
        node.banks.iter().flat_map(|(_, pcrs)| pcrs.iter().flat_map(|pcr| pcr.as_bytes().to_vec())).collect();
    for root in [root, [77; 32]] {
        let (attest, _) = node.quote(root);
        let extra =
            wire::extra_data(&FastEngine, &root, &node.session_public(), &sha256(&FastEngine, &[&node.claims()]));
        let pcr_digest = &attest[attest.len() - 32..];
        [&root[..], &extra.unwrap(), pcr_digest, &pcrs].into_iter().for_each(|digest| zero(&mut answer, digest));
    }
    answer
}

/// Overwrites the first place where `digest` stands.
fn zero(bytes: &mut [u8], digest: &[u8]) {
    if let Some(at) = bytes.windows(digest.len()).position(|window| window == digest) {
        bytes[at..at + digest.len()].fill(0);
    }
}

/// The value of each part of the collection.
fn parts(evidence: &[u8], put: &mut impl FnMut(&str, &[u8])) {
    use garant_attest::evidence::{EAT_TYPE, Evidence, IMA_TYPE, KEY_TYPE, LEDGER_TYPE, PCRS_TYPE, QUOTE_TYPE};
    let evidence = Evidence::decode(evidence).unwrap();
    let records = [
        (Some(evidence.eat), EAT_TYPE),
        (evidence.ima, IMA_TYPE),
        (Some(evidence.key), KEY_TYPE),
        (Some(evidence.pcrs), PCRS_TYPE),
        (Some(evidence.quote), QUOTE_TYPE),
        (Some(evidence.ledger), LEDGER_TYPE),
    ];
    for (record, media_type) in records {
        put("wire", record.unwrap().bytes(media_type, usize::MAX).unwrap());
    }
}

fn messages(put: &mut impl FnMut(&str, &[u8])) {
    let claim = EkClaim(Bytes::new(b"certificate"), Some(0x01c0_000a), Some(Bytes::new(b"template")));
    let credential = Credential(0, Bytes::new(b"blob"), Bytes::new(b"secret"));
    let identity =
        Identity::new(b"ak", core::iter::once(claim).collect(), core::iter::once(Bytes::new(b"authority")).collect());
    put("wire", &cbor::encode(&identity).unwrap());
    put("wire", &cbor::encode(&CredentialChallenge::new([1; 32], core::iter::once(credential).collect())).unwrap());
    put("wire", &cbor::encode(&CredentialAnswer::new(core::iter::once(Bytes32::new([2; 32])).collect())).unwrap());
    put(
        "wire",
        &cbor::encode(&Ask::new([3; 32], Mode::Cached, core::iter::once(Bytes32::new([4; 32])).collect(), 7)).unwrap(),
    );
}

/// An SMBIOS 3 entry point, and a table of one system.
fn smbios() -> Vec<u8> {
    let mut bytes = b"_SM3_\0\x18\x03\x07\0\x01\0\0\x10\0\0\0\0\0\0\0\0\0\0".to_vec();
    bytes[5] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes.extend([1, 27, 0, 1, 1, 2, 0, 3]);
    bytes.extend([7; 19]);
    bytes.extend(b"maker\0product\0serial\0\0\x7f\x04\0\0\0\0");
    bytes
}

/// TPM2_PCR_Read's answer of a TPM (TPM 2.0 Part 3, 22.4) as the target reads it.
fn tpm_answers() -> Vec<u8> {
    let body = [&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0x0b, 3, 1, 0, 0, 0, 0, 0, 1, 0, 32][..], &[7; 32]].concat();
    let size = u8::try_from(10 + body.len()).unwrap();
    [&[4, size, 0, 0x80, 0x01, 0, 0, 0, size, 0, 0, 0, 0][..], &body].concat()
}

/// Every table and most keys that a policy knows.
const POLICY: &str = r#"
roots = ["silicon", "test"]
max_age_s = 300
configurations = ["0000000000000000000000000000000000000000000000000000000000000000"]
deny_ak = ["000b"]
[secure_boot]
enabled = true
db = ["0000000000000000000000000000000000000000000000000000000000000000"]
[pins.sha256]
0 = ["0000000000000000000000000000000000000000000000000000000000000000"]
[[image]]
name = "node"
kernel = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
cmdline = "quiet"
[image.extends.sha256]
12 = []
[[event]]
pcr = 4
name = "loader"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
[workload]
kernels = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
initrds = ["none"]
"#;
