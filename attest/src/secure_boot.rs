//! What a policy accepts of the secure boot variables, which PCR 7 measures.

use crate::policy_values::Hex;
use alloc::vec::Vec;
use serde::Deserialize;

/// What the secure boot variables must be; each that is absent accepts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecureBoot {
    enabled: Option<bool>,
    #[serde(default)]
    pk: Vec<Hex<32>>,
    #[serde(default)]
    kek: Vec<Hex<32>>,
    #[serde(default)]
    db: Vec<Hex<32>>,
    #[serde(default)]
    dbx: Vec<Hex<32>>,
    #[serde(default)]
    authorities: Vec<Hex<32>>,
}

impl SecureBoot {
    /// The state that is accepted.
    pub fn enabled(&self) -> Option<bool> {
        self.enabled
    }

    /// Whether the variable of this name may have content of this SHA-256; an absent variable has the digest of nothing.
    pub fn accepts_variable(&self, name: &str, content: &[u8; 32]) -> bool {
        let accepted = match name {
            "PK" => &self.pk,
            "KEK" => &self.kek,
            "db" => &self.db,
            "dbx" => &self.dbx,
            _ => return false,
        };
        accepted.iter().any(|known| known.0 == *content)
    }

    /// Whether an authority entry with this SHA-256 may have verified a boot application.
    pub fn accepts_authority(&self, content: &[u8; 32]) -> bool {
        self.authorities.iter().any(|known| known.0 == *content)
    }
}
