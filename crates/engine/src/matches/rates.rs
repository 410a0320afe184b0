//! rateest and RATEEST: estimated rates (kernel `xt_rateest.c`, `xt_RATEEST.c`, `gen_estimator.c`).
//!
//! # Overview
//! An estimator has a name, and all rules of both families that name it share it. Every so often it takes what
//! came since the last time into an average that forgets.
//! # Life cycle
//! It begins with the first packet that a rule asks or tells it about: when the rules were loaded, nobody knows.
//! # Bounds
//! One a name. After a pause it catches up at most 100,000 intervals (seven hours of the shortest ones); of what
//! averages still change by then, the rest of the pause is left out.
//! # Locking
//! None: owned by the engine.

use std::collections::HashMap;

use palisade_rules::matches::rateest::Rateest;
use palisade_rules::targets::rateest::Rateest as Feed;
use palisade_wire::Timestamp;

use super::limit::Jiffies;

const CATCH_UP: u32 = 100_000;

/// Kernel `struct net_rate_estimator`.
#[derive(Clone, Debug)]
struct Estimator {
    interval: u8,
    ewma_log: u8,
    bytes: Average,
    packets: Average,
    /// Tick of the next measurement.
    next: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Average {
    total: u64,
    measured: u64,
    /// The rate, times 256.
    average: u64,
}

impl Average {
    /// Kernel `est_timer`. Whether a later measurement may still change something though nothing comes.
    fn measure(&mut self, interval: u8, ewma_log: u8) -> bool {
        let came = self.total.wrapping_sub(self.measured) << (10 - interval.min(10));
        let change = (came >> ewma_log).wrapping_sub(self.average >> ewma_log);
        self.average = self.average.wrapping_add(change);
        self.measured = self.total;
        self.average >> ewma_log != 0
    }
}

impl Estimator {
    fn advance(&mut self, tick: u64, hz: u32) {
        let interval = u64::from(hz / 4).max(1) << self.interval.min(10);
        let next = self.next.get_or_insert(tick + interval);
        for _ in 0..CATCH_UP {
            if *next > tick {
                return;
            }
            let (i, e) = (self.interval, self.ewma_log);
            let moving = self.bytes.measure(i, e) | self.packets.measure(i, e);
            *next += interval;
            if !moving {
                break;
            }
        }
        if *next <= tick {
            *next += (tick - *next) / interval * interval + interval;
        }
    }
}

/// All estimators.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimators {
    jiffies: Jiffies,
    all: HashMap<String, Estimator>,
}

impl Estimators {
    /// The estimator that a RATEEST rule feeds; whether it is the same as other rules know by its name.
    pub(crate) fn add(&mut self, rule: &Feed) -> bool {
        let estimator = self.all.entry(rule.name.clone()).or_insert(Estimator {
            interval: rule.interval,
            ewma_log: rule.ewma_log,
            bytes: Average::default(),
            packets: Average::default(),
            next: None,
        });
        (estimator.interval, estimator.ewma_log) == (rule.interval, rule.ewma_log)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// Estimators of names that these, too, have go on.
    pub(super) fn adopt(&mut self, old: &mut Estimators) {
        for (name, estimator) in &mut self.all {
            if let Some(old) = old.all.get_mut(name)
                && (estimator.interval, estimator.ewma_log) == (old.interval, old.ewma_log)
            {
                std::mem::swap(estimator, old);
            }
        }
    }

    /// Kernel `xt_rateest_tg`.
    pub(crate) fn feed(&mut self, name: &str, length: u64, now: Timestamp) {
        let tick = self.jiffies.of(now);
        if let Some(estimator) = self.all.get_mut(name) {
            estimator.advance(tick, self.jiffies.hz);
            estimator.bytes.total = estimator.bytes.total.wrapping_add(length);
            estimator.packets.total = estimator.packets.total.wrapping_add(1);
        }
    }

    /// Bytes and packets a second.
    fn read(&mut self, name: &str, now: Timestamp) -> (u64, u64) {
        let tick = self.jiffies.of(now);
        let Some(estimator) = self.all.get_mut(name) else {
            return (0, 0);
        };
        estimator.advance(tick, self.jiffies.hz);
        (estimator.bytes.average >> 8, estimator.packets.average >> 8)
    }

    /// Kernel `xt_rateest_mt`: of bytes and packets, both must compare as wanted.
    pub(crate) fn compare(&mut self, rule: &Rateest, now: Timestamp) -> bool {
        let of = |rate: Option<(u32, u32)>| rate.map_or((0, 0), |(a, b)| (a.into(), b.into()));
        let (bytes, packets): ((u64, u64), (u64, u64)) = (of(rule.bytes), of(rule.packets));
        let left = |rate: u64, estimated: u64| match rule.delta {
            true => rate.saturating_sub(estimated),
            false => estimated,
        };
        let here = self.read(&rule.name, now);
        let first = (left(bytes.0, here.0), left(packets.0, here.1));
        let second = match &rule.other {
            Some(name) => {
                let there = self.read(name, now);
                (left(bytes.1, there.0), left(packets.1, there.1))
            }
            None => (bytes.1, packets.1),
        };
        let fits = |a: u64, b: u64| -> bool { a.cmp(&b) == rule.order.value };
        let plain = (rule.bytes.is_none() || fits(first.0, second.0))
            && (rule.packets.is_none() || fits(first.1, second.1));
        rule.order.apply(plain)
    }
}
