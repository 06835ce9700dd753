//! The order of holders: Tarjan's strongly connected components, without recursion, from one party up to who holds it.

use crate::owner::graph::{Graph, Node};
use alloc::{vec, vec::Vec};

/// Holders of one party, each component after those that hold into it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    members: Vec<usize>,
    ends: Vec<(usize, bool)>,
    /// Place of each party in `members`; `usize::MAX` for those that hold nothing here.
    places: Vec<usize>,
}

/// Parties that hold each other, or one alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component<'o> {
    pub(super) members: &'o [usize],
    pub(super) is_cycle: bool,
}

impl Order {
    pub(super) fn components(&self) -> impl Iterator<Item = Component<'_>> {
        let mut from = 0;
        self.ends.iter().map(move |(end, is_cycle)| {
            let members = self.members.get(from..*end).unwrap_or_default();
            from = *end;
            Component { members, is_cycle: *is_cycle }
        })
    }

    pub(super) fn members(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.members.iter().copied()
    }

    /// Whether `holder` comes before `subject`: for each pair that hold each other, one way only.
    pub(super) fn is_before(&self, holder: usize, subject: usize) -> bool {
        match (self.places.get(holder), self.places.get(subject)) {
            (Some(holder), Some(subject)) => holder < subject,
            _ => false,
        }
    }

    pub(super) fn of(graph: &Graph, subject: usize) -> Order {
        let count = graph.nodes.len();
        let unseen = usize::MAX;
        let mut search = Search {
            number: vec![unseen; count],
            low: vec![unseen; count],
            is_open: vec![false; count],
            open: Vec::new(),
            next: 0,
        };
        let mut order = Order { members: Vec::new(), ends: Vec::new(), places: vec![unseen; count] };
        let mut calls: Vec<(usize, Vec<usize>)> = Vec::new();
        search.enter(subject);
        calls.push((subject, edges(graph, subject)));
        while let Some((at, rest)) = calls.last_mut() {
            let at = *at;
            match rest.pop() {
                Some(holder) if search.number_of(holder) == unseen => {
                    search.enter(holder);
                    calls.push((holder, edges(graph, holder)));
                }
                Some(holder) => {
                    if search.is_open.get(holder) == Some(&true) {
                        let number = search.number_of(holder);
                        search.lower(at, number);
                    }
                }
                None => {
                    calls.pop();
                    let low = search.low.get(at).copied().unwrap_or(unseen);
                    if let Some((above, _)) = calls.last() {
                        search.lower(*above, low);
                    }
                    if low == search.number_of(at) {
                        let is_self_held = edges(graph, at).contains(&at);
                        order.close(&mut search, at, is_self_held);
                    }
                }
            }
        }
        order
    }

    fn close(&mut self, search: &mut Search, first: usize, is_self_held: bool) {
        let from = self.members.len();
        while let Some(at) = search.open.pop() {
            super::set(&mut search.is_open, at, false);
            super::set(&mut self.places, at, self.members.len());
            self.members.push(at);
            if at == first {
                break;
            }
        }
        let is_cycle = is_self_held || self.members.len().saturating_sub(from) > 1;
        self.ends.push((self.members.len(), is_cycle));
    }
}

struct Search {
    number: Vec<usize>,
    low: Vec<usize>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    next: usize,
}

impl Search {
    fn number_of(&self, at: usize) -> usize {
        self.number.get(at).copied().unwrap_or(0)
    }

    fn enter(&mut self, at: usize) {
        super::set(&mut self.number, at, self.next);
        super::set(&mut self.low, at, self.next);
        super::set(&mut self.is_open, at, true);
        self.open.push(at);
        self.next = self.next.saturating_add(1);
    }

    fn lower(&mut self, at: usize, number: usize) {
        if let Some(low) = self.low.get_mut(at) {
            *low = number.min(*low);
        }
    }
}

/// Whoever holds shares or rights.
fn edges(graph: &Graph, at: usize) -> Vec<usize> {
    graph.nodes.get(at).map_or_else(Vec::new, |node: &Node| {
        let shares = node.capital.holdings.iter().chain(&node.votes.holdings).map(|holding| holding.holder);
        let indirect = node.capital.indirect.iter().chain(&node.votes.indirect).map(|(holder, _)| *holder);
        shares
            .chain(indirect)
            .chain(node.board.holders())
            .chain(node.veto.holders())
            .chain(node.parents.iter().copied())
            .collect()
    })
}
