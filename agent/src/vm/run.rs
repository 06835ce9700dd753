//! One run of a VMM, as the server holds it: its process, its QMP, what its guest and it itself say. Left out: why it runs.

use crate::{
    budget::{VMM_END, VMM_LOG_BYTES, VMM_READY},
    vm::{
        link::{RunNumber, VmLink, Vmm},
        qmp::{Ended, Notice, Qmp, QmpError, RunState},
    },
};
use garant_api::budget::CONSOLE_BYTES;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    sync::{mpsc, watch},
    time::timeout,
};

/// A VMM that answers, or did.
#[derive(Debug)]
pub struct Run {
    number: RunNumber,
    process: Arc<OwnedFd>,
    notices: mpsc::Receiver<Notice>,
    /// Its control.
    pub qmp: Qmp,
    /// What the guest wrote to its console.
    pub console: Tail,
    log: Tail,
}

/// Why a VMM is of no use.
#[derive(Debug)]
pub enum RunError {
    /// It ended, with these last words.
    Ended(String),
    /// It does not speak as it should.
    Qmp(QmpError),
    /// The system refuses something.
    System(io::Error),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunError::Ended(words) if words.is_empty() => f.write_str("the VMM ended without a word"),
            RunError::Ended(words) => write!(f, "the VMM ended: {words}"),
            RunError::Qmp(error) => error.fmt(f),
            RunError::System(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> RunError {
        RunError::System(error)
    }
}

impl Run {
    /// One that was started just now: waits until it answers, or has ended.
    pub async fn begin(vmm: Vmm) -> Result<Run, RunError> {
        let (parts, qmp) = Parts::of(vmm)?;
        let greeted = tokio::select! {
            biased;
            greeted = Qmp::greet(qmp, VMM_READY) => greeted,
            () = parts.log.closed() => Err(QmpError::Ended(Ended::Closed)),
        };
        match greeted {
            Ok((qmp, notices)) => Ok(parts.run(qmp, notices)),
            Err(error) => Err(parts.fault(error).await),
        }
    }

    /// One that a server before us started.
    pub async fn take_over(vmm: Vmm) -> Result<(Run, RunState), RunError> {
        let (parts, qmp) = Parts::of(vmm)?;
        match Qmp::take_over(qmp, VMM_READY).await {
            Ok((qmp, notices, state)) => Ok((parts.run(qmp, notices), state)),
            Err(error) => Err(parts.fault(error).await),
        }
    }

    /// Waits for what it says by itself; `None` is its end.
    pub async fn watch(&mut self) -> Option<Notice> {
        tokio::select! {
            biased;
            Some(notice) = self.notices.recv() => Some(notice),
            () = self.log.closed() => None,
        }
    }

    /// Waits until it has closed everything, as it does with its end.
    pub async fn ended(&self) {
        self.log.closed().await;
    }

    /// Its name at the keeper.
    pub fn number(&self) -> RunNumber {
        self.number
    }

    /// Whether its process has ended; nobody is asked.
    pub fn has_ended(&self) -> bool {
        is_gone(&self.process, Duration::ZERO)
    }

    /// Its end, to be waited for elsewhere.
    pub fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let log = self.log.clone();
        async move { log.closed().await }
    }

    /// Ends it at once; whether it is gone.
    pub async fn kill(&self, link: &VmLink) -> bool {
        end(link, self.number).await;
        let process = self.process.clone();
        tokio::task::spawn_blocking(move || is_gone(&process, VMM_END)).await.is_ok_and(|is_gone| is_gone)
    }

    /// Its last words.
    pub fn last_words(&self) -> String {
        self.log.text()
    }
}

/// Has the keeper end a VMM; one that is gone already needs no end.
pub async fn end(link: &VmLink, number: RunNumber) {
    let link = link.clone();
    let _ = tokio::task::spawn_blocking(move || link.kill(number)).await;
}

/// Whether a process has ended, or does within this time.
fn is_gone(process: &OwnedFd, within: Duration) -> bool {
    let patience = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
    let mut watched = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let asked = Instant::now();
    loop {
        match poll(&mut watched, patience) {
            Err(Errno::EINTR) if asked.elapsed() < within => {}
            found => return found == Ok(1),
        }
    }
}

/// What a VMM is before it answers.
struct Parts {
    number: RunNumber,
    process: Arc<OwnedFd>,
    console: Tail,
    log: Tail,
}

impl Parts {
    fn of(vmm: Vmm) -> io::Result<(Parts, UnixStream)> {
        let Vmm { run, process, ends } = vmm;
        let parts = Parts {
            number: run,
            process: Arc::new(process),
            console: Tail::read(stream(ends.console)?, CONSOLE_BYTES),
            log: Tail::read(stream(ends.log)?, VMM_LOG_BYTES),
        };
        Ok((parts, stream(ends.qmp)?))
    }

    fn run(self, qmp: Qmp, notices: mpsc::Receiver<Notice>) -> Run {
        let Parts { number, process, console, log } = self;
        Run { number, process, notices, qmp, console, log }
    }

    /// A VMM that ended says why in its log, if it says it at all.
    async fn fault(&self, error: QmpError) -> RunError {
        match timeout(LAST_WORDS, self.log.closed()).await {
            Ok(()) => RunError::Ended(self.log.text()),
            Err(_) => RunError::Qmp(error),
        }
    }
}

/// The end of what somebody writes.
#[derive(Debug, Clone)]
pub struct Tail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    /// Whether nobody can write any more.
    closed: watch::Receiver<bool>,
}

impl Tail {
    /// Reads for as long as something comes, so that who writes never waits for who reads.
    fn read(mut stream: UnixStream, limit_bytes: usize) -> Tail {
        let (close, closed) = watch::channel(false);
        let tail = Tail { bytes: Arc::default(), closed };
        let ours = tail.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                ours.add(buffer.get(..length).unwrap_or_default(), limit_bytes);
            }
            close.send_replace(true);
        });
        tail
    }

    fn add(&self, bytes: &[u8], limit_bytes: usize) {
        let mut kept = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(limit_bytes);
        kept.drain(..surplus);
    }

    /// Waits until nobody can write any more.
    async fn closed(&self) {
        let _ = self.closed.clone().wait_for(|is_closed| *is_closed).await;
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// In words, one line.
    fn text(&self) -> String {
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn stream(end: OwnedFd) -> io::Result<UnixStream> {
    let stream = StdStream::from(end);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// How long a VMM that closed its control may take to end.
const LAST_WORDS: Duration = Duration::from_millis(500);
