//! A landmark's UDP port: reads its clocks when a datagram comes, then looks whose it is. Whoever has no conversation
//! with us over TLS from the same address gets nothing.

use crate::{
    budget::{TIMING_DATAGRAMS, TIMING_WAITING},
    landmark::clocks::Clocks,
};
use garant_attest::place::timing::{DATAGRAM_BYTES, Message, Reading, SessionName, TimingSecret, claimed_name};
use garant_channel::engine::FastEngine;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// The port and the conversations that use it.
pub(super) struct Post {
    socket: UdpSocket,
    clocks: Arc<dyn Clocks>,
    conversations: Mutex<HashMap<SessionName, Conversation>>,
}

/// One node's.
struct Conversation {
    secret: TimingSecret,
    peer: IpAddr,
    taken: usize,
    inbox: mpsc::Sender<Received>,
}

/// A message of the node whose conversation this is, and when it came.
pub(super) struct Received {
    pub(super) message: Message,
    pub(super) from: SocketAddr,
    pub(super) at: Reading,
}

/// A conversation that is open; it is forgotten when this is dropped.
pub(super) struct Letterbox {
    post: Arc<Post>,
    secret: TimingSecret,
    inbox: mpsc::Receiver<Received>,
}

impl Post {
    /// Takes a bound socket and listens on a thread of its own, which ends with the last user of the port.
    pub(super) fn open(socket: UdpSocket, clocks: Arc<dyn Clocks>) -> io::Result<Arc<Post>> {
        socket.set_read_timeout(Some(LOOK_UP))?;
        let post = Arc::new(Post { socket, clocks, conversations: Mutex::default() });
        let (listening, clocks) = (post.socket.try_clone()?, Arc::clone(&post.clocks));
        let reader = Arc::downgrade(&post);
        thread::Builder::new().name("landmark".to_owned()).spawn(move || listen(&listening, &*clocks, &reader))?;
        Ok(post)
    }

    /// Where the port is.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Opens a conversation with a node that dialled from this address; `None` where the name is taken.
    pub(super) fn converse(self: &Arc<Post>, secret: TimingSecret, peer: IpAddr) -> Option<Letterbox> {
        let (sender, inbox) = mpsc::channel(TIMING_WAITING);
        let mut conversations = self.conversations();
        if conversations.contains_key(&secret.name()) {
            return None;
        }
        let conversation = Conversation { secret: secret.clone(), peer: peer.to_canonical(), taken: 0, inbox: sender };
        conversations.insert(secret.name(), conversation);
        drop(conversations);
        Some(Letterbox { post: Arc::clone(self), secret, inbox })
    }

    /// Hands a datagram to its conversation, where it is one's.
    fn take(&self, bytes: &[u8], from: SocketAddr, at: Reading) {
        let Some(name) = claimed_name(bytes) else { return };
        let mut conversations = self.conversations();
        let Some(conversation) = conversations.get_mut(&name) else { return };
        if conversation.peer != from.ip().to_canonical() || conversation.taken >= TIMING_DATAGRAMS {
            return;
        }
        conversation.taken = conversation.taken.saturating_add(1);
        if let Ok(message) = conversation.secret.open(&FastEngine, bytes) {
            // A full inbox is that of a node which sends more than it was asked for.
            let _ = conversation.inbox.try_send(Received { message, from, at });
        }
    }

    fn conversations(&self) -> MutexGuard<'_, HashMap<SessionName, Conversation>> {
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(socket: &UdpSocket, clocks: &dyn Clocks, post: &Weak<Post>) {
    // One byte more than a datagram has, so that a longer one is seen to be.
    let mut buffer = [0; DATAGRAM_BYTES + 1];
    loop {
        let received = socket.recv_from(&mut buffer);
        let at = clocks.read();
        let Some(post) = post.upgrade() else { return };
        match (received, at) {
            (Ok((length, from)), Ok(at)) => post.take(buffer.get(..length).unwrap_or_default(), from, at),
            (Err(error), _) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            (Err(error), _) | (_, Err(error)) => {
                log::warn!("datagram not received error={error}");
                thread::sleep(FAULT_PAUSE);
            }
        }
    }
}

impl Letterbox {
    /// Sends a message; returns the clocks as they were before it left.
    pub(super) fn send(&self, message: &Message, to: SocketAddr) -> io::Result<Reading> {
        let datagram = self.secret.seal(&FastEngine, message);
        let before = self.post.clocks.read()?;
        self.post.socket.send_to(&datagram, to)?;
        Ok(before)
    }

    /// The next message of this node.
    pub(super) async fn next(&mut self) -> Option<Received> {
        self.inbox.recv().await
    }
}

impl Drop for Letterbox {
    fn drop(&mut self) {
        self.post.conversations().remove(&self.secret.name());
    }
}

/// How long the thread waits before it looks whether anybody still needs it.
const LOOK_UP: Duration = Duration::from_millis(500);
/// After an error of the socket or the clocks.
const FAULT_PAUSE: Duration = Duration::from_millis(100);
