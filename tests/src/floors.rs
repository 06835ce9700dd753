//! The least time that each path can take, by the programs of `../shared/floors`, run beside what is measured.
//!
//! They are found through GARANT_FLOORS or `../shared/floors`, built in the target folder, and never changed.

use crate::swtpm::Swtpm;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Where the built programs are.
pub struct Floors {
    built: PathBuf,
    source: PathBuf,
}

impl Floors {
    /// `None`, and a line on standard error, where there are none.
    pub fn find() -> Option<Floors> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let source = env::var_os("GARANT_FLOORS").map_or_else(|| root.join("../shared/floors"), PathBuf::from);
        if !source.join("mtls").is_dir() {
            eprintln!("SKIPPED: no floors at {}: set GARANT_FLOORS", source.display());
            return None;
        }
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Some(Floors { built: target.join("floors"), source })
    }

    /// Median of a raw TPM2_Quote by a P-256 key, in ms.
    pub fn raw_quote_ms(&self, tpm: &Swtpm) -> f64 {
        let done = Command::new(self.program("tpm", "tpmfloor")).arg(tpm.address()).arg("300").output();
        let done = done.expect("the floor program runs");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("Quote ECC-P256 pcr 0-15")).expect("the P-256 quote");
        field(line, "p50_us=") / 1e3
    }

    /// Answers of 4 KB a second over mutual TLS that needs no TPM, with so many clients.
    pub fn mtls_per_s(&self, clients: usize) -> f64 {
        let server = Server::start(&self.program("mtls", "mtlsserver"));
        let done = Command::new(self.program("mtls", "loadgen"))
            .args([&format!("https://{}/", server.address), &clients.to_string(), "5", "--cert"])
            .arg(server.folder.path().join("client.pem"))
            .arg("--key")
            .arg(server.folder.path().join("client.key"))
            .output()
            .expect("the floor program runs");
        field(&String::from_utf8_lossy(&done.stdout), "req_per_s=")
    }

    /// The path of a floor's program, built from a copy of its folder.
    fn program(&self, folder: &str, name: &str) -> PathBuf {
        let copy = self.built.join(folder);
        if !copy.join("Cargo.toml").is_file() {
            let done = Command::new("mkdir").arg("-p").arg(&self.built).status();
            assert!(done.is_ok_and(|status| status.success()), "no folder for floors");
            let done = Command::new("cp").arg("-r").arg(self.source.join(folder)).arg(&copy).status();
            assert!(done.is_ok_and(|status| status.success()), "floors cannot be copied");
        }
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--release", "--quiet", "--target-dir"]).arg(self.built.join("target"));
        // A package of its own, not a member of this workspace.
        let manifest = copy.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("a manifest");
        if !text.contains("[workspace]") {
            fs::write(&manifest, format!("{text}\n[workspace]\n")).expect("the copy is ours");
        }
        let done = build.arg("--manifest-path").arg(manifest).status();
        assert!(done.is_ok_and(|status| status.success()), "the floor {folder} cannot be built");
        self.built.join("target/release").join(name)
    }
}

struct Server {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Server {
    fn start(program: &Path) -> Server {
        let folder = tempfile::tempdir().expect("no scratch folder");
        write_certificates(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").expect("no port is free");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        drop(listener);
        let path = |name: &str| folder.path().join(name);
        let mut child = Command::new(program)
            .args([&address, "4096", "1"])
            .args([path("ca.pem"), path("server.pem"), path("server.key")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the floor program runs");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line when it listens");
        Server { child, address, folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_certificates(folder: &Path) {
    let mut authority = CertificateParams::new([]).expect("parameters");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("a root");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("scratch folder is read-only");
    write("ca.pem", authority.pem());
    for name in ["server", "client"] {
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        write(&format!("{name}.pem"), leaf.signed_by(&key, &authority).expect("a certificate").pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// The number after `name` in a line of `name=number` fields.
fn field(line: &str, name: &str) -> f64 {
    let rest = line.split_once(name).expect("the field").1;
    rest.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number")
}
