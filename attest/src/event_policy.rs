//! Whether a policy accepts every event of a replayed PCR. An event counts by its digest; its data only where that
//! digest covers it, and its type never alone.

use crate::{
    engine::{Engine, sha256},
    event_words::{self, quoted},
    policy::{Image, Policy},
};
use alloc::{format, string::String, vec::Vec};
use garant_hw::{
    eventdata::{EventData, Guid, Variable},
    eventlog::{Event, EventType},
    hash::Hash,
};

/// What the policy says of all events of one PCR together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventAnswer {
    /// There is at least one, and each is accepted; how, in words.
    AllAccepted(String),
    /// One is not, or one that must be there is missing; which, in words.
    Refused(String),
    /// The policy has no rule for events of this PCR, or there are none.
    Silent,
}

/// Judges the extending events of one PCR, in the order of the log. The caller has replayed them to the quoted value.
pub fn judge(
    engine: &dyn Engine,
    hash: Hash,
    policy: &Policy,
    image: Option<&Image>,
    pcr: u32,
    events: &[Event<'_>],
) -> EventAnswer {
    if events.is_empty() || !has_rule(policy, image, pcr) {
        return EventAnswer::Silent;
    }
    let (separated, started, has_initrd) = (false, false, false);
    let mut judge = Judge { engine, hash, policy, image, separated, started, has_initrd, variables: Vec::new() };
    let mut before = None;
    for event in events {
        if let Err(reason) = judge.event(event) {
            let words = event_words::describe(engine, hash, event, before);
            return EventAnswer::Refused(format!("PCR {pcr}, event {}: {words} {reason}", event.number));
        }
        before = Some(event);
    }
    match judge.missing(pcr) {
        Some(what) => EventAnswer::Refused(format!("PCR {pcr}: {what}")),
        None => EventAnswer::AllAccepted(format!("each of its {} events is accepted", events.len())),
    }
}

/// Whether the policy speaks of events of this PCR at all.
fn has_rule(policy: &Policy, image: Option<&Image>, pcr: u32) -> bool {
    policy.names_event_of(pcr)
        || match pcr {
            BOOT_APPLICATIONS => image.is_some_and(Image::names_applications),
            SECURE_BOOT => policy.secure_boot().enabled().is_some(),
            KERNEL => image.is_some_and(|image| image.names_initrd() || image.cmdline.is_some()),
            _ => COMMAND_LINE_PCRS.contains(&pcr) && image.is_some_and(|image| image.cmdline.is_some()),
        }
}

struct Judge<'p> {
    engine: &'p dyn Engine,
    hash: Hash,
    policy: &'p Policy,
    image: Option<&'p Image>,
    separated: bool,
    /// Whether the image itself was measured: its kernel alone would take options from whoever starts it.
    started: bool,
    /// Whether its initrd was.
    has_initrd: bool,
    variables: Vec<&'static str>,
}

impl Judge<'_> {
    fn event(&mut self, event: &Event<'_>) -> Result<(), &'static str> {
        let digest = event.digest(self.hash).ok_or("has no digest in this bank")?;
        self.started |= self.image.is_some_and(|image| image.is_main_application(digest));
        self.has_initrd |= self.image.is_some_and(|image| image.is_initrd(digest));
        if self.policy.accepts_event(event.pcr, digest).is_some() {
            return Ok(());
        }
        let data = event_words::covered_data(self.engine, self.hash, event);
        match (event.event_type, event.pcr, data) {
            (EventType::SEPARATOR, 0..=SECURE_BOOT, data) => self.separator(data),
            (EventType::EFI_ACTION, BOOT_APPLICATIONS, Some(EventData::Other(text))) => accept(ACTIONS.contains(&text)),
            (EventType::EFI_VARIABLE_DRIVER_CONFIG, SECURE_BOOT, Some(EventData::Variable(variable))) => {
                self.variable(&variable)
            }
            (EventType::EFI_VARIABLE_AUTHORITY, SECURE_BOOT, Some(EventData::Variable(variable))) => {
                let content = sha256(self.engine, &[variable.content()]);
                accept(self.policy.secure_boot().accepts_authority(&content))
            }
            (EventType::EFI_BOOT_SERVICES_APPLICATION, BOOT_APPLICATIONS, _) => {
                // An OS that came up from the kernel alone can measure the image afterwards, but not before.
                accept(self.started && self.image.is_some_and(|image| image.is_application(digest)))
            }
            _ => accept(self.is_of_image(event, digest)),
        }
    }

    /// One separator, of value 0 (TCG PC Client Platform Firmware Profile 1.06, 3.3.2.2: 0xFFFFFFFF tells of an error).
    fn separator(&mut self, data: Option<EventData<'_>>) -> Result<(), &'static str> {
        if self.separated {
            return Err("is a second separator");
        }
        self.separated = true;
        if data == Some(EventData::Separator(0)) { Ok(()) } else { Err("tells of an error of the firmware") }
    }

    /// A variable of the secure boot policy: each once, and before the separator.
    fn variable(&mut self, variable: &Variable<'_>) -> Result<(), &'static str> {
        let is_it = |(vendor, name): &(Guid, &str)| variable.vendor() == *vendor && variable.is_named(name);
        let (_, name) = SECURE_BOOT_VARIABLES.into_iter().find(is_it).ok_or(NOT_IN_POLICY)?;
        if self.separated {
            return Err("comes after the separator");
        }
        if self.variables.contains(&name) {
            return Err("is measured a second time");
        }
        self.variables.push(name);
        let secure_boot = self.policy.secure_boot();
        accept(match name {
            STATE => secure_boot.enabled().map(u8::from).is_some_and(|expected| variable.content() == [expected]),
            name => secure_boot.accepts_variable(name, &sha256(self.engine, &[variable.content()])),
        })
    }

    fn is_of_image(&self, event: &Event<'_>, digest: &[u8]) -> bool {
        let Some(image) = self.image else { return false };
        let is_initrd = event.pcr == KERNEL && image.is_initrd(digest);
        let command_line = event_words::command_line(self.engine, self.hash, event);
        is_initrd || (command_line.is_some() && command_line == image.cmdline)
    }

    /// What must be measured and was not. What runs unmeasured is not what the policy names, however good the rest is.
    fn missing(&self, pcr: u32) -> Option<String> {
        if pcr <= SECURE_BOOT && !self.separated {
            return Some("no separator ends what the firmware measured".into());
        }
        if pcr == BOOT_APPLICATIONS && !self.started && self.image.is_some_and(Image::names_applications) {
            return Some("no event measures the image itself".into());
        }
        if pcr == KERNEL && !self.has_initrd && self.image.is_some_and(Image::names_initrd) {
            return Some("no event measures the initrd of the image".into());
        }
        let absent =
            SECURE_BOOT_VARIABLES.into_iter().map(|(_, name)| name).find(|name| !self.variables.contains(name))?;
        (pcr == SECURE_BOOT).then(|| format!("no event measures the variable {}", quoted(absent)))
    }
}

fn accept(is_accepted: bool) -> Result<(), &'static str> {
    if is_accepted { Ok(()) } else { Err(NOT_IN_POLICY) }
}

/// How a reason ends that an event is not among what the policy accepts.
pub const NOT_IN_POLICY: &str = "is not in the policy";

const BOOT_APPLICATIONS: u32 = 4;
const SECURE_BOOT: u32 = 7;
const KERNEL: u32 = 9;
/// Where GRUB (8), the kernel (9) and systemd's stub (12) measure command lines.
const COMMAND_LINE_PCRS: [u32; 3] = [8, KERNEL, 12];
/// What PCR 7 measures first (TCG PC Client Platform Firmware Profile 1.06, 3.3.4.8).
const SECURE_BOOT_VARIABLES: [(Guid, &str); 5] = [
    (Guid::GLOBAL_VARIABLE, STATE),
    (Guid::GLOBAL_VARIABLE, "PK"),
    (Guid::GLOBAL_VARIABLE, "KEK"),
    (Guid::SECURITY_DATABASE, "db"),
    (Guid::SECURITY_DATABASE, "dbx"),
];
const STATE: &str = "SecureBoot";
/// Actions of a boot attempt in PCR 4 (same document, 10.4.1, table 17).
const ACTIONS: [&[u8]; 2] =
    [b"Calling EFI Application from Boot Option", b"Returning from EFI Application from Boot Option"];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::{
        rust_engine::RustEngine,
        samples::{Boot, Measurement, plain, thing, utf16, variable},
    };
    use garant_hw::eventlog::EventLog;

    const HASH: Hash = Hash::Sha256;
    const CONFIG: EventType = EventType::EFI_VARIABLE_DRIVER_CONFIG;

    fn sha256_of(content: &[u8]) -> String {
        format!("{}", RustEngine.digest(HASH, &[content]))
    }

    /// Accepts every event of PCR 4, 7, 9 and 11 of [`Boot::good`].
    fn policy() -> String {
        let event = |pcr: u32, measured: &[u8]| {
            format!("[[event]]\npcr = {pcr}\nname = \"e\"\ndigest = \"sha256:{}\"\n", sha256_of(measured))
        };
        let variables = ["PK", "KEK", "db", "dbx"]
            .map(|name| format!("{} = [\"{}\"]\n", name.to_lowercase(), sha256_of(name.as_bytes())))
            .concat();
        format!(
            "roots = [\"silicon\"]\nmax_age_s = 300\n[secure_boot]\nenabled = true\n{variables}authorities = [\"{}\"]\n\
             [[image]]\nname = \"n\"\nuki = \"sha256:{}\"\ninitrd = \"sha256:{}\"\ncmdline = \"ro\"\n{}{}",
            sha256_of(b"signer"),
            sha256_of(b"uki"),
            sha256_of(b"initrd"),
            event(11, b".cmdline\0"),
            event(11, b"ro"),
        )
    }

    fn answer(boot: &Boot, pcr: u32, policy: &str) -> EventAnswer {
        let policy = Policy::parse(policy.as_bytes(), &RustEngine).unwrap();
        let bytes = boot.log();
        let log = EventLog::parse(&bytes).unwrap();
        let events: Vec<Event<'_>> =
            log.events().map(Result::unwrap).filter(|event| event.is_measured() && event.pcr == pcr).collect();
        judge(&RustEngine, HASH, &policy, policy.images().first(), pcr, &events)
    }

    fn refused(boot: &Boot, pcr: u32) -> String {
        match answer(boot, pcr, &policy()) {
            EventAnswer::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }

    fn position(events: &[Measurement], pcr: u32, event_type: EventType) -> usize {
        events.iter().position(|event| event.pcr == pcr && event.event_type == event_type).unwrap()
    }

    #[test]
    fn events_that_the_policy_names_are_accepted() {
        for pcr in [4, 7, 9, 11] {
            let found = answer(&Boot::good(), pcr, &policy());
            assert!(matches!(found, EventAnswer::AllAccepted(_)), "PCR {pcr}: {found:?}");
        }
    }

    #[test]
    fn a_pcr_without_a_rule_or_without_an_event_is_never_accepted() {
        assert_eq!(answer(&Boot::good(), 0, &policy()), EventAnswer::Silent);
        assert_eq!(answer(&Boot::good(), 12, &policy()), EventAnswer::Silent);
        let nothing = "roots = [\"silicon\"]\nmax_age_s = 300\n";
        for pcr in 0..24 {
            assert_eq!(answer(&Boot::good(), pcr, nothing), EventAnswer::Silent);
        }
    }

    #[test]
    fn a_boot_application_that_no_image_has_is_refused() {
        let boot = Boot::good().and(thing(4, EventType::EFI_BOOT_SERVICES_APPLICATION, b"shell"));
        assert!(refused(&boot, 4).contains("event 22: boot application sha256:"));
    }

    #[test]
    fn an_event_is_accepted_by_its_digest_and_never_by_its_data_or_type() {
        let boot = Boot::good().changed(|events| {
            for event in events.iter_mut().filter(|event| event.event_type == EventType::EFI_ACTION) {
                event.measured = b"Booting something else".to_vec();
            }
        });
        assert!(refused(&boot, 4).contains("EV_EFI_ACTION, sha256:"));
    }

    #[test]
    fn a_second_separator_is_refused() {
        let boot = Boot::good().and(plain(4, EventType::SEPARATOR, &[0; 4]));
        assert!(refused(&boot, 4).ends_with("is a second separator"));
    }

    #[test]
    fn an_error_separator_is_refused() {
        let boot = Boot::good().changed(|events| {
            let at = position(events, 4, EventType::SEPARATOR);
            events[at] = plain(4, EventType::SEPARATOR, &[0xff; 4]);
        });
        assert!(refused(&boot, 4).ends_with("separator 0xffffffff tells of an error of the firmware"));
    }

    #[test]
    fn a_missing_separator_is_refused() {
        let boot = Boot::good().changed(|events| events.retain(|event| event.event_type != EventType::SEPARATOR));
        assert_eq!(refused(&boot, 4), "PCR 4: no separator ends what the firmware measured");
    }

    #[test]
    fn a_secure_boot_variable_after_the_separator_is_refused() {
        let boot = Boot::good().changed(|events| {
            let at = position(events, 7, CONFIG);
            let state = events.remove(at);
            events.push(state);
        });
        assert!(refused(&boot, 7).ends_with("variable \"SecureBoot\" (1) comes after the separator"));
    }

    #[test]
    fn a_secure_boot_variable_measured_twice_is_refused() {
        let boot = Boot::good().changed(|events| {
            let at = position(events, 7, CONFIG);
            events.insert(at, variable(CONFIG, "SecureBoot", &[1]));
        });
        assert!(refused(&boot, 7).ends_with("is measured a second time"));
    }

    #[test]
    fn secure_boot_switched_off_is_refused() {
        for content in [&[0][..], &[], &[1, 1]] {
            let boot = Boot::good().changed(|events| {
                let at = position(events, 7, CONFIG);
                events[at] = variable(CONFIG, "SecureBoot", content);
            });
            assert!(refused(&boot, 7).starts_with("PCR 7, event 3: variable \"SecureBoot\""));
        }
    }

    #[test]
    fn a_variable_of_length_0_and_an_absent_one_are_two_states_and_neither_is_accepted_for_the_other() {
        let empty = Boot::good().changed(|events| {
            let at = position(events, 7, EventType::SEPARATOR);
            events[at - 1] = variable(CONFIG, "dbx", b"");
        });
        assert!(refused(&empty, 7).ends_with("variable \"dbx\" (empty) is not in the policy"));
        let absent = Boot::good().changed(|events| {
            let at = position(events, 7, EventType::SEPARATOR);
            events.remove(at - 1);
        });
        assert_eq!(refused(&absent, 7), "PCR 7: no event measures the variable \"dbx\"");
        let accepts_empty = policy().replace("dbx = [", &format!("dbx = [\"{}\", ", sha256_of(b"")));
        assert!(matches!(answer(&empty, 7, &accepts_empty), EventAnswer::AllAccepted(_)));
        assert!(matches!(answer(&absent, 7, &accepts_empty), EventAnswer::Refused(_)));
    }

    #[test]
    fn a_variable_that_the_policy_does_not_know_is_refused() {
        let boot = Boot::good().changed(|events| {
            let at = position(events, 7, EventType::SEPARATOR);
            events.insert(at, variable(CONFIG, "DeployedMode", &[0]));
        });
        assert!(refused(&boot, 7).ends_with("variable \"DeployedMode\" (0) is not in the policy"));
    }

    #[test]
    fn another_authority_is_refused() {
        let boot = Boot::good().and(variable(EventType::EFI_VARIABLE_AUTHORITY, "db", b"other"));
        assert!(refused(&boot, 7).contains("event 22: variable \"db\" (sha256:"));
    }

    #[test]
    fn an_image_that_no_event_measures_is_missed() {
        let boot = Boot::good().changed(|events| events.retain(|event| event.measured != b"uki"));
        assert_eq!(refused(&boot, 4), "PCR 4: no event measures the image itself");
    }

    #[test]
    fn the_kernel_of_a_unified_image_is_no_boot_without_it() {
        let kernel = thing(4, EventType::EFI_BOOT_SERVICES_APPLICATION, b"kernel");
        let named = policy().replace("initrd =", &format!("kernel = \"sha256:{}\"\ninitrd =", sha256_of(b"kernel")));
        let with_both = Boot::good().and(kernel);
        assert!(matches!(answer(&with_both, 4, &named), EventAnswer::AllAccepted(_)));
        let alone = with_both.changed(|events| events.retain(|event| event.measured != b"uki"));
        assert!(matches!(answer(&alone, 4, &named), EventAnswer::Refused(_)));
        let afterwards = alone.and(plain(5, EventType::EFI_ACTION, b"Exit Boot Services Invocation")).and(thing(
            4,
            EventType::EFI_BOOT_SERVICES_APPLICATION,
            b"uki",
        ));
        let EventAnswer::Refused(why) = answer(&afterwards, 4, &named) else { panic!("the OS measured the image") };
        assert!(why.contains("event 21: boot application sha256:"), "{why}");
    }

    #[test]
    fn an_initrd_of_the_image_that_no_event_measures_is_missed() {
        let boot = Boot::good().changed(|events| {
            let options = plain(9, EventType::IPL, b"kernel_cmdline: ro\0");
            events.retain(|event| event.pcr != 9);
            events.push(Measurement { measured: b"ro".to_vec(), ..options });
        });
        assert_eq!(refused(&boot, 9), "PCR 9: no event measures the initrd of the image");
    }

    #[test]
    fn another_initrd_is_refused() {
        let boot = Boot::good().and(thing(9, EventType::EVENT_TAG, b"other"));
        assert!(refused(&boot, 9).starts_with("PCR 9, event 22:"));
    }

    #[test]
    fn a_command_line_is_compared_whole() {
        let grub = |text: &str| Measurement {
            data: format!("kernel_cmdline: {text}\0").into_bytes(),
            ..plain(8, EventType::IPL, text.as_bytes())
        };
        let found = |event: Measurement| answer(&Boot::good().and(event.clone()), event.pcr, &policy());
        assert!(matches!(found(grub("ro")), EventAnswer::AllAccepted(_)));
        assert!(matches!(found(plain(12, EventType::IPL, &utf16("ro\0"))), EventAnswer::AllAccepted(_)));
        for text in ["ro\0 single\0", "ro\0\0", "ro"] {
            assert!(matches!(found(plain(12, EventType::IPL, &utf16(text))), EventAnswer::Refused(_)), "{text}");
        }
        for text in ["ro ", "ro single", "r", "ro\0kernel_cmdline: ro"] {
            assert!(matches!(found(grub(text)), EventAnswer::Refused(_)), "{text}");
        }
    }
}
