//! Checks the others: end to end, vectors, attacks, fuzz, benches.

pub mod agent_bench;
pub mod asker;
pub mod bare_server;
pub mod chain_world;
pub mod closed_boot;
pub mod crafted_log;
pub mod example_world;
pub mod floors;
pub mod forge;
pub mod garant;
pub mod garantd;
pub mod impostor;
pub mod killer;
pub mod landmark;
pub mod place_world;
pub mod qemu;
pub mod scene;
pub mod share_contest;
pub mod share_oracle;
pub mod slow_tpm;
pub mod swtpm;
pub mod uefi_variables;
pub mod vectors;
pub mod verifier;
pub mod vms;
pub mod world;
