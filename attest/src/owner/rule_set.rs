//! Rule sets as data: each with a version and a source, and for each number whether its primary text was read.

use super::{control::Float, party::Territory, share::Share};
use crate::{budget, statement::is_plain};
use alloc::{
    borrow::Cow,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use serde::{Deserialize, Deserializer, de::Error};

/// Texts of the rule sets that come with this release, with their ids.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("secnumcloud-3.2", include_str!("../../data/rules/secnumcloud-3.2.toml")),
    ("gaia-x-l3", include_str!("../../data/rules/gaia-x-l3.toml")),
    ("csf-2026-06", include_str!("../../data/rules/csf-2026-06.toml")),
];

/// A rule set as read from its text; holding one proves only that the text is sound.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Under which opinions name it.
    pub id: String,
    /// Version of this text, not of the law.
    pub version: String,
    /// What it is, for people.
    pub title: String,
    /// Where the rules stand.
    pub source: String,
    /// The reading of listed shares that decides; the other is printed beside it.
    pub listed: Listed,
    /// Whoever is not inside is a third party.
    pub territory: Territory,
    /// Whether a natural person outside is a third party, or whether the text leaves that open.
    pub persons_outside: Persons,
    /// How old facts may be.
    pub freshness: Days,
    /// The rules, in order.
    pub rule: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// As its source numbers it.
    pub id: String,
    /// What it asks.
    pub title: String,
    /// How it is answered.
    pub test: Test,
    /// Whether an auditor's opinion answers it where nothing else does.
    #[serde(default)]
    pub opinion: Opinions,
}

/// How a rule is answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Test {
    /// Seat, central administration and principal establishment of the subject are inside.
    Establishment {},
    /// No third party holds more than `single`, and all hold no more than `together`, in capital and in votes.
    Holdings {
        /// The most that one may hold.
        single: Percent,
        /// The most that all may hold.
        together: Percent,
    },
    /// No third party has a veto or appoints the majority of a body.
    Rights {},
    /// No third party controls the subject: never computed to yes, since influence has no number.
    Control {
        /// Votes above which one holder controls.
        majority: Percent,
    },
    /// No third party holds a key that authorises what boots.
    BootAuthority {},
    /// The machine is inside.
    Place {},
    /// A question with rungs, each of which reaches a level: answered by the share of those outside.
    Seal {
        /// What is asked.
        question: Question,
        /// The level that is asked for.
        minimum: u8,
        /// Levels of the rungs, from the worst to the best.
        levels: Levels,
    },
    /// Nothing here can answer it.
    NotComputed {
        /// Why, for people.
        why: String,
    },
}

/// Questions of the Cloud Sovereignty Framework that evidence bears on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Entirely outside, mostly outside, mostly within, entirely within.
    Control,
    /// Outside, mixed, exclusively inside.
    Jurisdiction,
    /// Unknown, partly, mainly, by default with exceptions, exclusively inside.
    Location,
    /// Another one: any rung.
    Other,
}

/// Levels of a question's rungs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// From the worst to the best.
    pub rungs: Vec<u8>,
    /// Whether the primary text was read.
    pub checked: Checked,
}

/// A percentage of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percent {
    /// As people write it.
    #[serde(deserialize_with = "percent")]
    pub percent: Share,
    /// Whether the primary text was read.
    pub checked: Checked,
}

/// Days of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// Days of 86,400 s.
    pub days: u32,
    /// Whether the primary text was read.
    pub checked: Checked,
}

/// Whether the primary text of a number was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checked {
    /// It was.
    Primary,
    /// It was not: an answer that rests on it says so.
    Not,
}

/// Which reading of listed shares decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listed {
    /// Declared holders only.
    Rule,
    /// Undeclared shares may be anybody's.
    Strict,
}

impl From<Listed> for Float {
    fn from(listed: Listed) -> Float {
        match listed {
            Listed::Rule => Float::Declared,
            Listed::Strict => Float::Anybodys,
        }
    }
}

/// How natural persons outside count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Persons {
    /// As third parties.
    Outside,
    /// The text does not say: they may be.
    Undecided,
}

/// Whether opinions answer a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opinions {
    /// They do not.
    #[default]
    Refused,
    /// They do.
    Accepted,
}

/// A text that is no rule set; its author is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSetError {
    /// Longer than [`budget::RULE_SET_BYTES`].
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// Not TOML, or not a rule set's; the message names line and column.
    Toml {
        /// From the TOML reader.
        message: String,
    },
    /// A value that contradicts the rest.
    Wrong {
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for RuleSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleSetError::TooLong { found_bytes } => {
                write!(f, "a rule set of {found_bytes} bytes where at most {} are read", budget::RULE_SET_BYTES)
            }
            RuleSetError::Toml { message } => write!(f, "{}", message.trim_end()),
            RuleSetError::Wrong { what } => f.write_str(what),
        }
    }
}

impl core::error::Error for RuleSetError {}

impl RuleSet {
    /// Reads a rule set.
    pub fn parse(text: &str) -> Result<RuleSet, RuleSetError> {
        if text.len() > budget::RULE_SET_BYTES {
            return Err(RuleSetError::TooLong { found_bytes: text.len() });
        }
        let set: RuleSet = toml::from_str(text).map_err(|e| RuleSetError::Toml { message: e.to_string() })?;
        set.check()?;
        Ok(set)
    }

    /// One that comes with this release.
    pub fn built_in(id: &str) -> Option<Result<RuleSet, RuleSetError>> {
        BUILT_IN.into_iter().find(|(known, _)| *known == id).map(|(_, text)| RuleSet::parse(text))
    }

    /// Seconds for which facts count after their as-of date.
    pub fn max_age_s(&self) -> u64 {
        u64::from(self.freshness.days).saturating_mul(DAY_S)
    }

    fn check(&self) -> Result<(), RuleSetError> {
        let wrong = |what: String| Err(RuleSetError::Wrong { what });
        if self.rule.is_empty() || self.rule.len() > budget::RULES {
            return wrong(format!("{} rules where 1 to {} are read", self.rule.len(), budget::RULES));
        }
        let texts = [&self.id, &self.version, &self.title, &self.source, &self.territory.name];
        let of_rules = self.rule.iter().flat_map(|rule| [&rule.id, &rule.title]);
        if let Some(text) = texts.into_iter().chain(of_rules).find(|text| !is_plain(text, budget::STATEMENT_TEXT_BYTES))
        {
            return wrong(format!("{text:?} is no id or title"));
        }
        if self.territory.inside.is_empty() {
            return wrong("the territory is empty: everybody would be outside".into());
        }
        if let Some(both) = self.territory.inside.iter().find(|code| self.territory.undecided.contains(code)) {
            return wrong(format!("{both} is inside and undecided"));
        }
        let mut seen = BTreeSet::new();
        if let Some(rule) = self.rule.iter().find(|rule| !seen.insert(&rule.id)) {
            return wrong(format!("rule {} stands twice", rule.id));
        }
        for rule in &self.rule {
            if let Test::Seal { question, minimum, levels } = &rule.test
                && !levels.fit(*question, *minimum)
            {
                return wrong(format!("rule {}: its levels do not fit its question", rule.id));
            }
        }
        Ok(())
    }
}

impl Test {
    /// Its numbers whose primary text was not read, in words.
    pub(super) fn unchecked(&self) -> Vec<String> {
        let number = |percent: &Percent| {
            let is_open = percent.checked == Checked::Not;
            is_open.then(|| format!("the number {}: not checked in the primary text", percent.percent))
        };
        match self {
            Test::Holdings { single, together } => [number(single), number(together)].into_iter().flatten().collect(),
            Test::Control { majority } => number(majority).into_iter().collect(),
            Test::Seal { levels: Levels { checked: Checked::Not, rungs }, .. } => {
                Vec::from([format!("the levels {rungs:?}: not checked in the primary text")])
            }
            _ => Vec::new(),
        }
    }
}

impl Levels {
    /// As many rungs as the question has, none worse than the one before, none above 4.
    fn fit(&self, question: Question, minimum: u8) -> bool {
        let is_count = match question {
            Question::Control => self.rungs.len() == 4,
            Question::Jurisdiction => self.rungs.len() == 3,
            Question::Location => self.rungs.len() == 5,
            Question::Other => (1..=8).contains(&self.rungs.len()),
        };
        is_count && self.rungs.is_sorted() && self.rungs.iter().all(|level| *level <= HIGHEST) && minimum <= HIGHEST
    }
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    Share::from_percent(&text).ok_or_else(|| D::Error::custom("expected a percentage such as \"24\" or \"33.3\""))
}

const DAY_S: u64 = 86_400;
/// SEAL-4.
const HIGHEST: u8 = 4;
