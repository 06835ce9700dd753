//! Messages of netlink(7): how they are built, sent and answered. Left out: what is in them, and answers of many parts.

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};
use std::os::fd::{AsRawFd, OwnedFd};

/// A message, or what is nested in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// A message of this kind, with flags beside that of a request, and the structure that stands before its attributes.
    pub fn new(kind: u16, flags: u16, head: &[u8]) -> Message {
        let mut bytes = [0; 4].to_vec(); // its length, once it is known
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((REQUEST | flags).to_ne_bytes());
        bytes.extend([0; 8]); // sequence number, once it is sent; port
        bytes.extend(head);
        Message(bytes)
    }

    /// With an attribute: length, type, value, and what is left of the last word.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Message {
        let length = u16::try_from(value.len().saturating_add(ATTRIBUTE_HEADER_BYTES)).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// With an attribute that is a text.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Message {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// With an attribute that has attributes.
    #[must_use]
    pub fn with_nested(self, kind: u16, attributes: Message) -> Message {
        self.with(kind | NESTED, &attributes.0)
    }

    /// As it is sent.
    fn numbered(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let header = length.to_ne_bytes().into_iter().zip(&mut self.0);
        header.for_each(|(byte, place)| *place = byte);
        let number = sequence.to_ne_bytes().into_iter().zip(self.0.iter_mut().skip(8));
        number.for_each(|(byte, place)| *place = byte);
        self.0
    }
}

/// A socket to one part of the kernel.
#[derive(Debug)]
pub struct Netlink {
    kernel: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// To interfaces, addresses and routes.
    pub fn to_routes() -> Result<Netlink, Errno> {
        Netlink::open(SockProtocol::NetlinkRoute)
    }

    /// To packet filters.
    pub fn to_filters() -> Result<Netlink, Errno> {
        Netlink::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> Result<Netlink, Errno> {
        let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        Ok(Netlink { kernel, sequence: 0 })
    }

    /// Has the kernel do all of this, one message after the other in one transaction where it knows such a thing. The last
    /// message must ask for an acknowledgement.
    pub fn request(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), Errno> {
        self.ask(messages).map(drop)
    }

    /// The same; what the kernel says beside acknowledgements, without headers.
    pub fn ask(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<Vec<Vec<u8>>, Errno> {
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(message.numbered(self.sequence));
        }
        send(self.kernel.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let (mut said, mut outcome) = (Vec::new(), None);
        let mut buffer = vec![0; ANSWER_BYTES];
        loop {
            // The kernel has done everything and said everything when `send` returns.
            let length = match recv(self.kernel.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            };
            for (kind, body) in messages_of(buffer.get(..length).unwrap_or_default()) {
                match (kind, body.first_chunk().copied().map(i32::from_ne_bytes)) {
                    // struct nlmsgerr: a negative errno, zero for success.
                    (ERROR, Some(0)) if outcome.is_none() => outcome = Some(Ok(())),
                    (ERROR, Some(code)) if code != 0 => outcome = Some(Err(Errno::from_raw(code.wrapping_neg()))),
                    (ERROR, _) => {}
                    _ => said.push(body.to_vec()),
                }
            }
        }
        outcome.unwrap_or(Err(Errno::EBADMSG)).map(|()| said)
    }
}

/// Kind and body of each message in what was received.
fn messages_of(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let body = bytes.get(HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// Kind and value of each attribute.
pub fn attributes_of(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !NESTED, value))
    })
}

// linux/netlink.h
/// The kernel says whether it did it.
pub const ACKNOWLEDGE: u16 = 0x4;
/// What is not there is made.
pub const CREATE: u16 = 0x400;
/// What is there already is an error.
pub const EXCLUSIVE: u16 = 0x200;
const REQUEST: u16 = 0x1;
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Bytes of one answer: an interface with all its statistics has 2 KiB, an error repeats the message.
const ANSWER_BYTES: usize = 32 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were_put_in() {
        let inner = Message::default().with(7, &[1]).with_text(8, "ab");
        let message = Message::new(16, ACKNOWLEDGE, &[9; 4]).with(1, &[1, 2, 3, 4]).with_nested(2, inner);
        let bytes = message.numbered(5);
        assert_eq!(bytes.len() % 4, 0);
        let (kind, body) = messages_of(&bytes).next().unwrap();
        assert_eq!((kind, messages_of(&bytes).count()), (16, 1));
        let outer: Vec<(u16, &[u8])> = attributes_of(body.get(4..).unwrap()).collect();
        let [(1, [1, 2, 3, 4]), (2, nested)] = outer.as_slice() else { unreachable!("{outer:?}") };
        assert_eq!(attributes_of(nested).collect::<Vec<_>>(), [(7, &[1][..]), (8, &b"ab\0"[..])]);
    }

    #[test]
    fn what_is_cut_off_is_no_attribute_and_no_message() {
        let bytes = Message::new(16, 0, &[]).with(1, &[1, 2, 3, 4]).numbered(1);
        for length in 0..bytes.len() {
            assert_eq!(messages_of(bytes.get(..length).unwrap()).count(), 0);
        }
        for bad in [&[0; 4][..], &[3, 0, 1, 0], &[9, 0, 1, 0, 0], &[4, 0, 1]] {
            assert_eq!(attributes_of(bad).filter(|(_, value)| !value.is_empty()).count(), 0);
        }
    }

    #[test]
    fn loopback_is_found_and_what_is_not_there_is_an_error() {
        let find = |index: i32| {
            let head = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat();
            Netlink::to_routes().unwrap().ask([Message::new(18, ACKNOWLEDGE, &head)])
        };
        assert_eq!(find(1).unwrap().len(), 1);
        assert_eq!(find(i32::MAX), Err(Errno::ENODEV));
    }
}
