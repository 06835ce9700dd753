//! Many clients who ask for everything at once: what each is answered fits one order of all requests to a VM, the events tell
//! the same story, and nothing is left. `GARANT_SECONDS` says for how long (`make soak`).

use garant_tests::{
    garantd::Garantd,
    linear::{Call, Model, first_contradiction},
    share_oracle::Random,
    swtpm::Swtpm,
    vms::{Client, Images, ask_json, vmms},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

#[test]
fn what_64_clients_see_of_8_vms_fits_one_order_of_requests_to_each() {
    let (Some(tpm), Some(images)) = (Swtpm::provisioned("sha256"), Images::build()) else { return };
    let seconds = std::env::var("GARANT_SECONDS").map_or(SECONDS, |seconds| seconds.parse().expect("a number"));
    let options = images.options().replace("memory_mib = 256", "memory_mib = 1024");
    let node = Garantd::start(&tpm.address(), &options);
    let files = open_files(node.keeper_pid());
    let story = Story::begin(&node);
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let calls: Vec<(usize, Call<Request>)> = thread::scope(|scope| {
        let (node, spec) = (&node, images.spec());
        let clients = (0..CLIENTS).map(|number| {
            let asker = Asker::new(node, &spec, number);
            scope.spawn(move || asker.ask(begun, end))
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client does not fail")).collect()
    });
    let events = story.end(&node);
    let count = calls.len();
    let mut by_vm: BTreeMap<usize, Vec<Call<Request>>> = BTreeMap::new();
    // More wait than may: nothing was done.
    let done =
        calls.into_iter().filter(|(_, call)| call.request.answer.as_ref().err().is_none_or(|code| code != "busy"));
    done.for_each(|(vm, call)| by_vm.entry(vm).or_default().push(call));
    for (vm, calls) in &by_vm {
        if let Some(wrong) = first_contradiction(Vm::default(), calls) {
            let near = |call: &&Call<Request>| {
                call.answered_ns + 100_000_000 > calls[wrong].asked_ns && call.asked_ns < calls[wrong].answered_ns
            };
            let mut around: Vec<&Call<Request>> = calls.iter().filter(near).collect();
            around.sort_by_key(|call| call.answered_ns);
            let around: Vec<String> = around
                .iter()
                .map(|call| format!("{} {} {:?}", call.asked_ns, call.answered_ns, call.request))
                .collect();
            panic!(
                "vm-{vm}: no order gives {} {:?} in\n{}\n{}",
                calls[wrong].asked_ns,
                calls[wrong].request,
                around.join("\n"),
                node.log()
            );
        }
    }
    println!("{count} requests of {CLIENTS} clients fit an order; {events} events");
    for vm in 0..VMS {
        let path = format!("/v1/vms/vm-{vm}");
        let (status, known) = ask_json(&node, "GET", &path, &Value::Null);
        if status == 200 {
            assert_eq!(ask_json(&node, "DELETE", &path, &json!({ "generation": known["generation"] })).0, 200);
        }
    }
    let since = Instant::now();
    while (vmms(&node).len(), open_files(node.keeper_pid())) != (0, files) && since.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((vmms(&node).len(), open_files(node.keeper_pid())), (0, files), "{}", node.log());
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// What was asked of a VM, and what was answered.
#[derive(Debug, Clone)]
struct Request {
    verb: &'static str,
    generation: u64,
    /// Which of two.
    spec: u8,
    /// A state, or the code of a problem.
    answer: Result<String, String>,
}

/// A VM as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Vm {
    /// Of the last one, gone or not.
    generation: u64,
    /// Which of two, and its state; `None` where it is gone.
    known: Option<(u8, &'static str)>,
}

impl Model for Vm {
    type Request = Request;

    fn after(&self, request: &Request) -> Vec<Vm> {
        let (after, answer) = self.step(request);
        let is_same = match (&answer, &request.answer) {
            (Ok(state), Ok(seen)) => state == seen,
            (Err(code), Err(seen)) => code == seen,
            _ => false,
        };
        if is_same { vec![after] } else { vec![] }
    }

    fn is_idle(request: &Request) -> bool {
        request.answer.is_err()
    }
}

impl Vm {
    fn step(&self, request: &Request) -> (Vm, Result<&'static str, &'static str>) {
        match request.verb {
            "ensure" => self.ensure(request),
            verb => match self.known {
                None if verb == "delete" && self.generation == request.generation && self.generation > 0 => {
                    (self.clone(), Ok("deleted"))
                }
                None => (self.clone(), Err("unknown_vm")),
                Some(_) if self.generation > request.generation => (self.clone(), Err("generation_past")),
                Some(_) if self.generation < request.generation => (self.clone(), Err("unknown_vm")),
                Some((spec, state)) => self.act(verb, spec, state),
            },
        }
    }

    fn ensure(&self, request: &Request) -> (Vm, Result<&'static str, &'static str>) {
        let defined = Vm { generation: request.generation, known: Some((request.spec, "defined")) };
        let same = request.generation == self.generation;
        match self.known {
            _ if request.generation < self.generation => (self.clone(), Err("generation_past")),
            None if same => (self.clone(), Err("generation_past")),
            Some((spec, state)) if same && spec == request.spec => (self.clone(), Ok(state)),
            Some(_) if same => (self.clone(), Err("other_spec")),
            Some((_, "running" | "paused")) => (self.clone(), Err("wrong_state")),
            _ => (defined.clone(), Ok("defined")),
        }
    }

    fn act(&self, verb: &str, spec: u8, state: &'static str) -> (Vm, Result<&'static str, &'static str>) {
        let runs = ["running", "paused"].contains(&state);
        let next = match (verb, state) {
            ("start", "running") | ("resume", "paused" | "running") => Ok("running"),
            ("start", _) if !runs => Ok("running"),
            ("pause", "running" | "paused") => Ok("paused"),
            ("stop", _) if runs => Ok("stopped"),
            ("stop", _) => Ok(state),
            ("delete", _) => return (Vm { generation: self.generation, known: None }, Ok("deleted")),
            _ => Err("wrong_state"),
        };
        let known = Some((spec, next.unwrap_or(state)));
        (Vm { generation: self.generation, known }, next)
    }
}

/// One client.
struct Asker<'a> {
    client: Client,
    specs: [Value; 2],
    source: Random,
    /// What it last heard of each VM's generation.
    generations: [u64; VMS],
    node: &'a Garantd,
}

impl Asker<'_> {
    fn new<'a>(node: &'a Garantd, spec: &Value, number: u64) -> Asker<'a> {
        let mut other = spec.clone();
        other["memory_mib"] = json!(65);
        let source = Random(number + 1);
        Asker { client: Client::dial(node), specs: [spec.clone(), other], source, generations: [1; VMS], node }
    }

    fn ask(mut self, begun: Instant, end: Instant) -> Vec<(usize, Call<Request>)> {
        let now = || u64::try_from(begun.elapsed().as_nanos()).unwrap();
        let mut calls = Vec::new();
        while Instant::now() < end {
            let vm = self.source.below(VMS as u32) as usize;
            let verb = VERBS[self.source.below(VERBS.len() as u32) as usize];
            let spec = u8::from(self.source.below(8) == 0);
            let known = self.generations[vm];
            let generation = match (verb, self.source.below(8)) {
                ("ensure", 0..5) => known + 1,
                (_, 0) => known.saturating_sub(1).max(1),
                _ => known,
            };
            let asked_ns = now();
            let answer = self.request(vm, verb, generation, spec);
            let answered_ns = now();
            calls.push((vm, Call { asked_ns, answered_ns, request: Request { verb, generation, spec, answer } }));
        }
        calls
    }

    fn request(&mut self, vm: usize, verb: &str, generation: u64, spec: u8) -> Result<String, String> {
        let path = format!("/v1/vms/vm-{vm}");
        let (status, answer) = match verb {
            "ensure" => {
                let spec = &self.specs[usize::from(spec)];
                self.client.ask("PUT", &path, &json!({ "generation": generation, "spec": spec }))
            }
            "delete" => self.client.ask("DELETE", &path, &json!({ "generation": generation })),
            _ => self.client.ask("POST", &format!("{path}/{verb}"), &json!({ "generation": generation })),
        };
        let word = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        if status < 300 {
            self.generations[vm] = answer["generation"].as_u64().unwrap();
            return Ok(word("state"));
        }
        assert!(status < 500 || word("code") == "busy", "{verb}: {status} {answer}\n{}", self.node.log());
        if word("code") == "generation_past" {
            // What it was told is in words; a client asks.
            let (status, vm_now) = self.client.ask("GET", &path, &Value::Null);
            self.generations[vm] = vm_now["generation"].as_u64().filter(|_| status == 200).unwrap_or(generation + 1);
        }
        Err(word("code"))
    }
}

/// The events of a time.
struct Story {
    after: u64,
}

impl Story {
    fn begin(node: &Garantd) -> Story {
        let (_, list) = ask_json(node, "GET", "/v1/vms", &Value::Null);
        Story { after: list["sequence"].as_u64().unwrap() }
    }

    /// Each VM came from each state into one that follows it; how many events there were. Where the oldest are gone, what is
    /// left of them is looked at.
    fn end(self, node: &Garantd) -> usize {
        let (_, events) = ask_json(node, "GET", &format!("/v1/events/{}", self.after), &Value::Null);
        let events = events["events"].as_array().unwrap();
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        for (event, next) in events.iter().zip(events.iter().skip(1)) {
            assert_eq!(event["sequence"].as_u64().map(|number| number + 1), next["sequence"].as_u64());
        }
        for event in events {
            let (id, state) = (event["id"].as_str().unwrap(), event["state"].as_str().unwrap());
            if let Some(before) = last.insert(id, state) {
                assert!(follows(before, state), "{id} came from {before} into {state}");
            }
        }
        events.len()
    }
}

fn follows(before: &str, state: &str) -> bool {
    match before {
        "defined" | "stopped" | "failed" => ["defined", "starting", "deleted"].contains(&state),
        "starting" => ["running", "failed"].contains(&state),
        "running" => ["paused", "stopping", "stopped", "failed"].contains(&state),
        "paused" => ["running", "stopping", "stopped", "failed"].contains(&state),
        "stopping" => ["stopped", "failed"].contains(&state),
        "deleted" => state == "defined",
        _ => false,
    }
}

const CLIENTS: u64 = 64;
const VMS: usize = 8;
/// In `make test`.
const SECONDS: u64 = 5;
const VERBS: [&str; 8] = ["ensure", "ensure", "start", "start", "pause", "resume", "stop", "delete"];
