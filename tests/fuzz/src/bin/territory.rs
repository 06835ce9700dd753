//! Maps, and areas of the user's own.
#![no_main]

use garant_attest::place::{
    area,
    territory::{EDGE_E6, Polygon, Position, Territory, edges},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(map) = Territory::decode(bytes) {
        map.lands().iter().for_each(|land| check(&land.polygons));
        let _ = map.position_codes(HERE);
        assert!(map.sets().iter().all(|set| map.set(&set.name) == Ok(set)));
    }
    if let Ok(area) = area::read_geojson(bytes) {
        check(&area);
    }
});

fn check(polygons: &[Polygon]) {
    for ring in polygons.iter().flat_map(|polygon| &polygon.rings) {
        assert!(ring.len() > 2 && ring.iter().all(|at| Position::new(at.lat_e6, at.lon_e6).is_some()));
        for (from, to) in edges(ring) {
            assert!(from.lat_e6.abs_diff(to.lat_e6).max(from.lon_e6.abs_diff(to.lon_e6)) <= EDGE_E6);
        }
    }
    let _ = polygons.iter().any(|polygon| polygon.contains(HERE));
}

const HERE: Position = Position { lat_e6: 50_110_000, lon_e6: 8_680_000 };
