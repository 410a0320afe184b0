//! Hop-by-hop options, which IPv6 looks at before netfilter does (kernel `ipv6_parse_hopopts`,
//! `ip6_parse_tlv`; RFC 8200 §4.2, §4.3).

use palisade_wire::{Packet, proto};

/// Options other than padding that one header may hold (sysctl `max_hbh_opts_number`).
const MOST_OPTIONS: usize = 8;

/// Bytes of padding in a row: more than seven align nothing.
const MOST_PADDING: usize = 7;

const PAD_1: u8 = 0;
const PAD_N: u8 = 1;
const ROUTER_ALERT: u8 = 5;
const JUMBO: u8 = 0xc2;

/// Whether a packet's hop-by-hop header, if it has one, is one that the kernel takes. A header that the
/// capture cut short is not held against the packet.
pub(crate) fn hop_by_hop_ok(packet: &Packet<'_>) -> bool {
    let bytes = packet.bytes();
    if bytes.get(6) != Some(&proto::HOPOPTS) {
        return true;
    }
    let Some(header) = bytes.get(40..) else {
        return packet.is_truncated();
    };
    let length = header
        .get(1)
        .map_or(8, |words| (usize::from(*words) + 1) * 8);
    let Some(mut rest) = header.get(2..length) else {
        return packet.is_truncated();
    };
    let (mut padding, mut options) = (0, 0);
    let mut at = 42;
    while let Some(&kind) = rest.first() {
        if kind == PAD_1 {
            padding += 1;
            if padding > MOST_PADDING {
                return false;
            }
            rest = &rest[1..];
            at += 1;
            continue;
        }
        let Some(size) = rest.get(1).map(|data| usize::from(*data) + 2) else {
            return false;
        };
        let Some(option) = rest.get(..size) else {
            return false;
        };
        if kind == PAD_N {
            padding += size;
            if padding > MOST_PADDING || option[2..].iter().any(|b| *b != 0) {
                return false;
            }
        } else {
            padding = 0;
            options += 1;
            let right = match kind {
                ROUTER_ALERT => size == 4,
                JUMBO => jumbo_ok(option, at, packet),
                // What is unknown says by its first two bits what becomes of the packet.
                _ => kind >> 6 == 0,
            };
            if !right || options > MOST_OPTIONS {
                return false;
            }
        }
        rest = &rest[size..];
        at += size;
    }
    true
}

/// Kernel `ipv6_hop_jumbo`: more than 65,535 bytes, and the header's own length says 0.
fn jumbo_ok(option: &[u8], at: usize, packet: &Packet<'_>) -> bool {
    let Some(length) = option.get(2..6).and_then(|l| l.first_chunk()) else {
        return false;
    };
    let length = u32::from_be_bytes(*length) as usize;
    option.len() == 6
        && at & 3 == 2
        && length > 65_535
        && packet.declared_len() == 40
        && length <= packet.bytes().len().saturating_sub(40)
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_wire::build;

    #[test]
    fn padding_alerts_and_unknown_options() {
        let rows: &[(&[u8], bool)] = &[
            (&[0, 0, 0, 0, 0, 0], true),
            (&[1, 4, 0, 0, 0, 0], true),
            (&[1, 4, 0, 0, 1, 0], false),
            (&[5, 2, 0, 0, 1, 0], true),
            (&[5, 1, 0, 1, 1, 0], false),
            (&[0x3e, 4, 9, 9, 9, 9], true),
            (&[0x7e, 4, 9, 9, 9, 9], false),
            (&[1, 5, 0, 0, 0, 0], false),
            (&[5, 2, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0], false),
            (&[5, 2, 0, 0, 1, 5, 0, 0, 0, 0, 0, 0x1e, 1, 0], true),
        ];
        let ip = build::Ip::new(
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        );
        for (options, right) in rows {
            let words = (options.len() + 2) / 8 - 1;
            let header = [&[proto::NONE, words as u8], *options].concat();
            let bytes = build::raw(&ip, proto::HOPOPTS, &header);
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(hop_by_hop_ok(&packet), *right, "{options:02x?}");
        }
    }
}
