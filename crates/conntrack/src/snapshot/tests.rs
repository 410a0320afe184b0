use palisade_wire::{Buffer, Packet, build, proto, tcp::flags};
use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::connection::Status;
use crate::helper::HelperState;
use crate::track::{Template, TrackHook, ZoneSpec};

const NOW: Timestamp = Timestamp(5_000_000_000_000);

fn packet(table: &mut Conntrack, bytes: &[u8], template: Option<&Template>) {
    let packet = Packet::parse(bytes).unwrap();
    let mut track = table.track(&packet, TrackHook::Unfinished, template, NOW);
    table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), NOW);
    table.discard(&track);
}

/// A connection of each kind, one of them with everything that few have.
fn table() -> Conntrack {
    let mut table = Conntrack::new(Config {
        acct: 1,
        ..Config::default()
    });
    let ip = build::Ip::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let six = build::Ip::new(
        "2001:db8::1".parse().unwrap(),
        "2001:db8::2".parse().unwrap(),
    );
    let syn = build::Tcp {
        source_port: 4000,
        destination_port: 21,
        seq: 7,
        flags: flags::SYN,
        window: 1000,
        ..Default::default()
    };
    let init = [1, 0, 0, 20, 0, 0, 0, 9, 0, 0, 8, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    let zone = Template {
        zone: ZoneSpec {
            id: 5,
            ..ZoneSpec::default()
        },
        helper: Some("ftp"),
        proxied: true,
        ..Template::default()
    };
    packet(&mut table, &build::tcp(&ip, &syn, b""), Some(&zone));
    packet(&mut table, &build::udp(&six, 1, 2, b"x"), None);
    packet(&mut table, &build::sctp(&ip, 1, 2, 0, &init), None);
    packet(&mut table, &build::icmp(&ip, 8, 0, [0, 7, 0, 1], b""), None);
    packet(
        &mut table,
        &build::raw(&ip, proto::GRE, &[0, 0, 8, 0]),
        None,
    );
    let id = table
        .connections()
        .find(|c| c.protocol() == proto::TCP)
        .unwrap()
        .id();
    let connection = table.connection_mut(id).unwrap();
    connection.mark = 0x1234;
    connection.set_labels(1 << 100 | 1);
    connection.shift(Direction::Reply, -3);
    let tuple = connection.tuple(Direction::Original);
    let rare = connection.rare_mut();
    rare.helper_state = HelperState::Ftp(Box::default());
    rare.masquerade = Some("wan0".into());
    rare.master = Some(3);
    rare.master_helper = Some("sip");
    rare.master_tuple = Some(tuple);
    rare.announced = Some(("sip", "m=audio".into()));
    connection.status.set(Status::EXPECTED);
    table
}

fn resum(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() - SUM);
    let right = sum(bytes);
    bytes.extend(right);
}

fn seen(table: &Conntrack) -> Vec<String> {
    let entries = table.connections();
    let mut all: Vec<String> = entries
        .map(|c| {
            format!(
                "{} {:?} {:?} {:?}",
                c.number(),
                c.created(),
                c.traffic(),
                c.connection()
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn everything_comes_back() {
    let table = table();
    let bytes = table.snapshot(NOW);
    let mut again = Conntrack::new(table.config().clone());
    let restored = again.restore(&bytes, NOW).unwrap();
    assert_eq!((restored.connections, restored.expectations), (5, 0));
    assert_eq!(seen(&again), seen(&table));
    assert_eq!(again.snapshot(NOW), bytes);
    // Time between is none.
    let later = Timestamp(NOW.0 * 3);
    let mut again = Conntrack::new(table.config().clone());
    again.restore(&bytes, later).unwrap();
    let left = |table: &Conntrack, now| {
        let mut all: Vec<_> = table
            .connections()
            .map(|c| (c.number(), c.timeout(now)))
            .collect();
        all.sort_unstable();
        all
    };
    assert_eq!(left(&again, later), left(&table, NOW));
    // A new connection has a number of its own.
    packet(
        &mut again,
        &build::udp(&build::Ip::new([9; 4].into(), [8; 4].into()), 1, 2, b""),
        None,
    );
    assert_eq!(again.connections().map(|c| c.number()).max(), Some(6));
}

#[test]
fn the_form_is_the_one_of_its_version() {
    let mut table = Conntrack::new(Config::default());
    let ip = build::Ip::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let syn = build::Tcp {
        source_port: 4000,
        destination_port: 22,
        seq: 7,
        flags: flags::SYN,
        window: 1000,
        ..Default::default()
    };
    packet(&mut table, &build::tcp(&ip, &syn, b""), None);
    let hex: String = table
        .snapshot(NOW)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    // Who changes this changes the version.
    assert_eq!(hex, include_str!("form-1.hex").trim());
}

#[test]
fn damage_anywhere_is_seen_and_nothing_is_taken_over() {
    let table = table();
    let bytes = table.snapshot(NOW);
    let mut fresh = Conntrack::new(table.config().clone());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let refused = fresh.restore(&damaged, NOW);
        let wanted = match at {
            0..8 => matches!(refused, Err(SnapshotError::NotOne)),
            8..10 => matches!(refused, Err(SnapshotError::Version { .. })),
            _ => refused == Err(SnapshotError::Damaged),
        };
        assert!(wanted, "{at}: {refused:?}");
        assert!(fresh.restore(&bytes[..at], NOW).is_err());
        assert!(fresh.is_empty());
    }
    fresh.restore(&bytes, NOW).unwrap();
    assert_eq!(fresh.restore(&bytes, NOW), Err(SnapshotError::NotEmpty));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let bytes = table().snapshot(NOW);
    let restore = |bytes: &[u8], config| Conntrack::new(config).restore(bytes, NOW);
    let few = Config {
        max: 4,
        ..Config::default()
    };
    let refused = restore(&bytes, few).unwrap_err();
    assert!(
        refused.to_string().contains("5 connections, and 4 may be"),
        "{refused}"
    );
    // The same connections once more.
    let end = 8 + 1 + 4 + 24;
    let records = &bytes[10..bytes.len() - end];
    let mut twice = bytes[..10].to_vec();
    twice.extend(records);
    twice.extend(records);
    let mut out = Out(twice);
    out.field(kind::END, |out| {
        [10, 0, 0].into_iter().for_each(|n| out.u64(n))
    });
    let mut twice = out.0;
    twice.extend([0; SUM]);
    resum(&mut twice);
    assert_eq!(
        restore(&twice, Config::default()),
        Err(SnapshotError::Twice(1))
    );
    // An unknown field, and an end that counts otherwise.
    for (at, value) in [(15, 99), (bytes.len() - SUM - 1, 1)] {
        let mut odd = bytes.clone();
        odd[at] = value;
        resum(&mut odd);
        let refused = restore(&odd, Config::default());
        assert!(
            matches!(refused, Err(SnapshotError::Nonsense { .. })),
            "{refused:?}"
        );
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_make_no_trouble(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = table().snapshot(NOW);
        for (at, value) in changes {
            let at = 10 + at.index(bytes.len() - 10 - SUM);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(10 + SUM + cut.index(bytes.len() - 10 - SUM));
        }
        resum(&mut bytes);
        let mut table = Conntrack::new(Config::default());
        match table.restore(&bytes, NOW) {
            Err(_) => prop_assert!(table.is_empty()),
            Ok(restored) => {
                prop_assert_eq!(restored.connections, table.len());
                // What was taken over can be worked with.
                table.expire(NOW);
                let ip = build::Ip::new([10, 0, 0, 2].into(), [10, 0, 0, 1].into());
                for bytes in [build::udp(&ip, 1, 2, b""), build::raw(&ip, proto::GRE, &[0, 0, 8, 0])] {
                    packet(&mut table, &bytes, None);
                }
                let all: Vec<_> = table.connections().map(|c| c.id()).collect();
                for id in all {
                    let entry = table.connection(id).unwrap();
                    let _ = crate::print::extended(entry, table.config(), NOW);
                    let _ = entry.next_packet(Direction::Reply);
                    table.kill(id);
                }
                prop_assert!(table.is_empty());
            }
        }
    }
}
