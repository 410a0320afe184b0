//! ICMP (RFC 792) and ICMPv6 (RFC 4443): one header view for both.

use crate::ip::be16;

/// An ICMP or ICMPv6 header whose first 8 bytes are there.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a> {
    bytes: &'a [u8],
}

impl<'a> Icmp<'a> {
    /// Length of the header that every type has, in bytes.
    pub const HEADER_LEN: usize = 8;

    /// A view over a transport header, or `None` when fewer than 8 bytes are there.
    #[inline]
    pub fn new(transport: &'a [u8]) -> Option<Self> {
        (transport.len() >= Self::HEADER_LEN).then_some(Icmp { bytes: transport })
    }

    /// Type.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.bytes[0]
    }

    /// Code.
    #[inline]
    pub fn code(&self) -> u8 {
        self.bytes[1]
    }

    /// Checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.bytes, 2)
    }

    /// Bytes 4 and 5: the identifier of a query.
    #[inline]
    pub fn id(&self) -> u16 {
        be16(self.bytes, 4)
    }

    /// Bytes 6 and 7: the sequence number of a query, the next-hop MTU of "fragmentation needed".
    #[inline]
    pub fn sequence(&self) -> u16 {
        be16(self.bytes, 6)
    }

    /// What follows the 8 bytes: data of a query, the quoted packet of an error.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[Self::HEADER_LEN..]
    }
}
