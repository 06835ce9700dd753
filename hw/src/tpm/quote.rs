//! TPM2_Quote: the bytes that the TPM signed and the bytes of its signature, both as they stood in the response.

use super::{
    Command, ObjectHandle, PcrMask, ReturnCode, Tpm, TpmError, Transport, password,
    pcr::{digest_bytes, known_selection, selection},
};
use crate::{
    budget::{ATTEST_BYTES, SIGNATURE_BYTES},
    hash::Hash,
};
use tpm2_rs::{
    data::{Tpm2bData, TpmSt, TpmuAttest},
    frame::{TpmHeader, TpmQuoteCommand, TpmQuoteResponse},
};

/// The banks and PCRs in a signed TPMS_QUOTE_INFO: banks that are not allocated have no PCR.
pub type SignedSelection = heapless::Vec<(Hash, PcrMask), 8>;

/// One quote. Holding one proves nothing: whoever receives it checks the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// TPMS_ATTEST.
    pub attest: heapless::Vec<u8, ATTEST_BYTES>,
    /// TPMT_SIGNATURE.
    pub signature: heapless::Vec<u8, SIGNATURE_BYTES>,
    /// pcrDigest in the TPMS_ATTEST.
    pub pcr_digest: heapless::Vec<u8, 64>,
    /// pcrSelect in the TPMS_ATTEST; order and PCRs are what `pcr_digest` covers.
    pub selection: SignedSelection,
}

impl<T: Transport> Tpm<T> {
    /// TPM2_Quote with the key's own scheme over the same PCRs in each bank.
    pub fn quote(
        &mut self,
        key: &ObjectHandle,
        extra_data: &[u8],
        banks: &[Hash],
        mask: PcrMask,
    ) -> Result<Quote, TpmError> {
        let name = Command(TpmQuoteCommand::CC);
        let command = TpmQuoteCommand {
            handles: [key.0],
            qualifying_data: Tpm2bData::try_from(extra_data).map_err(|_| TpmError::TooLong { command: name })?,
            in_scheme: Default::default(),
            pcr_select: selection(banks, mask)?,
        };
        let response = self.exchange(&command, &[password()])?;
        let malformed = TpmError::Malformed { command: name };
        let read: TpmQuoteResponse = response.unmarshal().map_err(|_| malformed)?;
        let (TpmSt::AttestQuote, TpmuAttest::Quote(info)) =
            (read.quoted.inner.attest_type, &read.quoted.inner.attested)
        else {
            return Err(malformed);
        };
        let (attest, signature) = signed_parts(response.body()).ok_or(malformed)?;
        Ok(Quote {
            attest: heapless::Vec::from_slice(attest).map_err(|_| malformed)?,
            signature: heapless::Vec::from_slice(signature).map_err(|_| malformed)?,
            pcr_digest: digest_bytes(&info.pcr_digest),
            selection: known_selection(&info.pcr_select),
        })
    }

    /// A quote over PCR 0 to 23 of all four banks, allocated or not, so that the signature says which are off. A TPM that
    /// refuses a bank it has not (in the selection, parameter 3) is asked for the allocated ones.
    pub fn quote_every_bank(
        &mut self,
        key: &ObjectHandle,
        extra_data: &[u8],
        allocated: &[Hash],
    ) -> Result<Quote, TpmError> {
        match self.quote(key, extra_data, &Hash::ALL, PcrMask::ALL) {
            Err(TpmError::Refused { code, .. }) if refuses_selection(code) => {
                self.quote(key, extra_data, allocated, PcrMask::ALL)
            }
            quoted => quoted,
        }
    }
}

fn refuses_selection(code: ReturnCode) -> bool {
    matches!(code.base(), ReturnCode::HASH | ReturnCode::VALUE | ReturnCode::SIZE) && code.parameter() == Some(3)
}

/// TPMS_ATTEST and TPMT_SIGNATURE in the body of a response with sessions: parameterSize, TPM2B_ATTEST, TPMT_SIGNATURE,
/// sessions.
fn signed_parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = body.split_first_chunk::<4>()?;
    let parameters = rest.get(..usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
    let (size, rest) = parameters.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))
}
