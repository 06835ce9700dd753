//! A verdict with all of its parts: a node in a world of places far from each other, measured by landmarks of several
//! operators, handed from owner to owner, and what becomes of each part when somebody lies or something is missing.

use garant_attest::{
    carried::Carried,
    place::assess::{self, Atlas},
    policy::Policy,
    verdict::Answer,
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use garant_tests::{
    closed_boot::ClosedBoot,
    garant,
    garantd::Garantd,
    landmark::{HandNode, OwnLandmark, SlowClock, options},
    verifier::Verifier,
    world::{Place, World},
};
use garant_verifier::landmark::SystemClocks;
use serde_json::Value;
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const MACHINE: [u8; 4] = [203, 0, 113, 1];
const MACHINE_ABROAD: [u8; 4] = [203, 0, 113, 2];
const ACCOMPLICE: [u8; 4] = [203, 0, 113, 3];

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
struct Landmarks(Vec<(Place, OwnLandmark)>);

impl Landmarks {
    fn in_world(world: &World) -> Landmarks {
        Landmarks::with_clocks(world, |_| 1)
    }

    /// The clock of each runs so many times too slow.
    fn with_clocks(world: &World, slowness: impl Fn(u8) -> u64) -> Landmarks {
        let one = |number: u8| {
            let there = world.place([198, 51, 100, number + 1]);
            let clock = SlowClock(slowness(number));
            let landmark = there.run(|| OwnLandmark::start_at(SocketAddr::new(there.ip, 8463), clock));
            (there, landmark)
        };
        Landmarks((0..LANDMARKS.len() as u8).map(one).collect())
    }

    /// Paths from `place`: so long to the first three, so long to the others.
    fn are_reached(&self, world: &World, place: &Place, europe: Duration, america: Duration) {
        for (number, (there, landmark)) in self.0.iter().enumerate() {
            world.path(place, there, landmark.listening.tls, if number < 3 { europe } else { america });
        }
    }

    /// All of them, in a node's configuration.
    fn options(&self) -> String {
        self.options_of(&[0, 1, 2, 3, 4, 5])
    }

    fn options_of(&self, asked: &[usize]) -> String {
        let asked = asked.iter().map(|number| &self.0[*number].1);
        asked.map(|landmark| options(landmark.listening.tls, &landmark.key)).collect()
    }

    /// `[place]` of a policy that asks for the EU and lets one operator lie.
    fn policy(&self) -> String {
        let mut text = "[place]\nterritory = \"EU\"\nmay_lie = 1\n".to_owned();
        for ((_, landmark), (name, operator, latitude, longitude)) in self.0.iter().zip(LANDMARKS) {
            text += &format!(
                "[[place.landmark]]\nname = \"{name}\"\noperator = \"{operator}\"\nkey = \"{}\"\n\
                 latitude = {latitude}\nlongitude = {longitude}\nuncertainty_m = 50\n",
                hex(&landmark.key)
            );
        }
        text
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

    /// The verdict once so many landmarks of the policy have measured the node.
    fn measured_by(&self, landmarks: usize) -> (Value, i32) {
        let measured = format!("to {landmarks} landmarks");
        self.once(&[], |verdict| links(verdict, "place").iter().any(|link| link.contains(&measured)))
    }

    /// The verdict once it is such a one.
    fn once(&self, more: &[&str], is_such: impl Fn(&Value) -> bool) -> (Value, i32) {
        let started = Instant::now();
        loop {
            let (verdict, code) = self.verdict(more);
            if is_such(&verdict) {
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

/// The landmark in Dresden says that every machine is in Dresden.
#[test]
fn a_landmark_that_lies_makes_no_yes_of_a_machine_abroad() {
    let Some(world) = World::open() else { return };
    let landmarks = Landmarks::with_clocks(&world, |number| if number == 0 { 1000 } else { 1 });
    let machine = world.place(MACHINE_ABROAD);
    landmarks.are_reached(&world, &machine, us(45_000), us(600));
    for (asked, expected, code) in [(&[0, 1, 2, 3, 4, 5][..], "no", 1), (&[0, 2], "unknown", 2)] {
        let Some(case) = Case::start(&machine, &landmarks.options_of(asked)) else { return };
        case.asks_for(&landmarks.policy());
        let (verdict, found) = case.measured_by(asked.len());
        assert_eq!((answer(&verdict, "place").as_str(), found), (expected, code), "{asked:?}: {verdict:#}");
        if asked.len() == 2 {
            case.asks_for(&landmarks.policy().replace("may_lie = 1", "alone = \"North\""));
            let (verdict, _) = case.verdict(&[]);
            assert_eq!(answer(&verdict, "place"), "yes", "whoever trusts the liar alone is lied to: {verdict:#}");
            assert!(trusts(&verdict, "landmark operator North, whom the policy trusts alone"), "{verdict:#}");
        }
    }
}

#[test]
fn an_accomplice_in_the_eu_who_relays_makes_no_yes_of_a_machine_abroad() {
    let Some(world) = World::open() else { return };
    let landmarks = Landmarks::in_world(&world);
    let (machine, accomplice) = (world.place(MACHINE_ABROAD), world.place(ACCOMPLICE));
    landmarks.are_reached(&world, &accomplice, us(200), us(45_000));
    for (number, (there, landmark)) in landmarks.0.iter().enumerate() {
        let (next, one_way) = if number < 3 { (&accomplice, us(45_000)) } else { (there, us(200)) };
        world.path(&machine, next, landmark.listening.tls, one_way);
    }
    for (asked, expected, code) in [(&[0, 1, 2][..], "unknown", 2), (&[0, 1, 2, 3, 4, 5], "no", 1)] {
        let Some(case) = Case::start(&machine, &landmarks.options_of(asked)) else { return };
        case.asks_for(&landmarks.policy());
        let (verdict, found) = case.measured_by(asked.len());
        assert_eq!((answer(&verdict, "place").as_str(), found), (expected, code), "{asked:?}: {verdict:#}");
    }
}

/// What no round trip tells, and the verdict says: that somebody else may have the session key.
#[test]
fn an_accomplice_who_has_the_session_key_makes_a_yes_that_names_this_residual_risk() {
    let Some(world) = World::open() else { return };
    let landmarks = Landmarks::in_world(&world);
    let (machine, accomplice) = (world.place(MACHINE_ABROAD), world.place(ACCOMPLICE));
    landmarks.are_reached(&world, &machine, us(45_000), us(200));
    landmarks.are_reached(&world, &accomplice, us(200), us(45_000));
    let policy = format!("roots = [\"test\"]\nmax_age_s = 300\n{}", landmarks.policy());
    let policy = Policy::parse(policy.as_bytes(), &FastEngine).unwrap();
    let (asked, f) = (policy.place().unwrap(), SigningKey::generate().unwrap());
    let atlas = Atlas::new(asked).unwrap();
    for (place, expected) in [(&machine, Answer::Unknown), (&accomplice, Answer::Yes)] {
        let statements: Vec<Vec<u8>> = landmarks.0[..3].iter().map(|(_, one)| said_of_hand(place, one, &f)).collect();
        let carried = Carried::sort(statements.iter().map(Vec::as_slice));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let session_key = f.public();
        let evidence = assess::Evidence { engine: &FastEngine, session_key, node_ids: &[], carried: &carried, now };
        let assessed = assess::assess(asked, &atlas, &evidence, &[]);
        assert_eq!(assessed.part.answer, expected, "{:?}", assessed.part);
        let residual = "that nobody else has the session key: an accomplice who holds it answers from where the \
                        accomplice stands";
        assert!(assessed.residual_trust.iter().any(|one| one == residual), "{:?}", assessed.residual_trust);
    }
}

/// What the landmark says of a node made by hand that has this F and lives here.
fn said_of_hand(place: &Place, landmark: &OwnLandmark, f: &SigningKey) -> Vec<u8> {
    let IpAddr::V4(ip) = place.ip else { panic!("an IPv4 world") };
    let (status, body) = place.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { HandNode::dial_with(landmark, ip, f.clone()).await.unwrap().be_measured().await })
    });
    assert_eq!(status, 200, "{body:?}");
    body.to_vec()
}

/// Nothing is slowed here: the shortest of 32 round trips over loopback takes 35 to 50 µs (measured, 2 cores, both busy).
#[test]
fn a_landmark_in_the_building_and_its_auditors_statement_raise_what_round_trips_leave_open() {
    let Some(world) = World::open() else { return };
    let landmarks = Landmarks::in_world(&world);
    let machine = world.place(MACHINE);
    landmarks.are_reached(&world, &machine, us(4_000), us(45_000));
    let in_the_building = SocketAddr::from(([127, 0, 0, 1], 8463));
    let anchor = machine.run(|| OwnLandmark::start_at(in_the_building, SystemClocks));
    let lines = landmarks.options() + &options(anchor.listening.tls, &anchor.key);
    let Some(case) = Case::start(&machine, &lines) else { return };
    let text = |name: &str| case.verifier.text(name);
    let types = |line: &str| {
        let done = garant::garant(&line.split_whitespace().collect::<Vec<_>>());
        assert!(done.status.success(), "{line}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let example = types("statement site sign --example").replace("2027-02-28", "2100-01-01");
    let anchored = example.replace(&"0".repeat(64), &hex(&anchor.key));
    case.verifier.write("site.toml", &anchored);
    case.verifier.write("elsewhere.toml", &anchored.replace("50.110900", "47.590000").replace("8.682100", "7.560000"));
    let made = types(&format!("keygen --out {} --public {}", text("auditor.key"), text("auditor.pub")));
    types(&format!("keygen --out {} --public {}", text("other.key"), text("other.pub")));
    for (site, key, out) in
        [("site", "auditor", "site"), ("site", "other", "stranger"), ("elsewhere", "auditor", "elsewhere")]
    {
        let [toml, key, out] = [format!("{site}.toml"), format!("{key}.key"), format!("{out}.site")].map(|n| text(&n));
        types(&format!("statement site sign {toml} --key {key} --out {out}"));
    }
    let auditor = made.lines().find_map(|line| line.strip_prefix("public key")).unwrap().trim();
    case.asks_for(&format!("{}[[place.auditor]]\nname = \"Auditor\"\nkey = \"{auditor}\"\n", landmarks.policy()));
    let (verdict, code) = case.measured_by(6);
    assert_eq!((answer(&verdict, "place").as_str(), code), ("unknown", 2), "{verdict:#}");
    let statement = text("site.site");
    let (verdict, code) = case.once(&["--statements", &statement], |verdict| answer(verdict, "place") == "yes");
    assert_eq!(code, 0, "{verdict:#}");
    let all = verdict["parts"]["place"]["links"].to_string();
    for words in ["testimony: Auditor", "Example Street 1, 60311 Frankfurt am Main", "landmark of site"] {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert!(trusts(&verdict, "that it still stands there, measures honestly, and nobody else has its key"));
    for (file, reason) in [("stranger.site", "names another signer"), ("elsewhere.site", "there is other land")] {
        let (verdict, code) = case.verdict(&["--statements", &text(file)]);
        assert_eq!((answer(&verdict, "place").as_str(), code), ("unknown", 2), "{file}: {verdict:#}");
        assert!(verdict["parts"]["place"]["reasons"].to_string().contains(reason), "{file}: {verdict:#}");
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
