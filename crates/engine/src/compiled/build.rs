//! Choosing tables: greedily, by what a look-up is expected to cost.

use super::entry::Entry;
use super::key::{Address, DESTINATION_PORT, INPUT, OUTPUT, PROTOCOL, SOURCE_PORT};
use super::tables::{Fields, Group, List, Slot, Table, Tables};

/// Rules that are not worth a table.
pub(super) const FEW: usize = 6;

/// Tables of a group.
const MOST_TABLES: usize = 24;

/// Groups within groups.
const DEEPEST: u32 = 12;

/// Rules that a choice looks at.
const SAMPLE: usize = 2048;

impl<A: Address> Tables<A> {
    /// Of boxes in the order of their rules.
    pub(super) fn build(entries: Vec<Entry<A>>) -> Self {
        let mut tables = Tables {
            entries: Vec::with_capacity(entries.len() + entries.len() / 4),
            groups: Vec::new(),
            built: entries.len(),
        };
        tables.group(entries, 0);
        tables
    }

    /// A new group of such rules; its number.
    pub(super) fn group(&mut self, rules: Vec<Entry<A>>, depth: u32) -> u32 {
        let at = self.groups.len();
        self.groups.push(Group {
            tables: Vec::new(),
            rest: List::default(),
        });
        let (tables, rest) = self.tables(rules, 0, depth);
        let rest = self.store(&rest);
        self.groups[at] = Group { tables, rest };
        at as u32
    }

    /// Tables for such rules where there are some already, the first ones in front, and the rules that are not
    /// worth one.
    pub(super) fn tables(
        &mut self,
        rules: Vec<Entry<A>>,
        already: usize,
        depth: u32,
    ) -> (Vec<Table<A>>, Vec<Entry<A>>) {
        let mut tables = Vec::new();
        let mut rest = rules;
        while rest.len() > FEW && already + tables.len() < MOST_TABLES && depth < DEEPEST {
            let Some(fields) = choose(&rest) else {
                break;
            };
            let mut tagged = Vec::with_capacity(rest.len());
            let mut left = Vec::new();
            for entry in rest {
                match fields.tag_of(&entry) {
                    Some(tag) => tagged.push((tag, entry)),
                    None => left.push(entry),
                }
            }
            rest = left;
            tables.push(self.table(fields, tagged, depth));
        }
        tables.sort_by_key(|t| t.min);
        (tables, rest)
    }

    fn table(
        &mut self,
        fields: Fields<A>,
        mut tagged: Vec<(u32, Entry<A>)>,
        depth: u32,
    ) -> Table<A> {
        tagged.sort_unstable_by_key(|(tag, e)| (*tag, e.rule));
        let keys = tagged.chunk_by(|a, b| a.0 == b.0).count();
        let mut table = Table::new(fields, keys);
        for bucket in tagged.chunk_by(|a, b| a.0 == b.0) {
            let rules: Vec<Entry<A>> = bucket.iter().map(|(_, e)| *e).collect();
            let (Some((tag, first)), Some(last)) = (bucket.first(), rules.last()) else {
                continue;
            };
            table.min = table.min.min(first.rule);
            table.max = table.max.max(last.rule);
            table.used += 1;
            let (min, tag) = (first.rule, *tag);
            let (at, len) = self.bucket(rules, depth);
            let place = table.place(tag);
            table.slots[place] = Slot { tag, min, at, len };
        }
        table
    }

    /// Where rules of one key go, and how many they are; 0 for a group.
    pub(super) fn bucket(&mut self, rules: Vec<Entry<A>>, depth: u32) -> (u32, u32) {
        if rules.len() > FEW && depth + 1 < DEEPEST && choose(&rules).is_some() {
            return (self.group(rules, depth + 1), 0);
        }
        let List { at, len } = self.store(&rules);
        (at, len)
    }

    /// Boxes at the end of the others, with room up to the next power of two.
    pub(super) fn store(&mut self, rules: &[Entry<A>]) -> List {
        let at = self.entries.len();
        let Some(last) = rules.last() else {
            return List::default();
        };
        self.entries.extend_from_slice(rules);
        self.entries
            .resize(at + rules.len().next_power_of_two(), *last);
        List {
            at: at as u32,
            len: rules.len() as u32,
        }
    }
}

/// What a look-up costs in a list of so many boxes that may be split further, in nanoseconds or so.
fn list_cost(rules: f64) -> f64 {
    if rules <= 8.0 {
        2.0 * rules
    } else {
        16.0 + 10.0 * (rules / 8.0).log2()
    }
}

/// Cost of a table itself.
const TABLE: f64 = 8.0;

/// The fields that are the best to hash for such rules; `None` if no table is worth it.
pub(super) fn choose<A: Address>(rules: &[Entry<A>]) -> Option<Fields<A>> {
    let step = rules.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<&Entry<A>> = rules.iter().step_by(step).collect();
    let mut tags = Vec::with_capacity(sample.len());
    let mut best: (f64, Option<Fields<A>>) = (f64::INFINITY, None);
    let mut consider = |fields: Fields<A>| -> f64 {
        let cost = cost(&fields, &sample, rules.len(), &mut tags);
        if cost < best.0 {
            best = (cost, Some(fields));
        }
        cost
    };
    let lengths = |of: fn(&Entry<A>) -> u8| -> Vec<u8> {
        let known = |length: &u8| *length == 0 || sample.iter().any(|e| of(e) >= *length);
        A::LENGTHS.iter().copied().filter(known).collect()
    };
    let sources = lengths(|e| e.source_length);
    let destinations = lengths(|e| e.destination_length);
    let words = words(&sample);
    let mut pair: (f64, Fields<A>) = (
        f64::INFINITY,
        Fields {
            source: A::ZERO,
            destination: A::ZERO,
            word: 0,
        },
    );
    for source in &sources {
        for destination in &destinations {
            let fields = Fields {
                source: A::mask(*source),
                destination: A::mask(*destination),
                word: 0,
            };
            if fields.source == A::ZERO && fields.destination == A::ZERO {
                continue;
            }
            let cost = consider(fields);
            if cost < pair.0 {
                pair = (cost, fields);
            }
        }
    }
    for word in words {
        consider(Fields {
            source: A::ZERO,
            destination: A::ZERO,
            word,
        });
        if pair.0.is_finite() {
            consider(Fields { word, ..pair.1 });
        }
    }
    best.1
}

/// Exact fields that rules have, alone and together.
fn words<A: Address>(sample: &[&Entry<A>]) -> Vec<u64> {
    const MISC: [u32; 3] = [PROTOCOL, INPUT, OUTPUT];
    let protocol = u64::from(PROTOCOL) << 32;
    let tried = [
        DESTINATION_PORT | protocol,
        SOURCE_PORT | protocol,
        DESTINATION_PORT | SOURCE_PORT | protocol,
        DESTINATION_PORT,
        SOURCE_PORT,
    ];
    let misc = MISC.iter().map(|m| u64::from(*m) << 32);
    tried
        .into_iter()
        .chain(misc)
        .filter(|word| sample.iter().any(|e| e.exact().1 & word == *word))
        .collect()
}

/// What a look-up is expected to cost when such a table stands first; infinite if it separates nothing.
fn cost<A: Address>(
    fields: &Fields<A>,
    sample: &[&Entry<A>],
    rules: usize,
    tags: &mut Vec<u32>,
) -> f64 {
    tags.clear();
    tags.extend(sample.iter().filter_map(|e| fields.tag_of(e)));
    let (taken, of) = (tags.len() as f64, sample.len() as f64);
    if tags.len() < 2 {
        return f64::INFINITY;
    }
    tags.sort_unstable();
    let squares: usize = tags.chunk_by(|a, b| a == b).map(|c| c.len().pow(2)).sum();
    let scale = rules as f64 / of;
    // What a rule of the table shares its bucket with, itself included.
    let bucket = 1.0 + (squares as f64 / taken - 1.0) * scale;
    let rest = (of - taken) * scale;
    let before = rules as f64;
    if bucket + rest > before * 0.9 {
        return f64::INFINITY;
    }
    let cost = TABLE + list_cost(bucket) + list_cost(rest);
    if cost < 2.0 * before {
        cost
    } else {
        f64::INFINITY
    }
}
