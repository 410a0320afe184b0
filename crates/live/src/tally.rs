//! What a gate counts: packets and bytes by what became of them, and how long judging takes.
//!
//! # Locking
//! None: every count is one atomic word that guards nothing. A batch is counted at once, so that workers rarely meet at
//! a cache line.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use palisade_engine::conntrack::State;
use palisade_engine::{Judged, Verdict};

/// Verdicts, in the order of their counts.
pub const VERDICTS: [Verdict; 6] = [
    Verdict::Accept,
    Verdict::Drop,
    Verdict::Reject,
    Verdict::Stolen,
    Verdict::Queue,
    Verdict::Unknown,
];

/// States, in the order of their counts.
pub const STATES: [State; 5] = [
    State::New,
    State::Established,
    State::Related,
    State::Invalid,
    State::Untracked,
];

/// Packets and bytes of a batch, not yet added.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    verdicts: [[u64; 2]; VERDICTS.len()],
    states: [[u64; 2]; STATES.len()],
    packets: u64,
}

impl Counted {
    /// Counts a packet of `bytes` bytes.
    pub(crate) fn add(&mut self, judged: &Judged, bytes: usize) {
        let verdict = &mut self.verdicts[judged.verdict as usize];
        let bytes = bytes as u64;
        verdict[0] += 1;
        verdict[1] += bytes;
        if let Some(state) = judged.state {
            let state = &mut self.states[state as usize];
            state[0] += 1;
            state[1] += bytes;
        }
        self.packets += 1;
    }
}

/// Packets and bytes.
#[derive(Debug, Default)]
struct Count([AtomicU64; 2]);

impl Count {
    fn add(&self, [packets, bytes]: [u64; 2]) {
        if packets > 0 {
            self.0[0].fetch_add(packets, Relaxed);
            self.0[1].fetch_add(bytes, Relaxed);
        }
    }

    fn read(&self) -> (u64, u64) {
        (self.0[0].load(Relaxed), self.0[1].load(Relaxed))
    }
}

/// Packets and bytes by what became of them.
#[derive(Debug, Default)]
pub struct Tally {
    verdicts: [Count; VERDICTS.len()],
    states: [Count; STATES.len()],
    batches: Histogram,
    packets: Histogram,
    panics: AtomicU64,
    lost: AtomicU64,
}

impl Tally {
    /// Adds a batch that took `took` to judge.
    pub(crate) fn add(&self, counted: &Counted, took: Duration) {
        for (all, one) in self.verdicts.iter().zip(counted.verdicts) {
            all.add(one);
        }
        for (all, one) in self.states.iter().zip(counted.states) {
            all.add(one);
        }
        self.batches.add(took, 1);
        if let Some(each) = took.as_nanos().checked_div(counted.packets.into()) {
            let each = Duration::from_nanos(u64::try_from(each).unwrap_or(u64::MAX));
            self.packets.add(each, counted.packets);
        }
    }

    /// Adds a panic, by which `lost` packets were dropped without being judged.
    pub(crate) fn panicked(&self, lost: usize) {
        self.panics.fetch_add(1, Relaxed);
        self.lost.fetch_add(lost as u64, Relaxed);
    }

    /// Packets and bytes with a verdict so far.
    pub fn of(&self, verdict: Verdict) -> (u64, u64) {
        self.verdicts[verdict as usize].read()
    }

    /// Packets and bytes in a state so far; a packet that never came to connection tracking has none.
    pub fn in_state(&self, state: State) -> (u64, u64) {
        self.states[state as usize].read()
    }

    /// How long batches took, the wait for the engine left out.
    pub fn batches(&self) -> &Histogram {
        &self.batches
    }

    /// How long packets took: the time of their batch, divided evenly.
    pub fn packets(&self) -> &Histogram {
        &self.packets
    }

    /// Panics of workers that were caught.
    pub fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// Packets dropped because a panic left them without a verdict.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// Buckets of a histogram.
pub const BUCKETS: usize = 24;

/// The upper bound of the first bucket is 2 to the power of this many nanoseconds.
const FIRST: u32 = 6;

/// Times by powers of two: up to 64 ns, 128 ns, … 0.5 s, and longer.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    longer: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts `times` that took `took` each.
    pub fn add(&self, took: Duration, times: u64) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let power = u64::BITS - nanoseconds.saturating_sub(1).leading_zeros();
        let bucket = power.saturating_sub(FIRST) as usize;
        let bucket = self.buckets.get(bucket).unwrap_or(&self.longer);
        bucket.fetch_add(times, Relaxed);
        self.nanoseconds
            .fetch_add(nanoseconds.saturating_mul(times), Relaxed);
    }

    /// Upper bounds of the buckets, each with how many took no longer; all of them; and their sum.
    pub fn read(&self) -> (Vec<(Duration, u64)>, u64, Duration) {
        let mut count = 0;
        let buckets = (FIRST..).zip(&self.buckets).map(|(power, bucket)| {
            count += bucket.load(Relaxed);
            (Duration::from_nanos(1 << power), count)
        });
        let buckets = buckets.collect();
        let sum = Duration::from_nanos(self.nanoseconds.load(Relaxed));
        (buckets, count + self.longer.load(Relaxed), sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_enums() {
        for (at, verdict) in VERDICTS.into_iter().enumerate() {
            assert_eq!(verdict as usize, at);
        }
        for (at, state) in STATES.into_iter().enumerate() {
            assert_eq!(state as usize, at);
        }
    }

    #[test]
    fn times_are_in_the_first_bucket_that_holds_them() {
        let cases = [
            (0, 64),
            (64, 64),
            (65, 128),
            (1000, 1024),
            (1024, 1024),
            (1025, 2048),
        ];
        for (took, bound) in cases {
            let histogram = Histogram::default();
            histogram.add(Duration::from_nanos(took), 3);
            let (buckets, count, sum) = histogram.read();
            assert_eq!((count, sum), (3, Duration::from_nanos(3 * took)));
            for (upper, within) in buckets {
                let holds = upper >= Duration::from_nanos(bound);
                assert_eq!(within, if holds { 3 } else { 0 }, "{took} ns, {upper:?}");
            }
        }
        let histogram = Histogram::default();
        histogram.add(Duration::from_secs(3), 1);
        let (buckets, count, _) = histogram.read();
        assert!(buckets.iter().all(|(_, within)| *within == 0));
        assert_eq!(count, 1);
        assert_eq!(buckets.last().unwrap().0, Duration::from_nanos(1 << 29));
    }
}
