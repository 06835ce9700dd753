//! A real QEMU for tests, with the descriptors that the keeper gives it: 3 is QMP, 4 the console, 5 and on are files.
#![allow(clippy::unwrap_used, reason = "tests")]

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::{
    io,
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
    _console: UnixStream,
}

impl RealQemu {
    /// Starts it; says so and gives nothing where there is no QEMU.
    pub(super) fn spawn(arguments: &[String], files: &[OwnedFd]) -> Option<RealQemu> {
        let (qmp, its_qmp) = UnixStream::pair().unwrap();
        let (console, its_console) = UnixStream::pair().unwrap();
        let spawned = Command::new("bash")
            .args(["-c", &script(files), QEMU])
            .args(arguments)
            .stdin(OwnedFd::from(its_qmp))
            .stdout(OwnedFd::from(its_console))
            .stderr(Stdio::inherit())
            .spawn();
        match spawned {
            Ok(child) if is_there() => Some(RealQemu { child, qmp, _console: console }),
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
