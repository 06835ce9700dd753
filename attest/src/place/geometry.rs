//! Points of the Earth as directions from its centre, and distances as straight lines, with their errors.
//!
//! Light cannot be faster than along the straight line through the Earth, so a bound on distance is a ball. Two points
//! at distances r and s from the centre whose directions u and v lie |u − v| apart are √((r − s)² + r·s·|u − v|²) apart,
//! at least [`RADIUS_KM`]·|u − v| where neither is deeper than that. So *every* point within d km of a landmark, at
//! whatever height, has a direction within d / `RADIUS_KM` of the landmark's: no ellipsoid is approximated, and the
//! only price is that balls grow by at most 0.35 % (at the equator; 0.15 % at 50° north).
//!
//! Errors of arithmetic: libm's functions err by less than 1 ulp and all numbers are below 4, so a direction is off by
//! less than 10⁻¹⁵ and so is each distance taken from it. [`ROUNDING`] (6 mm on the Earth) is added wherever a ball
//! must not be too small; it covers a million times that.

use super::territory::Position;
use crate::num;

/// A unit vector from the centre of the Earth: x to 0° N 0° E, y to 0° N 90° E, z to the north pole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    x: f64,
    y: f64,
    z: f64,
}

impl Direction {
    /// Of a point of WGS-84's ellipsoid. A point at height h above it has a direction up to 0.0034·h (30 m for the
    /// highest mountain) from this: [`HEIGHT_KM`].
    pub fn of(position: Position) -> Direction {
        let (lat, lon) = (radians(position.lat_e6), radians(position.lon_e6));
        let level = libm::cos(lat);
        Direction::normal(level * libm::cos(lon), level * libm::sin(lon), POLAR_SHARE * libm::sin(lat))
    }

    /// The point of the ellipsoid in this direction, to the nearest 10⁻⁶ degrees (0.11 m); for drawing.
    pub fn position(self) -> Position {
        let lat = libm::atan2(self.z, POLAR_SHARE * libm::hypot(self.x, self.y));
        let lon = libm::atan2(self.y, self.x);
        Position { lat_e6: num::nearest_i32(lat / RADIANS_E6), lon_e6: num::nearest_i32(lon / RADIANS_E6) }
    }

    /// Half way; the same bits whichever comes first, so neighbours agree on their common edge.
    pub(crate) fn between(self, other: Direction) -> Direction {
        Direction::normal(self.x + other.x, self.y + other.y, self.z + other.z)
    }

    /// Square of the straight distance in units of the Earth's radius, 0 to 4.
    pub(crate) fn distance_squared(self, other: Direction) -> f64 {
        squared(self.minus(other))
    }

    /// Square of the distance to the straight line between two points: that to the arc over it, but for the arc's height,
    /// which for an edge of [`EDGE_KM`] is [`SAGITTA_KM`].
    pub(crate) fn distance_squared_to_edge(self, from: Direction, to: Direction) -> f64 {
        let (along, away) = (to.minus(from), self.minus(from));
        let length = squared(along);
        let dot = away.x * along.x + away.y * along.y + away.z * along.z;
        let share = if length > 0.0 { (dot / length).clamp(0.0, 1.0) } else { 0.0 };
        squared(Direction { x: away.x - share * along.x, y: away.y - share * along.y, z: away.z - share * along.z })
    }

    /// Where a step leads: `bearing` in radians from north to east, `distance` on a straight line. For drawing discs.
    pub(crate) fn step(self, bearing: f64, distance: f64) -> Direction {
        let half = (distance / 2.0).min(1.0);
        let (cosine, sine) = (1.0 - 2.0 * half * half, 2.0 * half * libm::sqrt(1.0 - half * half));
        let level = libm::hypot(self.x, self.y);
        // At a pole any direction may be called north.
        let (east_x, east_y) = if level > 0.0 { (-self.y / level, self.x / level) } else { (0.0, 1.0) };
        let (north_x, north_y) = (-self.z * east_y, self.z * east_x);
        let (north, east) = (sine * libm::cos(bearing), sine * libm::sin(bearing));
        Direction::normal(
            cosine * self.x + north * north_x + east * east_x,
            cosine * self.y + north * north_y + east * east_y,
            cosine * self.z + north * level,
        )
    }

    /// East and north of `center` on a plane that keeps distance and bearing from it, in units of the Earth's radius. For
    /// pictures.
    pub(crate) fn seen_from(self, center: Direction) -> (f64, f64) {
        let level = libm::hypot(center.x, center.y);
        let (east_x, east_y) = if level > 0.0 { (-center.y / level, center.x / level) } else { (0.0, 1.0) };
        let east = self.x * east_x + self.y * east_y;
        let north = -center.z * (self.x * east_y - self.y * east_x) + self.z * level;
        let sine = libm::hypot(east, north);
        let angle = 2.0 * libm::asin((libm::sqrt(self.distance_squared(center)) / 2.0).min(1.0));
        let stretch = if sine > 0.0 { angle / sine } else { 1.0 };
        (east * stretch, north * stretch)
    }

    fn minus(self, other: Direction) -> Direction {
        Direction { x: self.x - other.x, y: self.y - other.y, z: self.z - other.z }
    }

    fn normal(x: f64, y: f64, z: f64) -> Direction {
        let length = libm::sqrt(x * x + y * y + z * z);
        Direction { x: x / length, y: y / length, z: z / length }
    }
}

/// The shorter arc of the great circle through two points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arc {
    from: Direction,
    to: Direction,
    /// Across the circle's plane, as long as the arc's chord.
    across: Direction,
}

impl Arc {
    /// Between two points that are not opposite.
    pub(crate) fn new(from: Direction, to: Direction) -> Arc {
        // From the difference, which is exact for near points: the product of two near vectors would lose digits.
        let along = to.minus(from);
        let across = Direction {
            x: from.y * along.z - from.z * along.y,
            y: from.z * along.x - from.x * along.z,
            z: from.x * along.y - from.y * along.x,
        };
        Arc { from, to, across }
    }

    /// Above 0 to the left of the circle, below to the right; `None` where rounding could decide: the value errs by less
    /// than 10⁻¹⁵, a tenth of [`DOUBT`].
    pub(crate) fn is_left(&self, at: Direction) -> Option<bool> {
        let side = self.across.x * at.x + self.across.y * at.y + self.across.z * at.z;
        (libm::fabs(side) > DOUBT).then_some(side > 0.0)
    }

    /// Whether it crosses an edge, all within 90° of one point; `None` where rounding could decide.
    pub(crate) fn crosses(&self, from: Direction, to: Direction) -> Option<bool> {
        let parts = |arc: &Arc, a, b| Some(arc.is_left(a)? != arc.is_left(b)?);
        match parts(self, from, to) {
            Some(false) => Some(false),
            parted => match parts(&Arc::new(from, to), self.from, self.to) {
                Some(false) => Some(false),
                both => Some(parted? && both?),
            },
        }
    }
}

/// All directions within a straight distance of one; of 2 and more, the whole Earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ball {
    /// Its middle.
    pub center: Direction,
    /// In units of the Earth's radius.
    pub radius: f64,
}

impl Ball {
    /// Holds the direction of every point within `radius_km` of one whose direction is that of `center`.
    pub fn around(center: Position, radius_km: f64) -> Ball {
        Ball { center: Direction::of(center), radius: share_of_radius(radius_km) }
    }

    /// Whether it holds that direction.
    pub fn holds(&self, at: Direction) -> bool {
        self.center.distance_squared(at) <= self.radius * self.radius
    }

    /// Whether it holds the other whole; `false` is said too often rather than too seldom.
    pub(crate) fn covers(&self, other: &Ball) -> bool {
        let reach = self.radius - other.radius;
        reach > 0.0 && self.center.distance_squared(other.center) <= reach * reach
    }

    /// Whether it has no point in common with the other; exact, but for [`ROUNDING`], which both have too much.
    pub(crate) fn misses(&self, other: &Ball) -> bool {
        let reach = self.radius + other.radius;
        self.center.distance_squared(other.center) > reach * reach
    }
}

/// A triangle of great circles. Eight tile the Earth, and each is tiled by four: neighbours share corners bit for bit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triangle {
    /// Corners, counter-clockwise from above.
    pub corners: [Direction; 3],
}

impl Triangle {
    /// The octahedron.
    pub fn all() -> [Triangle; 8] {
        let axis = |x: i8, y: i8, z: i8| Direction { x: f64::from(x), y: f64::from(y), z: f64::from(z) };
        let (north, south) = (axis(0, 0, 1), axis(0, 0, -1));
        let equator = [axis(1, 0, 0), axis(0, 1, 0), axis(-1, 0, 0), axis(0, -1, 0)];
        let [a, b, c, d] = equator;
        [
            [a, b, north],
            [b, c, north],
            [c, d, north],
            [d, a, north],
            [b, a, south],
            [c, b, south],
            [d, c, south],
            [a, d, south],
        ]
        .map(|corners| Triangle { corners })
    }

    /// Its four parts.
    pub fn split(&self) -> [Triangle; 4] {
        let [a, b, c] = self.corners;
        let (ab, bc, ca) = (a.between(b), b.between(c), c.between(a));
        [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]].map(|corners| Triangle { corners })
    }

    /// A ball that holds it: a cap of less than 90° is convex, so it holds the triangle when it holds the corners.
    pub fn ball(&self) -> Ball {
        let [a, b, c] = self.corners;
        let center = self.weighted([1.0, 1.0, 1.0]);
        let farthest = a.distance_squared(center).max(b.distance_squared(center)).max(c.distance_squared(center));
        Ball { center, radius: libm::sqrt(farthest) + ROUNDING }
    }

    /// The point inside with these weights of its corners.
    pub(crate) fn weighted(&self, weights: [f64; 3]) -> Direction {
        let ([a, b, c], [i, j, k]) = (self.corners, weights);
        Direction::normal(i * a.x + j * b.x + k * c.x, i * a.y + j * b.y + k * c.y, i * a.z + j * b.z + k * c.z)
    }

    /// Area in units of the square of the Earth's radius: the plane triangle's, below by less than 2 % for sides of less
    /// than a quarter of the radius.
    pub(crate) fn area(&self) -> f64 {
        let [a, b, c] = self.corners;
        let (p, q) = (b.minus(a), c.minus(a));
        let (x, y, z) = (p.y * q.z - p.z * q.y, p.z * q.x - p.x * q.z, p.x * q.y - p.y * q.x);
        libm::sqrt(x * x + y * y + z * z) / 2.0
    }
}

/// A distance in units of the Earth's radius, [`ROUNDING`] more than it is.
pub fn share_of_radius(distance_km: f64) -> f64 {
    distance_km / RADIUS_KM + ROUNDING
}

fn squared(vector: Direction) -> f64 {
    vector.x * vector.x + vector.y * vector.y + vector.z * vector.z
}

fn radians(degrees_e6: i32) -> f64 {
    f64::from(degrees_e6) * RADIANS_E6
}

/// No land is nearer to the Earth's centre: WGS-84's polar radius is 6,356.752 km, and the lowest land, 0.43 km below
/// the sea at 31.5° N, is at 6,372 km; the deepest mine, 4 km below 26° S, at 6,370 km.
pub const RADIUS_KM: f64 = 6356.0;
/// How far a point's direction may be from that of its place on the ellipsoid because it is high: 8.85 km × 0.00336, the
/// largest sine of the angle between the vertical and the line to the centre.
pub const HEIGHT_KM: f64 = 0.03;
/// The longest edge of a map: 0.5° of latitude and of longitude (territory::EDGE_E6), 55.7 km × √2.
pub const EDGE_KM: f64 = 79.0;
/// Height of an arc over an edge: 79² / (8 × 6356).
pub const SAGITTA_KM: f64 = 0.13;
/// Added where a ball must not be too small.
pub const ROUNDING: f64 = 1e-9;
/// Below this a sign is not trusted: within 0.6 mm of the line of an edge of 0.7 km.
const DOUBT: f64 = 1e-14;
/// 1 − e² of WGS-84 (NGA.STND.0036, 2014: f = 1/298.257223563, e² = f·(2 − f)).
const POLAR_SHARE: f64 = 0.993_305_620_009_858_7;
const RADIANS_E6: f64 = core::f64::consts::PI / 180e6;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// A point of WGS-84 at a height, in km from the centre: the textbook's formula, nothing of the module's.
    fn earth_centred(lat: f64, lon: f64, height_km: f64) -> [f64; 3] {
        let (flattening, equator) = (1.0 / 298.257_223_563, 6378.137);
        let e2 = flattening * (2.0 - flattening);
        let (lat, lon) = (lat.to_radians(), lon.to_radians());
        let n = equator / libm::sqrt(1.0 - e2 * libm::sin(lat) * libm::sin(lat));
        let level = (n + height_km) * libm::cos(lat);
        [level * libm::cos(lon), level * libm::sin(lon), (n * (1.0 - e2) + height_km) * libm::sin(lat)]
    }

    fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
        libm::sqrt((0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum())
    }

    fn at(lat_e6: i32, lon_e6: i32) -> Position {
        Position { lat_e6, lon_e6 }
    }

    prop_compose! {
        fn position()(lat_e6 in -90_000_000..=90_000_000, lon_e6 in -180_000_000..=180_000_000) -> Position {
            at(lat_e6, lon_e6)
        }
    }

    proptest! {
        #[test]
        fn a_ball_holds_every_point_within_its_radius_at_any_height_of_land(
            a in position(), b in position(), heights in (-0.43f64..8.85, -0.43f64..8.85)
        ) {
            let degrees = |e6: i32| f64::from(e6) / 1e6;
            let distance = apart(
                earth_centred(degrees(a.lat_e6), degrees(a.lon_e6), heights.0),
                earth_centred(degrees(b.lat_e6), degrees(b.lon_e6), heights.1),
            );
            prop_assert!(Ball::around(a, distance + 2.0 * HEIGHT_KM).holds(Direction::of(b)));
        }

        #[test]
        fn a_ball_is_at_most_half_a_percent_too_large(a in position(), b in position()) {
            let degrees = |e6: i32| f64::from(e6) / 1e6;
            let distance = apart(
                earth_centred(degrees(a.lat_e6), degrees(a.lon_e6), 0.0),
                earth_centred(degrees(b.lat_e6), degrees(b.lon_e6), 0.0),
            );
            prop_assume!(distance > 1.0);
            prop_assert!(!Ball::around(a, distance * 0.995).holds(Direction::of(b)));
        }

        #[test]
        fn a_position_comes_back_from_its_direction(a in position()) {
            let back = Direction::of(a).position();
            prop_assert!(back.lat_e6.abs_diff(a.lat_e6) <= 1);
            prop_assert!(a.lat_e6.abs() > 89_000_000 || back.lon_e6.abs_diff(a.lon_e6) <= 1);
        }

        #[test]
        fn the_ball_of_a_triangle_holds_all_of_it(steps in prop::collection::vec(0usize..4, 0..12), w in prop::array::uniform3(0.0f64..1.0)) {
            prop_assume!(w.iter().sum::<f64>() > 1e-3);
            let triangle = steps.iter().fold(Triangle::all()[steps.len() % 8], |cell, step| cell.split()[*step]);
            prop_assert!(triangle.ball().holds(triangle.weighted(w)));
        }

        #[test]
        fn parts_of_a_triangle_cover_it(a in position()) {
            let here = Direction::of(a);
            let mut cells: Vec<Triangle> = Triangle::all().to_vec();
            for _ in 0..10 {
                let inside = |cell: &Triangle| {
                    let [p, q, r] = cell.corners;
                    [(p, q), (q, r), (r, p)].iter().all(|(from, to)| Arc::new(*from, *to).is_left(here) != Some(false))
                };
                let found: Vec<Triangle> = cells.into_iter().filter(inside).collect();
                prop_assert!(!found.is_empty());
                cells = found.iter().flat_map(|cell| cell.split()).collect();
            }
        }

        #[test]
        fn an_edge_is_as_near_as_its_nearest_point_but_for_the_arc(a in position(), step in (-500_000i32..500_000, -500_000i32..500_000), p in (-900_000i32..900_000, -900_000i32..900_000)) {
            prop_assume!(a.lat_e6.abs() < 88_000_000 && a.lon_e6.abs() < 178_000_000);
            let (from, to) = (Direction::of(a), Direction::of(at(a.lat_e6 + step.0, a.lon_e6 + step.1)));
            let here = Direction::of(at(a.lat_e6 + p.0, a.lon_e6 + p.1));
            let nearest = (0..=1000).map(|i| {
                let share = f64::from(i) / 1000.0;
                here.distance_squared(Direction::normal(
                    from.x + share * (to.x - from.x), from.y + share * (to.y - from.y), from.z + share * (to.z - from.z),
                ))
            }).fold(9.0, f64::min);
            let ours = libm::sqrt(here.distance_squared_to_edge(from, to));
            prop_assert!(ours <= libm::sqrt(nearest) + share_of_radius(SAGITTA_KM));
            prop_assert!(ours >= libm::sqrt(nearest) - share_of_radius(SAGITTA_KM) - share_of_radius(0.08));
        }

        #[test]
        fn a_step_goes_as_far_as_it_says(a in position(), bearing in 0.0f64..6.3, km in 0.1f64..9000.0) {
            let start = Direction::of(a);
            let gone = libm::sqrt(start.distance_squared(start.step(bearing, km / RADIUS_KM)));
            prop_assert!((gone * RADIUS_KM - km).abs() < 1e-3);
        }
    }

    #[test]
    fn a_disc_at_the_pole_has_points_all_around() {
        let pole = Direction::of(at(90_000_000, 0));
        let lons: Vec<i32> = (0..4)
            .map(|i| pole.step(f64::from(i) * core::f64::consts::FRAC_PI_2, 0.01).position().lon_e6 / 1_000_000)
            .collect();
        assert_eq!(lons.iter().collect::<alloc::collections::BTreeSet<_>>().len(), 4, "{lons:?}");
    }
}
