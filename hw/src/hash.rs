//! The hash algorithms of PCR banks.

/// A hash algorithm that a PCR bank may use (TCG Algorithm Registry 1.34, table 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// Never carries a policy.
    Sha1,
    /// The common bank.
    Sha256,
    /// The bank of newer servers.
    Sha384,
    /// Rare.
    Sha512,
}

impl Hash {
    /// All four, in the order of their algorithm ids' sizes.
    pub const ALL: [Hash; 4] = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];

    /// The algorithm of a TPM_ALG_ID.
    pub fn from_algorithm_id(id: u16) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.algorithm_id() == id)
    }

    /// Its TPM_ALG_ID.
    pub const fn algorithm_id(self) -> u16 {
        match self {
            Hash::Sha1 => 0x0004,
            Hash::Sha256 => 0x000b,
            Hash::Sha384 => 0x000c,
            Hash::Sha512 => 0x000d,
        }
    }

    /// Length of a digest in bytes.
    pub const fn size_bytes(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// The name in logs, policies and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "sha1",
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
            Hash::Sha512 => "sha512",
        }
    }
}
