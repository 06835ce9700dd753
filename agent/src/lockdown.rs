//! The server locks itself in before the first outside byte: no new privileges, no capabilities, another user, Landlock for
//! files, ports and signals, and a list of system calls.
//!
//! Whoever takes the server over can speak with its descriptors: the TPM, its sockets, its VMMs, the keeper's few requests.
//! It cannot start a program but QEMU by the keeper, open a device or a file that is not listed, or reach another process.

use crate::{
    budget::SERVER_USER,
    config::{Configuration, Endpoint},
};
use caps::CapSet;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
    },
    unistd::{Gid, Uid, chown, geteuid, setgroups, setresgid, setresuid},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::{
    collections::BTreeMap,
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// What a server still needs when it is locked in, beside the descriptors that it has open.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Files and folders that it reads; a missing one is left out.
    pub read: Vec<PathBuf>,
    /// The folder that it writes.
    pub write: Option<PathBuf>,
    /// TCP ports to which it connects.
    pub connect: Vec<u16>,
}

impl Needs {
    /// What the options of a configuration ask for; sockets to listen at and logs are open by now.
    pub fn of(configuration: &Configuration) -> Needs {
        let landmarks = configuration.landmark.iter().map(|landmark| &landmark.address);
        let dialled = configuration.push.iter().map(|push| &push.address).chain(landmarks);
        let connect: Vec<u16> = dialled.map(Endpoint::port).collect();
        let mut read = if connect.is_empty() { Vec::new() } else { RESOLVER_FILES.map(PathBuf::from).to_vec() };
        read.extend(configuration.statements.folder.clone());
        read.extend(configuration.vms.as_ref().map(|vms| vms.images.clone()));
        Needs { read, write: configuration.state_dir.clone(), connect }
    }
}

/// Files that looking up a host name reads (resolv.conf(5), hosts(5), nsswitch.conf(5), gai.conf(5)).
const RESOLVER_FILES: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];

/// What keeps the server in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landlocked {
    /// Landlock has all that this kernel's newest interface offers and we ask for.
    Fully,
    /// An older kernel: files are locked, ports or signals may not be.
    Partly,
    /// A kernel without Landlock; user, capabilities and system calls still hold.
    Not,
}

impl Landlocked {
    /// How loudly it is said: an operator may want another kernel where nothing locks files and ports.
    pub fn level(self) -> log::Level {
        match self {
            Landlocked::Fully | Landlocked::Partly => log::Level::Info,
            Landlocked::Not => log::Level::Warn,
        }
    }
}

/// Why the server is not locked in; it must not read a byte from outside.
#[derive(Debug)]
pub struct LockdownError {
    doing: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for LockdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.doing)
    }
}

impl Error for LockdownError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Locks the process in. It must have one thread: Landlock and capabilities are per thread.
pub fn lock(needs: &Needs) -> Result<Landlocked, LockdownError> {
    expect_one_thread().map_err(failed("lock in a process with threads"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed("forbid core dumps"))?;
    // Before the user changes: afterwards it is neither allowed nor needed.
    caps::clear(None, CapSet::Ambient).map_err(failed("drop ambient capabilities"))?;
    if geteuid().is_root() {
        drop_bounding_set().map_err(failed("drop the bounding set"))?;
        change_user(needs.write.as_deref()).map_err(failed("change to an unprivileged user"))?;
    }
    for set in [CapSet::Effective, CapSet::Inheritable, CapSet::Permitted] {
        caps::clear(None, set).map_err(failed("drop capabilities"))?;
    }
    prctl::set_dumpable(false).map_err(failed("forbid other processes to look in"))?;
    prctl::set_no_new_privs().map_err(failed("forbid new privileges"))?;
    let landlocked = restrict_files_and_ports(needs).map_err(failed("restrict files and ports"))?;
    let calls = allowed_calls().map_err(failed("compile the list of system calls"))?;
    seccompiler::apply_filter(&calls).map_err(failed("restrict system calls"))?;
    Ok(landlocked)
}

fn failed<E: Into<Box<dyn Error + Send + Sync>>>(doing: &'static str) -> impl FnOnce(E) -> LockdownError {
    move |source| LockdownError { doing, source: source.into() }
}

fn expect_one_thread() -> io::Result<()> {
    match fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        count => Err(io::Error::other(format!("{count} threads run already"))),
    }
}

/// What an exec could ever get back; there is no exec either.
fn drop_bounding_set() -> Result<(), caps::errors::CapsError> {
    caps::clear(None, CapSet::Bounding)
}

fn change_user(writes: Option<&Path>) -> nix::Result<()> {
    let (user, group) = (Uid::from_raw(SERVER_USER), Gid::from_raw(SERVER_USER));
    if let Some(folder) = writes {
        chown(folder, Some(user), Some(group))?;
    }
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

fn restrict_files_and_ports(needs: &Needs) -> Result<Landlocked, landlock::RulesetError> {
    // What a kernel lacks of this is left out, and the status says so.
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .no_new_privs(false);
    for path in &needs.read {
        if let Ok(file) = PathFd::new(path) {
            let whole = AccessFs::ReadFile | AccessFs::ReadDir;
            let access = if path.is_dir() { whole } else { AccessFs::ReadFile.into() };
            rules = rules.add_rule(PathBeneath::new(file, access))?;
        }
    }
    if let Some(folder) = needs.write.as_ref().and_then(|path| PathFd::new(path).ok()) {
        let access = AccessFs::ReadFile
            | AccessFs::ReadDir
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::RemoveFile;
        rules = rules.add_rule(PathBeneath::new(folder, access))?;
    }
    for port in &needs.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Landlocked::Fully,
        RulesetStatus::PartiallyEnforced => Landlocked::Partly,
        RulesetStatus::NotEnforced => Landlocked::Not,
    })
}

/// The list. A call that is not on it does not exist (ENOSYS): libraries then fall back to older calls, which are, and a
/// new version of one costs a refused call, not the node. Killing would tell an attacker no less and an operator less.
fn allowed_calls() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let masked = |argument, mask: u64, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
    };
    let one_of = |argument, values: &[u64]| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        let equal = |value: &u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *value);
        values.iter().map(|value| SeccompRule::new(vec![equal(value)?])).collect()
    };
    // Memory is never executable, so no code but ours runs.
    let executable = 0x4; // PROT_EXEC
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![SeccompRule::new(vec![masked(2, executable, 0)?])?]);
    }
    // Threads, no processes: CLONE_THREAD. clone3 takes its flags from memory, where they cannot be seen: ENOSYS.
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![masked(0, 0x1_0000, 0x1_0000)?])?]);
    rules.insert(libc::SYS_socket, one_of(0, &[2, 10])?); // AF_INET, AF_INET6
    rules.insert(libc::SYS_ioctl, one_of(1, &[0x5421, 0x541b])?); // FIONBIO, FIONREAD
    rules.insert(libc::SYS_prctl, one_of(0, &[15])?); // PR_SET_NAME of threads
    let filter =
        SeccompFilter::new(rules, SeccompAction::Errno(ENOSYS), SeccompAction::Allow, TargetArch::try_from(ARCH)?)?;
    BpfProgram::try_from(filter)
}

const ARCH: &str = std::env::consts::ARCH;
/// "Function not implemented" (asm-generic/errno.h).
const ENOSYS: u32 = 38;

/// What std, tokio, rustls, aws-lc and the allocators of glibc and musl call once the server runs; found by strace.
const CALLS: &[i64] = &[
    // files and descriptors; Landlock says which files
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_getdents64,
    // sockets and waiting
    libc::SYS_socketpair, // a pipe to oneself
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_bind, // a resolver's UDP port; Landlock forbids TCP's
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    // memory
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // threads, signals to oneself, time
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    // older names of the same calls, which musl uses
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// In a thread of its own: filter and lock are per thread.
    #[test]
    fn a_kernel_without_landlock_is_a_warning() {
        let without = || {
            let call = BTreeMap::from([(libc::SYS_landlock_create_ruleset, Vec::new())]);
            let refused = SeccompAction::Errno(ENOSYS);
            let filter = SeccompFilter::new(call, SeccompAction::Allow, refused, TargetArch::try_from(ARCH).unwrap());
            prctl::set_no_new_privs().unwrap();
            seccompiler::apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
            restrict_files_and_ports(&Needs::default()).unwrap()
        };
        let found = std::thread::spawn(without).join().unwrap();
        assert_eq!((found, found.level()), (Landlocked::Not, log::Level::Warn));
        assert_eq!(Landlocked::Fully.level(), log::Level::Info);
    }
}
