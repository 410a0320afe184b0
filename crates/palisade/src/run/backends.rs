//! Where packets come from, as the command line says.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use palisade_live::queue::{self, Follower, Mode, Queues};
use palisade_live::{Backend, Figures, Gate};

use super::args::{QueueArguments, RunArguments};
use super::{tun, wire};

/// What a backend has made outside the process, by which packets come to it. It stays when it is dropped, so that
/// whatever ends the process leaves the gate closed.
pub trait Installation: Send {
    /// Takes it away: packets pass as if it had never been there.
    ///
    /// # Errors
    /// It cannot be taken away.
    fn remove(self: Box<Self>) -> Result<()>;
}

/// What runs in a thread of its own.
pub type Beside = Box<dyn FnOnce() + Send>;

/// What was opened.
pub struct Backends {
    /// One a worker.
    pub workers: Vec<Box<dyn Backend>>,
    /// What stays if it is not taken away.
    pub installation: Option<Box<dyn Installation>>,
    /// What is counted beside verdicts.
    pub figures: Option<Figures>,
    /// What runs beside the workers until the gate stops, each in a thread of this name.
    pub beside: Vec<(&'static str, Beside)>,
}

/// The backends that were asked for. Nothing is judged yet; packets wait, or are dropped.
///
/// # Errors
/// They cannot be had.
pub fn open(arguments: &RunArguments, gate: &Arc<Gate>) -> Result<Backends> {
    let backend = &arguments.backend;
    match (backend.host, backend.router) {
        (true, _) => queues(Mode::Host, &arguments.queue, gate),
        (_, true) => queues(Mode::Router, &arguments.queue, gate),
        _ if !backend.wire.is_empty() => wire::open(&backend.wire, &arguments.wire, gate),
        _ if !backend.tun.is_empty() => tun::open(&backend.tun, gate),
        _ => bail!(
            "where packets come from has to be said: --host, --router, --wire A,B or --tun NAME"
        ),
    }
}

/// Packets of this host, by the kernel's queues.
fn queues(mode: Mode, arguments: &QueueArguments, gate: &Arc<Gate>) -> Result<Backends> {
    let options = queue::Options {
        table: arguments.table.clone(),
        queues: arguments.queues,
        first: arguments.first_queue,
        length: arguments.queue_length,
        fail_open: arguments.fail_open,
        mark_bit: arguments.mark_bit,
        ..queue::Options::new(mode)
    };
    let mut queues = queue::open(options, gate)?;
    let follow = |follower: Follower| -> Beside {
        Box::new(move || {
            if let Err(error) = follower.run() {
                tracing::error!(%error, "interfaces, addresses and routes are not followed any more");
            }
        })
    };
    let follower = queues.follower().map(follow);
    Ok(Backends {
        workers: queues.backends(),
        figures: Some(queues.figures()),
        installation: Some(Box::new(queues)),
        beside: follower.map(|f| ("interfaces", f)).into_iter().collect(),
    })
}

impl Installation for Queues {
    fn remove(self: Box<Self>) -> Result<()> {
        Queues::remove(&self).context("removing the table of nf_tables")
    }
}
