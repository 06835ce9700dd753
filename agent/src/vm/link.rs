//! What the server may ask of its keeper about VMMs, and what it is told: messages of limited length, each with one form, over
//! a socket of their own. The keeper holds the ends of a VMM's sockets too, so that a server that dies loses no VM.

use crate::{
    budget::{ABILITIES_BYTES, KEEPER_ANSWER, NETWORKS, VMM_ARGUMENT_BYTES, VMM_ARGUMENTS, VMM_MESSAGE_BYTES},
    config::network::{Kind, Reach},
    descriptors,
    vm::{abilities::Abilities, limits::Limits},
};
use garant_api::{
    budget::NICS,
    spec::{Address, Mac},
};
use garant_attest::cbor;
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

/// Number of the ledger entry that says why a VMM runs: its name between server and keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunNumber(pub u64);

/// What runs a VMM's vCPUs, as far as its permissions differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Software alone.
    None,
    /// /dev/kvm.
    Kvm,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start a VMM. Descriptors: the server's ends that the keeper is to hold (QMP, console, log), then the VMM's (QMP,
    /// console, its files, log).
    Start(Start),
    /// End a VMM at once.
    Kill(RunNumber),
    /// Say which VMMs run.
    List,
    /// Say what holds VMMs on this node; answered by [`Abilities`] and nothing else.
    Abilities,
    /// These are the networks of the configuration, in its order. Each server says so before it reads anything from outside,
    /// and what the first one says holds for all.
    Networks(Vec<Kind>),
}

/// A VMM to start. Keys stand in the order of deterministic CBOR (RFC 8949, 4.2.1): the shorter first, then by their bytes.
/// What may be left out is not written, so that one request has one form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Its name from now on.
    pub run: RunNumber,
    /// Its network interfaces. For each on a bridge the keeper adds a tap behind its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<Nic>,
    /// What its user networks reach.
    #[serde(default, skip_serializing_if = "reaches_nothing")]
    pub reach: Reach,
    /// What it may open.
    pub device: Device,
    /// How much it may take.
    pub limits: Limits,
    /// Its arguments, without the program.
    pub arguments: Vec<String>,
}

/// A network interface of a VMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Its address on the wire.
    pub mac: Mac,
    /// Its IPv4 address, on a bridge with addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Number of its network among those that the keeper knows.
    pub network: u8,
}

fn reaches_nothing(reach: &Reach) -> bool {
    *reach == Reach::Nothing
}

impl Start {
    /// Whether it is what a VMM can be started with.
    fn is_within_limits(&self) -> bool {
        let is_one = |argument: &String| argument.len() <= VMM_ARGUMENT_BYTES && !argument.contains('\0');
        let are_few = self.nics.len() <= NICS && self.arguments.len() <= VMM_ARGUMENTS;
        self.limits.are_possible() && are_few && self.arguments.iter().all(is_one)
    }
}

/// An answer. `List` is answered by a `Running` for each VMM and a `Done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done. After `Start`: with a pidfd.
    Done,
    /// It was not done: no such VMM, or too many, or one of this name.
    Refused,
    /// This one runs; with its pidfd and the server's ends of QMP, console and log.
    Running(RunNumber),
}

/// The server's ends of a VMM.
#[derive(Debug)]
pub struct Ends {
    /// QMP.
    pub qmp: OwnedFd,
    /// The guest's first serial port.
    pub console: OwnedFd,
    /// What the VMM says on standard output and error.
    pub log: OwnedFd,
}

/// A VMM as the server holds it; the keeper holds it too.
#[derive(Debug)]
pub struct Vmm {
    /// Its name.
    pub run: RunNumber,
    /// Readable once it has ended.
    pub process: OwnedFd,
    /// Its sockets.
    pub ends: Ends,
}

impl Request {
    /// The request's bytes; `None` for one that is beyond its limits.
    pub fn encode(&self) -> Option<Vec<u8>> {
        match self {
            Request::List => Some(vec![LIST]),
            Request::Abilities => Some(vec![ABILITIES]),
            Request::Kill(run) => Some([&[KILL][..], &run.0.to_be_bytes()].concat()),
            Request::Start(start) => {
                let body = cbor::encode(start).ok().filter(|_| start.is_within_limits())?;
                Some([&[START][..], &body].concat()).filter(|bytes| bytes.len() <= VMM_MESSAGE_BYTES)
            }
            Request::Networks(kinds) => {
                let body = cbor::encode(kinds).ok().filter(|_| kinds.len() <= NETWORKS)?;
                Some([&[NETWORK][..], &body].concat())
            }
        }
    }

    /// The request in these bytes; `None` where there is none.
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let (kind, rest) = bytes.split_first()?;
        match (*kind, rest) {
            (LIST, []) => Some(Request::List),
            (ABILITIES, []) => Some(Request::Abilities),
            (KILL, run) => Some(Request::Kill(RunNumber(u64::from_be_bytes(run.try_into().ok()?)))),
            (START, body) => {
                let start: Start = cbor::decode(body, VMM_MESSAGE_BYTES).ok()?;
                start.is_within_limits().then_some(Request::Start(start))
            }
            (NETWORK, body) => {
                let kinds: Vec<Kind> = cbor::decode(body, VMM_MESSAGE_BYTES).ok()?;
                (kinds.len() <= NETWORKS).then_some(Request::Networks(kinds))
            }
            _ => None,
        }
    }
}

impl Answer {
    /// Bytes of each answer.
    pub const BYTES: usize = 9;

    /// The answer's bytes.
    pub fn encode(self) -> [u8; Answer::BYTES] {
        let (kind, run) = match self {
            Answer::Refused => (0, 0),
            Answer::Done => (1, 0),
            Answer::Running(run) => (2, run.0),
        };
        let mut fields = [kind].into_iter().chain(run.to_be_bytes());
        let mut bytes = [0; Answer::BYTES];
        bytes.fill_with(|| fields.next().unwrap_or_default());
        bytes
    }

    /// The answer in these bytes; `None` where there is none.
    pub fn decode(bytes: [u8; Answer::BYTES]) -> Option<Answer> {
        let [kind, run @ ..] = bytes;
        match (kind, u64::from_be_bytes(run)) {
            (0, 0) => Some(Answer::Refused),
            (1, 0) => Some(Answer::Done),
            (2, run) => Some(Answer::Running(RunNumber(run))),
            _ => None,
        }
    }
}

/// Why the keeper did not do it.
#[derive(Debug)]
pub enum VmLinkError {
    /// It refuses.
    Refused,
    /// It is gone, silent, or says what is no answer.
    Lost(io::Error),
}

impl fmt::Display for VmLinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VmLinkError::Refused => f.write_str("the keeper refuses: as many VMMs as it starts, or none of this name"),
            VmLinkError::Lost(_) => f.write_str("the keeper does not answer about VMMs"),
        }
    }
}

impl std::error::Error for VmLinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            VmLinkError::Refused => None,
            VmLinkError::Lost(source) => Some(source),
        }
    }
}

impl From<io::Error> for VmLinkError {
    fn from(error: io::Error) -> VmLinkError {
        VmLinkError::Lost(error)
    }
}

/// The server's end. Clones share it; each call blocks for the millisecond that starting a process takes.
#[derive(Debug, Clone)]
pub struct VmLink {
    socket: Arc<Mutex<OwnedFd>>,
}

impl VmLink {
    /// Over this socket of whole messages.
    pub fn new(socket: OwnedFd) -> io::Result<VmLink> {
        rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(KEEPER_ANSWER))?;
        Ok(VmLink { socket: Arc::new(Mutex::new(socket)) })
    }

    /// Starts a VMM; `theirs` are its QMP, console, files and log, in this order.
    pub fn start(&self, start: Start, ends: Ends, theirs: &[BorrowedFd<'_>]) -> Result<Vmm, VmLinkError> {
        let held = [ends.qmp.as_fd(), ends.console.as_fd(), ends.log.as_fd()];
        let run = start.run;
        let mut answers = self.ask(&Request::Start(start), &[&held, theirs].concat())?;
        match answers.pop() {
            Some((Answer::Done, descriptors)) => {
                let [process] = <[OwnedFd; 1]>::try_from(descriptors).map_err(|_| no_answer())?;
                Ok(Vmm { run, process, ends })
            }
            Some((Answer::Refused, _)) => Err(VmLinkError::Refused),
            _ => Err(no_answer().into()),
        }
    }

    /// Says which networks there are.
    pub fn networks(&self, kinds: Vec<Kind>) -> Result<(), VmLinkError> {
        match self.ask(&Request::Networks(kinds), &[])?.pop() {
            Some((Answer::Done, _)) => Ok(()),
            _ => Err(no_answer().into()),
        }
    }

    /// Ends a VMM at once; its process is readable when it has ended.
    pub fn kill(&self, run: RunNumber) -> Result<(), VmLinkError> {
        match self.ask(&Request::Kill(run), &[])?.pop() {
            Some((Answer::Done, _)) => Ok(()),
            Some((Answer::Refused, _)) => Err(VmLinkError::Refused),
            _ => Err(no_answer().into()),
        }
    }

    /// The VMMs that run.
    pub fn list(&self) -> Result<Vec<Vmm>, VmLinkError> {
        let mut vmms = Vec::new();
        for (answer, descriptors) in self.ask(&Request::List, &[])? {
            let Answer::Running(run) = answer else { continue };
            let [process, qmp, console, log] = <[OwnedFd; 4]>::try_from(descriptors).map_err(|_| no_answer())?;
            vmms.push(Vmm { run, process, ends: Ends { qmp, console, log } });
        }
        Ok(vmms)
    }

    /// What holds VMMs on this node.
    pub fn abilities(&self) -> Result<Abilities, VmLinkError> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        descriptors::send(&*socket, &[ABILITIES], &[])?;
        let mut buffer = vec![0; ABILITIES_BYTES];
        let (length, _) = descriptors::receive(&*socket, &mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        Ok(cbor::decode(bytes, ABILITIES_BYTES).map_err(|_| no_answer())?)
    }

    /// All answers, up to the one that is no `Running`.
    fn ask(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Vec<(Answer, Vec<OwnedFd>)>, VmLinkError> {
        let bytes = request.encode().ok_or_else(|| io::Error::other("a request beyond its limits"))?;
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        descriptors::send(&*socket, &bytes, descriptors)?;
        let mut answers = Vec::new();
        loop {
            let mut buffer = [0; Answer::BYTES];
            let (length, descriptors) = descriptors::receive(&*socket, &mut buffer)?;
            let answer = Answer::decode(buffer).filter(|_| length == Answer::BYTES).ok_or_else(no_answer)?;
            let is_last = !matches!(answer, Answer::Running(_));
            answers.push((answer, descriptors));
            if is_last {
                return Ok(answers);
            }
        }
    }
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what the keeper said is no answer")
}

const START: u8 = 1;
const KILL: u8 = 2;
const LIST: u8 = 3;
const ABILITIES: u8 = 4;
const NETWORK: u8 = 5;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::vm::limits::Hold;

    fn start(arguments: &[&str]) -> Request {
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        Request::Start(Start { device: Device::Kvm, ..start_in_software(arguments) })
    }

    fn limits() -> Limits {
        Limits { hold: Hold::WherePossible, threads: 9, cpu_percent: None, memory_mib: 64 }
    }

    fn start_in_software(arguments: Vec<String>) -> Start {
        let (nics, reach, device) = (Vec::new(), Reach::Nothing, Device::None);
        Start { run: RunNumber(7), nics, reach, device, limits: limits(), arguments }
    }

    fn networks() -> Vec<Kind> {
        let text = "name = 'a'\nkind = 'bridge'\nbridge = 'br0'\nuplink = 'eth0'\nsubnet = '10.0.0.0/24'\ngateway = '10.0.0.1'";
        [text, "name = 'b'\nkind = 'user'", "name = 'c'\nkind = 'bridge'\nbridge = 'br1'\nports = 'connected'"]
            .map(|text| toml::from_str::<crate::config::network::Network>(text).unwrap().kind)
            .to_vec()
    }

    /// A start whose body is this CBOR.
    fn start_of(parts: &[&[u8]]) -> Vec<u8> {
        [&[&[START][..]], parts].concat().concat()
    }

    const RUN: &[u8] = b"\x63run\x07";
    const DEVICE: &[u8] = b"\x66device\x63kvm";
    const LIMITS: &[u8] = b"\x66limits\xa3\x64hold\x6ewhere_possible\x67threads\x09\x6amemory_mib\x18\x40";
    const ARGUMENTS: &[u8] = b"\x69arguments\x81\x62-M";

    #[test]
    fn requests_and_answers_come_back_as_they_were() {
        for request in [
            start(&["-M", "microvm", ""]),
            start(&[]),
            Request::Kill(RunNumber(u64::MAX)),
            Request::List,
            Request::Abilities,
        ] {
            assert_eq!(Request::decode(&request.encode().unwrap()), Some(request));
        }
        for answer in [Answer::Done, Answer::Refused, Answer::Running(RunNumber(9))] {
            assert_eq!(Answer::decode(answer.encode()), Some(answer));
        }
        let nic = Nic { mac: Mac::of_random([1; 6]), address: "10.0.0.2".parse().ok(), network: 1 };
        let bare = Nic { address: None, ..nic };
        for (nics, reach) in [(vec![nic], Reach::Nothing), (vec![bare, nic], Reach::Outside)] {
            let request = Request::Start(Start { nics, reach, ..start_in_software(Vec::new()) });
            assert_eq!(Request::decode(&request.encode().unwrap()), Some(request));
        }
        let request = Request::Networks(networks());
        assert_eq!(Request::decode(&request.encode().unwrap()), Some(request));
        assert_eq!(start(&["-M"]).encode().unwrap(), start_of(&[b"\xa4", RUN, DEVICE, LIMITS, ARGUMENTS]));
    }

    #[test]
    fn what_is_no_request_is_none() {
        let good = start(&["-M"]).encode().unwrap();
        let cut = (0..good.len()).map(|length| good.get(..length).unwrap().to_vec());
        let wrong = [
            vec![9],
            vec![LIST, 0],
            vec![ABILITIES, 0],
            vec![KILL, 0],
            [&good[..], &[0]].concat(),
            start_of(&[b"\xa4", RUN, b"\x66device\x63tpm", LIMITS, ARGUMENTS]),
            start_of(&[b"\xa4", RUN, DEVICE, LIMITS, b"\x69arguments\x81\x62\xff\xff"]),
            start_of(&[b"\xa4", RUN, DEVICE, LIMITS, b"\x69arguments\x81\x62-\0"]),
            start_of(&[b"\xa3", RUN, DEVICE, ARGUMENTS]),
            start_of(&[b"\xa5", RUN, b"\x63tap\x01", DEVICE, LIMITS, ARGUMENTS]),
        ];
        for bytes in cut.chain(wrong) {
            assert_eq!(Request::decode(&bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn more_networks_or_interfaces_than_there_may_be_are_neither_sent_nor_taken() {
        let nic = Nic { mac: Mac::of_random([1; 6]), address: None, network: 0 };
        let with = |nics: usize| Start { nics: vec![nic; nics], ..start_in_software(Vec::new()) };
        assert!(Request::Start(with(NICS)).encode().is_some());
        assert_eq!(Request::Start(with(NICS + 1)).encode(), None);
        assert_eq!(Request::decode(&[&[START][..], &cbor::encode(&with(NICS + 1)).unwrap()].concat()), None);
        let kinds = |count: usize| vec![Kind::User(Reach::Nothing); count];
        assert!(Request::Networks(kinds(NETWORKS)).encode().is_some());
        assert_eq!(Request::Networks(kinds(NETWORKS + 1)).encode(), None);
        assert_eq!(Request::decode(&[&[NETWORK][..], &cbor::encode(&kinds(NETWORKS + 1)).unwrap()].concat()), None);
    }

    #[test]
    fn one_start_has_one_form() {
        let forms: [&[&[u8]]; 5] = [
            &[b"\xa5", RUN, b"\x64nics\x80", DEVICE, LIMITS, ARGUMENTS],
            &[b"\xa4", DEVICE, RUN, LIMITS, ARGUMENTS],
            &[b"\xa5", RUN, RUN, DEVICE, LIMITS, ARGUMENTS],
            &[b"\xa4", b"\x63run\x18\x07", DEVICE, LIMITS, ARGUMENTS],
            &[b"\xbf", RUN, DEVICE, LIMITS, ARGUMENTS, b"\xff"],
        ];
        for form in forms {
            assert_eq!(Request::decode(&start_of(form)), None, "{form:x?}");
        }
    }

    #[test]
    fn arguments_beyond_their_number_or_length_are_neither_sent_nor_taken() {
        let bytes = |arguments: Vec<String>| {
            let start = start_in_software(arguments);
            [&[START][..], &cbor::encode(&start).unwrap()].concat()
        };
        assert!(Request::decode(&bytes(vec!["x".to_owned(); VMM_ARGUMENTS])).is_some());
        for wrong in [vec!["x".to_owned(); VMM_ARGUMENTS + 1], vec!["x".repeat(VMM_ARGUMENT_BYTES + 1)]] {
            assert_eq!(Request::decode(&bytes(wrong.clone())), None);
            let words: Vec<&str> = wrong.iter().map(String::as_str).collect();
            assert_eq!(start(&words).encode(), None);
        }
        assert_eq!(start(&["x".repeat(VMM_ARGUMENT_BYTES).as_str(); 17]).encode(), None, "beyond one message");
    }
}
