//! `garant log`: what a boot event log says, and how much of it was measured.

use crate::{
    failure::Failure,
    input,
    output::{Answer, Output},
};
use garant_attest::replay::{ReplayedLog, replay};
use garant_channel::engine::FastEngine;
use garant_hw::{
    budget,
    eventlog::{EventLog, LogError},
    hash::Hash,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, path::PathBuf};

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
    let bytes = input::read(&args.file, budget::LOG_BYTES)?;
    let fault = |fault: LogError| Failure::new(fault, args.file.display(), NEXT);
    let log = EventLog::parse(&bytes).map_err(fault)?;
    let replayed = replay(&FastEngine, &log, Hash::Sha256, |_, _| ());
    output.show(&report(&log, &replayed))?;
    replayed.fault().map_or(Ok(Answer::Yes), |stopped| Err(fault(stopped)))
}

#[derive(Debug, Serialize)]
struct Report {
    events: u32,
    pcrs: BTreeMap<&'static str, BTreeMap<usize, String>>,
    fault: Option<String>,
}

fn report(log: &EventLog<'_>, replayed: &ReplayedLog) -> Report {
    let banks = Hash::ALL.into_iter().filter(|bank| log.has_bank(*bank));
    let values = |bank| {
        let pcrs = (0..24).filter_map(move |pcr| Some((pcr, replayed.bank(bank).pcr(pcr)?)));
        let used = pcrs.filter(|(number, pcr)| *number == 0 || pcr.events() > 0);
        used.map(|(number, pcr)| (number, pcr.value().to_string())).collect()
    };
    Report {
        events: replayed.events(),
        pcrs: banks.map(|bank| (bank.name(), values(bank))).collect(),
        fault: replayed.fault().map(|fault| fault.to_string()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} events", self.events)?;
        for (bank, pcrs) in &self.pcrs {
            pcrs.iter().try_for_each(|(number, value)| writeln!(f, "{bank} PCR {number:>2} {value}"))?;
        }
        Ok(())
    }
}

const EXAMPLES: &str = "\
Examples:
  sudo garant log /sys/kernel/security/tpm0/binary_bios_measurements
  ssh node sudo cat /sys/kernel/security/tpm0/binary_bios_measurements | garant log --json -";

const NEXT: &str = "copy the log again, from /sys/kernel/security/tpm0/binary_bios_measurements; \
                    if it stays so, the machine's firmware wrote it";
