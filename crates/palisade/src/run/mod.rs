//! `palisade run`: rules over live traffic.

mod args;
mod backend;

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use nix::sys::signal::{SigSet, Signal};
use palisade_engine::conntrack::Config;
use palisade_engine::{Engine, Setup};
use palisade_live::{Gate, work};
use palisade_rules::Family;

use crate::Exit;
use crate::output::Paint;
use crate::{rules, sets};
pub use args::RunArguments;
use backend::Prepared;

/// Starts, and goes on until it is told to stop.
pub fn run(arguments: &RunArguments) -> Result<Exit> {
    let prepared = Prepared::of(arguments)?;
    let Some(mut setup) = setup(arguments)? else {
        return Ok(Exit::BadInput);
    };
    setup.host = prepared.host();
    let gate = Arc::new(Gate::new(Engine::new(setup)?));
    let signals = stopping();
    signals.thread_block()?;
    let opened = prepared.open(&gate)?;
    let stopper = Arc::clone(&gate);
    std::thread::spawn(move || {
        let _ = signals.wait();
        stopper.stop();
    });
    let workers: Vec<_> = opened
        .backends
        .into_iter()
        .map(|mut backend| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || work(&gate, backend.as_mut()))
        })
        .chain(opened.others.into_iter().map(std::thread::spawn))
        .collect();
    let mut ended = Ok(Exit::Yes);
    for worker in workers {
        match worker.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ended = Err(error.into()),
            Err(_) => ended = Err(anyhow!("a worker died")),
        }
    }
    if let Some(queues) = opened.queues {
        queues.close()?;
    }
    ended
}

/// Signals that end it.
fn stopping() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM].into_iter().collect()
}

/// What the engine is made of; `None` when the rules have errors, which were told.
fn setup(arguments: &RunArguments) -> Result<Option<Setup>> {
    let paint = Paint::stderr(arguments.color);
    let mut conntrack = Config::default();
    for setting in &arguments.sysctl {
        let Some((name, value)) = setting.split_once('=') else {
            bail!("--sysctl {setting}: NAME=VALUE is needed");
        };
        conntrack.set(name, value)?;
    }
    let Ok(ipsets) = sets::read(&arguments.ipset, paint)? else {
        return Ok(None);
    };
    let mut setup = Setup {
        conntrack,
        ipsets: ipsets.unwrap_or_default(),
        ..Setup::default()
    };
    for (path, family) in [
        (&arguments.rules, Family::V4),
        (&arguments.rules6, Family::V6),
    ] {
        let Some(path) = path else { continue };
        let file = rules::read(path, family)?;
        rules::tell(&file, path, palisade_rules::Severity::Error, paint);
        if file.parsed.has_errors() {
            return Ok(None);
        }
        setup.rules4 = file.parsed.v4.or(setup.rules4);
        setup.rules6 = file.parsed.v6.or(setup.rules6);
    }
    Ok(Some(setup))
}
