//! What clients ask of VMs: a spec that is accepted has one canonical form, a refusal is short.
#![no_main]

use garant_api::{
    budget::DETAIL_BYTES,
    error::Invalid,
    spec::{Ensure, Spec},
    vm::{Act, Verb},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let spec = Spec::from_json(bytes);
    if let Ok(spec) = &spec {
        let canonical = spec.canonical();
        assert_eq!(Spec::from_json(&canonical).as_ref(), Ok(spec));
        assert!(canonical.iter().all(|byte| (b' '..=b'~').contains(byte)));
    }
    short(spec);
    short(Ensure::from_json(bytes));
    Verb::ALL.into_iter().for_each(|verb| short(Act::from_json(verb, bytes)));
});

fn short<T>(read: Result<T, Invalid>) {
    assert!(read.map_or_else(|invalid| invalid.to_string().len(), |_| 0) < DETAIL_BYTES);
}
