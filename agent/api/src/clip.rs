//! Text from outside, cut to a length before it is repeated.

use alloc::{borrow::ToOwned, format, string::String};

/// The text, or as much of its beginning as fits into so many bytes, with the mark of a cut.
pub(crate) fn clip(text: &str, limit_bytes: usize) -> String {
    if text.len() <= limit_bytes {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(limit_bytes.saturating_sub(CUT.len()));
    format!("{}{CUT}", text.get(..kept).unwrap_or_default())
}

const CUT: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_falls_between_characters_and_within_the_limit() {
        for (text, limit_bytes, cut) in [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc…"), ("aäääää", 7, "aä…")]
        {
            assert_eq!(clip(text, limit_bytes), cut);
        }
    }
}
