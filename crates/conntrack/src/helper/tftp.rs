//! TFTP (RFC 1350): a read or write request, which the server answers from a port of its own.
//!
//! As the kernel (`nf_conntrack_tftp.c`):
//! - only the opcode is read, in packets of either direction and any state, so a request within the
//!   conversation, or one by the server, announces too;
//! - what is expected follows from the connection's tuples alone: any port of the server to the port that asked.

use palisade_wire::proto;

use super::{Call, HelperState, Proposal, Word};
use crate::expect::Follow;
use crate::tuple::Direction;

/// Read and write request.
const REQUESTS: [u16; 2] = [1, 2];

/// Reads one packet (kernel `tftp_help`; translated: `nf_nat_tftp.c`, which has nothing to rewrite).
pub(super) fn inspect(_: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    let Some(opcode) = call.payload().first_chunk::<2>() else {
        return Word::Pass;
    };
    if !REQUESTS.contains(&u16::from_be_bytes(*opcode)) {
        return Word::Pass;
    }
    let reply = call.tuple(Direction::Reply);
    let mut proposal =
        Proposal::new(reply.destination, reply.destination_word(), proto::UDP).from(reply.source);
    proposal.announced = 0..call.payload().len();
    if call.translated() {
        proposal.saved_port = call.tuple(Direction::Original).source_word();
        proposal.direction = Direction::Reply;
        proposal.follow = Follow::Master;
    }
    match call.expect(&proposal) {
        Ok(_) => Word::Pass,
        Err(refused) => Word::Drop(refused.reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;
    use crate::helper::testing::{CLIENT, PUBLIC, SERVER, Session};
    use Direction::{Original, Reply};

    fn session(translated: bool) -> Session {
        Session::new("tftp", proto::UDP, 69, translated)
    }

    #[test]
    fn only_requests_announce_in_whichever_direction_they_go() {
        for (direction, payload, announces) in [
            (Original, b"\0\x01file\0octet\0".as_slice(), true),
            (Original, b"\0\x02file\0octet\0", true),
            (Original, b"\0\x01", true),
            (Original, b"\0", false),
            (Original, b"", false),
            (Original, b"\x01\0", false),
            (Original, b"\0\x03\0\x01data", false),
            (Original, b"\0\x04\0\x01", false),
            (Original, b"\0\x05\0\x01gone\0", false),
            (Original, b"\0\x06", false),
            (Reply, b"\0\x01file\0octet\0", true),
            (Reply, b"\0\x03\0\x01data", false),
        ] {
            let mut session = session(false);
            if direction == Reply {
                session.say(Original, b"x");
            }
            let said = session.say(direction, payload);
            assert_eq!(said.dropped, None);
            assert_eq!(said.announced.is_some(), announces, "{payload:?}");
            let expected = session.expectations();
            assert_eq!(expected.len(), usize::from(announces), "{payload:?}");
            if announces {
                assert_eq!(
                    expected,
                    [
                        "300 proto=17 src=192.0.2.1 dst=10.0.0.2 sport=any dport=40000 helper=tftp parent=1"
                    ]
                );
            }
        }
    }

    #[test]
    fn the_answer_comes_from_any_port_of_the_server_and_only_once() {
        for (from, state) in [
            ((SERVER, 33_333), State::Related),
            (("192.0.2.2", 33_333), State::New),
            // The very port that was asked answers within the connection itself.
            ((SERVER, 69), State::Established),
        ] {
            let mut session = session(false);
            session.say(Original, b"\0\x01file\0octet\0");
            let answer = session.opens(proto::UDP, from, (CLIENT, 40_000));
            assert_eq!(answer.state, state, "{from:?}");
        }
        let mut session = session(false);
        session.say(Original, b"\0\x01file\0octet\0");
        for state in [State::Related, State::New] {
            let port = if state == State::Related { 1 } else { 2 };
            let answer = session.opens(proto::UDP, (SERVER, 33_333 + port), (CLIENT, 40_000));
            assert_eq!(answer.state, state);
        }
    }

    #[test]
    fn asking_again_makes_no_second_expectation() {
        let mut session = session(false);
        for _ in 0..3 {
            session.say(Original, b"\0\x01file\0octet\0");
            session.wait(1);
        }
        assert_eq!(session.expectations().len(), 1);
    }

    #[test]
    fn the_answer_to_a_translated_client_finds_it() {
        let mut session = session(true);
        let said = session.say(Original, b"\0\x02file\0octet\0");
        assert_eq!(said.text(), "\0\x02file\0octet\0");
        assert_eq!(
            session.expectations(),
            [
                "300 proto=17 src=192.0.2.1 dst=198.51.100.1 sport=any dport=40000 helper=tftp parent=1"
            ]
        );
        let answer = session.opens(proto::UDP, (SERVER, 33_333), (PUBLIC, 40_000));
        assert_eq!(answer.state, State::Related);
        let packet = palisade_wire::Packet::parse(&answer.bytes).unwrap();
        assert_eq!(packet.destination().to_string(), CLIENT);
        assert_eq!(packet.source().to_string(), SERVER);
    }
}
