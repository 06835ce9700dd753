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
