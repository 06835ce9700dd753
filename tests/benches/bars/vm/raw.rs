//! QEMU without anything around it, with the arguments that a node gives one: the floor of every path.

use garantd::vm::overlay;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How a VMM of a node was started.
pub struct Template {
    arguments: Vec<String>,
    /// From number 5 on.
    files: Vec<Source>,
}

enum Source {
    /// Opened once for all.
    Shared(File),
    /// A layer of each VMM's own, above so many bytes.
    Layer(u64),
}

/// A running QEMU.
pub struct Raw {
    child: Child,
    qmp: BufReader<UnixStream>,
    _console: UnixStream,
}

impl Template {
    /// As this VMM was started. `disk_bytes` is the size of its disks.
    pub fn of(pid: u32, disk_bytes: u64) -> Template {
        let line = fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let mut arguments: Vec<String> = words.skip(1).collect();
        arguments.pop(); // after the last NUL
        let source = |number: u32| {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
            // Its layer alone is open for writing as well.
            if flags.ends_with('2') {
                return Some(Source::Layer(disk_bytes));
            }
            File::open(format!("/proc/{pid}/fd/{number}")).ok().map(Source::Shared)
        };
        let count = u32::try_from(numbers(&arguments)).expect("a few");
        let files = (FIRST_FILE..FIRST_FILE + count).map(|number| source(number).expect("a file of the VMM"));
        Template { files: files.collect(), arguments }
    }

    /// Starts one; it is told nothing yet.
    pub fn spawn(&self) -> Start {
        let [(qmp, its_qmp), (console, its_console)] = [0, 1].map(|_| UnixStream::pair().expect("a pair of sockets"));
        let files = self.files.iter().map(|source| match source {
            Source::Shared(file) => file.try_clone().expect("a descriptor"),
            Source::Layer(bytes) => {
                let file = tempfile::tempfile().expect("a scratch file");
                overlay::format(&file, *bytes).expect("a layer");
                file
            }
        });
        let files = files.map(OwnedFd::from);
        let given: Vec<OwnedFd> = [its_qmp.into(), its_console.into()].into_iter().chain(files).collect();
        for file in &given {
            fcntl(file, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor is kept through exec");
        }
        let mut command = Command::new(garantd::vmm::QEMU);
        command.args(self.arguments.iter().map(|argument| renumber(argument, &given)));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Start { command, given, qmp, console }
    }
}

/// All that is needed to start one, so that the clock sees the start alone.
pub struct Start {
    command: Command,
    given: Vec<OwnedFd>,
    qmp: UnixStream,
    console: UnixStream,
}

impl Start {
    /// Starts it and waits until it takes commands; how long that took.
    pub fn run(mut self) -> (Duration, Raw) {
        let began = Instant::now();
        let child = self.command.spawn().expect("QEMU starts");
        drop(self.given);
        let mut raw = Raw { child, qmp: BufReader::new(self.qmp), _console: self.console };
        raw.read_until("\"QMP\"");
        raw.command("qmp_capabilities");
        (began.elapsed(), raw)
    }
}

impl Raw {
    /// One command; how long its answer took.
    pub fn command(&mut self, command: &str) -> Duration {
        let asked = Instant::now();
        let line = format!("{{\"execute\": \"{command}\"}}\n");
        self.qmp.get_mut().write_all(line.as_bytes()).expect("QEMU listens");
        self.read_until("\"return\"");
        asked.elapsed()
    }

    /// SIGKILL, until it is reaped.
    pub fn end(mut self) -> Duration {
        let killed = Instant::now();
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        killed.elapsed()
    }

    fn read_until(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let length = self.qmp.read_line(&mut line).expect("QEMU speaks");
            assert!(length > 0, "QEMU has ended");
        }
    }
}

/// Files that the arguments name.
fn numbers(arguments: &[String]) -> usize {
    arguments.iter().filter_map(|argument| number(argument)).filter(|(_, number)| *number >= FIRST_FILE).count()
}

/// Where in an argument a descriptor's number begins, and the number.
fn number(argument: &str) -> Option<(usize, u32)> {
    let word = ["/proc/self/fd/", "fd="].into_iter().find(|word| argument.contains(word))?;
    let at = argument.find(word)? + word.len();
    let digits = argument[at..].find(|c: char| !c.is_ascii_digit()).map_or(argument.len(), |end| at + end);
    argument[at..digits].parse().ok().map(|number| (at, number))
}

/// The argument with the number that the descriptor has here.
fn renumber(argument: &str, given: &[OwnedFd]) -> String {
    let Some((at, number)) = number(argument) else { return argument.to_owned() };
    let ours = given[usize::try_from(number - FIRST).expect("small")].as_raw_fd();
    format!("{}{ours}{}", &argument[..at], &argument[at + number.to_string().len()..])
}

/// QMP's, as `garantd::vm::plan` numbers them.
const FIRST: u32 = 3;
const FIRST_FILE: u32 = 5;
