//! TCP (RFC 9293 §3.1): header view, flags, options.

use crate::ip::{be16, be32};
use crate::seq::SeqNumber;

/// Flag bits as in byte 13 of the header.
pub mod flags {
    #![allow(missing_docs)]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

/// A TCP header whose fixed 20 bytes are there. Options may be cut short.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    bytes: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Length of the fixed header, in bytes.
    pub const HEADER_LEN: usize = 20;

    /// A view over a transport header, or `None` when fewer than 20 bytes are there.
    #[inline]
    pub fn new(transport: &'a [u8]) -> Option<Self> {
        (transport.len() >= Self::HEADER_LEN).then_some(Tcp { bytes: transport })
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

    /// Sequence number.
    #[inline]
    pub fn seq(&self) -> SeqNumber {
        SeqNumber(be32(self.bytes, 4))
    }

    /// Acknowledgement number, whether or not ACK is set.
    #[inline]
    pub fn ack(&self) -> SeqNumber {
        SeqNumber(be32(self.bytes, 8))
    }

    /// Data offset in bytes, as the header says: 0 to 60, possibly below 20 or beyond the packet.
    #[inline]
    pub fn data_offset(&self) -> usize {
        usize::from(self.bytes[12] >> 4) * 4
    }

    /// The eight flag bits, see [`flags`].
    #[inline]
    pub fn flags(&self) -> u8 {
        self.bytes[13]
    }

    /// Whether all of `mask` is set.
    #[inline]
    pub fn has(&self, mask: u8) -> bool {
        self.flags() & mask == mask
    }

    /// Window field, unscaled.
    #[inline]
    pub fn window(&self) -> u16 {
        be16(self.bytes, 14)
    }

    /// Checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.bytes, 16)
    }

    /// Urgent pointer.
    #[inline]
    pub fn urgent(&self) -> u16 {
        be16(self.bytes, 18)
    }

    /// Option bytes that are there, by the data offset.
    #[inline]
    pub fn options(&self) -> &'a [u8] {
        let end = self
            .data_offset()
            .clamp(Self::HEADER_LEN, self.bytes.len().max(Self::HEADER_LEN));
        &self.bytes[Self::HEADER_LEN..end.min(self.bytes.len())]
    }

    /// Payload bytes that are there.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes
            .get(self.data_offset().max(Self::HEADER_LEN)..)
            .unwrap_or_default()
    }

    /// The options one by one, up to the first malformed one or End-of-list.
    #[inline]
    pub fn options_iter(&self) -> Options<'a> {
        Options {
            rest: self.options(),
        }
    }
}

/// Option kinds (IANA "TCP Option Kind Numbers").
pub mod option {
    #![allow(missing_docs)]
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const MSS: u8 = 2;
    pub const WINDOW_SCALE: u8 = 3;
    pub const SACK_PERMITTED: u8 = 4;
    pub const SACK: u8 = 5;
    pub const TIMESTAMPS: u8 = 8;
}

/// One TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption<'a> {
    /// Kind, see [`option`].
    pub kind: u8,
    /// Bytes after kind and length; empty for NOP.
    pub data: &'a [u8],
}

/// Iterator over TCP options; at most 40 steps, as the header has at most 40 option bytes.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = TcpOption<'a>;

    #[inline]
    fn next(&mut self) -> Option<TcpOption<'a>> {
        match *self.rest {
            [] | [option::END, ..] => None,
            [option::NOP, ref rest @ ..] => {
                self.rest = rest;
                Some(TcpOption {
                    kind: option::NOP,
                    data: &[],
                })
            }
            [kind, length, ..] if length >= 2 && usize::from(length) <= self.rest.len() => {
                let (this, rest) = self.rest.split_at(usize::from(length));
                self.rest = rest;
                Some(TcpOption {
                    kind,
                    data: &this[2..],
                })
            }
            _ => {
                self.rest = &[];
                None
            }
        }
    }
}
