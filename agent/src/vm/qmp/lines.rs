//! Lines over a socket, both ways at once: a peer that reads only once it was read from blocks nobody.

use super::Ended;
use crate::{budget::QMP_LINE_BYTES, descriptors};
use bytes::{Buf, BytesMut};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::UnixStream,
};

/// A socket with what was read of the next line and what is still to be written.
pub(super) struct Lines {
    stream: UnixStream,
    incoming: BytesMut,
    /// Bytes at the start of `incoming` that hold no end of a line.
    scanned: usize,
    outgoing: VecDeque<Outgoing>,
    /// The peer takes nothing any more; what it said before is still to be heard.
    deaf: bool,
}

/// Bytes that are still to be written, and the descriptor that goes with the first of them.
struct Outgoing {
    bytes: BytesMut,
    descriptor: Option<OwnedFd>,
}

impl Lines {
    pub(super) fn new(stream: UnixStream) -> Lines {
        Lines { stream, incoming: BytesMut::new(), scanned: 0, outgoing: VecDeque::new(), deaf: false }
    }

    /// Leaves bytes to be written while [`Lines::next`] waits, a descriptor with the first of them.
    pub(super) fn send(&mut self, bytes: &[u8], descriptor: Option<OwnedFd>) {
        if self.deaf {
            return;
        }
        match (self.outgoing.back_mut(), descriptor) {
            (Some(last), None) => last.bytes.extend_from_slice(bytes),
            (_, descriptor) => self.outgoing.push_back(Outgoing { bytes: bytes.into(), descriptor }),
        }
    }

    /// The next line with its end; nothing is lost where the caller gives up waiting.
    pub(super) async fn next(&mut self) -> Result<BytesMut, Ended> {
        loop {
            if let Some(line) = self.take()? {
                return Ok(line);
            }
            self.pump().await?;
        }
    }

    fn take(&mut self) -> Result<Option<BytesMut>, Ended> {
        let fresh = self.incoming.get(self.scanned..).unwrap_or_default();
        let end =
            fresh.iter().position(|byte| *byte == b'\n').map(|at| self.scanned.saturating_add(at).saturating_add(1));
        if end.unwrap_or(self.incoming.len()) > QMP_LINE_BYTES {
            return Err(Ended::LongLine { limit_bytes: QMP_LINE_BYTES });
        }
        self.scanned = if end.is_some() { 0 } else { self.incoming.len() };
        Ok(end.map(|end| self.incoming.split_to(end)))
    }

    /// Moves some bytes. A write that fails is no end: what a dying peer said last comes before the end of its stream.
    async fn pump(&mut self) -> Result<(), Ended> {
        let (mut reader, writer) = self.stream.split();
        self.incoming.reserve(READ_BYTES);
        tokio::select! {
            // A process that dies with bytes unread in its socket resets it.
            read = reader.read_buf(&mut self.incoming) => match read {
                Ok(0) => Err(Ended::Closed),
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(Ended::Closed),
                Err(error) => Err(Ended::Failed(error.kind())),
            },
            written = write_some(writer.as_ref(), &mut self.outgoing), if !self.deaf && !self.outgoing.is_empty() => {
                self.deaf = written.is_err();
                Ok(())
            }
        }
    }
}

/// Nothing is lost where the caller gives up waiting: it waits only for room.
async fn write_some(stream: &UnixStream, outgoing: &mut VecDeque<Outgoing>) -> io::Result<()> {
    let Some(first) = outgoing.front_mut() else { return Ok(()) };
    let written = loop {
        stream.writable().await?;
        match stream.try_io(Interest::WRITABLE, || first.write(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            tried => break tried?,
        }
    };
    first.descriptor = None;
    first.bytes.advance(written);
    if first.bytes.is_empty() {
        outgoing.pop_front();
    }
    Ok(())
}

impl Outgoing {
    fn write(&self, stream: &UnixStream) -> io::Result<usize> {
        let descriptors: Vec<_> = self.descriptor.iter().map(AsFd::as_fd).collect();
        descriptors::send_some(stream, &self.bytes, &descriptors)
    }
}

/// As much as most answers have (measured with QEMU 7.2: 75 bytes to 10 KiB).
const READ_BYTES: usize = 4096;
