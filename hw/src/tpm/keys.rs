//! Primary keys of the endorsement hierarchy, and TPM2_ActivateCredential with an EK.

use super::{
    Command, Tpm, TpmError, Transport,
    ek_policy::{EkPolicy, policy_a, policy_c},
    endorsement, password, session,
    templates::PublicArea,
};
use tpm2_rs::{
    TpmMarshal, TpmUnmarshal, TpmWriter,
    basic::{TpmHandle, TpmInt32},
    data::{
        Tpm2bDigest, Tpm2bEncryptedSecret, Tpm2bIdObject, Tpm2bNonce, Tpm2bPublic, TpmAlgId, TpmRh, TpmSe, TpmlDigest,
        TpmtPublic, TpmtSymDefObject,
    },
    frame::{
        TpmActivateCredentialCommand, TpmActivateCredentialResponse, TpmCreatePrimaryCommand, TpmCreatePrimaryResponse,
        TpmFlushContextCommand, TpmFlushContextResponse, TpmHeader, TpmPolicyOrCommand, TpmPolicyOrResponse,
        TpmPolicySecretCommand, TpmPolicySecretResponse, TpmReadPublicCommand, TpmReadPublicResponse,
        TpmStartAuthSessionCommand, TpmStartAuthSessionResponse,
    },
};

/// A loaded object. Not Copy: flushing consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct ObjectHandle(pub(super) TpmHandle);

/// A primary key of the endorsement hierarchy, loaded.
#[derive(Debug)]
pub struct Primary {
    /// Where it is loaded; to be flushed.
    pub handle: ObjectHandle,
    /// TPMT_PUBLIC as the TPM answered.
    pub public: PublicArea,
    /// Its Name as the TPM answered: nameAlg ‖ digest. Who does not trust this TPM computes it from `public`.
    pub name: heapless::Vec<u8, 66>,
}

/// The secret of a credential (TPM2B_DIGEST, at most 64 bytes).
pub type CredentialSecret = heapless::Vec<u8, 64>;

impl<T: Transport> Tpm<T> {
    /// TPM2_CreatePrimary in the endorsement hierarchy, with empty authorisation, from the bytes of a TPMT_PUBLIC.
    pub fn create_primary(&mut self, template: &[u8]) -> Result<Primary, TpmError> {
        let too_long = TpmError::TooLong { command: Command(TpmCreatePrimaryCommand::CC) };
        let Ok((inner, [])) = TpmtPublic::unmarshal(template) else {
            return Err(too_long);
        };
        let command = TpmCreatePrimaryCommand {
            handles: [endorsement()],
            in_sensitive: Default::default(),
            in_public: Tpm2bPublic { inner },
            outside_info: Default::default(),
            creation_pcr: Default::default(),
        };
        let made: TpmCreatePrimaryResponse = self.call(&command, &[password()])?;
        let [handle] = made.handles;
        Ok(Primary {
            handle: ObjectHandle(handle),
            public: public_area(&made.out_public.inner).ok_or(too_long)?,
            name: heapless::Vec::from_slice(&made.name).map_err(|_| too_long)?,
        })
    }

    /// TPM2_ReadPublic: the TPMT_PUBLIC under a handle.
    pub fn read_public(&mut self, object: &ObjectHandle) -> Result<PublicArea, TpmError> {
        let read: TpmReadPublicResponse = self.call(&TpmReadPublicCommand { handles: [object.0] }, &[])?;
        let too_long = TpmError::TooLong { command: Command(TpmReadPublicCommand::CC) };
        public_area(&read.out_public.inner).ok_or(too_long)
    }

    /// TPM2_FlushContext.
    pub fn flush(&mut self, object: ObjectHandle) -> Result<(), TpmError> {
        self.flush_handle(object.0)
    }

    /// Flushes all loaded objects and sessions: what a predecessor that was killed left behind. Behind a resource manager
    /// only our own are seen; without one, garant is the only user of the TPM.
    pub fn flush_leftovers(&mut self) -> Result<(), TpmError> {
        for first in [FIRST_OBJECT, FIRST_HMAC_SESSION, FIRST_POLICY_SESSION] {
            for handle in self.handles(first)? {
                self.flush_handle(TpmHandle::new(handle))?;
            }
        }
        Ok(())
    }

    /// TPM2_ActivateCredential: what `blob` (TPM2B_ID_OBJECT) hides for exactly this pair of AK and EK.
    pub fn activate_credential(
        &mut self,
        ak: &ObjectHandle,
        ek: &ObjectHandle,
        policy: EkPolicy,
        blob: &[u8],
        secret: &[u8],
    ) -> Result<CredentialSecret, TpmError> {
        let too_long = TpmError::TooLong { command: Command(TpmActivateCredentialCommand::CC) };
        let command = TpmActivateCredentialCommand {
            handles: [ak.0, ek.0],
            credential_blob: Tpm2bIdObject::try_from(blob).map_err(|_| too_long)?,
            secret: Tpm2bEncryptedSecret::try_from(secret).map_err(|_| too_long)?,
        };
        let policy_session = self.start_policy_session(policy)?;
        let activated = self
            .satisfy(policy_session, policy)
            .and_then(|()| self.call(&command, &[password(), session(policy_session)]));
        self.flush_handle(policy_session)?;
        let activated: TpmActivateCredentialResponse = activated?;
        heapless::Vec::from_slice(&activated.cert_info).map_err(|_| too_long)
    }

    fn start_policy_session(&mut self, policy: EkPolicy) -> Result<TpmHandle, TpmError> {
        let null = TpmHandle::new(TpmRh::Null.value());
        let too_long = TpmError::TooLong { command: Command(TpmStartAuthSessionCommand::CC) };
        let auth_hash = TpmAlgId::try_from(policy.hash().algorithm_id()).map_err(|_| too_long)?;
        let command = TpmStartAuthSessionCommand {
            handles: [null, null],
            // The session proves nothing by a nonce: it is neither salted nor bound and authorises one command.
            nonce_caller: Tpm2bNonce::try_from([0; 16].as_slice()).map_err(|_| too_long)?,
            encrypted_salt: Default::default(),
            session_type: TpmSe::Policy,
            symmetric: TpmtSymDefObject { algorithm: TpmAlgId::Null, ..Default::default() },
            auth_hash,
        };
        let started: TpmStartAuthSessionResponse = self.call(&command, &[])?;
        let [handle] = started.handles;
        Ok(handle)
    }

    /// Brings the session's policyDigest to the EK's authPolicy (EK Credential Profile 2.6, B.6).
    fn satisfy(&mut self, policy_session: TpmHandle, policy: EkPolicy) -> Result<(), TpmError> {
        let secret = TpmPolicySecretCommand {
            handles: [endorsement(), policy_session],
            nonce_tpm: Default::default(),
            cp_hash_a: Default::default(),
            policy_ref: Default::default(),
            expiration: TpmInt32::new(0),
        };
        self.call::<_, TpmPolicySecretResponse>(&secret, &[password()])?;
        let EkPolicy::B(hash) = policy else {
            return Ok(());
        };
        let too_long = TpmError::TooLong { command: Command(TpmPolicyOrCommand::CC) };
        let mut branches = TpmlDigest::new();
        for digest in [policy_a(hash), policy_c(hash)] {
            let digest = Tpm2bDigest::try_from(digest).map_err(|_| too_long)?;
            branches.try_push(digest).map_err(|_| too_long)?;
        }
        let or = TpmPolicyOrCommand { handles: [policy_session], p_hash_list: branches };
        self.call::<_, TpmPolicyOrResponse>(&or, &[]).map(|_| ())
    }

    fn flush_handle(&mut self, handle: TpmHandle) -> Result<(), TpmError> {
        let command = TpmFlushContextCommand { handles: [], flush_handle: handle };
        self.call::<_, TpmFlushContextResponse>(&command, &[]).map(|_| ())
    }
}

/// The bytes of a public area; the codec writes back the bytes that it read.
fn public_area(public: &TpmtPublic) -> Option<PublicArea> {
    let mut bytes = [0; PublicArea::CAPACITY_BYTES];
    let mut writer = TpmWriter::new(&mut bytes);
    public.marshal(&mut writer).ok()?;
    PublicArea::from_bytes(writer.as_bytes())
}

/// TPM_HC: TRANSIENT_FIRST, HMAC_SESSION_FIRST, POLICY_SESSION_FIRST (Part 2, 7.5).
const FIRST_OBJECT: u32 = 0x8000_0000;
const FIRST_HMAC_SESSION: u32 = 0x0200_0000;
const FIRST_POLICY_SESSION: u32 = 0x0300_0000;
