//! Calls: SIP with what its bodies announce, and PPTP.

use super::chance::Chance;
use super::talk::{aside, handshake};
use super::{Story, Teller};

/// A SIP message with the length of its body.
fn message(first: &str, rest: &str, body: &str) -> String {
    let length = body.replace("\\r\\n", "12").len();
    format!("\"{first}\\r\\n{rest}Content-Length: {length}\\r\\n\\r\\n{body}\"")
}

pub(super) fn sip(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number).with_ports(5_060, "5060");
    (teller.from, teller.to) = ("client:5060".to_owned(), "server:5060".to_owned());
    let (mine, theirs, family) = match teller.six {
        true => ("fd00:1::2", "fd00:2::2", "IP6"),
        false => ("10.1.0.2", "10.2.0.2", "IP4"),
    };
    let (host, peer) = match teller.six {
        true => (format!("[{mine}]"), format!("[{theirs}]")),
        false => (mine.to_owned(), theirs.to_owned()),
    };
    let via = format!("Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number}\\r\\n");
    let ends = format!(
        "From: <sip:a@{host}>;tag=a\\r\\nTo: <sip:b@{peer}>\\r\\nCall-ID: {number}@{host}\\r\\n"
    );
    let odd = |teller: &mut Teller<'_>, text: String| match teller.chance.below(14) {
        0 => text.replace("Content-Length", "l"),
        1 => text.replace("c=IN", "c=XX"),
        2 => text.replace("m=audio 2", "m=audio 99"),
        3 => text.replace("CSeq", "Cseq"),
        4 => text.replace("Via:", "v:"),
        5 => text.replace("Contact: <sip:a@", "Contact: <sip:a@9"),
        _ => text,
    };
    let media = 20_000 + number * 10;
    let body = |address: &str, port: usize| {
        format!(
            "v=0\\r\\no=- 1 1 IN {family} {address}\\r\\ns=-\\r\\nc=IN {family} {address}\\r\\nt=0 0\\r\\nm=audio {port} RTP/AVP 0\\r\\n"
        )
    };
    if teller.chance.one_in(3) {
        let expires = teller.chance.pick(&["3600", "0", "60"]);
        let rest = format!(
            "{via}{ends}CSeq: 1 REGISTER\\r\\nContact: <sip:a@{host}:5060>\\r\\nExpires: {expires}\\r\\n"
        );
        let text = message(&format!("REGISTER sip:{peer} SIP/2.0"), &rest, "");
        let text = odd(&mut teller, text);
        teller.say(false, &format!("udp {text}"));
        let answer = teller
            .chance
            .pick(&["200 OK", "401 Unauthorized", "100 Trying"]);
        let text = message(&format!("SIP/2.0 {answer}"), &rest, "");
        teller.say(true, &format!("udp {text}"));
        aside(
            &mut teller,
            "server:5060 > client:5060 udp \"OPTIONS sip:a SIP/2.0\\r\\n\\r\\n\"",
        );
    }
    let invite = format!("{via}{ends}CSeq: 1 INVITE\\r\\nContact: <sip:a@{host}:5060>\\r\\n");
    let text = message(
        &format!("INVITE sip:b@{peer} SIP/2.0"),
        &invite,
        &body(mine, media),
    );
    let text = odd(&mut teller, text);
    teller.say(false, &format!("udp {text}"));
    let text = message("SIP/2.0 100 Trying", &invite, "");
    teller.say(true, &format!("udp {text}"));
    let answer = teller
        .chance
        .pick(&["200 OK", "200 OK", "183 Session Progress", "486 Busy Here"]);
    let text = message(
        &format!("SIP/2.0 {answer}"),
        &invite,
        &body(theirs, media + 4),
    );
    let text = odd(&mut teller, text);
    teller.say(true, &format!("udp {text}"));
    for (from, to) in [(media + 4, media), (media + 5, media + 1)] {
        if teller.chance.below(3) > 0 {
            aside(
                &mut teller,
                &format!("server:{from} > client:{to} udp len 20"),
            );
            aside(
                &mut teller,
                &format!("client:{to} > server:{from} udp len 20"),
            );
        }
    }
    if teller.chance.one_in(2) {
        let bye = format!("{via}{ends}CSeq: 2 BYE\\r\\n");
        let text = message(&format!("BYE sip:b@{peer} SIP/2.0"), &bye, "");
        teller.say(false, &format!("udp {text}"));
        let text = message("SIP/2.0 200 OK", &bye, "");
        teller.say(true, &format!("udp {text}"));
    }
    teller.end("SIP")
}

/// A control message: length, magic cookie, type, and what follows, filled up with zeros.
fn control(length: usize, kind: u16, rest: &str) -> String {
    let zeros = length.saturating_sub(12 + rest.len() / 2);
    format!(
        "hex:{length:04x}00011a2b3c4d{kind:04x}0000{rest} hex:{}",
        "00".repeat(zeros.max(1))
    )
}

pub(super) fn pptp(chance: &mut Chance, number: usize) -> Story {
    let port = 8_000 + number;
    let mut teller = Teller::new(chance, number);
    teller.six = false;
    (teller.from, teller.to) = (format!("client:{port}"), "server:1723".to_owned());
    handshake(&mut teller);
    let (call, peer) = (7 + number, 900 + number);
    let lines = [
        (false, control(156, 1, "0100")),
        (true, control(156, 2, "010001")),
        (false, control(168, 7, &format!("{call:04x}0001"))),
        (true, control(32, 8, &format!("{peer:04x}{call:04x}01"))),
    ];
    for (back, line) in lines {
        match teller.chance.below(12) {
            0 => {}
            1 => {
                let wrong = line.replace("1a2b3c4d", "1a2b3c4e");
                teller.say(back, &format!("tcp {wrong}"));
            }
            _ => teller.say(back, &format!("tcp {line}")),
        }
    }
    for _ in 0..1 + teller.chance.below(4) {
        let key = teller.chance.one_of(&[call, call, peer, peer, 5]);
        let (from, to) = if key == peer {
            ("client", "server")
        } else {
            ("server", "client")
        };
        aside(
            &mut teller,
            &format!("{from} > {to} proto gre hex:3001880b0001{key:04x}00000001ff"),
        );
    }
    if teller.chance.one_in(3) {
        let clear = control(16, 12, &format!("{call:04x}"));
        teller.say(false, &format!("tcp {clear}"));
        aside(
            &mut teller,
            &format!("client > server proto gre hex:3001880b0001{peer:04x}00000002ff"),
        );
    }
    teller.end("PPTP")
}
