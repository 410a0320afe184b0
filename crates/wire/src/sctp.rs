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
