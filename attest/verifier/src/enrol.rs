//! Enrolment: from what a node says of itself to a record that AK and EK live in one TPM.
//!
//! Identity, then the makers' chains, then one secret for each certified EK that only a TPM with this AK loaded can
//! read; the node answers with an HMAC under it, over our nonce and the binder of our own end. Nothing is kept before
//! all of it holds. An EK's public area is built from template and certificate, so what a node claims about it, altered
//! or not, gives the same keys, the same secret and the same node id.

use crate::{
    assess::Rulebook,
    budget::CREDENTIAL_TIME,
    clock::unix_time,
    credential,
    dial::Link,
    error::{EnrolmentFault, VerifierError},
    seal::Sealer,
    session::Session,
};
use garant_attest::{
    budget,
    cbor::{self, Bytes, Bytes32},
    certificate::Certificate,
    ek::{self, CertifiedEk},
    engine::PublicKey,
    enrolment::Enrolment,
    node_id::NodeId,
    public_area::{AttestationKey, EncryptionKey, Name, ek_public_area},
    wire::{Credential, CredentialAnswer, CredentialChallenge, EkClaim, Identity, activation_statement},
};
use garant_channel::{engine::FastEngine, http::Budget};
use garant_hw::tpm::templates::EK_TEMPLATES;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A node whose EK certificates hold. Holding one proves: makers certified these EKs; whether the node has them, and
/// whether its AK lives beside them, only activation shows.
#[derive(Debug, Clone)]
pub struct CertifiedNode {
    id: NodeId,
    eks: Vec<PlacedEk>,
    intermediates: Vec<Vec<u8>>,
    ak: AttestationKey,
}

/// A certified EK and its place in the identity.
#[derive(Debug, Clone)]
struct PlacedEk {
    number: u8,
    ek: CertifiedEk,
    public_area: Vec<u8>,
}

/// A node that has shown that its AK lives beside its EKs, to us, on this connection.
#[derive(Debug, Clone)]
pub struct ActivatedNode(CertifiedNode);

/// Reads an identity and checks the chain of every EK certificate in it. Those that do not hold are left out; one that
/// does must remain.
pub fn certify(rules: &Rulebook, identity: &[u8]) -> Result<CertifiedNode, EnrolmentFault> {
    let identity = Identity::decode(identity).map_err(EnrolmentFault::Form)?;
    let ak = AttestationKey::from_public_area(&FastEngine, identity.1).map_err(EnrolmentFault::AttestationKey)?;
    let intermediates = intermediates(rules, &identity)?;
    let mut eks = Vec::new();
    let mut first_fault = EnrolmentFault::NoCertificate;
    for (number, claim) in (0u8..).zip(&identity.2) {
        match place(rules, number, claim, &intermediates) {
            Ok(placed) => eks.push(placed),
            Err(fault) if first_fault == EnrolmentFault::NoCertificate => first_fault = fault,
            Err(_) => {}
        }
    }
    let certified: Vec<CertifiedEk> = eks.iter().map(|placed| placed.ek.clone()).collect();
    let id = NodeId::of(&FastEngine, &certified).ok_or(first_fault)?;
    eks.sort_by_key(|placed| placed.ek.public_key().id(&FastEngine) != Some(*id.as_bytes()));
    let intermediates = intermediates.iter().map(|certificate| certificate.der().to_vec()).collect();
    Ok(CertifiedNode { id, eks, intermediates, ak })
}

/// Authorities from NV, also those that stand behind an EK certificate, and those that the verifier has.
fn intermediates(rules: &Rulebook, identity: &Identity<'_>) -> Result<Vec<Certificate>, EnrolmentFault> {
    let behind = identity.2.iter().flat_map(|claim| ek::certificates_in_nv(claim.0).into_iter().skip(1));
    let in_nv = identity.3.iter().map(|der| -> &[u8] { der });
    let read = behind.chain(in_nv).map(|der| Certificate::from_der(der).map_err(EnrolmentFault::Intermediate));
    let mut read: Vec<Certificate> = read.take(budget::EK_CHAIN).collect::<Result<_, _>>()?;
    read.extend(rules.intermediates().iter().cloned());
    Ok(read)
}

fn place(
    rules: &Rulebook,
    number: u8,
    claim: &EkClaim<'_>,
    intermediates: &[Certificate],
) -> Result<PlacedEk, EnrolmentFault> {
    let at = usize::from(number);
    let ek = rules
        .validate(claim.0, intermediates, unix_time())
        .map_err(|error| EnrolmentFault::Ek { number: at, error })?;
    let public_area = public_area(claim, ek.public_key()).ok_or(EnrolmentFault::Template { number: at })?;
    Ok(PlacedEk { number, ek, public_area })
}

/// The maker's template from NV, else the profile's for the certificate's index, else the first for such a key.
fn public_area(claim: &EkClaim<'_>, key: &PublicKey) -> Option<Vec<u8>> {
    let in_nv = claim.2.and_then(|template| ek_public_area(template, key).ok());
    let of_index = EK_TEMPLATES.iter().filter(|template| Some(template.certificate_index) == claim.1);
    let mut of_profile = of_index.chain(&EK_TEMPLATES).filter_map(|template| template.public_area());
    in_nv.or_else(|| of_profile.find_map(|template| ek_public_area(&template, key).ok()))
}

impl CertifiedNode {
    /// Key id of the certified EK, ECC before RSA.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The certified EKs, the node id's first.
    pub fn eks(&self) -> impl Iterator<Item = &CertifiedEk> {
        self.eks.iter().map(|placed| &placed.ek)
    }

    /// The attestation key that the node claims.
    pub fn ak(&self) -> &AttestationKey {
        &self.ak
    }

    /// Has the node prove that its AK lives beside each of its EKs.
    pub async fn activate(self, session: &mut Session) -> Result<ActivatedNode, VerifierError> {
        let make = |placed: &PlacedEk| self.credential(placed).map(|made| (placed.number, made));
        let made: Vec<(u8, credential::Credential)> = self.eks.iter().map(make).collect::<Result<_, _>>()?;
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|_| VerifierError::Random)?;
        let credentials = made
            .iter()
            .map(|(number, made)| Credential(*number, Bytes::new(&made.blob), Bytes::new(&made.encrypted_secret)));
        let challenge = CredentialChallenge::new(nonce, credentials.collect());
        let body = cbor::encode(&challenge).map_err(VerifierError::Encoding)?;
        let link = session.link();
        let budget = Budget { bytes: budget::CREDENTIAL_BYTES, time: CREDENTIAL_TIME };
        let answer = link.post("/v1/credential", body, budget).await?;
        let answer = CredentialAnswer::decode(&answer).map_err(EnrolmentFault::Form)?;
        if answer.1.len() != made.len() {
            return Err(EnrolmentFault::Activation { number: answer.1.len() }.into());
        }
        for ((number, made), proof) in made.iter().zip(&answer.1) {
            check_proof(link, &nonce, *number, &made.secret[..], &proof[..])?;
        }
        Ok(ActivatedNode(self))
    }

    fn credential(&self, placed: &PlacedEk) -> Result<credential::Credential, VerifierError> {
        let number = usize::from(placed.number);
        let key =
            EncryptionKey::from_public_area(&placed.public_area).map_err(|_| EnrolmentFault::Template { number })?;
        match credential::make(&key, self.ak.name()) {
            Ok(made) => Ok(made),
            Err(credential::CredentialError::Randomness) => Err(VerifierError::Random),
            Err(credential::CredentialError::Key) => Err(EnrolmentFault::Template { number }.into()),
        }
    }
}

/// HMAC-SHA256(secret, "garant/enrol/1\0" ‖ kind ‖ nonce ‖ binder), in constant time.
fn check_proof(link: &Link, nonce: &[u8; 32], number: u8, secret: &[u8], proof: &[u8]) -> Result<(), EnrolmentFault> {
    let fault = EnrolmentFault::Activation { number: usize::from(number) };
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret).map_err(|_| fault.clone())?;
    mac.update(&activation_statement(link.kind(), nonce, &link.binder()));
    mac.verify_slice(proof).map_err(|_| fault)
}

impl ActivatedNode {
    /// Writes and signs the record.
    pub fn sign(&self, sealer: &Sealer) -> Result<Vec<u8>, VerifierError> {
        let CertifiedNode { id, eks, intermediates, ak } = &self.0;
        let names: Vec<Name> = eks
            .iter()
            .map(|placed| Name::of(&FastEngine, &placed.public_area))
            .collect::<Result<_, _>>()
            .map_err(EnrolmentFault::AttestationKey)?;
        let record = Enrolment {
            time: unix_time(),
            node_id: Bytes32::new(*id.as_bytes()),
            ek_certificates: eks.iter().map(|placed| Bytes::new(placed.ek.certificate())).collect(),
            ek_names: names.iter().map(|name| Bytes::new(name.as_bytes())).collect(),
            intermediates: intermediates.iter().map(|der| Bytes::new(der)).take(budget::EK_CHAIN).collect(),
            ak_public: Bytes::new(ak.public_area()),
            ak_name: Bytes::new(ak.name().as_bytes()),
        };
        sealer.record(&record)
    }
}
