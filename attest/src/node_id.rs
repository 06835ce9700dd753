//! What a node is called: the key id of its certified EK, so that one chip has one name whatever it claims.

use crate::{
    ek::CertifiedEk,
    engine::{Engine, PublicKey},
};
use core::{fmt, str::FromStr};

/// SHA-256 of the SubjectPublicKeyInfo of a node's certified EK, ECC before RSA. The SubjectPublicKeyInfo is encoded
/// anew from the key, so that two certificates for one key (id-RSAES-OAEP and rsaEncryption) give one id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

impl NodeId {
    /// The id of the chip with these EKs, in whatever order they come; `None` for a chip without any.
    pub fn of(engine: &dyn Engine, eks: &[CertifiedEk]) -> Option<NodeId> {
        let ids = eks.iter().filter_map(|ek| Some((rank(ek.public_key()), ek.public_key().id(engine)?)));
        ids.min().map(|(_, id)| NodeId(id))
    }

    /// The id in these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> NodeId {
        NodeId(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// ECC before RSA, the shorter before the longer.
fn rank(key: &PublicKey) -> usize {
    match key {
        PublicKey::P256(_) => 0,
        PublicKey::P384(_) => 1,
        PublicKey::P521(_) => 2,
        PublicKey::Ed25519(_) => 3,
        PublicKey::Rsa { modulus, .. } => modulus.len(),
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 hexadecimal digits; who wrote it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANodeId;

impl fmt::Display for NotANodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node id is 64 hexadecimal digits")
    }
}

impl core::error::Error for NotANodeId {}

impl FromStr for NodeId {
    type Err = NotANodeId;

    fn from_str(text: &str) -> Result<NodeId, NotANodeId> {
        let mut bytes = [0; 32];
        let mut digits = text.bytes();
        for byte in &mut bytes {
            let mut nibble = || char::from(digits.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (high, low) = (nibble().ok_or(NotANodeId)?, nibble().ok_or(NotANodeId)?);
            *byte = high << 4 | low;
        }
        if digits.next().is_none() { Ok(NodeId(bytes)) } else { Err(NotANodeId) }
    }
}
