//! A server that is killed at any step of a request: afterwards each VM is what one of the two sides of that step makes of it,
//! its processes are those that the list has, and nothing else is left. `GARANT_ROUNDS` says how often (`make soak`).

use garant_attest::ledger::Act;
use garant_tests::{
    garantd::Garantd,
    killer::{Watched, kill_at_step},
    share_oracle::Random,
    swtpm::Swtpm,
    vms::{Images, acts, ask, ask_json, try_ask, vmms},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, thread,
    time::{Duration, Instant},
};

#[test]
fn a_server_killed_at_any_step_loses_no_vm_and_doubles_none_and_leaves_nothing() {
    let rounds: u64 = std::env::var("GARANT_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let boots = rounds.div_ceil(ROUNDS_OF_A_BOOT);
    // Two boots at a time, one of a node with a pool: a round mostly waits for the keeper to start the next server.
    let all: Vec<Steps> = thread::scope(|scope| {
        let half = |first: u64| scope.spawn(move || boots_of(first, boots));
        [half(0), half(1)].map(|half| half.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))).into()
    });
    let Some(steps) = all.into_iter().reduce(Steps::with) else { return };
    assert!(steps.from_pool > 0, "the pool served nothing");
    println!("killed {} times, at {}; {} starts from the pool", steps.kills, steps.summary(), steps.from_pool);
}

/// Every second boot from this one on; those of odd numbers have a pool.
fn boots_of(first: u64, boots: u64) -> Steps {
    let mut steps = Steps::default();
    let Some(mut scene) = Scene::new(first as usize % 2) else { return steps };
    for seed in (first..boots).step_by(2) {
        scene.boot(seed, &mut steps);
    }
    steps
}

/// How many steps each verb takes, as far as it is known, and where servers were killed.
#[derive(Default)]
struct Steps {
    of: BTreeMap<&'static str, u64>,
    killed: BTreeMap<&'static str, BTreeSet<u64>>,
    kills: u64,
    /// Starts that the pool served.
    from_pool: usize,
}

impl Steps {
    fn with(mut self, other: Steps) -> Steps {
        for (verb, steps) in other.of {
            let known = self.of.entry(verb).or_default();
            *known = steps.max(*known);
        }
        for (verb, steps) in other.killed {
            self.killed.entry(verb).or_default().extend(steps);
        }
        self.kills += other.kills;
        self.from_pool += other.from_pool;
        self
    }

    /// Any of them, or behind the last.
    fn choose(&self, verb: &'static str, source: &mut Random) -> u64 {
        let known = self.of.get(verb).copied().unwrap_or(STEPS_UNKNOWN);
        1 + u64::from(source.below(u32::try_from(known + known / 8).unwrap()))
    }

    fn note(&mut self, verb: &'static str, steps: u64) {
        let known = self.of.entry(verb).or_default();
        *known = steps.max(*known);
        self.killed.entry(verb).or_default().insert(steps);
        self.kills += 1;
    }

    fn summary(&self) -> String {
        let each = self.killed.iter().map(|(verb, steps)| {
            format!(
                "{} different steps of {verb} (up to {})",
                steps.len(),
                self.of.get(verb).copied().unwrap_or_default()
            )
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// A TPM, images and a state disk, for one boot after the other.
struct Scene {
    tpm: Swtpm,
    images: Images,
    spec: Value,
    state: tempfile::TempDir,
    /// So many VMMs wait in the pool, and what says so.
    pool: (usize, String),
}

impl Scene {
    fn new(pool: usize) -> Option<Scene> {
        let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
        let mut spec = images.spec();
        let (disk, other) = (images.add(&[7; 65536]), images.add(&[8; 65536]));
        spec["disks"] = json!([{ "image": disk, "access": "overlay" }]);
        let table = format!(
            "[[vms.pool]]\nready = {pool}\nmachine = 'microvm'\nvcpus = 1\nmemory_mib = 64\n\
             kernel = {{ image = '{}', command_line = 'console=ttyS0' }}\n\
             disks = [{{ access = 'overlay', images = ['{disk}', '{other}'] }}]\n",
            images.kernel
        );
        Some(Scene { tpm, images, spec, state: tempfile::tempdir().unwrap(), pool: (pool, table) })
    }

    /// One boot with a few accidents; all that it had is gone afterwards.
    fn boot(&mut self, seed: u64, steps: &mut Steps) {
        let options =
            format!("state_dir = '{}'\n{}{}", self.state.path().display(), self.images.options(), self.pool.1);
        let node = Garantd::start(&self.tpm.address(), &options);
        let (pool, vms) = (self.pool.0, [Vm::default(), Vm::default()]);
        let mut boot = Boot { node, spec: &self.spec, source: Random(seed + 1), vms, pool };
        assert_eq!(within(|| vmms(&boot.node).len(), |waiting| *waiting == pool), pool, "the pool is filled");
        let before = boot.inventory();
        for _ in 0..ROUNDS_OF_A_BOOT {
            boot.accident(steps);
        }
        (0..boot.vms.len()).for_each(|at| boot.forget(at));
        assert_eq!(boot.settled(&before), before, "what was there before:\n{}", boot.node.log());
        assert_eq!(fs::read_dir(self.state.path()).unwrap().count(), 0, "no file is left");
        steps.from_pool += boot.node.log().matches("level=pool").count();
        drop(boot);
        self.tpm.power_cycle();
    }
}

/// What this test knows of a VM.
#[derive(Default)]
struct Vm {
    /// Its last one.
    generation: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Absent,
    Defined,
    Running,
    Paused,
    Stopped,
    Failed,
}

struct Boot<'a> {
    node: Garantd,
    spec: &'a Value,
    source: Random,
    vms: [Vm; 2],
    /// So many VMMs wait, whatever happens.
    pool: usize,
}

impl Boot<'_> {
    /// The server dies over one request, and another answers it.
    fn accident(&mut self, steps: &mut Steps) {
        let at = self.source.below(2) as usize;
        let verb = VERBS[self.source.below(VERBS.len() as u32) as usize];
        self.prepare(at, verb);
        let state = self.vms[at].state;
        if verb == "ensure" {
            self.vms[at].generation += 1;
        }
        self.wait_for_pool();
        let (method, path, body) = self.request(at, verb);
        let (step, socket) = (steps.choose(verb, &mut self.source), self.node.socket());
        let server = self.node.server_pid().expect("a server runs");
        let asked = || try_ask(&socket, method, &path, &body);
        let Watched { result: answer, steps: done } = kill_at_step(server, step, asked);
        steps.note(verb, done);
        self.node.wait_until_ready();
        let what = format!("{verb} of a VM that was {state:?}, killed at step {done}");
        let is_answered = answer.is_some_and(|(status, _)| status < 300);
        let found = self.found(at);
        let target = target(verb, state);
        assert!(allowed(verb, state, is_answered).contains(&found), "{what}, is {found:?}:\n{}", self.node.log());
        self.check(&what);
        self.vms[at].state = found;

        // Asked again, it is so.
        let (method, path, body) = self.request(at, verb);
        let (status, answer) = ask(&self.node, method, &path, &body);
        let again = self.found(at);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let reason = ask_json(&self.node, "GET", &format!("/v1/vms/vm-{at}"), &Value::Null).1["reason"].to_string();
        let what = format!("{what} ({reason})");
        let is_done = again == target || verb == "stop" && again == State::Failed;
        // A VM that ended with the accident is neither paused nor goes on, and says so.
        let is_refused = status == 409 && found == State::Failed && ["pause", "resume"].contains(&verb);
        let is_gone = status == 404 && verb == "delete" && again == State::Absent;
        assert!(is_refused || is_gone || is_done && status < 300, "{what}, then {status} {text}:\n{}", self.node.log());
        self.check(&format!("{what}, and again"));
        self.vms[at].state = again;
    }

    /// Brings the VM into a state in which this can be asked of it.
    fn prepare(&mut self, at: usize, verb: &str) {
        for next in way(self.vms[at].state, verb) {
            if *next == "ensure" {
                self.vms[at].generation += 1;
            }
            self.wait_for_pool();
            let (method, path, body) = self.request(at, next);
            let (status, answer) = ask(&self.node, method, &path, &body);
            assert!(status < 300, "{next}: {}\n{}", String::from_utf8_lossy(&answer), self.node.log());
            self.vms[at].state = self.found(at);
        }
    }

    fn request(&self, at: usize, verb: &str) -> (&'static str, String, Vec<u8>) {
        let path = format!("/v1/vms/vm-{at}");
        let generation = self.vms[at].generation;
        let (method, path, body) = match verb {
            "ensure" => ("PUT", path, json!({ "generation": generation, "spec": self.spec })),
            "delete" => ("DELETE", path, json!({ "generation": generation })),
            "stop" => ("POST", format!("{path}/stop"), json!({ "generation": generation, "grace_s": 0 })),
            _ => ("POST", format!("{path}/{verb}"), json!({ "generation": generation })),
        };
        (method, path, body.to_string().into_bytes())
    }

    fn found(&self, at: usize) -> State {
        let (status, vm) = ask_json(&self.node, "GET", &format!("/v1/vms/vm-{at}"), &Value::Null);
        match (status, vm["state"].as_str()) {
            (404, _) => State::Absent,
            (_, Some("defined")) => State::Defined,
            (_, Some("running")) => State::Running,
            (_, Some("paused")) => State::Paused,
            (_, Some("stopped")) => State::Stopped,
            (_, Some("failed")) => State::Failed,
            other => panic!("a VM is {other:?} although nothing is being done:\n{}", self.node.log()),
        }
    }

    /// The list, the processes and the ledger say the same.
    fn check(&self, what: &str) {
        let (_, list) = ask_json(&self.node, "GET", "/v1/vms", &Value::Null);
        let with_vmm = |vm: &&Value| ["running", "paused"].contains(&vm["state"].as_str().unwrap_or_default());
        let listed = list["vms"].as_array().unwrap().iter().filter(with_vmm).count();
        let running = within(|| vmms(&self.node).len(), |running| *running == listed + self.pool);
        assert_eq!(running, listed + self.pool, "{what}: processes, and VMs that have one:\n{}", self.node.log());
        let open = within(|| open_starts(&self.node), |open| *open == listed);
        assert_eq!(open, listed, "{what}: starts without an end, and VMs that run:\n{}", self.node.log());
    }

    fn wait_for_pool(&self) {
        assert!(within(|| self.is_pool_full(), |is_full| *is_full), "the pool is not filled:\n{}", self.node.log());
    }

    /// Whether the last VMM that was started for the pool waits there; names of such are above all entries.
    fn is_pool_full(&self) -> bool {
        let log = self.node.log();
        let started =
            log.lines().filter_map(|line| line.split_once("VMM started run=")?.1.split(' ').next()?.parse().ok());
        let last = started.filter(|run: &u64| *run > u64::MAX / 2).reduce(|_, later| later);
        last.map_or(self.pool == 0, |run| log.contains(&format!("pool: VMM run={run} waits")))
    }

    /// Ends and forgets a VM.
    fn forget(&self, at: usize) {
        let body = json!({ "generation": self.vms[at].generation });
        let (status, answer) = ask_json(&self.node, "DELETE", &format!("/v1/vms/vm-{at}"), &body);
        assert!(status == 200 || status == 404, "{answer}");
    }

    fn inventory(&self) -> Inventory {
        let keeper = self.node.keeper_pid();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap_or_default();
        Inventory { children: children.split_whitespace().count(), keeper_files: open_files(keeper) }
    }

    fn settled(&self, expected: &Inventory) -> Inventory {
        within(|| self.inventory(), |found| found == expected)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    children: usize,
    keeper_files: usize,
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// What is to be asked of a VM in this state before that.
fn way(from: State, verb: &str) -> &'static [&'static str] {
    use State::{Absent, Defined, Failed, Paused, Running, Stopped};
    match (verb, from) {
        ("ensure", Absent) | ("start", Defined | Stopped | Failed) | ("pause" | "stop", Running) => &[],
        ("resume" | "stop", Paused) | ("delete", Defined | Running | Paused | Stopped | Failed) => &[],
        ("ensure", _) => &["delete"],
        ("start" | "delete", Absent) => &["ensure"],
        ("start", _) => &["stop"],
        ("pause", Paused) => &["resume"],
        ("pause" | "stop", Absent) => &["ensure", "start"],
        ("resume", Absent) => &["ensure", "start", "pause"],
        ("resume", Running) => &["pause"],
        ("resume", _) => &["start", "pause"],
        _ => &["start"],
    }
}

fn target(verb: &str, state: State) -> State {
    match verb {
        "ensure" => State::Defined,
        "start" | "resume" => State::Running,
        "pause" => State::Paused,
        "stop" => State::Stopped,
        "delete" => State::Absent,
        _ => state,
    }
}

/// What a VM may be after a server died over a request. One that was answered is done.
fn allowed(verb: &str, before: State, is_answered: bool) -> Vec<State> {
    let target = target(verb, before);
    match (is_answered, verb) {
        (true, _) => vec![target],
        (false, "start" | "stop" | "delete") => vec![before, target, State::Failed],
        (false, _) => vec![before, target],
    }
}

/// Starts that have no end, as far as the TPM has the ledger; each has at most one result.
fn open_starts(node: &Garantd) -> usize {
    let mut open = BTreeSet::new();
    for (number, act) in (1u64..).zip(acts(node, 0)) {
        match act {
            Act::Start { .. } => assert!(open.insert(number)),
            Act::Ended { of, .. } | Act::Void(of) => assert!(open.remove(&of), "entry {number} ends {of} again"),
            _ => {}
        }
    }
    open.len()
}

/// Looks until it is as expected, or for too long.
fn within<T>(look: impl Fn() -> T, is_expected: impl Fn(&T) -> bool) -> T {
    let started = Instant::now();
    loop {
        let found = look();
        if is_expected(&found) || started.elapsed() > PATIENCE {
            return found;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const VERBS: [&str; 6] = ["ensure", "start", "pause", "resume", "stop", "delete"];
/// The keeper waits longer and longer before it starts a server again that dies young.
const ROUNDS_OF_A_BOOT: u64 = 5;
/// In `make test`.
const ROUNDS: u64 = 20;
/// Before a verb was seen once.
const STEPS_UNKNOWN: u64 = 200;
