//! The part `place` of a verdict: what landmarks and auditors say of a node whose session key a quote vouches for.
//!
//! Its caller has shown that the key lives in a closed image on the chip in question; else nobody knows whose round trips
//! these are. What round trips cannot show: that the key was not shared with an accomplice, and where its data are.

use super::{
    geographic::Geographic,
    landmark::{self, LandmarkStatement},
    map::{AreaMap, Containment, Map, MapError, Reason},
    policy::PlacePolicy,
    region::{Disc, Region, Trust},
    site::{self, AuditedSite},
    territory::{Position, Set, Standing, Territory, TerritoryError},
};
use crate::{
    carried::{Carried, Kind},
    engine::{Engine, PublicKey},
    verdict::{Answer, Assessed, Basis, Link, PartVerdict},
};
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// The map, divided for one policy.
#[derive(Debug, Clone)]
pub struct Atlas {
    version: String,
    target: Target,
}

#[derive(Debug, Clone)]
enum Target {
    Set(Map, Set),
    Area(AreaMap),
    /// The policy wants another version of the map: nothing is known.
    OtherMap,
}

/// A policy that this release's map does not fit, or a map that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtlasError {
    /// The map, or the set that the policy names.
    Territory(TerritoryError),
    /// The map or the policy's area is too large.
    Map(MapError),
}

impl fmt::Display for AtlasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtlasError::Territory(error) => error.fmt(f),
            AtlasError::Map(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AtlasError {}

impl Atlas {
    /// Divides the built-in map for what the policy asks.
    pub fn new(policy: &PlacePolicy) -> Result<Atlas, AtlasError> {
        let territory = Territory::builtin().map_err(AtlasError::Territory)?;
        let version = territory.version().to_owned();
        let target = match (&policy.territory, &policy.geojson) {
            _ if policy.map.as_ref().is_some_and(|map| *map != version) => Target::OtherMap,
            (_, Some(area)) => Target::Area(AreaMap::new(&territory, area).map_err(AtlasError::Map)?),
            (name, None) => {
                let set = territory.set(name.as_deref().unwrap_or_default()).map_err(AtlasError::Territory)?.clone();
                Target::Set(Map::new(&territory).map_err(AtlasError::Map)?, set)
            }
        };
        Ok(Atlas { version, target })
    }

    /// Version of the map.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn contain(&self, region: &Region) -> Option<Containment> {
        match &self.target {
            Target::Set(map, set) => Some(map.contain(region, set)),
            Target::Area(map) => Some(map.contain(region)),
            Target::OtherMap => None,
        }
    }

    /// Whether a site with all of `disc` may be where the policy wants the machine: the auditor's country and the map must
    /// both allow it.
    fn allows(&self, country: &str, disc: Disc) -> bool {
        match (&self.target, self.lies(disc)) {
            (Target::Set(_, set), Some(Reason::Inside | Reason::Both)) => set.standing(country) == Standing::Inside,
            (Target::Area(_), Some(reason)) => reason == Reason::Inside,
            _ => false,
        }
    }

    /// Where all land of one disc lies.
    fn lies(&self, disc: Disc) -> Option<Reason> {
        let operator = disc.operator.clone();
        let region = Region::new(&[&operator], Vec::from([disc]), &Trust::Only(operator.clone()));
        self.contain(&region.ok()?).map(|found| found.reason)
    }
}

/// Of which machine and what was brought.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Checks signatures.
    pub engine: &'a dyn Engine,
    /// F, for which the quote vouches.
    pub session_key: [u8; 32],
    /// Key ids of all certified EKs of the chip.
    pub node_ids: &'a [[u8; 32]],
    /// Landmark and site statements are taken from here.
    pub carried: &'a Carried<'a>,
    /// Seconds since 1970.
    pub now: u64,
}

/// The part `place`, with the links that led to F before its own.
pub fn assess(policy: &PlacePolicy, atlas: &Atlas, evidence: &Evidence<'_>, links: &[Link]) -> Assessed {
    let mut found = Found::new(policy, evidence);
    let region = Region::new(&policy.operators(), found.discs.clone(), &policy.trust());
    let Ok(region) = region else { return Assessed::unknown("the policy's operators and its landmarks do not fit") };
    let Some(contained) = atlas.contain(&region) else {
        return Assessed::unknown(format!("the policy asks for another map than version {}", atlas.version()));
    };
    let mut part = PartVerdict {
        answer: contained.answer,
        reasons: Vec::from([words(policy, &contained, &found)]),
        links: links.to_vec(),
    };
    part.links.push(Link { what: round_trips(policy, &found), basis: Basis::Physics });
    let mut residual_trust = residual_trust(policy, atlas);
    if contained.answer == Answer::Unknown
        && !contained.reason.is_alarm()
        && let Some(raised) = raise(policy, atlas, evidence, &region, &mut found)
    {
        found.expires = earliest(found.expires, raised.expires);
        part.answer = Answer::Yes;
        part.reasons.insert(0, raised.reason);
        part.links.extend(raised.links);
        residual_trust.push(raised.residual_trust);
    }
    part.reasons.append(&mut found.faults);
    let geographic = Geographic::new(policy, atlas.version(), &region, &contained.touched);
    Assessed { part, expires: found.expires, residual_trust, geographic, touched: contained.touched }
}

/// What counts of the landmarks' statements.
struct Found {
    discs: Vec<Disc>,
    /// Landmarks whose round trip says that they are in the same building, whoever they are, with their key ids.
    anchors: Vec<([u8; 32], LandmarkStatement)>,
    expires: Option<u64>,
    faults: Vec<String>,
}

impl Found {
    fn new(policy: &PlacePolicy, evidence: &Evidence<'_>) -> Found {
        let mut found = Found { discs: Vec::new(), anchors: Vec::new(), expires: None, faults: Vec::new() };
        for statement in evidence.carried.of(Kind::Landmark) {
            match landmark::open_own(evidence.engine, statement) {
                Ok(statement) => found.add(policy, evidence, statement),
                Err(error) => found.faults.push(format!("a landmark's statement does not count: {error}")),
            }
        }
        found
    }

    fn add(&mut self, policy: &PlacePolicy, evidence: &Evidence<'_>, statement: LandmarkStatement) {
        // Those of earlier session keys travel along until they end.
        if statement.session_key() != evidence.session_key {
            return;
        }
        let known = policy.landmark(&statement.landmark());
        let name = known.map_or("a landmark that the policy does not have", |landmark| &landmark.name);
        if !statement.counts_at(evidence.now) {
            return self.faults.push(format!("{name}: its statement does not count now, by our calendar"));
        }
        if known.is_some_and(|landmark| policy.is_own_group(&landmark.operator)) {
            let fault = format!("{name}: of the prover's own group, so that its word is testimony and not counted");
            return self.faults.push(fault);
        }
        if let Some(landmark) = known {
            self.discs.push(landmark.disc(statement.round_trip_ns()));
            self.expires = earliest(self.expires, statement.expires());
        }
        if statement.round_trip_ns() < ANCHOR_NS
            && let Some(id) = PublicKey::Ed25519(statement.landmark()).id(evidence.engine)
        {
            self.anchors.push((id, statement));
        }
    }

    /// The shortest round trip to the landmark with this key id.
    fn anchor(&self, id: [u8; 32]) -> Option<&LandmarkStatement> {
        let own = self.anchors.iter().filter(|(anchor, _)| *anchor == id).map(|(_, statement)| statement);
        own.min_by_key(|statement| statement.round_trip_ns())
    }
}

/// What a site anchor and its auditor bring to a place.
struct Raised {
    reason: String,
    links: [Link; 2],
    residual_trust: String,
    expires: u64,
}

/// A site anchor raises what round trips leave open, by the word of the auditor who looked at the building.
fn raise(
    policy: &PlacePolicy,
    atlas: &Atlas,
    evidence: &Evidence<'_>,
    region: &Region,
    found: &mut Found,
) -> Option<Raised> {
    let keys: Vec<PublicKey> = policy.auditors().iter().map(|auditor| auditor.key.0.clone()).collect();
    let anchors: Vec<[u8; 32]> = found.anchors.iter().map(|(id, _)| *id).collect();
    let subject = site::Subject { node_ids: evidence.node_ids, anchors: &anchors, covered_chassis: None };
    let sites = evidence.carried.of(Kind::Site);
    let (sites, faults) = site::judge(evidence.engine, &sites, &keys, &subject, evidence.now);
    found.faults.extend(faults.iter().map(ToString::to_string));
    for audited in &sites {
        let of_key = |auditor: &&super::policy::NamedKey| auditor.key.0.id(evidence.engine) == Some(audited.auditor());
        let who = policy.auditors().iter().find(of_key).map_or("", |auditor| &auditor.name);
        match stands(atlas, region, found, audited, who) {
            Ok(raised) => return Some(raised),
            Err(why) => found.faults.push(format!("site {:?}, by {who}: {why}", audited.site().name)),
        }
    }
    None
}

/// An audited site counts where the machine can be in it, it is where the policy wants the machine, and the machine is
/// nowhere else: a landmark in the building is as near as light says, and no nearer. Where a border is within that
/// distance, the auditor must have seen this very node.
fn stands(
    atlas: &Atlas,
    region: &Region,
    found: &Found,
    audited: &AuditedSite,
    who: &str,
) -> Result<Raised, &'static str> {
    let site = audited.site();
    let anchor = site.anchor.and_then(|id| found.anchor(*id));
    let anchor = anchor.ok_or("it names no landmark in the building, so that nothing shows the machine still there")?;
    let degrees = |micro: i64| i32::try_from(micro).ok();
    let center = degrees(site.latitude_udeg).zip(degrees(site.longitude_udeg));
    let center = center.and_then(|(lat, lon)| Position::new(lat, lon)).ok_or("it is nowhere on Earth")?;
    let radius_m = u32::try_from(site.radius_m).map_err(|_| "it is too large")?;
    let building = Disc { operator: who.to_owned(), center, radius_km: f64::from(radius_m) / 1000.0 };
    if !region.may_meet(&building) {
        return Err("round trips say that the machine is not there");
    }
    if !atlas.allows(&site.country, building) {
        return Err("its country and its coordinates are not both where the policy wants the machine");
    }
    let reach = Disc::of_round_trip(who, center, radius_m, anchor.round_trip_ns());
    if site.node_id.is_none() && atlas.lies(reach) != Some(Reason::Inside) {
        return Err("as near to its landmark there is other land, and the auditor does not name this node");
    }
    let (name, country, micros) = (&site.name, &site.country, anchor.round_trip_ns().div_ceil(1000));
    let measured = format!("round trip to the landmark of site {name:?}");
    let seen = format!("site {name:?} is at {:?}, {country}", site.address);
    Ok(Raised {
        reason: format!("{name} in {country}: {who} looked at it, and a landmark there answers within {micros} µs"),
        links: [
            Link { what: measured, basis: Basis::Physics },
            Link { what: seen, basis: Basis::Testimony(who.to_owned()) },
        ],
        residual_trust: format!(
            "landmark of site {name:?}: that it still stands there, measures honestly, and nobody else has its key"
        ),
        expires: anchor.expires().min(site.expires),
    })
}

fn words(policy: &PlacePolicy, contained: &Containment, found: &Found) -> String {
    let (target, reason) = (policy.target(), contained.reason);
    if found.discs.is_empty() {
        return "no landmark of the policy measured this boot's session key".to_owned();
    }
    let more = contained.touched.len().saturating_sub(SHOWN);
    let touched = contained.touched.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match contained.touched.is_empty() {
        true => format!("{target}: {reason}"),
        false => format!("{target}: {reason} ({touched}{more})"),
    }
}

fn round_trips(policy: &PlacePolicy, found: &Found) -> String {
    let mut operators: Vec<&str> = found.discs.iter().map(|disc| disc.operator.as_str()).collect();
    operators.sort_unstable();
    operators.dedup();
    let believed = match policy.trust() {
        Trust::Only(alone) => format!("{alone} is trusted alone"),
        Trust::AllBut(liars) => format!("{liars} of all may lie"),
    };
    format!("round trips to {} landmarks of {} operators; {believed}", found.discs.len(), operators.len())
}

/// What a place leaves to be trusted (facts on place, E3).
fn residual_trust(policy: &PlacePolicy, atlas: &Atlas) -> Vec<String> {
    let mut operators = policy.operators();
    operators.sort_unstable();
    operators.dedup();
    let operators = match policy.trust() {
        Trust::Only(alone) => format!("landmark operator {alone}, whom the policy trusts alone"),
        Trust::AllBut(liars) => format!("landmark operators: no more than {liars} of {} lie or err", operators.len()),
    };
    let fixed = RESIDUAL_TRUST.map(ToOwned::to_owned);
    [operators, format!("the map, version {}", atlas.version())].into_iter().chain(fixed).collect()
}

fn earliest(one: Option<u64>, other: u64) -> Option<u64> {
    Some(one.map_or(other, |one| one.min(other)))
}

const RESIDUAL_TRUST: [&str; 3] = [
    "that nobody else has the session key: an accomplice who holds it answers from where the accomplice stands",
    "that the machine is on land: ships and platforms are not seen",
    "storage and memory of other machines: their place is not shown",
];
/// Half of this is a building away, and less than 15 km in any case (design, Place).
const ANCHOR_NS: u64 = 100_000;
/// Lands that one reason names.
const SHOWN: usize = 12;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests;
