//! Fills the pool, one VMM after the other, while no client waits for a start; and makes room in it for what clients start.

use super::{Due, Member, Pool};
use crate::{
    budget::{POOL_FILL_PAUSE, VMMS},
    ledger::LedgerError,
    vm::{
        actor::Host,
        launch::{self, LaunchError},
        link::RunNumber,
        plan::{DiskFile, Files},
        shape::Shape,
        wiring::Wiring,
    },
};
use garant_api::spec::{Disk, Disks, Spec};
use garant_attest::ledger::Act;
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// Fills the pool for ever.
pub async fn fill(host: Arc<Host>) {
    if let Ok(first) = host.accelerators.choose(None).await {
        let _ = host.pool.first.set(first);
    }
    loop {
        let (memory_mib, count) = room(&host);
        match host.pool.due(Instant::now(), memory_mib, count) {
            Due::Start(at, shape) => {
                let member = start(&host, &shape).await;
                host.pool.came(Instant::now(), at, member);
                // What a client started meanwhile goes before.
                make_room(&host).await;
                sleep(POOL_FILL_PAUSE).await;
            }
            Due::After(time) => wait(&host.pool, time).await,
        }
    }
}

/// Ends members that have no room beside what clients start.
pub async fn make_room(host: &Arc<Host>) {
    loop {
        let (memory_mib, count) = room(host);
        let Some(member) = host.pool.surplus(memory_mib, count) else { return };
        log::info!("pool: VMM run={} ends, to make room", member.run.number().0);
        if !member.run.kill(&host.link).await {
            log::error!("pool: VMM run={} does not end", member.run.number().0);
        }
    }
}

/// Memory and VMMs that VMs leave to the pool.
fn room(host: &Host) -> (u64, usize) {
    let vmms = usize::try_from(VMMS).unwrap_or(usize::MAX);
    let (memory_mib, running) = host.board.room();
    (memory_mib, vmms.saturating_sub(running))
}

async fn wait(pool: &Pool, time: Duration) {
    let _ = timeout(time, pool.changed.notified()).await;
}

/// A member that waits; what came between is said, and tried again later.
async fn start(host: &Arc<Host>, shape: &Arc<Shape>) -> Option<Member> {
    match launch(host, shape).await {
        Ok(member) => {
            log::info!("pool: VMM run={} waits", member.run.number().0);
            let (end, ours) = (member.run.end(), host.clone());
            tokio::spawn(async move {
                end.await;
                ours.pool.changed.notify_one();
            });
            Some(member)
        }
        Err(error) => {
            log::warn!("pool: no VMM waits: {error}");
            None
        }
    }
}

async fn launch(host: &Arc<Host>, shape: &Arc<Shape>) -> Result<Member, LaunchError> {
    let (ours, wanted) = (host.clone(), shape.clone());
    let files = tokio::task::spawn_blocking(move || files(&ours, &wanted)).await.map_err(io::Error::other)??;
    let ready = told(host, shape).await.map_err(LaunchError::Ledger)?;
    let spec = shape.spec(Disks::default(), host.pool.first());
    let run = launch::begin(host, number()?, &spec, files, Wiring::default()).await?;
    Ok(Member { run, shape: shape.clone(), ready })
}

/// Number of the entry that says that VMMs of this shape may run, once the TPM has it.
async fn told(host: &Host, shape: &Shape) -> Result<u64, LedgerError> {
    let program = shape.program(host.pool.first(), |spec: &Spec| launch::program(spec, host.tsc_khz));
    let known = host.pool.told(&program);
    let number = match known {
        Some(number) => number,
        None => {
            let number = host.ledger.write(&Act::Ready(program.clone()))?;
            host.pool.tell(number, program);
            number
        }
    };
    host.ledger.reach(number).await?;
    Ok(number)
}

/// All images are checked now, so that a start finds those known that it asks for.
fn files(host: &Host, shape: &Shape) -> Result<Files, LaunchError> {
    for image in shape.images() {
        host.images.open_image(image).map_err(LaunchError::Image)?;
    }
    let disks = shape.disks.iter().map(|disk| match disk.images.as_slice() {
        [image] => launch::disk_file(host, &Disk { image: *image, access: disk.access }),
        _ => Ok(DiskFile::Placeholder { access: disk.access }),
    });
    let disks = disks.collect::<Result<_, LaunchError>>()?;
    launch::files_with(host, &shape.kernel, disks)
}

/// A name at the keeper that no entry of the ledger has, nor a member of a server before.
fn number() -> Result<RunNumber, LaunchError> {
    let random = getrandom::u64().map_err(|_| io::Error::other("no random numbers"))?;
    Ok(RunNumber(random | MEMBERS))
}

/// Entries are counted from 1 and never come so far.
const MEMBERS: u64 = 1 << 63;
