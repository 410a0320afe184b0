//! Entries in the tool's own form and in that of its own command lines.

use std::fmt::Write;

use palisade_wire::{Timestamp, proto};

use super::Desk;
use super::date::{Date, seconds};
use super::protocol::Protocol;
use super::record::{Expected, Kind, Record, family_name, protocol_name};
use super::vocabulary::Output;
use crate::connection::Status;
use crate::tuple::{Direction, Tuple, TupleProto};

/// How entries are shown, and when.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) output: Output,
    pub(super) desk: &'a Desk<'a>,
    pub(super) now: Timestamp,
    /// Whether names of labels are shown: not where an entry is deleted.
    pub(super) labels: bool,
}

/// An entry, in one line without its end.
pub(super) fn record(record: &Record, kind: Option<Kind>, view: &View<'_>) -> String {
    if view.output.has(Output::SAVE) {
        save(record, kind)
    } else if view.output.has(Output::JSON) {
        super::json::record(record, kind, view)
    } else if view.output.has(Output::XML) {
        super::xml::record(record, kind, view)
    } else {
        plain(record, kind, view)
    }
}

/// An expectation, likewise.
pub(super) fn expected(expected: &Expected, kind: Option<Kind>, view: &View<'_>) -> String {
    if view.output.has(Output::JSON) {
        super::json::expected(expected, kind, view)
    } else if view.output.has(Output::XML) {
        super::xml::expected(expected, kind, view)
    } else {
        plain_expected(expected, kind)
    }
}

fn begin(line: &mut String, kind: Option<Kind>) {
    if let Some(kind) = kind {
        let _ = write!(line, "{:>9} ", format!("[{}]", kind.name()));
    }
}

fn plain(record: &Record, kind: Option<Kind>, view: &View<'_>) -> String {
    let mut line = String::with_capacity(240);
    begin(&mut line, kind);
    let protocol = record.tuples[0].protocol;
    if view.output.has(Output::EXTENDED) {
        let (name, number) = family_name(record.family());
        let _ = write!(line, "{name:<8} {number} ");
    }
    let _ = write!(line, "{:<8} {protocol} ", protocol_name(protocol));
    if let Some(timeout) = record.timeout {
        let _ = write!(line, "{timeout} ");
    }
    if let Some(state) = record.state {
        let _ = write!(line, "{state} ");
    }
    for direction in [Direction::Original, Direction::Reply] {
        let original = direction == Direction::Original;
        let _ = write!(line, "{} ", record.tuples[direction.index()]);
        if let Some(zone) = record.zone_of(direction) {
            let name = if original { "orig" } else { "reply" };
            let _ = write!(line, "zone-{name}={zone} ");
        }
        if let Some(traffic) = &record.traffic {
            let traffic = traffic[direction.index()];
            let _ = write!(line, "packets={} bytes={} ", traffic.packets, traffic.bytes);
        }
        if original && !record.status.has(Status::SEEN_REPLY) {
            line.push_str("[UNREPLIED] ");
        }
    }
    if record.status.has(Status::ASSURED) {
        line.push_str("[ASSURED] ");
    }
    if let Some(mark) = record.mark {
        let _ = write!(line, "mark={mark} ");
    }
    if let Some(zone) = record.zone() {
        let _ = write!(line, "zone={zone} ");
    }
    if let Some(start) = record.start {
        // The tool takes whole seconds of both clocks.
        let end = record.stop.unwrap_or(view.now);
        let age = seconds(end).saturating_sub(seconds(start));
        let _ = write!(line, "delta-time={age} ");
    }
    if view.output.has(Output::KERNEL_TIMESTAMP) {
        for (name, time) in [("start", record.start), ("stop", record.stop)] {
            if let Some(time) = time {
                let _ = write!(line, "[{name}={}] ", Date::of(time, view.desk.east).line());
            }
        }
    }
    if let Some(helper) = record.helper {
        let _ = write!(line, "helper={helper} ");
    }
    if let Some(uses) = record.uses {
        let _ = write!(line, "use={uses} ");
    }
    if view.output.has(Output::ID) {
        let _ = write!(line, "id={} ", record.id);
    }
    let named = view.labels && view.output.has(Output::LABELS) && !view.desk.labels.is_empty();
    if named && record.labels != 0 {
        // What is cut off at the end is the last comma, or what stands in its place.
        let mut part = String::from("labels=");
        labels(record.labels, view.desk).for_each(|name| part += &format!("{name},"));
        part.pop();
        let _ = write!(line, "{part} ");
    }
    line.pop();
    line
}

/// Names of the labels that have one, lowest first.
pub(super) fn labels<'a>(bits: u128, desk: &'a Desk<'_>) -> impl Iterator<Item = &'a str> {
    let mut named: Vec<(u8, &str)> = desk
        .labels
        .iter()
        .filter(|(_, bit)| **bit < 128 && bits >> **bit & 1 != 0)
        .map(|(name, bit)| (*bit, name.as_str()))
        .collect();
    named.sort_unstable();
    named.dedup_by_key(|(bit, _)| *bit);
    named.into_iter().map(|(_, name)| name)
}

/// The status bits that a saved entry names.
const SAVED: [(Status, &str); 4] = [
    (Status::EXPECTED, "EXPECTED"),
    (Status::SEEN_REPLY, "SEEN_REPLY"),
    (Status::ASSURED, "ASSURED"),
    (Status::FIXED_TIMEOUT, "FIXED_TIMEOUT"),
];

fn save(record: &Record, kind: Option<Kind>) -> String {
    let mut line = String::from(match kind {
        None | Some(Kind::New) => "-A ",
        Some(Kind::Update) => "-U ",
        Some(Kind::Destroy) => "-D ",
    });
    if let Some(timeout) = record.timeout {
        let _ = write!(line, "-t {timeout} ");
    }
    let named = SAVED.iter().filter(|(bit, _)| record.status.has(*bit));
    let names: Vec<&str> = named.map(|(_, name)| *name).collect();
    let names = if names.is_empty() {
        vec!["UNSET"]
    } else {
        names
    };
    let _ = write!(line, "-u {} ", names.join(","));
    let zones = [
        ("-w", record.zone()),
        ("--orig-zone", record.zone_of(Direction::Original)),
        ("--reply-zone", record.zone_of(Direction::Reply)),
    ];
    for (name, zone) in zones {
        if let Some(zone) = zone {
            let _ = write!(line, "{name} {zone} ");
        }
    }
    let [original, reply] = &record.tuples;
    let source = if record.destination_moved() {
        "-g"
    } else {
        "-r"
    };
    let destination = if record.source_moved() { "-n" } else { "-q" };
    let _ = write!(
        line,
        "-s {} -d {} {source} {} {destination} {} ",
        original.source, original.destination, reply.source, reply.destination
    );
    let protocol = original.protocol;
    match Protocol::numbered(protocol) {
        Some(known) => {
            let _ = write!(line, "-p {} ", known.name);
        }
        None => {
            let _ = write!(line, "-p {protocol} ");
        }
    }
    match original.proto {
        TupleProto::Icmp { id, kind, code } => {
            let name = if protocol == proto::ICMPV6 {
                "icmpv6"
            } else {
                "icmp"
            };
            let _ = write!(
                line,
                "--{name}-type {kind} --{name}-code {code} --{name}-id {id} "
            );
        }
        TupleProto::Ports { .. } | TupleProto::Gre { .. } => {
            let names = match protocol {
                proto::GRE => ["srckey", "dstkey", "reply-key-src", "reply-key-dst"],
                _ => ["sport", "dport", "reply-port-src", "reply-port-dst"],
            };
            let words = [
                original.source_word(),
                original.destination_word(),
                reply.source_word(),
                reply.destination_word(),
            ];
            for (name, word) in names.iter().zip(words) {
                let _ = write!(line, "--{name} {word} ");
            }
        }
        TupleProto::Generic => {}
    }
    if let Some(state) = record.state {
        let _ = write!(line, "--state {state} ");
    }
    if let Some([original, reply]) = record.tags {
        let _ = write!(line, "--orig-vtag {original} --reply-vtag {reply} ");
    }
    line.truncate(line.trim_end_matches(' ').len());
    line
}

fn plain_expected(expected: &Expected, kind: Option<Kind>) -> String {
    let mut line = String::with_capacity(240);
    begin(&mut line, kind);
    let _ = write!(
        line,
        "{} proto={} ",
        expected.timeout, expected.tuple.protocol
    );
    for (prefix, tuple) in [
        ("", &expected.tuple),
        ("mask-", &expected.mask),
        ("master-", &expected.master),
    ] {
        let _ = write!(
            line,
            "{prefix}src={} {prefix}dst={} {}",
            tuple.source,
            tuple.destination,
            part(tuple)
        );
    }
    if expected.zone != 0 {
        let _ = write!(line, "zone={} ", expected.zone);
    }
    let flags = [
        (expected.permanent, "PERMANENT"),
        (expected.inactive, "INACTIVE"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|f| f.1).collect();
    if !flags.is_empty() {
        let _ = write!(line, "{} ", flags.join(","));
    }
    let _ = write!(line, "class={} helper={}", expected.class, expected.helper);
    line
}

/// The protocol's part of a tuple, with a blank behind each of its words.
fn part(tuple: &Tuple) -> String {
    match tuple.proto {
        TupleProto::Ports {
            source,
            destination,
        } => format!("sport={source} dport={destination} "),
        TupleProto::Gre {
            source,
            destination,
        } => format!("srckey=0x{source:x} dstkey=0x{destination:x} "),
        TupleProto::Icmp { id, kind, code } => format!("type={kind} code={code} id={id} "),
        TupleProto::Generic => String::new(),
    }
}
