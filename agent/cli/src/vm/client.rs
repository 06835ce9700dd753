//! Questions to a node about VMs, over its Unix socket or, once it has proven itself, over TLS.
//!
//! A connection is opened when it is needed and again after it broke: the node's server may be restarted at any time, and
//! every request may be sent twice.

use crate::{
    failure::Failure,
    verify::{
        Asking,
        vouched::{self, NotVouched},
    },
};
use garant_api::{
    budget,
    event::{self, Events},
    node,
    problem::{Code, Problem},
    spec::{Ensure, VmId},
    vm::{self, Act, List, Verb, Vm},
};
use garant_channel::{
    error::ChannelError,
    http::{Budget, Connection, Method},
};
use garant_verifier::{dial::Address, session::Session};
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error, fmt, io, path::PathBuf, time::Duration};
use tokio::net::UnixStream;

/// The asking end.
pub(crate) struct Client {
    node: Node,
    connection: Option<Open>,
}

/// The node that is asked.
pub(crate) enum Node {
    /// This one, by its socket.
    Near(PathBuf),
    /// One elsewhere, and what it has to prove first.
    Far(Address, Box<Asking>),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Near(socket) => socket.display().fmt(f),
            Node::Far(address, _) => address.fmt(f),
        }
    }
}

/// An open connection.
enum Open {
    Near(Connection),
    Far(Box<Session>),
}

impl Open {
    fn is_closed(&mut self) -> bool {
        match self {
            Open::Near(connection) => connection.is_closed(),
            Open::Far(session) => session.link().is_closed(),
        }
    }

    async fn json(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), NoAnswer> {
        let answered = match self {
            Open::Near(connection) => connection.json(method, path, body, BUDGET).await,
            Open::Far(session) => session.link().json(method, path, body, BUDGET).await,
        };
        answered.map(|(status, body)| (status, body.to_vec())).map_err(NoAnswer::Channel)
    }
}

impl Client {
    /// Nothing is opened yet.
    pub(crate) fn new(node: Node) -> Client {
        Client { node, connection: None }
    }

    /// Says what a VM is.
    pub(crate) async fn ensure(&mut self, id: &VmId, ensure: &Ensure) -> Result<Vm, NoAnswer> {
        self.send(Method::PUT, &format!("{}/{id}", vm::PATH), ensure).await
    }

    /// Has a VM do something.
    pub(crate) async fn act(&mut self, id: &VmId, verb: Verb, act: &Act) -> Result<Vm, NoAnswer> {
        match verb {
            Verb::Delete => self.send(Method::DELETE, &format!("{}/{id}", vm::PATH), act).await,
            _ => self.send(Method::POST, &format!("{}/{id}/{verb}", vm::PATH), act).await,
        }
    }

    /// What a VM is doing.
    pub(crate) async fn get(&mut self, id: &VmId) -> Result<Vm, NoAnswer> {
        self.read(&format!("{}/{id}", vm::PATH)).await
    }

    /// All VMs.
    pub(crate) async fn list(&mut self) -> Result<List, NoAnswer> {
        self.read(vm::PATH).await
    }

    /// What works on the node.
    pub(crate) async fn node(&mut self) -> Result<node::Node, NoAnswer> {
        self.read(node::PATH).await
    }

    /// What happened after this event; the node may take [`budget::EVENTS_WAIT`] over it.
    pub(crate) async fn events(&mut self, after: u64) -> Result<Events, NoAnswer> {
        self.read(&format!("{}/{after}", event::PATH)).await
    }

    /// The end of what a VM's console said.
    pub(crate) async fn console(&mut self, id: &VmId) -> Result<Vec<u8>, NoAnswer> {
        self.ask(Method::GET, &format!("{}/{id}/console", vm::PATH), Vec::new()).await
    }

    async fn read<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, NoAnswer> {
        parsed(&self.ask(Method::GET, path, Vec::new()).await?)
    }

    async fn send<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, NoAnswer> {
        let body = serde_json::to_vec(body).map_err(|error| NoAnswer::Odd { what: error.to_string() })?;
        parsed(&self.ask(method, path, body).await?)
    }

    async fn ask(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<Vec<u8>, NoAnswer> {
        let kept = self.connection.take().map(|mut open| (open.is_closed(), open));
        let mut connection = match kept {
            Some((false, open)) => open,
            _ => self.open().await?,
        };
        let (status, body) = connection.json(method, path, body).await?;
        self.connection = Some(connection);
        if (200..300).contains(&status) { Ok(body) } else { Err(refusal(status, &body)) }
    }

    async fn open(&self) -> Result<Open, NoAnswer> {
        match &self.node {
            Node::Near(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(NoAnswer::Closed)?;
                Ok(Open::Near(Connection::open(stream).await.map_err(NoAnswer::Channel)?))
            }
            Node::Far(address, asking) => {
                let session = vouched::connect(address, asking).await;
                session.map(|session| Open::Far(Box::new(session))).map_err(|fault| match fault {
                    NotVouched::Away(error) => NoAnswer::Channel(error),
                    NotVouched::Unproven(failure) => NoAnswer::Unproven(failure),
                })
            }
        }
    }

    /// What a person is told; `about` is a VM, or all of them.
    pub(crate) fn failure(&self, about: &dyn fmt::Display, no_answer: &NoAnswer) -> Failure {
        let place = format!("{about} at {}", self.node);
        match no_answer {
            NoAnswer::Closed(error) => {
                Failure::new(format!("the node cannot be reached: {error}"), &self.node, next_after(error))
            }
            NoAnswer::Channel(error) => {
                let cause = error.source().map_or(String::new(), |source| format!(": {source}"));
                Failure::new(format!("{error}{cause}"), place, "ask again: what was asked is done once, not twice")
            }
            NoAnswer::Problem(problem) => {
                let Problem { title, code, detail, next, .. } = &**problem;
                let fault = serde_json::to_string(&problem.fault).unwrap_or_default();
                let place = format!("{place} ({code}, fault of the {})", fault.trim_matches('"'));
                Failure::new(format!("{title}: {detail}"), place, next)
            }
            NoAnswer::Unproven(failure) => failure.clone(),
            NoAnswer::Odd { what } => {
                Failure::new(what, place, "check that garantd answers there, of the same release as this program")
            }
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The node: nobody listens, or not to us.
    Closed(io::Error),
    /// The node: it broke off or was too slow.
    Channel(ChannelError),
    /// Nobody was asked: the node has not proven itself.
    Unproven(Failure),
    /// Whoever the problem says.
    Problem(Box<Problem>),
    /// The node, or what answers in its place: this is no answer of garantd.
    Odd { what: String },
}

impl NoAnswer {
    /// Whether the node refused for this reason.
    pub(crate) fn is(&self, code: Code) -> bool {
        matches!(self, NoAnswer::Problem(problem) if problem.code == code)
    }

    /// Whether the node's server was away, as it is while it is restarted.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, NoAnswer::Closed(_) | NoAnswer::Channel(_))
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, NoAnswer> {
    serde_json::from_slice(body).map_err(|error| NoAnswer::Odd { what: format!("an answer that is none: {error}") })
}

fn refusal(status: u16, body: &[u8]) -> NoAnswer {
    match serde_json::from_slice(body) {
        Ok(problem) => NoAnswer::Problem(Box::new(problem)),
        Err(_) => {
            let said = String::from_utf8_lossy(body.get(..budget::DETAIL_BYTES).unwrap_or(body));
            NoAnswer::Odd { what: format!("the node answered {status}: {}", said.trim()) }
        }
    }
}

fn next_after(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run this as a user who may open the socket, or with sudo",
        _ => "start garantd with `socket` in its configuration, or name its socket with --socket",
    }
}

/// A start of a VM whose memory is cleared first takes seconds; a watcher waits longest.
const BUDGET: Budget =
    Budget { bytes: budget::ANSWER_BYTES, time: budget::EVENTS_WAIT.saturating_add(Duration::from_secs(30)) };
