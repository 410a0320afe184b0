//! A packet on its way, which may be changed: the bytes as they came until the first change, then a
//! copy of its own.

use std::ops::Range;

use crate::build;
use crate::checksum;
use crate::ip::{Family, IpError, Layout, Packet, be16, proto};
use crate::tcp::Tcp;
use crate::udp::Udp;

/// Largest IP packet, in bytes.
const LARGEST: usize = 65_535;

/// Offset of the checksum in a TCP header.
const TCP_CHECKSUM: usize = 16;

/// Offset of the checksum in a UDP header.
const UDP_CHECKSUM: usize = 6;

/// A packet that may be changed.
#[derive(Debug)]
pub struct Buffer<'a> {
    original: &'a [u8],
    own: Vec<u8>,
    changed: bool,
    layout: Layout,
}

/// Why payload was not replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplaceError {
    /// The range lies outside of the payload, or the protocol is neither TCP nor UDP.
    Range,
    /// The packet would grow beyond 65,535 bytes.
    TooLong,
}

impl<'a> Buffer<'a> {
    /// A buffer around a parsed packet. `spare` holds the copy if one is made, so that a caller who
    /// keeps it (see [`into_spare`](Self::into_spare)) allocates nothing for most packets.
    #[inline]
    pub fn new(packet: Packet<'a>, spare: Vec<u8>) -> Self {
        Buffer {
            original: packet.bytes,
            own: spare,
            changed: false,
            layout: packet.layout,
        }
    }

    /// The packet as it is now.
    #[inline]
    pub fn packet(&self) -> Packet<'_> {
        Packet {
            bytes: self.bytes(),
            layout: self.layout,
        }
    }

    /// The bytes as they are now, from the IP header on.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        if self.changed {
            &self.own
        } else {
            self.original
        }
    }

    /// The bytes as they came, from the IP header on.
    #[inline]
    pub fn original(&self) -> &'a [u8] {
        self.original
    }

    /// Whether a copy was made: the bytes may differ from those that came.
    #[inline]
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Gives the copy back, or the spare; the content is of no use when nothing
    /// [`changed`](Self::changed).
    pub fn into_spare(self) -> Vec<u8> {
        self.own
    }

    /// The bytes, to be changed at fixed places: what the parse found (lengths, protocols, offsets) must
    /// stay as it is.
    pub fn edit(&mut self) -> &mut [u8] {
        self.own_bytes()
    }

    fn own_bytes(&mut self) -> &mut Vec<u8> {
        if !self.changed {
            self.own.clear();
            self.own.extend_from_slice(self.original);
            self.changed = true;
        }
        &mut self.own
    }

    /// Lowers or raises TTL or hop limit.
    pub fn set_ttl(&mut self, ttl: u8) {
        build::set_ttl(self.own_bytes(), ttl);
    }

    /// Where the payload behind a TCP or UDP header begins, from the start of the packet.
    pub fn payload_offset(&self) -> Option<usize> {
        let packet = self.packet();
        let header = match packet.protocol() {
            proto::TCP => Tcp::new(packet.transport())?.data_offset(),
            proto::UDP | proto::UDPLITE => {
                Udp::new(packet.transport())?;
                Udp::HEADER_LEN
            }
            _ => return None,
        };
        let at = packet.transport_offset() + header;
        (at <= packet.bytes().len()).then_some(at)
    }

    /// Puts `with` in the place of a part of a TCP or UDP payload, `range` counted from the payload's
    /// start. Lengths and checksums are made right; a UDP checksum of zero stays.
    ///
    /// # Errors
    /// [`ReplaceError`], and nothing is changed.
    pub fn replace_payload(
        &mut self,
        range: Range<usize>,
        with: &[u8],
    ) -> Result<(), ReplaceError> {
        let start = self.payload_offset().ok_or(ReplaceError::Range)?;
        self.replace(start, range, with, self.layout.protocol())
    }

    /// As [`replace_payload`](Self::replace_payload) for whatever stands behind the first eight bytes of a
    /// transport header, which are taken for UDP's: length and checksum are written where UDP has them. For what
    /// the kernel does to ICMP errors.
    ///
    /// # Errors
    /// [`ReplaceError`], and nothing is changed.
    pub fn replace_as_udp(&mut self, range: Range<usize>, with: &[u8]) -> Result<(), ReplaceError> {
        let start = self.packet().transport_offset() + Udp::HEADER_LEN;
        self.replace(start, range, with, proto::UDP)
    }

    fn replace(
        &mut self,
        start: usize,
        range: Range<usize>,
        with: &[u8],
        protocol: u8,
    ) -> Result<(), ReplaceError> {
        let (from, to) = (start + range.start, start + range.end);
        let length = self.bytes().len();
        if from > to || to > length {
            return Err(ReplaceError::Range);
        }
        let new_length = length - (to - from) + with.len();
        if new_length > LARGEST {
            return Err(ReplaceError::TooLong);
        }
        let transport = self.packet().transport_offset();
        let family = self.layout.family();
        let own = self.own_bytes();
        own.splice(from..to, with.iter().copied());
        match family {
            Family::V4 => {
                put16(own, 2, new_length as u16);
                build::finish_v4_header(own);
            }
            Family::V6 => put16(own, 4, (new_length - 40) as u16),
        }
        if protocol != proto::TCP {
            put16(own, transport + 4, (new_length - transport) as u16);
        }
        self.layout.set_declared(new_length);
        self.finish_transport(protocol);
        Ok(())
    }

    /// Computes the checksum of TCP or UDP anew.
    fn finish_transport(&mut self, protocol: u8) {
        let packet = self.packet();
        let at = match protocol {
            proto::TCP => TCP_CHECKSUM,
            _ => UDP_CHECKSUM,
        };
        let field = packet.transport_offset() + at;
        let Some(bytes) = packet.bytes().get(field..field + 2) else {
            return;
        };
        if protocol != proto::TCP && be16(bytes, 0) == 0 {
            return;
        }
        let (source, destination) = (packet.source(), packet.destination());
        let transport = packet.transport_offset();
        let own = self.own_bytes();
        put16(own, field, 0);
        let data = own.get(transport..).unwrap_or_default();
        let pseudo = checksum::pseudo_header(source, destination, protocol, data.len());
        let mut sum = checksum::finish(checksum::add(pseudo, data));
        if sum == 0 && protocol != proto::TCP {
            sum = 0xffff;
        }
        put16(own, field, sum);
    }

    /// Other bytes altogether, such as a datagram put together; [`reparse`](Self::reparse) has to follow.
    pub fn replace_all(&mut self, bytes: Vec<u8>) {
        self.own = bytes;
        self.changed = true;
    }

    /// Parses the bytes anew, after a change that moved something.
    ///
    /// # Errors
    /// [`IpError`] when they are no packet any more.
    pub fn reparse(&mut self) -> Result<(), IpError> {
        self.layout = Packet::parse_truncated(self.bytes())?.layout;
        Ok(())
    }
}

/// Writes a word; nothing where there is no room.
fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(v6: bool) -> build::Ip {
        let (a, b) = if v6 {
            ("2001:db8::1", "2001:db8::2")
        } else {
            ("192.0.2.1", "192.0.2.2")
        };
        build::Ip::new(a.parse().unwrap(), b.parse().unwrap())
    }

    #[test]
    fn a_payload_that_grows_or_shrinks_keeps_lengths_and_checksums_right() {
        for v6 in [false, true] {
            for tcp in [false, true] {
                let bytes = if tcp {
                    build::tcp(&ip(v6), &build::Tcp::default(), b"PORT 1,2,3")
                } else {
                    build::udp(&ip(v6), 1, 2, b"PORT 1,2,3")
                };
                for (range, with, want) in [
                    (5..10, &b"10,20,30"[..], &b"PORT 10,20,30"[..]),
                    (0..10, b"", b""),
                    (10..10, b"!", b"PORT 1,2,3!"),
                ] {
                    let mut buffer = Buffer::new(Packet::parse(&bytes).unwrap(), Vec::new());
                    buffer.replace_payload(range, with).unwrap();
                    let at = buffer.payload_offset().unwrap();
                    assert_eq!(&buffer.bytes()[at..], want);
                    let again = Packet::parse(buffer.bytes()).unwrap();
                    assert_eq!(again.declared_len(), again.bytes().len());
                    assert_eq!(buffer.packet().declared_len(), again.declared_len());
                    assert!(again.header_checksum_ok());
                    assert!(again.transport_checksum_ok(again.protocol()));
                }
            }
        }
    }

    #[test]
    fn a_packet_never_grows_beyond_what_an_ip_header_can_say() {
        let bytes = build::udp(&ip(false), 1, 2, &[7; 60_000]);
        let mut buffer = Buffer::new(Packet::parse(&bytes).unwrap(), Vec::new());
        let refused = buffer.replace_payload(0..1, &[8; 10_000]);
        assert_eq!(refused, Err(ReplaceError::TooLong));
        assert_eq!(
            buffer.replace_payload(0..60_001, b""),
            Err(ReplaceError::Range)
        );
        assert!(!buffer.changed());
    }

    #[test]
    fn nothing_is_copied_before_the_first_change() {
        let bytes = build::udp(&ip(false), 1, 2, b"x");
        let mut buffer = Buffer::new(Packet::parse(&bytes).unwrap(), Vec::with_capacity(99));
        assert!(std::ptr::eq(buffer.bytes(), bytes.as_slice()));
        buffer.set_ttl(9);
        assert_eq!(buffer.packet().ttl(), 9);
        assert!(buffer.packet().header_checksum_ok());
        assert!(buffer.into_spare().capacity() >= 99);
    }
}
