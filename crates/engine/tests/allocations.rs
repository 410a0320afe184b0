//! Packets of known flows, and first packets that go the usual way, allocate nothing, alone or many at a time.

use std::net::Ipv4Addr;
use std::time::Duration;

use palisade_engine::rules::{Family, parse};
use palisade_engine::{Arrival, Bridge, Engine, Host, Interface, Port, Route, Setup, Verdict};
use palisade_wire::{Timestamp, build, tcp::flags};

const RULES: &str = "*filter
:INPUT DROP
:FORWARD DROP
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p udp --dport 53 -j ACCEPT
-A INPUT -p tcp --dport 80 -j ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -p udp --dport 53 -j ACCEPT
-A FORWARD -p tcp --dport 80 -j ACCEPT
COMMIT
";

/// The host, and one behind it.
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(10, 1, 0, 9)];

fn engine() -> (Engine, Port) {
    let interface = |name: &str, own: &str, net: &str, length| Interface {
        name: name.into(),
        addresses: vec![own.parse().unwrap()],
        prefixes: vec![(net.parse().unwrap(), length)],
        ..Interface::default()
    };
    let interfaces = [
        interface("wan0", "192.0.2.1", "0.0.0.0", 0),
        interface("lan0", "10.1.0.1", "10.1.0.0", 24),
    ];
    let mut engine = Engine::new(Setup {
        rules4: parse::auto(RULES, Family::V4).v4,
        host: Host::new([], interfaces),
        ..Setup::default()
    })
    .unwrap();
    let port = engine.port(Route::Auto, Bridge::default());
    (engine, port)
}

/// A packet of flow `n` from its client or to it.
fn packet(n: u16, tcp: Option<(u8, u32, u32)>, to_server: bool, port: u16) -> Vec<u8> {
    let client = Ipv4Addr::from(0xcb00_7100 + u32::from(n & 0xff));
    let server = SERVERS[usize::from(n & 1)];
    let (from, to) = if to_server {
        ((client, 1024 + n), (server, port))
    } else {
        ((server, port), (client, 1024 + n))
    };
    let ip = build::Ip::new(from.0.into(), to.0.into());
    match tcp {
        None => build::udp(&ip, from.1, to.1, b"what is it"),
        Some((flags, seq, ack)) => {
            let header = build::Tcp {
                source_port: from.1,
                destination_port: to.1,
                flags,
                seq,
                ack,
                window: 64_000,
                ..build::Tcp::default()
            };
            build::tcp(&ip, &header, b"")
        }
    }
}

/// Allocations while packets are judged, which must all have a verdict.
fn judged(
    engine: &mut Engine,
    port: Port,
    packets: &mut [Vec<u8>],
    batch: usize,
    want: Verdict,
) -> u64 {
    let now = Timestamp::new(1_700_000_000, 0) + Duration::from_secs(5);
    let mut allocated = 0;
    for part in packets.chunks_mut(batch) {
        let mut arrivals: Vec<Arrival<'_>> =
            part.iter_mut().map(|p| Arrival::new(p, port)).collect();
        let counted = allocation_counter::measure(|| engine.process_batch(&mut arrivals, now));
        allocated += counted.count_total;
        for arrival in &arrivals {
            assert_eq!(arrival.judged.verdict, want);
        }
    }
    allocated
}

#[test]
fn neither_known_flows_nor_first_packets_allocate() {
    let (mut engine, port) = engine();
    let flows = 0..64;
    let all = |make: &dyn Fn(u16) -> Vec<u8>| flows.clone().map(make).collect::<Vec<_>>();
    let accept = Verdict::Accept;
    // Both protocols, to the host and through it, until all ways are known.
    for round in 0..3 {
        let udp = [
            all(&|n| packet(n, None, true, 53)),
            all(&|n| packet(n, None, false, 53)),
        ];
        let (syn, ack) = (flags::SYN, flags::ACK);
        let tcp = [
            all(&|n| packet(n, Some((syn, 1, 0)), true, 80)),
            all(&|n| packet(n, Some((syn | ack, 8, 2)), false, 80)),
            all(&|n| packet(n, Some((ack, 2, 9)), true, 80)),
            all(&|n| packet(n, Some((ack, 9, 2)), false, 80)),
        ];
        for mut packets in udp
            .into_iter()
            .chain(tcp.into_iter().skip(2 * usize::from(round > 0)))
        {
            judged(&mut engine, port, &mut packets, 7, accept);
        }
    }
    assert_eq!(engine.conntrack().len(), 128);
    let ack = flags::ACK;
    for batch in [1, 5, 32, 64] {
        let mut known: Vec<Vec<u8>> = [true, false]
            .into_iter()
            .flat_map(|to_server| {
                let seen = if to_server { (ack, 2, 9) } else { (ack, 9, 2) };
                flows.clone().flat_map(move |n| {
                    let udp = packet(n, None, to_server, 53);
                    [udp, packet(n, Some(seen), to_server, 80)]
                })
            })
            .collect();
        assert_eq!(
            judged(&mut engine, port, &mut known, batch, accept),
            0,
            "{batch}"
        );
        // What no rule takes leaves nothing behind.
        let mut refused = all(&|n| packet(n, None, true, 9999));
        assert_eq!(
            judged(&mut engine, port, &mut refused, batch, Verdict::Drop),
            0,
            "{batch}"
        );
        // What is taken has its place in a chunk that is there.
        let fresh = 1000 + 100 * batch as u16;
        let mut taken: Vec<Vec<u8>> = flows
            .clone()
            .map(|n| packet(fresh + n, None, true, 53))
            .collect();
        assert_eq!(
            judged(&mut engine, port, &mut taken, batch, accept),
            0,
            "{batch}"
        );
    }
}
