//! What is asked about VMs over HTTP, and what is answered: JSON in and out. Left out: who is let in.

use crate::{
    budget::EVENTS_WAIT,
    vm::{
        actor::{self, Host, Order},
        board::Ensured,
        checks,
        clients::{Caller, not_a_client},
        paths::{PATHS, Path},
        stream,
    },
};
use garant_api::{
    event, openapi,
    problem::{self, Code, Problem},
    spec::{Ensure, VmId},
    vm::{self, Act, Verb},
};
use garant_channel::http::{Answer, Method, Request};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::timeout,
};

/// The VMs of a node, as those outside see them.
#[derive(Debug)]
pub struct Vms {
    host: Arc<Host>,
    tasks: Mutex<BTreeMap<VmId, mpsc::Sender<Order>>>,
}

impl Vms {
    /// With these VMs' tasks.
    pub fn new(host: Arc<Host>, tasks: BTreeMap<VmId, mpsc::Sender<Order>>) -> Vms {
        Vms { host, tasks: Mutex::new(tasks) }
    }

    /// Who has this key, where a client does.
    pub fn caller(&self, key: &[u8; 32]) -> Option<Caller> {
        self.host.clients.caller(key)
    }

    /// Answers one request; nobody but a caller learns anything.
    pub async fn answer(&self, caller: Option<&Caller>, request: &Request) -> Answer {
        let answered = match caller {
            Some(caller) => self.route(caller, request).await,
            None => Err(not_a_client()),
        };
        answered.unwrap_or_else(|problem| refusal(&problem))
    }

    async fn route(&self, caller: &Caller, request: &Request) -> Result<Answer, Problem> {
        let unknown = || Problem::new(Code::UnknownPath, format!("nothing is at {}", request.path), PATHS);
        let path = Path::of(&request.path).ok_or_else(unknown)?;
        match (path, &request.method) {
            (Path::Document, &Method::GET) => Ok(Answer::new(200, vm::MEDIA_TYPE, openapi::DOCUMENT)),
            (Path::Node, &Method::GET) => {
                caller.may_look()?;
                json(200, &checks::node(&self.host))
            }
            (Path::List, &Method::GET) => json(200, &self.host.board.list(caller)),
            (Path::Stream, &Method::GET) => self.stream(caller, request),
            (Path::Events(after), &Method::GET) => self.events(caller, after).await,
            (Path::Vm(id), &Method::GET) => json(200, &self.host.board.seen(caller, &vm_id(id)?)?),
            (Path::Vm(id), &Method::PUT) => self.ensure(caller, vm_id(id)?, &request.body).await,
            (Path::Vm(id), &Method::DELETE) => self.act(caller, vm_id(id)?, Verb::Delete, &request.body).await,
            (Path::Console(id), &Method::GET) => self.console(caller, vm_id(id)?).await,
            (Path::Verb(id, verb), &Method::POST) => self.act(caller, vm_id(id)?, verb, &request.body).await,
            (_, method) => {
                let what = format!("{} is not asked by {method}", request.path);
                let next = format!("ask by {}", path.allow());
                Ok(Answer { allow: Some(path.allow()), ..refusal(&Problem::new(Code::WrongMethod, what, next)) })
            }
        }
    }

    async fn ensure(&self, caller: &Caller, id: VmId, body: &[u8]) -> Result<Answer, Problem> {
        caller.may_change()?;
        let ensure = Ensure::from_json(body).map_err(|invalid| Problem::from(&invalid))?;
        // Whether it works is known in a moment, and then the answer does not depend on when somebody asked.
        self.host.accelerators.settled(ensure.spec.accelerator).await;
        let ensured = loop {
            // One that is there already is changed by its own task, so that nothing comes between.
            if self.host.board.seen(caller, &id).is_err() {
                break self.host.ensure(caller, &id, ensure)?;
            }
            let order = |reply| Order::Ensure(caller.clone(), ensure.clone(), reply);
            if let Some(ensured) = self.order(&id, order).await? {
                break ensured?;
            }
        };
        match ensured {
            Ensured::Changed(vm) => json(201, &vm),
            Ensured::Same(vm) => json(200, &vm),
        }
    }

    async fn act(&self, caller: &Caller, id: VmId, verb: Verb, body: &[u8]) -> Result<Answer, Problem> {
        caller.may_change()?;
        let request = Act::from_json(verb, body).map_err(|invalid| Problem::from(&invalid))?;
        let unknown = loop {
            if let Err(unknown) = self.host.board.seen(caller, &id) {
                break unknown;
            }
            let order = |reply| Order::Act(caller.clone(), verb, request, reply);
            if let Some(vm) = self.order(&id, order).await? {
                self.forget_task(&id);
                return json(200, &vm?);
            }
        };
        // Who did not hear that it was deleted asks again.
        let gone = self.host.board.forgotten(caller, &id, request.generation).filter(|_| verb == Verb::Delete);
        json(200, &gone.ok_or(unknown)?)
    }

    async fn console(&self, caller: &Caller, id: VmId) -> Result<Answer, Problem> {
        self.host.board.seen(caller, &id)?;
        Ok(Answer::new(200, "text/plain; charset=utf-8", self.order(&id, Order::Console).await?.unwrap_or_default()))
    }

    /// Events as they happen, for those who can take them.
    fn stream(&self, caller: &Caller, request: &Request) -> Result<Answer, Problem> {
        let accepts = request.header("accept").unwrap_or_default();
        if !accepts.to_ascii_lowercase().contains(event::STREAM_MEDIA_TYPE) {
            let next = format!("send `Accept: {}`, or ask for /v1/events/{{after}}", event::STREAM_MEDIA_TYPE);
            return Err(Problem::new(Code::NotAcceptable, "events are sent as a stream", next));
        }
        let after = request.header("last-event-id").map(number).transpose()?;
        Ok(stream::stream(self.host.clone(), caller.clone(), after))
    }

    /// Waits a while for an event that is not there yet.
    async fn events(&self, caller: &Caller, after: &str) -> Result<Answer, Problem> {
        let (after, last) = (number(after)?, self.host.board.last_event());
        if after > last {
            let what = format!("{after} is still to come: the last event is {last}");
            return Err(Problem::new(Code::UnknownEvent, what, "list the VMs anew, and go on from the list's number"));
        }
        let _ = timeout(EVENTS_WAIT, self.host.board.wait_for_event(caller, after)).await;
        json(200, &self.host.board.events(caller, after))
    }

    /// Sends a VM's task an order and waits for its answer; there is none where an order before it deleted the VM.
    async fn order<T>(&self, id: &VmId, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<Option<T>, Problem> {
        let (reply, answer) = oneshot::channel();
        self.send(id, order(reply))?;
        Ok(answer.await.ok())
    }

    /// A task that has deleted its VM takes no orders any more.
    fn forget_task(&self, id: &VmId) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.get(id).is_some_and(mpsc::Sender::is_closed) {
            tasks.remove(id);
        }
    }

    fn send(&self, id: &VmId, order: Order) -> Result<(), Problem> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let task = tasks.entry(id.clone()).or_insert_with(|| actor::start(self.host.clone(), id.clone(), None));
        match task.try_send(order) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                Err(Problem::new(Code::Busy, format!("too many requests wait for {id}"), "wait for their answers"))
            }
            // It has deleted its VM; another of this name has a task of its own.
            Err(TrySendError::Closed(order)) => {
                let anew = actor::start(self.host.clone(), id.clone(), None);
                let sent = anew.try_send(order);
                tasks.insert(id.clone(), anew);
                sent.map_err(|_| gone(id))
            }
        }
    }
}

fn refusal(problem: &Problem) -> Answer {
    Answer::new(problem.status, problem::MEDIA_TYPE, serde_json::to_vec(problem).unwrap_or_default())
}

fn number(text: &str) -> Result<u64, Problem> {
    // `+1` is none, although Rust takes it for one.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let none = || Problem::new(Code::InvalidSpec, "an event has a number", "ask for /v1/events/0 first");
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(none)
}

fn vm_id(text: &str) -> Result<VmId, Problem> {
    text.parse().map_err(|invalid| Problem::from(&invalid))
}

fn gone(id: &VmId) -> Problem {
    Problem::new(Code::UnknownVm, format!("{id} was deleted meanwhile"), "`garant vm list` shows those that there are")
}

fn json(status: u16, body: &impl Serialize) -> Result<Answer, Problem> {
    let broken =
        |_| Problem::new(Code::Busy, "an answer of ours cannot be written", "report this: it is an error in garantd");
    Ok(Answer::new(status, vm::MEDIA_TYPE, serde_json::to_vec(body).map_err(broken)?))
}
