//! The verdict as a signed attestation result: EAR (draft-ietf-rats-ear, profile #03) as COSE_Sign1.
//!
//! Tiers: yes 2 (affirming), yes on a test root 32 (warning), no 96 (contraindicated), unknown 0.

use crate::{
    budget,
    cbor::{self, Bytes32, CborError, MapField},
    cose::{self, ClaimedStatement, StatementError},
    engine::{Engine, PublicKey},
    place::geographic::Geographic,
    verdict::{PartVerdict, TrustVector, Verdict},
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde::{Deserialize, Serialize};

/// Content type of an EAR as COSE (draft-ietf-rats-ear §6).
pub const CONTENT_TYPE: &str = "application/eat+cwt; eat_profile=\"tag:ietf.org,2026:rats/ear#03\"";
/// eat_profile of an EAR.
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#03";

crate::int_map! {
    /// An EAR's claims. As decoded they are claimed; [`open`] checks who signed them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Ear {
        /// aud: for whom; a relying party refuses another's.
        3 => audience: Option<String>,
        /// exp: the earliest expiry among the inputs, seconds since 1970.
        4 => expires: u64,
        /// iat, seconds since 1970.
        6 => issued: u64,
        /// eat_nonce: the relying party's, where it gave one.
        10 => nonce: Option<serde_bytes::ByteBuf>,
        /// eat_profile: [`PROFILE`].
        265 => profile: String,
        /// submods: the parts.
        266 => parts: Parts,
        /// ear_verifier_id.
        1004 => verifier: VerifierId,
        /// Node id: SHA-256 of the certified EK's SubjectPublicKeyInfo.
        -75011 => node_id: Bytes32,
        /// Name of the attestation key.
        -75016 => ak_name: serde_bytes::ByteBuf,
        /// SHA-256 of entry 0 of the boot; absent where no entry 0 was proven.
        -75021 => boot_id: Option<Bytes32>,
        /// F, the session key that the quote vouches for.
        -75022 => session_key: Option<Bytes32>,
        /// SHA-256 of the policy; absent where none was given, and then no part is more than unknown.
        -75023 => policy_digest: Option<Bytes32>,
        /// Whether the image is closed: yes, no or unknown.
        -75024 => closed: String,
        /// How the verifier asked; `none` is bound to no channel.
        -75025 => channel: String,
        /// What stays to be trusted.
        -75026 => residual_trust: heapless::Vec<String, RESIDUALS>,
    }
}

crate::int_map! {
    /// Who wrote the verifier.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct VerifierId {
        /// developer.
        0 => developer: String,
        /// build.
        1 => build: String,
    }
}

/// The four parts; one that nobody assessed is unknown, never absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// What booted.
    pub boot: Appraisal,
    /// Whose it is.
    pub owner: Appraisal,
    /// Where it is.
    pub place: Appraisal,
    /// What it runs.
    pub workload: Appraisal,
}

impl MapField for Parts {
    fn is_present(&self) -> bool {
        true
    }
    fn or_absent(read: Option<Self>) -> Option<Self> {
        read
    }
}

crate::int_map! {
    /// The appraisal of one part.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Appraisal {
        /// ear_status: the tier.
        1000 => status: u64,
        /// ear_trustworthiness_vector.
        1001 => vector: Option<Vector>,
        /// yes, no or unknown.
        -75031 => answer: String,
        /// The weakest link's basis.
        -75032 => basis: Option<String>,
        /// All links: what, and on what basis.
        -75033 => links: heapless::Vec<(String, String), LINKS>,
        /// Why.
        -75034 => reasons: heapless::Vec<String, REASONS>,
        /// Of place: the geographic result.
        -75035 => geographic: Option<Geographic>,
    }
}

crate::int_map! {
    /// AR4SI claims that were made (draft-ietf-rats-ar4si §2.3); 0 MUST be read as no claim.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Vector {
        /// instance-identity.
        0 => instance_identity: i64,
        /// configuration.
        1 => configuration: i64,
        /// executables.
        2 => executables: i64,
        /// hardware.
        4 => hardware: i64,
    }
}

/// Of whom and when an EAR speaks.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Node id.
    pub node_id: [u8; 32],
    /// Name of the attestation key.
    pub ak_name: &'a [u8],
    /// Of the proven entry 0.
    pub boot_id: Option<[u8; 32]>,
    /// F.
    pub session_key: Option<[u8; 32]>,
}

/// For whom and when it is issued.
#[derive(Debug, Clone)]
pub struct Issue<'a> {
    /// Seconds since 1970, on the verifier's clock.
    pub issued: u64,
    /// Seconds after which even a verdict without an expiry of its own ends.
    pub lifetime_s: u64,
    /// For whom.
    pub audience: Option<&'a str>,
    /// The relying party's nonce.
    pub nonce: Option<&'a [u8]>,
    /// Version of the verifier.
    pub build: &'a str,
}

impl Ear {
    /// The verdict as claims.
    pub fn new(verdict: &Verdict, subject: &Subject<'_>, issue: &Issue<'_>) -> Ear {
        let latest = issue.issued.saturating_add(issue.lifetime_s);
        Ear {
            audience: issue.audience.map(String::from),
            expires: verdict.expires.map_or(latest, |expires| expires.min(latest)),
            issued: issue.issued,
            nonce: issue.nonce.map(|nonce| serde_bytes::ByteBuf::from(nonce.to_vec())),
            profile: String::from(PROFILE),
            parts: Parts {
                boot: appraisal(&verdict.boot, Some(verdict.vector)),
                owner: appraisal(&verdict.owner, None),
                place: Appraisal { geographic: verdict.geographic.clone(), ..appraisal(&verdict.place, None) },
                workload: appraisal(&verdict.workload, None),
            },
            verifier: VerifierId { developer: String::from("garant"), build: String::from(issue.build) },
            node_id: Bytes32::new(subject.node_id),
            ak_name: serde_bytes::ByteBuf::from(subject.ak_name.to_vec()),
            boot_id: subject.boot_id.map(Bytes32::new),
            session_key: subject.session_key.map(Bytes32::new),
            policy_digest: verdict.policy_digest.map(Bytes32::new),
            closed: verdict.closed.to_string(),
            channel: String::from(verdict.channel.text()),
            residual_trust: capped(verdict.residual_trust.iter().cloned()),
        }
    }

    /// Reads claims that nobody checked; for printing.
    pub fn decode_untrusted(payload: &[u8]) -> Result<Ear, CborError> {
        cbor::decode(payload, budget::STATEMENT_BYTES)
    }

    /// Signs the claims; `sign` is the verifier's Ed25519 key, `key_id` its id.
    pub fn seal<E: From<CborError>>(
        &self,
        key_id: [u8; 32],
        sign: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
    ) -> Result<Vec<u8>, E> {
        cose::sign_ed25519(key_id, CONTENT_TYPE, &cbor::encode(self)?, sign)
    }
}

/// The claims of an EAR of [`PROFILE`] that `verifier` signed. Expiry, audience and policy digest are the reader's to
/// compare.
pub fn open(engine: &dyn Engine, statement: &[u8], verifier: &PublicKey) -> Result<Ear, StatementError> {
    let claimed = ClaimedStatement::decode(statement)?;
    let ear = Ear::decode_untrusted(claimed.verify(engine, verifier, CONTENT_TYPE)?)?;
    if ear.profile == PROFILE { Ok(ear) } else { Err(StatementError::Claim { what: "eat_profile" }) }
}

fn appraisal(part: &PartVerdict, vector: Option<TrustVector>) -> Appraisal {
    Appraisal {
        status: part.tier(),
        vector: vector.map(|v| Vector {
            instance_identity: i64::from(v.instance_identity),
            configuration: i64::from(v.configuration),
            executables: i64::from(v.executables),
            hardware: i64::from(v.hardware),
        }),
        answer: part.answer.to_string(),
        basis: part.basis().map(ToString::to_string),
        links: part.links.iter().take(LINKS).map(|link| (link.what.clone(), link.basis.to_string())).collect(),
        reasons: capped(part.reasons.iter().cloned()),
        geographic: None,
    }
}

/// The first texts, and how many more there were.
fn capped<const N: usize>(texts: impl ExactSizeIterator<Item = String>) -> heapless::Vec<String, N> {
    let more = texts.len().saturating_sub(N);
    let mut list: heapless::Vec<String, N> = texts.take(N).collect();
    if let Some(last) = list.last_mut().filter(|_| more > 0) {
        *last = format!("{last} (and {more} more)");
    }
    list
}

/// Links of one part: EK chain, enrolment, quote, log, policy.
const LINKS: usize = 64;
/// Reasons of one part.
const REASONS: usize = 64;
/// Residual trust: about thirty entries are printed.
const RESIDUALS: usize = 128;
