//! Entries in the tool's XML.

use std::fmt::Write;

use super::date::{Date, seconds};
use super::protocol::Protocol;
use super::record::{Expected, Kind, Record, family_name, protocol_name};
use super::show::{View, labels};
use super::vocabulary::Output;
use crate::connection::Status;
use crate::tuple::{Direction, Tuple, TupleProto};
use palisade_wire::proto;

fn begin(kind: Option<Kind>) -> String {
    match kind {
        None => String::from("<flow>"),
        Some(kind) => format!("<flow type=\"{}\">", kind.name().to_ascii_lowercase()),
    }
}

/// Ports or keys; ICMP has none here.
fn words(to: &mut String, tuple: &Tuple) {
    let _ = match tuple.proto {
        TupleProto::Ports {
            source,
            destination,
        } => write!(to, "<sport>{source}</sport><dport>{destination}</dport>"),
        TupleProto::Gre {
            source,
            destination,
        } => write!(
            to,
            "<srckey>0x{source:x}</srckey><dstkey>0x{destination:x}</dstkey>"
        ),
        TupleProto::Icmp { .. } | TupleProto::Generic => Ok(()),
    };
}

fn addresses(to: &mut String, tuple: &Tuple) {
    let _ = write!(
        to,
        "<src>{}</src><dst>{}</dst>",
        tuple.source, tuple.destination
    );
}

fn layer3(to: &mut String, tuple: &Tuple) {
    let (name, number) = family_name(tuple.family());
    let _ = write!(to, "<layer3 protonum=\"{number}\" protoname=\"{name}\">");
}

fn layer4(to: &mut String, protocol: u8) {
    let name = protocol_name(protocol);
    let _ = write!(to, "<layer4 protonum=\"{protocol}\" protoname=\"{name}\">");
}

fn when(to: &mut String, view: &View<'_>) {
    if view.output.has(Output::TIMESTAMP) {
        to.push_str("<when>");
        Date::of(view.now, view.desk.east).xml(to);
        to.push_str("</when>");
    }
}

/// The name of a state. The tool has one row of names for all protocols, which is TCP's: of SCTP it says the name that
/// the state of that number has there.
fn state(record: &Record) -> Option<&'static str> {
    let state = record.state?;
    if record.tuples[0].protocol != proto::SCTP {
        return Some(state);
    }
    let own = Protocol::numbered(proto::SCTP)?.states;
    let names = Protocol::numbered(proto::TCP)?.states;
    let number = own.iter().position(|s| *s == state).unwrap_or(own.len());
    names.get(number).copied()
}

/// An entry.
pub(super) fn record(record: &Record, kind: Option<Kind>, view: &View<'_>) -> String {
    let mut to = begin(kind);
    for direction in [Direction::Original, Direction::Reply] {
        let tuple = &record.tuples[direction.index()];
        let name = direction.name().to_ascii_lowercase();
        let _ = write!(to, "<meta direction=\"{name}\">");
        layer3(&mut to, tuple);
        addresses(&mut to, tuple);
        to.push_str("</layer3>");
        layer4(&mut to, tuple.protocol);
        words(&mut to, tuple);
        to.push_str("</layer4>");
        if let Some(zone) = record.zone_of(direction) {
            let _ = write!(to, "<zone>{zone}</zone>");
        }
        if let Some(traffic) = &record.traffic {
            let traffic = traffic[direction.index()];
            let _ = write!(
                to,
                "<counters><packets>{}</packets><bytes>{}</bytes></counters>",
                traffic.packets, traffic.bytes
            );
        }
        to.push_str("</meta>");
    }
    to.push_str("<meta direction=\"independent\">");
    if let Some(state) = state(record) {
        let _ = write!(to, "<state>{state}</state>");
    }
    let number = |to: &mut String, name: &str, value: Option<u32>| {
        if let Some(value) = value {
            let _ = write!(to, "<{name}>{value}</{name}>");
        }
    };
    number(&mut to, "timeout", record.timeout);
    number(&mut to, "mark", record.mark);
    let named = view.labels && view.output.has(Output::LABELS) && !view.desk.labels.is_empty();
    if named && record.labels != 0 {
        to.push_str("<labels>");
        labels(record.labels, view.desk).for_each(|name| {
            let _ = write!(to, "<label>{name}</label>");
        });
        to.push_str("</labels>");
    }
    number(&mut to, "zone", record.zone().map(u32::from));
    number(&mut to, "use", record.uses);
    number(&mut to, "id", Some(record.id));
    if record.status.has(Status::ASSURED) {
        to.push_str("<assured/>");
    }
    if !record.status.has(Status::SEEN_REPLY) {
        to.push_str("<unreplied/>");
    }
    if view.output.has(Output::KERNEL_TIMESTAMP) && record.start.is_some() {
        to.push_str("<timestamp>");
        for (name, time) in [("start", record.start), ("stop", record.stop)] {
            if let Some(time) = time {
                let _ = write!(to, "<{name}>{}</{name}>", time.0);
            }
        }
        to.push_str("</timestamp>");
    }
    if let Some(start) = record.start {
        // Of an entry that ended it is what passed, of a living one the seconds of two clocks.
        let age = match record.stop {
            Some(stop) => stop.since(start).as_secs(),
            None => seconds(view.now).saturating_sub(seconds(start)),
        };
        let _ = write!(to, "<deltatime>{age}</deltatime>");
    }
    to.push_str("</meta>");
    if kind.is_some() {
        when(&mut to, view);
    }
    if let Some(helper) = record.helper {
        let _ = write!(to, "<helper>{helper}</helper>");
    }
    to.push_str("</flow>");
    to
}

/// An expectation.
pub(super) fn expected(expected: &Expected, kind: Option<Kind>, view: &View<'_>) -> String {
    let mut to = begin(kind);
    let parts = [
        ("expected", &expected.tuple),
        ("mask", &expected.mask),
        ("master", &expected.master),
    ];
    layer3(&mut to, &expected.tuple);
    for (name, tuple) in parts {
        let _ = write!(to, "<{name}>");
        addresses(&mut to, tuple);
        let _ = write!(to, "</{name}>");
    }
    to.push_str("</layer3>");
    layer4(&mut to, expected.tuple.protocol);
    for (name, tuple) in parts {
        let _ = write!(to, "<{name}>");
        words(&mut to, tuple);
        let _ = write!(to, "</{name}>");
    }
    let _ = write!(
        to,
        "</layer4><meta><helper-name>{}</helper-name><timeout>{}</timeout><class>{}</class>",
        expected.helper, expected.timeout, expected.class
    );
    if expected.zone != 0 {
        let _ = write!(to, "<zone>{}</zone>", expected.zone);
    }
    when(&mut to, view);
    if expected.permanent {
        to.push_str("<permanent/>");
    }
    if expected.inactive {
        to.push_str("<inactive/>");
    }
    to.push_str("</meta></flow>");
    to
}
