//! Segments and messages that are not as they should be.

use palisade_wire::{build, tcp::flags};

use super::messages::*;
use super::next_frame;
use super::tests::{bytes, expected, rewritten, session, session_with};
use crate::State;
use crate::config::Config;
use crate::tuple::Direction::{Original, Reply};

#[test]
fn frames_follow_one_another_and_a_header_may_come_alone() {
    let open = bytes(OPEN);
    let both = [
        open.clone(),
        rewritten(OPEN, &[("10.0.0.2:5005", "10.0.0.2:5009")]),
    ]
    .concat();
    // The kernel takes what begins as a frame for one; this message of a channel begins so itself.
    let ack = bytes(OPEN_ACK);
    let (head, body) = ack.split_at(4);
    let (own_head, own_body) = open.split_at(4);
    for (segments, count) in [
        (vec![&both[..]], 4),
        (vec![head, body], 2),
        (vec![own_head, own_body], 0),
        // An empty segment between them.
        (vec![head, b"", body], 0),
        (vec![body], 0),
        // Only a header may come alone.
        (vec![&open[..5], &open[5..]], 0),
        (vec![&open[..open.len() - 1], &open[open.len() - 1..]], 0),
        // What is not a frame ends the reading.
        (vec![&[b"GET / HTTP/1.1\r\n", &open[..]].concat()], 0),
        (vec![&[&open[..], b"rubbish", &open[..]].concat()], 2),
    ] {
        let mut session = session("H.245", false);
        for segment in &segments {
            // The acknowledgement is the server's.
            let side = if segments[0] == head { Reply } else { Original };
            session.say(side, segment);
        }
        assert_eq!(expected(&session).len(), count, "{segments:02x?}");
    }
}

#[test]
fn a_frame_is_cut_out_as_the_kernel_cuts_it() {
    // Payload, remembered, behind; frame, remembered.
    for (payload, before, behind, frame, after) in [
        (&b""[..], 7, None, None, 0),
        (b"\x03\0\0\x04", 0, None, Some(4..4), 0),
        (b"\x03\0\0\x03", 9, None, None, 0),
        (b"\x03\0\0\x10", 9, None, None, 12),
        (b"\x03\0\0\x10x", 9, None, None, 0),
        (b"\x03\x01\0\x04", 0, None, None, 0),
        (b"abc", 3, None, Some(0..3), 0),
        (b"abcdef", 3, None, Some(0..3), 0),
        (b"abc", 4, None, None, 0),
        // Behind another one there must be more than a header.
        (b"abc\x03\0\0\x04", 0, Some(3), None, 0),
        (b"abc\x03\0\0\x04d", 0, Some(3), Some(7..7), 0),
        (b"abc\x03\0\0\x06d", 0, Some(3), None, 0),
        (b"abc", 0, Some(9), None, 0),
    ] {
        let mut remembered = before;
        assert_eq!(
            next_frame(payload, &mut remembered, behind),
            frame,
            "{payload:02x?}"
        );
        assert_eq!(remembered, after, "{payload:02x?}");
    }
}

#[test]
fn nothing_is_read_before_the_connection_is_answered() {
    let config = Config::default();
    let mut session = session_with("Q.931", false, config);
    let header = build::Tcp {
        source_port: 40_009,
        destination_port: 1720,
        seq: 1,
        flags: flags::SYN,
        window: 64_240,
        ..build::Tcp::default()
    };
    let ip = build::Ip::new("10.0.0.2".parse().unwrap(), "192.0.2.1".parse().unwrap());
    let said = session.pass_in(&build::tcp(&ip, &header, &bytes(SETUP)), Some("Q.931"), &());
    assert_eq!(said.state, State::New);
    assert!(expected(&session).is_empty());
}

const ALL: &[(&str, &str)] = &[
    ("Q.931", SETUP),
    ("Q.931", SETUP_FAST),
    ("Q.931", PROGRESS),
    ("Q.931", FORWARDED),
    ("Q.931", TUNNEL),
    ("Q.931", RELEASE),
    ("H.245", OPEN),
    ("H.245", OPEN_ACK),
    ("H.245", OPEN_DATA),
    ("RAS", RRQ),
    ("RAS", RCF),
    ("RAS", ACF),
    ("RAS", IRR),
];

#[test]
fn every_prefix_of_every_message_is_safe() {
    for (helper, message) in ALL {
        let message = bytes(message);
        for translated in [false, true] {
            for end in 0..=message.len() {
                let mut cut = message[..end].to_vec();
                if *helper != "RAS" && end >= 4 {
                    // The frame is whole, what stands in it is not.
                    cut[2..4].copy_from_slice(&(end as u16).to_be_bytes());
                }
                for side in [Original, Reply] {
                    let mut session = session(helper, translated);
                    session.say(Original, b"");
                    assert_eq!(session.say(side, &cut).dropped, None);
                }
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_every_message_is_safe() {
    for (helper, message) in ALL {
        let message = bytes(message);
        let mut session = session(helper, true);
        for bit in 0..message.len() * 8 {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            session.say(Original, &flipped);
            assert!(expected(&session).len() <= 32);
        }
    }
}
