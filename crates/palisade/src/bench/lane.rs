//! The path of packets into an engine: buffers, batches, a clock, and the look at every verdict.

use std::time::Duration;

use anyhow::{Result, bail};
use palisade_conntrack::State;
use palisade_engine::{Arrival, Bridge, Engine, Port, Route, Setup, Verdict};
use palisade_wire::Timestamp;

use super::clock::Stopwatch;
use super::counter::Instructions;
use super::packets::{Chance, Frame, Load};

/// Receive buffers: enough that none is hot in the nearer caches when its turn comes.
pub const BUFFERS: usize = 131_072;

/// Virtual time from a packet to the next.
const PACE: Duration = Duration::from_micros(1);

/// An engine, and how packets come to it.
pub struct Subject {
    /// The engine.
    pub engine: Engine,
    ports: [Port; 2],
    /// Virtual time.
    pub now: Timestamp,
    /// Packets given to it, by their way.
    pub sent: [u64; 2],
}

impl Subject {
    /// An engine whose packets come and leave by an interface.
    pub fn new(setup: Setup, interface: &str) -> Result<Self> {
        let mut engine = Engine::new(setup)?;
        let name = std::sync::Arc::from(interface);
        let ports = [Route::In(std::sync::Arc::clone(&name)), Route::Out(name)]
            .map(|route| engine.port(route, Bridge::default()));
        Ok(Subject {
            engine,
            ports,
            now: Timestamp::new(1_700_000_000, 0),
            sent: [0; 2],
        })
    }
}

/// What every packet of a load must get.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// Verdict.
    pub verdict: Verdict,
    /// State.
    pub state: State,
}

impl Want {
    /// Accepted in a state.
    pub fn accepted(state: State) -> Self {
        Want {
            verdict: Verdict::Accept,
            state,
        }
    }
}

/// What became of packets.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many there were.
    pub packets: u64,
    /// How many got what they must get.
    pub right: u64,
    /// Time that the engine took, the look at the verdicts included.
    pub elapsed: Duration,
    /// Instructions, where they are counted.
    pub instructions: Option<u64>,
    /// What the first of the others got.
    pub wrong: Option<String>,
}

impl Tally {
    /// Nanoseconds a packet.
    pub fn ns(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.packets.max(1) as f64
    }

    /// With what became of further packets.
    pub fn add(&mut self, other: Tally) {
        self.instructions = match self.packets {
            0 => other.instructions,
            _ => self
                .instructions
                .zip(other.instructions)
                .map(|(a, b)| a + b),
        };
        self.packets += other.packets;
        self.right += other.right;
        self.elapsed += other.elapsed;
        self.wrong = self.wrong.take().or(other.wrong);
    }

    /// What a measurement of something else would be worth nothing.
    ///
    /// # Errors
    /// A packet got something else than it must get.
    pub fn check(&self) -> Result<()> {
        if self.right == self.packets {
            return Ok(());
        }
        bail!(
            "{} of {} packets were not judged as they must be: {}",
            self.packets - self.right,
            self.packets,
            self.wrong.as_deref().unwrap_or("unknown")
        )
    }
}

/// Buffers, and the batches that are made of them.
pub struct Lane {
    frames: Vec<Frame>,
    /// Buffers in the order in which a card that ran for a while hands them over.
    order: Vec<u32>,
    batch: usize,
    instructions: Instructions,
}

/// A packet in its buffer.
struct Packet<'a> {
    bytes: &'a mut [u8],
    port: Port,
}

impl Lane {
    /// Batches of so many packets.
    pub fn new(batch: usize) -> Self {
        Lane {
            frames: vec![Frame::EMPTY; BUFFERS],
            order: Chance::new(2).permutation(BUFFERS as u32),
            batch,
            instructions: Instructions::new(),
        }
    }

    /// Packets of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sends so many packets of a load, [`BUFFERS`] at a time. Writing them is not part of the time.
    pub fn send(
        &mut self,
        subject: &mut Subject,
        load: &mut dyn Load,
        count: u64,
        want: Want,
    ) -> Tally {
        let mut tally = Tally::default();
        let mut left = count;
        while left > 0 {
            let now = left.min(BUFFERS as u64);
            tally.add(self.pass(subject, load, now as usize, want));
            left -= now;
        }
        tally
    }

    /// At most as many packets as there are buffers.
    fn pass(
        &mut self,
        subject: &mut Subject,
        load: &mut dyn Load,
        count: usize,
        want: Want,
    ) -> Tally {
        let mut frames: Vec<Option<&mut Frame>> = self.frames.iter_mut().map(Some).collect();
        let mut packets: Vec<Packet<'_>> = Vec::with_capacity(count);
        let places = self.order.iter().take(count);
        for frame in places.filter_map(|place| frames[*place as usize].take()) {
            let (bytes, way) = load.next();
            subject.sent[way as usize] += 1;
            packets.push(Packet {
                bytes: frame.put(&bytes),
                port: subject.ports[way as usize],
            });
        }
        drop(frames);
        let mut tally = Tally {
            packets: packets.len() as u64,
            ..Tally::default()
        };
        let mut batch: Vec<Arrival<'_>> = Vec::with_capacity(self.batch);
        let before = self.instructions.read();
        let start = Stopwatch::start();
        for chunk in packets.chunks_mut(self.batch) {
            let arrivals = chunk.iter_mut();
            batch.extend(arrivals.map(|p| Arrival::new(std::mem::take(&mut p.bytes), p.port)));
            subject.now = subject.now + PACE * chunk.len() as u32;
            subject.engine.process_batch(&mut batch, subject.now);
            for arrival in &batch {
                let judged = &arrival.judged;
                if judged.verdict == want.verdict && judged.state == Some(want.state) {
                    tally.right += 1;
                } else if tally.wrong.is_none() {
                    tally.wrong = Some(said(arrival));
                }
            }
            batch.clear();
        }
        tally.elapsed = start.elapsed();
        let after = self.instructions.read();
        tally.instructions = before.zip(after).map(|(before, after)| after - before);
        tally
    }
}

/// What became of a packet, in words.
#[cold]
fn said(arrival: &Arrival<'_>) -> String {
    let judged = &arrival.judged;
    let state = judged.state.map_or("no state", State::name);
    match &*judged.detail {
        Some(detail) => format!("{}, {state}: {}", judged.verdict.name(), detail.why),
        None => format!("{}, {state}", judged.verdict.name()),
    }
}
