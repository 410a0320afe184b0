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
}
