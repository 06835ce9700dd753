//! One VM: takes its requests one after the other and acts on them, and notices when its VMM ends. Everything that changes
//! the VM happens here, so that what is asked of one VM has one order.
//!
//! Order of a start: intent durable, extended, run, result.

use crate::{
    budget::{QMP_ANSWER, QMP_ANSWER_SOON, STOP_GRACE_USUAL, VM_ORDERS_WAITING, VMM_LOOKS},
    ledger::{Definition, Ledger, LedgerError},
    vm::{
        accelerators::Accelerators,
        board::{Board, Ensured, has_vmm, now_ms, wrong_state},
        checks::Found,
        claim,
        clients::{Caller, Clients},
        endings::{GUEST_ENDED, STOPPED, words},
        faults::{not_started, not_written, ours, vmm_failed},
        images::Store,
        launch::LaunchError,
        link::VmLink,
        pool::Pool,
        qmp::{Notice, QmpError, RunState},
        run::Run,
    },
};
use garant_api::{
    client::ClientName,
    problem::Problem,
    spec::{Ensure, Machine, VmId},
    vm::{Act as Request, State, Verb, Vm},
};
use garant_attest::ledger::{Act, VmName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{path::PathBuf, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior, interval, timeout},
};

/// What all VMs of a node share.
#[derive(Debug)]
pub struct Host {
    /// What is known of them.
    pub board: Board,
    /// Who may ask for them over TLS.
    pub clients: Clients,
    /// What waits for their starts.
    pub pool: Pool,
    /// The way to what runs them.
    pub link: VmLink,
    /// What is written down of them.
    pub ledger: Ledger,
    /// What they are made of.
    pub images: Store,
    /// Where layers above images lie, where the node has a disk for them.
    pub layers: Option<PathBuf>,
    /// What runs vCPUs: the first where a spec does not say.
    pub accelerators: Accelerators,
    /// Where VMs may have interfaces.
    pub networks: Vec<crate::config::network::Network>,
    /// Frequency of the host's time stamp counter.
    pub tsc_khz: Option<u64>,
    /// What works here, and what holds VMMs.
    pub found: Found,
}

/// A request to one VM, each with who asks.
#[derive(Debug)]
pub enum Order {
    /// Be this.
    Ensure(Caller, Ensure, oneshot::Sender<Result<Ensured, Problem>>),
    /// Do this.
    Act(Caller, Verb, Request, oneshot::Sender<Result<Vm, Problem>>),
    /// Say what the console showed.
    Console(oneshot::Sender<Vec<u8>>),
}

/// Starts a VM's task, with its VMM where one runs.
pub fn start(host: Arc<Host>, id: VmId, run: Option<(u64, Run)>) -> mpsc::Sender<Order> {
    let (sender, orders) = mpsc::channel(VM_ORDERS_WAITING);
    let mut looks = interval(VMM_LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(Actor { host, id, run, orders, looks, console: Vec::new() }.work());
    sender
}

struct Actor {
    host: Arc<Host>,
    id: VmId,
    /// With the number of its start in the ledger.
    run: Option<(u64, Run)>,
    orders: mpsc::Receiver<Order>,
    /// When the VMM is asked whether it still answers.
    looks: Interval,
    /// What the last run's console showed.
    console: Vec<u8>,
}

/// What comes next.
enum Next {
    Order(Order),
    Notice(Notice),
    Look,
    Ended,
    NobodyAsks,
}

impl Actor {
    /// Up to the VM's end: what waits behind that is another's, and asked anew.
    async fn work(mut self) {
        while !self.orders.is_closed() {
            match self.next().await {
                Next::Order(order) => self.obey(order).await,
                Next::Notice(notice) => self.note(&notice),
                Next::Look => self.look().await,
                Next::Ended => self.close().await,
                Next::NobodyAsks => return,
            }
        }
    }

    async fn next(&mut self) -> Next {
        let order = |order: Option<Order>| order.map_or(Next::NobodyAsks, Next::Order);
        let Some((_, run)) = &mut self.run else { return order(self.orders.recv().await) };
        let ended = run.watch();
        tokio::select! {
            next = self.orders.recv() => order(next),
            notice = ended => notice.map_or(Next::Ended, Next::Notice),
            _ = self.looks.tick() => Next::Look,
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Console(reply) => {
                let shown = self.run.as_ref().map(|(_, run)| run.console.bytes());
                let _ = reply.send(shown.unwrap_or_else(|| self.console.clone()));
            }
            Order::Ensure(caller, ensure, reply) => {
                let _ = reply.send(self.host.ensure(&caller, &self.id, ensure));
            }
            Order::Act(caller, verb, request, reply) => {
                let answer = self.act(&caller, verb, request).await;
                if let Err(problem) = &answer {
                    log::warn!("vm={} {verb} by={caller} code={}: {}", self.id, problem.code, problem.detail);
                }
                let _ = reply.send(answer);
            }
        }
    }

    async fn act(&mut self, caller: &Caller, verb: Verb, request: Request) -> Result<Vm, Problem> {
        let vm = self.host.board.vm_of(caller, &self.id, request.generation)?;
        match (verb, vm.state) {
            (Verb::Start, State::Defined | State::Stopped | State::Failed) => self.start(caller, &vm).await,
            (Verb::Start, State::Running) | (Verb::Pause, State::Paused) | (Verb::Resume, State::Running) => Ok(vm),
            (Verb::Start, _) => Err(wrong_state(&vm, "resume it")),
            (Verb::Pause, State::Running) => self.halt(caller, &vm, Verb::Pause).await,
            (Verb::Resume, State::Paused) => self.halt(caller, &vm, Verb::Resume).await,
            (Verb::Pause | Verb::Resume, _) => Err(wrong_state(&vm, "start it first")),
            (Verb::Stop, _) if !has_vmm(vm.state) => Ok(vm),
            (Verb::Stop, _) => self.stop(caller, &vm, request).await,
            (Verb::Delete, _) => self.delete(caller, &vm).await,
        }
    }

    async fn start(&mut self, caller: &Caller, vm: &Vm) -> Result<Vm, Problem> {
        let starting = self.host.board.begin(caller, vm)?;
        let host = self.host.clone();
        let _waits = host.pool.begin_start();
        let (number, run, level) = match claim::start(&host, &starting, caller.asker()).await {
            Ok(launched) => launched,
            Err(error) => return Err(self.failed(&error)),
        };
        let ready = now_ms();
        self.run = Some((number, run));
        let continued = self.command("cont").await.map_err(|error| vmm_failed(&error.to_string()));
        let started = match (continued, self.name(&starting)) {
            (Ok(_), Ok(vm)) => self.write(&Act::Started { vm, of: number }).map(drop),
            (Err(problem), _) | (_, Err(problem)) => Err(problem),
        };
        if let Err(problem) = started {
            self.kill().await?;
            self.finish(State::Failed, &problem.detail)?;
            return Err(problem);
        }
        self.host.board.update(&self.id, |vm| {
            (vm.state, vm.level) = (State::Running, Some(level));
            (vm.times.vmm_ready, vm.times.running) = (Some(ready), Some(now_ms()));
        })
    }

    /// A start that came to nothing.
    fn failed(&self, error: &LaunchError) -> Problem {
        let problem = not_started(error);
        let detail = problem.detail.clone();
        let _ = self.host.board.update(&self.id, |vm| (vm.state, vm.reason) = (State::Failed, Some(detail)));
        problem
    }

    /// Pauses or resumes: written down before, extended after the answer.
    async fn halt(&mut self, caller: &Caller, vm: &Vm, verb: Verb) -> Result<Vm, Problem> {
        let (act, command, state) = match verb {
            Verb::Pause => (Act::Pause(self.name(vm)?, caller.asker()), "stop", State::Paused),
            _ => (Act::Resume(self.name(vm)?, caller.asker()), "cont", State::Running),
        };
        self.write_for(caller, &act)?;
        self.command(command).await.map_err(|error| vmm_failed(&error.to_string()))?;
        self.host.board.update(&self.id, |vm| (vm.state, vm.reason) = (state, None))
    }

    /// Asks the guest first where the machine has a power button, and waits as long as it was told to.
    async fn stop(&mut self, caller: &Caller, vm: &Vm, request: Request) -> Result<Vm, Problem> {
        self.write_for(caller, &Act::Stop(self.name(vm)?, caller.asker()))?;
        self.host.board.update(&self.id, |vm| vm.state = State::Stopping)?;
        let grace = request.grace_s.map_or(STOP_GRACE_USUAL, |grace| Duration::from_secs(grace.get().into()));
        let has_button = vm.spec.machine == Machine::Q35 && vm.state == State::Running && !grace.is_zero();
        if has_button
            && self.command("system_powerdown").await.is_ok()
            && let Some((_, run)) = &self.run
        {
            let _ = timeout(grace, run.ended()).await;
        }
        self.kill().await?;
        self.finish(State::Stopped, STOPPED)
    }

    /// Ends what runs, and forgets the VM.
    async fn delete(&mut self, caller: &Caller, vm: &Vm) -> Result<Vm, Problem> {
        self.write_for(caller, &Act::Delete(self.name(vm)?, caller.asker()))?;
        if self.run.is_some() {
            self.kill().await?;
            self.finish(State::Stopped, "it was deleted")?;
        }
        let forgotten = serde_json::to_vec(&vm.id).map_err(|_| ours())?;
        self.host.ledger.define(&Definition::Forgotten(forgotten)).map_err(|error| not_written(&error))?;
        self.orders.close();
        self.host.board.forget(&self.id)
    }

    /// The VMM closed all that it had open, and nobody had asked it to: it has ended, or is ended now.
    async fn close(&mut self) {
        let closed = match self.kill().await {
            Ok(()) => self.finish_unasked(),
            Err(problem) => {
                // What does not end is not written down as ended.
                self.run = None;
                let detail = problem.detail.clone();
                let _ = self.host.board.update(&self.id, |vm| (vm.state, vm.reason) = (State::Failed, Some(detail)));
                Err(problem)
            }
        };
        if let Err(problem) = closed {
            log::error!("vm={} ended: {}", self.id, problem.detail);
        }
    }

    fn finish_unasked(&mut self) -> Result<Vm, Problem> {
        let known = self.host.board.vm(&self.id)?.reason;
        if known.as_deref() == Some(GUEST_ENDED) {
            return self.finish(State::Stopped, GUEST_ENDED);
        }
        let words = self.run.as_ref().map(|(_, run)| run.last_words()).unwrap_or_default();
        let words = if words.is_empty() { words } else { format!(": {words}") };
        let before = known.map(|reason| format!(", after {reason}")).unwrap_or_default();
        self.finish(State::Failed, &format!("the VMM ended by itself{before}{words}"))
    }

    /// No VMM is there any more: its end is written down, and told even where that fails.
    fn finish(&mut self, state: State, reason: &str) -> Result<Vm, Problem> {
        let vm = self.host.board.vm(&self.id)?;
        let written = match self.run.take() {
            Some((number, run)) => {
                self.console = run.console.bytes();
                let ended = |vm| Act::Ended { vm, of: number, why: words(reason) };
                self.name(&vm).and_then(|vm| self.write(&ended(vm))).map(drop)
            }
            None => Ok(()),
        };
        let vm = self.host.board.update(&self.id, |vm| {
            (vm.state, vm.reason, vm.degraded) = (state, Some(reason.to_owned()), None);
            vm.times.ended = Some(now_ms());
        })?;
        written.map(|()| vm)
    }

    async fn kill(&self) -> Result<(), Problem> {
        match &self.run {
            Some((number, run)) if !run.kill(&self.host.link).await => {
                log::error!("vm={} run={number} does not end", self.id);
                Err(vmm_failed("the VMM does not end: the kernel holds it"))
            }
            _ => Ok(()),
        }
    }

    /// What the VMM says by itself.
    fn note(&self, notice: &Notice) {
        let reason = match notice {
            Notice::Event(event) if event.name == "SHUTDOWN" => GUEST_ENDED,
            Notice::Event(event) if event.name == "GUEST_PANICKED" => "the guest's system failed",
            Notice::Event(event) if event.name == "BLOCK_IO_ERROR" => "a disk fails or is full",
            _ => return,
        };
        let _ = self.host.board.update(&self.id, |vm| vm.reason = Some(reason.to_owned()));
    }

    /// Asks the VMM what it does, so that who asks for the VM need not. A command that it took late counts too.
    async fn look(&self) {
        let Some((_, run)) = &self.run else { return };
        let answer = run.qmp.status(QMP_ANSWER_SOON).await;
        self.mark(answer.as_ref().err());
        let state = match answer {
            Ok(RunState::Running) => State::Running,
            Ok(RunState::Paused) => State::Paused,
            _ => return,
        };
        let is_other = |known: State| [State::Running, State::Paused].contains(&known) && known != state;
        if self.host.board.vm(&self.id).is_ok_and(|vm| is_other(vm.state)) {
            log::warn!("vm={} is {state}, since its VMM says so", self.id);
            let _ = self.host.board.update(&self.id, |vm| vm.state = state);
        }
    }

    async fn command(&self, command: &str) -> Result<Value, QmpError> {
        let Some((_, run)) = &self.run else { return Err(QmpError::Ended(super::qmp::Ended::Closed)) };
        let mut answer = pin!(run.qmp.execute(command, Value::Null, QMP_ANSWER));
        let answer = match timeout(QMP_ANSWER_SOON, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                self.mark(Some(&QmpError::Silent { waited: QMP_ANSWER_SOON }));
                answer.await
            }
        };
        self.mark(answer.as_ref().err());
        answer
    }

    /// Says so where a VMM that should answer does not, or does again.
    fn mark(&self, error: Option<&QmpError>) {
        let degraded = match error {
            Some(error @ (QmpError::Silent { .. } | QmpError::Busy)) => Some(error.to_string()),
            _ => None,
        };
        let is_known = |vm: &Vm| vm.degraded.is_some() == degraded.is_some();
        if self.host.board.vm(&self.id).is_ok_and(|vm| !is_known(&vm)) {
            log::warn!("vm={} degraded={}", self.id, degraded.as_deref().unwrap_or("no more"));
            let _ = self.host.board.update(&self.id, |vm| vm.degraded = degraded);
        }
    }

    fn name(&self, vm: &Vm) -> Result<VmName, Problem> {
        name(vm).map_err(|error| not_written(&error))
    }

    /// Writes down what a caller asked for, as long as it may have so much written.
    fn write_for(&self, caller: &Caller, act: &Act) -> Result<u64, Problem> {
        self.host.board.charge(caller)?;
        self.write(act)
    }

    fn write(&self, act: &Act) -> Result<u64, Problem> {
        self.host.ledger.write(act).map_err(|error| not_written(&error))
    }
}

/// A definition, as the journal has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Defined {
    /// Who asked for it, where a client did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ClientName>,
    /// What was defined.
    pub vm: Vm,
}

impl Host {
    /// Writes a definition down and has it known.
    pub fn ensure(&self, caller: &Caller, id: &VmId, ensure: Ensure) -> Result<Ensured, Problem> {
        self.admit(&ensure.spec)?;
        self.board.ensure(caller, id, ensure, |vm| {
            let defined = Defined { by: caller.name().cloned(), vm: vm.clone() };
            let bytes = serde_json::to_vec(&defined).map_err(|_| ours())?;
            self.ledger.define(&Definition::Defined(bytes)).map_err(|error| not_written(&error))
        })
    }
}

/// The VM's name in the ledger, whose ids are the API's.
pub fn name(vm: &Vm) -> Result<VmName, LedgerError> {
    VmName::new(vm.id.as_str(), vm.generation).ok_or(LedgerError::Encoding)
}
