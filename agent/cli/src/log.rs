//! `garant log`: what a boot event log says, how far its digests cover it, and the PCR values it leads to.
//!
//! No quote is compared here, so nothing of this is proven of any machine.

use crate::{
    event_words::{covered_words, hex, untrusted_words},
    failure::Failure,
    input,
    output::{Answer, Output},
};
use garant_attest::replay::{CoveredData, ReplayedBank, ReplayedLog, replay};
use garant_channel::engine::FastEngine;
use garant_hw::{
    budget,
    eventlog::{Event, EventLog, EventType, Format, LogError},
    hash::Hash,
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Show a boot event log and the PCR values that it leads to.
///
/// The log proves nothing by itself: compare the PCR values with a quote (`garant check`), or on the machine itself with
/// /sys/class/tpm/tpm0/pcr-sha256.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The log, for example /sys/kernel/security/tpm0/binary_bios_measurements; `-` for standard input.
    file: PathBuf,
}

/// Prints the log; a log with a fault up to there.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    show(&input::read(&args.file, budget::LOG_BYTES)?, &args.file, output)
}

/// Prints the log in these bytes of this file.
pub(crate) fn show(bytes: &[u8], file: &Path, output: &Output) -> Result<Answer, Failure> {
    let failure = |fault: LogError| Failure::new(fault, file.display(), next(fault));
    let log = EventLog::parse(bytes).map_err(failure)?;
    let read = ReadLog::new(&log);
    output.show(&read)?;
    read.replayed.fault().map_or(Ok(Answer::Yes), |fault| Err(failure(fault)))
}

fn next(fault: LogError) -> &'static str {
    match fault {
        LogError::NotATpmLog => "verify it with a quote of that confidential VM's platform; garant reads logs of TPMs",
        _ => {
            "copy the log again, from /sys/kernel/security/tpm0/binary_bios_measurements; \
             if it stays so, the machine's firmware wrote it"
        }
    }
}

/// A log with its replay.
struct ReadLog<'l, 'a> {
    log: &'l EventLog<'a>,
    carrying: Hash,
    entries: Vec<(Event<'a>, Option<CoveredData<'a>>)>,
    replayed: ReplayedLog,
}

impl<'l, 'a> ReadLog<'l, 'a> {
    fn new(log: &'l EventLog<'a>) -> ReadLog<'l, 'a> {
        let carrying = CARRYING.into_iter().find(|bank| log.has_bank(*bank)).unwrap_or(Hash::Sha1);
        let mut entries = Vec::new();
        let replayed = replay(&FastEngine, log, carrying, |event, covered| entries.push((*event, covered)));
        ReadLog { log, carrying, entries, replayed }
    }

    /// Banks that are replayed, in the order of the log's header.
    fn banks(&self) -> impl Iterator<Item = &ReplayedBank> {
        let known = self.log.banks().iter().filter_map(|bank| Hash::from_algorithm_id(bank.algorithm_id));
        known.map(|bank| self.replayed.bank(bank))
    }

    /// Events but for the header of the crypto-agile format, which is none of the boot's.
    fn events(&self) -> u32 {
        match self.log.format() {
            Format::CryptoAgile { .. } => self.replayed.events().saturating_sub(1),
            Format::LegacySha1 => self.replayed.events(),
        }
    }

    fn header(&self) -> String {
        let banks: Vec<String> = self.log.banks().iter().map(ToString::to_string).collect();
        let format = match self.log.format() {
            Format::CryptoAgile { .. } => "crypto-agile event log",
            Format::LegacySha1 => "event log in the old SHA-1 format, which no policy accepts",
        };
        format!("{format}, {} events, banks {}", self.events(), banks.join(", "))
    }

    fn info(&self) -> Value {
        let banks: Vec<String> = self.log.banks().iter().map(ToString::to_string).collect();
        let mut info = match self.log.format() {
            Format::CryptoAgile { major, minor, errata, uintn } => json!({
                "banks": banks,
                "format": "crypto-agile",
                "spec": format!("{major}.{minor:02} errata {errata}"),
                "uintn": uintn,
            }),
            Format::LegacySha1 => json!({ "banks": banks, "format": "legacy-sha1" }),
        };
        if let (Value::Object(info), 1..) = (&mut info, self.unread_bytes()) {
            info.insert("trailing".to_owned(), self.unread_bytes().into());
        }
        info
    }

    /// Padding behind the last event, or what a fault kept from being read.
    fn unread_bytes(&self) -> usize {
        let mut events = self.log.events();
        events.by_ref().for_each(drop);
        events.unread_bytes()
    }

    fn words(&self, event: &Event<'_>, covered: Option<CoveredData<'_>>) -> String {
        match (covered, event.digest(self.carrying)) {
            (Some(covered), _) => covered_words(event, covered),
            (None, Some(digest)) if event.is_measured() => {
                format!("{}:{} untrusted: {}", self.carrying.name(), hex(digest), untrusted_words(event))
            }
            (None, _) => format!("untrusted: {}", untrusted_words(event)),
        }
    }

    fn entry(&self, event: &Event<'_>, covered: Option<CoveredData<'_>>) -> Value {
        let digests =
            Hash::ALL.into_iter().filter_map(|bank| Some((bank.name().to_owned(), hex(event.digest(bank)?).into())));
        let (data, says) = match covered {
            Some(data) => (("data", hex(data.bytes())), ("says", covered_words(event, data))),
            None => (("untrusted_data", hex(event.untrusted_data)), ("untrusted_says", untrusted_words(event))),
        };
        json!({
            "number": event.number,
            "pcr": event.pcr,
            "type": event.event_type.to_string(),
            "digests": Map::from_iter(digests),
            (data.0): data.1,
            (says.0): says.1,
        })
    }

    /// Digests of the boot applications; the only thing that is measured of them.
    fn applications(&self) -> Value {
        let is_application = |event: &Event<'_>| event.event_type == EventType::EFI_BOOT_SERVICES_APPLICATION;
        let digests = |bank: &ReplayedBank| {
            let events = self.entries.iter().map(|(event, _)| event).filter(|event| is_application(event));
            let digests: Vec<Value> = events.filter_map(|event| Some(hex(event.digest(bank.bank())?).into())).collect();
            (bank.bank().name().to_owned(), Value::from(digests))
        };
        Map::from_iter(self.banks().map(digests)).into()
    }
}

impl ReadLog<'_, '_> {
    /// Whether the log goes on to where the operating system takes over, past the last boot application (PFP 1.06,
    /// §10.4.1, EV_EFI_ACTION). Kernels that do not append the firmware's final events cut it before.
    fn leaves_boot_services(&self) -> bool {
        self.entries.iter().any(|(event, covered)| {
            let is_action = event.event_type == EventType::EFI_ACTION && event.pcr == EXIT_BOOT_SERVICES_PCR;
            is_action && covered.is_some_and(|data| data.bytes() == EXIT_BOOT_SERVICES)
        })
    }
}

impl fmt::Display for ReadLog<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.header())?;
        writeln!(
            f,
            "what no digest covers is marked untrusted; without a quote nothing here is proven of a machine\n"
        )?;
        for (event, covered) in &self.entries {
            let pcr = if event.is_measured() { event.pcr.to_string() } else { "-".to_owned() };
            let (number, kind) = (event.number, event.event_type.to_string());
            writeln!(f, "{number:>5} {pcr:>3} {kind:<33} {}", self.words(event, *covered))?;
        }
        if !self.leaves_boot_services() {
            writeln!(
                f,
                "\nno event covers the end of boot services: more boot applications may have run than are listed"
            )?;
        }
        for bank in self.banks() {
            writeln!(f, "\n{}", bank.bank().name())?;
            pcr_values(bank).try_for_each(|(pcr, value)| match value {
                Ok(value) => writeln!(f, "{pcr:>9} {value}"),
                Err(event) => writeln!(f, "{pcr:>9} not covered: event {event} has no digest of this bank"),
            })?;
        }
        Ok(())
    }
}

impl Serialize for ReadLog<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by_pcr = |bank: &ReplayedBank| {
            let values = pcr_values(bank).filter_map(|(pcr, value)| Some((pcr.to_string(), value.ok()?.into())));
            (bank.bank().name().to_owned(), Value::from(Map::from_iter(values)))
        };
        let not_covered = |bank: &ReplayedBank| {
            let values: Vec<usize> = pcr_values(bank).filter(|(_, value)| value.is_err()).map(|(pcr, _)| pcr).collect();
            (bank.bank().name().to_owned(), Value::from(values))
        };
        let entries: Vec<Value> = self.entries.iter().map(|(event, covered)| self.entry(event, *covered)).collect();
        let report = json!({
            "events": self.events(),
            "info": self.info(),
            "pcrs": Map::from_iter(self.banks().map(by_pcr)),
            "not_covered": Map::from_iter(self.banks().map(not_covered)),
            "start_locality": self.replayed.start_locality(),
            "efi_app_digests": self.applications(),
            "efi_apps_complete": self.leaves_boot_services(),
            "data_checked_in": self.carrying.name(),
            "entries": entries,
            "fault": self.replayed.fault().map(|fault| fault.to_string()),
        });
        report.serialize(serializer)
    }
}

/// PCRs that events extend, each with its value, or with the first event that has no digest for this bank.
fn pcr_values(bank: &ReplayedBank) -> impl Iterator<Item = (usize, Result<String, u32>)> {
    let extended = (0..24).filter_map(|pcr| Some((pcr, bank.pcr(pcr)?))).filter(|(_, pcr)| pcr.events() > 0);
    extended.map(|(number, pcr)| (number, pcr.uncovered().map_or_else(|| Ok(pcr.value().to_string()), Err)))
}

/// The bank in which data is checked: SHA-1 only where there is no other.
const CARRYING: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

/// PFP 1.06, §3.3.4.6.
const EXIT_BOOT_SERVICES_PCR: u32 = 5;
/// PFP 1.06, §10.4.1.
const EXIT_BOOT_SERVICES: &[u8] = b"Exit Boot Services Invocation";

const EXAMPLES: &str = "\
Examples:
  sudo garant log /sys/kernel/security/tpm0/binary_bios_measurements
  ssh node sudo cat /sys/kernel/security/tpm0/binary_bios_measurements | garant log --json -";
