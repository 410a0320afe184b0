//! What rules log, on its way out of the engine: so much a second, without waiting.
//!
//! # Bounds
//! A [`Drain`] lets `rate` events a second through, saved up for one second. What exceeds that is counted as suppressed; what the
//! taker of the [`Outlet`] is too slow for is counted as dropped.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::spool::{Outlet, Spool, spool};

/// Nanoseconds of a second: what an event costs is this divided by the rate.
const SECOND: u64 = 1_000_000_000;

/// Takes events from workers.
#[derive(Debug)]
pub struct Drain<T> {
    spool: Spool<T>,
    /// Nanoseconds of credit that an event costs; 0: nothing.
    cost: u64,
    credit: Mutex<Credit>,
    suppressed: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Credit {
    nanoseconds: u64,
    at: Instant,
}

impl<T> Drain<T> {
    /// A drain for `rate` events a second, 0 for any number, of which `waiting` may wait to be taken.
    pub fn new(rate: u32, waiting: usize) -> (Self, Outlet<T>) {
        let (spool, outlet) = spool(waiting);
        let drain = Drain {
            spool,
            cost: SECOND.checked_div(rate.into()).unwrap_or(0),
            credit: Mutex::new(Credit {
                nanoseconds: SECOND,
                at: Instant::now(),
            }),
            suppressed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        };
        (drain, outlet)
    }

    /// Hands events on, as far as the rate allows.
    pub fn put(&self, events: impl IntoIterator<Item = T>, now: Instant) {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(credit.at).as_nanos();
        let passed = u64::try_from(passed).unwrap_or(SECOND);
        credit.nanoseconds = credit.nanoseconds.saturating_add(passed).min(SECOND);
        credit.at = credit.at.max(now);
        for event in events {
            match credit.nanoseconds.checked_sub(self.cost) {
                Some(left) => {
                    credit.nanoseconds = left;
                    self.spool.put(event);
                }
                None => {
                    self.suppressed.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// Counts events that did not come as far as here, for want of room.
    pub fn lost(&self, events: u64) {
        self.lost.fetch_add(events, Relaxed);
    }

    /// Events that were too many for the rate.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    /// Events that there was no room for: the taker was too slow, or a batch had too many.
    pub fn dropped(&self) -> u64 {
        self.spool.dropped() + self.lost.load(Relaxed)
    }

    /// Says that nothing more comes.
    pub fn end(&self) {
        self.spool.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn so_many_a_second_and_the_rest_is_counted() {
        let (drain, outlet) = Drain::new(10, 100);
        let begin = Instant::now();
        drain.put(0..25, begin);
        assert_eq!(
            outlet.rest().collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
        assert_eq!(drain.suppressed(), 15);
        drain.put(25..30, begin + Duration::from_millis(250));
        assert_eq!(outlet.rest().collect::<Vec<_>>(), [25, 26]);
        // No more than a second's are saved up, and no moment counts twice.
        drain.put(0..20, begin + Duration::from_secs(60));
        drain.put(20..30, begin + Duration::from_secs(30));
        assert_eq!(outlet.rest().count(), 10);
        assert_eq!((drain.suppressed(), drain.dropped()), (15 + 3 + 20, 0));
    }

    #[test]
    fn without_a_rate_only_room_counts() {
        let (drain, outlet) = Drain::new(0, 3);
        drain.put(0..5, Instant::now());
        assert_eq!(outlet.rest().count(), 3);
        assert_eq!((drain.suppressed(), drain.dropped()), (0, 2));
    }
}
