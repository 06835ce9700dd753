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
