//! Holdings statements, and what rules make of them: bytes are a payload or a whole statement.
#![no_main]

use garant_attest::{
    cose,
    owner::{
        graph::Testimony,
        holdings::Holdings,
        rule_set::RuleSet,
        rules::{self, Facts},
    },
    statement::{self, Claims, Signed},
};
use garant_fuzz::{AnyDigest, KEY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(claims) = statement::decode_untrusted::<Holdings>(bytes) else {
        let _ = statement::open::<Holdings>(&AnyDigest, bytes, &[KEY]);
        return;
    };
    let Ok(sealed) = statement::seal(&AnyDigest, &claims, &KEY, |_| Ok::<_, cose::StatementError>(vec![0; 64])) else {
        return;
    };
    let Ok(holdings): Result<Signed<Holdings>, _> = statement::open(&AnyDigest, &sealed, &[KEY]) else { return };
    let Some(Ok(set)) = RuleSet::built_in("secnumcloud-3.2") else { return };
    let testimony = [Testimony { holdings: &holdings, who: "fuzz" }];
    let subject = claims.interests.first().map_or("p0", |interest| interest.subject.as_str());
    let _ = rules::evaluate(&set, &testimony, subject, &Facts::default(), claims.lifetime().issued);
});
