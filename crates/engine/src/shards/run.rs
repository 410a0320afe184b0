//! Packets on their way to the shards of their flows.

use std::sync::MutexGuard;

use palisade_conntrack::parted::{self, Name};
use palisade_conntrack::{Direction, Followed};
use palisade_rules::Family;
use palisade_wire::{Packet, Timestamp};

use super::{MOST, Shards, locked};
use crate::ahead::{GROUP, Ready};
use crate::lane::Long;
use crate::path::Reassembled;
use crate::{Arrival, Engine, Input, Observer, Outcome};

/// Packets of a batch after which those of other shards are handed over.
const HAND_OVER: usize = 256;

/// Where a packet is judged.
enum Place {
    Here,
    /// In another shard.
    At(usize),
    /// With all shards at hand.
    Together(Option<Followed>),
}

/// The shards that packets of a batch are to be handed over to.
struct Strays {
    to: [u8; HAND_OVER],
    any: bool,
}

/// No shard.
const NOBODY: u8 = u8::MAX;
const _: () = assert!(MOST <= NOBODY as usize);

impl Strays {
    fn none() -> Self {
        Strays {
            to: [NOBODY; HAND_OVER],
            any: false,
        }
    }

    fn add(&mut self, packet: usize, shard: usize) {
        self.to[packet] = shard as u8;
        self.any = true;
    }
}

/// Which families' packets may go the shorter ways.
#[derive(Clone, Copy)]
struct Ways {
    open: [bool; 2],
    usual: [bool; 2],
}

impl Shards {
    /// Packets that came together at `now`, by a thread whose own shard is `home`. Within a flow their order is kept.
    /// With [`shard_of`](Self::shard_of) as a guide none of them needs another shard.
    pub fn process_batch(&self, home: usize, batch: &mut [Arrival<'_>], now: Timestamp) {
        if self.shards.len() == 1 {
            self.lock(0).process_batch(batch, now);
            return;
        }
        let mut rest = batch;
        while !rest.is_empty() {
            let size = rest.len().min(HAND_OVER);
            let mut strays = Strays::none();
            let (mut done, stopped) = {
                let mut engine = self.lock(home);
                self.run(&mut engine, home, &mut rest[..size], &mut strays, now)
            };
            if strays.any {
                self.hand_over(&mut rest[..done], &strays, now);
            }
            if let Some(foretold) = stopped {
                self.judge_together(&mut rest[done], foretold, now);
                done += 1;
            }
            rest = &mut rest[done..];
        }
    }

    /// One packet through all hooks and tables, as [`Engine::process`].
    pub fn process<O: Observer>(&self, input: &Input<'_>, observer: &mut O) -> Outcome {
        let home = self.shard_of(input.bytes);
        if self.shards.len() > 1 {
            let mut engine = self.lock(home);
            match self.place(&mut engine, home, input.bytes, input.time) {
                Place::Here => {
                    return self.lending(&mut engine, |engine| engine.process(input, observer));
                }
                Place::At(_) | Place::Together(_) => {}
            }
        } else {
            return self.lock(0).process(input, observer);
        }
        let mut all = self.all();
        self.joint(&mut all, input, None, observer).1
    }

    /// Judges the packets of a batch that are at home, up to one that is a matter of all shards: how many were looked
    /// at, and what tracking said of that one.
    fn run(
        &self,
        engine: &mut Engine,
        home: usize,
        batch: &mut [Arrival<'_>],
        strays: &mut Strays,
        now: Timestamp,
    ) -> (usize, Option<Option<Followed>>) {
        let ways = self.ways(engine);
        let mut stage = engine.stage.take().unwrap_or_default();
        engine.begin(batch, ways.open, &mut stage);
        let (mut done, mut stopped) = (0, None);
        'batch: for number in 0..batch.len().div_ceil(GROUP) {
            let rest = &mut batch[number * GROUP..];
            let (group, behind) = rest.split_at_mut(rest.len().min(GROUP));
            engine.look_ahead(number, behind, ways.open, &mut stage);
            let part = stage.part(number);
            for (at, arrival) in group.iter_mut().enumerate() {
                match self.one(engine, home, (arrival, part.get(at)), ways, now) {
                    Place::Here => {}
                    Place::At(shard) => strays.add(done, shard),
                    Place::Together(foretold) => {
                        stopped = Some(foretold);
                        break 'batch;
                    }
                }
                done += 1;
            }
        }
        engine.stage = Some(stage);
        (done, stopped)
    }

    fn ways(&self, engine: &Engine) -> Ways {
        let families = [Family::V4, Family::V6];
        Ways {
            open: families.map(|family| engine.lane_open(family)),
            usual: families.map(|family| engine.usual_open(family) && !self.bound(family)),
        }
    }

    /// Judges a packet, if this shard can: else nothing happened but what tracking said.
    #[inline]
    fn one(
        &self,
        engine: &mut Engine,
        own: usize,
        (arrival, ready): (&mut Arrival<'_>, Option<&Ready>),
        ways: Ways,
        now: Timestamp,
    ) -> Place {
        let Some(ready) = ready else {
            return self.long(engine, own, arrival, None, now);
        };
        // What the short way knows are plain connections, which live at home.
        if ready.flow.part(self.shards.len()) != own {
            return self.long(engine, own, arrival, None, now);
        }
        let family = ready.flow.plain().family;
        let went = match engine.short_way(arrival, ready, now) {
            Err(Long::Elsewhere) => {
                let found = engine
                    .conntrack
                    .find_plain((&ready.flow, arrival.bytes), now);
                engine.short_way_elsewhere(arrival, ready, found, now)
            }
            went => went,
        };
        let record = match went {
            Ok(()) => return Place::Here,
            Err(Long::Foretold) => {
                let foretold = engine.foretold();
                let anew = foretold.as_ref().is_some_and(Followed::starts_anew);
                if self.bound(family) && anew {
                    return Place::Together(foretold);
                }
                self.lending(engine, |engine| {
                    engine.long_way(arrival, foretold, None, now);
                });
                return Place::Here;
            }
            Err(Long::Record(slot, direction)) => Some((slot, direction)),
            Err(Long::Unknown | Long::Elsewhere) => None,
        };
        if self.bound(family) {
            return self.long(engine, own, arrival, record, now);
        }
        self.lending(engine, |engine| {
            if !ways.usual[family as usize] || !engine.usual_way(arrival, ready, None, now) {
                engine.long_way(arrival, None, record, now);
            }
        });
        Place::Here
    }

    /// The long way, if this shard can go it.
    fn long(
        &self,
        engine: &mut Engine,
        own: usize,
        arrival: &mut Arrival<'_>,
        record: Option<(u32, Direction)>,
        now: Timestamp,
    ) -> Place {
        let place = self.place(engine, own, arrival.bytes, now);
        if let Place::Here = place {
            self.lending(engine, |engine| {
                engine.long_way(arrival, None, record, now);
            });
        }
        place
    }

    /// Where a packet is to be judged, asked in the shard `own`.
    fn place(&self, engine: &mut Engine, own: usize, bytes: &[u8], now: Timestamp) -> Place {
        // What is no packet, or of no flow, is judged alike everywhere.
        let Ok(packet) = Packet::parse_truncated(bytes) else {
            return Place::Here;
        };
        if packet.fragment().is_some() {
            return Place::Together(None);
        }
        let Some(flow) = Name::of(&self.config, &packet) else {
            return Place::Here;
        };
        let home = self.home(&flow);
        if home != own {
            return Place::At(home);
        }
        if !self.bound(packet.family()) {
            return Place::Here;
        }
        match engine.conntrack.standing(&flow, now) {
            Some(standing) if standing.helped || parted::may_reopen(&packet) => {
                Place::Together(None)
            }
            Some(_) => Place::Here,
            // Of an ICMP error, too: what it is about may be on its way to another shard.
            None => Place::Together(None),
        }
    }

    /// Packets for other shards: shard by shard, or in their order where flows of one connection may be at home in
    /// several.
    fn hand_over(&self, batch: &mut [Arrival<'_>], strays: &Strays, now: Timestamp) {
        let mut held = None;
        if self.needs.bound.contains(&true) {
            for (arrival, to) in batch.iter_mut().zip(strays.to) {
                if to != NOBODY {
                    self.hand(&mut held, usize::from(to), arrival, now);
                }
            }
            return;
        }
        for shard in 0..self.shards.len() {
            for (arrival, to) in batch.iter_mut().zip(strays.to) {
                if usize::from(to) == shard {
                    self.hand(&mut held, shard, arrival, now);
                }
            }
        }
    }

    /// A packet for another shard, which may be `held` from the one before.
    fn hand<'s>(
        &'s self,
        held: &mut Option<(usize, MutexGuard<'s, Engine>)>,
        shard: usize,
        arrival: &mut Arrival<'_>,
        now: Timestamp,
    ) {
        if held.as_ref().is_some_and(|(which, _)| *which != shard) {
            *held = None;
        }
        let (_, engine) = held.get_or_insert_with(|| (shard, self.lock(shard)));
        let ways = self.ways(engine);
        let ready = engine.look_alone(arrival.bytes, ways.open);
        let foretold = match self.one(engine, shard, (arrival, ready.as_ref()), ways, now) {
            Place::Here => return,
            // It moved meanwhile, or is a matter of all.
            Place::At(_) => None,
            Place::Together(foretold) => foretold,
        };
        *held = None;
        self.judge_together(arrival, foretold, now);
    }

    /// A packet with all shards at hand.
    fn judge_together(
        &self,
        arrival: &mut Arrival<'_>,
        foretold: Option<Followed>,
        now: Timestamp,
    ) {
        let mut all = self.all();
        let input = all[0].input_of(arrival, now);
        let (shard, outcome) = self.joint(&mut all, &input, foretold, &mut ());
        drop(input);
        all[shard].went_long_way(arrival, outcome, None, now);
    }

    /// The same: the shard that judged it, and what came of it.
    fn joint<O: Observer>(
        &self,
        all: &mut [MutexGuard<'_, Engine>],
        input: &Input<'_>,
        foretold: Option<Followed>,
        observer: &mut O,
    ) -> (usize, Outcome) {
        let now = input.time;
        self.forget_gone(all);
        let parsed = Packet::parse_truncated(input.bytes);
        let family = parsed.as_ref().map_or(Family::V4, Packet::family);
        let (mut shard, mut gathered) = (0, None);
        if let Ok(packet) = &parsed {
            if packet.fragment().is_some() && !input.snapped {
                gathered = all[0].gather(input);
                if let Some(Reassembled::Complete(bytes, ..)) = &gathered
                    && let Ok(whole) = Packet::parse(bytes)
                {
                    shard = self.choose(all, &whole, now);
                }
            } else {
                shard = self.choose(all, packet, now);
            }
        }
        if O::ACTIVE {
            all[shard].settle();
        }
        let mut spare = self.bound(family).then(|| locked(&self.spare));
        if let Some(spare) = &mut spare {
            lend(all, shard, spare);
        }
        let outcome = self.lending(&mut all[shard], |engine| {
            engine.process_gathered(input, (foretold, gathered), observer)
        });
        if let Some(spare) = &mut spare {
            take_back(all, shard, spare);
        }
        self.forget_gone(all);
        if let Some(id) = outcome.id {
            for flow in all[shard].conntrack.away(id) {
                self.registry.register(flow, shard);
            }
        }
        (shard, outcome)
    }

    /// The shard that a packet is judged in: that of its connection, of the one that expects it, or that it is at home
    /// in.
    fn choose(
        &self,
        all: &mut [MutexGuard<'_, Engine>],
        packet: &Packet<'_>,
        now: Timestamp,
    ) -> usize {
        let Some(flow) = Name::of(&self.config, packet) else {
            return 0;
        };
        let home = self.home(&flow);
        if !self.bound(packet.family())
            || all[home].conntrack.standing(&flow, now).is_some()
            || parted::is_error(&self.config, packet)
        {
            return home;
        }
        // The connection that had it live elsewhere may just have been found to have ended.
        self.forget_gone(all);
        let expecting = (0..all.len())
            .filter_map(|shard| Some((all[shard].conntrack.expects(&flow, now)?, shard)));
        let newest = expecting.max().map(|(_, shard)| shard);
        newest.unwrap_or_else(|| self.home(&flow))
    }

    /// Flows whose connections ended live at home again.
    pub(super) fn forget_gone(&self, all: &mut [MutexGuard<'_, Engine>]) {
        for (shard, engine) in all.iter_mut().enumerate() {
            if engine.conntrack.any_gone() {
                for flow in engine.conntrack.gone() {
                    self.registry.forget(flow, shard);
                }
            }
        }
    }
}

/// Gives a shard's table those of the others, which have empty ones meanwhile.
fn lend(
    all: &mut [MutexGuard<'_, Engine>],
    to: usize,
    spare: &mut Vec<palisade_conntrack::Conntrack>,
) {
    exchange(all, to, spare);
    let table = &mut all[to].conntrack;
    if let (Some(first), true) = (spare.first_mut(), to != 0) {
        table.hand_chance_to(first);
    }
    table.lend(spare);
}

fn take_back(
    all: &mut [MutexGuard<'_, Engine>],
    from: usize,
    spare: &mut Vec<palisade_conntrack::Conntrack>,
) {
    let table = &mut all[from].conntrack;
    table.lend(spare);
    if let (Some(first), true) = (spare.first_mut(), from != 0) {
        table.hand_chance_to(first);
    }
    exchange(all, from, spare);
}

fn exchange(
    all: &mut [MutexGuard<'_, Engine>],
    but: usize,
    spare: &mut [palisade_conntrack::Conntrack],
) {
    for (shard, (engine, spare)) in all.iter_mut().zip(spare).enumerate() {
        if shard != but {
            std::mem::swap(&mut engine.conntrack, spare);
        }
    }
}
