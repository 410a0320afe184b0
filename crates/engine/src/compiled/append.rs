//! A rule more at the end of a chain.
//!
//! It goes where a search for it would look: the first table that takes it, the list of its key, or the rest. Lists that
//! get long are looked at again each time their length doubles, and everything is chosen anew when there are twice as
//! many rules as there were: a rule more costs little on average, however it is asked for.

use palisade_rules::Rule;

use super::build::FEW;
use super::entries;
use super::entry::Entry;
use super::key::{Address, Interfaces};
use super::tables::{List, NONE, Slot, Tables};

impl<A: Address> Tables<A> {
    /// Takes in the last of the rules, of that number.
    pub(super) fn append<'a>(
        &mut self,
        rules: impl DoubleEndedIterator<Item = &'a Rule>,
        number: u32,
        interfaces: &mut Interfaces,
    ) {
        let mut rules = rules;
        if number as usize >= self.built * 2 {
            *self = Tables::build(entries(rules, interfaces));
        } else if let Some(rule) = rules.next_back() {
            self.insert(Entry::new(rule, number, interfaces));
        }
    }

    fn insert(&mut self, entry: Entry<A>) {
        let (mut group, mut depth) = (0, 0);
        while let Some(found) = self.groups.get_mut(group) {
            let taken = (0..).zip(&found.tables).find_map(|(at, table)| {
                let tag = table.fields.tag_of(&entry)?;
                Some((at, tag))
            });
            let Some((at, tag)) = taken else {
                self.insert_rest(group, entry, depth);
                return;
            };
            let at: usize = at;
            let table = &mut found.tables[at];
            table.max = entry.rule;
            table.make_room();
            let place = table.place(tag);
            let slot = table.slots[place];
            if slot.min != NONE && slot.len == 0 {
                (group, depth) = (slot.at as usize, depth + 1);
                continue;
            }
            table.used += u32::from(slot.min == NONE);
            let list = self.extend(
                List {
                    at: slot.at,
                    len: slot.len,
                },
                entry,
            );
            let (mut at_now, mut len) = (list.at, list.len);
            if worth_a_look(list) {
                let rules = self.list(list).to_vec();
                (at_now, len) = self.bucket(rules, depth);
            }
            self.groups[group].tables[at].slots[place] = Slot {
                tag,
                min: slot.min.min(entry.rule),
                at: at_now,
                len,
            };
            return;
        }
    }

    fn insert_rest(&mut self, group: usize, entry: Entry<A>, depth: u32) {
        let list = self.extend(self.groups[group].rest, entry);
        self.groups[group].rest = list;
        if !worth_a_look(list) {
            return;
        }
        let rules = self.list(list).to_vec();
        let (tables, rest) = self.tables(rules, self.groups[group].tables.len(), depth);
        if tables.is_empty() {
            return;
        }
        let rest = self.store(&rest);
        let group = &mut self.groups[group];
        group.rest = rest;
        group.tables.extend(tables);
        group.tables.sort_by_key(|t| t.min);
    }

    /// A list and a box more. Room is kept up to the next power of two; what is full moves to the end.
    fn extend(&mut self, list: List, entry: Entry<A>) -> List {
        let len = list.len as usize;
        if len == 0 {
            return self.store(&[entry]);
        }
        if !len.is_power_of_two() {
            self.entries[list.at as usize + len] = entry;
            return List {
                at: list.at,
                len: list.len + 1,
            };
        }
        let mut boxes = self.list(list).to_vec();
        boxes.push(entry);
        self.store(&boxes)
    }
}

fn worth_a_look(list: List) -> bool {
    list.len as usize > FEW && list.len.is_power_of_two()
}
