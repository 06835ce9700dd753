//! `garant policy`: writes policies from images and logs, and says what a policy accepts.

use crate::{
    draft::{Draft, DraftImage, DraftLearned, banks, today},
    failure::Failure,
    input,
    output::{Answer, Output},
};
use garant_attest::{
    budget,
    engine::sha256,
    image::{Extends, Firmware, PredictionError, extended},
    pcr_policy::BOOT_PCRS,
    policy::{Policy, RootClass},
    uki::Uki,
};
use garant_channel::engine::FastEngine;
use garant_hw::{eventlog::EventLog, hash::Hash};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// Write a policy, or read one.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    FromImage(FromImage),
    FromLog(FromLog),
    Check(Check),
}

/// Predict what a unified kernel image extends, without booting it.
///
/// The image's part is computed from its bytes. The firmware's part is taken from the log of any other boot on that
/// firmware, and rests on the word of whoever took it.
#[derive(Debug, clap::Args)]
struct FromImage {
    /// The unified kernel image (systemd-stub 252).
    #[arg(long)]
    uki: PathBuf,
    /// A boot event log of the same firmware, whatever it started.
    #[arg(long)]
    firmware_log: PathBuf,
    /// The image's manifest.toml: with it the image is called closed, where the manifest says that it is.
    #[arg(long)]
    closed_manifest: Option<PathBuf>,
    /// The node's configuration, whose digest the policy shall accept.
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Take the values of one boot as they are.
///
/// Such a policy proves sameness only: its basis is the word of whoever took the log.
#[derive(Debug, clap::Args)]
struct FromLog {
    /// The boot event log.
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Who took the log; verdicts name this as their basis.
    #[arg(long, default_value = "the author of this policy")]
    by: String,
    /// Name of the image in verdicts; the file's name otherwise.
    #[arg(long)]
    name: Option<String>,
    /// Classes of roots that count: silicon, virtual, test.
    #[arg(long, value_delimiter = ',', default_value = "silicon")]
    roots: Vec<String>,
    /// How old evidence may be, in seconds.
    #[arg(long, default_value_t = 300)]
    max_age_s: u64,
}

/// Say what a policy accepts, and what it leaves unknown.
#[derive(Debug, clap::Args)]
struct Check {
    /// The policy.
    file: PathBuf,
}

/// Writes or reads a policy.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    match &args.command {
        Command::FromImage(args) => output.show(&from_image(args)?)?,
        Command::FromLog(args) => output.show(&from_log(args)?)?,
        Command::Check(args) => output.show(&Summary::new(&read(&args.file)?))?,
    }
    Ok(Answer::Yes)
}

/// Reads a policy file.
pub(crate) fn read(file: &Path) -> Result<Policy, Failure> {
    let bytes = input::read(file, budget::POLICY_BYTES)?;
    Policy::parse(&bytes, &FastEngine)
        .map_err(|fault| Failure::new(fault, file.display(), "correct the policy; docs/policy.md explains every key"))
}

fn from_image(args: &FromImage) -> Result<Draft, Failure> {
    let image_bytes = input::read(&args.uki, budget::IMAGE_BYTES)?;
    let log_bytes = input::read(&args.firmware_log, garant_hw::budget::LOG_BYTES)?;
    let uki = Uki::parse(&image_bytes)
        .map_err(|fault| Failure::new(fault, args.uki.display(), "give the image as it is booted, a .efi file"))?;
    let log = parse(&log_bytes, &args.firmware_log)?;
    let at_fault = |fault: PredictionError| {
        let file = if matches!(fault, PredictionError::Uki(_)) { &args.uki } else { &args.firmware_log };
        Failure::new(&fault, file.display(), NEXT_AFTER_PREDICTION)
    };
    let mut predicted = BTreeMap::new();
    let mut learned = BTreeMap::new();
    let mut locality = 0;
    for hash in banks_of(&log, &args.firmware_log)? {
        let firmware = match Firmware::learn(&FastEngine, &log, hash) {
            Err(PredictionError::NoDigest { .. }) if hash == Hash::Sha1 => continue,
            firmware => firmware.map_err(at_fault)?,
        };
        predicted.insert(hash, firmware.predict(&uki, &FastEngine).map_err(at_fault)?);
        learned.insert(hash, firmware.learned());
        locality = firmware.locality();
    }
    let is_closed = args.closed_manifest.as_deref().map(|manifest| closed(manifest, &image_bytes)).transpose()?;
    let image = DraftImage {
        name: args.common.name.clone().unwrap_or_else(|| file_name(&args.uki)),
        closed: is_closed.is_some(),
        uki: application(&uki, predicted.keys().find(|hash| **hash != Hash::Sha1).copied())?,
        cmdline: uki.command_line(),
        extends: banks(&predicted, 0),
    };
    let config = args.config.as_deref().map(|file| input::read(file, budget::CONFIGURATION_BYTES));
    let configuration = config.transpose()?.map(|bytes| hex(&sha256(&FastEngine, &[&bytes])));
    draft(&args.common, configuration, Some(image), learned_from(&args.common, locality, &learned))
}

fn from_log(args: &FromLog) -> Result<Draft, Failure> {
    let bytes = input::read(&args.file, garant_hw::budget::LOG_BYTES)?;
    let log = parse(&bytes, &args.file)?;
    let mut learned = BTreeMap::new();
    let mut locality = 0;
    for hash in banks_of(&log, &args.file)? {
        let (start, extends) = match Firmware::learn_boot(&FastEngine, &log, hash) {
            Err(PredictionError::NoDigest { .. }) if hash == Hash::Sha1 => continue,
            taken => taken.map_err(|fault| Failure::new(fault, args.file.display(), "take the log of a whole boot"))?,
        };
        locality = start;
        learned.insert(hash, extends);
    }
    draft(&args.common, None, None, learned_from(&args.common, locality, &learned))
}

fn learned_from(common: &Common, locality: u8, learned: &BTreeMap<Hash, Extends>) -> DraftLearned {
    DraftLearned { by: common.by.clone(), when: today(), locality, extends: banks(learned, locality) }
}

/// The text is read back before it is printed, so that no draft is written that `garant check` would refuse.
fn draft(
    common: &Common,
    configuration: Option<String>,
    image: Option<DraftImage>,
    learned: DraftLearned,
) -> Result<Draft, Failure> {
    let draft = Draft {
        roots: common.roots.clone(),
        max_age_s: common.max_age_s,
        configurations: configuration.into_iter().collect(),
        image,
        learned,
    };
    Policy::parse(draft.to_string().as_bytes(), &FastEngine).map_err(|fault| {
        Failure::new(fault, "the policy that would be written", "correct the options of this command")
    })?;
    Ok(draft)
}

fn parse<'a>(bytes: &'a [u8], file: &Path) -> Result<EventLog<'a>, Failure> {
    EventLog::parse(bytes).map_err(|fault| Failure::new(fault, file.display(), NEXT_AFTER_PREDICTION))
}

/// The log's banks, of which one may carry a policy. SHA-1 carries none, but a machine that has it allocated is judged by
/// it, too; where its digests are not whole (Windows leaves them out), it is left out.
fn banks_of(log: &EventLog<'_>, file: &Path) -> Result<Vec<Hash>, Failure> {
    let found: Vec<Hash> = Hash::ALL.into_iter().filter(|hash| log.has_bank(*hash)).collect();
    let none = || {
        Failure::new("the log has no SHA-2 digests", file.display(), "allocate a SHA-256 bank in the firmware's setup")
    };
    if found.iter().all(|hash| *hash == Hash::Sha1) { Err(none()) } else { Ok(found) }
}

fn application(uki: &Uki<'_>, hash: Option<Hash>) -> Result<Option<String>, Failure> {
    let Some(hash) = hash else { return Ok(None) };
    let digest = uki.image().authenticode(&FastEngine, hash);
    let digest =
        digest.map_err(|fault| Failure::new(fault, "the image's headers", "give the image as it is booted"))?;
    Ok(Some(format!("{}:{digest}", hash.name())))
}

/// What an image's manifest says of it.
#[derive(Debug, Deserialize)]
struct Manifest {
    image: ManifestImage,
    closed: BTreeMap<String, bool>,
}

#[derive(Debug, Deserialize)]
struct ManifestImage {
    sha256: String,
}

/// Whether the manifest is of this image and fulfils every condition; what it does not is named.
fn closed(file: &Path, image: &[u8]) -> Result<(), Failure> {
    let bytes = input::read(file, budget::POLICY_BYTES)?;
    let manifest: Manifest = toml::from_str(&String::from_utf8_lossy(&bytes)).map_err(|fault| {
        Failure::new(fault, file.display(), "give the manifest.toml that was written with the image")
    })?;
    if manifest.image.sha256 != hex(&sha256(&FastEngine, &[image])) {
        return Err(Failure::new(
            "is the manifest of another image",
            file.display(),
            "give the manifest.toml beside the image",
        ));
    }
    match CLOSED_CONDITIONS.into_iter().find(|name| manifest.closed.get(*name) != Some(&true)) {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            format!("the image is not closed: {name} is not fulfilled"),
            file.display(),
            "build an image that fulfils it, or leave out --closed-manifest",
        )),
    }
}

/// What a policy accepts, and what it leaves unknown.
#[derive(Debug, Serialize)]
struct Summary {
    digest: String,
    roots: Vec<&'static str>,
    max_age_s: u64,
    images: Vec<SummaryImage>,
    learned: Vec<String>,
    unstated: BTreeMap<&'static str, Vec<u32>>,
}

#[derive(Debug, Serialize)]
struct SummaryImage {
    name: String,
    closed: bool,
    pcrs: BTreeMap<&'static str, BTreeMap<u32, String>>,
}

impl Summary {
    fn new(policy: &Policy) -> Summary {
        let images = policy.images().iter().map(|image| SummaryImage {
            name: image.name.clone(),
            closed: image.closed,
            pcrs: by_bank(|hash, pcr| {
                let extends = image.extends(hash, pcr)?;
                Some(extended(&FastEngine, hash, 0, extends).to_string())
            }),
        });
        Summary {
            digest: hex(&policy.digest()),
            roots: policy.roots().iter().map(|class: &RootClass| class.name()).collect(),
            max_age_s: policy.max_age_s(),
            images: images.collect(),
            learned: policy.learned().iter().map(|learned| format!("{}, {}", learned.by, learned.when)).collect(),
            unstated: unstated(policy),
        }
    }
}

/// PCRs that `boot` needs and for which no value stands: only accepted events can make them known.
fn unstated(policy: &Policy) -> BTreeMap<&'static str, Vec<u32>> {
    let is_stated = |hash: Hash, pcr: u32| {
        !policy.pins(hash, pcr).is_empty()
            || policy.images().iter().any(|image| image.extends(hash, pcr).is_some())
            || policy.learned().iter().any(|learned| learned.extends(hash, pcr).is_some())
    };
    let used = Hash::ALL.into_iter().filter(|hash| BOOT_PCRS.iter().any(|pcr| is_stated(*hash, *pcr)));
    used.map(|hash| (hash.name(), BOOT_PCRS.into_iter().filter(|pcr| !is_stated(hash, *pcr)).collect())).collect()
}

fn by_bank<T>(value: impl Fn(Hash, u32) -> Option<T>) -> BTreeMap<&'static str, BTreeMap<u32, T>> {
    let of = |hash| (0..24).filter_map(|pcr| Some((pcr, value(hash, pcr)?))).collect::<BTreeMap<_, _>>();
    Hash::ALL.into_iter().map(|hash| (hash.name(), of(hash))).filter(|(_, pcrs)| !pcrs.is_empty()).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy sha256:{}", self.digest)?;
        writeln!(f, "roots {}, evidence up to {} s old", self.roots.join(", "), self.max_age_s)?;
        for image in &self.images {
            writeln!(f, "image {:?}{}", image.name, if image.closed { ", closed" } else { "" })?;
            for (bank, pcrs) in &image.pcrs {
                pcrs.iter().try_for_each(|(pcr, value)| writeln!(f, "  {bank} PCR {pcr:>2} {value}"))?;
            }
        }
        self.learned.iter().try_for_each(|learned| writeln!(f, "learned by {learned}"))?;
        for (bank, pcrs) in self.unstated.iter().filter(|(_, pcrs)| !pcrs.is_empty()) {
            let pcrs: Vec<String> = pcrs.iter().map(u32::to_string).collect();
            writeln!(f, "no value for {bank} PCR {}: unknown, unless every event is accepted", pcrs.join(", "))?;
        }
        if self.unstated.is_empty() {
            writeln!(f, "no values: every boot is unknown, unless every event is accepted")?;
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a manifest must say of an image before a policy may call it closed (design, Keys: *closed*).
const CLOSED_CONDITIONS: [&str; 7] = [
    "no_shell",
    "no_modules_after_start",
    "no_kexec",
    "lockdown_confidentiality",
    "iommu_forced",
    "no_second_tpm_user",
    "no_outside_program",
];

const NEXT_AFTER_PREDICTION: &str =
    "give /sys/kernel/security/tpm0/binary_bios_measurements of a boot on this firmware";

const EXAMPLES: &str = "\
Examples:
  garant policy from-image --uki node.efi --firmware-log boot.bin --closed-manifest manifest.toml \\
      --config garantd.toml --by 'Ada, 2026-11-25' > policy.toml
  garant policy from-log boot.bin --by Ada > policy.toml
  garant policy check policy.toml";
