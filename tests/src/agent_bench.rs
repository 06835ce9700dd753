//! What a node can do, measured from outside on the real binary: `quote.*` and `agent.*`.

use crate::{
    asker::Asker,
    floors::Floors,
    garantd::{self, Garantd},
    slow_tpm::SlowTpm,
    swtpm::Swtpm,
};
use garant_attest::{
    cbor,
    wire::{Ask, Mode},
};
use garant_channel::tls::{self, Accept};
use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::client::TlsStream;

/// One figure beside its floor or bar, both in the same unit.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// As the bar is named.
    pub name: &'static str,
    /// What was measured.
    pub value: f64,
    /// ms, MB, per_s or count.
    pub unit: &'static str,
    /// What it is held against.
    pub reference: f64,
}

/// Everything about the running node. Empty, with a line on standard error, where swtpm is not installed.
pub fn figures(floors: &Floors) -> Vec<Figure> {
    let Some(mut tpm) = Swtpm::blank("sha1,sha256") else { return Vec::new() };
    let figure = |name, value, unit, reference| Figure { name, value, unit, reference };
    let raw_quote_ms = floors.raw_quote_ms(&tpm);
    let mut figures = vec![
        figure("agent.start", start_ms(&mut tpm), "ms", 60.0),
        figure("agent.binary", binary_mb(), "MB", 6.0),
        figure("agent.crates", crates(), "count", 150.0),
    ];
    tpm.power_cycle();
    let node = Garantd::start(&tpm.address(), "");
    figures.push(figure("agent.rss_idle", resident_mb(&node), "MB", 8.0));
    let alone = closed_loop(node.address, 1, MEASURED);
    figures.push(figure("quote.fresh.c1", quantile(&alone, 0.5), "ms", raw_quote_ms.mul_add(1.5, 0.15)));
    let floor = floors.mtls_per_s(64);
    let many = closed_loop(node.address, 64, MEASURED);
    figures.push(figure("quote.fresh.c64", per_s(&many, MEASURED), "per_s", floor));
    drop(node);
    tpm.power_cycle();
    let slow = SlowTpm::before(&tpm.socket(), Duration::from_millis(200));
    let node = Garantd::start(&slow.address(), "");
    let waiting = closed_loop(node.address, 2000, MEASURED);
    figures.push(figure("quote.slow_tpm", per_s(&waiting, MEASURED), "per_s", 4500.0));
    figures.push(figure("quote.slow_tpm.p99", quantile(&waiting, 0.99), "ms", 500.0));
    figures
}

/// From exec to the first attested answer, the median of some starts on a TPM that was just switched on.
fn start_ms(tpm: &mut Swtpm) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let times = (0..STARTS).map(|_| {
        tpm.power_cycle();
        let started = Instant::now();
        let node = Garantd::launch(&tpm.address(), "");
        runtime.block_on(async {
            loop {
                if let Ok(mut asker) = Asker::dial(node.address).await
                    && asker.ask(Mode::Fresh).await.is_ok_and(|answered| answered.status == 200)
                {
                    return started.elapsed().as_secs_f64() * 1e3;
                }
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
        })
    });
    quantile(&sorted(times.collect()), 0.5)
}

/// Size of the binary as it is measured: GARANTD may name the static one.
fn binary_mb() -> f64 {
    fs::metadata(garantd::binary()).map_or(f64::NAN, |file| file.len() as f64 / 1e6)
}

fn crates() -> f64 {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", "garantd", "-e", "normal", "--prefix", "none"])
        .output()
        .expect("cargo tree runs");
    let text = String::from_utf8_lossy(&tree.stdout).into_owned();
    let lines: std::collections::HashSet<&str> = text.lines().collect();
    lines.len() as f64
}

/// Resident memory of keeper and server together.
pub fn resident_mb(node: &Garantd) -> f64 {
    let of = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim_end_matches("kB").trim().parse::<f64>().expect("a number") * 1024.0 / 1e6
    };
    of(node.keeper_pid()) + of(node.server_pid().expect("a server"))
}

/// Latencies in ms, sorted, of so many askers who ask again as soon as they are answered. Each has asked once before
/// the clock starts.
pub fn closed_loop(node: SocketAddr, askers: usize, time: Duration) -> Vec<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connected = Vec::new();
        for _ in 0..askers {
            let config = tls::client(None, Accept::AnyKey).expect("a client");
            connected.push(Bare::new(tls::dial(config, node).await.expect("a connection")));
        }
        let mut asking = JoinSet::new();
        let begin = Instant::now() + Duration::from_secs(1);
        for mut asker in connected {
            asking.spawn(async move {
                asker.ask().await;
                tokio::time::sleep_until(begin.into()).await;
                let mut times = Vec::new();
                while begin.elapsed() < time {
                    let asked = Instant::now();
                    asker.ask().await;
                    times.push(asked.elapsed().as_secs_f64() * 1e3);
                }
                times
            });
        }
        sorted(asking.join_all().await.concat())
    })
}

/// An asker that costs as little as it can: what is measured is the node.
struct Bare {
    stream: TlsStream<TcpStream>,
    request: Vec<u8>,
    nonce_at: usize,
    count: u64,
    answer: Vec<u8>,
}

impl Bare {
    fn new(stream: TlsStream<TcpStream>) -> Bare {
        let marker = [0xa5; 32];
        let ask = cbor::encode(&Ask::new(marker, Mode::Fresh, heapless::Vec::new(), 0)).expect("an ask");
        let head = format!("POST /v1/evidence HTTP/1.1\r\nhost: node\r\ncontent-length: {}\r\n\r\n", ask.len());
        let request = [head.as_bytes(), &ask].concat();
        let nonce_at = request.windows(32).position(|part| part == marker).expect("the nonce");
        Bare { stream, request, nonce_at, count: 0, answer: Vec::with_capacity(8192) }
    }

    async fn ask(&mut self) {
        self.count += 1;
        self.request[self.nonce_at..self.nonce_at + 8].copy_from_slice(&self.count.to_be_bytes());
        self.stream.write_all(&self.request).await.expect("the node takes a question");
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.expect("the node answers");
            assert!(read > 0, "the node closed the connection");
            if let Some(length) = whole_bytes(&self.answer)
                && self.answer.len() >= length
            {
                assert!(self.answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&self.answer));
                return;
            }
        }
    }
}

/// Bytes of head and body, once the head is there.
fn whole_bytes(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head + length.parse::<usize>().ok()?)
}

/// The same, sorted.
pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this share of them is.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

fn per_s(answers: &[f64], time: Duration) -> f64 {
    answers.len() as f64 / time.as_secs_f64()
}

const STARTS: usize = 7;
const MEASURED: Duration = Duration::from_secs(5);
