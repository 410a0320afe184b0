//! A bump in the wire: FORWARD's rules, and a packet that leaves as it came.

use std::sync::Arc;

use palisade_engine::conntrack::State;
use palisade_engine::rules::{Family, parse};
use palisade_engine::{
    Arrival, Bridge, Ended, Engine, Evaluator, LinkInfo, Port, Route, Setup, Verdict,
};
use palisade_wire::{Timestamp, build, icmp::Icmp, link::PacketType, tcp::flags};

const RULES: &str = "*mangle\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m ttl --ttl-lt 1 -j DROP\nCOMMIT\n\
                     *filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
                     -A FORWARD -m physdev --physdev-in left0 --physdev-out right0 -p tcp --dport 80 -j ACCEPT\n\
                     -A FORWARD -i left0 -o right0 -p icmp -j REJECT --reject-with icmp-host-prohibited\n\
                     -A FORWARD -p udp -m pkttype --pkt-type broadcast -j ACCEPT\nCOMMIT\n";

/// An engine in a wire, and its two directions.
fn wire(rules: &str, evaluator: Evaluator) -> (Engine, [Port; 2]) {
    let mut engine = Engine::new(Setup {
        rules4: parse::auto(rules, Family::V4).v4,
        rules6: parse::auto("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", Family::V6).v6,
        evaluator,
        ..Setup::default()
    })
    .unwrap();
    let ends: [Arc<str>; 2] = ["left0".into(), "right0".into()];
    let ports = [(0, 1), (1, 0)].map(|(from, to)| {
        let [from, to]: [Arc<str>; 2] = [Arc::clone(&ends[from]), Arc::clone(&ends[to])];
        let bridge = Bridge {
            came: Some(Arc::clone(&from)),
            leaves: Some(Arc::clone(&to)),
        };
        engine.port(Route::Wire(from, to), bridge)
    });
    (engine, ports)
}

fn one(engine: &mut Engine, bytes: &mut [u8], port: Port) -> palisade_engine::Judged {
    one_in(engine, bytes, port, LinkInfo::default())
}

fn one_in(
    engine: &mut Engine,
    bytes: &mut [u8],
    port: Port,
    link: LinkInfo,
) -> palisade_engine::Judged {
    let mut batch = [Arrival {
        link,
        ..Arrival::new(bytes, port)
    }];
    engine.process_batch(&mut batch, Timestamp::new(1, 0));
    let [arrival] = batch;
    arrival.judged
}

#[test]
fn every_way_through_the_engine_leaves_the_packet_as_it_came() {
    for evaluator in [Evaluator::Compiled, Evaluator::Linear] {
        let (mut engine, ports) = wire(RULES, evaluator);
        let ends: [std::net::IpAddr; 2] = [[192, 0, 2, 1].into(), [198, 51, 100, 2].into()];
        let (mut seq, mut ack) = (1000, 0);
        for (step, kind) in [flags::SYN, flags::SYN | flags::ACK]
            .into_iter()
            .chain([flags::ACK; 6])
            .enumerate()
        {
            let side = usize::from(step == 1 || step > 2 && step % 2 == 0);
            let mut ip = build::Ip::new(ends[side], ends[1 - side]);
            // What is used up for a router is not for a wire.
            ip.ttl = if step % 3 == 0 { 1 } else { 64 };
            let header = build::Tcp {
                source_port: [40_000, 80][side],
                destination_port: [80, 40_000][side],
                seq: [seq, 9000 + u32::from(step > 1)][side],
                ack: [ack, seq][side],
                flags: kind,
                window: 8192,
                ..build::Tcp::default()
            };
            if step == 0 {
                seq += 1;
            }
            if step == 1 {
                ack = 9001;
            }
            let sent = build::tcp(&ip, &header, b"");
            let mut bytes = sent.clone();
            let judged = one(&mut engine, &mut bytes, ports[side]);
            assert_eq!(judged.verdict, Verdict::Accept, "{evaluator:?} {step}");
            let state = if step == 0 {
                State::New
            } else {
                State::Established
            };
            assert_eq!(judged.state, Some(state), "{evaluator:?} {step}");
            assert_eq!(bytes, sent, "{evaluator:?} {step}");
            assert!(judged.detail.as_ref().is_none_or(|d| d.output.is_none()));
        }
    }
}

#[test]
fn a_refusal_is_answered_and_frames_to_all_are_asked_about() {
    let (mut engine, ports) = wire(RULES, Evaluator::Compiled);
    let ip = build::Ip::new([192, 0, 2, 1].into(), [198, 51, 100, 2].into());
    let ping = build::icmp(&ip, 8, 0, [0, 1, 0, 1], b"ping");
    let mut judged = one(&mut engine, &mut ping.clone(), ports[0]);
    assert_eq!(judged.verdict, Verdict::Reject);
    let reply = judged.detail.take().and_then(|d| d.reply).unwrap();
    let sent = reply.sent.unwrap();
    let answer = palisade_wire::Packet::parse(&sent).unwrap();
    assert_eq!(
        (answer.source(), answer.destination()),
        (ip.destination, ip.source)
    );
    assert_eq!(
        Icmp::new(answer.transport()).map(|i| (i.kind(), i.code())),
        Some((3, 10))
    );
    // The same from the other side is dropped: the rule names the ends.
    let judged = one(&mut engine, &mut ping.clone(), ports[1]);
    assert_eq!(judged.verdict, Verdict::Drop);

    let ip = build::Ip::new([0, 0, 0, 0].into(), [255, 255, 255, 255].into());
    let link = LinkInfo {
        packet_type: Some(PacketType::Broadcast),
        ..LinkInfo::default()
    };
    let sent = build::udp(&ip, 68, 67, b"dhcp");
    let mut bytes = sent.clone();
    let judged = one_in(&mut engine, &mut bytes, ports[0], link);
    assert_eq!(judged.verdict, Verdict::Accept);
    assert_eq!(bytes, sent);
}

#[test]
fn neighbours_find_each_other_through_a_wire() {
    let (mut engine, ports) = wire(RULES, Evaluator::Compiled);
    let mut ip = build::Ip::new(
        "fe80::1".parse().unwrap(),
        "ff02::1:ff00:2".parse().unwrap(),
    );
    ip.ttl = 255;
    let mut body = vec![0; 0];
    body.extend("fe80::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let sent = build::icmp(&ip, 135, 0, [0; 4], &body);
    let mut bytes = sent.clone();
    let judged = one(&mut engine, &mut bytes, ports[0]);
    assert_eq!(judged.verdict, Verdict::Accept);
    assert_eq!(bytes, sent);
}

#[test]
fn the_size_of_pieces_is_told_with_what_they_make() {
    let rules =
        "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n";
    let (mut engine, ports) = wire(rules, Evaluator::Compiled);
    let ip = build::Ip::new([192, 0, 2, 1].into(), [198, 51, 100, 2].into());
    let whole = build::udp(&ip, 1, 2, &[7; 2000]);
    let mut pieces = build::fragments(&whole, 800, 9);
    let largest = pieces.iter().map(Vec::len).max();
    let last = pieces.pop().unwrap();
    for mut piece in pieces {
        let mut judged = one(&mut engine, &mut piece, ports[0]);
        assert_eq!(judged.verdict, Verdict::Stolen);
        assert_eq!(
            judged.detail.take().map(|d| d.why.ended),
            Some(Ended::Fragment)
        );
    }
    let mut judged = one(&mut engine, &mut last.clone(), ports[0]);
    assert_eq!(judged.verdict, Verdict::Accept);
    let detail = judged.detail.take().unwrap();
    assert_eq!(detail.output.as_ref(), Some(&whole));
    assert_eq!(Some(detail.largest_piece), largest);
}
