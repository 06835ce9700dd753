//! A world of certificates: one root, one authority and one endorsement key, all as they should be until a test changes
//! one thing.

use garant_attest::{
    certificate::Certificate,
    roots::{Root, RootKind, Roots},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// What the three certificates say, and who signs.
pub struct World {
    /// The root, which signs itself and the authority.
    pub root: CertificateParams,
    /// The authority, which signs the endorsement key.
    pub authority: CertificateParams,
    /// The endorsement key, of Nuvoton.
    pub ek: CertificateParams,
    /// Of which kind the root is.
    pub kind: RootKind,
    /// For whom the root may vouch.
    pub makers: Vec<&'static str>,
    /// Of root, authority and endorsement key.
    pub keys: [KeyPair; 3],
}

impl World {
    /// A world without a fault.
    pub fn sound() -> World {
        let mut ek = params("");
        ek.distinguished_name = DistinguishedName::new();
        ek.is_ca = IsCa::ExplicitNoCa;
        ek.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        ek.extended_key_usages = vec![purpose(&[2, 23, 133, 8, 1])];
        ek.custom_extensions = vec![alternative_name(&tcg_names("id:4E544300", "NPCT75x", "id:00070002"))];
        World {
            root: authority("root", BasicConstraints::Constrained(1)),
            authority: authority("authority", BasicConstraints::Constrained(0)),
            ek,
            kind: RootKind::Discrete,
            makers: vec!["NTC"],
            keys: [(); 3].map(|()| KeyPair::generate().unwrap()),
        }
    }

    /// The root, to sign with.
    pub fn root(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.root, &self.keys[0])
    }

    /// The authority, to sign with.
    pub fn authority(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.authority, &self.keys[1])
    }

    /// The root's certificate.
    pub fn root_certificate(&self) -> Certificate {
        read(self.root.self_signed(&self.keys[0]).unwrap().der())
    }

    /// The authority's certificate.
    pub fn authority_certificate(&self) -> Certificate {
        read(self.authority.signed_by(&self.keys[1], &self.root()).unwrap().der())
    }

    /// The endorsement key's certificate, DER.
    pub fn ek_der(&self) -> Vec<u8> {
        self.ek.signed_by(&self.keys[2], &self.authority()).unwrap().der().to_vec()
    }

    /// The root, as a list.
    pub fn roots(&self) -> Roots {
        let makers = self.makers.iter().map(|maker| maker.parse().unwrap()).collect();
        Roots::none().with(Root::new("the root".into(), self.kind, makers, self.root_certificate()))
    }
}

/// A revocation list of 2025, DER: it names this serial number, and ends with this year.
pub fn revocation_list(issuer: &CertificateParams, serial: u64, until_year: i32, signer: &KeyPair) -> Vec<u8> {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2025, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 1),
        next_update: date_time_ymd(until_year, 12, 31),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&Issuer::from_params(issuer, signer)).unwrap().der().to_vec()
}

/// A certificate of this name, from 2020 to 2040.
pub fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

/// An authority of this name.
pub fn authority(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Reads a certificate.
pub fn read(der: &[u8]) -> Certificate {
    Certificate::from_der(der).unwrap()
}

/// An extKeyUsage.
pub fn purpose(oid: &[u64]) -> ExtendedKeyUsagePurpose {
    ExtendedKeyUsagePurpose::Other(oid.to_vec())
}

/// DER: a tag, a length, a body.
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = body.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let length =
        if body.len() < 128 { vec![body.len() as u8] } else { [&[0x80 | length.len() as u8], length].concat() };
    [&[tag][..], &length, &body].concat()
}

/// A directory name of TCG attributes 2.23.133.2.n, one RDN each.
pub fn tcg_names(maker: &str, model: &str, version: &str) -> Vec<u8> {
    let attributes = [(1, maker), (2, model), (3, version)].map(|(last, text)| tlv(0x31, &[&attribute(last, text)]));
    tlv(0x30, &attributes.each_ref().map(|set| set.as_slice()))
}

/// One TCG attribute.
pub fn attribute(last: u8, text: &str) -> Vec<u8> {
    tlv(0x30, &[&[0x06, 0x05, 0x67, 0x81, 0x05, 0x02, last], &tlv(0x0c, &[text.as_bytes()])])
}

/// subjectAltName, critical, of this directory name.
pub fn alternative_name(directory_name: &[u8]) -> CustomExtension {
    let mut san = CustomExtension::from_oid_content(&[2, 5, 29, 17], tlv(0x30, &[&tlv(0xa4, &[directory_name])]));
    san.set_criticality(true);
    san
}
