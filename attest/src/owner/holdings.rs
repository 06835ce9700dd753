//! Statements about who holds whom, in the vocabulary of BODS (Open Ownership, Beneficial Ownership Data Standard 0.4):
//! facts about parties, interests as exact shares or intervals, assertions that nobody else has a right, GLEIF's ultimate
//! parents, and auditors' opinions. A statement is one named key's word; what many say together is in `graph`.

use super::{
    party::{Party, PartyKind},
    share::{AtLeast, Share},
};
use crate::{
    budget,
    cbor::MapField,
    statement::{Claims, Lifetime, is_plain},
    verdict::Answer,
};
use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::{fmt, marker::PhantomData, ops::Deref};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

crate::int_map! {
    /// What a holdings statement says.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Holdings {
        /// exp: the first second at which it no longer counts, since 1970.
        4 => expires: u64,
        /// iat: when it was signed, seconds since 1970.
        6 => issued: u64,
        /// When all of it was so, seconds since 1970; rules count from here how old it is.
        -75070 => as_of: u64,
        /// Facts about parties.
        -75071 => parties: List<Party, { budget::STATED_PARTIES }>,
        /// Who holds what in whom.
        -75072 => interests: List<Interest, { budget::STATED_INTERESTS }>,
        /// What nobody else holds.
        -75073 => exclusions: List<Exclusion, { budget::STATED_PARTIES }>,
        /// Ultimate consolidating parents (GLEIF level 2).
        -75074 => parents: List<Parent, { budget::STATED_PARTIES }>,
        /// What an auditor answers where nothing can be computed.
        -75075 => opinions: List<Opinion, { budget::STATED_OPINIONS }>,
    }
}

crate::int_map! {
    /// One interest of one party in another.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Interest {
        /// In whom.
        1 => subject: String,
        /// Whose.
        2 => holder: String,
        /// Of what kind.
        3 => kind: InterestKind,
        /// Held by the holder itself, or through others.
        4 => way: Way,
        /// share.exact.
        5 => exact: Option<Share>,
        /// share.minimum.
        6 => minimum: Option<Share>,
        /// share.maximum.
        7 => maximum: Option<Share>,
        /// share.exclusiveMinimum: more than this.
        8 => exclusive_minimum: Option<Share>,
        /// share.exclusiveMaximum: less than this.
        9 => exclusive_maximum: Option<Share>,
        /// From when on, seconds since 1970; where absent, since ever.
        10 => start: Option<u64>,
        /// The first second at which it no longer is, since 1970.
        11 => end: Option<u64>,
    }
}

crate::int_map! {
    /// Nobody has an interest of this kind in the subject but those whom this statement lists, directly.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Exclusion {
        /// In whom.
        1 => subject: String,
        /// Of what kind.
        2 => kind: InterestKind,
    }
}

crate::int_map! {
    /// IS_ULTIMATELY_CONSOLIDATED_BY, or the exception that was filed instead: exactly one of the two.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Parent {
        /// Of whom.
        1 => subject: String,
        /// Who consolidates it in the end.
        2 => parent: Option<String>,
        /// Why none is named: that is unknown, and not that there is none.
        3 => exception: Option<Exception>,
    }
}

crate::int_map! {
    /// An auditor's answer to one rule.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Opinion {
        /// Of whom.
        1 => subject: String,
        /// Id of the rule set.
        2 => rule_set: String,
        /// Id of the rule.
        3 => rule: String,
        /// yes or no.
        4 => answer: OpinionAnswer,
    }
}

/// Kinds of interests: BODS' codes that a rule here reads, and the right of veto, which BODS has no code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InterestKind {
    /// A share of the capital.
    Shareholding,
    /// A share of the votes.
    VotingRights,
    /// The right to appoint the majority of a body.
    AppointmentOfBoard,
    /// The right to stop a decision; ours.
    Veto,
    /// An interest of which nothing else is known: any share, any right.
    UnknownInterest,
    /// One that the party does not publish.
    UnpublishedInterest,
    /// Held for somebody else.
    Nominee,
}

/// BODS' directOrIndirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// By the holder itself: it is a part of the subject's whole.
    Direct,
    /// Through others, whose direct shares hold it already.
    Indirect,
    /// One of the two.
    Unknown,
}

/// Reporting exceptions of GLEIF level 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Exception {
    /// The parent has no LEI.
    NoLei,
    /// Natural persons without a consolidating entity.
    NaturalPersons,
    /// The parent does not consolidate.
    NonConsolidating,
    /// No known person controls.
    NoKnownPerson,
    /// The relationship is not public.
    NonPublic,
}

/// An opinion has no third answer: who does not know says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OpinionAnswer {
    /// The rule is kept.
    Yes,
    /// It is broken.
    No,
}

impl From<OpinionAnswer> for Answer {
    fn from(answer: OpinionAnswer) -> Answer {
        match answer {
            OpinionAnswer::Yes => Answer::Yes,
            OpinionAnswer::No => Answer::No,
        }
    }
}

impl Interest {
    /// What is stated at least.
    pub fn lower(&self) -> AtLeast {
        let met = self.exact.or(self.minimum).map(AtLeast::met);
        met.or(self.exclusive_minimum.map(AtLeast::exceeded)).unwrap_or(AtLeast::NOTHING)
    }

    /// What is stated at most.
    pub fn upper(&self) -> Share {
        self.exact.or(self.maximum).or(self.exclusive_maximum).unwrap_or(Share::WHOLE)
    }

    /// Whether it is held at `time`, seconds since 1970.
    pub fn holds_at(&self, time: u64) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }

    /// Why it cannot be meant.
    fn fault(&self) -> Option<&'static str> {
        let is_one = |bounds: [bool; 3]| bounds.into_iter().filter(|is_there| *is_there).count() <= 1;
        let (exact, below) = (self.exact.is_some(), self.exclusive_maximum.is_some());
        let [minimum, above, maximum] =
            [self.minimum, self.exclusive_minimum, self.maximum].map(|share| share.is_some());
        if self.subject == self.holder && self.way != Way::Direct {
            return Some("interest of a party in itself through others");
        }
        if !is_one([exact, minimum, above]) || !is_one([exact, maximum, below]) {
            return Some("share, which is bounded twice");
        }
        let is_open_point = below && self.lower() >= AtLeast::met(self.upper());
        if self.lower().contradicts(self.upper()) || is_open_point {
            return Some("share, whose minimum is above its maximum");
        }
        let is_lasting = self.start.zip(self.end).is_none_or(|(start, end)| start < end);
        (!is_lasting).then_some("interest, which ends before it starts")
    }
}

impl Claims<'_> for Holdings {
    const CONTENT_TYPE: &'static str = "application/vnd.garant.holdings+cbor";

    fn lifetime(&self) -> Lifetime {
        Lifetime { issued: self.issued, not_before: None, expires: self.expires }
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.as_of > self.issued {
            return Err("as-of date, which is after its signature");
        }
        self.parties.iter().try_for_each(check_party)?;
        let parents = self.parents.iter();
        if parents.clone().any(|parent| parent.parent.is_some() == parent.exception.is_some()) {
            return Err("parent, which is one or an exception");
        }
        if let Some(fault) = self.interests.iter().find_map(Interest::fault) {
            return Err(fault);
        }
        let of_interests = self.interests.iter().flat_map(|interest| [&interest.subject, &interest.holder]);
        let of_parents = parents.clone().flat_map(|parent| [Some(&parent.subject), parent.parent.as_ref()]).flatten();
        let of_exclusions = self.exclusions.iter().map(|exclusion| &exclusion.subject);
        let of_opinions = self.opinions.iter().flat_map(|opinion| [&opinion.subject, &opinion.rule_set, &opinion.rule]);
        let mut ids = of_interests.chain(of_parents).chain(of_exclusions).chain(of_opinions);
        if !ids.all(|id| is_id(id)) {
            return Err("id");
        }
        let interests = self.interests.iter().map(|one| (&one.subject, &one.holder, one.kind, one.way == Way::Direct));
        if !is_distinct(self.parties.iter().map(|party| &party.id))
            || !is_distinct(interests)
            || !is_distinct(parents.map(|parent| &parent.subject))
            || !is_distinct(self.exclusions.iter().map(|exclusion| (&exclusion.subject, exclusion.kind)))
            || !is_distinct(self.opinions.iter().map(|one| (&one.subject, &one.rule_set, &one.rule)))
        {
            return Err("entry that stands twice");
        }
        Ok(())
    }
}

fn check_party(party: &Party) -> Result<(), &'static str> {
    let is_entity = party.kind == PartyKind::RegisteredEntity;
    let has_places = party.seat.is_some()
        || party.central_administration.is_some()
        || party.principal_establishment.is_some()
        || party.declaration_threshold.is_some();
    let is_person = party.kind == PartyKind::Person;
    let has_home = party.nationalities.is_some() || party.residence.is_some();
    let is_classifiable =
        matches!(party.kind, PartyKind::State | PartyKind::Trust | PartyKind::Foundation | PartyKind::Fund);
    if !is_id(&party.id) {
        return Err("party's id");
    }
    if !is_plain(&party.name, budget::STATEMENT_TEXT_BYTES) {
        return Err("party's name");
    }
    let fits = (is_entity || !has_places) && (is_person || !has_home);
    if !fits || (!is_classifiable && party.classification.is_some()) {
        return Err("party, which has facts of another kind");
    }
    Ok(())
}

/// Printable ASCII without a space: two ids that look the same are the same.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= budget::PARTY_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_distinct<T: Ord>(mut items: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.all(|item| seen.insert(item))
}

/// At most `N` items; a claimed length allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List<T, const N: usize>(Vec<T>);

impl<T, const N: usize> List<T, N> {
    /// The items; `None` where they are too many.
    pub fn new(items: Vec<T>) -> Option<List<T, N>> {
        (items.len() <= N).then_some(List(items))
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for List<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> serde::de::Visitor<'de> for Visitor<T, N> {
            type Value = List<T, N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {N} items")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    if list.len() >= N {
                        return Err(A::Error::custom("too many items"));
                    }
                    list.push(item);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_seq(Visitor(PhantomData))
    }
}

impl<T, const N: usize> MapField for List<T, N> {
    fn is_present(&self) -> bool {
        true
    }
    fn or_absent(read: Option<Self>) -> Option<Self> {
        read
    }
}

macro_rules! texts {
    ($($ty:ty),+) => { $(
        impl MapField for $ty {
            fn is_present(&self) -> bool { true }
            fn or_absent(read: Option<Self>) -> Option<Self> { read }
        }
    )+ };
}
texts!(InterestKind, Way, OpinionAnswer);

#[cfg(test)]
mod tests;
