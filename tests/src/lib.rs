//! Checks the others: end to end, vectors, attacks, fuzz, benches.

pub mod forge;
pub mod impostor;
pub mod qemu;
pub mod swtpm;
pub mod uefi_variables;

pub mod vectors;
