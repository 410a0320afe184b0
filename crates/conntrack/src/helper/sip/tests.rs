//! Conversations: what is expected, changed and dropped. The same and more is compared with a kernel in
//! `crates/testkit/scenarios/helper-sip*.pal`.

use palisade_wire::{Packet, proto, tcp::Tcp};

use crate::State;
use crate::config::Config;
use crate::helper::testing::{CLIENT, PUBLIC, SERVER, Said, Session};
use crate::tuple::Direction::{self, Original, Reply};

/// A description with one line a medium.
fn description(address: &str, media: &[&str]) -> String {
    let media = media.join("\r\n");
    format!("v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{media}\r\n")
}

/// A message: its first line, the address and port of Via and Contact, further headers, and a body.
fn message(first: &str, method: &str, end: &str, headers: &str, body: &str) -> String {
    format!(
        "{first}\r\nVia: SIP/2.0/UDP {end};branch=z9hG4bK\r\nFrom: <sip:a@{end}>;tag=a\r\n\
         To: <sip:b@{SERVER}>\r\nCall-ID: 1@x\r\nCSeq: 1 {method}\r\nContact: <sip:a@{end}>\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(media: &[&str]) -> String {
    let body = description(CLIENT, media);
    let end = format!("{CLIENT}:40000");
    message(
        &format!("INVITE sip:b@{SERVER} SIP/2.0"),
        "INVITE",
        &end,
        "",
        &body,
    )
}

fn register(expires: &str) -> String {
    let end = format!("{CLIENT}:40000");
    let first = format!("REGISTER sip:{SERVER} SIP/2.0");
    message(
        &first,
        "REGISTER",
        &end,
        &format!("Expires: {expires}\r\n"),
        "",
    )
}

/// The registrar's answer, as it is sent to `end`.
fn registered(code: &str, end: &str, expires: &str) -> String {
    let headers = format!("Expires: {expires}\r\n");
    message(&format!("SIP/2.0 {code}"), "REGISTER", end, &headers, "")
}

fn udp(translated: bool) -> Session {
    Session::new("sip", proto::UDP, 5060, translated)
}

fn with(translated: bool, change: impl FnOnce(&mut Config)) -> Session {
    let mut config = Config::default();
    change(&mut config);
    Session::with("sip", proto::UDP, 5060, translated, config)
}

const AUDIO: &str = "m=audio 20000 RTP/AVP 0";

#[test]
fn a_call_expects_a_medium_and_its_control_channel() {
    let mut session = udp(false);
    let said = session.say(Original, invite(&[AUDIO]).as_bytes());
    assert_eq!((said.state, said.dropped), (State::New, None));
    assert_eq!(said.announced.as_deref(), Some("audio 20000"));
    let all = session.expectations();
    assert_eq!(all.len(), 2, "{all:?}");
    for (line, port) in all.iter().zip(["dport=20000 ", "dport=20001 "]) {
        let ends = format!("src={SERVER} dst={CLIENT} sport=any {port}");
        assert!(line.contains(&ends), "{line}");
    }
    assert_eq!(
        session
            .opens(proto::UDP, (SERVER, 7), (CLIENT, 20_001))
            .state,
        State::Related
    );
    assert_eq!(
        session
            .opens(proto::UDP, ("192.0.2.9", 7), (CLIENT, 20_000))
            .state,
        State::New
    );
    let bye = message("BYE sip:b@x SIP/2.0", "BYE", "10.0.0.2:40000", "", "");
    session.say(Original, bye.as_bytes());
    assert!(session.expectations().is_empty());
}

#[test]
fn media_are_forgotten_after_three_minutes() {
    for (seconds, state) in [(179, State::Related), (180, State::New)] {
        let mut session = udp(false);
        session.say(Original, invite(&[AUDIO]).as_bytes());
        session.wait(seconds);
        let medium = session.opens(proto::UDP, (SERVER, 7), (CLIENT, 20_000));
        assert_eq!(medium.state, state, "after {seconds} s");
    }
}

#[test]
fn descriptions_and_how_many_are_expected_of_them() {
    for (media, expected, dropped) in [
        (
            vec![AUDIO, "m=video 20002 RTP/AVP 31", "m=image 20004 udptl t38"],
            6,
            false,
        ),
        (vec!["m=audio 20001 RTP/AVP 0"], 2, false),
        (vec!["m=audio 0 RTP/AVP 0"], 0, false),
        (vec!["m=text 20000 RTP/AVP 0"], 0, false),
        (vec!["m=audio 1023 RTP/AVP 0"], 0, true),
        (vec!["m=audio 65536 RTP/AVP 0"], 0, true),
        (vec!["m=audio 4294967296 RTP/AVP 0"], 0, false),
        (vec!["m=audio 99999999999999999999 RTP/AVP 0"], 0, false),
        (vec!["m=audio 65535 RTP/AVP 0"], 2, false),
        (vec![AUDIO, "c=IN IP4 10.0.0.99"], 0, false),
        (vec![AUDIO, "c=IN IP4 10.0.0.2"], 2, false),
        // At most four of a class, and three media of a message.
        (
            vec![
                AUDIO,
                "m=audio 20002 x",
                "m=audio 20004 x",
                "m=audio 20006 x",
            ],
            4,
            false,
        ),
        (vec!["m=image 20000 x", "m=image 20002 x"], 2, false),
    ] {
        let mut session = udp(false);
        let said = session.say(Original, invite(&media).as_bytes());
        assert_eq!(said.dropped.is_some(), dropped, "{media:?}");
        assert_eq!(session.expectations().len(), expected, "{media:?}");
    }
}

#[test]
fn another_hosts_media_are_expected_only_when_allowed() {
    let bounce = invite(&[AUDIO]).replace("IP4 10.0.0.2", "IP4 198.51.100.7");
    for (direct, expected) in [(true, 0), (false, 2)] {
        let mut session = with(false, |c| c.helpers.sip_direct_media = direct);
        assert_eq!(session.say(Original, bounce.as_bytes()).dropped, None);
        assert_eq!(session.expectations().len(), expected);
    }
    // And where nothing is known of ways, a third host is on the other side.
    let mut session = with(false, |c| {
        c.helpers.sip_direct_media = false;
        c.helpers.sip_external_media = true;
    });
    session.say(Original, bounce.as_bytes());
    assert_eq!(session.expectations().len(), 2);
}

#[test]
fn a_refused_call_forgets_its_media_and_another_answer_does_not() {
    for (code, cseq, left) in [
        ("486 Busy", "1 INVITE", 0),
        ("486 Busy", "2 INVITE", 2),
        ("486 Busy", "1 UPDATE", 0),
        ("486 Busy", "1 BYE", 2),
        ("180 Ringing", "1 INVITE", 2),
    ] {
        let mut session = udp(false);
        session.say(Original, invite(&[AUDIO]).as_bytes());
        let answer = format!("SIP/2.0 {code}\r\nCSeq: {cseq}\r\n\r\n");
        session.say(Reply, answer.as_bytes());
        assert_eq!(session.expectations().len(), left, "{code} {cseq}");
    }
}

#[test]
fn messages_without_number_or_code_are_dropped() {
    for (direction, text, dropped) in [
        (Original, "INVITE sip:x SIP/2.0\r\n\r\n", true),
        (Original, "INVITE sip:x SIP/2.0\r\nCSeq: -1\r\n\r\n", true),
        (
            Original,
            "INVITE sip:x SIP/2.0\r\nCSeq: 99999999999\r\n\r\n",
            true,
        ),
        (Original, "OPTIONS sip:x SIP/2.0\r\n\r\n", false),
        (Original, "INVITE  sip:x SIP/2.0\r\n\r\n", false),
        (Reply, "SIP/2.0 000 OK\r\nCSeq: 1 INVITE\r\n\r\n", true),
        (Reply, "SIP/2.0 OK\r\nCSeq: 1 INVITE\r\n\r\n", true),
        (Reply, "SIP/2.0 200 OK\r\n\r\n", true),
        (Reply, "SIP/2.0 20", false),
        (Reply, "SIP/2.0 200", true),
    ] {
        let mut session = udp(false);
        session.say(Original, b"OPTIONS sip:x SIP/2.0\r\n\r\n");
        let said = session.say(direction, text.as_bytes());
        assert_eq!(said.dropped.is_some(), dropped, "{text:?}");
    }
}

#[test]
fn a_registration_waits_for_its_answer_and_lives_as_long_as_that_says() {
    let end = "10.0.0.2:40000";
    for (answer, seconds, state) in [
        (None, 0, State::New),
        (Some(registered("100 Trying", end, "60")), 0, State::New),
        (Some(registered("200 OK", end, "60")), 59, State::Related),
        (Some(registered("200 OK", end, "60")), 60, State::New),
        (Some(registered("200 OK", end, "0")), 0, State::New),
        (Some(registered("403 No", end, "60")), 0, State::New),
        (
            Some(registered("200 OK", "10.0.0.3:40000", "60")),
            0,
            State::New,
        ),
        // Of the timer ticks 32 bits are kept.
        (Some(registered("200 OK", end, "17179870")), 1, State::New),
    ] {
        let mut session = udp(false);
        session.say(Original, register("600").as_bytes());
        assert_eq!(session.expectations().len(), 1);
        if let Some(answer) = &answer {
            assert_eq!(session.say(Reply, answer.as_bytes()).dropped, None);
        }
        session.wait(seconds);
        for from in [7000, 7001] {
            let call = session.opens(proto::UDP, (SERVER, from), (CLIENT, 40_000));
            assert_eq!(call.state, state, "{answer:?} after {seconds} s");
        }
    }
}

#[test]
fn calls_come_from_the_registrar_unless_allowed_otherwise() {
    for (direct, state) in [(true, State::New), (false, State::Related)] {
        let mut session = with(false, |c| c.helpers.sip_direct_signalling = direct);
        session.say(Original, register("600").as_bytes());
        session.say(
            Reply,
            registered("200 OK", "10.0.0.2:40000", "600").as_bytes(),
        );
        let call = session.opens(proto::UDP, ("192.0.2.9", 7), (CLIENT, 40_000));
        assert_eq!(call.state, state);
    }
}

#[test]
fn a_translated_call_names_the_public_address_everywhere() {
    let mut session = udp(true);
    let said = session.say(Original, invite(&[AUDIO]).as_bytes());
    let text = said.text();
    assert!(!text.contains(CLIENT), "{text}");
    // Five addresses in headers and description became longer by four bytes; two are counted.
    let body = description(PUBLIC, &[AUDIO]);
    assert!(
        text.ends_with(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        "{text}"
    );
    let all = session.expectations();
    assert!(
        all.iter().all(|e| e.contains(&format!("dst={PUBLIC} "))),
        "{all:?}"
    );
    let medium = session.opens(proto::UDP, (SERVER, 7), (PUBLIC, 20_000));
    assert_eq!(medium.state, State::Related);
    let packet = Packet::parse(&medium.bytes).unwrap();
    assert_eq!(packet.destination().to_string(), CLIENT);
}

#[test]
fn media_find_each_other_by_either_announcement() {
    let mut session = udp(true);
    session.say(Original, invite(&[AUDIO]).as_bytes());
    let body = description(SERVER, &["m=audio 30000 RTP/AVP 0"]);
    let answer = message("SIP/2.0 200 OK", "INVITE", "198.51.100.1:40000", "", &body);
    let said = session.say(Reply, answer.as_bytes());
    assert!(
        said.text()
            .contains(&format!("Contact: <sip:a@{CLIENT}:40000>"))
    );
    // The client speaks first: its port is the one that it announced, as the server knows it.
    let medium = session.opens(proto::UDP, (CLIENT, 20_000), (SERVER, 30_000));
    assert_eq!(medium.state, State::Related);
    let packet = Packet::parse(&medium.bytes).unwrap();
    assert_eq!(packet.source().to_string(), PUBLIC);
    let answer = session.opens(proto::UDP, (SERVER, 30_000), (PUBLIC, 20_000));
    assert_eq!(answer.state, State::Established);
}

#[test]
fn a_translated_description_needs_owner_and_length() {
    let good = invite(&[AUDIO]);
    for (bad, why) in [
        (good.replace("o=", "x="), "session description"),
        (
            good.replace("Content-Length", "Content"),
            "session description",
        ),
    ] {
        let mut session = udp(true);
        let said = session.say(Original, bad.as_bytes());
        assert!(said.dropped.is_some_and(|d| d.contains(why)), "{bad}");
        assert_eq!(udp(false).say(Original, bad.as_bytes()).dropped, None);
    }
}

#[test]
fn a_phone_that_listens_elsewhere_gets_its_answers_there() {
    let mut session = udp(true);
    let elsewhere = invite(&[AUDIO]).replace("40000", "5070");
    session.say(Original, elsewhere.as_bytes());
    let said = session.say(Reply, b"SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\n\r\n");
    let packet = Packet::parse(&said.bytes).unwrap();
    assert!(packet.transport_checksum_ok(proto::UDP));
    let port = palisade_wire::udp::Udp::new(packet.transport()).map(|u| u.destination_port());
    assert_eq!(port, Some(5070));
}

fn seq(said: &Said) -> u32 {
    let packet = Packet::parse(&said.bytes).unwrap();
    Tcp::new(packet.transport()).unwrap().seq().0
}

#[test]
fn over_tcp_whole_messages_are_read_and_what_follows_is_shifted() {
    let options = invite(&[])
        .replace("INVITE", "OPTIONS")
        .replace("UDP", "TCP");
    let call = invite(&[AUDIO]).replace("UDP", "TCP");
    // Headers are translated in whatever has a length and an end, request or not.
    for (segments, expected, grows) in [
        (vec![format!("{options}{call}")], 2, true),
        (vec![options.clone(), call.clone()], 2, true),
        (vec![call[..90].into(), call[90..].into()], 0, true),
        (vec![call[..call.len() - 1].into(), "\n".into()], 0, false),
        (vec![format!("\r\n\r\n{call}")], 0, true),
    ] {
        for translated in [false, true] {
            let mut session = Session::new("sip", proto::TCP, 5060, translated);
            let (mut sent, mut left) = (0, 0);
            for segment in &segments {
                let said = session.say(Original, segment.as_bytes());
                assert_eq!((said.state, &said.dropped), (State::Established, &None));
                assert_eq!(seq(&said) as usize, 1001 + left);
                sent += segment.len();
                left += said.text().len();
            }
            assert_eq!(left > sent, translated && grows, "{segments:?}");
            assert_eq!(session.expectations().len(), expected, "{segments:?}");
            let next = session.say(Original, b"\r\n");
            assert_eq!(seq(&next) as usize, 1001 + left);
            assert_eq!(session.say(Reply, b"\r\n").state, State::Established);
        }
    }
}

#[test]
fn the_changes_before_a_cut_message_are_forgotten_as_the_kernel_forgets_them() {
    let options = invite(&[])
        .replace("INVITE", "OPTIONS")
        .replace("UDP", "TCP");
    let mut session = Session::new("sip", proto::TCP, 5060, true);
    let segment = format!("{options}{}", &options[..options.len() - 1]);
    let said = session.say(Original, segment.as_bytes());
    assert!(said.text().len() > segment.len());
    let next = session.say(Original, b"\n");
    assert_eq!(seq(&next) as usize, 1001 + segment.len());
}

#[test]
fn a_connection_lives_an_hour_from_every_message() {
    let mut session = udp(false);
    session.say(Original, b"\r\n");
    session.wait(3599);
    assert_eq!(session.say(Original, b"\r\n").state, State::New);
    assert_eq!(session.table.len(), 1);
    let left = session
        .table
        .connections()
        .next()
        .map(|c| c.timeout(palisade_wire::Timestamp::new(4599, 0)));
    assert_eq!(left, Some(3600));
}

#[test]
fn a_least_port_refuses_what_the_kernel_would_expect() {
    let mut session = with(false, |c| c.helpers.least_expected_port = 30_000);
    let said = session.say(Original, invite(&[AUDIO]).as_bytes());
    assert!(said.dropped.is_some_and(|d| d.contains("below the least")));
}

/// Messages in both directions that use everything there is.
fn samples() -> Vec<(Direction, String)> {
    let all = [
        AUDIO,
        "c=IN IP4 10.0.0.2",
        "m=video 20002 RTP/AVP 31",
        "m=image 20004 x",
    ];
    let body = description(SERVER, &["m=audio 30000 RTP/AVP 0"]);
    let end = "198.51.100.1:40000;received=198.51.100.1;rport=40000;maddr=10.0.0.2";
    vec![
        (Original, invite(&all)),
        (Original, register("99999999999")),
        (
            Original,
            register("600").replace("<sip:a", "<sip:x>, sip:a"),
        ),
        (Reply, message("SIP/2.0 200 OK", "INVITE", end, "", &body)),
        (Reply, registered("200 OK", end, "4294967295")),
    ]
}

/// Says it in a fresh session, and checks what must hold whatever was said.
fn survives(direction: Direction, bytes: &[u8], protocol: u8, translated: bool) {
    let mut session = Session::new("sip", protocol, 5060, translated);
    session.say(Original, register("600").as_bytes());
    let said = session.say(direction, bytes);
    assert!(session.expectations().len() <= 7);
    if said.dropped.is_none() {
        // Lengths and checksums of what leaves are right.
        let text = said.text();
        assert!(translated || text == String::from_utf8_lossy(bytes));
    }
}

#[test]
fn every_prefix_of_every_message_is_safe() {
    for (direction, text) in samples() {
        for end in 1..=text.len() {
            for translated in [false, true] {
                survives(direction, &text.as_bytes()[..end], proto::UDP, translated);
                survives(direction, &text.as_bytes()[..end], proto::TCP, translated);
            }
        }
    }
}

#[test]
fn every_byte_may_be_another_one() {
    for (direction, text) in samples() {
        for at in 0..text.len() {
            for byte in [b'\r', b'\n', b',', b':', b'@', b'9', 0, 0xff] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                survives(direction, &bytes, proto::UDP, true);
            }
        }
    }
}
