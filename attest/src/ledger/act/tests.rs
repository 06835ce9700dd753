#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::*;
use alloc::vec;

fn vm() -> VmName {
    VmName::new("web-1", 3).unwrap()
}

fn program() -> Program {
    Program { kernel: [1; 32], initrd: Some([2; 32]), command_line: [3; 32], disks: vec![[4; 32], [5; 32]] }
}

/// One of each kind.
fn acts() -> Vec<Act> {
    let by = Asker::Key([6; 32]);
    vec![
        Act::Ready(Program { initrd: None, disks: vec![], ..program() }),
        Act::Start { vm: vm(), by: Asker::Local, spec: [7; 32], program: program(), ready: Some(1) },
        Act::Started { vm: vm(), of: 2 },
        Act::Pause(vm(), by),
        Act::Resume(vm(), by),
        Act::Stop(vm(), by),
        Act::Ended { vm: vm(), of: 2, why: "guest shut down".into() },
        Act::Delete(vm(), Asker::Local),
        Act::Void(9),
        Act::Gap("the journal ends before entry 4".into()),
    ]
}

#[test]
fn each_act_comes_back_from_its_body_and_from_that_of_no_other_kind() {
    for act in acts() {
        let body = act.encode().unwrap();
        assert!(body.len() <= budget::ENTRY_BODY_BYTES);
        assert_eq!(Act::decode(act.kind(), &body), Ok(act.clone()));
        for other in acts().into_iter().filter(|other| other.kind() != act.kind()) {
            let alike =
                |kind| matches!(kind, EntryKind::Pause | EntryKind::Resume | EntryKind::Stop | EntryKind::Delete);
            let is_read = Act::decode(other.kind(), &body).is_ok();
            assert_eq!(is_read, alike(act.kind()) && alike(other.kind()), "{act:?} as {}", other.kind());
        }
    }
}

#[test]
fn the_largest_act_has_room_in_a_body() {
    let vm = VmName::new(&"v".repeat(budget::VM_ID_BYTES), u64::MAX).unwrap();
    let program = Program { disks: vec![[4; 32]; budget::ENTRY_DISKS], ..program() };
    let start = Act::Start { vm: vm.clone(), by: Asker::Key([6; 32]), spec: [7; 32], program, ready: Some(u64::MAX) };
    let ended = Act::Ended { vm, of: u64::MAX, why: "w".repeat(budget::ENTRY_WHY_BYTES) };
    for act in [start, ended] {
        let body = act.encode().unwrap();
        assert_eq!(Act::decode(act.kind(), &body), Ok(act));
    }
}

#[test]
fn what_is_ready_covers_what_has_its_kernel_initrd_and_command_line_and_only_its_images() {
    let ready = program();
    let with = |change: fn(&mut Program)| {
        let mut program = program();
        change(&mut program);
        ready.covers(&program)
    };
    assert!(with(|_| {}) && with(|program| program.disks = vec![]) && with(|program| program.disks = vec![[5; 32]; 3]));
    assert!(!with(|program| program.kernel = [9; 32]));
    assert!(!with(|program| program.initrd = None));
    assert!(!with(|program| program.command_line = [9; 32]));
    assert!(!with(|program| program.disks.push([9; 32])));
}

#[test]
fn what_nobody_could_read_is_not_written() {
    let program = Program { disks: vec![[4; 32]; budget::ENTRY_DISKS + 1], ..program() };
    assert!(Act::Ready(program).encode().is_err());
    for why in [String::new(), "w".repeat(budget::ENTRY_WHY_BYTES + 1), "a\nb".into(), "a\u{1b}[2J".into()] {
        assert!(Act::Gap(why).encode().is_err());
    }
}

#[test]
fn a_body_with_a_field_more_less_or_of_another_shape_is_refused() {
    let read = |kind, body: &[u8]| Act::decode(kind, body);
    let stop = b"\xa3\x62by\x65local\x62id\x61a\x63gen\x01";
    assert!(read(EntryKind::Stop, stop).is_ok());
    for (what, body) in [
        ("no generation", &b"\xa2\x62by\x65local\x62id\x61a"[..]),
        ("a field of another kind", b"\xa4\x62by\x65local\x62id\x61a\x62of\x01\x63gen\x01"),
        ("an unknown field", b"\xa4\x62by\x65local\x62id\x61a\x62no\x01\x63gen\x01"),
        ("null for an absent field", b"\xa4\x62by\x65local\x62id\x61a\x62of\xf6\x63gen\x01"),
        ("unsorted keys", b"\xa3\x62id\x61a\x62by\x65local\x63gen\x01"),
        ("a key twice", b"\xa4\x62by\x65local\x62id\x61a\x62id\x61a\x63gen\x01"),
        ("asked by nobody", b"\xa3\x62by\x65remot\x62id\x61a\x63gen\x01"),
        ("asked by a short key", b"\xa3\x62by\x43key\x62id\x61a\x63gen\x01"),
        ("an id that is none", b"\xa3\x62by\x65local\x62id\x61/\x63gen\x01"),
        ("a byte more", b"\xa3\x62by\x65local\x62id\x61a\x63gen\x01\x00"),
        ("nothing", b""),
    ] {
        assert!(read(EntryKind::Stop, body).is_err(), "{what}");
    }
    let disks = |count: u8| {
        let disk = [&[0x58, 32][..], &[4; 32]].concat();
        let digest = |key: &[u8]| [key, &disk].concat();
        let disks = [&[0xa3, 0x65][..], b"disks", &[0x80 | count], &disk.repeat(count.into())].concat();
        [disks, digest(b"\x66kernel"), digest(b"\x67cmdline")].concat()
    };
    let most = u8::try_from(budget::ENTRY_DISKS).unwrap();
    assert!(read(EntryKind::Ready, &disks(most)).is_ok());
    assert!(read(EntryKind::Ready, &disks(most + 1)).is_err());
}

#[test]
fn an_id_of_a_vm_is_a_label_in_lower_case() {
    for good in ["a", "0", "web-1", "1-", &"a".repeat(63)] {
        assert_eq!(VmName::new(good, 1).unwrap().id(), good);
    }
    for bad in ["", "-a", "A", "a_b", "a.b", "a/b", "../a", "ä", "a b", &"a".repeat(64)] {
        assert_eq!(VmName::new(bad, 1), None, "{bad:?}");
    }
}
