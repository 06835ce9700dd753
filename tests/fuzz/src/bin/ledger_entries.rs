//! Entries of the ledger as a node sends them: the input's first byte says how many commits stand before the message. Every
//! digest is zero, so that an input finds what commits cover.
#![no_main]

use garant_attest::{
    cbor,
    ledger::{Act, Commit, Content, SentEntry},
    policy::Policy,
    rust_engine::RustEngine,
    verdict::Answer,
    wire::{Entries, LedgerAsk},
    workload::{Evidence, Workload, assess},
};
use garant_fuzz::AnyDigest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ask) = LedgerAsk::decode(bytes) {
        assert_eq!(cbor::encode(&ask).as_deref(), Ok(bytes));
    }
    let Some((count, rest)) = bytes.split_first() else { return };
    let Some((commits, message)) = rest.split_at_checked(usize::from(*count) * Commit::BYTES) else { return };
    let Ok(read) = Entries::decode(message) else { return };
    assert_eq!(cbor::encode(&read).as_deref(), Ok(message));
    read.2.iter().for_each(body);
    let Some(commits) = Commit::list(commits) else { return };
    let workload = Workload::replay(&AnyDigest, commits, &read.2);
    let policy = Policy::parse(POLICY, &RustEngine).expect("a policy");
    let evidence = Evidence { workload: &workload, premise: Ok(&[]), missing: &[] };
    for asked in [None, policy.workload()] {
        let part = assess(asked, &evidence).part;
        let may_be_yes = asked.is_some() && workload.problem().is_none();
        assert!(part.answer != Answer::Yes || may_be_yes);
        assert!(part.links.iter().all(|link| !link.what.contains(char::is_control)));
    }
});

/// What is read is written again as it was.
fn body(entry: &SentEntry<'_>) {
    let Content::Open { body, .. } = entry.content else { return };
    if let Ok(act) = Act::decode(entry.kind, body) {
        assert_eq!((act.kind(), act.encode().as_deref()), (entry.kind, Ok(body)));
    }
}

const POLICY: &[u8] = b"roots = [\"test\"]\nmax_age_s = 1\n[workload]\ninitrds = [\"none\"]\n\
    kernels = [\"0101010101010101010101010101010101010101010101010101010101010101\"]";
