//! Reads and writes the bytes a machine speaks: TPM commands, event log, IMA list, SMBIOS.
//!
//! No allocation, no I/O: devices are traits, and a parser borrows what it is given.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod budget;
mod event_type;
pub mod eventdata;
pub mod eventlog;
pub mod hash;
pub mod ima;
mod reader;
pub mod smbios;
pub mod tpm;
