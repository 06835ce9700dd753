//! Bounds on what those outside a territory hold in one party, each alone and all together, through chains of holdings.
//!
//! A true world assigns each direct share a value in its interval, at most the whole for each company, and the rest to
//! anybody. In a world, what a set of holders has in the subject is the larger of two readings: the *product* of shares
//! along all paths up to the first of the set, and the *control chain*, where a company of which one holder has more than
//! half counts as that holder. Both grow with every share. What is stated to be held through others is a lower bound
//! beside them, and in a company between an upper one too; a parent that consolidates is above half. Lower bounds are
//! therefore those of the world in which each share is the least. Upper bounds use one reading that is above both: at
//! each company the shares are chosen for the worst, and above half, in capital or in votes, it counts as wholly held;
//! the rest, where it is not excluded, is theirs.
//!
//! Companies that hold each other form the components of Tarjan's algorithm and are iterated there: upward from nothing
//! for lower bounds, downward from the whole for upper ones. Since the step is monotone, each iterate is a bound, so a
//! hostile graph ends the iteration early and is no less sound for it.

use super::{
    graph::{Behind, Graph, Holding, Measure, Node, Register},
    party::Standing,
    share::{AtLeast, Share, UpperSum},
};
use crate::budget;
use alloc::{format, string::String, vec, vec::Vec};

mod lower;
mod order;

use lower::Lower;
use order::Order;

/// How the undeclared shares of a listed company count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    /// Not at all: only declared holders count (SecNumCloud 3.2 §19.6 b), where all must declare what the Union's law
    /// makes them declare.
    Declared,
    /// As anybody's, for each single holder up to the threshold of declaration.
    Anybodys,
}

impl Float {
    /// The word for the reading.
    pub fn name(self) -> &'static str {
        match self {
            Float::Declared => "declared holders only",
            Float::Anybodys => "undeclared shares in any hands",
        }
    }
}

/// Between these, at both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// At least.
    pub lower: AtLeast,
    /// At most.
    pub upper: Share,
}

/// What those outside hold in one party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The largest holder's.
    pub single: Bounds,
    /// Who holds the lower bound, and how, in words.
    pub path: Option<String>,
    /// All of them together.
    pub together: Bounds,
}

/// Whom an upper bound counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// One holder who may stand behind any of the targets.
    One,
    /// All of them.
    All,
}

/// One party's holders, in an order in which each company comes after those that hold it.
#[derive(Debug, Clone)]
pub struct Holders<'g> {
    graph: &'g Graph,
    subject: usize,
    order: Order,
}

impl<'g> Holders<'g> {
    /// Of the party with this id; `None` where no statement names it.
    pub fn of(graph: &'g Graph, id: &str) -> Option<Holders<'g>> {
        let subject = graph.find(id)?;
        Some(Holders { graph, subject, order: Order::of(graph, subject) })
    }

    /// What those outside hold in capital and in votes. `limit` says which single share matters: above it the search for
    /// the largest upper bound may stop at any value.
    pub fn held(&self, float: Float, limit: Share) -> [Held; 2] {
        self.above(&self.lower(), float, limit)
    }

    /// The same in both readings, which differ only where a company is listed.
    pub fn held_in_both(&self, limit: Share) -> [(Float, [Held; 2]); 2] {
        let lower = self.lower();
        let mut listed = self.graph.nodes.iter().filter(|node| node.listed.is_some());
        let declared = self.above(&lower, Float::Declared, limit);
        let anybodys = match listed.next() {
            Some(_) => self.above(&lower, Float::Anybodys, limit),
            None => declared.clone(),
        };
        [(Float::Declared, declared), (Float::Anybodys, anybodys)]
    }

    fn above(&self, lower: &Lower<'_>, float: Float, limit: Share) -> [Held; 2] {
        let together = self.upper(float, Whom::All, &self.may_be_outside());
        let single = match together.iter().all(|upper| *upper <= limit) {
            true => together,
            false => self.single_upper(float, limit),
        };
        Measure::ALL.map(|measure| {
            let (alone, path) = lower.single(measure);
            Held {
                single: Bounds { lower: alone, upper: measure.of(single) },
                path,
                together: Bounds { lower: lower.together(measure).max(alone), upper: measure.of(together) },
            }
        })
    }

    fn lower(&self) -> Lower<'_> {
        Lower::new(self.graph, self.subject, &self.order)
    }

    /// For each party, whether those outside may control it: by shares, or because it is one of them.
    pub(super) fn may_be_controlled(&self) -> Vec<bool> {
        let targets = self.may_be_outside();
        let values = self.values(Float::Anybodys, Whom::All, &targets);
        values.iter().map(|values| values.iter().any(|share| *share > Share::HALF)).collect()
    }

    /// For each party, whether one holder outside certainly controls it, or is it.
    pub(super) fn are_controlled(&self) -> Vec<bool> {
        let lower = self.lower();
        let is_led = |at: usize| Measure::ALL.into_iter().any(|measure| lower.is_led(measure, at));
        (0..self.graph.nodes.len()).map(is_led).collect()
    }

    /// The subject's entry in the graph.
    pub(super) fn subject(&self) -> Option<&'g Node> {
        self.graph.nodes.get(self.subject)
    }

    fn may_be_outside(&self) -> Vec<bool> {
        self.graph.nodes.iter().map(|node| node.standing != Standing::Inside).collect()
    }

    /// At most this is held by any one holder who may be outside. Holders are tested as groups, and groups that may hold
    /// too much are halved; what a group holds is a bound for each of it, so the search may stop anywhere.
    fn single_upper(&self, float: Float, limit: Share) -> [Share; 2] {
        let candidates: Vec<usize> = self.order.members().filter(|at| self.is_candidate(*at)).collect();
        let mut groups = vec![candidates.as_slice()];
        let mut found = [Share::NONE; 2];
        let mut passes = budget::HOLDER_PASSES;
        while let Some(group) = groups.pop() {
            let mut targets = vec![false; self.graph.nodes.len()];
            group.iter().copied().for_each(|at| set(&mut targets, at, true));
            let upper = self.upper(float, Whom::One, &targets);
            passes = passes.saturating_sub(1);
            let is_small = upper.iter().all(|share| *share <= limit);
            if is_small || group.len() <= 1 || passes == 0 {
                found = [found, upper].into_iter().reduce(larger).unwrap_or(upper);
            } else {
                let (one, other) = group.split_at(group.len() / 2);
                groups.extend([one, other]);
            }
            if passes == 0 || found.iter().any(|share| *share > limit) {
                // The rest is bounded by all together.
                return if groups.is_empty() { found } else { self.upper(float, Whom::One, &self.may_be_outside()) };
            }
        }
        found
    }

    fn is_candidate(&self, at: usize) -> bool {
        at != self.subject && self.graph.nodes.get(at).is_some_and(|node| node.standing != Standing::Inside)
    }

    fn upper(&self, float: Float, whom: Whom, targets: &[bool]) -> [Share; 2] {
        let values = self.values(float, whom, targets);
        let step = Step { graph: self.graph, float, whom, targets };
        match self.graph.nodes.get(self.subject) {
            Some(node) if !Step::is_consolidated(node, &values) => step.sums(node, &values),
            _ => [Share::WHOLE; 2],
        }
    }

    fn values(&self, float: Float, whom: Whom, targets: &[bool]) -> Vec<[Share; 2]> {
        let step = Step { graph: self.graph, float, whom, targets };
        let mut values = vec![[Share::NONE; 2]; self.graph.nodes.len()];
        for component in self.order.components() {
            if !component.is_cycle {
                for at in component.members {
                    let only = step.value(*at, &values);
                    set(&mut values, *at, only);
                }
                continue;
            }
            // Where nothing flows in, nothing circulates.
            if component.members.iter().all(|at| step.value(*at, &values) == [Share::NONE; 2]) {
                continue;
            }
            component.members.iter().for_each(|at| set(&mut values, *at, [Share::WHOLE; 2]));
            for _ in 0..budget::CYCLE_ROUNDS {
                let mut has_changed = false;
                for at in component.members {
                    let next = step.value(*at, &values);
                    has_changed |= next != value(&values, *at);
                    set(&mut values, *at, next);
                }
                if !has_changed {
                    break;
                }
            }
        }
        values
    }
}

/// One step of the upper bound.
struct Step<'s> {
    graph: &'s Graph,
    float: Float,
    whom: Whom,
    targets: &'s [bool],
}

impl Step<'_> {
    /// What the targets may have in one party, whole where they may control it.
    fn value(&self, at: usize, values: &[[Share; 2]]) -> [Share; 2] {
        let Some(node) = self.graph.nodes.get(at) else { return [Share::WHOLE; 2] };
        match node.behind {
            _ if is_target(self.targets, at) => return [Share::WHOLE; 2],
            Behind::Anybody => return [Share::WHOLE; 2],
            Behind::Nobody => return [Share::NONE; 2],
            Behind::Holders => {}
        }
        let through = |measure: Measure| {
            let indirect = node.register(measure).indirect.iter();
            let theirs = indirect.filter(|(who, _)| value(values, *who) != [Share::NONE; 2]);
            theirs.map(|(_, lower)| lower.share()).max().unwrap_or_default()
        };
        let sums = larger(self.sums(node, values), Measure::ALL.map(through));
        let is_appointed = node.board.holders().any(|who| is_whole(values, who));
        let is_controlled =
            is_appointed || Step::is_consolidated(node, values) || sums.into_iter().any(|sum| sum > Share::HALF);
        if is_controlled { [Share::WHOLE; 2] } else { sums }
    }

    /// Whether one of the targets may be its ultimate parent, whatever is stated of its holders.
    fn is_consolidated(node: &Node, values: &[[Share; 2]]) -> bool {
        node.parents.iter().any(|parent| is_whole(values, *parent))
    }

    fn sums(&self, node: &Node, values: &[[Share; 2]]) -> [Share; 2] {
        Measure::ALL.map(|measure| {
            let register = node.register(measure);
            let of = |holding: &Holding| measure.of(value(values, holding.holder));
            self.sum(node, register, of)
        })
    }

    /// The largest Σ share · value over all shares that fit.
    fn sum(&self, node: &Node, register: &Register, of: impl Fn(&Holding) -> Share) -> Share {
        let mut sum = UpperSum::default();
        let mut stated = Share::NONE;
        for holding in &register.holdings {
            stated = stated.plus(holding.lower.share());
            sum.add(holding.lower.share(), of(holding));
        }
        let mut free = stated.rest();
        let hidden = self.hidden(node, register, free);
        sum.add(hidden, Share::WHOLE);
        free = free.minus(hidden);
        if free > Share::NONE {
            let mut rooms: Vec<(Share, Share)> = register
                .holdings
                .iter()
                .map(|holding| (of(holding), holding.upper.minus(holding.lower.share())))
                .filter(|(value, room)| *value > Share::NONE && *room > Share::NONE)
                .collect();
            rooms.sort_unstable_by(|one, other| other.cmp(one));
            for (value, room) in rooms {
                let taken = room.min(free);
                sum.add(taken, value);
                free = free.minus(taken);
            }
        }
        sum.ceiling()
    }

    /// How much of what nobody is stated to hold may be theirs.
    fn hidden(&self, node: &Node, register: &Register, free: Share) -> Share {
        match node.listed {
            _ if node.is_murky || register.is_void => free,
            _ if register.is_complete => Share::NONE,
            None => free,
            Some(threshold) if self.float == Float::Declared && threshold <= FIRST_THRESHOLD => Share::NONE,
            Some(threshold) if self.whom == Whom::One => free.min(threshold),
            Some(_) => free,
        }
    }
}

fn larger(one: [Share; 2], other: [Share; 2]) -> [Share; 2] {
    let ([a, b], [c, d]) = (one, other);
    [a.max(c), b.max(d)]
}

fn is_target(targets: &[bool], at: usize) -> bool {
    targets.get(at).copied().unwrap_or(true)
}

fn value(values: &[[Share; 2]], at: usize) -> [Share; 2] {
    values.get(at).copied().unwrap_or([Share::WHOLE; 2])
}

fn is_whole(values: &[[Share; 2]], at: usize) -> bool {
    value(values, at).contains(&Share::WHOLE)
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(place) = values.get_mut(at) {
        *place = value;
    }
}

/// The first threshold that a holder must declare in any member state (Directive 2004/109/EC, Article 9 (1); Code de
/// commerce, L.233-7 I).
const FIRST_THRESHOLD: Share = match Share::from_billionths(50_000_000) {
    Some(share) => share,
    None => Share::NONE,
};

impl core::fmt::Display for Bounds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.lower == AtLeast::met(self.upper) {
            return write!(f, "{}", self.upper);
        }
        f.write_str(&format!("{} to {}", self.lower, self.upper))
    }
}
