//! What a real node says of itself, and that it keeps to it: KVM is believed when a guest has shown it, and not before.

use garant_tests::{
    garant::garant,
    garantd::Garantd,
    swtpm::Swtpm,
    vms::{Images, act, ask_json, console_with, ensure, vmms},
};
use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// A node that is started behind these words, prefers KVM, and may run VMs in software.
fn node(words: &[&str]) -> Option<(Swtpm, Images, Garantd)> {
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let options = images.options().replace("['tcg']", "['kvm', 'tcg']");
    let node = Garantd::start_within(words, &tpm.address(), &options);
    Some((tpm, images, node))
}

fn check(node: &Garantd, name: &str) -> Value {
    let (status, found) = ask_json(node, "GET", "/v1/node", &Value::Null);
    assert_eq!(status, 200, "{found}");
    let checks = found["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).cloned().unwrap_or_else(|| panic!("no {name} in {found}"))
}

/// What was found out about KVM.
fn kvm(node: &Garantd) -> Value {
    let started = Instant::now();
    loop {
        let found = check(node, "kvm");
        if found["state"] != "trying" {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{found}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn with_accelerator(images: &Images, accelerator: &str) -> Value {
    let mut spec = images.spec();
    spec["accelerator"] = json!(accelerator);
    spec
}

#[test]
fn kvm_works_where_a_guest_showed_it_and_else_nothing_is_started_on_it() {
    let Some((_tpm, images, node)) = node(&[]) else { return };
    // Nobody waits for the answer by himself: who asks early is answered when it is known.
    let asked = ensure(&node, "fast", &with_accelerator(&images, "kvm"));
    let found = kvm(&node);
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_hardware = ["vmx", "svm"].iter().any(|flag| processor.split_whitespace().any(|word| word == *flag));
    if found["state"] == "works" {
        assert_eq!(asked.0, 201, "{}", asked.1);
        assert_eq!(act(&node, "fast", "start").0, 200, "{}", node.log());
        assert!(console_with(&node, "fast", "up").contains("up"));
        return;
    }
    println!("KVM does not work here, of which this is the test: {found}");
    assert!(!has_hardware || !fs::exists("/dev/kvm").unwrap_or(false), "{found}");
    assert_eq!(found["state"], "missing", "{found}");
    assert!(found["detail"].as_str().is_some_and(|detail| !detail.is_empty()) && found["next"].is_string(), "{found}");
    let (status, problem) = asked;
    assert_eq!(
        (status, problem["code"].as_str(), problem["fault"].as_str()),
        (422, Some("accelerator_not_working"), Some("node")),
        "{problem}"
    );
    assert_eq!(ensure(&node, "any", &images.spec()).0, 201);
    assert_eq!(act(&node, "any", "start").0, 200, "{}", node.log());
    assert!(console_with(&node, "any", "up").contains("up"), "software runs it");
    assert_eq!(vmms(&node).len(), 1, "the guest that was to show it is gone");
}

#[test]
fn a_device_that_opens_and_is_no_kvm_is_not_believed() {
    if !fs::exists("/dev/kvm").unwrap_or(false) {
        println!("SKIPPED: no /dev/kvm to put another file over");
        return;
    }
    let hide = "mount --bind /dev/null /dev/kvm && exec \"$0\" \"$@\"";
    let Some((_tpm, images, node)) = node(&["unshare", "--mount", "sh", "-c", hide]) else { return };
    let found = kvm(&node);
    assert_eq!(found["state"], "missing", "{found}");
    assert_eq!(ensure(&node, "fast", &with_accelerator(&images, "kvm")).1["code"], "accelerator_not_working");
}

#[test]
fn a_person_is_told_what_works_and_what_to_do_about_the_rest() {
    let (Some(tpm), Some(images)) = (Swtpm::provisioned("sha256"), Images::build()) else { return };
    let node = Garantd::start(&tpm.address(), &images.options());
    assert_eq!(check(&node, "kvm")["state"], "off", "it is not tried where nobody wants it");
    for (name, state) in
        [("tcg", "works"), ("images", "works"), ("vmm", "works"), ("vtpm", "off"), ("state_disk", "off")]
    {
        assert_eq!(check(&node, name)["state"], state, "{name}");
    }
    let evidence = check(&node, "evidence");
    assert!(evidence["state"] == "missing" && evidence["detail"].to_string().contains("boot log"), "{evidence}");
    let socket = node.socket().display().to_string();
    let shown = garant(&["node", "--socket", &socket, "check"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.status.code(), Some(1), "the boot log is missing: {text}");
    assert!(text.lines().any(|line| line.starts_with("tcg") && line.contains("works")), "{text}");
    assert!(text.contains("-> mount securityfs"), "{text}");
    let json = garant(&["node", "--socket", &socket, "check", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json, ask_json(&node, "GET", "/v1/node", &Value::Null).1);
}

const PATIENCE: Duration = Duration::from_secs(60);
