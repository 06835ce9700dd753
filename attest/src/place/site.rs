//! Site statements: an auditor says that a machine, or the landmark beside it, stands in a building, where that is, and
//! what was looked at.
//!
//! Testimony of that auditor, for the time that it names, and at no other. With a landmark in the building as anchor it
//! speaks of every machine that answers there within microseconds; with a node id of one machine.

use crate::{
    budget,
    cbor::Bytes32,
    cose::StatementError,
    engine::{Engine, PublicKey},
    owner::voucher::is_chassis,
    statement::{self, Claims, Lifetime, Signed, is_plain},
};
use alloc::{string::String, vec::Vec};
use core::fmt;

crate::int_map! {
    /// What a site statement says.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Site {
        /// exp: the first second at which it no longer counts, since 1970.
        4 => expires: u64,
        /// nbf: from when on it counts, seconds since 1970.
        5 => not_before: u64,
        /// iat: when it was signed, seconds since 1970.
        6 => issued: u64,
        /// The node of which it speaks.
        -75011 => node_id: Option<Bytes32>,
        /// What the site is called.
        -75060 => name: String,
        /// Its postal address, in one line.
        -75061 => address: String,
        /// ISO 3166-1 alpha-2.
        -75062 => country: String,
        /// Latitude, WGS 84, in millionths of a degree, north positive.
        -75063 => latitude_udeg: i64,
        /// Longitude, WGS 84, in millionths of a degree, east positive.
        -75064 => longitude_udeg: i64,
        /// Metres around that point within which all of the site lies.
        -75065 => radius_m: u64,
        /// Who runs the site.
        -75066 => operator: String,
        /// SHA-256 of the SubjectPublicKeyInfo of the landmark in the building.
        -75067 => anchor: Option<Bytes32>,
        /// What was inspected, in words.
        -75068 => inspected: String,
        /// Where in the building.
        -75069 => rack: Option<String>,
        /// Serial number of the chassis in which the node sits.
        -75084 => chassis: Option<String>,
    }
}

impl<'a> Claims<'a> for Site {
    const CONTENT_TYPE: &'static str = "application/vnd.garant.site+cbor";

    fn lifetime(&self) -> Lifetime {
        Lifetime { issued: self.issued, not_before: Some(self.not_before), expires: self.expires }
    }

    fn check(&self) -> Result<(), &'static str> {
        let texts = [("name", &self.name), ("address", &self.address), ("operator", &self.operator)];
        for (what, text) in texts.into_iter().chain(self.rack.iter().map(|rack| ("rack", rack))) {
            if !is_plain(text, budget::STATEMENT_TEXT_BYTES) {
                return Err(what);
            }
        }
        let is_country = self.country.len() == 2 && self.country.bytes().all(|letter| letter.is_ascii_uppercase());
        let checks = [
            ("country", is_country),
            ("latitude", self.latitude_udeg.unsigned_abs() <= 90 * UDEG),
            ("longitude", self.longitude_udeg.unsigned_abs() <= 180 * UDEG),
            ("radius", (1..=RADIUS_M).contains(&self.radius_m)),
            ("inspection", is_plain(&self.inspected, budget::INSPECTION_BYTES)),
            ("chassis", self.chassis.as_ref().is_none_or(|text| is_chassis(text))),
            ("subject (neither node nor anchor)", self.node_id.is_some() || self.anchor.is_some()),
        ];
        checks.into_iter().find(|(_, holds)| !holds).map_or(Ok(()), |(what, _)| Err(what))
    }
}

/// What a machine was shown to be and to be near, for site statements.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Key ids of all its certified EKs.
    pub node_ids: &'a [[u8; 32]],
    /// Key ids of the landmarks to which its session key was shown to be so near that it is in the same building.
    pub anchors: &'a [[u8; 32]],
    /// The chassis' serial number, where a replayed digest covers it or a platform certificate equals it.
    pub covered_chassis: Option<&'a str>,
}

/// A site statement that counts for a machine. Holding one proves: this auditor says where that machine, or the landmark
/// beside it, stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedSite {
    site: Signed<Site>,
    tie: Tie,
}

/// By what the machine is tied to the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// The landmark in the building measured it: physics ends where this auditor begins.
    Anchor,
    /// The auditor names the node alone: nothing shows that it still stands there.
    NodeAlone,
}

impl AuditedSite {
    /// What the auditor says.
    pub fn site(&self) -> &Site {
        self.site.claims()
    }

    /// Key id of the auditor.
    pub fn auditor(&self) -> [u8; 32] {
        self.site.signer()
    }

    /// By what the machine is tied to it.
    pub fn tie(&self) -> Tie {
        self.tie
    }
}

/// The statements that count for this machine at `now` (seconds since 1970), and why the others do not. Statements that
/// name both a node and an anchor need both; those that name a chassis need it covered.
pub fn judge(
    engine: &dyn Engine,
    statements: &[&[u8]],
    auditors: &[PublicKey],
    subject: &Subject<'_>,
    now: u64,
) -> (Vec<AuditedSite>, Vec<SiteError>) {
    let (mut sites, mut faults) = (Vec::new(), Vec::new());
    if statements.len() > budget::SITES {
        faults.push(SiteError::TooMany { found: statements.len() });
        return (sites, faults);
    }
    for bytes in statements {
        match weigh(engine, bytes, auditors, subject, now) {
            Ok(site) => sites.push(site),
            Err(fault) => faults.push(fault),
        }
    }
    (sites, faults)
}

fn weigh(
    engine: &dyn Engine,
    statement: &[u8],
    auditors: &[PublicKey],
    subject: &Subject<'_>,
    now: u64,
) -> Result<AuditedSite, SiteError> {
    let signed: Signed<Site> = statement::open(engine, statement, auditors).map_err(SiteError::Statement)?;
    let site = signed.claims();
    if site.node_id.is_some_and(|id| !subject.node_ids.contains(&id)) {
        return Err(SiteError::OtherNode);
    }
    if site.anchor.is_some_and(|id| !subject.anchors.contains(&id)) {
        return Err(SiteError::OtherAnchor);
    }
    if site.chassis.as_deref().is_some_and(|chassis| Some(chassis) != subject.covered_chassis) {
        return Err(SiteError::OtherChassis);
    }
    site.lifetime().check(now).map_err(SiteError::Statement)?;
    let tie = if site.anchor.is_some() { Tie::Anchor } else { Tie::NodeAlone };
    Ok(AuditedSite { site: signed, tie })
}

/// Why a site statement does not count for a machine; whoever brought it is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteError {
    /// More statements than are weighed.
    TooMany {
        /// Brought.
        found: usize,
    },
    /// Signed by no auditor of the policy, not in its time, or no site statement.
    Statement(StatementError),
    /// It speaks of another node.
    OtherNode,
    /// It speaks of a landmark that was not shown to be beside this machine.
    OtherAnchor,
    /// It speaks of a chassis that is not shown to be this one.
    OtherChassis,
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SiteError::TooMany { found } => {
                write!(f, "{found} site statements for one machine, at most {} are weighed", budget::SITES)
            }
            SiteError::Statement(error) => write!(f, "the site statement does not count: {error}"),
            SiteError::OtherNode => f.write_str("the site statement is for another node"),
            SiteError::OtherAnchor => {
                f.write_str("the site statement is for a landmark that is not shown to be in this building")
            }
            SiteError::OtherChassis => {
                f.write_str("the site statement is for a chassis that is not shown to be this machine's")
            }
        }
    }
}

impl core::error::Error for SiteError {}

/// Millionths in a degree.
const UDEG: u64 = 1_000_000;
/// A site is a building or a campus: more than 50 km is a region.
const RADIUS_M: u64 = 50_000;
