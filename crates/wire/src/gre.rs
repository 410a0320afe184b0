//! GRE (RFC 2784, RFC 2637 §4.1): the first four bytes and the call id of version 1.

use crate::ip::be16;

/// A GRE header whose first 4 bytes are there.
#[derive(Clone, Copy, Debug)]
pub struct Gre<'a> {
    bytes: &'a [u8],
}

impl<'a> Gre<'a> {
    /// A view over a transport header, or `None` when fewer than 4 bytes are there.
    #[inline]
    pub fn new(transport: &'a [u8]) -> Option<Self> {
        (transport.len() >= 4).then_some(Gre { bytes: transport })
    }

    /// Version: 0, or 1 for PPTP.
    #[inline]
    pub fn version(&self) -> u8 {
        self.bytes[1] & 0x07
    }

    /// Protocol type of what is carried, an ethertype.
    #[inline]
    pub fn protocol_type(&self) -> u16 {
        be16(self.bytes, 2)
    }

    /// Call id of version 1 with a key; `None` otherwise or when cut short.
    #[inline]
    pub fn call_id(&self) -> Option<u16> {
        (self.version() == 1 && self.bytes[0] & 0x20 != 0 && self.bytes.len() >= 8)
            .then(|| be16(self.bytes, 6))
    }
}
