//! How much of its node a VM may take.

use crate::{budget, field, number::number};
use serde::{Deserialize, Serialize};

/// Limits that the node must hold a VM to, or not run it. Even where it names none, the VM is held to its memory and to the
/// threads that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Processor time; all that its vCPUs can take where left out.
    #[serde(default, deserialize_with = "field::cpu_percent", skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<CpuPercent>,
}

number! {
    /// Processor time in per cent of one processor, 1 to [`budget::CPU_PERCENT`].
    CpuPercent(u16), 1, budget::CPU_PERCENT
}
