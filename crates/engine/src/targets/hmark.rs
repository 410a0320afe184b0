//! HMARK: a mark from a hash (kernel `xt_HMARK.c`).

use std::net::IpAddr;

use palisade_conntrack::jhash;
use palisade_rules::targets::hmark::Hmark;
use palisade_wire::{Family, Packet, proto};

use crate::matches::{Shared, ports_offset};
use crate::observe::Effect;

/// What is hashed (kernel `struct hmark_tuple`).
#[derive(Default)]
struct Hashed {
    source: u32,
    destination: u32,
    ports: u32,
    protocol: u8,
}

/// Kernel `hmark_tg_v4`, `hmark_tg_v6`: nothing happens without a connection that is to be hashed, or with an ICMP error
/// that quotes too little.
pub(super) fn hmark(rule: &Hmark, packet: &Packet<'_>, shared: &mut Shared<'_>) -> Option<Effect> {
    let hashed = if rule.connection {
        of_connection(rule, shared)?
    } else {
        match packet.family() {
            Family::V4 => of_ipv4(rule, packet.bytes())?,
            Family::V6 => of_ipv6(rule, packet.bytes())?,
        }
    };
    let from = shared.mark;
    let (a, b) = (hashed.source, hashed.destination);
    let hash = jhash::words(&[a.min(b), a.max(b), hashed.ports], rule.seed);
    let hash = hash ^ u32::from(u16::from(hashed.protocol) & rule.protocol_mask.unwrap_or(0));
    shared.mark = jhash::scale(hash, rule.modulus).wrapping_add(rule.offset.unwrap_or(0));
    Some(Effect::Mark {
        from,
        to: shared.mark,
    })
}

/// What of an address counts, IPv6's folded into one word (kernel `hmark_addr_mask`).
fn fold(address: IpAddr, prefix: Option<u8>) -> u32 {
    match address {
        IpAddr::V4(a) => match Hmark::mask(prefix, Family::V4) {
            IpAddr::V4(mask) => u32::from(a) & u32::from(mask),
            IpAddr::V6(_) => 0,
        },
        IpAddr::V6(a) => match Hmark::mask(prefix, Family::V6) {
            IpAddr::V6(mask) => {
                let masked = u128::from(a) & u128::from(mask);
                (masked >> 96) as u32
                    ^ (masked >> 64) as u32
                    ^ (masked >> 32) as u32
                    ^ masked as u32
            }
            IpAddr::V4(_) => 0,
        },
    }
}

/// Kernel `hmark_swap_ports`: the greater half comes first, so that both directions hash alike.
fn ports(rule: &Hmark, word: u32) -> u32 {
    let word = word & rule.port_mask.word() | rule.port_set.word();
    let (source, destination) = (word >> 16, word & 0xffff);
    source.max(destination) << 16 | source.min(destination)
}

/// Kernel `hmark_ct_set_htuple`.
fn of_connection(rule: &Hmark, shared: &Shared<'_>) -> Option<Hashed> {
    let id = shared.track?.connection?;
    let [original, reply] = shared.conntrack.connection(id)?.tuples();
    let mut hashed = Hashed {
        source: fold(original.source, rule.source),
        destination: fold(reply.source, rule.destination),
        protocol: original.protocol,
        ports: 0,
    };
    if hashed.protocol != proto::ICMP {
        let word = u32::from(original.source_word()) << 16 | u32::from(reply.source_word());
        hashed.ports = ports(rule, word);
    }
    Some(hashed)
}

/// Kernel `hmark_set_tuple_ports`: what is cut off is left out.
fn set_ports(rule: &Hmark, hashed: &mut Hashed, bytes: &[u8], header: usize) {
    let word = ports_offset(hashed.protocol)
        .and_then(|offset| bytes.get(header + offset..)?.first_chunk::<4>());
    if let Some(word) = word {
        hashed.ports = ports(rule, u32::from_be_bytes(*word));
    }
}

/// Kernel `hmark_pkt_set_htuple_ipv4`: an ICMP error counts as the packet that it quotes.
fn of_ipv4(rule: &Hmark, bytes: &[u8]) -> Option<Hashed> {
    let header = |at: usize| bytes.get(at..)?.first_chunk::<20>();
    let length = |header: &[u8; 20]| usize::from(header[0] & 15) * 4;
    let (mut at, mut ip) = (0, header(0)?);
    if ip[9] == proto::ICMP {
        let icmp = length(ip);
        let error = bytes
            .get(icmp..icmp + 8)
            .is_some_and(|icmp| matches!(icmp.first(), Some(3..=5 | 11 | 12)));
        if error {
            at = icmp + 8;
            ip = header(at)?;
        }
    }
    let address = |from: usize| {
        let octets = ip.get(from..from + 4)?.first_chunk::<4>()?;
        Some(IpAddr::from(*octets))
    };
    let mut hashed = Hashed {
        source: fold(address(12)?, rule.source),
        destination: fold(address(16)?, rule.destination),
        protocol: ip[9],
        ports: 0,
    };
    let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
    if hashed.protocol != proto::ICMP && !fragment {
        set_ports(rule, &mut hashed, bytes, at + length(ip));
    }
    Some(hashed)
}

/// The last header of an IPv6 packet.
struct Last {
    protocol: u8,
    at: usize,
    fragment: bool,
}

/// Kernel `ipv6_find_hdr` that looks for no header in particular and stops at AH. Each header takes eight bytes at
/// least.
fn last_header(bytes: &[u8], start: usize) -> Option<Last> {
    let fixed = bytes.get(start..start + 40)?;
    if fixed.first()? >> 4 != 6 {
        return None;
    }
    let mut next = *fixed.get(6)?;
    let mut at = start + 40;
    let mut fragment = false;
    let extension = |next: u8| {
        matches!(
            next,
            proto::HOPOPTS | proto::ROUTING | proto::DSTOPTS | proto::FRAGMENT | proto::AH
        )
    };
    while extension(next) && next != proto::AH {
        let header = bytes.get(at..at + 2)?;
        let mut length = 8 * (1 + usize::from(*header.get(1)?));
        if next == proto::FRAGMENT {
            fragment = true;
            let offset = bytes.get(at + 2..at + 4)?;
            if offset != [0, offset[1] & 7] {
                let inside = *header.first()?;
                return (!extension(inside)).then_some(Last {
                    protocol: inside,
                    at: start,
                    fragment,
                });
            }
            length = 8;
        }
        next = *header.first()?;
        at += length;
    }
    if next == proto::AH {
        bytes.get(at..at + 2)?;
    }
    Some(Last {
        protocol: next,
        at,
        fragment,
    })
}

/// Kernel `hmark_pkt_set_htuple_ipv6`: a packet whose headers do not come to an end is hashed as nothing at all.
fn of_ipv6(rule: &Hmark, bytes: &[u8]) -> Option<Hashed> {
    let Some(mut last) = last_header(bytes, 0) else {
        return Some(Hashed::default());
    };
    let mut ip = 0;
    if !last.fragment && last.protocol == proto::ICMPV6 {
        let error = bytes
            .get(last.at..last.at + 8)
            .is_some_and(|icmp| matches!(icmp.first(), Some(1..=127)));
        if error {
            ip = last.at + 8;
            last = last_header(bytes, ip)?;
        }
    }
    let address = |from: usize| {
        let octets = bytes.get(ip + from..)?.first_chunk::<16>()?;
        Some(IpAddr::from(*octets))
    };
    let mut hashed = Hashed {
        source: fold(address(8)?, rule.source),
        destination: fold(address(24)?, rule.destination),
        protocol: last.protocol,
        ports: 0,
    };
    if hashed.protocol != proto::ICMPV6 && !last.fragment {
        set_ports(rule, &mut hashed, bytes, last.at);
    }
    Some(hashed)
}
