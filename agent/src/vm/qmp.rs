//! Speaks QMP, QEMU's control protocol (docs/interop/qmp-spec.txt), over a connected socket: commands and
//! their answers, and events as they come.
//!
//! One task owns the socket, so that a caller that gives up leaves no half of a command on it. QEMU is a party from
//! outside: a guest may have taken it over. What it sends has limits, and the worst it can do is to end this
//! conversation.
//!
//! Left out: what an event means for the VM.

mod lines;
mod message;
mod said;

pub use message::{Event, Refusal};

use crate::budget::{QMP_COMMANDS_WAITING, QMP_EVENTS_WAITING};
use lines::Lines;
use message::Message;
use said::Said;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    net::UnixStream,
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};

/// A conversation with one QEMU, which has built its machine. Clones share it; when the last one is dropped it ends,
/// and QEMU lives on as long as somebody holds its socket.
#[derive(Debug, Clone)]
pub struct Qmp {
    requests: mpsc::Sender<Request>,
    ended: Arc<OnceLock<Ended>>,
}

/// What comes without having been asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// So many events came while nobody took them: ask for the state again.
    Lost(u64),
}

/// What QEMU says the machine does (`RunState`, qapi/run-state.json of QEMU 7.2). It proves nothing about the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Not started yet.
    Prelaunch,
    /// Waits for, or takes in, a snapshot.
    #[serde(rename = "inmigrate")]
    InMigrate,
    /// Its vCPUs run.
    Running,
    /// Stopped by `stop`.
    Paused,
    /// Stopped, since a disk failed or is full.
    IoError,
    /// Stopped, since the VMM cannot go on.
    InternalError,
    /// The guest's system has failed.
    GuestPanicked,
    /// The guest is off.
    Shutdown,
    /// Stopped by a watchdog device.
    Watchdog,
    /// The guest sleeps.
    Suspended,
    /// Stopped after a snapshot was sent.
    #[serde(rename = "postmigrate")]
    PostMigrate,
    /// A state that we never ask for.
    #[serde(other)]
    Other,
}

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QmpError {
    /// QEMU understood and refuses: whoever chose the command asked for what cannot be now.
    Refused(Refusal),
    /// The VMM did not answer so long. The command may still be carried out later.
    Silent {
        /// How long was waited.
        waited: Duration,
    },
    /// The VMM's fault: the conversation is over, for this command and all others.
    Ended(Ended),
    /// Ours: more commands wait for this VMM than a caller that waits for answers can have sent.
    Busy,
}

/// Why a conversation is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// QEMU closed its end, most likely with its life.
    Closed,
    /// The socket failed.
    Failed(io::ErrorKind),
    /// A line longer than this.
    LongLine {
        /// The limit.
        limit_bytes: usize,
    },
    /// A line that is no JSON object of the protocol.
    NotQmp,
    /// A greeting where an answer was due, or an answer that belongs to no command.
    Unexpected,
}

impl Qmp {
    /// Waits for QEMU's greeting and until it has built its machine: only then does it answer.
    pub async fn greet(stream: UnixStream, deadline: Duration) -> Result<(Qmp, mpsc::Receiver<Notice>), QmpError> {
        let mut link = Link::new(stream)?;
        within(deadline, async {
            match link.hear().await? {
                Message::Greeting => link.ask("qmp_capabilities").await.map(drop),
                Message::Answer { .. } | Message::Event(_) => Err(QmpError::Ended(Ended::Unexpected)),
            }
        })
        .await?;
        Ok(Qmp::start(link))
    }

    /// Goes on where a server before us ended, possibly in the middle of a line in either direction, or before it was
    /// greeted. What QEMU still had to say to it is dropped, events too: the state that comes with this is newer than
    /// all of them.
    pub async fn take_over(
        stream: UnixStream,
        deadline: Duration,
    ) -> Result<(Qmp, mpsc::Receiver<Notice>, RunState), QmpError> {
        let mut link = Link::new(stream)?;
        let state = within(deadline, async {
            link.lines.send(RESYNCHRONISE, None);
            match link.ask_amid_leftovers("query-status").await {
                Err(QmpError::Refused(refusal)) if refusal.class == "CommandNotFound" => {
                    link.ask_amid_leftovers("qmp_capabilities").await?;
                    link.ask("query-status").await
                }
                answer => answer,
            }
        })
        .await
        .and_then(run_state)?;
        let (qmp, notices) = Qmp::start(link);
        Ok((qmp, notices, state))
    }

    /// Has one command carried out; `arguments` is null where it has none.
    pub async fn execute(&self, command: &str, arguments: Value, deadline: Duration) -> Result<Value, QmpError> {
        self.send(Said { command: command.to_owned(), arguments, descriptor: None }, deadline).await
    }

    /// The same with a descriptor for it (`add-fd`, `getfd`), of which QEMU has a copy from then on.
    pub async fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        descriptor: OwnedFd,
        deadline: Duration,
    ) -> Result<Value, QmpError> {
        self.send(Said { command: command.to_owned(), arguments, descriptor: Some(descriptor) }, deadline).await
    }

    async fn send(&self, said: Said, deadline: Duration) -> Result<Value, QmpError> {
        let (answer_to, answer) = oneshot::channel();
        let request = Request { said, answer_to };
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => QmpError::Busy,
            TrySendError::Closed(_) => QmpError::Ended(self.ended()),
        })?;
        within(deadline, async { answer.await.unwrap_or_else(|_| Err(QmpError::Ended(self.ended()))) }).await
    }

    /// Asks what the machine does.
    pub async fn status(&self, deadline: Duration) -> Result<RunState, QmpError> {
        self.execute("query-status", Value::Null, deadline).await.and_then(run_state)
    }

    fn start(link: Link) -> (Qmp, mpsc::Receiver<Notice>) {
        let (requests, to_send) = mpsc::channel(QMP_COMMANDS_WAITING);
        let (notices, to_take) = mpsc::channel(QMP_EVENTS_WAITING);
        let ended = Arc::new(OnceLock::new());
        let conversation = Conversation { link, waiting: HashMap::new(), notices, lost: 0 };
        tokio::spawn(conversation.run(to_send, Arc::clone(&ended)));
        (Qmp { requests, ended }, to_take)
    }

    fn ended(&self) -> Ended {
        self.ended.get().copied().unwrap_or(Ended::Closed)
    }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T, QmpError>>) -> Result<T, QmpError> {
    timeout(deadline, work).await.unwrap_or(Err(QmpError::Silent { waited: deadline }))
}

fn run_state(answer: Value) -> Result<RunState, QmpError> {
    #[derive(Deserialize)]
    struct StatusInfo {
        status: RunState,
    }
    serde_json::from_value(answer).map(|StatusInfo { status }| status).map_err(|_| QmpError::Ended(Ended::NotQmp))
}

/// A byte that JSON cannot contain makes QEMU drop the half command before it (tried with 7.2 at every byte of a
/// command); the end of a line is for a parser that after a fault goes on only there.
const RESYNCHRONISE: &[u8] = b"\xff\n";

/// A command on its way.
#[derive(Debug)]
struct Request {
    said: Said,
    answer_to: oneshot::Sender<Result<Value, QmpError>>,
}

/// Lines with their meaning, and numbers for commands.
struct Link {
    lines: Lines,
    next_id: u64,
}

impl Link {
    /// Numbers start anywhere, so that an answer to a server before us is not taken for one to us. They are short: QEMU 7.2
    /// reads a byte at a time, 4 µs each.
    fn new(stream: UnixStream) -> Result<Link, QmpError> {
        let next_id = getrandom::u32().map_err(|_| Ended::Failed(io::ErrorKind::Other))?;
        Ok(Link { lines: Lines::new(stream), next_id: next_id.into() })
    }

    async fn hear(&mut self) -> Result<Message, Ended> {
        Message::parse(&self.lines.next().await?)
    }

    fn say(&mut self, said: Said) -> u64 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.lines.send(said.line(id).as_bytes(), said.descriptor);
        id
    }

    /// A command and its answer, while no other command waits and no event can come.
    async fn ask(&mut self, command: &str) -> Result<Value, QmpError> {
        let asked = self.say(Said::bare(command));
        loop {
            match self.hear().await? {
                Message::Answer { id: Some(id), result } if id == asked => return result.map_err(QmpError::Refused),
                Message::Event(_) => {}
                Message::Answer { .. } | Message::Greeting => return Err(Ended::Unexpected.into()),
            }
        }
    }

    /// A command and its answer, amid what was meant for a server before us: answers of other numbers, halves of lines.
    async fn ask_amid_leftovers(&mut self, command: &str) -> Result<Value, QmpError> {
        let asked = self.say(Said::bare(command));
        loop {
            match self.hear().await {
                Ok(Message::Answer { id: Some(id), result }) if id == asked => {
                    return result.map_err(QmpError::Refused);
                }
                Ok(_) | Err(Ended::NotQmp) => {}
                Err(ended) => return Err(ended.into()),
            }
        }
    }
}

/// The task that owns the socket.
struct Conversation {
    link: Link,
    /// Who waits for which answer. One who gave up stays here until its answer comes, so that it is known for one.
    waiting: HashMap<u64, oneshot::Sender<Result<Value, QmpError>>>,
    notices: mpsc::Sender<Notice>,
    /// Events that nobody took, not yet told.
    lost: u64,
}

impl Conversation {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, ended: Arc<OnceLock<Ended>>) {
        let why = loop {
            let step = tokio::select! {
                message = self.link.hear() => Step::Heard(message),
                request = requests.recv() => Step::Asked(request),
                _ = self.notices.reserve(), if self.lost > 0 => Step::Room,
            };
            match step {
                Step::Heard(Ok(message)) => {
                    if let Err(why) = self.take(message) {
                        break why;
                    }
                }
                Step::Heard(Err(why)) => break why,
                Step::Asked(Some(request)) => self.send(request),
                Step::Asked(None) => break Ended::Closed,
                Step::Room => self.tell_loss(),
            }
        };
        // Before the waiting ones are dropped, who look there for the reason.
        let _ = ended.set(why);
    }

    fn send(&mut self, request: Request) {
        if self.waiting.len() >= QMP_COMMANDS_WAITING {
            let _ = request.answer_to.send(Err(QmpError::Busy));
            return;
        }
        let id = self.link.say(request.said);
        self.waiting.insert(id, request.answer_to);
    }

    fn take(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Greeting => return Err(Ended::Unexpected),
            Message::Answer { id, result } => {
                let waits = id.and_then(|id| self.waiting.remove(&id)).ok_or(Ended::Unexpected)?;
                let _ = waits.send(result.map_err(QmpError::Refused)); // who gave up does not listen
            }
            Message::Event(event) => self.tell(event),
        }
        Ok(())
    }

    /// Order is kept: while a loss waits to be told, what comes is lost too.
    fn tell(&mut self, event: Event) {
        let told = self.lost == 0 && !matches!(self.notices.try_send(Notice::Event(event)), Err(TrySendError::Full(_)));
        if !told {
            self.lost = self.lost.saturating_add(1);
        }
    }

    fn tell_loss(&mut self) {
        let _ = self.notices.try_send(Notice::Lost(self.lost)); // there is room, or nobody
        self.lost = 0;
    }
}

/// What the task wakes up for.
enum Step {
    Heard(Result<Message, Ended>),
    Asked(Option<Request>),
    Room,
}

impl From<Ended> for QmpError {
    fn from(ended: Ended) -> QmpError {
        QmpError::Ended(ended)
    }
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QmpError::Refused(refusal) => write!(f, "the VMM refuses: {} ({})", refusal.description, refusal.class),
            QmpError::Silent { waited } => write!(f, "the VMM does not answer within {} ms", waited.as_millis()),
            QmpError::Ended(ended) => write!(f, "the conversation with the VMM is over: {ended}"),
            QmpError::Busy => write!(f, "more than {QMP_COMMANDS_WAITING} commands wait for the VMM"),
        }
    }
}

impl std::error::Error for QmpError {}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Closed => f.write_str("it closed its socket"),
            Ended::Failed(kind) => write!(f, "its socket failed: {kind}"),
            Ended::LongLine { limit_bytes } => write!(f, "it sent a line of more than {limit_bytes} bytes"),
            Ended::NotQmp => f.write_str("it sent what is no message of its protocol"),
            Ended::Unexpected => f.write_str("it sent an answer to nothing that was asked"),
        }
    }
}

impl std::error::Error for Ended {}

#[cfg(test)]
mod tests;
