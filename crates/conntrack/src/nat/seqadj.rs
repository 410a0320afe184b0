//! Sequence numbers of a TCP connection whose payload a helper lengthened or shortened (kernel
//! `nf_conntrack_seqadj.c`).

use palisade_wire::tcp::{Tcp, flags};
use palisade_wire::{Buffer, SeqNumber, checksum};

use crate::tuple::Direction;

/// What was added to one direction's bytes (kernel `struct nf_ct_seqadj`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Behind this position the newer offset holds.
    pub position: SeqNumber,
    /// Bytes added up to the last change but one.
    pub before: i32,
    /// Bytes added in all.
    pub after: i32,
}

impl Shift {
    /// The offset of a sequence number as its sender wrote it (kernel `nf_ct_seq_offset`).
    pub fn at(&self, seq: SeqNumber) -> i32 {
        if seq.after(self.position) {
            self.after
        } else {
            self.before
        }
    }

    /// Notes that the segment at `seq` was changed by `difference` bytes; a retransmission is not counted
    /// twice (kernel `nf_ct_seqadj_set`).
    pub(crate) fn note(&mut self, seq: SeqNumber, difference: i32) {
        if difference == 0 {
            return;
        }
        if self.before == self.after || self.position.before(seq) {
            self.position = seq;
            self.before = self.after;
            self.after = self.after.wrapping_add(difference);
        }
    }

    /// The offset of a number that the other side wrote about this direction.
    fn seen_from_there(&self, ack: SeqNumber) -> i32 {
        if (ack + self.before.wrapping_neg() as u32).after(self.position) {
            self.after
        } else {
            self.before
        }
    }
}

/// Rewrites a segment's sequence number, acknowledgement and SACK blocks (kernel `nf_ct_seq_adjust`).
/// `false`: options that do not end; the packet is to be dropped.
pub(crate) fn adjust(buffer: &mut Buffer<'_>, shifts: &[Shift; 2], direction: Direction) -> bool {
    const SACK: u8 = 5;
    let packet = buffer.packet();
    let at = packet.transport_offset();
    let Some(tcp) = Tcp::new(packet.transport()) else {
        return false;
    };
    let this = shifts[direction.index()];
    let other = shifts[direction.opposite().index()];
    let seq = tcp.seq() + this.at(tcp.seq()) as u32;
    let ack = tcp
        .has(flags::ACK)
        .then(|| tcp.ack() + other.seen_from_there(tcp.ack()).wrapping_neg() as u32);
    let options = at + 20..at + tcp.data_offset().max(20);
    let bytes = buffer.edit();
    put(bytes, at, 4, seq.0);
    let Some(ack) = ack else {
        return true;
    };
    put(bytes, at, 8, ack.0);
    let mut place = options.start;
    while place < options.end {
        let Some(&kind) = bytes.get(place) else {
            return false;
        };
        match kind {
            0 => return true,
            1 => place += 1,
            _ => {
                let length = usize::from(bytes.get(place + 1).copied().unwrap_or(0));
                if place + 1 == options.end || length < 2 || place + length > options.end {
                    return false;
                }
                if kind == SACK && length >= 10 && (length - 2) % 8 == 0 {
                    for edge in (place + 2..place + length).step_by(4) {
                        let Some(field) = bytes.get(edge..edge + 4).and_then(|f| f.first_chunk())
                        else {
                            return false;
                        };
                        let old = SeqNumber(u32::from_be_bytes(*field));
                        let new = old + other.seen_from_there(old).wrapping_neg() as u32;
                        put(bytes, at, edge - at, new.0);
                    }
                }
                place += length;
            }
        }
    }
    true
}

/// Shifts the time stamps of a connection that SYNPROXY opened: what the server says by `ahead` back, what is
/// echoed to it by `ahead` forth (kernel `synproxy_tstamp_adjust`).
pub fn adjust_stamps(buffer: &mut Buffer<'_>, ahead: u32, direction: Direction) {
    const STAMPS: u8 = 8;
    let packet = buffer.packet();
    let at = packet.transport_offset();
    let Some(tcp) = Tcp::new(packet.transport()) else {
        return;
    };
    if ahead == 0 {
        return;
    }
    let end = at + tcp.data_offset().max(20);
    let mut place = at + 20;
    let bytes = buffer.edit();
    while place < end {
        match bytes.get(place) {
            Some(1) => place += 1,
            Some(0) | None => return,
            Some(&kind) => {
                let length = usize::from(bytes.get(place + 1).copied().unwrap_or(0));
                if place + 1 == end || length < 2 || place + length > end {
                    return;
                }
                if kind == STAMPS && length == 10 {
                    let (field, by) = match direction {
                        Direction::Reply => (place + 2, ahead.wrapping_neg()),
                        Direction::Original => (place + 6, ahead),
                    };
                    if let Some(old) = bytes.get(field..).and_then(|b| b.first_chunk()) {
                        let new = u32::from_be_bytes(*old).wrapping_add(by);
                        put(bytes, at, field - at, new);
                    }
                }
                place += length;
            }
        }
    }
}

/// Writes a number of the TCP header at `transport` and carries the checksum along.
fn put(bytes: &mut [u8], transport: usize, offset: usize, value: u32) {
    let place = transport + offset;
    let Some(field) = bytes.get_mut(place..place + 4) else {
        return;
    };
    let old = [field[0], field[1], field[2], field[3]];
    let new = value.to_be_bytes();
    field.copy_from_slice(&new);
    // A number that does not stand at an even offset counts its bytes the other way round.
    let (old, new) = if offset.is_multiple_of(2) {
        (old, new)
    } else {
        (
            [old[1], old[0], old[3], old[2]],
            [new[1], new[0], new[3], new[2]],
        )
    };
    let Some(check) = bytes.get_mut(transport + 16..transport + 18) else {
        return;
    };
    let mut sum = u16::from_be_bytes([check[0], check[1]]);
    for half in [0, 2] {
        sum = checksum::update(
            sum,
            u16::from_be_bytes([old[half], old[half + 1]]),
            u16::from_be_bytes([new[half], new[half + 1]]),
        );
    }
    check.copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_wire::{Packet, build, proto};

    #[test]
    fn a_retransmission_of_the_changed_segment_is_not_counted_twice() {
        let mut shift = Shift::default();
        shift.note(SeqNumber(100), 5);
        assert_eq!((shift.at(SeqNumber(100)), shift.at(SeqNumber(101))), (0, 5));
        shift.note(SeqNumber(100), 5);
        assert_eq!(shift.after, 5);
        shift.note(SeqNumber(200), -2);
        assert_eq!((shift.at(SeqNumber(200)), shift.at(SeqNumber(201))), (5, 3));
    }

    #[test]
    fn numbers_and_sack_blocks_are_shifted_and_the_checksum_stays_right() {
        let ip = build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let shifts = [
            Shift::default(),
            Shift {
                position: SeqNumber(1000),
                before: 0,
                after: 7,
            },
        ];
        let sack = [1, 1, 5, 10, 0, 0, 4, 0, 0, 0, 5, 0];
        let header = build::Tcp {
            seq: 500,
            ack: 1100,
            flags: flags::ACK,
            options: sack.to_vec(),
            ..build::Tcp::default()
        };
        let bytes = build::tcp(&ip, &header, b"");
        for (direction, seq, ack, edges) in [
            (Direction::Original, 500, 1093, [0x400 - 7, 0x500 - 7]),
            (Direction::Reply, 500, 1100, [0x400, 0x500]),
        ] {
            let mut buffer = Buffer::new(Packet::parse(&bytes).unwrap(), Vec::new());
            assert!(adjust(&mut buffer, &shifts, direction));
            let packet = buffer.packet();
            assert!(packet.transport_checksum_ok(proto::TCP));
            let tcp = Tcp::new(packet.transport()).unwrap();
            assert_eq!((tcp.seq().0, tcp.ack().0), (seq, ack));
            let edge =
                |at: usize| u32::from_be_bytes(*packet.transport()[at..].first_chunk().unwrap());
            assert_eq!([edge(24), edge(28)], edges);
        }
    }
}
