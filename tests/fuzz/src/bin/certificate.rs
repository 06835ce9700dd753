//! Certificates and revocation lists, as they lie in a TPM or in a file: the first certificate is an endorsement key's,
//! each of the others an authority's and a root.
#![no_main]

use garant_attest::{
    certificate::Certificate,
    chain,
    crl::Crl,
    ek,
    engine::PublicKey,
    pem,
    roots::{Root, RootKind, Roots},
    tcg_names::{self, Maker},
};
use garant_fuzz::{AnySignature, KEY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        assert_eq!(certificate.der(), bytes);
        show(&certificate);
    }
    if let Ok(list) = Crl::from_der(bytes) {
        let _ = list.check(&AnySignature, &KEY, &[1], NOW);
    }
    let _ = core::str::from_utf8(bytes).map(|text| pem::blocks(text, "CERTIFICATE"));
    let _ = PublicKey::from_spki_der(bytes).map(|key| assert_eq!(key.spki().as_deref(), Some(bytes)));
    validate(bytes);
});

fn show(certificate: &Certificate) {
    let _ = (certificate.describe(), tcg_names::read(certificate), tcg_names::hardware_module(certificate));
    let _ = (certificate.public_key(), certificate.signature_scheme(), certificate.path_length());
    let _ = (certificate.purposes(), certificate.alternative_names(), certificate.refused_extension());
}

fn validate(in_nv: &[u8]) {
    let certificates = ek::certificates_in_nv(in_nv);
    let authorities: Vec<Certificate> =
        certificates.iter().skip(1).filter_map(|der| Certificate::from_der(der).ok()).collect();
    let makers = ["NTC", "STM", "IFX", "INTC", "SWTP"].iter().filter_map(|maker| maker.parse().ok());
    let makers: Vec<Maker> = makers.collect();
    let root =
        |authority: &Certificate| Root::new(String::from("any"), RootKind::Discrete, makers.clone(), authority.clone());
    let roots = authorities.iter().map(root).fold(Roots::none(), Roots::with);
    let rules = ek::Rules { chain: chain::Rules { at: NOW, allow_sha1: &[], revocations: &[] }, denied: &[] };
    if let Ok(ek) = ek::validate(&AnySignature, in_nv, &authorities, &roots, rules) {
        assert!(ek.expires() >= NOW);
    }
}

/// 2026-11-14, seconds since 1970.
const NOW: u64 = 1_794_614_400;
