//! Netlink: messages written and read, and sockets that speak it.
//!
//! # Overview
//! [`Message`] writes one or several messages into one buffer, [`messages`] and [`attributes`] read what the kernel sent;
//! both know only the form (kernel `netlink.h`: a header of 16 bytes, attributes of length, kind and value, everything at
//! multiples of four bytes). [`Socket`] asks and waits for answers.
//!
//! # Bounds
//! Readers go over each byte at most once and end at the first thing that is not whole. A dump is given up after
//! `MOST` datagrams.

mod socket;

pub use socket::{Protocol, Socket};

/// Message kinds that every protocol has.
pub mod kind {
    /// An error, or that there was none.
    pub const ERROR: u16 = 2;
    /// The end of a dump.
    pub const DONE: u16 = 3;
}

/// Flags of messages.
pub mod flag {
    /// A question or an order; every message to the kernel is one.
    pub const REQUEST: u16 = 1;
    /// To be answered when done.
    pub const ACK: u16 = 4;
    /// The dump was disturbed and is not one state of things.
    pub const DUMP_INTERRUPTED: u16 = 0x10;
    /// All there are.
    pub const DUMP: u16 = 0x300;
    /// Refused if it is there.
    pub const EXCLUSIVE: u16 = 0x200;
    /// To be made if it is not there.
    pub const CREATE: u16 = 0x400;
    /// To be put behind what is there.
    pub const APPEND: u16 = 0x800;
}

/// Datagrams of one answer at most.
const MOST: usize = 1 << 16;

/// An attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// Bits of an attribute's kind that are no part of its number: nested, byte order.
const KIND: u16 = 0x3fff;

/// Length of a message's header.
pub const HEADER: usize = 16;

/// Messages on their way to the kernel, one behind the other.
#[derive(Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
    /// Where the message begins that is being written.
    start: usize,
}

impl Message {
    /// Nothing yet.
    pub fn new() -> Self {
        Message::default()
    }

    /// Everything written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was written, not its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Begins a message; attributes follow.
    pub fn begin(&mut self, kind: u16, flags: u16, sequence: u32) -> &mut Self {
        self.start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.close()
    }

    /// A fixed header behind the message's own.
    pub fn fixed(&mut self, header: &[u8]) -> &mut Self {
        self.bytes.extend(header);
        self.close()
    }

    /// The header of netfilter's messages (kernel `nfgenmsg`): family, and a number that most of them do not use.
    pub fn netfilter(&mut self, family: u8, number: u16) -> &mut Self {
        let number = number.to_be_bytes();
        self.fixed(&[family, 0, number[0], number[1]])
    }

    /// An attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.begin_attribute(kind, value.len());
        self.bytes.extend(value);
        self.close()
    }

    /// An attribute with a number in network byte order.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// An attribute with a number in network byte order.
    pub fn be16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// An attribute with text, which ends with a zero byte.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.begin_attribute(kind, value.len() + 1);
        self.bytes.extend(value.as_bytes());
        self.bytes.push(0);
        self.close()
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.begin_attribute(kind | NESTED, 0);
        inside(self);
        let length = (self.bytes.len() - at) as u16;
        if let Some(field) = self.bytes.get_mut(at..at + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        self.close()
    }

    fn begin_attribute(&mut self, kind: u16, length: usize) {
        self.bytes.extend((4 + length as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
    }

    /// Pads, and says how long the message is so far.
    fn close(&mut self) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let length = (self.bytes.len() - self.start) as u32;
        if let Some(field) = self.bytes.get_mut(self.start..self.start + 4) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        self
    }
}

/// A message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Kind: subsystem and message.
    pub kind: u16,
    /// Flags.
    pub flags: u16,
    /// The number of the question that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

impl Received<'_> {
    /// The error that it reports: zero is success, otherwise an `errno`. `None` of a message that is none.
    pub fn error(&self) -> Option<i32> {
        (self.kind == kind::ERROR).then(|| {
            let code = ne32(self.body).unwrap_or(0) as i32;
            code.wrapping_neg()
        })
    }
}

/// The messages of a datagram.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = ne32(bytes)? as usize;
        let received = Received {
            kind: ne16(bytes.get(4..)?)?,
            flags: ne16(bytes.get(6..)?)?,
            sequence: ne32(bytes.get(8..)?)?,
            body: bytes.get(HEADER..length)?,
        };
        let next = length.checked_next_multiple_of(4)?;
        bytes = bytes.get(next..).unwrap_or_default();
        Some(received)
    })
}

/// The attributes of a message (behind its fixed header) or of a nested attribute.
pub fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(ne16(rest)?);
        let kind = ne16(rest.get(2..)?)? & KIND;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of this kind.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(k, _)| *k == kind)
        .map(|(_, value)| value)
}

/// A number in the host's byte order.
pub fn ne16(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

/// A number in the host's byte order.
pub fn ne32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

/// A number in network byte order.
pub fn be16(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// A number in network byte order.
pub fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// Text that ends with a zero byte or with the attribute.
pub fn text(value: &[u8]) -> String {
    let value = value.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut message = Message::new();
        message
            .begin(7, flag::REQUEST, 3)
            .netfilter(2, 9)
            .be32(1, 0x0102_0304)
            .nest(2, |m| {
                m.text(1, "abcd").be16(2, 5);
            });
        message.begin(8, 0, 4).netfilter(0, 0);
        let all: Vec<Received<'_>> = messages(message.bytes()).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].kind, all[0].flags, all[0].sequence), (7, 1, 3));
        let (fixed, rest) = all[0].body.split_at(4);
        assert_eq!(fixed, [2, 0, 0, 9]);
        assert_eq!(attribute(rest, 1).and_then(be32), Some(0x0102_0304));
        let nested = attribute(rest, 2).unwrap();
        assert_eq!(text(attribute(nested, 1).unwrap()), "abcd");
        assert_eq!(attribute(nested, 2).and_then(be16), Some(5));
        assert_eq!((all[1].kind, all[1].sequence), (8, 4));
        assert_eq!(message.bytes().len() % 4, 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let read: usize = messages(&bytes).map(|m| m.body.len() + HEADER).sum();
            prop_assert!(read <= bytes.len());
            let read: usize = attributes(&bytes).map(|(_, value)| value.len() + 4).sum();
            prop_assert!(read <= bytes.len());
        }

        #[test]
        fn short_lengths_end_it(bytes in proptest::collection::vec(0u8..8, 0..64)) {
            prop_assert!(messages(&bytes).count() <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
