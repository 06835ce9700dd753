//! The store's promises, each against what would break it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::clock::Clock;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.redb")).unwrap();
    (folder, store)
}

fn aliases(ek: u8, ak: u8) -> Vec<Alias> {
    vec![Alias::Ek([ek; 32]), Alias::Ak(vec![ak])]
}

fn enrol(store: &Store, ek: u8, ak: u8, statement: &[u8]) -> Result<Vec<u8>, StoreError> {
    let aliases = aliases(ek, ak);
    store.enrol(NewRecord { id: [ek; 32], time: 100, ak_name: &[ak], aliases: &aliases, statement }, None)
}

fn clock(reset_count: u32, clock_ms: u64) -> ClockInfo {
    ClockInfo { clock_ms, reset_count, restart_count: 0, safe: true }
}

#[test]
fn a_second_enrolment_of_the_same_keys_gets_the_first_record_back() {
    let (_folder, store) = store();
    assert_eq!(enrol(&store, 1, 2, b"first").unwrap(), b"first");
    assert_eq!(enrol(&store, 1, 2, b"second").unwrap(), b"first");
    assert_eq!(store.record([1; 32]).unwrap().unwrap(), b"first");
}

#[test]
fn another_ak_for_a_known_ek_and_another_ek_for_a_known_ak_are_refused() {
    let (_folder, store) = store();
    enrol(&store, 1, 2, b"first").unwrap();
    assert!(matches!(enrol(&store, 1, 3, b"other ak"), Err(StoreError::Conflict(_))));
    assert!(matches!(enrol(&store, 4, 2, b"other ek"), Err(StoreError::Conflict(_))));
    assert_eq!(store.record([1; 32]).unwrap().unwrap(), b"first");
    assert_eq!(store.record([4; 32]).unwrap(), None);
    assert_eq!(store.find(&Alias::Ak(vec![3])).unwrap(), None, "a refused enrolment leaves nothing");
}

#[test]
fn a_chip_that_shows_fewer_eks_is_found_by_any_of_them() {
    let (_folder, store) = store();
    let all = [Alias::Ek([1; 32]), Alias::Ek([9; 32]), Alias::Ak(vec![2])];
    store.enrol(NewRecord { id: [1; 32], time: 1, ak_name: &[2], aliases: &all, statement: b"both" }, None).unwrap();
    assert!(matches!(enrol(&store, 9, 3, b"the RSA key alone"), Err(StoreError::Conflict(_))));
    assert_eq!(store.find(&Alias::Ek([9; 32])).unwrap(), Some([1; 32]));
}

#[test]
fn another_tpm_in_a_known_chassis_is_refused() {
    let (_folder, store) = store();
    let enrol = |ek: u8| {
        let aliases = [Alias::Ek([ek; 32]), Alias::Chassis("rack 3".into())];
        store.enrol(NewRecord { id: [ek; 32], time: 1, ak_name: &[ek], aliases: &aliases, statement: b"r" }, None)
    };
    enrol(1).unwrap();
    assert!(matches!(enrol(2), Err(StoreError::Conflict(_))));
}

#[test]
fn two_enrolments_that_race_leave_one_record() {
    let (_folder, store) = store();
    let outcomes: Vec<bool> = thread::scope(|scope| {
        let racers: Vec<_> = (0..8u8)
            .map(|ak| {
                scope.spawn({
                    let store = store.clone();
                    move || enrol(&store, 1, ak, &[ak]).is_ok()
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|won| **won).count(), 1, "{outcomes:?}");
    let winner = outcomes.iter().position(|won| *won).unwrap();
    assert_eq!(store.record([1; 32]).unwrap().unwrap(), [u8::try_from(winner).unwrap()]);
}

#[test]
fn answers_verified_in_inverse_order_leave_the_later_counters() {
    let (_folder, store) = store();
    enrol(&store, 1, 2, b"r").unwrap();
    store.learn([1; 32], clock(5, 20), None, None).unwrap();
    store.learn([1; 32], clock(5, 10), None, None).unwrap();
    store.learn([1; 32], clock(4, 99), None, None).unwrap();
    assert_eq!(store.memory([1; 32]).unwrap().counters, Some(clock(5, 20)));
}

#[test]
fn of_a_node_without_a_record_nothing_is_remembered() {
    let (_folder, store) = store();
    store.learn([7; 32], clock(5, 20), None, Some(b"log")).unwrap();
    let memory = store.memory([7; 32]).unwrap();
    assert!(memory.counters.is_none() && memory.log.is_none() && memory.ak_name.is_none());
}

#[test]
fn counters_are_forgotten_only_by_a_younger_permitted_record() {
    let (_folder, store) = store();
    enrol(&store, 1, 2, b"first").unwrap();
    store.learn([1; 32], clock(5, 20), None, None).unwrap();
    let names = aliases(1, 2);
    let again = |time| {
        let new = NewRecord { id: [1; 32], time, ak_name: &[2], aliases: &names, statement: b"again" };
        store.enrol(new, Some(Reenrolment::for_tests()))
    };
    assert!(matches!(again(100), Err(StoreError::OldRecord)));
    assert_eq!(store.memory([1; 32]).unwrap().counters, Some(clock(5, 20)));
    again(101).unwrap();
    assert_eq!(store.memory([1; 32]).unwrap().counters, None);
    assert_eq!(store.record([1; 32]).unwrap().unwrap(), b"again");
}

#[test]
fn what_was_kept_is_there_after_the_file_is_opened_again() {
    let (folder, store) = store();
    enrol(&store, 1, 2, b"r").unwrap();
    let at = Clock::of_this_boot().unwrap().now().unwrap();
    let seen = Sighting { boot_id: [1; 32], session_key: [2; 32], clock: clock(1, 2).into(), at };
    store.learn([1; 32], clock(5, 20), Some(seen.clone()), Some(b"log")).unwrap();
    store.keep_ear([1; 32], b"ear").unwrap();
    drop(store);
    let store = Store::open(&folder.path().join("state.redb")).unwrap();
    let memory = store.memory([1; 32]).unwrap();
    assert_eq!((memory.counters, memory.sightings), (Some(clock(5, 20)), vec![seen]));
    assert_eq!(memory.log.unwrap().1, b"log");
    assert_eq!(store.last_ear([1; 32]).unwrap().unwrap(), b"ear");
}

#[test]
fn a_disk_that_was_full_is_no_longer_an_obstacle_once_it_has_room() {
    use nix::sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
    };
    // A file that may not grow stands for the full disk; blocked, its signal becomes an error of the write.
    [Signal::SIGXFSZ].into_iter().collect::<SigSet>().thread_block().unwrap();
    let (_folder, store) = store();
    store.keep_ear([1; 32], b"before").unwrap();
    let (before, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 16 << 20, most).unwrap();
    let refused = (2..40).any(|id| store.keep_ear([id; 32], &vec![0; 1 << 20]).is_err());
    let still_refused = store.keep_ear([40; 32], &vec![0; 16 << 20]).is_err();
    setrlimit(Resource::RLIMIT_FSIZE, before, most).unwrap();
    assert!(refused && still_refused);
    let _ = store.last_ear([1; 32]);
    assert_eq!(store.last_ear([1; 32]).unwrap().unwrap(), b"before");
    store.keep_ear([1; 32], b"after").unwrap();
    assert_eq!(store.last_ear([1; 32]).unwrap().unwrap(), b"after");
}
