//! What a VM request, state, event and error look like: JSON over HTTP, for the node that answers and for whoever asks.
//!
//! Everything that a client sends is checked while it is parsed, so that who holds a value here need not check it again.
//! Left out: the transport, and what a node does with a request.
#![no_std]
extern crate alloc;

pub mod budget;
pub mod client;
mod clip;
pub mod error;
pub mod event;
mod field;
mod list;
pub mod node;
mod number;
pub mod openapi;
pub mod problem;
pub mod spec;
mod text;
pub mod vm;
