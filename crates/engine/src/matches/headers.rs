//! Extension headers of IPv6: ah, frag, hbh, dst, rt, ipv6header, srh, eui64 (kernel `ip6t_*.c`).

use palisade_rules::Net;
use palisade_rules::matches::{ah, frag, hbh, ipv6header as names, rt, srh};
use palisade_wire::{Family, Packet, proto};

use super::{Answer, Context};

/// Why a header is not there to be looked at.
enum Missing {
    /// The packet has none.
    None,
    /// The chain of headers is broken before it, or it is cut short itself.
    Broken,
}

impl From<Missing> for Answer {
    /// What most matches make of it.
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::None => Answer::No,
            Missing::Broken => Answer::HotDrop,
        }
    }
}

/// Whether another header follows (kernel `ipv6_ext_hdr`; "no next header" is none).
fn leads_on(kind: u8) -> bool {
    matches!(
        kind,
        proto::HOPOPTS | proto::ROUTING | proto::FRAGMENT | proto::AH | proto::DSTOPTS
    )
}

/// Length of a header in bytes by its second one (kernel `ipv6_authlen`, `ipv6_optlen`).
fn header_length(kind: u8, field: u8) -> usize {
    match kind {
        proto::FRAGMENT => 8,
        proto::AH => (usize::from(field) + 2) * 4,
        _ => (usize::from(field) + 1) * 8,
    }
}

/// The rest of the packet from the first header of a kind on (kernel `ipv6_find_hdr`). Every step moves on by
/// eight bytes or more, so that the packet's length bounds the walk.
fn find<'a>(packet: &Packet<'a>, wanted: u8) -> Result<&'a [u8], Missing> {
    let bytes = packet.bytes();
    let mut kind = *bytes.get(6).ok_or(Missing::Broken)?;
    let mut rest = bytes.get(40..).ok_or(Missing::Broken)?;
    loop {
        if !leads_on(kind) {
            return Err(Missing::None);
        }
        let &[next, field] = rest.first_chunk::<2>().ok_or(Missing::Broken)?;
        if kind == proto::ROUTING && rest.len() < 4 {
            return Err(Missing::Broken);
        }
        if kind == proto::FRAGMENT {
            let &[_, _, a, b] = rest.first_chunk::<4>().ok_or(Missing::Broken)?;
            if u16::from_be_bytes([a, b]) & !7 != 0 && kind != wanted {
                // What follows is the middle of a datagram.
                return Err(Missing::None);
            }
        }
        if kind == wanted {
            return Ok(rest);
        }
        // A header that claims more than there is leads to nothing, which is broken only if it has to be read.
        rest = rest.get(header_length(kind, field)..).unwrap_or_default();
        kind = next;
    }
}

/// The protocol that `-p` compares with (kernel `ip6_packet_match`). `None` where the chain is broken before it,
/// or where a later fragment begins with a header: a rule with `-p` drops such a packet.
pub(crate) fn protocol(packet: &Packet<'_>) -> Option<u8> {
    if packet.family() == Family::V4 || !packet.chain_broken() && !packet.is_later_fragment() {
        return Some(packet.protocol());
    }
    last(packet).map(|(protocol, _)| protocol)
}

/// Whether what stands at the transport header's place is the middle of a datagram: a later fragment, whole or
/// itself in pieces.
#[inline]
pub(super) fn is_later_fragment(packet: &Packet<'_>) -> bool {
    packet.is_later_fragment()
        || packet.chain_broken() && last(packet).is_some_and(|(_, later)| later)
}

/// The protocol behind the headers, and whether it is a later fragment's (kernel `ipv6_find_hdr` without a header
/// to look for).
fn last(packet: &Packet<'_>) -> Option<(u8, bool)> {
    let bytes = packet.bytes();
    let mut kind = *bytes.get(6)?;
    let mut rest = bytes.get(40..)?;
    while leads_on(kind) {
        let &[next, field] = rest.first_chunk::<2>()?;
        if kind == proto::ROUTING && rest.len() < 4 {
            return None;
        }
        if kind == proto::FRAGMENT {
            let &[_, _, a, b] = rest.first_chunk::<4>()?;
            if u16::from_be_bytes([a, b]) & !7 != 0 {
                return Some((next, true)).filter(|_| !leads_on(next));
            }
        }
        rest = rest.get(header_length(kind, field)..).unwrap_or_default();
        kind = next;
    }
    Some((kind, false))
}

/// As [`find`], and the header is there in its whole length, of which the first `N` bytes.
fn whole<'a, const N: usize>(
    packet: &Packet<'a>,
    wanted: u8,
) -> Result<(&'a [u8; N], &'a [u8], usize), Missing> {
    let rest = find(packet, wanted)?;
    let start = rest.first_chunk::<N>().ok_or(Missing::Broken)?;
    let length = header_length(wanted, start[1]);
    if rest.len() < length {
        return Err(Missing::Broken);
    }
    Ok((start, rest, length))
}

/// Kernel `ah_mt6`.
pub(super) fn ah(rule: &ah::Ah6, packet: &Packet<'_>) -> Answer {
    let (&start, _, length) = match whole::<12>(packet, proto::AH) {
        Ok(found) => found,
        Err(missing) => return missing.into(),
    };
    let [_, _, r0, r1, a, b, c, d, ..] = start;
    let spi = u32::from_be_bytes([a, b, c, d]);
    let right = rule.spi.apply(rule.spi.value.contains(spi))
        && (rule.length.value == 0 || rule.length.apply(rule.length.value as usize == length))
        && !(rule.reserved && (r0 | r1) != 0);
    right.into()
}

/// Kernel `frag_mt6`, which never looks at `--fraglen`.
pub(super) fn frag(rule: &frag::Frag, packet: &Packet<'_>) -> Answer {
    let found = find(packet, proto::FRAGMENT)
        .and_then(|rest| rest.first_chunk::<8>().ok_or(Missing::Broken));
    let &[_, reserved, o0, o1, a, b, c, d] = match found {
        Ok(header) => header,
        Err(missing) => return missing.into(),
    };
    let word = u16::from_be_bytes([o0, o1]);
    let more = word & 1 != 0;
    let id = u32::from_be_bytes([a, b, c, d]);
    let right = rule.id.apply(rule.id.value.contains(id))
        && !(rule.reserved && (reserved != 0 || word & 6 != 0))
        && !(rule.first && word & !7 != 0)
        && (!rule.more || more)
        && !(rule.last && more);
    right.into()
}

/// Kernel `hbh_mt6`, for both kinds of header.
pub(super) fn options(rule: &hbh::Options, kind: u8, packet: &Packet<'_>) -> Answer {
    let (_, rest, length) = match whole::<2>(packet, kind) {
        Ok(found) => found,
        Err(missing) => return missing.into(),
    };
    let right = rule
        .length
        .as_ref()
        .is_none_or(|not| not.apply(not.value as usize == length));
    let begins = rule
        .options
        .as_ref()
        .is_none_or(|wanted| begins_with(&rest[2..length], wanted));
    (right && begins).into()
}

/// Whether the options come first and in this order. The last one's data may be cut off.
fn begins_with(mut options: &[u8], wanted: &[hbh::HeaderOption]) -> bool {
    for (at, wanted_option) in wanted.iter().enumerate() {
        if options.first() != Some(&wanted_option.kind) {
            return false;
        }
        let size = if wanted_option.kind == 0 {
            1
        } else {
            let Some(&length) = options.get(1) else {
                return false;
            };
            if wanted_option.length.is_some_and(|l| l != length) {
                return false;
            }
            usize::from(length) + 2
        };
        match options.get(size..) {
            Some(rest) => options = rest,
            None => return at + 1 == wanted.len(),
        }
    }
    true
}

/// Kernel `rt_mt6`.
pub(super) fn rt(rule: &rt::Rt, packet: &Packet<'_>) -> Answer {
    let (&[_, _, kind, left], rest, length) = match whole::<4>(packet, proto::ROUTING) {
        Ok(found) => found,
        Err(missing) => return missing.into(),
    };
    let fits = |not: &Option<palisade_rules::Not<u32>>, is: u32| {
        not.as_ref().is_none_or(|not| not.apply(not.value == is))
    };
    if !rule.left.apply(rule.left.value.contains(u32::from(left)))
        || !fits(&rule.length, length as u32)
        || !fits(&rule.kind, u32::from(kind))
    {
        return Answer::No;
    }
    // The length is a multiple of eight, so that four bytes of type 0 are there.
    if rule.reserved && rest.get(4..8).is_none_or(|r| r.iter().any(|b| *b != 0)) {
        return Answer::No;
    }
    let Some(wanted) = &rule.addresses else {
        return Answer::Yes;
    };
    let listed = rest[8..length].chunks_exact(16);
    if rule.not_strict {
        let mut waiting = wanted.iter();
        let mut next = waiting.next();
        for address in listed {
            if next.is_some_and(|n| n.octets() == address) {
                next = waiting.next();
            }
        }
        next.is_none().into()
    } else {
        let right = listed.len() == wanted.len()
            && listed.zip(wanted).all(|(is, wanted)| wanted.octets() == is);
        right.into()
    }
}

/// Kernel `ipv6header_mt6`. Unlike the others it walks on behind the Fragment header of a later fragment, and
/// takes what is there for a header.
pub(super) fn ipv6header(rule: &names::Ipv6header, packet: &Packet<'_>) -> Answer {
    let bytes = packet.bytes();
    let Some(&first) = bytes.get(6) else {
        return Answer::HotDrop;
    };
    let (mut kind, mut at, mut found) = (first, 40, 0u8);
    loop {
        let bit = match kind {
            proto::HOPOPTS => names::HOP,
            proto::DSTOPTS => names::DESTINATION,
            proto::ROUTING => names::ROUTING,
            proto::FRAGMENT => names::FRAGMENT,
            proto::AH => names::AUTHENTICATION,
            proto::ESP => names::ENCRYPTED,
            proto::NONE => names::NONE,
            _ => names::PROTOCOL,
        };
        if matches!(bit, names::NONE | names::PROTOCOL) {
            found |= bit;
            break;
        }
        let header = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
        let Some(&[next, field]) = header else {
            return Answer::No;
        };
        found |= bit;
        if bit == names::ENCRYPTED {
            break;
        }
        at += header_length(kind, field);
        kind = next;
        if at > bytes.len() {
            if kind != proto::NONE && kind != proto::ESP {
                found |= names::PROTOCOL;
            }
            break;
        }
    }
    let wanted = rule.headers.value;
    let right = match (rule.soft, rule.headers.negated) {
        (true, false) => found & wanted == wanted,
        (true, true) => found & wanted == 0,
        (false, negated) => (found == wanted) != negated,
    };
    right.into()
}

/// Kernel `srh1_mt6`: what is broken is not matched, and not dropped.
pub(super) fn srh(rule: &srh::Srh, packet: &Packet<'_>) -> bool {
    let Ok((header, rest, _)) = whole::<8>(packet, proto::ROUTING) else {
        return false;
    };
    let &[next, length, kind, left, last, _, t0, t1] = header;
    if kind != SEGMENT_ROUTING || left > last {
        return false;
    }
    let segment = |at: usize, not: &palisade_rules::Not<Net>| {
        let start = 8 + at * 16;
        rest.get(start..start + 16)
            .is_some_and(|bytes| not.apply(masked_equal(&not.value, bytes)))
    };
    let (before, after) = (usize::from(left) + 1, usize::from(left).checked_sub(1));
    rule.next.as_ref().is_none_or(|n| n.apply(n.value == next))
        && rule.length.fits(length)
        && rule.left.fits(left)
        && rule.last.fits(last)
        // Bytes of the network's order against a number of the machine's, which is a little-endian one.
        && (rule.tag.as_ref())
            .is_none_or(|not| not.apply(not.value == u16::from_le_bytes([t0, t1])))
        && (rule.previous_segment.as_ref())
            .is_none_or(|not| left != last && segment(before, not))
        && (rule.next_segment.as_ref())
            .is_none_or(|not| after.is_some_and(|after| segment(after, not)))
        && (rule.last_segment.as_ref()).is_none_or(|not| segment(0, not))
}

/// Type of a routing header with segments (kernel `IPV6_SRCRT_TYPE_4`).
const SEGMENT_ROUTING: u8 = 4;

/// Kernel `ipv6_masked_addr_cmp`.
fn masked_equal(net: &Net, bytes: &[u8]) -> bool {
    let (std::net::IpAddr::V6(address), std::net::IpAddr::V6(mask)) = (net.address, net.mask)
    else {
        return false;
    };
    let mut pairs = bytes.iter().zip(address.octets()).zip(mask.octets());
    pairs.all(|((is, wanted), mask)| (is ^ wanted) & mask == 0)
}

/// Kernel `eui64_mt6`. A frame that did not come by Ethernet has no MAC to compare with, and never matches.
pub(super) fn eui64(context: &Context<'_>) -> bool {
    let Some([a, b, c, d, e, f]) = context.link.source_mac else {
        return false;
    };
    let made = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    context.packet.bytes().get(16..24) == Some(&made[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_rules::matches::hbh::HeaderOption;

    #[test]
    fn options_are_compared_from_the_first_and_the_last_may_be_cut_off() {
        type Wanted = (u8, Option<u8>);
        let rows: &[(&[u8], &[Wanted], bool)] = &[
            (&[5, 2, 0, 0, 1, 0], &[(5, None)], true),
            (&[5, 2, 0, 0, 1, 0], &[(5, Some(2)), (1, Some(0))], true),
            (&[5, 2, 0, 0, 1, 0], &[(5, Some(3))], false),
            (&[5, 2, 0, 0, 1, 0], &[(1, None)], false),
            (
                &[0, 0, 5, 2, 0, 0],
                &[(0, None), (0, None), (5, None)],
                true,
            ),
            (&[5, 200, 0, 0, 1, 0], &[(5, None)], true),
            (&[5, 200, 0, 0, 1, 0], &[(5, None), (1, None)], false),
            (&[0, 0, 0, 0, 0, 5], &[(0, None), (5, None)], false),
            (
                &[0, 0, 0, 0, 0, 5],
                &[
                    (0, None),
                    (0, None),
                    (0, None),
                    (0, None),
                    (0, None),
                    (5, None),
                ],
                false,
            ),
        ];
        for (bytes, wanted, answer) in rows {
            let wanted: Vec<HeaderOption> = wanted
                .iter()
                .map(|(kind, length)| HeaderOption {
                    kind: *kind,
                    length: *length,
                })
                .collect();
            assert_eq!(begins_with(bytes, &wanted), *answer, "{bytes:?} {wanted:?}");
        }
    }
}
