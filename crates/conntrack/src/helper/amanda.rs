//! Amanda: the `CONNECT DATA 1024 MESG 1025 INDEX 1026` line in a backup client's answer.
//!
//! As the kernel (`nf_conntrack_amanda.c`):
//! - every packet of the reply direction gives the connection `master_timeout` seconds, with payload or without;
//! - the first `CONNECT ` anywhere in a packet counts, up to the next newline; each of the four words is
//!   looked for once, in the kernel's order, wherever it stands between them;
//! - five digits of a port are read and wrap at 16 bits; port 0 ends the search;
//! - the streams come from the address that asked, from any port.
//!
//! Option: `master_timeout`.

use palisade_wire::proto;

use super::{Call, HelperState, Proposal, Word, number};
use crate::expect::{Follow, Refused};
use crate::tuple::Direction;

/// Words in front of a port, in the kernel's order.
const STREAMS: [&[u8]; 4] = [b"DATA ", b"MESG ", b"INDEX ", b"STATE "];

/// Digits of a port that are read.
const DIGITS: usize = 5;

/// Reads one packet (kernel `amanda_help`).
pub(super) fn inspect(_: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    if call.direction() == Direction::Original {
        return Word::Pass;
    }
    call.refresh(call.options().amanda_master_timeout);
    const CONNECT: &[u8] = b"CONNECT ";
    let payload = call.payload();
    let Some(start) = find(payload, CONNECT).map(|at| at + CONNECT.len()) else {
        return Word::Pass;
    };
    let Some(stop) = find(&payload[start..], b"\n").map(|at| start + at) else {
        return Word::Pass;
    };
    let mut word = Word::Pass;
    for stream in STREAMS {
        // A translation may have made the text longer or shorter: the end is not moved.
        let payload = call.payload();
        let Some(line) = payload.get(start..stop.min(payload.len())) else {
            break;
        };
        let Some(at) = find(line, stream).map(|at| start + at + stream.len()) else {
            continue;
        };
        let Some(digits) = payload.get(at..at + (stop - at).min(DIGITS)) else {
            break;
        };
        let (port, length) = number(digits);
        let port = port as u16;
        if port == 0 {
            break;
        }
        let original = call.tuple(Direction::Original);
        let mut proposal =
            Proposal::new(original.destination, port, proto::TCP).from(original.source);
        proposal.announced = at - stream.len()..at + length;
        if call.translated() {
            // The last stream's word counts.
            word = translate(call, proposal, at, length);
        } else if let Err(refused) = call.expect(&proposal) {
            word = Word::Drop(refused.reason());
        }
    }
    word
}

/// The port is rewritten if it had to be changed (kernel `nf_nat_amanda.c`).
fn translate(call: &mut Call<'_, '_>, mut proposal: Proposal, at: usize, length: usize) -> Word {
    let wanted = proposal.destination_port;
    proposal.saved_port = wanted;
    proposal.direction = Direction::Original;
    proposal.follow = Follow::Master;
    let (id, port) = match call.expect_near(&mut proposal, wanted) {
        Ok(found) => found,
        Err(Refused::Clash) => return Word::Drop("all ports are in use"),
        Err(refused) => return Word::Drop(refused.reason()),
    };
    if call.replace(at..at + length, port.to_string().as_bytes()) {
        Word::Pass
    } else {
        call.unexpect(id);
        Word::Drop("the packet would grow too long")
    }
}

/// Where `needle` first stands.
fn find(data: &[u8], needle: &[u8]) -> Option<usize> {
    data.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;
    use crate::config::Config;
    use crate::helper::testing::{CLIENT, PUBLIC, SERVER, Said, Session};
    use Direction::{Original, Reply};

    fn answer(text: &str, translated: bool) -> (Session, Said) {
        let mut session = Session::new("amanda", proto::UDP, 10_080, translated);
        session.say(
            Original,
            b"Amanda 2.4 REQ HANDLE 000-1 SEQ 1\nSERVICE sendbackup\n",
        );
        let said = session.say(Reply, text.as_bytes());
        (session, said)
    }

    #[test]
    fn ports_are_found_in_the_kernels_order_wherever_they_stand() {
        for (text, ports) in [
            (
                "CONNECT DATA 1024 MESG 1025 INDEX 1026\n",
                &[1024, 1025, 1026][..],
            ),
            (
                "Amanda 2.4 REP\nCONNECT INDEX 3 DATA 1 STATE 4 MESG 2\nOPTIONS x;\n",
                &[1, 2, 3, 4],
            ),
            // A word stands wherever its letters do; each counts once.
            ("CONNECT XDATA 7 DATA 8\n", &[7]),
            // Only between CONNECT and the newline, and only behind the first CONNECT.
            ("DATA 9\nCONNECT MESG 2\nDATA 1\n", &[2]),
            ("CONNECT nothing\nCONNECT DATA 5\n", &[]),
            ("connect DATA 5\n", &[]),
            ("CONNECT DATA 5", &[]),
            // Five digits are read, and wrap.
            ("CONNECT DATA 65558\n", &[22]),
            ("CONNECT DATA 123456\n", &[12_345]),
            ("CONNECT DATA 80x\n", &[80]),
            // Port 0, or none, ends it.
            ("CONNECT DATA 1 MESG 0 INDEX 3\n", &[1]),
            ("CONNECT DATA 1 MESG x INDEX 3\n", &[1]),
            ("CONNECT DATA 1 MESG 65536 INDEX 3\n", &[1]),
            ("CONNECT DATA \n", &[]),
            ("CONNECT \n", &[]),
            ("CONNECT ", &[]),
            ("", &[]),
        ] {
            let (session, said) = answer(text, false);
            assert_eq!(said.dropped, None, "{text}");
            let expected: Vec<_> = ports
                .iter()
                .map(|port| {
                    format!(
                        "180 proto=6 src=10.0.0.2 dst=192.0.2.1 sport=any dport={port} helper=amanda parent=1"
                    )
                })
                .collect();
            assert_eq!(session.expectations(), expected, "{text}");
        }
    }

    #[test]
    fn the_asking_side_is_not_read() {
        let mut session = Session::new("amanda", proto::UDP, 10_080, false);
        session.say(Original, b"CONNECT DATA 1024\n");
        session.say(Reply, b"x");
        session.say(Original, b"CONNECT DATA 1024\n");
        assert!(session.expectations().is_empty());
    }

    #[test]
    fn every_answer_gives_the_connection_five_minutes() {
        for (seconds, timeout) in [(None, 300), (Some(7), 7)] {
            let mut config = Config::default();
            if let Some(seconds) = seconds {
                config.helpers.amanda_master_timeout = seconds;
            }
            let mut session = Session::with("amanda", proto::UDP, 10_080, false, config);
            let left = |session: &Session| {
                let connection = session.table.connections().next().unwrap();
                connection.timeout(palisade_wire::Timestamp::new(1000, 0))
            };
            session.say(Original, b"x");
            assert_eq!(left(&session), 30);
            session.say(Reply, b"");
            assert_eq!(left(&session), timeout);
            // The protocol's own time again.
            session.say(Original, b"x");
            assert_eq!(left(&session), 30);
        }
    }

    #[test]
    fn five_announcements_of_one_connection_leave_four() {
        let (mut session, _) = answer("CONNECT DATA 1 MESG 2 INDEX 3 STATE 4\n", false);
        session.say(Reply, b"CONNECT DATA 5\n");
        assert_eq!(session.expectations().len(), 4);
        for (port, state) in [(1, State::New), (5, State::Related)] {
            let came = session.opens(proto::TCP, (CLIENT, 2000 + port), (SERVER, port));
            assert_eq!(came.state, state);
        }
    }

    #[test]
    fn a_stream_of_a_translated_conversation_follows_it() {
        let (mut session, said) = answer("CONNECT DATA 1024 MESG 65558\n", true);
        assert_eq!(said.text(), "CONNECT DATA 1024 MESG 22\n");
        let came = session.opens(proto::TCP, (CLIENT, 2000), (SERVER, 1024));
        assert_eq!(came.state, State::Related);
        let packet = palisade_wire::Packet::parse(&came.bytes).unwrap();
        assert_eq!(packet.source().to_string(), PUBLIC);
        assert_eq!(packet.destination().to_string(), SERVER);
    }

    #[test]
    fn behind_a_port_that_became_shorter_the_end_of_the_line_is_where_it_was() {
        for (text, ports) in [
            // Four bytes are wanted of the second port, and only two are left.
            ("CONNECT DATA 65558 MESG 7\n", &["22"][..]),
            ("CONNECT DATA 65558 MESG 7\nOPTIONS |;\n", &["22", "7"]),
        ] {
            let (session, _) = answer(text, true);
            let expected = session.expectations();
            assert_eq!(expected.len(), ports.len(), "{text}");
            for (line, port) in expected.iter().zip(ports) {
                assert!(line.contains(&format!("dport={port} ")), "{line}");
            }
        }
    }

    #[test]
    fn every_prefix_is_safe() {
        let line = "CONNECT DATA 99999 MESG 70000 INDEX 123456 STATE 1\n";
        for end in 0..=line.len() {
            for translated in [false, true] {
                for text in [line[..end].to_string(), format!("{}\n", &line[..end])] {
                    assert_eq!(answer(&text, translated).1.dropped, None);
                }
            }
        }
    }
}
