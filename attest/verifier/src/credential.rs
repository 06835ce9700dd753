//! TPM2_MakeCredential in software (TPM 2.0 Part 1, 24): a secret that only the TPM with this EK can read, and only
//! while it has an object of this Name loaded.
//!
//! What the node answers with is no business of this module, and neither is whether the EK is a TPM's.

use cfb_mode::cipher::KeyIvInit;
use garant_attest::{
    engine::PublicKey,
    public_area::{EncryptionKey, Name},
};
use garant_hw::hash::Hash;
use getrandom::SysRng;
use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytesSize, Generate, PublicKey as Point,
    ecdh::EphemeralSecret,
    sec1::{FromSec1Point, ModulusSize, ToSec1Point},
};
use rsa::{BoxedUint, oaep::EncryptingKey, traits::RandomizedEncryptor};
use sha2::{Digest, Sha256, Sha384, Sha512, digest::FixedOutputReset};
use std::fmt;
use zeroize::Zeroizing;

/// A challenge to one TPM.
pub struct Credential {
    /// What TPM2B_ID_OBJECT holds, without its size.
    pub blob: Vec<u8>,
    /// What TPM2B_ENCRYPTED_SECRET holds, without its size.
    pub encrypted_secret: Vec<u8>,
    /// What the TPM finds. Whoever knows it has activated, so it never leaves the verifier.
    pub secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// Makes a challenge with a fresh secret to the TPM that has `ek`, for an object named `name`.
pub fn make(ek: &EncryptionKey, name: &Name) -> Result<Credential, CredentialError> {
    match ek.name_hash() {
        Hash::Sha1 => Err(CredentialError::Key),
        Hash::Sha256 => make_by::<Sha256>(ek, name),
        Hash::Sha384 => make_by::<Sha384>(ek, name),
        Hash::Sha512 => make_by::<Sha512>(ek, name),
    }
}

fn make_by<D: NameHash>(ek: &EncryptionKey, name: &Name) -> Result<Credential, CredentialError> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(secret.as_mut_slice()).map_err(|_| CredentialError::Randomness)?;
    let (seed, encrypted_secret) = share_seed::<D>(ek)?;
    let blob = protect::<D>(ek, &seed, name, secret.as_slice())?;
    Ok(Credential { blob, encrypted_secret, secret })
}

/// TPMS_ID_OBJECT: HMAC over the encrypted secret and the Name, then the encrypted secret.
fn protect<D: NameHash>(
    ek: &EncryptionKey,
    seed: &[u8],
    name: &Name,
    secret: &[u8],
) -> Result<Vec<u8>, CredentialError> {
    let symmetric = kdf_a::<D>(seed, "STORAGE", name.as_bytes(), ek.aes_bits())?;
    let mut identity = sized(secret)?;
    encrypt(&symmetric, &mut identity)?;
    let integrity = kdf_a::<D>(seed, "INTEGRITY", &[], digest_bits::<D>())?;
    let mut blob = sized(&hmac::<D>(&integrity, &[&identity, name.as_bytes()])?)?;
    blob.extend_from_slice(&identity);
    Ok(blob)
}

/// What both sides know once the second part was sent.
type Shared = (Zeroizing<Vec<u8>>, Vec<u8>);

fn share_seed<D: NameHash>(ek: &EncryptionKey) -> Result<Shared, CredentialError> {
    match ek.public_key() {
        PublicKey::Rsa { modulus, exponent } => encrypt_seed::<D>(modulus, *exponent),
        PublicKey::P256(point) => agree::<D, p256::NistP256>(point),
        PublicKey::P384(point) => agree::<D, p384::NistP384>(point),
        PublicKey::P521(point) => agree::<D, p521::NistP521>(point),
        PublicKey::Ed25519(_) => Err(CredentialError::Key),
    }
}

/// RSA: random bytes, OAEP by the EK's nameAlg with the label IDENTITY and its NUL (Part 1, B.4 and B.10.4).
fn encrypt_seed<D: NameHash>(modulus: &[u8], exponent: u32) -> Result<Shared, CredentialError> {
    let bits = u32::try_from(modulus.len()).map_err(|_| CredentialError::Key)?.saturating_mul(8);
    let modulus = BoxedUint::from_be_slice(modulus, bits).map_err(|_| CredentialError::Key)?;
    let key = rsa::PublicKey::new(modulus, BoxedUint::from(exponent)).map_err(|_| CredentialError::Key)?;
    let mut seed = Zeroizing::new(vec![0; <D as Digest>::output_size()]);
    getrandom::fill(&mut seed).map_err(|_| CredentialError::Randomness)?;
    let encrypted = EncryptingKey::<D>::new_with_label(key, LABEL).encrypt_with_rng(&mut SysRng, &seed);
    Ok((seed, encrypted.map_err(|_| CredentialError::Randomness)?))
}

/// ECC: one-pass Diffie-Hellman with a key of the moment, then KDFe (Part 1, C.6.1 and C.6.4).
fn agree<D: NameHash, C: CurveArithmetic>(ek: &[u8]) -> Result<Shared, CredentialError>
where
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    let ek = Point::<C>::from_sec1_bytes(ek).map_err(|_| CredentialError::Key)?;
    let ours = EphemeralSecret::<C>::try_generate_from_rng(&mut SysRng).map_err(|_| CredentialError::Randomness)?;
    let shared = ours.diffie_hellman(&ek);
    let (ours, theirs) = (ours.public_key().to_sec1_point(false), ek.to_sec1_point(false));
    let [x, y, ek_x] = [ours.x(), ours.y(), theirs.x()];
    let (x, y, ek_x) =
        (x.ok_or(CredentialError::Key)?, y.ok_or(CredentialError::Key)?, ek_x.ok_or(CredentialError::Key)?);
    let seed = kdf_e::<D>(shared.raw_secret_bytes(), x, ek_x);
    Ok((seed, [sized(x)?, sized(y)?].concat()))
}

/// KDFa: SP 800-108 in counter mode with HMAC (Part 1, 11.4.10.2); contextV is empty wherever it is used here, and two
/// blocks are more than AES-256 or a digest need.
fn kdf_a<D: NameHash>(
    key: &[u8],
    label: &str,
    context: &[u8],
    bits: u16,
) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let mut out = Zeroizing::new(Vec::new());
    for counter in [1u32, 2] {
        let (counter, bits) = (counter.to_be_bytes(), u32::from(bits).to_be_bytes());
        out.extend_from_slice(&hmac::<D>(key, &[&counter, label.as_bytes(), &[0], context, &bits])?);
    }
    out.truncate(usize::from(bits) / 8);
    Ok(out)
}

/// KDFe for IDENTITY: SP 800-56A, one block, since a seed is as long as the digest (Part 1, 11.4.10.3).
fn kdf_e<D: NameHash>(shared_x: &[u8], our_x: &[u8], ek_x: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut hasher = D::new();
    [&1u32.to_be_bytes(), shared_x, &LABEL, our_x, ek_x].iter().for_each(|part| Digest::update(&mut hasher, part));
    Zeroizing::new(hasher.finalize().to_vec())
}

fn hmac<D: NameHash>(key: &[u8], parts: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let mut mac = <D::Hmac as KeyInit>::new_from_slice(key).map_err(|_| CredentialError::Key)?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(Zeroizing::new(mac.finalize().into_bytes().to_vec()))
}

/// AES in CFB mode, with zeros as its start (Part 1, 24.4).
fn encrypt(key: &[u8], bytes: &mut [u8]) -> Result<(), CredentialError> {
    let iv = [0; 16];
    match key.len() {
        16 => cfb_mode::Encryptor::<aes::Aes128>::new_from_slices(key, &iv).map(|cipher| cipher.encrypt(bytes)),
        _ => cfb_mode::Encryptor::<aes::Aes256>::new_from_slices(key, &iv).map(|cipher| cipher.encrypt(bytes)),
    }
    .map_err(|_| CredentialError::Key)
}

/// A TPM2B: size, then bytes.
fn sized(bytes: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let size = u16::try_from(bytes.len()).map_err(|_| CredentialError::Key)?;
    Ok([&size.to_be_bytes(), bytes].concat())
}

fn digest_bits<D: Digest>() -> u16 {
    u16::try_from(<D as Digest>::output_size()).unwrap_or(0).saturating_mul(8)
}

/// A nameAlg, with its HMAC.
trait NameHash: Digest + FixedOutputReset {
    type Hmac: Mac + KeyInit;
}

impl NameHash for Sha256 {
    type Hmac = Hmac<Sha256>;
}

impl NameHash for Sha384 {
    type Hmac = Hmac<Sha384>;
}

impl NameHash for Sha512 {
    type Hmac = Hmac<Sha512>;
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

/// Why there is no challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialError {
    /// This machine gives no random bytes; we are at fault.
    Randomness,
    /// The key is not of its kind, such as a point off the curve; the certificate is at fault.
    Key,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialError::Randomness => "this machine gives no random bytes",
            CredentialError::Key => "the endorsement key cannot be encrypted to",
        })
    }
}

impl std::error::Error for CredentialError {}

/// Bytes of a secret: no longer than the shortest nameAlg's digest (Part 3, 13.3).
pub const SECRET_BYTES: usize = 32;
/// IDENTITY with its NUL (Part 1, 24.4 and B.4).
const LABEL: [u8; 9] = *b"IDENTITY\0";
