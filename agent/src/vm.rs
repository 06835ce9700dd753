//! Runs VMs: turns what was asked for into a VMM's arguments, and speaks with the VMM.
//!
//! Left out: who may ask, and what follows what.

pub mod images;
pub mod overlay;
pub mod plan;
pub mod qmp;
#[cfg(test)]
mod real_qemu;
pub mod tsc;
