//! The command line of `garantd`: the keeper by default, `check-config`, and `server` and `vmm`, which only a keeper starts.

use garantd::{
    budget::CONFIGURATION_BYTES,
    config::Configuration,
    entry_zero::LedgerPcr,
    inherited::Inherited,
    keeper::{Keeper, Orders},
    logging, pid1, server,
    tpm_device::TpmAddress,
    vmm,
};
use lexopt::prelude::*;
use std::{
    error::Error,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

type AnyError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    logging::start();
    if pid1::is_me() {
        return run_as_pid1();
    }
    match Mode::from_command_line().and_then(Mode::run) {
        Ok(code) => code,
        Err(error) => {
            report(&*error);
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// What the command line asks for.
enum Mode {
    Keep(Options),
    Server,
    Vmm(u32),
    CheckConfig(PathBuf),
    Print(String),
}

struct Options {
    configuration: Option<PathBuf>,
    last_head: Option<PathBuf>,
    tpm: TpmAddress,
    ledger_pcr: LedgerPcr,
}

impl Mode {
    fn from_command_line() -> Result<Mode, AnyError> {
        let mut options = Options {
            configuration: None,
            last_head: None,
            tpm: TpmAddress::Device("/dev/tpmrm0".into()),
            ledger_pcr: LedgerPcr::USUAL,
        };
        let mut words = lexopt::Parser::from_env();
        while let Some(word) = words.next()? {
            match word {
                Long("config") => options.configuration = Some(words.value()?.into()),
                Long("last-head") => options.last_head = Some(words.value()?.into()),
                Long("tpm") => options.tpm = words.value()?.parse()?,
                Long("ledger-pcr") => options.ledger_pcr = words.value()?.string()?.parse()?,
                Long("help") | Short('h') => return Ok(Mode::Print(HELP.to_owned())),
                Long("version") | Short('V') => return Ok(Mode::Print(format!("garantd {VERSION}\n"))),
                Value(word) if word == "server" => return Ok(Mode::Server),
                Value(word) if word == "vmm" => return Ok(Mode::Vmm(words.value()?.parse()?)),
                Value(word) if word == "check-config" => return Ok(Mode::CheckConfig(words.value()?.into())),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Mode::Keep(options))
    }

    fn run(self) -> Result<ExitCode, AnyError> {
        match self {
            Mode::Keep(options) => {
                Keeper::begin(options.orders()?)?.keep()?;
                Ok(ExitCode::SUCCESS)
            }
            Mode::Server => {
                server::run(Inherited::take()?)?;
                Ok(ExitCode::SUCCESS)
            }
            Mode::Vmm(user) => match vmm::become_vmm(user)? {},
            Mode::CheckConfig(path) => check_config(&path),
            Mode::Print(text) => {
                io::stdout().write_all(text.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Options {
    /// Reads the configuration, unparsed. Without `--config`, and without a file in the usual place, it is empty.
    fn orders(self) -> Result<Orders, AnyError> {
        let configuration = match &self.configuration {
            Some(path) => read_configuration(path)?,
            None if Path::new(USUAL_CONFIGURATION).exists() => read_configuration(Path::new(USUAL_CONFIGURATION))?,
            None => Vec::new(),
        };
        let last_head = self.last_head.as_deref().map(read_last_head).transpose()?.flatten();
        Ok(Orders { configuration, last_head, tpm: self.tpm, ledger_pcr: self.ledger_pcr })
    }
}

/// As PID 1 there are no options: the kernel hands its own leftovers over as arguments.
fn run_as_pid1() -> ExitCode {
    let Err(errno) = match keep_as_pid1() {
        Ok(()) => pid1::power_off(),
        Err(error) => {
            report(&*error);
            pid1::boot_again()
        }
    };
    log::error!("the machine does not end: {errno}");
    ExitCode::FAILURE
}

fn keep_as_pid1() -> Result<(), AnyError> {
    pid1::prepare()?;
    let tpm = TpmAddress::Device("/dev/tpmrm0".into());
    let options = Options { configuration: None, last_head: None, tpm, ledger_pcr: LedgerPcr::USUAL };
    let keeper = Keeper::begin(options.orders()?)?;
    pid1::bring_network_up()?;
    Ok(keeper.keep()?)
}

/// Prints the digest that entry 0 would have, or what is wrong.
fn check_config(path: &Path) -> Result<ExitCode, AnyError> {
    let bytes = read_configuration(path)?;
    let (line, code) = match Configuration::parse(&bytes) {
        Ok(_) => (format!("ok sha256:{}\n", garantd::keeper::configuration_digest(&bytes)), ExitCode::SUCCESS),
        Err(error) => (format!("{}: {error}\n", path.display()), ExitCode::FAILURE),
    };
    io::stdout().write_all(line.as_bytes())?;
    Ok(code)
}

fn read_configuration(path: &Path) -> Result<Vec<u8>, AnyError> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let limit = u64::try_from(CONFIGURATION_BYTES)?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > CONFIGURATION_BYTES {
        return Err(format!("{} is longer than {CONFIGURATION_BYTES} bytes: shorten it", path.display()).into());
    }
    Ok(bytes)
}

/// Head of the last boot's ledger: 32 bytes, or no file after the first boot.
fn read_last_head(path: &Path) -> Result<Option<[u8; 32]>, AnyError> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(33).read_to_end(&mut head)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
    };
    let head = head.try_into().map_err(|_| format!("{} is not 32 bytes: remove it", path.display()))?;
    Ok(Some(head))
}

/// Logs an error and what is behind it.
fn report(error: &(dyn Error + 'static)) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    log::error!("{text}");
}

const BAD_INPUT: u8 = 3;
const VERSION: &str = env!("CARGO_PKG_VERSION");
const USUAL_CONFIGURATION: &str = "/etc/garant/garantd.toml";
const HELP: &str = "\
garantd: proves to remote verifiers what this machine booted

usage: garantd [options]            run the node: keeper and server
       garantd check-config FILE    say whether a configuration is good, and its digest

options:
  --config FILE      configuration (default: /etc/garant/garantd.toml where it exists)
  --tpm WHERE        /dev/tpmrm0 (default), unix:PATH or tcp:ADDRESS:PORT of a swtpm
  --ledger-pcr N     PCR of the ledger, 8 to 15 (default: 15); nothing else may extend it
  --last-head FILE   head of the last boot's ledger, 32 bytes
  --help, --version

exit codes: 0 ended as asked, or good; 1 bad configuration; 3 bad input or no TPM
";
