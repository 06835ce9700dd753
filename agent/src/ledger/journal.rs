//! What servers of one boot write down for their successors: records one after the other in a file in memory that the keeper
//! holds. It ends with the boot, as the VMs do.

use crate::budget::JOURNAL_RECORD_BYTES;
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::FileExt,
};

/// The file, and where its whole records end.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    end: u64,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: RecordKind,
    pub(super) bytes: Vec<u8>,
}

/// What a record's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// A VM's definition, JSON.
    Defined,
    /// Id of a VM that is forgotten, JSON.
    Forgotten,
    /// An entry of the ledger, open.
    Entry,
    /// A commit, as evidence has it: from now on its extension is due.
    Commit,
    /// A start's number and the VMM of the pool that it got, both big endian.
    Claim,
}

impl Journal {
    /// Reads all whole records. What a killed server left half-written at the end is cut off: nothing was done on it.
    pub(super) fn open(mut file: File) -> io::Result<(Journal, Vec<Record>)> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        let mut records = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((record, after)) = Record::decode(rest) {
            records.push(record);
            rest = after;
        }
        let whole = bytes.len().saturating_sub(rest.len());
        let end = u64::try_from(whole).map_err(io::Error::other)?;
        file.set_len(end)?;
        Ok((Journal { file, end }, records))
    }

    /// Writes a record at the end.
    pub(super) fn append(&mut self, kind: RecordKind, bytes: &[u8]) -> io::Result<()> {
        let record = Record::encode(kind, bytes)?;
        self.file.write_all_at(&record, self.end)?;
        self.end = self.end.saturating_add(u64::try_from(record.len()).map_err(io::Error::other)?);
        Ok(())
    }
}

impl Record {
    fn encode(kind: RecordKind, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        if bytes.len() > JOURNAL_RECORD_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok([&[kind.number()][..], &length.to_be_bytes(), bytes].concat())
    }

    fn decode(bytes: &[u8]) -> Option<(Record, &[u8])> {
        let ([number], rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        let kind = RecordKind::ALL.into_iter().find(|kind| kind.number() == *number)?;
        Some((Record { kind, bytes: bytes.to_vec() }, rest))
    }
}

impl RecordKind {
    const ALL: [RecordKind; 5] =
        [RecordKind::Defined, RecordKind::Forgotten, RecordKind::Entry, RecordKind::Commit, RecordKind::Claim];

    fn number(self) -> u8 {
        match self {
            RecordKind::Defined => 1,
            RecordKind::Forgotten => 2,
            RecordKind::Entry => 3,
            RecordKind::Commit => 4,
            RecordKind::Claim => 5,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_was_cut_anywhere_holds_its_whole_records_and_goes_on_after_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let (mut journal, none) = Journal::open(open()).unwrap();
        assert!(none.is_empty());
        let written = [(RecordKind::Defined, &b"one"[..]), (RecordKind::Entry, b""), (RecordKind::Commit, b"three")];
        let mut ends = vec![0];
        for (kind, bytes) in written {
            journal.append(kind, bytes).unwrap();
            ends.push(std::fs::metadata(&path).unwrap().len());
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, whole.get(..cut).unwrap()).unwrap();
            let (mut journal, records) = Journal::open(open()).unwrap();
            let expected = ends.iter().filter(|end| **end > 0 && usize::try_from(**end).unwrap() <= cut).count();
            assert_eq!(records.len(), expected, "{cut}");
            journal.append(RecordKind::Forgotten, b"next").unwrap();
            let (_, records) = Journal::open(open()).unwrap();
            assert_eq!(records.last().unwrap().bytes, b"next");
            assert_eq!(records.len(), expected + 1);
        }
    }

    #[test]
    fn a_record_beyond_its_limit_is_not_written() {
        assert!(Record::encode(RecordKind::Entry, &vec![0; JOURNAL_RECORD_BYTES + 1]).is_err());
        assert!(Record::encode(RecordKind::Entry, &vec![0; JOURNAL_RECORD_BYTES]).is_ok());
    }
}
