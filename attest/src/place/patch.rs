//! A triangle of the Earth and the part of a map that lies in or near it.
//!
//! A patch's children are made from the patch alone, so a map can be divided once for all questions down to a few
//! kilometres, and from there on for each question only where it must be.
//!
//! Which polygons contain a point is carried from patch to patch: from one's reference point to the next's, every edge
//! that the way between them crosses turns its polygon's answer around. All such edges are known to the patch, since
//! both points lie in it. Where rounding could decide whether an edge is crossed, another reference point is taken.

use super::{
    geometry::{Arc, Ball, Direction, SAGITTA_KM, Triangle, share_of_radius},
    territory::{EDGE_E6, Position},
};
use crate::budget;
use alloc::vec::Vec;

/// The lines of a map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    edges: Vec<Edge>,
    /// The land of each polygon.
    owners: Vec<usize>,
    /// Whether there is an [`AREA`] as well.
    has_area: bool,
}

#[derive(Debug, Clone)]
struct Edge {
    from: Direction,
    to: Direction,
    polygon: usize,
    /// How far the edge may be from the straight line that it is taken for.
    slack: f64,
}

/// A set of lands, and of the two parts into which an area divides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lands([u64; WORDS]);

/// What of the map lies in a triangle, or within [`BORDER_KM`] of it.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    cell: Triangle,
    ball: Ball,
    /// A point of the triangle.
    reference: Direction,
    /// Polygons that contain the reference, sorted.
    around: Vec<usize>,
    /// Polygons of which rounding hides whether they do, sorted; they count as if they held all of the triangle.
    doubtful: Vec<usize>,
    /// Edges that may be near.
    edges: Vec<usize>,
}

impl Lines {
    /// Adds a ring of a polygon. Edges are straight in latitude and longitude.
    pub(crate) fn add_ring(&mut self, polygon: usize, ring: &[Position], roots: &mut [Patch; 8]) {
        let next = ring.iter().cycle().skip(1);
        let pieces = ring.iter().zip(next).flat_map(|(from, to)| divide(*from, *to));
        // One more than the limit is enough to see that it is broken.
        let room = budget::PLACE_EDGES.saturating_add(1).saturating_sub(self.edges.len());
        for (from, to) in pieces.take(room) {
            let edge = Edge::new(from, to, polygon);
            for (root, reference) in roots.iter_mut().zip(ROOT_REFERENCES) {
                root.look_north(reference, &edge, (from, to));
                let reach = root.ball.radius + share_of_radius(BORDER_KM);
                if edge.is_within(root.ball.center, reach) && !is_pole(from, to) {
                    root.edges.push(self.edges.len());
                }
            }
            self.edges.push(edge);
        }
    }

    /// The next polygon's number; its land is `owner`.
    pub(crate) fn add_polygon(&mut self, owner: usize) -> usize {
        self.owners.push(owner);
        self.has_area |= owner == AREA;
        self.owners.len().saturating_sub(1)
    }

    /// How many edges there are.
    pub(crate) fn len(&self) -> usize {
        self.edges.len()
    }

    /// From the polygons that contain a point, and those that may end near it.
    fn lands(&self, around: &[usize], ending: impl Iterator<Item = usize>) -> Lands {
        let owner = |polygon: usize| self.owners.get(polygon).copied();
        let (mut lands, mut within, mut at_edge) = (Lands::default(), false, false);
        for owner in around.iter().filter_map(|polygon| owner(*polygon)) {
            if owner == AREA { within = true } else { lands.insert(owner) }
        }
        for owner in ending.filter_map(owner) {
            if owner == AREA { at_edge = true } else { lands.insert(owner) }
        }
        if self.has_area && lands != Lands::default() {
            if within || at_edge {
                lands.insert(AREA);
            }
            if !within || at_edge {
                lands.insert(BEYOND);
            }
        }
        lands
    }

    /// Polygons of edges.
    fn polygons<'a>(&'a self, edges: impl Iterator<Item = usize> + 'a) -> impl Iterator<Item = usize> + 'a {
        edges.filter_map(|edge| Some(self.edges.get(edge)?.polygon))
    }

    /// Those of `edges` within a distance of a point.
    fn near<'a>(&'a self, edges: &'a [usize], at: Direction, distance: f64) -> impl Iterator<Item = usize> + 'a {
        edges.iter().copied().filter(move |edge| self.edges.get(*edge).is_some_and(|edge| edge.is_within(at, distance)))
    }
}

impl Edge {
    /// Straight in latitude and longitude, it is taken for a straight line through the Earth: both the way to the great
    /// circle and from there the height of the arc grow as the square of its length.
    fn new(from: Position, to: Position, polygon: usize) -> Edge {
        let longest = from.lat_e6.abs_diff(to.lat_e6).max(from.lon_e6.abs_diff(to.lon_e6));
        let share = f64::from(longest) / f64::from(EDGE_E6);
        let slack = share_of_radius(share * share * (GREAT_CIRCLE_KM + SAGITTA_KM));
        Edge { from: Direction::of(from), to: Direction::of(to), polygon, slack }
    }

    fn is_within(&self, at: Direction, distance: f64) -> bool {
        let reach = distance + self.slack;
        at.distance_squared_to_edge(self.from, self.to) <= reach * reach
    }
}

impl Patch {
    /// The eight that hold all; for [`Lines::add_ring`].
    pub(crate) fn roots() -> [Patch; 8] {
        let mut references = ROOT_REFERENCES.iter();
        Triangle::all().map(|cell| {
            let ball = cell.ball();
            let reference = references.next().map_or(ball.center, |position| Direction::of(*position));
            Patch { cell, ball, reference, around: Vec::new(), doubtful: Vec::new(), edges: Vec::new() }
        })
    }

    /// The triangle's four parts with the balls around them, to be asked for one by one.
    pub(crate) fn parts(&self) -> [(Triangle, Ball); 4] {
        self.cell.split().map(|cell| (cell, cell.ball()))
    }

    /// One of the parts.
    pub(crate) fn child(&self, lines: &Lines, (cell, ball): (Triangle, Ball)) -> Patch {
        let edges = lines.near(&self.edges, ball.center, ball.radius + share_of_radius(BORDER_KM)).collect();
        let mut doubtful = self.doubtful.clone();
        let mut tried = WEIGHTS.iter().map(|weights| cell.weighted(*weights));
        let moved = tried.find_map(|reference| Some((reference, self.around_after(lines, reference)?)));
        let (reference, around) = moved.unwrap_or_else(|| {
            doubtful.extend(lines.polygons(self.edges.iter().copied()));
            doubtful.sort_unstable();
            doubtful.dedup();
            (ball.center, self.around.clone())
        });
        Patch { cell, ball, reference, around, doubtful, edges }
    }

    /// Which polygons contain another point of the triangle; `None` where rounding could decide that.
    fn around_after(&self, lines: &Lines, reference: Direction) -> Option<Vec<usize>> {
        let mut around = self.around.clone();
        let way = Arc::new(self.reference, reference);
        for edge in self.edges.iter().filter_map(|edge| lines.edges.get(*edge)) {
            if way.crosses(edge.from, edge.to)? {
                turn(&mut around, edge.polygon);
            }
        }
        Some(around)
    }

    /// Counts an edge if it passes over a root's reference point on the point's meridian.
    fn look_north(&mut self, reference: Position, edge: &Edge, (from, to): (Position, Position)) {
        if (from.lon_e6 > reference.lon_e6) == (to.lon_e6 > reference.lon_e6) {
            return;
        }
        let is_eastward = to.lon_e6 > from.lon_e6;
        let passes_over = match Arc::new(edge.from, edge.to).is_left(self.reference) {
            _ if is_pole(from, to) => from.lat_e6 > 0,
            Some(is_north) => is_north != is_eastward,
            None => return self.doubtful.push(edge.polygon),
        };
        if passes_over {
            turn(&mut self.around, edge.polygon);
        }
    }

    /// Lands that may lie in the triangle, or within [`BORDER_KM`] of it.
    pub(crate) fn lands(&self, lines: &Lines) -> Lands {
        let ending = lines.polygons(self.edges.iter().copied()).chain(self.doubtful.iter().copied());
        lines.lands(&self.around, ending)
    }

    /// Lands that lie within [`BORDER_KM`] of the reference point.
    pub(crate) fn lands_at_reference(&self, lines: &Lines) -> Lands {
        let near = lines.near(&self.edges, self.reference, share_of_radius(BORDER_KM));
        lines.lands(&self.around, lines.polygons(near).chain(self.doubtful.iter().copied()))
    }

    /// A point of the triangle.
    pub(crate) fn reference(&self) -> Direction {
        self.reference
    }

    /// A ball around the triangle.
    pub(crate) fn ball(&self) -> &Ball {
        &self.ball
    }

    /// How many edges may be near.
    pub(crate) fn edges(&self) -> usize {
        self.edges.len()
    }
}

impl Lands {
    /// Adds one below [`LANDS`], or an area's part.
    pub(crate) fn insert(&mut self, land: usize) {
        if let Some(word) = self.0.get_mut(land / WORD_BITS) {
            *word |= 1 << (land % WORD_BITS);
        }
    }

    /// Adds all of another set.
    pub(crate) fn add(&mut self, others: &Lands) {
        self.0.iter_mut().zip(others.0).for_each(|(word, other)| *word |= other);
    }

    /// Whether it has all that the other has.
    pub(crate) fn covers(&self, other: &Lands) -> bool {
        self.0.iter().zip(other.0).all(|(word, other)| other & !word == 0)
    }

    /// Whether it has that land, or area's part.
    pub(crate) fn has(&self, land: usize) -> bool {
        self.0.get(land / WORD_BITS).is_some_and(|word| word >> (land % WORD_BITS) & 1 == 1)
    }
}

/// An edge in pieces of at most [`EDGE_E6`] in latitude and longitude.
fn divide(from: Position, to: Position) -> impl Iterator<Item = (Position, Position)> {
    let longest = from.lat_e6.abs_diff(to.lat_e6).max(from.lon_e6.abs_diff(to.lon_e6));
    let pieces = i64::from(longest.div_ceil(EDGE_E6).max(1));
    let share = move |from: i32, to: i32, at: i64| {
        let way = i64::from(to).saturating_sub(i64::from(from)).saturating_mul(at).checked_div(pieces).unwrap_or(0);
        i32::try_from(i64::from(from).saturating_add(way)).unwrap_or(to)
    };
    let point = move |at: i64| Position {
        lat_e6: share(from.lat_e6, to.lat_e6, at),
        lon_e6: share(from.lon_e6, to.lon_e6, at),
    };
    (0..pieces).map(move |at| (point(at), point(at.saturating_add(1))))
}

/// Whether an edge runs along a pole, where all longitudes are one point, and parts nothing.
fn is_pole(from: Position, to: Position) -> bool {
    from.lat_e6 == to.lat_e6 && from.lat_e6.unsigned_abs() == POLE_E6
}

/// Adds to a sorted list what is not in it, and takes away what is.
fn turn(sorted: &mut Vec<usize>, polygon: usize) {
    match sorted.binary_search(&polygon) {
        Ok(at) => drop(sorted.remove(at)),
        Err(at) => sorted.insert(at, polygon),
    }
}

/// How near to land counts as on it: a border is 5 km wide.
pub(super) const BORDER_KM: f64 = 5.0;
/// From an edge of half a degree to its great circle: territory::GREAT_CIRCLE_ERROR_M, and less than 1 m because here
/// directions are from the Earth's centre and there along the vertical.
const GREAT_CIRCLE_KM: f64 = 0.131;
/// Lands that a map may have; the built-in one has about 270.
pub(crate) const LANDS: usize = WORDS * WORD_BITS - 2;
/// Stands for the part of a user's area.
pub(crate) const AREA: usize = LANDS;
/// Stands for land outside it.
pub(crate) const BEYOND: usize = LANDS + 1;
const POLE_E6: u32 = 90_000_000;
const WORDS: usize = 8;
const WORD_BITS: usize = 64;
/// In each octant a point away from its middle's symmetries; in the order of [`Triangle::all`].
const ROOT_REFERENCES: [Position; 8] = [
    Position { lat_e6: 35_000_003, lon_e6: 45_000_007 },
    Position { lat_e6: 35_000_003, lon_e6: 135_000_007 },
    Position { lat_e6: 35_000_003, lon_e6: -135_000_007 },
    Position { lat_e6: 35_000_003, lon_e6: -45_000_007 },
    Position { lat_e6: -35_000_003, lon_e6: 45_000_007 },
    Position { lat_e6: -35_000_003, lon_e6: 135_000_007 },
    Position { lat_e6: -35_000_003, lon_e6: -135_000_007 },
    Position { lat_e6: -35_000_003, lon_e6: -45_000_007 },
];
/// Reference points to try: the middle first.
const WEIGHTS: [[f64; 3]; 4] = [[1.0, 1.0, 1.0], [4.0, 3.0, 2.0], [2.0, 5.0, 4.0], [3.0, 2.0, 6.0]];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use alloc::vec;

    fn at(lat_e6: i32, lon_e6: i32) -> Position {
        Position { lat_e6, lon_e6 }
    }

    fn map(rings: &[(usize, &[Position])]) -> (Lines, [Patch; 8]) {
        let (mut lines, mut roots) = (Lines::default(), Patch::roots());
        for (owner, ring) in rings {
            let polygon = lines.add_polygon(*owner);
            lines.add_ring(polygon, ring, &mut roots);
        }
        (lines, roots)
    }

    /// Lands that may be in the smallest patch, after `depth` divisions, that holds a point.
    fn lands_at(lines: &Lines, roots: [Patch; 8], position: Position, depth: usize) -> Vec<usize> {
        let here = Direction::of(position);
        let nearest = |patch: &Patch| patch.ball.center.distance_squared(here);
        let mut patch = roots.into_iter().min_by(|a, b| nearest(a).total_cmp(&nearest(b))).unwrap();
        for _ in 0..depth {
            let children = patch.parts().map(|part| patch.child(lines, part));
            patch = children.into_iter().min_by(|a, b| nearest(a).total_cmp(&nearest(b))).unwrap();
        }
        (0..LANDS + 2).filter(|land| patch.lands(lines).has(*land)).collect()
    }

    fn square(lat: i32, lon: i32, half: i32) -> [Position; 4] {
        let e6 = |degrees: i32| degrees * 1_000_000;
        [(-1, -1), (-1, 1), (1, 1), (1, -1)].map(|(n, e)| at(e6(lat + n * half), e6(lon + e * half)))
    }

    #[test]
    fn a_hole_is_no_land_and_an_island_in_it_is() {
        let (mut lines, mut roots) = map(&[]);
        let polygon = lines.add_polygon(7);
        for half in [9, 6, 3] {
            lines.add_ring(polygon, &square(45, 10, half), &mut roots);
        }
        let lands = |lat: i32| lands_at(&lines, roots.clone(), at(lat * 1_000_000, 10_000_000), 9);
        assert_eq!([lands(45), lands(49), lands(52), lands(56)], [vec![7], vec![], vec![7], vec![]]);
    }

    #[test]
    fn polygons_of_one_land_that_overlap_are_land_twice_and_not_none() {
        let (lines, roots) = map(&[(1, &square(45, 10, 8)), (1, &square(45, 12, 8))]);
        assert_eq!(lands_at(&lines, roots, at(45_000_000, 11_000_000), 9), vec![1]);
    }

    #[test]
    fn land_around_a_pole_is_land() {
        let ring = |lat: i32, pole: i32| {
            [(lat, -180), (lat, 180), (pole, 180), (pole, -180)].map(|(a, b)| at(a * 1_000_000, b * 1_000_000))
        };
        let (lines, roots) = map(&[(1, &ring(-70, -90)), (2, &ring(60, 90))]);
        let lands = |lat: i32| lands_at(&lines, roots.clone(), at(lat * 1_000_000, 33_000_000), 6);
        assert_eq!([lands(-89), lands(-30), lands(30), lands(88)], [vec![1], vec![], vec![], vec![2]]);
    }

    #[test]
    fn a_land_whose_border_hides_in_rounding_counts_everywhere_near() {
        // Each edge runs through one of the points that could be the reference of a part.
        let root = Patch::roots()[0].clone();
        let part = root.parts()[3];
        let (mut lines, mut roots) = map(&[]);
        let polygon = lines.add_polygon(3);
        lines.add_ring(polygon, &square(35, 45, 2), &mut roots);
        for (edge, weights) in lines.edges.iter_mut().zip(WEIGHTS) {
            edge.from = part.0.weighted(weights);
        }
        let child = roots[0].child(&lines, part);
        assert_eq!(child.doubtful, vec![polygon]);
        assert!(child.parts().into_iter().all(|part| child.child(&lines, part).lands(&lines).has(3)));
    }

    #[test]
    fn an_edge_is_near_what_is_near_to_its_line_in_latitude_and_longitude() {
        // Half a degree each way at 75° north, where the great circle is farthest from the line.
        let (from, to) = (at(75_000_000, 10_000_000), at(75_500_000, 10_500_000));
        let middle = Direction::of(at(75_250_000, 10_250_000));
        let edge = Edge::new(from, to, 0);
        for step in 0..360 {
            let near = middle.step(f64::from(step).to_radians(), share_of_radius(BORDER_KM));
            assert!(edge.is_within(near, share_of_radius(BORDER_KM)), "{step}");
        }
    }

    #[test]
    fn a_long_edge_is_divided_and_a_short_one_is_not() {
        let pieces: Vec<_> = divide(at(0, 0), at(-100, 1_700_000)).collect();
        assert_eq!((pieces.len(), pieces[0].0, pieces[3].1), (4, at(0, 0), at(-100, 1_700_000)));
        assert!(pieces.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!(divide(at(5, 5), at(500_005, 7)).count(), 1);
    }
}
