//! Packets of this host by the kernel's queues (NFQUEUE).
//!
//! # Overview
//! A table of nf_tables (`table.rs`) hands every packet over once, early: those that come in at `prerouting`, those made here at
//! `output`, both before the kernel's own reassembly and connection tracking. The engine judges the whole way of a packet at that
//! point, and the kernel does the rest: it routes, lowers the time to live, fragments, delivers.
//!
//! ```text
//!              queue: judged                          queue: source written
//!                   |                                        |
//!  network -> prerouting -> routing -> forward ----> postrouting -> network
//!                             |                          ^
//!                             v                          |
//!                           input -> programs -> output -+
//!                             |                     |
//!                 queue: source written       queue: judged
//! ```
//!
//! What comes by the loopback interface was judged when it was made. A packet whose source changes comes a second time
//! (`rewrite.rs`, `carried.rs`), found by one bit of its mark; that bit also keeps a packet that only routing has still to refuse from
//! going anywhere else.
//!
//! # Life cycle
//! [`open`] binds the queues, then makes the table, so that there is no moment in which packets wait for nobody. The table stays
//! when the process dies: nothing passes then, unless `fail_open`. [`Queues::remove`] removes it.
//!
//! # Locking
//! One thread a queue; shared are the gate, the sources carried (a lock a part), counters, and the names of interfaces.

mod backend;
mod carried;
mod expired;
mod fragments;
mod inject;
mod message;
mod rewrite;
mod socket;
mod status;
mod table;

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::backend::{Backend, Figure, Figures};
use crate::gate::Gate;
use crate::host::{Machine, Mirror};
use backend::QueueBackend;
use carried::Carried;
use inject::Injector;
use message::Settings;
use socket::QueueSocket;
use table::{Layout, Sign};

pub use status::{Counted, counted};

/// Name of the table if nothing else is asked for.
pub const TABLE: &str = "palisade";

/// The bit of the mark that is used if nothing else is asked for.
pub const MARK_BIT: u8 = 31;

/// Packets that may wait in a queue if nothing else is asked for.
pub const LENGTH: u32 = 8192;

/// The first queue that is tried if nothing else is asked for: beyond those that people number by hand.
const FIRST: u16 = 20_000;

/// Which packets are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those for this host and from it.
    Host,
    /// Those, and what it forwards.
    Router,
}

/// How packets are to be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which ones.
    pub mode: Mode,
    /// Name of the table.
    pub table: String,
    /// Queues, and threads; 0: as many as there are processors for this process.
    pub queues: u16,
    /// Number of the first queue; `None`: the first of as many that are free.
    pub first: Option<u16>,
    /// Packets that may wait in a queue.
    pub length: u32,
    /// Packets pass when nobody listens, and when a queue is full.
    pub fail_open: bool,
    /// Which bit of the mark is used, 0 to 31.
    pub mark_bit: u8,
}

impl Options {
    /// The usual ones.
    pub fn new(mode: Mode) -> Self {
        Options {
            mode,
            table: TABLE.to_owned(),
            queues: 0,
            first: None,
            length: LENGTH,
            fail_open: false,
            mark_bit: MARK_BIT,
        }
    }
}

/// Why packets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the table and listens.
    #[error(
        "table inet {table} is in use: a process listens to its queue {queue}; stop that one, or choose another name with --table"
    )]
    Running {
        /// The table.
        table: String,
        /// A queue that is listened to.
        queue: u16,
    },
    /// There is a table of this name which is none of ours.
    #[error(
        "there is a table inet {0} that was not made by palisade; choose another name with --table"
    )]
    ForeignTable(String),
    /// The name is none that nf_tables takes.
    #[error("--table {0:?}: a name has 1 to 200 letters, digits, '_', '-' or '.'")]
    Name(String),
    /// The bit is none.
    #[error("--mark-bit {0}: a mark has the bits 0 to 31")]
    MarkBit(u8),
    /// The queues asked for are somebody's.
    #[error("queue {0} is in use by another process; choose others with --queue")]
    Taken(u16),
    /// Not so many queues are free.
    #[error("no {0} consecutive queue numbers are free")]
    NoQueues(u16),
    /// The table cannot be made.
    #[error(
        "nf_tables: {0}; the kernel must have nf_tables (inet, queue, fib), and CAP_NET_ADMIN is needed"
    )]
    Table(#[source] io::Error),
    /// A queue cannot be bound.
    #[error("nfnetlink_queue: queue {0}: {1}; CAP_NET_ADMIN is needed")]
    Queue(u16, #[source] io::Error),
    /// Packets of our own cannot be sent.
    #[error("raw socket: {0}; CAP_NET_RAW is needed")]
    Raw(#[source] io::Error),
    /// Anything else that the kernel refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    gate: Arc<Gate>,
    carried: Carried,
    injector: Injector,
    /// The bit of the mark of packets that come back.
    bit: u32,
    machine: Mutex<Machine>,
    /// Counts changes of `machine`.
    generation: AtomicU64,
    counters: Counters,
    /// Of answers to packets whose time to live is used up.
    expired: expired::Rate,
}

impl Shared {
    fn name(&self, index: u32) -> Option<String> {
        let machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        machine.name(index).map(str::to_owned)
    }

    /// What was counted so far.
    fn figures(&self, first: u16, count: u16) -> Vec<Figure> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let queues = counted(first, count).unwrap_or_default();
        let sum = |of: fn(&Counted) -> u64| queues.iter().map(of).sum::<u64>();
        let (sent, unsent) = self.injector.counted();
        let counters = &self.counters;
        [
            (
                "queue_waiting",
                "Packets that wait for a verdict in the kernel's queues now.",
                sum(|q| q.waiting),
            ),
            (
                "queue_full",
                "Packets that the kernel dropped, or let pass with --fail-open, because a queue was full.",
                sum(|q| q.full),
            ),
            (
                "queue_unread",
                "Packets that the kernel dropped, or let pass with --fail-open, because a socket's buffer was full (ENOBUFS).",
                sum(|q| q.unread),
            ),
            (
                "queue_cut",
                "Packets dropped because they were too long to be handed over.",
                read(&counters.cut),
            ),
            (
                "rewritten",
                "Packets that passed with other bytes.",
                read(&counters.rewritten),
            ),
            (
                "carried",
                "Packets that came back behind routing to have their source written.",
                read(&counters.carried),
            ),
            (
                "lost",
                "Packets dropped behind routing: only routing was to refuse them, or their source was forgotten.",
                read(&counters.lost),
            ),
            ("sent", "Packets of our own that were sent.", sent),
            (
                "unsent",
                "Packets of our own that could not be sent.",
                unsent,
            ),
            (
                "unknown",
                "Packets dropped because a rule would decide that is not evaluated.",
                read(&counters.unknown),
            ),
            (
                "verdicts_refused",
                "Verdicts that the kernel did not take.",
                read(&counters.refused),
            ),
        ]
        .into_iter()
        .map(|(name, help, value)| Figure { name, help, value })
        .collect()
    }
}

/// What is counted beside verdicts.
#[derive(Debug, Default)]
struct Counters {
    cut: AtomicU64,
    unknown: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
    carried: AtomicU64,
    rewritten: AtomicU64,
}

/// Adds one.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The queues of a running process.
#[derive(Debug)]
pub struct Queues {
    layout: Layout,
    shared: Arc<Shared>,
    sockets: Vec<QueueSocket>,
    notes: Vec<String>,
    mirror: Option<Mirror>,
}

/// Tells the gate's engine of this machine, binds the queues and has packets handed over from now on.
///
/// # Errors
/// Somebody else has the table or the queues, something is missing in the kernel, or a right.
pub fn open(options: Options, gate: &Arc<Gate>) -> Result<Queues, Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !(1..=200).contains(&options.table.len()) || !options.table.chars().all(fits) {
        return Err(Error::Name(options.table));
    }
    if options.mark_bit > 31 {
        return Err(Error::MarkBit(options.mark_bit));
    }
    let stale = table::free_or_stale(&options.table)?;
    let mut mirror = Mirror::open()?;
    let machine = mirror.machine()?;
    let host = machine.host();
    gate.with(|engine, _| engine.set_host(host));
    let bit = 1 << options.mark_bit;
    let mut own = [0; 4];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut own)?;
    let own = u32::from_ne_bytes(own) & !bit;
    let injector = Injector::open(own).map_err(Error::Raw)?;
    let count = match options.queues {
        0 => std::thread::available_parallelism()
            .map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX)),
        count => count,
    };
    let settings = Settings {
        length: options.length.max(1),
        flags: message::FLAG_GSO
            | message::FLAG_OWNER
            | if options.fail_open {
                message::FLAG_FAIL_OPEN
            } else {
                0
            },
    };
    let sockets = bind(options.first, count, &settings)?;
    let first = sockets.first().map_or(FIRST, QueueSocket::queue);
    let layout = Layout {
        name: options.table.clone(),
        mode: options.mode,
        queues: (first, count),
        own,
        carried: bit,
        sign: if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
            Sign::Mark
        } else {
            Sign::Security(own.max(1))
        },
        fail_open: options.fail_open,
    };
    let notes = notes(&options, &machine)?;
    let shared = Arc::new(Shared {
        gate: Arc::clone(gate),
        carried: Carried::new(),
        injector,
        bit,
        machine: Mutex::new(machine),
        generation: AtomicU64::new(0),
        counters: Counters::default(),
        expired: expired::Rate::default(),
    });
    table::install(&layout, stale)?;
    Ok(Queues {
        layout,
        shared,
        sockets,
        notes,
        mirror: Some(mirror),
    })
}

/// Binds consecutive queues.
fn bind(first: Option<u16>, count: u16, settings: &Settings) -> Result<Vec<QueueSocket>, Error> {
    let taken = table::listened()?;
    let fits = |first: u16| {
        let last = first.checked_add(count - 1);
        last.is_some_and(|last| taken.range(first..=last).next().is_none())
    };
    let first = match first {
        Some(first) => first,
        None => (FIRST..=u16::MAX - count)
            .find(|first| fits(*first))
            .ok_or(Error::NoQueues(count))?,
    };
    if first.checked_add(count - 1).is_none() {
        return Err(Error::NoQueues(count));
    }
    (first..=first + (count - 1))
        .map(|queue| {
            if taken.contains(&queue) {
                return Err(Error::Taken(queue));
            }
            QueueSocket::bind(queue, settings)
                .map_err(|error| Error::Queue(queue, error))?
                .ok_or(Error::Taken(queue))
        })
        .collect()
}

/// What is worth telling whoever starts this.
fn notes(options: &Options, machine: &Machine) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    let others = table::others(&options.table)?;
    if !others.is_empty() {
        let list: Vec<String> = others
            .iter()
            .map(|o| format!("{} {} ({} {})", o.table, o.chain, o.hook, o.priority))
            .collect();
        notes.push(format!(
            "other chains of nf_tables still see every packet that passes here, and may drop or change it: {}",
            list.join(", ")
        ));
    }
    for names in ["ip_tables_names", "ip6_tables_names"] {
        let tables = std::fs::read_to_string(format!("/proc/thread-self/net/{names}"));
        let tables = tables.unwrap_or_default();
        if !tables.trim().is_empty() {
            let list: Vec<&str> = tables.split_whitespace().collect();
            notes.push(format!(
                "the kernel's own iptables still see every packet that passes here ({names}: {})",
                list.join(", ")
            ));
        }
    }
    if machine.rules > 0 {
        notes.push(format!(
            "{} rule(s) of policy routing lead to other tables than main: the interface that a forwarded packet leaves by is judged by the table main",
            machine.rules
        ));
    }
    for family in ["iptables", "ip6tables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{family}");
        if std::fs::read_to_string(&path).is_ok_and(|value| value.trim() == "1") {
            notes.push(format!(
                "{path} is 1: frames that a bridge only carries come here too, and are judged as if they were routed"
            ));
        }
    }
    if options.mode == Mode::Host {
        notes.push(
            "packets that this host forwards are not looked at (--router looks at them)".into(),
        );
    }
    if options.fail_open {
        notes.push(
            "--fail-open: packets pass unseen when this process is gone or cannot keep up".into(),
        );
    }
    Ok(notes)
}

impl Queues {
    /// The backends, one a queue; they are given once.
    pub fn backends(&mut self) -> Vec<Box<dyn Backend>> {
        let sockets = std::mem::take(&mut self.sockets);
        let backend = |socket| -> Box<dyn Backend> {
            Box::new(QueueBackend::new(
                socket,
                Arc::clone(&self.shared),
                self.notes.clone(),
            ))
        };
        sockets.into_iter().map(backend).collect()
    }

    /// Worth telling whoever starts this.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The first queue, and how many.
    pub fn queues(&self) -> (u16, u16) {
        self.layout.queues
    }

    /// What is counted beside verdicts, here and by the kernel.
    pub fn figures(&self) -> Figures {
        let (shared, (first, count)) = (Arc::clone(&self.shared), self.layout.queues);
        Figures::new(move || shared.figures(first, count))
    }

    /// What follows changes of this machine; it is given once.
    pub fn follower(&mut self) -> Option<Follower> {
        let mirror = self.mirror.take()?;
        Some(Follower {
            mirror,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Removes the table: everything passes. Without that it stays, and lets nothing pass when the queues are gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&self) -> io::Result<()> {
        table::remove(&self.layout.name)
    }
}

/// Follows changes of this machine's interfaces, addresses and routes.
#[derive(Debug)]
pub struct Follower {
    mirror: Mirror,
    shared: Arc<Shared>,
}

/// How long the follower waits before it looks whether it is to end.
const WAIT: Duration = Duration::from_millis(200);

impl Follower {
    /// Follows until the gate stops.
    ///
    /// # Errors
    /// The kernel does not tell any more.
    pub fn run(mut self) -> io::Result<()> {
        while !self.shared.gate.stopping() {
            if self.mirror.changed(WAIT)? {
                self.look()?;
            }
        }
        Ok(())
    }

    /// Looks at the machine anew.
    fn look(&mut self) -> io::Result<()> {
        let machine = self.mirror.machine()?;
        let mut known = self
            .shared
            .machine
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *known != machine {
            let host = machine.host();
            *known = machine;
            drop(known);
            self.shared.gate.with(|engine, _| engine.set_host(host));
            self.shared.generation.fetch_add(1, Ordering::Release);
            tracing::info!("interfaces, addresses or routes have changed");
        }
        Ok(())
    }
}
