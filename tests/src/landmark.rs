//! Landmarks for tests: in this process with clocks of their own, or the program `garant landmark`; and a node made by
//! hand, which may cheat.

use crate::{garant, world::behind};
use bytes::Bytes;
use garant_attest::{
    place::timing::{DATAGRAM_BYTES, Message, Reading, TimingSecret},
    wire::{TimingOffer, time_statement},
};
use garant_channel::{
    binder::timing_secret,
    engine::FastEngine,
    error::ChannelError,
    http::{Budget, Connection},
    key::SigningKey,
    tls::{self, Accept},
};
use garant_verifier::landmark::{Clocks, Landmark, Listening, SystemClocks};
use std::{
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::UdpSocket, runtime::Runtime, task::JoinHandle, time::timeout};

/// A landmark in this process; it ends when dropped.
pub struct OwnLandmark {
    /// Where it listens.
    pub listening: Listening,
    /// Its public key.
    pub key: [u8; 32],
    runtime: Option<Runtime>,
}

impl OwnLandmark {
    /// One on loopback, with these clocks.
    pub fn start(clocks: impl Clocks) -> OwnLandmark {
        OwnLandmark::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), clocks)
    }

    /// One at this address, with these clocks; its threads live where the caller's does.
    pub fn start_at(address: SocketAddr, clocks: impl Clocks) -> OwnLandmark {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let key = SigningKey::generate().expect("the system has randomness");
        let public = key.public();
        let landmark = Landmark::bind(key, address, address, clocks).expect("ports are free");
        let listening = landmark.listening().expect("it has ports");
        runtime.spawn(landmark.run());
        OwnLandmark { listening, key: public, runtime: Some(runtime) }
    }

    /// One that measures honestly.
    pub fn honest() -> OwnLandmark {
        OwnLandmark::start(SystemClocks)
    }
}

impl Drop for OwnLandmark {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lines of garantd's configuration that name a landmark.
pub fn options(address: impl std::fmt::Display, key: &[u8; 32]) -> String {
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[landmark]]\naddress = '{address}'\nkey = '{key}'\n")
}

/// The program `garant landmark`; killed when dropped.
pub struct LandmarkProgram {
    /// Where nodes dial.
    pub tls: SocketAddr,
    /// Its public key.
    pub key: [u8; 32],
    process: Child,
    _folder: TempDir,
}

impl LandmarkProgram {
    /// Starts it at this address; `within` are the words before the program's own, such as `ip netns exec NAME`.
    pub fn start(within: &[&str], address: SocketAddr) -> LandmarkProgram {
        let folder = tempfile::Builder::new().prefix("landmark").tempdir().expect("no scratch folder");
        let key_file = folder.path().join("landmark.key").display().to_string();
        let made = garant::garant(&["keygen", "--out", &key_file]);
        assert!(made.status.success(), "{made:?}");
        let address = address.to_string();
        let own = garant::command(&["landmark", "--key", &key_file, "--listen", &address, "--udp", &address]);
        let mut process = behind(within, &own)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("garant landmark does not start");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut value = |name: &str| -> String {
            for line in lines.by_ref().map_while(Result::ok) {
                if let Some(value) = line.strip_prefix(name) {
                    return value.trim().to_owned();
                }
                eprintln!("garant landmark: {line}");
            }
            panic!("garant landmark ended");
        };
        let (key, tls) = (value("landmark key:"), value("tls:"));
        let digits = |at: usize| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).expect("hexadecimal");
        let (key, tls) = (std::array::from_fn(digits), tls.parse().expect("an address"));
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("garant landmark: {line}")));
        LandmarkProgram { tls, key, process, _folder: folder }
    }

    /// Ends it.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for LandmarkProgram {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The system's clocks, of which one is set back by so many nanoseconds at each reading of an odd number: between a
/// question and its answer.
pub struct SteppingClock {
    back_ns: u64,
    boottime_too: bool,
    readings: AtomicU64,
}

impl SteppingClock {
    /// One clock, or both, step back.
    pub fn new(back_ns: u64, boottime_too: bool) -> SteppingClock {
        SteppingClock { back_ns, boottime_too, readings: AtomicU64::new(0) }
    }
}

impl Clocks for SteppingClock {
    fn read(&self) -> io::Result<Reading> {
        let now = SystemClocks.read()?;
        let steps = self.readings.fetch_add(1, Ordering::SeqCst);
        let back_ns = self.back_ns * steps;
        let boot_back_ns = if self.boottime_too { back_ns } else { 0 };
        // Far from zero, so that the clock runs on.
        let far = 1 << 60;
        Ok(Reading {
            monotonic_raw_ns: far + now.monotonic_raw_ns - back_ns,
            boottime_ns: far + now.boottime_ns - boot_back_ns,
        })
    }
}

/// The system's clocks, slowed down so many times.
pub struct SlowClock(pub u64);

impl Clocks for SlowClock {
    fn read(&self) -> io::Result<Reading> {
        let Reading { monotonic_raw_ns, boottime_ns } = SystemClocks.read()?;
        Ok(Reading { monotonic_raw_ns: monotonic_raw_ns / self.0, boottime_ns: boottime_ns / self.0 })
    }
}

/// A node made by hand.
pub struct HandNode {
    /// F.
    pub key: SigningKey,
    /// Its UDP socket.
    pub socket: UdpSocket,
    /// What it shares with the landmark.
    pub secret: TimingSecret,
    /// Where the landmark takes datagrams.
    pub landmark: SocketAddr,
    landmark_key: [u8; 32],
    connection: Option<Connection>,
}

impl HandNode {
    /// Dials from 127.0.0.1 and opens a UDP socket at this address.
    pub async fn dial(landmark: &OwnLandmark, from: Ipv4Addr) -> Result<HandNode, ChannelError> {
        let key = SigningKey::generate().expect("the system has randomness");
        HandNode::dial_with(landmark, from, key).await
    }

    /// The same with this F.
    pub async fn dial_with(landmark: &OwnLandmark, from: Ipv4Addr, key: SigningKey) -> Result<HandNode, ChannelError> {
        let config = tls::client(Some(&key), Accept::Only(landmark.key))?;
        let stream = tls::dial(config, landmark.listening.tls).await?;
        let secret = timing_secret(stream.get_ref().1, &key.public())?;
        let mut connection = Connection::open(stream).await?;
        let (status, offer) = connection.get("/v1/timing", BUDGET).await?;
        assert_eq!(status, 200);
        let port = TimingOffer::decode(&offer).expect("an offer").1;
        let address = SocketAddr::new(landmark.listening.tls.ip(), port);
        let socket = UdpSocket::bind((from, 0)).await?;
        Ok(HandNode {
            key,
            socket,
            secret,
            landmark: address,
            landmark_key: landmark.key,
            connection: Some(connection),
        })
    }

    /// Asks for the statement; what the landmark answers comes later.
    pub fn ask(&mut self) -> JoinHandle<(u16, Bytes)> {
        let mut connection = self.connection.take().expect("it asks once");
        tokio::spawn(async move { connection.get("/v1/statement", BUDGET).await.expect("the landmark answers") })
    }

    /// Sends a message.
    pub async fn send(&self, message: &Message) {
        self.send_bytes(&self.secret.seal(&FastEngine, message)).await;
    }

    /// Sends any bytes.
    pub async fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.landmark).await.expect("loopback takes it");
    }

    /// The next datagram's length and message, if one comes soon.
    pub async fn receive(&self) -> Option<(usize, Message)> {
        let mut buffer = [0; 2048];
        let (length, _) = timeout(SOON, self.socket.recv_from(&mut buffer)).await.ok()?.ok()?;
        Some((length, self.secret.open(&FastEngine, &buffer[..length]).expect("the landmark's")))
    }

    /// The answer that an honest node gives.
    pub fn answer(&self, round: u32, nonce: &[u8; 32]) -> Message {
        self.answer_by(&self.key, round, nonce)
    }

    /// The same, signed by this key.
    pub fn answer_by(&self, key: &SigningKey, round: u32, nonce: &[u8; 32]) -> Message {
        let signature = key.sign(&time_statement(&self.landmark_key, nonce, &self.key.public()));
        Message::Answer { round, signature }
    }

    /// Says hello and returns the cookie, as an honest node does.
    pub async fn be_found(&self) {
        self.send(&Message::Hello).await;
        let Some((DATAGRAM_BYTES, Message::Cookie(cookie))) = self.receive().await else { panic!("no cookie") };
        self.send(&Message::Returned(cookie)).await;
    }

    /// Is measured as an honest node is; returns the landmark's answer.
    pub async fn be_measured(mut self) -> (u16, Bytes) {
        let statement = self.ask();
        self.be_found().await;
        self.answer_all(|round, nonce| Some(self.answer(round, &nonce))).await;
        statement.await.expect("it does not panic")
    }

    /// Answers questions by this function until none comes any more; returns how many came.
    pub async fn answer_all(&self, mut reply: impl FnMut(u32, [u8; 32]) -> Option<Message>) -> u32 {
        let mut questions = 0;
        while let Some((length, message)) = self.receive().await {
            assert_eq!(length, DATAGRAM_BYTES);
            let Message::Question { round, nonce } = message else { continue };
            questions += 1;
            if let Some(answer) = reply(round, nonce) {
                self.send(&answer).await;
            }
        }
        questions
    }
}

/// Longer than a landmark waits between two datagrams, and a round.
const SOON: Duration = Duration::from_millis(1500);
const BUDGET: Budget = Budget { bytes: 1 << 16, time: Duration::from_secs(60) };
