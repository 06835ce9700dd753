//! The fingerprint of RSA keys that Infineon's library made (ROCA, CVE-2017-15361): such a key of 2048 bits or less can
//! be factored.
//!
//! Its primes are k·M + (65537^a mod M), with M the product of the first primes; so the modulus is a power of 65537
//! modulo each of them (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, 2.3). By chance that holds for one
//! key in 2^27.

use crate::engine::PublicKey;

/// Whether an RSA key has the fingerprint.
pub fn has_fingerprint(key: &PublicKey) -> bool {
    match key {
        PublicKey::Rsa { modulus, .. } => {
            PRIMES.into_iter().all(|prime| is_power_of_65537(remainder(modulus, prime), prime))
        }
        _ => false,
    }
}

/// The big-endian number modulo a small prime.
fn remainder(number: &[u8], prime: u32) -> u32 {
    number
        .iter()
        .fold(0, |rest: u32, byte| rest.wrapping_shl(8).wrapping_add(u32::from(*byte)).checked_rem(prime).unwrap_or(0))
}

fn is_power_of_65537(number: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == number {
            return true;
        }
        power = remainder(&u32::wrapping_mul(power, GENERATOR.checked_rem(prime).unwrap_or(0)).to_be_bytes(), prime);
    }
    false
}

const GENERATOR: u32 = 65537;
/// The primes from 3 to 167: M of 512-bit keys, which divides that of all longer ones (table 1 there).
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::vec::Vec;

    /// Two primes of the form k·M + (65537^a mod M), with the M of 2048-bit keys (126 primes).
    const MADE_AS_BY_THE_LIBRARY: &str = "cfd1c9040694968cc77407ccb1ee8bee3f18b7bae1df7b577808598e87bbba383658bb5f3571903da4365afa96ea36a73205\
         9493208817c3d3377b022757b14034291d8685e2a3631d422d5f6658e8fdbad678a3a9aea21d89d6ee0c0d8ccb5e3f4e969f\
         fe637ee6cd5c6f2ad92722dc0507de761625390b762b9c5b548bb519eac9d98c264ea0d40e0552d1fa7fc2c37e82a9aca1ab\
         d960bf5ca2bc34dc64afeaa307df88bdbb45180644e65373e09f194c4f4e3cea0aa013a6bf9e0ca1ce55ff4e9a8cd578da06\
         9cdaba5e284b4d31d7f877f79eb7ae40f3ba2ffc5ffb8de82ce7ca8e4d857ab0e9e7c9a391d772fad720f890f6389c41aa68\
         2f518187c36f";
    /// Two random primes.
    const ORDINARY: &str = "bd0528b2f3ad7ebc8019198bfe03d5d953f1ca9ef1c3c969c795db9cf0314c17f275c9f3197d678237086f21629036e40726\
         0d0c2455fc71a8022d1402ea8cfbd4978d28d15791dac9ab9a64cf66a31acbab065e676d4a74b44f80f14dd84ecc57579022\
         c3fae020048d320c374611f0aa49504b96e3e585f0a2916f06c60a710cea3d8612c452756d8debc534b4cf0736d55624d8fc\
         480f677e54e9d522332cb69721c02217deed899079eed7d5a9393f2b9f8183b23ba1e7291186772be46cc76a6232a65b43e6\
         b03095786bc595df045208dd6f32d178e53c7edb1b9a7bc3b401e0020dde93e5875f7a084df66b894045102ba9aff1cb9190\
         a81a25af4231";

    fn modulus(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte << 4 | digit)).unwrap())
            .collect()
    }

    fn has(modulus: Vec<u8>) -> bool {
        has_fingerprint(&PublicKey::Rsa { modulus, exponent: 65537 })
    }

    #[test]
    fn a_key_made_as_by_the_library_has_the_fingerprint() {
        assert!(has(modulus(MADE_AS_BY_THE_LIBRARY)));
    }

    #[test]
    fn an_ordinary_key_has_not_and_no_neighbour_of_a_weak_one() {
        assert!(!has(modulus(ORDINARY)));
        for last in 0..=255 {
            let mut other = modulus(MADE_AS_BY_THE_LIBRARY);
            let byte = other.last_mut().unwrap();
            let is_same = core::mem::replace(byte, last) == last;
            assert_eq!(has(other), is_same);
        }
        assert!(!has_fingerprint(&PublicKey::Ed25519([1; 32])));
    }
}
