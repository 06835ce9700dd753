//! The least that the paths can take: bounds-checked reading without copies, replay in the banks of the log, one digest
//! over each event's data in SHA-256; nothing is named, judged or kept. After the floor programs for one bank.

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The values that a log leads to, and how many events' data their SHA-256 digest covers.
#[derive(Default)]
pub struct Replayed {
    /// SHA-256 of each PCR.
    pub sha256: [[u8; 32]; 24],
    /// Events whose digest is over their data.
    pub covered: usize,
    sha1: [[u8; 20]; 24],
    wide: Vec<[[u8; 64]; 24]>,
}

/// Replays a crypto-agile log in all of its known banks.
pub fn replay(log: &[u8]) -> Option<Replayed> {
    let spec_bytes = u32_at(log, 28)?;
    let spec = log.get(32..32 + spec_bytes)?;
    let banks = u32_at(spec, 24)?;
    let mut sizes = [(0u16, 0usize); 8];
    for (bank, size) in sizes.iter_mut().enumerate().take(banks) {
        *size = (u16_at(spec, 28 + 4 * bank)?, usize::from(u16_at(spec, 30 + 4 * bank)?));
    }
    let mut replayed = Replayed { wide: vec![[[0; 64]; 24]; 2], ..Replayed::default() };
    let mut at = 32 + spec_bytes;
    while at + 12 <= log.len() {
        let (pcr, kind, digests) = (u32_at(log, at)?, u32_at(log, at + 4)?, u32_at(log, at + 8)?);
        if pcr == 0xffff_ffff || (kind == 0 && digests == 0) {
            break;
        }
        at += 12;
        let mut sha256 = None;
        for _ in 0..digests {
            let id = u16_at(log, at)?;
            let (_, size) = *sizes.iter().take(banks).find(|(known, _)| *known == id)?;
            let digest = log.get(at + 2..at + 2 + size)?;
            at += 2 + size;
            if kind != NO_ACTION {
                extend(&mut replayed, id, pcr, digest)?;
            }
            if id == 0x0b {
                sha256 = Some(digest);
            }
        }
        let data_bytes = u32_at(log, at)?;
        let data = log.get(at + 4..at + 4 + data_bytes)?;
        at += 4 + data_bytes;
        if kind != NO_ACTION && sha256.is_some_and(|digest| Sha256::digest(data)[..] == *digest) {
            replayed.covered += 1;
        }
    }
    Some(replayed)
}

fn extend(replayed: &mut Replayed, id: u16, pcr: usize, digest: &[u8]) -> Option<()> {
    match id {
        0x04 => {
            let value = replayed.sha1.get_mut(pcr)?;
            *value = Sha1::new_with_prefix(&value[..]).chain_update(digest).finalize().into();
        }
        0x0b => {
            let value = replayed.sha256.get_mut(pcr)?;
            *value = Sha256::new_with_prefix(&value[..]).chain_update(digest).finalize().into();
        }
        0x0c => {
            let value = replayed.wide.first_mut()?.get_mut(pcr)?;
            let next = Sha384::new_with_prefix(&value[..48]).chain_update(digest).finalize();
            value[..48].copy_from_slice(&next);
        }
        0x0d => {
            let value = replayed.wide.get_mut(1)?.get_mut(pcr)?;
            *value = Sha512::new_with_prefix(&value[..]).chain_update(digest).finalize().into();
        }
        _ => {}
    }
    Some(())
}

/// One signature by P-256, the digest of the PCR values and the replay beside them.
pub fn verify(point: &[u8; 65], attest: &[u8], signature: &[u8], values: &[u8], log: &[u8]) -> Option<()> {
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED, point);
    key.verify(attest, signature).ok()?;
    let digest = Sha256::digest(values);
    attest.ends_with(&digest).then_some(())?;
    let replayed = replay(log)?;
    let quoted = values.as_chunks::<32>().0;
    (0..8).all(|pcr| quoted.get(pcr) == Some(&replayed.sha256[pcr])).then_some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

const NO_ACTION: usize = 3;
