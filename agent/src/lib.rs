//! Is the node: keeper and server, two processes of one binary.

pub mod budget;
pub mod tpm_device;
