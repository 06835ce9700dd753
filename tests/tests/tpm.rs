//! The TPM client against a real swtpm, and beside tpm2-tools.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use garant_hw::{
    hash::Hash,
    tpm::{
        PcrMask, Primary, Quote, ReturnCode, Tpm, Transport,
        templates::{AkGeneration, EK_TEMPLATES, EkKey, EkPolicy, ak_template},
    },
};
use garant_tests::swtpm::{PROVISIONED_CERTIFICATE_INDICES, Swtpm};
use garantd::tpm_device::{TpmAddress, TpmDevice};
use sha2::{Digest, Sha256};
use std::{fs, path::PathBuf, process::Command};

const LEDGER: PcrMask = PcrMask::from_bits(1 << 15);
const FIRST_OBJECT: u32 = 0x8000_0000;
const FIRST_POLICY_SESSION: u32 = 0x0300_0000;

fn open(swtpm: &Swtpm) -> Tpm<TpmDevice> {
    let address: TpmAddress = swtpm.address().parse().unwrap();
    Tpm::new(TpmDevice::new(address.open().unwrap()).unwrap())
}

fn make_ak<T: Transport>(tpm: &mut Tpm<T>) -> Primary {
    tpm.create_primary(&ak_template(AkGeneration::CURRENT).unwrap()).unwrap()
}

fn fresh_quote<T: Transport>(tpm: &mut Tpm<T>) -> Quote {
    let ak = make_ak(tpm);
    let quote = tpm.quote_every_bank(&ak.handle, &[7; 32], &[Hash::Sha256]).unwrap();
    tpm.flush(ak.handle).unwrap();
    quote
}

/// (clock, resetCount, restartCount, safe) of a TPMS_ATTEST, read by hand.
fn counters(attest: &[u8]) -> (u64, u32, u32, u8) {
    let sized = |rest: &[u8]| 2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let after_name = &attest[6 + sized(&attest[6..])..];
    let clock = &after_name[sized(after_name)..];
    let word = |at: usize| u32::from_be_bytes(clock[at..at + 4].try_into().unwrap());
    (u64::from_be_bytes(clock[..8].try_into().unwrap()), word(8), word(12), clock[16])
}

fn raw<T: Transport>(tpm: Tpm<T>, command: &str) -> Tpm<T> {
    let command: Vec<u8> = command.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mut transport = tpm.into_transport();
    let mut response = [0; 4096];
    let length = transport.exchange(&command, &mut response).unwrap();
    assert_eq!(response[6..10], [0; 4], "{:02x?}", &response[..length]);
    Tpm::new(transport)
}

const SHUTDOWN_STATE: &str = "80 01 00 00 00 0c 00 00 01 45 00 01";
/// TPM2_Clear by the platform hierarchy with an empty password.
const CLEAR: &str = "80 02 00 00 00 1b 00 00 01 26 40 00 00 0c 00 00 00 09 40 00 00 09 00 00 01 00 00";

/// Runs one of tpm2-tools; the TPM takes one client at a time, so ours must have hung up.
fn tool(swtpm: &Swtpm, name: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(name);
    command.env("TPM2TOOLS_TCTI", swtpm.tcti()).args(arguments).current_dir(swtpm.folder());
    let done = command.output().expect("tpm2-tools are not installed");
    if !done.status.success() {
        eprintln!("{name}: {}", String::from_utf8_lossy(&done.stderr));
    }
    done.status.success()
}

fn write(swtpm: &Swtpm, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = swtpm.folder().join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn the_ak_is_the_same_key_after_a_power_cycle_and_another_generation_is_another() {
    let Some(mut swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let before = make_ak(&mut open(&swtpm));
    swtpm.power_cycle();
    let mut tpm = open(&swtpm);
    let after = make_ak(&mut tpm);
    assert_eq!((before.name, &before.public), (after.name.clone(), &after.public));
    assert_eq!(after.name[2..], Sha256::digest(&*after.public)[..], "the Name is not nameAlg and digest");
    let next = tpm.create_primary(&ak_template(AkGeneration(2)).unwrap()).unwrap();
    assert_ne!(next.name, after.name);
    assert_eq!(tpm.read_public(&next.handle).unwrap(), next.public);
}

#[test]
fn an_object_left_in_the_tpm_by_a_killed_predecessor_is_flushed() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    for _ in 0..3 {
        make_ak(&mut tpm);
    }
    drop(tpm);
    let mut tpm = open(&swtpm);
    assert_eq!(tpm.handles(FIRST_OBJECT).unwrap().len(), 3);
    tpm.flush_leftovers().unwrap();
    assert_eq!(tpm.handles(FIRST_OBJECT).unwrap().len(), 0);
    make_ak(&mut tpm);
}

#[test]
fn quotes_leave_no_handle_behind() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    let ak = make_ak(&mut tpm);
    for number in 0..soak(300, 10_000) {
        let extra_data = Sha256::digest(number.to_be_bytes());
        tpm.quote_every_bank(&ak.handle, &extra_data, &[Hash::Sha256]).unwrap();
    }
    assert_eq!(tpm.handles(FIRST_OBJECT).unwrap().len(), 1);
    assert_eq!(tpm.handles(FIRST_POLICY_SESSION).unwrap().len(), 0);
}

/// The smaller number, the larger where GARANT_SOAK is set.
fn soak(quick: u32, long: u32) -> u32 {
    if std::env::var_os("GARANT_SOAK").is_some() { long } else { quick }
}

#[test]
fn a_tpm_restart_empties_the_pcrs_and_leaves_reset_count() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    tpm.pcr_extend(15, &[(Hash::Sha256, &[1; 32])]).unwrap();
    let before = counters(&fresh_quote(&mut tpm).attest);
    drop(raw(tpm, SHUTDOWN_STATE));
    swtpm.reset_line();
    let mut tpm = open(&swtpm);
    tpm.startup().unwrap();
    let after = counters(&fresh_quote(&mut tpm).attest);
    assert_eq!(tpm.pcr_read(Hash::Sha256, LEDGER).unwrap().value(15), Some(&[0; 32][..]));
    assert_eq!((after.1, after.2), (before.1, before.2 + 1));
}

#[test]
fn a_power_cut_raises_reset_count_and_makes_the_clock_unsafe() {
    let Some(mut swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let before = counters(&fresh_quote(&mut open(&swtpm)).attest);
    swtpm.power_cycle();
    let after = counters(&fresh_quote(&mut open(&swtpm)).attest);
    assert_eq!((after.1, after.2), (before.1 + 1, 0));
    assert_eq!(after.3, 0, "safe");
}

#[test]
fn tpm2_clear_keeps_the_aks_name_and_zeroes_its_counters() {
    let Some(mut swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    swtpm.power_cycle();
    let mut tpm = open(&swtpm);
    let before = make_ak(&mut tpm);
    assert_ne!(counters(&fresh_quote(&mut tpm).attest).1, 0);
    let mut tpm = raw(tpm, CLEAR);
    assert_eq!(make_ak(&mut tpm).name, before.name);
    let after = counters(&fresh_quote(&mut tpm).attest);
    assert_eq!((after.1, after.2), (0, 0));
}

#[test]
fn the_signed_selection_shows_that_an_unallocated_bank_is_off() {
    let Some(swtpm) = Swtpm::blank("sha256,sha384") else {
        return;
    };
    let mut tpm = open(&swtpm);
    let allocated = tpm.allocated_banks().unwrap();
    assert_eq!(allocated.known[..], [Hash::Sha256, Hash::Sha384]);
    assert!(allocated.unknown.is_empty());
    let selection = fresh_quote(&mut tpm).selection;
    let of = |hash| selection.iter().find(|bank| bank.0 == hash).unwrap().1;
    assert_eq!([of(Hash::Sha1), of(Hash::Sha512)], [PcrMask::NONE; 2]);
    assert_eq!([of(Hash::Sha256), of(Hash::Sha384)], [PcrMask::ALL; 2]);
}

#[test]
fn one_extend_command_reaches_every_allocated_bank() {
    let Some(swtpm) = Swtpm::blank("sha1,sha256,sha384,sha512") else {
        return;
    };
    let mut tpm = open(&swtpm);
    let digest = [0x5a; 64];
    let digests = Hash::ALL.map(|hash| (hash, &digest[..hash.size_bytes()]));
    tpm.pcr_extend(15, &digests).unwrap();
    for hash in Hash::ALL {
        let bank = tpm.pcr_read(hash, PcrMask::ALL).unwrap();
        assert_eq!(bank.read(), PcrMask::ALL);
        assert_ne!(bank.value(15).unwrap(), &[0; 64][..hash.size_bytes()]);
        assert_eq!(bank.value(14).unwrap(), &[0; 64][..hash.size_bytes()]);
    }
    let extended = Sha256::digest([&[0; 32][..], &digest[..32]].concat());
    assert_eq!(tpm.pcr_read(Hash::Sha256, LEDGER).unwrap().value(15).unwrap(), &extended[..]);
}

#[test]
fn a_bank_that_is_not_allocated_has_no_values() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let read = open(&swtpm).pcr_read(Hash::Sha1, PcrMask::ALL).unwrap();
    assert_eq!((read.read(), read.value(0)), (PcrMask::NONE, None));
}

#[test]
fn the_pcr_values_read_after_a_quote_hash_to_its_pcr_digest() {
    let Some(swtpm) = Swtpm::blank("sha1,sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    tpm.pcr_extend(4, &[(Hash::Sha256, &[3; 32]), (Hash::Sha1, &[3; 20])]).unwrap();
    let quote = fresh_quote(&mut tpm);
    let mut hash = Sha256::new();
    for (bank, mask) in &quote.selection {
        let values = tpm.pcr_read(*bank, *mask).unwrap();
        mask.iter().for_each(|pcr| hash.update(values.value(pcr).unwrap()));
    }
    assert_eq!(quote.pcr_digest[..], hash.finalize()[..]);
}

#[test]
fn the_tpm_says_who_made_it() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let properties = open(&swtpm).properties().unwrap();
    assert_eq!(&properties.manufacturer, b"IBM\0");
    assert!(properties.vendor.starts_with(b"SW"), "{properties:?}");
    assert_eq!(properties.firmware_version, 0x2019_1023_0016_3636);
    assert!(properties.nv_buffer_bytes >= 512);
}

#[test]
fn the_profiles_templates_make_the_keys_in_the_ek_certificates() {
    let Some(swtpm) = Swtpm::provisioned("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    for index in PROVISIONED_CERTIFICATE_INDICES {
        let template = EK_TEMPLATES.iter().find(|template| template.certificate_index == index).unwrap();
        let nv = tpm.nv_read_public(index).unwrap().expect("no certificate in NV");
        let mut buffer = [0; 2048];
        let certificate = tpm.nv_read(&nv, 512, &mut buffer).unwrap();
        let ek = tpm.create_primary(&template.public_area().unwrap()).unwrap();
        let key = match template.key {
            EkKey::Rsa(_) => &ek.public[ek.public.len() - 256..],
            _ => &ek.public[ek.public.len() - 48..],
        };
        assert!(certificate.windows(key.len()).any(|part| part == key), "{} is another key", template.name);
        tpm.flush(ek.handle).unwrap();
    }
    assert_eq!(tpm.nv_read_public(0x01c0_000a).unwrap(), None);
}

#[test]
fn an_nv_index_is_read_the_same_in_small_chunks_and_never_into_a_short_buffer() {
    let Some(swtpm) = Swtpm::provisioned("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    let nv = tpm.nv_read_public(PROVISIONED_CERTIFICATE_INDICES[0]).unwrap().unwrap();
    let (mut whole, mut pieces) = ([0; 2048], [0; 2048]);
    let whole = tpm.nv_read(&nv, u16::MAX, &mut whole).unwrap();
    assert_eq!(whole.len(), usize::from(nv.size_bytes));
    assert_eq!(tpm.nv_read(&nv, 100, &mut pieces).unwrap(), whole);
    assert!(tpm.nv_read(&nv, 100, &mut pieces[..10]).is_err());
}

#[test]
fn tpm2_checkquote_accepts_our_quotes_and_refuses_another_nonce() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    let ak = make_ak(&mut tpm);
    let quote = tpm.quote_every_bank(&ak.handle, &[0xab; 32], &[Hash::Sha256]).unwrap();
    let public = write(&swtpm, "ak.pub", &sized(&ak.public));
    let message = write(&swtpm, "quote.msg", &quote.attest);
    let signature = write(&swtpm, "quote.sig", &quote.signature);
    let check = |nonce: &str| {
        let files = ["-u", &public, "-m", &message, "-s", &signature];
        tool(&swtpm, "tpm2_checkquote", &[&files[..], &["-g", "sha256", "-q", nonce]].concat())
    };
    assert!(check(&"ab".repeat(32)));
    assert!(!check(&"ac".repeat(32)));
}

/// TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, without their sizes, as tpm2_makecredential makes them.
fn tpm2_makecredential(swtpm: &Swtpm, ek: &[u8], name: &[u8], secret: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let public = write(swtpm, "ek.pub", &sized(ek));
    let secret = write(swtpm, "secret", secret);
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let arguments = ["-u", &public, "-s", &secret, "-n", &name, "-o", "made"];
    assert!(tool(swtpm, "tpm2_makecredential", &arguments));
    let file = fs::read(swtpm.folder().join("made")).unwrap();
    let length = |rest: &[u8]| usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let (blob, rest) = file[8..].split_at(2 + length(&file[8..])); // behind magic and version
    (blob[2..].to_vec(), rest[2..2 + length(rest)].to_vec())
}

#[test]
fn a_credential_made_by_tpm2_makecredential_is_activated_with_every_template() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let ak = make_ak(&mut open(&swtpm));
    for template in EK_TEMPLATES.iter().filter(|template| template.key != EkKey::Rsa(4096)) {
        let ek = open(&swtpm).create_primary(&template.public_area().unwrap()).unwrap();
        assert_eq!(EkPolicy::of(&ek.public), Some(template.policy()));
        let (blob, encrypted) = tpm2_makecredential(&swtpm, &ek.public, &ak.name, SECRET);
        let mut tpm = open(&swtpm);
        let activated = tpm.activate_credential(&ak.handle, &ek.handle, template.policy(), &blob, &encrypted);
        assert_eq!(&activated.unwrap()[..], SECRET, "{}", template.name);
        assert_eq!(tpm.handles(FIRST_POLICY_SESSION).unwrap().len(), 0);
        tpm.flush(ek.handle).unwrap();
    }
}

#[test]
fn a_credential_for_another_key_is_refused_and_leaves_no_session() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    let (ak, template) = (make_ak(&mut tpm), EK_TEMPLATES[0]);
    let ek = tpm.create_primary(&template.public_area().unwrap()).unwrap();
    drop(tpm);
    let another = [&[0, 0x0b][..], &[0; 32]].concat();
    let (blob, encrypted) = tpm2_makecredential(&swtpm, &ek.public, &another, SECRET);
    let mut tpm = open(&swtpm);
    let refused = tpm.activate_credential(&ak.handle, &ek.handle, template.policy(), &blob, &encrypted);
    let refused = refused.unwrap_err();
    assert!(refused.is_refused_with(ReturnCode(0x09f)), "{refused}"); // TPM_RC_INTEGRITY
    assert_eq!(tpm.handles(FIRST_POLICY_SESSION).unwrap().len(), 0);
}

const SECRET: &[u8] = b"thirty-two bytes that are secret";

#[test]
fn tpm2_activatecredential_finds_our_keys_usable() {
    let Some(swtpm) = Swtpm::blank("sha256") else {
        return;
    };
    let mut tpm = open(&swtpm);
    let ak = make_ak(&mut tpm);
    let ek = tpm.create_primary(&EK_TEMPLATES[0].public_area().unwrap()).unwrap();
    drop(tpm);
    tpm2_makecredential(&swtpm, &ek.public, &ak.name, SECRET);
    assert!(tool(&swtpm, "tpm2_startauthsession", &["--policy-session", "-S", "session"]));
    assert!(tool(&swtpm, "tpm2_policysecret", &["-S", "session", "-c", "e"]));
    let objects = ["-c", "0x80000000", "-C", "0x80000001", "-P", "session:session"];
    let activate = [&objects[..], &["-i", "made", "-o", "activated"]].concat();
    assert!(tool(&swtpm, "tpm2_activatecredential", &activate));
    assert_eq!(fs::read(swtpm.folder().join("activated")).unwrap(), SECRET);
}
