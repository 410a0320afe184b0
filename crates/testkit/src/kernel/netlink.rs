//! The form of netfilter's netlink messages: header, family, attributes.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const FLAG_REQUEST: u16 = 1;
const FLAG_DUMP: u16 = 0x300;
/// To be answered, made, and refused if it is there.
const FLAG_MAKE: u16 = 4 | 0x400 | 0x200;
/// Bits of an attribute's kind that are no part of its number: nested, byte order.
const KIND: u16 = 0x3fff;
/// Messages of one answer at most; a table that is longer is none of ours.
const MOST: usize = 1 << 20;

/// A number in the host's byte order.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The messages of a datagram: kind, and what follows the header.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = number(bytes, 0)? as usize;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let body = bytes.get(16..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The attributes of a message (behind its four bytes of family and group) or of a nested attribute.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & KIND;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of this number.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(k, _)| *k == kind)
        .map(|(_, value)| value)
}

/// A number in network byte order.
pub(super) fn be16(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// A number in network byte order.
pub(super) fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// A number in network byte order.
pub(super) fn be64(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|b| u64::from_be_bytes(*b))
}

/// Text that ends with a zero byte.
pub(super) fn text(value: &[u8]) -> String {
    let value = value.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// A socket for questions with long answers.
#[derive(Debug)]
pub(super) struct Asking {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Asking {
    /// Opens it in the calling thread's namespace.
    pub(super) fn open() -> Result<Asking> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .context("a netlink socket")?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).context("binding a netlink socket")?;
        setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20)).context("a receive buffer")?;
        Ok(Asking {
            socket,
            buffer: vec![0; 1 << 17],
            sequence: 0,
        })
    }

    /// Asks for all of `kind` (subsystem and message) of an address family and hands each message's
    /// attributes to `take`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, or its answer does not end.
    pub(super) fn dump(
        &mut self,
        kind: u16,
        family: u8,
        mut take: impl FnMut(&[u8]),
    ) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = 20u32.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((FLAG_REQUEST | FLAG_DUMP).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend([family, 0, 0, 0]);
        let fd = self.socket.as_raw_fd();
        send(fd, &message, MsgFlags::empty()).context("asking for a table")?;
        for _ in 0..MOST {
            let length = recv(fd, &mut self.buffer, MsgFlags::empty()).context("a table")?;
            for (kind, body) in messages(self.buffer.get(..length).unwrap_or_default()) {
                match kind {
                    MESSAGE_DONE => return Ok(()),
                    MESSAGE_ERROR => {
                        let code = number(body, 0).unwrap_or(0) as i32;
                        let error = std::io::Error::from_raw_os_error(code.wrapping_neg());
                        bail!("asking for a table: {error}");
                    }
                    _ => take(body.get(4..).unwrap_or_default()),
                }
            }
        }
        bail!("a table without an end")
    }

    /// Has something of `kind` made, with these attributes.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, or does not answer.
    pub(super) fn make(&mut self, kind: u16, attributes: &[u8]) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = (20 + attributes.len() as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((FLAG_REQUEST | FLAG_MAKE).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(attributes);
        let fd = self.socket.as_raw_fd();
        send(fd, &message, MsgFlags::empty()).context("asking for something")?;
        let length = recv(fd, &mut self.buffer, MsgFlags::empty()).context("an answer")?;
        let mut answers = messages(self.buffer.get(..length).unwrap_or_default());
        match answers.next() {
            Some((MESSAGE_ERROR, body)) => match number(body, 0).unwrap_or(0) as i32 {
                0 => Ok(()),
                code => Err(std::io::Error::from_raw_os_error(code.wrapping_neg()).into()),
            },
            other => bail!("an answer of another kind: {other:?}"),
        }
    }
}

/// Adds an attribute.
pub(super) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_found_again_behind_its_padding() {
        let mut bytes = Vec::new();
        put(&mut bytes, 1, b"abcde");
        put(&mut bytes, 2, &[9]);
        assert_eq!(bytes.len(), 20);
        assert_eq!(attribute(&bytes, 1), Some(&b"abcde"[..]));
        assert_eq!(attribute(&bytes, 2), Some(&[9][..]));
    }

    #[test]
    fn an_attribute_that_is_cut_short_ends_the_list() {
        let bytes = [
            8, 0, 1, 0x80, 1, 2, 3, 4, 5, 0, 2, 0, 9, 0, 0, 0, 12, 0, 3, 0, 1,
        ];
        let found: Vec<(u16, &[u8])> = attributes(&bytes).collect();
        assert_eq!(found, [(1, &[1, 2, 3, 4][..]), (2, &[9][..])]);
        assert_eq!(attribute(&bytes, 2), Some(&[9][..]));
        assert_eq!(attribute(&bytes, 3), None);
    }
}
