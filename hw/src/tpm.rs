//! A TPM 2.0, asked over any [`Transport`]: the commands that garant needs and no others.
//!
//! The codec (tpm2-rs) is used in this folder only; no type of it is in the interface. Left out: sessions that encrypt or
//! authenticate the bus (who holds a probe at the chip is in the residual list), and all commands that write NV.

mod ek_policy;
mod error;
mod keys;
mod nv;
mod pcr;
mod quote;
pub mod templates;

pub use error::{Command, ReturnCode, TpmError, TransportError};
pub use keys::{CredentialSecret, ObjectHandle, Primary};
pub use nv::NvPublic;
pub use pcr::{Banks, PcrBank, PcrMask};
pub use quote::{Quote, SignedSelection};

use crate::budget::{FRAME_BYTES, RESENDS};
use tpm2_rs::{
    TpmWriter,
    basic::{TpmHandle, TpmUint32},
    data::{TpmCap, TpmPt, TpmRh, TpmSt, TpmSu, TpmaSession, TpmiYesNo, TpmsAuthCommand, TpmuCapabilities},
    frame::{
        TpmFrame, TpmGetCapabilityCommand, TpmGetCapabilityResponse, TpmHeader, TpmResponse, TpmSelfTestCommand,
        TpmSelfTestResponse, TpmStartupCommand, TpmStartupResponse, TpmUnmarshalBody, tpm_marshal_command,
    },
};

/// One command goes in, its response comes out. The device, the socket and the fake in tests are transports.
pub trait Transport {
    /// Sends one whole command and waits for its response; returns how many bytes of `response` it fills.
    fn exchange(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError>;

    /// Waits before resend number `attempt` (from 1) of a command for which the TPM had no time. A transport without a
    /// clock does not wait.
    fn pause(&mut self, attempt: u32) {
        let _ = attempt;
    }
}

/// A TPM and the buffer for its answers. Holding one proves nothing about the TPM.
pub struct Tpm<T> {
    transport: T,
    response: [u8; FRAME_BYTES],
}

/// What the TPM says of itself. Unsigned: the maker that counts is the one in the EK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntrustedProperties {
    /// TPM_PT_MANUFACTURER, four ASCII letters.
    pub manufacturer: [u8; 4],
    /// TPM_PT_VENDOR_STRING_1 to 4, padded by zero.
    pub vendor: [u8; 16],
    /// TPM_PT_FIRMWARE_VERSION_1 ‖ _2.
    pub firmware_version: u64,
    /// TPM_PT_STARTUP_CLEAR: TPMA_STARTUP_CLEAR (Part 2, 8.7); bit 31 says whether the last shutdown was orderly.
    pub startup_clear: u32,
    /// TPM_PT_NV_BUFFER_MAX: bytes that one NV_Read returns at most.
    pub nv_buffer_bytes: u16,
}

/// Whether the TPM had been started before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// By this command.
    Now,
    /// By firmware, which is the rule on a machine.
    Before,
}

impl<T: Transport> Tpm<T> {
    /// A client over the transport; nothing is sent yet.
    pub fn new(transport: T) -> Tpm<T> {
        Tpm { transport, response: [0; FRAME_BYTES] }
    }

    /// The transport back.
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// TPM2_Startup(CLEAR).
    pub fn startup(&mut self) -> Result<Started, TpmError> {
        let command = TpmStartupCommand { handles: [], startup_type: TpmSu::Clear };
        match self.call::<_, TpmStartupResponse>(&command, &[]) {
            Ok(_) => Ok(Started::Now),
            Err(error) if error.is_refused_with(ReturnCode::INITIALIZE) => Ok(Started::Before),
            Err(error) => Err(error),
        }
    }

    /// TPM2_SelfTest of what has not been tested yet.
    pub fn self_test(&mut self) -> Result<(), TpmError> {
        let command = TpmSelfTestCommand { handles: [], full_test: TpmiYesNo::from(false) };
        self.call::<_, TpmSelfTestResponse>(&command, &[]).map(|_| ())
    }

    /// Maker, vendor text, firmware version, start flags and NV buffer size.
    pub fn properties(&mut self) -> Result<UntrustedProperties, TpmError> {
        let mut vendor = [0; 16];
        let strings = [TpmPt::VendorString1, TpmPt::VendorString2, TpmPt::VendorString3, TpmPt::VendorString4];
        for (part, property) in vendor.as_chunks_mut::<4>().0.iter_mut().zip(strings) {
            *part = self.property(property)?.to_be_bytes();
        }
        let high = u64::from(self.property(TpmPt::FirmwareVersion1)?);
        let low = u64::from(self.property(TpmPt::FirmwareVersion2)?);
        Ok(UntrustedProperties {
            manufacturer: self.property(TpmPt::Manufacturer)?.to_be_bytes(),
            vendor,
            firmware_version: high << 32 | low,
            startup_clear: self.property(TpmPt::StartupClear)?,
            nv_buffer_bytes: u16::try_from(self.property(TpmPt::NvBufferMax)?).unwrap_or(u16::MAX),
        })
    }

    /// Handles in use from `first` on, as many as one answer holds: objects from 0x80000000, NV indices from 0x01000000,
    /// sessions from 0x02000000 (Part 2, 7.2).
    pub fn handles(&mut self, first: u32) -> Result<heapless::Vec<u32, 128>, TpmError> {
        let answer = self.capability(TpmCap::Handles, first, 128)?;
        let TpmuCapabilities::Handles(list) = answer else {
            return Err(wrong_capability());
        };
        Ok(list.iter().map(|handle| handle.value()).collect())
    }

    fn property(&mut self, property: TpmPt) -> Result<u32, TpmError> {
        let answer = self.capability(TpmCap::TpmProperties, property.value(), 1)?;
        let TpmuCapabilities::TpmProperties(list) = answer else {
            return Err(wrong_capability());
        };
        // A TPM without the property answers with the next one it has.
        Ok(list.iter().find(|entry| entry.property == property).map_or(0, |entry| entry.value.value()))
    }

    fn capability(&mut self, capability: TpmCap, property: u32, count: u32) -> Result<TpmuCapabilities, TpmError> {
        let command = TpmGetCapabilityCommand {
            handles: [],
            cap: capability,
            property: TpmUint32::new(property),
            property_count: TpmUint32::new(count),
        };
        let answer: TpmGetCapabilityResponse = self.call(&command, &[])?;
        Ok(answer.capability_data.data)
    }

    /// Sends a command and reads its response into the codec's type.
    fn call<C: TpmFrame + TpmHeader, R: TpmUnmarshalBody>(
        &mut self,
        command: &C,
        sessions: &[TpmsAuthCommand],
    ) -> Result<R, TpmError> {
        let response = self.exchange(command, sessions)?;
        response.unmarshal().map_err(|_| TpmError::Malformed { command: Command(C::CC) })
    }

    fn exchange<C: TpmFrame + TpmHeader>(
        &mut self,
        command: &C,
        sessions: &[TpmsAuthCommand],
    ) -> Result<&TpmResponse, TpmError> {
        let name = Command(C::CC);
        let tag = if sessions.is_empty() { TpmSt::NoSessions } else { TpmSt::Sessions };
        let mut frame = [0; FRAME_BYTES];
        let mut writer = TpmWriter::new(&mut frame);
        tpm_marshal_command(command, tag, sessions, &mut writer).map_err(|_| TpmError::TooLong { command: name })?;
        let length = self.send(name, tag, writer.as_bytes())?;
        let malformed = TpmError::Malformed { command: name };
        let frame = self.response.get(..length).ok_or(malformed)?;
        TpmResponse::cast(frame).map_err(|_| malformed)
    }

    /// Sends the frame, again where the TPM asks for it, and returns the length of the good response.
    fn send(&mut self, command: Command, tag: TpmSt, frame: &[u8]) -> Result<usize, TpmError> {
        for attempt in 0..=RESENDS {
            if attempt > 0 {
                self.transport.pause(attempt);
            }
            let exchanged = self.transport.exchange(frame, &mut self.response);
            let length = exchanged.map_err(|source| TpmError::Transport { command, source })?;
            let response = self.response.get(..length).unwrap_or_default();
            let code = return_code(response, tag).ok_or(TpmError::Malformed { command })?;
            if code == ReturnCode::SUCCESS {
                return Ok(length);
            }
            if !code.asks_to_resend() {
                return Err(TpmError::Refused { command, code });
            }
        }
        Err(TpmError::Busy { command })
    }
}

/// The return code of a response whose size field is its length and whose tag is the one expected (Part 1, 18.2: a refusal
/// has no sessions and nothing but a header). `None`: this is no response to that command.
fn return_code(response: &[u8], expected: TpmSt) -> Option<ReturnCode> {
    let (header, body) = response.split_first_chunk::<10>()?;
    let [tag_high, tag_low, size @ .., c3, c2, c1, c0] = *header;
    let tag = u16::from_be_bytes([tag_high, tag_low]);
    let code = ReturnCode(u32::from_be_bytes([c3, c2, c1, c0]));
    if usize::try_from(u32::from_be_bytes(size)) != Ok(response.len()) {
        return None;
    }
    let well_formed = match code {
        ReturnCode::SUCCESS => tag == expected.value(),
        // TPM_RC_BAD_TAG comes with the tag of TPM 1.2 (Part 3, 5.2).
        ReturnCode::BAD_TAG => body.is_empty(),
        _ => tag == TpmSt::NoSessions.value() && body.is_empty(),
    };
    well_formed.then_some(code)
}

fn wrong_capability() -> TpmError {
    TpmError::Malformed { command: Command(TpmGetCapabilityCommand::CC) }
}

/// Empty password, which the endorsement hierarchy, our keys and readable NV indices have.
fn password() -> TpmsAuthCommand {
    session(TpmHandle::new(RS_PW))
}

fn session(handle: TpmHandle) -> TpmsAuthCommand {
    TpmsAuthCommand {
        session_handle: handle,
        session_attributes: TpmaSession::CONTINUE_SESSION,
        ..TpmsAuthCommand::default()
    }
}

fn endorsement() -> TpmHandle {
    TpmHandle::new(TpmRh::Endorsement.value())
}

/// TPM_RS_PW (Part 2, table 28).
const RS_PW: u32 = 0x4000_0009;

#[cfg(test)]
mod tests;
