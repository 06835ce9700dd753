//! Shares as exact decimals: integers in parts per billion, rounded outward wherever a product is not one.
//!
//! A lower bound knows whether it is met or exceeded ("more than 50 %"), since rules and control begin above a number.

use crate::cbor::MapField;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// A share of the whole, in parts per billion (10⁻⁷ percent): never more than [`Share::WHOLE`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Share(u64);

impl Share {
    /// Nothing.
    pub const NONE: Share = Share(0);
    /// 100 %.
    pub const WHOLE: Share = Share(1_000_000_000);
    /// 50 %: who holds more controls.
    pub const HALF: Share = Share(500_000_000);

    /// From parts per billion; `None` above the whole.
    pub const fn from_billionths(billionths: u64) -> Option<Share> {
        if billionths <= Self::WHOLE.0 { Some(Share(billionths)) } else { None }
    }

    /// From a percentage as people write it, such as `24` or `33.3333333`: at most seven decimals.
    pub fn from_percent(text: &str) -> Option<Share> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || whole.len() > 3 || fraction.len() > DECIMALS {
            return None;
        }
        let missing = u32::try_from(DECIMALS.checked_sub(fraction.len())?).ok()?;
        let fraction = fraction.parse::<u64>().ok()?.checked_mul(10u64.checked_pow(missing)?)?;
        let whole = whole.parse::<u64>().ok()?.checked_mul(PERCENT)?;
        Share::from_billionths(whole.checked_add(fraction)?)
    }

    /// Parts per billion.
    pub const fn billionths(self) -> u64 {
        self.0
    }

    /// The sum, at most the whole.
    pub fn plus(self, other: Share) -> Share {
        Share(self.0.saturating_add(other.0).min(Share::WHOLE.0))
    }

    /// The difference, at least nothing.
    pub fn minus(self, other: Share) -> Share {
        Share(self.0.saturating_sub(other.0))
    }

    /// What is left of the whole.
    pub fn rest(self) -> Share {
        Share::WHOLE.minus(self)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction) = (self.0 / PERCENT, self.0 % PERCENT);
        if fraction == 0 {
            return write!(f, "{whole} %");
        }
        let mut digits = DECIMALS;
        while fraction % 10 == 0 {
            (fraction, digits) = (fraction / 10, digits.saturating_sub(1));
        }
        write!(f, "{whole}.{fraction:0digits$} %")
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Share::from_billionths(u64::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("more than the whole"))
    }
}

impl MapField for Share {
    fn is_present(&self) -> bool {
        true
    }
    fn or_absent(read: Option<Self>) -> Option<Self> {
        read
    }
}

/// A lower bound. The order is that of what it proves: `more than 24 %` is above `24 %`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AtLeast {
    share: Share,
    /// Whether the true value is above `share`, and not only at it.
    is_exceeded: bool,
}

impl AtLeast {
    /// Says nothing.
    pub const NOTHING: AtLeast = AtLeast { share: Share::NONE, is_exceeded: false };
    /// The whole.
    pub const WHOLE: AtLeast = AtLeast { share: Share::WHOLE, is_exceeded: false };

    /// This much or more.
    pub const fn met(share: Share) -> AtLeast {
        AtLeast { share, is_exceeded: false }
    }

    /// More than this.
    pub const fn exceeded(share: Share) -> AtLeast {
        AtLeast { share, is_exceeded: true }
    }

    /// The number, without the word before it.
    pub fn share(self) -> Share {
        self.share
    }

    /// Whether the true value is above the number.
    pub fn is_above(self) -> bool {
        self.is_exceeded
    }

    /// Whether more than `limit` is proven.
    pub fn exceeds(self, limit: Share) -> bool {
        self > AtLeast::met(limit)
    }

    /// Whether nothing can be both at least this and at most `upper`.
    pub fn contradicts(self, upper: Share) -> bool {
        self.exceeds(upper)
    }

    /// The bound of a sum.
    pub fn plus(self, other: AtLeast) -> AtLeast {
        AtLeast { share: self.share.plus(other.share), is_exceeded: self.is_exceeded || other.is_exceeded }
    }

    /// The bound of a product, rounded down; what was cut off makes it exceeded.
    pub fn times(self, other: AtLeast) -> AtLeast {
        let product = self.share.0.saturating_mul(other.share.0);
        let is_cut = !product.is_multiple_of(Share::WHOLE.0);
        let is_above = (self.is_exceeded && other.proves_some()) || (other.is_exceeded && self.proves_some());
        AtLeast { share: Share(product / Share::WHOLE.0), is_exceeded: is_cut || is_above }
    }

    /// Whether anything above nothing is proven.
    pub fn proves_some(self) -> bool {
        self.exceeds(Share::NONE)
    }
}

impl fmt::Display for AtLeast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_exceeded { write!(f, "more than {}", self.share) } else { write!(f, "{}", self.share) }
    }
}

/// An upper bound of Σ shareᵢ · valueᵢ, for shares that sum to at most the whole: exact until [`Self::ceiling`].
#[derive(Debug, Clone, Copy, Default)]
pub struct UpperSum(u64);

impl UpperSum {
    /// Adds one product.
    pub fn add(&mut self, share: Share, value: Share) {
        self.0 = self.0.saturating_add(share.0.saturating_mul(value.0));
    }

    /// The sum, rounded up.
    pub fn ceiling(self) -> Share {
        Share(self.0.div_ceil(Share::WHOLE.0).min(Share::WHOLE.0))
    }
}

/// Decimals of a percentage that a part per billion can carry.
const DECIMALS: usize = 7;
/// One percent in parts per billion.
const PERCENT: u64 = 10_000_000;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn percent(text: &str) -> Share {
        Share::from_percent(text).unwrap()
    }

    #[test]
    fn a_percentage_is_exact_and_prints_as_it_was_written() {
        for text in ["0", "24", "24.5", "33.3333333", "100", "0.0000001"] {
            assert_eq!(percent(text).to_string(), alloc::format!("{text} %"));
        }
        assert_eq!(percent("24").billionths(), 240_000_000);
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e1", "100.0000001", "101", "0.00000001", "1,5", " 1", "1000"] {
            assert_eq!(Share::from_percent(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_product_never_rounds_towards_what_it_would_prove() {
        let third = percent("33.3333333");
        let lower = AtLeast::met(third).times(AtLeast::met(third));
        assert_eq!(lower, AtLeast::exceeded(Share(111_111_110)));
        let mut upper = UpperSum::default();
        upper.add(third, third);
        assert_eq!(upper.ceiling(), Share(111_111_111));
        assert_eq!(AtLeast::met(percent("24")).times(AtLeast::WHOLE), AtLeast::met(percent("24")));
    }

    #[test]
    fn more_than_a_limit_exceeds_it_and_the_limit_itself_does_not() {
        assert!(AtLeast::exceeded(Share::HALF).exceeds(Share::HALF));
        assert!(!AtLeast::met(Share::HALF).exceeds(Share::HALF));
        let sum = AtLeast::met(Share::HALF).plus(AtLeast::exceeded(Share::NONE));
        assert_eq!(sum, AtLeast::exceeded(Share::HALF));
        assert_eq!(AtLeast::exceeded(Share::HALF).times(AtLeast::NOTHING), AtLeast::NOTHING);
        assert_eq!(AtLeast::exceeded(Share::NONE).times(AtLeast::exceeded(Share::NONE)).to_string(), "more than 0 %");
    }
}
