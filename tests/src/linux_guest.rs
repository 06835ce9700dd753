//! A Linux guest with a network: Debian's cloud kernel, and an initrd whose first process is `linux_guest.c`.

use crate::vms::Images;
use serde_json::{Value, json};
use std::{fs, io, path::PathBuf, process::Command};

/// Its images in a node's store.
pub struct LinuxGuest {
    kernel: String,
    initrd: String,
}

impl LinuxGuest {
    /// Adds it to a store; says so and gives nothing where the kernel, or what builds the initrd, is missing.
    pub fn build(images: &Images) -> Option<LinuxGuest> {
        let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let kernels = fs::read_dir("/boot").ok()?.filter_map(name);
        let release = kernels
            .filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned))
            .filter(|release| release.ends_with("-cloud-amd64"))
            .max();
        let Some(release) = release else {
            println!("SKIPPED: no cloud kernel in /boot: apt install linux-image-cloud-amd64");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("init.c");
        let init = folder.path().join("init");
        fs::write(&source, include_str!("linux_guest.c")).unwrap();
        let mut compiler = Command::new("gcc");
        let built = compiler.args(["-static", "-Os", "-o"]).args([&init, &source]).status();
        if !built.is_ok_and(|status| status.success()) {
            println!("SKIPPED: no C compiler with a static library here: apt install gcc libc6-dev");
            return None;
        }
        let modules = PathBuf::from(format!("/lib/modules/{release}/kernel"));
        let mut initrd = file("init", &fs::read(init).unwrap());
        for driver in DRIVERS {
            let (_, name) = driver.rsplit_once('/').unwrap();
            initrd.extend(file(name, &fs::read(modules.join(driver)).unwrap()));
        }
        initrd.extend(file("TRAILER!!!", b""));
        let kernel = images.add(&fs::read(format!("/boot/vmlinuz-{release}")).unwrap());
        Some(LinuxGuest { kernel, initrd: images.add(&initrd) })
    }

    /// A spec with these network interfaces and words for its first process.
    pub fn spec(&self, machine: &str, nics: &Value, words: &str) -> Value {
        let command_line = format!("console=ttyS0 quiet no_timer_check reboot=t panic=-1 {words}");
        json!({
            "machine": machine, "vcpus": 1, "memory_mib": 96, "nics": nics,
            "kernel": { "image": self.kernel, "initrd": self.initrd, "command_line": command_line },
        })
    }
}

/// One file of an initrd (Documentation/driver-api/early-userspace/buffer-format.rst of Linux), executable.
fn file(name: &str, content: &[u8]) -> Vec<u8> {
    let fields = [1, 0o100_755, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
    let mut entry = b"070701".to_vec();
    fields.iter().for_each(|field| entry.extend(format!("{field:08x}").bytes()));
    entry.extend(name.bytes().chain([0]));
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry
}

/// What Debian's kernel has as modules; `linux_guest.c` loads them in its order.
const DRIVERS: [&str; 9] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_mmio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
];
