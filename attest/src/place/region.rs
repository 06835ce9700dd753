//! Where a machine can be by the round trips that were measured: the points on which enough operators agree.
//!
//! Each landmark gives a disc. The discs of one operator count as one word of that operator's, which holds where all of
//! them hold; an operator of the policy that did not answer holds everywhere. Up to f operators may lie in any way, so
//! the region is where at least n − f of all n hold. As long as no more than f lie, the machine is in it: an honest
//! disc holds the machine whatever delay was added, because nothing is ever subtracted from a round trip.
//!
//! Left out: who answers for which landmark, and that the prover's own landmarks do not count; that is the caller's.

use super::{
    geometry::{Ball, Direction, HEIGHT_KM, Triangle},
    territory::Position,
};
use crate::num;
use alloc::{string::String, vec::Vec};
use core::{fmt, num::NonZeroUsize};

/// One landmark's bound: whoever answered was in it, if the landmark's operator tells the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Disc {
    /// Who runs the landmark.
    pub operator: String,
    /// Where the landmark is.
    pub center: Position,
    /// How far from there, on a straight line.
    pub radius_km: f64,
}

impl Disc {
    /// 149.896 km for each ms of the round trip, [`CLOCK_ERROR`] more for the landmark's clock, and the uncertainty of the
    /// landmark's position. Nothing is subtracted: how long the answer took to make is the prover's word.
    pub fn of_round_trip(operator: &str, center: Position, uncertainty_m: u32, round_trip_ns: u64) -> Disc {
        let light_km = num::f64_from_u64(round_trip_ns) * HALF_LIGHT_KM_PER_NS * (1.0 + CLOCK_ERROR);
        Disc { operator: String::from(operator), center, radius_km: light_km + f64::from(uncertainty_m) / 1000.0 }
    }

    /// Holds every place on the map whose machine, at whatever height, can be in the disc: the directions of the machine
    /// and of the landmark are each off by up to [`HEIGHT_KM`].
    pub fn ball(&self) -> Ball {
        Ball::around(self.center, self.radius_km + 2.0 * HEIGHT_KM)
    }
}

/// Whom the policy trusts. There is no way to trust several operators all at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// All but this many of the operators (f), whichever they are.
    AllBut(NonZeroUsize),
    /// The one operator that the policy names; the others do not count.
    Only(String),
}

/// The policy's author, or whoever matched answers with it, made a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionError {
    /// A disc of an operator that the policy does not have.
    UnknownOperator(String),
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionError::UnknownOperator(name) => write!(f, "the policy has no landmark operator {name:?}"),
        }
    }
}

impl core::error::Error for RegionError {}

/// Where the machine can be. Holding one proves: if the trust it was built with holds, the machine is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    discs: Vec<Disc>,
    operators: usize,
    needed: usize,
    start: Claims,
}

impl Region {
    /// From all operators *of the policy*, named once or more, and the discs of those that answered.
    pub fn new(operators: &[&str], discs: Vec<Disc>, trust: &Trust) -> Result<Region, RegionError> {
        let is_counted = |name: &str| match trust {
            Trust::AllBut(_) => operators.contains(&name),
            Trust::Only(alone) => alone == name,
        };
        let known = |name: &str| operators.contains(&name);
        let named: Option<&str> = match trust {
            Trust::Only(alone) => Some(alone),
            Trust::AllBut(_) => None,
        };
        let unknown = discs.iter().map(|disc| disc.operator.as_str()).chain(named).find(|name| !known(name));
        if let Some(unknown) = unknown {
            return Err(RegionError::UnknownOperator(String::from(unknown)));
        }
        let mut names: Vec<&str> = operators.iter().copied().filter(|name| is_counted(name)).collect();
        names.sort_unstable();
        names.dedup();
        let needed = match trust {
            Trust::AllBut(liars) => names.len().saturating_sub(liars.get()),
            Trust::Only(_) => names.len(),
        };
        let start = Claims::of(&names, &discs);
        Ok(Region { discs, operators: names.len(), needed, start })
    }

    /// The discs it was built from, those of operators that do not count among them.
    pub fn discs(&self) -> &[Disc] {
        &self.discs
    }

    /// How many operators count, and how many of them must agree on a point.
    pub fn quorum(&self) -> (usize, usize) {
        (self.needed, self.operators)
    }

    /// Whether a point, given by its direction, is in it.
    pub fn holds(&self, at: Direction) -> bool {
        self.start.hold(at, self.needed)
    }

    /// Whether a point of the region may be in this disc; `false` is certain.
    pub fn may_meet(&self, disc: &Disc) -> bool {
        self.narrow(&self.start, &disc.ball()).is_some()
    }

    /// What is known of the whole Earth.
    pub(crate) fn start(&self) -> &Claims {
        &self.start
    }

    /// What is known of the points in `cell`, from what is known of a cell around it; `None` where the region has none of
    /// them for certain.
    pub(crate) fn narrow(&self, around: &Claims, cell: &Ball) -> Option<Claims> {
        around.narrow(cell, self.needed)
    }

    /// Whether a point of a cell of which this is known is in it.
    pub(crate) fn holds_within(&self, known: &Claims, at: Direction) -> bool {
        known.hold(at, self.needed)
    }

    /// Triangles of one size that together hold the whole region, about `cells` of them or fewer; none if it is empty.
    pub fn cover(&self, cells: usize) -> Cover {
        let part = |parts: &[Triangle], around: &Claims| -> Vec<(Triangle, Claims)> {
            parts.iter().filter_map(|cell| Some((*cell, self.narrow(around, &cell.ball())?))).collect()
        };
        let mut level = part(&Triangle::all(), &self.start);
        let mut side_km = FIRST_LEVEL_KM;
        while side_km > LAST_LEVEL_KM && level.len().saturating_mul(2) <= cells {
            side_km /= 2.0;
            level = level.iter().flat_map(|(cell, claims)| part(&cell.split(), claims)).collect();
        }
        let cells = level.into_iter().map(|(cell, claims)| (cell, claims.is_whole(self.needed))).collect();
        Cover { cells, side_km }
    }
}

/// A region in triangles of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Cover {
    /// Each triangle, and whether it lies in the region whole.
    pub cells: Vec<(Triangle, bool)>,
    /// About the length of their sides.
    pub side_km: f64,
}

impl Cover {
    /// An estimate: triangles of which the region may hold a part count half.
    pub fn area_km2(&self) -> f64 {
        let share = |is_whole: bool| if is_whole { 1.0 } else { 0.5 };
        let shares = self.cells.iter().map(|(cell, is_whole)| cell.area() * share(*is_whole));
        shares.sum::<f64>() * MEAN_RADIUS_KM * MEAN_RADIUS_KM
    }
}

/// What is known of the points of a cell: how many operators hold on all of them, and which discs may hold on some.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Claims {
    agreed: usize,
    open: Vec<(usize, Ball)>,
}

impl Claims {
    /// Silent operators hold everywhere.
    fn of(names: &[&str], discs: &[Disc]) -> Claims {
        let mut claims = Claims::default();
        for (index, name) in names.iter().enumerate() {
            let mut own: Vec<Ball> = discs.iter().filter(|disc| disc.operator == *name).map(Disc::ball).collect();
            // The smallest is the likeliest to miss a cell, and then the others need not be asked.
            own.sort_by(|a, b| a.radius.total_cmp(&b.radius));
            claims.agreed = claims.agreed.saturating_add(usize::from(own.is_empty()));
            claims.open.extend(own.into_iter().map(|ball| (index, ball)));
        }
        claims
    }

    /// Whether each point is in the region.
    fn is_whole(&self, needed: usize) -> bool {
        self.agreed >= needed
    }

    /// Conservative: `None` and a whole cell are certain.
    fn narrow(&self, cell: &Ball, needed: usize) -> Option<Claims> {
        let mut known = Claims { agreed: self.agreed, open: Vec::with_capacity(self.open.len()) };
        let mut undecided = 0usize;
        for own in self.open.chunk_by(|(a, _), (b, _)| a == b) {
            let before = known.open.len();
            let misses = own.iter().any(|(operator, ball)| {
                let misses = ball.misses(cell);
                if !misses && !ball.covers(cell) {
                    known.open.push((*operator, *ball));
                }
                misses
            });
            if misses {
                known.open.truncate(before);
            } else if known.open.len() == before {
                known.agreed = known.agreed.saturating_add(1);
            } else {
                undecided = undecided.saturating_add(1);
            }
        }
        if known.is_whole(needed) {
            known.open.clear();
        }
        (known.agreed.saturating_add(undecided) >= needed).then_some(known)
    }

    fn hold(&self, at: Direction, needed: usize) -> bool {
        let own = self.open.chunk_by(|(a, _), (b, _)| a == b);
        let agreeing = own.filter(|discs| discs.iter().all(|(_, ball)| ball.holds(at))).count();
        self.agreed.saturating_add(agreeing) >= needed
    }
}

/// c / 2 of the SI definition (299,792,458 m/s), in vacuum: hollow fibre and radio are faster than glass.
const HALF_LIGHT_KM_PER_NS: f64 = 0.000_149_896_229;
/// How slow a landmark's clock may run: a thousand times what a crystal is off, as nobody audits it.
const CLOCK_ERROR: f64 = 1e-3;
/// A quarter of the Earth's circumference.
const FIRST_LEVEL_KM: f64 = 10_000.0;
const LAST_LEVEL_KM: f64 = 0.15;
/// Of a sphere of the Earth's surface (IUGG, R₂).
const MEAN_RADIUS_KM: f64 = 6371.0;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString, vec};
    use proptest::prelude::*;

    fn at(lat: f64, lon: f64) -> Position {
        Position { lat_e6: num::nearest_i32(lat * 1e6), lon_e6: num::nearest_i32(lon * 1e6) }
    }

    fn disc(operator: &str, lat: f64, lon: f64, radius_km: f64) -> Disc {
        Disc { operator: operator.to_string(), center: at(lat, lon), radius_km }
    }

    fn all_but(liars: usize) -> Trust {
        Trust::AllBut(NonZeroUsize::new(liars).unwrap())
    }

    const PARIS: (f64, f64) = (48.86, 2.35);

    fn holds(region: &Region, place: (f64, f64)) -> bool {
        region.holds(Direction::of(at(place.0, place.1)))
    }

    #[test]
    fn a_round_trip_of_a_millisecond_is_150_kilometres_and_the_uncertainties() {
        let disc = Disc::of_round_trip("a", at(0.0, 0.0), 250, 1_000_000);
        assert!((disc.radius_km - (149.896_229 * 1.001 + 0.25)).abs() < 1e-9, "{}", disc.radius_km);
    }

    #[test]
    fn one_operator_with_many_landmarks_is_one_voice() {
        // Five landmarks of the liar say Paris; the two honest operators say Tokyo and Osaka.
        let mut discs: Vec<Disc> = (0..5).map(|i| disc("liar", 48.8 + f64::from(i) / 100.0, 2.3, 50.0)).collect();
        discs.push(disc("honest", 35.7, 139.7, 50.0));
        discs.push(disc("other", 35.6, 139.6, 50.0));
        let region = Region::new(&["liar", "honest", "other"], discs, &all_but(1)).unwrap();
        assert!(holds(&region, (35.68, 139.7)) && !holds(&region, PARIS));
    }

    #[test]
    fn an_operator_that_did_not_answer_still_counts_in_n() {
        // Of three operators only a liar answered: two of three must agree, and the silent ones agree with everything.
        let region = Region::new(&["liar", "b", "c"], vec![disc("liar", 48.86, 2.35, 10.0)], &all_but(1)).unwrap();
        assert!(holds(&region, (35.68, 139.7)));
        assert_eq!(region.quorum(), (2, 3));
    }

    #[test]
    fn a_name_said_twice_is_one_operator() {
        let discs = || vec![disc("a", 48.86, 2.35, 10.0), disc("b", 35.7, 139.7, 10.0)];
        let region = Region::new(&["a", "b", "a", "b"], discs(), &all_but(1)).unwrap();
        assert_eq!(region.quorum(), (1, 2));
    }

    #[test]
    fn as_many_liars_as_operators_prove_nothing() {
        let region = Region::new(&["a"], vec![disc("a", 48.86, 2.35, 10.0)], &all_but(1)).unwrap();
        assert!(holds(&region, (-33.0, 151.0)));
    }

    #[test]
    fn the_one_trusted_operator_is_asked_alone() {
        let discs = vec![disc("ours", 48.86, 2.35, 100.0), disc("b", 35.7, 139.7, 10.0)];
        let region = Region::new(&["ours", "b"], discs, &Trust::Only("ours".to_string())).unwrap();
        assert!(holds(&region, PARIS) && !holds(&region, (35.7, 139.7)));
        let silent = Region::new(&["ours", "b"], vec![disc("b", 48.86, 2.35, 10.0)], &Trust::Only("ours".to_string()));
        assert!(holds(&silent.unwrap(), (35.7, 139.7)));
    }

    #[test]
    fn a_disc_of_an_operator_that_the_policy_lacks_is_refused() {
        let strange = || vec![disc("x", 0.0, 0.0, 1.0)];
        let refused = Err(RegionError::UnknownOperator("x".to_string()));
        assert_eq!(Region::new(&["a", "b"], strange(), &all_but(1)), refused);
        assert_eq!(Region::new(&["a", "b"], vec![], &Trust::Only("x".to_string())), refused);
    }

    #[test]
    fn discs_of_one_operator_are_intersected_first() {
        // a: near Paris and near Lyon, which no point is; b: Paris. One of two is enough, and that is only b.
        let discs = vec![disc("a", 48.86, 2.35, 50.0), disc("a", 45.76, 4.84, 50.0), disc("b", 50.85, 4.35, 50.0)];
        let region = Region::new(&["a", "b"], discs, &all_but(1)).unwrap();
        assert!(!holds(&region, PARIS) && !holds(&region, (45.76, 4.84)) && holds(&region, (50.85, 4.35)));
        let paris = Direction::of(at(PARIS.0, PARIS.1));
        assert!(region.cover(4000).cells.iter().all(|(cell, _)| !cell.ball().holds(paris)));
    }

    #[test]
    fn a_cover_has_the_area_of_its_disc() {
        let region =
            Region::new(&["a", "b"], vec![disc("a", 50.0, 8.0, 300.0), disc("b", 50.0, 8.0, 300.0)], &all_but(1));
        let area = region.unwrap().cover(4000).area_km2();
        assert!((area / (core::f64::consts::PI * 300.0 * 300.0) - 1.0).abs() < 0.02, "{area}");
    }

    #[test]
    fn an_empty_region_has_no_cover() {
        let discs = vec![disc("a", 50.0, 8.0, 300.0), disc("b", -50.0, 8.0, 300.0), disc("c", 0.0, 99.0, 300.0)];
        assert_eq!(Region::new(&["a", "b", "c"], discs, &all_but(1)).unwrap().cover(4000).cells, vec![]);
    }

    prop_compose! {
        fn place()(z in -1.0f64..1.0, lon in -180.0f64..180.0) -> Position {
            at(libm::asin(z).to_degrees(), lon)
        }
    }

    /// The straight line between two places at a height, by the textbook's formula.
    fn straight_km(a: Position, b: Position, heights: (f64, f64)) -> f64 {
        let point = |p: Position, height: f64| {
            let e2 = 0.006_694_379_990_141_317;
            let (lat, lon) = (f64::from(p.lat_e6).to_radians() / 1e6, f64::from(p.lon_e6).to_radians() / 1e6);
            let n = 6378.137 / libm::sqrt(1.0 - e2 * libm::sin(lat) * libm::sin(lat));
            let level = (n + height) * libm::cos(lat);
            [level * libm::cos(lon), level * libm::sin(lon), (n * (1.0 - e2) + height) * libm::sin(lat)]
        };
        let (a, b) = (point(a, heights.0), point(b, heights.1));
        libm::sqrt((0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_machine_is_in_its_region_whatever_delays_are_added_and_whoever_of_f_lies(
            machine in place(),
            heights in (-0.43f64..8.0, -0.43f64..8.0),
            liars in 1usize..4,
            // operator, place, delay in ns (often none), the lie's radius
            answers in prop::collection::vec((0usize..9, place(), prop_oneof![Just(0u32), any::<u32>()], 0.0f64..3000.0), 0..40),
        ) {
            let names: Vec<String> = (0..9).map(|i| format!("operator {i}")).collect();
            let discs: Vec<Disc> = answers.iter().map(|(operator, landmark, delay, lie_km)| {
                // In the landmark's nanoseconds: its clock is as slow as is allowed for.
                let least_ns = straight_km(*landmark, machine, heights) * 2.0 / 299_792.458e-9 / (1.0 + CLOCK_ERROR);
                if *operator < liars {
                    disc(&names[*operator], f64::from(landmark.lat_e6) / 1e6, f64::from(landmark.lon_e6) / 1e6, *lie_km)
                } else {
                    let measured_ns = libm::ceil(least_ns) as u64 + u64::from(*delay);
                    Disc::of_round_trip(&names[*operator], *landmark, 0, measured_ns)
                }
            }).collect();
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let region = Region::new(&known, discs, &all_but(liars)).unwrap();
            prop_assert!(region.holds(Direction::of(machine)));
            let cover = region.cover(500);
            prop_assert!(cover.cells.iter().any(|(cell, _)| cell.ball().holds(Direction::of(machine))));
        }
    }
}
