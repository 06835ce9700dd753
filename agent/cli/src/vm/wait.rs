//! Waiting until a VM is in the state that was asked for.

use super::client::Client;
use crate::failure::Failure;
use garant_api::{
    problem::Code,
    spec::VmId,
    vm::{State, Verb, Vm},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to wait.
#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    /// Wait until it is done, not only accepted.
    #[arg(long)]
    wait: bool,
    /// Seconds after which to give up waiting.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
    timeout: u64,
}

impl WaitArgs {
    /// The VM as it was answered, or once it is where this verb leads, if that was asked for.
    pub(super) async fn until(&self, verb: Verb, answered: Vm, client: &mut Client) -> Result<Vm, Failure> {
        if !self.wait {
            return Ok(answered);
        }
        let limit = Duration::from_secs(self.timeout);
        let started = Instant::now();
        let mut pause = PAUSE_MIN;
        let (id, generation) = (answered.id.clone(), answered.generation);
        let mut known = answered;
        loop {
            match step(verb, generation, &known) {
                Step::Done => return Ok(known),
                Step::Never(why) => return Err(failed(&known, &why)),
                Step::NotYet if started.elapsed() >= limit => return Err(late(&known, self.timeout)),
                Step::NotYet => {}
            }
            sleep(pause.min(limit.saturating_sub(started.elapsed()))).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
            known = now(&id, known, verb, client).await?;
        }
    }
}

/// What is known of the VM now. A server that is being restarted says nothing, which changes nothing.
async fn now(id: &VmId, known: Vm, verb: Verb, client: &mut Client) -> Result<Vm, Failure> {
    match client.get(id).await {
        Ok(vm) => Ok(vm),
        Err(gone) if gone.is(Code::UnknownVm) && verb == Verb::Delete => Ok(Vm { state: State::Deleted, ..known }),
        Err(away) if away.is_away() => Ok(known),
        Err(no_answer) => Err(client.failure(id, &no_answer)),
    }
}

/// Whether to go on waiting.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Done,
    NotYet,
    /// It will not come.
    Never(String),
}

fn step(verb: Verb, generation: u64, vm: &Vm) -> Step {
    let has_ended = matches!(vm.state, State::Stopped | State::Failed | State::Deleted);
    let is_there = match verb {
        Verb::Start | Verb::Resume => vm.state == State::Running,
        Verb::Pause => vm.state == State::Paused,
        Verb::Stop => has_ended,
        Verb::Delete => vm.state == State::Deleted,
    };
    if vm.generation != generation {
        return Step::Never(format!("it was replaced by generation {}", vm.generation));
    }
    match (is_there, has_ended, verb) {
        (true, ..) => Step::Done,
        (_, true, Verb::Start | Verb::Pause | Verb::Resume) => {
            Step::Never(vm.reason.clone().unwrap_or_else(|| "no reason is known".to_owned()))
        }
        _ => Step::NotYet,
    }
}

fn failed(vm: &Vm, why: &str) -> Failure {
    let next = format!("`garant vm console {}` shows what the guest said at last", vm.id);
    Failure::new(format!("the VM is {}: {why}", vm.state), &vm.id, next)
}

fn late(vm: &Vm, seconds: u64) -> Failure {
    let next = "wait longer with --timeout, or `garant vm watch`";
    Failure::new(format!("the VM is still {} after {seconds} s", vm.state), &vm.id, next)
}

/// Between two questions: a start from nothing takes 40 ms, and a question 0.1.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(generation: u64, state: &str) -> Vm {
        let zeros = "0".repeat(64);
        let json = format!(
            r#"{{"id":"a","generation":{generation},"state":"{state}","reason":"why","times":{{"accepted":0}},
            "spec":{{"vcpus":1,"memory_mib":64,"kernel":{{"image":"sha256:{zeros}","command_line":""}}}}}}"#
        );
        serde_json::from_str(&json).unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn each_verb_is_done_in_its_own_states_and_hopeless_in_others() {
        let never = || Step::Never("why".to_owned());
        for (verb, done, hopeless) in [
            (Verb::Start, &["running"][..], &["stopped", "failed", "deleted"][..]),
            (Verb::Resume, &["running"], &["stopped", "failed", "deleted"]),
            (Verb::Pause, &["paused"], &["stopped", "failed", "deleted"]),
            (Verb::Stop, &["stopped", "failed", "deleted"], &[]),
            (Verb::Delete, &["deleted"], &[]),
        ] {
            for state in ["defined", "starting", "running", "paused", "stopping", "stopped", "failed", "deleted"] {
                let expected = match state {
                    _ if done.contains(&state) => Step::Done,
                    _ if hopeless.contains(&state) => never(),
                    _ => Step::NotYet,
                };
                assert_eq!(step(verb, 1, &vm(1, state)), expected, "{verb} {state}");
            }
        }
    }

    #[test]
    fn another_generation_is_not_the_vm_that_is_waited_for() {
        assert_eq!(step(Verb::Start, 1, &vm(2, "running")), Step::Never("it was replaced by generation 2".to_owned()));
    }
}
