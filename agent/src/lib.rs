//! Is the node: keeper and server, two processes of one binary.

pub mod batch;
pub mod budget;
pub mod config;
pub mod descriptors;
pub mod entry_zero;
pub mod evidence;
pub mod inherited;
pub mod keeper;
pub mod landmarks;
pub mod ledger;
pub mod listen;
pub mod lockdown;
pub mod logging;
pub mod machine;
pub mod mor;
pub mod netlink;
pub mod network;
pub mod notify;
pub mod pid1;
pub mod push;
pub mod quoting;
pub mod routes;
pub mod server;
pub mod session;
pub mod sources;
pub mod statements;
#[allow(unsafe_code, reason = "system calls without a safe function")]
mod sys;
pub mod timing;
pub mod tpm_chip;
pub mod tpm_device;
pub mod tpm_queue;
pub mod tpm_task;
pub mod vm;
pub mod vmm;
