//! `make demo`: one machine boots as its verifier expects, in an example world of landmarks, owners and auditors; then it boots
//! otherwise, then somebody lies about it, then it is moved, then it is sold.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use garant_tests::{
    example_world::Stand,
    impostor::{Impostor, Trick},
    qemu::Node,
    scene::{Image, Programs, Scene},
};

fn main() -> ExitCode {
    match play(Instant::now()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demo stops: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(started: Instant) -> io::Result<()> {
    let mut stage = Stage { started, scene: set()? };
    stage.says("The verifier makes a key, and gets a boot log of this firmware from a boot of some other image.");
    stage.types("keygen --out verifier.key", 0, &[])?;
    let node = stage.boots(Image::Rebuilt, None)?;
    stage.types(&format!("verify {} --state state --boot-log firmware.log", node.address), 2, &["unknown"])?;
    drop(node);

    stage.says("From image and firmware log it predicts a boot that never took place. Then the node boots it.");
    stage.types(WRITE_POLICY, 0, &[])?;
    stage.scene.world.stand(Stand::InEurope)?;
    let node = stage.boots(Image::Expected, None)?;
    stage.types(&format!("enroll {} {TRUST} --key verifier.key --out node.record", node.address), 0, &["(test)"])?;
    stage.verifies(node.address, "--save old.bundle", 0, &["yes (test)"])?;
    lies(&stage, &node)?;
    papers(&stage)?;
    at_home(&stage, &node)?;
    sold(&stage, &node)?;
    drop(node);

    stage.says("The machine is moved: now the landmarks around Ashburn are near. It boots the same image there.");
    stage.scene.world.stand(Stand::Abroad)?;
    let node = stage.boots(Image::Expected, None)?;
    stage.waits_for_landmarks(&node)?;
    stage.asks_all(&node, "", 1, &["boot      yes (test)", "place     no (test)", "outside (US"])?;
    drop(node);

    stage.says("The node boots the same image with one word more on its command line.");
    let node = stage.boots(Image::Expected, Some("one-more-word"))?;
    stage.verifies(node.address, "", 1, &["PCR 12", "one-more-word"])?;
    drop(node);

    stage.says("The node boots an image that was rebuilt with one line more in its configuration.");
    let node = stage.boots(Image::Rebuilt, None)?;
    stage.verifies(node.address, "", 1, &["PCR 4", "PCR 11"])?;
    stage.says(
        "Done: yes where everything is as it must be, no where something is not, unknown where something is missing.",
    );
    Ok(())
}

fn lies(stage: &Stage, node: &Node) -> io::Result<()> {
    stage.says(
        "Another machine passes off the node's answers as its own; then it replays one; then a file is shown again.",
    );
    let relay = Impostor::start(node.address, Trick::Relay)?;
    stage.verifies(relay.address, "", 2, &["nonce and binder"])?;
    let replay = Impostor::start(node.address, Trick::Replay)?;
    stage.verifies(replay.address, "", 2, &["nonce and binder"])?;
    stage.verifies(replay.address, "", 2, &["nonce and binder"])?;
    stage.types(&format!("verify --bundle old.bundle {VERIFY}"), 2, &["proves nothing about now"])
}

/// What makers, owners and auditors sign. All of them are made up.
fn papers(stage: &Stage) -> io::Result<()> {
    stage.says(
        "Papers of an EXAMPLE world: a maker sells the machine, its owner vouches for the node, an auditor signs shares. \
         All persons, companies and positions in it are made up.",
    );
    for who in ["maker", "owner", "auditor"] {
        stage.types(&format!("keygen --out {who}.key --public {who}.pub"), 0, &[])?;
    }
    stage.types(
        "statement transfer sign --node node.record --to owner.pub --key maker.key --out node.voucher",
        0,
        &[],
    )?;
    stage.types("statement mandate sign node.voucher --node node.record --key owner.key --out node.mandate", 0, &[])?;
    let now = now()?;
    for (name, sold, kept) in [("shares", "10", "90"), ("sold", "25", "75")] {
        let until = now + 30 * 86_400;
        let text = SHARES.replace("NOW", &now.to_string()).replace("UNTIL", &until.to_string());
        let text = text.replace("SOLD", sold).replace("KEPT", kept);
        fs::write(stage.scene.path(&format!("{name}.toml")), text)?;
        stage.types(&format!("statement shares sign {name}.toml --key auditor.key --out node.{name}"), 0, &[])?;
    }
    let policy = fs::read_to_string(stage.scene.path("policy.toml"))?;
    let key = |who: &str| fs::read_to_string(stage.scene.path(&format!("{who}.pub"))).map(|pem| pem.trim().to_owned());
    let owner =
        OWNER.replace("@MAKER", &key("maker")?).replace("@OWNER", &key("owner")?).replace("@AUDITOR", &key("auditor")?);
    let sections = format!("{}{owner}", stage.scene.world.policy());
    println!("\nThe policy also asks where the machine is and whose:\n{sections}");
    fs::write(stage.scene.path("all.toml"), policy + &sections)
}

/// The whole verdict, a map of it, and what a missing paper does to it.
fn at_home(stage: &Stage, node: &Node) -> io::Result<()> {
    stage.says("Three operators' landmarks have measured the node. Boot, place and owner of the EXAMPLE machine:");
    stage.waits_for_landmarks(node)?;
    let all = ["boot      yes (test)", "place     yes (test)", "owner     yes (test)", "19.6.b.shares: yes"];
    stage.asks_all(node, "--statements node.shares --ear node.ear --save node.bundle", 0, &all)?;
    stage.types("explain node.ear --svg > map.svg", 0, &[])?;
    let map = fs::read_to_string(stage.scene.path("map.svg"))?;
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/demo-map.svg");
    fs::write(&kept, map)?;
    println!("the map of where it can be: target/demo-map.svg");
    stage.says(
        "The bundle shows an auditor what was so today, years later; and without the owner's mandate nothing is known.",
    );
    let now = now()?;
    stage.types(&format!("verify --bundle node.bundle --at {now} --policy all.toml {KNOWN}"), 0, &all)?;
    fs::rename(stage.scene.path("node.mandate"), stage.scene.path("mandate.away"))?;
    let options = format!("verify {} --policy all.toml --record node.record {KNOWN}", node.address);
    stage.types(
        &format!("{options} --statements node.voucher --statements node.shares"),
        2,
        &["owner     unknown", "mandate"],
    )?;
    fs::rename(stage.scene.path("mandate.away"), stage.scene.path("node.mandate"))
}

fn sold(stage: &Stage, node: &Node) -> io::Result<()> {
    stage.says("A quarter of the EXAMPLE owner is sold to a holder outside the EU: SecNumCloud 3.2 allows 24 %.");
    let says = ["owner     no (test)", "19.6.b.shares: no", "Example Partners Inc."];
    stage.asks_all(node, "--statements node.sold", 1, &says)
}

/// The scene, and when the play began.
struct Stage {
    started: Instant,
    scene: Scene,
}

impl Stage {
    fn says(&self, what: &str) {
        println!("\n==> [{:>3} s] {what}", self.started.elapsed().as_secs());
    }

    fn boots(&mut self, image: Image, one_more_word: Option<&str>) -> io::Result<Node> {
        println!("... booting {image:?} image under OVMF (some 20 s on an idle machine)");
        let node = self.scene.boot(image, one_more_word)?;
        println!("... up after {:.1} s", node.boot_time.as_secs_f32());
        Ok(node)
    }

    fn verifies(&self, address: SocketAddr, options: &str, code: i32, says: &[&str]) -> io::Result<()> {
        self.types(format!("verify {address} {VERIFY} {options}").trim_end(), code, says)
    }

    /// Asks for boot, place and owner, with voucher and mandate at hand.
    fn asks_all(&self, node: &Node, options: &str, code: i32, says: &[&str]) -> io::Result<()> {
        let papers = "--statements node.voucher --statements node.mandate";
        let words =
            format!("verify {} --policy all.toml --record node.record {KNOWN} {papers} {options}", node.address);
        self.types(words.trim_end(), code, says)
    }

    /// Until all six have measured this boot's session key.
    fn waits_for_landmarks(&self, node: &Node) -> io::Result<()> {
        let words = format!("verify {} --policy all.toml --record node.record {KNOWN} --json", node.address);
        let started = Instant::now();
        loop {
            let typed = self.scene.garant(&words)?;
            if typed.text().contains("round trips to 6 landmarks") {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("no six landmarks measured the node:\n{}", typed.text())));
            }
            sleep(Duration::from_millis(500));
        }
    }

    /// Types a command, shows it and what it prints, and stops the play where it ends otherwise.
    fn types(&self, words: &str, code: i32, says: &[&str]) -> io::Result<()> {
        println!("\n$ garant {words}");
        let typed = self.scene.garant(words.trim_end())?;
        print!("{}", if words.contains(" > ") { String::new() } else { typed.text() });
        typed.expect(code, says)
    }
}

fn set() -> io::Result<Scene> {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let programs = Programs {
        garant: target.join("debug/garant"),
        garantd: target.join("x86_64-unknown-linux-musl/release/garantd"),
    };
    Scene::set(programs)?.ok_or_else(|| io::Error::other("swtpm is missing: run `make deps`"))
}

/// Seconds since 1970.
fn now() -> io::Result<u64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map(|since| since.as_secs()).map_err(io::Error::other)
}

/// How the policy is written.
const WRITE_POLICY: &str = "policy from-image --uki image/node.efi --firmware-log firmware.log \
     --closed-manifest image/manifest.toml --config image/garantd.toml --roots test --by demo > policy.toml";
/// Whom the verifier believes of TPMs: a root from outside garant's list is a test root.
const TRUST: &str = "--state state --ca tpm-root.pem --ca tpm-authority.pem";
/// What it accepts, and what it learnt at enrolment.
const VERIFY: &str = "--policy policy.toml --record node.record --key verifier.key --state state --ca tpm-root.pem \
     --ca tpm-authority.pem";
/// Who it is and whom it believes.
const KNOWN: &str = "--key verifier.key --state state --ca tpm-root.pem --ca tpm-authority.pem";
/// The landmarks measure one after the other, and the far ones take their time.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the example auditor found.
const SHARES: &str = r#"# EXAMPLE: everybody in here is made up.
as_of = "NOW"
valid_until = "UNTIL"
party = [
    { id = "example:cloud", name = "Example Cloud SAS", kind = "registeredEntity", seat = "FR", central_administration = "FR", principal_establishment = "FR" },
    { id = "example:holding", name = "Example Holding GmbH", kind = "registeredEntity", seat = "DE", central_administration = "DE", principal_establishment = "DE" },
    { id = "example:lux", name = "Example Lux S.a r.l.", kind = "registeredEntity", seat = "LU", central_administration = "LU", principal_establishment = "LU" },
    { id = "example:partners", name = "Example Partners Inc.", kind = "registeredEntity", seat = "US", central_administration = "US", principal_establishment = "US" },
    { id = "example:founder", name = "The Example Founder", kind = "person", nationalities = ["DE"], residence = "DE" },
]
interest = [
    { subject = "example:cloud", holder = "example:holding", kind = "shareholding", exact = "KEPT" },
    { subject = "example:cloud", holder = "example:holding", kind = "votingRights", exact = "KEPT" },
    { subject = "example:cloud", holder = "example:lux", kind = "shareholding", exact = "SOLD" },
    { subject = "example:cloud", holder = "example:lux", kind = "votingRights", exact = "SOLD" },
    { subject = "example:lux", holder = "example:partners", kind = "shareholding", exact = "100" },
    { subject = "example:lux", holder = "example:partners", kind = "votingRights", exact = "100" },
    { subject = "example:holding", holder = "example:founder", kind = "shareholding", exact = "100" },
    { subject = "example:holding", holder = "example:founder", kind = "votingRights", exact = "100" },
]
exclusion = [
    { subject = "example:cloud", kind = "veto" },
    { subject = "example:cloud", kind = "appointmentOfBoard" },
]
"#;
/// Whose the machine must be.
const OWNER: &str = r#"[owner]
[[owner.maker]]
name = "Example Maker"
key = """
@MAKER
"""
[[owner.person]]
party = "example:cloud"
key = """
@OWNER
"""
[[owner.witness]]
name = "Example Auditor"
key = """
@AUDITOR
"""
[[owner.rules]]
set = "secnumcloud-3.2"
ask = ["19.6.a", "19.6.b.shares", "19.6.b.rights"]
"#;
