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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::{cbor::CborError, cose};
    use alloc::vec;

    /// Signed by nobody.
    fn statement(content_type: &str, payload: &[u8]) -> Vec<u8> {
        cose::sign_ed25519([1; 32], content_type, payload, |_| Ok::<_, CborError>([0; 64])).unwrap()
    }

    #[test]
    fn a_statement_is_of_the_kind_that_it_claims_and_else_of_none() {
        for (content_type, kind) in [
            (landmark::CONTENT_TYPE, Some(Kind::Landmark)),
            (Site::CONTENT_TYPE, Some(Kind::Site)),
            (Mandate::CONTENT_TYPE, Some(Kind::Mandate)),
            (Holdings::CONTENT_TYPE, Some(Kind::Holdings)),
            (crate::ear::CONTENT_TYPE, None),
            (crate::enrolment::CONTENT_TYPE, None),
        ] {
            assert_eq!(Kind::of(&statement(content_type, b"")), kind, "{content_type}");
        }
        for nothing in [&b""[..], b"\xd2", b"\xff\xfe", b"words", &[0x84; 1000]] {
            assert_eq!(Kind::of(nothing), None);
        }
    }

    #[test]
    fn a_statement_longer_than_a_node_may_carry_is_none() {
        let of = |length: usize| statement(Site::CONTENT_TYPE, &vec![0; length]);
        let most = budget::CARRIED_STATEMENT_BYTES - (of(60_000).len() - 60_000);
        assert_eq!(Kind::of(&of(most)), Some(Kind::Site));
        assert_eq!(Kind::of(&of(most + 1)), None);
    }

    #[test]
    fn what_comes_twice_counts_once_and_the_first_stays_first() {
        let [one, other, mandate] =
            [(Site::CONTENT_TYPE, b"1"), (Site::CONTENT_TYPE, b"2"), (Mandate::CONTENT_TYPE, b"3")]
                .map(|(content_type, payload)| statement(content_type, payload));
        let carried = Carried::sort([&other[..], &mandate, b"words", &one, &other]);
        assert_eq!(carried.of(Kind::Site), [&other[..], &one]);
        assert_eq!(carried.of(Kind::Mandate), [&mandate[..]]);
        assert!(carried.of(Kind::Landmark).is_empty());
    }
}
