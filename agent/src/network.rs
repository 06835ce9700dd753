//! Interface, address and route of the node image, by three messages of rtnetlink(7). Left out: DHCP, which the kernel does
//! with `ip=dhcp` where it is built in.

use crate::netlink::{ACKNOWLEDGE, CREATE, Message, Netlink};
use nix::{errno::Errno, net::if_::if_nametoindex};
use std::{error::Error, fmt, net::IpAddr};

/// One `garant.net=eth0,10.0.2.15/24,10.0.2.2` of the kernel's command line; the gateway may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAddress {
    interface: String,
    address: IpAddr,
    prefix_bits: u8,
    gateway: Option<IpAddr>,
}

/// Why an interface has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkError {
    /// The command line's author is at fault.
    Option {
        /// What was given.
        found: String,
    },
    /// No driver shows this interface.
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// The kernel refuses.
    Kernel(Errno),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::Option { found } => {
                write!(f, "garant.net={found} is not interface,address/prefix or interface,address/prefix,gateway")
            }
            NetworkError::NoInterface { interface } => write!(f, "there is no network interface {interface}"),
            NetworkError::Kernel(_) => f.write_str("the kernel refuses it"),
        }
    }
}

impl Error for NetworkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            NetworkError::Kernel(source) => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for StaticAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.interface, self.address, self.prefix_bits)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, " by {gateway}"))
    }
}

impl StaticAddress {
    /// All addresses that a kernel command line sets.
    pub fn all_of(command_line: &str) -> impl Iterator<Item = Result<StaticAddress, NetworkError>> {
        let options = command_line.split_ascii_whitespace().filter_map(|word| word.strip_prefix("garant.net="));
        options
            .map(|option| StaticAddress::parse(option).ok_or_else(|| NetworkError::Option { found: option.to_owned() }))
    }

    /// The interface's name.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Brings the interface up with this address and, where one is named, the default route.
    pub fn apply(&self) -> Result<(), NetworkError> {
        let index = index_of(&self.interface)?;
        let family = family(self.address);
        let head = [&[family, self.prefix_bits, 0, 0][..], &index.to_ne_bytes()].concat();
        let own = octets(self.address);
        request(Message::new(RTM_NEWADDR, CREATE | ACKNOWLEDGE, &head).with(IFA_LOCAL, &own).with(IFA_ADDRESS, &own))?;
        up(&self.interface)?;
        let Some(gateway) = self.gateway else { return Ok(()) };
        // Destination of no bits, main table, set at boot, from anywhere, unicast (rtnetlink(7)).
        let head = [family, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        let route = Message::new(RTM_NEWROUTE, CREATE | ACKNOWLEDGE, &head);
        request(route.with(RTA_GATEWAY, &octets(gateway)).with(RTA_OIF, &index.to_ne_bytes()))
    }

    fn parse(option: &str) -> Option<StaticAddress> {
        let mut fields = option.split(',');
        let interface = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let (address, prefix) = fields.next()?.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix_bits = prefix.parse().ok().filter(|bits| *bits <= address_bits(address))?;
        let gateway: Option<IpAddr> = fields.next().map(str::parse).transpose().ok()?;
        let is_of_family = gateway.is_none_or(|gateway| gateway.is_ipv4() == address.is_ipv4());
        let is_whole = fields.next().is_none();
        (is_of_family && is_whole).then_some(StaticAddress { interface, address, prefix_bits, gateway })
    }
}

/// Brings an interface up.
pub fn up(interface: &str) -> Result<(), NetworkError> {
    let mut link = vec![0, 0, 0, 0];
    link.extend(index_of(interface)?.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes()); // flags
    link.extend(IFF_UP.to_ne_bytes()); // which of them change
    request(Message::new(RTM_NEWLINK, CREATE | ACKNOWLEDGE, &link))
}

/// The interface's number.
pub fn index_of(interface: &str) -> Result<u32, NetworkError> {
    if_nametoindex(interface).map_err(|errno| match errno {
        Errno::ENODEV | Errno::ENXIO => NetworkError::NoInterface { interface: interface.to_owned() },
        errno => NetworkError::Kernel(errno),
    })
}

/// Has the kernel do this; what is there already will do.
fn request(message: Message) -> Result<(), NetworkError> {
    match Netlink::to_routes().and_then(|mut kernel| kernel.request([message])) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(NetworkError::Kernel(errno)),
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// AF_INET or AF_INET6.
fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

// linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const IFF_UP: u32 = 1;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn read(command_line: &str) -> Vec<Result<StaticAddress, NetworkError>> {
        StaticAddress::all_of(command_line).collect()
    }

    #[test]
    fn addresses_are_found_among_the_kernels_options() {
        let both = read("quiet garant.net=eth0,10.0.2.15/24,10.0.2.2 panic=10 garant.net=eth1,fd00::2/64");
        let texts: Vec<String> = both.into_iter().map(|address| address.unwrap().to_string()).collect();
        assert_eq!(texts, ["eth0 10.0.2.15/24 by 10.0.2.2", "eth1 fd00::2/64"]);
        assert!(read("quiet").is_empty());
    }

    #[test]
    fn half_an_address_or_one_too_much_is_refused() {
        for option in [
            "",
            "eth0",
            "eth0,10.0.2.15",
            "eth0,10.0.2.15/33",
            ",10.0.2.15/24",
            "eth0,10.0.2.15/24,gw",
            "eth0,10.0.2.15/24,fd00::1",
            "eth0,10.0.2.15/24,10.0.2.2,x",
        ] {
            let read = read(&format!("garant.net={option}"));
            assert_eq!(read, [Err(NetworkError::Option { found: option.to_owned() })]);
        }
    }

    #[test]
    fn loopback_exists_and_another_name_does_not() {
        assert_eq!(index_of("lo"), Ok(1));
        assert!(matches!(index_of("garant-none"), Err(NetworkError::NoInterface { .. })));
    }

    #[test]
    fn loopback_that_is_up_may_be_brought_up() {
        match up("lo") {
            Ok(()) => {}
            Err(NetworkError::Kernel(Errno::EPERM)) => eprintln!("SKIPPED: only root may set interfaces"),
            Err(error) => panic!("{error}"),
        }
    }
}
