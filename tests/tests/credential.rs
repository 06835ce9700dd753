//! Credentials that the verifier makes, read by a real swtpm: by our client and by tpm2-tools (facts I3, M7).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use garant_attest::{
    public_area::{EncryptionKey, Name, ek_public_area},
    rust_engine::RustEngine,
};
use garant_hw::tpm::{
    Primary, Tpm,
    templates::{AkGeneration, EK_TEMPLATES, EkTemplate, ak_template},
};
use garant_tests::swtpm::Swtpm;
use garant_verifier::credential::{self, Credential};
use garantd::tpm_device::{TpmAddress, TpmDevice};
use std::{fs, process::Command};

struct Keys {
    tpm: Tpm<TpmDevice>,
    ek: Primary,
    ak: Primary,
    ek_template: EkTemplate,
}

fn open(swtpm: &Swtpm) -> Tpm<TpmDevice> {
    let address: TpmAddress = swtpm.address().parse().unwrap();
    Tpm::new(TpmDevice::new(address.open().unwrap()).unwrap())
}

/// An EK by this template, built anew from its key as a verifier does, and an AK.
fn keys(swtpm: &Swtpm, ek_template: EkTemplate) -> Option<(Keys, EncryptionKey)> {
    let mut tpm = open(swtpm);
    let template = ek_template.public_area()?;
    let ek = match tpm.create_primary(&template) {
        Ok(ek) => ek,
        Err(error) => {
            eprintln!("SKIPPED: this TPM makes no EK of template {}: {error}", ek_template.name);
            return None;
        }
    };
    let certified = EncryptionKey::from_public_area(&ek.public).unwrap().public_key().clone();
    let built = ek_public_area(&template, &certified).unwrap();
    assert_eq!(built, ek.public[..], "{}: the public area is the TPM's own", ek_template.name);
    let ak = tpm.create_primary(&ak_template(AkGeneration::CURRENT)?).unwrap();
    let key = EncryptionKey::from_public_area(&built).unwrap();
    Some((Keys { tpm, ek, ak, ek_template }, key))
}

fn activate(keys: &mut Keys, made: &Credential) -> Option<Vec<u8>> {
    let policy = keys.ek_template.policy();
    let Keys { tpm, ek, ak, .. } = keys;
    let found = tpm.activate_credential(&ak.handle, &ek.handle, policy, &made.blob, &made.encrypted_secret);
    found.ok().map(|secret| secret.to_vec())
}

#[test]
fn every_template_of_the_profile_activates_and_only_for_its_own_attestation_key() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let mut seen = 0;
    for template in EK_TEMPLATES {
        let Some((mut keys, ek)) = keys(&swtpm, template) else { continue };
        let name = Name::of(&RustEngine, &keys.ak.public).unwrap();
        assert_eq!(name.as_bytes(), &keys.ak.name[..], "the Name is computed, not taken");
        let made = credential::make(&ek, &name).unwrap();
        assert_eq!(activate(&mut keys, &made).as_deref(), Some(&made.secret[..]), "{}", template.name);

        let other = ak_template(AkGeneration(99)).unwrap();
        let for_another = credential::make(&ek, &Name::of(&RustEngine, &other).unwrap()).unwrap();
        assert_eq!(activate(&mut keys, &for_another), None, "{}: an AK with another Name", template.name);
        let mut altered = credential::make(&ek, &name).unwrap();
        *altered.blob.last_mut().unwrap() ^= 1;
        assert_eq!(activate(&mut keys, &altered), None, "{}: an altered credential", template.name);

        let Keys { mut tpm, ek, ak, .. } = keys;
        tpm.flush(ek.handle).unwrap();
        tpm.flush(ak.handle).unwrap();
        seen += 1;
    }
    assert!(seen >= 6, "swtpm makes P-256, P-384, RSA-2048, RSA-3072 and most others");
}

#[test]
fn two_challenges_share_nothing() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    let (keys, ek) = keys(&swtpm, EK_TEMPLATES[0]).unwrap();
    let name = Name::of(&RustEngine, &keys.ak.public).unwrap();
    let [one, other] = [(); 2].map(|()| credential::make(&ek, &name).unwrap());
    assert_ne!(one.secret, other.secret);
    assert_ne!(one.encrypted_secret, other.encrypted_secret);
    assert!(!format!("{one:?}").contains(&format!("{:?}", &one.secret[..2])), "secrets are not printed");
}

/// Runs one of tpm2-tools in the TPM's scratch folder.
fn tool(swtpm: &Swtpm, line: &str) {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap();
    let done = Command::new(name).env("TPM2TOOLS_TCTI", swtpm.tcti()).args(words).current_dir(swtpm.folder()).output();
    let done = done.unwrap_or_else(|error| panic!("{name} is not installed: {error}"));
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// TPM2B_PUBLIC without its size.
fn public_area(swtpm: &Swtpm, file: &str) -> Vec<u8> {
    fs::read(swtpm.folder().join(file)).unwrap()[2..].to_vec()
}

#[test]
fn tpm2_activatecredential_reads_what_we_make() {
    let Some(swtpm) = Swtpm::blank("sha256") else { return };
    for algorithm in ["rsa", "ecc"] {
        tool(&swtpm, &format!("tpm2_createek -c ek.ctx -G {algorithm} -u ek.pub"));
        tool(&swtpm, "tpm2_flushcontext -t");
        tool(&swtpm, "tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub -n ak.name");
        tool(&swtpm, "tpm2_flushcontext -t");
        let ek = EncryptionKey::from_public_area(&public_area(&swtpm, "ek.pub")).unwrap();
        let name = Name::of(&RustEngine, &public_area(&swtpm, "ak.pub")).unwrap();
        assert_eq!(name.as_bytes(), fs::read(swtpm.folder().join("ak.name")).unwrap());
        let made = credential::make(&ek, &name).unwrap();
        // tpm2-tools' file: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET
        let mut file = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1].to_vec();
        for part in [&made.blob, &made.encrypted_secret] {
            file.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            file.extend(part);
        }
        fs::write(swtpm.folder().join("credential"), file).unwrap();
        tool(&swtpm, "tpm2_startauthsession --policy-session -S session.ctx");
        tool(&swtpm, "tpm2_policysecret -S session.ctx -c endorsement");
        tool(&swtpm, "tpm2_activatecredential -c ak.ctx -C ek.ctx -i credential -o secret -P session:session.ctx");
        tool(&swtpm, "tpm2_flushcontext session.ctx");
        tool(&swtpm, "tpm2_flushcontext -t");
        assert_eq!(fs::read(swtpm.folder().join("secret")).unwrap(), made.secret[..], "{algorithm}");
    }
}
