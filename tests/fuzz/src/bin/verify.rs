//! The whole of `verify` and `appraise`, for a node that can sign anything, and for one whose digests all agree as well.
#![no_main]

use garant_attest::{
    appraise::{Facts, Standing, appraise},
    engine::Engine,
    policy::Policy,
    verify::{Challenge, Known, Verified, verify},
    wire::Kind,
};
use garant_fuzz::{AnyDigest, AnySignature};
use garant_hw::hash::Hash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let engines: [&dyn Engine; 2] = [&AnySignature, &AnyDigest];
    for engine in engines {
        let challenge = Challenge { kind: Kind::TlsServer, nonce: [21; 32], binder: [22; 32] };
        let known = Known { ak_name: None, peer_key: None, counters: None, ima: None, held: &[] };
        if let Ok(verified) = verify(engine, bytes, challenge, &known) {
            look(engine, &verified);
        }
    }
});

fn look(engine: &dyn Engine, verified: &Verified<'_>) {
    let boot = verified.boot();
    let _ = (boot.ima_resume(), boot.ima().map(|ima| ima.entries().count()));
    for bank in Hash::ALL {
        let _ = (0..24).map(|pcr| boot.state(bank, pcr)).count();
    }
    let facts = Facts {
        boot,
        counters: verified.counters(),
        standing: Standing::NotEnrolled,
        configuration: verified.identity().ok().map(|identity| identity.configuration_digest),
        channel: verified.kind(),
        age_s: 0,
        expires: None,
    };
    if let Ok(policy) = Policy::parse(POLICY, engine) {
        let _ = appraise(engine, facts, Some(&policy));
    }
}

const POLICY: &[u8] = b"roots = [\"silicon\"]\nmax_age_s = 300\n[secure_boot]\nenabled = true\n[ima]\nfiles = []\n";
