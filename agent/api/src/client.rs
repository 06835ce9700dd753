//! Who asks: the name and role that a node's configuration gives to a key.

use crate::{
    budget::CLIENT_NAME_BYTES,
    error::{CLIENT_NAME, Invalid},
    text::text,
};
use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See all VMs, and change none.
    Viewer,
    /// Do everything with its own VMs; others are not there for it.
    Tenant,
    /// Do everything with all VMs.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Tenant, Role::Operator];

    /// The word that JSON and the configuration have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Tenant => "tenant",
            Role::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

text! {
    /// The name of a client, by the node's configuration: 1 to 63 of `a-z 0-9 -`, the first a letter or a digit.
    ClientName(String), CLIENT_NAME
}

impl ClientName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<ClientName, Invalid> {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = text.len() <= CLIENT_NAME_BYTES && text.bytes().all(is_inner) && !text.starts_with('-');
        if is_name && !text.is_empty() { Ok(ClientName(text.to_owned())) } else { Err(Invalid::client_name(text)) }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_name_is_a_label_and_nothing_else() {
        let longest = "a".repeat(CLIENT_NAME_BYTES);
        for good in ["a", "0-b", &longest] {
            assert_eq!(good.parse::<ClientName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a.b", "a/b", "ä", &format!("{longest}a")] {
            assert!(bad.parse::<ClientName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_role_has_the_same_name_for_people_and_in_json() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
    }
}
