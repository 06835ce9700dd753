//! What a policy accepts of the files that the kernel measured (IMA).

use crate::policy_values::AnyDigest;
use alloc::{string::String, vec::Vec};
use serde::Deserialize;

/// What the IMA list may hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImaPolicy {
    files: Vec<AnyDigest>,
    #[serde(default)]
    unchecked_paths: Vec<String>,
}

impl ImaPolicy {
    /// Sorts the digests, once, for [`ImaPolicy::accepts_file`].
    pub(crate) fn sort(&mut self) {
        self.files.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    }

    /// Whether a file of this digest may have been used.
    pub fn accepts_file(&self, digest: &[u8]) -> bool {
        self.files.binary_search_by(|known| known.0.as_bytes().cmp(digest)).is_ok()
    }

    /// Whether the policy leaves this path, or one above it, unchecked, whatever the file's digest.
    pub fn leaves_unchecked(&self, path: &str) -> bool {
        let is_below = |above: &str, rest: &str| rest.is_empty() || above.ends_with('/') || rest.starts_with('/');
        self.unchecked_paths.iter().any(|above| path.strip_prefix(above.as_str()).is_some_and(|r| is_below(above, r)))
    }
}
