//! Predicts what a unified kernel image extends, without a boot of it: from its bytes, and from the event log of any
//! other boot of the same firmware.
//!
//! What the image and its stub measure is computed. What the firmware measures before it starts an image can only be
//! taken from a log, and rests on the word of whoever took that log. What comes after the kernel's start (PCR 10 of
//! IMA, the ledger) and what tells machines apart (PCR 1, 5, 6) is left out.

use crate::{
    engine::{Digest, Engine},
    event_words::covered_data,
    pcr_policy::BOOT_PCRS,
    pe::PeError,
    replay::replay,
    uki::{self, Uki, UkiError},
};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::fmt;
use garant_hw::{
    eventdata::EventData,
    eventlog::{Event, EventLog, EventType, LogError},
    hash::Hash,
};

/// Digests in the order in which they are extended, for each PCR.
pub type Extends = BTreeMap<u32, Vec<Digest>>;

/// What the firmware of one log measures before it starts a boot application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    hash: Hash,
    secure_boot: bool,
    locality: u8,
    extends: Extends,
}

impl Firmware {
    /// Takes the firmware's part of a log: all events before the first boot application that follows PCR 4's separator.
    pub fn learn(engine: &dyn Engine, log: &EventLog<'_>, hash: Hash) -> Result<Firmware, PredictionError> {
        let locality = replay(engine, log, hash, |_, _| ()).start_locality().unwrap_or(0);
        let mut firmware = Firmware { hash, secure_boot: false, locality, extends: Extends::new() };
        let (mut separated, mut saw_secure_boot) = (false, false);
        for event in log.events() {
            let event = event.map_err(PredictionError::Log)?;
            if separated
                && event.pcr == BOOT_APPLICATIONS
                && event.event_type == EventType::EFI_BOOT_SERVICES_APPLICATION
            {
                return if saw_secure_boot { Ok(firmware) } else { Err(PredictionError::NoSecureBootState) };
            }
            separated |= event.pcr == BOOT_APPLICATIONS && event.event_type == EventType::SEPARATOR;
            if let Some(enabled) = secure_boot_state(engine, hash, &event) {
                (firmware.secure_boot, saw_secure_boot) = (enabled, true);
            }
            firmware.add(&event)?;
        }
        Err(PredictionError::NoBootApplication)
    }

    fn add(&mut self, event: &Event<'_>) -> Result<(), PredictionError> {
        if !event.is_measured() {
            return Ok(());
        }
        if !FIRMWARE_PCRS.contains(&event.pcr) && event.pcr != BOOT_APPLICATIONS {
            return Ok(());
        }
        self.extends.entry(event.pcr).or_default().push(digest(event, self.hash)?);
        Ok(())
    }

    /// Takes all that one boot extended into the PCRs that `boot` needs, as its log says, with the start of PCR 0.
    pub fn learn_boot(engine: &dyn Engine, log: &EventLog<'_>, hash: Hash) -> Result<(u8, Extends), PredictionError> {
        let locality = replay(engine, log, hash, |_, _| ()).start_locality().unwrap_or(0);
        let mut extends: Extends = BOOT_PCRS.into_iter().map(|pcr| (pcr, vec![])).collect();
        for event in log.events() {
            let event = event.map_err(PredictionError::Log)?;
            if let Some(digests) = extends.get_mut(&event.pcr).filter(|_| event.is_measured()) {
                digests.push(digest(&event, hash)?);
            }
        }
        Ok((locality, extends))
    }

    /// The bank.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Locality of the TPM's start, which is where PCR 0 begins.
    pub fn locality(&self) -> u8 {
        self.locality
    }

    /// Whether secure boot was on.
    pub fn secure_boot(&self) -> bool {
        self.secure_boot
    }

    /// What PCR 0, 2, 3 and 7 extend.
    pub fn learned(&self) -> Extends {
        let own = |pcr: u32| (pcr, self.extends.get(&pcr).cloned().unwrap_or_default());
        FIRMWARE_PCRS.into_iter().map(own).collect()
    }

    /// What a boot of `uki`, started by this firmware without load options, extends into PCR 4, 8, 9 and 11 to 14.
    pub fn predict(&self, uki: &Uki<'_>, engine: &dyn Engine) -> Result<Extends, PredictionError> {
        let digest = |bytes: &[u8]| engine.digest(self.hash, &[bytes]);
        let mut applications = self.extends.get(&BOOT_APPLICATIONS).cloned().unwrap_or_default();
        applications.push(uki.image().authenticode(engine, self.hash)?);
        if !self.secure_boot {
            applications.push(uki.kernel().authenticode(engine, self.hash)?);
        }
        let kernel = uki.measured_by_kernel()?.iter().map(|measured| digest(measured.bytes())).collect();
        let sections = uki.measured_sections();
        let sections = sections.flat_map(|(name, content)| [digest(&uki::measured_name(name)), digest(content)]);
        let nothing = || vec![];
        Ok(Extends::from([
            (BOOT_APPLICATIONS, applications),
            (8, nothing()),
            (KERNEL, kernel),
            (SECTIONS, sections.collect()),
            (12, nothing()),
            (13, nothing()),
            (14, nothing()),
        ]))
    }
}

/// Where a PCR ends that starts at zero (PCR 0: at the locality) and is extended with `digests`.
pub fn extended(engine: &dyn Engine, hash: Hash, start: u8, digests: &[Digest]) -> Digest {
    let mut first = Digest::zero(hash).as_bytes().to_vec();
    if let Some(last) = first.last_mut() {
        *last = start;
    }
    let start = Digest::new(hash, &first).unwrap_or(Digest::zero(hash));
    digests.iter().fold(start, |value, digest| engine.digest(hash, &[value.as_bytes(), digest.as_bytes()]))
}

/// Why nothing can be predicted; whoever gave image or log is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PredictionError {
    /// The log cannot be read.
    Log(LogError),
    /// The image cannot be read.
    Uki(UkiError),
    /// An event of the firmware has no digest for the bank.
    NoDigest {
        /// Its number.
        event: u32,
        /// The bank.
        hash: Hash,
    },
    /// The log says nothing of secure boot, on which the stub's behaviour depends.
    NoSecureBootState,
    /// The log ends before the firmware starts an image: what it would still measure is not known.
    NoBootApplication,
}

impl From<UkiError> for PredictionError {
    fn from(error: UkiError) -> PredictionError {
        PredictionError::Uki(error)
    }
}

impl From<PeError> for PredictionError {
    fn from(error: PeError) -> PredictionError {
        PredictionError::Uki(UkiError::Pe(error))
    }
}

impl fmt::Display for PredictionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PredictionError::Log(error) => write!(f, "event log: {error}"),
            PredictionError::Uki(error) => write!(f, "image: {error}"),
            PredictionError::NoDigest { event, hash } => {
                write!(f, "event log: event {event} has no {} digest", hash.name())
            }
            PredictionError::NoSecureBootState => f.write_str("event log: no event says whether secure boot is on"),
            PredictionError::NoBootApplication => {
                f.write_str("event log: it ends before the firmware starts a boot application")
            }
        }
    }
}

impl core::error::Error for PredictionError {}

fn digest(event: &Event<'_>, hash: Hash) -> Result<Digest, PredictionError> {
    let bytes = event.digest(hash).and_then(|bytes| Digest::new(hash, bytes));
    bytes.ok_or(PredictionError::NoDigest { event: event.number, hash })
}

fn secure_boot_state(engine: &dyn Engine, hash: Hash, event: &Event<'_>) -> Option<bool> {
    if event.pcr != SECURE_BOOT || event.event_type != EventType::EFI_VARIABLE_DRIVER_CONFIG {
        return None;
    }
    let Some(EventData::Variable(variable)) = covered_data(engine, hash, event) else { return None };
    variable.is_named("SecureBoot").then(|| variable.content() == [1])
}

/// PCRs of the firmware that do not tell one machine of a model from another: code of the platform (0), option ROMs and
/// their configuration (2, 3), secure boot policy (7) (TCG PC Client Platform Firmware Profile 1.06, 3.3.4).
const FIRMWARE_PCRS: [u32; 4] = [0, 2, 3, SECURE_BOOT];
const BOOT_APPLICATIONS: u32 = 4;
const SECURE_BOOT: u32 = 7;
/// PCR of Linux' EFI stub (drivers/firmware/efi/libstub/efi-stub-helper.c).
const KERNEL: u32 = 9;
/// PCR of systemd's EFI stub for the image's sections (systemd 252, src/fundamental/tpm-pcr.h).
const SECTIONS: u32 = 11;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        pe::tests::pe,
        rust_engine::RustEngine,
        samples::{Boot, Measurement, plain, thing, variable},
    };

    const HASH: Hash = Hash::Sha256;

    fn learn(boot: &Boot) -> Result<Firmware, PredictionError> {
        let bytes = boot.log();
        let log = EventLog::parse(&bytes).unwrap();
        Firmware::learn(&RustEngine, &log, HASH)
    }

    fn digests(measured: &[&[u8]]) -> Vec<Digest> {
        measured.iter().map(|bytes| RustEngine.digest(HASH, &[bytes])).collect()
    }

    fn secure_boot(state: u8) -> Boot {
        Boot::good().changed(|events| {
            for event in events.iter_mut().filter(|event| event.measured.ends_with(&[1]) && event.pcr == 7) {
                *event = variable(EventType::EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", &[state]);
            }
        })
    }

    #[test]
    fn the_firmware_ends_where_it_starts_a_boot_application() {
        let learned = learn(&Boot::good()).unwrap();
        let action = &b"Calling EFI Application from Boot Option"[..];
        assert_eq!(learned.extends.get(&4), Some(&digests(&[action, &[0; 4]])));
        assert_eq!(learned.learned().get(&7).map(Vec::len), Some(7));
        assert!(learned.secure_boot());
        let later = Boot::good().and(variable(EventType::EFI_VARIABLE_AUTHORITY, "db", b"of what GRUB loaded"));
        assert_eq!(learn(&later).unwrap(), learned);
    }

    #[test]
    fn a_boot_application_before_the_separator_is_the_firmwares_own() {
        let boot = Boot::good().changed(|events| events.insert(2, thing(4, APPLICATION, b"setup")));
        assert_eq!(learn(&boot).unwrap().extends.get(&4).and_then(|own| own.first()), digests(&[b"setup"]).first());
    }

    #[test]
    fn a_log_that_ends_before_a_boot_application_or_is_silent_on_secure_boot_is_refused() {
        let short = Boot::good().changed(|events| events.retain(|event| event.event_type != APPLICATION));
        assert_eq!(learn(&short), Err(PredictionError::NoBootApplication));
        let silent = Boot::good().changed(|events| events.retain(|event| event.pcr != 7));
        assert_eq!(learn(&silent), Err(PredictionError::NoSecureBootState));
        let mut other_bank = Boot::good();
        other_bank.banks = vec![Hash::Sha1];
        assert!(matches!(learn(&other_bank), Err(PredictionError::NoDigest { hash: HASH, .. })));
    }

    #[test]
    fn the_start_of_pcr_0_is_learned_with_the_events() {
        let locality = Measurement { data: b"StartupLocality\0\x03".to_vec(), ..plain(0, EventType::NO_ACTION, b"") };
        let boot = Boot::good().changed(|all| all.insert(0, locality.clone()));
        let learned = learn(&boot).unwrap();
        assert_eq!(learned.locality(), 3);
        assert_eq!(learned.learned(), learn(&Boot::good()).unwrap().learned());
    }

    /// Seen with OVMF: under secure boot the stub lets its kernel through itself, so the firmware measures no kernel.
    #[test]
    fn the_kernel_is_measured_by_the_firmware_only_without_secure_boot() {
        let kernel = pe(&[(".text", b"Linux initrd")]);
        let stub = b"#### LoaderInfo: systemd-stub 252.39 ####";
        let file = pe(&[(".sdmagic", stub), (".linux", &kernel), (".initrd", b"cpio")]);
        let uki = Uki::parse(&file).unwrap();
        let predicted = |state| learn(&secure_boot(state)).unwrap().predict(&uki, &RustEngine).unwrap();
        let whole = uki.image().authenticode(&RustEngine, HASH).unwrap();
        let inner = uki.kernel().authenticode(&RustEngine, HASH).unwrap();
        assert_eq!(predicted(1).get(&4).and_then(|extends| extends.last()), Some(&whole));
        assert_eq!(predicted(0).get(&4).unwrap().rsplit(|digest| *digest == whole).next(), Some(&[inner][..]));
        assert_eq!(predicted(0).get(&9), Some(&digests(&[b"cpio"])));
        assert_eq!(predicted(0).get(&11), Some(&digests(&[b".linux\0", &kernel, b".initrd\0", b"cpio"])));
        assert!([8, 12, 13, 14].iter().all(|pcr| predicted(0).get(pcr).is_some_and(Vec::is_empty)));
    }

    const APPLICATION: EventType = EventType::EFI_BOOT_SERVICES_APPLICATION;
}
