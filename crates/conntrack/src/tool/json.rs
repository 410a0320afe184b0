//! Entries as JSON, one object a line: a form of ours, which the real tool does not have.

use std::fmt::{Display, Write};

use palisade_wire::Timestamp;

use super::record::{Expected, Kind, Record, family_name, protocol_name};
use super::show::{View, labels};
use super::vocabulary::Output;
use crate::connection::Status;
use crate::tuple::{Direction, Tuple, TupleProto};

/// An object in the making.
struct Object(String);

impl Object {
    fn new() -> Self {
        Object(String::from("{"))
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
    }

    fn number(&mut self, name: &str, value: impl Display) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    fn text(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.0 += &quoted(&value.to_string());
    }

    fn time(&mut self, name: &str, time: Option<Timestamp>) {
        if let Some(Timestamp(n)) = time {
            let (seconds, rest) = (n / 1_000_000_000, n % 1_000_000_000);
            self.number(name, format_args!("{seconds}.{rest:09}"));
        }
    }

    fn texts<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) {
        self.name(name);
        let values: Vec<String> = values.map(quoted).collect();
        let _ = write!(self.0, "[{}]", values.join(","));
    }

    fn object(&mut self, name: &str, object: Object) {
        self.name(name);
        self.0 += &object.end();
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    let mut to = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => to.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(to, "\\u{:04x}", c as u32);
            }
            c => to.push(c),
        }
    }
    to.push('"');
    to
}

fn tuple(tuple: &Tuple) -> Object {
    let mut to = Object::new();
    to.text("src", tuple.source);
    to.text("dst", tuple.destination);
    match tuple.proto {
        TupleProto::Ports {
            source,
            destination,
        } => {
            to.number("sport", source);
            to.number("dport", destination);
        }
        TupleProto::Gre {
            source,
            destination,
        } => {
            to.number("srckey", source);
            to.number("dstkey", destination);
        }
        TupleProto::Icmp { id, kind, code } => {
            to.number("type", kind);
            to.number("code", code);
            to.number("id", id);
        }
        TupleProto::Generic => {}
    }
    to
}

fn begin(kind: Option<Kind>, view: &View<'_>, of: &Tuple) -> Object {
    let mut to = Object::new();
    if let Some(kind) = kind {
        to.text("event", kind.name());
    }
    if view.output.has(Output::TIMESTAMP) {
        to.time("time", Some(view.now));
    }
    to.text("family", family_name(of.family()).0);
    to.text("protocol", protocol_name(of.protocol));
    to.number("protonum", of.protocol);
    to
}

const STATUSES: [(Status, &str); 7] = [
    (Status::EXPECTED, "EXPECTED"),
    (Status::SEEN_REPLY, "SEEN_REPLY"),
    (Status::ASSURED, "ASSURED"),
    (Status::SRC_NAT, "SRC_NAT"),
    (Status::DST_NAT, "DST_NAT"),
    (Status::FIXED_TIMEOUT, "FIXED_TIMEOUT"),
    (Status::HELPER, "HELPER"),
];

/// An entry.
pub(super) fn record(record: &Record, kind: Option<Kind>, view: &View<'_>) -> String {
    let mut to = begin(kind, view, &record.tuples[0]);
    to.number("id", record.id);
    to.maybe("timeout", record.timeout);
    if let Some(state) = record.state {
        to.text("state", state);
    }
    for direction in [Direction::Original, Direction::Reply] {
        let mut way = tuple(&record.tuples[direction.index()]);
        way.maybe("zone", record.zone_of(direction));
        if let Some(traffic) = &record.traffic {
            let traffic = traffic[direction.index()];
            way.number("packets", traffic.packets);
            way.number("bytes", traffic.bytes);
        }
        way.maybe("vtag", record.tags.map(|tags| tags[direction.index()]));
        to.object(&direction.name().to_ascii_lowercase(), way);
    }
    let named = STATUSES.iter().filter(|(bit, _)| record.status.has(*bit));
    to.texts("status", named.map(|(_, name)| *name));
    to.maybe("mark", record.mark);
    to.maybe("zone", record.zone());
    if let Some(helper) = record.helper {
        to.text("helper", helper);
    }
    if record.labels != 0 {
        to.texts("labels", labels(record.labels, view.desk));
        to.text("label-bits", format_args!("0x{:x}", record.labels));
    }
    to.time("start", record.start);
    to.time("stop", record.stop);
    to.maybe("use", record.uses);
    to.end()
}

/// An expectation.
pub(super) fn expected(expected: &Expected, kind: Option<Kind>, view: &View<'_>) -> String {
    let mut to = begin(kind, view, &expected.tuple);
    to.number("timeout", expected.timeout);
    to.object("expected", tuple(&expected.tuple));
    to.object("mask", tuple(&expected.mask));
    to.object("master", tuple(&expected.master));
    if expected.zone != 0 {
        to.number("zone", expected.zone);
    }
    let flags = [
        (expected.permanent, "PERMANENT"),
        (expected.inactive, "INACTIVE"),
    ];
    to.texts(
        "flags",
        flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name),
    );
    to.number("class", expected.class);
    to.text("helper", expected.helper);
    to.end()
}
