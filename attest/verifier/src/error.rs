//! Why the verifier has no verdict; each variant says who is at fault.

use crate::{session::Rejection, store::StoreError};
use garant_attest::{
    cbor::CborError, certificate::CertificateError, cose::StatementError, ek::EkError, policy::PolicyError,
    public_area::PublicAreaError, roots::RootsError,
};
use garant_channel::error::ChannelError;
use std::{fmt, io, path::PathBuf};

/// A failure of the verifier's work.
#[derive(Debug)]
pub enum VerifierError {
    /// The network, or the node at its end.
    Channel {
        /// Whom we talked to.
        peer: String,
        /// What went wrong.
        source: ChannelError,
    },
    /// The node refused, or is another kind of server.
    Status {
        /// Whom we talked to.
        peer: String,
        /// What was asked for.
        path: String,
        /// HTTP status.
        status: u16,
        /// The first bytes of its text.
        said: String,
    },
    /// The node's: an answer that counts for nothing.
    Rejected(Rejection),
    /// The node's: an identity or activation that does not hold.
    Enrolment(EnrolmentFault),
    /// The witness's, or who brought the record: it does not verify.
    Record(StatementError),
    /// The node's: it carries no statements in a form that can be read.
    Statements(CborError),
    /// The node's: it sends entries of its ledger in no form that can be read.
    Entries(CborError),
    /// The asker's, or the node's: more statements than are weighed.
    TooManyStatements {
        /// How many are.
        limit: usize,
    },
    /// The asker's: a file that holds no statement.
    NoStatement {
        /// The file.
        path: PathBuf,
    },
    /// The record's endorsement keys no longer hold; their maker, or the roots, decide.
    RecordKey(EkError),
    /// Keeping, or the names of another enrolment.
    Store(StoreError),
    /// Ours: a file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The owner's: a key file that holds no usable key.
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The owner's: a certificate that cannot be read.
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The owner's: the list of roots.
    Roots(RootsError),
    /// The owner's: the policy.
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PolicyError,
    },
    /// The owner's: the configuration.
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line where there is one.
        what: String,
    },
    /// The caller's: an EAR under a policy that is not of this verifier's configuration.
    ForeignPolicy {
        /// Digest of that policy, where the EAR has one.
        found: Option<[u8; 32]>,
    },
    /// The network's, or the operator's: a node that is in no asset list.
    Stranger,
    /// Ours: a value cannot be encoded.
    Encoding(CborError),
    /// Ours: the system gives no random bytes.
    Random,
    /// Ours: the system's clock cannot be read.
    Clock(io::Error),
}

/// Why a node was not enrolled; the node is at fault, or its maker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolmentFault {
    /// A message of another form.
    Form(CborError),
    /// An authority certificate from NV that cannot be read.
    Intermediate(CertificateError),
    /// No EK certificate at all.
    NoCertificate,
    /// An EK certificate does not hold.
    Ek {
        /// Its place in the identity.
        number: usize,
        /// Why.
        error: EkError,
    },
    /// The attestation key's public area.
    AttestationKey(PublicAreaError),
    /// No template of the TCG profile, nor the one in NV, gives this certified key.
    Template {
        /// Its place in the identity.
        number: usize,
    },
    /// Activation failed: the node could not show that AK and EK live in one TPM.
    Activation {
        /// Place of the EK in the identity.
        number: usize,
    },
}

impl fmt::Display for EnrolmentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnrolmentFault::Form(error) => write!(f, "the node's message: {error}"),
            EnrolmentFault::Intermediate(error) => write!(f, "an authority certificate of the node: {error}"),
            EnrolmentFault::NoCertificate => f.write_str(
                "the node shows no endorsement key certificate; give garantd the maker's with `ek_certificate`",
            ),
            EnrolmentFault::Ek { number, error } => write!(f, "endorsement key certificate {number}: {error}"),
            EnrolmentFault::AttestationKey(error) => write!(f, "the attestation key: {error}"),
            EnrolmentFault::Template { number } => {
                write!(f, "endorsement key {number}: no known template has a key of this kind")
            }
            EnrolmentFault::Activation { number } => write!(
                f,
                "endorsement key {number}: the node did not prove that its attestation key lives in the same TPM"
            ),
        }
    }
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifierError::Channel { peer, source } => {
                write!(f, "{peer}: {source}")?;
                let mut cause = std::error::Error::source(source);
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            VerifierError::Status { peer, path, status, said } => {
                write!(f, "{peer} answered {path} with status {status}: {said}")
            }
            VerifierError::Rejected(rejection) => write!(f, "check {}: {rejection}", rejection.check()),
            VerifierError::Enrolment(fault) => write!(f, "not enrolled: {fault}"),
            VerifierError::Record(error) => write!(f, "the enrolment record: {error}"),
            VerifierError::Statements(error) => write!(f, "the statements that the node carries: {error}"),
            VerifierError::Entries(error) => write!(f, "the entries of the node's ledger: {error}"),
            VerifierError::TooManyStatements { limit } => write!(f, "more than {limit} statements about one node"),
            VerifierError::NoStatement { path } => {
                write!(f, "{}: no statement of a kind that bears on place or owner", path.display())
            }
            VerifierError::RecordKey(error) => write!(f, "the enrolment record's endorsement key: {error}"),
            VerifierError::Store(error) => error.fmt(f),
            VerifierError::File { path, source } => write!(f, "{}: {source}", path.display()),
            VerifierError::KeyFile { path, what } => write!(f, "key {}: {what}", path.display()),
            VerifierError::Certificate { path, what } => write!(f, "certificate {}: {what}", path.display()),
            VerifierError::Roots(error) => error.fmt(f),
            VerifierError::Policy { path, source } => write!(f, "policy {}: {source}", path.display()),
            VerifierError::Configuration { path, what } => write!(f, "configuration {}: {what}", path.display()),
            VerifierError::ForeignPolicy { found: None } => f.write_str("nothing is signed that has no policy"),
            VerifierError::ForeignPolicy { found: Some(_) } => {
                f.write_str("nothing is signed under a policy that is not of this verifier's own configuration")
            }
            VerifierError::Stranger => f.write_str("a node that is in no asset list"),
            VerifierError::Encoding(error) => write!(f, "a value of ours: {error}"),
            VerifierError::Random => f.write_str("the system gives no random bytes"),
            VerifierError::Clock(error) => write!(f, "the system's clock: {error}"),
        }
    }
}

impl std::error::Error for VerifierError {}

impl From<StoreError> for VerifierError {
    fn from(error: StoreError) -> VerifierError {
        VerifierError::Store(error)
    }
}

impl From<EnrolmentFault> for VerifierError {
    fn from(fault: EnrolmentFault) -> VerifierError {
        VerifierError::Enrolment(fault)
    }
}

impl From<Rejection> for VerifierError {
    fn from(rejection: Rejection) -> VerifierError {
        VerifierError::Rejected(rejection)
    }
}
