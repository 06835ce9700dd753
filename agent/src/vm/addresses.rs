//! Which MAC and which address each network interface of a VM has. Pure: what is taken, the time and random bytes are
//! arguments.
//!
//! An address that was given back goes to nobody else for [`ADDRESS_QUARANTINE`], and to others only after all those that
//! have been free for longer.

use crate::{
    budget::{ADDRESS_QUARANTINE, ADDRESSES_RESTING},
    config::network::{Kind, Network},
};
use garant_api::{
    problem::{Code, Problem},
    spec::{Address, Mac, NetworkName, Nic, Nics, VmId},
    vm::Interface,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Instant,
};

/// The addresses of a node.
#[derive(Debug, Default)]
pub struct Assigned {
    networks: Vec<Network>,
    /// What was given last on each network.
    last: BTreeMap<NetworkName, Address>,
    /// What was given back, the oldest first.
    resting: VecDeque<Resting>,
}

#[derive(Debug)]
struct Resting {
    network: NetworkName,
    address: Address,
    /// Who may have it again at once.
    by: VmId,
    since: Instant,
}

/// Who asks, and when.
#[derive(Debug)]
pub struct Asking<'a> {
    /// The VM.
    pub vm: &'a VmId,
    /// What it had before.
    pub had: &'a [Interface],
    /// What other VMs have.
    pub others: &'a [&'a Interface],
    /// Now.
    pub now: Instant,
}

impl Assigned {
    /// Nothing is given yet on these networks.
    pub fn new(networks: Vec<Network>) -> Assigned {
        Assigned { networks, ..Assigned::default() }
    }

    /// Gives each interface what its spec asks for, what the VM had on that network before, or what is free.
    pub fn assign(
        &mut self,
        nics: &Nics,
        asking: &Asking<'_>,
        mut random: impl FnMut() -> Option<[u8; 6]>,
    ) -> Result<Vec<Interface>, Problem> {
        let mut given: Vec<Interface> = Vec::new();
        for (number, nic) in nics.iter().enumerate() {
            let had = asking.had.get(number).filter(|had| had.network == nic.network);
            let mac = mac(nic, had, &given, asking, &mut random)?;
            let mut interface =
                Interface { network: nic.network.clone(), mac, address: None, prefix_bits: None, gateway: None };
            self.address(nic, had, &given, asking, &mut interface)?;
            given.push(interface);
        }
        for Interface { network, address, .. } in &given {
            self.last.extend(address.map(|address| (network.clone(), address)));
        }
        Ok(given)
    }

    /// Takes back what a VM had, but for what it has now.
    pub fn give_back(&mut self, vm: &VmId, had: &[Interface], has: &[Interface], now: Instant) {
        for Interface { network, address, .. } in had {
            let is_kept = has.iter().any(|kept| kept.network == *network && kept.address == *address);
            let Some(address) = address.filter(|_| !is_kept) else { continue };
            if self.resting.len() >= ADDRESSES_RESTING {
                self.resting.pop_front();
            }
            self.resting.push_back(Resting { network: network.clone(), address, by: vm.clone(), since: now });
        }
    }

    fn address(
        &self,
        nic: &Nic,
        had: Option<&Interface>,
        given: &[Interface],
        asking: &Asking<'_>,
        interface: &mut Interface,
    ) -> Result<(), Problem> {
        let network = self.networks.iter().find(|network| network.name == nic.network).ok_or_else(|| unknown(nic))?;
        let addresses = match &network.kind {
            Kind::User(_) if nic.address.is_none() => {
                interface.address = Address::new(USER_ADDRESS);
                interface.gateway = Address::new(USER_GATEWAY);
                interface.prefix_bits = Some(USER_PREFIX_BITS);
                return Ok(());
            }
            Kind::Bridge(bridge) => bridge.addresses,
            Kind::User(_) => None,
        };
        let addresses = match (addresses, nic.address) {
            (Some(addresses), _) => addresses,
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                let what = format!("{} gives no addresses of the caller's choice", nic.network);
                return Err(Problem::new(Code::UnknownNetwork, what, "leave address out of the spec"));
            }
        };
        let is_taken = |address: Address| {
            let has = |other: &Interface| other.network == nic.network && other.address == Some(address);
            given.iter().any(has) || asking.others.iter().any(|other| has(other)) || self.rests(nic, address, asking)
        };
        let address = match (nic.address, had.and_then(|had| had.address)) {
            (Some(wanted), _) if !addresses.has(wanted) => {
                let what = format!("{wanted} is none of those that {} gives to VMs", nic.network);
                return Err(Problem::new(Code::AddressTaken, what, "leave address out, and the node chooses one"));
            }
            (Some(wanted), _) if is_taken(wanted) => {
                let what = format!("another VM has {wanted}, or had it a moment ago");
                return Err(Problem::new(Code::AddressTaken, what, "ask again in some seconds, or choose another"));
            }
            (Some(wanted), _) => Some(wanted),
            (None, Some(had)) if addresses.has(had) && !is_taken(had) => Some(had),
            _ => addresses.after(self.last.get(&nic.network).copied()).find(|address| !is_taken(*address)),
        };
        let none_left = || {
            let what = format!("every address of {} is a VM's", nic.network);
            Problem::new(Code::NoAddress, what, "delete a VM, or give the network more addresses in [[vms.network]]")
        };
        interface.address = Some(address.ok_or_else(none_left)?);
        interface.prefix_bits = Some(addresses.subnet.prefix_bits());
        interface.gateway = addresses.gateway;
        Ok(())
    }

    fn rests(&self, nic: &Nic, address: Address, asking: &Asking<'_>) -> bool {
        self.resting.iter().any(|resting| {
            let is_it = resting.network == nic.network && resting.address == address && resting.by != *asking.vm;
            is_it && asking.now.saturating_duration_since(resting.since) < ADDRESS_QUARANTINE
        })
    }
}

/// The address on the wire: unique on the node, whatever the network.
fn mac(
    nic: &Nic,
    had: Option<&Interface>,
    given: &[Interface],
    asking: &Asking<'_>,
    mut random: impl FnMut() -> Option<[u8; 6]>,
) -> Result<Mac, Problem> {
    let is_taken = |mac: Mac| given.iter().chain(asking.others.iter().copied()).any(|other| other.mac == mac);
    match (nic.mac, had) {
        (Some(wanted), _) if is_taken(wanted) => {
            let what = format!("another interface on this node has {wanted}");
            Err(Problem::new(Code::AddressTaken, what, "leave mac out, and the node chooses one"))
        }
        (Some(wanted), _) => Ok(wanted),
        (None, Some(had)) if !is_taken(had.mac) => Ok(had.mac),
        (None, _) => {
            // 46 random bits: among all VMs of a node, the second try is one in ten billion.
            let mut tries = (0..MAC_TRIES).filter_map(|_| random()).map(Mac::of_random);
            let free = tries.find(|mac| !is_taken(*mac));
            free.ok_or_else(|| {
                Problem::new(Code::NoAddress, "the node has no random numbers", "look at the node's log")
            })
        }
    }
}

fn unknown(nic: &Nic) -> Problem {
    let what = format!("no network {}", nic.network);
    Problem::new(Code::UnknownNetwork, what, "name one that the node's configuration has in [[vms.network]]")
}

/// What QEMU's own network gives to the only guest that it has (`net_slirp_init`, net/slirp.c).
const USER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const USER_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const USER_PREFIX_BITS: u8 = 24;
const MAC_TRIES: usize = 16;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn assigned() -> Assigned {
        let networks = [
            "name = 'lan'\nkind = 'bridge'\nbridge = 'br0'\nsubnet = '10.0.0.0/29'\ngateway = '10.0.0.1'",
            "name = 'bare'\nkind = 'bridge'\nbridge = 'br1'",
            "name = 'own'\nkind = 'user'",
        ];
        Assigned::new(networks.iter().map(|network| toml::from_str(network).unwrap()).collect())
    }

    fn nics(json: &str) -> Nics {
        serde_json::from_str(json).unwrap()
    }

    /// What a VM gets beside these others.
    fn ask(
        assigned: &mut Assigned,
        vm: &str,
        wanted: &str,
        others: &[&Interface],
        now: Instant,
    ) -> Result<Vec<Interface>, Code> {
        let mut next = 0_u8;
        let random = || {
            next += 1;
            Some([next; 6])
        };
        let asking = Asking { vm: &vm.parse().unwrap(), had: &[], others, now };
        assigned.assign(&nics(wanted), &asking, random).map_err(|problem| problem.code)
    }

    const LAN: &str = r#"[{"network":"lan"}]"#;

    #[test]
    fn an_interface_gets_what_is_free_and_says_how_the_network_is() {
        let (mut assigned, now) = (assigned(), Instant::now());
        let all = r#"[{"network":"lan"},{"network":"bare"},{"network":"own"},{"network":"lan"}]"#;
        let given = ask(&mut assigned, "a", all, &[], now).unwrap();
        let texts: Vec<String> = given.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
        assert_eq!(
            texts,
            [
                r#"{"network":"lan","mac":"02:01:01:01:01:01","address":"10.0.0.2","prefix_bits":29,"gateway":"10.0.0.1"}"#,
                r#"{"network":"bare","mac":"02:02:02:02:02:02"}"#,
                r#"{"network":"own","mac":"02:03:03:03:03:03","address":"10.0.2.15","prefix_bits":24,"gateway":"10.0.2.2"}"#,
                // The fourth random MAC would be 06:04:…: a bit of it is not random.
                r#"{"network":"lan","mac":"06:04:04:04:04:04","address":"10.0.0.3","prefix_bits":29,"gateway":"10.0.0.1"}"#,
            ]
        );
    }

    #[test]
    fn nobody_gets_what_another_has_or_what_no_vm_may_have() {
        let (mut assigned, now) = (assigned(), Instant::now());
        let first = ask(&mut assigned, "a", r#"[{"network":"lan","mac":"02:00:00:00:00:01"}]"#, &[], now).unwrap();
        let others: Vec<&Interface> = first.iter().collect();
        for (wanted, code) in [
            (r#"[{"network":"lan","address":"10.0.0.2"}]"#, Code::AddressTaken),
            (r#"[{"network":"lan","address":"10.0.0.3"},{"network":"lan","address":"10.0.0.3"}]"#, Code::AddressTaken),
            (r#"[{"network":"lan","address":"10.0.0.1"}]"#, Code::AddressTaken),
            (r#"[{"network":"lan","address":"10.0.0.7"}]"#, Code::AddressTaken),
            (r#"[{"network":"lan","address":"10.0.1.2"}]"#, Code::AddressTaken),
            (r#"[{"network":"bare","mac":"02:00:00:00:00:01"}]"#, Code::AddressTaken),
            (r#"[{"network":"bare","address":"10.0.0.3"}]"#, Code::UnknownNetwork),
            (r#"[{"network":"own","address":"10.0.2.16"}]"#, Code::UnknownNetwork),
            (r#"[{"network":"wan"}]"#, Code::UnknownNetwork),
        ] {
            assert_eq!(ask(&mut assigned, "b", wanted, &others, now), Err(code), "{wanted}");
        }
        let free = ask(&mut assigned, "b", r#"[{"network":"lan","address":"10.0.0.6"}]"#, &others, now).unwrap();
        assert_eq!(free[0].address, "10.0.0.6".parse().ok());
    }

    #[test]
    fn a_network_without_free_addresses_says_so() {
        let (mut assigned, now) = (assigned(), Instant::now());
        let four = r#"[{"network":"lan"},{"network":"lan"},{"network":"lan"},{"network":"lan"}]"#;
        let given = ask(&mut assigned, "a", four, &[], now).unwrap();
        let others: Vec<&Interface> = given.iter().collect();
        let last = ask(&mut assigned, "b", LAN, &others, now).unwrap();
        let others: Vec<&Interface> = given.iter().chain(&last).collect();
        assert_eq!(ask(&mut assigned, "c", LAN, &others, now), Err(Code::NoAddress));
    }

    #[test]
    fn an_address_that_was_given_back_rests_before_another_vm_has_it() {
        let (mut assigned, now) = (assigned(), Instant::now());
        let wanted = r#"[{"network":"lan","address":"10.0.0.2"}]"#;
        let had = ask(&mut assigned, "a", wanted, &[], now).unwrap();
        assigned.give_back(&"a".parse().unwrap(), &had, &had, now);
        assert!(ask(&mut assigned, "b", wanted, &[], now).is_ok(), "what it still has was not given back");
        assigned.give_back(&"a".parse().unwrap(), &had, &[], now);
        let almost = now + ADDRESS_QUARANTINE - Duration::from_millis(1);
        assert_eq!(ask(&mut assigned, "b", wanted, &[], almost), Err(Code::AddressTaken));
        assert!(ask(&mut assigned, "a", wanted, &[], almost).is_ok(), "it was its own");
        assert!(ask(&mut assigned, "b", wanted, &[], now + ADDRESS_QUARANTINE).is_ok());
        let next = ask(&mut assigned, "c", LAN, &[], now + ADDRESS_QUARANTINE).unwrap();
        assert_eq!(next[0].address, "10.0.0.3".parse().ok(), "the others' turn comes first");
    }

    #[test]
    fn a_vm_keeps_what_it_had_on_the_same_network() {
        let (mut assigned, now) = (assigned(), Instant::now());
        let had = ask(&mut assigned, "a", LAN, &[], now).unwrap();
        let again = |assigned: &mut Assigned, wanted: &str| {
            let asking = Asking { vm: &"a".parse().unwrap(), had: &had, others: &[], now };
            assigned.assign(&nics(wanted), &asking, || Some([9; 6])).unwrap()
        };
        assert_eq!(again(&mut assigned, LAN), had);
        let elsewhere = again(&mut assigned, r#"[{"network":"bare"}]"#);
        assert_eq!(elsewhere[0].mac.octets()[5], 9, "another network, another interface");
    }
}
