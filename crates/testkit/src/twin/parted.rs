//! An engine held against several that are one: the same packets, one after the other, with whatever thread they come
//! to.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use palisade_capture::script::{Event, Script, Test};
use palisade_engine::shards::Shards;
use palisade_engine::{Arrival, Engine, Setup};
use palisade_wire::Timestamp;

use super::shown::{Given, Shown};
use super::state::State;
use super::{Held, SPAN, given};
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

/// How packets are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// Each by itself, in their order.
    Singly,
    /// So many at a time at most. Between flows their order may change, so that the numbers of connections may be
    /// others, and nothing is compared where that order counts.
    InBatches(usize),
}

/// Holds an engine against `shards` that are one, over all tests of a script; rules files are relative to `base`.
///
/// # Errors
/// When the engines cannot be made: rules that are refused.
pub fn hold(
    script: &Script,
    base: &Path,
    (shards, handed): (usize, Handed),
    seed: u64,
) -> Result<Parted> {
    let setup = setup(script, base)?;
    let mut parted = Parted::default();
    if handed != Handed::Singly && order_counts(&setup) {
        return Ok(parted);
    }
    for test in &script.tests {
        let sides = Sides::new(&setup, (shards, handed), seed)?;
        parted.add(sides.played(script, test));
    }
    Ok(parted)
}

/// Whether the order of packets of different flows counts: rules remember something of all, or there is little room.
fn order_counts(setup: &Setup) -> bool {
    const NAMES: [&str; 12] = [
        "connlimit",
        "hashlimit",
        "limit",
        "nfacct",
        "quota",
        "rateest",
        "RATEEST",
        "recent",
        "set",
        "SET",
        "statistic",
        "SYNPROXY",
    ];
    let rulesets = [&setup.rules4, &setup.rules6];
    let tables = rulesets.into_iter().flatten().flat_map(|r| &r.tables);
    let mut rules = tables.flat_map(|t| &t.chains).flat_map(|c| &c.rules);
    let narrow = (1..10_000).contains(&setup.conntrack.max);
    narrow
        || rules.any(|rule| {
            let matches = rule.matches.iter().map(|m| m.extension().name);
            let target = rule.target.extension().map(|e| e.name);
            matches.chain(target).any(|name| NAMES.contains(&name))
        })
}

/// Both sides, and what was found about them.
struct Sides {
    engine: Engine,
    shards: Shards,
    handed: Handed,
    chance: Chance,
    /// Ended entries go before anything meets them.
    swept: bool,
    batch: Vec<(Given, Shown)>,
    last: (u32, Timestamp),
    parted: Parted,
}

impl Sides {
    fn new(setup: &Setup, (count, handed): (usize, Handed), seed: u64) -> Result<Sides> {
        let shards = Shards::new(setup.clone(), count)?;
        let mut chance = Chance::new(seed);
        Ok(Sides {
            engine: Engine::new(setup.clone())?,
            parted: Parted {
                serial: u64::from(shards.serial_because().is_some()),
                ..Parted::default()
            },
            shards,
            handed,
            swept: chance.one_in(2),
            chance,
            batch: Vec::new(),
            last: (0, Timestamp::default()),
        })
    }

    fn played(mut self, script: &Script, test: &Test) -> Parted {
        let mut player = script.play(test, Timestamp(1_000_000_000_000));
        while let Some(event) = player.next() {
            let Event::Packet(sent) = event else {
                continue;
            };
            let leaves = self.packet(given(&sent), sent.time);
            if self.parted.full > 0 {
                return self.parted;
            }
            player.left(&sent, leaves.as_deref());
        }
        self.hand_over();
        self.expire(self.last.1);
        self.look();
        self.last.1 = self.last.1 + Duration::from_secs(600);
        self.expire(self.last.1);
        self.look();
        self.parted
    }

    fn expire(&mut self, now: Timestamp) {
        self.engine.expire(now);
        self.shards.expire(now);
    }

    /// A packet; how it leaves.
    fn packet(&mut self, given: Given, time: Timestamp) -> Option<Vec<u8>> {
        let most = match self.handed {
            Handed::Singly => 1,
            Handed::InBatches(most) => 1 + self.chance.below(most),
        };
        if self.batch.len() >= most || time.since(self.last.1) > SPAN {
            self.hand_over();
        }
        if self.batch.is_empty() {
            // What ended and was not met yet is met by other packets in several tables than in one. It is met all
            // the same.
            if self.swept && time != self.last.1 {
                self.expire(time);
            }
            self.last.1 = time;
        }
        self.last.0 = given.line;
        let one = alone(&mut self.engine, &given, self.last.1);
        let stats = self.engine.conntrack().stats();
        if stats.early_drop + stats.table_full > 0 {
            // Who makes room in a full table is a matter of where entries stand.
            self.parted.full = 1;
            return None;
        }
        let leaves = one.leaves().map(<[u8]>::to_vec);
        self.batch.push((given, one));
        if self.handed == Handed::Singly {
            self.hand_over();
        }
        leaves
    }

    /// Gives the shards what the engine has had, and compares.
    fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let now = self.last.1;
        let home = self.chance.below(self.shards.count());
        let several = match &batch[..] {
            [(given, _)] if self.chance.one_in(3) => {
                let outcome = self.shards.process(&given.input(now), &mut ());
                vec![Shown::alone(given, outcome)]
            }
            batch => judged(batch.iter().map(|(given, _)| given), |arrivals, given| {
                for (arrival, given) in arrivals.iter_mut().zip(given) {
                    arrival.port = self.shards.port(given.route.clone(), Default::default());
                }
                self.shards.process_batch(home, arrivals, now);
            }),
        };
        let count = self.shards.count();
        let parted = &mut self.parted;
        for ((given, one), several) in batch.iter().zip(several) {
            parted.by_shards[count.clamp(1, 4) - 1] += 1;
            parted.held.packets += 1;
            parted.held.established += u64::from(one.established());
            parted.held.short += u64::from(!several.told());
            let mut words = one.differences_in_words(&several);
            if self.handed != Handed::Singly {
                // Reasons and views name numbers.
                words.retain(|w| !w.starts_with("why") && !w.starts_with("view"));
            }
            for words in words {
                let words = format!("line {}, {count} shards: {words}", given.line);
                parted.held.say(given.line, words);
            }
        }
        if self.chance.one_in(8) {
            self.expire(now);
            self.look();
        }
    }

    /// Compares all that they know.
    fn look(&mut self) {
        let (line, now) = self.last;
        let Sides {
            engine,
            shards,
            parted,
            ..
        } = self;
        // One difference leads to others.
        if parted.held.first.is_some() {
            return;
        }
        parted.held.looks += 1;
        let view = shards.view();
        parted.away += u64::from(view.away() > 0);
        parted.expecting += u64::from(view.expectations().next().is_some());
        let entries = view.len();
        drop(view);
        if entries != shards.len() {
            let words = format!(
                "after line {line}: {entries} entries, {} counted",
                shards.len()
            );
            parted.held.say(line, words);
        }
        let one = State::of_one(engine, now);
        let several = State::of_shards(shards, now);
        let who = format!("{} shards", shards.count());
        for words in one.differences(&several, &who) {
            parted.held.say(line, format!("after line {line}: {words}"));
        }
    }
}

/// A packet by itself, the way a data path hands it over.
fn alone(engine: &mut Engine, given: &Given, now: Timestamp) -> Shown {
    let shown = judged(std::iter::once(given), |arrivals, given| {
        for (arrival, given) in arrivals.iter_mut().zip(given) {
            arrival.port = engine.port(given.route.clone(), Default::default());
        }
        engine.process_batch(arrivals, now);
    });
    shown.into_iter().next().expect("one for each packet")
}

/// What became of packets that are handed over together.
fn judged<'g, I: Iterator<Item = &'g Given> + Clone>(
    given: I,
    judge: impl FnOnce(&mut [Arrival<'_>], I),
) -> Vec<Shown> {
    let mut bytes: Vec<Vec<u8>> = given.clone().map(|given| given.bytes.clone()).collect();
    let mut arrivals: Vec<Arrival<'_>> = bytes
        .iter_mut()
        .zip(given.clone())
        .map(|(bytes, given)| Arrival {
            link: given.link,
            mark: given.mark,
            ..Arrival::new(bytes, Default::default())
        })
        .collect();
    judge(&mut arrivals, given);
    let judged: Vec<_> = arrivals.into_iter().map(|a| a.judged).collect();
    let bytes = bytes.iter();
    bytes
        .zip(judged)
        .map(|(bytes, judged)| Shown::in_batch(bytes, judged))
        .collect()
}
