//! What many statements say together: a graph of parties and direct holdings, in intervals.
//!
//! Several statements about one holding give the hull of what they say, so that one false statement among them loses a
//! proof and makes none: where one says that these are all holders and another knows one more, neither is proven. What
//! contradicts itself counts as not stated. What is stale, ended or not yet is left out.

mod register;

pub(super) use register::{Holding, Register, Right};

use super::{
    holdings::{Exception, Holdings, Interest, InterestKind, Way},
    party::{Party, PartyKind, Standing},
    rule_set::{Persons, RuleSet},
    share::Share,
};
use crate::{
    budget,
    statement::{Claims, Signed},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};

/// A holdings statement whose signature was checked, with the name that the policy has for its signer.
#[derive(Debug, Clone, Copy)]
pub struct Testimony<'a> {
    /// The statement.
    pub holdings: &'a Signed<Holdings>,
    /// Its signer, for people.
    pub who: &'a str,
}

/// Which whole a share is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The capital.
    Capital,
    /// The voting rights.
    Votes,
}

impl Measure {
    /// Both.
    pub const ALL: [Measure; 2] = [Measure::Capital, Measure::Votes];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Capital => "capital",
            Measure::Votes => "votes",
        }
    }

    /// Its one of two.
    pub(super) fn of<T: Copy>(self, [capital, votes]: [T; 2]) -> T {
        match self {
            Measure::Capital => capital,
            Measure::Votes => votes,
        }
    }
}

/// Who may stand behind a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Anybody, whatever is stated of its holders.
    Anybody,
    /// Nobody holds it: it is one of those at the end of chains.
    Nobody,
    /// Its holders.
    Holders,
}

/// One party.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    /// What all statements agree on, once all are in.
    pub(super) standing: Standing,
    /// Who may stand behind it, once all are in.
    pub(super) behind: Behind,
    standings: Vec<Standing>,
    kinds: Vec<PartyKind>,
    /// Below this a holder may stay undeclared, and nobody above it is unstated.
    pub(super) listed: Option<Share>,
    /// Statements that say so.
    declarations: usize,
    pub(super) capital: Register,
    pub(super) votes: Register,
    /// Somebody unknown may hold any of it.
    pub(super) is_murky: bool,
    pub(super) board: Right,
    pub(super) veto: Right,
    pub(super) parents: Vec<usize>,
    pub(super) exceptions: Vec<Exception>,
}

impl Node {
    fn new(id: &str) -> Node {
        Node {
            id: id.into(),
            name: id.into(),
            standing: Standing::Unstated,
            behind: Behind::Anybody,
            standings: Vec::new(),
            kinds: Vec::new(),
            listed: None,
            declarations: 0,
            capital: Register::default(),
            votes: Register::default(),
            is_murky: false,
            board: Right::default(),
            veto: Right::default(),
            parents: Vec::new(),
            exceptions: Vec::new(),
        }
    }

    pub(super) fn register(&self, measure: Measure) -> &Register {
        match measure {
            Measure::Capital => &self.capital,
            Measure::Votes => &self.votes,
        }
    }

    fn register_mut(&mut self, measure: Measure) -> &mut Register {
        match measure {
            Measure::Capital => &mut self.capital,
            Measure::Votes => &mut self.votes,
        }
    }

    /// What all statements agree on; two that differ leave it undecided.
    fn agreed_standing(&self) -> Standing {
        let has = |standing| self.standings.contains(&standing);
        match (has(Standing::Inside), has(Standing::Outside), has(Standing::Undecided)) {
            (true, true, _) | (_, _, true) => Standing::Undecided,
            (true, false, false) => Standing::Inside,
            (false, true, false) => Standing::Outside,
            (false, false, false) => Standing::Unstated,
        }
    }

    fn stand_behind(&self) -> Behind {
        let is_entity = |kind: &PartyKind| *kind == PartyKind::RegisteredEntity;
        let is_person = |kind: &PartyKind| matches!(kind, PartyKind::Person | PartyKind::State);
        let is_held = !self.capital.holdings.is_empty() || !self.votes.holdings.is_empty();
        let is_one = |is: &dyn Fn(&PartyKind) -> bool| !self.kinds.is_empty() && self.kinds.iter().all(is);
        if is_one(&is_entity) {
            Behind::Holders
        } else if !is_held && (is_one(&is_person) || self.is_classified_inside()) {
            Behind::Nobody
        } else {
            Behind::Anybody
        }
    }

    fn is_classified_inside(&self) -> bool {
        let is_classifiable =
            |kind: &PartyKind| matches!(kind, PartyKind::Trust | PartyKind::Foundation | PartyKind::Fund);
        !self.kinds.is_empty() && self.kinds.iter().all(is_classifiable) && self.standing == Standing::Inside
    }
}

/// Parties and holdings under one territory. Holding one proves that named keys said what is in it.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(super) nodes: Vec<Node>,
    index: BTreeMap<String, usize>,
    /// What was left out, and what contradicts itself, in words.
    pub(super) findings: Vec<String>,
    /// Who said what is in it.
    pub(super) witnesses: Vec<String>,
    pub(super) expires: Option<u64>,
}

/// More parties or holdings than are read; whoever brought the statements is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphTooLarge;

impl core::fmt::Display for GraphTooLarge {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "more than {} interests in all statements", budget::GRAPH_INTERESTS)
    }
}

impl core::error::Error for GraphTooLarge {}

impl Graph {
    /// What the statements say at `now` (seconds since 1970) under the territory of `set`, and as long as it lets them.
    pub fn new(statements: &[Testimony<'_>], set: &RuleSet, now: u64) -> Result<Graph, GraphTooLarge> {
        let claims = statements.iter().map(|one| one.holdings.claims());
        let entries = claims.map(|claims| claims.interests.len().saturating_add(claims.parties.len()));
        if entries.fold(0usize, usize::saturating_add) > budget::GRAPH_INTERESTS {
            return Err(GraphTooLarge);
        }
        let mut graph = Graph::default();
        for Testimony { holdings, who } in statements {
            let claims = holdings.claims();
            if let Err(why) = counts(claims, set, now) {
                graph.findings.push(format!("holdings by {who} are left out: {why}"));
                continue;
            }
            graph.limit(claims.expires.min(claims.as_of.saturating_add(set.max_age_s())));
            if !graph.witnesses.iter().any(|known| known == who) {
                graph.witnesses.push(String::from(*who));
            }
            graph.add(claims, set, now);
        }
        graph.settle();
        Ok(graph)
    }

    /// Where a party of this id stands in the graph.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// Name and id of a party.
    pub(super) fn words(&self, at: usize) -> String {
        self.nodes.get(at).map_or_else(String::new, |node| format!("{} ({})", node.name, node.id))
    }

    fn limit(&mut self, time: u64) {
        self.expires = Some(self.expires.map_or(time, |expires| expires.min(time)));
    }

    fn node(&mut self, id: &str) -> usize {
        if let Some(at) = self.index.get(id) {
            return *at;
        }
        let at = self.nodes.len();
        self.nodes.push(Node::new(id));
        self.index.insert(id.into(), at);
        at
    }

    fn add(&mut self, claims: &Holdings, set: &RuleSet, now: u64) {
        claims.parties.iter().for_each(|party| self.party(party, set));
        let lists = Lists::of(claims);
        for interest in claims.interests.iter() {
            let changes = [interest.start, interest.end];
            changes.into_iter().flatten().filter(|time| *time > now).for_each(|time| self.limit(time));
            if interest.holds_at(now) {
                self.interest(interest, &lists);
            } else if interest.end.is_some_and(|end| claims.as_of < end && end <= now) {
                self.pass_on(interest);
            }
        }
        for exclusion in claims.exclusions.iter() {
            let at = self.node(&exclusion.subject);
            let Some(node) = self.nodes.get_mut(at) else { continue };
            match exclusion.kind {
                InterestKind::Shareholding => node.capital.add_list(),
                InterestKind::VotingRights => node.votes.add_list(),
                InterestKind::AppointmentOfBoard => node.board.add_list(),
                InterestKind::Veto => node.veto.add_list(),
                InterestKind::UnknownInterest | InterestKind::UnpublishedInterest | InterestKind::Nominee => {}
            }
        }
        for parent in claims.parents.iter() {
            let above = parent.parent.as_ref().map(|parent| self.node(parent));
            let at = self.node(&parent.subject);
            let Some(node) = self.nodes.get_mut(at) else { continue };
            node.parents.extend(above);
            node.exceptions.extend(parent.exception);
        }
    }

    fn party(&mut self, party: &Party, set: &RuleSet) {
        let at = self.node(&party.id);
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.name.clone_from(&party.name);
        node.standings.push(match (set.territory.party_standing(party), party.kind, set.persons_outside) {
            (Standing::Outside, PartyKind::Person, Persons::Undecided) => Standing::Undecided,
            (standing, _, _) => standing,
        });
        node.kinds.push(party.kind);
        node.listed = node.listed.max(party.declaration_threshold);
        node.declarations = node.declarations.saturating_add(usize::from(party.declaration_threshold.is_some()));
    }

    fn interest(&mut self, interest: &Interest, lists: &Lists<'_>) {
        let holder = self.node(&interest.holder);
        let at = self.node(&interest.subject);
        let Some(node) = self.nodes.get_mut(at) else { return };
        let lists = lists.with(interest);
        let measure = match interest.kind {
            InterestKind::Shareholding => Measure::Capital,
            InterestKind::VotingRights => Measure::Votes,
            InterestKind::AppointmentOfBoard => return node.board.add(holder, lists.of_all),
            InterestKind::Veto => return node.veto.add(holder, lists.of_all),
            InterestKind::UnknownInterest | InterestKind::UnpublishedInterest | InterestKind::Nominee => {
                node.is_murky = true;
                return;
            }
        };
        node.is_murky |= interest.way == Way::Unknown;
        let register = node.register_mut(measure);
        match interest.way {
            Way::Direct => {
                register.holdings.push(Holding { holder, lower: interest.lower(), upper: interest.upper(), lists });
            }
            Way::Indirect | Way::Unknown => register.indirect.push((holder, interest.lower())),
        }
    }

    /// What ended since the statement was true went to somebody, and nothing says to whom.
    fn pass_on(&mut self, interest: &Interest) {
        let at = self.node(&interest.subject);
        if let Some(node) = self.nodes.get_mut(at) {
            node.is_murky = true;
        }
    }

    fn settle(&mut self) {
        let mut void = Vec::new();
        for node in &mut self.nodes {
            let is_murky = node.is_murky;
            for measure in Measure::ALL {
                if node.register_mut(measure).settle(is_murky).is_none() {
                    void.push(format!(
                        "the {} of {} ({}) add up to more or less than the whole",
                        measure.name(),
                        node.name,
                        node.id
                    ));
                }
            }
            // A holder whom the threshold would have put on that list shows that the list is none.
            let is_missed = |threshold: &Share| {
                let registers = [&node.capital, &node.votes];
                registers.into_iter().any(|register| register.has_undeclared(*threshold, node.declarations))
            };
            node.listed = node.listed.filter(|threshold| !is_missed(threshold));
            node.standing = node.agreed_standing();
            node.behind = node.stand_behind();
        }
        let rest = void.len().saturating_sub(budget::GRAPH_FINDINGS);
        void.truncate(budget::GRAPH_FINDINGS);
        self.findings.append(&mut void);
        if rest > 0 {
            self.findings.push(format!("{rest} more do not add up"));
        }
    }
}

/// What one statement lists in full.
struct Lists<'c> {
    all: BTreeSet<(&'c str, InterestKind)>,
    declared: BTreeSet<&'c str>,
}

/// On how many lists a holder stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Of all who have such an interest.
    pub(super) of_all: usize,
    /// Of all whom a threshold makes declare theirs.
    pub(super) of_declared: usize,
}

impl<'c> Lists<'c> {
    fn of(claims: &'c Holdings) -> Lists<'c> {
        let declares = |party: &&Party| party.declaration_threshold.is_some();
        Lists {
            all: claims.exclusions.iter().map(|exclusion| (exclusion.subject.as_str(), exclusion.kind)).collect(),
            declared: claims.parties.iter().filter(declares).map(|party| party.id.as_str()).collect(),
        }
    }

    fn with(&self, interest: &Interest) -> Listed {
        let subject = interest.subject.as_str();
        Listed {
            of_all: usize::from(self.all.contains(&(subject, interest.kind))),
            of_declared: usize::from(self.declared.contains(subject)),
        }
    }
}

/// Whether a statement counts at `now`, and why not.
pub(super) fn counts(claims: &Holdings, set: &RuleSet, now: u64) -> Result<(), String> {
    claims.lifetime().check(now).map_err(|fault| fault.to_string())?;
    // A statement is never true before it is signed, nor counts before.
    let is_fresh = now < claims.as_of.saturating_add(set.max_age_s());
    if is_fresh { Ok(()) } else { Err(format!("they were so at {} (seconds since 1970), too long ago", claims.as_of)) }
}
