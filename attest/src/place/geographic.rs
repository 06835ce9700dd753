//! The geographic result in an EAR (semantics of draft-richardson-rats-geographic-results, under a private key until its
//! number is assigned): where the machine can be, and all that a reader needs to draw it and to compute it again.

use super::{
    policy::PlacePolicy,
    region::{Disc, Region, RegionError, Trust},
    territory::Position,
};
use crate::{budget, owner::holdings::List};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::num::NonZeroUsize;
use serde::{Deserialize, Serialize};

crate::int_map! {
    /// Where a machine can be.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Geographic {
        /// jurisdiction-country, ISO 3166-1 alpha-2: only where all land that it can be on is of one code.
        0 => country: Option<String>,
        /// The territory that was asked for.
        1 => territory: String,
        /// Version of the map.
        2 => map: String,
        /// Codes of all land that it can be on, or within 5 km of.
        3 => touched: List<String, { budget::LANDS }>,
        /// Operators that the policy counts, each once.
        4 => operators: List<String, { budget::LANDMARKS }>,
        /// How many of them may lie.
        5 => may_lie: Option<u64>,
        /// Who is trusted alone.
        6 => alone: Option<String>,
        /// What each landmark that answered says.
        7 => discs: List<ShownDisc, { budget::LANDMARKS }>,
    }
}

/// Number of the operator in the list, latitude and longitude in millionths of a degree, radius in metres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownDisc(u64, i32, i32, u64);

impl Geographic {
    pub(super) fn new(policy: &PlacePolicy, map: &str, region: &Region, touched: &[String]) -> Option<Geographic> {
        let mut operators: Vec<String> = policy.operators().into_iter().map(String::from).collect();
        operators.sort_unstable();
        operators.dedup();
        let (may_lie, alone) = match policy.trust() {
            Trust::AllBut(liars) => (u64::try_from(liars.get()).ok(), None),
            Trust::Only(alone) => (None, Some(alone)),
        };
        let shown = |disc: &Disc| {
            let number = operators.iter().position(|operator| *operator == disc.operator)?;
            let radius_m = crate::num::whole_metres(disc.radius_km);
            Some(ShownDisc(u64::try_from(number).ok()?, disc.center.lat_e6, disc.center.lon_e6, radius_m))
        };
        let discs = region.discs().iter().map(shown).collect::<Option<Vec<_>>>()?;
        Some(Geographic {
            country: touched.first().filter(|_| touched.len() == 1).cloned(),
            territory: policy.target().to_string(),
            map: map.to_string(),
            touched: List::new(touched.to_vec())?,
            operators: List::new(operators)?,
            may_lie,
            alone,
            discs: List::new(discs)?,
        })
    }

    /// The region that it describes: at most a metre wider than the one that was judged.
    pub fn region(&self) -> Result<Region, RegionError> {
        let name = |number: u64| usize::try_from(number).ok().and_then(|number| self.operators.get(number));
        let disc = |shown: &ShownDisc| {
            let unknown = || RegionError::UnknownOperator(shown.0.to_string());
            let operator = name(shown.0).ok_or_else(unknown)?.clone();
            let center = Position::new(shown.1, shown.2).ok_or_else(unknown)?;
            let radius_m = u32::try_from(shown.3).unwrap_or(u32::MAX);
            Ok(Disc { operator, center, radius_km: f64::from(radius_m) / 1000.0 })
        };
        let discs = self.discs.iter().map(disc).collect::<Result<Vec<_>, RegionError>>()?;
        let liars = self.may_lie.and_then(|liars| NonZeroUsize::new(usize::try_from(liars).ok()?));
        let trust = match &self.alone {
            Some(alone) => Trust::Only(alone.clone()),
            None => Trust::AllBut(liars.unwrap_or(NonZeroUsize::MAX)),
        };
        let operators: Vec<&str> = self.operators.iter().map(String::as_str).collect();
        Region::new(&operators, discs, &trust)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::{place::geometry::Direction, policy::Policy, rust_engine::RustEngine};
    use alloc::{format, vec};
    use proptest::prelude::*;

    /// Three operators, the last of which has two landmarks.
    fn policy(trust: &str) -> PlacePolicy {
        let landmark = |(number, operator): (usize, &str)| {
            format!(
                "[[place.landmark]]\nname = \"{number}\"\noperator = \"{operator}\"\nkey = \"{}\"\nlatitude = 0\n\
                 longitude = 180\nuncertainty_m = 0\n",
                format!("{number:02x}").repeat(32)
            )
        };
        let landmarks: String = ["c", "b", "a", "c"].into_iter().enumerate().map(landmark).collect();
        let text = format!("roots = [\"test\"]\nmax_age_s = 1\n[place]\nterritory = \"EU\"\n{trust}\n{landmarks}");
        Policy::parse(text.as_bytes(), &RustEngine).unwrap().place().unwrap().clone()
    }

    fn shown(discs: Vec<ShownDisc>) -> Geographic {
        Geographic {
            country: None,
            territory: String::from("EU"),
            map: String::from("1"),
            touched: List::new(vec![]).unwrap(),
            operators: List::new(vec![String::from("a"), String::from("b")]).unwrap(),
            may_lie: Some(1),
            alone: None,
            discs: List::new(discs).unwrap(),
        }
    }

    prop_compose! {
        fn place()(z in -1.0f64..=1.0, lon_e6 in -180_000_000i32..=180_000_000) -> Position {
            Position { lat_e6: crate::num::nearest_i32(libm::asin(z).to_degrees() * 1e6), lon_e6 }
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_holds_all_of_the_region_that_was_judged(
            is_alone: bool,
            discs in prop::collection::vec(("[abc]", place(), 0.0f64..12_000.0), 0..20),
            points in prop::collection::vec(place(), 100),
        ) {
            let policy = policy(if is_alone { "alone = \"b\"" } else { "may_lie = 1" });
            let disc = |(operator, center, radius_km)| Disc { operator, center, radius_km };
            let discs: Vec<Disc> = discs.into_iter().map(disc).collect();
            let judged = Region::new(&policy.operators(), discs, &policy.trust()).unwrap();
            let shown = Geographic::new(&policy, "1", &judged, &[]).unwrap().region().unwrap();
            prop_assert_eq!(shown.quorum(), judged.quorum());
            for (wide, exact) in shown.discs().iter().zip(judged.discs()) {
                prop_assert!((exact.radius_km..exact.radius_km + 0.001_1).contains(&wide.radius_km));
                prop_assert_eq!((&wide.operator, wide.center), (&exact.operator, exact.center));
            }
            let is_kept = |point: &Position| shown.holds(Direction::of(*point)) || !judged.holds(Direction::of(*point));
            prop_assert!(points.iter().chain(shown.discs().iter().map(|disc| &disc.center)).all(is_kept));
        }

        #[test]
        fn no_figures_of_a_stranger_do_any_harm(
            numbers in prop::collection::vec((0u64..4, any::<i32>(), any::<i32>(), any::<u64>()), 0..6),
            may_lie: Option<u64>,
            alone in prop::option::of("[ac]"),
        ) {
            let discs = numbers.iter().map(|(number, lat, lon, radius_m)| ShownDisc(*number, *lat, *lon, *radius_m));
            let claimed = Geographic { may_lie, alone, ..shown(discs.collect()) };
            let bytes = crate::cbor::encode(&claimed).unwrap();
            let read: Geographic = crate::cbor::decode(&bytes, bytes.len()).unwrap();
            if let Ok(region) = read.region() {
                region.cover(64).area_km2();
            }
        }
    }

    #[test]
    fn an_operator_or_a_place_that_is_none_is_an_error() {
        assert!(shown(vec![ShownDisc(1, 90_000_000, 180_000_000, u64::MAX)]).region().is_ok());
        for wrong in [ShownDisc(2, 0, 0, 1), ShownDisc(u64::MAX, 0, 0, 1), ShownDisc(0, 90_000_001, 0, 1)] {
            assert!(shown(vec![wrong]).region().is_err(), "{wrong:?}");
        }
        assert!(Geographic { alone: Some(String::from("c")), ..shown(vec![]) }.region().is_err());
    }

    #[test]
    fn a_disc_too_large_for_its_figures_is_the_whole_earth() {
        let all = ShownDisc(0, 0, 0, u64::MAX);
        let claimed = Geographic { may_lie: None, alone: Some(String::from("a")), ..shown(vec![all]) };
        let antipode = Direction::of(Position { lat_e6: 0, lon_e6: 180_000_000 });
        assert!(claimed.region().unwrap().holds(antipode));
    }

    /// Nobody who may lie, or nobody said how many: then nothing is shown to be anywhere.
    #[test]
    fn figures_that_say_nothing_of_trust_bound_nothing() {
        let here = || vec![ShownDisc(0, 0, 0, 1000), ShownDisc(1, 0, 0, 1000)];
        let far = Direction::of(Position { lat_e6: 50_000_000, lon_e6: 0 });
        assert!(!shown(here()).region().unwrap().holds(far));
        for may_lie in [None, Some(0), Some(2), Some(u64::MAX)] {
            assert!(Geographic { may_lie, ..shown(here()) }.region().unwrap().holds(far), "{may_lie:?}");
        }
    }

    #[test]
    fn a_country_is_named_only_where_there_is_no_other() {
        let policy = policy("may_lie = 1");
        let region = Region::new(&policy.operators(), vec![], &policy.trust()).unwrap();
        let country = |touched: &[&str]| {
            let touched: Vec<String> = touched.iter().map(ToString::to_string).collect();
            Geographic::new(&policy, "1", &region, &touched).unwrap().country
        };
        assert_eq!(country(&["DE"]).as_deref(), Some("DE"));
        assert_eq!((country(&[]), country(&["DE", "FR"])), (None, None));
    }
}
