//! Whole numbers with a range, which is checked while they are parsed.

use crate::error::Invalid;
use core::fmt;
use serde::de::{Error, Unexpected, Visitor};

/// The number, if it lies in the range.
pub(crate) fn within(found: u64, min: u64, max: u64) -> Result<u64, Invalid> {
    if (min..=max).contains(&found) { Ok(found) } else { Err(Invalid::Number { found, min, max }) }
}

/// Takes a number of a format from outside.
#[derive(Clone, Copy)]
pub(crate) struct Within {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Visitor<'_> for Within {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.min, self.max)
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<u64, E> {
        within(found, self.min, self.max).map_err(E::custom)
    }

    /// TOML has no other numbers.
    fn visit_i64<E: Error>(self, found: i64) -> Result<u64, E> {
        let number = u64::try_from(found).map_err(|_| E::invalid_value(Unexpected::Signed(found), &self))?;
        self.visit_u64(number)
    }

    /// JSON has one kind of number: 64.0 is 64. Up to 2⁵³ a double has every whole number.
    fn visit_f64<E: Error>(self, found: f64) -> Result<u64, E> {
        let is_whole = (0.0..=DOUBLE_MAX).contains(&found) && found % 1.0 == 0.0;
        let number = Some(found).filter(|_| is_whole).and_then(|whole| alloc::format!("{whole:.0}").parse().ok());
        self.visit_u64(number.ok_or_else(|| E::invalid_type(Unexpected::Float(found), &self))?)
    }
}

/// 2⁵³.
const DOUBLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A newtype of a number with a range.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub struct $name($inner);

        impl $name {
            /// The number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = $crate::error::Invalid;

            fn try_from(found: u64) -> Result<$name, $crate::error::Invalid> {
                let (min, max) = ($min, $max);
                let number = $crate::number::within(found, min, max)?;
                let fits = <$inner>::try_from(number);
                fits.map($name).map_err(|_| $crate::error::Invalid::Number { found, min, max })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let number = deserializer.deserialize_u64($crate::number::Within { min: $min, max: $max })?;
                $name::try_from(number).map_err(serde::de::Error::custom)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}
pub(crate) use number;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use crate::spec::MemoryMib;

    #[test]
    fn a_whole_number_is_one_however_json_writes_it_and_others_are_none() {
        let read = |json: &str| serde_json::from_str::<MemoryMib>(json).map(MemoryMib::get).ok();
        for (json, number) in [("64", 64), ("64.0", 64), ("6.4e1", 64), ("1048576.0", 1_048_576)] {
            assert_eq!(read(json), Some(number), "{json}");
        }
        for json in ["64.5", "-64.0", "15.0", "1048577.0", "1e300", "9007199254740994.0", "\"64\"", "null"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
