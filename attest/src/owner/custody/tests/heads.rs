//! One machine, two owners: an alarm, and what is none.

use super::*;

#[test]
fn two_heads_of_one_machine_are_an_alarm_however_they_come() {
    let sold_twice = hand_over(&first(), &integrator(), &ed25519(9), &at(NOW - 400));
    let other_chassis = Machine { chassis: "SN 4712", ..machine() };
    let other_header = hand_over(&begin(&other_chassis, &maker()), &maker(), &owner(), &at(NOW - 400));
    let other_chip = Machine { node_id: [1; 32], ..machine() };
    let other_chip = hand_over(&begin(&other_chip, &maker()), &maker(), &owner(), &at(NOW - 400));
    let adopted = hand_over(&begin(&machine(), &ed25519(90)), &ed25519(90), &owner(), &at(NOW - 400));
    // The second buyer's key cannot be read; the sale stands.
    let unreadable = (1i64, 1u64, Bytes::new(b"RSA"));
    let unreadable = Forged::after(&first()).by(&integrator(), &unreadable);
    let unreadable = spliced(&first(), &[last_entry(&first(), &begin(&machine(), &maker())), &unreadable]);
    for other in [sold_twice, other_header, other_chip, adopted, unreadable] {
        for pair in [[good(), other.clone()], [other.clone(), good()]] {
            let custody = World::with_vouchers(&pair).judge();
            assert!(custody.is_alarm(), "{custody:?}");
            assert_eq!(custody.answer(), Answer::Unknown);
        }
    }
}

#[test]
fn the_beginning_of_a_chain_a_copy_and_a_strangers_voucher_are_no_second_head() {
    let by_stranger = hand_over(&begin(&machine(), &ed25519(66)), &ed25519(66), &ed25519(67), &at(NOW - 400));
    for other in [first(), good(), by_stranger, begin(&machine(), &maker()), b"garbage".to_vec()] {
        for pair in [[good(), other.clone()], [other.clone(), good()]] {
            assert!(matches!(World::with_vouchers(&pair).judge(), Custody::Held(_)));
        }
    }
}

#[test]
fn a_signature_that_a_stranger_rewrote_is_no_second_head() {
    // s and n - s both verify: anybody can write the other form of an ECDSA signature.
    let sold = hand_over(&good(), &owner(), &ed25519(7), &at(NOW - 300));
    let mut rewritten = sold.clone();
    let s_at = rewritten.len() - 32;
    let n = p256_order();
    let mut borrow = 0i16;
    for (at, n) in n.iter().enumerate().rev() {
        let digit = i16::from(*n) - i16::from(rewritten[s_at + at]) - borrow;
        borrow = i16::from(digit < 0);
        rewritten[s_at + at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    assert_ne!(sold, rewritten);
    assert_eq!(follow(&rewritten).fault(), None, "the other form verifies");
    for head_of in [&sold, &rewritten] {
        let mandates = vec![signed(&mandate_of(head_of), &ed25519(7))];
        let held = World { vouchers: vec![sold.clone(), rewritten.clone()], mandates, ..world() }.judge();
        assert!(matches!(held, Custody::Held(held) if held.head == follow(head_of).head()));
    }
}

fn p256_order() -> [u8; 32] {
    let mut order = [0xff; 32];
    order[4..8].fill(0);
    let low = [0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51];
    order[16..].copy_from_slice(&low);
    order
}

#[test]
fn a_later_entry_that_cannot_be_read_ends_the_former_owners_custody() {
    let start = begin(&machine(), &maker());
    let entries = [last_entry(&first(), &start), &good()[first().len()..]].concat();
    let (one, two) = entries.split_at(last_entry(&first(), &start).len());
    let unreadable = Forged { terms: at(NOW - 200), ..Forged::after(&good()) };
    let unreadable = unreadable.by(&owner(), &(1i64, 1u64, Bytes::new(b"RSA")));
    let sold = spliced(&start, &[one, two, &unreadable]);
    for pair in [[good(), sold.clone()], [sold.clone(), good()]] {
        let fault = World::with_vouchers(&pair).fault();
        assert!(matches!(fault, CustodyError::Voucher(VoucherError::Key { number: 2, .. })), "{fault:?}");
    }
    // Garbage that anybody can add changes nothing.
    let garbage = spliced(&start, &[one, two, &ed25519(8).sign(ENTRY_TYPE, b"")]);
    for pair in [[good(), garbage.clone()], [garbage, good()]] {
        assert!(matches!(World::with_vouchers(&pair).judge(), Custody::Held(_)));
    }
}

#[test]
fn a_sale_in_a_form_that_cannot_be_read_is_a_sale() {
    let to = key_of(&ed25519(9));
    let rsa = (1i64, 3u64, alloc::collections::BTreeMap::from([(1i8, 3u8)]));
    for by_head in [first(), good()] {
        let by = if by_head == first() { integrator() } else { owner() };
        let no_payload = by.sign(ENTRY_TYPE, b"\xf6");
        let other_digests = Forged { algorithm: -43, before: [1; 32], ..Forged::after(&by_head) }.by(&by, &to);
        let other_key = Forged::after(&by_head).by(&by, &rsa);
        for entry in [no_payload, other_digests, other_key] {
            let sold = with_entry(&by_head, &entry);
            for pair in [[good(), sold.clone()], [sold.clone(), good()]] {
                let custody = World::with_vouchers(&pair).judge();
                assert_eq!(custody.answer(), Answer::Unknown, "{custody:?}");
                assert_eq!(custody.is_alarm(), by_head == first());
            }
        }
    }
}

/// A voucher with one entry more, whatever that is.
fn with_entry(voucher: &[u8], entry: &[u8]) -> Vec<u8> {
    let before = begin(&machine(), &maker()).len();
    let mut longer = [voucher, entry].concat();
    longer[before - 1] += 1;
    longer
}

#[test]
fn an_entry_for_another_machine_that_a_stranger_adds_is_no_sale() {
    let other = Machine { node_id: [1; 32], chassis: "SN 4712" };
    let other_first = hand_over(&begin(&other, &owner()), &owner(), &ed25519(9), &at(NOW - 300));
    let of_other = last_entry(&other_first, &begin(&other, &owner())).to_vec();
    // Right before it, and written for the other machine: only the owner could do so, by mistake.
    let mistaken = Forged { machine: [1; 32], ..Forged::after(&good()) }.by(&owner(), &key_of(&ed25519(9)));
    for entry in [of_other, mistaken] {
        let added = with_entry(&good(), &entry);
        assert!(follow(&added).fault().is_some());
        for pair in [[good(), added.clone()], [added, good()]] {
            assert!(matches!(World::with_vouchers(&pair).judge(), Custody::Held(_)));
        }
    }
}

#[test]
fn a_voucher_of_another_key_of_the_same_chip_is_a_second_head() {
    let other_key = Machine { node_id: [0xcd; 32], chassis: "" };
    let voucher = hand_over(&begin(&other_key, &maker()), &maker(), &ed25519(9), &at(NOW - 400));
    assert!(World::with_vouchers(&[good(), voucher]).judge().is_alarm());
}

#[test]
fn a_voucher_of_another_chip_counts_only_by_the_chassis_that_the_machine_names() {
    let other_chip = Machine { node_id: [1; 32], ..machine() };
    let other_chip = hand_over(&begin(&other_chip, &maker()), &maker(), &ed25519(9), &at(NOW - 400));
    let no_chassis = Machine { node_id: [1; 32], chassis: "" };
    let no_chassis = hand_over(&begin(&no_chassis, &maker()), &maker(), &ed25519(9), &at(NOW - 400));
    let world = |voucher: &Vec<u8>, chassis| World { chassis, ..World::with_vouchers(&[good(), voucher.clone()]) };
    assert!(world(&other_chip, Chassis::Untrusted(CHASSIS)).judge().is_alarm());
    assert!(matches!(world(&other_chip, Chassis::Silent).judge(), Custody::Held(_)));
    let fault = world(&other_chip, Chassis::Untrusted("SN 4712")).fault();
    assert!(matches!(fault, CustodyError::OtherChassis { .. }));
    assert!(matches!(world(&no_chassis, Chassis::Untrusted("")).fault(), CustodyError::OtherChassis { .. }));
    let open = Machine { chassis: "", ..machine() };
    let open = hand_over(&begin(&open, &maker()), &maker(), &owner(), &at(NOW - 400));
    let mandates = vec![signed(&mandate_of(&open), &owner())];
    let held = World {
        vouchers: vec![open, no_chassis],
        mandates,
        chassis: Chassis::Untrusted(""),
        ..World::with_vouchers(&[])
    };
    assert!(matches!(held.judge(), Custody::Held(held) if held.chassis == ChassisTie::Open));
}
