//! The binder: 32 bytes that both ends of one TLS connection can compute and nobody else, so that an answer made for
//! this connection verifies on no other.

use crate::error::ChannelError;
use garant_attest::{
    place::timing::{EXPORTED_BYTES, TimingSecret},
    wire::Kind,
};
use rustls::ConnectionCommon;

/// For askers without TLS ([`Kind::None`]): they say so, and the verdict too.
pub const NO_BINDER: [u8; 32] = [0; 32];

/// The exporter of RFC 8446 §7.5 with the kind as context. It is computed from the own connection, never taken from a
/// message; with another kind it is another value.
pub fn binder<D>(connection: &ConnectionCommon<D>, kind: Kind) -> Result<[u8; 32], ChannelError> {
    if connection.is_handshaking() {
        return Err(ChannelError::NoBinder);
    }
    Ok(connection.export_keying_material([0; 32], LABEL, Some(kind.text().as_bytes()))?)
}

/// What a landmark and a node share for their datagrams: the same exporter under a label of its own, with F, the key
/// that the node showed in this handshake, as context.
pub fn timing_secret<D>(
    connection: &ConnectionCommon<D>,
    session_key: &[u8; 32],
) -> Result<TimingSecret, ChannelError> {
    if connection.is_handshaking() {
        return Err(ChannelError::NoBinder);
    }
    let exported = connection.export_keying_material([0; EXPORTED_BYTES], TIMING_LABEL, Some(session_key))?;
    Ok(TimingSecret::new(&exported))
}

/// Private labels start with `EXPERIMENTAL` (RFC 5705 §4).
const LABEL: &[u8] = b"EXPERIMENTAL garant/1";
const TIMING_LABEL: &[u8] = b"EXPERIMENTAL garant/time/1";
