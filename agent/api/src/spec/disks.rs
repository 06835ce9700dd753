//! A VM's disks, counted while they are parsed.

use super::Disk;
use crate::{budget, error::Invalid, list::list};

list! {
    /// At most [`budget::DISKS`] disks.
    Disks(Disk), budget::DISKS, "disks", Invalid::Disks
}
