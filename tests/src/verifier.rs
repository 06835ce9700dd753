//! A verifier's side in a scratch folder: key, policy, roots of one swtpm, state; and `garant serve` as a process.

use crate::{garant, swtpm::Swtpm};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
};
use tempfile::TempDir;

/// Files of one verifier.
pub struct Verifier {
    folder: TempDir,
    authorities: usize,
}

impl Verifier {
    /// A verifier that believes in this TPM's test authority, and whose policy accepts a TPM that nothing measured into.
    pub fn of(tpm: &Swtpm) -> Verifier {
        let folder = tempfile::Builder::new().prefix("garant-verifier").tempdir().expect("no scratch folder");
        let mut verifier = Verifier { folder, authorities: 0 };
        verifier.believe(tpm);
        verifier.write("policy.toml", &Verifier::policy(""));
        let made = garant::garant(&["keygen", "--out", &verifier.text("verifier.key")]);
        assert!(made.status.success(), "{made:?}");
        verifier
    }

    /// Believes in one more test authority.
    pub fn believe(&mut self, tpm: &Swtpm) {
        let authority = tpm.authority();
        let pem = format!("{}{}", authority.root_pem, authority.intermediate_pem);
        self.write(&format!("ca{}.pem", self.authorities), &pem);
        self.authorities += 1;
    }

    /// A policy that pins the PCRs of a machine that measured nothing, after these lines.
    pub fn policy(first: &str) -> String {
        let zeros = "00".repeat(32);
        let pins: String = (0..15).filter(|pcr| *pcr != 10).map(|pcr| format!("{pcr} = [\"{zeros}\"]\n")).collect();
        format!("{first}\nroots = [\"test\"]\nmax_age_s = 300\n[pins.sha256]\n{pins}")
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("scratch folder is read-only");
        path
    }

    /// A file's path.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Options that name state and authorities.
    fn trust(&self) -> Vec<String> {
        let mut options = vec!["--state".to_owned(), self.text("state")];
        for number in 0..self.authorities {
            options.extend(["--ca".to_owned(), self.text(&format!("ca{number}.pem"))]);
        }
        options
    }

    /// Runs `garant` with this verifier's state, authorities and key.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_key(arguments, "verifier.key")
    }

    /// The same with another key.
    pub fn run_with_key(&self, arguments: &[&str], key: &str) -> Output {
        let mut all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        all.extend(self.trust());
        all.extend(["--key".to_owned(), self.text(key)]);
        garant::garant(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Enrols the node at this address.
    pub fn enroll(&self, address: &str) -> Output {
        self.run(&["enroll", address, "--out", &self.text("node.record"), "--json"])
    }

    /// Verifies it under the policy; further options follow.
    pub fn verify(&self, address: &str, options: &[&str]) -> Output {
        let policy = self.text("policy.toml");
        self.run(&[&["verify", address, "--policy", &policy, "--json"], options].concat())
    }

    /// A configuration of `garant serve` with these lines.
    pub fn configure(&self, lines: &str) -> PathBuf {
        let authorities: Vec<String> = (0..self.authorities).map(|number| format!("'ca{number}.pem'")).collect();
        let text = format!(
            "key = 'verifier.key'\npolicy = 'policy.toml'\nstore = 'verifier.redb'\nlisten = '127.0.0.1:0'\n\
             listen_nodes = '127.0.0.1:0'\nca = [{}]\n{lines}",
            authorities.join(", ")
        );
        self.write("serve.toml", &text)
    }
}

/// A running `garant serve`; killed when dropped.
pub struct Serving {
    /// Where relying parties ask.
    pub relying_parties: SocketAddr,
    /// Where nodes push.
    pub nodes: SocketAddr,
    process: Child,
}

impl Serving {
    /// Starts it and waits until it listens.
    pub fn start(configuration: &Path) -> Serving {
        let mut command = garant::command(&["serve", &configuration.display().to_string()]);
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("garant does not start");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut address = |name: &str| -> SocketAddr {
            for line in lines.by_ref() {
                let line = line.expect("text");
                if let Some(address) = line.strip_prefix(name) {
                    return address.trim().parse().expect("an address");
                }
                eprintln!("garant serve: {line}");
            }
            panic!("garant serve ended");
        };
        let (relying_parties, nodes) = (address("relying parties:"), address("nodes:"));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("garant serve: {line}")));
        Serving { relying_parties, nodes, process }
    }

    /// Kills it as the kernel does when memory is short.
    pub fn kill(&mut self) {
        self.process.kill().expect("it does not die");
        self.process.wait().expect("it is ours");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
