//! Every sentence has the numbers that its reason has.

use super::*;
use crate::proto::sctp::SctpState;
use crate::tuple::TupleProto;

fn tuple() -> Tuple {
    Tuple {
        source: "192.0.2.7".parse().unwrap(),
        destination: "198.51.100.8".parse().unwrap(),
        protocol: proto::UDP,
        proto: TupleProto::Ports {
            source: 4321,
            destination: 53,
        },
    }
}

/// Holds the sentence against the parts it must have.
fn says(reason: impl fmt::Display, parts: &[&str]) {
    let text = reason.to_string();
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn every_invalid_names_the_check_with_its_numbers() {
    use Invalid::*;
    let (class, state, direction) = (FlagClass::Fin, TcpState::SynSent, Direction::Reply);
    let all: [(Invalid, &[&str]); 30] = [
        (
            ShortHeader {
                protocol: 6,
                have: 11,
                need: 20,
            },
            &["protocol 6", "20 bytes", "11 are there"],
        ),
        (ExtensionChain { have: 77 }, &["77 bytes"]),
        (NoNextHeader, &["without a transport header"]),
        (LaterFragment { offset: 1480 }, &["offset 1480"]),
        (
            TcpDataOffset {
                offset: 60,
                length: 40,
            },
            &["60", "40"],
        ),
        (UdpLength { field: 9, have: 8 }, &["field 9", "8 bytes"]),
        (
            UdpLiteCoverage { field: 7, have: 99 },
            &["covers 7", "8 to 99"],
        ),
        (UdpLiteNoChecksum, &["UDP-Lite", "checksum"]),
        (
            Checksum {
                protocol: 6,
                found: 0x1234,
                wanted: 0xabcd,
            },
            &["TCP", "0x1234", "0xabcd"],
        ),
        (
            Checksum {
                protocol: proto::UDPLITE,
                found: 1,
                wanted: 2,
            },
            &["UDP-Lite", "0x1", "0x2", "protocol 17"],
        ),
        (TcpFlags(0x03), &["SYN,FIN"]),
        (CannotStart(class), &["FIN"]),
        (NotLoose, &["nf_conntrack_tcp_loose is 0"]),
        (
            Transition {
                class,
                direction,
                state,
            },
            &["FIN", "reply", "SYN_SENT"],
        ),
        (RstBelowAcked { by: 3 }, &["RST 3 bytes below"]),
        (SeqBeyondWindow { by: 4 }, &["seq 4 bytes beyond"]),
        (AckBeyondWindow { by: 5 }, &["ack 5 bytes beyond"]),
        (
            Sctp(SctpFault::Tag {
                kind: None,
                have: 0x11,
                need: 0x22,
            }),
            &["0x11", "0x22"],
        ),
        (IcmpCannotStart { kind: 0 }, &["type 0"]),
        (IcmpType { kind: 200 }, &["type 200", "18"]),
        (QuoteTooShort { have: 12 }, &["12 bytes"]),
        (QuoteFamily { quoted: Family::V6 }, &["IPv6"]),
        (
            QuoteUnknown { quoted: tuple() },
            &["protocol 17", "192.0.2.7", "4321", "198.51.100.8", "53"],
        ),
        (
            QuoteAddress {
                outer: "192.0.2.1".parse().unwrap(),
                inner: "192.0.2.2".parse().unwrap(),
            },
            &["192.0.2.1", "192.0.2.2"],
        ),
        (
            Redirect {
                hop_limit: 64,
                source: "2001:db8::1".parse().unwrap(),
            },
            &["2001:db8::1", "64", "255"],
        ),
        (RedirectOption { have: 1 }, &["1 bytes"]),
        (Gre { carries: 0x0800 }, &["0x880b", "0x0800"]),
        (WrongFamily { protocol: 58 }, &["protocol 58"]),
        (
            Sctp(SctpFault::Transition {
                kind: 1,
                direction,
                state: SctpState::Closed,
            }),
            &["INIT", "reply", "CLOSED"],
        ),
        (
            Sctp(SctpFault::NoChunk { have: 3 }),
            &["3 bytes behind the header"],
        ),
    ];
    for (reason, parts) in all {
        says(Reason::Invalid(reason), parts);
    }
}

#[test]
fn every_related_names_its_parent_and_what_announced_it() {
    let announced: Arc<str> = "PORT 1,2,3".into();
    let helper = "ftp";
    for (reason, parts) in [
        (
            Reason::RelatedByHelper {
                helper,
                parent: 41,
                announced: announced.clone(),
            },
            vec!["ftp", "connection 41", "PORT 1,2,3"],
        ),
        (
            Reason::RelatedRepeated {
                helper,
                parent: 42,
                announced,
            },
            vec!["ftp", "connection 42", "PORT 1,2,3", "no reply"],
        ),
        (
            Reason::RelatedByIcmp {
                family: Family::V4,
                kind: 3,
                code: 3,
                parent: 43,
                quoted: Direction::Original,
            },
            vec![
                "ICMP error type 3 code 3",
                "port unreachable",
                "connection 43",
                "original",
            ],
        ),
        // The same numbers mean something else in ICMPv6.
        (
            Reason::RelatedByIcmp {
                family: Family::V6,
                kind: 3,
                code: 0,
                parent: 44,
                quoted: Direction::Reply,
            },
            vec![
                "ICMPv6 error type 3 code 0",
                "time exceeded",
                "connection 44",
                "reply",
            ],
        ),
        (Reason::Attached { parent: 45 }, vec!["connection 45"]),
    ] {
        says(reason, &parts);
    }
}

#[test]
fn the_other_reasons_name_what_they_go_by() {
    let step = |class, state| Ignored::OutOfStep { class, state };
    for (reason, parts) in [
        (Reason::FirstPacket, vec!["first packet"]),
        (Reason::RepeatedBeforeReply, vec!["no reply"]),
        (Reason::PickedUp, vec!["nf_conntrack_tcp_loose"]),
        (
            Reason::Reopened {
                from: TcpState::TimeWait,
            },
            vec!["TIME_WAIT"],
        ),
        (Reason::FirstReply, vec!["first reply"]),
        (Reason::InConnection, vec!["known connection"]),
        (
            Reason::Ignored(step(FlagClass::Syn, TcpState::Established)),
            vec!["SYN", "ESTABLISHED"],
        ),
        (
            Reason::Ignored(Ignored::ChallengeAck),
            vec!["challenge ACK"],
        ),
        (
            Reason::Ignored(Ignored::Overshot { by: 6 }),
            vec!["6 bytes"],
        ),
        (
            Reason::Ignored(Ignored::SeqBelow { by: 7 }),
            vec!["7 bytes"],
        ),
        (
            Reason::Ignored(Ignored::AckBelow { by: 8 }),
            vec!["8 bytes"],
        ),
        (
            Reason::Ignored(Ignored::Sctp(SctpIgnored::Heartbeat { have: 1, known: 2 })),
            vec!["0x1", "0x2"],
        ),
        (Reason::NotTracked, vec!["raw rule"]),
        (Reason::NeverTracked { kind: 135 }, vec!["type 135"]),
        (Reason::TableFull { max: 99 }, vec!["nf_conntrack_max = 99"]),
    ] {
        says(reason, &parts);
    }
}

#[test]
fn every_drop_by_a_limit_names_the_limit() {
    use crate::config::Config;
    use crate::defrag::FragmentFault;
    use crate::expect::Refused;
    let mut config = Config {
        expect_max: 12,
        ..Config::default()
    };
    config.helpers.least_expected_port = 1024;
    let helper = |refused: Refused| DropReason::Helper {
        helper: "tftp",
        why: refused.limit(80, &config).unwrap(),
    };
    says(
        DropReason::TableFull { max: 99 },
        &["nf_conntrack_max is 99"],
    );
    says(
        helper(Refused::Full),
        &["tftp", "nf_conntrack_expect_max = 12"],
    );
    says(helper(Refused::Port), &["tftp", "port 80", "1024"]);
    says(
        FragmentFault::NoMemory {
            used: 5000,
            high: 4000,
            sysctl: "ipfrag_high_thresh",
        },
        &["5000", "ipfrag_high_thresh is 4000"],
    );
    says(FragmentFault::TooBig, &["65535"]);
    says(FragmentFault::Unaligned { to: 1001 }, &["1001", "8"]);
    says(FragmentFault::Overlap { from: 8, to: 16 }, &["8", "16"]);
}
