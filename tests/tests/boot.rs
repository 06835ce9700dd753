//! The node image on a whole machine: OVMF, systemd's stub, Debian's kernel, garantd as PID 1, and a TPM.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects, reason = "tests")]

use std::{path::PathBuf, process::Command};

use garant_attest::wire::Mode;
use garant_channel::engine::FastEngine;
use garant_tests::{
    impostor::{Impostor, Trick},
    scene::{Image, Programs, Scene},
};
use garant_verifier::{clock::Clock, dial::Link, known::Memory, session::Session};
use tokio::runtime::Runtime;

#[test]
fn a_booted_image_answers_for_itself_but_not_through_a_relay_and_not_twice() {
    let Some(mut scene) = scene() else { return };
    let node = scene.boot(Image::Expected, None).expect("it boots");
    eprintln!("booted in {:?}", node.boot_time);

    assert_eq!(fresh_answer(node.address), Ok(()), "the node itself; console:\n{}", node.console());

    let relay = Impostor::start(node.address, Trick::Relay).expect("it starts");
    assert_eq!(fresh_answer(relay.address), Err("nonce and binder".to_owned()), "relayed");

    let replay = Impostor::start(node.address, Trick::Replay).expect("it starts");
    let _first = fresh_answer(replay.address);
    assert_eq!(fresh_answer(replay.address), Err("nonce and binder".to_owned()), "replayed");
}

#[test]
fn the_demo_ends_only_if_every_verdict_is_what_it_must_be() {
    if scene().is_none() {
        return;
    }
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).output().expect("it starts");
    let said = [&demo.stdout[..], &demo.stderr].concat();
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Asks for a fresh answer as a stranger; the name of the check that refuses it.
fn fresh_answer(address: std::net::SocketAddr) -> Result<(), String> {
    Runtime::new().unwrap().block_on(async {
        let link = Link::dial(&address.to_string().parse().unwrap(), None).await.expect("it answers TLS");
        let mut session = Session::new(link, Clock::of_this_boot().unwrap());
        let memory = Memory::default();
        let (sent, answer) = session.ask(Mode::Fresh, &memory).await.expect("it answers");
        let spent = sent.spend(&FastEngine, &answer, &memory, &[], &session.now().unwrap());
        spent.map(drop).map_err(|rejection| rejection.check().to_owned())
    })
}

/// The scene, where swtpm is installed and the image's parts are built.
fn scene() -> Option<Scene> {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let garantd = target.join("x86_64-unknown-linux-musl/release/garantd");
    if !garantd.exists() {
        eprintln!("SKIPPED: {} is missing, `make image` builds it", garantd.display());
        return None;
    }
    let programs = Programs { garant: target.join("debug/garant"), garantd };
    Scene::set(programs).expect("a scratch folder")
}
