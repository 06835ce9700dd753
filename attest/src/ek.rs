//! Endorsement keys: from the bytes in a TPM's NV memory to a key that a maker certified.
//!
//! Lenient in framing, strict in content. Allowed around the certificate: the 7-byte header of TCG PC Client storage,
//! whatever stands after its DER (filler, a second certificate). Demanded of it: a chain ([`crate::chain`]), no CA flag,
//! extKeyUsage tcg-kp-EKCertificate, where keyUsage is there one for encryption, maker, model and version that the root
//! may vouch for, a key that is long enough and without ROCA's fingerprint. Certificates of a cloud's virtual TPM have
//! neither extKeyUsage nor names (seen: Google); both may be absent there and nowhere else.

use crate::{
    budget,
    certificate::{Certificate, CertificateError},
    chain::{self, ChainError},
    engine::{Engine, PublicKey, SignatureScheme},
    roca,
    roots::{Root, RootKind, Roots},
    tcg_names::{self, NamesError, TpmNames},
    verdict::{Basis, Link},
};
use alloc::{string::String, string::ToString, vec::Vec};
use core::fmt;
use der::{Decode, SliceReader};
use garant_hw::hash::Hash;

/// What the verifier knows and decides about endorsement keys.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// For the path.
    pub chain: chain::Rules<'a>,
    /// Key ids of endorsement keys that do not count, whoever certified them.
    pub denied: &'a [[u8; 32]],
}

/// An endorsement key that a believed root certifies. Holding one proves: at the given time the maker's certificates
/// said that this key is a TPM's. It does not prove that anybody at hand has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedEk {
    certificate: Vec<u8>,
    key: PublicKey,
    names: Option<TpmNames>,
    root: String,
    kind: RootKind,
    links: Vec<Link>,
    expires: u64,
}

impl CertifiedEk {
    /// The DER of the certificate alone.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Maker, model and version; absent for a cloud's virtual TPM.
    pub fn names(&self) -> Option<&TpmNames> {
        self.names.as_ref()
    }

    /// The root's name.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The root's kind.
    pub fn kind(&self) -> RootKind {
        self.kind
    }

    /// Every certificate of the chain, the key's first, with what it rests on.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Until when this holds: the earliest end in the chain, in seconds since 1970.
    pub fn expires(&self) -> u64 {
        self.expires
    }
}

/// Checks the certificate of an endorsement key, as it lies in NV, and all above it. `intermediates` are authorities
/// from NV and from the caller, DER each.
pub fn validate(
    engine: &dyn Engine,
    in_nv: &[u8],
    intermediates: &[Certificate],
    roots: &Roots,
    rules: Rules<'_>,
) -> Result<CertifiedEk, EkError> {
    let certificate = Certificate::from_der(unframe(in_nv)?).map_err(EkError::Certificate)?;
    let key = certificate.public_key().map_err(EkError::Certificate)?;
    check_key(engine, &key, rules.denied)?;
    check_use(&certificate, &key)?;
    let chain = chain::build(engine, &certificate, intermediates, roots, rules.chain).map_err(EkError::Chain)?;
    let root = chain.root();
    check_purpose(&certificate, root)?;
    let names = tcg_names::read(&certificate).map_err(EkError::Names)?;
    check_names(names.as_ref(), root)?;
    let links = links(&chain, names.as_ref());
    let (root, kind, expires) = (root.name().to_string(), root.kind(), chain.expires());
    Ok(CertifiedEk { certificate: certificate.der().to_vec(), key, names, root, kind, links, expires })
}

/// The certificates that stand back to back in one NV index, framing removed: the first is the index's own, later ones
/// may be authorities or another key's. Ends at the first bytes that are none.
pub fn certificates_in_nv(in_nv: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = in_nv;
    while let Ok(der) = unframe(rest) {
        if found.len() >= budget::EK_CHAIN || Certificate::from_der(der).is_err() {
            break;
        }
        found.push(der);
        let end = rest.len().checked_sub(without_header(rest).len()).and_then(|header| header.checked_add(der.len()));
        rest = end.and_then(|end| rest.get(end..)).unwrap_or_default();
    }
    found
}

/// The first DER value, of the length that its own header says.
fn unframe(in_nv: &[u8]) -> Result<&[u8], EkError> {
    let bytes = without_header(in_nv);
    let length = || -> der::Result<usize> {
        let header = der::Header::decode(&mut SliceReader::new(bytes)?)?;
        usize::try_from(header.length().for_tlv(header.tag())?)
    };
    length()
        .ok()
        .and_then(|length| bytes.get(..length))
        .filter(|_| bytes.first() == Some(&SEQUENCE))
        .ok_or(EkError::Framing)
}

/// Without TCG_PCCLIENT_STORED_CERT: tag 0x1001, type 0 (whole certificate), two bytes of length, tag 0x1002 (TCG PC
/// Client Specific Implementation Specification for Conventional BIOS 1.21, 7.4.5; seen on ST and Infineon chips).
fn without_header(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0x10, 0x01, 0x00, _, _, 0x10, 0x02, certificate @ ..] => certificate,
        _ => bytes,
    }
}

fn check_key(engine: &dyn Engine, key: &PublicKey, denied: &[[u8; 32]]) -> Result<(), EkError> {
    let is_long = match key {
        PublicKey::Rsa { modulus, .. } => key.admits(SignatureScheme::RsaPkcs1(Hash::Sha256), modulus),
        PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) => true,
        PublicKey::Ed25519(_) => false,
    };
    let id = key.id(engine).filter(|_| is_long).ok_or(EkError::Key)?;
    if roca::has_fingerprint(key) {
        return Err(EkError::Roca);
    }
    if denied.contains(&id) { Err(EkError::Denied) } else { Ok(()) }
}

/// No authority, and where keyUsage is there, it lets the key encrypt (EK Credential Profile 2.6, 3.2.13). ST and
/// Nuvoton left keyUsage out of older certificates; absent, it permits every use.
fn check_use(certificate: &Certificate, key: &PublicKey) -> Result<(), EkError> {
    if certificate.is_authority() {
        return Err(EkError::Authority);
    }
    let may_encrypt = certificate.key_usage().is_none_or(|usage| match key {
        PublicKey::Rsa { .. } => usage.key_encipherment(),
        _ => usage.key_agreement(),
    });
    if may_encrypt { Ok(()) } else { Err(EkError::KeyUsage) }
}

fn check_purpose(certificate: &Certificate, root: &Root) -> Result<(), EkError> {
    match certificate.purposes() {
        Some(purposes) if purposes.contains(&chain::EK_CERTIFICATE) => Ok(()),
        None if root.kind() == RootKind::Virtual => Ok(()),
        _ => Err(EkError::Purpose),
    }
}

fn check_names(names: Option<&TpmNames>, root: &Root) -> Result<(), EkError> {
    match names {
        Some(names) if root.vouches_for(names.maker) => Ok(()),
        None if root.kind() == RootKind::Virtual => Ok(()),
        Some(names) => Err(EkError::Maker { maker: names.maker.to_string(), root: root.name().to_string() }),
        None => Err(EkError::Nameless),
    }
}

/// A link for each certificate, and one for the root.
fn links(chain: &chain::Chain<'_>, names: Option<&TpmNames>) -> Vec<Link> {
    let root = chain.root();
    let basis = || match root.kind() {
        RootKind::Discrete | RootKind::Firmware => Basis::Silicon,
        RootKind::Virtual => Basis::Testimony(root.name().to_string()),
        RootKind::Test => Basis::Test,
    };
    let tpm = names.map_or_else(
        || "endorsement key of a virtual TPM".to_string(),
        |names| alloc::format!("endorsement key: {names}"),
    );
    let authorities =
        chain.certificates().iter().skip(1).map(|authority| alloc::format!("authority: {}", authority.subject()));
    let root_text = alloc::format!("root ({}): {}", root.kind(), root.name());
    let whats = core::iter::once(tpm).chain(authorities).chain(core::iter::once(root_text));
    whats.map(|what| Link { what, basis: basis() }).collect()
}

/// Why a key does not count as a TPM's; the node, or its maker, is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EkError {
    /// No DER value where the certificate should be.
    Framing,
    /// The certificate itself.
    Certificate(CertificateError),
    /// Its chain.
    Chain(ChainError),
    /// Its names.
    Names(NamesError),
    /// The key is too short, or of a kind that no TPM has.
    Key,
    /// The RSA key can be factored (CVE-2017-15361).
    Roca,
    /// The verifier's deny list has the key.
    Denied,
    /// The certificate is an authority's.
    Authority,
    /// The key may not be used for encryption.
    KeyUsage,
    /// The certificate is for something else than an endorsement key.
    Purpose,
    /// No maker, model and version.
    Nameless,
    /// The root may not vouch for that maker.
    Maker {
        /// The maker in the certificate.
        maker: String,
        /// The root.
        root: String,
    },
}

impl fmt::Display for EkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EkError::Framing => f.write_str("no certificate at the start of the bytes"),
            EkError::Certificate(error) => write!(f, "endorsement key: {error}"),
            EkError::Chain(error) => write!(f, "{error}"),
            EkError::Names(error) => write!(f, "{error}"),
            EkError::Key => f.write_str("the endorsement key is too short, or of a kind that no TPM has"),
            EkError::Roca => {
                f.write_str("the endorsement key has the ROCA fingerprint and can be factored (CVE-2017-15361)")
            }
            EkError::Denied => f.write_str("the endorsement key is on the deny list"),
            EkError::Authority => f.write_str("the certificate is that of an authority, not of an endorsement key"),
            EkError::KeyUsage => f.write_str("the certified key may not be used for encryption"),
            EkError::Purpose => f.write_str("the certificate is for another purpose than an endorsement key"),
            EkError::Nameless => f.write_str("the certificate does not name the TPM's maker, model and version"),
            EkError::Maker { maker, root } => write!(f, "the root '{root}' may not vouch for TPMs of {maker}"),
        }
    }
}

impl core::error::Error for EkError {}

/// Tag of SEQUENCE.
const SEQUENCE: u8 = 0x30;
