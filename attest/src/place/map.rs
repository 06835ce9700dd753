//! On what land a machine can be: a region laid on a map.
//!
//! The answer is conservative on both sides. A land counts as touched unless no point of the region lies on it or
//! within 5 km of it *for certain*: cells of the Earth are divided where that is open, and where the smallest
//! ([`SMALLEST`]) or the limit of work ([`budget::PLACE_CELLS`]) is reached, what may be there counts as there. So each
//! way of not knowing can turn a yes or a no into unknown, and never the other way.

use super::{
    geometry::{Ball, RADIUS_KM, Triangle},
    patch::{AREA, BEYOND, LANDS, Lands, Lines, Patch},
    region::{Claims, Region},
    territory::{Land, Polygon, Set, Standing, Territory},
};
use crate::{budget, verdict::Answer};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

/// A map, divided once for any number of regions and sets.
#[derive(Debug, Clone)]
pub struct Map {
    codes: Vec<String>,
    lines: Lines,
    roots: Vec<Node>,
}

/// A map with an area of the user's own, in which a machine on land is to be.
#[derive(Debug, Clone)]
pub struct AreaMap(Map);

/// Where a region lies. Holding one proves nothing; with the region's trust and the map's truth, a yes or no follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containment {
    /// Yes: on land of the set; no: on other land.
    pub answer: Answer,
    /// Why.
    pub reason: Reason,
    /// Lands on which, or within 5 km of which, the region may have a point.
    pub touched: Vec<String>,
}

/// Why a region is contained in a set of lands, or not, or not known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All its land is inside, more than 5 km from any other.
    Inside,
    /// All its land is outside, more than 5 km from any other.
    Outside,
    /// It has, or may have, land of both kinds, or is within 5 km of it.
    Both,
    /// It may have land of which the set's author says neither.
    Disputed,
    /// It has no land: someone lies, errs, or the machine is at sea. An alarm.
    NoLand,
    /// No point is in it: more landmarks lie or err than are allowed for. An alarm.
    Empty,
}

impl Reason {
    /// Whether a person must look at it.
    pub fn is_alarm(self) -> bool {
        matches!(self, Reason::NoLand | Reason::Empty)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Inside => "all land it can be on is inside",
            Reason::Outside => "all land it can be on is outside",
            Reason::Both => "it can be on land inside and outside",
            Reason::Disputed => "it can be on land of which the map's author says neither inside nor outside",
            Reason::NoLand => "alarm: the landmarks' answers leave it no land",
            Reason::Empty => "alarm: the landmarks' answers contradict each other",
        })
    }
}

/// A map that cannot be divided; whoever supplied it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// More lands than a set of them can hold.
    TooManyLands {
        /// How many.
        found: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// More edges than are divided, long ones in pieces of half a degree.
    TooManyEdges {
        /// How many are accepted.
        limit: usize,
    },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::TooManyLands { found, limit } => write!(f, "a map of {found} lands where {limit} are accepted"),
            MapError::TooManyEdges { limit } => write!(f, "a map with more than the accepted {limit} edges"),
        }
    }
}

impl core::error::Error for MapError {}

impl Map {
    /// Divides a map.
    pub fn new(territory: &Territory) -> Result<Map, MapError> {
        Map::divide(territory.lands(), &[])
    }

    /// Whether the region's land is that of a set.
    pub fn contain(&self, region: &Region, set: &Set) -> Containment {
        let touched = self.touched(region);
        let has = |standing: Standing| {
            self.codes.iter().enumerate().any(|(land, code)| touched.has(land) && set.standing(code) == standing)
        };
        self.judge(region, &touched, has(Standing::Inside), has(Standing::Outside), has(Standing::Disputed))
    }

    fn judge(&self, region: &Region, touched: &Lands, inside: bool, outside: bool, disputed: bool) -> Containment {
        let reason = match (inside, outside, disputed) {
            (_, _, true) => Reason::Disputed,
            (true, true, false) => Reason::Both,
            (true, false, false) => Reason::Inside,
            (false, true, false) => Reason::Outside,
            (false, false, false) if region.cover(FEW).cells.is_empty() => Reason::Empty,
            (false, false, false) => Reason::NoLand,
        };
        let answer = match reason {
            Reason::Inside => Answer::Yes,
            Reason::Outside => Answer::No,
            Reason::Both | Reason::Disputed | Reason::NoLand | Reason::Empty => Answer::Unknown,
        };
        let codes = self.codes.iter().enumerate().filter(|(land, _)| touched.has(*land));
        Containment { answer, reason, touched: codes.map(|(_, code)| code.clone()).collect() }
    }

    fn touched(&self, region: &Region) -> Lands {
        let mut search = Search { lines: &self.lines, region, found: Lands::default(), cells: 0 };
        for (node, cell) in self.roots.iter().zip(Triangle::all()) {
            search.node(node, &cell, region.start());
        }
        search.found
    }

    fn divide(lands: &[Land], area: &[Polygon]) -> Result<Map, MapError> {
        if lands.len() > LANDS {
            return Err(MapError::TooManyLands { found: lands.len(), limit: LANDS });
        }
        let (mut lines, mut patches) = (Lines::default(), Patch::roots());
        let owned = lands.iter().enumerate().flat_map(|(land, of)| of.polygons.iter().map(move |area| (land, area)));
        for (owner, polygon) in owned.chain(area.iter().map(|polygon| (AREA, polygon))) {
            let number = lines.add_polygon(owner);
            for ring in &polygon.rings {
                lines.add_ring(number, ring, &mut patches);
                if lines.len() > budget::PLACE_EDGES {
                    return Err(MapError::TooManyEdges { limit: budget::PLACE_EDGES });
                }
            }
        }
        let roots = patches.into_iter().map(|patch| Node::divide(&lines, patch)).collect();
        Ok(Map { codes: lands.iter().map(|land| land.code.clone()).collect(), lines, roots })
    }
}

impl AreaMap {
    /// Divides a map with an area: what at least one of the polygons contains.
    pub fn new(territory: &Territory, area: &[Polygon]) -> Result<AreaMap, MapError> {
        Ok(AreaMap(Map::divide(territory.lands(), area)?))
    }

    /// Whether the region's land is in the area, more than 5 km from its edge.
    pub fn contain(&self, region: &Region) -> Containment {
        let touched = self.0.touched(region);
        self.0.judge(region, &touched, touched.has(AREA), touched.has(BEYOND), false)
    }
}

/// A triangle of the index.
#[derive(Debug, Clone)]
struct Node {
    lands: Lands,
    below: Below,
}

#[derive(Debug, Clone)]
enum Below {
    Parts(Box<[Node; 4]>),
    Patch(Box<Patch>),
}

impl Node {
    fn divide(lines: &Lines, patch: Patch) -> Node {
        let lands = patch.lands(lines);
        let is_leaf = patch.edges() <= LEAF_EDGES || patch.ball().radius * RADIUS_KM < LEAF_KM;
        let below = if is_leaf {
            Below::Patch(Box::new(patch))
        } else {
            Below::Parts(Box::new(patch.parts().map(|part| Node::divide(lines, patch.child(lines, part)))))
        };
        Node { lands, below }
    }
}

/// One region's way through a map.
struct Search<'a> {
    lines: &'a Lines,
    region: &'a Region,
    found: Lands,
    cells: usize,
}

impl Search<'_> {
    /// `claims` is what is known of a cell around this one.
    fn node(&mut self, node: &Node, cell: &Triangle, claims: &Claims) {
        if self.is_settled(&node.lands) {
            return;
        }
        let Some(claims) = self.region.narrow(claims, &cell.ball()) else { return };
        match &node.below {
            Below::Parts(parts) => {
                for (part, cell) in parts.iter().zip(cell.split()) {
                    self.node(part, &cell, &claims);
                }
            }
            Below::Patch(patch) => self.patch(patch, &node.lands, &claims),
        }
    }

    /// `claims` is what is known of the patch, which has `lands`.
    fn patch(&mut self, patch: &Patch, lands: &Lands, claims: &Claims) {
        if patch.ball().radius < SMALLEST {
            self.found.add(lands);
        } else if self.region.holds_within(claims, patch.reference()) {
            self.found.add(&patch.lands_at_reference(self.lines));
        }
        for part in patch.parts() {
            if self.is_settled(lands) {
                return;
            }
            self.part(patch, part, claims);
        }
    }

    fn part(&mut self, patch: &Patch, part: (Triangle, Ball), claims: &Claims) {
        let Some(claims) = self.region.narrow(claims, &part.1) else { return };
        let child = patch.child(self.lines, part);
        let lands = child.lands(self.lines);
        if !self.is_settled(&lands) {
            self.patch(&child, &lands, &claims);
        }
    }

    /// Whether a cell with these lands can tell nothing new; where too many cells were looked at, by taking them as touched.
    fn is_settled(&mut self, lands: &Lands) -> bool {
        self.cells = self.cells.saturating_add(1);
        if self.cells > budget::PLACE_CELLS {
            self.found.add(lands);
        }
        self.found.covers(lands)
    }
}

/// Cells that are not divided further: 0.1 to 0.2 km around their middle.
const SMALLEST: f64 = 0.2 / RADIUS_KM;
/// Below this radius more cells would not part the edges of a coast within 5 km any more.
const LEAF_KM: f64 = 8.0;
/// Edges that are looked at one by one.
const LEAF_EDGES: usize = 24;
/// Enough cells to see that a region is empty.
const FEW: usize = 64;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::arithmetic_side_effects)]
mod tests {
    extern crate std;
    use super::*;
    use crate::place::{
        geometry::Direction,
        region::{Disc, Trust},
        territory::Position,
    };
    use alloc::{string::ToString, vec};
    use core::num::NonZeroUsize;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static TERRITORY: LazyLock<Territory> = LazyLock::new(|| Territory::builtin().unwrap());
    static MAP: LazyLock<Map> = LazyLock::new(|| Map::new(&TERRITORY).unwrap());

    fn at(lat: f64, lon: f64) -> Position {
        Position { lat_e6: libm::rint(lat * 1e6) as i32, lon_e6: libm::rint(lon * 1e6) as i32 }
    }

    /// What one operator, trusted alone, says.
    fn circle(lat: f64, lon: f64, radius_km: f64) -> Region {
        let disc = Disc { operator: "a".to_string(), center: at(lat, lon), radius_km };
        Region::new(&["a"], vec![disc], &Trust::Only("a".to_string())).unwrap()
    }

    fn eu(region: &Region) -> Containment {
        MAP.contain(region, TERRITORY.set("EU").unwrap())
    }

    /// Distance on a straight line from a place to each land, by every tenth of every edge; 0 inside.
    fn distances_km(from: Position) -> Vec<f64> {
        let here = Direction::of(from);
        let land_km = |land: &Land| {
            if land.contains(from) {
                return 0.0;
            }
            let mut least = f64::MAX;
            let rings = land.polygons.iter().flat_map(|polygon| &polygon.rings);
            for (a, b) in rings.flat_map(|ring| crate::place::territory::edges(ring)) {
                let way = |from: i32, to: i32, tenth: i32| from + (to - from) / 10 * tenth;
                let near = |p: Position| here.distance_squared(Direction::of(p));
                let far = 0.02 + 2.0 * libm::sqrt(least);
                if libm::sqrt(near(a)) > far {
                    continue;
                }
                for tenth in 0..10 {
                    let p = Position { lat_e6: way(a.lat_e6, b.lat_e6, tenth), lon_e6: way(a.lon_e6, b.lon_e6, tenth) };
                    least = least.min(near(p));
                }
            }
            libm::sqrt(least) * RADIUS_KM
        };
        TERRITORY.lands().iter().map(land_km).collect()
    }

    #[test]
    fn a_disc_touches_the_lands_within_5_km_of_it_and_no_others() {
        let places = [
            at(50.11, 8.68),
            at(48.58, 7.75),
            at(43.73, 7.42),
            at(60.17, 24.94),
            at(41.9, 12.48),
            at(-17.8, 178.9),
            at(78.2, 15.6),
            at(-89.9, 12.0),
            at(36.14, -5.35),
            at(35.17, 33.36),
            at(4.9, -52.3),
            at(65.8, 24.1),
            at(1.35, 103.82),
            at(30.0, -40.0),
            at(54.7, 20.5),
            at(-54.8, -68.3),
            at(52.5, -179.9),
            at(12.15, -68.27),
        ];
        for place in places {
            let distances = distances_km(place);
            for radius_km in [0.001, 1.0, 7.0, 30.0, 90.0, 250.0, 900.0, 4000.0] {
                let touched =
                    MAP.touched(&circle(f64::from(place.lat_e6) / 1e6, f64::from(place.lon_e6) / 1e6, radius_km));
                for (land, distance_km) in distances.iter().enumerate() {
                    let code = &MAP.codes[land];
                    let is_touched = touched.has(land);
                    let is_far = *distance_km > radius_km + 6.5;
                    assert!(
                        is_touched || *distance_km > radius_km + 5.0,
                        "{place:?} {radius_km}: {code} at {distance_km} is missed"
                    );
                    assert!(!is_touched || !is_far, "{place:?} {radius_km}: {code} at {distance_km} is touched");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn land_on_which_a_point_of_a_region_lies_is_touched(
            town in prop_oneof![(35.0f64..65.0, -10.0f64..30.0), (-80.0f64..80.0, -180.0f64..180.0)],
            near in prop::collection::vec((-6.0f64..6.0, -6.0f64..6.0, 0.0f64..500.0), 3..12),
            liars in 1usize..3,
        ) {
            // Discs that all hold the town but for those of one operator.
            let names = ["a", "b", "c", "d"];
            let discs: Vec<Disc> = near.iter().enumerate().map(|(i, (north, east, more_km))| {
                let center = at((town.0 + north).clamp(-90.0, 90.0), (town.1 + east).clamp(-180.0, 180.0));
                let least = libm::sqrt(Direction::of(center).distance_squared(Direction::of(at(town.0, town.1)))) * RADIUS_KM;
                Disc { operator: names[i % 4].to_string(), center, radius_km: if i % 4 == 0 { *more_km } else { least + more_km / 5.0 } }
            }).collect();
            let region = Region::new(&names, discs, &Trust::AllBut(NonZeroUsize::new(liars).unwrap())).unwrap();
            let touched = MAP.touched(&region);
            for (cell, _) in region.cover(60).cells {
                let point = cell.ball().center;
                if region.holds(point) {
                    for (land, of) in TERRITORY.lands().iter().enumerate() {
                        prop_assert!(touched.has(land) || !of.contains(point.position()), "{}", of.code);
                    }
                }
            }
        }
    }

    fn answer(region: &Region) -> (Answer, Reason) {
        let found = eu(region);
        (found.answer, found.reason)
    }

    #[test]
    fn discs_up_to_the_nearest_foreign_border_prove_a_yes_and_longer_ones_do_not() {
        // Frankfurt to Switzerland 256 km, Madrid to Andorra 485, Lyon to Switzerland 96, Dublin to Wales over 100.
        for (lat, lon, yes_km, open_km) in
            [(50.11, 8.68, 245.0, 260.0), (40.42, -3.70, 475.0, 490.0), (45.76, 4.84, 85.0, 100.0)]
        {
            assert_eq!(answer(&circle(lat, lon, yes_km)), (Answer::Yes, Reason::Inside), "{lat} {lon}");
            assert_eq!(answer(&circle(lat, lon, open_km)), (Answer::Unknown, Reason::Both), "{lat} {lon}");
        }
    }

    #[test]
    fn land_outside_proves_a_no_and_sea_an_alarm() {
        assert_eq!(answer(&circle(39.04, -77.48, 500.0)), (Answer::No, Reason::Outside));
        let sea = eu(&circle(30.0, -40.0, 500.0));
        assert_eq!((sea.answer, sea.reason, sea.reason.is_alarm()), (Answer::Unknown, Reason::NoLand, true));
    }

    #[test]
    fn rome_is_never_proven_for_the_vatican_is_in_it() {
        assert_eq!(answer(&circle(41.9, 12.48, 0.1)), (Answer::Unknown, Reason::Both));
    }

    #[test]
    fn disputed_land_proves_neither() {
        let found = eu(&circle(35.3, 33.6, 5.0));
        assert_eq!((found.answer, found.reason), (Answer::Unknown, Reason::Disputed), "{:?}", found.touched);
    }

    #[test]
    fn a_contradiction_is_an_alarm() {
        let disc =
            |operator: &str, lat| Disc { operator: operator.to_string(), center: at(lat, 9.0), radius_km: 100.0 };
        let discs = vec![disc("a", 50.0), disc("b", 40.0), disc("c", 0.0)];
        let region = Region::new(&["a", "b", "c"], discs, &Trust::AllBut(NonZeroUsize::new(1).unwrap())).unwrap();
        assert_eq!(answer(&region), (Answer::Unknown, Reason::Empty));
    }

    #[test]
    fn nobody_who_answers_proves_nothing() {
        let region = Region::new(&["a", "b"], vec![], &Trust::AllBut(NonZeroUsize::new(1).unwrap())).unwrap();
        let found = eu(&region);
        assert_eq!((found.answer, found.touched.len()), (Answer::Unknown, TERRITORY.lands().len()));
    }

    #[test]
    fn what_the_limit_of_work_leaves_open_counts_as_touched() {
        let region = circle(50.11, 8.68, 200.0);
        let mut search =
            Search { lines: &MAP.lines, region: &region, found: Lands::default(), cells: budget::PLACE_CELLS };
        search.node(&MAP.roots[0], &Triangle::all()[0], region.start());
        assert!((0..MAP.codes.len()).all(|land| search.found.has(land) || !MAP.roots[0].lands.has(land)));
    }

    fn square(lat: f64, lon: f64, half: f64) -> Polygon {
        let corners = [(-half, -half), (-half, half), (half, half), (half, -half)];
        Polygon { rings: vec![corners.map(|(n, e)| at(lat + n, lon + e)).to_vec()] }
    }

    #[test]
    fn an_area_of_the_users_own_counts_5_km_from_its_edge_and_only_its_land() {
        // Two degrees of latitude around Madrid, and the sea off Lisbon; the disc's edge comes within 8 km and 3 km.
        let map = AreaMap::new(&TERRITORY, &[square(40.4, -3.7, 1.0), square(38.7, -12.0, 2.0)]).unwrap();
        let answer = |lat, lon, km| map.contain(&circle(lat, lon, km)).answer;
        assert_eq!(answer(40.4, -3.7, 70.0), Answer::Yes);
        assert_eq!(answer(40.4, -3.7, 82.5), Answer::Unknown);
        assert_eq!(answer(48.86, 2.35, 70.0), Answer::No);
        assert_eq!(answer(41.5, -3.7, 1.0), Answer::No);
        assert_eq!(answer(41.44, -3.7, 0.2), Answer::Unknown, "4.4 km beyond the edge");
        assert_eq!(answer(38.7, -12.0, 70.0), Answer::Unknown);
        // Land ends inside this one; what of the disc lies beyond the area is sea.
        let coast = AreaMap::new(&TERRITORY, &[square(38.9, -8.9, 0.9)]).unwrap();
        assert_eq!(coast.contain(&circle(38.72, -9.3, 50.0)).answer, Answer::Yes);
    }

    #[test]
    fn a_map_of_too_many_lands_or_edges_is_refused() {
        let land = |polygons: Vec<Polygon>| Land { code: "XX".to_string(), polygons };
        let many: Vec<Land> = (0..=LANDS).map(|_| land(vec![])).collect();
        assert_eq!(Map::divide(&many, &[]).err(), Some(MapError::TooManyLands { found: LANDS + 1, limit: LANDS }));
        let wide = Polygon { rings: vec![[at(0.0, -180.0), at(0.0, 180.0)].repeat(2000)] };
        assert_eq!(
            Map::divide(&[land(vec![wide])], &[]).err(),
            Some(MapError::TooManyEdges { limit: budget::PLACE_EDGES })
        );
    }
}
