//! A real QEMU for tests, with the descriptors that the keeper gives it: 3 is QMP, 4 the console, 5 and on are files.
#![allow(clippy::unwrap_used, reason = "tests")]

use garant_api::spec::Spec;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
};

/// A running QEMU and our ends of its sockets; it is killed when this is dropped.
pub(super) struct RealQemu {
    child: Child,
    qmp: UnixStream,
    /// Our end of its serial port.
    pub(super) console: UnixStream,
    log: File,
}

impl RealQemu {
    /// Starts it; says so and gives nothing where there is no QEMU.
    pub(super) fn spawn(arguments: &[String], files: &[OwnedFd]) -> Option<RealQemu> {
        let (qmp, its_qmp) = UnixStream::pair().unwrap();
        let (console, its_console) = UnixStream::pair().unwrap();
        let log = tempfile::tempfile().unwrap();
        let spawned = Command::new("bash")
            .args(["-c", &script(files), QEMU])
            .args(arguments)
            .stdin(OwnedFd::from(its_qmp))
            .stdout(OwnedFd::from(its_console))
            .stderr(log.try_clone().unwrap())
            .spawn();
        match spawned {
            Ok(child) if is_there() => Some(RealQemu { child, qmp, console, log }),
            Ok(mut child) => {
                let _ = child.wait();
                eprintln!("SKIPPED: no {QEMU} here");
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: no bash here: {error}");
                None
            }
        }
    }

    /// Our end of QMP, as a server has it; the original stays open as the keeper's does.
    pub(super) fn qmp(&self) -> tokio::net::UnixStream {
        let stream = self.qmp.try_clone().unwrap();
        stream.set_nonblocking(true).unwrap();
        tokio::net::UnixStream::from_std(stream).unwrap()
    }

    pub(super) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it wrote so far; what goes to its standard output comes with its end.
    pub(super) fn log(&self) -> String {
        let mut log = String::new();
        (&self.log).rewind().unwrap();
        (&self.log).read_to_string(&mut log).unwrap();
        log
    }

    /// How it ended by itself.
    pub(super) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for RealQemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A spec for a machine in software with these disks.
pub(super) fn spec(machine: &str, command_line: &str, disks: &[&str]) -> Spec {
    let image = format!("sha256:{}", "00".repeat(32));
    let disks: Vec<_> = disks.iter().map(|access| json!({ "image": image, "access": access })).collect();
    let kernel = json!({ "image": image, "command_line": command_line });
    let spec = json!({
        "machine": machine, "accelerator": "tcg", "vcpus": 1, "memory_mib": 128, "kernel": kernel, "disks": disks,
    });
    Spec::from_json(spec.to_string().as_bytes()).unwrap()
}

fn is_there() -> bool {
    let version = Command::new(QEMU).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    !matches!(version, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// A shell puts descriptors to their numbers, for which Rust has no safe call. Files are opened anew.
fn script(files: &[OwnedFd]) -> String {
    let own = std::process::id();
    let redirections = files.iter().zip(5..).map(|(file, number)| {
        let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL).unwrap());
        let mode = if flags.contains(OFlag::O_RDWR) { "<>" } else { "<" };
        format!(" {number}{mode}/proc/{own}/fd/{}", file.as_raw_fd())
    });
    format!("exec \"$0\" \"$@\" 3<&0 4<&1 0</dev/null 1>&2{}", redirections.collect::<String>())
}

const QEMU: &str = "qemu-system-x86_64";
