//! A world to place machines in: towns with data centres, landmarks of honest and lying operators, and what light takes.
//!
//! Distances here are straight lines between points of the WGS-84 ellipsoid by the textbook's formula; nothing of the
//! geometry under test is used.

use garant_attest::{
    place::{
        map::{Containment, Map},
        region::{Disc, Region, Trust},
        territory::{Land, Polygon, Position, Set, Standing, Territory},
    },
    verdict::Answer,
};
use std::num::NonZeroUsize;

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.bits() % count as u64) as usize
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A town with data centres.
pub struct Town {
    /// Its land's code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub at: Position,
}

/// The 200 towns in the EU, then the 200 outside.
pub fn towns() -> (Vec<Town>, Vec<Town>) {
    let rows = include_str!("../data/towns.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut towns: Vec<Town> = rows
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let at = place(cells[2].parse().unwrap(), cells[3].parse().unwrap());
            Town { code: cells[0].to_owned(), name: cells[1].to_owned(), at }
        })
        .collect();
    let outside = towns.split_off(200);
    (towns, outside)
}

/// A position from degrees.
pub fn place(lat: f64, lon: f64) -> Position {
    let lon = (lon + 540.0).rem_euclid(360.0) - 180.0;
    Position { lat_e6: (lat.clamp(-90.0, 90.0) * 1e6).round() as i32, lon_e6: (lon * 1e6).round() as i32 }
}

/// About `km` from a place, in a direction in radians.
pub fn moved(from: Position, km: f64, bearing: f64) -> Position {
    let (lat, lon) = (f64::from(from.lat_e6) / 1e6, f64::from(from.lon_e6) / 1e6);
    let north = km * bearing.cos() / 111.2;
    let east = km * bearing.sin() / 111.2 / lat.to_radians().cos().max(0.02);
    place(lat + north, lon + east)
}

/// A point of the Earth at a height, in km from the centre.
pub fn point(at: Position, height_km: f64) -> [f64; 3] {
    let (flattening, equator) = (1.0 / 298.257_223_563, 6378.137);
    let e2 = flattening * (2.0 - flattening);
    let (lat, lon) = ((f64::from(at.lat_e6) / 1e6).to_radians(), (f64::from(at.lon_e6) / 1e6).to_radians());
    let n = equator / (1.0 - e2 * lat.sin().powi(2)).sqrt();
    let level = (n + height_km) * lat.cos();
    [level * lon.cos(), level * lon.sin(), (n * (1.0 - e2) + height_km) * lat.sin()]
}

/// The straight line between two points, km.
pub fn straight_km(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt()
}

/// Whole nanoseconds that light in vacuum takes there and back, by a clock as slow as garant allows for.
pub fn least_round_trip_ns(km: f64) -> u64 {
    (2.0 * km / 299_792.458e-9 / 1.001) as u64
}

/// A round trip over real networks: glass at 2c/3, `detour` times the straight line, and `processing_ms`.
pub fn usual_round_trip_ns(km: f64, detour: f64, processing_ms: f64) -> u64 {
    (2.0 * km * 1.5 * detour / 299_792.458e-9 + processing_ms * 1e6) as u64
}

/// 22 metros of the EU with exchanges.
pub const METROS: [(f64, f64); 22] = [
    (52.37, 4.90),
    (37.98, 23.73),
    (52.52, 13.40),
    (50.85, 4.35),
    (44.43, 26.10),
    (55.68, 12.57),
    (53.35, -6.26),
    (50.11, 8.68),
    (50.69, 3.17),
    (38.72, -9.14),
    (45.76, 4.84),
    (40.42, -3.70),
    (43.30, 5.37),
    (45.46, 9.19),
    (48.14, 11.58),
    (48.86, 2.35),
    (50.08, 14.44),
    (42.70, 23.32),
    (59.33, 18.07),
    (48.21, 16.37),
    (52.23, 21.01),
    (45.81, 15.98),
];

/// Where a wrong map or a wrong border would first say yes: none of it is EU land that round trips may prove.
pub const TRAPS: [(&str, f64, f64); 34] = [
    ("Torshavn, Faroe", 62.01, -6.77),
    ("Northern Cyprus: Kyrenia", 35.33, 33.32),
    ("Northern Cyprus: Famagusta", 35.13, 33.92),
    ("Akrotiri", 34.59, 32.98),
    ("Dhekelia", 34.99, 33.74),
    ("New Caledonia: Noumea", -22.26, 166.45),
    ("Polynesia: Papeete", -17.54, -149.57),
    ("Wallis", -13.28, -176.18),
    ("St Pierre", 46.78, -56.18),
    ("St Barthelemy", 17.90, -62.83),
    ("Kerguelen", -49.35, 70.22),
    ("Kaliningrad", 54.71, 20.51),
    ("Svalbard: Longyearbyen", 78.22, 15.63),
    ("Jan Mayen", 70.98, -8.5),
    ("Monaco", 43.738, 7.424),
    ("Vatican", 41.9031, 12.4528),
    ("San Marino", 43.936, 12.447),
    ("Vaduz, Liechtenstein", 47.14, 9.52),
    ("Andorra la Vella", 42.51, 1.52),
    ("Gibraltar", 36.14, -5.35),
    ("Kralendijk, Bonaire", 12.15, -68.27),
    ("St Eustatius", 17.49, -62.97),
    ("Saba", 17.63, -63.23),
    ("Oranjestad, Aruba", 12.52, -70.03),
    ("Willemstad, Curacao", 12.11, -68.93),
    ("Philipsburg, Sint Maarten", 18.03, -63.05),
    ("Nuuk, Greenland", 64.18, -51.72),
    ("Geneva", 46.20, 6.14),
    ("Basel", 47.55, 7.60),
    ("Chiasso", 45.832, 9.03),
    ("Zurich-Kreuzlingen", 47.645, 9.175),
    ("Subotica, Serbia", 46.10, 19.67),
    ("Edirne, Turkey", 41.68, 26.56),
    ("Tangier, Morocco", 35.77, -5.81),
];

/// EU land that must never be a no.
pub const FAR_INSIDE: [(&str, f64, f64); 12] = [
    ("Mariehamn, Aland", 60.10, 19.94),
    ("Ceuta", 35.889, -5.32),
    ("Melilla", 35.29, -2.94),
    ("Las Palmas, Canaries", 28.12, -15.43),
    ("Saint-Denis, Reunion", -20.90, 55.46),
    ("Cayenne", 4.92, -52.31),
    ("Mamoudzou, Mayotte", -12.78, 45.22),
    ("Ponta Delgada", 37.75, -25.67),
    ("Funchal", 32.66, -16.91),
    ("Busingen", 47.697, 8.69),
    ("Campione", 45.97, 8.97),
    ("Strasbourg", 48.58, 7.75),
];

/// A question about one machine whose place is known.
pub struct Case {
    /// Where it really is.
    pub machine: Position,
    /// The region that its landmarks' answers leave.
    pub region: Region,
}

/// Everything that cases are drawn from.
pub struct World {
    /// The map as it is shipped.
    pub territory: Territory,
    /// The same, divided.
    pub map: Map,
    boxes: Vec<PolygonBox>,
    /// Corners of the EU's land.
    shores: Vec<Position>,
}

/// A polygon with the degrees it spans, so that most need no look.
struct PolygonBox {
    land: usize,
    polygon: Polygon,
    south: i32,
    north: i32,
    west: i32,
    east: i32,
}

impl World {
    /// The shipped map.
    pub fn new() -> World {
        let territory = Territory::builtin().unwrap();
        let map = Map::new(&territory).unwrap();
        let boxes = territory.lands().iter().enumerate().flat_map(|(land, of)| boxes(land, of)).collect();
        let eu = territory.set("EU").unwrap();
        let inside = territory.lands().iter().filter(|land| eu.standing(&land.code) == Standing::Inside);
        let shores = inside.flat_map(|land| land.polygons.iter().flat_map(|polygon| polygon.rings.iter().flatten()));
        let shores = shores.copied().collect();
        World { territory, map, boxes, shores }
    }

    /// Whether the point is on land that is not inside the set, by the map's own lines.
    pub fn is_foreign(&self, set: &Set, at: Position) -> bool {
        let standings: Vec<Standing> = self.lands_at(at).iter().map(|code| set.standing(code)).collect();
        !standings.is_empty() && standings.iter().all(|standing| *standing != Standing::Inside)
    }

    /// Whether the point is on land of the set, and none of any other.
    pub fn is_inside(&self, set: &Set, at: Position) -> bool {
        let standings: Vec<Standing> = self.lands_at(at).iter().map(|code| set.standing(code)).collect();
        !standings.is_empty() && standings.iter().all(|standing| *standing == Standing::Inside)
    }

    fn lands_at(&self, at: Position) -> Vec<&str> {
        let spans = |area: &&PolygonBox| {
            (area.south..=area.north).contains(&at.lat_e6) && (area.west..=area.east).contains(&at.lon_e6)
        };
        let found = self.boxes.iter().filter(spans).filter(|area| area.polygon.contains(at));
        found.map(|area| self.territory.lands()[area.land].code.as_str()).collect()
    }

    /// The set that cases ask for.
    pub fn eu(&self) -> &Set {
        self.territory.set("EU").unwrap()
    }

    /// A place on foreign land, anywhere; half of them around Europe.
    pub fn foreign_place(&self, random: &mut Random) -> Position {
        loop {
            let at = if random.below(2) == 0 {
                place(random.between(-1.0, 1.0).asin().to_degrees(), random.between(-180.0, 180.0))
            } else {
                place(random.between(34.0, 71.0), random.between(-12.0, 45.0))
            };
            if self.is_foreign(self.eu(), at) {
                return at;
            }
        }
    }

    /// A place on foreign land within a few km of EU land, or in or near a trap.
    pub fn trap(&self, random: &mut Random) -> Position {
        loop {
            let from = if random.below(3) == 0 {
                let (_, lat, lon) = *random.pick(&TRAPS);
                place(lat, lon)
            } else {
                *random.pick(&self.shores)
            };
            let reach_km = *random.pick(&[0.0, 0.05, 0.5, 3.0, 8.0]);
            let at = moved(from, random.between(0.0, reach_km), random.between(0.0, 6.3));
            if self.is_foreign(self.eu(), at) {
                return at;
            }
        }
    }

    /// Answers about a machine: honest landmarks measure what light takes at least, or more; up to f operators lie.
    pub fn case(&self, random: &mut Random, machine: Position) -> Case {
        let operators = 2 + random.below(4);
        let liars = 1 + random.below(operators.min(3) - 1);
        let names: Vec<String> = (0..operators).map(|index| format!("operator {index}")).collect();
        // Lies of one kind that fit each other are the strongest: all say the same town.
        let (lat, lon) = *random.pick(&METROS);
        let lied = place(lat, lon);
        let body = point(machine, random.between(-0.4, 4.0));
        let mut discs = Vec::new();
        for (index, name) in names.iter().enumerate() {
            for _ in 0..random.below(5) {
                discs.push(if index < liars { lie(random, name, lied) } else { honest(random, name, machine, body) });
            }
        }
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let trust = Trust::AllBut(NonZeroUsize::new(liars).unwrap());
        Case { machine, region: Region::new(&known, discs, &trust).unwrap() }
    }

    /// Where the region lies to the EU.
    pub fn ask(&self, region: &Region) -> Containment {
        self.map.contain(region, self.eu())
    }

    /// How many of `count` cases on foreign land are a yes, adversarial ones or random ones.
    pub fn false_yes(&self, random: &mut Random, count: usize, is_adversarial: impl Fn(usize) -> bool) -> usize {
        let is_yes = |index: usize, random: &mut Random| {
            let machine = if is_adversarial(index) { self.trap(random) } else { self.foreign_place(random) };
            let case = self.case(random, machine);
            let found = self.ask(&case.region);
            if found.answer == Answer::Yes {
                eprintln!("false yes: {machine:?} {:?} touches {:?}", case.region.discs(), found.touched);
            }
            found.answer == Answer::Yes
        };
        (0..count).filter(|index| is_yes(*index, random)).count()
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

fn honest(random: &mut Random, operator: &str, machine: Position, body: [f64; 3]) -> Disc {
    let near_km = *random.pick(&[0.0, 1.0, 10.0, 60.0, 400.0]);
    let near = moved(machine, random.between(0.0, near_km), random.between(0.0, 6.3));
    let (lat, lon) = *random.pick(&METROS);
    let landmark = if random.below(4) == 0 { place(lat, lon) } else { near };
    // It stands a little off the place that the policy gives, in any direction.
    let mut stand = point(landmark, random.between(-0.4, 4.0));
    let off_km = random.between(0.0, 0.1);
    stand.iter_mut().for_each(|axis| *axis += off_km * random.between(-0.577, 0.577));
    let delay_ns = if random.below(3) == 0 { random.between(0.0, 4e6) as u64 } else { 0 };
    let measured_ns = least_round_trip_ns(straight_km(stand, body)) + delay_ns;
    Disc::of_round_trip(operator, landmark, 100, measured_ns)
}

fn lie(random: &mut Random, operator: &str, lied: Position) -> Disc {
    let anywhere = moved(lied, random.between(0.0, 300.0), random.between(0.0, 6.3));
    let center = if random.below(2) == 0 { lied } else { anywhere };
    let radius_km = *random.pick(&[0.0, 1.0, 50.0, 300.0, 2000.0]);
    Disc { operator: operator.to_owned(), center, radius_km: random.between(0.0, radius_km) }
}

fn boxes(land: usize, of: &Land) -> Vec<PolygonBox> {
    let around = |polygon: &Polygon| {
        let all = || polygon.rings.iter().flatten();
        PolygonBox {
            land,
            polygon: polygon.clone(),
            south: all().map(|p| p.lat_e6).min().unwrap(),
            north: all().map(|p| p.lat_e6).max().unwrap(),
            west: all().map(|p| p.lon_e6).min().unwrap(),
            east: all().map(|p| p.lon_e6).max().unwrap(),
        }
    };
    of.polygons.iter().map(around).collect()
}
