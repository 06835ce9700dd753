//! A VM's network interfaces, counted while they are parsed, and what they are called.

use crate::{
    budget,
    clip::clip,
    error::{ADDRESS, Invalid, MAC, NETWORK},
    field,
    list::list,
    text::text,
};
use alloc::{borrow::ToOwned, string::String};
use core::{fmt, net::Ipv4Addr, str::FromStr};
use serde::{Deserialize, Serialize};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Where it leads: a network of the node's configuration.
    #[serde(deserialize_with = "field::network")]
    pub network: NetworkName,
    /// Its address on the wire; the node's choice where left out.
    #[serde(default, deserialize_with = "field::mac", skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its IPv4 address; the node's choice where left out, on a network that has addresses.
    #[serde(default, deserialize_with = "field::address", skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

list! {
    /// At most [`budget::NICS`] network interfaces.
    Nics(Nic), budget::NICS, "network interfaces", Invalid::Nics
}

text! {
    /// The name of a network: 1 to 15 of `a-z 0-9 -`, the first a letter or a digit. Holding one does not prove that a node
    /// has it.
    NetworkName(String), NETWORK
}

text! {
    /// An Ethernet address that somebody chose: unicast, locally administered (IEEE 802, 8.4), so that it is no maker's.
    #[derive(Copy)]
    Mac([u8; 6]), MAC
}

text! {
    /// An IPv4 address that one host can have: none of 0.0.0.0/8, 127.0.0.0/8 and of 224.0.0.0 and above.
    #[derive(Copy)]
    Address(Ipv4Addr), ADDRESS
}

impl NetworkName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<NetworkName, Invalid> {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = text.len() <= budget::NETWORK_NAME_BYTES && text.bytes().all(is_inner) && !text.starts_with('-');
        let refused = || Invalid::NetworkName { found: clip(text, budget::REPEATED_BYTES) };
        if is_name && !text.is_empty() { Ok(NetworkName(text.to_owned())) } else { Err(refused()) }
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Mac {
    /// One of these random bytes: two of its bits are not random.
    pub const fn of_random([first, rest @ ..]: [u8; 6]) -> Mac {
        let [b, c, d, e, f] = rest;
        Mac([first & !MULTICAST | LOCAL, b, c, d, e, f])
    }

    /// Its bytes.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The address with these bytes, if it is such a one.
    pub const fn from_octets(octets: [u8; 6]) -> Option<Mac> {
        let [first, ..] = octets;
        if first & (MULTICAST | LOCAL) == LOCAL { Some(Mac(octets)) } else { None }
    }
}

impl FromStr for Mac {
    type Err = Invalid;

    /// One spelling only, so that a spec has one digest.
    fn from_str(text: &str) -> Result<Mac, Invalid> {
        let refused = || Invalid::Mac { found: clip(text, budget::REPEATED_BYTES) };
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(is_digit)).ok_or_else(refused)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| refused())?;
        }
        let mac = Mac::from_octets(octets).filter(|_| parts.next().is_none());
        mac.ok_or_else(refused)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, last] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{last:02x}")
    }
}

impl Address {
    /// The address, if a host can have it.
    pub fn new(address: Ipv4Addr) -> Option<Address> {
        let [first, ..] = address.octets();
        (first != 0 && first != 127 && first < 224).then_some(Address(address))
    }

    /// As the standard library has it.
    pub const fn get(self) -> Ipv4Addr {
        self.0
    }
}

impl FromStr for Address {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Address, Invalid> {
        let refused = || Invalid::Address { found: clip(text, budget::REPEATED_BYTES) };
        text.parse().ok().and_then(Address::new).ok_or_else(refused)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bits of an address' first byte: a group's, and not from a maker's range.
const MULTICAST: u8 = 1;
const LOCAL: u8 = 2;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_address_on_the_wire_is_one_hosts_and_no_makers() {
        for text in ["02:00:00:00:00:01", "fe:ff:ff:ff:ff:ff", "52:54:00:12:34:56"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), text);
        }
        for text in [
            "00:1b:21:00:00:01",
            "03:00:00:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "01:80:c2:00:00:00",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "02:00:00:00:00:0A",
            "02:00:00:00:00:+1",
            "02-00-00-00-00-01",
            "2:0:0:0:0:1",
            "",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        assert_eq!(Mac::of_random([0xff; 6]).to_string(), "fe:ff:ff:ff:ff:ff");
        assert_eq!(Mac::of_random([0; 6]).to_string(), "02:00:00:00:00:00");
    }

    #[test]
    fn an_address_is_one_that_a_host_can_have() {
        for text in ["10.0.0.1", "192.168.255.255", "223.255.255.255"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in
            ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.0.1/24", "10.0.1", "010.0.0.1", "fd00::1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_is_named_by_a_short_word() {
        for text in ["lan", "0", "a-b", "abcdefghijklmno"] {
            assert_eq!(text.parse::<NetworkName>().unwrap().as_str(), text);
        }
        for text in ["", "-a", "A", "a_b", "a b", "../a", "a\0", "abcdefghijklmnop"] {
            assert!(text.parse::<NetworkName>().is_err(), "{text}");
        }
    }
}
