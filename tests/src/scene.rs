//! What the demo plays and the end-to-end tests check: one machine with a TPM, its node image, and a verifier at a terminal.
//!
//! The verifier is the program `garant`, run as a person would run it, in a folder of its own. Nothing is handed to it that a
//! person would not have: the image, its manifest, the TPM maker's root, the machine's address.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

use garant_attest::uki::Uki;

use crate::{
    example_world::ExampleWorld,
    qemu::{BootSpec, Node},
    swtpm::Swtpm,
};

/// One machine and one verifier.
pub struct Scene {
    /// What lies around the machine.
    pub world: ExampleWorld,
    tpm: Swtpm,
    folder: TempDir,
    programs: Programs,
}

/// What the scene takes from `make image` and `make build`.
pub struct Programs {
    /// The program `garant`.
    pub garant: PathBuf,
    /// The static `garantd` that the image holds as /init.
    pub garantd: PathBuf,
}

/// Which image a machine starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// The one that the policy is written for.
    Expected,
    /// Built from the same parts, but for one line of configuration.
    Rebuilt,
}

impl Scene {
    /// A machine that is off, with a TPM fresh from its (test) maker; and both images. `None` where swtpm is not installed.
    pub fn set(programs: Programs) -> io::Result<Option<Scene>> {
        let Some(tpm) = Swtpm::provisioned_for_vmm("sha256,sha384") else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("garant-scene").tempdir()?;
        fs::write(folder.path().join(ROOT), tpm.authority().root_pem)?;
        fs::write(folder.path().join(AUTHORITY), tpm.authority().intermediate_pem)?;
        let scene = Scene { world: ExampleWorld::new()?, tpm, folder, programs };
        let configuration = fs::read_to_string(recipe().join("garantd.toml"))? + &scene.world.options();
        scene.build(Image::Expected, &configuration)?;
        scene.build(Image::Rebuilt, &format!("{configuration}# one line more\n"))?;
        Ok(Some(scene))
    }

    /// Powers the machine on. `one_more_word` goes into its boot entry, behind the image's own command line.
    pub fn boot(&mut self, image: Image, one_more_word: Option<&str>) -> io::Result<Node> {
        let uki = self.image(image).join("node.efi");
        let options = match one_more_word {
            Some(word) => Some(format!("{} {word}", command_line(&uki)?)),
            None => None,
        };
        let spec = BootSpec { uki: &uki, options: options.as_deref(), port: PORT, up_when: SERVER_UP };
        Node::boot(&spec, &mut self.tpm)
    }

    /// Types a command in the verifier's folder: `garant` with these words. `> FILE` at the end keeps what it prints.
    pub fn garant(&self, words: &str) -> io::Result<Typed> {
        let (arguments, kept) = words.split_once(" > ").map_or((words, None), |(words, file)| (words, Some(file)));
        let output =
            Command::new(&self.programs.garant).args(arguments.split(' ')).current_dir(self.folder.path()).output()?;
        if let Some(file) = kept {
            fs::write(self.folder.path().join(file), &output.stdout)?;
        }
        Ok(Typed { command: format!("garant {words}"), output })
    }

    /// A file in the verifier's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self, image: Image) -> PathBuf {
        self.folder.path().join(match image {
            Image::Expected => "image",
            Image::Rebuilt => "rebuilt",
        })
    }

    /// Runs the recipe of the node image.
    fn build(&self, image: Image, configuration: &str) -> io::Result<()> {
        let out = self.image(image);
        fs::create_dir_all(&out)?;
        let own = out.join("garantd.toml");
        fs::write(&own, configuration)?;
        let built = Command::new(recipe().join("build"))
            .args([&out, &self.programs.garantd, &own, &recipe().join("cmdline")])
            .output()?;
        if built.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("images/node/build failed: {}", String::from_utf8_lossy(&built.stderr))))
    }
}

/// A command and what came of it.
pub struct Typed {
    /// As a person types it.
    pub command: String,
    /// Exit code and text.
    pub output: Output,
}

impl Typed {
    /// Everything it printed.
    pub fn text(&self) -> String {
        let both = [&self.output.stdout[..], &self.output.stderr].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    /// Fails with everything it printed, unless it ended with this code and said all of these.
    pub fn expect(&self, code: i32, says: &[&str]) -> io::Result<()> {
        let text = self.text();
        let missing = says.iter().find(|words| !text.contains(**words));
        match (self.output.status.code(), missing) {
            (Some(found), None) if found == code => Ok(()),
            (Some(found), Some(words)) if found == code => {
                Err(io::Error::other(format!("`{}` does not say {words:?}:\n{text}", self.command)))
            }
            (found, _) => Err(io::Error::other(format!("`{}` ends with {found:?}, not {code}:\n{text}", self.command))),
        }
    }
}

/// The command line that an image brings along.
fn command_line(uki: &Path) -> io::Result<String> {
    let bytes = fs::read(uki)?;
    let parsed = Uki::parse(&bytes).map_err(|error| io::Error::other(error.to_string()))?;
    parsed.command_line().ok_or_else(|| io::Error::other("the image has no command line"))
}

fn recipe() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/node")
}

/// The TPM maker's root in the verifier's folder.
pub const ROOT: &str = "tpm-root.pem";
/// The authority between it and the EK certificates.
pub const AUTHORITY: &str = "tpm-authority.pem";
/// garantd's usual port.
const PORT: u16 = 8460;
/// garantd's words when it listens and is locked in.
const SERVER_UP: &str = "server locked in";
