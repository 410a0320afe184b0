//! How the bytes of a packet that leaves differ from those that came.

use std::ops::Range;

use palisade_wire::{Family, Packet, proto};

/// How the bytes of a packet that leaves differ from those that came. A forwarded packet's time to live, one less than
/// it came with, is no difference, nor is the IPv4 header checksum that goes with it: who routes packets lowers it.
///
/// Of a packet whose checksum was still to be filled in ([`Input::unfinished`](crate::Input::unfinished)), it is filled
/// in if there is any difference, and still to be filled in if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The source address, or the source port of TCP, UDP, UDP-Lite or SCTP. Netfilter changes it behind routing: before
    /// it, a packet with such a source would not be routed alike.
    pub source: bool,
    /// Anything else.
    pub other: bool,
}

impl Changed {
    /// Whether anything differs.
    pub fn any(self) -> bool {
        self.source || self.other
    }

    /// The difference of two packets; the second is the first as it leaves.
    pub(crate) fn between(came: &[u8], leaves: &[u8], forwarded: bool) -> Self {
        let everything = Changed {
            source: true,
            other: true,
        };
        let (Ok(was), Ok(is)) = (
            Packet::parse_truncated(came),
            Packet::parse_truncated(leaves),
        ) else {
            return everything;
        };
        let moved = (was.transport_offset(), was.protocol(), came.len())
            != (is.transport_offset(), is.protocol(), leaves.len());
        if moved || was.family() != is.family() {
            return Changed {
                source: was.source() != is.source() || port(&was) != port(&is),
                other: true,
            };
        }
        let alike = |range: Range<usize>| {
            let part = |bytes: &[u8]| {
                let end = range.end.min(bytes.len());
                range.start.min(end)..end
            };
            came.get(part(came)) == leaves.get(part(leaves))
        };
        let from = was.source() != is.source() || port(&was) != port(&is);
        let ttl = was.ttl().wrapping_sub(u8::from(forwarded)) == is.ttl();
        let transport = was.transport_offset();
        // All but the time to live, the sum over the header, and the source.
        let header = match was.family() {
            Family::V4 => alike(0..8) && alike(9..10) && alike(16..transport),
            Family::V6 => alike(0..7) && alike(24..transport),
        };
        let begin = transport + if port(&was).is_some() { 2 } else { 0 };
        let behind = match sum_of(was.protocol()).filter(|_| from && !was.is_later_fragment()) {
            // It goes with the source; one that alone differs was filled in.
            Some((at, size)) => {
                let sum = transport + at;
                alike(begin..sum) && alike(sum + size..usize::MAX)
            }
            None => alike(begin..usize::MAX),
        };
        Changed {
            source: from,
            other: !(ttl && header && behind),
        }
    }
}

/// Where the checksum stands in a transport header, and how many bytes it has.
fn sum_of(protocol: u8) -> Option<(usize, usize)> {
    match protocol {
        proto::TCP => Some((16, 2)),
        proto::UDP | proto::UDPLITE => Some((6, 2)),
        proto::SCTP => Some((8, 4)),
        proto::ICMP | proto::ICMPV6 => Some((2, 2)),
        _ => None,
    }
}

fn port(packet: &Packet<'_>) -> Option<[u8; 2]> {
    let ported = matches!(
        packet.protocol(),
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP
    );
    let ports = packet.transport().first_chunk().copied();
    ports.filter(|_| ported && !packet.is_later_fragment())
}

#[cfg(test)]
mod tests {
    use palisade_wire::{build, tcp::flags};

    use super::*;

    fn packet(from: &str, port: u16, to: &str, ttl: u8, payload: &[u8]) -> Vec<u8> {
        let mut ip = build::Ip::new(from.parse().unwrap(), to.parse().unwrap());
        ip.ttl = ttl;
        let header = build::Tcp {
            source_port: port,
            destination_port: 80,
            flags: flags::ACK,
            ..Default::default()
        };
        build::tcp(&ip, &header, payload)
    }

    #[test]
    fn source_time_to_live_and_the_rest_are_told_apart() {
        for [a, b, c] in [
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
            ["2001:db8::1", "2001:db8::2", "2001:db8::3"],
        ] {
            let came = packet(a, 1, b, 64, b"data");
            for (leaves, forwarded, source, other) in [
                (packet(a, 1, b, 64, b"data"), false, false, false),
                (packet(a, 1, b, 63, b"data"), true, false, false),
                // Routing lowers it: who sees it not lowered has to know.
                (packet(a, 1, b, 64, b"data"), true, false, true),
                (packet(a, 1, b, 63, b"data"), false, false, true),
                (packet(c, 1, b, 63, b"data"), true, true, false),
                (packet(a, 9, b, 63, b"data"), true, true, false),
                (packet(c, 9, b, 64, b"data"), false, true, false),
                (packet(a, 1, c, 63, b"data"), true, false, true),
                (packet(c, 1, c, 63, b"data"), true, true, true),
                (packet(a, 1, b, 63, b"date"), true, false, true),
                (packet(a, 1, b, 63, b"more data"), true, false, true),
                (packet(c, 1, b, 63, b"more data"), true, true, true),
            ] {
                let wanted = Changed { source, other };
                assert_eq!(Changed::between(&came, &leaves, forwarded), wanted);
            }
            let mut filled = came.clone();
            let at = Packet::parse(&came).unwrap().transport_offset() + 16;
            filled[at] ^= 1;
            let told = Changed::between(&came, &filled, false);
            assert!(told.other && !told.source);
        }
    }
}
