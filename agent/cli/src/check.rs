//! `garant check`: every check of a quote that was kept in files, made offline, with its outcome.
//!
//! Nothing here speaks with a machine. Without an enrolment record the verdict is unknown: a key in software beside a
//! genuine EK certificate would pass every other check.

use crate::{
    check_report::{Check, Evidence, Outcome, Report, part_report, pcr_reports},
    event_words::hex,
    failure::Failure,
    input,
    kept_counters::KeptCounters,
    output::{Answer, Output},
    policy,
    quote_files::{self, KeptKey, QuoteFiles, bytes_of_hex},
    tpm_endorsement::{self, Chip, Endorsement, Enrolled},
};
use garant_attest::{
    appraise::{Facts, Standing, appraise, has_exit},
    budget,
    counters::{self, CounterState},
    ek::CertifiedEk,
    measured::{MeasuredBoot, PcrState, Sent, SentIma, SentLog, measure},
    policy::Policy,
    quote::{self, QuoteError, SignedQuote},
    verdict::{self, Verdict},
    wire::Kind,
};
use garant_channel::engine::FastEngine;
use std::{collections::BTreeMap, path::PathBuf};

/// Check a quote, its log and its keys from files, offline.
///
/// Prints the outcome of every check. The verdict is `unknown` without an enrolment record and a policy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// TPMS_ATTEST or TPM2B_ATTEST, Azure's quote.bin, or Confidential Containers' JSON evidence.
    #[arg(long)]
    quote: PathBuf,
    /// TPMT_SIGNATURE; `sig.bin` beside the quote otherwise.
    #[arg(long)]
    signature: Option<PathBuf>,
    /// PCR values as JSON, by bank and PCR or as a list; `pcrs.json` beside the quote otherwise.
    #[arg(long)]
    pcrs: Option<PathBuf>,
    /// The boot event log.
    #[arg(long)]
    log: Option<PathBuf>,
    /// The binary IMA list.
    #[arg(long)]
    ima: Option<PathBuf>,
    /// The attestation key: PEM, TPMT_PUBLIC or TPM2B_PUBLIC. JSON evidence carries one.
    #[arg(long)]
    ak: Option<PathBuf>,
    #[command(flatten)]
    endorsement: tpm_endorsement::Files,
    /// The expected qualifying data, in hexadecimal.
    #[arg(long)]
    nonce: Option<String>,
    /// What is accepted.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// The enrolment record.
    #[arg(long, requires = "witness")]
    record: Option<PathBuf>,
    /// Public key of the verifier that wrote the record, PEM.
    #[arg(long)]
    witness: Option<PathBuf>,
    /// Counters of each key, remembered from one check to the next; made where it does not exist.
    #[arg(long)]
    state: Option<PathBuf>,
}

/// Makes every check and prints the outcomes.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let files = quote_files::read(&args.quote, args.signature.as_ref(), args.pcrs.as_ref())?;
    let policy = args.policy.as_deref().map(policy::read).transpose()?;
    let beside = Beside {
        log: args.log.as_deref().map(|file| input::read(file, garant_hw::budget::LOG_BYTES)).transpose()?,
        ima: args.ima.as_deref().map(|file| input::read(file, budget::IMA_BYTES)).transpose()?,
        key: args.ak.as_deref().map(|file| input::read(file, budget::IDENTITY_BYTES)).transpose()?,
        nonce: args.nonce.as_deref().map(nonce).transpose()?,
        endorsement: Endorsement::read(&args.endorsement)?,
        enrolled: Enrolled::read(args.record.as_deref(), args.witness.as_deref())?,
        counters: args.state.clone().map(KeptCounters::read).transpose()?,
    };
    if beside.key.is_none() && files.key.is_none() {
        let next = "name the attestation key with --ak";
        return Err(Failure::new("no key to check the quote with", args.quote.display(), next));
    }
    let mut examination = Examination { policy: policy.as_ref(), checks: Vec::new() };
    let (verdict, report) = match examination.examine(&files, &beside) {
        Ok(examined) => examined,
        Err(refused) => (verdict::Answer::Unknown, examination.rejected(refused)),
    };
    output.show(&report)?;
    Ok(answer(verdict, report.evidence))
}

/// What came beside the quote.
struct Beside {
    log: Option<Vec<u8>>,
    ima: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    endorsement: Endorsement,
    enrolled: Option<Enrolled>,
    counters: Option<KeptCounters>,
}

/// A check that failed, so that nothing after it means anything.
struct Refused {
    check: &'static str,
    why: String,
}

struct Examination<'p> {
    policy: Option<&'p Policy>,
    checks: Vec<Check>,
}

impl Examination<'_> {
    /// In the order of the design: key, signature, magic and type, length, extraData, selection, pcrDigest, then
    /// endorsement, counters and replay.
    fn examine(&mut self, files: &QuoteFiles, beside: &Beside) -> Result<(verdict::Answer, Report), Refused> {
        let parsed = beside.key.as_deref().map(KeptKey::parse).transpose();
        let parsed = parsed.map_err(|fault| Refused { check: "attestation key", why: fault.to_string() })?;
        let Some(key) = parsed.as_ref().or(files.key.as_ref()) else {
            return Err(Refused { check: "attestation key", why: "there is none".to_owned() });
        };
        self.key(key);
        let quote = self.quote(files, key, beside)?;
        let values = files.values.of(quote.selection()).map_err(|why| Refused { check: "pcrDigest", why })?;
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let pcrs = quote.pcrs(&FastEngine, &values).map_err(refused)?;
        self.passed("pcrDigest", "the PCR values are those that were signed".to_owned());
        let endorsed = self.endorsement(&quote, key, &beside.endorsement);
        let state = self.counters(&quote, key, beside.counters.as_ref())?;
        let ima = beside.ima.as_deref().map(|list| SentIma { first: 0, list });
        let sent = Sent { log: beside.log.as_deref(), ima, proven_ledger_pcr: None };
        let boot = measure(&FastEngine, pcrs, sent, None);
        let failed = endorsed.as_ref().err().cloned();
        let failed = failed.or_else(|| failed_counters(state)).or(self.replay(&boot, ima.is_some()));
        let ak_name = key.area().map(|area| area.name().as_bytes().to_vec()).unwrap_or_default();
        let chip = self.enrolment(&ak_name, beside);
        let facts = Facts {
            boot: &boot,
            counters: state,
            standing: chip.as_ref().map_or(Standing::NotEnrolled, |chip| chip.standing(&ak_name)),
            configuration: None,
            channel: Kind::None,
            // Files prove no time: only a nonce of the asker's own does, and then the evidence is as old as this run.
            age_s: if beside.nonce.is_some() { 0 } else { u64::MAX },
            expires: chip.as_ref().map(Chip::expires),
        };
        let mut verdict = appraise(&FastEngine, facts, self.policy);
        let eks = chip.iter().flat_map(Chip::eks).chain(endorsed.iter().flatten());
        let (outcome, found) = beside.endorsement.weigh(eks, quote.firmware_version(), &mut verdict);
        self.add("endorsement status", outcome, found);
        if let Some(why) = &failed {
            verdict.withdraw(why.clone());
        }
        Ok((verdict.boot.answer, self.report(failed, &boot, &verdict)))
    }

    fn key(&mut self, key: &KeptKey) {
        match key.area() {
            Some(area) => {
                self.passed("attestation key", format!("may attest only; Name {}", hex(area.name().as_bytes())))
            }
            None => {
                self.not_done("attestation key", "a key without its public area: whether it is restricted is not known")
            }
        }
    }

    fn quote(&mut self, files: &QuoteFiles, key: &KeptKey, beside: &Beside) -> Result<SignedQuote, Refused> {
        let signature = files.signature.for_key(key);
        let (scheme, signature) = signature.map_err(|fault| Refused { check: "signature", why: fault.to_string() })?;
        let quote =
            quote::check(&FastEngine, key.public_key(), scheme, &files.attest, &signature).map_err(|fault| {
                if fault.check() != "signature" {
                    self.passed("signature", "the key signed these bytes".to_owned());
                }
                refused(fault)
            })?;
        self.passed("signature", "the key signed these bytes".to_owned());
        let version = quote.firmware_version();
        self.passed("attest", format!("a TPM's quote, nothing before or after it; firmwareVersion {version:#018x}"));
        match beside.nonce.as_deref() {
            Some(nonce) => {
                quote.expect_extra_data(nonce).map_err(refused)?;
                self.passed("extraData", "is the expected one".to_owned());
            }
            None => {
                let found = hex(quote.extra_data());
                self.not_done("extraData", &format!("is {found}; without --nonce the quote may be of any age"));
            }
        }
        let banks = quote.selection().banks().iter().map(|bank| format!("{} {:#08x}", bank.hash.name(), bank.mask));
        let banks: Vec<String> = banks.collect();
        match quote.selection().is_whole() {
            true => self.passed("selection", format!("every bank and PCR: {}", banks.join(", "))),
            false => self.passed("selection", format!("not every bank or PCR: {}", banks.join(", "))),
        }
        Ok(quote)
    }

    /// The certified key, where a certificate was given.
    fn endorsement(
        &mut self,
        quote: &SignedQuote,
        key: &KeptKey,
        endorsement: &Endorsement,
    ) -> Result<Option<CertifiedEk>, String> {
        let certified = endorsement.validate(self.policy).transpose().map_err(|fault| {
            self.add("endorsement key", Outcome::Failed, fault.to_string());
            format!("endorsement key: {fault}")
        })?;
        match &certified {
            None => self.not_done("endorsement key", "give --ek-cert"),
            Some(ek) => self.passed("endorsement key", format!("certified by {} ({})", ek.root(), ek.kind())),
        }
        match key.area().and_then(|area| endorsement.parent(area, quote.qualified_signer())) {
            Some(parent) => self.passed("qualifiedSigner", parent.to_owned()),
            None => self.not_done("qualifiedSigner", "the parent of the attestation key is not known"),
        }
        Ok(certified)
    }

    /// Compares, and remembers the higher counters.
    fn counters(
        &mut self,
        quote: &SignedQuote,
        key: &KeptKey,
        kept: Option<&KeptCounters>,
    ) -> Result<CounterState, Refused> {
        let id = key.public_key().id(&FastEngine).unwrap_or_default();
        let found = quote.clock_info();
        let state = counters::compare(kept.and_then(|kept| kept.of(&id)), found);
        let outcome = if failed_counters(state).is_some() { Outcome::Failed } else { Outcome::Passed };
        let detail = format!(
            "{state}; resetCount {}, restartCount {}, clock {} ms{}",
            found.reset_count,
            found.restart_count,
            found.clock_ms,
            if found.safe { "" } else { " (not safe: the clock may repeat)" }
        );
        self.add("counters", outcome, detail);
        let stored = kept.map(|kept| kept.remember(&id, found)).transpose();
        stored.map_err(|why| Refused { check: "counters", why })?;
        Ok(state)
    }

    /// Every PCR beside the log; the first of the firmware's PCRs that does not replay rejects the evidence.
    fn replay(&mut self, boot: &MeasuredBoot<'_>, has_ima: bool) -> Option<String> {
        if has_ima {
            match boot.ima() {
                Some(list) => {
                    let covered = list.covered();
                    let detail = format!("{} entries, {} violations", covered.entries, covered.violations);
                    self.passed("IMA list", format!("leads to PCR 10: {detail}"));
                }
                None => self.not_done("IMA list", "no part of it leads to the quoted PCR 10"),
            }
        }
        match boot.log() {
            SentLog::Absent => self.not_done("event log", "give --log"),
            SentLog::Unreadable(fault) => {
                self.add("event log", Outcome::Failed, fault.to_string());
                return Some(format!("event log: {fault}"));
            }
            SentLog::Read { replayed, .. } => {
                let failed = mismatch(boot);
                let outcome = if failed.is_some() { Outcome::Failed } else { Outcome::Passed };
                let read = format!("{} events", replayed.events());
                let fault = replayed.fault().map(|fault| format!("{read}, then {fault}"));
                let detail = failed.clone().or(fault).unwrap_or(format!("{read}; no PCR of the firmware differs"));
                self.add("event log", outcome, detail);
                return failed;
            }
        }
        None
    }

    /// The chip that a record binds to the attestation key.
    fn enrolment(&mut self, ak_name: &[u8], beside: &Beside) -> Option<Chip> {
        let Some(enrolled) = &beside.enrolled else {
            self.not_done("enrolment", "no record: nothing shows that this key lives in a TPM");
            return None;
        };
        match enrolled.open(ak_name, &beside.endorsement, self.policy) {
            Ok(chip) => {
                let detail = "the witness says that this key lives in the TPM of that certificate";
                self.passed("enrolment", detail.to_owned());
                Some(chip)
            }
            Err(why) => {
                self.add("enrolment", Outcome::Failed, why);
                None
            }
        }
    }

    fn rejected(&mut self, refused: Refused) -> Report {
        let why = format!("{}: {}", refused.check, refused.why);
        self.add(refused.check, Outcome::Failed, refused.why);
        let nothing = verdict::PartVerdict::unknown(format!("the evidence proves nothing: {why}"));
        let part = |name: &'static str| (name, part_report(&nothing));
        Report {
            evidence: Evidence::Rejected,
            reason: Some(why),
            verdict: ["boot", "place", "owner", "workload"].into_iter().map(part).collect(),
            closed: verdict::Answer::Unknown.to_string(),
            checks: std::mem::take(&mut self.checks),
            pcrs: BTreeMap::new(),
        }
    }

    fn report(&mut self, failed: Option<String>, boot: &MeasuredBoot<'_>, verdict: &Verdict) -> Report {
        Report {
            evidence: if failed.is_some() { Evidence::Rejected } else { Evidence::Accepted },
            reason: failed,
            verdict: verdict.parts().into_iter().map(|(name, part)| (name, part_report(part))).collect(),
            closed: verdict.closed.to_string(),
            checks: std::mem::take(&mut self.checks),
            pcrs: pcr_reports(boot),
        }
    }

    fn passed(&mut self, check: &'static str, detail: String) {
        self.add(check, Outcome::Passed, detail);
    }

    fn not_done(&mut self, check: &'static str, detail: &str) {
        self.add(check, Outcome::NotDone, detail.to_owned());
    }

    fn add(&mut self, check: &'static str, outcome: Outcome, detail: String) {
        self.checks.push(Check { check, outcome, detail });
    }
}

/// The exit code: the verdict on the boot, and never yes for evidence that was rejected.
fn answer(verdict: verdict::Answer, evidence: Evidence) -> Answer {
    match (verdict, evidence) {
        (verdict::Answer::Yes, Evidence::Accepted) => Answer::Yes,
        (verdict::Answer::No, _) => Answer::No,
        (verdict::Answer::Yes | verdict::Answer::Unknown, _) => Answer::Unknown,
    }
}

fn refused(fault: QuoteError) -> Refused {
    Refused { check: fault.check(), why: fault.to_string() }
}

fn failed_counters(state: CounterState) -> Option<String> {
    match state {
        CounterState::First | CounterState::SameBoot | CounterState::LaterBoot => None,
        CounterState::Restarted { .. } | CounterState::Fell { .. } => Some(state.to_string()),
    }
}

/// The first PCR of the firmware to which the log does not lead, in any bank; SHA-2 banks first, as they carry.
fn mismatch(boot: &MeasuredBoot<'_>) -> Option<String> {
    let banks = boot.pcrs().banks().iter().rev();
    let all = banks.flat_map(|bank| (0..=7).map(move |pcr| (bank, pcr)));
    all.filter(|(_, pcr)| *pcr != 5 || has_exit(boot)).find_map(|(bank, pcr)| match boot.state(bank.hash(), pcr) {
        PcrState::Mismatch { replayed } => {
            let quoted = bank.pcr(pcr).map(hex).unwrap_or_default();
            Some(format!("PCR {pcr} of {}: the log replays to {replayed}, the quote says {quoted}", bank.hash().name()))
        }
        _ => None,
    })
}

fn nonce(text: &str) -> Result<Vec<u8>, Failure> {
    bytes_of_hex(text).ok_or_else(|| {
        Failure::new("the nonce is not hexadecimal", "--nonce", "give an even number of hexadecimal digits")
    })
}

const EXAMPLES: &str = "\
Examples:
  garant check --quote quote.bin --ak ak_pub.pem --log eventlog.bin
  garant check --quote quote.bin --signature sig.bin --pcrs pcrs.json --ak ak.tpmt --ek-cert ek.der --ca root.pem
  garant check --quote quote.bin --ak ak_pub.pem --state seen.json --json

Exit codes: 0 yes, 1 no, 2 unknown, 3 error.";
