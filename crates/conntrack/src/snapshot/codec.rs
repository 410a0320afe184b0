//! How a snapshot's fields are written: numbers with their high byte first, everything of variable length behind its
//! length.

use std::net::IpAddr;

use crate::helper;
use crate::tuple::{Key, Tuple};

/// Bytes that are written.
#[derive(Debug, Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend(value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_be_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.0.extend(value.to_be_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
        self.0.extend(text.bytes().take(usize::from(u16::MAX)));
    }

    pub(crate) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(a) => {
                self.byte(4);
                self.0.extend(a.octets());
            }
            IpAddr::V6(a) => {
                self.byte(6);
                self.0.extend(a.octets());
            }
        }
    }

    pub(crate) fn tuple(&mut self, tuple: &Tuple) {
        self.byte(tuple.protocol);
        self.address(tuple.source);
        self.address(tuple.destination);
        self.u16(tuple.source_word());
        self.u16(tuple.destination_word());
    }

    /// A field: its number, its length, and what `write` writes.
    pub(crate) fn field(&mut self, number: u8, write: impl FnOnce(&mut Out)) {
        self.byte(number);
        let at = self.0.len();
        self.u32(0);
        write(self);
        let length = (self.0.len() - at - 4) as u32;
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// Bytes that are read; `None` where they end too soon or mean nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct In<'a>(pub(crate) &'a [u8]);

impl<'a> In<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.u16()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    /// The name of a helper.
    pub(crate) fn helper(&mut self) -> Option<&'static str> {
        helper::by_name(self.text()?).map(|helper| helper.name)
    }

    pub(crate) fn address(&mut self) -> Option<IpAddr> {
        match self.byte()? {
            4 => self.array::<4>().map(IpAddr::from),
            6 => self.array::<16>().map(IpAddr::from),
            _ => None,
        }
    }

    /// A tuple that can be inverted.
    pub(crate) fn tuple(&mut self) -> Option<Tuple> {
        let protocol = self.byte()?;
        let (source, destination) = (self.address()?, self.address()?);
        let words = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        if source.is_ipv4() != destination.is_ipv4() {
            return None;
        }
        let key = Key::of_words(source, destination, protocol, words);
        key.inverse()?;
        Some(key.tuple())
    }

    /// The next field: its number and what is in it.
    pub(crate) fn field(&mut self) -> Option<(u8, In<'a>)> {
        let number = self.byte()?;
        let length = self.u32()?;
        Some((number, In(self.take(usize::try_from(length).ok()?)?)))
    }

    /// What is left is nothing.
    pub(crate) fn ends(&self) -> Option<()> {
        self.is_empty().then_some(())
    }
}
