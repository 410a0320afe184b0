//! What the table tells while somebody watches; that it is what the kernel tells is held elsewhere, on the kernel.

use palisade_conntrack::events::{Changes, Happened, MOST};
use palisade_conntrack::tool::Kind;
use palisade_conntrack::{Config, Conntrack, Template, TrackHook};
use palisade_wire::{Buffer, Packet, Timestamp, build, tcp::flags};

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds, 0)
}

/// A packet that passes, or is dropped behind tracking.
fn packet(
    table: &mut Conntrack,
    bytes: &[u8],
    helper: Option<&'static str>,
    passes: bool,
    now: u64,
) {
    let template = Template {
        helper,
        ..Template::default()
    };
    let packet = Packet::parse(bytes).unwrap();
    let mut track = table.track(&packet, TrackHook::Prerouting, Some(&template), at(now));
    if passes {
        table.leave(
            &mut Buffer::new(packet, Vec::new()),
            &mut track,
            &(),
            at(now),
        );
    }
    table.discard(&track);
}

fn udp(forth: bool, port: u16) -> Vec<u8> {
    let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    match forth {
        true => build::udp(&build::Ip::new(a, b), port, 53, b"x"),
        false => build::udp(&build::Ip::new(b, a), 53, port, b"x"),
    }
}

fn segment(forth: bool, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Vec<u8> {
    let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let (ip, source_port, destination_port) = match forth {
        true => (build::Ip::new(a, b), 4000, 21),
        false => (build::Ip::new(b, a), 21, 4000),
    };
    let header = build::Tcp {
        source_port,
        destination_port,
        seq,
        ack,
        flags,
        window: 60_000,
        ..Default::default()
    };
    build::tcp(&ip, &header, data)
}

fn watched(config: Config) -> Conntrack {
    let mut table = Conntrack::new(config);
    table.set_events(true);
    table
}

/// Kinds and changes, of connections and of expectations.
fn told(table: &mut Conntrack) -> (Vec<(Kind, Changes)>, Vec<Kind>) {
    let (mut connections, mut expectations) = (Vec::new(), Vec::new());
    for happened in table.take_events().happened {
        match happened {
            Happened::Connection(event) => connections.push((event.kind, event.changes)),
            Happened::Expectation(event) => expectations.push(event.kind),
        }
    }
    (connections, expectations)
}

#[test]
fn a_connection_begins_changes_and_ends_by_its_timeout() {
    let mut table = watched(Config::default());
    packet(&mut table, &udp(true, 1), None, true, 0);
    packet(&mut table, &udp(true, 1), None, true, 1);
    packet(&mut table, &udp(false, 1), None, true, 2);
    packet(&mut table, &udp(true, 1), None, true, 6);
    table.expire(at(1000));
    let wanted = [
        (Kind::New, Changes::NEW),
        (Kind::Update, Changes::REPLY),
        (Kind::Update, Changes::ASSURED),
        (Kind::Destroy, Changes::DESTROY),
    ];
    assert_eq!(told(&mut table), (wanted.to_vec(), vec![]));
    assert_eq!(told(&mut table), (vec![], vec![]));
}

#[test]
fn what_a_dropped_packet_changed_is_told_with_the_next_that_passes() {
    let mut table = watched(Config::default());
    // Dropped: it leaves nothing behind, and nothing is told.
    packet(&mut table, &udp(true, 1), None, false, 0);
    packet(&mut table, &udp(true, 1), None, true, 0);
    assert_eq!(told(&mut table).0, [(Kind::New, Changes::NEW)]);
    packet(&mut table, &udp(false, 1), None, false, 1);
    assert_eq!(told(&mut table).0, []);
    packet(&mut table, &udp(true, 1), None, true, 1);
    assert_eq!(told(&mut table).0, [(Kind::Update, Changes::REPLY)]);
}

#[test]
fn early_drop_resets_and_hands_end_connections_too() {
    let mut table = watched(Config {
        max: 2,
        buckets: 1,
        ..Config::default()
    });
    for port in 1..5 {
        packet(&mut table, &udp(true, port), None, true, 0);
    }
    let (all, _) = told(&mut table);
    let ended = all
        .iter()
        .filter(|(kind, _)| *kind == Kind::Destroy)
        .count();
    assert_eq!(ended as u64, table.stats().early_drop);
    assert!(ended > 0);
    let mut table = watched(Config::default());
    packet(
        &mut table,
        &segment(true, flags::SYN, 100, 0, b""),
        None,
        true,
        0,
    );
    packet(
        &mut table,
        &segment(false, flags::RST | flags::ACK, 0, 101, b""),
        None,
        true,
        0,
    );
    packet(&mut table, &udp(true, 1), None, true, 0);
    let id = table.connections().next().unwrap().id();
    table.kill(id);
    let kinds: Vec<Kind> = told(&mut table).0.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::New, Kind::Destroy, Kind::New, Kind::Destroy]);
}

#[test]
fn expectations_are_told_and_what_comes_by_them_is_related() {
    let mut table = watched(Config::default());
    let both = flags::SYN | flags::ACK;
    packet(
        &mut table,
        &segment(true, flags::SYN, 100, 0, b""),
        Some("ftp"),
        true,
        0,
    );
    packet(
        &mut table,
        &segment(false, both, 900, 101, b""),
        Some("ftp"),
        true,
        0,
    );
    packet(
        &mut table,
        &segment(true, flags::ACK, 101, 901, b""),
        Some("ftp"),
        true,
        0,
    );
    let (all, _) = told(&mut table);
    assert!(
        all[0].1.has(Changes::NEW) && all[0].1.has(Changes::HELPER),
        "{all:?}"
    );
    assert!(
        all[1].1.has(Changes::REPLY) && all[1].1.has(Changes::PROTOINFO),
        "{all:?}"
    );
    for (seq, line) in [(101, &b"USER me\r\n"[..]), (110, b"PORT 10,0,0,1,16,1\r\n")] {
        let bytes = segment(true, flags::ACK, seq, 901, line);
        packet(&mut table, &bytes, Some("ftp"), true, 1);
    }
    assert_eq!(told(&mut table).1, [Kind::New]);
    let ip = build::Ip::new([10, 0, 0, 2].into(), [10, 0, 0, 1].into());
    let syn = build::Tcp {
        source_port: 20,
        destination_port: 16 * 256 + 1,
        seq: 1,
        flags: flags::SYN,
        window: 1000,
        ..Default::default()
    };
    packet(&mut table, &build::tcp(&ip, &syn, b""), None, true, 2);
    let (connections, expectations) = told(&mut table);
    assert_eq!(expectations, [Kind::Destroy]);
    assert!(connections[0].1.has(Changes::RELATED) && !connections[0].1.has(Changes::NEW));
}

#[test]
fn nobody_watches_and_too_much_happens() {
    let mut table = Conntrack::new(Config::default());
    packet(&mut table, &udp(true, 1), None, true, 0);
    assert!(!table.watched() && table.take_events().happened.is_empty());
    table.set_events(true);
    for port in 0..MOST as u32 + 5 {
        let bytes = udp(true, port as u16);
        packet(&mut table, &bytes, None, true, 0);
    }
    let taken = table.take_events();
    assert_eq!((taken.happened.len(), taken.lost), (MOST, 4));
    packet(&mut table, &udp(true, 60_000), None, true, 0);
    table.set_events(false);
    assert!(table.take_events().happened.is_empty());
}
