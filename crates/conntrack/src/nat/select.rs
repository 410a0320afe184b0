//! Which address and port a new binding gets (kernel `get_unique_tuple`, `find_best_ips_proto`,
//! `nf_nat_l4proto_unique_tuple`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::translate::End;
use palisade_wire::{SeqNumber, Timestamp, proto};

use super::{NONE, Range, SourceKey};
use crate::connection::{ConnId, Status};
use crate::jhash;
use crate::proto::tcp::TcpState;
use crate::table::Conntrack;
use crate::tuple::{Direction, Tuple, TupleProto, Zone};

/// Ports tried from one starting point (kernel `NF_NAT_MAX_ATTEMPTS`).
const MOST_ATTEMPTS: u32 = 128;

/// Fewer attempts than this are not made anew from another starting point.
const LEAST_ATTEMPTS: u32 = 16;

/// With so few attempts left a closing connection may be evicted (kernel `NF_NAT_HARDER_THRESH`).
const HARDER: u32 = 32;

impl Conntrack {
    /// A tuple within `range` whose answers are told apart from those of every other connection; if there
    /// is none, one that clashes, and the packet is dropped when it would be confirmed.
    pub(super) fn unique_tuple(
        &mut self,
        original: &Tuple,
        range: &Range,
        id: ConnId,
        end: End,
    ) -> Tuple {
        let Some(connection) = self.connection(id) else {
            return *original;
        };
        let zones = connection.zones();
        if end == End::Source && !range.draws() {
            if in_range(original, range) {
                if !self.taken_by_other(original, zones, id) {
                    return *original;
                }
            } else if let Some(found) = self.present_mapping(original, zones[0], range)
                && !self.taken(&found, zones, id)
            {
                return found;
            }
        }
        let mut tuple = *original;
        choose_address(&mut tuple, range, end, zones[0]);
        if !range.draws() {
            match range.ports {
                Some((first, last))
                    if range.base_port.is_none()
                        && word_in_range(&tuple, end, first, last)
                        && (first == last || !self.taken(&tuple, zones, id)) =>
                {
                    return tuple;
                }
                None if !self.taken(&tuple, zones, id) => return tuple,
                _ => {}
            }
        }
        self.unique_word(&mut tuple, range, end, zones, id);
        tuple
    }

    /// Looks for a port.
    fn unique_word(
        &mut self,
        tuple: &mut Tuple,
        range: &Range,
        end: End,
        zones: [Zone; 2],
        id: ConnId,
    ) {
        let wraps = |(first, last): (u16, u16)| {
            let (first, last) = (u32::from(first.min(last)), u32::from(first.max(last)));
            (first, last - first + 1)
        };
        let expected = self.connection(id).is_some_and(|c| c.master().is_some());
        let present = match (end, tuple.protocol) {
            (_, proto::ICMP | proto::ICMPV6) | (End::Source, _) => tuple.source_word(),
            (End::Destination, _) => tuple.destination_word(),
        };
        let (first, size) = match (tuple.protocol, range.ports) {
            (proto::ICMP | proto::ICMPV6, None) => (0, 65_536),
            (proto::ICMP | proto::ICMPV6, Some(ports)) => wraps(ports),
            // Without a master it is no PPTP call, and the keys mean nothing.
            (proto::GRE, _) if !expected => return,
            (proto::GRE, None) => (1, 65_535),
            (proto::GRE, Some(ports)) => wraps(ports),
            (proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP | proto::DCCP, ports) => {
                match ports {
                    Some(ports) => wraps(ports),
                    None if end == End::Destination => return,
                    // Ports keep their class: services that trust low ones are not deceived.
                    None => match present {
                        0..512 => (1, 511),
                        512..1024 => (600, 424),
                        1024.. => (1024, 64_512),
                    },
                }
            }
            _ => return,
        };
        let by_chance = range.draws() || end == End::Source;
        let mut offset = match range.base_port {
            Some(base) => u32::from(present.wrapping_sub(base)),
            None if by_chance => self.start(end, first, size),
            None => 0,
        };
        let mut attempts = size.min(MOST_ATTEMPTS);
        loop {
            for i in 0..attempts {
                let word = (first + offset % size) as u16;
                set_word(tuple, end, word);
                if !self.taken_harder(tuple, zones, id, attempts - i) {
                    return;
                }
                // The kernel counts in sixteen bits.
                offset = (offset + 1) & 0xffff;
            }
            if attempts >= size || attempts < LEAST_ATTEMPTS {
                return;
            }
            attempts /= 2;
            offset = self.chance.below(65_536);
        }
    }

    /// Where to start looking: by chance, or where the caller prefers.
    fn start(&mut self, end: End, first: u32, size: u32) -> u32 {
        let preferred = match end {
            End::Source => self.chance.preferred.source,
            End::Destination => self.chance.preferred.destination,
        };
        match preferred.map(u32::from) {
            Some(port) if (first..first + size).contains(&port) => port - first,
            _ => self.chance.below(65_536),
        }
    }

    /// The mapping that this source has already, if it lies in the range (kernel
    /// `find_appropriate_src`).
    fn present_mapping(&self, tuple: &Tuple, zone: Zone, range: &Range) -> Option<Tuple> {
        let newest = |table: &Conntrack| table.newest_mapping(tuple, zone, range);
        std::iter::once(self)
            .chain(&self.others)
            .filter_map(newest)
            .max_by_key(|(number, _)| *number)
            .map(|(_, found)| found)
    }

    /// That of this table, with the number of the connection that has it.
    fn newest_mapping(&self, tuple: &Tuple, zone: Zone, range: &Range) -> Option<(u64, Tuple)> {
        let mut at = *self.sources.get(&SourceKey::of(tuple, zone))?;
        // Bounded by the table's size; a chain is one source's connections.
        while at != NONE {
            let connection = self.slot(at)?;
            if let Some(mapped) = connection.tuple(Direction::Reply).invert() {
                let mut found = mapped;
                found.destination = tuple.destination;
                found.protocol = tuple.protocol;
                copy_destination_word(&mut found, tuple);
                if in_range(&found, range) {
                    return Some((self.slab.cold(at).number, found));
                }
            }
            at = self.slab.sources(at)[1];
        }
        None
    }

    /// Whether answers to `tuple` would be taken for another connection's (kernel `nf_nat_used_tuple`).
    fn taken(&mut self, tuple: &Tuple, zones: [Zone; 2], id: ConnId) -> bool {
        self.holder(tuple, zones, id).is_some()
    }

    /// The entry that answers to `tuple` belong to (kernel `nf_conntrack_tuple_taken`), of this table or another.
    fn holder(&mut self, tuple: &Tuple, zones: [Zone; 2], id: ConnId) -> Option<Holder> {
        let reply = tuple.invert()?;
        let now = self
            .connection(id)
            .map_or(Timestamp::default(), |c| c.created());
        let found = self.search_all(&reply, zones[1], zones, now)?;
        let held = self.table_at(found.0).slot(found.1);
        let same_flow = match (held, self.connection(id)) {
            (Some(a), Some(b)) => a.key() == b.key() && a.zones()[0] == b.zones()[0],
            _ => false,
        };
        (!same_flow).then_some(found)
    }

    /// As [`taken`](Self::taken), for a connection that would stay as it is: two flows of one pair of ends
    /// that began at the same time from both sides do not disturb each other (kernel
    /// `nf_nat_used_tuple_new`).
    fn taken_by_other(&mut self, tuple: &Tuple, zones: [Zone; 2], id: ConnId) -> bool {
        let Some((table, holder, _)) = self.holder(tuple, zones, id) else {
            return false;
        };
        let untouched = |status: Status| {
            !status.has(Status::SRC_NAT)
                && !status.has(Status::DST_NAT)
                && !status.has(Status::SEQ_ADJUST)
        };
        let other = self.table_at(table).slot(holder);
        let (Some(own), Some(other)) = (self.connection(id), other) else {
            return true;
        };
        !(crate::proto::clash_allowed(tuple.protocol)
            && untouched(own.status)
            && untouched(other.status)
            && other.tuple(Direction::Original) == own.tuple(Direction::Reply))
    }

    /// As [`taken`](Self::taken); the last attempts evict a TCP connection that only waits for its end
    /// (kernel `nf_nat_used_tuple_harder`).
    fn taken_harder(&mut self, tuple: &Tuple, zones: [Zone; 2], id: ConnId, left: u32) -> bool {
        let Some((table, holder, direction)) = self.holder(tuple, zones, id) else {
            return false;
        };
        let tcp = self.connection(id).and_then(|c| c.tcp());
        let new_end: Option<SeqNumber> = tcp
            .filter(|tcp| tcp.state == TcpState::SynSent)
            .map(|tcp| tcp.peers[0].end);
        let (Some(new_end), true) = (new_end, left <= HARDER) else {
            return true;
        };
        let Some(old) = self.table_at(table).slot(holder) else {
            return true;
        };
        let Some(tcp) = old.tcp() else {
            return true;
        };
        let done = matches!(
            tcp.state,
            TcpState::TimeWait | TcpState::Close | TcpState::SynSent2
        );
        let evict = direction == Direction::Reply
            && done
            && old.status.has(Status::SRC_NAT)
            && !old.status.has(Status::FIXED_TIMEOUT)
            && new_end.after(tcp.peers[0].end);
        if evict {
            self.table_at_mut(table).remove(holder);
        }
        !evict
    }
}

/// Where an entry is: in which of the other tables, if not in this one; its slot; and the direction asked for.
type Holder = (Option<usize>, u32, Direction);

/// Whether mapping a source so would meet the range (kernel `nf_in_range`).
fn in_range(tuple: &Tuple, range: &Range) -> bool {
    let address = range
        .addresses
        .is_none_or(|(first, last)| (first..=last).contains(&tuple.source));
    let word = range
        .ports
        .is_none_or(|(first, last)| word_in_range(tuple, End::Source, first, last));
    address && word
}

/// Kernel `l4proto_in_range`.
fn word_in_range(tuple: &Tuple, end: End, first: u16, last: u16) -> bool {
    let word = match (tuple.proto, end) {
        (TupleProto::Generic, _) => return true,
        (TupleProto::Icmp { id, .. }, _) => id,
        (_, End::Source) => tuple.source_word(),
        (_, End::Destination) => tuple.destination_word(),
    };
    (first..=last).contains(&word)
}

fn set_word(tuple: &mut Tuple, end: End, word: u16) {
    match (&mut tuple.proto, end) {
        (TupleProto::Icmp { id, .. }, _) => *id = word,
        (TupleProto::Ports { source, .. } | TupleProto::Gre { source, .. }, End::Source) => {
            *source = word
        }
        (
            TupleProto::Ports { destination, .. } | TupleProto::Gre { destination, .. },
            End::Destination,
        ) => *destination = word,
        (TupleProto::Generic, _) => {}
    }
}

/// The destination's half of the protocol part: port, key, or ICMP type and code.
fn copy_destination_word(to: &mut Tuple, from: &Tuple) {
    match (&mut to.proto, from.proto) {
        (
            TupleProto::Ports { destination, .. },
            TupleProto::Ports {
                destination: word, ..
            },
        )
        | (
            TupleProto::Gre { destination, .. },
            TupleProto::Gre {
                destination: word, ..
            },
        ) => *destination = word,
        (
            TupleProto::Icmp { kind, code, .. },
            TupleProto::Icmp {
                kind: new_kind,
                code: new_code,
                ..
            },
        ) => (*kind, *code) = (new_kind, new_code),
        _ => {}
    }
}

/// One of the range's addresses, by a hash of source and destination: the kernel's own, so that the
/// same client gets the same address (kernel `find_best_ips_proto`; words as a little-endian machine
/// reads them).
fn choose_address(tuple: &mut Tuple, range: &Range, end: End, zone: Zone) {
    let Some((first, last)) = range.addresses else {
        return;
    };
    if first == last {
        set_address(tuple, end, first);
        return;
    }
    let source = words(tuple.source);
    let destination = words(tuple.destination);
    let (min, max) = (words(first), words(last));
    let highest = if first.is_ipv4() { 0 } else { 3 };
    let seed = if range.persistent {
        0
    } else {
        destination[highest] ^ u32::from(zone)
    };
    let mut hash = jhash::words(&source, seed);
    let mut chosen = match end {
        End::Source => source,
        End::Destination => destination,
    };
    // The loop reads the destination while it may be writing it, as the kernel's does.
    let mut read = destination;
    let mut full = false;
    for i in 0..=highest {
        let (low, size) = if full {
            (0, u32::MAX)
        } else {
            let (low, high) = (u32::from_be(min[i]), u32::from_be(max[i]));
            (low, high.wrapping_sub(low).wrapping_add(1))
        };
        let scaled = (u64::from(hash) * u64::from(size)) >> 32;
        chosen[i] = low.wrapping_add(scaled as u32).to_be();
        if end == End::Destination {
            read[i] = chosen[i];
        }
        if chosen[i] != max[i] {
            full = true;
        }
        if !range.persistent {
            hash ^= read[i];
        }
    }
    let address = if first.is_ipv4() {
        IpAddr::V4(Ipv4Addr::from(chosen[0].to_ne_bytes()))
    } else {
        let mut octets = [0; 16];
        for (place, word) in octets.chunks_exact_mut(4).zip(chosen) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    set_address(tuple, end, address);
}

fn set_address(tuple: &mut Tuple, end: End, address: IpAddr) {
    match end {
        End::Source => tuple.source = address,
        End::Destination => tuple.destination = address,
    }
}

/// An address as four words in network order; IPv4 fills the first.
fn words(address: IpAddr) -> [u32; 4] {
    let mut words = [0; 4];
    match address {
        IpAddr::V4(a) => words[0] = u32::from_ne_bytes(a.octets()),
        IpAddr::V6(a) => {
            for (word, octets) in words.iter_mut().zip(a.octets().chunks_exact(4)) {
                *word = u32::from_ne_bytes([octets[0], octets[1], octets[2], octets[3]]);
            }
        }
    }
    words
}
