//! The one task that owns the TPM: a thread that takes from [`TpmQueue`] and acts, and the handle by which others ask it.
//!
//! Left out: what goes into extraData. Whoever wants a quote hands in a closure, which runs when the quote starts and takes
//! all challenges that wait at that moment, so that one signature serves them all.

use crate::{
    tpm_chip::{Chip, ChipError, Credential, Endorsements, QuoteWithValues},
    tpm_queue::{Class, Next, TpmQueue},
};
use aws_lc_rs::hmac;
use garant_hw::tpm::{TpmError, Transport};
use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};
use tokio::sync::oneshot;

/// Asks the TPM's task. Clones ask the same task; it ends when the last is gone.
#[derive(Clone)]
pub struct TpmClient {
    waiting: Arc<Waiting>,
    _alive: Arc<Alive>,
}

/// Who sends a credential challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A verifier that the configuration names.
    Known,
    /// Anybody else.
    Stranger,
}

/// Why a request to the TPM's task has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskError {
    /// Too many wait already, or PCRs do not hold still; to be tried later.
    Busy,
    /// The TPM is gone, and the task with it.
    Gone,
    /// The TPM's answer to this request.
    Chip(ChipError),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Busy => f.write_str("the TPM is busy, try again"),
            TaskError::Gone => f.write_str("the TPM is gone"),
            TaskError::Chip(_) => f.write_str("the TPM did not answer the request"),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TaskError::Chip(source) => Some(source),
            _ => None,
        }
    }
}

/// Starts the task. The receiver gets the error that ended it, or closes when the last client is gone: a server without a
/// TPM has nothing to say and ends, and the keeper starts another with the TPM opened anew.
pub fn start<T: Transport + Send + 'static>(chip: Chip<T>) -> io::Result<(TpmClient, oneshot::Receiver<TpmError>)> {
    let waiting = Arc::new(Waiting { state: Mutex::new(State::default()), changed: Condvar::new() });
    let client = TpmClient { waiting: waiting.clone(), _alive: Arc::new(Alive(waiting.clone())) };
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("tpm".to_owned()).spawn(move || run(chip, &waiting, ended))?;
    Ok((client, end))
}

impl TpmClient {
    /// Extends the ledger PCR by H_bank(statement), in every allocated bank. `then` runs in the task right after the command,
    /// before any quote.
    pub async fn extend(&self, statement: Vec<u8>, then: impl FnOnce() + Send + 'static) -> Result<(), TaskError> {
        let then = Box::new(then);
        self.ask(Class::Extend, |reply| Job::Extend { statement, then, reply }).await
    }

    /// A quote over all PCRs. `extra_data` runs in the task right before the command.
    pub async fn quote(
        &self,
        extra_data: impl FnOnce() -> [u8; 32] + Send + 'static,
    ) -> Result<QuoteWithValues, TaskError> {
        let extra_data = Box::new(extra_data);
        self.ask(Class::Quote, |reply| Job::Quote { extra_data, reply }).await
    }

    /// EK certificates and chain from NV; read once, then remembered.
    pub async fn endorsements(&self) -> Result<Arc<Endorsements>, TaskError> {
        self.ask(Class::Other, |reply| Job::Endorsements { reply }).await
    }

    /// Activates each credential for the AK and answers HMAC-SHA256(secret, statement); the secrets do not leave the task.
    pub async fn activate(
        &self,
        asker: Asker,
        credentials: Vec<Credential>,
        statement: Vec<u8>,
    ) -> Result<Vec<[u8; 32]>, TaskError> {
        let class = match asker {
            Asker::Known => Class::Other,
            Asker::Stranger => Class::Stranger,
        };
        let (credentials, proofs) = (credentials.into(), Vec::new());
        self.ask(class, |reply| Job::Activate(Activation { credentials, statement, proofs, reply })).await
    }

    async fn ask<A>(&self, class: Class, job: impl FnOnce(Reply<A>) -> Job) -> Result<A, TaskError> {
        let (reply, answer) = oneshot::channel();
        self.waiting.push(class, job(reply))?;
        answer.await.unwrap_or(Err(TaskError::Gone))
    }
}

type Reply<A> = oneshot::Sender<Result<A, TaskError>>;

enum Job {
    Extend { statement: Vec<u8>, then: Box<dyn FnOnce() + Send>, reply: Reply<()> },
    Quote { extra_data: Box<dyn FnOnce() -> [u8; 32] + Send>, reply: Reply<QuoteWithValues> },
    Endorsements { reply: Reply<Arc<Endorsements>> },
    Activate(Activation),
}

/// One EK at a time: extends that came meanwhile go before the next.
struct Activation {
    credentials: VecDeque<Credential>,
    statement: Vec<u8>,
    proofs: Vec<[u8; 32]>,
    reply: Reply<Vec<[u8; 32]>>,
}

#[derive(Default)]
struct State {
    queue: TpmQueue<Job>,
    ended: bool,
}

struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

/// Ends the task when the last client goes.
struct Alive(Arc<Waiting>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Waiting {
    fn push(&self, class: Class, job: Job) -> Result<(), TaskError> {
        let mut state = self.lock();
        if state.ended {
            return Err(TaskError::Gone);
        }
        state.queue.push(class, job).map_err(|_| TaskError::Busy)?;
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next job; `None` when nobody will ask any more.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            state = match state.queue.next(Instant::now()) {
                Next::Run(job) => return Some(job),
                Next::After(time) => self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
                Next::Idle => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes no more jobs, and drops those that wait: their askers see that the task is gone.
    fn end(&self) {
        let jobs: Vec<Job> = {
            let mut state = self.lock();
            state.ended = true;
            state.queue.drain().collect()
        };
        drop(jobs);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run<T: Transport>(chip: Chip<T>, waiting: &Waiting, ended: oneshot::Sender<TpmError>) {
    let mut owner = Owner { chip, endorsements: None };
    while let Some(job) = waiting.next() {
        if let Err(error) = owner.act(job, waiting) {
            log::error!("TPM gone: {error}; the task ends");
            waiting.end();
            let _ = ended.send(error);
            return;
        }
    }
}

struct Owner<T> {
    chip: Chip<T>,
    endorsements: Option<Arc<Endorsements>>,
}

impl<T: Transport> Owner<T> {
    /// Acts and replies; an error is the TPM's end.
    fn act(&mut self, job: Job, waiting: &Waiting) -> Result<(), TpmError> {
        match job {
            Job::Extend { statement, then, reply } => {
                answer(reply, self.chip.extend_ledger(&statement).map(|()| then()))
            }
            Job::Quote { extra_data, reply } => answer(reply, self.chip.quote(&extra_data())),
            Job::Endorsements { reply } => answer(reply, self.endorsements()),
            Job::Activate(activation) => self.activate(activation, waiting),
        }
    }

    fn endorsements(&mut self) -> Result<Arc<Endorsements>, ChipError> {
        if let Some(known) = &self.endorsements {
            return Ok(known.clone());
        }
        let read = Arc::new(self.chip.endorsements()?);
        self.endorsements = Some(read.clone());
        Ok(read)
    }

    fn activate(&mut self, mut activation: Activation, waiting: &Waiting) -> Result<(), TpmError> {
        let Some(credential) = activation.credentials.pop_front() else {
            return answer(activation.reply, Ok(activation.proofs));
        };
        match self.activate_one(&credential, &activation.statement) {
            Ok(proof) => activation.proofs.push(proof),
            Err(error) => return answer(activation.reply, Err(error)),
        }
        if activation.credentials.is_empty() {
            return answer(activation.reply, Ok(activation.proofs));
        }
        waiting.lock().queue.push_rest(Job::Activate(activation));
        Ok(())
    }

    fn activate_one(&mut self, credential: &Credential, statement: &[u8]) -> Result<[u8; 32], ChipError> {
        let certificate_index = credential.certificate_index;
        let endorsements = self.endorsements()?;
        let mut keys = endorsements.keys.iter();
        let ek = keys.find(|key| key.certificate_index == certificate_index);
        let ek = ek.ok_or(ChipError::UnknownEk { certificate_index })?;
        self.chip.activate(ek, credential, |secret| prove(secret, statement))
    }
}

fn prove(secret: &[u8], statement: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), statement);
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Sends the answer; an asker that has gone away needs none. Only a transport that failed is an error here.
fn answer<A>(reply: Reply<A>, result: Result<A, ChipError>) -> Result<(), TpmError> {
    let (reported, end) = match result {
        Ok(value) => (Ok(value), Ok(())),
        Err(ChipError::Tpm(error @ TpmError::Transport { .. })) => (Err(TaskError::Gone), Err(error)),
        Err(ChipError::Moving) => (Err(TaskError::Busy), Ok(())),
        Err(error) => (Err(TaskError::Chip(error)), Ok(())),
    };
    let _ = reply.send(reported);
    end
}
