//! The rules of one chain while commands change it: inserting and deleting anywhere without moving
//! all the rest, and finding an equal rule without comparing all.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Rule, Target};

/// Rules that lie together; a part that grows beyond this is halved.
const PART: usize = 1024;

/// An ordered list of rules in parts of bounded length.
#[derive(Debug, Default)]
pub(crate) struct RuleList {
    parts: Vec<Part>,
    len: usize,
}

#[derive(Debug, Default)]
struct Part {
    rules: Vec<Rule>,
    /// Hashes of the rules, or nothing until somebody asks.
    hashes: Vec<u64>,
}

/// Hash of what makes two rules the same to `-D`: everything but counters and place.
fn hash(rule: &Rule) -> u64 {
    let mut state = DefaultHasher::new();
    rule.base.hash(&mut state);
    rule.matches.len().hash(&mut state);
    std::mem::discriminant(&rule.target).hash(&mut state);
    if let Target::Jump(to) | Target::Goto(to) = &rule.target {
        to.hash(&mut state);
    }
    state.finish()
}

/// Whether `-D` takes one for the other.
pub(crate) fn same(a: &Rule, b: &Rule) -> bool {
    a.base == b.base && a.matches == b.matches && a.target == b.target
}

impl RuleList {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.parts.iter().flat_map(|p| &p.rules)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        self.parts.iter_mut().flat_map(|p| &mut p.rules)
    }

    pub(crate) fn into_vec(mut self) -> Vec<Rule> {
        if self.parts.len() == 1 {
            return self.parts.pop().map(|p| p.rules).unwrap_or_default();
        }
        let mut all = Vec::with_capacity(self.len);
        for part in self.parts {
            all.extend(part.rules);
        }
        all
    }

    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.len = 0;
    }

    /// The part that holds a position, and the place within it.
    fn place(&self, mut at: usize) -> Option<(usize, usize)> {
        for (i, part) in self.parts.iter().enumerate() {
            if at < part.rules.len() {
                return Some((i, at));
            }
            at -= part.rules.len();
        }
        None
    }

    pub(crate) fn push(&mut self, rule: Rule) {
        match self.parts.last_mut() {
            Some(part) if part.rules.len() < PART => {
                part.hashes.clear();
                part.rules.push(rule);
            }
            _ => self.parts.push(Part {
                rules: vec![rule],
                hashes: Vec::new(),
            }),
        }
        self.len += 1;
    }

    /// Puts a rule before the one at a position, or at the end.
    pub(crate) fn insert(&mut self, at: usize, rule: Rule) {
        let Some((i, within)) = self.place(at) else {
            return self.push(rule);
        };
        let part = &mut self.parts[i];
        if !part.hashes.is_empty() {
            part.hashes.insert(within, hash(&rule));
        }
        part.rules.insert(within, rule);
        self.len += 1;
        if part.rules.len() > PART {
            let half = part.rules.len() / 2;
            let rest = Part {
                rules: part.rules.split_off(half),
                hashes: Vec::new(),
            };
            part.hashes.clear();
            self.parts.insert(i + 1, rest);
        }
    }

    pub(crate) fn remove(&mut self, at: usize) -> Option<Rule> {
        let (i, within) = self.place(at)?;
        let part = &mut self.parts[i];
        if !part.hashes.is_empty() {
            part.hashes.remove(within);
        }
        let rule = part.rules.remove(within);
        self.len -= 1;
        if part.rules.is_empty() {
            self.parts.remove(i);
        }
        Some(rule)
    }

    /// Puts a rule in the place of another, which is returned.
    pub(crate) fn replace(&mut self, at: usize, rule: Rule) -> Option<Rule> {
        let (i, within) = self.place(at)?;
        let part = &mut self.parts[i];
        part.hashes.clear();
        Some(std::mem::replace(&mut part.rules[within], rule))
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut Rule> {
        let (i, within) = self.place(at)?;
        self.parts[i].rules.get_mut(within)
    }

    /// Position of the first rule that `-D` takes for this one.
    pub(crate) fn find(&mut self, rule: &Rule) -> Option<usize> {
        let wanted = hash(rule);
        let mut before = 0;
        for part in &mut self.parts {
            if part.hashes.len() != part.rules.len() {
                part.hashes = part.rules.iter().map(hash).collect();
            }
            let found = part
                .hashes
                .iter()
                .zip(&part.rules)
                .position(|(h, r)| *h == wanted && same(r, rule));
            if let Some(within) = found {
                return Some(before + within);
            }
            before += part.rules.len();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Base, Counters, Position};

    fn numbered(line: u32) -> Rule {
        Rule {
            counters: Counters::default(),
            base: Base {
                protocol: Some(crate::model::Not {
                    negated: false,
                    value: (line % 251) as u8,
                }),
                ..Base::default()
            },
            matches: Vec::new(),
            target: Target::Jump(line as usize),
            position: Position {
                line,
                ..Position::default()
            },
        }
    }

    #[test]
    fn a_list_in_parts_behaves_as_one_vector() {
        let mut list = RuleList::default();
        let mut plain: Vec<u32> = Vec::new();
        let mut seed = 7u64;
        for line in 0..6000u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % (plain.len() + 1);
            match seed >> 61 {
                0 if at < plain.len() => {
                    plain.remove(at);
                    assert!(list.remove(at).is_some());
                }
                1 if at < plain.len() => {
                    let gone = plain.remove(at);
                    assert_eq!(list.find(&numbered(gone)), Some(at));
                    list.remove(at);
                }
                2 => {
                    plain.push(line);
                    list.push(numbered(line));
                }
                _ => {
                    plain.insert(at, line);
                    list.insert(at, numbered(line));
                }
            }
        }
        assert_eq!(list.len(), plain.len());
        let lines: Vec<u32> = list.into_vec().iter().map(|r| r.position.line).collect();
        assert_eq!(lines, plain);
    }
}
