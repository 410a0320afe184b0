//! What the kernel says about packets while they pass: the listening end of NFLOG.
//!
//! # Overview
//!
//! Two sources speak through one netlink socket, in the order in which things happen. Our own nftables
//! chains (`chains.rs`) log a packet where it arrives, where it was tracked and where it
//! leaves. The iptables tables themselves report each rule that matches, because the first of our chains
//! sets the packet's trace bit; kernel `nf_log_trace` sends those lines to the logger bound to the family,
//! which is this socket too.
//!
//! # Life cycle
//!
//! Bound for the life of a namespace. The kernel writes each message before the packet goes on, and a
//! packet written to a TAP device is carried through to its end before the write returns: whatever there
//! is to read is there afterwards, so nothing is waited for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

use super::netlink::{attributes, be32, messages, number, text};

/// Where our chains log to; traces of iptables go to group 0.
pub const GROUP: u16 = 1;

const SUBSYSTEM_LOG: u16 = 4;
const MESSAGE_PACKET: u16 = SUBSYSTEM_LOG << 8;
const MESSAGE_CONFIG: u16 = SUBSYSTEM_LOG << 8 | 1;
const MESSAGE_ERROR: u16 = 2;
const FLAG_REQUEST: u16 = 1;
const FLAG_ACK: u16 = 4;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const BIND_GROUP: u8 = 1;
const BIND_FAMILY: u8 = 3;
const COPY_PACKETS: u8 = 2;
const ATTRIBUTE_HEADER: u16 = 1;
const ATTRIBUTE_MARK: u16 = 2;
const ATTRIBUTE_PAYLOAD: u16 = 9;
const ATTRIBUTE_PREFIX: u16 = 10;

/// One thing the kernel said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// The words: a prefix of our chains, or `TRACE: table:chain:kind:number `.
    pub words: String,
    /// Netfilter hook it was said at: 0 for PREROUTING to 4 for POSTROUTING.
    pub hook: u8,
    /// The packet's mark at that moment.
    pub mark: u32,
    /// The packet, from its IP header on.
    pub packet: Vec<u8>,
}

/// The listening socket.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Watch {
    /// Listens in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: no rights, or somebody listens there already.
    pub fn open() -> Result<Watch> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .context("a netlink socket")?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).context("binding a netlink socket")?;
        setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20)).context("a receive buffer")?;
        let mut watch = Watch {
            socket,
            buffer: vec![0; 1 << 17],
        };
        for family in [libc_family(false), libc_family(true)] {
            watch.configure(family, 0, CONFIG_COMMAND, &[BIND_FAMILY])?;
        }
        for group in [0, GROUP] {
            watch.configure(0, group, CONFIG_COMMAND, &[BIND_GROUP])?;
            // Copy at most so many bytes (big endian), whole packets.
            watch.configure(0, group, CONFIG_MODE, &[0, 0, 0xff, 0xff, COPY_PACKETS, 0])?;
        }
        Ok(watch)
    }

    /// Sends one setting and waits for the kernel's word on it.
    fn configure(&mut self, family: u8, group: u16, kind: u16, value: &[u8]) -> Result<()> {
        let mut body = vec![family, 0];
        body.extend(group.to_be_bytes());
        body.extend((value.len() as u16 + 4).to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
        let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
        message.extend(MESSAGE_CONFIG.to_ne_bytes());
        message.extend((FLAG_REQUEST | FLAG_ACK).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty()).context("asking for NFLOG")?;
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())
            .context("the answer about NFLOG")?;
        let answer = self.buffer.get(..length).unwrap_or_default();
        for (kind, body) in messages(answer) {
            let code = number(body, 0).unwrap_or(0) as i32;
            if kind == MESSAGE_ERROR && code != 0 {
                let error = io::Error::from_raw_os_error(code.wrapping_neg());
                bail!("NFLOG group {group}, family {family}: {error}");
            }
        }
        Ok(())
    }

    /// All that was said since the last call.
    ///
    /// # Errors
    ///
    /// When the socket fails, or when messages were lost because there were too many.
    pub fn lines(&mut self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        loop {
            let fd = self.socket.as_raw_fd();
            let length = match recv(fd, &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Ok(lines),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e).context("reading from NFLOG"),
            };
            let said = self.buffer.get(..length).unwrap_or_default();
            for (kind, body) in messages(said) {
                if kind == MESSAGE_PACKET {
                    lines.push(line(body));
                }
            }
        }
    }
}

/// Address family numbers as netlink carries them.
fn libc_family(v6: bool) -> u8 {
    let family = if v6 {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    family as i32 as u8
}

/// A message about a packet: behind four bytes of family and group come attributes.
fn line(body: &[u8]) -> Line {
    let mut line = Line::default();
    for (kind, value) in attributes(body.get(4..).unwrap_or_default()) {
        match kind {
            ATTRIBUTE_HEADER => line.hook = value.get(2).copied().unwrap_or(0),
            ATTRIBUTE_MARK => line.mark = be32(value).unwrap_or(0),
            ATTRIBUTE_PAYLOAD => line.packet = value.to_vec(),
            ATTRIBUTE_PREFIX => line.words = text(value),
            _ => {}
        }
    }
    line
}
