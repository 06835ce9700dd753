//! What nobody would send in good faith, over the node's own socket: refused with 4xx, changes nothing, ends nothing.

use garant_tests::{
    garantd::Garantd,
    swtpm::Swtpm,
    vms::{Images, ask, ask_json, ensure, vmms},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

fn node() -> Option<(Swtpm, Images, Garantd)> {
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let node = Garantd::start(&tpm.address(), &images.options());
    Some((tpm, images, node))
}

/// What the node has: its VMs, the number of their last event, its server's process.
fn inventory(node: &Garantd) -> (Value, Option<u32>, Vec<u32>) {
    (ask_json(node, "GET", "/v1/vms", &Value::Null).1, node.server_pid(), vmms(node))
}

/// A body that is a spec but for what replaces `from`.
fn with(images: &Images, from: &str, to: &str) -> String {
    let disk = json!({ "image": images.kernel, "access": "read_only" });
    let mut spec = images.spec();
    spec["disks"] = json!([disk]);
    let body = json!({ "generation": 1, "spec": spec }).to_string();
    assert!(body.contains(from), "{from} is not in {body}");
    body.replacen(from, to, 1)
}

/// Bytes that hyper reads as a path, or refuses.
fn ids() -> Vec<String> {
    let mut ids: Vec<String> =
        ["..", ".", "../vms", "%2e%2e", "a%2fb", "a%00", "A", "a_b", "-a", "a.b", "a,b", "a;b", "a=b", "%", "*", "~"]
            .map(str::to_owned)
            .into();
    ids.extend(["a".repeat(64), "a".repeat(4096), "a/../b".into(), "a//".into(), "/etc/passwd".into(), "ä".into()]);
    ids
}

#[test]
fn an_id_that_is_a_path_or_too_long_is_no_vm_by_any_method() {
    let Some((_tpm, images, node)) = node() else { return };
    let before = inventory(&node);
    let body = json!({ "generation": 1, "spec": images.spec() }).to_string();
    for id in ids() {
        for (method, end, body) in [
            ("PUT", "", body.as_str()),
            ("GET", "", ""),
            ("DELETE", "", r#"{"generation":1}"#),
            ("POST", "/start", r#"{"generation":1}"#),
            ("GET", "/console", ""),
        ] {
            let (status, _) = ask(&node, method, &format!("/v1/vms/{id}{end}"), body.as_bytes());
            assert!((400..500).contains(&status), "{method} {id}{end}: {status}");
        }
    }
    for after in ["-1", "+1", "1e3", "0x1", "18446744073709551616", "99999999999999999999", "a", "1.5", "%31"] {
        assert_eq!(ask(&node, "GET", &format!("/v1/events/{after}"), b"").0, 400, "{after}");
    }
    assert_eq!(ask(&node, "GET", "/v1/events/18446744073709551615", b"").0, 404, "an event that is still to come");
    assert_eq!(inventory(&node), before);
}

#[test]
fn a_body_that_is_not_exactly_a_request_is_refused_and_changes_nothing() {
    let Some((_tpm, images, node)) = node() else { return };
    assert_eq!(ensure(&node, "there", &images.spec()).0, 201);
    let before = inventory(&node);
    let kernel = images.kernel.clone();
    let nested = |open: &str, close: &str| open.repeat(7_000) + &close.repeat(7_000);
    let replaced: Vec<String> = [
        ("\"generation\":1", "\"generation\":1,\"generation\":1"),
        ("\"vcpus\":1", "\"vcpus\":1,\"vcpus\":1"),
        ("\"command_line\":", "\"command_line\":\"\",\"command_line\":"),
        ("\"vcpus\":1", "\"vcpus\":\"1\""),
        ("\"vcpus\":1", "\"vcpus\":1.5"),
        ("\"generation\":1", "\"generation\":0.5"),
        ("\"vcpus\":1", "\"vcpus\":-1"),
        ("\"vcpus\":1", "\"vcpus\":1e30"),
        ("\"vcpus\":1", "\"vcpus\":true"),
        ("\"vcpus\":1", "\"vcpus\":null"),
        ("\"vcpus\":1", "\"vcpus\":[1]"),
        ("\"vcpus\":1", "\"vcpus\":1,\"limits\":[50]"),
        ("\"vcpus\":1", "\"vcpus\":1,\"nics\":[[\"lan\",null,null]]"),
        ("\"vcpus\":1", "\"vcpus\":1,\"nics\":[{\"network\":\"lan,ifname=tap0\"}]"),
        ("\"vcpus\":1", "\"vcpus\":1,\"limits\":{\"cpu_percent\":0}"),
        ("\"vcpus\":1", "\"vcpus\":1,\"__proto__\":{}"),
        ("\"memory_mib\":64", "\"memory_mib\":18446744073709551616"),
        ("\"generation\":1", "\"generation\":18446744073709551616"),
        ("\"generation\":1", "\"generation\":1,\"force\":true"),
        ("console=ttyS0", "a\\u0000b"),
        ("console=ttyS0", "a\\nb"),
        ("console=ttyS0", "\\ud800"),
        ("console=ttyS0", "a\u{e9}"),
        ("\"access\":\"read_only\"", "\"access\":\"read_only,if=none\""),
        ("\"access\":\"read_only\"", "\"access\":\"read_only\",\"path\":\"/etc/shadow\""),
        ("\"machine\":\"microvm\"", "\"machine\":\"microvm,accel=kvm\""),
        ("\"machine\":\"microvm\"", "\"machine\":\"none\""),
        (&*kernel, "sha256:../../../../etc/passwd"),
        (&*kernel, "/etc/passwd"),
        (&*kernel, &kernel.to_uppercase()),
        (&*kernel, &format!("{kernel},file=/etc/shadow")),
        (&*kernel, &format!("{kernel}\\u0000")),
    ]
    .iter()
    .map(|(from, to)| with(&images, from, to))
    .collect();
    let whole = [
        String::new(),
        "null".into(),
        "1".into(),
        "\"generation\"".into(),
        format!("[1,{}]", images.spec()),
        format!("{{\"generation\":1,\"spec\":[\"microvm\",null,1,64,[\"{kernel}\",null,\"\"],[]]}}"),
        with(&images, "{", ""),
        with(&images, "}", "}}"),
        with(&images, "{", "\u{feff}{"),
        nested("[", "]"),
        nested("{\"spec\":", "}"),
        format!("{{\"generation\":1,\"spec\":{}}}", nested("[", "]")),
        format!("{{\"generation\":1,\"spec\":{{\"vcpus\":{}}}}}", "9".repeat(60_000)),
    ];
    for body in replaced.iter().chain(&whole) {
        let (status, problem) = ask(&node, "PUT", "/v1/vms/new", body.as_bytes());
        let shown = String::from_utf8_lossy(&problem).into_owned();
        assert_eq!(status, 400, "{}: {shown}", &body[..body.len().min(300)]);
        let problem: Value = serde_json::from_slice(&problem).unwrap();
        assert_eq!((problem["code"].as_str(), problem["fault"].as_str()), (Some("invalid_spec"), Some("caller")));
        assert!(problem["detail"].as_str().unwrap().len() <= 1024);
    }
    assert_eq!(ask(&node, "PUT", "/v1/vms/new", b"{\"generation\":1,\"spec\":\xff}").0, 400);
    for body in [
        "",
        "[1]",
        "{}",
        "{\"generation\":\"1\"}",
        "{\"generation\":1,\"generation\":1}",
        "{\"generation\":1,\"grace_s\":1}",
    ] {
        assert_eq!(ask(&node, "POST", "/v1/vms/there/start", body.as_bytes()).0, 400, "{body}");
    }
    assert_eq!(inventory(&node), before);
}

#[test]
fn a_body_without_end_or_measure_is_refused_before_it_is_read() {
    let Some((_tpm, images, node)) = node() else { return };
    let before = inventory(&node);
    let disks: Vec<Value> = vec![json!({ "image": images.kernel, "access": "read_only" }); 10_000];
    let mut spec = images.spec();
    spec["disks"] = json!(disks);
    assert_eq!(ensure(&node, "many", &spec).0, 413);
    let mut spec = images.spec();
    spec["disks"] = json!(disks[..9]);
    assert_eq!(ensure(&node, "nine", &spec).0, 400);
    spec = images.spec();
    spec["kernel"]["command_line"] = json!("x".repeat(10_000_000));
    assert_eq!(ensure(&node, "long", &spec).0, 413);
    spec["kernel"]["command_line"] = json!("x".repeat(1537));
    assert_eq!(ensure(&node, "longer", &spec).0, 400);
    // It says that 10 GB follow, or says nothing and goes on.
    for head in ["content-length: 10000000000", "transfer-encoding: chunked"] {
        let mut stream = UnixStream::connect(node.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "PUT /v1/vms/endless HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n").unwrap();
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        let sent = (0..10_000).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
        assert!(sent < 10_000, "40 MB were taken");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // What was sent meanwhile may cut the answer off.
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(inventory(&node), before);
}

#[test]
fn a_path_or_a_method_that_is_none_is_said_so_with_what_there_is() {
    let Some((_tpm, _images, node)) = node() else { return };
    let code = |method: &str, path: &str| {
        let (status, problem) = ask_json(&node, method, path, &Value::Null);
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    };
    for path in ["/v1/vms/a/b", "/v1/vms/a/delete", "/v1/vms/a/start/now", "/v1/events/1/2", "/v1/openapi.json/"] {
        assert_eq!(code("GET", path).0, 404, "{path}");
    }
    assert_eq!(code("GET", "/v1/vms/a/b"), (404, "unknown_path".into()));
    for (method, path) in [
        ("PUT", "/v1/vms"),
        ("DELETE", "/v1/vms"),
        ("POST", "/v1/vms/a"),
        ("GET", "/v1/vms/a/start"),
        ("POST", "/v1/vms/a/console"),
        ("POST", "/v1/events/0"),
        ("DELETE", "/v1/openapi.json"),
    ] {
        assert_eq!(code(method, path), (405, "wrong_method".into()), "{method} {path}");
    }
    assert_eq!(code("GET", "/v1/events"), (406, "not_acceptable".into()));
}

#[test]
fn the_document_that_describes_all_this_is_answered_by_the_node() {
    let Some((_tpm, _images, node)) = node() else { return };
    let (status, document) = ask_json(&node, "GET", "/v1/openapi.json", &Value::Null);
    assert_eq!((status, document["openapi"].as_str()), (200, Some("3.1.0")));
}
