//! Calls through a table: what is expected, what is rewritten, and what cannot be read.

use std::net::IpAddr;

use palisade_wire::{Buffer, Packet, build, proto, tcp::flags};

use super::messages::*;
use crate::State;
use crate::config::Config;
use crate::helper::Surroundings;
use crate::helper::testing::{PUBLIC, Said, Session};
use crate::tuple::Direction::{self, Original, Reply};

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter_map(|b| char::from(b).to_digit(16).map(|d| d as u8))
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// `192.0.2.1:1720` as it stands in messages.
fn place(text: &str) -> Vec<u8> {
    let (address, port) = text.split_once(':').unwrap();
    let mut bytes = address
        .parse::<std::net::Ipv4Addr>()
        .unwrap()
        .octets()
        .to_vec();
    bytes.extend(port.parse::<u16>().unwrap().to_be_bytes());
    bytes
}

/// A message with some addresses written over, each of which it must contain.
pub(super) fn rewritten(message: &str, places: &[(&str, &str)]) -> Vec<u8> {
    let mut message = bytes(message);
    for (from, to) in places {
        let (from, to) = (place(from), place(to));
        let at = (0..message.len())
            .find(|i| message[*i..].starts_with(&from))
            .unwrap();
        message[at..at + 6].copy_from_slice(&to);
    }
    message
}

fn payload(said: &Said) -> Vec<u8> {
    let packet = Packet::parse(&said.bytes).unwrap();
    assert!(packet.header_checksum_ok() && packet.transport_checksum_ok(packet.protocol()));
    let at = Buffer::new(packet, Vec::new()).payload_offset().unwrap();
    said.bytes[at..].to_vec()
}

/// Expectations, oldest first.
pub(super) fn expected(session: &Session) -> Vec<String> {
    session
        .table
        .expectations()
        .map(|e| {
            format!(
                "{} {} > {}:{}{}{}",
                if e.protocol == proto::TCP {
                    "tcp"
                } else {
                    "udp"
                },
                e.source.map_or("any".into(), |(a, _)| a.to_string()),
                e.destination,
                e.destination_port,
                e.assign.map_or(String::new(), |h| format!(" {h}")),
                if e.permanent { " permanent" } else { "" },
            )
        })
        .collect()
}

pub(super) fn session(helper: &'static str, translated: bool) -> Session {
    session_with(helper, translated, Config::default())
}

pub(super) fn session_with(helper: &'static str, translated: bool, config: Config) -> Session {
    let (protocol, port) = match helper {
        "RAS" => (proto::UDP, 1719),
        "Q.931" => (proto::TCP, 1720),
        _ => (proto::TCP, 5000),
    };
    Session::with(helper, protocol, port, translated, config)
}

/// Who says what, and what is expected then.
struct Case {
    helper: &'static str,
    side: Direction,
    message: &'static str,
    plain: &'static [&'static str],
    translated: &'static [&'static str],
    places: &'static [(&'static str, &'static str)],
}

const fn same(
    helper: &'static str,
    side: Direction,
    message: &'static str,
    expected: &'static [&'static str],
) -> Case {
    Case {
        helper,
        side,
        message,
        plain: expected,
        translated: expected,
        places: &[],
    }
}

const CONTROL: &[&str] = &["tcp 10.0.0.2 > 192.0.2.1:1232 H.245"];
const CASES: &[Case] = &[
    Case {
        helper: "Q.931",
        side: Original,
        message: SETUP,
        plain: &["tcp 192.0.2.1 > 10.0.0.2:5000 H.245"],
        translated: &["tcp 192.0.2.1 > 198.51.100.1:5000 H.245"],
        places: &[
            ("10.0.0.2:5000", "198.51.100.1:5000"),
            ("10.0.0.2:40000", "198.51.100.1:40000"),
        ],
    },
    Case {
        helper: "Q.931",
        side: Original,
        message: SETUP_FAST,
        plain: &[
            "udp 192.0.2.1 > 10.0.0.2:5004",
            "udp 192.0.2.1 > 10.0.0.2:5005",
            "udp 192.0.2.1 > 10.0.0.2:5006",
            "udp 192.0.2.1 > 10.0.0.2:5007",
        ],
        translated: &[
            "udp 192.0.2.1 > 198.51.100.1:5004",
            "udp 192.0.2.1 > 198.51.100.1:5005",
            "udp 192.0.2.1 > 198.51.100.1:5006",
            "udp 192.0.2.1 > 198.51.100.1:5007",
        ],
        places: &[
            ("10.0.0.2:5004", "198.51.100.1:5004"),
            ("10.0.0.2:5005", "198.51.100.1:5005"),
            ("10.0.0.2:5007", "198.51.100.1:5007"),
        ],
    },
    same("Q.931", Reply, CALL_PROCEEDING, CONTROL),
    same("Q.931", Reply, ALERTING, CONTROL),
    same("Q.931", Reply, CONNECT, CONTROL),
    same("Q.931", Reply, PROGRESS, CONTROL),
    same("Q.931", Reply, FACILITY, CONTROL),
    // The address is not the speaker's own.
    same("Q.931", Original, CONNECT, &[]),
    same("Q.931", Reply, SETUP_FAST, &[]),
    same(
        "Q.931",
        Reply,
        FORWARDED,
        &["tcp 10.0.0.2 > 203.0.113.9:1720 Q.931"],
    ),
    Case {
        helper: "Q.931",
        side: Original,
        message: FORWARDED,
        plain: &["tcp 192.0.2.1 > 203.0.113.9:1720 Q.931"],
        translated: &["tcp 192.0.2.1 > 198.51.100.1:1720 Q.931"],
        places: &[("203.0.113.9:1720", "198.51.100.1:1720")],
    },
    same(
        "Q.931",
        Reply,
        TUNNEL,
        &[
            "udp 10.0.0.2 > 192.0.2.1:6000",
            "udp 10.0.0.2 > 192.0.2.1:6001",
        ],
    ),
    same("Q.931", Reply, RELEASE, &[]),
    Case {
        helper: "H.245",
        side: Original,
        message: OPEN,
        plain: &[
            "udp 192.0.2.1 > 10.0.0.2:5004",
            "udp 192.0.2.1 > 10.0.0.2:5005",
        ],
        translated: &[
            "udp 192.0.2.1 > 198.51.100.1:5004",
            "udp 192.0.2.1 > 198.51.100.1:5005",
        ],
        places: &[("10.0.0.2:5005", "198.51.100.1:5005")],
    },
    same(
        "H.245",
        Reply,
        OPEN_ACK,
        &[
            "udp 10.0.0.2 > 192.0.2.1:6004",
            "udp 10.0.0.2 > 192.0.2.1:6005",
        ],
    ),
    Case {
        helper: "H.245",
        side: Original,
        message: OPEN_DATA,
        plain: &["tcp 192.0.2.1 > 10.0.0.2:1503 permanent"],
        translated: &["tcp 192.0.2.1 > 198.51.100.1:1503 permanent"],
        places: &[("10.0.0.2:1503", "198.51.100.1:1503")],
    },
    same(
        "H.245",
        Reply,
        DATA_ACK,
        &["tcp 10.0.0.2 > 192.0.2.1:1503 permanent"],
    ),
    same("H.245", Original, MASTER_SLAVE, &[]),
    Case {
        helper: "RAS",
        side: Original,
        message: GRQ,
        plain: &[],
        translated: &[],
        places: &[("10.0.0.2:40000", "198.51.100.1:40000")],
    },
    Case {
        helper: "RAS",
        side: Original,
        message: RRQ,
        plain: &["tcp 192.0.2.1 > 10.0.0.2:1720 Q.931 permanent"],
        translated: &["tcp 192.0.2.1 > 198.51.100.1:1720 Q.931 permanent"],
        // The loopback address before it becomes the same.
        places: &[
            ("127.0.0.1:1720", "198.51.100.1:1720"),
            ("10.0.0.2:1720", "198.51.100.1:1720"),
            ("10.0.0.2:40000", "198.51.100.1:40000"),
        ],
    },
    Case {
        helper: "RAS",
        side: Original,
        message: ARQ,
        plain: &[],
        translated: &[],
        places: &[("10.0.0.2:1720", "198.51.100.1:1720")],
    },
    Case {
        helper: "RAS",
        side: Original,
        message: LRQ,
        plain: &[],
        translated: &[],
        places: &[("10.0.0.2:40000", "198.51.100.1:40000")],
    },
    // The called's and the signalling address were not registered before: they stay.
    same("RAS", Original, ARQ_CALLED, &[]),
    Case {
        helper: "RAS",
        side: Original,
        message: IRR,
        plain: &[],
        translated: &[],
        places: &[("10.0.0.2:40000", "198.51.100.1:40000")],
    },
    same("RAS", Original, UCF, &[]),
];

#[test]
fn every_message_expects_and_says_what_it_should() {
    for case in CASES {
        for translated in [false, true] {
            let mut session = session(case.helper, translated);
            let said = session.say(case.side, &bytes(case.message));
            let (expectations, places) = if translated {
                (case.translated, case.places)
            } else {
                (case.plain, &[][..])
            };
            let name = case.message;
            assert_eq!(said.dropped, None, "{name}");
            assert_eq!(expected(&session), expectations, "{name} {translated}");
            assert_eq!(payload(&said), rewritten(case.message, places), "{name}");
            assert_eq!(said.announced.is_some(), !expectations.is_empty());
        }
    }
}

/// Answers of a gatekeeper, which come behind something that was asked.
#[test]
fn a_gatekeeper_says_where_to_register_and_whom_to_call() {
    for (message, expectation) in [
        (GCF, "udp 10.0.0.2 > 192.0.2.1:1721 RAS"),
        (ACF, "tcp 10.0.0.2 > 203.0.113.9:1720 Q.931 permanent"),
        (LCF, "tcp 10.0.0.2 > 203.0.113.9:1720 Q.931 permanent"),
    ] {
        for translated in [false, true] {
            let mut session = session("RAS", translated);
            session.say(Original, &bytes(UCF));
            let said = session.say(Reply, &bytes(message));
            assert_eq!(expected(&session), [expectation]);
            assert_eq!(payload(&said), bytes(message));
            // In words that people read, not as it stands in the message.
            let announced = said.announced.unwrap();
            assert!(
                expectation.contains(&format!("> {announced} ")),
                "{announced}"
            );
        }
    }
}

#[test]
fn what_was_registered_is_known_by_its_translation() {
    let mut session = session("RAS", true);
    session.say(Original, &bytes(RRQ));
    for (side, message, from, to) in [
        (Original, ARQ_CALLED, "10.0.0.2:1720", "198.51.100.1:1720"),
        (Original, URQ, "10.0.0.2:1720", "198.51.100.1:1720"),
        // Forgotten: the address stays.
        (Original, URQ, "10.0.0.2:1720", "10.0.0.2:1720"),
    ] {
        let said = session.say(side, &bytes(message));
        assert_eq!(payload(&said), rewritten(message, &[(from, to)]));
    }
    session.say(Original, &bytes(RRQ));
    // The gatekeeper says the endpoint's address back.
    let confirm = rewritten(RCF, &[("192.0.2.1:1720", "198.51.100.1:1720")]);
    let admit = rewritten(ACF, &[("203.0.113.9:1720", "198.51.100.1:1720")]);
    for message in [confirm, admit] {
        let said = session.say(Reply, &message);
        let back = place("10.0.0.2:1720");
        assert!(payload(&said).windows(6).any(|w| w == back));
    }
    assert_eq!(
        expected(&session),
        ["tcp 192.0.2.1 > 198.51.100.1:1720 Q.931 permanent"]
    );
}

#[test]
fn a_registration_gives_its_lifetime_to_the_connection_and_to_calls_of_anybody() {
    for (gatekeeper_only, left) in [(true, 240), (false, 100)] {
        let mut config = Config::default();
        config.helpers.h323_gkrouted_only = gatekeeper_only;
        let mut session = session_with("RAS", false, config);
        session.say(Original, &bytes(RRQ));
        session.say(Reply, &bytes(RCF));
        let source = if gatekeeper_only { "192.0.2.1" } else { "any" };
        assert_eq!(
            session.expectations(),
            [format!(
                "{left} proto=6 src={source} dst=10.0.0.2 sport=any dport=1720 helper=RAS parent=1"
            )]
        );
    }
    for (seconds, state) in [(99, State::Established), (100, State::New)] {
        let mut session = session("RAS", false);
        session.say(Original, &bytes(RRQ));
        session.say(Reply, &bytes(RCF));
        session.wait(seconds);
        assert_eq!(session.say(Original, b"?").state, state, "{seconds} s");
    }
}

#[test]
fn the_end_of_a_registration_forgets_expectations_and_waits_for_the_answer() {
    for (seconds, state) in [(29, State::Established), (30, State::New)] {
        let mut session = session("RAS", false);
        session.say(Original, &bytes(RRQ));
        session.say(Reply, &bytes(RCF));
        session.say(Original, &bytes(URQ));
        assert!(session.expectations().is_empty());
        session.wait(seconds);
        assert_eq!(session.say(Reply, b"?").state, state, "{seconds} s");
    }
}

#[test]
fn a_call_goes_to_who_registered_whoever_may_call() {
    for gatekeeper_only in [true, false] {
        let mut config = Config::default();
        config.helpers.h323_gkrouted_only = gatekeeper_only;
        let mut session = session_with("RAS", true, config);
        session.say(Original, &bytes(RRQ));
        let stranger = session.opens(proto::TCP, ("203.0.113.9", 3000), (PUBLIC, 1720));
        assert_eq!(
            stranger.state,
            if gatekeeper_only {
                State::New
            } else {
                State::Related
            }
        );
        let gatekeeper = session.opens(proto::TCP, ("192.0.2.1", 3000), (PUBLIC, 1720));
        assert_eq!(gatekeeper.state, State::Related);
        let called = Packet::parse(&gatekeeper.bytes).unwrap();
        assert_eq!(called.destination().to_string(), "10.0.0.2");
        // It stays for further calls.
        assert_eq!(expected(&session).len(), 1);
    }
}

#[test]
fn a_forwarded_call_goes_where_it_was_forwarded_to() {
    let mut session = session("Q.931", true);
    session.say(Original, &bytes(FORWARDED));
    let second = session.opens(proto::TCP, ("192.0.2.1", 3000), (PUBLIC, 1720));
    assert_eq!(second.state, State::Related);
    let packet = Packet::parse(&second.bytes).unwrap();
    assert_eq!(packet.destination().to_string(), "203.0.113.9");
    assert_eq!(packet.source().to_string(), "192.0.2.1");
}

/// A host to which all lies on the same side.
struct OneSide;

impl Surroundings for OneSide {
    fn same_way(&self, _: IpAddr, _: IpAddr) -> bool {
        true
    }
}

#[test]
fn a_call_forwarded_within_one_side_is_not_expected_unless_the_filter_is_off() {
    for (filter, count) in [(true, 0), (false, 1)] {
        let mut config = Config::default();
        config.helpers.h323_callforward_filter = filter;
        let mut session = session_with("Q.931", false, config);
        let header = build::Tcp {
            source_port: 1720,
            destination_port: 40_000,
            seq: 9001,
            ack: 1001,
            flags: flags::PSH | flags::ACK,
            window: 64_240,
            ..build::Tcp::default()
        };
        let ip = build::Ip::new("192.0.2.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let packet = build::tcp(&ip, &header, &bytes(FORWARDED));
        session.pass_in(&packet, None, &OneSide);
        assert_eq!(expected(&session).len(), count);
    }
}

#[test]
fn who_registers_where_the_gatekeeper_sent_it_is_sent_no_further() {
    let mut session = session("RAS", false);
    session.say(Original, &bytes(UCF));
    session.say(Reply, &bytes(GCF));
    let udp = |from: (&str, u16), to: (&str, u16), payload: &[u8]| {
        let ip = build::Ip::new(from.0.parse().unwrap(), to.0.parse().unwrap());
        build::udp(&ip, from.1, to.1, payload)
    };
    let (client, elsewhere) = (("10.0.0.2", 40_000), ("192.0.2.1", 1721));
    let first = session.comes(&udp(client, elsewhere, &bytes(RRQ)));
    assert_eq!(first.state, State::Related);
    let calls = ["tcp 192.0.2.1 > 10.0.0.2:1720 Q.931 permanent"];
    assert_eq!(expected(&session), calls);
    let further = rewritten(GCF, &[("192.0.2.1:1721", "192.0.2.1:1722")]);
    session.comes(&udp(elsewhere, client, &further));
    assert_eq!(expected(&session), calls);
}

#[test]
fn media_ports_that_are_taken_move_up_in_pairs() {
    let mut session = session("H.245", true);
    session.say(Original, &bytes(OPEN));
    session.another(40_001);
    let said = session.say(Original, &bytes(OPEN));
    let moved = [("10.0.0.2:5005", "198.51.100.1:5007")];
    assert_eq!(payload(&said), rewritten(OPEN, &moved));
    let media = session.opens(proto::UDP, ("192.0.2.1", 6004), (PUBLIC, 5006));
    assert_eq!(media.state, State::Related);
    // The second one leads to the port that was announced, which leads to the second client's.
    let packet = Packet::parse(&media.bytes).unwrap();
    assert_eq!(packet.destination().to_string(), "10.0.0.2");
    assert_eq!(packet.transport()[2..4], 5004u16.to_be_bytes());
}

#[test]
fn a_fifth_channel_of_a_translated_connection_passes_as_it_is() {
    let mut session = session("H.245", true);
    for (i, port) in [5011u16, 5013, 5015, 5017, 5019].into_iter().enumerate() {
        let to = format!("10.0.0.2:{port}");
        let message = rewritten(OPEN, &[("10.0.0.2:5005", &to)]);
        let said = session.say(Original, &message);
        assert_eq!(said.dropped, None);
        assert_eq!(payload(&said) == message, i == 4);
    }
    assert_eq!(expected(&session).len(), 8);
}

#[test]
fn without_translation_each_pair_counts_and_the_oldest_make_room() {
    let mut session = session("H.245", false);
    for port in (5011..5061).step_by(2) {
        let to = format!("10.0.0.2:{port}");
        session.say(Original, &rewritten(OPEN, &[("10.0.0.2:5005", &to)]));
    }
    assert_eq!(expected(&session).len(), 18);
}

#[test]
fn no_room_for_an_expectation_drops_the_message() {
    for case in CASES.iter().filter(|c| !c.plain.is_empty()) {
        let config = Config {
            expect_max: 0,
            ..Config::default()
        };
        let said = session_with(case.helper, false, config).say(case.side, &bytes(case.message));
        assert!(
            said.dropped
                .is_some_and(|why| why.contains("nf_conntrack_expect_max"))
        );
    }
}

#[test]
fn a_least_port_refuses_what_the_kernel_would_expect() {
    for translated in [false, true] {
        for case in CASES.iter().filter(|c| !c.plain.is_empty()) {
            let mut config = Config::default();
            config.helpers.least_expected_port = 7000;
            let mut session = session_with(case.helper, translated, config);
            let said = session.say(case.side, &bytes(case.message));
            assert!(
                said.dropped
                    .is_some_and(|why| why.contains("below the least"))
            );
        }
    }
}
