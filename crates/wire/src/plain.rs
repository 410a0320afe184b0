//! One look at a packet that is nothing special: what a data path asks of most of what it sees.

use crate::checksum;
use crate::ip::{Family, Layout, Packet, be16, be32, be64, proto};

/// A whole TCP or UDP packet without IPv4 options, IPv6 extension headers or fragmentation, with a right header
/// checksum and room for its transport header. Everything that is not one of these is for [`Packet::parse`].
///
/// It is small, to be handed on between the stages of a batch: the addresses of IPv6 stay where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// IPv4: the source address in the upper, the destination address in the lower half. IPv6: 0.
    pub ends: u64,
    /// Source port in the upper, destination port in the lower half.
    pub ports: u32,
    /// Bytes that the header declares.
    pub length: u16,
    /// TCP or UDP.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Family.
    pub family: Family,
}

/// Bytes of an IPv4 header without options.
const V4: usize = 20;

/// Bytes of an IPv6 header.
const V6: usize = 40;

/// Bytes of both addresses, of either family, which stand right before the transport header.
const ADDRESSES: [usize; 2] = [8, 32];

impl Plain {
    /// A look at the packet at the start of `bytes`; `None` if it is anything special.
    #[inline(always)]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match Plain::family(bytes)? {
            Family::V4 => Plain::v4(bytes),
            Family::V6 => Plain::v6(bytes),
        }
    }

    /// The family of what may be plain: of IPv4 without options, of IPv6 whatever follows.
    #[inline(always)]
    pub fn family(bytes: &[u8]) -> Option<Family> {
        match bytes.first()? {
            0x45 => Some(Family::V4),
            0x60..=0x6f => Some(Family::V6),
            _ => None,
        }
    }

    /// The same for bytes whose [`family`](Self::family) is IPv4.
    #[inline(always)]
    pub fn v4(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; V4 + 8] = bytes.first_chunk()?;
        let (length, protocol) = (be16(header, 2), header[9]);
        // A fragment has an offset, or more to follow.
        if be16(header, 6) & 0x3fff != 0 || usize::from(length) > bytes.len() {
            return None;
        }
        if !checksum::wide_ok(checksum::wide(0, &header[..V4])) {
            return None;
        }
        Plain {
            ends: be64(header, 12),
            ports: be32(header, 20),
            length,
            protocol,
            ttl: header[8],
            family: Family::V4,
        }
        .whole(bytes, V4)
    }

    /// The same for bytes whose [`family`](Self::family) is IPv6.
    #[inline]
    pub fn v6(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; V6 + 8] = bytes.first_chunk()?;
        let length = usize::from(be16(header, 4)) + V6;
        Plain {
            ends: 0,
            ports: be32(header, V6),
            length: u16::try_from(length)
                .ok()
                .filter(|_| length <= bytes.len())?,
            protocol: header[6],
            ttl: header[7],
            family: Family::V6,
        }
        .whole(bytes, V6)
    }

    /// The same if its transport header is there.
    #[inline(always)]
    fn whole(self, bytes: &[u8], header: usize) -> Option<Self> {
        let transport = usize::from(self.length).checked_sub(header)?;
        let whole = match self.protocol {
            proto::UDP => transport >= 8,
            proto::TCP => {
                let offset = usize::from(bytes.get(header + 12)? >> 4) * 4;
                transport >= offset && offset >= 20
            }
            _ => false,
        };
        whole.then_some(self)
    }

    /// Source and destination address: of IPv4 the address and 0, of IPv6 both halves. `bytes` are those that were
    /// looked at.
    #[inline(always)]
    pub fn addresses(&self, bytes: &[u8]) -> [[u64; 2]; 2] {
        match self.family {
            Family::V4 => [[self.ends >> 32, 0], [self.ends & 0xffff_ffff, 0]],
            Family::V6 => {
                let header: &[u8; V6] = bytes.first_chunk().unwrap_or(&[0; V6]);
                let address = |at| [be64(header, at), be64(header, at + 8)];
                [address(8), address(24)]
            }
        }
    }

    /// Where the transport header begins.
    #[inline(always)]
    pub fn transport_offset(&self) -> usize {
        match self.family {
            Family::V4 => V4,
            Family::V6 => V6,
        }
    }

    /// The packet, as a parse of the same bytes would have it.
    #[inline]
    pub fn packet<'a>(&self, bytes: &'a [u8]) -> Packet<'a> {
        let length = usize::from(self.length);
        let header = self.transport_offset() as u16;
        Packet {
            bytes: bytes.get(..length).unwrap_or(bytes),
            layout: Layout::plain(self.family, self.protocol, header, length),
        }
    }

    /// The same of an IPv4 packet of 40 to 56 bytes, as most with little payload are, without a branch that hangs on how
    /// long it is; `None` of others.
    #[inline(always)]
    pub fn short_checksum_ok(&self, bytes: &[u8]) -> Option<bool> {
        let length = usize::from(self.length);
        let header: &[u8; 40] = bytes.first_chunk()?;
        if self.family != Family::V4 || !(40..=56).contains(&length) {
            return None;
        }
        let pseudo = u64::from(u16::from(self.protocol).to_be().to_le())
            + u64::from((self.length - 20).to_be().to_le());
        let sum = checksum::wide(pseudo, &header[12..]);
        // What is behind the 40 bytes: up to eight, and what is behind those. Of the eight that are read, the last ones.
        let word = |from: usize, kept: usize| {
            let eight = bytes.get(from..)?.first_chunk()?;
            let half = 4 * (8 - kept);
            Some(u64::from_le_bytes(*eight) >> half >> half)
        };
        let behind = length - 40;
        let first = word((length - 8).min(40), behind.min(8))?;
        let second = word(length - 8, behind.saturating_sub(8))?;
        let sum = checksum::add_wide(checksum::add_wide(sum, first), second);
        Some(checksum::wide_ok(sum))
    }

    /// Whether the transport checksum is right.
    #[inline(always)]
    pub fn checksum_ok(&self, bytes: &[u8]) -> bool {
        let header = self.transport_offset();
        let from = header - ADDRESSES[self.family as usize];
        let Some(covered) = bytes.get(from..usize::from(self.length)) else {
            return false;
        };
        let transport = self.length.wrapping_sub(header as u16);
        let pseudo = u64::from(u16::from(self.protocol).to_be().to_le())
            + u64::from(transport.to_be().to_le());
        checksum::wide_ok(checksum::wide(pseudo, covered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn halves(address: IpAddr) -> [u64; 2] {
        match address {
            IpAddr::V4(a) => [u32::from(a).into(), 0],
            IpAddr::V6(a) => [(u128::from(a) >> 64) as u64, u128::from(a) as u64],
        }
    }

    fn packets() -> impl Strategy<Value = Vec<u8>> {
        let ends = prop_oneof![
            any::<(u32, u32)>().prop_map(|(a, b)| (IpAddr::V4(a.into()), IpAddr::V4(b.into()))),
            any::<(u128, u128)>().prop_map(|(a, b)| (IpAddr::V6(a.into()), IpAddr::V6(b.into()))),
        ];
        let payload = proptest::collection::vec(any::<u8>(), 0..60);
        let made = (ends, any::<(u16, u16)>(), any::<bool>(), payload).prop_map(
            |((source, destination), (from, to), tcp, payload)| {
                let ip = build::Ip::new(source, destination);
                if tcp {
                    let header = build::Tcp {
                        source_port: from,
                        destination_port: to,
                        ..build::Tcp::default()
                    };
                    build::tcp(&ip, &header, &payload)
                } else {
                    build::udp(&ip, from, to, &payload)
                }
            },
        );
        // Some are spoilt, some cut, some have something behind them.
        let spoilt = proptest::option::weighted(0.5, (any::<prop::sample::Index>(), any::<u8>()));
        (made, spoilt, -9isize..9).prop_map(|(mut bytes, spoilt, longer)| {
            if let Some((at, with)) = spoilt {
                let at = at.index(bytes.len().min(60));
                bytes[at] = with;
            }
            let length = bytes.len().saturating_add_signed(longer.min(3));
            bytes.resize(length, 0);
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn it_says_what_a_parse_says(bytes in packets()) {
            let Some(plain) = Plain::of(&bytes) else {
                return Ok(());
            };
            let packet = Packet::parse(&bytes).unwrap();
            prop_assert!(packet.header_checksum_ok());
            prop_assert!(packet.fragment().is_none() && !packet.chain_broken());
            prop_assert_eq!(format!("{packet:?}"), format!("{:?}", plain.packet(&bytes)));
            let addresses = [packet.source(), packet.destination()].map(halves);
            prop_assert_eq!(plain.addresses(&bytes), addresses);
            let [[source, _], [destination, _]] = addresses;
            prop_assert_eq!(plain.ends, if packet.source().is_ipv4() { source << 32 | destination } else { 0 });
            prop_assert_eq!(packet.bytes(), plain.packet(&bytes).bytes());
            prop_assert_eq!(packet.declared_len(), usize::from(plain.length));
            prop_assert_eq!(packet.ttl(), plain.ttl);
            prop_assert_eq!(be32(packet.transport(), 0), plain.ports);
            let right = packet.transport_checksum_ok(packet.protocol());
            prop_assert_eq!(right, plain.checksum_ok(&bytes));
            let short = plain.family == Family::V4 && (40..=56).contains(&plain.length);
            prop_assert_eq!(plain.short_checksum_ok(&bytes), short.then_some(right));
        }
    }

    #[test]
    fn ordinary_packets_are_plain() {
        for v6 in [false, true] {
            let (a, b) = if v6 {
                ("2001:db8::1", "2001:db8::2")
            } else {
                ("192.0.2.1", "192.0.2.2")
            };
            let ip = build::Ip::new(a.parse().unwrap(), b.parse().unwrap());
            for bytes in [
                build::udp(&ip, 1, 2, b""),
                build::tcp(&ip, &build::Tcp::default(), b"x"),
            ] {
                let plain = Plain::of(&bytes).unwrap();
                assert!(plain.checksum_ok(&bytes));
            }
            assert_eq!(Plain::of(&build::raw(&ip, 89, &[0; 30])), None);
        }
        assert_eq!(Plain::of(&[]), None);
    }
}
