//! The time that this thread had a processor: on a quiet machine that which passed, on a busy one what would have.

use std::time::{Duration, Instant};

/// Time from a moment on.
pub struct Stopwatch {
    passed: Instant,
    worked: Option<Duration>,
}

impl Stopwatch {
    /// From now on.
    pub fn start() -> Self {
        Stopwatch {
            passed: Instant::now(),
            worked: worked(),
        }
    }

    /// What this thread worked since, in the kernel too (new memory comes from there); where the system does not
    /// say, what passed.
    pub fn elapsed(&self) -> Duration {
        match self.worked.zip(worked()) {
            Some((before, now)) => now.saturating_sub(before),
            None => self.passed.elapsed(),
        }
    }
}

/// The thread's own clock.
#[cfg(target_os = "linux")]
fn worked() -> Option<Duration> {
    use nix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok()?;
    Some(time.into())
}

/// Threads have no clock here.
#[cfg(not(target_os = "linux"))]
fn worked() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_while_there_is_work() {
        let watch = Stopwatch::start();
        let mut before = watch.elapsed();
        // However coarse the clock is, work moves it.
        for _ in 0..3 {
            let now = std::iter::repeat_with(|| watch.elapsed()).find(|now| *now > before);
            before = now.unwrap_or_default();
        }
        assert!(before > Duration::ZERO);
    }
}
