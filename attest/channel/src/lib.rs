//! Carries messages: TLS 1.3 with raw public keys, the binder, HTTP framing, the fast crypto engine.

pub mod engine;
