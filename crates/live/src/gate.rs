//! Who decides: the engine behind a lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use palisade_engine::{Arrival, Bridge, Engine, Judged, LogEvent, Port, Route};
use palisade_wire::Timestamp;

use crate::backend::Batch;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::feed::Feed;
use crate::tally::{Counted, Tally};
use crate::tap::Tap;

/// Nanoseconds that the wall's clock may move against ours between two looks without being told of: half a second.
const JUMP: u64 = 500_000_000;

/// The engine behind a lock, with its clock and what it has counted.
#[derive(Debug)]
pub struct Gate {
    engine: Mutex<Engine>,
    /// What ports stand for, for who judges copies of packets.
    ports: Mutex<HashMap<Port, (Route, Bridge)>>,
    tap: Tap,
    feed: Feed,
    clock: Clock,
    tally: Tally,
    logs: OnceLock<Arc<Drain<LogEvent>>>,
    stopping: AtomicBool,
    /// Nanoseconds that the wall's clock was ahead when somebody looked.
    ahead: AtomicI64,
}

impl Gate {
    /// A gate that decides by an engine.
    pub fn new(engine: Engine) -> Self {
        Gate {
            engine: Mutex::new(engine),
            ports: Mutex::default(),
            tap: Tap::default(),
            feed: Feed::default(),
            clock: Clock::new(),
            tally: Tally::default(),
            logs: OnceLock::new(),
            stopping: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
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

    /// Tells the engine what the wall's clock shows, which may have been set. To be called now and then; returns by how
    /// many nanoseconds it jumped since, if that is more than a clock that is corrected drifts.
    pub fn follow_wall(&self) -> Option<i64> {
        let ahead = self.clock.wall_ahead();
        let before = self.ahead.swap(ahead, Ordering::Relaxed);
        let jumped = ahead.saturating_sub(before);
        self.lock().set_wall_ahead(ahead);
        (jumped.unsigned_abs() > JUMP).then_some(jumped)
    }

    /// Hands over what rules log (LOG, NFLOG) from now on; only the first call has an effect.
    pub fn log_to(&self, drain: Arc<Drain<LogEvent>>) {
        self.lock().set_logging(true);
        // Whoever was first has them.
        let _ = self.logs.set(drain);
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
        let port = self.lock().port(route.clone(), bridge.clone());
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.insert(port, (route, bridge));
        port
    }

    /// What a port stands for.
    pub(crate) fn way(&self, port: Port) -> (Route, Bridge) {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get(&port).cloned().unwrap_or_default()
    }

    /// Lines that rules log, for who looks on: whoever writes them puts them in.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Where copies of packets can be had.
    pub(crate) fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Something done with the engine between two batches.
    pub fn with<R>(&self, done: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let mut engine = self.lock();
        let now = self.now();
        done(&mut engine, now)
    }

    /// Decides about the packets of a batch.
    pub fn judge(&self, batch: &mut Batch) {
        let copies = self.tap.copies(batch);
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
        if let Some(copies) = copies {
            // Under the lock, so that copies are in the order in which packets are judged.
            self.tap.hand_over(copies, now);
        }
        let begun = Instant::now();
        #[cfg(test)]
        assert!(arrivals.iter().all(|a| a.mark != FAULT), "a packet's fault");
        engine.process_batch(&mut arrivals, now);
        let took = begun.elapsed();
        let logs = self.logs.get().map(|drain| (drain, engine.take_logs()));
        drop(engine);
        if let Some((drain, logs)) = logs {
            drain.lost(logs.lost);
            if !logs.events.is_empty() {
                drain.put(logs.events, begun);
            }
        }
        let mut counted = Counted::default();
        for (arrival, judged) in arrivals.into_iter().zip(judged) {
            *judged = arrival.judged;
            counted.add(judged, arrival.bytes.len());
        }
        self.tally.add(&counted, took);
    }

    /// Counts a panic that left `lost` packets without a verdict.
    pub(crate) fn panicked(&self, lost: usize) {
        self.tally.panicked(lost);
    }

    /// A panic poisons the lock, which is passed over: safe Rust leaves an engine that is whole in memory, and at worst a
    /// connection half made. The alternatives are to end (by one packet that finds a fault, again and again) or to begin
    /// with an empty table, which ends all connections. How often workers may panic is bounded: see
    /// [`worker`](crate::worker).
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mark of a packet that panics.
#[cfg(test)]
pub(crate) const FAULT: u32 = 0xfa17;

#[cfg(test)]
mod tests {
    use palisade_engine::Setup;

    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_is_told_of_once_and_moves_no_connection() {
        let gate = Gate::new(Engine::new(Setup::default()).unwrap());
        assert_eq!(gate.follow_wall(), None);
        let now = gate.now();
        // As if it had shown two seconds less when somebody looked.
        gate.ahead.fetch_sub(2_000_000_000, Ordering::Relaxed);
        let jumped = gate.follow_wall().expect("a jump");
        assert!((1_500_000_000..2_500_000_000).contains(&jumped), "{jumped}");
        assert_eq!(gate.follow_wall(), None);
        assert!(gate.now().since(now) < std::time::Duration::from_secs(60));
        let wall = gate.with(|engine, now| engine.wall(now));
        let real = Timestamp::default()
            + std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
        assert!(wall.since(real).max(real.since(wall)).as_millis() < 500);
    }
}
