//! Lower bounds: each share at its least, the product along paths, and who certainly controls whom.

use super::{order::Order, set};
use crate::{
    budget,
    owner::{
        graph::{Graph, Measure},
        party::Standing,
        share::{AtLeast, Share},
    },
};
use alloc::{collections::BTreeMap, format, string::String, vec, vec::Vec};

/// Lower bounds of one party.
pub(super) struct Lower<'g> {
    graph: &'g Graph,
    subject: usize,
    order: &'g Order,
    /// For each measure and party: the holder outside that controls it or is it, above whom none is known.
    leaders: [Vec<Option<usize>>; 2],
}

impl<'g> Lower<'g> {
    pub(super) fn new(graph: &'g Graph, subject: usize, order: &'g Order) -> Lower<'g> {
        Lower { graph, subject, order, leaders: Measure::ALL.map(|measure| leaders(graph, order, measure)) }
    }

    /// Whether a holder outside controls this party, or is it.
    pub(super) fn is_led(&self, measure: Measure, at: usize) -> bool {
        self.leader(measure, at).is_some()
    }

    fn leader(&self, measure: Measure, at: usize) -> Option<usize> {
        let [capital, votes] = &self.leaders;
        let leaders = match measure {
            Measure::Capital => capital,
            Measure::Votes => votes,
        };
        leaders.get(at).copied().flatten()
    }

    /// What all outside hold together: by product up to the first of them, or through companies that one of them controls.
    pub(super) fn together(&self, measure: Measure) -> AtLeast {
        let mut values = vec![AtLeast::NOTHING; self.graph.nodes.len()];
        let step = |values: &[AtLeast], at: usize| match is_outside(self.graph, at) && at != self.subject {
            true => AtLeast::WHOLE,
            false => self.sum(measure, at, |holder| values.get(holder).copied().unwrap_or_default()),
        };
        for component in self.order.components() {
            let rounds = if component.is_cycle { budget::CYCLE_ROUNDS } else { 1 };
            for _ in 0..rounds {
                for at in component.members {
                    let next = step(&values, *at);
                    set(&mut values, *at, next);
                }
            }
        }
        let by_product = self.sum(measure, self.subject, |holder| values.get(holder).copied().unwrap_or_default());
        let is_led = |holder| match self.leader(measure, holder) {
            Some(leader) if leader != self.subject => AtLeast::WHOLE,
            _ => AtLeast::NOTHING,
        };
        by_product.max(self.sum(measure, self.subject, is_led))
    }

    /// What the largest holder outside has, and how, in words.
    pub(super) fn single(&self, measure: Measure) -> (AtLeast, Option<String>) {
        let (shares, ways) = self.products(measure);
        let mut largest = (AtLeast::NOTHING, None);
        let mut consider = |share: AtLeast, who: usize, how: &str| {
            if share > largest.0 {
                largest = (share, Some((who, String::from(how))));
            }
        };
        for at in self.order.members().filter(|at| *at != self.subject && is_outside(self.graph, *at)) {
            consider(shares.get(at).copied().unwrap_or_default(), at, "along the path");
        }
        let Some(node) = self.graph.nodes.get(self.subject) else { return (AtLeast::NOTHING, None) };
        let mut groups: BTreeMap<usize, AtLeast> = BTreeMap::new();
        for holding in &node.register(measure).holdings {
            if let Some(leader) = self.leader(measure, holding.holder).filter(|leader| *leader != self.subject) {
                let sum = groups.entry(leader).or_default();
                *sum = sum.plus(holding.lower);
            }
        }
        groups.into_iter().for_each(|(leader, sum)| consider(sum, leader, "with what it controls"));
        for (holder, share) in &node.register(measure).indirect {
            if is_outside(self.graph, *holder) {
                consider(*share, *holder, "as stated");
            }
        }
        let (share, found) = largest;
        let words = found.map(|(who, how)| {
            let path = self.path(measure, who, &ways);
            format!("{} holds {share} of the {} {how}{path}", self.graph.words(who), measure.name())
        });
        (share, words)
    }

    /// Each holder's share by product, along paths that use no cycle, and into whom its largest part goes.
    fn products(&self, measure: Measure) -> (Vec<AtLeast>, Vec<Option<(usize, AtLeast)>>) {
        let count = self.graph.nodes.len();
        let mut shares = vec![AtLeast::NOTHING; count];
        let mut ways: Vec<Option<(usize, AtLeast)>> = vec![None; count];
        set(&mut shares, self.subject, AtLeast::WHOLE);
        for at in self.order.members().rev() {
            let (Some(node), Some(own)) = (self.graph.nodes.get(at), shares.get(at).copied()) else { continue };
            for holding in &node.register(measure).holdings {
                if !self.order.is_before(holding.holder, at) {
                    continue;
                }
                let part = own.times(holding.lower);
                let (Some(share), Some(way)) = (shares.get_mut(holding.holder), ways.get_mut(holding.holder)) else {
                    continue;
                };
                *share = share.plus(part);
                if part.proves_some() && way.is_none_or(|(_, best)| part > best) {
                    *way = Some((at, part));
                }
            }
        }
        (shares, ways)
    }

    /// `: A holds 60 % of B, B holds 40 % of C`.
    fn path(&self, measure: Measure, who: usize, ways: &[Option<(usize, AtLeast)>]) -> String {
        let mut words = String::new();
        let mut at = who;
        for step in 0..PATH_STEPS {
            let Some((next, _)) = ways.get(at).copied().flatten().filter(|_| at != self.subject) else { break };
            let holdings =
                self.graph.nodes.get(next).map(|node| node.register(measure).holdings.as_slice()).unwrap_or_default();
            let share =
                holdings.iter().find(|holding| holding.holder == at).map_or(AtLeast::NOTHING, |holding| holding.lower);
            let mark = if step == 0 { ": " } else { ", " };
            words.push_str(&format!("{mark}{} holds {share} of {}", self.graph.words(at), self.graph.words(next)));
            at = next;
        }
        words
    }

    fn sum(&self, measure: Measure, at: usize, of: impl Fn(usize) -> AtLeast) -> AtLeast {
        let holdings =
            self.graph.nodes.get(at).map(|node| node.register(measure).holdings.as_slice()).unwrap_or_default();
        holdings.iter().fold(AtLeast::NOTHING, |sum, holding| sum.plus(holding.lower.times(of(holding.holder))))
    }
}

/// Each assignment is a proof that this leader controls this party, so rounds may end early.
fn leaders(graph: &Graph, order: &Order, measure: Measure) -> Vec<Option<usize>> {
    let mut leaders: Vec<Option<usize>> =
        (0..graph.nodes.len()).map(|at| is_outside(graph, at).then_some(at)).collect();
    for component in order.components() {
        let rounds = if component.is_cycle { budget::CYCLE_ROUNDS } else { 1 };
        for _ in 0..rounds {
            for at in component.members {
                if let Some(leader) = majority(graph, measure, *at, &leaders) {
                    set(&mut leaders, *at, Some(leader));
                }
            }
        }
    }
    leaders
}

/// Whose group has more than half of a party.
fn majority(graph: &Graph, measure: Measure, at: usize, leaders: &[Option<usize>]) -> Option<usize> {
    let mut groups: BTreeMap<usize, AtLeast> = BTreeMap::new();
    for holding in &graph.nodes.get(at)?.register(measure).holdings {
        let Some(leader) = leaders.get(holding.holder).copied().flatten() else { continue };
        let sum = groups.entry(leader).or_default();
        *sum = sum.plus(holding.lower);
        if sum.exceeds(Share::HALF) {
            return Some(leader);
        }
    }
    None
}

fn is_outside(graph: &Graph, at: usize) -> bool {
    graph.nodes.get(at).is_some_and(|node| node.standing == Standing::Outside)
}

/// Steps of a printed path.
const PATH_STEPS: usize = 32;
