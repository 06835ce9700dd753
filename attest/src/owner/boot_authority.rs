//! Who can say what boots: the keys in PK, KEK and db, and those that verified something, from the replayed events of
//! PCR 7. Holding one of them is control over the machine. What else can change firmware (its maker, a BMC) is not seen.

use super::party::{Country, Standing, Territory};
use crate::{
    budget,
    certificate::Certificate,
    engine::{Engine, sha256},
    event_words,
    measured::MeasuredBoot,
    pcr_policy::Evidence,
    verdict::Answer,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use der::asn1::ObjectIdentifier;
use garant_hw::{
    eventdata::{EventData, Guid, Signature, SignatureLists, Variable},
    eventlog::EventType,
    hash::Hash,
};

/// One entry of a variable, or of what verified a boot application. Holding one proves that PCR 7 covers it, and nothing
/// of what its subject says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// PK, KEK, db, or the variable that a verification named.
    pub variable: String,
    /// SHA-256 of the certificate or of the entry as it stands.
    pub sha256: [u8; 32],
    /// The certificate's subject, in its own words; `None` for a digest and for what cannot be read.
    pub untrusted_subject: Option<String>,
    /// countryName of the subject, in its own words.
    pub untrusted_country: Option<Country>,
}

/// All authorities of a boot, and whether they were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// In the order of the log.
    pub list: Vec<Authority>,
    /// SecureBoot was on; else anything boots.
    pub is_enforced: bool,
    /// Each of PK, KEK and db was measured once, and every entry was read.
    pub is_whole: bool,
}

/// The authorities in one bank; `None` where PCR 7 does not replay to its quoted value.
pub fn list(engine: &dyn Engine, boot: &MeasuredBoot<'_>, hash: Hash) -> Option<Authorities> {
    let events = Evidence { engine, boot }.replayed_events(hash, SECURE_BOOT)?;
    let mut found = Authorities { list: Vec::new(), is_enforced: false, is_whole: true };
    let mut names: Vec<&str> = Vec::new();
    for event in &events {
        let data = event_words::covered_data(engine, hash, event);
        match (event.event_type, data) {
            (EventType::EFI_VARIABLE_DRIVER_CONFIG, Some(EventData::Variable(variable))) => {
                let named = NAMES.into_iter().find(|name| variable.is_named(name));
                found.is_whole &= named.is_none_or(|name| !names.contains(&name));
                names.extend(named);
                found.variable(engine, &variable, named);
            }
            (EventType::EFI_VARIABLE_AUTHORITY, Some(EventData::Variable(variable))) => {
                let entry = Signature::parse(variable.content()).map_or(variable.content(), |entry| entry.data);
                let (name, is_certificate) = (variable.name().to_string(), Certificate::from_der(entry).is_ok());
                found.is_whole &= is_certificate;
                found.list.push(authority(engine, &name, entry));
            }
            (EventType::EFI_VARIABLE_DRIVER_CONFIG | EventType::EFI_VARIABLE_AUTHORITY, _) => found.is_whole = false,
            _ => {}
        }
    }
    found.is_whole &= NAMES.into_iter().all(|name| names.contains(&name));
    found.is_whole &= found.list.len() <= budget::BOOT_AUTHORITIES;
    found.list.truncate(budget::BOOT_AUTHORITIES);
    Some(found)
}

impl Authorities {
    fn variable(&mut self, engine: &dyn Engine, variable: &Variable<'_>, named: Option<&str>) {
        match named {
            Some(STATE) => self.is_enforced = variable.content() == [1],
            Some(name) => {
                for list in SignatureLists::new(variable.content()) {
                    let Ok(list) = list else {
                        self.is_whole = false;
                        continue;
                    };
                    let is_read = [Guid::CERT_X509, Guid::CERT_SHA256].contains(&list.kind);
                    self.is_whole &= is_read;
                    self.list.extend(list.signatures().map(|entry| authority(engine, name, entry.data)));
                }
            }
            None => {}
        }
    }

    /// Whether only those inside hold them. `known` is the policy's word for whose each is (SHA-256, jurisdiction); a
    /// subject's own word can only make a no, since anybody may write one.
    pub fn judge(&self, known: &[([u8; 32], Country)], territory: &Territory) -> (Answer, String) {
        let mapped =
            |one: &Authority| known.iter().find(|(sha256, _)| *sha256 == one.sha256).map(|(_, country)| country);
        let standing = |one: &Authority| match (mapped(one), &one.untrusted_country) {
            (Some(country), _) => territory.standing(country),
            (None, Some(country)) if territory.standing(country) == Standing::Outside => Standing::Outside,
            (None, _) => Standing::Unstated,
        };
        if let Some(one) = self.list.iter().find(|one| standing(one) == Standing::Outside) {
            return (Answer::No, format!("{one} authorises what boots, from outside {}", territory.name));
        }
        if !self.is_enforced {
            return (Answer::Unknown, "secure boot is off: no key is asked".into());
        }
        if !self.is_whole || self.list.is_empty() {
            return (Answer::Unknown, "not all of PK, KEK and db can be read".into());
        }
        match self.list.iter().find(|one| standing(one) != Standing::Inside) {
            Some(one) => (Answer::Unknown, format!("whose {one} is, the policy does not say")),
            None => (
                Answer::Yes,
                format!("all {} keys that authorise what boots are held in {}", self.list.len(), territory.name),
            ),
        }
    }
}

impl core::fmt::Display for Authority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let subject = self.untrusted_subject.as_deref().unwrap_or("an entry without a name");
        write!(f, "{subject:?} in {:?} (sha256 ", self.variable)?;
        self.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

fn authority(engine: &dyn Engine, variable: &str, entry: &[u8]) -> Authority {
    let certificate = Certificate::from_der(entry).ok();
    let country = certificate.as_ref().and_then(|certificate| {
        let attribute = certificate.subject().iter().find(|attribute| attribute.oid == COUNTRY)?;
        core::str::from_utf8(attribute.value.value()).ok()?.parse().ok()
    });
    Authority {
        variable: variable.into(),
        sha256: sha256(engine, &[entry]),
        untrusted_subject: certificate.map(|certificate| certificate.subject().to_string()),
        untrusted_country: country,
    }
}

const SECURE_BOOT: u32 = 7;
const STATE: &str = "SecureBoot";
/// What PCR 7 measures of keys and their use (TCG PC Client Platform Firmware Profile 1.06, 3.3.4.8).
const NAMES: [&str; 4] = [STATE, "PK", "KEK", "db"];
const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6"); // X.520 6.3.1

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::{
        owner::party::tests::{country, europe},
        rust_engine::RustEngine,
        samples::{Boot, variable},
    };

    /// An EFI_SIGNATURE_LIST with one SHA-256.
    fn entry(byte: u8) -> Vec<u8> {
        let sizes = [76u32, 0, 48].map(u32::to_le_bytes).concat();
        [&Guid::CERT_SHA256.0[..], &sizes, &[0; 16], &[byte; 32]].concat()
    }

    fn boot(state: u8) -> Boot {
        Boot::good().changed(|events| {
            let config = EventType::EFI_VARIABLE_DRIVER_CONFIG;
            events.retain(|event| event.pcr != 7);
            events.push(variable(config, STATE, &[state]));
            let keys = ["PK", "KEK", "db"].into_iter().zip(1..);
            events.extend(keys.map(|(name, byte)| variable(config, name, &entry(byte))));
        })
    }

    fn judged(boot: &Boot, log: &[u8], codes: [&str; 3]) -> Option<Answer> {
        let known: Vec<_> = codes
            .into_iter()
            .zip(1..)
            .map(|(code, byte)| (sha256(&RustEngine, &[&[byte; 32]]), country(code)))
            .collect();
        let found = boot.measured(Some(log), |measured| list(&RustEngine, measured, Hash::Sha256));
        found.map(|found| found.judge(&known, &europe()).0)
    }

    #[test]
    fn all_keys_held_inside_is_a_yes_and_one_outside_a_no() {
        let on = boot(1);
        assert_eq!(judged(&on, &on.log(), ["FR", "FR", "DE"]), Some(Answer::Yes));
        for at in 0..3 {
            let mut codes = ["FR"; 3];
            codes[at] = "US";
            assert_eq!(judged(&on, &on.log(), codes), Some(Answer::No));
            codes[at] = "NO";
            assert_eq!(judged(&on, &on.log(), codes), Some(Answer::Unknown));
        }
    }

    #[test]
    fn secure_boot_off_a_missing_or_doubled_variable_or_an_unread_one_is_unknown() {
        let off = boot(0);
        assert_eq!(judged(&off, &off.log(), ["FR"; 3]), Some(Answer::Unknown));
        for change in [
            boot(1).changed(|events| drop(events.pop())),
            boot(1).changed(|events| events.push(events[events.len() - 1].clone())),
            boot(1).and(variable(EventType::EFI_VARIABLE_AUTHORITY, "db", b"signer")),
        ] {
            assert_eq!(judged(&change, &change.log(), ["FR"; 3]), Some(Answer::Unknown));
        }
    }

    #[test]
    fn a_log_that_does_not_replay_says_nothing() {
        assert_eq!(judged(&boot(1), &boot(0).log(), ["FR"; 3]), None);
    }
}
