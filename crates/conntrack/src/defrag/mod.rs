//! Reassembly of IPv4 and IPv6 fragments before rules see them (kernel `ip_fragment.c`,
//! `nf_conntrack_reasm.c`, `inet_fragment.c`).
//!
//! # Overview
//! Each incomplete datagram has a queue under (source, destination, id, protocol for IPv4, side).
//! # Life cycle
//! A queue is made by its first fragment in any order, ends when the datagram is complete, when
//! something is wrong with it (overlap, two ends), or when its time is over.
//! # Bounds
//! Bytes held per family are at most `ipfrag_high_thresh` or `nf_conntrack_frag6_high_thresh`; a
//! fragment that would start a queue beyond that is dropped. A datagram has at most 65,535 bytes. A queue of
//! IPv4 into which nothing came while its source sent more than `ipfrag_max_dist` fragments of other
//! datagrams starts over with the next one: its identification has come round.
//! # Locking
//! None: one thread owns it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use palisade_wire::{Family, Fragment, Packet, Timestamp, build, proto};

use crate::config::Config;

/// What a fragment costs beside its bytes, so that many tiny ones are bounded too.
const OVERHEAD: u64 = 256;

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Defragged {
    /// Not a fragment.
    Whole,
    /// Kept until the rest arrives.
    Held,
    /// Dropped.
    Dropped(FragmentFault),
    /// The last piece: the whole datagram.
    Complete {
        /// The datagram's bytes.
        bytes: Vec<u8>,
        /// Number of fragments it was made of.
        pieces: usize,
        /// Length of the largest one, IP header included.
        largest: usize,
    },
}

/// Why a fragment was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentFault {
    /// Overlaps what came before; the whole datagram is given up.
    Overlap {
        /// First byte of the fragment.
        from: usize,
        /// After its last byte.
        to: usize,
    },
    /// Exactly what was there already.
    Duplicate,
    /// Two fragments claim to be the last and disagree, or one lies beyond the last.
    TwoEnds,
    /// A fragment without data.
    Empty,
    /// Not the last one, and its end is no multiple of 8 (IPv6).
    Unaligned {
        /// After its last byte.
        to: usize,
    },
    /// The datagram would exceed 65,535 bytes.
    TooBig,
    /// Fragments with and without congestion marks that must not mix (RFC 3168 §5.3).
    Ecn,
    /// Memory for fragments is used up.
    NoMemory {
        /// Bytes held.
        used: u64,
        /// The threshold.
        high: u64,
        /// The threshold's sysctl.
        sysctl: &'static str,
    },
    /// IPv6 first fragment that does not hold all headers (RFC 8200 §4.5).
    HeadersCut,
}

impl fmt::Display for FragmentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FragmentFault::Overlap { from, to } => write!(
                f,
                "fragment of bytes {from} to {to} overlaps another; the datagram is given up"
            ),
            FragmentFault::Duplicate => f.write_str("fragment was there already"),
            FragmentFault::TwoEnds => f.write_str("fragments disagree about the datagram's end"),
            FragmentFault::Empty => f.write_str("fragment without data"),
            FragmentFault::Unaligned { to } => write!(
                f,
                "fragment in the middle that ends at byte {to}, which is no multiple of 8"
            ),
            FragmentFault::TooBig => f.write_str("reassembled datagram would exceed 65535 bytes"),
            FragmentFault::Ecn => f.write_str("fragments mix congestion marks that must not mix"),
            FragmentFault::NoMemory { used, high, sysctl } => write!(
                f,
                "memory for fragments is used up: {used} bytes are held, and {sysctl} is {high}"
            ),
            FragmentFault::HeadersCut => {
                f.write_str("first IPv6 fragment does not hold all headers")
            }
        }
    }
}

/// Key of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
    /// Tells input from output and zones apart (kernel `user`).
    user: u32,
}

#[derive(Clone, Debug)]
struct Piece {
    from: usize,
    to: usize,
    data: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Queue {
    deadline: Timestamp,
    /// The source's count when the last fragment came (IPv4).
    seen: u32,
    pieces: Vec<Piece>,
    /// Header of the first fragment (with IPv6 unfragmentable part, without Fragment header).
    head: Option<Head>,
    /// Bytes of the datagram's body, once the last fragment came.
    len: usize,
    last_in: bool,
    meat: usize,
    ecn: u8,
    largest: usize,
    largest_df: usize,
}

#[derive(Clone, Debug)]
struct Head {
    bytes: Vec<u8>,
    /// Next header behind the Fragment header and the offset that must name it (IPv6).
    next: Option<(u8, usize)>,
}

/// Incomplete datagrams of both families.
#[derive(Clone, Debug, Default)]
pub struct Defrag {
    queues: HashMap<Key, Queue>,
    used: [u64; 2],
    /// IPv4 sources that have queues.
    peers: HashMap<IpAddr, Peer>,
    /// No queue ends before this moment, so that not every fragment need look at all queues.
    earliest: Timestamp,
}

/// A source of fragments (kernel `struct inet_peer`, its `rid`). Only distances between counts matter, and only
/// within a queue, so a source without queues needs no memory.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    /// Fragments that came, of any datagram.
    count: u32,
    /// Queues that it has.
    queues: u32,
}

impl Defrag {
    /// Nothing held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held for a family, overhead included.
    pub fn used(&self, family: Family) -> u64 {
        self.used[family as usize]
    }

    /// Takes one packet. `user` keeps apart what must not be mixed: direction and zone.
    pub fn push(
        &mut self,
        packet: &Packet<'_>,
        user: u32,
        config: &Config,
        now: Timestamp,
    ) -> Defragged {
        let Some(fragment) = packet.fragment() else {
            return Defragged::Whole;
        };
        let family = packet.family();
        if family == Family::V6 && packet.declared_len() == 40 {
            return Defragged::Whole; // jumbo payload: the kernel lets it be
        }
        self.expire(now);
        let key = Key {
            source: packet.source(),
            destination: packet.destination(),
            id: fragment.id,
            protocol: match family {
                Family::V4 => packet.protocol(),
                Family::V6 => 0,
            },
            user,
        };
        let (high, lifetime) = match family {
            Family::V4 => (config.ipfrag_high_thresh, config.ipfrag_time),
            Family::V6 => (config.frag6_high_thresh, config.frag6_timeout),
        };
        let no_memory = Defragged::Dropped(FragmentFault::NoMemory {
            used: self.used[family as usize],
            high,
            sysctl: match family {
                Family::V4 => "ipfrag_high_thresh",
                Family::V6 => "nf_conntrack_frag6_high_thresh",
            },
        });
        let deadline = now + Duration::from_secs(lifetime);
        if family == Family::V6 && headers_cut(packet, &fragment) {
            return Defragged::Dropped(FragmentFault::HeadersCut);
        }
        if !self.queues.contains_key(&key) {
            if high == 0 || self.used[family as usize] > high {
                return no_memory;
            }
            if self.queues.is_empty() || deadline < self.earliest {
                self.earliest = deadline;
            }
            self.queues.insert(key, Queue::new(deadline));
            if family == Family::V4 {
                self.peers.entry(key.source).or_default().queues += 1;
            }
        }
        let Some(queue) = self.queues.get_mut(&key) else {
            return no_memory;
        };
        if let Some(peer) = self.peers.get_mut(&key.source)
            && config.ipfrag_max_dist != 0
        {
            peer.count = peer.count.wrapping_add(1);
            if queue.too_far(peer.count, config.ipfrag_max_dist) {
                let used = &mut self.used[family as usize];
                *used = used.saturating_sub(queue.cost());
                queue.start_over(deadline);
            }
        }
        match queue.add(packet, &fragment) {
            Added::Kept(bytes) => {
                self.used[family as usize] += bytes;
                if queue.complete() {
                    let finished = queue.finish(family);
                    self.forget(&key, family);
                    return finished;
                }
                Defragged::Held
            }
            Added::Refused(fault) => {
                if queue.pieces.is_empty() {
                    self.forget(&key, family);
                }
                match (fault, family) {
                    // "No error for duplicates, pretend they got queued."
                    (FragmentFault::Duplicate, Family::V6) => Defragged::Held,
                    _ => Defragged::Dropped(fault),
                }
            }
            Added::Fatal(fault) => {
                self.forget(&key, family);
                Defragged::Dropped(fault)
            }
        }
    }

    /// Gives up datagrams whose time is over.
    pub fn expire(&mut self, now: Timestamp) {
        if now < self.earliest || self.queues.is_empty() {
            return;
        }
        let (used, peers) = (&mut self.used, &mut self.peers);
        self.queues.retain(|key, queue| {
            let keep = queue.deadline > now;
            if !keep {
                let family = usize::from(key.source.is_ipv6());
                used[family] = used[family].saturating_sub(queue.cost());
                leave(peers, key.source);
            }
            keep
        });
        let ends = self.queues.values().map(|queue| queue.deadline);
        self.earliest = ends.min().unwrap_or_default();
    }

    fn forget(&mut self, key: &Key, family: Family) {
        if let Some(queue) = self.queues.remove(key) {
            let used = &mut self.used[family as usize];
            *used = used.saturating_sub(queue.cost());
            leave(&mut self.peers, key.source);
        }
    }
}

/// A queue of `source` is gone.
fn leave(peers: &mut HashMap<IpAddr, Peer>, source: IpAddr) {
    if let Entry::Occupied(mut peer) = peers.entry(source) {
        let queues = &mut peer.get_mut().queues;
        *queues = queues.saturating_sub(1);
        if *queues == 0 {
            peer.remove();
        }
    }
}

enum Added {
    /// Kept; costs so many bytes.
    Kept(u64),
    /// Dropped, the queue stays.
    Refused(FragmentFault),
    /// Dropped with its queue.
    Fatal(FragmentFault),
}

impl Queue {
    fn new(deadline: Timestamp) -> Self {
        Queue {
            deadline,
            seen: 0,
            pieces: Vec::new(),
            head: None,
            len: 0,
            last_in: false,
            meat: 0,
            ecn: 0,
            largest: 0,
            largest_df: 0,
        }
    }

    fn cost(&self) -> u64 {
        self.pieces
            .iter()
            .map(|p| p.data.len() as u64 + OVERHEAD)
            .sum()
    }

    /// Kernel `ip_frag_too_far`: whether the source sent more than `most` fragments since this queue's last.
    fn too_far(&mut self, count: u32, most: u64) -> bool {
        let distance = count.wrapping_sub(self.seen);
        self.seen = count;
        !self.pieces.is_empty() && u64::from(distance) > most
    }

    /// Kernel `ip_frag_reinit`. Sizes seen are kept, as there.
    fn start_over(&mut self, deadline: Timestamp) {
        *self = Queue {
            seen: self.seen,
            largest: self.largest,
            largest_df: self.largest_df,
            ..Queue::new(deadline)
        };
    }

    /// Kernel `ip_frag_queue`, `nf_ct_frag6_queue`, `inet_frag_queue_insert`.
    fn add(&mut self, packet: &Packet<'_>, fragment: &Fragment) -> Added {
        let v6 = packet.family() == Family::V6;
        let body_at = if v6 {
            usize::from(fragment.header) + 8
        } else {
            packet.header_len()
        };
        let from = usize::from(fragment.offset);
        let mut to = from + packet.declared_len().saturating_sub(body_at);
        let fatal_for_v4 = |fault| {
            if v6 {
                Added::Refused(fault)
            } else {
                Added::Fatal(fault)
            }
        };
        if v6 && to > 65_535 {
            return Added::Refused(FragmentFault::TooBig);
        }
        if !fragment.more {
            if to < self.len || (self.last_in && to != self.len) {
                return fatal_for_v4(FragmentFault::TwoEnds);
            }
            self.last_in = true;
            self.len = to;
        } else {
            if !to.is_multiple_of(8) {
                if v6 {
                    return Added::Fatal(FragmentFault::Unaligned { to });
                }
                to &= !7;
            }
            if to > self.len {
                if self.last_in {
                    return fatal_for_v4(FragmentFault::TwoEnds);
                }
                self.len = to;
            }
        }
        if to <= from {
            return fatal_for_v4(FragmentFault::Empty);
        }
        let at = self.pieces.partition_point(|p| p.from < from);
        let overlaps = |p: &Piece| p.from < to && from < p.to;
        let covered = |p: &Piece| p.from <= from && to <= p.to;
        let neighbours = [at.checked_sub(1), Some(at)];
        let mut overlap = false;
        for piece in neighbours
            .into_iter()
            .flatten()
            .filter_map(|i| self.pieces.get(i))
        {
            if covered(piece) {
                return Added::Refused(FragmentFault::Duplicate);
            }
            overlap |= overlaps(piece);
        }
        if overlap {
            return Added::Fatal(FragmentFault::Overlap { from, to });
        }
        let available = packet.bytes().get(body_at..).unwrap_or_default();
        let mut data = available[..available.len().min(to - from)].to_vec();
        data.resize(to - from, 0); // bytes that the capture did not keep
        let cost = data.len() as u64 + OVERHEAD;
        self.meat += data.len();
        self.pieces.insert(at, Piece { from, to, data });
        self.ecn |= 1 << (packet.tos() & 3);
        let size = if v6 {
            packet.declared_len()
        } else {
            to - from + body_at
        };
        self.largest = self.largest.max(size);
        if packet.dont_fragment() {
            self.largest_df = self.largest_df.max(size);
        }
        if from == 0 {
            self.head = Some(Head::of(packet, fragment));
        }
        Added::Kept(cost)
    }

    fn complete(&self) -> bool {
        self.head.is_some() && self.last_in && self.meat == self.len
    }

    /// Kernel `ip_frag_reasm`, `nf_ct_frag6_reasm`.
    fn finish(&self, family: Family) -> Defragged {
        let Some(ecn) = combine_ecn(self.ecn) else {
            return Defragged::Dropped(FragmentFault::Ecn);
        };
        let Some(head) = &self.head else {
            return Defragged::Dropped(FragmentFault::Empty);
        };
        let total = head.bytes.len() + self.len;
        let limit = match family {
            Family::V4 => 65_535,
            Family::V6 => 65_535 + 40,
        };
        if total > limit {
            return Defragged::Dropped(FragmentFault::TooBig);
        }
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&head.bytes);
        for piece in &self.pieces {
            bytes.extend_from_slice(&piece.data);
        }
        match family {
            Family::V4 => {
                bytes[2..4].copy_from_slice(&(total as u16).to_be_bytes());
                bytes[1] |= ecn;
                let flags: u16 = if self.largest_df == self.largest {
                    0x4000
                } else {
                    0
                };
                bytes[6..8].copy_from_slice(&flags.to_be_bytes());
                build::finish_v4_header(&mut bytes);
            }
            Family::V6 => {
                bytes[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
                bytes[1] |= ecn << 4;
                if let Some((next, at)) = head.next {
                    bytes[at] = next;
                }
            }
        }
        Defragged::Complete {
            bytes,
            pieces: self.pieces.len(),
            largest: self.largest,
        }
    }
}

impl Head {
    fn of(packet: &Packet<'_>, fragment: &Fragment) -> Self {
        match packet.family() {
            Family::V4 => Head {
                bytes: packet.bytes()[..packet.header_len()].to_vec(),
                next: None,
            },
            Family::V6 => {
                let at = usize::from(fragment.header);
                Head {
                    bytes: packet.bytes()[..at].to_vec(),
                    next: Some((
                        packet.bytes()[at],
                        usize::from(fragment.previous_next_header),
                    )),
                }
            }
        }
    }
}

/// ECN of the whole from the set of its fragments' (kernel `ip_frag_ecn_table`): CE if some are
/// CE and the rest may be marked, nothing to add if they agree, `None` if they must not mix.
fn combine_ecn(seen: u8) -> Option<u8> {
    const NOT_ECT: u8 = 1;
    const CE: u8 = 8;
    match seen {
        _ if seen & CE == 0 => Some(0).filter(|_| seen & NOT_ECT == 0 || seen == NOT_ECT),
        CE => Some(0),
        _ if seen & NOT_ECT == 0 => Some(3),
        _ => None,
    }
}

/// A first IPv6 fragment must hold the transport header, as far as the kernel looks
/// (`ipv6frag_thdr_truncated`).
fn headers_cut(packet: &Packet<'_>, fragment: &Fragment) -> bool {
    if fragment.offset != 0 {
        return false;
    }
    if packet.chain_broken() {
        return true;
    }
    let need = match packet.protocol() {
        proto::TCP => 20,
        proto::UDP => 8,
        proto::ICMPV6 => 8,
        _ => 1,
    };
    packet.transport_len() < need
}

#[cfg(test)]
mod tests;
