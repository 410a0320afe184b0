//! Live packets judged by other rules beside those in force.
//!
//! Two engines stand beside the gate's, twins of it from the moment that they are made: one goes on with the rules in
//! force, one with the others. Copies of packets are judged by both ([`crate::tap`]), and what they say is compared. So
//! nothing of it touches the gate, each twin keeps a table of its own, and why either judged as it did is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade_engine::conntrack::Tuple;
use palisade_engine::rules::{Family, Ruleset, TableKind};
use palisade_engine::{Engine, Input, Outcome, Replacement, Setup, SetupError, Verdict};
use palisade_wire::Packet;

use super::change::exchange;
use super::frame::FrameError;
use super::judgement::{Texts, judgement};
use super::message::{Answer, Difference, Differences, Ended, Sample};
use super::protect::{ends, protocol};
use super::server::Replies;
use super::service::Control;
use crate::tap::Copy;

/// Bytes of a connection table that is copied; of a larger one the twins begin with an empty table.
const LARGEST: usize = 256 << 20;

/// Kinds of differences that are told apart.
const MOST: usize = 256;

/// How often a client is told.
const TOLD: Duration = Duration::from_secs(1);

/// How long is waited for packets before it is looked whether it is over.
const WAIT: Duration = Duration::from_millis(100);

/// What judged a packet: the verdict, and the rule if it was one.
type By = (Verdict, Option<(TableKind, Arc<str>, u32)>);

/// Watches until the time is over, the client is gone, or the rules in force change.
pub(crate) fn watch(
    control: &Control,
    rules: [Option<Ruleset>; 2],
    time: Option<Duration>,
    replies: &Replies<'_>,
) -> Result<Ended, FrameError> {
    let generation = control.generation();
    let Some(outlet) = control.gate().tap().open() else {
        replies.said("another palisade shadow is looking on; one at a time")?;
        return Ok(Ended::BadInput);
    };
    let twins = control
        .gate()
        .with(|engine, now| Twins::new(engine, rules, now));
    let mut twins = match twins {
        Ok(twins) => twins,
        Err(error) => {
            replies.said(error.to_string())?;
            return Ok(Ended::BadInput);
        }
    };
    let until = time.map(|time| Instant::now() + time);
    let mut tell = Instant::now() + TOLD;
    let ended = loop {
        if let Some(copies) = outlet.next(WAIT) {
            for copy in &copies.packets {
                let (route, bridge) = control.gate().way(copy.port);
                let input = Input {
                    time: copies.time,
                    route,
                    bridge,
                    ..input(copy)
                };
                twins.judge(&input);
            }
        }
        let now = Instant::now();
        if until.is_some_and(|until| now >= until) {
            break None;
        }
        if control.gate().stopping() {
            break Some("palisade stops");
        }
        if control.generation() != generation {
            break Some("the rules in force were changed");
        }
        if now >= tell {
            if replies.gone() {
                return Err(FrameError::Gone);
            }
            tell = now + TOLD;
            replies.send(&twins.told(outlet.missed(), None))?;
        }
    };
    replies.send(&twins.told(outlet.missed(), ended))?;
    Ok(if twins.found.is_empty() {
        Ended::Yes
    } else {
        Ended::No
    })
}

fn input(copy: &Copy) -> Input<'_> {
    Input {
        link: copy.link,
        mark: copy.mark,
        owner: copy.owner.clone(),
        unfinished: copy.unfinished,
        ..Input::new(&copy.bytes)
    }
}

/// Two engines, and how they differed.
struct Twins {
    old: Engine,
    new: Engine,
    packets: u64,
    found: HashMap<(By, By), Difference>,
    others: u64,
    notes: Vec<String>,
}

impl Twins {
    fn new(
        engine: &Engine,
        rules: [Option<Ruleset>; 2],
        now: palisade_wire::Timestamp,
    ) -> Result<Self, SetupError> {
        let mut notes = Vec::new();
        let table = engine.conntrack();
        let old = if table.memory() <= LARGEST {
            engine.clone()
        } else {
            notes.push(format!(
                "the connection table is too large to copy ({} entries): flows that were there before begin anew in the \
                 comparison, and what only that makes different is told too",
                table.len()
            ));
            Engine::new(Setup {
                rules4: engine.ruleset(Family::V4),
                rules6: engine.ruleset(Family::V6),
                host: engine.host().clone(),
                conntrack: table.config().clone(),
                ipsets: engine.ipsets().contents(now),
                evaluator: engine.evaluator(),
                ..Setup::default()
            })?
        };
        let mut new = old.clone();
        let [rules4, rules6] = rules.map(exchange);
        new.replace(Replacement {
            rules4,
            rules6,
            ..Replacement::default()
        })?;
        Ok(Twins {
            old,
            new,
            packets: 0,
            found: HashMap::new(),
            others: 0,
            notes,
        })
    }

    fn judge(&mut self, input: &Input<'_>) {
        self.packets += 1;
        let old = self.old.process(input, &mut ());
        let new = self.new.process(input, &mut ());
        if old.verdict == new.verdict {
            return;
        }
        let key = (by(&old), by(&new));
        if let Some(found) = self.found.get_mut(&key) {
            found.packets += 1;
            return;
        }
        if self.found.len() == MOST {
            self.others += 1;
            return;
        }
        let difference = Difference {
            old: judgement(Texts::Of(&self.old), old.verdict, &old.why.ended),
            new: judgement(Texts::Of(&self.new), new.verdict, &new.why.ended),
            packets: 1,
            sample: sample(input, &old),
        };
        self.found.insert(key, difference);
    }

    fn told(&self, missed: u64, ended: Option<&str>) -> Answer {
        let mut differences: Vec<Difference> = self.found.values().cloned().collect();
        differences.sort_by(|a, b| {
            let order = b.packets.cmp(&a.packets);
            order.then_with(|| (&a.old.by, &a.new.by).cmp(&(&b.old.by, &b.new.by)))
        });
        Answer::Differences(Box::new(Differences {
            packets: self.packets,
            missed,
            differences,
            others: self.others,
            notes: self.notes.clone(),
            ended: ended.map(str::to_string),
        }))
    }
}

fn by(outcome: &Outcome) -> By {
    let by = outcome.why.ended.decider();
    let by = by.map(|by| (by.table, Arc::clone(&by.chain), by.rule));
    (outcome.verdict, by)
}

fn sample(input: &Input<'_>, outcome: &Outcome) -> Sample {
    let mut sample = Sample {
        in_interface: outcome.in_interface.as_deref().map(str::to_string),
        out_interface: outcome.out_interface.as_deref().map(str::to_string),
        state: outcome.state.map(|state| state.name().to_string()),
        ..Sample::default()
    };
    if let Ok(packet) = Packet::parse(input.bytes) {
        match Tuple::of(&packet) {
            Some(tuple) => {
                sample.protocol = protocol(tuple.protocol);
                [sample.from, sample.to] = ends(&tuple);
            }
            None => {
                sample.protocol = protocol(packet.protocol());
                sample.from = packet.source().to_string();
                sample.to = packet.destination().to_string();
            }
        }
    }
    sample
}
