//! A TCP connection as an entry of the table holds it: everything that is known, in 56 bytes.

use palisade_wire::SeqNumber;

use super::{FlagClass, Peer, PeerFlags, TcpConnection, TcpState};
use crate::tuple::Direction;

/// A [`TcpConnection`], as words.
///
/// ```text
///  0 …  7   end, maxend, maxwin, maxack of either end
///  8 … 10   sequence number, acknowledgement, end of the last segment
///      11   bytes: scale and flags of either end
///      12   window of the last segment | state | class, with the direction in the highest bit
///      13   bytes: retransmissions, scale and flags of the last segment
/// ```
#[inline]
pub(crate) fn pack(tcp: &TcpConnection) -> [u32; 14] {
    let [a, b] = &tcp.peers;
    let byte = |value: u8, at: u32| u32::from(value) << at;
    [
        a.end.0,
        a.maxend.0,
        a.maxwin,
        a.maxack.0,
        b.end.0,
        b.maxend.0,
        b.maxwin,
        b.maxack.0,
        tcp.last_seq.0,
        tcp.last_ack.0,
        tcp.last_end.0,
        byte(a.scale, 0) | byte(a.flags.0, 8) | byte(b.scale, 16) | byte(b.flags.0, 24),
        u32::from(tcp.last_window)
            | byte(tcp.state as u8, 16)
            | byte(tcp.last_class as u8 | (tcp.last_direction as u8) << 7, 24),
        byte(tcp.retransmissions, 0) | byte(tcp.last_scale, 8) | byte(tcp.last_flags.0, 16),
    ]
}

/// The state of a packed connection.
#[inline]
pub(crate) fn state(words: &[u32; 14]) -> TcpState {
    let number = words[12] >> 16 & 0xff;
    let state = TcpState::ALL.get(number as usize);
    state.copied().unwrap_or(TcpState::None)
}

/// What was packed.
#[inline]
pub(crate) fn unpack(words: &[u32; 14]) -> TcpConnection {
    let byte = |word: usize, at: u32| (words[word] >> at) as u8;
    let peer = |first: usize, at: u32| Peer {
        end: SeqNumber(words[first]),
        maxend: SeqNumber(words[first + 1]),
        maxwin: words[first + 2],
        maxack: SeqNumber(words[first + 3]),
        scale: byte(11, at),
        flags: PeerFlags(byte(11, at + 8)),
    };
    let class = FlagClass::ALL.get(usize::from(byte(12, 24) & 0x7f));
    TcpConnection {
        state: state(words),
        peers: [peer(0, 0), peer(4, 16)],
        last_direction: if words[12] >> 31 == 0 {
            Direction::Original
        } else {
            Direction::Reply
        },
        last_class: class.copied().unwrap_or(FlagClass::None),
        last_seq: SeqNumber(words[8]),
        last_ack: SeqNumber(words[9]),
        last_end: SeqNumber(words[10]),
        last_window: words[12] as u16,
        last_scale: byte(13, 8),
        last_flags: PeerFlags(byte(13, 16)),
        retransmissions: byte(13, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peers() -> impl Strategy<Value = Peer> {
        (any::<(u32, u32, u32, u32)>(), 0u8..15, any::<u8>()).prop_map(
            |((end, maxend, maxwin, maxack), scale, of)| Peer {
                end: SeqNumber(end),
                maxend: SeqNumber(maxend),
                maxwin,
                maxack: SeqNumber(maxack),
                scale,
                flags: PeerFlags(of),
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
                last_flags: PeerFlags(last.4),
                retransmissions: last.5,
            };
            prop_assert_eq!(unpack(&pack(&tcp)), tcp);
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
