//! What commands do to sets (kernel `ip_set_create`, `ip_set_uadd` and so on).

use std::collections::BTreeMap;

use super::kind::Kind;
use super::model::{Element, Entry, Interface, Set, Sets};

/// Interfaces that one network of a hash:net,iface can stand with (kernel `AHASH_MAX_TUNED`).
pub(crate) const MOST_INTERFACES: usize = 64;

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No such set.
    NoSet,
    /// A set of the name is there.
    SetExists,
    /// A list holds the set.
    InUse,
    /// The sets are of different types or families.
    Differs,
    /// The element is there.
    Exists,
    /// The element is not there.
    Missing,
    /// As many elements as the set can hold.
    Full,
    /// A list cannot hold a list.
    Loop,
    /// The set named by `before` or `after` is not there, or not next to it.
    NoNeighbour,
}

impl Refused {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Refused::NoSet => "no such set",
            Refused::SetExists => "a set of this name exists",
            Refused::InUse => "a list:set holds this set",
            Refused::Differs => "the sets are of different types",
            Refused::Exists => "the element is in the set already",
            Refused::Missing => "the element is not in the set",
            Refused::Full => "the set is full",
            Refused::Loop => "a list:set cannot hold another list:set",
            Refused::NoNeighbour => "the set to stand before or after is not there",
        }
    }
}

impl Set {
    /// The element that the kernel takes for the same: of hash:net,iface, one whose name as wildcard fits is.
    pub(crate) fn same(&self, element: &Element) -> Option<Element> {
        if self.elements.contains_key(element) {
            return Some(*element);
        }
        if self.kind != Kind::HashNetIface {
            return None;
        }
        self.same_net(element)
            .find(|(e, entry)| {
                entry.wildcard
                    && e.physdev == element.physdev
                    && element.interface.bytes().starts_with(e.interface.bytes())
            })
            .map(|(e, _)| *e)
    }

    fn same_net(&self, element: &Element) -> impl Iterator<Item = (&Element, &Entry)> {
        let first = Element {
            address: element.address,
            prefix: element.prefix,
            interface: Interface::default(),
            ..Element::default()
        };
        self.elements
            .range(first..)
            .take_while(move |(e, _)| (e.address, e.prefix) == (first.address, first.prefix))
    }

    /// Adds an element; one that is there is an error unless `exist`, which renews what it carries.
    ///
    /// # Errors
    /// [`Refused::Exists`], [`Refused::Full`].
    pub fn add(&mut self, element: Element, entry: Entry, exist: bool) -> Result<(), Refused> {
        if let Some(there) = self.same(&element) {
            let Some(old) = self.elements.get_mut(&there) else {
                return Err(Refused::Exists);
            };
            if self.kind == Kind::BitmapIpMac && old.mac.is_none() && entry.mac.is_some() {
                // The hardware address completes the element, and starts its time.
                let timeout = if Some(entry.timeout) == self.options.timeout {
                    old.timeout
                } else {
                    entry.timeout
                };
                *old = Entry { timeout, ..entry };
                return Ok(());
            }
            if !exist {
                return Err(Refused::Exists);
            }
            *old = Entry {
                wildcard: old.wildcard,
                mac: entry.mac.or(old.mac),
                ..entry
            };
            return Ok(());
        }
        if self.kind == Kind::HashNetIface && self.same_net(&element).count() >= MOST_INTERFACES {
            return Err(Refused::Full);
        }
        if self.kind.is_hash() && self.elements.len() >= self.options.maxelem as usize {
            // What the kernel gives up instead depends on its hash: here it is the first.
            if !self.options.forceadd || self.elements.pop_first().is_none() {
                return Err(Refused::Full);
            }
        }
        self.elements.insert(element, entry);
        Ok(())
    }

    /// Removes an element.
    ///
    /// # Errors
    /// [`Refused::Missing`].
    pub fn remove(&mut self, element: &Element) -> Result<(), Refused> {
        self.same(element)
            .and_then(|there| self.elements.remove(&there))
            .map(|_| ())
            .ok_or(Refused::Missing)
    }
}

/// Where a member of a list goes or stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside<'a> {
    /// Anywhere; a new one at the end.
    Any,
    /// Before another.
    Before(&'a str),
    /// After another.
    After(&'a str),
}

impl Sets {
    /// Makes a set.
    pub(crate) fn create(&mut self, set: Set, exist: bool) -> Result<(), Refused> {
        let Some(there) = self.get(&set.name) else {
            self.sets.push(set);
            return Ok(());
        };
        // Kernel `mtype_same_set`: sizes and seeds of the hash may differ.
        let (a, b) = (&there.options, &set.options);
        let same = there.kind == set.kind
            && there.family == set.family
            && a.range == b.range
            && there.mask() == set.mask()
            && a.markmask == b.markmask
            && a.maxelem == b.maxelem
            && a.timeout == b.timeout
            && (a.counters, a.comment, a.skbinfo) == (b.counters, b.comment, b.skbinfo)
            && (set.kind != Kind::ListSet || a.size == b.size);
        if exist && same {
            Ok(())
        } else {
            Err(Refused::SetExists)
        }
    }

    fn held(&self, name: &str) -> bool {
        self.sets
            .iter()
            .any(|s| s.members.iter().any(|(member, _)| member == name))
    }

    /// Removes a set, or all.
    pub(crate) fn destroy(&mut self, name: Option<&str>) -> Result<(), Refused> {
        let Some(name) = name else {
            // Lists have to be flushed before.
            if self.sets.iter().any(|s| !s.members.is_empty()) {
                return Err(Refused::InUse);
            }
            self.sets.clear();
            return Ok(());
        };
        if self.get(name).is_none() {
            return Err(Refused::NoSet);
        }
        if self.held(name) {
            return Err(Refused::InUse);
        }
        self.sets.retain(|s| s.name != name);
        Ok(())
    }

    /// Empties a set, or all.
    pub(crate) fn flush(&mut self, name: Option<&str>) -> Result<(), Refused> {
        if name.is_some_and(|name| self.get(name).is_none()) {
            return Err(Refused::NoSet);
        }
        for set in &mut self.sets {
            if name.is_none_or(|name| set.name == name) {
                set.elements = BTreeMap::new();
                set.members = Vec::new();
            }
        }
        Ok(())
    }

    /// Gives a set another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), Refused> {
        if self.get(to).is_some() {
            return Err(Refused::SetExists);
        }
        if self.held(from) {
            return Err(Refused::InUse);
        }
        let set = self.get_mut(from).ok_or(Refused::NoSet)?;
        set.name = to.to_string();
        Ok(())
    }

    /// Exchanges what two sets hold.
    pub(crate) fn swap(&mut self, a: &str, b: &str) -> Result<(), Refused> {
        let at = |name: &str| self.sets.iter().position(|s| s.name == name);
        let (a, b) = (at(a).ok_or(Refused::NoSet)?, at(b).ok_or(Refused::NoSet)?);
        if a == b {
            return Ok(());
        }
        if (self.sets[a].kind, self.sets[a].family) != (self.sets[b].kind, self.sets[b].family) {
            return Err(Refused::Differs);
        }
        self.sets.swap(a, b);
        let name = std::mem::take(&mut self.sets[a].name);
        self.sets[a].name = std::mem::replace(&mut self.sets[b].name, name);
        Ok(())
    }

    /// Adds a set to a list (kernel `list_set_uadd`).
    pub(crate) fn list_add(
        &mut self,
        list: &str,
        member: &str,
        beside: Beside<'_>,
        entry: Entry,
        exist: bool,
    ) -> Result<(), Refused> {
        let found = self.get(member).ok_or(Refused::NoSet)?;
        if found.kind == Kind::ListSet {
            return Err(Refused::Loop);
        }
        let list = self.get_mut(list).ok_or(Refused::NoSet)?;
        let at = |name: &str| list.members.iter().position(|(m, _)| m == name);
        let place = match beside {
            Beside::Any => list.members.len(),
            Beside::Before(other) => at(other).ok_or(Refused::NoNeighbour)?,
            Beside::After(other) => at(other).ok_or(Refused::NoNeighbour)? + 1,
        };
        if let Some(there) = at(member) {
            if !exist {
                return Err(Refused::Exists);
            }
            list.members[there].1 = entry;
            return Ok(());
        }
        list.members.insert(place, (member.to_string(), entry));
        Ok(())
    }

    /// Removes a set from a list (kernel `list_set_udel`).
    pub(crate) fn list_remove(
        &mut self,
        list: &str,
        member: &str,
        beside: Beside<'_>,
    ) -> Result<(), Refused> {
        let list = self.get_mut(list).ok_or(Refused::NoSet)?;
        let name_at =
            |i: Option<usize>| i.and_then(|i| list.members.get(i)).map(|(m, _)| m.as_str());
        let there = list.members.iter().position(|(m, _)| m == member);
        let Some(there) = there else {
            return Err(match beside {
                Beside::Any => Refused::Missing,
                _ => Refused::NoNeighbour,
            });
        };
        let fits = match beside {
            Beside::Any => true,
            Beside::Before(other) => name_at(there.checked_add(1)) == Some(other),
            Beside::After(other) => name_at(there.checked_sub(1)) == Some(other),
        };
        if !fits {
            return Err(Refused::NoNeighbour);
        }
        list.members.remove(there);
        Ok(())
    }
}
