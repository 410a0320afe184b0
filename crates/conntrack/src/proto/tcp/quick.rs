//! The segment that most segments are: an acknowledgement in an established connection, with or without data, within
//! the window, and without selective acknowledgements. The same step as in the parent module and in
//! [`window`](super::window), on the words of an entry; a property test holds them equal.

use palisade_wire::{SeqNumber, tcp::flags};

use super::window::MAX_ACK_WINDOW;
use super::{FlagClass, PeerFlags, TcpState};
use crate::config::Config;
use crate::tuple::Direction;

/// Options that hold nothing but a time stamp, as most systems lay them out.
const STAMP_ONLY: [u8; 4] = [1, 1, 8, 10];

/// What the step looks at.
#[derive(Clone, Copy)]
struct Ack {
    seq: SeqNumber,
    end: SeqNumber,
    ack: SeqNumber,
    window: u16,
    /// It may hold selective acknowledgements.
    options: bool,
}

impl Ack {
    /// Reads a whole transport header with `length` bytes of header and payload; `None` of a segment that does more than
    /// to acknowledge and to carry data.
    #[inline(always)]
    fn of(transport: &[u8], length: usize) -> Option<Self> {
        let header: &[u8; 20] = transport.first_chunk()?;
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let offset = usize::from(header[12] >> 4) * 4;
        let bits = header[13] & (flags::ACK | flags::SYN | flags::FIN | flags::RST);
        if bits != flags::ACK || offset < 20 || length < offset {
            return None;
        }
        let options = offset != 20
            && !(offset == 32 && transport.get(20..24).is_some_and(|o| *o == STAMP_ONLY));
        let seq = SeqNumber(word(4));
        Some(Ack {
            seq,
            end: seq + (length - offset) as u32,
            ack: SeqNumber(word(8)),
            window: u16::from_be_bytes([header[14], header[15]]),
            options,
        })
    }
}

/// The sender's flags in the word of both ends' marks, once that is turned to begin with the sender's.
const fn own(flags: PeerFlags) -> u32 {
    (flags.0 as u32) << 8
}

/// The other end's.
const fn others(flags: PeerFlags) -> u32 {
    (flags.0 as u32) << 24
}

/// One step on an entry's words (see [`packed`](super::packed)); the timeout in seconds, or `None`, and nothing
/// changed, if this is not that segment.
#[inline(never)]
pub(crate) fn step(
    words: &mut [u32; 14],
    transport: &[u8],
    length: usize,
    direction: Direction,
    config: &Config,
) -> Option<u64> {
    let segment = Ack::of(transport, length)?;
    if words[12] >> 16 & 0xff != TcpState::Established as u32 {
        return None;
    }
    let (s, r) = match direction {
        Direction::Original => (0, 4),
        Direction::Reply => (4, 0),
    };
    let sender = (words[s], words[s + 1], words[s + 2], words[s + 3]);
    let (end, maxend, maxwin) = (SeqNumber(sender.0), SeqNumber(sender.1), sender.2);
    let (other_end, other_maxwin) = (SeqNumber(words[r]), words[r + 2]);
    // The sender's scale and flags in the lower half, the other's in the upper.
    let turn = 16 * direction as u32;
    let mut marks = words[11].rotate_right(turn);
    let within = maxwin != 0
        && (!segment.options || marks & others(PeerFlags::SACK_PERMITTED) == 0)
        && segment.seq.before(maxend + 1)
        && segment.ack.before(other_end + 1)
        && (other_maxwin == 0 || segment.end.after(end - other_maxwin - 1))
        && segment
            .ack
            .after(other_end - maxwin.max(MAX_ACK_WINDOW) - 1);
    if !within {
        return None;
    }
    let window = u32::from(segment.window) << (marks & 31);
    // Which way these go is not to be foreseen: each is a value, none a branch.
    words[s + 2] = maxwin.max(window);
    let ahead = segment.end.0.wrapping_sub(end.0).cast_signed();
    words[s] = end.0.wrapping_add_signed(ahead.max(0));
    marks |= own(PeerFlags::DATA_UNACKNOWLEDGED) * u32::from(ahead > 0);
    let acks = (marks & own(PeerFlags::MAXACK_SET) == 0) | segment.ack.after(SeqNumber(sender.3));
    words[s + 3] = if acks { segment.ack.0 } else { sender.3 };
    marks |= own(PeerFlags::MAXACK_SET);
    if other_maxwin != 0 && segment.end.after(maxend) {
        words[r + 2] = other_maxwin.wrapping_add(segment.end.0.wrapping_sub(maxend.0));
    }
    let (may_send, other_maxend) = (segment.ack + window, words[r + 1]);
    let further = may_send.after(SeqNumber(other_maxend) - 1);
    let may_send = (may_send + u32::from(window == 0)).0;
    words[r + 1] = if further { may_send } else { other_maxend };
    let all = u32::from(segment.ack == other_end);
    marks &= !(others(PeerFlags::DATA_UNACKNOWLEDGED) * all);
    words[11] = marks.rotate_left(turn);
    let seen = [segment.seq.0, segment.ack.0, segment.end.0];
    let way = (direction as u32) << 31;
    let differs = words[8] ^ seen[0]
        | words[9] ^ seen[1]
        | words[10] ^ seen[2]
        | (words[12] ^ (u32::from(segment.window) | way)) & (0xffff | 1 << 31);
    let same = (u64::from(differs).wrapping_sub(1) >> 63) as u32;
    let repeated = ((words[13] & 0xff) + same).min(0xff) * same;
    words[8..11].copy_from_slice(&seen);
    words[12] = u32::from(segment.window)
        | (TcpState::Established as u32) << 16
        | (FlagClass::Ack as u32) << 24
        | way;
    words[13] = words[13] & !0xff | repeated;
    let unacknowledged =
        own(PeerFlags::DATA_UNACKNOWLEDGED) | others(PeerFlags::DATA_UNACKNOWLEDGED);
    let usual = config.tcp_timeout_established;
    let (silent, unheard) = (
        config.tcp_timeout_max_retrans,
        config.tcp_timeout_unacknowledged,
    );
    let mut seconds = match segment.window {
        0 => usual.min(silent),
        _ => usual,
    };
    seconds = match (marks & unacknowledged != 0) & (usual > unheard) {
        true => unheard,
        false => seconds,
    };
    Some(
        match (u64::from(repeated) >= config.tcp_max_retrans) & (usual > silent) {
            true => silent,
            false => seconds,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Peer, TcpConnection, Update, packed, update};
    use super::*;
    use crate::connection::{Connection, Status};
    use crate::tuple::{Tuple, TupleProto};
    use palisade_wire::{Packet, Timestamp, build, proto};
    use proptest::prelude::*;

    /// Numbers near a few places of the circle, where windows begin and end.
    fn near() -> impl Strategy<Value = u32> {
        let place = prop_oneof![Just(1000u32), Just(70_000), Just(u32::MAX - 20)];
        (place, 0u32..12).prop_map(|(place, by)| place.wrapping_add(by))
    }

    fn peers() -> impl Strategy<Value = Peer> {
        let window = prop_oneof![Just(0u32), 1u32..8, Just(66_000), Just(70_000)];
        (near(), near(), window, near(), 0u8..15, any::<u8>()).prop_map(
            |(end, maxend, maxwin, maxack, scale, flags)| Peer {
                end: SeqNumber(end),
                maxend: SeqNumber(maxend),
                maxwin,
                maxack: SeqNumber(maxack),
                scale,
                flags: PeerFlags(flags),
            },
        )
    }

    fn connections() -> impl Strategy<Value = TcpConnection> {
        let state = prop_oneof![9 => Just(3usize), 1 => 0usize..10];
        let last = (near(), near(), near(), 0u16..3, any::<bool>());
        (state, [peers(), peers()], last, any::<(u8, u8)>()).prop_map(
            |(state, peers, (seq, ack, end, window, reply), (retransmissions, flags))| {
                TcpConnection {
                    state: TcpState::ALL[state],
                    peers,
                    last_direction: if reply {
                        Direction::Reply
                    } else {
                        Direction::Original
                    },
                    last_class: FlagClass::Ack,
                    last_seq: SeqNumber(seq),
                    last_ack: SeqNumber(ack),
                    last_end: SeqNumber(end),
                    last_window: window,
                    last_scale: 0,
                    last_flags: PeerFlags(flags),
                    retransmissions: retransmissions & 3,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn it_is_the_step_of_every_segment(
            before in connections(),
            (seq, ack, window, repeats) in (near(), near(), 0u16..3, any::<bool>()),
            bits in prop_oneof![8 => Just(flags::ACK), 2 => Just(flags::ACK | flags::PSH), 1 => any::<u8>()],
            payload in 0usize..6,
            options in prop_oneof![
                3 => Just(vec![]),
                2 => Just(vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
                1 => Just(vec![1, 1, 5, 10, 0, 0, 3, 0, 0, 0, 3, 9]),
            ],
            reply: bool,
            assured: bool,
        ) {
            let direction = if reply { Direction::Reply } else { Direction::Original };
            let (mut seq, mut ack) = (seq, ack);
            if repeats {
                (seq, ack) = (before.last_seq.0, before.last_ack.0);
            }
            let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
            let ip = if reply { build::Ip::new(b, a) } else { build::Ip::new(a, b) };
            let (from, to) = if reply { (2, 1) } else { (1, 2) };
            let header = build::Tcp {
                source_port: from, destination_port: to, seq, ack, flags: bits, window, options: options.clone(),
                ..build::Tcp::default()
            };
            let bytes = build::tcp(&ip, &header, &vec![7; payload]);
            let packet = Packet::parse(&bytes).unwrap();
            let tuple = Tuple {
                source: a, destination: b, protocol: proto::TCP,
                proto: TupleProto::Ports { source: 1, destination: 2 },
            };
            let mut entry = Connection::new(&tuple.key(), [0; 2], 0, Timestamp(0));
            entry.set_tcp(&before);
            for bit in [Status::CONFIRMED, Status::SEEN_REPLY] {
                entry.status.set(bit);
            }
            if assured {
                entry.status.set(Status::ASSURED);
            }
            let config = Config { tcp_timeout_unacknowledged: 300, ..Config::default() };
            let mut words = packed::pack(&before);
            let quick = step(&mut words, packet.transport(), packet.transport_len(), direction, &config);
            let Some(seconds) = quick else {
                prop_assert_eq!(words, packed::pack(&before));
                return Ok(());
            };
            let context = Context { packet: &packet, config: &config, verify: false };
            let whole = update(&mut entry, &context, direction, Timestamp(9), None);
            let valid = matches!(whole, Update::Valid { timeout: Some(t), ignored: None } if t == seconds);
            prop_assert!(valid, "{seconds}");
            prop_assert_eq!(entry.tcp(), Some(packed::unpack(&words)));
            prop_assert!(entry.status.has(Status::ASSURED));
        }
    }
}
