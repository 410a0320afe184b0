//! What may change about an engine while it runs, rules apart (`replace.rs`).

use std::net::IpAddr;

use palisade_conntrack::events::Taken;
use palisade_conntrack::{ConnId, Conntrack, Direction};
use palisade_wire::Timestamp;

use crate::{Engine, Host};

impl Engine {
    /// Interfaces, addresses or routes are others now. Ways that were remembered for flows are not taken any more.
    /// Connections that are masqueraded with an address that its interface no longer has end, as do all that are
    /// masqueraded with any address of an interface that is gone (kernel `masq_inet_event`, `masq_device_event`): an
    /// interface that is down is to be left out of the list. Accounting objects of names that are there count on.
    ///
    /// Returns how many connections ended.
    pub fn set_host(&mut self, host: Host) -> usize {
        self.settle();
        for account in &host.accounts {
            if self.states.accounts.iter().all(|a| a.name != account.name) {
                self.states.accounts.add(account);
            }
        }
        let old = std::mem::replace(&mut self.host, host);
        let mut lost = Lost::default();
        for interface in &old.interfaces {
            let name = interface.name.as_str();
            match self.host.interface(name) {
                None => lost.interfaces.push(name),
                Some(now) => {
                    let gone = interface.addresses.iter();
                    let gone = gone.filter(|address| !now.addresses.contains(address));
                    lost.addresses.extend(gone.map(|address| (name, *address)));
                }
            }
        }
        if lost.interfaces.is_empty() && lost.addresses.is_empty() {
            return 0;
        }
        let ended: Vec<ConnId> = self
            .conntrack
            .connections()
            .filter(|c| {
                let address = || c.tuple(Direction::Reply).destination;
                c.masquerade().is_some_and(|name| lost.has(name, address))
            })
            .map(|c| c.id())
            .collect();
        self.cut(&ended)
    }

    /// How far the wall's clock is ahead of the times that packets are given, in nanoseconds: for `-m time`, where
    /// packets are given the time of a clock that goes on evenly.
    pub fn set_wall_ahead(&mut self, nanoseconds: i64) {
        self.states.wall_ahead = nanoseconds;
    }

    /// What the wall's clock shows at a moment.
    pub fn wall(&self, now: Timestamp) -> Timestamp {
        self.states.wall(now)
    }

    /// Ends connections at once; those that are gone already are left out. Returns how many ended.
    pub fn cut(&mut self, connections: &[ConnId]) -> usize {
        let before = self.conntrack.len();
        for id in connections {
            self.conntrack.kill(*id);
        }
        before.saturating_sub(self.conntrack.len())
    }

    /// Records what happens to connections and expectations from now on, or no longer; see
    /// [`conntrack::events`](palisade_conntrack::events). While it does, all packets take the long way.
    pub fn set_events(&mut self, on: bool) {
        self.conntrack.set_events(on);
    }

    /// Hands out what happened to connections and expectations since the last time.
    pub fn take_events(&mut self) -> Taken {
        self.conntrack.take_events()
    }

    /// The connection table, to be changed by hand.
    pub fn conntrack_mut(&mut self) -> &mut Conntrack {
        &mut self.conntrack
    }
}

/// Where masqueraded connections cannot leave from any more.
#[derive(Default)]
struct Lost<'a> {
    interfaces: Vec<&'a str>,
    addresses: Vec<(&'a str, IpAddr)>,
}

impl Lost<'_> {
    fn has(&self, interface: &str, address: impl FnOnce() -> IpAddr) -> bool {
        self.interfaces.contains(&interface)
            || !self.addresses.is_empty() && self.addresses.contains(&(interface, address()))
    }
}
