//! Geographic results as they come in somebody's EAR: the region in them is drawn and laid on a map.
#![no_main]

use garant_attest::{
    cbor,
    place::{geographic::Geographic, map::Map, picture, territory::Territory},
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static MAP: LazyLock<(Territory, Map)> = LazyLock::new(|| {
    let territory = Territory::builtin().unwrap_or_else(|error| panic!("{error}"));
    let map = Map::new(&territory).unwrap_or_else(|error| panic!("{error}"));
    (territory, map)
});

// The map is laid out before the first input: it takes longer than an input may.
fuzz_target!(init: LazyLock::force(&MAP), |bytes: &[u8]| {
    let Ok(result) = cbor::decode::<Geographic>(bytes, bytes.len()) else { return };
    let Ok(region) = result.region() else { return };
    assert_eq!(cbor::encode(&result).as_deref(), Ok(bytes));
    let (territory, map) = &*MAP;
    if let Ok(set) = territory.set("EU") {
        let _ = map.contain(&region, set);
    }
    let _ = picture::geojson(&region);
});
