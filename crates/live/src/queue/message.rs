//! Messages of the kernel's queues: packets that come, verdicts that go.

use std::ops::Range;

use crate::netlink::{HEADER, Message, attributes, be16, be32, flag, messages};

/// Subsystem of queues in the kinds of netfilter's messages.
const SUBSYSTEM: u16 = 3;
const PACKET: u16 = SUBSYSTEM << 8;
const VERDICT: u16 = SUBSYSTEM << 8 | 1;
const CONFIG: u16 = SUBSYSTEM << 8 | 2;
const VERDICT_BATCH: u16 = SUBSYSTEM << 8 | 3;

/// Bytes between the beginning of a datagram and its first attribute.
const FIXED: usize = HEADER + 4;

/// Checksums are still to be filled in (`NFQA_SKB_INFO`).
const UNFINISHED: u32 = 1;

/// The packet is several that are still to be cut, each with checksums of its own (`NFQA_SKB_INFO`).
const SEVERAL: u32 = 2;

/// A packet that waits for a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its number in its queue.
    pub(super) id: u32,
    /// Hook that it waits at, by the kernel's number.
    pub(super) hook: u8,
    /// Packet mark.
    pub(super) mark: u32,
    /// Interface that it came by; 0 when there is none.
    pub(super) came: u32,
    /// Interface that it leaves by; 0 when that is not known.
    pub(super) leaves: u32,
    /// Port of a bridge that it came by.
    pub(super) bridge_came: u32,
    /// Port of a bridge that it leaves by.
    pub(super) bridge_leaves: u32,
    /// Source address of its frame.
    pub(super) hardware: Option<[u8; 6]>,
    /// User and group of its socket.
    pub(super) owner: Option<(u32, u32)>,
    /// Its checksums are still to be filled in.
    pub(super) unfinished: bool,
    /// It is several that are still to be cut.
    pub(super) several: bool,
    /// The kernel had more of it than it gave.
    pub(super) cut: bool,
    /// Where its bytes stand in the datagram.
    pub(super) payload: Range<usize>,
}

/// What a datagram of a queue says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A packet waits.
    Packet(Waiting),
    /// An order was refused, with this `errno`.
    Refused(i32),
    /// Nothing of interest.
    Nothing,
}

/// Reads a datagram. The kernel puts one message into each.
pub(super) fn read(datagram: &[u8]) -> Said {
    let Some(first) = messages(datagram).next() else {
        return Said::Nothing;
    };
    if let Some(code) = first.error().filter(|code| *code != 0) {
        return Said::Refused(code);
    }
    if first.kind != PACKET {
        return Said::Nothing;
    }
    let Some(body) = first.body.get(4..) else {
        return Said::Nothing;
    };
    let mut waiting = Waiting::default();
    let mut known = false;
    let (mut user, mut group) = (None, None);
    let mut at = FIXED;
    for (kind, value) in attributes(body) {
        let number = || be32(value).unwrap_or(0);
        match kind {
            // Number, protocol of the link, hook.
            1 => {
                if let (Some(id), Some(hook)) = (be32(value), value.get(6)) {
                    (waiting.id, waiting.hook, known) = (id, *hook, true);
                }
            }
            3 => waiting.mark = number(),
            5 => waiting.came = number(),
            6 => waiting.leaves = number(),
            7 => waiting.bridge_came = number(),
            8 => waiting.bridge_leaves = number(),
            // Length, padding, address.
            9 if be16(value) == Some(6) => {
                waiting.hardware = value.get(4..).and_then(|v| v.first_chunk()).copied();
            }
            10 => waiting.payload = at + 4..at + 4 + value.len(),
            13 => waiting.cut = true,
            14 => {
                waiting.several = number() & SEVERAL != 0;
                waiting.unfinished = number() & (UNFINISHED | SEVERAL) != 0;
            }
            16 => user = be32(value),
            17 => group = be32(value),
            _ => {}
        }
        at += (4 + value.len()).next_multiple_of(4);
    }
    if !known {
        return Said::Nothing;
    }
    waiting.owner = user.zip(group);
    Said::Packet(waiting)
}

/// How a queue is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Packets that may wait.
    pub(super) length: u32,
    /// Bits of `NFQA_CFG_FLAGS`.
    pub(super) flags: u32,
}

/// Packets pass when the queue is full.
pub(super) const FLAG_FAIL_OPEN: u32 = 1;
/// Packets that are several are handed over as they are, and checksums as they are.
pub(super) const FLAG_GSO: u32 = 4;
/// Whose socket made a packet is told.
pub(super) const FLAG_OWNER: u32 = 8;
/// All of these.
const FLAGS: u32 = FLAG_FAIL_OPEN | FLAG_GSO | FLAG_OWNER;

/// Bytes of a packet that are handed over at most; the kernel gives no more than a netlink attribute holds.
const RANGE: u32 = 0xffff;

/// Binds a queue to the socket that sends this, and sets it up.
pub(super) fn bind(message: &mut Message, queue: u16, settings: &Settings, sequence: u32) {
    message
        .begin(CONFIG, flag::REQUEST | flag::ACK, sequence)
        .netfilter(0, queue)
        // Bind.
        .put(1, &[1, 0, 0, 0]);
    let range = RANGE.to_be_bytes();
    message
        .begin(CONFIG, flag::REQUEST | flag::ACK, sequence.wrapping_add(1))
        .netfilter(0, queue)
        // Bytes of each packet; whole packets.
        .put(2, &[range[0], range[1], range[2], range[3], 2])
        .be32(3, settings.length)
        .be32(4, FLAGS)
        .be32(5, settings.flags);
}

/// What the kernel is to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// `NF_ACCEPT` and the like.
    pub(super) verdict: u32,
    /// Its new mark.
    pub(super) mark: Option<u32>,
}

/// A verdict about one packet, with its new bytes if it has any.
pub(super) fn verdict(
    message: &mut Message,
    queue: u16,
    id: u32,
    decision: &Decision,
    bytes: Option<&[u8]>,
) {
    message
        .begin(VERDICT, flag::REQUEST, 0)
        .netfilter(0, queue)
        .put(2, &header(decision.verdict, id));
    if let Some(mark) = decision.mark {
        message.be32(3, mark);
    }
    if let Some(bytes) = bytes {
        message.put(10, bytes);
    }
}

/// A verdict about all packets of a queue up to `id` that wait.
pub(super) fn verdict_up_to(message: &mut Message, queue: u16, id: u32, decision: &Decision) {
    message
        .begin(VERDICT_BATCH, flag::REQUEST, 0)
        .netfilter(0, queue)
        .put(2, &header(decision.verdict, id));
    if let Some(mark) = decision.mark {
        message.be32(3, mark);
    }
}

fn header(verdict: u32, id: u32) -> [u8; 8] {
    let mut header = [0; 8];
    header[..4].copy_from_slice(&verdict.to_be_bytes());
    header[4..].copy_from_slice(&id.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram() -> Vec<u8> {
        let mut message = Message::new();
        message
            .begin(PACKET, 0, 0)
            .netfilter(2, 5)
            .put(1, &[0, 0, 0, 9, 8, 0, 3])
            .be32(3, 7)
            .be32(6, 4)
            .put(9, &[0, 6, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0])
            .be32(14, 1)
            .be32(16, 1000)
            .be32(17, 100)
            .put(10, b"bytes");
        message.bytes().to_vec()
    }

    #[test]
    fn a_packet_is_read_with_all_that_is_told_of_it() {
        let datagram = datagram();
        let Said::Packet(waiting) = read(&datagram) else {
            panic!("no packet");
        };
        assert_eq!(datagram.get(waiting.payload.clone()), Some(&b"bytes"[..]));
        let wanted = Waiting {
            id: 9,
            hook: 3,
            mark: 7,
            leaves: 4,
            hardware: Some([1, 2, 3, 4, 5, 6]),
            owner: Some((1000, 100)),
            unfinished: true,
            payload: waiting.payload.clone(),
            ..Waiting::default()
        };
        assert_eq!(waiting, wanted);
    }

    #[test]
    fn a_refusal_is_told_and_a_confirmation_is_not() {
        for (code, wanted) in [(-2i32, Said::Refused(2)), (0, Said::Nothing)] {
            let mut message = Message::new();
            message.begin(2, 0, 0).fixed(&code.to_ne_bytes());
            assert_eq!(read(message.bytes()), wanted);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(
            at in 0usize..100,
            with in any::<u32>(),
            cut in 0usize..120,
        ) {
            let mut bytes = datagram();
            for (place, byte) in bytes.iter_mut().skip(at).zip(with.to_ne_bytes()) {
                *place = byte;
            }
            bytes.truncate(cut);
            if let Said::Packet(waiting) = read(&bytes) {
                prop_assert!(bytes.get(waiting.payload).is_some());
            }
        }

        #[test]
        fn nor_are_any(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            if let Said::Packet(waiting) = read(&bytes) {
                prop_assert!(bytes.get(waiting.payload).is_some());
            }
        }
    }
}
