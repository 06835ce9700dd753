//! A machine whose firmware measured one closed image, without a firmware: a TPM extended as that boot would, and its log.

use crate::{crafted_log::CraftedLog, garantd::Garantd, swtpm::Swtpm};
use garant_attest::engine::{Engine, sha256};
use garant_channel::engine::FastEngine;
use garant_hw::{eventlog::EventType, hash::Hash};
use std::{fs, process::Command};

/// The machine, switched on.
pub struct ClosedBoot {
    /// Its TPM, certified by a test authority.
    pub tpm: Swtpm,
}

impl ClosedBoot {
    /// Boots one. `None`, and a line on standard error, where swtpm is not installed.
    pub fn new() -> Option<ClosedBoot> {
        let tpm = Swtpm::provisioned("sha256")?;
        let mut log = CraftedLog::of(&[Hash::Sha256]);
        log.event(4, EventType::EFI_BOOT_SERVICES_APPLICATION, IMAGE);
        fs::write(tpm.folder().join("boot.log"), log.bytes()).expect("scratch folder is read-only");
        let extend = format!("4:sha256={}", uki());
        let done = Command::new("tpm2_pcrextend").args(["-T", &tpm.tcti(), &extend]).output();
        let done = done.expect("tpm2-tools are installed: `make deps`");
        assert!(done.status.success(), "{done:?}");
        Some(ClosedBoot { tpm })
    }

    /// Lines of its configuration.
    pub fn options(&self) -> String {
        format!("boot_log = '{}'\n", self.tpm.folder().join("boot.log").display())
    }

    /// A policy that accepts this boot with the configuration of this node, and says more.
    pub fn policy(&self, node: &Garantd, more: &str) -> String {
        let configuration = hex(&sha256(&FastEngine, &[node.configuration().as_bytes()]));
        let zeros = "00".repeat(32);
        let pins: String =
            [0, 1, 2, 3, 5, 6, 7, 8, 9, 14].iter().map(|pcr| format!("{pcr} = [\"{zeros}\"]\n")).collect();
        format!(
            "roots = [\"test\"]\nmax_age_s = 300\nconfigurations = [\"{configuration}\"]\n[pins.sha256]\n{pins}\
             [[image]]\nname = \"closed\"\nclosed = true\nuki = \"sha256:{uki}\"\n[image.extends.sha256]\n\
             4 = [\"{uki}\"]\n11 = []\n12 = []\n13 = []\n{more}",
            uki = uki()
        )
    }
}

fn uki() -> String {
    hex(FastEngine.digest(Hash::Sha256, &[IMAGE]).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const IMAGE: &[u8] = b"the one image";
