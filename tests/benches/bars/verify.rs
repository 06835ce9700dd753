//! `log.replay`, `verify.full` and `verify.alloc`: a whole answer of a node with a real server's boot log, from its
//! bytes to the verdict, beside the floor with the same inputs.

use crate::{floor, side_by_side};
use garant_attest::{
    appraise::{Facts, Standing, appraise},
    engine::PublicKey,
    image::Firmware,
    policy::{Policy, RootClass},
    public_area::AttestationKey,
    replay::replay,
    verdict::{Answer, Basis, Link, Verdict},
    verify::{Known, verify as verify_answer},
    wire::Kind,
};
use garant_channel::engine::FastEngine;
use garant_hw::{eventlog::EventLog, hash::Hash};
use garant_tests::{agent_bench::Figure, forge::Node, vectors};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{alloc::System, hint::black_box};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// MB of log a second, all banks replayed and data checked in one.
pub fn log() -> Vec<Figure> {
    let logs = logs();
    let bytes: usize = logs.iter().map(Vec::len).sum();
    let (ours, least) = side_by_side(
        || {
            logs.iter().for_each(|log| {
                let log = EventLog::parse(log).unwrap();
                black_box(replay(&FastEngine, &log, Hash::Sha256, |_, covered| {
                    black_box(covered);
                }));
            })
        },
        || {
            logs.iter().for_each(|log| {
                black_box(floor::replay(log).unwrap().covered);
            })
        },
    );
    let rate = |time: std::time::Duration| bytes as f64 / time.as_secs_f64() / 1e6;
    vec![Figure { name: "log.replay", value: rate(ours), unit: "MB/s", reference: rate(least) }]
}

/// Answers a second and core, and bytes allocated for each byte of evidence.
pub fn verify() -> Vec<Figure> {
    let Some(log) = logs().into_iter().min_by_key(|log| log.len().abs_diff(LOG_BYTES)) else { return Vec::new() };
    let node = Node::new(log.clone());
    let answer = node.fresh(&Node::challenge(Kind::None));
    let policy = Policy::parse(policy(&log).as_bytes(), &FastEngine).unwrap();
    assert_eq!(judged(&answer, &policy).boot.answer, Answer::Yes, "{:?}", judged(&answer, &policy).boot.reasons);

    let area = AttestationKey::from_public_area(&FastEngine, &node.ak_public).unwrap();
    let PublicKey::P256(point) = area.public_key().clone() else { panic!("a P-256 key") };
    let (attest, signature) = node.quote([0; 32]);
    let signature = area.signature(&signature).unwrap();
    let values: Vec<u8> =
        node.banks.iter().flat_map(|(_, values)| values).flat_map(|value| value.as_bytes().to_vec()).collect();
    floor::verify(&point, &attest, &signature, &values, &log).expect("the floor accepts the same quote");
    let (ours, least) = side_by_side(
        || drop(black_box(judged(&answer, &policy))),
        || floor::verify(black_box(&point), &attest, &signature, &values, &log).unwrap(),
    );
    let rate = |time: std::time::Duration| 1.0 / time.as_secs_f64();
    let allocated = allocated(&answer, &policy);
    let kib = |bytes: usize| bytes as f64 / 1024.0;
    vec![
        Figure { name: "verify.full", value: rate(ours), unit: "per_s", reference: rate(least) },
        Figure { name: "verify.alloc", value: kib(allocated), unit: "KiB", reference: kib(answer.len()) },
    ]
}

/// The most that any of the answers allocates: the sound one, and those with a byte of the evidence changed.
fn allocated(answer: &[u8], policy: &Policy) -> usize {
    let changed = (0..answer.len()).step_by(61).map(|at| {
        let mut changed = answer.to_vec();
        changed[at] ^= 0x80;
        changed
    });
    let all = std::iter::once(answer.to_vec()).chain(changed);
    all.map(|answer| {
        let region = Region::new(COUNTING);
        if let Ok(verified) = verify_answer(&FastEngine, &answer, Node::challenge(Kind::None), &KNOWN) {
            black_box(appraise(&FastEngine, facts(&verified), Some(policy)));
        }
        let stats = region.change();
        stats.bytes_allocated + usize::try_from(stats.bytes_reallocated.max(0)).unwrap()
    })
    .max()
    .unwrap()
}

fn judged(answer: &[u8], policy: &Policy) -> Verdict {
    let verified = verify_answer(&FastEngine, answer, Node::challenge(Kind::None), &KNOWN).unwrap();
    appraise(&FastEngine, facts(&verified), Some(policy))
}

fn facts<'a>(verified: &'a garant_attest::verify::Verified<'a>) -> Facts<'a> {
    static CHAIN: [Link; 1] = [Link { what: String::new(), basis: Basis::Silicon }];
    Facts {
        boot: verified.boot(),
        counters: verified.counters(),
        standing: Standing::Enrolled {
            root: RootClass::Silicon,
            chain: &CHAIN,
            witness: None,
            node_ids: &[[7; 32]],
            ak_name: verified.ak().name().as_bytes(),
        },
        configuration: None,
        channel: verified.kind(),
        age_s: 1,
        expires: None,
    }
}

/// What this log extends, learned.
fn policy(log: &[u8]) -> String {
    let log = EventLog::parse(log).unwrap();
    let list = |digests: &[garant_attest::engine::Digest]| {
        digests.iter().map(|digest| format!("\"{digest}\"")).collect::<Vec<_>>().join(", ")
    };
    let (mut banks, mut start) = (String::new(), 0);
    for hash in Hash::ALL.into_iter().filter(|hash| log.has_bank(*hash)) {
        let (locality, extends) = Firmware::learn_boot(&FastEngine, &log, hash).unwrap();
        let pcrs: String = extends.iter().map(|(pcr, digests)| format!("{pcr} = [{}]\n", list(digests))).collect();
        banks.push_str(&format!("[learned.extends.{}]\n{pcrs}", hash.name()));
        start = locality;
    }
    format!(
        "roots = [\"silicon\"]\nmax_age_s = 300\n[[learned]]\nby = \"bench\"\nwhen = \"now\"\nlocality = {start}\n\
         {banks}"
    )
}

/// The vectors' crypto-agile logs with a SHA-256 bank; without vectors, a log of the same size made here.
fn logs() -> Vec<Vec<u8>> {
    let all = vectors::under("eventlogs/").into_iter().filter(|vector| vector.file.ends_with(".bin"));
    let is_fit = |log: &Vec<u8>| {
        let parsed = EventLog::parse(log).ok().filter(|parsed| parsed.has_bank(Hash::Sha256));
        parsed.is_some_and(|parsed| parsed.events().all(|event| event.is_ok())) && floor::replay(log).is_some()
    };
    let found: Vec<Vec<u8>> = all.map(|vector| vector.bytes).filter(is_fit).collect();
    if found.is_empty() { vec![made()] } else { found }
}

fn made() -> Vec<u8> {
    let data = [7; 300];
    let events: Vec<(u32, u32, &[u8])> = (0..100).map(|event| (event % 8, 0x8000_0001, &data[..])).collect();
    garant_tests::forge::log(&events)
}

const KNOWN: Known<'_> = Known { ak_name: None, peer_key: None, counters: None, ima: None, held: &[] };
/// The log of the floor's own measurement.
const LOG_BYTES: usize = 38 * 1024;
