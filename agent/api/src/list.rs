//! Lists with a limit, which is checked while they are parsed.

use crate::{error::Invalid, field::Object};
use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};
use serde::{
    Deserialize,
    de::{Error, SeqAccess, Visitor},
};

/// Takes elements, each an object, until there are too many.
pub(crate) struct Counted<T> {
    pub(crate) limit: usize,
    pub(crate) what: &'static str,
    pub(crate) too_many: Invalid,
    pub(crate) element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Counted<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} {}", self.limit, self.what)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut elements = Vec::new();
        let numbered = |number: usize, error| A::Error::custom(format_args!("{number}: {error}"));
        while let Some(Object(element)) = list.next_element().map_err(|error| numbered(elements.len(), error))? {
            if elements.len() >= self.limit {
                return Err(A::Error::custom(self.too_many));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

/// A newtype of a list of at most so many elements.
macro_rules! list {
    ($(#[$doc:meta])* $name:ident($element:ty), $limit:expr, $what:literal, $too_many:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(alloc::vec::Vec<$element>);

        impl $name {
            /// Whether there is none.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// In the order in which the guest sees them.
            pub fn iter(&self) -> core::slice::Iter<'_, $element> {
                self.0.iter()
            }
        }

        impl<'a> IntoIterator for &'a $name {
            type Item = &'a $element;
            type IntoIter = core::slice::Iter<'a, $element>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        impl TryFrom<alloc::vec::Vec<$element>> for $name {
            type Error = $crate::error::Invalid;

            fn try_from(elements: alloc::vec::Vec<$element>) -> Result<$name, $crate::error::Invalid> {
                if elements.len() > $limit { Err($too_many) } else { Ok($name(elements)) }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer
                    .deserialize_seq($crate::list::Counted {
                        limit: $limit,
                        what: $what,
                        too_many: $too_many,
                        element: core::marker::PhantomData,
                    })
                    .map($name)
            }
        }
    };
}
pub(crate) use list;
