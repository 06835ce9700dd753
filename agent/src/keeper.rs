//! The keeper: makes B and entry 0, starts the server and starts it again, starts VMMs, and signs one thing, `garant/key/1`
//! over a session key of its own child. It reads requests of 33 bytes, and those about VMMs, and nothing else from outside.

mod boot_key;
mod cgroups;
mod vmms;

use self::{
    boot_key::{BootKey, Vouches},
    vmms::Vmms,
};
use crate::{
    budget::{RESTART_PAUSE_LONGEST, RESTART_PAUSE_SHORTEST, SERVER_SETTLED, SERVER_STOP},
    entry_zero::{self, EntryError, LedgerPcr},
    inherited::{self, Request, vouched},
    mor, notify,
    tpm_device::{TpmAddress, TpmDevice},
};
use aws_lc_rs::digest;
use garant_attest::ledger::EntryZero;
use garant_hw::tpm::Tpm;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
};
use std::{
    fmt,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What the keeper is told on its command line.
#[derive(Debug, Clone)]
pub struct Orders {
    /// The whole configuration file, unread.
    pub configuration: Vec<u8>,
    /// Head of the last boot's ledger, as the state disk has it.
    pub last_head: Option<[u8; 32]>,
    /// Where the TPM is.
    pub tpm: TpmAddress,
    /// The ledger's PCR.
    pub ledger_pcr: LedgerPcr,
}

/// Why the keeper ends. In the node image that is a reboot.
#[derive(Debug)]
pub enum KeeperError {
    /// The TPM cannot be opened.
    NoTpm {
        /// Where it was looked for.
        address: TpmAddress,
        /// What the system said.
        source: io::Error,
    },
    /// No entry 0.
    Entry(EntryError),
    /// No random numbers.
    NoRandom,
    /// The system refuses something that the keeper needs.
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for KeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeeperError::NoTpm { address, .. } => {
                write!(
                    f,
                    "no TPM at {address}: is it on in the firmware's setup, its driver loaded, the device ours to open?"
                )
            }
            KeeperError::Entry(_) => f.write_str("this boot has no entry 0"),
            KeeperError::NoRandom => f.write_str("the system gives no random numbers"),
            KeeperError::System { doing, .. } => write!(f, "cannot {doing}"),
        }
    }
}

impl std::error::Error for KeeperError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            KeeperError::NoTpm { source, .. } | KeeperError::System { source, .. } => Some(source),
            KeeperError::Entry(source) => Some(source),
            KeeperError::NoRandom => None,
        }
    }
}

/// This boot's key and entry 0, extended: what every server of this boot inherits.
pub struct Keeper {
    orders: Orders,
    boot_key: BootKey,
    entry_zero: Vec<u8>,
    /// What servers of this boot write down for their successors: in memory, since it ends with the boot.
    journal: OwnedFd,
}

impl Keeper {
    /// Makes B and entry 0, extends it, and asks the firmware to wipe memory at the next reset. The network must still be
    /// down, unless the keeper runs under systemd, where nothing needs *closed*.
    pub fn begin(orders: Orders) -> Result<Keeper, KeeperError> {
        let boot_key = BootKey::generate().ok_or(KeeperError::NoRandom)?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| KeeperError::NoRandom)?;
        let configuration_digest = sha256(&orders.configuration);
        let entry = EntryZero::new(random, boot_key.public(), configuration_digest, orders.last_head);
        let mut tpm = Tpm::new(orders.tpm.open().and_then(TpmDevice::new).map_err(|source| no_tpm(&orders, source))?);
        let entry_zero = entry_zero::extend(&mut tpm, orders.ledger_pcr, &entry).map_err(KeeperError::Entry)?;
        log::info!("entry 0 extended pcr={} boot={}", orders.ledger_pcr.number(), hexadecimal(&sha256(&entry_zero)));
        mor::request_wipe();
        let journal = memfd_create("garant-journal", MemfdFlags::CLOEXEC);
        let journal = journal.map_err(|errno| system("make room for the journal", errno.into()))?;
        Ok(Keeper { orders, boot_key, entry_zero, journal })
    }

    /// Keeps a server running until SIGTERM or SIGINT.
    pub fn keep(&self) -> Result<(), KeeperError> {
        let signals = watch_signals().map_err(|source| system("watch signals", source.into()))?;
        let mut keeping = Keeping::new(self);
        loop {
            keeping.start_if_due();
            keeping.wait(signals.as_fd())?;
            while let Ok(Some(signal)) = signals.read_signal() {
                if !is_child_signal(signal.ssi_signo) {
                    notify::stopping();
                    keeping.stop();
                    return Ok(());
                }
            }
            keeping.reap();
            keeping.serve_requests();
            keeping.serve_vmms();
        }
    }
}

/// The server that runs, or when the next one starts.
struct Keeping<'k> {
    keeper: &'k Keeper,
    server: Option<Server>,
    start_at: Instant,
    pause: Duration,
    vouches: Vouches,
    vmms: Vmms,
}

struct Server {
    pid: Pid,
    link: UnixStream,
    /// Its requests about VMMs.
    vmms: OwnedFd,
    received: Vec<u8>,
    started: Instant,
}

impl Keeping<'_> {
    fn new(keeper: &Keeper) -> Keeping<'_> {
        let now = Instant::now();
        let vouches = Vouches::new(now);
        Keeping { keeper, server: None, start_at: now, pause: RESTART_PAUSE_SHORTEST, vouches, vmms: Vmms::none() }
    }

    /// Starts a server where none runs and its time has come. A TPM that cannot be opened is tried again.
    fn start_if_due(&mut self) {
        if self.server.is_some() || Instant::now() < self.start_at {
            return;
        }
        match start_server(self.keeper) {
            Ok(server) => {
                log::info!("server started pid={}", server.pid);
                self.server = Some(server);
            }
            Err(error) => {
                log::error!("server not started: {error}; again in {:?}", self.pause);
                self.put_off();
            }
        }
    }

    fn put_off(&mut self) {
        self.start_at = Instant::now().checked_add(self.pause).unwrap_or_else(Instant::now);
        self.pause = self.pause.saturating_mul(2).min(RESTART_PAUSE_LONGEST);
    }

    /// Waits for a signal, a request, or the time of the next start.
    fn wait(&self, signals: BorrowedFd<'_>) -> Result<(), KeeperError> {
        let mut watched = vec![PollFd::new(signals, PollFlags::POLLIN)];
        let timeout = match &self.server {
            Some(server) => {
                watched.push(PollFd::new(server.link.as_fd(), PollFlags::POLLIN));
                watched.push(PollFd::new(server.vmms.as_fd(), PollFlags::POLLIN));
                PollTimeout::NONE
            }
            None => {
                let left = self.start_at.saturating_duration_since(Instant::now());
                // One millisecond more than is left, since poll rounds down.
                PollTimeout::try_from(left.saturating_add(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(system("wait for the server", errno.into())),
        }
    }

    /// Takes the exit status of every child, adopted ones included.
    fn reap(&mut self) {
        while let Some(ended) = reap_one() {
            if self.server.as_ref().is_some_and(|server| Some(server.pid) == ended.pid()) {
                log::warn!("server ended: {ended:?}; next in {:?}", self.pause);
                self.ended();
            } else {
                self.vmms.ended(ended);
            }
        }
    }

    fn ended(&mut self) {
        if self.server.take().is_some_and(|server| server.started.elapsed() > SERVER_SETTLED) {
            self.pause = RESTART_PAUSE_SHORTEST;
        }
        self.put_off();
    }

    /// Answers whole requests; a server that says anything else is killed.
    fn serve_requests(&mut self) {
        let Some(server) = &mut self.server else { return };
        let served = server.receive().and_then(|()| {
            while let Some(request) = server.next_request()? {
                match request {
                    Request::Ready => notify::ready(),
                    Request::Vouch(key) => {
                        let granted = self.vouches.take(Instant::now()).then(|| self.keeper.boot_key.vouch(&key));
                        server.link.write_all(&vouched(granted))?;
                    }
                }
            }
            Ok(())
        });
        if let Err(error) = served {
            self.dismiss(&error);
        }
    }

    /// The same for requests about VMMs.
    fn serve_vmms(&mut self) {
        while let Some(server) = &self.server {
            match self.vmms.serve(server.vmms.as_fd()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.dismiss(&error),
            }
        }
    }

    fn dismiss(&mut self, error: &io::Error) {
        let Some(server) = &self.server else { return };
        log::warn!("server pid={} killed: {error}", server.pid);
        // The pid is still ours: nobody has reaped it.
        let _ = kill(server.pid, Signal::SIGKILL);
        wait_for_end(server.pid, SERVER_STOP);
        self.ended();
    }

    fn stop(&mut self) {
        self.vmms.end_all();
        let Some(server) = self.server.take() else { return };
        let _ = kill(server.pid, Signal::SIGTERM);
        if !wait_for_end(server.pid, SERVER_STOP) {
            let _ = kill(server.pid, Signal::SIGKILL);
            wait_for_end(server.pid, SERVER_STOP);
        }
        log::info!("server stopped");
    }
}

impl Server {
    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; Request::BYTES];
        match self.link.read(&mut buffer) {
            Ok(0) => Err(io::Error::other("it closed its link")),
            Ok(length) => {
                self.received.extend(buffer.iter().take(length));
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn next_request(&mut self) -> io::Result<Option<Request>> {
        let Some((request, rest)) = self.received.split_first_chunk() else { return Ok(None) };
        let request = Request::decode(*request).ok_or_else(|| io::Error::other("it sent what is no request"))?;
        self.received = rest.to_vec();
        Ok(Some(request))
    }
}

/// A server from our own binary, with the link as standard input, the TPM, opened anew, as standard output, and no
/// environment.
fn start_server(keeper: &Keeper) -> io::Result<Server> {
    let (ours, theirs) = UnixStream::pair()?;
    let (vmms, their_vmms) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // A server that takes no answers must not stop its keeper.
    rustix::io::ioctl_fionbio(&vmms, true)?;
    let tpm = keeper.orders.tpm.open()?;
    let child = Command::new("/proc/self/exe")
        .arg0("garantd")
        .arg("server")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(tpm))
        .spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let mut server = Server { pid, link: ours, vmms, received: Vec::new(), started: Instant::now() };
    // A child that dies at once is reaped like any other.
    let sent = inherited::send_first(
        &mut server.link,
        &keeper.boot_key.public(),
        keeper.orders.ledger_pcr.number(),
        &keeper.entry_zero,
        &keeper.orders.configuration,
    )
    .and_then(|()| inherited::send_descriptors(&server.link, their_vmms.as_fd(), keeper.journal.as_fd()));
    if let Err(error) = sent {
        log::warn!("server pid={pid} took no orders: {error}");
    }
    server.link.set_nonblocking(true)?;
    Ok(server)
}

fn watch_signals() -> nix::Result<SignalFd> {
    let signals: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

fn is_child_signal(number: u32) -> bool {
    i32::try_from(number).is_ok_and(|number| Signal::try_from(number) == Ok(Signal::SIGCHLD))
}

fn reap_one() -> Option<WaitStatus> {
    match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(_) => None,
        Ok(ended) => Some(ended),
    }
}

/// Whether the process ended in time.
fn wait_for_end(pid: Pid, patience: Duration) -> bool {
    let started = Instant::now();
    while started.elapsed() < patience {
        if !matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn no_tpm(orders: &Orders, source: io::Error) -> KeeperError {
    KeeperError::NoTpm { address: orders.tpm.clone(), source }
}

fn system(doing: &'static str, source: io::Error) -> KeeperError {
    KeeperError::System { doing, source }
}

/// SHA-256 of a configuration, as entry 0 has it, in hexadecimal.
pub fn configuration_digest(configuration: &[u8]) -> String {
    hexadecimal(&sha256(configuration))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().first_chunk().copied().unwrap_or_default()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
