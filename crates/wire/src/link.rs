//! Link layers that captures carry: where the IP packet starts, and what the link header
//! told about it (MAC addresses, packet type, VLAN tags).
//!
//! Only what a Linux host would hand to its IP stack is unwrapped: VLAN tags are (the kernel
//! strips them), and PPPoE sessions (a ppp interface gives their packets to the stack); MPLS and tunnels are not.

/// `LINKTYPE_*` values of pcap and pcapng files that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LinkType {
    /// BSD loopback, family in the capturing host's byte order (0).
    Null,
    /// Ethernet (1).
    Ethernet,
    /// Raw IP, version told by the first nibble (101, and the historic 12 and 14).
    Raw,
    /// OpenBSD loopback, family in network byte order (108).
    Loop,
    /// Linux cooked capture v1 (113).
    LinuxSll,
    /// Raw IPv4 (228).
    Ipv4,
    /// Raw IPv6 (229).
    Ipv6,
    /// Linux cooked capture v2 (276).
    LinuxSll2,
    /// Any other; its frames are counted but hold no IP packet for us.
    Other(u16),
}

impl From<u16> for LinkType {
    fn from(value: u16) -> Self {
        match value {
            0 => LinkType::Null,
            1 => LinkType::Ethernet,
            12 | 14 | 101 => LinkType::Raw,
            108 => LinkType::Loop,
            113 => LinkType::LinuxSll,
            228 => LinkType::Ipv4,
            229 => LinkType::Ipv6,
            276 => LinkType::LinuxSll2,
            other => LinkType::Other(other),
        }
    }
}

impl From<LinkType> for u16 {
    fn from(value: LinkType) -> Self {
        match value {
            LinkType::Null => 0,
            LinkType::Ethernet => 1,
            LinkType::Raw => 101,
            LinkType::Loop => 108,
            LinkType::LinuxSll => 113,
            LinkType::Ipv4 => 228,
            LinkType::Ipv6 => 229,
            LinkType::LinuxSll2 => 276,
            LinkType::Other(other) => other,
        }
    }
}

/// What `-m pkttype` sees (kernel `PACKET_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PacketType {
    /// To this host.
    Host,
    /// Link-layer broadcast.
    Broadcast,
    /// Link-layer multicast.
    Multicast,
    /// To another host, seen in promiscuous mode.
    OtherHost,
    /// Sent by this host.
    Outgoing,
    /// The copy, for this host itself, of what it sends to all or to a group.
    Loopback,
}

/// Ethertypes used here.
pub mod ethertype {
    #![allow(missing_docs)]
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const QINQ: u16 = 0x88a8;
    pub const QINQ_OLD: u16 = 0x9100;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const PPPOE_SESSION: u16 = 0x8864;
}

/// At most this many VLAN tags are taken off a frame.
pub const MAX_VLANS: usize = 4;

/// A frame with its link header understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkFrame<'a> {
    /// Source MAC address, where the link layer has one.
    pub source_mac: Option<[u8; 6]>,
    /// Destination MAC address, where the link layer has one.
    pub destination_mac: Option<[u8; 6]>,
    /// Packet type: told by cooked captures; for Ethernet only broadcast and multicast are
    /// known from the frame alone.
    pub packet_type: Option<PacketType>,
    /// Outermost VLAN id, when tagged.
    pub vlan: Option<u16>,
    /// Ethertype after the tags, or the IPv4/IPv6 one for raw links.
    pub ethertype: u16,
    /// Bytes after the link header, padding included.
    pub network: &'a [u8],
}

impl<'a> LinkFrame<'a> {
    /// Whether `network` starts with an IPv4 or IPv6 header by the link layer's word.
    pub fn is_ip(&self) -> bool {
        matches!(self.ethertype, ethertype::IPV4 | ethertype::IPV6)
    }

    fn bare(ethertype: u16, network: &'a [u8]) -> Self {
        LinkFrame {
            source_mac: None,
            destination_mac: None,
            packet_type: None,
            vlan: None,
            ethertype,
            network,
        }
    }
}

/// Understands the link header of one captured frame; `None` when it is cut short or of a
/// link type that is not read.
pub fn decode(link: LinkType, frame: &[u8]) -> Option<LinkFrame<'_>> {
    match link {
        LinkType::Ethernet => ethernet(frame),
        LinkType::LinuxSll => linux_sll(frame),
        LinkType::LinuxSll2 => linux_sll2(frame),
        LinkType::Raw => Some(LinkFrame::bare(by_version(frame)?, frame)),
        LinkType::Ipv4 => Some(LinkFrame::bare(ethertype::IPV4, frame)),
        LinkType::Ipv6 => Some(LinkFrame::bare(ethertype::IPV6, frame)),
        LinkType::Null | LinkType::Loop => {
            let (family, network) = frame.split_first_chunk::<4>()?;
            let little = u32::from_le_bytes(*family);
            let big = u32::from_be_bytes(*family);
            Some(LinkFrame::bare(
                bsd_family(little).or_else(|| bsd_family(big)).unwrap_or(0),
                network,
            ))
        }
        LinkType::Other(_) => None,
    }
}

fn by_version(bytes: &[u8]) -> Option<u16> {
    match bytes.first()? >> 4 {
        4 => Some(ethertype::IPV4),
        6 => Some(ethertype::IPV6),
        _ => None,
    }
}

/// `AF_INET` is 2 everywhere; `AF_INET6` differs: Linux 10, NetBSD and OpenBSD 24, FreeBSD
/// 28, macOS 30.
fn bsd_family(family: u32) -> Option<u16> {
    match family {
        2 => Some(ethertype::IPV4),
        10 | 24 | 28 | 30 => Some(ethertype::IPV6),
        _ => None,
    }
}

fn ethernet(frame: &[u8]) -> Option<LinkFrame<'_>> {
    let (destination, rest) = frame.split_first_chunk::<6>()?;
    let (source, rest) = rest.split_first_chunk::<6>()?;
    let (kind, network) = rest.split_first_chunk::<2>()?;
    let (kind, network, vlan) = untag(u16::from_be_bytes(*kind), network)?;
    let packet_type = if *destination == [0xff; 6] {
        Some(PacketType::Broadcast)
    } else if destination[0] & 1 == 1 {
        Some(PacketType::Multicast)
    } else {
        None
    };
    let mut decoded = LinkFrame {
        source_mac: Some(*source),
        destination_mac: Some(*destination),
        packet_type,
        vlan,
        ethertype: kind,
        network,
    };
    // A PPPoE session (RFC 2516): version, code, session, length, then a PPP protocol number.
    if kind == ethertype::PPPOE_SESSION
        && let Some(([0x11, 0, _, _, _, _, 0, protocol @ (0x21 | 0x57)], network)) =
            network.split_first_chunk::<8>()
    {
        decoded.ethertype = if *protocol == 0x21 {
            ethertype::IPV4
        } else {
            ethertype::IPV6
        };
        decoded.network = network;
    }
    // Below 0x600 the field is an 802.3 length; SNAP with OUI 0 names an ethertype (RFC 1042).
    if kind < 0x600
        && let Some(([0xaa, 0xaa, 3, 0, 0, 0, high, low], network)) =
            network.split_first_chunk::<8>()
    {
        decoded.ethertype = u16::from_be_bytes([*high, *low]);
        decoded.network = network;
    }
    Some(decoded)
}

/// Takes VLAN tags off: ethertype behind them, what follows, and the outermost VLAN id.
fn untag(mut kind: u16, mut network: &[u8]) -> Option<(u16, &[u8], Option<u16>)> {
    let mut vlan = None;
    for _ in 0..MAX_VLANS {
        if !matches!(
            kind,
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD
        ) {
            break;
        }
        let (tag, rest) = network.split_first_chunk::<4>()?;
        vlan = vlan.or(Some(u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff));
        kind = u16::from_be_bytes([tag[2], tag[3]]);
        network = rest;
    }
    Some((kind, network, vlan))
}

fn sll_packet_type(value: u16) -> Option<PacketType> {
    match value {
        0 => Some(PacketType::Host),
        1 => Some(PacketType::Broadcast),
        2 => Some(PacketType::Multicast),
        3 => Some(PacketType::OtherHost),
        4 => Some(PacketType::Outgoing),
        _ => None,
    }
}

/// The sender's address of a cooked header, when it is a six-byte one.
fn sll_mac(length: u16, address: &[u8]) -> Option<[u8; 6]> {
    (length == 6)
        .then(|| address.first_chunk::<6>().copied())
        .flatten()
}

fn linux_sll(frame: &[u8]) -> Option<LinkFrame<'_>> {
    let (h, network) = frame.split_first_chunk::<16>()?;
    let (kind, network, vlan) = untag(u16::from_be_bytes([h[14], h[15]]), network)?;
    Some(LinkFrame {
        source_mac: sll_mac(u16::from_be_bytes([h[4], h[5]]), &h[6..14]),
        destination_mac: None,
        packet_type: sll_packet_type(u16::from_be_bytes([h[0], h[1]])),
        vlan,
        ethertype: kind,
        network,
    })
}

fn linux_sll2(frame: &[u8]) -> Option<LinkFrame<'_>> {
    let (h, network) = frame.split_first_chunk::<20>()?;
    let (kind, network, vlan) = untag(u16::from_be_bytes([h[0], h[1]]), network)?;
    Some(LinkFrame {
        source_mac: sll_mac(u16::from(h[11]), &h[12..20]),
        destination_mac: None,
        packet_type: sll_packet_type(u16::from(h[10])),
        vlan,
        ethertype: kind,
        network,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every link type, cut at every length: a header or `None`, never a panic.
    #[test]
    fn frames_cut_at_every_length_do_not_panic() {
        let mut frame = vec![0xff; 12];
        frame.extend([0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00, 0x45, 0]);
        for link in [0u16, 1, 12, 101, 108, 113, 228, 229, 276, 147] {
            for end in 0..=frame.len() {
                let _ = decode(link.into(), &frame[..end]);
            }
        }
        let decoded = decode(LinkType::Ethernet, &frame).unwrap();
        assert_eq!(decoded.vlan, Some(5));
        assert_eq!(decoded.packet_type, Some(PacketType::Broadcast));
        assert_eq!(
            (decoded.ethertype, decoded.network),
            (0x0800, &[0x45, 0][..])
        );
    }

    #[test]
    fn bsd_loopback_families_of_all_systems_and_both_byte_orders() {
        for (bytes, expect) in [
            ([2, 0, 0, 0], ethertype::IPV4),
            ([0, 0, 0, 2], ethertype::IPV4),
            ([30, 0, 0, 0], ethertype::IPV6),
            ([0, 0, 0, 24], ethertype::IPV6),
            ([28, 0, 0, 0], ethertype::IPV6),
        ] {
            assert_eq!(decode(LinkType::Null, &bytes).unwrap().ethertype, expect);
        }
    }
}
