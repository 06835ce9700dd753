//! Landmarks and the nodes that they measure, honest and not, over loopback.

use garant_attest::{
    cbor::{self, Bytes32, CborError},
    engine::PublicKey,
    place::{
        landmark::{self, LandmarkStatement},
        timing::{EXPORTED_BYTES, Message, TimingSecret},
    },
    wire::{Refused, Statements, TimingOffer},
};
use garant_channel::{
    engine::FastEngine,
    http,
    key::SigningKey,
    tls::{self, Accept},
};
use garant_tests::{
    asker::{Asker, BUDGET},
    bare_server::server_with_endless_vouches,
    garantd::Garantd,
    landmark::{HandNode, LandmarkProgram, OwnLandmark, SteppingClock, options},
    swtpm::Swtpm,
};
use garant_verifier::{clock::Clock, dial::Link, session::Session};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::Instant,
};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What the landmark said of a node, or why not.
fn said(landmark: &OwnLandmark, (status, body): &(u16, bytes::Bytes)) -> Result<LandmarkStatement, String> {
    match status {
        200 => Ok(landmark::open(&FastEngine, body, &landmark.key).expect("a statement that verifies")),
        _ => Err(Refused::decode(body).expect("a refusal").2.to_owned()),
    }
}

/// The statements that a node carries.
async fn carried(asker: &mut Asker) -> Vec<Vec<u8>> {
    let (status, body) = asker.connection.get("/v1/statements", BUDGET).await.unwrap();
    assert_eq!(status, 200, "{body:?}");
    Statements::decode(&body).unwrap().1.iter().map(|statement| statement.to_vec()).collect()
}

/// The landmark's statement about the key of a connection, once the node carries it.
async fn statement_about_its_key(node: SocketAddr, landmark: &[u8; 32]) -> LandmarkStatement {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        if let Ok(mut asker) = Asker::dial(node).await {
            let read = carried(&mut asker).await;
            let theirs = read.iter().filter_map(|statement| landmark::open(&FastEngine, statement, landmark).ok());
            if let Some(found) = theirs.into_iter().find(|found| Some(found.session_key()) == asker.peer_key) {
                return found;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no statement of the landmark");
}

#[tokio::test]
async fn a_node_carries_the_statement_of_its_landmark_about_its_session_key() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let program = LandmarkProgram::start(&[], (LOCALHOST, 0).into());
    let node = Garantd::start(&tpm.address(), &options(program.tls, &program.key));
    let found = statement_about_its_key(node.address, &program.key).await;
    assert!(found.rounds() >= 16);
    assert!((1_000..5_000_000).contains(&found.round_trip_ns()), "{} ns over loopback", found.round_trip_ns());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(found.counts_at(now) && found.time() + 30 > now);
    assert!(node.log().contains("measured landmark="), "{}", node.log());
    node.kill_server();
    let after = statement_about_its_key(node.address, &program.key).await;
    assert_ne!(after.session_key(), found.session_key(), "a new session key is measured anew");
}

#[tokio::test]
async fn a_landmark_with_another_key_is_told_nothing_and_is_one_line_in_the_log() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let landmark = OwnLandmark::honest();
    let other = SigningKey::generate().unwrap().public();
    let node = Garantd::start(&tpm.address(), &options(landmark.listening.tls, &other));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let lines = node.log().matches("not measured landmark=").count();
    assert_eq!(lines, 1, "a landmark with another key is tried again, and said once:\n{}", node.log());
    assert!(node.log().contains("invalid peer certificate"), "it was told more than a handshake:\n{}", node.log());
    assert!(carried(&mut Asker::dial(node.address).await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn a_node_carries_the_statements_of_its_folder_and_what_it_cannot_read_costs_nothing_else() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let folder = tempfile::tempdir().unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let sign = |_: &[u8]| Ok::<_, CborError>([0; 64]);
    let statement =
        garant_attest::cose::sign_ed25519([0; 32], "application/vnd.garant.site+cbor", b"site", sign).unwrap();
    fs::write(folder.path().join("site"), &statement).unwrap();
    fs::write(folder.path().join("secret"), &statement).unwrap();
    fs::set_permissions(folder.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.path().join("notes"), "hello").unwrap();
    let node = Garantd::start(&tpm.address(), &format!("[statements]\nfolder = '{}'\n", folder.path().display()));
    let mut asker = Asker::dial(node.address).await.unwrap();
    let is_root = nix::unistd::getuid().is_root();
    let readable = if is_root { 1 } else { 2 };
    assert_eq!(carried(&mut asker).await, vec![statement.clone(); readable]);
    fs::write(folder.path().join("later"), &statement).unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(carried(&mut asker).await.len(), readable + 1, "read at each question anew");
    let log = node.log();
    assert_eq!(log.matches("statement left out, file \"notes\"").count(), 1, "{log}");
    assert_eq!(log.matches("statement left out, file \"secret\"").count(), usize::from(is_root), "{log}");
    let link = Link::dial(&node.address.to_string().parse().unwrap(), None).await.unwrap();
    let read = Session::new(link, Clock::of_this_boot().unwrap()).statements().await.unwrap();
    assert_eq!(Statements::decode(&read).unwrap().1.len(), readable + 1, "as a verifier asks");
    let (status, _) = asker.connection.post("/v1/statements", Vec::new(), BUDGET).await.unwrap();
    assert_eq!(status, 405);
}

#[tokio::test]
async fn a_new_session_key_is_measured_before_it_takes_the_place_of_the_old() {
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let landmark = OwnLandmark::honest();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let configuration = format!("listen = ['{address}']\n{}", options(landmark.listening.tls, &landmark.key));
    let server = server_with_endless_vouches(&tpm, &configuration);
    tokio::spawn(server.serve(Duration::from_secs(1)));
    let mut keys = vec![statement_about_its_key(address, &landmark.key).await.session_key()];
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        let mut asker = Asker::dial(address).await.unwrap();
        let key = asker.peer_key.unwrap();
        let about: Vec<[u8; 32]> = carried(&mut asker)
            .await
            .iter()
            .map(|statement| landmark::open(&FastEngine, statement, &landmark.key).unwrap().session_key())
            .collect();
        assert!(about.contains(&key), "no statement about the key of now");
        keys.extend((keys.last() != Some(&key)).then_some(key));
    }
    assert!(keys.len() >= 3, "{} session keys in 5 s", keys.len());
}

#[tokio::test]
async fn an_honest_node_by_hand_is_measured_and_the_statement_names_its_key() {
    let landmark = OwnLandmark::honest();
    let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let statement = node.ask();
    node.be_found().await;
    let questions = node.answer_all(|round, nonce| Some(node.answer(round, &nonce))).await;
    let said = said(&landmark, &statement.await.unwrap()).unwrap();
    assert_eq!((said.session_key(), said.landmark()), (node.key.public(), landmark.key));
    assert_eq!((said.rounds(), questions), (32, 32));
}

#[tokio::test]
async fn m5_nobody_is_measured_who_did_not_send_the_cookie_back_from_the_address_of_the_connection() {
    let landmark = OwnLandmark::honest();
    // Hello with a source address of somebody else.
    let mut spoofing = HandNode::dial(&landmark, Ipv4Addr::new(127, 0, 0, 2)).await.unwrap();
    let refused = spoofing.ask();
    spoofing.send(&Message::Hello).await;
    assert_eq!(spoofing.receive().await, None, "a victim got a datagram");
    // The right address, but another cookie than that of this port.
    let mut guessing = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let also_refused = guessing.ask();
    guessing.send(&Message::Hello).await;
    let Some((_, Message::Cookie(cookie))) = guessing.receive().await else { panic!("no cookie") };
    let other_port = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let returned = guessing.secret.seal(&FastEngine, &Message::Returned(cookie));
    other_port.send_to(&returned, guessing.landmark).await.unwrap();
    guessing.send(&Message::Returned([0; 32])).await;
    assert_eq!(guessing.receive().await, None, "a question without a cookie");
    for refused in [refused, also_refused] {
        assert!(said(&landmark, &refused.await.unwrap()).unwrap_err().contains("cookie"));
    }
}

#[tokio::test]
async fn strangers_get_no_datagram_and_nobody_a_longer_one_than_he_sent() {
    let landmark = OwnLandmark::honest();
    let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let hello = node.secret.seal(&FastEngine, &Message::Hello);
    let mut wrong_mac = hello;
    wrong_mac[159] ^= 1;
    let unknown = TimingSecret::new(&[7; EXPORTED_BYTES]).seal(&FastEngine, &Message::Hello);
    for bytes in [&wrong_mac[..], &unknown, &hello[..159], &[&hello[..], &[0]].concat(), b"", b"hello"] {
        node.send_bytes(bytes).await;
    }
    let statement = node.ask();
    assert_eq!(node.receive().await, None, "somebody without a MAC was answered");
    node.be_found().await;
    let first = node.receive().await.unwrap();
    assert_eq!(first.0, 160);
    let all = async { node.answer_all(|round, nonce| Some(node.answer(round, &nonce))).await };
    let (_, statement) = tokio::join!(all, statement);
    assert!(said(&landmark, &statement.unwrap()).is_ok(), "one lost round is no harm");
}

#[tokio::test]
async fn an_answer_by_another_key_is_refused_although_its_mac_holds() {
    let landmark = OwnLandmark::honest();
    let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let other = SigningKey::generate().unwrap();
    let statement = node.ask();
    node.be_found().await;
    let questions = node.answer_all(|round, nonce| Some(node.answer_by(&other, round, &nonce))).await;
    assert_eq!(questions, 1);
    assert!(said(&landmark, &statement.await.unwrap()).unwrap_err().contains("did not give"));
}

#[tokio::test]
async fn an_answer_from_another_port_than_the_cookie_came_back_from_is_passed_over() {
    let landmark = OwnLandmark::honest();
    let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let other_port = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let statement = node.ask();
    node.be_found().await;
    let elsewhere = |round, nonce| {
        let answer = node.secret.seal(&FastEngine, &node.answer(round, &nonce));
        other_port.try_send_to(&answer, node.landmark).unwrap();
        None
    };
    assert!(node.answer_all(elsewhere).await > 1);
    assert!(said(&landmark, &statement.await.unwrap()).unwrap_err().contains("0 rounds counted"));
}

#[tokio::test]
async fn one_conversation_gets_so_many_datagrams_and_no_more() {
    let landmark = OwnLandmark::honest();
    let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let statement = node.ask();
    let mut cookies = 0;
    for _ in 0..200 {
        node.send(&Message::Hello).await;
        match tokio::time::timeout(Duration::from_millis(100), node.receive()).await {
            Ok(Some(_)) => cookies += 1,
            _ => break,
        }
    }
    assert_eq!(cookies, 128);
    assert!(said(&landmark, &statement.await.unwrap()).is_err());
}

/// A landmark that gives everybody this statement, without a question; its address.
async fn landmark_that_says(key: SigningKey, statement: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = tls::accept(tls::server(&key, Accept::AnyKey).unwrap(), stream).await.unwrap();
            let offer = cbor::encode(&TimingOffer::new(1)).unwrap();
            let served = http::serve(stream, 1024, async |request: http::Request| match request.path.as_str() {
                "/v1/timing" => http::Answer::new(200, http::CBOR, offer.clone()),
                _ => http::Answer::new(200, http::CBOR, statement.clone()),
            });
            let _ = served.await;
        }
    });
    address
}

#[tokio::test]
async fn a_statement_about_another_key_or_by_another_landmark_is_not_carried() {
    let (own, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let claims = landmark::Claims {
        time: 1_700_000_000,
        session_key: Bytes32::new([5; 32]),
        round_trip_ns: 1,
        rounds: 16,
        landmark: Bytes32::new(own.public()),
    };
    let sealed = |claims: &landmark::Claims, by: &SigningKey| {
        let id = PublicKey::Ed25519(by.public()).id(&FastEngine).unwrap();
        landmark::seal(claims, id, |message| Ok::<_, CborError>(by.sign(message))).unwrap()
    };
    for (statement, expected) in [
        (sealed(&claims, &own), "another key than ours"),
        (sealed(&claims, &other), "names another signer"),
        (b"no statement".to_vec(), "no COSE_Sign1"),
    ] {
        let Some(tpm) = Swtpm::blank("sha256") else { return };
        let address = landmark_that_says(own.clone(), statement).await;
        let node = Garantd::start(&tpm.address(), &options(address, &own.public()));
        let started = Instant::now();
        while !node.log().contains("not measured") && started.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(node.log().contains(expected), "{}", node.log());
        assert!(carried(&mut Asker::dial(node.address).await.unwrap()).await.is_empty());
    }
}

#[tokio::test]
async fn an_answer_of_an_earlier_round_is_none_under_its_own_number_and_refused_under_the_next() {
    let landmark = OwnLandmark::honest();
    // Under its own number it is passed over: each round waits in vain but for the first.
    let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let statement = node.ask();
    node.be_found().await;
    let mut first = None;
    node.answer_all(|round, nonce| Some(*first.get_or_insert(node.answer(round, &nonce)))).await;
    assert!(said(&landmark, &statement.await.unwrap()).unwrap_err().contains("1 rounds counted"));
    // Under the next one the signature is over another nonce.
    let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
    let statement = node.ask();
    node.be_found().await;
    let mut first = None;
    let replayed = |message, round| match message {
        Message::Answer { signature, .. } => Message::Answer { round, signature },
        other => other,
    };
    node.answer_all(|round, nonce| Some(replayed(*first.get_or_insert(node.answer(round, &nonce)), round))).await;
    assert!(said(&landmark, &statement.await.unwrap()).unwrap_err().contains("did not give"));
}

#[tokio::test]
async fn h9_a_landmark_whose_clock_steps_back_signs_nothing() {
    for (back_ns, boottime_too) in [(1_100_000, false), (20_000_000, false), (3_000_000_000, true)] {
        let landmark = OwnLandmark::start(SteppingClock::new(back_ns, boottime_too));
        let mut node = HandNode::dial(&landmark, LOCALHOST).await.unwrap();
        let statement = node.ask();
        node.be_found().await;
        node.answer_all(|round, nonce| Some(node.answer(round, &nonce))).await;
        let refused = said(&landmark, &statement.await.unwrap()).unwrap_err();
        assert!(refused.contains("0 rounds counted"), "{back_ns} ns: {refused}");
    }
}

#[tokio::test]
async fn a_node_tells_a_landmark_with_another_key_nothing() {
    let mut posing = OwnLandmark::honest();
    posing.key = SigningKey::generate().unwrap().public();
    assert!(HandNode::dial(&posing, LOCALHOST).await.is_err(), "another landmark's key was accepted");
}

#[tokio::test]
async fn one_address_cannot_take_every_place_of_a_landmark() {
    let landmark = OwnLandmark::honest();
    let mut held = Vec::new();
    while let Ok(node) = HandNode::dial(&landmark, LOCALHOST).await {
        held.push(node);
        assert!(held.len() <= 16, "more than 16 from one address");
    }
    assert_eq!(held.len(), 16);
    drop(held);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(HandNode::dial(&landmark, LOCALHOST).await.is_ok());
}
