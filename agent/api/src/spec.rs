//! What a client wants a VM to be. Images are named by their digests, never by a path.

mod command_line;
mod disks;
mod image_digest;
mod limits;
mod nics;
mod vm_id;

pub use command_line::CommandLine;
pub use disks::Disks;
pub use image_digest::ImageDigest;
pub use limits::{CpuPercent, Limits};
pub use nics::{Address, Mac, NetworkName, Nic, Nics};
pub use vm_id::VmId;

use crate::{budget, error::Invalid, field, number::number};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Body of `PUT /v1/vms/{id}`: the VM has this spec from this generation on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensure {
    /// Counted by the client; the same id and generation always mean the same spec.
    #[serde(deserialize_with = "field::generation")]
    pub generation: u64,
    /// What the VM is.
    #[serde(deserialize_with = "field::spec")]
    pub spec: Spec,
}

impl Ensure {
    /// Reads it; what is wrong is said with its field.
    pub fn from_json(json: &[u8]) -> Result<Ensure, Invalid> {
        field::read(json)
    }
}

/// What a VM is. Holding one proves that every value is in its range, and not that the node has the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The machine; a microvm where left out.
    #[serde(default, deserialize_with = "field::machine")]
    pub machine: Machine,
    /// What runs the vCPUs; the node's own choice where left out.
    #[serde(default, deserialize_with = "field::accelerator", skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// Virtual CPUs.
    #[serde(deserialize_with = "field::vcpus")]
    pub vcpus: Vcpus,
    /// Memory in MiB.
    #[serde(deserialize_with = "field::memory_mib")]
    pub memory_mib: MemoryMib,
    /// What is booted.
    #[serde(deserialize_with = "field::kernel")]
    pub kernel: Kernel,
    /// Virtio block devices, in this order.
    #[serde(default, deserialize_with = "field::disks", skip_serializing_if = "Disks::is_empty")]
    pub disks: Disks,
    /// Network interfaces, in this order.
    #[serde(default, deserialize_with = "field::nics", skip_serializing_if = "Nics::is_empty")]
    pub nics: Nics,
    /// How much of the node it may take.
    #[serde(default, deserialize_with = "field::limits", skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

impl Spec {
    /// Reads one, by itself; what is wrong is said with its field.
    pub fn from_json(json: &[u8]) -> Result<Spec, Invalid> {
        field::read(json)
    }

    /// The one form of this spec whose digest the ledger holds: JSON without spaces, fields in the order of this struct,
    /// a default written out, what is left out (accelerator, initrd, disks, nics, limits) not written. So a field that a later
    /// release adds changes no digest of a spec without it.
    pub fn canonical(&self) -> Vec<u8> {
        // Writing to memory cannot fail, and no field is a map, so JSON can carry all of them.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The kernel, its initrd and its command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// A bzImage or a PVH kernel.
    #[serde(deserialize_with = "field::image")]
    pub image: ImageDigest,
    /// Its first root file system.
    #[serde(default, deserialize_with = "field::initrd", skip_serializing_if = "Option::is_none")]
    pub initrd: Option<ImageDigest>,
    /// What it is told.
    #[serde(deserialize_with = "field::command_line")]
    pub command_line: CommandLine,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// What it contains at first.
    #[serde(deserialize_with = "field::image")]
    pub image: ImageDigest,
    /// What the guest may do with it.
    #[serde(deserialize_with = "field::access")]
    pub access: Access,
}

/// The machine that a guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// virtio over memory-mapped transports and nothing else: the quickest to start.
    #[default]
    Microvm,
    /// A PC with PCI Express.
    Q35,
}

/// What runs vCPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, through Linux.
    Kvm,
    /// QEMU's translator, in software.
    Tcg,
}

/// What a guest may do with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read it. Many VMs share one image.
    ReadOnly,
    /// Write to a layer of its own above the image, which is gone with the VM.
    Overlay,
}

number! {
    /// Virtual CPUs, 1 to [`budget::VCPUS`].
    Vcpus(u8), 1, budget::VCPUS
}

number! {
    /// Memory in MiB, [`budget::MEMORY_MIB_MIN`] to [`budget::MEMORY_MIB_MAX`].
    MemoryMib(u32), budget::MEMORY_MIB_MIN, budget::MEMORY_MIB_MAX
}

#[cfg(test)]
mod tests;
