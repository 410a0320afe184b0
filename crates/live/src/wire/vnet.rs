//! What an interface left undone about a packet: its checksum, and its cutting into segments (`struct virtio_net_hdr`).

use palisade_wire::complete::complete;
use palisade_wire::{Packet, checksum, proto};

/// Length of the header.
pub(crate) const HEADER: usize = 10;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_CHECKSUM: u8 = 1;

/// Undone work of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undone {
    flags: u8,
    /// How it is to be cut (`VIRTIO_NET_HDR_GSO_*`); 0: not at all.
    kind: u8,
    /// Payload of a segment, in bytes.
    size: u16,
}

impl Undone {
    /// From the header that stands before a packet.
    pub(crate) fn read(header: &[u8]) -> Undone {
        let [flags, kind, _, _, low, high, ..] = *header else {
            return Undone::default();
        };
        Undone {
            flags: flags & NEEDS_CHECKSUM,
            kind,
            size: u16::from_ne_bytes([low, high]),
        }
    }

    /// Whether the checksum is still to be filled in.
    pub(crate) fn unfinished(self) -> bool {
        self.flags & NEEDS_CHECKSUM != 0
    }

    /// The header for an IP packet, which may have been changed, behind `offset` bytes of link header. What is left to the
    /// interface is prepared in the packet; a checksum that the header cannot leave to it is filled in.
    pub(crate) fn write(self, packet: &mut [u8], offset: usize) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        // Segments in one are cut with their checksums, whoever has looked at the one before.
        if !self.unfinished() && self.kind == 0 {
            return header;
        }
        let Some((start, field)) = prepare(packet) else {
            complete(packet);
            return header;
        };
        let Ok(start) = u16::try_from(offset + start) else {
            return header;
        };
        let length = u16::try_from(offset + packet.len().min(256)).unwrap_or(u16::MAX);
        header[0] = NEEDS_CHECKSUM;
        header[1] = self.kind;
        header[2..4].copy_from_slice(&length.to_ne_bytes());
        header[4..6].copy_from_slice(&self.size.to_ne_bytes());
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..10].copy_from_slice(&field.to_ne_bytes());
        header
    }
}

/// Puts the sum of the pseudo header where TCP's or UDP's checksum belongs, as an interface wants it; where the transport
/// header begins, and the field within it. `None` of other protocols.
fn prepare(bytes: &mut [u8]) -> Option<(usize, u16)> {
    let (start, field, sum) = partial(bytes)?;
    let place = bytes.get_mut(start + field..start + field + 2)?;
    place.copy_from_slice(&sum.to_be_bytes());
    Some((start, field as u16))
}

/// Of a whole TCP or UDP packet: where its transport header begins, the place of the checksum in it, and the sum of the
/// pseudo header.
fn partial(bytes: &[u8]) -> Option<(usize, usize, u16)> {
    let packet = Packet::parse(bytes).ok()?;
    let field = match packet.protocol() {
        proto::TCP => 16,
        proto::UDP => 6,
        _ => return None,
    };
    if packet.fragment().is_some() {
        return None;
    }
    let length = packet.transport().len();
    let sum = checksum::pseudo_header(
        packet.source(),
        packet.destination(),
        packet.protocol(),
        length,
    );
    Some((packet.transport_offset(), field, !checksum::finish(sum)))
}

/// Fills in the checksum of a packet whose field holds the sum of the pseudo header: it was left to an interface that is
/// none (a veth pair). Whether that was so; a right checksum stays what it is.
pub(crate) fn finish_if_partial(bytes: &mut [u8]) -> bool {
    let looks = partial(bytes).is_some_and(|(start, field, sum)| {
        let at = start + field;
        bytes.get(at..at + 2) == Some(&sum.to_be_bytes())
    });
    looks && complete(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_wire::build;

    #[test]
    fn what_is_left_to_the_interface_is_right_when_the_interface_does_it() {
        for ip in [
            build::Ip::new([192, 0, 2, 1].into(), [198, 51, 100, 2].into()),
            build::Ip::new(
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
            ),
        ] {
            for whole in [
                build::udp(&ip, 7, 9, b"some data"),
                build::tcp(&ip, &build::Tcp::default(), b"data"),
            ] {
                let mut bytes = whole.clone();
                let undone = Undone::read(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                let header = undone.write(&mut bytes, 14);
                assert_ne!(bytes, whole);
                let start = usize::from(u16::from_ne_bytes([header[6], header[7]])) - 14;
                let field = usize::from(u16::from_ne_bytes([header[8], header[9]]));
                // Kernel `skb_checksum_help`.
                let sum = checksum::of(&bytes[start..]);
                bytes[start + field..start + field + 2].copy_from_slice(&sum.to_be_bytes());
                assert_eq!(bytes, whole);
                // And what nobody does is found and done.
                undone.write(&mut bytes, 14);
                assert!(finish_if_partial(&mut bytes));
                assert_eq!(bytes, whole);
                assert!(!finish_if_partial(&mut bytes));
            }
        }
    }

    #[test]
    fn a_checksum_that_the_header_cannot_express_is_filled_in() {
        let ip = build::Ip::new([192, 0, 2, 1].into(), [198, 51, 100, 2].into());
        let whole = build::sctp(&ip, 1, 2, 3, &[0, 0, 0, 4]);
        let mut bytes = whole.clone();
        let at = bytes.len() - 4 - 4;
        bytes[at..at + 4].fill(0);
        let header = Undone::read(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).write(&mut bytes, 14);
        assert_eq!((header, bytes), ([0; HEADER], whole));
    }
}
