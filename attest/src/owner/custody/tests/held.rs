//! Who holds a machine, and what ends that.

use super::*;

#[test]
fn the_owner_at_the_end_of_the_chain_holds_the_machine_by_mandate() {
    let Custody::Held(held) = world().judge() else { panic!("not held") };
    assert_eq!(held.owner.id, owner().id());
    assert_eq!(held.maker, maker().id());
    assert_eq!(held.links, [(integrator().id(), NOW - 500), (owner().id(), NOW - 400)]);
    assert_eq!(held.head, follow(&good()).head());
    assert_eq!((held.chassis, held.expires), (ChassisTie::Covered, NOW - 100 + LIFE_S));
    assert_eq!(world().judge().answer(), Answer::Yes);
    let longer = World { now: held.expires - 1, ..world() };
    assert_eq!(longer.judge().answer(), Answer::Yes);
}

#[test]
fn chassis_text_that_nothing_covers_is_testimony_and_another_text_is_another_machine() {
    let tie = |chassis| match (World { chassis, ..world() }).judge() {
        Custody::Held(held) => Ok(held.chassis),
        Custody::NotHeld(fault) => Err(fault),
    };
    assert_eq!(tie(Chassis::Untrusted(CHASSIS)), Ok(ChassisTie::Testimony));
    assert_eq!(tie(Chassis::Silent), Ok(ChassisTie::Open));
    for other in [Chassis::Untrusted("SN 4712"), Chassis::Covered("SN 4712")] {
        assert!(matches!(tie(other), Err(CustodyError::OtherChassis { .. })));
    }
}

#[test]
fn a_voucher_of_another_node_says_nothing_of_this_one() {
    let other = Machine { node_id: [1; 32], chassis: "other" };
    let voucher = hand_over(&begin(&other, &maker()), &maker(), &owner(), &at(NOW - 400));
    assert_eq!(
        World::with_vouchers(core::slice::from_ref(&voucher)).fault(),
        CustodyError::OtherNode { found: [1; 32] }
    );
    assert!(matches!(World::with_vouchers(&[voucher, good()]).judge(), Custody::Held(_)));
    let same_chassis = Machine { node_id: [1; 32], chassis: CHASSIS };
    let voucher = hand_over(&begin(&same_chassis, &maker()), &maker(), &owner(), &at(NOW - 400));
    assert_eq!(World::with_vouchers(&[voucher]).fault(), CustodyError::OtherNode { found: [1; 32] });
}

#[test]
fn no_byte_of_a_voucher_or_mandate_can_change_or_be_missing() {
    let voucher = hand_over(&begin(&machine(), &ed25519(90)), &ed25519(90), &ed25519(91), &at(NOW - 400));
    let mandate = signed(&mandate_of(&voucher), &ed25519(91));
    let world = |voucher: &[u8], mandate: &[u8]| World {
        vouchers: vec![voucher.to_vec()],
        mandates: vec![mandate.to_vec()],
        ..world()
    };
    assert!(matches!(world(&voucher, &mandate).judge(), Custody::Held(_)));
    for at in 0..voucher.len() {
        let mut changed = voucher.clone();
        changed[at] ^= 1;
        assert!(matches!(world(&changed, &mandate).judge(), Custody::NotHeld(_)), "voucher, byte {at}");
    }
    for at in 0..mandate.len() {
        let mut changed = mandate.clone();
        changed[at] ^= 1;
        assert!(matches!(world(&voucher, &changed).judge(), Custody::NotHeld(_)), "mandate, byte {at}");
    }
    for cut in 0..voucher.len() {
        assert!(ClaimedVoucher::decode(&voucher[..cut]).is_err(), "{cut} bytes");
    }
    assert!(ClaimedVoucher::decode(&[&voucher[..], &[0]].concat()).is_err());
}

#[test]
fn a_revoked_key_anywhere_in_the_chain_is_a_no() {
    for key in [maker(), integrator(), owner()] {
        let world = World { revoked: vec![[9; 32], key.id()], ..world() };
        assert_eq!(world.fault(), CustodyError::Revoked { key_id: key.id() });
        assert_eq!(world.judge().answer(), Answer::No);
    }
    assert!(matches!(World { revoked: vec![[9; 32]], ..world() }.judge(), Custody::Held(_)));
}

#[test]
fn what_an_entry_gave_ends_when_it_says_and_begins_no_earlier() {
    let leased = |expires| {
        let terms = Terms { expires: Some(expires), ..at(NOW - 400) };
        let voucher = hand_over(&first(), &integrator(), &owner(), &terms);
        let mandates = vec![signed(&mandate_of(&voucher), &owner())];
        World { vouchers: vec![voucher], mandates, ..world() }
    };
    let Custody::Held(held) = leased(NOW + 1).judge() else { panic!("not held") };
    assert_eq!(held.expires, NOW + 1);
    assert_eq!(leased(NOW).fault(), CustodyError::EntryExpired { number: 1, at: NOW });
    let early = World { now: NOW - 401, ..world() };
    assert_eq!(early.fault(), CustodyError::EntryNotYet { number: 1, from: NOW - 400 });
}

#[test]
fn a_chain_that_begins_with_nobody_we_know_or_has_no_entry_is_nothing() {
    let adopted = hand_over(&begin(&machine(), &ed25519(66)), &ed25519(66), &owner(), &at(NOW - 400));
    let fault = World::with_vouchers(&[adopted]).fault();
    assert_eq!(fault, CustodyError::UnknownMaker { key_id: ed25519(66).id() });
    let empty = begin(&machine(), &maker());
    let mandates = vec![signed(&mandate_of(&empty), &maker())];
    assert_eq!(World { vouchers: vec![empty], mandates, ..world() }.fault(), CustodyError::NoEntry);
    assert_eq!(World { vouchers: vec![], ..world() }.fault(), CustodyError::NoVoucher);
}

#[test]
fn no_owner_of_the_chain_may_have_lost_the_machine_or_not_yet_have_it() {
    let leased = Terms { expires: Some(NOW), ..at(NOW - 500) };
    let leased = hand_over(&begin(&machine(), &maker()), &maker(), &integrator(), &leased);
    let sublet = hand_over(&leased, &integrator(), &owner(), &at(NOW - 400));
    let world = |voucher: &[u8]| {
        let mandates = vec![signed(&mandate_of(voucher), &owner())];
        World { vouchers: vec![voucher.to_vec()], mandates, ..world() }
    };
    assert_eq!(world(&sublet).fault(), CustodyError::EntryExpired { number: 0, at: NOW });
    let Custody::Held(held) = (World { now: NOW - 1, ..world(&sublet) }).judge() else { panic!("not held") };
    assert_eq!(held.expires, NOW);
    let early = World { now: NOW - 501, ..world(&good()) };
    assert_eq!(early.fault(), CustodyError::EntryNotYet { number: 0, from: NOW - 500 });
}

/// A certificate of this key with a legal person's name, valid between the two times; it says nothing of being qualified.
fn seal(key: &Key, from: u64, to: u64) -> Vec<u8> {
    let tlv = |tag: u8, parts: &[&[u8]]| {
        let body = parts.concat();
        let [.., high, low] = body.len().to_be_bytes();
        let head = match body.len() {
            0..128 => vec![low],
            128..256 => vec![0x81, low],
            _ => vec![0x82, high, low],
        };
        [&[tag][..], &head, &body].concat()
    };
    let name = |last: u8, text: &str| {
        tlv(0x31, &[&tlv(0x30, &[&tlv(0x06, &[&[0x55, 4, last]]), &tlv(0x0c, &[text.as_bytes()])])])
    };
    let subject = tlv(0x30, &[&name(6, "FR"), &name(10, "Example SAS"), &name(97, "NTRFR-1")]);
    let time = |at: u64| {
        let at = der::DateTime::from_unix_duration(core::time::Duration::from_secs(at)).unwrap();
        let (date, time) = ((at.year(), at.month(), at.day()), (at.hour(), at.minutes(), at.seconds()));
        let text = alloc::format!("{:04}{:02}{:02}{:02}{:02}{:02}Z", date.0, date.1, date.2, time.0, time.1, time.2);
        tlv(0x18, &[text.as_bytes()])
    };
    let algorithm = tlv(0x30, &[&tlv(0x06, &[&[0x2b, 0x65, 0x70]])]);
    let (validity, key) = (tlv(0x30, &[&time(from), &time(to)]), key.public.spki().unwrap());
    let version = tlv(0xa0, &[&tlv(0x02, &[&[2]])]);
    let tbs = tlv(0x30, &[&version, &tlv(0x02, &[&[1]]), &algorithm, &subject, &validity, &subject, &key]);
    tlv(0x30, &[&tbs, &algorithm, &tlv(0x03, &[&[0; 65]])])
}

/// Maker to integrator to owner, each new owner with a certificate from and to these times.
fn sealed(first: [u64; 2], second: [u64; 2]) -> World {
    let (one, two) = (seal(&integrator(), first[0], first[1]), seal(&owner(), second[0], second[1]));
    let terms = |der, issued| {
        let certificates = Some(core::iter::once(Bytes::new(der)).collect());
        Terms { certificates, ..at(issued) }
    };
    let voucher = hand_over(&begin(&machine(), &maker()), &maker(), &integrator(), &terms(&one, NOW - 500));
    let voucher = hand_over(&voucher, &integrator(), &owner(), &terms(&two, NOW - 400));
    let mandates = vec![signed(&mandate_of(&voucher), &owner())];
    World { vouchers: vec![voucher], mandates, ..world() }
}

#[test]
fn a_former_owners_seal_counts_when_the_machine_came_to_it_and_the_present_owners_now() {
    let Custody::Held(held) = sealed([NOW - 500, NOW - 500], [NOW, NOW + 7]).judge() else { panic!("not held") };
    assert_eq!((held.seal.unwrap().organization.as_str(), held.expires), ("Example SAS", NOW + 8));
    let fault = |first, second| match sealed(first, second).fault() {
        CustodyError::Seal { number, error } => (number, error),
        other => panic!("{other:?}"),
    };
    let (always, soon) = ([NOW - 600, NOW + 600], NOW + 1);
    assert_eq!(fault([NOW - 499, soon], always), (0, SealError::NotYet { from: NOW - 499 }));
    assert_eq!(fault([NOW - 600, NOW - 501], always), (0, SealError::Expired { at: NOW - 501 }));
    assert_eq!(fault(always, [soon, NOW + 600]), (1, SealError::NotYet { from: soon }));
    assert_eq!(fault(always, [NOW - 600, NOW - 1]), (1, SealError::Expired { at: NOW - 1 }));
}

#[test]
fn a_seal_of_another_key_or_that_cannot_be_read_holds_nobody() {
    let with = |der: &[u8]| {
        let terms = Terms { certificates: Some(core::iter::once(Bytes::new(der)).collect()), ..at(NOW - 400) };
        let voucher = hand_over(&first(), &integrator(), &owner(), &terms);
        let mandates = vec![signed(&mandate_of(&voucher), &owner())];
        World { vouchers: vec![voucher], mandates, ..world() }.fault()
    };
    let other = seal(&ed25519(8), NOW - 600, NOW + 600);
    assert_eq!(with(&other), CustodyError::Seal { number: 1, error: SealError::OtherKey });
    assert!(matches!(with(b"text"), CustodyError::Seal { number: 1, error: SealError::Certificate(_) }));
}
