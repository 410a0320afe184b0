//! The tables that a firewall keeps: connections, expectations, lists of `-m recent`, sets.
//!
//! Both subjects fill in the same words for the same things, so that a difference can be shown as what
//! it is: an entry that only one has, or a word that differs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use palisade_conntrack::{Direction, Expectation, Status, Tuple};
use palisade_rules::ipset;
use palisade_wire::Timestamp;

/// Bits of a connection's status that rules and people can see; the rest is the kernel's housekeeping.
pub const STATUS: [(&str, u32); 9] = [
    ("EXPECTED", 1),
    ("SEEN_REPLY", 1 << 1),
    ("ASSURED", 1 << 2),
    ("SRC_NAT", 1 << 4),
    ("DST_NAT", 1 << 5),
    ("SEQ_ADJUST", 1 << 6),
    ("FIXED_TIMEOUT", 1 << 10),
    ("HELPER", 1 << 13),
    ("OFFLOAD", 1 << 14),
];

/// An entry: what tells it apart is the key it is kept under.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// Seconds left.
    pub timeout: u64,
    /// Everything else, by name.
    pub words: BTreeMap<&'static str, String>,
}

impl Entry {
    /// An entry that ends in so many seconds.
    pub fn new(timeout: u64) -> Self {
        Entry {
            timeout,
            words: BTreeMap::new(),
        }
    }

    /// Adds a word.
    pub fn with(mut self, name: &'static str, word: impl fmt::Display) -> Self {
        self.words.insert(name, word.to_string());
        self
    }

    /// Adds a word if there is one.
    pub fn with_some(self, name: &'static str, word: Option<impl fmt::Display>) -> Self {
        match word {
            Some(word) => self.with(name, word),
            None => self,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.timeout)?;
        self.words
            .iter()
            .try_for_each(|(name, word)| write!(f, ", {name} {word}"))
    }
}

/// Everything a firewall remembers, at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// Connections by original tuple and zone.
    pub connections: BTreeMap<String, Entry>,
    /// Expectations by tuple, mask and zone.
    pub expectations: BTreeMap<String, Entry>,
    /// Lists of `-m recent`: the addresses of each, with TTL and number of moments.
    pub recent: BTreeMap<String, Vec<String>>,
    /// Elements of sets (ipset), by the set's name and the element.
    pub sets: BTreeMap<String, Entry>,
}

/// Seconds that stand for an element without an end.
const FOR_EVER: u64 = 1 << 32;

/// The elements of sets, as both subjects have them.
pub fn of_sets(sets: &ipset::Sets) -> BTreeMap<String, Entry> {
    let mut all = BTreeMap::new();
    for set in &sets.sets {
        let entry = |entry: &ipset::Entry| {
            let timed = set.options.timeout.is_some() && entry.timeout > 0;
            let seconds = if timed {
                u64::from(entry.timeout)
            } else {
                FOR_EVER
            };
            let (counted, skb) = (set.options.counters, &entry.skb);
            Entry::new(seconds)
                .with("nomatch", entry.nomatch)
                .with("wildcard", entry.wildcard)
                .with_some("packets", counted.then_some(entry.packets))
                .with_some("bytes", counted.then_some(entry.bytes))
                .with("mark", format_args!("0x{:x}/0x{:x}", skb.mark, skb.mask))
                .with("class", skb.priority)
                .with("queue", skb.queue)
        };
        let name = &set.name;
        for (element, carried) in &set.elements {
            let words = ipset::print_element(set, element, carried);
            all.insert(format!("{name} {words}"), entry(carried));
        }
        for (at, (member, carried)) in set.members.iter().enumerate() {
            all.insert(format!("{name} {at}: {member}"), entry(carried));
        }
    }
    all
}

/// The key of a connection.
pub fn connection_key(original: &Tuple, zones: [u16; 2]) -> String {
    let protocol = original.protocol;
    match zones {
        [0, 0] => format!("proto {protocol} {original}"),
        [a, b] => format!("proto {protocol} {original} zones {a}/{b}"),
    }
}

/// Names of the bits that are set.
pub fn status_words(status: u32) -> String {
    let words: Vec<&str> = STATUS
        .iter()
        .filter(|(_, bit)| status & bit != 0)
        .map(|(name, _)| *name)
        .collect();
    words.join("|")
}

/// Numbers of the labels that are set.
pub fn label_words(labels: u128) -> String {
    let words: Vec<String> = (0..u128::BITS)
        .filter(|n| labels >> n & 1 != 0)
        .map(|n| n.to_string())
        .collect();
    words.join(",")
}

/// An engine's connection; `parent` is the original tuple of the one that announced it.
pub fn of_connection(
    connection: palisade_conntrack::Entry<'_>,
    parent: Option<&Tuple>,
    counted: bool,
    now: Timestamp,
) -> Entry {
    let mut entry = Entry::new(connection.timeout(now))
        .with("reply", connection.tuple(Direction::Reply))
        .with("status", status_words(connection.status.0.into()))
        .with("mark", connection.mark)
        .with_some("state", connection.state_name())
        .with_some("helper", connection.helper())
        .with_some(
            "labels",
            Some(connection.labels())
                .filter(|l| *l != 0)
                .map(label_words),
        )
        .with_some(
            "parent",
            parent.filter(|_| connection.status.has(Status::EXPECTED)),
        );
    if counted {
        for (name, direction) in [
            ("counted", Direction::Original),
            ("counted back", Direction::Reply),
        ] {
            if let Some(traffic) = connection.traffic().get(direction.index()) {
                entry = entry.with(name, format!("{}:{}", traffic.packets, traffic.bytes));
            }
        }
    }
    entry
}

/// The key of an expectation: `None` stands for any.
pub fn expectation_key(
    protocol: u8,
    source: (Option<(IpAddr, u8)>, Option<u16>),
    destination: (IpAddr, u16),
    zone: u16,
) -> String {
    let any = |word: Option<String>| word.unwrap_or_else(|| "any".to_owned());
    let address = any(source.0.map(|(a, bits)| match (a, bits) {
        (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => a.to_string(),
        _ => format!("{a}/{bits}"),
    }));
    let port = any(source.1.map(|p| p.to_string()));
    let (to, to_port) = destination;
    let zone = if zone == 0 {
        String::new()
    } else {
        format!(" zone {zone}")
    };
    format!("proto {protocol} src={address} dst={to} sport={port} dport={to_port}{zone}")
}

/// An engine's expectation; `parent` is the original tuple of the connection that announced it.
pub fn of_expectation(e: &Expectation, parent: Option<&Tuple>, now: Timestamp) -> (String, Entry) {
    let key = expectation_key(
        e.protocol,
        (e.source, e.source_port),
        (e.destination, e.destination_port),
        e.zone,
    );
    let entry = Entry::new(e.deadline.since(now).as_secs())
        .with("helper", e.helper)
        .with_some("parent", parent);
    (key, entry)
}

/// Which table an entry is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Connections.
    Connections,
    /// Expectations.
    Expectations,
    /// Lists of `-m recent`.
    Recent,
    /// Sets (ipset).
    Sets,
}

/// An entry held against its like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Where it is.
    pub table: Table,
    /// IP protocol of a connection or expectation.
    pub protocol: Option<u8>,
    /// Values compared.
    pub values: u64,
    /// How they differ, ready to be shown.
    pub differences: Vec<String>,
}

/// Holds `other` against `kernel`, entry by entry; timeouts may differ by `slack` seconds.
pub fn compare(kernel: &Tables, other: &Tables, slack: u64) -> Vec<Held> {
    let (connections, expectations) = (&kernel.connections, &kernel.expectations);
    let mut held = entries(Table::Connections, connections, &other.connections, slack);
    let theirs = &other.expectations;
    held.extend(entries(Table::Expectations, expectations, theirs, slack));
    held.extend(entries(Table::Sets, &kernel.sets, &other.sets, slack));
    for (name, k) in &kernel.recent {
        let e = other.recent.get(name).cloned().unwrap_or_default();
        let differs = *k != e;
        held.push(Held {
            table: Table::Recent,
            protocol: None,
            values: 1,
            differences: differs
                .then(|| format!("recent list {name}: kernel {k:?}, engine {e:?}"))
                .into_iter()
                .collect(),
        });
    }
    held
}

fn entries(
    table: Table,
    kernel: &BTreeMap<String, Entry>,
    other: &BTreeMap<String, Entry>,
    slack: u64,
) -> Vec<Held> {
    let what = match table {
        Table::Connections => "connection",
        Table::Expectations => "expectation",
        Table::Recent => "recent",
        Table::Sets => "set element",
    };
    let held = |key: &str, values, differences| Held {
        table,
        protocol: match table {
            Table::Sets => None,
            _ => key.split(' ').nth(1).and_then(|p| p.parse().ok()),
        },
        values,
        differences,
    };
    // Whoever looks a little later sees an entry that is about to end gone.
    let lone = |who: &str, key: &str, entry: &Entry| {
        let lasting = entry.timeout > slack;
        let words = lasting.then(|| format!("{what} {key}: only the {who} has it ({entry})"));
        held(key, 1, words.into_iter().collect())
    };
    let mut all = Vec::new();
    for (key, k) in kernel {
        let Some(e) = other.get(key) else {
            all.push(lone("kernel", key, k));
            continue;
        };
        let (mut values, mut differences) = (1, Vec::new());
        if k.timeout.abs_diff(e.timeout) > slack {
            let (k, e) = (k.timeout, e.timeout);
            differences.push(format!("{what} {key}, timeout: kernel {k}, engine {e}"));
        }
        let mut names: Vec<&str> = k.words.keys().chain(e.words.keys()).copied().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            values += 1;
            let (k, e) = (k.words.get(name), e.words.get(name));
            if k != e {
                let word = |w: Option<&String>| w.map_or("nothing", |w| w.as_str()).to_owned();
                let (k, e) = (word(k), word(e));
                differences.push(format!("{what} {key}, {name}: kernel {k}, engine {e}"));
            }
        }
        all.push(held(key, values, differences));
    }
    let ours = other.iter().filter(|(key, _)| !kernel.contains_key(*key));
    all.extend(ours.map(|(key, e)| lone("engine", key, e)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_differ_by_word_by_time_and_by_being_there() {
        let table = |entries: &[(&str, u64, &str)]| -> BTreeMap<String, Entry> {
            let entry = |(key, timeout, state): &(&str, u64, &str)| {
                ((*key).to_owned(), Entry::new(*timeout).with("state", state))
            };
            entries.iter().map(entry).collect()
        };
        type Row<'a> = (
            &'a [(&'a str, u64, &'a str)],
            &'a [(&'a str, u64, &'a str)],
            &'a str,
        );
        let rows: [Row<'_>; 6] = [
            (&[("a", 10, "X")], &[("a", 12, "X")], ""),
            (
                &[("a", 10, "X")],
                &[("a", 13, "X")],
                "connection a, timeout: kernel 10, engine 13",
            ),
            (
                &[("a", 10, "X")],
                &[("a", 10, "Y")],
                "connection a, state: kernel X, engine Y",
            ),
            (
                &[("a", 10, "X")],
                &[],
                "connection a: only the kernel has it (10 s, state X)",
            ),
            (
                &[],
                &[("a", 10, "X")],
                "connection a: only the engine has it (10 s, state X)",
            ),
            (&[("a", 1, "X")], &[("b", 2, "X")], ""),
        ];
        for (kernel, other, wanted) in rows {
            let held = entries(Table::Connections, &table(kernel), &table(other), 2);
            let differences: Vec<String> = held.into_iter().flat_map(|h| h.differences).collect();
            assert_eq!(differences.join(";"), wanted);
        }
    }
}
