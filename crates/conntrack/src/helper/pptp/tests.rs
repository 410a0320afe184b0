use palisade_wire::{Packet, build};

use super::*;
use crate::helper::testing::{CLIENT, PUBLIC, SERVER, Said, Session as Talk};
use Direction::{Original, Reply};

/// A message of its least length, `fields` first.
fn message(kind: u16, fields: &[u8]) -> Vec<u8> {
    let mut body = fields.to_vec();
    let least = LEAST.get(usize::from(kind)).copied().unwrap_or(0);
    body.resize(least.max(fields.len()), 0);
    let mut bytes = ((HEADER + body.len()) as u16).to_be_bytes().to_vec();
    bytes.extend(CONTROL);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(body);
    bytes
}

/// Two ids and a result.
fn ids(first: u16, second: u16, result: u8) -> Vec<u8> {
    let mut bytes = first.to_be_bytes().to_vec();
    bytes.extend(second.to_be_bytes());
    bytes.push(result);
    bytes
}

fn gre_packet(from: &str, to: &str, key: u16) -> Vec<u8> {
    let mut bytes = vec![0x30, 0x01, 0x88, 0x0b, 0, 1];
    bytes.extend(key.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0xff]);
    let ip = build::Ip::new(from.parse().unwrap(), to.parse().unwrap());
    build::raw(&ip, proto::GRE, &bytes)
}

/// Ends and key of a GRE packet as it left.
fn seen(said: &Said) -> (String, String, u16) {
    let packet = Packet::parse(&said.bytes).unwrap();
    assert!(packet.header_checksum_ok());
    let transport = packet.transport();
    let key = u16::from_be_bytes([transport[6], transport[7]]);
    (
        packet.source().to_string(),
        packet.destination().to_string(),
        key,
    )
}

fn started(translated: bool) -> Talk {
    let mut talk = Talk::new("pptp", proto::TCP, 1723, translated);
    talk.say(Original, &message(START_REQUEST, &[1, 0]));
    talk.say(Reply, &message(START_REPLY, &[1, 0, 1]));
    talk
}

/// The id that the client gives its call, and the server's.
const CLIENTS: u16 = 7;
const SERVERS: u16 = 900;

/// A call that the client asked for and the server grants.
fn called(translated: bool) -> Talk {
    let mut talk = started(translated);
    talk.say(Original, &message(OUT_REQUEST, &ids(CLIENTS, 1, 0)));
    let peer = if translated { 40_000 } else { CLIENTS };
    let said = talk.say(Reply, &message(OUT_REPLY, &ids(SERVERS, peer, 1)));
    assert_eq!(said.dropped, None);
    assert!(said.announced.is_some());
    talk
}

#[test]
fn a_granted_call_expects_gre_both_ways_and_the_first_packet_settles_it() {
    let mut talk = called(false);
    assert_eq!(
        talk.expectations(),
        [
            "300 proto=47 src=10.0.0.2 dst=192.0.2.1 sport=7 dport=900 helper=pptp parent=1",
            "300 proto=47 src=192.0.2.1 dst=10.0.0.2 sport=900 dport=7 helper=pptp parent=1",
        ]
    );
    let first = [
        (
            gre_packet(CLIENT, SERVER, SERVERS),
            gre_packet(SERVER, CLIENT, CLIENTS),
        ),
        (
            gre_packet(SERVER, CLIENT, CLIENTS),
            gre_packet(CLIENT, SERVER, SERVERS),
        ),
    ];
    for (there, back) in first {
        let mut talk = called(false);
        assert_eq!(talk.comes(&there).state, State::Related);
        assert!(talk.expectations().is_empty());
        assert_eq!(talk.comes(&back).state, State::Established);
        assert_eq!(talk.comes(&there).state, State::Established);
    }
    // Other keys, other hosts.
    assert_eq!(
        talk.comes(&gre_packet(CLIENT, SERVER, 901)).state,
        State::New
    );
    assert_eq!(
        talk.comes(&gre_packet("10.0.0.3", SERVER, SERVERS)).state,
        State::New
    );
}

#[test]
fn the_calls_timeouts_are_the_usual_ones_of_gre() {
    let mut talk = called(false);
    talk.comes(&gre_packet(CLIENT, SERVER, SERVERS));
    let left = |talk: &Talk| {
        let mut all = talk.table.connections();
        let call = all.find(|c| c.tuples()[0].protocol == proto::GRE).unwrap();
        call.timeout(Timestamp::new(1000, 0))
    };
    assert_eq!(left(&talk), 30);
    talk.comes(&gre_packet(SERVER, CLIENT, CLIENTS));
    talk.comes(&gre_packet(CLIENT, SERVER, SERVERS));
    assert_eq!(left(&talk), 180);
}

/// Who says it, and what.
type Line = (Direction, Vec<u8>);

#[test]
fn what_makes_a_call_and_what_does_not() {
    use Direction::{Original as O, Reply as R};
    let start = || {
        vec![
            (O, message(START_REQUEST, &[1, 0])),
            (R, message(START_REPLY, &[1, 0, 1])),
        ]
    };
    let ask = || (O, message(OUT_REQUEST, &ids(7, 0, 0)));
    let grant = || (R, message(OUT_REPLY, &ids(900, 7, 1)));
    let with =
        |more: Vec<(Direction, Vec<u8>)>| start().into_iter().chain(more).collect::<Vec<_>>();
    let cases: Vec<(&str, Vec<Line>, usize)> = vec![
        ("granted", with(vec![ask(), grant()]), 2),
        ("granted twice", with(vec![ask(), grant(), grant()]), 2),
        ("no session", vec![ask(), grant()], 0),
        (
            "no answer to the session",
            vec![start().remove(0), ask(), grant()],
            0,
        ),
        (
            "the session is refused",
            vec![
                start().remove(0),
                (R, message(START_REPLY, &[1, 0, 2])),
                ask(),
                grant(),
            ],
            0,
        ),
        ("nothing asked", with(vec![grant()]), 0),
        (
            "refused",
            with(vec![ask(), (R, message(OUT_REPLY, &ids(900, 7, 4)))]),
            0,
        ),
        (
            "refused, then granted",
            with(vec![
                ask(),
                (R, message(OUT_REPLY, &ids(900, 7, 4))),
                grant(),
            ]),
            0,
        ),
        (
            "to another's id",
            with(vec![ask(), (R, message(OUT_REPLY, &ids(900, 8, 1)))]),
            0,
        ),
        // The keys of the first stay, so the second has no room.
        (
            "granted with another id",
            with(vec![
                ask(),
                grant(),
                (R, message(OUT_REPLY, &ids(901, 7, 1))),
            ]),
            0,
        ),
        (
            "by the wrong side",
            with(vec![(R, ask().1), (O, grant().1)]),
            0,
        ),
        (
            "stopped before",
            with(vec![(O, message(STOP_REQUEST, &[1])), ask(), grant()]),
            0,
        ),
        (
            "cut short by a byte",
            with(vec![ask(), (R, grant().1[..31].to_vec())]),
            0,
        ),
        (
            "longer than it must be",
            with(vec![ask(), (R, [grant().1, vec![0; 9]].concat())]),
            2,
        ),
        (
            "an incoming call",
            with(vec![
                (R, message(IN_REQUEST, &ids(900, 0, 0))),
                (O, message(IN_REPLY, &ids(7, 900, 1))),
                (R, message(IN_CONNECT, &ids(7, 0, 0))),
            ]),
            2,
        ),
        (
            "an incoming call, refused",
            with(vec![
                (R, message(IN_REQUEST, &ids(900, 0, 0))),
                (O, message(IN_REPLY, &ids(7, 900, 2))),
                (R, message(IN_CONNECT, &ids(7, 0, 0))),
            ]),
            0,
        ),
        (
            "an incoming call that nobody answered",
            with(vec![
                (R, message(IN_REQUEST, &ids(900, 0, 0))),
                (R, message(IN_CONNECT, &ids(0, 0, 0))),
            ]),
            0,
        ),
        (
            "over before it began",
            with(vec![
                ask(),
                grant(),
                (R, message(DISCONNECT, &ids(900, 0, 1))),
            ]),
            0,
        ),
        // The request to end it is no end.
        (
            "asked to be over",
            with(vec![
                ask(),
                grant(),
                (O, message(CLEAR_REQUEST, &ids(7, 0, 0))),
            ]),
            2,
        ),
        (
            "echoes and unknown messages between",
            with(vec![
                (O, message(ECHO_REQUEST, &[])),
                (R, message(ECHO_REPLY, &[])),
                (O, message(99, &[])),
                ask(),
                (R, message(LINK_INFO, &[])),
                (R, message(WAN_ERROR, &[])),
                grant(),
            ]),
            2,
        ),
    ];
    for (what, words, count) in cases {
        let mut talk = Talk::new("pptp", proto::TCP, 1723, false);
        for (direction, bytes) in &words {
            assert_eq!(talk.say(*direction, bytes).dropped, None, "{what}");
        }
        assert_eq!(talk.expectations().len(), count, "{what}");
    }
}

#[test]
fn a_message_counts_only_at_the_start_of_a_segment_and_whole() {
    let grant = message(OUT_REPLY, &ids(SERVERS, CLIENTS, 1));
    let other = |at: usize| {
        let mut bytes = grant.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, segments, count) in [
        ("whole", vec![grant.clone()], 2),
        ("no control message", vec![other(3)], 0),
        ("another cookie", vec![other(7)], 0),
        // The length is not looked at.
        ("another length", vec![other(1)], 2),
        (
            "behind another",
            vec![[message(ECHO_REPLY, &[]), grant.clone()].concat()],
            0,
        ),
        (
            "in two",
            vec![grant[..20].to_vec(), grant[20..].to_vec()],
            0,
        ),
    ] {
        let mut talk = started(false);
        talk.say(Original, &message(OUT_REQUEST, &ids(CLIENTS, 1, 0)));
        for segment in segments {
            talk.say(Reply, &segment);
        }
        assert_eq!(talk.expectations().len(), count, "{what}");
    }
}

#[test]
fn the_notice_of_its_end_ends_the_call() {
    let mut talk = called(false);
    talk.comes(&gre_packet(CLIENT, SERVER, SERVERS));
    talk.comes(&gre_packet(SERVER, CLIENT, CLIENTS));
    assert_eq!(talk.table.len(), 2);
    talk.say(Reply, &message(DISCONNECT, &ids(SERVERS, 0, 1)));
    assert_eq!(talk.table.len(), 1);
    let after = talk.comes(&gre_packet(CLIENT, SERVER, SERVERS));
    assert_eq!(after.state, State::New);
}

#[test]
fn the_end_of_the_control_connection_takes_a_living_call_with_it() {
    let mut talk = called(false);
    talk.wait(290);
    let said = talk.comes(&gre_packet(CLIENT, SERVER, SERVERS));
    assert_eq!(said.state, State::Related);
    talk.table.expire(Timestamp::new(1299, 0));
    assert_eq!(talk.table.len(), 2);
    // The last answer was never acknowledged: five minutes.
    talk.table.expire(Timestamp::new(1301, 0));
    assert_eq!(talk.table.len(), 0);
}

#[test]
fn without_a_call_the_end_hits_gre_without_keys() {
    let mut talk = started(false);
    let plain = {
        let ip = build::Ip::new(CLIENT.parse().unwrap(), SERVER.parse().unwrap());
        build::raw(&ip, proto::GRE, &[0, 0, 0x08, 0, 1, 2, 3, 4])
    };
    talk.comes(&plain);
    assert_eq!(talk.table.len(), 2);
    talk.say(Reply, &message(DISCONNECT, &ids(0, 0, 1)));
    assert_eq!(talk.table.len(), 1);
}

#[test]
fn when_the_call_times_out_its_keys_are_forgotten() {
    let mut talk = called(false);
    talk.comes(&gre_packet(CLIENT, SERVER, SERVERS));
    talk.wait(31);
    talk.table.expire(Timestamp::new(1031, 0));
    talk.comes(&gre_packet(CLIENT, SERVER, SERVERS));
    let call = talk
        .table
        .connections()
        .find(|c| c.tuples()[0].protocol == proto::GRE)
        .unwrap();
    assert_eq!(
        (
            call.tuples()[0].source_word(),
            call.tuples()[0].destination_word()
        ),
        (0, SERVERS)
    );
}

#[test]
fn translated_the_clients_id_is_its_public_port() {
    let mut talk = started(true);
    let asked = talk.say(Original, &message(OUT_REQUEST, &ids(CLIENTS, 1, 0)));
    let id = |said: &Said, at: usize| {
        let payload = &said.bytes[40..];
        u16::from_be_bytes([payload[HEADER + at], payload[HEADER + at + 1]])
    };
    assert_eq!(id(&asked, 0), 40_000);
    let granted = talk.say(Reply, &message(OUT_REPLY, &ids(SERVERS, 40_000, 1)));
    assert_eq!((id(&granted, 0), id(&granted, 2)), (SERVERS, CLIENTS));
    assert_eq!(
        talk.expectations(),
        [
            "300 proto=47 src=10.0.0.2 dst=192.0.2.1 sport=7 dport=900 helper=pptp parent=1",
            "300 proto=47 src=192.0.2.1 dst=198.51.100.1 sport=900 dport=40000 helper=pptp parent=1",
        ]
    );
    // Either's link information: only the server's is about the client's id.
    let info = talk.say(Reply, &message(LINK_INFO, &ids(40_000, 0, 0)));
    assert_eq!(id(&info, 0), CLIENTS);
    let info = talk.say(Original, &message(LINK_INFO, &ids(SERVERS, 0, 0)));
    assert_eq!(id(&info, 0), SERVERS);
    let clear = talk.say(Original, &message(CLEAR_REQUEST, &ids(CLIENTS, 0, 0)));
    assert_eq!(id(&clear, 0), 40_000);
    let over = talk.say(Reply, &message(DISCONNECT, &ids(SERVERS, 0, 1)));
    assert_eq!(id(&over, 0), CLIENTS);
    // Looked for by the id that the server sees, the client's way is not found.
    assert_eq!(talk.expectations().len(), 1);
}

#[test]
fn translated_the_call_goes_through_whoever_begins() {
    let out = gre_packet(CLIENT, SERVER, SERVERS);
    let back = gre_packet(SERVER, PUBLIC, 40_000);
    let left = |from: &str, to: &str, key| (from.to_string(), to.to_string(), key);
    let mut talk = called(true);
    let first = talk.comes(&out);
    assert_eq!(first.state, State::Related);
    assert_eq!(seen(&first), left(PUBLIC, SERVER, SERVERS));
    assert!(talk.expectations().is_empty());
    let second = talk.comes(&back);
    assert_eq!(second.state, State::Established);
    assert_eq!(seen(&second), left(SERVER, CLIENT, CLIENTS));
    talk.say(Reply, &message(DISCONNECT, &ids(SERVERS, 0, 1)));
    assert_eq!(talk.table.len(), 1);

    let mut talk = called(true);
    let first = talk.comes(&back);
    assert_eq!(first.state, State::Related);
    assert_eq!(seen(&first), left(SERVER, CLIENT, CLIENTS));
    // The kernel looks for the other one by keys that it does not know.
    assert_eq!(talk.expectations().len(), 1);
    let second = talk.comes(&out);
    assert_eq!(second.state, State::Established);
    assert_eq!(seen(&second), left(PUBLIC, SERVER, SERVERS));
}

#[test]
fn every_prefix_of_every_message_is_safe() {
    for translated in [false, true] {
        for kind in 0..20 {
            for direction in [Original, Reply] {
                let whole = message(kind, &ids(CLIENTS, SERVERS, 1));
                for end in (0..=whole.len().min(40)).chain([whole.len()]) {
                    let mut talk = called(translated);
                    assert_eq!(talk.say(direction, &whole[..end]).dropped, None);
                }
            }
        }
    }
}
