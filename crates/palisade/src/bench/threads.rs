//! Several threads over one view of the connections, against one thread.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use palisade_conntrack::State;
use palisade_engine::shards::Shards;
use palisade_engine::{Arrival, Bridge, Port, Route, Verdict};
use palisade_wire::Timestamp;

use super::case::{Case, Mix};
use super::clock::Stopwatch;
use super::figure::{Figure, Unit};
use super::lane::BUFFERS;
use super::packets::{Chance, Flows, Frame, PORTS, Way};
use super::ruleset;
use super::work::Bench;

/// Flows.
const FLOWS: u32 = 65_536;

/// Times that a round goes over its packets, at most.
const MOST_PASSES: u32 = 256;

/// Engines that are one, and how packets come to them.
struct Subject {
    shards: Shards,
    ports: [Port; 2],
    batch: usize,
}

/// A packet in its buffer.
struct Packet {
    frame: Frame,
    length: usize,
    port: Port,
}

/// What a thread did in a round.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    right: u64,
    worked: Duration,
}

impl Bench<'_> {
    /// A round of one thread that has all packets, then one of `count` threads that have those of a shard each.
    /// The packets are the same.
    pub(super) fn threads(&mut self, case: Case, count: u32) -> Result<Figure> {
        let flows = if self.settings.quick { 1024 } else { FLOWS };
        let one = self.subject(1, flows)?;
        let several = self.subject(count as usize, flows)?;
        let mut packets = Flows::new(flows, Mix::Udp, PORTS);
        let mut now = Timestamp::new(1_700_000_000, 0);
        for subject in [&one, &several] {
            for step in 0..4u64 {
                let at = now + Duration::from_secs(step * 2);
                let mut all: Vec<Packet> = (0..flows)
                    .map(|flow| match step {
                        0 => packets.first(flow),
                        1 => packets.answer(flow),
                        _ => packets.complete(flow),
                    })
                    .map(|made| subject.packet(made))
                    .collect();
                let state = if step == 0 {
                    State::New
                } else {
                    State::Established
                };
                let done = subject.judge(0, &mut all, 1, at, state);
                ensure!(
                    done.right == u64::from(flows),
                    "{} of {flows} packets were judged as they must be",
                    done.right
                );
            }
        }
        now = now + Duration::from_secs(8);
        let mut figure = Figure::new(case, Unit::Ratio);
        let mut chance = Chance::new(6);
        let buffers = if self.settings.quick { 8192 } else { BUFFERS };
        let mut all: Vec<Packet> = (0..buffers)
            .map(|_| several.packet(packets.further(chance.below(flows))))
            .collect();
        let mut parts: Vec<Vec<Packet>> = (0..count).map(|_| Vec::new()).collect();
        for packet in &all {
            let copy = Packet {
                frame: packet.frame.clone(),
                ..*packet
            };
            parts[several.shards.shard_of(packet.bytes())].push(copy);
        }
        let (mut passed, mut turns, mut passes) = (Vec::new(), Vec::new(), 1);
        for round in 0..=self.settings.rounds {
            let begun = Instant::now();
            let done = one.judge(0, &mut all, passes, now, State::Established);
            let alone = begun.elapsed();
            let (together, all_done) = several.judge_all(&mut parts, passes, now);
            // What the parts cost one thread that does them in turn: the difference is that of two caches.
            let in_turn: Vec<Done> = parts
                .iter_mut()
                .enumerate()
                .map(|(home, part)| several.judge(home, part, passes, now, State::Established))
                .collect();
            let rights = all_done.iter().chain(&in_turn).map(|d| d.right);
            let right = done.right + rights.sum::<u64>();
            let wanted = 3 * u64::from(passes) * buffers as u64;
            ensure!(
                right == wanted,
                "{right} of {wanted} packets were judged as they must be"
            );
            if round == 0 {
                let fitting = self.settings.budget.as_secs_f64() / alone.as_secs_f64().max(1e-6);
                passes = (fitting as u32).clamp(1, MOST_PASSES);
                continue;
            }
            let longest = all_done.iter().map(|d| d.worked).max().unwrap_or_default();
            let times = |one: Duration, all: Duration| one.as_secs_f64() / all.as_secs_f64();
            figure.samples.push(times(done.worked, longest));
            passed.push(times(alone, together));
            turns.push(times(done.worked, in_turn.iter().map(|d| d.worked).sum()));
        }
        for (name, samples) in [("ratio_passed", &mut passed), ("ratio_in_turn", &mut turns)] {
            samples.sort_by(f64::total_cmp);
            let middle = samples.get(samples.len() / 2).copied().unwrap_or_default();
            figure.more(name, super::report::rounded(middle));
        }
        let middle = passed.get(passed.len() / 2).copied().unwrap_or_default();
        figure.notes.push(format!(
            "by the time that passed, in which others may have had the processors: {middle:.2}"
        ));
        let entries = several.shards.len();
        ensure!(
            entries == flows as usize,
            "{entries} connections of {flows}"
        );
        Ok(figure)
    }

    fn subject(&self, count: usize, flows: u32) -> Result<Subject> {
        let setup = self.setup(ruleset::own(&ruleset::text("", ""))?, flows)?;
        let shards = Shards::new(setup, count)?;
        let name = std::sync::Arc::from(ruleset::INTERFACE);
        let ports = [Route::In(std::sync::Arc::clone(&name)), Route::Out(name)]
            .map(|route| shards.port(route, Bridge::default()));
        Ok(Subject {
            shards,
            ports,
            batch: self.lane.batch(),
        })
    }
}

impl Packet {
    fn bytes(&self) -> &[u8] {
        self.frame.packet(self.length)
    }
}

impl Subject {
    fn packet(&self, (bytes, way): (Vec<u8>, Way)) -> Packet {
        let mut frame = Frame::EMPTY;
        let length = frame.put(&bytes).len();
        Packet {
            frame,
            length,
            port: self.ports[way as usize],
        }
    }

    /// Packets, several times over, by a thread whose shard is `home`.
    fn judge(
        &self,
        home: usize,
        packets: &mut [Packet],
        passes: u32,
        now: Timestamp,
        state: State,
    ) -> Done {
        let mut done = Done::default();
        let watch = Stopwatch::start();
        for _ in 0..passes {
            let mut batch: Vec<Arrival<'_>> = Vec::with_capacity(self.batch);
            for chunk in packets.chunks_mut(self.batch) {
                batch.clear();
                for packet in chunk {
                    let bytes = packet.frame.packet_mut(packet.length);
                    batch.push(Arrival::new(bytes, packet.port));
                }
                self.shards.process_batch(home, &mut batch, now);
                for arrival in &batch {
                    let judged = &arrival.judged;
                    let right = judged.verdict == Verdict::Accept && judged.state == Some(state);
                    done.right += u64::from(right);
                }
            }
        }
        done.worked = watch.elapsed();
        done
    }

    /// A thread for each part; the time from their common start to the end of the last.
    fn judge_all(
        &self,
        parts: &mut [Vec<Packet>],
        passes: u32,
        now: Timestamp,
    ) -> (Duration, Vec<Done>) {
        let start = Barrier::new(parts.len() + 1);
        std::thread::scope(|scope| {
            let threads: Vec<_> = parts
                .iter_mut()
                .enumerate()
                .map(|(home, part)| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        self.judge(home, part, passes, now, State::Established)
                    })
                })
                .collect();
            start.wait();
            let begun = Instant::now();
            let done = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_default())
                .collect();
            (begun.elapsed(), done)
        })
    }
}
