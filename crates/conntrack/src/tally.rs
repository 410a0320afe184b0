//! What tables that are one table together count together: their entries, and the numbers given to them.
//!
//! # Locking
//! None is needed: every count is one atomic word, and none of them guards other memory.

use super::sync::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Entries of all tables, and what numbers they have.
#[derive(Debug)]
pub struct Tally {
    live: AtomicUsize,
    peak: AtomicUsize,
    number: AtomicU64,
}

impl Tally {
    /// No entries; the first one gets number 1.
    pub fn new() -> Self {
        Tally {
            live: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            number: AtomicU64::new(0),
        }
    }

    /// Counts an entry, unless there are `max` already; 0 is no bound.
    pub fn enter(&self, max: usize) -> bool {
        let mut live = self.live.load(Relaxed);
        loop {
            if max != 0 && live >= max {
                return false;
            }
            match self
                .live
                .compare_exchange_weak(live, live + 1, Relaxed, Relaxed)
            {
                Ok(_) => break,
                Err(now) => live = now,
            }
        }
        if live + 1 > self.peak.load(Relaxed) {
            self.peak.fetch_max(live + 1, Relaxed);
        }
        true
    }

    /// An entry is gone.
    pub fn leave(&self) {
        self.live.fetch_sub(1, Relaxed);
    }

    /// The next number.
    pub fn number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed) + 1
    }

    /// Entries.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// Most entries at a time.
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Tally::new()
    }
}
