//! What the parts of a packet's way cost, each alone and with everything in the nearest cache: `palisade bench`
//! measures the whole with caches as they are.

// What the macros of criterion make is public and has no words of its own.
#![allow(missing_docs)]

mod flows;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use palisade_conntrack::{Config, Conntrack, State, TrackHook, Tuple};
use palisade_wire::{Buffer, Packet, Timestamp, tcp::flags};

/// Connections in the table.
const FLOWS: u32 = 1024;

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let (udp, _) = flows::datagram(1, false);
    let (tcp, _) = flows::segment(1, false, flags::ACK, [0; 2], 10);
    for (name, bytes) in [("udp", &udp), ("tcp", &tcp)] {
        group.bench_function(name, |b| b.iter(|| Packet::parse(black_box(bytes))));
        let packet = Packet::parse(bytes).expect("a packet");
        group.bench_function(format!("{name}-checksum"), |b| {
            b.iter(|| black_box(&packet).transport_checksum_ok(packet.protocol()));
        });
    }
    group.finish();
}

/// A packet as the table is asked about it: found, its protocol's step made, let go.
fn track(table: &mut Conntrack, bytes: &[u8], out: bool, now: Timestamp) -> State {
    let packet = Packet::parse(bytes).expect("a packet");
    let hook = match out {
        false => TrackHook::Prerouting,
        true => TrackHook::Output,
    };
    let mut track = table.track(&packet, hook, None, now);
    let mut buffer = Buffer::new(packet, Vec::new());
    table.leave(&mut buffer, &mut track, &(), now);
    table.discard(&track);
    track.state
}

/// A table with open connections.
fn table(tcp: bool) -> Conntrack {
    let mut table = Conntrack::new(Config {
        // Measured by itself.
        checksum: 0,
        ..Config::default()
    });
    for (bytes, out) in flows::opening(FLOWS, tcp) {
        track(&mut table, &bytes, out, Timestamp::new(1, 0));
    }
    assert_eq!(table.len(), FLOWS as usize);
    table
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    let mut table = table(false);
    let tuple = |flow| {
        let (bytes, _) = flows::datagram(flow, false);
        let packet = Packet::parse(&bytes).expect("a packet");
        Tuple::of(&packet).expect("a tuple")
    };
    let now = Timestamp::new(2, 0);
    for (name, flow, known) in [("hit", 7, true), ("miss", FLOWS + 7, false)] {
        let tuple = tuple(flow);
        assert_eq!(table.lookup(&tuple, [0; 2], now).is_some(), known);
        group.bench_function(name, |b| {
            b.iter(|| table.lookup(black_box(&tuple), [0; 2], now));
        });
    }
    group.finish();
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("track");
    group.throughput(Throughput::Elements(1));
    let now = Timestamp::new(5, 0);
    let mut udp = table(false);
    let (datagram, _) = flows::datagram(7, false);
    assert_eq!(track(&mut udp, &datagram, false, now), State::Established);
    group.bench_function("udp", |b| {
        b.iter(|| track(&mut udp, black_box(&datagram), false, now));
    });

    // Data to the host and its acknowledgement, each with the numbers that follow.
    let mut tcp = table(true);
    let data = flags::PSH | flags::ACK;
    let mut pair = [
        flows::segment(7, false, data, [0; 2], 10),
        flows::segment(7, true, flags::ACK, [10, 0], 0),
    ];
    let mut at = 0;
    group.bench_function("tcp", |b| {
        b.iter(|| {
            let (bytes, out) = &mut pair[at];
            let state = track(&mut tcp, black_box(bytes), *out, now);
            // Sequence number of data, acknowledgement number of its answer.
            let place = if *out { 28..32 } else { 24..28 };
            let number = u32::from_be_bytes(bytes[place.clone()].try_into().expect("4 bytes"));
            bytes[place].copy_from_slice(&number.wrapping_add(10).to_be_bytes());
            at = 1 - at;
            assert_eq!(state, State::Established);
        });
    });
    group.finish();
}

criterion_group!(benches, parse, lookup, step);
criterion_main!(benches);
