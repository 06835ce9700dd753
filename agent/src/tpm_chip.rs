//! The TPM as the node uses it: its AK, its ledger PCR, quotes with the values that they cover, and its EKs.
//!
//! Each method is one turn at the TPM; who has it decides `tpm_queue`. No handle is persistent and none is trusted for
//! being where it is: the AK is made from its template, an EK is taken where its public key stands in its certificate.

use crate::budget::{EK_CERTIFICATE_BYTES, EK_CHAIN_BYTES, QUOTE_TRIES};
use garant_attest::engine::{Digest, Engine};
use garant_channel::engine::FastEngine;
use garant_hw::{
    hash::Hash,
    tpm::{
        NvPublic, PcrMask, Primary, Quote, Tpm, TpmError, Transport, UntrustedProperties,
        templates::{
            AkGeneration, CERTIFICATE_CHAIN_INDICES, EK_TEMPLATES, EkPolicy, EkTemplate, PublicArea, ak_template,
        },
    },
};
use std::{fmt, sync::Arc};

/// A TPM with the node's AK loaded.
pub struct Chip<T> {
    tpm: Tpm<T>,
    ak: Primary,
    allocated: Vec<Hash>,
    properties: UntrustedProperties,
    ledger_pcr: u8,
    certificates: Vec<LentCertificate>,
    last: Option<(Quote, PcrValues)>,
}

/// An EK certificate from a file, for a chip that holds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LentCertificate {
    /// NV index where the profile would have it, which names the EK's template.
    pub certificate_index: u32,
    /// DER.
    pub certificate: Vec<u8>,
}

/// PCR values for each bank of a quote's signed selection that has any: in a bank ascending by PCR, concatenated.
pub type PcrValues = Arc<Vec<Vec<u8>>>;

/// A quote and the values that hash to its pcrDigest.
#[derive(Debug, Clone)]
pub struct QuoteWithValues {
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
    /// What the quote covers.
    pub values: PcrValues,
}

/// An endorsement key that has a certificate in NV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementKey {
    /// NV index of the certificate, which names the EK.
    pub certificate_index: u32,
    /// What the index holds: DER, perhaps framed or padded.
    pub certificate: Vec<u8>,
    /// The maker's template in NV, where there is one.
    pub template: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
}

/// Everything in NV that speaks for the TPM's maker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endorsements {
    /// The EKs with a certificate, ECC before RSA.
    pub keys: Vec<EndorsementKey>,
    /// The certificates between them and a root, concatenated, as they lie in NV.
    pub chain: Vec<u8>,
}

/// A credential challenge for one EK.
#[derive(Debug, Clone)]
pub struct Credential {
    /// NV index of the EK's certificate.
    pub certificate_index: u32,
    /// TPM2B_ID_OBJECT, without its size.
    pub blob: Vec<u8>,
    /// TPM2B_ENCRYPTED_SECRET, without its size.
    pub secret: Vec<u8>,
}

/// Why the TPM's answer is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChipError {
    /// The TPM, or the way to it.
    Tpm(TpmError),
    /// PCRs changed after each of several quotes; the asker may come again.
    Moving,
    /// The caller names an EK that has no certificate here, or whose certificate is for another key.
    UnknownEk {
        /// The NV index that was named.
        certificate_index: u32,
    },
    /// Our template did not fit its buffer; a fault of ours.
    Template,
}

impl fmt::Display for ChipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChipError::Tpm(_) => f.write_str("the TPM did not do it"),
            ChipError::Moving => write!(f, "PCRs changed after each of {QUOTE_TRIES} quotes"),
            ChipError::UnknownEk { certificate_index } => {
                write!(f, "no endorsement key belongs to a certificate at NV index {certificate_index:#010x}")
            }
            ChipError::Template => f.write_str("our key template does not fit"),
        }
    }
}

impl std::error::Error for ChipError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ChipError::Tpm(source) => Some(source),
            _ => None,
        }
    }
}

impl From<TpmError> for ChipError {
    fn from(error: TpmError) -> ChipError {
        ChipError::Tpm(error)
    }
}

impl<T: Transport> Chip<T> {
    /// Takes the TPM over: flushes what a killed predecessor left, makes the AK, asks which banks are allocated.
    pub fn take(transport: T, ledger_pcr: u8) -> Result<Chip<T>, ChipError> {
        let mut tpm = Tpm::new(transport);
        tpm.flush_leftovers()?;
        let template = ak_template(AkGeneration::CURRENT).ok_or(ChipError::Template)?;
        let ak = tpm.create_primary(&template)?;
        let allocated = tpm.allocated_banks()?.known.to_vec();
        let properties = tpm.properties()?;
        Ok(Chip { tpm, ak, allocated, properties, ledger_pcr, certificates: Vec::new(), last: None })
    }

    /// Lends the chip certificates for EKs of which its NV holds none.
    pub fn lend(mut self, certificates: Vec<LentCertificate>) -> Chip<T> {
        self.certificates = certificates;
        self
    }

    /// The AK's TPMT_PUBLIC.
    pub fn ak_public(&self) -> &PublicArea {
        &self.ak.public
    }

    /// The allocated banks.
    pub fn allocated(&self) -> &[Hash] {
        &self.allocated
    }

    /// Maker and firmware, as the TPM says.
    pub fn untrusted_properties(&self) -> UntrustedProperties {
        self.properties
    }

    /// Extends the ledger PCR by H_bank(statement) in every allocated bank, in one command.
    pub fn extend_ledger(&mut self, statement: &[u8]) -> Result<(), ChipError> {
        extend_all(&mut self.tpm, self.ledger_pcr, &self.allocated, statement).map_err(ChipError::from)
    }

    /// The ledger PCR in the first allocated bank.
    pub fn ledger_value(&mut self) -> Result<(Hash, Vec<u8>), ChipError> {
        let bank = *self.allocated.first().ok_or(ChipError::Template)?;
        let mask = PcrMask::from_bits(1u32.checked_shl(u32::from(self.ledger_pcr)).unwrap_or_default());
        let read = self.tpm.pcr_read(bank, mask)?;
        Ok((bank, read.value(self.ledger_pcr).unwrap_or_default().to_vec()))
    }

    /// A quote over all banks and the values that it covers, read after it; where they have moved on, another quote.
    pub fn quote(&mut self, extra_data: &[u8; 32]) -> Result<QuoteWithValues, ChipError> {
        for _ in 0..QUOTE_TRIES {
            let quote = self.tpm.quote_every_bank(&self.ak.handle, extra_data, &self.allocated)?;
            if let Some(values) = self.values_of(&quote)? {
                return Ok(QuoteWithValues {
                    attest: quote.attest.to_vec(),
                    signature: quote.signature.to_vec(),
                    values,
                });
            }
        }
        Err(ChipError::Moving)
    }

    /// EK certificates, templates, nonces and chain from NV; a lent certificate where NV has none.
    pub fn endorsements(&mut self) -> Result<Endorsements, ChipError> {
        let mut found = Endorsements::default();
        for template in EK_TEMPLATES {
            let in_nv = self.read_nv(template.certificate_index)?;
            if let Some(certificate) = in_nv.or_else(|| self.lent(template.certificate_index)) {
                found.keys.push(EndorsementKey {
                    certificate_index: template.certificate_index,
                    certificate,
                    template: self.read_nv(template.template_index)?,
                    nonce: template.nonce_index.map_or(Ok(None), |index| self.read_nv(index))?,
                });
            }
        }
        for index in self.tpm.handles(*CERTIFICATE_CHAIN_INDICES.start())? {
            if CERTIFICATE_CHAIN_INDICES.contains(&index)
                && let Some(part) = self.read_nv(index)?
                && found.chain.len().saturating_add(part.len()) <= EK_CHAIN_BYTES
            {
                found.chain.extend(part);
            }
        }
        Ok(found)
    }

    /// Activates a credential for our own AK and gives the secret to `prove`, which must not keep it. The EK is made for
    /// this one use: an RSA key takes its time, and only an enrolment needs it.
    pub fn activate(
        &mut self,
        ek: &EndorsementKey,
        credential: &Credential,
        prove: impl FnOnce(&[u8]) -> [u8; 32],
    ) -> Result<[u8; 32], ChipError> {
        let (primary, policy) = self.make_ek(ek)?;
        let activated = self.tpm.activate_credential(
            &self.ak.handle,
            &primary.handle,
            policy,
            &credential.blob,
            &credential.secret,
        );
        self.tpm.flush(primary.handle)?;
        Ok(prove(&activated?))
    }

    /// The EK whose public key stands in the certificate, from the maker's template or the profile's.
    fn make_ek(&mut self, ek: &EndorsementKey) -> Result<(Primary, EkPolicy), ChipError> {
        let unknown = ChipError::UnknownEk { certificate_index: ek.certificate_index };
        let is_its = |template: &&EkTemplate| template.certificate_index == ek.certificate_index;
        let profile = EK_TEMPLATES.iter().find(is_its).ok_or(unknown.clone())?;
        for template in ek.templates(profile) {
            let primary = self.tpm.create_primary(&template)?;
            let policy = EkPolicy::of(&primary.public).filter(|_| ek.certifies(&primary.public));
            match policy {
                Some(policy) => return Ok((primary, policy)),
                None => self.tpm.flush(primary.handle)?,
            }
        }
        Err(unknown)
    }

    /// The values that hash to the quote's pcrDigest; `None` where a PCR changed since. PCRs that did not change since the
    /// last quote are not read again.
    fn values_of(&mut self, quote: &Quote) -> Result<Option<PcrValues>, ChipError> {
        if let Some((last, values)) = &self.last
            && last.pcr_digest == quote.pcr_digest
            && last.selection == quote.selection
        {
            return Ok(Some(values.clone()));
        }
        let mut banks = Vec::new();
        for (hash, mask) in quote.selection.iter().filter(|(_, mask)| mask.iter().next().is_some()) {
            let bank = self.tpm.pcr_read(*hash, *mask)?;
            banks.push(mask.iter().filter_map(|pcr| bank.value(pcr)).flatten().copied().collect::<Vec<u8>>());
        }
        let parts: Vec<&[u8]> = banks.iter().map(Vec::as_slice).collect();
        // The AK's scheme is SHA-256, and so is pcrDigest (Part 3, 18.4).
        if FastEngine.digest(Hash::Sha256, &parts).as_bytes() != &*quote.pcr_digest {
            return Ok(None);
        }
        let values = Arc::new(banks);
        self.last = Some((quote.clone(), values.clone()));
        Ok(Some(values))
    }

    fn lent(&self, certificate_index: u32) -> Option<Vec<u8>> {
        let lent = self.certificates.iter().find(|lent| lent.certificate_index == certificate_index)?;
        Some(lent.certificate.clone())
    }

    fn read_nv(&mut self, index: u32) -> Result<Option<Vec<u8>>, ChipError> {
        let readable = |public: &NvPublic| usize::from(public.size_bytes) <= EK_CERTIFICATE_BYTES;
        let Some(public) = self.tpm.nv_read_public(index)?.filter(readable) else { return Ok(None) };
        let mut buffer = vec![0; EK_CERTIFICATE_BYTES];
        match self.tpm.nv_read(&public, self.properties.nv_buffer_bytes, &mut buffer) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            // An index that is not written or not ours to read is as good as none.
            Err(TpmError::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl EndorsementKey {
    /// The templates it may be made from, the maker's first.
    fn templates(&self, profile: &EkTemplate) -> Vec<PublicArea> {
        let nonce = self.nonce.as_deref();
        let makers = self.template.as_deref().and_then(PublicArea::from_bytes);
        let with_nonce = nonce.and_then(|nonce| profile.public_area_with_nonce(nonce));
        [makers, with_nonce, profile.public_area()].into_iter().flatten().collect()
    }

    /// Whether the key of that public area stands in the certificate, byte for byte. This picks a template; whether the
    /// certificate is good is for verifiers.
    fn certifies(&self, public: &PublicArea) -> bool {
        let Some(key) = public.key_bytes().filter(|key| !key.is_empty()) else { return false };
        self.certificate.windows(key.len()).any(|part| part == &*key)
    }
}

/// TPM2_PCR_Extend by H_bank(statement) in each of the banks.
pub(crate) fn extend_all<T: Transport>(
    tpm: &mut Tpm<T>,
    pcr: u8,
    banks: &[Hash],
    statement: &[u8],
) -> Result<(), TpmError> {
    let digests: Vec<Digest> = banks.iter().map(|bank| FastEngine.digest(*bank, &[statement])).collect();
    let digests: Vec<(Hash, &[u8])> = digests.iter().map(|digest| (digest.hash(), digest.as_bytes())).collect();
    tpm.pcr_extend(pcr, &digests)
}
