//! SANE, the scanners' protocol: the port that the answer to NET_START names.
//!
//! As the kernel (`nf_conntrack_sane.c`):
//! - a request of exactly eight bytes is a command; only the last one before an answer counts, and the
//!   first segment of an answer uses it up, whatever it says;
//! - an answer that refuses, or is too short, is passed over;
//! - the data connection comes from the client's address, any port, to the server;
//! - nothing is translated: what is expected is what the client, in front of a translation, will use.

use palisade_wire::proto;

use super::{Call, HelperState, Proposal, Word};
use crate::State;
use crate::snapshot::{In, Out};
use crate::tuple::Direction;

/// Command NET_START.
const NET_START: [u8; 4] = [0, 0, 0, 7];

/// Bytes of a command (code, handle) and of the part of an answer that is read (status, zero, port).
const MESSAGE: usize = 8;

/// What the connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaneState {
    /// The last command was NET_START, and nothing was answered.
    start_requested: bool,
}

impl SaneState {
    pub(super) fn save(self, out: &mut Out) {
        out.byte(self.start_requested.into());
    }

    pub(super) fn load(input: &mut In<'_>) -> Option<Self> {
        let start_requested = input.flag()?;
        Some(SaneState { start_requested })
    }
}

/// Reads one segment (kernel `help`).
pub(super) fn inspect(state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    if !matches!(state, HelperState::Sane(_)) {
        *state = HelperState::Sane(SaneState::default());
    }
    let HelperState::Sane(state) = state else {
        return Word::Pass;
    };
    let payload = call.payload();
    if call.state() != State::Established || payload.is_empty() {
        return Word::Pass;
    }
    if call.direction() == Direction::Original {
        if payload.len() == MESSAGE {
            state.start_requested = payload.starts_with(&NET_START);
        }
        return Word::Pass;
    }
    if !std::mem::take(&mut state.start_requested) {
        return Word::Pass;
    }
    let Some(&[0, 0, 0, 0, 0, 0, high, low]) = payload.first_chunk::<MESSAGE>() else {
        return Word::Pass;
    };
    let original = call.tuple(Direction::Original);
    let port = u16::from_be_bytes([high, low]);
    let mut proposal = Proposal::new(original.destination, port, proto::TCP).from(original.source);
    proposal.announced = 0..MESSAGE;
    match call.expect(&proposal) {
        Ok(_) => Word::Pass,
        Err(refused) => Word::Drop(refused.reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::testing::{CLIENT, SERVER, Session};
    use Direction::{Original, Reply};

    const START: &[u8] = b"\0\0\0\x07\0\0\0\x01";
    const OPEN: &[u8] = b"\0\0\0\x02\0\0\0\x01";
    const OK: &[u8] = b"\0\0\0\0\0\0\x27\x10\x12\x34";

    fn session() -> Session {
        Session::new("sane", proto::TCP, 6566, false)
    }

    #[test]
    fn only_the_answer_to_a_start_announces() {
        use Direction::{Original as O, Reply as R};
        let refused = b"\0\0\0\x03\0\0\x27\x10".as_slice();
        let odd = b"\0\0\0\0\0\x01\x27\x10".as_slice();
        for (words, port) in [
            (&[(O, START), (R, OK)][..], Some(10_000)),
            (&[(O, START), (R, &OK[..8])], Some(10_000)),
            // Privileged ports, and port 0, are expected as they are.
            (&[(O, START), (R, b"\0\0\0\0\0\0\0\x16")], Some(22)),
            (&[(O, START), (R, b"\0\0\0\0\0\0\0\0")], Some(0)),
            (&[(O, OPEN), (R, OK)], None),
            (&[(R, OK)], None),
            (&[(O, START), (O, OPEN), (R, OK)], None),
            (&[(O, OPEN), (O, START), (R, OK)], Some(10_000)),
            // A segment of another length is no command.
            (&[(O, START), (O, b"more of it"), (R, OK)], Some(10_000)),
            (&[(O, b"\0\0\0\x07\0\0\0\x01\0"), (R, OK)], None),
            (&[(O, &START[..7]), (R, OK)], None),
            // The first segment of the answer uses it up.
            (&[(O, START), (R, &OK[..7]), (R, OK)], None),
            (&[(O, START), (R, refused), (R, OK)], None),
            (&[(O, START), (R, odd)], None),
        ] {
            let mut session = session();
            for (direction, payload) in words {
                assert_eq!(session.say(*direction, payload).dropped, None);
            }
            let expected: Vec<_> = port
                .map(|port| {
                    format!(
                        "300 proto=6 src=10.0.0.2 dst=192.0.2.1 sport=any dport={port} helper=sane parent=1"
                    )
                })
                .into_iter()
                .collect();
            assert_eq!(session.expectations(), expected, "{words:?}");
        }
    }

    #[test]
    fn the_data_connection_comes_from_the_client_also_behind_a_translation() {
        for translated in [false, true] {
            for (from, state) in [(CLIENT, State::Related), ("10.0.0.3", State::New)] {
                let mut session = Session::new("sane", proto::TCP, 6566, translated);
                session.say(Original, START);
                let said = session.say(Reply, OK);
                assert!(said.text().ends_with('4'));
                let data = session.opens(proto::TCP, (from, 2000), (SERVER, 10_000));
                assert_eq!(data.state, state);
            }
        }
    }
}
