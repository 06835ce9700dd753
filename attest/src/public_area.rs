//! Public areas of TPM keys (TPM 2.0 Part 2, 12.2.4): what key it is, under which Name, and whether it may attest.
//!
//! A public area is what somebody sent. That it describes a key of one TPM only ActivateCredential or a certificate shows.

use crate::{
    budget,
    engine::{Engine, PublicKey, SignatureScheme},
};
use alloc::vec::Vec;
use core::fmt;
use garant_hw::hash::Hash;
use tpm2_rs::{
    TpmMarshal, TpmUnmarshal, TpmWriter,
    basic::TpmUint16,
    data::{
        Tpm2bEccParameter, Tpm2bPublicKeyRsa, TpmAlgId, TpmEccCurve, TpmaObject, TpmsEccPoint, TpmtPublic,
        TpmtSignature, TpmuAsymScheme, TpmuPublicId, TpmuPublicParms, TpmuSignature, TpmuSymKeyBits, TpmuSymMode,
    },
};

/// A key that may attest: restricted, signing only, made in its TPM and never to leave it, of a scheme that is strong
/// enough. Holding one proves that the public area says so, not that a TPM has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    public_area: Vec<u8>,
    name: Name,
    key: PublicKey,
    scheme: SignatureScheme,
}

impl AttestationKey {
    /// Reads a TPMT_PUBLIC that fills the bytes.
    pub fn from_public_area(engine: &dyn Engine, bytes: &[u8]) -> Result<AttestationKey, PublicAreaError> {
        let public = parse(bytes)?;
        check_attributes(public.object_attributes)?;
        let scheme = signing_scheme(&public)?;
        let key = public_key(&public)?;
        if !is_strong(&key) {
            return Err(PublicAreaError::Key);
        }
        Ok(AttestationKey { public_area: bytes.to_vec(), name: Name::of(engine, bytes)?, key, scheme })
    }

    /// Reads a TPM2B_PUBLIC that fills the bytes: a TPMT_PUBLIC with its size before it.
    pub fn from_sized_public_area(engine: &dyn Engine, bytes: &[u8]) -> Result<AttestationKey, PublicAreaError> {
        let (size, rest) = bytes.split_first_chunk::<2>().ok_or(PublicAreaError::Shape)?;
        if usize::from(u16::from_be_bytes(*size)) != rest.len() {
            return Err(PublicAreaError::Shape);
        }
        AttestationKey::from_public_area(engine, rest)
    }

    /// The TPMT_PUBLIC.
    pub fn public_area(&self) -> &[u8] {
        &self.public_area
    }

    /// nameAlg ‖ H(public area).
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The scheme that the key is bound to; it signs by no other.
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The fixed-width signature in a TPMT_SIGNATURE that fills the bytes, where it is by the key's own scheme.
    pub fn signature(&self, bytes: &[u8]) -> Result<Vec<u8>, PublicAreaError> {
        let (scheme, signature) = signature(bytes, &self.key)?;
        if scheme == self.scheme { Ok(signature) } else { Err(PublicAreaError::Scheme) }
    }
}

/// Scheme and fixed-width bytes of a TPMT_SIGNATURE that fills `bytes`. For a key whose public area is not at hand; an
/// [`AttestationKey`] also checks that the scheme is its own.
pub fn signature(bytes: &[u8], key: &PublicKey) -> Result<(SignatureScheme, Vec<u8>), PublicAreaError> {
    if bytes.len() > budget::SIGNATURE_BYTES {
        return Err(PublicAreaError::TooLong { found_bytes: bytes.len() });
    }
    let Ok((parsed, [])) = TpmtSignature::unmarshal(bytes) else {
        return Err(PublicAreaError::Shape);
    };
    let (scheme, signature) = match &parsed.signature {
        TpmuSignature::Rsassa(rsa) => (SignatureScheme::RsaPkcs1(strong_hash(rsa.hash)?), rsa.sig.to_vec()),
        TpmuSignature::Rsapss(rsa) => (SignatureScheme::RsaPss(strong_hash(rsa.hash)?), rsa.sig.to_vec()),
        TpmuSignature::Ecdsa(ecc) => {
            let width = coordinate_bytes(key).ok_or(PublicAreaError::Scheme)?;
            let mut both = padded(&ecc.signature_r, width).ok_or(PublicAreaError::Shape)?;
            both.extend(padded(&ecc.signature_s, width).ok_or(PublicAreaError::Shape)?);
            (SignatureScheme::Ecdsa(strong_hash(ecc.hash)?), both)
        }
        _ => return Err(PublicAreaError::Scheme),
    };
    if key.admits(scheme, &signature) { Ok((scheme, signature)) } else { Err(PublicAreaError::Scheme) }
}

/// The public area of an endorsement key: the template that its maker uses, around the certified key. What a node says
/// about its EK is not used, since ActivateCredential succeeds whatever the claimed attributes are.
pub fn ek_public_area(template: &[u8], key: &PublicKey) -> Result<Vec<u8>, PublicAreaError> {
    let mut public = parse(template)?;
    public.unique = match (key, &public.parameters) {
        (PublicKey::Rsa { modulus, exponent: DEFAULT_EXPONENT }, TpmuPublicParms::Rsa(parameters))
            if usize::from(parameters.key_bits.value()) == modulus.len().saturating_mul(8) =>
        {
            TpmuPublicId::Rsa(Tpm2bPublicKeyRsa::try_from(modulus.as_slice()).map_err(|_| PublicAreaError::Key)?)
        }
        (PublicKey::P256(point), TpmuPublicParms::Ecc(parameters)) if parameters.curve_id == TpmEccCurve::NistP256 => {
            unique_point(point)?
        }
        (PublicKey::P384(point), TpmuPublicParms::Ecc(parameters)) if parameters.curve_id == TpmEccCurve::NistP384 => {
            unique_point(point)?
        }
        (PublicKey::P521(point), TpmuPublicParms::Ecc(parameters)) if parameters.curve_id == TpmEccCurve::NistP521 => {
            unique_point(point)?
        }
        _ => return Err(PublicAreaError::Key),
    };
    let mut bytes = [0; budget::PUBLIC_AREA_BYTES];
    let mut writer = TpmWriter::new(&mut bytes);
    public.marshal(&mut writer).map_err(|_| PublicAreaError::Shape)?;
    Ok(writer.as_bytes().to_vec())
}

/// A key to which secrets can be encrypted: an endorsement key, its public area built by [`ek_public_area`]. Holding one
/// proves nothing; whose it is says the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    key: PublicKey,
    name_hash: Hash,
    aes_bits: u16,
}

impl EncryptionKey {
    /// Reads the TPMT_PUBLIC of a storage key with AES in CFB mode.
    pub fn from_public_area(bytes: &[u8]) -> Result<EncryptionKey, PublicAreaError> {
        let public = parse(bytes)?;
        let symmetric = match &public.parameters {
            TpmuPublicParms::Rsa(rsa) => &rsa.symmetric,
            TpmuPublicParms::Ecc(ecc) => &ecc.symmetric,
            _ => return Err(PublicAreaError::Key),
        };
        let aes_bits = match (symmetric.key_bits, symmetric.mode) {
            (TpmuSymKeyBits::Aes(bits), TpmuSymMode::Aes(TpmAlgId::Cfb)) if matches!(bits.value(), 128 | 256) => {
                bits.value()
            }
            _ => return Err(PublicAreaError::Scheme),
        };
        let name_hash = strong_hash(public.name_alg).map_err(|_| PublicAreaError::NameAlg)?;
        Ok(EncryptionKey { key: public_key(&public)?, name_hash, aes_bits })
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// nameAlg, by which seeds are made.
    pub fn name_hash(&self) -> Hash {
        self.name_hash
    }

    /// Bits of the AES key: 128 or 256.
    pub fn aes_bits(&self) -> u16 {
        self.aes_bits
    }
}

/// Name or Qualified Name of a TPM object: nameAlg ‖ digest (TPM 2.0 Part 1, 16).
#[derive(Clone, PartialEq, Eq)]
pub struct Name(heapless::Vec<u8, 66>);

impl Name {
    /// The Name of a public area.
    pub fn of(engine: &dyn Engine, public_area: &[u8]) -> Result<Name, PublicAreaError> {
        let name_alg = public_area.get(2..).and_then(|rest| rest.first_chunk()).ok_or(PublicAreaError::Shape)?;
        let hash = Hash::from_algorithm_id(u16::from_be_bytes(*name_alg));
        let hash = hash.filter(|hash| *hash != Hash::Sha1).ok_or(PublicAreaError::NameAlg)?;
        Ok(Name::hashed(engine, hash, &[public_area]))
    }

    /// The Qualified Name of an object with this Name whose parent is the endorsement hierarchy itself.
    pub fn qualified_in_endorsement(&self, engine: &dyn Engine) -> Name {
        Name::hashed(engine, self.hash(), &[&ENDORSEMENT.to_be_bytes(), self.as_bytes()])
    }

    /// The Qualified Name of an object with this Name whose parent has the Qualified Name `parent`.
    pub fn qualified_under(&self, engine: &dyn Engine, parent: &Name) -> Name {
        Name::hashed(engine, self.hash(), &[parent.as_bytes(), self.as_bytes()])
    }

    /// nameAlg ‖ digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn hashed(engine: &dyn Engine, hash: Hash, parts: &[&[u8]]) -> Name {
        let digest = engine.digest(hash, parts);
        let mut name = heapless::Vec::new();
        // 2 and at most 64 bytes: both always fit
        let _ = name.extend_from_slice(&hash.algorithm_id().to_be_bytes());
        let _ = name.extend_from_slice(digest.as_bytes());
        Name(name)
    }

    fn hash(&self) -> Hash {
        let id = self.0.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
        Hash::from_algorithm_id(id).unwrap_or(Hash::Sha256)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a public area or a signature is not accepted; the node is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicAreaError {
    /// More bytes than any such structure has.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// Not the structure, or bytes after it.
    Shape,
    /// The Name would be by a hash other than SHA-256, SHA-384 or SHA-512.
    NameAlg,
    /// The attributes of a key that could sign what software made up, or could leave its TPM.
    Attributes {
        /// TPMA_OBJECT bits that are not set and must be.
        missing: u32,
        /// TPMA_OBJECT bits that are set and must not be.
        forbidden: u32,
    },
    /// No scheme, another scheme than the key's own, or one that is not accepted.
    Scheme,
    /// The key is of an unknown kind, too short, or not of the size its own parameters say.
    Key,
}

impl fmt::Display for PublicAreaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublicAreaError::TooLong { found_bytes } => write!(f, "{found_bytes} bytes where a TPM has fewer"),
            PublicAreaError::Shape => f.write_str("the bytes are not one whole structure of TPM 2.0"),
            PublicAreaError::NameAlg => f.write_str("nameAlg is none of SHA-256, SHA-384, SHA-512"),
            PublicAreaError::Attributes { missing, forbidden } => {
                write!(f, "key attributes lack {missing:#x} and have {forbidden:#x} too many, so it may not attest")
            }
            PublicAreaError::Scheme => f.write_str("the signature scheme is not the key's own, or not accepted"),
            PublicAreaError::Key => f.write_str("the key is of an unknown kind, too short or of another size"),
        }
    }
}

impl core::error::Error for PublicAreaError {}

fn parse(bytes: &[u8]) -> Result<TpmtPublic, PublicAreaError> {
    if bytes.len() > budget::PUBLIC_AREA_BYTES {
        return Err(PublicAreaError::TooLong { found_bytes: bytes.len() });
    }
    match TpmtPublic::unmarshal(bytes) {
        Ok((public, [])) => Ok(public),
        _ => Err(PublicAreaError::Shape),
    }
}

fn check_attributes(found: TpmaObject) -> Result<(), PublicAreaError> {
    let missing = REQUIRED & !found.bits();
    let forbidden = found.bits() & FORBIDDEN;
    if missing == 0 && forbidden == 0 { Ok(()) } else { Err(PublicAreaError::Attributes { missing, forbidden }) }
}

/// The scheme in the parameters. Signing keys have no symmetric algorithm (Part 2, 12.2.3.5 and 12.2.3.6).
fn signing_scheme(public: &TpmtPublic) -> Result<SignatureScheme, PublicAreaError> {
    let (symmetric, scheme, details) = match &public.parameters {
        TpmuPublicParms::Rsa(rsa) => (rsa.symmetric.algorithm, rsa.scheme.scheme, &rsa.scheme.details),
        TpmuPublicParms::Ecc(ecc) => (ecc.symmetric.algorithm, ecc.scheme.scheme, &ecc.scheme.details),
        _ => return Err(PublicAreaError::Key),
    };
    let TpmuAsymScheme::Hash(details) = details else {
        return Err(PublicAreaError::Scheme);
    };
    let hash = strong_hash(details.hash_alg)?;
    match (&public.parameters, symmetric, scheme) {
        (TpmuPublicParms::Rsa(_), TpmAlgId::Null, TpmAlgId::Rsassa) => Ok(SignatureScheme::RsaPkcs1(hash)),
        (TpmuPublicParms::Rsa(_), TpmAlgId::Null, TpmAlgId::Rsapss) => Ok(SignatureScheme::RsaPss(hash)),
        (TpmuPublicParms::Ecc(_), TpmAlgId::Null, TpmAlgId::Ecdsa) => Ok(SignatureScheme::Ecdsa(hash)),
        _ => Err(PublicAreaError::Scheme),
    }
}

fn strong_hash(id: TpmAlgId) -> Result<Hash, PublicAreaError> {
    match Hash::from_algorithm_id(id.value()) {
        Some(Hash::Sha1) | None => Err(PublicAreaError::Scheme),
        Some(hash) => Ok(hash),
    }
}

fn public_key(public: &TpmtPublic) -> Result<PublicKey, PublicAreaError> {
    let key = match (&public.parameters, &public.unique) {
        (TpmuPublicParms::Rsa(parameters), TpmuPublicId::Rsa(modulus)) => {
            rsa_key(parameters.key_bits, parameters.exponent.value(), modulus)
        }
        (TpmuPublicParms::Ecc(parameters), TpmuPublicId::Ecc(point)) => match parameters.curve_id {
            TpmEccCurve::NistP256 => sec1::<65>(point).map(PublicKey::P256),
            TpmEccCurve::NistP384 => sec1::<97>(point).map(PublicKey::P384),
            TpmEccCurve::NistP521 => sec1::<133>(point).map(PublicKey::P521),
            _ => None,
        },
        _ => None,
    };
    key.ok_or(PublicAreaError::Key)
}

fn rsa_key(key_bits: TpmUint16, exponent: u32, modulus: &[u8]) -> Option<PublicKey> {
    let exponent = if exponent == 0 { DEFAULT_EXPONENT } else { exponent };
    let is_whole = usize::from(key_bits.value()) == modulus.len().saturating_mul(8);
    let has_top_bit = modulus.first().is_some_and(|byte| *byte >= 0x80);
    (is_whole && has_top_bit).then(|| PublicKey::Rsa { modulus: modulus.to_vec(), exponent })
}

fn sec1<const N: usize>(point: &TpmsEccPoint) -> Option<[u8; N]> {
    let width = N.checked_sub(1)? / 2;
    let bytes = [alloc::vec![4], padded(&point.x, width)?, padded(&point.y, width)?].concat();
    <[u8; N]>::try_from(bytes).ok()
}

fn is_strong(key: &PublicKey) -> bool {
    match key {
        PublicKey::Rsa { modulus, .. } => key.admits(SignatureScheme::RsaPkcs1(Hash::Sha256), modulus),
        _ => true,
    }
}

fn unique_point(sec1: &[u8]) -> Result<TpmuPublicId, PublicAreaError> {
    let (_, coordinates) = sec1.split_first().ok_or(PublicAreaError::Key)?;
    let (x, y) = coordinates.split_at_checked(coordinates.len() / 2).ok_or(PublicAreaError::Key)?;
    let coordinate = |bytes| Tpm2bEccParameter::try_from(bytes).map_err(|_| PublicAreaError::Key);
    Ok(TpmuPublicId::Ecc(TpmsEccPoint { x: coordinate(x)?, y: coordinate(y)? }))
}

/// Bytes of a coordinate and of r or s.
fn coordinate_bytes(key: &PublicKey) -> Option<usize> {
    match key {
        PublicKey::P256(_) => Some(32),
        PublicKey::P384(_) => Some(48),
        PublicKey::P521(_) => Some(66),
        PublicKey::Rsa { .. } | PublicKey::Ed25519(_) => None,
    }
}

/// `bytes` with zeros before it up to `width`; TPMs of some makers leave leading zeros out.
fn padded(bytes: &[u8], width: usize) -> Option<Vec<u8>> {
    let mut out = alloc::vec![0; width.checked_sub(bytes.len())?];
    out.extend_from_slice(bytes);
    Some(out)
}

/// restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin (TPM 2.0 Part 2, 8.3): signs only digests that this TPM
/// made of data not starting with TPM_GENERATED, was made in this TPM, and cannot be duplicated.
const REQUIRED: u32 = 0x0005_0032;
/// decrypt (Part 2, 8.3.3.10).
const FORBIDDEN: u32 = 0x0002_0000;
/// Exponent 0 in a public area (Part 2, 12.2.3.5).
const DEFAULT_EXPONENT: u32 = 65537;
/// TPM_RH_ENDORSEMENT (Part 2, 7.4).
const ENDORSEMENT: u32 = 0x4000_000b;
