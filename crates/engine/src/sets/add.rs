//! What `-j SET` does to sets (kernel `ip_set_add`, `ip_set_del`).

use palisade_rules::ipset::{Entry, Kind, SkbInfo};

use super::key::{Key, key};
use super::set::{Set, Slot};
use super::{Flags, Look, Sets};
use crate::matches::ip_length;

/// Interfaces that one network of a hash:net,iface can stand with (kernel `AHASH_MAX_TUNED`).
const MOST_INTERFACES: usize = 64;

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Done.
    Yes,
    /// It was there already, or was not there.
    No,
    /// The packet gives the set no element: another family, too few flags, out of range, a fragment without ports.
    NoElement,
    /// The set is full.
    Full,
}

/// What a rule gives what it adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addition {
    pub(crate) exist: bool,
    /// Seconds; `None`: as the set has it.
    pub(crate) timeout: Option<u32>,
}

/// Seconds that an element can live (kernel `IPSET_MAX_TIMEOUT`).
const MOST_SECONDS: u32 = 2_147_483;

fn expiry(timeout: u32, tick: u64, hz: u64) -> Option<u64> {
    (timeout > 0).then(|| tick + u64::from(timeout) * hz)
}

impl Set {
    /// Whether the set is of the packet's family, and the rule gave flags enough.
    pub(super) fn takes(&self, look: &Look<'_>, flags: Flags) -> bool {
        flags.count >= self.model.kind.dimension()
            && self.model.family.is_none_or(|f| f == look.family())
    }

    /// The hardware address of a packet completes an element of bitmap:ip,mac; its time starts.
    pub(super) fn complete(&mut self, key: &Key, bytes: u64, tick: u64, hz: u64) {
        let Some(slot) = self.slot(&key.element) else {
            return;
        };
        slot.entry.mac = Some(key.mac);
        (slot.entry.packets, slot.entry.bytes) = (1, bytes);
        slot.entry.skb = SkbInfo::default();
        let expires = expiry(slot.entry.timeout, tick, hz);
        self.set_expiry(&key.element, expires);
    }

    fn add(&mut self, key: &Key, addition: Addition, bytes: u64, tick: u64, hz: u64) -> Changed {
        self.reap(tick);
        let with_timeout = self.model.options.timeout;
        let timeout =
            with_timeout.map_or(0, |own| addition.timeout.unwrap_or(own).min(MOST_SECONDS));
        if let Some(own) = self.find(&key.element) {
            let learns = self.model.kind == Kind::BitmapIpMac;
            let Some(slot) = self.slot(&own) else {
                return Changed::No;
            };
            if learns && slot.entry.mac.is_none() {
                if addition.timeout.is_some_and(|t| Some(t) != with_timeout) {
                    slot.entry.timeout = timeout;
                }
                self.complete(key, bytes, tick, hz);
                return Changed::Yes;
            }
            let slot = match self.slot(&own) {
                Some(slot) if addition.exist => slot,
                _ => return Changed::No,
            };
            let entry = &mut slot.entry;
            entry.nomatch = false;
            (entry.packets, entry.bytes) = (1, bytes);
            entry.skb = SkbInfo::default();
            entry.timeout = timeout;
            if entry.mac.is_some() {
                entry.mac = Some(key.mac);
            }
            self.set_expiry(&own, expiry(timeout, tick, hz));
            return Changed::Yes;
        }
        let net = (key.element.address, key.element.prefix);
        if self
            .nets
            .get(&net)
            .is_some_and(|all| all.len() >= MOST_INTERFACES)
        {
            return Changed::Full;
        }
        if self.model.kind.is_hash() && self.len >= self.model.options.maxelem as usize {
            if !self.model.options.forceadd || self.len == 0 {
                return Changed::Full;
            }
            self.give_up();
        }
        let slot = Slot {
            entry: Entry {
                mac: (self.model.kind == Kind::BitmapIpMac).then_some(key.mac),
                timeout,
                packets: 1,
                bytes,
                ..Entry::default()
            },
            expires: expiry(timeout, tick, hz),
        };
        self.insert(key.element, slot);
        Changed::Yes
    }

    fn delete(&mut self, key: &Key, tick: u64) -> Changed {
        match self.remove(&key.element) {
            Some(slot) if !slot.gone(tick) => Changed::Yes,
            _ => Changed::No,
        }
    }
}

impl Sets {
    /// Adds what a packet is to a set.
    pub(crate) fn add(
        &mut self,
        number: u32,
        look: &Look<'_>,
        flags: Flags,
        addition: Addition,
    ) -> Changed {
        let tick = self.tick(look.now);
        let hz = u64::from(self.jiffies.hz);
        let bytes = ip_length(look.packet) as u64;
        self.change(number, look, flags, tick, &mut |set, key| {
            set.add(key, addition, bytes, tick, hz)
        })
    }

    /// Deletes what a packet is from a set.
    pub(crate) fn delete(&mut self, number: u32, look: &Look<'_>, flags: Flags) -> Changed {
        let tick = self.tick(look.now);
        self.change(number, look, flags, tick, &mut |set, key| {
            set.delete(key, tick)
        })
    }

    /// Kernel `list_set_kadd`, `list_set_kdel`: of a list, the first member that takes the change.
    fn change(
        &mut self,
        number: u32,
        look: &Look<'_>,
        flags: Flags,
        tick: u64,
        each: &mut dyn FnMut(&mut Set, &Key) -> Changed,
    ) -> Changed {
        let Some(set) = self.sets.get_mut(number as usize) else {
            return Changed::NoElement;
        };
        if !set.takes(look, flags) {
            return Changed::NoElement;
        }
        if set.model.kind != Kind::ListSet {
            return match key(set, look, flags, false) {
                Some(key) => each(set, &key),
                None => Changed::NoElement,
            };
        }
        let mut result = Changed::NoElement;
        let mut i = 0;
        while let Some((member, gone)) = self
            .sets
            .get(number as usize)
            .and_then(|s| s.members.get(i))
            .map(|(n, slot)| (*n, slot.gone(tick)))
        {
            i += 1;
            // A list cannot hold a list.
            let member = self.sets.get_mut(member as usize);
            let Some(member) = member.filter(|m| !gone && m.takes(look, flags)) else {
                continue;
            };
            if let Some(key) = key(member, look, flags, false) {
                result = each(member, &key);
            }
            if result == Changed::Yes {
                break;
            }
        }
        result
    }
}
