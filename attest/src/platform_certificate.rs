//! Platform certificates (TCG Platform Certificate Profile 1.1): attribute certificates by which a machine's maker says
//! in which machine a TPM was delivered.
//!
//! Read are holder, issuer, validity and the machine's names; components and properties are left out. Reading proves
//! nothing: [`PlatformCertificate::verify_signature`] does, for a key that somebody decided to believe.

use crate::{
    budget,
    certificate::{CertificateError, Name, Sha1},
    engine::{Engine, PublicKey},
    signed::Signed,
};
use alloc::{string::String, string::ToString, vec::Vec};
use core::fmt;
use der::{
    Any, Decode, Sequence,
    asn1::{BitString, GeneralizedTime, Int, ObjectIdentifier},
    referenced::OwnedToRef,
};
use x509_cert::{
    attr::AttributeTypeAndValue,
    ext::{
        Extensions,
        pkix::{SubjectAltName, name::GeneralName, name::GeneralNames},
    },
    spki::AlgorithmIdentifier,
};

/// A platform certificate, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformCertificate {
    der: Vec<u8>,
    algorithm: AlgorithmIdentifier<Any>,
    signature: BitString,
    /// Issuer of the endorsement key's certificate that the machine had when it left its maker.
    pub holder_issuer: Name,
    /// Serial number of that certificate, big endian, as encoded.
    pub holder_serial_number: Vec<u8>,
    /// Who says that they signed it.
    pub issuer: Name,
    /// Serial number, big endian, as encoded.
    pub serial_number: Vec<u8>,
    /// Seconds since 1970 from which on it is valid.
    pub not_before: u64,
    /// Seconds since 1970 after which it is no more valid.
    pub not_after: u64,
    /// Maker, model, version and serial number of the machine.
    pub platform: PlatformNames,
}

/// What the machine is called (Profile 1.1, 3.2.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformNames {
    /// platformManufacturerStr.
    pub manufacturer: String,
    /// platformModel.
    pub model: String,
    /// platformVersion.
    pub version: String,
    /// platformSerial; many makers leave it out.
    pub serial_number: Option<String>,
}

impl PlatformCertificate {
    /// Reads the DER of one attribute certificate that fills the bytes.
    pub fn from_der(der: &[u8]) -> Result<PlatformCertificate, CertificateError> {
        if der.len() > budget::CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong { found_bytes: der.len() });
        }
        let parsed = AttributeCertificate::from_der(der).map_err(|_| malformed("structure"))?;
        let info = parsed.info;
        if info.version != V2 || info.signature != parsed.signature_algorithm {
            return Err(malformed("version or signature algorithm"));
        }
        let holder = info.holder.base_certificate.ok_or(malformed("holder"))?;
        let extensions = info.extensions.unwrap_or_default();
        Ok(PlatformCertificate {
            der: der.to_vec(),
            algorithm: parsed.signature_algorithm,
            signature: parsed.signature,
            holder_issuer: directory_name(&holder.issuer).ok_or(malformed("holder"))?,
            holder_serial_number: holder.serial_number.as_bytes().to_vec(),
            issuer: info.issuer.names.as_ref().and_then(directory_name).ok_or(malformed("issuer"))?,
            serial_number: info.serial_number.as_bytes().to_vec(),
            not_before: info.validity.not_before.to_unix_duration().as_secs(),
            not_after: info.validity.not_after.to_unix_duration().as_secs(),
            platform: platform_names(&extensions)?,
        })
    }

    /// Whether the key of `issuer` signed these very bytes; never by SHA-1.
    pub fn verify_signature(&self, engine: &dyn Engine, issuer: &PublicKey) -> Result<(), CertificateError> {
        let (algorithm, signature) = (self.algorithm.owned_to_ref(), self.signature.as_bytes());
        Signed { der: &self.der, algorithm, signature }.verify(engine, issuer, Sha1::Refused)
    }
}

impl fmt::Display for PlatformNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.manufacturer, self.model, self.version)?;
        self.serial_number.as_ref().map_or(Ok(()), |serial| write!(f, ", serial number {serial}"))
    }
}

/// RFC 5755 §4.1.
#[derive(Sequence)]
struct AttributeCertificate {
    info: Info,
    signature_algorithm: AlgorithmIdentifier<Any>,
    signature: BitString,
}

#[derive(Sequence)]
struct Info {
    version: u8,
    holder: Holder,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    issuer: IssuerForm,
    signature: AlgorithmIdentifier<Any>,
    serial_number: Int,
    validity: Validity,
    attributes: Vec<Any>,
    #[asn1(optional = "true")]
    issuer_unique_id: Option<BitString>,
    #[asn1(optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct Holder {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    base_certificate: Option<IssuerSerial>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    entity_name: Option<GeneralNames>,
}

#[derive(Sequence)]
struct IssuerSerial {
    issuer: GeneralNames,
    serial_number: Int,
    #[asn1(optional = "true")]
    issuer_uid: Option<BitString>,
}

#[derive(Sequence)]
struct IssuerForm {
    #[asn1(optional = "true")]
    names: Option<GeneralNames>,
}

#[derive(Sequence)]
struct Validity {
    not_before: GeneralizedTime,
    not_after: GeneralizedTime,
}

fn directory_name(names: &GeneralNames) -> Option<Name> {
    match names.as_slice() {
        [GeneralName::DirectoryName(name)] => Some(name.clone()),
        _ => None,
    }
}

fn platform_names(extensions: &Extensions) -> Result<PlatformNames, CertificateError> {
    let fault = malformed("platform names");
    let mut alternative = extensions.iter().filter(|extension| extension.extn_id == SUBJECT_ALT_NAME);
    let (Some(extension), None) = (alternative.next(), alternative.next()) else {
        return Err(fault);
    };
    let names = SubjectAltName::from_der(extension.extn_value.as_bytes()).map_err(|_| fault)?;
    let name = directory_name(&names.0).ok_or(fault)?;
    let attributes: Vec<&AttributeTypeAndValue> = name.iter().collect();
    let [manufacturer, model, version, serial_number] =
        [MANUFACTURER, MODEL, VERSION, SERIAL].map(|oid| only(&attributes, oid));
    Ok(PlatformNames {
        manufacturer: manufacturer?.ok_or(fault)?,
        model: model?.ok_or(fault)?,
        version: version?.ok_or(fault)?,
        serial_number: serial_number?,
    })
}

fn only(attributes: &[&AttributeTypeAndValue], oid: ObjectIdentifier) -> Result<Option<String>, CertificateError> {
    let fault = malformed("platform names");
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let text = found.next().map(|attribute| core::str::from_utf8(attribute.value.value()).map_err(|_| fault));
    let text = text.transpose()?;
    let is_printable = text.is_none_or(|text| !text.chars().any(char::is_control));
    if found.next().is_none() && is_printable { Ok(text.map(ToString::to_string)) } else { Err(fault) }
}

fn malformed(what: &'static str) -> CertificateError {
    CertificateError::Malformed { what }
}

/// AttCertVersion v2 (RFC 5755 §4.1).
const V2: u8 = 1;
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17"); // RFC 5280 4.2.1.6
// Platform Certificate Profile 1.1, 3.1.4
const MANUFACTURER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.1.1");
const MODEL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.1.4");
const VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.1.5");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.1.6");
