//! Kills a process at one of its steps. A step is the beginning or the end of a system call of any of its threads, so that
//! all steps together are every moment at which the rest of the machine can tell how far it came.

use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// What became of a process that was watched.
pub struct Watched<T> {
    /// What was done meanwhile gave this.
    pub result: T,
    /// So many steps it did meanwhile, at most those until its death.
    pub steps: u64,
}

/// Runs `act` and kills the process before its step number `step`, or after `act`, whatever comes first.
pub fn kill_at_step<T>(process: u32, step: u64, act: impl FnOnce() -> T) -> Watched<T> {
    let process = Pid::from_raw(process.try_into().expect("a process id"));
    let (is_followed, is_done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        // A thread of its own has no children but those that it follows.
        let following = scope.spawn(|| {
            seize(process);
            is_followed.store(true, Ordering::Release);
            follow(process, step, &is_done)
        });
        while !is_followed.load(Ordering::Acquire) && !following.is_finished() {
            thread::sleep(PAUSE);
        }
        let result = act();
        is_done.store(true, Ordering::Release);
        Watched { result, steps: following.join().expect("a process is followed to its end") }
    })
}

/// Has all threads stop at their steps. One that begins meanwhile is its maker's child, and followed as such.
fn seize(process: Pid) {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the process lives");
    for thread in threads {
        let name = thread.expect("a thread").file_name();
        let thread = Pid::from_raw(name.to_str().and_then(|name| name.parse().ok()).expect("a thread id"));
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE;
        if ptrace::seize(thread, options).is_ok() {
            ptrace::interrupt(thread).expect("a thread that is followed can be interrupted");
        }
    }
}

/// Lets it go on from step to step, up to its end.
fn follow(process: Pid, step: u64, is_done: &AtomicBool) -> u64 {
    let mut steps = 0;
    let mut is_killed = false;
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
    loop {
        if !is_killed && (steps >= step || is_done.load(Ordering::Acquire)) {
            kill(process, Signal::SIGKILL).expect("it can be killed");
            is_killed = true;
        }
        match waitpid(None, Some(flags)) {
            Ok(WaitStatus::PtraceSyscall(thread)) => {
                steps += u64::from(!is_killed);
                if is_killed || steps < step {
                    let _ = ptrace::syscall(thread, None);
                }
            }
            Ok(WaitStatus::Stopped(thread, signal)) => {
                let _ = ptrace::syscall(thread, Some(signal));
            }
            Ok(WaitStatus::PtraceEvent(thread, ..)) => {
                let _ = ptrace::syscall(thread, None);
            }
            Ok(WaitStatus::StillAlive) => thread::sleep(PAUSE),
            Ok(_) => {}
            Err(Errno::ECHILD) => return steps,
            Err(errno) => panic!("waiting for a followed process: {errno}"),
        }
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_micros(20);
