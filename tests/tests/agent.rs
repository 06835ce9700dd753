//! The real garantd on a real TPM command set: what it answers, to whom, and what it does when something breaks.

use aws_lc_rs::hmac;
use garant_attest::{
    cbor::{self, Bytes, Bytes32},
    identity::IdentityFault,
    measured::SentLog,
    public_area::{AttestationKey, EncryptionKey, Name},
    verify::{Held, Refusal},
    wire::{
        Answer, Credential, CredentialAnswer, CredentialChallenge, Fault, Identity, Kind, Mode, Refused,
        activation_statement,
    },
};
use garant_channel::{
    engine::FastEngine,
    key::SigningKey,
    tls::{self, Accept},
};
use garant_hw::tpm::{
    Tpm,
    templates::{AkGeneration, EK_TEMPLATES, ak_template},
};
use garant_tests::{
    asker::{Answered, Asker, BUDGET, digest},
    bare_server::server_with_endless_vouches,
    forge,
    garantd::Garantd,
    impostor::{Impostor, Trick},
    slow_tpm::SlowTpm,
    swtpm::Swtpm,
};
use garant_verifier::credential;
use garantd::tpm_device::{TpmAddress, TpmDevice};
use std::{collections::HashSet, io::Write, net::TcpStream, time::Duration};
use tokio::{net::TcpListener, time::Instant};

/// A node without a boot log, on a TPM without certificates.
fn node() -> Option<(Swtpm, Garantd)> {
    let tpm = Swtpm::blank("sha1,sha256")?;
    let node = Garantd::start(&tpm.address(), "");
    Some((tpm, node))
}

/// The next answer, where a server has yet to come back.
async fn answered_again(node: &Garantd) -> Answered {
    for _ in 0..200 {
        if let Ok(mut asker) = Asker::dial(node.address).await
            && let Ok(answered) = asker.ask(Mode::Fresh).await
            && answered.status == 200
        {
            return answered;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no server came back; log:\n{}", node.log());
}

#[tokio::test]
async fn a_full_disk_behind_stderr_ends_neither_keeper_nor_server() {
    let Some(tpm) = Swtpm::blank("sha1,sha256") else { return };
    let node = Garantd::start_unheard(&tpm.address());
    let keeper = node.keeper_pid();
    node.kill_server();
    answered_again(&node).await;
    assert!(node.keeper_pid() == keeper && node.server_pid().is_some(), "who serves is this keeper's child");
}

fn refused(body: &[u8]) -> (Fault, String) {
    let refused = Refused::decode(body).expect("a refusal");
    (refused.1, refused.2.to_owned())
}

#[tokio::test]
async fn a_fresh_answer_verifies_and_names_boot_and_channel() {
    let Some((_tpm, node)) = node() else { return };
    let mut asker = Asker::dial(node.address).await.unwrap();
    let answered = asker.ask(Mode::Fresh).await.unwrap();
    assert_eq!(answered.status, 200, "{:?}", answered.body);
    let verified = answered.verify().unwrap();
    let identity = verified.identity().unwrap();
    assert_eq!(Some(identity.session_key), asker.peer_key);
    assert_eq!(verified.kind(), Kind::TlsServer);
    assert!(verified.cached().is_none());
}

#[tokio::test]
async fn the_unix_socket_answers_without_a_channel() {
    let Some((_tpm, node)) = node() else { return };
    let mut asker = Asker::local(&node.socket()).await.unwrap();
    let answered = asker.ask(Mode::Fresh).await.unwrap();
    assert_eq!(answered.verify().unwrap().kind(), Kind::None);
    let (status, health) = asker.connection.get("/v1/health", BUDGET).await.unwrap();
    assert_eq!(status, 200);
    assert!(health.starts_with(b"ok\nmissing: boot log"), "{health:?}");
}

#[tokio::test]
async fn the_identity_lists_the_certified_eks_and_the_ak_of_the_evidence() {
    let Some(tpm) = Swtpm::provisioned("sha256") else { return };
    let node = Garantd::start(&tpm.address(), "");
    let mut asker = Asker::dial(node.address).await.unwrap();
    for _ in 0..2 {
        let (status, body) = asker.connection.get("/v1/identity", BUDGET).await.unwrap();
        assert_eq!(status, 200, "{body:?}");
        let identity = Identity::decode(&body).unwrap();
        let indices: Vec<Option<u32>> = identity.2.iter().map(|ek| ek.1).collect();
        assert_eq!(indices, [Some(0x01c0_0016), Some(0x01c0_0002)], "ECC before RSA");
        let answered = asker.ask(Mode::Fresh).await.unwrap();
        let verified = answered.verify().unwrap();
        let ak = AttestationKey::from_public_area(&FastEngine, identity.1);
        assert_eq!(verified.ak().name(), ak.unwrap().name());
    }
}

#[tokio::test]
async fn the_log_is_sent_whole_or_as_the_digest_that_the_asker_holds() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, forge::log(&[(0, 8, b"firmware")])).unwrap();
    let node = Garantd::start(&tpm.address(), &format!("boot_log = '{}'\n", path.display()));
    let mut asker = Asker::dial(node.address).await.unwrap();
    let whole = asker.ask(Mode::Fresh).await.unwrap();
    assert!(matches!(whole.verify().unwrap().boot().log(), SentLog::Read { .. }));
    let log = asker.hold_log(&whole);
    let elided = asker.ask(Mode::Fresh).await.unwrap();
    assert!(elided.body.len() < whole.body.len());
    assert!(matches!(elided.verify(), Err(Refusal::NotHeld { part: "log" })));
    let held = [Held { digest: digest(&log), bytes: &log }];
    assert!(matches!(elided.verify_holding(&held).unwrap().boot().log(), SentLog::Read { .. }));
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_missing_and_the_claims_say_so() {
    let Some((_tpm, node)) = node() else { return };
    let mut asker = Asker::dial(node.address).await.unwrap();
    let answered = asker.ask(Mode::Fresh).await.unwrap();
    let verified = answered.verify().unwrap();
    assert!(matches!(verified.boot().log(), SentLog::Absent));
    assert!(verified.claims().untrusted_missing.unwrap().contains("boot log: No such file"));
}

#[tokio::test]
async fn a_cached_answer_verifies_under_the_session_key_and_costs_no_quote() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let slow = SlowTpm::before(&tpm.socket(), Duration::ZERO);
    let node = Garantd::start(&slow.address(), "");
    let mut asker = Asker::dial(node.address).await.unwrap();
    let first = asker.ask(Mode::Cached).await.unwrap();
    assert!(first.verify().unwrap().cached().is_none(), "there was no quote yet");
    let quotes = slow.quotes();
    for _ in 0..10 {
        let cached = asker.ask(Mode::Cached).await.unwrap();
        assert_eq!(cached.verify().unwrap().quote_digest(), first.verify().unwrap().quote_digest());
        assert!(cached.verify().unwrap().cached().is_some());
    }
    assert_eq!(slow.quotes(), quotes);
}

#[tokio::test]
async fn a_cached_answer_to_another_challenge_is_refused() {
    let Some((_tpm, node)) = node() else { return };
    let mut asker = Asker::dial(node.address).await.unwrap();
    asker.ask(Mode::Fresh).await.unwrap();
    let (one, mut other) = (asker.ask(Mode::Cached).await.unwrap(), asker.ask(Mode::Cached).await.unwrap());
    assert!(one.verify().is_ok());
    other.nonce = one.nonce;
    assert!(matches!(other.verify(), Err(Refusal::CachedAnswer)));
}

#[tokio::test]
async fn sixty_four_askers_share_quotes() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let slow = SlowTpm::before(&tpm.socket(), Duration::from_millis(200));
    let node = Garantd::start(&slow.address(), "");
    let started = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    let address = node.address;
    for _ in 0..64 {
        asking.spawn(async move { Asker::dial(address).await.unwrap().ask(Mode::Fresh).await.unwrap() });
    }
    let answers = asking.join_all().await;
    let quotes: HashSet<[u8; 32]> = answers.iter().map(|a| a.verify().unwrap().quote_digest()).collect();
    assert!(quotes.len() <= 4, "{} quotes for 64 askers", quotes.len());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn an_answer_that_a_machine_in_the_middle_relays_is_refused() {
    let Some((_tpm, node)) = node() else { return };
    let impostor = Impostor::start(node.address, Trick::Relay).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut asker = Asker::dial(impostor.address).await.unwrap();
        for mode in [Mode::Fresh, Mode::Cached] {
            let relayed = asker.ask(mode).await.unwrap();
            assert_eq!(relayed.status, 200);
            assert!(matches!(relayed.verify(), Err(Refusal::Challenge | Refusal::CachedAnswer)), "{mode:?}");
        }
    });
}

#[tokio::test]
async fn an_answer_to_an_earlier_challenge_is_refused() {
    let Some((_tpm, node)) = node() else { return };
    let mut asker = Asker::dial(node.address).await.unwrap();
    let (mut old, new) = (asker.ask(Mode::Fresh).await.unwrap(), asker.ask(Mode::Fresh).await.unwrap());
    assert!(old.verify().is_ok() && new.verify().is_ok());
    old.nonce = new.nonce;
    assert!(matches!(old.verify(), Err(Refusal::Challenge)));
}

#[tokio::test]
async fn an_answer_over_one_connection_is_refused_over_another_to_the_same_node() {
    let Some((_tpm, node)) = node() else { return };
    let (mut one, other) = (Asker::dial(node.address).await.unwrap(), Asker::dial(node.address).await.unwrap());
    let answered = one.ask(Mode::Fresh).await.unwrap();
    assert!(matches!(answered.verify_as(Kind::TlsServer, other.binder, &[]), Err(Refusal::Challenge)));
}

#[tokio::test]
async fn an_answer_for_one_kind_is_none_for_any_other() {
    let Some((_tpm, node)) = node() else { return };
    let mut askers = [Asker::dial(node.address).await.unwrap(), Asker::local(&node.socket()).await.unwrap()];
    for asker in &mut askers {
        let mut answered = asker.ask(Mode::Fresh).await.unwrap();
        let binder = asker.binder;
        for kind in [Kind::None, Kind::TlsServer, Kind::TlsClient, Kind::Vm] {
            if kind == asker.kind {
                continue;
            }
            assert!(matches!(answered.verify_as(kind, binder, &[]), Err(Refusal::Kind { .. })));
            let honest = answered.body.clone();
            let claimed = Answer::decode(&honest).unwrap();
            answered.body = cbor::encode(&Answer::new(kind, claimed.2, claimed.3)).unwrap().into();
            assert!(matches!(answered.verify_as(kind, binder, &[]), Err(Refusal::Challenge)), "{kind:?}");
            answered.body = honest;
        }
    }
}

#[tokio::test]
async fn a_nonce_of_31_33_or_64_bytes_is_the_caller_s_fault() {
    let Some((_tpm, node)) = node() else { return };
    let mut asker = Asker::dial(node.address).await.unwrap();
    let nothing_held: [Bytes32; 0] = [];
    for length in [31, 33, 64] {
        let nonce = vec![7; length];
        let ask = cbor::encode(&("garant/ask/1", Bytes::new(&nonce), Mode::Fresh, nothing_held, 0)).unwrap();
        let (status, body) = asker.connection.post("/v1/evidence", ask, BUDGET).await.unwrap();
        assert_eq!((status, refused(&body).0), (400, Fault::Caller), "{length} bytes");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_the_caller_s_fault() {
    let Some((_tpm, node)) = node() else { return };
    let mut asker = Asker::dial(node.address).await.unwrap();
    let (status, body) = asker.connection.get("/v1/secrets", BUDGET).await.unwrap();
    assert_eq!((status, refused(&body).0), (404, Fault::Caller));
    let (status, body) = asker.connection.get("/v1/evidence", BUDGET).await.unwrap();
    assert_eq!((status, refused(&body).0), (405, Fault::Caller));
}

#[tokio::test]
async fn who_is_not_in_allow_gets_nothing_but_a_refusal() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let (listed, unlisted) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let hex: String = listed.public().iter().map(|byte| format!("{byte:02x}")).collect();
    let node = Garantd::start(&tpm.address(), &format!("allow = ['{hex}']\n"));
    for (key, expected) in [(Some(&listed), 200), (Some(&unlisted), 403), (None, 403)] {
        let mut asker = Asker::dial_with(node.address, key).await.unwrap();
        assert_eq!(asker.ask(Mode::Fresh).await.unwrap().status, expected);
        assert_eq!(asker.connection.get("/v1/identity", BUDGET).await.unwrap().0, expected);
    }
}

#[tokio::test]
async fn a_killed_server_comes_back_with_the_same_boot_and_another_session_key() {
    let Some((_tpm, node)) = node() else { return };
    let before = *answered_again(&node).await.verify().unwrap().identity().unwrap();
    node.kill_server();
    let after = *answered_again(&node).await.verify().unwrap().identity().unwrap();
    assert_eq!((before.boot_id, before.boot_key), (after.boot_id, after.boot_key));
    assert_ne!(before.session_key, after.session_key);
}

#[tokio::test]
async fn a_node_whose_tpm_is_gone_says_so_and_answers_nothing() {
    let Some((mut tpm, node)) = node() else { return };
    let mut asker = Asker::dial(node.address).await.unwrap();
    assert_eq!(asker.ask(Mode::Fresh).await.unwrap().status, 200);
    tpm.stop();
    let answered = asker.ask(Mode::Fresh).await.unwrap();
    let (fault, what) = refused(&answered.body);
    assert_eq!((answered.status, fault), (503, Fault::Node));
    assert!(what.contains("TPM is gone"), "{what}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(Asker::dial(node.address).await.is_err(), "a server without a TPM still listens");
}

#[tokio::test]
async fn after_a_reset_of_the_tpm_alone_no_boot_is_proven() {
    let Some((mut tpm, node)) = node() else { return };
    tpm.power_cycle();
    let mut asker = Asker::dial(node.address).await.unwrap();
    let _ = asker.ask(Mode::Fresh).await;
    let answered = answered_again(&node).await;
    assert!(matches!(answered.verify().unwrap().identity(), Err(IdentityFault::Replay { .. })));
}

#[tokio::test]
async fn peers_that_never_finish_a_handshake_do_not_keep_others_out() {
    let Some((_tpm, node)) = node() else { return };
    let half_open: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(node.address).unwrap();
            stream.write_all(&[0x16, 3, 1]).unwrap();
            stream
        })
        .collect();
    let answered = Asker::dial(node.address).await.unwrap().ask(Mode::Fresh).await.unwrap();
    assert!(answered.verify().is_ok());
    tokio::time::sleep(garant_channel::budget::HANDSHAKE + Duration::from_secs(1)).await;
    for stream in half_open {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let read = std::io::Read::read(&mut &stream, &mut [0; 16]);
        assert!(matches!(read, Ok(0)) || read.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
    }
}

#[tokio::test]
async fn strangers_credentials_do_not_fill_the_queue_of_known_verifiers() {
    let Some(swtpm) = Swtpm::provisioned("sha256") else { return };
    let tpm = SlowTpm::before(&swtpm.socket(), Duration::from_secs(2));
    let verifier = SigningKey::generate().unwrap();
    let hex: String = verifier.public().iter().map(|byte| format!("{byte:02x}")).collect();
    let push = format!("[[push]]\naddress = '127.0.0.1:1'\nkey = '{hex}'\ninterval_s = 86400\n");
    let node = Garantd::start(&tpm.address(), &push);
    let mut busy = Asker::dial(node.address).await.unwrap();
    let mut known = Asker::dial_with(node.address, Some(&verifier)).await.unwrap();
    assert_eq!(known.connection.get("/v1/identity", BUDGET).await.unwrap().0, 200);
    let body = cbor::encode(&CredentialChallenge::new([0; 32], Default::default())).unwrap();
    let quoting = tokio::spawn(async move { busy.ask(Mode::Fresh).await.unwrap().status });
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..8 {
        let mut stranger = Asker::dial(node.address).await.unwrap();
        let body = body.clone();
        tokio::spawn(async move { stranger.connection.post("/v1/credential", body, BUDGET).await });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (status, _) = known.connection.post("/v1/credential", body, BUDGET).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(quoting.await.unwrap(), 200);
}

#[tokio::test]
async fn a_node_dials_its_verifier_and_answers_there() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let verifier = SigningKey::generate().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Garantd::start(&tpm.address(), &push_to(&listener, &verifier));
    let (stream, _) = listener.accept().await.unwrap();
    let stream = tls::accept(tls::server(&verifier, Accept::AnyKey).unwrap(), stream).await.unwrap();
    let mut asker = Asker::adopt(stream).await.unwrap();
    let answered = asker.ask(Mode::Fresh).await.unwrap();
    let verified = answered.verify().unwrap();
    assert_eq!(verified.kind(), Kind::TlsClient);
    assert_eq!(Some(verified.identity().unwrap().session_key), asker.peer_key);
    assert!(matches!(answered.verify_as(Kind::TlsServer, asker.binder, &[]), Err(Refusal::Kind { .. })));
    drop(node);
}

#[tokio::test]
async fn a_node_tells_a_verifier_with_another_key_nothing_and_tries_again() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let (verifier, thief) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _node = Garantd::start(&tpm.address(), &push_to(&listener, &verifier));
    for _ in 0..2 {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(tls::accept(tls::server(&thief, Accept::Anyone).unwrap(), stream).await.is_err());
    }
    let (stream, _) = listener.accept().await.unwrap();
    assert!(tls::accept(tls::server(&verifier, Accept::AnyKey).unwrap(), stream).await.is_ok());
}

fn push_to(listener: &TcpListener, verifier: &SigningKey) -> String {
    let key: String = verifier.public().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[push]]\naddress = '{}'\nkey = '{key}'\n", listener.local_addr().unwrap())
}

/// A provisioned TPM, its node, and its RSA EK as a verifier builds it: number 1 in the identity.
fn certified_node() -> Option<(Swtpm, Garantd, EncryptionKey)> {
    let tpm = Swtpm::provisioned("sha256")?;
    let device = tpm.address().parse::<TpmAddress>().unwrap().open().and_then(TpmDevice::new).unwrap();
    let template = EK_TEMPLATES.iter().find(|template| template.name == "L-1").unwrap().public_area().unwrap();
    let mut client = Tpm::new(device);
    let ek = client.create_primary(&template).unwrap();
    let key = EncryptionKey::from_public_area(&ek.public).unwrap();
    client.flush(ek.handle).unwrap();
    drop(client);
    let node = Garantd::start(&tpm.address(), "");
    Some((tpm, node, key))
}

async fn ak_of(asker: &mut Asker) -> AttestationKey {
    let (_, body) = asker.connection.get("/v1/identity", BUDGET).await.unwrap();
    AttestationKey::from_public_area(&FastEngine, Identity::decode(&body).unwrap().1).unwrap()
}

async fn send_credential(asker: &mut Asker, ek_number: u8, made: &credential::Credential) -> (u16, bytes::Bytes) {
    let mut credentials = heapless::Vec::new();
    let sent = Credential(ek_number, Bytes::new(&made.blob), Bytes::new(&made.encrypted_secret));
    credentials.push(sent).unwrap();
    let challenge = cbor::encode(&CredentialChallenge::new([7; 32], credentials)).unwrap();
    asker.connection.post("/v1/credential", challenge, BUDGET).await.unwrap()
}

#[tokio::test]
async fn a_credential_is_answered_by_a_mac_for_this_channel_and_never_by_the_secret() {
    let Some((_tpm, node, ek)) = certified_node() else { return };
    let (mut asker, other) = (Asker::dial(node.address).await.unwrap(), Asker::dial(node.address).await.unwrap());
    let made = credential::make(&ek, ak_of(&mut asker).await.name()).unwrap();
    let (status, body) = send_credential(&mut asker, 1, &made).await;
    assert_eq!(status, 200, "{body:?}");
    let proof = CredentialAnswer::decode(&body).unwrap().1[0];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &made.secret[..]);
    let proves = |kind, nonce: &[u8; 32], binder: &[u8; 32]| {
        hmac::verify(&key, &activation_statement(kind, nonce, binder), &proof[..]).is_ok()
    };
    assert!(proves(Kind::TlsServer, &[7; 32], &asker.binder));
    assert!(!proves(Kind::TlsServer, &[7; 32], &other.binder), "relayed to another connection");
    assert!(!proves(Kind::TlsClient, &[7; 32], &asker.binder), "of another kind");
    assert!(!proves(Kind::TlsServer, &[8; 32], &asker.binder), "to another nonce");
    assert!(!body.windows(8).any(|part| made.secret.windows(8).any(|secret| secret == part)), "the secret is out");
}

#[tokio::test]
async fn a_credential_for_another_key_than_the_node_s_ak_is_the_caller_s_fault() {
    let Some((_tpm, node, ek)) = certified_node() else { return };
    let mut asker = Asker::local(&node.socket()).await.unwrap();
    let name = ak_of(&mut asker).await.name().clone();
    let other = Name::of(&FastEngine, &ak_template(AkGeneration::CURRENT).unwrap()).unwrap();
    assert_eq!(send_credential(&mut asker, 1, &credential::make(&ek, &name).unwrap()).await.0, 200);
    let (status, body) = send_credential(&mut asker, 1, &credential::make(&ek, &other).unwrap()).await;
    assert_eq!((status, refused(&body).0), (422, Fault::Caller));
    let (status, body) = send_credential(&mut asker, 7, &credential::make(&ek, &name).unwrap()).await;
    assert_eq!((status, refused(&body).0), (400, Fault::Caller));
}

#[tokio::test]
async fn strangers_wait_for_their_credentials_or_are_told_to_come_back_and_quotes_go_on() {
    let Some((_tpm, node, ek)) = certified_node() else { return };
    let mut askers = Vec::new();
    for _ in 0..6 {
        askers.push(Asker::dial(node.address).await.unwrap());
    }
    let name = ak_of(&mut askers[0]).await.name().clone();
    let mut asking = tokio::task::JoinSet::new();
    for mut asker in askers {
        let made = credential::make(&ek, &name).unwrap();
        asking.spawn(async move {
            tokio::time::timeout(Duration::from_secs(5), send_credential(&mut asker, 1, &made)).await.ok()
        });
    }
    let started = Instant::now();
    let quoted = Asker::dial(node.address).await.unwrap().ask(Mode::Fresh).await.unwrap();
    assert!(quoted.verify().is_ok() && started.elapsed() < Duration::from_secs(4), "strangers hold quotes back");
    let ends = asking.join_all().await;
    let count = |wanted| ends.iter().filter(|end| end.as_ref().map(|(status, _)| *status) == wanted).count();
    assert_eq!(count(Some(200)), 1, "one in ten seconds");
    assert!(count(None) == 3 || count(None) == 2, "{} wait", count(None));
    assert_eq!(count(Some(503)), 5 - count(None), "the rest is told");
    assert!(ends.iter().flatten().all(|(status, body)| *status == 200 || refused(body).0 == Fault::Busy));
}

#[tokio::test]
async fn renewing_the_session_key_drops_no_request_and_closes_old_connections() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = server_with_endless_vouches(&tpm, &format!("listen = ['{address}']\n"));
    tokio::spawn(server.serve(Duration::from_millis(100)));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        asking.spawn(async move {
            let (mut keys, mut longest) = (HashSet::new(), 0);
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                let mut asker = Asker::dial(address).await.unwrap();
                keys.insert(asker.peer_key.unwrap());
                let mut answers = 0;
                while !asker.connection.is_closed() && Instant::now() < end {
                    let mode = if answers % 2 == 0 { Mode::Fresh } else { Mode::Cached };
                    let answered = asker.ask(mode).await.expect("a request was dropped");
                    assert_eq!(answered.status, 200);
                    answered.verify().unwrap().identity().expect("the connection's key is not listed");
                    answers += 1;
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                longest = longest.max(answers);
            }
            (keys.len(), longest)
        });
    }
    for (keys, longest) in asking.join_all().await {
        assert!(keys >= 3, "{keys} session keys in 2 s: old connections are not closed");
        assert!(longest >= 5, "{longest} answers on one connection: a renewal closes it at once");
    }
}

#[test]
fn a_node_that_is_told_to_end_does_so_at_once() {
    let Some((_tpm, node)) = node() else { return };
    let told = std::time::Instant::now();
    drop(node);
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}: the server had to be killed", told.elapsed());
}
