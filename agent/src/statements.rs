//! What others say of this node, as it carries it to its verifiers: the files of one folder, and what landmarks signed.
//!
//! The node checks no signature here but the landmarks' (in [`crate::landmarks`]): who is believed is for the verifier to say. A file
//! that is no statement, or too long, is left out with one line in the log.

use crate::budget::{FOLDER_ENTRIES, FOLDER_READ_INTERVAL, LANDMARK_WORD_LIFE};
use bytes::Bytes;
use garant_attest::{
    budget::{CARRIED_BYTES, CARRIED_STATEMENT_BYTES, CARRIED_STATEMENTS},
    carried::Kind,
    cbor::{self, CborError},
    wire::Statements,
};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Everything that is carried.
pub struct Carried {
    folder: Option<PathBuf>,
    files: Mutex<Files>,
    landmarks: Mutex<Vec<(Instant, LandmarkWord)>>,
}

/// What a landmark signed, checked when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandmarkWord {
    /// The landmark's key.
    pub landmark: [u8; 32],
    /// F of which it speaks.
    pub session_key: [u8; 32],
    /// The statement.
    pub statement: Bytes,
}

/// The folder as it was last read.
#[derive(Default)]
struct Files {
    read_at: Option<Instant>,
    statements: Vec<Bytes>,
    complaints: Vec<String>,
}

impl Carried {
    /// What lies in this folder, read at each question anew, and nothing of a landmark yet.
    pub fn new(folder: Option<PathBuf>) -> Carried {
        Carried { folder, files: Mutex::default(), landmarks: Mutex::default() }
    }

    /// Keeps a landmark's statement instead of its last one about the same F.
    pub fn keep(&self, word: LandmarkWord) {
        let mut landmarks = self.landmarks();
        landmarks.retain(|(_, kept)| kept.landmark != word.landmark || kept.session_key != word.session_key);
        landmarks.push((Instant::now(), word));
    }

    /// The landmarks' statements about this F, as far as they have not ended.
    pub fn of_landmarks(&self, session_key: &[u8; 32]) -> Vec<Bytes> {
        let landmarks = self.landmarks();
        let theirs = landmarks.iter().filter(|(_, word)| word.session_key == *session_key);
        theirs.map(|(_, word)| word.statement.clone()).collect()
    }

    /// Waits until as many landmarks have spoken of one F as of another.
    pub async fn as_many(&self, of: &[u8; 32], as_of: &[u8; 32]) {
        while self.of_landmarks(of).len() < self.of_landmarks(as_of).len() {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// All statements as they are sent: the landmarks' about F of now first, then the folder's, then those about other Fs
    /// that still live, as far as there is room.
    pub fn encode(&self, session_key: &[u8; 32]) -> Result<Vec<u8>, CborError> {
        let others = self.landmarks().iter().filter(|(_, word)| word.session_key != *session_key).cloned().collect();
        let others: Vec<(Instant, LandmarkWord)> = others;
        let others = others.into_iter().map(|(_, word)| word.statement);
        let all = self.of_landmarks(session_key).into_iter().chain(self.files()).chain(others);
        let (carried, _) = within_budget(all, |statement| statement.len());
        cbor::encode(&Statements::new(carried.iter().map(|statement| cbor::Bytes::new(statement)).collect()))
    }

    /// The folder's statements; it is read again where that is not just done.
    pub fn files(&self) -> Vec<Bytes> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.read_at.is_none_or(|read_at| read_at.elapsed() >= FOLDER_READ_INTERVAL) {
            let (statements, complaints) = read_folder(folder);
            for new in complaints.iter().filter(|complaint| !files.complaints.contains(complaint)) {
                log::warn!("statement left out, {new}");
            }
            *files = Files { read_at: Some(Instant::now()), statements, complaints };
        }
        files.statements.clone()
    }

    fn landmarks(&self) -> MutexGuard<'_, Vec<(Instant, LandmarkWord)>> {
        let mut landmarks = self.landmarks.lock().unwrap_or_else(PoisonError::into_inner);
        landmarks.retain(|(kept_at, _)| kept_at.elapsed() < LANDMARK_WORD_LIFE);
        landmarks
    }
}

/// As many from the first on as may be carried, and the rest.
fn within_budget<T>(all: impl Iterator<Item = T>, length: impl Fn(&T) -> usize) -> (Vec<T>, Vec<T>) {
    let (mut count, mut bytes) = (0usize, 0usize);
    all.partition(|one| {
        let sum = bytes.saturating_add(length(one));
        let is_carried = count < CARRIED_STATEMENTS && sum <= CARRIED_BYTES;
        if is_carried {
            (count, bytes) = (count.saturating_add(1), sum);
        }
        is_carried
    })
}

/// Statements in the order of their names, and what was left out and why.
fn read_folder(folder: &Path) -> (Vec<Bytes>, Vec<String>) {
    let names = match names_in(folder) {
        Ok(names) => names,
        Err(error) => return (Vec::new(), vec![format!("folder {}: {error}", folder.display())]),
    };
    let mut complaints = Vec::new();
    let mut read = Vec::new();
    for name in names {
        match read_statement(&folder.join(&name)) {
            Ok(statement) => read.push((name, statement)),
            Err(error) => complaints.push(format!("file {name:?}: {error}")),
        }
    }
    let (carried, rest) = within_budget(read.into_iter(), |(_, statement)| statement.len());
    complaints
        .extend(rest.iter().map(|(name, _)| {
            format!("file {name:?}: beyond {CARRIED_STATEMENTS} statements or {CARRIED_BYTES} bytes")
        }));
    (carried.into_iter().map(|(_, statement)| statement).collect(), complaints)
}

/// Names in a folder, hidden ones left out.
fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(folder)?.take(FOLDER_ENTRIES).map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<io::Result<Vec<OsString>>>()?;
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.sort();
    Ok(names)
}

fn read_statement(path: &Path) -> io::Result<Bytes> {
    // A pipe would make us wait for its writer.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("no file"));
    }
    let limit = u64::try_from(CARRIED_STATEMENT_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > CARRIED_STATEMENT_BYTES {
        return Err(io::Error::other(format!("longer than {CARRIED_STATEMENT_BYTES} bytes")));
    }
    Kind::of(&bytes).ok_or_else(|| io::Error::other("no statement of a kind that verifiers weigh"))?;
    Ok(bytes.into())
}

/// While statements are waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]
    use super::*;
    use garant_attest::cose::sign_ed25519;

    fn statement(payload: &[u8]) -> Vec<u8> {
        sign_ed25519([0; 32], "application/vnd.garant.mandate+cbor", payload, |_| Ok::<_, CborError>([0; 64])).unwrap()
    }

    fn carried(carried: &Carried, session_key: &[u8; 32]) -> Vec<Vec<u8>> {
        let bytes = carried.encode(session_key).unwrap();
        Statements::decode(&bytes).unwrap().1.iter().map(|statement| statement.to_vec()).collect()
    }

    fn word(landmark: u8, session_key: u8, said: &[u8]) -> LandmarkWord {
        let statement = Bytes::copy_from_slice(said);
        LandmarkWord { landmark: [landmark; 32], session_key: [session_key; 32], statement }
    }

    #[test]
    fn a_landmarks_newer_statement_takes_the_place_of_its_older_one_about_the_same_f() {
        let all = Carried::new(None);
        for (landmark, session_key, said) in [(1, 1, b"old"), (2, 1, b"two"), (1, 2, b"nxt"), (1, 1, b"new")] {
            all.keep(word(landmark, session_key, said));
        }
        assert_eq!(carried(&all, &[1; 32]), [&b"two"[..], b"new", b"nxt"], "F of now first");
        assert_eq!(carried(&all, &[2; 32]), [&b"nxt"[..], b"two", b"new"]);
        assert_eq!(all.of_landmarks(&[2; 32]), [&b"nxt"[..]]);
    }

    #[test]
    fn a_folder_is_carried_in_the_order_of_its_names_without_what_is_no_statement() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let all = Carried::new(Some(folder.path().to_owned()));
        fs::write(path("b"), statement(b"second")).unwrap();
        fs::write(path("a"), statement(b"first")).unwrap();
        fs::write(path(".hidden"), statement(b"hidden")).unwrap();
        fs::write(path("notes.txt"), "no statement").unwrap();
        let head_bytes = statement(&[0; 60_000]).len() - 60_000;
        let longest = statement(&vec![0; CARRIED_STATEMENT_BYTES - head_bytes]);
        assert_eq!(longest.len(), CARRIED_STATEMENT_BYTES);
        fs::write(path("c"), &longest).unwrap();
        fs::write(path("long"), statement(&vec![0; CARRIED_STATEMENT_BYTES - head_bytes + 1])).unwrap();
        fs::create_dir(path("folder")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(carried(&all, &[1; 32]), [statement(b"first"), statement(b"second"), longest]);
        let (_, complaints) = read_folder(folder.path());
        let about: Vec<&str> = complaints.iter().map(|complaint| complaint.split('"').nth(1).unwrap()).collect();
        assert_eq!(about, ["folder", "long", "notes.txt", "pipe"]);
    }

    #[test]
    fn what_is_put_into_the_folder_later_is_carried_and_a_missing_folder_is_not_fatal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("statements");
        let all = Carried::new(Some(path.clone()));
        assert_eq!(all.files().len(), 0);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("mandate"), statement(b"mandate")).unwrap();
        assert_eq!(all.files().len(), 0, "it was just read");
        all.files.lock().unwrap().read_at = None;
        assert_eq!(all.files(), [statement(b"mandate")]);
    }

    #[test]
    fn more_than_may_be_carried_is_left_out_and_said() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..CARRIED_STATEMENTS + 2 {
            fs::write(folder.path().join(format!("{number:03}")), statement(b"small")).unwrap();
        }
        let (statements, complaints) = read_folder(folder.path());
        assert_eq!((statements.len(), complaints.len()), (CARRIED_STATEMENTS, 2));
        let all = Carried::new(Some(folder.path().to_owned()));
        all.keep(word(1, 1, b"landmark"));
        assert_eq!(carried(&all, &[1; 32])[0], b"landmark", "a full folder leaves no landmark out");
        let large = vec![0; CARRIED_STATEMENT_BYTES - 200];
        let folder = tempfile::tempdir().unwrap();
        for number in 0..18 {
            fs::write(folder.path().join(format!("{number:03}")), statement(&large)).unwrap();
        }
        assert_eq!(read_folder(folder.path()).0.len(), 16);
    }
}
