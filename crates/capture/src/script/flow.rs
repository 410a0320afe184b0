//! Sequence numbers that follow along, so that a script rarely writes any.
//!
//! Each TCP flow (two addresses, two ports) keeps, for either side, the next byte it will send. A
//! segment without `seq` goes there; one without `ack` acknowledges all the other side has sent. Only
//! segments that continue a side's bytes move it: what `seq` puts elsewhere (a forged segment, a
//! retransmission) leaves the flow as it was.
//!
//! The side that sends first starts at 1000, the other at 5000. A SYN of a side that is closed begins
//! a new incarnation, a million further on.

use std::collections::HashMap;
use std::net::IpAddr;

use palisade_wire::{SeqNumber, tcp::flags};

use super::model::Number;
use super::sctp::Associations;

const FIRST_ISN: u32 = 1000;
const SECOND_ISN: u32 = 5000;
const INCARNATION: u32 = 1_000_000;

/// Address and port.
pub(super) type Socket = (IpAddr, u16);

/// The flows of a test.
#[derive(Default)]
pub(super) struct Flows {
    flows: HashMap<(Socket, Socket), Flow>,
    /// The same for SCTP: verification tags.
    pub(super) associations: Associations,
}

struct Flow {
    /// By the order of the key's sockets.
    sides: [Side; 2],
}

#[derive(Clone, Copy)]
struct Side {
    isn: u32,
    /// The next byte, once something was sent.
    next: Option<SeqNumber>,
    /// Sent FIN, or the flow was reset.
    closed: bool,
    /// How much further on the other side sees this side's numbers: the firewall changed the length of
    /// what this side said.
    shift: u32,
    /// The last time stamp of this side that came to the other.
    stamp: u32,
}

impl Side {
    /// The next byte of a side that may have sent nothing the script shows.
    fn next(&self) -> SeqNumber {
        self.next.unwrap_or(SeqNumber(self.isn.wrapping_add(1)))
    }

    fn reopened(&mut self) {
        if self.next.is_some() {
            self.isn = self.isn.wrapping_add(INCARNATION);
        }
        self.next = None;
        self.closed = false;
        self.shift = 0;
        self.stamp = 0;
    }
}

/// What a segment of a flow says.
pub(super) struct Numbers {
    pub seq: SeqNumber,
    pub ack: SeqNumber,
    /// The next byte expected from the other side, for relative SACK edges.
    pub expected: SeqNumber,
    /// The other side's last time stamp.
    pub stamp: u32,
}

impl Flows {
    /// The numbers of a segment, and the flow moved by it.
    pub fn segment(
        &mut self,
        from: Socket,
        to: Socket,
        flag_bits: u8,
        seq: Number,
        ack: Number,
        payload: usize,
    ) -> Numbers {
        let (key, mine) = if from <= to {
            ((from, to), 0)
        } else {
            ((to, from), 1)
        };
        let flow = self.flows.entry(key).or_insert_with(|| {
            let side = |isn| Side {
                isn,
                next: None,
                closed: false,
                shift: 0,
                stamp: 0,
            };
            // Index 0 is the smaller socket; the first sender starts at FIRST_ISN.
            Flow {
                sides: if mine == 0 {
                    [side(FIRST_ISN), side(SECOND_ISN)]
                } else {
                    [side(SECOND_ISN), side(FIRST_ISN)]
                },
            }
        });
        let [a, b] = &mut flow.sides;
        let (me, other) = if mine == 0 { (a, b) } else { (b, a) };
        let has = |mask| flag_bits & mask == mask;
        let (syn, fin, rst, acks) = (
            has(flags::SYN),
            has(flags::FIN),
            has(flags::RST),
            has(flags::ACK),
        );
        if syn && !acks && !rst && me.closed && seq == Number::Follow {
            me.reopened();
            other.reopened();
        }
        let default_seq = match me.next {
            // A SYN again is the same SYN again.
            _ if syn => SeqNumber(me.isn),
            // A reset by a side that has sent nothing: RFC 9293 §3.10.7.1.
            None if rst && acks => SeqNumber(0),
            _ => me.next(),
        };
        let expected = other.next() + other.shift;
        let seq_number = apply(seq, default_seq);
        let ack_number = match (ack, acks) {
            (Number::Follow, false) => SeqNumber(0),
            _ => apply(ack, expected),
        };
        let length = (payload as u32)
            .wrapping_add(u32::from(syn))
            .wrapping_add(u32::from(fin));
        let end = seq_number + length;
        let moves = match me.next {
            None => true,
            Some(_) if syn => other.next.is_none() && !acks && seq != Number::Follow,
            Some(next) => !seq_number.after(next) && end.after(next),
        };
        if moves && !(rst && me.next.is_none()) {
            if syn {
                me.isn = seq_number.0;
            }
            me.next = Some(end);
        }
        if rst && seq_number == default_seq {
            me.closed = true;
            other.closed = true;
        }
        if fin && moves {
            me.closed = true;
        }
        Numbers {
            seq: seq_number,
            ack: ack_number,
            expected,
            stamp: other.stamp,
        }
    }
}

impl Flows {
    /// Notes that `from`'s bytes, which end at `sent`, end at `left` for whoever receives them.
    pub fn left(&mut self, from: Socket, to: Socket, sent: SeqNumber, left: SeqNumber) {
        // Only what the side said last tells: an old segment may have been shifted otherwise.
        if let Some(side) = self.side(from, to)
            && side.next == Some(sent)
        {
            side.shift = left.0.wrapping_sub(sent.0);
        }
    }
}

impl Flows {
    /// Notes a SYN/ACK that the firewall sent to `to` in `from`'s name: `from`'s bytes are seen from its number on.
    pub fn answered(&mut self, from: Socket, to: Socket, seq: SeqNumber) {
        if let Some(side) = self.side(from, to) {
            side.next = side.next.or(Some(SeqNumber(side.isn.wrapping_add(1))));
            side.shift = seq.0.wrapping_sub(side.isn);
        }
    }

    /// Notes a time stamp of `from` that comes to `to`.
    pub fn stamped(&mut self, from: Socket, to: Socket, stamp: u32) {
        if let Some(side) = self.side(from, to) {
            side.stamp = stamp;
        }
    }

    fn side(&mut self, from: Socket, to: Socket) -> Option<&mut Side> {
        let (key, mine) = if from <= to {
            ((from, to), 0)
        } else {
            ((to, from), 1)
        };
        self.flows.get_mut(&key)?.sides.get_mut(mine)
    }
}

/// A written number, `base` where it is relative.
pub(super) fn apply(number: Number, base: SeqNumber) -> SeqNumber {
    match number {
        Number::Follow => base,
        Number::Exactly(n) => SeqNumber(n),
        // Truncation is the arithmetic of sequence numbers.
        Number::Relative(n) => base + n as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u8 = flags::SYN;
    const SA: u8 = flags::SYN | flags::ACK;
    const A: u8 = flags::ACK;
    const FA: u8 = flags::FIN | flags::ACK;
    const RA: u8 = flags::RST | flags::ACK;

    /// Rows: from the client?, flags, seq, payload length; the expected seq and ack.
    fn check_flow(rows: &[(bool, u8, Number, usize, u32, u32)]) {
        let client = (IpAddr::from([10, 0, 0, 1]), 40000);
        let server = (IpAddr::from([10, 0, 0, 2]), 80);
        for (client, server) in [(client, server), (server, client)] {
            let mut flows = Flows::default();
            for (row, &(forward, bits, seq, payload, want_seq, want_ack)) in rows.iter().enumerate()
            {
                let (from, to) = if forward {
                    (client, server)
                } else {
                    (server, client)
                };
                let got = flows.segment(from, to, bits, seq, Number::Follow, payload);
                assert_eq!((got.seq.0, got.ack.0), (want_seq, want_ack), "row {row}");
            }
        }
    }

    #[test]
    fn numbers_follow_a_connection_from_syn_to_fin() {
        use Number::Follow as F;
        check_flow(&[
            (true, S, F, 0, 1000, 0),
            (true, S, F, 0, 1000, 0),
            (false, SA, F, 0, 5000, 1001),
            (true, A, F, 0, 1001, 5001),
            (true, A, F, 100, 1001, 5001),
            (false, A, F, 0, 5001, 1101),
            (false, A, F, 7, 5001, 1101),
            (true, FA, F, 0, 1101, 5008),
            (false, FA, F, 0, 5008, 1102),
            (true, A, F, 0, 1102, 5009),
            // A closed side's SYN begins anew.
            (true, S, F, 0, 1_001_000, 0),
            (false, SA, F, 0, 1_005_000, 1_001_001),
        ]);
    }

    #[test]
    fn segments_put_elsewhere_do_not_move_the_flow() {
        use Number::{Exactly, Follow as F, Relative};
        check_flow(&[
            (true, S, F, 0, 1000, 0),
            (false, SA, F, 0, 5000, 1001),
            (true, A, Relative(100_000), 50, 101_001, 5001),
            (true, A, Relative(-500), 50, 501, 5001),
            (true, A, Exactly(1001), 10, 1001, 5001),
            (true, A, Relative(-5), 10, 1006, 5001),
            (true, A, F, 0, 1016, 5001),
            (false, S, Exactly(77), 0, 77, 0),
            (false, A, F, 0, 5001, 1016),
        ]);
    }

    #[test]
    fn a_refusal_comes_from_sequence_number_zero() {
        use Number::Follow as F;
        check_flow(&[
            (true, S, F, 0, 1000, 0),
            (false, RA, F, 0, 0, 1001),
            (true, S, F, 0, 1_001_000, 0),
        ]);
    }
}
