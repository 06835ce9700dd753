//! A bundle that anybody made: read, judged without a record, and judged as of then with its result and record signed by
//! a key that the reader knows. No record in it has a certified chip, so nothing may be a yes.
#![no_main]

use garant_attest::{
    cbor::{Bytes, CborError},
    cose::{self, ClaimedStatement},
    ear,
    endorsement::EndorsementStatus,
    engine::PublicKey,
    enrolment,
    policy::Policy,
    roots::Roots,
    verdict::Answer,
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use garant_verifier::{
    assess::{Judgement, Rulebook, Witness},
    bundle::Bundle,
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

fuzz_target!(init: LazyLock::force(&READER), |bytes: &[u8]| {
    let Ok(bundle) = Bundle::decode(bytes) else { return };
    assert_eq!(bundle.encode().as_deref(), Ok(bytes));
    if let Ok(judgement) = bundle.recheck(&READER.rules, None, NOW) {
        no_yes(&judgement);
    }
    let result = bundle.result.and_then(|result| READER.sign(result, ear::CONTENT_TYPE));
    let record = bundle.record.and_then(|record| READER.sign(record, enrolment::CONTENT_TYPE));
    let signed = Bundle {
        result: result.as_deref().map(Bytes::new).or(bundle.result),
        record: record.as_deref().map(Bytes::new).or(bundle.record),
        ..bundle
    };
    let at = signed.result(&READER.witnesses).map_or(NOW, |(ear, _)| ear.issued);
    if let Ok((judgement, _)) = signed.judge_then(&READER.rules, &READER.witnesses, at) {
        no_yes(&judgement);
    }
});

fn no_yes(judgement: &Judgement) {
    let verdict = &judgement.verdict;
    for part in [&verdict.boot, &verdict.place, &verdict.owner, &verdict.workload] {
        assert_ne!(part.answer, Answer::Yes);
    }
}

/// Whoever reads the bundle, and signs for the fuzzer.
struct Reader {
    key: SigningKey,
    key_id: [u8; 32],
    witnesses: [Witness; 1],
    rules: Rulebook,
}

impl Reader {
    /// Signs what the statement says.
    fn sign(&self, statement: &[u8], content_type: &'static str) -> Option<Vec<u8>> {
        let payload = ClaimedStatement::decode(statement).ok()?.untrusted_payload();
        cose::sign_ed25519(self.key_id, content_type, payload, |message| Ok::<_, CborError>(self.key.sign(message)))
            .ok()
    }
}

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let key = SigningKey::from_seed(&[9; 32]).expect("a key");
    let public = PublicKey::Ed25519(key.public());
    let policy = Policy::parse(POLICY, &FastEngine).expect("a policy");
    let status = EndorsementStatus::of_release().expect("a table");
    let rules = Rulebook::new(Roots::none(), Vec::new(), Vec::new(), status, Some(policy)).expect("a map");
    let key_id = public.id(&FastEngine).expect("an id");
    Reader { key, key_id, witnesses: [Witness { key: public, name: Some("reader".into()) }], rules }
});

const NOW: u64 = 1_800_000_000;
const POLICY: &[u8] = b"roots = [\"test\"]\nmax_age_s = 300\n[workload]\ninitrds = [\"none\"]\n\
    kernels = [\"0101010101010101010101010101010101010101010101010101010101010101\"]";
