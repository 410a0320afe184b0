//! A TCP connection as an entry of the table holds it: everything that is known, in 52 bytes.

use palisade_wire::SeqNumber;

use super::{FlagClass, Peer, PeerFlags, TcpConnection, TcpState};
use crate::tuple::Direction;

/// A [`TcpConnection`], packed.
///
/// ```text
/// bits of `small`, from the lowest:
///   4 state | 3 class, 1 direction, 4 scale of the last | 4 + 4 scales | 6 + 6 flags of the ends | 8 flags of the last
///   8 retransmissions | 16 window of the last
/// ```
///
/// Of the ends' flags the last two are not kept: they are marks about the last segment, which nothing asks an end for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedTcp {
    ends: [[u32; 4]; 2],
    last: [u32; 3],
    small: [u32; 2],
}

const _: () = assert!(size_of::<PackedTcp>() == 52);

/// Flags of an end that are kept.
const KEPT: u64 = 0x3f;

#[inline]
fn bits(flags: PeerFlags) -> u64 {
    u64::from(flags.window_scale)
        | u64::from(flags.sack_permitted) << 1
        | u64::from(flags.close_init) << 2
        | u64::from(flags.be_liberal) << 3
        | u64::from(flags.data_unacknowledged) << 4
        | u64::from(flags.maxack_set) << 5
        | u64::from(flags.expect_challenge_ack) << 6
        | u64::from(flags.simultaneous_open) << 7
}

#[inline]
fn flags(bits: u64) -> PeerFlags {
    let bit = |n: u32| bits >> n & 1 != 0;
    PeerFlags {
        window_scale: bit(0),
        sack_permitted: bit(1),
        close_init: bit(2),
        be_liberal: bit(3),
        data_unacknowledged: bit(4),
        maxack_set: bit(5),
        expect_challenge_ack: bit(6),
        simultaneous_open: bit(7),
    }
}

impl PackedTcp {
    #[inline]
    pub(crate) fn pack(tcp: &TcpConnection) -> Self {
        let end = |peer: &Peer| [peer.end.0, peer.maxend.0, peer.maxwin, peer.maxack.0];
        let [a, b] = &tcp.peers;
        let small = tcp.state as u64
            | (tcp.last_class as u64) << 4
            | (tcp.last_direction as u64) << 7
            | u64::from(tcp.last_scale & 15) << 8
            | u64::from(a.scale & 15) << 12
            | u64::from(b.scale & 15) << 16
            | (bits(a.flags) & KEPT) << 20
            | (bits(b.flags) & KEPT) << 26
            | bits(tcp.last_flags) << 32
            | u64::from(tcp.retransmissions) << 40
            | u64::from(tcp.last_window) << 48;
        PackedTcp {
            ends: [end(a), end(b)],
            last: [tcp.last_seq.0, tcp.last_ack.0, tcp.last_end.0],
            small: [small as u32, (small >> 32) as u32],
        }
    }

    #[inline]
    pub(crate) fn unpack(&self) -> TcpConnection {
        let small = u64::from(self.small[0]) | u64::from(self.small[1]) << 32;
        let field = |at: u32, width: u32| small >> at & ((1 << width) - 1);
        let peer = |[end, maxend, maxwin, maxack]: [u32; 4], scale, of| Peer {
            end: SeqNumber(end),
            maxend: SeqNumber(maxend),
            maxwin,
            maxack: SeqNumber(maxack),
            scale,
            flags: flags(of),
        };
        let [a, b] = self.ends;
        let [seq, ack, end] = self.last;
        TcpConnection {
            state: TcpState::ALL[field(0, 4) as usize % TcpState::ALL.len()],
            peers: [
                peer(a, field(12, 4) as u8, field(20, 6)),
                peer(b, field(16, 4) as u8, field(26, 6)),
            ],
            last_direction: if field(7, 1) == 0 {
                Direction::Original
            } else {
                Direction::Reply
            },
            last_class: FlagClass::ALL[field(4, 3) as usize % FlagClass::ALL.len()],
            last_seq: SeqNumber(seq),
            last_ack: SeqNumber(ack),
            last_end: SeqNumber(end),
            last_window: field(48, 16) as u16,
            last_scale: field(8, 4) as u8,
            last_flags: flags(field(32, 8)),
            retransmissions: field(40, 8) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peers() -> impl Strategy<Value = Peer> {
        (any::<(u32, u32, u32, u32)>(), 0u8..15, 0u64..64).prop_map(
            |((end, maxend, maxwin, maxack), scale, of)| Peer {
                end: SeqNumber(end),
                maxend: SeqNumber(maxend),
                maxwin,
                maxack: SeqNumber(maxack),
                scale,
                flags: flags(of),
            },
        )
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            peers in [peers(), peers()],
            state in 0..TcpState::ALL.len(),
            class in 0..FlagClass::ALL.len(),
            reply: bool,
            last: (u32, u32, u32, u16, u8, u8),
            last_scale in 0u8..15,
        ) {
            let tcp = TcpConnection {
                state: TcpState::ALL[state],
                peers,
                last_direction: if reply { Direction::Reply } else { Direction::Original },
                last_class: FlagClass::ALL[class],
                last_seq: SeqNumber(last.0),
                last_ack: SeqNumber(last.1),
                last_end: SeqNumber(last.2),
                last_window: last.3,
                last_scale,
                last_flags: flags(last.4.into()),
                retransmissions: last.5,
            };
            prop_assert_eq!(PackedTcp::pack(&tcp).unpack(), tcp);
        }
    }

    #[test]
    fn states_and_classes_have_their_numbers() {
        for (n, state) in TcpState::ALL.iter().enumerate() {
            assert_eq!(*state as usize, n);
        }
        for (n, class) in FlagClass::ALL.iter().enumerate() {
            assert_eq!(*class as usize, n);
        }
    }
}
