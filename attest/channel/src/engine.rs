//! The fast engine: signatures by aws-lc-rs, digests by the sha1 and sha2 crates (quicker on short inputs).

use aws_lc_rs::signature::{
    self as aws, EcdsaVerificationAlgorithm, RsaParameters, RsaPssSaltLength, UnparsedPublicKey,
};
use garant_attest::engine::{BadSignature, Digest, Engine, PublicKey, SignatureScheme};
use garant_hw::hash::Hash;

/// Holds nothing. Accepts what `RustEngine` accepts, and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct FastEngine;

impl Engine for FastEngine {
    fn digest(&self, hash: Hash, parts: &[&[u8]]) -> Digest {
        match hash {
            Hash::Sha1 => digest::<sha1::Sha1>(hash, parts),
            Hash::Sha256 => digest::<sha2::Sha256>(hash, parts),
            Hash::Sha384 => digest::<sha2::Sha384>(hash, parts),
            Hash::Sha512 => digest::<sha2::Sha512>(hash, parts),
        }
    }

    fn verify_signature(
        &self,
        key: &PublicKey,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if !key.admits(scheme, signature) {
            return Err(BadSignature);
        }
        match (key, scheme) {
            (PublicKey::P256(point), SignatureScheme::Ecdsa(hash)) => {
                verify_ecdsa(P256, point, hash, message, signature)
            }
            (PublicKey::P384(point), SignatureScheme::Ecdsa(hash)) => {
                verify_ecdsa(P384, point, hash, message, signature)
            }
            (PublicKey::P521(point), SignatureScheme::Ecdsa(hash)) => {
                verify_ecdsa(P521, point, hash, message, signature)
            }
            (PublicKey::Ed25519(key), SignatureScheme::Ed25519) => {
                UnparsedPublicKey::new(&aws::ED25519, key).verify(message, signature).map_err(|_| BadSignature)
            }
            (PublicKey::Rsa { modulus, exponent }, scheme) => {
                verify_rsa(modulus, *exponent, scheme, message, signature)
            }
            _ => Err(BadSignature),
        }
    }
}

fn digest<D: sha2::Digest>(hash: Hash, parts: &[&[u8]]) -> Digest {
    let mut hasher = D::new();
    parts.iter().for_each(|part| hasher.update(part));
    Digest::new(hash, &hasher.finalize()).unwrap_or(Digest::zero(hash))
}

/// The fixed-width algorithm with the curve's own digest, which is the usual pair; the others exist over DER only.
struct Curve {
    own: Hash,
    fixed: &'static EcdsaVerificationAlgorithm,
    over_der: &'static [(Hash, &'static EcdsaVerificationAlgorithm)],
}

fn verify_ecdsa(curve: Curve, point: &[u8], hash: Hash, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    if hash == curve.own {
        return UnparsedPublicKey::new(curve.fixed, point).verify(message, signature).map_err(|_| BadSignature);
    }
    let found = curve.over_der.iter().find(|(other, _)| *other == hash);
    let (_, algorithm) = *found.ok_or(BadSignature)?;
    let der = ecdsa_der(signature).ok_or(BadSignature)?;
    UnparsedPublicKey::new(algorithm, point).verify(message, &der).map_err(|_| BadSignature)
}

/// r ‖ s as SEQUENCE of two INTEGERs (RFC 3279 §2.2.3).
fn ecdsa_der(signature: &[u8]) -> Option<Vec<u8>> {
    use der::{Encode, asn1::UintRef};
    let (r, s) = signature.split_at_checked(signature.len() / 2)?;
    let mut body = UintRef::new(r).ok()?.to_der().ok()?;
    body.extend(UintRef::new(s).ok()?.to_der().ok()?);
    der::asn1::AnyRef::new(der::Tag::Sequence, &body).ok()?.to_der().ok()
}

fn verify_rsa(
    modulus: &[u8],
    exponent: u32,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let exponent = exponent.to_be_bytes();
    let leading = exponent.iter().take_while(|byte| **byte == 0).count();
    let e = exponent.get(leading..).ok_or(BadSignature)?;
    let key = aws::RsaPublicKeyComponents { n: modulus, e };
    let verifies = |parameters: &'static RsaParameters| key.verify(parameters, message, signature).is_ok();
    let is_good = match scheme {
        SignatureScheme::RsaPkcs1(Hash::Sha256) => verifies(&aws::RSA_PKCS1_2048_8192_SHA256),
        SignatureScheme::RsaPkcs1(Hash::Sha384) => verifies(&aws::RSA_PKCS1_2048_8192_SHA384),
        SignatureScheme::RsaPkcs1(Hash::Sha512) => verifies(&aws::RSA_PKCS1_2048_8192_SHA512),
        SignatureScheme::RsaPkcs1Sha1OfNamedAuthority => verifies(&aws::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        SignatureScheme::RsaPss(Hash::Sha256) => PSS_SHA256.iter().any(verifies),
        SignatureScheme::RsaPss(Hash::Sha384) => PSS_SHA384.iter().any(verifies),
        SignatureScheme::RsaPss(Hash::Sha512) => PSS_SHA512.iter().any(verifies),
        _ => false,
    };
    if is_good { Ok(()) } else { Err(BadSignature) }
}

const P256: Curve = Curve {
    own: Hash::Sha256,
    fixed: &aws::ECDSA_P256_SHA256_FIXED,
    over_der: &[(Hash::Sha384, &aws::ECDSA_P256_SHA384_ASN1), (Hash::Sha512, &aws::ECDSA_P256_SHA512_ASN1)],
};
const P384: Curve = Curve {
    own: Hash::Sha384,
    fixed: &aws::ECDSA_P384_SHA384_FIXED,
    over_der: &[(Hash::Sha256, &aws::ECDSA_P384_SHA256_ASN1), (Hash::Sha512, &aws::ECDSA_P384_SHA512_ASN1)],
};
const P521: Curve = Curve {
    own: Hash::Sha512,
    fixed: &aws::ECDSA_P521_SHA512_FIXED,
    over_der: &[(Hash::Sha384, &aws::ECDSA_P521_SHA384_ASN1)],
};
static PSS_SHA256: [RsaParameters; 2] = both_salts(aws::RSA_PSS_2048_8192_SHA256, aws::RSA_PSS_2048_8192_SHA256);
static PSS_SHA384: [RsaParameters; 2] = both_salts(aws::RSA_PSS_2048_8192_SHA384, aws::RSA_PSS_2048_8192_SHA384);
static PSS_SHA512: [RsaParameters; 2] = both_salts(aws::RSA_PSS_2048_8192_SHA512, aws::RSA_PSS_2048_8192_SHA512);

/// Salt as long as the digest, and as long as the key allows: what old TPMs do (TPM 2.0 Part 1, B.7).
const fn both_salts(digest: RsaParameters, longest: RsaParameters) -> [RsaParameters; 2] {
    [digest, longest.with_pss_salt_length(RsaPssSaltLength::Max)]
}
