//! The short way of a packet through tracking: of a flow that is known, in stages, so that a batch of packets waits
//! for memory once.
//!
//! [`Conntrack::flow`] hashes, [`Conntrack::guess`] reads the line of the index and names the slot of the entry, and
//! [`Conntrack::follow`] makes the tracker's step; [`Conntrack::fetch_line`] and [`Conntrack::fetch_entry`] have memory
//! brought near in between. All but the step change nothing and may be asked of many packets
//! before the first of them is followed; so `follow` looks again whether the entry is still the one.

use palisade_wire::udp::Udp;
use palisade_wire::{Family, Packet, Plain, Timestamp, proto};

use crate::config::Config;
use crate::connection::{ConnId, Connection, Status};
use crate::entry::unlink;
use crate::flow::Stepped;
use crate::hash;
use crate::leave::entered;
use crate::proto::tcp::{TcpState, quick};
use crate::proto::udp;
use crate::reason::{DropReason, Invalid};
use crate::slab::LOOK_AGAIN;
use crate::table::Conntrack;
use crate::track::{Track, TrackHook};
use crate::tuple::{Direction, Key};

/// A packet's tuple, hashed.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    plain: Plain,
    /// Its transport checksum was looked at, and is right, or nobody asks.
    right: bool,
    hash: u64,
}

impl Flow {
    /// Of no packet: to fill a place.
    pub const NONE: Flow = Flow {
        plain: Plain {
            ends: 0,
            ports: 0,
            length: 0,
            protocol: 0,
            ttl: 0,
            family: Family::V4,
        },
        right: false,
        hash: 0,
    };

    /// The look that it was made of.
    #[inline]
    pub fn plain(&self) -> &Plain {
        &self.plain
    }

    /// The same in both directions.
    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

/// The key of a plain packet.
#[inline]
pub(crate) fn key(plain: &Plain, bytes: &[u8]) -> Key {
    let [source, destination] = plain.addresses(bytes);
    Key {
        source,
        destination,
        words: plain.ports,
        protocol: plain.protocol,
        family: Key::family(plain.family),
    }
}

/// The hash of its key outside of any zone.
#[inline(always)]
pub(crate) fn hash(seed: (u64, u64), plain: &Plain, bytes: &[u8]) -> u64 {
    match plain.family {
        Family::V4 => hash::of_v4(seed, plain.ends, plain.ports, plain.protocol),
        Family::V6 => hash::of(seed, &key(plain, bytes), 0),
    }
}

/// A plain connection that a packet belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its slot.
    pub slot: u32,
    /// The packet's direction.
    pub direction: Direction,
    /// The entry.
    pub connection: &'a Connection,
}

/// Why a packet was not followed; but for the last, nothing happened.
#[derive(Clone, Debug)]
pub enum Strayed<E> {
    /// There is no plain, confirmed, living connection with its tuple in the slot that was named, or another one could
    /// have it too.
    Elsewhere,
    /// Not both directions were seen yet.
    Unreplied,
    /// Who was asked for the hook said no.
    Refused(E),
    /// It is something else than a packet of its connection that is ESTABLISHED.
    Foretold(Followed),
}

/// What a packet did that tracking does not wave through.
#[derive(Clone, Debug)]
pub struct Followed(Said);

impl Followed {
    /// Whether its connection is gone and it is to be looked at as a first packet.
    pub fn starts_anew(&self) -> bool {
        matches!(self.0, Said::Repeat(_))
    }
}

#[derive(Clone, Debug)]
enum Said {
    Invalid(Invalid),
    Repeat(TcpState),
}

impl Conntrack {
    /// The flow of a packet, outside of any zone.
    #[inline(always)]
    pub fn flow(&self, plain: Plain, bytes: &[u8]) -> Flow {
        Flow {
            hash: hash(self.config.hash_seed, &plain, bytes),
            right: self.config.checksum == 0 || plain.short_checksum_ok(bytes) == Some(true),
            plain,
        }
    }

    /// Has the line of the index brought near where a flow's connection stands, if it does.
    #[inline]
    pub fn fetch_line(&self, flow: &Flow) {
        self.index.fetch(flow.hash);
    }

    /// Reads the line of the index where a flow's connection stands, if it does, and names the slot that it most
    /// likely has: one that there is not, if it does not stand there.
    #[inline]
    pub fn guess(&self, flow: &Flow) -> u32 {
        unlink(self.index.guess(flow.hash)).0
    }

    /// Has an entry brought near.
    #[inline]
    pub fn fetch_entry(&self, slot: u32, flow: &Flow) {
        self.slab.fetch(slot, flow.plain.protocol != proto::UDP);
    }

    /// The connection of a flow outside of any zone, whatever it is: its slot, the packet's direction, and whether it is
    /// a plain one. One that ended and is met ends here.
    pub fn meet(
        &mut self,
        (flow, bytes): (&Flow, &[u8]),
        now: Timestamp,
    ) -> Option<(u32, Direction, bool)> {
        let key = key(&flow.plain, bytes);
        let (slot, direction) = self.search(&key, flow.hash, [0; 2], now)?;
        let plain = self.slab.get(slot).is_some_and(Connection::is_plain);
        Some((slot, direction, plain))
    }

    /// Whether nothing but the packet itself decides about a new connection: none is expected.
    pub fn expects_nothing(&self) -> bool {
        self.expectations.is_empty()
    }

    /// What [`track`](Self::track) says of a packet whose connection [`meet`](Self::meet) named, or that has none.
    pub fn track_met(
        &mut self,
        (flow, bytes): (&Flow, &[u8]),
        met: Option<(u32, Direction)>,
        hook: TrackHook,
        now: Timestamp,
    ) -> Track {
        let plain = &flow.plain;
        let verify = doubts(&self.config, flow, bytes, hook);
        let packet = &plain.packet(bytes);
        let track = match met {
            Some((slot, direction)) => {
                self.step_on(packet, (slot, direction, false), verify, hook, now)
            }
            None => match self.open(&key(plain, bytes), flow.hash, now) {
                Some(slot) => {
                    self.step_on(packet, (slot, Direction::Original, true), verify, hook, now)
                }
                None => self.full(),
            },
        };
        self.note(track)
    }

    /// What [`leave`](Self::leave) does for a plain connection. `first` says that [`meet`](Self::meet) found none, and
    /// that nothing but this packet was tracked since.
    ///
    /// # Errors
    /// Another connection has a tuple of it.
    pub fn leave_met(
        &mut self,
        (flow, first): (&Flow, bool),
        track: &mut Track,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let Some(id) = track.connection.filter(|_| track.fresh && !track.dying) else {
            return Ok(());
        };
        let confirmed = match first {
            true => self.confirm_first(id, flow.hash, now),
            false => self.confirm_under(id, flow.hash, now),
        };
        entered(track, confirmed)
    }

    /// The slot of the plain, confirmed, living connection of a flow, if no other can have its tuple. Nothing ends here.
    pub fn find_plain(&self, (flow, bytes): (&Flow, &[u8]), now: Timestamp) -> Option<u32> {
        if !self.unambiguous() {
            return None;
        }
        self.index.find(flow.hash, |link| {
            let (slot, under) = unlink(link);
            let plain = under == Direction::Original && self.stands_in(slot, (flow, bytes), now);
            plain.then_some(slot)
        })
    }

    /// Whether the plain, confirmed, living connection of a flow is in a slot.
    pub fn stands_in(&self, slot: u32, (flow, bytes): (&Flow, &[u8]), now: Timestamp) -> bool {
        let fits = |c: &Connection| c.fits_plain(&flow.plain, bytes, now);
        self.unambiguous() && self.slab.slot(slot).and_then(fits).is_some()
    }

    /// A packet of a plain, confirmed, living connection that has seen both directions: ESTABLISHED, and everything that
    /// tracking does for it is done. The connection stands in `slot`, if the guess was right. `hook` is
    /// asked before anything happens. `family` is the flow's, named apart because it is known where this is compiled.
    ///
    /// # Errors
    /// What it is instead.
    #[inline(always)]
    pub fn follow<E>(
        &mut self,
        (family, slot): (Family, u32),
        (flow, bytes): (&Flow, &[u8]),
        now: Timestamp,
        hook: impl FnOnce(Known<'_>) -> Result<TrackHook, E>,
    ) -> Result<(ConnId, Direction), Strayed<E>> {
        let ambiguous = !self.unambiguous();
        let plain = &Plain {
            family,
            ..flow.plain
        };
        let Some(connection) = self.slab.slot_mut(slot).filter(|_| !ambiguous) else {
            return Err(Strayed::Elsewhere);
        };
        let Some(direction) = connection.fits_plain(plain, bytes, now) else {
            return Err(Strayed::Elsewhere);
        };
        if !connection.replied() {
            return Err(Strayed::Unreplied);
        }
        let known = Known {
            slot,
            direction,
            connection,
        };
        let hook = hook(known).map_err(Strayed::Refused)?;
        let verify = doubts(&self.config, flow, bytes, hook);
        // Who was assured then is assured now, unless the clock went back.
        let onwards = now >= self.latest;
        if !verify
            && let Some(seconds) = usual_step(
                connection,
                &self.config,
                (plain, bytes),
                direction,
                now,
                onwards,
            )
        {
            let id = ConnId {
                index: slot,
                generation: connection.generation,
            };
            if !connection.status.has(Status::FIXED_TIMEOUT) {
                let earlier = connection.renew_confirmed(seconds, now);
                // How long it is cannot be foreseen, so it is asked last.
                if (seconds < LOOK_AGAIN || !onwards) && earlier {
                    self.slab.hasten(slot);
                }
            }
            if onwards {
                self.latest = now;
            }
            self.slab.count(slot, direction, plain.length.into());
            return Ok((id, direction));
        }
        match self.follow_other(slot, direction, &flow.plain, bytes, verify, now) {
            Ok(id) => Ok((id, direction)),
            Err(said) => Err(Strayed::Foretold(Followed(said))),
        }
    }

    /// The step of any packet. Its arguments are no tuples, as elsewhere: those go through memory, written for every packet.
    #[cold]
    #[inline(never)]
    #[allow(clippy::too_many_arguments)]
    fn follow_other(
        &mut self,
        slot: u32,
        direction: Direction,
        plain: &Plain,
        bytes: &[u8],
        verify: bool,
        now: Timestamp,
    ) -> Result<ConnId, Said> {
        let packet = &plain.packet(bytes);
        match self.advance(packet, (slot, direction), verify, now, None) {
            Stepped::Valid { id, .. } => Ok(id),
            Stepped::Repeat(from) => {
                self.remove(slot);
                Err(Said::Repeat(from))
            }
            Stepped::Invalid(why) => Err(Said::Invalid(why)),
        }
    }

    /// What [`track`](Self::track) would say of a packet that was followed in vain.
    pub fn resume(
        &mut self,
        followed: Followed,
        packet: &Packet<'_>,
        hook: TrackHook,
        now: Timestamp,
    ) -> Track {
        let track = match followed.0 {
            Said::Invalid(why) => Track::invalid(why),
            Said::Repeat(from) => self.again(packet, hook, from, now),
        };
        self.note(track)
    }
}

/// Whether a tracker is to look at the checksum: one that is right is right, and what is wrong with another one is told
/// by who looks closer.
#[inline(always)]
fn doubts(config: &Config, flow: &Flow, bytes: &[u8], hook: TrackHook) -> bool {
    !flow.right && doubts_it(config, flow, bytes, hook)
}

/// The same of one that was not seen to be right. It stands apart so that nothing branches on the hook, which cannot be
/// foreseen, before it is asked for.
#[inline(never)]
fn doubts_it(config: &Config, flow: &Flow, bytes: &[u8], hook: TrackHook) -> bool {
    hook == TrackHook::Prerouting && config.checksum != 0 && !flow.plain.checksum_ok(bytes)
}

/// The tracker's step of most packets, for a plain, confirmed connection that has seen both directions: the timeout in
/// seconds. `None`, and nothing happened, of other packets.
#[inline(always)]
fn usual_step(
    connection: &mut Connection,
    config: &Config,
    (plain, bytes): (&Plain, &[u8]),
    direction: Direction,
    now: Timestamp,
    onwards: bool,
) -> Option<u64> {
    let at = plain.transport_offset();
    let transport = bytes.get(at..)?;
    let have = usize::from(plain.length).wrapping_sub(at);
    if plain.protocol != proto::UDP {
        let seconds = quick::step(connection.part_mut(), transport, have, direction, config)?;
        connection.status.set(Status::ASSURED);
        return Some(seconds);
    }
    let header: &[u8; Udp::HEADER_LEN] = transport.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if length < Udp::HEADER_LEN || length > have {
        return None;
    }
    // What the assurance hangs on stands in the entry's second line, which need not be read.
    Some(match onwards && connection.assured() {
        true => config.udp_timeout_stream,
        false => udp::timeout(connection, config, now),
    })
}
