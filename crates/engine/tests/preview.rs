//! What other rules would do to connections, without doing it.

use palisade_conntrack::{Direction, State};
use palisade_engine::rules::{Family, Ruleset, parse};
use palisade_engine::{
    Arrival, Engine, Exchange, Host, Interface, Preview, Replacement, Session, Setup, Verdict,
};
use palisade_wire::{Timestamp, build, proto, tcp::flags};

fn rules(text: &str) -> Ruleset {
    let rules = parse::auto(text, Family::V4);
    assert!(rules.diagnostics.is_empty(), "{:?}", rules.diagnostics);
    rules.v4.unwrap_or_else(|| Ruleset::new(Family::V4))
}

fn engine(text: &str) -> Engine {
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
        rules4: Some(rules(text)),
        host,
        ..Setup::default()
    })
    .unwrap()
}

fn preview(engine: &Engine, text: &str) -> Preview {
    engine
        .preview(Replacement {
            rules4: Exchange::For(Some(rules(text))),
            ..Replacement::default()
        })
        .unwrap()
}

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn send(engine: &mut Engine, mut bytes: Vec<u8>) -> Verdict {
    let mut arrivals = [Arrival {
        unfinished: true,
        ..Arrival::new(&mut bytes, Default::default())
    }];
    engine.process_batch(&mut arrivals, NOW);
    arrivals[0].judged.verdict
}

fn ip(from: &str, to: &str) -> build::Ip {
    build::Ip::new(from.parse().unwrap(), to.parse().unwrap())
}

fn udp(engine: &mut Engine, from: (&str, u16), to: (&str, u16)) {
    send(engine, build::udp(&ip(from.0, to.0), from.1, to.1, b"x"));
}

fn segment(from: (&str, u16), to: (&str, u16), flags: u8, seq: u32, ack: u32) -> Vec<u8> {
    let header = build::Tcp {
        source_port: from.1,
        destination_port: to.1,
        seq,
        ack,
        flags,
        window: 60_000,
        ..Default::default()
    };
    build::tcp(&ip(from.0, to.0), &header, b"")
}

fn connect(engine: &mut Engine, from: (&str, u16), to: (&str, u16)) {
    let both = flags::SYN | flags::ACK;
    for bytes in [
        segment(from, to, flags::SYN, 100, 0),
        segment(to, from, both, 900, 101),
        segment(from, to, flags::ACK, 101, 901),
    ] {
        assert_eq!(send(engine, bytes), Verdict::Accept);
    }
}

/// Everything that can be seen of an engine.
fn seen(engine: &Engine) -> String {
    let entries: Vec<String> = engine
        .conntrack()
        .connections()
        .map(|c| format!("{:?} {:?}", c.connection(), c.traffic()))
        .collect();
    let rules = engine.ruleset(Family::V4);
    format!("{rules:?} {entries:?} {:?}", engine.remembered())
}

const LAN: &str = "10.0.0.2";
const OUT: &str = "203.0.113.9";
const OWN: &str = "192.0.2.1";

#[test]
fn only_those_that_fare_otherwise_are_told() {
    let mut engine = engine("-A FORWARD -m recent --name seen --set\n-A FORWARD -j ACCEPT");
    connect(&mut engine, (LAN, 1), (OUT, 22));
    connect(&mut engine, (LAN, 2), (OUT, 80));
    udp(&mut engine, (LAN, 3), (OUT, 53));
    udp(&mut engine, (OUT, 53), (LAN, 3));
    // Nobody answered.
    udp(&mut engine, (LAN, 4), (OUT, 53));
    send(
        &mut engine,
        build::icmp(&ip(LAN, OUT), 8, 0, [0, 7, 0, 1], b""),
    );
    let before = seen(&engine);
    let new = "-P FORWARD DROP\n-A FORWARD -p tcp --dport 22 -j REJECT\n\
               -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
               -A FORWARD -p icmp -m limit --limit 1/hour --limit-burst 1 -j ACCEPT";
    let mut preview = preview(&engine, new);
    // As often as it is asked, the limit has its one packet.
    for _ in 0..2 {
        let all = preview.all(&engine, NOW, 100);
        assert_eq!((all.asked, all.left_out), (5, 0));
        let mut told: Vec<_> = all
            .found
            .iter()
            .map(|d| {
                let by = d.after.decider().unwrap();
                let port = d.tuple.source_port();
                (port, d.direction, d.after.verdict, by.rule)
            })
            .collect();
        told.sort_by_key(|t| (t.0, t.1));
        let original = Direction::Original;
        let wanted = [
            (Some(1), original, Verdict::Reject, 1),
            (Some(4), original, Verdict::Drop, 0),
        ];
        assert_eq!(told, wanted);
        let first = all.found.iter().find(|d| d.tuple.source_port() == Some(4));
        let first = first.unwrap();
        assert_eq!(first.before.verdict, Verdict::Accept);
        assert_eq!(first.before.decider().unwrap().rule, 2);
        assert_eq!(first.after.state, Some(State::New));
        assert_eq!(
            preview.of(&engine, first.id, NOW),
            std::slice::from_ref(first)
        );
        let few = preview.all(&engine, NOW, 1);
        assert_eq!((few.found.len(), few.left_out), (1, 1));
    }
    assert_eq!(seen(&engine), before);
    // What was foreseen comes about.
    let all = preview.all(&engine, NOW, 100);
    engine
        .replace(Replacement {
            rules4: Exchange::For(Some(rules(new))),
            ..Replacement::default()
        })
        .unwrap();
    assert_eq!(
        send(
            &mut engine,
            segment((LAN, 1), (OUT, 22), flags::ACK, 101, 901)
        ),
        Verdict::Reject
    );
    assert_eq!(
        send(
            &mut engine,
            segment((LAN, 2), (OUT, 80), flags::ACK, 101, 901)
        ),
        Verdict::Accept
    );
    let ids: Vec<_> = all.found.iter().map(|d| d.id).collect();
    assert_eq!(engine.cut(&ids), 2);
    assert_eq!(engine.cut(&ids), 0);
    assert_eq!(engine.conntrack().len(), 3);
}

#[test]
fn every_protocols_next_packet_is_one_of_its_connection() {
    let mut engine = engine(
        "-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT\n-P FORWARD DROP\n-t nat -A POSTROUTING -o wan0 -j MASQUERADE",
    );
    let answer = |engine: &mut Engine, bytes: Vec<u8>| {
        assert_eq!(send(engine, bytes), Verdict::Accept);
    };
    // A connection in each state of TCP's opening.
    send(
        &mut engine,
        segment((LAN, 1), (OUT, 22), flags::SYN, 100, 0),
    );
    send(
        &mut engine,
        segment((LAN, 2), (OUT, 22), flags::SYN, 100, 0),
    );
    answer(
        &mut engine,
        segment((OUT, 22), (OWN, 2), flags::SYN | flags::ACK, 7, 101),
    );
    send(
        &mut engine,
        segment((LAN, 5), (OUT, 22), flags::SYN, 100, 0),
    );
    answer(
        &mut engine,
        segment((OUT, 22), (OWN, 5), flags::SYN | flags::ACK, 7, 101),
    );
    send(
        &mut engine,
        segment((LAN, 5), (OUT, 22), flags::ACK, 101, 8),
    );
    send(
        &mut engine,
        segment((LAN, 5), (OUT, 22), flags::ACK | flags::FIN, 101, 8),
    );
    udp(&mut engine, (LAN, 3), (OUT, 53));
    send(
        &mut engine,
        build::icmp(&ip(LAN, OUT), 8, 0, [0, 7, 0, 1], b""),
    );
    let init = [1, 0, 0, 20, 0, 0, 0, 9, 0, 0, 8, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    send(&mut engine, build::sctp(&ip(LAN, OUT), 1, 2, 0, &init));
    send(
        &mut engine,
        build::raw(&ip(LAN, OUT), proto::GRE, &[0, 0, 8, 0, 0, 0, 0, 0]),
    );
    send(
        &mut engine,
        build::raw(
            &ip(LAN, OUT),
            proto::UDPLITE,
            &[0, 1, 0, 2, 0, 8, 0xff, 0xff],
        ),
    );
    send(&mut engine, build::raw(&ip(LAN, OUT), 99, &[0; 8]));
    let all: Vec<_> = engine
        .conntrack()
        .connections()
        .map(|c| c.tuples())
        .collect();
    assert_eq!(all.len(), 9, "{all:?}");
    let text = "-P FORWARD DROP\n-t nat -A POSTROUTING -o wan0 -j MASQUERADE";
    let mut preview = preview(&engine, text);
    let all = preview.all(&engine, NOW, 100);
    // What no end can send in its state is dropped by either.
    let sctp = |d: &&palisade_engine::Difference| d.tuple.protocol != proto::SCTP;
    let found: Vec<_> = all.found.iter().filter(sctp).collect();
    assert_eq!(found.len(), 16, "{found:#?}");
    for difference in found {
        let state = difference.before.state.unwrap();
        let first = difference.direction == Direction::Original;
        assert!(
            state == State::Established || first && state == State::New,
            "{difference:#?}"
        );
    }
}

#[test]
fn a_session_goes_on_or_is_stopped_by_a_named_rule() {
    let session = Session {
        protocol: proto::TCP,
        peer: (OUT.parse().unwrap(), 40_000),
        here: (OWN.parse().unwrap(), 22),
    };
    let open = "-A INPUT -p tcp --dport 22 -j ACCEPT";
    let stateful = "-P INPUT DROP\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT";
    let no_answers = "-A OUTPUT -p tcp --sport 22 -j DROP";
    let not_new = "-A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP\n-A INPUT -p tcp --dport 22 -j ACCEPT";
    for (text, in_table, fresh, by) in [
        (open, true, true, None),
        // What is established is let in, and nobody but its own packets opens it: ours do.
        (stateful, true, true, None),
        ("-P INPUT DROP", false, false, Some(("INPUT", 0))),
        (no_answers, false, false, Some(("OUTPUT", 1))),
        // The connection is not new; without it, the answer opens it.
        (not_new, true, true, None),
        (
            "-P INPUT DROP\n-P OUTPUT DROP\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
            true,
            false,
            None,
        ),
    ] {
        let mut there = engine("-A INPUT -m state --state NEW");
        connect(&mut there, (OUT, 40_000), (OWN, 22));
        let empty = engine("");
        for (engine, wanted) in [(&there, in_table), (&empty, fresh)] {
            let foreseen = preview(engine, text).session(engine, &session, NOW);
            assert_eq!(foreseen.goes_on(), wanted, "{text} {foreseen:#?}");
            assert_eq!(foreseen.tracked, engine.conntrack().len() == 1);
            let stopped = foreseen.stopped_by().and_then(|f| f.decider());
            if let Some(by) = by {
                let stopped = stopped.map(|by| (by.chain.to_string(), by.rule));
                assert_eq!(stopped, Some((by.0.to_string(), by.1)));
            }
            assert!(engine.foresee(&session, NOW).goes_on());
        }
    }
}
