//! Networks of VMs, as the keeper knows them: it makes bridges and a tap for each network interface of a VMM, and takes both
//! the tap and all that the kernel knows of it away when the VMM has ended.
//!
//! A tap serves one run and is made anew for the next: whatever a VMM did to it (filters, offloads, frames that nobody took)
//! goes with it. Neither taps nor rules outlive the keeper; bridges do, and are found again.

mod bridge;
mod filter;

use self::{bridge::Port, filter::Filter};
use crate::{
    config::network::{Addresses, Bridge, Kind, Reach, TAP},
    netlink::Netlink,
    sys,
    vm::link::{Nic, RunNumber},
};
use nix::errno::Errno;
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
};

/// All networks, and every VMM's interfaces.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// As the first server said, which had read nothing but its configuration.
    kinds: Option<Vec<Kind>>,
    kernel: Option<Kernel>,
    plugged: BTreeMap<RunNumber, Vec<Plug>>,
    /// Taps made so far.
    made: u64,
}

#[derive(Debug)]
struct Kernel {
    routes: Netlink,
    filter: Filter,
}

#[derive(Debug)]
struct Plug {
    nic: Nic,
    port: Port,
    /// Its interface.
    name: String,
    tap: OwnedFd,
}

impl Networks {
    /// Takes note of the networks. A server that is not of the first one's mind is none of ours.
    pub(super) fn define(&mut self, kinds: Vec<Kind>) -> io::Result<()> {
        match &self.kinds {
            Some(known) if *known == kinds => return Ok(()),
            Some(_) => return Err(io::Error::other("it names other networks than the server before it")),
            None => {}
        }
        for kind in &kinds {
            // What is not ready is tried again with each VM.
            if let Kind::Bridge(wanted) = kind
                && let Err(error) = self.kernel().and_then(|kernel| bridge::ensure(&mut kernel.routes, wanted))
            {
                log::warn!("network not ready bridge={}: {error}", wanted.interface.as_str());
            }
        }
        self.kinds = Some(kinds);
        Ok(())
    }

    /// Whether a VMM with these interfaces may reach what the node reaches.
    pub(super) fn allows(&self, reach: Reach, nics: &[Nic]) -> bool {
        let is_outside = |nic: &Nic| matches!(self.kind(nic), Ok(Kind::User(Reach::Outside)));
        reach == Reach::Nothing || nics.iter().any(is_outside)
    }

    /// Makes a tap for each interface on a bridge, in order; all of them or none.
    pub(super) fn plug(&mut self, run: RunNumber, nics: &[Nic]) -> io::Result<Vec<BorrowedFd<'_>>> {
        for nic in nics {
            if let Kind::Bridge(bridge) = self.kind(nic)?.clone() {
                let plug = self.plug_one(&bridge, *nic).inspect_err(|_| self.unplug(run))?;
                self.plugged.entry(run).or_default().push(plug);
            }
        }
        Ok(self.plugged.get(&run).into_iter().flatten().map(|plug| plug.tap.as_fd()).collect())
    }

    /// Takes them away, once nobody but the keeper holds them.
    pub(super) fn unplug(&mut self, run: RunNumber) {
        let plugs = self.plugged.remove(&run).unwrap_or_default();
        for Plug { port, name, .. } in &plugs {
            let Some(kernel) = &mut self.kernel else { break };
            // At once, so that the next one with its addresses finds them free.
            let removed = port.unplug(&mut kernel.routes, name).and_then(|()| kernel.filter.remove(name));
            if let Err(errno) = removed {
                log::warn!("interface not cleared interface={name}: {errno}");
            }
        }
        let taps: Vec<OwnedFd> = plugs.into_iter().map(|plug| plug.tap).collect();
        if !taps.is_empty() {
            // The kernel takes 20 ms to forget one (measured), in which nothing else should wait. Where there is no
            // thread to be had, they are closed here.
            let _ = thread::Builder::new().name("taps".to_owned()).spawn(move || drop(taps));
        }
    }

    fn plug_one(&mut self, bridge: &Bridge, nic: Nic) -> io::Result<Plug> {
        self.expect_own(bridge.addresses.as_ref(), nic)?;
        self.made = self.made.wrapping_add(1);
        // The longest that an interface's name can be has eight digits behind these.
        let name = format!("{TAP}{}", self.made % 100_000_000);
        let kernel = self.kernel()?;
        let master = bridge::ensure(&mut kernel.routes, bridge)?;
        let tap = sys::tap(&name)?;
        let port = Port { master, mac: nic.mac, ports: bridge.ports };
        // What nothing filters is never up.
        kernel.filter.add(&name, nic.mac, nic.address).map_err(|errno| no_filter(&name, errno))?;
        let plugged = port.plug(&mut kernel.routes, &name);
        if plugged.is_err() {
            let _ = kernel.filter.remove(&name);
        }
        plugged?;
        Ok(Plug { nic, port, name, tap })
    }

    /// Refuses what another VM has, or what no VM may have: the server's word is not taken for it.
    fn expect_own(&self, addresses: Option<&Addresses>, nic: Nic) -> io::Result<()> {
        let is_within = match (addresses, nic.address) {
            (Some(addresses), Some(address)) => addresses.has(address),
            (None, None) => true,
            _ => false,
        };
        let mut others = self.plugged.values().flatten().map(|plug| plug.nic);
        let has_same = |other: Nic| {
            let is_there = other.network == nic.network && nic.address.is_some();
            other.mac == nic.mac || is_there && other.address == nic.address
        };
        match (is_within, others.any(has_same)) {
            (false, _) => Err(io::Error::other("an address that is not of its network")),
            (true, true) => Err(io::Error::other("an address that another VM has")),
            (true, false) => Ok(()),
        }
    }

    fn kind(&self, nic: &Nic) -> io::Result<&Kind> {
        let kind = self.kinds.as_ref().and_then(|kinds| kinds.get(usize::from(nic.network)));
        kind.ok_or_else(|| io::Error::other("a network that nobody named"))
    }

    fn kernel(&mut self) -> io::Result<&mut Kernel> {
        let kernel = match self.kernel.take() {
            Some(kernel) => kernel,
            None => Kernel { routes: Netlink::to_routes()?, filter: Filter::open().map_err(no_filters)? },
        };
        Ok(self.kernel.insert(kernel))
    }
}

fn no_filters(errno: Errno) -> io::Error {
    match errno {
        Errno::EPERM => {
            io::Error::other("rules are somebody else's: another garantd in this network namespace, or no right")
        }
        errno => io::Error::other(format!("the kernel gives no packet filter ({errno}): load nf_tables")),
    }
}

fn no_filter(name: &str, errno: Errno) -> io::Error {
    io::Error::other(format!("no rules for {name}: {errno}"))
}

#[cfg(test)]
mod tests;
