//! What a VM is asked to do, and what a node says of it.

use crate::{
    budget,
    client::ClientName,
    error::Invalid,
    field,
    number::number,
    spec::{Address, Mac, NetworkName, Spec, VmId},
};
use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// Path of all VMs; `/{id}` behind it is one, `/{id}/console` its console, `/{id}/{verb}` an act.
pub const PATH: &str = "/v1/vms";

/// Media type of every body here but for the console (text/plain) and problems.
pub const MEDIA_TYPE: &str = "application/json";

/// Body of `POST /v1/vms/{id}/{verb}` and of `DELETE /v1/vms/{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Which the client means; a past one changes nothing.
    #[serde(deserialize_with = "field::generation")]
    pub generation: u64,
    /// How long the guest may take to stop by itself before it is ended; the node's own choice where left out.
    #[serde(default, deserialize_with = "field::grace_s", skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<GraceS>,
}

impl Act {
    /// Reads it; what is wrong is said with its field.
    pub fn from_json(verb: Verb, json: &[u8]) -> Result<Act, Invalid> {
        let act: Act = field::read(json)?;
        match (verb, act.grace_s) {
            (Verb::Stop, _) | (_, None) => Ok(act),
            (_, Some(_)) => Err(Invalid::Grace { verb: verb.name() }),
        }
    }
}

number! {
    /// Seconds that a guest may take to stop by itself, at most [`budget::GRACE_S`]; 0 ends it at once.
    GraceS(u16), 0, budget::GRACE_S
}

/// What a VM can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Run from the beginning.
    Start,
    /// Halt its vCPUs.
    Pause,
    /// Let them go on.
    Resume,
    /// Ask the guest to stop, and end it after the grace period.
    Stop,
    /// End it at once and forget it: `DELETE` instead of a path of its own.
    Delete,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 5] = [Verb::Start, Verb::Pause, Verb::Resume, Verb::Stop, Verb::Delete];

    /// The word, which is also the end of the path.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Stop => "stop",
            Verb::Delete => "delete",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a VM is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The node knows its spec, and nothing runs.
    Defined,
    /// A VMM is on its way.
    Starting,
    /// The VMM says that vCPUs run; whether the guest does anything is another question.
    Running,
    /// Its vCPUs halt.
    Paused,
    /// The guest was asked to stop, or is being ended.
    Stopping,
    /// It ran, and has ended as it was asked to, or by itself.
    Stopped,
    /// It could not start, or ended otherwise; the reason says how.
    Failed,
    /// It is forgotten. Only events, and the answer to `DELETE`, say so.
    Deleted,
}

impl State {
    /// All of them.
    pub const ALL: [State; 8] = [
        State::Defined,
        State::Starting,
        State::Running,
        State::Paused,
        State::Stopping,
        State::Stopped,
        State::Failed,
        State::Deleted,
    ];

    /// The word that JSON has for it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Defined => "defined",
            State::Starting => "starting",
            State::Running => "running",
            State::Paused => "paused",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
            State::Failed => "failed",
            State::Deleted => "deleted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When each step of the present run happened: milliseconds since 1970 by the node's clock, which no check covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The request that led to this state was accepted.
    pub accepted: u64,
    /// The VMM answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmm_ready: Option<u64>,
    /// The VMM said that vCPUs run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// The guest said that it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_ready: Option<u64>,
    /// The VMM ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
}

/// From what a start was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A VMM was started for it.
    Cold,
    /// A VMM of its shape waited, configured and paused.
    Pool,
}

impl Level {
    /// All of them.
    pub const ALL: [Level; 2] = [Level::Cold, Level::Pool];
}

/// A VM: the answer to `GET /v1/vms/{id}`, and to every request that changes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// Its name.
    pub id: VmId,
    /// Which spec it has.
    pub generation: u64,
    /// Whose it is: the client that defined it first; nobody's where that was done on the node's own socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ClientName>,
    /// What it is.
    pub spec: Spec,
    /// What it is doing.
    pub state: State,
    /// Why it is in this state, where that is not what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is wrong with its VMM while it has one; what is said of the VM may be old then. It can still be ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// When it got there.
    pub times: Times,
    /// Its network interfaces, as the node has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<Interface>,
    /// From what its present run was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

/// A network interface, with what was left to the node. It is the VM's from its definition until it is forgotten or gets
/// another spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Where it leads.
    pub network: NetworkName,
    /// Its address on the wire.
    pub mac: Mac,
    /// Its IPv4 address, on a network that has addresses; the guest has to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Bits of that address that are the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_bits: Option<u8>,
    /// The way out of that network, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Address>,
}

/// The answer to `GET /v1/vms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Number of the last event that this list knows of: events after it bring the list up to date.
    pub sequence: u64,
    /// All VMs that the caller may see, by id.
    pub vms: Vec<Vm>,
}

/// Not a verb of the API; who asked is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAVerb;

impl fmt::Display for NotAVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected start, pause, resume, stop or delete")
    }
}

impl core::error::Error for NotAVerb {}

impl FromStr for Verb {
    type Err = NotAVerb;

    fn from_str(text: &str) -> Result<Verb, NotAVerb> {
        Verb::ALL.into_iter().find(|verb| verb.name() == text).ok_or(NotAVerb)
    }
}

#[cfg(test)]
mod tests;
