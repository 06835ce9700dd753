//! A start: from the pool where a VMM of its shape waits, else cold. Left out: `cont`, and what is told.
//!
//! Order of a claim: disks in their places, intent durable, run. No TPM command is on its way: what may run, the `ready`
//! entry of the shape said before.

use crate::{
    budget::POOL_ANSWER,
    ledger::LedgerError,
    vm::{
        actor::Host,
        launch::{self, LaunchError},
        plan::{self, DiskFile},
        pool::{self, Member},
        qmp::QmpError,
        run::Run,
    },
};
use garant_api::{
    spec::{Disk, Spec},
    vm::{Level, Vm},
};
use garant_attest::ledger::Asker;
use serde_json::json;
use std::{fmt, fs::File, io, sync::Arc};

/// A VMM that answers and whose guest has not begun: the number of its start in the ledger, and where it came from.
pub async fn start(host: &Arc<Host>, vm: &Vm, by: Asker) -> Result<(u64, Run, Level), LaunchError> {
    let spec = launch::resolve(host, &vm.spec).await?;
    let member = host.pool.take(&spec);
    pool::make_room(host).await;
    if let Some(member) = member {
        let number = member.run.number();
        match claim(host, (vm, by), &spec, member).await {
            Ok((start, run)) => {
                log::info!("vm={} start={start} run={} level=pool", vm.id, number.0);
                return Ok((start, run, Level::Pool));
            }
            Err(NotClaimed::Ledger(error)) => return Err(LaunchError::Ledger(error)),
            Err(error) => log::warn!("vm={} pool: run={} is of no use: {error}", vm.id, number.0),
        }
    }
    let (start, run) = launch::launch(host, vm, by).await?;
    log::info!("vm={} start={start} run={start} level=cold", vm.id);
    Ok((start, run, Level::Cold))
}

/// Why a member did not become a VM.
#[derive(Debug)]
enum NotClaimed {
    /// Its disks are not there.
    Disks(LaunchError),
    /// It does not do what it is told.
    Vmm(QmpError),
    /// Nothing can be written down.
    Ledger(LedgerError),
}

impl fmt::Display for NotClaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotClaimed::Disks(error) => error.fmt(f),
            NotClaimed::Vmm(error) => error.fmt(f),
            NotClaimed::Ledger(error) => error.fmt(f),
        }
    }
}

async fn claim(
    host: &Arc<Host>,
    (vm, by): (&Vm, Asker),
    spec: &Spec,
    member: Member,
) -> Result<(u64, Run), NotClaimed> {
    let Member { run, shape, ready } = member;
    let swapped = async {
        for (number, (own, disk)) in shape.disks.iter().zip(&spec.disks).enumerate() {
            if own.images.len() != 1 {
                swap(host, &run, number, disk.clone()).await?;
            }
        }
        Ok(())
    };
    let written = match swapped.await {
        Ok(()) => {
            let start = launch::intent(host, vm, by, spec, Some(ready)).map_err(NotClaimed::Ledger);
            start.and_then(|start| host.ledger.claim(&start, run.number().0).map_err(NotClaimed::Ledger))
        }
        Err(error) => Err(error),
    };
    match written {
        Ok(number) => Ok((number, run)),
        Err(error) => {
            run.kill(&host.link).await;
            Err(error)
        }
    }
}

/// Puts a disk in the place of nothing. QEMU takes one command after the other, and a descriptor with each that has one.
async fn swap(host: &Arc<Host>, run: &Run, number: usize, disk: Disk) -> Result<(), NotClaimed> {
    let ours = host.clone();
    let file = tokio::task::spawn_blocking(move || launch::disk_file(&ours, &disk)).await;
    let file = file.map_err(|error| LaunchError::System(io::Error::other(error))).and_then(|file| file);
    let node = format!("disk{number}");
    match file.map_err(NotClaimed::Disks)? {
        DiskFile::ReadOnly { image } => add_image(run, &node, number, image).await?,
        DiskFile::Overlay { image, overlay } => {
            let below = format!("image{number}");
            add_image(run, &below, number, image).await?;
            let set = add_set(run, LAYERS.saturating_add(number), overlay).await?;
            command(run, "blockdev-add", plan::layer_node(&node, &below, &set)).await?;
        }
        DiskFile::Placeholder { .. } => return Ok(()),
    }
    let path = format!("/machine/peripheral/device{number}");
    command(run, "qom-set", json!({ "path": path, "property": "drive", "value": node })).await
}

async fn add_image(run: &Run, node: &str, number: usize, image: File) -> Result<(), NotClaimed> {
    let set = add_set(run, IMAGES.saturating_add(number), image).await?;
    command(run, "blockdev-add", plan::image_node(node, &set)).await
}

/// The name of a set that holds this file.
async fn add_set(run: &Run, set: usize, file: File) -> Result<String, NotClaimed> {
    let arguments = json!({ "fdset-id": set });
    run.qmp.execute_with("add-fd", arguments, file.into(), POOL_ANSWER).await.map_err(NotClaimed::Vmm)?;
    Ok(format!("/dev/fdset/{set}"))
}

async fn command(run: &Run, command: &str, arguments: serde_json::Value) -> Result<(), NotClaimed> {
    run.qmp.execute(command, arguments, POOL_ANSWER).await.map(drop).map_err(NotClaimed::Vmm)
}

/// Numbers of sets, above those of a plan, which are numbers of descriptors.
const IMAGES: usize = 100;
/// See [`IMAGES`].
const LAYERS: usize = 200;
