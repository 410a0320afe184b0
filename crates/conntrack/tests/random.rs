//! Packets by chance against a small table: nothing panics, the bound holds, nothing is lost in the hash.

use palisade_conntrack::{Config, Conntrack, State, TrackHook};
use palisade_wire::{Buffer, Packet, Timestamp, build};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Step {
    tcp: bool,
    forward: bool,
    port: u16,
    flags: u8,
    seq: u32,
    ack: u32,
    wait: u64,
    dropped: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = prop_oneof![Just(0u32), 0u32..5000, any::<u32>()];
    let flags = prop_oneof![
        Just(0x02u8),
        Just(0x12),
        Just(0x10),
        Just(0x18),
        Just(0x11),
        Just(0x04),
        any::<u8>()
    ];
    let wait = prop_oneof![8 => 0u64..3, 1 => 0u64..500, 1 => 0u64..500_000];
    let step = (
        any::<bool>(),
        any::<bool>(),
        0u16..6,
        flags,
        number.clone(),
        number,
        wait,
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(tcp, forward, port, flags, seq, ack, wait, dropped)| Step {
                tcp,
                forward,
                port,
                flags,
                seq,
                ack,
                wait,
                dropped,
            },
        );
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn the_table_stays_whole(
        steps in steps(),
        buckets in 1u64..9,
        max in 1u64..6,
        tcp_loose in 0u64..2,
    ) {
        let config = Config { buckets, max, tcp_loose, ..Config::default() };
        let mut table = Conntrack::new(config);
        table.set_explain(true);
        let client = build::Ip::new("203.0.113.9".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let server = build::Ip::new(client.destination, client.source);
        let mut now = Timestamp::new(1000, 0);
        for step in steps {
            now = now + std::time::Duration::from_secs(step.wait);
            let port = 40_000 + step.port;
            let (ip, from, to) = if step.forward {
                (&client, port, 80)
            } else {
                (&server, 80, port)
            };
            let bytes = if step.tcp {
                let header = build::Tcp {
                    source_port: from,
                    destination_port: to,
                    seq: step.seq,
                    ack: step.ack,
                    flags: step.flags,
                    window: 1000,
                    ..build::Tcp::default()
                };
                build::tcp(ip, &header, b"data")
            } else {
                build::udp(ip, from, to, b"data")
            };
            let packet = Packet::parse(&bytes).unwrap();
            let mut track = table.track(&packet, TrackHook::Prerouting, None, now);
            if track.drop.is_none() && !step.dropped {
                let alive = track.state != State::Invalid && !track.dying;
                let left = table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), now);
                if alive && left.drop.is_none() {
                    let id = track.connection.expect("a connection");
                    prop_assert!(table.connection(id).expect("in the table").confirmed());
                }
            }
            table.discard(&track);
            prop_assert!(table.len() as u64 <= max, "{} entries", table.len());
            prop_assert_eq!(table.connections().count(), table.len());
        }
        table.expire(now + std::time::Duration::from_secs(1_000_000));
        prop_assert_eq!(table.len(), 0);
    }

    #[test]
    fn an_association_made_of_anything_keeps_its_word(
        packets in proptest::collection::vec(
            (any::<bool>(), 0u32..4, proptest::collection::vec(chunk(), 0..4), proptest::collection::vec(any::<u8>(), 0..6)),
            1..60,
        ),
    ) {
        let mut table = Conntrack::new(Config { buckets: 4, ..Config::default() });
        let client = build::Ip::new("203.0.113.9".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let server = build::Ip::new(client.destination, client.source);
        let now = Timestamp::new(1000, 0);
        let mut known = 0;
        for (forward, tag, chunks, tail) in packets {
            let mut body = chunks.concat();
            body.extend(tail);
            let bytes = if forward {
                build::sctp(&client, 40_000, 80, tag, &body)
            } else {
                build::sctp(&server, 80, 40_000, tag, &body)
            };
            let packet = Packet::parse(&bytes).unwrap();
            let mut track = table.track(&packet, TrackHook::Prerouting, None, now);
            table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), now);
            table.discard(&track);
            // What is INVALID makes no entry, what is NEW for the first time one.
            let new = u64::from(known == 0 && track.state == State::New);
            prop_assert_eq!(table.len() as u64, known + new, "{:?}", track.reason);
            known += new;
            prop_assert!(known != 0 || track.state == State::Invalid);
            for connection in table.connections() {
                prop_assert!(connection.state_name() != Some("NONE"));
                prop_assert!(connection.timeout(now) >= 3);
            }
        }
    }
}

/// A chunk of SCTP whose length field is mostly right.
fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![9 => 0u8..16, 1 => any::<u8>()];
    let value = proptest::collection::vec(0u8..4, 0..24);
    let wrong = prop_oneof![9 => Just(None), 1 => any::<u16>().prop_map(Some)];
    (kind, 0u8..4, value, wrong).prop_map(|(kind, flags, value, wrong)| {
        let length = wrong.unwrap_or(value.len() as u16 + 4).to_be_bytes();
        let mut bytes = vec![kind, flags, length[0], length[1]];
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    })
}
