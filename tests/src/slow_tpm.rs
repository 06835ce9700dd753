//! A TPM that takes its time, as chips do: a proxy before a swtpm that holds quotes and extends back.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running proxy; it takes one connection after another.
pub struct SlowTpm {
    folder: TempDir,
    quotes: Arc<AtomicUsize>,
}

/// How long commands take, the TPM's own time included.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// A quote.
    pub quote: Duration,
    /// An extend.
    pub extend: Duration,
}

impl SlowTpm {
    /// Before the swtpm at this socket; each quote takes this long, the TPM's own time included.
    pub fn before(swtpm: &Path, quote: Duration) -> SlowTpm {
        SlowTpm::taking(swtpm, Delays { quote, extend: Duration::ZERO })
    }

    /// Before the swtpm at this socket; commands take so long.
    pub fn taking(swtpm: &Path, delays: Delays) -> SlowTpm {
        let folder = tempfile::Builder::new().prefix("slow-tpm").tempdir().expect("no scratch folder");
        let listener = UnixListener::bind(folder.path().join("tpm.sock")).expect("no socket");
        let (swtpm, quotes) = (swtpm.to_owned(), Arc::new(AtomicUsize::new(0)));
        let counted = quotes.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if let Ok(tpm) = UnixStream::connect(&swtpm) {
                    // Ends when either side goes away.
                    let _ = carry(client, tpm, delays, &counted);
                }
            }
        });
        SlowTpm { folder, quotes }
    }

    /// As garantd's `--tpm` takes it.
    pub fn address(&self) -> String {
        format!("unix:{}", self.path().display())
    }

    /// Quotes so far.
    pub fn quotes(&self) -> usize {
        self.quotes.load(Ordering::SeqCst)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tpm.sock")
    }
}

fn carry(mut client: UnixStream, mut tpm: UnixStream, delays: Delays, quotes: &AtomicUsize) -> io::Result<()> {
    loop {
        let command = frame(&mut client)?;
        let started = Instant::now();
        tpm.write_all(&command)?;
        let response = frame(&mut tpm)?;
        if command[6..10] == QUOTE {
            quotes.fetch_add(1, Ordering::SeqCst);
            thread::sleep(delays.quote.saturating_sub(started.elapsed()));
        }
        if command[6..10] == EXTEND {
            thread::sleep(delays.extend.saturating_sub(started.elapsed()));
        }
        client.write_all(&response)?;
    }
}

/// One command or response: its size is in bytes 2 to 5.
fn frame(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 10];
    stream.read_exact(&mut frame)?;
    let size = u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]) as usize;
    frame.resize(size.max(10), 0);
    stream.read_exact(&mut frame[10..])?;
    Ok(frame)
}

/// TPM_CC_Quote (TPM 2.0 Part 2, 6.5.2).
const QUOTE: [u8; 4] = [0, 0, 1, 0x58];
/// TPM_CC_PCR_Extend (the same).
const EXTEND: [u8; 4] = [0, 0, 1, 0x82];
