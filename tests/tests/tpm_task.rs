//! The task that owns the TPM, against a real swtpm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use aws_lc_rs::hmac;
use garant_attest::ledger::EntryZero;
use garant_hw::tpm::{Tpm, Transport, TransportError};
use garant_tests::swtpm::{PROVISIONED_CERTIFICATE_INDICES, Swtpm};
use garantd::{
    budget::TPM_QUOTES_WAITING,
    entry_zero::{self, EntryError, LedgerPcr},
    tpm_chip::{Chip, ChipError, Credential, LentCertificate},
    tpm_device::{TpmAddress, TpmDevice},
    tpm_task::{self, Asker, TaskError, TpmClient},
};
use sha2::{Digest, Sha256};
use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

const LEDGER_PCR: u8 = 15;

fn device(swtpm: &Swtpm) -> TpmDevice {
    let address: TpmAddress = swtpm.address().parse().unwrap();
    TpmDevice::new(address.open().unwrap()).unwrap()
}

fn start(swtpm: &Swtpm) -> TpmClient {
    tpm_task::start(Chip::take(device(swtpm), LEDGER_PCR).unwrap()).unwrap().0
}

/// A transport that counts PCR reads, and does to the TPM what a test wants before each command.
struct Watched<F> {
    device: TpmDevice,
    reads: Arc<AtomicU32>,
    before: F,
}

impl<F: FnMut(&mut TpmDevice, u32)> Transport for Watched<F> {
    fn exchange(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TransportError> {
        let code = u32::from_be_bytes(command[6..10].try_into().unwrap());
        (self.before)(&mut self.device, code);
        self.reads.fetch_add(u32::from(code == PCR_READ), Ordering::SeqCst);
        self.device.exchange(command, response)
    }
}

const QUOTE: u32 = 0x158;
const PCR_READ: u32 = 0x17e;
const PCR_EXTEND: u32 = 0x182;
/// TPM2_PCR_Extend in SHA-256: what another user of the TPM may do at any time.
fn extend_by_another(device: &mut TpmDevice, pcr: u8) {
    let head = [0x80, 2, 0, 0, 0, 65, 0, 0, 1, 0x82, 0, 0, 0, pcr, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0];
    let command = [&head[..], &[0, 0, 0, 1, 0, 0x0b], &[0x11; 32]].concat();
    device.exchange(&command, &mut [0; 64]).unwrap();
}

fn watched<F: FnMut(&mut TpmDevice, u32)>(swtpm: &Swtpm, before: F) -> (Watched<F>, Arc<AtomicU32>) {
    let reads = Arc::new(AtomicU32::new(0));
    (Watched { device: device(swtpm), reads: reads.clone(), before }, reads)
}

fn pcr_digest(values: &[Vec<u8>]) -> Vec<u8> {
    Sha256::digest(values.concat()).to_vec()
}

#[tokio::test]
async fn a_quotes_values_hash_to_what_the_tpm_signed() {
    let Some(swtpm) = Swtpm::blank("sha1,sha256") else { return };
    let tpm = start(&swtpm);
    tpm.extend(b"statement".to_vec(), || ()).await.unwrap();
    let quote = tpm.quote(|| [3; 32]).await.unwrap();
    assert!(quote.attest.ends_with(&pcr_digest(&quote.values)));
    assert_eq!(quote.values.iter().map(Vec::len).collect::<Vec<_>>(), [24 * 20, 24 * 32]);
    let entry = Sha256::digest(b"statement");
    let extended = Sha256::digest([&[0; 32][..], &entry].concat());
    assert_eq!(quote.values[1][15 * 32..16 * 32], extended[..]);
}

#[tokio::test]
async fn values_are_read_again_only_after_a_pcr_changed() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let (transport, reads) = watched(&swtpm, |_, _| {});
    let (tpm, _end) = tpm_task::start(Chip::take(transport, LEDGER_PCR).unwrap()).unwrap();
    let first = tpm.quote(|| [1; 32]).await.unwrap();
    let once = reads.load(Ordering::SeqCst);
    let second = tpm.quote(|| [2; 32]).await.unwrap();
    assert_eq!(reads.load(Ordering::SeqCst), once);
    assert_eq!(first.values, second.values);
    tpm.extend(b"statement".to_vec(), || ()).await.unwrap();
    let third = tpm.quote(|| [3; 32]).await.unwrap();
    assert_ne!(third.values, second.values);
    assert!(third.attest.ends_with(&pcr_digest(&third.values)));
}

#[tokio::test]
async fn a_pcr_that_changes_between_quote_and_values_costs_another_quote() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let mut changes = 1;
    let (transport, _) = watched(&swtpm, move |device, code| {
        if code == PCR_READ && changes > 0 {
            changes -= 1;
            extend_by_another(device, 16);
        }
    });
    let (tpm, _end) = tpm_task::start(Chip::take(transport, LEDGER_PCR).unwrap()).unwrap();
    let quote = tpm.quote(|| [1; 32]).await.unwrap();
    assert!(quote.attest.ends_with(&pcr_digest(&quote.values)));
}

#[tokio::test]
async fn pcrs_that_never_hold_still_are_busy_and_not_a_false_answer() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let (transport, _) = watched(&swtpm, |device, code| {
        if code == PCR_READ {
            extend_by_another(device, 16);
        }
    });
    let (tpm, _end) = tpm_task::start(Chip::take(transport, LEDGER_PCR).unwrap()).unwrap();
    assert_eq!(tpm.quote(|| [1; 32]).await.unwrap_err(), TaskError::Busy);
}

#[tokio::test]
async fn extra_data_is_decided_when_the_quote_starts_and_not_before() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let (transport, _) = watched(&swtpm, |_, code| {
        if code == QUOTE {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let (tpm, _end) = tpm_task::start(Chip::take(transport, LEDGER_PCR).unwrap()).unwrap();
    let came = Arc::new(AtomicU32::new(0));
    let (other, seen) = (tpm.clone(), came.clone());
    let first = tokio::spawn(async move { other.quote(|| [1; 32]).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let other = tpm.clone();
    let second = tokio::spawn(async move { other.quote(move || [seen.load(Ordering::SeqCst) as u8; 32]).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    came.store(7, Ordering::SeqCst); // the second waits by now, and takes this challenge along
    first.await.unwrap().unwrap();
    let quote = second.await.unwrap().unwrap();
    assert!(quote.attest.windows(34).any(|part| part == [&[0, 32][..], &[7; 32]].concat()));
}

#[tokio::test]
async fn a_full_queue_answers_busy_at_once() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let (transport, _) = watched(&swtpm, |_, code| {
        if code == QUOTE {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let (tpm, _end) = tpm_task::start(Chip::take(transport, LEDGER_PCR).unwrap()).unwrap();
    let waiting: Vec<_> = (0..TPM_QUOTES_WAITING + 5)
        .map(|_| {
            let tpm = tpm.clone();
            tokio::spawn(async move { tpm.quote(|| [1; 32]).await.map(|_| ()) })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in waiting {
        answers.push(answer.await.unwrap());
    }
    let busy = answers.iter().filter(|answer| **answer == Err(TaskError::Busy)).count();
    assert!((4..=5).contains(&busy), "{answers:?}");
}

#[tokio::test]
async fn a_tpm_that_goes_away_ends_the_task_and_every_asker_is_told() {
    let Some(mut swtpm) = Swtpm::blank("sha256") else { return };
    let chip = Chip::take(device(&swtpm), LEDGER_PCR).unwrap();
    let (tpm, end) = tpm_task::start(chip).unwrap();
    swtpm.stop();
    assert_eq!(tpm.quote(|| [1; 32]).await.unwrap_err(), TaskError::Gone);
    assert!(end.await.is_ok(), "whoever waits for the end is told why");
    assert_eq!(tpm.extend(vec![1], || ()).await.unwrap_err(), TaskError::Gone);
}

#[test]
fn an_extension_between_the_look_and_entry_0_is_noticed() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let (transport, _) = watched(&swtpm, |device, code| {
        if code == PCR_EXTEND {
            extend_by_another(device, LEDGER_PCR);
        }
    });
    let entry = EntryZero::new([1; 32], [2; 32], [3; 32], None);
    let extended = entry_zero::extend(&mut Tpm::new(transport), LedgerPcr::USUAL, &entry);
    assert!(matches!(extended, Err(EntryError::NotFirst { pcr: LEDGER_PCR, bank: "sha256" })), "{extended:?}");
}

/// TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET for the EK in a certificate, by tpm2-tools.
fn credential(swtpm: &Swtpm, index: u32, public: &[u8], name: &[u8]) -> Credential {
    let sized = [&u16::try_from(public.len()).unwrap().to_be_bytes()[..], public].concat();
    fs::write(swtpm.folder().join("ek.pub"), sized).unwrap();
    fs::write(swtpm.folder().join("secret"), SECRET).unwrap();
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let made = Command::new("tpm2_makecredential")
        .args(["-u", "ek.pub", "-s", "secret", "-n", &name, "-o", "made"])
        .env("TPM2TOOLS_TCTI", swtpm.tcti())
        .current_dir(swtpm.folder())
        .status();
    assert!(made.unwrap().success());
    let file = fs::read(swtpm.folder().join("made")).unwrap();
    let length = |rest: &[u8]| usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let (blob, rest) = file[8..].split_at(2 + length(&file[8..]));
    Credential { certificate_index: index, blob: blob[2..].to_vec(), secret: rest[2..2 + length(rest)].to_vec() }
}

const SECRET: &[u8] = b"a secret that stays in the task.";

/// Public areas of the certified EKs and the AK's Name, taken before the task has the TPM.
fn credentials(swtpm: &Swtpm) -> Vec<Credential> {
    use garant_hw::tpm::templates;
    let mut tpm = Tpm::new(device(swtpm));
    let ak = tpm.create_primary(&templates::ak_template(templates::AkGeneration::CURRENT).unwrap()).unwrap();
    tpm.flush(ak.handle).unwrap();
    let mut publics = Vec::new();
    for index in PROVISIONED_CERTIFICATE_INDICES {
        let mut all = templates::EK_TEMPLATES.iter();
        let template = all.find(|template| template.certificate_index == index).unwrap();
        let ek = tpm.create_primary(&template.public_area().unwrap()).unwrap();
        publics.push((index, ek.public));
        tpm.flush(ek.handle).unwrap();
    }
    drop(tpm);
    publics.iter().map(|(index, public)| credential(swtpm, *index, public, &ak.name)).collect()
}

#[tokio::test]
async fn every_certified_ek_activates_and_only_a_mac_under_the_secret_comes_out() {
    let Some(swtpm) = Swtpm::provisioned("sha256") else { return };
    let credentials = credentials(&swtpm);
    let tpm = start(&swtpm);
    let endorsements = tpm.endorsements().await.unwrap();
    let mut indices: Vec<u32> = endorsements.keys.iter().map(|key| key.certificate_index).collect();
    assert_eq!(indices, [0x01c0_0016, 0x01c0_0002], "ECC before RSA");
    indices.sort_unstable();
    assert_eq!(indices, PROVISIONED_CERTIFICATE_INDICES);
    let proofs = tpm.activate(Asker::Known, credentials, b"statement".to_vec()).await.unwrap();
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), b"statement");
    assert_eq!(proofs, [expected.as_ref(); 2]);
}

#[tokio::test]
async fn a_chip_without_certificates_activates_under_a_lent_one_for_its_own_ek_and_no_other() {
    use garant_hw::tpm::templates;
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let index = 0x01c0_000a;
    let (ek, credential) = {
        let mut tpm = Tpm::new(device(&swtpm));
        let ak = tpm.create_primary(&templates::ak_template(templates::AkGeneration::CURRENT).unwrap()).unwrap();
        tpm.flush(ak.handle).unwrap();
        let template = templates::EK_TEMPLATES.iter().find(|template| template.certificate_index == index).unwrap();
        let ek = tpm.create_primary(&template.public_area().unwrap()).unwrap();
        tpm.flush(ek.handle).unwrap();
        drop(tpm);
        let credential = credential(&swtpm, index, &ek.public, &ak.name);
        (ek.public, credential)
    };
    let lend = |key: &[u8]| {
        let certificate = [b"around ", key].concat();
        let lent = vec![LentCertificate { certificate_index: index, certificate }];
        let chip = Chip::take(device(&swtpm), LEDGER_PCR).unwrap().lend(lent);
        tpm_task::start(chip).unwrap()
    };
    let (tpm, end) = lend(&ek.key_bytes().unwrap());
    let proofs = tpm.activate(Asker::Known, vec![credential.clone()], b"statement".to_vec()).await.unwrap();
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), b"statement");
    assert_eq!(proofs, [expected.as_ref()]);
    drop((tpm, end));
    let (tpm, _end) = lend(&[0x55; 32]);
    let refused = tpm.activate(Asker::Known, vec![credential], b"statement".to_vec()).await;
    assert_eq!(refused, Err(TaskError::Chip(ChipError::UnknownEk { certificate_index: index })));
}

#[tokio::test]
async fn a_credential_for_an_ek_without_certificate_is_refused() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let tpm = start(&swtpm);
    let credential = Credential { certificate_index: 0x01c0_000a, blob: vec![0; 50], secret: vec![0; 70] };
    let refused = tpm.activate(Asker::Known, vec![credential], vec![1]).await;
    let unknown = ChipError::UnknownEk { certificate_index: 0x01c0_000a };
    assert_eq!(refused, Err(TaskError::Chip(unknown)));
    assert!(tpm.quote(|| [1; 32]).await.is_ok(), "a stranger's mistake ended the task");
}

#[tokio::test]
async fn a_stranger_with_rubbish_waits_for_the_second_turn_and_quotes_go_on() {
    let Some(swtpm) = Swtpm::provisioned("sha256") else { return };
    let tpm = start(&swtpm);
    let rubbish = || {
        let credential = Credential { certificate_index: 0x01c0_0016, blob: vec![7; 60], secret: vec![7; 90] };
        let tpm = tpm.clone();
        tokio::spawn(async move { tpm.activate(Asker::Stranger, vec![credential], vec![1]).await })
    };
    assert!(matches!(rubbish().await.unwrap(), Err(TaskError::Chip(ChipError::Tpm(_)))));
    let second = rubbish();
    let started = Instant::now();
    for _ in 0..20 {
        tpm.quote(|| [1; 32]).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(5) && !second.is_finished());
}
