//! Challenges that wait for the next quote, and what each of them gets from it: one signature, many askers.
//!
//! Pure: `quoting` acts. A batch is closed when the quote command starts, so nobody waits for a second quote who came
//! before the first one began.

use crate::budget::CHALLENGES_WAITING;
use garant_attest::{
    cbor::Bytes32,
    engine::Engine,
    merkle::{Node, Tree},
    wire::Tie,
};

/// The challenges that came since the last batch was closed, each with the way back to its asker.
#[derive(Debug)]
pub struct Waiting<R> {
    leaves: Vec<Node>,
    replies: Vec<R>,
    is_awaited: bool,
}

/// Whether somebody has to see to a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// Nobody does yet: whoever came is the first, and asks for it.
    Wanted,
    /// One that has not begun yet will cover this challenge too.
    Awaited,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Waiting { leaves: Vec::new(), replies: Vec::new(), is_awaited: false }
    }
}

impl<R> Waiting<R> {
    /// Adds a challenge; gives the way back where too many wait.
    pub fn push(&mut self, leaf: Node, reply: R) -> Result<Quote, R> {
        if self.leaves.len() >= CHALLENGES_WAITING {
            return Err(reply);
        }
        self.leaves.push(leaf);
        self.replies.push(reply);
        let was_awaited = std::mem::replace(&mut self.is_awaited, true);
        Ok(if was_awaited { Quote::Awaited } else { Quote::Wanted })
    }

    /// Takes out all that wait, as one tree; `None` where nobody waits.
    pub fn close(&mut self, engine: &dyn Engine) -> Option<Batch<R>> {
        let Waiting { leaves, replies, .. } = std::mem::take(self);
        Tree::new(engine, leaves).map(|tree| Batch { tree, replies })
    }

    /// Takes out all that wait, because there will be no quote.
    pub fn give_up(&mut self) -> Vec<R> {
        std::mem::take(self).replies
    }
}

/// The challenges of one quote. Holding one proves nothing: the quote over its root does.
#[derive(Debug)]
pub struct Batch<R> {
    tree: Tree,
    replies: Vec<R>,
}

impl<R> Batch<R> {
    /// What the quote covers.
    pub fn root(&self) -> Node {
        self.tree.root()
    }

    /// The ways back in the order of the leaves, and the tree that ties each to the quote.
    pub fn into_parts(self) -> (Tree, Vec<R>) {
        (self.tree, self.replies)
    }
}

/// What ties leaf `index` to the quote over the tree's root.
pub fn tie(tree: &Tree, index: usize) -> Option<Tie> {
    let path = tree.path(index)?.into_iter().map(Bytes32::new).collect();
    Some(Tie::Fresh(u64::try_from(index).ok()?, u64::try_from(tree.size()).ok()?, path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use garant_attest::merkle::head_from_path;
    use garant_channel::engine::FastEngine;

    fn leaf(n: usize) -> Node {
        let mut leaf = [0; 32];
        leaf[..8].copy_from_slice(&n.to_be_bytes());
        leaf
    }

    #[test]
    fn each_of_many_askers_gets_a_path_to_the_one_root() {
        let mut waiting = Waiting::default();
        assert!((0..1000).all(|n| waiting.push(leaf(n), n).is_ok()));
        let batch = waiting.close(&FastEngine).unwrap();
        let root = batch.root();
        let (tree, askers) = batch.into_parts();
        for (at, asker) in askers.into_iter().enumerate() {
            let Some(Tie::Fresh(index, size, path)) = tie(&tree, at) else { panic!("no tie") };
            let path: Vec<Node> = path.iter().map(|node| **node).collect();
            assert_eq!(head_from_path(&FastEngine, leaf(asker), index, size, &path), Some(root));
        }
        assert!(tie(&tree, 1000).is_none());
    }

    #[test]
    fn only_the_first_asker_of_a_batch_wants_a_quote() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.push(leaf(1), ()), Ok(Quote::Wanted));
        assert_eq!(waiting.push(leaf(2), ()), Ok(Quote::Awaited));
        waiting.close(&FastEngine).unwrap();
        assert_eq!(waiting.push(leaf(3), ()), Ok(Quote::Wanted));
    }

    #[test]
    fn who_comes_after_the_quote_began_is_in_no_batch_yet() {
        let mut waiting = Waiting::default();
        waiting.push(leaf(1), 1).unwrap();
        let first = waiting.close(&FastEngine).unwrap();
        waiting.push(leaf(2), 2).unwrap();
        assert_eq!(first.into_parts().1, [1]);
        assert_eq!(waiting.close(&FastEngine).unwrap().into_parts().1, [2]);
        assert!(waiting.close(&FastEngine).is_none());
    }

    #[test]
    fn one_challenge_too_many_is_turned_away() {
        let mut waiting = Waiting::default();
        for n in 0..CHALLENGES_WAITING {
            assert!(waiting.push(leaf(n), n).is_ok());
        }
        assert_eq!(waiting.push(leaf(0), CHALLENGES_WAITING), Err(CHALLENGES_WAITING));
        assert_eq!(waiting.give_up().len(), CHALLENGES_WAITING);
        assert_eq!(waiting.push(leaf(0), 0), Ok(Quote::Wanted));
    }
}
