//! SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of a public key, and the id that names a key everywhere: its SHA-256.

use crate::{
    engine::{Engine, PublicKey, sha256},
    pem,
};
use alloc::vec::Vec;
use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef},
};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

impl PublicKey {
    /// The DER of SubjectPublicKeyInfo; `None` for a key that DER cannot carry.
    pub fn spki(&self) -> Option<Vec<u8>> {
        match self {
            PublicKey::P256(point) => info(EC_PUBLIC_KEY, Some((&P256).into()), point),
            PublicKey::P384(point) => info(EC_PUBLIC_KEY, Some((&P384).into()), point),
            PublicKey::P521(point) => info(EC_PUBLIC_KEY, Some((&P521).into()), point),
            PublicKey::Ed25519(key) => info(ED25519, None, key),
            PublicKey::Rsa { modulus, exponent } => {
                let exponent = exponent.to_be_bytes();
                let modulus = UintRef::new(modulus).ok()?;
                let key = RsaPublicKey { modulus, exponent: UintRef::new(&exponent).ok()? };
                info(RSA_ENCRYPTION, Some(AnyRef::NULL), &key.to_der().ok()?)
            }
        }
    }

    /// The key of a SubjectPublicKeyInfo; `None` for a kind that no engine has. An RSA key comes from the BIT STRING
    /// whatever the algorithm says of its use, since ST and Infineon certify endorsement keys as id-RSAES-OAEP.
    pub fn from_spki(info: &SubjectPublicKeyInfoRef<'_>) -> Option<PublicKey> {
        let key = info.subject_public_key.as_bytes()?;
        match info.algorithm.oid {
            RSA_ENCRYPTION | RSAES_OAEP | RSASSA_PSS => {
                let key = RsaPublicKey::from_der(key).ok()?;
                let bytes = key.exponent.as_bytes();
                let mut exponent = [0; 4];
                exponent.get_mut(4usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
                let modulus = key.modulus.as_bytes().to_vec();
                Some(PublicKey::Rsa { modulus, exponent: u32::from_be_bytes(exponent) })
            }
            EC_PUBLIC_KEY if key.first() == Some(&UNCOMPRESSED) => match info.algorithm.parameters_oid().ok()? {
                P256 => key.try_into().ok().map(PublicKey::P256),
                P384 => key.try_into().ok().map(PublicKey::P384),
                P521 => key.try_into().ok().map(PublicKey::P521),
                _ => None,
            },
            ED25519 => key.try_into().ok().map(PublicKey::Ed25519),
            _ => None,
        }
    }

    /// The key of a SubjectPublicKeyInfo in DER that fills the bytes.
    pub fn from_spki_der(der: &[u8]) -> Option<PublicKey> {
        PublicKey::from_spki(&SubjectPublicKeyInfoRef::from_der(der).ok()?)
    }

    /// The key of a file with one PEM block `PUBLIC KEY`.
    pub fn from_spki_pem(text: &str) -> Option<PublicKey> {
        match pem::blocks(text, "PUBLIC KEY").ok()?.as_slice() {
            [der] => PublicKey::from_spki_der(der),
            _ => None,
        }
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the key id of statements, policies and configurations.
    pub fn id(&self, engine: &dyn Engine) -> Option<[u8; 32]> {
        Some(sha256(engine, &[&self.spki()?]))
    }
}

fn info(oid: ObjectIdentifier, parameters: Option<AnyRef<'_>>, key: &[u8]) -> Option<Vec<u8>> {
    let algorithm = AlgorithmIdentifierRef { oid, parameters };
    let subject_public_key = BitStringRef::from_bytes(key).ok()?;
    SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().ok()
}

/// RFC 8017 §A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"); // RFC 8017 C
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7"); // RFC 8017 C
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"); // RFC 8017 C
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"); // RFC 5480 2.1.1
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"); // RFC 5480 2.1.1.1
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34"); // RFC 5480 2.1.1.1
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35"); // RFC 5480 2.1.1.1
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112"); // RFC 8410 3
/// First byte of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 0x04;
