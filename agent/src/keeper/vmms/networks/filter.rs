//! What a VM may send: rules of nftables at each tap's ingress, over netlink, in a table that belongs to this process and is
//! gone with it. What no rule lets pass is dropped.
//!
//! Left out: what a VM receives, and IPv6 on networks with addresses, which is dropped.

use crate::netlink::{ACKNOWLEDGE, CREATE, EXCLUSIVE, Message, Netlink};
use garant_api::spec::{Address, Mac};
use nix::errno::Errno;

/// The node's table. It lasts as long as its socket, and nobody else can change it (NFT_TABLE_F_OWNER, Linux 5.12).
#[derive(Debug)]
pub(super) struct Filter {
    kernel: Netlink,
}

/// Lets a frame pass if all of these bytes are as they are here.
type Rule = Vec<Match>;

#[derive(Debug, Clone)]
struct Match {
    header: Header,
    offset: u32,
    bytes: Vec<u8>,
}

/// From where bytes are counted (`enum nft_payload_bases`).
#[derive(Debug, Clone, Copy)]
enum Header {
    Ethernet,
    Network,
}

impl Filter {
    /// Makes the table.
    pub(super) fn open() -> Result<Filter, Errno> {
        let mut kernel = Netlink::to_filters()?;
        let table = message(NFT_MSG_NEWTABLE, CREATE | EXCLUSIVE)
            .with_text(NFTA_TABLE_NAME, TABLE)
            .with(NFTA_TABLE_FLAGS, &NFT_TABLE_F_OWNER.to_be_bytes());
        commit(&mut kernel, [table])?;
        Ok(Filter { kernel })
    }

    /// Lets this interface send what comes from these addresses.
    pub(super) fn add(&mut self, interface: &str, mac: Mac, address: Option<Address>) -> Result<(), Errno> {
        let hook = Message::default()
            .with(NFTA_HOOK_HOOKNUM, &NF_NETDEV_INGRESS.to_be_bytes())
            .with(NFTA_HOOK_PRIORITY, &PRIORITY.to_be_bytes())
            .with_text(NFTA_HOOK_DEV, interface);
        let chain = message(NFT_MSG_NEWCHAIN, CREATE | EXCLUSIVE)
            .with_text(NFTA_CHAIN_TABLE, TABLE)
            .with_text(NFTA_CHAIN_NAME, interface)
            .with_nested(NFTA_CHAIN_HOOK, hook)
            .with(NFTA_CHAIN_POLICY, &NF_DROP.to_be_bytes())
            .with_text(NFTA_CHAIN_TYPE, "filter");
        let rules = rules(mac, address);
        let rules = rules.iter().map(|rule| {
            message(NFT_MSG_NEWRULE, CREATE | APPEND)
                .with_text(NFTA_RULE_TABLE, TABLE)
                .with_text(NFTA_RULE_CHAIN, interface)
                .with_nested(NFTA_RULE_EXPRESSIONS, expressions(rule))
        });
        commit(&mut self.kernel, [chain].into_iter().chain(rules))
    }

    /// Forgets an interface.
    pub(super) fn remove(&mut self, interface: &str) -> Result<(), Errno> {
        match forget(&mut self.kernel, interface) {
            Err(Errno::ENOENT) => Ok(()),
            done => done,
        }
    }
}

/// Has the kernel forget the rules of an interface.
pub(super) fn forget(kernel: &mut Netlink, interface: &str) -> Result<(), Errno> {
    let chain = message(NFT_MSG_DELCHAIN, 0).with_text(NFTA_CHAIN_TABLE, TABLE).with_text(NFTA_CHAIN_NAME, interface);
    commit(kernel, [chain])
}

/// What may pass: IPv4 from its address, and ARP that says so or asks whether somebody else has it (RFC 5227, 2.1.1). Where
/// the network gives no addresses: IPv4, IPv6 and ARP from its MAC.
fn rules(mac: Mac, address: Option<Address>) -> Vec<Rule> {
    let frame = |kind: u16| {
        let source = Match { header: Header::Ethernet, offset: 6, bytes: mac.octets().to_vec() };
        vec![source, Match { header: Header::Ethernet, offset: 12, bytes: kind.to_be_bytes().to_vec() }]
    };
    let arp = |sender: &[u8]| {
        // RFC 826: Ethernet, IPv4, and lengths of both addresses; a request or an answer; the sender's two addresses.
        let kind = Match { header: Header::Network, offset: 0, bytes: vec![0, 1, 8, 0, 6, 4] };
        let sender = Match { header: Header::Network, offset: 8, bytes: [&mac.octets(), sender].concat() };
        [frame(ARP), vec![kind, sender]].concat()
    };
    match address {
        Some(address) => {
            let octets = address.get().octets();
            let source = Match { header: Header::Network, offset: 12, bytes: octets.to_vec() };
            vec![[frame(IPV4), vec![source]].concat(), arp(&octets), arp(&[0; 4])]
        }
        None => vec![frame(IPV4), frame(IPV6), arp(&[])],
    }
}

fn expressions(rule: &Rule) -> Message {
    let accept = Message::default().with(NFTA_VERDICT_CODE, &NF_ACCEPT.to_be_bytes());
    let verdict = Message::default()
        .with(NFTA_IMMEDIATE_DREG, &NFT_REG_VERDICT.to_be_bytes())
        .with_nested(NFTA_IMMEDIATE_DATA, Message::default().with_nested(NFTA_DATA_VERDICT, accept));
    let matches = rule.iter().fold(Message::default(), |list, Match { header, offset, bytes }| {
        let base: u32 = match header {
            Header::Ethernet => 0,
            Header::Network => 1,
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let load = Message::default()
            .with(NFTA_PAYLOAD_DREG, &NFT_REG_1.to_be_bytes())
            .with(NFTA_PAYLOAD_BASE, &base.to_be_bytes())
            .with(NFTA_PAYLOAD_OFFSET, &offset.to_be_bytes())
            .with(NFTA_PAYLOAD_LEN, &length.to_be_bytes());
        let compare = Message::default()
            .with(NFTA_CMP_SREG, &NFT_REG_1.to_be_bytes())
            .with(NFTA_CMP_OP, &NFT_CMP_EQ.to_be_bytes())
            .with_nested(NFTA_CMP_DATA, Message::default().with(NFTA_DATA_VALUE, bytes));
        let list = list.with_nested(NFTA_LIST_ELEM, expression("payload", load));
        list.with_nested(NFTA_LIST_ELEM, expression("cmp", compare))
    });
    matches.with_nested(NFTA_LIST_ELEM, expression("immediate", verdict))
}

fn expression(name: &str, data: Message) -> Message {
    Message::default().with_text(NFTA_EXPR_NAME, name).with_nested(NFTA_EXPR_DATA, data)
}

/// One transaction: all of it, or nothing.
fn commit(kernel: &mut Netlink, messages: impl IntoIterator<Item = Message>) -> Result<(), Errno> {
    // struct nfgenmsg: family, version, and here the subsystem, in network order.
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    let limit = |kind: u16| Message::new(kind, 0, &[0, 0, high, low]);
    let messages = messages.into_iter();
    kernel.request([limit(NFNL_MSG_BATCH_BEGIN)].into_iter().chain(messages).chain([limit(NFNL_MSG_BATCH_END)]))
}

fn message(kind: u16, flags: u16) -> Message {
    Message::new(NFNL_SUBSYS_NFTABLES << 8 | kind, ACKNOWLEDGE | flags, &[NFPROTO_NETDEV, 0, 0, 0])
}

/// No other name is needed: the table is this process' own, in its network namespace.
const TABLE: &str = "garant";
/// Before all that others do with what comes in.
const PRIORITY: i32 = -500;
/// Ethernet's protocols (linux/if_ether.h).
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
// linux/netfilter.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h, linux/netlink.h
const APPEND: u16 = 0x800;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFPROTO_NETDEV: u8 = 5;
const NF_NETDEV_INGRESS: u32 = 0;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_DELCHAIN: u16 = 5;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_TABLE_F_OWNER: u32 = 2;
const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFT_CMP_EQ: u32 = 0;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_PAYLOAD_DREG: u16 = 1;
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;
const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
