//! The time that packets are judged at.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use palisade_wire::Timestamp;

/// A clock that goes on evenly: the wall's time when it was made, and what has passed since. A wall clock that is set
/// does not end connections.
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
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}
