//! Parsing of fields, so that what is wrong is said with the field's name.

use crate::{budget, error::Invalid, number::Within};
use core::{fmt, marker::PhantomData};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};

/// Reads a request of at most [`budget::BODY_BYTES`].
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Invalid> {
    let limit_bytes = budget::BODY_BYTES;
    if json.len() > limit_bytes {
        return Err(Invalid::TooLong { found_bytes: json.len(), limit_bytes });
    }
    let read = serde_json::from_slice(json).map(|Object(read)| read);
    read.map_err(|error| Invalid::json(&error))
}

/// A value that is written as an object. Without this, a list of its fields in their order would do as well.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

/// Takes an object.
struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A function for each field, for `deserialize_with`, which puts the field's name before what is wrong with it.
macro_rules! fields {
    ($($field:ident)*) => { $(
        pub(crate) fn $field<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
            T::deserialize(deserializer).map_err(|error| D::Error::custom(format_args!("{}: {error}", stringify!($field))))
        }
    )* };
}

/// The same for a field that is an object.
macro_rules! objects {
    ($($field:ident)*) => { $(
        pub(crate) fn $field<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
            let object = Object::deserialize(deserializer).map(|Object(object)| object);
            object.map_err(|error| D::Error::custom(format_args!("{}: {error}", stringify!($field))))
        }
    )* };
}

/// The same for one that may be left out.
macro_rules! optional_objects {
    ($($field:ident)*) => { $(
        pub(crate) fn $field<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error> {
            let object = Option::deserialize(deserializer).map(|object| object.map(|Object(object)| object));
            object.map_err(|error| D::Error::custom(format_args!("{}: {error}", stringify!($field))))
        }
    )* };
}

/// Any number that a client counts to.
pub(crate) fn generation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let counted = deserializer.deserialize_u64(Within { min: 0, max: u64::MAX });
    counted.map_err(|error| D::Error::custom(format_args!("generation: {error}")))
}

fields! { machine accelerator vcpus memory_mib disks image initrd command_line access grace_s cpu_percent nics network mac address }
objects! { spec kernel }
optional_objects! { limits }
