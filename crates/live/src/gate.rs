//! Who decides: the engine behind a lock.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use palisade_engine::{Arrival, Bridge, Engine, Judged, Port, Route, Verdict};
use palisade_wire::Timestamp;

use crate::backend::{Backend, Batch};
use crate::clock::Clock;

/// Packets and bytes by what became of them.
#[derive(Debug, Default)]
pub struct Tally {
    /// By verdict, in the order of [`Verdict`]: packets, bytes.
    counts: [[AtomicU64; 2]; 6],
}

impl Tally {
    fn add(&self, verdict: Verdict, bytes: usize) {
        let [packets, all] = &self.counts[verdict as usize];
        packets.fetch_add(1, Ordering::Relaxed);
        all.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Packets and bytes with a verdict so far.
    pub fn of(&self, verdict: Verdict) -> (u64, u64) {
        let [packets, bytes] = &self.counts[verdict as usize];
        (
            packets.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }
}

/// The engine behind a lock, with its clock and what it has counted.
#[derive(Debug)]
pub struct Gate {
    engine: Mutex<Engine>,
    clock: Clock,
    tally: Tally,
    stopping: AtomicBool,
}

impl Gate {
    /// A gate that decides by an engine.
    pub fn new(engine: Engine) -> Self {
        Gate {
            engine: Mutex::new(engine),
            clock: Clock::new(),
            tally: Tally::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// What became of packets so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Asks all workers to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether workers are to end.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// A handle for packets that come or leave in one way.
    pub fn port(&self, route: Route, bridge: Bridge) -> Port {
        self.lock().port(route, bridge)
    }

    /// Something done with the engine between two batches.
    pub fn with<R>(&self, done: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let mut engine = self.lock();
        let now = self.now();
        done(&mut engine, now)
    }

    /// Decides about the packets of a batch.
    pub fn judge(&self, batch: &mut Batch) {
        let mut arrivals: Vec<Arrival<'_>> = Vec::with_capacity(batch.frames().len());
        let mut judged: Vec<&mut Judged> = Vec::with_capacity(batch.frames().len());
        for frame in batch.frames_mut() {
            let bytes = frame.bytes.get_mut(frame.offset..).unwrap_or_default();
            arrivals.push(Arrival {
                link: frame.link,
                mark: frame.mark,
                owner: frame.owner.take(),
                unfinished: frame.unfinished,
                ..Arrival::new(bytes, frame.port)
            });
            judged.push(&mut frame.judged);
        }
        let mut engine = self.lock();
        let now = self.now();
        engine.process_batch(&mut arrivals, now);
        drop(engine);
        for (arrival, judged) in arrivals.into_iter().zip(judged) {
            *judged = arrival.judged;
            self.tally.add(judged.verdict, arrival.bytes.len());
        }
    }

    /// A panic in a worker leaves an engine whose invariants hold packet by packet: the next one is judged by it.
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a worker waits for packets before it looks whether it is to end.
const WAIT: Duration = Duration::from_millis(200);

/// Lets the packets of a backend be judged until the gate stops.
///
/// # Errors
/// The backend cannot go on.
pub fn work(gate: &Gate, backend: &mut dyn Backend) -> io::Result<()> {
    let mut batch = Batch::new();
    while !gate.stopping() {
        batch.clear();
        backend.receive(&mut batch, WAIT)?;
        if !batch.is_empty() {
            gate.judge(&mut batch);
            backend.conclude(&mut batch)?;
        }
    }
    Ok(())
}
