//! An engine held against several that are one: the same packets, one after the other, with whatever thread they come
//! to.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use palisade_capture::script::{Event, Script, Test, input};
use palisade_engine::shards::Shards;
use palisade_engine::{Arrival, Engine, Setup};
use palisade_wire::Timestamp;

use super::shown::{Given, Shown};
use super::state::State;
use super::{Held, mark};
use crate::engine::setup;
use crate::generate::Chance;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Parted {
    /// As of other comparisons.
    pub held: Held,
    /// Packets by the number of shards that they had, from 1 on.
    pub by_shards: [u64; 4],
    /// Looks that found flows away from home.
    pub away: u64,
    /// Looks that found expectations.
    pub expecting: u64,
    /// Rulesets that want one shard.
    pub serial: u64,
    /// Tests that ended when the table was full.
    pub full: u64,
}

impl Parted {
    /// Adds another's sums.
    pub fn add(&mut self, other: Parted) {
        self.held.add(other.held);
        for (sum, more) in self.by_shards.iter_mut().zip(other.by_shards) {
            *sum += more;
        }
        self.away += other.away;
        self.expecting += other.expecting;
        self.serial += other.serial;
        self.full += other.full;
    }
}

/// Holds an engine against `shards` that are one, over all tests of a script; rules files are relative to `base`.
///
/// # Errors
/// When the engines cannot be made: rules that are refused.
pub fn hold(script: &Script, base: &Path, shards: usize, seed: u64) -> Result<Parted> {
    let setup = setup(script, base)?;
    let mut parted = Parted::default();
    for test in &script.tests {
        parted.add(played(script, test, &setup, shards, seed)?);
    }
    Ok(parted)
}

fn played(script: &Script, test: &Test, setup: &Setup, count: usize, seed: u64) -> Result<Parted> {
    let mut engine = Engine::new(setup.clone())?;
    let shards = Shards::new(setup.clone(), count)?;
    let mut chance = Chance::new(seed);
    let swept = chance.one_in(2);
    let mut parted = Parted {
        serial: u64::from(shards.serial_because().is_some()),
        ..Parted::default()
    };
    let mut player = script.play(test, Timestamp(1_000_000_000_000));
    let mut last = (0, Timestamp::default());
    while let Some(event) = player.next() {
        let Event::Packet(sent) = event else {
            continue;
        };
        let input = input(&sent);
        let given = Given {
            line: sent.step.span.line,
            bytes: sent.bytes.clone(),
            route: input.route,
            link: input.link,
            mark: mark(&sent.bytes),
        };
        // What ended and was not met yet is met by other packets in several tables than in one. It is met all the
        // same, but where a source's mapping outlives its connection for a while.
        if swept && sent.time != last.1 {
            engine.expire(sent.time);
            shards.expire(sent.time);
        }
        last = (given.line, sent.time);
        let one = alone(&mut engine, &given, sent.time);
        let stats = engine.conntrack().stats();
        if stats.early_drop + stats.table_full > 0 {
            // Who makes room in a full table is a matter of where entries stand.
            parted.full += 1;
            return Ok(parted);
        }
        let home = chance.below(shards.count());
        let several = match chance.one_in(3) {
            true => Shown::alone(&given, shards.process(&given.input(sent.time), &mut ())),
            false => batched(&given, |arrival, given| {
                let port = shards.port(given.route.clone(), Default::default());
                arrival.port = port;
                shards.process_batch(home, std::slice::from_mut(arrival), sent.time);
            }),
        };
        parted.by_shards[shards.count().clamp(1, 4) - 1] += 1;
        parted.held.packets += 1;
        parted.held.established += u64::from(one.established());
        parted.held.short += u64::from(!several.told());
        for words in one.differences_in_words(&several) {
            let words = format!("line {}, {} shards: {words}", given.line, shards.count());
            parted.held.say(given.line, words);
        }
        if chance.one_in(8) {
            engine.expire(sent.time);
            shards.expire(sent.time);
            parted.look(&engine, &shards, last);
        }
        let leaves = one.leaves().map(<[u8]>::to_vec);
        player.left(&sent, leaves.as_deref());
    }
    engine.expire(last.1);
    shards.expire(last.1);
    parted.look(&engine, &shards, last);
    let end = last.1 + Duration::from_secs(600);
    engine.expire(end);
    shards.expire(end);
    parted.look(&engine, &shards, (last.0, end));
    Ok(parted)
}

/// A packet by itself, the way a data path hands it over.
fn alone(engine: &mut Engine, given: &Given, now: Timestamp) -> Shown {
    batched(given, |arrival, given| {
        arrival.port = engine.port(given.route.clone(), Default::default());
        engine.process_batch(std::slice::from_mut(arrival), now);
    })
}

fn batched(given: &Given, judge: impl FnOnce(&mut Arrival<'_>, &Given)) -> Shown {
    let mut bytes = given.bytes.clone();
    let mut arrival = Arrival {
        link: given.link,
        mark: given.mark,
        ..Arrival::new(&mut bytes, Default::default())
    };
    judge(&mut arrival, given);
    let judged = arrival.judged;
    Shown::in_batch(&bytes, judged)
}

impl Parted {
    /// Compares all that they know.
    fn look(&mut self, engine: &Engine, shards: &Shards, (line, now): (u32, Timestamp)) {
        // One difference leads to others.
        if self.held.first.is_some() {
            return;
        }
        self.held.looks += 1;
        let view = shards.view();
        self.away += u64::from(view.away() > 0);
        self.expecting += u64::from(view.expectations().next().is_some());
        let (entries, counted) = (view.len(), shards.count() > 1);
        drop(view);
        if counted && entries != shards.len() {
            let words = format!(
                "after line {line}: {entries} entries, {} counted",
                shards.len()
            );
            self.held.say(line, words);
        }
        let one = State::of_one(engine, now);
        let several = State::of_shards(shards, now);
        let who = format!("{} shards", shards.count());
        for words in one.differences(&several, &who) {
            self.held.say(line, format!("after line {line}: {words}"));
        }
    }
}
