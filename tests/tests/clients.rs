//! Who may ask a real node for VMs over TLS: each role's refusals, quotas, and what strangers see.

use garant_channel::{
    http::{Budget, Method},
    key::SigningKey,
};
use garant_tests::{
    asker::Asker,
    garantd::Garantd,
    impostor::{Impostor, Trick},
    swtpm::Swtpm,
    verifier::Verifier,
    vms::{Images, act, ask_json, ensure},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A node with four clients, each a key made of its number.
fn node(more: &str) -> Option<(Swtpm, Images, Garantd)> {
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let clients: String = [(VIEWER, "viewer", ""), (SHOP, "tenant", more), (BANK, "tenant", ""), (OPS, "operator", "")]
        .map(|(seed, role, more)| {
            let key: String = key(seed).public().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("[[vms.client]]\nkey = '{key}'\nname = '{}'\nrole = '{role}'\n{more}\n", name(seed))
        })
        .concat();
    let node = Garantd::start(&tpm.address(), &(images.options() + &clients));
    Some((tpm, images, node))
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

fn name(seed: u8) -> String {
    format!("client-{seed}")
}

/// One request over TLS, by the holder of this key or by a stranger: status and body, JSON where it is.
fn over_tls(node: &Garantd, seed: Option<u8>, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(node, seed, method, path, body)
}

fn send(node: &Garantd, seed: Option<u8>, method: &str, path: &str, body: String) -> (u16, Value) {
    let asked = async {
        let mut asker = Asker::dial_with(node.address, seed.map(key).as_ref()).await.unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answered = asker.connection.json(method, path, body, BUDGET).await;
        // A server that refuses a long body closes before it has read it, which may be all that is seen.
        let (status, body) = answered.unwrap_or((413, Default::default()));
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asked)
}

fn put(node: &Garantd, seed: u8, id: &str, spec: &Value) -> (u16, Value) {
    over_tls(node, Some(seed), "PUT", &format!("/v1/vms/{id}"), &json!({ "generation": 1, "spec": spec }))
}

fn verb(node: &Garantd, seed: u8, id: &str, verb: &str) -> (u16, Value) {
    over_tls(node, Some(seed), "POST", &format!("/v1/vms/{id}/{verb}"), &json!({ "generation": 1 }))
}

fn get(node: &Garantd, seed: u8, path: &str) -> (u16, Value) {
    over_tls(node, Some(seed), "GET", path, &Value::Null)
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

fn ids(list: &Value, of: &str) -> Vec<String> {
    list[of].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// Everything that can be asked of a VM.
fn all_requests(id: &str, spec: &Value) -> Vec<(&'static str, String, Value)> {
    let act = || json!({ "generation": 1 });
    let verbs = ["start", "pause", "resume", "stop"].map(|verb| ("POST", format!("/v1/vms/{id}/{verb}"), act()));
    let mut all = vec![
        ("GET", "/v1/vms".to_owned(), Value::Null),
        ("GET", format!("/v1/vms/{id}"), Value::Null),
        ("GET", format!("/v1/vms/{id}/console"), Value::Null),
        ("GET", "/v1/events/0".to_owned(), Value::Null),
        ("PUT", format!("/v1/vms/{id}"), json!({ "generation": 1, "spec": spec })),
        ("DELETE", format!("/v1/vms/{id}"), act()),
        ("GET", "/v1/vms/".to_owned(), Value::Null),
        ("GET", "/v1/events".to_owned(), Value::Null),
    ];
    all.extend(verbs);
    all
}

#[test]
fn without_a_client_s_key_nothing_answers_but_the_attestation_path() {
    let Some((_tpm, images, node)) = node("") else { return };
    assert_eq!(ensure(&node, "secret-name", &images.spec()).0, 201);
    for seed in [None, Some(99)] {
        for (method, path, body) in all_requests("secret-name", &images.spec()) {
            let answer = over_tls(&node, seed, method, &path, &body);
            assert_eq!(code(&answer), (403, "not_allowed"), "{method} {path}");
            assert!(!answer.1.to_string().contains("secret-name"), "{}", answer.1);
        }
        assert_eq!(over_tls(&node, seed, "GET", "/v1/identity", &Value::Null).0, 200);
    }
    assert_eq!(ask_json(&node, "GET", "/v1/vms/secret-name", &Value::Null).1["state"].as_str(), Some("defined"));
}

#[test]
fn a_viewer_sees_every_vm_and_changes_none() {
    let Some((_tpm, images, node)) = node("") else { return };
    assert_eq!(ensure(&node, "local", &images.spec()).0, 201);
    assert_eq!(put(&node, SHOP, "shops", &images.spec()).0, 201);
    for (method, path, body) in all_requests("shops", &images.spec()) {
        let answer = over_tls(&node, Some(VIEWER), method, &path, &body);
        match (method, path.as_str()) {
            ("GET", "/v1/vms/") => assert_eq!(code(&answer), (400, "invalid_spec"), "{path}"),
            ("GET", "/v1/events") => assert_eq!(code(&answer), (406, "not_acceptable"), "{path}"),
            ("GET", _) => assert_eq!(answer.0, 200, "{path}"),
            _ => assert_eq!(code(&answer), (403, "not_allowed"), "{method} {path}"),
        }
    }
    assert_eq!(put(&node, VIEWER, "new", &images.spec()).0, 403);
    assert_eq!(ids(&get(&node, VIEWER, "/v1/vms").1, "vms"), ["local", "shops"]);
    assert_eq!(ids(&get(&node, VIEWER, "/v1/events/0").1, "events"), ["local", "shops"]);
    assert_eq!(get(&node, VIEWER, "/v1/vms/shops").1["owner"].as_str(), Some("client-2"));
}

#[test]
fn a_tenant_does_everything_with_its_own_vm_and_another_s_is_not_there_for_it() {
    let Some((_tpm, images, node)) = node("") else { return };
    assert_eq!(ensure(&node, "locals", &images.spec()).0, 201);
    assert_eq!(put(&node, BANK, "banks", &images.spec()).0, 201);
    assert_eq!(put(&node, SHOP, "own", &images.spec()).0, 201);
    for (word, state) in [("start", "running"), ("pause", "paused"), ("resume", "running"), ("stop", "stopped")] {
        let (status, vm) = verb(&node, SHOP, "own", word);
        assert_eq!((status, vm["state"].as_str()), (200, Some(state)), "{word}: {vm}: {}", node.log());
    }
    for (other, nobody) in [("locals", "nobody-1"), ("banks", "nobody")] {
        let asked = |id: &str| {
            let mut all = all_requests(id, &images.spec());
            all.retain(|(_, path, _)| path.contains(id));
            let answer = |(method, path, body): (&'static str, String, Value)| {
                let answer = over_tls(&node, Some(SHOP), method, &path, &body);
                (method, path, answer)
            };
            all.into_iter().map(answer).collect::<Vec<_>>()
        };
        for ((method, path, answer), (.., unknown)) in asked(other).into_iter().zip(asked(nobody)) {
            if method == "PUT" {
                assert_eq!(code(&answer), (409, "id_taken"), "{path}");
                continue;
            }
            assert_eq!(code(&answer), (404, "unknown_vm"), "{method} {path}");
            // Word for word what is said of one that never was, but where this loop's PUT made one.
            if method != "DELETE" {
                assert_eq!(answer.1.to_string().replace(other, nobody), unknown.1.to_string(), "{method} {path}");
            }
        }
    }
    assert!(get(&node, SHOP, "/v1/vms").1["vms"].as_array().unwrap().iter().all(|vm| vm["owner"] == "client-2"));
    assert!(!ids(&get(&node, SHOP, "/v1/events/0").1, "events").iter().any(|id| id == "banks" || id == "locals"));
    let (status, gone) = over_tls(&node, Some(SHOP), "DELETE", "/v1/vms/own", &json!({ "generation": 1 }));
    assert_eq!((status, gone["state"].as_str()), (200, Some("deleted")), "{gone}");
    assert_eq!(put(&node, BANK, "own", &images.spec()).1["code"].as_str(), Some("id_taken"), "also when it is gone");
}

#[test]
fn an_operator_does_everything_with_every_vm_and_the_ledger_says_who_asked() {
    let Some((_tpm, images, node)) = node("") else { return };
    assert_eq!(put(&node, SHOP, "shops", &images.spec()).0, 201);
    assert_eq!(verb(&node, OPS, "shops", "start").0, 200, "{}", node.log());
    assert_eq!(verb(&node, SHOP, "shops", "pause").0, 200);
    assert_eq!(act(&node, "shops", "resume").0, 200);
    let gone = over_tls(&node, Some(OPS), "DELETE", "/v1/vms/shops", &json!({ "generation": 1 }));
    assert_eq!(gone.0, 200, "{}", gone.1);
    let by: Vec<Option<[u8; 32]>> = askers(&node);
    let id = |seed: u8| {
        use garant_attest::engine::PublicKey;
        PublicKey::Ed25519(key(seed).public()).id(&garant_channel::engine::FastEngine)
    };
    assert_eq!(by, [id(OPS), id(SHOP), None, id(OPS)]);
}

/// Who asked for each act of the ledger that somebody asked for; nobody's key where that was on the node's socket.
fn askers(node: &Garantd) -> Vec<Option<[u8; 32]>> {
    use garant_attest::{
        cbor,
        ledger::{Act, Asker, Content},
        wire::{Entries, LedgerAsk},
    };
    let started = std::time::Instant::now();
    loop {
        let (_, body) = garant_tests::vms::ask(node, "POST", "/v1/ledger", &cbor::encode(&LedgerAsk::new(1)).unwrap());
        let sent = Entries::decode(&body).unwrap();
        let by = sent.2.iter().filter_map(|entry| {
            let Content::Open { body, .. } = &entry.content else { panic!("the local socket sees bodies") };
            let by = match Act::decode(entry.kind, body).unwrap() {
                Act::Start { by, .. } => by,
                Act::Pause(_, by) | Act::Resume(_, by) | Act::Stop(_, by) | Act::Delete(_, by) => by,
                _ => return None,
            };
            Some(match by {
                Asker::Key(id) => Some(id),
                Asker::Local => None,
            })
        });
        let by: Vec<_> = by.collect();
        if by.len() >= 4 || started.elapsed() > Duration::from_secs(20) {
            return by;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_tenant_has_no_more_than_its_quota_and_a_server_that_ends_does_not_change_that() {
    let quota = "count = 3\nmemory_mib = 100\nvcpus = 2\nentries = 9";
    let Some((_tpm, images, node)) = node(quota) else { return };
    let with = |vcpus: u8, memory_mib: u32| {
        let mut spec = images.spec();
        (spec["vcpus"], spec["memory_mib"]) = (json!(vcpus), json!(memory_mib));
        spec
    };
    for (id, vcpus, memory_mib) in [("runs", 1, 64), ("large", 1, 64), ("wide", 2, 16)] {
        assert_eq!(put(&node, SHOP, id, &with(vcpus, memory_mib)).0, 201);
    }
    assert_eq!(code(&put(&node, SHOP, "fourth", &images.spec())), (429, "quota_count"));
    assert_eq!(put(&node, BANK, "fourth", &images.spec()).0, 201, "another has its own");
    assert_eq!(verb(&node, SHOP, "runs", "start").0, 200, "{}", node.log());
    let refusals = || {
        assert_eq!(code(&verb(&node, SHOP, "large", "start")), (429, "quota_memory"));
        assert_eq!(code(&verb(&node, SHOP, "wide", "start")), (429, "quota_vcpus"));
        assert_eq!(code(&put(&node, SHOP, "fourth", &images.spec())), (409, "id_taken"));
        assert_eq!(get(&node, SHOP, "/v1/vms/runs").1["owner"].as_str(), Some("client-2"));
        assert_eq!(get(&node, BANK, "/v1/vms/runs").0, 404);
        assert_eq!(ids(&get(&node, BANK, "/v1/vms").1, "vms"), ["fourth"]);
    };
    refusals();
    node.kill_server();
    node.wait_until_ready();
    refusals();
    // Three definitions and a start make six of nine.
    for (word, status) in
        [("pause", 200), ("pause", 200), ("resume", 200), ("pause", 200), ("resume", 429), ("pause", 200)]
    {
        let answer = verb(&node, SHOP, "runs", word);
        assert_eq!(answer.0, status, "{word}: {}", answer.1);
    }
    let answer = verb(&node, SHOP, "runs", "stop");
    assert_eq!(code(&answer), (429, "quota_entries"));
    assert!(answer.1["next"].as_str().unwrap().contains("operator"), "{}", answer.1);
    assert_eq!(verb(&node, OPS, "runs", "stop").0, 200, "the operator still may");
}

#[test]
fn a_body_that_is_too_long_for_a_stranger_is_taken_from_a_client() {
    let Some((_tpm, images, node)) = node("") else { return };
    // As long as a spec with every character of its command line escaped, and longer than a credential challenge.
    let body = json!({ "generation": 1, "spec": images.spec() }).to_string() + &" ".repeat(20_000);
    let put = |seed, body| send(&node, seed, "PUT", "/v1/vms/long", body).0;
    assert_eq!(put(None, body.clone()), 413);
    assert_eq!(put(Some(SHOP), body.clone()), 201);
    assert_eq!(put(Some(SHOP), body + &" ".repeat(50_000)), 413);
}

/// A node with one client, the verifier itself, and what the verifier is told to name it.
fn node_of_verifier() -> Option<(Swtpm, Images, Verifier, Garantd)> {
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let verifier = Verifier::of(&tpm);
    let public = garant_verifier::seal::read_key(&verifier.path("verifier.key")).unwrap().public();
    let hex: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    let client = format!("[[vms.client]]\nkey = '{hex}'\nname = 'shop'\nrole = 'tenant'\n");
    let node = Garantd::start(&tpm.address(), &(images.options() + &client));
    let enrolled = verifier.enroll(&node.address.to_string());
    assert!(enrolled.status.success(), "{enrolled:?}");
    verifier.write("web.json", &images.spec().to_string());
    Some((tpm, images, verifier, node))
}

#[test]
fn a_person_has_a_node_elsewhere_run_a_vm_once_it_has_proven_itself() {
    let Some((_tpm, _images, verifier, node)) = node_of_verifier() else { return };
    let (address, policy, spec) = (node.address.to_string(), verifier.text("policy.toml"), verifier.text("web.json"));
    let garant = |words: &[&str]| {
        let done = verifier.run(&[&["vm", "--node", &address, "--policy", &policy], words].concat());
        assert!(done.status.success(), "{words:?}: {done:?}: {}", node.log());
        String::from_utf8(done.stdout).unwrap()
    };
    garant(&["ensure", "web", "-f", &spec, "--start", "--wait"]);
    let vm: Value = serde_json::from_str(&garant(&["get", "web", "--json"])).unwrap();
    assert_eq!((vm["state"].as_str(), vm["owner"].as_str()), (Some("running"), Some("shop")));
    garant(&["stop", "web", "--grace", "0"]);
    garant(&["delete", "web"]);
}

#[test]
fn a_node_that_has_not_proven_itself_is_asked_nothing() {
    let Some((_tpm, _images, verifier, node)) = node_of_verifier() else { return };
    let spec = verifier.text("web.json");
    let other = Verifier::policy("").replacen(&"00".repeat(32), &"11".repeat(32), 1);
    let (policy, other) = (verifier.text("policy.toml"), verifier.write("other.toml", &other));
    let middle = Impostor::start(node.address, Trick::Relay).unwrap();
    let (there, middle) = (node.address.to_string(), middle.address.to_string());
    let before = ask_json(&node, "GET", "/v1/vms", &Value::Null).1;
    for (what, place) in [
        ("another boot", vec!["--node", &there, "--policy", other.to_str().unwrap()]),
        ("no policy", vec!["--node", &there]),
        ("a machine between", vec!["--node", &middle, "--policy", &policy]),
    ] {
        let done = verifier.run(&[&["vm", "ensure", "web", "-f", &spec], &place[..]].concat());
        assert_eq!(done.status.code(), Some(3), "{what}: {done:?}");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("nothing was asked of the node"), "{what}: {said}");
    }
    assert_eq!(ask_json(&node, "GET", "/v1/vms", &Value::Null).1, before);
}

const VIEWER: u8 = 1;
const SHOP: u8 = 2;
const BANK: u8 = 3;
const OPS: u8 = 4;
const BUDGET: Budget = Budget { bytes: 1 << 20, time: Duration::from_secs(40) };
