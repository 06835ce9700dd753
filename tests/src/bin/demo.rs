//! `make demo`: one machine boots as its verifier expects, then otherwise, then somebody lies about it.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode, time::Instant};

use garant_tests::{
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
    let node = stage.boots(Image::Expected, None)?;
    stage.types(&format!("enroll {} {TRUST} --key verifier.key --out node.record", node.address), 0, &["(test)"])?;
    stage.verifies(node.address, "--save old.answer", 0, &["yes (test)"])?;

    stage.says(
        "Another machine passes off the node's answers as its own; then it replays one; then a file is shown again.",
    );
    let relay = Impostor::start(node.address, Trick::Relay)?;
    stage.verifies(relay.address, "", 2, &["nonce and binder"])?;
    let replay = Impostor::start(node.address, Trick::Replay)?;
    stage.verifies(replay.address, "", 2, &["nonce and binder"])?;
    stage.verifies(replay.address, "", 2, &["nonce and binder"])?;
    stage.types(&format!("verify --bundle old.answer {VERIFY}"), 2, &["proves nothing about now"])?;
    drop((relay, replay, node));

    stage.says("The node boots the same image with one word more on its command line.");
    let node = stage.boots(Image::Expected, Some("one-more-word"))?;
    stage.verifies(node.address, "", 1, &["PCR 12", "one-more-word"])?;
    drop(node);

    stage.says("The node boots an image that was rebuilt with one line more in its configuration.");
    let node = stage.boots(Image::Rebuilt, None)?;
    stage.verifies(node.address, "", 1, &["PCR 4", "PCR 11"])?;
    stage.says("Done: yes for the expected boot, no for others, unknown for what is not its own fresh answer.");
    Ok(())
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
        self.types(&format!("verify {address} {VERIFY} {options}"), code, says)
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

/// How the policy is written.
const WRITE_POLICY: &str = "policy from-image --uki image/node.efi --firmware-log firmware.log \
     --closed-manifest image/manifest.toml --config image/garantd.toml --roots test --by demo > policy.toml";
/// Whom the verifier believes of TPMs: a root from outside garant's list is a test root.
const TRUST: &str = "--state state --ca tpm-root.pem --ca tpm-authority.pem";
/// What it accepts, and what it learnt at enrolment.
const VERIFY: &str = "--policy policy.toml --record node.record --key verifier.key --state state --ca tpm-root.pem \
     --ca tpm-authority.pem";
