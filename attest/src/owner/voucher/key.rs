//! Public keys as ownership vouchers write them (FDO 1.1 §3.3.4): a SubjectPublicKeyInfo or a COSE_Key.
//!
//! Left out, each with its own error: the RSA kinds, raw keys of other encodings, and certificate chains in place of a
//! key. An entry carries certificates beside its key, where nobody needs them to check the chain.

use crate::{
    budget,
    cbor::Bytes,
    engine::{Engine, PublicKey},
};
use alloc::vec::Vec;
use core::fmt;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor, value},
};

/// PublicKey of FDO as it came: pkType, pkEnc, pkBody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedKey<'a>(i64, u64, #[serde(borrow)] Body<'a>);

/// What FDO allows as pkBody.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Body<'a> {
    Bytes(&'a Bytes),
    Cose(CoseKey<'a>),
    Chain(heapless::Vec<&'a Bytes, { budget::SEAL_CERTIFICATES }>),
}

crate::int_map! {
    /// A public key (RFC 9053 §7).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CoseKey<'a> {
        /// kty: 1 OKP, 2 EC2.
        1 => kind: i64,
        /// crv: 1 P-256, 2 P-384, 6 Ed25519.
        -1 => curve: i64,
        /// x, or the whole key of an OKP.
        -2 => x: &'a Bytes,
        /// y; a compressed point is not taken.
        -3 => y: Option<&'a Bytes>,
    }
}

impl ClaimedKey<'_> {
    /// The key, where its kind and encoding are taken here.
    pub fn take(&self) -> Result<PublicKey, KeyError> {
        let key = match (self.1, &self.2) {
            (X509, Body::Bytes(der)) => of_spki(der),
            (COSE_KEY, Body::Cose(key)) => of_cose(key),
            (X509 | COSE_KEY, _) => None,
            (encoding, _) => return Err(KeyError::Encoding { encoding }),
        };
        match (self.0, key.ok_or(KeyError::Malformed)?) {
            (P256, key @ PublicKey::P256(_)) => Ok(key),
            (P384, key @ PublicKey::P384(_)) => Ok(key),
            (ED25519, key @ PublicKey::Ed25519(_)) => Ok(key),
            (kind @ (P256 | P384 | ED25519), _) => Err(KeyError::OtherKind { kind }),
            (kind, _) => Err(KeyError::Kind { kind }),
        }
    }
}

/// The key as [`encode`] writes it: pkType, pkEnc and the SubjectPublicKeyInfo.
#[derive(Debug, Serialize)]
pub struct WrittenKey(i64, u64, serde_bytes::ByteBuf);

/// A key for a voucher; `None` for a kind that [`ClaimedKey::take`] would not take.
pub fn encode(key: &PublicKey) -> Option<WrittenKey> {
    let kind = match key {
        PublicKey::P256(_) => P256,
        PublicKey::P384(_) => P384,
        PublicKey::Ed25519(_) => ED25519,
        PublicKey::P521(_) | PublicKey::Rsa { .. } => return None,
    };
    Some(WrittenKey(kind, X509, serde_bytes::ByteBuf::from(key.spki()?)))
}

/// A key with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// The key.
    pub key: PublicKey,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub id: [u8; 32],
}

impl NamedKey {
    /// The key that a voucher names.
    pub(crate) fn take(engine: &dyn Engine, claimed: &ClaimedKey<'_>) -> Result<NamedKey, KeyError> {
        let key = claimed.take()?;
        let id = key.id(engine).ok_or(KeyError::Malformed)?;
        Ok(NamedKey { key, id })
    }
}

/// Only the encoding that we would write, so that one key has one form.
fn of_spki(der: &[u8]) -> Option<PublicKey> {
    PublicKey::from_spki_der(der).filter(|key| key.spki().is_some_and(|spki| spki == der))
}

fn of_cose(key: &CoseKey<'_>) -> Option<PublicKey> {
    let point = |y: &Bytes| -> Vec<u8> { [&[UNCOMPRESSED][..], key.x, y].concat() };
    match (key.kind, key.curve, key.y) {
        (EC2, 1, Some(y)) if key.x.len() == 32 => point(y).try_into().ok().map(PublicKey::P256),
        (EC2, 2, Some(y)) if key.x.len() == 48 => point(y).try_into().ok().map(PublicKey::P384),
        (OKP, 6, None) => <[u8; 32]>::try_from(&key.x[..]).ok().map(PublicKey::Ed25519),
        _ => None,
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Body::Bytes(bytes) => bytes.serialize(serializer),
            Body::Cose(key) => key.serialize(serializer),
            Body::Chain(chain) => chain.serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyBody;
        impl<'de> Visitor<'de> for AnyBody {
            type Value = Body<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key's bytes, a COSE_Key or certificates")
            }
            fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<Body<'de>, E> {
                Ok(Body::Bytes(Bytes::new(bytes)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Body<'de>, A::Error> {
                CoseKey::deserialize(value::MapAccessDeserializer::new(map)).map(Body::Cose)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Body<'de>, A::Error> {
                let mut chain = heapless::Vec::new();
                while let Some(certificate) = seq.next_element()? {
                    chain.push(certificate).map_err(|_| A::Error::custom("too many certificates"))?;
                }
                Ok(Body::Chain(chain))
            }
        }
        deserializer.deserialize_any(AnyBody)
    }
}

/// Why a key of a voucher is not taken; who wrote the entry is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// pkEnc is neither X509 nor COSEKEY.
    Encoding {
        /// pkEnc.
        encoding: u64,
    },
    /// pkType is neither P-256 nor P-384 nor Ed25519.
    Kind {
        /// pkType.
        kind: i64,
    },
    /// The key is of another kind than pkType says.
    OtherKind {
        /// pkType.
        kind: i64,
    },
    /// No key of its encoding.
    Malformed,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Encoding { encoding } => write!(
                f,
                "a key in encoding {encoding}, where {X509} (SubjectPublicKeyInfo) and {COSE_KEY} (COSE_Key) are taken"
            ),
            KeyError::Kind { kind } => {
                write!(
                    f,
                    "a key of kind {kind}, where P-256 ({P256}), P-384 ({P384}) and Ed25519 ({ED25519}) are taken"
                )
            }
            KeyError::OtherKind { kind } => write!(f, "a key of another kind than the {kind} that it is called"),
            KeyError::Malformed => f.write_str("a key that its encoding cannot hold"),
        }
    }
}

impl core::error::Error for KeyError {}

// pkType and pkEnc, FDO 1.1 §3.3.4
const P256: i64 = 10;
const P384: i64 = 11;
const X509: u64 = 1;
const COSE_KEY: u64 = 3;
/// FDO has no number for Ed25519; this one is private.
const ED25519: i64 = -75081;
const OKP: i64 = 1; // RFC 9053 §7.2
const EC2: i64 = 2; // RFC 9053 §7.1
/// First byte of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 0x04;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::cbor;

    fn take(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        cbor::decode::<ClaimedKey<'_>>(bytes, 1024).unwrap().take()
    }

    fn cose(kind: i64, key: CoseKey<'_>) -> Vec<u8> {
        cbor::encode(&ClaimedKey(kind, COSE_KEY, Body::Cose(key))).unwrap()
    }

    #[test]
    fn a_key_comes_back_from_both_encodings() {
        let (p256, p384) = (PublicKey::P256([4; 65]), PublicKey::P384([4; 97]));
        let ed25519 = PublicKey::Ed25519([4; 32]);
        for key in [&p256, &p384, &ed25519] {
            assert_eq!(take(&cbor::encode(&encode(key).unwrap()).unwrap()).as_ref(), Ok(key));
        }
        let x = |length| Bytes::new(&[4; 48][..length]);
        let ec = |curve, length| CoseKey { kind: EC2, curve, x: x(length), y: Some(x(length)) };
        assert_eq!(take(&cose(P256, ec(1, 32))), Ok(p256));
        assert_eq!(take(&cose(P384, ec(2, 48))), Ok(p384));
        let okp = CoseKey { kind: OKP, curve: 6, x: x(32), y: None };
        assert_eq!(take(&cose(ED25519, okp)), Ok(ed25519));
        for bad in [
            CoseKey { kind: OKP, ..ec(1, 32) },
            CoseKey { curve: 2, ..ec(1, 32) },
            CoseKey { y: None, ..ec(1, 32) },
            CoseKey { x: x(31), ..ec(1, 32) },
            CoseKey { y: Some(x(33)), ..ec(1, 32) },
            CoseKey { x: x(33), y: Some(x(31)), ..ec(1, 32) },
            CoseKey { x: x(47), y: Some(Bytes::new(&[4; 49])), ..ec(2, 48) },
        ] {
            assert_eq!(take(&cose(P256, bad)), Err(KeyError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn kinds_and_encodings_that_are_not_taken_are_named() {
        let spki = PublicKey::P256([4; 65]).spki().unwrap();
        let with = |kind, encoding, body| cbor::encode(&ClaimedKey(kind, encoding, body)).unwrap();
        let bytes = || Body::Bytes(Bytes::new(&spki));
        assert_eq!(take(&with(P256, 0, bytes())), Err(KeyError::Encoding { encoding: 0 }));
        let chain = Body::Chain(core::iter::once(Bytes::new(b"certificate")).collect());
        assert_eq!(take(&with(P256, 2, chain.clone())), Err(KeyError::Encoding { encoding: 2 }));
        assert_eq!(take(&with(P256, X509, chain)), Err(KeyError::Malformed));
        assert_eq!(take(&with(P384, X509, bytes())), Err(KeyError::OtherKind { kind: P384 }));
        for kind in [1, 5, 6] {
            assert_eq!(take(&with(kind, X509, bytes())), Err(KeyError::Kind { kind }));
        }
        let p521 = PublicKey::P521([4; 133]);
        assert!(encode(&p521).is_none());
        assert_eq!(take(&with(P256, X509, Body::Bytes(Bytes::new(&spki[1..])))), Err(KeyError::Malformed));
        // The same key in another form: Ed25519 with parameters, which RFC 8410 forbids.
        let spki = PublicKey::Ed25519([4; 32]).spki().unwrap();
        let other = [&[0x30, 0x2c, 0x30, 0x07], &spki[4..9], &[0x05, 0x00], &spki[9..]].concat();
        assert_eq!(PublicKey::from_spki_der(&other), Some(PublicKey::Ed25519([4; 32])));
        assert_eq!(take(&with(ED25519, X509, Body::Bytes(Bytes::new(&other)))), Err(KeyError::Malformed));
    }
}
