//! The verifier's key: what it signs, and nothing else. It signs enrolment records, and EARs under the policies of its
//! own configuration; an EAR under somebody else's policy would be taken for ours.

use crate::{budget::KEY_FILE_BYTES, error::VerifierError};
use garant_attest::{
    cbor::CborError,
    ear::Ear,
    engine::PublicKey,
    enrolment::{self, Enrolment},
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use zeroize::Zeroizing;

/// A verifier's Ed25519 key with the policies that it signs for.
#[derive(Debug, Clone)]
pub struct Sealer {
    key: SigningKey,
    key_id: [u8; 32],
    policies: Vec<[u8; 32]>,
}

impl Sealer {
    /// A key that signs for these policies, named by their digests.
    pub fn new(key: SigningKey, policies: Vec<[u8; 32]>) -> Sealer {
        let key_id = PublicKey::Ed25519(key.public()).id(&FastEngine).unwrap_or_default();
        Sealer { key, key_id, policies }
    }

    /// The key, to show it to nodes that list whom they answer.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.key.public())
    }

    /// Signs an EAR, where its policy is one of this verifier's own.
    pub fn ear(&self, ear: &Ear) -> Result<Vec<u8>, VerifierError> {
        let policy = ear.policy_digest.as_deref().copied();
        if !policy.is_some_and(|policy| self.policies.contains(&policy)) {
            return Err(VerifierError::ForeignPolicy { found: policy });
        }
        self.sign(|key_id, sign| ear.seal(key_id, sign))
    }

    /// Signs an enrolment record.
    pub fn record(&self, record: &Enrolment<'_>) -> Result<Vec<u8>, VerifierError> {
        self.sign(|key_id, sign| enrolment::seal(record, key_id, sign))
    }

    fn sign(
        &self,
        seal: impl FnOnce([u8; 32], &dyn Fn(&[u8]) -> Result<[u8; 64], CborError>) -> Result<Vec<u8>, CborError>,
    ) -> Result<Vec<u8>, VerifierError> {
        seal(self.key_id, &|message| Ok(self.key.sign(message))).map_err(VerifierError::Encoding)
    }
}

/// Reads a private key: PKCS#8 in PEM (RFC 8410 §7), as `garant keygen` and `openssl genpkey -algorithm ed25519` write.
pub fn read_key(path: &Path) -> Result<SigningKey, VerifierError> {
    let fault = |what: &str| VerifierError::KeyFile { path: path.to_owned(), what: what.to_owned() };
    let text = Zeroizing::new(read_small(path)?);
    let text = std::str::from_utf8(&text).map_err(|_| fault("no text"))?;
    let blocks = garant_attest::pem::blocks(text, PRIVATE_KEY).map_err(|error| fault(&error.to_string()))?;
    let [der] = blocks.as_slice() else { return Err(fault("not exactly one private key in PEM")) };
    let seed = der.strip_prefix(PKCS8_HEAD).and_then(|seed| <[u8; 32]>::try_from(seed).ok());
    let seed = Zeroizing::new(seed.ok_or_else(|| fault("no Ed25519 key in PKCS#8"))?);
    SigningKey::from_seed(&seed).map_err(|_| fault("no usable Ed25519 key"))
}

/// Makes a key and writes it to a new file that only its owner can read; an existing file is never touched.
pub fn generate_key(path: &Path) -> Result<SigningKey, VerifierError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|_| VerifierError::Random)?;
    let der = Zeroizing::new([PKCS8_HEAD, &seed[..]].concat());
    let text = der::pem::encode_string(PRIVATE_KEY, der::pem::LineEnding::LF, &der);
    let text = Zeroizing::new(text.map_err(|_| VerifierError::Random)?);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| VerifierError::File { path: folder.to_owned(), source })?;
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| VerifierError::File { path: path.to_owned(), source })?;
    SigningKey::from_seed(&seed).map_err(|_| VerifierError::Random)
}

/// Reads a file of at most [`KEY_FILE_BYTES`].
fn read_small(path: &Path) -> Result<Vec<u8>, VerifierError> {
    let read = || -> io::Result<Vec<u8>> {
        let limit = u64::try_from(KEY_FILE_BYTES).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| VerifierError::File { path: path.to_owned(), source })
}

/// PrivateKeyInfo of an Ed25519 key up to its seed (RFC 8410 §7, RFC 5958).
const PKCS8_HEAD: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PRIVATE_KEY: &str = "PRIVATE KEY";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_key_is_its_owners_alone_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/verifier.key");
        let made = generate_key(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(generate_key(&path).is_err());
        assert_eq!(read_key(&path).unwrap().public(), made.public());
    }
}
