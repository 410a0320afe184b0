//! Address translation in a packet's bytes: one address, and the port, identifier or call id beside
//! it, with checksums carried along (kernel `nf_nat_proto.c`, `l4proto_manip_pkt`).
//!
//! Checksums are adjusted, not computed anew (RFC 1624), so that a wrong one stays wrong. SCTP's cannot
//! be adjusted and is computed.

use std::net::IpAddr;

use crate::checksum;
use crate::ip::{Family, Packet, be16, proto};

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Source address and port.
    Source,
    /// Destination address and port.
    Destination,
}

impl End {
    /// The other end.
    pub fn opposite(self) -> End {
        match self {
            End::Source => End::Destination,
            End::Destination => End::Source,
        }
    }
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The address, of the packet's family.
    pub address: IpAddr,
    /// Protocol whose header is rewritten; others keep theirs.
    pub protocol: u8,
    /// Port, ICMP identifier, or GRE call id.
    pub word: u16,
}

/// Bytes of a transport header that every translation needs (kernel: `skb_ensure_writable` of 8).
const LEAST: usize = 8;

/// Rewrites one end of the packet whose IP header stands at `at`: 0, or where an ICMP error quotes it. A
/// quoted transport header may be cut short behind its first eight bytes; its checksum is then left.
///
/// Returns whether it could be done: not with fewer than eight bytes of transport header, and not
/// with GRE of an unknown version. Bytes may be changed in part then: the packet is to be dropped.
#[must_use]
pub fn rewrite(bytes: &mut [u8], at: usize, end: End, target: &Target) -> bool {
    let Some(inner) = bytes.get(at..) else {
        return false;
    };
    let Ok(packet) = Packet::parse_truncated(inner) else {
        return false;
    };
    let family = packet.family();
    let transport = at + packet.transport_offset();
    let old = match end {
        End::Source => packet.source(),
        End::Destination => packet.destination(),
    };
    if old.is_ipv4() != target.address.is_ipv4() {
        return false;
    }
    let has_transport =
        family == Family::V4 || !packet.is_later_fragment() && !packet.chain_broken();
    if has_transport && !rewrite_transport(bytes, transport, end, old, target) {
        return false;
    }
    write_address(bytes, at, end, target.address)
}

fn write_address(bytes: &mut [u8], at: usize, end: End, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(new) => {
            let place = at + if end == End::Source { 12 } else { 16 };
            let Some(field) = bytes.get_mut(place..place + 4) else {
                return false;
            };
            let mut old = [0; 4];
            old.copy_from_slice(field);
            field.copy_from_slice(&new.octets());
            adjust(bytes, at + 10, &old, &new.octets());
        }
        IpAddr::V6(new) => {
            let place = at + if end == End::Source { 8 } else { 24 };
            let Some(field) = bytes.get_mut(place..place + 16) else {
                return false;
            };
            field.copy_from_slice(&new.octets());
        }
    }
    true
}

fn rewrite_transport(
    bytes: &mut [u8],
    transport: usize,
    end: End,
    old: IpAddr,
    target: &Target,
) -> bool {
    let have = bytes.len().saturating_sub(transport);
    let port = transport + if end == End::Source { 0 } else { 2 };
    match target.protocol {
        proto::TCP => {
            if have < LEAST {
                return false;
            }
            let before = put(bytes, port, target.word);
            if have >= 20 {
                adjust_address(bytes, transport + 16, old, target.address);
                adjust(bytes, transport + 16, &before, &target.word.to_be_bytes());
            }
            true
        }
        proto::UDP | proto::UDPLITE => {
            if have < LEAST {
                return false;
            }
            let field = transport + 6;
            let sum = bytes.get(field..field + 2).map_or(0, |f| be16(f, 0));
            let before = put(bytes, port, target.word);
            if sum != 0 || target.protocol == proto::UDPLITE {
                adjust_address(bytes, field, old, target.address);
                adjust(bytes, field, &before, &target.word.to_be_bytes());
                if bytes.get(field..field + 2) == Some(&[0, 0]) {
                    put(bytes, field, 0xffff);
                }
            }
            true
        }
        proto::SCTP => {
            if have < LEAST {
                return false;
            }
            put(bytes, port, target.word);
            if have >= 12 {
                let sum = crate::sctp::checksum(bytes.get(transport..).unwrap_or_default());
                if let Some(field) = bytes.get_mut(transport + 8..transport + 12) {
                    field.copy_from_slice(&sum.to_le_bytes());
                }
            }
            true
        }
        proto::ICMP => {
            if have < LEAST {
                return false;
            }
            if matches!(bytes.get(transport), Some(0 | 8 | 13..=18)) {
                let before = put(bytes, transport + 4, target.word);
                adjust(bytes, transport + 2, &before, &target.word.to_be_bytes());
            }
            true
        }
        proto::ICMPV6 => {
            if have < LEAST {
                return false;
            }
            adjust_address(bytes, transport + 2, old, target.address);
            if matches!(bytes.get(transport), Some(128 | 129)) {
                let before = put(bytes, transport + 4, target.word);
                adjust(bytes, transport + 2, &before, &target.word.to_be_bytes());
            }
            true
        }
        proto::GRE => {
            if have < LEAST {
                return false;
            }
            match (end, bytes.get(transport + 1).map(|b| b & 7)) {
                // The source's call id does not stand in the packet.
                (End::Source, _) | (End::Destination, Some(0)) => true,
                (End::Destination, Some(1)) => {
                    put(bytes, transport + 6, target.word);
                    true
                }
                _ => false,
            }
        }
        _ => true,
    }
}

/// Writes a word and returns what stood there.
fn put(bytes: &mut [u8], at: usize, value: u16) -> [u8; 2] {
    let Some(field) = bytes.get_mut(at..at + 2) else {
        return [0; 2];
    };
    let before = [field[0], field[1]];
    field.copy_from_slice(&value.to_be_bytes());
    before
}

/// Carries a checksum field along when `old` became `new`.
fn adjust(bytes: &mut [u8], field: usize, old: &[u8], new: &[u8]) {
    let Some(place) = bytes.get_mut(field..field + 2) else {
        return;
    };
    let mut sum = be16(place, 0);
    for (old, new) in old.chunks_exact(2).zip(new.chunks_exact(2)) {
        sum = checksum::update(sum, be16(old, 0), be16(new, 0));
    }
    place.copy_from_slice(&sum.to_be_bytes());
}

fn adjust_address(bytes: &mut [u8], field: usize, old: IpAddr, new: IpAddr) {
    match (old, new) {
        (IpAddr::V4(old), IpAddr::V4(new)) => adjust(bytes, field, &old.octets(), &new.octets()),
        (IpAddr::V6(old), IpAddr::V6(new)) => adjust(bytes, field, &old.octets(), &new.octets()),
        _ => {}
    }
}

/// Computes the checksum of the ICMP or ICMPv6 message that a packet carries anew, after what it quotes
/// was changed.
pub fn finish_icmp(bytes: &mut [u8]) {
    let Ok(packet) = Packet::parse_truncated(bytes) else {
        return;
    };
    let transport = packet.transport_offset();
    let length = packet.transport().len();
    let pseudo = match packet.family() {
        Family::V4 => 0,
        Family::V6 => {
            checksum::pseudo_header(packet.source(), packet.destination(), proto::ICMPV6, length)
        }
    };
    put(bytes, transport + 2, 0);
    let data = bytes.get(transport..transport + length).unwrap_or_default();
    let sum = checksum::finish(checksum::add(pseudo, data));
    put(bytes, transport + 2, sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;

    fn ip(v6: bool) -> build::Ip {
        let (a, b) = if v6 {
            ("2001:db8::1", "2001:db8::2")
        } else {
            ("192.0.2.1", "192.0.2.2")
        };
        build::Ip::new(a.parse().unwrap(), b.parse().unwrap())
    }

    fn to(v6: bool, protocol: u8) -> Target {
        let address = if v6 {
            "2001:db8:ffff::77"
        } else {
            "203.0.113.77"
        };
        Target {
            address: address.parse().unwrap(),
            protocol,
            word: 4242,
        }
    }

    #[test]
    fn every_protocol_keeps_its_checksum_right_and_a_wrong_one_wrong() {
        for v6 in [false, true] {
            let ping = if v6 { 128 } else { 8 };
            let echo = if v6 { proto::ICMPV6 } else { proto::ICMP };
            let tcp = build::tcp(&ip(v6), &build::Tcp::default(), b"abc");
            let udp = build::udp(&ip(v6), 1, 2, b"abc");
            let icmp = build::icmp(&ip(v6), ping, 0, [0, 7, 0, 1], b"abc");
            for (bytes, protocol) in [(tcp, proto::TCP), (udp, proto::UDP), (icmp, echo)] {
                for end in [End::Source, End::Destination] {
                    for wrong in [false, true] {
                        let mut bytes = bytes.clone();
                        if wrong {
                            *bytes.last_mut().unwrap() ^= 1;
                        }
                        assert!(rewrite(&mut bytes, 0, end, &to(v6, protocol)));
                        let packet = Packet::parse(&bytes).unwrap();
                        assert!(packet.header_checksum_ok());
                        let right = match protocol {
                            proto::ICMP => checksum::of(packet.transport()) == 0,
                            _ => packet.transport_checksum_ok(protocol),
                        };
                        assert_eq!(right, !wrong, "{packet:?} {end:?}");
                        let address = match end {
                            End::Source => packet.source(),
                            End::Destination => packet.destination(),
                        };
                        assert_eq!(address, to(v6, protocol).address);
                    }
                }
            }
        }
    }

    #[test]
    fn a_udp_checksum_of_zero_stays_zero() {
        let mut bytes = build::udp(&ip(false), 1, 2, b"abc");
        bytes[26..28].fill(0);
        assert!(rewrite(&mut bytes, 0, End::Source, &to(false, proto::UDP)));
        assert_eq!(&bytes[20..28], [0x10, 0x92, 0, 2, 0, 11, 0, 0]);
    }

    #[test]
    fn a_quote_of_less_than_eight_bytes_cannot_be_translated() {
        let quoted = build::udp(&ip(false), 1, 2, b"");
        for keep in 0..=8 {
            let error = build::icmp(&ip(false), 3, 3, [0; 4], &quoted[..20 + keep]);
            let mut bytes = error.clone();
            let done = rewrite(&mut bytes, 28, End::Source, &to(false, proto::UDP));
            assert_eq!(done, keep == 8, "{keep} bytes");
            if done {
                finish_icmp(&mut bytes);
                assert_eq!(checksum::of(&bytes[20..]), 0);
            }
        }
    }

    #[test]
    fn gre_shows_only_the_destinations_call_id() {
        let payload = [0x30, 0x01, 0x88, 0x0b, 0, 0, 0, 9];
        for (version, end, word, done) in [
            (1, End::Destination, 4242, true),
            (1, End::Source, 9, true),
            (0, End::Destination, 9, true),
            (2, End::Destination, 9, false),
        ] {
            let mut payload = payload;
            payload[1] = version;
            let mut bytes = build::raw(&ip(false), proto::GRE, &payload);
            assert_eq!(rewrite(&mut bytes, 0, end, &to(false, proto::GRE)), done);
            assert_eq!(be16(&bytes, 26), word);
        }
    }
}
