//! The network layer: one parse of an IPv4 or IPv6 header, extension chain included.
//!
//! [`Packet::parse`] makes the checks that Linux makes before netfilter sees a
//! packet (`ip_rcv_core`, `ip6_rcv_core`), except the IPv4 header checksum, which
//! [`Packet::header_checksum_ok`] answers separately because captures taken on the
//! sending host carry unfinished ones.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum;

/// Protocol numbers (IANA "Assigned Internet Protocol Numbers") used by name in Palisade.
pub mod proto {
    #![allow(missing_docs)]
    pub const HOPOPTS: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NONE: u8 = 59;
    pub const DSTOPTS: u8 = 60;
    pub const IPCOMP: u8 = 108;
    pub const SCTP: u8 = 132;
    pub const MH: u8 = 135;
    pub const UDPLITE: u8 = 136;
}

/// Address family of a packet, a rule or a tuple.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// Where a fragment lies in its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Offset of the first byte, in bytes (a multiple of 8).
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Offset of the IPv6 Fragment header from the start of the packet; 0 for IPv4.
    pub header: u16,
    /// Offset of the byte that names this header as "next header" (IPv6); 0 for IPv4.
    pub previous_next_header: u16,
}

/// Why bytes are not a packet that Linux would hand to netfilter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpError {
    /// No bytes, or a version nibble other than 4 or 6.
    Version(Option<u8>),
    /// Fewer bytes than the fixed header needs.
    HeaderTruncated {
        /// Bytes there are.
        have: usize,
        /// Bytes the header needs.
        need: usize,
    },
    /// IPv4 IHL below 5 words.
    HeaderLength(u8),
    /// IPv4 total length smaller than the header.
    TotalLength {
        /// The total length field.
        total: usize,
        /// Header length in bytes.
        header: usize,
    },
    /// The header declares more bytes than there are. Linux drops such a packet; a
    /// capture's snap length produces it too, see [`Packet::parse_truncated`].
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes the header declares.
        need: usize,
    },
    /// IPv6 source or destination that no packet on the wire may carry.
    Address(&'static str),
    /// An IPv6 extension chain that does not end inside the packet, or has more
    /// than [`MAX_EXTENSION_HEADERS`] headers.
    ExtensionChain,
}

impl fmt::Display for IpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IpError::Version(None) => f.write_str("empty packet"),
            IpError::Version(Some(v)) => write!(f, "IP version {v}"),
            IpError::HeaderTruncated { have, need } => {
                write!(f, "IP header needs {need} bytes, {have} are there")
            }
            IpError::HeaderLength(words) => {
                write!(f, "IPv4 header length of {words} words is below 5")
            }
            IpError::TotalLength { total, header } => {
                write!(
                    f,
                    "IPv4 total length {total} is below the header length {header}"
                )
            }
            IpError::Truncated { have, need } => {
                write!(
                    f,
                    "packet cut short: {have} of {need} declared bytes are there"
                )
            }
            IpError::Address(what) => f.write_str(what),
            IpError::ExtensionChain => {
                f.write_str("IPv6 extension headers do not end inside the packet")
            }
        }
    }
}

impl std::error::Error for IpError {}

/// Upper bound of IPv6 extension headers walked in one packet.
pub const MAX_EXTENSION_HEADERS: usize = 64;

/// An IP packet, parsed once: network header checked, transport found.
///
/// `Copy`, two words of bytes and a few offsets; passing it around is free.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) layout: Layout,
}

/// What the parse found, apart from the bytes: it stays true while addresses, ports and other
/// fields of fixed place are rewritten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    family: Family,
    protocol: u8,
    transport: u16,
    fragment: Option<Fragment>,
    declared: usize,
    chain_broken: bool,
}

impl Layout {
    /// Of a packet without anything between its fixed header and its transport header.
    #[inline]
    pub(crate) fn plain(family: Family, protocol: u8, transport: u16, declared: usize) -> Self {
        Layout {
            family,
            protocol,
            transport,
            fragment: None,
            declared,
            chain_broken: false,
        }
    }

    #[inline]
    pub(crate) fn family(&self) -> Family {
        self.family
    }

    #[inline]
    pub(crate) fn protocol(&self) -> u8 {
        self.protocol
    }

    pub(crate) fn set_declared(&mut self, declared: usize) {
        self.declared = declared;
    }
}

impl<'a> Packet<'a> {
    /// Parses the IP packet at the start of `bytes`; trailing link-layer padding is cut off.
    ///
    /// # Errors
    /// [`IpError`] for what `ip_rcv_core` / `ip6_rcv_core` would drop.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, IpError> {
        let packet = Self::parse_truncated(bytes)?;
        if packet.layout.declared > packet.bytes.len() {
            return Err(IpError::Truncated {
                have: packet.bytes.len(),
                need: packet.layout.declared,
            });
        }
        Ok(packet)
    }

    /// As [`parse`](Self::parse), but accepts fewer bytes than the header declares: a
    /// capture with a snap length, or the packet quoted by an ICMP error.
    ///
    /// # Errors
    /// [`IpError`], never [`IpError::Truncated`].
    #[inline]
    pub fn parse_truncated(bytes: &'a [u8]) -> Result<Self, IpError> {
        match bytes.first().map(|b| b >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            other => Err(IpError::Version(other)),
        }
    }

    #[inline]
    fn parse_v4(bytes: &'a [u8]) -> Result<Self, IpError> {
        let have = bytes.len();
        if have < 20 {
            return Err(IpError::HeaderTruncated { have, need: 20 });
        }
        let words = bytes[0] & 0x0f;
        let header = usize::from(words) * 4;
        if words < 5 {
            return Err(IpError::HeaderLength(words));
        }
        if have < header {
            return Err(IpError::HeaderTruncated { have, need: header });
        }
        let declared = usize::from(be16(bytes, 2));
        if declared < header {
            return Err(IpError::TotalLength {
                total: declared,
                header,
            });
        }
        let word = be16(bytes, 6);
        let fragment = (word & 0x3fff != 0).then(|| Fragment {
            id: u32::from(be16(bytes, 4)),
            offset: (word & 0x1fff) * 8,
            more: word & 0x2000 != 0,
            header: 0,
            previous_next_header: 0,
        });
        Ok(Packet {
            bytes: &bytes[..declared.min(have)],
            layout: Layout {
                family: Family::V4,
                protocol: bytes[9],
                transport: header as u16,
                fragment,
                declared,
                chain_broken: false,
            },
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, IpError> {
        let have = bytes.len();
        if have < 40 {
            return Err(IpError::HeaderTruncated { have, need: 40 });
        }
        let declared = 40 + usize::from(be16(bytes, 4));
        let bytes = &bytes[..declared.min(have)];
        let mut packet = Packet {
            bytes,
            layout: Layout {
                family: Family::V6,
                protocol: bytes[6],
                transport: 40,
                fragment: None,
                declared,
                chain_broken: false,
            },
        };
        packet.walk_extensions();
        Ok(packet)
    }

    /// Follows hop-by-hop, routing, destination options, AH and fragment headers to the
    /// transport (kernel `ipv6_skip_exthdr`). A later fragment's chain ends at its
    /// Fragment header.
    fn walk_extensions(&mut self) {
        let mut at = 40usize;
        let mut next = self.bytes[6];
        let mut names_next = 6usize;
        for _ in 0..MAX_EXTENSION_HEADERS {
            let length = match next {
                proto::HOPOPTS | proto::ROUTING | proto::DSTOPTS => {
                    let Some(words) = self.bytes.get(at + 1) else {
                        break;
                    };
                    (usize::from(*words) + 1) * 8
                }
                proto::AH => {
                    let Some(words) = self.bytes.get(at + 1) else {
                        break;
                    };
                    (usize::from(*words) + 2) * 4
                }
                proto::FRAGMENT => {
                    let Some(header) = self.bytes.get(at..at + 8) else {
                        break;
                    };
                    let word = be16(header, 2);
                    let fragment = Fragment {
                        id: be32(header, 4),
                        offset: word & 0xfff8,
                        more: word & 1 != 0,
                        header: at as u16,
                        previous_next_header: names_next as u16,
                    };
                    if self.layout.fragment.is_none() {
                        self.layout.fragment = Some(fragment);
                    } else if fragment.offset != 0 {
                        // A fragment within a fragment: what follows is nobody's header.
                        self.layout.chain_broken = true;
                    }
                    if fragment.offset != 0 {
                        // What follows is the middle of a datagram, not a header.
                        self.layout.protocol = header[0];
                        self.layout.transport = (at + 8) as u16;
                        return;
                    }
                    8
                }
                _ => {
                    self.layout.protocol = next;
                    self.layout.transport = at as u16;
                    return;
                }
            };
            let Some(&following) = self.bytes.get(at) else {
                break;
            };
            names_next = at;
            next = following;
            at += length;
            if at > self.bytes.len() {
                break;
            }
        }
        self.layout.protocol = next;
        self.layout.transport = at.min(self.bytes.len()) as u16;
        self.layout.chain_broken = true;
    }

    /// The packet's bytes from the IP header on, without link-layer padding.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Address family.
    #[inline]
    pub fn family(&self) -> Family {
        self.layout.family
    }

    /// Transport protocol: the IPv4 protocol field, or the last "next header" of the IPv6 chain.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.layout.protocol
    }

    /// Length that the header declares, in bytes: IPv4 total length, IPv6 payload length + 40.
    #[inline]
    pub fn declared_len(&self) -> usize {
        self.layout.declared
    }

    /// Whether fewer bytes are there than the header declares.
    #[inline]
    pub fn is_truncated(&self) -> bool {
        self.layout.declared > self.bytes.len()
    }

    /// Whether the IPv6 extension chain ran out of the packet.
    #[inline]
    pub fn chain_broken(&self) -> bool {
        self.layout.chain_broken
    }

    /// Offset of the transport header from the start of the packet.
    #[inline]
    pub fn transport_offset(&self) -> usize {
        usize::from(self.layout.transport)
    }

    /// Transport header and what follows it. For a later fragment this is the middle of
    /// a datagram; see [`is_later_fragment`](Self::is_later_fragment).
    #[inline]
    pub fn transport(&self) -> &'a [u8] {
        self.bytes
            .get(usize::from(self.layout.transport)..)
            .unwrap_or_default()
    }

    /// Bytes of transport header and payload that the network header declares.
    #[inline]
    pub fn transport_len(&self) -> usize {
        self.layout
            .declared
            .saturating_sub(usize::from(self.layout.transport))
    }

    /// Fragment position; `None` for a whole datagram. Of several IPv6 Fragment headers the first counts. An IPv6 "atomic" fragment
    /// (offset 0, last) is `Some`.
    #[inline]
    pub fn fragment(&self) -> Option<Fragment> {
        self.layout.fragment
    }

    /// Whether this is a fragment other than the first.
    #[inline]
    pub fn is_later_fragment(&self) -> bool {
        matches!(self.layout.fragment, Some(f) if f.offset != 0)
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> IpAddr {
        self.address(12, 8)
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> IpAddr {
        self.address(16, 24)
    }

    #[inline]
    fn address(&self, v4: usize, v6: usize) -> IpAddr {
        match self.layout.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(be32(self.bytes, v4))),
            Family::V6 => {
                let mut octets = [0; 16];
                octets.copy_from_slice(&self.bytes[v6..v6 + 16]);
                IpAddr::V6(Ipv6Addr::from(octets))
            }
        }
    }

    /// Time to live, or hop limit.
    #[inline]
    pub fn ttl(&self) -> u8 {
        match self.layout.family {
            Family::V4 => self.bytes[8],
            Family::V6 => self.bytes[7],
        }
    }

    /// Type of service (IPv4) or traffic class (IPv6), all eight bits.
    #[inline]
    pub fn tos(&self) -> u8 {
        match self.layout.family {
            Family::V4 => self.bytes[1],
            Family::V6 => (self.bytes[0] << 4) | (self.bytes[1] >> 4),
        }
    }

    /// IPv4 header length or 40, in bytes.
    #[inline]
    pub fn header_len(&self) -> usize {
        match self.layout.family {
            Family::V4 => usize::from(self.bytes[0] & 0x0f) * 4,
            Family::V6 => 40,
        }
    }

    /// IPv4 "don't fragment" bit; `false` for IPv6.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.layout.family == Family::V4 && self.bytes[6] & 0x40 != 0
    }

    /// IPv4 identification, or the IPv6 fragment's; 0 where there is none.
    #[inline]
    pub fn id(&self) -> u32 {
        match self.layout.family {
            Family::V4 => u32::from(be16(self.bytes, 4)),
            Family::V6 => self.layout.fragment.map_or(0, |f| f.id),
        }
    }

    /// Whether the IPv4 header checksum verifies; `true` for IPv6, which has none.
    #[inline]
    pub fn header_checksum_ok(&self) -> bool {
        match self.layout.family {
            Family::V4 => checksum::of(&self.bytes[..self.header_len()]) == 0,
            Family::V6 => true,
        }
    }

    /// Whether the transport checksum over `transport()` verifies with the
    /// pseudo-header for `protocol` (RFC 793 §3.1, RFC 8200 §8.1).
    #[inline]
    pub fn transport_checksum_ok(&self, protocol: u8) -> bool {
        let data = self.transport();
        let pseudo =
            checksum::pseudo_header(self.source(), self.destination(), protocol, data.len());
        checksum::finish(checksum::add(pseudo, data)) == 0
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} > {} protocol {} length {}",
            self.layout.family,
            self.source(),
            self.destination(),
            self.layout.protocol,
            self.layout.declared
        )
    }
}

#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline]
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}
