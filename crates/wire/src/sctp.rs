//! SCTP (RFC 9260 §3): common header and chunks.

use crate::ip::{be16, be32};

/// Chunk types (RFC 9260 §3.2).
pub mod chunk {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const SACK: u8 = 3;
    pub const HEARTBEAT: u8 = 4;
    pub const HEARTBEAT_ACK: u8 = 5;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// An SCTP common header whose 12 bytes are there.
#[derive(Clone, Copy, Debug)]
pub struct Sctp<'a> {
    bytes: &'a [u8],
}

impl<'a> Sctp<'a> {
    /// Length of the common header, in bytes.
    pub const HEADER_LEN: usize = 12;

    /// A view over a transport header, or `None` when fewer than 12 bytes are there.
    #[inline]
    pub fn new(transport: &'a [u8]) -> Option<Self> {
        (transport.len() >= Self::HEADER_LEN).then_some(Sctp { bytes: transport })
    }

    /// Source port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        be16(self.bytes, 0)
    }

    /// Destination port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        be16(self.bytes, 2)
    }

    /// Verification tag.
    #[inline]
    pub fn verification_tag(&self) -> u32 {
        be32(self.bytes, 4)
    }

    /// Checksum field, as the number that [`checksum`] computes.
    #[inline]
    pub fn checksum(&self) -> u32 {
        be32(self.bytes, 8).swap_bytes()
    }

    /// What follows the common header: chunks.
    #[inline]
    pub fn chunks(&self) -> &'a [u8] {
        &self.bytes[Self::HEADER_LEN..]
    }

    /// The chunks one by one, as far as their headers are whole. Each is found by its
    /// predecessor's length field, rounded up to a multiple of 4; one whose length field is 0 ends the walk
    /// (it is itself still given), and so does a header cut short.
    #[inline]
    pub fn walk(&self) -> Chunks<'a> {
        Chunks {
            rest: self.chunks(),
        }
    }
}

/// A chunk whose header of 4 bytes is there; its value may be cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Type, see [`chunk`].
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Length field: header and value, padding not counted.
    pub length: u16,
    /// All bytes of the packet behind the chunk's header.
    rest: &'a [u8],
}

impl Chunk<'_> {
    /// Length of a chunk's header, in bytes.
    pub const HEADER_LEN: usize = 4;

    /// Bytes that INIT and INIT ACK have behind the header at least.
    pub const INIT_LEN: usize = 16;

    /// The T bit of ABORT and SHUTDOWN COMPLETE: the verification tag is the sender's own.
    #[inline]
    pub fn reflects_tag(&self) -> bool {
        self.flags & 1 != 0
    }

    /// The initiate tag of an INIT or INIT ACK, or `None` when its fixed part does not lie within the packet
    /// (the chunk's own length field is not asked).
    #[inline]
    pub fn init_tag(&self) -> Option<u32> {
        (self.rest.len() >= Self::INIT_LEN).then(|| be32(self.rest, 0))
    }

    /// Bytes of the packet behind this chunk's header.
    #[inline]
    pub fn behind_header(&self) -> usize {
        self.rest.len()
    }
}

/// An iterator over chunks, see [`Sctp::walk`].
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (&[kind, flags, a, b], behind) = self.rest.split_first_chunk::<4>()?;
        let length = u16::from_be_bytes([a, b]);
        let step = usize::from(length).next_multiple_of(4);
        self.rest = match length {
            0 => &[],
            _ => self.rest.get(step..).unwrap_or_default(),
        };
        Some(Chunk {
            kind,
            flags,
            length,
            rest: behind,
        })
    }
}

/// The checksum of a whole SCTP packet (RFC 9260 §6.8): CRC32c with the checksum field, bytes
/// 8 to 11, taken as zero. Fewer bytes than a header are summed as they are.
pub fn checksum(transport: &[u8]) -> u32 {
    let Some((ports_and_tag, rest)) = transport.split_at_checked(8) else {
        return crc32c::crc32c(transport);
    };
    let field = &[0; 4][..rest.len().min(4)];
    let sum = crc32c::crc32c_append(crc32c::crc32c(ports_and_tag), field);
    crc32c::crc32c_append(sum, rest.get(4..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_crc32c() {
        // CRC32c by its definition, bit for bit, over a header whose checksum field is zero.
        let mut crc = u32::MAX;
        for byte in b"12345678".iter().chain(&[0; 4]) {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            }
        }
        assert_eq!(checksum(b"12345678abcd"), !crc);
    }

    #[test]
    fn the_checksum_field_counts_as_zero() {
        let mut packet = [7u8; 20];
        let sum = checksum(&packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(checksum(&packet), sum);
        assert_eq!(Sctp::new(&packet).unwrap().checksum(), sum);
        packet[13] ^= 1;
        assert_ne!(checksum(&packet), sum);
        for short in 0..12 {
            checksum(&packet[..short]);
        }
    }

    #[test]
    fn chunks_are_walked_by_their_length_fields() {
        // Bytes behind the common header; the (type, length) pairs that are found.
        type Row = (&'static [u8], &'static [(u8, u16)]);
        let rows: [Row; 8] = [
            (&[], &[]),
            (&[1, 0, 0], &[]),
            (&[11, 0, 0, 4], &[(11, 4)]),
            (&[0, 3, 0, 5, 9, 0, 0, 0, 3, 0, 0, 4], &[(0, 5), (3, 4)]),
            // Zero ends the walk, else it would never end.
            (&[5, 0, 0, 0, 6, 0, 0, 4], &[(5, 0)]),
            // A length below 4 counts as 4.
            (&[5, 0, 0, 1, 6, 0, 0, 4], &[(5, 1), (6, 4)]),
            // One that points out of the packet.
            (&[5, 0, 255, 255, 6, 0, 0, 4], &[(5, 65535)]),
            // A header cut short behind a whole chunk.
            (&[5, 0, 0, 4, 6, 0], &[(5, 4)]),
        ];
        for (chunks, expect) in rows {
            let packet = [&[0; 12], chunks].concat();
            let found: Vec<(u8, u16)> = Sctp::new(&packet)
                .unwrap()
                .walk()
                .map(|c| (c.kind, c.length))
                .collect();
            assert_eq!(found, expect, "{chunks:?}");
        }
    }
}
