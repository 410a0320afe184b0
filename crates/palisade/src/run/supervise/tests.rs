//! Ends of all kinds, over packets from memory.

use std::sync::atomic::{AtomicBool, Ordering};

use palisade_engine::{Engine, Setup};
use palisade_live::Gate;
use palisade_live::backend::memory::{self, Feed, Sent};
use palisade_wire::build;

use super::*;

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(20);

/// Something outside the process, and whether it is there.
struct Outside(Arc<AtomicBool>);

impl Installation for Outside {
    fn remove(self: Box<Self>) -> Result<()> {
        self.0.store(false, Ordering::SeqCst);
        Ok(())
    }
}

/// A supervisor that runs.
struct Running {
    feed: Feed,
    handle: Handle,
    installed: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Result<()>>,
}

fn running(on_stop: OnStop) -> Running {
    let gate = Arc::new(Gate::new(Engine::new(Setup::default()).unwrap()));
    let (feed, backend) = memory::pair();
    let (handle, events) = events();
    let ended = handle.clone();
    let workers = Workers::start(&gate, vec![Box::new(backend)], move |worker| {
        ended.tell(Event::WorkerEnded(worker));
    });
    let installed = Arc::new(AtomicBool::new(true));
    let supervisor = Supervisor {
        service: Arc::new(Service::new(gate)),
        workers: workers.unwrap(),
        installation: Some(Box::new(Outside(Arc::clone(&installed)))),
        events,
        manager: Manager::default(),
        on_stop,
        rule_log: None,
        told: None,
        read: Box::new(|| Ok(None)),
    };
    Running {
        feed,
        handle,
        installed,
        thread: std::thread::spawn(move || supervisor.run()),
    }
}

fn packet() -> Sent {
    let ip = build::Ip::new(
        "192.0.2.1".parse().unwrap(),
        "198.51.100.1".parse().unwrap(),
    );
    Sent {
        bytes: build::udp(&ip, 1000, 53, b"?"),
        ..Sent::default()
    }
}

#[test]
fn a_stop_leaves_the_gate_as_asked() {
    // What the command line says, what the asker says, whether something stays.
    let cases = [
        (OnStop::Open, None, false),
        (OnStop::Closed, None, true),
        (OnStop::Open, Some(OnStop::Closed), true),
        (OnStop::Closed, Some(OnStop::Open), false),
    ];
    for (on_stop, asked, stays) in cases {
        let running = running(on_stop);
        running.feed.send(packet()).unwrap();
        let judged = running.feed.receive(LONG).unwrap();
        assert_eq!(judged.verdict, Verdict::Accept);
        running.handle.tell(Event::Reload);
        running.handle.tell(Event::Stop(asked));
        running.thread.join().unwrap().unwrap();
        let installed = running.installed.load(Ordering::SeqCst);
        assert_eq!(installed, stays, "{on_stop:?} {asked:?}");
        assert!(
            running.feed.send(packet()).is_err(),
            "the backend is still there"
        );
    }
}

#[test]
fn a_worker_that_fails_leaves_the_gate_closed() {
    let running = running(OnStop::Open);
    // Its packets' source goes away.
    drop(running.feed);
    let error = running.thread.join().unwrap().unwrap_err();
    assert!(
        format!("{error:#}").contains("the backend failed"),
        "{error:#}"
    );
    assert!(running.installed.load(Ordering::SeqCst));
}
