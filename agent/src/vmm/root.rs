//! What a VMM sees of the node's files: a root of its own in memory, which nobody can write to, with QEMU, its libraries and
//! firmware, and the few devices that it opens. Left out: a VM's own files, which are descriptors.

use crate::{
    budget::{VMM_ROOT_BYTES, VMM_ROOT_FILES},
    vm::link::Device,
    vmm::{KVM, QEMU},
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::Path,
};

/// Changes to that root. The process must be alone in its mount namespace and the first of its PID namespace, whose
/// processes are all that /proc will show.
pub(super) fn enter(device: Device) -> io::Result<()> {
    // What is mounted here is seen nowhere else, and the other way round.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let size = format!("mode=755,size={VMM_ROOT_BYTES},nr_inodes={VMM_ROOT_FILES}");
    mount(Some("tmpfs"), BASE, Some("tmpfs"), NOTHING_RUNS, Some(size.as_str()))?;
    for path in PROGRAM.into_iter().filter(|path| Path::new(path).exists()) {
        match fs::read_link(path) {
            Ok(target) => symlink(target, below(path))?,
            Err(_) => show(path, READ_ONLY)?,
        }
    }
    for path in devices(device) {
        show(path, READ_ONLY | MsFlags::MS_NOEXEC)?;
    }
    let proc = below(PROC);
    fs::create_dir(&proc)?;
    mount(Some("proc"), proc.as_str(), Some("proc"), NOTHING_RUNS, Some("subset=pid"))?;
    mount(None::<&str>, BASE, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | NOTHING_RUNS, None::<&str>)?;
    chdir(BASE)?;
    // The old root lies above the new one for a moment (pivot_root(2), "pivot_root(".", ".")").
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(chdir("/")?)
}

fn devices(device: Device) -> impl Iterator<Item = &'static str> {
    let kvm = match device {
        Device::Kvm => Some(KVM),
        Device::None => None,
    };
    [RANDOM].into_iter().chain(kvm)
}

/// Shows a file, or a folder with what lies in it and is not mounted there, under its own path.
fn show(path: &str, flags: MsFlags) -> io::Result<()> {
    let there = below(path);
    if Path::new(path).is_dir() {
        fs::create_dir_all(&there)?;
    } else {
        fs::create_dir_all(Path::new(&there).parent().unwrap_or(Path::new(BASE)))?;
        File::create(&there)?;
    }
    mount(Some(path), there.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    // A bind takes its flags in a second step only (mount(2)).
    Ok(mount(None::<&str>, there.as_str(), None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, None::<&str>)?)
}

fn below(path: &str) -> String {
    format!("{BASE}{path}")
}

const NOTHING_RUNS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const READ_ONLY: MsFlags = MsFlags::MS_RDONLY.union(MsFlags::MS_NOSUID);
/// A folder that every Linux system has and that none of [`PROGRAM`] lies in.
const BASE: &str = "/run";
const PROC: &str = "/proc";
const RANDOM: &str = "/dev/urandom";
/// QEMU, where its libraries and modules lie (Debian's places, and those of distributions with /usr/lib64), and firmware:
/// strace of both machines, QEMU 7.2. The two at the top are links into /usr nearly everywhere, and stay so.
const PROGRAM: [&str; 7] =
    [QEMU, "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/lib", "/lib64", "/usr/share/qemu", "/usr/share/seabios"];
