//! What the node knows of its VMs, and what happened to them, in memory: lists and questions are answered from here and never
//! wait for a VMM. Decides who may be defined and what has room; acts on nothing.

use crate::{
    budget::{VM_EVENTS, VMS_FORGOTTEN},
    config::VmOptions,
};
use garant_api::{
    event::{Event, Events},
    problem::{Code, Problem},
    spec::{Ensure, VmId},
    vm::{List, State, Times, Vm},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
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
    events: VecDeque<Event>,
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
            inner: Mutex::default(),
            // Above all numbers of servers before this one, so that their readers see a gap.
            sequence: watch::Sender::new(now_ms()),
            memory_mib: options.memory_mib,
            count: options.count,
        }
    }

    /// Defines a VM, once `write` has written it down. One that runs keeps its generation.
    pub fn ensure(
        &self,
        id: &VmId,
        ensure: Ensure,
        write: impl FnOnce(&Vm) -> Result<(), Problem>,
    ) -> Result<Ensured, Problem> {
        let Ensure { generation, spec } = ensure;
        let mut inner = self.inner();
        let known = inner.vms.get(id);
        let last = known.map(|vm| vm.generation).or_else(|| inner.last_generation(id));
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
            _ => {}
        }
        let times = Times { accepted: now_ms(), vmm_ready: None, running: None, guest_ready: None, ended: None };
        let vm = Vm { id: id.clone(), generation, spec, state: State::Defined, reason: None, times, level: None };
        write(&vm)?;
        inner.vms.insert(id.clone(), vm.clone());
        self.tell(&mut inner, &vm);
        Ok(Ensured::Changed(vm))
    }

    /// Takes over a VM as a predecessor left it.
    pub fn restore(&self, vm: Vm) {
        self.inner().vms.insert(vm.id.clone(), vm);
    }

    /// Forgets a VM; what is left of it.
    pub fn forget(&self, id: &VmId) -> Result<Vm, Problem> {
        let vm = Vm { state: State::Deleted, reason: None, ..self.vm(id)? };
        let mut inner = self.inner();
        inner.vms.remove(id);
        inner.forgotten.retain(|gone| gone.id != *id);
        if inner.forgotten.len() >= VMS_FORGOTTEN {
            inner.forgotten.pop_front();
        }
        inner.forgotten.push_back(vm.clone());
        self.tell(&mut inner, &vm);
        Ok(vm)
    }

    /// A VM, of this generation.
    pub fn vm_of(&self, id: &VmId, generation: u64) -> Result<Vm, Problem> {
        let vm = self.vm(id)?;
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
        let unknown =
            || Problem::new(Code::UnknownVm, format!("no VM {id}"), "`garant vm list` shows those that there are");
        self.inner().vms.get(id).cloned().ok_or_else(unknown)
    }

    /// What is left of a VM that was deleted in this generation.
    pub fn forgotten(&self, id: &VmId, generation: u64) -> Option<Vm> {
        let inner = self.inner();
        inner.forgotten.iter().find(|gone| gone.id == *id && gone.generation == generation).cloned()
    }

    /// All VMs.
    pub fn list(&self) -> List {
        let inner = self.inner();
        List { sequence: *self.sequence.borrow(), vms: inner.vms.values().cloned().collect() }
    }

    /// Events after this one.
    pub fn events(&self, after: u64) -> Events {
        let inner = self.inner();
        let next = self.sequence.borrow().saturating_add(1);
        let first_kept = inner.events.front().map_or(next, |event| event.sequence);
        Events { first_kept, events: inner.events.iter().filter(|event| event.sequence > after).cloned().collect() }
    }

    /// Waits for an event after this one.
    pub async fn wait_for_event(&self, after: u64) {
        let _ = self.sequence.subscribe().wait_for(|last| *last > after).await;
    }

    /// Makes room for a start and says that it begins; the memory is the VM's until it is in another state without a VMM.
    pub fn begin(&self, vm: &Vm) -> Result<Vm, Problem> {
        let mut inner = self.inner();
        let with_vmm = inner.vms.values().filter(|vm| has_vmm(vm.state));
        let taken = with_vmm.fold(0u64, |sum, vm| sum.saturating_add(vm.spec.memory_mib.get().into()));
        let wanted = u64::from(vm.spec.memory_mib.get());
        if taken.saturating_add(wanted) > self.memory_mib {
            let what = format!("{wanted} MiB asked for, {taken} of {} MiB taken", self.memory_mib);
            return Err(Problem::new(Code::NoMemory, what, "stop a VM, or raise memory_mib in [vms]"));
        }
        let times = Times { accepted: now_ms(), vmm_ready: None, running: None, guest_ready: None, ended: None };
        let vm = Vm { state: State::Starting, reason: None, times, ..vm.clone() };
        self.put(&mut inner, vm.clone());
        Ok(vm)
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
        let Vm { id, generation, state, reason, .. } = vm.clone();
        inner.events.push_back(Event { sequence, time_ms: now_ms(), id, generation, state, reason });
        self.sequence.send_replace(sequence);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn last_generation(&self, id: &VmId) -> Option<u64> {
        self.forgotten.iter().find(|gone| gone.id == *id).map(|gone| gone.generation)
    }
}

/// Whether a VMM may run for a VM in this state.
pub fn has_vmm(state: State) -> bool {
    match state {
        State::Starting | State::Running | State::Paused | State::Stopping => true,
        State::Defined | State::Stopped | State::Failed | State::Deleted => false,
    }
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
mod tests {
    use super::*;
    use garant_api::spec::{Accelerator, Spec};

    fn board(memory_mib: u64, count: usize) -> Board {
        let accelerators = vec![Accelerator::Tcg];
        Board::new(&VmOptions { images: "/".into(), accelerators, memory_mib, count })
    }

    fn spec(memory_mib: u64) -> Spec {
        let image = format!("sha256:{}", "00".repeat(32));
        let kernel = format!(r#"{{"image":"{image}","command_line":""}}"#);
        Spec::from_json(format!(r#"{{"vcpus":1,"memory_mib":{memory_mib},"kernel":{kernel}}}"#).as_bytes()).unwrap()
    }

    fn ensure(board: &Board, id: &str, generation: u64, memory_mib: u64) -> Result<Ensured, Code> {
        let ensure = Ensure { generation, spec: spec(memory_mib) };
        board.ensure(&id.parse().unwrap(), ensure, |_| Ok(())).map_err(|problem| problem.code)
    }

    #[test]
    fn one_id_and_generation_has_one_spec_for_ever() {
        let board = board(1024, 8);
        assert!(matches!(ensure(&board, "a", 2, 64), Ok(Ensured::Changed(_))));
        assert!(matches!(ensure(&board, "a", 2, 64), Ok(Ensured::Same(_))));
        assert_eq!(ensure(&board, "a", 2, 65).unwrap_err(), Code::OtherSpec);
        assert_eq!(ensure(&board, "a", 1, 64).unwrap_err(), Code::GenerationPast);
        board.forget(&"a".parse().unwrap()).unwrap();
        assert_eq!(ensure(&board, "a", 2, 64).unwrap_err(), Code::GenerationPast, "a request that comes late");
        assert!(ensure(&board, "a", 3, 65).is_ok());
        let running = |vm: &mut Vm| vm.state = State::Running;
        board.update(&"a".parse().unwrap(), running).unwrap();
        assert_eq!(ensure(&board, "a", 4, 64).unwrap_err(), Code::WrongState);
    }

    #[test]
    fn what_is_not_written_down_is_not_defined() {
        let board = board(1024, 8);
        let full = |_: &Vm| Err(Problem::new(Code::NoTpm, "", ""));
        assert!(board.ensure(&"a".parse().unwrap(), Ensure { generation: 1, spec: spec(64) }, full).is_err());
        assert!(board.list().vms.is_empty() && board.events(0).events.is_empty());
    }

    #[test]
    fn no_more_vms_and_no_more_memory_than_the_configuration_allows() {
        let board = board(128, 2);
        for id in ["a", "b"] {
            assert!(ensure(&board, id, 1, 100).is_ok());
        }
        assert_eq!(ensure(&board, "c", 1, 16).unwrap_err(), Code::TooMany);
        let vm = |id: &str| board.vm(&id.parse().unwrap()).unwrap();
        board.begin(&vm("a")).unwrap();
        assert_eq!(board.begin(&vm("b")).unwrap_err().code, Code::NoMemory);
        board.update(&"a".parse().unwrap(), |vm| vm.state = State::Stopped).unwrap();
        assert!(board.begin(&vm("b")).is_ok(), "what ended gives its memory back");
    }

    #[test]
    fn a_slow_reader_sees_that_events_are_gone() {
        let board = board(1024, 8);
        ensure(&board, "a", 1, 64).unwrap();
        let id = "a".parse().unwrap();
        for _ in 0..VM_EVENTS {
            board.update(&id, |vm| vm.state = State::Stopped).unwrap();
        }
        let events = board.events(0);
        let last_lost = events.first_kept.checked_sub(1).unwrap();
        assert!(events.has_gap(0) && events.has_gap(last_lost - 1) && !events.has_gap(last_lost));
        assert_eq!(events.events.len(), VM_EVENTS);
        assert_eq!(board.list().sequence, board.events(events.first_kept).events.last().unwrap().sequence);
    }
}
