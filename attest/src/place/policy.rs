//! What a policy says of places: where the machine must be, which landmarks stand where, and how many of their operators
//! may lie.

use super::{
    area,
    region::{Disc, Trust},
    territory::{Polygon, Position},
};
use crate::{
    num,
    policy_values::{Hex, Key},
    statement::is_plain,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::num::NonZeroUsize;
use serde::{Deserialize, Deserializer, de::Error};

/// Where a machine must be, and whose word on that counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlacePolicy {
    /// A set of the map: `EU`, `EEA`, or a member state as ISO 3166-1 alpha-2.
    pub(super) territory: Option<String>,
    /// An area of the author's own, instead.
    #[serde(default, deserialize_with = "geojson")]
    pub(super) geojson: Option<Vec<Polygon>>,
    /// The version that the map must have, where the author cares.
    pub(super) map: Option<String>,
    may_lie: Option<NonZeroUsize>,
    alone: Option<String>,
    #[serde(default)]
    own_group: Vec<String>,
    #[serde(default)]
    landmark: Vec<Landmark>,
    #[serde(default)]
    auditor: Vec<NamedKey>,
}

/// A landmark, and what the policy says of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landmark {
    /// For the print.
    pub name: String,
    /// Who runs it.
    pub operator: String,
    key: Hex<32>,
    #[serde(deserialize_with = "degrees")]
    latitude: i32,
    #[serde(deserialize_with = "degrees")]
    longitude: i32,
    uncertainty_m: u32,
}

impl Landmark {
    /// What a round trip to it says.
    pub fn disc(&self, round_trip_ns: u64) -> Disc {
        let center = Position { lat_e6: self.latitude, lon_e6: self.longitude };
        // Half of the last digit of a position is less than a metre.
        Disc::of_round_trip(&self.operator, center, self.uncertainty_m.saturating_add(1), round_trip_ns)
    }
}

/// Somebody whose word the policy takes, and under what name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedKey {
    /// For the print.
    pub name: String,
    /// 64 hexadecimal digits (Ed25519), or a SubjectPublicKeyInfo in PEM.
    pub key: Key,
}

impl PlacePolicy {
    /// Where it must be, for the print.
    pub fn target(&self) -> &str {
        self.territory.as_deref().unwrap_or("the policy's own area")
    }

    /// Whose landmarks count, the prover's own group left out; one name for each landmark.
    pub fn operators(&self) -> Vec<&str> {
        let all = self.landmark.iter().map(|landmark| landmark.operator.as_str());
        all.filter(|operator| !self.is_own_group(operator)).collect()
    }

    /// Whether this operator is of the prover's own group.
    pub fn is_own_group(&self, operator: &str) -> bool {
        self.own_group.iter().any(|own| own == operator)
    }

    /// How many of the operators may lie, or whom the policy trusts alone.
    pub fn trust(&self) -> Trust {
        match (&self.alone, self.may_lie) {
            (Some(alone), _) => Trust::Only(alone.clone()),
            (None, Some(liars)) => Trust::AllBut(liars),
            (None, None) => Trust::AllBut(NonZeroUsize::MAX),
        }
    }

    /// The landmark with this key.
    pub fn landmark(&self, key: &[u8; 32]) -> Option<&Landmark> {
        self.landmark.iter().find(|landmark| landmark.key.0 == *key)
    }

    /// Whose site statements count.
    pub fn auditors(&self) -> &[NamedKey] {
        &self.auditor
    }

    /// Whether its values fit together; the text says what does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (&self.territory, &self.geojson) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err("name a `territory` of the map, or a `geojson` of your own".to_string()),
        }
        let operators: BTreeSet<&str> = self.operators().into_iter().collect();
        match (&self.alone, self.may_lie) {
            (Some(alone), None) if operators.contains(alone.as_str()) => {}
            (Some(alone), None) => {
                return Err(format!("`alone` trusts {alone:?}, who has no landmark here or is of the own group"));
            }
            (None, Some(liars)) if liars.get() < operators.len() || operators.is_empty() => {}
            (None, Some(liars)) => {
                let count = operators.len();
                return Err(format!("`may_lie` is {liars} of {count} operators: nothing could ever be proven"));
            }
            _ => return Err("say how many operators `may_lie`, at least 1, or whom you trust `alone`".to_string()),
        }
        self.check_operators()?;
        let mut keys = BTreeSet::new();
        if let Some(twice) = self.landmark.iter().find(|landmark| !keys.insert(landmark.key.0)) {
            return Err(format!("landmark {:?} has the key of another one", twice.name));
        }
        for landmark in &self.landmark {
            if landmark.latitude.abs() > 90 * MICRO || landmark.longitude.abs() > 180 * MICRO {
                return Err(format!("landmark {:?} is nowhere on Earth", landmark.name));
            }
        }
        let texts = self.landmark.iter().flat_map(|landmark| [&landmark.name, &landmark.operator]);
        let mut texts = texts.chain(self.auditor.iter().map(|auditor| &auditor.name));
        match texts.find(|text| !is_plain(text, NAME_BYTES)) {
            Some(text) => Err(format!("{text:?} is no name")),
            None => Ok(()),
        }
    }

    /// A name that is written in two ways would count as two operators, or the prover's own as another's.
    fn check_operators(&self) -> Result<(), String> {
        let mut spelled = BTreeMap::new();
        for operator in self.landmark.iter().map(|landmark| &landmark.operator) {
            let known = *spelled.entry(operator.to_lowercase()).or_insert(operator);
            if known != operator {
                return Err(format!("operator {operator:?} is also written {known:?}"));
            }
        }
        match self.own_group.iter().find(|own| self.landmark.iter().all(|landmark| landmark.operator != **own)) {
            Some(own) => Err(format!("`own_group` names {own:?}, who has no landmark here")),
            None => Ok(()),
        }
    }
}

/// Degrees as a TOML number, in millionths.
fn degrees<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let degrees = f64::deserialize(deserializer)?;
    if degrees.is_finite() && degrees.abs() <= 180.0 {
        Ok(num::nearest_i32(degrees * f64::from(MICRO)))
    } else {
        Err(D::Error::custom("expected degrees from -180 to 180"))
    }
}

fn geojson<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Polygon>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    area::read_geojson(text.as_bytes()).map(Some).map_err(D::Error::custom)
}

/// Millionths in a degree.
const MICRO: i32 = 1_000_000;
const NAME_BYTES: usize = crate::budget::STATEMENT_TEXT_BYTES;
