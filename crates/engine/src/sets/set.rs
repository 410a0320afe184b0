//! One set: its elements, and the prefix lengths among them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use palisade_rules::ipset::{self, Element, Entry, Interface, Kind, Part};

use crate::matches::Jiffies;

/// What an element carries.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// What the language knows; the timeout there is that of an element whose time has not begun.
    pub(super) entry: Entry,
    /// Tick after which it is gone.
    pub(super) expires: Option<u64>,
}

impl Slot {
    pub(super) fn gone(&self, tick: u64) -> bool {
        self.expires.is_some_and(|e| e < tick)
    }
}

/// An element of hash:net,iface beside its network.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) interface: Interface,
    pub(super) physdev: bool,
    pub(super) slot: Slot,
}

impl At {
    /// Kernel `hash_netiface4_data_equal`: the one that is in the set says whether it is a wildcard.
    pub(super) fn same(&self, element: &Element) -> bool {
        let (own, other) = (self.interface.bytes(), element.interface.bytes());
        self.physdev == element.physdev
            && if self.slot.entry.wildcard {
                other.starts_with(own)
            } else {
                other == own
            }
    }
}

/// Prefix lengths of one of the networks of elements, longest first (kernel `net_prefixes`).
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    lengths: Vec<u8>,
    counts: BTreeMap<u8, usize>,
}

impl Prefixes {
    pub(super) fn lengths(&self) -> &[u8] {
        &self.lengths
    }

    fn add(&mut self, length: u8) {
        let count = self.counts.entry(length).or_insert(0);
        *count += 1;
        if *count == 1 {
            let at = self.lengths.partition_point(|l| *l > length);
            self.lengths.insert(at, length);
        }
    }

    fn remove(&mut self, length: u8) {
        if let Some(count) = self.counts.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&length);
                self.lengths.retain(|l| *l != length);
            }
        }
    }
}

/// A set.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// The set without its elements.
    pub(super) model: ipset::Set,
    /// Elements, except those of the two below.
    pub(super) slots: HashMap<Element, Slot>,
    /// hash:net,iface: by network, in the order in which they were added.
    pub(super) nets: HashMap<(u128, u8), Vec<At>>,
    /// list:set: the sets' numbers.
    pub(super) members: Vec<(u32, Slot)>,
    /// Prefix lengths of the first and the second network.
    pub(super) prefixes: [Prefixes; 2],
    /// Elements that have a time, by when it is over.
    expiry: BTreeSet<(u64, Element)>,
    /// In the order in which they were added, for sets that give up old ones.
    order: BTreeMap<u64, Element>,
    added: u64,
    pub(super) len: usize,
}

impl Set {
    pub(super) fn new(model: &ipset::Set, names: &HashMap<String, u32>, jiffies: Jiffies) -> Self {
        let mut set = Set {
            model: ipset::Set {
                elements: BTreeMap::new(),
                members: Vec::new(),
                ..clone_without(model)
            },
            slots: HashMap::new(),
            nets: HashMap::new(),
            members: Vec::new(),
            prefixes: Default::default(),
            expiry: BTreeSet::new(),
            order: BTreeMap::new(),
            added: 0,
            len: 0,
        };
        let slot = |entry: &Entry| {
            // The time of an element of bitmap:ip,mac starts when its hardware address is known.
            let waits = model.kind == Kind::BitmapIpMac && entry.mac.is_none();
            Slot {
                expires: (entry.timeout > 0 && !waits)
                    .then(|| u64::from(entry.timeout) * u64::from(jiffies.hz)),
                entry: entry.clone(),
            }
        };
        for (element, entry) in &model.elements {
            set.insert(*element, slot(entry));
        }
        set.members = model
            .members
            .iter()
            .filter_map(|(name, entry)| Some((*names.get(name)?, slot(entry))))
            .collect();
        set
    }

    /// The two prefix lengths of an element that are counted.
    fn lengths(&self, element: &Element) -> [Option<u8>; 2] {
        let parts = self.model.kind.parts();
        let of = |part: Option<&Part>, length| (part == Some(&Part::Net)).then_some(length);
        match self.model.kind {
            Kind::HashIpPortNet => [Some(element.prefix2), None],
            _ => {
                let last = (parts.len() > 1).then(|| parts.last()).flatten();
                [of(parts.first(), element.prefix), of(last, element.prefix2)]
            }
        }
    }

    /// The longest prefix among the elements.
    pub(super) fn longest(&self, at: usize) -> Option<u8> {
        self.prefixes.get(at)?.lengths().first().copied()
    }

    /// Puts in an element that is not there.
    pub(super) fn insert(&mut self, element: Element, slot: Slot) {
        let lengths = self.lengths(&element);
        for (prefixes, length) in self.prefixes.iter_mut().zip(lengths) {
            if let Some(length) = length {
                prefixes.add(length);
            }
        }
        if let Some(expires) = slot.expires {
            self.expiry.insert((expires, element));
        }
        if self.model.options.forceadd {
            self.order.insert(self.added, element);
            self.added += 1;
        }
        self.len += 1;
        if self.model.kind == Kind::HashNetIface {
            let at = At {
                interface: element.interface,
                physdev: element.physdev,
                slot,
            };
            let net = (element.address, element.prefix);
            self.nets.entry(net).or_default().push(at);
        } else {
            self.slots.insert(element, slot);
        }
    }

    /// Takes out an element by its own name.
    fn take(&mut self, element: &Element) -> Option<Slot> {
        let slot = if self.model.kind == Kind::HashNetIface {
            let net = (element.address, element.prefix);
            let all = self.nets.get_mut(&net)?;
            let at = all
                .iter()
                .position(|a| a.interface == element.interface && a.physdev == element.physdev)?;
            let slot = all.remove(at).slot;
            if all.is_empty() {
                self.nets.remove(&net);
            }
            slot
        } else {
            self.slots.remove(element)?
        };
        self.len -= 1;
        if let Some(expires) = slot.expires {
            self.expiry.remove(&(expires, *element));
        }
        let lengths = self.lengths(element);
        for (prefixes, length) in self.prefixes.iter_mut().zip(lengths) {
            if let Some(length) = length {
                prefixes.remove(length);
            }
        }
        Some(slot)
    }

    /// The name by which an element is in the set, if it is, gone or not.
    pub(super) fn find(&self, element: &Element) -> Option<Element> {
        if self.model.kind != Kind::HashNetIface {
            return self.slots.contains_key(element).then_some(*element);
        }
        let all = self.nets.get(&(element.address, element.prefix))?;
        all.iter().find(|a| a.same(element)).map(|a| Element {
            interface: a.interface,
            physdev: a.physdev,
            ..*element
        })
    }

    /// An element by its own name.
    pub(super) fn slot(&mut self, element: &Element) -> Option<&mut Slot> {
        if self.model.kind != Kind::HashNetIface {
            return self.slots.get_mut(element);
        }
        self.nets
            .get_mut(&(element.address, element.prefix))?
            .iter_mut()
            .find(|a| a.interface == element.interface && a.physdev == element.physdev)
            .map(|a| &mut a.slot)
    }

    /// Takes out an element.
    pub(super) fn remove(&mut self, element: &Element) -> Option<Slot> {
        let own = self.find(element)?;
        self.take(&own)
    }

    /// Gives an element another time.
    pub(super) fn set_expiry(&mut self, element: &Element, expires: Option<u64>) {
        let Some(slot) = self.slot(element) else {
            return;
        };
        let old = std::mem::replace(&mut slot.expires, expires);
        if let Some(old) = old {
            self.expiry.remove(&(old, *element));
        }
        if let Some(new) = expires {
            self.expiry.insert((new, *element));
        }
    }

    /// Takes out what is gone.
    pub(super) fn reap(&mut self, tick: u64) {
        while let Some(&(expires, element)) = self.expiry.first() {
            if expires >= tick {
                return;
            }
            self.expiry.pop_first();
            self.take(&element);
        }
    }

    /// Takes out the element that was added first.
    pub(super) fn give_up(&mut self) {
        while let Some((_, element)) = self.order.pop_first() {
            if self.take(&element).is_some() {
                return;
            }
        }
    }

    /// As the language has it.
    pub(super) fn contents(&self, names: &[&str], tick: u64, hz: u64) -> ipset::Set {
        let mut model = clone_without(&self.model);
        let entry = |slot: &Slot| {
            let mut entry = slot.entry.clone();
            if let Some(expires) = slot.expires {
                // Whole seconds; 0 would mean that it stays.
                entry.timeout = (expires.saturating_sub(tick) / hz.max(1)).max(1) as u32;
            }
            entry
        };
        for (element, slot) in self.slots.iter().filter(|(_, s)| !s.gone(tick)) {
            model.elements.insert(*element, entry(slot));
        }
        for ((address, prefix), all) in &self.nets {
            for at in all.iter().filter(|a| !a.slot.gone(tick)) {
                let element = Element {
                    address: *address,
                    prefix: *prefix,
                    interface: at.interface,
                    physdev: at.physdev,
                    ..Element::default()
                };
                model.elements.insert(element, entry(&at.slot));
            }
        }
        model.members = self
            .members
            .iter()
            .filter(|(_, s)| !s.gone(tick))
            .filter_map(|(n, s)| Some((names.get(*n as usize)?.to_string(), entry(s))))
            .collect();
        model
    }
}

/// A set without what is in it.
fn clone_without(model: &ipset::Set) -> ipset::Set {
    ipset::Set {
        name: model.name.clone(),
        kind: model.kind,
        family: model.family,
        options: model.options.clone(),
        elements: BTreeMap::new(),
        members: Vec::new(),
        line: model.line,
    }
}
