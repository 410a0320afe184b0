//! Holding expectations against what came.

use std::collections::HashMap;
use std::fmt;

use super::expect::{
    Answer, Check, CheckKind, ConnectionPattern, ConnectionSeen, Expectation, Item, Observed, Seen,
};
use super::model::{Reference, Span};
use super::names;
use super::play::Sent;

/// Which packet belonged to which connection, for `connection` and `parent`.
#[derive(Default, Debug)]
pub struct Connections {
    labels: HashMap<String, Vec<Option<u64>>>,
    numbers: HashMap<u64, Option<u64>>,
    previous: Option<u64>,
}

impl Connections {
    /// Notes the connection (by its number, [`ConnectionSeen::id`]) of a packet. To be called after
    /// the packet's expectations were checked.
    pub fn note(&mut self, sent: &Sent<'_>, observed: &Observed) {
        let id = match &observed.connection {
            Seen::Seen(Some(ConnectionSeen {
                id: Seen::Seen(id), ..
            })) => Some(*id),
            _ => None,
        };
        self.previous = id;
        self.numbers.insert(sent.number, id);
        if let Some(label) = &sent.send.label {
            let packets = self.labels.entry(label.clone()).or_default();
            // A line run again by `repeat` is the line anew.
            if sent.index == 1 {
                packets.clear();
            }
            packets.push(id);
        }
    }

    fn of(&self, reference: &Reference) -> Option<u64> {
        match reference {
            Reference::Label(label, part) => {
                let packets = self.labels.get(label)?;
                match part {
                    Some(n) => *packets.get((*n as usize).checked_sub(1)?)?,
                    None => *packets.last()?,
                }
            }
            Reference::Number(n) => *self.numbers.get(n)?,
            Reference::Previous => self.previous,
        }
    }
}

/// What was compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compared {
    /// Items held against something seen.
    pub compared: u32,
    /// Items about what this observer cannot see.
    pub unseen: u32,
}

/// One item of an expectation and what came instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What was expected.
    pub expected: String,
    /// What came; for an item that holds, the same words.
    pub got: String,
    /// Whether they agree.
    pub agrees: bool,
}

/// An expectation that failed. Displayed as two rows, expected above got, marked where they differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The expectation's place.
    pub span: Span,
    /// Every item of it, those that hold too.
    pub items: Vec<Difference>,
    /// The reason the observer gave, when it gave one.
    pub why: Option<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = [
            String::from("expected"),
            String::from("got     "),
            String::from("        "),
        ];
        for item in &self.items {
            let width = item.expected.chars().count().max(item.got.chars().count());
            let mark = if item.agrees { "" } else { &"^".repeat(width) };
            for (row, cell) in rows
                .iter_mut()
                .zip([item.expected.as_str(), &item.got, mark])
            {
                row.push_str("  ");
                row.push_str(cell);
                row.extend(std::iter::repeat_n(
                    ' ',
                    width.saturating_sub(cell.chars().count()),
                ));
            }
        }
        let mut lines: Vec<&str> = rows.iter().map(|r| r.trim_end()).collect();
        let why = self.why.as_ref().map(|w| format!("why       {w}"));
        lines.extend(why.as_deref());
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Mismatch {}

/// Builds up the comparison of one expectation.
struct Comparison {
    items: Vec<Difference>,
    compared: Compared,
}

impl Comparison {
    fn new() -> Self {
        Comparison {
            items: Vec::new(),
            compared: Compared::default(),
        }
    }

    fn put(&mut self, expected: String, got: Option<(bool, String)>) {
        match got {
            None => self.compared.unseen += 1,
            Some((agrees, got)) => {
                self.compared.compared += 1;
                let got = if agrees { expected.clone() } else { got };
                self.items.push(Difference {
                    expected,
                    got,
                    agrees,
                });
            }
        }
    }

    fn finish(self, span: Span, why: Option<String>) -> Result<Compared, Mismatch> {
        if self.items.iter().all(|i| i.agrees) {
            return Ok(self.compared);
        }
        Err(Mismatch {
            span,
            items: self.items,
            why,
        })
    }
}

/// Holds one expectation against what came of its packet.
///
/// # Errors
///
/// A [`Mismatch`] when an item differs from what was seen. Items about what is [`Seen::Unseen`] are
/// only counted.
pub fn check(
    expectation: &Expectation,
    observed: &Observed,
    connections: &Connections,
) -> Result<Compared, Mismatch> {
    let mut comparison = Comparison::new();
    for (item, _) in &expectation.items {
        let (expected, got) = hold(item, observed, connections);
        comparison.put(expected, got);
    }
    let why = match &observed.why {
        Seen::Seen(why) => Some(why.clone()),
        Seen::Unseen => None,
    };
    comparison.finish(expectation.span, why)
}

/// `None` when unseen; else whether it agrees, and what came.
fn hold(item: &Item, seen: &Observed, known: &Connections) -> (String, Option<(bool, String)>) {
    fn against<T>(
        seen: &Seen<T>,
        judge: impl FnOnce(&T) -> (bool, String),
    ) -> Option<(bool, String)> {
        match seen {
            Seen::Unseen => None,
            Seen::Seen(value) => Some(judge(value)),
        }
    }
    let or = |word: Option<&str>, none: &str| word.unwrap_or(none).to_owned();
    match item {
        Item::State(wanted) => (
            wanted.word().to_owned(),
            against(&seen.state, |s| {
                (*s == Some(*wanted), or(s.map(|s| s.word()), "no state"))
            }),
        ),
        Item::Direction(wanted) => (
            wanted.word().to_owned(),
            against(&seen.direction, |d| {
                (*d == Some(*wanted), or(d.map(|d| d.word()), "no direction"))
            }),
        ),
        Item::Verdict(wanted) => (
            wanted.word().to_owned(),
            against(&seen.verdict, |v| (v == wanted, v.word().to_owned())),
        ),
        Item::By(wanted) => (
            format!("by {wanted}"),
            against(&seen.by, |by| {
                let got = by
                    .as_ref()
                    .map_or("by no rule".to_owned(), |r| format!("by {r}"));
                (by.as_ref() == Some(wanted), got)
            }),
        ),
        Item::Matched(wanted) => (
            format!("matched {wanted}"),
            against(&seen.matched, |rules| {
                let names: Vec<String> = rules.iter().map(|r| r.to_string()).collect();
                let got = if names.is_empty() {
                    "matched nothing".to_owned()
                } else {
                    format!("matched {}", names.join(", "))
                };
                (rules.contains(wanted), got)
            }),
        ),
        Item::Hook(wanted) => (
            format!("hook {wanted}"),
            against(&seen.hook, |h| (h == wanted, format!("hook {h}"))),
        ),
        Item::Why(wanted) => (
            format!("why {wanted:?}"),
            against(&seen.why, |w| {
                (w.contains(wanted.as_str()), format!("why {w:?}"))
            }),
        ),
        Item::Answer(wanted) => (
            format!("answer {}", answer_word(*wanted)),
            against(&seen.answer, |a| judge_answer(*wanted, a.as_deref())),
        ),
        Item::Mark(wanted) => (
            format!("mark {wanted:#x}"),
            against(&seen.mark, |m| (m == wanted, format!("mark {m:#x}"))),
        ),
        Item::Visited(wanted) => (
            format!("visited {wanted}"),
            against(&seen.visited, |v| (v == wanted, format!("visited {v}"))),
        ),
        Item::Parent(_) | Item::SameConnection(_) => relation(item, seen, known),
        item => {
            let got = against(&seen.connection, |c| match c {
                Some(connection) => {
                    hold_connection(item, connection).unwrap_or_else(|| (true, String::new()))
                }
                None => (false, "no connection".to_owned()),
            });
            let unseen = match &seen.connection {
                Seen::Seen(Some(c)) => hold_connection(item, c).is_none(),
                _ => false,
            };
            (connection_words(item), got.filter(|_| !unseen))
        }
    }
}

/// `parent P` and `connection P`: by the numbers of connections.
fn relation(item: &Item, seen: &Observed, known: &Connections) -> (String, Option<(bool, String)>) {
    let connection = match &seen.connection {
        Seen::Seen(c) => Some(c.as_ref()),
        Seen::Unseen => None,
    };
    let number = |id: Option<u64>| id.map_or("none".to_owned(), |id| format!("#{id}"));
    match item {
        Item::Parent(wanted) => {
            let expected = match wanted {
                None => "parent none".to_owned(),
                Some(r) => format!("parent {}", reference_word(r)),
            };
            let parent = connection.and_then(|c| match c.map(|c| &c.parent) {
                Some(Seen::Seen(parent)) => Some(*parent),
                Some(Seen::Unseen) => None,
                None => Some(None),
            });
            let got = parent.map(|parent| match wanted {
                None => (parent.is_none(), format!("parent {}", number(parent))),
                Some(r) => {
                    let wanted = known.of(r);
                    let agrees = wanted.is_some() && wanted == parent;
                    let got = format!("parent {} (wanted {})", number(parent), number(wanted));
                    (agrees, got)
                }
            });
            (expected, got)
        }
        Item::SameConnection(reference) => {
            let id = connection.and_then(|c| match c.map(|c| &c.id) {
                Some(Seen::Seen(id)) => Some(Some(*id)),
                Some(Seen::Unseen) => None,
                None => Some(None),
            });
            let got = id.map(|id| {
                let wanted = known.of(reference);
                let agrees = wanted.is_some() && wanted == id;
                (
                    agrees,
                    format!("connection {} (wanted {})", number(id), number(wanted)),
                )
            });
            (format!("connection {}", reference_word(reference)), got)
        }
        _ => (String::new(), None),
    }
}

fn reference_word(reference: &Reference) -> String {
    match reference {
        Reference::Label(label, None) => label.clone(),
        Reference::Label(label, Some(n)) => format!("{label}.{n}"),
        Reference::Number(n) => n.to_string(),
        Reference::Previous => "previous".to_owned(),
    }
}

/// An item about a connection, in the script's words.
fn connection_words(item: &Item) -> String {
    match item {
        Item::ConnectionMark(m) => format!("ctmark {m:#x}"),
        Item::Helper(h) => format!("helper {}", h.as_deref().unwrap_or("none")),
        Item::TcpState(s) => format!("tcp {s}"),
        Item::SctpState(s) => format!("sctp {s}"),
        Item::Assured(yes) => (if *yes { "assured" } else { "unassured" }).to_owned(),
        Item::Replied(yes) => (if *yes { "replied" } else { "unreplied" }).to_owned(),
        Item::Timeout(t) => format!("timeout {t}"),
        _ => String::new(),
    }
}

/// `None` when that side of the connection is unseen.
fn hold_connection(item: &Item, connection: &ConnectionSeen) -> Option<(bool, String)> {
    fn compare<T: PartialEq + Clone>(
        seen: &Seen<T>,
        wanted: &T,
        words: impl FnOnce(T) -> Item,
    ) -> Option<(bool, String)> {
        match seen {
            Seen::Unseen => None,
            Seen::Seen(got) => Some((got == wanted, connection_words(&words(got.clone())))),
        }
    }
    match item {
        Item::ConnectionMark(m) => compare(&connection.mark, m, Item::ConnectionMark),
        Item::Helper(h) => compare(&connection.helper, h, Item::Helper),
        Item::TcpState(s) => compare(&connection.state, &Some(s.clone()), |got| {
            Item::TcpState(got.unwrap_or_else(|| "without a state".to_owned()))
        }),
        Item::SctpState(s) => compare(&connection.state, &Some(s.clone()), |got| {
            Item::SctpState(got.unwrap_or_else(|| "without a state".to_owned()))
        }),
        Item::Assured(yes) => compare(&connection.assured, yes, Item::Assured),
        Item::Replied(yes) => compare(&connection.replied, yes, Item::Replied),
        Item::Timeout(t) => match &connection.timeout {
            Seen::Unseen => None,
            Seen::Seen(got) => {
                let near = (t.saturating_sub(connection.timeout_slack)..=*t).contains(got);
                Some((near, connection_words(&Item::Timeout(*got))))
            }
        },
        _ => Some((true, String::new())),
    }
}

fn answer_word(answer: Answer) -> String {
    match answer {
        Answer::None => "none".to_owned(),
        Answer::TcpReset => "tcp-reset".to_owned(),
        // The names of the two families do not overlap in type and code, save for 3/0 and 3/1, which
        // ICMPv6 has no REJECT for.
        Answer::Icmp { kind, code } => names::answer_name(kind == 1, kind, code),
    }
}

/// Whether the packet sent back is the one wanted, and what it is.
fn judge_answer(wanted: Answer, packet: Option<&[u8]>) -> (bool, String) {
    let Some(packet) = packet else {
        return (wanted == Answer::None, "answer none".to_owned());
    };
    let (protocol, transport, v6) = match packet.first().map(|b| b >> 4) {
        Some(4) => {
            let header = usize::from(packet.first().map_or(0, |b| b & 0x0f)) * 4;
            (packet.get(9).copied(), header, false)
        }
        _ => (packet.get(6).copied(), 40, true),
    };
    let byte = |at: usize| packet.get(transport + at).copied().unwrap_or(0);
    use palisade_wire::{proto, tcp::flags};
    let (is, words) = match protocol {
        Some(proto::TCP) if byte(13) & flags::RST != 0 => {
            (Answer::TcpReset, "tcp-reset".to_owned())
        }
        Some(proto::ICMP | proto::ICMPV6) => (
            Answer::Icmp {
                kind: byte(0),
                code: byte(1),
            },
            names::answer_name(v6, byte(0), byte(1)),
        ),
        other => return (false, format!("answer of protocol {other:?}")),
    };
    (is == wanted, format!("answer {words}"))
}

/// Holds a number (of counters, connections, expectations) against a check.
///
/// `bytes` is the rule's byte counter, where it was seen.
///
/// # Errors
///
/// A [`Mismatch`] when they differ, or when there is no such thing to count (`count` is `None`).
pub fn check_count(
    check: &Check,
    count: Option<u64>,
    bytes: Option<u64>,
) -> Result<Compared, Mismatch> {
    let mut comparison = Comparison::new();
    let got = count.map_or("nothing there".to_owned(), |n| format!("= {n}"));
    match &check.what {
        CheckKind::Counters {
            rule,
            packets,
            bytes: wanted_bytes,
            ..
        } => {
            let expected = format!("counters {rule} = {packets}");
            let agrees = count == Some(*packets);
            comparison.put(expected, Some((agrees, format!("counters {rule} {got}"))));
            if let Some(wanted) = wanted_bytes {
                let got = bytes.map(|b| (b == *wanted, format!("{b} bytes")));
                comparison.put(format!("{wanted} bytes"), got);
            }
        }
        CheckKind::Connections(n) => {
            let agrees = count == Some(*n);
            comparison.put(
                format!("connections = {n}"),
                Some((agrees, format!("connections {got}"))),
            );
        }
        CheckKind::Expectations(n) => {
            let agrees = count == Some(*n);
            comparison.put(
                format!("expectations = {n}"),
                Some((agrees, format!("expectations {got}"))),
            );
        }
        CheckKind::Connection(_) | CheckKind::NoConnection(_) => {}
    }
    comparison.finish(check.span, None)
}

/// Holds the connection table against a check about one connection; `round` counts from 0.
///
/// # Errors
///
/// A [`Mismatch`] when the entry is missing, differs, or is there and should not be.
pub fn check_connection<'c>(
    check: &Check,
    round: u32,
    table: impl IntoIterator<Item = &'c ConnectionSeen>,
) -> Result<Compared, Mismatch> {
    let (pattern, wanted) = match &check.what {
        CheckKind::Connection(pattern) => (pattern, true),
        CheckKind::NoConnection(pattern) => (pattern, false),
        _ => return Ok(Compared::default()),
    };
    let mut comparison = Comparison::new();
    let name = pattern_words(pattern, round);
    let fits = |c: &&ConnectionSeen| match &c.original {
        Seen::Seen(tuple) => pattern.fits(tuple, round),
        Seen::Unseen => false,
    };
    let found: Vec<&ConnectionSeen> = table.into_iter().filter(fits).collect();
    if !wanted {
        // With words behind it, it denies only a connection that is so.
        let denied = found.iter().any(|c| {
            let mut items = pattern.items.iter();
            items.all(|(i, _)| hold_connection(i, c).is_none_or(|(agrees, _)| agrees))
        });
        comparison.put(
            format!("no connection {name}"),
            Some((!denied, format!("connection {name}"))),
        );
        return comparison.finish(check.span, None);
    }
    comparison.put(
        format!("connection {name}"),
        Some((!found.is_empty(), format!("no connection {name}"))),
    );
    if let Some(connection) = found.first() {
        for (item, _) in &pattern.items {
            comparison.put(connection_words(item), hold_connection(item, connection));
        }
    }
    comparison.finish(check.span, None)
}

fn pattern_words(pattern: &ConnectionPattern, round: u32) -> String {
    let end = |e: &super::model::Endpoint| {
        let address = super::play::address_in_round(e, round);
        match e.port {
            Some(port) => std::net::SocketAddr::new(address, port.at(round) as u16).to_string(),
            None => address.to_string(),
        }
    };
    format!("{} > {}", end(&pattern.from), end(&pattern.to))
}
