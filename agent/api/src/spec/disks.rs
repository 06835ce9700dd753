//! A VM's disks, counted while they are parsed.

use super::Disk;
use crate::{budget, error::Invalid};
use alloc::vec::Vec;
use core::fmt;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, SeqAccess, Visitor},
};

/// At most [`budget::DISKS`] disks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Disks(Vec<Disk>);

impl Disks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order in which the guest sees them.
    pub fn iter(&self) -> core::slice::Iter<'_, Disk> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Disks {
    type Item = &'a Disk;
    type IntoIter = core::slice::Iter<'a, Disk>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<Disk>> for Disks {
    type Error = Invalid;

    fn try_from(disks: Vec<Disk>) -> Result<Disks, Invalid> {
        if disks.len() > budget::DISKS { Err(Invalid::Disks) } else { Ok(Disks(disks)) }
    }
}

impl<'de> Deserialize<'de> for Disks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Disks, D::Error> {
        deserializer.deserialize_seq(Counted).map(Disks)
    }
}

/// Takes disks until there are too many.
struct Counted;

impl<'de> Visitor<'de> for Counted {
    type Value = Vec<Disk>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} disks", budget::DISKS)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Disk>, A::Error> {
        let mut disks = Vec::new();
        let numbered = |number: usize, error| A::Error::custom(format_args!("{number}: {error}"));
        while let Some(disk) = list.next_element().map_err(|error| numbered(disks.len(), error))? {
            if disks.len() >= budget::DISKS {
                return Err(A::Error::custom(Invalid::Disks));
            }
            disks.push(disk);
        }
        Ok(disks)
    }
}
