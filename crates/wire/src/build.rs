//! Builders: well-formed packets for REJECT's replies, packet scripts and tests.
//!
//! Every builder returns the bytes of a whole IP packet, lengths and checksums right. The
//! address family follows the addresses; mixing families is a caller's mistake and gives a
//! packet of the source's family with an unspecified destination.
//!
//! ```
//! use palisade_wire::{Packet, build, tcp};
//! let ip = build::Ip::new("192.0.2.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
//! let syn = build::tcp(&ip, &build::Tcp { source_port: 40000, destination_port: 22,
//!     flags: tcp::flags::SYN, ..Default::default() }, b"");
//! let packet = Packet::parse(&syn).unwrap();
//! assert!(packet.header_checksum_ok() && packet.transport_checksum_ok(packet.protocol()));
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum;
use crate::ip::{Packet, be16, proto};

/// What the network header of a built packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 "don't fragment".
    pub dont_fragment: bool,
    /// IPv4 options, padded with zeros to a multiple of 4; at most 40 bytes are used.
    pub options: Vec<u8>,
    /// IPv6 extension headers before the transport: protocol number and the header's
    /// bytes, whose first byte ("next header") is filled in. At most 16 are used.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Ip {
    /// A header with TTL 64, TOS 0, id 0, don't-fragment clear, nothing optional.
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        Ip {
            source,
            destination,
            ttl: 64,
            tos: 0,
            id: 0,
            dont_fragment: false,
            options: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

/// What the TCP header of a built packet says. The data offset follows the options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flag bits, see [`crate::tcp::flags`].
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options, padded with zeros to a multiple of 4; at most 40 bytes are used.
    pub options: Vec<u8>,
}

/// A TCP segment.
pub fn tcp(ip: &Ip, header: &Tcp, payload: &[u8]) -> Vec<u8> {
    let mut options = header.options.clone();
    options.truncate(40);
    options.resize(options.len().next_multiple_of(4), 0);
    let mut segment = Vec::with_capacity(20 + options.len() + payload.len());
    segment.extend_from_slice(&header.source_port.to_be_bytes());
    segment.extend_from_slice(&header.destination_port.to_be_bytes());
    segment.extend_from_slice(&header.seq.to_be_bytes());
    segment.extend_from_slice(&header.ack.to_be_bytes());
    segment.push((((20 + options.len()) / 4) as u8) << 4);
    segment.push(header.flags);
    segment.extend_from_slice(&header.window.to_be_bytes());
    segment.extend_from_slice(&[0, 0]);
    segment.extend_from_slice(&header.urgent.to_be_bytes());
    segment.extend_from_slice(&options);
    segment.extend_from_slice(payload);
    let sum = transport_checksum(ip, proto::TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    raw(ip, proto::TCP, &segment)
}

/// A UDP datagram. A computed checksum of 0 is sent as 0xffff (RFC 768).
pub fn udp(ip: &Ip, source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend_from_slice(&source_port.to_be_bytes());
    datagram.extend_from_slice(&destination_port.to_be_bytes());
    datagram.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    let sum = match transport_checksum(ip, proto::UDP, &datagram) {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    raw(ip, proto::UDP, &datagram)
}

/// An SCTP packet: common header with the right CRC32c, then `chunks` as they are.
pub fn sctp(
    ip: &Ip,
    source_port: u16,
    destination_port: u16,
    verification_tag: u32,
    chunks: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::with_capacity(12 + chunks.len());
    packet.extend_from_slice(&source_port.to_be_bytes());
    packet.extend_from_slice(&destination_port.to_be_bytes());
    packet.extend_from_slice(&verification_tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(chunks);
    // The reflected sum goes out with its low byte first (RFC 9260 appendix A).
    let sum = crate::sctp::checksum(&packet);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    raw(ip, proto::SCTP, &packet)
}

/// An ICMP message, or an ICMPv6 one when the addresses are IPv6. `rest` is bytes 4 to 7:
/// identifier and sequence number of a query, MTU or pointer of an error.
pub fn icmp(ip: &Ip, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 + body.len());
    message.extend_from_slice(&[kind, code, 0, 0]);
    message.extend_from_slice(&rest);
    message.extend_from_slice(body);
    let (protocol, sum) = if ip.source.is_ipv4() {
        (proto::ICMP, checksum::of(&message))
    } else {
        (
            proto::ICMPV6,
            transport_checksum(ip, proto::ICMPV6, &message),
        )
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    raw(ip, protocol, &message)
}

/// A packet of any protocol: network header, then `payload` as it is. A payload that does
/// not fit in an IP packet is cut off at its end.
pub fn raw(ip: &Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match ip.source {
        IpAddr::V4(source) => raw_v4(ip, source, protocol, payload),
        IpAddr::V6(source) => raw_v6(ip, source, protocol, payload),
    }
}

fn raw_v4(ip: &Ip, source: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let destination = match ip.destination {
        IpAddr::V4(d) => d,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let mut options = ip.options.clone();
    options.truncate(40);
    options.resize(options.len().next_multiple_of(4), 0);
    let header = 20 + options.len();
    let payload = &payload[..payload.len().min(65_535 - header)];
    let mut bytes = Vec::with_capacity(header + payload.len());
    bytes.push(0x40 | (header / 4) as u8);
    bytes.push(ip.tos);
    bytes.extend_from_slice(&((header + payload.len()) as u16).to_be_bytes());
    bytes.extend_from_slice(&ip.id.to_be_bytes());
    bytes.extend_from_slice(&[if ip.dont_fragment { 0x40 } else { 0 }, 0]);
    bytes.extend_from_slice(&[ip.ttl, protocol, 0, 0]);
    bytes.extend_from_slice(&source.octets());
    bytes.extend_from_slice(&destination.octets());
    bytes.extend_from_slice(&options);
    finish_v4_header(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn raw_v6(ip: &Ip, source: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let destination = match ip.destination {
        IpAddr::V6(d) => d,
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
    };
    let mut chain = Vec::new();
    let extensions = &ip.extensions[..ip.extensions.len().min(16)];
    for (i, (_, header)) in extensions.iter().enumerate() {
        let at = chain.len();
        chain.extend_from_slice(header);
        if chain.len() > at {
            chain[at] = extensions.get(i + 1).map_or(protocol, |(next, _)| *next);
        }
    }
    chain.truncate(65_535);
    let payload = &payload[..payload.len().min(65_535 - chain.len())];
    let mut bytes = Vec::with_capacity(40 + chain.len() + payload.len());
    bytes.extend_from_slice(&[0x60 | (ip.tos >> 4), ip.tos << 4, 0, 0]);
    bytes.extend_from_slice(&((chain.len() + payload.len()) as u16).to_be_bytes());
    bytes.push(extensions.first().map_or(protocol, |(next, _)| *next));
    bytes.push(ip.ttl);
    bytes.extend_from_slice(&source.octets());
    bytes.extend_from_slice(&destination.octets());
    bytes.extend_from_slice(&chain);
    bytes.extend_from_slice(payload);
    bytes
}

/// Transport checksum of `data` (its checksum field zero) with the pseudo-header of `ip`.
pub fn transport_checksum(ip: &Ip, protocol: u8, data: &[u8]) -> u16 {
    let pseudo = checksum::pseudo_header(ip.source, ip.destination, protocol, data.len());
    checksum::finish(checksum::add(pseudo, data))
}

/// Writes the IPv4 header checksum; does nothing to fewer bytes than the header needs.
pub fn finish_v4_header(bytes: &mut [u8]) {
    let Some(first) = bytes.first() else { return };
    let header = usize::from(first & 0x0f) * 4;
    if header < 20 || bytes.len() < header {
        return;
    }
    bytes[10..12].fill(0);
    let sum = checksum::of(&bytes[..header]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Sets TTL or hop limit, keeping the IPv4 header checksum as right (or wrong) as it was
/// (RFC 1624). Does nothing to bytes that are no IP header.
pub fn set_ttl(bytes: &mut [u8], ttl: u8) {
    match bytes.first().map(|b| b >> 4) {
        Some(4) if bytes.len() >= 20 => {
            let old = be16(bytes, 8);
            bytes[8] = ttl;
            let new = be16(bytes, 8);
            let sum = checksum::update(be16(bytes, 10), old, new);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        Some(6) if bytes.len() >= 40 => bytes[7] = ttl,
        _ => {}
    }
}

/// Splits a packet into fragments whose fragmentable part is cut at `cuts` (byte offsets,
/// rounded down to multiples of 8, in rising order). IPv6 gets a Fragment header with `id`
/// after its unfragmentable part; IPv4 keeps its own id.
///
/// A packet that does not parse, or no cut inside it, gives the packet back as it is.
pub fn fragments_at(bytes: &[u8], cuts: &[usize], id: u32) -> Vec<Vec<u8>> {
    let Ok(packet) = Packet::parse(bytes) else {
        return vec![bytes.to_vec()];
    };
    let start = match packet.family() {
        crate::Family::V4 => packet.header_len(),
        crate::Family::V6 => unfragmentable_end(packet.bytes()),
    };
    let body = &packet.bytes()[start..];
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|c| c & !7)
        .filter(|c| (1..body.len()).contains(c))
        .collect();
    ends.sort_unstable();
    ends.dedup();
    if ends.is_empty() {
        return vec![bytes.to_vec()];
    }
    ends.push(body.len());
    let mut from = 0;
    let mut pieces = Vec::with_capacity(ends.len());
    for &to in &ends {
        let more = to < body.len();
        pieces.push(one_fragment(
            &packet,
            start,
            &body[from..to],
            from,
            more,
            id,
        ));
        from = to;
    }
    pieces
}

/// Splits a packet so that no fragment's IP payload exceeds `size` bytes (rounded down to a
/// multiple of 8, at least 8).
pub fn fragments(bytes: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    let size = (size & !7).max(8);
    let cuts: Vec<usize> = (1..)
        .map(|n| n * size)
        .take_while(|c| *c < bytes.len())
        .collect();
    fragments_at(bytes, &cuts, id)
}

/// Splits a packet so that no fragment is longer than `length` bytes, its IP header included (kernel `ip_do_fragment`,
/// `ip6_fragment`); IPv4's "don't fragment" stays. One that is no longer, or whose headers leave no room, is given back as it
/// is.
pub fn fragments_within(bytes: &[u8], length: usize, id: u32) -> Vec<Vec<u8>> {
    let Ok(packet) = Packet::parse(bytes) else {
        return vec![bytes.to_vec()];
    };
    let head = match packet.family() {
        crate::Family::V4 => packet.header_len(),
        crate::Family::V6 => unfragmentable_end(packet.bytes()) + 8,
    };
    if packet.bytes().len() <= length || length < head + 8 {
        return vec![packet.bytes().to_vec()];
    }
    let mut pieces = fragments(packet.bytes(), length - head, id);
    if packet.family() == crate::Family::V4 && packet.dont_fragment() {
        for piece in &mut pieces {
            piece[6] |= 0x40;
            finish_v4_header(piece);
        }
    }
    pieces
}

/// One fragment of `packet`: `data` at byte `offset` of the fragmentable part.
fn one_fragment(
    packet: &Packet<'_>,
    start: usize,
    data: &[u8],
    offset: usize,
    more: bool,
    id: u32,
) -> Vec<u8> {
    let head = &packet.bytes()[..start];
    let word = offset as u16;
    let mut bytes = head.to_vec();
    match packet.family() {
        crate::Family::V4 => {
            let total = (start + data.len()) as u16;
            bytes[2..4].copy_from_slice(&total.to_be_bytes());
            let word = (word >> 3) | if more { 0x2000 } else { 0 };
            bytes[6..8].copy_from_slice(&word.to_be_bytes());
            finish_v4_header(&mut bytes);
        }
        crate::Family::V6 => {
            let names_next = last_next_header(head);
            let next = bytes[names_next];
            bytes[names_next] = proto::FRAGMENT;
            let payload = (start - 40 + 8 + data.len()) as u16;
            bytes[4..6].copy_from_slice(&payload.to_be_bytes());
            bytes.extend_from_slice(&[next, 0]);
            bytes.extend_from_slice(&(word | u16::from(more)).to_be_bytes());
            bytes.extend_from_slice(&id.to_be_bytes());
        }
    }
    bytes.extend_from_slice(data);
    bytes
}

/// End of the part that every IPv6 fragment repeats: hop-by-hop and routing headers.
fn unfragmentable_end(bytes: &[u8]) -> usize {
    let mut at = 40;
    let mut next = bytes[6];
    while matches!(next, proto::HOPOPTS | proto::ROUTING) {
        let Some(header) = bytes.get(at..at + 2) else {
            break;
        };
        let end = at + (usize::from(header[1]) + 1) * 8;
        if end > bytes.len() {
            break;
        }
        next = header[0];
        at = end;
    }
    at
}

/// Offset of the "next header" byte of the last header in an unfragmentable part.
fn last_next_header(head: &[u8]) -> usize {
    let mut names_next = 6;
    let mut at = 40;
    while at + 2 <= head.len() {
        names_next = at;
        at += (usize::from(head[at + 1]) + 1) * 8;
    }
    names_next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tcp::flags, udp::Udp};

    fn v4() -> Ip {
        Ip::new("192.0.2.1".parse().unwrap(), "203.0.113.9".parse().unwrap())
    }

    fn v6() -> Ip {
        Ip::new(
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        )
    }

    #[test]
    fn what_is_built_parses_and_verifies() {
        for ip in [v4(), v6()] {
            let header = Tcp {
                source_port: 1,
                destination_port: 2,
                flags: flags::SYN,
                options: vec![2, 4, 5, 180],
                ..Default::default()
            };
            for bytes in [
                tcp(&ip, &header, b"odd"),
                udp(&ip, 5, 6, b"payload"),
                icmp(&ip, 8, 0, [0, 1, 0, 2], b"abc"),
                sctp(&ip, 5, 6, 77, &[11, 0, 0, 4]),
            ] {
                let packet = Packet::parse(&bytes).unwrap();
                assert!(packet.header_checksum_ok(), "{packet:?}");
                let ok = match packet.protocol() {
                    proto::ICMP => checksum::of(packet.transport()) == 0,
                    proto::SCTP => {
                        let sctp = crate::sctp::Sctp::new(packet.transport()).unwrap();
                        sctp.checksum() == crate::sctp::checksum(packet.transport())
                    }
                    p => packet.transport_checksum_ok(p),
                };
                assert!(ok, "{packet:?}");
            }
        }
    }

    #[test]
    fn ttl_update_keeps_the_header_checksum() {
        let mut bytes = udp(&v4(), 5, 6, b"x");
        for ttl in [0, 1, 63, 255] {
            set_ttl(&mut bytes, ttl);
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(packet.ttl(), ttl);
            assert!(packet.header_checksum_ok());
        }
    }

    #[test]
    fn fragments_cover_the_packet_once() {
        let mut with_extension = v6();
        with_extension.extensions = vec![(proto::HOPOPTS, vec![0, 0, 1, 4, 0, 0, 0, 0])];
        for ip in [v4(), v6(), with_extension] {
            let whole = udp(&ip, 5, 6, &[7; 100]);
            let pieces = fragments(&whole, 40, 99);
            assert_eq!(pieces.len(), 3);
            let mut expect_offset = 0;
            for (i, piece) in pieces.iter().enumerate() {
                let packet = Packet::parse(piece).unwrap();
                assert!(packet.header_checksum_ok());
                let fragment = packet.fragment().unwrap();
                assert_eq!(usize::from(fragment.offset), expect_offset);
                assert_eq!(fragment.more, i < 2);
                assert_eq!(packet.protocol(), proto::UDP);
                expect_offset += packet.transport().len();
            }
            assert_eq!(expect_offset, 108);
            let first = Packet::parse(&pieces[0]).unwrap();
            assert_eq!(Udp::new(first.transport()).unwrap().destination_port(), 6);
        }
    }
}
