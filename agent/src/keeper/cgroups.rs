//! A cgroup for each VMM, below the one that the keeper was given: what it may take, and a way to end all of it at once.
//! Only version 2; left out: limits of input and output.

use crate::{
    budget::LEFTOVER_END,
    vm::{
        limits::{Hold, Limits},
        link::RunNumber,
    },
};
use nix::unistd::{Pid, getpid};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The folder in which VMMs get their cgroups, where the node has one for them.
#[derive(Debug)]
pub(super) struct Cgroups {
    folder: Option<PathBuf>,
    /// Why they hold nobody to any limit, or not to all.
    missing: Option<String>,
}

impl Cgroups {
    /// Looks for the keeper's own cgroup, and makes room below it if it is ours to divide.
    pub(super) fn prepare() -> Cgroups {
        match own().and_then(|own| Cgroups::below(&own).map_err(|error| format!("{}: {error}", own.display()))) {
            Ok(cgroups) => cgroups,
            Err(missing) => Cgroups { folder: None, missing: Some(missing) },
        }
    }

    fn below(own: &Path) -> io::Result<Cgroups> {
        end_leftovers(own);
        let folder = own.join(Owner::me()?.name());
        fs::create_dir(&folder)?;
        // A controller that version 1 has, or that nobody gave us, cannot be switched on.
        let switch = |cgroup: &Path, name: &str| set(&cgroup.join("cgroup.subtree_control"), &format!("+{name}"));
        let is_missing = |name: &&str| switch(own, name).and_then(|()| switch(&folder, name)).is_err();
        let missing: Vec<&str> = CONTROLLERS.into_iter().filter(is_missing).collect();
        let lacks = || format!("cgroups of version 2 lack {} here", missing.join(", "));
        let missing = (!missing.is_empty()).then(lacks);
        Ok(Cgroups { folder: Some(folder), missing })
    }

    /// Why VMMs are not held to their limits.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// A cgroup for one VMM; an error where the limits must be held and cannot be.
    pub(super) fn make(&self, run: RunNumber, limits: &Limits) -> io::Result<Option<Cgroup>> {
        if let (Some(missing), Hold::Always) = (&self.missing, limits.hold) {
            return Err(io::Error::other(format!("no limit is held here: {missing}")));
        }
        let Some(folder) = &self.folder else { return Ok(None) };
        let cgroup = Cgroup { folder: folder.join(format!("run-{}", run.0)) };
        fs::create_dir(&cgroup.folder)?;
        cgroup.limit(limits)?;
        Ok(Some(cgroup))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The cgroup of one VMM, which is removed when this is dropped; nothing runs in it any more then.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Sets each limit whose controller is there.
    fn limit(&self, limits: &Limits) -> io::Result<()> {
        let bytes = limits.memory_mib.saturating_mul(1 << 20);
        let share_us = |percent| u64::from(percent).saturating_mul(CPU_PERCENT_US);
        let cpu = limits.cpu_percent.map(|percent| format!("{} {CPU_PERIOD_US}", share_us(percent)));
        for (file, value) in [
            ("memory.max", Some(bytes.to_string())),
            ("memory.oom.group", Some("1".to_owned())),
            ("pids.max", Some(limits.threads.to_string())),
            ("cpu.max", cpu),
        ] {
            let Some(value) = value else { continue };
            match set(&self.folder.join(file), &value) {
                Err(error) if error.kind() == ErrorKind::NotFound && limits.hold == Hold::WherePossible => {}
                Err(error) => return Err(io::Error::other(format!("{file}: {error}"))),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Moves a process in; what it starts is in there too.
    pub(super) fn take(&self, pid: Pid) -> io::Result<()> {
        set(&self.folder.join(PROCESSES), &pid.to_string())
    }

    /// Kills all that is in it (Linux 5.14; before, whoever calls this must kill by himself).
    pub(super) fn kill(&self) {
        let _ = set(&self.folder.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            log::warn!("cgroup left behind {}: {error}", self.folder.display());
        }
    }
}

/// The keeper's own cgroup, if it may be divided: the root, which a container or the node image's PID 1 has, or one that was
/// delegated. The keeper itself moves one down, since only leaves of a divided cgroup hold processes.
fn own() -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let mount = mounts.lines().find_map(mount_of_version_2).ok_or("no cgroups of version 2 are mounted")?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let path =
        cgroups.lines().find_map(|line| line.strip_prefix("0::")).ok_or("garantd is in no cgroup of version 2")?;
    let own = Path::new(mount).join(path.trim_start_matches('/'));
    if path == "/" {
        return Ok(own);
    }
    if !is_delegated(&own) {
        return Err(format!("{path} is not garantd's to divide: Delegate=yes in its unit"));
    }
    let leaf = own.join("keeper");
    let moved = fs::create_dir_all(&leaf).and_then(|()| set(&leaf.join(PROCESSES), &getpid().to_string()));
    moved.map_err(|error| format!("{}: {error}", leaf.display()))?;
    Ok(own)
}

/// The mount point, where this line of mountinfo is one (proc(5)).
fn mount_of_version_2(line: &str) -> Option<&str> {
    let (mount, kind) = line.split_once(" - ")?;
    kind.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4)).flatten()
}

/// systemd marks what it gives away (systemd's CGROUP_DELEGATION).
fn is_delegated(cgroup: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::getxattr(cgroup, *name, &mut value[..]).is_ok_and(|length| length == 1) && value == *b"1"
    })
}

/// Which keeper made a folder: its pid, and when it started, so that nobody is taken for somebody else.
struct Owner {
    pid: u32,
    start: u64,
}

impl Owner {
    fn me() -> io::Result<Owner> {
        let pid = std::process::id();
        let start = start_of(pid).ok_or_else(|| io::Error::other("/proc does not say when garantd started"))?;
        Ok(Owner { pid, start })
    }

    fn name(&self) -> String {
        format!("{FOLDER}.{}.{}", self.pid, self.start)
    }

    fn of(name: &str) -> Option<Owner> {
        let (pid, start) = name.strip_prefix(FOLDER)?.strip_prefix('.')?.split_once('.')?;
        Some(Owner { pid: pid.parse().ok()?, start: start.parse().ok()? })
    }

    fn lives(&self) -> bool {
        start_of(self.pid) == Some(self.start)
    }
}

/// When a process started, in ticks since boot (proc_pid_stat(5), field 22; the second may hold anything but ends with the
/// last parenthesis).
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

/// Ends and removes what keepers left that are no more.
fn end_leftovers(own: &Path) {
    let Ok(entries) = fs::read_dir(own) else { return };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| Owner::of(name).is_some_and(|owner| !owner.lives())) {
        log::warn!("cgroups of an ended keeper removed {name}");
        let folder = own.join(name);
        let _ = set(&folder.join("cgroup.kill"), "1");
        let asked = Instant::now();
        while remove_all(&folder).is_err() && asked.elapsed() < LEFTOVER_END {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Removes a cgroup and those in it, of which there is one level.
fn remove_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten().filter(|entry| entry.path().is_dir()) {
        fs::remove_dir(entry.path())?;
    }
    fs::remove_dir(folder)
}

/// Writes to a file that is there: whoever asks to make one in a cgroup is told of permissions, and not that it is missing.
fn set(file: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(file)?.write_all(value.as_bytes())
}

const PROCESSES: &str = "cgroup.procs";
const FOLDER: &str = "garant-vms";
/// Without all of them no spec that demands limits is run.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// The kernel's own default.
const CPU_PERIOD_US: u64 = 100_000;
const CPU_PERCENT_US: u64 = CPU_PERIOD_US / 100;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_is_known_by_its_pid_and_when_it_started() {
        let me = Owner::me().unwrap();
        assert!(Owner::of(&me.name()).unwrap().lives());
        assert!(!Owner { start: me.start + 1, ..me }.lives(), "another that had this pid before");
        for name in ["garant-vms", "garant-vms.1", "garant-vms.x.1", "garant-vms.1.1.1", "system.slice"] {
            assert!(Owner::of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn version_2_is_found_among_other_mounts() {
        let other = "34 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";
        let ours = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";
        assert_eq!([other, ours].iter().find_map(|line| mount_of_version_2(line)), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount_of_version_2("1 1 0:1 / /cgroup2 rw - tmpfs cgroup2 rw"), None);
    }
}
