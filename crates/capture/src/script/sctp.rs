//! SCTP packets, whose verification tags follow along.
//!
//! Each association (two addresses, two ports) keeps the tag that either side announced. The side
//! that sends first has 1000, the other 5000, unless an `init` or `init-ack` says otherwise. A packet carries
//! its receiver's tag: 0 with an INIT, and the sender's own with a T bit.

use std::collections::HashMap;

use palisade_wire::SeqNumber;
use palisade_wire::sctp::chunk;

use super::flow::{Socket, apply};
use super::model::{Number, SctpChunk, SctpSpec};

const FIRST_TAG: u32 = 1000;
const SECOND_TAG: u32 = 5000;

/// What stands for the cookie in INIT ACK and COOKIE ECHO, unless the script says otherwise.
const COOKIE: &[u8; 4] = b"cook";

/// The associations of a test.
#[derive(Default)]
pub(super) struct Associations {
    /// By the order of the key's sockets.
    sides: HashMap<(Socket, Socket), [Side; 2]>,
}

#[derive(Clone, Copy)]
struct Side {
    tag: u32,
    /// Chunks of data sent.
    sent: u32,
}

impl Associations {
    /// Verification tag and chunks of a packet, and the association moved by it.
    pub fn packet(
        &mut self,
        from: Socket,
        to: Socket,
        spec: &SctpSpec,
        round: u32,
    ) -> (u32, Vec<u8>) {
        let (key, mine) = if from <= to {
            ((from, to), 0)
        } else {
            ((to, from), 1)
        };
        let sides = self.sides.entry(key).or_insert_with(|| {
            let side = |tag| Side { tag, sent: 0 };
            if mine == 0 {
                [side(FIRST_TAG), side(SECOND_TAG)]
            } else {
                [side(SECOND_TAG), side(FIRST_TAG)]
            }
        });
        let [a, b] = sides;
        let (me, other) = if mine == 0 { (a, b) } else { (b, a) };
        let mut bytes = Vec::new();
        for chunk in &spec.chunks {
            put(chunk, me, other, round, &mut bytes);
        }
        let has = |kind| spec.chunks.iter().any(|c| c.kind == Some(kind));
        let reflects = spec.chunks.iter().any(|c| {
            matches!(c.kind, Some(chunk::ABORT | chunk::SHUTDOWN_COMPLETE))
                && c.flags.is_some_and(|f| f & 1 == 1)
        });
        let usual = if has(chunk::INIT) {
            0
        } else if reflects {
            me.tag
        } else {
            other.tag
        };
        (apply(spec.tag, SeqNumber(usual)).0, bytes)
    }
}

/// A chunk's bytes (RFC 9260 §3.3), behind `out`, which is padded first.
fn put(written: &SctpChunk, me: &mut Side, other: &Side, round: u32, out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
    let payload = written.payload.in_round(round);
    let Some(kind) = written.kind else {
        out.extend(payload);
        return;
    };
    let mut value = Vec::new();
    let mut usual_payload: &[u8] = &[];
    let mut usual_flags = 0;
    match kind {
        chunk::INIT | chunk::INIT_ACK => {
            if written.init_tag != Number::Follow {
                me.tag = apply(written.init_tag, SeqNumber(me.tag)).0;
            }
            value.extend(me.tag.to_be_bytes());
            value.extend(65_535u32.to_be_bytes());
            value.extend([0, 10, 0, 10]);
            value.extend(me.tag.to_be_bytes());
            if kind == chunk::INIT_ACK && written.payload.is_empty() {
                value.extend([0, 7, 0, 8]);
                usual_payload = COOKIE;
            }
        }
        chunk::DATA => {
            // First and last part of a message, stream 0.
            usual_flags = 3;
            value.extend(me.tag.wrapping_add(me.sent).to_be_bytes());
            value.extend([0, 0]);
            value.extend((me.sent as u16).to_be_bytes());
            value.extend([0; 4]);
            me.sent = me.sent.wrapping_add(1);
            usual_payload = b"data";
        }
        chunk::SACK => {
            value.extend(acknowledged(other).to_be_bytes());
            value.extend(65_535u32.to_be_bytes());
            value.extend([0; 4]);
        }
        chunk::SHUTDOWN => value.extend(acknowledged(other).to_be_bytes()),
        chunk::HEARTBEAT | chunk::HEARTBEAT_ACK if written.payload.is_empty() => {
            value.extend([0, 1, 0, 8]);
            usual_payload = b"beat";
        }
        // Invalid stream identifier 1.
        chunk::ERROR => usual_payload = &[0, 1, 0, 8, 0, 1, 0, 0],
        chunk::COOKIE_ECHO => usual_payload = COOKIE,
        _ => {}
    }
    if written.payload.is_empty() {
        value.extend_from_slice(usual_payload);
    } else {
        value.extend(payload);
    }
    let length = written.length.unwrap_or((value.len() + 4) as u16);
    out.extend([kind, written.flags.unwrap_or(usual_flags)]);
    out.extend(length.to_be_bytes());
    out.extend(value);
    // The last chunk is padded like the others.
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The last number of all data that a side has sent.
fn acknowledged(side: &Side) -> u32 {
    side.tag.wrapping_add(side.sent).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_wire::sctp::Sctp;
    use std::net::IpAddr;

    fn chunk_of(kind: u8) -> SctpChunk {
        SctpChunk {
            kind: Some(kind),
            ..SctpChunk::default()
        }
    }

    #[test]
    fn tags_follow_an_association() {
        let client: Socket = (IpAddr::from([10, 0, 0, 1]), 40000);
        let server: Socket = (IpAddr::from([10, 0, 0, 2]), 80);
        let tagged = |kind, tag| SctpChunk {
            init_tag: tag,
            ..chunk_of(kind)
        };
        let reflected = SctpChunk {
            flags: Some(1),
            ..chunk_of(chunk::ABORT)
        };
        // From the client?, chunk, the packet's tag as written; as it comes out.
        let rows = [
            (true, chunk_of(chunk::INIT), Number::Follow, 0),
            (false, chunk_of(chunk::INIT_ACK), Number::Follow, 1000),
            (true, chunk_of(chunk::COOKIE_ECHO), Number::Follow, 5000),
            (true, chunk_of(chunk::DATA), Number::Relative(1), 5001),
            (true, chunk_of(chunk::DATA), Number::Exactly(7), 7),
            (true, reflected, Number::Follow, 1000),
            // A restart announces another tag; the other side goes on with its own.
            (
                true,
                tagged(chunk::INIT, Number::Exactly(77)),
                Number::Follow,
                0,
            ),
            (false, chunk_of(chunk::INIT_ACK), Number::Follow, 77),
            (true, chunk_of(chunk::COOKIE_ECHO), Number::Follow, 5000),
        ];
        for (a, b) in [(client, server), (server, client)] {
            let mut associations = Associations::default();
            for (row, (forward, chunk, tag, want)) in rows.clone().into_iter().enumerate() {
                let (from, to) = if forward { (a, b) } else { (b, a) };
                let spec = SctpSpec {
                    tag,
                    chunks: vec![chunk],
                };
                let (got, _) = associations.packet(from, to, &spec, 0);
                assert_eq!(got, want, "row {row}");
            }
        }
    }

    #[test]
    fn every_chunk_ends_where_its_length_says() {
        let ends = (
            (IpAddr::from([10, 0, 0, 1]), 1),
            (IpAddr::from([10, 0, 0, 2]), 2),
        );
        for kind in 0..=255 {
            let mut odd = chunk_of(kind);
            odd.payload.bytes = b"odd".to_vec();
            let spec = SctpSpec {
                tag: Number::Follow,
                chunks: vec![chunk_of(kind), odd, chunk_of(200)],
            };
            let (_, bytes) = Associations::default().packet(ends.0, ends.1, &spec, 0);
            let packet = [vec![0; 12], bytes].concat();
            let kinds: Vec<u8> = Sctp::new(&packet).unwrap().walk().map(|c| c.kind).collect();
            assert_eq!(kinds, [kind, kind, 200]);
        }
    }
}
