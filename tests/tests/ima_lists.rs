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
    let logs = vectors::under("eventlogs/");
    for vector in vectors::under("ima/") {
        let first = entries(&vector.bytes)[0];
        let (_, digest) = first.file_digest().unwrap();
        if digest.iter().all(|byte| *byte == 0) {
            let zeros = [[0u8; 64]; 10];
            let any = |bank: Hash, i: usize| Some(&zeros[i][..bank.size_bytes()]);
            assert!(!is_boot_aggregate(&FastEngine, &first, any), "{}", vector.file);
        }
        // The log of the same boot has the list's name, and more.
        let name = vector.file.replace("ima/", "eventlogs/").replace(".ima", "");
        for log in logs.iter().filter(|log| log.file.starts_with(&name)) {
            let replayed = replay(&FastEngine, &EventLog::parse(&log.bytes).unwrap(), Hash::Sha256, |_, _| ());
            let value = |bank: Hash, i: usize| replayed.bank(bank).pcr(i).unwrap().value();
            let values = Hash::ALL.map(|bank| (bank, (0..10).map(|i| value(bank, i)).collect::<Vec<_>>()));
            let pcr =
                |bank: Hash, i: usize| values.iter().find(|(hash, _)| *hash == bank).map(|(_, v)| v[i].as_bytes());
            assert!(is_boot_aggregate(&FastEngine, &first, pcr), "{}", vector.file);
            let swapped = |bank: Hash, i: usize| pcr(bank, i ^ 1);
            assert!(!is_boot_aggregate(&FastEngine, &first, swapped), "{}", vector.file);
        }
    }
}

/// PCR 10 after each entry, as a kernel before 5.8 extends it: SHA-1, or ones for a violation, filled up with zeros.
fn values_of_old_kernels(bank: Hash, entries: &[ImaEntry<'_>]) -> Vec<Digest> {
    let mut value = Digest::zero(bank);
    let extend = |entry: &ImaEntry<'_>| {
        let mut extended = vec![0; bank.size_bytes()];
        extended[..20].copy_from_slice(&if entry.is_violation() { [0xff; 20] } else { entry.template_digest });
        value = FastEngine.digest(bank, &[value.as_bytes(), &extended]);
        value
    };
    entries.iter().map(extend).collect()
}

/// An `ima-ng` entry; a violation has a template digest of zeros.
fn entry(path: &str, is_violation: bool) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let data = [sized(b"sha256:\0digest"), sized(format!("{path}\0").as_bytes())].concat();
    let digest = if is_violation { Digest::zero(Hash::Sha1) } else { FastEngine.digest(Hash::Sha1, &[&data]) };
    [&10u32.to_le_bytes()[..], digest.as_bytes(), &sized(b"ima-ng"), &sized(&data)].concat()
}

#[test]
fn a_list_of_an_old_kernel_leads_to_its_value_in_every_bank_violations_included() {
    let list = [entry("/bin/a", false), entry("/bin/b", true), entry("/bin/c", false)].concat();
    let all = entries(&list);
    for bank in Hash::ALL {
        for (at, quoted) in values_of_old_kernels(bank, &all).iter().enumerate() {
            let start = Digest::zero(bank);
            let found = covered(&FastEngine, bank, start, ImaList::from(0, &list), 0, quoted.as_bytes()).unwrap();
            assert_eq!((found.entries, found.violations), (at as u64 + 1, u64::from(at > 0)), "{}", bank.name());
        }
    }
}

#[test]
fn an_entry_of_another_pcr_ends_the_list_that_a_quote_can_cover() {
    let mut other = entry("/bin/b", false);
    other[0] = 11;
    let list = [entry("/bin/a", false), other].concat();
    let values = values(Hash::Sha256, &entries(&list));
    let covers = |quoted: &Digest| {
        covered(&FastEngine, Hash::Sha256, Digest::zero(Hash::Sha256), ImaList::from(0, &list), 0, quoted.as_bytes())
    };
    assert_eq!(covers(&values[0]).unwrap().entries, 1);
    assert_eq!(covers(&values[1]), None);
}
