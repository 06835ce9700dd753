//! Values that are written as text, which is checked while it is parsed.

use core::{fmt, marker::PhantomData, str::FromStr};
use serde::de::{Error, Visitor};

/// Takes a text of a format from outside.
pub(crate) struct Text<T> {
    pub(crate) expected: &'static str,
    pub(crate) value: PhantomData<T>,
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text: {}", self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// A newtype that is read with its `FromStr` and written with its `Display`.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident($inner:ty), $expected:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let visitor = $crate::text::Text { expected: $expected, value: core::marker::PhantomData };
                deserializer.deserialize_str(visitor)
            }
        }
    };
}
pub(crate) use text;
