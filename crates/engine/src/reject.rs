//! The answers of REJECT (kernel `nf_reject_ipv4.c`, `nf_reject_ipv6.c`, `icmp_send`, `icmp6_send`).

use std::net::IpAddr;

use palisade_rules::{Hook, targets::reject::Reject};
use palisade_wire::{
    Family, Packet, Timestamp, build, checksum, icmp::Icmp, link::PacketType, proto, tcp::Tcp,
    tcp::flags, udp::Udp,
};

use crate::host::{AddressKind, Host};
use crate::options::{self, Options};

/// TTL and hop limit of packets made here (sysctl `ip_default_ttl`, `hop_limit`).
const TTL: u8 = 64;

/// An IPv4 error quotes at most what fits into 576 bytes (RFC 1812 §4.3.2.3).
const QUOTE_V4: usize = 576 - 20 - 8;

/// An IPv6 error quotes at most what fits into the minimum MTU (RFC 4443 §2.4 (c)).
const QUOTE_V6: usize = 1280 - 40 - 8;

/// What is known of a packet that is rejected, besides its bytes.
pub(crate) struct Circumstances<'a> {
    pub(crate) host: &'a Host,
    pub(crate) now: Timestamp,
    pub(crate) hook: Hook,
    /// The kind of frame that it came in.
    pub(crate) frame: Option<PacketType>,
    pub(crate) in_interface: Option<&'a str>,
    /// What the IP layer remembers of its options.
    pub(crate) options: Options,
    pub(crate) sum: Sum,
}

/// What is known of a packet's transport checksum (kernel `ip_summed`, `csum_valid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// Nothing.
    Unknown,
    /// Connection tracking did not find it wrong when the packet came.
    Seen,
    /// It is still to be filled in.
    Unfinished,
}

/// The answer, or why there is none.
pub(crate) fn answer(
    with: Reject,
    packet: &Packet<'_>,
    of: &Circumstances<'_>,
) -> Result<Vec<u8>, &'static str> {
    let host = of.host;
    // Only resets ask no more than the addresses.
    let to_all = matches!(
        of.frame,
        Some(PacketType::Broadcast | PacketType::Multicast | PacketType::Loopback)
    );
    let loopback = if host.is_local(packet.destination()) {
        packet.destination().is_loopback()
    } else {
        false
    };
    if loopback && !host.is_local(packet.source()) {
        return Err("an answer from a loopback address cannot leave");
    }
    match with {
        Reject::TcpReset => reset(packet, of),
        _ if to_all => Err("it came in a frame to all or to a group"),
        Reject::Icmp(code) => unreachable_v4(packet, code, of),
        Reject::Icmp6(code) => unreachable_v6(packet, code, of),
    }
}

fn group(kind: AddressKind) -> bool {
    matches!(kind, AddressKind::Broadcast | AddressKind::Multicast)
}

/// Kernel `nf_send_reset`, `nf_send_reset6`.
fn reset(packet: &Packet<'_>, of: &Circumstances<'_>) -> Result<Vec<u8>, &'static str> {
    if packet.is_later_fragment() {
        return Err("a later fragment");
    }
    if packet.protocol() != proto::TCP {
        return Err("not TCP");
    }
    let Some(tcp) = Tcp::new(packet.transport()) else {
        return Err("TCP header cut short");
    };
    if tcp.has(flags::RST) {
        return Err("a reset is not answered with a reset");
    }
    // Forwarding forgets what was found when the packet came (`skb_forward_csum`).
    let sum = match of.sum {
        Sum::Seen if of.hook != Hook::Input => Sum::Unknown,
        sum => sum,
    };
    if bad_checksum(packet, sum) {
        return Err("wrong checksum");
    }
    if group(of.host.kind(packet.destination())) || packet.source().is_multicast() {
        return Err("broadcast or multicast");
    }
    let mut ip = build::Ip::new(packet.destination(), packet.source());
    ip.ttl = TTL;
    ip.dont_fragment = packet.family() == Family::V4;
    let mut header = build::Tcp {
        source_port: tcp.destination_port(),
        destination_port: tcp.source_port(),
        flags: flags::RST,
        ..build::Tcp::default()
    };
    if tcp.has(flags::ACK) {
        header.seq = tcp.ack().0;
    } else {
        let data = packet.transport_len().saturating_sub(tcp.data_offset()) as u32;
        let counted = data + u32::from(tcp.has(flags::SYN)) + u32::from(tcp.has(flags::FIN));
        header.ack = (tcp.seq() + counted).0;
        header.flags |= flags::ACK;
    }
    Ok(build::tcp(&ip, &header, b""))
}

/// Whether the checksum is wrong by the kernel's reckoning before it answers (`nf_reject_verify_csum`,
/// `nf_ip_checksum`): of a protocol it does not know it sums up the payload all the same, so that
/// such packets are hardly ever answered. What connection tracking found right when the packet came stays so
/// even where a prefix translation has made it wrong since.
///
/// IPv4's own header is summed up too; being right it adds all ones, which tells a payload of zeros from nothing. It
/// is not right where options were written to and the packet is not on its way out yet.
fn bad_checksum(packet: &Packet<'_>, sum: Sum) -> bool {
    let known = match sum {
        Sum::Unknown => false,
        Sum::Seen => looked_at(packet),
        Sum::Unfinished => true,
    };
    if known || packet.is_truncated() || packet.is_later_fragment() {
        return false;
    }
    let transport = packet.transport();
    let protocol = packet.protocol();
    let pseudo = match protocol {
        proto::UDP if transport.get(6..8) == Some(&[0, 0]) => return false,
        proto::GRE | proto::AH | proto::ESP | proto::SCTP | proto::UDPLITE => return false,
        _ if packet.family() == Family::V6 => return !packet.transport_checksum_ok(protocol),
        proto::TCP | proto::UDP => {
            let (source, destination) = (packet.source(), packet.destination());
            checksum::pseudo_header(source, destination, protocol, transport.len())
        }
        _ => 0,
    };
    let sum = checksum::add(pseudo, transport);
    let header = packet.bytes().get(..packet.header_len());
    checksum::finish(checksum::add(sum, header.unwrap_or_default())) != 0
}

/// Whether a tracker gets as far as the checksum (kernel `tcp_error`, `udp_error`, `nf_conntrack_icmpv4_error`,
/// `nf_conntrack_icmpv6_error`).
fn looked_at(packet: &Packet<'_>) -> bool {
    let transport = packet.transport();
    match packet.protocol() {
        proto::TCP => Tcp::new(transport).is_some_and(|tcp| {
            (Tcp::HEADER_LEN..=packet.transport_len()).contains(&tcp.data_offset())
        }),
        proto::UDP => Udp::new(transport).is_some_and(|udp| {
            (Udp::HEADER_LEN..=packet.transport_len()).contains(&usize::from(udp.length()))
        }),
        proto::ICMP | proto::ICMPV6 => Icmp::new(transport).is_some(),
        _ => false,
    }
}

/// Source of an error: the address that the packet was sent to if it is ours, else our address
/// towards the sender.
fn error_source(packet: &Packet<'_>, host: &Host) -> IpAddr {
    let destination = packet.destination();
    if host.is_local(destination) {
        return destination;
    }
    host.source_towards(packet.source()).unwrap_or(destination)
}

fn unreachable_v4(
    packet: &Packet<'_>,
    code: u8,
    of: &Circumstances<'_>,
) -> Result<Vec<u8>, &'static str> {
    let host = of.host;
    if packet.is_later_fragment() {
        return Err("a later fragment");
    }
    if bad_checksum(packet, of.sum) {
        return Err("wrong checksum");
    }
    if group(host.kind(packet.destination())) {
        return Err("broadcast or multicast");
    }
    if packet.protocol() == proto::ICMP
        && Icmp::new(packet.transport()).is_none_or(|icmp| !matches!(icmp.kind(), 0 | 8 | 13..=18))
    {
        return Err("an ICMP error is not answered with an error");
    }
    // A network's broadcast address is answered like any other.
    let source = packet.source();
    if source.is_multicast()
        || source.is_unspecified()
        || source.is_loopback() && !host.is_local(packet.destination())
    {
        return Err("the sender cannot be answered");
    }
    let mut ip = build::Ip::new(error_source(packet, host), source);
    ip.ttl = TTL;
    ip.tos = (packet.tos() & 0x1e) | 0xc0;
    ip.options = options::echo(packet, of.options, (ip.source, host, of.now))?;
    let room = QUOTE_V4 - ip.options.len();
    let quoted = &packet.bytes()[..packet.bytes().len().min(room)];
    Ok(build::icmp(&ip, 3, code, [0; 4], quoted))
}

fn unreachable_v6(
    packet: &Packet<'_>,
    code: u8,
    of: &Circumstances<'_>,
) -> Result<Vec<u8>, &'static str> {
    let host = of.host;
    if packet.is_later_fragment() {
        return Err("a later fragment");
    }
    if packet.transport().is_empty() {
        return Err("nothing behind the header");
    }
    if bad_checksum(packet, of.sum) {
        return Err("wrong checksum");
    }
    if packet.destination().is_multicast() {
        return Err("multicast");
    }
    let source = packet.source();
    if source.is_multicast() || source.is_unspecified() {
        return Err("the sender cannot be answered");
    }
    if packet.protocol() == proto::ICMPV6
        && Icmp::new(packet.transport()).is_none_or(|icmp| icmp.kind() < 128)
    {
        return Err("an ICMPv6 error is not answered with an error");
    }
    // IPv6 prefers an address of the interface that the packet came by (kernel `icmp6_send`).
    let own = of
        .in_interface
        .filter(|_| !host.is_local(packet.destination()))
        .and_then(|name| host.redirect_address(name, source))
        .unwrap_or_else(|| error_source(packet, host));
    let mut ip = build::Ip::new(own, source);
    ip.ttl = TTL;
    let quoted = &packet.bytes()[..packet.bytes().len().min(QUOTE_V6)];
    Ok(build::icmp(&ip, 1, code, [0; 4], quoted))
}
