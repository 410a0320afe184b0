//! An Ethernet frame in a wire: where its IP packet begins, and frames made like it.

use palisade_engine::LinkInfo;
use palisade_wire::link::{LinkType, decode, ethertype};

/// Both addresses.
const ADDRESSES: usize = 12;

/// Smallest value of the type field that is no length (IEEE 802.3).
const LEAST_TYPE: u16 = 0x600;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// An IP packet from this offset on.
    Ip(usize, LinkInfo),
    /// Something else, by its type behind VLAN tags; lengths of 802.3 included.
    Other(u16),
    /// Nothing: it is cut short.
    Nothing,
}

/// Looks into a frame, through VLAN tags and PPPoE sessions. IP in 802.3 frames (RFC 1042) is not looked for: no Linux host takes
/// it for IP.
pub(crate) fn held(frame: &[u8]) -> Held {
    let Some(decoded) = decode(LinkType::Ethernet, frame) else {
        return Held::Nothing;
    };
    let offset = frame.len() - decoded.network.len();
    let snap = frame
        .get(offset.wrapping_sub(8)..offset)
        .is_some_and(|h| h.starts_with(&[0xaa, 0xaa, 3]))
        && u16::from_be_bytes([frame[offset - 10], frame[offset - 9]]) < LEAST_TYPE;
    if snap || !decoded.is_ip() {
        return Held::Other(decoded.ethertype);
    }
    Held::Ip(
        offset,
        LinkInfo {
            source_mac: decoded.source_mac,
            destination_mac: decoded.destination_mac,
            packet_type: decoded.packet_type,
        },
    )
}

/// Puts a VLAN tag that the interface took off back into a frame.
pub(crate) fn tag(frame: &mut Vec<u8>, protocol: u16, control: u16) {
    if frame.len() < ADDRESSES {
        return;
    }
    let [p, c] = [protocol.to_be_bytes(), control.to_be_bytes()];
    frame.splice(ADDRESSES..ADDRESSES, [p[0], p[1], c[0], c[1]]);
}

/// Writes the link header of a frame that carries `length` bytes of IP, as `like` came, or back to where that came from.
pub(crate) fn header(like: &[u8], back: bool, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(like);
    let Some(header) = out.get_mut(start..).filter(|h| h.len() > ADDRESSES) else {
        return;
    };
    if back {
        let (destination, source) = header.split_at_mut(6);
        destination.swap_with_slice(&mut source[..6]);
    }
    // A PPPoE session says how long it is: its own two bytes of protocol and the packet (RFC 2516 §4).
    let at = header.len();
    if at >= ADDRESSES + 2 + 8
        && header[at - 10..at - 8] == ethertype::PPPOE_SESSION.to_be_bytes()
        && let Ok(length) = u16::try_from(length + 2)
    {
        header[at - 4..at - 2].copy_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_wire::link::PacketType;

    fn frame(middle: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend_from_slice(middle);
        frame
    }

    #[test]
    fn ip_is_found_behind_tags_and_sessions() {
        for (middle, offset) in [
            (&[0x08, 0, 0x45][..], 14),
            (&[0x81, 0, 0, 5, 0x86, 0xdd, 0x60], 18),
            (&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x08, 0, 0x45], 22),
            (&[0x88, 0x64, 0x11, 0, 0, 1, 0, 3, 0, 0x21, 0x45], 22),
        ] {
            assert!(
                matches!(held(&frame(middle)), Held::Ip(at, _) if at == offset),
                "{middle:x?}"
            );
        }
        let mut all = frame(&[0x08, 0, 0x45]);
        all[..6].fill(0xff);
        assert!(
            matches!(held(&all), Held::Ip(_, link) if link.packet_type == Some(PacketType::Broadcast))
        );
    }

    #[test]
    fn what_is_not_ip_is_named() {
        for (middle, what) in [
            (&[0x08, 0x06, 0, 1][..], Held::Other(ethertype::ARP)),
            (&[0x81, 0, 0, 5, 0x08, 0x06], Held::Other(ethertype::ARP)),
            (
                &[0, 11, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45],
                Held::Other(0x0800),
            ),
            (&[0, 3, 0x42, 0x42, 3], Held::Other(3)),
            (&[0x08], Held::Nothing),
            (&[0x81, 0, 0], Held::Nothing),
        ] {
            assert_eq!(held(&frame(middle)), what, "{middle:x?}");
        }
    }

    #[test]
    fn a_frame_back_has_its_addresses_turned_and_its_length_said() {
        let like = frame(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 99, 0, 0x21]);
        let mut out = vec![9];
        header(&like, true, 40, &mut out);
        assert_eq!(out[1..13], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        assert_eq!(out[13..], [0x88, 0x64, 0x11, 0, 0, 1, 0, 42, 0, 0x21]);
        let mut bytes = frame(&[8, 0]);
        tag(&mut bytes, 0x8100, 7);
        assert_eq!(bytes[12..], [0x81, 0, 0, 7, 8, 0]);
    }
}
