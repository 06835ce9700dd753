#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]
use super::*;
use crate::{
    cbor::{Bytes, Bytes32},
    cose::{self, StatementError},
    owner::{
        mandate::LIFE_S,
        voucher::{self, Certificates, ENTRY_TYPE, Terms, key::KeyError},
    },
    rust_engine::RustEngine,
};
use alloc::{string::ToString, vec};

const NOW: u64 = 1_780_000_000;
const NODE: [u8; 32] = [0xab; 32];
const AK: &[u8] = &[0, 11, 7, 7];
const CHASSIS: &str = "SN 4711";

/// Keys of all three kinds; the same seed gives the same key.
struct Key {
    public: PublicKey,
    signs: Box<Signs>,
}

type Signs = dyn Fn(&[u8]) -> Vec<u8>;

fn ed25519(seed: u8) -> Key {
    use ed25519_dalek::{Signer, SigningKey};
    let secret = SigningKey::from_bytes(&[seed; 32]);
    let public = PublicKey::Ed25519(secret.verifying_key().to_bytes());
    Key { public, signs: Box::new(move |message| secret.sign(message).to_bytes().to_vec()) }
}

fn p256(seed: u8) -> Key {
    use p256::ecdsa::{Signature, SigningKey, signature::Signer};
    let secret = SigningKey::from_slice(&[seed; 32]).unwrap();
    let public = PublicKey::P256(secret.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap());
    let sign = move |message: &[u8]| {
        let signature: Signature = secret.sign(message);
        signature.to_bytes().to_vec()
    };
    Key { public, signs: Box::new(sign) }
}

fn p384(seed: u8) -> Key {
    use p384::ecdsa::{Signature, SigningKey, signature::Signer};
    let secret = SigningKey::from_slice(&[seed; 48]).unwrap();
    let public = PublicKey::P384(secret.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap());
    let sign = move |message: &[u8]| {
        let signature: Signature = secret.sign(message);
        signature.to_bytes().to_vec()
    };
    Key { public, signs: Box::new(sign) }
}

impl Key {
    fn id(&self) -> [u8; 32] {
        self.public.id(&RustEngine).unwrap()
    }

    fn sign(&self, content_type: &str, payload: &[u8]) -> Vec<u8> {
        let sign = |message: &[u8]| Ok::<_, StatementError>((self.signs)(message));
        cose::sign(&RustEngine, &self.public, content_type, payload, sign).unwrap()
    }
}

#[derive(Debug)]
struct Fault(#[allow(dead_code, reason = "for the print")] String);
impl From<VoucherError> for Fault {
    fn from(e: VoucherError) -> Fault {
        Fault(e.to_string())
    }
}
impl From<StatementError> for Fault {
    fn from(e: StatementError) -> Fault {
        Fault(e.to_string())
    }
}

fn machine() -> Machine<'static> {
    Machine { node_id: NODE, chassis: CHASSIS }
}

fn at(issued: u64) -> Terms<'static> {
    Terms { expires: None, issued, certificates: None }
}

fn hand_over(voucher: &[u8], from: &Key, to: &Key, terms: &Terms<'_>) -> Vec<u8> {
    voucher::hand_over::<Fault>(&RustEngine, voucher, &to.public, terms, |message| Ok((from.signs)(message))).unwrap()
}

fn begin(machine: &Machine<'_>, maker: &Key) -> Vec<u8> {
    voucher::begin(machine, &maker.public).unwrap()
}

fn maker() -> Key {
    p384(1)
}

fn integrator() -> Key {
    ed25519(2)
}

fn owner() -> Key {
    p256(3)
}

/// Maker to integrator.
fn first() -> Vec<u8> {
    hand_over(&begin(&machine(), &maker()), &maker(), &integrator(), &at(NOW - 500))
}

/// Maker to integrator to owner.
fn good() -> Vec<u8> {
    hand_over(&first(), &integrator(), &owner(), &at(NOW - 400))
}

fn follow(voucher: &[u8]) -> Voucher<'_> {
    ClaimedVoucher::decode(voucher).unwrap().follow(&RustEngine).unwrap()
}

fn mandate_of(voucher: &[u8]) -> Mandate<'static> {
    let head = Bytes32::new(follow(voucher).head());
    let (issued, expires) = (NOW - 100, NOW - 100 + LIFE_S);
    Mandate { expires, issued, node_id: Bytes32::new(NODE), ak_name: Bytes::new(AK), head }
}

/// Signed whatever it says.
fn signed(mandate: &Mandate<'_>, by: &Key) -> Vec<u8> {
    by.sign(Mandate::CONTENT_TYPE, &crate::cbor::encode(mandate).unwrap())
}

struct World {
    vouchers: Vec<Vec<u8>>,
    mandates: Vec<Vec<u8>>,
    chassis: Chassis<'static>,
    revoked: Vec<[u8; 32]>,
    now: u64,
}

fn world() -> World {
    World {
        vouchers: vec![good()],
        mandates: vec![signed(&mandate_of(&good()), &owner())],
        chassis: Chassis::Covered(CHASSIS),
        revoked: vec![],
        now: NOW,
    }
}

impl World {
    fn judge(&self) -> Custody {
        let vouchers: Vec<&[u8]> = self.vouchers.iter().map(Vec::as_slice).collect();
        let mandates: Vec<&[u8]> = self.mandates.iter().map(Vec::as_slice).collect();
        let subject = Subject { node_ids: &[NODE, [0xcd; 32]], ak_name: AK, chassis: self.chassis };
        let (makers, roots) = ([ed25519(90).public, maker().public], Roots::none());
        let trust = Trust { makers: &makers, revoked: &self.revoked, seal_roots: &roots };
        judge(&RustEngine, &vouchers, &mandates, &subject, &trust, self.now)
    }

    fn fault(&self) -> CustodyError {
        match self.judge() {
            Custody::NotHeld(fault) => fault,
            Custody::Held(held) => panic!("held: {held:?}"),
        }
    }

    fn with_vouchers(vouchers: &[Vec<u8>]) -> World {
        World { vouchers: vouchers.to_vec(), ..world() }
    }

    fn with_mandate(mandate: &Mandate<'_>, by: &Key) -> World {
        World { mandates: vec![signed(mandate, by)], ..world() }
    }
}

/// One entry that says what it is told to.
struct Forged<'a> {
    before: [u8; 32],
    machine: [u8; 32],
    algorithm: i64,
    terms: Terms<'a>,
    extra_key: i64,
}

impl Forged<'_> {
    /// What an honest entry after `voucher` would say.
    fn after(voucher: &[u8]) -> Forged<'static> {
        let info = machine_info(&machine());
        Forged {
            before: follow(voucher).head(),
            machine: crate::engine::sha256(&RustEngine, &[&NODE[..16], info.as_bytes()]),
            algorithm: -16,
            terms: at(NOW - 300),
            extra_key: -75082,
        }
    }

    fn by(&self, from: &Key, to: &impl serde::Serialize) -> Vec<u8> {
        let terms = crate::cbor::encode(&self.terms).unwrap();
        let mut extra = vec![0xa1];
        extra.extend(crate::cbor::encode(&self.extra_key).unwrap());
        extra.extend(crate::cbor::encode(Bytes::new(&terms)).unwrap());
        let digest = |bytes| (self.algorithm, Bytes32::new(bytes));
        let payload = (digest(self.before), digest(self.machine), Bytes::new(&extra), to);
        from.sign(ENTRY_TYPE, &crate::cbor::encode(&payload).unwrap())
    }
}

fn machine_info(machine: &Machine<'_>) -> String {
    let hex: String = machine.node_id.iter().map(|byte| alloc::format!("{byte:02x}")).collect();
    alloc::format!("garant/1 {hex} {}", machine.chassis)
}

fn key_of(key: &Key) -> voucher::key::WrittenKey {
    voucher::key::encode(&key.public).unwrap()
}

/// The voucher with these entries instead of its own; `header_of` gives the header.
fn spliced(header_of: &[u8], entries: &[&[u8]]) -> Vec<u8> {
    let marker = [&[0u8; 32][..], &[0xf6]].concat();
    let header_end = header_of.windows(33).position(|window| window == marker).unwrap() + 33;
    let mut spliced = header_of[..header_end].to_vec();
    spliced.push(0x80 + u8::try_from(entries.len()).unwrap());
    entries.iter().for_each(|entry| spliced.extend(*entry));
    spliced
}

/// The last entry of a voucher that continues `before`.
fn last_entry<'a>(voucher: &'a [u8], before: &[u8]) -> &'a [u8] {
    &voucher[before.len()..]
}

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
    let mandates = vec![signed(&mandate_of(&sold), &ed25519(7))];
    let held = World { vouchers: vec![sold, rewritten], mandates, ..world() };
    assert!(matches!(held.judge(), Custody::Held(_)));
}

fn p256_order() -> [u8; 32] {
    let mut order = [0xff; 32];
    order[4..8].fill(0);
    let low = [0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51];
    order[16..].copy_from_slice(&low);
    order
}

#[test]
fn a_chain_with_an_entry_missing_is_cut() {
    let start = begin(&machine(), &maker());
    let (one, two) = (first(), good());
    let three = hand_over(&two, &owner(), &ed25519(4), &at(NOW - 300));
    let (a, b, c) = (last_entry(&one, &start), last_entry(&two, &one), last_entry(&three, &two));
    let cut_at = |entries: &[&[u8]]| match World::with_vouchers(&[spliced(&start, entries)]).fault() {
        CustodyError::Voucher(VoucherError::Cut { number, .. }) => number,
        other => panic!("{other:?}"),
    };
    assert_eq!(cut_at(&[b]), 0, "the beginning");
    assert_eq!(cut_at(&[a, c]), 1, "the middle");
    assert_eq!(cut_at(&[b, a]), 0, "another order");
    assert_eq!(cut_at(&[a, a]), 1, "twice");
    let head = follow(&two).head();
    let end_missing = World { vouchers: vec![one], ..world() };
    // The mandate is by somebody whom the short chain does not know.
    assert_eq!(end_missing.fault(), CustodyError::Stranger { key_id: owner().id() });
    let to_self = hand_over(&two, &owner(), &owner(), &at(NOW - 300));
    let end_missing = World { mandates: vec![signed(&mandate_of(&to_self), &owner())], ..world() };
    assert_eq!(end_missing.fault(), CustodyError::MandateOtherHead { found: follow(&to_self).head() });
    assert_ne!(head, follow(&to_self).head());
}

#[test]
fn each_thing_that_an_entry_says_is_checked() {
    let start = begin(&machine(), &maker());
    let honest = Forged::after(&first());
    let fault = |entry: &[u8]| {
        let voucher = spliced(&start, &[last_entry(&first(), &start), entry]);
        match World::with_vouchers(&[voucher]).fault() {
            CustodyError::Voucher(fault) => fault,
            other => panic!("{other:?}"),
        }
    };
    let to = key_of(&owner());
    let by = integrator();
    let fine = spliced(&start, &[last_entry(&first(), &start), &honest.by(&by, &to)]);
    assert_eq!(follow(&fine).fault(), None);
    let forged = Forged { before: [1; 32], ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::WrongLink { number: 1 });
    let forged = Forged { machine: [1; 32], ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::OtherMachine { number: 1 });
    let forged = Forged { algorithm: -43, ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::Hash { number: 1, algorithm: -43 });
    let forged = Forged { terms: at(NOW - 501), ..Forged::after(&first()) };
    assert_eq!(fault(&forged.by(&by, &to)), VoucherError::Backwards { number: 1 });
    let forged = Forged { extra_key: -75083, ..Forged::after(&first()) };
    assert!(matches!(fault(&forged.by(&by, &to)), VoucherError::Entry { number: 1, error: StatementError::Shape(_) }));
    let none = Terms { certificates: Some(Certificates::new()), ..at(NOW - 300) };
    let forged = Forged { terms: none, ..Forged::after(&first()) };
    assert!(matches!(fault(&forged.by(&by, &to)), VoucherError::Entry { number: 1, error: StatementError::Shape(_) }));
    assert!(matches!(fault(&honest.by(&ed25519(8), &to)), VoucherError::Cut { number: 1, .. }));
    let rsa = (1i64, 1u64, Bytes::new(b"RSA"));
    let error = KeyError::Malformed;
    assert_eq!(fault(&honest.by(&by, &rsa)), VoucherError::Key { number: 1, error });
    let chain = (10i64, 2u64, [Bytes::new(b"certificate")]);
    let error = KeyError::Encoding { encoding: 2 };
    assert_eq!(fault(&honest.by(&by, &chain)), VoucherError::Key { number: 1, error });
    let mut signature = honest.by(&by, &to);
    *signature.last_mut().unwrap() ^= 1;
    let error = StatementError::Signature;
    assert_eq!(fault(&signature), VoucherError::Entry { number: 1, error });
    let other_type = by.sign("application/vnd.garant.mandate+cbor", b"");
    let content_type = |error: &StatementError| matches!(error, StatementError::ContentType { .. });
    assert!(matches!(fault(&other_type), VoucherError::Entry { number: 1, error } if content_type(&error)));
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
fn a_machine_is_handed_on_by_its_owner_alone_and_in_order_of_time() {
    let over = |from: &Key, terms: &Terms<'_>| {
        let sign = |message: &[u8]| Ok::<_, Fault>((from.signs)(message));
        voucher::hand_over::<Fault>(&RustEngine, &good(), &ed25519(7).public, terms, sign)
    };
    assert!(over(&owner(), &at(NOW - 300)).is_ok());
    assert!(over(&integrator(), &at(NOW - 300)).is_err());
    assert!(over(&owner(), &at(NOW - 401)).is_err());
    let bad = Machine { chassis: " SN", ..machine() };
    assert!(voucher::begin(&bad, &maker().public).is_err());
    let mut full = first();
    for _ in 1..budget::VOUCHER_ENTRIES {
        full = hand_over(&full, &integrator(), &integrator(), &at(NOW - 300));
    }
    let sign = |message: &[u8]| Ok((integrator().signs)(message));
    assert!(voucher::hand_over::<Fault>(&RustEngine, &full, &owner().public, &at(NOW), sign).is_err());
}

#[test]
fn every_fault_of_a_header_is_refused() {
    let header = |version: u64, guid: &[u8], info: &str, chain: Option<(i64, &Bytes)>| {
        let key = key_of(&maker());
        let header: (_, _, [u8; 0], _, _, _) = (version, Bytes::new(guid), [], info, key, chain);
        let bytes = crate::cbor::encode(&header).unwrap();
        let start = [&[0x85, 0x18, 0x65][..], &crate::cbor::encode(Bytes::new(&bytes)).unwrap()].concat();
        let voucher = [&start[..], &[0x82, 0x05, 0x58, 0x20], &[0; 32], &[0xf6, 0x80]].concat();
        ClaimedVoucher::decode(&voucher).map(|_| ()).map_err(|fault| fault.to_string())
    };
    let info = machine_info(&machine());
    let fault = Err(VoucherError::Machine.to_string());
    assert_eq!(header(101, &NODE[..16], &info, None), Ok(()));
    assert_eq!(header(100, &NODE[..16], &info, None), fault);
    assert_eq!(header(101, &[1; 16], &info, None), fault);
    assert_eq!(header(101, &NODE[..15], &info, None), fault);
    assert_eq!(header(101, &NODE[..16], &info, Some((-16, Bytes::new(&[0; 32])))), fault);
    for bad in [info.to_uppercase(), info.replace("garant/1 ", ""), info.replace("/1", "/2"), info.clone() + " "] {
        assert_eq!(header(101, &NODE[..16], &bad, None), fault, "{bad}");
    }
    assert_eq!(header(101, &NODE[..16], &info.replace("SN 4711", ""), None), fault);
    assert_eq!(header(101, &NODE[..16], &info.replace(" SN 4711", ""), None), Ok(()));
}
