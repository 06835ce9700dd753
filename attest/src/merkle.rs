//! One signature for many askers: the tree head of RFC 9162 §2.1.1 over the waiting challenges.
//!
//! No leaf is doubled: a node without a sibling moves up as it is, which gives the same tree as splitting at the
//! largest power of two.

use crate::{
    budget,
    engine::{Engine, sha256},
};
use alloc::vec::Vec;

/// A SHA-256 node of the tree.
pub type Node = [u8; 32];

/// The tree over a batch, kept whole to hand out each asker's path.
#[derive(Debug)]
pub struct Tree {
    /// From leaves to head; each level is half of the one before, rounded up.
    levels: Vec<Vec<Node>>,
}

impl Tree {
    /// Builds the tree; `None` for no leaf, or more than `2^BATCH_DEPTH`.
    pub fn new(engine: &dyn Engine, leaves: Vec<Node>) -> Option<Tree> {
        if leaves.is_empty() || leaves.len() > 1 << budget::BATCH_DEPTH {
            return None;
        }
        let mut levels = Vec::with_capacity(budget::BATCH_DEPTH);
        let mut level = leaves;
        while level.len() > 1 {
            let above = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => join(engine, left, right),
                    [alone, ..] => *alone,
                    [] => Node::default(),
                })
                .collect();
            levels.push(core::mem::replace(&mut level, above));
        }
        levels.push(level);
        Some(Tree { levels })
    }

    /// The tree head.
    pub fn root(&self) -> Node {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// Number of leaves.
    pub fn size(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// Siblings of leaf `index` from the bottom up; `None` where there is no such leaf.
    pub fn path(&self, index: usize) -> Option<heapless::Vec<Node, { budget::BATCH_DEPTH }>> {
        if index >= self.size() {
            return None;
        }
        let siblings = self.levels.iter().enumerate().filter_map(|(height, level)| {
            let sibling = index.checked_shr(u32::try_from(height).ok()?)? ^ 1;
            level.get(sibling).copied()
        });
        Some(siblings.take(budget::BATCH_DEPTH).collect())
    }
}

/// The head that leaf `index` of `size` leaves and its path lead to (RFC 9162 §2.1.3.2); `None` where the path has
/// another length than such a leaf's.
pub fn head_from_path(engine: &dyn Engine, leaf: Node, index: u64, size: u64, path: &[Node]) -> Option<Node> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut head) = (index, size.checked_sub(1)?, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            head = join(engine, sibling, &head);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            head = join(engine, &head, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(head)
}

fn join(engine: &dyn Engine, left: &Node, right: &Node) -> Node {
    sha256(engine, &[&[NODE_PREFIX], left, right])
}

/// Domain of an inner node (RFC 9162 §2.1.1); a leaf's is 0x00 (`wire::leaf`).
const NODE_PREFIX: u8 = 0x01;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::rust_engine::RustEngine;

    fn leaves(n: usize) -> Vec<Node> {
        (0..n).map(|i| sha256(&RustEngine, &[&[0], &i.to_be_bytes()])).collect()
    }

    /// RFC 9162 §2.1.1 as it is written: split at the largest power of two below n.
    fn definition(leaves: &[Node]) -> Node {
        if let [leaf] = leaves {
            return *leaf;
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        join(&RustEngine, &definition(left), &definition(right))
    }

    #[test]
    fn every_leaf_of_every_size_leads_to_the_head_that_rfc_9162_defines() {
        for n in 1..=70 {
            let tree = Tree::new(&RustEngine, leaves(n)).unwrap();
            assert_eq!(tree.root(), definition(&leaves(n)), "{n} leaves");
            for (i, leaf) in leaves(n).into_iter().enumerate() {
                let path = tree.path(i).unwrap();
                let size = u64::try_from(n).unwrap();
                assert_eq!(
                    head_from_path(&RustEngine, leaf, u64::try_from(i).unwrap(), size, &path),
                    Some(tree.root()),
                    "{i} of {n}"
                );
                assert_eq!(head_from_path(&RustEngine, leaf, size, size, &path), None, "index beyond the tree");
                for other in (0..n).filter(|o| *o != i) {
                    let elsewhere = head_from_path(&RustEngine, leaf, u64::try_from(other).unwrap(), size, &path);
                    assert_ne!(elsewhere, Some(tree.root()), "leaf {i} of {n} shown at {other}");
                }
            }
        }
    }

    #[test]
    fn a_path_that_is_too_short_or_too_long_is_refused() {
        let tree = Tree::new(&RustEngine, leaves(5)).unwrap();
        let path = tree.path(1).unwrap();
        let leaf = leaves(5)[1];
        assert_eq!(head_from_path(&RustEngine, leaf, 1, 5, &path[..path.len() - 1]), None);
        let longer: Vec<Node> = path.iter().copied().chain([[0; 32]]).collect();
        assert_eq!(head_from_path(&RustEngine, leaf, 1, 5, &longer), None);
        assert_eq!(head_from_path(&RustEngine, leaf, 0, 0, &[]), None);
        assert_eq!(head_from_path(&RustEngine, leaf, 0, u64::MAX, &[[0; 32]; 16]), None);
    }

    #[test]
    fn a_doubled_last_leaf_makes_another_head() {
        let mut doubled = leaves(3);
        doubled.push(doubled[2]);
        let three = Tree::new(&RustEngine, leaves(3)).unwrap();
        assert_ne!(three.root(), Tree::new(&RustEngine, doubled).unwrap().root());
    }

    #[test]
    fn an_inner_node_is_no_leaf() {
        let tree = Tree::new(&RustEngine, leaves(4)).unwrap();
        let inner = [tree.levels[0][0], tree.levels[0][1]].concat();
        let as_leaf = sha256(&RustEngine, &[&[0], &inner]);
        let path = [tree.levels[1][1]];
        assert_ne!(head_from_path(&RustEngine, as_leaf, 0, 2, &path), Some(tree.root()));
    }

    #[test]
    fn an_empty_batch_has_no_tree() {
        assert!(Tree::new(&RustEngine, Vec::new()).is_none());
    }
}
