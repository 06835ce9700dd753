//! Answers the timed questions of landmarks: one datagram in, one signature of F, one datagram out, on a thread of its own.
//!
//! A datagram whose MAC does not hold is dropped before anything is signed, and a question is answered once. Nothing of
//! ours is allocated for an answer; aws-lc-rs returns each signature in a box of 64 bytes, and a signer in pure Rust
//! without one would take twice the time (14.8 µs for 7.2, measured on x86-64). Left out: who is talked to
//! ([`crate::landmarks`]).

use crate::budget::{TIMED_COOKIES, TIMED_ROUNDS, TIMED_SESSIONS};
use garant_attest::{
    place::timing::{DATAGRAM_BYTES, Datagram, Message, SessionName, TimingSecret, claimed_name},
    wire::time_statement,
};
use garant_channel::{engine::FastEngine, key::SigningKey};
use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The node's end of every timed conversation.
pub struct Responder {
    socket: UdpSocket,
    conversations: Mutex<Vec<Conversation>>,
}

/// With one landmark.
struct Conversation {
    secret: TimingSecret,
    /// The landmark's, Ed25519.
    landmark: [u8; 32],
    /// From where its datagrams come.
    address: SocketAddr,
    /// F of the handshake.
    key: SigningKey,
    /// The last question that was answered.
    round: u32,
    /// Cookies that went back.
    cookies: u32,
}

/// With whom a conversation is opened.
pub struct Party {
    /// What both ends of the TLS connection know.
    pub secret: TimingSecret,
    /// The landmark's key.
    pub landmark: [u8; 32],
    /// Its UDP address.
    pub address: SocketAddr,
    /// F of the handshake.
    pub key: SigningKey,
}

/// An open conversation; questions of a dropped one are answered no more.
pub struct Open {
    responder: Arc<Responder>,
    name: SessionName,
}

/// As many conversations are open as may be, or one of this name is. The node's own fault: it opens them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TIMED_SESSIONS} landmarks are talked to already")
    }
}

impl std::error::Error for Full {}

impl Responder {
    /// Answers nobody yet.
    pub fn new(socket: UdpSocket) -> Responder {
        Responder { socket, conversations: Mutex::new(Vec::with_capacity(TIMED_SESSIONS)) }
    }

    /// Answers from now on, for ever, on a new thread.
    pub fn start(self: &Arc<Responder>) -> io::Result<()> {
        let responder = Arc::clone(self);
        let answering = move || {
            loop {
                if let Err(error) = responder.serve_one() {
                    log::warn!("timed question not answered: {error}");
                    thread::sleep(FAULT_PAUSE);
                }
            }
        };
        thread::Builder::new().name("timing".to_owned()).spawn(answering).map(drop)
    }

    /// Waits for one datagram, and answers it where it is a landmark's.
    pub fn serve_one(&self) -> io::Result<()> {
        // One byte more than a datagram has, so that a longer one is seen to be.
        let mut buffer = [0; DATAGRAM_BYTES + 1];
        let (length, from) = self.socket.recv_from(&mut buffer)?;
        match self.answer(buffer.get(..length).unwrap_or_default(), from) {
            Some(answer) => self.socket.send_to(&answer, from).map(drop),
            None => Ok(()),
        }
    }

    /// The answer to a datagram from this address; `None` for one that is not answered.
    pub fn answer(&self, bytes: &[u8], from: SocketAddr) -> Option<Datagram> {
        let name = claimed_name(bytes)?;
        let mut conversations = self.conversations();
        let conversation = conversations.iter_mut().find(|known| known.secret.name() == name)?;
        if conversation.address != canonical(from) {
            return None;
        }
        let message = conversation.secret.open(&FastEngine, bytes).ok()?;
        let answer = conversation.reply(&message)?;
        Some(conversation.secret.seal(&FastEngine, &answer))
    }

    /// Opens a conversation.
    pub fn open(self: &Arc<Responder>, party: Party) -> Result<Open, Full> {
        let Party { secret, landmark, address, key } = party;
        let name = secret.name();
        let mut conversations = self.conversations();
        let is_open = conversations.iter().any(|known| known.secret.name() == name);
        if is_open || conversations.len() >= TIMED_SESSIONS {
            return Err(Full);
        }
        let address = canonical(address);
        conversations.push(Conversation { secret, landmark, address, key, round: 0, cookies: 0 });
        Ok(Open { responder: Arc::clone(self), name })
    }

    fn conversations(&self) -> MutexGuard<'_, Vec<Conversation>> {
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conversation {
    fn reply(&mut self, message: &Message) -> Option<Message> {
        match *message {
            Message::Cookie(cookie) if self.cookies < TIMED_COOKIES => {
                self.cookies = self.cookies.saturating_add(1);
                Some(Message::Returned(cookie))
            }
            // A question that comes again, or late, was answered or is no longer waited for.
            Message::Question { round, nonce } if round > self.round && round <= TIMED_ROUNDS => {
                self.round = round;
                let signature = self.key.sign(&time_statement(&self.landmark, &nonce, &self.key.public()));
                Some(Message::Answer { round, signature })
            }
            _ => None,
        }
    }
}

impl Open {
    /// Tells the landmark that we are here.
    pub fn hello(&self) -> io::Result<()> {
        let found = {
            let conversations = self.responder.conversations();
            let ours = conversations.iter().find(|known| known.secret.name() == self.name);
            ours.map(|ours| (ours.secret.seal(&FastEngine, &Message::Hello), ours.address))
        };
        let Some((hello, address)) = found else { return Ok(()) };
        let is_ipv6 = self.responder.socket.local_addr()?.is_ipv6();
        self.responder.socket.send_to(&hello, for_family(address, is_ipv6)).map(drop)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.responder.conversations().retain(|known| known.secret.name() != self.name);
    }
}

/// The socket of the responder: at the given address, or at any port of every address.
pub fn bind(address: Option<SocketAddr>) -> io::Result<UdpSocket> {
    match address {
        Some(address) => UdpSocket::bind(address),
        // Where the kernel has no IPv6.
        None => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| UdpSocket::bind(("0.0.0.0", 0))),
    }
}

/// IPv4 as such, wherever it came from, and of IPv6 address and port alone.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address as a socket of this family takes it.
fn for_family(address: SocketAddr, is_ipv6: bool) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if is_ipv6 => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

/// After an error of the socket.
const FAULT_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use garant_attest::place::timing::{EXPORTED_BYTES, verify_answer};

    const LANDMARK: [u8; 32] = [3; 32];

    fn secret(number: u8) -> TimingSecret {
        TimingSecret::new(&[number; EXPORTED_BYTES])
    }

    fn landmark_address() -> SocketAddr {
        "192.0.2.1:8463".parse().unwrap()
    }

    fn party(number: u8, key: &SigningKey) -> Party {
        Party { secret: secret(number), landmark: LANDMARK, address: landmark_address(), key: key.clone() }
    }

    fn responder() -> Arc<Responder> {
        Arc::new(Responder::new(bind(Some("127.0.0.1:0".parse().unwrap())).unwrap()))
    }

    fn question(number: u8, round: u32) -> Datagram {
        secret(number).seal(&FastEngine, &Message::Question { round, nonce: [7; 32] })
    }

    #[test]
    fn a_question_of_a_landmark_is_answered_once_by_f_over_its_nonce() {
        let (responder, key) = (responder(), SigningKey::generate().unwrap());
        let _open = responder.open(party(1, &key)).unwrap();
        let answer = responder.answer(&question(1, 5), landmark_address()).unwrap();
        let Message::Answer { round: 5, signature } = secret(1).open(&FastEngine, &answer).unwrap() else { panic!() };
        assert!(verify_answer(&FastEngine, &LANDMARK, &[7; 32], &key.public(), &signature).is_ok());
        for again in [5, 4, 0] {
            assert!(responder.answer(&question(1, again), landmark_address()).is_none(), "round {again}");
        }
        assert!(responder.answer(&question(1, 6), landmark_address()).is_some());
    }

    #[test]
    fn a_datagram_without_the_landmarks_mac_or_address_is_neither_signed_nor_counted() {
        let (responder, key) = (responder(), SigningKey::generate().unwrap());
        let _open = responder.open(party(1, &key)).unwrap();
        let mut forged = question(1, 1);
        *forged.last_mut().unwrap() ^= 1;
        assert!(responder.answer(&forged, landmark_address()).is_none(), "wrong MAC");
        assert!(responder.answer(&question(2, 1), landmark_address()).is_none(), "a conversation that we never opened");
        let elsewhere = "192.0.2.9:8463".parse().unwrap();
        assert!(responder.answer(&question(1, 1), elsewhere).is_none(), "a replay from elsewhere");
        assert!(responder.answer(&question(1, 1)[..159], landmark_address()).is_none());
        let own = secret(1).seal(&FastEngine, &Message::Answer { round: 1, signature: [0; 64] });
        assert!(responder.answer(&own, landmark_address()).is_none(), "an answer is no question");
        assert!(responder.answer(&question(1, 1), landmark_address()).is_some(), "and the round is still there");
    }

    #[test]
    fn one_conversation_gets_so_many_signatures_and_cookies_and_no_more() {
        let (responder, key) = (responder(), SigningKey::generate().unwrap());
        let _open = responder.open(party(1, &key)).unwrap();
        let answered = (1..1000).filter(|round| responder.answer(&question(1, *round), landmark_address()).is_some());
        assert_eq!(answered.count(), usize::try_from(TIMED_ROUNDS).unwrap());
        let cookie = secret(1).seal(&FastEngine, &Message::Cookie([9; 32]));
        let returned = (0..1000).filter_map(|_| responder.answer(&cookie, landmark_address()));
        let returned: Vec<Datagram> = returned.collect();
        assert_eq!(returned.len(), usize::try_from(TIMED_COOKIES).unwrap());
        assert_eq!(secret(1).open(&FastEngine, &returned[0]), Ok(Message::Returned([9; 32])));
    }

    #[test]
    fn the_65th_conversation_is_refused_until_one_ends() {
        let (responder, key) = (responder(), SigningKey::generate().unwrap());
        let mut open: Vec<Open> = (1..=64).map(|number| responder.open(party(number, &key)).unwrap()).collect();
        assert_eq!(responder.open(party(65, &key)).err(), Some(Full));
        open.pop();
        assert_eq!(responder.open(party(1, &key)).err(), Some(Full), "a name is taken once");
        assert!(responder.open(party(65, &key)).is_ok());
    }

    #[test]
    fn a_conversation_that_ended_is_answered_no_more() {
        let (responder, key) = (responder(), SigningKey::generate().unwrap());
        drop(responder.open(party(1, &key)).unwrap());
        assert!(responder.answer(&question(1, 1), landmark_address()).is_none());
    }

    #[test]
    fn an_ipv4_landmark_is_known_through_an_ipv6_socket() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:8463".parse().unwrap();
        let (responder, key) = (responder(), SigningKey::generate().unwrap());
        let _open = responder.open(party(1, &key)).unwrap();
        assert!(responder.answer(&question(1, 1), mapped).is_some());
        assert_eq!(for_family(landmark_address(), true), mapped);
        assert_eq!(for_family(landmark_address(), false), landmark_address());
    }
}
