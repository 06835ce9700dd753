//! The real `garantd` in a scratch folder: keeper and server, over a TCP port and a Unix socket of its own.

use crate::world::behind;
use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running node; it is stopped when dropped.
pub struct Garantd {
    /// Where it answers over TLS.
    pub address: SocketAddr,
    keeper: Child,
    folder: TempDir,
}

impl Garantd {
    /// Starts one on this TPM and waits until it answers. `options` are lines of its configuration; without more it
    /// reads no log, no IMA list and no SMBIOS table.
    pub fn start(tpm: &str, options: &str) -> Garantd {
        let node = Garantd::launch(tpm, options);
        node.wait_until_ready();
        node
    }

    /// Starts one behind these words, such as those of a place of a [`crate::world::World`], and waits.
    pub fn start_within(words: &[&str], tpm: &str, options: &str) -> Garantd {
        let node = Garantd::launch_within(words, tpm, options);
        node.wait_until_ready();
        node
    }

    /// Starts one and does not wait.
    pub fn launch(tpm: &str, options: &str) -> Garantd {
        Garantd::launch_within(&[], tpm, options)
    }

    /// Starts one whose log finds no room on its disk, and waits.
    pub fn start_unheard(tpm: &str) -> Garantd {
        let full = |_: &Path| fs::OpenOptions::new().write(true).open("/dev/full");
        let node = Garantd::launch_logging(full, &[], tpm, "");
        node.wait_until_ready();
        node
    }

    fn launch_within(words: &[&str], tpm: &str, options: &str) -> Garantd {
        Garantd::launch_logging(|file| fs::File::create(file), words, tpm, options)
    }

    fn launch_logging(
        open: impl Fn(&Path) -> io::Result<fs::File>,
        words: &[&str],
        tpm: &str,
        options: &str,
    ) -> Garantd {
        let folder = tempfile::Builder::new().prefix("garantd").tempdir().expect("no scratch folder");
        let address = free_address();
        let socket = folder.path().join("garantd.sock");
        let absent = folder.path().join("absent");
        let mut text = format!("listen = ['{address}']\nsocket = '{}'\n", socket.display());
        for option in ["boot_log", "ima_list", "smbios"] {
            if !options.contains(option) {
                text += &format!("{option} = '{}'\n", absent.display());
            }
        }
        let configuration = folder.path().join("garantd.toml");
        fs::write(&configuration, text + options).expect("scratch folder is read-only");
        let log = open(&folder.path().join("log")).expect("scratch folder is read-only");
        let mut own = Command::new(binary());
        own.args(["--tpm", tpm, "--config"]).arg(&configuration);
        let keeper = behind(words, &own)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("garantd does not start");
        Garantd { address, keeper, folder }
    }

    /// Waits for the first answer.
    pub fn wait_until_ready(&self) {
        let started = Instant::now();
        while !self.is_healthy().unwrap_or(false) {
            assert!(started.elapsed() < PATIENCE, "garantd does not answer; its log:\n{}", self.log());
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_healthy(&self) -> io::Result<bool> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /v1/health HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("garantd.sock")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its configuration.
    pub fn configuration(&self) -> String {
        fs::read_to_string(self.folder.path().join("garantd.toml")).expect("no configuration")
    }

    /// The process that has B.
    pub fn keeper_pid(&self) -> u32 {
        self.keeper.id()
    }

    /// The process that answers, where one runs.
    pub fn server_pid(&self) -> Option<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.keeper.id());
        let children = fs::read_to_string(children).ok()?;
        let is_server =
            |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"garantd\0server\0");
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_server)
    }

    /// Kills the server as an accident would; the keeper lives on.
    pub fn kill_server(&self) {
        let pid = self.server_pid().expect("no server runs").to_string();
        let done = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(done.is_ok_and(|status| status.success()), "the server does not die");
    }
}

impl Drop for Garantd {
    fn drop(&mut self) {
        // SIGTERM, so that the keeper ends its server too.
        let _ = Command::new("kill").arg(self.keeper.id().to_string()).status();
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if !matches!(self.keeper.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// The binary of the profile that these tests are built with, built if it is not there or old.
pub fn binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(named) = std::env::var_os("GARANTD") {
                return named.into();
            }
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--package", "garantd", "--bin", "garantd"]);
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            assert!(build.status().is_ok_and(|status| status.success()), "garantd cannot be built");
            let own = std::env::current_exe().expect("no path of our own");
            let is_profile = |folder: &&Path| folder.join("garantd").is_file();
            own.ancestors().find(is_profile).expect("garantd is not where cargo builds").join("garantd")
        })
        .clone()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("no port is free");
    listener.local_addr().expect("a bound socket has an address")
}

const PATIENCE: Duration = Duration::from_secs(20);
