//! Runs VMs: one task for each, which turns what is asked into a VMM, speaks with it, and writes down what it does.

pub mod abilities;
pub mod accelerators;
pub mod actor;
pub mod addresses;
mod admission;
pub mod answers;
pub mod board;
pub mod checks;
pub mod claim;
pub mod clients;
pub mod endings;
pub mod faults;
pub mod images;
pub mod launch;
pub mod limits;
pub mod link;
pub mod overlay;
pub mod paths;
pub mod plan;
pub mod pool;
pub mod qmp;
pub mod quota;
#[cfg(test)]
mod real_qemu;
pub mod recovery;
pub mod run;
pub mod shape;
pub mod stream;
pub mod tsc;
pub mod wiring;
