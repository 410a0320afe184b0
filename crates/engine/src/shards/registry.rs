//! Flows that live in another shard than the one they are at home in.
//!
//! # Overview
//! A flow's hash, keyed by a secret and of 64 bits, stands for the flow. Where nothing is registered, as it is where
//! nothing is translated or expected, a look costs one load of a word that nobody writes.
//!
//! # Locking
//! Stripes by the hash; a look reads one of them.

use std::collections::HashMap;

use super::sync::{AtomicUsize, Ordering::Relaxed, RwLock};

/// Parts with a lock of their own.
const STRIPES: usize = 64;

#[derive(Debug)]
#[repr(align(64))]
struct Stripe(RwLock<HashMap<u64, usize>>);

/// Which shard such a flow lives in.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Flows that are registered, counted before they can be found and until they cannot any longer.
    count: AtomicUsize,
    stripes: Box<[Stripe]>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Registry {
            count: AtomicUsize::new(0),
            stripes: (0..STRIPES)
                .map(|_| Stripe(RwLock::new(HashMap::new())))
                .collect(),
        }
    }

    /// Where a flow lives, if it is registered.
    #[inline]
    pub(crate) fn find(&self, flow: u64) -> Option<usize> {
        // Whoever has a packet that an earlier one made has it from a thread that registered before it let that go.
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        let flows = self.stripe(flow).0.read();
        let flows = flows.unwrap_or_else(|poisoned| poisoned.into_inner());
        flows.get(&flow).copied()
    }

    /// From now on a flow lives in a shard.
    pub(crate) fn register(&self, flow: u64, shard: usize) {
        self.count.fetch_add(1, Relaxed);
        let flows = self.stripe(flow).0.write();
        let mut flows = flows.unwrap_or_else(|poisoned| poisoned.into_inner());
        if flows.insert(flow, shard).is_some() {
            self.count.fetch_sub(1, Relaxed);
        }
    }

    /// A flow no longer lives in a shard.
    pub(crate) fn forget(&self, flow: u64, shard: usize) {
        let flows = self.stripe(flow).0.write();
        let mut flows = flows.unwrap_or_else(|poisoned| poisoned.into_inner());
        if flows.get(&flow) == Some(&shard) {
            flows.remove(&flow);
            self.count.fetch_sub(1, Relaxed);
        }
    }

    /// Flows that are registered.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn stripe(&self, flow: u64) -> &Stripe {
        &self.stripes[flow as usize % STRIPES]
    }
}
