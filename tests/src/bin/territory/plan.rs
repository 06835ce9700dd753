//! What `territory.toml` orders: codes, cuts, additions, sets. An order that changes nothing is an error.

use crate::lines::{DEGREE_M, cosine};
use garant_attest::place::territory::{Land, Polygon, Position, Set, UNIT_E6};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// `territory.toml`, and `islands.toml` under its field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Of the map.
    pub version: String,
    /// How coarse the map is.
    pub simplify: Simplify,
    cut: Vec<Cut>,
    add: Vec<Add>,
    set: Vec<SetPlan>,
    lands: BTreeMap<String, String>,
    #[serde(skip)]
    islands: Islands,
}

/// Land that the source lacks, under the codes of its lands.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Islands {
    minor_islands: BTreeMap<String, Vec<Box>>,
    measured_gaps: BTreeMap<String, Vec<Box>>,
}

/// South, west, north, east, degrees.
type Box = [f64; 4];

/// How coarse the map is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simplify {
    /// Tolerance near a land of a set, metres.
    pub near_m: f64,
    /// Tolerance elsewhere, metres.
    pub far_m: f64,
    /// What near means, degrees.
    pub near_deg: f64,
}

impl Simplify {
    /// Near and far: tolerance, and rounding to the unit.
    pub fn errors_m(&self) -> [u64; 2] {
        let rounding_m = DEGREE_M / 1000.0 / 2.0 * std::f64::consts::SQRT_2;
        [self.near_m, self.far_m].map(|tolerance_m| (tolerance_m + rounding_m).ceil() as u64)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cut {
    from: String,
    to: String,
    r#box: Box,
    /// For the reader.
    #[serde(rename = "why")]
    _why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    code: String,
    /// For the reader.
    #[serde(rename = "name")]
    _name: String,
    /// Latitude, longitude.
    at: [f64; 2],
    radius_km: f64,
    /// Whether the land around it stays there as well.
    #[serde(default)]
    keep: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPlan {
    name: String,
    /// Names of sets; that of no set here is a land and makes a set of it.
    #[serde(default)]
    members: Vec<String>,
    #[serde(default)]
    inside: Vec<String>,
    #[serde(default)]
    disputed: Vec<String>,
}

impl Plan {
    /// Reads both files.
    pub fn parse(plan: &str, islands: &str) -> Plan {
        let mut plan: Plan = toml::from_str(plan).unwrap_or_else(|error| panic!("the plan: {error}"));
        plan.islands = toml::from_str(islands).unwrap_or_else(|error| panic!("the islands: {error}"));
        plan
    }

    /// The code of a country of the source.
    pub fn code(&self, name: &str) -> &str {
        self.lands.get(name).unwrap_or_else(|| panic!("no code for {name:?} in the plan"))
    }

    /// Codes of all sets.
    pub fn member_codes(&self) -> BTreeSet<&str> {
        self.set
            .iter()
            .flat_map(|set| [&set.members, &set.inside, &set.disputed])
            .flatten()
            .map(String::as_str)
            .collect()
    }

    /// The lands after cuts and additions, sorted by code.
    pub fn apply(&self, lands: Vec<Land>) -> Vec<Land> {
        let mut lands: BTreeMap<String, Vec<Polygon>> =
            lands.into_iter().map(|land| (land.code, land.polygons)).collect();
        self.cut.iter().for_each(|cut| cut.apply(&mut lands));
        self.add.iter().for_each(|add| add.apply(&mut lands));
        for (code, boxes) in self.islands.minor_islands.iter().chain(&self.islands.measured_gaps) {
            let land = lands.get_mut(code).unwrap_or_else(|| panic!("no land {code:?} with islands"));
            land.extend(boxes.iter().map(rectangle));
        }
        lands.into_iter().map(|(code, polygons)| Land { code, polygons }).collect()
    }

    /// All sets, sorted by name.
    pub fn sets(&self, lands: &[Land]) -> Vec<Set> {
        let names: BTreeSet<&str> =
            self.set.iter().flat_map(|set| set.members.iter().chain([&set.name])).map(String::as_str).collect();
        let known = |code: &&str| assert!(lands.iter().any(|land| land.code == **code), "no land {code:?}");
        let sets = names.into_iter().map(|name| {
            let (inside, disputed) = self.codes(name);
            inside.iter().chain(&disputed).for_each(known);
            let owned = |codes: BTreeSet<&str>| codes.into_iter().map(str::to_owned).collect();
            Set { name: name.to_owned(), inside: owned(inside), disputed: owned(disputed) }
        });
        sets.collect()
    }

    fn codes<'a>(&'a self, name: &'a str) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
        let Some(set) = self.set.iter().find(|set| set.name == name) else {
            return (BTreeSet::from([name]), BTreeSet::new());
        };
        let own = (set.inside.iter().map(String::as_str).collect(), set.disputed.iter().map(String::as_str).collect());
        set.members.iter().map(|member| self.codes(member)).fold(own, |(mut inside, mut disputed), (more, unclear)| {
            inside.extend(more);
            disputed.extend(unclear);
            (inside, disputed)
        })
    }
}

impl Cut {
    fn apply(&self, lands: &mut BTreeMap<String, Vec<Polygon>>) {
        let polygons = lands.remove(&self.from).unwrap_or_else(|| panic!("no land {:?} to cut", self.from));
        let (taken, left): (Vec<_>, Vec<_>) = polygons.into_iter().partition(|polygon| self.takes(polygon));
        assert!(
            !taken.is_empty() && !left.is_empty(),
            "the cut from {} to {} takes nothing, or all",
            self.from,
            self.to
        );
        lands.insert(self.from.clone(), left);
        lands.entry(self.to.clone()).or_default().extend(taken);
    }

    fn takes(&self, polygon: &Polygon) -> bool {
        let [south, west, north, east] = self.r#box.map(|degrees| (degrees * 1e6) as i32);
        let is_in = |at: &Position| (south..north).contains(&at.lat_e6) && (west..east).contains(&at.lon_e6);
        polygon.rings.iter().flatten().all(is_in)
    }
}

impl Add {
    fn apply(&self, lands: &mut BTreeMap<String, Vec<Polygon>>) {
        let ring = self.octagon();
        // Out of whatever it lies in: one more ring.
        for polygon in
            lands.values_mut().flatten().filter(|polygon| !self.keep && ring.iter().all(|at| polygon.contains(*at)))
        {
            polygon.rings.push(ring.clone());
        }
        lands.entry(self.code.clone()).or_default().push(Polygon { rings: vec![ring] });
    }

    /// Eight corners around the disc.
    fn octagon(&self) -> Vec<Position> {
        let [lat, lon] = self.at;
        let (long, short) = (self.radius_km * 1000.0, self.radius_km * 1000.0 * TAN_22_5);
        let corners = [(-short, -long), (-short, long), (short, long), (short, -long)];
        let [a, b, c, d] = corners.map(|(y, x)| (y / DEGREE_M, x / DEGREE_M / cosine(lat.abs())));
        let [e, f, g, h] = corners.map(|(y, x)| (x / DEGREE_M, y / DEGREE_M / cosine(lat.abs())));
        [a, d, f, g, c, b, h, e].map(|(y, x)| position(lat + y, lon + x)).to_vec()
    }
}

fn rectangle(&[south, west, north, east]: &Box) -> Polygon {
    let corners = [(south, west), (south, east), (north, east), (north, west)];
    Polygon { rings: vec![corners.map(|(lat, lon)| position(lat, lon)).to_vec()] }
}

/// The position in the unit of the file.
fn position(lat: f64, lon: f64) -> Position {
    let [lat, lon] = [lat, lon].map(|degrees| i32::try_from((degrees * 1000.0).round() as i64 * UNIT_E6).unwrap());
    Position::new(lat, lon).expect("a position on Earth")
}

const TAN_22_5: f64 = 0.414_213_562;
