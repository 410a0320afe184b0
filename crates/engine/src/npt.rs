//! Stateless IPv6 prefix translation (RFC 6296; kernel `ip6t_NPT.c`): the prefix is exchanged, and another
//! word of the address makes up for it, so that no checksum changes.

use std::net::Ipv6Addr;

use palisade_wire::{Buffer, Packet, checksum, proto};

/// Offsets of the addresses in an IPv6 header.
const SOURCE: usize = 8;
const DESTINATION: usize = 24;

/// Bytes of an ICMPv6 header in front of what an error quotes.
const ICMPV6_HEADER: usize = 8;

/// A prefix and its length.
type Prefix = (Ipv6Addr, u8);

/// Maps the source of a packet; see [`map`].
pub(crate) fn source(buffer: &mut Buffer<'_>, from: Prefix, to: Prefix) -> bool {
    map(buffer.edit(), false, from, to)
}

/// Maps the destination of a packet; see [`map`].
pub(crate) fn destination(buffer: &mut Buffer<'_>, from: Prefix, to: Prefix) -> bool {
    map(buffer.edit(), true, from, to)
}

/// Maps the source (or destination) of an IPv6 packet from one prefix to another. An ICMPv6 error right behind the
/// header has the opposite address of what it quotes mapped too, where it lies in `from`. `false`:
/// no word of the address can make up for the prefix, the packet is to be dropped.
fn map(bytes: &mut [u8], destination: bool, from: Prefix, to: Prefix) -> bool {
    let (own, quoted) = if destination {
        (DESTINATION, SOURCE)
    } else {
        (SOURCE, DESTINATION)
    };
    let error = Packet::parse_truncated(bytes).is_ok_and(|p| {
        p.protocol() == proto::ICMPV6
            && p.transport_offset() == 40
            && matches!(p.transport().first(), Some(1..=4))
    });
    if !map_address(bytes, own, from, to) {
        return false;
    }
    let at = 40 + ICMPV6_HEADER;
    if error
        && bytes.len() >= at + 40
        && let Some(address) = read(bytes, at + quoted)
        && u128::from(address) & prefix_mask(from.1) == u128::from(from.0)
    {
        map_address(bytes, at + quoted, from, to);
    }
    true
}

fn prefix_mask(length: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(length.min(128)))
        .unwrap_or(0)
}

fn read(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
    Some(Ipv6Addr::from(*octets))
}

/// What is to be added to a word, one's complement, for the change of prefix.
fn adjustment(from: Prefix, to: Prefix) -> u16 {
    let sum = |prefix: Prefix| !checksum::of(&prefix.0.octets());
    // from - to.
    !checksum::finish(u32::from(sum(from)) + u32::from(!sum(to)))
}

/// Kernel `ip6t_npt_map_pfx`.
fn map_address(bytes: &mut [u8], at: usize, from: Prefix, to: Prefix) -> bool {
    let Some(address) = read(bytes, at) else {
        return false;
    };
    let length = from.1.max(to.1);
    let mask = prefix_mask(length);
    let mapped = Ipv6Addr::from(u128::from(address) & !mask | u128::from(to.0) & mask);
    let mut words = mapped.segments();
    let place = if length <= 48 {
        3
    } else {
        match words.iter().skip(4).position(|word| *word != 0xffff) {
            Some(place) => place + 4,
            None => return false,
        }
    };
    let sum = !checksum::finish(u32::from(words[place]) + u32::from(adjustment(from, to)));
    words[place] = if sum == 0xffff { 0 } else { sum };
    if let Some(field) = bytes.get_mut(at..at + 16) {
        field.copy_from_slice(&Ipv6Addr::from(words).octets());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_wire::build;

    fn prefix(text: &str, length: u8) -> Prefix {
        (text.parse().unwrap(), length)
    }

    #[test]
    fn a_mapped_packet_keeps_its_checksum_and_comes_back() {
        // RFC 6296, section 3.1, has this example with /48.
        let (inside, outside) = (prefix("fd01:203:405::", 48), prefix("2001:db8:1::", 48));
        let ip = build::Ip::new(
            "fd01:203:405:1::1234".parse().unwrap(),
            "2001:db8:2::1".parse().unwrap(),
        );
        let bytes = build::udp(&ip, 1, 2, b"abc");
        let mut there = bytes.clone();
        assert!(map(&mut there, false, inside, outside));
        let packet = Packet::parse(&there).unwrap();
        assert_eq!(packet.source().to_string(), "2001:db8:1:d550::1234");
        assert!(packet.transport_checksum_ok(proto::UDP));
        let answer = build::Ip::new(packet.destination(), packet.source());
        let mut back = build::udp(&answer, 2, 1, b"");
        assert!(map(&mut back, true, outside, inside));
        assert_eq!(
            Packet::parse(&back).unwrap().destination().to_string(),
            "fd01:203:405:1::1234"
        );
    }

    #[test]
    fn an_address_without_a_word_to_spare_is_not_mapped() {
        let ip = build::Ip::new(
            "fd01::ffff:ffff:ffff:ffff".parse().unwrap(),
            "2001:db8:2::1".parse().unwrap(),
        );
        let mut bytes = build::udp(&ip, 1, 2, b"");
        assert!(!map(
            &mut bytes,
            false,
            prefix("fd01::", 64),
            prefix("2001:db8::", 64)
        ));
    }
}
