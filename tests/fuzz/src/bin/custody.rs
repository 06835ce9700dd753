//! What others say of a machine: vouchers, mandates, sites and landmarks' statements, sorted and weighed. Bytes are one
//! statement of any kind, or a payload.
#![no_main]

use garant_attest::{
    carried::Carried,
    cose::StatementError,
    owner::{
        custody::{self, Chassis, Subject, Trust},
        mandate::Mandate,
        voucher::ClaimedVoucher,
    },
    place::{
        landmark,
        site::{self, Site},
    },
    roots::Roots,
    statement::{self, Claims},
};
use garant_fuzz::{AnyDigest, KEY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Carried::sort([bytes]);
    let _ = landmark::open_own(&AnyDigest, bytes);
    weigh(bytes, bytes);
    if let Ok(claims) = statement::decode_untrusted::<Mandate<'_>>(bytes) {
        sealed(&claims).into_iter().for_each(|mandate| weigh(bytes, &mandate));
    }
    if let Ok(claims) = statement::decode_untrusted::<Site>(bytes) {
        sealed(&claims).into_iter().for_each(|site| place(&site));
    }
    place(bytes);
});

fn sealed<'a>(claims: &impl Claims<'a>) -> Option<Vec<u8>> {
    statement::seal(&AnyDigest, claims, &KEY, |_| Ok::<_, StatementError>(vec![0; 64])).ok()
}

fn weigh(voucher: &[u8], mandate: &[u8]) {
    let node_id = ClaimedVoucher::decode(voucher).map_or([0; 32], |claimed| claimed.machine().node_id);
    let node_ids = [node_id, [0; 32]];
    let subject = Subject { node_ids: &node_ids, ak_name: &[0, 11], chassis: Chassis::Untrusted("S1") };
    let (makers, seal_roots) = ([KEY], Roots::none());
    let trust = Trust { makers: &makers, revoked: &[], seal_roots: &seal_roots };
    let _ = custody::judge(&AnyDigest, &[voucher, voucher], &[mandate], &subject, &trust, 1_800_000_000);
}

fn place(bytes: &[u8]) {
    let subject = site::Subject { node_ids: &[[0; 32]], anchors: &[[0; 32]], covered_chassis: Some("S1") };
    let _ = site::judge(&AnyDigest, &[bytes], &[KEY], &subject, 1_800_000_000);
}
