//! A start without a pool: images, intent, VMM. Left out: `cont`, and what is told.

use crate::{
    ledger::LedgerError,
    vm::{
        accelerators::NotWorking,
        actor::{Host, name},
        endings::words,
        images::ImageError,
        limits::Limits,
        link::{Device, Ends, RunNumber, Start, VmLinkError},
        overlay::{self, OverlayError},
        plan::{self, DiskFile, Files, Plan},
        run::{Run, RunError, end},
        wiring::Wiring,
    },
};
use aws_lc_rs::digest::{SHA256, digest};
use garant_api::{
    spec::{Accelerator, Access, Disk, Kernel, Spec},
    vm::Vm,
};
use garant_attest::ledger::{Act, Asker, Program};
use std::{
    fmt,
    fs::File,
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
};

/// Why nothing runs.
#[derive(Debug)]
pub enum LaunchError {
    /// An image is not there, or not what its name says.
    Image(ImageError),
    /// An interface is on a network that the node does not have.
    NoNetwork,
    /// The caller wants to write to a disk, and the node has no disk to keep that on.
    NoStateDisk,
    /// The caller's disk is too large to be written above.
    TooLarge(OverlayError),
    /// The intent is not in the TPM.
    Ledger(LedgerError),
    /// The keeper starts none.
    Keeper(VmLinkError),
    /// Nothing runs its vCPUs.
    Accelerator(NotWorking),
    /// The VMM is of no use.
    Vmm(RunError),
    /// The system refuses something.
    System(io::Error),
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaunchError::Image(error) => error.fmt(f),
            LaunchError::NoNetwork => f.write_str("this node has not all of the VM's networks"),
            LaunchError::NoStateDisk => f.write_str("this node has no disk on which what a guest writes could lie"),
            LaunchError::TooLarge(error) => error.fmt(f),
            LaunchError::Ledger(error) => error.fmt(f),
            LaunchError::Keeper(error) => error.fmt(f),
            LaunchError::Accelerator(error) => error.fmt(f),
            LaunchError::Vmm(error) => error.fmt(f),
            LaunchError::System(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> LaunchError {
        LaunchError::System(error)
    }
}

/// A VMM that answers and whose guest has not begun, with the number of its start in the ledger.
pub async fn launch(host: &Arc<Host>, vm: &Vm, by: Asker) -> Result<(u64, Run), LaunchError> {
    let spec = resolve(host, &vm.spec).await?;
    let wiring = Wiring::of(&host.networks, &vm.nics).ok_or(LaunchError::NoNetwork)?;
    let (ours, wanted) = (host.clone(), spec.clone());
    // The first time, an image is read whole.
    let files = tokio::task::spawn_blocking(move || files(&ours, &wanted)).await.map_err(io::Error::other)??;
    let intent = intent(host, vm, by, &spec, None).map_err(LaunchError::Ledger)?;
    let number = host.ledger.extend(&intent).await.map_err(LaunchError::Ledger)?;
    let begun = begin(host, RunNumber(number), &spec, files, wiring).await;
    if let Err(error) = &begun {
        let why = words(&format!("it did not start: {error}"));
        let vm = name(vm).map_err(LaunchError::Ledger)?;
        host.ledger.write(&Act::Ended { vm, of: number, why }).map_err(LaunchError::Ledger)?;
    }
    begun.map(|run| (number, run))
}

/// The spec with an accelerator that works: its own, or the node's choice where it leaves one.
pub async fn resolve(host: &Host, spec: &Spec) -> Result<Spec, LaunchError> {
    let accelerator = host.accelerators.choose(spec.accelerator).await.map_err(LaunchError::Accelerator)?;
    Ok(Spec { accelerator: Some(accelerator), ..spec.clone() })
}

/// The intent to start a VM with its resolved spec, from the pool where an entry says that it was ready.
pub fn intent(host: &Host, vm: &Vm, by: Asker, spec: &Spec, ready: Option<u64>) -> Result<Act, LedgerError> {
    Ok(Act::Start {
        vm: name(vm)?,
        by,
        spec: sha256(&vm.spec.canonical()),
        program: program(spec, host.tsc_khz),
        ready,
    })
}

/// Starts a VMM of this name for a resolved spec, with these network interfaces, and waits until it answers.
pub async fn begin(
    host: &Arc<Host>,
    run: RunNumber,
    spec: &Spec,
    files: Files,
    wiring: Wiring,
) -> Result<Run, LaunchError> {
    let device = if spec.accelerator == Some(Accelerator::Kvm) { Device::Kvm } else { Device::None };
    let Wiring { interfaces, nics, reach } = wiring;
    let mut plan = plan::plan(spec, files, host.tsc_khz);
    plan.add_nics(spec.machine, &interfaces);
    let Plan { arguments, descriptors } = plan;
    let start = Start { run, nics, reach, device, limits: Limits::of(spec), arguments };
    let [(our_qmp, qmp), (our_console, console), (our_log, log)] =
        [UnixStream::pair()?, UnixStream::pair()?, UnixStream::pair()?];
    let ends = Ends { qmp: our_qmp.into(), console: our_console.into(), log: our_log.into() };
    let (link, number) = (host.link.clone(), run);
    let started = tokio::task::spawn_blocking(move || {
        let files = descriptors.iter().map(AsFd::as_fd);
        let theirs: Vec<_> = [qmp.as_fd(), console.as_fd()].into_iter().chain(files).chain([log.as_fd()]).collect();
        link.start(start, ends, &theirs)
    });
    let vmm = started.await.map_err(io::Error::other)?.map_err(LaunchError::Keeper)?;
    match Run::begin(vmm).await {
        Ok(run) => Ok(run),
        Err(error) => {
            end(&host.link, number).await;
            Err(LaunchError::Vmm(error))
        }
    }
}

fn files(host: &Host, spec: &Spec) -> Result<Files, LaunchError> {
    let disks = spec.disks.iter().map(|disk| disk_file(host, disk));
    let disks = disks.collect::<Result<_, LaunchError>>()?;
    files_with(host, &spec.kernel, disks)
}

/// The files of a kernel, with these of disks.
pub fn files_with(host: &Host, kernel: &Kernel, disks: Vec<DiskFile>) -> Result<Files, LaunchError> {
    let open = |image| host.images.open_image(image).map_err(LaunchError::Image);
    let initrd = kernel.initrd.as_ref().map(open).transpose()?;
    Ok(Files { kernel: open(&kernel.image)?, initrd, disks })
}

impl Host {
    /// A new layer above an image, which is gone when the last process closes it.
    pub fn layer(&self) -> Result<File, LaunchError> {
        use rustix::fs::{Mode, OFlags};
        let folder = self.layers.as_ref().ok_or(LaunchError::NoStateDisk)?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR);
        Ok(file.map_err(|errno| LaunchError::System(errno.into()))?.into())
    }
}

/// The files of a disk.
pub fn disk_file(host: &Host, disk: &Disk) -> Result<DiskFile, LaunchError> {
    let image = host.images.open_image(&disk.image).map_err(LaunchError::Image)?;
    Ok(match disk.access {
        Access::ReadOnly => DiskFile::ReadOnly { image },
        Access::Overlay => {
            let overlay = host.layer()?;
            overlay::format(&overlay, image.metadata()?.len()).map_err(LaunchError::TooLarge)?;
            DiskFile::Overlay { image, overlay }
        }
    })
}

/// What a resolved spec is given to run.
pub fn program(spec: &Spec, tsc_khz: Option<u64>) -> Program {
    Program {
        kernel: *spec.kernel.image.as_bytes(),
        initrd: spec.kernel.initrd.as_ref().map(|image| *image.as_bytes()),
        command_line: sha256(plan::command_line(spec, tsc_khz).as_bytes()),
        disks: spec.disks.iter().map(|disk| *disk.image.as_bytes()).collect(),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().first_chunk().copied().unwrap_or_default()
}
