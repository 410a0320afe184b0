//! This machine as the engine sees it: interfaces, addresses and routes, as rtnetlink tells them.
//!
//! # Overview
//! [`Mirror`] asks for everything once and builds a [`Host`]; after that it hears what changes and asks anew. What it
//! knows of routes is the table `main`: of two routes to the same prefix the one with the lower metric, of one with several
//! next hops the first. Routing itself stays with the kernel; the mirror says which chain a packet goes through and by which
//! interface it leaves.
//!
//! # Life cycle
//! [`Mirror::open`] hears of changes before it asks, so that none is missed between the two. [`Mirror::changed`] waits for one;
//! if the kernel could not tell all of them (`ENOBUFS`), that is a change too.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use palisade_engine::{Host, Interface};

use crate::netlink::{Protocol, Received, Socket, attribute, be32, ne32, text};

const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const GET_RULE: u16 = 34;

/// Groups of rtnetlink, a bit each: links, addresses and routes of both families.
const GROUPS: u32 = 1 | 0x10 | 0x40 | 0x100 | 0x400;

/// The routing tables that every packet is looked up in unless a rule says otherwise.
const MAIN: u32 = 254;
const ORDINARY: [u32; 3] = [253, MAIN, 255];

const UNICAST: u8 = 1;

/// A flag of interfaces (kernel `IFF_UP`).
const UP: u32 = 1;

const V4: u8 = 2;
const V6: u8 = 10;

/// An interface by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Link {
    name: String,
    mtu: u32,
    group: u32,
    up: bool,
    addresses: Vec<IpAddr>,
    prefixes: Vec<(IpAddr, u8)>,
}

/// What stands between this machine and the engine's picture of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    links: BTreeMap<u32, Link>,
    realms: Vec<(IpAddr, u8, u16)>,
    /// Rules of routing that lead elsewhere than the usual tables, as far as the picture goes: their number.
    pub rules: usize,
    route_localnet: bool,
}

impl Machine {
    /// The picture.
    pub fn host(&self) -> Host {
        // What is down has no addresses or routes in the kernel's eyes either.
        let up = self.links.values().filter(|link| link.up);
        let interfaces = up.map(|link| Interface {
            name: link.name.clone(),
            addresses: link.addresses.clone(),
            prefixes: link.prefixes.clone(),
            mtu: Some(link.mtu),
        });
        let groups = self.links.values().filter(|link| link.group != 0);
        Host {
            route_localnet: self.route_localnet,
            groups: groups.map(|link| (link.name.clone(), link.group)).collect(),
            realms: self.realms.clone(),
            // No other program can take packets from here: rules of NFQUEUE find nobody listening.
            queues: Some(Vec::new()),
            ..Host::new([], interfaces)
        }
    }

    /// The name of an interface.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|link| &*link.name)
    }

    fn link(&mut self, received: &Received<'_>) {
        let (Some(index), Some(rest)) = (
            received.body.get(4..).and_then(ne32),
            received.body.get(16..),
        ) else {
            return;
        };
        let number = |kind| attribute(rest, kind).and_then(ne32);
        let link = Link {
            name: attribute(rest, 3).map(text).unwrap_or_default(),
            mtu: number(4).unwrap_or_default(),
            group: number(27).unwrap_or_default(),
            up: received
                .body
                .get(8..)
                .and_then(ne32)
                .is_some_and(|flags| flags & UP != 0),
            ..Link::default()
        };
        self.links.insert(index, link);
    }

    fn address(&mut self, received: &Received<'_>) {
        let (Some(index), Some(rest)) = (
            received.body.get(4..).and_then(ne32),
            received.body.get(8..),
        ) else {
            return;
        };
        // Of a point-to-point interface the other end is the address, and ours the local one.
        let own = attribute(rest, 2).or_else(|| attribute(rest, 1));
        if let (Some(address), Some(link)) = (own.and_then(address_of), self.links.get_mut(&index))
        {
            link.addresses.push(address);
        }
    }
}

/// A route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    net: IpAddr,
    length: u8,
    metric: u32,
    index: u32,
    realm: u16,
}

/// Reads a route; `None` of one that is not of the table `main`, or leads nowhere.
fn route(received: &Received<'_>) -> Option<Found> {
    let &[family, length, _, _, table, _, _, kind, ..] = received.body else {
        return None;
    };
    let rest = received.body.get(12..)?;
    let number = |kind| attribute(rest, kind).and_then(ne32);
    if number(15).unwrap_or(u32::from(table)) != MAIN || kind != UNICAST {
        return None;
    }
    let any = match family {
        V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let net = attribute(rest, 1).map_or(Some(any), address_of)?;
    let most = if net.is_ipv4() { 32 } else { 128 };
    // The first of several next hops: length, flags, weight, interface.
    let hop = attribute(rest, 9).and_then(|hops| hops.get(4..).and_then(ne32));
    Some(Found {
        net,
        length: length.min(most),
        metric: number(6).unwrap_or(0),
        index: number(4).or(hop)?,
        realm: number(11).unwrap_or(0) as u16,
    })
}

/// Whether a rule of routing leads elsewhere than the usual tables.
fn leads_elsewhere(received: &Received<'_>) -> bool {
    let Some(table) = received.body.get(4) else {
        return false;
    };
    let rest = received.body.get(12..).unwrap_or_default();
    let table = attribute(rest, 15)
        .and_then(ne32)
        .unwrap_or(u32::from(*table));
    !ORDINARY.contains(&table)
}

fn address_of(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => be32(value).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        16 => value.first_chunk().map(|b: &[u8; 16]| IpAddr::from(*b)),
        _ => None,
    }
}

/// The mirror.
#[derive(Debug)]
pub struct Mirror {
    asking: Socket,
    hearing: Socket,
}

impl Mirror {
    /// Opens it for the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn open() -> io::Result<Self> {
        Ok(Mirror {
            hearing: Socket::open(Protocol::Route, GROUPS)?,
            asking: Socket::open(Protocol::Route, 0)?,
        })
    }

    /// All there is now.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn machine(&mut self) -> io::Result<Machine> {
        let mut machine = Machine::default();
        self.asking
            .dump(GET_LINK, &[0; 16], |received| machine.link(received))?;
        self.asking
            .dump(GET_ADDRESS, &[0; 8], |received| machine.address(received))?;
        let mut routes: BTreeMap<(IpAddr, u8), Found> = BTreeMap::new();
        self.asking.dump(GET_ROUTE, &[0; 12], |received| {
            if let Some(found) = route(received) {
                let best = routes.entry((found.net, found.length)).or_insert(found);
                if found.metric < best.metric {
                    *best = found;
                }
            }
        })?;
        for found in routes.values() {
            if let Some(link) = machine.links.get_mut(&found.index) {
                link.prefixes.push((found.net, found.length));
            }
            if found.realm != 0 {
                machine.realms.push((found.net, found.length, found.realm));
            }
        }
        let mut rules = 0;
        self.asking.dump(GET_RULE, &[0; 12], |received| {
            rules += usize::from(leads_elsewhere(received));
        })?;
        machine.rules = rules;
        machine.route_localnet = route_localnet(&machine);
        Ok(machine)
    }

    /// Waits for a change, no longer than `wait`. Changes that were told together are one.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn changed(&mut self, wait: Duration) -> io::Result<bool> {
        let milliseconds = u16::try_from(wait.as_millis()).unwrap_or(u16::MAX);
        let mut waiting = [PollFd::new(self.hearing.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::from(milliseconds)) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut changed = false;
        loop {
            match self.hearing.receive_now() {
                Ok(Some(messages)) => {
                    let _ = messages.count();
                    changed = true;
                }
                Ok(None) => return Ok(changed),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changed = true,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether packets from 127.0.0.0/8 are routed on any interface.
fn route_localnet(machine: &Machine) -> bool {
    let names = machine.links.values().map(|link| &*link.name);
    std::iter::once("all").chain(names).any(|name| {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/route_localnet");
        std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::{Message, attributes, messages, ne16};

    fn of(message: &Message) -> Received<'_> {
        messages(message.bytes()).next().unwrap()
    }

    #[test]
    fn a_machine_is_read_from_what_is_told() {
        let mut machine = Machine::default();
        let mut link = Message::new();
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&7u32.to_ne_bytes());
        header[8..12].copy_from_slice(&UP.to_ne_bytes());
        link.begin(16, 0, 0)
            .fixed(&header)
            .text(3, "lan0")
            .put(4, &1400u32.to_ne_bytes())
            .put(27, &5u32.to_ne_bytes());
        machine.link(&of(&link));
        let mut address = Message::new();
        let mut header = [V4, 24, 0, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&7u32.to_ne_bytes());
        address
            .begin(20, 0, 0)
            .fixed(&header)
            .put(1, &[10, 0, 0, 1])
            .put(2, &[10, 0, 0, 2]);
        machine.address(&of(&address));
        let host = machine.host();
        let lan = host.interface("lan0").unwrap();
        assert_eq!(lan.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!((lan.mtu, host.groups.get("lan0")), (Some(1400), Some(&5)));
    }

    #[test]
    fn routes_of_the_main_table_count_and_no_others() {
        let told = |table: u8, kind: u8, by: &dyn Fn(&mut Message)| {
            let mut message = Message::new();
            message
                .begin(24, 0, 0)
                .fixed(&[V4, 16, 0, 0, table, 0, 0, kind, 0, 0, 0, 0])
                .put(1, &[10, 1, 0, 0])
                .put(6, &100u32.to_ne_bytes());
            by(&mut message);
            route(&of(&message))
        };
        let single = |m: &mut Message| {
            m.put(4, &3u32.to_ne_bytes());
        };
        let several = |m: &mut Message| {
            m.nest(9, |m| {
                m.fixed(&[8, 0, 0, 0]).fixed(&4u32.to_ne_bytes());
                m.fixed(&[8, 0, 0, 0]).fixed(&5u32.to_ne_bytes());
            });
        };
        let by = |index| Found {
            net: "10.1.0.0".parse().unwrap(),
            length: 16,
            metric: 100,
            index,
            realm: 0,
        };
        assert_eq!(told(254, UNICAST, &single), Some(by(3)));
        assert_eq!(told(254, UNICAST, &several), Some(by(4)));
        assert_eq!(told(255, UNICAST, &single), None);
        assert_eq!(told(254, 7, &single), None);
        assert_eq!(told(254, UNICAST, &|_| {}), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let received = Received { kind: 24, flags: 0, sequence: 0, body: &body };
            let _ = route(&received);
            let _ = leads_elsewhere(&received);
            let mut machine = Machine::default();
            machine.link(&received);
            machine.address(&received);
            prop_assert!(attributes(&body).count() <= body.len());
            let _ = ne16(&body);
        }
    }
}
