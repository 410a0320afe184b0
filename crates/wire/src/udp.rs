//! UDP (RFC 768): header view.

use crate::ip::be16;

/// A UDP header whose 8 bytes are there.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    bytes: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Length of the header, in bytes.
    pub const HEADER_LEN: usize = 8;

    /// A view over a transport header, or `None` when fewer than 8 bytes are there.
    #[inline]
    pub fn new(transport: &'a [u8]) -> Option<Self> {
        (transport.len() >= Self::HEADER_LEN).then_some(Udp { bytes: transport })
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

    /// Length field: header and payload, in bytes.
    #[inline]
    pub fn length(&self) -> u16 {
        be16(self.bytes, 4)
    }

    /// Checksum field; 0 means "none" in IPv4.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.bytes, 6)
    }

    /// Payload bytes that are there.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[Self::HEADER_LEN..]
    }
}
