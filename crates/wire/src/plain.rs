//! One look at a packet that is nothing special: what a data path asks of most of what it sees.

use crate::ip::{Family, Layout, Packet, be16, be32, proto};

/// A whole TCP or UDP packet without IPv4 options, IPv6 extension headers or fragmentation, with a right header
/// checksum and room for its transport header. Everything that is not one of these is for [`Packet::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Source address: of IPv4 the address and 0, of IPv6 both halves.
    pub source: [u64; 2],
    /// Destination address, likewise.
    pub destination: [u64; 2],
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

impl Plain {
    /// A look at the packet at the start of `bytes`; `None` if it is anything special.
    #[inline]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? {
            0x45 => Plain::v4(bytes),
            0x60..=0x6f => Plain::v6(bytes),
            _ => None,
        }
    }

    #[inline]
    fn v4(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; V4 + 8] = bytes.first_chunk()?;
        let word = |at: usize| be32(header, at);
        let length = be16(header, 2);
        let protocol = header[9];
        // A fragment has an offset, or more to follow.
        if word(4) & 0x3fff != 0 || usize::from(length) > bytes.len() {
            return None;
        }
        let sum = (0..5).map(|n| u64::from(word(4 * n))).sum::<u64>();
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        if (sum >> 16) + (sum & 0xffff) != 0xffff {
            return None;
        }
        Plain {
            source: [u64::from(word(12)), 0],
            destination: [u64::from(word(16)), 0],
            ports: word(20),
            length,
            protocol,
            ttl: header[8],
            family: Family::V4,
        }
        .whole(bytes, V4)
    }

    #[inline]
    fn v6(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; V6 + 8] = bytes.first_chunk()?;
        let length = usize::from(be16(header, 4)) + V6;
        let half = |at: usize| u64::from(be32(header, at)) << 32 | u64::from(be32(header, at + 4));
        Plain {
            source: [half(8), half(16)],
            destination: [half(24), half(32)],
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
    #[inline]
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

    /// Where the transport header begins.
    #[inline]
    pub fn transport_offset(&self) -> usize {
        self.header()
    }

    #[inline]
    fn header(&self) -> usize {
        match self.family {
            Family::V4 => V4,
            Family::V6 => V6,
        }
    }

    /// The packet, as a parse of the same bytes would have it.
    #[inline]
    pub fn packet<'a>(&self, bytes: &'a [u8]) -> Packet<'a> {
        let length = usize::from(self.length);
        Packet {
            bytes: bytes.get(..length).unwrap_or(bytes),
            layout: Layout::plain(self.family, self.protocol, self.header() as u16, length),
        }
    }

    /// Whether the transport checksum is right.
    #[inline]
    pub fn checksum_ok(&self, bytes: &[u8]) -> bool {
        let header = self.header();
        let Some(whole) = bytes.get(..usize::from(self.length)) else {
            return false;
        };
        // Both addresses stand right before the transport header.
        let from = match self.family {
            Family::V4 => header - 8,
            Family::V6 => header - 32,
        };
        let (covered, transport) = (whole.get(from..), whole.len() - header);
        // Any order of bytes gives the same sum with its bytes in that order, and 0xffff is the same in either.
        let mut sum =
            u64::from(u16::from(self.protocol).to_be()) + u64::from((transport as u16).to_be());
        let mut add = |word: u64| {
            let (more, carry) = sum.overflowing_add(word);
            sum = more + u64::from(carry);
        };
        let mut rest = covered.unwrap_or_default();
        while let Some((eight, behind)) = rest.split_first_chunk() {
            add(u64::from_ne_bytes(*eight));
            rest = behind;
        }
        if let Some((four, behind)) = rest.split_first_chunk() {
            add(u64::from(u32::from_ne_bytes(*four)));
            rest = behind;
        }
        if let Some((two, behind)) = rest.split_first_chunk() {
            add(u64::from(u16::from_ne_bytes(*two)));
            rest = behind;
        }
        if let [last] = rest {
            add(u64::from(u16::from_ne_bytes([*last, 0])));
        }
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        (sum >> 16) + (sum & 0xffff) == 0xffff
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
            prop_assert_eq!(halves(packet.source()), plain.source);
            prop_assert_eq!(halves(packet.destination()), plain.destination);
            prop_assert_eq!(packet.bytes(), plain.packet(&bytes).bytes());
            prop_assert_eq!(packet.declared_len(), usize::from(plain.length));
            prop_assert_eq!(packet.ttl(), plain.ttl);
            prop_assert_eq!(be32(packet.transport(), 0), plain.ports);
            prop_assert_eq!(packet.transport_checksum_ok(packet.protocol()), plain.checksum_ok(&bytes));
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
