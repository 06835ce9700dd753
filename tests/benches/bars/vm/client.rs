//! A client on a kept connection that costs as little as it can, and a server that costs nothing: what the client itself
//! takes of a round trip is measured on that.

use serde_json::Value;
use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A kept connection.
pub struct Client {
    stream: UnixStream,
    answer: Vec<u8>,
}

impl Client {
    /// To this socket.
    pub fn dial(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).expect("the socket answers");
        Client { stream, answer: Vec::new() }
    }

    /// One request; how long it took. Anything but success ends the bench.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Duration {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-length: {length}\r\n\r\n{body}");
        let asked = Instant::now();
        self.stream.write_all(request.as_bytes()).expect("the node takes a request");
        read_whole(&mut self.stream, &mut self.answer).expect("the node answers");
        let took = asked.elapsed();
        let said = || String::from_utf8_lossy(&self.answer).into_owned();
        assert!(self.answer.starts_with(b"HTTP/1.1 2"), "{method} {path}: {}", said());
        took
    }

    /// What was answered last, as it came.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// What was answered last.
    pub fn body(&self) -> Value {
        let end = self.answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head") + 4;
        serde_json::from_slice(&self.answer[end..]).expect("JSON")
    }
}

/// Answers every request with the same bytes at once.
pub struct Fake {
    folder: TempDir,
}

impl Fake {
    /// With this answer, head and all.
    pub fn answering(answer: Vec<u8>) -> Fake {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let listener = UnixListener::bind(folder.path().join("sock")).expect("a socket");
        thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut request = Vec::new();
            while read_whole(&mut stream, &mut request).is_some() && stream.write_all(&answer).is_ok() {}
        });
        Fake { folder }
    }

    /// The one connection that it takes.
    pub fn dial(&self) -> Client {
        Client::dial(&self.folder.path().join("sock"))
    }
}

/// One whole message; nothing where the peer is gone.
fn read_whole(stream: &mut UnixStream, message: &mut Vec<u8>) -> Option<()> {
    message.clear();
    let mut buffer = [0; 65536];
    loop {
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        message.extend_from_slice(&buffer[..length]);
        if whole_bytes(message).is_some_and(|whole| message.len() >= whole) {
            return Some(());
        }
    }
}

/// Bytes of head and body, once the head is there.
fn whole_bytes(message: &[u8]) -> Option<usize> {
    let head = message.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&message[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head + length.parse::<usize>().ok()?)
}
