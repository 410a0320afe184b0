//! Whether a packet is in a set (kernel `ip_set_test`).

use palisade_rules::ipset::{Element, Kind, Part};
use palisade_rules::matches::set::Count;

use super::key::{Key, key};
use super::set::{Set, Slot};
use super::{Ask, Look, Sets};
use crate::matches::ip_length;

/// What a lookup gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    No,
    Yes,
    /// An element that says `nomatch`.
    Excepted,
    /// An element of bitmap:ip,mac whose hardware address is still to be learned.
    Incomplete,
}

/// Kernel `ip_set_match_extensions`.
fn carries(slot: &mut Slot, set: (bool, bool), ask: &mut Ask, bytes: u64, tick: u64) -> bool {
    if slot.gone(tick) {
        return false;
    }
    let (counters, skbinfo) = set;
    let entry = &mut slot.entry;
    if counters {
        if !ask.skip_counters {
            entry.packets = entry.packets.wrapping_add(1);
            entry.bytes = entry.bytes.wrapping_add(bytes);
        }
        let fits = |count: Option<Count>, value| count.is_none_or(|c| c.fits(value));
        if !fits(ask.packets, entry.packets) || !fits(ask.bytes, entry.bytes) {
            return false;
        }
    }
    if skbinfo {
        ask.found = entry.skb;
    }
    true
}

impl Set {
    fn extensions(&self) -> (bool, bool) {
        (self.model.options.counters, self.model.options.skbinfo)
    }

    /// One element by its own name.
    fn hit(&mut self, element: &Element, ask: &mut Ask, bytes: u64, tick: u64) -> Found {
        let set = self.extensions();
        let Some(slot) = self.slots.get_mut(element) else {
            return Found::No;
        };
        if !carries(slot, set, ask, bytes, tick) {
            Found::No
        } else if slot.entry.nomatch {
            Found::Excepted
        } else {
            Found::Yes
        }
    }

    fn test(&mut self, key: &Key, ask: &mut Ask, bytes: u64, tick: u64) -> Found {
        match self.model.kind {
            Kind::BitmapIpMac => {
                let set = self.extensions();
                let Some(slot) = self.slots.get_mut(&key.element) else {
                    return Found::No;
                };
                let Some(mac) = slot.entry.mac else {
                    return Found::Incomplete;
                };
                if mac == key.mac && carries(slot, set, ask, bytes, tick) {
                    Found::Yes
                } else {
                    Found::No
                }
            }
            Kind::HashNetIface => self.test_interfaces(&key.element, ask, bytes, tick),
            kind if kind.parts().contains(&Part::Net) => {
                self.test_nets(&key.element, ask, bytes, tick)
            }
            _ => self.hit(&key.element, ask, bytes, tick),
        }
    }

    /// Longest prefixes first, of the first network and then of the second (kernel `mtype_test_cidrs`).
    fn test_nets(&mut self, whole: &Element, ask: &mut Ask, bytes: u64, tick: u64) -> Found {
        let second_only = self.model.kind == Kind::HashIpPortNet;
        let parts = self.model.kind.parts();
        let two = !second_only && parts.len() > 1 && parts.last() == Some(&Part::Net);
        let mut i = 0;
        while let Some(&first) = self.prefixes[0].lengths().get(i) {
            i += 1;
            let mut element = *whole;
            let mask = self.model.prefix_mask(first);
            if second_only {
                (element.address2, element.prefix2) = (whole.address2 & mask, first);
            } else {
                (element.address, element.prefix) = (whole.address & mask, first);
            }
            if !two {
                match self.hit(&element, ask, bytes, tick) {
                    Found::No => continue,
                    found => return found,
                }
            }
            let mut j = 0;
            while let Some(&second) = self.prefixes[1].lengths().get(j) {
                j += 1;
                let mask = self.model.prefix_mask(second);
                (element.address2, element.prefix2) = (whole.address2 & mask, second);
                match self.hit(&element, ask, bytes, tick) {
                    Found::No => {}
                    found => return found,
                }
            }
        }
        Found::No
    }

    /// hash:net,iface: a network that is in the set with other interfaces only ends the search, wider ones are not
    /// looked at (`multi` in kernel `mtype_test_cidrs`).
    fn test_interfaces(&mut self, whole: &Element, ask: &mut Ask, bytes: u64, tick: u64) -> Found {
        let set = self.extensions();
        let mut i = 0;
        while let Some(&length) = self.prefixes[0].lengths().get(i) {
            i += 1;
            let net = (whole.address & self.model.prefix_mask(length), length);
            let Some(all) = self.nets.get_mut(&net) else {
                continue;
            };
            let mut others = false;
            for at in all {
                if !at.same(whole) {
                    // One whose time is over has been taken out by the kernel, or will be soon.
                    others |= !at.slot.gone(tick);
                    continue;
                }
                if carries(&mut at.slot, set, ask, bytes, tick) {
                    return if at.slot.entry.nomatch {
                        Found::Excepted
                    } else {
                        Found::Yes
                    };
                }
                others = false;
            }
            if others {
                return Found::No;
            }
        }
        Found::No
    }
}

impl Sets {
    /// Whether a packet is in a set, by the set's number.
    pub(crate) fn test(&mut self, number: u32, look: &Look<'_>, ask: &mut Ask) -> bool {
        let tick = self.tick(look.now);
        self.test_at(number as usize, look, ask, tick, true)
    }

    fn test_at(
        &mut self,
        at: usize,
        look: &Look<'_>,
        ask: &mut Ask,
        tick: u64,
        lists: bool,
    ) -> bool {
        let bytes = ip_length(look.packet) as u64;
        let Some(set) = self.sets.get_mut(at) else {
            return false;
        };
        if !set.takes(look, ask.flags) {
            return false;
        }
        if set.model.kind == Kind::ListSet {
            return lists && self.test_list(at, look, ask, tick);
        }
        let Some(key) = key(set, look, ask.flags, true) else {
            return false;
        };
        let found = set.test(&key, ask, bytes, tick);
        let inverted = ask.return_nomatch && set.model.kind.has_nomatch();
        match found {
            Found::No => false,
            Found::Yes => !inverted,
            Found::Excepted => inverted,
            Found::Incomplete => {
                set.complete(&key, bytes, tick, u64::from(self.jiffies.hz));
                true
            }
        }
    }

    /// Kernel `list_set_ktest`: the first member that the packet is in, whose own time is not over.
    fn test_list(&mut self, at: usize, look: &Look<'_>, ask: &mut Ask, tick: u64) -> bool {
        let bytes = ip_length(look.packet) as u64;
        let outer = *ask;
        // Counters of the members are not compared, and left alone if the rule says so.
        (ask.packets, ask.bytes) = (None, None);
        ask.skip_counters |= ask.skip_subcounters;
        let mut i = 0;
        while let Some((member, slot)) = self.sets.get(at).and_then(|s| s.members.get(i)) {
            // One whose time is over has been taken out by the kernel, or will be soon.
            let (member, gone) = (*member, slot.gone(tick));
            i += 1;
            if gone || !self.test_at(member as usize, look, ask, tick, false) {
                continue;
            }
            let Some(list) = self.sets.get_mut(at) else {
                return false;
            };
            let extensions = list.extensions();
            if let Some((_, slot)) = list.members.get_mut(i - 1) {
                let mut own = Ask {
                    found: ask.found,
                    ..outer
                };
                let fits = carries(slot, extensions, &mut own, bytes, tick);
                ask.found = own.found;
                if fits {
                    return true;
                }
            }
        }
        false
    }
}
