//! VMs on a real node: the real garantd, a real TPM command set, a real QEMU.

use garant_attest::{wire::Mode, workload::Workload};
use garant_channel::engine::FastEngine;
use garant_tests::{
    garantd::Garantd,
    swtpm::Swtpm,
    verifier::Verifier,
    vms::{Images, act, acts, ask_json, console_with, ensure, kinds, state, vmms},
};
use garant_verifier::{clock::Clock, dial::Link, known::Memory, ledger::Ledger, session::Session};
use serde_json::{Value, json};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A node that runs VMs; its TPM and images are kept beside it.
fn node() -> Option<(Swtpm, Images, Garantd)> {
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let node = Garantd::start(&tpm.address(), &images.options());
    Some((tpm, images, node))
}

fn wait_for(node: &Garantd, id: &str, wanted: &str) -> (String, String) {
    let started = Instant::now();
    loop {
        let found = state(node, id);
        if found.0 == wanted || started.elapsed() > PATIENCE {
            return found;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_vm_lives_from_its_definition_to_its_end_and_each_act_is_in_the_ledger() {
    let Some((_tpm, images, node)) = node() else { return };
    let (status, vm) = ensure(&node, "web-1", &images.spec());
    assert_eq!((status, vm["state"].as_str()), (201, Some("defined")), "{vm}");
    assert_eq!(ensure(&node, "web-1", &images.spec()).0, 200, "the same again changes nothing");
    let (status, vm) = act(&node, "web-1", "start");
    assert_eq!((status, vm["state"].as_str(), vm["level"].as_str()), (200, Some("running"), Some("cold")), "{vm}");
    assert!(console_with(&node, "web-1", "up\nb\nb").contains("up\nb\nb"), "{}", node.log());
    for (verb, state) in [("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("start", "running")] {
        let (status, vm) = act(&node, "web-1", verb);
        assert_eq!((status, vm["state"].as_str()), (200, Some(state)), "{verb}: {vm}");
    }
    assert_eq!(vmms(&node).len(), 1);
    let (status, vm) = act(&node, "web-1", "stop");
    assert_eq!((status, vm["state"].as_str()), (200, Some("stopped")), "{vm}");
    assert!(vmms(&node).is_empty());
    assert!(console_with(&node, "web-1", "up").contains("up"), "what it showed is still there");
    let (status, vm) = ask_json(&node, "DELETE", "/v1/vms/web-1", &json!({ "generation": 1 }));
    assert_eq!((status, vm["state"].as_str()), (200, Some("deleted")), "{vm}");
    assert_eq!(ask_json(&node, "GET", "/v1/vms/web-1", &Value::Null).0, 404);
    assert_eq!(kinds(&acts(&node, 7)), ["start", "started", "pause", "resume", "stop", "ended", "delete"]);
    let (_, events) = ask_json(&node, "GET", "/v1/events/0", &Value::Null);
    let states: Vec<&str> =
        events["events"].as_array().unwrap().iter().filter_map(|one| one["state"].as_str()).collect();
    let expected = ["defined", "starting", "running", "paused", "running", "stopping", "stopped", "deleted"];
    assert_eq!(states, expected);
}

#[test]
fn a_vm_outlives_the_server_that_started_it_and_is_stopped_by_the_next() {
    let Some((_tpm, images, node)) = node() else { return };
    for id in ["runs", "halts"] {
        assert_eq!(ensure(&node, id, &images.spec()).0, 201);
        assert_eq!(act(&node, id, "start").0, 200, "{}", node.log());
    }
    assert_eq!(act(&node, "halts", "pause").0, 200);
    let before = vmms(&node);
    assert_eq!(before.len(), 2);
    node.kill_server();
    node.wait_until_ready();
    assert_eq!(vmms(&node), before, "the same processes");
    assert_eq!(state(&node, "runs").0, "running", "{}", node.log());
    assert_eq!(state(&node, "halts").0, "paused");
    assert!(console_with(&node, "runs", "b\nb").contains("b\nb"), "its console goes on");
    assert_eq!(act(&node, "halts", "resume").1["state"].as_str(), Some("running"));
    assert_eq!(act(&node, "runs", "stop").1["state"].as_str(), Some("stopped"));
    assert_eq!(vmms(&node).len(), 1);
    let of_runs = ["start", "started", "start", "started", "pause", "resume", "stop", "ended"];
    assert_eq!(kinds(&acts(&node, 8)), of_runs, "no act is lost, doubled or void");
    node.kill_server();
    node.wait_until_ready();
    assert_eq!(state(&node, "runs"), ("stopped".to_owned(), "it was stopped".to_owned()), "it stays what it became");
}

#[test]
fn a_vmm_that_is_killed_is_a_failure_and_one_that_dies_without_a_server_too() {
    let Some((_tpm, images, node)) = node() else { return };
    let kill = |pid: u32| assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    assert_eq!(ensure(&node, "one", &images.spec()).0, 201);
    assert_eq!(act(&node, "one", "start").0, 200);
    kill(vmms(&node)[0]);
    let (state, reason) = wait_for(&node, "one", "failed");
    assert_eq!(state, "failed");
    assert!(reason.contains("ended by itself"), "{reason}");
    assert_eq!(act(&node, "one", "start").0, 200, "it can be started again: {}", node.log());
    let pid = vmms(&node)[0];
    node.kill_server();
    kill(pid);
    node.wait_until_ready();
    let (state, reason) = wait_for(&node, "one", "failed");
    assert_eq!((state.as_str(), reason.as_str()), ("failed", "it ended while the node had no server"));
    assert_eq!(kinds(&acts(&node, 6)), ["start", "started", "ended", "start", "started", "ended"]);
}

#[test]
fn a_vmm_that_is_silent_is_called_so_and_holds_up_nobody() {
    let Some((_tpm, images, node)) = node() else { return };
    for id in ["sleeps", "lives"] {
        assert_eq!(ensure(&node, id, &images.spec()).0, 201);
        assert_eq!(act(&node, id, "start").0, 200, "{}", node.log());
    }
    let signal = |name: &str| {
        let pid = vmms(&node)[0].to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    let degraded = || ask_json(&node, "GET", "/v1/vms/sleeps", &Value::Null).1["degraded"].to_string();
    let wait_until = |is_degraded: bool| {
        let started = Instant::now();
        while (degraded() != "null") != is_degraded && started.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        degraded()
    };
    assert_eq!(degraded(), "null");
    signal("-STOP");
    assert!(wait_until(true).contains("does not answer within 250 ms"), "{}", node.log());
    let (status, problem) = act(&node, "sleeps", "pause");
    assert_eq!((status, problem["code"].as_str()), (502, Some("vmm_failed")), "{problem}");
    let asked = Instant::now();
    let (_, list) = ask_json(&node, "GET", "/v1/vms", &Value::Null);
    assert!(list["vms"][1]["degraded"].is_string() && list["vms"][0]["degraded"].is_null(), "{list}");
    assert_eq!(act(&node, "lives", "pause").0, 200);
    assert!(asked.elapsed() < Duration::from_millis(500), "others wait for it: {:?}", asked.elapsed());
    signal("-CONT");
    assert_eq!(wait_until(false), "null", "it answers again");
    assert_eq!(wait_for(&node, "sleeps", "paused").0, "paused", "it took what it was told, late");
    signal("-STOP");
    assert_eq!(act(&node, "sleeps", "stop").1["state"].as_str(), Some("stopped"), "what sleeps can be ended");
    assert_eq!(vmms(&node).len(), 1);
}

#[test]
fn what_cannot_be_is_refused_with_who_is_at_fault_and_changes_nothing() {
    let Some((_tpm, images, node)) = node() else { return };
    let with = |field: &str, value: Value| {
        let mut spec = images.spec();
        spec[field] = value;
        spec
    };
    let kernel = |image: &str, command_line: &str| json!({ "image": image, "command_line": command_line });
    let unknown = format!("sha256:{}", "77".repeat(32));
    let disks: Vec<Value> = vec![json!({ "image": images.kernel, "access": "read_only" }); 10_000];
    for (id, spec, status) in [
        ("..", images.spec(), 400),
        ("a_b", images.spec(), 400),
        ("web", with("memory_mib", json!(1)), 400),
        ("web", with("vcpus", json!(0)), 400),
        ("web", with("disks", json!(disks)), 413),
        ("web", with("nonsense", json!(1)), 400),
        ("web", with("accelerator", json!("kvm")), 403),
        ("web", with("kernel", kernel("../../etc/passwd", "")), 400),
        ("web", with("kernel", kernel(&images.kernel, "a\u{0}b")), 400),
        ("web", with("kernel", kernel(&images.kernel, &"x".repeat(10_000_000))), 413),
    ] {
        assert_eq!(ensure(&node, id, &spec).0, status, "{id}");
    }
    let (_, list) = ask_json(&node, "GET", "/v1/vms", &Value::Null);
    assert_eq!(list["vms"].as_array().map(Vec::len), Some(0));

    assert_eq!(ensure(&node, "web", &with("kernel", kernel(&unknown, ""))).0, 201);
    let (status, problem) = act(&node, "web", "start");
    assert_eq!((status, problem["code"].as_str()), (422, Some("unknown_image")), "{problem}");
    let (status, problem) = ensure(&node, "web", &images.spec());
    assert_eq!((status, problem["code"].as_str()), (409, Some("other_spec")));
    let put = |generation: u64| {
        ask_json(&node, "PUT", "/v1/vms/web", &json!({ "generation": generation, "spec": images.spec() }))
    };
    assert_eq!(put(3).0, 201, "a higher generation may have another");
    assert_eq!(put(2).1["code"].as_str(), Some("generation_past"));
    assert_eq!(act(&node, "web", "start").1["code"].as_str(), Some("generation_past"));
    let (status, problem) = ask_json(&node, "POST", "/v1/vms/web/pause", &json!({ "generation": 3 }));
    assert_eq!((status, problem["code"].as_str()), (409, Some("wrong_state")));
    assert_eq!(ask_json(&node, "POST", "/v1/vms/nobody/start", &json!({ "generation": 1 })).0, 404);
    assert_eq!(ask_json(&node, "DELETE", "/v1/vms/web", &json!({ "generation": 3 })).0, 200);
    let again = ask_json(&node, "DELETE", "/v1/vms/web", &json!({ "generation": 3 }));
    assert_eq!((again.0, again.1["state"].as_str()), (200, Some("deleted")), "asked again: {}", again.1);
    assert_eq!(put(3).1["code"].as_str(), Some("generation_past"), "a late definition makes no new VM");
    assert!(vmms(&node).is_empty());
    assert_eq!(kinds(&acts(&node, 1)), ["delete"], "nothing was started");
}

#[test]
fn an_image_that_is_not_what_its_name_says_and_memory_that_is_not_there_start_nothing() {
    let Some((_tpm, images, node)) = node() else { return };
    let other = images.add(b"no kernel");
    fs::write(images.file(&other), b"another").unwrap();
    let spec = |image: &str, memory: u64| {
        let mut spec = images.spec();
        spec["kernel"]["image"] = json!(image);
        spec["memory_mib"] = json!(memory);
        spec
    };
    assert_eq!(ensure(&node, "forged", &spec(&other, 64)).0, 201);
    let (status, problem) = act(&node, "forged", "start");
    assert_eq!(
        (status, problem["code"].as_str(), problem["fault"].as_str()),
        (409, Some("image_digest"), Some("node"))
    );
    for (id, memory) in [("first", 192), ("second", 192)] {
        assert_eq!(ensure(&node, id, &spec(&images.kernel, memory)).0, 201);
    }
    assert_eq!(act(&node, "first", "start").0, 200);
    let (status, problem) = act(&node, "second", "start");
    assert_eq!((status, problem["code"].as_str()), (503, Some("no_memory")), "{problem}");
    assert_eq!(act(&node, "first", "stop").0, 200);
    assert_eq!(act(&node, "second", "start").0, 200);
    let broken = images.add(b"\x7fELF that is none");
    assert_eq!(act(&node, "second", "stop").0, 200);
    assert_eq!(ensure(&node, "broken", &spec(&broken, 64)).0, 201);
    let (status, problem) = act(&node, "broken", "start");
    assert_eq!((status, problem["code"].as_str()), (502, Some("vmm_failed")), "{problem}");
    assert!(vmms(&node).is_empty(), "{}", node.log());
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_vm_gets_disks_and_a_layer_of_its_own_only_where_the_node_has_a_disk_for_it() {
    let (Some(tpm), Some(images)) = (Swtpm::provisioned("sha256"), Images::build()) else { return };
    let image = images.add(&[7; 4096]);
    let with = |access: &str| {
        let mut spec = images.spec();
        spec["disks"] = json!([{ "image": image, "access": access }]);
        spec
    };
    let without_disk = Garantd::start(&tpm.address(), &images.options());
    assert_eq!(ensure(&without_disk, "reads", &with("read_only")).0, 201);
    assert_eq!(act(&without_disk, "reads", "start").0, 200, "{}", without_disk.log());
    assert_eq!(ensure(&without_disk, "writes", &with("overlay")).0, 201);
    assert_eq!(act(&without_disk, "writes", "start").1["code"].as_str(), Some("not_allowed"));
    drop(without_disk);

    let Some(tpm) = Swtpm::provisioned("sha256") else { return };
    let state = tempfile::tempdir().unwrap();
    let options = format!("state_dir = '{}'\n{}", state.path().display(), images.options());
    let node = Garantd::start(&tpm.address(), &options);
    assert_eq!(ensure(&node, "writes", &with("overlay")).0, 201);
    assert_eq!(act(&node, "writes", "start").0, 200, "{}", node.log());
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0, "a layer has no name, and is gone with its VM");
}

#[test]
fn a_verifier_sees_what_ran_and_what_runs_and_a_stranger_only_that_something_does() {
    let Some((tpm, images, node)) = node() else { return };
    let verifier = Verifier::of(&tpm);
    assert!(verifier.enroll(&node.address.to_string()).status.success());
    let workload = |address: &str| {
        let shown = verifier.verify(address, &[]);
        let verdict: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(verdict["parts"]["boot"]["answer"].as_str(), Some("yes"), "{verdict}");
        verdict["parts"]["workload"].clone()
    };
    let local = format!("unix:{}", node.socket().display());
    let nothing = workload(&local);
    for id in ["ran", "runs"] {
        assert_eq!(ensure(&node, id, &images.spec()).0, 201);
        assert_eq!(act(&node, id, "start").0, 200);
    }
    assert_eq!(act(&node, "ran", "stop").0, 200);
    acts(&node, 6);
    assert_eq!(nothing["links"].to_string(), "[]");
    let shown = workload(&local);
    let links = shown["links"].to_string();
    let kernel = &images.kernel;
    for words in [
        "6 entries in 6 commits of the ledger replay to its PCR".to_owned(),
        format!("runs runs (generation 1), kernel {kernel}, since"),
        format!("ran ran (generation 1), kernel {kernel}, from"),
    ] {
        assert!(links.contains(&words), "{words}: {shown}");
    }
    let by_stranger = workload(&node.address.to_string());
    assert!(!by_stranger.to_string().contains(kernel), "{by_stranger}");
    assert!(by_stranger["reasons"].to_string().contains("hidden bodies: 6"), "{by_stranger}");
}

#[test]
fn a_person_has_the_node_run_a_vm_by_command_line() {
    let Some((_tpm, images, node)) = node() else { return };
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("web.json");
    fs::write(&spec, images.spec().to_string()).unwrap();
    let socket = node.socket().display().to_string();
    let garant = |words: &[&str]| garant_tests::garant::garant(&[&["vm", "--socket", &socket], words].concat());
    let started = garant(&["ensure", "web-1", "-f", spec.to_str().unwrap(), "--start", "--json"]);
    assert!(started.status.success(), "{started:?}");
    let listed = String::from_utf8(garant(&["list"]).stdout).unwrap();
    assert!(listed.contains("web-1") && listed.contains("running"), "{listed}");
    assert!(console_with(&node, "web-1", "up").contains("up"));
    let console = garant(&["console", "web-1"]);
    assert!(String::from_utf8_lossy(&console.stdout).contains("up"), "{console:?}");
    let refused = garant(&["resume", "nobody"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nobody"), "{refused:?}");
    for words in [["pause", "web-1"], ["resume", "web-1"], ["stop", "web-1"], ["delete", "web-1"]] {
        let done = garant(&words);
        assert!(done.status.success(), "{words:?}: {done:?}");
    }
    assert!(vmms(&node).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_holds_entries_asks_only_for_those_that_came_since() {
    let Some((_tpm, images, node)) = node() else { return };
    let address = format!("unix:{}", node.socket().display()).parse().unwrap();
    let link = Link::dial(&address, None).await.unwrap();
    let mut session = Session::new(link, Clock::of_this_boot().unwrap());
    let mut held = Ledger::default();
    for (id, entries_then, messages_then) in [("first", 2, 1), ("second", 4, 2)] {
        assert_eq!(ensure(&node, id, &images.spec()).0, 201);
        assert_eq!(act(&node, id, "start").0, 200, "{}", node.log());
        acts(&node, entries_then);
        let memory = Memory::default();
        let (sent, answer) = session.ask(Mode::Fresh, &memory).await.unwrap();
        let now = session.now().unwrap();
        let answered = sent.spend(&FastEngine, &answer, &memory, &[], &now).unwrap();
        held = held.go_on(&mut session, &answered.verified).await;
        assert_eq!((held.entries().len(), held.messages().count()), (entries_then, messages_then));
        let sent = held.entries();
        let workload = Workload::replay(&FastEngine, answered.verified.commits(), &sent);
        assert_eq!((workload.problem(), workload.runs().len()), (None, messages_then));
    }
}
