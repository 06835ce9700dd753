//! The holders of one party by all statements, merged.

use super::Listed;
use crate::owner::share::{AtLeast, Share};
use alloc::{collections::BTreeMap, vec::Vec};

/// One direct holding.
#[derive(Debug, Clone, Copy)]
pub(in crate::owner) struct Holding {
    pub(in crate::owner) holder: usize,
    pub(in crate::owner) lower: AtLeast,
    pub(in crate::owner) upper: Share,
    /// On which lists it stands.
    pub(super) lists: Listed,
}

/// The holders of one party in one measure.
#[derive(Debug, Clone, Default)]
pub(in crate::owner) struct Register {
    pub(in crate::owner) holdings: Vec<Holding>,
    /// Nobody else holds any.
    pub(in crate::owner) is_complete: bool,
    /// What was stated contradicts itself: anybody may hold any of it.
    pub(in crate::owner) is_void: bool,
    /// Stated shares that are held through others.
    pub(in crate::owner) indirect: Vec<(usize, AtLeast)>,
    /// Statements that say that they list all.
    lists: usize,
}

impl Register {
    /// One statement more lists all.
    pub(super) fn add_list(&mut self) {
        self.lists = self.lists.saturating_add(1);
    }

    /// Merges, and raises what each holds at least by what the others leave; `None` where no shares fit, and then nothing is
    /// stated.
    pub(super) fn settle(&mut self, is_murky: bool) -> Option<()> {
        self.holdings.sort_by_key(|holding| holding.holder);
        self.holdings.dedup_by(|next, kept| {
            let is_same = next.holder == kept.holder;
            if is_same {
                (kept.lower, kept.upper) = (kept.lower.min(next.lower), kept.upper.max(next.upper));
                kept.lists = kept.lists.and(next.lists);
            }
            is_same
        });
        self.indirect.sort();
        self.indirect.dedup_by_key(|(holder, _)| *holder);
        let lists = self.lists;
        self.is_complete = lists > 0 && !is_murky && self.holdings.iter().all(|holding| holding.lists.of_all == lists);
        // Whom one list leaves out holds nothing by that list.
        let left_out = self.holdings.iter_mut().filter(|holding| holding.lists.of_all < lists);
        left_out.for_each(|holding| holding.lower = AtLeast::NOTHING);
        if self.narrow().is_none() {
            *self = Register { is_void: true, ..Register::default() };
            return None;
        }
        Some(())
    }

    /// Whether somebody holds so much that all of so many lists of declared holders would name them, and one does not.
    pub(super) fn has_undeclared(&self, threshold: Share, declarations: usize) -> bool {
        let is_missed = |holding: &Holding| holding.lists.of_declared < declarations;
        self.holdings.iter().any(|holding| is_missed(holding) && holding.lower >= AtLeast::met(threshold))
    }

    fn narrow(&mut self) -> Option<()> {
        let whole = Share::WHOLE.billionths();
        let sum = |of: &dyn Fn(&Holding) -> u64| self.holdings.iter().map(of).fold(0u64, u64::saturating_add);
        let least = sum(&|holding| holding.lower.share().billionths());
        let most = sum(&|holding| holding.upper.billionths());
        let is_over = least > whole || least == whole && self.holdings.iter().any(|holding| holding.lower.is_above());
        if is_over || (self.is_complete && most < whole) {
            return None;
        }
        for holding in &mut self.holdings {
            let others = most.saturating_sub(holding.upper.billionths());
            let needed = Share::from_billionths(whole.saturating_sub(others)).filter(|_| self.is_complete);
            holding.lower = holding.lower.max(AtLeast::met(needed.unwrap_or_default()));
        }
        Some(())
    }
}

impl Listed {
    fn and(self, other: Listed) -> Listed {
        Listed {
            of_all: self.of_all.saturating_add(other.of_all),
            of_declared: self.of_declared.saturating_add(other.of_declared),
        }
    }
}

/// Those who have one right over a party.
#[derive(Debug, Clone, Default)]
pub(in crate::owner) struct Right {
    /// With the number of lists on which each stands.
    holders: BTreeMap<usize, usize>,
    /// Statements that say that they list all.
    lists: usize,
}

impl Right {
    pub(super) fn add(&mut self, holder: usize, lists: usize) {
        let known = self.holders.entry(holder).or_default();
        *known = known.saturating_add(lists);
    }

    /// One statement more lists all.
    pub(super) fn add_list(&mut self) {
        self.lists = self.lists.saturating_add(1);
    }

    /// Whoever may have it.
    pub(in crate::owner) fn holders(&self) -> impl Iterator<Item = usize> + '_ {
        self.holders.keys().copied()
    }

    /// Whoever has it, and no statement denies it.
    pub(in crate::owner) fn undisputed(&self) -> impl Iterator<Item = usize> + '_ {
        self.holders.iter().filter(|(_, lists)| **lists == self.lists).map(|(holder, _)| *holder)
    }

    /// Whether nobody else has it, by all who list all.
    pub(in crate::owner) fn is_complete(&self) -> bool {
        self.lists > 0 && self.holders.values().all(|lists| *lists == self.lists)
    }
}
