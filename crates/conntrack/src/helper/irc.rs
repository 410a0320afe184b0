//! IRC: DCC offers (`PRIVMSG nick :\x01DCC SEND file 167772162 1029 …`) from client to server.
//!
//! As the kernel (`nf_conntrack_irc.c`):
//! - one offer a segment, and only if the segment begins with the message (blanks and line ends before
//!   it are passed over);
//! - `PRIVMSG` in any case, `DCC` and its kind exactly;
//! - only an offer of the client's own address, in front of or behind the translation, is believed; any
//!   other passes without an expectation, as does what does not parse: nothing is dropped for its form;
//! - the connection may come from anywhere;
//! - at most 4,095 bytes of a segment are looked at.
//!
//! Options: `max_dcc_channels`, `dcc_timeout`.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use palisade_wire::proto;

use super::{Call, HelperState, Proposal, Word, number};
use crate::State;
use crate::expect::{Follow, Refused};
use crate::tuple::Direction;

/// Bytes of a segment that are looked at (kernel `MAX_SEARCH_SIZE`).
const MOST: usize = 4095;

/// Bytes that must follow where a message may begin.
const LEAST_MESSAGE: usize = 10;

/// Bytes that must follow where an offer may begin.
const LEAST_OFFER: usize = 26;

/// Bytes that must follow the byte behind the one that is looked at for the blank in front of the address.
const LEAST_ADDRESS: usize = 12;

/// Kinds of offers, in the kernel's order.
const KINDS: [&[u8]; 5] = [b"SEND ", b"CHAT ", b"MOVE ", b"TSEND ", b"SCHAT "];

/// An offer.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    address: Ipv4Addr,
    port: u16,
    /// Where address and port stand, with the blanks between them.
    at: Range<usize>,
}

/// Reads one segment (kernel `help`).
pub(super) fn inspect(_: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    if call.direction() == Direction::Reply || call.state() != State::Established {
        return Word::Pass;
    }
    let payload = call.payload();
    let Some(offer) = offer(&payload[..payload.len().min(MOST)]) else {
        return Word::Pass;
    };
    let own = call.tuple(Direction::Original).source;
    let public = call.tuple(Direction::Reply).destination;
    let offered = IpAddr::V4(offer.address);
    if (offered != own && offered != public) || offer.port == 0 {
        return Word::Pass;
    }
    let mut proposal = Proposal::new(public, offer.port, proto::TCP);
    proposal.announced = 0..offer.at.end;
    if call.translated() {
        return translate(call, proposal, &offer);
    }
    match call.expect(&proposal) {
        Ok(_) => Word::Pass,
        Err(refused) => Word::Drop(refused.reason()),
    }
}

/// The offer names the address and port that the connection will really go to (kernel `nf_nat_irc.c`).
fn translate(call: &mut Call<'_, '_>, mut proposal: Proposal, offer: &Offer) -> Word {
    proposal.saved_port = offer.port;
    proposal.direction = Direction::Reply;
    proposal.follow = Follow::Master;
    let IpAddr::V4(address) = proposal.destination else {
        return Word::Pass;
    };
    let (id, port) = match call.expect_near(&mut proposal, offer.port) {
        Ok(found) => found,
        Err(Refused::Clash) => return Word::Drop("all ports are in use"),
        Err(refused) => return Word::Drop(refused.reason()),
    };
    let text = format!("{} {port}", u32::from(address));
    if call.replace(offer.at.clone(), text.as_bytes()) {
        Word::Pass
    } else {
        call.unexpect(id);
        Word::Drop("the packet would grow too long")
    }
}

/// The offer in a segment.
fn offer(data: &[u8]) -> Option<Offer> {
    let has = |at: usize, more: usize| at + more < data.len();
    let mut at = 0;
    while has(at, LEAST_MESSAGE) && matches!(data[at], b' ' | b'\r' | b'\n') {
        at += 1;
    }
    if has(at, LEAST_MESSAGE) {
        const COMMAND: &[u8] = b"PRIVMSG ";
        if !data[at..at + COMMAND.len()].eq_ignore_ascii_case(COMMAND) {
            return None;
        }
        at += COMMAND.len();
    }
    while has(at, LEAST_OFFER) {
        if !data[at..].starts_with(b" :") {
            at += 1;
            continue;
        }
        at += 2;
        const DCC: &[u8] = b"\x01DCC ";
        if !data[at..].starts_with(DCC) {
            return None;
        }
        at += DCC.len();
        // Of another kind: an offer may follow later in the line.
        if let Some(kind) = KINDS.iter().find(|kind| data[at..].starts_with(kind)) {
            return address_and_port(data, at + kind.len());
        }
    }
    None
}

/// Behind the kind: an argument, then address and port (kernel `parse_dcc`).
fn address_and_port(data: &[u8], mut at: usize) -> Option<Offer> {
    while *data.get(at)? != b' ' {
        at += 1;
        if at + LEAST_ADDRESS > data.len() {
            return None;
        }
    }
    at += 1;
    // Numbers end at the first other byte: there must be one.
    if !data.get(at..)?.contains(&b'\n') {
        return None;
    }
    let start = at;
    let (address, length) = number(&data[at..]);
    at += length;
    while data.get(at) == Some(&b' ') {
        at += 1;
    }
    let (port, length) = number(data.get(at..)?);
    Some(Offer {
        address: Ipv4Addr::from(address as u32),
        port: port as u16,
        at: start..at + length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::helper::testing::{CLIENT, PUBLIC, SERVER, Said, Session};
    use Direction::{Original, Reply};

    /// 10.0.0.2 as a number.
    const OWN: &str = "167772162";

    fn say(direction: Direction, line: &str, translated: bool) -> (Session, Said) {
        let mut session = Session::new("irc", proto::TCP, 6667, translated);
        let said = session.say(direction, line.as_bytes());
        (session, said)
    }

    #[test]
    fn what_announces_and_what_does_not() {
        let own = |text: &str| text.replace("OWN", OWN);
        for (line, port) in [
            (
                "PRIVMSG bob :\x01DCC SEND a.txt OWN 1029 12\x01\r\n",
                Some(1029),
            ),
            (
                "PRIVMSG bob :\x01DCC CHAT chat OWN 5000\x01\r\n",
                Some(5000),
            ),
            (
                "PRIVMSG bob :\x01DCC MOVE a.txt OWN 1029 12\x01\r\n",
                Some(1029),
            ),
            (
                "PRIVMSG bob :\x01DCC TSEND a.txt OWN 1029 12\x01\r\n",
                Some(1029),
            ),
            (
                "PRIVMSG bob :\x01DCC SCHAT chat OWN 1029 12\x01\r\n",
                Some(1029),
            ),
            // Blanks before it, and any case of the command.
            (
                " \r\n privmsg bob :\x01DCC CHAT chat OWN 5000\x01\r\n",
                Some(5000),
            ),
            // Privileged ports too.
            ("PRIVMSG bob :\x01DCC CHAT chat OWN 22\x01\r\n", Some(22)),
            // Several blanks between the numbers.
            (
                "PRIVMSG bob :\x01DCC CHAT chat OWN    5000\x01\r\n",
                Some(5000),
            ),
            // Sixteen bits of a port, 32 of an address are kept.
            ("PRIVMSG bob :\x01DCC CHAT chat OWN 65558\x01\r\n", Some(22)),
            (
                "PRIVMSG bob :\x01DCC CHAT chat 4462739458 5000\x01\r\n",
                Some(5000),
            ),
            // An unknown kind, and an offer behind it.
            (
                "PRIVMSG bob :\x01DCC XMIT x :\x01DCC CHAT chat OWN 5000\x01\r\n",
                Some(5000),
            ),
            // A newline anywhere behind is enough.
            (
                "PRIVMSG bob :\x01DCC CHAT chat OWN 5000 and more\n",
                Some(5000),
            ),
            (
                "PRIVMSG bob :\x01DCC CHAT chat OWN 5000\x01 no newline",
                None,
            ),
            ("PRIVMSG bob :\x01DCC CHAT chat OWN 0\x01\r\n", None),
            ("PRIVMSG bob :\x01DCC CHAT chat OWN 65536\x01\r\n", None),
            ("PRIVMSG bob :\x01DCC CHAT chat OWN port\x01\r\n", None),
            ("PRIVMSG bob :\x01DCC chat chat OWN 5000\x01\r\n", None),
            ("PRIVMSG bob :\x01dcc CHAT chat OWN 5000\x01\r\n", None),
            (
                "PRIVMSG bob :hello \x01DCC CHAT chat OWN 5000\x01\r\n",
                None,
            ),
            ("NOTICE bob :\x01DCC CHAT chat OWN 5000\x01\r\n", None),
            (
                "PING :x\r\nPRIVMSG bob :\x01DCC CHAT chat OWN 5000\x01\r\n",
                None,
            ),
            // Somebody else's address.
            (
                "PRIVMSG bob :\x01DCC CHAT chat 167772163 5000\x01\r\n",
                None,
            ),
            ("PRIVMSG bob :\x01DCC CHAT chat 10.0.0.2 5000\x01\r\n", None),
        ] {
            let (session, said) = say(Original, &own(line), false);
            assert_eq!(said.dropped, None, "{line}");
            let expected: Vec<_> = port
                .map(|port| {
                    format!(
                        "300 proto=6 src=any dst=10.0.0.2 sport=any dport={port} helper=irc parent=1"
                    )
                })
                .into_iter()
                .collect();
            assert_eq!(session.expectations(), expected, "{line}");
        }
    }

    #[test]
    fn the_servers_words_are_not_read() {
        let line = "PRIVMSG bob :\x01DCC CHAT chat 3221225985 5000\x01\r\n";
        let (session, _) = say(Reply, line, false);
        assert!(session.expectations().is_empty());
    }

    #[test]
    fn an_offer_in_two_segments_is_not_seen() {
        let line = format!("PRIVMSG bob :\x01DCC CHAT chat {OWN} 5000\x01\r\n");
        for cut in 1..line.len() {
            let mut session = Session::new("irc", proto::TCP, 6667, false);
            for part in [&line[..cut], &line[cut..]] {
                assert_eq!(session.say(Original, part.as_bytes()).dropped, None);
            }
            // Only the line's very end may be missing: the newline closes the numbers.
            assert!(session.expectations().is_empty(), "{cut}");
        }
    }

    #[test]
    fn anybody_may_come_and_a_connection_may_offer_eight_times() {
        let mut session = Session::new("irc", proto::TCP, 6667, false);
        for port in 5000..5010 {
            session.say(
                Original,
                format!("PRIVMSG bob :\x01DCC CHAT chat {OWN} {port}\x01\r\n").as_bytes(),
            );
        }
        assert_eq!(session.expectations().len(), 8);
        for (port, state) in [(5001, State::New), (5002, State::Related)] {
            let came = session.opens(proto::TCP, ("203.0.113.77", 999), (CLIENT, port));
            assert_eq!(came.state, state, "{port}");
        }
    }

    #[test]
    fn options_say_how_many_and_how_long() {
        let mut config = Config::default();
        config.helpers.irc_max_dcc_channels = 1;
        config.helpers.irc_dcc_timeout = 20;
        let mut session = Session::with("irc", proto::TCP, 6667, false, config);
        for port in [5000, 5001] {
            let line = format!("PRIVMSG bob :\x01DCC CHAT chat {OWN} {port}\x01\r\n");
            session.say(Original, line.as_bytes());
        }
        assert_eq!(
            session.expectations(),
            ["20 proto=6 src=any dst=10.0.0.2 sport=any dport=5001 helper=irc parent=1"]
        );
    }

    #[test]
    fn a_translated_offer_names_the_public_address() {
        // 198.51.100.1; the client may know its public address too.
        for address in [OWN, "3325256705"] {
            let line = format!("PRIVMSG bob :\x01DCC SEND a.txt {address}  5000 12\x01\r\n");
            let (mut session, said) = say(Original, &line, true);
            assert_eq!(
                said.text(),
                "PRIVMSG bob :\x01DCC SEND a.txt 3325256705 5000 12\x01\r\n"
            );
            assert_eq!(
                session.expectations(),
                ["300 proto=6 src=any dst=198.51.100.1 sport=any dport=5000 helper=irc parent=1"]
            );
            assert_eq!(
                session.say(Reply, b":srv PONG\r\n").state,
                State::Established
            );
            let came = session.opens(proto::TCP, ("203.0.113.77", 999), (PUBLIC, 5000));
            assert_eq!(came.state, State::Related);
            let packet = palisade_wire::Packet::parse(&came.bytes).unwrap();
            assert_eq!(packet.destination().to_string(), CLIENT);
            // The stranger is seen at the address that the parent talks to.
            assert_eq!(packet.source().to_string(), SERVER);
        }
    }

    #[test]
    fn every_prefix_is_safe() {
        for line in [
            format!("PRIVMSG bob :\x01DCC SEND a.txt {OWN} 1029 12\x01\r\n"),
            "PRIVMSG b :\x01DCC XMIT :\x01DCC CHAT x 99999999999999999999999 99999999\n".into(),
            "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n".into(),
        ] {
            for end in 0..=line.len() {
                for translated in [false, true] {
                    let (session, said) = say(Original, &line[..end], translated);
                    assert_eq!(said.dropped, None);
                    assert!(session.expectations().len() <= 1);
                }
            }
        }
    }

    #[test]
    fn bytes_beyond_the_first_4095_are_not_read() {
        for (blanks, seen) in [(4000, true), (4100, false)] {
            let line = format!(
                "{}PRIVMSG bob :\x01DCC CHAT chat {OWN} 5000\x01\r\n",
                " ".repeat(blanks)
            );
            let (session, _) = say(Original, &line, false);
            assert_eq!(session.expectations().len(), usize::from(seen));
        }
    }
}
