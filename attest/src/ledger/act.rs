//! What an entry of the ledger says: acts on VMs, before they are done (an intent) and after (a result). Left out: how an
//! entry is hashed and sent (`entry`), and what entries add up to (`workload`).

use crate::{
    budget,
    cbor::{self, Bytes32, CborError},
    owner::holdings::List,
    statement::is_plain,
};
use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// What kind of act an entry is about. Everybody sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// VMMs of this program wait in the pool, as many as there come: from now on each may run.
    Ready,
    /// Intent: this VM is to run.
    Start,
    /// Result: it runs.
    Started,
    /// It was paused.
    Pause,
    /// It goes on.
    Resume,
    /// Intent: it is to end.
    Stop,
    /// Result: it no longer runs.
    Ended,
    /// Intent: it is to be forgotten, and to end where it runs.
    Delete,
    /// An entry that a crash kept from the PCR was extended late: nobody knows whether its act took place.
    Void,
    /// The node lost part of its journal, or found in the PCR what it did not extend.
    Gap,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntryKind::Ready => "ready",
            EntryKind::Start => "start",
            EntryKind::Started => "started",
            EntryKind::Pause => "pause",
            EntryKind::Resume => "resume",
            EntryKind::Stop => "stop",
            EntryKind::Ended => "ended",
            EntryKind::Delete => "delete",
            EntryKind::Void => "void",
            EntryKind::Gap => "gap",
        })
    }
}

/// One life of a VM: its id on this node, which is 1 to 63 of `a-z 0-9 -`, first a letter or digit; and its generation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmName {
    id: String,
    generation: u64,
}

impl VmName {
    /// The name; `None` where the id is none.
    pub fn new(id: &str, generation: u64) -> Option<VmName> {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = id.bytes().next().is_some_and(is_letter);
        let is_id = first && id.len() <= budget::VM_ID_BYTES && id.bytes().all(|byte| is_letter(byte) || byte == b'-');
        is_id.then(|| VmName { id: id.into(), generation })
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (generation {})", self.id, self.generation)
    }
}

/// Who asked for an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody on the node's own socket.
    Local,
    /// Who has the key of this id.
    Key([u8; 32]),
}

/// What a VMM is given to run, as SHA-256 of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The kernel.
    pub kernel: [u8; 32],
    /// The initrd, where there is one.
    pub initrd: Option<[u8; 32]>,
    /// The whole command line, as the guest gets it.
    pub command_line: [u8; 32],
    /// The images of the disks, in their order, as they were before the guest wrote. Of a pool: all that a disk may have.
    pub disks: Vec<[u8; 32]>,
}

impl Program {
    /// Whether what was ready as this may become `started`: each disk has one of the images.
    pub fn covers(&self, started: &Program) -> bool {
        let Program { kernel, initrd, command_line, disks } = self;
        let is_alike = (kernel, initrd, command_line) == (&started.kernel, &started.initrd, &started.command_line);
        is_alike && started.disks.iter().all(|disk| disks.contains(disk))
    }
}

/// What an entry's body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// See [`EntryKind::Ready`].
    Ready(Program),
    /// See [`EntryKind::Start`].
    Start {
        /// Which VM.
        vm: VmName,
        /// Who asked.
        by: Asker,
        /// SHA-256 of the whole specification.
        spec: [u8; 32],
        /// What it is given to run.
        program: Program,
        /// Number of the entry by which it was ready in the pool: it may have run before this start was extended.
        ready: Option<u64>,
    },
    /// See [`EntryKind::Started`].
    Started {
        /// Which VM.
        vm: VmName,
        /// Number of its start.
        of: u64,
    },
    /// See [`EntryKind::Pause`].
    Pause(VmName, Asker),
    /// See [`EntryKind::Resume`].
    Resume(VmName, Asker),
    /// See [`EntryKind::Stop`].
    Stop(VmName, Asker),
    /// See [`EntryKind::Ended`].
    Ended {
        /// Which VM.
        vm: VmName,
        /// Number of its start, or of the stop or deletion that ended it.
        of: u64,
        /// Why, in words.
        why: String,
    },
    /// See [`EntryKind::Delete`].
    Delete(VmName, Asker),
    /// See [`EntryKind::Void`]: the entry of this number.
    Void(u64),
    /// See [`EntryKind::Gap`]: why, in words.
    Gap(String),
}

/// Bytes that are not the body of such an entry; the node is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// No map of these keys.
    Cbor(CborError),
    /// Not the fields of this kind.
    Fields,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Cbor(error) => error.fmt(f),
            BodyError::Fields => f.write_str("other fields than an entry of this kind has"),
        }
    }
}

impl core::error::Error for BodyError {}

impl Act {
    /// Its kind.
    pub fn kind(&self) -> EntryKind {
        match self {
            Act::Ready(_) => EntryKind::Ready,
            Act::Start { .. } => EntryKind::Start,
            Act::Started { .. } => EntryKind::Started,
            Act::Pause(..) => EntryKind::Pause,
            Act::Resume(..) => EntryKind::Resume,
            Act::Stop(..) => EntryKind::Stop,
            Act::Ended { .. } => EntryKind::Ended,
            Act::Delete(..) => EntryKind::Delete,
            Act::Void(_) => EntryKind::Void,
            Act::Gap(_) => EntryKind::Gap,
        }
    }

    /// The body of an entry about it; an error for what nobody could read: too many disks, or words that are none.
    pub fn encode(&self) -> Result<Vec<u8>, CborError> {
        let body = Body::of(self);
        if body.act(self.kind()).as_ref() != Some(self) {
            return Err(CborError::Unencodable);
        }
        cbor::encode(&body)
    }

    /// Reads the body of an entry of this kind.
    pub fn decode(kind: EntryKind, body: &[u8]) -> Result<Act, BodyError> {
        let body: Body = cbor::decode(body, budget::ENTRY_BODY_BYTES).map_err(BodyError::Cbor)?;
        // What the kind has no place for would be read by nobody.
        body.act(kind).filter(|act| Body::of(act) == body).ok_or(BodyError::Fields)
    }
}

/// A body as it is written: a map whose keys stand in the order of their encoding.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Asker>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "gen")]
    generation: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<Bytes32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disks: Option<List<Bytes32, { budget::ENTRY_DISKS }>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    initrd: Option<Bytes32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<Bytes32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cmdline: Option<Bytes32>,
}

impl Body {
    fn of(act: &Act) -> Body {
        match act {
            Act::Ready(program) => Body::default().with_program(program),
            Act::Start { vm, by, spec, program, ready } => {
                Body { spec: Some(Bytes32::new(*spec)), of: *ready, ..Body::asked(vm, *by).with_program(program) }
            }
            Act::Started { vm, of } => Body { of: Some(*of), ..Body::about(vm) },
            Act::Pause(vm, by) | Act::Resume(vm, by) | Act::Stop(vm, by) | Act::Delete(vm, by) => Body::asked(vm, *by),
            Act::Ended { vm, of, why } => Body { of: Some(*of), why: Some(why.clone()), ..Body::about(vm) },
            Act::Void(of) => Body { of: Some(*of), ..Body::default() },
            Act::Gap(why) => Body { why: Some(why.clone()), ..Body::default() },
        }
    }

    fn about(vm: &VmName) -> Body {
        Body { id: Some(vm.id.clone()), generation: Some(vm.generation), ..Body::default() }
    }

    fn asked(vm: &VmName, by: Asker) -> Body {
        Body { by: Some(by), ..Body::about(vm) }
    }

    fn with_program(self, program: &Program) -> Body {
        Body {
            kernel: Some(Bytes32::new(program.kernel)),
            initrd: program.initrd.map(Bytes32::new),
            cmdline: Some(Bytes32::new(program.command_line)),
            disks: List::new(program.disks.iter().copied().map(Bytes32::new).collect()),
            ..self
        }
    }

    fn act(&self, kind: EntryKind) -> Option<Act> {
        Some(match kind {
            EntryKind::Ready => Act::Ready(self.program()?),
            EntryKind::Start => {
                Act::Start { vm: self.vm()?, by: self.by?, spec: *self.spec?, program: self.program()?, ready: self.of }
            }
            EntryKind::Started => Act::Started { vm: self.vm()?, of: self.of? },
            EntryKind::Pause => Act::Pause(self.vm()?, self.by?),
            EntryKind::Resume => Act::Resume(self.vm()?, self.by?),
            EntryKind::Stop => Act::Stop(self.vm()?, self.by?),
            EntryKind::Ended => Act::Ended { vm: self.vm()?, of: self.of?, why: self.why()? },
            EntryKind::Delete => Act::Delete(self.vm()?, self.by?),
            EntryKind::Void => Act::Void(self.of?),
            EntryKind::Gap => Act::Gap(self.why()?),
        })
    }

    fn vm(&self) -> Option<VmName> {
        VmName::new(self.id.as_ref()?, self.generation?)
    }

    fn why(&self) -> Option<String> {
        self.why.clone().filter(|why| is_plain(why, budget::ENTRY_WHY_BYTES))
    }

    fn program(&self) -> Option<Program> {
        Some(Program {
            kernel: *self.kernel?,
            initrd: self.initrd.map(|digest| *digest),
            command_line: *self.cmdline?,
            disks: self.disks.as_ref()?.iter().map(|digest| **digest).collect(),
        })
    }
}

impl Serialize for Asker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Asker::Local => serializer.serialize_str(LOCAL),
            Asker::Key(id) => serializer.serialize_bytes(id),
        }
    }
}

impl<'de> Deserialize<'de> for Asker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Asker;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a key, or `local`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Asker, E> {
                if text == LOCAL { Ok(Asker::Local) } else { Err(E::custom("nobody of that name asks")) }
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Asker, E> {
                bytes.try_into().map(Asker::Key).map_err(|_| E::custom("an id of a key has 32 bytes"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const LOCAL: &str = "local";

#[cfg(test)]
mod tests;
