//! What the node knows of its VMs, and what happened to them, in memory: lists and questions are answered from here and never
//! wait for a VMM. Decides who may be defined and what has room; acts on nothing.

use crate::{
    budget::{VM_EVENTS, VMS_FORGOTTEN},
    config::VmOptions,
    vm::{
        addresses::{Asking, Assigned},
        clients::Caller,
        quota::{ACT_ENTRIES, Quotas, START_ENTRIES},
    },
};
use garant_api::{
    client::ClientName,
    event::{Event, Events},
    problem::{Code, Problem},
    spec::{Ensure, Spec, VmId},
    vm::{Interface, List, State, Times, Vm},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// All VMs of the node.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    /// Number of the last event.
    sequence: watch::Sender<u64>,
    memory_mib: u64,
    count: usize,
}

#[derive(Debug, Default)]
struct Inner {
    vms: BTreeMap<VmId, Vm>,
    /// VMs that are gone, the oldest first: a request that was sent before is not taken for a new one.
    forgotten: VecDeque<Vm>,
    /// Each with whose VM it is of.
    events: VecDeque<(Option<ClientName>, Event)>,
    quotas: Quotas,
    addresses: Assigned,
}

/// What a reader of events is to be told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// It missed some: number of the oldest one kept.
    pub gap: Option<u64>,
    /// Those that come next.
    pub events: Vec<Event>,
    /// Number of the last event that is told with this, or is none of the reader's business.
    pub place: u64,
}

/// What a definition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    /// It is new, or another generation.
    Changed(Vm),
    /// It was so already.
    Same(Vm),
}

impl Board {
    /// No VMs, and room for those that the options allow.
    pub fn new(options: &VmOptions) -> Board {
        Board {
            inner: Mutex::new(Inner {
                quotas: Quotas::new(&options.client),
                addresses: Assigned::new(options.network.clone()),
                ..Inner::default()
            }),
            // Above all numbers of servers before this one, so that their readers see a gap.
            sequence: watch::Sender::new(now_ms()),
            memory_mib: options.memory_mib,
            count: options.count,
        }
    }

    /// Defines a VM, once `write` has written it down. One that runs keeps its generation. All VMs of a node share one name
    /// space, since the ledger knows them by their ids: of another's VM a tenant learns that its id is taken, and no more.
    pub fn ensure(
        &self,
        caller: &Caller,
        id: &VmId,
        ensure: Ensure,
        write: impl FnOnce(&Vm) -> Result<(), Problem>,
    ) -> Result<Ensured, Problem> {
        let Ensure { generation, spec } = ensure;
        let mut inner = self.inner();
        let known = inner.vms.get(id);
        let last = known.or_else(|| inner.forgotten.iter().find(|gone| gone.id == *id));
        if last.is_some_and(|vm| !caller.sees(vm.owner.as_ref())) {
            return Err(Problem::new(Code::IdTaken, format!("the id {id} is taken"), "choose another id"));
        }
        let last = last.map(|vm| vm.generation);
        if last.is_some_and(|last| generation < last) || known.is_none() && last == Some(generation) {
            return Err(past(id, generation, last.unwrap_or_default()));
        }
        match known {
            Some(vm) if vm.generation == generation && vm.spec == spec => return Ok(Ensured::Same(vm.clone())),
            Some(vm) if vm.generation == generation => {
                let what = format!("{id} has another spec in generation {generation}");
                return Err(Problem::new(Code::OtherSpec, what, "send the spec that it has, or a higher generation"));
            }
            Some(vm) if has_vmm(vm.state) => return Err(wrong_state(vm, "stop it before it gets another spec")),
            None if inner.vms.len() >= self.count => {
                let what = format!("{} VMs, as many as the configuration allows", self.count);
                return Err(Problem::new(Code::TooMany, what, "delete one, or raise count in [vms]"));
            }
            None => inner.quotas.admit_definition(caller.name(), inner.vms.values())?,
            Some(_) => {}
        }
        let owner = known.map_or_else(|| caller.name().cloned(), |vm| vm.owner.clone());
        let times = Times { accepted: now_ms(), vmm_ready: None, running: None, guest_ready: None, ended: None };
        let had = known.map(|vm| vm.nics.clone()).unwrap_or_default();
        let nics = inner.interfaces(id, &spec, &had)?;
        let (state, id) = (State::Defined, id.clone());
        let vm = Vm {
            id: id.clone(),
            generation,
            owner,
            spec,
            state,
            reason: None,
            degraded: None,
            times,
            nics,
            level: None,
        };
        inner.quotas.charge(caller, ACT_ENTRIES)?;
        write(&vm)?;
        inner.addresses.give_back(&id, &had, &vm.nics, Instant::now());
        inner.vms.insert(id, vm.clone());
        self.tell(&mut inner, &vm);
        Ok(Ensured::Changed(vm))
    }

    /// Takes over a VM as a predecessor left it.
    pub fn restore(&self, vm: Vm) {
        self.inner().vms.insert(vm.id.clone(), vm);
    }

    /// Forgets a VM; what is left of it.
    pub fn forget(&self, id: &VmId) -> Result<Vm, Problem> {
        let vm = Vm { state: State::Deleted, reason: None, degraded: None, ..self.vm(id)? };
        let mut inner = self.inner();
        inner.vms.remove(id);
        inner.addresses.give_back(id, &vm.nics, &[], Instant::now());
        inner.forgotten.retain(|gone| gone.id != *id);
        if inner.forgotten.len() >= VMS_FORGOTTEN {
            inner.forgotten.pop_front();
        }
        inner.forgotten.push_back(vm.clone());
        self.tell(&mut inner, &vm);
        Ok(vm)
    }

    /// A VM that this caller may see, of this generation.
    pub fn vm_of(&self, caller: &Caller, id: &VmId, generation: u64) -> Result<Vm, Problem> {
        let vm = self.seen(caller, id)?;
        match vm.generation.cmp(&generation) {
            std::cmp::Ordering::Equal => Ok(vm),
            std::cmp::Ordering::Greater => Err(past(id, generation, vm.generation)),
            std::cmp::Ordering::Less => {
                let what = format!("{id} has no generation {generation} yet, its last is {}", vm.generation);
                Err(Problem::new(Code::UnknownVm, what, "ensure that generation first"))
            }
        }
    }

    /// A VM.
    pub fn vm(&self, id: &VmId) -> Result<Vm, Problem> {
        self.inner().vms.get(id).cloned().ok_or_else(|| unknown(id))
    }

    /// A VM that this caller may see; another is unknown to it.
    pub fn seen(&self, caller: &Caller, id: &VmId) -> Result<Vm, Problem> {
        self.vm(id).ok().filter(|vm| caller.sees(vm.owner.as_ref())).ok_or_else(|| unknown(id))
    }

    /// What is left of a VM that was deleted in this generation.
    pub fn forgotten(&self, caller: &Caller, id: &VmId, generation: u64) -> Option<Vm> {
        let inner = self.inner();
        let gone = inner.forgotten.iter().find(|gone| gone.id == *id && gone.generation == generation);
        gone.filter(|gone| caller.sees(gone.owner.as_ref())).cloned()
    }

    /// All VMs that this caller may see.
    pub fn list(&self, caller: &Caller) -> List {
        let inner = self.inner();
        let seen = inner.vms.values().filter(|vm| caller.sees(vm.owner.as_ref()));
        List { sequence: *self.sequence.borrow(), vms: seen.cloned().collect() }
    }

    /// Events after this one that this caller may see.
    pub fn events(&self, caller: &Caller, after: u64) -> Events {
        let inner = self.inner();
        let next = self.sequence.borrow().saturating_add(1);
        let first_kept = inner.events.front().map_or(next, |(_, event)| event.sequence);
        Events { first_kept, events: inner.events_after(caller, after).cloned().collect() }
    }

    /// Number of the last event.
    pub fn last_event(&self) -> u64 {
        *self.sequence.borrow()
    }

    /// The next events after this one that this caller may see, at most so many.
    pub fn news(&self, caller: &Caller, after: u64, limit: usize) -> News {
        let inner = self.inner();
        let place = *self.sequence.borrow();
        let first_kept = inner.events.front().map_or(place.saturating_add(1), |(_, event)| event.sequence);
        // A place that is still to come is another node's, or of a clock that was set back.
        if first_kept > after.saturating_add(1) || after > place {
            return News { gap: Some(first_kept), events: Vec::new(), place };
        }
        let events: Vec<Event> = inner.events_after(caller, after).take(limit).cloned().collect();
        let last = events.last().filter(|_| events.len() >= limit).map(|last| last.sequence);
        News { gap: None, place: last.unwrap_or(place), events }
    }

    /// Waits for an event after this one that this caller may see, or that it can see no more.
    pub async fn wait_for_event(&self, caller: &Caller, after: u64) {
        let mut last = self.sequence.subscribe();
        loop {
            let newest = *last.borrow_and_update();
            // One that is still to come is no event of this node: there is nothing to wait for.
            if newest < after || newest > after && self.has_news(caller, after) || last.changed().await.is_err() {
                return;
            }
        }
    }

    fn has_news(&self, caller: &Caller, after: u64) -> bool {
        let inner = self.inner();
        let is_lost = inner.events.front().is_none_or(|(_, first)| first.sequence > after.saturating_add(1));
        is_lost || inner.events_after(caller, after).next().is_some()
    }

    /// Counts what servers before this one wrote for a client.
    pub fn recount(&self, client: &ClientName, entries: u64) {
        self.inner().quotas.recount(client, entries);
    }

    /// Counts an act that a caller is about to have written.
    pub fn charge(&self, caller: &Caller) -> Result<(), Problem> {
        self.inner().quotas.charge(caller, ACT_ENTRIES)
    }

    /// Makes room for a start and says that it begins; the memory is the VM's until it is in another state without a VMM.
    pub fn begin(&self, caller: &Caller, vm: &Vm) -> Result<Vm, Problem> {
        let mut inner = self.inner();
        inner.quotas.admit_run(vm, inner.vms.values())?;
        let with_vmm = inner.vms.values().filter(|vm| has_vmm(vm.state));
        let taken = with_vmm.fold(0u64, |sum, vm| sum.saturating_add(vm.spec.memory_mib.get().into()));
        let wanted = u64::from(vm.spec.memory_mib.get());
        if taken.saturating_add(wanted) > self.memory_mib {
            let what = format!("{wanted} MiB asked for, {taken} of {} MiB taken", self.memory_mib);
            return Err(Problem::new(Code::NoMemory, what, "stop a VM, or raise memory_mib in [vms]"));
        }
        inner.quotas.charge(caller, START_ENTRIES)?;
        let times = Times { accepted: now_ms(), vmm_ready: None, running: None, guest_ready: None, ended: None };
        let vm = Vm { state: State::Starting, reason: None, times, ..vm.clone() };
        self.put(&mut inner, vm.clone());
        Ok(vm)
    }

    /// MiB that no VM has taken, and how many VMs have a VMM.
    pub fn room(&self) -> (u64, usize) {
        let inner = self.inner();
        let with_vmm = inner.vms.values().filter(|vm| has_vmm(vm.state));
        let sum = |(memory, count): (u64, usize), vm: &Vm| {
            (memory.saturating_add(vm.spec.memory_mib.get().into()), count.saturating_add(1))
        };
        let (taken, count) = with_vmm.fold((0, 0), sum);
        (self.memory_mib.saturating_sub(taken), count)
    }

    /// Changes a VM and tells of it.
    pub fn update(&self, id: &VmId, change: impl FnOnce(&mut Vm)) -> Result<Vm, Problem> {
        let mut vm = self.vm(id)?;
        change(&mut vm);
        self.put(&mut self.inner(), vm.clone());
        Ok(vm)
    }

    fn put(&self, inner: &mut Inner, vm: Vm) {
        self.tell(inner, &vm);
        inner.vms.insert(vm.id.clone(), vm);
    }

    fn tell(&self, inner: &mut Inner, vm: &Vm) {
        let sequence = self.sequence.borrow().saturating_add(1);
        if inner.events.len() >= VM_EVENTS {
            inner.events.pop_front();
        }
        let Vm { id, generation, owner, state, reason, degraded, .. } = vm.clone();
        let reason = degraded.or(reason);
        inner.events.push_back((owner, Event { sequence, time_ms: now_ms(), id, generation, state, reason }));
        self.sequence.send_replace(sequence);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The newest are looked at first: who reads along has seen all others.
    fn events_after(&self, caller: &Caller, after: u64) -> impl Iterator<Item = &Event> {
        let newer = self.events.iter().rev().take_while(move |(_, event)| event.sequence > after).count();
        let seen = self.events.iter().skip(self.events.len().saturating_sub(newer));
        seen.filter(|(owner, _)| caller.sees(owner.as_ref())).map(|(_, event)| event)
    }

    /// The interfaces of a VM with this spec, which had these.
    fn interfaces(&mut self, id: &VmId, spec: &Spec, had: &[Interface]) -> Result<Vec<Interface>, Problem> {
        let others: Vec<&Interface> =
            self.vms.values().filter(|other| other.id != *id).flat_map(|other| &other.nics).collect();
        let asking = Asking { vm: id, had, others: &others, now: Instant::now() };
        self.addresses.assign(&spec.nics, &asking, || {
            let mut bytes = [0; 6];
            getrandom::fill(&mut bytes).ok().map(|()| bytes)
        })
    }
}

/// Whether a VMM may run for a VM in this state.
pub fn has_vmm(state: State) -> bool {
    match state {
        State::Starting | State::Running | State::Paused | State::Stopping => true,
        State::Defined | State::Stopped | State::Failed | State::Deleted => false,
    }
}

fn unknown(id: &VmId) -> Problem {
    Problem::new(Code::UnknownVm, format!("no VM {id}"), "`garant vm list` shows those that there are")
}

/// The VM is in a state in which this cannot be done.
pub fn wrong_state(vm: &Vm, next: &str) -> Problem {
    Problem::new(Code::WrongState, format!("{} is {}", vm.id, vm.state), next)
}

fn past(id: &VmId, generation: u64, last: u64) -> Problem {
    let what = format!("{id} had generation {last}, which is not before {generation}");
    Problem::new(Code::GenerationPast, what, "ask with a higher generation if you mean a new VM")
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
pub(crate) mod tests;
