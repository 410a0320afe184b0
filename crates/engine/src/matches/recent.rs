//! recent: lists of addresses with the moments at which they were seen (kernel `xt_recent.c`).
//!
//! # Overview
//! A list has a name and is shared by all rules that name it, of both families.
//! # Life cycle
//! An entry is made by `--set`, renewed by `--set` and a matching `--update`, removed by `--remove`,
//! by `--reap`, or when the list is full and it is the one least recently renewed.
//! # Bounds
//! 100 entries a list (`ip_list_tot`), at most 65,536 moments an entry, by the rules' largest `--hitcount`.
//! # Locking
//! None: owned by the engine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_rules::matches::recent::{Action, Recent};
use palisade_wire::{Packet, Timestamp};

use super::limit::Jiffies;
use super::side_address;

/// Entries of a list (module option `ip_list_tot`).
const LIST_ENTRIES: usize = 100;

/// Moments remembered at least (module option `ip_pkt_list_tot` is 0 today, which gives 32).
const DEFAULT_STAMPS: u32 = 32;

#[derive(Clone, Debug)]
struct Entry {
    address: IpAddr,
    ttl: u8,
    /// Ring of moments, in ticks.
    stamps: Vec<u64>,
    /// Where the next moment goes, before it is wrapped.
    index: usize,
}

#[derive(Clone, Debug)]
struct List {
    name: String,
    mask: IpAddr,
    /// Ring size less one.
    stamp_mask: usize,
    /// Least recently renewed first.
    entries: Vec<Entry>,
}

impl List {
    /// Has room for so many moments an entry; what was remembered with less is forgotten (kernel `recent_mt_check`).
    fn remember(&mut self, stamp_mask: usize) {
        if stamp_mask > self.stamp_mask {
            self.entries.clear();
            self.stamp_mask = stamp_mask;
        }
    }
}

/// All lists.
#[derive(Clone, Debug, Default)]
pub struct RecentLists {
    jiffies: Jiffies,
    lists: Vec<List>,
    names: HashMap<String, u32>,
}

impl RecentLists {
    /// The list that a rule names, made by the first rule (kernel `recent_mt_check`).
    pub(crate) fn list(&mut self, rule: &Recent) -> u32 {
        let hits = rule.hitcount.unwrap_or(0);
        let stamp_mask = if hits == 0 {
            DEFAULT_STAMPS - 1
        } else {
            hits.min(1 << 16).next_power_of_two() - 1
        } as usize;
        if let Some(&slot) = self.names.get(&rule.name) {
            self.lists[slot as usize].remember(stamp_mask);
            return slot;
        }
        let slot = self.lists.len() as u32;
        self.lists.push(List {
            name: rule.name.clone(),
            mask: rule.mask,
            stamp_mask,
            entries: Vec::new(),
        });
        self.names.insert(rule.name.clone(), slot);
        slot
    }

    /// Lists of names that these, too, have go on; what they are made like is their first rule's matter for good.
    pub(super) fn adopt(&mut self, old: &mut RecentLists) {
        for list in &mut self.lists {
            let Some(slot) = old.names.get(&list.name) else {
                continue;
            };
            if let Some(old) = old.lists.get_mut(*slot as usize) {
                let stamp_mask = list.stamp_mask;
                std::mem::swap(list, old);
                list.remember(stamp_mask);
            }
        }
    }

    /// Kernel `recent_mt`.
    pub(crate) fn check(
        &mut self,
        slot: u32,
        rule: &Recent,
        packet: &Packet<'_>,
        leaving: bool,
        now: Timestamp,
    ) -> bool {
        let tick = self.jiffies.of(now);
        let hz = u64::from(self.jiffies.hz);
        let Some(list) = self.lists.get_mut(slot as usize) else {
            return rule.negated;
        };
        let address = masked(side_address(rule.side, packet), list.mask);
        // The kernel wants the TTL from before forwarding lowered it.
        let ttl = packet.ttl().wrapping_add(u8::from(leaving));
        let wanted = if rule.rttl { ttl } else { 0 };
        let mut result = rule.negated;
        let found = list
            .entries
            .iter()
            .position(|e| e.address == address && (wanted == e.ttl || wanted == 0 || e.ttl == 0));
        let Some(mut at) = found else {
            if rule.action == Action::Set {
                if list.entries.len() >= LIST_ENTRIES {
                    list.entries.remove(0);
                }
                list.entries.push(Entry {
                    address,
                    ttl,
                    stamps: vec![tick],
                    index: 1,
                });
                result = !result;
            }
            return result;
        };
        match rule.action {
            Action::Set => result = !result,
            Action::Remove => {
                list.entries.remove(at);
                return !result;
            }
            Action::Check | Action::Update => {
                let span = u64::from(rule.seconds.unwrap_or(0)) * hz;
                let since = tick.saturating_sub(span);
                let mut hits = 0;
                for &stamp in &list.entries[at].stamps {
                    if span != 0 && since > stamp {
                        continue;
                    }
                    hits += 1;
                    if hits >= rule.hitcount.unwrap_or(0) {
                        result = !result;
                        break;
                    }
                }
                if rule.reap {
                    let keep_working = rule.action == Action::Update && result;
                    let oldest = &list.entries[0];
                    let last = oldest
                        .stamps
                        .get(oldest.index.wrapping_sub(1))
                        .copied()
                        .unwrap_or(0);
                    if !(at == 0 && keep_working) && since > last {
                        list.entries.remove(0);
                        if at == 0 {
                            return result;
                        }
                        at -= 1;
                    }
                }
            }
        }
        if rule.action == Action::Set || (rule.action == Action::Update && result) {
            let mut entry = list.entries.remove(at);
            entry.index &= list.stamp_mask;
            if entry.index < entry.stamps.len() {
                entry.stamps[entry.index] = tick;
            } else {
                entry.stamps.push(tick);
            }
            entry.index += 1;
            entry.ttl = ttl;
            list.entries.push(entry);
        }
        result
    }

    /// Names, and for each entry the address and the number of moments remembered.
    pub fn contents(&self) -> impl Iterator<Item = (&str, Vec<(IpAddr, usize)>)> {
        self.lists.iter().map(|l| {
            let entries = l
                .entries
                .iter()
                .map(|e| (e.address, e.stamps.len()))
                .collect();
            (l.name.as_str(), entries)
        })
    }
}

fn masked(address: IpAddr, mask: IpAddr) -> IpAddr {
    match (address, mask) {
        (IpAddr::V4(a), IpAddr::V4(m)) => IpAddr::V4(Ipv4Addr::from(u32::from(a) & u32::from(m))),
        (IpAddr::V6(a), IpAddr::V6(m)) => IpAddr::V6(Ipv6Addr::from(u128::from(a) & u128::from(m))),
        // A list made by a rule of the other family: its mask is that family's, taken bit by bit.
        (a, _) => a,
    }
}
