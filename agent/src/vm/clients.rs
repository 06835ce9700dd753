//! Who asks for VMs: somebody on the node's own socket, or the holder of a key that the configuration lists. Left out: how
//! the key is proven (`listen`), and how much a client may have (`quota`).

use crate::config::VmClient;
use garant_api::{
    client::{ClientName, Role},
    problem::{Code, Problem},
};
use garant_attest::{engine::PublicKey, ledger::Asker};
use garant_channel::engine::FastEngine;
use std::{collections::BTreeMap, fmt};

/// Somebody who may ask. Holding one proves that the configuration gives this role to a key which the connection proved, or
/// that the connection came over the node's own socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    role: Role,
    name: Option<ClientName>,
    asker: Asker,
}

impl Caller {
    /// Somebody on the node's own socket, whom its file's permissions let in.
    pub const LOCAL: Caller = Caller { role: Role::Operator, name: None, asker: Asker::Local };

    /// What the configuration calls it; nothing on the node's own socket.
    pub fn name(&self) -> Option<&ClientName> {
        self.name.as_ref()
    }

    /// Who the ledger says has asked.
    pub fn asker(&self) -> Asker {
        self.asker
    }

    /// Whether VMs of this owner are there for it.
    pub fn sees(&self, owner: Option<&ClientName>) -> bool {
        match self.role {
            Role::Viewer | Role::Operator => true,
            Role::Tenant => owner.is_some() && owner == self.name(),
        }
    }

    /// Refuses whoever has only some of the VMs.
    pub fn may_look(&self) -> Result<(), Problem> {
        match self.role {
            Role::Viewer | Role::Operator => Ok(()),
            Role::Tenant => {
                let what = format!("{self} is a tenant, which sees its own VMs and not the node");
                Err(Problem::new(Code::NotAllowed, what, "ask with the key of a viewer or an operator"))
            }
        }
    }

    /// Refuses whoever may only look.
    pub fn may_change(&self) -> Result<(), Problem> {
        match self.role {
            Role::Tenant | Role::Operator => Ok(()),
            Role::Viewer => {
                let what = format!("{self} is a viewer, which changes nothing");
                Err(Problem::new(Code::NotAllowed, what, "ask with the key of a tenant or an operator"))
            }
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => name.fmt(f),
            None => f.write_str("local"),
        }
    }
}

/// Those whom the configuration lists, by their keys.
#[derive(Debug, Default)]
pub struct Clients {
    callers: BTreeMap<[u8; 32], Caller>,
}

impl Clients {
    /// These.
    pub fn new(clients: &[VmClient]) -> Clients {
        let caller = |client: &VmClient| {
            let id = PublicKey::Ed25519(client.key.0).id(&FastEngine)?;
            let caller = Caller { role: client.role, name: Some(client.name.clone()), asker: Asker::Key(id) };
            Some((client.key.0, caller))
        };
        Clients { callers: clients.iter().filter_map(caller).collect() }
    }

    /// Who has this key.
    pub fn caller(&self, key: &[u8; 32]) -> Option<Caller> {
        self.callers.get(key).cloned()
    }

    /// Who the ledger says has asked, where a client did.
    pub fn named(&self, asker: Asker) -> Option<&ClientName> {
        self.callers.values().find(|caller| caller.asker == asker)?.name()
    }
}

/// What somebody is told who is no client.
pub fn not_a_client() -> Problem {
    let next = "ask on the node's own socket, or with a key that [[vms.client]] of its configuration lists";
    Problem::new(Code::NotAllowed, "VMs are for clients of this node", next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod tests {
    use super::*;

    /// A client of this name, which is also its key.
    pub(crate) fn caller(name: &str, role: Role) -> Caller {
        let key = name.bytes().next().unwrap_or_default();
        Caller { role, name: Some(name.parse().unwrap()), asker: Asker::Key([key; 32]) }
    }

    #[test]
    fn a_tenant_sees_its_own_vms_and_neither_another_s_nor_nobody_s() {
        let (own, other) = ("shop".parse().unwrap(), "bank".parse().unwrap());
        let tenant = caller("shop", Role::Tenant);
        assert!(tenant.sees(Some(&own)) && !tenant.sees(Some(&other)) && !tenant.sees(None));
        for role in [Role::Viewer, Role::Operator] {
            let all = caller("ops", role);
            assert!(all.sees(Some(&own)) && all.sees(None));
        }
        assert!(Caller::LOCAL.sees(Some(&own)) && Caller::LOCAL.sees(None));
    }

    #[test]
    fn a_tenant_alone_does_not_look_at_the_node() {
        assert!(caller("t", Role::Tenant).may_look().is_err());
        for may in [caller("v", Role::Viewer), caller("o", Role::Operator), Caller::LOCAL] {
            assert!(may.may_look().is_ok());
        }
    }

    #[test]
    fn a_viewer_alone_changes_nothing() {
        assert!(caller("v", Role::Viewer).may_change().is_err());
        for may in [caller("t", Role::Tenant), caller("o", Role::Operator), Caller::LOCAL] {
            assert!(may.may_change().is_ok());
        }
    }

    #[test]
    fn a_key_that_is_not_listed_is_nobody_s() {
        let client = |key, name: &str| VmClient {
            key: crate::config::VerifierKey([key; 32]),
            name: name.parse().unwrap(),
            role: Role::Tenant,
            count: None,
            memory_mib: None,
            vcpus: None,
            entries: None,
        };
        let clients = Clients::new(&[client(1, "one"), client(2, "two")]);
        let two = clients.caller(&[2; 32]).unwrap();
        assert_eq!(two.name().map(ClientName::as_str), Some("two"));
        assert_eq!(clients.named(two.asker()), two.name(), "as the ledger has it");
        assert!(clients.caller(&[3; 32]).is_none() && clients.named(Asker::Local).is_none());
    }
}
