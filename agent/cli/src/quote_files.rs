//! The files in which people keep a quote: attest, signature, PCR values and attestation key, in the forms of tpm2-tools,
//! of this project's vectors, of Azure's confidential VMs (bincode) and of Confidential Containers (JSON).

use crate::{failure::Failure, input};
use garant_attest::{
    budget,
    engine::{Engine, PublicKey, SignatureScheme},
    pem,
    public_area::{self, AttestationKey, PublicAreaError},
    quote::Selection,
};
use garant_channel::engine::FastEngine;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A quote as it was kept; nothing of it is checked.
pub(crate) struct QuoteFiles {
    /// TPMS_ATTEST.
    pub(crate) attest: Vec<u8>,
    /// Its signature.
    pub(crate) signature: KeptSignature,
    /// The PCR values beside it.
    pub(crate) values: KeptValues,
    /// The key that the file itself names.
    pub(crate) key: Option<KeptKey>,
}

/// A signature, whose scheme only TPMT_SIGNATURE names.
pub(crate) enum KeptSignature {
    /// TPMT_SIGNATURE.
    Whole(Vec<u8>),
    /// The bytes of an RSASSA signature with SHA-256, as Azure keeps them.
    RsaPkcs1Sha256(Vec<u8>),
}

/// PCR values, which only the signed selection labels.
pub(crate) enum KeptValues {
    /// By bank and PCR.
    ByPcr(BTreeMap<String, BTreeMap<usize, Vec<u8>>>),
    /// In the order of the selection, or from PCR 0 on.
    InOrder(Vec<Vec<u8>>),
}

/// An attestation key.
pub(crate) enum KeptKey {
    /// With its public area, so that attributes and Name can be checked.
    Area(Box<AttestationKey>),
    /// The key alone.
    Bare(PublicKey),
}

/// Reads the quote and what belongs to it; files that are not named are looked for beside the quote.
pub(crate) fn read(quote: &Path, signature: Option<&PathBuf>, pcrs: Option<&PathBuf>) -> Result<QuoteFiles, Failure> {
    let bytes = input::read(quote, budget::POLICY_BYTES)?;
    if let Some(kept) = confidential_containers(&bytes).or_else(|| azure(&bytes)) {
        return Ok(kept);
    }
    let beside = |given: Option<&PathBuf>, name: &str| given.cloned().unwrap_or_else(|| quote.with_file_name(name));
    let signature = input::read(&beside(signature, "sig.bin"), budget::SIGNATURE_BYTES)?;
    let pcrs = beside(pcrs, "pcrs.json");
    let values = values(&input::read(&pcrs, budget::POLICY_BYTES)?).map_err(|what| {
        Failure::new(what, pcrs.display(), r#"write {"sha256": {"0": "hex"}}, or a list of hex values"#)
    })?;
    let attest = without_size(&bytes).unwrap_or(&bytes).to_vec();
    Ok(QuoteFiles { attest, signature: KeptSignature::Whole(signature), values, key: None })
}

impl KeptValues {
    /// The values of each selected bank, concatenated, in the order of the signed selection.
    pub(crate) fn of(&self, selection: &Selection) -> Result<Vec<Vec<u8>>, String> {
        let mut in_order = match self {
            KeptValues::InOrder(values) => values.iter(),
            KeptValues::ByPcr(_) => [].iter(),
        };
        let selected: usize = selection.banks().iter().map(|bank| pcrs(bank.mask).count()).sum();
        let mut banks = Vec::new();
        for bank in selection.banks() {
            let mut concatenated = Vec::new();
            for pcr in pcrs(bank.mask) {
                let value = match self {
                    KeptValues::ByPcr(values) => values.get(bank.hash.name()).and_then(|bank| bank.get(&pcr)),
                    KeptValues::InOrder(values) if values.len() == selected => in_order.next(),
                    KeptValues::InOrder(values) => values.get(pcr),
                };
                let missing = || format!("no value of PCR {pcr} of bank {}, which the quote selects", bank.hash.name());
                concatenated.extend_from_slice(value.ok_or_else(missing)?);
            }
            banks.push(concatenated);
        }
        Ok(banks)
    }
}

impl KeptSignature {
    /// The scheme, which is the key's own where its public area says one, and the fixed-width signature.
    pub(crate) fn for_key(&self, key: &KeptKey) -> Result<(SignatureScheme, Vec<u8>), PublicAreaError> {
        match (self, key) {
            (KeptSignature::Whole(bytes), KeptKey::Area(area)) => Ok((area.scheme(), area.signature(bytes)?)),
            (KeptSignature::Whole(bytes), KeptKey::Bare(key)) => public_area::signature(bytes, key),
            (KeptSignature::RsaPkcs1Sha256(bytes), _) => {
                Ok((SignatureScheme::RsaPkcs1(garant_hw::hash::Hash::Sha256), bytes.clone()))
            }
        }
    }
}

impl KeptKey {
    /// Reads a key: PEM or DER of SubjectPublicKeyInfo, TPMT_PUBLIC or TPM2B_PUBLIC. An area of a key that may not
    /// attest is an error of its own.
    pub(crate) fn parse(bytes: &[u8]) -> Result<KeptKey, PublicAreaError> {
        let area = |engine: &dyn Engine| match AttestationKey::from_public_area(engine, bytes) {
            Err(PublicAreaError::Shape) => AttestationKey::from_sized_public_area(engine, bytes),
            read => read,
        };
        match bare(bytes) {
            Some(key) => Ok(KeptKey::Bare(key)),
            None => Ok(KeptKey::Area(Box::new(area(&FastEngine)?))),
        }
    }

    /// The key.
    pub(crate) fn public_key(&self) -> &PublicKey {
        match self {
            KeptKey::Area(area) => area.public_key(),
            KeptKey::Bare(key) => key,
        }
    }

    /// The public area, where it is known.
    pub(crate) fn area(&self) -> Option<&AttestationKey> {
        match self {
            KeptKey::Area(area) => Some(area),
            KeptKey::Bare(_) => None,
        }
    }
}

/// A key in PEM or DER.
pub(crate) fn bare(bytes: &[u8]) -> Option<PublicKey> {
    let text = std::str::from_utf8(bytes).ok();
    let blocks = text.and_then(|text| pem::blocks(text, "PUBLIC KEY").ok());
    match blocks.as_deref().and_then(<[_]>::first) {
        Some(der) => PublicKey::from_spki_der(der),
        None => PublicKey::from_spki_der(bytes),
    }
}

/// PCR numbers of a mask, ascending.
fn pcrs(mask: u32) -> impl Iterator<Item = usize> {
    (0..24u32).filter(move |pcr| mask & (1 << pcr) != 0).filter_map(|pcr| usize::try_from(pcr).ok())
}

/// TPM2B_ATTEST's content.
fn without_size(bytes: &[u8]) -> Option<&[u8]> {
    let (size, rest) = bytes.split_first_chunk()?;
    (usize::from(u16::from_be_bytes(*size)) == rest.len()).then_some(rest)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ValuesText {
    ByPcr(BTreeMap<String, BTreeMap<String, String>>),
    InOrder(Vec<String>),
}

fn values(bytes: &[u8]) -> Result<KeptValues, String> {
    let text = serde_json::from_slice(bytes).map_err(|fault| format!("holds no PCR values: {fault}"))?;
    let value = |text: &String| bytes_of_hex(text).ok_or_else(|| format!("{text:?} is not hexadecimal"));
    match text {
        ValuesText::InOrder(list) => Ok(KeptValues::InOrder(list.iter().map(value).collect::<Result<_, _>>()?)),
        ValuesText::ByPcr(banks) => {
            let pcr = |(number, text): (&String, &String)| {
                let parsed = number.parse().map_err(|_| format!("{number:?} is not the number of a PCR"))?;
                Ok((parsed, value(text)?))
            };
            let bank = |(name, pcrs): (&String, &BTreeMap<String, String>)| {
                Ok((name.clone(), pcrs.iter().map(pcr).collect::<Result<_, String>>()?))
            };
            Ok(KeptValues::ByPcr(banks.iter().map(bank).collect::<Result<_, String>>()?))
        }
    }
}

/// The bytes of hexadecimal digits.
pub(crate) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = rest.is_empty() && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hex { pairs.iter().map(byte).collect() } else { None }
}

/// Evidence of Confidential Containers' TPM attester (trustee, deps/verifier/src/tpm).
#[derive(Deserialize)]
struct TpmEvidence {
    ak_public: String,
    tpm_quote: TpmQuote,
}

#[derive(Deserialize)]
struct TpmQuote {
    message: String,
    signature: String,
    pcrs: Vec<String>,
}

fn confidential_containers(bytes: &[u8]) -> Option<QuoteFiles> {
    let evidence: TpmEvidence = serde_json::from_slice(bytes).ok()?;
    let values: Option<Vec<Vec<u8>>> = evidence.tpm_quote.pcrs.iter().map(|text| bytes_of_hex(text)).collect();
    let key = PublicKey::from_spki_der(&bytes_of_base64(&evidence.ak_public)?)?;
    Some(QuoteFiles {
        attest: bytes_of_base64(&evidence.tpm_quote.message)?,
        signature: KeptSignature::Whole(bytes_of_base64(&evidence.tpm_quote.signature)?),
        values: KeptValues::InOrder(values?),
        key: Some(KeptKey::Bare(key)),
    })
}

/// Base64, read as the body of a PEM block.
fn bytes_of_base64(text: &str) -> Option<Vec<u8>> {
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let block = format!("-----BEGIN DATA-----\n{}\n-----END DATA-----\n", lines.join("\n"));
    pem::blocks(&block, "DATA").ok()?.into_iter().next()
}

/// A quote of Azure's vTPM as az-cvm-vtpm stores it: signature, attest and SHA-256 values, each with a length of 64 bits.
fn azure(bytes: &[u8]) -> Option<QuoteFiles> {
    let (signature, rest) = sized(bytes)?;
    let (attest, rest) = sized(rest)?;
    let (count, rest) = length(rest)?;
    let (values, tail) = rest.as_chunks::<32>();
    if !tail.is_empty() || values.len() != count || !attest.starts_with(TPM_GENERATED) {
        return None;
    }
    Some(QuoteFiles {
        attest: attest.to_vec(),
        signature: KeptSignature::RsaPkcs1Sha256(signature.to_vec()),
        values: KeptValues::InOrder(values.iter().map(|value| value.to_vec()).collect()),
        key: None,
    })
}

fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = length(bytes)?;
    rest.split_at_checked(size)
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u64::from_le_bytes(*size)).ok()?, rest))
}

/// TPM_GENERATED_VALUE (TPM 2.0 Part 2, 6.2).
const TPM_GENERATED: &[u8] = &[0xff, b'T', b'C', b'G'];
