//! `garant explain`: what any file of garant's world says, for people. Nothing is checked here.

use crate::{
    event_words::hex,
    explained::Explained,
    failure::Failure,
    input, log,
    output::{Answer, Output},
    statement,
};
use garant_attest::{
    budget, cbor,
    certificate::Certificate,
    cose::ClaimedStatement,
    ear::{self, Ear},
    ek::certificates_in_nv,
    engine::sha256,
    enrolment::{self, Enrolment},
    evidence::{self, Evidence, LedgerPart, NodeClaims, QuotePart},
    ima::IMA_PCR,
    ledger::EntryZero,
    pem,
    place::{picture, territory::Territory},
    policy::Policy,
    public_area::{AttestationKey, Name},
    wire::{self, Identity, Tie},
};
use garant_channel::engine::FastEngine;
use garant_hw::{eventlog::EventLog, ima::ImaList};
use garant_verifier::bundle::{BUNDLE_BYTES, Bundle};
use std::path::PathBuf;
use tpm2_rs::{
    TpmUnmarshal,
    data::{TpmsAttest, TpmtPublic, TpmuAttest},
};

/// Print what a file says: evidence, saved answer, event log, IMA list, certificate, quote, record, statement, policy or
/// attestation result.
///
/// Nothing is checked: everything printed is what the file claims. `garant verify` and `garant check` check.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file; `-` for standard input.
    file: PathBuf,
    /// Of a signed result: draw on a map where the machine can be, as SVG on standard output.
    #[arg(long, conflicts_with = "geojson")]
    svg: bool,
    /// Of a signed result: where the machine can be, as GeoJSON on standard output.
    #[arg(long)]
    geojson: bool,
}

/// Prints what the file says.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let bytes = input::read(&args.file, BUNDLE_BYTES)?;
    if args.svg || args.geojson {
        return picture(args, &bytes);
    }
    let is_old_log = || EventLog::parse(&bytes).is_ok_and(|log| log.events().nth(1).is_some_and(|event| event.is_ok()));
    if bytes.get(LOG_SIGNATURE_AT..).is_some_and(|rest| rest.starts_with(LOG_SIGNATURE)) || is_old_log() {
        return log::show(&bytes, &args.file, output);
    }
    let explained = explain(&bytes).ok_or_else(|| {
        let next = "give an event log, IMA list, certificate, TPMS_ATTEST, answer, record, statement, policy or result";
        Failure::new("is nothing that garant knows", args.file.display(), next)
    })?;
    output.show(&explained)?;
    Ok(Answer::Yes)
}

/// The region that a result claims, drawn; nothing of it is checked.
fn picture(args: &Args, bytes: &[u8]) -> Result<Answer, Failure> {
    let fault = |what: &str| {
        let next = "give a result of `garant verify --ear FILE` under a policy with [place]";
        Failure::new(what, args.file.display(), next)
    };
    let bundled = Bundle::decode(bytes).ok().and_then(|bundle| bundle.result.map(|result| &result[..]));
    let result = ClaimedStatement::decode(bundled.unwrap_or(bytes)).map_err(|_| fault("is no signed result"))?;
    let ear = Ear::decode_untrusted(result.untrusted_payload()).map_err(|_| fault("is no signed result"))?;
    let geographic = ear.parts.place.geographic.ok_or_else(|| fault("says nothing of a place"))?;
    let region = geographic.region().map_err(|error| fault(&error.to_string()))?;
    let drawn = match args.svg {
        true => picture::svg(&region, &Territory::builtin().map_err(|error| fault(&error.to_string()))?),
        false => picture::geojson(&region),
    };
    print!("{drawn}");
    Ok(Answer::Yes)
}

fn explain(bytes: &[u8]) -> Option<Explained> {
    signed(bytes)
        .or_else(|| statement::voucher(bytes))
        .or_else(|| saved(bytes))
        .or_else(|| answer(bytes))
        .or_else(|| collection(bytes))
        .or_else(|| identity(bytes))
        .or_else(|| attest(bytes))
        .or_else(|| public_area(bytes))
        .or_else(|| text(bytes))
        .or_else(|| certificates(&certificates_in_nv(bytes)))
        .or_else(|| ima(bytes))
}

/// A signed statement: an EAR, an enrolment record, those of owners and auditors, or one of a kind that is not known here.
fn signed(bytes: &[u8]) -> Option<Explained> {
    let claimed = ClaimedStatement::decode(bytes).ok()?;
    let payload = claimed.untrusted_payload();
    let explained = match claimed.content_type() {
        ear::CONTENT_TYPE => result(&Ear::decode_untrusted(payload).ok()?),
        enrolment::CONTENT_TYPE => record(&cbor::decode(payload, budget::STATEMENT_BYTES).ok()?),
        other => statement::explain(other, payload)?,
    };
    Some(explained.line("signed by key id", hex(&claimed.key_id())))
}

fn result(ear: &Ear) -> Explained {
    let parts = [
        ("boot", &ear.parts.boot),
        ("place", &ear.parts.place),
        ("owner", &ear.parts.owner),
        ("workload", &ear.parts.workload),
    ];
    let mut explained = Explained::new("attestation result (EAR)");
    for (name, part) in parts {
        let basis = part.basis.as_ref().map(|basis| format!(" ({basis})")).unwrap_or_default();
        explained = explained.line(name, format!("{}{basis}", part.answer));
        for reason in &part.reasons {
            explained = explained.line("", reason);
        }
    }
    explained
        .line("closed image", &ear.closed)
        .line("node id", hex(&*ear.node_id))
        .optional("boot id", ear.boot_id.as_deref().map(|id| hex(id)))
        .optional("policy", ear.policy_digest.as_deref().map(|digest| hex(digest)))
        .optional("for", ear.audience.as_ref())
        .line("channel", &ear.channel)
        .line("issued", ear.issued)
        .line("expires", ear.expires)
}

fn record(record: &Enrolment<'_>) -> Explained {
    let mut explained = Explained::new("enrolment record")
        .line("node id", hex(&*record.node_id))
        .line("AK Name", hex(record.ak_name))
        .line("time", record.time);
    for (certificate, name) in record.ek_certificates.iter().zip(&record.ek_names) {
        explained = explained.line("EK Name", hex(name));
        for (what, value) in Certificate::from_der(certificate).map(|c| c.describe()).unwrap_or_default() {
            explained = explained.line(format!("EK {what}"), value);
        }
    }
    explained
}

/// A node's answer: how it is tied to a challenge, and the evidence.
/// What `garant bundle pack` wrote.
fn saved(bytes: &[u8]) -> Option<Explained> {
    let saved = Bundle::decode(bytes).ok()?;
    let mut explained = answer(saved.answer)?;
    explained.kind = "a bundle";
    let signed = saved.result.map_or("no", |_| "yes");
    Some(
        explained
            .line("nonce", hex(&*saved.nonce))
            .line("binder", hex(&*saved.binder))
            .line("signed result in it", signed)
            .line("statements in it", saved.statements.len()),
    )
}

fn answer(bytes: &[u8]) -> Option<Explained> {
    let answer = wire::Answer::decode(bytes).ok()?;
    let tie = match &answer.2 {
        Tie::Fresh(index, size, _) => format!("fresh: leaf {index} of {size}"),
        Tie::Cached(commit, _, ima_count, _) => format!("cached: commit {commit}, {ima_count} IMA entries"),
    };
    let mut explained = collection(answer.3)?;
    explained.kind = "a node's answer";
    Some(explained.line("asked by", answer.1.text()).line("tie", tie))
}

fn collection(bytes: &[u8]) -> Option<Explained> {
    let evidence = Evidence::decode(bytes).ok()?;
    let quote = evidence.quote.bytes(evidence::QUOTE_TYPE, budget::QUOTE_PART_BYTES).ok()?;
    let quote: QuotePart<'_> = cbor::decode(quote, budget::QUOTE_PART_BYTES).ok()?;
    let claims = evidence.eat.bytes(evidence::EAT_TYPE, budget::CLAIMS_BYTES).ok()?;
    let claims: NodeClaims<'_> = cbor::decode(claims, budget::CLAIMS_BYTES).ok()?;
    let ledger = evidence.ledger.bytes(evidence::LEDGER_TYPE, budget::LEDGER_BYTES).ok()?;
    let ledger: LedgerPart<'_> = cbor::decode(ledger, budget::LEDGER_BYTES).ok()?;
    let mut explained = attest(quote.0)?;
    explained.kind = "evidence";
    if let Ok(entry) = EntryZero::decode(ledger.0) {
        explained = explained
            .line("boot id", hex(&sha256(&FastEngine, &[ledger.0])))
            .line("configuration", hex(&entry.configuration_digest()));
    }
    let size = |record: Option<evidence::Record<'_>>, media_type, limit| match record?.part(media_type, limit).ok()? {
        evidence::Part::Whole(bytes) => Some(format!("{} bytes", bytes.len())),
        evidence::Part::Held(digest) => Some(format!("held by the asker: {}", hex(&digest))),
    };
    Some(
        explained
            .line("ledger PCR", claims.ledger_pcr)
            .line("garantd", claims.untrusted_version)
            .optional(
                "says that it is at",
                claims.untrusted_location.map(|at| format!("{}, {}", at.latitude, at.longitude)),
            )
            .optional("manufacturer", claims.untrusted_manufacturer)
            .optional("product", claims.untrusted_product)
            .optional("serial number", claims.untrusted_serial)
            .optional("chassis", claims.untrusted_chassis_serial)
            .optional("missing", claims.untrusted_missing)
            .optional("event log", size(evidence.log, evidence::LOG_TYPE, budget::LOG_BYTES))
            .optional("IMA list", size(evidence.ima, evidence::IMA_TYPE, budget::IMA_BYTES)),
    )
}

fn identity(bytes: &[u8]) -> Option<Explained> {
    let identity = Identity::decode(bytes).ok()?;
    let mut explained = Explained::new("a node's identity").line("AK (TPMT_PUBLIC)", hex(identity.1));
    for ek in &identity.2 {
        explained = explained.line("EK from", ek.1.map_or("file".into(), |index| format!("NV {index:#010x}")));
        explained.lines.extend(certificates(&certificates_in_nv(ek.0)).into_iter().flat_map(|found| found.lines));
    }
    Some(explained)
}

/// A TPMS_ATTEST.
fn attest(bytes: &[u8]) -> Option<Explained> {
    let (attest, _) = TpmsAttest::unmarshal(bytes).ok()?;
    let explained = Explained::new("TPM attestation (TPMS_ATTEST)")
        .line("qualified signer", hex(&attest.qualified_signer))
        .line("extraData", hex(&attest.extra_data))
        .line("clock", format!("{} ms", attest.clock_info.clock.value()))
        .line("resetCount", attest.clock_info.reset_count.value())
        .line("restartCount", attest.clock_info.restart_count.value())
        .line("safe", bool::from(attest.clock_info.safe))
        .line("firmwareVersion", format!("{:#018x}", attest.firmware_version.value()));
    let TpmuAttest::Quote(quote) = &attest.attested else {
        return Some(explained.line("type", "no quote"));
    };
    let mut explained = explained.line("pcrDigest", hex(&quote.pcr_digest));
    for bank in quote.pcr_select.iter() {
        let mask = hex(&bank.pcr_select.iter().rev().copied().collect::<Vec<u8>>());
        explained = explained.line(format!("PCRs of bank {:#06x}", bank.hash.value()), format!("0x{mask}"));
    }
    Some(explained)
}

/// A TPMT_PUBLIC.
fn public_area(bytes: &[u8]) -> Option<Explained> {
    let Ok((_, [])) = TpmtPublic::unmarshal(bytes) else { return None };
    let explained = Explained::new("TPM public area (TPMT_PUBLIC)");
    let explained = explained.line("Name", hex(Name::of(&FastEngine, bytes).ok()?.as_bytes()));
    Some(match AttestationKey::from_public_area(&FastEngine, bytes) {
        Ok(key) => explained.line("attestation key", format!("yes, {:?}", key.scheme())),
        Err(refused) => explained.line("attestation key", format!("no: {refused}")),
    })
}

/// PEM, or a policy.
fn text(bytes: &[u8]) -> Option<Explained> {
    let text = std::str::from_utf8(bytes).ok()?;
    let blocks = pem::blocks(text, "CERTIFICATE").ok().filter(|blocks| !blocks.is_empty());
    if let Some(blocks) = blocks {
        return certificates(&blocks.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    let policy = Policy::parse(bytes, &FastEngine).ok()?;
    let mut explained = Explained::new("policy")
        .line("digest", hex(&policy.digest()))
        .line("roots", policy.roots().iter().map(|root| root.name()).collect::<Vec<_>>().join(", "))
        .line("maximal age", format!("{} s", policy.max_age_s()));
    for image in policy.images() {
        explained = explained.line("image", format!("{}{}", image.name, if image.closed { ", closed" } else { "" }));
    }
    for learned in policy.learned() {
        explained = explained.line("learned", format!("by {}, {}", learned.by, learned.when));
    }
    Some(explained)
}

fn certificates(ders: &[&[u8]]) -> Option<Explained> {
    let mut explained = Explained::new("certificate");
    for der in ders {
        let certificate = Certificate::from_der(der).ok()?;
        explained.lines.extend(certificate.describe().into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    (!explained.lines.is_empty()).then_some(explained)
}

fn ima(bytes: &[u8]) -> Option<Explained> {
    let mut explained = Explained::new("IMA list");
    for entry in ImaList::from(0, bytes) {
        let entry = entry.ok().filter(|entry| entry.pcr == IMA_PCR)?;
        let (algorithm, digest) = entry.file_digest().unwrap_or((b"?", &[]));
        let path = String::from_utf8_lossy(entry.path().unwrap_or(b"?")).escape_debug().to_string();
        let digest = format!("{}:{} {path}", String::from_utf8_lossy(algorithm), hex(digest));
        let note = if entry.is_violation() { " VIOLATION" } else { "" };
        explained = explained.line(format!("{}", entry.number), format!("{digest}{note}"));
    }
    (!explained.lines.is_empty()).then_some(explained)
}

/// Where and how a crypto-agile log starts (PFP 1.06, §10.2.1, §10.4.5.1).
const LOG_SIGNATURE_AT: usize = 32;
const LOG_SIGNATURE: &[u8] = b"Spec ID Event0";
const EXAMPLES: &str = "\
Examples:
  garant explain answer.bin      a node's saved answer
  garant explain node.record     an enrolment record
  garant explain result.ear      an attestation result
  garant explain result.ear --svg > map.svg      where it says that the machine can be
  garant explain node.voucher    who handed a machine to whom; any statement of an owner or auditor
  garant explain ek.der          an EK certificate, also as it lies in NV";
