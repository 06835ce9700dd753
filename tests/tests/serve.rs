//! `garant serve` as a process, with real nodes that push or are polled, relying parties, and those who would harm it.

use garant_attest::{ear, engine::PublicKey};
use garant_channel::{
    engine::FastEngine,
    http::{Budget, Connection},
    key::SigningKey,
    tls::{self, Accept},
};
use garant_tests::{
    garant,
    garantd::Garantd,
    swtpm::Swtpm,
    verifier::{Serving, Verifier},
};
use garant_verifier::{seal::read_key, store::Store};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// A verifier that knows this TPM as an asset, polls nobody unless `lines` say so, and pushes are taken.
struct Case {
    verifier: Verifier,
    id: String,
}

impl Case {
    /// Enrols the node once to learn its id, and throws that enrolment away.
    fn new(tpm: &Swtpm) -> Case {
        let verifier = Verifier::of(tpm);
        let node = Garantd::start(&tpm.address(), "");
        let enrolled = verifier.enroll(&format!("unix:{}", node.socket().display()));
        let shown: serde_json::Value = serde_json::from_slice(&enrolled.stdout).expect("an enrolment");
        Case { verifier, id: shown["node"].as_str().unwrap().to_owned() }
    }

    fn serve(&self, options: &str, asset: &str) -> Serving {
        let lines = format!("{options}\n[[asset]]\nname = 'unit 7'\nnode_id = '{}'\n{asset}\n", self.id);
        Serving::start(&self.verifier.configure(&lines))
    }

    fn key(&self) -> [u8; 32] {
        read_key(&self.verifier.path("verifier.key")).unwrap().public()
    }

    fn push_option(&self, serving: &Serving) -> String {
        let key: String = self.key().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[push]]\naddress = '{}'\nkey = '{key}'\ninterval_s = 10\n", serving.nodes)
    }

    /// The boot part of the node's latest result: answer and reasons.
    fn boot(&self, serving: &Serving) -> (String, String) {
        let (status, body) = get(serving.relying_parties, &format!("/v1/nodes/{}/ear.json", self.id));
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let shown: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let boot = &shown["parts"]["boot"];
        (boot["answer"].as_str().unwrap().to_owned(), boot["reasons"].to_string())
    }

    fn wait_for(&self, serving: &Serving, answer: &str) {
        let started = Instant::now();
        loop {
            let (found, reasons) = self.boot(serving);
            if found == answer {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "still {found}: {reasons}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn get(address: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tls::dial(tls::client(None, Accept::AnyKey).unwrap(), address).await.unwrap();
        let mut connection = Connection::open(stream).await.unwrap();
        let (status, body) = connection.get(path, BUDGET).await.unwrap();
        (status, body.to_vec())
    })
}

#[test]
fn a_node_that_pushes_is_enrolled_and_its_result_signed_for_relying_parties() {
    let Some(mut tpm) = Swtpm::provisioned("sha256") else { return };
    let case = Case::new(&tpm);
    let serving = case.serve("audience = 'shop'", "");
    assert!(case.boot(&serving).1.contains("has not answered since"));
    tpm.power_cycle();
    let _node = Garantd::start(&tpm.address(), &case.push_option(&serving));
    case.wait_for(&serving, "yes");
    let (status, signed) = get(serving.relying_parties, &format!("/v1/nodes/{}/ear", case.id));
    let claims = ear::open(&FastEngine, &signed, &PublicKey::Ed25519(case.key())).unwrap();
    assert_eq!((status, claims.channel.as_str(), claims.audience.as_deref()), (200, "tls-client", Some("shop")));
    assert!(claims.boot_id.is_some() && claims.session_key.is_some() && claims.policy_digest.is_some());
    let (_, listed) = get(serving.relying_parties, "/v1/nodes");
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["boot"].as_str()), (Some("unit 7"), Some("yes")));
}

#[test]
fn a_killed_verifier_keeps_what_it_acknowledged_and_knows_nothing_until_the_node_answers_again() {
    let Some(mut tpm) = Swtpm::provisioned("sha256") else { return };
    let case = Case::new(&tpm);
    tpm.power_cycle();
    let node = Garantd::start(&tpm.address(), "");
    let asset = format!("address = '{}'", node.address);
    let mut serving = case.serve("interval_s = 1\nsilence_s = 3", &asset);
    case.wait_for(&serving, "yes");
    serving.kill();

    let id = case.id.parse::<garant_attest::node_id::NodeId>().unwrap();
    let store = Store::open(&case.verifier.path("verifier.redb")).unwrap();
    let record = store.record(*id.as_bytes()).unwrap();
    assert!(record.is_some() && store.last_ear(*id.as_bytes()).unwrap().is_some());
    assert!(store.memory(*id.as_bytes()).unwrap().counters.is_some());
    drop(store);
    drop(node);

    let mut serving = case.serve("interval_s = 1\nsilence_s = 3", &asset);
    let (answer, reasons) = case.boot(&serving);
    assert!(answer == "unknown" && reasons.contains("has not answered since"), "{reasons}");
    serving.kill();
    let store = Store::open(&case.verifier.path("verifier.redb")).unwrap();
    assert_eq!(store.record(*id.as_bytes()).unwrap(), record, "one record, whatever happens");
}

#[test]
fn a_node_that_falls_silent_is_unknown() {
    let Some(mut tpm) = Swtpm::provisioned("sha256") else { return };
    let case = Case::new(&tpm);
    tpm.power_cycle();
    let node = Garantd::start(&tpm.address(), "");
    let serving = case.serve("interval_s = 1\nsilence_s = 3", &format!("address = '{}'", node.address));
    case.wait_for(&serving, "yes");
    drop(node);
    case.wait_for(&serving, "unknown");
    assert!(case.boot(&serving).1.contains("silent for"));
}

#[test]
fn a_storm_of_strangers_leaves_nothing_in_the_store_and_is_never_shown() {
    let (Some(tpm), Some(mut stranger)) = (Swtpm::provisioned("sha256"), Swtpm::provisioned("sha256")) else { return };
    let mut case = Case::new(&tpm);
    case.verifier.believe(&stranger);
    let mut serving = case.serve("", "");
    let stranger_node = Garantd::start(&stranger.address(), &case.push_option(&serving));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..50 {
            let key = SigningKey::generate().unwrap();
            // A stranger without a TPM: TLS, and then nothing that holds.
            let _ = tls::dial(tls::client(Some(&key), Accept::AnyKey).unwrap(), serving.nodes).await;
        }
    });
    let started = Instant::now();
    while !stranger_node.log().contains("push failed") && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (_, listed) = get(serving.relying_parties, "/v1/nodes");
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "the asset alone: {listed}");
    serving.kill();
    let store = Store::open(&case.verifier.path("verifier.redb")).unwrap();
    assert_eq!(store.records().unwrap(), 0, "nothing of a stranger is kept");
    drop(stranger_node);
    stranger.stop();
}

#[test]
fn a_verifier_answers_while_others_hold_connections_and_say_nothing() {
    let Some(tpm) = Swtpm::provisioned("sha256") else { return };
    let case = Case::new(&tpm);
    let serving = case.serve("connections = 8\nconnections_per_address = 8", "");
    let silent: Vec<TcpStream> = (0..32).map(|_| TcpStream::connect(serving.relying_parties).unwrap()).collect();
    for mut stream in &silent {
        let _ = stream.write_all(&[0x16]);
    }
    // The handshake's limit frees the places.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(get(serving.relying_parties, "/v1/health").0, 200);
    let mut first = &silent[0];
    first.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert!(matches!(first.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn a_node_is_found_under_its_id_alone_and_paths_beside_the_list_are_not_there() {
    let Some(tpm) = Swtpm::provisioned("sha256") else { return };
    let case = Case::new(&tpm);
    let serving = case.serve("", "");
    let other = "0a".repeat(32);
    for path in ["/", "/v1", "/v1/nodes/", "/v1/nodes/zz/ear", &format!("/v1/nodes/{other}/ear"), "/v1/nodes/../ear"] {
        assert_eq!(get(serving.relying_parties, path).0, 404, "{path}");
    }
    assert_eq!(get(serving.relying_parties, &format!("/v1/nodes/{}/ear.json", case.id)).0, 200);
}

#[test]
fn a_verifier_with_an_x509_certificate_shows_it_to_relying_parties() {
    let Some(tpm) = Swtpm::provisioned("sha256") else { return };
    let case = Case::new(&tpm);
    let made = rcgen::generate_simple_self_signed(["verifier.example".to_owned()]).unwrap();
    case.verifier.write("server.pem", &made.cert.pem());
    case.verifier.write("server.key", &made.signing_key.serialize_pem());
    let serving = case.serve("certificate = 'server.pem'\ncertificate_key = 'server.key'", "");
    let asked = std::process::Command::new("curl")
        .args(["--silent", "--cacert", &case.verifier.text("server.pem"), "--resolve"])
        .arg(format!("verifier.example:{}:127.0.0.1", serving.relying_parties.port()))
        .arg(format!("https://verifier.example:{}/v1/health", serving.relying_parties.port()))
        .output();
    match asked {
        Err(error) => eprintln!("SKIPPED: curl cannot run: {error}"),
        Ok(output) => assert!(String::from_utf8_lossy(&output.stdout).contains("\"machines\": 1"), "{output:?}"),
    }
}

#[test]
fn a_full_disk_behind_stderr_ends_no_verifier() {
    let Some(tpm) = Swtpm::provisioned("sha256") else { return };
    let verifier = Verifier::of(&tpm);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = std::fs::read_to_string(verifier.configure("")).unwrap();
    let text = text.replace("listen = '127.0.0.1:0'", &format!("listen = '{address}'"));
    let configuration = verifier.write("serve.toml", &text);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = garant::command(&["serve", &configuration.display().to_string()]).stderr(full).spawn().unwrap();
    let started = Instant::now();
    while TcpStream::connect(address).is_err() && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(300));
    let ended = process.try_wait().unwrap();
    let _ = process.kill();
    assert_eq!(ended, None);
}

const PATIENCE: Duration = Duration::from_secs(30);
const BUDGET: Budget = Budget { bytes: 1 << 20, time: Duration::from_secs(10) };
