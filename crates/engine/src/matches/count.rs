//! statistic, quota and nfacct: numbers that rules go by (kernel `xt_statistic.c`, `xt_quota.c`, `xt_nfacct.c`).
//!
//! # Bounds
//! A number a rule, an object a name. Draws that were said beforehand are kept until they are used.

use std::collections::{HashMap, VecDeque};

use palisade_rules::matches::statistic::{Choice, Statistic};

/// What a rule counts, one a rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Vec<u64>);

impl Counts {
    pub(super) fn add(&mut self, number: u64) -> u32 {
        self.0.push(number);
        (self.0.len() - 1) as u32
    }

    /// Where the count of a `statistic` rule begins: it matches when it comes to 0 again.
    pub(super) fn begin(rule: &Statistic) -> u64 {
        match rule.0.value {
            Choice::Nth { every, packet } => {
                u64::from(every.saturating_sub(1).saturating_sub(packet))
            }
            Choice::Random(_) => 0,
        }
    }

    /// Goes on where another's count was left.
    pub(super) fn inherit(&mut self, to: u32, old: &Counts, from: u32) {
        if let (Some(count), Some(old)) = (self.0.get_mut(to as usize), old.0.get(from as usize)) {
            *count = *old;
        }
    }

    /// Kernel `statistic_mt`, mode `nth`.
    pub(super) fn nth(&mut self, slot: u32, every: u32) -> bool {
        let Some(count) = self.0.get_mut(slot as usize) else {
            return false;
        };
        *count = if *count + 1 >= u64::from(every) {
            0
        } else {
            *count + 1
        };
        *count == 0
    }

    /// Kernel `quota_mt`, without its negation: a packet that is too large uses up what is left.
    pub(super) fn spend(&mut self, slot: u32, length: u64) -> bool {
        let Some(left) = self.0.get_mut(slot as usize) else {
            return false;
        };
        let enough = *left >= length;
        *left = if enough { *left - length } else { 0 };
        enough
    }
}

/// Chance of `statistic --mode random`: the same seed draws the same, and single draws can be said beforehand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draws {
    state: u64,
    said: VecDeque<u32>,
}

impl Draws {
    pub(crate) fn new(seed: (u64, u64)) -> Self {
        Draws {
            state: seed.1 ^ seed.0.rotate_left(17),
            said: VecDeque::new(),
        }
    }

    pub(crate) fn say(&mut self, draws: impl IntoIterator<Item = u32>) {
        self.said.extend(draws);
    }

    /// Kernel `statistic_mt`, mode `random`.
    pub(super) fn hits(&mut self, chance: u32) -> bool {
        let draw = self.said.pop_front().unwrap_or_else(|| {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 32) as u32
        });
        draw & 0x7fff_ffff < chance
    }
}

/// A limit of an accounting object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountQuota {
    /// So many packets.
    Packets(u64),
    /// So many bytes.
    Bytes(u64),
}

/// An accounting object (`nfacct`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Account {
    /// Name.
    pub name: String,
    /// Packets counted.
    pub packets: u64,
    /// Bytes counted, by IP length.
    pub bytes: u64,
    /// What rules wait for, if there is anything.
    pub quota: Option<AccountQuota>,
}

/// All accounting objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    all: Vec<Account>,
    names: HashMap<String, u32>,
}

impl Accounts {
    /// An object as the host has it; the first of a name counts.
    pub(crate) fn add(&mut self, account: &Account) {
        let slot = self.find(&account.name);
        if let Some(there) = self.all.get_mut(slot as usize) {
            *there = account.clone();
        }
    }

    /// The object of a name; one that nobody made has no quota.
    pub(super) fn find(&mut self, name: &str) -> u32 {
        if let Some(slot) = self.names.get(name) {
            return *slot;
        }
        let slot = self.all.len() as u32;
        self.all.push(Account {
            name: name.to_string(),
            ..Account::default()
        });
        self.names.insert(name.to_string(), slot);
        slot
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.all.iter()
    }

    /// Kernel `nfacct_mt`: matches when there is no quota, or when it is exceeded.
    pub(super) fn count(&mut self, slot: u32, length: u64) -> bool {
        let Some(account) = self.all.get_mut(slot as usize) else {
            return false;
        };
        account.packets = account.packets.wrapping_add(1);
        account.bytes = account.bytes.wrapping_add(length);
        match account.quota {
            None => true,
            Some(AccountQuota::Packets(quota)) => account.packets > quota,
            Some(AccountQuota::Bytes(quota)) => account.bytes > quota,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nth_begins_at_its_packet_and_comes_round() {
        for (every, packet, hits) in [
            (3, 0, "#..#..#"),
            (3, 1, ".#..#.."),
            (3, 2, "..#..#."),
            (1, 0, "#######"),
        ] {
            let rule = Statistic(palisade_rules::Not {
                negated: false,
                value: Choice::Nth { every, packet },
            });
            let mut counts = Counts::default();
            let slot = counts.add(Counts::begin(&rule));
            let seen: String = (0..7)
                .map(|_| if counts.nth(slot, every) { '#' } else { '.' })
                .collect();
            assert_eq!(seen, hits, "{every} {packet}");
        }
    }

    #[test]
    fn a_packet_too_large_uses_up_the_quota_for_small_ones() {
        let mut counts = Counts::default();
        let slot = counts.add(100);
        let lengths = [40, 60, 1];
        assert_eq!(lengths.map(|n| counts.spend(slot, n)), [true, true, false]);
        let slot = counts.add(100);
        let lengths = [40, 61, 1, 0];
        assert_eq!(
            lengths.map(|n| counts.spend(slot, n)),
            [true, false, false, true]
        );
    }

    #[test]
    fn draws_that_were_said_come_first_and_count_by_31_bits() {
        let mut draws = Draws::new((1, 2));
        draws.say([0, 0x7fff_ffff, 0x8000_0000]);
        let half = 1 << 30;
        assert_eq!([half; 3].map(|c| draws.hits(c)), [true, false, true]);
        assert!((0..1000).all(|_| draws.hits(1 << 31)));
        assert!((0..1000).all(|_| !draws.hits(0)));
        let hits = (0..10_000).filter(|_| draws.hits(half)).count();
        assert!((4700..5300).contains(&hits), "{hits}");
    }

    #[test]
    fn an_account_matches_once_its_quota_is_exceeded_and_not_when_it_is_met() {
        let mut accounts = Accounts::default();
        accounts.add(&Account {
            name: "a".into(),
            quota: Some(AccountQuota::Packets(2)),
            ..Account::default()
        });
        let (a, b) = (accounts.find("a"), accounts.find("b"));
        let seen = [a, a, a, b].map(|slot| accounts.count(slot, 100));
        assert_eq!(seen, [false, false, true, true]);
        let counted: Vec<u64> = accounts.iter().map(|a| a.bytes).collect();
        assert_eq!(counted, [300, 100]);
    }
}
