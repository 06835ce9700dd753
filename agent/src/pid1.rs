//! The keeper as PID 1 of the node image: mounts, the modules of the manifest and then no more modules, the network after
//! entry 0, and a reboot where the keeper ends.

use crate::{
    budget::{DEVICE_WAIT, MODULE_LIST_BYTES, REBOOT_PAUSE},
    network::{self, NetworkError, StaticAddress},
};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
    unistd::getpid,
};
use std::{
    convert::Infallible,
    error::Error,
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Why the node image does not come up.
#[derive(Debug)]
pub struct Pid1Error {
    doing: String,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Pid1Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.doing)
    }
}

impl Error for Pid1Error {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Whether this process is the first of the machine. A PID namespace has a first process too, which must not mount or load
/// anything: a VMM's stage is one. But there somebody has mounted /proc before.
pub fn is_me() -> bool {
    getpid().as_raw() == 1 && !Path::new("/proc/self").exists()
}

/// Mounts what the kernel shows, loads the modules of the image's list, and forbids all others until the next boot.
pub fn prepare() -> Result<(), Pid1Error> {
    let needed = [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run"), ("tmpfs", "/tmp")];
    for (kind, target) in needed {
        mount_one(kind, target).map_err(failed(format!("mount {target}")))?;
    }
    load_modules(Path::new(MODULE_LIST))?;
    forbid_modules().map_err(failed("forbid more kernel modules".to_owned()))?;
    for (kind, target) in [("securityfs", "/sys/kernel/security"), ("efivarfs", "/sys/firmware/efi/efivars")] {
        if let Err(errno) = mount_one(kind, target) {
            log::warn!("{target} not mounted: {errno}");
        }
    }
    wait_until(|| Path::new(TPM).exists());
    Ok(())
}

/// Brings loopback up, and the addresses of the kernel's command line, which is measured. Not before entry 0.
pub fn bring_network_up() -> Result<(), Pid1Error> {
    network::up("lo").map_err(failed("bring loopback up".to_owned()))?;
    let command_line = fs::read_to_string("/proc/cmdline").map_err(failed("read the command line".to_owned()))?;
    for address in StaticAddress::all_of(&command_line) {
        let address = address.map_err(failed("understand garant.net".to_owned()))?;
        wait_until(|| !matches!(network::index_of(address.interface()), Err(NetworkError::NoInterface { .. })));
        address.apply().map_err(failed(format!("set {address}")))?;
        log::info!("network up {address}");
    }
    Ok(())
}

/// Switches the machine off, because somebody asked.
pub fn power_off() -> nix::Result<Infallible> {
    reboot(RebootMode::RB_POWER_OFF)
}

/// Boots again, after a pause in which the console can be read: the keeper's end is the boot's.
pub fn boot_again() -> nix::Result<Infallible> {
    thread::sleep(REBOOT_PAUSE);
    reboot(RebootMode::RB_AUTOBOOT)
}

fn failed<E: Into<Box<dyn Error + Send + Sync>>>(doing: String) -> impl FnOnce(E) -> Pid1Error {
    move |source| Pid1Error { doing, source: source.into() }
}

/// Mounts a kernel's file system with nothing on it that runs; one that is mounted already will do.
fn mount_one(kind: &str, target: &str) -> nix::Result<()> {
    let nothing_runs = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let flags = if kind == "devtmpfs" { nothing_runs } else { nothing_runs | MsFlags::MS_NODEV };
    match mount(Some(kind), target, Some(kind), flags, None::<&str>) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Loads the modules that the list names, one path a line, in its order.
fn load_modules(list: &Path) -> Result<(), Pid1Error> {
    for path in module_list(list).map_err(failed(format!("read {}", list.display())))? {
        let loaded = File::open(&path).map_err(Box::from).and_then(|file| match load_module(&file) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(Box::<dyn Error + Send + Sync>::from(errno)),
        });
        loaded.map_err(failed(format!("load {}", path.display())))?;
    }
    Ok(())
}

fn load_module(file: &File) -> nix::Result<()> {
    finit_module(file, c"", ModuleInitFlags::empty())
}

/// An image without modules has no list.
fn module_list(list: &Path) -> io::Result<Vec<PathBuf>> {
    let mut text = String::new();
    match File::open(list) {
        Ok(file) => file.take(MODULE_LIST_BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(PathBuf::from).collect())
}

/// Until the next boot; a kernel without modules has no such switch.
fn forbid_modules() -> io::Result<()> {
    match fs::write("/proc/sys/kernel/modules_disabled", "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written,
    }
}

/// Drivers find their devices in their own time.
fn wait_until(mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() && started.elapsed() < DEVICE_WAIT {
        thread::sleep(Duration::from_millis(10));
    }
}

const MODULE_LIST: &str = "/etc/garant/modules";
const TPM: &str = "/dev/tpmrm0";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_module_list_keeps_its_order_and_skips_comments() {
        let list = std::env::temp_dir().join(format!("garant-modules-{}", std::process::id()));
        fs::write(&list, "# first\n/lib/b.ko\n\n /lib/a.ko \n").unwrap();
        let read = module_list(&list).unwrap();
        fs::remove_file(&list).unwrap();
        assert_eq!(read, [PathBuf::from("/lib/b.ko"), PathBuf::from("/lib/a.ko")]);
        assert!(module_list(&list).unwrap().is_empty(), "an image without a list has no modules");
    }
}
