//! IPv4 options, which the IP layer reads behind PREROUTING (kernel `ip_options_compile`, `ip_rcv_options`).

use std::net::IpAddr;

use palisade_wire::{Buffer, Family, build};

const END: u8 = 0;
const NOTHING: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const STRICT_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;

/// Reads a packet's options, clears what stands behind their end and writes `own` into a recorded route, as
/// the kernel does. `false`: they are malformed, or prescribe the route, which no host takes unless told
/// to (sysctl `accept_source_route`); the packet is to be dropped.
pub(crate) fn finish(buffer: &mut Buffer<'_>, own: Option<IpAddr>, forwarded: bool) -> bool {
    let packet = buffer.packet();
    if packet.family() != Family::V4 || packet.header_len() <= 20 {
        return true;
    }
    let header = packet.header_len();
    let options = packet.bytes().get(20..header).unwrap_or_default();
    let Some(found) = read(options) else {
        return false;
    };
    let behind = 20 + found.end..header;
    let dirty = packet
        .bytes()
        .get(behind.clone())
        .unwrap_or_default()
        .iter()
        .any(|b| *b != 0);
    if !dirty && found.route.is_none() && found.overflow.is_none() {
        return true;
    }
    let bytes = buffer.edit();
    if let Some(behind) = bytes.get_mut(behind) {
        behind.fill(0);
    }
    // The pointer counts from 1, at the option's first byte.
    if let (Some(route), Some(IpAddr::V4(own))) = (found.route, own) {
        let option = 20 + route;
        let pointer = usize::from(bytes.get(option + 2).copied().unwrap_or(0));
        let place = (option + pointer).saturating_sub(1);
        if let Some(field) = bytes.get_mut(place..place + 4) {
            field.copy_from_slice(&own.octets());
        }
        if let Some(pointer) = bytes.get_mut(option + 2) {
            *pointer = pointer.wrapping_add(4);
        }
    }
    // Timestamps that found no room are counted, in the upper half of the byte.
    if let Some(count) = found.overflow.and_then(|at| bytes.get_mut(20 + at + 3)) {
        *count = count.wrapping_add(0x10);
    }
    // What is delivered here keeps the checksum that it came with.
    if forwarded {
        build::finish_v4_header(bytes);
    }
    true
}

/// What options say.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Where they end.
    end: usize,
    /// Where a route is recorded that has room for another address.
    route: Option<usize>,
    /// Where times are recorded and there is no room left.
    overflow: Option<usize>,
}

/// `None` when options are not to be taken.
fn read(options: &[u8]) -> Option<Found> {
    let mut at = 0;
    let (mut route, mut overflow) = (None, None);
    let (mut recorded, mut stamped) = (false, false);
    while let Some(&kind) = options.get(at) {
        match kind {
            END => {
                return Some(Found {
                    end: at,
                    route,
                    overflow,
                });
            }
            NOTHING => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let length = usize::from(*options.get(at + 1)?);
        let option = options.get(at..at + length)?;
        let byte = |i: usize| option.get(i).copied();
        match kind {
            _ if length < 2 => return None,
            LOOSE_ROUTE | STRICT_ROUTE => return None,
            RECORD_ROUTE => {
                let pointer = usize::from(byte(2)?);
                let room = pointer > length || pointer + 3 <= length;
                if recorded || pointer < 4 || !room {
                    return None;
                }
                recorded = true;
                route = (pointer <= length).then_some(at);
            }
            TIMESTAMP => {
                let (pointer, flags) = (usize::from(byte(2)?), byte(3)?);
                if stamped || pointer < 5 {
                    return None;
                }
                stamped = true;
                if pointer <= length {
                    let needed = if matches!(flags & 15, 1 | 3) { 7 } else { 3 };
                    if pointer + needed > length {
                        return None;
                    }
                } else if flags >> 4 == 15 {
                    return None;
                } else {
                    overflow = Some(at);
                }
            }
            ROUTER_ALERT if length < 4 => return None,
            _ => {}
        }
        at += length;
    }
    Some(Found {
        end: at,
        route,
        overflow,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_route_gets_our_address_while_there_is_room() {
        let own: IpAddr = "203.0.113.1".parse().unwrap();
        for (pointer, written) in [(4, true), (8, false)] {
            let mut ip = build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
            ip.options = vec![7, 7, pointer, 0, 0, 0, 0, 0];
            let bytes = build::udp(&ip, 1, 2, b"");
            let packet = palisade_wire::Packet::parse(&bytes).unwrap();
            let mut buffer = Buffer::new(packet, Vec::new());
            assert!(finish(&mut buffer, Some(own), true));
            assert_eq!(buffer.changed(), written);
            assert!(buffer.packet().header_checksum_ok());
            if written {
                assert_eq!(&buffer.bytes()[20..28], [7, 7, 8, 203, 0, 113, 1, 0]);
            }
        }
    }

    #[test]
    fn options_that_are_taken_and_that_are_not() {
        let rows: &[(&[u8], Option<usize>)] = &[
            (&[1, 1, 1, 0], Some(3)),
            (&[1, 0, 9, 9], Some(1)),
            (&[148, 4, 0, 0], Some(4)),
            (&[148, 3, 0, 0], None),
            (&[0xff, 0, 0, 0], None),
            (&[0xff, 4, 9, 9], Some(4)),
            (&[0xff, 5, 9, 9], None),
            (&[7, 0, 0, 0], None),
            (&[7, 7, 4, 0, 0, 0, 0, 0], Some(7)),
            (&[7, 7, 5, 0, 0, 0, 0, 0], None),
            (&[7, 3, 4, 7, 3, 4, 0, 0], None),
            (&[68, 4, 5, 0], Some(4)),
            (&[68, 4, 5, 0xf0], None),
            (&[131, 7, 4, 10, 2, 0, 7, 0], None),
        ];
        for (options, end) in rows {
            assert_eq!(read(options).map(|f| f.end), *end, "{options:02x?}");
        }
    }
}
