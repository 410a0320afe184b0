//! IPv4 options, which the IP layer reads behind PREROUTING (kernel `ip_options_compile`, `ip_rcv_options`).

use palisade_wire::{Buffer, Family, build};

const END: u8 = 0;
const NOTHING: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const STRICT_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;

/// Reads a packet's options and clears what stands behind their end, as the kernel does. `false`: they are
/// malformed, or prescribe the route, which no host takes unless told to (sysctl
/// `accept_source_route`); the packet is to be dropped.
pub(crate) fn finish(buffer: &mut Buffer<'_>) -> bool {
    let packet = buffer.packet();
    if packet.family() != Family::V4 || packet.header_len() <= 20 {
        return true;
    }
    let header = packet.header_len();
    let options = packet.bytes().get(20..header).unwrap_or_default();
    match read(options) {
        None => false,
        Some(end) => {
            if options.iter().skip(end).any(|b| *b != 0) {
                let bytes = buffer.edit();
                if let Some(behind) = bytes.get_mut(20 + end..header) {
                    behind.fill(0);
                }
                build::finish_v4_header(bytes);
            }
            true
        }
    }
}

/// Where the options end; `None` when they are not to be taken.
fn read(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    let (mut recorded, mut stamped) = (false, false);
    while let Some(&kind) = options.get(at) {
        match kind {
            END => return Some(at),
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
                }
            }
            ROUTER_ALERT if length < 4 => return None,
            _ => {}
        }
        at += length;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(read(options), *end, "{options:02x?}");
        }
    }
}
