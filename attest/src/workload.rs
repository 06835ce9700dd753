//! What a machine ran and runs since it booted, from the entries of its ledger. Left out: what a policy says of it (`assess`).
//!
//! An entry counts only where a commit of the verified quote covers it; one that came later is nobody's word yet. What is
//! missing, hidden, void or contradictory makes the whole unknown and takes no start back that is shown.

mod assess;
pub mod policy;
mod problem;

pub use assess::{Evidence, assess};
pub use problem::Problem;

use crate::{
    budget,
    engine::{Engine, sha256},
    ledger::{Act, Asker, Commit, Content, EntryKind, Program, SentEntry, VmName},
};
use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, time::Duration};

/// Entries that a node sent, claimed all of them.
#[derive(Debug, Clone, Copy)]
pub struct SentLedger<'a> {
    /// From the first of this boot on.
    pub entries: &'a [SentEntry<'a>],
    /// Why there are no more of them.
    pub fault: Option<&'a str>,
}

/// What committed entries add up to. It is true of the machine as far as code wrote the ledger that keeps its rules: that the
/// image is closed is another's to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    runs: Vec<Run>,
    ready: Vec<(u64, Program)>,
    commits: u64,
    entries: u64,
    hidden: u64,
    voids: u64,
    gaps: u64,
    problem: Option<Problem>,
}

/// One run of a VM, from the intent to start it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    start: u64,
    vm: VmName,
    by: Asker,
    spec: [u8; 32],
    program: Program,
    ready: Option<u64>,
    started: Option<u64>,
    ended: Option<(u64, String)>,
    is_paused: bool,
    is_void: bool,
}

/// How far a run is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunState {
    /// It started, and did not end.
    Runs,
    /// The same, and it was paused.
    Paused,
    /// Its start has no result.
    MayRun,
    /// It started and ended.
    Ran,
    /// It ended, or its start was voided, without a word that it had started.
    MayHaveRun,
}

impl Workload {
    /// What the entries say that `commits` cover. The commits must be those of a verified quote; `sent` are numbered from 1.
    pub fn replay(engine: &dyn Engine, commits: impl Iterator<Item = Commit>, sent: &[SentEntry<'_>]) -> Workload {
        let sent = sent.get(..budget::LEDGER_ENTRIES).unwrap_or(sent);
        let mut replay = Replay::default();
        for commit in commits {
            let Some(next) = replay.workload.entries.checked_add(1) else { break };
            replay.workload.commits = replay.workload.commits.saturating_add(1);
            if commit.first != next || commit.last < commit.first {
                replay.note(Problem::Order { commit: replay.workload.commits });
                break;
            }
            replay.workload.entries = commit.last;
            replay.extended_before = commit.first.saturating_sub(1);
            match committed(engine, &commit, sent) {
                Ok(entries) => (commit.first..).zip(entries).for_each(|(number, entry)| replay.take(number, entry)),
                Err(problem) => replay.note(problem),
            }
        }
        replay.workload
    }

    /// All runs, in the order of their starts.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What waits in the pool and may run, with the numbers of the entries.
    pub fn ready(&self) -> &[(u64, Program)] {
        &self.ready
    }

    /// Number of the last committed entry.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many bodies are hidden.
    pub fn hidden(&self) -> u64 {
        self.hidden
    }

    /// How many voids there are.
    pub fn voids(&self) -> u64 {
        self.voids
    }

    /// How many gaps: what the node wrote down as one, commits that do not go on, and commits without their entries.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// The first that keeps it from being known whole.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }
}

/// The entries of one commit, where all of them came and are those that it covers.
fn committed<'e, 's>(
    engine: &dyn Engine,
    commit: &Commit,
    sent: &'e [SentEntry<'s>],
) -> Result<&'e [SentEntry<'s>], Problem> {
    let Commit { first, last, entries_digest } = *commit;
    let before = usize::try_from(first.saturating_sub(1)).unwrap_or(usize::MAX);
    let entries = usize::try_from(last).ok().and_then(|last| sent.get(before..last));
    let entries = entries.ok_or(Problem::Missing { first, last })?;
    let changed = Problem::Changed { first, last };
    let digests: Result<Vec<[u8; 32]>, _> = entries.iter().map(|entry| entry.digest(engine)).collect();
    let digests = digests.map_err(|_| changed)?;
    if sha256(engine, &[digests.as_flattened()]) == entries_digest { Ok(entries) } else { Err(changed) }
}

#[derive(Default)]
struct Replay {
    workload: Workload,
    /// Runs that did not end, by their place in the list.
    open: BTreeMap<VmName, usize>,
    /// The run of each intent, by number.
    intents: BTreeMap<u64, usize>,
    /// The last entry before this commit.
    extended_before: u64,
}

impl Replay {
    fn note(&mut self, problem: Problem) {
        let count = match problem {
            Problem::Order { .. } | Problem::Missing { .. } | Problem::Changed { .. } | Problem::Gap { .. } => {
                &mut self.workload.gaps
            }
            Problem::Void { .. } => &mut self.workload.voids,
            Problem::Hidden { .. } => &mut self.workload.hidden,
            Problem::Body { .. } | Problem::Foreign { .. } | Problem::Twice { .. } | Problem::NotReady { .. } => &mut 0,
        };
        *count = count.saturating_add(1);
        self.workload.problem.get_or_insert(problem);
    }

    fn take(&mut self, entry: u64, sent: &SentEntry<'_>) {
        match sent.kind {
            EntryKind::Void => self.note(Problem::Void { entry }),
            EntryKind::Gap => self.note(Problem::Gap { entry }),
            _ => {}
        }
        let Content::Open { body, .. } = sent.content else { return self.note(Problem::Hidden { entry }) };
        match Act::decode(sent.kind, body) {
            Ok(act) => self.apply(entry, sent.time, act),
            Err(error) => self.note(Problem::Body { entry, kind: sent.kind, error }),
        }
    }

    fn apply(&mut self, entry: u64, time: u64, act: Act) {
        match act {
            Act::Ready(program) => self.workload.ready.push((entry, program)),
            Act::Start { vm, by, spec, program, ready } => self.start(Run {
                start: entry,
                vm,
                by,
                spec,
                program,
                ready,
                started: None,
                ended: None,
                is_paused: false,
                is_void: false,
            }),
            Act::Started { vm, of } => match self.run(of, &vm) {
                Some(run) if run.start == of && run.started.is_none() => run.started = Some(time),
                _ => self.note(Problem::Foreign { entry, of }),
            },
            Act::Ended { vm, of, why } => match self.run(of, &vm) {
                Some(run) => {
                    run.ended = Some((time, why));
                    self.close(of, &vm);
                }
                None => self.note(Problem::Foreign { entry, of }),
            },
            Act::Pause(vm, _) => self.open_run(&vm).into_iter().for_each(|run| run.is_paused = true),
            Act::Resume(vm, _) => self.open_run(&vm).into_iter().for_each(|run| run.is_paused = false),
            Act::Stop(vm, _) | Act::Delete(vm, _) => {
                self.intents.extend(self.open.get(&vm).map(|run| (entry, *run)));
            }
            Act::Void(of) => self.void(of),
            Act::Gap(_) => {}
        }
    }

    fn start(&mut self, run: Run) {
        let at = self.workload.runs.len();
        self.intents.insert(run.start, at);
        if self.open.insert(run.vm.clone(), at).is_some() {
            self.note(Problem::Twice { entry: run.start });
        }
        if let Some(of) = run.ready.filter(|of| !self.is_ready(*of, &run.program)) {
            self.note(Problem::NotReady { entry: run.start, of });
        }
        self.workload.runs.push(run);
    }

    /// Whether an entry of a commit before said that this may run.
    fn is_ready(&self, of: u64, program: &Program) -> bool {
        let mut ready = self.workload.ready.iter();
        of <= self.extended_before && ready.any(|(entry, ready)| *entry == of && ready.covers(program))
    }

    /// A start that is voided holds its name no longer.
    fn void(&mut self, of: u64) {
        let Some(at) = self.intents.get(&of) else { return };
        let Some(run) = self.workload.runs.get_mut(*at).filter(|run| run.start == of && run.started.is_none()) else {
            return;
        };
        run.is_void = true;
        let vm = run.vm.clone();
        self.close(of, &vm);
    }

    /// The run of this VM that the intent is about, where it did not end.
    fn run(&mut self, of: u64, vm: &VmName) -> Option<&mut Run> {
        let run = self.workload.runs.get_mut(*self.intents.get(&of)?)?;
        (run.vm == *vm && run.ended.is_none()).then_some(run)
    }

    fn open_run(&mut self, vm: &VmName) -> Option<&mut Run> {
        self.workload.runs.get_mut(*self.open.get(vm)?)
    }

    fn close(&mut self, of: u64, vm: &VmName) {
        if self.open.get(vm) == self.intents.get(&of) {
            self.open.remove(vm);
        }
    }
}

impl Run {
    /// Number of the intent to start it.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Which VM.
    pub fn vm(&self) -> &VmName {
        &self.vm
    }

    /// Who asked for it.
    pub fn by(&self) -> Asker {
        self.by
    }

    /// SHA-256 of its specification.
    pub fn spec(&self) -> &[u8; 32] {
        &self.spec
    }

    /// What it was given to run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Number of the entry by which it was ready in the pool before it was asked for.
    pub fn ready(&self) -> Option<u64> {
        self.ready
    }

    /// How far it is known.
    pub fn state(&self) -> RunState {
        match (self.started.is_some(), self.ended.is_some()) {
            (true, false) if self.is_paused => RunState::Paused,
            (true, false) => RunState::Runs,
            (true, true) => RunState::Ran,
            (false, false) if !self.is_void => RunState::MayRun,
            (false, _) => RunState::MayHaveRun,
        }
    }
}

/// Times are by the node's clock.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { vm, program, .. } = self;
        let verb = match self.state() {
            RunState::Runs => "runs",
            RunState::Paused => "paused",
            RunState::MayRun => "may run",
            RunState::Ran => "ran",
            RunState::MayHaveRun => "may have run",
        };
        write!(f, "{verb} {vm}, kernel {}", Sha256Text(&program.kernel))?;
        match (self.started, &self.ended) {
            (Some(from), None) => write!(f, ", since {}", utc(from)),
            (Some(from), Some((to, why))) => write!(f, ", from {} to {}: {why}", utc(from), utc(*to)),
            (None, Some((to, why))) => write!(f, ", ended {} without a word that it started: {why}", utc(*to)),
            (None, None) if self.is_void => f.write_str(": its start was voided after a crash"),
            (None, None) => f.write_str(": its start has no result"),
        }
    }
}

/// A digest as the VM API and policies write it.
struct Sha256Text<'a>(&'a [u8; 32]);

impl fmt::Display for Sha256Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// RFC 3339; a time that no calendar has stays seconds.
fn utc(seconds: u64) -> String {
    let date = der::DateTime::from_unix_duration(Duration::from_secs(seconds));
    date.map_or_else(|_| alloc::format!("{seconds} s since 1970"), |date| date.to_string())
}

#[cfg(test)]
mod tests;
