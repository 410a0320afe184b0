//! The backends that the command line asks for.

use std::io;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use palisade_engine::Host;
use palisade_live::host::{Machine, Mirror};
use palisade_live::queue::{self, Mode, OnStop, Queues};
use palisade_live::{Backend, Gate};

use super::args::{OnStopArgument, QueueArguments, RunArguments};

/// A thread beside the workers.
pub type Other = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// What a backend needs to know before there is an engine.
pub enum Prepared {
    /// Packets of this host.
    Queue {
        options: queue::Options,
        mirror: Mirror,
        machine: Machine,
    },
}

/// Where packets come from.
pub struct Opened {
    /// One a worker.
    pub backends: Vec<Box<dyn Backend>>,
    /// What runs beside them, until the gate stops.
    pub others: Vec<Other>,
    /// The kernel's queues, if packets come by them.
    pub queues: Option<Queues>,
}

impl Prepared {
    /// By the command line.
    pub fn of(arguments: &RunArguments) -> Result<Self> {
        let mode = match (arguments.backend.host, arguments.backend.router) {
            (true, _) => Mode::Host,
            (_, true) => Mode::Router,
            _ => bail!("not here yet: {:?}", arguments.backend),
        };
        let mut mirror = Mirror::open().context("interfaces, addresses and routes")?;
        let machine = mirror
            .machine()
            .context("interfaces, addresses and routes")?;
        Ok(Prepared::Queue {
            options: options(mode, &arguments.queue),
            mirror,
            machine,
        })
    }

    /// This machine as the engine is to see it.
    pub fn host(&self) -> Host {
        match self {
            Prepared::Queue { machine, .. } => machine.host(),
        }
    }

    /// Has packets come.
    pub fn open(self, gate: &Arc<Gate>) -> Result<Opened> {
        match self {
            Prepared::Queue {
                options,
                mirror,
                machine,
            } => {
                let mut queues = queue::open(options, gate, mirror, machine)?;
                for note in queues.notes() {
                    eprintln!("note: {note}");
                }
                let follower = queues.follower();
                let follow = |f: queue::Follower| -> Other { Box::new(move || f.run()) };
                Ok(Opened {
                    backends: queues.backends(),
                    others: follower.into_iter().map(follow).collect(),
                    queues: Some(queues),
                })
            }
        }
    }
}

fn options(mode: Mode, arguments: &QueueArguments) -> queue::Options {
    queue::Options {
        table: arguments.table.clone(),
        queues: arguments.queues,
        first: arguments.first_queue,
        length: arguments.queue_length,
        fail_open: arguments.fail_open,
        on_stop: match arguments.on_stop {
            OnStopArgument::Open => OnStop::Open,
            OnStopArgument::Closed => OnStop::Closed,
        },
        mark_bit: arguments.mark_bit,
        ..queue::Options::new(mode)
    }
}
