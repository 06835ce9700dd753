//! Bridges and their ports, over rtnetlink(7). Left out: what may pass a port (`filter`).

use crate::{
    config::network::{Bridge, InterfaceName, Ports},
    netlink::{ACKNOWLEDGE, CREATE, EXCLUSIVE, Message, Netlink, attributes_of},
};
use garant_api::spec::Mac;
use nix::{errno::Errno, ifaddrs::getifaddrs, net::if_::if_nametoindex};
use std::io;

/// A port of a bridge, for a VM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Port {
    /// The bridge.
    pub(super) master: u32,
    /// The only address that speaks there.
    pub(super) mac: Mac,
    /// Whether other VMs are reached.
    pub(super) ports: Ports,
}

/// Makes a bridge that is not there, plugs its uplink in, and brings both up. Its number.
pub(super) fn ensure(kernel: &mut Netlink, bridge: &Bridge) -> io::Result<u32> {
    let name = bridge.interface.as_str();
    let found = match Link::find(kernel, name)? {
        Some(found) => found,
        None => {
            create(kernel, name).map_err(|errno| failed("make", name, errno))?;
            Link::find(kernel, name)?.ok_or(io::ErrorKind::NotFound)?
        }
    };
    if !found.is_bridge {
        return Err(io::Error::other(format!("{name} is no bridge: name another, or remove it")));
    }
    up(kernel, found.index).map_err(|errno| failed("bring up", name, errno))?;
    if let Some(uplink) = &bridge.uplink {
        plug_uplink(kernel, uplink, found.index)?;
    }
    Ok(found.index)
}

/// A bridge with an address of its own on the wire, so that it keeps it whatever is plugged in, and no other: nobody on it
/// reaches the node.
fn create(kernel: &mut Netlink, name: &str) -> Result<(), Errno> {
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|_| Errno::EIO)?;
    let message = Message::new(RTM_NEWLINK, ACKNOWLEDGE | CREATE | EXCLUSIVE, &link_head(AF_UNSPEC, 0, 0))
        .with_text(IFLA_IFNAME, name)
        .with(IFLA_ADDRESS, &Mac::of_random(random).octets())
        .with_nested(IFLA_LINKINFO, Message::default().with_text(IFLA_INFO_KIND, "bridge"));
    kernel.request([message])?;
    silence(kernel, if_nametoindex(name)?)
}

fn plug_uplink(kernel: &mut Netlink, uplink: &InterfaceName, master: u32) -> io::Result<()> {
    let name = uplink.as_str();
    let missing = || io::Error::other(format!("there is no uplink {name}"));
    let link = Link::find(kernel, name)?.ok_or_else(missing)?;
    match link.master {
        Some(other) if other != master => return Err(io::Error::other(format!("{name} is part of something else"))),
        Some(_) => {}
        // Its addresses would no longer be reached: perhaps the one by which the operator is here.
        None if has_address(name)? => {
            return Err(io::Error::other(format!("{name} has an address: give it to the bridge instead")));
        }
        None => {
            let message = set_link(link.index).with(IFLA_MASTER, &master.to_ne_bytes());
            kernel.request([message]).map_err(|errno| failed("plug in", name, errno))?;
        }
    }
    up(kernel, link.index).map_err(|errno| failed("bring up", name, errno))
}

fn has_address(name: &str) -> io::Result<bool> {
    let mut addresses = getifaddrs()?.filter(|found| found.interface_name == name).filter_map(|found| found.address);
    Ok(addresses.any(|address| {
        let v6 = address.as_sockaddr_in6().map(|address| address.ip());
        address.as_sockaddr_in().is_some() || v6.is_some_and(|address| !address.is_unicast_link_local())
    }))
}

impl Port {
    /// Plugs an interface in, which is down until it is all that it has to be.
    pub(super) fn plug(self, kernel: &mut Netlink, name: &str) -> io::Result<()> {
        let failed = |errno| failed("plug in", name, errno);
        let index = if_nametoindex(name).map_err(failed)?;
        let message =
            set_link(index).with(IFLA_ADDRESS, &host_mac(self.mac)).with(IFLA_MASTER, &self.master.to_ne_bytes());
        kernel.request([message]).map_err(failed)?;
        silence(kernel, index).map_err(failed)?;
        kernel.request([self.flags(index)]).map_err(failed)?;
        kernel.request([self.entry(RTM_NEWNEIGH, CREATE | EXCLUSIVE, index)]).map_err(|errno| match errno {
            Errno::EEXIST => io::Error::other(format!("{} is somebody's on this bridge already", self.mac)),
            errno => failed(errno),
        })?;
        up(kernel, index).map_err(failed)
    }

    /// Takes its entry away, so that another port can have it; the interface itself goes with its tap.
    pub(super) fn unplug(self, kernel: &mut Netlink, name: &str) -> Result<(), Errno> {
        match kernel.request([self.entry(RTM_DELNEIGH, 0, if_nametoindex(name)?)]) {
            Err(Errno::ENOENT) => Ok(()),
            removed => removed,
        }
    }

    /// It knows one address and learns none; from any other nothing is taken (Linux 5.16), and what is for others is not
    /// sent there.
    fn flags(self, index: u32) -> Message {
        let isolated = u8::from(self.ports == Ports::Isolated);
        let flags = Message::default()
            .with(IFLA_BRPORT_LEARNING, &[0])
            .with(IFLA_BRPORT_UNICAST_FLOOD, &[0])
            .with(IFLA_BRPORT_MULTICAST_ROUTER, &[0])
            .with(IFLA_BRPORT_ISOLATED, &[isolated])
            .with(IFLA_BRPORT_LOCKED, &[1]);
        let head = link_head(AF_BRIDGE, index, 0);
        Message::new(RTM_SETLINK, ACKNOWLEDGE, &head).with_nested(IFLA_PROTINFO, flags)
    }

    /// The bridge's entry for it. One that is there already is not taken from who has it, and it stays here whoever else
    /// speaks from its address (Linux 4.20).
    fn entry(self, kind: u16, flags: u16, index: u32) -> Message {
        // struct ndmsg: family, padding, index, state, flags, type
        let mut head = vec![AF_BRIDGE, 0, 0, 0];
        head.extend(index.to_ne_bytes());
        head.extend((NUD_NOARP | NUD_REACHABLE).to_ne_bytes());
        head.extend([NTF_MASTER | NTF_STICKY, 0]);
        Message::new(kind, ACKNOWLEDGE | flags, &head).with(NDA_LLADDR, &self.mac.octets())
    }
}

/// The node's own address on a tap, which is the guest's but for its first byte.
fn host_mac(guest: Mac) -> [u8; 6] {
    let [first, rest @ ..] = guest.octets();
    let [b, c, d, e, f] = rest;
    [if first == 0xfe { 0xfa } else { 0xfe }, b, c, d, e, f]
}

/// What an interface is.
struct Link {
    index: u32,
    master: Option<u32>,
    is_bridge: bool,
}

impl Link {
    fn find(kernel: &mut Netlink, name: &str) -> io::Result<Option<Link>> {
        let message = Message::new(RTM_GETLINK, ACKNOWLEDGE, &link_head(AF_UNSPEC, 0, 0)).with_text(IFLA_IFNAME, name);
        let said = match kernel.ask([message]) {
            Ok(said) => said,
            Err(Errno::ENODEV) => return Ok(None),
            Err(errno) => return Err(failed("look for", name, errno)),
        };
        let link = said.first().and_then(|body| Link::read(body));
        link.map(Some).ok_or_else(|| failed("look for", name, Errno::EBADMSG))
    }

    fn read(body: &[u8]) -> Option<Link> {
        let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
        let (mut master, mut is_bridge) = (None, false);
        for (kind, value) in attributes_of(body.get(LINK_HEAD_BYTES..)?) {
            match kind {
                IFLA_MASTER => master = value.first_chunk().copied().map(u32::from_ne_bytes),
                IFLA_LINKINFO => is_bridge = attributes_of(value).any(|one| one == (IFLA_INFO_KIND, b"bridge\0")),
                _ => {}
            }
        }
        Some(Link { index, master, is_bridge })
    }
}

fn set_link(index: u32) -> Message {
    Message::new(RTM_NEWLINK, ACKNOWLEDGE, &link_head(AF_UNSPEC, index, 0))
}

fn up(kernel: &mut Netlink, index: u32) -> Result<(), Errno> {
    kernel.request([Message::new(RTM_NEWLINK, ACKNOWLEDGE, &link_head(AF_UNSPEC, index, IFF_UP))])
}

/// Keeps the node from having an IPv6 address there and from speaking of it. A kernel without IPv6 has nothing to say.
fn silence(kernel: &mut Netlink, index: u32) -> Result<(), Errno> {
    let mode = Message::default().with(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
    let families = Message::default().with_nested(AF_INET6, mode);
    match kernel.request([set_link(index).with_nested(IFLA_AF_SPEC, families)]) {
        Err(Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP) => Ok(()),
        set => set,
    }
}

/// `struct ifinfomsg`: family, padding, type, index, flags, which of them change.
fn link_head(family: u8, index: u32, flags: u32) -> Vec<u8> {
    let mut head = vec![family, 0, 0, 0];
    for word in [index, flags, flags] {
        head.extend(word.to_ne_bytes());
    }
    head
}

fn failed(doing: &str, name: &str, errno: Errno) -> io::Error {
    io::Error::other(format!("cannot {doing} {name}: {errno}"))
}

// linux/rtnetlink.h, linux/if_link.h, linux/if.h, linux/neighbour.h, linux/socket.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_MULTICAST_ROUTER: u16 = 25;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_BRPORT_LOCKED: u16 = 39;
const NDA_LLADDR: u16 = 2;
const NUD_NOARP: u16 = 0x40;
const NUD_REACHABLE: u16 = 0x02;
const NTF_MASTER: u8 = 0x04;
const NTF_STICKY: u8 = 0x40;
const IFF_UP: u32 = 1;
const AF_UNSPEC: u8 = 0;
const AF_BRIDGE: u8 = 7;
const AF_INET6: u16 = 10;
const LINK_HEAD_BYTES: usize = 16;
