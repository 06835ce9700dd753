//! What this node cannot run, refused before it is defined. Left out: whether there is room for it.

use crate::vm::{
    accelerators::{Kvm, NotWorking},
    actor::Host,
};
use garant_api::{
    problem::{Code, Problem},
    spec::{Accelerator, Spec},
};

impl Host {
    /// Refuses a spec that asks for what this node does not have.
    pub(super) fn admit(&self, spec: &Spec) -> Result<(), Problem> {
        if spec.accelerator.is_some_and(|accelerator| !self.accelerators.allows(accelerator)) {
            let what = "the accelerator is none of those that this node's configuration allows";
            return Err(Problem::new(Code::NotAllowed, what, "leave it out, or add it to accelerators in [vms]"));
        }
        if let (Some(Accelerator::Kvm), Some(Kvm::Fails(why))) = (spec.accelerator, self.accelerators.kvm()) {
            return Err((&NotWorking(why)).into());
        }
        match (&self.found.abilities.limits_missing, spec.limits) {
            (Some(missing), Some(_)) => {
                Err(Problem::new(Code::LimitsNotEnforced, missing, "leave limits out, or give garantd cgroup v2"))
            }
            _ => Ok(()),
        }
    }
}
