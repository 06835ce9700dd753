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
pub struct AuditedSite(Signed<Site>);

impl AuditedSite {
    /// What the auditor says.
    pub fn site(&self) -> &Site {
        self.0.claims()
    }

    /// Key id of the auditor.
    pub fn auditor(&self) -> [u8; 32] {
        self.0.signer()
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
    Ok(AuditedSite(signed))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::{cbor, cose, rust_engine::RustEngine};
    use alloc::{string::ToString, vec};
    use ed25519_dalek::{Signer, SigningKey};

    const NOW: u64 = 1_780_000_000;
    const NODE: [u8; 32] = [0xab; 32];
    const ANCHOR: [u8; 32] = [0xac; 32];
    const CHASSIS: &str = "SN 4711";

    fn key(seed: u8) -> PublicKey {
        PublicKey::Ed25519(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes())
    }

    fn site() -> Site {
        Site {
            expires: NOW + 100,
            not_before: NOW - 50,
            issued: NOW - 100,
            node_id: Some(Bytes32::new(NODE)),
            name: "FRA 1".to_string(),
            address: "Example Street 1, 60311 Frankfurt".to_string(),
            country: "DE".to_string(),
            latitude_udeg: 50_110_900,
            longitude_udeg: 8_682_100,
            radius_m: 200,
            operator: "Example Colocation GmbH".to_string(),
            anchor: Some(Bytes32::new(ANCHOR)),
            inspected: "Walked the hall, read the serial numbers".to_string(),
            rack: Some("B 17".to_string()),
            chassis: Some(CHASSIS.to_string()),
        }
    }

    /// Signed whatever it says.
    fn signed(site: &Site, seed: u8) -> Vec<u8> {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let sign = |message: &[u8]| Ok::<_, StatementError>(secret.sign(message).to_bytes().to_vec());
        cose::sign(&RustEngine, &key(seed), Site::CONTENT_TYPE, &cbor::encode(site).unwrap(), sign).unwrap()
    }

    fn subject() -> Subject<'static> {
        Subject { node_ids: &[[1; 32], NODE], anchors: &[[2; 32], ANCHOR], covered_chassis: Some(CHASSIS) }
    }

    fn weigh_at(statement: &[u8], subject: &Subject<'_>, now: u64) -> Result<AuditedSite, SiteError> {
        let (mut sites, mut faults) = judge(&RustEngine, &[statement], &[key(1), key(2)], subject, now);
        sites.pop().ok_or_else(|| faults.pop().unwrap())
    }

    fn fault(site: &Site) -> SiteError {
        weigh_at(&signed(site, 2), &subject(), NOW).unwrap_err()
    }

    #[test]
    fn a_site_counts_for_the_machine_the_auditor_and_the_time_that_it_names() {
        let sealed = signed(&site(), 2);
        let audited = weigh_at(&sealed, &subject(), NOW).unwrap();
        assert_eq!(audited.site(), &site());
        assert_eq!(Some(audited.auditor()), key(2).id(&RustEngine));
        let now = |now| weigh_at(&sealed, &subject(), now).map(|_| ());
        assert_eq!(now(NOW + 99), Ok(()));
        assert_eq!(now(NOW - 50), Ok(()));
        let expired = StatementError::Expired { at: NOW + 100 };
        assert_eq!(now(NOW + 100), Err(SiteError::Statement(expired)));
        assert_eq!(now(NOW - 51), Err(SiteError::Statement(StatementError::NotYet { from: NOW - 50 })));
        let stranger = weigh_at(&signed(&site(), 3), &subject(), NOW);
        assert_eq!(stranger, Err(SiteError::Statement(StatementError::OtherKey)));
    }

    #[test]
    fn everything_that_ties_a_machine_to_a_site_must_be_shown() {
        let other = |subject: Subject<'_>| weigh_at(&signed(&site(), 2), &subject, NOW).unwrap_err();
        assert_eq!(other(Subject { node_ids: &[[1; 32]], ..subject() }), SiteError::OtherNode);
        assert_eq!(other(Subject { anchors: &[], ..subject() }), SiteError::OtherAnchor);
        assert_eq!(other(Subject { covered_chassis: None, ..subject() }), SiteError::OtherChassis);
        assert_eq!(other(Subject { covered_chassis: Some("SN 4712"), ..subject() }), SiteError::OtherChassis);
        let of_anchor = Site { node_id: None, chassis: None, ..site() };
        let any = Subject { node_ids: &[], covered_chassis: None, ..subject() };
        assert_eq!(weigh_at(&signed(&of_anchor, 2), &any, NOW).unwrap().site(), &of_anchor);
        let of_node = Site { anchor: None, ..site() };
        let far = Subject { anchors: &[], ..subject() };
        assert_eq!(weigh_at(&signed(&of_node, 2), &far, NOW).unwrap().site(), &of_node);
    }

    #[test]
    fn a_claim_that_cannot_be_meant_is_named() {
        let long = "x".repeat(budget::STATEMENT_TEXT_BYTES + 1);
        let text = |text: &str| text.to_string();
        for (what, bad) in [
            ("name", Site { name: text(""), ..site() }),
            ("name", Site { name: text(" a"), ..site() }),
            ("address", Site { address: text("a\nb"), ..site() }),
            ("operator", Site { operator: long.clone(), ..site() }),
            ("rack", Site { rack: Some(long), ..site() }),
            ("country", Site { country: text("de"), ..site() }),
            ("country", Site { country: text("DEU"), ..site() }),
            ("latitude", Site { latitude_udeg: 90_000_001, ..site() }),
            ("latitude", Site { latitude_udeg: -90_000_001, ..site() }),
            ("longitude", Site { longitude_udeg: 180_000_001, ..site() }),
            ("longitude", Site { longitude_udeg: i64::MIN, ..site() }),
            ("radius", Site { radius_m: 0, ..site() }),
            ("radius", Site { radius_m: 50_001, ..site() }),
            ("inspection", Site { inspected: text(""), ..site() }),
            ("chassis", Site { chassis: Some(text("Ä")), ..site() }),
            ("subject (neither node nor anchor)", Site { node_id: None, anchor: None, ..site() }),
        ] {
            assert_eq!(fault(&bad), SiteError::Statement(StatementError::Claim { what }), "{bad:?}");
        }
        assert_eq!(fault(&Site { expires: NOW - 100, ..site() }), SiteError::Statement(StatementError::Lifetime));
        let backwards = Site { not_before: NOW + 100, ..site() };
        assert_eq!(fault(&backwards), SiteError::Statement(StatementError::Lifetime));
    }

    #[test]
    fn no_byte_can_change_and_too_many_are_not_weighed() {
        let good = signed(&site(), 2);
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(weigh_at(&changed, &subject(), NOW).is_err(), "byte {at}");
        }
        let many = vec![&good[..]; budget::SITES + 1];
        let (sites, faults) = judge(&RustEngine, &many, &[key(2)], &subject(), NOW);
        assert_eq!((sites.len(), faults.len()), (0, 1));
        let (sites, faults) = judge(&RustEngine, &[&good, b"garbage"], &[key(2)], &subject(), NOW);
        assert_eq!((sites.len(), faults.len()), (1, 1));
    }
}
