//! Networks on which VMs may have interfaces. Parsed once, so that what the rest sees fits together.

use crate::budget::NETWORKS;
use garant_api::spec::{Address, NetworkName};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, net::Ipv4Addr, str::FromStr};

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Options")]
pub struct Network {
    /// What specs call it.
    pub name: NetworkName,
    /// What it is made of.
    pub kind: Kind,
}

/// What a network is made of; also as the keeper is told it, with keys in the order of deterministic CBOR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A network of each VM's own inside its VMM, which needs no privileges.
    User(Reach),
    /// A bridge of the node, to which each VM has a port.
    Bridge(Bridge),
}

/// How far a user network reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Nowhere: the VMM is in a network namespace without interfaces, and lets nothing out.
    #[default]
    Nothing,
    /// Wherever the node reaches, its own loopback included: the VMM is in the node's network namespace.
    Outside,
}

/// A bridge of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// Whether its VMs reach each other.
    pub ports: Ports,
    /// What the node plugs into it, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<InterfaceName>,
    /// What its VMs are called, where the node says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Addresses>,
    /// The interface of the bridge. The node makes it where there is none.
    pub interface: InterfaceName,
}

/// Whether the VMs of a bridge reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ports {
    /// They reach what is not a VM of this node, and nothing else.
    #[default]
    Isolated,
    /// They do.
    Connected,
}

/// The IPv4 addresses of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Those that the node gives to its VMs, and no other node.
    pub ours: Subnet,
    /// All that are on the bridge.
    pub subnet: Subnet,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Address>,
}

/// Addresses with the same first bits, `10.0.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: u32,
    prefix_bits: u8,
}

/// What an interface of the node can be called, but for what the node calls those of VMs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

/// As it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    name: NetworkName,
    kind: KindName,
    reach: Option<Reach>,
    bridge: Option<InterfaceName>,
    uplink: Option<InterfaceName>,
    ports: Option<Ports>,
    subnet: Option<Subnet>,
    addresses: Option<Subnet>,
    gateway: Option<Address>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    User,
    Bridge,
}

impl TryFrom<Options> for Network {
    type Error = &'static str;

    fn try_from(options: Options) -> Result<Network, &'static str> {
        let Options { name, kind, reach, bridge, uplink, ports, subnet, addresses, gateway } = options;
        let addresses = Addresses::of(subnet, addresses, gateway)?;
        let kind = match (kind, bridge) {
            (KindName::User, None) if uplink.is_none() && ports.is_none() && addresses.is_none() => {
                Kind::User(reach.unwrap_or_default())
            }
            (KindName::User, _) => return Err("a network of kind user has no option but reach"),
            (KindName::Bridge, Some(interface)) if reach.is_none() => {
                Kind::Bridge(Bridge { interface, uplink, ports: ports.unwrap_or_default(), addresses })
            }
            (KindName::Bridge, Some(_)) => return Err("reach is for networks of kind user"),
            (KindName::Bridge, None) => return Err("a network of kind bridge has a bridge, by its interface's name"),
        };
        Ok(Network { name, kind })
    }
}

impl Network {
    /// Whether these can be those of one node; what is wrong, if not.
    pub fn check(networks: &[Network]) -> Result<(), &'static str> {
        let interfaces = |network: &Network| match &network.kind {
            Kind::User(_) => Vec::new(),
            Kind::Bridge(bridge) => bridge.uplink.iter().chain([&bridge.interface]).cloned().collect(),
        };
        let interfaces: Vec<InterfaceName> = networks.iter().flat_map(interfaces).collect();
        let names: BTreeSet<&NetworkName> = networks.iter().map(|network| &network.name).collect();
        if networks.len() > NETWORKS {
            Err("more networks than the keeper takes: at most 16")
        } else if names.len() != networks.len() {
            Err("two networks of one name")
        } else if interfaces.iter().collect::<BTreeSet<_>>().len() != interfaces.len() {
            Err("one interface twice among bridges and uplinks")
        } else {
            Ok(())
        }
    }
}

impl Addresses {
    fn of(
        subnet: Option<Subnet>,
        ours: Option<Subnet>,
        gateway: Option<Address>,
    ) -> Result<Option<Addresses>, &'static str> {
        let Some(subnet) = subnet else {
            return if ours.is_none() && gateway.is_none() {
                Ok(None)
            } else {
                Err("addresses and gateway need a subnet")
            };
        };
        let ours = ours.unwrap_or(subnet);
        if !subnet.has_hosts() {
            Err("a subnet has 8 to 30 bits")
        } else if ours.prefix_bits < subnet.prefix_bits || !subnet.contains(Ipv4Addr::from_bits(ours.first)) {
            Err("addresses are a part of the subnet")
        } else if gateway.is_some_and(|gateway| !subnet.is_host(gateway)) {
            Err("the gateway is a host of the subnet")
        } else {
            Ok(Some(Addresses { subnet, ours, gateway }))
        }
    }

    /// Whether a VM may have this address.
    pub fn has(&self, address: Address) -> bool {
        self.ours.contains(address.get()) && self.subnet.is_host(address) && self.gateway != Some(address)
    }

    /// What a VM may have, beginning with the first after this one and ending with it.
    pub fn after(&self, last: Option<Address>) -> impl Iterator<Item = Address> {
        let size = 1_u64.checked_shl(32_u32.saturating_sub(self.ours.prefix_bits.into())).unwrap_or(u64::MAX);
        let first = u64::from(self.ours.first);
        let last = last.filter(|last| self.ours.contains(last.get()));
        let begin = last.map_or(0, |last| u64::from(last.get().to_bits()).saturating_sub(first).saturating_add(1));
        let addresses = *self;
        (0..size).filter_map(move |step| {
            let place = begin.saturating_add(step).checked_rem(size)?;
            let bits = u32::try_from(first.saturating_add(place)).ok()?;
            Address::new(Ipv4Addr::from_bits(bits)).filter(|address| addresses.has(*address))
        })
    }
}

impl Subnet {
    /// Bits that its addresses have in common.
    pub fn prefix_bits(self) -> u8 {
        self.prefix_bits
    }

    /// Whether it has this address.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.first
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix_bits.into())).unwrap_or(0)
    }

    /// A small one has no hosts, a large one is a slip.
    fn has_hosts(self) -> bool {
        (8..=30).contains(&self.prefix_bits)
    }

    /// Whether it has this address, which is not that of the subnet itself, nor of all its hosts.
    fn is_host(self, address: Address) -> bool {
        let bits = address.get().to_bits();
        self.contains(address.get()) && bits != self.first && bits != self.first | !self.mask()
    }
}

impl FromStr for Subnet {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Subnet, &'static str> {
        let (first, prefix) = text.split_once('/').ok_or(NOT_A_SUBNET)?;
        let first: Ipv4Addr = first.parse().map_err(|_| NOT_A_SUBNET)?;
        let prefix_bits = prefix.parse().ok().filter(|bits| *bits <= 32).ok_or(NOT_A_SUBNET)?;
        let subnet = Subnet { first: first.to_bits(), prefix_bits };
        if subnet.contains(first) { Ok(subnet) } else { Err(NOT_A_SUBNET) }
    }
}

impl TryFrom<String> for Subnet {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Subnet, &'static str> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> String {
        name.0
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.first), self.prefix_bits)
    }
}

impl InterfaceName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = &'static str;

    /// As Linux has it (`dev_valid_name`).
    fn try_from(name: String) -> Result<InterfaceName, &'static str> {
        let is_inner = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
        let is_name = (1..=15).contains(&name.len()) && name.bytes().all(is_inner) && name != "." && name != "..";
        if is_name && !name.starts_with(TAP) { Ok(InterfaceName(name)) } else { Err(NOT_AN_INTERFACE) }
    }
}

/// What interfaces of VMs are called on the node, before a number.
pub const TAP: &str = "gtap";
const NOT_A_SUBNET: &str = "a subnet is an address and its bits, as 10.0.0.0/24, the rest of the address being zero";
const NOT_AN_INTERFACE: &str =
    "an interface's name has 1 to 15 characters, none of them a space, / : or %, and does not begin with gtap";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(options: &str) -> Result<Network, String> {
        toml::from_str(&format!("name = 'lan'\n{options}")).map_err(|error| error.message().to_owned())
    }

    fn addresses(options: &str) -> Addresses {
        let network = read(&format!("kind = 'bridge'\nbridge = 'br0'\n{options}")).unwrap();
        match network.kind {
            Kind::Bridge(bridge) => bridge.addresses.unwrap(),
            Kind::User(_) => unreachable!("{options}"),
        }
    }

    #[test]
    fn options_that_do_not_fit_together_are_refused() {
        let bridge = "kind = 'bridge'\nbridge = 'br0'\n";
        for (options, expected) in [
            ("kind = 'user'\nbridge = 'br0'", "no option but reach"),
            ("kind = 'user'\nsubnet = '10.0.0.0/24'", "no option but reach"),
            ("kind = 'user'\nports = 'isolated'", "no option but reach"),
            ("kind = 'user'\nuplink = 'eth0'", "no option but reach"),
            ("kind = 'bridge'", "has a bridge"),
            ("kind = 'tap'", "unknown variant"),
            (&format!("{bridge}reach = 'outside'"), "reach is for networks of kind user"),
            (&format!("{bridge}gateway = '10.0.0.1'"), "need a subnet"),
            (&format!("{bridge}addresses = '10.0.0.0/25'"), "need a subnet"),
            (&format!("{bridge}subnet = '10.0.0.0/31'"), "8 to 30 bits"),
            (&format!("{bridge}subnet = '0.0.0.0/0'"), "8 to 30 bits"),
            (&format!("{bridge}subnet = '10.0.0.1/24'"), "the rest of the address being zero"),
            (&format!("{bridge}subnet = '10.0.0.0/24'\naddresses = '10.0.0.0/23'"), "a part of the subnet"),
            (&format!("{bridge}subnet = '10.0.0.0/24'\naddresses = '10.0.1.0/25'"), "a part of the subnet"),
            (&format!("{bridge}subnet = '10.0.0.0/24'\ngateway = '10.0.1.1'"), "a host of the subnet"),
            (&format!("{bridge}subnet = '10.0.0.0/24'\ngateway = '10.0.0.255'"), "a host of the subnet"),
            ("kind = 'bridge'\nbridge = 'gtap0'", "does not begin with gtap"),
            ("kind = 'bridge'\nbridge = 'br0/../x'", "an interface's name"),
            ("kind = 'bridge'\nbridge = ''", "an interface's name"),
        ] {
            let said = read(options).unwrap_err();
            assert!(said.contains(expected), "{options}: {said}");
        }
    }

    #[test]
    fn a_user_network_reaches_nothing_and_ports_are_isolated_unless_somebody_says_otherwise() {
        assert_eq!(read("kind = 'user'").unwrap().kind, Kind::User(Reach::Nothing));
        assert_eq!(read("kind = 'user'\nreach = 'outside'").unwrap().kind, Kind::User(Reach::Outside));
        let bridge = read("kind = 'bridge'\nbridge = 'br0'").unwrap().kind;
        assert!(matches!(bridge, Kind::Bridge(Bridge { ports: Ports::Isolated, .. })));
    }

    #[test]
    fn addresses_are_given_in_turn_and_never_that_of_the_subnet_its_broadcast_or_its_gateway() {
        let all = addresses("subnet = '10.0.0.0/29'\ngateway = '10.0.0.1'");
        let texts = |last: Option<&str>| {
            let last = last.map(|last| last.parse().unwrap());
            all.after(last).map(|address| address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(None), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(texts(Some("10.0.0.3")), ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(texts(Some("10.0.9.3")), texts(None));
        let part = addresses("subnet = '10.0.0.0/24'\naddresses = '10.0.0.254/31'");
        assert_eq!(part.after(None).map(|address| address.to_string()).collect::<Vec<_>>(), ["10.0.0.254"]);
        let one = addresses("subnet = '10.0.0.0/24'\naddresses = '10.0.0.9/32'");
        assert_eq!(one.after(None).count(), 1);
    }

    #[test]
    fn networks_of_one_node_have_names_and_interfaces_of_their_own() {
        let network =
            |name: &str, options: &str| toml::from_str::<Network>(&format!("name = '{name}'\n{options}")).unwrap();
        let bridge =
            |name, bridge, uplink| network(name, &format!("kind = 'bridge'\nbridge = '{bridge}'\nuplink = '{uplink}'"));
        assert_eq!(Network::check(&[network("a", "kind = 'user'"), network("b", "kind = 'user'")]), Ok(()));
        assert!(Network::check(&[network("a", "kind = 'user'"), network("a", "kind = 'user'")]).is_err());
        assert_eq!(Network::check(&[bridge("a", "br0", "eth0"), bridge("b", "br1", "eth1")]), Ok(()));
        for other in [bridge("b", "br0", "eth1"), bridge("b", "br1", "eth0"), bridge("b", "eth0", "eth1")] {
            assert!(Network::check(&[bridge("a", "br0", "eth0"), other]).is_err());
        }
        let many =
            |count: usize| (0..count).map(|number| network(&format!("n{number}"), "kind = 'user'")).collect::<Vec<_>>();
        assert!(Network::check(&many(NETWORKS)).is_ok() && Network::check(&many(NETWORKS + 1)).is_err());
    }
}
