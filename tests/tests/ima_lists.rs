//! IMA lists among the vectors: template digests, boot aggregate, and the prefix that a PCR value covers.

use garant_attest::{
    engine::{Digest, Engine},
    ima::{covered, is_boot_aggregate},
    replay::replay,
};
use garant_channel::engine::FastEngine;
use garant_hw::{
    eventlog::EventLog,
    hash::Hash,
    ima::{ImaEntry, ImaList, Template},
};
use garant_tests::vectors;

fn entries(list: &[u8]) -> Vec<ImaEntry<'_>> {
    ImaList::from(0, list).map(|entry| entry.expect("a whole list")).collect()
}

/// PCR 10 after each entry, as a kernel since 5.8 extends it.
fn values(bank: Hash, entries: &[ImaEntry<'_>]) -> Vec<Digest> {
    let mut value = Digest::zero(bank);
    let extend = |entry: &ImaEntry<'_>| {
        let Template::Fields { data, .. } = entry.template else { panic!("an old template") };
        let own = FastEngine.digest(bank, &[data]);
        let own = if entry.is_violation() { Digest::ones(bank) } else { own };
        value = FastEngine.digest(bank, &[value.as_bytes(), own.as_bytes()]);
        value
    };
    entries.iter().map(extend).collect()
}

#[test]
fn a_quote_covers_the_prefix_that_leads_to_its_value_and_nothing_else() {
    for vector in vectors::under("ima/") {
        let all = entries(&vector.bytes);
        for bank in Hash::ALL {
            let values = values(bank, &all);
            for at in [0, all.len() / 2, all.len() - 1] {
                let list = ImaList::from(0, &vector.bytes);
                let found = covered(&FastEngine, bank, Digest::zero(bank), list, 0, values[at].as_bytes()).unwrap();
                assert_eq!(found.entries, u64::try_from(at).unwrap() + 1, "{}", vector.file);
                let violations = all[..=at].iter().filter(|entry| entry.is_violation()).count();
                assert_eq!(found.violations, u64::try_from(violations).unwrap(), "{}", vector.file);
            }
            let nowhere = Digest::ones(bank);
            let list = ImaList::from(0, &vector.bytes);
            assert_eq!(covered(&FastEngine, bank, Digest::zero(bank), list, 0, nowhere.as_bytes()), None);
        }
    }
}

#[test]
fn a_list_resumes_at_any_entry() {
    for vector in vectors::under("ima/") {
        let all = entries(&vector.bytes);
        let values = values(Hash::Sha256, &all);
        let half = all.len() / 2;
        let mut rest = ImaList::from(0, &vector.bytes);
        let mut skipped = 0;
        for entry in rest.by_ref().take(half) {
            let Template::Fields { template, data } = entry.unwrap().template else { panic!("an old template") };
            skipped += 4 + 20 + 4 + template.len() + 4 + data.len();
        }
        let first = u64::try_from(half).unwrap();
        let list = ImaList::from(first, &vector.bytes[skipped..]);
        let end = values[all.len() - 1];
        let found = covered(&FastEngine, Hash::Sha256, values[half - 1], list, first, end.as_bytes()).unwrap();
        assert_eq!(found.entries, u64::try_from(all.len()).unwrap());
    }
}

#[test]
fn an_entry_whose_data_was_changed_under_its_digest_is_refused_in_every_bank() {
    for vector in vectors::under("ima/") {
        let values = values(Hash::Sha1, &entries(&vector.bytes));
        let mut other = vector.bytes.clone();
        other[4 + 20 + 4 + 6 + 4 + 10] ^= 1;
        let list = ImaList::from(0, &other);
        assert_eq!(covered(&FastEngine, Hash::Sha1, Digest::zero(Hash::Sha1), list, 0, values[0].as_bytes()), None);
    }
}

#[test]
fn the_boot_aggregate_is_that_of_the_log_and_one_of_zeros_is_none() {
    let log = vectors::under("eventlogs/h12ssl");
    for vector in vectors::under("ima/") {
        let first = entries(&vector.bytes)[0];
        let is_zero = vector.expected.contains("zero boot_aggregate");
        let Some(log) = log.first() else { continue };
        let replayed = replay(&FastEngine, &EventLog::parse(&log.bytes).unwrap(), Hash::Sha256, |_, _| ());
        let values: Vec<Digest> = (0..10).map(|i| replayed.bank(Hash::Sha1).pcr(i).unwrap().value()).collect();
        let pcr = |bank: Hash, i: usize| (bank == Hash::Sha1).then(|| values[i].as_bytes());
        assert_eq!(is_boot_aggregate(&FastEngine, &first, pcr), vector.file.contains("h12ssl"), "{}", vector.file);
        if is_zero {
            let zeros = [[0u8; 32]; 10];
            let any = |_: Hash, i: usize| Some(&zeros[i][..]);
            assert!(!is_boot_aggregate(&FastEngine, &first, any), "{}", vector.file);
        }
    }
}
