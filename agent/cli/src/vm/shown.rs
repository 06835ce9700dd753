//! VMs and events as people see them; as JSON they are what the node said.

use garant_api::{
    event::Event,
    spec::{Accelerator, Access, Machine, Spec},
    vm::{Interface, List, State, Vm},
};
use serde::Serialize;
use std::fmt;

/// A VM in one line.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Line(pub(super) Vm);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Vm { id, generation, state, times, .. } = &self.0;
        write!(f, "{id:<16} {state:<9} generation {generation}")?;
        if let (State::Running, Some(running)) = (state, times.running) {
            write!(f, ", running {} ms after it was asked for", running.saturating_sub(times.accepted))?;
        }
        write_reason(f, self.0.reason.as_deref())
    }
}

fn write_reason(f: &mut fmt::Formatter<'_>, reason: Option<&str>) -> fmt::Result {
    reason.map_or(Ok(()), |reason| write!(f, ": {reason}"))
}

/// All VMs.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Table(pub(super) List);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.vms.is_empty() {
            return f.write_str("no VMs");
        }
        writeln!(f, "{:<16} {:<9} {:>10} {:>5} {:>8}  reason", "vm", "state", "generation", "vcpus", "MiB")?;
        self.0.vms.iter().try_for_each(|vm| {
            let Vm { id, generation, state, spec, reason, degraded, .. } = vm;
            let (vcpus, memory) = (spec.vcpus, spec.memory_mib);
            let reason = degraded.as_deref().or(reason.as_deref()).unwrap_or_default();
            writeln!(f, "{id:<16} {state:<9} {generation:>10} {vcpus:>5} {memory:>8}  {reason}")
        })
    }
}

/// Everything about a VM.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Whole(pub(super) Vm);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Vm { id, generation, owner, spec, state, reason, degraded, times, nics, level } = &self.0;
        writeln!(f, "vm           {id}\nstate        {state}\ngeneration   {generation}")?;
        owner.as_ref().map_or(Ok(()), |owner| writeln!(f, "owner        {owner}"))?;
        reason.as_ref().map_or(Ok(()), |reason| writeln!(f, "reason       {reason}"))?;
        degraded.as_ref().map_or(Ok(()), |degraded| writeln!(f, "degraded     {degraded}"))?;
        write_spec(f, spec)?;
        nics.iter().try_for_each(|nic| write_nic(f, nic))?;
        writeln!(f, "accepted     {}", point(times.accepted))?;
        let steps = [("vmm ready", times.vmm_ready), ("running", times.running)];
        for (step, time) in steps.into_iter().chain([("guest ready", times.guest_ready), ("ended", times.ended)]) {
            let Some(time) = time else { continue };
            writeln!(f, "{step:<12} {} ms later", time.saturating_sub(times.accepted))?;
        }
        level.map_or(Ok(()), |level| writeln!(f, "served       {}", word(&level)))
    }
}

fn write_spec(f: &mut fmt::Formatter<'_>, spec: &Spec) -> fmt::Result {
    let machine = match spec.machine {
        Machine::Microvm => "microvm",
        Machine::Q35 => "q35",
    };
    let accelerator = match spec.accelerator {
        None => "whatever runs it here",
        Some(Accelerator::Kvm) => "kvm",
        Some(Accelerator::Tcg) => "tcg",
    };
    writeln!(f, "machine      {machine}, {} vCPUs, {} MiB, {accelerator}", spec.vcpus, spec.memory_mib)?;
    writeln!(f, "kernel       {}", spec.kernel.image)?;
    spec.kernel.initrd.map_or(Ok(()), |initrd| writeln!(f, "initrd       {initrd}"))?;
    writeln!(f, "command line {}", spec.kernel.command_line)?;
    spec.disks.iter().try_for_each(|disk| {
        let access = match disk.access {
            Access::ReadOnly => "read only",
            Access::Overlay => "overlay",
        };
        writeln!(f, "disk         {}, {access}", disk.image)
    })
}

fn write_nic(f: &mut fmt::Formatter<'_>, nic: &Interface) -> fmt::Result {
    write!(f, "nic          {}, {}", nic.network, nic.mac)?;
    if let (Some(address), Some(prefix_bits)) = (nic.address, nic.prefix_bits) {
        write!(f, ", {address}/{prefix_bits}")?;
    }
    nic.gateway.map_or(Ok(()), |gateway| write!(f, " by {gateway}"))?;
    writeln!(f)
}

/// The word that JSON has for a value.
fn word(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default().trim_matches('"').to_owned()
}

/// One line about what happened.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Happened(pub(super) Event);

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { sequence, time_ms, id, generation, state, reason } = &self.0;
        write!(f, "{id:<16} {state:<9} generation {generation}, event {sequence}, {}", point(*time_ms))?;
        write_reason(f, reason.as_deref())
    }
}

/// Events are lost between two that were asked for.
#[derive(Serialize)]
pub(super) struct Gap {
    /// The last one seen.
    pub(super) after: u64,
    /// The first one that the node still has.
    pub(super) first_kept: u64,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gap: events after {} and before {} are lost; all VMs anew:", self.after, self.first_kept)
    }
}

/// What a guest said.
#[derive(Serialize)]
pub(super) struct Console {
    pub(super) console: String,
}

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.console)
    }
}

/// RFC 3339 in UTC, to the second.
fn point(time_ms: u64) -> String {
    crate::time::print(time_ms / 1000)
}
