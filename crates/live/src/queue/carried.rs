//! Sources that are written behind routing.
//!
//! # Overview
//! A packet whose source changes is let go before routing under the source that it came with and comes back behind routing
//! (`rewrite.rs`). What it is to leave with is kept here by what it looks like on its way.
//!
//! # Bounds
//! Two generations in each of [`PARTS`] parts: when the younger has [`MOST`] entries, or is older than [`LIFE`], it becomes the elder
//! and the elder is forgotten. Packets are on their way for microseconds.
//!
//! # Locking
//! One lock a part; nothing else is taken under it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use palisade_wire::Packet;

const PARTS: usize = 16;
const MOST: usize = 8192;
const LIFE: Duration = Duration::from_secs(10);

/// What a packet looks like between its two visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Look {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    fragment: bool,
    /// Ports, or what else stands there; of a fragment its identification.
    word: u32,
}

impl Look {
    /// Of a packet; `None` if it is none.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let packet = Packet::parse_truncated(bytes).ok()?;
        let fragment = packet.fragment().filter(|f| f.offset != 0 || f.more);
        let first = packet.transport().first_chunk().copied();
        Some(Look {
            source: packet.source(),
            destination: packet.destination(),
            protocol: packet.protocol(),
            fragment: fragment.is_some(),
            word: fragment.map_or(first.map_or(0, u32::from_be_bytes), |f| f.id),
        })
    }
}

#[derive(Debug)]
struct Part {
    young: HashMap<Look, IpAddr>,
    old: HashMap<Look, IpAddr>,
    since: Instant,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Carried {
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
}

impl Carried {
    pub(super) fn new() -> Self {
        let part = || Part {
            young: HashMap::new(),
            old: HashMap::new(),
            since: Instant::now(),
        };
        Carried {
            parts: std::array::from_fn(|_| Mutex::new(part())),
            hasher: RandomState::new(),
        }
    }

    fn part(&self, look: &Look) -> &Mutex<Part> {
        &self.parts[self.hasher.hash_one(look) as usize % PARTS]
    }

    /// Keeps what a packet that looks so is to leave with.
    pub(super) fn keep(&self, look: Look, source: IpAddr) {
        let part = self.part(&look);
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.young.len() >= MOST || part.since.elapsed() >= LIFE {
            part.old = std::mem::take(&mut part.young);
            part.since = Instant::now();
        }
        part.young.insert(look, source);
    }

    /// What a packet that looks so is to leave with.
    pub(super) fn source(&self, look: &Look) -> Option<IpAddr> {
        let part = self.part(look);
        let part = part.lock().unwrap_or_else(PoisonError::into_inner);
        part.young.get(look).or_else(|| part.old.get(look)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(word: u32) -> Look {
        Look {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            protocol: 6,
            fragment: false,
            word,
        }
    }

    #[test]
    fn what_is_kept_is_found_and_what_is_old_is_forgotten() {
        let carried = Carried::new();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(carried.source(&look(0)), None);
        let many = (PARTS * MOST * 3) as u32;
        for word in 0..many {
            carried.keep(look(word), source);
        }
        assert_eq!(carried.source(&look(many - 1)), Some(source));
        assert_eq!(carried.source(&look(0)), None);
        let all: usize = carried
            .parts
            .iter()
            .map(|p| p.lock().map_or(0, |p| p.young.len() + p.old.len()))
            .sum();
        assert!(all <= PARTS * MOST * 2);
    }
}
