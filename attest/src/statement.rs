//! What the statements of owners and auditors share: for each kind one content type, a named signer, and a lifetime in
//! CWT claims (RFC 8392). What they say is in the modules of `place` and `owner`.

use crate::{
    budget,
    cbor::{self, CborError},
    cose::{self, ClaimedStatement, StatementError},
    engine::{Engine, PublicKey},
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a statement of one kind says.
pub trait Claims<'a>: Deserialize<'a> + Serialize {
    /// The content type of this kind and of no other.
    const CONTENT_TYPE: &'static str;
    /// Seconds between its issue and its end at most.
    const LONGEST_S: u64 = u64::MAX;

    /// When it counts.
    fn lifetime(&self) -> Lifetime;

    /// Whether each claim by itself can be meant: ranges, lengths, alphabets. An error names the claim.
    fn check(&self) -> Result<(), &'static str>;
}

/// From when to when a statement counts; seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// iat: when it was signed.
    pub issued: u64,
    /// nbf: from when on it counts; where absent, from `issued` on.
    pub not_before: Option<u64>,
    /// exp: the first second at which it no longer counts.
    pub expires: u64,
}

impl Lifetime {
    /// Whether it counts at `now`. A statement from the future is refused: a clock is wrong, or somebody stocks up.
    pub fn check(&self, now: u64) -> Result<(), StatementError> {
        let from = self.not_before.unwrap_or(self.issued).max(self.issued);
        if self.expires <= from {
            return Err(StatementError::Lifetime);
        }
        if now < from {
            return Err(StatementError::NotYet { from });
        }
        if now >= self.expires {
            return Err(StatementError::Expired { at: self.expires });
        }
        Ok(())
    }
}

/// Claims whose signature was checked. Holding them proves that the key with this id signed them, and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<C> {
    claims: C,
    signer: [u8; 32],
}

impl<C> Signed<C> {
    /// What it says.
    pub fn claims(&self) -> &C {
        &self.claims
    }

    /// Key id of who signed: SHA-256 of the SubjectPublicKeyInfo.
    pub fn signer(&self) -> [u8; 32] {
        self.signer
    }
}

/// Reads a statement of kind `C` that one of `keys` signed. Its lifetime is the caller's to check.
pub fn open<'a, C: Claims<'a>>(
    engine: &dyn Engine,
    statement: &'a [u8],
    keys: &[PublicKey],
) -> Result<Signed<C>, StatementError> {
    let claimed = ClaimedStatement::decode(statement)?;
    let signer = claimed.key_id();
    let key = keys.iter().find(|key| key.id(engine) == Some(signer)).ok_or(StatementError::OtherKey)?;
    let payload = claimed.verify(engine, key, C::CONTENT_TYPE)?;
    let claims = decode_untrusted(payload)?;
    check(&claims)?;
    Ok(Signed { claims, signer })
}

/// Reads claims that nobody checked, whether or not they can be meant; for printing.
pub fn decode_untrusted<'a, C: Claims<'a>>(payload: &'a [u8]) -> Result<C, CborError> {
    cbor::decode(payload, budget::CARRIED_STATEMENT_BYTES)
}

fn check<'a, C: Claims<'a>>(claims: &C) -> Result<(), StatementError> {
    claims.check().map_err(|what| StatementError::Claim { what })?;
    let Lifetime { issued, expires, .. } = claims.lifetime();
    match expires.checked_sub(issued) {
        None | Some(0) => Err(StatementError::Lifetime),
        Some(life_s) if life_s > C::LONGEST_S => Err(StatementError::TooLong { life_s, limit_s: C::LONGEST_S }),
        Some(_) => Ok(()),
    }
}

/// Signs claims, where they can be meant; see [`cose::sign`].
pub fn seal<'a, C: Claims<'a>, E: From<StatementError>>(
    engine: &dyn Engine,
    claims: &C,
    key: &PublicKey,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    check(claims)?;
    let encoded = cbor::encode(claims).map_err(StatementError::Shape)?;
    cose::sign(engine, key, C::CONTENT_TYPE, &encoded, sign)
}

/// Whether a text can be printed as it is and is neither empty nor longer than `limit_bytes`: no control characters, and
/// none that is invisible or turns the direction of what follows, by which one name can look like another.
pub(crate) fn is_plain(text: &str, limit_bytes: usize) -> bool {
    let is_shown = |letter: char| {
        !letter.is_control()
            && !matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
            && !matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}')
    };
    !text.is_empty() && text.len() <= limit_bytes && text == text.trim() && text.chars().all(is_shown)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use super::*;
    use alloc::{collections::BTreeMap, format, string::String, vec};
    use serde_cbor::Value;

    /// This CBOR with one part of another type, left out, or more than it has: each with the way to that part.
    pub(crate) fn distorted(encoded: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        distort(&serde_cbor::from_slice(encoded).unwrap(), "", &mut |way, value| {
            all.push((way, cbor::encode(&value).unwrap()));
        });
        all
    }

    fn distort(value: &Value, way: &str, found: &mut dyn FnMut(String, Value)) {
        let others = [
            Value::Null,
            Value::Bool(true),
            Value::Integer(-1),
            Value::Text("x".into()),
            Value::Bytes(vec![1]),
            Value::Array(vec![]),
            Value::Map(BTreeMap::new()),
        ];
        let is_of_another_type = |other: &Value| core::mem::discriminant(other) != core::mem::discriminant(value);
        others.into_iter().filter(is_of_another_type).for_each(|other| found(format!("{way}={other:?}"), other));
        match value {
            Value::Integer(0..) => found(format!("{way}=-1"), Value::Integer(-1)),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let (before, after) = (items.iter().take(at).cloned(), items.iter().skip(at).skip(1).cloned());
                    distort(item, &format!("{way}/{at}"), &mut |way, item| {
                        let items = before.clone().chain([item]).chain(after.clone());
                        found(way, Value::Array(items.collect()));
                    });
                }
            }
            Value::Map(entries) => {
                for (key, entry) in entries {
                    let way = format!("{way}/{key:?}").replace("Integer(", "").replace(')', "");
                    let without =
                        || entries.iter().filter(|(known, _)| *known != key).map(|(k, v)| (k.clone(), v.clone()));
                    found(format!("{way} left out"), Value::Map(without().collect()));
                    distort(entry, &way, &mut |way, entry| {
                        found(way, Value::Map(without().chain([(key.clone(), entry)]).collect()));
                    });
                }
                let more = [(Value::Integer(23), Value::Integer(0))];
                found(format!("{way} with more"), Value::Map(entries.clone().into_iter().chain(more).collect()));
            }
            _ => {}
        }
    }

    #[test]
    fn a_text_that_looks_like_another_is_not_plain() {
        for text in ["Müller & Söhne", "Επιχείρηση", "شركة", "a"] {
            assert!(is_plain(text, 64), "{text}");
        }
        for text in ["", " a", "a ", "a\nb", "a\u{7f}", "a\u{85}b", "a\u{ad}b", "\u{202e}a", "a\u{2066}b", "a\u{200b}b"]
        {
            assert!(!is_plain(text, 64), "{text:?}");
        }
        for text in ["a\u{200f}b", "a\u{2028}b", "a\u{2029}b", "a\u{feff}b", "a\u{61c}b", "a\u{e0041}b", "a\u{180e}b"] {
            assert!(!is_plain(text, 64), "{text:?}");
        }
        assert!(is_plain("abcd", 4) && !is_plain("abcde", 4));
    }
}
