//! Between what the engine makes of a packet and what the kernel has still to do with it.
//!
//! The engine gives a packet as it leaves this machine; the kernel gets it before routing. Routing lowers the time to live and
//! writes IPv4 options, so both are given back as they came. And a source that changes must not be seen by routing (one of our
//! own addresses would be refused as a martian, others by the reverse path): the packet travels with its final ports, sums
//! and data under the source address that it came with, and the address alone is written when it comes back behind routing.

use std::net::IpAddr;

use palisade_wire::{Family, Packet, build, checksum, proto};

/// Where the addresses stand: of IPv4 at 12, of IPv6 at 8.
const SOURCES: [usize; 2] = [12, 8];

/// Bytes of an IP header that are kept of a packet as it came: the longest of IPv4.
pub(super) const HEAD: usize = 60;

/// The beginning of a packet as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    bytes: [u8; HEAD],
    length: usize,
}

impl Head {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut head = Head {
            bytes: [0; HEAD],
            length: bytes.len().min(HEAD),
        };
        match bytes.first_chunk::<HEAD>() {
            Some(all) => head.bytes = *all,
            None => head.bytes[..bytes.len()].copy_from_slice(bytes),
        }
        head
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn ttl(&self) -> u8 {
        let at = if self.is_v6() { 7 } else { 8 };
        self.bytes[at]
    }

    fn is_v6(&self) -> bool {
        self.bytes[0] >> 4 == 6
    }

    /// Bytes of an IPv4 header; 0 of IPv6.
    fn header(&self) -> usize {
        match self.is_v6() {
            true => 0,
            false => usize::from(self.bytes[0] & 15) * 4,
        }
    }
}

/// Makes of a packet as it leaves one that routing is to see. The source address that is to be written behind routing, if
/// it is another than the packet came with.
pub(super) fn before_routing(came: &Head, leaves: &mut [u8], forwarded: bool) -> Option<IpAddr> {
    let packet = Packet::parse_truncated(leaves).ok()?;
    let (family, source, ttl) = (packet.family(), packet.source(), packet.ttl());
    let header = packet.header_len();
    if came.is_v6() != (family == Family::V6) {
        return None;
    }
    if forwarded {
        // Routing lowers it by one again.
        let raised = if ttl == came.ttl().wrapping_sub(1) {
            came.ttl()
        } else {
            ttl.saturating_add(1)
        };
        build::set_ttl(leaves, raised);
    }
    if family == Family::V4
        && header > 20
        && header == came.header()
        && let (Some(to), Some(from)) = (leaves.get_mut(20..header), came.bytes().get(20..header))
    {
        to.copy_from_slice(from);
    }
    let at = SOURCES[family as usize];
    let size = if family == Family::V4 { 4 } else { 16 };
    let mut other = false;
    if let (Some(to), Some(from)) = (
        leaves.get_mut(at..at + size),
        came.bytes().get(at..at + size),
    ) {
        other = to != from;
        to.copy_from_slice(from);
    }
    if family == Family::V4 {
        build::finish_v4_header(leaves);
    }
    other.then_some(source)
}

/// Makes the checksum of a UDP datagram that the kernel is still to cut (`__udp_gso_segment`) what it begins with: the sum of
/// the pseudo-header alone. Of TCP it begins anew, whatever stands there.
pub(super) fn before_cutting(bytes: &mut [u8]) {
    let Ok(packet) = Packet::parse_truncated(bytes) else {
        return;
    };
    if packet.protocol() != proto::UDP {
        return;
    }
    let (transport, length) = (packet.transport_offset(), packet.transport_len());
    let sum = checksum::pseudo_header(packet.source(), packet.destination(), proto::UDP, length);
    if let Some(field) = bytes.get_mut(transport + 6..transport + 8) {
        field.copy_from_slice(&(!checksum::finish(sum)).to_be_bytes());
    }
}

/// Writes a source address, and nothing else but the sum over an IPv4 header. Whether it could.
pub(super) fn write_source(bytes: &mut [u8], source: IpAddr) -> bool {
    let v6 = bytes.first().is_some_and(|b| b >> 4 == 6);
    if v6 != source.is_ipv6() {
        return false;
    }
    let done = |field: Option<&mut [u8]>, new: &[u8]| {
        field.map(|field| field.copy_from_slice(new)).is_some()
    };
    match source {
        IpAddr::V4(new) => {
            let written = done(bytes.get_mut(12..16), &new.octets());
            build::finish_v4_header(bytes);
            written
        }
        IpAddr::V6(new) => done(bytes.get_mut(8..24), &new.octets()),
    }
}

#[cfg(test)]
mod tests {
    use palisade_wire::{tcp::flags, translate};

    use super::*;

    fn packet(source: &str, destination: &str, ttl: u8) -> Vec<u8> {
        let mut ip = build::Ip::new(source.parse().unwrap(), destination.parse().unwrap());
        ip.ttl = ttl;
        let header = build::Tcp {
            source_port: 1000,
            destination_port: 80,
            flags: flags::ACK,
            ..Default::default()
        };
        build::tcp(&ip, &header, b"data")
    }

    #[test]
    fn routing_sees_the_source_and_the_time_to_live_that_it_came_with() {
        for (source, destination, own) in [
            ("10.0.0.2", "192.0.2.1", "192.0.2.9"),
            ("fd00::2", "2001:db8::1", "2001:db8::9"),
        ] {
            let came = packet(source, destination, 64);
            let mut leaves = packet(source, destination, 63);
            let target = translate::Target {
                address: own.parse().unwrap(),
                protocol: proto::TCP,
                word: 2000,
            };
            assert!(translate::rewrite(
                &mut leaves,
                0,
                translate::End::Source,
                &target
            ));
            let wanted = leaves.clone();
            let other = before_routing(&Head::of(&came), &mut leaves, true);
            assert_eq!(other, Some(target.address));
            let seen = Packet::parse(&leaves).unwrap();
            assert_eq!(seen.source().to_string(), source);
            assert_eq!(seen.ttl(), 64);
            assert!(seen.header_checksum_ok());
            // Behind routing.
            build::set_ttl(&mut leaves, 63);
            assert!(write_source(&mut leaves, target.address));
            assert_eq!(leaves, wanted);
            assert!(
                Packet::parse(&leaves)
                    .unwrap()
                    .transport_checksum_ok(proto::TCP)
            );
        }
    }

    #[test]
    fn options_that_routing_writes_are_as_they_came() {
        let plain = packet("10.0.0.2", "192.0.2.1", 9);
        let with = |options: [u8; 8]| {
            let mut bytes = plain[..20].to_vec();
            bytes[0] = 0x47;
            bytes[3] += 8;
            bytes.extend(options);
            bytes.extend(&plain[20..]);
            build::finish_v4_header(&mut bytes);
            bytes
        };
        let came = with([7, 7, 4, 0, 0, 0, 0, 0]);
        let mut leaves = with([7, 7, 8, 10, 0, 0, 1, 0]);
        build::set_ttl(&mut leaves, 8);
        assert_eq!(before_routing(&Head::of(&came), &mut leaves, true), None);
        assert_eq!(leaves, came);
    }

    #[test]
    fn a_time_to_live_that_a_rule_set_is_lowered_too() {
        let came = packet("10.0.0.2", "192.0.2.1", 9);
        let mut leaves = packet("10.0.0.2", "192.0.2.1", 40);
        before_routing(&Head::of(&came), &mut leaves, true);
        assert_eq!(Packet::parse(&leaves).unwrap().ttl(), 41);
    }
}
