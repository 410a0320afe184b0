//! The registry, tried in every order in which threads can meet.

mod sync {
    pub(super) use loom::sync::RwLock;
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
}

#[path = "registry.rs"]
mod registry;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use registry::Registry;

/// A flow whose answers are steered while it begins.
const FLOW: u64 = 6;

#[test]
fn an_answer_never_misses_what_its_packet_registered() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        let wire = Arc::new(AtomicUsize::new(0));
        let sender = {
            let (registry, wire) = (Arc::clone(&registry), Arc::clone(&wire));
            thread::spawn(move || {
                registry.register(FLOW, 1);
                // The packet is let go.
                wire.store(1, Ordering::Release);
            })
        };
        let before = wire.load(Ordering::Acquire);
        let found = registry.find(FLOW);
        if before == 1 {
            assert_eq!(found, Some(1));
        }
        sender.join().expect("no panic");
        assert_eq!(registry.find(FLOW), Some(1));
    });
}

#[test]
fn others_that_come_and_go_hide_nothing() {
    loom::model(|| {
        let registry = Arc::new(Registry::new());
        registry.register(FLOW, 1);
        let others = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                registry.register(FLOW + 1, 2);
                registry.forget(FLOW + 1, 2);
                // Those of another shard are not ours to forget.
                registry.forget(FLOW, 2);
            })
        };
        assert_eq!(registry.find(FLOW), Some(1));
        others.join().expect("no panic");
        assert_eq!((registry.find(FLOW), registry.len()), (Some(1), 1));
        registry.register(FLOW, 3);
        assert_eq!((registry.find(FLOW), registry.len()), (Some(3), 1));
        registry.forget(FLOW, 3);
        assert_eq!((registry.find(FLOW), registry.len()), (None, 0));
    });
}
