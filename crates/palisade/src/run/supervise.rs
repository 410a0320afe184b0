//! The main thread once packets are judged: it waits for what happens, and ends things in their order.
//!
//! # Life cycle
//! Signals are blocked before the first thread is made ([`block_signals`]), so that none is delivered anywhere; a thread
//! waits for them and says so by a [`Handle`], as do workers that end and whoever else may ask ([`events`]). The main thread
//! takes one event at a time ([`Supervisor::run`]), so that a stop and a reload never meet.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use nix::sys::signal::{SigSet, Signal};
use palisade_engine::Verdict;
use palisade_live::Workers;
use palisade_live::worker::STALLED;
use palisade_rules::Ruleset;

use super::backends::Installation;
use super::notify::Manager;
use super::rule_log::RuleLog;
use super::service::Service;

/// How often the main thread looks after workers and the state that people are told, at least.
const TICK: Duration = Duration::from_secs(1);

/// How long workers may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What packets meet after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnStop {
    /// Nothing: they pass as if Palisade had never been there.
    Open,
    /// A closed gate: they are dropped until Palisade is started again.
    Closed,
}

/// What happens to the main thread.
#[derive(Debug)]
pub enum Event {
    /// A worker ended.
    WorkerEnded(usize),
    /// Somebody wants it to end; differently from `--on-stop`, or as it says.
    Stop(Option<OnStop>),
    /// Somebody wants rules to be read again.
    Reload,
}

/// By which the main thread is told things.
#[derive(Clone, Debug)]
pub struct Handle(Sender<Event>);

impl Handle {
    /// Tells it; one that has ended needs to know nothing.
    pub fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

/// Both ends.
pub fn events() -> (Handle, Receiver<Event>) {
    let (sender, receiver) = channel();
    (Handle(sender), receiver)
}

/// The signals that mean something.
fn signals() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect()
}

/// Blocks them in the calling thread and those that it makes.
///
/// # Errors
/// The kernel's.
pub fn block_signals() -> Result<()> {
    Ok(signals().thread_block()?)
}

/// Tells of signals from now on, by a thread that ends with the process.
///
/// # Errors
/// There is no thread to be had.
pub fn listen(handle: Handle) -> Result<()> {
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        while let Ok(signal) = signals().wait() {
            tracing::debug!(signal = signal.as_str(), "a signal");
            handle.tell(match signal {
                Signal::SIGHUP => Event::Reload,
                _ => Event::Stop(None),
            });
        }
    })?;
    Ok(())
}

/// What the main thread looks after.
pub struct Supervisor {
    /// What is told of it.
    pub service: Arc<Service>,
    /// Who works.
    pub workers: Workers,
    /// What was made outside the process.
    pub installation: Option<Box<dyn Installation>>,
    /// What happens.
    pub events: Receiver<Event>,
    /// Who wants to know.
    pub manager: Manager,
    /// What packets meet after the end.
    pub on_stop: OnStop,
    /// What rules log.
    pub rule_log: Option<RuleLog>,
    /// When the service manager was told the state for people.
    pub told: Option<Instant>,
    /// Reads the rules again; `None` where they have errors, which were told.
    pub read: ReadRules,
}

/// See [`Supervisor::read`].
pub type ReadRules = Box<dyn FnMut() -> Result<Option<[Option<Ruleset>; 2]>> + Send>;

impl Supervisor {
    /// Goes on until somebody asks for the end, or workers fail.
    ///
    /// # Errors
    /// A worker failed, or the end was not a clean one. The gate is closed then.
    pub fn run(mut self) -> Result<()> {
        let tick = self.manager.watchdog().unwrap_or(TICK).min(TICK);
        let mut next = Instant::now();
        let mut stalled = false;
        let running = self.workers.len();
        loop {
            let now = Instant::now();
            if now >= next {
                next = now + tick;
                self.look_after(&mut stalled);
            }
            match self
                .events
                .recv_timeout(next.saturating_duration_since(now))
            {
                Ok(Event::Reload) => self.reload(),
                Ok(Event::Stop(how)) => {
                    tracing::info!("stopping, as asked");
                    let on_stop = how.unwrap_or(self.on_stop);
                    return self.stop(on_stop, running);
                }
                // Whoever stops the gate itself asks for the end too.
                Ok(Event::WorkerEnded(_)) if self.service.gate.stopping() => {
                    let on_stop = self.on_stop;
                    return self.stop(on_stop, running - 1);
                }
                Ok(Event::WorkerEnded(worker)) => {
                    tracing::error!(worker, "a worker ended; stopping, with the gate closed");
                    return self.stop(OnStop::Closed, running - 1);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("nobody tells anything any more"),
            }
        }
    }

    /// Tells the service manager that all is well, if it is.
    fn look_after(&mut self, stalled: &mut bool) {
        let oldest = self.workers.pulses().map(|pulse| pulse.age()).max();
        let hangs = oldest.is_some_and(|age| age > STALLED);
        if hangs && !*stalled {
            let seconds = oldest.unwrap_or_default().as_secs_f64();
            tracing::error!(seconds, "a worker hangs");
        }
        if !hangs {
            if *stalled {
                tracing::info!("all workers go on again");
            }
            self.manager.alive();
        }
        *stalled = hangs;
        // A worker that hangs may do so with the engine.
        if !hangs && let Some(jumped) = self.service.gate.follow_wall() {
            let seconds = jumped as f64 / 1e9;
            tracing::warn!(
                seconds,
                "the wall's clock was set; connections keep their times"
            );
        }
        if self.told.is_none_or(|told| told.elapsed() >= TICK) {
            self.told = Some(Instant::now());
            self.manager.status(&self.status());
        }
    }

    /// In a line.
    fn status(&self) -> String {
        let tally = self.service.gate.tally();
        let (accepted, _) = tally.of(Verdict::Accept);
        let refused = tally.of(Verdict::Drop).0 + tally.of(Verdict::Reject).0;
        let policy = match self.service.standing_in() {
            Some(policy) => format!("RULES NOT IN FORCE, boot policy {}; ", policy.name()),
            None => String::new(),
        };
        format!("{policy}{accepted} packets accepted, {refused} refused")
    }

    /// Rules are read again. Those of files with errors do not come into force, and neither do the others.
    fn reload(&mut self) {
        self.manager.reloading();
        if let Some(log) = &self.rule_log {
            log.open_again();
        }
        let read = (self.read)();
        let reloaded = read.and_then(|rules| match (&self.service.control, rules) {
            (Some(control), Some(rules)) => Ok(control.put_in_place(rules)?),
            (_, None) => bail!("the rules have errors"),
            (None, _) => bail!("nothing changes rules here"),
        });
        match reloaded {
            Ok(reloaded) => tracing::info!(
                kept = reloaded.kept,
                added = reloaded.added,
                removed = reloaded.removed,
                "the rules were read again"
            ),
            Err(error) => {
                self.service.refused.fetch_add(1, Relaxed);
                let reason = format!("{error:#}");
                tracing::error!(reason, "the rules were not reloaded: the old ones stay");
            }
        }
        self.manager.ready();
    }

    /// Ends everything in its order; `running` workers have not said that they ended.
    fn stop(mut self, how: OnStop, mut running: usize) -> Result<()> {
        self.manager.stopping();
        let mut removed = Ok(());
        if let (OnStop::Open, Some(installation)) = (how, self.installation.take()) {
            // First, so that no packet comes to a queue that nobody serves.
            removed = installation.remove();
        }
        self.service.gate.stop();
        let deadline = Instant::now() + PATIENCE;
        while running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::WorkerEnded(_)) => running -= 1,
                Ok(Event::Stop(_)) => bail!("asked again while workers had not ended"),
                Ok(Event::Reload) => {}
                Err(_) => bail!("a worker did not end within {} s", PATIENCE.as_secs()),
            }
        }
        let workers = self.workers.join();
        self.service.save();
        for (_, ended) in workers {
            ended?;
        }
        removed?;
        tracing::info!(
            gate = match how {
                OnStop::Open => "open",
                OnStop::Closed => "closed",
            },
            "stopped"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
