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

mod chain;
mod heads;
mod held;
mod mandates;
