//! What `nf_conntrack_acct` counts: a packet that is let pass without being believed is not counted.

use palisade_conntrack::{Config, Conntrack, TrackHook};
use palisade_wire::{Buffer, Packet, Timestamp, build, tcp::flags};

/// Sends packets one after the other; the packets counted in original direction after each.
fn counted(packets: &[Vec<u8>]) -> Vec<u64> {
    let mut table = Conntrack::new(Config {
        acct: 1,
        ..Config::default()
    });
    let mut counts = Vec::new();
    for (n, bytes) in packets.iter().enumerate() {
        let now = Timestamp::new(n as u64, 0);
        let packet = Packet::parse(bytes).unwrap();
        let mut track = table.track(&packet, TrackHook::Prerouting, None, now);
        table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), now);
        counts.push(table.connections().next().unwrap().traffic()[0].packets);
    }
    counts
}

fn ends() -> (build::Ip, build::Ip) {
    let (a, b) = ("10.1.0.2".parse().unwrap(), "10.2.0.2".parse().unwrap());
    (build::Ip::new(a, b), build::Ip::new(b, a))
}

#[test]
fn tcp_segments_that_are_ignored_are_not_counted() {
    let (forth, back) = ends();
    let segment = |ip, reply, bits, seq, ack| {
        let (source_port, destination_port) = if reply { (80, 40000) } else { (40000, 80) };
        let header = build::Tcp {
            source_port,
            destination_port,
            seq,
            ack,
            flags: bits,
            window: 64240,
            ..build::Tcp::default()
        };
        build::tcp(ip, &header, b"")
    };
    let packets = [
        segment(&forth, false, flags::SYN, 1000, 0),
        // The SYN again does not renew the timeout.
        segment(&forth, false, flags::SYN, 1000, 0),
        segment(&back, true, flags::SYN | flags::ACK, 5000, 1001),
        segment(&forth, false, flags::ACK, 1001, 5001),
        // A SYN in the middle, an ACK from long ago.
        segment(&forth, false, flags::SYN, 1000, 0),
        segment(
            &forth,
            false,
            flags::ACK,
            1001u32.wrapping_sub(500_000),
            5001,
        ),
        segment(&forth, false, flags::ACK, 1001, 5001),
    ];
    assert_eq!(counted(&packets), [1, 1, 1, 2, 2, 2, 3]);
}

#[test]
fn sctp_packets_that_do_not_renew_the_timeout_are_not_counted() {
    let (forth, back) = ends();
    let init = |kind, tag: u32| {
        let tag = tag.to_be_bytes();
        let rest = [0, 0, 255, 255, 0, 10, 0, 10];
        [&[kind, 0, 0, 20][..], &tag, &rest, &tag].concat()
    };
    let beat = [4, 0, 0, 4];
    let packets = [
        build::sctp(&forth, 40000, 80, 0, &init(1, 1000)),
        build::sctp(&forth, 40000, 80, 0, &init(1, 1000)),
        build::sctp(&back, 80, 40000, 1000, &init(2, 5000)),
        build::sctp(&forth, 40000, 80, 5001, &beat),
        build::sctp(&forth, 40000, 80, 5000, &beat),
    ];
    assert_eq!(counted(&packets), [1, 1, 1, 1, 2]);
}
