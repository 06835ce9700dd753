//! What `garant check` prints: the outcome of every check, each PCR beside the log, and what follows.

use crate::event_words::hex;
use garant_attest::{
    measured::{MeasuredBoot, PcrState},
    quote::{PCRS, QuotedBank},
    verdict::PartVerdict,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// All outcomes.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether the evidence holds together.
    pub(crate) evidence: Evidence,
    /// For rejected evidence, the check or PCR that decides.
    pub(crate) reason: Option<String>,
    /// The verdict; `unknown` without an enrolment record or a policy.
    pub(crate) verdict: BTreeMap<&'static str, PartReport>,
    /// Whether the image is closed.
    pub(crate) closed: String,
    /// In the order in which they were made.
    pub(crate) checks: Vec<Check>,
    /// Each quoted PCR, for each bank.
    pub(crate) pcrs: BTreeMap<&'static str, BTreeMap<usize, PcrReport>>,
}

/// What all checks together say of the evidence itself; nothing about the machine follows from it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Evidence {
    Accepted,
    Rejected,
}

/// One part of the verdict.
#[derive(Debug, Serialize)]
pub(crate) struct PartReport {
    pub(crate) answer: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) basis: Vec<String>,
}

/// One check.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) check: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) detail: String,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Passed,
    Failed,
    NotDone,
}

/// One PCR.
#[derive(Debug, Serialize)]
pub(crate) struct PcrReport {
    pub(crate) state: &'static str,
    pub(crate) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replayed: Option<String>,
}

/// The state and the values of each quoted PCR.
pub(crate) fn pcr_reports(boot: &MeasuredBoot<'_>) -> BTreeMap<&'static str, BTreeMap<usize, PcrReport>> {
    let bank = |bank: &QuotedBank<'_>| {
        let hash = bank.hash();
        let pcr = |pcr| Some((pcr, pcr_report(boot.state(hash, pcr), hex(bank.pcr(pcr)?))));
        (hash.name(), (0..PCRS).filter_map(pcr).collect())
    };
    boot.pcrs().banks().iter().map(bank).collect()
}

fn pcr_report(state: PcrState, value: String) -> PcrReport {
    let (state, replayed) = match state {
        PcrState::NotQuoted => ("not quoted", None),
        PcrState::Replayed => ("replayed", None),
        PcrState::Capped => ("capped", None),
        PcrState::NotCovered => ("not covered", None),
        PcrState::Mismatch { replayed } => ("mismatch", Some(replayed.to_string())),
    };
    PcrReport { state, value, replayed }
}

/// One part of the verdict with all links of its basis.
pub(crate) fn part_report(part: &PartVerdict) -> PartReport {
    let basis = part.links.iter().map(|link| format!("{} ({})", link.what, link.basis)).collect();
    PartReport { answer: part.to_string(), reasons: part.reasons.clone(), basis }
}

impl Outcome {
    fn text(self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::NotDone => "not done",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{:<8}  {:<16}  {}", check.outcome.text(), check.check, check.detail)?;
        }
        for (bank, pcrs) in &self.pcrs {
            for (pcr, report) in pcrs {
                write!(f, "{bank} PCR {pcr:>2}  {}  {}", report.value, report.state)?;
                report.replayed.iter().try_for_each(|replayed| write!(f, ": the log leads to {replayed}"))?;
                writeln!(f)?;
            }
        }
        match (self.evidence, &self.reason) {
            (Evidence::Accepted, _) => writeln!(f, "evidence: accepted")?,
            (Evidence::Rejected, reason) => {
                writeln!(f, "evidence: rejected: {}", reason.as_deref().unwrap_or_default())?;
            }
        }
        for (part, report) in &self.verdict {
            writeln!(f, "{part}: {}", report.answer)?;
            report.reasons.iter().try_for_each(|reason| writeln!(f, "  {reason}"))?;
            report.basis.iter().try_for_each(|link| writeln!(f, "  rests on {link}"))?;
        }
        writeln!(f, "closed: {}", self.closed)
    }
}
