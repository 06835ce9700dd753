//! Parsing of fields, so that what is wrong is said with the field's name.

use crate::{budget, error::Invalid};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};

/// Reads a request of at most [`budget::BODY_BYTES`].
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Invalid> {
    let limit_bytes = budget::BODY_BYTES;
    if json.len() > limit_bytes {
        return Err(Invalid::TooLong { found_bytes: json.len(), limit_bytes });
    }
    serde_json::from_slice(json).map_err(|error| Invalid::json(&error))
}

/// A function for each field, for `deserialize_with`, which puts the field's name before what is wrong with it.
macro_rules! fields {
    ($($field:ident)*) => { $(
        pub(crate) fn $field<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
            T::deserialize(deserializer).map_err(|error| D::Error::custom(format_args!("{}: {error}", stringify!($field))))
        }
    )* };
}

fields! { generation spec machine accelerator vcpus memory_mib kernel disks image initrd command_line access grace_s limits cpu_percent nics network mac address }
