//! What the server gets from its keeper: descriptors, the configuration as it was hashed, entry 0, and a way to ask for B's
//! signature over a session key.
//!
//! The link to the keeper is the server's standard input, the TPM its standard output; both become /dev/null once they are
//! taken. Messages have fixed lengths: the keeper reads 33 bytes from its child, and beside them what `vm::link` has.

use crate::{
    budget::{CONFIGURATION_BYTES, ENTRY_ZERO_BYTES, KEEPER_ANSWER},
    descriptors,
    tpm_device::TpmDevice,
    vm::link::VmLink,
};
use nix::unistd::{dup2_stdin, dup2_stdout};
use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, PoisonError},
};

/// Everything a server has when it starts.
pub struct Inherited {
    /// The configuration file, byte for byte what entry 0 has the SHA-256 of. Not parsed yet.
    pub configuration: Vec<u8>,
    /// Entry 0, as it was extended.
    pub entry_zero: Vec<u8>,
    /// B, Ed25519.
    pub boot_key: [u8; 32],
    /// The PCR of the ledger.
    pub ledger_pcr: u8,
    /// The TPM, opened for this server.
    pub tpm: TpmDevice,
    /// The way to the keeper.
    pub keeper: KeeperLink,
    /// The way to its VMMs.
    pub vmms: VmLink,
    /// What servers of this boot wrote down: a file in memory that the keeper holds.
    pub journal: File,
}

impl Inherited {
    /// Takes standard input and output, which must not be used before, and waits for what the keeper sends first.
    pub fn take() -> io::Result<Inherited> {
        let link = io::stdin().as_fd().try_clone_to_owned()?;
        let tpm = io::stdout().as_fd().try_clone_to_owned()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        Inherited::receive(UnixStream::from(link), tpm)
    }

    /// The same from any two descriptors.
    pub fn receive(mut link: UnixStream, tpm: OwnedFd) -> io::Result<Inherited> {
        link.set_read_timeout(Some(KEEPER_ANSWER))?;
        link.set_write_timeout(Some(KEEPER_ANSWER))?;
        let mut boot_key = [0; 32];
        let mut ledger_pcr = [0; 1];
        link.read_exact(&mut boot_key)?;
        link.read_exact(&mut ledger_pcr)?;
        let entry_zero = read_sized(&mut link, ENTRY_ZERO_BYTES)?;
        let configuration = read_sized(&mut link, CONFIGURATION_BYTES)?;
        let (_, descriptors) = descriptors::receive(&link, &mut [0; 1])?;
        let [vmms, journal] = <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| io::ErrorKind::InvalidData)?;
        let (vmms, journal) = (VmLink::new(vmms)?, File::from(journal));
        let [ledger_pcr] = ledger_pcr;
        let keeper = KeeperLink { link: Arc::new(Mutex::new(link)) };
        let tpm = TpmDevice::new(tpm)?;
        Ok(Inherited { configuration, entry_zero, boot_key, ledger_pcr, tpm, keeper, vmms, journal })
    }
}

/// What the keeper sends first.
pub fn send_first(
    link: &mut impl Write,
    boot_key: &[u8; 32],
    ledger_pcr: u8,
    entry_zero: &[u8],
    configuration: &[u8],
) -> io::Result<()> {
    let mut message = boot_key.to_vec();
    message.push(ledger_pcr);
    for part in [entry_zero, configuration] {
        let length = u32::try_from(part.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        message.extend(length.to_be_bytes());
        message.extend(part);
    }
    link.write_all(&message)
}

/// What the keeper sends after that: the way to its VMMs, and the journal.
pub fn send_descriptors(link: &UnixStream, vmms: BorrowedFd<'_>, journal: BorrowedFd<'_>) -> io::Result<()> {
    descriptors::send(link, &[0], &[vmms, journal])
}

fn read_sized(link: &mut UnixStream, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    link.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limit_bytes {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    link.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The server's end of the link. Clones share it; each call takes microseconds and blocks.
#[derive(Clone)]
pub struct KeeperLink {
    link: Arc<Mutex<UnixStream>>,
}

/// Why the keeper did not answer.
#[derive(Debug)]
pub enum LinkError {
    /// The keeper refuses: more session keys than a server needs.
    Refused,
    /// The keeper is gone or silent.
    Lost(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Refused => f.write_str("the keeper vouches for no more session keys now"),
            LinkError::Lost(_) => f.write_str("the keeper does not answer"),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LinkError::Lost(source) => Some(source),
            LinkError::Refused => None,
        }
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> LinkError {
        LinkError::Lost(error)
    }
}

impl KeeperLink {
    /// B's signature over `"garant/key/1\0" ‖ F`.
    pub fn vouch(&self, session_key: &[u8; 32]) -> Result<[u8; 64], LinkError> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.write_all(&Request::Vouch(*session_key).encode())?;
        let mut answer = [0; ANSWER_BYTES];
        link.read_exact(&mut answer)?;
        let [kind, signature @ ..] = answer;
        if kind == GRANTED { Ok(signature) } else { Err(LinkError::Refused) }
    }

    /// Tells the keeper that the server answers from now on.
    pub fn ready(&self) -> Result<(), LinkError> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(link.write_all(&Request::Ready.encode())?)
    }
}

/// What a server may say to its keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Sign this session key.
    Vouch([u8; 32]),
    /// The server answers.
    Ready,
}

impl Request {
    /// Bytes of each request: its kind and 32 more.
    pub const BYTES: usize = 33;

    /// The request's bytes.
    pub fn encode(self) -> [u8; Request::BYTES] {
        let mut bytes = [0; Request::BYTES];
        let (kind, body) = match self {
            Request::Vouch(key) => (VOUCH, key),
            Request::Ready => (READY, [0; 32]),
        };
        let mut fields = [kind].into_iter().chain(body);
        bytes.fill_with(|| fields.next().unwrap_or_default());
        bytes
    }

    /// The request in these bytes; `None` where there is none, and the child is none of ours.
    pub fn decode(bytes: [u8; Request::BYTES]) -> Option<Request> {
        let [kind, body @ ..] = bytes;
        match kind {
            VOUCH => Some(Request::Vouch(body)),
            READY if body == [0; 32] => Some(Request::Ready),
            _ => None,
        }
    }
}

/// The keeper's answer to [`Request::Vouch`]; `None` refuses.
pub fn vouched(signature: Option<[u8; 64]>) -> [u8; ANSWER_BYTES] {
    let mut fields = signature.into_iter().flat_map(|signature| [GRANTED].into_iter().chain(signature));
    let mut bytes = [0; ANSWER_BYTES];
    bytes.fill_with(|| fields.next().unwrap_or_default());
    bytes
}

/// Bytes of each answer.
const ANSWER_BYTES: usize = 65;
const GRANTED: u8 = 1;
const VOUCH: u8 = 1;
const READY: u8 = 2;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }

    fn any_tpm() -> OwnedFd {
        pair().0.into()
    }

    #[test]
    fn the_server_gets_the_configuration_and_entry_0_byte_for_byte() {
        let (mut keeper, server) = pair();
        send_first(&mut keeper, &[7; 32], 15, b"entry 0", b"listen = []").unwrap();
        send_descriptors(&keeper, keeper.as_fd(), keeper.as_fd()).unwrap();
        let inherited = Inherited::receive(server, any_tpm()).unwrap();
        assert_eq!((inherited.boot_key, inherited.ledger_pcr), ([7; 32], 15));
        assert_eq!((&inherited.entry_zero[..], &inherited.configuration[..]), (&b"entry 0"[..], &b"listen = []"[..]));
    }

    #[test]
    fn a_configuration_beyond_its_limit_is_not_read() {
        let (mut keeper, server) = pair();
        let long = vec![b' '; CONFIGURATION_BYTES + 1];
        let sending = std::thread::spawn(move || send_first(&mut keeper, &[7; 32], 15, b"entry 0", &long));
        let error = Inherited::receive(server, any_tpm()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let _ = sending.join();
    }

    #[test]
    fn the_only_requests_are_a_key_and_ready() {
        for request in [Request::Vouch([3; 32]), Request::Ready] {
            assert_eq!(Request::decode(request.encode()), Some(request));
        }
        let mut ready_with_more = Request::Ready.encode();
        ready_with_more[1] = 1;
        let mut unknown = Request::Vouch([3; 32]).encode();
        unknown[0] = 3;
        assert_eq!([Request::decode(ready_with_more), Request::decode(unknown)], [None, None]);
    }

    #[test]
    fn a_refusal_is_no_signature() {
        let (mut keeper, server) = pair();
        send_first(&mut keeper, &[7; 32], 15, b"", b"").unwrap();
        send_descriptors(&keeper, keeper.as_fd(), keeper.as_fd()).unwrap();
        let link = Inherited::receive(server, any_tpm()).unwrap().keeper;
        keeper.write_all(&vouched(None)).unwrap();
        assert!(matches!(link.vouch(&[1; 32]), Err(LinkError::Refused)));
        keeper.write_all(&vouched(Some([9; 64]))).unwrap();
        assert_eq!(link.vouch(&[1; 32]).unwrap(), [9; 64]);
    }
}
