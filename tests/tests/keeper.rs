//! The keeper with a real swtpm and servers that behave as each test wants.
//!
//! No test harness: the keeper starts its server from /proc/self/exe, so this program is test, keeper and server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use garant_attest::{engine::Engine, ledger::EntryZero, wire};
use garant_channel::engine::FastEngine;
use garant_hw::{
    hash::Hash,
    tpm::{PcrMask, Tpm},
};
use garant_tests::swtpm::Swtpm;
use garantd::{
    budget::VOUCHES_SAVED,
    entry_zero::LedgerPcr,
    inherited::{Inherited, LinkError},
    keeper::{Keeper, Orders},
    logging,
    tpm_chip::Chip,
    tpm_device::{TpmAddress, TpmDevice},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    env, fs,
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

const TESTS: &[(&str, fn())] = &[
    ("a_server_inherits_the_b_and_configuration_that_entry_0_names", inherits_what_entry_0_names),
    ("entry_0_is_the_first_extension_in_every_allocated_bank", entry_0_is_first_in_every_bank),
    ("a_ledger_pcr_that_is_not_zero_in_one_bank_stops_the_keeper", a_used_pcr_stops_the_keeper),
    ("a_second_keeper_in_the_same_boot_has_no_entry_0", a_second_keeper_is_refused),
    ("a_server_that_dies_is_followed_by_one_with_the_same_b_and_a_fresh_tpm", a_dead_server_is_followed),
    ("a_server_that_says_what_is_no_request_is_killed", a_babbling_server_is_killed),
    ("a_server_gets_no_more_vouches_than_it_needs", vouches_run_out),
    ("sigterm_ends_keeper_and_server_and_systemd_is_told", sigterm_ends_both),
    ("without_a_tpm_the_keeper_says_where_it_looked", no_tpm_is_named),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("server") => serve(),
        Some("keeper") => keep(&words[2], &words[3]),
        Some("--list") => {}
        filter => return run_tests(filter.filter(|word| !word.starts_with('-')).unwrap_or_default()),
    }
    ExitCode::SUCCESS
}

fn run_tests(filter: &str) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(filter)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            code = ExitCode::FAILURE;
        }
    }
    code
}

// --- the keeper: `keeper TPM CONFIGURATION`

fn keep(tpm: &str, configuration: &str) {
    logging::start();
    let orders = Orders {
        configuration: configuration.as_bytes().to_vec(),
        last_head: Some([0x4c; 32]),
        tpm: tpm.parse().unwrap(),
        ledger_pcr: LedgerPcr::USUAL,
    };
    let kept = Keeper::begin(orders).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        eprintln!("{error}: {source}");
        std::process::exit(3)
    });
    let Ok(keeper) = kept;
    keeper.keep().unwrap();
}

// --- the server: the configuration says what it does and where it writes what it saw

fn serve() {
    // Before anything is read, so that a server may misuse its link.
    let link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let inherited = Inherited::take().unwrap();
    let text = String::from_utf8(inherited.configuration.clone()).unwrap();
    let (behaviour, path) = text.split_once(' ').unwrap();
    let path = Path::new(path);
    match behaviour {
        "report" => report(inherited, path),
        "die" => {
            note(path, &hexadecimal(&inherited.boot_key));
            drop(Chip::take(inherited.tpm, inherited.ledger_pcr).unwrap());
        }
        "babble" => {
            note(path, "started");
            (&link).write_all(&[0xff; 33]).unwrap();
            thread::sleep(Duration::from_secs(60));
        }
        "vouch" => {
            let granted = (0..1000).take_while(|_| inherited.keeper.vouch(&[1; 32]).is_ok()).count();
            assert!(matches!(inherited.keeper.vouch(&[1; 32]), Err(LinkError::Refused)));
            note(path, &granted.to_string());
            thread::sleep(Duration::from_secs(60));
        }
        _ => panic!("{behaviour}"),
    }
}

fn report(inherited: Inherited, path: &Path) {
    let entry = EntryZero::decode(&inherited.entry_zero).unwrap();
    assert_eq!(entry.boot_key(), inherited.boot_key);
    let digest = FastEngine.digest(Hash::Sha256, &[&inherited.configuration]);
    assert_eq!(entry.configuration_digest(), digest.as_bytes());
    assert_eq!(entry.untrusted_last_head(), Some([0x4c; 32]));
    let signature = inherited.keeper.vouch(&[9; 32]).unwrap();
    let key = garant_attest::engine::PublicKey::Ed25519(inherited.boot_key);
    let scheme = garant_attest::engine::SignatureScheme::Ed25519;
    FastEngine.verify_signature(&key, scheme, &wire::key_statement(&[9; 32]), &signature).unwrap();
    inherited.keeper.ready().unwrap();
    note(path, &format!("{} {}", std::process::id(), hexadecimal(&inherited.entry_zero)));
    thread::sleep(Duration::from_secs(60));
}

fn note(path: &Path, line: &str) {
    let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// --- the tests

/// A keeper that is killed with its server when the test ends.
struct Running {
    keeper: Child,
    notes: PathBuf,
    manager: UnixDatagram,
}

impl Running {
    fn start(swtpm: &Swtpm, behaviour: &str) -> Running {
        let notes = swtpm.folder().join("notes");
        let manager_path = swtpm.folder().join("manager");
        let manager = UnixDatagram::bind(&manager_path).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let keeper = Command::new(env::current_exe().unwrap())
            .args(["keeper", &swtpm.address(), &format!("{behaviour} {}", notes.display())])
            .env("NOTIFY_SOCKET", manager_path)
            .stderr(fs::File::create(swtpm.folder().join("log")).unwrap())
            .spawn()
            .unwrap();
        Running { keeper, notes, manager }
    }

    /// The first lines that servers wrote.
    fn lines(&self, count: usize) -> Vec<String> {
        let started = Instant::now();
        loop {
            let lines: Vec<String> =
                fs::read_to_string(&self.notes).unwrap_or_default().lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(started.elapsed() < PATIENCE, "{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn told(&self) -> String {
        let mut buffer = [0; 64];
        let length = self.manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn terminate(&mut self) -> bool {
        kill(Pid::from_raw(self.keeper.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        self.keeper.wait().unwrap().success()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.notes.with_file_name("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.keeper.try_wait().is_ok_and(|status| status.is_none()) {
            self.terminate();
        }
    }
}

fn open(swtpm: &Swtpm) -> Tpm<TpmDevice> {
    let address: TpmAddress = swtpm.address().parse().unwrap();
    Tpm::new(TpmDevice::new(address.open().unwrap()).unwrap())
}

fn inherits_what_entry_0_names() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let running = Running::start(&swtpm, "report");
    running.lines(1);
    assert_eq!(running.told(), "READY=1");
}

fn entry_0_is_first_in_every_bank() {
    let Some(swtpm) = Swtpm::blank("sha1,sha256,sha384,sha512") else { return };
    let mut running = Running::start(&swtpm, "report");
    let line = running.lines(1).remove(0);
    let entry: Vec<u8> = line.split(' ').nth(1).unwrap().as_bytes().chunks(2).map(byte).collect();
    assert!(running.terminate());
    let mut tpm = open(&swtpm);
    for bank in Hash::ALL {
        let zero = [0; 64];
        let extended =
            FastEngine.digest(bank, &[&zero[..bank.size_bytes()], FastEngine.digest(bank, &[&entry]).as_bytes()]);
        let read = tpm.pcr_read(bank, PcrMask::from_bits(1 << 15)).unwrap();
        assert_eq!(read.value(15), Some(extended.as_bytes()), "{}", bank.name());
    }
}

fn byte(digits: &[u8]) -> u8 {
    u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
}

fn a_used_pcr_stops_the_keeper() {
    for used in [Hash::Sha1, Hash::Sha256] {
        let Some(swtpm) = Swtpm::blank("sha1,sha256") else { return };
        open(&swtpm).pcr_extend(15, &[(used, &[1; 32][..used.size_bytes()])]).unwrap();
        let mut running = Running::start(&swtpm, "report");
        assert_eq!(running.keeper.wait().unwrap().code(), Some(3));
        assert!(running.log().contains(&format!("not zero in bank {}", used.name())), "{}", running.log());
        assert!(!running.notes.exists(), "a server was started");
    }
}

fn a_second_keeper_is_refused() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let mut first = Running::start(&swtpm, "report");
    first.lines(1);
    assert!(first.terminate());
    fs::remove_file(swtpm.folder().join("manager")).unwrap();
    let mut second = Running::start(&swtpm, "report");
    assert_eq!(second.keeper.wait().unwrap().code(), Some(3));
    assert!(second.log().contains("started before in this boot"), "{}", second.log());
}

fn a_dead_server_is_followed() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let running = Running::start(&swtpm, "die");
    // Each loads the AK and leaves it: a fifth has room only because each takes the TPM over anew.
    let lines = running.lines(5);
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
}

fn a_babbling_server_is_killed() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let running = Running::start(&swtpm, "babble");
    // The second starts only when the first, which would sleep for a minute, is gone.
    running.lines(2);
    assert!(running.log().contains("no request"), "{}", running.log());
}

fn vouches_run_out() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let granted: u32 = Running::start(&swtpm, "vouch").lines(1)[0].parse().unwrap();
    assert_eq!(granted, VOUCHES_SAVED);
}

fn sigterm_ends_both() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let mut running = Running::start(&swtpm, "report");
    let server = running.lines(1)[0].split(' ').next().unwrap().to_owned();
    assert_eq!(running.told(), "READY=1");
    assert!(running.terminate());
    assert_eq!(running.told(), "STOPPING=1");
    assert!(!Path::new("/proc").join(server).exists());
}

fn no_tpm_is_named() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["keeper", "unix:/nowhere/swtpm.sock", "report /nowhere"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("no TPM at unix:/nowhere/swtpm.sock"), "{text}");
}

const PATIENCE: Duration = Duration::from_secs(20);
