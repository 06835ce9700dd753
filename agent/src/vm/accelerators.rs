//! What runs vCPUs on this node: what the configuration allows, and of that what works.
//!
//! That /dev/kvm opens proves nothing, nor that QEMU says `running`: there are kernels whose KVM runs no guest that turns
//! on paging. So a guest that does is started as any VM is, and has to say so in time. Left out: an answer that outlives the
//! server; each one tries anew, which takes a tenth of a second where KVM works.

use crate::{
    budget::{KVM_PROOF, KVM_PROOF_AGAIN, QMP_ANSWER},
    vm::{
        actor::Host,
        launch::{self, LaunchError},
        link::{RunNumber, VmLinkError},
        plan::Files,
        run,
        wiring::Wiring,
    },
};
use garant_api::{
    error::Invalid,
    problem::{Code, Problem},
    spec::{Accelerator, CommandLine, Disks, ImageDigest, Kernel, Machine, Nics, Spec},
};
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::Value;
use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::Arc,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Whether KVM runs guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kvm {
    /// It is being tried.
    Tried,
    /// A guest that turns on paging said so.
    Works,
    /// It does not, and why.
    Fails(String),
}

/// What runs vCPUs on this node.
#[derive(Debug)]
pub struct Accelerators {
    allowed: Vec<Accelerator>,
    kvm: watch::Sender<Kvm>,
}

impl Accelerators {
    /// Those that the configuration allows, the preferred first. Where KVM is one of them, [`prove`] must follow.
    pub fn new(allowed: Vec<Accelerator>) -> Accelerators {
        Accelerators { allowed, kvm: watch::Sender::new(Kvm::Tried) }
    }

    /// Whether the configuration allows it.
    pub fn allows(&self, accelerator: Accelerator) -> bool {
        self.allowed.contains(&accelerator)
    }

    /// What is known of KVM, where it is allowed.
    pub fn kvm(&self) -> Option<Kvm> {
        self.allows(Accelerator::Kvm).then(|| self.kvm.borrow().clone())
    }

    /// The one for a spec: what it asks for, or else the first that works. Waits until KVM has been tried, if that matters.
    pub async fn choose(&self, wanted: Option<Accelerator>) -> Result<Accelerator, NotWorking> {
        let mut why = "the configuration allows none".to_owned();
        for accelerator in wanted.map_or(self.allowed.clone(), |wanted| vec![wanted]) {
            match self.is_working(accelerator).await {
                Ok(()) => return Ok(accelerator),
                Err(missing) => why = missing,
            }
        }
        Err(NotWorking(why))
    }

    /// Waits until it is known whether this one works.
    pub async fn settled(&self, accelerator: Option<Accelerator>) {
        if let Some(accelerator) = accelerator.filter(|accelerator| self.allows(*accelerator)) {
            let _ = self.is_working(accelerator).await;
        }
    }

    async fn is_working(&self, accelerator: Accelerator) -> Result<(), String> {
        match accelerator {
            Accelerator::Tcg => Ok(()),
            Accelerator::Kvm => {
                let mut kvm = self.kvm.subscribe();
                let tried = kvm.wait_for(|kvm| *kvm != Kvm::Tried).await.map(|kvm| kvm.clone());
                match tried.unwrap_or(Kvm::Tried) {
                    Kvm::Works => Ok(()),
                    Kvm::Tried => Err("KVM was not tried".to_owned()),
                    Kvm::Fails(why) => Err(why),
                }
            }
        }
    }
}

/// No accelerator that a spec could have works.
#[derive(Debug)]
pub struct NotWorking(pub String);

impl fmt::Display for NotWorking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&NotWorking> for Problem {
    fn from(error: &NotWorking) -> Problem {
        let next = "leave accelerator out, or allow tcg in [vms]; `garant node check` says what works";
        Problem::new(Code::AcceleratorNotWorking, error, next)
    }
}

/// The guest that shows it, in a file that a VMM can open; made before the server is locked in, where there is a /dev/kvm.
#[derive(Debug)]
pub struct Proof(Result<File, String>);

impl Proof {
    /// Looks for the device, and writes the guest down.
    pub fn prepare() -> Proof {
        if !Path::new("/dev/kvm").exists() {
            return Proof(Err(
                "there is no /dev/kvm: switch virtualisation on in the firmware, load kvm_intel or kvm_amd".to_owned(),
            ));
        }
        Proof(guest().map_err(|error| format!("the guest that shows it cannot be written down: {error}")))
    }
}

fn guest() -> io::Result<File> {
    let mut file = File::from(memfd_create("garant-kvm-proof", MemfdFlags::CLOEXEC)?);
    file.write_all(GUEST)?;
    Ok(file)
}

/// Tries KVM, and has it known.
pub async fn prove(host: Arc<Host>, proof: Proof) {
    let found = match proof.0 {
        Ok(guest) => match timeout(KVM_PROOF, run_guest(&host, guest)).await {
            Ok(Ok(())) => Kvm::Works,
            Ok(Err(why)) => Kvm::Fails(format!("KVM runs no guest: {why}")),
            Err(_) => Kvm::Fails(format!("a guest that turns on paging says nothing under KVM for {KVM_PROOF:?}")),
        },
        Err(why) => Kvm::Fails(why),
    };
    run::end(&host.link, PROOF_RUN).await;
    log::info!("kvm {found:?}");
    host.accelerators.kvm.send_replace(found);
}

/// Starts the guest as any VM is started, and waits for its words.
async fn run_guest(host: &Arc<Host>, guest: File) -> Result<(), String> {
    let spec = spec().map_err(|error| error.to_string())?;
    let run = loop {
        let files =
            Files { kernel: guest.try_clone().map_err(|error| error.to_string())?, initrd: None, disks: Vec::new() };
        match launch::begin(host, PROOF_RUN, &spec, files, Wiring::default()).await {
            Ok(run) => break run,
            // That of a server before us has not quite ended.
            Err(LaunchError::Keeper(VmLinkError::Refused)) => sleep(KVM_PROOF_AGAIN).await,
            Err(error) => return Err(error.to_string()),
        }
    };
    run.qmp.execute("cont", Value::Null, QMP_ANSWER).await.map_err(|error| error.to_string())?;
    loop {
        if run.console.bytes().windows(WORDS.len()).any(|window| window == WORDS) {
            return Ok(());
        }
        tokio::select! {
            () = run.ended() => return Err(format!("the VMM ended: {}", run.last_words())),
            () = sleep(KVM_PROOF_AGAIN) => {}
        }
    }
}

/// The smallest VM, by the same options as any other.
fn spec() -> Result<Spec, Invalid> {
    Ok(Spec {
        machine: Machine::Microvm,
        accelerator: Some(Accelerator::Kvm),
        vcpus: 1.try_into()?,
        memory_mib: 16.try_into()?,
        kernel: Kernel {
            image: ImageDigest::from_bytes([0; 32]),
            initrd: None,
            command_line: "".parse::<CommandLine>()?,
        },
        disks: Disks::default(),
        nics: Nics::default(),
        limits: None,
    })
}

/// No entry of the ledger has this number: the guest is part of garantd, and so of what was measured.
const PROOF_RUN: RunNumber = RunNumber(0);
const GUEST: &[u8] = include_bytes!("kvm_proof.elf");
const WORDS: &[u8] = b"paging works";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::vm::plan;
    use std::process::Command;

    fn both() -> Accelerators {
        Accelerators::new(vec![Accelerator::Kvm, Accelerator::Tcg])
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_spec_that_names_none_gets_the_first_that_works_and_one_that_does_gets_it_or_nothing() {
        let accelerators = both();
        accelerators.kvm.send_replace(Kvm::Fails("no".to_owned()));
        assert_eq!(accelerators.choose(None).await.unwrap(), Accelerator::Tcg);
        assert_eq!(accelerators.choose(Some(Accelerator::Kvm)).await.unwrap_err().to_string(), "no");
        accelerators.kvm.send_replace(Kvm::Works);
        assert_eq!(accelerators.choose(None).await.unwrap(), Accelerator::Kvm);
        let alone = Accelerators::new(vec![Accelerator::Kvm]);
        alone.kvm.send_replace(Kvm::Fails("no".to_owned()));
        assert!(alone.choose(None).await.is_err(), "software only where it is allowed");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nobody_is_told_before_kvm_was_tried_but_who_wants_software() {
        let accelerators = both();
        assert_eq!(accelerators.choose(Some(Accelerator::Tcg)).await.unwrap(), Accelerator::Tcg);
        let waited = timeout(std::time::Duration::from_millis(20), accelerators.choose(None)).await;
        assert!(waited.is_err());
    }

    #[test]
    fn the_guest_is_what_its_source_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("proof.s"), include_str!("kvm_proof.s")).unwrap();
        let run = |program: &str, words: &[&str]| {
            Command::new(program).args(words).current_dir(folder.path()).status().is_ok_and(|status| status.success())
        };
        let is_built = run("as", &["--64", "-o", "proof.o", "proof.s"])
            && run(
                "ld",
                &["-n", "-s", "-Ttext=0x100000", "--build-id=none", "-z", "noexecstack", "-o", "proof.elf", "proof.o"],
            );
        if !is_built {
            println!("SKIPPED: no assembler and linker for x86-64 here");
            return;
        }
        assert_eq!(std::fs::read(at("proof.elf")).unwrap(), GUEST);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_guest_turns_on_paging_where_guests_run() {
        let software = Spec { accelerator: Some(Accelerator::Tcg), ..spec().unwrap() };
        let plan = plan::plan(&software, Files { kernel: guest().unwrap(), initrd: None, disks: Vec::new() }, None);
        let Some(qemu) = crate::vm::real_qemu::RealQemu::spawn(&plan.arguments, &plan.descriptors) else { return };
        let (qmp, _notices) = crate::vm::qmp::Qmp::greet(qemu.qmp(), QMP_ANSWER * 20).await.unwrap();
        qmp.execute("cont", Value::Null, QMP_ANSWER * 20).await.unwrap();
        let mut said = Vec::new();
        let mut console = &qemu.console;
        console.set_read_timeout(Some(QMP_ANSWER * 20)).unwrap();
        while !said.ends_with(b"\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut console, &mut byte).unwrap();
            said.extend(byte);
        }
        assert!(said.starts_with(WORDS), "{said:?}");
    }
}
