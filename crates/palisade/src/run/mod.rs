//! `palisade run`: rules over live traffic.
//!
//! # Life cycle
//! The process begins anew with huge pages, once. Then, in this order, so that nothing passes that was not judged: rules are read and compiled; sockets are bound and files opened;
//! connections of the last run are taken over; the backends are opened, by which packets begin to wait; what is not needed any more is given up; threads are made, the workers last;
//! then whoever started it is told.
//! An error on the way ends it; what backends made outside the process stays, which is a closed gate.

mod args;
mod backends;
mod boot;
mod bounded;
mod log;
mod metrics;
mod notify;
mod rule_log;
mod service;
mod state;
mod supervise;
mod tun;
mod wire;

use std::sync::Arc;

use anyhow::{Context, Result};
use palisade_live::control::message::Leave;
use palisade_live::control::{Control, Facts};
use palisade_live::metrics::Listener;
use palisade_live::seccomp::{self, Whom};
use palisade_live::{Capabilities, Gate, Workers, privileges};

use crate::Exit;
pub use args::RunArguments;
use backends::Backends;
use log::Log;
use notify::Manager;
use rule_log::RuleLog;
use service::Service;
use state::Store;
use supervise::{Event, Supervisor};

/// Starts, and goes on until it is told to stop.
pub fn run(arguments: &RunArguments) -> Result<Exit> {
    let daemon = &arguments.daemon;
    crate::pages::ask();
    // Before any thread.
    supervise::block_signals()?;
    let mut log = Log::new(daemon.log_format, daemon.log_level)?;
    let manager = Manager::of_environment();
    let Some(booted) = boot::engine(arguments)? else {
        return Ok(Exit::BadInput);
    };
    let gate = Arc::new(Gate::new(booted.engine));
    // Where somebody runs already, this is found before anything of theirs is touched.
    let control = crate::control::bind(&arguments.serve)?;
    let metrics = daemon
        .metrics
        .map(|address| Listener::bind(address).with_context(|| format!("--metrics {address}")));
    let metrics = metrics.transpose()?;
    let packets = daemon.nflog_to.as_deref();
    let mut rule_log = RuleLog::open(
        &daemon.log_to,
        packets,
        daemon.log_max_bytes,
        daemon.log_rate,
    )?;
    gate.log_to(Arc::clone(rule_log.drain()));
    let state = daemon.state.as_deref().map(Store::new);
    if let Some(state) = &state {
        restore(state, &gate);
    }
    let Backends {
        workers,
        installation,
        figures,
        beside,
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
    // Threads have what their maker has: none is made before this.
    privileges::limit(daemon.user.as_deref())?;
    if !daemon.no_seccomp {
        seccomp::limit(Whom::Process)?;
    }
    log.start().context("a thread for the log")?;
    rule_log
        .start(&gate)
        .context("a thread for what rules log")?;
    for (name, run) in beside {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread
            .spawn(run)
            .with_context(|| format!("the thread {name}"))?;
    }
    let (handle, events) = supervise::events();
    let mut facts = facts(
        arguments,
        workers.first().map(|b| b.capabilities()),
        workers.len(),
    );
    if let Some(policy) = booted.policy {
        let policy = policy.name();
        let note = format!("started with boot policy {policy}: the rules could not be had");
        facts.notes.insert(0, note);
    }
    let asked = handle.clone();
    let answers = Control::new(Arc::clone(&gate), facts)
        .figures(figures.clone())
        .protect(arguments.serve.protect.clone())
        .on_stop(move |leave| asked.tell(Event::Stop(on_stop(leave))));
    let answers = Arc::new(answers);
    let server = control.map(|bound| bound.start(Arc::clone(&answers)));
    let server = server.transpose()?;
    supervise::listen(handle.clone())?;
    let backend = workers.first().map(|b| b.capabilities().name);
    let ended = handle.clone();
    let workers = Workers::start(&gate, workers, move |worker| {
        ended.tell(Event::WorkerEnded(worker));
    })
    .context("threads for workers")?;
    let service = Arc::new(Service {
        backend: backend.unwrap_or("none"),
        figures,
        policy: booted.policy,
        control: Some(answers),
        state,
        pulses: workers.pulses().cloned().collect(),
        messages: log.messages(),
        logged: Some(rule_log.counts()),
        ..Service::new(gate)
    });
    if let Some(listener) = metrics {
        let (service, rules) = (Arc::clone(&service), daemon.metrics_rules);
        let started = listener.start(move || metrics::page(&service, rules));
        started.context("a thread for the metrics")?;
    }
    state::keep_saving(&service, daemon.state_every).context("a thread for --state")?;
    privileges::check()?;
    manager.ready();
    tracing::info!(workers = workers.len(), "packets are judged");
    let supervisor = Supervisor {
        service,
        workers,
        installation,
        events,
        manager,
        on_stop: daemon.on_stop,
        rule_log: Some(rule_log),
        told: None,
        read: boot::reader(arguments),
    };
    supervisor.run()?;
    if let Some(server) = server {
        server.finish();
    }
    Ok(Exit::Yes)
}

/// Takes over the connections of the last run. Without them the start goes on: nothing passes by that which should not.
fn restore(state: &Store, gate: &Gate) {
    let path = state.path().display();
    match state.restore(gate) {
        Ok(None) => tracing::info!(%path, "there are no connections to take over"),
        Ok(Some(restored)) => tracing::info!(
            connections = restored.connections,
            expectations = restored.expectations,
            "connections of the last run were taken over"
        ),
        Err(error) => tracing::error!(
            %error,
            %path,
            "connections of the last run are NOT taken over: the table is empty"
        ),
    }
}

/// What the control socket tells of the process.
fn facts(arguments: &RunArguments, backend: Option<Capabilities>, workers: usize) -> Facts {
    let name = backend.as_ref().map_or("none", |backend| backend.name);
    Facts {
        version: env!("CARGO_PKG_VERSION").to_string(),
        backend: name.to_string(),
        workers,
        notes: backend.map(|backend| backend.notes).unwrap_or_default(),
        // Who asks may stand elsewhere.
        files: [&arguments.rules, &arguments.rules6]
            .map(|file| std::path::absolute(file.as_ref()?).ok()),
    }
}

/// What `palisade stop` says, as the supervisor takes it.
fn on_stop(leave: Leave) -> Option<supervise::OnStop> {
    match leave {
        Leave::AsTold => None,
        Leave::Open => Some(supervise::OnStop::Open),
        Leave::Closed => Some(supervise::OnStop::Closed),
    }
}
