//! limit: a bucket of credits that time refills (kernel `xt_limit.c`).

use palisade_rules::matches::limit::Limit;
use palisade_wire::Timestamp;

/// The kernel's clock: time in ticks of `HZ` a second. Debian's kernels tick 250 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jiffies {
    /// Ticks a second (`CONFIG_HZ`).
    pub hz: u32,
}

impl Default for Jiffies {
    fn default() -> Self {
        Jiffies { hz: 250 }
    }
}

impl Jiffies {
    /// A moment in ticks.
    pub fn of(self, now: Timestamp) -> u64 {
        (u128::from(now.0) * u128::from(self.hz) / 1_000_000_000) as u64
    }

    /// Credits that a tick is worth (kernel `CREDITS_PER_JIFFY`): the largest power of two that
    /// lets a day's worth of ticks fit into 32 bits.
    fn credits(self) -> u32 {
        let most = u32::MAX / (self.hz.max(1) * 60 * 60 * 24);
        1 << (31 - most.max(1).leading_zeros())
    }
}

#[derive(Clone, Debug)]
struct Bucket {
    credit: u64,
    cap: u64,
    cost: u64,
    /// Tick of the last look; `None` before the first, when the bucket is full.
    last: Option<u64>,
}

/// All buckets, one a rule.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    jiffies: Jiffies,
    buckets: Vec<Bucket>,
}

/// Kernel `XT_LIMIT_SCALE`.
const SCALE: u32 = 10_000;

impl Limits {
    /// Kernel `user2credits`, in 64 bits: what overflows 32 the legacy kernel refuses to load, and the nftables
    /// one counts right.
    fn credits(&self, user: u64) -> u64 {
        let per_second = u64::from(self.jiffies.hz) * u64::from(self.jiffies.credits());
        if user > u64::from(u32::MAX) / per_second.max(1) {
            user / u64::from(SCALE) * per_second
        } else {
            user * per_second / u64::from(SCALE)
        }
    }

    pub(crate) fn add(&mut self, limit: &Limit) -> u32 {
        let cap = self.credits(u64::from(limit.average) * u64::from(limit.burst));
        let cost = self.credits(u64::from(limit.average));
        self.buckets.push(Bucket {
            credit: cap,
            cap,
            cost,
            last: None,
        });
        (self.buckets.len() - 1) as u32
    }

    /// Goes on where another's bucket was left.
    pub(super) fn inherit(&mut self, to: u32, old: &Limits, from: u32) {
        let buckets = (
            self.buckets.get_mut(to as usize),
            old.buckets.get(from as usize),
        );
        if let (Some(bucket), Some(old)) = buckets {
            bucket.clone_from(old);
        }
    }

    /// Kernel `limit_mt`.
    pub(crate) fn take(&mut self, slot: u32, now: Timestamp) -> bool {
        let tick = self.jiffies.of(now);
        let worth = u64::from(self.jiffies.credits());
        let Some(bucket) = self.buckets.get_mut(slot as usize) else {
            return false;
        };
        let passed = tick.saturating_sub(bucket.last.unwrap_or(tick));
        bucket.last = Some(tick);
        let refilled = bucket.credit.saturating_add(passed.saturating_mul(worth));
        bucket.credit = refilled.min(bucket.cap);
        if bucket.credit >= bucket.cost {
            bucket.credit -= bucket.cost;
            true
        } else {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_a_period() {
        let mut limits = Limits::default();
        let slot = limits.add(&Limit {
            average: SCALE * 60 / 3, // 3/minute
            burst: 5,
        });
        let passes =
            |limits: &mut Limits, second: u64| limits.take(slot, Timestamp::new(second, 0));
        let first: Vec<bool> = (0..8).map(|_| passes(&mut limits, 0)).collect();
        assert_eq!(first, [true, true, true, true, true, false, false, false]);
        assert!(!passes(&mut limits, 19));
        assert!(passes(&mut limits, 20));
        assert!(!passes(&mut limits, 21));
    }
}
