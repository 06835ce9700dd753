//! Seeds of the target `ledger_entries`.

use garant_attest::{
    cbor,
    ledger::{Act, Asker, Entry, Program, VmName},
    wire::{Entries, LedgerAsk},
};
use garant_channel::engine::FastEngine;

/// A VM's life, and a message with one entry of each kind, under commits whose digests are zero.
pub(crate) fn entries(put: &mut impl FnMut(&str, &[u8])) {
    let vm = || VmName::new("web", 1).unwrap();
    let program =
        || Program { kernel: [1; 32], initrd: Some([2; 32]), command_line: [3; 32], disks: vec![[4; 32], [5; 32]] };
    let by = Asker::Key([6; 32]);
    let life = [
        Act::Start {
            vm: vm(),
            by: Asker::Local,
            spec: [7; 32],
            program: Program { initrd: None, ..program() },
            ready: Some(1),
        },
        Act::Started { vm: vm(), of: 1 },
        Act::Pause(vm(), by),
        Act::Resume(vm(), by),
        Act::Stop(vm(), by),
        Act::Ended { vm: vm(), of: 5, why: "guest shut down".into() },
        Act::Delete(vm(), by),
        Act::Ready(program()),
        Act::Void(1),
        Act::Gap("lost".into()),
    ];
    let entries: Vec<Entry> = life.iter().map(|act| Entry::new(act, 7, [8; 16]).unwrap()).collect();
    for last in 1..=entries.len() {
        let mut sent: Vec<_> = entries[..last].iter().map(Entry::open).collect();
        if last == 3 {
            sent[2] = entries[2].hidden(&FastEngine);
        }
        let message = cbor::encode(&Entries::new(1, sent).unwrap()).unwrap();
        let last = u64::try_from(last).unwrap().to_be_bytes();
        put("ledger_entries", &[&[1][..], &1u64.to_be_bytes(), &last, &[0; 32], &message].concat());
    }
    put("ledger_entries", &cbor::encode(&LedgerAsk::new(1)).unwrap());
}
