//! Decides what a machine's bytes mean: identity, quote, boot log, ledger, policy, verdict.
//!
//! No clock, no randomness, no I/O and no cryptography of its own: all are arguments.
#![no_std]
extern crate alloc;

pub mod budget;
pub mod cbor;
pub mod cose;
pub mod counters;
pub mod ear;
pub mod engine;
pub mod enrolment;
pub mod evidence;
pub mod identity;
pub mod ima;
pub mod ledger;
pub mod measured;
pub mod merkle;
pub mod pe;
pub mod policy;
mod policy_values;
pub mod public_area;
pub mod quote;
pub mod replay;
#[cfg(feature = "rust-engine")]
pub mod rust_engine;
mod spki;
pub mod uki;
pub mod verdict;
pub mod verify;
pub mod wire;
