//! The kernel's own tables: connections and expectations by netlink, lists of `-m recent` from `/proc`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use palisade_conntrack::{Tuple, TupleProto};
use palisade_wire::proto;

use super::netlink::{Asking, attribute, be16, be32, be64, text};
use crate::tables::{Entry, Tables, connection_key, expectation_key, label_words, status_words};

/// All connections (subsystem 1, message "get").
const CONNECTIONS: u16 = 0x0101;
/// All expectations (subsystem 2, message "get").
const EXPECTATIONS: u16 = 0x0201;

/// Numbers of attributes (kernel `enum ctattr_type` and its likes).
mod number {
    pub const ORIGINAL: u16 = 1;
    pub const REPLY: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const PROTOCOL_INFO: u16 = 4;
    pub const HELP: u16 = 5;
    pub const TIMEOUT: u16 = 7;
    pub const MARK: u16 = 8;
    pub const COUNTED: u16 = 9;
    pub const COUNTED_BACK: u16 = 10;
    pub const PARENT: u16 = 14;
    pub const ZONE: u16 = 18;
    pub const LABELS: u16 = 22;
    pub const TUPLE_ADDRESSES: u16 = 1;
    pub const TUPLE_PROTOCOL: u16 = 2;
    pub const TUPLE_ZONE: u16 = 3;
    pub const INFO_TCP: u16 = 1;
    pub const INFO_SCTP: u16 = 3;
    pub const EXPECT_PARENT: u16 = 1;
    pub const EXPECT_TUPLE: u16 = 2;
    pub const EXPECT_MASK: u16 = 3;
    pub const EXPECT_TIMEOUT: u16 = 4;
    pub const EXPECT_HELPER: u16 = 6;
    pub const EXPECT_ZONE: u16 = 7;
}

/// TCP states by number (kernel `enum tcp_conntrack`), in conntrack(8)'s words.
const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// SCTP states by number (kernel `enum sctp_conntrack`).
const SCTP_STATES: [&str; 9] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
];

/// Reads the tables of the namespace in which `asking` was opened and the calling thread is.
///
/// # Errors
///
/// When the kernel does not tell.
pub(super) fn read(asking: &mut Asking) -> Result<Tables> {
    let mut tables = Tables::default();
    asking.dump(CONNECTIONS, 0, |attributes| {
        tables.connections.extend(connection(attributes));
    })?;
    asking.dump(EXPECTATIONS, 0, |attributes| {
        tables.expectations.extend(expectation(attributes));
    })?;
    for entry in std::fs::read_dir("/proc/thread-self/net/xt_recent")
        .into_iter()
        .flatten()
    {
        let path = entry.context("lists of recent")?.path();
        let listed = std::fs::read_to_string(&path).context("a list of recent")?;
        let mut addresses: Vec<String> = listed.lines().filter_map(recent).collect();
        addresses.sort();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        tables.recent.insert(name.into_owned(), addresses);
    }
    Ok(tables)
}

fn connection(attributes: &[u8]) -> Option<(String, Entry)> {
    let word = |kind| attribute(attributes, kind).and_then(be32);
    let [original, reply] = [number::ORIGINAL, number::REPLY].map(|k| attribute(attributes, k));
    let (original, reply) = (original?, reply?);
    let both = attribute(attributes, number::ZONE).and_then(be16);
    let zone = |side| {
        let own = attribute(side, number::TUPLE_ZONE).and_then(be16);
        both.or(own).unwrap_or(0)
    };
    let zones = [zone(original), zone(reply)];
    let counted = |kind| {
        let counters = attribute(attributes, kind)?;
        let packets = attribute(counters, 1).and_then(be64)?;
        Some(format!(
            "{packets}:{}",
            attribute(counters, 2).and_then(be64)?
        ))
    };
    let state = attribute(attributes, number::PROTOCOL_INFO).and_then(|info| {
        let state = |kind, names: &[&'static str]| {
            let code = *attribute(attribute(info, kind)?, 1)?.first()?;
            names.get(usize::from(code)).copied()
        };
        state(number::INFO_TCP, &TCP_STATES).or_else(|| state(number::INFO_SCTP, &SCTP_STATES))
    });
    let helper = attribute(attributes, number::HELP)
        .and_then(|help| attribute(help, 1))
        .map(text);
    let labels = attribute(attributes, number::LABELS)
        .and_then(|bits| bits.first_chunk())
        .map(|bits| label_words(u128::from_ne_bytes(*bits)));
    let original = tuple(original)?;
    // Without a timeout the entry stays for ever (offloaded): as long as can be said.
    let entry = Entry::new(word(number::TIMEOUT).unwrap_or(u32::MAX).into())
        .with("reply", tuple(reply)?)
        .with("status", status_words(word(number::STATUS).unwrap_or(0)))
        .with("mark", word(number::MARK).unwrap_or(0))
        .with_some("state", state)
        .with_some("helper", helper)
        .with_some(
            "parent",
            attribute(attributes, number::PARENT).and_then(tuple),
        )
        .with_some("labels", labels)
        .with_some("counted", counted(number::COUNTED))
        .with_some("counted back", counted(number::COUNTED_BACK));
    Some((connection_key(&original, zones), entry))
}

fn expectation(attributes: &[u8]) -> Option<(String, Entry)> {
    let awaited = tuple(attribute(attributes, number::EXPECT_TUPLE)?)?;
    let mask = tuple(attribute(attributes, number::EXPECT_MASK)?)?;
    let source = (!mask.source.is_unspecified()).then(|| (awaited.source, ones(mask.source)));
    // Ports, or GRE's keys.
    let source_port = (mask.source_word() != 0).then(|| awaited.source_word());
    let key = expectation_key(
        awaited.protocol,
        (source, source_port),
        (awaited.destination, awaited.destination_word()),
        attribute(attributes, number::EXPECT_ZONE)
            .and_then(be16)
            .unwrap_or(0),
    );
    let timeout = attribute(attributes, number::EXPECT_TIMEOUT).and_then(be32);
    let entry = Entry::new(timeout.unwrap_or(0).into())
        .with_some(
            "helper",
            attribute(attributes, number::EXPECT_HELPER).map(text),
        )
        .with_some(
            "parent",
            attribute(attributes, number::EXPECT_PARENT).and_then(tuple),
        );
    Some((key, entry))
}

/// A tuple of nested attributes.
fn tuple(nested: &[u8]) -> Option<Tuple> {
    let addresses = attribute(nested, number::TUPLE_ADDRESSES)?;
    let inner = attribute(nested, number::TUPLE_PROTOCOL)?;
    let four = |kind| {
        Some(Ipv4Addr::from(
            *attribute(addresses, kind)?.first_chunk::<4>()?,
        ))
    };
    let six = |kind| {
        Some(Ipv6Addr::from(
            *attribute(addresses, kind)?.first_chunk::<16>()?,
        ))
    };
    let (source, destination) = match (four(1), four(2)) {
        (Some(source), Some(destination)) => (IpAddr::V4(source), IpAddr::V4(destination)),
        _ => (IpAddr::V6(six(3)?), IpAddr::V6(six(4)?)),
    };
    let protocol = *attribute(inner, 1)?.first()?;
    let word = |kind| attribute(inner, kind).and_then(be16);
    let byte = |kind| attribute(inner, kind).and_then(|v| v.first().copied());
    let icmp = |id, kind, code| {
        Some(TupleProto::Icmp {
            id: word(id)?,
            kind: byte(kind)?,
            code: byte(code)?,
        })
    };
    let ports = word(2).zip(word(3));
    let part = match (protocol, ports) {
        (proto::GRE, Some((source, destination))) => TupleProto::Gre {
            source,
            destination,
        },
        (_, Some((source, destination))) => TupleProto::Ports {
            source,
            destination,
        },
        (_, None) => icmp(4, 5, 6)
            .or_else(|| icmp(7, 8, 9))
            .unwrap_or(TupleProto::Generic),
    };
    Some(Tuple {
        source,
        destination,
        protocol,
        proto: part,
    })
}

/// A line of a list: `src=10.0.0.1 ttl: 64 last_seen: 4297 oldest_pkt: 2 4290, 4297`.
fn recent(line: &str) -> Option<String> {
    let address: IpAddr = line.strip_prefix("src=")?.split(' ').next()?.parse().ok()?;
    let moments = line.split("oldest_pkt: ").nth(1)?.split_once(' ')?.1;
    Some(format!("{address} {}", moments.split(", ").count()))
}

/// Leading ones of a mask.
fn ones(mask: IpAddr) -> u8 {
    match mask {
        IpAddr::V4(m) => u32::from(m).leading_ones() as u8,
        IpAddr::V6(m) => u128::from(m).leading_ones() as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recent_line_is_an_address_and_how_often() {
        let line =
            "src=10.0.0.1 ttl: 64 last_seen: 4294724197 oldest_pkt: 2 4294724190, 4294724197";
        assert_eq!(recent(line).as_deref(), Some("10.0.0.1 2"));
        let six =
            "src=fd00:0001:0000:0000:0000:0000:0000:0002 ttl: 64 last_seen: 7 oldest_pkt: 1 7";
        assert_eq!(recent(six).as_deref(), Some("fd00:1::2 1"));
        assert_eq!(recent("nonsense"), None);
    }
}
