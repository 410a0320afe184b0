//! Groups of hash tables: the structure that finds rules.
//!
//! A *table* hashes some first bits of both addresses and some of the exact fields; it holds the rules that say at
//! least that much. A *group* is a few tables, those whose rules come first in front, and a *rest* of rules that no
//! table takes. A slot of a table leads to a short list of boxes in the order of rules, or, where that would be long,
//! to a group of its own, which looks at more bits.

use palisade_conntrack::hash::folded;

use super::entry::Entry;
use super::key::{Address, Key, word};

/// No rule.
pub(super) const NONE: u32 = u32::MAX;

/// Where a list of boxes lies; room is kept up to the next power of two.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List {
    pub(super) at: u32,
    pub(super) len: u32,
}

/// What a slot of a table leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Hash of what the table looks at. Keys of the same hash share a slot: boxes tell them apart.
    pub(super) tag: u32,
    /// The first rule; [`NONE`]: nothing here.
    pub(super) min: u32,
    pub(super) at: u32,
    /// Boxes of the list at `at`; 0: a group.
    pub(super) len: u32,
}

pub(super) const EMPTY: Slot = Slot {
    tag: 0,
    min: NONE,
    at: 0,
    len: 0,
};

/// The fields that a table looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<A> {
    pub(super) source: A,
    pub(super) destination: A,
    pub(super) word: u64,
}

impl<A: Address> Fields<A> {
    #[inline]
    pub(super) fn tag(&self, source: A, destination: A, word: u64) -> u32 {
        let (a, b) = A::words(source.and(self.source), destination.and(self.destination));
        let hash = folded(
            a ^ 0x2545_f491_4f6c_dd1d,
            (word & self.word) ^ b ^ 0x9e37_79b9_7f4a_7c15,
        );
        (hash >> 32) as u32 ^ hash as u32
    }

    /// The tag of a rule that says all this; `None` of one that says less.
    pub(super) fn tag_of(&self, entry: &Entry<A>) -> Option<u32> {
        let (word, mask) = entry.exact();
        let says = |own: u8, mask: A| mask.and(A::mask(own)) == mask;
        (says(entry.source_length, self.source)
            && says(entry.destination_length, self.destination)
            && self.word & !mask == 0)
            .then(|| self.tag(entry.source, entry.destination, word))
    }
}

/// A hash table with open addressing.
#[derive(Clone, Debug)]
pub(super) struct Table<A> {
    pub(super) fields: Fields<A>,
    /// A tag's place is its first bits.
    pub(super) shift: u32,
    /// The first rule, and the last.
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) used: u32,
    pub(super) slots: Vec<Slot>,
}

impl<A: Address> Table<A> {
    /// With room for so many keys.
    pub(super) fn new(fields: Fields<A>, keys: usize) -> Self {
        let size = (keys * 4 / 3 + 1).next_power_of_two().max(4);
        Table {
            fields,
            shift: 32 - size.trailing_zeros(),
            min: NONE,
            max: 0,
            used: 0,
            slots: vec![EMPTY; size],
        }
    }

    /// The place of a tag: where it is or would be.
    #[inline]
    pub(super) fn place(&self, tag: u32) -> usize {
        let last = self.slots.len() - 1;
        let mut at = (tag >> self.shift) as usize & last;
        // There is always an empty one.
        while self.slots[at].min != NONE && self.slots[at].tag != tag {
            at = (at + 1) & last;
        }
        at
    }

    /// Twice as many slots when they get full.
    pub(super) fn make_room(&mut self) {
        if (self.used as usize + 1) * 4 < self.slots.len() * 3 + 4 {
            return;
        }
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
        self.shift -= 1;
        for slot in old {
            if slot.min != NONE {
                let at = self.place(slot.tag);
                self.slots[at] = slot;
            }
        }
    }
}

/// Tables and what none of them takes.
#[derive(Clone, Debug)]
pub(super) struct Group<A> {
    pub(super) tables: Vec<Table<A>>,
    pub(super) rest: List,
}

/// All rules of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Tables<A> {
    pub(super) entries: Vec<Entry<A>>,
    /// The first is where every search begins.
    pub(super) groups: Vec<Group<A>>,
    /// How many rules there were when the tables were chosen.
    pub(super) built: usize,
}

/// The first rule found so far.
struct Best {
    rule: u32,
    sure: bool,
}

impl<A: Address> Tables<A> {
    /// The first rule from `from` on whose box a packet lies in, and whether that is all that it asks for.
    #[inline]
    pub(super) fn find(&self, key: &Key<A>, from: u32) -> Option<(u32, bool)> {
        let mut best = Best {
            rule: NONE,
            sure: false,
        };
        let word = word(key.source_port, key.destination_port, key.misc);
        self.search(0, key, word, from, &mut best);
        (best.rule != NONE).then_some((best.rule, best.sure))
    }

    fn search(&self, group: u32, key: &Key<A>, word: u64, from: u32, best: &mut Best) {
        let Some(group) = self.groups.get(group as usize) else {
            return;
        };
        for table in &group.tables {
            if table.min >= best.rule {
                break;
            }
            if table.max < from {
                continue;
            }
            let tag = table.fields.tag(key.source, key.destination, word);
            let slot = table.slots[table.place(tag)];
            if slot.min >= best.rule {
                continue;
            }
            match slot.len {
                0 => self.search(slot.at, key, word, from, best),
                len => self.scan(List { at: slot.at, len }, key, from, best),
            }
        }
        self.scan(group.rest, key, from, best);
    }

    #[inline]
    fn scan(&self, list: List, key: &Key<A>, from: u32, best: &mut Best) {
        let mut entries = self.list(list);
        if from != 0 && list.len > 8 {
            entries = &entries[entries.partition_point(|e| e.rule < from)..];
        }
        for entry in entries {
            if entry.rule >= best.rule {
                return;
            }
            if entry.fits(key) && entry.rule >= from {
                (best.rule, best.sure) = (entry.rule, entry.sure());
                return;
            }
        }
    }

    #[inline]
    pub(super) fn list(&self, list: List) -> &[Entry<A>] {
        let at = list.at as usize;
        self.entries
            .get(at..at + list.len as usize)
            .unwrap_or_default()
    }
}
