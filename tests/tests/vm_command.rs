//! `garant vm` and `garant image` as a person or a script runs them, against a node that is nothing but the API's types.

use garant_api::{
    event::{Event, Events},
    problem::{self, Code, Problem},
    spec::{Ensure, VmId},
    vm::{self, Act, Level, List, State, Times, Verb, Vm},
};
use garant_channel::http::{self, Answer, Method, Request};
use garant_tests::garant::{command, garant};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{net::UnixListener, runtime::Runtime};

const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// A node without machines: it keeps what it is told, and says what it was asked.
struct Fake {
    /// With the questions after which each is where it was sent.
    vms: BTreeMap<VmId, (Vm, u32)>,
    events: Vec<Event>,
    first_kept: u64,
    asked: Vec<String>,
    /// Questions that a VM takes to get anywhere.
    steps: u32,
    /// Whether kernels boot here.
    kernels_boot: bool,
}

impl Fake {
    fn answer(&mut self, request: &Request) -> Result<Answer, Problem> {
        let body = String::from_utf8_lossy(&request.body);
        self.asked.push(format!("{} {} {body}", request.method, request.path));
        let parts: Vec<&str> = request.path.split('/').skip(2).collect();
        match (&request.method, &parts[..]) {
            (&Method::GET, ["vms"]) => {
                let vms = self.vms.values().map(|(vm, _)| vm.clone()).collect();
                json(&List { sequence: self.events.len() as u64, vms })
            }
            (&Method::GET, ["vms", id]) => json(&self.look(&name(id))?),
            (&Method::GET, ["vms", "odd", "console"]) => Ok(Answer::new(500, "text/html", "<h1>nginx</h1>")),
            (&Method::GET, ["vms", id, "console"]) => {
                self.look(&name(id))?;
                Ok(Answer::new(200, "text/plain", &b"Linux version 6.1\r\n\x1b[2J\xff login:"[..]))
            }
            (&Method::GET, ["events", after]) => {
                let after: u64 = after.parse().unwrap();
                let events = self.events.iter().filter(|event| event.sequence > after).cloned().collect();
                json(&Events { first_kept: self.first_kept, events })
            }
            (&Method::PUT, ["vms", id]) => self.ensure(name(id), &request.body),
            (&Method::DELETE, ["vms", id]) => self.act(&name(id), Verb::Delete, &request.body),
            (&Method::POST, ["vms", id, verb]) => self.act(&name(id), verb.parse().unwrap(), &request.body),
            other => panic!("{other:?}"),
        }
    }

    fn ensure(&mut self, id: VmId, body: &[u8]) -> Result<Answer, Problem> {
        let Ensure { generation, spec } = Ensure::from_json(body).map_err(|invalid| Problem::from(&invalid))?;
        match self.vms.get(&id) {
            Some((vm, _)) if vm.generation > generation => {
                Err(Problem::new(Code::GenerationPast, format!("{id} has {}", vm.generation), "ask for the newest"))
            }
            Some((vm, _)) if vm.generation == generation && vm.spec != spec => {
                Err(Problem::new(Code::OtherSpec, id, "count the generation up"))
            }
            Some((vm, _)) if vm.generation == generation => json(vm),
            _ => {
                let times = Times { accepted: 1_000, vmm_ready: None, running: None, guest_ready: None, ended: None };
                let vm = Vm {
                    id,
                    generation,
                    owner: None,
                    spec,
                    state: State::Defined,
                    reason: None,
                    degraded: None,
                    times,
                    nics: Vec::new(),
                    level: None,
                };
                json(&self.put(vm, 0))
            }
        }
    }

    fn act(&mut self, id: &VmId, verb: Verb, body: &[u8]) -> Result<Answer, Problem> {
        let act = Act::from_json(verb, body).map_err(|invalid| Problem::from(&invalid))?;
        let mut vm = self.look(id)?;
        if act.generation < vm.generation {
            return Err(Problem::new(Code::GenerationPast, id, "ask for the newest"));
        }
        vm.state = match verb {
            Verb::Start => State::Starting,
            Verb::Pause if vm.state != State::Running => {
                return Err(Problem::new(Code::WrongState, format!("{id} is {}", vm.state), "start it first"));
            }
            Verb::Pause => State::Paused,
            Verb::Resume => State::Running,
            Verb::Stop => State::Stopping,
            Verb::Delete => State::Deleted,
        };
        let vm = self.put(vm, self.steps);
        if verb == Verb::Delete {
            self.vms.remove(id);
        }
        json(&vm)
    }

    fn put(&mut self, vm: Vm, steps: u32) -> Vm {
        let sequence = self.events.len() as u64 + 1;
        let Vm { id, generation, state, reason, .. } = vm.clone();
        self.events.push(Event { sequence, time_ms: 1_800_000_000_000, id: id.clone(), generation, state, reason });
        self.vms.insert(id, (vm.clone(), steps));
        vm
    }

    fn look(&mut self, id: &VmId) -> Result<Vm, Problem> {
        let unknown = || Problem::new(Code::UnknownVm, id, "`garant vm list` shows all");
        let (mut vm, steps) = self.vms.get(id).cloned().ok_or_else(unknown)?;
        if steps > 1 {
            self.vms.insert(id.clone(), (vm.clone(), steps - 1));
        }
        if steps == 1 {
            (vm.state, vm.reason) = match vm.state {
                State::Starting if !self.kernels_boot => (State::Failed, Some("the kernel is none".to_owned())),
                State::Starting => (State::Running, None),
                State::Stopping => (State::Stopped, None),
                state => (state, None),
            };
            (vm.times.running, vm.level) = (Some(1_031), Some(Level::Cold));
            self.put(vm.clone(), 0);
        }
        Ok(vm)
    }
}

fn name(text: &str) -> VmId {
    text.parse().unwrap()
}

fn json(value: &impl Serialize) -> Result<Answer, Problem> {
    Ok(Answer::new(200, vm::MEDIA_TYPE, serde_json::to_vec(value).unwrap()))
}

/// The fake node at a socket, and a folder for files.
struct Node {
    folder: TempDir,
    fake: Arc<Mutex<Fake>>,
    server: Option<Runtime>,
}

impl Node {
    fn start() -> Node {
        let (vms, events, asked) = Default::default();
        let fake = Fake { vms, events, first_kept: 1, asked, steps: 3, kernels_boot: true };
        let folder = tempfile::tempdir().unwrap();
        let mut node = Node { folder, fake: Arc::new(Mutex::new(fake)), server: None };
        node.restart();
        node
    }

    /// Breaks all connections off, and listens no more.
    fn kill(&mut self) {
        drop(self.server.take());
    }

    fn restart(&mut self) {
        let _ = fs::remove_file(self.socket());
        let runtime = Runtime::new().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(self.socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(serve(listener, self.fake.clone()));
        self.server = Some(runtime);
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("garantd.sock")
    }

    /// A spec with this memory.
    fn spec(&self, memory_mib: u32) -> String {
        let path = self.folder.path().join(format!("{memory_mib}.toml"));
        let kernel = format!("[kernel]\nimage = '{DIGEST}'\ncommand_line = 'console=ttyS0'\n");
        fs::write(&path, format!("vcpus = 1\nmemory_mib = {memory_mib}\n{kernel}")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn vm(&self, arguments: &[&str]) -> Output {
        let socket = self.socket();
        garant(&[&["vm", "--socket", socket.to_str().unwrap()], arguments].concat())
    }

    /// What the node says, as JSON; the command has to end well.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.vm(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.fake.lock().unwrap().asked)
    }
}

async fn serve(listener: std::os::unix::net::UnixListener, fake: Arc<Mutex<Fake>>) {
    let listener = UnixListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let fake = fake.clone();
        tokio::spawn(http::serve(stream, 1 << 20, move |request| {
            let answer = fake.lock().unwrap().answer(&request);
            std::future::ready(answer.unwrap_or_else(|problem| {
                let body = serde_json::to_vec(&problem).unwrap();
                Answer::new(problem.status, problem::MEDIA_TYPE, body)
            }))
        }));
    }
}

fn refused(output: &Output) -> String {
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(3), true), "{output:?}");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.contains("error: "), "{said}");
    said
}

#[test]
fn a_vm_goes_through_its_life_by_commands() {
    let node = Node::start();
    let spec = node.spec(64);
    let ensured = node.json(&["ensure", "web-1", "-f", &spec]);
    assert_eq!((&ensured["state"], &ensured["generation"]), (&"defined".into(), &1.into()));
    let sent = format!(
        "{{\"generation\":1,\"spec\":{{\"machine\":\"microvm\",\"vcpus\":1,\"memory_mib\":64,\
         \"kernel\":{{\"image\":\"{DIGEST}\",\"command_line\":\"console=ttyS0\"}}}}}}"
    );
    assert_eq!(node.asked(), [format!("PUT /v1/vms/web-1 {sent}")]);
    for (arguments, asked, state) in [
        (&["start", "web-1"][..], r#"POST /v1/vms/web-1/start {"generation":1}"#, "starting"),
        (&["resume", "web-1"], r#"POST /v1/vms/web-1/resume {"generation":1}"#, "running"),
        (&["pause", "web-1"], r#"POST /v1/vms/web-1/pause {"generation":1}"#, "paused"),
        (&["stop", "web-1"], r#"POST /v1/vms/web-1/stop {"generation":1}"#, "stopping"),
        (&["stop", "web-1", "--grace", "5"], r#"POST /v1/vms/web-1/stop {"generation":1,"grace_s":5}"#, "stopping"),
        (&["delete", "web-1", "--generation", "7"], r#"DELETE /v1/vms/web-1 {"generation":7}"#, "deleted"),
    ] {
        assert_eq!(node.json(arguments)["state"], state, "{arguments:?}");
        assert_eq!(node.asked(), [asked]);
    }
    assert_eq!(node.json(&["list"])["vms"], Value::Array(Vec::new()));
}

#[test]
fn waiting_ends_when_the_vm_is_there_and_not_before() {
    let node = Node::start();
    let spec = node.spec(64);
    let started = node.json(&["ensure", "a", "-f", &spec, "--start"]);
    assert_eq!(started["state"], "starting");
    let said = refused(&node.vm(&["ensure", "a", "-f", &spec, "--wait"]));
    assert!(said.contains("--start"), "there is nothing to wait for: {said}");
    let waited = node.json(&["ensure", "b", "-f", &spec, "--start", "--wait"]);
    assert_eq!((&waited["state"], &waited["level"]), (&"running".into(), &"cold".into()));
    assert_eq!(node.json(&["start", "a", "--wait"])["state"], "running");
    assert_eq!(node.json(&["stop", "a", "--wait", "--timeout", "20"])["state"], "stopped");
    assert_eq!(node.json(&["delete", "a", "--wait"])["state"], "deleted");
    let text = String::from_utf8(node.vm(&["resume", "b", "--wait"]).stdout).unwrap();
    assert!(text.contains("running") && text.contains("31 ms after"), "{text}");
}

#[test]
fn waiting_for_what_will_not_come_is_an_error_that_says_why() {
    let node = Node::start();
    let spec = node.spec(64);
    node.fake.lock().unwrap().kernels_boot = false;
    let said = refused(&node.vm(&["ensure", "a", "-f", &spec, "--start", "--wait"]));
    assert!(said.contains("the VM is failed: the kernel is none") && said.contains("garant vm console a"), "{said}");
    node.fake.lock().unwrap().steps = u32::MAX;
    node.json(&["ensure", "b", "-f", &spec]);
    let started = Instant::now();
    let said = refused(&node.vm(&["stop", "b", "--wait", "--timeout", "1"]));
    assert!(said.contains("the VM is still stopping after 1 s") && said.contains("--timeout"), "{said}");
    assert!((1..20).contains(&started.elapsed().as_secs()));
}

#[test]
fn who_waits_while_the_server_is_restarted_waits_on() {
    let mut node = Node::start();
    node.fake.lock().unwrap().steps = u32::MAX;
    node.json(&["ensure", "a", "-f", &node.spec(64)]);
    let socket = node.socket();
    let arguments = ["vm", "--socket", socket.to_str().unwrap(), "start", "a", "--wait", "--json"];
    let waiting = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let is_asked_again = || node.fake.lock().unwrap().asked.iter().any(|asked| asked.starts_with("GET /v1/vms/a"));
    while !is_asked_again() {
        std::thread::sleep(Duration::from_millis(5));
    }
    node.kill();
    std::thread::sleep(Duration::from_millis(300));
    node.fake.lock().unwrap().vms.get_mut(&name("a")).unwrap().1 = 1;
    node.restart();
    let found: Value = serde_json::from_slice(&waiting.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(found["state"], "running");
}

#[test]
fn a_problem_is_told_with_its_code_who_is_at_fault_and_what_to_do() {
    let node = Node::start();
    let (spec, other) = (node.spec(64), node.spec(65));
    node.json(&["ensure", "web-1", "-f", &spec, "--generation", "3"]);
    for (arguments, words) in [
        (
            &["get", "nobody"][..],
            ["there is no such VM: nobody", "(unknown_vm, fault of the caller)", "garant vm list"],
        ),
        (
            &["ensure", "web-1", "-f", &other, "--generation", "3"],
            ["has another spec: web-1", "(other_spec, fault of the caller)", "count the generation up"],
        ),
        (&["ensure", "web-1", "-f", &spec], ["newer generation", "(generation_past", "ask for the newest"]),
        (&["pause", "web-1", "--generation", "3"], ["web-1 is defined", "(wrong_state", "start it first"]),
        (&["console", "odd"], ["the node answered 500: <h1>nginx</h1>", "odd at ", "the same release"]),
    ] {
        let said = refused(&node.vm(arguments));
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
        assert!(said.contains("where: ") && said.contains("next: "), "{said}");
    }
}

#[test]
fn hostile_names_and_specs_are_refused_before_anything_is_sent() {
    let node = Node::start();
    let spec = node.spec(64);
    for id in ["../web-1", "web/1", "web,1", "Web", "", "-x", &"x".repeat(64), "web%2f", "web 1"] {
        let said = refused(&node.vm(&["get", "--", id]));
        assert!(said.contains("1 to 63 of the characters a-z, 0-9 and -"), "{id}: {said}");
    }
    let file = node.folder.path().join("hostile");
    let good = fs::read_to_string(&spec).unwrap();
    let disk = format!("[[disks]]\nimage = '{DIGEST}'\naccess = 'overlay'\n");
    for (text, says) in [
        (good.replace("= 64", "= 8"), "memory_mib: expected a whole number from 16 to 1048576, found 8"),
        (good.replace("vcpus", "vcpu"), "unknown field `vcpu`"),
        (good.replace(DIGEST, "../../../etc/shadow,file=x"), "kernel: image: expected sha256: and 64 lower-case"),
        (good.replace("'console=ttyS0'", "\"a\\u0000b\""), "kernel: command_line: expected printable ASCII"),
        (good.replace("ttyS0", &"x".repeat(2_048)), "kernel: command_line: expected at most 1536 bytes"),
        (good.replace("ttyS0", &"x".repeat(10 * 1024 * 1024)), "is larger than the 65536 bytes that are read"),
        (format!("{good}{}", disk.repeat(9)), "disks: expected at most 8 disks, found more"),
        (format!("{good}{}", disk.repeat(10_000)), "is larger than the 65536 bytes that are read"),
        (format!("{{\"vcpus\":{}", "9".repeat(40)), "vcpus: invalid type: floating point"),
        ("{".repeat(60_000), "line 1, column 2"),
    ] {
        fs::write(&file, &text).unwrap();
        let said = refused(&node.vm(&["ensure", "web-1", "-f", file.to_str().unwrap()]));
        assert!(
            said.contains(says) && said.contains("garant vm ensure --example") | said.contains("the file you mean")
        );
        assert!(said.len() < 4096, "{} bytes are said of {}", said.len(), text.len());
    }
    let said = refused(&node.vm(&["stop", "web-1", "--grace", "601"]));
    assert!(said.contains("from 0 to 600"), "{said}");
    assert_eq!(node.asked(), Vec::<String>::new());
}

#[test]
fn the_example_can_be_ensured_as_it_is_and_as_json_from_standard_input() {
    let node = Node::start();
    let example = garant(&["vm", "ensure", "--example"]);
    assert_eq!(example.status.code(), Some(0));
    let file = node.folder.path().join("example.toml");
    fs::write(&file, &example.stdout).unwrap();
    let ensured = node.json(&["ensure", "web-1", "-f", file.to_str().unwrap()]);
    assert_eq!(ensured["spec"]["disks"][1]["access"], "overlay");
    let socket = node.socket();
    let arguments = ["vm", "--socket", socket.to_str().unwrap(), "ensure", "web-2", "-f", "-", "--json"];
    let mut again = command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    again.stdin.take().unwrap().write_all(ensured["spec"].to_string().as_bytes()).unwrap();
    let again: Value = serde_json::from_slice(&again.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(again["spec"], ensured["spec"]);
}

#[test]
fn what_a_guest_said_is_shown_and_commands_no_terminal() {
    let node = Node::start();
    node.json(&["ensure", "a", "-f", &node.spec(64)]);
    let text = String::from_utf8(node.vm(&["console", "a"]).stdout).unwrap();
    assert_eq!(text, "Linux version 6.1\n[2J\u{fffd} login:\n");
    assert_eq!(node.json(&["console", "a"])["console"], "Linux version 6.1\r\n\u{1b}[2J\u{fffd} login:");
}

#[test]
fn a_vm_is_shown_with_what_it_is_and_all_vms_in_a_table() {
    let node = Node::start();
    assert_eq!(node.vm(&["list"]).stdout, b"no VMs\n");
    let spec = node.spec(64);
    node.json(&["ensure", "web-1", "-f", &spec, "--start", "--wait"]);
    let text = String::from_utf8(node.vm(&["get", "web-1"]).stdout).unwrap();
    for line in
        ["state        running", "microvm, 1 vCPUs, 64 MiB", DIGEST, "running      31 ms later", "served       cold"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let table = String::from_utf8(node.vm(&["list"]).stdout).unwrap();
    assert!(table.lines().nth(1).is_some_and(|line| line.starts_with("web-1 ") && line.contains("running")), "{table}");
}

#[test]
fn a_watcher_sees_all_vms_then_every_change_and_a_gap_where_it_missed_some() {
    let node = Node::start();
    let spec = node.spec(64);
    node.json(&["ensure", "a", "-f", &spec]);
    let socket = node.socket();
    let arguments = ["vm", "--socket", socket.to_str().unwrap(), "watch", "--json"];
    let mut watcher = command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let listed = next();
    assert_eq!((&listed["id"], listed.get("spec").is_some()), (&"a".into(), true));
    node.json(&["start", "a"]);
    let event = next();
    assert_eq!((&event["id"], &event["state"], &event["sequence"]), (&"a".into(), &"starting".into(), &2.into()));
    {
        let mut fake = node.fake.lock().unwrap();
        let template = fake.events.last().unwrap().clone();
        fake.events.extend((3..=9).map(|sequence| Event { sequence, ..template.clone() }));
        fake.events.retain(|event| event.sequence >= 6);
        fake.first_kept = 6;
    }
    let gap = next();
    assert_eq!((&gap["after"], &gap["first_kept"]), (&2.into(), &6.into()));
    assert_eq!(next()["id"], "a", "all VMs anew");
    watcher.kill().unwrap();
    watcher.wait().unwrap();
}

#[test]
fn a_node_that_is_not_there_is_said_so_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none");
    for verb in [&["list"][..], &["get", "a"], &["watch"], &["start", "a"]] {
        let said = refused(&garant(&[&["vm", "--socket", socket.to_str().unwrap()], verb].concat()));
        assert!(said.contains("cannot be reached") && said.contains("start garantd"), "{said}");
    }
}

#[test]
fn every_subcommand_explains_itself_and_half_a_command_line_is_an_error() {
    for verb in ["ensure", "start", "pause", "resume", "stop", "delete", "get", "list", "console", "watch"] {
        let help = garant(&["vm", verb, "--help"]);
        let text = String::from_utf8_lossy(&help.stdout);
        let example = format!("  garant vm {verb}");
        assert!(help.status.success() && text.contains("--socket") && text.contains(&example), "{verb}: {text}");
    }
    for wrong in [
        &["vm"][..],
        &["vm", "ensure"],
        &["vm", "ensure", "a"],
        &["vm", "ensure", "-f", "x"],
        &["vm", "ensure", "a", "-f", "x", "--example"],
        &["vm", "start"],
        &["vm", "start", "a", "--timeout", "3"],
        &["vm", "start", "a", "--grace", "3"],
        &["image"],
        &["image", "add"],
    ] {
        assert_eq!(garant(wrong).status.code(), Some(3), "{wrong:?}");
    }
}

fn image(store: &Path, arguments: &[&str]) -> Output {
    garant(&[&["image", "--store", store.to_str().unwrap()], arguments].concat())
}

#[test]
fn an_image_is_kept_under_the_digest_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("not/there/yet");
    assert!(String::from_utf8(image(&store, &["list"]).stdout).unwrap().starts_with("no images in "));
    let file = folder.path().join("abc");
    fs::write(&file, "abc").unwrap();
    // FIPS 180-2, B.1.
    let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for _ in 0..2 {
        let added = image(&store, &["add", file.to_str().unwrap()]);
        assert_eq!(String::from_utf8(added.stdout).unwrap(), format!("sha256:{digits}\n"), "{:?}", added.stderr);
    }
    let kept = store.join("sha256").join(digits);
    assert_eq!(fs::read(&kept).unwrap(), b"abc");
    assert!(fs::metadata(&kept).unwrap().permissions().readonly());
    assert_eq!(fs::read_dir(store.join("sha256")).unwrap().count(), 1, "nothing is left beside it");
    let listed: Value = serde_json::from_slice(&image(&store, &["list", "--json"]).stdout).unwrap();
    assert_eq!(listed["images"], serde_json::json!([{ "digest": format!("sha256:{digits}"), "size_bytes": 3 }]));
}

#[test]
fn an_image_that_is_sound_keeps_its_file_and_a_broken_one_is_mended() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("abc");
    fs::write(&file, "abc").unwrap();
    let add = || assert!(image(folder.path(), &["add", file.to_str().unwrap()]).status.success());
    add();
    let kept = fs::read_dir(folder.path().join("sha256")).unwrap().next().unwrap().unwrap().path();
    let inode = fs::metadata(&kept).unwrap().ino();
    add();
    assert_eq!(fs::metadata(&kept).unwrap().ino(), inode);
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, "abd").unwrap();
    add();
    assert_eq!(fs::read(&kept).unwrap(), b"abc");
}

#[test]
fn a_disk_of_zeros_is_kept_as_a_hole() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("disk");
    let mut bytes = vec![0; 8 << 20];
    bytes[1 << 20] = 1;
    fs::write(&file, &bytes).unwrap();
    let digest = String::from_utf8(image(folder.path(), &["add", file.to_str().unwrap()]).stdout).unwrap();
    let kept = folder.path().join("sha256").join(digest.trim().strip_prefix("sha256:").unwrap());
    assert_eq!(fs::read(&kept).unwrap(), bytes);
    assert!(fs::metadata(&kept).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn what_cannot_be_added_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let said = refused(&image(&store, &["add", "/nowhere"]));
    assert!(said.contains("cannot be read") && said.contains("/nowhere"), "{said}");
    let said = refused(&image(&store, &["add", folder.path().to_str().unwrap()]));
    assert!(said.contains("cannot be read"), "{said}");
    assert!(!store.exists() || fs::read_dir(store.join("sha256")).unwrap().next().is_none());
    let file = folder.path().join("file");
    fs::write(&file, "abc").unwrap();
    let said = refused(&image(&file, &["add", file.to_str().unwrap()]));
    assert!(said.contains("the store cannot be written") && said.contains("--store"), "{said}");
}
