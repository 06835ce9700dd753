//! Writes format 1 of `garant_attest::place::territory`.

use garant_attest::place::territory::{Land, MAGIC, Position, Set, UNIT_E6};

/// The file, before long edges are divided.
pub fn encode(version: &str, errors_m: [u64; 2], lands: &[Land], sets: &[Set]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    text(&mut out, version);
    errors_m.iter().for_each(|error_m| number(&mut out, *error_m));
    list(&mut out, lands, |out, land| {
        text(out, &land.code);
        list(out, &land.polygons, |out, polygon| list(out, &polygon.rings, |out, one| ring(out, one)));
    });
    list(&mut out, sets, |out, set| {
        text(out, &set.name);
        for codes in [&set.inside, &set.disputed] {
            list(out, codes, |out, code| {
                number(out, lands.iter().position(|land| land.code == *code).expect("a known land") as u64);
            });
        }
    });
    out
}

fn ring(out: &mut Vec<u8>, ring: &[Position]) {
    let mut before = [0, 0];
    list(out, ring, |out, at| {
        let now = [at.lat_e6, at.lon_e6].map(|e6| i64::from(e6) / UNIT_E6);
        for axis in [0, 1] {
            signed(out, now[axis] - before[axis]);
        }
        before = now;
    });
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut item: impl FnMut(&mut Vec<u8>, &T)) {
    number(out, items.len() as u64);
    items.iter().for_each(|one| item(out, one));
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn signed(out: &mut Vec<u8>, value: i64) {
    number(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
