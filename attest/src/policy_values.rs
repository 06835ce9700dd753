//! Values in a policy's text: hexadecimal strings, digests with their algorithm, PCRs, and tables of a bank.

use crate::{
    engine::{Digest, Engine, PublicKey},
    image::extended,
};
use alloc::{borrow::Cow, collections::BTreeMap, format, vec::Vec};
use garant_hw::hash::Hash;
use serde::{Deserialize, Deserializer, de::Error};

/// Exactly `N` bytes in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hex<const N: usize>(pub(crate) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let HexBytes(bytes) = HexBytes::deserialize(deserializer)?;
        let found = bytes.len();
        bytes.try_into().map(Hex).map_err(|_| D::Error::custom(format!("{found} bytes where {N} are expected")))
    }
}

/// Any number of bytes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HexBytes(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        bytes_of_hex(&text).map(HexBytes).ok_or_else(|| D::Error::custom("not an even number of hexadecimal digits"))
    }
}

/// A public key: 64 hexadecimal digits (Ed25519), or a SubjectPublicKeyInfo in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(pub PublicKey);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let ed25519 = || Some(PublicKey::Ed25519(bytes_of_hex(&text)?.try_into().ok()?));
        let key = ed25519().or_else(|| PublicKey::from_spki_pem(&text));
        key.map(Key).ok_or_else(|| D::Error::custom("expected 64 hexadecimal digits (Ed25519) or a public key in PEM"))
    }
}

/// `sha256:…`, `sha384:…` or `sha512:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnyDigest(pub(crate) Digest);

impl<'de> Deserialize<'de> for AnyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let (name, hex) = text.split_once(':').unwrap_or_default();
        let hash = BANKS.into_iter().find(|hash| hash.name() == name);
        let digest = hash.zip(bytes_of_hex(hex)).and_then(|(hash, bytes)| Digest::new(hash, &bytes));
        digest
            .map(AnyDigest)
            .ok_or_else(|| D::Error::custom("expected a digest such as sha256: and 64 hexadecimal digits"))
    }
}

/// A PCR of a server, 0 to 23; as a key of a table, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pcr(pub(crate) u32);

impl<'de> Deserialize<'de> for Pcr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Pcr;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a PCR from 0 to 23")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Pcr, E> {
                pcr(text.parse().ok())
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Pcr, E> {
                pcr(number.try_into().ok())
            }
        }
        fn pcr<E: Error>(number: Option<u32>) -> Result<Pcr, E> {
            number.filter(|number| *number < PCRS).map(Pcr).ok_or_else(|| E::custom("a PCR is a number from 0 to 23"))
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Digests that are stated for one PCR, and where they lead if they are extended in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    digests: Vec<Digest>,
    value: Digest,
}

/// Digests for each PCR of each bank. SHA-1 never carries a policy; what is stated of it can only refuse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Banks {
    #[serde(default, deserialize_with = "sha1_bank")]
    sha1: BTreeMap<Pcr, Stated>,
    #[serde(default, deserialize_with = "sha256_bank")]
    sha256: BTreeMap<Pcr, Stated>,
    #[serde(default, deserialize_with = "sha384_bank")]
    sha384: BTreeMap<Pcr, Stated>,
    #[serde(default, deserialize_with = "sha512_bank")]
    sha512: BTreeMap<Pcr, Stated>,
}

impl Banks {
    /// What stands for a PCR; `None` where nothing does, which is not the same as an empty list.
    pub(crate) fn of(&self, hash: Hash, pcr: u32) -> Option<&[Digest]> {
        self.bank(hash).get(&Pcr(pcr)).map(|stated| stated.digests.as_slice())
    }

    /// Where the digests of a PCR lead.
    pub(crate) fn value(&self, hash: Hash, pcr: u32) -> Option<Digest> {
        self.bank(hash).get(&Pcr(pcr)).map(|stated| stated.value)
    }

    /// Whether anything stands for a bank.
    pub(crate) fn has(&self, hash: Hash) -> bool {
        !self.bank(hash).is_empty()
    }

    /// Computes once where each list leads; PCR 0 starts at the locality.
    pub(crate) fn replay(&mut self, engine: &dyn Engine, locality: u8) {
        let banks = [&mut self.sha1, &mut self.sha256, &mut self.sha384, &mut self.sha512];
        for (hash, bank) in Hash::ALL.into_iter().zip(banks) {
            for (pcr, stated) in bank {
                stated.value = extended(engine, hash, if pcr.0 == 0 { locality } else { 0 }, &stated.digests);
            }
        }
    }

    fn bank(&self, hash: Hash) -> &BTreeMap<Pcr, Stated> {
        match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
            Hash::Sha384 => &self.sha384,
            Hash::Sha512 => &self.sha512,
        }
    }
}

fn sha1_bank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Pcr, Stated>, D::Error> {
    bank(deserializer, Hash::Sha1)
}

fn sha256_bank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Pcr, Stated>, D::Error> {
    bank(deserializer, Hash::Sha256)
}

fn sha384_bank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Pcr, Stated>, D::Error> {
    bank(deserializer, Hash::Sha384)
}

fn sha512_bank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Pcr, Stated>, D::Error> {
    bank(deserializer, Hash::Sha512)
}

fn bank<'de, D: Deserializer<'de>>(deserializer: D, hash: Hash) -> Result<BTreeMap<Pcr, Stated>, D::Error> {
    let texts = BTreeMap::<Pcr, Vec<HexBytes>>::deserialize(deserializer)?;
    let digest = |HexBytes(bytes): &HexBytes| Digest::new(hash, bytes);
    let stated = |texts: &[HexBytes]| {
        Some(Stated { digests: texts.iter().map(digest).collect::<Option<_>>()?, value: Digest::zero(hash) })
    };
    let bank = texts.iter().map(|(pcr, texts)| Some((*pcr, stated(texts)?)));
    let expected = || D::Error::custom(format!("a {} digest has {} bytes", hash.name(), hash.size_bytes()));
    bank.collect::<Option<_>>().ok_or_else(expected)
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    let byte = |[high, low]: &[u8; 2]| Some(nibble(*high)? << 4 | nibble(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// The banks that may carry a policy.
const BANKS: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];
/// PCRs of a TPM of the PC Client profile.
const PCRS: u32 = 24;
