#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests"
)]

use super::*;
use crate::{
    ledger::{BodyError, Entry},
    rust_engine::RustEngine,
    verdict::{Answer, Assessed, Basis, Link},
    workload::policy::WorkloadPolicy,
};
use alloc::{format, vec};

const GOOD: u8 = 1;
const OTHER: u8 = 9;

fn vm(id: &str) -> VmName {
    VmName::new(id, 1).unwrap()
}

fn program(kernel: u8) -> Program {
    Program { kernel: [kernel; 32], initrd: None, command_line: [2; 32], disks: vec![] }
}

fn start(id: &str, kernel: u8) -> Act {
    Act::Start { vm: vm(id), by: Asker::Local, spec: [3; 32], program: program(kernel), ready: None }
}

fn started(id: &str, of: u64) -> Act {
    Act::Started { vm: vm(id), of }
}

fn ended(id: &str, of: u64) -> Act {
    Act::Ended { vm: vm(id), of, why: "guest shut down".into() }
}

fn stop(id: &str) -> Act {
    Act::Stop(vm(id), Asker::Local)
}

/// What a node wrote, and what of it is committed. Each test changes one thing.
#[derive(Clone)]
struct Node {
    entries: Vec<Entry>,
    commits: Vec<Commit>,
}

impl Node {
    /// All of these committed, two by two.
    fn wrote(acts: &[Act]) -> Node {
        let entry = |(number, act): (u64, &Act)| Entry::new(act, 1000 + number, [number as u8; 16]).unwrap();
        let entries: Vec<Entry> = (1..).zip(acts).map(entry).collect();
        let mut node = Node { entries, commits: Vec::new() };
        for first in (1..=acts.len() as u64).step_by(2) {
            node.commit(first, (first + 1).min(acts.len() as u64));
        }
        node
    }

    fn commit(&mut self, first: u64, last: u64) {
        let covered = &self.entries[first as usize - 1..last as usize];
        let digests: Vec<[u8; 32]> = covered.iter().map(|entry| entry.digest(&RustEngine).unwrap()).collect();
        let entries_digest = sha256(&RustEngine, &[digests.as_flattened()]);
        self.commits.push(Commit { first, last, entries_digest });
    }

    fn sent(&self) -> Vec<SentEntry<'_>> {
        self.entries.iter().map(Entry::open).collect()
    }

    fn workload(&self) -> Workload {
        self.with(&self.sent())
    }

    /// Where it sends these.
    fn with(&self, sent: &[SentEntry<'_>]) -> Workload {
        Workload::replay(&RustEngine, self.commits.iter().copied(), sent)
    }
}

/// One VM that runs, one that ran; both with the good kernel.
fn sound() -> Vec<Act> {
    vec![start("web", GOOD), started("web", 1), start("job", GOOD), started("job", 3), stop("job"), ended("job", 5)]
}

fn policy() -> WorkloadPolicy {
    toml::from_str(&format!("kernels = [\"{}\"]", "01".repeat(32))).unwrap()
}

const BOOT: &[Link] = &[Link { what: String::new(), basis: Basis::Silicon }];

fn judged(workload: &Workload) -> Assessed {
    assess(Some(&policy()), &Evidence { workload, premise: Ok(BOOT), missing: &[] })
}

fn answer(workload: &Workload) -> Answer {
    judged(workload).part.answer
}

fn states(workload: &Workload) -> Vec<(&str, RunState)> {
    workload.runs().iter().map(|run| (run.vm().id(), run.state())).collect()
}

/// Nothing is yes, and this is the first reason.
fn assert_problem(workload: &Workload, problem: Problem) {
    assert_eq!(workload.problem(), Some(&problem));
    let part = judged(workload).part;
    assert_eq!((part.answer, part.reasons[0].as_str()), (Answer::Unknown, format!("{problem}").as_str()));
}

#[test]
fn a_ledger_that_came_whole_says_what_runs_and_what_ran_and_is_yes() {
    let workload = Node::wrote(&sound()).workload();
    assert_eq!(states(&workload), [("web", RunState::Runs), ("job", RunState::Ran)]);
    assert_eq!((workload.problem(), workload.entries()), (None, 6));
    let Assessed { part, residual_trust, .. } = judged(&workload);
    assert_eq!((format!("{part}"), part.reasons.len()), ("yes (silicon)".into(), 0));
    let links: Vec<&str> = part.links.iter().map(|link| link.what.as_str()).collect();
    assert_eq!(links[1], "6 entries in 3 commits of the ledger replay to its PCR");
    let kernel = "01".repeat(32);
    assert_eq!(links[2], format!("runs web (generation 1), kernel sha256:{kernel}, since 1970-01-01T00:16:42Z"));
    assert!(links[3].starts_with("ran job") && links[3].ends_with("to 1970-01-01T00:16:46Z: guest shut down"));
    assert!(residual_trust.iter().any(|what| what == "disks of VMs: the policy does not look at them"));
}

#[test]
fn a_node_that_started_nothing_is_yes_where_a_policy_asks() {
    let workload = Node::wrote(&[]).workload();
    assert_eq!(answer(&workload), Answer::Yes);
}

#[test]
fn a_dropped_entry_is_missing_and_never_skipped() {
    let node = Node::wrote(&sound());
    for at in 0..6 {
        let mut sent = node.sent();
        sent.remove(at);
        assert_ne!(answer(&node.with(&sent)), Answer::Yes, "entry {}", at + 1);
    }
    let sent = node.sent();
    assert_problem(&node.with(&sent[..4]), Problem::Missing { first: 5, last: 6 });
    assert_problem(&node.with(&[]), Problem::Missing { first: 1, last: 2 });
    assert_eq!(node.with(&[]).gaps(), 3);
}

#[test]
fn two_swapped_entries_are_not_those_that_were_committed() {
    let node = Node::wrote(&sound());
    let mut sent = node.sent();
    sent.swap(0, 1);
    assert_problem(&node.with(&sent), Problem::Changed { first: 1, last: 2 });
}

#[test]
fn a_changed_body_salt_time_or_kind_is_not_what_was_committed() {
    let node = Node::wrote(&sound());
    let other = Act::encode(&start("web", OTHER)).unwrap();
    let changes: [fn(&mut SentEntry<'_>); 3] = [
        |entry| entry.time += 1,
        |entry| entry.kind = EntryKind::Ready,
        |entry| {
            if let Content::Open { salt, .. } = &mut entry.content {
                salt[0] ^= 1;
            }
        },
    ];
    for change in changes {
        let mut sent = node.sent();
        change(&mut sent[0]);
        assert_problem(&node.with(&sent), Problem::Changed { first: 1, last: 2 });
    }
    let mut sent = node.sent();
    let Content::Open { salt, .. } = sent[0].content else { return };
    sent[0].content = Content::Open { salt, body: &other };
    let workload = node.with(&sent);
    assert_problem(&workload, Problem::Changed { first: 1, last: 2 });
    assert_eq!(states(&workload), [("job", RunState::Ran)], "what was changed is nobody's word");
}

#[test]
fn a_hidden_body_is_covered_and_leaves_the_whole_unknown() {
    let node = Node::wrote(&sound());
    for at in 0..6 {
        let mut sent = node.sent();
        sent[at] = node.entries[at].hidden(&RustEngine);
        let workload = node.with(&sent);
        assert_eq!((workload.hidden(), workload.gaps(), answer(&workload)), (1, 0, Answer::Unknown));
        assert_eq!(workload.problem().copied(), Some(Problem::Hidden { entry: at as u64 + 1 }));
    }
}

#[test]
fn a_void_is_unknown_and_its_start_holds_the_name_no_longer() {
    let node = Node::wrote(&[start("web", GOOD), Act::Void(1), start("web", GOOD), started("web", 3)]);
    let workload = node.workload();
    assert_problem(&workload, Problem::Void { entry: 2 });
    assert_eq!(states(&workload), [("web", RunState::MayHaveRun), ("web", RunState::Runs)]);
    assert_eq!(workload.voids(), 1);
}

#[test]
fn a_void_takes_no_start_back_that_is_shown() {
    let workload = Node::wrote(&[start("web", OTHER), started("web", 1), Act::Void(1)]).workload();
    assert_eq!((states(&workload), answer(&workload)), (vec![("web", RunState::Runs)], Answer::No));
}

#[test]
fn a_gap_that_the_node_wrote_down_is_unknown() {
    let mut acts = sound();
    acts.push(Act::Gap("the journal ends before entry 7".into()));
    assert_problem(&Node::wrote(&acts).workload(), Problem::Gap { entry: 7 });
}

#[test]
fn commits_that_do_not_go_on_are_a_gap_from_there_on() {
    let whole = Node::wrote(&sound());
    for (ranges, commit) in [
        (&[(2, 2)][..], 1),
        (&[(1, 2), (4, 6)], 2),
        (&[(1, 2), (2, 6)], 2),
        (&[(1, 2), (1, 2)], 2),
        (&[(1, 2), (5, 6), (3, 4)], 2),
    ] {
        let mut node = Node { commits: Vec::new(), ..whole.clone() };
        ranges.iter().for_each(|(first, last)| node.commit(*first, *last));
        let workload = node.workload();
        assert_problem(&workload, Problem::Order { commit });
        assert!(workload.runs().len() <= 1, "{ranges:?}");
    }
    for (first, last) in [(0, 2), (1, 0), (0, 0), (2, 1)] {
        let commits = vec![Commit { first, last, entries_digest: [0; 32] }];
        assert_problem(&Node { commits, ..whole.clone() }.workload(), Problem::Order { commit: 1 });
    }
    let commits = vec![Commit { first: 1, last: u64::MAX, entries_digest: [0; 32] }; 2];
    assert_problem(&Node { commits, ..whole }.workload(), Problem::Missing { first: 1, last: u64::MAX });
}

#[test]
fn what_was_shown_after_a_missing_commit_is_still_shown() {
    let node = Node::wrote(&[start("web", GOOD), started("web", 1), start("job", OTHER), started("job", 3)]);
    let mut sent = node.sent();
    sent[0].time += 1;
    let workload = node.with(&sent);
    assert_eq!((workload.gaps(), answer(&workload)), (1, Answer::No));
}

#[test]
fn entries_beyond_the_commits_prove_nothing() {
    let mut node = Node::wrote(&sound());
    let more = [ended("web", 1), start("more", OTHER), started("more", 8)];
    node.entries.extend(more.iter().map(|act| Entry::new(act, 2000, [7; 16]).unwrap()));
    let workload = node.workload();
    assert_eq!(states(&workload), [("web", RunState::Runs), ("job", RunState::Ran)]);
    assert_eq!((workload.entries(), answer(&workload)), (6, Answer::Yes));
    node.commit(7, 9);
    assert_eq!(answer(&node.workload()), Answer::No);
}

#[test]
fn a_result_of_what_is_no_open_intent_for_this_vm_is_a_problem() {
    for (what, more, of) in [
        ("another VM's start", started("job", 1), 1),
        ("a result", ended("web", 2), 2),
        ("nothing", ended("web", 99), 99),
        ("itself", ended("web", 7), 7),
        ("a second time", started("web", 1), 1),
        ("one that ended", started("job", 3), 3),
        ("ended twice", ended("job", 3), 3),
        ("a stop as a start", started("job", 5), 5),
        ("another VM's stop", ended("web", 5), 5),
    ] {
        let mut acts = sound();
        acts.push(more);
        let workload = Node::wrote(&acts).workload();
        assert_eq!(workload.problem().copied(), Some(Problem::Foreign { entry: 7, of }), "{what}");
        assert_eq!(answer(&workload), Answer::Unknown, "{what}");
    }
    let other_generation = VmName::new("web", 2).unwrap();
    let mut acts = sound();
    acts.push(Act::Ended { vm: other_generation, of: 1, why: "killed".into() });
    assert_problem(&Node::wrote(&acts).workload(), Problem::Foreign { entry: 7, of: 1 });
}

#[test]
fn a_vm_that_has_not_ended_does_not_start_again_and_one_that_has_does() {
    let mut acts = sound();
    acts.push(start("web", GOOD));
    assert_problem(&Node::wrote(&acts).workload(), Problem::Twice { entry: 7 });
    let mut acts = sound();
    acts.extend([start("job", GOOD), started("job", 7)]);
    let workload = Node::wrote(&acts).workload();
    assert_eq!((workload.problem(), answer(&workload)), (None, Answer::Yes));
    assert_eq!(states(&workload)[1..], [("job", RunState::Ran), ("job", RunState::Runs)]);
}

#[test]
fn a_body_that_cannot_be_read_is_a_problem_although_it_was_committed() {
    let node = Node::wrote(&sound());
    let mut sent = node.sent();
    sent[5].content = Content::Open { salt: [0; 16], body: b"\xa0" };
    let digests: Vec<[u8; 32]> = sent.iter().map(|entry| entry.digest(&RustEngine).unwrap()).collect();
    let entries_digest = sha256(&RustEngine, &[digests.as_flattened()]);
    let node = Node { commits: vec![Commit { first: 1, last: 6, entries_digest }], ..node.clone() };
    let workload = node.with(&sent);
    let problem = Problem::Body { entry: 6, kind: EntryKind::Ended, error: BodyError::Fields };
    assert_problem(&workload, problem);
}

#[test]
fn a_vm_runs_from_its_start_to_its_end_and_is_paused_between() {
    let by = Asker::Key([4; 32]);
    let acts = [
        start("web", GOOD),
        started("web", 1),
        Act::Pause(vm("web"), by),
        Act::Resume(vm("web"), by),
        stop("web"),
        ended("web", 1),
    ];
    let expected = [RunState::MayRun, RunState::Runs, RunState::Paused, RunState::Runs, RunState::Runs, RunState::Ran];
    for (count, state) in (1..).zip(expected) {
        let workload = Node::wrote(&acts[..count]).workload();
        assert_eq!((states(&workload), answer(&workload)), (vec![("web", state)], Answer::Yes), "{count}");
    }
    let never = Node::wrote(&[start("web", GOOD), ended("web", 1)]).workload();
    assert_eq!(states(&never), [("web", RunState::MayHaveRun)]);
}

#[test]
fn a_start_outside_the_lists_is_no_only_with_its_result_and_unknown_without() {
    let other = start("web", OTHER);
    for (more, expected) in [
        (&[][..], Answer::Unknown),
        (&[started("web", 1)], Answer::No),
        (&[started("web", 1), ended("web", 1)], Answer::No),
        (&[ended("web", 1)], Answer::Unknown),
    ] {
        let workload = Node::wrote(&[core::slice::from_ref(&other), more].concat()).workload();
        assert_eq!((workload.problem(), answer(&workload)), (None, expected), "{more:?}");
        let reason = judged(&workload).part.reasons[0].clone();
        assert!(reason.starts_with("entry 1: web") && reason.ends_with("is not in the policy"), "{reason}");
    }
}

#[test]
fn what_waits_in_the_pool_may_run() {
    for (kernel, expected) in [(GOOD, Answer::Yes), (OTHER, Answer::Unknown)] {
        let workload = Node::wrote(&[Act::Ready(program(kernel))]).workload();
        let part = judged(&workload).part;
        assert_eq!(part.answer, expected);
        assert!(part.links[2].what.starts_with("may run: VMMs of the pool (entry 1)"));
    }
}

fn claimed(of: u64, kernel: u8, disks: &[u8]) -> Act {
    let disks = disks.iter().map(|disk| [*disk; 32]).collect();
    let program = Program { disks, ..program(kernel) };
    Act::Start { vm: vm("web"), by: Asker::Local, spec: [3; 32], program, ready: Some(of) }
}

#[test]
fn a_start_from_the_pool_is_of_what_was_ready_and_extended_before() {
    let ready = Act::Ready(Program { disks: vec![[4; 32], [5; 32]], ..program(GOOD) });
    let other = Act::Ready(program(OTHER));
    // Each in a commit of two.
    let told = |start: Act| Node::wrote(&[ready.clone(), other.clone(), start, started("web", 3)]).workload();
    for disks in [&[][..], &[4], &[5, 4]] {
        let workload = told(claimed(1, GOOD, disks));
        assert_eq!((workload.problem(), states(&workload)), (None, vec![("web", RunState::Runs)]));
        assert_eq!(workload.runs()[0].ready(), Some(1));
    }
    for (what, start, of) in [
        ("another kernel", claimed(1, OTHER, &[]), 1),
        ("another image", claimed(1, GOOD, &[4, 6]), 1),
        ("another shape's entry", claimed(2, GOOD, &[]), 2),
        ("itself", claimed(3, GOOD, &[]), 3),
        ("nothing", claimed(99, GOOD, &[]), 99),
        ("what is no ready entry", claimed(0, GOOD, &[]), 0),
    ] {
        let workload = told(start);
        assert_eq!(workload.problem().copied(), Some(Problem::NotReady { entry: 3, of }), "{what}");
        assert_ne!(answer(&workload), Answer::Yes, "{what}");
    }
}

#[test]
fn a_start_from_the_pool_that_was_extended_with_what_made_it_ready_is_none() {
    let mut node = Node::wrote(&[Act::Ready(program(GOOD)), claimed(1, GOOD, &[]), started("web", 2)]);
    assert_problem(&node.workload(), Problem::NotReady { entry: 2, of: 1 });
    node.commits.clear();
    node.commit(1, 1);
    node.commit(2, 3);
    assert_eq!(answer(&node.workload()), Answer::Yes);
}

#[test]
fn a_start_from_the_pool_whose_ready_entry_is_hidden_is_unknown() {
    let acts = [Act::Ready(program(GOOD)), Act::Gap("x".into()), claimed(1, GOOD, &[]), started("web", 3)];
    let node = Node::wrote(&acts);
    let mut sent = node.sent();
    sent[0] = node.entries[0].hidden(&RustEngine);
    let workload = node.with(&sent);
    assert_eq!((workload.ready().len(), answer(&workload)), (0, Answer::Unknown));
    assert_eq!(workload.problem().copied(), Some(Problem::Hidden { entry: 1 }));
}

#[test]
fn an_open_image_proves_neither_yes_nor_no_and_its_list_is_its_own_word() {
    for kernel in [GOOD, OTHER] {
        let workload = Node::wrote(&[start("web", kernel), started("web", 1)]).workload();
        let evidence = Evidence { workload: &workload, premise: Err("the image is open"), missing: &[] };
        let Assessed { part, residual_trust, .. } = assess(Some(&policy()), &evidence);
        assert_eq!((part.answer, part.reasons[0].as_str()), (Answer::Unknown, "the image is open"));
        assert!(part.links.iter().any(|link| link.what.starts_with("runs web")));
        assert!(part.links.iter().all(|link| matches!(link.basis, Basis::Testimony(_))));
        assert!(residual_trust.is_empty());
    }
}

#[test]
fn a_policy_that_does_not_ask_is_unknown_and_lists_what_runs() {
    let workload = Node::wrote(&sound()).workload();
    let part = assess(None, &Evidence { workload: &workload, premise: Ok(BOOT), missing: &[] }).part;
    assert_eq!((part.answer, part.reasons.len()), (Answer::Unknown, 1));
    assert_eq!(part.links.len(), 4);
    let nothing = Node::wrote(&[]).workload();
    let part = assess(None, &Evidence { workload: &nothing, premise: Err("boot is unknown"), missing: &[] }).part;
    assert!(part.links.is_empty());
}

#[test]
fn what_else_is_missing_takes_a_yes_and_no_no() {
    let missing = ["the ledger is at commit 9 by now".into()];
    for (kernel, expected) in [(GOOD, Answer::Unknown), (OTHER, Answer::No)] {
        let workload = Node::wrote(&[start("web", kernel), started("web", 1)]).workload();
        let evidence = Evidence { workload: &workload, premise: Ok(BOOT), missing: &missing };
        let part = assess(Some(&policy()), &evidence).part;
        assert_eq!(part.answer, expected);
        assert!(part.reasons.contains(&missing[0]));
    }
}

#[test]
fn a_crowd_of_vms_is_counted_where_it_is_not_named_and_what_runs_is_named_first() {
    let mut acts = Vec::new();
    for number in 0..100u64 {
        let id = format!("vm-{number}");
        acts.extend([start(&id, OTHER), started(&id, 3 * number + 1), ended(&id, 3 * number + 1)]);
    }
    acts.extend([start("web", OTHER), started("web", 301)]);
    let part = judged(&Node::wrote(&acts).workload()).part;
    assert!(part.links[2].what.starts_with("runs web"), "{:?}", part.links[2]);
    assert_eq!(part.links.len(), BOOT.len() + budget::WORKLOAD_NAMED + 1);
    assert_eq!(part.links.last().unwrap().what, "and 62 more of which each is in the ledger");
    assert_eq!(part.reasons.len(), budget::WORKLOAD_REASONS + 1);
    assert_eq!(part.reasons.last().unwrap(), "and 85 more");
}

#[test]
fn entries_beyond_the_budget_are_not_weighed() {
    let act = start("web", GOOD);
    let entry = Entry::new(&act, 0, [0; 16]).unwrap();
    let sent = vec![entry.open(); budget::LEDGER_ENTRIES + 1];
    let last = sent.len() as u64;
    let commit = Commit { first: 1, last, entries_digest: [0; 32] };
    let workload = Workload::replay(&RustEngine, core::iter::once(commit), &sent);
    assert_problem(&workload, Problem::Missing { first: 1, last });
}
