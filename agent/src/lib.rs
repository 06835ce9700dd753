//! Is the node: keeper and server, two processes of one binary.

pub mod budget;
pub mod config;
pub mod inherited;
pub mod tpm_chip;
pub mod tpm_device;
pub mod tpm_queue;
pub mod tpm_task;
