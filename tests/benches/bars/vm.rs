//! `vm.*`, `agent.rss.100vm` and `ledger.slow_tpm`: what a node adds to QEMU, each beside QEMU alone in the same run.
//!
//! The reference of a figure in ms is QEMU's own time for the same, or the bar where there is none. A figure that is a
//! ratio has its bar as reference.

mod client;
mod raw;

use client::{Client, Fake};
use garant_tests::{
    agent_bench::{Figure, closed_loop, quantile, resident_mb, sorted},
    garantd::Garantd,
    slow_tpm::{Delays, SlowTpm},
    swtpm::Swtpm,
    vms::{Images, vmms},
};
use raw::Template;
use serde_json::{Value, json};
use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// One VM after the other, each beside QEMU alone.
pub fn lives() -> Vec<Figure> {
    let pool = Pool { ready: 4, images: 2 };
    let Some(scene) = Scene::new(&pool, 4096, None) else { return Vec::new() };
    let mut times = Times::default();
    let template = scene.template();
    let mut client = Client::dial(&scene.node.socket());
    for round in 0..=ROUNDS {
        let mut measured = Times::default();
        measured.raw(&template);
        scene.wait_until_full();
        measured.agent(&scene, &mut client, round);
        if round > 0 {
            times.extend(measured); // the first warms up
        }
    }
    times.figures()
}

/// Many VMs at once: how fast they come from the pool, and what is asked of a node that has them.
pub fn many() -> Vec<Figure> {
    let pool = Pool { ready: MANY, images: 2 };
    let memory_mib = MANY * MEMORY_MIB;
    let Some(scene) = Scene::new(&pool, memory_mib, None) else { return Vec::new() };
    scene.wait_until_full();
    let began = Instant::now();
    thread::scope(|scope| {
        for clerk in 0..CLERKS {
            let scene = &scene;
            scope.spawn(move || {
                let mut client = Client::dial(&scene.node.socket());
                for number in (clerk..MANY).step_by(CLERKS) {
                    scene.start(&mut client, &format!("many-{number}"), "pool");
                }
            });
        }
    });
    let per_s = MANY as f64 / began.elapsed().as_secs_f64();
    let mut client = Client::dial(&scene.node.socket());
    for number in 0..MANY {
        client.ask("POST", &format!("/v1/vms/many-{number}/pause"), GENERATION);
    }
    let stopped = vmms(&scene.node)[MANY / 2];
    signal("STOP", stopped);
    let lists = (0..LISTS).map(|_| ms(client.ask("GET", "/v1/vms", ""))).collect();
    let resident = resident_mb(&scene.node);
    signal("CONT", stopped);
    vec![
        figure("vm.rate", per_s, "per_s", 100.0),
        figure("vm.list.100", quantile(&sorted(lists), 0.5), "ms", 1.0),
        figure("agent.rss.100vm", resident, "MB", 15.0),
    ]
}

/// Starts from the pool, while strangers keep a slow TPM busy.
pub fn busy_tpm() -> Vec<Figure> {
    let delays = Delays { quote: Duration::from_millis(200), extend: Duration::from_millis(20) };
    let Some(scene) = Scene::new(&Pool { ready: 8, images: 2 }, 4096, Some(delays)) else { return Vec::new() };
    scene.wait_until_full();
    let address = scene.node.address;
    let times = thread::scope(|scope| {
        let strangers = scope.spawn(move || closed_loop(address, 64, STRANGERS_ASK));
        let mut client = Client::dial(&scene.node.socket());
        thread::sleep(Duration::from_secs(2));
        let mut times = Vec::new();
        while !strangers.is_finished() && times.len() < ROUNDS {
            scene.wait_until_full();
            let id = format!("busy-{}", times.len());
            times.push(ms(scene.start(&mut client, &id, "pool")));
            client.ask("DELETE", &format!("/v1/vms/{id}"), GENERATION);
        }
        times
    });
    vec![figure("vm.create_start.busy_tpm", quantile(&sorted(times), 0.5), "ms", 5.0)]
}

/// Many starts that each wait for the TPM, which is slow or is not.
pub fn slow_ledger() -> Vec<Figure> {
    let delays = Delays { quote: Duration::ZERO, extend: EXTEND };
    let none = Pool { ready: 0, images: 2 };
    let memory_mib = PARALLEL * MEMORY_MIB;
    let (Some(slow), Some(fast)) = (Scene::new(&none, memory_mib, Some(delays)), Scene::new(&none, memory_mib, None))
    else {
        return Vec::new();
    };
    let (mut slowed, mut unslowed) = (Vec::new(), Vec::new());
    for round in 0..PARALLEL_ROUNDS {
        slowed.push(slow.start_together(round));
        unslowed.push(fast.start_together(round));
    }
    let median = |times: Vec<Duration>| quantile(&sorted(times.into_iter().map(ms).collect()), 0.5);
    let (slowed, unslowed) = (median(slowed), median(unslowed));
    vec![figure("ledger.slow_tpm", slowed / ms(EXTEND).mul_add(5.0, unslowed), "ratio", 1.0)]
}

/// A shape of the pool: how many wait, and how many images its one disk may have.
struct Pool {
    ready: usize,
    images: usize,
}

/// A node; what it stands on is kept beside it.
struct Scene {
    node: Garantd,
    ready: usize,
    spec: Value,
    _held: (Swtpm, Option<SlowTpm>, Images, TempDir),
}

impl Scene {
    /// Nothing, with a line that says so, where there is no TPM, QEMU or assembler.
    fn new(pool: &Pool, memory_mib: usize, delays: Option<Delays>) -> Option<Scene> {
        let (tpm, images) = (Swtpm::blank("sha256")?, Images::build()?);
        let kernel = images.assemble(IDLE)?;
        let disks: Vec<String> = (0..pool.images).map(|at| images.add(&disk(at))).collect();
        let state = tempfile::tempdir().expect("a scratch folder");
        let shape = format!(
            "[[vms.pool]]\nready = {}\nmachine = 'microvm'\nvcpus = 1\nmemory_mib = {MEMORY_MIB}\n\
             kernel = {{ image = '{kernel}', command_line = 'console=ttyS0' }}\n\
             disks = [{{ access = 'overlay', images = {disks:?} }}]\n",
            pool.ready,
        );
        let options = images.options_for(memory_mib, 2 * MANY);
        let options = format!("state_dir = '{}'\n{options}{shape}", state.path().display());
        let slow = delays.map(|delays| SlowTpm::taking(&tpm.socket(), delays));
        let address = slow.as_ref().map_or_else(|| tpm.address(), SlowTpm::address);
        let node = Garantd::start(&address, &options);
        let mut spec = images.spec();
        spec["kernel"]["image"] = json!(kernel);
        spec["disks"] = json!([{ "image": disks[0], "access": "overlay" }]);
        Some(Scene { node, ready: pool.ready, spec, _held: (tpm, slow, images, state) })
    }

    /// How a node starts a VMM for the spec.
    fn template(&self) -> Template {
        let mut client = Client::dial(&self.node.socket());
        self.wait_until_full();
        let before = vmms(&self.node);
        self.start_cold(&mut client, "template");
        let pid = vmms(&self.node).into_iter().find(|pid| !before.contains(pid)).expect("the VMM");
        let template = Template::of(pid, disk(0).len() as u64);
        client.ask("DELETE", "/v1/vms/template", GENERATION);
        template
    }

    /// Waits until as many VMMs wait as are to.
    fn wait_until_full(&self) {
        let asked = Instant::now();
        let said = |words: &str| self.node.log().matches(words).count();
        while said(" waits") < said(" level=pool") + self.ready {
            assert!(asked.elapsed() < PATIENCE, "the pool is not filled:\n{}", self.node.log());
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(SETTLES);
    }

    /// From the request to `running`; it came from there.
    fn start(&self, client: &mut Client, id: &str, level: &str) -> Duration {
        self.start_of(client, id, &self.spec, level)
    }

    /// The same of what no shape is.
    fn start_cold(&self, client: &mut Client, id: &str) -> Duration {
        let mut spec = self.spec.clone();
        spec["memory_mib"] = json!(MEMORY_MIB + 1);
        self.start_of(client, id, &spec, "cold")
    }

    fn start_of(&self, client: &mut Client, id: &str, spec: &Value, level: &str) -> Duration {
        let body = json!({ "generation": 1, "spec": spec }).to_string();
        let took = client.ask("PUT", &format!("/v1/vms/{id}"), &body)
            + client.ask("POST", &format!("/v1/vms/{id}/start"), GENERATION);
        let vm = client.body();
        assert_eq!((vm["state"].as_str(), vm["level"].as_str()), (Some("running"), Some(level)), "{vm}");
        took
    }

    /// Many starts at once, until the last is answered.
    fn start_together(&self, round: usize) -> Duration {
        let ids: Vec<String> = (0..PARALLEL).map(|number| format!("round-{round}-{number}")).collect();
        let body = json!({ "generation": 1, "spec": self.spec }).to_string();
        let mut clients: Vec<Client> = ids.iter().map(|_| Client::dial(&self.node.socket())).collect();
        for (id, client) in ids.iter().zip(&mut clients) {
            client.ask("PUT", &format!("/v1/vms/{id}"), &body);
        }
        let began = Instant::now();
        thread::scope(|scope| {
            for (id, client) in ids.iter().zip(&mut clients) {
                scope.spawn(move || client.ask("POST", &format!("/v1/vms/{id}/start"), GENERATION));
            }
        });
        let took = began.elapsed();
        for (id, client) in ids.iter().zip(&mut clients) {
            client.ask("DELETE", &format!("/v1/vms/{id}"), GENERATION);
        }
        took
    }
}

/// What was measured, in ms.
#[derive(Default)]
struct Times {
    pool: Vec<f64>,
    cold: Vec<f64>,
    pause: Vec<f64>,
    resume: Vec<f64>,
    client: Vec<f64>,
    delete: Vec<f64>,
    raw_cold: Vec<f64>,
    raw_stop: Vec<f64>,
    raw_cont: Vec<f64>,
    raw_end: Vec<f64>,
}

impl Times {
    fn raw(&mut self, template: &Template) {
        let (took, mut raw) = template.spawn().run();
        self.raw_cold.push(ms(took));
        for _ in 0..HALTS {
            self.raw_cont.push(ms(raw.command("cont")));
            self.raw_stop.push(ms(raw.command("stop")));
        }
        raw.command("cont");
        self.raw_end.push(ms(raw.end()));
    }

    fn agent(&mut self, scene: &Scene, client: &mut Client, round: usize) {
        let id = format!("life-{round}");
        self.pool.push(ms(scene.start(client, &id, "pool")));
        let (pause, resume) = (format!("/v1/vms/{id}/pause"), format!("/v1/vms/{id}/resume"));
        for _ in 0..HALTS {
            self.pause.push(ms(client.ask("POST", &pause, GENERATION)));
            self.resume.push(ms(client.ask("POST", &resume, GENERATION)));
        }
        let mut bare = Fake::answering(client.answer().to_vec()).dial();
        for _ in 0..HALTS {
            self.client.push(ms(bare.ask("POST", &pause, GENERATION)));
        }
        self.delete.push(ms(client.ask("DELETE", &format!("/v1/vms/{id}"), GENERATION)));
        if round.is_multiple_of(COLD_EVERY) {
            scene.wait_until_full();
            self.cold.push(ms(scene.start_cold(client, &format!("cold-{round}"))));
            client.ask("DELETE", &format!("/v1/vms/cold-{round}"), GENERATION);
        }
    }

    fn extend(&mut self, more: Times) {
        for (all, new) in [
            (&mut self.pool, more.pool),
            (&mut self.cold, more.cold),
            (&mut self.pause, more.pause),
            (&mut self.resume, more.resume),
            (&mut self.client, more.client),
            (&mut self.delete, more.delete),
            (&mut self.raw_cold, more.raw_cold),
            (&mut self.raw_stop, more.raw_stop),
            (&mut self.raw_cont, more.raw_cont),
            (&mut self.raw_end, more.raw_end),
        ] {
            all.extend(new);
        }
    }

    fn figures(self) -> Vec<Figure> {
        let at = |times: Vec<f64>, share| quantile(&sorted(times), share);
        let median = |times: Vec<f64>| at(times, 0.5);
        let (raw_cold, raw_cold_p99) = (median(self.raw_cold.clone()), at(self.raw_cold, 0.99));
        let client = median(self.client);
        let (raw_stop, raw_cont) = (median(self.raw_stop), median(self.raw_cont));
        vec![
            figure("vm.create_start.pool", median(self.pool.clone()), "ms", raw_cold),
            figure("vm.create_start.pool.p99", at(self.pool, 0.99), "ms", raw_cold_p99),
            figure("vm.create_start.cold", median(self.cold) / raw_cold, "ratio", 1.15),
            figure("vm.pause", (median(self.pause) - client) / raw_stop, "ratio", 2.0),
            figure("vm.resume", (median(self.resume) - client) / raw_cont, "ratio", 2.0),
            figure("vm.delete", median(self.delete) / median(self.raw_end), "ratio", 2.0),
        ]
    }
}

fn figure(name: &'static str, value: f64, unit: &'static str, reference: f64) -> Figure {
    Figure { name, value, unit, reference }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn signal(name: &str, pid: u32) {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(done.is_ok_and(|status| status.success()), "{pid} takes no signal");
}

/// A disk of its own for each number.
fn disk(number: usize) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

const GENERATION: &str = r#"{"generation":1}"#;
/// A guest that costs nothing.
const IDLE: &str = "sleep:\n    hlt\n    jmp sleep\n";
/// As many as p99 needs.
const ROUNDS: usize = 220;
const COLD_EVERY: usize = 4;
/// Pauses of each VM.
const HALTS: usize = 5;
const MANY: usize = 100;
const CLERKS: usize = 4;
const LISTS: usize = 200;
const MEMORY_MIB: usize = 64;
const STRANGERS_ASK: Duration = Duration::from_secs(30);
const EXTEND: Duration = Duration::from_millis(20);
const PARALLEL: usize = 64;
const PARALLEL_ROUNDS: usize = 5;
/// What a VMM that waits still does after it said so.
const SETTLES: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);
