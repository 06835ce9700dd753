//! The way to a TPM: a character device, or swtpm's Unix or TCP socket. One write, then reads until the response is whole.
//!
//! Left out: who may ask when (`tpm_task`), and opening the device again after an error, which a new server does.

use crate::budget::{TPM_COMMAND, TPM_RESEND_PAUSE};
use garant_hw::tpm::{Transport, TransportError};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    path::PathBuf,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

/// Where the TPM is: `/dev/tpmrm0`, `unix:/run/swtpm.sock` or `tcp:127.0.0.1:2321`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmAddress {
    /// A character device; the resource manager's (tpmrm) unless nothing else uses the TPM.
    Device(PathBuf),
    /// swtpm's data socket.
    Unix(PathBuf),
    /// swtpm's data port.
    Tcp(SocketAddr),
}

impl FromStr for TpmAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<TpmAddress, Self::Err> {
        Ok(match (text.strip_prefix("unix:"), text.strip_prefix("tcp:")) {
            (Some(path), _) => TpmAddress::Unix(path.into()),
            (None, Some(address)) => TpmAddress::Tcp(address.parse()?),
            (None, None) => TpmAddress::Device(text.into()),
        })
    }
}

impl fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TpmAddress::Device(path) => write!(f, "{}", path.display()),
            TpmAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            TpmAddress::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl TpmAddress {
    /// Opens it; no command is sent.
    pub fn open(&self) -> io::Result<OwnedFd> {
        match self {
            TpmAddress::Device(path) => {
                let device =
                    OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
                device.map(OwnedFd::from)
            }
            TpmAddress::Unix(path) => UnixStream::connect(path).map(OwnedFd::from),
            TpmAddress::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
        }
    }
}

/// An open TPM. After the first failure it answers `Closed`: a response that came too late would be taken for the next
/// command's.
#[derive(Debug)]
pub struct TpmDevice {
    file: Option<File>,
    patience: Duration,
}

impl TpmDevice {
    /// A TPM that was opened here or by whoever started us.
    pub fn new(descriptor: OwnedFd) -> io::Result<TpmDevice> {
        TpmDevice::with_patience(descriptor, TPM_COMMAND)
    }

    /// The same with another limit on the time of one command.
    pub fn with_patience(descriptor: OwnedFd, patience: Duration) -> io::Result<TpmDevice> {
        let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL)?);
        fcntl(&descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(TpmDevice { file: Some(File::from(descriptor)), patience })
    }
}

impl Transport for TpmDevice {
    fn exchange(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let mut file = self.file.take().ok_or(TransportError::Closed)?;
        let deadline = Instant::now().checked_add(self.patience).ok_or(TransportError::TimedOut)?;
        write_whole(&mut file, command, deadline)?;
        let length = read_response(&mut file, response, deadline)?;
        self.file = Some(file);
        Ok(length)
    }

    fn pause(&mut self, attempt: u32) {
        let doubled = Duration::from_millis(5).saturating_mul(1u32.checked_shl(attempt).unwrap_or(u32::MAX));
        thread::sleep(doubled.min(TPM_RESEND_PAUSE));
    }
}

/// A command is one write: the device takes no halves, and a socket's buffer is longer than any command.
fn write_whole(file: &mut File, command: &[u8], deadline: Instant) -> Result<(), TransportError> {
    loop {
        match file.write(command) {
            Ok(written) if written == command.len() => return Ok(()),
            Ok(_) => return Err(TransportError::Closed),
            Err(error) => wait_after(error, file, PollFlags::POLLOUT, deadline)?,
        }
    }
}

/// Reads until as many bytes are there as the size field says (Part 1, 18.2).
fn read_response(file: &mut File, response: &mut [u8], deadline: Instant) -> Result<usize, TransportError> {
    let mut length = 0usize;
    loop {
        let claimed = response.get(..length).and_then(size_field);
        if claimed.is_some_and(|size| size > response.len()) {
            return Err(TransportError::TooLong);
        }
        if claimed.is_some_and(|size| length >= size) {
            return Ok(length);
        }
        let room = response.get_mut(length..).filter(|room| !room.is_empty()).ok_or(TransportError::TooLong)?;
        // Linux' device reads 0 bytes, not WouldBlock, while the TPM works (drivers/char/tpm/tpm-dev-common.c).
        wait_until_ready(file, PollFlags::POLLIN, deadline)?;
        match file.read(room) {
            Ok(0) => return Err(TransportError::Closed),
            Ok(read) => length = length.saturating_add(read),
            Err(error) => wait_after(error, file, PollFlags::POLLIN, deadline)?,
        }
    }
}

fn size_field(response: &[u8]) -> Option<usize> {
    let size = response.get(2..6)?.first_chunk::<4>()?;
    response.get(..10)?;
    usize::try_from(u32::from_be_bytes(*size)).ok()
}

/// Waits until the descriptor is ready where the call would have blocked; any other error is final.
fn wait_after(error: io::Error, file: &File, ready: PollFlags, deadline: Instant) -> Result<(), TransportError> {
    match error.kind() {
        io::ErrorKind::Interrupted => return Ok(()),
        io::ErrorKind::WouldBlock => {}
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            return Err(TransportError::Closed);
        }
        _ => {
            return Err(TransportError::System(error.raw_os_error().unwrap_or_default()));
        }
    }
    wait_until_ready(file, ready, deadline)
}

fn wait_until_ready(file: &File, ready: PollFlags, deadline: Instant) -> Result<(), TransportError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(file.as_fd(), ready)], timeout) {
        Ok(0) => Err(TransportError::TimedOut),
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(TransportError::System(io::Error::from(errno).raw_os_error().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const COMMAND: [u8; 12] = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x43, 0, 0];
    const GOOD: [u8; 10] = [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0];

    /// A device whose other end answers the first command with these pieces and then does nothing.
    fn answering(pieces: &[&[u8]]) -> (TpmDevice, thread::JoinHandle<UnixStream>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let answering = thread::spawn(move || {
            let mut command = [0; 64];
            assert_eq!(theirs.read(&mut command).unwrap(), COMMAND.len());
            for piece in pieces {
                theirs.write_all(&piece).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
            theirs
        });
        let device = TpmDevice::with_patience(ours.into(), Duration::from_millis(300)).unwrap();
        (device, answering)
    }

    #[test]
    fn a_response_in_pieces_is_read_to_its_end() {
        let (mut device, _end) = answering(&[&GOOD[..3], &GOOD[3..8], &GOOD[8..]]);
        let mut response = [0; 64];
        assert_eq!(device.exchange(&COMMAND, &mut response), Ok(10));
        assert_eq!(response[..10], GOOD);
    }

    #[test]
    fn a_tpm_that_does_not_answer_times_out_and_is_not_asked_again() {
        let (mut device, _end) = answering(&[&GOOD[..9]]);
        let mut response = [0; 64];
        assert_eq!(device.exchange(&COMMAND, &mut response), Err(TransportError::TimedOut));
        assert_eq!(device.exchange(&COMMAND, &mut response), Err(TransportError::Closed));
    }

    #[test]
    fn a_tpm_that_is_gone_is_closed() {
        let (mut device, end) = answering(&[]);
        let mut response = [0; 64];
        let gone = thread::spawn(move || drop(end.join()));
        assert_eq!(device.exchange(&COMMAND, &mut response), Err(TransportError::Closed));
        gone.join().unwrap();
    }

    #[test]
    fn a_response_that_claims_more_than_the_buffer_is_refused() {
        let (mut device, _end) = answering(&[&[0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]]);
        assert_eq!(device.exchange(&COMMAND, &mut [0; 64]), Err(TransportError::TooLong));
    }

    #[test]
    fn addresses_are_printed_as_they_are_read() {
        for text in ["/dev/tpmrm0", "unix:/run/swtpm.sock", "tcp:127.0.0.1:2321"] {
            assert_eq!(text.parse::<TpmAddress>().unwrap().to_string(), text);
        }
        assert!("tcp:localhost".parse::<TpmAddress>().is_err());
    }
}
