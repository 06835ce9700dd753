//! What the network interfaces of a VM are, to its VMM and to the keeper. Pure.

use crate::{
    config::network::{Kind, Network, Reach},
    vm::{link::Nic, plan::nic::Wire},
};
use garant_api::vm::Interface;

/// The interfaces of one VMM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wiring {
    /// For its arguments.
    pub interfaces: Vec<(Interface, Wire)>,
    /// For the keeper.
    pub nics: Vec<Nic>,
    /// Whether it needs what the node reaches.
    pub reach: Reach,
}

impl Wiring {
    /// How these interfaces lie on the node's networks; `None` where one of them is on none.
    pub fn of(networks: &[Network], interfaces: &[Interface]) -> Option<Wiring> {
        let mut wiring = Wiring::default();
        for interface in interfaces {
            let number = networks.iter().position(|network| network.name == interface.network)?;
            let (wire, address) = match networks.get(number)?.kind {
                Kind::User(reach) => {
                    if reach == Reach::Outside {
                        wiring.reach = reach;
                    }
                    (Wire::User(reach), None)
                }
                Kind::Bridge(_) => (Wire::Tap, interface.address),
            };
            let network = u8::try_from(number).ok()?;
            wiring.interfaces.push((interface.clone(), wire));
            wiring.nics.push(Nic { mac: interface.mac, address, network });
        }
        Some(wiring)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use garant_api::spec::Mac;

    #[test]
    fn an_interface_is_named_by_its_networks_number_and_only_an_open_user_network_needs_the_nodes_own() {
        let networks = ["kind = 'bridge'\nbridge = 'br0'", "kind = 'user'", "kind = 'user'\nreach = 'outside'"];
        let named = ["lan", "shut", "open"].iter().zip(networks);
        let networks: Vec<Network> =
            named.map(|(name, options)| toml::from_str(&format!("name = '{name}'\n{options}")).unwrap()).collect();
        let interface = |network: &str| Interface {
            network: network.parse().unwrap(),
            mac: Mac::of_random([1; 6]),
            address: "10.0.0.2".parse().ok(),
            prefix_bits: None,
            gateway: None,
        };
        let of = |names: &[&str]| Wiring::of(&networks, &names.iter().map(|name| interface(name)).collect::<Vec<_>>());
        let both = of(&["shut", "lan"]).unwrap();
        let wires: Vec<Wire> = both.interfaces.iter().map(|(_, wire)| *wire).collect();
        assert_eq!((wires, both.reach), (vec![Wire::User(Reach::Nothing), Wire::Tap], Reach::Nothing));
        let nics: Vec<_> = both.nics.iter().map(|nic| (nic.network, nic.address.is_some())).collect();
        assert_eq!(nics, [(1, false), (0, true)], "QEMU gives the address itself");
        assert_eq!(of(&["open", "shut"]).unwrap().reach, Reach::Outside);
        assert_eq!(of(&["lan", "wan"]), None);
    }
}
