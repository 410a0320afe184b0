//! A netlink socket for questions and orders.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

use super::{MOST, Message, Received, flag, kind, messages};

/// With which part of the kernel a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Netfilter.
    Netfilter,
    /// Interfaces, addresses, routes.
    Route,
}

/// A socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

/// Bytes of one datagram at most; the kernel makes those of dumps no longer than 32 KiB.
const DATAGRAM: usize = 1 << 17;

impl Socket {
    /// Opens one that hears of what these groups (a bit each) tell.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn open(protocol: Protocol, groups: u32) -> io::Result<Self> {
        let protocol = match protocol {
            Protocol::Netfilter => SockProtocol::NetlinkNetFilter,
            Protocol::Route => SockProtocol::NetlinkRoute,
        };
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Socket {
            fd,
            buffer: vec![0; DATAGRAM],
            sequence: 0,
        })
    }

    /// How much the kernel keeps for it, in bytes; beyond the system's limit where the process may.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        if setsockopt(&self.fd, sockopt::RcvBufForce, &bytes).is_err() {
            setsockopt(&self.fd, sockopt::RcvBuf, &bytes)?;
        }
        Ok(())
    }

    /// A number for the next message.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends what was written.
    ///
    /// # Errors
    /// The kernel refuses it as a whole.
    pub fn send(&self, message: &Message) -> io::Result<()> {
        send(self.fd.as_raw_fd(), message.bytes(), MsgFlags::empty())?;
        Ok(())
    }

    /// The next datagram's messages.
    ///
    /// # Errors
    /// `ENOBUFS`: some were lost.
    pub fn receive(&mut self) -> io::Result<impl Iterator<Item = Received<'_>>> {
        let length = recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        Ok(messages(self.buffer.get(..length).unwrap_or_default()))
    }

    /// As [`receive`](Self::receive), if there is one; `None`: not now.
    ///
    /// # Errors
    /// `ENOBUFS`: some were lost.
    pub fn receive_now(&mut self) -> io::Result<Option<impl Iterator<Item = Received<'_>>>> {
        match recv(
            self.fd.as_raw_fd(),
            &mut self.buffer,
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(length) => Ok(Some(messages(
                self.buffer.get(..length).unwrap_or_default(),
            ))),
            Err(nix::errno::Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends orders of which the one numbered `last` asks for an answer, and waits for it.
    ///
    /// # Errors
    /// What the kernel answers to the first of them that it refuses.
    pub fn order(&mut self, message: &Message, last: u32) -> io::Result<()> {
        self.send(message)?;
        let first = messages(message.bytes())
            .next()
            .map_or(last, |m| m.sequence);
        for _ in 0..MOST {
            for received in self.receive()? {
                // Of orders that were refused together, each is answered: others are of those before these.
                let own = received.sequence.wrapping_sub(first) <= last.wrapping_sub(first);
                match received.error().filter(|_| own) {
                    Some(0) if received.sequence == last => return Ok(()),
                    Some(0) | None => {}
                    Some(code) => return Err(io::Error::from_raw_os_error(code)),
                }
            }
        }
        Err(io::Error::other("netlink: no answer"))
    }

    /// Asks for all of something (the message's flags are set here) and hands each answer to `take`.
    ///
    /// # Errors
    /// The kernel refuses, or its answer does not end.
    pub fn dump(
        &mut self,
        what: u16,
        header: &[u8],
        mut take: impl FnMut(&Received<'_>),
    ) -> io::Result<()> {
        let sequence = self.next_sequence();
        let mut message = Message::new();
        message
            .begin(what, flag::REQUEST | flag::DUMP, sequence)
            .fixed(header);
        self.send(&message)?;
        for _ in 0..MOST {
            for received in self.receive()? {
                if received.sequence != sequence {
                    continue;
                }
                if received.flags & flag::DUMP_INTERRUPTED != 0 {
                    // What changed meanwhile is told by the groups; a dump without them is asked for again.
                    tracing::debug!("netlink: a dump was disturbed");
                }
                match (received.kind, received.error()) {
                    (kind::DONE, _) => return Ok(()),
                    (_, Some(code)) => return Err(io::Error::from_raw_os_error(code)),
                    _ => take(&received),
                }
            }
        }
        Err(io::Error::other("netlink: a dump without an end"))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
