//! Checks the others: end to end, vectors, attacks, fuzz, benches.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests"
)]

pub mod qemu;
pub mod forge;
pub mod swtpm;
pub mod uefi_variables;

pub mod vectors;
