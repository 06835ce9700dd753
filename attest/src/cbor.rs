//! Deterministic CBOR (RFC 8949 §4.2.1): what comes from outside is accepted only if re-encoding gives the same bytes.
//!
//! Re-encoding goes into a writer that compares and stores nothing, so indefinite lengths, long forms, unsorted,
//! repeated or unknown keys, tags and trailing bytes all fail in one place. No floats occur in any type here. Lists
//! from outside are `heapless::Vec`, so that a claimed length never allocates.

use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_cbor::ser::Write;

/// Exactly 32 bytes, a CBOR byte string: a digest, a nonce, a binder or an Ed25519 key.
pub type Bytes32 = serde_bytes::ByteArray<32>;
/// A borrowed CBOR byte string.
pub type Bytes = serde_bytes::Bytes;

/// Bytes that are not the deterministic encoding of the expected type; the sender is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CborError {
    /// The input is longer than its budget.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// Not CBOR of the expected shape; the offset is in bytes.
    Malformed {
        /// Where decoding stopped.
        offset: u64,
    },
    /// CBOR of the expected shape, in another than the deterministic encoding.
    NotDeterministic,
    /// A value of ours cannot be encoded.
    Unencodable,
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CborError::TooLong { found_bytes, limit_bytes } => {
                write!(f, "{found_bytes} bytes of CBOR where at most {limit_bytes} are accepted")
            }
            CborError::Malformed { offset } => write!(f, "CBOR of another shape at byte {offset}"),
            CborError::NotDeterministic => write!(f, "CBOR that is not in deterministic encoding"),
            CborError::Unencodable => write!(f, "a value that CBOR cannot carry"),
        }
    }
}

impl core::error::Error for CborError {}

/// Decodes the deterministic encoding of `T`, and nothing else, from at most `limit_bytes`.
pub fn decode<'a, T>(bytes: &'a [u8], limit_bytes: usize) -> Result<T, CborError>
where
    T: Deserialize<'a> + Serialize,
{
    if bytes.len() > limit_bytes {
        return Err(CborError::TooLong { found_bytes: bytes.len(), limit_bytes });
    }
    let value: T = serde_cbor::from_slice(bytes).map_err(|e| CborError::Malformed { offset: e.offset() })?;
    let mut compared = Comparer { rest: bytes };
    let written = value.serialize(&mut serde_cbor::Serializer::new(&mut compared));
    match written {
        Ok(()) if compared.rest.is_empty() => Ok(value),
        _ => Err(CborError::NotDeterministic),
    }
}

/// Encodes `value`; the types of this crate list their map keys in deterministic order.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut out = Vec::new();
    let mut sink = Sink { out: &mut out };
    value.serialize(&mut serde_cbor::Serializer::new(&mut sink)).map_err(|_| CborError::Unencodable)?;
    Ok(out)
}

struct Comparer<'a> {
    rest: &'a [u8],
}

impl Write for Comparer<'_> {
    type Error = serde_cbor::Error;

    fn write_all(&mut self, written: &[u8]) -> Result<(), Self::Error> {
        self.rest = self
            .rest
            .strip_prefix(written)
            .ok_or_else(|| <serde_cbor::Error as serde::ser::Error>::custom("differs"))?;
        Ok(())
    }
}

struct Sink<'a> {
    out: &'a mut Vec<u8>,
}

impl Write for Sink<'_> {
    type Error = serde_cbor::Error;

    fn write_all(&mut self, written: &[u8]) -> Result<(), Self::Error> {
        self.out.extend_from_slice(written);
        Ok(())
    }
}

/// The first element of a message or statement: one fixed text that says what it is. Decoding any other text fails.
pub struct Tag<T>(PhantomData<T>);

/// The text of a [`Tag`].
pub trait TagText {
    /// As it stands in CBOR.
    const TEXT: &'static str;
}

impl<T> Tag<T> {
    /// The one value.
    pub const fn new() -> Self {
        Tag(PhantomData)
    }
}

impl<T> Default for Tag<T> {
    fn default() -> Self {
        Tag::new()
    }
}

impl<T> Clone for Tag<T> {
    fn clone(&self) -> Self {
        Tag::new()
    }
}

impl<T> PartialEq for Tag<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Tag<T> {}

impl<T: TagText> fmt::Debug for Tag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::TEXT)
    }
}

impl<T: TagText> Serialize for Tag<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(T::TEXT)
    }
}

impl<'de, T: TagText> Deserialize<'de> for Tag<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        if text == T::TEXT { Ok(Tag::new()) } else { Err(D::Error::custom("another tag")) }
    }
}

/// Declares tag types with their texts.
#[macro_export]
macro_rules! tags {
    ($( $(#[$meta:meta])* $name:ident => $text:literal ),+ $(,)?) => { $(
        $(#[$meta])*
        #[derive(Debug)]
        pub enum $name {}
        impl $crate::cbor::TagText for $name {
            const TEXT: &'static str = $text;
        }
    )+ };
}

/// Declares a struct that is a CBOR map with integer keys, in the order of their encodings: as COSE headers
/// (RFC 9052), CWT (RFC 8392), EAT (RFC 9711) and EAR claims are. An absent `Option` is an absent key.
#[macro_export]
macro_rules! int_map {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $( $(#[$field_meta:meta])* $key:literal => $field:ident : $ty:ty ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        pub struct $name $(<$life>)? {
            $( $(#[$field_meta])* pub $field: $ty ),+
        }

        impl $(<$life>)? $crate::cbor::MapField for $name $(<$life>)? {
            fn is_present(&self) -> bool {
                true
            }
            fn or_absent(read: Option<Self>) -> Option<Self> {
                read
            }
        }

        impl $(<$life>)? serde::Serialize for $name $(<$life>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                use $crate::cbor::MapField;
                let mut present = 0usize;
                $( if self.$field.is_present() { present = present.saturating_add(1); } )+
                let mut map = serializer.serialize_map(Some(present))?;
                $( if self.$field.is_present() { map.serialize_entry(&i64::from($key), &self.$field)?; } )+
                map.end()
            }
        }

        impl<'de $(: $life, $life)?> serde::Deserialize<'de> for $name $(<$life>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor<T>(core::marker::PhantomData<T>);
                impl<'de $(: $life, $life)?> serde::de::Visitor<'de> for Visitor<$name $(<$life>)?> {
                    type Value = $name $(<$life>)?;
                    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                        f.write_str(concat!("a map of ", stringify!($name)))
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let fault = || serde::de::Error::custom(concat!("not a ", stringify!($name)));
                        $( let mut $field: Option<$ty> = None; )+
                        while let Some(key) = map.next_key::<i64>()? {
                            $( if key == i64::from($key) {
                                if $field.replace(map.next_value()?).is_some() { return Err(fault()); }
                                continue;
                            } )+
                            return Err(fault());
                        }
                        Ok($name { $( $field: $crate::cbor::MapField::or_absent($field).ok_or_else(fault)? ),+ })
                    }
                }
                deserializer.deserialize_map(Visitor(core::marker::PhantomData))
            }
        }
    };
}

/// How a field of an [`int_map!`] struct stands in the map: optional ones may be absent.
pub trait MapField: Sized {
    /// Whether the key is written.
    fn is_present(&self) -> bool;
    /// The value for what was read; `None` where a required key is absent.
    fn or_absent(read: Option<Self>) -> Option<Self>;
}

impl<T> MapField for Option<T> {
    fn is_present(&self) -> bool {
        self.is_some()
    }
    fn or_absent(read: Option<Self>) -> Option<Self> {
        Some(read.flatten())
    }
}

macro_rules! required_fields {
    ($($ty:ty),+ $(,)?) => { $(
        impl MapField for $ty {
            fn is_present(&self) -> bool { true }
            fn or_absent(read: Option<Self>) -> Option<Self> { read }
        }
    )+ };
}
required_fields!(&str, &Bytes, u64, i64, bool, Bytes32, alloc::string::String, serde_bytes::ByteBuf);

impl<T, const N: usize> MapField for heapless::Vec<T, N> {
    fn is_present(&self) -> bool {
        true
    }
    fn or_absent(read: Option<Self>) -> Option<Self> {
        read
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "tests")]
mod tests {
    use super::*;

    crate::int_map! {
        #[derive(Debug, PartialEq)]
        pub struct Sample<'a> {
            1 => name: &'a str,
            10 => nonce: Option<&'a Bytes>,
            265 => count: u64,
            -75001 => tail: Option<bool>,
        }
    }

    fn sample() -> Sample<'static> {
        Sample { name: "a", nonce: Some(Bytes::new(b"xy")), count: 300, tail: Some(true) }
    }

    #[test]
    fn an_integer_map_survives_a_round_trip_and_omits_what_is_absent() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(bytes, b"\xa4\x01\x61a\x0a\x42xy\x19\x01\x09\x19\x01\x2c\x3a\x00\x01\x24\xf8\xf5");
        assert_eq!(decode::<Sample<'_>>(&bytes, 64).unwrap(), sample());
        let short = Sample { nonce: None, tail: None, ..sample() };
        let bytes = encode(&short).unwrap();
        assert_eq!(decode::<Sample<'_>>(&bytes, 64).unwrap(), short);
    }

    #[test]
    fn every_other_encoding_of_the_same_value_is_refused() {
        let bad: &[(&str, &[u8])] = &[
            ("long form of a key", b"\xa2\x18\x01\x61a\x19\x01\x09\x01"),
            ("unsorted keys", b"\xa2\x19\x01\x09\x01\x01\x61a"),
            ("key twice", b"\xa3\x01\x61a\x01\x61a\x19\x01\x09\x01"),
            ("unknown key", b"\xa3\x01\x61a\x02\x61a\x19\x01\x09\x01"),
            ("indefinite map", b"\xbf\x01\x61a\x19\x01\x09\x01\xff"),
            ("indefinite text", b"\xa2\x01\x7f\x61a\xff\x19\x01\x09\x01"),
            ("trailing byte", b"\xa2\x01\x61a\x19\x01\x09\x01\x00"),
            ("tagged", b"\xd9\xd9\xf7\xa2\x01\x61a\x19\x01\x09\x01"),
            ("null for an absent key", b"\xa3\x01\x61a\x0a\xf6\x19\x01\x09\x01"),
            ("required key absent", b"\xa1\x01\x61a"),
        ];
        assert!(decode::<Sample<'_>>(b"\xa2\x01\x61a\x19\x01\x09\x01", 64).is_ok());
        for (what, bytes) in bad {
            assert!(decode::<Sample<'_>>(bytes, 64).is_err(), "{what}");
        }
    }

    #[test]
    fn a_claimed_length_beyond_the_input_is_an_error() {
        assert!(decode::<heapless::Vec<u64, 4>>(b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", 64).is_err());
        assert!(decode::<&Bytes>(b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", 64).is_err());
        assert!(decode::<heapless::Vec<u64, 2>>(b"\x83\x01\x02\x03", 64).is_err());
        assert!(decode::<&Bytes>(&[0x40], 0).is_err());
        assert!(decode::<Bytes32>(&[&b"\x58\x1f"[..], &[0; 31]].concat(), 64).is_err());
    }
}
