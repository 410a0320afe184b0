//! Workers: a thread each, which lets the packets of one backend be judged.
//!
//! # Life cycle
//! [`Workers::start`] gives each backend its thread. A worker goes on until the gate stops or its backend fails for good,
//! says how it ended, and hands its backend back ([`Workers::join`]), so that whoever started the workers ends backends
//! too.
//!
//! # Panics
//! A panic while packets are judged is caught. The packets of that batch have no verdict, which is a drop; the backend is
//! told so, and the worker goes on with the next batch and the same engine. More than [`PANICS`] in [`PANICS_WITHIN`] end
//! the worker: something is wrong that does not pass, and a gate that stays closed is better than one that guesses.
//! A panic in the backend itself is counted and bounded in the same way.
//!
//! # Liveness
//! A worker advances its [`Pulse`] at least every [`WAIT`] while it lives, whether packets come or not. A pulse that is
//! older than [`STALLED`] is that of a worker that hangs.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::backend::{Backend, Batch};
use crate::gate::Gate;

/// How long a worker waits for packets before it looks whether it is to end.
pub const WAIT: Duration = Duration::from_millis(200);

/// A worker whose pulse is older hangs.
pub const STALLED: Duration = Duration::from_secs(2);

/// Panics of a worker within [`PANICS_WITHIN`] that it goes on after.
pub const PANICS: usize = 8;

/// See [`PANICS`].
pub const PANICS_WITHIN: Duration = Duration::from_secs(60);

/// Why a worker ended before it was asked to.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// Its backend cannot go on.
    #[error("the backend failed: {0}")]
    Backend(#[from] io::Error),
    /// It panicked too often.
    #[error("too many panics ({} within {} s), the last one: {words}", PANICS + 1, PANICS_WITHIN.as_secs())]
    Panics {
        /// What the last one said.
        words: String,
    },
}

/// When a worker last turned, for whoever watches it.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    /// Nanoseconds after the start.
    last: AtomicU64,
    turns: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse::new()
    }
}

impl Pulse {
    /// Of a worker that begins now.
    pub fn new() -> Self {
        Pulse {
            start: Instant::now(),
            last: AtomicU64::new(0),
            turns: AtomicU64::new(0),
        }
    }

    fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
        self.turns.fetch_add(1, Relaxed);
    }

    /// Time since the worker last turned.
    pub fn age(&self) -> Duration {
        let last = Duration::from_nanos(self.last.load(Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    /// How often it turned.
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }
}

/// Lets the packets of a backend be judged until the gate stops.
///
/// # Errors
/// [`WorkerError`]: the backend cannot go on, or there were too many panics.
pub fn work(gate: &Gate, backend: &mut dyn Backend, pulse: &Pulse) -> Result<(), WorkerError> {
    let mut batch = Batch::new();
    let mut panics = Panics::default();
    while !gate.stopping() {
        pulse.beat();
        let turned = catch_unwind(AssertUnwindSafe(|| turn(gate, backend, &mut batch)));
        match turned {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(panicked))) => panics.again(panicked.as_ref())?,
            Ok(Err(failed)) => return Err(failed.into()),
            Err(panicked) => {
                gate.panicked(batch.frames().len());
                panics.again(panicked.as_ref())?;
            }
        }
    }
    Ok(())
}

/// What a panic says.
type Panicked = Box<dyn Any + Send>;

/// One batch; what a panic said that left it without verdicts.
fn turn(gate: &Gate, backend: &mut dyn Backend, batch: &mut Batch) -> io::Result<Option<Panicked>> {
    batch.clear();
    backend.receive(batch, WAIT)?;
    if batch.is_empty() {
        return Ok(None);
    }
    let judged = catch_unwind(AssertUnwindSafe(|| gate.judge(batch)));
    if judged.is_err() {
        gate.panicked(batch.frames().len());
        for frame in batch.frames_mut() {
            frame.judged = Default::default();
        }
    }
    backend.conclude(batch)?;
    Ok(judged.err())
}

/// When a worker panicked lately.
#[derive(Debug, Default)]
struct Panics(VecDeque<Instant>);

impl Panics {
    fn again(&mut self, panicked: &(dyn Any + Send)) -> Result<(), WorkerError> {
        let words = words(panicked);
        let now = Instant::now();
        self.0
            .retain(|at| now.saturating_duration_since(*at) < PANICS_WITHIN);
        if self.0.len() == PANICS {
            return Err(WorkerError::Panics { words });
        }
        self.0.push_back(now);
        tracing::error!(panic = words, "a worker panicked; its batch is dropped");
        Ok(())
    }
}

/// The message of a panic.
pub fn words(panicked: &(dyn Any + Send)) -> String {
    let text = panicked.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panicked.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without words").to_owned()
}

/// A backend that a worker hands back, and how the worker ended.
pub type Done = (Box<dyn Backend>, Result<(), WorkerError>);

/// The workers of a gate.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<(Arc<Pulse>, JoinHandle<Done>)>,
}

impl Workers {
    /// Gives each backend a thread. `ended` is called by a worker that ends, whether asked to or not, with its number.
    ///
    /// # Errors
    /// A thread could not be made. Those that were are asked to end by the gate's stop.
    pub fn start(
        gate: &Arc<Gate>,
        backends: Vec<Box<dyn Backend>>,
        ended: impl Fn(usize) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let mut threads = Vec::with_capacity(backends.len());
        for (number, mut backend) in backends.into_iter().enumerate() {
            let pulse = Arc::new(Pulse::new());
            let (gate, ended, beaten) = (Arc::clone(gate), ended.clone(), Arc::clone(&pulse));
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let thread = thread.spawn(move || {
                let done = work(&gate, backend.as_mut(), &beaten);
                ended(number);
                (backend, done)
            })?;
            threads.push((pulse, thread));
        }
        Ok(Workers { threads })
    }

    /// The workers' pulses, by their numbers.
    pub fn pulses(&self) -> impl Iterator<Item = &Arc<Pulse>> {
        self.threads.iter().map(|(pulse, _)| pulse)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Waits until all have ended, which they do within [`WAIT`] of the gate's stop; their backends, and how they ended.
    /// A worker that cannot be waited for leaves nothing.
    pub fn join(self) -> Vec<Done> {
        let threads = self.threads.into_iter();
        threads
            .filter_map(|(_, thread)| thread.join().ok())
            .collect()
    }
}

#[cfg(test)]
mod tests;
