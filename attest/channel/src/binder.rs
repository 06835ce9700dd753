//! The binder: 32 bytes that both ends of one TLS connection can compute and nobody else, so that an answer made for
//! this connection verifies on no other.

use crate::error::ChannelError;
use garant_attest::wire::Kind;
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

/// Private labels start with `EXPERIMENTAL` (RFC 5705 §4).
const LABEL: &[u8] = b"EXPERIMENTAL garant/1";
