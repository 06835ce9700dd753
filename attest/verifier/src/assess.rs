//! From a verified answer to a verdict: what the enrolment record still stands for, what is known against the chip, and
//! what the policy says. Every appraisal starts from the certificates; nothing is believed because it was once.

use crate::{
    clock::unix_time,
    error::VerifierError,
    known::{Alias, Reenrolment},
    session::{Answered, Rejection},
    store::{NewRecord, Store},
};
use garant_attest::{
    appraise::{Facts, Standing, appraise},
    carried::Carried,
    certificate::Certificate,
    chain,
    crl::Crl,
    ear::{Ear, Issue, Subject},
    ek::{self, CertifiedEk, EkError},
    endorsement::EndorsementStatus,
    engine::PublicKey,
    enrolment::EnrolledNode,
    node_id::NodeId,
    parts,
    place::assess::{Atlas, AtlasError},
    policy::{Policy, RootClass},
    roots::{RootKind, Roots},
    verdict::{Answer, Link, PartVerdict, TrustVector, Verdict},
    wire::Kind,
    workload::SentLedger,
};
use garant_channel::engine::FastEngine;
use std::{sync::Arc, time::Duration};

/// What a verifier believes and accepts.
#[derive(Debug, Clone)]
pub struct Rulebook {
    roots: Roots,
    intermediates: Vec<Certificate>,
    revocations: Vec<Crl>,
    status: EndorsementStatus,
    policy: Option<Policy>,
    sha1_authorities: Vec<[u8; 32]>,
    atlas: Option<Arc<Atlas>>,
}

impl Rulebook {
    /// These roots, authorities and revocation lists, and one policy; without one every answer is unknown.
    pub fn new(
        roots: Roots,
        intermediates: Vec<Certificate>,
        revocations: Vec<Crl>,
        status: EndorsementStatus,
        policy: Option<Policy>,
    ) -> Result<Rulebook, AtlasError> {
        let sha1_authorities = policy.iter().flat_map(Policy::sha1_authorities).collect();
        let atlas = policy.as_ref().and_then(Policy::place).map(Atlas::new).transpose()?.map(Arc::new);
        Ok(Rulebook { roots, intermediates, revocations, status, policy, sha1_authorities, atlas })
    }

    /// Whether the policy asks what others say of the node.
    pub fn asks_for_statements(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.place().is_some() || policy.owner().is_some())
    }

    /// The policy.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// Authorities that the verifier has of its own.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// Checks an EK certificate and its chain at a time, in seconds since 1970. Keys that the policy denies pass: their
    /// machine is not unknown, it is a `no`.
    pub fn validate(&self, in_nv: &[u8], intermediates: &[Certificate], at: u64) -> Result<CertifiedEk, EkError> {
        let chain = chain::Rules { at, allow_sha1: &self.sha1_authorities, revocations: &self.revocations };
        let rules = ek::Rules { chain, denied: &[] };
        ek::validate(&FastEngine, in_nv, intermediates, &self.roots, rules)
    }

    /// Opens an enrolment record and checks that its endorsement keys hold now.
    pub fn open<'a>(&self, statement: &'a [u8], witnesses: &[Witness]) -> Result<StandingRecord<'a>, VerifierError> {
        self.open_at(statement, witnesses, unix_time())
    }

    /// Opens an enrolment record and checks that its endorsement keys held at a time, in seconds since 1970.
    pub fn open_at<'a>(
        &self,
        statement: &'a [u8],
        witnesses: &[Witness],
        at: u64,
    ) -> Result<StandingRecord<'a>, VerifierError> {
        let mut last = VerifierError::Record(garant_attest::cose::StatementError::OtherKey);
        for witness in witnesses {
            match EnrolledNode::open(&FastEngine, statement, &witness.key) {
                Ok(node) => return self.stand(node, witness.name.clone(), at),
                Err(error) => last = VerifierError::Record(error),
            }
        }
        Err(last)
    }

    fn stand<'a>(
        &self,
        node: EnrolledNode<'a>,
        witness: Option<String>,
        at: u64,
    ) -> Result<StandingRecord<'a>, VerifierError> {
        let record = node.record();
        let read: Result<Vec<Certificate>, _> =
            record.intermediates.iter().map(|der| Certificate::from_der(der)).collect();
        let mut intermediates = read.map_err(|error| VerifierError::RecordKey(EkError::Certificate(error)))?;
        intermediates.extend(self.intermediates.iter().cloned());
        let eks: Vec<CertifiedEk> = record
            .ek_certificates
            .iter()
            .map(|der| self.validate(der, &intermediates, at).map_err(VerifierError::RecordKey))
            .collect::<Result<_, _>>()?;
        let id = NodeId::of(&FastEngine, &eks).filter(|id| id.as_bytes() == &*record.node_id);
        let id = id.ok_or(VerifierError::Record(garant_attest::cose::StatementError::OtherKey))?;
        let ek_ids = eks.iter().filter_map(|ek| ek.public_key().id(&FastEngine)).collect();
        let mut links: Vec<Link> = Vec::new();
        for link in eks.iter().flat_map(CertifiedEk::links) {
            if !links.contains(link) {
                links.push(link.clone());
            }
        }
        Ok(StandingRecord { node, id, eks, links, ek_ids, witness })
    }
}

/// A key whose records are taken, and the name under which its word is printed; without a name it is our own.
#[derive(Debug, Clone)]
pub struct Witness {
    /// The key.
    pub key: PublicKey,
    /// Whose testimony it is; `None`: the own verifier's.
    pub name: Option<String>,
}

/// A record whose signature and endorsement keys hold now. Holding one proves: the witness says that this AK lives in
/// the TPM with these certified EKs.
#[derive(Debug, Clone)]
pub struct StandingRecord<'a> {
    node: EnrolledNode<'a>,
    id: NodeId,
    eks: Vec<CertifiedEk>,
    links: Vec<Link>,
    ek_ids: Vec<[u8; 32]>,
    witness: Option<String>,
}

impl<'a> StandingRecord<'a> {
    /// Node id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The record.
    pub fn node(&self) -> &EnrolledNode<'a> {
        &self.node
    }

    /// Keeps it in the store, under every name of its TPM. One that is known already stays; a conflict is an error
    /// unless the record's own signer may re-enrol.
    pub fn keep(
        &self,
        rules: &Rulebook,
        store: &Store,
        statement: &[u8],
        chassis: Option<&str>,
    ) -> Result<(), VerifierError> {
        let id = *self.id.as_bytes();
        if store.record(id)?.is_some_and(|known| known == statement) {
            return Ok(());
        }
        let record = self.node.record();
        let aliases = Alias::all(record, &self.ek_ids, chassis);
        let leave = rules.policy().and_then(|policy| Reenrolment::permitted(&FastEngine, policy, &self.node));
        let new = NewRecord { id, time: record.time, ak_name: record.ak_name, aliases: &aliases, statement };
        store.enrol(new, leave)?;
        Ok(())
    }

    /// Test before virtual before silicon: the weakest root of the chip's EKs counts.
    fn root(&self) -> RootClass {
        let has = |kind| self.eks.iter().any(|ek| ek.kind() == kind);
        if has(RootKind::Test) {
            RootClass::Test
        } else if has(RootKind::Virtual) {
            RootClass::Virtual
        } else {
            RootClass::Silicon
        }
    }

    fn expires(&self) -> Option<u64> {
        self.eks.iter().map(CertifiedEk::expires).min()
    }
}

/// A verdict, and of whom it speaks.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Of the record; zeros where the node is not enrolled, and then nothing but unknown is said.
    node_id: [u8; 32],
    ak_name: Vec<u8>,
    boot_id: Option<[u8; 32]>,
    session_key: Option<[u8; 32]>,
    /// How long the policy lets this evidence count from now on.
    lifetime: Duration,
}

/// What others say of a node, and when it is weighed.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The statements.
    pub carried: &'a Carried<'a>,
    /// Why the node's own are missing.
    pub fault: Option<&'a str>,
    /// The entries of its ledger, as it sent them.
    pub ledger: SentLedger<'a>,
    /// Seconds since 1970.
    pub now: u64,
}

/// Judges a verified answer. A record of another attestation key says nothing of it.
pub fn judge(
    rules: &Rulebook,
    answered: &Answered<'_>,
    record: Option<&StandingRecord<'_>>,
    said: Said<'_>,
) -> Judgement {
    let verified = &answered.verified;
    let identity = verified.identity();
    let ak_name = verified.ak().name().as_bytes();
    let record = record.filter(|record| &record.node.record().ak_name[..] == ak_name);
    let standing = record.map_or(Standing::NotEnrolled, |record| Standing::Enrolled {
        root: record.root(),
        chain: &record.links,
        witness: record.witness.as_deref(),
        node_ids: &record.ek_ids,
        ak_name,
    });
    let facts = Facts {
        boot: verified.boot(),
        counters: verified.counters(),
        standing,
        configuration: identity.ok().map(|identity| identity.configuration_digest),
        channel: verified.kind(),
        age_s: seconds(answered.age),
        expires: record.and_then(StandingRecord::expires),
    };
    let mut verdict = appraise(&FastEngine, facts, rules.policy.as_ref());
    if let Err(fault) = identity {
        verdict.withdraw(format!("check boot identity: {fault}"));
    }
    if let Some(record) = record {
        weigh_chip(rules, record, verified.quote().firmware_version(), &mut verdict);
    }
    let node_ids = record.map_or(&[][..], |record| &record.ek_ids);
    let Said { carried, fault, ledger, now } = said;
    let evidence = parts::Evidence { engine: &FastEngine, verified, node_ids, carried, fault, ledger, now };
    if let Some(policy) = &rules.policy {
        parts::add(&mut verdict, policy, rules.atlas.as_deref(), &evidence);
    }
    parts::add_workload(&mut verdict, rules.policy.as_ref().and_then(Policy::workload), &evidence);
    Judgement {
        verdict,
        node_id: record.map_or([0; 32], |record| *record.id.as_bytes()),
        ak_name: ak_name.to_vec(),
        boot_id: identity.ok().map(|identity| identity.boot_id.0),
        session_key: identity.ok().map(|identity| identity.session_key),
        lifetime: lifetime(rules, answered.age),
    }
}

/// What is known against the chip.
fn weigh_chip(rules: &Rulebook, record: &StandingRecord<'_>, firmware_version: u64, verdict: &mut Verdict) {
    let makers = record.eks.iter().filter_map(|ek| Some(ek.names()?.maker));
    rules.status.weigh(makers, firmware_version, verdict);
}

/// An answer that fails a check of its own, or none at all, proves nothing about the machine.
pub fn nothing_proven(rules: &Rulebook, subject: Option<([u8; 32], &[u8])>, kind: Kind, reason: &str) -> Judgement {
    let unknown = || PartVerdict::unknown(reason);
    let (node_id, ak_name) = subject.map_or(([0; 32], Vec::new()), |(id, ak_name)| (id, ak_name.to_vec()));
    let verdict = Verdict {
        boot: unknown(),
        place: unknown(),
        owner: unknown(),
        workload: unknown(),
        closed: Answer::Unknown,
        channel: kind,
        residual_trust: Vec::new(),
        expires: None,
        policy_digest: rules.policy.as_ref().map(Policy::digest),
        geographic: None,
        vector: TrustVector::default(),
    };
    Judgement { verdict, node_id, ak_name, boot_id: None, session_key: None, lifetime: lifetime(rules, Duration::ZERO) }
}

/// A refused answer in the words of the print.
pub fn refusal_reason(rejection: &Rejection) -> String {
    format!("check {}: {rejection}", rejection.check())
}

impl Judgement {
    /// Of whom it speaks; `None` for a node without a record.
    pub fn node_id(&self) -> Option<[u8; 32]> {
        (self.node_id != [0; 32]).then_some(self.node_id)
    }

    /// The boot that was proven.
    pub fn boot_id(&self) -> Option<[u8; 32]> {
        self.boot_id
    }

    /// The verdict as claims. It ends when its evidence is as old as the policy accepts: a cached answer brings the
    /// age of its quote along and moves nothing.
    /// `issued` is in seconds since 1970.
    pub fn ear(&self, issued: u64, audience: Option<&str>, at_most: Duration) -> Ear {
        let subject = Subject {
            node_id: self.node_id,
            ak_name: &self.ak_name,
            boot_id: self.boot_id,
            session_key: self.session_key,
        };
        let lifetime_s = self.lifetime.min(at_most).as_secs();
        let issue = Issue { issued, lifetime_s, audience, nonce: None, build: env!("CARGO_PKG_VERSION") };
        Ear::new(&self.verdict, &subject, &issue)
    }
}

fn lifetime(rules: &Rulebook, age: Duration) -> Duration {
    let most = rules.policy.as_ref().map_or(Duration::ZERO, |policy| Duration::from_secs(policy.max_age_s()));
    most.saturating_sub(age)
}

/// Begun seconds count whole.
fn seconds(age: Duration) -> u64 {
    age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0))
}
