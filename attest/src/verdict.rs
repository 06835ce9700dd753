//! What a policy says of a machine: for each part yes, no or unknown, with the basis of its whole chain.

use crate::{place::geographic::Geographic, wire::Kind};
use alloc::{string::String, vec::Vec};
use core::fmt;

/// An answer. Unknown is one; an error is never a yes, and silence is never a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Proven, on the basis that stands beside it.
    Yes,
    /// Proven not to be so.
    No,
    /// Nothing is proven.
    Unknown,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::Unknown => "unknown",
        })
    }
}

/// What a link of a chain rests on. The order is from the strongest to the weakest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// The speed of light and a clock of the verifier's side.
    Physics,
    /// A TPM signature and its maker's certificate.
    Silicon,
    /// A named key said so.
    Testimony(String),
    /// A root of kind `test` is in the chain.
    Test,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Basis::Physics => f.write_str("physics"),
            Basis::Silicon => f.write_str("silicon"),
            Basis::Testimony(who) => write!(f, "testimony: {who}"),
            Basis::Test => f.write_str("test"),
        }
    }
}

/// One link: what was checked, and what that rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// In words, for the print.
    pub what: String,
    /// What it rests on.
    pub basis: Basis,
}

/// The verdict on one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartVerdict {
    /// The answer.
    pub answer: Answer,
    /// Why, in words: for `no` the first is the event or check that decides.
    pub reasons: Vec<String>,
    /// All links of the chain.
    pub links: Vec<Link>,
}

impl PartVerdict {
    /// A part that nobody assessed, or of which nothing is known.
    pub fn unknown(reason: impl Into<String>) -> PartVerdict {
        PartVerdict { answer: Answer::Unknown, reasons: Vec::from([reason.into()]), links: Vec::new() }
    }

    /// The weakest link's basis; `None` where no link was made.
    pub fn basis(&self) -> Option<&Basis> {
        self.links.iter().map(|link| &link.basis).max()
    }

    /// The tier of EAR: yes 2 (affirming), yes on a test root 32 (warning), no 96 (contraindicated), unknown 0.
    pub fn tier(&self) -> u64 {
        match (self.answer, self.basis()) {
            (Answer::Yes, Some(Basis::Test) | None) => 32,
            (Answer::Yes, Some(_)) => 2,
            (Answer::No, _) => 96,
            (Answer::Unknown, _) => 0,
        }
    }
}

impl fmt::Display for PartVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.answer, self.basis()) {
            (Answer::Unknown, _) | (_, None) => write!(f, "{}", self.answer),
            (answer, Some(basis)) => write!(f, "{answer} ({basis})"),
        }
    }
}

/// A part, and what it brings to the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessed {
    /// The verdict on the part.
    pub part: PartVerdict,
    /// The earliest expiry among what it rests on, seconds since 1970.
    pub expires: Option<u64>,
    /// What it leaves to be trusted.
    pub residual_trust: Vec<String>,
    /// Of a place: in figures.
    pub geographic: Option<Geographic>,
    /// Of a place: codes of the lands on which the machine can be.
    pub touched: Vec<String>,
}

impl Assessed {
    /// Nothing is known, and why.
    pub fn unknown(reason: impl Into<String>) -> Assessed {
        Assessed {
            part: PartVerdict::unknown(reason),
            expires: None,
            residual_trust: Vec::new(),
            geographic: None,
            touched: Vec::new(),
        }
    }
}

/// The whole verdict; a part that nobody assessed is unknown, never absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What booted.
    pub boot: PartVerdict,
    /// Where it is.
    pub place: PartVerdict,
    /// Whose it is.
    pub owner: PartVerdict,
    /// What it runs.
    pub workload: PartVerdict,
    /// Whether the booted image is closed: the premise of place, workload, custody and VM evidence.
    pub closed: Answer,
    /// How the asker came; `none` binds the answer to no channel.
    pub channel: Kind,
    /// What stays to be trusted, in words.
    pub residual_trust: Vec<String>,
    /// Where the verdict ends, in seconds since 1970: the earliest expiry among its inputs.
    pub expires: Option<u64>,
    /// SHA-256 of the policy's bytes; `None` where no policy was given.
    pub policy_digest: Option<[u8; 32]>,
    /// Where the machine can be, in figures, where its place was assessed.
    pub geographic: Option<Geographic>,
    /// AR4SI trustworthiness vector of the boot part (draft-ietf-rats-ar4si).
    pub vector: TrustVector,
}

impl Verdict {
    /// The parts with their names, in the order of printing.
    pub fn parts(&self) -> [(&'static str, &PartVerdict); 4] {
        [("boot", &self.boot), ("place", &self.place), ("owner", &self.owner), ("workload", &self.workload)]
    }

    /// Takes a yes of boot back, for this reason: it is unknown then, and so is all that rests on it. A no of boot stays, and
    /// what decided it stands first.
    pub fn withdraw(&mut self, reason: String) {
        let at = if self.boot.answer == Answer::No { self.boot.reasons.len() } else { 0 };
        self.boot.reasons.insert(at, reason);
        if self.boot.answer == Answer::Yes {
            self.boot.answer = Answer::Unknown;
            self.vector.instance_identity = 0;
        }
        if self.closed == Answer::Yes {
            self.closed = Answer::Unknown;
        }
        for part in [&mut self.place, &mut self.owner, &mut self.workload] {
            if part.answer != Answer::Unknown {
                *part = PartVerdict::unknown("boot was taken back: nothing is known of who holds its keys");
            }
        }
    }
}

/// AR4SI claims (draft-ietf-rats-ar4si §2.3): 0 no claim, 2..31 affirming, 32..95 warning, 96..127 contraindicated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrustVector {
    /// Claim 0.
    pub instance_identity: i8,
    /// Claim 1.
    pub configuration: i8,
    /// Claim 2.
    pub executables: i8,
    /// Claim 4.
    pub hardware: i8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn part(answer: Answer, bases: &[Basis]) -> PartVerdict {
        let links = bases.iter().map(|basis| Link { what: String::new(), basis: basis.clone() }).collect();
        PartVerdict { answer, reasons: Vec::new(), links }
    }

    #[test]
    fn a_yes_taken_back_is_unknown_and_a_no_stays() {
        for (before, after) in
            [(Answer::Yes, Answer::Unknown), (Answer::No, Answer::No), (Answer::Unknown, Answer::Unknown)]
        {
            let vector = TrustVector { instance_identity: 2, ..TrustVector::default() };
            let mut verdict = Verdict {
                boot: PartVerdict { reasons: Vec::from(["decided".into()]), ..part(before, &[Basis::Silicon]) },
                place: part(Answer::Yes, &[Basis::Physics]),
                owner: part(Answer::No, &[Basis::Silicon]),
                workload: PartVerdict::unknown("not assessed"),
                closed: before,
                channel: Kind::None,
                residual_trust: Vec::new(),
                expires: None,
                policy_digest: None,
                geographic: None,
                vector,
            };
            verdict.withdraw("taken back".into());
            assert_eq!((verdict.boot.answer, verdict.closed), (after, after));
            for (part, reason) in [(&verdict.place, "boot"), (&verdict.owner, "boot"), (&verdict.workload, "not")] {
                assert_eq!((part.answer, part.basis()), (Answer::Unknown, None));
                assert!(part.reasons.iter().all(|found| found.starts_with(reason)), "{part:?}");
            }
            assert_eq!(verdict.vector.instance_identity == 0, before == Answer::Yes);
            let first = if before == Answer::No { "decided" } else { "taken back" };
            assert_eq!(verdict.boot.reasons.len(), 2);
            assert_eq!(verdict.boot.reasons.first().map(String::as_str), Some(first));
        }
    }

    #[test]
    fn the_basis_is_the_weakest_link_of_the_whole_chain() {
        let auditor = Basis::Testimony("auditor".into());
        let chain = part(Answer::Yes, &[Basis::Silicon, auditor.clone(), Basis::Physics]);
        assert_eq!(chain.basis(), Some(&auditor));
        assert_eq!(chain.to_string(), "yes (testimony: auditor)");
        assert_eq!(part(Answer::Yes, &[Basis::Test, auditor, Basis::Silicon]).to_string(), "yes (test)");
    }

    #[test]
    fn a_yes_without_any_link_or_on_a_test_root_is_not_affirming() {
        assert_eq!(part(Answer::Yes, &[]).tier(), 32);
        assert_eq!(part(Answer::Yes, &[Basis::Silicon, Basis::Test]).tier(), 32);
        assert_eq!(part(Answer::Yes, &[Basis::Silicon]).tier(), 2);
        assert_eq!(part(Answer::No, &[Basis::Silicon]).tier(), 96);
        assert_eq!(PartVerdict::unknown("nobody asked").tier(), 0);
    }
}
