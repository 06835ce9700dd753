//! Enrolment records: what a verifier writes down once AK and EK have been shown to live in one TPM.
//!
//! ActivateCredential convinces only who ran it. To its own verifier a record is as good as the chip; to any other it
//! is the testimony of the key that signed it.

use crate::{
    budget,
    cbor::{self, Bytes, Bytes32},
    cose::{self, ClaimedStatement, StatementError},
    engine::{Engine, PublicKey},
};
use alloc::vec::Vec;
use garant_hw::hash::Hash;

/// Content type of a record.
pub const CONTENT_TYPE: &str = "application/vnd.garant.enrolment+cbor";

/// Certificates or Names in a record.
pub type List<'a, const N: usize> = heapless::Vec<&'a Bytes, N>;

crate::int_map! {
    /// What a record says, in CWT claims (RFC 8392) and private keys.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Enrolment<'a> {
        /// iat: when activation succeeded, seconds since 1970.
        6 => time: u64,
        /// SHA-256 of the certified EK's SubjectPublicKeyInfo, ECC before RSA.
        -75011 => node_id: Bytes32,
        /// Certificates, DER, of all EKs of the chip that were activated, the node id's first.
        -75012 => ek_certificates: List<'a, { budget::EKS }>,
        /// Their Names, built from template and certified key, in the same order.
        -75013 => ek_names: List<'a, { budget::EKS }>,
        /// Authority certificates that came with them, DER.
        -75014 => intermediates: List<'a, { budget::EK_CHAIN }>,
        /// TPMT_PUBLIC of the attestation key.
        -75015 => ak_public: &'a Bytes,
        /// Its Name.
        -75016 => ak_name: &'a Bytes,
    }
}

/// A record whose signature was checked. Holding one proves: the named verifier says that these keys live in one TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledNode<'a> {
    record: Enrolment<'a>,
    witness: [u8; 32],
}

impl<'a> EnrolledNode<'a> {
    /// Reads a record signed by `witness` and checks that its AK Name is its AK's.
    pub fn open(
        engine: &dyn Engine,
        statement: &'a [u8],
        witness: &PublicKey,
    ) -> Result<EnrolledNode<'a>, StatementError> {
        let claimed = ClaimedStatement::decode(statement)?;
        let payload = claimed.verify(engine, witness, CONTENT_TYPE)?;
        let record: Enrolment<'a> = cbor::decode(payload, budget::STATEMENT_BYTES)?;
        let name = engine.digest(Hash::Sha256, &[record.ak_public]);
        let is_named = record.ak_name.strip_prefix(&Hash::Sha256.algorithm_id().to_be_bytes()) == Some(name.as_bytes());
        if !is_named || record.ek_certificates.is_empty() || record.ek_names.len() != record.ek_certificates.len() {
            return Err(StatementError::Shape(cbor::CborError::Malformed { offset: 0 }));
        }
        Ok(EnrolledNode { record, witness: claimed.key_id() })
    }

    /// What the record says.
    pub fn record(&self) -> &Enrolment<'a> {
        &self.record
    }

    /// Key id of the verifier that ran the activation.
    pub fn witness(&self) -> [u8; 32] {
        self.witness
    }
}

/// Signs a record; `sign` is the verifier's Ed25519 key, `key_id` its id.
pub fn seal<E: From<cbor::CborError>>(
    record: &Enrolment<'_>,
    key_id: [u8; 32],
    sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<Vec<u8>, E> {
    cose::sign_ed25519(key_id, CONTENT_TYPE, &cbor::encode(record)?, sign)
}
