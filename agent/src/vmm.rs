//! The stage between keeper and VMM: `garantd vmm` takes one message from its standard input, gives up all that a VMM must
//! not have, and becomes QEMU. The keeper starts it from its own binary, so that nothing runs between fork and exec, and as
//! root in a PID namespace and a cgroup of its own.

mod root;

use crate::{
    budget::{VMM_DESCRIPTORS, VMM_MESSAGE_BYTES},
    config::network::Reach,
    descriptors,
    vm::link::{Device, Request, Start},
};
use caps::CapSet;
use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
        stat::stat,
    },
    unistd::{Gid, Uid, close, geteuid, setgroups, setresgid, setresuid},
};
use rustix::io::{FdFlags, fcntl_setfd};
use std::{
    convert::Infallible,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// What runs VMs. No option names it: a program from outside the image would be no closed image.
pub const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// Becomes the VMM that the message on standard input describes; `user` is its own. Returns only with an error, which
/// standard error gets too.
pub fn become_vmm(user: u32) -> io::Result<Infallible> {
    close_inherited()?;
    let mut buffer = vec![0; VMM_MESSAGE_BYTES];
    let (length, mut files) = descriptors::receive(io::stdin().as_fd(), &mut buffer)?;
    let request = buffer.get(..length).and_then(Request::decode);
    let Some(Request::Start(Start { reach, device, limits, arguments, .. })) = request else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not told what to start"));
    };
    let log = files.pop().ok_or(io::ErrorKind::InvalidData)?;
    hand_on(&files)?;
    let null = File::open("/dev/null")?;
    give_up(user, reach, device, limits.threads)?;
    let mut qemu = Command::new(QEMU);
    qemu.args(arguments).env_clear().stdin(null);
    Err(qemu.stdout(log.try_clone()?).stderr(log).exec())
}

/// Whatever started the node may have left something open in it, which is nothing for a guest.
fn close_inherited() -> io::Result<()> {
    let open = fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let others: Vec<i32> = open.filter(|number| *number >= FIRST).collect();
    for number in others {
        let _ = close(number); // the folder itself is closed already
    }
    Ok(())
}

/// Keeps these open through exec, under the numbers that the arguments name: 3, 4, 5 and so on.
fn hand_on(files: &[OwnedFd]) -> io::Result<()> {
    for (file, number) in files.iter().zip(FIRST..) {
        if file.as_raw_fd() != number {
            return Err(io::Error::other("a descriptor is open that should not be"));
        }
        fcntl_setfd(file, FdFlags::empty())?;
    }
    Ok(())
}

/// No privileges, no network but what its interfaces are to reach, no files, another user; and the VMM's end when the keeper
/// ends.
fn give_up(user: u32, reach: Reach, device: Device, threads: u32) -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    for (resource, most) in [(Resource::RLIMIT_CORE, 0), (Resource::RLIMIT_MEMLOCK, 0), (Resource::RLIMIT_MSGQUEUE, 0)]
    {
        setrlimit(resource, most, most)?;
    }
    let (_, allowed) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let descriptors = allowed.min(VMM_DESCRIPTORS);
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors)?;
    if geteuid().is_root() {
        // Of this user, whom nobody else is; where VMMs share a user, all of them would be counted.
        setrlimit(Resource::RLIMIT_NPROC, threads.into(), threads.into())?;
        let group = (device == Device::Kvm).then(|| stat(KVM)).transpose()?.map(|device| Gid::from_raw(device.st_gid));
        unshare(match reach {
            Reach::Nothing => NAMESPACES.union(CloneFlags::CLONE_NEWNET),
            Reach::Outside => NAMESPACES,
        })?;
        // What an exec could ever get back; it asks /proc which capabilities there are, so it comes before the new root.
        caps::clear(None, CapSet::Bounding).map_err(io::Error::other)?;
        root::enter(device)?;
        setgroups(group.as_slice())?;
        setresgid(Gid::from_raw(user), Gid::from_raw(user), Gid::from_raw(user))?;
        setresuid(Uid::from_raw(user), Uid::from_raw(user), Uid::from_raw(user))?;
    }
    prctl::set_no_new_privs()?;
    // After the user has changed, which takes it back.
    Ok(prctl::set_pdeathsig(Some(Signal::SIGKILL))?)
}

const KVM: &str = "/dev/kvm";
/// Beside the network namespace, which not all have, and the PID namespace, which only a parent can give.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWCGROUP);
/// After standard input, output and error.
const FIRST: i32 = 3;
