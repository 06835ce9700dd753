//! What is known against chips: status by maker and running firmware, as data with a version, asked at every appraisal.
//!
//! The firmware version is the one in the quote, as the maker counts. A verdict here says what an advisory says, and no
//! more: where an advisory names no version that this table could compare, the entry warns for all.

use crate::{appraise::CONTRAINDICATED, budget, tcg_names::Maker, verdict::Verdict};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use serde::{Deserialize, Deserializer, de::Error as _};

/// How much an entry weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Is printed with the verdict.
    Warned,
    /// Keys of such a chip prove nothing.
    Refused,
}

/// What is known against a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub status: Status,
    /// Its name, such as a CVE.
    pub id: String,
    /// In words, with the source.
    pub note: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.note)
    }
}

/// The table.
#[derive(Debug, Clone)]
pub struct EndorsementStatus {
    version: String,
    entries: Vec<(Maker, Entry)>,
}

impl EndorsementStatus {
    /// The table that comes with this release.
    pub fn of_release() -> Result<EndorsementStatus, StatusError> {
        EndorsementStatus::parse(OF_RELEASE)
    }

    /// Reads a table in the form of the built-in one.
    pub fn parse(text: &str) -> Result<EndorsementStatus, StatusError> {
        if text.len() > budget::ROOTS_BYTES {
            return Err(StatusError { message: "the table is too long".to_string() });
        }
        let table: Table = toml::from_str(text).map_err(|error| StatusError { message: error.to_string() })?;
        let entries = table.finding.into_iter().map(|entry| match entry.maker.parse() {
            Ok(maker) if entry.from <= entry.to => Ok((maker, entry)),
            _ => Err(StatusError { message: alloc::format!("{}: maker or versions are none", entry.id) }),
        });
        Ok(EndorsementStatus { version: table.version, entries: entries.collect::<Result<_, _>>()? })
    }

    /// Version of the table, for verdicts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All that is known against a chip of that maker with that firmwareVersion (TPMS_ATTEST), the heaviest first.
    pub fn findings(&self, maker: Maker, firmware_version: u64) -> Vec<Finding> {
        let running = Version::of(firmware_version);
        let is_hit = |entry: &Entry| (entry.from..=entry.to).contains(&running);
        let hits = self.entries.iter().filter(|(of, entry)| *of == maker && is_hit(entry));
        let mut found: Vec<Finding> = hits.map(|(_, entry)| entry.finding()).collect();
        found.sort_by_key(|finding| core::cmp::Reverse(finding.status));
        found
    }

    /// Weighs all that is known against the chip whose keys these makers certified: a refused one takes a yes back. Gives
    /// each finding once.
    pub fn weigh(
        &self,
        makers: impl IntoIterator<Item = Maker>,
        firmware_version: u64,
        verdict: &mut Verdict,
    ) -> Vec<Finding> {
        let mut weighed: Vec<Finding> = Vec::new();
        for finding in makers.into_iter().flat_map(|maker| self.findings(maker, firmware_version)) {
            if weighed.contains(&finding) {
                continue;
            }
            if finding.status == Status::Refused {
                verdict.vector.hardware = CONTRAINDICATED;
                verdict.withdraw(alloc::format!("endorsement status: {finding}"));
            }
            verdict.residual_trust.push(alloc::format!("chip: {finding}"));
            weighed.push(finding);
        }
        weighed
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: String,
    finding: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    maker: String,
    from: Version,
    to: Version,
    status: Status,
    id: String,
    note: String,
}

impl Entry {
    fn finding(&self) -> Finding {
        Finding { status: self.status, id: self.id.clone(), note: self.note.clone() }
    }
}

/// The upper half of a firmwareVersion: major and minor, 16 bits each (TPM 2.0 Part 2, 6.13, TPM_PT_FIRMWARE_VERSION_1;
/// that makers count so: seen on ST, Infineon and Nuvoton).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u16, u16);

impl Version {
    fn of(firmware_version: u64) -> Version {
        let [a, b, c, d, ..] = firmware_version.to_be_bytes();
        Version(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parts.map(|(major, minor)| Version(major, minor)).ok_or_else(|| D::Error::custom("a version is like 7.61"))
    }
}

/// The table is none of this form; who wrote it is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusError {
    /// What is wrong, with the line.
    pub message: String,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table of endorsement status: {}", self.message)
    }
}

impl core::error::Error for StatusError {}

const OF_RELEASE: &str = include_str!("../data/endorsement.toml");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn findings(maker: &str, firmware_version: u64) -> Vec<(Status, String)> {
        let table = EndorsementStatus::of_release().unwrap();
        let found = table.findings(maker.parse().unwrap(), firmware_version);
        found.into_iter().map(|finding| (finding.status, finding.id)).collect()
    }

    #[test]
    fn tpm_fail_refuses_the_firmware_that_st_names_and_no_other() {
        let tpm_fail = [(Status::Refused, "CVE-2019-16863".to_string())];
        for affected in [0x0047_0000, 0x0047_0004, 0x0047_000c, 0x0049_0008, 0x004a_0010] {
            assert_eq!(findings("STM", affected << 32), tpm_fail, "{affected:#x}");
        }
        for sound in [0x0047_0010, 0x0049_0014, 0x0049_0040, 0x004a_0040, 0x0001_0102] {
            assert_eq!(findings("STM", sound << 32 | 0xffff_ffff), [], "{sound:#x}");
        }
        assert_eq!(findings("IFX", 0x0047_000c << 32), [], "another maker's numbers say nothing");
    }

    #[test]
    fn roca_warns_up_to_the_last_affected_firmware() {
        let roca = [(Status::Warned, "CVE-2017-15361".to_string())];
        for affected in [0x0005_003d, 0x0007_003d, 0x0006_002a] {
            assert_eq!(findings("IFX", affected << 32 | 0xffff), roca);
        }
        assert_eq!(findings("IFX", 0x0007_003e_000c_3600), [], "7.62");
    }

    #[test]
    fn a_table_of_another_form_is_refused() {
        let entry = |from, to, maker| {
            alloc::format!(
                "version = \"1\"\n[[finding]]\nmaker = \"{maker}\"\nfrom = \"{from}\"\nto = \"{to}\"\nstatus = \"warned\"\nid = \"x\"\nnote = \"y\"\n"
            )
        };
        assert!(EndorsementStatus::parse(&entry("1.0", "1.1", "IFX")).is_ok());
        for wrong in
            [entry("1.1", "1.0", "IFX"), entry("1", "1.0", "IFX"), entry("1.0", "1.1", "Infineon"), "x = 1".into()]
        {
            assert!(EndorsementStatus::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
