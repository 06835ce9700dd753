//! Who may ask for VMs over TLS, and how much of the node each may have. Verifiers are another list (`allow`).

use super::VerifierKey;
use crate::budget::VM_CLIENTS;
use garant_api::client::{ClientName, Role};
use serde::Deserialize;

/// A client: a key, and what its holder may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmClient {
    /// Its key, which its TLS handshake proves.
    pub key: VerifierKey,
    /// What it is called; the owner of the VMs that it defines.
    pub name: ClientName,
    /// What it may do.
    pub role: Role,
    /// VMs that may be its own at a time. Left out: as many as the node may have.
    pub count: Option<usize>,
    /// Memory of its VMs that run, together. Left out: as much as the node may use.
    pub memory_mib: Option<u64>,
    /// vCPUs of its VMs that run, together. Left out: any number.
    pub vcpus: Option<u64>,
    /// Entries that it may have written into the ledger of one boot. Left out: any number.
    pub entries: Option<u64>,
}

/// How much of a node a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// VMs of its own.
    pub count: usize,
    /// Memory of those that run.
    pub memory_mib: u64,
    /// vCPUs of those that run.
    pub vcpus: u64,
    /// What it may have written down in one boot.
    pub entries: u64,
}

impl Quota {
    /// What a client has that the configuration does not bound.
    pub const UNBOUNDED: Quota = Quota { count: usize::MAX, memory_mib: u64::MAX, vcpus: u64::MAX, entries: u64::MAX };
}

impl VmClient {
    /// How much of the node it may have.
    pub fn quota(&self) -> Quota {
        Quota {
            count: self.count.unwrap_or(Quota::UNBOUNDED.count),
            memory_mib: self.memory_mib.unwrap_or(Quota::UNBOUNDED.memory_mib),
            vcpus: self.vcpus.unwrap_or(Quota::UNBOUNDED.vcpus),
            entries: self.entries.unwrap_or(Quota::UNBOUNDED.entries),
        }
    }
}

/// Whether each has a key and a name of its own, and there are no more than are kept.
pub(super) fn are_apart(clients: &[VmClient]) -> bool {
    let is_first = |(at, client): (usize, &VmClient)| {
        clients.iter().take(at).all(|other| other.key != client.key && other.name != client.name)
    };
    clients.len() <= VM_CLIENTS && clients.iter().enumerate().all(is_first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use crate::config::{ConfigError, Configuration};

    fn parse(clients: &str) -> Result<Configuration, ConfigError> {
        let vms = "[vms]\nimages = '/i'\naccelerators = ['tcg']\nmemory_mib = 1\n";
        Configuration::parse(format!("{vms}{clients}").as_bytes())
    }

    fn client(key: usize, name: &str) -> String {
        format!("[[vms.client]]\nkey = '{key:064x}'\nname = '{name}'\nrole = 'tenant'\n")
    }

    #[test]
    fn two_clients_of_one_key_or_one_name_and_more_than_are_kept_are_refused() {
        let of = |clients: &[String]| parse(&clients.concat());
        assert_eq!(of(&[client(1, "a"), client(2, "b")]).unwrap().vms.unwrap().client.len(), 2);
        assert_eq!(of(&[client(1, "a"), client(2, "a")]), Err(ConfigError::Clients));
        assert_eq!(of(&[client(1, "a"), client(1, "b")]), Err(ConfigError::Clients));
        let many = |count: usize| (0..count).map(|at| client(at, &format!("c{at}"))).collect::<Vec<String>>();
        assert!(of(&many(256)).is_ok());
        assert_eq!(of(&many(257)), Err(ConfigError::Clients));
    }

    #[test]
    fn a_client_with_a_role_or_a_name_that_is_none_is_refused() {
        let one = client(1, "a");
        assert!(parse(&one.replace("tenant", "admin")).is_err());
        assert!(parse(&one.replace("'a'", "'A b'")).is_err());
        assert!(parse(&one.replace("role = 'tenant'", "")).is_err());
    }
}
