//! What a bundle shows: nothing about now; and at a time that a known verifier signed, the verdict of then, computed anew.

use crate::{
    failure::Failure,
    place::failure,
    time,
    verify::{Args, LIFETIME},
};
use garant_attest::{budget::STATEMENT_BYTES, ear::Ear};
use garant_verifier::{
    assess::{Judgement, Rulebook, StandingRecord, Witness, nothing_proven},
    bundle::{BUNDLE_BYTES, Bundle},
    report::{hex, utc},
    sources::read_file,
};
use std::path::Path;

/// Who reads it.
pub(crate) struct Saved<'s> {
    pub(crate) args: &'s Args,
    pub(crate) rules: &'s Rulebook,
    pub(crate) witnesses: &'s [Witness],
}

/// The verdict on a bundle, and the claims to print.
pub(crate) fn judge(saved: &Saved<'_>, file: &Path, at: Option<u64>) -> Result<(Judgement, Ear), Failure> {
    let bytes = read_file(file, BUNDLE_BYTES).map_err(failure)?;
    let no_bundle =
        |error| Failure::new(error, file.display(), "`garant bundle pack ADDRESS --out FILE` writes such a file");
    let bundle = Bundle::decode(&bytes).map_err(no_bundle)?;
    let audience = saved.args.asking.audience.as_deref();
    let Some(at) = at else {
        let judgement = now(saved, &bundle)?;
        let claims = judgement.ear(time::now(), audience, LIFETIME);
        return Ok((judgement, claims));
    };
    match bundle.judge_then(saved.rules, saved.witnesses, at) {
        Ok((mut judgement, signed)) => {
            let of_whom = bundle.policy.map(|policy| Bundle::policy_digest(policy));
            if of_whom.is_some() && of_whom != judgement.verdict.policy_digest {
                judgement.verdict.residual_trust.push(OTHER_POLICY.to_owned());
            }
            let mut claims = judgement.ear(signed.issued, audience, LIFETIME);
            claims.expires = claims.expires.min(signed.expires);
            Ok((judgement, claims))
        }
        Err(fault) => {
            let judgement = nothing_proven(saved.rules, None, bundle.kind, &format!("check time: {fault}"));
            let claims = judgement.ear(at, audience, LIFETIME);
            Ok((judgement, claims))
        }
    }
}

/// What it showed then stands in the reasons, and the verdict on now is unknown.
fn now(saved: &Saved<'_>, bundle: &Bundle<'_>) -> Result<Judgement, Failure> {
    let file = saved.args.asking.record.as_ref().map(|file| read_file(file, STATEMENT_BYTES));
    let given = file.transpose().map_err(failure)?;
    let statement = given.as_deref().or(bundle.record.map(|record| &record[..]));
    let record = statement.map(|statement| saved.rules.open(statement, saved.witnesses));
    let record = record.transpose().map_err(failure)?;
    let subject = record.as_ref().map(subject);
    let mut judgement = nothing_proven(saved.rules, subject, bundle.kind, OLD_ANSWER);
    let reasons = &mut judgement.verdict.boot.reasons;
    reasons.push(match bundle.result(saved.witnesses) {
        None if bundle.result.is_none() => "its time is not known: no signed result is in it".to_owned(),
        None => "its time is not known: nobody you know signed the result in it".to_owned(),
        Some((ear, _)) => {
            let parts = &ear.parts;
            let parts = [&parts.boot, &parts.place, &parts.owner, &parts.workload].map(|part| &part.answer);
            let ([boot, place, owner, workload], when) = (parts, utc(ear.issued));
            format!(
                "a verifier you know signed boot: {boot}, place: {place}, owner: {owner}, workload: {workload} at {when}; ask with --at"
            )
        }
    });
    match bundle.recheck(saved.rules, record.as_ref(), time::now()) {
        Err(refusal) => reasons.push(format!("check {}: {refusal}", refusal.check())),
        Ok(then) => {
            reasons.push(format!("to whoever sent its challenge it showed boot: {}", then.verdict.boot));
            reasons.extend(then.verdict.boot.reasons.into_iter().map(|reason| format!("then: {reason}")));
        }
    }
    if saved.rules.policy().is_none()
        && let Some(policy) = bundle.policy
    {
        let digest = hex(&Bundle::policy_digest(policy));
        reasons
            .push(format!("the policy in it (SHA-256 {digest}) is its maker's: `garant bundle unpack` takes it out"));
    }
    Ok(judgement)
}

/// Node id and AK Name of a record.
pub(crate) fn subject<'r>(record: &'r StandingRecord<'_>) -> ([u8; 32], &'r [u8]) {
    (*record.id().as_bytes(), record.node().record().ak_name)
}

const OLD_ANSWER: &str = "check age: a saved answer proves nothing about now, its challenge is not yours";
const OTHER_POLICY: &str = "this verdict is under your policy; the result in the bundle was signed under another one";
