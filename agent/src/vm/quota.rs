//! How much of a node each client has, and whether it may have more. Left out: what the node itself has room for (`board`).

use crate::{
    config::{Quota, VmClient},
    vm::{board::has_vmm, clients::Caller},
};
use garant_api::{
    client::ClientName,
    problem::{Code, Problem},
    vm::Vm,
};
use std::collections::BTreeMap;

/// What a start writes: itself, its result, its end.
pub const START_ENTRIES: u64 = 3;
/// What a definition or another act writes.
pub const ACT_ENTRIES: u64 = 1;

/// The clients' shares.
#[derive(Debug, Default)]
pub struct Quotas {
    quotas: BTreeMap<ClientName, Quota>,
    /// Entries in this boot.
    written: BTreeMap<ClientName, u64>,
}

impl Quotas {
    /// Of these clients, who have written nothing yet.
    pub fn new(clients: &[VmClient]) -> Quotas {
        let quotas = clients.iter().map(|client| (client.name.clone(), client.quota())).collect();
        Quotas { quotas, written: BTreeMap::new() }
    }

    /// Whether one more VM may be this owner's.
    pub fn admit_definition<'a>(
        &self,
        owner: Option<&ClientName>,
        vms: impl Iterator<Item = &'a Vm>,
    ) -> Result<(), Problem> {
        let Some((owner, quota)) = self.of(owner) else { return Ok(()) };
        let count = vms.filter(|vm| vm.owner.as_ref() == Some(owner)).count();
        if count < quota.count {
            return Ok(());
        }
        let what = format!("{owner} has {count} VMs, and may have {}", quota.count);
        Err(Problem::new(Code::QuotaCount, what, "delete one, or have the operator raise count in [[vms.client]]"))
    }

    /// Whether this VM may run beside those of its owner that do.
    pub fn admit_run<'a>(&self, vm: &Vm, vms: impl Iterator<Item = &'a Vm>) -> Result<(), Problem> {
        let Some((owner, quota)) = self.of(vm.owner.as_ref()) else { return Ok(()) };
        let running = vms.filter(|other| other.owner.as_ref() == Some(owner) && has_vmm(other.state));
        let (memory_mib, vcpus) = running.fold((0u64, 0u64), |(memory_mib, vcpus), vm| {
            let more = memory_mib.saturating_add(vm.spec.memory_mib.get().into());
            (more, vcpus.saturating_add(vm.spec.vcpus.get().into()))
        });
        let wanted = u64::from(vm.spec.memory_mib.get());
        if memory_mib.saturating_add(wanted) > quota.memory_mib {
            let what = format!("{wanted} MiB asked for, {memory_mib} of {} MiB of {owner} taken", quota.memory_mib);
            let next = "stop a VM, or have the operator raise memory_mib in [[vms.client]]";
            return Err(Problem::new(Code::QuotaMemory, what, next));
        }
        let wanted = u64::from(vm.spec.vcpus.get());
        if vcpus.saturating_add(wanted) > quota.vcpus {
            let what = format!("{wanted} vCPUs asked for, {vcpus} of {} of {owner} taken", quota.vcpus);
            let next = "stop a VM, or have the operator raise vcpus in [[vms.client]]";
            return Err(Problem::new(Code::QuotaVcpus, what, next));
        }
        Ok(())
    }

    /// Counts what a caller is about to have written; refuses what would be too much.
    pub fn charge(&mut self, caller: &Caller, entries: u64) -> Result<(), Problem> {
        let Some((name, quota)) = self.of(caller.name()) else { return Ok(()) };
        let written = self.written.get(name).copied().unwrap_or_default();
        let sum = written.saturating_add(entries);
        if sum > quota.entries {
            let what = format!("{name} has had {written} entries written in this boot, and may have {}", quota.entries);
            let next = "have the operator raise entries in [[vms.client]], which takes a reboot; what runs goes on";
            return Err(Problem::new(Code::QuotaEntries, what, next));
        }
        self.written.insert(name.clone(), sum);
        Ok(())
    }

    /// Counts what a server before this one wrote for a client.
    pub fn recount(&mut self, name: &ClientName, entries: u64) {
        let written = self.written.entry(name.clone()).or_default();
        *written = written.saturating_add(entries);
    }

    fn of<'a>(&self, name: Option<&'a ClientName>) -> Option<(&'a ClientName, Quota)> {
        let name = name?;
        self.quotas.get(name).map(|quota| (name, *quota))
    }
}
