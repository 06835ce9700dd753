//! Public keys as people hand them over: the digits that `garant keygen` prints, a PEM file, or a certificate.

use crate::{failure::Failure, input};
use garant_attest::{
    budget::{CERTIFICATE_BYTES, SEAL_CERTIFICATES},
    certificate::Certificate,
    engine::PublicKey,
    node_id::NodeId,
    pem,
};
use std::path::Path;

/// A key, and the certificates that came with it, DER, the key's own first.
pub(crate) struct GivenKey {
    pub(crate) key: PublicKey,
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// Reads 64 hexadecimal digits (Ed25519), or a file: a SubjectPublicKeyInfo in PEM or DER, or certificates in PEM, or one in
/// DER.
pub(crate) fn read(text: &str) -> Result<GivenKey, Failure> {
    // As many digits as a node id has.
    if let Ok(digits) = text.parse::<NodeId>() {
        return Ok(GivenKey { key: PublicKey::Ed25519(*digits.as_bytes()), certificates: Vec::new() });
    }
    let fault = |what: &str| {
        Failure::new(what, text, "give 64 hexadecimal digits (Ed25519), a public key in PEM or DER, or a certificate")
    };
    let bytes = input::read(Path::new(text), CERTIFICATE_BYTES.saturating_mul(SEAL_CERTIFICATES))?;
    let pem = std::str::from_utf8(&bytes).ok();
    if let Some(key) = pem.and_then(PublicKey::from_spki_pem).or_else(|| PublicKey::from_spki_der(&bytes)) {
        return Ok(GivenKey { key, certificates: Vec::new() });
    }
    let blocks = pem.map_or(Ok(Vec::new()), |text| pem::blocks(text, "CERTIFICATE"));
    let mut certificates = blocks.map_err(|error| fault(&error.to_string()))?;
    if certificates.is_empty() {
        certificates.push(bytes);
    }
    let first = certificates.first().and_then(|der| Certificate::from_der(der).ok());
    let first = first.ok_or_else(|| fault("holds no public key"))?;
    let key = first.public_key().map_err(|error| fault(&format!("holds {error}")))?;
    Ok(GivenKey { key, certificates })
}
