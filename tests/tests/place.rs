//! Places far from each other: what landmarks say of a node, of one that an accomplice's relay brings near, and of one
//! whose session key an accomplice has.

use garant_attest::{
    place::landmark::{self, LandmarkStatement},
    wire::{Mode, Statements},
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use garant_tests::{
    asker::{Asker, BUDGET},
    garantd::Garantd,
    landmark::{HandNode, LandmarkProgram, OwnLandmark, SlowClock, options},
    swtpm::Swtpm,
    world::{Place, World},
};
use garant_verifier::landmark::SystemClocks;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

const MACHINE: [u8; 4] = [203, 0, 113, 1];
const ACCOMPLICE: [u8; 4] = [203, 0, 113, 2];

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn landmark_at(place: &Place) -> SocketAddr {
    SocketAddr::new(place.ip, 8463)
}

/// F of the node, by its evidence, and what the landmark of this key says of it.
fn said_of_f(node: &Garantd, landmark: &[u8; 32]) -> LandmarkStatement {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut asker = Asker::local(&node.socket()).await.unwrap();
        let answered = asker.ask(Mode::Fresh).await.unwrap();
        let f = answered.verify().unwrap().identity().unwrap().session_key;
        let started = Instant::now();
        loop {
            let (_, body) = asker.connection.get("/v1/statements", BUDGET).await.unwrap();
            let carried = Statements::decode(&body).unwrap().1;
            let theirs = carried.iter().filter_map(|one| landmark::open(&FastEngine, one, landmark).ok());
            if let Some(found) = theirs.into_iter().find(|found| found.session_key() == f) {
                return found;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no statement; log:\n{}", node.log());
            tokio::time::sleep(ms(50)).await;
        }
    })
}

/// What the landmark says of a node made by hand that has this F and lives here.
fn said_of_hand(place: &Place, landmark: &OwnLandmark, f: &SigningKey) -> LandmarkStatement {
    let IpAddr::V4(ip) = place.ip else { panic!("an IPv4 world") };
    let (status, body) = place.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { HandNode::dial_with(landmark, ip, f.clone()).await.unwrap().be_measured().await })
    });
    assert_eq!(status, 200, "{body:?}");
    landmark::open(&FastEngine, &body, &landmark.key).unwrap()
}

/// Never less than the way there and back; little more, on a machine that has other things to do.
fn assert_round_trip(said: &LandmarkStatement, one_way: Duration) {
    let round_trip = Duration::from_nanos(said.round_trip_ns());
    assert!(round_trip >= 2 * one_way, "{round_trip:?} there and back, {one_way:?} one way");
    assert!(round_trip < 2 * one_way + ms(5), "{round_trip:?} there and back, {one_way:?} one way");
}

#[test]
fn landmarks_of_several_operators_say_how_far_light_came_and_the_one_in_the_building_says_least() {
    let Some(world) = World::open() else { return };
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let machine = world.place(MACHINE);
    let mut landmarks = Vec::new();
    for (number, one_way) in [(1, ms(1)), (2, ms(4)), (3, ms(9))] {
        let there = world.place([198, 51, 100, number]);
        let program = LandmarkProgram::start(&there.words(), landmark_at(&there));
        world.path(&machine, &there, program.tls, one_way);
        landmarks.push((program, one_way));
    }
    let anchor = LandmarkProgram::start(&machine.words(), SocketAddr::from((Ipv4Addr::LOCALHOST, 8463)));
    let configuration: String = landmarks
        .iter()
        .map(|(program, _)| program)
        .chain([&anchor])
        .map(|program| options(program.tls, &program.key))
        .collect();
    let node = Garantd::start_within(&machine.words(), &tpm.address(), &configuration);
    for (program, one_way) in &landmarks {
        assert_round_trip(&said_of_f(&node, &program.key), *one_way);
    }
    let near = said_of_f(&node, &anchor.key).round_trip_ns();
    assert!(near < 1_000_000, "{near} ns in one building");
}

#[test]
fn an_accomplice_who_only_relays_brings_the_machine_no_nearer() {
    let Some(world) = World::open() else { return };
    let Some(tpm) = Swtpm::blank("sha256") else { return };
    let (machine, accomplice) = (world.place(MACHINE), world.place(ACCOMPLICE));
    let there = world.place([198, 51, 100, 1]);
    let program = LandmarkProgram::start(&there.words(), landmark_at(&there));
    world.path(&accomplice, &there, program.tls, ms(1));
    world.path(&machine, &accomplice, program.tls, ms(15));
    let node = Garantd::start_within(&machine.words(), &tpm.address(), &options(program.tls, &program.key));
    let said = said_of_f(&node, &program.key);
    assert_round_trip(&said, ms(16));
}

#[test]
fn an_accomplice_who_has_f_answers_from_where_he_stands_and_no_statement_tells() {
    let Some(world) = World::open() else { return };
    let (machine, accomplice) = (world.place(MACHINE), world.place(ACCOMPLICE));
    let there = world.place([198, 51, 100, 1]);
    let landmark = there.run(|| OwnLandmark::start_at(landmark_at(&there), SystemClocks));
    world.path(&machine, &there, landmark.listening.tls, ms(15));
    world.path(&accomplice, &there, landmark.listening.tls, ms(1));
    let f = SigningKey::generate().unwrap();
    let honest = said_of_hand(&machine, &landmark, &f);
    let shared = said_of_hand(&accomplice, &landmark, &f);
    assert_round_trip(&honest, ms(15));
    // The residual: a round trip bounds the holder of F, whoever that is.
    assert_round_trip(&shared, ms(1));
    assert_eq!(honest.session_key(), shared.session_key());
}

#[test]
fn a_lying_landmark_says_what_it_likes_and_an_honest_one_does_not_agree() {
    let Some(world) = World::open() else { return };
    let machine = world.place(MACHINE);
    let (near, far) = (world.place([198, 51, 100, 1]), world.place([198, 51, 100, 2]));
    let honest = near.run(|| OwnLandmark::start_at(landmark_at(&near), SystemClocks));
    let lying = far.run(|| OwnLandmark::start_at(landmark_at(&far), SlowClock(100)));
    world.path(&machine, &near, honest.listening.tls, ms(10));
    world.path(&machine, &far, lying.listening.tls, ms(10));
    let f = SigningKey::generate().unwrap();
    assert_round_trip(&said_of_hand(&machine, &honest, &f), ms(10));
    let lie = said_of_hand(&machine, &lying, &f).round_trip_ns();
    assert!(lie < 1_000_000, "{lie} ns: a false proof, which f operators may give");
}
