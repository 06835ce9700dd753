//! A rule set against what was stated: for each rule yes, no or unknown, with the holdings that decided it.
//!
//! What rests on a number whose primary text nobody read says so; what cannot be computed is listed, never skipped.

use super::{
    control::{Float, Held, Holders},
    graph::{Graph, GraphTooLarge, Measure, Node, Testimony, counts},
    holdings::OpinionAnswer,
    party::Standing,
    rule_set::{Checked, Opinions, Percent, Question, Rule, RuleSet, Test},
    share::Share,
};
use crate::verdict::Answer;
use alloc::{format, string::String, vec::Vec};
use rungs::seal;

mod rungs;

/// What other parts of a verdict found.
#[derive(Debug, Clone, Default)]
pub struct Facts<'a> {
    /// Whether the machine is in the territory, and why.
    pub place: Option<(Answer, &'a str)>,
    /// Whether all keys that authorise what boots are held inside (see `boot_authority`), and why.
    pub boot_authority: Option<(Answer, &'a str)>,
}

/// The answer to one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleVerdict {
    /// As its source numbers it.
    pub id: String,
    /// What it asks.
    pub title: String,
    /// The answer.
    pub answer: Answer,
    /// Whether anything here can compute it.
    pub is_computed: bool,
    /// Why; for `no` the first names the path of holdings.
    pub reasons: Vec<String>,
    /// The answer under each reading of listed shares, where there are two.
    pub readings: Vec<(&'static str, Answer)>,
    /// What the answer rests on that nobody checked.
    pub residuals: Vec<String>,
}

/// The answers to all rules of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSetVerdict {
    /// Id and version of the set.
    pub id: String,
    /// Version of its text.
    pub version: String,
    /// No where one rule is broken, yes where all are kept.
    pub answer: Answer,
    /// Rule by rule.
    pub rules: Vec<RuleVerdict>,
    /// Names of those who said what is in the graph.
    pub testimony: Vec<String>,
    /// What stays to be trusted, and what was left out.
    pub residuals: Vec<String>,
    /// Where it ends, in seconds since 1970; `None` where no statement counted.
    pub expires: Option<u64>,
}

impl RuleSetVerdict {
    /// The answer to some of the rules: no where one is broken, yes where all are there and kept.
    pub fn answer_to(&self, ids: &[&str]) -> Answer {
        let answer =
            |id: &&str| self.rules.iter().find(|rule| rule.id == **id).map_or(Answer::Unknown, |rule| rule.answer);
        all(ids.iter().map(answer))
    }
}

/// What the statements say of the party `subject` under the rules, at `now` (seconds since 1970).
pub fn evaluate(
    set: &RuleSet,
    statements: &[Testimony<'_>],
    subject: &str,
    facts: &Facts<'_>,
    now: u64,
) -> Result<RuleSetVerdict, GraphTooLarge> {
    let graph = Graph::new(statements, set, now)?;
    let holders = Holders::of(&graph, subject);
    let judge = Judge { set, holders: holders.as_ref(), graph: &graph, statements, subject, facts, now };
    let rules: Vec<RuleVerdict> = set.rule.iter().map(|rule| judge.rule(rule)).collect();
    let mut residuals = graph.findings.clone();
    residuals.extend(RESIDUALS.map(String::from));
    if set.freshness.checked == Checked::Not {
        residuals.push(format!("that facts count for {} days: not checked in the primary text", set.freshness.days));
    }
    Ok(RuleSetVerdict {
        id: set.id.clone(),
        version: set.version.clone(),
        answer: all(rules.iter().map(|rule| rule.answer)),
        rules,
        testimony: graph.witnesses.clone(),
        residuals,
        expires: graph.expires,
    })
}

struct Judge<'j> {
    set: &'j RuleSet,
    graph: &'j Graph,
    holders: Option<&'j Holders<'j>>,
    statements: &'j [Testimony<'j>],
    subject: &'j str,
    facts: &'j Facts<'j>,
    now: u64,
}

/// An answer with its reasons.
struct Found {
    answer: Answer,
    reasons: Vec<String>,
    readings: Vec<(&'static str, Answer)>,
}

impl Found {
    fn new(answer: Answer, reason: impl Into<String>) -> Found {
        Found { answer, reasons: Vec::from([reason.into()]), readings: Vec::new() }
    }
}

impl Judge<'_> {
    fn rule(&self, rule: &Rule) -> RuleVerdict {
        let mut found = self.test(&rule.test);
        if rule.opinion == Opinions::Accepted && found.answer == Answer::Unknown {
            self.opine(rule, &mut found);
        }
        let is_computed = !matches!(rule.test, Test::NotComputed { .. } | Test::Seal { question: Question::Other, .. });
        let residuals = rule.test.unchecked();
        let Found { answer, reasons, readings } = found;
        RuleVerdict {
            id: rule.id.clone(),
            title: rule.title.clone(),
            answer,
            is_computed,
            reasons,
            readings,
            residuals,
        }
    }

    fn test(&self, test: &Test) -> Found {
        let of_fact = |fact: Option<(Answer, &str)>, missing: &str| match fact {
            Some((answer, why)) => Found::new(answer, why),
            None => Found::new(Answer::Unknown, missing),
        };
        match test {
            Test::Place {} => return of_fact(self.facts.place, "nothing is known of the machine's place"),
            Test::BootAuthority {} => return self.boot_authority(),
            Test::NotComputed { why } => return Found::new(Answer::Unknown, format!("not computed: {why}")),
            Test::Seal { question: Question::Location, minimum, levels } => {
                return seal(
                    *minimum,
                    levels,
                    self.location(),
                    "place of this machine, which is not all of the service",
                );
            }
            Test::Seal { question: Question::Other, minimum, levels } => {
                return seal(*minimum, levels, (0, usize::MAX), "not computed");
            }
            _ => {}
        }
        let Some((holders, node)) = self.holders.and_then(|holders| Some((holders, holders.subject()?))) else {
            return Found::new(Answer::Unknown, format!("no statement that counts speaks of {}", self.subject));
        };
        match test {
            Test::Establishment {} => self.establishment(node),
            Test::Holdings { single, together } => self.holdings(holders, single.percent, together.percent),
            Test::Rights {} => self.rights(holders, node),
            Test::Control { majority } => self.control(holders, node, majority),
            Test::Seal { question: Question::Control, minimum, levels } => {
                let (rungs, words) = self.share_rungs(holders);
                seal(*minimum, levels, rungs, &words)
            }
            Test::Seal { minimum, levels, .. } => seal(*minimum, levels, rungs::jurisdiction(node), "establishment"),
            _ => Found::new(Answer::Unknown, "nothing is known"),
        }
    }

    fn establishment(&self, node: &Node) -> Found {
        let name = &self.set.territory.name;
        match node.standing {
            Standing::Inside => Found::new(
                Answer::Yes,
                format!("{} has seat, central administration and principal establishment in {name}", node.name),
            ),
            Standing::Outside => {
                Found::new(Answer::No, format!("{} has one of its three places outside {name}", node.name))
            }
            Standing::Undecided => Found::new(
                Answer::Unknown,
                format!("places of {} that {name} leaves undecided, or on which statements differ", node.name),
            ),
            Standing::Unstated => {
                Found::new(Answer::Unknown, format!("not all three places of {} are stated", node.name))
            }
        }
    }

    fn holdings(&self, holders: &Holders<'_>, single: Share, together: Share) -> Found {
        let mut found = Found { answer: Answer::Unknown, reasons: Vec::new(), readings: Vec::new() };
        let parents = holders.subject().map(|node| node.parents.as_slice()).unwrap_or_default();
        for (float, held) in holders.held_in_both(single) {
            let answer = all(held.iter().map(|held| kept(held, single, together)));
            found.readings.push((float.name(), answer));
            if float == Float::from(self.set.listed) {
                found.answer = answer;
                found.reasons = Measure::ALL
                    .into_iter()
                    .zip(&held)
                    .flat_map(|(measure, held)| words(measure, held, single, together))
                    .chain(
                        parents
                            .iter()
                            .take(1)
                            .map(|one| format!("{} consolidates it in the end", self.graph.words(*one))),
                    )
                    .collect();
            }
        }
        found
    }

    fn rights(&self, holders: &Holders<'_>, node: &Node) -> Found {
        let kinds = [("a veto", &node.veto), ("the appointment of the majority of a body", &node.board)];
        let (surely, maybe) = (holders.are_controlled(), holders.may_be_controlled());
        let is = |those: &[bool], who: &usize| those.get(*who) == Some(&true);
        let mut reasons = Vec::new();
        let mut answers = Vec::new();
        for (right, who) in kinds {
            if let Some(one) = who.undisputed().find(|one| is(&surely, one)) {
                reasons.insert(0, format!("{} has {right}", self.graph.words(one)));
                answers.push(Answer::No);
            } else if let Some(one) = who.holders().find(|one| is(&maybe, one)) {
                reasons.push(format!("{} has {right} and may be controlled from outside", self.graph.words(one)));
                answers.push(Answer::Unknown);
            } else if !who.is_complete() || node.is_murky {
                reasons.push(format!("that nobody else has {right} is not asserted"));
                answers.push(Answer::Unknown);
            } else {
                reasons.push(format!("nobody outside has {right}"));
                answers.push(Answer::Yes);
            }
        }
        Found { answer: all(answers.into_iter()), reasons, readings: Vec::new() }
    }

    /// Decisive influence has no number, so that this ends in no or in unknown; an opinion may say yes.
    fn control(&self, holders: &Holders<'_>, node: &Node, majority: &Percent) -> Found {
        let [_, votes] = holders.held(self.set.listed.into(), majority.percent);
        if votes.single.lower.exceeds(majority.percent) && !votes.single.lower.contradicts(votes.single.upper) {
            return Found::new(Answer::No, votes.path.unwrap_or_default());
        }
        let is_outside =
            |at: &usize| self.graph.nodes.get(*at).is_some_and(|parent| parent.standing == Standing::Outside);
        // There is one parent, so that statements which name several, or none, differ.
        if let Some(parent) = node.parents.first()
            && node.exceptions.is_empty()
            && node.parents.iter().all(is_outside)
        {
            return Found::new(Answer::No, format!("{} consolidates it in the end", self.graph.words(*parent)));
        }
        let surely = holders.are_controlled();
        let is_controlled = |one: &usize| surely.get(*one) == Some(&true);
        if let Some(one) = node.board.undisputed().find(is_controlled) {
            return Found::new(Answer::No, format!("{} appoints the majority of a body", self.graph.words(one)));
        }
        let mut found =
            Found::new(Answer::Unknown, "no number excludes a decisive influence; an auditor's opinion would");
        found.reasons.extend(
            node.exceptions
                .iter()
                .map(|exception| format!("its parent is not named ({exception:?}), which is not that it has none")),
        );
        found
    }

    fn boot_authority(&self) -> Found {
        match self.facts.boot_authority {
            Some((Answer::No, why)) => Found::new(Answer::No, why),
            Some((_, why)) => Found::new(Answer::Unknown, format!("{why}; other ways into the machine are not seen")),
            None => Found::new(Answer::Unknown, "nothing is known of the keys that authorise what boots"),
        }
    }

    fn opine(&self, rule: &Rule, found: &mut Found) {
        let mut opinions: Vec<(OpinionAnswer, &str)> = Vec::new();
        for Testimony { holdings, who } in self.statements {
            if counts(holdings.claims(), self.set, self.now).is_err() {
                continue;
            }
            let own = holdings.claims().opinions.iter();
            let fitting =
                own.filter(|one| one.subject == self.subject && one.rule_set == self.set.id && one.rule == rule.id);
            opinions.extend(fitting.map(|one| (one.answer, *who)));
        }
        let has = |answer: OpinionAnswer| opinions.iter().any(|(found, _)| *found == answer);
        found.answer = match (has(OpinionAnswer::Yes), has(OpinionAnswer::No)) {
            (true, false) => Answer::Yes,
            (false, true) => Answer::No,
            _ => return,
        };
        found
            .reasons
            .splice(0..0, opinions.iter().map(|(answer, who)| format!("opinion of {who}: {}", Answer::from(*answer))));
    }
}

/// Whether the bounds of one measure keep both limits.
fn kept(held: &Held, single: Share, together: Share) -> Answer {
    let of = |bounds: &super::control::Bounds, limit: Share| match bounds {
        bounds if bounds.lower.contradicts(bounds.upper) => Answer::Unknown,
        bounds if bounds.lower.exceeds(limit) => Answer::No,
        bounds if bounds.upper <= limit => Answer::Yes,
        _ => Answer::Unknown,
    };
    all([of(&held.single, single), of(&held.together, together)].into_iter())
}

fn words(measure: Measure, held: &Held, single: Share, together: Share) -> Vec<String> {
    let name = measure.name();
    let path = held.path.clone().filter(|_| kept(held, single, together) != Answer::Yes);
    let bounds = format!(
        "{name}: one holder outside has {} (at most {single}), all together {} (at most {together})",
        held.single, held.together
    );
    path.into_iter().chain([bounds]).collect()
}

/// No beats unknown, and yes needs all.
fn all(answers: impl Iterator<Item = Answer>) -> Answer {
    let mut has_any = false;
    let mut result = Answer::Yes;
    for answer in answers {
        has_any = true;
        result = match (result, answer) {
            (Answer::No, _) | (_, Answer::No) => Answer::No,
            (Answer::Unknown, _) | (_, Answer::Unknown) => Answer::Unknown,
            (Answer::Yes, Answer::Yes) => Answer::Yes,
        };
    }
    if has_any { result } else { Answer::Unknown }
}

/// What no statement about shares can show.
const RESIDUALS: [&str; 4] = [
    "that named keys told the truth about holdings, and all of it: pacts, options and strawmen are not seen",
    "that two ids in statements are two parties",
    "rights over companies between a holder and the owner, as far as nobody stated them",
    "debt, licences and orders: influence without a share",
];

#[cfg(test)]
mod tests;
