//! Whose mandate counts, for what and how long.

use super::*;

#[test]
fn each_thing_that_a_mandate_says_is_checked() {
    let good = mandate_of(&good());
    let fault = |mandate: &Mandate<'_>| World::with_mandate(mandate, &owner()).fault();
    assert!(matches!(World::with_mandate(&good, &owner()).judge(), Custody::Held(_)));
    let node_id = Bytes32::new([1; 32]);
    assert_eq!(fault(&Mandate { node_id, ..good }), CustodyError::MandateOtherNode { found: [1; 32] });
    assert_eq!(fault(&Mandate { ak_name: Bytes::new(&[0, 11, 7, 8]), ..good }), CustodyError::MandateOtherKey);
    assert_eq!(
        fault(&Mandate { head: Bytes32::new([1; 32]), ..good }),
        CustodyError::MandateOtherHead { found: [1; 32] }
    );
    let long = StatementError::TooLong { life_s: LIFE_S + 1, limit_s: LIFE_S };
    assert_eq!(fault(&Mandate { expires: good.expires + 1, ..good }), CustodyError::Mandate(long));
    let future = Mandate { issued: NOW + 1, expires: NOW + 2, ..good };
    assert_eq!(fault(&future), CustodyError::Mandate(StatementError::NotYet { from: NOW + 1 }));
    assert!(matches!(World::with_mandate(&Mandate { issued: NOW, ..good }, &owner()).judge(), Custody::Held(_)));
    let ended = Mandate { expires: NOW, ..good };
    assert_eq!(fault(&ended), CustodyError::Mandate(StatementError::Expired { at: NOW }));
    let none = Mandate { expires: good.issued, ..good };
    assert_eq!(fault(&none), CustodyError::Mandate(StatementError::Lifetime));
    let short_name = Mandate { ak_name: Bytes::new(&[0, 11]), ..good };
    assert_eq!(fault(&short_name), CustodyError::Mandate(StatementError::Claim { what: "AK Name" }));
}

#[test]
fn only_the_present_owner_mandates() {
    let good = mandate_of(&good());
    for former in [maker(), integrator()] {
        let world = World::with_mandate(&good, &former);
        assert_eq!(world.fault(), CustodyError::FormerOwner { key_id: former.id() });
        assert_eq!(world.judge().answer(), Answer::No);
        // Whoever only writes a former owner's name below a mandate is no former owner.
        let mut forged = signed(&good, &former);
        *forged.last_mut().unwrap() ^= 1;
        let world = World { mandates: vec![forged], ..world };
        assert_eq!(world.fault(), CustodyError::Mandate(StatementError::Signature));
    }
    let world = World::with_mandate(&good, &ed25519(66));
    assert_eq!(world.fault(), CustodyError::Stranger { key_id: ed25519(66).id() });
    let other_kind = owner().sign(ENTRY_TYPE, &crate::cbor::encode(&good).unwrap());
    let world = World { mandates: vec![other_kind], ..world };
    assert!(matches!(world.fault(), CustodyError::Mandate(StatementError::ContentType { .. })));
    assert_eq!(World { mandates: vec![], ..world }.fault(), CustodyError::NoMandate);
}

#[test]
fn of_several_mandates_the_one_that_lasts_longest_counts() {
    let good = mandate_of(&good());
    let old = signed(&Mandate { expires: NOW, ..good }, &owner());
    let short = signed(&Mandate { expires: NOW + 7, ..good }, &owner());
    for mandates in [vec![old.clone(), short.clone()], vec![short.clone(), old]] {
        let Custody::Held(held) = (World { mandates, ..world() }).judge() else { panic!("not held") };
        assert_eq!(held.expires, NOW + 7);
    }
    let mandates = vec![short; budget::VOUCHERS + 1];
    assert!(matches!(World { mandates, ..world() }.fault(), CustodyError::TooMany { .. }));
    let vouchers = vec![self::good(); budget::VOUCHERS + 1];
    assert!(matches!(World { vouchers, ..world() }.fault(), CustodyError::TooMany { .. }));
}

#[test]
fn what_a_former_owner_signed_for_another_node_or_time_is_no_no() {
    let good = mandate_of(&good());
    let ended = Mandate { expires: NOW, ..good };
    let early = Mandate { issued: NOW + 1, ..good };
    let other = Mandate { node_id: Bytes32::new([1; 32]), ..good };
    for mandate in [ended, early, other] {
        let world = World::with_mandate(&mandate, &integrator());
        assert_eq!(world.judge().answer(), Answer::Unknown, "{:?}", world.fault());
    }
}

#[test]
fn a_former_owner_who_bought_the_machine_back_mandates_again() {
    let back = hand_over(&good(), &owner(), &integrator(), &at(NOW - 300));
    let mandate = mandate_of(&back);
    let by = |key: &Key| World { vouchers: vec![back.clone()], ..World::with_mandate(&mandate, key) };
    assert!(matches!(by(&integrator()).judge(), Custody::Held(_)));
    assert_eq!(by(&owner()).fault(), CustodyError::FormerOwner { key_id: owner().id() });
    // What the same key signed before it sold the machine names another head.
    let before = World { vouchers: vec![back.clone()], ..World::with_mandate(&mandate_of(&first()), &integrator()) };
    assert_eq!(before.fault(), CustodyError::MandateOtherHead { found: follow(&first()).head() });
}

#[test]
fn a_mandate_may_name_any_certified_key_of_the_chip() {
    let mandate = Mandate { node_id: Bytes32::new([0xcd; 32]), ..mandate_of(&good()) };
    assert!(matches!(World::with_mandate(&mandate, &owner()).judge(), Custody::Held(_)));
}

#[test]
fn a_name_that_only_begins_alike_is_another_attestation_key() {
    for name in [&[0u8, 11, 7][..], &[0, 11, 7, 7, 0]] {
        let mandate = Mandate { ak_name: Bytes::new(name), ..mandate_of(&good()) };
        assert_eq!(World::with_mandate(&mandate, &owner()).fault(), CustodyError::MandateOtherKey);
    }
    let long = [0; 67];
    let mandate = Mandate { ak_name: Bytes::new(&long), ..mandate_of(&good()) };
    let fault = StatementError::Claim { what: "AK Name" };
    assert_eq!(World::with_mandate(&mandate, &owner()).fault(), CustodyError::Mandate(fault));
}

#[test]
fn each_part_of_a_mandate_is_there_once_and_of_its_type() {
    let payload = crate::cbor::encode(&mandate_of(&good())).unwrap();
    let distorted = crate::statement::tests::distorted(&payload);
    assert_eq!(distorted.iter().filter(|(way, _)| way.ends_with("left out")).count(), 5);
    for (way, payload) in distorted {
        let mandates = vec![owner().sign(Mandate::CONTENT_TYPE, &payload)];
        let fault = World { mandates, ..world() }.fault();
        assert!(matches!(fault, CustodyError::Mandate(StatementError::Shape(_))), "{way}: {fault}");
    }
}
