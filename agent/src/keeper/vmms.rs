//! The VMMs of this boot, as the keeper knows them: it starts and ends them, each in namespaces and a cgroup of its own, and
//! holds the server's ends of their sockets, so that the next server finds them all.

mod networks;

use self::networks::Networks;
use crate::{
    budget::{FIRST_VMM_USER, VMM_END, VMM_MESSAGE_BYTES, VMMS},
    descriptors,
    keeper::cgroups::{Cgroup, Cgroups},
    vm::{
        abilities::Abilities,
        link::{Answer, Request, RunNumber, Start},
    },
};
use garant_attest::cbor;
use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::{Pid, geteuid},
};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// All VMMs that run. They outlive servers.
#[derive(Debug)]
pub(super) struct Vmms {
    running: BTreeMap<RunNumber, Vmm>,
    cgroups: Cgroups,
    networks: Networks,
}

#[derive(Debug)]
struct Vmm {
    pid: Pid,
    /// Which of the users for VMMs it has.
    user: u32,
    process: OwnedFd,
    cgroup: Option<Cgroup>,
    /// The server's ends: QMP, console, log.
    held: [OwnedFd; HELD],
}

impl Vmms {
    /// None run; what an earlier keeper left of its own is ended.
    pub(super) fn none() -> Vmms {
        let cgroups = Cgroups::prepare();
        if let Some(missing) = cgroups.missing() {
            log::info!("VMMs are held to no limits: {missing}");
        }
        Vmms { running: BTreeMap::new(), cgroups, networks: Networks::default() }
    }

    fn abilities(&self) -> Abilities {
        let isolation_missing = (!geteuid().is_root()).then(|| NOT_ROOT.to_owned());
        Abilities { limits_missing: self.cgroups.missing().map(str::to_owned), isolation_missing }
    }

    /// Takes one request from the server and answers it; an error is a server that is none of ours.
    pub(super) fn serve(&mut self, server: BorrowedFd<'_>) -> io::Result<()> {
        let mut buffer = vec![0; VMM_MESSAGE_BYTES];
        let (length, descriptors) = descriptors::receive(server, &mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Err(io::Error::other("it closed its link"));
        }
        match Request::decode(bytes).ok_or_else(|| io::Error::other("it sent what is no request about VMMs"))? {
            Request::List => {
                for (run, vmm) in &self.running {
                    let [qmp, console, log] = &vmm.held;
                    let ends = [&vmm.process, qmp, console, log].map(AsFd::as_fd);
                    descriptors::send(server, &Answer::Running(*run).encode(), &ends)?;
                }
                descriptors::send(server, &Answer::Done.encode(), &[])
            }
            Request::Abilities => {
                let abilities = cbor::encode(&self.abilities()).map_err(io::Error::other)?;
                descriptors::send(server, &abilities, &[])
            }
            Request::Networks(kinds) => {
                self.networks.define(kinds)?;
                descriptors::send(server, &Answer::Done.encode(), &[])
            }
            Request::Kill(run) => {
                let answer = match self.running.get(&run).map(kill) {
                    Some(()) => Answer::Done,
                    None => Answer::Refused,
                };
                descriptors::send(server, &answer.encode(), &[])
            }
            Request::Start(start) => match self.start(&start, bytes, descriptors) {
                Ok(process) => descriptors::send(server, &Answer::Done.encode(), &[process]),
                Err(error) => {
                    log::error!("VMM not started run={}: {error}", start.run.0);
                    descriptors::send(server, &Answer::Refused.encode(), &[])
                }
            },
        }
    }

    /// Forgets a VMM that was reaped.
    pub(super) fn ended(&mut self, ended: WaitStatus) {
        let run = self.running.iter().find(|(_, vmm)| Some(vmm.pid) == ended.pid()).map(|(run, _)| *run);
        if let Some(run) = run {
            log::info!("VMM ended run={} {ended:?}", run.0);
            self.networks.unplug(run);
            self.running.remove(&run);
        }
    }

    /// Ends all of them at once, and waits until they are gone, with their cgroups.
    pub(super) fn end_all(&mut self) {
        self.running.values().for_each(kill);
        let asked = Instant::now();
        while !self.running.is_empty() && asked.elapsed() < VMM_END {
            let is_running =
                |vmm: &Vmm| waitpid(vmm.pid, Some(WaitPidFlag::WNOHANG)).is_ok_and(|found| found.pid().is_none());
            self.running.retain(|_, vmm| is_running(vmm));
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn start(&mut self, start: &Start, message: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<BorrowedFd<'_>> {
        let run = start.run;
        if self.running.contains_key(&run) {
            return Err(io::Error::other("one of this name runs"));
        }
        let user = self.free_user().ok_or_else(|| io::Error::other("as many VMMs run as there are users for them"))?;
        if !self.networks.allows(start.reach, &start.nics) {
            return Err(io::Error::other("it reaches further than its networks"));
        }
        let spawned = self.spawn(user, start, message, descriptors);
        match self.running.get(&run) {
            Some(vmm) => spawned.map(|()| vmm.process.as_fd()),
            // With a process, its taps go when it is reaped.
            None => {
                self.networks.unplug(run);
                Err(spawned.err().unwrap_or_else(|| io::ErrorKind::NotFound.into()))
            }
        }
    }

    /// Starts the stage before a VMM, and hands over what it gets: the server's descriptors, with taps behind its files, which
    /// only the log follows.
    fn spawn(&mut self, user: u32, start: &Start, message: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let run = start.run;
        let mut descriptors = descriptors.into_iter();
        let held: Vec<OwnedFd> = descriptors.by_ref().take(HELD).collect();
        let held = held.try_into().map_err(|_| io::Error::other("it sent no ends to hold"))?;
        let log = descriptors.next_back().ok_or_else(|| io::Error::other("it sent no log"))?;
        let files: Vec<OwnedFd> = descriptors.collect();
        let taps = self.networks.plug(run, &start.nics)?;
        let cgroup = self.cgroups.make(run, &start.limits)?;
        let (ours, stage) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("garantd").args(["vmm", &user.to_string()]).env_clear().stdin(stage).stdout(Stdio::null());
        let child = spawn_apart(&mut command)?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // The pid is still its own: nobody has reaped it.
        let id = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
        let process = pidfd_open(id, PidfdFlags::empty())?;
        let vmm = Vmm { pid: Pid::from_raw(pid), user, process, cgroup, held };
        let vmm = self.running.entry(run).or_insert(vmm);
        // The stage waits for its message; without one it ends, and is forgotten when it is reaped.
        vmm.cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup.take(vmm.pid))?;
        let files = files.iter().map(AsFd::as_fd);
        let theirs: Vec<BorrowedFd<'_>> = files.chain(taps).chain([log.as_fd()]).collect();
        descriptors::send(&ours, message, &theirs)?;
        log::info!("VMM started run={} pid={pid} user={user}", run.0);
        Ok(())
    }

    fn free_user(&self) -> Option<u32> {
        let is_free = |user: &u32| self.running.values().all(|vmm| vmm.user != *user);
        (FIRST_VMM_USER..FIRST_VMM_USER.saturating_add(VMMS)).find(is_free)
    }
}

/// Starts a child that is the first of a PID namespace of its own, where we may make one.
fn spawn_apart(command: &mut Command) -> io::Result<Child> {
    if !geteuid().is_root() {
        return command.spawn();
    }
    let own = File::open("/proc/self/ns/pid")?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let child = command.spawn();
    // Children after this one are in our own namespace again.
    setns(own, CloneFlags::CLONE_NEWPID)?;
    child
}

/// One that has ended meanwhile needs no signal.
fn kill(vmm: &Vmm) {
    if let Some(cgroup) = &vmm.cgroup {
        cgroup.kill();
    }
    let _ = pidfd_send_signal(&vmm.process, Signal::KILL);
}

const NOT_ROOT: &str = "garantd does not run as root";
/// QMP, console and log.
const HELD: usize = 3;
