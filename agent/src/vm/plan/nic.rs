//! Network interfaces of a VMM. Taps are the keeper's to make and to hand on: they follow the files, in order.

use super::{FIRST_FILE, Plan};
use crate::config::network::Reach;
use garant_api::{
    spec::{Mac, Machine},
    vm::Interface,
};
use serde_json::json;

/// What stands behind a network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// QEMU's own network.
    User(Reach),
    /// A tap, whose descriptor comes behind all files.
    Tap,
}

impl Plan {
    /// Adds network interfaces. No file may be added afterwards, whose number a tap has.
    pub fn add_nics(&mut self, machine: Machine, nics: &[(Interface, Wire)]) {
        let first = self.descriptors.len().saturating_add(usize::from(FIRST_FILE));
        let mut taps = first..;
        for (number, (interface, wire)) in nics.iter().enumerate() {
            let id = format!("net{number}");
            let netdev = match wire {
                // What is restricted answers its guest's DHCP and ARP, and lets nothing out (qemu(1), -netdev user).
                Wire::User(reach) => json!({ "type": "user", "id": id, "restrict": *reach == Reach::Nothing }),
                // Text, which names a descriptor or another monitor's.
                Wire::Tap => json!({ "type": "tap", "id": id, "fd": taps.next().unwrap_or_default().to_string() }),
            };
            self.add_json("-netdev", &netdev);
            self.add_nic(machine, number, &id, interface.mac);
        }
    }

    fn add_nic(&mut self, machine: Machine, number: usize, netdev: &str, mac: Mac) {
        let (device, mac) = (format!("nic{number}"), mac.to_string());
        self.add_json(
            "-device",
            &match machine {
                Machine::Microvm => {
                    json!({ "driver": "virtio-net-device", "id": device, "netdev": netdev, "mac": mac })
                }
                // No program of the card's own, which would boot from the network.
                Machine::Q35 => json!({
                    "driver": "virtio-net-pci", "id": device, "netdev": netdev, "mac": mac, "romfile": "",
                }),
            },
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use garant_api::spec::Mac;

    fn arguments(machine: Machine, wires: &[Wire]) -> Vec<String> {
        let files = [(), ()].map(|()| std::fs::File::open("/dev/null").unwrap().into());
        let mut plan = Plan { arguments: Vec::new(), descriptors: files.into() };
        let interface = Interface {
            network: "lan".parse().unwrap(),
            mac: Mac::of_random([0; 6]),
            address: "10.0.0.2".parse().ok(),
            prefix_bits: Some(24),
            gateway: None,
        };
        plan.add_nics(machine, &wires.iter().map(|wire| (interface.clone(), *wire)).collect::<Vec<_>>());
        plan.arguments.chunks(2).map(|pair| pair.join(" ")).collect()
    }

    #[test]
    fn taps_have_the_numbers_behind_the_files_in_order_and_user_networks_none() {
        let found = arguments(Machine::Q35, &[Wire::Tap, Wire::User(Reach::Nothing), Wire::Tap]);
        let expected = [
            r#"-netdev {"fd":"7","id":"net0","type":"tap"}"#,
            r#"-device {"driver":"virtio-net-pci","id":"nic0","mac":"02:00:00:00:00:00","netdev":"net0","romfile":""}"#,
            r#"-netdev {"id":"net1","restrict":true,"type":"user"}"#,
            r#"-device {"driver":"virtio-net-pci","id":"nic1","mac":"02:00:00:00:00:00","netdev":"net1","romfile":""}"#,
            r#"-netdev {"fd":"8","id":"net2","type":"tap"}"#,
            r#"-device {"driver":"virtio-net-pci","id":"nic2","mac":"02:00:00:00:00:00","netdev":"net2","romfile":""}"#,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_user_network_lets_nothing_out_unless_it_reaches_outside_and_a_microvm_has_no_pci() {
        let found = arguments(Machine::Microvm, &[Wire::User(Reach::Outside)]);
        let expected = [
            r#"-netdev {"id":"net0","restrict":false,"type":"user"}"#,
            r#"-device {"driver":"virtio-net-device","id":"nic0","mac":"02:00:00:00:00:00","netdev":"net0"}"#,
        ];
        assert_eq!(found, expected);
    }
}
