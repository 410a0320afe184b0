//! The short way of a packet through tracking: of a flow that is known, in stages, so that a batch of packets waits
//! for memory once.
//!
//! [`Conntrack::flow`] hashes, [`Conntrack::guess`] reads the line of the index and names the entry, and
//! [`Conntrack::follow`] makes the tracker's step; [`Conntrack::fetch_line`] and [`Conntrack::fetch_entry`] have memory
//! brought near in between. All but the step change nothing and may be asked of many packets
//! before the first of them is followed; so `follow` looks again whether the entry is still the one.

use palisade_wire::udp::Udp;
use palisade_wire::{Family, Packet, Plain, Timestamp, proto};

use crate::connection::{ConnId, Connection, Status};
use crate::entry::unlink;
use crate::flow::{Stepped, entered, sooner};
use crate::hash;
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
    hash: u64,
}

impl Flow {
    /// The look that it was made of.
    #[inline]
    pub fn plain(&self) -> &Plain {
        &self.plain
    }

    #[inline]
    fn key(&self) -> Key {
        key(&self.plain)
    }

    /// The same in both directions.
    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

#[inline]
pub(crate) fn key(plain: &Plain) -> Key {
    Key {
        source: plain.source,
        destination: plain.destination,
        words: plain.ports,
        protocol: plain.protocol,
        family: match plain.family {
            Family::V4 => Key::V4,
            Family::V6 => Key::V6,
        },
    }
}

/// A plain connection that a packet seems to belong to.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its slot.
    pub slot: u32,
    /// The packet's direction.
    pub direction: Direction,
    /// The entry.
    pub connection: &'a Connection,
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
    #[inline]
    pub fn flow(&self, plain: Plain) -> Flow {
        Flow {
            hash: hash::of_ports(self.config.hash_seed, &key(&plain)),
            plain,
        }
    }

    /// Has the line of the index brought near where a flow's connection stands, if it does.
    #[inline]
    pub fn fetch_line(&self, flow: &Flow) {
        self.index.fetch(flow.hash);
    }

    /// Reads the line of the index where a flow's connection stands, if it does, and names the slot that it most
    /// likely has.
    #[inline]
    pub fn guess(&self, flow: &Flow) -> Option<u32> {
        self.index.guess(flow.hash).map(|link| unlink(link).0)
    }

    /// Has an entry brought near.
    #[inline]
    pub fn fetch_entry(&self, slot: u32, flow: &Flow) {
        self.slab.fetch(slot, flow.plain.protocol != proto::UDP);
    }

    /// The plain, confirmed, living connection of a flow, if no other can have its tuple; it is looked for in
    /// `guessed` first.
    #[inline]
    pub fn known(&self, guessed: Option<u32>, flow: &Flow, now: Timestamp) -> Option<Known<'_>> {
        if !self.unambiguous() {
            return None;
        }
        if let Some(known) = guessed.and_then(|slot| self.known_at(slot, flow, now)) {
            return Some(known);
        }
        self.index.find(flow.hash, |link| {
            let (slot, under) = unlink(link);
            (under == Direction::Original).then(|| self.known_at(slot, flow, now))?
        })
    }

    #[inline]
    fn known_at(&self, slot: u32, flow: &Flow, now: Timestamp) -> Option<Known<'_>> {
        let connection = self.slab.get(slot)?;
        let stands = Status(Status::CONFIRMED.0 | Status::DYING.0);
        if !connection.is_plain()
            || connection.status.0 & stands.0 != Status::CONFIRMED.0
            || connection.expired(now)
        {
            return None;
        }
        let direction = connection.direction_of(&flow.key())?;
        Some(Known {
            slot,
            direction,
            connection,
        })
    }

    /// The connection of a flow outside of any zone, whatever it is: its slot, the packet's direction, and whether it is
    /// a plain one. One that ended and is met ends here.
    pub fn meet(&mut self, flow: &Flow, now: Timestamp) -> Option<(u32, Direction, bool)> {
        let (slot, direction) = self.search(&flow.key(), flow.hash, [0; 2], now)?;
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
        (flow, met): (&Flow, Option<(u32, Direction)>),
        (plain, bytes): (&Plain, &[u8]),
        hook: TrackHook,
        now: Timestamp,
    ) -> Track {
        let verify = self.doubts((plain, bytes), hook);
        let packet = &plain.packet(bytes);
        let track = match met {
            Some((slot, direction)) => {
                self.step_on(packet, (slot, direction, false), verify, hook, now)
            }
            None => match self.open(&flow.key(), flow.hash, now) {
                Some(slot) => {
                    self.step_on(packet, (slot, Direction::Original, true), verify, hook, now)
                }
                None => self.full(),
            },
        };
        self.note(track)
    }

    /// What [`leave`](Self::leave) does for a plain connection.
    ///
    /// # Errors
    /// Another connection has a tuple of it.
    pub fn leave_met(
        &mut self,
        flow: &Flow,
        track: &mut Track,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let Some(id) = track.connection.filter(|_| track.fresh && !track.dying) else {
            return Ok(());
        };
        entered(track, self.confirm_under(id, flow.hash, now))
    }

    /// A packet of a connection that has seen both directions: ESTABLISHED, and everything that tracking does for
    /// it is done.
    ///
    /// # Errors
    /// What it is instead, to be handed to [`resume`](Self::resume).
    #[inline]
    pub fn follow(
        &mut self,
        (slot, direction): (u32, Direction),
        (plain, bytes): (&Plain, &[u8]),
        hook: TrackHook,
        now: Timestamp,
    ) -> Result<ConnId, Followed> {
        let verify = self.doubts((plain, bytes), hook);
        if !verify && let Some(id) = self.follow_usual(slot, direction, (plain, bytes), now) {
            return Ok(id);
        }
        let packet = &plain.packet(bytes);
        match self.advance(packet, (slot, direction), verify, now, None) {
            Stepped::Valid { id, .. } => Ok(id),
            Stepped::Repeat(from) => {
                self.remove(slot);
                Err(Followed(Said::Repeat(from)))
            }
            Stepped::Invalid(why) => Err(Followed(Said::Invalid(why))),
        }
    }

    /// Whether a tracker is to look at the checksum: one that is right is right, and what is wrong with another one is
    /// told by who looks closer.
    #[inline]
    fn doubts(&self, (plain, bytes): (&Plain, &[u8]), hook: TrackHook) -> bool {
        self.verifies(hook) && !plain.checksum_ok(bytes)
    }

    /// The whole step of most packets, for a plain connection that has seen both directions; `None`, and nothing
    /// happened, of other packets.
    #[inline]
    fn follow_usual(
        &mut self,
        slot: u32,
        direction: Direction,
        (plain, bytes): (&Plain, &[u8]),
        now: Timestamp,
    ) -> Option<ConnId> {
        let at = plain.transport_offset();
        let transport = bytes.get(at..)?;
        let have = usize::from(plain.length) - at;
        // Who was assured then is assured now, unless the clock went back.
        let onwards = now >= self.latest;
        self.latest = self.latest.max(now);
        let connection = self.slab.get_mut(slot)?;
        let id = ConnId {
            index: slot,
            generation: connection.generation,
        };
        let before = connection.deadline();
        let seconds = if plain.protocol == proto::UDP {
            let length: &[u8; 2] = transport.get(4..)?.first_chunk()?;
            let length = usize::from(u16::from_be_bytes(*length));
            if length < Udp::HEADER_LEN || length > have {
                return None;
            }
            if onwards && connection.assured() {
                // What this hangs on stands in the entry's second line, which need not be read.
                self.config.udp_timeout_stream
            } else {
                udp::timeout(connection, &self.config, now)
            }
        } else {
            let words = connection.part_mut();
            let seconds = quick::step(words, (transport, have), direction, &self.config)?;
            connection.status.set(Status::ASSURED);
            seconds
        };
        if !connection.status.has(Status::FIXED_TIMEOUT) {
            connection.renew(seconds, now);
            let earlier = sooner(connection.deadline(), before);
            if earlier && (seconds < LOOK_AGAIN || !onwards) {
                self.slab.hasten(slot);
            }
        }
        self.slab.count(slot, direction, plain.length.into());
        Some(id)
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
