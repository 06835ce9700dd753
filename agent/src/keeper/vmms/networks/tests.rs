#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
//! Real bridges, taps and rules in a network namespace of each test's own; frames are written where a VMM would.
use super::*;
use crate::netlink::{ACKNOWLEDGE, Message};
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, unshare},
};
use std::{
    fs,
    time::{Duration, Instant},
};

const A: [u8; 6] = [2, 0xaa, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0xaa, 0, 0, 0, 2];
const OUTSIDE: [u8; 6] = [2, 0xaa, 0, 0, 0, 9];
const ALL: [u8; 6] = [0xff; 6];
const A_ADDRESS: [u8; 4] = [10, 0, 0, 2];
const B_ADDRESS: [u8; 4] = [10, 0, 0, 3];
const OUTSIDE_ADDRESS: [u8; 4] = [10, 0, 0, 9];

/// Whether this thread, which is a test's own, is in a network namespace of its own now.
fn is_alone() -> bool {
    let unshared = unshare(CloneFlags::CLONE_NEWNET);
    if let Err(errno) = unshared {
        eprintln!("SKIPPED: no network namespace here: {errno}");
    }
    unshared.is_ok()
}

/// One end of an Ethernet.
struct Wire(OwnedFd);

impl Wire {
    /// The outside of an uplink.
    fn uplink() -> Wire {
        Wire(sys::tap("wire0").unwrap())
    }

    fn send(&self, frame: &[u8]) {
        rustix::io::write(&self.0, &[&[0; HEADER][..], frame].concat()).unwrap();
    }

    /// What came until now, but for what the kernel says by itself.
    fn received(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(length) = rustix::io::read(&self.0, &mut buffer) {
            frames.push(buffer[HEADER..length].to_vec());
        }
        frames.retain(|frame: &Vec<u8>| frame[6..8] == A[..2]);
        frames
    }

    /// What came until this frame, and without it.
    fn received_before(&self, last: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            frames.extend(self.received());
            if let Some(place) = frames.iter().position(|frame| frame == last) {
                frames.truncate(place);
                return frames;
            }
            thread::sleep(Duration::from_millis(1));
        }
        unreachable!("it did not come: {last:x?} after {frames:x?}");
    }
}

/// Bytes of struct virtio_net_hdr, which says nothing here.
const HEADER: usize = 10;

fn frame(to: [u8; 6], from: [u8; 6], kind: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), body].concat()
}

fn arp_body(sender: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4, 0, 1][..], &sender, &address, &[0; 6], &OUTSIDE_ADDRESS, &[0; 18]].concat()
}

fn arp(from: [u8; 6], sender: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    frame(ALL, from, 0x806, &arp_body(sender, address))
}

/// A bridge looks at checksums where it hands frames to iptables.
fn ipv4_body(source: [u8; 4], number: u8) -> Vec<u8> {
    let mut header = [&[0x45, 0, 0, 46, 0, number, 0, 0, 64, 253, 0, 0][..], &source, &OUTSIDE_ADDRESS].concat();
    let words = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    [header, vec![number; 26]].concat()
}

fn ipv4(to: [u8; 6], from: [u8; 6], source: [u8; 4], number: u8) -> Vec<u8> {
    frame(to, from, 0x800, &ipv4_body(source, number))
}

fn ipv6() -> Vec<u8> {
    // Twenty bytes of nothing (59) from fe80::1 to fe80::2.
    let ends = [1, 2].map(|last| [&[0xfe, 0x80][..], &[0; 13], &[last]].concat()).concat();
    frame(OUTSIDE, A, 0x86dd, &[&[0x60, 0, 0, 0, 0, 20, 59, 64][..], &ends, &[0; 20]].concat())
}

fn kind(options: &str) -> Kind {
    let text = format!("name = 'lan'\nkind = 'bridge'\nbridge = 'br0'\n{options}");
    toml::from_str::<crate::config::network::Network>(&text).unwrap().kind
}

const ADDRESSES: &str = "uplink = 'wire0'\nsubnet = '10.0.0.0/24'\ngateway = '10.0.0.9'\n";

fn nic(mac: [u8; 6], address: Option<[u8; 4]>) -> Nic {
    let address = address.map(|address| address.map(|part| part.to_string()).join(".").parse().unwrap());
    Nic { mac: garant_api::spec::Mac::from_octets(mac).unwrap(), address, network: 0 }
}

fn networks(options: &str) -> Networks {
    let mut networks = Networks::default();
    networks.define(vec![kind(options)]).unwrap();
    networks
}

fn plug(networks: &mut Networks, run: u64, nic: Nic) -> Wire {
    Wire(networks.plug(RunNumber(run), &[nic]).unwrap()[0].try_clone_to_owned().unwrap())
}

/// Two VMs on a bridge with these options, and what lies outside.
fn two_vms(options: &str) -> (Networks, Wire, Wire, Wire) {
    let outside = Wire::uplink();
    let mut networks = networks(options);
    let a = plug(&mut networks, 1, nic(A, Some(A_ADDRESS)));
    let b = plug(&mut networks, 2, nic(B, Some(B_ADDRESS)));
    (networks, outside, a, b)
}

#[test]
fn what_a_vm_sends_in_its_own_name_leaves_it_and_nothing_else_does() {
    if !is_alone() {
        return;
    }
    let (mut networks, outside, a, _b) = two_vms(ADDRESSES);
    let free = bare_tap(&mut networks, "bare0");
    let own = [arp(A, A, A_ADDRESS), arp(A, A, [0; 4]), ipv4(OUTSIDE, A, A_ADDRESS, 1), ipv4(ALL, A, A_ADDRESS, 2)];
    for (number, frame) in own.iter().enumerate() {
        a.send(frame);
        let last = ipv4(OUTSIDE, A, A_ADDRESS, 100);
        a.send(&last);
        assert_eq!(outside.received_before(&last), std::slice::from_ref(frame), "{number}");
    }
    let vlan = [&[0, 7, 8, 6][..], &arp_body(A, A_ADDRESS)].concat();
    let wrong_kind = |at: usize| {
        let mut frame = arp(A, A, A_ADDRESS);
        frame[14 + at] ^= 1;
        frame
    };
    let foreign = [
        ("another's MAC", ipv4(OUTSIDE, B, A_ADDRESS, 3)),
        ("nobody's MAC", ipv4(OUTSIDE, [2, 0xaa, 0, 0, 0, 7], A_ADDRESS, 3)),
        ("another's address", ipv4(OUTSIDE, A, B_ADDRESS, 4)),
        ("the gateway's address", ipv4(OUTSIDE, A, OUTSIDE_ADDRESS, 4)),
        ("no address", ipv4(ALL, A, [0; 4], 4)),
        ("ARP from another's MAC", arp(B, A, A_ADDRESS)),
        ("ARP for another's MAC", arp(A, B, A_ADDRESS)),
        ("ARP for another's address", arp(A, A, B_ADDRESS)),
        ("ARP for the gateway", arp(A, A, OUTSIDE_ADDRESS)),
        ("ARP of another hardware", wrong_kind(1)),
        ("ARP of another protocol", wrong_kind(3)),
        ("ARP with other lengths", wrong_kind(5)),
        ("IPv6", ipv6()),
        ("a VLAN's tag", frame(ALL, A, 0x8100, &vlan)),
        ("two VLANs' tags", frame(ALL, A, 0x88a8, &[&[0, 7, 0x81, 0][..], &vlan].concat())),
        ("a bridge's own protocol", frame([1, 0x80, 0xc2, 0, 0, 0], A, 38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0].repeat(6))),
        ("RARP", frame(ALL, A, 0x8035, &arp_body(A, A_ADDRESS))),
        ("a length instead of a protocol", frame(ALL, A, 46, &ipv4_body(A_ADDRESS, 5))),
    ];
    for (what, frame) in foreign {
        a.send(&frame);
        let last = ipv4(OUTSIDE, A, A_ADDRESS, 101);
        a.send(&last);
        assert_eq!(outside.received_before(&last), Vec::<Vec<u8>>::new(), "{what}");
        free.send(&frame);
        assert_eq!(outside.received_before(&frame), Vec::<Vec<u8>>::new(), "{what}: nothing else stops it");
    }
}

#[test]
fn vms_reach_what_is_outside_and_not_each_other_unless_the_network_connects_them() {
    if !is_alone() {
        return;
    }
    let (networks, outside, a, b) = two_vms(ADDRESSES);
    let to_b = [ipv4(B, A, A_ADDRESS, 1), arp(A, A, A_ADDRESS), ipv4(ALL, A, A_ADDRESS, 2)];
    to_b.iter().for_each(|frame| a.send(frame));
    // Both hear what comes from outside to all, and only who is meant hears the rest.
    let (for_a, for_nobody) =
        (ipv4(A, OUTSIDE, OUTSIDE_ADDRESS, 3), ipv4([2, 0xaa, 1, 1, 1, 1], OUTSIDE, OUTSIDE_ADDRESS, 4));
    let last = ipv4(ALL, OUTSIDE, OUTSIDE_ADDRESS, 5);
    [&for_a, &for_nobody, &last].iter().for_each(|frame| outside.send(frame));
    assert_eq!(b.received_before(&last), Vec::<Vec<u8>>::new());
    assert_eq!(a.received_before(&last), [for_a]);
    assert_eq!(outside.received(), to_b[1..].to_vec(), "the rest is for everybody");
    drop((networks, outside, a, b));

    assert!(is_alone());
    let (_networks, _outside, a, b) = two_vms(&format!("{ADDRESSES}ports = 'connected'"));
    to_b[..2].iter().for_each(|frame| a.send(frame));
    assert_eq!(b.received_before(&to_b[1]), to_b[..1].to_vec());
}

/// A tap on the bridge with nothing that guards it but what the test adds.
fn bare_tap(networks: &mut Networks, name: &str) -> Wire {
    let tap = sys::tap(name).unwrap();
    let master = if_nametoindex("br0").unwrap();
    let index = if_nametoindex(name).unwrap();
    let head = [&[0; 4][..], &index.to_ne_bytes(), &1_u32.to_ne_bytes(), &1_u32.to_ne_bytes()].concat();
    let message = Message::new(16, ACKNOWLEDGE, &head).with(10, &master.to_ne_bytes());
    networks.kernel().unwrap().routes.request([message]).unwrap();
    Wire(tap)
}

#[test]
fn the_bridge_alone_stops_anothers_mac_and_so_do_the_rules_alone() {
    if !is_alone() {
        return;
    }
    let outside = Wire::uplink();
    let mut networks = networks(ADDRESSES);
    let (foreign, own) = (ipv4(OUTSIDE, B, A_ADDRESS, 1), ipv4(OUTSIDE, A, A_ADDRESS, 2));
    let mac = garant_api::spec::Mac::from_octets(A).unwrap();
    let passed = |wire: &Wire| {
        [&foreign, &own].iter().for_each(|frame| wire.send(frame));
        outside.received_before(&own).len()
    };
    let bare = bare_tap(&mut networks, "bare0");
    assert_eq!(passed(&bare), 1, "nothing stops it");
    networks.kernel().unwrap().filter.add("bare0", mac, None).unwrap();
    assert_eq!(passed(&bare), 0, "the rules do");
    drop(bare);

    let bridged = sys::tap("gtap0").unwrap();
    let master = if_nametoindex("br0").unwrap();
    let port = Port { master, mac, ports: crate::config::network::Ports::Isolated };
    port.plug(&mut networks.kernel().unwrap().routes, "gtap0").unwrap();
    assert_eq!(passed(&Wire(bridged)), 0, "the bridge does");
}

#[test]
fn a_network_without_addresses_stops_what_comes_from_anothers_mac() {
    if !is_alone() {
        return;
    }
    let outside = Wire::uplink();
    let mut networks = networks("uplink = 'wire0'");
    let a = plug(&mut networks, 1, nic(A, None));
    let last = ipv4(OUTSIDE, A, A_ADDRESS, 9);
    let own = [ipv4(OUTSIDE, A, B_ADDRESS, 1), ipv6(), arp(A, A, B_ADDRESS)];
    let foreign =
        [ipv4(OUTSIDE, B, A_ADDRESS, 2), arp(A, B, A_ADDRESS), frame(ALL, A, 0x8035, &arp_body(A, A_ADDRESS))];
    own.iter().chain(&foreign).chain([&last]).for_each(|frame| a.send(frame));
    assert_eq!(outside.received_before(&last), own);
}

fn is_there(interface: &str) -> bool {
    if_nametoindex(interface).is_ok()
}

/// Waits for a thread that closes taps.
fn is_gone_soon(interface: &str) -> bool {
    let started = Instant::now();
    while is_there(interface) && started.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(1));
    }
    !is_there(interface)
}

#[test]
fn the_next_vm_with_an_address_hears_nothing_of_the_last_one_and_nothing_of_that_is_left() {
    if !is_alone() {
        return;
    }
    let outside = Wire::uplink();
    let mut networks = networks(ADDRESSES);
    let first = plug(&mut networks, 1, nic(A, Some(A_ADDRESS)));
    outside.send(&ipv4(A, OUTSIDE, OUTSIDE_ADDRESS, 1));
    drop(first);
    networks.unplug(RunNumber(1));
    assert!(is_gone_soon("gtap1"));
    outside.send(&ipv4(A, OUTSIDE, OUTSIDE_ADDRESS, 2));
    let second = plug(&mut networks, 2, nic(A, Some(A_ADDRESS)));
    assert!(is_there("gtap2") && !is_there("gtap1"));
    let last = ipv4(A, OUTSIDE, OUTSIDE_ADDRESS, 3);
    outside.send(&last);
    assert_eq!(second.received_before(&last), Vec::<Vec<u8>>::new());
    let own = arp(A, A, A_ADDRESS);
    second.send(&own);
    assert_eq!(outside.received_before(&own), Vec::<Vec<u8>>::new(), "its rules are its own");
    networks.unplug(RunNumber(2));
    networks.unplug(RunNumber(2));
    // Whoever had another name for the rules would still have them.
    assert_eq!(networks.kernel().unwrap().filter.remove("gtap1"), Ok(()));
}

#[test]
fn taps_and_rules_end_with_the_keeper_and_the_bridge_is_found_again() {
    if !is_alone() {
        return;
    }
    let (mut networks, outside, a, b) = two_vms(ADDRESSES);
    let number = if_nametoindex("br0").unwrap();
    assert_eq!(Filter::open().unwrap_err(), Errno::EPERM, "a table has one owner");
    let mut stranger = Netlink::to_filters().unwrap();
    assert_eq!(filter::forget(&mut stranger, "gtap1"), Err(Errno::EPERM), "and obeys nobody else");
    networks.unplug(RunNumber(2));
    drop((networks, a, b));
    assert!(is_gone_soon("gtap1") && is_gone_soon("gtap2"));
    let mut next = self::networks(ADDRESSES);
    assert_eq!(if_nametoindex("br0"), Ok(number));
    let a = plug(&mut next, 1, nic(A, Some(A_ADDRESS)));
    let own = arp(A, A, A_ADDRESS);
    a.send(&own);
    assert_eq!(outside.received_before(&own), Vec::<Vec<u8>>::new());
}

#[test]
fn the_servers_word_is_not_taken_for_what_a_vm_may_have() {
    if !is_alone() {
        return;
    }
    let (mut networks, _outside, _a, _b) = two_vms(ADDRESSES);
    let c = [2, 0xaa, 0, 0, 0, 3];
    let refused =
        |networks: &mut Networks, nic: Nic| networks.plug(RunNumber(3), &[nic]).map(drop).unwrap_err().to_string();
    for (wrong, expected) in [
        (nic(A, Some([10, 0, 0, 4])), "another VM has"),
        (nic(c, Some(A_ADDRESS)), "another VM has"),
        (nic(c, Some([10, 0, 1, 4])), "not of its network"),
        (nic(c, Some(OUTSIDE_ADDRESS)), "not of its network"),
        (nic(c, None), "not of its network"),
        (Nic { network: 1, ..nic(c, Some([10, 0, 0, 4])) }, "a network that nobody named"),
    ] {
        let said = refused(&mut networks, wrong);
        assert!(said.contains(expected), "{said}");
    }
    let good = nic(c, Some([10, 0, 0, 4]));
    let both = networks.plug(RunNumber(3), &[good, nic(c, Some([10, 0, 0, 5]))]).map(drop);
    assert!(both.is_err() && !networks.plugged.contains_key(&RunNumber(3)), "all or none");
    assert!(networks.plug(RunNumber(3), &[good]).is_ok());
    assert!(networks.define(vec![kind(ADDRESSES)]).is_ok());
    assert!(networks.define(vec![kind("uplink = 'wire0'")]).is_err(), "another server, the same networks");
    assert!(networks.allows(Reach::Nothing, &[good]) && !networks.allows(Reach::Outside, &[good]));
}

#[test]
fn a_mac_that_was_heard_from_outside_is_no_vms() {
    if !is_alone() {
        return;
    }
    let (mut networks, outside, a, _b) = two_vms(ADDRESSES);
    let last = ipv4(A, OUTSIDE, OUTSIDE_ADDRESS, 1);
    outside.send(&last);
    a.received_before(&last);
    let taken = networks.plug(RunNumber(3), &[nic(OUTSIDE, Some([10, 0, 0, 4]))]).map(drop).unwrap_err().to_string();
    assert!(taken.contains("somebody's on this bridge already"), "{taken}");
    assert!(is_gone_soon("gtap3"));
}

#[test]
fn a_vms_mac_stays_its_own_whoever_speaks_from_it_outside() {
    if !is_alone() {
        return;
    }
    let (_networks, outside, a, _b) = two_vms(ADDRESSES);
    let (pretended, own, answer) =
        (arp(A, A, A_ADDRESS), ipv4(OUTSIDE, A, A_ADDRESS, 1), ipv4(A, OUTSIDE, OUTSIDE_ADDRESS, 2));
    outside.send(&pretended);
    a.send(&own);
    assert_eq!(outside.received_before(&own), Vec::<Vec<u8>>::new());
    outside.send(&answer);
    assert_eq!(a.received_before(&answer), [pretended]);
}

#[test]
fn the_node_plugs_in_nothing_that_is_used_otherwise() {
    if !is_alone() {
        return;
    }
    let plug = |options: &str| networks(options).plug(RunNumber(1), &[nic(A, None)]).map(drop);
    let said = plug("uplink = 'wire0'").unwrap_err().to_string();
    assert!(said.contains("no uplink wire0"), "{said}");
    let outside = Wire::uplink();
    // Loopback has addresses once it is up.
    crate::network::up("lo").unwrap();
    let said = plug("uplink = 'lo'").unwrap_err().to_string();
    assert!(said.contains("has an address"), "{said}");
    assert!(plug("uplink = 'wire0'").is_ok(), "it is there now");
    let other = "name = 'lan'\nkind = 'bridge'\nbridge = 'br1'\nuplink = 'wire0'";
    let other = toml::from_str::<crate::config::network::Network>(other).unwrap().kind;
    let mut second = Networks::default();
    second.define(vec![other]).unwrap();
    let said = second.plug(RunNumber(1), &[nic(A, None)]).map(drop).unwrap_err().to_string();
    assert!(said.contains("part of something else"), "{said}");
    drop((outside, second));

    let _taken = sys::tap("br2").unwrap();
    let taken = "name = 'lan'\nkind = 'bridge'\nbridge = 'br2'";
    let mut third = Networks::default();
    third.define(vec![toml::from_str::<crate::config::network::Network>(taken).unwrap().kind]).unwrap();
    let said = third.plug(RunNumber(1), &[nic(A, None)]).map(drop).unwrap_err().to_string();
    assert!(said.contains("is no bridge"), "{said}");
}

#[test]
fn a_port_has_an_entry_for_its_mac_and_the_node_has_no_address_there() {
    if !is_alone() {
        return;
    }
    let (_networks, _outside, _a, _b) = two_vms(ADDRESSES);
    let with_address = |name: &str| {
        nix::ifaddrs::getifaddrs().unwrap().any(|found| {
            let is_ip = found
                .address
                .is_some_and(|address| address.as_sockaddr_in().is_some() || address.as_sockaddr_in6().is_some());
            found.interface_name == name && is_ip
        })
    };
    assert!(!with_address("br0") && !with_address("gtap1"));
    assert!(fs::exists("/proc/net/if_inet6").unwrap(), "with IPv6 in the kernel, this says something");
}

/// What a start pays, and an end.
#[test]
#[ignore = "a measurement: cargo test -p garantd --lib taps_cost -- --ignored --nocapture"]
fn taps_cost() {
    if !is_alone() {
        return;
    }
    let _outside = Wire::uplink();
    let mut networks = networks(ADDRESSES);
    let mut times: Vec<[Duration; 3]> = Vec::new();
    for run in 0..50 {
        let started = Instant::now();
        let wire = plug(&mut networks, run, nic([2, 0xaa, 1, 0, 0, u8::try_from(run).unwrap()], Some(A_ADDRESS)));
        let plugged = started.elapsed();
        drop(wire);
        let started = Instant::now();
        networks.unplug(RunNumber(run));
        let unplugged = started.elapsed();
        assert!(is_gone_soon(&format!("gtap{}", run + 1)));
        times.push([plugged, unplugged, started.elapsed()]);
    }
    for (number, what) in ["plug", "unplug", "gone"].iter().enumerate() {
        let mut column: Vec<Duration> = times.iter().map(|row| row[number]).collect();
        column.sort();
        eprintln!("{what}: median {:?}, worst {:?}", column[25], column[49]);
    }
}
