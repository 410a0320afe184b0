//! All that an engine knows, as text, and how two such texts differ.
//!
//! The text is what `Debug` prints, so that a field that is added is compared without a word said here. Entries of
//! maps are sorted, since their order is chance, and what may differ is left out by name.

use std::fmt::Debug;

use palisade_conntrack::{Conntrack, Entry, Expectation, Stats};
use palisade_engine::Engine;
use palisade_engine::shards::Shards;
use palisade_rules::{Family, Ruleset};
use palisade_wire::Timestamp;

/// Fields that may differ: what an evaluator remembers about a connection is its own affair.
const LEFT_OUT: [&str; 1] = ["remembered"];

/// Likewise where entries stand in several tables: handles.
const PLACES: [&str; 5] = ["remembered", "generation", "index", "master_id", "ConnId {"];

/// Everything an engine knows, by what it is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    parts: Vec<(String, String)>,
}

impl State {
    /// Of an engine at a moment.
    pub fn of(engine: &Engine, now: Timestamp) -> State {
        let mut state = State::default();
        for family in [Family::V4, Family::V6] {
            state.count(family, engine.ruleset(family));
        }
        let table = engine.conntrack();
        let names = (
            |c: &Entry<'_>| c.number().to_string(),
            |c: &Entry<'_>| debug(&c.id()),
        );
        state.entries(table.connections(), names, now, &LEFT_OUT);
        state.expectations(table.expectations(), &[]);
        state.say("entries of the table", debug(&table.len()));
        state.say("sums of the table", debug(table.stats()));
        for family in [Family::V4, Family::V6] {
            let held = engine.fragments_held(family);
            state.say(&format!("{family} fragments held"), debug(&held));
        }
        state.say("what rules remember", ordered(&engine.remembered(), &[]));
        state
    }

    /// Of connections and expectations alone, wherever they stand; who announced one is told by its number.
    pub fn of_connections(table: &Conntrack, now: Timestamp) -> State {
        let mut state = State::default();
        let names = (|c: &Entry<'_>| c.number().to_string(), nothing);
        state.entries(table.connections(), names, now, &PLACES);
        state.expectations(table.expectations(), &PLACES);
        state
    }

    /// Of an engine as far as several that are one can be the same: where an entry stands, and when it was found to
    /// have ended, is their own affair.
    pub fn of_one(engine: &Engine, now: Timestamp) -> State {
        let mut state = State::default();
        for family in [Family::V4, Family::V6] {
            state.count(family, engine.ruleset(family));
        }
        let table = engine.conntrack();
        state.entries(table.connections(), (by_tuples, nothing), now, &PLACES);
        state.expectations(table.expectations(), &PLACES);
        state.sums(table.len(), *table.stats());
        state.say("what rules remember", ordered(&engine.remembered(), &[]));
        state
    }

    /// The same of several that are one.
    pub fn of_shards(shards: &Shards, now: Timestamp) -> State {
        let mut state = State::default();
        let mut view = shards.view();
        for family in [Family::V4, Family::V6] {
            state.count(family, view.ruleset(family));
        }
        let connections = view.connections().map(|(_, entry)| entry);
        state.entries(connections, (by_tuples, nothing), now, &PLACES);
        state.expectations(view.expectations(), &PLACES);
        state.sums(view.len(), view.stats());
        let remembered = view.with_remembered(|remembered| ordered(&remembered, &[]));
        state.say("what rules remember", remembered);
        state
    }

    fn say(&mut self, name: &str, text: String) {
        self.parts.push((name.to_owned(), text));
    }

    fn sums(&mut self, entries: usize, stats: Stats) {
        self.say("entries of the table", debug(&entries));
        let stats = Stats { peak: 0, ..stats };
        self.say("sums of the table", debug(&stats));
    }

    fn count(&mut self, family: Family, rules: Option<Ruleset>) {
        for table in rules.iter().flat_map(|r| &r.tables) {
            for chain in &table.chains {
                let place = format!("{family} {} {}", table.kind.name(), chain.name);
                self.say(&format!("{place} policy"), debug(&chain.counters));
                for (number, rule) in (1..).zip(&chain.rules) {
                    self.say(&format!("{place} rule {number}"), debug(&rule.counters));
                }
            }
        }
    }

    fn entries<'e>(
        &mut self,
        connections: impl Iterator<Item = Entry<'e>>,
        (name, handle): (impl Fn(&Entry<'e>) -> String, impl Fn(&Entry<'e>) -> String),
        now: Timestamp,
        left_out: &[&str],
    ) {
        let mut connections: Vec<_> = connections.map(|c| (name(&c), c)).collect();
        connections.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, connection) in connections {
            // What does not stand in the entry itself, or is reckoned.
            let beside = (
                connection.tuples(),
                connection.timeout(now),
                connection.created(),
                connection.traffic(),
                handle(&connection),
            );
            self.say(&format!("connection {name}, beside it"), debug(&beside));
            let entry = ordered(connection.connection(), left_out);
            self.say(&format!("connection {name}"), entry);
        }
    }

    fn expectations<'e>(
        &mut self,
        expectations: impl Iterator<Item = &'e Expectation>,
        left_out: &[&str],
    ) {
        let mut expectations: Vec<String> = expectations.map(|e| ordered(e, left_out)).collect();
        expectations.sort();
        for (number, expectation) in (1..).zip(expectations) {
            self.say(&format!("expectation {number}"), expectation);
        }
    }

    /// How another differs, which `who` knows: a line each.
    pub fn differences(&self, other: &State, who: &str) -> Vec<String> {
        if self == other {
            return Vec::new();
        }
        let find = |state: &State, name: &str| -> Option<String> {
            let part = state.parts.iter().find(|(n, _)| n == name);
            part.map(|(_, text)| text.clone())
        };
        let mut all = Vec::new();
        for (name, text) in &self.parts {
            match find(other, name) {
                None => all.push(format!("{name}: linear has it, {who} does not")),
                Some(theirs) if theirs != *text => {
                    all.extend(lines(name, text, &theirs, who));
                }
                Some(_) => {}
            }
        }
        for (name, _) in &other.parts {
            if find(self, name).is_none() {
                all.push(format!("{name}: {who} has it, linear does not"));
            }
        }
        all
    }
}

/// A connection by what it is about: several threads number theirs in any order.
fn by_tuples(entry: &Entry<'_>) -> String {
    format!("{:?} in {:?}", entry.tuples(), entry.zones())
}

fn nothing(_: &Entry<'_>) -> String {
    String::new()
}

fn debug(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// The lines in which two texts differ.
fn lines(name: &str, ours: &str, theirs: &str, who: &str) -> Vec<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    if a.len() != b.len() {
        let only = |of: &[&str], not: &[&str]| -> Vec<String> {
            let mut left: Vec<&str> = not.to_vec();
            let mut extra = Vec::new();
            for line in of {
                match left.iter().position(|l| l == line) {
                    Some(at) => drop(left.swap_remove(at)),
                    None => extra.push(line.trim().to_owned()),
                }
            }
            extra
        };
        let (first, second) = (only(&a, &b).join(" "), only(&b, &a).join(" "));
        return vec![format!("{name}: linear {first}, {who} {second}")];
    }
    // Lines that the one in question stands within, for a name.
    let mut within: Vec<(usize, &str)> = Vec::new();
    let mut all = Vec::new();
    for (ours, theirs) in a.iter().zip(&b) {
        let indent = ours.len() - ours.trim_start().len();
        while within.last().is_some_and(|(i, _)| *i >= indent) {
            within.pop();
        }
        if ours != theirs && all.len() < 4 {
            let place: Vec<&str> = within.iter().map(|(_, l)| *l).collect();
            let (place, ours, theirs) = (place.join(" "), ours.trim(), theirs.trim());
            all.push(format!("{name}: linear {place} {ours}, {who} {theirs}"));
        }
        within.push((indent, ours.trim()));
    }
    all
}

/// `Debug` of a value, a line each, with the entries of maps sorted and without what may differ.
fn ordered(value: &impl Debug, left_out: &[&str]) -> String {
    let text = format!("{value:#?}");
    let mut out = String::with_capacity(text.len());
    let mut all = text.lines();
    while let Some(node) = node(&mut all) {
        node.write(&mut out, left_out);
    }
    out
}

/// A line and those that stand within it; a key of several lines is closed by one that opens its value.
struct Node<'t> {
    parts: Vec<(&'t str, Vec<Node<'t>>)>,
    end: &'t str,
}

/// The next node; the types decide the depth.
fn node<'t>(lines: &mut std::str::Lines<'t>) -> Option<Node<'t>> {
    let opens = |line: &str| line.ends_with(['{', '(', '[']);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let line = lines.next()?;
    let mut parts = vec![(line, Vec::new())];
    let mut end = "";
    while opens(line) {
        let Some(next) = lines.clone().next() else {
            break;
        };
        if indent(next) > indent(line) {
            if let Some((_, within)) = parts.last_mut() {
                within.extend(node(lines));
            }
            continue;
        }
        lines.next();
        if !opens(next) {
            end = next;
            break;
        }
        parts.push((next, Vec::new()));
    }
    Some(Node { parts, end })
}

impl Node<'_> {
    fn write(&self, out: &mut String, left_out: &[&str]) {
        let first = self.parts.first().map_or("", |(line, _)| *line);
        let field = first.trim_start().split(':').next().unwrap_or_default();
        if left_out.contains(&field) {
            return;
        }
        for (line, within) in &self.parts {
            *out += line;
            out.push('\n');
            // A struct has a name before its brace, a map and a set have none.
            let named = line.trim_end_matches('{').trim();
            if line.ends_with('{') && (named.is_empty() || named.ends_with(':')) {
                let mut entries: Vec<String> = within.iter().map(|n| n.text(left_out)).collect();
                entries.sort();
                entries.iter().for_each(|e| *out += e);
            } else {
                within.iter().for_each(|n| n.write(out, left_out));
            }
        }
        if !self.end.is_empty() {
            *out += self.end;
            out.push('\n');
        }
    }

    fn text(&self, left_out: &[&str]) -> String {
        let mut text = String::new();
        self.write(&mut text, left_out);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Hash)]
    struct Key {
        number: u32,
    }

    #[derive(Debug)]
    #[allow(dead_code)]
    struct Thing {
        by_name: HashMap<Key, Vec<u32>>,
        order_counts: Vec<u32>,
        nothing: (),
    }

    #[test]
    fn maps_have_no_order_and_lists_have_one() {
        let thing = |entries: &[u32], list: &[u32]| Thing {
            by_name: entries
                .iter()
                .map(|n| (Key { number: *n }, vec![*n, n + 1]))
                .collect(),
            order_counts: list.to_vec(),
            nothing: (),
        };
        let forward: Vec<u32> = (0..50).collect();
        let backward: Vec<u32> = (0..50).rev().collect();
        let a = ordered(&thing(&forward, &[1, 2]), &[]);
        assert_eq!(a, ordered(&thing(&backward, &[1, 2]), &[]));
        assert_ne!(a, ordered(&thing(&backward, &[2, 1]), &[]));
        assert_ne!(a, ordered(&thing(&forward[1..], &[1, 2]), &[]));
        // Nothing is lost on the way.
        let plain = format!("{:#?}", thing(&[7], &[1, 2]));
        assert_eq!(ordered(&thing(&[7], &[1, 2]), &[]).trim_end(), plain);
    }
}
