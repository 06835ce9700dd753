//! Decides what a machine's bytes mean: identity, quote, boot log, ledger, policy, verdict.
//!
//! No clock, no randomness, no I/O and no cryptography of its own: all are arguments.
#![no_std]
extern crate alloc;

pub mod appraise;
pub mod budget;
pub mod carried;
pub mod cbor;
pub mod certificate;
pub mod chain;
pub mod cose;
pub mod counters;
pub mod crl;
pub mod ear;
pub mod ek;
pub mod endorsement;
pub mod engine;
pub mod enrolment;
pub mod event_policy;
pub mod event_words;
pub mod evidence;
pub mod identity;
pub mod ima;
pub mod ima_policy;
pub mod image;
pub mod ledger;
pub mod measured;
pub mod merkle;
pub mod node_id;
mod num;
pub mod owner;
pub mod parts;
pub mod pcr_policy;
pub mod pe;
pub mod pem;
pub mod place;
pub mod platform_certificate;
pub mod policy;
pub mod policy_values;
pub mod public_area;
pub mod quote;
pub mod replay;
pub mod roca;
pub mod roots;
#[cfg(feature = "rust-engine")]
pub mod rust_engine;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, clippy::arithmetic_side_effects)]
mod samples;
pub mod secure_boot;
mod signed;
mod spki;
pub mod statement;
pub mod tcg_names;
pub mod tlog;
pub mod uki;
pub mod verdict;
pub mod verify;
pub mod wire;
pub mod workload;
