//! Packets whose checksums hardware is still to fill in, and how bytes change.

use palisade_conntrack::State;
use palisade_engine::rules::{Family, parse};
use palisade_engine::{
    Arrival, Changed, Engine, Host, Input, Interface, Judged, Owner, Route, Setup, Verdict,
};
use palisade_wire::{Packet, Timestamp, build, proto, tcp::flags};

fn engine(rules: &str) -> Engine {
    let rules = parse::auto(rules, Family::V4);
    assert!(rules.diagnostics.is_empty(), "{:?}", rules.diagnostics);
    let side = |name: &str, own: &str, net: &str, length| Interface {
        name: name.into(),
        addresses: vec![own.parse().unwrap()],
        prefixes: vec![(net.parse().unwrap(), length)],
        ..Interface::default()
    };
    let host = Host::new(
        [],
        [
            side("lan0", "10.0.0.1", "10.0.0.0", 24),
            side("wan0", "192.0.2.1", "0.0.0.0", 0),
        ],
    );
    Engine::new(Setup {
        rules4: rules.v4,
        host,
        ..Setup::default()
    })
    .unwrap()
}

const CLIENT: &str = "10.0.0.2";
const SERVER: &str = "203.0.113.9";

fn segment(forth: bool, flags: u8, (seq, ack): (u32, u32), payload: &[u8]) -> Vec<u8> {
    let (from, to) = if forth {
        (CLIENT, SERVER)
    } else {
        (SERVER, CLIENT)
    };
    let (source_port, destination_port) = if forth { (4000, 80) } else { (80, 4000) };
    let header = build::Tcp {
        source_port,
        destination_port,
        seq,
        ack,
        flags,
        window: 60_000,
        ..Default::default()
    };
    let ip = build::Ip::new(from.parse().unwrap(), to.parse().unwrap());
    build::tcp(&ip, &header, payload)
}

/// Open, data, data, with what stands in the checksum field when hardware is to fill it in.
fn conversation() -> Vec<Vec<u8>> {
    let mut all = vec![
        segment(true, flags::SYN, (100, 0), b""),
        segment(false, flags::SYN | flags::ACK, (500, 101), b""),
        segment(true, flags::ACK, (101, 501), b""),
        segment(true, flags::ACK, (101, 501), b"question"),
        segment(false, flags::ACK, (501, 109), b"answer"),
        segment(true, flags::ACK, (109, 507), b"question"),
    ];
    for bytes in &mut all {
        bytes[36..38].copy_from_slice(&[0x12, 0x34]);
    }
    all
}

fn judge(engine: &mut Engine, bytes: &mut [u8], unfinished: bool, now: u64) -> Judged {
    let mut arrivals = [Arrival {
        unfinished,
        ..Arrival::new(bytes, Default::default())
    }];
    engine.process_batch(&mut arrivals, Timestamp::new(now, 0));
    let [arrival] = arrivals;
    arrival.judged
}

#[test]
fn nothing_is_held_against_a_checksum_that_is_not_there_yet() {
    // The short and the usual way; the long one, where a table of nat has no say.
    for rules in [
        "-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT\n-P FORWARD DROP",
        "-t nat -A POSTROUTING -d 198.51.100.1 -j SNAT --to 192.0.2.1\n-P FORWARD DROP\n\
         -A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
    ] {
        let (mut left, mut wrong) = (engine(rules), engine(rules));
        let mut alone = engine(rules);
        for (n, bytes) in conversation().iter().enumerate() {
            let mut left_bytes = bytes.clone();
            let judged = judge(&mut left, &mut left_bytes, true, n as u64);
            assert_eq!(judged.verdict, Verdict::Accept, "{n}");
            assert_eq!(judged.changed, Changed::default());
            // It is still to be filled in.
            assert_eq!(left_bytes[36..38], [0x12, 0x34]);
            let outcome = alone.process(
                &Input {
                    unfinished: true,
                    time: Timestamp::new(n as u64, 0),
                    ..Input::new(bytes)
                },
                &mut (),
            );
            assert_eq!(
                (outcome.verdict, outcome.state),
                (judged.verdict, judged.state)
            );
            let judged = judge(&mut wrong, &mut bytes.clone(), false, n as u64);
            assert_eq!(judged.state, Some(State::Invalid));
            assert_eq!(judged.verdict, Verdict::Drop);
        }
    }
}

#[test]
fn what_is_translated_leaves_with_a_checksum_and_says_what_changed() {
    let mut engine = engine("-t nat -A POSTROUTING -o wan0 -p tcp -j SNAT --to 192.0.2.1:9000");
    for (n, bytes) in conversation().iter().enumerate() {
        let forth = bytes[12] == 10;
        let mut bytes = bytes.clone();
        if !forth {
            // As the answer comes from outside.
            bytes[16..20].copy_from_slice(&[192, 0, 2, 1]);
            bytes[22..24].copy_from_slice(&9000_u16.to_be_bytes());
            build::finish_v4_header(&mut bytes);
        }
        let judged = judge(&mut engine, &mut bytes, true, n as u64);
        let wanted = Changed {
            source: forth,
            other: !forth,
        };
        assert_eq!((judged.verdict, judged.changed), (Verdict::Accept, wanted));
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.header_checksum_ok() && packet.transport_checksum_ok(proto::TCP));
    }
}

#[test]
fn reject_answers_a_packet_without_its_checksum() {
    for with in ["tcp-reset", "icmp-port-unreachable"] {
        let mut engine = engine(&format!("-A FORWARD -p tcp -j REJECT --reject-with {with}"));
        for unfinished in [true, false] {
            let mut bytes = conversation().swap_remove(0);
            let mut judged = judge(&mut engine, &mut bytes, unfinished, 0);
            assert_eq!(judged.verdict, Verdict::Reject);
            let reply = judged.detail.take().and_then(|detail| detail.reply);
            assert_eq!(reply.is_some(), unfinished, "{with}");
        }
    }
}

#[test]
fn whose_socket_made_a_packet_is_known_on_every_way() {
    for more in ["", "-t nat -A OUTPUT -d 198.51.100.1 -j ACCEPT\n"] {
        let rules = format!("{more}-A OUTPUT -m owner --uid-owner 33 -j DROP");
        for uid in [33, 34] {
            let mut engine = engine(&rules);
            let port = engine.port(Route::Out("wan0".into()), Default::default());
            for n in 0..4 {
                let from = build::Ip::new("192.0.2.1".parse().unwrap(), SERVER.parse().unwrap());
                let mut bytes = build::udp(&from, 4000, 53, b"question");
                let mut arrivals = [Arrival {
                    owner: Some(Owner {
                        user: uid,
                        ..Owner::default()
                    }),
                    ..Arrival::new(&mut bytes, port)
                }];
                engine.process_batch(&mut arrivals, Timestamp::new(n, 0));
                let dropped = arrivals[0].judged.verdict == Verdict::Drop;
                assert_eq!(dropped, uid == 33);
            }
        }
    }
}
