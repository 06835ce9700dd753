//! The conversions of floating-point numbers that the language has no checked form of, each with its range.

/// The nearest integer; what lies beyond `i32` becomes its nearest end, and what is no number zero.
pub(crate) fn nearest_i32(value: f64) -> i32 {
    #[allow(clippy::as_conversions)] // `as` from a float saturates and maps NaN to 0: total over all of f64
    let integer = libm::rint(value) as i32;
    integer
}

/// The nearest `f64`; exact below 2⁵³, above it off by at most 2⁻⁵³ of the value.
pub(crate) fn f64_from_u64(value: u64) -> f64 {
    let (high, low) = (value >> 32, value & 0xffff_ffff);
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    half(high) * 4_294_967_296.0 + half(low)
}

/// Metres of a distance in kilometres, rounded up; what is too far becomes the largest number.
pub(crate) fn whole_metres(km: f64) -> u64 {
    #[allow(clippy::as_conversions)] // saturates, see above
    let metres = libm::ceil(km * 1000.0) as u64;
    metres
}

#[cfg(test)]
mod tests {
    use super::{f64_from_u64, nearest_i32};

    #[test]
    fn a_float_beyond_an_integer_becomes_its_end() {
        assert_eq!(
            [1e300, -1e300, f64::NAN, 2.5, -1.6, f64::INFINITY].map(nearest_i32),
            [i32::MAX, i32::MIN, 0, 2, -2, i32::MAX]
        );
    }

    #[test]
    #[allow(clippy::as_conversions)]
    fn a_large_integer_becomes_the_float_that_a_cast_gives() {
        for value in [0, 1, 1 << 32, (1 << 53) - 1, u64::MAX, u64::MAX / 3, 0x0123_4567_89ab_cdef] {
            assert_eq!(f64_from_u64(value), value as f64);
        }
    }
}
