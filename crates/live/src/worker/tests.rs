//! Workers over packets from memory: what they count, survive and give back.

use std::sync::mpsc::{Receiver, channel};

use palisade_engine::{Engine, Setup, Verdict};
use palisade_wire::build;

use super::*;
use crate::backend::Capabilities;
use crate::backend::memory::{self, Feed, Sent};
use crate::gate::FAULT;

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(20);

fn gate() -> Arc<Gate> {
    Arc::new(Gate::new(Engine::new(Setup::default()).unwrap()))
}

/// A worker over packets from memory, and where it says that it ended.
fn started(gate: &Arc<Gate>) -> (Feed, Workers, Receiver<usize>) {
    let (feed, backend) = memory::pair();
    let (said, ended) = channel();
    let told = move |number| said.send(number).unwrap();
    let workers = Workers::start(gate, vec![Box::new(backend)], told).unwrap();
    (feed, workers, ended)
}

/// A datagram.
fn packet(mark: u32, tag: u64) -> Sent {
    let ip = build::Ip::new(
        "192.0.2.1".parse().unwrap(),
        "198.51.100.1".parse().unwrap(),
    );
    Sent {
        bytes: build::udp(&ip, 1000, 53, b"?"),
        mark,
        tag,
        ..Sent::default()
    }
}

#[test]
fn a_panic_drops_its_batch_and_the_next_one_is_judged() {
    let gate = gate();
    let (feed, workers, _ended) = started(&gate);
    feed.send(packet(FAULT, 1)).unwrap();
    let lost = feed.receive(LONG).unwrap();
    assert_eq!((lost.tag, lost.verdict), (1, Verdict::Drop));
    feed.send(packet(0, 2)).unwrap();
    let next = feed.receive(LONG).unwrap();
    assert_eq!((next.tag, next.verdict), (2, Verdict::Accept));
    assert_eq!((gate.tally().panics(), gate.tally().lost()), (1, 1));
    gate.stop();
    let done = workers.join();
    assert!(matches!(done.as_slice(), [(_, Ok(()))]), "{done:?}");
}

#[test]
fn a_packet_that_always_panics_ends_the_worker_closed() {
    let gate = gate();
    let (feed, workers, ended) = started(&gate);
    for tag in 0..=PANICS as u64 {
        feed.send(packet(FAULT, tag)).unwrap();
        // One at a time, so that each is a batch of its own.
        let lost = feed.receive(LONG).unwrap();
        assert_eq!((lost.tag, lost.verdict), (tag, Verdict::Drop));
    }
    assert_eq!(ended.recv_timeout(LONG), Ok(0));
    let done = workers.join();
    let [(_, Err(WorkerError::Panics { words }))] = done.as_slice() else {
        panic!("{done:?}");
    };
    assert_eq!(words, "a packet's fault");
    assert_eq!(gate.tally().panics(), PANICS as u64 + 1);
}

#[test]
fn panics_of_long_ago_do_not_count() {
    let mut panics = Panics::default();
    let Some(before) = Instant::now().checked_sub(PANICS_WITHIN) else {
        return;
    };
    panics.0.extend([before; PANICS]);
    let fault: Panicked = Box::new("fault");
    assert!(panics.again(fault.as_ref()).is_ok());
    assert_eq!(panics.0.len(), 1);
}

/// A backend that panics, fails or hangs when it is asked for packets.
struct Faulty {
    fault: fn() -> io::Result<()>,
}

impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        memory::pair().1.capabilities()
    }

    fn receive(&mut self, _: &mut Batch, _: Duration) -> io::Result<()> {
        (self.fault)()
    }

    fn conclude(&mut self, _: &mut Batch) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_backend_that_fails_or_panics_ends_its_worker_only() {
    let gate = gate();
    let (feed, good) = memory::pair();
    let failing = Faulty {
        fault: || Err(io::ErrorKind::ConnectionReset.into()),
    };
    let panicking = Faulty {
        fault: || panic!("its own fault"),
    };
    let (said, ended) = channel();
    let told = move |number| said.send(number).unwrap();
    let backends: Vec<Box<dyn Backend>> =
        vec![Box::new(good), Box::new(failing), Box::new(panicking)];
    let workers = Workers::start(&gate, backends, told).unwrap();
    let mut over = [(); 2].map(|()| ended.recv_timeout(LONG).unwrap());
    over.sort();
    assert_eq!(over, [1, 2]);
    feed.send(packet(0, 9)).unwrap();
    assert_eq!(feed.receive(LONG).unwrap().verdict, Verdict::Accept);
    gate.stop();
    let done = workers.join();
    assert!(matches!(done[0].1, Ok(())));
    assert!(matches!(done[1].1, Err(WorkerError::Backend(_))));
    assert!(matches!(done[2].1, Err(WorkerError::Panics { .. })));
}

#[test]
fn pulses_advance_without_packets_and_age_when_a_worker_hangs() {
    let gate = gate();
    let (feed, workers, _ended) = started(&gate);
    let pulse = Arc::clone(workers.pulses().next().unwrap());
    let begun = Instant::now();
    while pulse.turns() < 3 {
        assert!(begun.elapsed() < LONG, "no turns");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(pulse.age() < STALLED);
    // Whoever holds the engine holds up the worker that has a packet.
    gate.with(|_, _| {
        feed.send(packet(0, 1)).unwrap();
        let begun = Instant::now();
        while pulse.age() < STALLED {
            assert!(begun.elapsed() < LONG, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(feed.receive(LONG).unwrap().tag, 1);
    gate.stop();
    workers.join();
}
