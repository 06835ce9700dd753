//! How many connections live at a time, in all and from one address: a slow or greedy client takes its own share.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Counts connections.
#[derive(Debug)]
pub struct Gate {
    limit: usize,
    limit_per_address: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A place for one connection; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    /// So many connections, and so many from one address.
    pub fn new(limit: usize, limit_per_address: usize) -> Arc<Gate> {
        Arc::new(Gate { limit, limit_per_address, open: Mutex::default() })
    }

    /// A place, where one is free.
    pub fn enter(self: &Arc<Gate>, address: IpAddr) -> Option<Place> {
        let address = one_of_its_owner(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let own = open.get(&address).copied().unwrap_or(0);
        if all >= self.limit || own >= self.limit_per_address {
            return None;
        }
        open.insert(address, own.saturating_add(1));
        Some(Place { gate: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.gate.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.address) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            _ => {
                open.remove(&self.address);
            }
        }
    }
}

/// Whoever has one IPv6 address has all with the same first 64 bits (RFC 4291 §2.5.4).
fn one_of_its_owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place() {
        let gate = Gate::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let places = [gate.enter(a).unwrap(), gate.enter(a).unwrap()];
        assert!(gate.enter(a).is_none());
        let other = gate.enter(b).unwrap();
        assert!(gate.enter(b).is_none(), "three in all");
        drop(other);
        drop(places);
        assert!(gate.open.lock().unwrap().is_empty(), "no trace of who is gone");
    }

    #[test]
    fn who_owns_a_network_of_ipv6_addresses_cannot_take_every_place() {
        let gate = Gate::new(3, 1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let _first = gate.enter(address("2001:db8::1")).unwrap();
        assert!(gate.enter(address("2001:db8::ffff:2")).is_none());
        let other = gate.enter(address("2001:db8:0:1::1")).unwrap();
        let _v4 = gate.enter(address("::ffff:10.0.0.1")).unwrap();
        drop(other);
        assert!(gate.enter(address("10.0.0.1")).is_none(), "the same address, written as IPv4");
        assert!(gate.enter(address("10.0.0.2")).is_some());
    }
}
