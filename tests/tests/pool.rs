//! The pool on a real node: VMMs that wait, what a start gets of them, and what is left of them after accidents.

use garant_attest::ledger::Act;
use garant_tests::{
    garantd::Garantd,
    swtpm::Swtpm,
    verifier::Verifier,
    vms::{Images, READER, act, acts, ask_json, console_with, ensure, kinds, state, vmms},
};
use serde_json::{Value, json};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A node with a pool; what it stands on is kept beside it.
struct Scene {
    tpm: Swtpm,
    images: Images,
    node: Garantd,
    _state: tempfile::TempDir,
}

/// A node with these tables of a pool, once `waiting` VMMs wait.
fn scene(pool: impl FnOnce(&Images) -> String, waiting: usize) -> Option<Scene> {
    let (tpm, images) = (Swtpm::provisioned("sha256")?, Images::build()?);
    let state = tempfile::tempdir().unwrap();
    let options = format!("state_dir = '{}'\n{}{}", state.path().display(), images.options(), pool(&images));
    let node = Garantd::start(&tpm.address(), &options);
    let scene = Scene { tpm, images, node, _state: state };
    scene.wait_for(waiting);
    Some(scene)
}

impl Scene {
    /// Waits until so many VMMs wait or run, and returns them.
    fn wait_for(&self, count: usize) -> Vec<u32> {
        self.wait_until(|found| found.len() == count)
    }

    fn wait_until(&self, is_so: impl Fn(&[u32]) -> bool) -> Vec<u32> {
        let started = Instant::now();
        loop {
            let waiting = self.node.log().matches("pool: VMM run=").count();
            let found = vmms(&self.node);
            // A process counts once it is known to wait, which its log says.
            if is_so(&found) && waiting >= found.len().min(1) {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "{found:?}\n{}", self.node.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the pool has said so often that one waits.
    fn wait_for_words(&self, words: &str, count: usize) {
        let started = Instant::now();
        while self.node.log().matches(words).count() < count {
            assert!(started.elapsed() < PATIENCE, "{}", self.node.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts a VM of this spec; what answered it.
    fn start(&self, id: &str, spec: &Value) -> Value {
        assert_eq!(ensure(&self.node, id, spec).0, 201);
        let (status, vm) = act(&self.node, id, "start");
        assert_eq!(status, 200, "{vm} {}", self.node.log());
        vm
    }

    /// Where it was served from.
    fn level(&self, id: &str, spec: &Value) -> String {
        self.start(id, spec)["level"].as_str().unwrap().to_owned()
    }
}

/// A table of the pool.
fn shape(ready: usize, kernel: &str, disks: &str) -> String {
    format!(
        "[[vms.pool]]\nready = {ready}\nmachine = 'microvm'\nvcpus = 1\nmemory_mib = 64\n\
         kernel = {{ image = '{kernel}', command_line = 'console=ttyS0' }}\ndisks = [{disks}]\n"
    )
}

fn plain(ready: usize) -> impl FnOnce(&Images) -> String {
    move |images| shape(ready, &images.kernel, "")
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_start_of_a_shape_is_served_by_a_vmm_that_waited_and_any_other_is_cold() {
    let Some(scene) = scene(plain(1), 1) else { return };
    scene.wait_for_words("waits", 1);
    let waiting = vmms(&scene.node);
    let spec = scene.images.spec();
    let vm = scene.start("web", &spec);
    assert_eq!((vm["state"].as_str(), vm["level"].as_str()), (Some("running"), Some("pool")), "{vm}");
    assert!(vmms(&scene.node).contains(&waiting[0]), "the process that waited");
    assert!(console_with(&scene.node, "web", "up\nb\nb").contains("up\nb\nb"), "{}", scene.node.log());
    scene.wait_for_words("waits", 2);
    for (number, (field, value)) in
        [("vcpus", json!(2)), ("memory_mib", json!(32)), ("machine", json!("q35"))].into_iter().enumerate()
    {
        let mut other = spec.clone();
        other[field] = value;
        assert_eq!(scene.level(&format!("other-{number}"), &other), "cold", "{field}");
        // At once: a guest that knows no power button takes all of its time.
        assert_eq!(
            ask_json(&scene.node, "DELETE", &format!("/v1/vms/other-{number}"), &json!({ "generation": 1 })).0,
            200
        );
    }
    let mut other = spec.clone();
    other["kernel"]["command_line"] = json!("console=ttyS1");
    assert_eq!(scene.level("told-otherwise", &other), "cold");
    for verb in ["pause", "resume", "stop"] {
        assert_eq!(act(&scene.node, "web", verb).0, 200, "{verb}");
    }
    assert_eq!(scene.level("again", &spec), "pool");
}

#[test]
fn what_may_run_is_in_the_tpm_before_it_waits_and_a_start_names_it() {
    let Some(scene) = scene(plain(2), 2) else { return };
    let verifier = Verifier::of(&scene.tpm);
    assert!(verifier.enroll(&scene.node.address.to_string()).status.success());
    let links = || {
        let shown = verifier.verify(&format!("unix:{}", scene.node.socket().display()), &[]);
        let verdict: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(verdict["parts"]["boot"]["answer"].as_str(), Some("yes"), "{verdict}");
        verdict["parts"]["workload"].clone()
    };
    let kernel = &scene.images.kernel;
    let may_run = format!("may run: VMMs of the pool (entry 1), kernel {kernel}");
    scene.wait_for_words("waits", 2);
    let shown = links();
    assert!(shown["links"].to_string().contains(&may_run), "{shown} {}", scene.node.log());
    assert_eq!(scene.level("web", &scene.images.spec()), "pool");
    let acts = acts(&scene.node, 3);
    assert_eq!(kinds(&acts), ["ready", "start", "started"], "one entry for all of a shape");
    let Act::Start { ready, .. } = &acts[1] else { panic!("{acts:?}") };
    assert_eq!(*ready, Some(1));
    let shown = links();
    assert!(shown["links"].to_string().contains(&format!("runs web (generation 1), kernel {kernel}")), "{shown}");
    assert!(!shown["reasons"].to_string().contains("pool"), "{shown}");
}

#[test]
fn a_guest_sees_the_disk_that_its_start_asked_for_with_its_size_and_content() {
    let Some(tools) = Images::build() else { return };
    if tools.assemble(READER).is_none() {
        return;
    }
    let disk = |letter: u8, sectors: usize| [&[letter; 8][..], &vec![0; 512 * sectors - 8]].concat();
    let pool = |images: &Images| {
        let kernel = images.assemble(READER).unwrap();
        let [a, b, c] = [disk(b'a', 4), disk(b'b', 140_000), disk(b'c', 8)].map(|bytes| images.add(&bytes));
        let of = |access: &str, images: &[&str]| format!("{{ access = '{access}', images = {images:?} }}");
        let disks = [of("overlay", &[&a, &b]), of("read_only", &[&b, &a]), of("overlay", &[&c])].join(", ");
        shape(1, &kernel, &disks)
    };
    let Some(scene) = scene(pool, 1) else { return };
    scene.wait_for_words("waits", 1);
    let images = &scene.images;
    let [a, b, c] = [disk(b'a', 4), disk(b'b', 140_000), disk(b'c', 8)].map(|bytes| images.add(&bytes));
    let spec = |first: &str, second: &str| {
        let mut spec = images.spec();
        spec["kernel"]["image"] = json!(images.assemble(READER).unwrap());
        let disk = |image: &str, access: &str| json!({ "image": image, "access": access });
        spec["disks"] = json!([disk(first, "overlay"), disk(second, "read_only"), disk(&c, "overlay")]);
        spec
    };
    let lines = |letters: [char; 3]| {
        let line = |letter: char, writes: &str| {
            let sectors = match letter {
                'a' => 4,
                'b' => 140_000,
                _ => 8,
            };
            format!("{sectors:08x} {}{writes}\n", letter.to_string().repeat(8))
        };
        let [first, second, third] = letters;
        format!("{}{}{}done", line(first, "w"), line(second, ""), line(third, "w"))
    };
    for (number, (first, second, letters)) in
        [(&b, &a, ['b', 'a', 'c']), (&a, &b, ['a', 'b', 'c']), (&b, &b, ['b', 'b', 'c'])].into_iter().enumerate()
    {
        scene.wait_for_words("waits", number + 1);
        let id = format!("reads-{number}");
        assert_eq!(scene.level(&id, &spec(first, second)), "pool", "{}", scene.node.log());
        let shown = console_with(&scene.node, &id, "done");
        assert!(shown.contains(&lines(letters)), "{letters:?}: {shown}\n{}", scene.node.log());
        assert_eq!(act(&scene.node, &id, "stop").0, 200);
    }
    assert_eq!(fs::read(images.file(&a)).unwrap(), disk(b'a', 4), "nobody writes to an image");
    // The same guest, started cold, sees the same.
    let mut cold = spec(&a, &b);
    cold["memory_mib"] = json!(65);
    assert_eq!(scene.level("cold", &cold), "cold");
    let shown = console_with(&scene.node, "cold", "done");
    assert!(shown.contains(&lines(['a', 'b', 'c'])), "{shown}");
}

#[test]
fn a_member_that_died_is_skipped_and_replaced() {
    let Some(scene) = scene(plain(2), 2) else { return };
    scene.wait_for_words("waits", 2);
    let [first, second] = vmms(&scene.node)[..] else { panic!("two wait") };
    // Both at once, so that nobody can have looked in between.
    signal("STOP", scene.node.server_pid().unwrap());
    signal("KILL", first);
    assert_eq!(ensure_later(&scene, "web"), "pool");
    assert!(vmms(&scene.node).contains(&second), "the one that lived");
    scene.wait_for(3);
}

/// Starts a VM on a server that is stopped and goes on once the request waits.
fn ensure_later(scene: &Scene, id: &str) -> String {
    let pid = scene.node.server_pid().unwrap();
    thread::scope(|scope| {
        let started = scope.spawn(|| scene.level(id, &scene.images.spec()));
        thread::sleep(Duration::from_millis(100));
        signal("CONT", pid);
        started.join().unwrap()
    })
}

#[test]
fn a_pool_whose_members_die_is_not_filled_in_a_storm() {
    let Some(scene) = scene(plain(1), 1) else { return };
    scene.wait_for_words("waits", 1);
    let began = Instant::now();
    let mut killed = 0;
    while began.elapsed() < Duration::from_secs(4) {
        for pid in vmms(&scene.node) {
            signal("KILL", pid);
            killed += 1;
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert!((2..=4).contains(&killed), "after 1 s, 2 s, 4 s: {killed}");
}

#[test]
fn the_pool_gives_its_memory_up_before_a_start_is_refused() {
    // 256 MiB in all, 192 of them wait.
    let Some(scene) = scene(plain(3), 3) else { return };
    scene.wait_for_words("waits", 3);
    let mut large = scene.images.spec();
    large["memory_mib"] = json!(160);
    assert_eq!(scene.level("large", &large), "cold");
    scene.wait_for(2);
    let (_, too_large) = {
        assert_eq!(ensure(&scene.node, "second", &large).0, 201);
        act(&scene.node, "second", "start")
    };
    assert_eq!(too_large["code"].as_str(), Some("no_memory"), "{too_large}");
    assert_eq!(scene.level("fits", &scene.images.spec()), "pool", "what waits is what there is room for");
    assert_eq!(act(&scene.node, "large", "stop").0, 200);
    scene.wait_for(4);
}

#[test]
fn a_server_that_dies_leaks_no_member_and_keeps_the_vm_that_came_from_the_pool() {
    let Some(scene) = scene(plain(2), 2) else { return };
    scene.wait_for_words("waits", 2);
    let before = vmms(&scene.node);
    assert_eq!(scene.level("web", &scene.images.spec()), "pool");
    scene.wait_for_words("waits", 3);
    let running: Vec<u32> = vmms(&scene.node).into_iter().filter(|pid| before.contains(pid)).collect();
    scene.node.kill_server();
    scene.node.wait_until_ready();
    assert_eq!(state(&scene.node, "web").0, "running", "{}", scene.node.log());
    scene.wait_for_words("waits", 5);
    let after = scene.wait_for(3);
    let kept: Vec<&u32> = after.iter().filter(|pid| running.contains(pid)).collect();
    assert_eq!(kept.len(), 1, "one ran and was kept, all that waited were ended: {running:?} {after:?}");
    assert!(console_with(&scene.node, "web", "b\nb").contains("b\nb"));
    assert_eq!(scene.level("next", &scene.images.spec()), "pool");
    let acts = acts(&scene.node, 5);
    assert_eq!(kinds(&acts), ["ready", "start", "started", "start", "started"], "what is ready was said once");
    for id in ["web", "next"] {
        assert_eq!(ask_json(&scene.node, "DELETE", &format!("/v1/vms/{id}"), &json!({ "generation": 1 })).0, 200);
    }
    scene.wait_for(2);
}

#[test]
fn a_shape_whose_images_are_not_there_is_said_and_holds_nothing_up() {
    let missing = format!("sha256:{}", "77".repeat(32));
    let pool = |images: &Images| format!("{}{}", shape(1, &missing, ""), shape(1, &images.kernel, ""));
    let Some(scene) = scene(pool, 1) else { return };
    scene.wait_for_words("waits", 1);
    assert!(scene.node.log().contains("pool: no VMM waits: the store has no image"), "{}", scene.node.log());
    assert_eq!(scene.level("web", &scene.images.spec()), "pool");
}

const PATIENCE: Duration = Duration::from_secs(30);
