//! Checksums that were left to hardware.

use crate::checksum;
use crate::ip::{Packet, proto};
use crate::sctp;

/// Offsets of the checksum in the headers of TCP, UDP and ICMPv6, and of SCTP.
const TCP: usize = 16;
const UDP: usize = 6;
const ICMP: usize = 2;
const SCTP: usize = 8;

/// Fills in the transport checksum of a whole packet of TCP, UDP, UDP-Lite, SCTP, ICMP or ICMPv6, whatever stands in
/// the field (kernel `skb_checksum_help`, `skb_crc32c_csum_help`). Of UDP 0 is written as 65,535.
///
/// Returns whether it was done: not of a fragment, of a packet that is cut short, and of other protocols.
pub fn complete(bytes: &mut [u8]) -> bool {
    let Ok(packet) = Packet::parse(bytes) else {
        return false;
    };
    if packet.fragment().is_some() || packet.is_truncated() {
        return false;
    }
    let (protocol, at) = (packet.protocol(), packet.transport_offset());
    let (source, destination) = (packet.source(), packet.destination());
    let length = packet.transport().len();
    let Some(transport) = bytes.get_mut(at..at + length) else {
        return false;
    };
    let (field, sum) = match protocol {
        proto::SCTP => {
            let sum = sctp::checksum(transport);
            return match transport.get_mut(SCTP..SCTP + 4) {
                Some(field) => {
                    field.copy_from_slice(&sum.to_le_bytes());
                    true
                }
                None => false,
            };
        }
        proto::TCP => (
            TCP,
            checksum::pseudo_header(source, destination, protocol, length),
        ),
        proto::UDP => (
            UDP,
            checksum::pseudo_header(source, destination, protocol, length),
        ),
        proto::ICMPV6 => (
            ICMP,
            checksum::pseudo_header(source, destination, protocol, length),
        ),
        proto::ICMP => (ICMP, 0),
        _ => return false,
    };
    match transport.get_mut(field..field + 2) {
        Some(place) => place.fill(0),
        None => return false,
    }
    let sum = match checksum::finish(checksum::add(sum, transport)) {
        0 if protocol == proto::UDP => 0xffff,
        sum => sum,
    };
    if let Some(place) = transport.get_mut(field..field + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;

    #[test]
    fn whatever_stood_there_the_sum_is_right_afterwards() {
        let ends = [
            build::Ip::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into()),
            build::Ip::new(
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
            ),
        ];
        for ip in &ends {
            let echo = if ip.source.is_ipv4() { 8 } else { 128 };
            for (right, field, size) in [
                (build::tcp(ip, &build::Tcp::default(), b"data!"), TCP, 2),
                (build::udp(ip, 1, 2, b"data!"), UDP, 2),
                (build::icmp(ip, echo, 0, [0, 1, 0, 2], b"data!"), ICMP, 2),
                (build::sctp(ip, 1, 2, 3, &[0, 0, 0, 4]), SCTP, 4),
            ] {
                let at = Packet::parse(&right).unwrap().transport_offset() + field;
                let mut bytes = right.clone();
                bytes[at..at + size].fill(0x5a);
                assert!(complete(&mut bytes));
                assert_eq!(bytes, right);
            }
        }
    }

    #[test]
    fn a_sum_of_zero_of_udp_is_not_none() {
        // The port is what the sum of the others comes to.
        let ip = build::Ip::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let whole = build::udp(&ip, 1, 0, b"");
        let sum = u16::from_be_bytes([whole[26], whole[27]]);
        let mut bytes = build::udp(&ip, 1, sum, b"");
        bytes[26..28].fill(0);
        assert!(complete(&mut bytes));
        assert_eq!(bytes[26..28], [0xff, 0xff]);
    }

    #[test]
    fn fragments_and_unknown_protocols_are_let_alone() {
        let ip = build::Ip::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let whole = build::udp(&ip, 1, 2, &[7; 64]);
        let mut bytes = build::fragments(&whole, 32, 9);
        bytes.push(build::raw(&ip, proto::GRE, &[0; 8]));
        bytes.push(vec![0x45; 12]);
        for mut bytes in bytes {
            let before = bytes.clone();
            assert!(!complete(&mut bytes));
            assert_eq!(bytes, before);
        }
    }
}
