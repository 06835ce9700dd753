//! Says how QEMU is started for a spec: its arguments, and the files it inherits. Pure.
//!
//! Nothing from outside can become an option. Files are descriptors, so no path is written anywhere; what is structured
//! goes through JSON; the kernel's command line, the one text of a caller's choice, is an argument by itself, which
//! QEMU does not parse.
//!
//! Left out: a vTPM.

pub mod nic;

use garant_api::spec::{Accelerator, Access, Machine, Spec};
use serde_json::{Value, json};
use std::{fs::File, os::fd::OwnedFd};

/// How QEMU is started. It inherits /dev/null as 0, its log as 1 and 2, [`QMP`], [`CONSOLE`], and then `descriptors`,
/// whose first is [`FIRST_FILE`]. The user it runs as must be able to open the kernel and the initrd, which QEMU opens
/// anew from its own descriptors.
#[derive(Debug)]
pub struct Plan {
    /// What stands after the program's name.
    pub arguments: Vec<String>,
    /// Files in the order of their numbers.
    pub descriptors: Vec<OwnedFd>,
}

/// The number of the socket for QMP.
pub const QMP: u8 = 3;
/// The number of the socket that is the machine's serial port.
pub const CONSOLE: u8 = 4;
/// The number of the first file.
pub const FIRST_FILE: u8 = 5;

/// The files of a spec, in its order. The caller opens them by the spec's digests, so that they fit it.
#[derive(Debug)]
pub struct Files {
    /// The kernel, open for reading.
    pub kernel: File,
    /// The initrd, open for reading.
    pub initrd: Option<File>,
    /// The disks.
    pub disks: Vec<DiskFile>,
}

/// A disk's files. Images are raw: a format that names other files is never guessed from what a file contains.
#[derive(Debug)]
pub enum DiskFile {
    /// An image that the guest reads.
    ReadOnly {
        /// Open for reading.
        image: File,
    },
    /// An image below a layer of the VM's own.
    Overlay {
        /// Open for reading.
        image: File,
        /// Made by [`crate::vm::overlay::format`]; open for reading and writing, by nobody else: QEMU locks it.
        overlay: File,
    },
    /// Nothing yet: zeros, until something else takes the place before the guest begins.
    Placeholder {
        /// What the guest may do with what will be there.
        access: Access,
    },
}

/// The plan for a spec. An accelerator that is left out is TCG, which runs everywhere; a node with another choice
/// writes it into the spec. `tsc_khz` is the frequency of the host's time stamp counter.
pub fn plan(spec: &Spec, files: Files, tsc_khz: Option<u64>) -> Plan {
    let mut plan = Plan { arguments: BASE.map(str::to_owned).to_vec(), descriptors: Vec::new() };
    plan.add_machine(spec);
    plan.add_kernel(files.kernel, files.initrd, command_line(spec, tsc_khz));
    plan.add_devices(spec.machine);
    for (number, disk) in files.disks.into_iter().enumerate() {
        plan.add_disk(spec.machine, number, disk);
    }
    plan
}

/// What the kernel is told. Under TCG a guest reads the host's time stamp counter, and while it finds out how fast that
/// is, a microvm on a busy host hangs; so it is told, unless the caller says it (measured: 0 of 17 boots without, all
/// with it). It stands first: what stands after `--` is for init, and what is beyond 2,047 bytes for nobody.
pub fn command_line(spec: &Spec, tsc_khz: Option<u64>) -> String {
    let own = spec.kernel.command_line.as_str();
    let is_told = own.split(' ').any(|word| word.starts_with(TSC_PARAMETER));
    match (accelerator(spec), tsc_khz) {
        (Accelerator::Tcg, Some(khz)) if !is_told => format!("{TSC_PARAMETER}{khz} {own}"),
        _ => own.to_owned(),
    }
}

fn accelerator(spec: &Spec) -> Accelerator {
    spec.accelerator.unwrap_or(Accelerator::Tcg)
}

impl Plan {
    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.arguments.push(option.to_owned());
        self.arguments.push(value.into());
    }

    fn add_json(&mut self, option: &str, value: &Value) {
        self.add(option, value.to_string());
    }

    fn add_machine(&mut self, spec: &Spec) {
        let accelerator = accelerator(spec);
        self.add(
            "-machine",
            match (spec.machine, accelerator) {
                (Machine::Microvm, Accelerator::Kvm) => "microvm,x-option-roms=off,rtc=on,pit=off,pic=off",
                // Without KVM's own clock a guest needs the timer and the interrupts of a PC.
                (Machine::Microvm, Accelerator::Tcg) => "microvm,x-option-roms=off,rtc=on",
                (Machine::Q35, _) => "q35,usb=off,vmport=off,smbus=off,sata=off",
            },
        );
        let (name, processor) = match accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Tcg => ("tcg", "max"),
        };
        self.add("-accel", name);
        self.add("-cpu", processor);
        self.add("-m", format!("{}M", spec.memory_mib));
        self.add("-smp", spec.vcpus.to_string());
    }

    fn add_kernel(&mut self, kernel: File, initrd: Option<File>, command_line: String) {
        let kernel = self.inherit(kernel);
        self.add("-kernel", format!("/proc/self/fd/{kernel}"));
        if let Some(initrd) = initrd {
            let initrd = self.inherit(initrd);
            self.add("-initrd", format!("/proc/self/fd/{initrd}"));
        }
        self.add("-append", command_line);
    }

    /// Devices that every machine of this kind has.
    fn add_devices(&mut self, machine: Machine) {
        let entropy = match machine {
            Machine::Microvm => json!({ "driver": "virtio-rng-device" }),
            Machine::Q35 => json!({ "driver": "virtio-rng-pci" }),
        };
        self.add_json("-device", &entropy);
        // The port is on the ISA bus, which both machines have.
        self.add_json("-device", &json!({ "driver": "pvpanic" }));
    }

    /// A guest finds disks in the order in which they are added, on both machines, as long as none is told its place: a
    /// microvm fills its transports from the last to the first, and lists them so (measured, QEMU 7.2).
    fn add_disk(&mut self, machine: Machine, number: usize, disk: DiskFile) {
        let serial = format!("disk{number}");
        let node = match disk {
            DiskFile::Placeholder { .. } => format!("nothing{number}"),
            _ => serial.clone(),
        };
        match disk {
            DiskFile::ReadOnly { image } => self.add_image(&node, image),
            DiskFile::Overlay { image, overlay } => {
                let below = format!("image{number}");
                self.add_image(&below, image);
                let set = self.inherit_as_set(overlay);
                self.add_json("-blockdev", &layer_node(&node, &below, &set));
            }
            DiskFile::Placeholder { access } => self.add_json(
                "-blockdev",
                &json!({
                    "driver": "null-co", "node-name": node, "size": PLACEHOLDER_BYTES,
                    "read-only": access == Access::ReadOnly,
                }),
            ),
        }
        let driver = match machine {
            Machine::Microvm => "virtio-blk-device",
            Machine::Q35 => "virtio-blk-pci",
        };
        // A disk that is full or fails stops the VM until somebody has seen to it, and the guest's file system never
        // sees it.
        self.add_json(
            "-device",
            &json!({
                "driver": driver, "id": format!("device{number}"), "drive": node, "serial": serial,
                "werror": "stop", "rerror": "stop",
            }),
        );
    }

    /// An image is shared by many VMs and never written, so it needs no lock.
    fn add_image(&mut self, node: &str, image: File) {
        let set = self.inherit_as_set(image);
        self.add_json("-blockdev", &image_node(node, &set));
    }

    /// The number that a file will have.
    fn inherit(&mut self, file: File) -> usize {
        let number = self.descriptors.len().saturating_add(usize::from(FIRST_FILE));
        self.descriptors.push(file.into());
        number
    }

    /// The name of a set that holds this file, by which QEMU's block layer opens it.
    fn inherit_as_set(&mut self, file: File) -> String {
        let number = self.inherit(file);
        self.add("-add-fd", format!("fd={number},set={number}"));
        format!("/dev/fdset/{number}")
    }
}

/// What QEMU's block layer is told of an image in this set.
pub fn image_node(node: &str, set: &str) -> Value {
    let file = json!({ "driver": "file", "filename": set, "read-only": true, "locking": "off" });
    json!({ "driver": "raw", "node-name": node, "read-only": true, "file": file })
}

/// The same of a layer above the node `below`.
pub fn layer_node(node: &str, below: &str, set: &str) -> Value {
    let file = json!({ "driver": "file", "filename": set });
    json!({ "driver": "qcow2", "node-name": node, "file": file, "backing": below })
}

/// What every VM has: nothing that was not asked for, paused, one control socket, one serial port, no way to start a
/// program or to gain a right. A guest that reboots ends its VMM: whether it starts again is the node's to say.
const BASE: [&str; 18] = [
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-vga",
    "none",
    "-S",
    "-no-reboot",
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-chardev",
    "socket,id=qmp,fd=3",
    "-mon",
    "chardev=qmp,mode=control",
    "-chardev",
    "socket,id=console,fd=4",
    "-serial",
    "chardev:console",
];

/// No guest ever sees it.
const PLACEHOLDER_BYTES: u64 = 64 << 20;

const TSC_PARAMETER: &str = "tsc_early_khz=";

#[cfg(test)]
mod tests;
