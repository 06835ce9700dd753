//! A throw-away swtpm: its state, sockets and test authority live in one scratch folder and go with it.
//!
//! Nothing outside that folder is read or written: swtpm_setup gets configuration files of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A software TPM that runs until it is dropped.
pub struct Swtpm {
    folder: TempDir,
    running: Option<Child>,
}

/// The certificates that swtpm_setup's local authority made.
pub struct TestAuthority {
    /// The self-signed root, PEM.
    pub root_pem: String,
    /// The authority that signed the EK certificates, PEM.
    pub intermediate_pem: String,
}

/// EK certificates that swtpm_setup writes: always both.
pub const PROVISIONED_CERTIFICATE_INDICES: [u32; 2] = [0x01c0_0002, 0x01c0_0016];

impl Swtpm {
    /// A running TPM with these PCR banks ("sha256" or "sha1,sha256") and without EK certificates. `None`, and a line on
    /// standard error, where swtpm is not installed.
    pub fn blank(banks: &str) -> Option<Swtpm> {
        Swtpm::prepared(banks, &[]).map(Swtpm::started)
    }

    /// A running TPM with an RSA-2048 and a P-384 EK, certified by an authority of its own.
    pub fn provisioned(banks: &str) -> Option<Swtpm> {
        Swtpm::prepared(banks, &["--create-ek-cert"]).map(Swtpm::started)
    }

    /// The state of [`Swtpm::provisioned`], not started: QEMU's TPM emulator backend needs [`Swtpm::start_for_vmm`].
    pub fn provisioned_for_vmm(banks: &str) -> Option<Swtpm> {
        Swtpm::prepared(banks, &["--create-ek-cert"])
    }

    /// The socket that takes TPM commands, one client at a time.
    pub fn socket(&self) -> PathBuf {
        self.path("swtpm.sock")
    }

    /// The control socket; its name is what tpm2-tools expect.
    pub fn control_socket(&self) -> PathBuf {
        self.path("swtpm.sock.ctrl")
    }

    /// The TPM as garantd's `--tpm` takes it.
    pub fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The TPM as tpm2-tools' `-T` takes it.
    pub fn tcti(&self) -> String {
        format!("swtpm:path={}", self.socket().display())
    }

    /// The scratch folder, for files that belong to this TPM.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority behind the EK certificates; panics for a blank TPM.
    pub fn authority(&self) -> TestAuthority {
        let read = |name| fs::read_to_string(self.path("authority").join(name)).expect("no test authority");
        TestAuthority { root_pem: read("swtpm-localca-rootca-cert.pem"), intermediate_pem: read("issuercert.pem") }
    }

    /// Cuts the power (no TPM2_Shutdown), then switches on and starts up.
    pub fn power_cycle(&mut self) {
        self.stop();
        self.start();
    }

    /// Stops it as a power cut does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().expect("swtpm does not die");
            child.wait().expect("swtpm is not ours");
        }
    }

    /// Starts it: _TPM_Init and TPM2_Startup(CLEAR).
    pub fn start(&mut self) {
        let server = format!("type=unixio,path={}", self.socket().display());
        self.run(&["--server", &server, "--flags", "not-need-init,startup-clear"]);
        self.wait_for(&self.socket());
    }

    /// Starts it for a virtual machine monitor, which initialises it and hands it the data channel.
    pub fn start_for_vmm(&mut self) {
        self.run(&[]);
    }

    /// The reset line: _TPM_Init without TPM2_Startup, which firmware would send.
    pub fn reset_line(&self) {
        let done = Command::new("swtpm_ioctl").args(["-i", "--unix"]).arg(self.control_socket()).output();
        succeeded("swtpm_ioctl", done);
    }

    fn prepared(banks: &str, options: &[&str]) -> Option<Swtpm> {
        if let Err(error) = Command::new("swtpm_setup").arg("--version").output() {
            eprintln!("SKIPPED: swtpm_setup cannot run: {error}");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("garant-swtpm").tempdir().expect("no scratch folder");
        let swtpm = Swtpm { folder, running: None };
        swtpm.write_configuration();
        let done = Command::new("swtpm_setup")
            .args(["--tpm2", "--pcr-banks", banks, "--tpmstate"])
            .arg(swtpm.path("state"))
            .arg("--config")
            .arg(swtpm.path("setup.conf"))
            .args(options)
            .output();
        succeeded("swtpm_setup", done);
        Some(swtpm)
    }

    fn started(mut self) -> Swtpm {
        self.start();
        self
    }

    fn write_configuration(&self) {
        let authority = self.path("authority");
        fs::create_dir(self.path("state")).expect("no state folder");
        fs::create_dir(&authority).expect("no authority folder");
        let write = |name, text: String| fs::write(self.path(name), text).expect("scratch folder is read-only");
        write(
            "setup.conf",
            format!(
                "create_certs_tool=swtpm_localca\ncreate_certs_tool_config={}\ncreate_certs_tool_options={}\n",
                self.path("localca.conf").display(),
                self.path("localca.options").display()
            ),
        );
        write(
            "localca.conf",
            format!(
                "statedir={0}\nsigningkey={0}/signkey.pem\nissuercert={0}/issuercert.pem\ncertserial={0}/certserial\n",
                authority.display()
            ),
        );
        let platform = "--platform-manufacturer garant\n--platform-version 1\n--platform-model test\n";
        write("localca.options", platform.to_owned());
    }

    fn run(&mut self, options: &[&str]) {
        for socket in [self.socket(), self.control_socket()] {
            let _ = fs::remove_file(socket);
        }
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={}", self.path("state").display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", self.control_socket().display()))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.running = Some(child.expect("swtpm does not start"));
        self.wait_for(&self.control_socket());
    }

    fn wait_for(&self, socket: &Path) {
        let started = Instant::now();
        while !is_listened_at(socket) {
            assert!(started.elapsed() < PATIENCE, "swtpm does not open {}", socket.display());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether somebody listens there: the file is there a moment before. To dial would take the place of the one client.
fn is_listened_at(socket: &Path) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let path = socket.display().to_string();
    sockets.lines().any(|line| line.ends_with(&path) && line.split_whitespace().nth(3) == Some(LISTENS))
}

fn succeeded(program: &str, done: io::Result<std::process::Output>) {
    let done = done.unwrap_or_else(|error| panic!("{program} cannot run: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{program} failed:\n{}{}", text(&done.stdout), text(&done.stderr));
}

const PATIENCE: Duration = Duration::from_secs(10);
/// SO_ACCEPTCON among the flags of /proc/net/unix (Linux, net/unix/af_unix.c).
const LISTENS: &str = "00010000";
