//! From facts and a policy to a verdict. Total: every combination has an answer, and what nobody states is unknown.
//!
//! `no` needs a fact that speaks against the machine, `yes` needs every link; whatever is missing is `unknown`.

use crate::{
    counters::CounterState,
    engine::Engine,
    event_policy::NOT_IN_POLICY,
    event_words, ima,
    ima_policy::ImaPolicy,
    measured::{MeasuredBoot, PcrState, SentLog},
    pcr_policy::{self, JudgedBank, JudgedBoot},
    policy::{Policy, RootClass},
    quote::QuotedBank,
    verdict::{Answer, Basis, Link, PartVerdict, TrustVector, Verdict},
    wire::Kind,
};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use garant_hw::{eventlog::EventType, hash::Hash, ima::ImaEntry};

/// What the checks found about one boot of one machine.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The quoted values beside the log.
    pub boot: &'a MeasuredBoot<'a>,
    /// The counters beside those remembered.
    pub counters: CounterState,
    /// What is known of the key that signed.
    pub standing: Standing<'a>,
    /// SHA-256 of the whole configuration, from entry 0; `None` where entry 0 proves none.
    pub configuration: Option<[u8; 32]>,
    /// How the asker came.
    pub channel: Kind,
    /// How old the evidence is by the asker's clock, in seconds.
    pub age_s: u64,
    /// The earliest expiry among certificates, revocation lists and statements used, in seconds since 1970.
    pub expires: Option<u64>,
}

/// What is known of the key that signed, beside the quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// No record shows that it lives in a TPM of a known maker: a software key would do as well.
    NotEnrolled,
    /// An enrolment record shows it.
    Enrolled {
        /// Class of the root above the EK certificate.
        root: RootClass,
        /// Every certificate above the EK, with what it rests on.
        chain: &'a [Link],
        /// Who wrote the record, where that is another than the own verifier.
        witness: Option<&'a str>,
        /// Node ids of the chip: SHA-256 of each certified EK.
        node_ids: &'a [[u8; 32]],
        /// Name of the key.
        ak_name: &'a [u8],
    },
}

/// The verdict. Without a policy every part is unknown.
pub fn appraise(engine: &dyn Engine, facts: Facts<'_>, policy: Option<&Policy>) -> Verdict {
    let judged = policy.map(|policy| pcr_policy::judge(pcr_policy::Evidence { engine, boot: facts.boot }, policy));
    let boot = match (&judged, policy) {
        (Some(judged), Some(policy)) => boot(engine, facts, policy, judged),
        _ => without_policy(facts.standing),
    };
    Verdict {
        closed: judged.as_ref().map_or(Answer::Unknown, |judged| closed(&boot, facts, policy, judged)),
        vector: vector(facts, judged.as_ref(), &boot),
        place: PartVerdict::unknown(NOT_ASSESSED),
        owner: PartVerdict::unknown(NOT_ASSESSED),
        workload: PartVerdict::unknown(NOT_ASSESSED),
        channel: facts.channel,
        residual_trust: residual_trust(facts),
        expires: facts.expires,
        policy_digest: policy.map(Policy::digest),
        geographic: None,
        boot,
    }
}

fn without_policy(standing: Standing<'_>) -> PartVerdict {
    let mut boot = PartVerdict::unknown("no policy was given");
    if standing == Standing::NotEnrolled {
        boot.reasons.push(NOT_ENROLLED.to_owned());
    }
    boot
}

/// What speaks against the machine, and what is missing for a yes.
#[derive(Default)]
struct Findings {
    against: Vec<String>,
    missing: Vec<String>,
}

fn boot(engine: &dyn Engine, facts: Facts<'_>, policy: &Policy, judged: &JudgedBoot<'_>) -> PartVerdict {
    let Standing::Enrolled { root, chain, witness, node_ids, ak_name } = facts.standing else {
        return PartVerdict::unknown(NOT_ENROLLED);
    };
    let mut found = Findings::default();
    if node_ids.iter().any(|id| policy.denies_ek(id)) || policy.denies_ak(ak_name) {
        found.against.push("the policy denies this key".to_owned());
    }
    if !policy.allows_root(root) {
        found.missing.push(format!("the policy does not ask for roots of class {}", root.name()));
    }
    if facts.age_s > policy.max_age_s() {
        found.missing.push(format!("evidence is {} s old, the policy accepts {}", facts.age_s, policy.max_age_s()));
    }
    counters(facts.counters, &mut found);
    banks(facts, policy, &mut found);
    judged_banks(judged, &mut found);
    if let Some(policy) = policy.ima() {
        files(engine, facts.boot, policy, &mut found);
    }
    let answer = match (found.against.is_empty(), found.missing.is_empty()) {
        (false, _) => Answer::No,
        (true, false) => Answer::Unknown,
        (true, true) => Answer::Yes,
    };
    let reasons = found.against.into_iter().chain(found.missing).collect();
    PartVerdict { answer, reasons, links: links(chain, witness, judged) }
}

fn counters(state: CounterState, found: &mut Findings) {
    match state {
        CounterState::First | CounterState::SameBoot | CounterState::LaterBoot => {}
        CounterState::Restarted { .. } | CounterState::Fell { .. } => found.against.push(format!("{state}")),
    }
}

/// Every bank that the TPM has must be in the quote, and every one that is allocated must replay, be pinned or capped.
fn banks(facts: Facts<'_>, policy: &Policy, found: &mut Findings) {
    let allocated = facts.boot.pcrs().banks();
    for hash in Hash::ALL {
        let is_listed = facts.boot.pcrs().unallocated().contains(&hash) || facts.boot.pcrs().bank(hash).is_some();
        if !is_listed {
            found.missing.push(format!("the quote does not say whether bank {} is allocated", hash.name()));
        }
    }
    for bank in allocated {
        if bank.mask() != ALL_PCRS {
            found.missing.push(format!("the quote leaves out PCRs of bank {}", bank.hash().name()));
        }
        for pcr in BANK_PCRS {
            bank_pcr(facts, policy, bank, pcr, found);
        }
    }
}

fn bank_pcr(facts: Facts<'_>, policy: &Policy, bank: &QuotedBank<'_>, pcr: usize, found: &mut Findings) {
    let quoted = bank.pcr(pcr).unwrap_or_default();
    let pins = u32::try_from(pcr).map_or(&[][..], |pcr| policy.pins(bank.hash(), pcr));
    if pins.iter().any(|pin| pin.as_bytes() == quoted) {
        return;
    }
    let name = bank.hash().name();
    match facts.boot.state(bank.hash(), pcr) {
        PcrState::Replayed | PcrState::Capped | PcrState::NotQuoted => {}
        PcrState::Mismatch { .. } if pcr == CONFIGURATION && !has_exit(facts.boot) => {
            found
                .missing
                .push(format!("PCR {pcr} of {name} does not replay: the event log ends before ExitBootServices"));
        }
        PcrState::Mismatch { .. } => {
            found.against.push(format!("PCR {pcr} of {name}: the event log does not replay to it"));
        }
        PcrState::NotCovered => found.missing.push(format!("PCR {pcr} of {name} is not covered by the event log")),
    }
}

/// Whether the log says that the loader left the firmware. Kernels before 5.3 do not append the firmware's last events.
pub fn has_exit(boot: &MeasuredBoot<'_>) -> bool {
    let SentLog::Read { log, .. } = boot.log() else { return false };
    let mut events = log.events().map_while(Result::ok);
    events
        .any(|event| event.event_type == EventType::EFI_ACTION && event.untrusted_data.starts_with(EXIT_BOOT_SERVICES))
}

fn judged_banks(judged: &JudgedBoot<'_>, found: &mut Findings) {
    if judged.banks.iter().all(|bank| bank.hash == Hash::Sha1) {
        return found.missing.push("no SHA-2 bank is allocated, and SHA-1 carries no policy".to_owned());
    }
    if !judged.banks.iter().any(JudgedBank::carries) {
        found.missing.push("the OS closed every SHA-2 bank, and none carries the policy".to_owned());
    }
    for pcr in judged.banks.iter().flat_map(|bank| &bank.pcrs) {
        let reasons = match pcr.answer {
            Answer::Yes => continue,
            Answer::No => &mut found.against,
            Answer::Unknown => &mut found.missing,
        };
        // Banks that agree on what is wrong say it once.
        if !reasons.contains(&pcr.reason) {
            reasons.push(pcr.reason.clone());
        }
    }
}

/// Every file that the kernel measured, where the policy asks for it.
fn files(engine: &dyn Engine, boot: &MeasuredBoot<'_>, policy: &ImaPolicy, found: &mut Findings) {
    let Some(list) = boot.ima() else {
        return found.missing.push("no IMA list leads to PCR 10".to_owned());
    };
    let mut entries = list.entries();
    let quoted = |bank, pcr| boot.pcrs().bank(bank)?.pcr(pcr);
    match entries.next() {
        Some(first) if first.number == 0 && ima::is_boot_aggregate(engine, &first, quoted) => {}
        Some(first) if first.number == 0 => {
            found.against.push("IMA entry 0 is not the aggregate of this boot".to_owned())
        }
        _ => found.missing.push("the IMA list does not come from its first entry on".to_owned()),
    }
    if list.covered().violations > 0 {
        found.missing.push(format!("{} files changed while IMA measured them", list.covered().violations));
    }
    let refused = entries.find(|entry| !entry.is_violation() && !accepts_file(policy, entry));
    if let Some(entry) = refused {
        let path = quoted_path(&entry);
        found.against.push(format!("IMA entry {}: {path} {NOT_IN_POLICY}", entry.number));
    }
}

fn accepts_file(policy: &ImaPolicy, entry: &ImaEntry<'_>) -> bool {
    let path = entry.path().and_then(|path| core::str::from_utf8(path).ok());
    path.is_some_and(|path| policy.leaves_unchecked(path))
        || entry.file_digest().is_some_and(|(_, digest)| policy.accepts_file(digest))
}

fn quoted_path(entry: &ImaEntry<'_>) -> String {
    event_words::quoted(&String::from_utf8_lossy(entry.path().unwrap_or_default()))
}

/// All links: the chip's certificates, who enrolled it, and who saw the firmware's values.
fn links(chain: &[Link], witness: Option<&str>, judged: &JudgedBoot<'_>) -> Vec<Link> {
    let testimony = |who: &str| Basis::Testimony(who.to_owned());
    let enrolled = Link {
        what: "attestation and endorsement key live in one TPM".to_owned(),
        basis: witness.map_or(Basis::Silicon, testimony),
    };
    let mut links: Vec<Link> = chain.iter().cloned().chain([enrolled]).collect();
    if let Some(learned) = judged.learned {
        let what = format!("firmware values seen on {}", learned.when);
        links.push(Link { what, basis: testimony(&learned.by) });
    }
    links
}

/// Yes for an image that its author declares closed, whose prediction covers what could come from outside, and whose
/// configuration the policy names.
fn closed(boot: &PartVerdict, facts: Facts<'_>, policy: Option<&Policy>, judged: &JudgedBoot<'_>) -> Answer {
    let configured = facts.configuration.is_some_and(|digest| policy.is_some_and(|p| p.accepts_configuration(&digest)));
    match boot.answer {
        Answer::No => Answer::No,
        Answer::Yes if judged.is_closed_image && configured => Answer::Yes,
        Answer::Yes | Answer::Unknown => Answer::Unknown,
    }
}

/// AR4SI claims: 2 affirms, 32 warns, 96 and 97 speak against (draft-ietf-rats-ar4si, 2.3.4).
fn vector(facts: Facts<'_>, judged: Option<&JudgedBoot<'_>>, boot: &PartVerdict) -> TrustVector {
    let Standing::Enrolled { root, .. } = facts.standing else { return TrustVector::default() };
    let of = |answer: Answer, against: i8| match answer {
        Answer::Yes => AFFIRMING,
        Answer::No => against,
        Answer::Unknown => 0,
    };
    let executables = judged.map_or(Answer::Unknown, JudgedBoot::answer);
    TrustVector {
        instance_identity: if boot.answer == Answer::Unknown { 0 } else { AFFIRMING },
        configuration: of(judged.map_or(Answer::Unknown, |boot| boot.pcr(SECURE_BOOT)), WARNING),
        executables: of(executables, CONTRAINDICATED),
        hardware: if root == RootClass::Silicon { AFFIRMING } else { WARNING },
    }
}

fn residual_trust(facts: Facts<'_>) -> Vec<String> {
    let channel = (facts.channel == Kind::None).then_some("who carried the answer: it is bound to no channel");
    RESIDUAL_TRUST.into_iter().chain(channel).map(ToOwned::to_owned).collect()
}

/// What a measured boot leaves to be trusted (design, Three words; facts on attacks, H11).
const RESIDUAL_TRUST: [&str; 5] = [
    "makers of CPU, management engine and BMC",
    "maker of the TPM",
    "hands in the case: with tools at a discrete TPM every PCR value can be made",
    "the author of the policy",
    "that this TPM sits in the machine which is meant",
];
const NOT_ENROLLED: &str = "no enrolment record: a key in software would pass every other check";
const NOT_ASSESSED: &str = "not assessed";
const ALL_PCRS: u32 = 0x00ff_ffff;
/// PCRs that only firmware, boot loaders and the kernel's stub write, and so a boot log covers; PCR 10 is IMA's, 15
/// the ledger's, from 16 on they are for debugging and dynamic launch.
const BANK_PCRS: core::ops::RangeInclusive<usize> = 0..=7;
const SECURE_BOOT: u32 = 7;
/// PCR of the loader's configuration, into which ExitBootServices is measured (PFP 1.06, 3.3.4.6).
const CONFIGURATION: usize = 5;
const EXIT_BOOT_SERVICES: &[u8] = b"Exit Boot Services Invocation";
const AFFIRMING: i8 = 2;
const WARNING: i8 = 32;
pub(crate) const CONTRAINDICATED: i8 = 96;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        pcr_policy::BOOT_PCRS,
        quote::ClockInfo,
        rust_engine::RustEngine,
        samples::{Boot, plain, thing, utf16},
    };

    const CONFIGURATION_DIGEST: [u8; 32] = [0xcc; 32];
    const NODE_ID: [u8; 32] = [0xee; 32];
    const ENROLLED: Standing<'_> = enrolled(RootClass::Silicon, SILICON, None);

    const SILICON: &[Link] = &[Link { what: String::new(), basis: Basis::Silicon }];
    const TEST: &[Link] = &[Link { what: String::new(), basis: Basis::Test }];

    const fn enrolled(root: RootClass, chain: &'static [Link], witness: Option<&'static str>) -> Standing<'static> {
        Standing::Enrolled { root, chain, witness, node_ids: &[NODE_ID], ak_name: b"ak" }
    }

    /// What a boot extends, in all its banks, as tables of an image.
    fn extends(boot: &Boot) -> String {
        let bank = |hash: &Hash| {
            let pcrs: String = BOOT_PCRS.iter().map(|pcr| boot.extends(*hash, *pcr)).collect();
            format!("[image.extends.{}]\n{pcrs}", hash.name())
        };
        boot.banks.iter().map(bank).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the facts are beside the boot; each test changes one.
    #[derive(Clone)]
    struct Case {
        boot: Boot,
        with_log: bool,
        counters: CounterState,
        standing: Standing<'static>,
        configuration: Option<[u8; 32]>,
        age_s: u64,
        policy: String,
    }

    impl Case {
        fn good() -> Case {
            let boot = Boot::good();
            let uki = RustEngine.digest(Hash::Sha256, &[b"uki"]);
            let policy = format!(
                "roots = [\"silicon\"]\nmax_age_s = 300\nconfigurations = [\"{}\"]\n\
                 [[image]]\nname = \"node\"\nclosed = true\nuki = \"{uki:?}\"\n{}",
                hex(&CONFIGURATION_DIGEST),
                extends(&boot)
            );
            Case {
                boot,
                with_log: true,
                counters: CounterState::First,
                standing: ENROLLED,
                configuration: Some(CONFIGURATION_DIGEST),
                age_s: 1,
                policy,
            }
        }

        fn verdict(&self) -> Verdict {
            let policy = Policy::parse(self.policy.as_bytes(), &RustEngine).unwrap();
            self.under(Some(&policy))
        }

        fn under(&self, policy: Option<&Policy>) -> Verdict {
            let log = self.boot.log();
            let log = self.with_log.then_some(&log[..]);
            self.boot.measured(log, |boot| appraise(&RustEngine, self.facts(boot), policy))
        }

        fn facts<'f>(&'f self, boot: &'f MeasuredBoot<'f>) -> Facts<'f> {
            Facts {
                boot,
                counters: self.counters,
                standing: self.standing,
                configuration: self.configuration,
                channel: Kind::None,
                age_s: self.age_s,
                expires: None,
            }
        }

        /// The answer and its first reason.
        fn boot(&self) -> (Answer, String) {
            let boot = self.verdict().boot;
            (boot.answer, boot.reasons.first().cloned().unwrap_or_default())
        }
    }

    #[test]
    fn a_closed_image_on_an_enrolled_tpm_is_yes_by_silicon() {
        let verdict = Case::good().verdict();
        assert_eq!(format!("{}", verdict.boot), "yes (silicon)", "{:?}", verdict.boot.reasons);
        assert_eq!(verdict.closed, Answer::Yes);
        assert_eq!(verdict.vector, TrustVector { instance_identity: 2, configuration: 2, executables: 2, hardware: 2 });
        assert_eq!(verdict.boot.tier(), 2);
    }

    #[test]
    fn without_a_policy_every_part_is_unknown() {
        let verdict = Case::good().under(None);
        assert!(verdict.parts().iter().all(|(_, part)| part.answer == Answer::Unknown));
        assert_eq!((verdict.closed, verdict.policy_digest), (Answer::Unknown, None));
    }

    #[test]
    fn a_policy_that_pins_nothing_is_unknown() {
        let mut case = Case::good();
        case.policy = "roots = [\"silicon\"]\nmax_age_s = 300\n".into();
        assert_eq!(case.boot().0, Answer::Unknown);
    }

    #[test]
    fn a_key_without_an_enrolment_record_is_unknown_whatever_it_quotes() {
        let mut case = Case::good();
        case.standing = Standing::NotEnrolled;
        assert_eq!(case.boot().0, Answer::Unknown);
        assert_eq!(case.verdict().vector, TrustVector::default());
    }

    #[test]
    fn a_test_root_counts_only_where_the_policy_asks_for_it_and_is_printed_so() {
        let mut case = Case::good();
        case.standing = enrolled(RootClass::Test, TEST, None);
        assert_eq!(case.boot(), (Answer::Unknown, "the policy does not ask for roots of class test".into()));
        case.policy = case.policy.replace("roots = [\"silicon\"]", "roots = [\"test\"]");
        let verdict = case.verdict();
        assert_eq!((format!("{}", verdict.boot).as_str(), verdict.boot.tier()), ("yes (test)", 32));
    }

    #[test]
    fn a_virtual_tpm_is_the_testimony_of_its_operator_and_never_silicon() {
        let mut case = Case::good();
        case.policy = case.policy.replace("roots = [\"silicon\"]", "roots = [\"virtual\"]");
        let of_cloud = [Link { what: String::new(), basis: Basis::Testimony("a cloud".into()) }];
        case.standing = enrolled(RootClass::Virtual, of_cloud.to_vec().leak(), None);
        assert_eq!(format!("{}", case.verdict().boot), "yes (testimony: a cloud)");
    }

    #[test]
    fn another_verifiers_record_is_its_testimony() {
        let mut case = Case::good();
        case.standing = enrolled(RootClass::Silicon, SILICON, Some("auditor"));
        assert_eq!(format!("{}", case.verdict().boot), "yes (testimony: auditor)");
    }

    #[test]
    fn learned_values_are_the_testimony_of_who_learned_them() {
        let mut case = Case::good();
        case.policy.push_str("[[learned]]\nby = \"ops\"\nwhen = \"2026\"\n");
        for bank in &case.boot.banks {
            let zero = case.boot.extends(*bank, 0);
            case.policy = format!("{}[learned.extends.{}]\n{zero}", case.policy.replace(&zero, ""), bank.name());
        }
        assert_eq!(format!("{}", case.verdict().boot), "yes (testimony: ops)");
    }

    #[test]
    fn a_denied_ek_or_ak_is_no() {
        for deny in [format!("deny_ek = [\"{}\"]\n", hex(&NODE_ID)), format!("deny_ak = [\"{}\"]\n", hex(b"ak"))] {
            let mut case = Case::good();
            case.policy = format!("{deny}{}", case.policy);
            assert_eq!(case.boot(), (Answer::No, "the policy denies this key".into()));
        }
    }

    #[test]
    fn a_tpm_restart_is_no() {
        let mut case = Case::good();
        case.counters = CounterState::Restarted { restart_count: 1 };
        assert_eq!(case.boot().0, Answer::No);
    }

    #[test]
    fn counters_that_fell_are_no() {
        let at = |reset_count| ClockInfo { clock_ms: 1, reset_count, restart_count: 0, safe: true };
        let mut case = Case::good();
        case.counters = CounterState::Fell { known: at(14), found: at(13) };
        let (answer, reason) = case.boot();
        assert!(answer == Answer::No && reason.starts_with("counters fell: resetCount 14"), "{reason}");
    }

    #[test]
    fn evidence_older_than_the_policy_accepts_is_unknown() {
        let mut case = Case::good();
        case.age_s = 300;
        assert_eq!(case.boot().0, Answer::Yes);
        case.age_s = 301;
        assert_eq!(case.boot().0, Answer::Unknown);
    }

    #[test]
    fn a_bank_that_the_quote_does_not_name_is_unknown() {
        let mut case = Case::good();
        case.boot.unallocated.pop();
        let expected = "the quote does not say whether bank sha512 is allocated";
        assert_eq!(case.boot(), (Answer::Unknown, expected.into()));
    }

    #[test]
    fn a_pcr_left_out_of_an_allocated_bank_is_unknown() {
        let mut case = Case::good();
        case.boot.selection &= !(1 << 16);
        assert_eq!(case.boot(), (Answer::Unknown, "the quote leaves out PCRs of bank sha1".into()));
    }

    /// TPM Carte Blanche (CVE-2021-42299): the firmware measured into one bank, something later filled the other.
    #[test]
    fn a_bank_of_the_firmware_that_does_not_replay_is_no_although_another_one_does() {
        let case = Case::good();
        let mut log = case.boot.log();
        let sha1 = RustEngine.digest(Hash::Sha1, &[b"firmware"]);
        let at = log.windows(20).position(|bytes| bytes == sha1.as_bytes()).unwrap();
        log.get_mut(at).map(|byte| *byte ^= 1).unwrap();
        let policy = Policy::parse(case.policy.as_bytes(), &RustEngine).unwrap();
        let judge = |boot: &MeasuredBoot<'_>| appraise(&RustEngine, case.facts(boot), Some(&policy));
        let verdict = case.boot.measured(Some(&log), judge);
        assert_eq!(verdict.boot.answer, Answer::No);
        assert_eq!(verdict.boot.reasons, ["PCR 0 of sha1: the event log does not replay to it"]);
    }

    #[test]
    fn an_allocated_bank_without_a_log_is_unknown_although_the_policy_states_another_one() {
        let mut case = Case::good();
        case.with_log = false;
        let (answer, reason) = case.boot();
        assert_eq!((answer, reason.as_str()), (Answer::Unknown, "PCR 0 of sha1 is not covered by the event log"));
    }

    #[test]
    fn a_tpm_with_sha1_alone_is_never_a_yes() {
        let mut case = Case::good();
        case.boot.banks = Vec::from([Hash::Sha1]);
        case.boot.unallocated.push(Hash::Sha256);
        let expected = "no SHA-2 bank is allocated, and SHA-1 carries no policy";
        assert_eq!(case.boot(), (Answer::Unknown, expected.into()));
    }

    /// TPM Carte Blanche again, with a log that its owner wrote: each event has the digest that the bank wants to see.
    #[test]
    fn a_bank_that_shows_another_image_is_no_although_log_and_policy_agree_on_its_neighbour() {
        for (banks, truthful) in
            [([Hash::Sha1, Hash::Sha256], Hash::Sha1), ([Hash::Sha256, Hash::Sha384], Hash::Sha384)]
        {
            let mut case = Case::good();
            case.boot.banks = Vec::from(banks);
            case.boot.unallocated = Hash::ALL.into_iter().filter(|hash| !banks.contains(hash)).collect();
            case.policy = case.policy.replace(&extends(&Boot::good()), &extends(&case.boot));
            assert_eq!(case.boot(), (Answer::Yes, String::new()));
            case.boot = case.boot.changed(|events| {
                let image = events.iter_mut().find(|event| event.measured == b"uki").unwrap();
                image.otherwise = Some((truthful, Some(b"evil".to_vec())));
            });
            let (answer, reason) = case.boot();
            assert_eq!(answer, Answer::No);
            let expected = format!("PCR 4, event 18: boot application {}:", truthful.name());
            assert!(reason.starts_with(&expected), "{reason}");
        }
    }

    #[test]
    fn a_bank_that_loader_and_kernel_left_empty_is_no() {
        for pcr in [4, 9, 11] {
            let mut case = Case::good();
            case.boot = case.boot.changed(|events| {
                let own = events.iter_mut().filter(|event| event.pcr == pcr);
                own.for_each(|event| event.otherwise = Some((Hash::Sha1, None)));
            });
            let (answer, reason) = case.boot();
            assert!(answer == Answer::No && reason.starts_with(&format!("PCR {pcr}: ")), "{reason}");
        }
    }

    #[test]
    fn an_allocated_bank_of_which_the_policy_states_nothing_is_unknown() {
        let mut case = Case::good();
        let (before, _) = case.policy.split_once("[image.extends.sha1]").unwrap();
        let (_, sha256) = case.policy.split_once("[image.extends.sha256]").unwrap();
        case.policy = format!("{before}[image.extends.sha256]{sha256}");
        let expected = "bank sha1 is allocated, and the policy states nothing of it";
        assert_eq!(case.verdict().boot.reasons, [expected]);
        assert_eq!((case.boot().0, case.verdict().vector.executables), (Answer::Unknown, 0));
        case.boot.banks.push(Hash::Sha384);
        case.boot.unallocated = Vec::from([Hash::Sha512]);
        let expected = "bank sha384 is allocated, and the policy states nothing of it";
        assert_eq!(case.boot(), (Answer::Unknown, expected.into()));
    }

    #[test]
    fn banks_that_show_different_images_are_no_although_each_image_is_accepted() {
        let mut case = Case::good();
        let other = Boot::good().changed(|events| {
            let own = events.iter_mut().filter(|event| [4, 11].contains(&event.pcr));
            own.for_each(|event| event.measured.push(b'2'));
        });
        case.policy.push_str(&format!("[[image]]\nname = \"open\"\n{}", extends(&other)));
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::Yes, Answer::Yes));
        case.boot = case.boot.changed(|events| {
            for event in events.iter_mut().filter(|event| [4, 11].contains(&event.pcr)) {
                event.otherwise = Some((Hash::Sha1, Some([&event.measured[..], b"2"].concat())));
            }
        });
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::No, Answer::No));
    }

    #[test]
    fn a_bank_that_the_os_closed_agrees_and_carries_nothing() {
        let mut case = Case::good();
        case.boot.capped = Some(Hash::Sha1);
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::Yes, Answer::Yes));
        case.boot.capped = Some(Hash::Sha256);
        let expected = "the OS closed every SHA-2 bank, and none carries the policy";
        assert_eq!(case.boot(), (Answer::Unknown, expected.into()));
    }

    #[test]
    fn a_bank_that_a_pin_accepts_does_not_show_the_closed_image() {
        let mut case = Case::good();
        case.boot = case.boot.changed(|events| {
            let image = events.iter_mut().find(|event| event.measured == b"uki").unwrap();
            image.otherwise = Some((Hash::Sha1, Some(b"open".to_vec())));
        });
        case.policy.push_str(&format!("[pins.sha1]\n4 = [\"{}\"]\n", case.boot.value(Hash::Sha1, 4)));
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::Yes, Answer::Unknown));
    }

    #[test]
    fn a_load_option_is_no_with_the_event_that_measured_it() {
        let mut case = Case::good();
        case.boot = case.boot.and(plain(12, EventType::IPL, &utf16("ro debug\0")));
        let expected = "PCR 12, event 22: kernel command line \"ro debug\" is not in the policy";
        assert_eq!(case.boot(), (Answer::No, expected.into()));
        assert_eq!(case.verdict().closed, Answer::No);
        assert_eq!(case.verdict().vector.executables, CONTRAINDICATED);
    }

    #[test]
    fn a_boot_is_yes_and_not_closed_without_the_configuration_in_the_policy() {
        let mut case = Case::good();
        case.configuration = Some([0xdd; 32]);
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::Yes, Answer::Unknown));
        case.configuration = None;
        assert_eq!(case.verdict().closed, Answer::Unknown);
        let mut case = Case::good();
        case.policy = case.policy.replace("configurations", "# configurations");
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::Yes, Answer::Unknown));
    }

    #[test]
    fn an_image_that_nobody_declares_closed_is_not() {
        let mut case = Case::good();
        case.policy = case.policy.replace("closed = true", "closed = false");
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::Yes, Answer::Unknown));
    }

    #[test]
    fn pins_of_another_image_do_not_make_it_the_closed_one() {
        let mut case = Case::good();
        case.boot = case.boot.changed(|events| {
            let open = events.iter_mut().filter(|event| [4, 9, 11].contains(&event.pcr));
            open.for_each(|event| event.measured.push(b'2'));
        });
        for bank in &case.boot.banks {
            let pin = |pcr| format!("{pcr} = [\"{}\"]\n", case.boot.value(*bank, pcr));
            case.policy.push_str(&format!("[pins.{}]\n{}", bank.name(), [4, 9, 11].map(pin).concat()));
        }
        assert_eq!((case.verdict().boot.answer, case.verdict().closed), (Answer::Yes, Answer::Unknown));
    }

    #[test]
    fn an_answer_bound_to_no_channel_says_so() {
        assert!(Case::good().verdict().residual_trust.iter().any(|what| what.contains("bound to no channel")));
    }

    /// One ima-ng entry (Linux, Documentation/security/IMA-templates.rst), and its template data, which PCR 10 gets.
    fn ima_entry(digest: &[u8], path: &str) -> (Vec<u8>, Vec<u8>) {
        let file = [b"sha256:\0", digest].concat();
        let name = [path.as_bytes(), &[0]].concat();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let data = [&length(&file)[..], &file, &length(&name), &name].concat();
        let template_digest = RustEngine.digest(Hash::Sha1, &[&data]);
        let head = [&10u32.to_le_bytes()[..], template_digest.as_bytes(), &6u32.to_le_bytes(), b"ima-ng"].concat();
        ([&head[..], &length(&data), &data].concat(), data)
    }

    /// The first reasons under a policy that accepts one file, for a list of (digest, path).
    fn with_files(entries: &[([u8; 32], &str)], is_sent: bool) -> (Answer, String) {
        let mut case = Case::good();
        case.policy
            .push_str(&format!("[ima]\nfiles = [\"sha256:{}\"]\nunchecked_paths = [\"/var/\"]\n", hex(&[7; 32])));
        let mut list = Vec::new();
        for (digest, path) in entries {
            let (entry, data) = ima_entry(digest, path);
            list.extend(entry);
            case.boot.measured.push(plain(10, EventType::IPL, &data));
        }
        let policy = Policy::parse(case.policy.as_bytes(), &RustEngine).unwrap();
        let boot = case.boot.measured_with(Some(&case.boot.log()), is_sent.then_some(&list[..]), |boot| {
            appraise(&RustEngine, case.facts(boot), Some(&policy)).boot
        });
        (boot.answer, boot.reasons.first().cloned().unwrap_or_default())
    }

    fn aggregate() -> [u8; 32] {
        let boot = Boot::good();
        let values: Vec<Vec<u8>> = (0..10).map(|pcr| boot.value(Hash::Sha256, pcr).as_bytes().to_vec()).collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        RustEngine.digest(Hash::Sha256, &values).as_bytes().try_into().unwrap()
    }

    #[test]
    fn a_file_that_the_policy_does_not_accept_is_no_and_named() {
        let first = (aggregate(), "boot_aggregate");
        assert_eq!(with_files(&[first, ([7; 32], "/bin/a"), ([8; 32], "/var/x")], true), (Answer::Yes, String::new()));
        let expected = "IMA entry 1: \"/bin/b\" is not in the policy";
        assert_eq!(with_files(&[first, ([8; 32], "/bin/b")], true), (Answer::No, expected.into()));
    }

    #[test]
    fn an_ima_list_of_another_boot_is_no_and_a_missing_one_unknown() {
        let expected = "IMA entry 0 is not the aggregate of this boot";
        assert_eq!(with_files(&[([7; 32], "boot_aggregate")], true), (Answer::No, expected.into()));
        assert_eq!(with_files(&[([0; 32], "boot_aggregate")], true), (Answer::No, expected.into()));
        let expected = "no IMA list leads to PCR 10";
        assert_eq!(with_files(&[(aggregate(), "boot_aggregate")], false), (Answer::Unknown, expected.into()));
    }

    #[test]
    fn l6_what_the_os_extends_after_exit_boot_services_is_no() {
        let exit = plain(5, EventType::EFI_ACTION, EXIT_BOOT_SERVICES);
        for pcr in BOOT_PCRS {
            let mut case = Case::good();
            case.boot = case.boot.and(exit.clone());
            assert_eq!(case.boot().0, Answer::Yes);
            case.boot = case.boot.and(thing(pcr, EventType::EFI_BOOT_SERVICES_APPLICATION, b"uki"));
            let (answer, reason) = case.boot();
            assert!(answer == Answer::No && reason.starts_with(&format!("PCR {pcr}, event 23: ")), "{reason}");
        }
    }

    #[test]
    fn loader_configuration_without_exit_boot_services_is_unknown_and_with_it_no() {
        let mut case = Case::good();
        case.boot.measured.push(thing(5, EventType::EFI_ACTION, b"not in the log"));
        let (answer, reason) = case.boot();
        assert!(answer == Answer::Unknown && reason.contains("ends before ExitBootServices"), "{reason}");
        case.boot = case.boot.and(plain(5, EventType::EFI_ACTION, EXIT_BOOT_SERVICES));
        assert_eq!(case.boot(), (Answer::No, "PCR 5 of sha1: the event log does not replay to it".into()));
    }
}
