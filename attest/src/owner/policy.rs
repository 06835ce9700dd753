//! What a policy says of owners: with whom custody may begin, who is known by which key, whose word on holdings counts, and
//! which rules must be kept.

use super::{party::Country, rule_set::RuleSet};
use crate::{
    certificate::Certificate,
    engine::Engine,
    pem,
    place::policy::NamedKey,
    policy_values::{Hex, Key},
    roots::{Root, RootKind, Roots},
    statement::is_plain,
    tlog::{LogKey, LogTrust},
};
use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde::Deserialize;

/// Whose a machine must be, and whose word on that counts.
#[derive(Debug, Clone)]
pub struct OwnerPolicy {
    text: Text,
    rules: Vec<(RuleSet, Option<Vec<String>>)>,
    log: Option<LogTrust>,
    seal_roots: Roots,
}

/// Two policies of one text are equal.
impl PartialEq for OwnerPolicy {
    fn eq(&self, other: &OwnerPolicy) -> bool {
        self.text == other.text
    }
}

impl Eq for OwnerPolicy {}

/// By what a person of the policy is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Id under which statements about holdings know the person, such as `lei:…`.
    pub party: String,
    /// The person's key.
    pub key: Option<Key>,
    /// organizationIdentifier of a seal certificate below one of the policy's roots for seals.
    pub organization: Option<String>,
}

impl OwnerPolicy {
    /// Reads what the policy's text has under `[owner]`; the error says what is wrong.
    pub(crate) fn read(text: Text, engine: &dyn Engine) -> Result<OwnerPolicy, String> {
        text.check()?;
        let rules = text.rules.iter().map(Asked::read).collect::<Result<_, _>>()?;
        let log = text.log.as_ref().map(|log| log.read(engine)).transpose()?;
        let mut seal_roots = Roots::none();
        for root in &text.seal_root {
            seal_roots = seal_roots.with(root.read()?);
        }
        Ok(OwnerPolicy { rules, log, seal_roots, text })
    }

    /// With whom a chain of custody may begin: makers and adopters.
    pub fn makers(&self) -> &[NamedKey] {
        &self.text.maker
    }

    /// Key ids that no longer count.
    pub fn revoked(&self) -> Vec<[u8; 32]> {
        self.text.revoked.iter().map(|id| id.0).collect()
    }

    /// Roots of seal certificates.
    pub fn seal_roots(&self) -> &Roots {
        &self.seal_roots
    }

    /// Whom the policy accepts as owner.
    pub fn persons(&self) -> &[Person] {
        &self.text.person
    }

    /// Whose statements about holdings count.
    pub fn witnesses(&self) -> &[NamedKey] {
        &self.text.witness
    }

    /// In which country each key that authorises what boots is held: SHA-256 of the entry, and the policy's word.
    pub fn authorities(&self) -> Vec<([u8; 32], Country)> {
        self.text.authority.iter().map(|one| (one.sha256.0, one.country.clone())).collect()
    }

    /// Rule sets, and which of their rules are asked for; `None`: all.
    pub fn rules(&self) -> &[(RuleSet, Option<Vec<String>>)] {
        &self.rules
    }

    /// The logs in one of which the head of custody must stand.
    pub fn log(&self) -> Option<&LogTrust> {
        self.log.as_ref()
    }
}

/// `[owner]` of a policy, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    #[serde(default)]
    maker: Vec<NamedKey>,
    #[serde(default)]
    revoked: Vec<Hex<32>>,
    #[serde(default)]
    seal_root: Vec<SealRoot>,
    #[serde(default)]
    person: Vec<Person>,
    #[serde(default)]
    witness: Vec<NamedKey>,
    #[serde(default)]
    authority: Vec<Authority>,
    #[serde(default)]
    rules: Vec<Asked>,
    log: Option<Log>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealRoot {
    name: String,
    kind: RootKind,
    certificate: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authority {
    sha256: Hex<32>,
    country: Country,
}

/// A built-in rule set by its id, or the text of another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    set: Option<String>,
    text: Option<String>,
    ask: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    logs: Vec<String>,
    witnesses: Vec<String>,
    quorum: usize,
}

impl Text {
    fn check(&self) -> Result<(), String> {
        let mut names = self.maker.iter().chain(&self.witness).map(|key| &key.name);
        if let Some(name) = names.find(|name| !is_plain(name, crate::budget::STATEMENT_TEXT_BYTES)) {
            return Err(format!("{name:?} is no name"));
        }
        for person in &self.person {
            if person.key.is_none() == person.organization.is_none() {
                return Err(format!("person {:?} needs a `key` or an `organization`", person.party));
            }
            if !is_plain(&person.party, crate::budget::PARTY_ID_BYTES) {
                return Err(format!("{:?} is no id of a party", person.party));
            }
        }
        let mut known = BTreeSet::new();
        match self.authority.iter().find(|one| !known.insert(one.sha256.0)) {
            Some(_) => Err("one `authority` stands twice".to_string()),
            None => Ok(()),
        }
    }
}

impl SealRoot {
    fn read(&self) -> Result<Root, String> {
        let fault = |what: String| format!("seal root {:?}: {what}", self.name);
        let ders = pem::blocks(&self.certificate, "CERTIFICATE").map_err(|error| fault(error.to_string()))?;
        let [der] = ders.as_slice() else { return Err(fault("give one certificate in PEM".to_string())) };
        let certificate = Certificate::from_der(der).map_err(|error| fault(error.to_string()))?;
        Ok(Root::new(self.name.clone(), self.kind, Vec::new(), certificate))
    }
}

impl Asked {
    fn read(&self) -> Result<(RuleSet, Option<Vec<String>>), String> {
        let set = match (&self.set, &self.text) {
            (Some(id), None) => RuleSet::built_in(id).ok_or_else(|| format!("no rule set {id:?} comes with garant"))?,
            (None, Some(text)) => RuleSet::parse(text),
            _ => return Err("rules need the id of a `set`, or a `text` of your own".to_string()),
        };
        let set = set.map_err(|error| error.to_string())?;
        let asked = self.ask.iter().flatten();
        if let Some(unknown) = asked.into_iter().find(|id| !set.rule.iter().any(|rule| rule.id == **id)) {
            return Err(format!("rule set {:?} has no rule {unknown:?}", set.id));
        }
        if self.ask.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("`ask` of {:?} names no rule: leave it out to ask for all", set.id));
        }
        Ok((set, self.ask.clone()))
    }
}

impl Log {
    fn read(&self, engine: &dyn Engine) -> Result<LogTrust, String> {
        let keys =
            |texts: &[String]| texts.iter().map(|text| LogKey::parse(engine, text)).collect::<Result<Vec<_>, _>>();
        let trust = keys(&self.logs).and_then(|logs| LogTrust::new(logs, keys(&self.witnesses)?, self.quorum));
        trust.map_err(|fault| fault.to_string())
    }
}
