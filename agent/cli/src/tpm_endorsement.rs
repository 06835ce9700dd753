//! What files say of the TPM behind an attestation key: its endorsement certificate, and an enrolment record.

use crate::{check_report::Outcome, failure::Failure, input, place::failure, quote_files::bare};
use garant_attest::{
    appraise::Standing,
    budget,
    certificate::Certificate,
    chain,
    crl::Crl,
    ek::{self, CertifiedEk, EkError},
    endorsement::{EndorsementStatus, Status},
    engine::PublicKey,
    enrolment::EnrolledNode,
    pem,
    policy::{Policy, RootClass},
    public_area::{self, AttestationKey, Name},
    roots::{Root, RootKind, Roots},
    tcg_names::{self, Maker},
    verdict::{Link, Verdict},
};
use garant_channel::engine::FastEngine;
use garant_hw::tpm::templates::EK_TEMPLATES;
use garant_verifier::sources::{read_endorsement, read_revocations};
use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Whom to believe about a TPM, and what is known against it.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// The endorsement key's certificate, as it lies in NV or in a file.
    #[arg(long)]
    ek_cert: Option<PathBuf>,
    /// Roots to believe instead of the built-in ones, PEM or DER; one that is not among those is of kind `test`.
    #[arg(long)]
    ca: Vec<PathBuf>,
    /// Authorities between endorsement key and root, PEM or DER.
    #[arg(long)]
    intermediates: Vec<PathBuf>,
    /// Revocation list of a TPM maker.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// What is known against chips (TOML) instead of the table that comes with garant.
    #[arg(long, value_name = "FILE")]
    endorsement: Option<PathBuf>,
}

/// An endorsement certificate, whom to believe about it, and what is known against chips; nothing is checked yet.
pub(crate) struct Endorsement {
    certificate: Option<Vec<u8>>,
    authorities: Option<Vec<Certificate>>,
    intermediates: Vec<Certificate>,
    revocations: Vec<Crl>,
    status: EndorsementStatus,
}

impl Endorsement {
    /// Reads the files that are named.
    pub(crate) fn read(files: &Files) -> Result<Endorsement, Failure> {
        let all = |files: &[PathBuf]| -> Result<Vec<Certificate>, Failure> {
            let read: Result<Vec<Vec<Certificate>>, Failure> = files.iter().map(|file| certificates(file)).collect();
            Ok(read?.into_iter().flatten().collect())
        };
        let revocations: Result<Vec<_>, _> = files.crl.iter().map(|file| read_revocations(file)).collect();
        Ok(Endorsement {
            certificate: files.ek_cert.as_deref().map(first_der).transpose()?,
            authorities: if files.ca.is_empty() { None } else { Some(all(&files.ca)?) },
            intermediates: all(&files.intermediates)?,
            revocations: revocations.map_err(failure)?.concat(),
            status: read_endorsement(files.endorsement.as_deref()).map_err(failure)?,
        })
    }

    /// Checks the certificate and all above it, and that the policy does not deny it; `None` where none was named.
    pub(crate) fn validate(&self, policy: Option<&Policy>) -> Option<Result<CertifiedEk, EkError>> {
        let certified = self.validate_der(self.certificate.as_deref()?, &[], policy);
        Some(certified.and_then(|ek| {
            let id = ek.public_key().id(&FastEngine);
            let is_denied = id.zip(policy).is_some_and(|(id, policy)| policy.denies_ek(&id));
            if is_denied { Err(EkError::Denied) } else { Ok(ek) }
        }))
    }

    /// How the attestation key hangs on the TPM's keys, where its Qualified Name tells.
    pub(crate) fn parent(&self, key: &AttestationKey, qualified_signer: &[u8]) -> Option<&'static str> {
        if key.name().qualified_in_endorsement(&FastEngine).as_bytes() == qualified_signer {
            return Some("a primary key of the endorsement hierarchy");
        }
        let certificate =
            self.certificate.as_deref().and_then(|in_nv| ek::certificates_in_nv(in_nv).into_iter().next());
        let certified = Certificate::from_der(certificate?).ok()?.public_key().ok()?;
        let names = EK_TEMPLATES.iter().filter_map(|template| {
            let area = public_area::ek_public_area(&template.public_area()?, &certified).ok()?;
            Name::of(&FastEngine, &area).ok()
        });
        let mut parents = names.map(|name| name.qualified_in_endorsement(&FastEngine));
        let is_child =
            parents.any(|parent| key.name().qualified_under(&FastEngine, &parent).as_bytes() == qualified_signer);
        is_child.then_some("a child of the certified endorsement key")
    }

    /// Weighs what is known against the chip with these keys into a verdict, and says what that is.
    pub(crate) fn weigh<'e>(
        &self,
        eks: impl Iterator<Item = &'e CertifiedEk>,
        firmware_version: u64,
        verdict: &mut Verdict,
    ) -> (Outcome, String) {
        let makers: Vec<Maker> = eks.filter_map(|ek| Some(ek.names()?.maker)).collect();
        if makers.is_empty() {
            return (Outcome::NotDone, "no certified endorsement key names its maker".to_owned());
        }
        let findings = self.status.weigh(makers, firmware_version, verdict);
        let is_refused = findings.iter().any(|finding| finding.status == Status::Refused);
        let outcome = if is_refused { Outcome::Failed } else { Outcome::Passed };
        let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let known = if words.is_empty() { "nothing is known against this chip".to_owned() } else { words.join("; ") };
        (outcome, format!("{known} (table of {})", self.status.version()))
    }

    /// Keys that the policy denies pass: the appraisal says `no` of them.
    fn validate_der(
        &self,
        in_nv: &[u8],
        more: &[Certificate],
        policy: Option<&Policy>,
    ) -> Result<CertifiedEk, EkError> {
        let sha1: Vec<[u8; 32]> = policy.iter().flat_map(|policy| policy.sha1_authorities()).collect();
        let chain = chain::Rules { at: now(), allow_sha1: &sha1, revocations: &self.revocations };
        let mut intermediates: Vec<Certificate> = self.intermediates.iter().chain(more).cloned().collect();
        let in_nv_too = ek::certificates_in_nv(in_nv).into_iter().skip(1);
        intermediates.extend(in_nv_too.filter_map(|der| Certificate::from_der(der).ok()));
        let roots = self.roots(in_nv);
        ek::validate(&FastEngine, in_nv, &intermediates, &roots, ek::Rules { chain, denied: &[] })
    }

    /// The makers' roots, or those that were named: each of the kind that it has there, else of kind `test`.
    fn roots(&self, in_nv: &[u8]) -> Roots {
        let of_makers = Roots::of_makers(&FastEngine).unwrap_or_else(|_| Roots::none());
        let Some(authorities) = &self.authorities else { return of_makers };
        let certificate =
            ek::certificates_in_nv(in_nv).into_iter().next().and_then(|der| Certificate::from_der(der).ok());
        let names = certificate.and_then(|certificate| tcg_names::read(&certificate).ok().flatten());
        let makers = || names.iter().map(|names| names.maker).collect();
        let root = |authority: &Certificate| {
            let known = of_makers.iter().find(|root| root.certificate().public_key() == authority.public_key());
            let unknown = || Root::new("given by --ca".to_owned(), RootKind::Test, makers(), authority.clone());
            known.cloned().unwrap_or_else(unknown)
        };
        authorities.iter().map(root).fold(Roots::none(), Roots::with)
    }
}

/// An enrolment record and the key that is said to have signed it.
pub(crate) struct Enrolled {
    statement: Vec<u8>,
    witness: PublicKey,
}

/// A chip that a record binds to an attestation key, with its endorsement keys valid now.
pub(crate) struct Chip {
    eks: Vec<CertifiedEk>,
    ids: Vec<[u8; 32]>,
    links: Vec<Link>,
}

impl Enrolled {
    /// Reads record and key; both are given, or none.
    pub(crate) fn read(record: Option<&Path>, witness: Option<&Path>) -> Result<Option<Enrolled>, Failure> {
        let (Some(record), Some(witness)) = (record, witness) else { return Ok(None) };
        let statement = input::read(record, budget::STATEMENT_BYTES)?;
        let key = bare(&input::read(witness, budget::IDENTITY_BYTES)?);
        let no_key = || Failure::new("holds no public key", witness.display(), "give the verifier's public key in PEM");
        Ok(Some(Enrolled { statement, witness: key.ok_or_else(no_key)? }))
    }

    /// Opens the record for a key of this Name.
    pub(crate) fn open(
        &self,
        ak_name: &[u8],
        endorsement: &Endorsement,
        policy: Option<&Policy>,
    ) -> Result<Chip, String> {
        let node =
            EnrolledNode::open(&FastEngine, &self.statement, &self.witness).map_err(|fault| fault.to_string())?;
        let record = node.record();
        if **record.ak_name != *ak_name {
            return Err("the record is of another attestation key".to_owned());
        }
        let above = record.intermediates.iter().filter_map(|der| Certificate::from_der(der).ok()).collect::<Vec<_>>();
        let validated = record.ek_certificates.iter().map(|der| endorsement.validate_der(der, &above, policy));
        let eks = validated.collect::<Result<Vec<_>, _>>();
        let eks = eks.map_err(|fault| fault.to_string())?;
        let ids = eks.iter().filter_map(|ek| ek.public_key().id(&FastEngine)).collect();
        let links = eks.iter().flat_map(CertifiedEk::links).cloned().collect();
        Ok(Chip { eks, ids, links })
    }
}

impl Chip {
    /// What the record says, for the appraisal: the word of whoever signed it.
    pub(crate) fn standing<'a>(&'a self, ak_name: &'a [u8]) -> Standing<'a> {
        let classes = self.eks.iter().map(|ek| RootClass::from(ek.kind()));
        let weakest =
            [RootClass::Test, RootClass::Virtual].into_iter().find(|class| classes.clone().any(|c| c == *class));
        Standing::Enrolled {
            root: weakest.unwrap_or(RootClass::Silicon),
            chain: &self.links,
            witness: Some("the verifier that signed the enrolment record"),
            node_ids: &self.ids,
            ak_name,
        }
    }

    /// The endorsement keys that the record names.
    pub(crate) fn eks(&self) -> &[CertifiedEk] {
        &self.eks
    }

    /// The earliest end among the certificates.
    pub(crate) fn expires(&self) -> u64 {
        self.eks.iter().map(CertifiedEk::expires).min().unwrap_or(0)
    }
}

/// All certificates of a file: PEM blocks, or one in DER.
fn certificates(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let bytes = input::read(file, budget::POLICY_BYTES)?;
    let at_fault =
        |fault: &dyn std::fmt::Display| Failure::new(fault, file.display(), "give certificates in PEM or DER");
    let blocks = match std::str::from_utf8(&bytes) {
        Ok(text) => pem::blocks(text, "CERTIFICATE").map_err(|fault| at_fault(&fault))?,
        Err(_) => vec![bytes],
    };
    // A bundle of makers' authorities holds some that no chain can use; a chain that needs one of them says so.
    let read: Vec<_> = blocks.iter().map(|der| Certificate::from_der(der)).collect();
    match read.iter().find_map(|read| read.as_ref().err()) {
        Some(fault) if read.len() == 1 => Err(at_fault(fault)),
        _ => Ok(read.into_iter().filter_map(Result::ok).collect()),
    }
}

/// The endorsement certificate as it lies in NV or in a file; of PEM the first block.
fn first_der(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = input::read(file, budget::IDENTITY_BYTES)?;
    let blocks = std::str::from_utf8(&bytes).ok().and_then(|text| pem::blocks(text, "CERTIFICATE").ok());
    Ok(blocks.and_then(|blocks| blocks.into_iter().next()).unwrap_or(bytes))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
