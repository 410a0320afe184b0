//! TCPMSS and TCPOPTSTRIP (kernel `xt_TCPMSS.c`, `xt_TCPOPTSTRIP.c`). Checksums follow by the difference.

use std::net::IpAddr;

use palisade_rules::targets::tcpmss::Tcpmss;
use palisade_wire::{Buffer, Family, Packet, tcp::Tcp, tcp::option};

use super::Applied;
use super::rewrite::{TCP_CHECKSUM, cut_short, follow, put, word};
use crate::linear::Verdict;
use crate::matches::Facts;
use crate::observe::Effect;

/// Bytes of the option that announces the maximum segment size.
const MSS_LENGTH: usize = 4;
/// Longest TCP header.
const LONGEST: usize = 60;

/// Length of the option at a place (kernel `optlen`): one byte where it says nothing sensible.
fn length(header: &[u8], at: usize) -> usize {
    match (header.get(at), header.get(at + 1)) {
        (Some(kind), Some(length)) if *kind > option::NOP && *length > 0 => usize::from(*length),
        _ => 1,
    }
}

/// Offset and length of the TCP header, where it has the length it says.
fn header(packet: &Packet<'_>) -> Option<(usize, usize)> {
    let length = Tcp::new(packet.transport())?.data_offset();
    let there = (Tcp::HEADER_LEN..=packet.transport().len()).contains(&length);
    there.then_some((packet.transport_offset(), length))
}

/// Kernel `tcpoptstrip_mangle_packet`.
pub(super) fn strip(kinds: &[u8], buffer: &mut Buffer<'_>) -> Applied {
    let packet = buffer.packet();
    if packet.is_later_fragment() {
        return Applied::Nothing;
    }
    let Some((start, end)) = header(&packet) else {
        return Applied::Ends(cut_short(packet.is_truncated(), "TCPOPTSTRIP"));
    };
    let mut at = Tcp::HEADER_LEN;
    let mut stripped = 0;
    // At most 40 steps: an option has at least one byte.
    while at + 1 < end {
        let tcp = buffer.bytes().get(start..start + end).unwrap_or_default();
        let size = length(tcp, at);
        if at + size > end {
            break;
        }
        if tcp.get(at).is_some_and(|kind| kinds.contains(kind)) {
            let bytes = buffer.edit();
            for place in at..at + size {
                blank(bytes, start, place);
            }
            stripped += 1;
        }
        at += size;
    }
    if stripped == 0 {
        return Applied::Nothing;
    }
    Applied::Effect(Effect::Stripped { options: stripped })
}

/// Writes NOP at a place of the TCP header at `start`.
fn blank(bytes: &mut [u8], start: usize, place: usize) {
    let Some(byte) = bytes.get_mut(start + place) else {
        return;
    };
    let (old, new) = (u16::from(*byte), u16::from(option::NOP));
    *byte = option::NOP;
    let shift = if place.is_multiple_of(2) { 8 } else { 0 };
    follow(bytes, start + TCP_CHECKSUM, old << shift, new << shift);
}

/// Kernel `tcpmss_mangle_packet`: never raises a size, and adds the option where there is none and nothing
/// follows the header.
pub(super) fn mss(rule: Tcpmss, buffer: &mut Buffer<'_>, facts: &Facts<'_>) -> Applied {
    let packet = buffer.packet();
    if packet.is_later_fragment() {
        return Applied::Nothing;
    }
    let Some((start, end)) = header(&packet) else {
        return Applied::Ends(cut_short(packet.is_truncated(), "TCPMSS"));
    };
    let family = packet.family();
    let data = packet.transport_len() > end;
    let wanted = match rule {
        Tcpmss::Set(mss) => mss,
        Tcpmss::Clamp => match room(&packet, facts) {
            Some(mss) => mss,
            None => return Applied::Ends(Verdict::Drop),
        },
    };
    let tcp = packet.transport().get(..end).unwrap_or_default();
    let mut at = Tcp::HEADER_LEN;
    while at + MSS_LENGTH <= end {
        if let Some([option::MSS, 4, high, low]) = tcp.get(at..at + MSS_LENGTH) {
            let old = u16::from_be_bytes([*high, *low]);
            if old <= wanted {
                return Applied::Nothing;
            }
            let bytes = buffer.edit();
            put(bytes, start + at + 2, wanted);
            // Wrong where the option begins at an odd place, as the kernel's is.
            follow(bytes, start + TCP_CHECKSUM, old, wanted);
            return changed(Some(old), wanted);
        }
        at += length(tcp, at);
    }
    if data || end >= LONGEST {
        return Applied::Nothing;
    }
    // What a receiver assumes without the option is the most that may be said.
    let wanted = wanted.min(match family {
        Family::V4 => 536,
        Family::V6 => 1220,
    });
    add_mss(buffer, start, wanted);
    changed(None, wanted)
}

fn changed(from: Option<u16>, to: u16) -> Applied {
    Applied::Effect(Effect::Changed {
        field: "MSS",
        from: from.map(u32::from),
        to: u32::from(to),
    })
}

/// The size that the MTU of the way there and of the way back leave room for (kernel `tcpmss_reverse_mtu`);
/// `None` if they leave none.
fn room(packet: &Packet<'_>, facts: &Facts<'_>) -> Option<u16> {
    let headers = match packet.family() {
        Family::V4 => 20 + Tcp::HEADER_LEN as u32,
        Family::V6 => 40 + Tcp::HEADER_LEN as u32,
    };
    let most = match packet.family() {
        Family::V4 => 65_535,
        Family::V6 => 65_575,
    };
    let towards = |address: IpAddr| {
        let host = facts.host;
        if host.is_local(address) {
            return host.mtu("lo");
        }
        host.interface_towards(address)
            .map_or(u32::MAX, |interface| host.mtu(&interface.name))
    };
    let there = facts.host.mtu(facts.out_interface).min(most);
    let mtu = there.min(towards(packet.source()).min(most));
    let room = mtu.checked_sub(headers).filter(|room| *room > 0)?;
    Some(room as u16)
}

/// Puts the option in front of all others.
fn add_mss(buffer: &mut Buffer<'_>, start: usize, mss: u16) {
    let packet = buffer.packet();
    let (family, length) = (packet.family(), packet.transport_len());
    let mut bytes = packet.bytes().to_vec();
    let at = start + Tcp::HEADER_LEN;
    let [high, low] = mss.to_be_bytes();
    let added = [option::MSS, MSS_LENGTH as u8, high, low];
    bytes.splice(at..at, added);
    let sum = start + TCP_CHECKSUM;
    // In the pseudo-header.
    let longer = (length + MSS_LENGTH) as u16;
    follow(&mut bytes, sum, length as u16, longer);
    follow(&mut bytes, sum, 0, u16::from_be_bytes([added[0], added[1]]));
    follow(&mut bytes, sum, 0, mss);
    let old = word(&bytes, start + 12);
    let new = old.wrapping_add(0x1000);
    put(&mut bytes, start + 12, new);
    follow(&mut bytes, sum, old, new);
    let field = match family {
        Family::V4 => 2,
        Family::V6 => 4,
    };
    let old = word(&bytes, field);
    let new = old.wrapping_add(MSS_LENGTH as u16);
    put(&mut bytes, field, new);
    if family == Family::V4 {
        follow(&mut bytes, 10, old, new);
    }
    buffer.replace_all(bytes);
    // The header was there before and its lengths fit, so it parses again.
    let _ = buffer.reparse();
}
