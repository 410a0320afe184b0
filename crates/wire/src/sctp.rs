//! SCTP (RFC 9260 §3.1): common header view.

use crate::ip::{be16, be32};

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

    /// What follows the common header: chunks.
    #[inline]
    pub fn chunks(&self) -> &'a [u8] {
        &self.bytes[Self::HEADER_LEN..]
    }
}

/// Offset of the checksum in the common header.
const CHECKSUM: std::ops::Range<usize> = 8..12;

/// The CRC32c of an SCTP packet, its checksum field taken as zero (RFC 9260 §6.8). It stands in the
/// packet in little-endian order.
pub fn checksum(packet: &[u8]) -> u32 {
    let before = packet.get(..CHECKSUM.start).unwrap_or(packet);
    let after = packet.get(CHECKSUM.end..).unwrap_or_default();
    let sum = crc32c::crc32c(before);
    if packet.len() <= CHECKSUM.start {
        return sum;
    }
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &[0; 4]), after)
}
