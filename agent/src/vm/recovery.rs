//! What a new server does with the VMs of the one before: each VMM is adopted or ended, each start has its result, none is
//! lost and none doubled.

use crate::{
    ledger::{Definition, LedgerError, Recovered},
    vm::{
        actor::{self, Defined, Host, Order, name},
        endings::{state_after, words},
        link::{RunNumber, Vmm},
        qmp::RunState,
        quota::{ACT_ENTRIES, START_ENTRIES},
        run::{Run, RunError, end},
    },
};
use garant_api::{
    spec::VmId,
    vm::{State, Vm},
};
use garant_attest::ledger::{Act, VmName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::mpsc;

/// Tasks of all VMs that there were; those that still run have their VMM.
pub async fn recover(
    host: &Arc<Host>,
    recovered: Recovered,
    running: Vec<Vmm>,
) -> Result<BTreeMap<VmId, mpsc::Sender<Order>>, LedgerError> {
    for definition in &recovered.definitions {
        define(host, definition)?;
    }
    recovered.acts.iter().for_each(|act| recount(host, act));
    let mut vmms: BTreeMap<RunNumber, Vmm> = running.into_iter().map(|vmm| (vmm.run, vmm)).collect();
    let open = Open::of(&recovered.acts);
    let mut tasks = BTreeMap::new();
    for (number, vm) in &open.starts {
        let run = RunNumber(recovered.claims.get(number).copied().unwrap_or(*number));
        let vmm = vmms.remove(&run);
        let is_started = open.started.contains(number);
        if let Some((id, task)) = settle(host, vm, *number, vmm, is_started).await? {
            tasks.insert(id, task);
        }
    }
    for (vm, why) in &open.ends {
        if let Some(known) = known(host, vm) {
            host.board.restore(Vm { state: state_after(why), reason: Some(why.clone()), ..known });
        }
    }
    // What no start explains waited in the pool, or was ended by an act whose server died before the VMM did.
    for number in vmms.into_keys() {
        log::info!("VMM ended run={}: no VM of this boot has it", number.0);
        end(&host.link, number).await;
    }
    Ok(tasks)
}

fn define(host: &Host, definition: &Definition) -> Result<(), LedgerError> {
    match definition {
        Definition::Defined(bytes) => {
            let Defined { by, vm } = serde_json::from_slice(bytes).map_err(|_| LedgerError::Torn)?;
            by.iter().for_each(|client| host.board.recount(client, ACT_ENTRIES));
            host.board.restore(vm);
        }
        Definition::Forgotten(bytes) => {
            let id: VmId = serde_json::from_slice(bytes).map_err(|_| LedgerError::Torn)?;
            host.board.forget(&id).map_err(|_| LedgerError::Torn)?;
        }
    }
    Ok(())
}

/// Counts an act as it was counted when it was asked for.
fn recount(host: &Host, act: &Act) {
    let (asker, entries) = match act {
        Act::Start { by, .. } => (by, START_ENTRIES),
        Act::Pause(_, by) | Act::Resume(_, by) | Act::Stop(_, by) | Act::Delete(_, by) => (by, ACT_ENTRIES),
        _ => return,
    };
    if let Some(client) = host.clients.named(*asker) {
        host.board.recount(client, entries);
    }
}

/// What became of the starts.
#[derive(Default)]
struct Open {
    /// Those that have no end yet.
    starts: BTreeMap<u64, VmName>,
    /// Those that the VMM confirmed.
    started: BTreeSet<u64>,
    /// Why VMs ended that were not started again.
    ends: BTreeMap<VmName, String>,
}

impl Open {
    fn of(acts: &[Act]) -> Open {
        let mut open = Open::default();
        for (number, act) in (1..).zip(acts) {
            match act {
                Act::Start { vm, .. } => {
                    open.ends.remove(vm);
                    open.starts.insert(number, vm.clone());
                }
                Act::Started { of, .. } => {
                    open.started.insert(*of);
                }
                Act::Ended { of, why, .. } => open.end(*of, why),
                Act::Void(of) => open.end(*of, NEVER_RAN),
                _ => {}
            }
        }
        open
    }

    fn end(&mut self, start: u64, why: &str) {
        if let Some(vm) = self.starts.remove(&start) {
            self.ends.insert(vm, why.to_owned());
        }
    }
}

/// The VM of this name, where it is still known in this generation.
fn known(host: &Host, vm: &VmName) -> Option<Vm> {
    let known = vm.id().parse().ok().and_then(|id| host.board.vm(&id).ok());
    known.filter(|known| name(known).is_ok_and(|name| name == *vm))
}

/// Adopts the VMM of a start, or ends it and writes down that it has ended.
async fn settle(
    host: &Arc<Host>,
    vm: &VmName,
    number: u64,
    vmm: Option<Vmm>,
    is_started: bool,
) -> Result<Option<(VmId, mpsc::Sender<Order>)>, LedgerError> {
    let known = known(host, vm);
    let why = match (vmm, &known) {
        (Some(vmm), Some(known)) if is_started => match take_over(host, vmm).await {
            Ok((run, state)) => {
                let state = if state == RunState::Running { State::Running } else { State::Paused };
                host.board.restore(Vm { state, ..known.clone() });
                log::info!("vm={} adopted run={number} state={state}", known.id);
                let task = actor::start(host.clone(), known.id.clone(), Some((number, run)));
                return Ok(Some((known.id.clone(), task)));
            }
            Err(error) => format!("it did not answer the node's next server: {error}"),
        },
        (Some(vmm), _) => {
            end(&host.link, vmm.run).await;
            NEVER_RAN.to_owned()
        }
        (None, _) => "it ended while the node had no server".to_owned(),
    };
    log::warn!("vm={vm} run={number} ended: {why}");
    let act = match is_started {
        true => Act::Ended { vm: vm.clone(), of: number, why: words(&why) },
        false => Act::Void(number),
    };
    host.ledger.write(&act)?;
    if let Some(known) = known {
        host.board.restore(Vm { state: State::Failed, reason: Some(why), ..known });
    }
    Ok(None)
}

/// One that does not answer is ended.
async fn take_over(host: &Host, vmm: Vmm) -> Result<(Run, RunState), RunError> {
    let run = vmm.run;
    let taken = Run::take_over(vmm).await;
    if taken.is_err() {
        end(&host.link, run).await;
    }
    taken
}

const NEVER_RAN: &str = "the node's server ended before it ran";
