//! TTL, HL, TOS, DSCP, ECN, CHECKSUM: fields of the headers (kernel `xt_HL.c`, `xt_DSCP.c`, `ipt_ECN.c`,
//! `xt_CHECKSUM.c`). Checksums follow as the kernel's do, by the difference: one that was wrong stays wrong.

use palisade_rules::targets::{ecn::Ecn, ttl::Change};
use palisade_wire::{Buffer, Family, checksum, proto, tcp::Tcp};

use super::Applied;
use crate::linear::Verdict;
use crate::observe::Effect;

/// Offset of the checksum in a TCP header, in a UDP header, in an IPv4 header.
pub(super) const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;
const V4_CHECKSUM: usize = 10;

/// Offset of the word with TCP's data offset and flags.
const TCP_FLAGS: usize = 12;

/// Lower two bits of the type of service.
const ECT: u8 = 3;

/// A word, 0 where there is none.
pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    let word = bytes.get(at..).and_then(|b| b.first_chunk());
    word.map_or(0, |w| u16::from_be_bytes(*w))
}

/// Writes a word; nothing where there is no room.
pub(super) fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Kernel `csum_replace2` on the checksum at a place.
pub(super) fn follow(bytes: &mut [u8], checksum_at: usize, old: u16, new: u16) {
    let sum = checksum::update(word(bytes, checksum_at), old, new);
    put(bytes, checksum_at, sum);
}

/// The effect, where something changed.
fn told(field: &'static str, from: u8, to: u8) -> Applied {
    if from == to {
        return Applied::Nothing;
    }
    Applied::Effect(Effect::Changed {
        field,
        from: Some(u32::from(from)),
        to: u32::from(to),
    })
}

/// Kernel `ttl_tg`, `hl_tg6`.
pub(super) fn ttl(change: Change, buffer: &mut Buffer<'_>) -> Applied {
    let old = buffer.packet().ttl();
    let new = change.apply(old);
    if new != old {
        buffer.set_ttl(new);
    }
    let field = match buffer.packet().family() {
        Family::V4 => "TTL",
        Family::V6 => "hop limit",
    };
    told(field, old, new)
}

/// Kernel `tos_tg`, `tos_tg6`.
pub(super) fn tos(value: u8, mask: u8, buffer: &mut Buffer<'_>) -> Applied {
    let old = buffer.packet().tos();
    let new = old & !mask ^ value;
    if new != old {
        set_tos(buffer, new);
    }
    told("TOS", old, new)
}

/// Kernel `dscp_tg`, `dscp_tg6`: the bits of congestion stay.
pub(super) fn dscp(point: u8, buffer: &mut Buffer<'_>) -> Applied {
    let old = buffer.packet().tos();
    if old >> 2 != point {
        set_tos(buffer, old & ECT | point << 2);
    }
    told("DSCP", old >> 2, point)
}

/// Kernel `ipv4_change_dsfield`, `ipv6_change_dsfield`.
fn set_tos(buffer: &mut Buffer<'_>, new: u8) {
    let family = buffer.packet().family();
    let bytes = buffer.edit();
    let first = word(bytes, 0);
    match family {
        Family::V4 => {
            let changed = first & 0xff00 | u16::from(new);
            put(bytes, 0, changed);
            follow(bytes, V4_CHECKSUM, first, changed);
        }
        Family::V6 => put(bytes, 0, first & 0xf00f | u16::from(new) << 4),
    }
}

/// Kernel `ecn_tg`. It takes the beginning of a later fragment for a TCP header too.
pub(super) fn ecn(rule: Ecn, buffer: &mut Buffer<'_>) -> Applied {
    let packet = buffer.packet();
    let old = packet.tos();
    let new = rule.ip.map_or(old, |ip| old & !ECT | ip);
    let mut applied = told("ECN of IP", old & ECT, new & ECT);
    if new != old {
        set_tos(buffer, new);
    }
    if rule.ece.is_none() && rule.cwr.is_none() {
        return applied;
    }
    let packet = buffer.packet();
    if packet.protocol() != proto::TCP {
        return applied;
    }
    let transport = packet.transport_offset();
    if packet.transport().len() < Tcp::HEADER_LEN {
        return Applied::Ends(cut_short(packet.is_truncated(), "ECN"));
    }
    let at = transport + TCP_FLAGS;
    let before = word(packet.bytes(), at);
    let mut after = before;
    for (bit, set) in [(0x0040, rule.ece), (0x0080, rule.cwr)] {
        match set {
            Some(true) => after |= bit,
            Some(false) => after &= !bit,
            None => {}
        }
    }
    if after != before {
        let bytes = buffer.edit();
        put(bytes, at, after);
        follow(bytes, transport + TCP_CHECKSUM, before, after);
        applied = told("flags of TCP", before as u8, after as u8);
    }
    applied
}

/// What becomes of a packet whose header is not there: the kernel drops it. If only the capture lacks it, nobody
/// knows.
pub(super) fn cut_short(truncated: bool, name: &str) -> Verdict {
    if truncated {
        Verdict::Unknown(format!(
            "target {name} (the capture does not hold the header)"
        ))
    } else {
        Verdict::Drop
    }
}

/// Kernel `checksum_tg`: of TCP and UDP that is made here the checksum may be left to the network card; the field
/// holds the sum of the pseudo-header then.
pub(super) fn fill_checksum(buffer: &mut Buffer<'_>, made_here: bool) -> Applied {
    let packet = buffer.packet();
    let field = match packet.protocol() {
        proto::TCP => TCP_CHECKSUM,
        proto::UDP => UDP_CHECKSUM,
        _ => return Applied::Nothing,
    };
    let transport = packet.transport();
    if !made_here
        || packet.fragment().is_some()
        || packet.is_truncated()
        || transport.len() < field + 2
    {
        return Applied::Nothing;
    }
    let (source, destination) = (packet.source(), packet.destination());
    let protocol = packet.protocol();
    let pseudo = checksum::pseudo_header(source, destination, protocol, transport.len());
    let old = word(transport, field);
    if old != !checksum::finish(pseudo) {
        return Applied::Nothing;
    }
    // The field itself stands for the pseudo-header.
    let sum = match checksum::of(transport) {
        0 => 0xffff,
        sum => sum,
    };
    let at = packet.transport_offset() + field;
    put(buffer.edit(), at, sum);
    Applied::Effect(Effect::Changed {
        field: "checksum",
        from: Some(u32::from(old)),
        to: u32::from(sum),
    })
}

#[cfg(test)]
mod tests {
    use palisade_wire::{Packet, build};

    use super::*;

    #[test]
    fn a_checksum_left_to_the_card_is_computed_and_any_other_is_let_alone() {
        let ends = [
            build::Ip::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into()),
            build::Ip::new(
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
            ),
        ];
        for ip in &ends {
            let tcp = build::tcp(ip, &build::Tcp::default(), b"data");
            let udp = build::udp(ip, 1, 2, b"data");
            for (right, field) in [(tcp, TCP_CHECKSUM), (udp, UDP_CHECKSUM)] {
                let packet = Packet::parse(&right).unwrap();
                let at = packet.transport_offset() + field;
                let (source, destination) = (packet.source(), packet.destination());
                let length = packet.transport().len();
                let pseudo =
                    checksum::pseudo_header(source, destination, packet.protocol(), length);
                let mut left = right.clone();
                put(&mut left, at, !checksum::finish(pseudo));
                let mut wrong = right.clone();
                put(&mut wrong, at, 0x1234);
                // Bytes, whether they were made here, and what comes of them.
                for (bytes, made_here, wanted) in [
                    (&left, true, &right),
                    (&left, false, &left),
                    (&wrong, true, &wrong),
                    (&right, true, &right),
                ] {
                    let mut buffer = Buffer::new(Packet::parse(bytes).unwrap(), Vec::new());
                    fill_checksum(&mut buffer, made_here);
                    assert_eq!(buffer.bytes(), wanted, "{made_here}");
                }
            }
        }
    }
}
