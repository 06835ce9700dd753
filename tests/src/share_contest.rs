//! garant's answers about shares beside the oracle's, for random graphs.

use crate::share_oracle::{Random, random};
use garant_attest::{
    cose::StatementError,
    engine::{BadSignature, Digest, Engine, PublicKey, SignatureScheme},
    owner::{holdings::Holdings, rule_set::RuleSet},
    statement::{self, Signed},
    verdict::Answer,
};
use garant_hw::hash::Hash;

/// The rules "24 % alone, 39 % together".
pub fn rule_set() -> RuleSet {
    RuleSet::parse(
        r#"
id = "oracle"
version = "1"
title = "24 and 39"
source = "tests"
listed = "strict"
persons_outside = "outside"
freshness = { days = 31, checked = "primary" }
[territory]
name = "France"
inside = ["FR"]
[[rule]]
id = "b"
title = "24 and 39"
test = { kind = "holdings", single = { percent = "24", checked = "primary" }, together = { percent = "39", checked = "primary" } }
"#,
    )
    .unwrap()
}

/// The statement as signed, by an engine that believes everything: a million signatures would measure Ed25519.
pub fn signed(holdings: &Holdings) -> Signed<Holdings> {
    let key = PublicKey::Ed25519([9; 32]);
    let bytes = statement::seal(&Believer, holdings, &key, |_| Ok::<_, StatementError>(vec![0; 64])).unwrap();
    statement::open(&Believer, &bytes, &[key]).unwrap()
}

struct Believer;

impl Engine for Believer {
    fn digest(&self, hash: Hash, _: &[&[u8]]) -> Digest {
        Digest::zero(hash)
    }

    fn verify_signature(&self, _: &PublicKey, _: SignatureScheme, _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

/// What `rounds` random graphs from one seed showed.
#[derive(Debug, Default)]
pub struct Found {
    pub contradictions: u32,
    /// Answers yes or no.
    pub decided: u32,
    /// Graphs that have one truth.
    pub decidable: u32,
}

/// Compares answers with the truth; each contradiction is printed.
pub fn compare(seed: u64, rounds: u32) -> Found {
    let set = rule_set();
    let mut source = Random(seed);
    let mut found = Found::default();
    for _ in 0..rounds {
        let world = random(&mut source);
        let answer = world.answer(&set);
        let truth = world.truth();
        let is_wrong = match (answer, truth) {
            (Answer::Unknown, _) => false,
            (Answer::Yes, (_, may_break)) => may_break,
            (Answer::No, (may_keep, _)) => may_keep,
        };
        found.decided += u32::from(answer != Answer::Unknown);
        found.decidable += u32::from(truth.0 != truth.1);
        if is_wrong {
            found.contradictions += 1;
            eprintln!("seed {seed}: {answer} where the truth is {truth:?}: {world:?}");
        }
    }
    found
}
