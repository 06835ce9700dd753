//! A verdict with all of its parts: a node in a world of places far from each other, measured by landmarks of several
//! operators, handed from owner to owner, and what becomes of each part when somebody lies or something is missing.

use garant_tests::{
    closed_boot::ClosedBoot,
    garant,
    garantd::Garantd,
    landmark::{LandmarkProgram, options},
    verifier::Verifier,
    world::{Place, World},
};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

const MACHINE: [u8; 4] = [203, 0, 113, 1];
const MACHINE_ABROAD: [u8; 4] = [203, 0, 113, 2];

/// Where landmarks stand: three operators in the middle of the EU, and the same three around Ashburn.
const LANDMARKS: [(&str, &str, f64, f64); 6] = [
    ("dresden", "North", 51.05, 13.74),
    ("leipzig", "South", 51.34, 12.37),
    ("prague", "West", 50.08, 14.43),
    ("ashburn", "North", 39.04, -77.49),
    ("richmond", "South", 37.54, -77.44),
    ("baltimore", "West", 39.29, -76.61),
];

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// Landmarks, each in a place of its own, and how long the way from the machine to each is.
struct Landmarks(Vec<(Place, LandmarkProgram)>);

impl Landmarks {
    fn in_world(world: &World) -> Landmarks {
        let one = |number: u8| {
            let there = world.place([198, 51, 100, number]);
            let program = LandmarkProgram::start(&there.words(), SocketAddr::new(there.ip, 8463));
            (there, program)
        };
        Landmarks((1..=LANDMARKS.len() as u8).map(one).collect())
    }

    /// Paths from `place`: so long to the first three, so long to the others.
    fn are_reached(&self, world: &World, place: &Place, europe: Duration, america: Duration) {
        for (number, (there, program)) in self.0.iter().enumerate() {
            world.path(place, there, program.tls, if number < 3 { europe } else { america });
        }
    }

    fn options(&self) -> String {
        self.0.iter().map(|(_, program)| options(program.tls, &program.key)).collect()
    }

    /// `[place]` of a policy that asks for the EU and lets one operator lie.
    fn policy(&self) -> String {
        let mut text = "[place]\nterritory = \"EU\"\nmay_lie = 1\n".to_owned();
        for ((_, program), (name, operator, latitude, longitude)) in self.0.iter().zip(LANDMARKS) {
            let key: String = program.key.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!(
                "[[place.landmark]]\nname = \"{name}\"\noperator = \"{operator}\"\nkey = \"{key}\"\n\
                 latitude = {latitude}\nlongitude = {longitude}\nuncertainty_m = 50\n"
            );
        }
        text
    }
}

/// A node that carries what landmarks said, and a verifier that enrolled it.
struct Case {
    boot: ClosedBoot,
    node: Garantd,
    verifier: Verifier,
}

impl Case {
    fn start(machine: &Place, lines: &str) -> Option<Case> {
        let boot = ClosedBoot::new()?;
        let node = Garantd::start_within(&machine.words(), &boot.tpm.address(), &(boot.options() + lines));
        let verifier = Verifier::of(&boot.tpm);
        let case = Case { boot, node, verifier };
        let enrolled = case.verifier.enroll(&case.address());
        assert!(enrolled.status.success(), "{enrolled:?}");
        Some(case)
    }

    fn address(&self) -> String {
        format!("unix:{}", self.node.socket().display())
    }

    fn asks_for(&self, sections: &str) {
        self.verifier.write("policy.toml", &self.boot.policy(&self.node, sections));
    }

    /// The verdict, and the exit code.
    fn verdict(&self, more: &[&str]) -> (Value, i32) {
        let record = self.verifier.text("node.record");
        let output = self.verifier.verify(&self.address(), &[&["--record", &record], more].concat());
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (json, output.status.code().unwrap_or(-1))
    }

    /// The verdict once so many landmarks have measured the node.
    fn measured_by(&self, landmarks: usize) -> (Value, i32) {
        let started = Instant::now();
        loop {
            let (verdict, code) = self.verdict(&[]);
            let link = links(&verdict, "place").into_iter().find(|link| link.contains("round trips"));
            if link.as_ref().is_some_and(|link| link.contains(&format!("to {landmarks} landmarks"))) {
                return (verdict, code);
            }
            let log = self.node.log();
            assert!(started.elapsed() < Duration::from_secs(60), "{verdict:#}; the node's log:\n{log}");
            sleep(us(100_000));
        }
    }
}

fn answer(verdict: &Value, part: &str) -> String {
    verdict["parts"][part]["answer"].as_str().unwrap_or_default().to_owned()
}

fn basis(verdict: &Value, part: &str) -> String {
    verdict["parts"][part]["basis"].as_str().unwrap_or_default().to_owned()
}

fn links(verdict: &Value, part: &str) -> Vec<String> {
    let links = verdict["parts"][part]["links"].as_array().cloned().unwrap_or_default();
    links.iter().map(|link| link["what"].as_str().unwrap_or_default().to_owned()).collect()
}

fn trusts(verdict: &Value, words: &str) -> bool {
    verdict["residual_trust"].to_string().contains(words)
}

#[test]
fn a_machine_near_landmarks_in_the_middle_of_the_eu_is_there_and_one_near_ashburn_is_not() {
    let Some(world) = World::open() else { return };
    let landmarks = Landmarks::in_world(&world);
    for (address, europe, america, expected, code) in
        [(MACHINE, us(200), us(45_000), "yes", 0), (MACHINE_ABROAD, us(45_000), us(200), "no", 1)]
    {
        let machine = world.place(address);
        landmarks.are_reached(&world, &machine, europe, america);
        let claim = "[location]\nlatitude = 50.1109\nlongitude = 8.6821\n";
        let Some(case) = Case::start(&machine, &(landmarks.options() + claim)) else { return };
        case.asks_for(&landmarks.policy());
        let (verdict, found) = case.measured_by(6);
        assert_eq!((answer(&verdict, "boot").as_str(), &verdict["closed"]), ("yes", &"yes".into()), "{verdict:#}");
        assert_eq!((answer(&verdict, "place").as_str(), found), (expected, code), "{verdict:#}");
        let own_word = "the node says that it is at 50.110900, 8.682100: its own word, on which nothing rests";
        assert!(verdict["parts"]["place"]["reasons"].to_string().contains(own_word), "{verdict:#}");
        assert_eq!(basis(&verdict, "place"), "test", "the chip's authority is a test root");
        assert!(links(&verdict, "place").iter().any(|link| link.contains("live in one TPM")), "boot's links, too");
        for what in ["hands in the case", "no more than 1 of 3", "nobody else has the session key", "the map, version"]
        {
            assert!(trusts(&verdict, what), "{what}: {verdict:#}");
        }
        assert_eq!(answer(&verdict, "workload"), "unknown");
    }
}

#[test]
fn place_and_owner_are_unknown_where_the_boot_is_not_yes_or_the_image_not_closed() {
    let Some(world) = World::open() else { return };
    let landmarks = Landmarks::in_world(&world);
    let machine = world.place(MACHINE);
    landmarks.are_reached(&world, &machine, us(200), us(45_000));
    let Some(case) = Case::start(&machine, &landmarks.options()) else { return };
    let sections = landmarks.policy() + "[owner]\n";
    case.asks_for(&sections);
    let (verdict, code) = case.measured_by(6);
    assert_eq!((answer(&verdict, "place").as_str(), answer(&verdict, "owner").as_str(), code), ("yes", "unknown", 2));
    let good = case.boot.policy(&case.node, &sections);
    let no_pcr_0 = good.replacen("0 = [\"00", "0 = [\"01", 1);
    let open = good.replacen("configurations = [\"", "configurations = []#", 1);
    for (policy, boot, code, reason) in [(no_pcr_0, "no", 1, "boot is no"), (open, "yes", 2, "not shown to be closed")]
    {
        case.verifier.write("policy.toml", &policy);
        let (verdict, found) = case.verdict(&[]);
        assert_eq!((answer(&verdict, "boot").as_str(), found), (boot, code), "{verdict:#}");
        for part in ["place", "owner"] {
            assert_eq!(answer(&verdict, part), "unknown");
            assert!(verdict["parts"][part]["reasons"].to_string().contains(reason), "{verdict:#}");
            assert!(links(&verdict, part).is_empty());
        }
    }
    let record = case.verifier.text("node.record");
    fs::rename(&record, case.verifier.path("away")).unwrap();
    fs::remove_dir_all(case.verifier.path("state")).unwrap();
    let output = case.verifier.verify(&case.address(), &[]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    for part in ["boot", "place", "owner"] {
        assert_eq!(answer(&verdict, part), "unknown", "without an enrolment record");
    }
}

#[test]
fn a_node_carries_what_its_owner_signed_and_a_statement_named_by_the_asker_counts_too() {
    let Some(boot) = ClosedBoot::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let carried = folder.path().join("carried");
    fs::create_dir(&carried).unwrap();
    let lines = format!("{}[statements]\nfolder = '{}'\n", boot.options(), carried.display());
    let node = Garantd::start(&boot.tpm.address(), &lines);
    let verifier = Verifier::of(&boot.tpm);
    let case = Case { boot, node, verifier };
    assert!(case.verifier.enroll(&case.address()).status.success());
    let text = |name: &str| folder.path().join(name).display().to_string();
    let types = |line: &str| {
        let done = garant::garant(&line.split_whitespace().collect::<Vec<_>>());
        assert!(done.status.success(), "{line}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let keys = ["maker", "owner"].map(|who| {
        let made =
            types(&format!("keygen --out {} --public {}", text(&format!("{who}.key")), text(&format!("{who}.pub"))));
        made.lines().find_map(|line| line.strip_prefix("public key")).unwrap().trim().to_owned()
    });
    case.asks_for(&format!(
        "[owner]\n[[owner.maker]]\nname = \"Maker\"\nkey = \"{}\"\n[[owner.person]]\nparty = \"x\"\nkey = \"{}\"\n",
        keys[0], keys[1]
    ));
    let record = case.verifier.text("node.record");
    let voucher = carried.join("node.voucher").display().to_string();
    let (to, maker, owner) = (text("owner.pub"), text("maker.key"), text("owner.key"));
    types(&format!("statement transfer sign --node {record} --to {to} --key {maker} --out {voucher}"));
    types(&format!("statement mandate sign {voucher} --node {record} --key {owner} --out {}", text("node.mandate")));
    std::thread::sleep(Duration::from_secs(2));
    let (verdict, code) = case.verdict(&[]);
    assert_eq!((answer(&verdict, "owner").as_str(), code), ("unknown", 2), "{verdict:#}");
    assert!(verdict["parts"]["owner"]["reasons"].to_string().contains("mandate"), "{verdict:#}");
    let (verdict, code) = case.verdict(&["--statements", &text("node.mandate")]);
    assert_eq!((answer(&verdict, "owner").as_str(), code), ("yes", 0), "{verdict:#}");
    let (verdict, code) = case.verdict(&["--statements", &text("owner.pub")]);
    assert_eq!((verdict.is_null(), code), (true, 3), "a file that is no statement");
}
