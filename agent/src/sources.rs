//! What the node reads beside the TPM: boot log, IMA list, SMBIOS. Opened before the server is locked down; what cannot be
//! read is missing from the evidence, which says so, and the rest goes on.

use crate::{
    budget::EK_CERTIFICATE_BYTES,
    config::{Configuration, EkCertificate},
    machine::Machine,
    tpm_chip::LentCertificate,
};
use garant_attest::budget::{IMA_BYTES, LOG_BYTES};
use garant_hw::ima::{ImaEntry, ImaList, Template};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

/// Everything that could be opened.
pub struct Sources {
    /// The boot log. It does not change after boot.
    pub boot_log: Option<Vec<u8>>,
    /// The IMA list, which grows.
    pub ima: Option<Ima>,
    /// What the firmware says of the machine.
    pub machine: Machine,
    /// EK certificates that NV does not hold.
    pub ek_certificates: Vec<LentCertificate>,
    /// What could not be read and why, for whoever judges the evidence.
    pub missing: Vec<String>,
}

impl Sources {
    /// Opens what the configuration names. A kernel without IMA or a machine without SMBIOS misses nothing.
    pub fn open(configuration: &Configuration) -> Sources {
        let mut missing = Vec::new();
        let boot_log =
            read_boot_log(&configuration.boot_log).inspect_err(|error| missing.push(format!("boot log: {error}"))).ok();
        let ima = if_there("IMA list", Ima::open(&configuration.ima_list), &mut missing);
        let machine = if_there("SMBIOS", Machine::read(&configuration.smbios), &mut missing).unwrap_or_default();
        let mut ek_certificates = Vec::new();
        for lent in &configuration.ek_certificate {
            match read_ek_certificate(lent) {
                Ok(certificate) => ek_certificates.push(certificate),
                Err(error) => missing.push(format!("EK certificate {}: {error}", lent.file.display())),
            }
        }
        for what in &missing {
            log::warn!("evidence incomplete, {what}");
        }
        Sources { boot_log, ima, machine, ek_certificates, missing }
    }
}

/// What is not there is not missing.
fn if_there<T>(what: &str, opened: io::Result<T>, missing: &mut Vec<String>) -> Option<T> {
    match opened {
        Ok(opened) => Some(opened),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            missing.push(format!("{what}: {error}"));
            None
        }
    }
}

fn read_boot_log(path: &Path) -> io::Result<Vec<u8>> {
    read_whole(path, LOG_BYTES)
}

fn read_ek_certificate(lent: &EkCertificate) -> io::Result<LentCertificate> {
    let certificate = read_whole(&lent.file, EK_CERTIFICATE_BYTES)?;
    Ok(LentCertificate { certificate_index: lent.index.0, certificate })
}

/// A file that is neither empty nor longer than its limit.
fn read_whole(path: &Path, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() {
        0 => Err(io::Error::other("empty")),
        length if length > limit_bytes => Err(io::Error::other(format!("longer than {limit_bytes} bytes"))),
        _ => Ok(bytes),
    }
}

/// The IMA list as far as it was read, with the place of each entry.
pub struct Ima {
    list: File,
    /// The kernel's count, which is quicker than reading on.
    count: Option<File>,
    bytes: Vec<u8>,
    starts: Vec<usize>,
    whole_bytes: usize,
}

impl Ima {
    fn open(path: &Path) -> io::Result<Ima> {
        let list = File::open(path)?;
        let count = File::open(path.with_file_name("runtime_measurements_count")).ok();
        Ok(Ima { list, count, bytes: Vec::new(), starts: Vec::new(), whole_bytes: 0 })
    }

    /// Reads what came since; returns the bytes of all whole entries.
    pub fn refresh(&mut self) -> usize {
        if self.kernel_count() == u64::try_from(self.starts.len()).ok() {
            return self.whole_bytes;
        }
        let room = IMA_BYTES.saturating_sub(self.bytes.len());
        let room = u64::try_from(room).unwrap_or(0);
        if let Err(error) = (&self.list).take(room).read_to_end(&mut self.bytes) {
            log::warn!("IMA list not read on: {error}");
        }
        let new = self.bytes.get(self.whole_bytes..).unwrap_or_default();
        for entry in ImaList::from(0, new).map_while(Result::ok) {
            self.starts.push(self.whole_bytes);
            self.whole_bytes = self.whole_bytes.saturating_add(size_bytes(&entry));
        }
        self.whole_bytes
    }

    /// Entries in the list now.
    pub fn count_now(&mut self) -> u64 {
        self.kernel_count().unwrap_or_else(|| {
            self.refresh();
            u64::try_from(self.starts.len()).unwrap_or(u64::MAX)
        })
    }

    /// The entries from this number on, in the first `until_bytes` of the list; from the first where there are fewer.
    pub fn from_entry(&self, number: u64, until_bytes: usize) -> (u64, &[u8]) {
        let start = usize::try_from(number).ok().and_then(|number| self.starts.get(number)).copied();
        let (first, start) = match start.filter(|start| *start <= until_bytes) {
            Some(start) => (number, start),
            None => (0, 0),
        };
        (first, self.bytes.get(start..until_bytes).unwrap_or_default())
    }

    fn kernel_count(&self) -> Option<u64> {
        let mut text = [0; 24];
        let length = self.count.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(text.get(..length)?).ok()?.trim_end().parse().ok()
    }
}

/// Bytes of an entry as the kernel wrote it.
fn size_bytes(entry: &ImaEntry<'_>) -> usize {
    let template = match entry.template {
        Template::Legacy { file_digest, name } => [b"ima".len(), file_digest.len(), 4, name.len()],
        Template::Fields { template, data } => [template.len(), 4, data.len(), 0],
    };
    template.into_iter().fold(ENTRY_HEAD_BYTES, usize::saturating_add)
}

/// PCR, template digest and the length of the template's name (Linux, ima_fs.c, ima_measurements_show).
const ENTRY_HEAD_BYTES: usize = 4 + 20 + 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;
    use std::io::Write;

    fn entry(digest: u8, data: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let name = b"ima-ng";
        [&10u32.to_le_bytes()[..], &[digest; 20], &length(name), name, &length(data), data].concat()
    }

    fn legacy(digest: u8, name: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&10u32.to_le_bytes()[..], &[digest; 20], &length(b"ima"), b"ima", &[1; 20], &length(name), name].concat()
    }

    #[test]
    fn a_list_that_grows_is_read_on_and_given_from_any_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let (one, two, three) = (entry(1, b"first"), legacy(2, b"/init"), entry(3, b"the third"));
        let mut file = File::create(&path).unwrap();
        file.write_all(&[&one[..], &two[..], &three[..5]].concat()).unwrap();
        let mut ima = Ima::open(&path).unwrap();
        let before = ima.refresh();
        assert_eq!(before, one.len() + two.len());
        assert_eq!(ima.from_entry(1, before), (1, &two[..]));
        file.write_all(&three[5..]).unwrap();
        let after = ima.refresh();
        assert_eq!((ima.count_now(), after), (3, before + three.len()));
        assert_eq!(ima.from_entry(2, after), (2, &three[..]));
        assert_eq!(ima.from_entry(1, before), (1, &two[..]), "a quote's list does not grow");
    }

    #[test]
    fn who_asks_beyond_the_end_gets_the_list_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, entry(1, b"first")).unwrap();
        let mut ima = Ima::open(&path).unwrap();
        let all = ima.refresh();
        assert_eq!(ima.from_entry(7, all).0, 0);
        assert_eq!(ima.from_entry(u64::MAX, all), (0, &entry(1, b"first")[..]));
    }

    #[test]
    fn a_log_that_cannot_be_read_is_missing_and_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("empty"), b"").unwrap();
        std::fs::write(path("long"), vec![0; LOG_BYTES + 1]).unwrap();
        std::fs::write(path("good"), b"log").unwrap();
        let open = |boot_log, ima_list| {
            Sources::open(&Configuration { boot_log, ima_list, smbios: path("absent"), ..Configuration::default() })
        };
        for (name, said) in [("empty", "empty"), ("long", "longer"), ("absent", "No such file")] {
            let sources = open(path(name), path("absent"));
            assert!(sources.boot_log.is_none() && sources.ima.is_none());
            assert!(sources.missing.len() == 1 && sources.missing[0].contains(said), "{:?}", sources.missing);
        }
        let sources = open(path("good"), folder.path().to_owned());
        assert_eq!(sources.boot_log.unwrap(), b"log");
    }
}
