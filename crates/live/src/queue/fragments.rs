//! Fragments that wait in the kernel's queue until their datagram is judged.
//!
//! # Overview
//! The engine judges a datagram when its last fragment has come. Until then the kernel gets no verdict about the others: they
//! are listed here by datagram, with their bytes, so that they can be accepted as they came, dropped, or sent on with the
//! bytes of a datagram that was rewritten.
//!
//! # Bounds
//! [`MOST`] fragments and [`MOST_BYTES`] bytes; beyond that the oldest datagram is given up. One that is not complete within
//! [`LIFE`] is given up too.
//!
//! # Locking
//! None: they belong to the thread of their queue, where the kernel sends all packets between two addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use palisade_wire::{Family, Packet};

const MOST: usize = 1024;
const MOST_BYTES: usize = 8 << 20;
/// As long as the kernel waits for the rest (sysctl `ipfrag_time`).
const LIFE: Duration = Duration::from_secs(30);

/// Which datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

impl Key {
    /// Of a fragment, with its place in the datagram.
    pub(super) fn of(bytes: &[u8]) -> Option<(Self, usize)> {
        let packet = Packet::parse_truncated(bytes).ok()?;
        let fragment = packet.fragment()?;
        let protocol = match packet.family() {
            Family::V4 => packet.protocol(),
            Family::V6 => 0,
        };
        let key = Key {
            source: packet.source(),
            destination: packet.destination(),
            protocol,
            id: fragment.id,
        };
        Some((key, usize::from(fragment.offset)))
    }
}

/// A fragment without a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Number in the kernel's queue.
    pub(super) id: u32,
    /// Mark that it came with.
    pub(super) mark: u32,
    /// Its place in the datagram.
    pub(super) offset: usize,
    bytes: usize,
}

impl Held {
    /// A packet of which nothing is to be known but its number.
    pub(super) fn new(id: u32) -> Self {
        Held {
            id,
            mark: 0,
            offset: 0,
            bytes: 0,
        }
    }
}

#[derive(Debug)]
struct Datagram {
    since: Instant,
    /// Which of two that came at the same moment is older.
    order: u64,
    held: Vec<Held>,
}

/// All fragments of a queue that wait.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    datagrams: HashMap<Key, Datagram>,
    count: usize,
    bytes: usize,
    order: u64,
}

impl Fragments {
    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Holds a fragment. What is to be dropped for it: itself, if it is there already, or what is oldest.
    pub(super) fn hold(&mut self, bytes: &[u8], id: u32, mark: u32, now: Instant) -> Vec<Held> {
        let one = |offset| Held {
            id,
            mark,
            offset,
            bytes: bytes.len(),
        };
        let Some((key, offset)) = Key::of(bytes) else {
            return vec![one(0)];
        };
        self.order += 1;
        let order = self.order;
        let datagram = self.datagrams.entry(key).or_insert(Datagram {
            since: now,
            order,
            held: Vec::new(),
        });
        if datagram.held.iter().any(|h| h.offset == offset) {
            return vec![one(offset)];
        }
        datagram.held.push(one(offset));
        self.count += 1;
        self.bytes += bytes.len();
        let mut given_up = Vec::new();
        while self.count > MOST || self.bytes > MOST_BYTES {
            let oldest = self.datagrams.iter().min_by_key(|(_, d)| d.order);
            let Some(key) = oldest.map(|(key, _)| *key) else {
                break;
            };
            given_up.extend(self.take(&key));
        }
        given_up
    }

    /// The fragments of a datagram, which wait no more.
    pub(super) fn take(&mut self, key: &Key) -> Vec<Held> {
        let held = self.datagrams.remove(key).map_or(Vec::new(), |d| d.held);
        self.count = self.count.saturating_sub(held.len());
        let bytes: usize = held.iter().map(|h| h.bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        held
    }

    /// Fragments whose time is over, which wait no more.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Held> {
        let over = |d: &Datagram| now.saturating_duration_since(d.since) >= LIFE;
        let keys: Vec<Key> = self
            .datagrams
            .iter()
            .filter(|(_, d)| over(d))
            .map(|(key, _)| *key)
            .collect();
        keys.iter().flat_map(|key| self.take(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use palisade_wire::build;

    use super::*;

    fn fragments(id: u16) -> Vec<Vec<u8>> {
        let mut ip = build::Ip::new("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        ip.ttl = 9;
        let mut whole = build::udp(&ip, 1, 2, &[7; 100]);
        whole[4..6].copy_from_slice(&id.to_be_bytes());
        build::finish_v4_header(&mut whole);
        build::fragments(&whole, 40, u32::from(id))
    }

    #[test]
    fn fragments_are_held_once_and_taken_together() {
        let mut all = Fragments::default();
        let now = Instant::now();
        let parts = fragments(5);
        assert!(all.hold(&parts[0], 1, 0, now).is_empty());
        assert!(all.hold(&parts[1], 2, 0, now).is_empty());
        let twice: Vec<u32> = all
            .hold(&parts[1], 3, 0, now)
            .iter()
            .map(|h| h.id)
            .collect();
        assert_eq!(twice, [3]);
        let (key, _) = Key::of(&parts[2]).unwrap();
        let taken: Vec<(u32, usize)> = all.take(&key).iter().map(|h| (h.id, h.offset)).collect();
        assert_eq!(taken, [(1, 0), (2, 40)]);
        assert!(all.is_empty());
        assert_eq!((all.count, all.bytes), (0, 0));
    }

    #[test]
    fn the_oldest_are_given_up_and_so_are_those_whose_time_is_over() {
        let mut all = Fragments::default();
        let now = Instant::now();
        let mut dropped = Vec::new();
        for id in 0..MOST as u32 + 2 {
            let parts = fragments(id as u16);
            dropped.extend(all.hold(&parts[0], id, 0, now));
        }
        assert_eq!(dropped.iter().map(|h| h.id).collect::<Vec<_>>(), [0, 1]);
        assert!(all.expired(now).is_empty());
        assert_eq!(all.expired(now + LIFE).len(), MOST);
        assert!(all.is_empty());
    }
}
