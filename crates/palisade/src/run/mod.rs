//! `palisade run`: rules over live traffic.
//!
//! # Life cycle
//! In this order, so that nothing passes that was not judged: rules are read and compiled; the backends are opened, by which
//! packets begin to wait; threads are made, first those that write, last the workers; then whoever started it is told.
//! An error on the way ends it; what backends made outside the process stays, which is a closed gate.

mod args;
mod backends;
mod boot;
mod log;
mod notify;
mod supervise;
mod tun;
mod wire;

use std::sync::Arc;

use anyhow::{Context, Result};
use palisade_live::{Gate, Workers};

use crate::Exit;
pub use args::RunArguments;
use backends::Backends;
use log::Log;
use notify::Manager;
use supervise::{Event, Supervisor};

/// Starts, and goes on until it is told to stop.
pub fn run(arguments: &RunArguments) -> Result<Exit> {
    let daemon = &arguments.daemon;
    // Before any thread.
    supervise::block_signals()?;
    let mut log = Log::new(daemon.log_format, daemon.log_level)?;
    let manager = Manager::of_environment();
    let Some(booted) = boot::engine(arguments)? else {
        return Ok(Exit::BadInput);
    };
    let gate = Arc::new(Gate::new(booted.engine));
    let Backends {
        workers,
        installation,
    } = backends::open(arguments, &gate)?;
    for backend in &workers {
        let capabilities = backend.capabilities();
        tracing::debug!(backend = capabilities.name, "opened");
    }
    if let Some(backend) = workers.first() {
        for note in backend.capabilities().notes {
            tracing::warn!("{note}");
        }
    }
    log.start().context("a thread for the log")?;
    let (handle, events) = supervise::events();
    supervise::listen(handle.clone())?;
    let ended = handle.clone();
    let workers = Workers::start(&gate, workers, move |worker| {
        ended.tell(Event::WorkerEnded(worker));
    })
    .context("threads for workers")?;
    let policy = booted.policy.map(boot::BootPolicy::name);
    manager.ready();
    tracing::info!(workers = workers.len(), "packets are judged");
    let supervisor = Supervisor {
        gate,
        workers,
        installation,
        events,
        manager,
        on_stop: daemon.on_stop,
        policy,
    };
    supervisor.run()?;
    Ok(Exit::Yes)
}
