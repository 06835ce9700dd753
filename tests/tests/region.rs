//! Regions against a world of machines whose places are known; `make bench` runs the same with a million cases.

use garant_attest::{
    place::region::{Disc, Region, Trust},
    verdict::Answer,
};
use garant_tests::place_world::{FAR_INSIDE, Random, TRAPS, World, place, towns};
use std::{num::NonZeroUsize, sync::LazyLock};

static WORLD: LazyLock<World> = LazyLock::new(World::new);

#[test]
fn no_machine_on_foreign_land_is_ever_a_yes() {
    assert_eq!(WORLD.false_yes(&mut Random(1), 20_000, |index| index % 2 == 0), 0);
}

#[test]
fn no_machine_on_eu_land_is_ever_a_no() {
    let random = &mut Random(2);
    for index in 0..10_000 {
        let (_, lat, lon) = FAR_INSIDE[index % FAR_INSIDE.len()];
        let machine = place(lat + random.between(-0.05, 0.05), lon + random.between(-0.05, 0.05));
        if WORLD.is_inside(WORLD.eu(), machine) {
            let case = WORLD.case(random, machine);
            assert_ne!(WORLD.ask(&case.region).answer, Answer::No, "{:?}", case.region);
        }
    }
}

/// All landmarks say: within this distance.
fn exact(lat: f64, lon: f64, radius_km: f64) -> Region {
    let disc = |operator: &str| Disc { operator: operator.to_owned(), center: place(lat, lon), radius_km };
    Region::new(&["a", "b"], vec![disc("a"), disc("b")], &Trust::AllBut(NonZeroUsize::new(1).unwrap())).unwrap()
}

#[test]
fn a_trap_is_not_a_yes_even_to_the_metre() {
    for (name, lat, lon) in TRAPS {
        let found = WORLD.ask(&exact(lat, lon, 0.001));
        assert!(found.answer != Answer::Yes, "{name}: {:?}", found.touched);
    }
}

#[test]
fn far_land_of_the_eu_is_a_yes_where_no_other_is_near() {
    for (name, lat, lon) in FAR_INSIDE.into_iter().filter(|(name, ..)| {
        ["Mariehamn", "Las Palmas", "Saint-Denis", "Cayenne", "Mamoudzou", "Ponta", "Funchal"]
            .iter()
            .any(|far| name.starts_with(far))
    }) {
        let found = WORLD.ask(&exact(lat, lon, 20.0));
        assert_eq!(found.answer, Answer::Yes, "{name}: {:?}", found.touched);
    }
}

#[test]
fn every_town_of_the_list_lies_where_it_says() {
    let (inside, outside) = towns();
    assert_eq!((inside.len(), outside.len()), (200, 200));
    for town in inside.iter().chain(&outside) {
        let (lat, lon) = (f64::from(town.at.lat_e6) / 1e6, f64::from(town.at.lon_e6) / 1e6);
        let found = WORLD.ask(&exact(lat, lon, 0.1));
        assert!(found.touched.contains(&town.code), "{} {}: {:?}", town.name, town.code, found.touched);
    }
    assert!(inside.iter().all(|town| WORLD.eu().inside.contains(&town.code)));
    assert!(outside.iter().all(|town| !WORLD.eu().inside.contains(&town.code)));
}
