//! Geographic results as they come in somebody's EAR: the region in them is drawn and laid on a map.
#![no_main]

use garant_attest::{
    cbor,
    place::{geographic::Geographic, map::Map, picture, territory::Territory},
};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fuzz_target!(|bytes: &[u8]| {
    let Ok(result) = cbor::decode::<Geographic>(bytes, bytes.len()) else { return };
    let Ok(region) = result.region() else { return };
    assert_eq!(cbor::encode(&result).as_deref(), Ok(bytes));
    static MAP: OnceLock<(Territory, Map)> = OnceLock::new();
    let (territory, map) = MAP.get_or_init(|| {
        let territory = Territory::builtin().unwrap_or_else(|error| panic!("{error}"));
        let map = Map::new(&territory).unwrap_or_else(|error| panic!("{error}"));
        (territory, map)
    });
    if let Ok(set) = territory.set("EU") {
        let _ = map.contain(&region, set);
    }
    let _ = picture::geojson(&region);
});
