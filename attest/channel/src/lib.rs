//! Carries messages: TLS 1.3 with raw public keys, the binder, HTTP framing, the fast crypto engine.

pub mod binder;
pub mod budget;
pub mod engine;
pub mod error;
pub mod gate;
pub mod http;
pub mod key;
mod stall;
pub mod tls;
