//! Reading NV indices: EK certificates, their templates and chains.

use super::{Command, ReturnCode, Tpm, TpmError, Transport, password};
use tpm2_rs::{
    basic::{TpmHandle, TpmUint16},
    data::{TpmRh, TpmaNv},
    frame::{TpmHeader, TpmNvReadCommand, TpmNvReadPublicCommand, TpmNvReadPublicResponse, TpmNvReadResponse},
};

/// An NV index that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NvPublic {
    /// Its handle.
    pub index: u32,
    /// Bytes it holds.
    pub size_bytes: u16,
    attributes: TpmaNv,
}

impl<T: Transport> Tpm<T> {
    /// TPM2_NV_ReadPublic; `None` where there is no such index.
    pub fn nv_read_public(&mut self, index: u32) -> Result<Option<NvPublic>, TpmError> {
        let command = TpmNvReadPublicCommand { handles: [TpmHandle::new(index)] };
        match self.call::<_, TpmNvReadPublicResponse>(&command, &[]) {
            Ok(read) => {
                let public = read.nv_public.inner;
                Ok(Some(NvPublic { index, size_bytes: public.data_size.value(), attributes: public.attributes }))
            }
            Err(error) if error.is_refused_with(ReturnCode::HANDLE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// TPM2_NV_Read of the whole index into the start of `out`, in chunks that this TPM answers.
    pub fn nv_read<'b>(
        &mut self,
        public: &NvPublic,
        chunk_bytes: u16,
        out: &'b mut [u8],
    ) -> Result<&'b [u8], TpmError> {
        let command = Command(TpmNvReadCommand::CC);
        let too_long = TpmError::TooLong { command };
        let whole = out.get_mut(..usize::from(public.size_bytes)).ok_or(too_long)?;
        let chunk_bytes = usize::from(chunk_bytes).clamp(1, LARGEST_CHUNK_BYTES);
        let mut offset = 0u16;
        for chunk in whole.chunks_mut(chunk_bytes) {
            let size = u16::try_from(chunk.len()).map_err(|_| too_long)?;
            let read = self.nv_read_chunk(public, size, offset)?;
            if read.data.len() != chunk.len() {
                return Err(TpmError::Malformed { command });
            }
            chunk.copy_from_slice(&read.data);
            offset = offset.saturating_add(size);
        }
        Ok(whole)
    }

    fn nv_read_chunk(&mut self, public: &NvPublic, size: u16, offset: u16) -> Result<TpmNvReadResponse, TpmError> {
        let index = TpmHandle::new(public.index);
        let owner = TpmHandle::new(TpmRh::Owner.value());
        let by_owner = public.attributes.contains(TpmaNv::OWNERREAD) && !public.attributes.contains(TpmaNv::AUTHREAD);
        let command = TpmNvReadCommand {
            handles: [if by_owner { owner } else { index }, index],
            size: TpmUint16::new(size),
            offset: TpmUint16::new(offset),
        };
        self.call(&command, &[password()])
    }
}

/// MAX_NV_BUFFER_SIZE of the codec; chips answer 512 to 2,048.
const LARGEST_CHUNK_BYTES: usize = 1024;
