//! Custody: from the vouchers and mandates that somebody brought to who holds this machine now, or why nobody is shown to.
//!
//! What it cannot know: a sale that no voucher at hand shows. A former owner who hides the newer voucher can mandate on
//! the old one; a witnessed log of heads is what stops that. Nor who owns the owner.

mod error;

pub use error::CustodyError;

use crate::{
    budget,
    cose::ClaimedStatement,
    engine::{Engine, PublicKey},
    owner::{
        mandate::Mandate,
        seal_certificate::{self, Seal, SealError},
        voucher::{ClaimedVoucher, Link, Machine, Voucher, VoucherError, key::NamedKey},
    },
    roots::Roots,
    statement::{self, Claims},
    verdict::Answer,
};
use alloc::{boxed::Box, string::String, vec::Vec};

/// The machine in question, as the verifier knows it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Key ids of all its certified EKs, the node id first.
    pub node_ids: &'a [[u8; 32]],
    /// Name of the attestation key that quoted.
    pub ak_name: &'a [u8],
    /// What is known of the chassis.
    pub chassis: Chassis<'a>,
}

/// A chassis' serial number, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chassis<'a> {
    /// Nobody says.
    Silent,
    /// SMBIOS says so, and nothing covers it.
    Untrusted(&'a str),
    /// A replayed digest covers it, or a platform certificate equals it.
    Covered(&'a str),
}

/// Whom the policy believes about custody.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Keys of makers and adopters with which a chain may begin.
    pub makers: &'a [PublicKey],
    /// Key ids that no longer count.
    pub revoked: &'a [[u8; 32]],
    /// Roots of seal certificates.
    pub seal_roots: &'a Roots,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Custody {
    /// This machine is held, by the testimony of everyone in the chain.
    Held(Box<Held>),
    /// It is not shown to be held by anybody.
    NotHeld(CustodyError),
}

/// Who holds the machine. Holding one proves: a key that the policy names handed this machine on, link by link, to this
/// owner, who says that this node is it. All of it is testimony of the keys in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The present owner's key.
    pub owner: NamedKey,
    /// By which name the owner goes, where the last entry carries certificates.
    pub seal: Option<Seal>,
    /// Key id of the maker or adopter with whom the chain begins.
    pub maker: [u8; 32],
    /// To whom it was handed, in order, and when (seconds since 1970); the owner is the last.
    pub links: Vec<([u8; 32], u64)>,
    /// SHA-256 of the last entry: what a witnessed log must hold.
    pub head: [u8; 32],
    /// Whether the chain's chassis is this machine's.
    pub chassis: ChassisTie,
    /// The first second at which one of the inputs no longer counts, since 1970.
    pub expires: u64,
}

/// What ties the voucher's chassis to this machine. The chip is tied in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChassisTie {
    /// A covered serial number equals the voucher's.
    Covered,
    /// The machine's own word, which nothing covers, equals it: testimony of whoever holds the machine.
    Testimony,
    /// The voucher names none, or nobody says what the machine's is.
    Open,
}

/// Weighs vouchers and mandates at `now` (seconds since 1970). Whatever names another machine, or does not begin with a
/// key of the policy, counts for nothing; two heads of this machine are an alarm before all else.
pub fn judge(
    engine: &dyn Engine,
    vouchers: &[&[u8]],
    mandates: &[&[u8]],
    subject: &Subject<'_>,
    trust: &Trust<'_>,
    now: u64,
) -> Custody {
    match hold(engine, vouchers, mandates, subject, trust, now) {
        Ok(held) => Custody::Held(Box::new(held)),
        Err(fault) => Custody::NotHeld(fault),
    }
}

fn hold(
    engine: &dyn Engine,
    vouchers: &[&[u8]],
    mandates: &[&[u8]],
    subject: &Subject<'_>,
    trust: &Trust<'_>,
    now: u64,
) -> Result<Held, CustodyError> {
    let (voucher, heads) = present_voucher(engine, vouchers, subject, trust)?;
    let seal = check_links(engine, &voucher, trust, now)?;
    let chassis = tie(&voucher, subject.chassis)?;
    let (mandated, head) = mandated_until(engine, (&voucher, &heads), mandates, subject, now)?;
    let ends = voucher.links().iter().filter_map(|link| link.terms.expires);
    let sealed = seal.iter().map(|seal| seal.not_after.saturating_add(1));
    Ok(Held {
        expires: ends.chain(sealed).fold(mandated, u64::min),
        owner: voucher.owner().clone(),
        seal,
        maker: voucher.maker().id,
        links: voucher.links().iter().map(|link| (link.owner.id, link.terms.issued)).collect(),
        head,
        chassis,
    })
}

impl Custody {
    /// Held is a yes; a revoked key and a former owner's mandate are a no; everything else shows nothing.
    pub fn answer(&self) -> Answer {
        match self {
            Custody::Held(_) => Answer::Yes,
            Custody::NotHeld(CustodyError::Revoked { .. } | CustodyError::FormerOwner { .. }) => Answer::No,
            Custody::NotHeld(_) => Answer::Unknown,
        }
    }

    /// Whether a person must look at it: somebody gave one machine to two owners.
    pub fn is_alarm(&self) -> bool {
        matches!(self, Custody::NotHeld(CustodyError::TwoHeads { .. }))
    }
}

/// The longest voucher of this machine, where all others of it are its beginnings. It has several heads where it came
/// several times, with other signatures over the same.
fn present_voucher<'a>(
    engine: &dyn Engine,
    vouchers: &[&'a [u8]],
    subject: &Subject<'_>,
    trust: &Trust<'_>,
) -> Result<(Voucher<'a>, Vec<[u8; 32]>), CustodyError> {
    let found = vouchers.len();
    if found > budget::VOUCHERS {
        return Err(CustodyError::TooMany { found, limit: budget::VOUCHERS });
    }
    let (mut ours, mut fault) = (Vec::new(), CustodyError::NoVoucher);
    for bytes in vouchers {
        match believed(engine, bytes, subject, trust) {
            Ok(voucher) => ours.push(voucher),
            Err(error) if fault == CustodyError::NoVoucher => fault = error,
            Err(_) => (),
        }
    }
    for (at, one) in ours.iter().enumerate() {
        if let Some(other) = ours.iter().skip(at).find(|other| !is_one_chain(one, other)) {
            return Err(CustodyError::TwoHeads { one: one.head(), other: other.head() });
        }
    }
    // A longer one shows a later owner, even where the rest of it cannot be read.
    let rank = |voucher: &Voucher<'_>| (voucher.signed().len(), voucher.fault().is_none());
    let longest = ours.iter().map(rank).max().ok_or(fault)?;
    ours.retain(|voucher| rank(voucher) == longest);
    let heads = ours.iter().map(Voucher::head).collect();
    let present = ours.into_iter().next().ok_or(CustodyError::NoVoucher)?;
    if !subject.node_ids.contains(&present.machine().node_id) {
        return Err(CustodyError::OtherNode { found: present.machine().node_id });
    }
    match present.fault() {
        Some(error) => Err(CustodyError::Voucher(error.clone())),
        None => Ok((present, heads)),
    }
}

/// A voucher of this chip or chassis that begins with a key of the policy and has entries: the header is nobody's word.
fn believed<'a>(
    engine: &dyn Engine,
    bytes: &'a [u8],
    subject: &Subject<'_>,
    trust: &Trust<'_>,
) -> Result<Voucher<'a>, CustodyError> {
    let claimed = ClaimedVoucher::decode(bytes).map_err(CustodyError::Voucher)?;
    let machine = claimed.machine();
    if !subject.node_ids.contains(&machine.node_id) && !is_chassis_of(&machine, subject.chassis) {
        return Err(CustodyError::OtherNode { found: machine.node_id });
    }
    let maker = claimed.maker(engine).map_err(|error| CustodyError::Voucher(VoucherError::MakerKey(error)))?;
    if !trust.makers.contains(&maker.key) {
        return Err(CustodyError::UnknownMaker { key_id: maker.id });
    }
    let voucher = claimed.follow(engine).map_err(CustodyError::Voucher)?;
    if voucher.signed().is_empty() && voucher.fault().is_none() {
        return Err(CustodyError::NoEntry);
    }
    Ok(voucher)
}

fn is_chassis_of(machine: &Machine<'_>, chassis: Chassis<'_>) -> bool {
    let text = match chassis {
        Chassis::Silent => return false,
        Chassis::Untrusted(text) | Chassis::Covered(text) => text,
    };
    !machine.chassis.is_empty() && machine.chassis == text
}

/// Whether one of two vouchers is the other's beginning. What the first owner signed names machine and maker.
fn is_one_chain(one: &Voucher<'_>, other: &Voucher<'_>) -> bool {
    one.signed().iter().zip(other.signed()).all(|(a, b)| a == b)
}

/// Whether nobody in the chain is revoked and no entry has ended; gives the present owner's seal.
fn check_links(
    engine: &dyn Engine,
    voucher: &Voucher<'_>,
    trust: &Trust<'_>,
    now: u64,
) -> Result<Option<Seal>, CustodyError> {
    let keys = core::iter::once(voucher.maker()).chain(voucher.links().iter().map(|link| &link.owner));
    if let Some(key) = keys.into_iter().find(|key| trust.revoked.contains(&key.id)) {
        return Err(CustodyError::Revoked { key_id: key.id });
    }
    let mut present = None;
    for (number, link) in voucher.links().iter().enumerate() {
        if now < link.terms.issued {
            return Err(CustodyError::EntryNotYet { number, from: link.terms.issued });
        }
        if let Some(at) = link.terms.expires.filter(|at| now >= *at) {
            return Err(CustodyError::EntryExpired { number, at });
        }
        // An earlier owner's seal counts when the machine came to it, the present owner's now.
        let is_present = number.saturating_add(1) == voucher.links().len();
        present = seal(engine, link, trust, if is_present { now } else { link.terms.issued })
            .map_err(|error| CustodyError::Seal { number, error })?;
    }
    Ok(present)
}

fn seal(engine: &dyn Engine, link: &Link<'_>, trust: &Trust<'_>, at: u64) -> Result<Option<Seal>, SealError> {
    let read = |list| seal_certificate::read(engine, list, &link.owner.key, trust.seal_roots, at);
    link.terms.certificates.as_ref().map(read).transpose()
}

fn tie(voucher: &Voucher<'_>, chassis: Chassis<'_>) -> Result<ChassisTie, CustodyError> {
    let machine = voucher.machine();
    match chassis {
        _ if machine.chassis.is_empty() => Ok(ChassisTie::Open),
        Chassis::Silent => Ok(ChassisTie::Open),
        Chassis::Covered(text) if text == machine.chassis => Ok(ChassisTie::Covered),
        Chassis::Untrusted(text) if text == machine.chassis => Ok(ChassisTie::Testimony),
        Chassis::Covered(text) | Chassis::Untrusted(text) => Err(CustodyError::OtherChassis {
            expected: String::from(machine.chassis),
            found: text.chars().filter(|letter| !letter.is_control()).take(budget::CHASSIS_BYTES).collect(),
        }),
    }
}

/// When the mandate that lasts longest ends, and for which of the heads it is; the first one's fault where none counts.
fn mandated_until(
    engine: &dyn Engine,
    (voucher, heads): (&Voucher<'_>, &[[u8; 32]]),
    mandates: &[&[u8]],
    subject: &Subject<'_>,
    now: u64,
) -> Result<(u64, [u8; 32]), CustodyError> {
    let found = mandates.len();
    if found > budget::VOUCHERS {
        return Err(CustodyError::TooMany { found, limit: budget::VOUCHERS });
    }
    let weighed: Vec<_> =
        mandates.iter().map(|mandate| check_mandate(engine, (voucher, heads), mandate, subject, now)).collect();
    let until = weighed.iter().filter_map(|until| until.as_ref().ok()).max();
    let fault = weighed.iter().find_map(|until| until.as_ref().err());
    until.copied().ok_or_else(|| fault.cloned().unwrap_or(CustodyError::NoMandate))
}

fn check_mandate(
    engine: &dyn Engine,
    (voucher, heads): (&Voucher<'_>, &[[u8; 32]]),
    mandate: &[u8],
    subject: &Subject<'_>,
    now: u64,
) -> Result<(u64, [u8; 32]), CustodyError> {
    let key_id = ClaimedStatement::decode(mandate).map_err(CustodyError::Mandate)?.key_id();
    let mut holders = voucher.links().iter().map(|link| &link.owner).chain([voucher.maker()]);
    let signer = holders.find(|holder| holder.id == key_id).ok_or(CustodyError::Stranger { key_id })?;
    let keys = core::slice::from_ref(&signer.key);
    let signed = statement::open::<Mandate<'_>>(engine, mandate, keys).map_err(CustodyError::Mandate)?;
    let mandate = signed.claims();
    if !subject.node_ids.contains(&mandate.node_id) {
        return Err(CustodyError::MandateOtherNode { found: *mandate.node_id });
    }
    mandate.lifetime().check(now).map_err(CustodyError::Mandate)?;
    if key_id != voucher.owner().id {
        return Err(CustodyError::FormerOwner { key_id });
    }
    if mandate.ak_name[..] != *subject.ak_name {
        return Err(CustodyError::MandateOtherKey);
    }
    if !heads.contains(&mandate.head) {
        return Err(CustodyError::MandateOtherHead { found: *mandate.head });
    }
    Ok((mandate.expires, *mandate.head))
}

#[cfg(test)]
mod tests;
