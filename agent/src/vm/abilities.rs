//! What the keeper has found out about this node: whether it can keep VMMs apart and hold them to their limits.

use serde::{Deserialize, Serialize};

/// What is missing, in words; what is left out is there. Keys stand in the order of deterministic CBOR.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abilities {
    /// Why VMMs are not held to limits of memory, processor time and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits_missing: Option<String>,
    /// Why VMMs have no user, root and namespaces of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation_missing: Option<String>,
}
