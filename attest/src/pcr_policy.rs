//! Judges each quoted PCR: against the policy's pins, its images and what it learned, and else event by event.
//!
//! A value that the policy states must be met; only where it states none do the events count. What differs is named by
//! the first event that explains it.

use crate::{
    engine::{Digest, Engine},
    event_policy::{self, EventAnswer, NOT_IN_POLICY},
    event_words,
    measured::{MeasuredBoot, PcrState, SentLog},
    policy::{CLOSED_PCRS, Image, Learned, Policy},
    verdict::Answer,
};
use alloc::{format, string::String, vec::Vec};
use core::{cmp::Reverse, fmt};
use garant_hw::{eventlog::Event, hash::Hash};

/// Every allocated bank under a policy. A log can carry the true digest of an event for one bank and an invented one for
/// another, so no bank speaks for its neighbour: each must agree, SHA-1 too, and one of SHA-2 carries the answer.
#[derive(Debug, Clone)]
pub struct JudgedBoot<'p> {
    /// Each allocated bank, SHA-1 last.
    pub banks: Vec<JudgedBank>,
    /// The accepted image whose values fit best, in all banks together.
    pub image: Option<&'p Image>,
    /// Whether the image is declared closed and every bank holds what it extends: itself, its sections, and nothing
    /// from outside. A pin does not count, since it may be another image's.
    pub is_closed_image: bool,
    /// The learned values that fit best, in all banks together.
    pub learned: Option<&'p Learned>,
}

/// The PCRs of one bank under a policy.
#[derive(Debug, Clone)]
pub struct JudgedBank {
    /// The bank.
    pub hash: Hash,
    /// Each PCR that `boot` needs, in order.
    pub pcrs: Vec<JudgedPcr>,
}

/// One PCR under a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedPcr {
    /// Its number.
    pub pcr: u32,
    /// Whether the policy accepts its value.
    pub answer: Answer,
    /// Whether the OS closed it after the accepted value: such a bank agrees, and carries nothing.
    pub is_capped: bool,
    /// Why, in words.
    pub reason: String,
}

impl JudgedBoot<'_> {
    /// No where a bank is refused; yes where all are accepted, and one of them carries.
    pub fn answer(&self) -> Answer {
        let is = |answer: Answer| move |bank: &JudgedBank| bank.answer() == answer;
        if self.banks.iter().any(is(Answer::No)) {
            Answer::No
        } else if self.banks.iter().all(is(Answer::Yes)) && self.banks.iter().any(JudgedBank::carries) {
            Answer::Yes
        } else {
            Answer::Unknown
        }
    }

    /// The answer on one PCR in all banks.
    pub fn pcr(&self, pcr: u32) -> Answer {
        let mut answers = self.banks.iter().map(|bank| bank.pcr(pcr));
        if answers.clone().any(|answer| answer == Answer::No) {
            Answer::No
        } else if !self.banks.is_empty() && answers.all(|answer| answer == Answer::Yes) {
            Answer::Yes
        } else {
            Answer::Unknown
        }
    }

    /// PCRs refused, and then how many are accepted: the fewer and the more, the better.
    fn misses(&self) -> (usize, Reverse<usize>) {
        let pcrs = || self.banks.iter().flat_map(|bank| &bank.pcrs);
        let count = |answer: Answer| pcrs().filter(|pcr| pcr.answer == answer).count();
        (count(Answer::No), Reverse(count(Answer::Yes)))
    }
}

impl JudgedBank {
    /// Yes where every PCR is accepted, no where one is refused.
    pub fn answer(&self) -> Answer {
        let is = |answer: Answer| move |pcr: &JudgedPcr| pcr.answer == answer;
        if self.pcrs.iter().any(is(Answer::No)) {
            Answer::No
        } else if !self.pcrs.is_empty() && self.pcrs.iter().all(is(Answer::Yes)) {
            Answer::Yes
        } else {
            Answer::Unknown
        }
    }

    /// Whether the bank may carry an answer: SHA-1 never does, nor does a bank that the OS closed.
    pub fn carries(&self) -> bool {
        self.hash != Hash::Sha1 && !self.pcrs.iter().any(|pcr| pcr.is_capped)
    }

    /// The answer on one PCR.
    fn pcr(&self, pcr: u32) -> Answer {
        self.pcrs.iter().find(|judged| judged.pcr == pcr).map_or(Answer::Unknown, |judged| judged.answer)
    }
}

/// What is judged.
#[derive(Clone, Copy)]
pub struct Evidence<'e> {
    /// Digests and nothing else.
    pub engine: &'e dyn Engine,
    /// The quoted values beside the log.
    pub boot: &'e MeasuredBoot<'e>,
}

impl<'e> Evidence<'e> {
    /// The events that extended a PCR, where they replay to its quoted value. Its state alone does not say so: the
    /// ledger's PCR is replayed by entry 0 and the commits, whatever the log invents for it.
    pub(crate) fn replayed_events(&self, hash: Hash, pcr: u32) -> Option<Vec<Event<'e>>> {
        let SentLog::Read { log, replayed } = self.boot.log() else { return None };
        let at = usize::try_from(pcr).ok()?;
        let quoted = self.boot.pcrs().bank(hash)?.pcr(at)?;
        let leads_there = replayed.bank(hash).pcr(at)?.value().as_bytes() == quoted;
        if !leads_there || self.boot.state(hash, at) != PcrState::Replayed {
            return None;
        }
        let events = log.events().map_while(Result::ok);
        Some(events.filter(|event| event.pcr == pcr && event.is_measured()).collect())
    }
}

/// Judges the PCRs that `boot` needs, in every allocated bank: under each accepted image, whole, and shows the one that
/// fits best.
pub fn judge<'p>(evidence: Evidence<'_>, policy: &'p Policy) -> JudgedBoot<'p> {
    let mut banks: Vec<Judge<'_>> =
        evidence.boot.pcrs().banks().iter().map(|bank| Judge { evidence, policy, hash: bank.hash() }).collect();
    banks.sort_by_key(|bank| bank.hash == Hash::Sha1);
    let learned = policy.learned().iter().min_by_key(|learned| misses(&banks, learned));
    let under_images = policy.images().iter().map(|image| boot(&banks, Some(image), learned));
    under_images.min_by_key(JudgedBoot::misses).unwrap_or_else(|| boot(&banks, None, learned))
}

fn boot<'p>(banks: &[Judge<'_>], image: Option<&'p Image>, learned: Option<&'p Learned>) -> JudgedBoot<'p> {
    let holds = |image: &Image| !banks.is_empty() && banks.iter().all(|bank| bank.holds(image, &CLOSED_PCRS));
    JudgedBoot {
        banks: banks.iter().map(|bank| bank.bank(image, learned)).collect(),
        image,
        is_closed_image: image.is_some_and(|image| image.closed && holds(image)),
        learned,
    }
}

/// Values of `learned` that differ from the quoted ones, and then how many do not.
fn misses(banks: &[Judge<'_>], learned: &Learned) -> (usize, Reverse<usize>) {
    let stated = banks.iter().flat_map(|bank| {
        BOOT_PCRS.into_iter().filter_map(|pcr| bank.meeting(pcr, learned.value(bank.hash, pcr)?.as_bytes()))
    });
    let (met, missed): (Vec<_>, Vec<_>) = stated.partition(|meeting| *meeting != Meeting::Missed);
    (missed.len(), Reverse(met.len()))
}

struct Judge<'e> {
    evidence: Evidence<'e>,
    policy: &'e Policy,
    hash: Hash,
}

/// How a quoted value stands to a stated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    Met,
    /// It is the stated one, extended once with zeros: the OS closed this bank.
    Capped,
    Missed,
}

impl Judge<'_> {
    fn bank(&self, image: Option<&Image>, learned: Option<&Learned>) -> JudgedBank {
        let pcrs = BOOT_PCRS.into_iter().map(|pcr| self.pcr(pcr, image, learned)).collect();
        JudgedBank { hash: self.hash, pcrs }
    }

    /// Whether these PCRs are as the image states them.
    fn holds(&self, image: &Image, pcrs: &[u32]) -> bool {
        let meeting = |pcr: &u32| self.meeting(*pcr, image.value(self.hash, *pcr)?.as_bytes());
        pcrs.iter().all(|pcr| meeting(pcr).is_some_and(|meeting| meeting != Meeting::Missed))
    }

    /// `None` where the PCR is not quoted.
    fn meeting(&self, pcr: u32, stated: &[u8]) -> Option<Meeting> {
        let quoted = self.quoted(pcr)?;
        let cap = || self.evidence.engine.digest(self.hash, &[stated, Digest::zero(self.hash).as_bytes()]);
        Some(match quoted == stated {
            true => Meeting::Met,
            false if cap().as_bytes() == quoted => Meeting::Capped,
            false => Meeting::Missed,
        })
    }

    fn pcr(&self, pcr: u32, image: Option<&Image>, learned: Option<&Learned>) -> JudgedPcr {
        let mut judged = JudgedPcr { pcr, answer: Answer::Unknown, is_capped: false, reason: String::new() };
        (judged.answer, judged.reason) = if !self.policy.speaks_of(self.hash) {
            let name = self.hash.name();
            (Answer::Unknown, format!("bank {name} is allocated, and the policy states nothing of it"))
        } else if self.quoted(pcr).is_none() {
            (Answer::Unknown, format!("PCR {pcr} of {} is not quoted", self.hash.name()))
        } else {
            self.answer(pcr, image, learned, &mut judged.is_capped)
        };
        judged
    }

    fn answer(
        &self,
        pcr: u32,
        image: Option<&Image>,
        learned: Option<&Learned>,
        is_capped: &mut bool,
    ) -> (Answer, String) {
        let pins = self.policy.pins(self.hash, pcr);
        if pins.iter().any(|pin| self.quoted(pcr) == Some(pin.as_bytes())) {
            return (Answer::Yes, format!("PCR {pcr}: pinned by the policy"));
        }
        let of_image = image.and_then(|image| {
            Some((image.value(self.hash, pcr)?, image.extends(self.hash, pcr)?, Whose::Image(&image.name)))
        });
        let of_firmware = learned.and_then(|learned| {
            Some((learned.value(self.hash, pcr)?, learned.extends(self.hash, pcr)?, Whose::Learned(&learned.by)))
        });
        match of_image.or(of_firmware) {
            Some((value, extends, whose)) => match self.meeting(pcr, value.as_bytes()) {
                Some(Meeting::Met) => (Answer::Yes, format!("PCR {pcr}: as {whose} states")),
                Some(Meeting::Capped) => {
                    *is_capped = true;
                    (Answer::Yes, format!("PCR {pcr}: as {whose} states, then closed by the OS"))
                }
                Some(Meeting::Missed) | None => (Answer::No, self.difference(pcr, extends, &whose)),
            },
            None if !pins.is_empty() => (Answer::No, format!("PCR {pcr}: none of its pinned values")),
            None => self.by_events(pcr, image),
        }
    }

    fn by_events(&self, pcr: u32, image: Option<&Image>) -> (Answer, String) {
        let unknown = |why: String| (Answer::Unknown, why);
        let Some(events) = self.evidence.replayed_events(self.hash, pcr) else {
            return unknown(format!("PCR {pcr}: no event log replays to it, and the policy states no value"));
        };
        match event_policy::judge(self.evidence.engine, self.hash, self.policy, image, pcr, &events) {
            EventAnswer::AllAccepted(how) => (Answer::Yes, format!("PCR {pcr}: {how}")),
            EventAnswer::Refused(why) => (Answer::No, why),
            EventAnswer::Silent => unknown(format!("PCR {pcr}: the policy says nothing of it")),
        }
    }

    /// The first event of the log that differs from what is stated.
    fn difference(&self, pcr: u32, stated: &[Digest], whose: &Whose<'_>) -> String {
        let Some(events) = self.evidence.replayed_events(self.hash, pcr) else {
            return format!("PCR {pcr}: another value than {whose} states, and no event log replays to it");
        };
        let is_stated = |(at, event): (usize, &Event<'_>)| {
            stated.get(at).map(Digest::as_bytes).is_some_and(|stated| event.digest(self.hash) == Some(stated))
        };
        match events.iter().enumerate().position(|found| !is_stated(found)) {
            Some(at) => self.differing_event(pcr, &events, at),
            None => format!("PCR {pcr}: it ends after {} of {} events that {whose} states", events.len(), stated.len()),
        }
    }

    fn differing_event(&self, pcr: u32, events: &[Event<'_>], at: usize) -> String {
        let before = at.checked_sub(1).and_then(|before| events.get(before));
        let Some(event) = events.get(at) else { return format!("PCR {pcr} differs") };
        let words = event_words::describe(self.evidence.engine, self.hash, event, before);
        format!("PCR {pcr}, event {}: {words} {NOT_IN_POLICY}", event.number)
    }

    fn quoted(&self, pcr: u32) -> Option<&[u8]> {
        self.evidence.boot.pcrs().bank(self.hash)?.pcr(usize::try_from(pcr).ok()?)
    }
}

/// Whose word a stated value is.
enum Whose<'p> {
    Image(&'p str),
    Learned(&'p str),
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whose::Image(name) => write!(f, "image {name:?}"),
            Whose::Learned(by) => write!(f, "what {by:?} learned"),
        }
    }
}

/// What `boot: yes` needs: platform code, option ROMs, boot applications, secure boot, loader, kernel and image; the
/// rest is configuration that tells machines apart, or is written after the boot (design, One quote).
pub const BOOT_PCRS: [u32; 10] = [0, 2, 4, 7, 8, 9, 11, 12, 13, 14];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        rust_engine::RustEngine,
        samples::{Boot, plain, thing, utf16},
    };
    use garant_hw::eventlog::EventType;

    const HASH: Hash = Hash::Sha256;

    /// A policy that states all PCRs of this boot in one image.
    fn stating(boot: &Boot) -> String {
        let extends: String = BOOT_PCRS.iter().map(|pcr| boot.extends(HASH, *pcr)).collect();
        format!("[[image]]\nname = \"node\"\n[image.extends.sha256]\n{extends}")
    }

    fn judged(boot: &Boot, log: Option<&[u8]>, policy: &str) -> (Answer, String) {
        let text = format!("roots = [\"silicon\"]\nmax_age_s = 300\n{policy}");
        let policy = Policy::parse(text.as_bytes(), &RustEngine).unwrap();
        let one_bank = Boot { banks: Vec::from([HASH]), ..boot.clone() };
        one_bank.measured(log, |measured| {
            let judged = judge(Evidence { engine: &RustEngine, boot: measured }, &policy);
            let first = judged.banks.iter().flat_map(|bank| &bank.pcrs).find(|pcr| pcr.answer == judged.answer());
            (judged.answer(), first.unwrap().reason.clone())
        })
    }

    fn with_log(boot: &Boot, policy: &str) -> (Answer, String) {
        judged(boot, Some(&boot.log()), policy)
    }

    #[test]
    fn a_boot_that_extends_what_its_image_states_is_accepted_with_and_without_a_log() {
        let boot = Boot::good();
        assert_eq!(with_log(&boot, &stating(&boot)).0, Answer::Yes);
        assert_eq!(judged(&boot, None, &stating(&boot)).0, Answer::Yes);
    }

    #[test]
    fn a_policy_that_states_nothing_makes_every_pcr_unknown() {
        assert_eq!(with_log(&Boot::good(), "").0, Answer::Unknown);
        assert_eq!(judged(&Boot::good(), None, "").0, Answer::Unknown);
    }

    #[test]
    fn one_pcr_that_the_policy_does_not_state_makes_the_bank_unknown() {
        let boot = Boot::good();
        for pcr in BOOT_PCRS {
            let policy = stating(&boot).replace(&boot.extends(HASH, pcr), "");
            assert_eq!(with_log(&boot, &policy).0, Answer::Unknown, "PCR {pcr}");
        }
    }

    #[test]
    fn a_word_more_on_the_command_line_is_named_as_the_event_of_pcr_12() {
        let options = plain(12, EventType::IPL, &utf16("ro init=/bin/sh\0"));
        let boot = Boot::good().and(options);
        let (answer, reason) = with_log(&boot, &stating(&Boot::good()));
        assert_eq!(answer, Answer::No);
        assert_eq!(reason, "PCR 12, event 22: kernel command line \"ro init=/bin/sh\" is not in the policy");
    }

    #[test]
    fn a_text_that_its_digest_does_not_cover_is_not_shown_as_one() {
        let mut options = plain(12, EventType::IPL, &utf16("harmless\0"));
        options.measured = utf16("init=/bin/sh\0");
        let (_, reason) = with_log(&Boot::good().and(options), &stating(&Boot::good()));
        assert!(!reason.contains("harmless"), "{reason}");
        assert!(reason.starts_with("PCR 12, event 22: EV_IPL, sha256:"), "{reason}");
    }

    #[test]
    fn another_image_is_named_by_its_first_event() {
        let other = Boot::good().changed(|events| {
            events
                .iter_mut()
                .filter(|event| event.measured == b"uki")
                .for_each(|event| event.measured = b"evil".to_vec());
        });
        let (answer, reason) = with_log(&other, &stating(&Boot::good()));
        assert_eq!(answer, Answer::No);
        assert!(reason.starts_with("PCR 4, event 18: boot application sha256:"), "{reason}");
    }

    #[test]
    fn a_changed_section_is_named_by_the_name_that_was_measured_before_it() {
        let other = Boot::good().changed(|events| {
            events.iter_mut().filter(|event| event.measured == b"ro").for_each(|event| event.measured = b"rw".to_vec());
        });
        let (_, reason) = with_log(&other, &stating(&Boot::good()));
        assert!(reason.starts_with("PCR 11, event 20: the content of section .cmdline (sha256:"), "{reason}");
    }

    #[test]
    fn a_boot_that_stops_short_of_what_is_stated_is_refused() {
        let shorter = Boot::good().changed(|events| events.retain(|event| event.pcr != 9));
        let (answer, reason) = with_log(&shorter, &stating(&Boot::good()));
        assert_eq!(answer, Answer::No);
        assert!(reason.contains("PCR 9: it ends after 0 of 1 events"), "{reason}");
    }

    #[test]
    fn an_image_is_accepted_whole_or_not_at_all() {
        let good = Boot::good();
        let other = good.clone().changed(|events| {
            events.iter_mut().filter(|event| [4, 11].contains(&event.pcr)).for_each(|event| event.measured.push(b'2'));
        });
        let rollout = format!("{}{}", stating(&good), stating(&other));
        assert_eq!(with_log(&good, &rollout).0, Answer::Yes);
        assert_eq!(with_log(&other, &rollout).0, Answer::Yes);
        let mixed = good.changed(|events| {
            events.iter_mut().filter(|event| event.pcr == 11).for_each(|event| event.measured.push(b'2'));
        });
        assert_eq!(with_log(&mixed, &rollout).0, Answer::No);
    }

    #[test]
    fn a_pin_accepts_its_value_and_refuses_any_other() {
        let boot = Boot::good().and(thing(14, EventType::IPL, b"moks"));
        let pin = |value: &str| {
            let policy = stating(&boot).replace(&boot.extends(HASH, 14), "");
            format!("{policy}[pins.sha256]\n14 = [\"{value}\"]")
        };
        assert_eq!(with_log(&boot, &pin(&format!("{}", boot.value(HASH, 14)))).0, Answer::Yes);
        assert_eq!(with_log(&boot, &pin(&"00".repeat(32))).0, Answer::No);
    }

    #[test]
    fn learned_values_start_at_the_locality_that_was_learned() {
        let boot = Boot::good();
        let policy = format!(
            "{}[[learned]]\nby = \"w\"\nwhen = \"now\"\nlocality = 3\n[learned.extends.sha256]\n{}",
            stating(&boot).replace(&boot.extends(HASH, 0), ""),
            boot.extends(HASH, 0)
        );
        assert_eq!(with_log(&boot, &policy).0, Answer::No);
        assert_eq!(with_log(&boot, &policy.replace("locality = 3", "locality = 0")).0, Answer::Yes);
    }

    #[test]
    fn events_that_a_log_invents_for_the_ledgers_pcr_are_not_accepted() {
        let good = Boot::good();
        let initrd = RustEngine.digest(HASH, &[b"initrd"]);
        let policy = format!(
            "{}[[event]]\npcr = 9\nname = \"initrd\"\ndigest = \"{initrd:?}\"\n",
            stating(&good).replace(&good.extends(HASH, 9), "")
        );
        assert_eq!(with_log(&good, &policy).0, Answer::Yes);
        let mut evil = good;
        evil.measured.retain(|event| event.pcr != 9);
        evil.measured.push(plain(9, EventType::IPL, b"entry 0"));
        evil.ledger_pcr = Some(9);
        assert_eq!(with_log(&evil, &policy).0, Answer::Unknown);
    }

    #[test]
    fn a_pcr_that_is_not_quoted_is_unknown() {
        let mut boot = Boot::good();
        boot.selection &= !(1 << 7);
        let (answer, reason) = with_log(&boot, &stating(&Boot::good()));
        assert_eq!((answer, reason.as_str()), (Answer::Unknown, "PCR 7 of sha256 is not quoted"));
    }
}
