//! What works on this node and what does not, for whoever operates it. Most is found out once, when the server starts: what a
//! locked-in server cannot look at, it cannot look at again.

use crate::{
    config::Configuration,
    lockdown::Landlocked,
    vm::{abilities::Abilities, accelerators::Kvm, actor::Host},
    vmm::QEMU,
};
use garant_api::{
    node::{Check, Node, State},
    spec::Accelerator,
};
use std::{fs, path::Path};

/// What was found before the server was locked in, and how it was.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// What the keeper found.
    pub abilities: Abilities,
    checks: Vec<Check>,
}

impl Found {
    /// Looks around.
    pub fn look(configuration: &Configuration) -> Found {
        let mut checks = vec![vmm(), vtpm()];
        if let Some(vms) = &configuration.vms {
            checks.push(memory(vms.memory_mib, vms.count));
            checks.push(Check::works("images", format!("the store is {}", vms.images.display())));
        }
        checks.push(match &configuration.state_dir {
            Some(folder) => Check::works("state_disk", format!("what guests write lies in {}", folder.display())),
            None => Check::off("state_disk", "without state_dir a VM's disks can be read only"),
        });
        Found { abilities: Abilities::default(), checks }
    }

    /// Adds what holds the server itself.
    pub fn add_lockdown(&mut self, landlocked: Landlocked) {
        self.checks.push(match landlocked {
            Landlocked::Fully => Check::works("landlock", "the server reaches only the files and ports that it needs"),
            Landlocked::Partly => Check::missing(
                "landlock",
                "this kernel locks files, and not ports or signals",
                "use Linux 6.12 or later",
            ),
            Landlocked::Not => Check::missing(
                "landlock",
                "this kernel does not lock the server's files",
                "use Linux 5.19 or later, and lsm=landlock",
            ),
        });
    }

    /// Adds what the keeper found, and what the TPM and its log lack.
    pub fn with(mut self, abilities: Abilities, missing: Option<&str>) -> Found {
        self.abilities = abilities;
        self.checks.push(match missing {
            None => Check::works("evidence", "TPM, boot log and IMA list can be read"),
            Some(missing) => Check::missing("evidence", missing, "mount securityfs; the node's log says more"),
        });
        self
    }
}

/// All of it, as of now.
pub fn node(host: &Host) -> Node {
    let mut checks = vec![kvm(host), tcg(host), limits(host), isolation(host)];
    checks.extend(host.found.checks.iter().cloned());
    Node { checks }
}

fn kvm(host: &Host) -> Check {
    match host.accelerators.kvm() {
        None => Check::off("kvm", "accelerators in [vms] does not name it, so it was not tried"),
        Some(Kvm::Works) => Check::works("kvm", "a guest that turned on paging said so"),
        Some(Kvm::Tried) => {
            let detail = "a guest that turns on paging was started";
            Check { state: State::Trying, ..Check::off("kvm", detail) }
        }
        Some(Kvm::Fails(why)) => {
            let next =
                "VMs run in software where accelerators allows tcg; on a rented machine ask for nested virtualisation";
            Check::missing("kvm", why, next)
        }
    }
}

fn tcg(host: &Host) -> Check {
    match host.accelerators.allows(Accelerator::Tcg) {
        true => Check::works("tcg", "software runs VMs, ten times as slow as KVM or more"),
        false => Check::off("tcg", "accelerators in [vms] does not name it"),
    }
}

fn limits(host: &Host) -> Check {
    match &host.found.abilities.limits_missing {
        None => Check::works("limits", "each VMM is held to its memory, processor time and threads by a cgroup"),
        Some(why) => {
            Check::missing("limits", why, "specs with limits are refused; give garantd cgroup v2: Delegate=yes")
        }
    }
}

fn isolation(host: &Host) -> Check {
    match &host.found.abilities.isolation_missing {
        None => Check::works("isolation", "each VMM has a user, a root and namespaces of its own"),
        Some(why) => Check::missing("isolation", why, "run it as root; it gives up what it does not need"),
    }
}

fn vmm() -> Check {
    match Path::new(QEMU).exists() {
        true => Check::works("vmm", QEMU),
        false => Check::missing("vmm", format!("there is no {QEMU}"), "apt install qemu-system-x86"),
    }
}

fn vtpm() -> Check {
    Check::off("vtpm", "this release gives VMs no TPM")
}

/// What the configuration gives away must be there.
fn memory(given_mib: u64, count: usize) -> Check {
    let there_mib = memory_of_machine_mib();
    let what = format!("{given_mib} MiB and at most {count} VMs");
    match there_mib {
        Some(there_mib) if there_mib < given_mib => {
            Check::missing("memory", format!("{what}, of {there_mib} MiB in the machine"), "lower memory_mib in [vms]")
        }
        _ => Check::works("memory", what),
    }
}

fn memory_of_machine_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}
