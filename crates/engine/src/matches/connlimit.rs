//! connlimit: the connections of each network, counted (kernel `xt_connlimit.c`, `nf_conncount.c`).
//!
//! # Overview
//! Each rule has its own count. What it counts are the connections whose packets it was asked about, by the
//! network of the packet's address and the zone; not the connection table as a whole.
//! # Life cycle
//! A packet of a connection that is not assured yet is entered with its network, once. What the table does not
//! have any more, and TCP connections that are closed, are thrown out when the network is asked about next, but
//! at most once a tick.
//! # Bounds
//! An entry was a connection when it was made. Networks without any are thrown out when there are twice as many
//! networks as were left the last time, at least 1,024.
//! # Locking
//! None: owned by the engine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_conntrack::{ConnId, Connection, Conntrack, Direction, TcpState, Track, Tuple, Zone};
use palisade_rules::matches::connlimit::Connlimit;
use palisade_wire::{Packet, Timestamp};

use super::limit::Jiffies;
use super::{Answer, side_address};

/// Dead entries thrown out at a time, and new ones entered within a tick without a look at the others
/// (kernel `CONNCOUNT_GC_MAX_COLLECT`).
const COLLECT: usize = 64;

/// Networks of a rule before any is thrown out.
const NETWORKS: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Entry {
    tuple: Tuple,
    zones: [Zone; 2],
}

/// A network's connections.
#[derive(Clone, Debug, Default)]
struct Network {
    entries: Vec<Entry>,
    /// Tick of the last look at all of them.
    looked: u64,
    /// How many it left.
    left: usize,
}

/// What became of a connection that was to be entered.
enum Entered {
    Counted,
    /// Assured connections are not entered.
    Assured,
}

/// Kernel `already_closed`.
fn closed(connection: &Connection) -> bool {
    matches!(connection.tcp(), Some(tcp) if matches!(tcp.state, TcpState::TimeWait | TcpState::Close))
}

impl Network {
    /// Throws out what is gone or closed, and stops at an entry that `until` tells, or when enough is thrown out.
    fn collect(
        &mut self,
        conntrack: &mut Conntrack,
        now: Timestamp,
        mut until: impl FnMut(&Entry, &Connection) -> bool,
        enough: impl Fn(usize, bool) -> bool,
    ) -> bool {
        let (mut collected, mut stopped, mut found) = (0, false, false);
        self.entries.retain(|entry| {
            if stopped || enough(collected, false) {
                stopped = true;
                return true;
            }
            let connection = conntrack
                .lookup(&entry.tuple, entry.zones, now)
                .and_then(|id| conntrack.connection(id));
            let Some(connection) = connection else {
                collected += 1;
                return false;
            };
            if until(entry, &connection) {
                found = true;
                stopped = true;
                return true;
            }
            if closed(&connection) {
                collected += 1;
                return false;
            }
            stopped = enough(collected, true);
            true
        });
        found
    }

    /// Kernel `__nf_conncount_add`.
    fn enter(
        &mut self,
        entry: Entry,
        connection: Option<ConnId>,
        conntrack: &mut Conntrack,
        tick: u64,
        now: Timestamp,
    ) -> Entered {
        let connection = connection.and_then(|id| conntrack.connection(id));
        match connection.filter(|c| c.confirmed()) {
            Some(connection) if connection.assured() => return Entered::Assured,
            Some(_) => {}
            None => {
                let since = self.entries.len().checked_sub(self.left);
                if tick == self.looked && since.is_some_and(|n| n < COLLECT) {
                    self.entries.push(entry);
                    return Entered::Counted;
                }
            }
        }
        let there = self.collect(
            conntrack,
            now,
            |old, connection| old.tuple == entry.tuple && connection.zones()[0] == entry.zones[0],
            |collected, _| collected > COLLECT,
        );
        if !there {
            self.looked = tick;
            self.left = self.entries.len();
            self.entries.push(entry);
        }
        Entered::Counted
    }

    /// Kernel `nf_conncount_gc_list`.
    fn tidy(&mut self, conntrack: &mut Conntrack, tick: u64, now: Timestamp) {
        if tick == self.looked {
            return;
        }
        self.collect(
            conntrack,
            now,
            |_, _| false,
            |collected, alive| alive && collected > COLLECT,
        );
        self.looked = tick;
        self.left = self.entries.len();
    }
}

/// The networks of one rule.
#[derive(Clone, Debug)]
struct Count {
    networks: HashMap<(IpAddr, Zone), Network>,
    /// So many networks, and the empty ones are thrown out.
    full: usize,
}

/// All counts, one a rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connlimits {
    jiffies: Jiffies,
    counts: Vec<Count>,
}

/// The packet and what tracking says of it.
pub(super) struct Asked<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) track: Option<&'a Track>,
    pub(super) now: Timestamp,
}

impl Connlimits {
    pub(super) fn add(&mut self) -> u32 {
        self.counts.push(Count {
            networks: HashMap::new(),
            full: NETWORKS,
        });
        (self.counts.len() - 1) as u32
    }

    /// Goes on with what another counted.
    pub(super) fn inherit(&mut self, to: u32, old: &mut Connlimits, from: u32) {
        let counts = (
            self.counts.get_mut(to as usize),
            old.counts.get_mut(from as usize),
        );
        if let (Some(count), Some(old)) = counts {
            std::mem::swap(count, old);
        }
    }

    /// Kernel `connlimit_mt`. A network without any connection drops the packet: so does the last packet of its
    /// only connection, which is closed and assured.
    pub(super) fn check(
        &mut self,
        slot: u32,
        rule: &Connlimit,
        asked: &Asked<'_>,
        conntrack: &mut Conntrack,
    ) -> Answer {
        let Some(count) = self.counts.get_mut(slot as usize) else {
            return Answer::HotDrop;
        };
        let (packet, now) = (asked.packet, asked.now);
        let tick = self.jiffies.of(now);
        let own = asked
            .track
            .and_then(|t| t.connection)
            .and_then(|id| conntrack.connection(id));
        let (entry, connection, zone) = match own {
            Some(connection) => (
                Entry {
                    tuple: connection.tuple(Direction::Original),
                    zones: connection.zones(),
                },
                Some(connection.id()),
                connection.zone_id(),
            ),
            None => {
                let Some(tuple) = Tuple::of(packet) else {
                    return Answer::HotDrop;
                };
                let zones = [0; 2];
                (
                    Entry { tuple, zones },
                    conntrack.lookup(&tuple, zones, now),
                    0,
                )
            }
        };
        let address = masked(side_address(rule.side, packet), rule.mask(packet.family()));
        let connections = match count.networks.get_mut(&(address, zone)) {
            Some(network) => {
                let empty = network.entries.is_empty();
                match network.enter(entry, connection, conntrack, tick, now) {
                    Entered::Assured if !empty => network.tidy(conntrack, tick, now),
                    _ => {}
                }
                network.entries.len()
            }
            None => {
                if count.networks.len() >= count.full {
                    count.networks.retain(|_, network| {
                        network.tidy(conntrack, tick, now);
                        !network.entries.is_empty()
                    });
                    count.full = NETWORKS.max(2 * count.networks.len());
                }
                let network = Network {
                    entries: vec![entry],
                    looked: tick,
                    left: 0,
                };
                count.networks.insert((address, zone), network);
                1
            }
        };
        match u32::try_from(connections) {
            Ok(0) => Answer::HotDrop,
            Ok(n) => ((n > rule.limit) != rule.upto).into(),
            Err(_) => (!rule.upto).into(),
        }
    }
}

fn masked(address: IpAddr, mask: IpAddr) -> IpAddr {
    match (address, mask) {
        (IpAddr::V4(a), IpAddr::V4(m)) => Ipv4Addr::from(u32::from(a) & u32::from(m)).into(),
        (IpAddr::V6(a), IpAddr::V6(m)) => Ipv6Addr::from(u128::from(a) & u128::from(m)).into(),
        (other, _) => other,
    }
}
