//! Templates of the endorsement keys that TPM makers certify (TCG EK Credential Profile 2.6, appendix B) and of our AK.
//!
//! A template is the public area that TPM2_CreatePrimary is given; with the certified key in `unique` it is the EK's public
//! area. SM2 (H-5) is left out: no verifier here has its arithmetic.

pub use super::ek_policy::EkPolicy;

use crate::{budget::PUBLIC_AREA_BYTES, hash::Hash};
use core::ops::Deref;
use tpm2_rs::{
    TpmMarshal, TpmResult, TpmUnmarshal, TpmWriter,
    basic::{TpmUint16, TpmUint32},
    data::{
        Tpm2bDigest, Tpm2bEccParameter, Tpm2bPublicKeyRsa, TpmAlgId, TpmEccCurve, TpmaObject, TpmsEccParms,
        TpmsEccPoint, TpmsRsaParms, TpmsSchemeHash, TpmtEccScheme, TpmtPublic, TpmtSymDefObject, TpmuAsymScheme,
        TpmuPublicId, TpmuPublicParms, TpmuSymKeyBits, TpmuSymMode,
    },
};

/// The bytes of one TPMT_PUBLIC, parsed to the last byte. Holding one proves nothing about any TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicArea(heapless::Vec<u8, PUBLIC_AREA_BYTES>);

impl PublicArea {
    /// Bytes of the longest one.
    pub const CAPACITY_BYTES: usize = PUBLIC_AREA_BYTES;

    /// The public area in exactly these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<PublicArea> {
        let Ok((_, [])) = TpmtPublic::unmarshal(bytes) else {
            return None;
        };
        heapless::Vec::from_slice(bytes).ok().map(PublicArea)
    }

    /// The same public area around another key: from a template the EK's own, from an EK's its template.
    pub fn with_unique(&self, unique: Unique<'_>) -> Option<PublicArea> {
        let (mut public, _) = TpmtPublic::unmarshal(self).ok()?;
        public.unique = unique.encode().ok()?;
        PublicArea::encode(&public)
    }

    /// The key itself, as it stands in a certificate: the modulus, or x ‖ y in the curve's full width. `None`: a kind of
    /// key that has no certificate.
    pub fn key_bytes(&self) -> Option<heapless::Vec<u8, 512>> {
        let (public, _) = TpmtPublic::unmarshal(self).ok()?;
        let width = match (&public.parameters, &public.unique) {
            (_, TpmuPublicId::Rsa(modulus)) => return heapless::Vec::from_slice(modulus).ok(),
            (TpmuPublicParms::Ecc(parameters), _) => coordinate_bytes(parameters.curve_id)?,
            _ => return None,
        };
        let TpmuPublicId::Ecc(point) = public.unique else { return None };
        let mut key = heapless::Vec::new();
        for coordinate in [&point.x, &point.y] {
            let zeros = width.checked_sub(coordinate.len())?;
            key.extend(core::iter::repeat_n(0, zeros).chain(coordinate.iter().copied()));
        }
        Some(key)
    }

    fn encode(public: &TpmtPublic) -> Option<PublicArea> {
        let mut bytes = [0; PUBLIC_AREA_BYTES];
        let mut writer = TpmWriter::new(&mut bytes);
        public.marshal(&mut writer).ok()?;
        heapless::Vec::from_slice(writer.as_bytes()).ok().map(PublicArea)
    }
}

impl Deref for PublicArea {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// TPMU_PUBLIC_ID: a key, or what a template has in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique<'a> {
    /// The modulus, big endian.
    Rsa(&'a [u8]),
    /// The point's coordinates, big endian.
    Ecc {
        /// x.
        x: &'a [u8],
        /// y.
        y: &'a [u8],
    },
}

impl Unique<'_> {
    fn encode(self) -> TpmResult<TpmuPublicId> {
        Ok(match self {
            Unique::Rsa(modulus) => TpmuPublicId::Rsa(Tpm2bPublicKeyRsa::try_from(modulus)?),
            Unique::Ecc { x, y } => TpmuPublicId::Ecc(TpmsEccPoint {
                x: Tpm2bEccParameter::try_from(x)?,
                y: Tpm2bEccParameter::try_from(y)?,
            }),
        })
    }
}

/// One template of the profile and where its certificate lies in NV (2.2.2.4, 2.2.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EkTemplate {
    /// The profile's name for it.
    pub name: &'static str,
    /// NV index of the certificate.
    pub certificate_index: u32,
    /// NV index of the nonce that goes into `unique`, low range only.
    pub nonce_index: Option<u32>,
    /// NV index of a template that the maker uses instead.
    pub template_index: u32,
    /// The kind of key.
    pub key: EkKey,
    /// nameAlg.
    pub name_hash: Hash,
    range: Range,
}

/// The kind of an endorsement key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EkKey {
    /// With so many bits in the modulus, a whole number of bytes.
    Rsa(u16),
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Low,
    High,
}

/// All templates, the order in which an agent tries them: ECC first, since it is faster and names the node.
pub const EK_TEMPLATES: [EkTemplate; 8] = [
    low("L-2", 0x01c0_000a, EkKey::P256),
    high("H-2", 0x01c0_0014, EkKey::P256, Hash::Sha256),
    high("H-3", 0x01c0_0016, EkKey::P384, Hash::Sha384),
    high("H-4", 0x01c0_0018, EkKey::P521, Hash::Sha512),
    low("L-1", 0x01c0_0002, EkKey::Rsa(2048)),
    high("H-1", 0x01c0_0012, EkKey::Rsa(2048), Hash::Sha256),
    high("H-6", 0x01c0_001c, EkKey::Rsa(3072), Hash::Sha384),
    high("H-7", 0x01c0_001e, EkKey::Rsa(4096), Hash::Sha384),
];

/// NV indices of the certificates between an EK's and its root, concatenated (2.2.2.5.2).
pub const CERTIFICATE_CHAIN_INDICES: core::ops::RangeInclusive<u32> = 0x01c0_0100..=0x01c0_01ff;

const fn low(name: &'static str, index: u32, key: EkKey) -> EkTemplate {
    EkTemplate {
        name,
        certificate_index: index,
        nonce_index: index.checked_add(1),
        template_index: index.saturating_add(2),
        key,
        name_hash: Hash::Sha256,
        range: Range::Low,
    }
}

const fn high(name: &'static str, index: u32, key: EkKey, name_hash: Hash) -> EkTemplate {
    let template_index = index.saturating_add(1);
    EkTemplate { name, certificate_index: index, nonce_index: None, template_index, key, name_hash, range: Range::High }
}

impl EkTemplate {
    /// The template without a nonce: zeros in the low range (B.3), nothing in the high one (B.4).
    pub fn public_area(&self) -> Option<PublicArea> {
        self.public_area_with_nonce(&[])
    }

    /// The template with the nonce of `nonce_index` at the start of `unique` (B.2.1); only the low range has one.
    pub fn public_area_with_nonce(&self, nonce: &[u8]) -> Option<PublicArea> {
        let mut padded = [0; 256];
        padded.get_mut(..nonce.len())?.copy_from_slice(nonce);
        let unique = match (self.range, self.key) {
            (Range::Low, EkKey::Rsa(_)) => Unique::Rsa(&padded),
            (Range::Low, _) if nonce.len() <= 32 => Unique::Ecc { x: padded.get(..32)?, y: &[0; 32] },
            (Range::High, EkKey::Rsa(_)) if nonce.is_empty() => Unique::Rsa(&[]),
            (Range::High, _) if nonce.is_empty() => Unique::Ecc { x: &[], y: &[] },
            _ => return None,
        };
        self.encode(unique).ok().and_then(|public| PublicArea::encode(&public))
    }

    /// What authorises the EK's use.
    pub fn policy(&self) -> EkPolicy {
        match self.range {
            Range::Low => EkPolicy::A(self.name_hash),
            Range::High => EkPolicy::B(self.name_hash),
        }
    }

    fn encode(&self, unique: Unique<'_>) -> TpmResult<TpmtPublic> {
        let of_range = match self.range {
            Range::Low => TpmaObject::default(),
            Range::High => TpmaObject::USER_WITH_AUTH,
        };
        Ok(TpmtPublic {
            object_type: self.key.object_type(),
            name_alg: TpmAlgId::try_from(self.name_hash.algorithm_id())?,
            object_attributes: of_fixed_origin(
                of_range | TpmaObject::ADMIN_WITH_POLICY | TpmaObject::RESTRICTED | TpmaObject::DECRYPT,
            ),
            auth_policy: Tpm2bDigest::try_from(self.policy().digest())?,
            parameters: self.key.parameters(self.name_hash),
            unique: unique.encode()?,
        })
    }
}

impl EkKey {
    fn object_type(self) -> TpmAlgId {
        match self {
            EkKey::Rsa(_) => TpmAlgId::Rsa,
            _ => TpmAlgId::Ecc,
        }
    }

    fn parameters(self, name_hash: Hash) -> TpmuPublicParms {
        // AES-128 beside SHA-256, AES-256 beside the longer hashes.
        let aes_bits = if name_hash == Hash::Sha256 { 128 } else { 256 };
        let symmetric = TpmtSymDefObject {
            algorithm: TpmAlgId::Aes,
            key_bits: TpmuSymKeyBits::Aes(TpmUint16::new(aes_bits)),
            mode: TpmuSymMode::Aes(TpmAlgId::Cfb),
        };
        let ecc = |curve_id| {
            TpmuPublicParms::Ecc(TpmsEccParms {
                symmetric,
                scheme: Default::default(),
                curve_id,
                kdf: Default::default(),
            })
        };
        match self {
            EkKey::Rsa(bits) => TpmuPublicParms::Rsa(TpmsRsaParms {
                symmetric,
                scheme: Default::default(),
                key_bits: TpmUint16::new(bits),
                exponent: TpmUint32::new(0),
            }),
            EkKey::P256 => ecc(TpmEccCurve::NistP256),
            EkKey::P384 => ecc(TpmEccCurve::NistP384),
            EkKey::P521 => ecc(TpmEccCurve::NistP521),
        }
    }
}

/// Which AK a release makes; another number is another key. It stands in the last four bytes of `unique.x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AkGeneration(pub u32);

impl AkGeneration {
    /// Of this release.
    pub const CURRENT: AkGeneration = AkGeneration(1);
}

/// The AK's template: a restricted signing key, ECDSA on P-256 with SHA-256, empty authorisation, no dictionary-attack
/// protection (it has no secret to guess). As a primary of the endorsement hierarchy it is the same after every boot, and
/// the TPM does not disguise its counters (Part 1, 36.7; measured).
pub fn ak_template(generation: AkGeneration) -> Option<PublicArea> {
    let mut x = [0; 32];
    x.last_chunk_mut::<4>()?.copy_from_slice(&generation.0.to_be_bytes());
    let scheme = TpmtEccScheme {
        scheme: TpmAlgId::Ecdsa,
        details: TpmuAsymScheme::Hash(TpmsSchemeHash { hash_alg: TpmAlgId::Sha256 }),
    };
    let public = TpmtPublic {
        object_type: TpmAlgId::Ecc,
        name_alg: TpmAlgId::Sha256,
        object_attributes: of_fixed_origin(
            TpmaObject::USER_WITH_AUTH | TpmaObject::NO_DA | TpmaObject::RESTRICTED | TpmaObject::SIGN_ENCRYPT,
        ),
        auth_policy: Default::default(),
        parameters: TpmuPublicParms::Ecc(TpmsEccParms {
            symmetric: TpmtSymDefObject { algorithm: TpmAlgId::Null, ..Default::default() },
            scheme,
            curve_id: TpmEccCurve::NistP256,
            kdf: Default::default(),
        }),
        unique: Unique::Ecc { x: &x, y: &[0; 32] }.encode().ok()?,
    };
    PublicArea::encode(&public)
}

fn coordinate_bytes(curve: TpmEccCurve) -> Option<usize> {
    match curve {
        TpmEccCurve::NistP256 => Some(32),
        TpmEccCurve::NistP384 => Some(48),
        TpmEccCurve::NistP521 => Some(66),
        _ => None,
    }
}

/// fixedTPM, fixedParent and sensitiveDataOrigin: the key was made in this TPM and never leaves it.
fn of_fixed_origin(attributes: TpmaObject) -> TpmaObject {
    attributes | TpmaObject::FIXED_TPM | TpmaObject::FIXED_PARENT | TpmaObject::SENSITIVE_DATA_ORIGIN
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_template_names_its_own_policy_and_keeps_it_around_a_key() {
        for template in EK_TEMPLATES {
            let area = template.public_area().unwrap();
            let unique = match template.key {
                EkKey::Rsa(_) => Unique::Rsa(&[7; 256]),
                _ => Unique::Ecc { x: &[7; 32], y: &[9; 32] },
            };
            let certified = area.with_unique(unique).unwrap();
            assert_ne!(area, certified, "{}", template.name);
            assert_eq!(EkPolicy::of(&certified), Some(template.policy()), "{}", template.name);
        }
    }

    #[test]
    fn a_nonce_is_refused_where_the_profile_has_none() {
        for template in EK_TEMPLATES {
            let with_nonce = template.public_area_with_nonce(&[1; 20]);
            assert_eq!(with_nonce.is_some(), template.nonce_index.is_some(), "{}", template.name);
        }
    }

    #[test]
    fn a_short_coordinate_is_padded_to_the_width_that_certificates_have() {
        let area = ak_template(AkGeneration(1)).unwrap();
        let key = area.with_unique(Unique::Ecc { x: &[5], y: &[6; 32] }).unwrap().key_bytes().unwrap();
        assert_eq!((&key[..31], key[31], &key[32..]), (&[0; 31][..], 5, &[6; 32][..]));
    }

    #[test]
    fn another_generation_is_another_template() {
        assert_ne!(ak_template(AkGeneration(1)), ak_template(AkGeneration(2)));
    }
}
