//! Address translation: bindings of connections, and packets rewritten by them (kernel `nf_nat_core.c`,
//! `nf_nat_proto.c`).
//!
//! # Overview
//! A binding is nothing but a changed reply tuple: the connection's original tuple says how its packets come,
//! the inverse of its reply tuple how they leave. Each connection is set up once for either end
//! ([`Conntrack::nat_setup`], by a rule or as a null binding), before it is confirmed; after that every
//! packet of it is rewritten to match ([`Conntrack::nat_packet`]).
//!
//! - `select`: which address and port a new binding gets.
//! - [`seqadj`]: sequence numbers of TCP connections whose payload a helper lengthened or shortened.
//!
//! # Life cycle
//! Bindings live and end with their connection. Connections set up for their source are kept in chains
//! by original source (`Sources`), so that one source keeps its mapping to other servers.
//!
//! # Chance
//! The kernel draws ports at random where a rule leaves a choice. Here they come from a
//! generator seeded by [`Config::hash_seed`](crate::Config), so that a replay repeats itself. A caller who knows what
//! another machine drew can say so with [`Conntrack::prefer`].

mod select;
pub mod seqadj;

use std::net::IpAddr;

use hashbrown::HashMap;
use palisade_wire::translate::{self, End};
use palisade_wire::{Buffer, Family, checksum, proto};

use crate::State;
use crate::connection::{ConnId, Connection, Status};
use crate::table::Conntrack;
use crate::track::Track;
use crate::tuple::{Direction, Tuple, Zone};

/// What a rule allows a binding to be (kernel `struct nf_nat_range2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Range {
    /// First and last address; `None`: the address stays.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// First and last port (or ICMP identifier, or GRE key); `None`: any that fits.
    pub ports: Option<(u16, u16)>,
    /// Ports are shifted: the original port's distance from this one is the distance from the first.
    pub base_port: Option<u16>,
    /// `--random`.
    pub random: bool,
    /// `--random-fully`.
    pub random_fully: bool,
    /// `--persistent`: a client keeps its address towards all servers.
    pub persistent: bool,
}

impl Range {
    /// One address, the port left to the protocol.
    pub fn to(address: IpAddr) -> Self {
        Range {
            addresses: Some((address, address)),
            ..Range::default()
        }
    }

    /// Whether the port is to be drawn even if the present one is free.
    fn draws(&self) -> bool {
        self.random || self.random_fully
    }
}

/// Why a packet of a translated connection cannot pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The header, or what an ICMP error quotes of one, is too short to be rewritten.
    Short,
    /// The checksum of an ICMP error is wrong; it would be hidden by the translation.
    Checksum,
    /// A redirect about a translated connection: its addresses mean nothing on the other side.
    Redirect,
    /// The connection is masqueraded with the address of another interface than it now leaves by.
    Interface,
    /// The rule names no address that could be used (the interface has none).
    NoAddress,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Short => "too short to be translated",
            Fault::Checksum => "an ICMP error with a wrong checksum cannot be translated",
            Fault::Redirect => "a redirect about a translated connection",
            Fault::Interface => {
                "the masqueraded connection leaves by another interface than it began with"
            }
            Fault::NoAddress => "the interface has no address to translate to",
        })
    }
}

/// What the next choices by chance should be, if the rules allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Preferred {
    /// Source port or ICMP identifier; also the port of an expectation whose own is taken.
    pub source: Option<u16>,
    /// Destination port.
    pub destination: Option<u16>,
}

/// Source of chance (splitmix64): the same seed, the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
    pub(crate) preferred: Preferred,
}

impl Chance {
    pub(crate) fn new(seed: (u64, u64)) -> Self {
        Chance {
            state: seed.0 ^ seed.1.rotate_left(32),
            preferred: Preferred::default(),
        }
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((((z ^ (z >> 31)) >> 32) * u64::from(bound)) >> 32) as u32
    }
}

/// Key of a chain of `Sources`: original source, protocol, zone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SourceKey {
    address: IpAddr,
    word: u16,
    protocol: u8,
    zone: Zone,
}

impl SourceKey {
    pub(crate) fn of(tuple: &Tuple, zone: Zone) -> Self {
        SourceKey {
            address: tuple.source,
            word: tuple.source_word(),
            protocol: tuple.protocol,
            zone,
        }
    }
}

/// End of a chain.
pub(crate) const NONE: u32 = u32::MAX;

/// Connections set up for their source, by original source: heads of chains that run through the
/// entries, newest first (kernel `nf_nat_bysource`).
pub(crate) type Sources = HashMap<SourceKey, u32>;

impl Conntrack {
    /// What the next choices by chance should be, if rules allow it and nothing stands in the way; holds
    /// until it is said anew. For replaying what another machine did.
    pub fn prefer(&mut self, preferred: Preferred) {
        self.chance.preferred = preferred;
    }

    /// Whether the connection is set up for an end (kernel `nf_nat_initialized`).
    pub fn nat_done(&self, id: ConnId, end: End) -> bool {
        self.connection(id)
            .is_some_and(|c| c.status.has(done_bit(end)))
    }

    /// Binds a connection's end within `range` (kernel `nf_nat_setup_info`). Does nothing to a confirmed
    /// connection, or one set up for that end already.
    pub fn nat_setup(&mut self, id: ConnId, range: &Range, end: End) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        if connection.confirmed() || connection.status.has(done_bit(end)) {
            return;
        }
        let Some(current) = connection.tuple(Direction::Reply).invert() else {
            return;
        };
        let new = self.unique_tuple(&current, range, id, end);
        if new != current
            && let Some(reply) = new.invert()
            && let Some(connection) = self.connection_mut(id)
        {
            connection.set_reply(reply);
            connection.status.set(match end {
                End::Source => Status::SRC_NAT,
                End::Destination => Status::DST_NAT,
            });
        }
        if end == End::Source {
            self.link_source(id);
        }
        if let Some(connection) = self.connection_mut(id) {
            connection.status.set(done_bit(end));
        }
    }

    /// A binding that changes nothing unless it has to: a port that another connection uses at the same
    /// address is changed all the same (kernel `nf_nat_alloc_null_binding`).
    pub fn nat_null(&mut self, id: ConnId, end: End) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let reply = connection.tuple(Direction::Reply);
        let address = match end {
            End::Source => reply.destination,
            End::Destination => reply.source,
        };
        self.nat_setup(id, &Range::to(address), end);
    }

    /// Marks a connection as masqueraded with the address of `interface`.
    pub fn nat_masqueraded(&mut self, id: ConnId, interface: &str) {
        if let Some(connection) = self.connection_mut(id) {
            connection.rare_mut().masquerade = Some(interface.into());
        }
    }

    /// Rewrites a packet by its connection's bindings (kernel `nf_nat_packet`,
    /// `nf_nat_icmp_reply_translation`). `end`: source at POSTROUTING and INPUT, destination at PREROUTING
    /// and OUTPUT.
    ///
    /// # Errors
    /// [`Fault`]: the packet is to be dropped.
    pub fn nat_packet(
        &self,
        track: &Track,
        buffer: &mut Buffer<'_>,
        end: End,
    ) -> Result<(), Fault> {
        let Some(connection) = track.connection.and_then(|id| self.connection(id)) else {
            return Ok(());
        };
        let packet = buffer.packet();
        let icmp = match packet.family() {
            Family::V4 => packet.protocol() == proto::ICMP,
            Family::V6 => packet.protocol() == proto::ICMPV6,
        };
        if track.state == State::Related && icmp {
            return error_packet(&connection, track, buffer, end);
        }
        if !rewritten(&connection, track.direction, end) {
            return Ok(());
        }
        let Some(target) = connection.tuple(track.direction.opposite()).invert() else {
            return Ok(());
        };
        rewrite(buffer.edit(), 0, end, &target, target.protocol)
    }

    /// Whether a connection must not leave by `interface` at POSTROUTING, because it is masqueraded with the
    /// address of another (kernel `nf_nat_oif_changed`).
    pub fn nat_strayed(&self, track: &Track, interface: &str) -> bool {
        track.direction == Direction::Original
            && track
                .connection
                .and_then(|id| self.connection(id))
                .and_then(|c| c.connection().masquerade())
                .is_some_and(|of| of != interface)
    }

    /// Puts a connection at the head of its source's chain.
    pub(crate) fn link_source(&mut self, id: ConnId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let key = SourceKey::of(
            &connection.tuple(Direction::Original),
            connection.zones()[0],
        );
        let next = self.sources.insert(key, id.index).unwrap_or(NONE);
        self.slab.set_source(id.index, 0, NONE);
        self.slab.set_source(id.index, 1, next);
        self.slab.set_source(next, 0, id.index);
    }

    /// Takes a connection that goes out of the chain of its source.
    pub(crate) fn unlink_source(&mut self, gone: u32) {
        let Some(connection) = self.slot(gone) else {
            return;
        };
        if !connection.status.has(Status::SRC_NAT_DONE) {
            return;
        }
        let key = SourceKey::of(
            &connection.tuple(Direction::Original),
            connection.zones()[0],
        );
        let [before, after] = self.slab.sources(gone);
        self.slab.set_source(after, 0, before);
        if before != NONE {
            self.slab.set_source(before, 1, after);
        } else if after == NONE {
            self.sources.remove(&key);
        } else {
            self.sources.insert(key, after);
        }
    }
}

/// The bit that says that a connection is set up for an end.
pub(crate) fn done_bit(end: End) -> Status {
    match end {
        End::Source => Status::SRC_NAT_DONE,
        End::Destination => Status::DST_NAT_DONE,
    }
}

/// Whether packets of a direction are rewritten at an end: what is source one way is destination
/// the other way.
fn rewritten(connection: &Connection, direction: Direction, end: End) -> bool {
    let source = (end == End::Source) == (direction == Direction::Original);
    connection.status.has(if source {
        Status::SRC_NAT
    } else {
        Status::DST_NAT
    })
}

fn rewrite(
    bytes: &mut [u8],
    at: usize,
    end: End,
    tuple: &Tuple,
    protocol: u8,
) -> Result<(), Fault> {
    let target = translate::Target {
        address: match end {
            End::Source => tuple.source,
            End::Destination => tuple.destination,
        },
        protocol,
        word: match (end, tuple.protocol) {
            // The identifier is the same in either direction.
            (_, proto::ICMP | proto::ICMPV6) | (End::Source, _) => tuple.source_word(),
            (End::Destination, _) => tuple.destination_word(),
        },
    };
    if translate::rewrite(bytes, at, end, &target) {
        Ok(())
    } else {
        Err(Fault::Short)
    }
}

/// An ICMP error about a translated connection: what it quotes is rewritten the other way round, then
/// its own header.
fn error_packet(
    connection: &Connection,
    track: &Track,
    buffer: &mut Buffer<'_>,
    end: End,
) -> Result<(), Fault> {
    const REDIRECT_V4: u8 = 5;
    const REDIRECT_V6: u8 = 137;
    /// ICMP header.
    const HEADER: usize = 8;
    let direction = track.direction;
    let packet = buffer.packet();
    let transport = packet.transport();
    let (quoted, redirect) = match packet.family() {
        Family::V4 => (20, REDIRECT_V4),
        Family::V6 => (40, REDIRECT_V6),
    };
    if transport.len() < HEADER + quoted {
        return Err(Fault::Short);
    }
    let right = match packet.family() {
        Family::V4 => checksum::of(transport) == 0,
        Family::V6 => packet.transport_checksum_ok(proto::ICMPV6),
    };
    if !track.verified && !right && !packet.is_truncated() {
        return Err(Fault::Checksum);
    }
    let status = connection.status;
    if transport.first() == Some(&redirect) {
        let both = status.has(Status::SRC_NAT_DONE) && status.has(Status::DST_NAT_DONE);
        if !both || status.has(Status::SRC_NAT) || status.has(Status::DST_NAT) {
            return Err(Fault::Redirect);
        }
    }
    if !rewritten(connection, direction, end) {
        return Ok(());
    }
    let inner = packet.transport_offset() + HEADER;
    let other = connection.tuple(direction.opposite());
    let Some(outer) = other.invert() else {
        return Ok(());
    };
    let icmp = packet.protocol();
    let bytes = buffer.edit();
    rewrite(bytes, inner, end.opposite(), &other, other.protocol)?;
    translate::finish_icmp(bytes);
    rewrite(bytes, 0, end, &outer, icmp)
}
