//! Templates of the endorsement keys that TPM makers certify (TCG EK Credential Profile 2.6, appendix B) and of our AK.
//!
//! A template is the public area that TPM2_CreatePrimary is given; with the certified key in `unique` it is the EK's public
//! area. SM2 (H-5) is left out: no verifier here has its arithmetic.

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

/// What authorises the use of an EK (B.6): A is TPM2_PolicySecret of the endorsement hierarchy, B is A or what the maker's
/// NV index says (C). The hash is the EK's nameAlg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EkPolicy {
    /// Low range.
    A(Hash),
    /// High range.
    B(Hash),
}

impl EkPolicy {
    /// The policy of an EK's public area; `None` where its authPolicy is none of the profile's.
    pub fn of(public: &PublicArea) -> Option<EkPolicy> {
        let (public, _) = TpmtPublic::unmarshal(public).ok()?;
        let hash = Hash::from_algorithm_id(public.name_alg.value())?;
        let policies = [EkPolicy::A(hash), EkPolicy::B(hash)].into_iter();
        policies.filter(|policy| !policy.digest().is_empty()).find(|policy| *policy.digest() == *public.auth_policy)
    }

    /// The hash of the policy session.
    pub fn hash(self) -> Hash {
        match self {
            EkPolicy::A(hash) | EkPolicy::B(hash) => hash,
        }
    }

    /// authPolicy. Empty for SHA-1, which the profile does not have and no EK matches.
    pub fn digest(self) -> &'static [u8] {
        match self {
            EkPolicy::A(hash) => policy_a(hash),
            EkPolicy::B(Hash::Sha1) => &[],
            EkPolicy::B(Hash::Sha256) => &POLICY_B_SHA256,
            EkPolicy::B(Hash::Sha384) => &POLICY_B_SHA384,
            EkPolicy::B(Hash::Sha512) => &POLICY_B_SHA512,
        }
    }
}

/// PolicyA: TPM2_PolicySecret(TPM_RH_ENDORSEMENT).
pub(super) fn policy_a(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha1 => &[],
        Hash::Sha256 => &POLICY_A_SHA256,
        Hash::Sha384 => &POLICY_A_SHA384,
        Hash::Sha512 => &POLICY_A_SHA512,
    }
}

/// PolicyC: TPM2_PolicyAuthorizeNV of the maker's index for that hash.
pub(super) fn policy_c(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha1 => &[],
        Hash::Sha256 => &POLICY_C_SHA256,
        Hash::Sha384 => &POLICY_C_SHA384,
        Hash::Sha512 => &POLICY_C_SHA512,
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

// EK Credential Profile 2.6, table 8.
const POLICY_A_SHA256: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7,
    0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
const POLICY_A_SHA384: [u8; 48] = [
    0x8b, 0xbf, 0x22, 0x66, 0x53, 0x7c, 0x17, 0x1c, 0xb5, 0x6e, 0x40, 0x3c, 0x4d, 0xc1, 0xd4, 0xb6, 0x4f, 0x43, 0x26,
    0x11, 0xdc, 0x38, 0x6e, 0x6f, 0x53, 0x20, 0x50, 0xc3, 0x27, 0x8c, 0x93, 0x0e, 0x14, 0x3e, 0x8b, 0xb1, 0x13, 0x38,
    0x24, 0xcc, 0xb4, 0x31, 0x05, 0x38, 0x71, 0xc6, 0xdb, 0x53,
];
const POLICY_A_SHA512: [u8; 64] = [
    0x1e, 0x3b, 0x76, 0x50, 0x2c, 0x8a, 0x14, 0x25, 0xaa, 0x0b, 0x7b, 0x3f, 0xc6, 0x46, 0xa1, 0xb0, 0xfa, 0xe0, 0x63,
    0xb0, 0x3b, 0x53, 0x68, 0xf9, 0xc4, 0xcd, 0xde, 0xca, 0xff, 0x08, 0x91, 0xdd, 0x68, 0x2b, 0xac, 0x1a, 0x85, 0xd4,
    0xd8, 0x32, 0xb7, 0x81, 0xea, 0x45, 0x19, 0x15, 0xde, 0x5f, 0xc5, 0xbf, 0x0d, 0xc4, 0xa1, 0x91, 0x7c, 0xd4, 0x2f,
    0xa0, 0x41, 0xe3, 0xf9, 0x98, 0xe0, 0xee,
];
const POLICY_B_SHA256: [u8; 32] = [
    0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3, 0xa3, 0x85, 0xd4,
    0x4c, 0xd1, 0xfd, 0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
];
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a, 0x07, 0x41, 0x48,
    0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47, 0xba, 0x09, 0x69, 0x96,
    0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];
const POLICY_B_SHA512: [u8; 64] = [
    0xb8, 0x22, 0x1c, 0xa6, 0x9e, 0x85, 0x50, 0xa4, 0x91, 0x4d, 0xe3, 0xfa, 0xa6, 0xa1, 0x8c, 0x07, 0x2c, 0xc0, 0x12,
    0x08, 0x07, 0x3a, 0x92, 0x8d, 0x5d, 0x66, 0xd5, 0x9e, 0xf7, 0x9e, 0x49, 0xa4, 0x29, 0xc4, 0x1a, 0x6b, 0x26, 0x95,
    0x71, 0xd5, 0x7e, 0xdb, 0x25, 0xfb, 0xdb, 0x18, 0x38, 0x42, 0x56, 0x08, 0xb4, 0x13, 0xcd, 0x61, 0x6a, 0x5f, 0x6d,
    0xb5, 0xb6, 0x07, 0x1a, 0xf9, 0x9b, 0xea,
];
const POLICY_C_SHA256: [u8; 32] = [
    0x37, 0x67, 0xe2, 0xed, 0xd4, 0x3f, 0xf4, 0x5a, 0x3a, 0x7e, 0x1e, 0xae, 0xfc, 0xef, 0x78, 0x64, 0x3d, 0xca, 0x96,
    0x46, 0x32, 0xe7, 0xaa, 0xd8, 0x2c, 0x67, 0x3a, 0x30, 0xd8, 0x63, 0x3f, 0xde,
];
const POLICY_C_SHA384: [u8; 48] = [
    0xd6, 0x03, 0x2c, 0xe6, 0x1f, 0x2f, 0xb3, 0xc2, 0x40, 0xeb, 0x3c, 0xf6, 0xa3, 0x32, 0x37, 0xef, 0x2b, 0x6a, 0x16,
    0xf4, 0x29, 0x3c, 0x22, 0xb4, 0x55, 0xe2, 0x61, 0xcf, 0xfd, 0x21, 0x7a, 0xd5, 0xb4, 0x94, 0x7c, 0x2d, 0x73, 0xe6,
    0x30, 0x05, 0xee, 0xd2, 0xdc, 0x2b, 0x35, 0x93, 0xd1, 0x65,
];
const POLICY_C_SHA512: [u8; 64] = [
    0x58, 0x9e, 0xe1, 0xe1, 0x46, 0x54, 0x47, 0x16, 0xe8, 0xde, 0xaf, 0xe6, 0xdb, 0x24, 0x7b, 0x01, 0xb8, 0x1e, 0x9f,
    0x9c, 0x7d, 0xd1, 0x6b, 0x81, 0x4a, 0xa1, 0x59, 0x13, 0x87, 0x49, 0x10, 0x5f, 0xba, 0x53, 0x88, 0xdd, 0x1d, 0xea,
    0x70, 0x2f, 0x35, 0x24, 0x0c, 0x18, 0x49, 0x33, 0x12, 0x1e, 0x2c, 0x61, 0xb8, 0xf5, 0x0d, 0x3e, 0xf9, 0x13, 0x93,
    0xa4, 0x9a, 0x38, 0xc3, 0xf7, 0x3f, 0xc8,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use sha2::{Digest, Sha256, Sha384, Sha512};

    fn digest(hash: Hash, parts: &[&[u8]]) -> std::vec::Vec<u8> {
        let message = parts.concat();
        match hash {
            Hash::Sha256 => Sha256::digest(message).to_vec(),
            Hash::Sha384 => Sha384::digest(message).to_vec(),
            _ => Sha512::digest(message).to_vec(),
        }
    }

    const LONG: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

    #[test]
    fn policy_a_is_policy_secret_of_the_endorsement_hierarchy() {
        for hash in LONG {
            let zero = &[0; 64][..hash.size_bytes()];
            let secret = digest(hash, &[zero, &0x151u32.to_be_bytes(), &0x4000_000bu32.to_be_bytes()]);
            assert_eq!(policy_a(hash), digest(hash, &[&secret]));
        }
    }

    #[test]
    fn policy_b_is_a_or_c() {
        for hash in LONG {
            let zero = &[0; 64][..hash.size_bytes()];
            let or = digest(hash, &[zero, &0x171u32.to_be_bytes(), policy_a(hash), policy_c(hash)]);
            assert_eq!(EkPolicy::B(hash).digest(), or);
        }
    }

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
    fn a_public_area_without_policy_has_none_of_the_profiles() {
        let mut bytes = ak_template(AkGeneration(1)).unwrap().to_vec();
        bytes[3] = 0x04; // nameAlg SHA-1, for which the profile has no policy
        let area = PublicArea::from_bytes(&bytes).unwrap();
        assert_eq!(EkPolicy::of(&area), None);
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
