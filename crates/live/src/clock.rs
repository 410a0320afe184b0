//! The time that packets are judged at.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use palisade_wire::Timestamp;

/// A clock that goes on evenly: the wall's time when it was made, and what has passed since. A wall clock that is set
/// does not end connections.
///
/// It stands still while the machine is suspended (`CLOCK_MONOTONIC`), as the kernel's connection tracking does, which counts
/// jiffies: after waking up, connections have as long to live as before. What needs the wall's time (`-m time`) is told how far
/// it is ahead ([`wall_ahead`](Self::wall_ahead)).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    epoch: Timestamp,
}

impl Clock {
    /// A clock that starts now, at the wall's time.
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Clock {
            start: Instant::now(),
            epoch: Timestamp::default() + since.unwrap_or_default(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed()
    }

    /// Nanoseconds that the wall's clock is ahead of this one now: what it was set by, and what was slept through.
    pub fn wall_ahead(&self) -> i64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = Timestamp::default() + wall.unwrap_or_default();
        let ahead = i128::from(wall.0) - i128::from(self.now().0);
        ahead.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}
