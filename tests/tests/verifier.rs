//! A verifier against the real garantd on a real TPM command set: enrolment, verdicts, and those who cheat at either.

use garant_attest::{
    cbor::{self, Bytes, Bytes32},
    counters::CounterState,
    ear::{self, Ear},
    engine::PublicKey,
    enrolment,
    wire::{Ask, CredentialChallenge, EkClaim, Identity, Kind, Mode},
};
use garant_channel::{
    engine::FastEngine,
    http::{self, Answer, CBOR, Request},
};
use garant_tests::{
    forge,
    garantd::Garantd,
    impostor::{Impostor, Trick},
    swtpm::Swtpm,
    verifier::Verifier,
};
use garant_verifier::{
    assess::Rulebook,
    bundle::Bundle,
    clock::{Clock, Moment},
    dial::{Address, Link},
    enrol::certify,
    error::{EnrolmentFault, VerifierError},
    known::{Memory, Sighting},
    seal::{Sealer, read_key},
    session::{Rejection, Session},
    sources::Sources,
};
use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};
use tokio::net::UnixListener;

fn case() -> Option<(Swtpm, Garantd, Verifier)> {
    let tpm = Swtpm::provisioned("sha256")?;
    let node = Garantd::start(&tpm.address(), "");
    let verifier = Verifier::of(&tpm);
    Some((tpm, node, verifier))
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// The answer of the boot part and all of its reasons.
fn boot(output: &Output) -> (String, String) {
    let boot = json(output)["parts"]["boot"].clone();
    (boot["answer"].as_str().unwrap().to_owned(), boot["reasons"].to_string())
}

fn rules(verifier: &Verifier) -> Rulebook {
    let policy = Some(verifier.path("policy.toml"));
    Sources { authorities: vec![verifier.path("ca0.pem")], policy, ..Sources::default() }.read().unwrap()
}

async fn session(address: &str) -> Session {
    let address: Address = address.parse().unwrap();
    Session::new(Link::dial(&address, None).await.unwrap(), Clock::of_this_boot().unwrap())
}

#[test]
fn a_node_enrolled_over_tcp_is_yes_on_a_test_root_over_tcp_and_over_its_unix_socket() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let enrolled = verifier.enroll(&node.address.to_string());
    assert_eq!(code(&enrolled), 0, "{enrolled:?}");
    let (id, record) = (json(&enrolled)["node"].clone(), verifier.text("node.record"));
    let (ear, saved) = (verifier.text("node.ear"), verifier.text("node.answer"));
    let record = ["--record", record.as_str()];
    let options = [&record[..], &["--ear", &ear, "--save", &saved, "--audience", "shop"]].concat();
    let verified = verifier.verify(&node.address.to_string(), &options);
    assert_eq!((code(&verified), boot(&verified)), (0, ("yes".into(), "[]".into())), "{verified:?}");
    let shown = json(&verified);
    assert_eq!((shown["parts"]["boot"]["basis"].as_str(), &shown["node"]), (Some("test"), &id));
    assert_eq!((shown["channel"].as_str(), shown["closed"].as_str()), (Some("tls-server"), Some("unknown")));

    let local = verifier.verify(&format!("unix:{}", node.socket().display()), &[]);
    assert_eq!((code(&local), json(&local)["channel"].as_str()), (0, Some("none")));

    let key = read_key(&verifier.path("verifier.key")).unwrap().public();
    let signed = ear::open(&FastEngine, &fs::read(&ear).unwrap(), &PublicKey::Ed25519(key)).unwrap();
    assert_eq!((signed.audience.as_deref(), signed.parts.boot.status), (Some("shop"), 32));

    let later = verifier.run(
        &[&["verify", "--bundle", &saved, "--json", "--policy", &verifier.text("policy.toml")], &record[..]].concat(),
    );
    let (answer, reasons) = boot(&later);
    assert_eq!((code(&later), answer.as_str()), (2, "unknown"), "a saved answer proves nothing about now");
    assert!(reasons.contains("check age") && reasons.contains("signed boot: yes"), "{reasons}");
    let explained = garant_tests::garant::garant(&["explain", "--json", &saved]);
    assert_eq!(json(&explained)["kind"].as_str(), Some("a bundle"));
}

#[test]
fn a_bundle_shows_what_was_so_when_a_known_verifier_signed_and_at_no_other_time() {
    let Some((_tpm, node, verifier)) = case() else { return };
    assert_eq!(code(&verifier.enroll(&node.address.to_string())), 0);
    let (policy, bundle) = (verifier.text("policy.toml"), verifier.text("node.bundle"));
    let packed = verifier.run(&["bundle", "pack", &node.address.to_string(), "--out", &bundle, "--policy", &policy]);
    assert_eq!(code(&packed), 0, "{packed:?}");
    let folder = verifier.text("parts");
    let unpacked = garant_tests::garant::garant(&["bundle", "unpack", &bundle, "--into", &folder]);
    let files = String::from_utf8(unpacked.stdout).unwrap();
    assert_eq!(files, "answer\nnode.record\npolicy.toml\nresult.ear\n");
    assert_eq!(fs::read(format!("{folder}/policy.toml")).unwrap(), fs::read(&policy).unwrap());
    let key = read_key(&verifier.path("verifier.key")).unwrap().public();
    let ear = fs::read(format!("{folder}/result.ear")).unwrap();
    let issued = ear::open(&FastEngine, &ear, &PublicKey::Ed25519(key)).unwrap().issued;

    let at = |time: u64, key: &str, more: &[&str]| {
        let time = time.to_string();
        let words = ["verify", "--bundle", &bundle, "--at", &time, "--json", "--policy", &policy];
        verifier.run_with_key(&[&words[..], more].concat(), key)
    };
    let then = at(issued + 10, "verifier.key", &[]);
    assert_eq!((code(&then), boot(&then).0.as_str()), (0, "yes"), "{then:?}");
    assert_eq!(json(&then)["issued"].as_u64(), Some(issued));
    for time in [issued - 1, issued + MAX_AGE_S] {
        let (answer, reasons) = boot(&at(time, "verifier.key", &[]));
        assert_eq!(answer, "unknown");
        assert!(reasons.contains("check time") && reasons.contains("and not then"), "{reasons}");
    }
    let made = garant_tests::garant::garant(&["keygen", "--out", &verifier.text("other.key")]);
    assert!(made.status.success());
    let (answer, reasons) = boot(&at(issued, "other.key", &[]));
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("nobody you know signed a result in it"), "{reasons}");
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let known = at(issued, "other.key", &["--witness", &digits]);
    assert_eq!(json(&known)["parts"]["boot"]["answer"].as_str(), Some("yes"));
    assert!(json(&known)["parts"]["boot"]["links"].to_string().contains("the challenge was fresh on"));

    let bytes = fs::read(&bundle).unwrap();
    let decoded = Bundle::decode(&bytes).unwrap();
    let without = |change: &dyn Fn(&mut Bundle<'_>)| {
        let mut other = decoded.clone();
        change(&mut other);
        fs::write(&bundle, other.encode().unwrap()).unwrap();
        boot(&at(issued, "verifier.key", &[]))
    };
    for (change, expected) in [
        (&(|other: &mut Bundle<'_>| other.result = None) as &dyn Fn(&mut Bundle<'_>), "its time is not known"),
        (&|other: &mut Bundle<'_>| other.record = None, "no enrolment record"),
        (&|other: &mut Bundle<'_>| other.nonce = Bytes32::new([1; 32]), "check nonce and binder"),
    ] {
        let (answer, reasons) = without(change);
        assert_eq!(answer, "unknown");
        assert!(reasons.contains(expected), "{reasons}");
    }
}

/// Whoever signed knew counters, which no bundle holds: a no or unknown of then is no yes later.
#[test]
fn what_the_signed_result_denied_or_did_not_say_is_no_yes_in_a_bundle() {
    let Some((_tpm, node, verifier)) = case() else { return };
    assert_eq!(code(&verifier.enroll(&node.address.to_string())), 0);
    let (policy, bundle) = (verifier.text("policy.toml"), verifier.text("node.bundle"));
    let packed = verifier.run(&["bundle", "pack", &node.address.to_string(), "--out", &bundle, "--policy", &policy]);
    assert_eq!(code(&packed), 0, "{packed:?}");
    let key = read_key(&verifier.path("verifier.key")).unwrap();
    let public = PublicKey::Ed25519(key.public());
    let bytes = fs::read(&bundle).unwrap();
    let honest = Bundle::decode(&bytes).unwrap();
    let then = ear::open(&FastEngine, honest.result.unwrap(), &public).unwrap();
    let id = public.id(&FastEngine).unwrap();
    let judged = |at: u64, change: &dyn Fn(&mut Ear)| {
        let mut ear = then.clone();
        change(&mut ear);
        let signed = ear.seal(id, |message| Ok::<_, cbor::CborError>(key.sign(message))).unwrap();
        let other = Bundle { result: Some(Bytes::new(&signed)), ..honest.clone() };
        fs::write(&bundle, other.encode().unwrap()).unwrap();
        let at = at.to_string();
        boot(&verifier.run(&["verify", "--bundle", &bundle, "--at", &at, "--json", "--policy", &policy]))
    };
    for (said, expected) in [("yes", "yes"), ("no", "unknown"), ("unknown", "unknown")] {
        let (answer, reasons) = judged(then.issued, &|ear| ear.parts.boot.answer = said.to_owned());
        assert_eq!(answer, expected, "{said}: {reasons}");
        assert_eq!(said != "yes", reasons.contains(&format!("signed the result in it said boot: {said}")), "{reasons}");
    }
    let year_10_000 = 253_402_300_800;
    let (answer, reasons) = judged(year_10_000, &|ear| ear.expires = year_10_000 + 1);
    assert_eq!(answer, "unknown", "the chip's certificates end the year before");
    assert!(reasons.contains("and not then"), "{reasons}");
}

#[test]
fn a_result_about_another_session_key_gives_a_bundle_no_time() {
    let Some((mut tpm, node, verifier)) = case() else { return };
    assert_eq!(code(&verifier.enroll(&node.address.to_string())), 0);
    let (policy, bundle) = (verifier.text("policy.toml"), verifier.text("node.bundle"));
    let pack = |address: &str, file: &str| {
        verifier.run(&["bundle", "pack", address, "--out", file, "--policy", &policy, "--json"])
    };
    let first = pack(&node.address.to_string(), &bundle);
    assert_eq!(code(&first), 0, "{first:?}");
    drop(node);
    tpm.power_cycle();
    let node = Garantd::start(&tpm.address(), "");
    let second = pack(&node.address.to_string(), &verifier.text("second.bundle"));
    let (old, new) = (fs::read(&bundle).unwrap(), fs::read(verifier.path("second.bundle")).unwrap());
    let (old, new) = (Bundle::decode(&old).unwrap(), Bundle::decode(&new).unwrap());
    let mixed = Bundle { result: new.result, ..old };
    fs::write(&bundle, mixed.encode().unwrap()).unwrap();
    let at = json(&second)["issued"].to_string();
    let (answer, reasons) =
        boot(&verifier.run(&["verify", "--bundle", &bundle, "--at", &at, "--json", "--policy", &policy]));
    assert_eq!(answer, "unknown");
    assert!(reasons.contains("another node, boot or session key"), "{reasons}");
}

#[test]
fn a_cached_answer_moves_no_expiry() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let address = node.address.to_string();
    assert_eq!(code(&verifier.enroll(&address)), 0);
    assert_eq!(code(&verifier.verify(&address, &[])), 0);
    let latest = garant_verifier::clock::unix_time() + MAX_AGE_S;
    std::thread::sleep(Duration::from_secs(3));
    let cached = verifier.verify(&address, &["--max-age", "60"]);
    assert_eq!(code(&cached), 0, "{cached:?}");
    let expires = json(&cached)["expires"].as_u64().unwrap();
    assert!(expires <= latest, "{expires} is after {latest}, when its quote is as old as the policy accepts");
}

#[test]
fn without_a_record_or_without_a_policy_boot_is_unknown() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let stranger = verifier.verify(&node.address.to_string(), &[]);
    assert_eq!(code(&stranger), 2, "{stranger:?}");
    assert!(boot(&stranger).1.contains("no enrolment record"));
    verifier.enroll(&node.address.to_string());
    let unjudged = verifier.run(&["verify", &node.address.to_string(), "--json"]);
    assert!(code(&unjudged) == 2 && boot(&unjudged).1.contains("no policy"), "{unjudged:?}");
}

#[test]
fn an_answer_that_is_relayed_or_replayed_is_unknown_with_the_check_named() {
    let Some((_tpm, node, verifier)) = case() else { return };
    assert_eq!(code(&verifier.enroll(&node.address.to_string())), 0);
    for trick in [Trick::Relay, Trick::Replay] {
        let middle = Impostor::start(node.address, trick).unwrap();
        for _ in 0..2 {
            let refused = verifier.verify(&middle.address.to_string(), &[]);
            assert_eq!(code(&refused), 2, "{trick:?} {refused:?}");
            assert!(boot(&refused).1.contains("check nonce and binder"), "{trick:?} {refused:?}");
        }
    }
}

#[test]
fn nobody_enrols_through_a_machine_in_the_middle() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let middle = Impostor::start(node.address, Trick::Relay).unwrap();
    let refused = verifier.enroll(&middle.address.to_string());
    assert_eq!(code(&refused), 3, "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("did not prove"), "{refused:?}");
    assert!(!verifier.path("node.record").exists());
}

#[test]
fn a_node_that_does_not_answer_is_unknown() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let address = node.address.to_string();
    drop(node);
    let silent = verifier.verify(&address, &[]);
    assert_eq!((code(&silent), boot(&silent).0.as_str()), (2, "unknown"), "{silent:?}");
}

#[test]
fn another_tpm_under_a_known_record_is_unknown() {
    let (Some((_tpm, node, mut verifier)), Some(other)) = (case(), Swtpm::provisioned("sha256")) else { return };
    assert_eq!(code(&verifier.enroll(&node.address.to_string())), 0);
    verifier.believe(&other);
    let impostor = Garantd::start(&other.address(), "");
    let record = verifier.text("node.record");
    let refused = verifier.verify(&impostor.address.to_string(), &["--record", &record]);
    assert_eq!(code(&refused), 2, "{refused:?}");
    assert!(boot(&refused).1.contains("check attestation key"), "{refused:?}");
}

/// A node that answers as the closure says, over a Unix socket: no binder stands in its way.
async fn impersonate<F: AsyncFn(Request) -> Answer + 'static>(folder: &Verifier, handler: F) -> String {
    let path = folder.path("impostor.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = http::serve(stream, 1 << 20, async |request| handler(request).await).await;
        }
    });
    format!("unix:{}", path.display())
}

#[tokio::test]
async fn a_software_key_beside_a_genuine_ek_certificate_is_never_enrolled() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let genuine = session(&node.address.to_string()).await.identity().await.unwrap();
    let identity = Identity::decode(&genuine).unwrap();
    let software = forge::Node::new(forge::log(&[(0, 8, b"firmware")]));
    let forged = cbor::encode(&Identity::new(&software.ak_public, identity.2.clone(), identity.3.clone())).unwrap();
    let real = format!("unix:{}", node.socket().display());
    let local = tokio::task::LocalSet::new();
    let outcome = local
        .run_until(async {
            let address = impersonate(&verifier, async move |request: Request| match request.path.as_str() {
                "/v1/identity" => Answer::new(200, CBOR, forged.clone()),
                // It has the genuine TPM at hand and lets it try.
                _ => match session(&real).await.link().post(&request.path, request.body.to_vec(), BUDGET).await {
                    Ok(body) => Answer::new(200, CBOR, body),
                    Err(error) => Answer::new(422, "text/plain", error.to_string()),
                },
            })
            .await;
            let mut session = session(&address).await;
            let claimed = certify(&rules(&verifier), &session.identity().await.unwrap()).unwrap();
            assert_eq!(claimed.ak().public_area(), software.ak_public, "the chain itself holds");
            claimed.activate(&mut session).await
        })
        .await;
    assert!(matches!(outcome, Err(VerifierError::Status { status: 422, .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_made_up_activation_is_refused() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let genuine = session(&node.address.to_string()).await.identity().await.unwrap();
    let local = tokio::task::LocalSet::new();
    let outcome = local
        .run_until(async {
            let address = impersonate(&verifier, async move |request: Request| match request.path.as_str() {
                "/v1/identity" => Answer::new(200, CBOR, genuine.clone()),
                _ => {
                    let wanted = CredentialChallenge::decode(&request.body).unwrap().2.len();
                    let proofs = (0..wanted).map(|_| cbor::Bytes32::new([7; 32])).collect();
                    let answer = garant_attest::wire::CredentialAnswer::new(proofs);
                    Answer::new(200, CBOR, cbor::encode(&answer).unwrap())
                }
            })
            .await;
            let mut session = session(&address).await;
            let claimed = certify(&rules(&verifier), &session.identity().await.unwrap()).unwrap();
            claimed.activate(&mut session).await
        })
        .await;
    assert!(matches!(outcome, Err(VerifierError::Enrolment(EnrolmentFault::Activation { .. }))), "{outcome:?}");
}

#[tokio::test]
async fn an_altered_ek_public_area_gives_the_same_node_id() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let rules = rules(&verifier);
    let genuine = session(&node.address.to_string()).await.identity().await.unwrap();
    let id = certify(&rules, &genuine).unwrap().id();
    let identity = Identity::decode(&genuine).unwrap();
    let mut template = garant_hw::tpm::templates::EK_TEMPLATES[2].public_area().unwrap().to_vec();
    template[6] ^= 0x04; // an attribute that ActivateCredential does not look at
    let altered = identity.2.iter().map(|ek| EkClaim(ek.0, ek.1, Some(Bytes::new(&template)))).collect();
    let altered = cbor::encode(&Identity::new(identity.1, altered, identity.3.clone())).unwrap();
    assert_eq!(certify(&rules, &altered).unwrap().id(), id);
    let turned = identity.2.iter().rev().cloned().collect();
    let turned = cbor::encode(&Identity::new(identity.1, turned, identity.3.clone())).unwrap();
    assert_eq!(certify(&rules, &turned).unwrap().id(), id, "in whatever order the keys come");
}

#[tokio::test]
async fn answers_verified_in_inverse_order_are_no_rollback() {
    let Some((_tpm, node, _verifier)) = case() else { return };
    let mut session = session(&node.address.to_string()).await;
    let mut memory = Memory::default();
    let (first_sent, first) = session.ask(Mode::Fresh, &memory).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await; // the TPM's clock counts whole milliseconds
    let (second_sent, second) = session.ask(Mode::Fresh, &memory).await.unwrap();
    let now = session.now().unwrap();
    let asked_with = memory.clone();
    let later = second_sent.spend(&FastEngine, &second, &asked_with, &[], &now).unwrap();
    memory.counters = Some(later.verified.quote().clock_info());
    let earlier = first_sent.spend(&FastEngine, &first, &memory, &[], &now).unwrap();
    assert!(earlier.verified.quote().clock_info().clock_ms < memory.counters.unwrap().clock_ms, "an inverse order");
    assert_eq!(earlier.verified.counters(), CounterState::First, "what was known when it was sent counts");
}

/// What a cached answer to a new challenge comes to, for an asker with these moments.
async fn cached(session: &mut Session, sightings: &[Sighting]) -> Result<(Duration, Moment), Rejection> {
    let memory = Memory { sightings: sightings.to_vec(), ..Memory::default() };
    let (sent, answer) = session.ask(Mode::Cached, &memory).await.unwrap();
    let now = session.now().unwrap();
    let answered = sent.spend(&FastEngine, &answer, &memory, &[], &now)?;
    assert!(answered.verified.cached().is_some() && answered.sighting.is_none(), "a cached answer is no moment");
    Ok((answered.age, now))
}

#[tokio::test]
async fn a_cached_answer_counts_only_with_a_moment_of_the_same_boot_and_key_on_our_clock() {
    let Some((_tpm, node, _verifier)) = case() else { return };
    let mut session = session(&node.address.to_string()).await;
    let memory = Memory::default();
    let (sent, answer) = session.ask(Mode::Fresh, &memory).await.unwrap();
    let fresh = sent.spend(&FastEngine, &answer, &memory, &[], &session.now().unwrap()).unwrap();
    let seen = fresh.sighting.unwrap();
    let of_another_boot = Sighting { boot_id: [0; 32], ..seen.clone() };
    let of_another_key = Sighting { session_key: [0; 32], ..seen.clone() };
    let mut of_a_later_quote = seen.clone();
    of_a_later_quote.clock.reset_count += 1;
    for useless in [vec![], vec![of_another_boot, of_another_key, of_a_later_quote]] {
        assert_eq!(cached(&mut session, &useless).await.unwrap_err(), Rejection::NoMoment);
    }
    let (age, now) = cached(&mut session, std::slice::from_ref(&seen)).await.unwrap();
    assert_eq!(Some(age), now.since(&seen.at), "from the moment at which we sent");
}

#[tokio::test]
async fn a_cached_answer_to_a_fresh_challenge_is_refused() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let real = format!("unix:{}", node.socket().display());
    session(&real).await.ask(Mode::Fresh, &Memory::default()).await.unwrap();
    let local = tokio::task::LocalSet::new();
    let refused = local.run_until(async {
        let address = impersonate(&verifier, async move |request: Request| {
            let asked = Ask::decode(&request.body).unwrap();
            let ask = cbor::encode(&Ask::new(*asked.1, Mode::Cached, asked.3.clone(), asked.4)).unwrap();
            let answer = session(&real).await.link().post(&request.path, ask, BUDGET).await.unwrap();
            Answer::new(200, CBOR, answer)
        })
        .await;
        let mut session = session(&address).await;
        let memory = Memory::default();
        let (sent, answer) = session.ask(Mode::Fresh, &memory).await.unwrap();
        sent.spend(&FastEngine, &answer, &memory, &[], &session.now().unwrap()).unwrap_err()
    });
    assert_eq!(refused.await, Rejection::NotFresh);
}

#[tokio::test]
async fn two_enrolments_that_race_end_in_one_record() {
    let Some((_tpm, node, verifier)) = case() else { return };
    let rules = rules(&verifier);
    let sealer = Sealer::new(read_key(&verifier.path("verifier.key")).unwrap(), Vec::new());
    let witnesses = garant_verifier::serve::witnesses(sealer.key(), &rules);
    let store = garant_verifier::store::Store::open(&verifier.path("race.redb")).unwrap();
    let enrol = async || {
        let mut session = session(&format!("unix:{}", node.socket().display())).await;
        let claimed = certify(&rules, &session.identity().await.unwrap()).unwrap();
        let statement = claimed.activate(&mut session).await.unwrap().sign(&sealer).unwrap();
        let record = rules.open(&statement, &witnesses).unwrap();
        record.keep(&rules, &store, &statement, None).unwrap();
        store.record(*record.id().as_bytes()).unwrap().unwrap()
    };
    let (one, other) = tokio::join!(enrol(), enrol());
    assert_eq!(one, other);
    let witness = PublicKey::Ed25519(sealer.key().public());
    assert!(enrolment::EnrolledNode::open(&FastEngine, &one, &witness).is_ok());
}

#[test]
fn a_cleared_tpm_is_no_until_a_key_of_the_policy_enrols_it_again() {
    let Some(mut tpm) = Swtpm::provisioned("sha256") else { return };
    let verifier = Verifier::of(&tpm);
    let made = garant_tests::garant::garant(&["keygen", "--json", "--out", &verifier.text("reenrol.key")]);
    let public = json(&made)["public_key"].as_str().unwrap().to_owned();
    verifier.write("policy.toml", &Verifier::policy(&format!("reenrolment_keys = [\"{public}\"]")));
    for _ in 0..3 {
        tpm.power_cycle();
    }
    let node = Garantd::start(&tpm.address(), "");
    assert_eq!(code(&verifier.enroll(&node.address.to_string())), 0);
    assert_eq!(code(&verifier.verify(&node.address.to_string(), &[])), 0);
    drop(node);
    let cleared = Command::new("tpm2_clear").args(["-c", "p"]).env("TPM2TOOLS_TCTI", tpm.tcti()).output();
    match cleared {
        Err(error) => return eprintln!("SKIPPED: tpm2_clear cannot run: {error}"),
        Ok(output) => assert!(output.status.success(), "{output:?}"),
    }
    tpm.power_cycle();
    let node = Garantd::start(&tpm.address(), "");
    let address = node.address.to_string();
    let rolled_back = verifier.verify(&address, &[]);
    assert_eq!(code(&rolled_back), 1, "{rolled_back:?}");
    assert!(boot(&rolled_back).1.contains("counters fell"), "{rolled_back:?}");

    std::thread::sleep(Duration::from_millis(1100)); // a record's time is in whole seconds
    let own_key = verifier.run(&["enroll", &address, "--policy", &verifier.text("policy.toml")]);
    assert_eq!(code(&own_key), 0, "{own_key:?}");
    assert_eq!(code(&verifier.verify(&address, &[])), 1, "the verifier's own key forgets no counters");

    let policy = verifier.text("policy.toml");
    let again = verifier.run_with_key(&["enroll", &address, "--policy", &policy], "reenrol.key");
    assert_eq!(code(&again), 0, "{again:?}");
    assert_eq!(code(&verifier.verify(&address, &[])), 0);
}

#[test]
fn a_result_is_signed_under_no_policy_but_the_verifiers_own() {
    let Some((_tpm, node, verifier)) = case() else { return };
    assert_eq!(code(&verifier.enroll(&node.address.to_string())), 0);
    let file = verifier.text("node.ear");
    assert_eq!(code(&verifier.verify(&node.address.to_string(), &["--ear", &file])), 0);
    let key = read_key(&verifier.path("verifier.key")).unwrap();
    let claims = ear::open(&FastEngine, &fs::read(&file).unwrap(), &PublicKey::Ed25519(key.public())).unwrap();
    let own = claims.policy_digest.as_deref().copied().unwrap();
    assert!(Sealer::new(key.clone(), vec![own]).ear(&claims).is_ok());
    let foreign = Sealer::new(key.clone(), vec![[9; 32]]).ear(&claims);
    assert!(matches!(foreign, Err(VerifierError::ForeignPolicy { found: Some(_) })));
    let without = Ear { policy_digest: None, ..claims };
    assert!(matches!(Sealer::new(key, vec![own]).ear(&without), Err(VerifierError::ForeignPolicy { found: None })));
}

#[tokio::test]
async fn the_unix_socket_is_bound_to_no_channel_and_says_so() {
    let Some((_tpm, node, _verifier)) = case() else { return };
    let mut session = session(&format!("unix:{}", node.socket().display())).await;
    assert_eq!((session.link().kind(), session.link().binder()), (Kind::None, [0; 32]));
    let memory = Memory::default();
    let (sent, answer) = session.ask(Mode::Fresh, &memory).await.unwrap();
    let answered = sent.spend(&FastEngine, &answer, &memory, &[], &session.now().unwrap()).unwrap();
    assert_eq!(answered.verified.kind(), Kind::None);
}

/// Of the verifier's policy.
const MAX_AGE_S: u64 = 300;
const BUDGET: http::Budget = http::Budget { bytes: 1 << 20, time: Duration::from_secs(30) };
