//! What went wrong with a VM, as its caller is told: who is at fault, and what to do.

use crate::{
    ledger::LedgerError,
    vm::{images::ImageError, launch::LaunchError},
};
use garant_api::problem::{Code, Problem};

/// A start that came to nothing.
pub fn not_started(error: &LaunchError) -> Problem {
    match error {
        LaunchError::Image(ImageError::Unknown(_)) => {
            Problem::new(Code::UnknownImage, error, "add it to the node's store: `garant image add`")
        }
        LaunchError::NoNetwork => Problem::new(Code::UnknownNetwork, error, "give the VM another spec"),
        LaunchError::Image(_) => Problem::new(Code::ImageDigest, error, "add the image anew: `garant image add`"),
        LaunchError::NoStateDisk => Problem::new(Code::NotAllowed, error, "set state_dir, or make the disk read_only"),
        LaunchError::Ledger(error) => not_written(error),
        LaunchError::TooLarge(_) => Problem::new(Code::InvalidSpec, error, "use a smaller image"),
        LaunchError::Keeper(_) | LaunchError::System(_) => {
            Problem::new(Code::Busy, error, "ask again; the node's log says more")
        }
        LaunchError::Accelerator(error) => error.into(),
        LaunchError::Vmm(error) => vmm_failed(&error.to_string()),
    }
}

/// The VMM did not do it.
pub fn vmm_failed(why: &str) -> Problem {
    Problem::new(Code::VmmFailed, why, "look at the VM's console and at the node's log")
}

/// The ledger did not take it.
pub fn not_written(error: &LedgerError) -> Problem {
    Problem::new(Code::NoTpm, error, "look at the node's TPM; nothing runs that it does not show")
}

/// What we wrote is none of ours.
pub fn ours() -> Problem {
    Problem::new(Code::Busy, "a record of ours cannot be written", "report this: it is an error in garantd")
}
