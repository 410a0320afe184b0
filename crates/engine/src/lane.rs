//! The short way: packets of known flows, whose way was walked before and is remembered in the connection's entry.
//!
//! # Overview
//! A packet that is whole and plain (IPv4 without options or IPv6 without extension headers; TCP or UDP), belongs to a
//! plain connection that has seen both directions, and came as those before it came, takes the way that was found for
//! all packets of its flow (`remember.rs`): tracking makes its step, one pair of counters moves, the time to live
//! sinks if it is forwarded. Everything else takes the long way (`path.rs`), which is right for every packet.
//!
//! # Life cycle
//! Ways are numbered, never with the same number twice; a connection remembers the number for either direction.
//! When rules change, or when there are too many ways, their counters go to the rules ([`Engine::settle`]) and all
//! numbers given so far mean nothing.
//!
//! # Bounds
//! [`MOST_WAYS`] ways.

use std::collections::HashMap;

use palisade_conntrack::{Direction, Followed, State, Strayed, TrackHook};
use palisade_rules::{Family, TableKind};
use palisade_wire::{Plain, Timestamp, build, link::PacketType};

use crate::ahead::{Part, Ready};
use crate::batch::{Arrival, Judged, Port};
use crate::changed::Changed;
use crate::detail::Detail;
use crate::outcome::{Ended, Outcome, Path, Verdict};
use crate::program::ProgramTable;
use crate::remember::{Asked, Counter, Way};
use crate::{Engine, Evaluator};

/// Ways that are remembered at a time.
const MOST_WAYS: usize = 1 << 14;

/// When so many ways were numbered, the lane is closed: no number is given twice.
const LAST_BASE: u32 = u32::MAX - 2 * MOST_WAYS as u32;

/// What a packet must have come with to take a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Came {
    port: Port,
    mark: u32,
    packet_type: Option<PacketType>,
}

impl Came {
    #[inline]
    fn of(arrival: &Arrival<'_>) -> Self {
        Came {
            port: arrival.port,
            mark: arrival.mark,
            packet_type: arrival.link.packet_type,
        }
    }
}

/// Where a way leads; `None`: it is another one for every packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    came: Came,
    family: Family,
    path: Path,
    way: Option<Way>,
}

/// A way, and what went it since its counters were settled. It shares no line of memory with those of another shard.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Trodden {
    packets: u64,
    bytes: u64,
    came: Came,
    connection_mark: Option<u32>,
    mark: u32,
    verdict: Verdict,
    /// Where its packets are tracked.
    hook: TrackHook,
    /// Whether a router passes its packets on, which lowers the time to live.
    routed: bool,
    /// Whether there is more to ask than what packets came with.
    special: bool,
    /// Whether there is a way at all.
    leads: bool,
}

/// All ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    /// Numbers up to this one mean nothing.
    base: u32,
    ways: Vec<Trodden>,
    /// What tracking said of the packet that was judged last, if it did not wave it through.
    foretold: Option<Followed>,
    numbers: HashMap<Key, u32>,
}

/// How a packet went whose flow's way is to be found.
pub(crate) struct Recorded<'a> {
    pub(crate) path: Path,
    /// Interfaces that it came and leaves by.
    pub(crate) names: (Option<&'a str>, Option<&'a str>),
    /// What dropped it, if a rule or policy did.
    pub(crate) decided: Option<Counter>,
    /// Its connection's slot, and its direction.
    pub(crate) known: (u32, Direction),
}

/// Why a packet takes another way than the short one.
#[derive(Clone, Copy)]
pub(crate) enum Long {
    /// Its connection is not where it was guessed to be.
    Elsewhere,
    /// Nothing is known of its way.
    Unknown,
    /// Its way is to be found.
    Record(u32, Direction),
    /// Tracking did not wave it through; what it said is kept: see [`Engine::foretold`].
    Foretold,
}

impl Lane {
    #[inline]
    fn way(&mut self, number: u32) -> Option<&mut Trodden> {
        let place = self.place(number);
        self.ways.get_mut(place)
    }

    /// Where a way stands; beyond all of them if its number means nothing.
    #[inline]
    fn place(&self, number: u32) -> usize {
        number.wrapping_sub(self.base).wrapping_sub(1) as usize
    }

    /// What went each way.
    fn trodden(&self) -> impl Iterator<Item = (&Key, &Trodden)> {
        let of = |(key, number): (_, &u32)| Some((key, self.ways.get(self.place(*number))?));
        self.numbers.iter().filter_map(of)
    }
}

impl Engine {
    /// The short way of some packets of a group, from number `from` on: the number of the first that it is not for, and
    /// why.
    #[inline(never)]
    pub(crate) fn short_ways(
        &mut self,
        group: &mut [Arrival<'_>],
        part: &Part,
        from: usize,
        now: Timestamp,
    ) -> (usize, Option<Long>) {
        let mut at = from;
        for (arrival, ready) in group.iter_mut().zip(part.all()).skip(from) {
            if !part.may(at) {
                return (at, None);
            }
            if let Err(long) = self.short_way(arrival, ready, now) {
                return (at, Some(long));
            }
            at += 1;
        }
        (at, None)
    }

    /// The short way, if there is one.
    #[inline(always)]
    pub(crate) fn short_way(
        &mut self,
        arrival: &mut Arrival<'_>,
        ready: &Ready,
        now: Timestamp,
    ) -> Result<(), Long> {
        match ready.flow.plain().family {
            Family::V4 => self.short_way_of(Family::V4, arrival, ready, now),
            Family::V6 => self.short_way_v6(arrival, ready, now),
        }
    }

    #[inline(never)]
    fn short_way_v6(
        &mut self,
        arrival: &mut Arrival<'_>,
        ready: &Ready,
        now: Timestamp,
    ) -> Result<(), Long> {
        self.short_way_of(Family::V6, arrival, ready, now)
    }

    /// The same for a family that is known when this is compiled.
    #[inline(always)]
    fn short_way_of(
        &mut self,
        family: Family,
        arrival: &mut Arrival<'_>,
        ready: &Ready,
        now: Timestamp,
    ) -> Result<(), Long> {
        let plain = ready.flow.plain();
        let lane = &mut self.lane;
        let (came, unfinished) = (Came::of(arrival), arrival.unfinished);
        let mut gone = None;
        let followed = self.conntrack.follow(
            (family, ready.slot),
            (&ready.flow, arrival.bytes),
            now,
            |known| {
                let record = Long::Record(known.slot, known.direction);
                let number = known.connection.remembered(known.direction);
                let Some(way) = lane.way(number) else {
                    return Err(record);
                };
                if way.came != came {
                    return Err(record);
                }
                if way.special {
                    let marked = |mark| mark != known.connection.mark;
                    if way.connection_mark.is_some_and(marked) {
                        return Err(record);
                    }
                    if !way.leads || way.routed && plain.ttl <= 1 {
                        return Err(Long::Unknown);
                    }
                }
                let hook = match unfinished {
                    true => TrackHook::Unfinished,
                    false => way.hook,
                };
                gone = Some(way);
                Ok(hook)
            },
        );
        let (id, direction) = match followed {
            Ok(known) => known,
            Err(Strayed::Elsewhere) => return Err(Long::Elsewhere),
            Err(Strayed::Unreplied) => return Err(Long::Unknown),
            Err(Strayed::Refused(long)) => return Err(long),
            Err(Strayed::Foretold(followed)) => {
                self.lane.foretold = Some(followed);
                return Err(Long::Foretold);
            }
        };
        let Some(way) = gone else {
            return Err(Long::Unknown);
        };
        way.packets += 1;
        way.bytes += u64::from(plain.length);
        arrival.judged = Judged {
            verdict: way.verdict,
            state: Some(State::Established),
            direction: Some(direction),
            connection: Some(id),
            mark: way.mark,
            changed: Changed::default(),
            detail: Detail::NONE,
        };
        if way.routed && way.verdict == Verdict::Accept {
            build::set_ttl(arrival.bytes, plain.ttl - 1);
        }
        Ok(())
    }

    /// What tracking said of the packet that it did not wave through.
    pub(crate) fn foretold(&mut self) -> Option<Followed> {
        self.lane.foretold.take()
    }

    /// The short way of a packet whose connection is not where it was guessed to be, but in the slot `found`, if
    /// anywhere.
    #[cold]
    #[inline(never)]
    pub(crate) fn short_way_elsewhere(
        &mut self,
        arrival: &mut Arrival<'_>,
        ready: &Ready,
        found: Option<u32>,
        now: Timestamp,
    ) -> Result<(), Long> {
        match found.filter(|slot| *slot != ready.slot) {
            Some(slot) => self.short_way(arrival, &Ready { slot, ..*ready }, now),
            None => Err(Long::Unknown),
        }
    }

    /// Finds the way of a flow from the first of its packets, and has the connection remember it.
    pub(crate) fn record(&mut self, arrival: &Arrival<'_>, went: &Recorded<'_>, now: Timestamp) {
        let (slot, direction) = went.known;
        let judged = &arrival.judged;
        let waved = judged.state == Some(State::Established)
            && judged.direction == Some(direction)
            && judged.connection.is_some()
            && judged.connection == self.conntrack.id(slot);
        let Some(plain) = Plain::of(arrival.bytes).filter(|_| waved) else {
            return;
        };
        let came = Came::of(arrival);
        let (in_interface, out_interface) = match went.path {
            Path::Input => (went.names.0, None),
            Path::Output => (None, went.names.1),
            Path::Forward | Path::Loopback => went.names,
        };
        let bridge = self.bridge_of(arrival.port);
        let asked = Asked {
            packet: plain.packet(arrival.bytes),
            path: went.path,
            in_interface,
            out_interface,
            link: arrival.link,
            bridge: &bridge,
            mark: arrival.mark,
            now,
        };
        // A packet that ended apart from the rules did not go their way to its end.
        let goes = |way: &Way| {
            let last = way.counters.last().copied();
            (way.verdict, way.mark) == (judged.verdict, judged.mark)
                && (way.verdict == Verdict::Accept || last == went.decided)
        };
        let way = self.way_of_all(&asked, went.known).filter(goes);
        let key = Key {
            came,
            family: plain.family,
            path: went.path,
            way,
        };
        let number = self.number(key);
        self.conntrack.remember(slot, direction, number);
    }

    /// The rule or policy that dropped a packet.
    pub(crate) fn dropped_by(&self, outcome: &Outcome) -> Option<Counter> {
        let Ended::Dropped(by) = &outcome.why.ended else {
            return None;
        };
        let table = self.programs[by.family as usize].table(by.table)?;
        let chain = table.chains.iter().position(|c| c.name == by.chain)?;
        Some(Counter {
            table: by.table,
            chain: chain as u32,
            rule: by.rule.checked_sub(1),
        })
    }

    fn number(&mut self, key: Key) -> u32 {
        if let Some(number) = self.lane.numbers.get(&key) {
            return *number;
        }
        if self.lane.ways.len() >= MOST_WAYS {
            self.settle();
        }
        let (way, came) = (key.way.as_ref(), key.came);
        let routed = key.path == Path::Forward && !self.wired(came.port);
        let connection_mark = way.and_then(|w| w.connection_mark);
        self.lane.ways.push(Trodden {
            packets: 0,
            bytes: 0,
            came,
            connection_mark,
            mark: way.map_or(0, |w| w.mark),
            verdict: way.map_or(Verdict::Drop, |w| w.verdict),
            hook: match key.path {
                Path::Output | Path::Loopback => TrackHook::Output,
                Path::Input | Path::Forward => TrackHook::Prerouting,
            },
            routed,
            special: way.is_none() || routed || connection_mark.is_some(),
            leads: way.is_some(),
        });
        let number = self.lane.base + self.lane.ways.len() as u32;
        self.lane.numbers.insert(key, number);
        number
    }

    /// Whether packets of this engine may take the short way.
    pub(crate) fn lane_open(&self, family: Family) -> bool {
        self.evaluator == Evaluator::Compiled
            && self.lane.base < LAST_BASE
            && !self.conntrack.explains()
            && !self.conntrack.watched()
            && !self.programs[family as usize].proxies
    }

    /// Gives what went the ways to the counters of their rules, and forgets the ways.
    pub(crate) fn settle(&mut self) {
        let lane = std::mem::take(&mut self.lane);
        for (key, way) in lane.trodden() {
            for counter in key.way.iter().flat_map(|way| &way.counters) {
                let table = &mut self.programs[key.family as usize].tables[counter.table as usize];
                if let Some(counters) = table
                    .as_mut()
                    .and_then(|t| counters_of(t, counter.chain, counter.rule))
                {
                    counters.packets += way.packets;
                    counters.bytes += way.bytes;
                }
            }
        }
        self.lane.base = lane.base.saturating_add(lane.ways.len() as u32);
    }

    /// What went the ways since, to be added to the counters of a family.
    pub(crate) fn unsettled(
        &self,
        family: Family,
    ) -> impl Iterator<Item = (TableKind, u32, Option<u32>, u64, u64)> + '_ {
        self.lane
            .trodden()
            .filter(move |(key, _)| key.family == family)
            .flat_map(|(key, way)| {
                let counters = key.way.iter().flat_map(|way| &way.counters);
                counters.map(|c| (c.table, c.chain, c.rule, way.packets, way.bytes))
            })
    }
}

fn counters_of(
    table: &mut ProgramTable,
    chain: u32,
    rule: Option<u32>,
) -> Option<&mut palisade_rules::Counters> {
    let chain = table.chains.get_mut(chain as usize)?;
    match rule {
        None => Some(&mut chain.counters),
        Some(rule) => chain.counts.get_mut(rule as usize),
    }
}
