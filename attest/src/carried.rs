//! What others say of a node, sorted by what it claims to be. Nothing is checked here but the kind.

use crate::{
    budget,
    cose::ClaimedStatement,
    owner::{holdings::Holdings, mandate::Mandate, voucher::ClaimedVoucher},
    place::{landmark, site::Site},
    statement::Claims,
    tlog::ClaimedProof,
};
use alloc::vec::Vec;

/// Kinds of statements that bear on place and owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A landmark's round trip.
    Landmark,
    /// An auditor's word on a building.
    Site,
    /// An ownership voucher.
    Voucher,
    /// The present owner's word on the node.
    Mandate,
    /// Who holds what in whom.
    Holdings,
    /// A transparency log's proof.
    LogProof,
}

impl Kind {
    /// The kind that these bytes claim; `None` for what is of no kind or longer than a node may carry.
    pub fn of(bytes: &[u8]) -> Option<Kind> {
        if bytes.len() > budget::CARRIED_STATEMENT_BYTES {
            return None;
        }
        if let Ok(statement) = ClaimedStatement::decode(bytes) {
            return match statement.content_type() {
                landmark::CONTENT_TYPE => Some(Kind::Landmark),
                Site::CONTENT_TYPE => Some(Kind::Site),
                Mandate::CONTENT_TYPE => Some(Kind::Mandate),
                Holdings::CONTENT_TYPE => Some(Kind::Holdings),
                _ => None,
            };
        }
        if ClaimedVoucher::decode(bytes).is_ok() {
            return Some(Kind::Voucher);
        }
        core::str::from_utf8(bytes).ok().and_then(|text| ClaimedProof::parse(text).ok()).map(|_| Kind::LogProof)
    }
}

/// Statements by kind; what is of no kind is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried<'a>(Vec<(Kind, &'a [u8])>);

impl<'a> Carried<'a> {
    /// Sorts statements; one that comes twice counts once.
    pub fn sort(statements: impl IntoIterator<Item = &'a [u8]>) -> Carried<'a> {
        let mut sorted: Vec<(Kind, &[u8])> = Vec::new();
        for bytes in statements {
            if let Some(kind) = Kind::of(bytes)
                && !sorted.contains(&(kind, bytes))
            {
                sorted.push((kind, bytes));
            }
        }
        Carried(sorted)
    }

    /// All of one kind, in their order.
    pub fn of(&self, kind: Kind) -> Vec<&'a [u8]> {
        self.0.iter().filter(|(found, _)| *found == kind).map(|(_, bytes)| *bytes).collect()
    }
}
