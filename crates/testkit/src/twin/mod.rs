//! The machine that holds the evaluators equal.
//!
//! Three engines get the same packets at the same moments: the specification, rule by rule; the compiled one, a
//! packet at a time; the compiled one, in batches. Whatever any of them shows of any packet, and whatever they know
//! afterwards, must be the same. No kernel is asked, so that a million packets take minutes.
//!
//! - [`shown`]: what is compared of a packet; [`state`]: what is compared of an engine.
//! - [`hunt`]: scripts by chance, many of them, until one differs; that one made small.
//! - [`parted`]: an engine against several that are one.
//! - [`edges`]: packets at the edges of what a ruleset's own rules ask for.

pub mod edges;
pub mod hunt;
pub mod parted;
pub mod resumed;
pub mod shown;
pub mod state;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use palisade_capture::script::{Event, Script, Sent, Test, input};
use palisade_engine::{Arrival, Engine, Evaluator, Input, Port, Setup, SetupError};
use palisade_wire::{Packet, Timestamp};

use crate::engine::setup;
use crate::generate::Chance;
use shown::{Given, Shown, Watched};
use state::State;

/// Packets of a batch at most.
pub const LARGEST: usize = 64;

/// Packets further apart than this are not in one batch: a pause is to be one for all.
const SPAN: Duration = Duration::from_millis(200);

/// Differences that are told of a run at most.
const TOLD: usize = 20;

/// A run's own affairs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seed of the batches' sizes.
    pub batches: u64,
    /// All batches are as large as they can be.
    pub largest: bool,
    /// A look at everything after one batch in so many, and at the end.
    pub looks: usize,
}

impl Plan {
    /// Batches by chance.
    pub fn by_chance(seed: u64) -> Plan {
        Plan {
            batches: seed,
            largest: false,
            looks: 6,
        }
    }
}

impl Plan {
    /// For a script that is worth it: the largest batches, with a look at everything after each, and some by chance.
    pub fn several(seed: u64) -> Vec<Plan> {
        let by_chance = (0..2).map(|n| Plan {
            looks: 3,
            ..Plan::by_chance(seed.wrapping_add(n))
        });
        let largest = Plan {
            largest: true,
            looks: 1,
            ..Plan::by_chance(seed)
        };
        std::iter::once(largest).chain(by_chance).collect()
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Packets.
    pub packets: u64,
    /// Packets of the batched engine about which only the verdict is told: they went a shorter way.
    pub short: u64,
    /// Packets that were ESTABLISHED.
    pub established: u64,
    /// Looks at everything.
    pub looks: u64,
    /// Differences, with the line of the packet.
    pub differences: Vec<String>,
    /// Line of the last packet before the first difference showed.
    pub first: Option<u32>,
}

impl Held {
    /// Adds another's sums; its differences too.
    pub fn add(&mut self, other: Held) {
        self.packets += other.packets;
        self.short += other.short;
        self.established += other.established;
        self.looks += other.looks;
        self.first = self.first.or(other.first);
        self.differences.extend(other.differences);
    }

    fn say(&mut self, line: u32, words: String) {
        self.first.get_or_insert(line);
        if self.differences.len() < TOLD {
            self.differences.push(words);
        }
    }
}

/// The three engines and what was found about them.
pub struct Twins {
    linear: Engine,
    alone: Engine,
    batched: Engine,
    chance: Chance,
    plan: Plan,
    /// The batch that is being gathered, with what the specification said of each packet.
    batch: Vec<(Given, Shown)>,
    size: usize,
    began: Timestamp,
    /// What the one who walks alone is asked: sometimes watched, as a trace does, sometimes not.
    watched: bool,
    held: Held,
}

impl Twins {
    /// Three engines of one making.
    ///
    /// # Errors
    /// [`SetupError`] for rules that cannot run.
    pub fn new(setup: Setup, plan: Plan) -> Result<Twins, SetupError> {
        let engine = |evaluator| {
            Engine::new(Setup {
                evaluator,
                ..setup.clone()
            })
        };
        let mut chance = Chance::new(plan.batches);
        let size = size(&mut chance, plan);
        let (mut linear, mut alone) = (engine(Evaluator::Linear)?, engine(Evaluator::Compiled)?);
        // The window arithmetic costs time, and is looked at in some runs only.
        let explain = chance.one_in(8);
        linear.set_explain(explain);
        alone.set_explain(explain);
        let mut batched = engine(Evaluator::Compiled)?;
        batched.set_explain(explain);
        Ok(Twins {
            linear,
            alone,
            batched,
            watched: chance.one_in(2),
            chance,
            plan,
            batch: Vec::new(),
            size,
            began: Timestamp::default(),
            held: Held::default(),
        })
    }

    /// Who walks rule by rule, as it is now: ahead of the others by the batch that is being gathered.
    pub fn linear(&self) -> &Engine {
        &self.linear
    }

    /// A packet that comes at `time`, or with its batch; how it leaves.
    pub fn packet(&mut self, given: Given, time: Timestamp) -> Option<Vec<u8>> {
        let late = time.since(self.began) > SPAN;
        if late || self.batch.len() >= self.size {
            self.flush();
        }
        if self.batch.is_empty() {
            self.began = time;
        }
        let now = self.began;
        let mut seen = Watched::default();
        let outcome = self.linear.process(&given.input(now), &mut seen);
        let linear = Shown::alone(&given, outcome);
        let (outcome, differences) = if self.watched {
            let mut watched = Watched::default();
            let outcome = self.alone.process(&given.input(now), &mut watched);
            (outcome, seen.differences(&watched))
        } else {
            let outcome = self.alone.process(&given.input(now), &mut ());
            (outcome, Vec::new())
        };
        let alone = Shown::alone(&given, outcome);
        let further = linear.differences(&self.linear, &alone, &self.alone);
        for words in differences.into_iter().chain(further) {
            let words = format!("line {}, compiled: {words}", given.line);
            self.held.say(given.line, words);
        }
        self.held.packets += 1;
        self.held.established += u64::from(linear.established());
        let leaves = linear.leaves().map(<[u8]>::to_vec);
        self.batch.push((given, linear));
        leaves
    }

    /// Hands the batch over, and looks at everything now and then.
    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let Twins {
            linear,
            batched,
            batch,
            held,
            ..
        } = self;
        let now = self.began;
        let ports: Vec<Port> = batch
            .iter()
            .map(|(given, _)| batched.port(given.route.clone(), Default::default()))
            .collect();
        let mut bytes: Vec<Vec<u8>> = batch.iter().map(|(given, _)| given.bytes.clone()).collect();
        let mut arrivals: Vec<Arrival<'_>> = bytes
            .iter_mut()
            .zip(batch.iter().zip(ports))
            .map(|(bytes, ((given, _), port))| Arrival {
                link: given.link,
                mark: given.mark,
                ..Arrival::new(bytes, port)
            })
            .collect();
        batched.process_batch(&mut arrivals, now);
        let judged: Vec<_> = arrivals.into_iter().map(|a| a.judged).collect();
        let size = batch.len();
        for (((given, linear_said), bytes), judged) in batch.iter().zip(&bytes).zip(judged) {
            let batched_said = Shown::in_batch(bytes, judged);
            held.short += u64::from(!batched_said.told());
            for words in linear_said.differences(linear, &batched_said, batched) {
                let words = format!("line {}, in a batch of {size}: {words}", given.line);
                held.say(given.line, words);
            }
        }
        let line = batch.last().map_or(0, |(given, _)| given.line);
        batch.clear();
        self.size = self::size(&mut self.chance, self.plan);
        if self.chance.one_in(self.plan.looks) {
            if self.chance.one_in(2) {
                self.expire(now);
            }
            self.look(line, now);
        }
    }

    fn expire(&mut self, now: Timestamp) {
        for engine in [&mut self.linear, &mut self.alone, &mut self.batched] {
            engine.expire(now);
        }
    }

    /// Compares all that they know.
    fn look(&mut self, line: u32, now: Timestamp) {
        // One difference leads to others.
        if self.held.first.is_some() {
            return;
        }
        self.held.looks += 1;
        let linear = State::of(&self.linear, now);
        for (who, engine) in [("compiled", &self.alone), ("in batches", &self.batched)] {
            for words in linear.differences(&State::of(engine, now), who) {
                self.held.say(line, format!("after line {line}: {words}"));
            }
        }
    }

    /// The end: whatever is left is handed over, and everything is looked at, once more when all is expired.
    pub fn finish(mut self) -> Held {
        let line = self.batch.last().map_or(0, |(given, _)| given.line);
        self.flush();
        let now = self.began;
        self.look(line, now);
        self.expire(now + Duration::from_secs(60));
        self.look(line, now + Duration::from_secs(60));
        self.held
    }
}

fn size(chance: &mut Chance, plan: Plan) -> usize {
    if plan.largest {
        return LARGEST;
    }
    match chance.below(4) {
        0 => 1 + chance.below(3),
        _ => 1 + chance.below(LARGEST),
    }
}

impl Given {
    fn input(&self, time: Timestamp) -> Input<'_> {
        Input {
            time,
            route: self.route.clone(),
            link: self.link,
            mark: self.mark,
            ..Input::new(&self.bytes)
        }
    }
}

/// A script's packet as all of them get it.
fn given(sent: &Sent<'_>) -> Given {
    let input = input(sent);
    Given {
        line: sent.step.span.line,
        bytes: sent.bytes.clone(),
        route: input.route,
        link: input.link,
        mark: mark(&sent.bytes),
    }
}

/// A mark that some packets come with, by their length and ports: the same packet in a smaller script has it too.
fn mark(bytes: &[u8]) -> u32 {
    let ports = Packet::parse_truncated(bytes).map_or(0, |p| {
        let ports = p.transport().iter().take(4);
        ports.map(|b| usize::from(*b)).sum()
    });
    match (bytes.len() + ports) % 16 {
        0 => 1,
        1 => 0x10,
        _ => 0,
    }
}

/// Holds the evaluators against each other over all tests of a script; rules files are relative to `base`.
///
/// # Errors
/// When the engines cannot be made: rules that are refused.
pub fn hold(script: &Script, base: &Path, plan: Plan) -> Result<Held> {
    let setup = setup(script, base)?;
    let mut held = Held::default();
    for test in &script.tests {
        held.add(played(script, test, Twins::new(setup.clone(), plan)?));
    }
    Ok(held)
}

fn played(script: &Script, test: &Test, mut twins: Twins) -> Held {
    let mut player = script.play(test, Timestamp(1_000_000_000_000));
    while let Some(event) = player.next() {
        let Event::Packet(sent) = event else {
            continue;
        };
        let leaves = twins.packet(given(&sent), sent.time);
        player.left(&sent, leaves.as_deref());
    }
    twins.finish()
}
