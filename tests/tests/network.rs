//! Networks of VMs on a real node: it lives in a network namespace whose one cable leads to another, where somebody answers.

use garant_tests::{
    garantd::Garantd,
    linux_guest::LinuxGuest,
    swtpm::Swtpm,
    vms::{Images, act, ask_json, console_with, ensure, state, vmms},
    world::{Place, World},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::UdpSocket,
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const BRIDGE: &str = "[[vms.network]]\nname = 'lan'\nkind = 'bridge'\nbridge = 'br0'\nuplink = 'up0'\n\
    subnet = '10.77.0.0/24'\ngateway = '10.77.0.1'\n";
const PATIENCE: Duration = Duration::from_secs(180);

/// A node behind a cable, and who answers at its other end.
struct Site {
    node: Garantd,
    images: Images,
    here: Place,
    heard: Heard,
    _tpm: Swtpm,
    _world: World,
}

/// What came from which address, and how often.
type Heard = Arc<Mutex<BTreeMap<(String, String), usize>>>;

impl Site {
    fn open(networks: &str) -> Option<Site> {
        let (tpm, images, world) = (Swtpm::provisioned("sha256")?, Images::build()?, World::open()?);
        let (here, outside) = (world.place([10, 66, 0, 1]), world.place([10, 66, 0, 2]));
        here.cable("up0", &outside, "out0");
        outside.ip(&["address", "add", "10.77.0.1/24", "dev", "out0"]);
        outside.ip(&["link", "set", "out0", "up"]);
        let socket = outside.run(|| UdpSocket::bind("10.77.0.1:7777")).unwrap();
        let heard = Heard::default();
        let kept = Arc::clone(&heard);
        thread::spawn(move || answer(&socket, &kept));
        let options = format!("{}{networks}", images.options());
        let node = Garantd::start_within(&here.words(), &tpm.address(), &options);
        Some(Site { node, images, here, heard, _tpm: tpm, _world: world })
    }

    fn start(&self, id: &str, spec: &Value) -> Value {
        let (status, vm) = ensure(&self.node, id, spec);
        assert_eq!(status, 201, "{vm}");
        let (status, vm) = act(&self.node, id, "start");
        assert_eq!(status, 200, "{vm}: {}", self.node.log());
        vm
    }

    fn count(&self, from: &str, word: &str) -> usize {
        self.heard.lock().unwrap().get(&(from.to_owned(), word.to_owned())).copied().unwrap_or_default()
    }

    /// Waits until this was heard so often.
    fn hear(&self, from: &str, word: &str, times: usize) {
        let started = Instant::now();
        while self.count(from, word) < times {
            let shown = |id: &str| console_with(&self.node, id, "");
            let consoles = ["a", "b"].map(shown).join("\n--\n");
            assert!(started.elapsed() < PATIENCE, "{from} does not say {word}: {:?}\n{consoles}", self.heard);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Answers whoever asks, for as long as the test lasts.
fn answer(socket: &UdpSocket, heard: &Heard) {
    let mut buffer = [0; 64];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let word = String::from_utf8_lossy(&buffer[..length]).into_owned();
        *heard.lock().unwrap().entry((from.ip().to_string(), word)).or_default() += 1;
        let _ = socket.send_to(b"answer", from);
    }
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_linux_guests_reach_the_outside_by_their_own_addresses_and_not_each_other() {
    let Some(site) = Site::open(BRIDGE) else { return };
    let Some(linux) = LinuxGuest::build(&site.images) else { return };
    let words =
        |own: &str, neighbour: &str| format!("address={own} peer=10.77.0.1 as=10.77.0.99 neighbour={neighbour}");
    let nic = |address: &str| json!([{ "network": "lan", "address": address }]);
    let a = linux.spec("microvm", &nic("10.77.0.2"), &words("10.77.0.2", "10.77.0.3"));
    let b = linux.spec("q35", &nic("10.77.0.3"), &words("10.77.0.3", "10.77.0.2"));
    let vm = site.start("a", &a);
    let interface = &vm["nics"][0];
    let (address, gateway) = (interface["address"].as_str(), interface["gateway"].as_str());
    assert_eq!((address, gateway), (Some("10.77.0.2"), Some("10.77.0.1")), "{vm}");
    site.start("b", &b);
    for (id, address) in [("a", "10.77.0.2"), ("b", "10.77.0.3")] {
        site.hear(address, "ask", 5);
        let console = console_with(&site.node, id, "heard: answer");
        assert!(console.contains("heard: answer"), "{id}: {console}");
    }
    site.hear("10.77.0.2", "ask", 10);
    site.hear("10.77.0.3", "ask", 10);
    assert_eq!(site.count("10.77.0.99", "false"), 0, "nobody has this address");
    for id in ["a", "b"] {
        let console = console_with(&site.node, id, "heard: answer");
        assert!(console.contains("asked") && !console.contains("heard: neighbour"), "{id}: {console}");
    }
    // The server may die; what it had the keeper do stays, and the next one does not undo it.
    site.node.kill_server();
    site.node.wait_until_ready();
    let before = site.count("10.77.0.2", "ask");
    site.hear("10.77.0.2", "ask", before + 5);
    assert_eq!(act(&site.node, "a", "stop").1["state"].as_str(), Some("stopped"));
    assert_eq!(act(&site.node, "a", "start").0, 200, "its addresses are free: {}", site.node.log());
    assert_eq!(vmms(&site.node).len(), 2);
}

#[test]
fn a_user_network_reaches_what_the_node_reaches_only_where_the_operator_says_so() {
    let networks = "[[vms.network]]\nname = 'open'\nkind = 'user'\nreach = 'outside'\n\
        [[vms.network]]\nname = 'shut'\nkind = 'user'\n";
    let Some(site) = Site::open(networks) else { return };
    let Some(linux) = LinuxGuest::build(&site.images) else { return };
    // The node's own loopback is what QEMU shows its guest as 10.0.2.2.
    let socket = site.here.run(|| UdpSocket::bind("127.0.0.1:7777")).unwrap();
    let heard = site.heard.clone();
    thread::spawn(move || answer(&socket, &heard));
    let words = "address=10.0.2.15 peer=10.0.2.2";
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let shut = site.start("a", &linux.spec("microvm", &json!([{ "network": "shut" }]), words));
    assert_eq!(shut["nics"][0]["address"].as_str(), Some("10.0.2.15"), "{shut}");
    let shut = vmms(&site.node)[0];
    assert_ne!(namespace(shut), namespace(site.node.keeper_pid()));
    let asked = || console_with(&site.node, "a", "").matches("asked").count();
    wait_until("the guest does not ask", || asked() >= 10);
    assert!(site.heard.lock().unwrap().is_empty(), "{:?}", site.heard);
    assert_eq!(act(&site.node, "a", "stop").0, 200);
    site.start("b", &linux.spec("q35", &json!([{ "network": "open" }]), words));
    site.hear("127.0.0.1", "ask", 3);
    assert_eq!(namespace(vmms(&site.node)[0]), namespace(site.node.keeper_pid()));
}

#[test]
fn nothing_of_a_vms_network_outlives_its_vmm_or_the_keeper() {
    let Some(site) = Site::open(BRIDGE) else { return };
    let mut spec = site.images.spec();
    spec["nics"] = json!([{ "network": "lan" }, { "network": "lan" }]);
    let vm = site.start("a", &spec);
    let macs = [0, 1].map(|number| vm["nics"][number]["mac"].as_str().unwrap().to_owned());
    assert!(site.here.has_interface("gtap1") && site.here.has_interface("gtap2"), "{}", site.node.log());
    let entries = || site.here.bridge_entries();
    let has_entry = |mac: &String| entries().lines().any(|line| line.contains(mac) && line.contains("static"));
    assert!(macs.iter().all(has_entry), "{macs:?} in {}", entries());
    site.node.kill_server();
    kill(vmms(&site.node)[0]);
    site.node.wait_until_ready();
    let is_left = || site.here.has_interface("gtap1") || site.here.has_interface("gtap2");
    wait_until("interfaces are left of a killed VMM", || !is_left());
    assert!(!macs.iter().any(|mac| entries().contains(mac)), "{}", entries());
    wait_until("its end is not seen", || state(&site.node, "a").0 == "failed");

    let (status, again) = act(&site.node, "a", "start");
    assert_eq!((status, &again["nics"]), (200, &vm["nics"]), "the same interfaces: {}", site.node.log());
    assert!(site.here.has_interface("gtap3"));
    let vmm = vmms(&site.node)[0];
    kill(site.node.keeper_pid());
    wait_until("a VMM outlives the keeper", || !fs::exists(format!("/proc/{vmm}")).unwrap());
    wait_until("interfaces outlive the keeper", || {
        !site.here.has_interface("gtap3") && !site.here.has_interface("gtap4")
    });
    assert!(site.here.has_interface("br0"));
}

#[test]
fn an_interface_that_cannot_be_is_refused_with_who_is_at_fault() {
    let Some(site) = Site::open(BRIDGE) else { return };
    let with = |nics: Value| {
        let mut spec = site.images.spec();
        spec["nics"] = nics;
        spec
    };
    let lan = |field: &str, value: &str| json!([{ "network": "lan", field: value }]);
    assert_eq!(ensure(&site.node, "first", &with(lan("address", "10.77.0.5"))).0, 201);
    for (nics, status, code) in [
        (json!([{ "network": "wan" }]), 422, "unknown_network"),
        (lan("address", "10.77.0.5"), 409, "address_taken"),
        (lan("address", "10.77.0.1"), 409, "address_taken"),
        (lan("address", "10.78.0.1"), 409, "address_taken"),
        (lan("address", "::1"), 400, "invalid_spec"),
        (lan("mac", "ff:ff:ff:ff:ff:ff"), 400, "invalid_spec"),
        (lan("mac", "02:00:00:00:00:01,ifname=eth0"), 400, "invalid_spec"),
        (json!(vec![json!({ "network": "lan" }); 5]), 400, "invalid_spec"),
    ] {
        let (found, problem) = ensure(&site.node, "other", &with(nics));
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    assert_eq!(ask_json(&site.node, "GET", "/v1/vms/other", &Value::Null).0, 404);
    // Somebody pulls the plug while the node runs: a start says so, and works again once it is back.
    site.here.ip(&["link", "delete", "up0"]);
    let (status, problem) = act(&site.node, "first", "start");
    assert_eq!((status, problem["fault"].as_str()), (503, Some("node")), "{problem}");
    assert!(site.node.log().contains("there is no uplink up0"), "{}", site.node.log());
    site.here.ip(&["link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
    assert_eq!(act(&site.node, "first", "start").0, 200, "{}", site.node.log());
}
