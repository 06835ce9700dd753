//! What a policy says of a workload.
//!
//! Yes needs every committed entry with its body, and every program that ran or may have run within the lists. No needs a
//! start that is shown to have had its result and to be outside of them. All else is unknown.

use super::{Run, RunState, Sha256Text, Workload, policy::WorkloadPolicy};
use crate::{
    budget,
    verdict::{Answer, Assessed, Basis, Link, PartVerdict},
};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

/// What is known beside the policy.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What the machine ran.
    pub workload: &'a Workload,
    /// All links of boot where the boot of a closed image was shown; else why not.
    pub premise: Result<&'a [Link], &'a str>,
    /// What else keeps the workload from being known, in words.
    pub missing: &'a [String],
}

/// The verdict on the workload, with what ran and what runs among its links. Without a policy it is unknown.
pub fn assess(policy: Option<&WorkloadPolicy>, evidence: &Evidence<'_>) -> Assessed {
    let mut found = Findings::of(policy, evidence);
    match (policy, evidence.premise) {
        (None, _) => found.missing.insert(0, NOT_ASKED.to_owned()),
        (Some(_), Err(why)) => found.missing.insert(0, why.to_owned()),
        (Some(_), Ok(_)) => {}
    }
    let answer = match (policy, evidence.premise) {
        (Some(_), Ok(_)) if !found.against.is_empty() => Answer::No,
        (Some(_), Ok(_)) if found.missing.is_empty() => Answer::Yes,
        _ => Answer::Unknown,
    };
    let against = if answer == Answer::No { capped(found.against) } else { Vec::new() };
    let reasons = against.into_iter().chain(capped(found.missing)).collect();
    let mut assessed =
        Assessed { part: PartVerdict { answer, reasons, links: links(evidence) }, ..Assessed::unknown("") };
    if answer != Answer::Unknown {
        assessed.residual_trust.push(CLOCK.to_owned());
        assessed.residual_trust.extend(policy.iter().flat_map(|policy| policy.unchecked()).map(unchecked));
    }
    assessed
}

fn unchecked(what: &str) -> String {
    format!("{what}: the policy does not look at them")
}

/// What speaks against the machine, and what is missing for a yes.
struct Findings {
    against: Vec<String>,
    missing: Vec<String>,
}

impl Findings {
    fn of(policy: Option<&WorkloadPolicy>, evidence: &Evidence<'_>) -> Findings {
        let Evidence { workload, missing, .. } = evidence;
        let mut found = Findings { against: Vec::new(), missing: Vec::new() };
        if let Some(problem) = workload.problem() {
            found.missing.push(format!("{problem}"));
        }
        let counts = [("gaps", workload.gaps), ("voids", workload.voids), ("hidden bodies", workload.hidden)];
        let counts = counts.iter().filter(|(_, count)| *count > 1).map(|(what, count)| format!("{what}: {count}"));
        found.missing.extend(counts);
        found.missing.extend(missing.iter().cloned());
        let Some(policy) = policy else { return found };
        for run in workload.runs() {
            let Some(what) = policy.refuses(run.program()) else { continue };
            let sentence = |verb: &str| format!("entry {}: {} {verb}, and {what}", run.start(), run.vm());
            match run.state() {
                RunState::Runs | RunState::Paused => found.against.push(sentence("runs")),
                RunState::Ran => found.against.push(sentence("ran")),
                RunState::MayRun | RunState::MayHaveRun => found.missing.push(sentence("may have run")),
            }
        }
        for (entry, program) in workload.ready() {
            let what = policy.refuses(program);
            found.missing.extend(what.map(|what| format!("entry {entry}: a VMM of the pool may run, and {what}")));
        }
        found
    }
}

/// The ledger, then what it says, as far as it is read out: what runs comes first.
fn links(evidence: &Evidence<'_>) -> Vec<Link> {
    let Evidence { workload, premise, .. } = evidence;
    let basis = || premise.map_or_else(|_| Basis::Testimony(OPEN_IMAGE.to_owned()), |_| Basis::Silicon);
    if premise.is_err() && workload.commits == 0 {
        return Vec::new();
    }
    let ledger = match workload.commits {
        0 => "the ledger holds nothing: no VM was started since this boot".to_owned(),
        commits => format!("{} entries in {commits} commits of the ledger replay to its PCR", workload.entries),
    };
    let mut lines = alloc::vec![ledger];
    let mut runs: Vec<&Run> = workload.runs().iter().collect();
    runs.sort_by_key(|run| (run.state(), core::cmp::Reverse(run.start())));
    let is_over = |run: &&Run| matches!(run.state(), RunState::Ran | RunState::MayHaveRun);
    let over = runs.iter().position(is_over).unwrap_or(runs.len());
    let (now, before) = runs.split_at_checked(over).unwrap_or_default();
    lines.extend(now.iter().map(|run| format!("{run}")));
    let pool = |(entry, program): &(u64, _)| pool(*entry, program);
    lines.extend(workload.ready().iter().map(pool));
    lines.extend(before.iter().map(|run| format!("{run}")));
    let more = lines.len().saturating_sub(budget::WORKLOAD_NAMED);
    if more > 0 {
        lines.truncate(budget::WORKLOAD_NAMED);
        lines.push(format!("and {more} more of which each is in the ledger"));
    }
    let own = lines.into_iter().map(|what| Link { what, basis: basis() });
    premise.unwrap_or_default().iter().cloned().chain(own).collect()
}

fn pool(entry: u64, program: &crate::ledger::Program) -> String {
    format!("may run: VMMs of the pool (entry {entry}), kernel {}", Sha256Text(&program.kernel))
}

/// The first reasons, and how many more there were.
fn capped(mut reasons: Vec<String>) -> Vec<String> {
    let more = reasons.len().saturating_sub(budget::WORKLOAD_REASONS);
    reasons.truncate(budget::WORKLOAD_REASONS);
    reasons.extend((more > 0).then(|| format!("and {more} more")));
    reasons
}

const NOT_ASKED: &str = "the policy does not ask what it runs";
const OPEN_IMAGE: &str = "software of the node that is not shown to be closed";
const CLOCK: &str = "the node's clock, for when its VMs ran";
