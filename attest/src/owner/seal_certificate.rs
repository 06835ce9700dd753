//! Qualified seal certificates (eIDAS; EN 319 412): by which name a legal person goes whose key signs.
//!
//! What the certificate says of itself is *claimed qualified*. It counts as qualified where a chain leads to a root that
//! the policy holds for seals; that the issuer was on a trusted list that day is then the policy author's word. Even so it
//! names a person, and says nothing of who owns that person. Left out: revocation by the issuer (lists and OCSP); the
//! policy's own list of revoked keys is custody's.

use crate::{
    certificate::{Certificate, CertificateError},
    chain::{self, ChainError, Rules},
    engine::{Engine, PublicKey},
    owner::voucher::Certificates,
    roots::{RootKind, Roots},
    statement,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use der::{
    Any, Decode, Sequence, Tag, Tagged,
    asn1::{ObjectIdentifier, PrintableStringRef},
};

/// What a seal certificate says, and what is known of it. Whoever holds the key may speak in this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// organizationName.
    pub organization: String,
    /// organizationIdentifier (EN 319 412-1 §5.1.4), such as `NTRDE-HRB86786` or `VATFR-12345678901`.
    pub identifier: String,
    /// countryName, ISO 3166-1 alpha-2.
    pub country: String,
    /// What its standing is.
    pub standing: Standing,
    /// Whether it says that a qualified device holds the key (QcSSCD). Without one the certificate may be qualified, and
    /// what the key signs is no qualified seal (eIDAS, Article 3 (27)).
    pub in_device: bool,
    /// Seconds since 1970 after which it, or what it hangs on, is no more valid.
    pub not_after: u64,
}

/// What a seal's word is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does not even say that it is qualified.
    Unqualified,
    /// It says so, and the policy holds no root above it.
    ClaimedQualified {
        /// Why there is no chain.
        fault: ChainError,
    },
    /// It says so, and a root of the policy stands above it.
    Qualified {
        /// Name of the root.
        root: String,
        /// `test` makes all of this a test.
        kind: RootKind,
    },
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}), ", self.organization, self.identifier, self.country)?;
        match &self.standing {
            Standing::Unqualified => f.write_str("seal not qualified"),
            Standing::ClaimedQualified { .. } => f.write_str("seal claimed qualified"),
            Standing::Qualified { root, .. } if self.in_device => write!(f, "qualified seal below {root}"),
            Standing::Qualified { root, .. } => {
                write!(f, "qualified certificate below {root} for a key outside a qualified device")
            }
        }
    }
}

/// Reads the certificates of a key, its own first. `at` is when they must be valid, in seconds since 1970; `roots` are
/// the policy's for seals.
pub fn read(
    engine: &dyn Engine,
    certificates: &Certificates<'_>,
    key: &PublicKey,
    roots: &Roots,
    at: u64,
) -> Result<Seal, SealError> {
    let parsed: Result<Vec<Certificate>, _> = certificates.iter().map(|der| Certificate::from_der(der)).collect();
    let parsed = parsed.map_err(SealError::Certificate)?;
    let (leaf, above) = parsed.split_first().ok_or(SealError::Missing { what: "certificate" })?;
    if leaf.public_key().as_ref() != Ok(key) {
        return Err(SealError::OtherKey);
    }
    if at < leaf.not_before() {
        return Err(SealError::NotYet { from: leaf.not_before() });
    }
    if at > leaf.not_after() {
        return Err(SealError::Expired { at: leaf.not_after() });
    }
    let may_sign = |usage: &x509_cert::ext::pkix::KeyUsage| usage.digital_signature() || usage.non_repudiation();
    if leaf.is_authority() || leaf.key_usage().is_some_and(|usage| !may_sign(usage)) {
        return Err(SealError::Use);
    }
    let statements = Statements::read(leaf)?;
    let (standing, not_after) = standing(engine, &statements, (leaf, above), roots, at);
    let country = text(leaf, COUNTRY, "country")?;
    if country.len() != 2 || !country.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return Err(SealError::Missing { what: "country" });
    }
    Ok(Seal {
        organization: text(leaf, ORGANIZATION, "organization")?,
        identifier: text(leaf, ORGANIZATION_IDENTIFIER, "organizationIdentifier")?,
        country,
        standing,
        in_device: statements.has(QC_DEVICE),
        not_after,
    })
}

fn standing(
    engine: &dyn Engine,
    statements: &Statements,
    (leaf, above): (&Certificate, &[Certificate]),
    roots: &Roots,
    at: u64,
) -> (Standing, u64) {
    if !statements.say_qualified() {
        return (Standing::Unqualified, leaf.not_after());
    }
    let rules = Rules { at, allow_sha1: &[], revocations: &[] };
    match chain::build(engine, leaf, above, roots, rules) {
        Ok(chain) => {
            let (root, kind) = (chain.root().name().to_string(), chain.root().kind());
            (Standing::Qualified { root, kind }, chain.expires())
        }
        Err(fault) => (Standing::ClaimedQualified { fault }, leaf.not_after()),
    }
}

/// QcStatements (EN 319 412-5): what each says, and of which types the certificate is.
struct Statements {
    ids: Vec<ObjectIdentifier>,
    types: Vec<ObjectIdentifier>,
}

impl Statements {
    fn read(leaf: &Certificate) -> Result<Statements, SealError> {
        let unreadable = |_| SealError::Missing { what: "readable QcStatements" };
        let list = leaf.extension(QC_STATEMENTS).map(Vec::<QcStatement>::from_der);
        let list = list.transpose().map_err(unreadable)?.unwrap_or_default();
        let mut types = Vec::new();
        for info in
            list.iter().filter(|statement| statement.id == QC_TYPE).filter_map(|statement| statement.info.as_ref())
        {
            types.append(&mut info.decode_as().map_err(unreadable)?);
        }
        Ok(Statements { ids: list.iter().map(|statement| statement.id).collect(), types })
    }

    fn has(&self, id: ObjectIdentifier) -> bool {
        self.ids.contains(&id)
    }

    /// Compliance, in the EU's legislation, of type seal. A certificate that names another country's legislation
    /// (QcCClegislation) is qualified there and not in the EU.
    fn say_qualified(&self) -> bool {
        self.has(QC_COMPLIANCE) && self.types.contains(&QC_TYPE_SEAL) && !self.has(QC_LEGISLATION)
    }
}

/// The one attribute of this kind in the subject.
fn text(leaf: &Certificate, oid: ObjectIdentifier, what: &'static str) -> Result<String, SealError> {
    let mut found = leaf.subject().iter().filter(|attribute| attribute.oid == oid);
    let (Some(attribute), None) = (found.next(), found.next()) else {
        return Err(SealError::Missing { what });
    };
    let text = match attribute.value.tag() {
        Tag::Utf8String => core::str::from_utf8(attribute.value.value()).ok(),
        Tag::PrintableString => PrintableStringRef::new(attribute.value.value()).ok().map(|text| text.as_str()),
        _ => None,
    };
    let text = text.filter(|text| statement::is_plain(text, crate::budget::STATEMENT_TEXT_BYTES));
    text.map(ToString::to_string).ok_or(SealError::Missing { what })
}

/// QCStatement (RFC 3739 §3.2.6).
#[derive(Sequence)]
struct QcStatement {
    id: ObjectIdentifier,
    #[asn1(optional = "true")]
    info: Option<Any>,
}

/// Why a key's certificates name nobody; who wrote or brought them is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    /// No X.509 certificate.
    Certificate(CertificateError),
    /// It certifies another key than the one it came with.
    OtherKey,
    /// It is an authority's, or its key may not sign.
    Use,
    /// A part that a seal certificate has.
    Missing {
        /// Which.
        what: &'static str,
    },
    /// Not valid yet.
    NotYet {
        /// From when on, seconds since 1970.
        from: u64,
    },
    /// No more valid.
    Expired {
        /// Since when, seconds since 1970.
        at: u64,
    },
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SealError::Certificate(error) => write!(f, "{error}"),
            SealError::OtherKey => f.write_str("the seal certificate certifies another key"),
            SealError::Use => f.write_str("the certificate is no seal's: it is an authority, or its key may not sign"),
            SealError::Missing { what } => write!(f, "the seal certificate has not exactly one {what}"),
            SealError::NotYet { from } => {
                write!(f, "the seal certificate is valid only from {from} (seconds since 1970) on")
            }
            SealError::Expired { at } => write!(f, "the seal certificate ended at {at} (seconds since 1970)"),
        }
    }
}

impl core::error::Error for SealError {}

const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6"); // X.520 6.3.1
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10"); // X.520 6.4.1
const ORGANIZATION_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.97"); // X.520 6.4.4
const QC_STATEMENTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.3"); // RFC 3739 3.2.6
// EN 319 412-5 §4
const QC_COMPLIANCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.1");
const QC_DEVICE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.4");
const QC_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6");
const QC_TYPE_SEAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.6.2");
const QC_LEGISLATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.1862.1.7");
