//! Tests across the language's parts.

use palisade_wire::tcp::Tcp;
use palisade_wire::{Packet, Timestamp, proto};
use proptest::prelude::*;

use super::*;

const NET: &str = "interface lan0 10.1.0.1/24 fd00:1::1/64\n\
    interface wan0 10.2.0.1/24 fd00:2::1/64\n\
    host client 10.1.0.2 fd00:1::2\n\
    host server 10.2.0.2 fd00:2::2\n";

fn script(lines: &str) -> Script {
    let (script, faults) = parse(&format!("{NET}{lines}"));
    assert_eq!(faults, [], "{lines}");
    script
}

/// The packets of a script's only test: milliseconds since its start, and bytes.
fn packets(lines: &str) -> Vec<(u64, Vec<u8>)> {
    let script = script(lines);
    let start = Timestamp::new(100, 0);
    let play = script.play(&script.tests[0], start);
    play.filter_map(|event| match event {
        Event::Packet(sent) => Some((sent.time.since(start).as_millis() as u64, sent.bytes)),
        Event::Check { .. } => None,
    })
    .collect()
}

/// The faults of lines behind [`NET`]: code, line and column within `lines`, replacement.
fn check_faults(lines: &str, wanted: &[(&str, u32, u32, Option<&str>)]) {
    let (_, faults) = parse(&format!("{NET}{lines}"));
    let got: Vec<_> = faults
        .iter()
        .map(|f| {
            let line = f.span.line - NET.lines().count() as u32;
            (f.code, line, f.span.column, f.replacement.as_deref())
        })
        .collect();
    assert_eq!(got, wanted, "\n{lines}\n{faults:#?}");
}

#[test]
fn faults_are_found_all_at_once_each_at_its_place() {
    check_faults(
        "client:40000 > server:22 tpc S\nexpct NEW\nclient:4 > server:70000 tcp S\n",
        &[
            ("unknown-word", 1, 26, Some("tcp")),
            ("unknown-word", 2, 1, Some("expect")),
            ("bad-number", 3, 12, None),
        ],
    );
}

#[test]
fn every_kind_of_fault_has_its_place() {
    for (lines, code, column) in [
        ("client > server tcp S", "no-port", 1),
        ("client:1 > server icmp echo-request", "no-port", 1),
        ("client:1 - server:2 tcp S", "unknown-word", 1),
        ("client:1 > tcp S", "unknown-word", 12),
        ("10.1.0.2:1 > [fd00:2::2]:2 tcp S", "families", 1),
        ("client:1 > server:2 tcp S opt mss", "missing-word", 31),
        ("client:1 > server:2 tcp S seq x", "bad-number", 31),
        ("client:1 > server:2 udp hex:0", "bad-hex", 25),
        ("client:1 > server:2 udp \"x", "unclosed-text", 25),
        ("client:1 > server:2 udp \"\\q\"", "bad-escape", 26),
        ("client:1 > server:2 udp in dmz0", "unknown-word", 28),
        ("client > server sctp init", "no-port", 1),
        ("client:1 > server:2 sctp initack", "unknown-word", 26),
        ("client:1 > server:2 sctp T init", "wrong-word", 26),
        ("client:1 > server:2 sctp data tag 7", "wrong-word", 31),
        ("client:1 > server:2 sctp data vtag x", "bad-number", 36),
        ("client:1 > server:2 sctp chunk 256", "bad-number", 32),
        (
            "client:1 > server:2 sctp init\nexpect sctp SYN_SENT",
            "unknown-word",
            13,
        ),
        (
            "client:1 > server:2 udp len 20 fragment-at 12",
            "bad-cut",
            1,
        ),
        (
            "client:1 > server:2 udp len 20 fragment-at 80",
            "bad-cut",
            1,
        ),
        (
            "client:1 > server:2 udp len 20 pieces 0..16,40..",
            "bad-cut",
            1,
        ),
        ("client:1 > server:2 udp fragments 9", "bad-cut", 1),
        (
            "client:1 > server:2 udp len 64 fragments 2 order 3",
            "bad-number",
            1,
        ),
        ("client:1 > server:2 udp order 1", "wrong-word", 25),
        (
            "client > server icmp port-unreachable quoting 1",
            "no-packet",
            47,
        ),
        ("client > server icmp packet-too-big", "unknown-word", 22),
        ("192.0.2.1:1 > server:2 udp", "no-route", 1),
        ("expect NEW", "no-packet", 1),
        ("expect counters INPUT 0 = 1", "bad-number", 23),
        ("expect connections 3", "missing-word", 19),
        ("at 5 minutes", "bad-time", 4),
        ("repeat 0 {\n}", "bad-number", 1),
        ("repeat 3 {", "unclosed-block", 1),
        (
            "repeat 10 {\nclient:65530+i > server:2 udp\n}",
            "bad-number",
            1,
        ),
        ("}", "wrong-place", 1),
        ("client:1 > server:2 udp\nsysctl a=1", "wrong-place", 1),
        ("client:1 > server:2 udp\ntest \"late\"", "wrong-place", 1),
        ("+2s\nat 1s", "back-in-time", 1),
        ("repeat 999999 {\nrepeat 999999 {\n}\n}", "too-many", 1),
        (
            "repeat 999999 {\nrepeat 11 {\nclient:1 > server:2 udp\n}\n}",
            "too-many",
            1,
        ),
        ("rules {", "unclosed-block", 1),
        (
            "a: client:1 > server:2 udp\na: client:1 > server:2 udp",
            "said-twice",
            1,
        ),
        (
            "client:1 > server:2 udp\nexpect NEW ESTABLISHED",
            "said-twice",
            12,
        ),
    ] {
        let (_, faults) = parse(&format!("{NET}{lines}"));
        let got: Vec<_> = faults.iter().map(|f| (f.code, f.span.column)).collect();
        assert_eq!(got, [(code, column)], "{lines}\n{faults:#?}");
    }
}

#[test]
fn blocks_nested_beyond_all_reason_are_a_fault_and_no_overflow() {
    let deep = 100_000;
    let text = format!("{NET}{}{}", "repeat 1 {\n".repeat(deep), "}\n".repeat(deep));
    let (script, faults) = parse(&text);
    assert_eq!(faults.len(), deep - MAX_DEPTH);
    assert!(faults.iter().all(|f| f.code == "too-deep"));
    assert_eq!(
        script.play(&script.tests[0], Timestamp::default()).count(),
        0
    );
}

#[test]
fn time_moves_a_tick_a_packet_or_exactly_as_told() {
    let lines = "tick 10ms\n\
        client:1 > server:2 udp\nclient:1 > server:2 udp\n+1s\nclient:1 > server:2 udp\n\
        at 5s\nclient:1 > server:2 udp\nclient:1 > server:2 udp lost\nclient:1 > server:2 udp\n";
    let times: Vec<u64> = packets(lines).iter().map(|p| p.0).collect();
    assert_eq!(times, [0, 10, 1010, 5000, 5010]);
}

#[test]
fn a_handshake_and_a_close_are_what_tcp_says() {
    let sent = packets("handshake client:1 > server:2\nclose client:1 > server:2\n");
    let got: Vec<(u8, u32, u32)> = sent
        .iter()
        .map(|(_, bytes)| {
            let packet = Packet::parse(bytes).unwrap();
            let tcp = Tcp::new(packet.transport()).unwrap();
            (tcp.flags(), tcp.seq().0, tcp.ack().0)
        })
        .collect();
    assert_eq!(
        got,
        [
            (0x02, 1000, 0),
            (0x12, 5000, 1001),
            (0x10, 1001, 5001),
            (0x11, 1001, 5001),
            (0x11, 5001, 1002),
            (0x10, 1002, 5002),
        ]
    );
}

#[test]
fn rounds_vary_ports_addresses_and_lengths() {
    let sent = packets("repeat 3 {\nclient+i:1000+i > server:2 udp len 10+i\n}\n");
    for (round, (_, bytes)) in sent.iter().enumerate() {
        let packet = Packet::parse(bytes).unwrap();
        assert_eq!(packet.source().to_string(), format!("10.1.0.{}", 2 + round));
        assert_eq!(packet.transport()[..2], (1000 + round as u16).to_be_bytes());
        assert_eq!(bytes.len(), 20 + 8 + 10 + round);
    }
}

#[test]
fn an_error_quotes_what_was_sent_and_no_more_than_allowed() {
    let sent = packets(
        "a: client:1 > server:2 udp len 1000\nserver > client icmp port-unreachable quoting a\n\
         server > client icmp port-unreachable quoting 1 bytes 28\n\
         b: client:1 > server:2 udp \"lost\" lost\nserver > client icmp port-unreachable quoting b\n",
    );
    assert_eq!(sent[1].1.len(), 576);
    assert_eq!(sent[1].1[28..], sent[0].1[..548]);
    assert_eq!(sent[2].1[28..], sent[0].1[..28]);
    assert_eq!(sent[3].1[56..], *b"lost");
}

#[test]
fn fragments_carry_the_whole_and_nothing_twice() {
    for family in ["ip4", "ip6"] {
        let line = |words| format!("client:1 > server:2 udp len 1000 {family} {words}\n");
        let whole = packets(&line("")).remove(0).1;
        let pieces = packets(&line("fragments 3"));
        let header = if family == "ip4" { 20 } else { 40 };
        let mut body = Vec::new();
        for (_, bytes) in &pieces {
            let packet = Packet::parse(bytes).unwrap();
            let fragment = packet.fragment().unwrap();
            assert_eq!(usize::from(fragment.offset), body.len());
            body.extend_from_slice(&bytes[if family == "ip4" { 20 } else { 48 }..]);
            assert_eq!(fragment.more, body.len() < whole.len() - header);
        }
        assert_eq!(body, whole[header..]);
        let turned = packets(&line("fragments 3 order 3,1"));
        assert_eq!(turned[0].1, pieces[2].1);
        assert_eq!(turned[1].1, pieces[0].1);
        assert_eq!(turned.len(), 2);
    }
}

#[test]
fn damage_breaks_what_it_says_and_nothing_else() {
    for (line, broken) in [
        ("client:1 > server:2 udp \"x\"", None),
        ("client:1 > server:2 udp \"x\" badsum", Some(26)),
        ("client:1 > server:2 tcp S badsum", Some(36)),
        ("client > server icmp echo-request badsum", Some(22)),
        ("client:1 > server:2 udp \"x\" badipsum", Some(10)),
        (
            "client:1 > server:2 udp \"x\" ipopt 9404000001 badsum",
            Some(34),
        ),
    ] {
        let plain = line.replace(" badsum", "").replace(" badipsum", "");
        let (good, bad) = (&packets(&plain)[0].1, &packets(line)[0].1);
        let differ: Vec<usize> = (0..good.len()).filter(|i| good[*i] != bad[*i]).collect();
        match broken {
            None => assert!(differ.is_empty()),
            Some(at) => assert_eq!(differ, [at, at + 1], "{line}"),
        }
    }
    let cut = packets("client:1 > server:2 udp len 100 truncate 30");
    assert_eq!(cut[0].1.len(), 30);
}

#[test]
fn a_way_follows_from_the_addresses() {
    let script = script(
        "client:1 > server:2 udp\nserver:2 > client:1 udp\nwan0:1 > server:2 udp\n\
         client:1 > server:2 udp in wan0\nping server > client\n",
    );
    let play = script.play(&script.tests[0], Timestamp::default());
    let ways: Vec<Way> = play
        .filter_map(|e| match e {
            Event::Packet(sent) => Some(sent.way),
            Event::Check { .. } => None,
        })
        .collect();
    let arrives = |name: &str| Way::In(name.to_owned());
    assert_eq!(
        ways,
        [
            arrives("lan0"),
            arrives("wan0"),
            Way::ByAddress,
            arrives("wan0"),
            arrives("wan0"),
            arrives("lan0"),
        ]
    );
}

#[test]
fn a_dns_line_is_a_query_and_its_answer() {
    let sent = packets("dns client > server \"example.org\" answer 192.0.2.7\n");
    let query = Packet::parse(&sent[0].1).unwrap();
    assert_eq!(query.protocol(), proto::UDP);
    assert_eq!(
        query.transport()[20..],
        *b"\x07example\x03org\x00\x00\x01\x00\x01"
    );
    assert!(sent[1].1.ends_with(&[0, 4, 192, 0, 2, 7]));
}

#[test]
fn expectations_pick_packets_and_rounds() {
    let script = script(
        "repeat 3 {\nhandshake client:1+i > server:2\n\
         expect packet 1 NEW\nexpect each ACCEPT\nexpect round 2.. ESTABLISHED\n}\n",
    );
    let play = script.play(&script.tests[0], Timestamp::default());
    let counts: Vec<usize> = play
        .filter_map(|e| match e {
            Event::Packet(sent) => Some(sent.expectations().count()),
            Event::Check { .. } => None,
        })
        .collect();
    assert_eq!(counts, [2, 1, 1, 2, 1, 2, 2, 1, 2]);
}

#[test]
fn a_mismatch_shows_expected_above_got() {
    let script =
        script("client:1 > server:2 udp\nexpect NEW reply ACCEPT by INPUT 3 mark 1 why \"x\"\n");
    let expectation = &script.tests[0].steps[0].expectations[0];
    let mut observed = Observed {
        state: Seen::Seen(Some(State::Invalid)),
        direction: Seen::Seen(None),
        verdict: Seen::Seen(Verdict::Accept),
        by: Seen::Seen(Some(RuleName {
            table: "filter".into(),
            chain: "INPUT".into(),
            rule: RuleNumber::Policy,
        })),
        ..Observed::default()
    };
    let mismatch = check(expectation, &observed, &Connections::default()).unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        "expected  NEW      reply         ACCEPT  by filter INPUT 3\n\
         got       INVALID  no direction  ACCEPT  by policy filter INPUT\n\
        \x20         ^^^^^^^  ^^^^^^^^^^^^          ^^^^^^^^^^^^^^^^^^^^^^"
    );
    observed.state = Seen::Seen(Some(State::New));
    observed.direction = Seen::Seen(Some(Direction::Reply));
    observed.by = Seen::Unseen;
    let compared = check(expectation, &observed, &Connections::default()).unwrap();
    assert_eq!((compared.compared, compared.unseen), (3, 3));
}

#[test]
fn a_missing_or_denied_connection_is_a_mismatch() {
    let script = script(
        "expect connection client:1 > server:2 udp replied\nexpect no connection client:1 > server:2\n",
    );
    let checks: Vec<&Check> = script.tests[0]
        .steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::Check(check) => Some(check),
            _ => None,
        })
        .collect();
    let mut entry = ConnectionSeen {
        original: Seen::Seen(TupleSeen {
            protocol: proto::UDP,
            source: "10.1.0.2".parse().unwrap(),
            source_port: Some(1),
            destination: "10.2.0.2".parse().unwrap(),
            destination_port: Some(2),
        }),
        replied: Seen::Seen(false),
        ..ConnectionSeen::default()
    };
    assert!(check_connection(checks[0], 0, []).is_err());
    assert!(check_connection(checks[0], 0, [&entry]).is_err());
    assert!(check_connection(checks[1], 0, []).is_ok());
    assert!(check_connection(checks[1], 0, [&entry]).is_err());
    entry.replied = Seen::Seen(true);
    assert!(check_connection(checks[0], 0, [&entry]).is_ok());
}

/// Words that meet in scripts, so that random text gets past the first word.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "client:40000",
            "server:22",
            ">",
            "tcp",
            "udp",
            "sctp",
            "init",
            "cookie-echo",
            "vtag",
            "raw",
            "icmp",
            "S",
            "SA",
            "seq",
            "+1000",
            "ack",
            "-1",
            "len",
            "1400",
            "fragments",
            "3",
            "order",
            "2,1",
            "repeat",
            "{",
            "}",
            "expect",
            "NEW",
            "by",
            "INPUT",
            "policy",
            "round",
            "1..3",
            "test",
            "\"x\"",
            "quoting",
            "previous",
            "a:",
            "a",
            "icmp6",
            "echo-request",
            "port-unreachable",
            "handshake",
            "dns",
            "client+i",
            "client:65000+i",
            "at",
            "5s",
            "rules",
            "hex:00ff",
            "pieces",
            "0..8,8..",
            "interface",
            "10.0.0.1/24",
            "counters",
            "=",
            "connection",
            "no",
            "opt",
            "sack=+1..+2",
            "truncate",
            "lost",
            "proto",
            "255",
            "ip6",
            "\\",
            "#",
            "\"",
            "in",
            "lan0",
            "999999999999999999999",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_or_the_player_panic(
        lines in prop::collection::vec(prop::collection::vec(word(), 0..9), 0..12),
    ) {
        let text: Vec<String> = lines.iter().map(|l| l.join(" ")).collect();
        let text = format!("{NET}{}", text.join("\n"));
        let (script, faults) = parse(&text);
        for fault in &faults {
            prop_assert!(fault.span.start <= fault.span.end && fault.span.end <= text.len());
            fault.draw("x", &text);
        }
        for test in &script.tests {
            for event in script.play(test, Timestamp::default()).take(200) {
                if let Event::Packet(sent) = event {
                    prop_assert!(sent.bytes.len() <= 65_535);
                }
            }
        }
    }

    #[test]
    fn the_count_of_packets_is_what_is_played(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "client:1 > server:2 udp",
                "client:1 > server:2 udp len 64 fragments 3",
                "client:1 > server:2 udp len 64 fragments 3 order 3,1,1,2",
                "client:1 > server:2 udp len 64 pieces 0..8,8..16,8..",
                "client:1 > server:2 udp lost",
                "handshake client:1 > server:2",
                "close client:1 > server:2",
                "ping client > server",
                "dns client > server \"a.b\"",
                "repeat 3 {\nclient:1 > server:2 udp\nping client > server\n}",
                "+1s",
                "expect connections = 1",
            ]),
            0..10,
        ),
    ) {
        let text = format!("{NET}test \"a\"\n{}\ntest \"b\"\n", lines.join("\n"));
        let (script, faults) = parse(&text);
        prop_assert_eq!(&faults, &[]);
        let play = script.play(&script.tests[0], Timestamp::default());
        let played = play.filter(|e| matches!(e, Event::Packet(_))).count() as u64;
        prop_assert_eq!(script.tests[1].packets_before, played);
    }
}

/// The packets of a script through a firewall that changes each with `firewall` (`None`: drops it).
fn through(lines: &str, firewall: impl Fn(u64, &[u8]) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let script = script(lines);
    let mut player = script.play(&script.tests[0], Timestamp::new(100, 0));
    let mut sent = Vec::new();
    while let Some(event) = player.next() {
        if let Event::Packet(packet) = event {
            let left = firewall(packet.number, &packet.bytes);
            player.left(&packet, left.as_deref());
            sent.push(packet.bytes);
        }
    }
    sent
}

/// Source, destination and the first bytes of the transport header.
fn ends(bytes: &[u8], transport: usize) -> (String, String, Vec<u8>) {
    let packet = Packet::parse(bytes).expect("a packet");
    let part = packet.transport().get(..transport).expect("long enough");
    let (source, destination) = (packet.source(), packet.destination());
    (source.to_string(), destination.to_string(), part.to_vec())
}

/// A firewall that gives everything from the client the address 10.2.0.77 and the port or identifier 0x7777.
fn masquerade(_: u64, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    if bytes.get(12..16) == Some(&[10, 1, 0, 2]) {
        out[12..16].copy_from_slice(&[10, 2, 0, 77]);
        let port = if bytes[9] == proto::ICMP { 24 } else { 20 };
        out[port..port + 2].copy_from_slice(&[0x77, 0x77]);
    }
    Some(out)
}

#[test]
fn answers_go_where_the_packet_really_came_from() {
    let lines = "asked: client:5000 > server:53 udp\nanswer asked udp\n\
                 ping client > server id 9\n\
                 lone: client > server icmp echo-request id 9 seq 3\nanswer lone icmp echo-reply\n\
                 answer asked icmp port-unreachable quoting left asked\n\
                 answer asked icmp port-unreachable quoting asked\n";
    let sent = through(lines, masquerade);
    let nat = "10.2.0.77".to_owned();
    let server = "10.2.0.2".to_owned();
    let to_nat = |part: &[u8]| (server.clone(), nat.clone(), part.to_vec());
    assert_eq!(ends(&sent[1], 4), to_nat(&[0, 53, 0x77, 0x77]));
    let echo = |n: usize| ends(&sent[n], 8).2[4..].to_vec();
    assert_eq!(
        (echo(3), echo(5)),
        (vec![0x77, 0x77, 0, 1], vec![0x77, 0x77, 0, 3])
    );
    // The source within the quote, 8 bytes into the error, 12 into the quoted header.
    let quoted = |n: usize| ends(&sent[n], 24).2[20..].to_vec();
    assert_eq!(
        (quoted(6), quoted(7)),
        (vec![10, 2, 0, 77], vec![10, 1, 0, 2])
    );
    // What was dropped is answered as it was sent.
    let sent = through(
        "asked: client:5000 > server:53 udp\nanswer asked udp\n",
        |_, _| None,
    );
    assert_eq!(ends(&sent[1], 4).1, "10.1.0.2");
}

#[test]
fn sequence_numbers_follow_a_payload_that_the_firewall_made_longer() {
    let lines = "a: handshake client:40000 > server:21\nb: client:40000 > server:21 tcp \"PORT\"\n\
                 answer b tcp A\nclient:40000 > server:21 tcp A\n";
    let sent = through(lines, |number, bytes| {
        let mut out = masquerade(number, bytes)?;
        if number == 4 {
            out.extend(*b"four");
            let length = (out.len() as u16).to_be_bytes();
            out[2..4].copy_from_slice(&length);
        }
        Some(out)
    });
    let numbers = |n: usize| {
        let packet = Packet::parse(&sent[n]).expect("a packet");
        let tcp = Tcp::new(packet.transport()).expect("a segment");
        (tcp.destination_port(), tcp.seq().0, tcp.ack().0)
    };
    // The handshake's answer, then the acknowledgement of four bytes more than were sent.
    assert_eq!(numbers(1), (0x7777, 5000, 1001));
    assert_eq!(numbers(4), (0x7777, 5001, 1009));
    assert_eq!(numbers(5), (21, 1005, 5001));
}

#[test]
fn only_what_has_a_label_and_ports_can_be_answered() {
    check_faults("answer nobody udp\n", &[("unknown-word", 1, 8, None)]);
    check_faults(
        "client:1 > server:2 udp\nanswer previous udp\n",
        &[("no-packet", 2, 8, None)],
    );
    check_faults(
        "p: client > server icmp echo-request\nanswer p udp\n",
        &[("no-port", 2, 8, None)],
    );
}
