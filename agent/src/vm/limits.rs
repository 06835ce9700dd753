//! How much a VMM may take of its node. Left out: who holds it to that, which is the keeper.

use crate::budget::{TCG_CODE_MIB, VMM_OVERHEAD_MIB, VMM_THREADS};
use garant_api::{
    budget::{MEMORY_MIB_MAX, VCPUS},
    spec::{Accelerator, Spec},
};
use serde::{Deserialize, Serialize};

/// Limits of one VMM, as the keeper is told. Keys stand in the order of deterministic CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// What is done where the node cannot hold it to them.
    pub hold: Hold,
    /// Threads, vCPUs among them.
    pub threads: u32,
    /// Memory in MiB, the guest's and its own.
    pub memory_mib: u64,
    /// Processor time in per cent of one processor; all there is where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
}

/// What is done where a node cannot hold a VMM to its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// It runs without.
    WherePossible,
    /// It does not run.
    Always,
}

impl Limits {
    /// Those of a VM; whoever asks for limits wants all of them held.
    pub fn of(spec: &Spec) -> Limits {
        let code_mib = if spec.accelerator == Some(Accelerator::Kvm) { 0 } else { TCG_CODE_MIB };
        let own_mib = VMM_OVERHEAD_MIB.saturating_add(code_mib);
        Limits {
            hold: if spec.limits.is_some() { Hold::Always } else { Hold::WherePossible },
            threads: VMM_THREADS.saturating_add(spec.vcpus.get().into()),
            memory_mib: u64::from(spec.memory_mib.get()).saturating_add(own_mib),
            cpu_percent: spec.limits.and_then(|limits| limits.cpu_percent).map(|percent| percent.get().into()),
        }
    }

    /// Whether a VM can have them: a limit of nothing would be none that anything runs within.
    pub fn are_possible(&self) -> bool {
        let most_threads = u64::from(VMM_THREADS).saturating_add(VCPUS);
        let most_mib = MEMORY_MIB_MAX.saturating_add(VMM_OVERHEAD_MIB).saturating_add(TCG_CODE_MIB);
        let most_percent = VCPUS.saturating_mul(100);
        (1..=most_threads).contains(&self.threads.into())
            && (1..=most_mib).contains(&self.memory_mib)
            && self.cpu_percent.is_none_or(|percent| (1..=most_percent).contains(&percent.into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::vm::real_qemu::spec;

    fn with_limits(json: &str) -> Limits {
        Limits::of(&Spec { limits: Some(serde_json::from_str(json).unwrap()), ..spec("microvm", "", &[]) })
    }

    #[test]
    fn what_nobody_asked_for_is_held_only_where_it_can_be() {
        let found = Limits::of(&spec("microvm", "", &[]));
        assert_eq!((found.hold, found.cpu_percent), (Hold::WherePossible, None));
        let asked = with_limits("{}");
        assert_eq!((asked.hold, asked.cpu_percent), (Hold::Always, None), "asked for no more than there is anyway");
        assert_eq!(with_limits(r#"{"cpu_percent":150}"#).cpu_percent, Some(150));
    }

    #[test]
    fn software_needs_room_for_the_code_that_it_makes() {
        let tcg = Limits::of(&spec("microvm", "", &[]));
        let kvm = Limits::of(&Spec { accelerator: Some(Accelerator::Kvm), ..spec("microvm", "", &[]) });
        assert_eq!((tcg.memory_mib, kvm.memory_mib), (128 + 192 + 1024, 128 + 192));
    }

    #[test]
    fn no_limit_is_nothing_or_more_than_a_vm_can_have() {
        let good = with_limits(r#"{"cpu_percent":6400}"#);
        assert!(good.are_possible());
        for wrong in [
            Limits { threads: 0, ..good },
            Limits { threads: 161, ..good },
            Limits { memory_mib: 0, ..good },
            Limits { memory_mib: 1 << 30, ..good },
            Limits { cpu_percent: Some(0), ..good },
            Limits { cpu_percent: Some(6401), ..good },
        ] {
            assert!(!wrong.are_possible(), "{wrong:?}");
        }
    }
}
