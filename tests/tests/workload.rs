//! What a node ran: a forged one that writes a ledger, and a verifier that asks for its entries.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use garant_attest::{
    budget,
    carried::Carried,
    cbor,
    ledger::{Act, Asker, Entry, Program, SentEntry, VmName},
    parts,
    policy::Policy,
    verdict::{Answer as Verdict3, PartVerdict, TrustVector, Verdict},
    verify::{Challenge, Known, Verified, verify},
    wire::{Ask, Entries, Identity, Kind, LedgerAsk},
    workload::SentLedger,
};
use garant_channel::{
    engine::FastEngine,
    http::{self, Answer, CBOR, Request},
};
use garant_tests::{
    forge::{self, Node},
    garant::garant,
};
use garant_verifier::{
    clock::Clock,
    dial::{Address, Link},
    ledger::Ledger,
    session::Session,
};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::net::UnixListener;

const GOOD: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [9; 32];

/// A VM that runs this kernel, and one that ran and ended.
fn acts(kernel: [u8; 32]) -> Vec<Act> {
    let (web, job) = (VmName::new("web", 1).unwrap(), VmName::new("job", 7).unwrap());
    let start = |vm: &VmName, kernel| Act::Start {
        vm: vm.clone(),
        by: Asker::Local,
        spec: [3; 32],
        program: Program { kernel, initrd: None, command_line: [2; 32], disks: vec![] },
        ready: None,
    };
    vec![
        start(&job, GOOD),
        Act::Started { vm: job.clone(), of: 1 },
        Act::Stop(job.clone(), Asker::Key([5; 32])),
        Act::Ended { vm: job, of: 3, why: "guest shut down".into() },
        start(&web, kernel),
        Act::Started { vm: web, of: 5 },
    ]
}

fn entries(acts: &[Act]) -> Vec<Entry> {
    (1..)
        .zip(acts)
        .map(|(number, act)| Entry::new(act, 1_800_000_000 + u64::from(number), [number; 16]).unwrap())
        .collect()
}

fn node(entries: &[Entry]) -> Node {
    let mut node = Node::new(forge::log(&[(0, 8, b"firmware")]));
    node.commit(entries, 2);
    node
}

fn verified(answer: &[u8]) -> Verified<'_> {
    let known = Known { ak_name: None, peer_key: None, counters: None, ima: None, held: &[] };
    verify(&FastEngine, answer, Node::challenge(Kind::TlsServer), &known).unwrap()
}

/// The workload part, had boot been a yes for a closed image.
fn judged(verified: &Verified<'_>, ledger: SentLedger<'_>) -> PartVerdict {
    let unknown = || PartVerdict::unknown("");
    let mut verdict = Verdict {
        boot: PartVerdict { answer: Verdict3::Yes, ..unknown() },
        place: unknown(),
        owner: unknown(),
        workload: unknown(),
        closed: Verdict3::Yes,
        channel: Kind::TlsServer,
        residual_trust: Vec::new(),
        expires: None,
        policy_digest: None,
        geographic: None,
        vector: TrustVector::default(),
    };
    let text = format!("roots = [\"test\"]\nmax_age_s = 1\n[workload]\nkernels = [\"{}\"]", "01".repeat(32));
    let policy = Policy::parse(text.as_bytes(), &FastEngine).unwrap();
    let carried = Carried::default();
    let evidence = parts::Evidence {
        engine: &FastEngine,
        verified,
        node_ids: &[],
        carried: &carried,
        fault: None,
        ledger,
        now: 0,
    };
    parts::add_workload(&mut verdict, policy.workload(), &evidence);
    verdict.workload
}

fn judged_whole(answer: &[u8], entries: &[Entry]) -> PartVerdict {
    let sent: Vec<SentEntry<'_>> = entries.iter().map(Entry::open).collect();
    judged(&verified(answer), SentLedger { entries: &sent, fault: None })
}

#[test]
fn what_a_quote_commits_to_is_judged_by_what_the_policy_names() {
    for (kernel, expected) in [(GOOD, Verdict3::Yes), (OTHER, Verdict3::No)] {
        let entries = entries(&acts(kernel));
        let answer = node(&entries).fresh(&Node::challenge(Kind::TlsServer));
        assert_eq!(verified(&answer).commits().count(), 3);
        let part = judged_whole(&answer, &entries);
        assert_eq!(part.answer, expected, "{part:?}");
    }
}

#[test]
fn commits_that_do_not_lead_to_the_quoted_pcr_are_none() {
    let entries = entries(&acts(GOOD));
    let mut node = node(&entries);
    node.commits.truncate(96);
    let answer = node.fresh(&Node::challenge(Kind::TlsServer));
    assert_eq!(verified(&answer).commits().count(), 0);
    let part = judged_whole(&answer, &entries);
    assert!(part.answer == Verdict3::Unknown && part.reasons[0].starts_with("check boot identity"), "{part:?}");
}

#[test]
fn a_cached_answer_over_a_ledger_that_went_on_is_unknown() {
    let entries = entries(&acts(GOOD));
    let node = node(&entries);
    let challenge = Node::challenge(Kind::TlsServer);
    for (answer, expected) in [
        (node.cached(&challenge), Verdict3::Yes),
        (node.cached_at(&challenge, 4), Verdict3::Unknown),
        (node.cached_at(&challenge, 2), Verdict3::Unknown),
    ] {
        assert_eq!(judged_whole(&answer, &entries).answer, expected);
    }
}

/// A node on a Unix socket that sends entries as the closure says; on `None` it knows no such path.
async fn serve(
    folder: &Path,
    entries: &[Entry],
    send: impl Fn(u64) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> String {
    let path = folder.join("node.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (node, send) = (Arc::new(node(entries)), Arc::new(send));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (node, send) = (node.clone(), send.clone());
            let answer = move |request: Request| match request.path.as_str() {
                "/v1/identity" => Some(
                    cbor::encode(&Identity::new(&node.ak_public, heapless::Vec::new(), heapless::Vec::new())).unwrap(),
                ),
                "/v1/evidence" => {
                    let nonce = *Ask::decode(&request.body).unwrap().1;
                    Some(node.fresh(&Challenge { kind: Kind::None, nonce, binder: [0; 32] }))
                }
                "/v1/ledger" => send(LedgerAsk::decode(&request.body).unwrap().1),
                _ => None,
            };
            let _ = http::serve(stream, 1 << 16, async |request| match answer(request) {
                Some(body) => Answer::new(200, CBOR, body),
                None => Answer::new(404, "text/plain", "no such path"),
            })
            .await;
        }
    });
    format!("unix:{}", path.display())
}

fn message(first: u64, entries: &[Entry]) -> Vec<u8> {
    cbor::encode(&Entries::new(first, entries.iter().map(Entry::open).collect()).unwrap()).unwrap()
}

/// What the verifier makes of a node that sends so.
async fn asked(entries: &[Entry], send: impl Fn(u64) -> Option<Vec<u8>> + Send + Sync + 'static) -> PartVerdict {
    let folder = TempDir::new().unwrap();
    let address: Address = serve(folder.path(), entries, send).await.parse().unwrap();
    let mut session = Session::new(Link::dial(&address, None).await.unwrap(), Clock::of_this_boot().unwrap());
    let answer = node(entries).fresh(&Node::challenge(Kind::TlsServer));
    let verified = verified(&answer);
    let ledger = Ledger::ask(&mut session, &verified).await;
    let sent = ledger.entries();
    judged(&verified, ledger.sent(&sent))
}

#[tokio::test]
async fn entries_are_asked_for_until_all_are_there() {
    let entries = entries(&acts(GOOD));
    for at_a_time in [1, 2, 4, 6] {
        let own = entries.clone();
        let send = move |first: u64| {
            let from = usize::try_from(first).unwrap() - 1;
            Some(message(first, &own[from..own.len().min(from + at_a_time)]))
        };
        let part = asked(&entries, send).await;
        assert_eq!(part.answer, Verdict3::Yes, "{at_a_time}: {part:?}");
    }
    let part = asked(&[], |_| unreachable!("a ledger without commits has no entries")).await;
    assert_eq!(part.answer, Verdict3::Yes, "{part:?}");
}

#[tokio::test]
async fn a_node_that_sends_other_entries_or_none_is_unknown_and_no_error() {
    let good = entries(&acts(GOOD));
    let other = entries(&acts(OTHER));
    type Send = Box<dyn Fn(u64) -> Option<Vec<u8>> + std::marker::Send + Sync>;
    let (first_four, beyond, lied) = (good[..4].to_vec(), good.clone(), other.clone());
    let cases: [(&str, &str, Send); 7] = [
        ("no such path", "status 404", Box::new(|_| None)),
        ("none", "it has none from 1 on", Box::new(|first| Some(message(first, &[])))),
        ("none after four", "it has none from 5 on", {
            Box::new(move |first| Some(message(first, if first == 1 { &first_four } else { &[] })))
        }),
        ("from elsewhere", "it sends some from 2 on", Box::new(move |_| Some(message(2, &beyond[1..])))),
        ("garbage", "CBOR of another shape", Box::new(|_| Some(vec![0xff]))),
        ("too long", "", Box::new(|_| Some(vec![0; budget::ENTRIES_BYTES + 1]))),
        ("others", "not those that were committed", Box::new(move |first| Some(message(first, &lied)))),
    ];
    for (what, reason, send) in cases {
        let part = asked(&good, send).await;
        assert_eq!(part.answer, Verdict3::Unknown, "{what}: {part:?}");
        assert!(part.reasons.iter().any(|found| found.contains(reason)), "{what}: {part:?}");
    }
}

#[tokio::test]
async fn a_node_that_sends_one_entry_at_a_time_is_left_after_so_many() {
    let act = acts(GOOD)[0].clone();
    let many = vec![Entry::new(&act, 7, [7; 16]).unwrap(); budget::ENTRY_MESSAGES + 1];
    let own = many.clone();
    let part = asked(&many, move |first| Some(message(first, &own[..1]))).await;
    assert!(part.reasons.iter().any(|reason| reason.contains("more than are weighed")), "{part:?}");
}

#[tokio::test]
async fn verify_lists_what_runs_and_what_ran_and_says_whose_word_that_is() {
    let (folder, entries) = (TempDir::new().unwrap(), entries(&acts(GOOD)));
    let own = entries.clone();
    let address = serve(folder.path(), &entries, move |first| Some(message(first, &own))).await;
    let state = folder.path().join("state").display().to_string();
    let run = |more: &'static [&'static str]| {
        let (address, state) = (address.clone(), state.clone());
        let run = move || garant(&[&["verify", &address, "--state", &state][..], more].concat());
        tokio::task::spawn_blocking(run)
    };
    let output = run(&[]).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let word = "(testimony: software of the node that is not shown to be closed)";
    for line in ["runs web (generation 1), kernel sha256:", "ran job (generation 7), kernel sha256:"] {
        let line = format!("link      workload: {line}{}, ", "01".repeat(32));
        let found = text.lines().find(|found| found.starts_with(&line));
        assert!(found.is_some_and(|found| found.ends_with(word)), "{line} {text}");
    }
    let output = run(&["--json"]).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let workload = &json["parts"]["workload"];
    assert_eq!(workload["answer"], "unknown");
    let links = workload["links"].as_array().unwrap();
    assert!(links[1]["what"].as_str().unwrap().ends_with("since 2027-01-15T08:00:06Z"), "{workload:#}");
}
