//! Questions with rungs, each of which reaches a level: from the worst rung to the best that what is known allows.

use super::{Found, Judge};
use crate::{
    owner::{control::Holders, graph::Node, party::Standing, rule_set::Levels, share::Share},
    verdict::Answer,
};
use alloc::{format, string::String};

/// A level between the worst and the best rung.
pub(super) fn seal(minimum: u8, levels: &Levels, (worst, best): (usize, usize), why: &str) -> Found {
    let level = |rung: usize| levels.rungs.get(rung).or(levels.rungs.last()).copied().unwrap_or(0);
    let (least, most) = (level(worst), level(best));
    let answer = match () {
        () if least >= minimum => Answer::Yes,
        () if most < minimum => Answer::No,
        () => Answer::Unknown,
    };
    Found::new(answer, format!("SEAL {least} to {most} where {minimum} is asked for: {why}"))
}

/// Outside, mixed, exclusively inside.
pub(super) fn jurisdiction(node: &Node) -> (usize, usize) {
    match node.standing {
        Standing::Inside => (2, 2),
        Standing::Outside => (0, 1),
        Standing::Undecided | Standing::Unstated => (0, 2),
    }
}

impl Judge<'_> {
    /// Whether all is inside cannot be seen from one machine; that it is not, can.
    pub(super) fn location(&self) -> (usize, usize) {
        match self.facts.place {
            Some((Answer::No, _)) => (0, 3),
            _ => (0, 4),
        }
    }

    /// The worst and the best rung that the shares of those outside allow.
    pub(super) fn share_rungs(&self, holders: &Holders<'_>) -> ((usize, usize), String) {
        let held = holders.held(self.set.listed.into(), Share::WHOLE);
        let lower = held.iter().map(|held| held.together.lower).max().unwrap_or_default();
        let upper = held.iter().map(|held| held.together.upper).max().unwrap_or(Share::WHOLE);
        let best = match lower {
            lower if lower.exceeds(Share::HALF) => 1,
            lower if lower.proves_some() => 2,
            _ => 3,
        };
        let worst = match upper {
            Share::NONE => 3,
            upper if upper <= Share::HALF => 2,
            _ => 0,
        };
        let words = format!("those outside hold {lower} to {upper} together");
        // Statements that contradict each other reach no rung.
        if worst > best { ((0, 3), words) } else { ((worst, best), words) }
    }
}
